"""Pools, flavors and placements in the memory of this process."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from attrs import define, field
from msgspec.structs import replace
from twisted.internet.interfaces import IReactorTime
from zope.interface import implementer

from zaqar_gateway.errors import PoolMissing
from zaqar_gateway.interfaces import ICatalog, IFlavorStore, IManagement, IPoolStore
from zaqar_gateway.model import Flavor, Place, Placement, Pool, PoolChange
from zaqar_gateway.storage import last_of_flavor, pool_in_use, pool_uri_taken


@implementer(IManagement)
class MemoryManagement:
    """All that is known of pools.

    :param clock: gives the time.
    """

    def __init__(self, clock: IReactorTime) -> None:
        known = _Known(clock)
        self.pools: IPoolStore = MemoryPools(known)
        self.flavors: IFlavorStore = MemoryFlavors(known)
        self.catalog: ICatalog = MemoryCatalog(known)


@define(eq=False)
class _Placed:
    """A placement; ``left_ms`` is 0 where it was left and is bound.

    :ivar made: whether what it is for is being made.
    """

    pool: str
    bound: bool = False
    left_ms: int | None = None
    made: bool = False


@define(eq=False)
class _Known:
    """What the parts share."""

    clock: IReactorTime
    version: int = 0
    pools: dict[str, Pool] = field(factory=dict)
    flavors: set[tuple[str, str]] = field(factory=set)
    placed: dict[Place, _Placed] = field(factory=dict)

    def now_ms(self) -> int:
        return int(self.clock.seconds() * 1000)

    def of_flavor(self, flavor: str) -> list[str]:
        return sorted(pool.name for pool in self.pools.values() if pool.flavor == flavor)

    def has_flavor(self, flavor: str | None) -> bool:
        return any(name == flavor for _, name in self.flavors)

    def has_pool(self, name: str) -> bool:
        return not name or name in self.pools

    def at(self, place: Place, pool: str) -> _Placed | None:
        """The placement of something, or else one in a pool, which does not hold yet; ``None``: that does not exist."""
        found = self.placed.get(place)
        if found is None or not self.has_pool(found.pool):
            self.placed.pop(place, None)
            if not self.has_pool(pool):
                return None
            found = self.placed[place] = _Placed(pool, left_ms=self.now_ms())
        return found

    def keep(self, pool: Pool) -> None:
        if any(other.uri == pool.uri and other.name != pool.name for other in self.pools.values()):
            raise pool_uri_taken()
        self.pools[pool.name] = pool
        self.version += 1

    def set_flavor(self, name: str, flavor: str | None) -> None:
        self.pools[name] = replace(self.pools[name], flavor=flavor)


@implementer(IPoolStore)
@define(eq=False)
class MemoryPools:
    """Pools of :class:`MemoryManagement`."""

    _known: _Known

    async def version(self) -> int:
        return self._known.version

    async def all(self) -> list[Pool]:
        return [self._known.pools[name] for name in sorted(self._known.pools)]

    async def put(self, pool: Pool) -> None:
        self._known.keep(pool)

    async def update(self, name: str, change: PoolChange) -> Pool | None:
        pool = self._known.pools.get(name)
        if pool is None:
            return None
        changed = Pool(
            name,
            pool.uri if change.uri is None else change.uri,
            pool.weight if change.weight is None else change.weight,
            (pool.flavor if change.flavor is None else change.flavor) or None,
            pool.options if change.options is None else change.options,
        )
        self._known.keep(changed)
        return changed

    async def delete(self, name: str) -> None:
        known = self._known
        pool = known.pools.get(name)
        if pool is None:
            return
        if pool.flavor and known.has_flavor(pool.flavor) and known.of_flavor(pool.flavor) == [name]:
            raise last_of_flavor(name, pool.flavor)
        number = sum(placed.pool == name and (placed.left_ms is None or placed.made) for placed in known.placed.values())
        if number:
            raise pool_in_use(name, number)
        del known.pools[name]
        known.version += 1


@implementer(IFlavorStore)
@define(eq=False)
class MemoryFlavors:
    """Flavors of :class:`MemoryManagement`."""

    _known: _Known

    async def get(self, project: str, name: str) -> Flavor | None:
        return Flavor(name, tuple(self._known.of_flavor(name))) if (project, name) in self._known.flavors else None

    async def list(self, project: str, marker: str, limit: int) -> list[Flavor]:
        names = sorted(name for owner, name in self._known.flavors if owner == project and name > marker)
        return [Flavor(name, tuple(self._known.of_flavor(name))) for name in names[:limit]]

    async def put(self, project: str, name: str, pools: Sequence[str], *, create: bool) -> bool:
        known = self._known
        if not create and (project, name) not in known.flavors:
            return False
        for pool in pools:
            if pool not in known.pools:
                raise PoolMissing(pool)
        for pool in known.of_flavor(name):
            known.set_flavor(pool, None)
        for pool in pools:
            known.set_flavor(pool, name)
        known.flavors.add((project, name))
        known.version += 1
        return True

    async def delete(self, project: str, name: str) -> None:
        known = self._known
        if (project, name) not in known.flavors:
            return
        known.flavors.remove((project, name))
        if not known.has_flavor(name):
            for pool in known.of_flavor(name):
                known.set_flavor(pool, None)
            known.version += 1


@implementer(ICatalog)
@define(eq=False)
class MemoryCatalog:
    """Placements of :class:`MemoryManagement`."""

    _known: _Known

    async def find(self, place: Place) -> Placement | None:
        found = self._known.placed.get(place)
        return None if found is None else Placement(found.pool, found.left_ms)

    async def prepare(self, place: Place, pool: str, for_s: int) -> str | None:
        found = self._known.at(place, pool)
        if found is None:
            return None
        if found.left_ms:
            found.made, found.left_ms = True, self._known.now_ms() + for_s * 1000
        return found.pool

    async def place(self, place: Place, pool: str, *, bound: bool = False) -> Placement | None:
        found = self._known.at(place, pool)
        if found is None:
            return None
        found.bound, found.left_ms, found.made = found.bound or bound, None, False
        return Placement(found.pool)

    async def leave(self, place: Place, for_s: int, seen: Placement | None = None) -> None:
        found = self._known.placed.get(place)
        if found is not None and (seen is None or found.left_ms == seen.left_ms):
            found.left_ms = 0 if found.bound else self._known.now_ms() + for_s * 1000

    async def lapsed(self, limit: int) -> list[tuple[Place, Placement]]:
        now, placed = self._known.now_ms(), self._known.placed.items()
        left = [(place, Placement(one.pool, one.left_ms)) for place, one in placed if one.left_ms and one.left_ms <= now]
        return left[:limit]

    async def kept(self, pool: str) -> list[Place]:
        if not self._known.has_pool(pool):
            return []
        return [place for place, placed in self._known.placed.items() if placed.pool == pool and (placed.bound or placed.left_ms) and not placed.made]

    async def forget(self, place: Place, placement: Placement) -> None:
        found = self._known.placed.get(place)
        if found is not None and found.left_ms and found.left_ms == placement.left_ms:
            del self._known.placed[place]

    async def list(self, project: str, is_topic: bool, marker: str, limit: int) -> list[tuple[str, str]]:
        placed = self._of(project, is_topic)
        return [(name, placed[name]) for name in sorted(placed) if name > marker][:limit]

    async def pools(self, project: str, is_topic: bool) -> Collection[str]:
        return set(self._of(project, is_topic).values())

    def _of(self, project: str, is_topic: bool) -> dict[str, str]:
        placed = self._known.placed.items()
        return {place.name: one.pool for place, one in placed if (place.project, place.is_topic) == (project, is_topic)}
