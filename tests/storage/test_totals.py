"""What projects have in all: counted in the background, and bounded."""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any, TypeVar, cast

from attrs import define, field
from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase, TestCase

from zaqar_gateway.errors import QuotaExceeded, RuleBroken, StoreUnavailable
from zaqar_gateway.interfaces import IStorage
from zaqar_gateway.model import NewMessage, NewPost, NewSubscription, Once, Quotas, Replayed, Usage
from zaqar_gateway.storage.memory import MemoryStorage
from zaqar_gateway.storage.totals import COUNT_S, Amounts, BoundedStorage
from zaqar_gateway.testing.base import StoreContract, clock_at_epoch, numbered
from zaqar_gateway.testing.messages import MessageStoreContract
from zaqar_gateway.testing.once import OnceContract
from zaqar_gateway.testing.subscriptions import SubscriptionStoreContract

T = TypeVar("T")
MANY = Amounts(10**6, 10**9, 10**6)


class BoundedCase(StoreContract):
    """Makes a store whose bounds are out of reach."""

    def setUp(self) -> None:
        self.clock = clock_at_epoch()
        self.storage = BoundedStorage(MemoryStorage(self.clock), MANY, self.clock)


class BoundedMessagesTests(MessageStoreContract, BoundedCase, TestCase):
    """Below its bounds the store is as the one that it is around."""


class BoundedOnceTests(OnceContract, BoundedCase, TestCase):
    """The same where messages come with keys."""


class BoundedSubscriptionsTests(SubscriptionStoreContract, BoundedCase, TestCase):
    """The same of subscriptions."""


@define(eq=False)
class SlowQueues:
    """Queues, or topics, whose usage is told when the test says so; it may take its time, or fail."""

    of: Any
    is_held: bool = False
    error: Exception | None = None
    counts: int = 0
    waiting: list[Deferred[None]] = field(factory=list)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.of, name)

    async def usage(self, project: str) -> Usage:
        self.counts += 1
        found: Usage = await self.of.usage(project)
        if self.is_held:
            self.waiting.append(Deferred())
            await self.waiting[-1]
        if self.error is not None:
            raise self.error
        return found


@define(eq=False)
class SlowPosts:
    """Messages of which it is told when the test says so that they were posted."""

    of: Any
    is_held: bool = False
    waiting: list[Deferred[None]] = field(factory=list)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.of, name)

    async def post(self, project: str, queue: str, new: NewPost) -> list[str]:
        ids: list[str] = await self.of.post(project, queue, new)
        if self.is_held:
            self.waiting.append(Deferred())
            await self.waiting[-1]
        return ids


@define(eq=False)
class Unlisted:
    """Subscriptions that cannot be listed."""

    of: Any

    def __getattr__(self, name: str) -> Any:
        if name == "list":
            raise AssertionError("they are listed")
        return getattr(self.of, name)


class TotalsTests(StoreContract, SynchronousTestCase):
    """One process, and others beside it."""

    def setUp(self) -> None:
        self.clock = clock_at_epoch()
        self.elsewhere = MemoryStorage(self.clock, quotas=Quotas(counts_bytes=True))
        self.queues = SlowQueues(self.elsewhere.queues)
        self.elsewhere.queues = cast(Any, self.queues)
        self.storage = self.bounded(messages=10)

    def bounded(self, messages: int = 0, size: int = 0, subscriptions: int = 0) -> IStorage:
        """The store as one process has it."""
        return BoundedStorage(self.elsewhere, Amounts(messages, size, subscriptions), self.clock)

    def run_now(self, work: Coroutine[Any, Any, T]) -> T:
        return self.successResultOf(Deferred.fromCoroutine(work))

    def post(self, count: int, queue: str = "q", storage: IStorage | None = None, text: bytes = b"1") -> None:
        """Post messages."""
        before, self.storage = self.storage, storage or self.storage
        self.run_now(self.put(*[text] * count, queue=queue))
        self.storage = before

    def beyond(self, count: int, queue: str = "q") -> str:
        """Check that a post is refused; why."""
        work = Deferred.fromCoroutine(self.put(*numbered(count), queue=queue))
        return str(self.failureResultOf(work, QuotaExceeded).value)

    def test_all_queues(self) -> None:
        """All queues and topics of a project count together, each project for itself."""
        self.post(4)
        self.post(4, "other")
        post = self.storage.topic_messages.post
        self.run_now(post("p", "t", NewPost(b"c", [NewMessage(b"1")], size=1, ttl_default_s=60, size_max=10)))
        self.assertEqual(len(self.run_now(self.put(*numbered(10), project="p2"))), 10)
        self.assertIn("at most 10 messages in all", self.beyond(2))
        self.post(1)
        self.beyond(1, "third")
        self.assertEqual(self.run_now(self.storage.queues.count("p")), 2)

    def test_bytes(self) -> None:
        """So do the bytes of bodies."""
        self.storage = self.bounded(size=10)
        self.post(3, text=b"123")
        self.assertIn("at most 10 bytes", self.beyond(2))
        self.post(1)

    def test_subscriptions(self) -> None:
        """So do subscriptions; one that is made again does not count twice, and one that is refused not at all."""
        self.storage = self.bounded(subscriptions=2)
        self.run_now(self.follow("http://a"))
        create = self.storage.subscriptions.create
        self.assertFalse(self.run_now(create("p", "q", NewSubscription("http://a", 60))).is_new)
        new = NewSubscription("http://b", 60)
        self.assertTrue(self.run_now(self.storage.topic_subscriptions.create("p", "t", new)).is_new)
        refused = self.failureResultOf(Deferred.fromCoroutine(create("p", "r", new)), QuotaExceeded)
        self.assertIn("at most 2 subscriptions in all", str(refused.value))
        self.assertFalse(self.run_now(create("p", "q", NewSubscription("http://a", 60))).is_new)
        self.failureResultOf(Deferred.fromCoroutine(create("p", "q", new)), QuotaExceeded)
        self.post(100)
        self.run_now(self.storage.subscriptions.purge("p", "q"))
        self.clock.advance(COUNT_S)
        self.assertTrue(self.run_now(create("p", "r", new)).is_new)

    def test_subscription_beyond(self) -> None:
        """Whoever is refused one more has nothing looked through, however many there are."""
        self.elsewhere.subscriptions = cast(Any, Unlisted(self.elsewhere.subscriptions))
        self.storage = self.bounded(subscriptions=2)
        for subscriber in ("http://a", "http://b"):
            self.run_now(self.follow(subscriber))
        for queue in ("q", "r"):
            new = NewSubscription("http://c", 60)
            self.failureResultOf(Deferred.fromCoroutine(self.storage.subscriptions.create("p", queue, new)), QuotaExceeded)

    def test_from_before(self) -> None:
        """What is there before the first post of a process counts."""
        self.post(9, storage=self.elsewhere)
        self.beyond(2)
        self.post(1)

    def test_count_is_awaited_once(self) -> None:
        """The first posts of a process wait for one count, and those after it for none."""
        self.queues.is_held = True
        first = Deferred.fromCoroutine(self.put(*numbered(6)))
        second = Deferred.fromCoroutine(self.put(*numbered(6)))
        self.assertNoResult(first)
        self.queues.waiting.pop().callback(None)
        self.assertEqual(len(self.successResultOf(first)), 6)
        self.failureResultOf(second, QuotaExceeded)
        self.post(4)
        self.assertEqual(self.queues.counts, 1)

    def test_others(self) -> None:
        """What others post, and what leaves, is seen with the next count."""
        self.post(5)
        self.post(5, storage=self.elsewhere)
        self.post(1)
        self.clock.advance(COUNT_S)
        self.beyond(1)
        self.run_now(self.popped(3))
        self.beyond(1)
        self.clock.advance(COUNT_S)
        self.post(2)

    def test_during_a_count(self) -> None:
        """What is let in while a count is under way is not lost by it; one who would be refused waits for the count."""
        self.post(5)
        self.clock.advance(COUNT_S)
        self.queues.is_held = True
        self.post(2)
        self.post(2)
        late = Deferred.fromCoroutine(self.put(*numbered(2)))
        self.assertNoResult(late)
        self.run_now(self.storage.queues.purge("p", "q"))
        self.queues.waiting.pop().callback(None)
        # Counted before the two posts and the purge: 5, and 4 since.
        self.failureResultOf(late, QuotaExceeded)
        self.queues.is_held = False
        self.clock.advance(COUNT_S)
        self.post(10)

    def hold_across_a_count(self) -> Deferred[list[str]]:
        """Have a repeated post of 4 messages and, begun after it, the count for a new one wait for their answers."""
        posts = self.elsewhere.messages = cast(Any, SlowPosts(self.elsewhere.messages))
        self.storage = self.bounded(messages=10)
        self.successResultOf(self.post_once(4, "a"))
        posts.is_held = True
        again = self.post_once(4, "a")
        self.assertNoResult(again)
        posts.is_held, self.queues.is_held = False, True
        self.clock.advance(COUNT_S)
        self.post(1)
        return again

    def test_not_stored_beside_a_count(self) -> None:
        """What was let in before a count, and is found not to be stored while that is under way, is not taken off what it finds."""
        again = self.hold_across_a_count()
        self.elsewhere.messages.waiting.pop().callback(None)  # type: ignore[attr-defined]
        self.assertIs(type(self.successResultOf(again)), Replayed)
        self.queues.waiting.pop().callback(None)
        self.post(5)
        self.beyond(1)

    def test_not_stored_after_a_count(self) -> None:
        """Nor is it where the count has ended first."""
        again = self.hold_across_a_count()
        self.queues.waiting.pop().callback(None)
        self.elsewhere.messages.waiting.pop().callback(None)  # type: ignore[attr-defined]
        self.assertIs(type(self.successResultOf(again)), Replayed)
        self.post(5)
        self.beyond(1)

    def test_not_stored_after_a_count_that_failed(self) -> None:
        """A count without an outcome changes nothing of that."""
        again = self.hold_across_a_count()
        self.queues.waiting.pop().errback(StoreUnavailable("There is no connection to Redis."))
        self.elsewhere.messages.waiting.pop().callback(None)  # type: ignore[attr-defined]
        self.assertIs(type(self.successResultOf(again)), Replayed)
        self.queues.is_held = False
        self.post(5)
        self.assertEqual(self.queues.counts, 2)

    def test_share_of_time(self) -> None:
        """A count that takes long is not made again before twenty times as long."""
        self.queues.is_held = True
        first = Deferred.fromCoroutine(self.put(b"1"))
        self.clock.advance(1)
        self.queues.is_held = False
        self.queues.waiting.pop().callback(None)
        self.successResultOf(first)
        for _ in range(4):
            self.clock.advance(4.75)
            self.post(1)
        self.assertEqual(self.queues.counts, 1)
        self.clock.advance(1)
        self.post(1)
        self.assertEqual(self.queues.counts, 2)

    def test_refused_by_the_store(self) -> None:
        """What the store does not take does not count."""
        self.run_now(self.make(post_size_max=3))
        work = Deferred.fromCoroutine(self.put(*numbered(9)))
        self.failureResultOf(work, RuleBroken)
        self.post(3)
        self.post(3)
        self.post(3)

    def post_once(self, count: int, key: str = "", *keys: str, queue: str = "q", size: int = 1) -> Deferred[list[str]]:
        """Post messages under keys."""
        post = self.storage.messages.post
        new, once = [NewMessage(text) for text in numbered(count)], Once(60, 10, key, keys)
        return Deferred.fromCoroutine(
            post("p", queue, NewPost(b"c", new, size=size, ttl_default_s=60, size_max=10, once=once))
        )

    def test_repeated(self) -> None:
        """What was posted before is answered where there is no room, too; what is new, in part or whole, is refused."""
        first = self.successResultOf(self.post_once(4, "a"))
        each = self.successResultOf(self.post_once(2, "", "b", "c"))
        self.post(4)
        for _ in range(2):
            again = self.successResultOf(self.post_once(4, "a"))
            self.assertEqual((again, type(again)), (first, Replayed))
            self.assertEqual(self.successResultOf(self.post_once(2, "", "c", "b")), each[::-1])
            for keys in (["d"], ["", "b", "d"], ["", "b", ""]):
                refused = self.failureResultOf(self.post_once(max(1, len(keys) - 1), *keys), QuotaExceeded)
                self.assertIn("at most 10 messages in all", str(refused.value))
            self.failureResultOf(self.post_once(1, "a", queue="missing"), QuotaExceeded)
            self.failureResultOf(self.post_once(1, "d", size=11), QuotaExceeded)
            self.failureResultOf(self.post_once(2, "a"), QuotaExceeded)
            self.clock.advance(COUNT_S)
        self.assertIsNone(self.run_now(self.storage.queues.get("p", "missing")))
        self.run_now(self.popped(1))
        self.clock.advance(COUNT_S)
        self.post(1)
        self.beyond(1)

    def test_store_away(self) -> None:
        """Where nothing can be counted posts go on to the store, and are counted as soon as they can be."""
        self.queues.error = StoreUnavailable("There is no connection to Redis.")
        self.post(6)
        self.post(2, storage=self.elsewhere)
        self.queues.error = None
        self.clock.advance(COUNT_S)
        self.beyond(3)
        self.post(2)
