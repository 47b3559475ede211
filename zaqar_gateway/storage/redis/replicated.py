"""Answers that come only once replicas have what was written, so that a failover loses nothing that was acknowledged.

Redis tells it by WAIT, which keeps the connection busy meanwhile.  So one WAIT is for all that was answered before it, and what comes
before its own answer goes together next: the slower the replicas, the more goes in one go.  Where nothing was stored there is none.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.logger import Logger

from zaqar_gateway.direct import soon
from zaqar_gateway.errors import StoreUnavailable
from zaqar_gateway.storage.redis.commands import Commands, Sent, SentTogether, has_no_room, is_elsewhere
from zaqar_gateway.storage.redis.packing import command

_log = Logger()

_NO_MASTER = ("UNBLOCKED", "ERR WAIT cannot be used with replica")
"""How Redis refuses WAIT, or ends it, once it is a replica."""

_TOUCHES = 8
"""How often it is tried in another way to write something, such as a key that another node might have."""

_KEPT_MS = 10**12
"""For how long what is written is kept by a Redis without memory, which then goes on."""


class _Waited(Sent):
    """The answer to WAIT: how many replicas have all that was written before it."""

    is_counted = False

    def __init__(self, protocol: ReplicatedCommands, command: bytes) -> None:
        super().__init__(command, None)
        self._protocol = protocol

    def give(self, value: Any) -> None:
        self._protocol.waited(int(value), "")

    def fail(self, error: Exception) -> None:
        why = str(error)
        self._protocol.waited(0, "another Redis has taken the place of this master." if why.startswith(_NO_MASTER) else why)


class _Touched(Sent):
    """The answer to a write that stands before WAIT, which waits for what its own connection wrote last.

    What is promised may have been written before, by another connection.
    """

    is_counted = False

    def __init__(self, protocol: ReplicatedCommands, command: bytes) -> None:
        super().__init__(command, None)
        self._protocol = protocol

    def give(self, value: Any) -> None:
        if value == 0:
            self._protocol.nothing_touched()

    def fail(self, error: Exception) -> None:
        self._protocol.cannot_touch(str(error))


class ReplicatedCommands(Commands):
    """Commands of which those that promise something are answered when replicas have it.

    :param replicas: how many have to have it at least; where Sentinels tell, all that may take the master's part.  With fewer, a master
        that another one has replaced may have some left that follow it, and that lose what they have when they follow the new one.
    :param wait_s: how long they may take.  Then the outcome is unknown: this Redis has it, and a failover may lose it.
    :param touched: makes the key of something to write.
    :param touch_other: has it be another one from then on, since another node of a cluster has that.
    """

    def __init__(
        self,
        replicas: int,
        wait_s: float,
        touched: Callable[[], bytes],
        touch_other: Callable[[], None],
        clock: Any,
        timeout_s: float,
        bound: int,
    ) -> None:
        super().__init__(clock, timeout_s, bound)
        self._touched = touched
        self._touch_other = touch_other
        self._is_full = False  # so that a key can only be changed that is there
        self._touches = 0
        self._touches_again = False
        self._waits_for = 0
        self._cannot_tell = ""
        self._replicas = replicas
        self._wait_s = wait_s
        self._has_few = False
        self._wait_ms = max(1, round(wait_s * 1000))
        self._is_waiting = False
        self._kept: list[tuple[Sent, Any]] = []

    @property
    def trouble(self) -> str:
        few = "fewer replicas have what is stored than should, and it is answered with 503 (storage.replicas)"
        return few if self._has_few else super().trouble

    def _flush(self) -> None:
        if self._is_waiting or not self.connected:
            return
        if self._kept:
            self._is_waiting = True
            # Behind what waits to be sent, which it is for as well.
            self._waits_for, self._cannot_tell = max(self._replicas, self.electable), ""
            self._put(_Touched(self, self._touch()))
            self._put(_Waited(self, command("WAIT", self._waits_for, self._wait_ms)))
        # What waited for replicas has still as long for its answer as any other.
        due_s = self._clock.seconds() + self._timeout_s + (self._wait_s if self._is_waiting else 0.0)
        for sent in self._unsent:
            sent.due_s = due_s
        super()._flush()

    def _answered(self, sent: Sent, value: Any) -> None:
        if sent.is_last and _promises(sent):
            if not self._kept and not self._is_waiting:
                soon(self._clock, self._flush)
            self._kept.append((sent, value))
        else:
            sent.give(value)

    def _fail_all(self, why: str = "The connection to Redis was lost before it answered.") -> None:
        super()._fail_all(why)
        self.waited(0, why)

    def _touch(self) -> bytes:
        """A command that writes something, packed: what frees memory has to be promised where there is none left."""
        return command("PEXPIRE", self._touched(), _KEPT_MS) if self._is_full else command("SET", self._touched(), 1)

    def cannot_touch(self, why: str) -> None:
        """What WAIT answers next tells nothing."""
        self._cannot_tell = why
        if is_elsewhere(why):
            self._touch_other()
            self._is_full = False  # there is no such key yet
        elif has_no_room(why):
            self._is_full = True
        else:
            return
        self._touch_again()

    def nothing_touched(self) -> None:
        """There was nothing that could be changed: the same."""
        self._cannot_tell = "Redis has had no memory left to write what WAIT is asked for."
        self._is_full = False
        if not self._touches:  # it may have by now
            self._touch_again()

    def _touch_again(self) -> None:
        if self._touches < _TOUCHES:
            self._touches += 1
            self._touches_again = True

    def waited(self, replicas: int, why_not: str) -> None:
        """Give the answers that were kept, or tell that nobody knows what becomes of them.

        :param replicas: so many have what they tell of.
        :param why_not: where that is not known.
        """
        self._is_waiting = False
        if self._touches_again and self.connected:
            self._touches_again = False
            self._flush()
            return
        self._touches, self._touches_again = 0, False
        kept, self._kept = self._kept, []
        why_not = why_not or self._cannot_tell
        has_enough = not why_not and replicas >= self._waits_for
        why = why_not or f"{replicas} replicas have it after {self._wait_s} s, and {self._waits_for} should."
        if has_enough == self._has_few and self.connected:
            self._has_few = not has_enough
            if has_enough:
                _log.info("enough replicas have what is stored again")
            else:
                _log.error("what is stored may be lost in a failover, and is answered with 503 (storage.replicas): {why}", why=why)
        for sent, value in kept:
            if has_enough:
                sent.give(value)
            else:
                sent.fail(StoreUnavailable(f"Redis has it, and a failover may lose it: {why}", outcome_unknown=True))
        self._flush()


def _promises(sent: Sent) -> bool:
    return sent.script.promises if sent.script is not None else type(sent) is SentTogether
