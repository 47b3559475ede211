"""The store that is made of many, as a whole."""

from __future__ import annotations

from collections.abc import Sequence

from attrs import define
from zope.interface import implementer

from zaqar_gateway.interfaces import ICatalog, IRates, IStorage
from zaqar_gateway.model import Draw, Drawn, Volume
from zaqar_gateway.storage.pooled.deliveries import PooledDeliveries, PooledDoorbells
from zaqar_gateway.storage.pooled.directory import CONFIGURED, Directory
from zaqar_gateway.storage.pooled.durables import PooledDurables
from zaqar_gateway.storage.pooled.placements import Placements
from zaqar_gateway.storage.pooled.queues import PooledClaims, PooledDeadLetters, PooledMessages, PooledQueues
from zaqar_gateway.storage.pooled.subscriptions import PooledSubscriptions


@implementer(IRates)
@define(eq=False)
class PooledRates:
    """The buckets of the configured store."""

    _directory: Directory

    async def draw(self, project: str, draws: Sequence[Draw]) -> Sequence[Drawn]:
        return await (await self._directory.store(CONFIGURED)).rates.draw(project, draws)


@implementer(IStorage)
class PooledStorage:
    """Goes to the store of the pool that something is in; what belongs to no queue is in the configured store.

    :param subscriptions_per_queue: the most that the stores have been told; 0: any number.
    """

    def __init__(
        self, catalog: ICatalog, directory: Directory, placements: Placements, subscriptions_per_queue: int = 0
    ) -> None:
        self._directory = directory
        self.queues = PooledQueues(placements, catalog, directory, False)
        self.messages = PooledMessages(placements, directory, False)
        self.claims = PooledClaims(placements)
        self.dead_letters = PooledDeadLetters(placements, directory)
        self.topics = PooledQueues(placements, catalog, directory, True)
        self.topic_messages = PooledMessages(placements, directory, True)
        self.subscriptions = PooledSubscriptions(placements, catalog, directory, False, subscriptions_per_queue)
        self.topic_subscriptions = PooledSubscriptions(placements, catalog, directory, True, subscriptions_per_queue)
        self.deliveries = PooledDeliveries(placements, directory, self._has_sockets)
        self.durables = PooledDurables(placements)
        self.doorbells = PooledDoorbells(directory)
        self.rates = PooledRates(directory)

    def _has_sockets(self, pool: str) -> bool:
        return pool in self.subscriptions.socketed or pool in self.topic_subscriptions.socketed

    async def ping(self) -> None:
        await (await self._directory.store(CONFIGURED)).ping()

    async def secret(self, name: str, fresh: bytes) -> bytes:
        return await (await self._directory.store(CONFIGURED)).secret(name, fresh)

    async def volume(self) -> Volume:
        found = (await self._directory.each(lambda _, store: store.volume())).values()
        return Volume(sum(volume.free for volume in found), sum(volume.claimed for volume in found))
