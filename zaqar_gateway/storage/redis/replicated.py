"""Answers that come only once replicas have what was written, so that a failover loses nothing that was acknowledged.

Redis tells it by WAIT, which keeps the connection busy meanwhile.  So one WAIT stands behind all that is sent in one go, and what comes
before its answer goes together next: the slower the replicas, the more goes in one go.
"""

from __future__ import annotations

from typing import Any

from zaqar_gateway.errors import StoreUnavailable
from zaqar_gateway.storage.redis.connection import Commands, Sent, SentTogether
from zaqar_gateway.storage.redis.packing import command


class _Waited(Sent):
    """The answer to WAIT: how many replicas have all that was written before it."""

    is_counted = False

    def __init__(self, protocol: ReplicatedCommands, command: bytes) -> None:
        super().__init__(command, None)
        self._protocol = protocol

    def give(self, value: Any) -> None:
        self._protocol.waited(value, f"Redis has it, and of its replicas {value} by now, which is too few; a failover may lose it.")

    def fail(self, error: Exception) -> None:
        self._protocol.waited(0, f"Redis has it, and did not tell how many replicas have: {error}")


class ReplicatedCommands(Commands):
    """Commands of which those that promise something are answered when replicas have it.

    :param replicas: how many have to have it.
    :param wait_s: how long they may take.  Then the outcome is unknown: this Redis has it, and a failover may lose it.
    """

    def __init__(self, replicas: int, wait_s: float, clock: Any, timeout_s: float, bound: int) -> None:
        super().__init__(clock, timeout_s, bound)
        self._replicas = replicas
        self._wait = command("WAIT", replicas, max(1, round(wait_s * 1000)))
        self._is_waiting = False
        self._kept: list[tuple[Sent, Any]] = []

    def _flush(self) -> None:
        if self._is_waiting or not self.connected:
            return
        if any(_promises(sent) for sent in self._unsent):
            self._is_waiting = True
            self._unsent.append(_Waited(self, self._wait))
            self._unsent[-1].due_s = self._unsent[-2].due_s
        super()._flush()

    def _answered(self, sent: Sent, value: Any) -> None:
        if _promises(sent):
            self._kept.append((sent, value))
        else:
            sent.give(value)

    def waited(self, replicas: int, why_not: str) -> None:
        """Give the answers that were kept: so many replicas have what they tell of, or it is unknown for some reason."""
        kept, self._kept, self._is_waiting = self._kept, [], False
        for sent, value in kept:
            if replicas >= self._replicas:
                sent.give(value)
            else:
                sent.fail(StoreUnavailable(why_not, outcome_unknown=True))
        self._flush()


def _promises(sent: Sent) -> bool:
    return sent.script.promises if sent.script is not None else type(sent) is SentTogether
