"""Requests to one queue that come in the same turn of the reactor, in one script.

A script costs Redis some ten microseconds before it does anything, and the gateway as much; where many ask for the same of one queue
that is most of what it takes.  Nothing changes in what is done: a command that has not left yet takes more requests in.  Where
order matters that is the one that was sent last alone (:mod:`zaqar_gateway.order`).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from zaqar_gateway.direct import Answer
from zaqar_gateway.storage.redis.commands import Growing
from zaqar_gateway.storage.redis.interfaces import IRedis
from zaqar_gateway.storage.redis.scripts import Script

REQUESTS_MAX = 16
SIZE_MAX = 65536
"""Of the messages of one script, in bytes, to post or about to be read: others wait for it."""

MESSAGE_SIZE = 1024
"""Of a message that is only named, or not known yet: 64 of them are enough for a script."""

Kind = TypeVar("Kind", bound=tuple[bytes | bool, ...])
"""What requests of one script have in common besides that."""


class _Together(Growing):
    """Requests of one kind.

    :param begin: the keys and the arguments that come first, packed, and how many.
    """

    script: Script

    def __init__(self, script: Script, begin: tuple[bytes, int]) -> None:
        super().__init__(script)
        self._begin, self._count = begin
        self._size = 0
        self._answers: list[Answer] = []
        self._given: list[bytes] = []

    def takes(self, script: Script, size: int) -> bool:
        """Whether a request may be added."""
        return self.script is script and self._size + size <= SIZE_MAX and len(self._answers) < REQUESTS_MAX

    def add(self, given: list[bytes], count: int, size: int) -> Answer:
        """Add one; see :func:`ask`."""
        self._size += size
        self._count += count
        self._given += given
        answer = Answer()
        self._answers.append(answer)
        return answer

    def packed(self) -> bytes:
        return b"".join((b"*%d\r\n" % (self._count + 3), self.script.by_sum, self._begin, *self._given))

    def give(self, value: Any) -> None:
        for answer, one in zip(self._answers, value, strict=True):
            answer.give(one)

    def fail(self, error: Exception) -> None:
        for answer in self._answers:
            answer.fail(error)


def ask(
    redis: IRedis,
    script: Script,
    kind: Kind,
    begin: Callable[[Kind], tuple[bytes, int]],
    given: list[bytes],
    count: int,
    size: int,
    *,
    overtakes: bool = True,
) -> Answer:
    """Have a script take a request, together with those that are asked for around it; sent when this turn of the reactor ends.

    :param script: takes any number of requests, and returns a list with the answer to each.
    :param kind: its keys, and what else requests have in common that go together.
    :param begin: makes the keys and the arguments that come before those of the requests, packed, and tells how many.
    :param given: the arguments of this one, packed, in pieces of any size, and ``count`` how many arguments.
    :param size: see :data:`SIZE_MAX`.
    :param overtakes: whether it may come before what was asked for before it, where order does not matter otherwise.
    :return: the answer to this one, or the error of :meth:`.Redis.run`.
    """
    growing = redis.growing(kind, overtakes)
    if isinstance(growing, _Together) and growing.takes(script, size):
        return growing.add(given, count, size)
    requests = _Together(script, begin(kind))
    answer = requests.add(given, count, size)
    redis.send(requests, kind)
    return answer
