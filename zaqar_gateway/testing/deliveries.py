"""What every :class:`~zaqar_gateway.interfaces.IDeliveryStore` and its :class:`~zaqar_gateway.interfaces.IDoorbells` have
to do."""

from __future__ import annotations

import itertools

from zope.interface.verify import verifyObject

from zaqar_gateway.errors import RuleBroken
from zaqar_gateway.interfaces import IDeliveryStore, IDoorbells
from zaqar_gateway.model import (
    CONFIRM,
    NO_RULES,
    UNSUBSCRIBE,
    FailedDelivery,
    Failing,
    GivenUp,
    LogBounds,
    NewSubscription,
    Owed,
    Place,
    QueueRules,
)
from zaqar_gateway.testing.base import EPOCH_S, NO_IDS, numbered, told
from zaqar_gateway.testing.rings import Hearing

DAY_S = 86_400


class DeliveryStoreContract(Hearing):
    """Deliveries: what is owed to whom, leases, what is given up, gateway processes, and rings."""

    def bound_log(self, bounds: LogBounds) -> None:
        """Set ``storage`` to an empty store that keeps no more than this for subscribers that lag behind."""
        raise NotImplementedError

    async def due(self, limit: int = 100) -> set[Place]:
        """Where something is due."""
        return set(await self.storage.deliveries.due(limit))

    async def look(self, *, required: bool = False) -> list[Owed]:
        """What is owed now.  It is not delivered, and due again at once."""
        taken = await self.take(required=required)
        for owed in taken:
            await self.report(owed, attempts=owed.attempts, wait_ms=0, required=required)
        return taken

    async def owed(self, *, required: bool = False) -> dict[str, list[bytes | str]]:
        """What each subscriber is owed now."""
        return {owed.subscription.subscriber: told(owed.posts) for owed in await self.look(required=required)}

    async def failures(self, marker: str = "", limit: int = 100) -> list[FailedDelivery]:
        """What was given up."""
        return await self.storage.deliveries.failures(self.place(), marker, limit)

    async def failing(self) -> dict[Place, int]:
        """How much is kept of what was given up, by place."""
        return {each.place: each.count for each in await self.storage.deliveries.failing(100)}

    async def resend(self, *ids: str, limit: int = 100) -> int:
        """Owe again what was given up; all of it where no ids are given."""
        return await self.storage.deliveries.resend(self.place(), ids or None, limit)

    async def extend(self, *leases: Owed, lease_ms: int = 60_000) -> set[str]:
        """Extend leases."""
        given = [(owed.subscription.id, owed.token) for owed in leases]
        return set(await self.storage.deliveries.extend(self.place(), given, lease_ms))

    async def give_up(self, *texts: bytes, attempts: int = 3, reason: str = "refused") -> Owed:
        """Post, and give up delivering that to the one subscriber; what was taken."""
        await self.put(*texts)
        owed = await self.take_one(batch=1000)
        given_up = [GivenUp(post.cursor, attempts, reason) for post in owed.posts]
        self.assertIsNone(await self.report(owed, owed.posts[-1].cursor, given_up=given_up))
        return owed

    def test_deliveries_provide_interface(self) -> None:
        """The store has the methods of the interfaces, with their arguments."""
        verifyObject(IDeliveryStore, self.storage.deliveries)
        verifyObject(IDoorbells, self.storage.doorbells)

    # -- what is owed ------------------------------------------------------------------------------------------------

    async def test_posts_are_owed(self) -> None:
        """What is posted is owed to each subscriber, in order, with all that is needed to deliver it."""
        await self.make(message_delay_s=5, retry_policy=b'{"minimum_delay":1}')
        ids = {await self.follow("http://a", options=b'{"a": 1}'), await self.follow("http://b")}
        await self.put(b"1", ttl_s=300)
        await self.put(b"2", b"3", ttl_s=400, delay_s=9)
        taken = await self.take()
        self.assertEqual({owed.subscription.id for owed in taken}, ids)
        for owed in taken:
            self.assertEqual(owed.subscription, await self.followed(owed.subscription.id))
            self.assertEqual(
                [(post.body, post.ttl_s, post.delay_s, post.notice) for post in owed.posts],
                [(b"1", 300, 5, ""), (b"2", 400, 9, ""), (b"3", 400, 9, "")],
            )
            self.assertEqual((owed.place, owed.attempts, owed.gap), (self.place(), 0, False))
            self.assertEqual(owed.retry_policy, b'{"minimum_delay":1}')

    async def test_nothing_from_before(self) -> None:
        """A subscription is owed nothing that was posted before it."""
        await self.follow("http://b")
        await self.put(b"1")
        await self.follow()
        await self.put(b"2")
        self.assertEqual(await self.owed(), {"http://a": [b"2"], "http://b": [b"1", b"2"]})

    async def test_nothing_is_owed(self) -> None:
        """Where nothing was posted, or nobody has subscribed, nothing is taken."""
        self.assertEqual(await self.take(), [])
        await self.put(b"1")
        self.assertEqual(await self.take(), [])
        await self.follow()
        self.assertEqual(await self.take(), [])
        self.assertEqual(await self.take(queue="other"), [])

    async def test_owed_in_batches(self) -> None:
        """What is done is reported, and the next batch comes under the same lease, until there is nothing more."""
        await self.follow()
        await self.put(*numbered(5))
        owed = await self.take_one(batch=2)
        self.assertEqual(told(owed.posts), numbered(2))
        more = await self.report(owed, owed.posts[1].cursor, batch=2)
        assert more is not None
        self.assertEqual((told(more.posts), more.token), (numbered(2, start=2), owed.token))
        last = await self.report(owed, more.posts[0].cursor, batch=2)
        assert last is not None
        self.assertEqual(told(last.posts), numbered(2, start=3))
        self.assertIsNone(await self.report(owed, last.posts[1].cursor, batch=2))
        self.assertEqual(await self.take(), [])
        self.assertEqual(await self.deliver(), {})

    async def test_posted_under_a_lease(self) -> None:
        """What is posted while somebody delivers is owed in the next report."""
        await self.follow()
        await self.put(b"1")
        owed = await self.take_one()
        await self.put(b"2")
        self.assertEqual(await self.take(), [])
        more = await self.report(owed, owed.posts[0].cursor)
        assert more is not None
        self.assertEqual(told(more.posts), [b"2"])

    async def test_posted_when_idle(self) -> None:
        """What is posted when all was delivered is owed anew."""
        await self.follow()
        for n in range(3):
            await self.put(b"%d" % n)
            owed = await self.take_one()
            self.assertEqual(told(owed.posts), [b"%d" % n])
            self.assertIsNone(await self.report(owed, owed.posts[0].cursor))

    async def test_cursor_does_not_go_back(self) -> None:
        """A report of less than was reported before changes nothing."""
        await self.follow("http://slow")
        await self.put(b"0")
        await self.report(await self.take_one(), attempts=1, wait_ms=60_000)
        await self.follow()
        await self.put(*numbered(3))
        owed = await self.take_one()
        await self.report(owed, owed.posts[1].cursor)
        for cursor in ("", owed.posts[0].cursor):
            more = await self.report(owed, cursor)
            assert more is not None
            self.assertEqual((told(more.posts), more.gap), (numbered(1, start=2), False))

    async def test_owed_whatever_becomes_of_the_messages(self) -> None:
        """What is owed does not depend on the messages, nor on the queue."""
        await self.make(retry_policy=b'{"a":1}')
        await self.follow()
        await self.put(b"1", b"2", ttl_s=60)
        await self.popped(1)
        await self.storage.queues.purge("p", "q")
        await self.storage.queues.delete("p", "q")
        self.clock.advance(60)
        (owed,) = await self.look()
        self.assertEqual((told(owed.posts), owed.retry_policy), ([b"1", b"2"], b""))
        await self.put(b"3")
        self.assertEqual(await self.deliver(), {"http://a": [b"1", b"2", b"3"]})

    async def test_retry_policy_follows_the_queue(self) -> None:
        """The retry policy is that of the queue as it is now."""
        await self.make()
        await self.follow()
        await self.put(b"1", b"2")
        owed = await self.take_one()
        self.assertEqual(owed.retry_policy, b"")
        rules = QueueRules(retry_policy=b'{"a":1}')
        await self.storage.queues.update("p", "q", b'{"made": true}', b"{}", rules)
        more = await self.report(owed, owed.posts[0].cursor)
        assert more is not None
        self.assertEqual(more.retry_policy, b'{"a":1}')

    async def test_places_are_apart(self) -> None:
        """What is posted in one place is owed there alone; a topic and a queue of one name are two places."""
        for project, queue in (("p", "q"), ("p", "other"), ("other", "q")):
            await self.follow(project=project, queue=queue)
        await self.storage.topic_subscriptions.create("p", "q", NewSubscription("http://a", 60))
        await self.put(b"1")
        self.assertIn(self.place(), await self.due())
        self.assertEqual(await self.take(queue="other"), [])
        self.assertEqual(await self.take(project="other"), [])
        topic = Place("p", "q", not self.is_topic)
        taken = await self.storage.deliveries.take(topic, limit=9, batch=9, lease_ms=1, required=False)
        self.assertEqual(taken, [])
        self.assertEqual(await self.due(), {self.place()})
        self.assertEqual(await self.deliver(), {"http://a": [b"1"]})

    async def test_sockets_are_not_delivered_to(self) -> None:
        """The subscriptions of sockets are never taken, and nothing is due for them."""
        await self.follow("ws:1", owner="g", notice_s=60)
        await self.put(b"1")
        self.assertEqual((await self.take(), await self.due()), ([], set()))

    async def test_ended_subscriptions_are_owed_nothing(self) -> None:
        """What was owed to a subscription that ended is dropped, also for a later one of the same subscriber."""

        async def delete() -> None:
            await self.storage.subscriptions.delete("p", "q", owed.subscription.id)

        async def purge() -> None:
            await self.storage.subscriptions.purge("p", "q")

        async def expire() -> None:
            self.clock.advance(3600)

        for end in (delete, purge, expire):
            await self.follow(notice_s=60)
            await self.put(b"1", b"2")
            owed = await self.take_one(lease_ms=10_000_000)
            await end()
            self.assertIsNone(await self.report(owed, owed.posts[0].cursor))
            self.assertEqual(await self.extend(owed), set())
            await self.follow()
            self.assertEqual(await self.take(), [])
            await self.storage.subscriptions.purge("p", "q")

    # -- leases ------------------------------------------------------------------------------------------------------

    async def test_lease(self) -> None:
        """Nobody else takes what is leased until just before the lease ends; then it is due at once."""
        await self.follow()
        await self.put(b"1")
        first = await self.take_one(lease_ms=10_000)
        self.assertEqual((await self.take(), await self.due()), ([], set()))
        self.clock.advance(9.75)
        self.assertEqual((await self.take(), await self.due()), ([], set()))
        self.clock.advance(0.25)
        self.assertEqual(await self.due(), {self.place()})
        second = await self.take_one()
        self.assertEqual(told(second.posts), [b"1"])
        self.assertNotEqual(second.token, first.token)

    async def test_report_after_the_lease(self) -> None:
        """When a lease has ended nothing of a report is noted, whether or not somebody has taken another."""
        await self.follow()
        await self.put(b"1", b"2")
        first = await self.take_one(lease_ms=10_000)
        self.clock.advance(10)
        late = [GivenUp(first.posts[0].cursor, 1, "late")]
        self.assertIsNone(await self.report(first, first.posts[0].cursor, given_up=late, attempts=5))
        second = await self.take_one()
        self.assertEqual((told(second.posts), second.attempts), ([b"1", b"2"], 0))
        self.assertIsNone(await self.report(first, first.posts[1].cursor, given_up=late, wait_ms=99_000))
        more = await self.report(second)
        assert more is not None
        self.assertEqual((told(more.posts), more.attempts), ([b"1", b"2"], 0))
        self.assertEqual(await self.failures(), [])

    async def test_report_extends_the_lease(self) -> None:
        """A report under which something more is owed extends the lease."""
        await self.follow()
        await self.put(b"1", b"2")
        owed = await self.take_one(lease_ms=10_000)
        self.clock.advance(9)
        await self.report(owed, owed.posts[0].cursor, lease_ms=20_000)
        self.clock.advance(19.75)
        self.assertEqual(await self.take(), [])
        self.clock.advance(0.25)
        self.assertEqual(told((await self.take_one()).posts), [b"2"])

    async def test_extend(self) -> None:
        """A lease is extended from now, and the extension is told."""
        for subscriber in ("http://a", "http://b"):
            await self.follow(subscriber)
        await self.put(b"1")
        one, two = await self.take(lease_ms=10_000)
        self.clock.advance(9)
        self.assertEqual(await self.extend(one, lease_ms=20_000), {one.subscription.id})
        self.clock.advance(1)
        self.assertEqual(await self.extend(one, two, lease_ms=19_000), {one.subscription.id})
        self.assertEqual((await self.take_one()).subscription.id, two.subscription.id)
        self.clock.advance(19)
        self.assertEqual((await self.take_one()).subscription.id, one.subscription.id)

    async def test_extend_of_nothing(self) -> None:
        """No lease is extended by a wrong token, by the id of nothing, where it has ended, or in another place."""
        await self.follow()
        await self.put(b"1")
        owed = await self.take_one()
        extend, place, right = self.storage.deliveries.extend, self.place(), (owed.subscription.id, owed.token)
        wrong = [(owed.subscription.id, owed.token + 1), *((text, owed.token) for text in NO_IDS)]
        self.assertEqual(set(await extend(place, wrong, 60_000)), set())
        self.assertEqual(set(await extend(self.place("other"), [right], 60_000)), set())
        self.assertEqual(set(await extend(place, [], 60_000)), set())
        self.assertIsNone(await self.report(owed, owed.posts[0].cursor))
        self.assertEqual(await self.extend(owed), set())

    async def test_token_of_an_idle_subscription(self) -> None:
        """A lease has ended when nothing more was owed under it."""
        await self.follow()
        await self.put(b"1")
        owed = await self.take_one()
        await self.report(owed, owed.posts[0].cursor)
        await self.put(b"2")
        self.assertIsNone(await self.report(owed, owed.posts[0].cursor))
        self.assertEqual(await self.owed(), {"http://a": [b"2"]})

    async def test_due_until_it_is_taken(self) -> None:
        """What is due stays so until somebody takes it, though somebody has asked for it."""
        await self.follow()
        await self.put(b"1")
        for _ in range(3):
            self.assertEqual(await self.due(), {self.place()})
        await self.take(lease_ms=5_000)
        self.clock.advance(5)
        for _ in range(3):
            self.assertEqual(await self.due(), {self.place()})

    # -- attempts and waits ------------------------------------------------------------------------------------------

    async def test_wait(self) -> None:
        """What waits is due when the time is over and not before, with the attempts that were reported."""
        await self.follow()
        await self.put(b"1", b"2", b"3")
        owed = await self.take_one()
        self.assertIsNone(await self.report(owed, owed.posts[0].cursor, attempts=3, wait_ms=30_000))
        self.clock.advance(29.75)
        self.assertEqual((await self.take(), await self.due()), ([], set()))
        self.clock.advance(0.25)
        self.assertEqual(await self.due(), {self.place()})
        again = await self.take_one()
        self.assertEqual((told(again.posts), again.attempts), ([b"2", b"3"], 3))

    async def test_wait_ends_the_lease(self) -> None:
        """Whoever reported a wait holds no lease any more."""
        await self.follow()
        await self.put(b"1")
        owed = await self.take_one()
        await self.report(owed, attempts=1, wait_ms=5_000)
        self.assertEqual(await self.extend(owed), set())
        self.assertIsNone(await self.report(owed, owed.posts[0].cursor))
        self.clock.advance(5)
        again = await self.take_one()
        self.assertEqual((told(again.posts), again.attempts), ([b"1"], 1))

    async def test_posted_in_a_wait(self) -> None:
        """What is posted while something waits comes after it."""
        await self.follow()
        await self.put(b"1")
        owed = await self.take_one()
        await self.report(owed, attempts=1, wait_ms=5_000)
        await self.put(b"2")
        self.assertEqual(await self.take(), [])
        self.clock.advance(5)
        self.assertEqual(told((await self.take_one()).posts), [b"1", b"2"])

    async def test_wait_of_nothing(self) -> None:
        """A wait with nothing more owed does not hold up the subscription for good."""
        await self.follow()
        await self.put(b"1")
        owed = await self.take_one()
        self.assertIsNone(await self.report(owed, owed.posts[0].cursor, wait_ms=5_000))
        self.clock.advance(5)
        self.assertEqual((await self.take(), await self.due()), ([], set()))
        await self.put(b"2")
        self.assertEqual(await self.owed(), {"http://a": [b"2"]})

    async def test_attempts_outlive_a_lease(self) -> None:
        """The attempts of a lease that ended are those that were reported last."""
        await self.follow()
        await self.put(b"1", b"2")
        owed = await self.take_one()
        more = await self.report(owed, attempts=2, lease_ms=10_000)
        assert more is not None
        self.assertEqual((told(more.posts), more.attempts), ([b"1", b"2"], 2))
        self.clock.advance(10)
        again = await self.take_one()
        self.assertEqual(again.attempts, 2)
        self.assertIsNone(await self.report(again, again.posts[1].cursor))
        await self.put(b"3")
        self.assertEqual((await self.take_one()).attempts, 0)

    async def test_a_slow_subscriber_delays_no_other(self) -> None:
        """While something waits for one subscriber the others are owed what comes."""
        await self.follow("http://slow")
        await self.put(b"1")
        await self.report(await self.take_one(), attempts=1, wait_ms=60_000)
        await self.follow("http://fast")
        for n in range(3):
            await self.put(b"%d" % n)
            self.assertEqual(await self.deliver(), {"http://fast": [b"%d" % n]})

    # -- in which order ----------------------------------------------------------------------------------------------

    async def test_order_of_taking(self) -> None:
        """First comes what waited or whose lease has ended, then who is furthest behind."""
        for name in ("waits", "lapses", "behind", "further"):
            await self.follow(f"http://{name}")
        leases: dict[str, Owed] = {}
        await self.put(b"1")
        for owed in await self.take(lease_ms=30_000):
            leases[owed.subscription.subscriber] = owed
        await self.report(leases["http://waits"], attempts=1, wait_ms=20_000)
        further = leases["http://further"]
        self.assertIsNone(await self.report(further, further.posts[0].cursor))
        await self.put(b"2")
        behind = leases["http://behind"]
        more = await self.report(behind, behind.posts[0].cursor)
        assert more is not None
        self.assertIsNone(await self.report(more, more.posts[0].cursor))
        await self.put(b"3")
        self.clock.advance(30)
        taken = [(await self.take(limit=1))[0] for _ in range(4)]
        self.assertEqual(
            [(owed.subscription.subscriber, told(owed.posts)) for owed in taken],
            [
                ("http://waits", [b"1", b"2", b"3"]),
                ("http://lapses", [b"1", b"2", b"3"]),
                ("http://further", [b"2", b"3"]),
                ("http://behind", [b"3"]),
            ],
        )
        self.assertEqual(await self.take(), [])

    async def test_order_of_taking_notices(self) -> None:
        """A notice makes nobody come before somebody who is further behind."""
        behind = await self.follow("http://behind")
        await self.put(b"1")
        await self.deliver()
        await self.put(b"2")
        noticed = await self.follow("http://noticed")
        await self.confirm(noticed, False, notice_s=60)
        taken = [(await self.take(limit=1))[0] for _ in range(2)]
        self.assertEqual([owed.subscription.id for owed in taken], [behind, noticed])

    async def test_limit_of_taking(self) -> None:
        """Each call takes at most so many, until all are taken; the place is due until then."""
        for n in range(7):
            await self.follow(f"http://{n}")
        await self.put(b"1")
        seen: list[str] = []
        for count in (3, 3, 1, 0):
            self.assertEqual(await self.due(), {self.place()} if count else set())
            taken = await self.take(limit=3)
            self.assertEqual(len(taken), count)
            seen += [owed.subscription.subscriber for owed in taken]
        self.assertEqual(len(set(seen)), 7)

    async def test_due_in_many_places(self) -> None:
        """Whoever takes what is due reaches all places, however few are named at once."""
        for n in range(10):
            await self.follow(queue=f"q{n}")
            await self.put(b"1", queue=f"q{n}")
        for _ in range(10):
            (place,) = await self.storage.deliveries.due(1)
            self.assertEqual(len(await self.take(queue=place.name)), 1)
        self.assertEqual(await self.due(), set())

    async def test_places(self) -> None:
        """All places that have live subscriptions are named; others may be that had some, and none that never had."""
        for n in range(30):
            await self.follow(queue=f"q{n}", project=f"p{n % 3}", ttl_s=60 if n % 10 == 0 else 3600)
        await self.storage.subscriptions.purge("p1", "q1")
        await self.follow("ws:1", owner="g", queue="q33", project="p0")
        await self.storage.topic_subscriptions.create("p0", "q3", NewSubscription("http://a", 3600))
        await self.put(b"1", queue="none")
        self.clock.advance(60)
        had = {self.place(f"q{n}", project=f"p{n % 3}") for n in (0, 1, 10, 20)}
        expected = {self.place(f"q{n}", project=f"p{n % 3}") for n in (*range(30), 33)} - had
        seen: list[Place] = []
        after = ""
        while True:
            places, after = await self.storage.deliveries.places(after, 7)
            seen += places
            if not after:
                break
        self.assertEqual(set(seen) - had, expected | {Place("p0", "q3", not self.is_topic)})

    async def test_no_places(self) -> None:
        """Where nobody has subscribed there are no places."""
        places, after = await self.storage.deliveries.places("", 10)
        self.assertEqual((list(places), after), ([], ""))

    # -- notices and confirmation ------------------------------------------------------------------------------------

    async def test_notice(self) -> None:
        """A subscription that is to be confirmed is owed a notice, and so is nobody else."""
        await self.follow("http://b")
        first = await self.follow(notice_s=600)
        self.assertEqual(await self.due(), {self.place()})
        for required in (True, False):
            (owed,) = await self.look(required=required)
            (post,) = owed.posts
            self.assertEqual(owed.subscription.id, first)
            self.assertEqual((post.notice, post.until_s, post.body), (CONFIRM, EPOCH_S + 600, b""))

    async def test_notice_again(self) -> None:
        """Who subscribes again is owed the notice again, unless it is confirmed."""
        first = await self.follow(notice_s=600)
        self.assertEqual(await self.deliver(), {"http://a": [CONFIRM]})
        self.clock.advance(10)
        new = NewSubscription("http://a", 60, notice_s=600)
        await self.storage.subscriptions.create("p", "q", new)
        (owed,) = await self.look()
        self.assertEqual([(post.notice, post.until_s) for post in owed.posts], [(CONFIRM, EPOCH_S + 610)])
        await self.deliver()
        await self.storage.subscriptions.create("p", "q", NewSubscription("http://a", 60))
        self.assertEqual(await self.take(), [])
        await self.confirm(first)
        await self.storage.subscriptions.create("p", "q", new)
        self.assertEqual(await self.take(), [])

    async def test_notices_and_posts_in_order(self) -> None:
        """Notices and posts are owed in the order in which they came."""
        first = await self.follow(notice_s=60)
        await self.put(b"1")
        await self.confirm(first, False, notice_s=60)
        await self.put(b"2")
        self.assertEqual(await self.deliver(), {"http://a": [CONFIRM, b"1", UNSUBSCRIBE, b"2"]})

    async def test_required_and_not_confirmed(self) -> None:
        """Where a confirmation is required, those without one are owed notices alone; the rest is lost for good."""
        first = await self.follow(notice_s=60)
        await self.follow("http://b", confirmed=True)
        await self.put(b"1")
        await self.confirm(first, False, notice_s=60)
        await self.put(b"2")
        self.assertEqual(
            await self.deliver(required=True), {"http://a": [CONFIRM, UNSUBSCRIBE], "http://b": [b"1", b"2"]}
        )
        self.assertEqual(await self.due(), set())
        self.assertEqual(await self.take(), [])

    async def test_passed_over_at_a_notice(self) -> None:
        """What is passed over before a notice stays so when the notice was not delivered."""
        first = await self.follow()
        await self.put(b"1")
        await self.confirm(first, False, notice_s=60)
        await self.put(b"2")
        self.assertEqual(await self.owed(required=True), {"http://a": [UNSUBSCRIBE]})
        self.assertEqual(await self.deliver(), {"http://a": [UNSUBSCRIBE, b"2"]})

    async def test_attempts_are_of_the_first(self) -> None:
        """When what was tried in vain is passed over, what comes next was not tried yet."""
        first = await self.follow(confirmed=True)
        await self.put(b"1")
        await self.report(await self.take_one(), attempts=4, wait_ms=5_000)
        await self.confirm(first, False, notice_s=60)
        self.clock.advance(5)
        owed = await self.take_one(required=True)
        self.assertEqual((told(owed.posts), owed.attempts), ([UNSUBSCRIBE], 0))

    async def test_confirmed_where_required(self) -> None:
        """One that becomes confirmed is owed what is posted from then on, and nothing from before."""
        first = await self.follow(notice_s=60)
        await self.put(b"1")
        owed = await self.take_one()
        await self.confirm(first)
        self.assertIsNone(await self.report(owed, owed.posts[0].cursor, required=True))
        self.assertEqual(await self.take(required=True), [])
        await self.put(b"2")
        (owed,) = await self.take(required=True)
        self.assertEqual((told(owed.posts), owed.attempts), ([b"2"], 0))

    async def test_confirmed_before_the_notice(self) -> None:
        """A notice that nobody has taken is not owed any more to one that becomes confirmed."""
        first = await self.follow(notice_s=60)
        await self.confirm(first)
        self.assertEqual((await self.take(required=True), await self.due()), ([], set()))

    async def test_confirmed_in_a_wait(self) -> None:
        """One that becomes confirmed waits no longer for what it was owed before."""
        first = await self.follow(notice_s=60)
        await self.report(await self.take_one(), attempts=2, wait_ms=60_000)
        await self.confirm(first)
        await self.put(b"1")
        owed = await self.take_one(required=True)
        self.assertEqual((told(owed.posts), owed.attempts), ([b"1"], 0))

    async def test_confirmed_where_not_required(self) -> None:
        """Where no confirmation is required it changes nothing in what is owed, nor in a lease."""
        first = await self.follow(notice_s=60)
        await self.put(b"1")
        owed = await self.take_one()
        await self.confirm(first, required=False)
        more = await self.report(owed, owed.posts[0].cursor)
        assert more is not None
        self.assertEqual((told(more.posts), more.subscription.confirmed), ([b"1"], True))

    async def test_confirmed_again(self) -> None:
        """Confirming what is confirmed changes nothing in what is owed."""
        first = await self.follow(confirmed=True)
        await self.put(b"1")
        await self.confirm(first)
        self.assertEqual(await self.owed(required=True), {"http://a": [b"1"]})

    async def test_confirmation_taken_back(self) -> None:
        """A confirmation that is taken back shows in what is reported next; each time a notice is owed."""
        first = await self.follow(confirmed=True)
        await self.put(b"1", b"2")
        owed = await self.take_one(batch=1, required=True)
        for _ in range(2):
            await self.confirm(first, False, notice_s=600)
        self.assertEqual((await self.take(required=True), await self.due()), ([], set()))
        more = await self.report(owed, owed.posts[0].cursor, required=True)
        assert more is not None
        self.assertEqual(
            [(post.notice, post.until_s) for post in more.posts], [(UNSUBSCRIBE, EPOCH_S + 600)] * 2
        )
        self.assertFalse(more.subscription.confirmed)
        await self.report(owed, more.posts[1].cursor, required=True)
        await self.confirm(first, False)
        self.assertEqual(await self.take(required=True), [])

    async def test_another_subscriber(self) -> None:
        """What was owed is owed to the new subscriber, who was not tried yet and is asked to confirm."""
        first = await self.follow(confirmed=True)
        await self.put(b"1")
        await self.report(await self.take_one(), attempts=4, wait_ms=60_000)
        await self.change(first, subscriber="http://b", notice_s=600)
        (owed,) = await self.look()
        self.assertEqual((owed.subscription.subscriber, owed.attempts), ("http://b", 0))
        self.assertEqual([(post.notice or post.body) for post in owed.posts], [b"1", CONFIRM])
        self.assertEqual(owed.posts[1].until_s, EPOCH_S + 600)
        self.assertEqual(await self.owed(required=True), {"http://b": [CONFIRM]})

    async def test_another_subscriber_for_a_notice(self) -> None:
        """A notice that waits for one subscriber is due at once to another that takes its place."""
        first = await self.follow(notice_s=60)
        await self.report(await self.take_one(), attempts=1, wait_ms=60_000)
        await self.change(first, subscriber="http://b")
        self.assertEqual(await self.due(), {self.place()})
        self.assertEqual(await self.owed(required=True), {"http://b": [CONFIRM]})

    async def test_another_subscriber_under_a_lease(self) -> None:
        """A lease ends when another subscriber takes the place of the one that it was for."""
        first = await self.follow()
        await self.put(b"1")
        old = await self.report(await self.take_one(), attempts=2)
        assert old is not None
        await self.change(first, subscriber="http://b")
        self.assertIsNone(await self.report(old, old.posts[0].cursor, attempts=3, wait_ms=60_000))
        owed = await self.take_one()
        self.assertEqual((owed.subscription.subscriber, told(owed.posts), owed.attempts), ("http://b", [b"1"], 0))

    async def test_change_under_a_lease(self) -> None:
        """A change of something else shows in what is reported next, under the same lease."""
        first = await self.follow()
        await self.put(b"1", b"2")
        owed = await self.take_one()
        await self.change(first, options=b'{"b": 2}', ttl_s=600)
        await self.change(first, subscriber="http://a")
        more = await self.report(owed, owed.posts[0].cursor)
        assert more is not None
        self.assertEqual((more.subscription.ttl_s, more.subscription.options), (600, b'{"b": 2}'))
        self.assertEqual((told(more.posts), more.token), ([b"2"], owed.token))

    # -- what was given up -------------------------------------------------------------------------------------------

    async def test_given_up(self) -> None:
        """What is given up is kept with how it came to that, and the next is owed."""
        first = await self.follow()
        await self.put(b"1", b"2", b"3")
        owed = await self.take_one()
        given_up = [GivenUp(owed.posts[0].cursor, 7, 'it said "no": é')]
        more = await self.report(owed, owed.posts[1].cursor, given_up=given_up)
        assert more is not None
        self.assertEqual(told(more.posts), [b"3"])
        await self.change(first, subscriber="http://b")
        self.clock.advance(5)
        (failure,) = await self.failures()
        self.assertEqual(failure, FailedDelivery(failure.id, first, "http://a", 7, 'it said "no": é', 5))
        self.assertEqual(await self.storage.deliveries.failing(9), [Failing(self.place(), 1)])

    async def test_notice_given_up(self) -> None:
        """A notice that is given up is listed as one, and can be sent again as it was."""
        await self.follow(notice_s=600)
        owed = await self.take_one(required=True)
        given_up = [GivenUp(owed.posts[0].cursor, 1, "refused")]
        self.assertIsNone(await self.report(owed, owed.posts[0].cursor, given_up=given_up, required=True))
        self.assertEqual([failure.notice for failure in await self.failures()], [CONFIRM])
        self.clock.advance(5)
        self.assertEqual(await self.resend(), 1)
        (post,) = (await self.take_one(required=True)).posts
        self.assertEqual((post.notice, post.until_s), (CONFIRM, EPOCH_S + 600))

    async def test_given_up_once(self) -> None:
        """What is reported a second time is not given up a second time."""
        await self.follow("http://slow")
        await self.put(b"0")
        await self.report(await self.take_one(), attempts=1, wait_ms=60_000)
        await self.follow()
        await self.put(b"1", b"2")
        owed = await self.take_one()
        given_up = [GivenUp(owed.posts[0].cursor, 1, "refused")]
        for _ in range(2):
            await self.report(owed, owed.posts[0].cursor, given_up=given_up)
        self.assertEqual(len(await self.failures()), 1)

    async def test_failures_in_pages(self) -> None:
        """What was given up is listed in the order in which it was, in pages."""
        await self.follow()
        for n in range(3):
            await self.give_up(*numbered(3), reason=f"round {n}")
            self.clock.advance(1)
        everything = await self.failures()
        self.assertEqual([failure.reason[-1] for failure in everything], list("000111222"))
        self.assertEqual([failure.id for failure in everything], sorted({failure.id for failure in everything}))
        self.assertEqual(await self.failures(limit=4), everything[:4])
        self.assertEqual(await self.failures(everything[3].id, limit=4), everything[4:8])
        self.assertEqual(await self.failures(everything[8].id), [])
        self.assertEqual(await self.storage.deliveries.failures(self.place("other"), "", 9), [])

    async def test_failing(self) -> None:
        """Each place with something that was given up is named, with how much of it is kept."""
        self.assertEqual(await self.failing(), {})
        await self.follow()
        await self.give_up(*numbered(3))
        await self.follow(queue="other")
        await self.put(b"1", queue="other")
        (owed,) = await self.take(queue="other")
        await self.report(owed, owed.posts[0].cursor, given_up=[GivenUp(owed.posts[0].cursor, 1, "refused")])
        self.assertEqual(await self.failing(), {self.place(): 3, self.place("other"): 1})
        self.assertEqual(len(await self.storage.deliveries.failing(1)), 1)
        await self.resend(limit=2)
        self.assertEqual(await self.failing(), {self.place(): 1, self.place("other"): 1})
        await self.resend()
        self.assertEqual(await self.failing(), {self.place("other"): 1})

    async def test_failures_are_kept_for_two_weeks(self) -> None:
        """What was given up is kept for 14 days, whether or not its subscription is live."""
        await self.follow(ttl_s=60)
        await self.give_up(b"1")
        self.clock.advance(DAY_S)
        await self.follow()
        await self.give_up(b"2")
        self.clock.advance(13 * DAY_S - 1)
        self.assertEqual(([f.age_s for f in await self.failures()]), [14 * DAY_S - 1, 13 * DAY_S - 1])
        self.clock.advance(2)
        self.assertEqual([f.age_s for f in await self.failures()], [13 * DAY_S + 1])
        self.assertEqual(await self.failing(), {self.place(): 1})
        self.clock.advance(DAY_S)
        self.assertEqual((await self.failures(), await self.failing()), ([], {}))

    async def test_so_many_failures_are_kept(self) -> None:
        """Of what was given up in a place the last 10,000 are kept."""
        await self.follow()
        for _ in range(10):
            await self.put(*[b"1"] * 1000)
        await self.put(*[b"1"] * 3)
        numbers = itertools.count()
        owed: Owed | None = await self.take_one(batch=1000)
        while owed:
            given_up = [GivenUp(post.cursor, next(numbers), "refused") for post in owed.posts]
            owed = await self.report(owed, owed.posts[-1].cursor, given_up=given_up, batch=1000)
        self.assertEqual(next(numbers), 10_003)
        self.assertEqual(await self.failing(), {self.place(): 10_000})
        self.assertEqual((await self.failures(limit=1))[0].attempts, 3)

    async def test_bytes_of_failures(self) -> None:
        """Of what was given up in a place as much is kept as a log may have, the newest of it, and the last one in any case."""
        self.bound_log(LogBounds(bytes_max=1000))
        await self.follow()
        texts = [b'"%030d"' % n for n in range(20)]  # of 32 bytes, each of which counts for 96
        for some in (texts[:7], texts[7:14], texts[14:]):
            await self.give_up(*some)
        self.assertEqual(len(await self.failures()), 10)
        self.assertEqual(await self.resend(), 10)
        self.assertEqual(await self.deliver(), {"http://a": texts[10:]})
        await self.give_up(b"1")
        await self.give_up(b'"%02000d"' % 0)
        self.assertEqual(len(await self.failures()), 1)
        self.assertEqual(await self.resend(), 1)

    # -- sending again -----------------------------------------------------------------------------------------------

    async def test_resend(self) -> None:
        """What was given up is owed again, in its order, after all that is owed already, and forgotten."""
        await self.make(message_delay_s=5)
        await self.follow()
        given = await self.give_up(*numbered(3))
        await self.put(b'"later"')
        self.assertEqual(await self.resend(), 3)
        self.assertEqual((await self.failures(), await self.failing()), ([], {}))
        owed = await self.take_one()
        self.assertEqual(told(owed.posts), [b'"later"', *numbered(3)])
        self.assertEqual(
            [(post.ttl_s, post.delay_s) for post in owed.posts[1:]],
            [(post.ttl_s, post.delay_s) for post in given.posts],
        )
        self.assertEqual(len({post.cursor for post in (*given.posts, *owed.posts)}), 7)
        self.assertEqual(await self.resend(), 0)

    async def test_resend_by_ids(self) -> None:
        """Those with some ids are sent again, in the order in which they were given up; other ids are ignored."""
        await self.follow()
        await self.give_up(*numbered(4))
        kept = [failure.id for failure in await self.failures()]
        self.assertEqual(await self.resend(kept[3], "nonesuch", kept[1], kept[1], ""), 2)
        self.assertEqual([failure.id for failure in await self.failures()], [kept[0], kept[2]])
        self.assertEqual(await self.deliver(), {"http://a": [b'{"n": 1}', b'{"n": 3}']})
        self.assertEqual(await self.storage.deliveries.resend(self.place(), [], 9), 0)
        self.assertEqual(len(await self.failures()), 2)

    async def test_resend_of_so_many(self) -> None:
        """The oldest ones are sent again where only so many are to be."""
        await self.follow()
        await self.give_up(*numbered(5))
        self.assertEqual(await self.resend(limit=2), 2)
        self.assertEqual(await self.deliver(), {"http://a": numbered(2)})
        kept = [failure.id for failure in await self.failures()]
        self.assertEqual(await self.resend(*kept, limit=1), 1)
        self.assertEqual(await self.deliver(), {"http://a": numbered(1, start=2)})

    async def test_resend_with_little_room(self) -> None:
        """No more is sent again than the log has room for, and nobody loses anything by that; the rest is kept for later."""
        self.bound_log(LogBounds(bytes_max=1000))
        await self.follow()
        texts = [b'"%030d"' % n for n in range(14)]  # of 32 bytes, each of which counts for 96
        await self.give_up(*texts[:8])
        await self.follow("http://slow")
        await self.put(*texts[8:13])
        self.assertEqual(await self.resend(), 5)
        kept = await self.failures()
        self.assertEqual(len(kept), 3)
        self.assertEqual(await self.resend(*(failure.id for failure in kept)), 0)
        self.assertEqual(await self.deliver(), {"http://a": [*texts[8:13], *texts[:5]], "http://slow": texts[8:13]})
        self.assertEqual(await self.resend(kept[1].id), 1)
        self.assertEqual(await self.resend(), 2)
        self.assertEqual(await self.deliver(), {"http://a": [texts[6], texts[5], texts[7]]})

    async def test_resend_to_what_ended(self) -> None:
        """What was given up for a subscription that ended is forgotten, and owed to nobody."""
        first = await self.follow()
        await self.give_up(*numbered(2))
        await self.storage.subscriptions.delete("p", "q", first)
        await self.follow()
        self.assertEqual(await self.resend(), 0)
        self.assertEqual((await self.failures(), await self.take()), ([], []))

    async def test_resend_is_for_one(self) -> None:
        """What is sent again is owed to nobody else, and not shown to those who read the log."""
        await self.follow()
        await self.give_up(b"1")
        placed = await self.storage.subscriptions.create("p", "q", NewSubscription("http://b", 3600))
        await self.resend()
        page = await self.storage.subscriptions.read("p", "q", placed.cursor, 9)
        self.assertEqual(page.posts, [])
        self.assertEqual(await self.deliver(), {"http://a": [b"1"]})

    async def test_resend_to_one_that_is_not_confirmed(self) -> None:
        """What is sent again is owed though a confirmation is required and missing: it was asked for."""
        await self.follow()
        await self.give_up(b"1")
        await self.resend()
        self.assertEqual(await self.deliver(required=True), {"http://a": [b"1"]})

    async def test_given_up_again(self) -> None:
        """What was sent again can be given up again, and sent again."""
        await self.follow()
        await self.give_up(b"1")
        for attempts in (1, 2):
            await self.resend()
            owed = await self.take_one()
            given_up = [GivenUp(owed.posts[0].cursor, attempts, "refused")]
            self.assertIsNone(await self.report(owed, owed.posts[0].cursor, given_up=given_up))
            self.assertEqual([failure.attempts for failure in await self.failures()], [attempts])

    async def test_posts_come_after_what_is_sent_again(self) -> None:
        """What is posted later is owed later, also in a queue that was made anew meanwhile."""
        await self.follow()
        await self.give_up(*numbered(200))
        await self.resend(limit=200)
        await self.storage.queues.delete("p", "q")
        await self.storage.queues.create("p", "q", b"{}", NO_RULES)
        await self.put(b"1")
        owed = await self.take_one(batch=300)
        self.assertEqual(told(owed.posts), [*numbered(200), b"1"])
        cursors = [post.cursor for post in owed.posts]
        self.assertEqual(cursors, sorted(set(cursors)))

    # -- bounds of the log -------------------------------------------------------------------------------------------

    async def test_bytes_of_the_log(self) -> None:
        """Beyond its bytes a log loses the oldest posts; whoever lags behind is told once, and goes on."""
        self.bound_log(LogBounds(bytes_max=1000))
        placed = await self.storage.subscriptions.create("p", "q", NewSubscription("http://a", 3600))
        texts = [b'"%030d"' % n for n in range(20)]  # of 32 bytes, each of which counts for 96
        for text in texts:
            await self.put(text)
        page = await self.storage.subscriptions.read("p", "q", placed.cursor, 99)
        self.assertEqual((told(page.posts), page.gap), (texts[10:], True))
        page = await self.storage.subscriptions.read("p", "q", page.posts[0].cursor, 99)
        self.assertEqual((told(page.posts), page.gap), (texts[11:], False))
        owed = await self.take_one()
        self.assertEqual((told(owed.posts), owed.gap), (texts[10:], True))
        more = await self.report(owed, owed.posts[0].cursor)
        assert more is not None
        self.assertEqual((told(more.posts), more.gap), (texts[11:], False))

    async def test_newest_post_stays(self) -> None:
        """The newest post is kept, however large or old it is."""
        self.bound_log(LogBounds(bytes_max=100, age_max_s=60))
        await self.follow()
        for n in range(3):
            await self.put(b'"%0500d"' % n)
        self.clock.advance(600)
        owed = await self.take_one()
        self.assertEqual((told(owed.posts), owed.gap), ([b'"%0500d"' % 2], True))

    async def test_age_of_the_log(self) -> None:
        """Posts beyond the age are lost, and the attempts at them with them."""
        self.bound_log(LogBounds(age_max_s=600))
        await self.follow()
        await self.put(b"1")
        await self.report(await self.take_one(), attempts=3, wait_ms=300_000)
        self.clock.advance(300)
        await self.put(b"2", b"3")
        self.clock.advance(299)
        (owed,) = await self.look()
        self.assertEqual((told(owed.posts), owed.attempts, owed.gap), ([b"1", b"2", b"3"], 3, False))
        self.clock.advance(2)
        owed = await self.take_one()
        self.assertEqual((told(owed.posts), owed.attempts, owed.gap), ([b"2", b"3"], 0, True))

    async def test_notices_are_lost_with_age(self) -> None:
        """A notice is lost like a post, and who was owed it is told of the gap."""
        self.bound_log(LogBounds(age_max_s=600))
        await self.follow(notice_s=60)
        self.clock.advance(601)
        await self.put(b"1")
        owed = await self.take_one()
        self.assertEqual((told(owed.posts), owed.gap), ([b"1"], True))

    async def test_no_gap_from_before_a_confirmation(self) -> None:
        """Who becomes confirmed is not told of what it lost before."""
        self.bound_log(LogBounds(age_max_s=600))
        first = await self.follow(notice_s=60)
        self.clock.advance(601)
        await self.put(b"1")
        await self.confirm(first)
        await self.put(b"2")
        owed = await self.take_one(required=True)
        self.assertEqual((told(owed.posts), owed.gap), ([b"2"], False))

    async def test_no_gap_where_nothing_was_lost(self) -> None:
        """Who was done with what the log has lost is not told of a gap."""
        self.bound_log(LogBounds(bytes_max=1000))
        await self.follow()
        await self.follow("http://slow")
        await self.put(b"1")
        leases = {owed.subscription.subscriber: owed for owed in await self.take()}
        await self.report(leases["http://a"], leases["http://a"].posts[0].cursor)
        await self.put(b'"%0990d"' % 1)
        (owed,) = await self.take()
        self.assertEqual(owed.gap, False)
        more = await self.report(leases["http://slow"])
        assert more is not None
        self.assertEqual((len(more.posts), more.gap), (1, True))

    # -- gateway processes -------------------------------------------------------------------------------------------

    async def beat(self, gateway: str) -> tuple[list[str], bool]:
        """Say that a gateway process lives."""
        names, was_dead = await self.storage.deliveries.beat(gateway)
        return list(names), was_dead

    async def test_beat(self) -> None:
        """A beat names all gateway processes that live, in order."""
        self.assertEqual(await self.beat("b"), (["b"], False))
        self.assertEqual(await self.beat("a"), (["a", "b"], False))
        for passed_s in (3.75, 3.75, 0.25):
            self.clock.advance(passed_s)
            self.assertEqual(await self.beat("a"), (["a", "b"], False))
        self.clock.advance(0.25)
        self.assertEqual(await self.beat("a"), (["a"], False))

    async def test_beats_after_an_outage(self) -> None:
        """Where nobody could say that they live it was the store that was away, and nobody is dead for that, but who was before."""
        for gateway in ("a", "b", "c"):
            await self.beat(gateway)
        kept = await self.follow("ws:b", owner="b")
        for _ in range(3):
            self.clock.advance(3)
            for gateway in ("a", "b"):
                await self.beat(gateway)
        self.clock.advance(60)
        self.assertEqual(await self.beat("a"), (["a", "b"], False))
        self.clock.advance(3.75)
        self.assertEqual(await self.beat("a"), (["a", "b"], False))
        self.assertEqual(await self.beat("b"), (["a", "b"], False))
        self.assertEqual(set(await self.storage.subscriptions.live("p", "q", [kept])), {kept})
        for passed_s in (3.75, 3.75, 0.5):
            self.clock.advance(passed_s)
            await self.beat("a")
        self.assertEqual(await self.beat("a"), (["a"], False))

    async def test_dead_gateway(self) -> None:
        """The sockets of a process that is silent for eight seconds have no subscriptions; it is told so once."""
        for gateway in ("a", "b"):
            await self.beat(gateway)
        dead = [await self.follow("ws:a", owner="a"), await self.follow("ws:a", queue="other", owner="a")]
        await self.storage.topic_subscriptions.create("p", "q", NewSubscription("ws:a", 60, owner="a"))
        live = [await self.follow("ws:b", owner="b"), await self.follow()]
        for passed_s in (3.5, 3.5):
            self.clock.advance(passed_s)
            await self.beat("b")
        self.assertEqual(set(await self.storage.subscriptions.live("p", "q", [*dead, *live])), {dead[0], *live})
        self.clock.advance(1)
        self.assertEqual(await self.beat("b"), (["b"], False))
        self.assertEqual(set(await self.storage.subscriptions.live("p", "q", [*dead, *live])), set(live))
        self.assertEqual(await self.storage.subscriptions.list("p", "other", "", 9), [])
        self.assertEqual(await self.storage.topic_subscriptions.list("p", "q", "", 9), [])
        self.assertEqual(await self.beat("a"), (["a", "b"], True))
        self.assertEqual(await self.beat("a"), (["a", "b"], False))

    async def test_leave(self) -> None:
        """When a process leaves, the subscriptions of its sockets end at once, and no others."""
        for gateway in ("a", "b"):
            await self.beat(gateway)
        await self.follow("ws:a", owner="a")
        await self.follow("ws:a", owner="a", queue="other")
        await self.follow("ws:b", owner="b")
        await self.storage.deliveries.leave("a")
        await self.storage.deliveries.leave("unknown")
        listed = await self.storage.subscriptions.list("p", "q", "", 9)
        self.assertEqual([one.subscriber for one in listed], ["ws:b"])
        self.assertEqual(await self.storage.subscriptions.list("p", "other", "", 9), [])
        self.assertEqual(await self.beat("b"), (["b"], False))
        await self.follow("ws:a", owner="b")

    async def test_leave_after_a_delete_elsewhere(self) -> None:
        """That no other queue or project has a subscription of its id changes nothing of the one of a socket."""
        made = await self.follow("ws:a", owner="a")
        await self.beat("a")
        self.assertIsNone(await self.storage.subscriptions.delete("p", "other", made))
        self.assertIsNone(await self.storage.subscriptions.delete("else", "q", made))
        self.assertIsNone(await self.storage.topic_subscriptions.delete("p", "q", made))
        await self.storage.deliveries.leave("a")
        self.assertEqual(await self.storage.subscriptions.list("p", "q", "", 9), [])

    async def test_end_of_a_socket_shows_in_the_version(self) -> None:
        """Readers of the log notice that a process has died or left."""
        await self.beat("a")
        await self.follow("ws:a", owner="a")
        await self.follow()
        before = (await self.storage.subscriptions.read("p", "q", "0" * 14, 9)).version
        await self.storage.deliveries.leave("a")
        self.assertNotEqual((await self.storage.subscriptions.read("p", "q", "0" * 14, 9)).version, before)

    # -- rings -------------------------------------------------------------------------------------------------------

    async def attend(self) -> list[Place]:
        """Attend, from now on; the places that it was rung for."""
        rung: list[Place] = []
        self.storage.doorbells.attend(rung.append, lambda: None)
        await self.hear()
        rung.clear()
        return rung

    async def test_ring_for_what_is_owed(self) -> None:
        """It rings for a post, a notice and what is sent again, to a subscriber that nobody delivers to."""
        first = await self.follow()
        rung = await self.attend()
        await self.give_up(b"1")
        await self.hear()
        self.assertEqual(set(rung), {self.place()})
        rung.clear()
        await self.resend()
        await self.hear()
        self.assertEqual(set(rung), {self.place()})
        await self.deliver()
        rung.clear()
        await self.confirm(first, False, notice_s=60)
        await self.hear()
        self.assertEqual(set(rung), {self.place()})
        rung.clear()
        await self.follow("http://b", queue="other", notice_s=60)
        await self.hear()
        self.assertEqual(set(rung), {self.place("other")})

    async def test_no_ring_for_nobody(self) -> None:
        """It does not ring for posts where nobody, or only sockets, have subscribed."""
        await self.follow("ws:1", owner="g")
        rung = await self.attend()
        await self.put(b"1")
        await self.put(b"1", queue="other")
        await self.hear()
        self.assertEqual(rung, [])

    async def test_ring_for_posts(self) -> None:
        """Who watches a place is rung for what is posted there, be it for sockets only, until it ends that."""
        await self.follow("ws:1", owner="g")
        await self.follow(queue="other")
        rung: list[str] = []
        end = self.storage.doorbells.watch(self.place(), lambda: rung.append("one"))
        self.storage.doorbells.watch(self.place(), lambda: rung.append("two"))
        self.storage.doorbells.watch(self.place("other"), lambda: rung.append("other"))
        await self.hear()
        rung.clear()
        await self.put(b"1")
        await self.hear()
        self.assertEqual(set(rung), {"one", "two"})
        rung.clear()
        end()
        await self.put(b"2")
        await self.hear()
        self.assertEqual(set(rung), {"two"})

    async def test_ring_without_subscriptions(self) -> None:
        """A post rings where nobody has subscribed, be the place made by it; a look rings for nobody."""
        rung, other = await self.watch(), await self.watch("other")
        await self.put(b"1")
        self.assertTrue(await self.rings(rung))
        await self.put(b"2")
        self.assertTrue(await self.rings(rung))
        await self.listed()
        await self.popped()
        self.assertFalse(await self.rings(rung))
        self.assertFalse(await self.rings(other))

    async def test_no_ring_for_what_is_refused(self) -> None:
        """A post that is refused rings for nobody."""
        await self.make(post_size_max=10)
        rung = await self.watch()
        with self.assertRaises(RuleBroken):
            await self.put(b"1" * 11)
        self.assertFalse(await self.rings(rung))

    async def test_ring_beside_the_other_kind(self) -> None:
        """Who watches a queue does not hear the topic of its name, nor the other way round."""
        rung: list[None] = []
        self.storage.doorbells.watch(Place("p", "q", not self.is_topic), lambda: rung.append(None))
        await self.hear()
        rung.clear()
        await self.put(b"1")
        await self.hear()
        self.assertEqual(rung, [])
