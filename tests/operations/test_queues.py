"""Changes of one queue's metadata by many at one time."""

from __future__ import annotations

import json
from typing import Any, cast

import msgspec
from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.task import Clock, deferLater
from twisted.trial.unittest import SynchronousTestCase

from zaqar_gateway.interfaces import IQueueStore
from zaqar_gateway.limits import Limits
from zaqar_gateway.model import NO_RULES, Context
from zaqar_gateway.operations import fields
from zaqar_gateway.operations.queues import Queues
from zaqar_gateway.storage.memory import MemoryStorage

MANY = 60


class _Far:
    """A store that takes a second to say what there is, as one does that is elsewhere."""

    def __init__(self, store: Any, clock: Clock) -> None:
        self._store, self._clock = store, clock

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    async def get(self, project: str, queue: str) -> bytes | None:
        found: bytes | None = await self._store.get(project, queue)
        await deferLater(self._clock, 1)
        return found


class ChangeTests(SynchronousTestCase):
    """Nobody is refused because of the others, and nothing that one has changed is lost."""

    def test_many(self) -> None:
        """Changes of one queue are made one after the other, those of two queues side by side."""
        clock = Clock()
        storage = MemoryStorage(clock)
        queues = Queues(cast(IQueueStore, _Far(storage.queues, clock)), storage.subscriptions, Limits())

        def change(queue: str, number: int) -> Deferred[bytes]:
            changes = json.dumps([{"op": "add", "path": f"/metadata/k{number}", "value": number}]).encode()
            asked = fields.QueueUpdate(queue, msgspec.Raw(changes))
            return Deferred.fromCoroutine(queues.update(Context("p"), asked))

        for name in ("q", "r"):
            self.successResultOf(Deferred.fromCoroutine(storage.queues.create("p", name, b"{}", NO_RULES)))
        done = gatherResults([change(name, number) for number in range(MANY) for name in ("q", "r")])
        clock.pump([1] * MANY)
        self.successResultOf(done)
        for name in ("q", "r"):
            stored = self.successResultOf(Deferred.fromCoroutine(storage.queues.get("p", name)))
            assert stored is not None
            self.assertEqual(json.loads(stored), {f"k{number}": number for number in range(MANY)})
