"""In which store each queue and topic is."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable
from contextlib import suppress
from random import Random, SystemRandom

from twisted.logger import Logger
from zope.interface import implementer

from zaqar_gateway.errors import RuleBroken, StoreError, StoreUnavailable
from zaqar_gateway.interfaces import ICatalog, IPlacements, IQueueStore, IStorage, ISubscriptionStore
from zaqar_gateway.locks import Locks
from zaqar_gateway.model import NO_RULES, Place, Placement, Pool, QueueRules
from zaqar_gateway.storage import queues_exceeded
from zaqar_gateway.storage.pooled.directory import CONFIGURED, Directory, answers

_log = Logger()

KNOWN_S = 5.0
"""For how long a process goes by a placement that it has found."""

LEFT_S = 60
"""After how many seconds at least the placement of what was deleted may be forgotten."""

KNOWN_MAX = 100_000
SWEEP_S = 5.0
_SWEPT_AT_ONCE = _ASKED_AT_ONCE = 100
_SLICES_MAX = 20
"""Of so many placements, in one sweep: a service may make and delete hundreds of queues in a second."""

_TRIES = 5


def queues_of(store: IStorage, place: Place) -> IQueueStore:
    """The queues, or the topics, of a store."""
    return store.topics if place.is_topic else store.queues


def subscriptions_of(store: IStorage, place: Place) -> ISubscriptionStore:
    """The subscriptions of the queues, or of the topics, of a store."""
    return store.topic_subscriptions if place.is_topic else store.subscriptions


async def _missing(store: IStorage, places: list[Place]) -> set[Place]:
    """Those of some queues and topics that are not in a store."""
    missing: set[Place] = set()
    for at in range(0, len(places), _ASKED_AT_ONCE):
        some = places[at : at + _ASKED_AT_ONCE]
        found = await answers([queues_of(store, place).get(place.project, place.name) for place in some])
        missing.update(place for place, metadata in zip(some, found, strict=True) if metadata is None)
    return missing


async def stores_of(catalog: ICatalog, directory: Directory, project: str, is_topics: bool) -> list[IStorage]:
    """The stores in which queues, or topics, of a project may be.

    :raises StoreUnavailable: one of them is not known.
    """
    pools = {CONFIGURED, *await catalog.pools(project, is_topics)}
    return [await directory.store(pool) for pool in pools if await directory.knows(pool)]


@implementer(IPlacements)
class Placements:
    """Finds and makes placements.

    What has none is in the configured store, if anywhere: there it was made before there were pools.

    :param virtual: whether that store takes new queues that no pool is for.
    :param left_s: after how many seconds the placement of what was deleted may be forgotten; what goes by it has to have
        ended before, so this is more than ``KNOWN_S`` and the longest time that a command may take.
    :param queues_max: so many queues, and topics, a project may have in all pools together; 0: any number.  Several
        processes may exceed it by what they make at one time.
    :param monotonic: seconds of a clock that nobody sets.
    """

    def __init__(
        self,
        catalog: ICatalog,
        directory: Directory,
        *,
        virtual: bool,
        left_s: int = LEFT_S,
        queues_max: int = 0,
        random: Random | None = None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._catalog = catalog
        self._directory = directory
        self._virtual = virtual
        self._left_s = left_s
        self._queues_max = queues_max
        self._making = Locks()
        self._random = random or SystemRandom()
        self._monotonic = monotonic
        self._known: OrderedDict[Place, tuple[str, float]] = OrderedDict()  # pool, and until when it counts

    async def pool(self, place: Place) -> str:
        """The pool of something."""
        known = self._known.get(place)
        if known is not None and self._monotonic() < known[1] and self._directory.has(known[0]):
            return known[0]
        asked_at = self._monotonic()
        found = await self._catalog.find(place)
        if found is None or not await self._is_there(found):
            return CONFIGURED
        if found.left_ms is None:
            self._learn(place, found.pool, asked_at)
        return found.pool

    async def store(self, place: Place) -> IStorage:
        """The store that something is in.

        :raises StoreUnavailable: its pool is not known.
        """
        return await self._directory.store(await self.pool(place))

    def _learn(self, place: Place, pool: str, asked_at: float) -> None:
        self._known[place] = pool, asked_at + KNOWN_S
        self._known.move_to_end(place)
        if len(self._known) > KNOWN_MAX:
            self._known.popitem(last=False)

    async def _settle(self, place: Place, rules: QueueRules) -> str:
        """The pool of something that is about to be made, which stays there if it is made.

        :raises StoreUnavailable: there is no pool for it, or none of them answers.
        """
        for _ in range(_TRIES):
            asked_at = self._monotonic()
            found = await self._catalog.find(place)
            if found is None or not await self._is_there(found):
                pool = await self._catalog.prepare(place, await self._choose(place, rules), self._left_s)
            elif found.left_ms is not None:
                pool = await self._catalog.prepare(place, found.pool, self._left_s)
            else:
                pool = found.pool
            if pool is not None:
                self._learn(place, pool, asked_at)
                return pool
        raise StoreUnavailable("The pools are changed by many at once.")

    async def _is_there(self, placement: Placement) -> bool:
        """Whether the pool of a placement exists: one that nothing is in may have been removed."""
        return placement.left_ms is None or await self._directory.knows(placement.pool)

    async def _choose(self, place: Place, rules: QueueRules) -> str:
        if await self._was_before(place):
            return CONFIGURED
        await self._directory.refresh()
        flavor = rules.flavor
        near, pools = await self._near(place, rules), self._directory.of_flavor(flavor)
        if near is not None and (near in {pool.name for pool in pools} or near == CONFIGURED and flavor is None):
            return near
        pools = [pool for pool in pools if pool.weight > 0]
        if not pools:
            if flavor is None and self._virtual:
                return CONFIGURED
            what = "without a flavor" if flavor is None else f"of flavor {flavor}"
            raise StoreUnavailable(f"There is no pool {what} that takes new queues; an administrator has to add one.")
        while pools:
            pool = self._drawn(pools)
            try:
                await (await self._directory.store(pool.name)).ping()
            except StoreError as error:
                _log.debug("pool {name} gets no new queue: {why}", name=pool.name, why=str(error))
                pools.remove(pool)
            else:
                return pool.name
        raise StoreUnavailable("None of the pools that the queue may be put in answers.")

    async def _was_before(self, place: Place) -> bool:
        """Whether something without a placement is in the configured store, from before there were pools."""
        configured = await self._directory.store(CONFIGURED)
        return await queues_of(configured, place).get(place.project, place.name) is not None

    async def _near(self, place: Place, rules: QueueRules) -> str | None:
        """The pool of the dead letter queue, which a queue has to be in too; ``None``: there is no such thing."""
        if rules.dead_letter_queue is None:
            return None
        target = Place(place.project, rules.dead_letter_queue)
        found = await self._catalog.find(target)
        if found is not None and await self._is_there(found):
            return found.pool
        return CONFIGURED if await self._was_before(target) else None

    def _drawn(self, pools: list[Pool]) -> Pool:
        return self._random.choices(pools, [pool.weight for pool in pools])[0]

    # -- making and deleting -----------------------------------------------------------------------------------------

    async def make(self, place: Place, metadata: bytes = b"{}", rules: QueueRules = NO_RULES) -> bool:
        """Make a queue or topic where its placement says, and see to it that it says so still.

        :return: whether it was made by this call.
        :raises RuleBroken: its dead letter queue is in another pool.
        :raises QuotaExceeded: the project has as many as it may have.
        """
        if not self._queues_max:
            return await self._make(place, metadata, rules)
        # No pool sees what is in the others, so it is counted here, for one at a time.
        key = place.project, place.is_topic
        async with self._making.held(key):
            if await self.count(*key) >= self._queues_max:
                if await queues_of(await self.store(place), place).get(place.project, place.name) is not None:
                    return False  # somebody has made it meanwhile
                raise queues_exceeded(self._queues_max)
            return await self._make(place, metadata, rules)

    async def count(self, project: str, is_topics: bool) -> int:
        """How many queues, or topics, a project has in all pools."""
        stores = await stores_of(self._catalog, self._directory, project, is_topics)
        place = Place(project, "", is_topics)
        return sum(await answers([queues_of(store, place).count(project) for store in stores]))

    async def _make(self, place: Place, metadata: bytes, rules: QueueRules) -> bool:
        for _ in range(_TRIES):
            pool = await self._settle(place, rules)
            await self._directory.follow()  # there may be another pool of its name by now, with another store, or none
            if not self._directory.has(pool):
                self._known.pop(place, None)
                continue
            queues = queues_of(await self._directory.store(pool), place)
            # Where one of these fails, whether it is there is found out by whoever may forget the placement.
            await self.bind(place, pool, rules)
            made = await queues.create(place.project, place.name, metadata, rules)
            if await self._hold(place, pool, queues):
                return made
            self._known.pop(place, None)
            if made:  # where it is no more: this process was held up for long, or the pool has gone
                with suppress(StoreError):
                    await queues.delete(place.project, place.name)
        raise StoreUnavailable("The queue is made and deleted by many at once.")

    async def bind(self, place: Place, pool: str, rules: QueueRules) -> None:
        """See to it that a dead letter queue is, and stays, in the pool of the queue whose dead letters it gets.

        :raises RuleBroken: it is in another one already.
        """
        if rules.dead_letter_queue is None:
            return
        if await self._near(place, rules) in (None, pool):
            target = Place(place.project, rules.dead_letter_queue)
            placed = await self._catalog.place(target, pool, bound=True)
            if placed is not None and placed.pool == pool:
                return
        raise RuleBroken(
            f"_dead_letter_queue is {rules.dead_letter_queue}, which is in another pool; it has to be a queue that does"
            " not exist yet, or one that is in the same pool."
        )

    async def delete(self, place: Place) -> None:
        """Delete a queue or topic; its placement goes when nobody goes by it any more, and it has no subscriptions."""
        pool = await self.pool(place)
        store = await self._directory.store(pool)
        await self._leave(place)
        queues = queues_of(store, place)
        await queues.delete(place.project, place.name)  # where that fails it is found out later whether it is there
        with suppress(StoreError):
            found = await self._catalog.find(place)
            if found is not None and found.left_ms is None:
                await self._see(place, queues)

    async def _hold(self, place: Place, pool: str, queues: IQueueStore) -> bool:
        """Have the placement hold of something that was there just now.

        :return: whether that is in this pool.
        """
        placed = await self._catalog.place(place, pool)
        if placed is None or placed.pool != pool:
            return False
        await self._see(place, queues)
        return True

    async def _see(self, place: Place, queues: IQueueStore) -> None:
        """Leave a placement that holds for nothing.  Whoever has one hold, and whoever has deleted something, looks after that; so the
        later of two who do so at the same time sees it.
        """
        with suppress(StoreError):  # what is done is done, whatever becomes of this
            if await queues.get(place.project, place.name) is None:
                await self._leave(place)

    async def _leave(self, place: Place) -> None:
        self._known.pop(place, None)
        await self._catalog.leave(place, self._left_s)

    async def recall(self, pool: str) -> None:
        """See :meth:`zaqar_gateway.interfaces.IPlacements.recall`."""
        kept = await self._catalog.kept(pool)
        if not kept:
            return
        store = await self._directory.store(pool)
        for place in await _missing(store, kept):
            found = await self._catalog.find(place)
            if found == Placement(pool):
                await self._leave(place)
        # Only now, for what somebody makes is there before its placement holds, which may have been left just after that.
        missing = await _missing(store, kept)
        for place in kept:
            if place not in missing and await self._hold(place, pool, queues_of(store, place)):
                return  # the pool is in use, and stays

    async def sweep(self) -> None:
        """Forget placements of what was deleted.

        :raises StoreError: the catalog does not answer.
        """
        for _ in range(_SLICES_MAX):
            lapsed = await self._catalog.lapsed(_SWEPT_AT_ONCE)
            for place, placement in lapsed:
                try:
                    await self._sweep(place, placement)
                except StoreError as error:
                    _log.debug("the placement of {place} is kept: {why}", place=place, why=str(error))
                    await self._catalog.leave(place, self._left_s, placement)  # so that it holds up no other
            if len(lapsed) < _SWEPT_AT_ONCE:
                return

    async def _sweep(self, place: Place, placement: Placement) -> None:
        if await self._is_there(placement):
            store = await self._directory.store(placement.pool)
            if await queues_of(store, place).get(place.project, place.name) is not None:
                await self._hold(place, placement.pool, queues_of(store, place))
                return
            if await subscriptions_of(store, place).list(place.project, place.name, "", 1):
                await self._catalog.leave(place, self._left_s, placement)
                return
        await self._catalog.forget(place, placement)
