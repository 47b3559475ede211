"""Posts that come in the same turn of the reactor go together, and come to the same as alone."""

from __future__ import annotations

from collections.abc import Awaitable
from random import Random
from typing import Any

from twisted.internet.defer import Deferred, DeferredList

from tests.storage.redis.test_store import OnRedis
from zaqar_gateway.errors import GatewayError, StoreUnavailable
from zaqar_gateway.interfaces import IStorage
from zaqar_gateway.model import NewMessage, NewPost, QueueRules
from zaqar_gateway.storage.memory import MemoryStorage
from zaqar_gateway.storage.redis.posts import POSTS_MAX, SIZE_MAX


async def outcomes(*works: Awaitable[Any]) -> list[Any]:
    """What came of each of several that begin at once: a value, or an error."""
    begun: list[Deferred[Any]] = [Deferred.fromCoroutine(work) for work in works]  # type: ignore[arg-type]
    found = await DeferredList(begun, consumeErrors=True)
    return [value if ok else value.value for ok, value in found]


class PostsTests(OnRedis):
    """Several posts at once."""

    def post(self, *bodies: bytes, queue: str = "q", client: bytes = b"c") -> Awaitable[list[str]]:
        """Post messages with these bodies."""
        return self.post_to(self.storage, list(map(NewMessage, bodies)), queue, client, size=sum(map(len, bodies)))

    def post_to(
        self, storage: IStorage, new: list[NewMessage], queue: str = "q", client: bytes = b"c", **terms: Any
    ) -> Awaitable[list[str]]:
        """Post to a store."""
        given = {"ttl_default_s": 60, "size_max": 100_000, **terms}
        return storage.messages.post("p", queue, NewPost(client, new, **given))

    async def bodies(self, storage: IStorage, queue: str = "q") -> list[bytes]:
        """Of all messages of a queue, in their order."""
        page = await storage.messages.list(
            "p", queue, marker=None, limit=1000, skip_client=None, include_claimed=True, include_delayed=True
        )
        return [message.body for message in page.messages]

    async def scripts(self) -> int:
        """How many scripts Redis has run."""
        found: bytes = await self.redis.command("INFO", "commandstats")
        calls = [line for line in found.decode().splitlines() if line.startswith("cmdstat_evalsha:")]
        return int(calls[0].partition("calls=")[2].partition(",")[0]) if calls else 0

    async def test_together(self) -> None:
        """Posts to one queue take one script, whoever they are of, and each gets its own ids, in the order in which they came."""
        before = await self.scripts()
        found = await outcomes(*(self.post(b"%d" % n, b"x", client=b"c%d" % n) for n in range(5)))
        self.assertEqual(await self.scripts() - before, 1)
        self.assertEqual([len(ids) for ids in found], [2] * 5)
        ids: list[str] = sum(found, [])
        self.assertEqual(ids, sorted(set(ids)))
        self.assertEqual((await self.bodies(self.storage))[::2], [b"%d" % n for n in range(5)])
        own = await self.storage.messages.list(
            "p", "q", marker=None, limit=20, skip_client=b"c3", include_claimed=True, include_delayed=True
        )
        self.assertEqual(len(own.messages), 8)

    async def test_order(self) -> None:
        """What is asked between two posts comes between them; posts to other queues go alone."""
        before = await self.scripts()
        first, popped, second, other, third = await outcomes(
            self.post(b"1"), self.storage.messages.pop("p", "q", 10), self.post(b"2"), self.post(b"9", queue="o"), self.post(b"3")
        )
        self.assertEqual(await self.scripts() - before, 5)
        self.assertEqual([message.body for message in popped], [b"1"])
        self.assertEqual(await self.bodies(self.storage), [b"2", b"3"])
        self.assertLess(second, third)
        self.assertNotIn(first, (second, other))

    async def test_bounds(self) -> None:
        """A script has some posts, and some tens of KiB, at most."""
        before = await self.scripts()
        await outcomes(*(self.post(b"x") for _ in range(POSTS_MAX + 1)))
        self.assertEqual(await self.scripts() - before, 2)
        before = await self.scripts()
        await outcomes(*(self.post(b"x" * (SIZE_MAX // 2)) for _ in range(3)))
        self.assertEqual(await self.scripts() - before, 2)

    async def test_forgotten_scripts(self) -> None:
        """Posts go together also where Redis has forgotten its scripts."""
        await self.redis.command("SCRIPT", "FLUSH")
        found = await outcomes(*(self.post(b"%d" % n) for n in range(3)))
        self.assertEqual(await self.bodies(self.storage), [b"0", b"1", b"2"])
        self.assertEqual([len(ids) for ids in found], [1, 1, 1])

    async def test_away(self) -> None:
        """Without Redis each is told so."""
        await self.redis.stop()
        found = await outcomes(self.post(b"1"), self.post(b"2"))
        self.assertEqual([type(each) for each in found], [StoreUnavailable] * 2)

    async def test_lost(self) -> None:
        """Where the connection is lost before they are answered each is told that nobody knows."""
        works = [self.post(b"1"), self.post(b"2")]
        waiting = Deferred.fromCoroutine(outcomes(*works))
        assert self.redis._protocol is not None
        self.redis._protocol.transport.abortConnection()
        found = await waiting
        self.assertEqual([type(each) for each in found], [StoreUnavailable] * 2)

    async def test_random(self) -> None:
        """Whatever posts come together, and of whatever kind, the same comes of each as of one after the other."""
        for seed in range(60):
            random = Random(seed)
            await self.redis.command("FLUSHALL")
            memory = MemoryStorage(self.clock)
            if random.random() < 0.7:
                rules = QueueRules(
                    message_delay_s=random.choice((0, 5)),
                    post_size_max=random.choice((None, 30)),
                    encrypted=random.random() < 0.2,
                )
                for storage in (self.storage, memory):
                    await storage.queues.create("p", "q", b"{}", rules)
            given: list[tuple[list[NewMessage], dict[str, Any]]] = []
            for number in range(random.randint(1, 12)):
                new = [
                    NewMessage(b"%d.%d" % (number, at), random.choice((None, 60, 90)), random.choice((None, 0, 9)))
                    for at in range(random.randint(1, 3))
                ]
                rare = random.random() < 0.2
                given.append((new, {"size": random.choice((10, 40)), "encrypted": rare, "create": random.random() < 0.9}))
            found = await outcomes(*(self.post_to(self.storage, new, **terms) for new, terms in given))
            for (new, terms), each in zip(given, found, strict=True):
                try:
                    ids = await self.post_to(memory, new, **terms)
                except GatewayError as error:
                    self.assertEqual((type(each), str(each)), (type(error), str(error)), seed)
                else:
                    self.assertEqual(len(each), len(ids), (seed, each))
            self.assertEqual(await self.bodies(self.storage), await self.bodies(memory), seed)
