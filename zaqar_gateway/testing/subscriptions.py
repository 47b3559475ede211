"""What every :class:`~zaqar_gateway.interfaces.ISubscriptionStore` has to do."""

from __future__ import annotations

from zope.interface.verify import verifyObject

from zaqar_gateway.errors import RuleBroken, SubscriberTaken
from zaqar_gateway.interfaces import ISubscriptionStore
from zaqar_gateway.model import LogPage, NewMessage, NewPost, NewSubscription, Placed, Subscription
from zaqar_gateway.testing.base import CLIENT, EPOCH_S, NO_IDS, StoreContract, numbered, told

ZERO = "0" * 14
"""The cursor before all posts."""


class SubscriptionStoreContract(StoreContract):
    """Subscriptions: what they are, how long they live, and the log of posts."""

    async def again(self, subscriber: str = "http://a", *, ttl_s: int = 60, notice_s: int | None = None) -> Placed:
        """Subscribe somebody who may have subscribed before."""
        new = NewSubscription(subscriber, ttl_s, b'{"again": 1}', notice_s=notice_s)
        return await self.storage.subscriptions.create("p", "q", new)

    async def subscribers(self, *, project: str = "p", queue: str = "q") -> set[str]:
        """All subscribers."""
        return {one.subscriber for one in await self.storage.subscriptions.list(project, queue, "", 1000)}

    async def listed_ids(self, marker: str = "", limit: int = 20) -> list[str]:
        """The ids of a page of a listing."""
        return [one.id for one in await self.storage.subscriptions.list("p", "q", marker, limit)]

    async def read(self, cursor: str = ZERO, limit: int = 20, *, queue: str = "q") -> LogPage:
        """A page of the log of posts."""
        return await self.storage.subscriptions.read("p", queue, cursor, limit)

    async def version(self) -> int:
        """The version of the subscriptions."""
        return (await self.read()).version

    def test_subscriptions_provide_interface(self) -> None:
        """The store has the methods of the interface, with their arguments."""
        verifyObject(ISubscriptionStore, self.storage.subscriptions)
        verifyObject(ISubscriptionStore, self.storage.topic_subscriptions)

    # -- create ------------------------------------------------------------------------------------------------------

    async def test_create(self) -> None:
        """A subscription is as it was made, byte for byte."""
        options = '{ "k":\t"é\\u00e9\u2028" }'.encode()
        new = NewSubscription("HTTP://é.example/{x}?a=b#\u2028", 60, options, "gateway 1", True)
        placed = await self.storage.subscriptions.create("p", "q", new)
        self.assertEqual((placed.is_new, placed.confirmed), (True, True))
        self.assertEqual(
            await self.followed(placed.id),
            Subscription(placed.id, new.subscriber, 60, 0, options, True, "gateway 1"),
        )

    async def test_create_begins_as_told(self) -> None:
        """A subscription is not confirmed and has no owner unless that is said."""
        found = await self.followed(await self.follow())
        self.assertEqual((found.confirmed, found.owner, found.options), (False, "", b"{}"))

    async def test_create_makes_the_queue(self) -> None:
        """The first subscription makes the queue, which asks for nothing."""
        await self.follow()
        self.assertEqual(await self.storage.queues.get("p", "q"), b"{}")
        self.assertEqual(await self.storage.queues.count("p"), 1)
        (message_id,) = await self.put(b"1", ttl_s=None)
        self.assertEqual((await self.one(message_id)).ttl_s, 3600)

    async def test_create_leaves_the_queue(self) -> None:
        """A queue that is there stays as it is, with its messages."""
        await self.make(message_ttl_s=77)
        await self.put(b"1")
        await self.follow()
        self.assertEqual(await self.storage.queues.get("p", "q"), b'{"made": true}')
        self.assertEqual(await self.listed(), [b"1"])
        (message_id,) = await self.put(b"2", ttl_s=None)
        self.assertEqual((await self.one(message_id)).ttl_s, 77)

    async def test_same_subscriber(self) -> None:
        """Who has subscribed before keeps that subscription, as it is."""
        first = await self.follow(ttl_s=300)
        self.clock.advance(10)
        placed = await self.again()
        self.assertEqual((placed.id, placed.is_new, placed.confirmed), (first, False, False))
        self.assertEqual(await self.followed(first), Subscription(first, "http://a", 300, 10, b"{}", False))
        self.assertEqual(await self.listed_ids(), [first])

    async def test_same_subscriber_confirmed(self) -> None:
        """Who has subscribed before and was confirmed is told so."""
        first = await self.follow()
        await self.confirm(first)
        placed = await self.again(notice_s=60)
        self.assertEqual((placed.id, placed.is_new, placed.confirmed), (first, False, True))

    async def test_same_subscriber_makes_the_queue(self) -> None:
        """A queue that was deleted since is there again, though no subscription is made."""
        await self.follow()
        await self.storage.queues.delete("p", "q")
        await self.again()
        self.assertEqual(await self.storage.queues.get("p", "q"), b"{}")

    async def test_subscribers_are_compared_as_text(self) -> None:
        """Subscribers that mean the same and are written otherwise are different ones."""
        for subscriber in ("http://a", "HTTP://a", "http://a/", "http://%61"):
            await self.follow(subscriber)
        self.assertEqual(len(await self.listed_ids()), 4)

    async def test_has(self) -> None:
        """A subscriber is there as long as its subscription, in that place alone, spelled like that."""
        has = self.storage.subscriptions.has
        self.assertFalse(await has("p", "q", "http://é"))
        first = await self.follow("http://é", ttl_s=60)
        await self.follow("http://b", ttl_s=300)
        self.assertTrue(await has("p", "q", "http://é"))
        for project, queue, subscriber in (("p", "q", "HTTP://é"), ("p", "q", ""), ("p", "r", "http://é"), ("o", "q", "http://é")):
            self.assertFalse(await has(project, queue, subscriber))
        self.assertFalse(await self.storage.topic_subscriptions.has("p", "q", "http://é"))
        self.clock.advance(60)
        self.assertFalse(await has("p", "q", "http://é"))
        self.assertTrue(await has("p", "q", "http://b"))
        self.assertNotEqual(await self.follow("http://é"), first)
        self.assertTrue(await has("p", "q", "http://é"))

    async def test_places_are_apart(self) -> None:
        """Queues, projects and topics have subscriptions of their own."""
        first = await self.follow()
        others = [await self.follow(queue="other"), await self.follow(project="other")]
        placed = await self.storage.topic_subscriptions.create("p", "q", NewSubscription("http://a", 60))
        self.assertEqual(len({first, placed.id, *others}), 4)
        self.assertEqual(await self.listed_ids(), [first])
        for each in (placed.id, *others):
            self.assertIsNone(await self.storage.subscriptions.get("p", "q", each))
            self.assertIsNone(await self.storage.subscriptions.delete("p", "q", each))
        await self.storage.subscriptions.purge("p", "q")
        self.assertEqual(len(await self.storage.topic_subscriptions.list("p", "q", "", 20)), 1)
        self.assertEqual(await self.subscribers(queue="other"), {"http://a"})

    # -- how long they live ------------------------------------------------------------------------------------------

    async def test_ttl_ends(self) -> None:
        """A subscription is live until just before its ttl is over, and not in that instant."""
        first = await self.follow(ttl_s=60)
        self.clock.advance(59.75)
        self.assertEqual((await self.followed(first)).age_s, 59)
        self.assertEqual(await self.listed_ids(), [first])
        self.clock.advance(0.25)
        self.assertIsNone(await self.storage.subscriptions.get("p", "q", first))
        self.assertEqual(await self.listed_ids(), [])
        self.assertEqual(list(await self.storage.subscriptions.live("p", "q", [first])), [])

    async def test_what_ended_is_the_id_of_nothing(self) -> None:
        """A subscription whose ttl is over is not changed, confirmed or deleted."""
        first = await self.follow(ttl_s=60)
        self.clock.advance(60)
        subscriptions = self.storage.subscriptions
        updated = await subscriptions.update(
            "p", "q", first, subscriber=None, ttl_s=60, options=None, notice_s=None
        )
        confirmed = await subscriptions.confirm("p", "q", first, True, required=True, notice_s=None)
        self.assertEqual((updated, confirmed, await subscriptions.delete("p", "q", first)), (False, False, None))

    async def test_ttl_frees_the_subscriber(self) -> None:
        """When a ttl is over its subscriber may subscribe anew."""
        first = await self.follow(ttl_s=60)
        self.clock.advance(60)
        placed = await self.again()
        self.assertTrue(placed.is_new)
        self.assertNotEqual(placed.id, first)
        self.assertEqual(await self.listed_ids(), [placed.id])

    async def test_ids_of_nothing(self) -> None:
        """A text that was never given out is the id of nothing."""
        await self.follow()
        for text in NO_IDS:
            self.assertIsNone(await self.storage.subscriptions.get("p", "q", text))
            self.assertIsNone(await self.storage.subscriptions.delete("p", "q", text))
        self.assertEqual(len(await self.listed_ids()), 1)

    async def test_missing_queue(self) -> None:
        """Where there is no queue there is nothing, and asking makes none."""
        subscriptions = self.storage.subscriptions
        self.assertEqual(await self.listed_ids(), [])
        self.assertIsNone(await subscriptions.get("p", "q", "0" * 24))
        self.assertIsNone(await subscriptions.delete("p", "q", "0" * 24))
        self.assertFalse(await subscriptions.confirm("p", "q", "0" * 24, True, required=True, notice_s=60))
        await subscriptions.purge("p", "q")
        self.assertEqual(await self.storage.queues.count("p"), 0)

    async def test_live(self) -> None:
        """Of some ids those of live subscriptions of the queue are named."""
        first, second = await self.follow(), await self.follow("http://b", ttl_s=60)
        other = await self.follow(queue="other")
        asked = [first, second, other, "nonesuch"]
        self.assertEqual(set(await self.storage.subscriptions.live("p", "q", asked)), {first, second})
        self.clock.advance(60)
        self.assertEqual(set(await self.storage.subscriptions.live("p", "q", asked)), {first})
        self.assertEqual(set(await self.storage.subscriptions.live("p", "q", [])), set())

    # -- list --------------------------------------------------------------------------------------------------------

    async def test_list(self) -> None:
        """Subscriptions are listed by their ids, in pages that go on from the last id."""
        made = sorted([await self.follow(f"http://{n}") for n in range(25)])
        self.assertEqual(await self.listed_ids(limit=10), made[:10])
        self.assertEqual(await self.listed_ids(made[9], limit=10), made[10:20])
        self.assertEqual(await self.listed_ids(made[19], limit=10), made[20:])
        self.assertEqual(await self.listed_ids(made[24]), [])

    async def test_list_after_what_is_gone(self) -> None:
        """A marker keeps its position when its subscription is gone, and need not be an id."""
        made = sorted([await self.follow(f"http://{n}") for n in range(5)])
        await self.storage.subscriptions.delete("p", "q", made[2])
        self.assertEqual(await self.listed_ids(made[2]), made[3:])
        self.assertEqual(await self.listed_ids("zzz"), [])

    async def test_list_leaves_out_what_ended(self) -> None:
        """A page is full of live subscriptions, whatever ended between them."""
        made = [await self.follow(f"http://{n}", ttl_s=60 if n % 2 else 600) for n in range(20)]
        self.clock.advance(60)
        self.assertEqual(await self.listed_ids(limit=10), sorted(made[::2]))

    # -- update ------------------------------------------------------------------------------------------------------

    async def test_update_of_nothing(self) -> None:
        """What is not given stays."""
        first = await self.follow(options=b'{"a": 1}')
        await self.confirm(first)
        await self.change(first)
        self.assertEqual(await self.followed(first), Subscription(first, "http://a", 3600, 0, b'{"a": 1}', True))

    async def test_update_of_ttl(self) -> None:
        """A ttl counts from the update; the age does not."""
        first = await self.follow(ttl_s=60)
        self.clock.advance(50)
        await self.change(first, ttl_s=61)
        self.clock.advance(60)
        found = await self.followed(first)
        self.assertEqual((found.ttl_s, found.age_s), (61, 110))
        self.clock.advance(1)
        self.assertIsNone(await self.storage.subscriptions.get("p", "q", first))

    async def test_update_to_a_shorter_ttl(self) -> None:
        """A ttl may become shorter than what is left of it."""
        first = await self.follow(ttl_s=3600)
        await self.change(first, ttl_s=60)
        self.clock.advance(60)
        self.assertEqual(await self.listed_ids(), [])

    async def test_update_of_options(self) -> None:
        """Options are replaced, and a confirmation stays."""
        first = await self.follow(options=b'{"a": 1}')
        await self.confirm(first)
        await self.change(first, options=b'{"b": 2}')
        found = await self.followed(first)
        self.assertEqual((found.options, found.confirmed), (b'{"b": 2}', True))

    async def test_update_of_subscriber(self) -> None:
        """Another subscriber is not confirmed, and the text of the one before is free."""
        first = await self.follow(options=b'{"a": 1}')
        await self.confirm(first)
        await self.change(first, subscriber="http://b")
        self.assertEqual(await self.followed(first), Subscription(first, "http://b", 3600, 0, b'{"a": 1}', False))
        await self.follow("http://a")
        self.assertFalse((await self.again("http://b")).is_new)

    async def test_update_to_the_same_subscriber(self) -> None:
        """The subscriber that it is already stays confirmed."""
        first = await self.follow()
        await self.confirm(first)
        await self.change(first, subscriber="http://a", notice_s=60)
        self.assertTrue((await self.followed(first)).confirmed)
        self.assertEqual(await self.deliver(), {})

    async def test_update_to_a_taken_subscriber(self) -> None:
        """The subscriber of another live subscription is refused, and nothing is changed."""
        first = await self.follow()
        await self.follow("http://b", ttl_s=60)
        await self.confirm(first)
        subscriptions = self.storage.subscriptions
        with self.assertRaises(SubscriberTaken):
            await subscriptions.update(
                "p", "q", first, subscriber="http://b", ttl_s=99, options=b'{"b": 2}', notice_s=60
            )
        self.assertEqual(await self.followed(first), Subscription(first, "http://a", 3600, 0, b"{}", True))
        self.assertEqual(await self.deliver(), {})
        self.clock.advance(60)
        await self.change(first, subscriber="http://b")

    async def test_update_of_what_is_missing(self) -> None:
        """A missing subscription is not updated, and a taken subscriber is no refusal then."""
        await self.follow()
        for text in ("nonesuch", await self.follow(queue="other")):
            updated = await self.storage.subscriptions.update(
                "p", "q", text, subscriber="http://a", ttl_s=60, options=b"{}", notice_s=60
            )
            self.assertIs(updated, False)

    # -- confirm, delete, purge --------------------------------------------------------------------------------------

    async def test_confirm(self) -> None:
        """A confirmation is set and taken back, as often as one likes."""
        first = await self.follow()
        for confirmed in (True, True, False, False, True):
            await self.confirm(first, confirmed, notice_s=60)
            self.assertIs((await self.followed(first)).confirmed, confirmed)

    async def test_delete(self) -> None:
        """A deletion ends a subscription and tells what it was; a second one finds nothing."""
        first = await self.follow(options=b'{"a": 1}')
        second = await self.follow("http://b")
        self.clock.advance(5)
        deleted = await self.storage.subscriptions.delete("p", "q", first)
        self.assertEqual(deleted, Subscription(first, "http://a", 3600, 5, b'{"a": 1}', False))
        self.assertIsNone(await self.storage.subscriptions.delete("p", "q", first))
        self.assertIsNone(await self.storage.subscriptions.get("p", "q", first))
        self.assertEqual(await self.listed_ids(), [second])
        self.assertTrue((await self.again()).is_new)

    async def test_purge(self) -> None:
        """A purge ends all subscriptions, and leaves the queue and its messages."""
        for n in range(30):
            await self.follow(f"http://{n}")
        await self.put(b"1")
        await self.storage.subscriptions.purge("p", "q")
        self.assertEqual(await self.listed_ids(), [])
        self.assertEqual(await self.listed(), [b"1"])
        self.assertTrue((await self.again("http://1")).is_new)

    async def test_deleting_the_queue(self) -> None:
        """Subscriptions outlive their queue, are listed without it, and do not make it."""
        first = await self.follow()
        await self.storage.queues.delete("p", "q")
        self.assertEqual(await self.listed_ids(), [first])
        self.assertEqual((await self.followed(first)).subscriber, "http://a")
        self.assertIsNone(await self.storage.queues.get("p", "q"))
        self.assertEqual(await self.storage.queues.count("p"), 0)

    async def test_purging_the_queue(self) -> None:
        """Subscriptions stay when the messages are purged."""
        first = await self.follow()
        await self.storage.queues.purge("p", "q")
        self.assertEqual(await self.listed_ids(), [first])

    # -- the log of posts --------------------------------------------------------------------------------------------

    async def test_cursor_of_an_empty_queue(self) -> None:
        """Where nothing was posted the cursor is the one before all posts."""
        placed = await self.again()
        self.assertEqual(placed.cursor, ZERO)
        await self.put(b"1")
        self.assertEqual(told((await self.read(placed.cursor)).posts), [b"1"])

    async def test_cursor_of_a_queue(self) -> None:
        """What is posted after a subscription comes after its cursor, and nothing from before does."""
        await self.follow("http://b")
        await self.put(*numbered(3))
        placed = await self.again()
        self.assertRegex(placed.cursor, "^[0-9a-f]{14}$")
        self.assertEqual(told((await self.read(placed.cursor)).posts), [])
        await self.put(b"1", b"2")
        self.assertEqual(told((await self.read(placed.cursor)).posts), [b"1", b"2"])
        self.assertEqual(told((await self.read((await self.again()).cursor)).posts), [])

    async def test_read(self) -> None:
        """A post is read as it was stored, with its ttl and its delay as they are in effect."""
        await self.make(message_ttl_s=77, message_delay_s=5)
        placed = await self.again()
        body = '{ "k":\t"é\\u00e9\u2028" }'.encode()
        new = [NewMessage(body), NewMessage(b"2", 99, 0), NewMessage(b"3", None, 90)]
        await self.storage.messages.post("p", "q", NewPost(CLIENT, new, size=1, ttl_default_s=60, size_max=100))
        page = await self.read(placed.cursor)
        self.assertEqual(
            [(post.body, post.ttl_s, post.delay_s, post.notice, post.until_s) for post in page.posts],
            [(body, 77, 5, "", 0), (b"2", 99, 0, "", 0), (b"3", 77, 90, "", 0)],
        )
        self.assertEqual((page.cursor, page.gap), (page.posts[-1].cursor, False))

    async def test_read_where_no_delay_is_known(self) -> None:
        """In a queue without a delay a post has none, whatever its message says."""
        await self.follow()
        await self.put(b"1", ttl_s=None, delay_s=9)
        (post,) = (await self.read()).posts
        self.assertEqual((post.ttl_s, post.delay_s), (3600, None))

    async def test_read_in_pages(self) -> None:
        """A page goes on from the cursor of the one before; the last one keeps its cursor."""
        placed = await self.again()
        texts = numbered(7)
        for text in texts:
            await self.put(text)
        cursor, seen, cursors = placed.cursor, [], [placed.cursor]
        for _ in range(3):
            page = await self.read(cursor, 3)
            seen += told(page.posts)
            cursors += [post.cursor for post in page.posts]
            cursor = page.cursor
        self.assertEqual(seen, texts)
        self.assertEqual(cursors, sorted(set(cursors)))
        self.assertEqual({len(cursor) for cursor in cursors}, {14})
        page = await self.read(cursor)
        self.assertEqual((page.posts, page.cursor, page.gap), ([], cursor, False))

    async def test_order_of_posts(self) -> None:
        """Posts of one instant and of a clock that was set back are in the order in which they were posted."""
        placed = await self.again()
        await self.put(*numbered(3))
        await self.put(*numbered(3, start=3))
        self.clock.advance(-60)
        await self.put(*numbered(3, start=6))
        self.assertEqual(told((await self.read(placed.cursor)).posts), numbered(9))

    async def test_read_shows_no_notices(self) -> None:
        """What is addressed to one subscription is not in the log that others read."""
        await self.follow(notice_s=60)
        await self.put(b"1")
        await self.again(notice_s=60)
        await self.put(b"2")
        self.assertEqual(told((await self.read()).posts), [b"1", b"2"])

    async def test_nothing_is_kept_without_subscriptions(self) -> None:
        """What is posted while there is no live subscription is in no log."""
        await self.put(b"1")
        await self.follow(ttl_s=60)
        await self.put(b"2")
        self.clock.advance(60)
        await self.put(b"3")
        await self.follow("http://b")
        self.assertEqual(told((await self.read()).posts), [])
        await self.storage.subscriptions.purge("p", "q")
        await self.put(b"4")
        page = await self.read("1" * 14)
        self.assertEqual((page.posts, page.cursor), ([], "1" * 14))

    async def test_log_does_not_follow_the_messages(self) -> None:
        """A post stays in the log whatever becomes of its message."""
        placed = await self.again(ttl_s=3600)
        ids = await self.put(*numbered(4), ttl_s=60)
        await self.drop(ids[0])
        await self.popped(1)
        self.clock.advance(60)
        await self.storage.queues.purge("p", "q")
        await self.storage.queues.delete("p", "q")
        self.assertEqual(told((await self.read(placed.cursor)).posts), numbered(4))

    async def test_refused_posts_are_no_posts(self) -> None:
        """A post that is refused is not in the log."""
        await self.make(post_size_max=1)
        await self.follow()
        with self.assertRaises(RuleBroken):
            await self.put(b"12")
        self.assertEqual((await self.read()).posts, [])

    async def test_dead_letters_are_no_posts(self) -> None:
        """A message that is moved into a queue is not posted there."""
        await self.make(claim_count_max=0, dead_letter_queue="dead")
        await self.follow(queue="dead")
        await self.put(b"1")
        self.assertEqual(await self.claimed_bodies(), [])
        self.assertEqual(await self.listed(queue="dead"), [b"1"])
        self.assertEqual((await self.read(queue="dead")).posts, [])

    async def test_cursors_outlive_the_queue(self) -> None:
        """Posts to a queue that was deleted and made anew come after those before, and are of the same log."""
        placed = await self.again()
        await self.put(*numbered(100))
        await self.storage.queues.delete("p", "q")
        await self.put(b'"a"')
        await self.storage.queues.delete("p", "q")
        await self.make()
        await self.put(b'"b"')
        self.assertEqual(told((await self.read(placed.cursor, 200)).posts), [*numbered(100), b'"a"', b'"b"'])

    async def test_posts_are_kept_for_readers(self) -> None:
        """While a socket subscribes posts are kept for a minute, though all others are done with them."""
        placed = await self.storage.subscriptions.create("p", "q", NewSubscription("ws:1", 3600, owner="g"))
        await self.follow()
        await self.put(b"1")
        await self.deliver()
        self.clock.advance(59.75)
        await self.put(b"2")
        await self.deliver()
        self.assertEqual(told((await self.read(placed.cursor)).posts), [b"1", b"2"])

    async def test_posts_are_kept_for_the_slow(self) -> None:
        """While a socket subscribes posts are kept for those that are delivered to, however long that takes."""
        await self.follow("ws:1", owner="g")
        await self.follow()
        await self.put(b"1")
        self.clock.advance(600)
        await self.put(b"2")
        self.assertEqual(await self.deliver(), {"http://a": [b"1", b"2"]})

    async def test_a_gap_is_read_once(self) -> None:
        """Who reads on from a page is not told again of a gap before it, though there was nothing else to read."""
        placed = await self.again(ttl_s=3600)
        await self.put(b"1")
        await self.deliver()
        page = await self.read(placed.cursor)
        self.assertFalse((await self.read(page.cursor)).gap)

    async def test_version(self) -> None:
        """The version is another one after each change and each end of a subscription, and only then."""
        first, second = await self.follow(), await self.follow("http://b", ttl_s=60)
        third = await self.follow("http://c")
        version = await self.version()
        await self.put(b"1")
        await self.deliver()
        await self.followed(first)
        self.assertEqual(await self.version(), version)
        seen = {version}
        await self.confirm(first)
        seen.add(await self.version())
        await self.change(first, options=b'{"a": 1}')
        seen.add(await self.version())
        await self.change(first, ttl_s=600)
        seen.add(await self.version())
        await self.change(first, subscriber="http://d")
        seen.add(await self.version())
        await self.storage.subscriptions.delete("p", "q", third)
        seen.add(await self.version())
        self.clock.advance(60)
        self.assertIsNone(await self.storage.subscriptions.get("p", "q", second))
        seen.add(await self.version())
        await self.storage.subscriptions.purge("p", "q")
        await self.follow("http://e")
        seen.add(await self.version())
        self.assertEqual(len(seen), 8)

    async def test_now_is_the_clock(self) -> None:
        """A notice may be answered until an instant of the store's clock, in seconds since the epoch."""
        self.clock.advance(10)
        await self.follow(notice_s=600)
        (post,) = (await self.take_one()).posts
        self.assertEqual(post.until_s, EPOCH_S + 610)
