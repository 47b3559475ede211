"""Has what is owed to subscribers delivered: finds it, leases it, and hands each lease to a courier.

Three things say where something may be owed.  Rings come with each post; of several gateways one answers.  The schedule
of the store names what has become due: retries, leases that lapsed, rings that nobody answered.  A pass over all places
finds whatever else there may be, at start, when rings were missed and when a gateway has ended.

What there is no room for stays in the store, where it costs nothing and is due for whoever has room.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable

from twisted.application.service import Service
from twisted.internet.defer import Deferred, TimeoutError
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import LoopingCall
from twisted.logger import Logger

from zaqar_gateway.errors import StoreError, StoreUnavailable
from zaqar_gateway.interfaces import IDeliveryStore, IDoorbells
from zaqar_gateway.model import Owed, Place, Progress
from zaqar_gateway.push.attempts import Attempts, party_of
from zaqar_gateway.push.courier import BATCH, EXTEND_AFTER_S, LEASE_MS, PUT_OFF_MS, Counters, Courier, Desk, LeaseLost
from zaqar_gateway.push.membership import Membership
from zaqar_gateway.push.turns import Lane, Pace, Rooms, at_once, its_turn

_log = Logger()

POLL_S = 0.5
STOP_S = 10.0
"""How long what is under way may take to end when the gateway stops."""

FAULT_S = 30.0
"""For how long a place is left alone in which the store reports a fault."""

_WATCH_S = 1.0
_LAST_REPORT_S = 2.0
_TAKE_MAX = 4
_TAKES_AT_ONCE = 32
_DUE_MAX = 500
_PAGE = 500
_WANTED_MAX = 10_000
_EXTEND_SLICE = 500


class Dispatcher(Service):
    """Delivers from start to stop.

    :param couriers_max: how many subscribers may be delivered to at one time, those included that wait for a place.
    :param required: whether only confirmed subscriptions are delivered to.
    :param monotonic: seconds of a clock that nobody sets.
    :param pace: of the beginnings of deliveries.
    :ivar counters: what became of deliveries.
    """

    def __init__(
        self,
        store: IDeliveryStore,
        doorbells: IDoorbells,
        membership: Membership,
        attempts: Attempts,
        clock: IReactorTime,
        *,
        couriers_max: int,
        required: bool = False,
        monotonic: Callable[[], float] = time.monotonic,
        pace: Pace = at_once,
    ) -> None:
        self._store = store
        self._doorbells = doorbells
        self._membership = membership
        self._attempts = attempts
        self._clock = clock
        self._required = required
        self._monotonic = monotonic
        self._pace = pace
        self.counters = Counters()
        self._desk = Desk(store, attempts, self.counters, clock, monotonic, required)
        self._rooms = Rooms(couriers_max)
        self._couriers: dict[tuple[Place, str], Courier] = {}
        self._wanted: dict[Place, None] = {}  # to take from, in the order of their turns
        self._taking: dict[Place, int] = {}  # takes under way, and for how many subscribers room is kept for each
        self._faulty: dict[Place, float] = {}  # until when (monotonic) it is left alone
        self._pass_at: str | None = None  # where a pass over all places goes on
        self._pass_wanted = True
        self._is_away = False  # the store
        self._is_pumping = False
        self._work: set[Deferred[None]] = set()
        self._idle: Deferred[None] | None = None
        self._polling = LoopingCall(lambda: Deferred.fromCoroutine(self._poll()))
        self._watching = LoopingCall(self._watch)
        self._polling.clock = self._watching.clock = clock

    @property
    def count(self) -> int:
        """How many subscribers are being delivered to."""
        return len(self._couriers)

    @property
    def waits_for_store(self) -> bool:
        """Whether it cannot be known what is owed."""
        return self._is_away

    def startService(self) -> None:
        """Begin to deliver."""
        super().startService()
        self._membership.on_departure(self._pass)
        self._doorbells.attend(self._ring, self._pass)
        for loop, interval_s in ((self._watching, _WATCH_S), (self._polling, POLL_S)):
            loop.start(interval_s).addErrback(lambda failure: _log.failure("the dispatcher has ended", failure))

    def stopService(self) -> Deferred[None]:
        """Send nothing new, wait for what is under way, give back what is left."""
        super().stopService()
        return Deferred.fromCoroutine(self._stop())

    async def _stop(self) -> None:
        if self._polling.running:
            self._polling.stop()
        self._wanted.clear()
        for courier in list(self._couriers.values()):
            courier.stop()
        if not await self._ends_within(STOP_S):
            for courier in list(self._couriers.values()):
                courier.stop(at_once=True)
            if not await self._ends_within(_LAST_REPORT_S):
                _log.warn("{count} deliveries have not ended; their leases lapse", count=len(self._couriers))
        if self._watching.running:
            self._watching.stop()

    async def _ends_within(self, seconds: float) -> bool:
        """Wait until nothing is under way, for some time."""
        if not self._work:
            return True
        self._idle = Deferred()
        try:
            await self._idle.addTimeout(seconds, self._clock)
        except TimeoutError:
            return False
        finally:
            self._idle = None
        return True

    # -- where something may be owed ---------------------------------------------------------------------------------

    def _ring(self, place: Place) -> None:
        if self._membership.is_ours(place):
            self._want(place)

    def _pass(self) -> None:
        self._pass_wanted = True

    async def _poll(self) -> None:
        """Look at the schedule, and at the next places of a pass."""
        if not self._free() or len(self._wanted) >= _WANTED_MAX:
            return
        try:
            for place in await self._store.due(_DUE_MAX):
                self._want(place)
            if self._pass_at is None and self._pass_wanted:
                self._pass_at, self._pass_wanted = "", False
            if self._pass_at is not None:
                places, at = await self._store.places(self._pass_at, _PAGE)
                self._pass_at = at or None
                for place in places:
                    self._want(place)
        except StoreError as error:
            if not self._is_away:
                _log.warn("deliveries wait for the store: {why}", why=str(error))
            self._is_away = True
        except Exception:
            _log.failure("cannot look for what is owed")
        else:
            if self._is_away:
                _log.info("deliveries go on")
                self._pass()
            self._is_away = False

    def _want(self, place: Place) -> None:
        if not self.running or len(self._wanted) >= _WANTED_MAX:
            return  # the schedule names it again
        if self._faulty.get(place, 0.0) > self._monotonic():
            return
        self._wanted[place] = None
        self._pump()

    # -- taking ------------------------------------------------------------------------------------------------------

    def _free(self) -> int:
        return max(0, self._rooms.free - sum(self._taking.values()))

    def _pump(self) -> None:
        """Take from places that wait for it, as far as there is room."""
        if self._is_pumping:  # what ends at once comes back here; the loop below sees what that changes
            return
        self._is_pumping = True
        try:
            while self._free() and len(self._taking) < _TAKES_AT_ONCE:
                place = next((place for place in self._wanted if place not in self._taking), None)
                if place is None:
                    break
                del self._wanted[place]
                self._taking[place] = min(_TAKE_MAX, self._free())
                self._begin(self._take(place))
        finally:
            self._is_pumping = False

    async def _take(self, place: Place) -> None:
        limit, asked_at = self._taking[place], self._monotonic()
        try:
            taken = await self._store.take(place, limit=limit, batch=BATCH, lease_ms=LEASE_MS, required=self._required)
            for owed in taken:
                await its_turn(self._pace)
                self._taking[place] -= 1
                self._employ(owed, asked_at)
        except StoreError as error:
            self._failed(place, error)
            return
        finally:
            del self._taking[place]
        if len(taken) == limit:
            self._want(place)

    def _failed(self, place: Place, error: StoreError) -> None:
        """A step in a place failed; what was leased there lapses and is due again."""
        if isinstance(error, StoreUnavailable):
            _log.debug("deliveries of {place} wait: {why}", place=place, why=str(error))
            self._pass()
            return
        now = self._monotonic()
        self._faulty = {known: until for known, until in self._faulty.items() if until > now} | {place: now + FAULT_S}
        why = getattr(error, "cause", "") or str(error)
        _log.error("the store cannot say what is owed in {place}: {why}", place=place, why=why)

    def _employ(self, owed: Owed, asked_at: float) -> None:
        lane, key = self._attempts.lane(owed), (owed.place, owed.subscription.id)
        if not self._rooms.has(lane, party_of(owed.place, owed.subscription.subscriber)):
            self._begin(self._put_off(owed))
            return
        if key in self._couriers:  # its lease has lapsed
            self._couriers[key].lose()
        courier = Courier(self._desk, owed, asked_at, lane, self._move)
        self._rooms.add(lane, courier.party)
        self._couriers[key] = courier
        if not self.running:
            courier.stop()
        self._begin(self._accompany(courier, key))

    async def _put_off(self, owed: Owed) -> None:
        """Give a lease back for lack of room."""
        progress = Progress(owed.subscription.id, owed.token, attempts=owed.attempts, wait_ms=PUT_OFF_MS)
        try:
            await self._store.report(owed.place, progress, batch=BATCH, lease_ms=LEASE_MS, required=self._required)
        except StoreError as error:
            self._failed(owed.place, error)

    async def _accompany(self, courier: Courier, key: tuple[Place, str]) -> None:
        try:
            await courier.run()
        except LeaseLost:
            _log.debug("a lease for subscription {subscription} was lost", subscription=key[1])
        except StoreError as error:
            self._failed(courier.place, error)
        finally:
            self._rooms.remove(courier.lane, courier.party)
            if self._couriers.get(key) is courier:
                del self._couriers[key]

    def _move(self, courier: Courier, lane: Lane) -> bool:
        self._rooms.remove(courier.lane, courier.party)
        has_room, courier.lane = self._rooms.has(lane, courier.party), lane
        self._rooms.add(lane, courier.party)
        return has_room

    def _begin(self, work: Awaitable[None]) -> None:
        """Run something beside everything else."""

        async def run() -> None:
            try:
                await work
            except Exception:
                _log.failure("a delivery has ended; its lease lapses")

        def ended(_: None) -> None:
            self._work.discard(task)
            self._pump()
            if self._idle is not None and not self._work:
                self._idle.callback(None)

        task = Deferred.fromCoroutine(run())
        self._work.add(task)
        task.addCallback(ended)

    # -- leases ------------------------------------------------------------------------------------------------------

    def _watch(self) -> None:
        """Extend leases that have run for a while, end what relied on one for too long, have slow ones make room."""
        self._attempts.make_room()
        now = self._monotonic()
        old: dict[Place, list[Courier]] = {}
        for courier in list(self._couriers.values()):
            if not courier.is_trusted():
                courier.lose()
            elif now >= courier.asked_at + EXTEND_AFTER_S:
                old.setdefault(courier.place, []).append(courier)
        for place, couriers in old.items():
            for at in range(0, len(couriers), _EXTEND_SLICE):
                self._begin(self._extend(place, couriers[at : at + _EXTEND_SLICE]))

    async def _extend(self, place: Place, couriers: list[Courier]) -> None:
        asked_at = self._monotonic()
        try:
            kept = await self._store.extend(place, [courier.lease for courier in couriers], LEASE_MS)
        except StoreError as error:
            self._failed(place, error)
            return
        for courier in couriers:
            if courier.lease[0] in kept:
                courier.extended(asked_at)
            else:
                courier.lose()
