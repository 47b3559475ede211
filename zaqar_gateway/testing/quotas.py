"""What every store has to do about quotas (:class:`~zaqar_gateway.model.Quotas`)."""

from __future__ import annotations

from zaqar_gateway.errors import QuotaExceeded
from zaqar_gateway.model import NO_RULES, NewMessage, NewPost, NewSubscription, Quotas, Usage
from zaqar_gateway.testing.base import StoreContract, numbered


class QuotaContract(StoreContract):
    """Quotas; a subclass has :meth:`bound`."""

    def bound(self, quotas: Quotas) -> None:
        """Set ``storage`` to a store with these quotas, on the same data where it keeps them elsewhere."""
        raise NotImplementedError

    async def make_plain(self, queue: str, *, project: str = "p") -> bool:
        """Create a queue without rules; whether it is new."""
        return await self.storage.queues.create(project, queue, b"{}", NO_RULES)

    async def exceeds(self, *texts: bytes, queue: str = "q") -> None:
        """Check that a post is refused, and changes nothing."""
        before = await self.storage.queues.stats("p", queue)
        with self.assertRaises(QuotaExceeded):
            await self.put(*texts, queue=queue)
        self.assertEqual(await self.storage.queues.stats("p", queue), before)

    async def test_queues(self) -> None:
        """A project has no more queues than it may have, however they are made; one that exists can be made again."""
        self.bound(Quotas(queues=2))
        await self.make_plain("a")
        await self.put(b"1", queue="b")
        with self.assertRaises(QuotaExceeded):
            await self.make_plain("c")
        await self.exceeds(b"1", queue="c")
        with self.assertRaises(QuotaExceeded):
            await self.follow(queue="c")
        self.assertEqual(await self.storage.queues.count("p"), 2)
        self.assertIsNone(await self.storage.queues.get("p", "c"))
        self.assertFalse(await self.make_plain("a"))
        await self.put(b"2", queue="a")
        await self.follow(queue="a")

    async def test_queues_of_others(self) -> None:
        """Each project has its own; topics are counted apart; a deleted queue makes room."""
        self.bound(Quotas(queues=1))
        await self.make_plain("a")
        await self.make_plain("a", project="other")
        self.assertTrue(await self.storage.topics.create("p", "a", b"{}", NO_RULES))
        with self.assertRaises(QuotaExceeded):
            await self.storage.topics.create("p", "b", b"{}", NO_RULES)
        await self.storage.queues.delete("p", "a")
        self.assertTrue(await self.make_plain("b"))

    async def test_messages(self) -> None:
        """A post that would make too many messages stores none of them; claimed and delayed ones count."""
        self.bound(Quotas(messages_per_queue=5))
        await self.make(message_delay_s=900)
        await self.put(*numbered(2), delay_s=0)
        await self.claim(1)
        await self.put(*numbered(2), delay_s=600)
        await self.exceeds(*numbered(2))
        await self.put(b"1")
        await self.exceeds(b"1")
        await self.put(*numbered(5), queue="other")

    async def test_messages_that_leave(self) -> None:
        """What is deleted, popped or purged makes room at once, and what expires does so in that instant."""
        self.bound(Quotas(messages_per_queue=2))
        first, _ = await self.put(b"1", b"2")
        await self.drop(first)
        await self.put(b"3", ttl_s=60)
        self.assertEqual(await self.popped(1), [b"2"])
        await self.put(b"4")
        self.clock.advance(59)
        await self.exceeds(b"5")
        self.clock.advance(1)
        await self.put(b"5")
        await self.exceeds(b"6")
        await self.storage.queues.purge("p", "q")
        await self.put(b"6", b"7")

    async def test_bytes(self) -> None:
        """A post whose bodies would be too many bytes stores none of them."""
        self.bound(Quotas(bytes_per_queue=10))
        await self.put(b"1234", b"567")
        await self.exceeds(b"1234")
        await self.exceeds(b"1", b"234")
        await self.put(b"1", b"23")
        await self.exceeds(b"1")
        await self.put(b"1234567890", queue="other")
        await self.exceeds(b"1" * 11, queue="new")
        self.assertIsNone(await self.storage.queues.get("p", "new"))

    async def test_bytes_that_leave(self) -> None:
        """The bytes of what is deleted, popped, purged, deleted with its queue or expired are free again, each once."""
        self.bound(Quotas(bytes_per_queue=10))
        first, second = await self.put(b"1234", b"12345")
        await self.drop(first)
        await self.drop(first)
        await self.storage.messages.delete_many("p", "q", [first, second, second], None)
        await self.put(b"12345", b"12345", ttl_s=60)
        await self.popped(1)
        await self.exceeds(b"123456")
        await self.put(b"12345")
        self.clock.advance(60)
        await self.put(b"12345")
        await self.exceeds(b"1")
        await self.storage.queues.purge("p", "q")
        await self.put(b"1234567890")
        await self.storage.queues.delete("p", "q")
        await self.put(b"1234567890")
        await self.exceeds(b"1")

    async def test_many_expired(self) -> None:
        """Thousands that expired together make room in the same instant."""
        self.bound(Quotas(bytes_per_queue=2500))
        await self.put(*[b"1"] * 2500, ttl_s=60)
        self.clock.advance(60)
        await self.put(*[b"2"] * 2500)
        await self.exceeds(b"3")

    async def test_bytes_of_dead_letters(self) -> None:
        """A dead letter takes its bytes along; it is moved even into a queue that is full, and into a new one."""
        self.bound(Quotas(queues=1, messages_per_queue=2, bytes_per_queue=10))
        await self.make(claim_count_max=1, dead_letter_queue="dead")
        await self.put(b"12345", b"12345")
        await self.claim(ttl_s=60)
        self.clock.advance(60)
        self.assertEqual(await self.claimed_bodies(), [])
        self.assertEqual(await self.counts("dead"), (2, 0))
        await self.put(b"12345", b"12345")
        await self.exceeds(b"1", queue="dead")
        await self.claim(ttl_s=60)
        self.clock.advance(60)
        self.assertEqual(await self.claimed_bodies(), [])
        self.assertEqual(await self.popped(3, queue="dead"), [b"12345"] * 3)
        await self.exceeds(b"123456", queue="dead")
        await self.put(b"12345", queue="dead")

    async def test_bytes_of_dead_letters_in_an_empty_queue(self) -> None:
        """The bytes of dead letters count as well in a queue that was made, or emptied, before they came."""
        self.bound(Quotas(bytes_per_queue=10))
        await self.make(claim_count_max=0, dead_letter_queue="dead")
        await self.make_plain("dead")
        for _ in range(2):
            await self.put(b"12345", b"1234")
            self.assertEqual(await self.claimed_bodies(), [])
            self.assertEqual(await self.storage.queues.usage("p"), Usage(2, 9))
            await self.exceeds(b"12", queue="dead")
            await self.put(b"1", queue="dead")
            self.assertEqual(len(await self.popped(3, queue="dead")), 3)
            self.assertEqual(await self.storage.queues.usage("p"), Usage(0, 0))

    async def test_subscriptions(self) -> None:
        """A queue has no more live subscriptions than it may have; one that is there can be made again."""
        self.bound(Quotas(subscriptions_per_queue=2))
        first = await self.follow("http://a")
        await self.follow("http://b", ttl_s=60)
        with self.assertRaises(QuotaExceeded):
            await self.follow("http://c")
        with self.assertRaises(QuotaExceeded):
            await self.follow("ws:c", owner="gateway")
        placed = await self.storage.subscriptions.create("p", "q", NewSubscription("http://a", 3600, b"{}"))
        self.assertEqual((placed.id, placed.is_new), (first, False))
        await self.follow("http://c", queue="other")
        self.clock.advance(60)
        await self.follow("http://c")
        await self.storage.subscriptions.delete("p", "q", first)
        await self.follow("http://d")

    async def test_refused_subscription_makes_no_queue(self) -> None:
        """Where subscriptions have outlived their queue, one too many does not make it again."""
        self.bound(Quotas(subscriptions_per_queue=1))
        await self.follow("http://a")
        await self.storage.queues.delete("p", "q")
        with self.assertRaises(QuotaExceeded):
            await self.follow("http://b")
        self.assertIsNone(await self.storage.queues.get("p", "q"))

    async def test_usage(self) -> None:
        """The usage of a project is what its queues hold, and nothing that has expired or left, nor of others."""
        self.bound(Quotas(counts_bytes=True))
        self.assertEqual(await self.storage.queues.usage("p"), Usage(0, 0))
        await self.put(b"123", b"45")
        await self.put(b"6", queue="other", ttl_s=60)
        await self.make_plain("empty")
        await self.put(b"789", project="else")
        await self.storage.topic_messages.post(
            "p", "t", NewPost(b"c", [NewMessage(b"1234")], size=4, ttl_default_s=60, size_max=100)
        )
        await self.claim(1, ttl_s=600)
        self.assertEqual(await self.storage.queues.usage("p"), Usage(3, 6))
        self.assertEqual(await self.storage.topics.usage("p"), Usage(1, 4))
        self.clock.advance(60)
        self.assertEqual(await self.storage.queues.usage("p"), Usage(2, 5))
        await self.popped(1)
        self.assertEqual(await self.storage.queues.usage("p"), Usage(1, 3))
        await self.storage.queues.delete("p", "q")
        self.assertEqual(await self.storage.queues.usage("p"), Usage(0, 0))

    async def test_count_of_subscriptions(self) -> None:
        """The live subscriptions of a project are counted, also those whose queue is gone, and no others."""
        self.bound(Quotas(counts_subscriptions=True))
        self.assertEqual(await self.storage.subscriptions.count("p"), 0)
        first = await self.follow("http://a")
        await self.follow("http://b", ttl_s=60)
        await self.follow("http://a", queue="other")
        await self.follow("http://a", project="else")
        await self.storage.topic_subscriptions.create("p", "q", NewSubscription("http://t", 3600))
        await self.storage.queues.delete("p", "q")
        self.assertEqual(await self.storage.subscriptions.count("p"), 3)
        self.assertEqual(await self.storage.topic_subscriptions.count("p"), 1)
        self.clock.advance(60)
        self.assertEqual(await self.storage.subscriptions.count("p"), 2)
        await self.storage.subscriptions.delete("p", "q", first)
        await self.storage.subscriptions.purge("p", "other")
        self.assertEqual(await self.storage.subscriptions.count("p"), 0)
        await self.follow("http://a")
        self.assertEqual(await self.storage.subscriptions.count("p"), 1)

    async def test_usage_of_many(self) -> None:
        """Queues are counted to the last, however many there are."""
        for number in range(205):
            await self.put(b"1", queue=f"q{number}")
        self.assertEqual((await self.storage.queues.usage("p")).messages, 205)
