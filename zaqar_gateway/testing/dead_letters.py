"""What every :class:`~zaqar_gateway.interfaces.IDeadLetterStore` has to do."""

from __future__ import annotations

from collections.abc import Sequence

from zope.interface.verify import verifyObject

from zaqar_gateway.errors import QueueMissing, QuotaExceeded
from zaqar_gateway.interfaces import IDeadLetterStore
from zaqar_gateway.model import CLAIMED_TOO_OFTEN, DeadLetter, Message, Quotas, SendBack, SentBack
from zaqar_gateway.testing.base import CLIENT, NO_IDS, OTHER_CLIENT, StoreContract, bodies, numbered

MANY = 1000


class _WithDeadLetters(StoreContract):
    """Short ways to have and move dead letters."""

    async def bury(self, *texts: bytes, queue: str = "q", client: bytes = CLIENT, ttl_s: int = 3600) -> list[str]:
        """Post messages to a queue and have claims move them to ``dead``, with the ttl that they have; their ids."""
        if await self.storage.queues.get("p", queue) is None:
            await self.make(queue, claim_count_max=1, dead_letter_queue="dead")
        ids = await self.put(*texts, queue=queue, client=client, ttl_s=ttl_s)
        claim = await self.claim(len(ids), queue=queue)
        await self.storage.claims.release("p", queue, claim.id)
        self.assertIsNone(await self.storage.claims.create("p", queue, 60, 60, 10))
        return ids

    async def dead(self, marker: str | None = None, limit: int = 20, *, queue: str = "dead") -> list[Message]:
        """Some dead letters."""
        return await self.storage.dead_letters.list("p", queue, marker=marker, limit=limit)

    async def send(
        self,
        ids: Sequence[str] | None = None,
        limit: int = MANY,
        *,
        to: str | None = None,
        gap_ms: float = 0,
        create: bool = True,
        queue: str = "dead",
    ) -> SentBack:
        """Send some back."""
        asked = SendBack(None if ids is None else tuple(ids), limit, to, gap_ms)
        return await self.storage.dead_letters.send_back("p", queue, asked, create=create)


class DeadLetterStoreContract(_WithDeadLetters):
    """Dead letters: how they are listed, and go back."""

    def test_dead_letters_provide_interface(self) -> None:
        """The store has the methods of the interface, with their arguments."""
        verifyObject(IDeadLetterStore, self.storage.dead_letters)

    # -- list ----------------------------------------------------------------------------------------------------------

    async def test_listed_dead_letters(self) -> None:
        """Dead letters are listed as they were moved, with where they were, why and when; other messages are not."""
        first = await self.bury(b"1", ttl_s=600)
        self.clock.advance(5)
        await self.put(b"no dead letter", queue="dead")
        second = await self.bury(b"2", queue="other")
        now_ms = int(self.clock.seconds() * 1000)
        self.assertEqual(
            await self.dead(),
            [
                Message(first[0], b"1", 600, 5, None, 1, dead=DeadLetter("q", CLAIMED_TOO_OFTEN, now_ms - 5000)),
                Message(second[0], b"2", 3600, 0, None, 1, dead=DeadLetter("other", CLAIMED_TOO_OFTEN, now_ms)),
            ],
        )

    async def test_none_may_be_claimed(self) -> None:
        """Where no claim is allowed, or fewer, what is asked for is moved at once, and lives as long as it would have."""
        for most in (0, -1):
            queue = f"q{-most}"
            await self.make(queue, claim_count_max=most, dead_letter_queue="dead")
            await self.put(b"1", b"2", queue=queue, ttl_s=100)
            self.assertIsNone(await self.storage.claims.create("p", queue, 60, 60, 10))
            self.clock.advance(99)
            letters = [(letter.body, letter.ttl_s, letter.claim_count) for letter in await self.dead()]
            self.assertEqual(letters, [(b"1", 100, 0), (b"2", 100, 0)])
            self.clock.advance(1)
            self.assertEqual(await self.dead(), [])

    async def test_no_dead_letters(self) -> None:
        """A queue that is missing has none, nor has one whose messages were all posted there."""
        self.assertEqual(await self.dead(), [])
        await self.put(b"1", queue="dead")
        self.assertEqual(await self.dead(), [])
        self.assertEqual(await self.send(), SentBack(0, 0))
        self.assertEqual(await self.send(queue="missing"), SentBack(0, 0))

    async def test_pages_of_dead_letters(self) -> None:
        """A page goes on behind a marker, also behind one that is gone; what is no id gives nothing."""
        ids = await self.bury(*numbered(5))
        self.assertEqual(bodies(await self.dead(limit=2)), numbered(2))
        self.assertEqual(bodies(await self.dead(ids[1], limit=2)), numbered(2, 2))
        await self.drop(ids[2], queue="dead")
        self.assertEqual(bodies(await self.dead(ids[2])), numbered(2, 3))
        for text in NO_IDS:
            self.assertEqual(await self.dead(text), [])

    async def test_dead_letters_that_left(self) -> None:
        """What was deleted, popped, purged or has expired is not listed; what is claimed is, with its claim."""
        ids = await self.bury(*numbered(5))
        await self.drop(ids[0], queue="dead")
        self.assertEqual(await self.popped(1, queue="dead"), numbered(1, 1))
        claim = await self.claim(1, queue="dead")
        found = await self.dead()
        self.assertEqual([(one.id, one.claim_id) for one in found], [(ids[2], claim.id), (ids[3], None), (ids[4], None)])
        self.clock.advance(3600)
        self.assertEqual(await self.dead(), [])
        await self.bury(b"1")
        await self.storage.queues.purge("p", "dead")
        self.assertEqual(await self.dead(), [])
        await self.bury(b"2")
        self.assertEqual(bodies(await self.dead()), [b"2"])
        await self.storage.queues.delete("p", "dead")
        await self.bury(b"3")
        self.assertEqual(bodies(await self.dead()), [b"3"])

    async def test_many_dead_letters_expire(self) -> None:
        """However many have expired at once, those that live are listed."""
        await self.bury(*numbered(2500), ttl_s=300)
        await self.bury(b"1")
        self.clock.advance(300)
        self.assertEqual(bodies(await self.dead()), [b"1"])
        self.assertEqual((await self.send(limit=0)).remaining, 1)

    # -- send back -----------------------------------------------------------------------------------------------------

    async def test_sent_back(self) -> None:
        """Dead letters go to where they came from, at the end, with id, body, age and ttl, as if they were never claimed."""
        ids = await self.bury(b"1", b"2", ttl_s=600)
        await self.bury(b"3", queue="other")
        await self.put(b"4")
        self.clock.advance(5)
        self.assertEqual(await self.send(), SentBack(3, 0))
        self.assertEqual(await self.listed(), [b"4", b"1", b"2"])
        self.assertEqual(await self.listed(queue="other"), [b"3"])
        self.assertEqual(await self.listed(queue="dead"), [])
        self.assertEqual(await self.one(ids[0]), Message(ids[0], b"1", 600, 5))
        self.assertEqual([message.claim_count for message in (await self.claim()).messages], [1] * 3)
        self.assertEqual(await self.storage.messages.get("p", "dead", ids), [])

    async def test_sent_back_lives_its_ttl(self) -> None:
        """The ttl of what is sent back counts from then."""
        (message_id,) = await self.bury(b"1", ttl_s=600)
        self.clock.advance(400)
        await self.send()
        self.clock.advance(599)
        self.assertEqual((await self.one(message_id)).age_s, 999)
        self.clock.advance(1)
        self.assertEqual(await self.got(message_id), [])
        self.assertEqual(await self.counts(), (0, 0))

    async def test_sent_back_in_part(self) -> None:
        """The oldest go first where there is a limit, and what remains is told."""
        await self.bury(*numbered(5))
        self.assertEqual(await self.send(limit=2), SentBack(2, 3))
        self.assertEqual(await self.listed(), numbered(2))
        self.assertEqual(bodies(await self.dead()), numbered(3, 2))

    async def test_sent_back_by_id(self) -> None:
        """Of ids those of dead letters count, once each; they go in the order in which they were moved."""
        ids = await self.bury(*numbered(4))
        (posted,) = await self.put(b"no dead letter", queue="dead")
        sent = await self.send([ids[3], "nada", ids[1], posted, ids[3]])
        self.assertEqual(sent, SentBack(2, 2))
        self.assertEqual(await self.listed(), [numbered(4)[1], numbered(4)[3]])
        self.assertEqual(await self.listed(queue="dead"), [numbered(4)[0], numbered(4)[2], b"no dead letter"])

    async def test_sent_elsewhere(self) -> None:
        """Dead letters can go to another queue than the one that they came from, which is created where it is missing."""
        await self.bury(b"1")
        await self.bury(b"2", queue="other")
        self.assertEqual(await self.send(to="third"), SentBack(2, 0))
        self.assertEqual(await self.listed(queue="third"), [b"1", b"2"])
        self.assertEqual((await self.listed(), await self.listed(queue="other")), ([], []))
        self.assertIn("third", [entry.name for entry in await self.storage.queues.list("p", "", 9)])

    async def test_origins_that_are_gone(self) -> None:
        """A queue that was deleted since is made anew, or its dead letters stay where none is to be made."""
        first = await self.bury(b"1")
        await self.bury(b"2", queue="other")
        await self.storage.queues.delete("p", "q")
        await self.storage.queues.delete("p", "other")
        self.assertEqual(await self.send(create=False), SentBack(0, 2, "q"))
        self.assertEqual(await self.send(), SentBack(2, 0))
        self.assertEqual((await self.listed(), await self.listed(queue="other")), ([b"1"], [b"2"]))
        self.assertEqual(await self.got(*first), [b"1"])

    async def test_claimed_ones_stay(self) -> None:
        """What a live claim holds is not sent back; once the claim has lapsed it is."""
        ids = await self.bury(*numbered(3))
        await self.claim(2, queue="dead", ttl_s=60)
        self.assertEqual(await self.send([ids[0], ids[1]]), SentBack(0, 3))
        self.assertEqual(await self.send(limit=2), SentBack(1, 2))
        self.assertEqual(await self.listed(), numbered(1, 2))
        self.clock.advance(60)
        self.assertEqual(await self.send(), SentBack(2, 0))
        self.assertEqual(await self.listed(), [*numbered(1, 2), *numbered(2)])

    async def test_many_claimed_ones(self) -> None:
        """However many are claimed, those behind them go."""
        await self.bury(*numbered(1500))
        await self.claim(1400, queue="dead")
        self.assertEqual(await self.send(limit=90), SentBack(90, 1410))
        self.assertEqual(await self.listed(), numbered(20, 1400))

    async def test_rate(self) -> None:
        """With a gap between them each is had later than the one before, and lives its ttl from then on."""
        ids = await self.bury(*numbered(3), ttl_s=60)
        self.assertEqual(await self.send(gap_ms=2500), SentBack(3, 0))
        self.assertEqual(await self.counts(), (3, 0))
        self.assertEqual(await self.claimed_bodies(), numbered(1))
        self.clock.advance(2)
        self.assertEqual(await self.claimed_bodies(), [])
        self.clock.advance(0.5)
        self.assertEqual(await self.claimed_bodies(), numbered(1, 1))
        self.clock.advance(2.5)
        self.assertEqual(await self.popped(), numbered(1, 2))
        await self.bury(b"4", queue="other", ttl_s=60)
        asked = SendBack(None, 1, "other", 2500, sent=40)
        await self.storage.dead_letters.send_back("p", "dead", asked)
        self.clock.advance(100)
        self.assertEqual(await self.popped(queue="other"), [b"4"])
        self.assertEqual(await self.got(ids[2]), [])

    async def test_ids_of_delayed_ones(self) -> None:
        """The id of what waits for its turn stays good, whatever is moved to the queue meanwhile."""
        ids = await self.bury(b"1", b"2", ttl_s=90_000)
        await self.send(gap_ms=3_700_000)
        for number in range(3):
            self.clock.advance(3600)
            await self.bury(b"other %d" % number, queue="other")
            await self.send(to="q")
        self.assertEqual(await self.got(*ids), [b"1", b"2"])

    async def test_dead_again(self) -> None:
        """What was sent back is counted anew, and can become a dead letter again, with the same id."""
        (message_id,) = await self.bury(b"1")
        for _ in range(3):
            await self.send()
            claim = await self.claim()
            self.assertEqual([one.claim_count for one in claim.messages], [1])
            await self.storage.claims.release("p", "q", claim.id)
            self.assertEqual(await self.claimed_bodies(), [])
            (found,) = await self.dead()
            self.assertEqual((found.id, found.body, found.claim_count), (message_id, b"1", 1))

    async def test_sent_back_is_no_echo(self) -> None:
        """What is sent back is still the message of the client that posted it."""
        await self.bury(b"1")
        await self.bury(b"2", client=OTHER_CLIENT)
        await self.send()
        self.assertEqual(await self.listed(skip_client=CLIENT), [b"2"])

    async def test_sent_back_is_no_post(self) -> None:
        """Subscribers are not told again."""
        await self.bury(b"1")
        await self.follow()
        await self.send()
        self.assertEqual(await self.take(), [])

    # -- to another store ----------------------------------------------------------------------------------------------

    async def test_letters(self) -> None:
        """What would go next and to one queue is shown whole; nothing changes."""
        ids = await self.bury(b"1", b"2", ttl_s=600)
        await self.bury(b"3", queue="other")
        asked = SendBack(None, 3)
        now_ms = int(self.clock.seconds() * 1000)
        found = await self.storage.dead_letters.letters("p", "dead", asked, "q")
        told = [(one.id, one.body, one.client, one.ttl_s, one.created_ms) for one in found]
        self.assertEqual(told, [(ids[0], b"1", CLIENT, 600, now_ms), (ids[1], b"2", CLIENT, 600, now_ms)])
        self.assertEqual(len({one.place for one in found}), 2)
        self.assertEqual(list(await self.storage.dead_letters.letters("p", "dead", asked, "other")), [])
        self.assertEqual(list(await self.storage.dead_letters.letters("p", "missing", asked, "q")), [])
        some = await self.storage.dead_letters.letters("p", "dead", SendBack((ids[1],), 1), "q")
        self.assertEqual([one.id for one in some], [ids[1]])
        elsewhere = await self.storage.dead_letters.letters("p", "dead", SendBack(None, 9, "third"), "third")
        self.assertEqual([one.body for one in elsewhere], [b"1", b"2", b"3"])
        self.assertEqual(await self.counts("dead"), (3, 0))

    async def test_adopted(self) -> None:
        """What comes from another store is taken in once, whatever becomes of it; the next time it is dead it is again."""
        ids = await self.bury(b"1", b"2", ttl_s=600)
        asked = SendBack(None, 2, "new", 1000)
        letters = await self.storage.dead_letters.letters("p", "dead", asked, "new")
        with self.assertRaises(QueueMissing):
            await self.storage.dead_letters.adopt("p", "new", letters, asked)
        await self.put(b"0", queue="new")
        self.clock.advance(5)
        for _ in range(2):
            await self.storage.dead_letters.adopt("p", "new", letters, asked)
        self.assertEqual(await self.listed(queue="new"), [b"0", b"1", b"2"])
        self.assertEqual(await self.claimed_bodies(queue="new"), [b"0", b"1"])
        self.assertEqual(await self.one(ids[1], queue="new"), Message(ids[1], b"2", 600, 5))
        self.clock.advance(1)
        self.assertEqual(await self.claimed_bodies(queue="new"), [b"2"])
        for each in ids:
            await self.storage.messages.delete_many("p", "new", [each], None)
        await self.storage.dead_letters.adopt("p", "new", letters, asked)
        self.assertEqual(await self.got(*ids, queue="new"), [])
        await self.send()
        await self.storage.claims.release("p", "q", (await self.claim()).id)
        self.assertEqual(await self.claimed_bodies(), [])
        letters = await self.storage.dead_letters.letters("p", "dead", asked, "new")
        await self.storage.dead_letters.adopt("p", "new", letters, asked)
        self.assertEqual(await self.got(*ids, queue="new"), [b"1", b"2"])


class DeadLetterQuotaContract(_WithDeadLetters):
    """Dead letters in a store with quotas; a subclass has what :class:`~zaqar_gateway.testing.quotas.QuotaContract` needs."""

    def bound(self, quotas: Quotas) -> None:
        """Set ``storage`` to a store with these quotas."""
        raise NotImplementedError

    async def test_sent_back_within_quotas(self) -> None:
        """Where a queue would have more than it may have, nothing of that step goes."""
        self.bound(Quotas(messages_per_queue=3))
        await self.bury(*numbered(3))
        await self.put(b"4")
        with self.assertRaises(QuotaExceeded):
            await self.send()
        self.assertEqual((await self.counts(), await self.counts("dead")), ((1, 0), (3, 0)))
        self.assertEqual(await self.send(limit=2), SentBack(2, 1))

    async def test_sent_back_bytes(self) -> None:
        """Bytes are counted along with what is moved."""
        self.bound(Quotas(bytes_per_queue=10))
        await self.bury(b"1234", b"1234")
        await self.put(b"1234567")
        with self.assertRaises(QuotaExceeded):
            await self.send()
        self.assertEqual(await self.popped(), [b"1234567"])
        self.assertEqual(await self.send(), SentBack(2, 0))
        with self.assertRaises(QuotaExceeded):
            await self.put(b"123")
        await self.put(b"12")
        self.assertEqual(await self.send(to="third"), SentBack(0, 0))

    async def test_sent_back_queues(self) -> None:
        """A queue that a project has no room for is not made."""
        self.bound(Quotas(queues=2))
        await self.bury(b"1")
        with self.assertRaises(QuotaExceeded):
            await self.send(to="third")
        self.assertEqual(await self.counts("dead"), (1, 0))
        self.assertEqual(await self.send(), SentBack(1, 0))

    async def test_adopted_within_quotas(self) -> None:
        """What would be too much is not taken in, nothing of it."""
        self.bound(Quotas(messages_per_queue=2))
        await self.bury(b"1", b"2")
        await self.put(b"0", queue="new")
        asked = SendBack(None, 2, "new")
        letters = await self.storage.dead_letters.letters("p", "dead", asked, "new")
        with self.assertRaises(QuotaExceeded):
            await self.storage.dead_letters.adopt("p", "new", letters, asked)
        self.assertEqual(await self.listed(queue="new"), [b"0"])
