"""Durable names."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from attrs import define, field
from zope.interface import implementer

from zaqar_gateway.interfaces import IDurableStore
from zaqar_gateway.model import Attached, Durable
from zaqar_gateway.storage import durables_exceeded
from zaqar_gateway.storage.memory.doorbells import MemoryDoorbells
from zaqar_gateway.storage.memory.queues import Space


@define(eq=False)
class _Name:
    """A durable name.

    :ivar held_ms: until when its owner holds it, or when it was let go.
    :ivar pending: ids of what is not done, in the order in which it was given.
    :ivar step: the number of the last step of its owner.
    """

    marker: str
    owner: str
    held_ms: int
    ttl_s: int
    pending: dict[str, None] = field(factory=dict)
    step: int = 0

    @property
    def expires_ms(self) -> int:
        return self.held_ms + self.ttl_s * 1000


@implementer(IDurableStore)
@define(eq=False)
class MemoryDurables:
    """Durable names of :class:`~zaqar_gateway.storage.memory.MemoryStorage`."""

    _space: Space
    _doorbells: MemoryDoorbells
    _queues: dict[tuple[str, str], dict[str, _Name]] = field(factory=dict)

    def _names(self, project: str, queue: str) -> dict[str, _Name]:
        """The names of a queue that are not forgotten."""
        names, now = self._queues.get((project, queue), {}), self._space.now()
        for name in [name for name, one in names.items() if one.expires_ms <= now]:
            del names[name]
        if not names:
            self._queues.pop((project, queue), None)
        return names

    def sweep(self) -> None:
        """Free the memory of names that are forgotten."""
        for place in list(self._queues):
            self._names(*place)

    def _held(self, project: str, queue: str, name: str, owner: str, hold_ms: int) -> _Name | None:
        """A name that the owner holds, and so holds on."""
        one = self._names(project, queue).get(name)
        if one is None or one.owner != owner:
            return None
        one.held_ms = self._space.now() + hold_ms
        return one

    def _ring(self, project: str, queue: str) -> None:
        self._doorbells.changed(self._space.place(project, queue))

    async def attach(
        self, project: str, queue: str, name: str, owner: str, *, marker: str, ttl_s: int, hold_ms: int, most: int
    ) -> Attached:
        names = self._names(project, queue)
        one, held_ms = names.get(name), self._space.now() + hold_ms
        if one is None:
            if len(names) >= most:
                raise durables_exceeded(most)
            self._queues[project, queue] = names
            names[name] = _Name(marker, owner, held_ms, ttl_s)
            return Attached(True, marker, [])
        if one.owner:
            self._ring(project, queue)
        one.owner, one.held_ms, one.ttl_s, one.step = owner, held_ms, ttl_s, 0
        return Attached(False, one.marker, list(one.pending))

    async def advance(
        self, project: str, queue: str, name: str, owner: str, step: int, marker: str, ids: Sequence[str], *, hold_ms: int
    ) -> bool:
        one = self._held(project, queue, name, owner, hold_ms)
        if one is None:
            return False
        if step > one.step:
            one.step, one.marker = step, marker
            one.pending |= {each: None for each in ids if each not in one.pending}
        return True

    async def acknowledge(
        self, project: str, queue: str, name: str, owner: str, ids: Sequence[str], *, hold_ms: int
    ) -> bool:
        one = self._held(project, queue, name, owner, hold_ms)
        if one is None:
            return False
        for each in ids:
            one.pending.pop(each, None)
        return True

    async def renew(
        self, project: str, queue: str, holds: Sequence[tuple[str, str]], *, hold_ms: int
    ) -> Collection[tuple[str, str]]:
        return [each for each in holds if self._held(project, queue, *each, hold_ms)]

    async def detach(self, project: str, queue: str, name: str, owner: str) -> None:
        one = self._held(project, queue, name, owner, 0)
        if one is not None:
            one.owner = ""

    async def list(self, project: str, queue: str) -> list[Durable]:
        now = self._space.now()
        return [
            Durable(
                name,
                one.marker,
                len(one.pending),
                bool(one.owner) and one.held_ms > now,
                (one.expires_ms - now) // 1000,
            )
            for name, one in sorted(self._names(project, queue).items())
        ]

    async def delete(self, project: str, queue: str, name: str) -> bool:
        one = self._names(project, queue).pop(name, None)
        if one is not None and one.owner:
            self._ring(project, queue)
        return one is not None
