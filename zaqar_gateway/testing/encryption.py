"""What every store has to do for encryption at rest: it keeps secrets, and knows which queues ask for it."""

from __future__ import annotations

from zaqar_gateway.errors import EncryptionDiffers, KeyUnknown, RuleBroken
from zaqar_gateway.interfaces import IMessageStore
from zaqar_gateway.model import ENCRYPTED, GivenUp, NewMessage, NewPost, QueueRules
from zaqar_gateway.testing.base import CLIENT, StoreContract, bodies, told

SEALED = ENCRYPTED + b"key1" + bytes(range(256))
"""A body as it might be encrypted with the key ``key1``."""

OTHERWISE_SEALED = ENCRYPTED + b"key2" + b"\r\n" + ENCRYPTED


class EncryptionContract(StoreContract):
    """Secrets, the rule of a queue, and pop where keys are missing."""

    async def post(
        self, *texts: bytes, encrypted: bool, queue: str = "q", size: int = 1, store: IMessageStore | None = None
    ) -> list[str]:
        """Post messages that are encrypted or not."""
        return await (store or self.storage.messages).post(
            "p",
            queue,
            NewPost(
                CLIENT,
                [NewMessage(text, 3600) for text in texts],
                size=size,
                ttl_default_s=3600,
                size_max=1000,
                encrypted=encrypted,
            ),
        )

    async def differs(self, *texts: bytes, encrypted: bool) -> None:
        """Check that a post is refused, and stores nothing."""
        before = await self.listed()
        with self.assertRaises(EncryptionDiffers):
            await self.post(*texts, encrypted=encrypted)
        self.assertEqual(await self.listed(), before)

    # -- secrets -----------------------------------------------------------------------------------------------------

    async def test_first_secret_is_kept(self) -> None:
        """The first secret of a name is the one that everybody gets, byte for byte."""
        first = bytes(range(256))
        self.assertEqual(await self.storage.secret("key", first), first)
        self.assertEqual(await self.storage.secret("key", b"second"), first)
        self.assertEqual(await self.storage.secret("key", b""), first)

    async def test_secrets_by_name(self) -> None:
        """Each name has a secret of its own, whatever is in the name."""
        names = ("key", "key-1", "ké:{y}/*", "")
        for name in names:
            await self.storage.secret(name, b"of " + name.encode())
        for name in names:
            self.assertEqual(await self.storage.secret(name, b"x"), b"of " + name.encode())

    async def test_empty_secret_is_not_kept(self) -> None:
        """Asking with nothing fresh keeps nothing."""
        self.assertEqual(await self.storage.secret("key", b""), b"")
        self.assertEqual(await self.storage.secret("key", b"first"), b"first")

    async def test_secrets_are_no_queues(self) -> None:
        """A secret is in no listing and no count."""
        await self.storage.secret("key", b"first")
        self.assertEqual(await self.storage.queues.count("p"), 0)
        self.assertEqual((await self.storage.volume()).total, 0)

    # -- the rule ----------------------------------------------------------------------------------------------------

    async def test_bodies_as_the_queue_asks(self) -> None:
        """A queue takes encrypted bodies only, or plain ones only, and gives them back byte for byte."""
        await self.make(encrypted=True)
        await self.differs(b"1", encrypted=False)
        ids = await self.post(SEALED, OTHERWISE_SEALED, encrypted=True)
        self.assertEqual(await self.got(*ids), [SEALED, OTHERWISE_SEALED])
        await self.make("plain")
        with self.assertRaises(EncryptionDiffers):
            await self.post(SEALED, queue="plain", encrypted=True)

    async def test_missing_queue_asks_for_nothing(self) -> None:
        """A queue that a post would create takes plain bodies, and is not created by a post that is refused."""
        await self.differs(SEALED, encrypted=True)
        self.assertEqual(await self.storage.queues.count("p"), 0)
        await self.post(b"1", encrypted=False)
        await self.differs(SEALED, encrypted=True)

    async def test_size_is_looked_at_first(self) -> None:
        """A post that is too large is told so, however its bodies are."""
        await self.make(encrypted=True)
        with self.assertRaises(RuleBroken):
            await self.post(b"1", encrypted=False, size=1001)

    async def test_rule_changes(self) -> None:
        """A change of metadata turns encryption on and off; what is stored stays as it is."""
        await self.make()
        await self.post(b"1", encrypted=False)
        await self.storage.queues.update("p", "q", b'{"made": true}', b"1", QueueRules(encrypted=True))
        await self.differs(b"2", encrypted=False)
        await self.post(SEALED, encrypted=True)
        await self.storage.queues.update("p", "q", b"1", b"2", QueueRules())
        await self.differs(SEALED, encrypted=True)
        await self.post(b"2", encrypted=False)
        self.assertEqual(await self.listed(), [b"1", SEALED, b"2"])

    async def test_rule_ends_with_the_queue(self) -> None:
        """A queue of the same name, made anew, asks for nothing; purging leaves the rule."""
        await self.make(encrypted=True)
        await self.storage.queues.purge("p", "q")
        await self.differs(b"1", encrypted=False)
        await self.storage.queues.delete("p", "q")
        await self.differs(SEALED, encrypted=True)

    async def test_dead_letters_keep_their_bodies(self) -> None:
        """A message is moved as it is stored, whatever its new queue asks for."""
        await self.make(encrypted=True, claim_count_max=1, dead_letter_queue="dead")
        await self.post(SEALED, encrypted=True)
        await self.claim(ttl_s=60)
        self.clock.advance(60)
        self.assertEqual(await self.claimed_bodies(), [])
        self.assertEqual(await self.listed(queue="dead"), [SEALED])

    async def test_log_of_posts(self) -> None:
        """What subscribers are owed is kept as it is stored, byte for byte, also when it is sent again."""
        await self.make(encrypted=True)
        await self.follow()
        await self.post(SEALED, OTHERWISE_SEALED, encrypted=True)
        page = await self.storage.subscriptions.read("p", "q", "0" * 14, 9)
        self.assertEqual(told(page.posts), [SEALED, OTHERWISE_SEALED])
        owed = await self.take_one()
        self.assertEqual(told(owed.posts), [SEALED, OTHERWISE_SEALED])
        given_up = [GivenUp(post.cursor, 1, "refused") for post in owed.posts]
        self.assertIsNone(await self.report(owed, owed.posts[1].cursor, given_up=given_up))
        await self.storage.deliveries.resend(self.place(), None, 9)
        self.assertEqual(await self.deliver(), {"http://a": [SEALED, OTHERWISE_SEALED]})

    async def test_topics(self) -> None:
        """A topic has the rule, too."""
        await self.storage.topics.create("p", "q", b"{}", QueueRules(encrypted=True))
        with self.assertRaises(EncryptionDiffers):
            await self.post(b"1", encrypted=False, store=self.storage.topic_messages)
        await self.post(SEALED, encrypted=True, store=self.storage.topic_messages)

    # -- pop ---------------------------------------------------------------------------------------------------------

    async def unknown(self, *key_ids: bytes, limit: int = 20) -> bytes:
        """The key that keeps messages from being popped."""
        with self.assertRaises(KeyUnknown) as caught:
            await self.storage.messages.pop("p", "q", limit, key_ids=key_ids)
        error: KeyUnknown = caught.exception
        return error.key_id

    async def test_pop_of_known_keys(self) -> None:
        """Bodies whose keys are there are popped, and so is everything where nothing is said of keys."""
        await self.make(encrypted=True)
        await self.post(SEALED, OTHERWISE_SEALED, SEALED, encrypted=True)
        popped = await self.storage.messages.pop("p", "q", 2, key_ids=(b"key1", b"key2"))
        self.assertEqual(bodies(popped), [SEALED, OTHERWISE_SEALED])
        self.assertEqual(await self.popped(), [SEALED])

    async def test_pop_of_unknown_key(self) -> None:
        """Where one of the bodies wants a key that is not there, all stay, at their place."""
        await self.make(encrypted=True)
        await self.post(SEALED, OTHERWISE_SEALED, SEALED, encrypted=True)
        self.assertEqual(await self.unknown(b"key1"), b"key2")
        self.assertEqual(await self.unknown(), b"key1")
        self.assertEqual(await self.counts(), (3, 0))
        self.assertEqual(await self.listed(include_claimed=False), [SEALED, OTHERWISE_SEALED, SEALED])
        popped = await self.storage.messages.pop("p", "q", 1, key_ids=(b"key1",))
        self.assertEqual(bodies(popped), [SEALED])
        self.assertEqual(await self.claimed_bodies(), [OTHERWISE_SEALED, SEALED])

    async def test_pop_of_unknown_key_among_released(self) -> None:
        """The same holds for messages that come back from a claim."""
        await self.make(encrypted=True)
        await self.post(SEALED, OTHERWISE_SEALED, SEALED, encrypted=True)
        claim = await self.claim(2)
        await self.storage.claims.release("p", "q", claim.id)
        self.assertEqual(await self.unknown(b"key1"), b"key2")
        self.assertEqual(await self.claimed_bodies(), [SEALED, OTHERWISE_SEALED, SEALED])

    async def test_plain_bodies_want_no_key(self) -> None:
        """Plain bodies are popped without any key."""
        await self.put(b"1", b'"\\u0001key1"')
        self.assertEqual(bodies(await self.storage.messages.pop("p", "q", 9, key_ids=())), [b"1", b'"\\u0001key1"'])
