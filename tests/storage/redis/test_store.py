"""The contracts on Redis, and what only Redis has: keys, sweeping, memory."""

from __future__ import annotations

import re
from collections.abc import Coroutine
from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.internet import reactor as reactor_module
from twisted.internet.defer import Deferred, ensureDeferred, gatherResults
from twisted.internet.task import deferLater
from twisted.trial.unittest import SynchronousTestCase, TestCase

from tests.redis_server import RedisServer, connect, shared_server, storage_at
from zaqar_gateway.errors import StoreUnavailable
from zaqar_gateway.interfaces import IStorage
from zaqar_gateway.model import LogBounds, NewMessage, NewPost, NewSubscription, QueueRules, Quotas
from zaqar_gateway.order import Order
from zaqar_gateway.storage.ids import new_claim_id, new_incarnation
from zaqar_gateway.storage.memory import MemoryStorage
from zaqar_gateway.storage.redis import plain
from zaqar_gateway.storage.redis.claims import RedisClaims
from zaqar_gateway.storage.redis.keys import Keys
from zaqar_gateway.storage.redis.store import Sweeper
from zaqar_gateway.testing.base import CLIENT, OTHER_CLIENT, StoreContract, bodies, clock_at_epoch, numbered
from zaqar_gateway.testing.claims import ClaimStoreContract
from zaqar_gateway.testing.dead_letters import DeadLetterQuotaContract, DeadLetterStoreContract
from zaqar_gateway.testing.deliveries import DeliveryStoreContract
from zaqar_gateway.testing.durables import DurableStoreContract
from zaqar_gateway.testing.encryption import EncryptionContract
from zaqar_gateway.testing.messages import MessageStoreContract
from zaqar_gateway.testing.once import WINDOW_S, OnceContract
from zaqar_gateway.testing.queues import QueueStoreContract
from zaqar_gateway.testing.quotas import QuotaContract
from zaqar_gateway.testing.random_walk import walk
from zaqar_gateway.testing.rates import RatesContract
from zaqar_gateway.testing.rings import ClaimRingContract
from zaqar_gateway.testing.storage import StorageContract
from zaqar_gateway.testing.subscriptions import SubscriptionStoreContract
from zaqar_gateway.testing.topics import TopicContract, topics_as_queues

reactor: Any = reactor_module


class OnRedis(TestCase):
    """A test with an empty Redis whose time is that of a clock.

    :cvar order: when requests may overtake each other; ``None``: never.
    """

    order: Order | None = None

    async def setUp(self) -> None:  # type: ignore[override]
        self.clock = clock_at_epoch()
        self.redis = connect(shared_server(), order=self.order)
        self.storage: IStorage = storage_at(self.redis, self.clock)
        self.redis.start()
        await self.redis.when_ready()

    def tearDown(self) -> Deferred[None]:  # type: ignore[override]
        return Deferred.fromCoroutine(self.redis.stop())


class RedisQueueTests(QueueStoreContract, OnRedis):
    """Queues."""


class RedisMessageTests(MessageStoreContract, OnRedis):
    """Messages."""


class EachReadTries(OnRedis):
    """No read goes to a script before plain commands were tried."""

    async def setUp(self) -> None:  # type: ignore[override]
        self.patch(plain, "_PASSED_OVER", 0)
        await super().setUp()


class PlainMessageTests(MessageStoreContract, EachReadTries):
    """Messages."""

    async def scripts(self) -> int:
        """How many have been run."""
        stats = await self.redis.command("INFO", "commandstats")
        return int(re.search(rb"cmdstat_evalsha:calls=(\d+)", stats)[1])  # type: ignore[index]

    async def test_own_between_others(self) -> None:
        """A page without a client's own messages is filled up without a script, where few of these are among it."""
        for n in range(40):
            await self.put(b"%d" % n, client=OTHER_CLIENT if n % 4 else CLIENT)
        await self.put(*numbered(100), client=CLIENT)
        before = await self.scripts()
        page = await self.page(limit=20, skip_client=CLIENT)
        self.assertEqual(len(page.messages), 20)
        self.assertEqual(await self.scripts(), before)
        self.assertEqual(len((await self.page(limit=20, skip_client=CLIENT, marker=page.marker)).messages), 10)
        self.assertEqual(await self.scripts(), before + 1)


class PlainDeadLetterTests(DeadLetterStoreContract, EachReadTries):
    """Dead letters."""


class RedisEncryptionTests(EncryptionContract, OnRedis):
    """Secrets, and encrypted bodies."""


class RedisClaimTests(ClaimStoreContract, OnRedis):
    """Claims."""


class LostAnswerTests(StoreContract, OnRedis):
    """Claims that Redis has made, and whose answer is lost with the connection."""

    async def lose(self, server: RedisServer, claiming: Coroutine[Any, Any, object]) -> None:
        """Have the answer to a claim of three messages lost."""
        protocol = self.redis._protocol
        assert protocol is not None
        protocol.transport.pauseProducing()
        claim = Deferred.fromCoroutine(claiming)
        held = (Keys().queue("p", "q") + b":h").decode()
        while server.call("EXISTS", held) != b":1\r\n":
            await deferLater(reactor, 0)
        protocol.transport.abortConnection()
        with self.assertRaises(StoreUnavailable) as caught:
            await claim
        self.assertTrue(caught.exception.outcome_unknown)
        await self.redis.when_ready()

    async def test_claim(self) -> None:
        """Since nobody knows its id it is released, and others get the messages."""
        server, claims = shared_server(), self.storage.claims
        await self.put(*numbered(3))
        await self.lose(server, claims.create("p", "q", 600, 60, 3))
        self.assertEqual(bodies(await claims.create_each("p", "q", 600, 60, 5)), numbered(3))

    async def test_claims(self) -> None:
        """So are those that were made together."""
        server, claims = shared_server(), self.storage.claims
        await self.put(*numbered(3))
        await self.lose(server, claims.create_each("p", "q", 600, 60, 5))
        self.assertEqual(bodies(await claims.create_each("p", "q", 600, 60, 5)), numbered(3))


class RedisDeadLetterTests(DeadLetterStoreContract, OnRedis):
    """Dead letters."""


class RedisSubscriptionTests(SubscriptionStoreContract, OnRedis):
    """Subscriptions."""


class RedisDurableTests(DurableStoreContract, OnRedis):
    """The contract of durable names."""


class RedisRatesTests(RatesContract, OnRedis):
    """Buckets of tokens."""

    async def test_full_buckets_are_forgotten(self) -> None:
        """Redis is told to drop the buckets of a project when they are full."""
        await self.draw(50)
        left_ms = await self.redis.command(b"PTTL", Keys().rates("p"))
        self.assertGreater(left_ms, 20_000)
        self.assertLessEqual(left_ms, 26_000)


class RedisQuotaTests(QuotaContract, DeadLetterQuotaContract, OnRedis):
    """Quotas."""

    def bound(self, quotas: Quotas) -> None:
        """See :class:`QuotaContract`."""
        self.storage = storage_at(self.redis, self.clock, quotas=quotas)

    async def test_gateway_without_quotas(self) -> None:
        """What another gateway posts and removes without a quota is counted where counting has begun."""
        self.bound(Quotas(bytes_per_queue=10))
        await self.put(b"123")
        unbound = storage_at(self.redis, self.clock)
        self.storage, bound = unbound, self.storage
        await self.put(b"12345")
        self.storage = bound
        await self.exceeds(b"123")
        self.storage = unbound
        await self.popped(1)
        self.storage = bound
        await self.put(b"12345")
        await self.exceeds(b"1")

    async def test_followed(self) -> None:
        """What is needed to count subscriptions is kept where somebody counts, and for as long as there are some."""
        await self.follow()
        self.bound(Quotas(counts_subscriptions=True))
        key = Keys().followed("p")
        self.assertEqual(await self.redis.command(b"EXISTS", key), 0)
        await self.follow("http://b", queue="other", ttl_s=60)
        self.assertEqual(await self.redis.command(b"ZRANGE", key, 0, -1), [b"other"])
        self.clock.advance(60)
        self.assertEqual(await self.storage.subscriptions.count("p"), 0)
        self.assertEqual(await self.redis.command(b"EXISTS", key), 0)

    async def test_followed_no_more(self) -> None:
        """It goes with the last subscription, whether or not somebody counts again."""
        self.bound(Quotas(counts_subscriptions=True))
        subscriptions, topics = self.storage.subscriptions, self.storage.topic_subscriptions
        ids = [await self.follow(f"http://{name}") for name in "ab"]
        await self.follow("http://c", queue="other")
        placed = await topics.create("p", "q", NewSubscription("http://d", ttl_s=60))
        keys = Keys().followed("p"), Keys().topics().followed("p")
        await subscriptions.delete("p", "q", ids[0])
        self.assertEqual([await self.redis.command(b"ZRANGE", key, 0, -1) for key in keys], [[b"other", b"q"], [b"q"]])
        await subscriptions.delete("p", "q", ids[1])
        await subscriptions.purge("p", "other")
        await topics.delete("p", "q", placed.id)
        self.assertEqual([await self.redis.command(b"EXISTS", key) for key in keys], [0, 0])

    async def test_no_memory(self) -> None:
        """Where Redis has no memory left messages whose bytes are counted can be removed, and their bytes are free."""
        self.bound(Quotas(bytes_per_queue=10))
        first, _ = await self.put(b"12345", b"12345")
        await self.redis.command("CONFIG", "SET", "maxmemory", 1)
        try:
            await self.drop(first)
            self.assertEqual(await self.popped(1), [b"12345"])
        finally:
            await self.redis.command("CONFIG", "SET", "maxmemory", 0)
        await self.put(b"1234567890")
        await self.exceeds(b"1")

    async def test_queue_from_before(self) -> None:
        """The bytes of a queue that has messages when the quota begins are counted once it has been empty."""
        await self.put(b"1234567890")
        self.bound(Quotas(bytes_per_queue=10))
        await self.put(b"1")
        await self.popped(2)
        await self.put(b"1234567890")
        await self.exceeds(b"1")


class Ringing(OnRedis):
    """A test whose store has doorbells that listen."""

    async def setUp(self) -> None:  # type: ignore[override]
        await super().setUp()
        self.doorbells = storage_at(self.redis, self.clock).doorbells
        self.doorbells.start()
        await self.doorbells.when_ready()
        self.bound_log(LogBounds())

    async def tearDown(self) -> None:  # type: ignore[override]
        await self.doorbells.stop()
        await super().tearDown()

    def bound_log(self, bounds: LogBounds) -> None:
        """See :class:`DeliveryStoreContract`."""
        store = storage_at(self.redis, self.clock, log_bounds=bounds)
        store.doorbells = self.doorbells
        self.storage = store

    async def hear(self) -> None:
        """Wait until what was told has been heard."""
        await self.doorbells.caught_up()


class RedisDeliveryTests(Ringing, DeliveryStoreContract):
    """Deliveries."""


class RedisClaimRingTests(Ringing, ClaimRingContract):
    """Rings for what can be had again."""


class RedisOnceTests(OnceContract, OnRedis):
    """Keys."""

    async def test_cleared_away(self) -> None:
        """Keys that do not count any more go with later ones, a slice at a time, and all of them with time."""
        keys, sizes = (Keys().queue("p", "q") + end for end in (b":k", b":kn"))
        for number in range(3):
            await self.post(b"1", b"2", key=f"p{number}", most=5000)
        await self.post(*[b"1"] * 1500, keys=[f"m{number}" for number in range(1500)], most=5000)
        self.clock.advance(WINDOW_S + 0.25)  # so many messages have ranks of more than one millisecond
        await self.post(b"1", key="new", most=5000)
        self.assertEqual(await self.redis.command(b"ZCARD", keys), 504)
        await self.post(b"1", b"2", key="newer", most=5000)
        self.assertEqual(await self.redis.command(b"ZCARD", keys), 2)
        self.assertEqual(await self.redis.command(b"HVALS", sizes), [b"2"])
        for key in (keys, sizes):
            left_ms = await self.redis.command(b"PTTL", key)
            self.assertTrue(WINDOW_S * 1000 - 60_000 < left_ms <= WINDOW_S * 1000)


class RedisStorageTests(StorageContract, OnRedis):
    """The store as a whole."""


class RedisTopicTests(TopicContract, OnRedis):
    """Topics beside queues."""


class OnTopics(OnRedis):
    """A test in which the topics of a store stand for queues."""

    async def setUp(self) -> None:  # type: ignore[override]
        await super().setUp()
        claims = RedisClaims(
            self.redis, Keys().topics(), lambda: int(self.clock.seconds() * 1000), new_incarnation, new_claim_id
        )
        self.storage = topics_as_queues(self.storage, claims)


class RedisTopicQueueTests(QueueStoreContract, OnTopics):
    """Queues, by topics."""


class RedisTopicMessageTests(MessageStoreContract, OnTopics):
    """Messages, by topics."""


class RedisTopicStorageTests(StorageContract, OnTopics):
    """The store as a whole, by topics."""


class RedisTopicOnceTests(OnceContract, OnTopics):
    """Keys, by topics."""

    is_topic = True


class RedisTopicSubscriptionTests(SubscriptionStoreContract, OnTopics):
    """Subscriptions, by topics."""

    is_topic = True


class RedisTopicDeliveryTests(Ringing, DeliveryStoreContract):
    """Deliveries, by topics."""

    is_topic = True

    def bound_log(self, bounds: LogBounds) -> None:
        super().bound_log(bounds)
        self.storage = topics_as_queues(self.storage, self.storage.claims)


class RandomWalkTests(OnRedis):
    """Redis and memory answer alike, whatever is asked of them."""

    async def _walk(self, seed: int, steps: int) -> None:
        seen = await walk(self.storage, MemoryStorage(self.clock), self.clock, seed, steps)
        self.assertGreater(len(seen), 20, seen)

    async def test_walks(self) -> None:
        """Walks of which each is another sequence of operations."""
        for seed in range(6):
            await self.redis.command("FLUSHALL")
            await self._walk(seed, 1500)


class PlainRandomWalkTests(RandomWalkTests, EachReadTries):
    """The same where each read tries."""


class LongListingTests(OnRedis):
    """Listings that have much to leave out."""

    async def test_finds_the_other(self) -> None:
        """Behind thousands of its own messages a client finds that of another, however many list at once."""
        for count in (3000, 3000):
            await self.storage.messages.post(
                "p", "q", NewPost(b"own", [NewMessage(b"1")] * count, size=1, ttl_default_s=60, size_max=10)
            )
        other = NewMessage(b'"other"')
        await self.storage.messages.post("p", "q", NewPost(b"other", [other], size=1, ttl_default_s=60, size_max=10))
        listings = [
            ensureDeferred(
                self.storage.messages.list(
                    "p",
                    "q",
                    marker=None,
                    limit=10,
                    skip_client=b"own",
                    include_claimed=False,
                    include_delayed=False,
                )
            )
            for _ in range(3)
        ]
        for page in await gatherResults(listings):
            self.assertEqual([message.body for message in page.messages], [b'"other"'])


class SweeperTests(OnRedis):
    """Memory of what nobody touches is freed."""

    async def post(self, queue: str, count: int, ttl_s: int = 60) -> None:
        new = [NewMessage(b"{}", ttl_s)] * count
        await self.storage.messages.post("p", queue, NewPost(b"c", new, size=1, ttl_default_s=60, size_max=10))

    async def test_topics(self) -> None:
        """What has expired in topics is freed as well."""
        for topic in ("a", "b"):
            await self.storage.topic_messages.post(
                "p", topic, NewPost(b"c", [NewMessage(b"{}", 60)], size=1, ttl_default_s=60, size_max=10)
            )
        await self.post("a", 1)
        self.assertEqual(len(await self.keys()), 6)
        self.clock.advance(60)
        sweeper = self.sweeper()
        for _ in range(3):
            await sweeper.step()
        self.assertEqual(await self.keys(), [])

    async def test_other_spaces(self) -> None:
        """A space on a shared Redis is neither counted nor swept by the gateways of another."""
        spaces = ("", "a", "topic", "a*")
        stores = [storage_at(self.redis, self.clock, Keys(space)) for space in spaces]
        new = [NewMessage(b"{}", 60)]
        for number, store in enumerate(stores):
            for messages in (store.messages, store.topic_messages):
                await messages.post("p", "q", NewPost(b"c", new * (number + 1), size=1, ttl_default_s=60, size_max=10))
        self.assertEqual([(await store.volume()).total for store in stores], [2, 4, 6, 8])
        self.clock.advance(60)
        for _ in range(3):
            await self.sweeper().step()
            await self.redis.command("DEL", Keys().lease)
        kept = await self.redis.command("KEYS", "*:a")
        self.assertEqual(len(kept), 6)
        self.assertFalse([key for key in kept if key.startswith((b"zg:{", b"zg:topic{"))])

    async def keys(self) -> list[bytes]:
        found: list[bytes] = await self.redis.command("KEYS", "zg:*:[a-z]")
        return sorted(found)

    def sweeper(self) -> Sweeper:
        return Sweeper(self.redis, Keys(), lambda: int(self.clock.seconds() * 1000))

    async def test_frees_expired(self) -> None:
        """After some steps nothing is left of expired messages; queues stay, and so does what is alive."""
        for number in range(150):
            await self.post(f"q{number}", 1)
        await self.post("many", 2500)
        await self.post("alive", 1, ttl_s=3600)
        self.clock.advance(60)
        sweeper = self.sweeper()
        for _ in range(8):
            await sweeper.step()
        self.assertEqual(await self.keys(), [b"zg:{p/alive}:a", b"zg:{p/alive}:m"])
        self.assertEqual(await self.storage.queues.count("p"), 152)

    async def test_frees_claims(self) -> None:
        """Nothing is left of claims whose messages have expired since, however many lapse and expire at once."""
        await self.post("q", 2500)
        for _ in range(25):
            self.assertIsNotNone(await self.storage.claims.create("p", "q", 60, 60, 100))
        self.clock.advance(86400)
        sweeper = self.sweeper()
        for _ in range(8):
            await sweeper.step()
        self.assertEqual(await self.keys(), [])

    async def test_frees_ids_of_what_was_moved(self) -> None:
        """Nothing is left of dead letters an hour after they have gone, though none come any more."""
        await self.storage.queues.create("p", "q", b"{}", QueueRules(claim_count_max=0, dead_letter_queue="dead"))
        await self.post("q", 250)
        while await self.storage.claims.create("p", "q", 60, 60, 100) is not None:
            pass
        self.assertEqual(len(await self.storage.messages.pop("p", "dead", 1000)), 250)
        self.assertEqual(await self.keys(), [b"zg:{p/dead}:i"])
        self.clock.advance(3601)
        sweeper = self.sweeper()
        for _ in range(5):
            await sweeper.step()
        self.assertEqual(await self.keys(), [])

    async def test_frees_claims_that_nobody_saw_lapse(self) -> None:
        """Messages deleted after their claim has lapsed take it with them."""
        for _ in range(3):
            await self.post("q", 1, ttl_s=3600)
            claim = await self.storage.claims.create("p", "q", 60, 60, 1)
            assert claim is not None
            self.clock.advance(60)
            await self.storage.messages.delete("p", "q", claim.messages[0].id, None)
        self.assertEqual(await self.keys(), [])

    async def test_frees_a_full_redis(self) -> None:
        """Where Redis has no memory left, sweeping and pop still free some."""
        await self.post("expired", 5)
        await self.post("q", 5, ttl_s=3600)
        self.clock.advance(60)
        await self.redis.command("CONFIG", "SET", "maxmemory", 1)
        try:
            with self.assertRaises(StoreUnavailable):
                await self.post("q", 1)
            await self.sweeper().step()
            self.assertEqual(await self.keys(), [b"zg:{p/q}:a", b"zg:{p/q}:m"])
            self.assertEqual(len(await self.storage.messages.pop("p", "q", 5)), 5)
            self.assertEqual(await self.keys(), [])
        finally:
            await self.redis.command("CONFIG", "SET", "maxmemory", 0)

    async def test_deletes_in_a_full_redis(self) -> None:
        """Where Redis has no memory left, claimed messages can be deleted by their ids, all of a claim at once or a part of it, and one by the
        id of its claim."""
        await self.post("q", 6, ttl_s=3600)
        whole, claim = [await self.storage.claims.create("p", "q", 60, 60, 3) for _ in range(2)]
        assert whole is not None and claim is not None
        first, *others = (message.id for message in claim.messages)
        await self.redis.command("CONFIG", "SET", "maxmemory", 1)
        try:
            await self.storage.messages.delete_many("p", "q", [message.id for message in whole.messages], None)
            await self.storage.messages.delete("p", "q", first, claim.id)
            await self.storage.messages.delete_many("p", "q", [*others, first], None)
            self.assertEqual(await self.keys(), [])
        finally:
            await self.redis.command("CONFIG", "SET", "maxmemory", 0)

    async def test_purges_a_full_redis(self) -> None:
        """Where Redis has no memory left, messages and subscriptions can be purged."""
        await self.post("q", 2)
        made = await self.storage.subscriptions.create("p", "q", NewSubscription("http://a", 3600, b"{}"))
        await self.redis.command("CONFIG", "SET", "maxmemory", 1)
        try:
            await self.storage.queues.purge("p", "q")
            await self.storage.subscriptions.purge("p", "q")
            self.assertEqual(await self.storage.messages.pop("p", "q", 5), [])
            self.assertIsNone(await self.storage.subscriptions.get("p", "q", made.id))
        finally:
            await self.redis.command("CONFIG", "SET", "maxmemory", 0)

    async def test_connection_lost_within_a_sweep(self) -> None:
        """A sweep that Redis does not answer ends as any other command does."""
        await self.post("q", 1)
        sweeper = self.sweeper()
        await sweeper.step()
        await self.redis.stop()
        with self.assertRaises(StoreUnavailable):
            await sweeper.step()

    async def test_one_sweeps(self) -> None:
        """While one gateway sweeps, another does not."""
        await self.post("q", 1)
        first, second = self.sweeper(), self.sweeper()
        await first.step()
        self.clock.advance(60)
        await second.step()
        self.assertEqual(len(await self.keys()), 2)
        await first.step()
        await first.step()
        self.assertEqual(await self.keys(), [])


class KeyTests(SynchronousTestCase):
    """Names of keys."""

    _names = st.text(min_size=1)

    @given(_names, _names, _names, _names)
    def test_distinct(self, project: str, queue: str, other_project: str, other_queue: str) -> None:
        """Distinct pairs have distinct keys, and no key is that of a catalog, or one of a topic."""
        keys, topics = Keys(), Keys().topics()
        if (project, queue) != (other_project, other_queue):
            self.assertNotEqual(keys.queue(project, queue), keys.queue(other_project, other_queue))
        mine = (keys.queue(project, queue), keys.queue(project, queue) + b":m")
        for other in (keys.catalog(other_project), topics.catalog(other_project), topics.queue(other_project, other_queue)):
            self.assertNotIn(other, mine)
        self.assertNotEqual(keys.catalog(project), topics.catalog(other_project))

    @given(_names, _names)
    def test_hash_tag(self, project: str, queue: str) -> None:
        """The hash tag of Redis Cluster, the text between the first brace and the next, is the pair and whole."""
        key = Keys("space {x}").queue(project, queue)
        self.assertEqual(key.count(b"{"), 1)
        self.assertTrue(key.endswith(b"}"))
        self.assertEqual(key.count(b"}"), 1)

    def test_spaces(self) -> None:
        """Two key spaces on one Redis share no key."""
        self.assertNotEqual(Keys("a").queue("p", "q"), Keys("b").queue("p", "q"))
        self.assertNotEqual(Keys("").queue("p", "q"), Keys("a").queue("p", "q"))
        self.assertNotEqual(Keys("").topics().queue("p", "q"), Keys("topic").queue("p", "q"))
