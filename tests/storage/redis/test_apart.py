"""Bodies that are kept apart: the contracts where all are, and what becomes of them in Redis."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, cast

from twisted.internet.defer import Deferred

from tests.redis_server import storage_at
from tests.storage.redis.test_store import EachReadTries, OnRedis
from zaqar_gateway.errors import QueueMissing, QuotaExceeded, RuleBroken, StoreUnavailable
from zaqar_gateway.model import NewMessage, NewPost, QueueRules, Quotas, SendBack
from zaqar_gateway.storage.memory import MemoryStorage
from zaqar_gateway.storage.redis.apart import APART_FROM
from zaqar_gateway.storage.redis.connection import Redis
from zaqar_gateway.storage.redis.keys import Keys
from zaqar_gateway.storage.redis.store import RedisStorage, Sweeper
from zaqar_gateway.testing.claims import ClaimStoreContract
from zaqar_gateway.testing.dead_letters import DeadLetterQuotaContract, DeadLetterStoreContract
from zaqar_gateway.testing.encryption import EncryptionContract
from zaqar_gateway.testing.messages import MessageStoreContract
from zaqar_gateway.testing.once import OnceContract
from zaqar_gateway.testing.quotas import QuotaContract
from zaqar_gateway.testing.random_walk import walk
from zaqar_gateway.testing.subscriptions import SubscriptionStoreContract


class AllApart(OnRedis):
    """Each body is kept apart, however short."""

    async def setUp(self) -> None:  # type: ignore[override]
        await super().setUp()
        self.storage = storage_at(self.redis, self.clock, apart_from=1)


class ApartMessageTests(MessageStoreContract, AllApart):
    """Messages."""


class ApartPlainMessageTests(MessageStoreContract, AllApart, EachReadTries):
    """Messages that plain commands read."""


class ApartClaimTests(ClaimStoreContract, AllApart):
    """Claims."""


class ApartDeadLetterTests(DeadLetterStoreContract, AllApart):
    """Dead letters."""


class ApartOnceTests(OnceContract, AllApart):
    """Posts under a key, whose bodies are not kept apart, among others."""


class ApartEncryptionTests(EncryptionContract, AllApart):
    """Encrypted bodies."""


class ApartSubscriptionTests(SubscriptionStoreContract, AllApart):
    """Subscriptions."""


class ApartQuotaTests(QuotaContract, DeadLetterQuotaContract, AllApart):
    """Quotas."""

    def bound(self, quotas: Quotas) -> None:
        """See :class:`QuotaContract`."""
        self.storage = storage_at(self.redis, self.clock, quotas=quotas, apart_from=1)


class ApartRandomWalkTests(AllApart):
    """Redis and memory answer alike, whatever is asked of them."""

    async def test_walks(self) -> None:
        """Walks of which each is another sequence of operations; where all is gone, so are the bodies."""
        for seed in range(6):
            await self.redis.command("FLUSHALL")
            seen = await walk(self.storage, MemoryStorage(self.clock), self.clock, seed, 1500)
            self.assertGreater(len(seen), 20, seen)


class ApartPlainRandomWalkTests(ApartRandomWalkTests, EachReadTries):
    """The same where each read tries."""


class Meanwhile:
    """A connection on which something happens before bodies are read."""

    def __init__(self, redis: Redis, happens: Callable[[], Awaitable[object]]) -> None:
        self._redis = redis
        self._happens = happens

    def __getattr__(self, name: str) -> Any:
        return getattr(self._redis, name)

    async def command(self, *args: Any) -> Any:
        if args[0] == b"HMGET":
            await self._happens()
        return await self._redis.command(*args)


class LongBodyTests(OnRedis):
    """Where long bodies are, and what becomes of them."""

    bodies = Keys().queue("p", "q") + b":w"
    body = b'"' + b"x" * APART_FROM + b'"'

    async def post(self, *bodies: bytes, ttl_s: int = 60, size_max: int = 10**6, create: bool = True) -> list[str]:
        new = [NewMessage(body, ttl_s) for body in bodies]
        size = sum(map(len, bodies))
        return await self.storage.messages.post(
            "p", "q", NewPost(b"c", new, size=size, ttl_default_s=60, size_max=size_max, create=create)
        )

    async def kept(self) -> int:
        """How many bodies are kept apart."""
        number: int = await self.redis.command(b"HLEN", self.bodies)
        return number

    async def listed(self, storage: RedisStorage | None = None) -> list[bytes]:
        """The bodies in a listing."""
        page = await (storage or self.storage).messages.list(
            "p", "q", marker=None, limit=10, skip_client=None, include_claimed=True, include_delayed=True
        )
        return [message.body for message in page.messages]

    async def test_where(self) -> None:
        """A long body is not in the entry of its message, and a short one is."""
        await self.post(self.body, b"1")
        entries = await self.redis.command(b"XRANGE", Keys().queue("p", "q") + b":m", b"-", b"+")
        self.assertEqual([len(fields[1]) for _, fields in entries], [13, 1])
        self.assertEqual(await self.redis.command(b"HVALS", self.bodies), [self.body])
        self.assertEqual(await self.listed(), [self.body, b"1"])

    async def test_goes_with_its_message(self) -> None:
        """Whatever ends a message ends its body."""
        messages, queues, claims = self.storage.messages, self.storage.queues, self.storage.claims

        async def delete_claimed() -> None:
            claim = await claims.create("p", "q", 60, 60, 2)
            assert claim is not None
            self.assertEqual([message.body for message in claim.messages], [self.body, self.body])
            for message in claim.messages:
                await messages.delete("p", "q", message.id, claim.id)

        async def expire() -> None:
            self.clock.advance(60)
            await Sweeper(self.redis, Keys(), lambda: int(self.clock.seconds() * 1000)).step()

        for number, end in enumerate(
            (
                lambda ids: messages.delete("p", "q", ids[0], None),
                lambda ids: messages.delete_many("p", "q", ids, None),
                lambda ids: messages.pop("p", "q", 2),
                lambda ids: delete_claimed(),
                lambda ids: expire(),
                lambda ids: queues.purge("p", "q"),
                lambda ids: queues.delete("p", "q"),
            )
        ):
            ids = await self.post(self.body, self.body)
            self.assertEqual(await self.kept(), 2)
            await end(ids)
            self.assertEqual(await self.kept(), 1 if number == 0 else 0)
            await messages.delete_many("p", "q", ids, None)
            self.assertEqual(await self.kept(), 0)

    async def test_dead_letter(self) -> None:
        """The body of a message goes with it where it is moved, and back."""
        rules = QueueRules(claim_count_max=1, dead_letter_queue="dead")
        await self.storage.queues.create("p", "q", b"{}", rules)
        await self.post(self.body, ttl_s=3600)
        self.assertIsNotNone(await self.storage.claims.create("p", "q", 60, 60, 1))
        self.clock.advance(60)
        self.assertIsNone(await self.storage.claims.create("p", "q", 60, 60, 1))
        (letter,) = await self.storage.dead_letters.list("p", "dead", marker=None, limit=10)
        self.assertEqual((letter.body, await self.kept()), (self.body, 0))
        await self.storage.dead_letters.send_back("p", "dead", SendBack(None, 10))
        self.assertEqual(await self.listed(), [self.body])

    async def test_forgotten_scripts(self) -> None:
        """Where Redis has forgotten its scripts, posts are stored in the order that they came in, each once."""
        await self.redis.command("SCRIPT", "FLUSH")
        posts = [Deferred.fromCoroutine(self.post(body)) for body in (self.body, b"1", self.body, b"2")]
        ids = [await each for each in posts]
        self.assertEqual(await self.listed(), [self.body, b"1", self.body, b"2"])
        self.assertEqual(ids, sorted(ids))
        self.assertEqual(await self.kept(), 2)

    async def test_refused_post(self) -> None:
        """Of a post that is refused nothing is kept."""
        with self.assertRaises(RuleBroken):
            await self.post(b"1", self.body, size_max=10)
        with self.assertRaises(QueueMissing):
            await self.post(self.body, create=False)
        self.storage = storage_at(self.redis, self.clock, quotas=Quotas(bytes_per_queue=len(self.body)))
        await self.post(self.body)
        with self.assertRaises(QuotaExceeded):
            await self.post(self.body)
        self.assertEqual(await self.kept(), 1)
        self.assertEqual((await self.storage.queues.usage("p")).bytes, len(self.body))

    async def test_full_redis(self) -> None:
        """Where Redis has no memory left a post is refused whole, and what there is can be deleted."""
        ids = await self.post(self.body, self.body)
        await self.redis.command("CONFIG", "SET", "maxmemory", 1)
        try:
            with self.assertRaises(StoreUnavailable):
                await self.post(self.body)
            await self.storage.messages.delete("p", "q", ids[0], None)
            self.assertEqual(await self.kept(), 1)
            self.assertEqual([one.body for one in await self.storage.messages.pop("p", "q", 1)], [self.body])
        finally:
            await self.redis.command("CONFIG", "SET", "maxmemory", 0)
        self.assertEqual(await self.kept(), 0)

    async def test_gone_meanwhile(self) -> None:
        """A message that is deleted between its claim, or its listing, and its body is left out; the others are not."""
        ids = await self.post(self.body, b"1", self.body)

        def storage() -> RedisStorage:
            delete = partial(self.storage.messages.delete, "p", "q", ids[0], None)
            return storage_at(cast(Redis, Meanwhile(self.redis, delete)), self.clock)

        self.assertEqual(await self.listed(storage()), [b"1", self.body])
        ids = await self.post(self.body)
        self.assertEqual(await storage().messages.get("p", "q", ids), [])
        purging = storage_at(cast(Redis, Meanwhile(self.redis, partial(self.storage.queues.purge, "p", "q"))), self.clock)
        self.assertEqual(await self.listed(purging), [b"1"])
        ids = await self.post(self.body, b"1")

        async def expire() -> None:
            self.clock.advance(60)
            await self.storage.messages.pop("p", "q", 1)

        claiming = storage_at(cast(Redis, Meanwhile(self.redis, expire)), self.clock)
        claim = await claiming.claims.create("p", "q", 60, 0, 2)
        assert claim is not None
        self.assertEqual([message.body for message in claim.messages], [b"1"])

    async def test_lost_meanwhile(self) -> None:
        """Where the bodies of a claim cannot be read its outcome is unknown; since nobody knows of it then, it is released."""
        await self.post(self.body)

        async def lose() -> None:
            raise StoreUnavailable("Too many commands wait for Redis.")

        claiming = storage_at(cast(Redis, Meanwhile(self.redis, lose)), self.clock)
        with self.assertRaises(StoreUnavailable) as caught:
            await claiming.claims.create("p", "q", 60, 60, 1)
        self.assertTrue(caught.exception.outcome_unknown)
        claim = await self.storage.claims.create("p", "q", 60, 60, 1)
        assert claim is not None
        self.assertEqual(len(claim.messages), 1)
