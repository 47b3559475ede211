"""The memory store: the contracts of stores, and what is its own: sweeping and what it costs."""

from __future__ import annotations

import gc
import tracemalloc
from collections import Counter
from collections.abc import Awaitable, Callable

from twisted.internet.task import LoopingCall
from twisted.trial.unittest import TestCase

from zaqar_gateway.interfaces import IStorage
from zaqar_gateway.model import UNSUBSCRIBE, GivenUp, LogBounds, NewMessage, NewPost, Quotas
from zaqar_gateway.storage import ids
from zaqar_gateway.storage.memory import (
    ALIAS_KEPT_S,
    PAST_KEPT_S,
    SWEPT_AT_ONCE,
    SWEPT_PLACES,
    MemoryClaims,
    MemoryStorage,
)
from zaqar_gateway.testing.base import StoreContract, clock_at_epoch, numbered, told
from zaqar_gateway.testing.claims import ClaimStoreContract
from zaqar_gateway.testing.dead_letters import DeadLetterQuotaContract, DeadLetterStoreContract
from zaqar_gateway.testing.deliveries import DeliveryStoreContract
from zaqar_gateway.testing.durables import DurableStoreContract
from zaqar_gateway.testing.encryption import EncryptionContract
from zaqar_gateway.testing.messages import MessageStoreContract
from zaqar_gateway.testing.once import OnceContract
from zaqar_gateway.testing.queues import QueueStoreContract
from zaqar_gateway.testing.quotas import QuotaContract
from zaqar_gateway.testing.random_walk import Difference, walk
from zaqar_gateway.testing.rates import RatesContract
from zaqar_gateway.testing.rings import ClaimRingContract
from zaqar_gateway.testing.storage import StorageContract
from zaqar_gateway.testing.subscriptions import SubscriptionStoreContract
from zaqar_gateway.testing.topics import TopicContract, topics_as_queues


class MemoryCase(StoreContract):
    """Makes a store for each test."""

    storage: MemoryStorage

    def setUp(self) -> None:
        self.clock = clock_at_epoch()
        self.storage = MemoryStorage(self.clock)


class MemoryQueuesTests(MemoryCase, QueueStoreContract, TestCase):
    """The contract of queues."""


class MemoryMessagesTests(MemoryCase, MessageStoreContract, TestCase):
    """The contract of messages."""


class MemoryEncryptionTests(MemoryCase, EncryptionContract, TestCase):
    """The contract of secrets and of encrypted bodies."""


class MemoryClaimsTests(MemoryCase, ClaimStoreContract, TestCase):
    """The contract of claims."""


class MemoryDeadLettersTests(MemoryCase, DeadLetterStoreContract, TestCase):
    """The contract of dead letters."""


class MemorySubscriptionsTests(MemoryCase, SubscriptionStoreContract, TestCase):
    """The contract of subscriptions."""


class MemoryDeliveriesTests(MemoryCase, DeliveryStoreContract, TestCase):
    """The contract of deliveries."""

    def bound_log(self, bounds: LogBounds) -> None:
        self.storage = MemoryStorage(self.clock, log_bounds=bounds)


class MemoryDurableTests(MemoryCase, DurableStoreContract, TestCase):
    """The contract of durable names."""


class MemoryRatesTests(MemoryCase, RatesContract, TestCase):
    """The contract of buckets of tokens."""


class MemoryQuotaTests(MemoryCase, QuotaContract, DeadLetterQuotaContract, TestCase):
    """The contract of quotas."""

    def bound(self, quotas: Quotas) -> None:
        self.storage = MemoryStorage(self.clock, quotas=quotas)


class MemoryStorageTests(MemoryCase, StorageContract, TestCase):
    """The contract of the store as a whole."""


class MemoryTopicTests(MemoryCase, TopicContract, TestCase):
    """The contract of topics beside queues."""


class TopicsCase(StoreContract):
    """Makes a store whose topics stand for queues."""

    is_topic = True

    def setUp(self) -> None:
        self.clock = clock_at_epoch()
        self.bound_log(LogBounds())

    def bound_log(self, bounds: LogBounds) -> None:
        storage = MemoryStorage(self.clock, log_bounds=bounds)
        self.storage: IStorage = topics_as_queues(storage, MemoryClaims(storage._topics, ids.new_claim_id))


class MemoryTopicQueuesTests(TopicsCase, QueueStoreContract, TestCase):
    """The contract of queues, by topics."""


class MemoryTopicMessagesTests(TopicsCase, MessageStoreContract, TestCase):
    """The contract of messages, by topics."""


class MemoryTopicSubscriptionsTests(TopicsCase, SubscriptionStoreContract, TestCase):
    """The contract of subscriptions, by topics."""


class MemoryTopicOnceTests(TopicsCase, OnceContract, TestCase):
    """Keys, by topics."""


class MemoryTopicDeliveriesTests(TopicsCase, DeliveryStoreContract, TestCase):
    """The contract of deliveries, by topics."""


class MemoryTopicStorageTests(TopicsCase, StorageContract, TestCase):
    """The contract of the store as a whole, by topics."""


class SweptBody(bytes):
    """A body whose instances are counted, to see what is freed."""

    alive = 0

    def __new__(cls, text: bytes = b"1") -> SweptBody:
        cls.alive += 1
        return super().__new__(cls, text)

    def __del__(self) -> None:
        type(self).alive -= 1


class SweepTests(MemoryCase, TestCase):
    """What ``sweep`` frees in queues that nobody touches."""

    def setUp(self) -> None:
        super().setUp()
        gc.collect()  # bodies of the test before, which would be counted when they go
        SweptBody.alive = 0

    async def test_expired_messages_are_freed(self) -> None:
        """A sweep frees the expired messages of every queue, and no others."""
        for project in ("p", "other"):
            for queue in ("a", "b"):
                await self.put(SweptBody(), SweptBody(), project=project, queue=queue, ttl_s=60)
                await self.put(SweptBody(), project=project, queue=queue, ttl_s=120)
        self.clock.advance(60)
        self.assertEqual(SweptBody.alive, 12)
        self.storage.sweep()
        self.assertEqual(SweptBody.alive, 4)
        self.clock.advance(60)
        self.storage.sweep()
        self.assertEqual(SweptBody.alive, 0)

    async def test_topics_are_swept(self) -> None:
        """A sweep frees the expired messages of topics, and those of deleted ones."""
        for topic in ("a", "b"):
            await self.storage.topic_messages.post(
                "p", topic, NewPost(b"c", [NewMessage(SweptBody())] * 3, size=1, ttl_default_s=60, size_max=10)
            )
        await self.storage.topics.delete("p", "b")
        self.storage.sweep()
        self.assertEqual(SweptBody.alive, 1)
        self.clock.advance(60)
        self.storage.sweep()
        self.assertEqual(SweptBody.alive, 0)

    async def test_sweep_comes_by_for_the_first_to_expire(self) -> None:
        """A sweep frees a message that expires before others that were posted earlier."""
        await self.put(SweptBody(), ttl_s=600)
        await self.put(SweptBody(), ttl_s=60)
        self.clock.advance(60)
        self.storage.sweep()
        self.assertEqual(SweptBody.alive, 1)

    async def test_expired_delayed_messages_are_freed(self) -> None:
        """A sweep frees a message that expired before it was due."""
        await self.make(message_delay_s=900)
        await self.put(SweptBody(), ttl_s=60)
        self.clock.advance(60)
        self.storage.sweep()
        self.assertEqual(SweptBody.alive, 0)

    async def test_extended_messages_are_freed_when_they_expire(self) -> None:
        """A sweep frees a message that a claim extended when that life is over, and not before."""
        await self.put(SweptBody(), ttl_s=60)
        await self.claim(ttl_s=100, grace_s=60)
        self.clock.advance(159)
        self.storage.sweep()
        self.assertEqual(SweptBody.alive, 1)
        self.clock.advance(1)
        self.storage.sweep()
        self.assertEqual(SweptBody.alive, 0)

    async def test_moved_messages_are_freed(self) -> None:
        """A sweep frees messages of a dead letter queue, created by the move, that nobody ever touched."""
        await self.make(claim_count_max=0, dead_letter_queue="dead", dead_letter_ttl_s=600)
        await self.put(SweptBody(), ttl_s=60)
        await self.claimed_bodies()
        self.clock.advance(599)
        self.storage.sweep()
        self.assertEqual(SweptBody.alive, 1)
        self.clock.advance(1)
        self.storage.sweep()
        self.assertEqual(SweptBody.alive, 0)

    async def test_what_is_owed_to_nobody_is_freed(self) -> None:
        """A sweep frees posts that all subscribers are done with, and those of subscriptions that ended."""
        await self.follow("http://a", ttl_s=60)
        await self.put(SweptBody(), SweptBody(), SweptBody())
        await self.storage.queues.delete("p", "q")
        self.storage.sweep()
        self.assertEqual(SweptBody.alive, 3)
        owed = await self.take_one(batch=1)
        await self.report(owed, owed.posts[0].cursor, batch=1, wait_ms=0)
        del owed
        self.storage.sweep()
        self.assertEqual(SweptBody.alive, 2)
        self.clock.advance(60)
        self.storage.sweep()
        self.assertEqual(SweptBody.alive, 0)

    async def test_posts_for_sockets_are_freed_after_a_minute(self) -> None:
        """A sweep frees posts to which only sockets have subscribed when a minute is over."""
        await self.follow("ws:1", owner="g")
        await self.put(SweptBody())
        await self.storage.queues.delete("p", "q")
        self.clock.advance(59.75)
        self.storage.sweep()
        self.assertEqual(SweptBody.alive, 1)
        self.clock.advance(0.25)
        self.storage.sweep()
        self.assertEqual(SweptBody.alive, 0)

    async def test_what_was_given_up_is_freed(self) -> None:
        """A sweep frees what was given up when it is no longer kept."""
        await self.follow(ttl_s=60)
        await self.put(SweptBody())
        await self.storage.queues.delete("p", "q")
        owed = await self.take_one()
        await self.report(owed, owed.posts[0].cursor, given_up=[GivenUp(owed.posts[0].cursor, 1, "refused")])
        del owed
        self.clock.advance(14 * 86_400 - 1)
        self.storage.sweep()
        self.assertEqual(SweptBody.alive, 1)
        self.clock.advance(1)
        self.storage.sweep()
        self.assertEqual(SweptBody.alive, 0)

    async def test_subscriptions_are_swept_in_slices(self) -> None:
        """A sweep looks at so many places and goes on with others in the next one, round and round."""
        for n in range(SWEPT_PLACES + 1):
            await self.follow(queue=f"q{n}", ttl_s=60 if n in (0, SWEPT_PLACES) else 600)
            await self.put(SweptBody(), queue=f"q{n}")
            await self.storage.queues.delete("p", f"q{n}")
        self.clock.advance(60)
        for alive in (SWEPT_PLACES, SWEPT_PLACES - 1, SWEPT_PLACES - 1):
            self.storage.sweep()
            self.assertEqual(SweptBody.alive, alive)

    async def test_sweeping_often_changes_nothing(self) -> None:
        """Sweeps between operations are not seen."""
        await self.put(*numbered(4), ttl_s=90)
        await self.claim(2, ttl_s=60)
        self.storage.sweep()
        self.assertEqual(await self.counts(), (2, 2))
        self.clock.advance(60)
        self.storage.sweep()
        self.assertEqual(await self.claimed_bodies(3), numbered(3))
        self.clock.advance(30)
        self.storage.sweep()
        self.assertEqual(await self.listed(), numbered(3))

    async def test_sweep_after_delete_of_queue(self) -> None:
        """What was planned for a deleted queue is not done to one that came after it."""
        await self.put(b"1", ttl_s=60)
        await self.storage.queues.delete("p", "q")
        self.storage.sweep()
        await self.put(b"2", ttl_s=120)
        self.clock.advance(60)
        self.storage.sweep()
        self.assertEqual(await self.listed(), [b"2"])

    async def test_deleted_and_purged_messages_are_freed_in_slices(self) -> None:
        """Sweeps free what was deleted or purged, so many messages at once, until all is freed."""
        count = SWEPT_AT_ONCE // 2 + 1
        await self.put(*(SweptBody() for _ in range(count)))
        await self.put(*(SweptBody() for _ in range(count)), queue="other")
        await self.storage.queues.delete("p", "q")
        await self.storage.queues.purge("p", "other")
        self.storage.sweep()
        self.assertEqual(SweptBody.alive, 2 * count - SWEPT_AT_ONCE)
        self.storage.sweep()
        self.assertEqual(SweptBody.alive, 0)


class ForgettingTests(MemoryCase, TestCase):
    """How long the place of a moved message is remembered."""

    async def moved_and_gone(self) -> str:
        """Move a message behind a younger one of ``dead`` and delete it; give its id."""
        await self.make(claim_count_max=0, dead_letter_queue="dead")
        (moved,) = await self.put(b"m")
        self.clock.advance(1)
        await self.put(b"a", queue="dead", ttl_s=100_000)
        await self.claimed_bodies()
        await self.put(b"z", queue="dead", ttl_s=100_000)
        await self.drop(moved, queue="dead")
        return moved

    async def test_place_is_remembered(self) -> None:
        """Just before the time is over the id of a moved message that is gone marks its place."""
        moved = await self.moved_and_gone()
        self.clock.advance(ALIAS_KEPT_S - 1)
        self.storage.sweep()
        self.assertEqual(await self.listed(queue="dead", marker=moved), [b"z"])

    async def test_place_is_forgotten(self) -> None:
        """Then the id marks the instant of the post, which is earlier."""
        moved = await self.moved_and_gone()
        self.clock.advance(ALIAS_KEPT_S)
        self.storage.sweep()
        self.assertEqual(await self.listed(queue="dead", marker=moved), [b"a", b"z"])

    async def test_place_is_remembered_through_a_purge(self) -> None:
        """A purge of the queue does not make it forget at once, and it forgets in the end."""
        moved = await self.moved_and_gone()
        await self.storage.queues.purge("p", "dead")
        self.clock.advance(ALIAS_KEPT_S)
        await self.put(b"x", queue="dead")
        self.assertEqual(await self.listed(queue="dead", marker=moved), [b"x"])

    async def test_place_is_remembered_while_the_message_lives(self) -> None:
        """The place of a message is not forgotten while it is there, though it had been there before."""
        await self.make("one", claim_count_max=0, dead_letter_queue="two")
        await self.make("two", claim_count_max=0, dead_letter_queue="one")
        (moved,) = await self.put(b"m", queue="one", ttl_s=100_000)
        self.clock.advance(1)
        await self.put(b"a", queue="two", ttl_s=100_000, client=b"other")
        for queue in ("one", "two", "one"):
            await self.claimed_bodies(queue=queue)
        self.clock.advance(ALIAS_KEPT_S + 60)
        self.storage.sweep()
        self.assertEqual(await self.got(moved, queue="two"), [b"m"])


class LedgerTests(MemoryCase, TestCase):
    """What the store does in its own way where the contracts leave that open."""

    async def test_given_up_and_lost(self) -> None:
        """A post that the log has lost is not kept when it is given up, since it could not be sent again."""
        self.storage = MemoryStorage(self.clock, log_bounds=LogBounds(bytes_max=100))
        await self.follow()
        await self.put(b"1")
        owed = await self.take_one()
        await self.put(b"2" * 100)
        more = await self.report(owed, owed.posts[0].cursor, given_up=[GivenUp(owed.posts[0].cursor, 1, "refused")])
        assert more is not None
        self.assertEqual((told(more.posts), more.gap), ([b"2" * 100], False))
        self.assertEqual(await self.storage.deliveries.failing(9), [])

    async def test_no_gap_where_nothing_was_owed(self) -> None:
        """Who is not confirmed where that is required has lost no post that it was not owed."""
        self.storage = MemoryStorage(self.clock, log_bounds=LogBounds(age_max_s=600))
        first = await self.follow()
        await self.put(b"1")
        self.clock.advance(601)
        await self.put(b"2")
        await self.confirm(first, False, notice_s=60)
        owed = await self.take_one(required=True)
        self.assertEqual((told(owed.posts), owed.gap), ([UNSUBSCRIBE], False))

    async def test_silence_of_a_day(self) -> None:
        """That a gateway process was taken for dead is remembered for a day."""
        for silence_s, told_so in ((86_400 - 1, True), (86_400, False)):
            await self.storage.deliveries.beat("a")
            for _ in range(4):
                self.clock.advance(2)
                await self.storage.deliveries.beat("b")
            self.clock.advance(silence_s)
            self.assertEqual(await self.storage.deliveries.beat("a"), (["a", "b"], told_so))

    async def test_owner_that_never_said_that_it_lives(self) -> None:
        """A gateway process that makes a subscription lives from then on, until it is silent."""
        await self.follow("ws:1", owner="a")
        self.assertEqual(await self.storage.deliveries.beat("b"), (["a", "b"], False))
        for _ in range(4):
            self.clock.advance(2)
            await self.storage.deliveries.beat("b")
        self.assertEqual(await self.storage.subscriptions.list("p", "q", "", 9), [])


class MemoryClaimRingTests(MemoryCase, ClaimRingContract, TestCase):
    """Rings for what can be had again."""


class MemoryOnceTests(MemoryCase, OnceContract, TestCase):
    """The contract of keys."""


class RingTests(MemoryCase, TestCase):
    """Rings within one process."""

    async def test_rings_come_a_turn_later(self) -> None:
        """What happens in one turn rings once for each place, in the next turn."""
        for queue in ("a", "b"):
            await self.follow(queue=queue)
        rung: list[str] = []
        self.storage.doorbells.attend(lambda place: rung.append(place.name), lambda: None)
        self.storage.doorbells.watch(self.place("a"), lambda: rung.append("watched"))
        for queue in ("b", "a", "b", "a"):
            await self.put(b"1", queue=queue)
        self.assertEqual(rung, [])
        self.clock.advance(0)
        self.assertEqual(rung, ["b", "a", "watched"])
        self.assertEqual(self.clock.getDelayedCalls(), [])

    async def test_nobody_hears(self) -> None:
        """Where nobody attends and nobody watches nothing is planned."""
        await self.follow()
        end = self.storage.doorbells.watch(self.place(), lambda: None)
        end()
        await self.put(b"1")
        self.assertEqual(self.clock.getDelayedCalls(), [])

    async def test_ended_twice_and_in_a_ring(self) -> None:
        """Who ends watching within a ring, or twice, is not rung any more, and others are."""
        await self.follow()
        rung: list[str] = []
        doorbells = self.storage.doorbells
        doorbells.watch(self.place(), lambda: end())
        end = doorbells.watch(self.place(), lambda: rung.append("ended"))
        doorbells.watch(self.place(), lambda: rung.append("other"))
        for _ in range(2):
            await self.put(b"1")
            self.clock.advance(0)
        self.assertEqual(rung, ["other", "other"])


class IdTests(MemoryCase, TestCase):
    """The ids that the store gives out."""

    async def test_id_has_the_instant_of_the_post(self) -> None:
        """A message id is of the form of :mod:`zaqar_gateway.storage.ids` and contains when the post was."""
        self.clock.advance(0.25)
        one, two = await self.put(b"1", b"2")
        parsed = [ids.parse_id(text) for text in (one, two)]
        assert parsed[0] is not None and parsed[1] is not None
        self.assertEqual(parsed[0][0], int(self.clock.seconds() * 1_000_000))
        self.assertEqual(parsed[1][0], parsed[0][0] + 1)
        self.assertEqual(parsed[0][1], parsed[1][1])

    async def test_id_that_was_never_given_out(self) -> None:
        """The id that a moved message would have had, had it been posted to its new queue, is the id of nothing."""
        await self.make(claim_count_max=0, dead_letter_queue="dead")
        await self.put(b"m")
        (own,) = await self.put(b"own", queue="dead")
        await self.claimed_bodies()
        parsed = ids.parse_id(own)
        assert parsed is not None
        forged = ids.format_id(parsed[0] + 1, parsed[1])
        self.assertEqual(await self.got(forged, queue="dead"), [])
        await self.drop(forged, queue="dead")
        self.assertEqual(await self.counts("dead"), (2, 0))


class MemoryUseTests(MemoryCase, TestCase):
    """Memory does not grow with what is gone, however long it could have lived."""

    async def grown(self, churn: Callable[[int], Awaitable[None]]) -> int:
        """By how many bytes the store grows when the same is done 1,000 times more."""
        tracemalloc.start()
        self.addCleanup(tracemalloc.stop)
        await churn(500)
        before, _ = tracemalloc.get_traced_memory()
        await churn(1000)
        after, _ = tracemalloc.get_traced_memory()
        return after - before

    async def test_messages_and_claims(self) -> None:
        """Messages that are deleted and claims that are released leave nothing behind."""

        async def churn(times: int) -> None:
            for _ in range(times):
                (message_id,) = await self.put(b"x", ttl_s=1_000_000)
                claim = await self.claim(1, ttl_s=40_000)
                await self.storage.claims.update("p", "q", claim.id, 43_000, 60)
                await self.storage.claims.release("p", "q", claim.id)
                await self.drop(message_id)

        await self.put(*numbered(10), ttl_s=1_000_000)
        self.assertLess(await self.grown(churn), 20_000)

    async def test_delayed_messages(self) -> None:
        """Messages that are deleted before they are due leave nothing behind."""
        await self.make(message_delay_s=900)

        async def churn(times: int) -> None:
            for _ in range(times):
                (message_id,) = await self.put(b"x", ttl_s=1_000_000)
                await self.drop(message_id)

        self.assertLess(await self.grown(churn), 20_000)

    async def test_moved_and_purged_messages(self) -> None:
        """Messages that are moved and then purged leave nothing behind, their places neither."""
        await self.make(claim_count_max=0, dead_letter_queue="dead")

        async def churn(times: int) -> None:
            for _ in range(times):
                await self.put(b"x")
                await self.claimed_bodies()
                await self.storage.queues.purge("p", "dead")
                self.storage.sweep()

        self.assertLess(await self.grown(churn), 20_000)

    async def test_subscriptions(self) -> None:
        """Subscriptions that end leave nothing behind, nor do places without them, nor gateways that left."""

        async def churn(times: int) -> None:
            for n in range(times):
                project = f"{times} {n}"
                await self.follow(project=project, ttl_s=1_000_000)
                await self.follow("http://b", project=project, ttl_s=1_000_000, notice_s=60)
                await self.follow("ws:1", project=project, ttl_s=1_000_000, owner=project)
                await self.put(b"x", project=project)
                await self.take(project=project, limit=1)
                await self.storage.queues.delete(project, "q")
                await self.storage.deliveries.leave(project)
                await self.storage.subscriptions.purge(project, "q")
                self.clock.advance(PAST_KEPT_S)
                self.storage.sweep()

        self.assertLess(await self.grown(churn), 20_000)

    async def test_deliveries(self) -> None:
        """What is delivered leaves nothing behind, however often it waited, nor does a notice."""
        first = await self.follow(ttl_s=1_000_000)
        await self.follow("http://idle", ttl_s=1_000_000, confirmed=True)

        async def churn(times: int) -> None:
            for _ in range(times):
                await self.put(b"x")
                await self.storage.queues.purge("p", "q")
                self.storage.sweep()
                for owed in await self.take():
                    await self.report(owed, attempts=1, wait_ms=9_000)
                self.clock.advance(9)
                await self.deliver()
                await self.confirm(first, False, notice_s=60)
                await self.deliver()

        self.assertLess(await self.grown(churn), 20_000)

    async def test_queues_and_projects(self) -> None:
        """Queues that are deleted leave nothing behind after a while, nor do projects without queues."""

        async def churn(times: int) -> None:
            for n in range(times):
                await self.put(b"x", project=f"{times} {n}")
                await self.storage.queues.delete(f"{times} {n}", "q")
                self.clock.advance(PAST_KEPT_S)
                self.storage.sweep()

        self.assertLess(await self.grown(churn), 20_000)


class RandomWalkTests(TestCase):
    """The comparison of stores by random operations."""

    async def compare(self, seed: int, steps: int) -> Counter[str]:
        clock = clock_at_epoch()
        return await walk(MemoryStorage(clock), MemoryStorage(clock), clock, seed, steps)

    async def test_memory_is_like_memory(self) -> None:
        """Two memory stores answer alike."""
        for seed in range(20):
            await self.compare(seed, 500)

    async def test_sweeps_do_not_show(self) -> None:
        """A store that is swept all the time answers like one that never is."""

        for seed in range(100, 110):
            clock = clock_at_epoch()
            swept = MemoryStorage(clock)
            sweeping = LoopingCall(swept.sweep)
            sweeping.clock = clock
            sweeping.start(0.25)
            await walk(MemoryStorage(clock), swept, clock, seed, 500)

    async def test_walk_comes_to_everything(self) -> None:
        """A walk sees each operation succeed and each be refused or find nothing, so that it compares something."""
        told: Counter[str] = Counter()
        for seed in range(30):
            told += await self.compare(seed, 500)
        for expected in (
            "post: something",
            "post: RuleBroken",
            "create: something",
            "create: nothing",
            "update: something",
            "get: something",
            "list: something",
            "list: nothing",
            "delete: MessageClaimed",
            "delete: ClaimMismatch",
            "delete: nothing",
            "pop: something",
            "pop: nothing",
            "claim: something",
            "claim: nothing",
            "release: nothing",
            "dead_letters: something",
            "send_back: something",
            "stats: something",
            "stats: nothing",
            "subscribe: something",
            "get_subscription: something",
            "get_subscription: nothing",
            "list_subscriptions: something",
            "update_subscription: something",
            "update_subscription: SubscriberTaken",
            "confirm: something",
            "unsubscribe: something",
            "take: something",
            "take: nothing",
            "report: something",
            "report: nothing",
            "extend: something",
            "extend: nothing",
            "failures: something",
            "resend: something",
        ):
            self.assertGreater(told[expected], 10, f"{expected} of {told}")

    async def test_same_seed_is_same_walk(self) -> None:
        """A walk can be repeated by its seed."""
        self.assertEqual(await self.compare(7, 200), await self.compare(7, 200))

    async def test_difference_is_found(self) -> None:
        """A store whose clock stands still is found out, with the seed and the step."""
        clock = clock_at_epoch()
        with self.assertRaisesRegex(Difference, "seed 1, step "):
            await walk(MemoryStorage(clock), MemoryStorage(clock_at_epoch()), clock, 1, 500)

    async def test_difference_of_ids_is_found(self) -> None:
        """A store that gives an id out twice is found out."""
        clock = clock_at_epoch()
        stuck = MemoryStorage(clock, new_incarnation=lambda: "0" * 10)
        with self.assertRaisesRegex(Difference, "given out twice"):
            for seed in range(2, 20):  # with 0 the key of an earlier post is found first, with 1 a marker
                await walk(MemoryStorage(clock), stuck, clock, seed, 500)
