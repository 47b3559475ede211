"""A store made of many: the contracts of stores over two pools, in memory and in Redis; where things are, and stay."""

from __future__ import annotations

from twisted.internet.defer import Deferred, DeferredList
from twisted.trial.unittest import TestCase

from tests.pooling import Process, add_pools, memory_process
from tests.redis_server import connect, shared_server, storage_at
from zaqar_gateway.errors import StoreUnavailable
from zaqar_gateway.interfaces import IStorage
from zaqar_gateway.model import LogBounds, Place, Quotas
from zaqar_gateway.storage.memory import MemoryManagement, MemoryStorage
from zaqar_gateway.storage.redis.doorbells import Doorbells
from zaqar_gateway.storage.redis.keys import Keys
from zaqar_gateway.storage.redis.management import RedisManagement
from zaqar_gateway.storage.redis.store import RedisStorage
from zaqar_gateway.testing.base import StoreContract, clock_at_epoch
from zaqar_gateway.testing.claims import ClaimStoreContract
from zaqar_gateway.testing.dead_letters import DeadLetterQuotaContract, DeadLetterStoreContract
from zaqar_gateway.testing.deliveries import DeliveryStoreContract
from zaqar_gateway.testing.durables import DurableStoreContract
from zaqar_gateway.testing.encryption import EncryptionContract
from zaqar_gateway.testing.management import ManagementContract
from zaqar_gateway.testing.messages import MessageStoreContract
from zaqar_gateway.testing.once import OnceContract
from zaqar_gateway.testing.queues import QueueStoreContract
from zaqar_gateway.testing.quotas import QuotaContract
from zaqar_gateway.testing.random_walk import walk
from zaqar_gateway.testing.rates import RatesContract
from zaqar_gateway.testing.rings import ClaimRingContract
from zaqar_gateway.testing.storage import StorageContract
from zaqar_gateway.testing.subscriptions import SubscriptionStoreContract
from zaqar_gateway.testing.topics import TopicContract


class MemoryManagementTests(ManagementContract, TestCase):
    """The contract of what is known of pools, in memory."""

    def setUp(self) -> None:
        self.clock = clock_at_epoch()
        self.management = MemoryManagement(self.clock)


class RedisManagementTests(ManagementContract, TestCase):
    """The same in Redis."""

    async def setUp(self) -> None:  # type: ignore[override]
        self.clock = clock_at_epoch()
        self.redis = connect(shared_server())
        self.redis.start()
        await self.redis.when_ready()
        self.management = RedisManagement(self.redis, Keys("space"), lambda: int(self.clock.seconds() * 1000))

    def tearDown(self) -> Deferred[None]:  # type: ignore[override]
        return Deferred.fromCoroutine(self.redis.stop())

    async def test_leave_a_full_redis(self) -> None:
        """What is deleted leaves its place while Redis has no memory left: what frees memory has to go then."""
        await self.put("a")
        placements = {Place("p", "q"): False, Place("p", "dead"): True}
        for place, is_bound in placements.items():
            await self.management.catalog.place(place, "a", bound=is_bound)
        await self.redis.command("CONFIG", "SET", "maxmemory", 1)
        try:
            with self.assertRaises(StoreUnavailable):
                await self.management.catalog.place(Place("p", "other"), "a")
            for place in placements:
                await self.management.catalog.leave(place, 60)
            await self.management.pools.delete("a")
        finally:
            await self.redis.command("CONFIG", "SET", "maxmemory", 0)


class PooledMemoryCase(StoreContract):
    """Makes a store over two pools in memory for each test."""

    async def setUp(self) -> None:  # type: ignore[override]
        self.clock = clock_at_epoch()
        self.management = MemoryManagement(self.clock)
        await add_pools(self.management, "a", "b")
        self.bound_log(LogBounds())

    def bound_log(self, bounds: LogBounds) -> None:
        """See :class:`DeliveryStoreContract`."""
        self.bound(Quotas(), bounds)

    def bound(self, quotas: Quotas, bounds: LogBounds | None = None) -> None:
        """See :class:`QuotaContract`."""

        def make(uri: str) -> MemoryStorage:
            return MemoryStorage(self.clock, log_bounds=bounds or LogBounds(), quotas=quotas)

        process = Process(self.management, make(""), self.clock, make, quotas=quotas)
        self.storage: IStorage = process.storage


class PooledMemoryQueuesTests(PooledMemoryCase, QueueStoreContract, TestCase):
    """The contract of queues."""


class PooledMemoryMessagesTests(PooledMemoryCase, MessageStoreContract, TestCase):
    """The contract of messages."""


class PooledMemoryEncryptionTests(PooledMemoryCase, EncryptionContract, TestCase):
    """The contract of secrets and of encrypted bodies."""


class PooledMemoryClaimsTests(PooledMemoryCase, ClaimStoreContract, TestCase):
    """The contract of claims."""


class PooledMemoryDeadLettersTests(PooledMemoryCase, DeadLetterStoreContract, TestCase):
    """The contract of dead letters."""


class PooledMemorySubscriptionsTests(PooledMemoryCase, SubscriptionStoreContract, TestCase):
    """The contract of subscriptions."""


class PooledMemoryOnceTests(PooledMemoryCase, OnceContract, TestCase):
    """The contract of keys."""


class PooledMemoryClaimRingTests(PooledMemoryCase, ClaimRingContract, TestCase):
    """Rings for what can be had again."""


class PooledMemoryDeliveriesTests(PooledMemoryCase, DeliveryStoreContract, TestCase):
    """The contract of deliveries."""


class PooledMemoryDurableTests(PooledMemoryCase, DurableStoreContract, TestCase):
    """The contract of durable names."""


class PooledMemoryRatesTests(PooledMemoryCase, RatesContract, TestCase):
    """The contract of buckets of tokens."""


class PooledMemoryQuotaTests(PooledMemoryCase, QuotaContract, DeadLetterQuotaContract, TestCase):
    """The contract of quotas."""

    async def test_queues_at_one_time(self) -> None:
        """Queues that are made at the same time, in whichever pools, are no more than there may be."""
        self.bound(Quotas(queues=3))
        made = [Deferred.fromCoroutine(self.make_plain(f"q{number}")) for number in range(10)]
        results = await DeferredList(made, consumeErrors=True)
        self.assertEqual(sum(1 for ok, _ in results if ok), 3)
        self.assertEqual(await self.storage.queues.count("p"), 3)


class PooledMemoryStorageTests(PooledMemoryCase, StorageContract, TestCase):
    """The contract of the store as a whole."""


class PooledMemoryTopicTests(PooledMemoryCase, TopicContract, TestCase):
    """The contract of topics beside queues."""


class RandomWalkTests(TestCase):
    """A store over a pool answers like that pool, whatever is asked of it."""

    async def test_walks(self) -> None:
        """Walks of which each is another sequence of operations.  It is one pool, so that any queue can get dead letters."""
        for seed in range(10):
            clock = clock_at_epoch()
            process = memory_process(clock)
            await add_pools(process.management, "a")
            await process.directory.follow()
            seen = await walk(process.storage, MemoryStorage(clock), clock, seed, 500)
            self.assertGreater(len(seen), 20, seen)


class PooledRedisCase(TestCase):
    """Makes a store over two pools in Redis for each test; all three stores are key spaces of one server."""

    async def setUp(self) -> None:  # type: ignore[override]
        self.clock = clock_at_epoch()
        self.redis = connect(shared_server())
        self.redis.start()
        await self.redis.when_ready()
        self.doorbells: dict[str, Doorbells] = {}
        self.management = RedisManagement(self.redis, Keys(), lambda: int(self.clock.seconds() * 1000))
        await add_pools(self.management, "a", "b")
        self.bound_log(LogBounds())

    def store(self, space: str, bounds: LogBounds, quotas: Quotas) -> RedisStorage:
        """A store in a key space, whose doorbells are the same each time."""
        store = storage_at(self.redis, self.clock, Keys(space), bounds, quotas)
        store.doorbells = self.doorbells.setdefault(space, store.doorbells)
        return store

    def bound_log(self, bounds: LogBounds) -> None:
        """See :class:`DeliveryStoreContract`."""
        self.bound(Quotas(), bounds)

    def bound(self, quotas: Quotas, bounds: LogBounds | None = None) -> None:
        """See :class:`QuotaContract`."""

        def make(uri: str) -> RedisStorage:
            return self.store(uri, bounds or LogBounds(), quotas)

        self.process = Process(self.management, make(""), self.clock, make, quotas=quotas)
        self.storage: IStorage = self.process.storage

    def tearDown(self) -> Deferred[None]:  # type: ignore[override]
        return Deferred.fromCoroutine(self.redis.stop())


class PooledRedisQueueTests(QueueStoreContract, PooledRedisCase):
    """The contract of queues."""


class PooledRedisMessageTests(MessageStoreContract, PooledRedisCase):
    """The contract of messages."""


class PooledRedisEncryptionTests(EncryptionContract, PooledRedisCase):
    """The contract of secrets and of encrypted bodies."""


class PooledRedisClaimTests(ClaimStoreContract, PooledRedisCase):
    """The contract of claims."""


class PooledRedisDeadLetterTests(PooledRedisCase, DeadLetterStoreContract):
    """The contract of dead letters."""


class PooledRedisOnceTests(OnceContract, PooledRedisCase):
    """The contract of keys."""


class PooledRedisSubscriptionTests(SubscriptionStoreContract, PooledRedisCase):
    """The contract of subscriptions."""


class PooledRedisRinging(PooledRedisCase):
    """A test whose stores have doorbells that listen."""

    async def setUp(self) -> None:  # type: ignore[override]
        await super().setUp()
        await self.process.directory.refresh()
        for each in self.doorbells.values():
            each.start()
            await each.when_ready()

    async def tearDown(self) -> None:  # type: ignore[override]
        for each in self.doorbells.values():
            await each.stop()
        await super().tearDown()

    async def hear(self) -> None:
        for each in self.doorbells.values():
            await each.caught_up()


class PooledRedisDurableTests(DurableStoreContract, PooledRedisCase):
    """The contract of durable names."""


class PooledRedisDeliveryTests(PooledRedisRinging, DeliveryStoreContract):
    """The contract of deliveries."""


class PooledRedisClaimRingTests(PooledRedisRinging, ClaimRingContract):
    """Rings for what can be had again."""


class PooledRedisRatesTests(RatesContract, PooledRedisCase):
    """The contract of buckets of tokens."""


class PooledRedisQuotaTests(PooledRedisCase, QuotaContract, DeadLetterQuotaContract):
    """The contract of quotas."""


class PooledRedisStorageTests(StorageContract, PooledRedisCase):
    """The contract of the store as a whole."""


class PooledRedisTopicTests(TopicContract, PooledRedisCase):
    """The contract of topics beside queues."""
