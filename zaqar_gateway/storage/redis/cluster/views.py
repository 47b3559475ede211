"""Asking the nodes of a Redis Cluster what they know of it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from random import Random
from typing import Any

from twisted.internet.interfaces import IReactorTime, IStreamClientEndpoint
from twisted.logger import Logger

from zaqar_gateway.errors import StoreUnavailable
from zaqar_gateway.storage.redis.cluster.topology import Place, Topology, View, merged, read
from zaqar_gateway.storage.redis.commands import Commands, Refused
from zaqar_gateway.storage.redis.connection import Redis
from zaqar_gateway.storage.redis.gathering import Gathered, gather

_log = Logger()


class Views:
    """Asks nodes.

    :param seeds: where some of them are, for when none is known, or none of those.
    :param reach: makes an endpoint of a host and a port.
    :param written: host and port as people write them.
    :param connecting: makes connections to nodes.
    :param by_name: whether nodes are reached by the names of their hosts, where they tell any.
    """

    def __init__(
        self,
        seeds: Sequence[Place],
        reach: Callable[[str, int], IStreamClientEndpoint],
        written: Callable[[str, int], str],
        connecting: Callable[..., Redis],
        clock: IReactorTime,
        random: Random,
        *,
        by_name: bool,
    ) -> None:
        self._seeds = seeds
        self._reach = reach
        self._written = written
        self._connecting = connecting
        self._clock = clock
        self._random = random
        self._by_name = by_name

    async def ask(self, connected: Mapping[Place, Commands], last: Topology, *, more: bool, is_whole: bool) -> Topology:
        """What nodes tell: those to which there are connections, and all that are known where one of these does not answer.

        :param last: what they told before.
        :param more: whether another one is asked as well, since those may all be cut off.
        :param is_whole: whether it is known where all slots are; else all are asked.
        :raises StoreUnavailable: none tells.
        """
        asked = {place: self._on(place, protocol) for place, protocol in connected.items()}
        others = sorted(last.places.difference(asked))
        if not asked or not is_whole:
            asked.update((place, self._at(place)) for place in others)
        elif more and others:
            one = self._random.choice(others)
            asked[one] = self._at(one)
        gathered = await self._gather(asked)
        if len(gathered.told) < len(asked):
            gathered.add(await self._gather({place: self._at(place) for place in others if place not in asked}))
        told = merged(gathered.told.values(), last.names)
        if told.names:
            return told
        seeds = await self._gather({place: self._at(place) for place in self._seeds})
        told = merged(seeds.told.values(), last.names)
        if not told.names:
            told = merged(seeds.told.values())
            if told.names and last.names:
                _log.error("none of the nodes of the Redis Cluster is left; at the given addresses is another one, which is used")
        if not told.names:
            gathered.add(seeds)
            raise StoreUnavailable(f"No node of the Redis Cluster tells which there are; {gathered.why()}.")
        return told

    async def _gather(self, asked: Mapping[Place, Coroutine[Any, Any, View]]) -> Gathered[View]:
        return await gather(self._clock, {self._written(*place): asking for place, asking in asked.items()})

    async def _on(self, place: Place, protocol: Commands) -> View:
        return await self._told_by(place, protocol.execute_command("CLUSTER", "NODES"))

    async def _at(self, place: Place) -> View:
        redis = self._connecting(self._reach(*place), self._clock, name=self._written(*place), may_follow=True)
        return await self._told_by(place, redis.once("CLUSTER", "NODES"))

    async def _told_by(self, place: Place, asking: Awaitable[bytes]) -> View:
        """:raises StoreUnavailable: it does not tell."""
        try:
            return read((await asking).decode(), place, by_name=self._by_name)
        except Refused as error:
            raise StoreUnavailable(f"it answers: {error}") from None
        except (AttributeError, ValueError) as error:
            raise StoreUnavailable(f"it does not answer as a node of a cluster does: {error}") from None
