"""Pools, flavors and placements in Redis."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from urllib.parse import quote, unquote

from attrs import define
from zope.interface import implementer

from zaqar_gateway.errors import PoolMissing
from zaqar_gateway.interfaces import ICatalog, IFlavorStore, IManagement, IPoolStore
from zaqar_gateway.model import Flavor, Place, Placement, Pool, PoolChange
from zaqar_gateway.storage import last_of_flavor, pool_in_use, pool_uri_taken
from zaqar_gateway.storage.redis import scripts
from zaqar_gateway.storage.redis.commands import Argument
from zaqar_gateway.storage.redis.interfaces import IRedis
from zaqar_gateway.storage.redis.keys import Keys


def _redis_clock() -> Argument:
    return b""


@implementer(IManagement)
class RedisManagement:
    """All that is known of pools, on the connection of a store.

    :param now: the instant in milliseconds for tests; by default Redis's own clock.
    """

    def __init__(self, redis: IRedis, keys: Keys, now: Callable[[], Argument] = _redis_clock) -> None:
        self.pools: IPoolStore = RedisPools(redis, keys.pooling)
        self.flavors: IFlavorStore = RedisFlavors(redis, keys.pooling)
        self.catalog: ICatalog = RedisCatalog(redis, keys.pooling, now)


@implementer(IPoolStore)
@define
class RedisPools:
    """One script for each operation on pools."""

    _redis: IRedis
    _base: bytes

    async def version(self) -> int:
        return int(await self._redis.command(b"GET", self._base + b":version") or 0)

    async def all(self) -> list[Pool]:
        return [_pool(each) for each in await self._redis.script(scripts.POOL_ALL, [self._base], [])]

    async def put(self, pool: Pool) -> None:
        change = PoolChange(pool.uri, pool.weight, pool.flavor, pool.options)
        await self._put(pool.name, change, b"")

    async def update(self, name: str, change: PoolChange) -> Pool | None:
        return await self._put(name, change, b"1")

    async def _put(self, name: str, change: PoolChange, changes: bytes) -> Pool | None:
        arguments: list[Argument] = [_bytes(name), changes]
        for field in change.__struct_fields__:
            value = getattr(change, field)
            if value is not None:
                arguments += field, _bytes(value) if isinstance(value, str) else value
        outcome, *found = await self._redis.script(scripts.POOL_PUT, [self._base], arguments)
        if outcome == 2:
            raise pool_uri_taken()
        return _pool(found[0]) if outcome else None

    async def delete(self, name: str) -> None:
        outcome, *need = await self._redis.script(scripts.POOL_DELETE, [self._base], [_bytes(name)])
        if outcome:
            raise last_of_flavor(name, _text(need[0])) if outcome == 1 else pool_in_use(name, need[0])


@implementer(IFlavorStore)
@define
class RedisFlavors:
    """One script for each operation on flavors."""

    _redis: IRedis
    _base: bytes

    async def get(self, project: str, name: str) -> Flavor | None:
        arguments: list[Argument] = [_quoted(project), _bytes(name)]
        exists, *pools = await self._redis.script(scripts.FLAVOR_GET, [self._base], arguments)
        return Flavor(name, tuple(map(_text, pools))) if exists else None

    async def list(self, project: str, marker: str, limit: int) -> list[Flavor]:
        arguments: list[Argument] = [_quoted(project), _bytes(marker), limit]
        found = await self._redis.script(scripts.FLAVOR_LIST, [self._base], arguments)
        return [Flavor(_text(name), tuple(map(_text, pools))) for name, *pools in found]

    async def put(self, project: str, name: str, pools: Sequence[str], *, create: bool) -> bool:
        arguments: list[Argument] = [_quoted(project), _bytes(name), b"1" if create else b"", *map(_bytes, pools)]
        outcome, *missing = await self._redis.script(scripts.FLAVOR_PUT, [self._base], arguments)
        if missing:
            raise PoolMissing(_text(missing[0]))
        return bool(outcome)

    async def delete(self, project: str, name: str) -> None:
        await self._redis.script(scripts.FLAVOR_DELETE, [self._base], [_quoted(project), _bytes(name)])


@implementer(ICatalog)
@define
class RedisCatalog:
    """One script for each operation on placements."""

    _redis: IRedis
    _base: bytes
    _now: Callable[[], Argument]  # b"" in production: the script then asks Redis

    async def find(self, place: Place) -> Placement | None:
        found = await self._redis.script(scripts.PLACEMENT_FIND, [self._base], _place(place))
        if not found:
            return None
        pool, left_ms = found
        return Placement(_text(pool), int(left_ms) if left_ms else None)

    async def prepare(self, place: Place, pool: str, for_s: int) -> str | None:
        arguments = [self._now(), *_place(place), _bytes(pool), for_s * 1000]
        found = await self._redis.script(scripts.PLACEMENT_PREPARE, [self._base], arguments)
        return _text(found[0]) if found else None

    async def place(self, place: Place, pool: str, *, bound: bool = False) -> Placement | None:
        arguments = [*_place(place), _bytes(pool), b"1" if bound else b""]
        found = await self._redis.script(scripts.PLACEMENT_PLACE, [self._base], arguments)
        return Placement(_text(found[0])) if found else None

    async def leave(self, place: Place, for_s: int, seen: Placement | None = None) -> None:
        left_ms = b"" if seen is None else seen.left_ms or 0
        arguments = [self._now(), *_place(place), for_s * 1000, left_ms]
        await self._redis.script(scripts.PLACEMENT_LEAVE, [self._base], arguments)

    async def lapsed(self, limit: int) -> list[tuple[Place, Placement]]:
        found = await self._redis.script(scripts.PLACEMENT_LAPSED, [self._base], [self._now(), limit])
        lapsed = []
        for at in range(0, len(found), 4):
            where, name, pool, left_ms = found[at : at + 4]
            lapsed.append((_named(where, name), Placement(_text(pool), int(left_ms))))
        return lapsed

    async def kept(self, pool: str) -> list[Place]:
        found = await self._redis.command(b"SMEMBERS", self._base + b":kept." + _bytes(pool))
        return [_named(*each.split(b"/", 1)) for each in found]

    async def forget(self, place: Place, placement: Placement) -> None:
        arguments = [*_place(place), placement.left_ms or 0]
        await self._redis.script(scripts.PLACEMENT_FORGET, [self._base], arguments)

    async def list(self, project: str, is_topic: bool, marker: str, limit: int) -> list[tuple[str, str]]:
        arguments: list[Argument] = [_where(project, is_topic), _bytes(marker), limit]
        found = await self._redis.script(scripts.PLACEMENT_LIST, [self._base], arguments)
        return [(_text(found[at]), _text(found[at + 1])) for at in range(0, len(found), 2)]

    async def pools(self, project: str, is_topic: bool) -> Collection[str]:
        key = self._base + b":used." + _where(project, is_topic).encode()
        return [_text(pool) for pool in await self._redis.command(b"HKEYS", key)]


def _where(project: str, is_topic: bool) -> str:
    return f"{'topic' if is_topic else 'queue'}.{_quoted(project)}"


def _place(place: Place) -> list[Argument]:
    return [_where(place.project, place.is_topic), _bytes(place.name)]


def _named(where: bytes, name: bytes) -> Place:
    """What a script means by what :func:`_place` gives it."""
    kind, _, project = where.decode().partition(".")
    return Place(unquote(project, errors="surrogatepass"), _text(name), kind == "topic")


def _pool(found: Sequence[bytes]) -> Pool:
    name, uri, weight, flavor, options = found
    return Pool(_text(name), _text(uri), int(weight), _text(flavor) or None, options)


def _quoted(text: str) -> str:
    return quote(text, safe="", errors="surrogatepass")


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


def _text(value: bytes) -> str:
    return value.decode("utf-8", "surrogatepass")
