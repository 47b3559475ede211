"""Who goes on when: connections that have had their part of a turn of the reactor, in a row.

However many connections send as fast as they can, a turn has room for a few of them only; so whoever asks for one thing at a
time does not wait for all that the others have asked for.  What a connection may do at once is bounded by time
(:meth:`Turns.begin`) and by what was read of it without anything being complete (:class:`Reads`).
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import islice

from twisted.internet.interfaces import IDelayedCall, IReactorTime

AT_ONCE = 4
"""Connections that go on in one turn, if they take no longer than a part."""

PART_S = 0.00025
"""What those of the row may take of a turn together.  The reactor looks at its sockets between two turns, so this is what
others wait for."""

FIRST_S = 0.00005
"""What a connection may take that was just read, and has not waited: all of them may have been, in the same turn."""


class Turns:
    """The row.

    :param clock: a call in 0 seconds comes in its next turn.
    """

    def __init__(self, clock: IReactorTime) -> None:
        self._clock = clock
        self._row: dict[object, Callable[[], None]] = {}
        self._next: IDelayedCall | None = None
        self.now = clock.seconds

    def begin(self, has_waited: bool) -> float:
        """Begin a part of a turn; when it is over, by :meth:`now`.  One thing is always done."""
        return self.now() + (PART_S if has_waited else FIRST_S)

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
        ends = self.begin(True)
        try:
            for place in list(islice(self._row, AT_ONCE)):
                self._row.pop(place, lambda: None)()
                if self.now() >= ends:
                    break
        finally:  # whatever became of one, the others go on
            if self._row and self._next is None:
                self._next = self._clock.callLater(0, self._turn)


READS_MAX = 16384
_READ_COST = 1024  # what a read costs beside its bytes, in bytes


class Reads:
    """What was read of one connection since it last waited in the row, or had nothing begun.

    A request that comes in a few pieces is none of the row's business; one that goes on and on is.
    """

    __slots__ = ("_taken",)

    def __init__(self) -> None:
        self._taken = 0

    def note(self, size: int) -> None:
        """So many bytes were read at once."""
        self._taken += _READ_COST + size

    def clear(self) -> None:
        """Nothing is begun, or the connection has waited."""
        self._taken = 0

    @property
    def enough(self) -> bool:
        """Whether the others are to go first now."""
        return self._taken >= READS_MAX
