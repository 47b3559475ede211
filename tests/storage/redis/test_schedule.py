"""The schedule: no place that has something to do is ever left out of it."""

from __future__ import annotations

from twisted.internet.defer import Deferred
from twisted.trial.unittest import TestCase

from tests.redis_server import connect, shared_server, storage_at
from zaqar_gateway.model import GivenUp, NewMessage, NewPost, NewSubscription, Owed, Place, Progress
from zaqar_gateway.storage.redis.keys import Keys
from zaqar_gateway.storage.redis.schedule import IDLE_MS, Schedule
from zaqar_gateway.testing.base import EPOCH_S, clock_at_epoch

PLACE = Place("p", "q")
LEASE_MS = 10_000


class ScheduleTests(TestCase):
    """The schedule of a store whose time is that of a clock."""

    async def setUp(self) -> None:  # type: ignore[override]
        self.clock = clock_at_epoch()
        self.redis = connect(shared_server())
        self.redis.start()
        await self.redis.when_ready()
        self.store = storage_at(self.redis, self.clock)
        keys = Keys()
        self.key = keys.queue("p", "q")
        self.schedule = Schedule(self.redis, keys, keys.topics(), lambda: int(self.clock.seconds() * 1000))

    def tearDown(self) -> Deferred[None]:  # type: ignore[override]
        return Deferred.fromCoroutine(self.redis.stop())

    async def at_s(self) -> float | None:
        """When the place is to be looked at: seconds from the beginning of the test, ``None``: never."""
        seen = await self.schedule.seen(self.key)
        return None if seen is None else float(seen) / 1000 - EPOCH_S

    async def subscribe(self, ttl_s: int = 3600) -> None:
        await self.store.subscriptions.create("p", "q", NewSubscription("http://x", ttl_s))

    async def post(self) -> None:
        await self.store.messages.post("p", "q", NewPost(b"c", [NewMessage(b"1")], size=1, ttl_default_s=60, size_max=10))

    async def take(self) -> list[Owed]:
        return await self.store.deliveries.take(PLACE, limit=10, batch=10, lease_ms=LEASE_MS, required=False)

    async def test_put_off(self) -> None:
        """A place where nothing is owed is looked at again after a while, or when its next subscription ends."""
        await self.subscribe()
        await self.post()
        (owed,) = await self.take()
        done = Progress(owed.subscription.id, owed.token, owed.posts[0].cursor)
        await self.store.deliveries.report(PLACE, done, batch=10, lease_ms=LEASE_MS, required=False)
        await self.schedule.nudge(self.key)
        self.assertEqual(await self.take(), [])
        self.assertEqual(await self.at_s(), IDLE_MS / 1000)
        await self.store.subscriptions.create("p", "q", NewSubscription("http://y", 60))
        self.assertLessEqual(await self.at_s() or 0, 60)

    async def test_nudged_meanwhile(self) -> None:
        """Who looked at a place does not put it off when somebody has nudged it since."""
        await self.subscribe()
        seen = await self.schedule.seen(self.key)
        assert seen is not None
        await self.schedule.nudge(self.key, 5000)
        await self.schedule.put_off(self.key, seen, int(EPOCH_S * 1000) + IDLE_MS)
        self.assertLessEqual(await self.at_s() or 0, 5)
        await self.schedule.put_off(self.key, seen, None)
        self.assertIsNotNone(await self.at_s())

    async def test_nudge_is_no_delay(self) -> None:
        """A nudge for later does not put off what is due before."""
        await self.schedule.nudge(self.key, 5000)
        await self.schedule.nudge(self.key, 9000)
        self.assertLessEqual(await self.at_s() or 0, 5)

    async def test_lease(self) -> None:
        """What was taken is looked at when its lease ends, so that another gateway finds it."""
        await self.subscribe()
        self.assertEqual(await self.store.deliveries.due(10), [])
        await self.post()
        self.assertEqual(await self.store.deliveries.due(10), [PLACE])
        self.assertEqual(len(await self.take()), 1)
        self.assertEqual(await self.store.deliveries.due(10), [])
        self.clock.advance(LEASE_MS / 1000)
        self.assertEqual(await self.store.deliveries.due(10), [PLACE])
        self.assertEqual(len(await self.take()), 1)

    async def test_wait(self) -> None:
        """What waits is looked at when its wait is over."""
        await self.subscribe()
        await self.post()
        (owed,) = await self.take()
        waits = Progress(owed.subscription.id, owed.token, attempts=1, wait_ms=3000)
        await self.store.deliveries.report(PLACE, waits, batch=10, lease_ms=LEASE_MS, required=False)
        self.clock.advance(2.75)
        self.assertEqual(await self.store.deliveries.due(10), [])
        self.clock.advance(0.25)
        self.assertEqual(await self.store.deliveries.due(10), [PLACE])

    async def test_left(self) -> None:
        """A place without subscriptions leaves the schedule, and is in it again with the next one."""
        await self.subscribe(60)
        self.clock.advance(60)
        self.assertEqual(await self.take(), [])
        self.assertIsNone(await self.at_s())
        await self.subscribe()
        self.assertApproximates(await self.at_s() or 0, 60 + IDLE_MS / 1000, 1)

    async def test_lease_of_the_dead(self) -> None:
        """A lease of somebody who died before it was in the schedule is put there by whoever looks next."""
        await self.subscribe()
        await self.post()
        await self.take()
        seen = await self.schedule.seen(self.key)
        assert seen is not None
        await self.schedule.put_off(self.key, seen, int(EPOCH_S * 1000) + IDLE_MS)
        self.assertEqual(await self.take(), [])
        self.assertLessEqual(await self.at_s() or 0, LEASE_MS / 1000)

    async def test_more_expired_than_a_slice(self) -> None:
        """Expired subscriptions are owed nothing, however many there are that nobody has swept."""
        for number in range(1100):
            new = NewSubscription(f"http://{number}", 60)
            await self.store.subscriptions.create("p", "q", new)
        await self.store.subscriptions.create("p", "q", NewSubscription("http://live", 3600))
        await self.post()
        self.clock.advance(60)
        found = await self.take()
        while not found:  # one look passes so many of them only; the place is then due at once
            self.assertEqual(await self.store.deliveries.due(10), [PLACE])
            found = await self.take()
        self.assertEqual([owed.subscription.subscriber for owed in found], ["http://live"])

    async def test_sockets_forgotten(self) -> None:
        """What is kept of a socket's subscription for its gateway goes with it, though somebody else ended it."""
        placed = await self.store.subscriptions.create("p", "q", NewSubscription("http://s", 60, owner="g"))
        self.assertEqual(await self.redis.command("SMEMBERS", "zg:sockets.g"), [self.key])
        await storage_at(self.redis, self.clock).subscriptions.purge("p", "q")
        await self.store.subscriptions.delete("p", "q", placed.id)
        self.assertEqual(await self.redis.command("SMEMBERS", "zg:sockets.g"), [])

    async def test_failing_forgotten(self) -> None:
        """A place whose failures were sent again is listed no more, and nothing of them is left."""
        await self.subscribe()
        await self.post()
        (owed,) = await self.take()
        cursor = owed.posts[0].cursor
        failed = Progress(owed.subscription.id, owed.token, cursor, (GivenUp(cursor, 1, "no"),))
        await self.store.deliveries.report(PLACE, failed, batch=10, lease_ms=LEASE_MS, required=False)
        self.assertEqual([one.count for one in await self.store.deliveries.failing(10)], [1])
        self.assertGreater(await self.redis.command("PTTL", self.key + b":x"), 0)
        await self.store.deliveries.resend(PLACE, None, 10)
        self.assertEqual(await self.store.deliveries.failing(10), [])
        self.assertEqual(await self.redis.command("SMEMBERS", "zg:failing"), [])

    async def test_nothing_left_behind(self) -> None:
        """The last subscription takes everything of its kind along."""
        await self.subscribe()
        await self.post()
        await self.take()
        (one,) = await self.store.subscriptions.list("p", "q", "", 10)
        await self.store.subscriptions.delete("p", "q", one.id)
        await self.store.queues.delete("p", "q")
        self.clock.advance(LEASE_MS / 1000)
        self.assertEqual(await self.take(), [])
        # How far the queue had come is known a while longer, and then goes by itself.
        self.assertEqual(await self.redis.command("KEYS", "*"), [b"zg:{p/q}:g"])
        self.assertTrue(0 < await self.redis.command("TTL", "zg:{p/q}:g") <= 300)
