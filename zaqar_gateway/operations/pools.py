"""Pools and flavors: where queues and topics may be put (API reference, "Pools" and "Flavors")."""

from __future__ import annotations

import re
from collections.abc import Sequence
from contextlib import suppress
from typing import Any

import msgspec
from attrs import define, frozen
from msgspec import UNSET
from msgspec.structs import replace

from zaqar_gateway.errors import (
    BadBody,
    FlavorNotCreated,
    FlavorNotUpdated,
    NotFound,
    PoolMissing,
    PoolUnfit,
    StoreError,
)
from zaqar_gateway.interfaces import IFlavorStore, IPlacements, IPoolDirectory, IPoolStore
from zaqar_gateway.limits import Limits, in_range
from zaqar_gateway.model import Context, Flavor, Pool, PoolChange
from zaqar_gateway.operations import documents, fields
from zaqar_gateway.operations.fields import given

TEXT_LENGTH_MAX = 255
"""Characters of a URI and of the name of a flavor."""

WEIGHT_MAX = 2**32 - 1

CAPABILITIES = ("FIFO", "CLAIMS", "DURABILITY", "AOD", "HIGH_THROUGHPUT")
"""What stores may be good for, in the order in which that is told."""

_IN_MEMORY = "memory:"
_PASSWORD = re.compile(r"^(\w+://[^/?#:]*):[^/?#]*@")
_PARAMETER = re.compile(r"([?&;][^=&;]*password[^=&;]*=)[^&;]*", re.IGNORECASE)


@frozen
class Pooling:
    """What the operations on pools need.

    :ivar directory: the stores of the pools.
    :ivar placements: what is in them.
    """

    pools: IPoolStore
    flavors: IFlavorStore
    directory: IPoolDirectory
    placements: IPlacements

    async def follow(self) -> None:
        """Have this process go by a change at once; should that fail, it does as the others do, a little later."""
        with suppress(StoreError):
            await self.directory.refresh()


class FlavorShown(msgspec.Struct, frozen=True):
    """A flavor and what all its pools are good for."""

    flavor: Flavor
    capabilities: tuple[str, ...]


def masked(uri: str) -> str:
    """A URI without the passwords in it: that of the login, and those among its parameters."""
    return _PARAMETER.sub(r"\1***", _PASSWORD.sub(r"\1:***@", uri))


def capabilities(uri: str) -> frozenset[str]:
    """What the store at a URI is good for."""
    lost = {"DURABILITY"} if uri.startswith(_IN_MEMORY) else set()
    return frozenset(CAPABILITIES) - lost


@define
class Pools:
    """The operations on pools, which are of the whole service."""

    _pooling: Pooling
    _limits: Limits

    async def list(self, ctx: Context, asked: fields.PoolList) -> Sequence[Pool]:
        """A page of pools after a marker, by name."""
        limit = self._limits.page(given(asked.limit), self._limits.pools_page_max)
        pools = await self._pooling.pools.all()
        return [_shown(pool) for pool in pools if pool.name > asked.marker][:limit]

    async def get(self, ctx: Context, asked: fields.Pool) -> Pool:
        """:raises NotFound: there is no such pool."""
        return _shown(_named(asked.pool_name, await self._pooling.pools.all()))

    async def create(self, ctx: Context, asked: fields.PoolPut) -> None:
        """Add a pool, in the place of the one with its name, if any.

        :raises BadBody: a member is missing or of the wrong type.
        :raises PoolUnfit: the store cannot be reached, or lacks what the flavor promises.
        :raises PoolUriTaken: another pool has the URI.
        """
        _check_name("pool", asked.pool_name)
        change = _change(asked)
        if change.uri is None or change.weight is None:
            raise BadBody(f"{'uri' if change.uri is None else 'weight'} is missing from the body.")
        pool = Pool(asked.pool_name, change.uri, change.weight, change.flavor or None, change.options or b"{}")
        await self._check_store(pool, await self._pooling.pools.all())
        await self._pooling.pools.put(pool)
        await self._pooling.follow()

    async def update(self, ctx: Context, asked: fields.PoolPut) -> Pool:
        """Change what is given; an empty flavor is none.

        :raises BadBody: nothing that can be changed is given, or something is of the wrong type.
        :raises NotFound: there is no such pool.
        :raises PoolUnfit: the store cannot be reached, or lacks what the flavor promises.
        :raises PoolUriTaken: another pool has the URI.
        """
        change = _change(asked)
        if change == PoolChange():
            raise BadBody("The body has to have one of weight, uri, flavor, options.")
        pools = await self._pooling.pools.all()
        pool = _named(asked.pool_name, pools)
        if change.uri is not None or change.flavor:
            flavor = pool.flavor if change.flavor is None else change.flavor or None
            await self._check_store(replace(pool, uri=change.uri or pool.uri, flavor=flavor), pools)
        changed = await self._pooling.pools.update(asked.pool_name, change)
        if changed is None:
            raise _missing("pool")
        await self._pooling.follow()
        return _shown(changed)

    async def delete(self, ctx: Context, asked: fields.Pool) -> None:
        """Remove a pool; a missing one is no error.

        :raises PoolNeeded: a flavor has no other pool, or something is kept in it.
        :raises StoreError: it does not say whether something is there that was deleted in it.
        """
        _check_name("pool", asked.pool_name)
        await self._pooling.placements.recall(asked.pool_name)
        await self._pooling.pools.delete(asked.pool_name)
        await self._pooling.follow()

    async def _check_store(self, pool: Pool, pools: Sequence[Pool]) -> None:
        needed = {each for other in pools if pool.flavor and other.flavor == pool.flavor for each in capabilities(other.uri)}
        lacking = needed - capabilities(pool.uri)
        if lacking:
            raise PoolUnfit(
                f"uri is of a store without {', '.join(each for each in CAPABILITIES if each in lacking)}, which the pools of"
                f" flavor {pool.flavor} have; it has to be one with all that they have."
            )
        await self._pooling.directory.check(pool.uri)


@define
class Flavors:
    """The operations on flavors, which are of a project."""

    _pooling: Pooling
    _limits: Limits

    async def list(self, ctx: Context, asked: fields.FlavorList) -> Sequence[FlavorShown]:
        """A page of flavors after a marker, by name."""
        limit = self._limits.page(given(asked.limit), self._limits.flavors_page_max)
        page = await self._pooling.flavors.list(ctx.project, asked.marker, limit)
        return await self._with_capabilities(page) if asked.detailed else [FlavorShown(flavor, ()) for flavor in page]

    async def get(self, ctx: Context, asked: fields.Flavor) -> FlavorShown:
        """:raises NotFound: there is no such flavor."""
        flavor = await self._pooling.flavors.get(ctx.project, asked.flavor_name)
        if flavor is None:
            raise _missing("flavor")
        (shown,) = await self._with_capabilities([flavor])
        return shown

    async def create(self, ctx: Context, asked: fields.FlavorPut) -> None:
        """Make a flavor of pools, and no others, in the place of the one with its name, if any.

        :raises BadBody: a member is missing or of the wrong type.
        :raises FlavorNotCreated: there are no pools, or one of them does not exist.
        """
        _check_name("flavor", asked.flavor_name)
        pools = _pool_list(asked)
        if asked.capabilities is not UNSET and not isinstance(asked.capabilities, dict):
            raise BadBody(f"capabilities has to be an object, not {documents.name_of(asked.capabilities)}.")
        if not pools:
            raise FlavorNotCreated("pool_list is empty; it has to name at least one pool.")
        try:
            await self._pooling.flavors.put(ctx.project, asked.flavor_name, pools, create=True)
        except PoolMissing as error:
            raise FlavorNotCreated(f"Flavor {asked.flavor_name} could not be created, error:{error}") from None
        await self._pooling.follow()

    async def update(self, ctx: Context, asked: fields.FlavorPut) -> FlavorShown:
        """Make pools, and no others, those of a flavor.

        :raises BadBody: the list of pools is missing, empty or of the wrong type.
        :raises NotFound: there is no such flavor; that comes before whether the pools exist.
        :raises FlavorNotUpdated: one of the pools does not exist.
        """
        pools = _pool_list(asked)
        if not pools:
            raise BadBody("pool_list is empty; it has to name at least one pool.")
        try:
            if not await self._pooling.flavors.put(ctx.project, asked.flavor_name, pools, create=False):
                raise _missing("flavor")
        except PoolMissing as error:
            raise FlavorNotUpdated(f"Flavor {asked.flavor_name} could not be updated, error:{error}") from None
        await self._pooling.follow()
        return await self.get(ctx, fields.Flavor(asked.flavor_name))

    async def delete(self, ctx: Context, asked: fields.Flavor) -> None:
        """Remove a flavor; a missing one is no error."""
        _check_name("flavor", asked.flavor_name)
        await self._pooling.flavors.delete(ctx.project, asked.flavor_name)
        await self._pooling.follow()

    async def _with_capabilities(self, flavors: Sequence[Flavor]) -> Sequence[FlavorShown]:
        has = {pool.name: capabilities(pool.uri) for pool in await self._pooling.pools.all()}

        def common(flavor: Flavor) -> tuple[str, ...]:
            of_each = [has[name] for name in flavor.pools if name in has]
            return tuple(each for each in CAPABILITIES if of_each and all(each in some for some in of_each))

        return [FlavorShown(flavor, common(flavor)) for flavor in flavors]


def _missing(noun: str) -> NotFound:
    return NotFound(f"The {noun} does not exist.")


def _check_name(noun: str, name: str) -> None:
    if not name:  # there is no such path (API reference, "Methods, unknown paths, trailing slashes")
        raise _missing(noun)


def _named(name: str, pools: Sequence[Pool]) -> Pool:
    for pool in pools:
        if pool.name == name:
            return pool
    raise _missing("pool")


def _shown(pool: Pool) -> Pool:
    return replace(pool, uri=masked(pool.uri))


def _change(asked: fields.PoolPut) -> PoolChange:
    """What is given, once it is found to be in order."""
    options = None
    if asked.options is not UNSET:
        value = documents.value_of(asked.options)
        if not isinstance(value, dict):
            raise BadBody(f"options has to be an object, not {documents.name_of(value)}.")
        options = bytes(asked.options)
    uri = _text("uri", asked.uri)
    if uri == "":
        raise BadBody("uri is empty; it has to be the URI of a store.")
    return PoolChange(uri, _weight(asked.weight), _text("flavor", asked.flavor), options)


def _text(name: str, value: Any) -> str | None:
    if value is UNSET:
        return None
    if not isinstance(value, str):
        raise BadBody(f"{name} has to be a string, not {documents.name_of(value)}.")
    if len(value) > TEXT_LENGTH_MAX:
        raise BadBody(f"{name} has {len(value)} characters; it has to have at most {TEXT_LENGTH_MAX}.")
    return value


def _weight(value: Any) -> int | None:
    if value is UNSET:
        return None
    if type(value) is not int:
        raise BadBody(f"weight has to be an integer, not {documents.name_of(value)}.")
    return in_range("weight", value, 0, WEIGHT_MAX)


def _pool_list(asked: fields.FlavorPut) -> list[str]:
    value = asked.pool_list
    if value is UNSET:
        raise BadBody("pool_list is missing from the body.")
    if not isinstance(value, list) or not all(isinstance(name, str) for name in value):
        raise BadBody("pool_list has to be an array of names of pools.")
    return value
