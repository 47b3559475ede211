"""When to look at which queue or topic for what is owed to its subscribers, and who looks.

One sorted set has every place that has subscriptions, by the instant at which somebody should look there: now, when a lease
or a wait ends, when the next subscription expires.  It lives in another slot than the places, so that it is changed
beside a step in a place and not within it.  Whoever makes something due nudges the entry; whoever has looked puts it off,
and only if nobody has nudged it meanwhile.  So an entry may be early and is never late.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from attrs import define, field
from twisted.internet.defer import Deferred

from zaqar_gateway.errors import StoreError
from zaqar_gateway.model import Place
from zaqar_gateway.storage.redis import scripts
from zaqar_gateway.storage.redis.commands import Argument
from zaqar_gateway.storage.redis.interfaces import IRedis
from zaqar_gateway.storage.redis.keys import Keys

IDLE_MS = 600_000
"""How long a place with nothing to do is left alone, at most."""


@define(eq=False)
class Schedule:
    """The entries of all places of a key space."""

    _redis: IRedis
    _keys: Keys
    _topic_keys: Keys
    _now: Callable[[], Argument]

    def key_of(self, place: Place) -> bytes:
        """The key of a queue or topic."""
        keys = self._topic_keys if place.is_topic else self._keys
        return keys.queue(place.project, place.name)

    async def due(self, limit: int) -> list[Place]:
        """Places to look at now."""
        found = await self._redis.script(scripts.SCHEDULE_DUE, [self._keys.schedule], [self._now(), limit])
        return [self._keys.place(key) for key in found]

    async def places(self, after: str, limit: int) -> tuple[list[Place], str]:
        """Some of all places, and from where to go on."""
        cursor, found = await self._redis.command(b"ZSCAN", self._keys.schedule, after or b"0", b"COUNT", limit)
        return [self._keys.place(key) for key in found[::2]], "" if cursor == b"0" else cursor.decode()

    async def seen(self, key: bytes) -> bytes | None:
        """When a place is to be looked at, for :meth:`put_off`."""
        found: bytes | None = await self._redis.command(b"ZSCORE", self._keys.schedule, key)
        return found

    async def nudge(self, key: bytes, in_ms: int = 0) -> None:
        """Look at a place after some time at the latest."""
        await self._redis.script(scripts.SCHEDULE_NUDGE, [self._keys.schedule], [self._now(), key, min(in_ms, IDLE_MS)])

    def nudge_soon(self, key: bytes) -> None:
        """Look at a place soon; nobody waits for that, nor hears that it could not be noted."""
        nudged = Deferred.fromCoroutine(self.nudge(key))
        nudged.addErrback(lambda failure: failure.trap(StoreError) and None)

    async def put_off(self, key: bytes, seen: bytes, at_ms: int | None) -> None:
        """Look at a place at an instant, ``None``: never, unless it was nudged since it was seen."""
        arguments: list[Argument] = [key, seen, b"" if at_ms is None else at_ms]
        await self._redis.script(scripts.SCHEDULE_PASS, [self._keys.schedule], arguments)


@define(eq=False)
class Gateways:
    """The gateway processes that share a Redis, and the subscriptions of their sockets."""

    _redis: IRedis
    _keys: Keys
    _schedule: Schedule
    _now: Callable[[], Argument]
    _dead_after_ms: int = 8000
    _made: dict[str, tuple[str, Place]] = field(factory=dict)  # subscriptions of sockets that were made here
    _counts: dict[Place, int] = field(factory=dict)
    _alive: set[str] = field(factory=set)  # names that have beaten here

    # The set of a gateway names each place in which it has such subscriptions, before they are there and until they are
    # gone.  Commands of one process take effect in their order, and its set is changed by no other process.

    async def enter(self, gateway: str, place: Place) -> None:
        """Note a place before a subscription of a socket is made there."""
        self._counts[place] = self._counts.get(place, 0) + 1
        await self._redis.command(b"SADD", self._keys.sockets(gateway), self._schedule.key_of(place))

    def made(self, gateway: str, subscription_id: str, place: Place) -> None:
        """A subscription of a socket was made."""
        self._made[subscription_id] = gateway, place

    async def ended(self, subscription_id: str, place: Place) -> None:
        """A place has no such subscription any more; one that was made elsewhere, or is of no socket, is none of ours."""
        gateway, made_in = self._made.get(subscription_id, ("", None))
        if made_in == place:
            del self._made[subscription_id]
            await self.exit(gateway, place)

    async def exit(self, gateway: str, place: Place) -> None:
        """Take back what :meth:`enter` noted."""
        self._counts[place] -= 1
        if not self._counts[place]:
            del self._counts[place]
            await self._redis.command(b"SREM", self._keys.sockets(gateway), self._schedule.key_of(place))

    async def beat(self, gateway: str) -> tuple[Sequence[str], bool]:
        """See :meth:`zaqar_gateway.interfaces.IDeliveryStore.beat`."""
        was_dead, live, dead = await self._beat(gateway, b"alive" if gateway in self._alive else b"new")
        for each in dead:
            await self._clear(each.decode())
        if was_dead:
            _, live, _ = await self._beat(gateway, b"back")
        self._alive.add(gateway)
        return sorted(each.decode() for each in live), bool(was_dead)

    async def leave(self, gateway: str) -> None:
        """See :meth:`zaqar_gateway.interfaces.IDeliveryStore.leave`."""
        self._alive.discard(gateway)
        await self._clear(gateway)

    async def _beat(self, gateway: str, state: bytes) -> Any:
        arguments: list[Argument] = [self._now(), gateway, self._dead_after_ms, state]
        return await self._redis.script(scripts.BEAT, [self._keys.gateways], arguments)

    async def _clear(self, gateway: str) -> None:
        """End the subscriptions of the sockets of a gateway, and forget it."""
        sockets = self._keys.sockets(gateway)
        while places := await self._redis.command(b"SRANDMEMBER", sockets, 100):
            for key in places:
                await self._redis.script(scripts.SUBSCRIPTION_LEAVE, [key], [self._now(), gateway])
            await self._redis.command(b"SREM", sockets, *places)
        await self._redis.command(b"HDEL", self._keys.gateways, gateway)
