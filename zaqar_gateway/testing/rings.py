"""What every :class:`~zaqar_gateway.interfaces.IDoorbells` has to do where messages are claimed, and a way to hear it."""

from __future__ import annotations

from zaqar_gateway.model import Place, SendBack
from zaqar_gateway.testing.base import StoreContract, numbered


class Hearing(StoreContract):
    """Base of the contracts in which it rings."""

    async def hear(self) -> None:
        """Wait until the rings that are under way have come.  For stores whose rings take more than a turn."""
        self.clock.advance(0)

    async def watch(self, queue: str = "q") -> list[Place]:
        """Watch a place, from now on; once for each ring that place."""
        rung: list[Place] = []
        place = self.place(queue)
        self.storage.doorbells.watch(place, lambda: rung.append(place))
        await self.hear()
        rung.clear()
        return rung

    async def rings(self, rung: list[Place]) -> bool:
        """Whether it has rung since the last time."""
        await self.hear()
        has_rung = bool(rung)
        rung.clear()
        return has_rung


class ClaimRingContract(Hearing):
    """Messages that can be had again, or sooner, ring."""

    async def test_ring_for_released_messages(self) -> None:
        """A claim that is released rings; one that is not live, or that is only made, does not."""
        await self.put(*numbered(2))
        claim = await self.claim(1)
        rung = await self.watch()
        await self.claim(1)
        await self.storage.claims.release("p", "q", "nonesuch")
        self.assertFalse(await self.rings(rung))
        await self.storage.claims.release("p", "q", claim.id)
        self.assertTrue(await self.rings(rung))
        await self.storage.claims.release("p", "q", claim.id)
        self.assertFalse(await self.rings(rung))

    async def test_ring_for_a_shorter_claim(self) -> None:
        """A claim that will lapse sooner than was known rings; one that is renewed for as long does not."""
        await self.put(b"1")
        claim = await self.claim(ttl_s=300)
        rung = await self.watch()
        self.clock.advance(1)
        await self.storage.claims.update("p", "q", claim.id, 300, 60)
        self.assertFalse(await self.rings(rung))
        await self.storage.claims.update("p", "q", claim.id, 60, 60)
        self.assertTrue(await self.rings(rung))

    async def test_ring_for_dead_letters(self) -> None:
        """Messages that are moved to the dead letter queue ring there, and not where they were."""
        await self.make(claim_count_max=1, dead_letter_queue="dead")
        await self.put(b"1")
        await self.claim(ttl_s=60)
        rung, dead = await self.watch(), await self.watch("dead")
        self.clock.advance(60)
        self.assertEqual(await self.claimed_bodies(), [])
        self.assertTrue(await self.rings(dead))
        self.assertFalse(await self.rings(rung))

    async def test_ring_for_dead_letters_sent_back(self) -> None:
        """What is sent back rings where it goes."""
        await self.make(claim_count_max=0, dead_letter_queue="dead")
        await self.put(b"1")
        self.assertIsNone(await self.storage.claims.create("p", "q", 60, 60, 1))
        rung, elsewhere = await self.watch(), await self.watch("dead")
        await self.storage.dead_letters.send_back("p", "dead", SendBack(None, 9))
        self.assertEqual((await self.rings(rung), await self.rings(elsewhere)), (True, False))
        await self.storage.dead_letters.send_back("p", "dead", SendBack(None, 9))
        self.assertFalse(await self.rings(rung))
