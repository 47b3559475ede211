"""How late the reactor is: what takes long in it holds up everybody."""

from __future__ import annotations

from twisted.internet.interfaces import IDelayedCall, IReactorTime

from zaqar_gateway.meters import Histogram

LOOK_S = 0.25
"""How often it is looked at."""


class Lag:
    """Notes by how much a timer is late, from start to stop."""

    def __init__(self, clock: IReactorTime, noted: Histogram) -> None:
        self._clock = clock
        self._noted = noted
        self._next: IDelayedCall | None = None
        self._due_s = 0.0

    def start(self) -> None:
        """Begin to look."""
        self._due_s = self._clock.seconds() + LOOK_S
        self._next = self._clock.callLater(LOOK_S, self._look)

    def stop(self) -> None:
        """Look no more."""
        if self._next is not None:
            self._next.cancel()
            self._next = None

    def _look(self) -> None:
        self._noted.note(max(0.0, self._clock.seconds() - self._due_s))
        self.start()
