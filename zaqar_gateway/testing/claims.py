"""What every :class:`~zaqar_gateway.interfaces.IClaimStore` has to do."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import permutations, product

from twisted.internet.defer import Deferred, gatherResults
from zope.interface.verify import verifyObject

from zaqar_gateway.errors import ClaimMismatch, MessageClaimed
from zaqar_gateway.interfaces import IClaimStore
from zaqar_gateway.model import CLAIMED_TOO_OFTEN, Claim, DeadLetter, Message, QueueRules
from zaqar_gateway.testing.base import CLIENT, NO_IDS, OTHER_CLIENT, bodies, numbered
from zaqar_gateway.testing.reading import ReadingCase, bodies_of


class ClaimStoreContract(ReadingCase):
    """Claims: creation, renewal, release and lapse; what they do to messages; dead letters."""

    async def held(self, claim: Claim, *, queue: str = "q") -> list[bytes] | None:
        """The bodies of the messages in a claim, ``None`` where it is gone."""
        found = await self.storage.claims.get("p", queue, claim.id)
        return None if found is None else bodies(found.messages)

    async def renew(self, claim: Claim, ttl_s: int = 60, grace_s: int = 60) -> bool:
        return await self.storage.claims.update("p", "q", claim.id, ttl_s, grace_s)

    async def release(self, claim: Claim, *, queue: str = "q") -> None:
        await self.storage.claims.release("p", queue, claim.id)

    async def ttl_and_left(self, message_id: str) -> tuple[int, int]:
        """The ttl of a message, and how many seconds it lives from now on, found by letting them pass."""
        ttl_s = (await self.one(message_id)).ttl_s
        for left_s in range(100_000):
            if not await self.got(message_id):
                return ttl_s, left_s
            self.clock.advance(1)
        raise AssertionError("the message does not expire")

    def test_claims_provide_interface(self) -> None:
        """The store has the methods of the interface, with their arguments."""
        verifyObject(IClaimStore, self.storage.claims)

    async def live(self, *claim_ids: str, queue: str = "q", project: str = "p") -> list[str]:
        """Which claims are live, in order."""
        found = set(await self.storage.claims.live(project, queue, claim_ids))
        return [each for each in claim_ids if each in found]

    async def test_live(self) -> None:
        """Of some claims those are told that are live: not what lapsed, was released or was never given out, nor one whose
        messages were all deleted, by whichever way."""
        self.assertEqual(await self.live("a", "b"), [])
        ids = await self.put(*numbered(6))
        a, b, c = [one.claim_id or "" for one in await self.storage.claims.create_each("p", "q", 60, 60, 3)]
        d = (await self.claim(2, ttl_s=90)).id
        self.assertEqual(await self.live(a, "x", b, c, d, a), [a, b, c, d, a])
        self.assertEqual(await self.live(a, queue="other"), [])
        self.assertEqual(await self.live(a, project="other"), [])
        await self.drop(ids[0], a)
        await self.storage.messages.delete_many("p", "q", [ids[1], ids[3]], None)
        self.assertEqual(await self.live(a, b, c, d), [c, d])
        await self.storage.claims.release("p", "q", c)
        self.assertEqual(await self.live(c, d), [d])
        self.assertTrue(await self.storage.claims.update("p", "q", d, 120, 60))
        self.clock.advance(119)
        self.assertEqual(await self.live(d), [d])
        self.clock.advance(1)
        self.assertEqual(await self.live(d), [])

    async def test_live_of_many(self) -> None:
        """A thousand claims can be asked for at once; none is live when the messages were purged, or the queue deleted and made anew."""
        await self.put(*numbered(1000))
        many = [one.claim_id or "" for one in await self.storage.claims.create_each("p", "q", 60, 60, 1000)]
        self.assertEqual(await self.live(*many), many)
        await self.storage.queues.purge("p", "q")
        self.assertEqual(await self.live(*many), [])
        await self.put(b"1")
        claim = await self.claim()
        await self.storage.queues.delete("p", "q")
        await self.put(b"1")
        self.assertEqual(await self.live(claim.id), [])

    # -- create ------------------------------------------------------------------------------------------------------

    async def test_claim(self) -> None:
        """A claim has an id, its ttl, no age, and the messages as they are now, each with the id of the claim."""
        ids = await self.put(b"1", b"2", ttl_s=600)
        self.clock.advance(5)
        claim = await self.claim(ttl_s=90, grace_s=60)
        self.assertEqual(
            claim,
            Claim(
                claim.id,
                ttl_s=90,
                age_s=0,
                messages=[Message(ids[0], b"1", 600, 5, claim.id, 0), Message(ids[1], b"2", 600, 5, claim.id, 0)],
            ),
        )

    async def shown(self, ids: Sequence[str]) -> list[str | None]:
        """The claims that messages are shown with: one by one, together and in a listing, which all show the same."""
        alone = [(await self.one(message_id)).claim_id for message_id in reversed(ids)][::-1]
        together = await self.storage.messages.get("p", "q", ids)
        page = await self.page()
        self.assertEqual([message.claim_id for message in together], alone)
        self.assertEqual([message.claim_id for message in page.messages], alone)
        return alone

    async def test_shown_with_their_claims(self) -> None:
        """Each message of a claim is shown with it, and no other, while parts of claims are deleted, claims renewed, and the rest ends."""
        ids = await self.put(*numbered(12))
        a, b = (await self.claim(4)).id, (await self.claim(3)).id
        self.assertEqual(await self.shown(ids), [a] * 4 + [b] * 3 + [None] * 5)
        await self.drop(ids[2], a)
        await self.drop(ids[11])
        left = ids[:2] + ids[3:11]
        self.assertEqual(await self.shown(left), [a] * 3 + [b] * 3 + [None] * 4)
        self.assertEqual(await self.counts(), (4, 6))
        self.assertTrue(await self.storage.claims.update("p", "q", b, 120, 60))
        self.assertEqual(await self.shown(left), [a] * 3 + [b] * 3 + [None] * 4)
        c = (await self.claim(3)).id
        self.clock.advance(60)
        self.assertEqual(await self.shown(left), [None] * 3 + [b] * 3 + [None] * 4)
        self.assertEqual(await self.counts(), (7, 3))
        await self.storage.claims.release("p", "q", b)
        self.assertEqual(await self.shown(left), [None] * 10)
        for claim_id in (a, b, c):
            self.assertIsNone(await self.storage.claims.get("p", "q", claim_id))

    async def test_each_in_a_claim_of_its_own(self) -> None:
        """Messages can be claimed in one step each in a claim of its own, of which each is as any other."""
        ids = await self.put(*numbered(4), ttl_s=600)
        self.clock.advance(5)
        taken = await self.storage.claims.create_each("p", "q", 90, 60, 3)
        claims = [one.claim_id or "" for one in taken]
        self.assertEqual(taken, [Message(ids[n], numbered(4)[n], 600, 5, claims[n], 0) for n in range(3)])
        self.assertEqual(len(set(claims)), 3)
        self.assertEqual(await self.counts(), (1, 3))
        await self.storage.claims.release("p", "q", claims[1])
        self.assertEqual(await self.claimed_bodies(1), numbered(1, 1))
        await self.drop(ids[0], claims[0])
        await self.refused(ClaimMismatch, ids[2], claims[0])
        self.assertIsNone(await self.storage.claims.get("p", "q", claims[0]))
        self.clock.advance(80)
        self.assertTrue(await self.storage.claims.update("p", "q", claims[2], 90, 60))
        self.clock.advance(80)
        found = await self.storage.claims.get("p", "q", claims[2])
        assert found is not None
        self.assertEqual((found.ttl_s, found.age_s, bodies(found.messages)), (90, 80, numbered(1, 2)))
        self.clock.advance(10)
        self.assertEqual(await self.claimed_bodies(10), numbered(3, 1))

    async def test_each_of_none(self) -> None:
        """Where nothing is deliverable, there are no claims."""
        self.assertEqual(await self.storage.claims.create_each("p", "q", 60, 60, 5), [])
        await self.put(b"1")
        await self.claim(1)
        self.assertEqual(await self.storage.claims.create_each("p", "q", 60, 60, 5), [])

    async def test_each_counts(self) -> None:
        """It counts as any claim, for dead letters too; hundreds can be claimed."""
        await self.make("q", dead_letter_queue="dead", claim_count_max=1)
        await self.put(*numbered(400))
        taken = await self.storage.claims.create_each("p", "q", 60, 60, 400)
        self.assertEqual({one.claim_count for one in taken}, {1})
        self.assertEqual(len({one.claim_id for one in taken}), 400)
        self.clock.advance(60)
        while await self.storage.claims.create_each("p", "q", 60, 60, 400):
            pass
        self.assertEqual((await self.counts("dead")), (400, 0))

    async def test_ids_of_claims_are_for_urls(self) -> None:
        """Claim ids are of letters, digits, ``_`` and ``-`` (API reference, "Names")."""
        await self.put(b"1")
        self.assertTrue(re.fullmatch("[A-Za-z0-9_-]+", (await self.claim()).id))

    async def test_claims_have_different_ids(self) -> None:
        """No two claims have the same id, whichever queue they are of."""
        await self.put(*numbered(10))
        await self.put(*numbered(10), queue="other")
        ids = [(await self.claim(1, queue=queue)).id for queue in ("q", "other") for _ in range(10)]
        self.assertEqual(len(set(ids)), 20)

    async def test_claim_takes_the_oldest(self) -> None:
        """A claim takes the oldest free messages, and the next one those that follow."""
        await self.put(*numbered(5))
        self.assertEqual(await self.claimed_bodies(2), numbered(2))
        self.assertEqual(await self.claimed_bodies(2), numbered(2, 2))
        self.assertEqual(await self.claimed_bodies(2), numbered(1, 4))
        self.assertEqual(await self.claimed_bodies(2), [])

    async def test_claim_of_missing_queue(self) -> None:
        """A queue that does not exist has nothing to claim."""
        self.assertIsNone(await self.storage.claims.create("p", "q", 60, 60, 10))

    async def test_claim_of_empty_queue(self) -> None:
        """An empty queue has nothing to claim."""
        await self.make()
        self.assertIsNone(await self.storage.claims.create("p", "q", 60, 60, 10))

    async def test_claim_takes_own_messages(self) -> None:
        """A claim takes messages whoever posted them."""
        await self.put(b"1", client=CLIENT)
        await self.put(b"2", client=OTHER_CLIENT)
        self.assertEqual(await self.claimed_bodies(), [b"1", b"2"])

    async def test_claim_leaves_delayed(self) -> None:
        """A claim takes nothing before it is due."""
        await self.make(message_delay_s=60)
        await self.put(b"1")
        await self.put(b"2", delay_s=0)
        await self.put(b"3")
        self.assertEqual(await self.claimed_bodies(), [b"2"])

    async def test_claims_never_share_messages(self) -> None:
        """600 messages are handed out once each while their claims live."""
        await self.put(*numbered(600))
        seen: list[bytes] = []
        while some := await self.claimed_bodies(20):
            seen += some
        self.assertEqual(seen, numbered(600))
        self.assertEqual(await self.counts(), (0, 600))

    async def test_claim_does_not_change_plain_counts(self) -> None:
        """In a queue without dead letters claims are not counted."""
        await self.make(claim_count_max=1)
        await self.make("half", dead_letter_queue="dead")
        for queue in ("q", "half"):
            await self.put(b"1", queue=queue)
            for _ in range(4):
                claim = await self.claim(queue=queue)
                self.assertEqual(claim.messages[0].claim_count, 0)
                await self.release(claim, queue=queue)

    # -- what a claim does to ttls -----------------------------------------------------------------------------------

    async def test_claim_extends_what_would_expire_before(self) -> None:
        """A message that would expire before the claim gets the claim's ttl and grace, and lives that long."""
        (message_id,) = await self.put(b"1", ttl_s=60)
        self.clock.advance(10)
        claim = await self.claim(ttl_s=100, grace_s=70)
        self.assertEqual(claim.messages[0].ttl_s, 170)
        self.assertEqual(await self.ttl_and_left(message_id), (170, 170))

    async def test_claim_keeps_age(self) -> None:
        """Extending a message does not change its age."""
        await self.put(b"1", ttl_s=60)
        self.clock.advance(50)
        claim = await self.claim(ttl_s=100, grace_s=70)
        self.assertEqual(claim.messages[0].age_s, 50)
        self.clock.advance(90)
        self.assertEqual((await self.page()).messages[0].age_s, 140)

    async def test_claim_leaves_what_lives_longer(self) -> None:
        """A message that outlives the claim keeps its ttl."""
        (message_id,) = await self.put(b"1", ttl_s=101)
        await self.claim(ttl_s=100, grace_s=60)
        self.assertEqual(await self.ttl_and_left(message_id), (101, 101))

    async def test_claim_leaves_what_expires_with_it(self) -> None:
        """A message that expires in the instant in which a new claim lapses keeps its ttl."""
        (message_id,) = await self.put(b"1", ttl_s=100)
        await self.claim(ttl_s=100, grace_s=60)
        self.assertEqual(await self.ttl_and_left(message_id), (100, 100))

    async def test_claim_judges_each_message(self) -> None:
        """Of the messages of one claim only those that need it are extended."""
        await self.put(b"1", ttl_s=600)
        await self.put(b"2", ttl_s=60)
        await self.put(b"3", ttl_s=90)
        claim = await self.claim(ttl_s=90, grace_s=60)
        self.assertEqual([m.ttl_s for m in claim.messages], [600, 150, 90])

    async def test_extension_stays_after_release(self) -> None:
        """A message keeps the ttl that a claim gave it."""
        (message_id,) = await self.put(b"1", ttl_s=60)
        await self.release(await self.claim(ttl_s=100, grace_s=60))
        self.assertEqual(await self.ttl_and_left(message_id), (160, 160))

    async def test_extended_by_a_second_claim(self) -> None:
        """A later claim extends again."""
        (message_id,) = await self.put(b"1", ttl_s=60)
        await self.claim(ttl_s=100, grace_s=60)
        self.clock.advance(100)
        await self.claim(ttl_s=300, grace_s=90)
        self.assertEqual(await self.ttl_and_left(message_id), (390, 390))

    async def test_message_lives_on_after_lapse_by_grace(self) -> None:
        """When a claim lapses, an extended message is free for the time of the grace."""
        await self.put(b"1", ttl_s=60)
        await self.claim(ttl_s=100, grace_s=60)
        self.clock.advance(159)
        self.assertEqual(await self.counts(), (1, 0))
        self.clock.advance(1)
        self.assertEqual(await self.counts(), (0, 0))

    # -- get ---------------------------------------------------------------------------------------------------------

    async def test_get_claim(self) -> None:
        """A claim shows its messages, its ttl and its age in whole seconds."""
        ids = await self.put(b"1", b"2", ttl_s=600)
        claim = await self.claim(ttl_s=90)
        self.clock.advance(7.75)
        self.assertEqual(
            await self.storage.claims.get("p", "q", claim.id),
            Claim(
                claim.id,
                ttl_s=90,
                age_s=7,
                messages=[Message(ids[0], b"1", 600, 7, claim.id, 0), Message(ids[1], b"2", 600, 7, claim.id, 0)],
            ),
        )

    async def test_get_claim_in_queue_order(self) -> None:
        """The messages of a claim are in queue order, also where they became free in another."""
        for n in range(40):
            await self.put(*numbered(1, n))
            self.clock.advance(1)
        first, second = await self.claim(20), await self.claim(20)
        await self.release(second)
        await self.release(first)
        claim = await self.claim(40)
        self.assertEqual(await self.held(claim), numbered(40))

    async def test_get_claim_of_other_ids(self) -> None:
        """A text that is no claim is the id of nothing."""
        (message_id,) = await self.put(b"1")
        claim = await self.claim()
        for text in (*NO_IDS, "0" * 24, message_id, claim.id + "\n", claim.id[:-1]):
            self.assertIsNone(await self.storage.claims.get("p", "q", text), repr(text))
            self.assertIs(await self.storage.claims.update("p", "q", text, 600, 60), False, repr(text))
            await self.storage.claims.release("p", "q", text)
        self.assertEqual(await self.held(claim), [b"1"])

    async def test_claim_of_missing_queue_does_not_exist(self) -> None:
        """In a queue that does not exist there is no claim to get, renew or release."""
        self.assertIsNone(await self.storage.claims.get("p", "q", "0" * 24))
        self.assertIs(await self.storage.claims.update("p", "q", "0" * 24, 60, 60), False)
        await self.storage.claims.release("p", "q", "0" * 24)

    async def test_claim_of_another_queue_or_project(self) -> None:
        """A claim is nothing to another queue or project, to get, renew and release."""
        await self.put(b"1")
        await self.put(b"2", queue="other")
        await self.put(b"3", project="other")
        claim = await self.claim(ttl_s=60)
        for project, queue in (("p", "other"), ("other", "q")):
            self.assertIsNone(await self.storage.claims.get(project, queue, claim.id))
            self.assertIs(await self.storage.claims.update(project, queue, claim.id, 600, 60), False)
            await self.storage.claims.release(project, queue, claim.id)
        self.assertEqual(await self.held(claim), [b"1"])
        self.clock.advance(60)
        self.assertIsNone(await self.held(claim))

    async def test_get_lapsed_claim(self) -> None:
        """A claim is gone from the instant in which it lapses."""
        await self.put(b"1")
        claim = await self.claim(ttl_s=60)
        self.clock.advance(59.75)
        self.assertEqual(await self.held(claim), [b"1"])
        self.clock.advance(0.25)
        self.assertIsNone(await self.held(claim))

    async def test_emptied_claim_has_ended(self) -> None:
        """A claim whose messages are all deleted has ended, to whoever gets, renews or uses it."""
        ids = await self.put(b"1", b"2")
        claim = await self.claim(1, ttl_s=60)
        await self.claim(1, ttl_s=600)
        await self.drop(ids[0], claim.id)
        self.assertIsNone(await self.held(claim))
        self.assertIs(await self.renew(claim, ttl_s=60), False)
        await self.refused(ClaimMismatch, ids[1], claim.id)

    async def test_emptied_claim_can_be_released(self) -> None:
        """Releasing a claim that has ended with its last message is no error."""
        (message_id,) = await self.put(b"1")
        claim = await self.claim()
        await self.drop(message_id, claim.id)
        await self.release(claim)
        self.assertIs(await self.renew(claim), False)

    async def test_messages_deleted_without_claim_leave_it(self) -> None:
        """A message deleted in bulk leaves its claim."""
        ids = await self.put(*numbered(3))
        claim = await self.claim()
        await self.storage.messages.delete_many("p", "q", [ids[1]], None)
        self.assertEqual(await self.held(claim), [b'{"n": 0}', b'{"n": 2}'])

    async def test_claims_deleted_in_any_order(self) -> None:
        """Who deletes in bulk all that a claim holds deletes nothing else: whichever claims went before, with what is left of one
        of which a message is gone, and with all of them at once."""
        for number, order in enumerate([*permutations(range(3)), (0, 1, 2)]):
            for is_gone, at_once in product((False, True), (False, True)):
                queue = f"q{number}-{is_gone:d}{at_once:d}"
                ids = await self.put(*numbered(35), queue=queue)
                claims = [await self.claim(10, queue=queue) for _ in range(3)]
                held = [[message.id for message in claim.messages] for claim in claims]
                if is_gone:
                    await self.drop(held[1].pop(4), claims[1].id, queue=queue)
                    ids.remove(claims[1].messages[4].id)
                deleting = []
                for which in order:
                    deleting.append(Deferred.fromCoroutine(self.storage.messages.delete_many("p", queue, held[which], None)))
                    if at_once:
                        continue
                    await deleting[-1]
                    ids = [one for one in ids if one not in held[which]]
                    self.assertEqual([message.id for message in await self.storage.messages.get("p", queue, ids)], ids)
                    self.assertIsNone(await self.held(claims[which], queue=queue))
                    self.assertEqual(await self.counts(queue), (5, len(ids) - 5))
                await gatherResults(deleting)
                self.assertEqual(await self.listed(queue=queue), numbered(5, 30))
                self.assertEqual(await self.claimed_bodies(queue=queue), numbered(5, 30))

    async def test_part_of_a_claim_deleted_in_bulk(self) -> None:
        """Where messages before those of a claim are free, or are held by another one, these stay when it is emptied."""
        for is_free in (False, True):
            queue = f"q{is_free:d}"
            ids = await self.put(*numbered(25), queue=queue)
            first, second = await self.claim(10, queue=queue), await self.claim(10, queue=queue)
            await self.storage.messages.delete_many("p", queue, ids[:9], None)
            self.assertEqual(await self.held(first, queue=queue), numbered(1, 9))
            if is_free:
                await self.release(first, queue=queue)
            await self.storage.messages.delete_many("p", queue, ids[10:20], None)
            self.assertIsNone(await self.held(second, queue=queue))
            self.assertEqual(await self.listed(queue=queue), numbered(1, 9) + numbered(5, 20))

    async def test_part_of_a_claim_deleted_after_the_clock_was_set_back(self) -> None:
        """Of a claim whose messages were given back in part when the clock was set back, the others stay where some are deleted."""
        ids = [one for start in range(0, 1200, 300) for one in await self.put(*numbered(300, start))]
        for limit in (500, 495, 20):
            await self.claim(limit)
        self.clock.advance(60)
        await self.stats()
        self.clock.advance(-10)
        for limit in (500, 500):
            claim = await self.storage.claims.create("p", "q", 60, 60, limit)
            gone = [message.id for message in claim.messages] if claim is not None else []
            await self.storage.messages.delete_many("p", "q", gone, None)
            ids = [one for one in ids if one not in {*gone}]
        await self.storage.messages.delete_many("p", "q", ids[:16:2], None)
        left = ids[1:16:2] + ids[16:]
        self.assertEqual([message.id for message in await self.storage.messages.get("p", "q", left)], left)

    # -- update ------------------------------------------------------------------------------------------------------

    async def test_renewed_claim_lasts_from_now(self) -> None:
        """A renewed claim lapses its new ttl after the renewal."""
        await self.put(b"1")
        claim = await self.claim(ttl_s=60)
        self.clock.advance(59.75)
        self.assertIs(await self.renew(claim, ttl_s=100), True)
        self.clock.advance(99.75)
        self.assertEqual(await self.claimed_bodies(), [])
        self.assertEqual(await self.held(claim), [b"1"])
        self.clock.advance(0.25)
        self.assertIsNone(await self.held(claim))
        self.assertEqual(await self.claimed_bodies(), [b"1"])

    async def test_renewed_claim_may_end_earlier(self) -> None:
        """A renewal can shorten a claim."""
        await self.put(b"1")
        claim = await self.claim(ttl_s=600)
        await self.renew(claim, ttl_s=60)
        self.clock.advance(60)
        self.assertIsNone(await self.held(claim))
        self.assertEqual(await self.counts(), (1, 0))

    async def test_renewed_claim_shows_ttl_and_age(self) -> None:
        """A renewed claim has the new ttl, and its age starts at 0; the messages keep theirs."""
        await self.put(b"1")
        claim = await self.claim(ttl_s=60)
        self.clock.advance(30)
        await self.renew(claim, ttl_s=100)
        renewed = await self.storage.claims.get("p", "q", claim.id)
        assert renewed is not None
        self.assertEqual((renewed.ttl_s, renewed.age_s, renewed.messages[0].age_s), (100, 0, 30))
        self.clock.advance(5.75)
        renewed = await self.storage.claims.get("p", "q", claim.id)
        assert renewed is not None
        self.assertEqual((renewed.ttl_s, renewed.age_s, renewed.messages[0].age_s), (100, 5, 35))

    async def test_renewal_extends_messages(self) -> None:
        """A renewal extends the messages that would expire before the claim."""
        (message_id,) = await self.put(b"1", ttl_s=100)
        claim = await self.claim(ttl_s=60)
        self.clock.advance(50)
        await self.renew(claim, ttl_s=80, grace_s=70)
        self.assertEqual(await self.ttl_and_left(message_id), (150, 150))

    async def test_renewal_extends_what_expires_with_it(self) -> None:
        """Unlike a new claim, a renewal extends a message that expires in the instant in which it lapses."""
        (message_id,) = await self.put(b"1", ttl_s=100)
        claim = await self.claim(ttl_s=100, grace_s=60)
        await self.renew(claim, ttl_s=100, grace_s=60)
        self.assertEqual(await self.ttl_and_left(message_id), (160, 160))

    async def test_renewal_leaves_what_lives_longer(self) -> None:
        """A renewal leaves a message that outlives the claim."""
        (message_id,) = await self.put(b"1", ttl_s=101)
        claim = await self.claim(ttl_s=60, grace_s=60)
        await self.renew(claim, ttl_s=100, grace_s=60)
        self.assertEqual(await self.ttl_and_left(message_id), (101, 101))

    async def test_renewal_leaves_other_messages(self) -> None:
        """A renewal touches no message that was deleted from the claim or is under another."""
        ids = await self.put(*numbered(3), ttl_s=100)
        claim = await self.claim(2, ttl_s=60)
        await self.claim(1, ttl_s=60)
        await self.drop(ids[0], claim.id)
        await self.renew(claim, ttl_s=600)
        self.clock.advance(100)
        self.assertEqual(await self.got(*ids), [b'{"n": 1}'])

    async def test_renewal_of_lapsed_claim(self) -> None:
        """A claim cannot be renewed from the instant in which it lapses."""
        await self.put(b"1")
        claim = await self.claim(ttl_s=60)
        self.clock.advance(60)
        self.assertIs(await self.renew(claim), False)
        self.assertEqual(await self.counts(), (1, 0))

    async def test_renewal_of_released_claim(self) -> None:
        """A released claim cannot be renewed."""
        await self.put(b"1")
        claim = await self.claim()
        await self.release(claim)
        self.assertIs(await self.renew(claim), False)
        self.assertEqual(await self.counts(), (1, 0))

    async def test_renewal_does_not_count(self) -> None:
        """A renewal hands nothing out: the count of claims stays."""
        await self.make(claim_count_max=2, dead_letter_queue="dead")
        await self.put(b"1")
        claim = await self.claim()
        for _ in range(5):
            await self.renew(claim)
        renewed = await self.storage.claims.get("p", "q", claim.id)
        assert renewed is not None
        self.assertEqual(renewed.messages[0].claim_count, 1)

    # -- release and lapse -------------------------------------------------------------------------------------------

    async def test_released_claim_is_gone(self) -> None:
        """A released claim does not exist, and releasing it again is no error."""
        await self.put(b"1")
        claim = await self.claim()
        await self.release(claim)
        self.assertIsNone(await self.held(claim))
        await self.release(claim)

    async def test_released_messages_are_free_at_their_place(self) -> None:
        """Released messages are taken by the next claim before what was posted later."""
        await self.put(*numbered(6))
        first = await self.claim(2)
        await self.claim(2)
        await self.release(first)
        self.assertEqual(await self.claimed_bodies(3), [b'{"n": 0}', b'{"n": 1}', b'{"n": 4}'])

    async def test_release_leaves_other_claims(self) -> None:
        """Releasing a claim touches no other."""
        await self.put(*numbered(4))
        first, second = await self.claim(2), await self.claim(2)
        await self.release(first)
        self.assertEqual(await self.held(second), numbered(2, 2))

    async def test_late_release_leaves_new_claim(self) -> None:
        """Releasing a lapsed claim does not free messages that another claim has taken since."""
        await self.put(b"1")
        lapsed = await self.claim(ttl_s=60)
        self.clock.advance(60)
        claim = await self.claim()
        await self.release(lapsed)
        self.assertEqual(await self.held(claim), [b"1"])

    async def test_release_without_deleted(self) -> None:
        """A release does not bring back what was deleted from the claim."""
        ids = await self.put(*numbered(3))
        claim = await self.claim()
        await self.drop(ids[1], claim.id)
        await self.release(claim)
        self.assertEqual(await self.listed(include_claimed=False), [b'{"n": 0}', b'{"n": 2}'])
        self.assertEqual(await self.counts(), (2, 0))

    async def test_lapsed_messages_are_free_at_their_place(self) -> None:
        """Messages of a lapsed claim are taken before what was posted later."""
        await self.put(*numbered(4))
        await self.claim(2, ttl_s=60)
        await self.claim(1, ttl_s=120)
        self.clock.advance(60)
        self.assertEqual(await self.claimed_bodies(), [b'{"n": 0}', b'{"n": 1}', b'{"n": 3}'])

    async def test_message_expires_in_claim_end(self) -> None:
        """A message that expires in the instant in which its claim lapses is not free then."""
        await self.put(b"1", ttl_s=100)
        await self.claim(ttl_s=100)
        self.clock.advance(100)
        self.assertEqual(await self.claimed_bodies(), [])
        self.assertEqual(await self.counts(), (0, 0))

    async def test_2500_lapse_at_once(self) -> None:
        """When 2,500 claimed messages lapse in one instant, all are free, in order."""
        await self.put(*numbered(2600))
        for _ in range(125):
            await self.claim(20, ttl_s=60)
        self.assertEqual(await self.counts(), (100, 2500))
        self.clock.advance(60)
        self.assertEqual(await self.counts(), (2600, 0))
        self.assertEqual(await self.claimed_bodies(20), numbered(20))
        seen: list[bytes] = []
        while some := await self.popped(20):
            seen += some
        self.assertEqual(seen, numbered(2580, 20))

    async def test_2500_lapse_and_the_first_touch_is_a_claim(self) -> None:
        """A claim right after 2,500 messages lapsed gets the oldest, not those that were free before."""
        await self.put(*numbered(2600))
        for _ in range(125):
            await self.claim(20, ttl_s=60)
        self.clock.advance(60)
        self.assertEqual(await self.claimed_bodies(20), numbered(20))

    async def test_2500_lapse_and_the_first_touch_is_a_listing(self) -> None:
        """A listing right after 2,500 messages lapsed begins with the oldest and finds all."""
        await self.put(*numbered(2600))
        for _ in range(125):
            await self.claim(20, ttl_s=60)
        self.clock.advance(60)
        seen: list[bytes] = []
        page = await self.page(include_claimed=False)
        while page.messages:
            seen += bodies(page.messages)
            self.assertEqual({m.claim_id for m in page.messages}, {None})
            page = await self.page(include_claimed=False, marker=page.marker)
        self.assertEqual(seen, numbered(2600))

    async def test_deletes_among_2500_lapsed(self) -> None:
        """Messages deleted here and there among 2,500 that lapsed are gone, and no others."""
        ids = await self.put(*numbered(2600))
        for _ in range(125):
            await self.claim(20, ttl_s=60)
        self.clock.advance(60)
        await self.storage.messages.delete_many("p", "q", ids[::4][::-1], None)
        left = [text for n, text in enumerate(numbered(2600)) if n % 4]
        self.assertEqual(await self.counts(), (len(left), 0))
        seen: list[bytes] = []
        while some := await self.popped(20):
            seen += some
        self.assertEqual(seen, left)

    async def test_counted_after_4000_lapsed(self) -> None:
        """Messages of large claims that lapsed are counted as free, and where they have expired with these they are not counted."""
        for queue, ttl_s, left in (("long", 3600, 4000), ("short", 60, 0)):
            for _ in range(8):
                await self.put(*numbered(500), queue=queue, ttl_s=ttl_s)
                await self.claim(500, queue=queue, ttl_s=60)
            self.assertEqual(await self.counts(queue), (0, 4000))
            self.clock.advance(60)
            volume = await self.storage.volume()
            self.assertEqual((volume.free, volume.claimed), (left, 0))
            self.assertEqual(await self.counts(queue), (left, 0))
            await self.storage.queues.delete("p", queue)

    async def test_claims_lapse_each_at_its_time(self) -> None:
        """Of several claims each lapses by its own ttl, whatever the order of creation."""
        await self.put(*numbered(4))
        for ttl_s in (240, 60, 180, 120):
            await self.claim(1, ttl_s=ttl_s)
        free = []
        for _ in range(4):
            self.clock.advance(60)
            free.append((await self.counts())[0])
        self.assertEqual(free, [1, 2, 3, 4])

    async def test_delayed_claimed_and_freed(self) -> None:
        """Messages that become due, are claimed, lapse and are released stand in the order of their posts."""
        await self.make(message_delay_s=60)
        await self.put(b"a", delay_s=90)
        await self.put(b"b", delay_s=0)
        await self.put(b"c", delay_s=30)
        await self.put(b"d", delay_s=0)
        first = await self.claim(1, ttl_s=60)
        self.assertEqual(bodies(first.messages), [b"b"])
        self.clock.advance(30)
        second = await self.claim(1, ttl_s=600)
        self.assertEqual(bodies(second.messages), [b"c"])
        self.clock.advance(30)
        self.assertEqual(await self.listed(include_claimed=False, include_delayed=False), [b"b", b"d"])
        self.clock.advance(30)
        self.assertEqual(await self.listed(include_claimed=False, include_delayed=False), [b"a", b"b", b"d"])
        third = await self.claim(2, ttl_s=60)
        self.assertEqual(bodies(third.messages), [b"a", b"b"])
        await self.release(second)
        self.assertEqual(await self.claimed_bodies(), [b"c", b"d"])
        await self.release(third)
        self.assertEqual(await self.popped(), [b"a", b"b"])
        self.assertEqual(await self.counts(), (0, 2))

    # -- dead letters ------------------------------------------------------------------------------------------------

    async def spend(self, times: int, *, queue: str = "q", limit: int = 20) -> None:
        """Claim and release so many times."""
        for _ in range(times):
            await self.release(await self.claim(limit, queue=queue), queue=queue)

    async def test_claims_are_counted(self) -> None:
        """In a queue with dead letters each claim counts, and the count is shown everywhere."""
        await self.make(claim_count_max=3, dead_letter_queue="dead")
        (message_id,) = await self.put(b"1")
        claim = await self.claim()
        self.assertEqual(claim.messages[0].claim_count, 1)
        await self.release(claim)
        claim = await self.claim(ttl_s=60)
        self.assertEqual(claim.messages[0].claim_count, 2)
        again = await self.storage.claims.get("p", "q", claim.id)
        assert again is not None
        self.assertEqual(again.messages[0].claim_count, 2)
        self.clock.advance(60)
        self.assertEqual((await self.one(message_id)).claim_count, 2)
        self.assertEqual((await self.page()).messages[0].claim_count, 2)
        self.assertEqual([m.claim_count for m in await self.storage.messages.pop("p", "q", 1)], [2])

    async def test_message_moves_after_its_claims(self) -> None:
        """With two claims allowed, the third attempt gets nothing and moves the message."""
        await self.make(claim_count_max=2, dead_letter_queue="dead")
        await self.make("dead")
        (message_id,) = await self.put(b"1")
        await self.spend(2)
        self.assertEqual(await self.listed(queue="dead"), [])
        self.assertIsNone(await self.storage.claims.create("p", "q", 60, 60, 10))
        self.assertEqual(await self.counts(), (0, 0))
        self.assertEqual(await self.got(message_id), [])
        self.assertEqual(await self.listed(queue="dead"), [b"1"])

    async def test_dead_letter_says_why(self) -> None:
        """A message that was moved says where it comes from and why, in listings and by its id; others say nothing."""
        await self.make(claim_count_max=1, dead_letter_queue="dead")
        (message_id,) = await self.put(b"1")
        self.assertIsNone((await self.one(message_id)).dead)
        await self.spend(1)
        self.assertIsNone(await self.storage.claims.create("p", "q", 60, 60, 10))
        why = DeadLetter("q", CLAIMED_TOO_OFTEN, int(self.clock.seconds() * 1000))
        (found,) = await self.storage.messages.get("p", "dead", [message_id])
        (listed,) = (await self.page(queue="dead")).messages
        claim = await self.claim(queue="dead")
        self.assertEqual([m.dead for m in (found, listed, *claim.messages)], [why] * 3)

    async def test_lapsed_claims_count_too(self) -> None:
        """A lapse does not reset the count."""
        await self.make(claim_count_max=2, dead_letter_queue="dead")
        await self.put(b"1")
        for _ in range(2):
            await self.claim(ttl_s=60)
            self.clock.advance(60)
        self.assertEqual(await self.claimed_bodies(), [])
        self.assertEqual(await self.listed(queue="dead"), [b"1"])

    async def test_moved_message_keeps_what_it_is(self) -> None:
        """A moved message keeps its id, body, ttl, age and count, and is not claimed."""
        await self.make(claim_count_max=2, dead_letter_queue="dead")
        (message_id,) = await self.put(b'{"a": 1}', ttl_s=600)
        await self.spend(2)
        self.clock.advance(5)
        await self.claimed_bodies()
        why = DeadLetter("q", CLAIMED_TOO_OFTEN, int(self.clock.seconds() * 1000))
        moved = Message(message_id, b'{"a": 1}', ttl_s=600, age_s=5, claim_id=None, claim_count=2, dead=why)
        self.assertEqual((await self.page(queue="dead")).messages, [moved])
        self.assertEqual(await self.storage.messages.get("p", "dead", [message_id]), [moved])
        self.clock.advance(595)
        self.assertEqual(await self.counts("dead"), (0, 0))

    async def test_moved_message_gets_new_ttl(self) -> None:
        """With a ttl for dead letters a moved message gets it, counted from the move."""
        await self.make(claim_count_max=1, dead_letter_queue="dead", dead_letter_ttl_s=90)
        (message_id,) = await self.put(b"1", ttl_s=600)
        await self.spend(1)
        self.clock.advance(50)
        await self.claimed_bodies()
        self.assertEqual((await self.one(message_id, queue="dead")).ttl_s, 90)
        self.assertEqual((await self.one(message_id, queue="dead")).age_s, 50)
        self.clock.advance(89.75)
        self.assertEqual(await self.counts("dead"), (1, 0))
        self.clock.advance(0.25)
        self.assertEqual(await self.counts("dead"), (0, 0))

    async def test_new_ttl_of_moved_message_may_be_longer(self) -> None:
        """A ttl for dead letters can lengthen a life."""
        await self.make(claim_count_max=1, dead_letter_queue="dead", dead_letter_ttl_s=900)
        await self.put(b"1", ttl_s=120)
        await self.spend(1)
        await self.claimed_bodies()
        self.clock.advance(899.75)
        self.assertEqual(await self.counts("dead"), (1, 0))
        self.assertEqual(await self.counts(), (0, 0))

    async def test_moved_message_keeps_extension(self) -> None:
        """Without a ttl for dead letters a message keeps the life that its claims gave it."""
        await self.make(claim_count_max=1, dead_letter_queue="dead")
        await self.put(b"1", ttl_s=60)
        await self.release(await self.claim(ttl_s=100, grace_s=60))
        await self.claimed_bodies()
        (moved,) = (await self.page(queue="dead")).messages
        self.assertEqual(moved.ttl_s, 160)
        self.clock.advance(159.75)
        self.assertEqual(await self.counts("dead"), (1, 0))
        self.clock.advance(0.25)
        self.assertEqual(await self.counts("dead"), (0, 0))

    async def test_dead_letter_queue_is_created(self) -> None:
        """A dead letter queue that is missing is created, with empty metadata, by the move and not before."""
        await self.make(claim_count_max=1, dead_letter_queue="dead")
        await self.put(b"1")
        await self.spend(1)
        self.assertIsNone(await self.storage.queues.get("p", "dead"))
        await self.claimed_bodies()
        self.assertEqual(await self.storage.queues.get("p", "dead"), b"{}")
        self.assertEqual(await self.storage.queues.count("p"), 2)
        self.assertEqual([entry.name for entry in await self.storage.queues.list("p", "", 10)], ["dead", "q"])

    async def test_dead_letter_queue_keeps_its_metadata(self) -> None:
        """A move into a queue that exists leaves its metadata."""
        await self.make(claim_count_max=1, dead_letter_queue="dead")
        await self.make("dead")
        await self.put(b"1")
        await self.spend(1)
        await self.claimed_bodies()
        self.assertEqual(await self.storage.queues.get("p", "dead"), b'{"made": true}')

    async def test_dead_letter_queue_is_of_the_same_project(self) -> None:
        """A message moves within its project."""
        await self.make(claim_count_max=1, dead_letter_queue="dead")
        await self.make("dead", project="other")
        await self.put(b"1")
        await self.spend(1)
        await self.claimed_bodies()
        self.assertEqual(await self.counts("dead", project="other"), (0, 0))
        self.assertEqual(await self.counts("dead"), (1, 0))

    async def test_moved_messages_go_to_the_end(self) -> None:
        """Moved messages stand behind what is in the target, in their old order, and before what comes later."""
        await self.make(claim_count_max=1, dead_letter_queue="dead")
        await self.put(*numbered(3))
        self.clock.advance(1)
        await self.put(b"before", queue="dead")
        await self.spend(1)
        await self.claimed_bodies()
        await self.put(b"after", queue="dead")
        self.assertEqual(await self.listed(queue="dead"), [b"before", *numbered(3), b"after"])
        self.assertEqual(await self.claimed_bodies(queue="dead"), [b"before", *numbered(3), b"after"])

    async def test_spent_messages_do_not_fill_a_claim(self) -> None:
        """Messages that move do not count for the limit of the claim: it is empty only where nothing is left."""
        await self.make(claim_count_max=1, dead_letter_queue="dead")
        await self.put(*numbered(3))
        await self.spend(1)
        await self.put(*numbered(3, 3))
        self.assertEqual(await self.claimed_bodies(2), numbered(2, 3))
        self.assertEqual(await self.listed(queue="dead"), numbered(3))

    async def test_claim_moves_only_what_it_comes_to(self) -> None:
        """A claim that is full leaves spent messages behind its last one where they are."""
        await self.make(claim_count_max=2, dead_letter_queue="dead")
        await self.put(*numbered(4))
        first = await self.claim(2)
        await self.spend(2)
        await self.release(first)
        self.assertEqual(await self.claimed_bodies(2), numbered(2))
        self.assertIsNone(await self.storage.queues.get("p", "dead"))
        self.assertEqual(await self.claimed_bodies(2), [])
        self.assertEqual(await self.listed(queue="dead"), numbered(2, 2))

    async def test_fresh_and_spent_messages_mixed(self) -> None:
        """Each message is judged by its own count."""
        await self.make(claim_count_max=1, dead_letter_queue="dead")
        ids = await self.put(*numbered(6))
        claims = [await self.claim(1) for _ in range(6)]
        for n in (0, 2, 4):
            await self.drop(ids[n], claims[n].id)
            await self.put(b"%d" % n)
        for n in (1, 3, 5):
            await self.release(claims[n])
        self.assertEqual(await self.claimed_bodies(), [b"0", b"2", b"4"])
        self.assertEqual(await self.listed(queue="dead"), [b'{"n": 1}', b'{"n": 3}', b'{"n": 5}'])

    async def test_zero_claims_allowed(self) -> None:
        """Where no claim, or less, is allowed, the first attempt moves the message."""
        for n, count_max in enumerate((0, -1)):
            await self.make(f"q{n}", claim_count_max=count_max, dead_letter_queue="dead")
            await self.put(b"%d" % n, queue=f"q{n}")
            self.assertEqual(await self.claimed_bodies(queue=f"q{n}"), [])
        self.assertEqual(await self.listed(queue="dead"), [b"0", b"1"])
        self.assertEqual([m.claim_count for m in (await self.page(queue="dead")).messages], [0, 0])

    async def test_500_move_at_once(self) -> None:
        """500 spent messages in front of a fresh one do not keep it from a claim."""
        await self.make(claim_count_max=1, dead_letter_queue="dead")
        await self.put(*numbered(500))
        for _ in range(25):
            await self.claim(20, ttl_s=60)
        await self.put(b"fresh")
        self.clock.advance(60)
        self.assertEqual(await self.claimed_bodies(1), [b"fresh"])
        self.assertEqual(await self.counts("dead"), (500, 0))
        self.assertEqual(await self.listed(queue="dead"), numbered(20))

    async def test_pop_moves_and_counts_nothing(self) -> None:
        """A pop takes a spent message like any other, and counts nothing."""
        await self.make(claim_count_max=1, dead_letter_queue="dead")
        await self.put(b"1")
        await self.spend(1)
        await self.put(b"2")
        popped = await self.storage.messages.pop("p", "q", 10)
        self.assertEqual([(m.body, m.claim_count, m.claim_id) for m in popped], [(b"1", 1, None), (b"2", 0, None)])
        self.assertIsNone(await self.storage.queues.get("p", "dead"))

    async def test_moved_message_is_free(self) -> None:
        """A moved message can be claimed, popped and deleted in its new queue at once."""
        await self.make(claim_count_max=1, dead_letter_queue="dead")
        ids = await self.put(*numbered(4))
        await self.spend(1)
        await self.claimed_bodies()
        self.assertEqual(await self.popped(1, queue="dead"), numbered(1))
        await self.drop(ids[1], queue="dead")
        await self.storage.messages.delete_many("p", "dead", [ids[2]], None)
        claim = await self.claim(queue="dead")
        self.assertEqual([m.id for m in claim.messages], [ids[3]])
        await self.drop(ids[3], claim.id, queue="dead")
        self.assertEqual(await self.counts("dead"), (0, 0))

    async def test_claim_over_moved_messages(self) -> None:
        """A claim in the target holds moved and own messages alike: shown, protected, released at their place."""
        await self.make(claim_count_max=1, dead_letter_queue="dead")
        (moved,) = await self.put(b"moved")
        await self.spend(1)
        await self.claimed_bodies()
        await self.put(b"own", queue="dead")
        claim = await self.claim(queue="dead", ttl_s=60)
        self.assertEqual(await self.held(claim, queue="dead"), [b"moved", b"own"])
        self.assertEqual((await self.one(moved, queue="dead")).claim_id, claim.id)
        with self.assertRaises(MessageClaimed):
            await self.drop(moved, queue="dead")
        await self.release(claim, queue="dead")
        self.assertEqual(await self.listed(queue="dead", include_claimed=False), [b"moved", b"own"])
        await self.claim(queue="dead", ttl_s=60)
        self.clock.advance(60)
        self.assertEqual(await self.popped(queue="dead"), [b"moved", b"own"])

    async def test_moved_message_ignores_delay_of_target(self) -> None:
        """A moved message is not delayed, though its new queue has a default delay."""
        await self.make(claim_count_max=1, dead_letter_queue="dead")
        await self.make("dead", message_delay_s=60)
        await self.put(b"1")
        await self.spend(1)
        await self.claimed_bodies()
        self.assertEqual(await self.claimed_bodies(queue="dead"), [b"1"])

    async def test_moved_message_keeps_its_poster(self) -> None:
        """A listing that leaves out a client's own messages leaves out those that were moved, too."""
        await self.make(claim_count_max=1, dead_letter_queue="dead")
        await self.put(b"1", client=CLIENT)
        await self.put(b"2", client=OTHER_CLIENT)
        await self.spend(1)
        await self.claimed_bodies()
        self.assertEqual(await self.listed(queue="dead", skip_client=CLIENT), [b"2"])

    async def moved_between(self) -> list[str]:
        """Fill ``dead`` with ``b"a"``, two moved messages that are older than it, and ``b"z"``; give the ids."""
        await self.make(claim_count_max=1, dead_letter_queue="dead")
        moved = await self.put(b"m1", b"m2")
        self.clock.advance(1)
        first = await self.put(b"a", queue="dead")
        self.clock.advance(1)
        await self.spend(1)
        await self.claimed_bodies()
        self.clock.advance(1)
        return first + moved + await self.put(b"z", queue="dead")

    async def test_marker_of_moved(self) -> None:
        """The id of a moved message marks its place in the queue that it was moved to."""
        a, m1, m2, z = await self.moved_between()
        self.assertEqual(await self.listed(queue="dead", marker=a), [b"m1", b"m2", b"z"])
        self.assertEqual(await self.listed(queue="dead", marker=m1), [b"m2", b"z"])
        self.assertEqual(await self.listed(queue="dead", marker=m2), [b"z"])
        self.assertEqual(await self.listed(queue="dead", marker=z), [])

    async def test_paging_over_moved(self) -> None:
        """Pages of one go over moved messages by each page's marker."""
        await self.moved_between()
        seen: list[bytes] = []
        page = await self.page(queue="dead", limit=1)
        while page.messages:
            seen += bodies(page.messages)
            page = await self.page(queue="dead", limit=1, marker=page.marker)
        self.assertEqual(seen, [b"a", b"m1", b"m2", b"z"])

    async def test_marker_of_moved_and_deleted(self) -> None:
        """The id of a moved message still marks its place when the message is deleted."""
        _, m1, _, _ = await self.moved_between()
        await self.drop(m1, queue="dead")
        self.assertEqual(await self.listed(queue="dead", marker=m1), [b"m2", b"z"])

    async def test_marker_of_moved_and_popped(self) -> None:
        """The id of a moved message still marks its place when the message is popped."""
        _, _, m2, _ = await self.moved_between()
        await self.popped(3, queue="dead")
        await self.put(b"zz", queue="dead")
        self.assertEqual(await self.listed(queue="dead", marker=m2), [b"z", b"zz"])

    async def test_marker_of_moved_in_its_old_queue(self) -> None:
        """The id of a message that was moved away still marks its old place."""
        await self.make(claim_count_max=1, dead_letter_queue="dead")
        ids = await self.put(*numbered(2))
        await self.spend(1)
        await self.claimed_bodies()
        await self.put(b"x")
        self.assertEqual(await self.listed(marker=ids[0]), [b"x"])

    async def test_edges_of_queue_with_moved(self) -> None:
        """A moved message can be an edge, by its place; its age counts from its post."""
        await self.make(claim_count_max=1, dead_letter_queue="dead")
        (moved,) = await self.put(b"m")
        self.clock.advance(10)
        (own,) = await self.put(b"o", queue="dead")
        await self.spend(1)
        await self.claimed_bodies()
        stats = await self.stats("dead")
        assert stats.oldest is not None and stats.newest is not None
        self.assertEqual((stats.oldest.id, stats.oldest.age_s), (own, 0))
        self.assertEqual((stats.newest.id, stats.newest.age_s), (moved, 10))
        self.assertEqual(stats.newest.created_ms, stats.oldest.created_ms - 10_000)

    async def test_counts_after_move(self) -> None:
        """A moved message counts once, as free, in its new queue."""
        await self.make(claim_count_max=1, dead_letter_queue="dead")
        await self.put(*numbered(3))
        await self.spend(1, limit=2)
        await self.claimed_bodies()
        self.assertEqual(await self.counts(), (0, 1))
        self.assertEqual(await self.counts("dead"), (2, 0))

    async def test_source_has_nothing_left_of_moved(self) -> None:
        """Purge, delete, lapse and expiry in the old queue do not touch a message that was moved away."""
        await self.make(claim_count_max=1, dead_letter_queue="dead", dead_letter_ttl_s=900)
        (message_id,) = await self.put(b"1", ttl_s=120)
        await self.claim(ttl_s=60)
        self.clock.advance(60)
        await self.claimed_bodies()
        await self.drop(message_id)
        await self.storage.messages.delete_many("p", "q", [message_id], None)
        await self.storage.queues.purge("p", "q")
        self.clock.advance(120)
        await self.storage.queues.delete("p", "q")
        self.assertEqual(await self.got(message_id, queue="dead"), [b"1"])

    async def test_moved_messages_go_with_their_new_queue(self) -> None:
        """Purging or deleting the dead letter queue removes what was moved there."""
        await self.make(claim_count_max=1, dead_letter_queue="dead")
        ids = await self.put(b"1", b"2")
        await self.spend(1)
        await self.claimed_bodies(1)
        await self.storage.queues.purge("p", "dead")
        self.assertEqual(await self.got(*ids, queue="dead"), [])
        self.assertEqual(await self.counts("dead"), (0, 0))
        await self.storage.queues.delete("p", "dead")
        await self.put(b"3", queue="dead")
        self.assertEqual(await self.got(*ids, queue="dead"), [])
        self.assertEqual(await self.listed(queue="dead"), [b"3"])

    async def test_chain_of_queues_is_gone_step_by_step(self) -> None:
        """A message moves one queue at a time: the next queue judges it at its own claims."""
        await self.make("one", claim_count_max=1, dead_letter_queue="two")
        await self.make("two", claim_count_max=1, dead_letter_queue="three")
        (message_id,) = await self.put(b"1", queue="one")
        await self.spend(1, queue="one")
        self.assertEqual(await self.claimed_bodies(queue="one"), [])
        self.assertEqual(await self.got(message_id, queue="two"), [b"1"])
        self.assertEqual(await self.claimed_bodies(queue="two"), [])
        self.assertEqual(await self.got(message_id, queue="two"), [])
        self.assertEqual(await self.got(message_id, queue="three"), [b"1"])

    async def test_ring_of_queues(self) -> None:
        """Two queues that are each other's dead letter queue pass a message on once for each claim, with its id."""
        await self.make("one", claim_count_max=1, dead_letter_queue="two")
        await self.make("two", claim_count_max=1, dead_letter_queue="one")
        (message_id,) = await self.put(b"1", queue="one")
        await self.spend(1, queue="one")
        for source, target in (("one", "two"), ("two", "one"), ("one", "two"), ("two", "one")):
            await self.claimed_bodies(queue=source)
            self.assertEqual(await self.got(message_id, queue=source), [])
            self.assertEqual(await self.got(message_id, queue=target), [b"1"])
            await self.put(b"x", queue=target)
            self.assertEqual(await self.listed(queue=target, marker=message_id), [b"x"])

    async def test_rules_that_change(self) -> None:
        """Counts made under earlier rules hold under later ones; without both rules nothing moves."""
        await self.make(claim_count_max=5, dead_letter_queue="dead")
        await self.put(b"1")
        await self.spend(3)
        await self.storage.queues.update("p", "q", b'{"made": true}', b"1", QueueRules(claim_count_max=1))
        await self.spend(3)
        await self.storage.queues.update(
            "p", "q", b"1", b"2", QueueRules(claim_count_max=4, dead_letter_queue="dead")
        )
        self.assertEqual((await self.claim(ttl_s=60)).messages[0].claim_count, 4)
        self.clock.advance(60)
        self.assertEqual(await self.claimed_bodies(), [])
        self.assertEqual(await self.counts("dead"), (1, 0))

    # -- what is read as it was posted -------------------------------------------------------------------------------

    async def test_claims_make_no_gap(self) -> None:
        """Claims, by whatever they end, change nothing of what was posted."""
        ids = await self.put(*numbered(3))
        claim = await self.claim(2)
        await self.check_whole(ids[0], numbered(2, 1))
        await self.storage.claims.update("p", "q", claim.id, 120, 60)
        await self.storage.claims.release("p", "q", claim.id)
        await self.claim(3)
        self.clock.advance(60)
        page = await self.check_whole(ids[0], numbered(2, 1))
        self.assertEqual([(one.message.claim_id, one.message.claim_count) for one in page.posted], [(None, 0)] * 2)

    async def test_ttl_as_posted(self) -> None:
        """What a claim adds to a ttl keeps a message, and is not shown."""
        ids = await self.put(*numbered(2), ttl_s=60)
        await self.claim(ttl_s=120)
        self.clock.advance(60)
        page = await self.check_whole(ids[0], numbered(1, 1))
        self.assertEqual(page.posted[0].message.ttl_s, 60)

    async def test_gap_by_delete_under_a_claim(self) -> None:
        """A message that is deleted under its claim before it was read makes a gap."""
        ids = await self.put(*numbered(3))
        claim = await self.claim(2)
        await self.drop(ids[1], claim.id)
        await self.check_gap(ids[0], numbered(1, 2))
        await self.check_whole(ids[1], numbered(1, 2))

    async def test_gap_by_dead_letter(self) -> None:
        """A message that is moved makes a gap where it was, and stands at the end of where it is, with its id as a marker."""
        await self.make(claim_count_max=1, dead_letter_queue="dead")
        ids = await self.put(*numbered(3))
        here = await self.put(b"0", queue="dead")
        before = await self.latest("dead")
        await self.claim(2)
        self.clock.advance(60)
        await self.claim(1)
        await self.check_gap(ids[0], numbered(1, 2))
        await self.check_whole(ids[1], numbered(1, 2))
        page = await self.read(before, queue="dead")
        self.assertEqual((bodies_of(page), page.gap), (numbered(2), False))
        self.assertEqual([one.message.id for one in page.posted], ids[:2])
        for marker, left in ((here[0], numbered(2)), (ids[0], numbered(1, 1)), (ids[1], []), (page.marker, [])):
            again = await self.read(marker, queue="dead")
            self.assertEqual((bodies_of(again), again.gap), (left, False))
        await self.drop(ids[1], queue="dead")
        again = await self.read(ids[0], queue="dead")
        self.assertEqual((bodies_of(again), again.gap), ([], True))

    # -- what becomes deliverable by itself --------------------------------------------------------------------------

    async def due_in(self, queue: str = "q") -> int | None:
        """After how many ms messages become deliverable."""
        return await self.storage.messages.due_in("p", queue)

    async def test_due_of_nothing(self) -> None:
        """Nothing becomes deliverable in a queue that is missing, or where all is or nothing is."""
        self.assertIsNone(await self.due_in())
        await self.put(b"1")
        self.assertIsNone(await self.due_in())
        await self.popped()
        self.assertIsNone(await self.due_in())

    async def test_due_of_claims(self) -> None:
        """The messages of the claim that lapses first become deliverable when it does, and not when it is renewed or released."""
        await self.put(*numbered(3))
        await self.claim(1, ttl_s=300)
        second = await self.claim(1, ttl_s=100)
        self.assertEqual(await self.due_in(), 100_000)
        self.clock.advance(40.25)
        self.assertEqual(await self.due_in(), 59_750)
        await self.storage.claims.update("p", "q", second.id, 120, 60)
        self.assertEqual(await self.due_in(), 120_000)
        await self.storage.claims.release("p", "q", second.id)
        self.assertEqual(await self.due_in(), 259_750)

    async def test_due_of_delays(self) -> None:
        """A delayed message becomes deliverable when its delay is over."""
        await self.make(message_delay_s=30)
        await self.put(b"1")
        await self.put(b"2", delay_s=20)
        self.assertEqual(await self.due_in(), 20_000)
        self.clock.advance(20)
        self.assertEqual(await self.popped(), [b"2"])
        self.assertEqual(await self.due_in(), 10_000)
        self.clock.advance(10)
        self.assertEqual(await self.popped(), [b"1"])
        self.assertIsNone(await self.due_in())
