"""The live subscriptions and the workers of the sockets of this process."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any
from weakref import WeakKeyDictionary

from attrs import define
from twisted.internet.defer import Deferred, DeferredList
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.internet.task import LoopingCall
from twisted.logger import Logger
from zope.interface import implementer

from zaqar_gateway.errors import StoreError
from zaqar_gateway.interfaces import (
    IClaimStore,
    IListener,
    ILive,
    ILiveSubscription,
    IMessageStore,
    IQueueReaders,
    ISockets,
    IStorage,
)
from zaqar_gateway.live import frames
from zaqar_gateway.live.subscriber import HOLD_MS, TAKEN_OVER, Held, Subscriber, taken_over
from zaqar_gateway.live.workers import Shift, Worker
from zaqar_gateway.model import EARLIEST, Begun, LiveTerms, Place, WorkTerms

_log = Logger()

CHECK_S = 10.0
"""How often it is looked whether subscriptions are live, and said that durable names are held."""

RING_S = 0.1
"""How soon after such a look a ring leads to the next one."""

DURABLES_MAX = 1000
"""The most durable names of a queue."""

ENDED = "The subscription has ended."
"""The reason of an end: its ttl is over, or it was deleted."""

GIVE_BACK_S = 3.0
"""For how long it is waited until what a listener held is given back, which goes on as long as the store is away."""

_ASKED_AT_ONCE = 500


@define(eq=False)
class _Live:
    """A live subscription or a worker.

    :ivar let_go: ends its subscription in the store.
    :ivar given_back: once it has ended: fires when what it held is given back.
    """

    id: str
    place: Place
    listener: IListener
    does: Subscriber | Worker
    let_go: Callable[[], None]
    given_back: Deferred[None] | None = None


class _Watch:
    """Looks whether what is served in one queue still is to be.

    :ivar lives: by the ids of their subscriptions.
    :param over: called with each that is not, and the reason.
    """

    def __init__(
        self, place: Place, storage: IStorage, clock: IReactorTime, over: Callable[[_Live, str], None]
    ) -> None:
        self.lives: dict[str, _Live] = {}
        self._place = place
        self._storage = storage
        self._clock = clock
        self._over = over
        self._next: IDelayedCall | None = None
        self._looked_s = clock.seconds()
        self._is_looking = self._looks_again = False
        self._timer = LoopingCall(self._look)
        self._timer.clock = clock
        self._timer.start(CHECK_S, now=False).addErrback(
            partial(_log.failure, "it is not looked whether live subscriptions have ended")
        )
        self._end_watch = storage.doorbells.watch_changes(place, self._rung)

    def stop(self) -> None:
        """Look no more."""
        self._end_watch()
        self._timer.stop()
        if self._next is not None:
            self._next.cancel()
            self._next = None

    def _rung(self) -> None:
        if self._next is None:
            wait_s = max(0.0, self._looked_s + RING_S - self._clock.seconds())
            self._next = self._clock.callLater(wait_s, self._look_again)

    def _look_again(self) -> None:
        self._next = None
        self._look()

    def _look(self) -> None:
        if self._is_looking:
            self._looks_again = True  # what has changed may have done so behind the look
        else:
            Deferred.fromCoroutine(self._look_at_all()).addErrback(
                partial(_log.failure, "it was not looked whether live subscriptions have ended")
            )

    async def _look_at_all(self) -> None:
        self._is_looking = True
        self._looked_s = self._clock.seconds()
        try:
            lives = list(self.lives.values())
            for at in range(0, len(lives), _ASKED_AT_ONCE):
                some = lives[at : at + _ASKED_AT_ONCE]
                await self._look_at(some)
        except StoreError as error:  # the timer looks again
            _log.debug("it is not known whether live subscriptions of {place} have ended: {why}", place=self._place, why=str(error))
        finally:
            self._is_looking = False
            if self._looks_again and self._timer.running:
                self._looks_again = False
                self._rung()

    async def _look_at(self, some: list[_Live]) -> None:
        at = self._place.project, self._place.name
        # First who holds the durable names: where this process was held up, subscriptions may have ended whose names somebody else
        # has attached since, which is what their holders have to know.
        holders = {(held.name, held.owner): (each, held) for each in some if (held := _held(each)) is not None}
        if holders:
            asked_s = self._clock.seconds()
            kept = set(await self._storage.durables.renew(*at, list(holders), hold_ms=HOLD_MS))
            for holder, (each, held) in holders.items():
                if holder in kept:
                    held.asked_s = asked_s
                else:
                    self._over(each, TAKEN_OVER)
        live = await self._storage.subscriptions.live(*at, [each.id for each in some])
        for each in some:
            if each.id not in live:
                self._over(each, ENDED)


def _before(message_id: str) -> str:
    """The id just before another one."""
    return f"{max(0, int(message_id[:14], 16) - 1):014x}{message_id[14:]}"


def _held(live: _Live) -> Held | None:
    return live.does.held if isinstance(live.does, Subscriber) else None


@implementer(ILive)
class Live:
    """See :class:`~zaqar_gateway.interfaces.ILive`.

    :param new_id: gives tokens that nobody can guess.
    """

    def __init__(
        self, storage: IStorage, readers: IQueueReaders, sockets: ISockets, clock: IReactorTime, new_id: Callable[[], str]
    ) -> None:
        self._storage = storage
        self._readers = readers
        self._sockets = sockets
        self._clock = clock
        self._new_id = new_id
        self._watches: dict[Place, _Watch] = {}
        self._shifts: dict[Place, Shift] = {}
        self._by_listener: dict[IListener, dict[Place, _Live]] = {}
        # Where somebody else has attached a durable name.
        self._taken: WeakKeyDictionary[IListener, set[Place]] = WeakKeyDictionary()
        self._ending: set[Deferred[None]] = set()

    @property
    def count(self) -> int:
        """How many live subscriptions there are, workers among them."""
        return sum(map(len, self._by_listener.values()))

    async def stop(self) -> None:
        """Return when what has ended is given back, as far as the store does that in time."""
        await DeferredList([self._in_time(ending) for ending in self._ending])

    # -- beginning -----------------------------------------------------------------------------------------------------

    async def subscribe(
        self, place: Place, subscription_id: str, terms: LiveTerms, listener: IListener, messages: IMessageStore
    ) -> Begun:
        """See :class:`~zaqar_gateway.interfaces.ILive`."""
        held, marker, resumed, pending = None, terms.marker, False, list[str]()
        if terms.durable:
            held = Held(self._storage.durables, place, terms.durable, self._new_id(), self._clock)
            attached = await self._storage.durables.attach(
                place.project,
                place.name,
                held.name,
                held.owner,
                marker=terms.marker,
                ttl_s=terms.ttl_s,
                hold_ms=HOLD_MS,
                most=DURABLES_MAX,
            )
            marker, resumed = attached.marker, not attached.is_new
            pending = attached.pending
        self._make_room(place, listener)
        over = partial(self._over, place, listener)
        does = Subscriber(place, terms, listener, messages, held, pending, self._clock, over)
        self._begin(place, subscription_id, listener, does)
        start = EARLIEST if terms.earliest and not resumed else marker
        does.begin(self._readers, start, messages is not self._storage.messages)
        return Begun(_before(pending[0]) if pending else marker, terms.durable or None, terms.window, resumed)

    async def work(
        self,
        place: Place,
        subscription_id: str,
        terms: WorkTerms,
        listener: IListener,
        messages: IMessageStore,
        claims: IClaimStore,
    ) -> Begun:
        """See :class:`~zaqar_gateway.interfaces.ILive`."""
        self._make_room(place, listener)
        if place not in self._shifts:
            self._shifts[place] = Shift(place, self._clock, partial(self._storage.doorbells.watch, place))
        shift = self._shifts[place]
        over = partial(self._over, place, listener)
        worker = Worker(
            place, terms, listener, messages, claims, self._storage.claims, self._clock, over, shift.ring
        )
        self._begin(place, subscription_id, listener, worker)
        shift.add(worker)
        return Begun(None, None, terms.window)

    def _begin(self, place: Place, subscription_id: str, listener: IListener, does: Subscriber | Worker) -> None:
        if place not in self._watches:
            self._watches[place] = _Watch(place, self._storage, self._clock, self._ended)
        let_go = self._sockets.hold(place, subscription_id, listener, partial(self._gone, place, listener))
        live = _Live(subscription_id, place, listener, does, let_go)
        self._watches[place].lives[subscription_id] = live
        self._by_listener.setdefault(listener, {})[place] = live
        self._taken.get(listener, set()).discard(place)

    def _make_room(self, place: Place, listener: IListener) -> None:
        """End a forerunner that the store does not have any more, which was not seen yet.

        The listener is not told: it would come behind the reply that tells of the new one.
        """
        live = self._by_listener.get(listener, {}).get(place)
        if live is not None:
            self._end(live)
            live.let_go()

    # -- ending --------------------------------------------------------------------------------------------------------

    def _gone(self, place: Place, listener: IListener) -> None:
        """The listener has gone, or may not have what it has any more."""
        live = self._by_listener[listener][place]
        self._end(live)
        listener.push(frames.end(place, "The connection has ended its subscriptions."))

    def _ended(self, live: _Live, reason: str) -> None:
        if self._by_listener.get(live.listener, {}).get(live.place) is live:
            self._over(live.place, live.listener, reason)

    def _over(self, place: Place, listener: IListener, reason: str) -> None:
        live = self._by_listener[listener][place]
        self._end(live)
        live.let_go()
        listener.push(frames.end(place, reason))
        if reason == TAKEN_OVER:
            self._taken.setdefault(listener, set()).add(place)

    def _end(self, live: _Live) -> None:
        place, mine = live.place, self._by_listener[live.listener]
        del mine[place]
        if not mine:
            del self._by_listener[live.listener]
        watch = self._watches[place]
        del watch.lives[live.id]
        if not watch.lives:
            watch.stop()
            del self._watches[place]
        if isinstance(live.does, Worker):
            if self._shifts[place].remove(live.does):
                del self._shifts[place]
            live.given_back = self._finish(live.does.end())
        else:
            live.does.end()
            if live.does.held is not None:
                live.given_back = self._finish(self._detach(live.does.held))

    async def _detach(self, held: Held) -> None:
        try:
            await held.detach()
        except StoreError as error:  # it is held a little longer, then
            _log.debug("a durable name was not let go: {why}", why=str(error))

    def _finish(self, work: Coroutine[Any, Any, None]) -> Deferred[None]:
        ending = Deferred.fromCoroutine(work)
        ending.addErrback(partial(_log.failure, "what a live subscription held was not given back"))
        if not ending.called:
            self._ending.add(ending)
            ending.addCallback(lambda _: self._ending.discard(ending))
        return ending

    def _in_time(self, ending: Deferred[None]) -> Deferred[None]:
        """When something has ended, or has taken so long that nobody waits for it."""
        waited = Deferred[None]()
        timer = self._clock.callLater(GIVE_BACK_S, waited.callback, None)

        def ended(result: None) -> None:
            if timer.active():
                timer.cancel()
                waited.callback(None)

        ending.addCallback(ended)
        return waited

    # -- what listeners say --------------------------------------------------------------------------------------------

    def find(self, place: Place, listener: IListener) -> ILiveSubscription | None:
        """See :class:`~zaqar_gateway.interfaces.ILive`."""
        live = self._by_listener.get(listener, {}).get(place)
        if live is None and place in self._taken.get(listener, ()):
            raise taken_over(place)
        return None if live is None else live.does

    def deleted(self, place: Place, listener: IListener, message_id: str) -> None:
        """See :class:`~zaqar_gateway.interfaces.ILive`."""
        live = self._by_listener.get(listener, {}).get(place)
        if live is not None and isinstance(live.does, Worker):
            live.does.deleted(message_id)

    def released(self, place: Place, listener: IListener, claim_id: str) -> None:
        """See :class:`~zaqar_gateway.interfaces.ILive`."""
        live = self._by_listener.get(listener, {}).get(place)
        if live is not None and isinstance(live.does, Worker):
            live.does.released(claim_id)

    async def unsubscribed(self, place: Place, listener: IListener, subscription_id: str) -> None:
        """See :class:`~zaqar_gateway.interfaces.ILive`."""
        live = self._by_listener.get(listener, {}).get(place)
        if live is not None and live.id == subscription_id:
            self._over(place, listener, ENDED)
            if live.given_back is not None:
                await self._in_time(live.given_back)
