"""What is owed to subscribers, in Redis."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence

from attrs import define
from zope.interface import implementer

from zaqar_gateway.interfaces import IDeliveryStore
from zaqar_gateway.model import FailedDelivery, Failing, Owed, Place, Progress
from zaqar_gateway.storage.redis import scripts, values
from zaqar_gateway.storage.redis.commands import Argument, together
from zaqar_gateway.storage.redis.interfaces import IRedis
from zaqar_gateway.storage.redis.keys import Keys
from zaqar_gateway.storage.redis.schedule import IDLE_MS, Gateways, Schedule


@implementer(IDeliveryStore)
@define
class RedisDeliveries:
    """One script for each step in a place, and the schedule that says where there is one to take."""

    _redis: IRedis
    _keys: Keys
    _now: Callable[[], Argument]  # b"" in production: the script then asks Redis
    _schedule: Schedule
    _gateways: Gateways

    async def due(self, limit: int) -> list[Place]:
        return await self._schedule.due(limit)

    async def places(self, after: str, limit: int) -> tuple[list[Place], str]:
        return await self._schedule.places(after, limit)

    async def take(self, place: Place, *, limit: int, batch: int, lease_ms: int, required: bool) -> list[Owed]:
        key = self._schedule.key_of(place)
        arguments: list[Argument] = [self._now(), limit, batch, lease_ms, int(required)]
        seen, answer = await self._redis.in_order(
            self._schedule.seen(key), self._redis.script(scripts.TAKE, [key], arguments)
        )
        now_ms, next_ms, policy, *found = answer
        if seen is not None and float(seen) <= now_ms:
            # A place without subscriptions leaves the schedule.
            await self._schedule.put_off(key, seen, min(next_ms, now_ms + IDLE_MS) if next_ms else None)
        elif next_ms and (seen is None or next_ms < float(seen)):
            # Whoever holds a lease here, and died before it was in the schedule: its end has to be there.
            await self._schedule.nudge(key, max(0, next_ms - now_ms))
        return [values.owed(place, each, now_ms, policy) for each in found]

    async def report(
        self, place: Place, progress: Progress, *, batch: int, lease_ms: int, required: bool
    ) -> Owed | None:
        key = self._schedule.key_of(place)
        arguments: list[Argument] = [
            self._now(),
            progress.subscription_id,
            progress.token,
            values.rank_of(progress.cursor) if progress.cursor else b"",
            progress.attempts,
            b"" if progress.wait_ms is None else progress.wait_ms,
            batch,
            lease_ms,
            int(required),
        ]
        for one in progress.given_up:
            arguments += values.rank_of(one.cursor), one.attempts, one.reason.encode("utf-8", "surrogatepass")
        steps = [self._redis.script(scripts.REPORT, [key], arguments)]
        if progress.given_up:  # before it is known whether it counts: a place too many is found out by who asks, and forgotten by then
            steps = [self._note_failing(key), *steps, self._note_failing(key)]
        now_ms, counts, policy, *found = (await self._redis.in_order(*steps))[len(steps) // 2]
        if counts and progress.wait_ms is not None:
            await self._schedule.nudge(key, progress.wait_ms)
        return values.owed(place, found[0], now_ms, policy) if found else None

    async def _note_failing(self, key: bytes) -> None:
        await self._redis.command(b"SADD", self._keys.failing, key)

    async def extend(self, place: Place, leases: Sequence[tuple[str, int]], lease_ms: int) -> Collection[str]:
        arguments: list[Argument] = [self._now(), lease_ms]
        for lease in leases:
            arguments += lease
        found = await self._redis.script(scripts.EXTEND, [self._schedule.key_of(place)], arguments)
        return {each.decode() for each in found}

    async def failing(self, limit: int) -> list[Failing]:
        found: list[Failing] = []
        cursor = b"0"
        while len(found) < limit:
            cursor, keys = await self._redis.command(b"SSCAN", self._keys.failing, cursor, b"COUNT", limit)
            counts = dict(zip(keys, await self._counts(keys), strict=True))
            found += [Failing(self._keys.place(key), count) for key, count in counts.items() if count]
            await self._forget([key for key, count in counts.items() if not count])
            if cursor == b"0":
                break
        return found[:limit]

    async def _counts(self, keys: Sequence[bytes]) -> list[int]:
        return await together(*(self._redis.script(scripts.FAILED_COUNT, [key], [self._now()]) for key in keys))

    async def _forget(self, keys: Sequence[bytes]) -> None:
        """Take places out of the list of those with failures, unless there is one again by then."""
        if keys:
            await self._redis.command(b"SREM", self._keys.failing, *keys)
            again = [key for key, count in zip(keys, await self._counts(keys), strict=True) if count]
            if again:
                await self._redis.command(b"SADD", self._keys.failing, *again)

    async def failures(self, place: Place, marker: str, limit: int) -> list[FailedDelivery]:
        arguments: list[Argument] = [self._now(), values.rank_of(marker), limit]
        found = await self._redis.script(scripts.FAILED_LIST, [self._schedule.key_of(place)], arguments)
        return values.failures(found, found[0])

    async def resend(self, place: Place, ids: Sequence[str] | None, limit: int) -> int:
        key = self._schedule.key_of(place)
        arguments: list[Argument] = [self._now(), limit, 0 if ids is None else 1, *map(values.rank_of, ids or ())]
        steps = self._redis.script(scripts.RESEND, [key], arguments), self._schedule.nudge(key)
        count, _ = await self._redis.in_order(*steps)
        return int(count)

    async def beat(self, gateway: str) -> tuple[Sequence[str], bool]:
        return await self._gateways.beat(gateway)

    async def leave(self, gateway: str) -> None:
        await self._gateways.leave(gateway)
