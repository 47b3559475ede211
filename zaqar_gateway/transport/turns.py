"""Who goes on when: connections that have had their part of a turn of the reactor, in a row.

However many connections send as fast as they can, a turn has room for a few of them only; so whoever asks for one thing at a
time does not wait for all that the others have asked for.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import islice

from twisted.internet.interfaces import IDelayedCall, IReactorTime

AT_ONCE = 2
"""Connections that go on in one turn."""


class Turns:
    """The row.

    :param clock: a call in 0 seconds comes in its next turn.
    """

    def __init__(self, clock: IReactorTime) -> None:
        self._clock = clock
        self._row: dict[object, Callable[[], None]] = {}
        self._next: IDelayedCall | None = None

    def wait(self, go_on: Callable[[], None]) -> Callable[[], None]:
        """Be called when it is one's turn.

        :return: what to call to leave the row before.
        """
        place = object()
        self._row[place] = go_on
        if self._next is None:
            self._next = self._clock.callLater(0, self._turn)
        return lambda: self._leave(place)

    def _leave(self, place: object) -> None:
        self._row.pop(place, None)
        if not self._row and self._next is not None:
            self._next.cancel()
            self._next = None

    def _turn(self) -> None:
        self._next = None
        for place in list(islice(self._row, AT_ONCE)):
            self._row.pop(place, lambda: None)()
        if self._row and self._next is None:
            self._next = self._clock.callLater(0, self._turn)
