"""What every :class:`~zaqar_gateway.interfaces.IMessageStore` has to do."""

from __future__ import annotations

import re

from zope.interface.verify import verifyObject

from zaqar_gateway.errors import ClaimMismatch, EncryptionDiffers, MessageClaimed, QueueMissing, RuleBroken
from zaqar_gateway.interfaces import IMessageStore
from zaqar_gateway.model import NO_RULES, Message, NewMessage, NewPost
from zaqar_gateway.testing.base import CLIENT, NO_IDS, OTHER_CLIENT, bodies, numbered
from zaqar_gateway.testing.reading import ReadContract


class MessageStoreContract(ReadContract):
    """Messages: post, get, list, delete, pop; ids and markers."""

    def test_messages_provide_interface(self) -> None:
        """The store has the methods of the interface, with their arguments."""
        verifyObject(IMessageStore, self.storage.messages)

    # -- post --------------------------------------------------------------------------------------------------------

    async def test_posted_message(self) -> None:
        """A message that was just posted has the body, the ttl, no age and no claim."""
        (message_id,) = await self.put(b'{"a": 1}', ttl_s=120)
        self.assertEqual(
            await self.storage.messages.get("p", "q", [message_id]),
            [Message(message_id, b'{"a": 1}', ttl_s=120, age_s=0, claim_id=None, claim_count=0)],
        )

    async def test_bodies_are_kept_byte_for_byte(self) -> None:
        """Any JSON text comes back exactly as it was posted."""
        texts = [
            b"null",
            b"0",
            b"-1.50e+02",
            b'""',
            b'"\\u0000\\ud800\\n"',
            '"é\u2028😀\x7f"'.encode(),
            b' { "a" :\t[ 1,\r\n2 ] , "a" : {} } ',
            b"[" * 90 + b"]" * 90,
            b'"' + b"x" * 200_000 + b'"',
            b'"%s %d {} {0} $1 \\\\ \' ` *2\\r\\n$3\\r\\n"',
        ]
        ids = await self.put(*texts)
        self.assertEqual(await self.got(*ids), texts)
        self.assertEqual(await self.listed(), texts)
        self.assertEqual(bodies((await self.claim()).messages), texts)

    async def test_ids_are_for_urls(self) -> None:
        """Ids are of letters, digits, ``_`` and ``-`` (API reference, "Names")."""
        for message_id in await self.put(*numbered(3)):
            self.assertTrue(re.fullmatch("[A-Za-z0-9_-]+", message_id), message_id)

    async def test_ids_sort_like_the_queue(self) -> None:
        """The order of ids as texts is the order of the messages: in a post, in one instant, and over time."""
        ids: list[str] = []
        for n in range(20):
            ids += await self.put(*numbered(n % 4 + 1))
            self.clock.advance((n % 3) * 0.25)
        self.assertEqual(sorted(set(ids)), ids)

    async def test_posts_of_one_instant_are_in_order(self) -> None:
        """Posts that the clock cannot tell apart are listed in the order in which they were made."""
        for n in range(10):
            await self.put(b"%d" % n)
        self.assertEqual(await self.listed(), [b"%d" % n for n in range(10)])

    async def test_ids_are_not_repeated_after_delete(self) -> None:
        """The id of a deleted message is not given out again, though the clock stands still."""
        seen: set[str] = set()
        for _ in range(5):
            (message_id,) = await self.put(b"1")
            self.assertNotIn(message_id, seen)
            seen.add(message_id)
            await self.drop(message_id)

    async def test_batch_of_3000(self) -> None:
        """A post of 3,000 messages is stored whole and in order."""
        ids = await self.put(*numbered(3000))
        self.assertEqual(len(ids), 3000)
        self.assertEqual(sorted(set(ids)), ids)
        self.assertEqual(await self.counts(), (3000, 0))
        self.assertEqual(await self.got(ids[0], ids[1499], ids[2999]), [b'{"n": 0}', b'{"n": 1499}', b'{"n": 2999}'])
        self.assertEqual(await self.listed(marker=ids[2997]), [b'{"n": 2998}', b'{"n": 2999}'])

    async def test_age_after_large_batch(self) -> None:
        """All messages of a large post have the same age and the same time to live."""
        ids = await self.put(*numbered(3000), ttl_s=60)
        for age_s in (0, 1):
            self.assertEqual([m.age_s for m in await self.storage.messages.get("p", "q", ids[::2999])], [age_s] * 2)
            self.clock.advance(1)
        self.clock.advance(57.75)
        self.assertEqual(await self.counts(), (3000, 0))
        self.clock.advance(0.25)
        self.assertEqual(await self.counts(), (0, 0))

    async def test_post_after_large_batch(self) -> None:
        """A post right after a large one comes after it."""
        ids = await self.put(*numbered(3000))
        later = await self.put(b"x")
        self.assertGreater(later[0], ids[-1])
        self.assertEqual(await self.listed(marker=ids[-1]), [b"x"])

    async def test_ttl_of_message(self) -> None:
        """A message's own ttl wins over that of the queue and the default."""
        await self.make(message_ttl_s=77)
        (message_id,) = await self.put(b"1", ttl_s=99)
        self.assertEqual((await self.one(message_id)).ttl_s, 99)

    async def test_ttl_of_queue(self) -> None:
        """A message without a ttl has that of its queue."""
        await self.make(message_ttl_s=77)
        (message_id,) = await self.put(b"1", ttl_s=None)
        self.assertEqual((await self.one(message_id)).ttl_s, 77)
        self.clock.advance(77)
        self.assertEqual(await self.got(message_id), [])

    async def test_ttl_by_default(self) -> None:
        """A message without a ttl in a queue without a default has the one given with the post."""
        (message_id,) = await self.storage.messages.post(
            "p", "q", NewPost(CLIENT, [NewMessage(b"1")], size=1, ttl_default_s=123, size_max=10)
        )
        self.assertEqual((await self.one(message_id)).ttl_s, 123)

    async def test_ttls_in_one_post(self) -> None:
        """Each message of a post has its own ttl."""
        await self.make(message_ttl_s=77)
        ids = await self.storage.messages.post(
            "p",
            "q",
            NewPost(
                CLIENT,
                [NewMessage(b"1", ttl_s=60), NewMessage(b"2"), NewMessage(b"3", ttl_s=600)],
                size=3,
                ttl_default_s=123,
                size_max=10,
            ),
        )
        self.assertEqual([(await self.one(message_id)).ttl_s for message_id in ids], [60, 77, 600])

    async def post_of(self, size: int, size_max: int) -> list[str]:
        return await self.storage.messages.post(
            "p", "q", NewPost(CLIENT, [NewMessage(b"1")], size=size, ttl_default_s=60, size_max=size_max)
        )

    async def test_post_may_have_the_greatest_size(self) -> None:
        """A post as large as the limit is stored."""
        await self.make(post_size_max=100)
        await self.post_of(100, size_max=200)
        self.assertEqual(await self.listed(), [b"1"])

    async def test_post_too_large_for_queue(self) -> None:
        """A post above the queue's limit is refused with size, limit and whose limit it is; nothing is stored."""
        await self.make(post_size_max=100)
        with self.assertRaises(RuleBroken) as caught:
            await self.post_of(101, size_max=200)
        for part in ("101", "100", "_max_messages_post_size"):
            self.assertIn(part, str(caught.exception))
        self.assertEqual(await self.counts(), (0, 0))

    async def test_post_too_large_for_all(self) -> None:
        """A post above the common limit is refused, whatever the queue allows, and the queue is not blamed."""
        await self.make(post_size_max=300)
        with self.assertRaises(RuleBroken) as caught:
            await self.post_of(201, size_max=200)
        self.assertIn("201", str(caught.exception))
        self.assertIn("200", str(caught.exception))
        self.assertNotIn("_max_messages_post_size", str(caught.exception))

    async def test_post_that_creates_nothing(self) -> None:
        """A post that is not to create its queue is refused where that is missing, and is like any other where it is not."""

        async def post(size: int = 1, encrypted: bool = False) -> list[str]:
            return await self.storage.messages.post(
                "p",
                "q",
                NewPost(
                    CLIENT,
                    [NewMessage(b"1")],
                    size=size,
                    ttl_default_s=60,
                    size_max=10,
                    encrypted=encrypted,
                    create=False,
                ),
            )

        with self.assertRaises(QueueMissing):
            await post()
        with self.assertRaises(RuleBroken):
            await post(size=11)
        with self.assertRaises(EncryptionDiffers):
            await post(encrypted=True)
        self.assertIsNone(await self.storage.queues.get("p", "q"))
        await self.make("q")
        self.assertEqual(len(await post()), 1)
        self.assertEqual(await self.listed(), [b"1"])

    async def test_post_too_large_creates_no_queue(self) -> None:
        """A refused post leaves no queue behind."""
        with self.assertRaises(RuleBroken):
            await self.post_of(201, size_max=200)
        self.assertIsNone(await self.storage.queues.get("p", "q"))
        self.assertEqual(await self.storage.queues.count("p"), 0)

    # -- age and expiry ----------------------------------------------------------------------------------------------

    async def test_age_is_whole_seconds(self) -> None:
        """The age is elapsed time, rounded down."""
        self.clock.advance(0.75)
        (message_id,) = await self.put(b"1")
        self.clock.advance(0.75)
        self.assertEqual((await self.one(message_id)).age_s, 0)
        self.clock.advance(0.25)
        self.assertEqual((await self.one(message_id)).age_s, 1)
        self.clock.advance(58.75)
        self.assertEqual((await self.one(message_id)).age_s, 59)

    async def test_expired_is_gone_everywhere(self) -> None:
        """From the instant of its expiry a message is in no get, listing, claim, pop or count."""
        (message_id,) = await self.put(b"1", ttl_s=60)
        self.clock.advance(59.75)
        self.assertEqual(await self.got(message_id), [b"1"])
        self.clock.advance(0.25)
        self.assertEqual(await self.got(message_id), [])
        self.assertEqual(await self.listed(), [])
        self.assertEqual(await self.claimed_bodies(), [])
        self.assertEqual(await self.popped(), [])
        self.assertEqual(await self.counts(), (0, 0))

    async def test_live_until_expiry_everywhere(self) -> None:
        """Just before its expiry a message is listed, counted and claimed."""
        await self.put(b"1", ttl_s=60)
        self.clock.advance(59.75)
        self.assertEqual(await self.listed(), [b"1"])
        self.assertEqual(await self.counts(), (1, 0))
        self.assertEqual(await self.claimed_bodies(), [b"1"])

    async def test_pop_first_asked_after_expiry(self) -> None:
        """A queue that is touched first by a pop shows nothing expired."""
        await self.put(b"1", ttl_s=60)
        await self.put(b"2", ttl_s=120)
        self.clock.advance(60)
        self.assertEqual(await self.popped(), [b"2"])

    async def test_mixed_ttls(self) -> None:
        """Each message expires by its own ttl, whatever its place."""
        for ttl_s in (300, 60, 240, 120, 180):
            await self.put(b"%d" % ttl_s, ttl_s=ttl_s)
        for left in ([300, 240, 120, 180], [300, 240, 180], [300, 240], [300], []):
            self.clock.advance(60)
            self.assertEqual(await self.listed(), [b"%d" % ttl_s for ttl_s in left])

    async def put_behind_expired(self) -> str:
        """Put a live message behind 3,000 that have expired."""
        await self.put(*numbered(3000), ttl_s=60)
        (live,) = await self.put(b"live", ttl_s=600)
        self.clock.advance(60)
        return live

    async def test_claim_behind_expired(self) -> None:
        """A claim finds a live message behind 3,000 expired ones."""
        await self.put_behind_expired()
        self.assertEqual(await self.claimed_bodies(1), [b"live"])

    async def test_pop_behind_expired(self) -> None:
        """A pop finds a live message behind 3,000 expired ones."""
        await self.put_behind_expired()
        self.assertEqual(await self.popped(1), [b"live"])

    async def test_list_behind_expired(self) -> None:
        """A listing finds a live message behind 3,000 expired ones."""
        await self.put_behind_expired()
        self.assertEqual(bodies((await self.page(limit=1)).messages), [b"live"])

    async def test_plain_list_behind_expired(self) -> None:
        """A listing without claimed, delayed and own messages finds a live one behind 3,000 expired ones."""
        await self.put_behind_expired()
        seen = await self.listed(skip_client=OTHER_CLIENT, include_claimed=False, include_delayed=False)
        self.assertEqual(seen, [b"live"])

    async def test_stats_behind_expired(self) -> None:
        """Stats find a live message behind 3,000 expired ones."""
        await self.put_behind_expired()
        self.assertEqual(await self.counts(), (1, 0))

    async def test_get_and_delete_behind_expired(self) -> None:
        """A live message behind 3,000 expired ones is got and deleted by id."""
        live = await self.put_behind_expired()
        self.assertEqual(await self.got(live), [b"live"])
        await self.drop(live)
        self.assertEqual(await self.counts(), (0, 0))

    # -- get ---------------------------------------------------------------------------------------------------------

    async def test_get_in_order_of_ids(self) -> None:
        """Messages come in the order of the ids, missing ones left out."""
        one, two, three = await self.put(b"1", b"2", b"3")
        await self.drop(two)
        self.assertEqual(await self.got(three, two, "nonesuch", one), [b"3", b"1"])

    async def test_get_of_no_ids(self) -> None:
        """No ids get no messages."""
        await self.put(b"1")
        self.assertEqual(await self.got(), [])

    async def test_get_of_missing_queue(self) -> None:
        """A queue that does not exist has no messages."""
        self.assertEqual(await self.got("nonesuch"), [])

    async def test_get_sees_claimed(self) -> None:
        """A claimed message is got, with the id of its claim."""
        one, two = await self.put(b"1", b"2")
        claim = await self.claim(1)
        self.assertEqual((await self.one(one)).claim_id, claim.id)
        self.assertIsNone((await self.one(two)).claim_id)

    async def test_get_sees_delayed(self) -> None:
        """A delayed message is got."""
        await self.make(message_delay_s=60)
        (message_id,) = await self.put(b"1")
        self.assertEqual(await self.got(message_id), [b"1"])

    async def test_lapsed_claim_is_not_shown(self) -> None:
        """A message shows its claim only while that is live."""
        (message_id,) = await self.put(b"1")
        await self.claim(ttl_s=60)
        self.clock.advance(60)
        self.assertIsNone((await self.one(message_id)).claim_id)
        self.assertEqual([m.claim_id for m in (await self.page()).messages], [None])

    async def test_texts_that_are_no_ids(self) -> None:
        """A text that is no id is the id of nothing."""
        (message_id,) = await self.put(b"1")
        for text in (*NO_IDS, message_id + "\n", " " + message_id, message_id[:-1]):
            self.assertEqual(await self.got(text), [], repr(text))
            await self.drop(text)
            await self.drop(text, "claim")
            await self.storage.messages.delete_many("p", "q", [text], None)
        self.assertEqual(await self.listed(), [b"1"])

    async def test_id_of_another_queue_or_project(self) -> None:
        """An id of another queue or project is the id of nothing, to get and to delete."""
        (message_id,) = await self.put(b"1")
        await self.put(b"2", queue="other")
        await self.put(b"3", project="other")
        for project, queue in (("p", "other"), ("other", "q")):
            self.assertEqual(await self.got(message_id, project=project, queue=queue), [])
            await self.drop(message_id, project=project, queue=queue)
            await self.storage.messages.delete_many(project, queue, [message_id], None)
            self.assertEqual(await self.counts(queue, project=project), (1, 0))
        self.assertEqual(await self.listed(), [b"1"])

    async def test_id_of_a_twin_queue(self) -> None:
        """Two queues posted to in the same instants have no id in common."""
        mine = await self.put(*numbered(3))
        theirs = await self.put(*numbered(3), queue="other")
        self.assertEqual(set(mine) & set(theirs), set())
        self.assertEqual(await self.got(*theirs), [])

    async def test_id_of_an_earlier_life(self) -> None:
        """An id from before the queue was deleted is the id of nothing after it is created again."""
        (message_id,) = await self.put(b"1")
        await self.storage.queues.delete("p", "q")
        await self.put(b"2")
        self.assertEqual(await self.got(message_id), [])
        await self.drop(message_id)
        await self.storage.messages.delete_many("p", "q", [message_id], None)
        self.assertEqual(await self.listed(), [b"2"])

    # -- list --------------------------------------------------------------------------------------------------------

    async def test_list_of_missing_queue(self) -> None:
        """A queue that does not exist lists nothing, and no marker."""
        page = await self.page()
        self.assertEqual((page.messages, page.marker, page.knows_delay), ([], None, False))

    async def test_list_of_empty_queue(self) -> None:
        """An empty queue lists nothing, and no marker."""
        await self.make()
        page = await self.page()
        self.assertEqual((page.messages, page.marker), ([], None))

    async def test_listed_message(self) -> None:
        """A listing shows messages as they are now."""
        (message_id,) = await self.put(b'{"a": 1}', ttl_s=90)
        claim = await self.claim(ttl_s=100, grace_s=60)
        self.clock.advance(3)
        self.assertEqual((await self.page()).messages, [Message(message_id, b'{"a": 1}', 160, 3, claim.id, 0)])

    async def test_list_goes_on_from_marker_of_page(self) -> None:
        """Pages that go on from each page's marker give every message once and end with an empty one."""
        await self.put(*numbered(10))
        sizes, seen, marker = [], [], None
        while True:
            page = await self.page(marker=marker, limit=3)
            sizes.append(len(page.messages))
            if not page.messages:
                break
            seen += bodies(page.messages)
            marker = page.marker
        self.assertEqual(sizes, [3, 3, 3, 1, 0])
        self.assertEqual(seen, numbered(10))

    async def test_list_goes_on_from_last_id(self) -> None:
        """Pages that go on from the id of the last message give every one of 600 once."""
        for n in range(0, 600, 50):
            await self.put(*numbered(50, n))
        seen: list[bytes] = []
        page = await self.page(limit=7)
        while page.messages:
            seen += bodies(page.messages)
            page = await self.page(marker=page.messages[-1].id, limit=7)
        self.assertEqual(seen, numbered(600))

    async def test_list_hides_claimed(self) -> None:
        """Messages under a live claim are listed only where asked for, and stand at their place."""
        await self.put(*numbered(4))
        await self.claim(2)
        self.assertEqual(await self.listed(include_claimed=False), numbered(2, 2))
        self.assertEqual(await self.listed(include_claimed=True), numbered(4))

    async def test_list_shows_released(self) -> None:
        """Released messages are listed at their old place."""
        await self.put(*numbered(4))
        claim = await self.claim(2)
        await self.storage.claims.release("p", "q", claim.id)
        self.assertEqual(await self.listed(include_claimed=False), numbered(4))

    async def test_list_shows_lapsed(self) -> None:
        """Messages are listed at their old place from the instant in which their claim lapses."""
        await self.put(*numbered(4))
        await self.claim(2, ttl_s=60)
        self.clock.advance(59.75)
        self.assertEqual(await self.listed(include_claimed=False), numbered(2, 2))
        self.clock.advance(0.25)
        self.assertEqual(await self.listed(include_claimed=False), numbered(4))

    async def test_list_finds_free_among_claimed(self) -> None:
        """A page without claimed messages is full, though hundreds of claimed ones stand between."""
        await self.put(*numbered(600))
        claims = [await self.claim(20) for _ in range(30)]
        for n in (3, 17, 29):
            await self.storage.claims.release("p", "q", claims[n].id)
        page = await self.page(limit=20, include_claimed=False)
        self.assertEqual(bodies(page.messages), numbered(20, 60))
        page = await self.page(limit=20, include_claimed=False, marker=page.marker)
        self.assertEqual(bodies(page.messages), numbered(20, 340))
        page = await self.page(limit=20, include_claimed=False, marker=page.marker)
        self.assertEqual(bodies(page.messages), numbered(20, 580))

    async def test_list_hides_delayed(self) -> None:
        """Delayed messages are listed only where asked for, and stand at their place."""
        await self.make(message_delay_s=60)
        for n in range(4):
            await self.put(b"%d" % n, delay_s=0 if n % 2 else None)
        self.assertEqual(await self.listed(include_delayed=False), [b"1", b"3"])
        self.assertEqual(await self.listed(include_delayed=True), [b"0", b"1", b"2", b"3"])

    async def test_list_shows_due(self) -> None:
        """A message is listed at its place from the instant in which its delay has elapsed."""
        await self.make(message_delay_s=60)
        await self.put(b"1")
        await self.put(b"2", delay_s=0)
        self.clock.advance(59.75)
        self.assertEqual(await self.listed(include_delayed=False), [b"2"])
        self.clock.advance(0.25)
        self.assertEqual(await self.listed(include_delayed=False), [b"1", b"2"])

    async def test_marker_passes_nothing_delayed(self) -> None:
        """The marker of a page that shows claimed messages passes no message that is delayed only."""
        await self.make(message_delay_s=60)
        await self.put(b"1", delay_s=0)
        await self.put(*numbered(2))
        page = await self.page(include_delayed=False)
        self.assertEqual((bodies(page.messages), page.marker), ([b"1"], page.messages[0].id))
        self.clock.advance(60)
        self.assertEqual(bodies((await self.page(include_delayed=False, marker=page.marker)).messages), numbered(2))

    async def test_marker_passes_nothing_claimed(self) -> None:
        """Nor does one of a page that shows delayed messages pass any that is claimed only."""
        await self.make(message_delay_s=60)
        await self.put(*numbered(2))
        self.clock.advance(60)
        claims = [await self.claim(1), await self.claim(1)]
        await self.storage.claims.release("p", "q", claims[0].id)
        page = await self.page(include_claimed=False)
        self.assertEqual((bodies(page.messages), page.marker), (numbered(1), page.messages[0].id))
        await self.storage.claims.release("p", "q", claims[1].id)
        self.assertEqual(bodies((await self.page(include_claimed=False, marker=page.marker)).messages), numbered(1, 1))

    async def test_list_finds_due_among_delayed(self) -> None:
        """A page without delayed messages finds the others among hundreds of delayed ones."""
        await self.make(message_delay_s=60)
        for n in range(3):
            await self.put(*numbered(300))
            await self.put(b"%d" % n, delay_s=0)
        self.assertEqual(await self.listed(include_delayed=False), [b"0", b"1", b"2"])

    async def test_page_tells_that_queue_knows_delay(self) -> None:
        """A page tells whether its queue has a default delay, also where it is empty."""
        await self.make(message_delay_s=60)
        await self.make("plain")
        self.assertIs((await self.page()).knows_delay, True)
        self.assertIs((await self.page(marker="nonesuch")).knows_delay, True)
        self.assertIs((await self.page(queue="plain")).knows_delay, False)

    async def test_list_shows_all_delayed_of_queue_without_delay(self) -> None:
        """In a queue that lost its default delay, messages that are still delayed are listed whatever is asked."""
        await self.make(message_delay_s=60)
        await self.put(b"1", b"2")
        await self.storage.queues.update("p", "q", b'{"made": true}', b"{}", NO_RULES)
        self.assertEqual(await self.listed(include_delayed=False), [b"1", b"2"])
        self.assertEqual(await self.claimed_bodies(), [])

    async def test_list_flags_are_independent(self) -> None:
        """Each of free, claimed and delayed is listed by its own state, in queue order."""
        await self.make(message_delay_s=60)
        await self.put(b"c1", delay_s=0)
        await self.put(b"d1")
        await self.put(b"c2", delay_s=0)
        await self.put(b"f1", delay_s=0)
        await self.put(b"d2")
        await self.put(b"f2", delay_s=0)
        await self.claim(2)
        for claimed, delayed, seen in (
            (False, False, [b"f1", b"f2"]),
            (True, False, [b"c1", b"c2", b"f1", b"f2"]),
            (False, True, [b"d1", b"f1", b"d2", b"f2"]),
            (True, True, [b"c1", b"d1", b"c2", b"f1", b"d2", b"f2"]),
        ):
            self.assertEqual(await self.listed(include_claimed=claimed, include_delayed=delayed), seen)

    async def test_list_shows_as_many_as_stats_count(self) -> None:
        """A listing of everything has as many messages as stats count in total."""
        await self.make(message_delay_s=60)
        await self.put(*numbered(6), delay_s=0)
        await self.put(*numbered(5), ttl_s=120)
        await self.claim(3)
        self.assertEqual(len(await self.listed()), (await self.stats()).total)
        self.clock.advance(120)
        self.assertEqual(len(await self.listed()), (await self.stats()).total)

    async def test_list_skips_own(self) -> None:
        """Messages of the client that is left out are not listed, those of others are."""
        await self.put(b"1", client=CLIENT)
        await self.put(b"2", client=OTHER_CLIENT)
        await self.put(b"3", client=CLIENT)
        self.assertEqual(await self.listed(skip_client=CLIENT), [b"2"])
        self.assertEqual(await self.listed(skip_client=OTHER_CLIENT), [b"1", b"3"])
        self.assertEqual(await self.listed(skip_client=None), [b"1", b"2", b"3"])

    async def test_list_compares_whole_clients(self) -> None:
        """Clients are the same only where all their bytes are."""
        clients = [b"s", b"sa", b"s" + b"a" * 36, "sé*[]\x00\r\n".encode()]
        clients += [bytes(16), bytes(15) + b"\x01", b"\xff" * 16]
        for n, client in enumerate(clients):
            await self.put(b"%d" % n, client=client)
        for n, client in enumerate(clients):
            others = [b"%d" % m for m in range(len(clients)) if m != n]
            self.assertEqual(await self.listed(skip_client=client), others)

    async def test_list_fills_page_past_own(self) -> None:
        """A page is full though hundreds of the client's own messages stand between."""
        for n in range(25):
            await self.put(*numbered(40), client=CLIENT)
            await self.put(b"%d" % n, client=OTHER_CLIENT)
        seen: list[bytes] = []
        sizes, page = [], await self.page(limit=10, skip_client=CLIENT)
        while page.messages:
            sizes.append(len(page.messages))
            seen += bodies(page.messages)
            page = await self.page(limit=10, skip_client=CLIENT, marker=page.marker)
        self.assertEqual(seen, [b"%d" % n for n in range(25)])
        self.assertEqual(sizes, [10, 10, 5])

    async def test_list_of_a_conversation(self) -> None:
        """Pages are full and in order whatever stretches of a client's own messages are among those of others."""
        said = "yyoyoooyooooooyoyyyyyoooooooooooooyo"
        for n, who in enumerate(said):
            await self.put(b"%d" % n, client=CLIENT if who == "o" else OTHER_CLIENT)
        others = [b"%d" % n for n, who in enumerate(said) if who == "y"]
        for limit in (1, 2, 3, 5, 20):
            seen: list[bytes] = []
            sizes, page = [], await self.page(limit=limit, skip_client=CLIENT)
            while page.messages:
                sizes.append(len(page.messages))
                seen += bodies(page.messages)
                page = await self.page(limit=limit, skip_client=CLIENT, marker=page.marker)
            self.assertEqual(seen, others)
            self.assertEqual({limit}, {*sizes[:-1], limit})

    async def test_marker_of_page_of_own_only(self) -> None:
        """The marker of a page that left out all that follows never passes a message that is posted later."""
        await self.put(*numbered(5), client=CLIENT)
        page = await self.page(skip_client=CLIENT)
        self.assertEqual(page.messages, [])
        await self.put(b"x", client=OTHER_CLIENT)
        self.assertEqual(await self.listed(skip_client=CLIENT, marker=page.marker), [b"x"])

    async def test_list_skips_own_and_claimed(self) -> None:
        """The filters add up."""
        for n in range(6):
            await self.put(b"%d" % n, client=CLIENT if n % 2 else OTHER_CLIENT)
        await self.claim(2)
        self.assertEqual(await self.listed(skip_client=CLIENT, include_claimed=False), [b"2", b"4"])

    # -- markers -----------------------------------------------------------------------------------------------------

    async def test_marker_of_first(self) -> None:
        """The first message as a marker leaves out just that one."""
        ids = await self.put(*numbered(3))
        self.assertEqual(await self.listed(marker=ids[0]), numbered(2, 1))

    async def test_marker_of_last(self) -> None:
        """Nothing follows the last message, until something is posted."""
        ids = await self.put(*numbered(3))
        page = await self.page(marker=ids[2])
        self.assertEqual((page.messages, page.marker), ([], None))
        await self.put(b"x")
        self.assertEqual(await self.listed(marker=ids[2]), [b"x"])

    async def test_marker_of_deleted(self) -> None:
        """The id of a deleted message still marks its place."""
        ids = await self.put(*numbered(5))
        await self.drop(ids[2])
        self.assertEqual(await self.listed(marker=ids[2]), numbered(2, 3))

    async def test_marker_when_all_is_deleted(self) -> None:
        """The id of a deleted message marks its place in a queue that was empty since."""
        ids = await self.put(*numbered(2))
        await self.storage.messages.delete_many("p", "q", ids, None)
        await self.put(b"x")
        self.assertEqual(await self.listed(marker=ids[0]), [b"x"])

    async def test_marker_of_popped(self) -> None:
        """The id of a popped message still marks its place."""
        ids = await self.put(*numbered(5))
        await self.popped(2)
        self.assertEqual(await self.listed(marker=ids[1]), numbered(3, 2))

    async def test_marker_of_expired(self) -> None:
        """The id of an expired message still marks its place."""
        await self.put(b"1")
        (message_id,) = await self.put(b"2", ttl_s=60)
        await self.put(b"3")
        self.clock.advance(60)
        self.assertEqual(await self.listed(marker=message_id), [b"3"])

    async def test_marker_of_claimed(self) -> None:
        """The id of a message that the listing leaves out still marks its place."""
        ids = await self.put(*numbered(4))
        await self.claim(2)
        self.assertEqual(await self.listed(marker=ids[0], include_claimed=False), numbered(2, 2))

    async def test_marker_that_is_no_id(self) -> None:
        """A text that is no id gives an empty page: not the first one, and no error."""
        (message_id,) = await self.put(b"1")
        for text in (*NO_IDS, message_id + "\n", " " + message_id):
            page = await self.page(marker=text)
            self.assertEqual((page.messages, page.marker), ([], None), repr(text))

    async def test_marker_of_another_queue(self) -> None:
        """The id of a message of another queue marks the instant of its post."""
        await self.put(b"1")
        self.clock.advance(1)
        (foreign,) = await self.put(b"x", queue="other")
        self.clock.advance(1)
        await self.put(b"2")
        self.assertEqual(await self.listed(marker=foreign), [b"2"])

    async def test_marker_of_an_earlier_life(self) -> None:
        """An id from before the queue was deleted marks a place before all that was posted later."""
        (message_id,) = await self.put(b"1")
        await self.storage.queues.delete("p", "q")
        self.clock.advance(1)
        await self.put(b"2", b"3")
        self.assertEqual(await self.listed(marker=message_id), [b"2", b"3"])

    # -- delete ------------------------------------------------------------------------------------------------------

    async def test_delete(self) -> None:
        """A deleted message is gone, the others stay."""
        ids = await self.put(*numbered(3))
        await self.drop(ids[1])
        self.assertEqual(await self.got(ids[1]), [])
        self.assertEqual(await self.listed(), [b'{"n": 0}', b'{"n": 2}'])
        self.assertEqual(await self.claimed_bodies(), [b'{"n": 0}', b'{"n": 2}'])

    async def test_delete_again(self) -> None:
        """Deleting a deleted message is no error, with or without a claim."""
        (message_id,) = await self.put(b"1")
        await self.drop(message_id)
        await self.drop(message_id)
        await self.drop(message_id, "nonesuch")

    async def test_delete_in_missing_queue(self) -> None:
        """Deleting in a queue that does not exist is no error."""
        await self.drop("nonesuch")
        await self.drop("nonesuch", "nonesuch")
        await self.storage.messages.delete_many("p", "q", ["nonesuch"], None)
        await self.storage.messages.delete_many("p", "q", ["nonesuch"], ["nonesuch"])

    async def test_delete_expired(self) -> None:
        """Deleting an expired message is no error, whatever claim is given."""
        (message_id,) = await self.put(b"1", ttl_s=60)
        self.clock.advance(60)
        await self.drop(message_id)
        await self.drop(message_id, "nonesuch")

    async def test_delete_delayed(self) -> None:
        """A delayed message is deleted like any other and never becomes due."""
        await self.make(message_delay_s=60)
        (message_id,) = await self.put(b"1")
        await self.drop(message_id)
        self.clock.advance(60)
        self.assertEqual(await self.claimed_bodies(), [])
        self.assertEqual(await self.counts(), (0, 0))

    async def test_delete_claimed_without_claim(self) -> None:
        """A claimed message is not deleted without its claim."""
        (message_id,) = await self.put(b"1")
        await self.claim()
        await self.refused(MessageClaimed, message_id, None)

    async def test_delete_claimed_with_its_claim(self) -> None:
        """A claimed message is deleted with its claim, and leaves it."""
        one, two = await self.put(b"1", b"2")
        claim = await self.claim()
        await self.drop(one, claim.id)
        left = await self.storage.claims.get("p", "q", claim.id)
        assert left is not None
        self.assertEqual([m.id for m in left.messages], [two])
        self.assertEqual(await self.counts(), (0, 1))

    async def test_delete_claimed_with_another_live_claim(self) -> None:
        """A claimed message is not deleted with another live claim: it is the message that is claimed."""
        one, two = await self.put(b"1", b"2")
        claims = [await self.claim(1), await self.claim(1)]
        await self.refused(MessageClaimed, one, claims[1].id)
        await self.refused(MessageClaimed, two, claims[0].id)

    async def test_delete_claimed_with_unknown_claim(self) -> None:
        """A claimed message is not deleted with a claim that is none: it is the claim that is wrong."""
        (message_id,) = await self.put(b"1")
        await self.claim()
        for text in ("invalid", "123", *NO_IDS, "0" * 24):
            await self.refused(ClaimMismatch, message_id, text)

    async def test_delete_claimed_with_released_claim(self) -> None:
        """A claimed message is not deleted with an earlier claim that was released."""
        (message_id,) = await self.put(b"1")
        earlier = await self.claim()
        await self.storage.claims.release("p", "q", earlier.id)
        await self.claim()
        await self.refused(ClaimMismatch, message_id, earlier.id)

    async def test_delete_claimed_with_lapsed_claim(self) -> None:
        """A claimed message is not deleted with an earlier claim that lapsed."""
        (message_id,) = await self.put(b"1")
        earlier = await self.claim(ttl_s=60)
        self.clock.advance(60)
        later = await self.claim()
        await self.refused(ClaimMismatch, message_id, earlier.id)
        await self.drop(message_id, later.id)
        self.assertEqual(await self.counts(), (0, 0))

    async def test_delete_claimed_with_claim_of_another_queue(self) -> None:
        """A claim of another queue is none here."""
        (message_id,) = await self.put(b"1")
        await self.put(b"2", queue="other")
        await self.claim()
        foreign = await self.claim(queue="other")
        await self.refused(ClaimMismatch, message_id, foreign.id)

    async def test_delete_unclaimed_with_unknown_claim(self) -> None:
        """A message that nobody claimed is not deleted with a claim id, whatever that is."""
        (message_id,) = await self.put(b"1")
        for text in ("invalid", "123", *NO_IDS):
            await self.refused(ClaimMismatch, message_id, text)

    async def test_delete_with_empty_claim(self) -> None:
        """An empty claim id is given, and is that of no claim."""
        ids = await self.put(*numbered(2))
        await self.claim(1)
        for message_id in ids:
            with self.assertRaises(ClaimMismatch):
                await self.drop(message_id, "")
        self.assertEqual(await self.counts(), (1, 1))

    async def test_delete_unclaimed_with_live_claim(self) -> None:
        """A message that nobody claimed is not deleted with a live claim of others."""
        _, two = await self.put(b"1", b"2")
        claim = await self.claim(1)
        await self.refused(ClaimMismatch, two, claim.id)

    async def test_delete_released_with_its_old_claim(self) -> None:
        """A released message is not deleted with the claim that held it, and is without one."""
        (message_id,) = await self.put(b"1")
        claim = await self.claim()
        await self.storage.claims.release("p", "q", claim.id)
        await self.refused(ClaimMismatch, message_id, claim.id)
        await self.drop(message_id)
        self.assertEqual(await self.got(message_id), [])

    async def test_delete_lapsed_with_its_old_claim(self) -> None:
        """A message is not deleted with its claim from the instant in which that lapses."""
        one, two = await self.put(b"1", b"2")
        claim = await self.claim(ttl_s=60)
        self.clock.advance(59.75)
        await self.drop(one, claim.id)
        self.clock.advance(0.25)
        await self.refused(ClaimMismatch, two, claim.id)

    async def test_refusals_name_the_message(self) -> None:
        """The text of a refusal names the message."""
        (message_id,) = await self.put(b"1")
        with self.assertRaises(ClaimMismatch) as wrong:
            await self.drop(message_id, "nonesuch")
        await self.claim()
        with self.assertRaises(MessageClaimed) as held:
            await self.drop(message_id)
        self.assertIn(message_id, str(wrong.exception))
        self.assertIn(message_id, str(held.exception))

    async def test_deleted_does_not_come_back_at_lapse(self) -> None:
        """A message deleted from a claim does not come back when the claim lapses."""
        one, _ = await self.put(b"1", b"2")
        claim = await self.claim(ttl_s=60)
        await self.drop(one, claim.id)
        self.clock.advance(60)
        self.assertEqual(await self.listed(), [b"2"])
        self.assertEqual(await self.claimed_bodies(), [b"2"])
        self.assertEqual(await self.counts(), (0, 1))

    # -- delete_many -------------------------------------------------------------------------------------------------

    async def test_delete_many(self) -> None:
        """The messages that exist among the ids are deleted."""
        ids = await self.put(*numbered(5))
        await self.drop(ids[1])
        await self.storage.messages.delete_many("p", "q", [ids[3], "nonesuch", ids[1], ids[0]], None)
        self.assertEqual(await self.listed(), [b'{"n": 2}', b'{"n": 4}'])

    async def test_delete_many_among_ids_of_another_queue(self) -> None:
        """Ids of another queue delete nothing, neither by themselves nor among others, first or last."""
        ids = await self.put(*numbered(3))
        others = await self.put(*numbered(2), queue="other")
        for some in ([others[0]], [others[0], ids[0], others[1]], [ids[1], others[1], "nonesuch"]):
            await self.storage.messages.delete_many("p", "q", some, None)
        self.assertEqual(await self.listed(), [b'{"n": 2}'])
        self.assertEqual(await self.listed(queue="other"), list(numbered(2)))

    async def test_delete_many_thousand(self) -> None:
        """There may be as many ids as a client sends."""
        ids = await self.put(*numbered(1200))
        await self.storage.messages.delete_many("p", "q", ids[:1150], None)
        await self.storage.messages.delete_many("p", "q", ids, None)
        self.assertEqual(await self.counts(), (0, 0))

    async def test_delete_many_twice_the_same(self) -> None:
        """An id that is given twice is deleted once."""
        ids = await self.put(*numbered(3))
        await self.storage.messages.delete_many("p", "q", [ids[0], ids[0]], None)
        self.assertEqual(await self.counts(), (2, 0))

    async def test_delete_many_ignores_claims(self) -> None:
        """Without claim ids, claimed messages are deleted too, and leave their claim."""
        ids = await self.put(*numbered(3))
        claim = await self.claim(2)
        await self.storage.messages.delete_many("p", "q", [ids[0], ids[2]], None)
        left = await self.storage.claims.get("p", "q", claim.id)
        assert left is not None
        self.assertEqual([m.id for m in left.messages], [ids[1]])
        self.assertEqual(await self.counts(), (0, 1))

    async def test_delete_many_of_several_claims(self) -> None:
        """With claim ids, messages under any of these claims are deleted."""
        ids = await self.put(*numbered(4))
        claims = [await self.claim(2), await self.claim(2)]
        await self.storage.messages.delete_many("p", "q", ids[:3], [claim.id for claim in claims])
        self.assertEqual(await self.listed(), [b'{"n": 3}'])

    async def test_delete_many_with_a_claim_too_many(self) -> None:
        """A claim id that is of no use, or of no claim, does not hinder."""
        ids = await self.put(*numbered(2))
        claim = await self.claim()
        await self.storage.messages.delete_many("p", "q", ids, ["nonesuch", "", claim.id, claim.id])
        self.assertEqual(await self.counts(), (0, 0))

    async def test_delete_many_with_unclaimed(self) -> None:
        """With claim ids, one unclaimed message refuses all."""
        ids = await self.put(*numbered(3))
        claim = await self.claim(2)
        with self.assertRaises(ClaimMismatch) as caught:
            await self.storage.messages.delete_many("p", "q", ids, [claim.id])
        self.assertIn(ids[2], str(caught.exception))
        self.assertEqual(await self.counts(), (1, 2))

    async def test_delete_many_with_other_claim(self) -> None:
        """With claim ids, one message under another live claim refuses all."""
        ids = await self.put(*numbered(4))
        claim = await self.claim(2)
        await self.claim(2)
        with self.assertRaises(ClaimMismatch):
            await self.storage.messages.delete_many("p", "q", ids, [claim.id])
        self.assertEqual(await self.counts(), (0, 4))

    async def test_delete_many_with_lapsed_claim(self) -> None:
        """With claim ids, a lapsed claim is none."""
        ids = await self.put(*numbered(2))
        claim = await self.claim(ttl_s=60)
        self.clock.advance(60)
        with self.assertRaises(ClaimMismatch):
            await self.storage.messages.delete_many("p", "q", ids, [claim.id])
        self.assertEqual(await self.counts(), (2, 0))

    async def test_delete_many_with_no_claims(self) -> None:
        """An empty list of claim ids is given: no message is under one of them."""
        ids = await self.put(*numbered(2))
        await self.claim(1)
        for message_id in ids:
            with self.assertRaises(ClaimMismatch):
                await self.storage.messages.delete_many("p", "q", [message_id], [])
        self.assertEqual(await self.counts(), (1, 1))

    async def test_delete_many_with_claims_ignores_missing(self) -> None:
        """With claim ids, messages that do not exist are still ignored."""
        ids = await self.put(*numbered(3))
        claim = await self.claim()
        await self.drop(ids[0], claim.id)
        await self.storage.messages.delete_many("p", "q", ["nonesuch", *ids[:2]], [claim.id])
        self.assertEqual(await self.counts(), (0, 1))

    # -- pop ---------------------------------------------------------------------------------------------------------

    async def test_pop(self) -> None:
        """Pop removes and returns the oldest messages."""
        ids = await self.put(*numbered(3), ttl_s=120)
        self.clock.advance(5)
        self.assertEqual(
            await self.storage.messages.pop("p", "q", 2),
            [Message(ids[0], b'{"n": 0}', 120, 5, None, 0), Message(ids[1], b'{"n": 1}', 120, 5, None, 0)],
        )
        self.assertEqual(await self.listed(), [b'{"n": 2}'])

    async def test_pop_more_than_there_are(self) -> None:
        """Pop returns what there is, and then nothing."""
        await self.put(*numbered(3))
        self.assertEqual(await self.popped(20), numbered(3))
        self.assertEqual(await self.popped(20), [])
        self.assertEqual(await self.counts(), (0, 0))

    async def test_pop_of_missing_queue(self) -> None:
        """A queue that does not exist has nothing to pop."""
        self.assertEqual(await self.popped(), [])

    async def test_pop_many_in_order(self) -> None:
        """Pops give 500 messages in the order of the posts."""
        for n in range(0, 500, 100):
            await self.put(*numbered(100, n))
        seen: list[bytes] = []
        while some := await self.popped(13):
            seen += some
        self.assertEqual(seen, numbered(500))

    async def test_pop_leaves_claimed(self) -> None:
        """Pop takes nothing that is under a live claim."""
        await self.put(*numbered(3))
        claim = await self.claim(2)
        self.assertEqual(await self.popped(), numbered(1, 2))
        held = await self.storage.claims.get("p", "q", claim.id)
        assert held is not None
        self.assertEqual(bodies(held.messages), numbered(2))

    async def test_pop_takes_lapsed(self) -> None:
        """Pop takes messages from the instant in which their claim lapses, at their old place."""
        await self.put(*numbered(3))
        await self.claim(2, ttl_s=60)
        self.clock.advance(60)
        self.assertEqual(await self.popped(), numbered(3))

    async def test_pop_leaves_delayed(self) -> None:
        """Pop takes nothing before it is due, and then in the order of the posts."""
        await self.make(message_delay_s=60)
        await self.put(b"1")
        await self.put(b"2", delay_s=0)
        await self.put(b"3")
        self.assertEqual(await self.popped(), [b"2"])
        self.clock.advance(59.75)
        self.assertEqual(await self.popped(), [])
        self.clock.advance(0.25)
        self.assertEqual(await self.popped(), [b"1", b"3"])

    async def test_popped_ids_are_gone(self) -> None:
        """A popped message is neither got nor deleted any more."""
        ids = await self.put(*numbered(2))
        await self.popped(1)
        self.assertEqual(await self.got(*ids), [b'{"n": 1}'])
        await self.drop(ids[0], "nonesuch")

    # -- delay -------------------------------------------------------------------------------------------------------

    async def test_delay_of_queue(self) -> None:
        """A message without a delay of its own has that of its queue."""
        await self.make(message_delay_s=60)
        await self.put(b"1")
        self.clock.advance(59.75)
        self.assertEqual(await self.claimed_bodies(), [])
        self.clock.advance(0.25)
        self.assertEqual(await self.claimed_bodies(), [b"1"])

    async def test_delay_of_message(self) -> None:
        """A message's own delay wins over that of its queue, a longer, a shorter and none."""
        await self.make(message_delay_s=60)
        await self.put(b"long", delay_s=90)
        await self.put(b"short", delay_s=30)
        await self.put(b"none", delay_s=0)
        self.assertEqual(await self.popped(), [b"none"])
        self.clock.advance(30)
        self.assertEqual(await self.popped(), [b"short"])
        self.clock.advance(60)
        self.assertEqual(await self.popped(), [b"long"])

    async def test_delay_is_dropped_without_default(self) -> None:
        """In a queue without a default delay a message's own delay is dropped."""
        await self.make()
        await self.put(b"1", delay_s=60)
        await self.put(b"2", delay_s=60, queue="lazy")
        self.assertEqual(await self.claimed_bodies(), [b"1"])
        self.assertEqual(await self.claimed_bodies(queue="lazy"), [b"2"])

    async def test_order_is_of_posts_not_of_due_times(self) -> None:
        """Messages that have become due stand in the order of their posts."""
        await self.make(message_delay_s=60)
        for n, delay_s in enumerate((50, 10, 40, 20, 30)):
            await self.put(b"%d" % n, delay_s=delay_s)
        self.clock.advance(25)
        self.assertEqual(await self.listed(include_delayed=False), [b"1", b"3"])
        self.clock.advance(25)
        self.assertEqual(await self.listed(include_delayed=False), [b"0", b"1", b"2", b"3", b"4"])
        self.assertEqual(await self.claimed_bodies(), [b"0", b"1", b"2", b"3", b"4"])

    async def test_due_messages_come_before_later_free_ones(self) -> None:
        """What becomes due is taken before what was free all the time and was posted later."""
        await self.make(message_delay_s=60)
        await self.put(b"1")
        await self.put(b"2", b"3", delay_s=0)
        self.assertEqual(await self.claimed_bodies(1), [b"2"])
        self.clock.advance(60)
        self.assertEqual(await self.claimed_bodies(1), [b"1"])

    async def test_3000_become_due_at_once(self) -> None:
        """When 3,000 messages become due in one instant, claims give them in order."""
        await self.make(message_delay_s=60)
        await self.put(*numbered(3000))
        await self.put(b"x", delay_s=0)
        self.clock.advance(60)
        self.assertEqual(await self.claimed_bodies(20), numbered(20))
        self.assertEqual(await self.counts(), (2981, 20))

    async def test_delay_and_age(self) -> None:
        """Age and ttl count from the post, not from the due time."""
        await self.make(message_delay_s=60)
        await self.put(b"1", ttl_s=90)
        self.clock.advance(60)
        self.assertEqual((await self.page()).messages[0].age_s, 60)
        self.clock.advance(30)
        self.assertEqual(await self.listed(), [])
