"""Reads of one queue that follow each other in a turn of the reactor, in one write.

They have the time, and what is known of the queue, in common: to ask for these takes Redis as long as to read ten messages.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from attrs import frozen

from zaqar_gateway.direct import Answer
from zaqar_gateway.storage.redis.commands import Growing, ours
from zaqar_gateway.storage.redis.interfaces import IRedis
from zaqar_gateway.storage.redis.packing import bulk
from zaqar_gateway.storage.redis.together import MESSAGE_SIZE, REQUESTS_MAX, SIZE_MAX

_TIME = b"*1\r\n" + bulk(b"TIME")


@frozen(eq=False)
class Asking:
    """The commands on one queue, as far as they are always the same; reads of one kind have the very same one."""

    incarnation: bytes
    page: bytes  # lacks from, to, COUNT and how many
    entry: bytes  # lacks from and to
    state: bytes  # lacks the rank
    free: bytes  # lacks from and to
    held: bytes  # the message whose claim is the first to lapse, and when
    known: bytes


class _Reading(Growing):
    """Reads of one queue."""

    def __init__(self, asking: Asking, now_ms: Callable[[list[bytes]], int]) -> None:
        super().__init__()
        self.number = 3
        self._asking = asking
        self._now_ms = now_ms
        self._parts = [_TIME, asking.incarnation]
        self._reads: list[tuple[Answer, int]] = []
        self._messages = 0
        self._values: list[Any] = []

    def takes(self, messages: int) -> bool:
        """Whether a read may be added."""
        return len(self._reads) < REQUESTS_MAX and (self._messages + messages) * MESSAGE_SIZE <= SIZE_MAX

    def add(self, commands: bytes, count: int, messages: int) -> Answer:
        """Add one; see :func:`ask`."""
        self._parts.append(commands)
        self.number += count
        self._messages += messages
        answer = Answer()
        self._reads.append((answer, count))
        return answer

    def packed(self) -> bytes:
        return b"".join((*self._parts, self._asking.known))

    def give(self, value: Any) -> None:
        values = self._values
        values.append(value)
        if len(values) != self.number:
            return
        now_ms, incarnation, known, at = self._now_ms(values[0]), values[1], values[-1], 2
        for answer, count in self._reads:
            answer.give((now_ms, incarnation, values[at : at + count], known))
            at += count

    def fail(self, error: Exception) -> None:
        reads, self._reads = self._reads, []
        for answer, _ in reads:
            answer.fail(ours(error))


def ask(
    redis: IRedis,
    asking: Asking,
    now_ms: Callable[[list[bytes]], int],
    commands: bytes,
    count: int,
    messages: int,
) -> Answer:
    """Have commands run, together with those that are asked for around them.

    :param now_ms: from the answer to TIME to the instant.
    :param count: how many commands.
    :param messages: that they read at most.
    :return: the answer: the instant before all (ms); the incarnation that the queue had then, ``None`` where there was none; what came
        of each command; and what is known of the queue after all: incarnation, ``later``, ``moved``, ``head`` and delay.
    """
    growing = redis.growing(asking)
    if isinstance(growing, _Reading) and growing.takes(messages):
        return growing.add(commands, count, messages)
    reading = _Reading(asking, now_ms)
    answer = reading.add(commands, count, messages)
    redis.send(reading, asking)
    return answer
