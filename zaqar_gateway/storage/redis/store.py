"""The store in Redis, whole, and its sweeper."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Sequence
from typing import Any

from zope.interface import implementer

from zaqar_gateway.errors import StoreUnavailable
from zaqar_gateway.interfaces import IStorage
from zaqar_gateway.model import LogBounds, Quotas, Volume
from zaqar_gateway.storage.ids import new_claim_id, new_incarnation
from zaqar_gateway.storage.redis import scripts
from zaqar_gateway.storage.redis.apart import APART_FROM
from zaqar_gateway.storage.redis.claims import RedisClaims
from zaqar_gateway.storage.redis.commands import Argument, together
from zaqar_gateway.storage.redis.dead_letters import RedisDeadLetters
from zaqar_gateway.storage.redis.deliveries import RedisDeliveries
from zaqar_gateway.storage.redis.doorbells import Doorbells
from zaqar_gateway.storage.redis.durables import RedisDurables
from zaqar_gateway.storage.redis.interfaces import IRedis
from zaqar_gateway.storage.redis.keys import Keys
from zaqar_gateway.storage.redis.messages import RedisMessages
from zaqar_gateway.storage.redis.packing import command
from zaqar_gateway.storage.redis.queues import RedisQueues
from zaqar_gateway.storage.redis.rates import RedisRates
from zaqar_gateway.storage.redis.schedule import Gateways, Schedule
from zaqar_gateway.storage.redis.subscriptions import RedisSubscriptions

_SCAN_COUNT = 1000
_SWEEP_COUNT = 100


def _redis_clock() -> Argument:
    return b""


@implementer(IStorage)
class RedisStorage:
    """All parts, on one Redis or on a cluster.

    :param doorbells: that are rung; they are started and stopped by who made them.
    :param now: the instant in milliseconds for tests; by default Redis's own clock, which all gateways share.
    :param apart_from: bytes of a body from which on it is kept apart.
    """

    def __init__(
        self,
        redis: IRedis,
        doorbells: Doorbells,
        keys: Keys | None = None,
        now: Callable[[], Argument] = _redis_clock,
        log_bounds: LogBounds = LogBounds(),  # noqa: B008 - it is immutable
        quotas: Quotas = Quotas(),  # noqa: B008 - it is immutable
        apart_from: int = APART_FROM,
    ) -> None:
        self._redis = redis
        self._keys = keys or Keys()
        self._now = now
        topics = self._keys.topics()
        schedule = Schedule(redis, self._keys, topics, now)
        self.queues = RedisQueues(redis, self._keys, now, new_incarnation, quotas)
        self.messages = RedisMessages(redis, self._keys, now, new_incarnation, schedule, quotas, apart_from)
        self.claims = RedisClaims(redis, self._keys, now, new_incarnation, new_claim_id)
        self.dead_letters = RedisDeadLetters(redis, self._keys, now, new_incarnation, quotas)
        self.topics = RedisQueues(redis, topics, now, new_incarnation, quotas)
        self.topic_messages = RedisMessages(redis, topics, now, new_incarnation, schedule, quotas, apart_from)
        gateways = Gateways(redis, self._keys, schedule, now)
        self.subscriptions, self.topic_subscriptions = (
            RedisSubscriptions(
                redis, each, now, new_incarnation, new_claim_id, schedule, gateways, log_bounds, quotas, is_topic
            )
            for each, is_topic in ((self._keys, False), (topics, True))
        )
        self.deliveries = RedisDeliveries(redis, self._keys, now, schedule, gateways)
        self.durables = RedisDurables(redis, self._keys, now)
        self.doorbells = doorbells
        self.rates = RedisRates(redis, self._keys, now)

    async def ping(self) -> None:
        await self._redis.ping()

    async def secret(self, name: str, fresh: bytes) -> bytes:
        key = self._keys.secret(name)
        while (kept := await self._redis.command(b"GET", key)) is None:
            # Indivisible, for no other reason than that what it promises has to be kept: see replicated.py.
            if not fresh or (await self._redis.transaction(key, 1, command(b"SET", key, fresh, b"NX")))[0]:
                return fresh
        return bytes(kept)

    async def volume(self) -> Volume:
        total = held = 0
        for part in self._redis.parts():
            cursor = b""
            while cursor != b"0":
                cursor, queues = await _scan(part, self._keys, self._keys.any_alive, cursor)
                for alive, claimed in await _each(self._redis, scripts.VOLUME, queues, self._now()):
                    total += alive
                    held += claimed
        return Volume(total - held, held)


async def _scan(part: IRedis, keys: Keys, pattern: bytes, cursor: bytes) -> tuple[bytes, list[bytes]]:
    """Some of the queues and topics with keys that a pattern fits, and the cursor to go on from; it ends at ``0``, and begins empty."""
    found = await part.command(
        b"SCAN", cursor or b"0", b"MATCH", pattern, b"COUNT", _SCAN_COUNT, b"TYPE", b"zset"
    )
    return found[0], keys.queues(found[1])


async def _each(redis: IRedis, script: scripts.Script, queues: Sequence[bytes], now: Argument) -> list[Any]:
    """The answers of a script for each of the queues, asked for in one write."""
    return await together(*(redis.script(script, [key], [now]) for key in queues))


class Sweeper:
    """Frees the memory of what has expired in queues that nobody touches, a bounded slice at a time.

    Many gateways share one Redis; a lease has one of them sweep.

    :param lease_s: how long a sweeper that has died keeps the others waiting.
    """

    def __init__(self, redis: IRedis, keys: Keys, now: Callable[[], Argument] = _redis_clock, lease_s: int = 30) -> None:
        self._redis = redis
        self._keys = keys
        self._now = now
        self._lease_s = lease_s
        self._name = secrets.token_hex(8).encode()
        self._parts: list[IRedis] = []
        self._cursor = b"0"
        self._waiting: list[bytes] = []

    async def step(self) -> None:
        """Sweep a slice of each of some queues.

        :raises StoreError: Redis did not do it.
        """
        if not await self._leads():
            return
        if not self._waiting:
            await self._find()
        now, self._waiting = self._waiting[:_SWEEP_COUNT], self._waiting[_SWEEP_COUNT:]
        unfinished = await _each(self._redis, scripts.SWEEP, now, self._now())
        self._waiting += [key for key, more in zip(now, unfinished, strict=True) if more]

    async def _find(self) -> None:
        if self._cursor == b"0":
            # One that cannot be asked is passed over, until all others had their turn.
            self._parts, self._cursor = self._parts[1:] or [*self._redis.parts()], b""
        part, cursor, self._cursor = self._parts[0], self._cursor, b"0"
        self._cursor, self._waiting = await _scan(part, self._keys, self._keys.any_swept, cursor)

    async def _leads(self) -> bool:
        holder = await self._redis.command(b"GET", self._keys.lease)
        if holder is not None:
            if holder == self._name:
                await self._redis.command(b"EXPIRE", self._keys.lease, self._lease_s)
            return bool(holder == self._name)
        try:
            lease = b"NX", b"EX", self._lease_s
            return bool(await self._redis.command(b"SET", self._keys.lease, self._name, *lease))
        except StoreUnavailable:
            return True  # Redis may have no memory left for a lease; sweeping twice does no harm, and frees some
