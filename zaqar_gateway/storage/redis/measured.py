"""Connections to Redis that are measured: in the place of the plain ones, which so have nothing of it.

Each write is timed, and not each of the commands that leave in it, since they are answered together as well.
"""

from __future__ import annotations

from collections import deque
from typing import Any

from zaqar_gateway.meters import RedisMeter, now
from zaqar_gateway.storage.redis.commands import Commands
from zaqar_gateway.storage.redis.replicated import ReplicatedCommands


class _Measured(Commands):
    """Notes what is sent, and how long the answers to it take."""

    def __init__(self, meter: RedisMeter, *given: Any) -> None:
        super().__init__(*given)
        self._meter = meter
        self._written = 0  # commands, by this connection
        self._flights: deque[tuple[int, float]] = deque()  # for each write, how many there were behind it, and when it was

    def _flush(self) -> None:
        before = len(self._unanswered)
        super()._flush()
        sent = len(self._unanswered) - before
        if sent > 0:
            self._meter.commands += sent
            self._written += sent
            self._flights.append((self._written, now()))

    def _take(self, data: bytes) -> None:
        super()._take(data)
        flights, answered = self._flights, self._written - len(self._unanswered)
        if flights and flights[0][0] <= answered and self.connected:
            arrived = now()
            while flights and flights[0][0] <= answered:
                self._meter.round_trips.note(arrived - flights.popleft()[1])


class MeasuredCommands(_Measured):
    """See :class:`.Commands`."""


class MeasuredReplicatedCommands(_Measured, ReplicatedCommands):
    """See :class:`.ReplicatedCommands`."""
