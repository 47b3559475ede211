"""The store that is made of many, as a whole."""

from __future__ import annotations

from zope.interface import implementer

from zaqar_gateway.interfaces import ICatalog, IStorage
from zaqar_gateway.model import Volume
from zaqar_gateway.storage.pooled.deliveries import PooledDeliveries, PooledDoorbells
from zaqar_gateway.storage.pooled.directory import CONFIGURED, Directory
from zaqar_gateway.storage.pooled.placements import Placements
from zaqar_gateway.storage.pooled.queues import PooledClaims, PooledMessages, PooledQueues
from zaqar_gateway.storage.pooled.subscriptions import PooledSubscriptions


@implementer(IStorage)
class PooledStorage:
    """Goes to the store of the pool that something is in; what belongs to no queue is in the configured store."""

    def __init__(self, catalog: ICatalog, directory: Directory, placements: Placements) -> None:
        self._directory = directory
        self.queues = PooledQueues(placements, catalog, directory, False)
        self.messages = PooledMessages(placements, directory, False)
        self.claims = PooledClaims(placements)
        self.topics = PooledQueues(placements, catalog, directory, True)
        self.topic_messages = PooledMessages(placements, directory, True)
        self.subscriptions = PooledSubscriptions(placements, directory, False)
        self.topic_subscriptions = PooledSubscriptions(placements, directory, True)
        self.deliveries = PooledDeliveries(placements, directory, self._has_sockets)
        self.doorbells = PooledDoorbells(placements, directory)

    def _has_sockets(self, pool: str) -> bool:
        return pool in self.subscriptions.socketed or pool in self.topic_subscriptions.socketed

    async def ping(self) -> None:
        await (await self._directory.store(CONFIGURED)).ping()

    async def secret(self, name: str, fresh: bytes) -> bytes:
        return await (await self._directory.store(CONFIGURED)).secret(name, fresh)

    async def volume(self) -> Volume:
        found = (await self._directory.each(lambda _, store: store.volume())).values()
        return Volume(sum(volume.free for volume in found), sum(volume.claimed for volume in found))
