"""Durable names, each in the store of the pool of its queue."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from attrs import define
from zope.interface import implementer

from zaqar_gateway.interfaces import IDurableStore
from zaqar_gateway.model import Attached, Durable, Place
from zaqar_gateway.storage.pooled.placements import Placements


@implementer(IDurableStore)
@define(eq=False)
class PooledDurables:
    """Durable names of :class:`~zaqar_gateway.storage.pooled.PooledStorage`."""

    _placements: Placements

    async def _at(self, project: str, queue: str) -> IDurableStore:
        return (await self._placements.store(Place(project, queue))).durables

    async def attach(
        self, project: str, queue: str, name: str, owner: str, *, marker: str, ttl_s: int, hold_ms: int, most: int
    ) -> Attached:
        return await (await self._at(project, queue)).attach(
            project, queue, name, owner, marker=marker, ttl_s=ttl_s, hold_ms=hold_ms, most=most
        )

    async def advance(
        self, project: str, queue: str, name: str, owner: str, step: int, marker: str, ids: Sequence[str], *, hold_ms: int
    ) -> bool:
        return await (await self._at(project, queue)).advance(
            project, queue, name, owner, step, marker, ids, hold_ms=hold_ms
        )

    async def acknowledge(
        self, project: str, queue: str, name: str, owner: str, ids: Sequence[str], *, hold_ms: int
    ) -> bool:
        return await (await self._at(project, queue)).acknowledge(project, queue, name, owner, ids, hold_ms=hold_ms)

    async def renew(
        self, project: str, queue: str, holds: Sequence[tuple[str, str]], *, hold_ms: int
    ) -> Collection[tuple[str, str]]:
        return await (await self._at(project, queue)).renew(project, queue, holds, hold_ms=hold_ms)

    async def detach(self, project: str, queue: str, name: str, owner: str) -> None:
        await (await self._at(project, queue)).detach(project, queue, name, owner)

    async def list(self, project: str, queue: str) -> list[Durable]:
        return await (await self._at(project, queue)).list(project, queue)

    async def delete(self, project: str, queue: str, name: str) -> bool:
        return await (await self._at(project, queue)).delete(project, queue, name)
