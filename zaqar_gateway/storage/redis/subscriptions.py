"""Subscriptions in Redis."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence

from attrs import define
from zope.interface import implementer

from zaqar_gateway.interfaces import ISubscriptionStore
from zaqar_gateway.model import LogBounds, LogPage, NewSubscription, Place, Placed, Quotas, Subscription
from zaqar_gateway.storage import queues_exceeded, subscriber_taken, subscriptions_exceeded
from zaqar_gateway.storage.ids import format_cursor
from zaqar_gateway.storage.redis import scripts, values
from zaqar_gateway.storage.redis.commands import Argument, together
from zaqar_gateway.storage.redis.interfaces import IRedis
from zaqar_gateway.storage.redis.keys import Keys
from zaqar_gateway.storage.redis.schedule import Gateways, Schedule

_COUNTED_AT_ONCE = 100


@implementer(ISubscriptionStore)
@define
class RedisSubscriptions:
    """One script for each operation on subscriptions; what makes something due also nudges the schedule."""

    _redis: IRedis
    _keys: Keys
    _now: Callable[[], Argument]  # b"" in production: the script then asks Redis
    _new_incarnation: Callable[[], str]
    _new_id: Callable[[], str]
    _schedule: Schedule
    _gateways: Gateways
    _bounds: LogBounds
    _quotas: Quotas
    _is_topic: bool = False

    async def create(self, project: str, queue: str, new: NewSubscription) -> Placed:
        place, key = Place(project, queue, self._is_topic), self._keys.queue(project, queue)
        keys = [key, self._keys.catalog(project)]
        if self._quotas.counts_subscriptions:
            keys.append(self._keys.followed(project))
        arguments: list[Argument] = [
            self._now(),
            self._new_id(),
            new.subscriber.encode("utf-8", "surrogatepass"),
            new.ttl_s,
            new.options,
            new.owner,
            int(new.confirmed),
            b"" if new.notice_s is None else new.notice_s,
            self._new_incarnation(),
            self._bounds.bytes_max,
            self._bounds.age_max_s,
            self._quotas.queues,
            self._quotas.subscriptions_per_queue,
        ]
        # The place stands in the schedule before it has a subscription; and after, should somebody just have found that it
        # has none and taken it out.
        steps = [
            self._schedule.nudge(key, new.ttl_s * 1000),
            self._redis.script(scripts.SUBSCRIPTION_CREATE, keys, arguments),
            self._schedule.nudge(key, new.ttl_s * 1000 if new.notice_s is None else 0),
        ]
        if new.owner:
            steps.insert(0, self._gateways.enter(new.owner, place))
        # Where this fails it may be there all the same: what was entered stays until this process ends.
        subscription_id, is_new, confirmed, rank = (await self._redis.in_order(*steps))[-2]
        if is_new > 1:
            quotas = self._quotas
            raise queues_exceeded(quotas.queues) if is_new == 2 else subscriptions_exceeded(quotas.subscriptions_per_queue)
        placed = Placed(subscription_id.decode(), bool(is_new), bool(confirmed), format_cursor(rank))
        if new.owner and is_new:
            self._gateways.made(new.owner, placed.id, place)
        elif new.owner:
            await self._gateways.exit(new.owner, place)
        return placed

    async def count(self, project: str) -> int:
        followed = self._keys.followed(project)
        number: int = 0
        before, after = self._keys.around(project)
        marker = b""
        while True:
            page = b"(" + marker, b"+", b"BYLEX", b"LIMIT", 0, _COUNTED_AT_ONCE
            names = await self._redis.command(b"ZRANGE", followed, *page)
            now = self._now()
            steps = (
                self._redis.script(scripts.SUBSCRIPTION_COUNT, [before + name + after, followed], [now, name])
                for name in names
            )
            number += sum(await together(*steps))
            if len(names) < _COUNTED_AT_ONCE:
                return number
            marker = names[-1]

    async def get(self, project: str, queue: str, subscription_id: str) -> Subscription | None:
        return await self._one(scripts.SUBSCRIPTION_GET, project, queue, subscription_id)

    async def _one(self, script: scripts.Script, project: str, queue: str, subscription_id: str) -> Subscription | None:
        key = self._keys.queue(project, queue)
        found = await self._redis.script(script, [key], [self._now(), _id(subscription_id)])
        return next(iter(values.subscriptions(found, 1, found[0])), None)

    async def has(self, project: str, queue: str, subscriber: str) -> bool:
        arguments: list[Argument] = [self._now(), subscriber.encode("utf-8", "surrogatepass")]
        return bool(await self._redis.script(scripts.SUBSCRIPTION_HAS, [self._keys.queue(project, queue)], arguments))

    async def list(self, project: str, queue: str, marker: str, limit: int) -> list[Subscription]:
        key, found = self._keys.queue(project, queue), list[Subscription]()
        after: Argument = _id(marker)
        while True:
            arguments: list[Argument] = [self._now(), after, limit - len(found)]
            now_ms, more, after, *shown = await self._redis.script(scripts.SUBSCRIPTION_LIST, [key], arguments)
            found += values.subscriptions(shown, 0, now_ms)
            if not more:
                return found

    async def update(
        self,
        project: str,
        queue: str,
        subscription_id: str,
        *,
        subscriber: str | None,
        ttl_s: int | None,
        options: bytes | None,
        notice_s: int | None,
    ) -> bool:
        key = self._keys.queue(project, queue)
        arguments: list[Argument] = [
            self._now(),
            _id(subscription_id),
            b"" if subscriber is None else subscriber.encode("utf-8", "surrogatepass"),
            *(b"" if value is None else value for value in (ttl_s, options, notice_s)),
        ]
        steps = [self._redis.script(scripts.SUBSCRIPTION_UPDATE, [key], arguments), self._schedule.nudge(key)]
        outcome, _ = await self._redis.in_order(*steps)
        if outcome == 2:
            raise subscriber_taken(subscriber or "")
        return bool(outcome)

    async def confirm(
        self, project: str, queue: str, subscription_id: str, confirmed: bool, *, required: bool, notice_s: int | None
    ) -> bool:
        key = self._keys.queue(project, queue)
        arguments: list[Argument] = [
            self._now(),
            _id(subscription_id),
            int(confirmed),
            int(required),
            b"" if notice_s is None else notice_s,
        ]
        steps = [self._redis.script(scripts.SUBSCRIPTION_CONFIRM, [key], arguments), self._schedule.nudge(key)]
        return bool((await self._redis.in_order(*steps))[0])

    async def delete(self, project: str, queue: str, subscription_id: str) -> Subscription | None:
        ended = await self._one(scripts.SUBSCRIPTION_DELETE, project, queue, subscription_id)
        # Though it had ended otherwise before:
        await self._gateways.ended(subscription_id, Place(project, queue, self._is_topic))
        return ended

    async def purge(self, project: str, queue: str) -> None:
        key = self._keys.queue(project, queue)
        await self._redis.script(scripts.SUBSCRIPTION_PURGE, [key], [self._now()])
        self._schedule.nudge_soon(key)  # so that the place is left sooner; a Redis without memory cannot note that

    async def read(self, project: str, queue: str, cursor: str, limit: int) -> LogPage:
        key, rank = self._keys.queue(project, queue), values.rank_of(cursor)
        while True:
            arguments: list[Argument] = [self._now(), rank, limit]
            version, gap, rank, more, *told = await self._redis.script(scripts.LOG_READ, [key], arguments)
            if told or gap or not more:
                return LogPage(values.posts(told, 0), format_cursor(int(rank)), bool(gap), version)

    async def live(self, project: str, queue: str, ids: Sequence[str]) -> Collection[str]:
        key = self._keys.queue(project, queue)
        found = await self._redis.script(scripts.SUBSCRIPTION_LIVE, [key], [self._now(), *map(_id, ids)])
        return {each.decode() for each in found}


def _id(text: str) -> bytes:
    """An id as a client gave it, which may be any text."""
    return text.encode("utf-8", "surrogatepass")
