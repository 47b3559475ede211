"""What is owed to subscribers, and rings for it, from all pools."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from itertools import chain, zip_longest

from attrs import define, field
from twisted.logger import Logger
from zope.interface import implementer

from zaqar_gateway.errors import StoreError
from zaqar_gateway.interfaces import IDeliveryStore, IDoorbells, IStorage
from zaqar_gateway.model import FailedDelivery, Failing, Owed, Place, Progress
from zaqar_gateway.storage.pooled.directory import CONFIGURED, Directory
from zaqar_gateway.storage.pooled.placements import Placements

_log = Logger()

PATIENCE_S = 2.0
"""For how long a pool that hangs may hold up what is done for all."""


@implementer(IDeliveryStore)
@define(eq=False)
class PooledDeliveries:
    """Deliveries of :class:`~zaqar_gateway.storage.pooled.PooledStorage`.  A pool that does not answer holds up no other."""

    _placements: Placements
    _directory: Directory
    _socketed: Callable[[str], bool]  # whether connections of this process have subscribed in a pool
    _was_dead: bool = False  # whether a pool has said so since the last beat

    async def _at(self, place: Place) -> IDeliveryStore:
        return (await self._placements.store(place)).deliveries

    async def due(self, limit: int) -> list[Place]:
        found = await self._directory.each(lambda _, store: store.deliveries.due(limit), within_s=PATIENCE_S)
        # One after the other of each, so that no pool has to wait for another one.
        return [place for place in chain.from_iterable(zip_longest(*found.values())) if place is not None][:limit]

    async def places(self, after: str, limit: int) -> tuple[list[Place], str]:
        inner, _, begun = after.partition(" ")
        stores = self._directory.all()
        names = [name for name in stores if name >= begun]
        for at, name in enumerate(names):
            try:
                found, inner = await stores[name].deliveries.places(inner if name == begun else "", limit)
            except StoreError as error:
                if name == CONFIGURED:
                    raise
                # Its doorbells say that rings were missed once it is there again.
                _log.debug("pool {name} is left out: {why}", name=name, why=str(error))
                continue
            if inner:
                return found, f"{inner} {name}"
            if found:
                return found, f" {names[at + 1]}" if at + 1 < len(names) else ""
        return [], ""

    async def take(self, place: Place, *, limit: int, batch: int, lease_ms: int, required: bool) -> list[Owed]:
        return await (await self._at(place)).take(place, limit=limit, batch=batch, lease_ms=lease_ms, required=required)

    async def report(
        self, place: Place, progress: Progress, *, batch: int, lease_ms: int, required: bool
    ) -> Owed | None:
        return await (await self._at(place)).report(
            place, progress, batch=batch, lease_ms=lease_ms, required=required
        )

    async def extend(self, place: Place, leases: Sequence[tuple[str, int]], lease_ms: int) -> Collection[str]:
        return await (await self._at(place)).extend(place, leases, lease_ms)

    async def failing(self, limit: int) -> list[Failing]:
        found = await self._directory.each(lambda _, store: store.deliveries.failing(limit))
        return list(chain.from_iterable(found.values()))[:limit]

    async def failures(self, place: Place, marker: str, limit: int) -> list[FailedDelivery]:
        return await (await self._at(place)).failures(place, marker, limit)

    async def resend(self, place: Place, ids: Sequence[str] | None, limit: int) -> int:
        return await (await self._at(place)).resend(place, ids, limit)

    async def beat(self, gateway: str) -> tuple[Sequence[str], bool]:
        async def beat(pool: str, store: IStorage) -> Sequence[str]:
            names, was_dead = await store.deliveries.beat(gateway)
            if was_dead and (pool == CONFIGURED or self._socketed(pool)):
                self._was_dead = True
            return names

        beats = await self._directory.each(beat, within_s=PATIENCE_S)
        was_dead, self._was_dead = self._was_dead, False
        return beats[CONFIGURED], was_dead

    async def leave(self, gateway: str) -> None:
        await self._directory.each(lambda _, store: store.deliveries.leave(gateway))


@define(eq=False)
class _Watch:
    """Somebody who waits at a place.

    :ivar changes: whether for changes, in place of messages.
    :ivar ends: by pool, what ends the watch there.
    """

    place: Place
    ring: Callable[[], None]
    changes: bool = False
    ends: dict[str, Callable[[], None]] = field(factory=dict)

    def begin(self, pool: str, store: IStorage) -> None:
        """Watch in the store of a pool."""
        bells = store.doorbells
        self.ends[pool] = (bells.watch_changes if self.changes else bells.watch)(self.place, self.ring)


@implementer(IDoorbells)
class PooledDoorbells:
    """The doorbells of all pools, those that come later among them.

    A place is watched in each of them: it may not exist yet, and be in any of them next time.
    """

    def __init__(self, directory: Directory) -> None:
        self._directory = directory
        self._attending: list[tuple[Callable[[Place], None], Callable[[], None]]] = []
        self._watching: set[_Watch] = set()
        directory.on_open(self._opened)

    def attend(self, ring: Callable[[Place], None], missed: Callable[[], None]) -> None:
        """See :class:`~zaqar_gateway.interfaces.IDoorbells`."""
        self._attending.append((ring, missed))
        for store in self._directory.all().values():
            store.doorbells.attend(ring, missed)

    def _opened(self, pool: str, store: IStorage) -> None:
        for ring, missed in self._attending:
            store.doorbells.attend(ring, missed)
            missed()
        for watch in [*self._watching]:
            if watch not in self._watching:
                continue  # another one has rung as it began, and who waited has all that was waited for
            if pool in watch.ends:  # the store that it was before
                watch.ends.pop(pool)()
            watch.begin(pool, store)
            if watch not in self._watching:
                watch.ends[pool]()

    def watch(self, place: Place, ring: Callable[[], None]) -> Callable[[], None]:
        """See :class:`~zaqar_gateway.interfaces.IDoorbells`."""
        return self._watch(_Watch(place, ring))

    def watch_changes(self, place: Place, ring: Callable[[], None]) -> Callable[[], None]:
        """See :class:`~zaqar_gateway.interfaces.IDoorbells`."""
        return self._watch(_Watch(place, ring, changes=True))

    def _watch(self, watch: _Watch) -> Callable[[], None]:
        self._watching.add(watch)
        for pool, store in self._directory.all().items():
            watch.begin(pool, store)

        def end() -> None:
            self._watching.discard(watch)
            for end_there in watch.ends.values():
                end_there()

        return end
