"""Requests that wait for messages.

Who waits is rung for by the doorbell of the place, and looks at the store then.  A ring may be lost, and a claim that
lapses or a delay that ends rings for nobody; so each place in which somebody waits is asked once a second when that will be, and
everybody looks every few seconds.

Those who would take messages out of the queue look one after the other, in the order in which they came, until one of
them finds nothing: one post does not have a thousand of them ask the store.  Those who only read all look, and so no more often than
a thousand times a second all together.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import TypeGuard, TypeVar

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger
from zope.interface import implementer

from zaqar_gateway.clocks import time_of_day
from zaqar_gateway.errors import StoreError, TooManyRequests
from zaqar_gateway.interfaces import IAsker, IStorage, IWaits
from zaqar_gateway.model import Place

ASK_S = 1.0
"""How often a place is asked when messages become deliverable there by themselves."""
ASK_AGAIN_S = 0.05
"""After what time it is asked again when they have."""
LOOK_S = 5.0
"""How often everybody looks, in case a ring was lost."""
READ_S = 0.001
"""What time there is for each reader of a place between two times that all of them look."""

_T = TypeVar("_T")
_log = Logger()


class _Waiter:
    """Somebody who waits.

    :ivar is_over: whether the wait is over: the time is, or whoever asked has gone, or the gateway stops.
    """

    __slots__ = ("_woken", "is_over", "is_rung")

    def __init__(self) -> None:
        self.is_over = False
        self.is_rung = False
        self._woken: Deferred[None] | None = None

    def end(self) -> None:
        """The wait is over."""
        self.is_over = True
        self._wake()

    def ring(self) -> None:
        """Look once more, now or after the look that is under way."""
        self.is_rung = True
        self._wake()

    def _wake(self) -> None:
        if self._woken is not None:
            woken, self._woken = self._woken, None
            woken.callback(None)

    async def rung(self) -> bool:
        """Wait for a ring.

        :return: whether there was one; otherwise the wait is over.
        """
        while not self.is_over and not self.is_rung:
            self._woken = Deferred()
            await self._woken
        self.is_rung = False
        return not self.is_over


def _is_planned(call: IDelayedCall | None) -> TypeGuard[IDelayedCall]:
    return call is not None and call.active()


class _Spot:
    """A place in which somebody waits.

    :param due_in: asks the place (:meth:`~zaqar_gateway.interfaces.IMessageStore.due_in`).
    :ivar takers: in the order in which they came; the first has its turn when it rings.
    :ivar readers: have their turn all together.
    :ivar guests: how many wait here.
    """

    def __init__(self, due_in: Callable[[], Awaitable[int | None]], clock: IReactorTime) -> None:
        self.takers: dict[_Waiter, None] = {}
        self.readers: set[_Waiter] = set()
        self.guests = 0
        self._due_in = due_in
        self._clock = clock
        self._looking: _Waiter | None = None  # the taker whose turn it is
        self._read_at_s = clock.seconds()  # when readers may look again
        self._look_at_s = clock.seconds() + LOOK_S
        self._asking: IDelayedCall | None = clock.callLater(0, self._ask)
        self._ringing: IDelayedCall | None = None  # when messages become deliverable
        self._reading: IDelayedCall | None = None
        self._passing: IDelayedCall | None = None

    def stop(self) -> None:
        """Nobody waits any more."""
        for call in (self._asking, self._ringing, self._reading, self._passing):
            if _is_planned(call):
                call.cancel()
        self._asking = None

    # -- turns -------------------------------------------------------------------------------------------------------

    def ring(self) -> None:
        """There may be something.  Readers look first, and see what the others are about to take."""
        self._ring_readers()
        if self._looking is not None:
            self._looking.is_rung = True
        elif not _is_planned(self._passing):
            self._pass_on()

    def _pass_on(self) -> None:
        self._looking = next(iter(self.takers), None)
        if self._looking is not None:
            self._looking.ring()

    def _ring_readers(self) -> None:
        if not self.readers or _is_planned(self._reading):
            return
        now_s = self._clock.seconds()
        if now_s < self._read_at_s:
            self._reading = self._clock.callLater(self._read_at_s - now_s, self._ring_readers)
            return
        self._read_at_s = now_s + READ_S * len(self.readers)
        for waiter in list(self.readers):
            waiter.ring()

    def looked(self, waiter: _Waiter) -> None:
        """Somebody has found nothing; if it was their turn and it did not ring meanwhile, there is nothing for the others."""
        if self._looking is waiter and not waiter.is_rung:
            self._looking = None

    def leave(self, waiter: _Waiter) -> None:
        """Somebody waits no longer.  If it was their turn there may be something for the next one."""
        self.takers.pop(waiter, None)
        self.readers.discard(waiter)
        if self._looking is waiter:
            self._looking = None
            # A turn of the reactor later: looks may end at once, and there may be a thousand who wait.
            self._passing = self._clock.callLater(0, self._pass_on)

    # -- what comes without a ring -----------------------------------------------------------------------------------

    def _ask(self) -> None:
        self._asking = self._clock.callLater(ASK_S, self._ask)
        if self._clock.seconds() >= self._look_at_s:
            self._look_at_s = self._clock.seconds() + LOOK_S
            self.ring()
        Deferred.fromCoroutine(self._find_due()).addErrback(lambda failure: _log.failure("a place was not asked", failure))

    async def _find_due(self) -> None:
        try:
            due_ms = await self._due_in()
        except StoreError as error:  # looks tell those who wait
            _log.debug("when messages come is not known: {why}", why=str(error))
            return
        if due_ms is not None and due_ms < ASK_S * 1000 and self._asking is not None and not _is_planned(self._ringing):
            self._ringing = self._clock.callLater(due_ms / 1000, self._come_due)

    def _come_due(self) -> None:
        self.ring()
        if _is_planned(self._asking):
            self._asking.reset(min(ASK_AGAIN_S, self._asking.getTime() - self._clock.seconds()))


@implementer(IWaits)
class Waits:
    """The requests of this process that wait.

    :param most: how many of one project may wait; 0: any number.
    :param refused: told of a project that has as many.
    :param aside: told of each that begins to wait.
    :param back: told of each that waits no longer.
    """

    def __init__(
        self,
        storage: IStorage,
        clock: IReactorTime,
        most: int = 1000,
        *,
        refused: Callable[[str], None] = lambda project: None,
        aside: Callable[[], None] = lambda: None,
        back: Callable[[], None] = lambda: None,
    ) -> None:
        self._storage = storage
        self._clock = clock
        self._most = most
        self._refused = refused
        self._aside = aside
        self._back = back
        self._spots: dict[Place, tuple[_Spot, Callable[[], None]]] = {}  # and what ends the watch at the doorbell
        self._waiting: dict[_Waiter, None] = {}
        self._counts: Counter[str] = Counter()
        self._is_stopped = False

    @property
    def count(self) -> int:
        """How many wait."""
        return len(self._waiting)

    def stop(self) -> None:
        """Answer all who wait as if their time were over, and all who come as if they did not want to wait."""
        self._is_stopped = True
        for waiter in list(self._waiting):
            waiter.end()

    async def until_found(
        self,
        place: Place,
        wait_s: int,
        asker: IAsker | None,
        look: Callable[[], Awaitable[_T]],
        is_found: Callable[[_T], object],
        *,
        takes: bool,
    ) -> _T:
        """See :meth:`~zaqar_gateway.interfaces.IWaits.until_found`."""
        left_s = float(wait_s)
        if asker is not None and asker.until_s is not None:
            left_s = min(left_s, asker.until_s - time_of_day(self._clock))
        until_s = self._clock.seconds() + left_s
        result = await look()
        if is_found(result) or self._is_stopped or asker is not None and asker.left:
            return result
        with self._waiter(place.project, until_s, asker) as waiter, self._at(place) as spot:
            if takes:
                spot.takers[waiter] = None
            else:
                spot.readers.add(waiter)
            try:
                while True:
                    # The first time for what came before somebody listened.
                    result = await look()
                    if is_found(result):
                        return result
                    spot.looked(waiter)
                    if not await waiter.rung():
                        return result
            finally:
                spot.leave(waiter)

    @contextmanager
    def _waiter(self, project: str, until_s: float, asker: IAsker | None) -> Iterator[_Waiter]:
        """Somebody who waits meanwhile.

        :raises TooManyRequests: as many of the project wait as may.
        """
        if 0 < self._most <= self._counts[project]:
            self._refused(project)
            raise TooManyRequests(
                f"{self._most} requests of the project wait here, as many as may; one without wait is answered at once.", 1
            )
        waiter = _Waiter()
        self._waiting[waiter] = None
        self._counts[project] += 1
        timer = self._clock.callLater(max(0.0, until_s - self._clock.seconds()), waiter.end)
        stay = asker.when_left(waiter.end) if asker is not None else lambda: None
        self._aside()
        try:
            yield waiter
        finally:
            self._back()
            stay()
            if timer.active():
                timer.cancel()
            self._counts[project] -= 1
            if not self._counts[project]:
                del self._counts[project]
            del self._waiting[waiter]

    @contextmanager
    def _at(self, place: Place) -> Iterator[_Spot]:
        """The spot of a place, which is watched meanwhile."""
        if place not in self._spots:
            messages = self._storage.topic_messages if place.is_topic else self._storage.messages
            made = _Spot(partial(messages.due_in, place.project, place.name), self._clock)
            self._spots[place] = made, self._storage.doorbells.watch(place, made.ring)
        spot, end_watch = self._spots[place]
        spot.guests += 1
        try:
            yield spot
        finally:
            spot.guests -= 1
            if not spot.guests:
                del self._spots[place]
                end_watch()
                spot.stop()
