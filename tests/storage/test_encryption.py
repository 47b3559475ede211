"""Encryption at rest: keys, what is stored, and the store that wraps another one."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, cast

from attrs import define, field
from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.defer import Deferred
from twisted.logger import ILogObserver, LogEvent, LogLevel, globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase, TestCase

from tests.helpers import FailingStorage
from zaqar_gateway.errors import EncryptionDiffers, KeyUnknown, RuleBroken, StoreFault, StoreUnavailable
from zaqar_gateway.interfaces import IStorage
from zaqar_gateway.model import (
    CONFIRM,
    ENCRYPTED,
    GivenUp,
    LogBounds,
    NewMessage,
    NewPost,
    NewSubscription,
    Place,
    QueueRules,
    SendBack,
)
from zaqar_gateway.storage.encryption import (
    SECRET,
    EncryptingStorage,
    Key,
    Keyring,
)
from zaqar_gateway.storage.memory import MemoryStorage
from zaqar_gateway.testing.base import CLIENT, StoreContract, bodies, clock_at_epoch, numbered, told
from zaqar_gateway.testing.claims import ClaimStoreContract
from zaqar_gateway.testing.dead_letters import DeadLetterStoreContract
from zaqar_gateway.testing.deliveries import DeliveryStoreContract
from zaqar_gateway.testing.messages import MessageStoreContract
from zaqar_gateway.testing.once import OnceContract
from zaqar_gateway.testing.queues import QueueStoreContract
from zaqar_gateway.testing.storage import StorageContract
from zaqar_gateway.testing.subscriptions import SubscriptionStoreContract

FIXED = "019ee6c84fd9e72c2464a98aa78df6bb423591911ef74bb9bbf09e2e951e6be226ebc4812aa5872f95"
"""``{"a": 1}`` under the passphrase ``passphrase`` in the project ``p``."""


class KeyTests(SynchronousTestCase):
    """One key."""

    key = Key.of(b"passphrase")

    @given(st.text(), st.binary())
    def test_there_and_back(self, project: str, body: bytes) -> None:
        """What is encrypted comes back, does not show the body, and takes 33 bytes more."""
        stored = self.key.seal(project, body)
        self.assertEqual(self.key.open(project, stored), body)
        self.assertEqual(stored[:5], ENCRYPTED + self.key.id)
        self.assertEqual(len(stored), len(body) + 33)
        if len(body) > 8:
            self.assertNotIn(body, stored)

    def test_form(self) -> None:
        """The form does not change from one version to the next: a body of an earlier one can be read."""
        stored = bytes.fromhex(FIXED)
        self.assertEqual(self.key.open("p", stored), b'{"a": 1}')

    def test_never_the_same(self) -> None:
        """Equal bodies are stored as different ones."""
        self.assertEqual(len({self.key.seal("p", b"1") for _ in range(100)}), 100)

    def test_any_change_is_noticed(self) -> None:
        """A body of which a bit was changed, that was cut, or that is of another project is not read."""
        stored = self.key.seal("p", b'{"a": 1}')
        for at in range(len(stored)):
            changed = bytearray(stored)
            changed[at] ^= 1
            self.assertIsNone(self.key.open("p", bytes(changed)), at)
            self.assertIsNone(self.key.open("p", stored[:at]), at)
        self.assertIsNone(self.key.open("q", stored))
        self.assertIsNone(Key.of(b"other").open("p", stored))

    def test_hides_itself(self) -> None:
        """What is shown of a key in a traceback is its id alone."""
        self.assertEqual(repr(self.key), f"Key(id={self.key.id!r})")


@define
class Secrets:
    """The secrets of a store, and how often they were asked for."""

    kept: dict[str, bytes] = field(factory=dict)
    asked: int = 0

    async def secret(self, name: str, fresh: bytes) -> bytes:
        """See :class:`zaqar_gateway.interfaces.IStorage`."""
        self.asked += 1
        return self.kept.setdefault(name, fresh) if fresh else self.kept.get(name, b"")


class KeyringTests(SynchronousTestCase):
    """The keys of a gateway."""

    def setUp(self) -> None:
        self.store = Secrets()
        self.events: list[LogEvent] = []
        observer = cast(ILogObserver, self.events.append)
        globalLogPublisher.addObserver(observer)
        self.addCleanup(globalLogPublisher.removeObserver, observer)

    def ring(self, passphrase: str = "", *previous: str) -> Keyring:
        return Keyring(self.store.secret, passphrase, previous)

    def now(self, work: Awaitable[Any]) -> Any:
        return self.successResultOf(Deferred.fromCoroutine(work))  # type: ignore[arg-type]

    def warnings(self) -> list[str]:
        return [event["log_format"] for event in self.events if event["log_level"].name == "warn"]

    def test_configured(self) -> None:
        """A passphrase is the same key everywhere, without a question to the store."""
        key = self.now(self.ring("a").current())
        self.assertEqual(key.id, self.now(self.ring("a", "b").current()).id)
        self.now(self.ring("a").keep(key))
        self.assertEqual(self.store.asked, 0)
        self.assertEqual(self.warnings(), [])

    def test_rotation(self) -> None:
        """An earlier passphrase is still found, and does not encrypt."""
        old = self.now(self.ring("old").current())
        ring = self.ring("new", "old")
        self.assertNotEqual(self.now(ring.current()).id, old.id)
        self.assertEqual(self.now(ring.find(old.id)).id, old.id)
        self.assertEqual(len(ring.ids), 2)

    def test_random_is_shared(self) -> None:
        """Without a passphrase the first gateway makes a key, says so once, and the others take it."""
        first, second = self.ring(), self.ring()
        key = self.now(first.current())
        self.assertEqual(self.now(second.current()).id, key.id)
        self.assertIs(self.now(first.current()), key)
        self.assertEqual(len(self.store.kept[SECRET]), 32)
        self.assertEqual(len(self.warnings()), 1)
        self.assertIn("made a random key", self.warnings()[0])

    def test_random_is_random(self) -> None:
        """Two stores have different keys."""
        key = self.now(self.ring().current())
        self.store = Secrets()
        self.assertNotEqual(self.now(self.ring().current()).id, key.id)

    def test_from_random_to_configured(self) -> None:
        """Once a passphrase is configured, what the random key encrypted is still read."""
        random = self.now(self.ring().current())
        ring = self.ring("a")
        self.assertEqual(self.now(ring.find(random.id)).id, random.id)
        self.assertEqual(self.now(ring.current()).id, self.now(self.ring("a").current()).id)

    def test_unknown(self) -> None:
        """A key that nobody has is not found, and looking for it makes none."""
        self.assertIsNone(self.now(self.ring("a").find(b"1234")))
        self.assertIsNone(self.now(self.ring().find(b"")))
        self.assertEqual(self.store.kept, {})

    def test_lost_key_is_kept_again(self) -> None:
        """A store that has lost the random key gets it back from the gateway that encrypts with it."""
        ring = self.ring()
        key = self.now(ring.current())
        self.store.kept.clear()
        self.now(ring.keep(key))
        self.assertEqual(self.now(self.ring().find(key.id)).id, key.id)

    def test_lost_key_and_another(self) -> None:
        """Where another key was made meanwhile, both are kept, and all gateways encrypt with that other one."""
        ring, other = self.ring(), self.ring()
        lost = self.now(ring.current())
        self.store.kept.clear()
        made = self.now(other.current())
        self.now(ring.keep(lost))
        self.assertEqual(self.now(ring.current()).id, made.id)
        for each in (ring, other, self.ring(), self.ring("a")):
            for key in (lost, made):
                self.assertEqual(self.now(each.find(key.id)).id, key.id)

    def test_found_key_encrypts_from_then_on(self) -> None:
        """A gateway that meets the key of another one, made after all was lost, encrypts with it as well."""
        ring, other = self.ring(), self.ring()
        self.now(ring.current())
        self.store.kept.clear()
        made = self.now(other.current())
        self.now(ring.find(made.id))
        self.assertEqual(self.now(ring.current()).id, made.id)


class EncryptingCase(StoreContract):
    """Makes a store for each test, around one in memory."""

    def setUp(self) -> None:
        self.clock = clock_at_epoch()
        self.bound_log(LogBounds())

    def bound_log(self, bounds: LogBounds) -> None:
        self.inner = MemoryStorage(self.clock, log_bounds=bounds)
        self.storage: IStorage = EncryptingStorage(self.inner, "passphrase")

    async def plant(self, stored: bytes, project: str = "p") -> None:
        """Put into the store what looks like an encrypted body."""
        new = NewPost(CLIENT, [NewMessage(stored, 300)], size=1, ttl_default_s=60, size_max=9, encrypted=True)
        await self.inner.messages.post(project, "q", new)

    async def raw(self, queue: str = "q") -> list[bytes]:
        """The bodies as they are stored."""
        page = await self.inner.messages.list(
            "p", queue, marker=None, limit=100, skip_client=None, include_claimed=True, include_delayed=True
        )
        return bodies(page.messages)


class QueuesTests(EncryptingCase, QueueStoreContract, TestCase):
    """The contract of queues."""


class MessagesTests(EncryptingCase, MessageStoreContract, TestCase):
    """The contract of messages, in queues that do not ask for encryption."""


class ClaimsTests(EncryptingCase, ClaimStoreContract, TestCase):
    """The contract of claims, in queues that do not ask for encryption."""


class DeadLettersTests(EncryptingCase, DeadLetterStoreContract, TestCase):
    """The contract of dead letters, in queues that do not ask for encryption."""


class SubscriptionsTests(EncryptingCase, SubscriptionStoreContract, TestCase):
    """The contract of subscriptions, of queues that do not ask for encryption."""


class OnceTests(EncryptingCase, OnceContract, TestCase):
    """The contract of keys."""


class DeliveriesTests(EncryptingCase, DeliveryStoreContract, TestCase):
    """The contract of deliveries, of queues that do not ask for encryption."""


class WholeTests(EncryptingCase, StorageContract, TestCase):
    """The contract of the store as a whole."""


class EncryptedQueueTests(EncryptingCase, TestCase):
    """A queue that asks for encryption."""

    async def setUp(self) -> None:  # type: ignore[override]
        super().setUp()
        await self.make(encrypted=True, claim_count_max=1, dead_letter_queue="dead")

    def other(self, passphrase: str, *previous: str) -> None:
        """Go on with a gateway that has other keys."""
        self.storage = EncryptingStorage(self.inner, passphrase, previous)

    async def test_every_reading(self) -> None:
        """What is stored is encrypted, and every reading gives what was posted; ``stored`` is what is stored."""
        texts = [b"null", b'{"a": [1, "x"]}', b'"' + b"x" * 100_000 + b'"']
        ids = await self.put(*texts)
        raw = await self.raw()
        for stored in raw:
            self.assertTrue(stored.startswith(ENCRYPTED))
        self.assertEqual(await self.got(*ids), texts)
        self.assertEqual(await self.listed(), texts)
        claim = await self.claim(2, ttl_s=300)
        self.assertEqual(bodies(claim.messages), texts[:2])
        again = await self.storage.claims.get("p", "q", claim.id)
        assert again is not None
        self.assertEqual(bodies(again.messages), texts[:2])
        self.assertEqual([message.stored for message in again.messages], raw[:2])
        self.assertEqual(await self.popped(), texts[2:])

    async def test_dead_letters(self) -> None:
        """A message that was moved to another queue of the project is read there, and from there on."""
        await self.make("dead", claim_count_max=2, dead_letter_queue="deader")
        await self.put(b"1")
        for queue in ("q", "dead"):
            await self.claim(queue=queue)
            self.clock.advance(60)
            self.assertEqual(await self.claimed_bodies(queue=queue), [])
        self.assertEqual(await self.claimed_bodies(queue="deader"), [b"1"])
        self.assertTrue((await self.raw("deader"))[0].startswith(ENCRYPTED))

    async def test_dead_letters_sent_back(self) -> None:
        """Dead letters are listed as plain texts, and go back as they are stored."""
        await self.put(b"1")
        await self.claim()
        self.clock.advance(60)
        self.assertEqual(await self.claimed_bodies(), [])
        stored = await self.raw("dead")
        found = await self.storage.dead_letters.list("p", "dead", marker=None, limit=10)
        self.assertEqual((bodies(found), [one.stored for one in found]), ([b"1"], stored))
        sent = await self.storage.dead_letters.send_back("p", "dead", SendBack(None, 10))
        self.assertEqual((sent.number, await self.raw()), (1, stored))
        self.assertEqual(await self.popped(), [b"1"])

    async def test_change_of_rule(self) -> None:
        """Turning encryption on or off converts nothing; both kinds are read."""
        await self.put(b"1")
        await self.storage.queues.update("p", "q", b'{"made": true}', b"1", QueueRules())
        await self.put(b"2")
        await self.storage.queues.update("p", "q", b"1", b"2", QueueRules(encrypted=True))
        await self.put(b"3")
        self.assertEqual([each[:1] for each in await self.raw()], [ENCRYPTED, b"2", ENCRYPTED])
        self.assertEqual(await self.listed(), [b"1", b"2", b"3"])
        self.assertEqual(await self.popped(), [b"1", b"2", b"3"])

    async def test_change_elsewhere(self) -> None:
        """A change that another gateway makes is followed by the next post."""
        await self.put(b"1")
        await self.inner.queues.update("p", "q", b'{"made": true}', b"1", QueueRules())
        await self.put(b"2")
        await self.inner.queues.delete("p", "q")
        await self.put(b"3")
        await self.inner.queues.delete("p", "q")
        await self.inner.queues.create("p", "q", b"{}", QueueRules(encrypted=True))
        await self.put(b"4")
        self.assertEqual([each[:1] for each in await self.raw()], [ENCRYPTED])

    async def test_size_is_of_the_plain_body(self) -> None:
        """A post of just the largest size is taken, one byte more is refused."""
        await self.make("small", encrypted=True, post_size_max=100)
        await self.put(b"1" * 100, queue="small")
        with self.assertRaises(RuleBroken):
            await self.put(b"1" * 101, queue="small")

    async def test_encrypted_by_the_caller(self) -> None:
        """A body that is encrypted already is stored as it is."""
        await self.put(b"1")
        (stored,) = await self.raw()
        await self.storage.messages.post(
            "p", "q", NewPost(CLIENT, [NewMessage(stored, 300)], size=1, ttl_default_s=60, size_max=9, encrypted=True)
        )
        self.assertEqual(await self.listed(), [b"1", b"1"])
        self.assertEqual(await self.raw(), [stored, stored])

    async def test_topics(self) -> None:
        """A topic that asks for it is encrypted, whatever the queue of that name does."""
        await self.storage.topics.create("p", "q", b"{}", QueueRules())
        await self.storage.topics.create("p", "t", b"{}", QueueRules(encrypted=True))
        for name, beginning in (("t", ENCRYPTED), ("q", b"1")):
            (message_id,) = await self.storage.topic_messages.post(
                "p", name, NewPost(CLIENT, [NewMessage(b"1", 300)], size=1, ttl_default_s=60, size_max=9)
            )
            self.assertEqual(bodies(await self.storage.topic_messages.get("p", name, [message_id])), [b"1"])
            (stored,) = await self.inner.topic_messages.pop("p", name, 1)
            self.assertEqual(stored.body[:1], beginning)

    async def test_rotation(self) -> None:
        """After a change of the key old bodies are read as long as the old key is there."""
        await self.put(b"1")
        self.other("new", "passphrase")
        await self.put(b"2")
        self.assertEqual(await self.listed(), [b"1", b"2"])
        self.other("new")
        with self.assertRaises(KeyUnknown):
            await self.listed()
        self.other("newer", "new", "passphrase")
        self.assertEqual(await self.popped(), [b"1", b"2"])

    async def test_wrong_key(self) -> None:
        """Without the key every reading fails with the queue and the key in the cause, and nothing is lost."""
        (message_id,) = await self.put(b'"body"')
        key_id = (await self.raw())[0][1:5]
        self.other("wrong")
        readings: tuple[Callable[[], Awaitable[object]], ...] = (
            self.listed,
            lambda: self.got(message_id),
            self.popped,
            self.claim,
        )
        for reading in readings:
            with self.assertRaises(KeyUnknown) as caught:
                await reading()
            self.assertIn("queue q ", caught.exception.cause)
            self.assertIn(key_id.hex(), caught.exception.cause)
            self.assertIn("encrypted with a key that this service does not have", str(caught.exception))
        self.assertEqual(await self.counts(), (1, 0))
        await self.put(b"2", queue="other")
        self.assertEqual(await self.popped(queue="other"), [b"2"])
        self.other("passphrase")
        self.assertEqual(await self.listed(), [b'"body"'])

    async def test_tampered(self) -> None:
        """A body of which something was changed is not shown."""
        await self.put(b'"body"')
        (stored,) = await self.raw()
        await self.plant(stored[:-1] + b"\x00\x01")
        with self.assertRaises(StoreFault) as caught:
            await self.listed()
        self.assertIn("queue q ", caught.exception.cause)

    async def test_moved_to_another_project(self) -> None:
        """A body that was put into another project is not shown there."""
        await self.put(b'"body"')
        (stored,) = await self.raw()
        await self.make(project="thief", encrypted=True)
        await self.plant(stored, project="thief")
        with self.assertRaises(StoreFault):
            await self.listed(project="thief")

    async def test_random_key(self) -> None:
        """Without a passphrase two gateways read each other's bodies, and so does one that starts later."""
        first, second = EncryptingStorage(self.inner), EncryptingStorage(self.inner)
        for number, gateway in enumerate((first, second, EncryptingStorage(self.inner))):
            self.storage = gateway
            await self.put(b"%d" % number)
        for gateway in (first, second, EncryptingStorage(self.inner)):
            self.storage = gateway
            self.assertEqual(await self.listed(), [b"0", b"1", b"2"])
        self.storage = EncryptingStorage(self.inner)
        self.assertEqual(await self.popped(), [b"0", b"1", b"2"])

    async def test_store_fails(self) -> None:
        """A failure of the store is told as it is, and leaves no error behind."""
        for error in (StoreUnavailable("away", outcome_unknown=True), StoreFault("broken")):
            self.storage = EncryptingStorage(FailingStorage(error))
            for _ in range(2):
                with self.assertRaises(type(error)) as caught:
                    await self.put(b"1")
                self.assertIs(caught.exception, error)

    async def test_rule_that_never_stays(self) -> None:
        """A queue whose rule is another one whenever it is asked is given up."""
        self.storage = EncryptingStorage(FailingStorage(EncryptionDiffers()), "passphrase")
        with self.assertRaises(StoreUnavailable):
            await self.put(b"1")


class EncryptedDeliveryTests(EncryptingCase, TestCase):
    """What subscribers of a queue that asks for encryption are owed."""

    async def setUp(self) -> None:  # type: ignore[override]
        super().setUp()
        await self.make(encrypted=True)

    def other(self, passphrase: str, *previous: str) -> None:
        """Go on with a gateway that has other keys."""
        self.storage = EncryptingStorage(self.inner, passphrase, previous)

    def errors(self) -> list[LogEvent]:
        """The errors that are logged from now on."""
        logged: list[LogEvent] = []

        def observe(event: LogEvent) -> None:
            if event["log_level"] is LogLevel.error:
                logged.append(event)

        observer = cast(ILogObserver, observe)
        globalLogPublisher.addObserver(observer)
        self.addCleanup(globalLogPublisher.removeObserver, observer)
        return logged

    async def test_every_reading(self) -> None:
        """What is kept is encrypted, and whoever reads the log, takes or reports gets what was posted."""
        await self.follow(notice_s=60)
        texts = numbered(3)
        await self.put(*texts)
        kept = (await self.inner.subscriptions.read("p", "q", "0" * 14, 9)).posts
        for post in kept:
            self.assertTrue(post.body.startswith(ENCRYPTED))
        page = await self.storage.subscriptions.read("p", "q", "0" * 14, 9)
        self.assertEqual(told(page.posts), texts)
        owed = await self.take_one(batch=2)
        self.assertEqual(told(owed.posts), [CONFIRM, texts[0]])
        given_up = [GivenUp(owed.posts[1].cursor, 1, "refused")]
        more = await self.report(owed, owed.posts[1].cursor, given_up=given_up)
        assert more is not None
        self.assertEqual(told(more.posts), texts[1:])
        await self.storage.deliveries.resend(self.place(), None, 9)
        last = await self.report(more, more.posts[1].cursor)
        assert last is not None
        self.assertEqual(told(last.posts), texts[:1])

    async def test_topics(self) -> None:
        """The same holds for topics."""
        await self.storage.topics.create("p", "t", b"{}", QueueRules(encrypted=True))
        await self.storage.topic_subscriptions.create("p", "t", NewSubscription("http://a", 60))
        await self.storage.topic_messages.post(
            "p", "t", NewPost(CLIENT, [NewMessage(b"1", 300)], size=1, ttl_default_s=60, size_max=9)
        )
        self.assertEqual(told((await self.storage.topic_subscriptions.read("p", "t", "0" * 14, 9)).posts), [b"1"])
        (owed,) = await self.storage.deliveries.take(
            Place("p", "t", True), limit=9, batch=9, lease_ms=1000, required=False
        )
        self.assertEqual(told(owed.posts), [b"1"])

    async def test_read_without_the_key(self) -> None:
        """Whoever reads the log is told that the key is missing."""
        await self.follow()
        await self.put(b"1")
        self.other("wrong")
        with self.assertRaises(KeyUnknown):
            await self.storage.subscriptions.read("p", "q", "0" * 14, 9)

    async def test_what_cannot_be_read_waits(self) -> None:
        """What is owed and cannot be opened is not delivered and not lost: it is tried again after 10 seconds."""
        await self.follow()
        await self.put(b"1", b"2")
        first = await self.take_one()
        await self.report(first, attempts=2, wait_ms=0)
        self.other("wrong")
        self.assertEqual((await self.take(), await self.storage.deliveries.due(9)), ([], []))
        self.clock.advance(9.75)
        self.assertEqual((await self.take(), await self.storage.deliveries.due(9)), ([], []))
        self.clock.advance(0.25)
        self.assertEqual(await self.take(), [])
        self.clock.advance(10)
        self.other("newer", "passphrase")
        owed = await self.take_one()
        self.assertEqual((told(owed.posts), owed.attempts), ([b"1", b"2"], 2))

    async def test_it_is_logged_once(self) -> None:
        """That a key is missing is logged once, however often it is tried, without anything of a body."""
        await self.follow("http://a")
        await self.follow("http://b")
        await self.put(b"1", b"2")
        key_id = (await self.raw())[0][1:5]
        self.other("wrong")
        logged = self.errors()
        for _ in range(3):
            self.assertEqual(await self.take(), [])
            self.clock.advance(10)
        (event,) = logged
        self.assertIn(key_id.hex(), event["cause"])
        self.assertEqual((event["project"], event["name"]), ("p", "q"))

    async def test_up_to_what_cannot_be_read(self) -> None:
        """What comes before the first post that cannot be opened is delivered, and then the rest waits."""
        await self.follow()
        await self.put(b"1", b"2")
        self.other("other")
        await self.put(b"3")
        self.other("passphrase")
        owed = await self.take_one()
        self.assertEqual(told(owed.posts), [b"1", b"2"])
        self.assertIsNone(await self.report(owed, owed.posts[1].cursor))
        lease = (owed.subscription.id, owed.token)
        self.assertEqual(set(await self.storage.deliveries.extend(owed.place, [lease], 9)), set())
        self.assertEqual(await self.take(), [])
        self.clock.advance(10)
        self.other("passphrase", "other")
        self.assertEqual(told((await self.take_one()).posts), [b"3"])

    async def test_others_go_on(self) -> None:
        """Those whose posts can be opened are taken, however many others come before them."""
        for n in range(5):
            await self.follow(f"http://behind/{n}")
        await self.put(b"1")
        self.other("new")
        for n in range(3):
            await self.follow(f"http://{n}")
        await self.put(b"2")
        seen: dict[str, list[bytes | str]] = {}
        for count in (2, 1, 0):
            taken = await self.take(limit=2)
            self.assertEqual(len(taken), count)
            seen |= {owed.subscription.subscriber: told(owed.posts) for owed in taken}
        self.assertEqual(seen, {f"http://{n}": [b"2"] for n in range(3)})

    async def test_tampered(self) -> None:
        """A body of which something was changed is not delivered."""
        await self.follow()
        await self.put(b"1")
        (stored,) = await self.raw()
        await self.storage.subscriptions.purge("p", "q")
        await self.follow()
        await self.plant(stored[:-1] + b"\x00\x01")
        self.assertEqual(await self.take(), [])
        with self.assertRaises(StoreFault):
            await self.storage.subscriptions.read("p", "q", "0" * 14, 9)


@define
class SlowMessages:
    """Messages of which each command waits to be let through; commands take effect when they are let through."""

    inner: Any
    waiting: list[tuple[str, Deferred[None]]] = field(factory=list)

    def __getattr__(self, name: str) -> Any:
        async def run(*args: object, **options: object) -> Any:
            passed: Deferred[None] = Deferred()
            self.waiting.append((name, passed))
            await passed
            return await getattr(self.inner, name)(*args, **options)

        return run

    def let_through(self) -> list[str]:
        """Let all through that has been sent until now; what it was."""
        sent, self.waiting = self.waiting, []
        for _, passed in sent:
            passed.callback(None)
        return [name for name, _ in sent]


class OrderTests(SynchronousTestCase):
    """How many steps a post takes, and what comes after it."""

    def setUp(self) -> None:
        self.inner = MemoryStorage(clock_at_epoch())
        self.slow = SlowMessages(self.inner.messages)
        self.inner.messages = self.slow  # type: ignore[assignment]  # what is asked of it, it passes on
        storage = EncryptingStorage(self.inner, "passphrase", remembered=3)
        self.messages, self.subscriptions = storage.messages, storage.subscriptions

    def make(self, queue: str, encrypted: bool) -> None:
        rules = QueueRules(encrypted=encrypted)
        self.successResultOf(Deferred.fromCoroutine(self.inner.queues.create("p", queue, b"{}", rules)))

    def post(self, body: bytes, queue: str = "q") -> Deferred[list[str]]:
        return Deferred.fromCoroutine(
            self.messages.post(
                "p", queue, NewPost(CLIENT, [NewMessage(body, 300)], size=1, ttl_default_s=60, size_max=9)
            )
        )

    def list(self) -> Deferred[Any]:
        return Deferred.fromCoroutine(
            self.messages.list(
                "p", "q", marker=None, limit=20, skip_client=None, include_claimed=True, include_delayed=True
            )
        )

    def steps(self, queue: str) -> int:
        """How many steps a post takes."""
        posting, steps = self.post(b"1", queue), 0
        while not posting.called:
            self.slow.let_through()
            steps += 1
        self.successResultOf(posting)
        return steps

    def test_steps(self) -> None:
        """A post takes one step; the first one to a queue that asks for encryption takes two."""
        self.make("asks", True)
        self.make("not", False)
        self.assertEqual([self.steps("asks") for _ in range(3)], [2, 1, 1])
        self.assertEqual([self.steps("not") for _ in range(3)], [1, 1, 1])
        self.assertEqual([self.steps("missing") for _ in range(3)], [1, 1, 1])

    def test_bounded(self) -> None:
        """Only so many queues are remembered, those that were posted to last."""
        for queue in "abcd":
            self.make(queue, True)
        self.assertEqual([self.steps(queue) for queue in "abcabc"], [2, 2, 2, 1, 1, 1])
        self.assertEqual([self.steps(queue) for queue in "adacdb"], [1, 2, 1, 1, 1, 2])

    def test_what_comes_after_waits(self) -> None:
        """While the first post finds out what a queue asks for, all that comes after it keeps its order."""
        self.make("q", True)
        first, second, listing, third = self.post(b"1"), self.post(b"2"), self.list(), self.post(b"3")
        self.assertEqual(self.slow.let_through(), ["post"])  # plain, and refused
        self.assertEqual(self.slow.let_through(), ["post"])
        self.assertEqual(self.slow.let_through(), ["post", "list", "post"])
        self.assertEqual(bodies(self.successResultOf(listing).messages), [b"1", b"2"])
        ids = [self.successResultOf(posting)[0] for posting in (first, second, third)]
        self.assertEqual(ids, sorted(ids))

    def test_others_do_not_wait(self) -> None:
        """Nobody waits for another queue, and nobody waits once it is known what a queue asks for."""
        self.make("q", True)
        self.post(b"1")
        self.post(b"1", "other")
        self.assertEqual(len(self.slow.waiting), 2)
        while self.slow.let_through():
            pass
        self.post(b"1")
        self.post(b"2")
        self.list()
        self.assertEqual(self.slow.let_through(), ["post", "post", "list"])

    def test_change_under_way(self) -> None:
        """Posts that were under way while a queue changed keep their order."""
        self.steps("q")
        posts = [self.post(b"%d" % n) for n in range(3)]
        update = self.inner.queues.update("p", "q", b"{}", b"1", QueueRules(encrypted=True))
        self.assertTrue(self.successResultOf(Deferred.fromCoroutine(update)))
        while self.slow.let_through():
            pass
        ids = [self.successResultOf(posting)[0] for posting in posts]
        self.assertEqual(ids, sorted(ids))

    def test_subscriptions_wait(self) -> None:
        """A subscription that is made after a post is not owed it, though the post has to find out what the queue asks."""
        self.make("q", True)
        posting = self.post(b"1")
        creating = Deferred.fromCoroutine(self.subscriptions.create("p", "q", NewSubscription("http://a", 60)))
        self.assertNoResult(creating)
        while self.slow.let_through():
            pass
        self.successResultOf(posting)
        placed = self.successResultOf(creating)
        reading = Deferred.fromCoroutine(self.subscriptions.read("p", "q", "0" * 14, 9))
        self.assertEqual((placed.is_new, self.successResultOf(reading).posts), (True, []))

    def test_failure_lets_others_on(self) -> None:
        """Where finding it out fails, whoever waits goes on."""
        self.make("q", True)
        first, second = self.post(b"1"), self.post(b"2")
        self.slow.waiting.pop()[1].errback(StoreUnavailable("away"))
        self.failureResultOf(first, StoreUnavailable)
        while self.slow.let_through():
            pass
        self.successResultOf(second)
