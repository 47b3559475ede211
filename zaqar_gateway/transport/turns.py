"""Who goes on when: connections that have had their part of a turn of the reactor, in a row.

However many connections send as fast as they can, a turn has room for a few of them only; so whoever asks for one thing at a
time does not wait for all that the others have asked for.  What a connection may do at once is bounded by time
(:meth:`Turns.begin`) and by what was read of it without anything being complete (:class:`Reads`).
"""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum, auto

from twisted.internet.interfaces import IReactorTime

from zaqar_gateway.direct import next_turn

ROW_S = 0.0005
"""What those of the row may take of a turn together, as long as nobody else can go on: between two of them the row looks."""

PART_S = 0.00005
"""What a connection may take at once."""

SHARE_S = 0.0005
"""What calm ones of the row may take of a turn whoever waits: what they send to the store leaves together, and a dozen of requests
in one command cost half of what they do in four."""

MANY = 64
SHARE_OF_MANY_S = 0.0002
"""The same where more than so many are in the row: others wait for it again and again."""

DRAIN_RATE = 32 * 1024 * 1024
"""Bytes that all connections together get rid of in a second, that are read only to be dropped."""

DRAIN_S = 0.1
"""How often there is more of that."""


class Manner(Enum):
    """How a connection has asked so far.

    :cvar NEW: it has had no answer yet.
    :cvar CALM: for one thing at a time; the reactor reads it.
    :cvar GREEDY: it has just sent much.
    """

    NEW = auto()
    CALM = auto()
    GREEDY = auto()


class Turns:
    """The row.

    :param clock: whose turns these are (:func:`~zaqar_gateway.direct.next_turn`).
    :param others_wait: whether anything could go on that is not of the row.
    :param drain_rate: see :data:`DRAIN_RATE`.
    :ivar is_again: whether somebody goes on, in the row, for whom something was done before.
    :ivar drain: what may be read only to be dropped.
    """

    def __init__(
        self, clock: IReactorTime, others_wait: Callable[[], bool] = lambda: False, drain_rate: int = DRAIN_RATE
    ) -> None:
        self._clock = clock
        self._others_wait = others_wait
        self._new: dict[object, tuple[Callable[[], None], Manner]] = {}
        self._old: dict[object, tuple[Callable[[], None], Manner]] = {}
        self._rows = self._new, self._old  # whose turn is next, and whose then
        self._next: Callable[[], object] | None = None  # what to call to have no next turn
        self._is_on = self.is_again = False
        self._ends = self._waited_for = 0.0  # until when whoever goes on may do so; and whoever waits
        self.now = clock.seconds
        self.drain = Drain(self, clock, drain_rate)

    def is_over(self, ends: float) -> bool:
        """Whether a part of a turn is over; it goes on in the row where nobody else waits.  One thing is always done.

        :param ends: ``PART_S`` after it began.
        """
        now = self.now()
        return now >= ends and (not self.is_again or self._has_to_end(now))

    def _has_to_end(self, now: float) -> bool:
        return now >= self._ends or now >= self._waited_for and self._others_wait()

    def wait(self, go_on: Callable[[], None], manner: Manner = Manner.GREEDY) -> Callable[[], None]:
        """Be called when it is one's turn.

        :param manner: every other turn is of one that is new.
        :return: what to call to leave the row before.
        """
        place, row = object(), self._new if manner is Manner.NEW else self._old
        row[place] = go_on, manner
        if self._next is None and not self._is_on:
            self._next = next_turn(self._clock, self._turn)

        def leave() -> None:
            row.pop(place, None)
            if not self._new and not self._old and self._next is not None:
                self._next()
                self._next = None

        return leave

    def _turn(self) -> None:
        self._next = None
        self._is_on = True
        began = self.now()
        self._ends = began + ROW_S
        shared = began + (SHARE_S if len(self._new) + len(self._old) <= MANY else SHARE_OF_MANY_S)
        try:
            while self._new or self._old:
                row, other = self._rows
                self._rows = other, row
                if row:
                    self.is_again = row is self._old
                    go_on, manner = row.pop(next(iter(row)))
                    self._waited_for = shared if manner is Manner.CALM else began
                    go_on()
                    if self._has_to_end(self.now()):
                        break
        finally:  # whatever became of one, the others go on
            self._is_on = self.is_again = False
            if self._new or self._old:
                self._next = next_turn(self._clock, self._turn)


class Drain:
    """What is read only to be dropped.  To read it costs, and whoever sends it may send it fast.

    Whoever is to read more when all together have had enough waits here, in the order in which they came.
    """

    def __init__(self, turns: Turns, clock: IReactorTime, rate: int) -> None:
        self._turns = turns
        self._clock = clock
        self._most = int(rate * DRAIN_S)
        self._left = self._most
        self._ends = 0.0  # when there is more
        self._row: dict[object, Callable[[], None]] = {}
        self._stop: Callable[[], None] | None = None  # ends what the row waits for

    def may_go_on(self, size: int = 0) -> bool:
        """Whether more may be read now, after so many bytes have been."""
        now = self._clock.seconds()
        if now >= self._ends:
            self._left, self._ends = self._most, now + DRAIN_S
        self._left -= size
        return self._left > 0

    def wait(self, go_on: Callable[[], None]) -> Callable[[], None]:
        """Be called, in a turn of the row, when more may be read.

        :return: what to call to wait no more.
        """
        place = object()
        self._row[place] = go_on
        self._go_on()
        return lambda: self._leave(place)

    def _leave(self, place: object) -> None:
        self._row.pop(place, None)
        if not self._row and self._stop is not None:
            self._stop()
            self._stop = None

    def _go_on(self) -> None:
        if not self._row or self._stop is not None:
            return
        if self.may_go_on():
            self._line_up()
        else:
            self._stop = self._clock.callLater(self._ends - self._clock.seconds(), self._line_up).cancel

    def _line_up(self) -> None:
        self._stop = self._turns.wait(self._turn)

    def _turn(self) -> None:
        """One goes on.  What it reads comes behind it in the row, and before the next."""
        self._stop = None
        try:
            self._row.pop(next(iter(self._row)))()
        finally:
            self._go_on()


READS_MAX = 16384
_READ_COST = 1024  # what a read costs beside its bytes, in bytes


class Reads:
    """What was read of one connection since it last waited in the row, or had nothing begun.

    A request that comes in a few pieces is none of the row's business; one that goes on and on is.
    """

    __slots__ = ("_taken",)

    def __init__(self) -> None:
        self._taken = 0

    def note(self, size: int) -> bool:
        """So many bytes were read at once; whether the others are to go first now."""
        self._taken += _READ_COST + size
        return self._taken >= READS_MAX

    def clear(self) -> None:
        """Nothing is begun, or the connection has waited."""
        self._taken = 0

    @property
    def enough(self) -> bool:
        """Whether the others are to go first now."""
        return self._taken >= READS_MAX
