"""What every :class:`~zaqar_gateway.interfaces.IQueueStore` has to do."""

from __future__ import annotations

from zope.interface.verify import verifyObject

from zaqar_gateway.errors import RuleBroken
from zaqar_gateway.interfaces import IQueueStore
from zaqar_gateway.model import NO_RULES, QueueEntry, QueueRules
from zaqar_gateway.testing.base import EPOCH_S, StoreContract, numbered


class QueueStoreContract(StoreContract):
    """Queues: existence, metadata, listing, stats, purge."""

    async def names(self, project: str = "p", marker: str = "", limit: int = 20) -> list[str]:
        return [entry.name for entry in await self.storage.queues.list(project, marker, limit)]

    def test_queues_provide_interface(self) -> None:
        """The store has the methods of the interface, with their arguments."""
        verifyObject(IQueueStore, self.storage.queues)

    # -- create, get, update -----------------------------------------------------------------------------------------

    async def test_create_tells_that_it_created(self) -> None:
        """The first creation says that it created the queue."""
        self.assertIs(await self.storage.queues.create("p", "q", b"{}", NO_RULES), True)

    async def test_create_again_tells_that_it_did_not(self) -> None:
        """A second creation says that it created nothing."""
        await self.make()
        self.assertIs(await self.storage.queues.create("p", "q", b"{}", NO_RULES), False)

    async def test_create_again_leaves_metadata(self) -> None:
        """A second creation leaves the metadata as they are."""
        await self.storage.queues.create("p", "q", b'{"a": 1}', NO_RULES)
        await self.storage.queues.create("p", "q", b'{"a": 2}', NO_RULES)
        self.assertEqual(await self.storage.queues.get("p", "q"), b'{"a": 1}')

    async def test_create_again_leaves_rules(self) -> None:
        """A second creation leaves the rules as they are."""
        await self.make(message_ttl_s=77)
        await self.storage.queues.create("p", "q", b"{}", QueueRules(message_ttl_s=99))
        (message_id,) = await self.put(b"1", ttl_s=None)
        self.assertEqual((await self.one(message_id)).ttl_s, 77)

    async def test_create_leaves_messages_of_existing(self) -> None:
        """A second creation leaves the messages where they are."""
        await self.put(b"1")
        await self.storage.queues.create("p", "q", b"{}", NO_RULES)
        self.assertEqual(await self.listed(), [b"1"])

    async def test_metadata_are_kept_byte_for_byte(self) -> None:
        """Metadata come back exactly as they were given."""
        metadata = '{ "k":\t"é\\u00e9\u2028", "big": 9223372036854775807, "e": 1.50e+2, "k": {} }\n'.encode()
        await self.storage.queues.create("p", "q", metadata, NO_RULES)
        self.assertEqual(await self.storage.queues.get("p", "q"), metadata)

    async def test_large_metadata(self) -> None:
        """Metadata of 64 KiB come back whole."""
        metadata = b'{"a": "' + b"x" * 65536 + b'"}'
        await self.storage.queues.create("p", "q", metadata, NO_RULES)
        self.assertEqual(await self.storage.queues.get("p", "q"), metadata)

    async def test_missing_queue_has_no_metadata(self) -> None:
        """A queue that does not exist has no metadata."""
        self.assertIsNone(await self.storage.queues.get("p", "q"))

    async def test_post_creates_with_empty_metadata(self) -> None:
        """A queue that a post creates has the metadata ``{}``."""
        await self.put(b"1")
        self.assertEqual(await self.storage.queues.get("p", "q"), b"{}")

    async def test_update_replaces(self) -> None:
        """An update of what was seen replaces the metadata."""
        await self.storage.queues.create("p", "q", b'{"a": 1}', NO_RULES)
        self.assertIs(await self.storage.queues.update("p", "q", b'{"a": 1}', b'{"b": 2}', NO_RULES), True)
        self.assertEqual(await self.storage.queues.get("p", "q"), b'{"b": 2}')

    async def test_update_of_lazily_created(self) -> None:
        """A queue that a post created is updated from ``{}``."""
        await self.put(b"1")
        self.assertIs(await self.storage.queues.update("p", "q", b"{}", b'{"b": 2}', NO_RULES), True)

    async def test_update_to_the_same(self) -> None:
        """An update that changes nothing has replaced."""
        await self.make()
        seen = await self.storage.queues.get("p", "q")
        assert seen is not None
        self.assertIs(await self.storage.queues.update("p", "q", seen, seen, NO_RULES), True)

    async def test_update_of_something_else_seen(self) -> None:
        """An update of other bytes than the stored ones is not made, though they mean the same."""
        await self.storage.queues.create("p", "q", b'{"a": 1}', NO_RULES)
        self.assertIs(await self.storage.queues.update("p", "q", b'{"a":1}', b'{"b": 2}', NO_RULES), False)
        self.assertEqual(await self.storage.queues.get("p", "q"), b'{"a": 1}')

    async def test_update_of_missing_queue(self) -> None:
        """An update creates no queue."""
        self.assertIs(await self.storage.queues.update("p", "q", b"{}", b"{}", NO_RULES), False)
        self.assertIsNone(await self.storage.queues.get("p", "q"))

    async def test_update_replaces_rules(self) -> None:
        """The rules of an update hold for what comes after."""
        await self.make(message_ttl_s=77)
        await self.storage.queues.update("p", "q", b'{"made": true}', b"{}", QueueRules(message_ttl_s=99))
        (message_id,) = await self.put(b"1", ttl_s=None)
        self.assertEqual((await self.one(message_id)).ttl_s, 99)

    async def test_update_clears_rules(self) -> None:
        """A rule that an update does not set is gone."""
        await self.make(message_ttl_s=77, message_delay_s=5, post_size_max=1)
        await self.storage.queues.update("p", "q", b'{"made": true}', b"{}", NO_RULES)
        (message_id,) = await self.put(b"123", ttl_s=None)
        self.assertEqual((await self.one(message_id)).ttl_s, 3600)
        self.assertEqual(await self.claimed_bodies(), [b"123"])

    async def test_refused_update_leaves_rules(self) -> None:
        """The rules of an update that was not made do not hold."""
        await self.make(message_ttl_s=77)
        await self.storage.queues.update("p", "q", b"other", b"{}", QueueRules(message_ttl_s=99))
        (message_id,) = await self.put(b"1", ttl_s=None)
        self.assertEqual((await self.one(message_id)).ttl_s, 77)

    async def test_update_leaves_messages_and_claims(self) -> None:
        """An update changes nothing about the messages and claims of the queue."""
        await self.put(b"1", b"2")
        claim = await self.claim(1)
        await self.storage.queues.update("p", "q", b"{}", b'{"b": 2}', NO_RULES)
        self.assertEqual(await self.counts(), (1, 1))
        self.assertIsNotNone(await self.storage.claims.get("p", "q", claim.id))

    # -- delete ------------------------------------------------------------------------------------------------------

    async def test_delete_removes_queue(self) -> None:
        """A deleted queue does not exist."""
        await self.make()
        await self.storage.queues.delete("p", "q")
        self.assertIsNone(await self.storage.queues.get("p", "q"))
        self.assertIsNone(await self.storage.queues.stats("p", "q"))

    async def test_delete_of_missing_queue(self) -> None:
        """Deleting a queue that does not exist is no error and creates nothing."""
        await self.storage.queues.delete("p", "q")
        self.assertEqual(await self.names(), [])

    async def test_delete_removes_from_listing(self) -> None:
        """A deleted queue is neither listed nor counted."""
        for name in ("a", "b", "c"):
            await self.make(name)
        await self.storage.queues.delete("p", "b")
        self.assertEqual(await self.names(), ["a", "c"])
        self.assertEqual(await self.storage.queues.count("p"), 2)

    async def test_delete_removes_messages(self) -> None:
        """Messages go with their queue, whatever their state."""
        await self.make(message_delay_s=60)
        ids = await self.put(b"1", b"2", delay_s=0) + await self.put(b"3")
        await self.claim(1)
        await self.storage.queues.delete("p", "q")
        self.assertEqual(await self.got(*ids), [])
        self.assertEqual(await self.listed(), [])
        self.assertEqual(await self.popped(), [])

    async def test_recreated_queue_is_empty(self) -> None:
        """A queue created under the name of a deleted one has nothing of it."""
        await self.make(message_ttl_s=77, post_size_max=1)
        ids = await self.put(b"1")
        await self.storage.queues.delete("p", "q")
        self.assertNotEqual(await self.put(b"new body", ttl_s=None), ids)
        self.assertEqual(await self.listed(), [b"new body"])
        self.assertEqual(await self.counts(), (1, 0))
        self.assertEqual(await self.storage.queues.get("p", "q"), b"{}")

    async def test_delete_ends_claims(self) -> None:
        """Claims go with their queue and do not come back with its name."""
        (message_id,) = await self.put(b"1")
        claim = await self.claim()
        await self.storage.queues.delete("p", "q")
        self.assertIsNone(await self.storage.claims.get("p", "q", claim.id))
        self.assertIs(await self.storage.claims.update("p", "q", claim.id, 60, 60), False)
        await self.drop(message_id)
        await self.put(b"2")
        self.assertIsNone(await self.storage.claims.get("p", "q", claim.id))
        self.assertIs(await self.storage.claims.update("p", "q", claim.id, 60, 60), False)
        await self.storage.claims.release("p", "q", claim.id)
        self.assertEqual(await self.claimed_bodies(), [b"2"])

    async def test_lapse_after_delete_touches_nothing(self) -> None:
        """When a claim of a deleted queue would have lapsed, the queue of that name is not changed."""
        await self.put(b"1", b"2")
        await self.claim()
        await self.storage.queues.delete("p", "q")
        await self.put(b"3")
        self.clock.advance(120)
        self.assertEqual(await self.counts(), (1, 0))
        self.assertEqual(await self.listed(), [b"3"])

    # -- list, count -------------------------------------------------------------------------------------------------

    async def test_list_of_unknown_project(self) -> None:
        """A project without queues lists none and counts none."""
        self.assertEqual(await self.names(), [])
        self.assertEqual(await self.storage.queues.count("p"), 0)

    async def test_list_is_ordered_by_code_points(self) -> None:
        """Queues are listed in the order of the code points of their names, whatever the order of creation."""
        names = ["b", "a", "B", "_", "-", ".", "9", "10", "a.b", "a-b", "a_b", "aa", "ab" * 32]
        for name in names:
            await self.make(name)
        self.assertEqual(await self.names(), sorted(names))

    async def test_list_has_metadata(self) -> None:
        """An entry of a listing has the metadata as stored, those of an update included."""
        await self.storage.queues.create("p", "a", b'{"a":1}', NO_RULES)
        await self.storage.queues.create("p", "b", b'{"b":1}', NO_RULES)
        await self.storage.queues.update("p", "b", b'{"b":1}', b'{"b":2}', NO_RULES)
        self.assertEqual(
            await self.storage.queues.list("p", "", 10), [QueueEntry("a", b'{"a":1}'), QueueEntry("b", b'{"b":2}')]
        )

    async def test_list_has_lazily_created(self) -> None:
        """A queue that a post created is listed and counted."""
        await self.put(b"1")
        self.assertEqual(await self.storage.queues.list("p", "", 10), [QueueEntry("q", b"{}")])
        self.assertEqual(await self.storage.queues.count("p"), 1)

    async def test_list_starts_after_marker(self) -> None:
        """Only names strictly greater than the marker are listed."""
        for name in ("a", "b", "bb", "c"):
            await self.make(name)
        self.assertEqual(await self.names(marker="b"), ["bb", "c"])

    async def test_list_marker_need_not_exist(self) -> None:
        """A marker is just a name."""
        for name in ("a", "c"):
            await self.make(name)
        self.assertEqual(await self.names(marker="b"), ["c"])
        self.assertEqual(await self.names(marker="zzz"), [])
        self.assertEqual(await self.names(marker="a\x00"), ["c"])
        self.assertEqual(await self.names(marker="[a"), ["a", "c"])
        self.assertEqual(await self.names(marker="é"), [])

    async def test_list_is_limited(self) -> None:
        """No more than ``limit`` queues are listed."""
        for name in ("a", "b", "c"):
            await self.make(name)
        self.assertEqual(await self.names(limit=2), ["a", "b"])

    async def test_list_many_in_pages(self) -> None:
        """Pages that go on from the last name give every queue once."""
        names = [f"q{n}" for n in range(120)]
        for name in names:
            await self.make(name)
        seen: list[str] = []
        while page := await self.names(marker=seen[-1] if seen else "", limit=7):
            seen += page
        self.assertEqual(seen, sorted(names))
        self.assertEqual(await self.storage.queues.count("p"), 120)

    async def test_names_differ_by_case(self) -> None:
        """Queues whose names differ in case are different."""
        await self.put(b"1", queue="Q")
        await self.put(b"2", queue="q")
        self.assertEqual(await self.listed(queue="Q"), [b"1"])

    async def test_recreated_queue_is_listed_once(self) -> None:
        """A queue that was deleted and created again is listed and counted once."""
        for _ in range(3):
            await self.put(b"1")
            await self.storage.queues.delete("p", "q")
        await self.put(b"1")
        self.assertEqual(await self.names(), ["q"])
        self.assertEqual(await self.storage.queues.count("p"), 1)

    async def test_reading_creates_no_queue(self) -> None:
        """No operation but create and post creates a queue."""
        messages, claims = self.storage.messages, self.storage.claims
        await self.page()
        await messages.get("p", "q", ["x"])
        await messages.pop("p", "q", 1)
        await messages.delete("p", "q", "x", None)
        await messages.delete_many("p", "q", ["x"], None)
        await claims.create("p", "q", 60, 60, 1)
        await claims.get("p", "q", "x")
        await claims.update("p", "q", "x", 60, 60)
        await claims.release("p", "q", "x")
        await self.storage.queues.purge("p", "q")
        await self.storage.queues.stats("p", "q")
        self.assertIsNone(await self.storage.queues.get("p", "q"))
        self.assertEqual(await self.storage.queues.count("p"), 0)

    # -- stats -------------------------------------------------------------------------------------------------------

    async def test_stats_of_missing_queue(self) -> None:
        """A queue that does not exist has no stats."""
        self.assertIsNone(await self.storage.queues.stats("p", "q"))

    async def test_stats_of_empty_queue(self) -> None:
        """An empty queue has zeros and no edges."""
        await self.make()
        stats = await self.stats()
        self.assertEqual((stats.free, stats.claimed, stats.total, stats.oldest, stats.newest), (0, 0, 0, None, None))

    async def test_stats_count_free_and_claimed(self) -> None:
        """A message under a live claim counts as claimed, any other as free."""
        await self.put(*numbered(5))
        await self.claim(2)
        self.assertEqual(await self.counts(), (3, 2))
        self.assertEqual((await self.stats()).total, 5)

    async def test_stats_count_delayed_as_free(self) -> None:
        """A delayed message counts as free, before and after it is due."""
        await self.make(message_delay_s=60)
        await self.put(b"1", b"2")
        self.assertEqual(await self.counts(), (2, 0))
        self.clock.advance(60)
        self.assertEqual(await self.counts(), (2, 0))

    async def test_stats_do_not_count_expired(self) -> None:
        """A message does not count from the instant in which it expires."""
        await self.put(b"1", ttl_s=60)
        await self.put(b"2", ttl_s=120)
        self.clock.advance(59.75)
        self.assertEqual(await self.counts(), (2, 0))
        self.clock.advance(0.25)
        self.assertEqual(await self.counts(), (1, 0))

    async def test_stats_do_not_count_expired_delayed(self) -> None:
        """A message that expires before it is due does not count."""
        await self.make(message_delay_s=900)
        await self.put(b"1", ttl_s=60)
        self.clock.advance(60)
        self.assertEqual(await self.counts(), (0, 0))
        self.clock.advance(900)
        self.assertEqual(await self.counts(), (0, 0))
        self.assertEqual(await self.popped(), [])

    async def test_stats_after_lapse(self) -> None:
        """Messages count as free from the instant in which their claim lapses."""
        await self.put(*numbered(3))
        await self.claim(2, ttl_s=60)
        self.clock.advance(59.75)
        self.assertEqual(await self.counts(), (1, 2))
        self.clock.advance(0.25)
        self.assertEqual(await self.counts(), (3, 0))

    async def test_stats_after_release(self) -> None:
        """Messages of a released claim count as free."""
        await self.put(*numbered(3))
        claim = await self.claim(2)
        await self.storage.claims.release("p", "q", claim.id)
        self.assertEqual(await self.counts(), (3, 0))

    async def test_stats_after_deletes(self) -> None:
        """Deleted and popped messages count no more, in whichever state they were."""
        await self.make(message_delay_s=60)
        delayed = await self.put(b"1", b"2")
        free = await self.put(*numbered(6), delay_s=0)
        claim = await self.claim(2)
        await self.drop(delayed[0])
        await self.drop(claim.messages[0].id, claim.id)
        await self.storage.messages.delete_many("p", "q", [free[1]], None)
        await self.popped(1)
        self.assertEqual(await self.counts(), (4, 0))

    async def test_stats_count_many(self) -> None:
        """Counts are exact whatever is unswept: 3,000 messages, of which 1,500 expired, 40 claimed of the rest."""
        for n in range(3):
            await self.put(*numbered(500, n * 500), ttl_s=60)
            await self.put(*numbered(500, n * 500), ttl_s=300)
        self.clock.advance(60)
        await self.claim(20)
        await self.claim(20)
        self.assertEqual(await self.counts(), (1460, 40))
        self.clock.advance(60)
        self.assertEqual(await self.counts(), (1500, 0))

    async def test_edges(self) -> None:
        """The oldest and the newest are the first and the last of the queue, with age and instant of creation."""
        (oldest,) = await self.put(b"1")
        self.clock.advance(5)
        await self.put(b"2")
        self.clock.advance(7.5)
        (newest,) = await self.put(b"3")
        self.clock.advance(1.75)
        stats = await self.stats()
        assert stats.oldest is not None and stats.newest is not None
        self.assertEqual((stats.oldest.id, stats.oldest.age_s), (oldest, 14))
        self.assertEqual((stats.newest.id, stats.newest.age_s), (newest, 1))
        self.assertEqual(stats.oldest.created_ms, EPOCH_S * 1000)
        self.assertEqual(stats.newest.created_ms, EPOCH_S * 1000 + 12500)

    async def test_edges_of_one(self) -> None:
        """A single message is the oldest and the newest."""
        (message_id,) = await self.put(b"1")
        stats = await self.stats()
        self.assertEqual(stats.oldest, stats.newest)
        assert stats.oldest is not None
        self.assertEqual(stats.oldest.id, message_id)

    async def test_edges_may_be_claimed_or_delayed(self) -> None:
        """The edges are edges of all live messages, whatever their state."""
        await self.make(message_delay_s=60)
        (first,) = await self.put(b"1", delay_s=0)
        await self.put(b"2", delay_s=0)
        (last,) = await self.put(b"3")
        await self.claim(1)
        stats = await self.stats()
        assert stats.oldest is not None and stats.newest is not None
        self.assertEqual((stats.oldest.id, stats.newest.id), (first, last))

    async def test_edges_may_be_delayed_and_claimed(self) -> None:
        """A delayed message is the oldest and a claimed one the newest where they stand so."""
        await self.make(message_delay_s=60)
        (first,) = await self.put(b"1")
        (last,) = await self.put(b"2", delay_s=0)
        await self.claim()
        stats = await self.stats()
        assert stats.oldest is not None and stats.newest is not None
        self.assertEqual((stats.oldest.id, stats.newest.id), (first, last))

    async def test_edges_move_with_deletes(self) -> None:
        """When the edges are deleted, their neighbours are the edges."""
        ids = await self.put(*numbered(4))
        await self.drop(ids[0])
        await self.drop(ids[3])
        stats = await self.stats()
        assert stats.oldest is not None and stats.newest is not None
        self.assertEqual((stats.oldest.id, stats.newest.id), (ids[1], ids[2]))

    async def test_edges_are_not_expired(self) -> None:
        """Expired messages are no edges, however many there are."""
        await self.put(*numbered(3000), ttl_s=60)
        (live,) = await self.put(b"1", ttl_s=300)
        await self.put(*numbered(3000), ttl_s=60)
        self.clock.advance(60)
        stats = await self.stats()
        assert stats.oldest is not None and stats.newest is not None
        self.assertEqual((stats.total, stats.oldest.id, stats.newest.id), (1, live, live))

    async def test_edges_of_emptied_queue(self) -> None:
        """A queue whose messages are all gone has no edges."""
        await self.put(*numbered(3))
        await self.popped(3)
        stats = await self.stats()
        self.assertEqual((stats.total, stats.oldest, stats.newest), (0, None, None))

    # -- purge -------------------------------------------------------------------------------------------------------

    async def test_purge_removes_all_messages(self) -> None:
        """Purge removes free, claimed and delayed messages."""
        await self.make(message_delay_s=60)
        ids = await self.put(*numbered(4), delay_s=0) + await self.put(b"d")
        await self.claim(2)
        await self.storage.queues.purge("p", "q")
        self.assertEqual(await self.got(*ids), [])
        self.assertEqual(await self.listed(), [])
        self.assertEqual(await self.counts(), (0, 0))
        stats = await self.stats()
        self.assertEqual((stats.oldest, stats.newest), (None, None))

    async def test_purge_ends_claims(self) -> None:
        """Purge ends the claims of the queue."""
        await self.put(b"1", b"2")
        claim = await self.claim(1)
        await self.storage.queues.purge("p", "q")
        self.assertIsNone(await self.storage.claims.get("p", "q", claim.id))
        self.assertIs(await self.storage.claims.update("p", "q", claim.id, 60, 60), False)

    async def test_purge_keeps_queue(self) -> None:
        """Purge leaves the queue, its metadata and its rules."""
        await self.make(message_ttl_s=77)
        await self.put(b"1")
        await self.storage.queues.purge("p", "q")
        self.assertEqual(await self.storage.queues.get("p", "q"), b'{"made": true}')
        (message_id,) = await self.put(b"2", ttl_s=None)
        self.assertEqual((await self.one(message_id)).ttl_s, 77)

    async def test_purge_leaves_other_queues(self) -> None:
        """Purge touches no other queue."""
        await self.put(b"1")
        await self.put(b"2", queue="q2")
        await self.storage.queues.purge("p", "q")
        self.assertEqual(await self.listed(queue="q2"), [b"2"])

    async def test_post_after_purge(self) -> None:
        """A purged queue goes on: later messages come after the purged ones, and only they are there."""
        ids = await self.put(*numbered(20))
        await self.claim()
        await self.storage.queues.purge("p", "q")
        later = await self.put(b"x", b"y")
        self.assertEqual(sorted(ids + later), ids + later)
        self.assertEqual(await self.listed(marker=ids[-1]), [b"x", b"y"])
        self.clock.advance(120)
        self.assertEqual(await self.counts(), (2, 0))
        self.assertEqual(await self.claimed_bodies(), [b"x", b"y"])

    async def test_purge_of_missing_queue(self) -> None:
        """Purging a queue that does not exist is no error."""
        await self.storage.queues.purge("p", "q")
        self.assertIsNone(await self.storage.queues.get("p", "q"))

    # -- isolation ---------------------------------------------------------------------------------------------------

    async def test_confusable_names_are_different_queues(self) -> None:
        """No two pairs of project and queue are the same queue, however alike they look."""
        pairs = [
            ("a", "b"),
            ("a/b", "c"),
            ("a", "b.c"),
            ("a.b", "c"),
            ("a.b.c", "d"),
            ("a.b", "c.d"),
            ("a:b", "c"),
            ("a-b", "c"),
            ("a", "b-c"),
            ("a_b", "c"),
            ("a", "b_c"),
            ("A", "b"),
            ("a", "B"),
            ("a ", "b"),
            (" a", "b"),
            ("a\n", "b"),
            ("a\t", "b"),
            ("a\x00", "b"),
            ("{a}", "b"),
            ("{a", "b"),
            ("a}", "b"),
            ("{}", "b"),
            ("{", "b"),
            ("}", "b"),
            ("}{", "b"),
            ("a}{b", "c"),
            ("%", "b"),
            ("%61", "b"),
            ("%7Ba%7D", "b"),
            ("a%2Fb", "c"),
            ("a%2fb", "c"),
            ("a%2Eb", "c"),
            ("a\\b", "c"),
            ("a*", "b"),
            ("?", "b"),
            ("[a]", "b"),
            (" ", "b"),
            ("  ", "b"),
            ("\u00a0", "b"),
            ("\u200b", "b"),
            ("-", "b"),
            ("0", "b"),
            ("None", "b"),
            ("é", "b"),
            ("e\u0301", "b"),
            ("Ã©", "b"),
            ("プロジェクト", "b"),
            ("😀", "b"),
            ("p" * 256, "b"),
            ("p" * 255, "b"),
        ]
        for n, (project, queue) in enumerate(pairs):
            await self.put(b"%d" % n, project=project, queue=queue)
        seen = [await self.listed(project=project, queue=queue) for project, queue in pairs]
        self.assertEqual(seen, [[b"%d" % n] for n in range(len(pairs))])
        for project in {project for project, _ in pairs}:
            own = sorted(queue for owner, queue in pairs if owner == project)
            self.assertEqual(await self.names(project), own)
            self.assertEqual(await self.storage.queues.count(project), len(own))
        for n, (project, queue) in enumerate(pairs):
            self.assertEqual(await self.claimed_bodies(project=project, queue=queue), [b"%d" % n])
            await self.storage.queues.delete(project, queue)
        for project, _ in pairs:
            self.assertEqual(await self.storage.queues.count(project), 0)

    async def test_queue_of_another_project_does_not_exist(self) -> None:
        """What one project has is nothing to another."""
        await self.make()
        await self.put(b"1")
        self.assertIsNone(await self.storage.queues.get("other", "q"))
        self.assertIsNone(await self.storage.queues.stats("other", "q"))
        self.assertIs(await self.storage.queues.update("other", "q", b'{"made": true}', b"{}", NO_RULES), False)
        await self.storage.queues.purge("other", "q")
        await self.storage.queues.delete("other", "q")
        self.assertEqual(await self.listed(), [b"1"])

    async def test_rules_of_a_queue_are_its_own(self) -> None:
        """The rules of a queue do not hold for one of the same name in another project."""
        await self.make(post_size_max=1)
        await self.put(b"123", project="other")
        with self.assertRaises(RuleBroken):
            await self.put(b"123")
