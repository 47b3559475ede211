"""What every :class:`~zaqar_gateway.interfaces.IStorage` has to do, besides what its parts have to."""

from __future__ import annotations

from zope.interface.verify import verifyObject

from zaqar_gateway.interfaces import IStorage
from zaqar_gateway.testing.base import StoreContract, numbered


class StorageContract(StoreContract):
    """The store as a whole."""

    async def volume(self) -> tuple[int, int, int]:
        """Free, claimed and all messages, after the time that a count may be old."""
        self.clock.advance(30)
        volume = await self.storage.volume()
        return volume.free, volume.claimed, volume.total

    def test_storage_provides_interface(self) -> None:
        """The store has the parts and methods of the interface."""
        verifyObject(IStorage, self.storage)

    async def test_ping(self) -> None:
        """A store that answers returns from a ping, which creates nothing."""
        await self.storage.ping()
        self.assertEqual(await self.volume(), (0, 0, 0))

    async def test_volume_of_empty_store(self) -> None:
        """An empty store has no messages."""
        self.assertEqual(await self.volume(), (0, 0, 0))

    async def test_volume_counts_all_projects(self) -> None:
        """The volume is of all queues of all projects, delayed messages among the free."""
        await self.put(*numbered(5))
        await self.put(*numbered(4), queue="other")
        await self.put(*numbered(3), project="other")
        await self.make("late", message_delay_s=900)
        await self.put(*numbered(2), queue="late")
        await self.claim(2, ttl_s=600)
        await self.claim(1, queue="other", ttl_s=600)
        self.assertEqual(await self.volume(), (11, 3, 14))

    async def test_volume_follows(self) -> None:
        """What is deleted, released and lapsed changes the volume."""
        await self.put(*numbered(5))
        await self.put(*numbered(3), queue="other")
        claim = await self.claim(2, ttl_s=600)
        self.assertEqual(await self.volume(), (6, 2, 8))
        await self.storage.claims.release("p", "q", claim.id)
        await self.popped(1)
        self.assertEqual(await self.volume(), (7, 0, 7))
        await self.storage.queues.purge("p", "q")
        self.assertEqual(await self.volume(), (3, 0, 3))
        await self.storage.queues.delete("p", "other")
        self.assertEqual(await self.volume(), (0, 0, 0))

    async def test_volume_leaves_out_expired(self) -> None:
        """Expired messages are not in the volume, and messages of lapsed claims are free."""
        await self.put(*numbered(3), ttl_s=60)
        await self.put(*numbered(2), ttl_s=600, queue="other")
        await self.claim(1, ttl_s=60, queue="other")
        self.clock.advance(60)
        self.assertEqual(await self.volume(), (2, 0, 2))
