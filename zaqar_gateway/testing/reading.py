"""What :meth:`~zaqar_gateway.interfaces.IMessageStore.read` has to do."""

from __future__ import annotations

from zaqar_gateway.errors import RuleBroken
from zaqar_gateway.model import EARLIEST, LATEST, StreamPage
from zaqar_gateway.testing.base import CLIENT, NO_IDS, OTHER_CLIENT, StoreContract, numbered


def bodies_of(page: StreamPage) -> list[bytes]:
    """The bodies of a page, in their order."""
    return [one.message.body for one in page.posted]


class ReadingCase(StoreContract):
    """Short ways to read what was posted."""

    async def read(self, marker: str = EARLIEST, limit: int = 20, *, queue: str = "q") -> StreamPage:
        """A page."""
        return await self.storage.messages.read("p", queue, marker, limit)

    async def latest(self, queue: str = "q") -> str:
        """The marker behind all that was posted so far."""
        page = await self.read(LATEST, queue=queue)
        self.assertEqual((page.posted, page.gap, page.more), ([], False, False))
        return page.marker

    async def check_gap(self, marker: str, left: list[bytes]) -> StreamPage:
        """There is a gap behind a marker, and these bodies follow; from the end on there is none."""
        page = await self.read(marker)
        self.assertEqual((bodies_of(page), page.gap), (left, True))
        await self.check_whole(page.marker, [])
        return page

    async def check_whole(self, marker: str, expected: list[bytes]) -> StreamPage:
        """These bodies follow a marker, and nothing that followed it is gone."""
        page = await self.read(marker)
        self.assertEqual((bodies_of(page), page.gap, page.more), (expected, False, False))
        return page


class ReadContract(ReadingCase):
    """Reading what was posted, and what tells that something is gone."""

    # -- reading -----------------------------------------------------------------------------------------------------

    async def test_read(self) -> None:
        """A page has the messages behind a marker in their order, each with who posted it."""
        ids = await self.put(b"1", b"2", ttl_s=100)
        ids += await self.put(b"3", client=OTHER_CLIENT)
        self.clock.advance(7)
        page = await self.check_whole(EARLIEST, [b"1", b"2", b"3"])
        self.assertEqual([one.client for one in page.posted], [CLIENT, CLIENT, OTHER_CLIENT])
        self.assertEqual([one.message.id for one in page.posted], ids)
        first = page.posted[0].message
        self.assertEqual((first.ttl_s, first.age_s, first.claim_id, first.claim_count), (100, 7, None, 0))
        await self.check_whole(ids[0], [b"2", b"3"])
        await self.check_whole(ids[2], [])

    async def test_read_pages(self) -> None:
        """Pages follow each other, whatever their size."""
        posted = numbered(50)
        await self.put(*posted)
        for limit in (1, 3, 16, 17, 49, 50, 51, 100):
            marker, found, more = EARLIEST, list[bytes](), True
            while more:
                page = await self.read(marker, limit)
                self.assertLessEqual(len(page.posted), limit)
                self.assertTrue(page.posted)
                found += bodies_of(page)
                marker, more = page.marker, page.more
            self.assertEqual(found, posted)
            self.assertEqual(bodies_of(await self.read(marker, limit)), [])

    async def test_read_goes_on(self) -> None:
        """What is posted later is read from the marker of the page before, at whatever instant."""
        marker = EARLIEST
        for n in range(5):
            page = await self.check_whole(marker, [b"%d" % (n - 1)] if n else [])
            marker = page.marker
            await self.put(b"%d" % n)
            self.clock.advance(n % 2)

    async def test_read_delayed(self) -> None:
        """Delayed messages have their place in the order of posts, before and after their delay is over."""
        await self.make(message_delay_s=10)
        ids = await self.put(b"1")
        ids += await self.put(b"2", delay_s=0)
        ids += await self.put(b"3")
        for _ in range(2):
            await self.check_whole(EARLIEST, [b"1", b"2", b"3"])
            await self.check_whole(ids[0], [b"2", b"3"])
            self.clock.advance(10)
        await self.popped(3)
        await self.check_gap(ids[1], [])

    async def test_read_large_bodies(self) -> None:
        """A page of large bodies ends early, and has one message at least."""
        large = b'"' + b"x" * 300_000 + b'"'
        await self.put(large, large, b"1")
        page = await self.read()
        self.assertEqual((bodies_of(page), page.more), ([large], True))
        page = await self.read(page.marker)
        self.assertEqual((bodies_of(page), page.more), ([large], True))
        await self.check_whole(page.marker, [b"1"])

    async def test_read_refuses_other_texts(self) -> None:
        """What marks no place is refused, whether there is a queue or not."""
        for _ in range(2):
            for text in NO_IDS:
                with self.assertRaises(RuleBroken):
                    await self.read(text)
            await self.put(b"1")

    # -- gaps --------------------------------------------------------------------------------------------------------

    async def test_latest(self) -> None:
        """The latest marker is behind all that was posted, and before all that will be, in the same instant too."""
        missing = await self.latest()
        await self.put(b"1")
        there = await self.latest()
        self.assertEqual(await self.latest(), there)
        await self.put(b"2")
        await self.check_whole(missing, [b"1", b"2"])
        await self.check_whole(there, [b"2"])

    async def test_latest_of_an_empty_queue(self) -> None:
        """The same for a queue that was never posted to, and for one that is empty by now."""
        await self.make()
        marker = await self.latest()
        (message_id,) = await self.put(b"1")
        await self.check_whole(marker, [b"1"])
        await self.drop(message_id)
        marker = await self.latest()
        await self.put(b"2")
        await self.check_whole(marker, [b"2"])

    async def test_gap_by_delete(self) -> None:
        """A message that was deleted before it was read makes a gap; one that was read does not."""
        ids = await self.put(*numbered(4))
        await self.drop(ids[1])
        await self.check_gap(ids[0], numbered(2, 2))
        await self.check_whole(ids[1], numbered(2, 2))
        await self.check_whole(ids[2], numbered(1, 3))
        await self.storage.messages.delete_many("p", "q", [ids[0], ids[3]], None)
        page = await self.check_gap(ids[2], [])
        self.assertEqual(page.cut, ids[3])
        await self.check_whole(ids[3], [])

    async def test_cut_only_rises(self) -> None:
        """What is removed from an earlier place changes nothing for who is behind it."""
        ids = await self.put(*numbered(4))
        for at in (2, 0, 1):
            await self.drop(ids[at])
            self.assertEqual((await self.read(ids[0])).cut, ids[2])
            await self.check_whole(ids[2], numbered(1, 3))

    async def test_no_gap_by_failed_delete(self) -> None:
        """A delete of what is not there makes no gap."""
        ids = await self.put(*numbered(2))
        other = await self.put(b"1", queue="other")
        await self.storage.messages.delete_many("p", "q", [*other, "x", "f" * 24], None)
        await self.check_whole(ids[0], numbered(1, 1))

    async def test_gap_by_pop(self) -> None:
        """What was popped before it was read makes a gap."""
        ids = await self.put(*numbered(3))
        await self.popped(2)
        await self.check_gap(ids[0], numbered(1, 2))
        await self.check_whole(ids[1], numbered(1, 2))
        await self.popped(1)
        await self.check_gap(ids[1], [])

    async def test_gap_by_expiry(self) -> None:
        """What has expired before it was read makes a gap at once, though nothing has touched the queue since."""
        ids = await self.put(b"1", b"2", ttl_s=60)
        ids += await self.put(b"3", ttl_s=120)
        self.clock.advance(59.75)
        await self.check_whole(ids[0], [b"2", b"3"])
        self.clock.advance(0.25)
        await self.check_gap(ids[0], [b"3"])
        await self.check_whole(ids[1], [b"3"])
        self.clock.advance(60)
        self.assertEqual((await self.read(ids[1])).cut, ids[2])
        await self.check_gap(ids[1], [])

    async def test_gap_by_expiry_of_many(self) -> None:
        """The same of thousands."""
        ids = await self.put(*numbered(3000), ttl_s=60)
        (kept,) = await self.put(b"1")
        self.clock.advance(60)
        await self.check_gap(ids[0], [b"1"])
        await self.check_gap(ids[2998], [b"1"])
        await self.check_whole(ids[2999], [b"1"])
        await self.check_whole(kept, [])

    async def test_gap_by_purge(self) -> None:
        """What was purged before it was read makes a gap; a purge of what was read, or of nothing, does not."""
        ids = await self.put(*numbered(2))
        await self.storage.queues.purge("p", "q")
        await self.check_gap(ids[0], [])
        await self.check_whole(ids[1], [])
        await self.put(b"x")
        await self.check_whole(ids[1], [b"x"])
        marker = await self.latest()
        await self.storage.queues.purge("p", "q")
        await self.check_whole(marker, [])
        await self.storage.queues.purge("p", "q")
        await self.check_whole(marker, [])

    async def test_gap_by_purge_of_delayed(self) -> None:
        """The same of delayed messages."""
        await self.make(message_delay_s=10)
        ids = await self.put(*numbered(2))
        await self.storage.queues.purge("p", "q")
        await self.check_gap(ids[0], [])
        await self.check_whole(ids[1], [])

    async def test_gap_by_deleted_queue(self) -> None:
        """A queue that was deleted makes a gap once; what is posted to the next one of its name follows."""
        ids = await self.put(*numbered(2))
        await self.storage.queues.delete("p", "q")
        page = await self.check_gap(ids[1], [])
        await self.put(b"x")
        await self.check_whole(page.marker, [b"x"])

    async def test_gap_by_queue_made_anew(self) -> None:
        """So does one that was made anew, which is read from its beginning."""
        ids = await self.put(*numbered(2))
        await self.storage.queues.delete("p", "q")
        await self.put(b"x", b"y")
        await self.check_gap(ids[1], [b"x", b"y"])

    async def test_gap_by_marker_of_another_queue(self) -> None:
        """The id of a message of another queue makes a gap, and all of this one follows."""
        await self.put(b"1")
        (other,) = await self.put(b"2", queue="other")
        await self.check_gap(other, [b"1"])
        missing = await self.read(other, queue="missing")
        self.assertTrue(missing.gap)

    async def test_gap_by_queue_that_came_and_went(self) -> None:
        """A queue that was made, posted to and deleted since a marker was given makes a gap: whether there is one now or not,
        and for five minutes; a marker that was given after it does not."""
        before = await self.latest()
        await self.put(b"1")
        await self.storage.queues.delete("p", "q")
        await self.check_gap(before, [])
        after = await self.latest()
        await self.check_whole(after, [])
        self.clock.advance(299)
        await self.check_gap(before, [])
        await self.put(b"2")
        await self.check_gap(before, [b"2"])
        await self.check_whole(after, [b"2"])

    async def test_what_is_long_gone(self) -> None:
        """Five minutes after it is deleted nothing is known of a queue any more."""
        before = await self.latest()
        await self.put(b"1")
        await self.storage.queues.delete("p", "q")
        self.clock.advance(300)
        await self.check_whole(before, [])
        await self.put(b"2")
        await self.check_whole(before, [b"2"])

    async def test_no_gap_by_empty_queue_that_came_and_went(self) -> None:
        """A queue in which nothing ever was loses nothing."""
        before = await self.latest()
        await self.make()
        await self.storage.queues.delete("p", "q")
        await self.check_whole(before, [])
        await self.make()
        await self.put(b"1")
        await self.check_whole(before, [b"1"])
