"""Queues in Redis."""

from __future__ import annotations

from collections.abc import Callable

from attrs import define
from zope.interface import implementer

from zaqar_gateway.interfaces import IQueueStore
from zaqar_gateway.model import QueueEntry, QueueRules, QueueStats, Quotas, StatsEdge, Usage
from zaqar_gateway.storage import queues_exceeded
from zaqar_gateway.storage.ids import created_ms, format_id
from zaqar_gateway.storage.redis import scripts
from zaqar_gateway.storage.redis.commands import Argument, together
from zaqar_gateway.storage.redis.interfaces import IRedis
from zaqar_gateway.storage.redis.keys import Keys
from zaqar_gateway.storage.redis.values import rule_arguments

_COUNTED_AT_ONCE = 100


@implementer(IQueueStore)
@define
class RedisQueues:
    """One script for each operation on a queue."""

    _redis: IRedis
    _keys: Keys
    _now: Callable[[], Argument]  # b"" in production: the script then asks Redis
    _new_incarnation: Callable[[], str]
    _quotas: Quotas

    async def create(self, project: str, queue: str, metadata: bytes, rules: QueueRules) -> bool:
        keys = [self._keys.queue(project, queue), self._keys.catalog(project)]
        most = self._quotas.queues
        arguments = [self._now(), self._new_incarnation(), metadata, most, *rule_arguments(rules)]
        made: int = await self._redis.script(scripts.QUEUE_CREATE, keys, arguments)
        if made == 2:
            raise queues_exceeded(most)
        return bool(made)

    async def get(self, project: str, queue: str) -> bytes | None:
        found: bytes | None = await self._redis.command(b"HGET", self._keys.queue(project, queue), b"md")
        return found

    async def update(self, project: str, queue: str, seen: bytes, metadata: bytes, rules: QueueRules) -> bool:
        arguments = [self._now(), seen, metadata, *rule_arguments(rules)]
        return bool(await self._redis.script(scripts.QUEUE_UPDATE, [self._keys.queue(project, queue)], arguments))

    async def delete(self, project: str, queue: str) -> None:
        keys = [self._keys.queue(project, queue), self._keys.catalog(project)]
        await self._redis.script(scripts.QUEUE_DELETE, keys, [self._now(), queue])

    async def list(self, project: str, marker: str, limit: int) -> list[QueueEntry]:
        catalog, around = self._keys.catalog(project), self._keys.around(project)
        found = await self._redis.script(scripts.QUEUE_LIST, [catalog], [marker, limit, *around])
        return [QueueEntry(found[at].decode(), found[at + 1]) for at in range(0, len(found), 2)]

    async def count(self, project: str) -> int:
        number: int = await self._redis.command(b"ZCARD", self._keys.catalog(project))
        return number

    async def usage(self, project: str) -> Usage:
        before, after = self._keys.around(project)
        messages = size = 0
        marker = b""
        while True:
            page = b"(" + marker, b"+", b"BYLEX", b"LIMIT", 0, _COUNTED_AT_ONCE
            names = await self._redis.command(b"ZRANGE", self._keys.catalog(project), *page)
            now = self._now()
            for held in await together(
                *(self._redis.script(scripts.USAGE, [before + name + after], [now]) for name in names)
            ):
                messages += held[0]
                size += held[1]
            if len(names) < _COUNTED_AT_ONCE:
                return Usage(messages, size)
            marker = names[-1]

    async def stats(self, project: str, queue: str) -> QueueStats | None:
        key = self._keys.queue(project, queue)
        while True:
            found = await self._redis.script(scripts.STATS, [key], [self._now()])
            now_ms, incarnation, total, claimed, again, *edges = found
            if not again:
                break
        if not incarnation:
            return None
        oldest, newest = (
            _edge(now_ms, incarnation.decode(), *edges[at : at + 3]) if edges else None for at in (0, 3)
        )
        return QueueStats(total - claimed, claimed, oldest, newest)

    async def purge(self, project: str, queue: str) -> None:
        await self._redis.script(scripts.QUEUE_PURGE, [self._keys.queue(project, queue)], [self._now()])


def _edge(now_ms: int, incarnation: str, rank: bytes, origin: bytes, created: bytes) -> StatsEdge:
    at_ms = int(created) if created else created_ms(int(rank))
    message_id = origin.decode() if origin else format_id(int(rank), incarnation)
    return StatsEdge(message_id, max(0, now_ms - at_ms) // 1000, at_ms)
