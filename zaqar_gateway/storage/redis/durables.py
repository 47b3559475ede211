"""Durable names in Redis."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence

from attrs import define
from zope.interface import implementer

from zaqar_gateway.interfaces import IDurableStore
from zaqar_gateway.model import Attached, Durable
from zaqar_gateway.storage import durables_exceeded
from zaqar_gateway.storage.redis import scripts
from zaqar_gateway.storage.redis.commands import Argument
from zaqar_gateway.storage.redis.interfaces import IRedis
from zaqar_gateway.storage.redis.keys import Keys


@implementer(IDurableStore)
@define
class RedisDurables:
    """One script for each operation, in the slot of the queue."""

    _redis: IRedis
    _keys: Keys
    _now: Callable[[], Argument]  # b"" in production: the script then asks Redis

    async def attach(
        self, project: str, queue: str, name: str, owner: str, *, marker: str, ttl_s: int, hold_ms: int, most: int
    ) -> Attached:
        key = self._keys.queue(project, queue)
        arguments: list[Argument] = [self._now(), name, owner, marker, ttl_s, hold_ms, most]
        outcome, at, *pending = await self._redis.script(scripts.DURABLE_ATTACH, [key], arguments)
        if outcome == 2:
            raise durables_exceeded(most)
        return Attached(bool(outcome), at.decode(), [each.decode() for each in pending])

    async def advance(
        self, project: str, queue: str, name: str, owner: str, step: int, marker: str, ids: Sequence[str], *, hold_ms: int
    ) -> bool:
        key = self._keys.queue(project, queue)
        arguments: list[Argument] = [self._now(), name, owner, hold_ms, step, marker, *ids]
        return bool(await self._redis.script(scripts.DURABLE_ADVANCE, [key], arguments))

    async def acknowledge(
        self, project: str, queue: str, name: str, owner: str, ids: Sequence[str], *, hold_ms: int
    ) -> bool:
        key = self._keys.queue(project, queue)
        arguments: list[Argument] = [self._now(), name, owner, hold_ms, *ids]
        return bool(await self._redis.script(scripts.DURABLE_ACKNOWLEDGE, [key], arguments))

    async def renew(
        self, project: str, queue: str, holds: Sequence[tuple[str, str]], *, hold_ms: int
    ) -> Collection[tuple[str, str]]:
        key = self._keys.queue(project, queue)
        arguments: list[Argument] = [self._now(), hold_ms, *(part for each in holds for part in each)]
        held = await self._redis.script(scripts.DURABLE_RENEW, [key], arguments)
        return [holds[at] for at in held]

    async def detach(self, project: str, queue: str, name: str, owner: str) -> None:
        key = self._keys.queue(project, queue)
        await self._redis.script(scripts.DURABLE_DETACH, [key], [self._now(), name, owner])

    async def list(self, project: str, queue: str) -> list[Durable]:
        key = self._keys.queue(project, queue)
        found = await self._redis.script(scripts.DURABLE_LIST, [key], [self._now()])
        shown = []
        for at in range(0, len(found), 5):
            name, marker, pending, attached, left_ms = found[at : at + 5]
            shown.append(Durable(name.decode(), marker.decode(), pending, bool(attached), left_ms // 1000))
        return sorted(shown, key=lambda each: each.name)

    async def delete(self, project: str, queue: str, name: str) -> bool:
        key = self._keys.queue(project, queue)
        return bool(await self._redis.script(scripts.DURABLE_DELETE, [key], [self._now(), name]))
