"""Requests to a queue that come in the same turn of the reactor go together, and come to the same as alone."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from random import Random
from typing import Any

from twisted.internet.defer import Deferred, DeferredList
from twisted.internet.task import Clock

from tests.helpers import PROJECT
from tests.storage.redis.test_store import OnRedis
from tests.transport.websocket.client import Peer, make_factory, text
from zaqar_gateway.errors import ClaimMismatch, GatewayError, MessageClaimed, StoreFault, StoreUnavailable
from zaqar_gateway.interfaces import IStorage
from zaqar_gateway.model import Claim, MessagePage, NewMessage, NewPost, Once, QueueRules
from zaqar_gateway.order import Order
from zaqar_gateway.storage.memory import MemoryStorage
from zaqar_gateway.storage.redis.keys import Keys
from zaqar_gateway.storage.redis.together import MESSAGE_SIZE, REQUESTS_MAX, SIZE_MAX


async def outcomes(*works: Awaitable[Any]) -> list[Any]:
    """What came of each of several that begin at once: a value, or an error."""
    begun: list[Deferred[Any]] = [Deferred.fromCoroutine(work) for work in works]  # type: ignore[arg-type]
    found = await DeferredList(begun, consumeErrors=True)
    return [value if ok else value.value for ok, value in found]


class Together(OnRedis):
    """What tests of requests at once need."""

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

    async def calls(self, command: str) -> int:
        """How often Redis has run a command."""
        found: bytes = await self.redis.command("INFO", "commandstats")
        calls = [line for line in found.decode().splitlines() if line.startswith(f"cmdstat_{command}:")]
        return int(calls[0].partition("calls=")[2].partition(",")[0]) if calls else 0

    async def scripts(self) -> int:
        """How many scripts Redis has run."""
        return await self.calls("evalsha")


class PostsTests(Together):
    """Several posts at once."""

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
        await outcomes(*(self.post(b"x") for _ in range(REQUESTS_MAX + 1)))
        self.assertEqual(await self.scripts() - before, 2)
        before = await self.scripts()
        await outcomes(*(self.post(b"x" * (SIZE_MAX // 3)) for _ in range(4)))
        self.assertEqual(await self.scripts() - before, 2)

    async def test_forgotten_scripts(self) -> None:
        """Posts go together also where Redis has forgotten its scripts."""
        await self.redis.command("SCRIPT", "FLUSH")
        found = await outcomes(*(self.post(b"%d" % n) for n in range(3)))
        self.assertEqual(await self.bodies(self.storage), [b"0", b"1", b"2"])
        self.assertEqual([len(ids) for ids in found], [1, 1, 1])

    async def test_order_with_forgotten_scripts(self) -> None:
        """What takes different scripts is stored in its order though Redis knows but some of them again."""
        once = [Once(60, 10, key=f"k{n}") for n in range(2)]
        first, last = (self.post_to(self.storage, [NewMessage(b"%d" % n)], size=1, once=each) for n, each in enumerate(once))
        await self.redis.command("SCRIPT", "FLUSH")
        await first
        await outcomes(self.post(b"plain"), last)
        self.assertEqual(await self.bodies(self.storage), [b"0", b"plain", b"1"])

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


class ClaimsTests(Together):
    """Several claims at once."""

    def claim(self, limit: int, ttl_s: int = 300, queue: str = "q") -> Awaitable[Claim | None]:
        """Claim messages."""
        return self.storage.claims.create("p", queue, ttl_s, 60, limit)

    async def test_together(self) -> None:
        """Claims of one queue on the same terms take one script, and the oldest messages go to those that came first."""
        await self.post(*(b"%d" % n for n in range(6)))
        before = await self.scripts()
        found = await outcomes(self.claim(2), self.claim(1), self.claim(2), self.claim(2), self.claim(1))
        self.assertEqual(await self.scripts() - before, 1)
        bodies = [[message.body for message in claim.messages] if claim else None for claim in found]
        self.assertEqual(bodies, [[b"0", b"1"], [b"2"], [b"3", b"4"], [b"5"], None])
        for claim in found[:4]:
            stored = await self.storage.claims.get("p", "q", claim.id)
            assert stored is not None
            self.assertEqual([one.id for one in stored.messages], [one.id for one in claim.messages])
        await self.storage.claims.release("p", "q", found[0].id)
        self.assertEqual([one.body for one in (await self.claim(9)).messages], [b"0", b"1"])  # type: ignore[union-attr]

    async def test_apart(self) -> None:
        """Claims on other terms, and of other queues, and for many messages, have scripts of their own."""
        await self.post(b"1")
        before = await self.scripts()
        await outcomes(self.claim(1), self.claim(1, ttl_s=60), self.claim(1, queue="o"), self.claim(40), self.claim(40))
        self.assertEqual(await self.scripts() - before, 5)

    async def test_each(self) -> None:
        """Those for whom each message has a claim of its own go together likewise, and each can be given back."""
        await self.post(*(b"%d" % n for n in range(5)))
        before = await self.scripts()
        found = await outcomes(*(self.storage.claims.create_each("p", "q", 300, 60, 2) for _ in range(3)))
        self.assertEqual(await self.scripts() - before, 1)
        self.assertEqual([[one.body for one in messages] for messages in found], [[b"0", b"1"], [b"2", b"3"], [b"4"]])
        held = [one for messages in found for one in messages]
        self.assertEqual(len({one.claim_id for one in held}), 5)
        await self.storage.claims.release("p", "q", held[3].claim_id)
        self.assertEqual([one.body for one in (await self.claim(9)).messages], [b"3"])  # type: ignore[union-attr]

    async def test_much_that_has_expired(self) -> None:
        """Where more than fits into a step has to be passed over first, each claim gets its messages all the same."""
        await outcomes(*(self.post(*[b"x"] * 500) for _ in range(6)))
        self.clock.advance(61)
        await self.post(b"1", b"2", b"3")
        found = await outcomes(*(self.claim(1) for _ in range(4)))
        self.assertEqual([[one.body for one in claim.messages] for claim in found[:3]], [[b"1"], [b"2"], [b"3"]])
        self.assertIsNone(found[3])


class DeletesTests(Together):
    """Several deletions at once."""

    def delete(self, message_id: str, claim_id: str | None = None) -> Awaitable[None]:
        """Delete a message."""
        return self.storage.messages.delete("p", "q", message_id, claim_id)

    async def test_together(self) -> None:
        """Deletions in one queue take one script; one that is refused keeps no other from taking effect."""
        ids = await self.post(*(b"%d" % n for n in range(6)))
        claim = await self.storage.claims.create("p", "q", 300, 60, 3)
        assert claim is not None
        before = await self.scripts()
        found = await outcomes(
            self.delete(ids[5]),
            self.delete(ids[0]),
            self.delete(ids[1], claim.id),
            self.delete(ids[5]),
            self.delete(ids[3], claim.id),
            self.delete("0" * 24),
            self.delete(ids[2], claim.id),
        )
        self.assertEqual(await self.scripts() - before, 1)
        refused = [type(each) for each in found]
        nothing = type(None)
        self.assertEqual(refused, [nothing, MessageClaimed, nothing, nothing, ClaimMismatch, nothing, nothing])
        self.assertEqual(await self.bodies(self.storage), [b"0", b"3", b"4"])

    async def test_end_of_a_claim(self) -> None:
        """A claim ends with its last message also for what comes after that in the same script."""
        ids = await self.post(b"1", b"2")
        first, second = [await self.storage.claims.create("p", "q", 300, 60, 1) for _ in range(2)]
        assert first is not None and second is not None
        (claimed,) = await outcomes(self.delete(ids[1], first.id))
        self.assertIsInstance(claimed, MessageClaimed)
        gone, mismatched = await outcomes(self.delete(ids[0], first.id), self.delete(ids[1], first.id))
        self.assertIsNone(gone)
        self.assertIsInstance(mismatched, ClaimMismatch)

    async def test_random(self) -> None:
        """Whatever claims and deletions come together, the same comes of each as of one after the other."""
        for seed in range(60):
            await self.redis.command("FLUSHALL")
            await self.walk(Random(seed), MemoryStorage(self.clock), seed)

    async def walk(self, random: Random, memory: MemoryStorage, seed: int) -> None:
        """Some rounds of requests at once, on Redis; and in their order, in memory."""
        stores: tuple[IStorage, IStorage] = (self.storage, memory)
        rules = QueueRules(
            message_delay_s=random.choice((0, 0, 5)),
            claim_count_max=random.choice((None, None, 1)),
            dead_letter_queue="dead" if random.random() < 0.3 else None,
        )
        new = [NewMessage(b"%d" % n, random.choice((60, 400)), random.choice((None, 0))) for n in range(30)]
        ids: list[dict[bytes, str]] = []
        for storage in stores:
            await storage.queues.create("p", "q", b"{}", rules)
            given = await self.post_to(storage, new, size=9)
            ids.append({one.body: message_id for one, message_id in zip(new, given, strict=True)})
        claims: list[tuple[str, str]] = [("none", "none")]
        for _ in range(8):
            self.clock.advance(random.choice((0, 0, 6, 61)))
            asked = [self.request(random, claims, len(new)) for _ in range(random.randint(1, 9))]
            found = await outcomes(*(ask(self.storage, ids[0], 0) for ask in asked))
            for ask, each in zip(asked, found, strict=True):
                try:
                    like = await ask(memory, ids[1], 1)
                except GatewayError as error:
                    self.assertIs(type(each), type(error), (seed, each, error))
                    continue
                if isinstance(like, Claim):
                    self.assertEqual([one.body for one in each.messages], [one.body for one in like.messages], seed)
                    self.assertEqual([one.ttl_s for one in each.messages], [one.ttl_s for one in like.messages], seed)
                    claims.append((each.id, like.id))
                else:
                    self.assertEqual((each, like), (None, None), seed)
            self.assertEqual(await self.bodies(self.storage), await self.bodies(memory), seed)
            self.assertEqual(await self.bodies(self.storage, "dead"), await self.bodies(memory, "dead"), seed)

    @staticmethod
    def request(random: Random, claims: list[tuple[str, str]], most: int) -> Callable[..., Awaitable[Any]]:
        """Something to ask of a store: (store, its ids by body, which of them it is) to what comes of it."""
        bodies = [b"%d" % random.randrange(most) for _ in range(random.randint(1, 3))]
        claim, limit, ttl_s = random.choice(claims), random.randint(1, 3), random.choice((60, 300))
        kind = random.choice(("claim", "claim", "one", "own", "any", "under"))

        def ask(storage: IStorage, ids: dict[bytes, str], which: int) -> Awaitable[Any]:
            if kind == "claim":
                return storage.claims.create("p", "q", ttl_s, 60, limit)
            if kind in ("one", "own"):
                return storage.messages.delete("p", "q", ids[bodies[0]], claim[which] if kind == "own" else None)
            chosen = [ids[body] for body in bodies]
            return storage.messages.delete_many("p", "q", chosen, [claim[which]] if kind == "under" else None)

        return ask


class ReadsTests(Together):
    """Several reads at once that need no script."""

    def page(self, limit: int = 10, marker: str | None = None, queue: str = "q") -> Awaitable[MessagePage]:
        """A page of a queue."""
        return self.storage.messages.list(
            "p", queue, marker=marker, limit=limit, skip_client=None, include_claimed=True, include_delayed=True
        )

    async def reads(self) -> int:
        """How often the time was asked for."""
        return await self.calls("time")

    async def test_together(self) -> None:
        """Pages and single messages of one queue are read in one, and each gets its own."""
        ids = await self.post(b"1", b"2", b"3")
        before, scripts = await self.reads(), await self.scripts()
        first, one, rest, none, other = await outcomes(
            self.page(1),
            self.storage.messages.get("p", "q", [ids[1]]),
            self.page(10, ids[0]),
            self.page(10, ids[2]),
            self.storage.messages.get("p", "q", ["0" * 24]),
        )
        self.assertEqual((await self.reads() - before, await self.scripts() - scripts), (1, 0))
        self.assertEqual([message.id for message in first.messages], ids[:1])
        self.assertEqual([message.id for message in one], ids[1:2])
        self.assertEqual([message.id for message in rest.messages], ids[1:])
        self.assertEqual((none.messages, other), ([], []))

    async def test_claimed(self) -> None:
        """So are pages that leave out what is claimed."""
        ids = await self.post(b"1", b"2", b"3")
        await self.storage.claims.create("p", "q", 60, 60, 2)

        def page(marker: str | None) -> Awaitable[MessagePage]:
            return self.storage.messages.list(
                "p", "q", marker=marker, limit=10, skip_client=None, include_claimed=False, include_delayed=True
            )

        for _ in range(10):  # until the head is known, and nothing is asked in vain any more
            await page(None)
        before, scripts = await self.reads(), await self.scripts()
        pages = await outcomes(page(None), page(ids[0]), page(ids[1]), page(ids[2]))
        self.assertEqual((await self.reads() - before, await self.scripts() - scripts), (1, 0))
        self.assertEqual([[one.id for one in each.messages] for each in pages], [ids[2:]] * 3 + [[]])

    async def test_order(self) -> None:
        """What is asked between two reads comes between them; reads of other queues go alone."""
        await self.post(b"1")
        await self.post(b"9", queue="o")
        before = await self.reads()
        first, _, second, other, third = await outcomes(
            self.page(), self.post(b"2"), self.page(), self.page(queue="o"), self.page()
        )
        self.assertEqual(await self.reads() - before, 4)
        found = [[message.body for message in each.messages] for each in (first, second, other, third)]
        self.assertEqual(found, [[b"1"], [b"1", b"2"], [b"9"], [b"1", b"2"]])

    async def test_bounds(self) -> None:
        """So many are read in one, and so many messages."""
        (one,) = await self.post(b"1")
        for works, times in (
            ([self.storage.messages.get("p", "q", [one]) for _ in range(REQUESTS_MAX + 1)], 2),
            ([self.page(SIZE_MAX // MESSAGE_SIZE // 2) for _ in range(3)], 2),
        ):
            before = await self.reads()
            await outcomes(*works)
            self.assertEqual(await self.reads() - before, times)

    async def test_refused(self) -> None:
        """Where Redis refuses one command all are told, once."""
        await self.post(b"1")
        await self.redis.command("SET", Keys().queue("p", "q") + b":m", b"no stream")
        found = await outcomes(self.page(), self.page())
        self.assertEqual([type(each) for each in found], [StoreFault] * 2)
        self.assertEqual(await self.redis.command("PING"), b"PONG")

    async def test_lost(self) -> None:
        """Where the connection is lost before they are answered each is told so."""
        waiting = Deferred.fromCoroutine(outcomes(self.page(), self.page()))
        assert self.redis._protocol is not None
        self.redis._protocol._flush()
        self.redis._protocol.transport.abortConnection()
        self.assertEqual([type(each) for each in await waiting], [StoreUnavailable] * 2)


class OvertakingTests(Together):
    """Requests of different kinds at once, as they come of many connections."""

    order: Order

    async def setUp(self) -> None:  # type: ignore[override]
        self.order = Order()
        await super().setUp()
        self.ids = await self.post(*(b"%d" % n for n in range(6)))
        await self.post(b"x", queue="o")

    async def mixed(self) -> tuple[list[Any], int, int]:
        """What comes of posts, claims, deletions and pages by turns, and how many scripts and reads it takes."""
        messages, scripts, times = self.storage.messages, await self.scripts(), await self.calls("time")
        looks: dict[str, Any] = {"limit": 9, "skip_client": None, "include_claimed": True, "include_delayed": True}
        found = await outcomes(
            *(
                work
                for n in range(3)
                for work in (
                    self.post(b"new%d" % n),
                    self.storage.claims.create("p", "q", 300, 60, 1),
                    messages.delete("p", "q", self.ids[5 - n], None),
                    messages.list("p", "o", marker=None, **looks),
                )
            )
        )
        return found, await self.scripts() - scripts, await self.calls("time") - times

    async def test_kinds(self) -> None:
        """Those of one kind go together, whatever is between them, and each gets its own answer."""
        found, scripts, reads = await self.mixed()
        self.assertEqual((scripts, reads), (3, 1))
        posted, claims, deleted, pages = (found[n::4] for n in range(4))
        self.assertEqual(posted, sorted(posted))
        self.assertEqual([[one.body for one in claim.messages] for claim in claims], [[b"0"], [b"1"], [b"2"]])
        self.assertEqual(deleted, [None] * 3)
        self.assertEqual([[one.body for one in page.messages] for page in pages], [[b"x"]] * 3)
        self.assertEqual(await self.bodies(self.storage), [b"0", b"1", b"2", b"new0", b"new1", b"new2"])

    async def test_several_of_a_connection(self) -> None:
        """While a connection has several requests under way nothing overtakes."""
        self.order.several.add(self)
        _, scripts, reads = await self.mixed()
        self.assertEqual((scripts, reads), (9, 3))
        self.order.several.remove(self)
        self.ids = await self.post(*(b"%d" % n for n in range(6)))
        _, scripts, reads = await self.mixed()
        self.assertEqual((scripts, reads), (3, 1))

    async def test_turns(self) -> None:
        """What was sent takes nothing more in."""
        first, _ = await outcomes(self.post(b"a"), self.storage.messages.pop("p", "q", 9))
        (second,) = await outcomes(self.post(b"b"))
        self.assertLess(first, second)
        self.assertEqual(await self.bodies(self.storage), [b"b"])

    async def test_encrypted(self) -> None:
        """A post of encrypted bodies overtakes nothing, for what keeps their key may be before it."""
        await self.storage.queues.create("p", "s", b"{}", QueueRules(encrypted=True))
        new = [NewMessage(b"\x01sealed")]
        before = await self.scripts()
        await outcomes(*(self.post_to(self.storage, new, "s", size=7, encrypted=True) for _ in range(2)))
        self.assertEqual(await self.scripts() - before, 1)
        before = await self.scripts()
        await outcomes(
            self.post_to(self.storage, new, "s", size=7, encrypted=True),
            self.storage.messages.pop("p", "s", 9),
            self.post_to(self.storage, new, "s", size=7, encrypted=True),
        )
        self.assertEqual(await self.scripts() - before, 3)

    async def test_lost(self) -> None:
        """What is asked for when the connection is lost is told so, and waits for nothing that was asked before."""
        works = [self.post(b"1"), self.storage.messages.pop("p", "q", 1), self.post(b"2")]
        waiting = Deferred.fromCoroutine(outcomes(*works))
        assert self.redis._protocol is not None
        self.redis._protocol._fail_all()
        late = await outcomes(self.post(b"3"))
        self.assertEqual([type(each) for each in (*await waiting, *late)], [StoreUnavailable] * 4)


class SocketsTests(OnRedis):
    """Sockets that send several frames at once, among others that send one."""

    order: Order

    async def setUp(self) -> None:  # type: ignore[override]
        self.order = Order()
        await super().setUp()

    async def test_random(self) -> None:
        """Whatever sockets ask for at once, the requests of each take effect in the order in which it has sent them."""
        several = 0
        for seed in range(80):
            await self.redis.command("FLUSHALL")
            random = Random(seed)
            factory = make_factory(self.storage, Clock(), order=self.order)
            await self.storage.messages.post(PROJECT, "q", NewPost(b"c", [NewMessage(b'"old"')], size=5, ttl_default_s=600, size_max=100))
            peers = [Peer(factory) for _ in range(random.randint(2, 6))]
            asked = [
                [random.choice(("post", "list", "claim")) for _ in range(random.choice((1, 1, 1, 3, 5)))] for _ in peers
            ]
            for number, (peer, kinds) in enumerate(zip(peers, asked, strict=True)):
                peer.send(*(self.frame(kind, f"{number}.{at}") for at, kind in enumerate(kinds)))
                several += peer.protocol in self.order.several
                if len(kinds) == 1:
                    self.assertNotIn(peer.protocol, self.order.several)
            replies: list[list[Any]] = [[] for _ in peers]
            while [*map(len, replies)] != [*map(len, asked)]:
                await self.redis.command("PING")
                for peer, got in zip(peers, replies, strict=True):
                    got += peer.replies()
            self.assertEqual(self.order.several, set())
            taken = {
                one["body"]
                for kinds, got in zip(asked, replies, strict=True)
                for kind, reply in zip(kinds, got, strict=True)
                if kind == "claim" and reply["headers"]["status"] == 201
                for one in reply["body"]["messages"]
            }
            for number, (kinds, got) in enumerate(zip(asked, replies, strict=True)):
                posted: set[str] = set()
                for at, (kind, reply) in enumerate(zip(kinds, got, strict=True)):
                    if kind == "post":
                        posted.add(f"{number}.{at}")
                        continue
                    found = {one["body"] for one in reply["body"].get("messages", ())}
                    own = {body for body in found if body.startswith(f"{number}.")}
                    if kind == "list":
                        self.assertEqual(own, posted, seed)
                    else:
                        self.assertLessEqual(own, posted, (seed, "claimed before it was posted"))
                        self.assertLessEqual(posted, taken, (seed, "not claimed"))
        self.assertGreater(several, 50)

    async def statuses(self, *frames: bytes) -> list[tuple[int, Any]]:
        """What a socket is answered that sends these in one go."""
        peer, got = Peer(make_factory(self.storage, Clock(), order=self.order)), list[Any]()
        peer.send(*frames)
        while len(got) < len(frames):
            await self.redis.command("PING")
            got += peer.replies()
        return [(reply["headers"]["status"], reply["body"]) for reply in got]

    async def test_reads_before_writes(self) -> None:
        """What is read of a message is what it was before the next request took it away, also where that takes another step."""
        long = b'"%b"' % (b"x" * 100_000)
        for body in (b'"short"', long):
            for read in ("message_get", "message_get_many", "message_list"):
                new = NewPost(b"c", [NewMessage(body)], size=len(body), ttl_default_s=600, size_max=200_000)
                (one,) = await self.storage.messages.post(PROJECT, "q", new)
                claim = await self.storage.claims.create(PROJECT, "q", 300, 60, 1)
                assert claim is not None
                named: dict[str, Any] = {"message_get": {"message_id": one}, "message_get_many": {"message_ids": [one]}}
                asked = named.get(read, {"include_claimed": True, "echo": True})
                (status, found), *others = await self.statuses(
                    text(read, queue_name="q", **asked),
                    text("message_delete", queue_name="q", message_id=one, claim_id=claim.id),
                    text("message_list", queue_name="q", include_claimed=True, echo=True),
                )
                shown = found["messages"] if read != "message_get" else [found["messages"]]
                self.assertEqual((status, [each["body"] for each in shown]), (200, [json.loads(body)]), read)
                self.assertEqual(others, [(204, {}), (200, {"messages": []})], read)

    async def test_claims_before_purges(self) -> None:
        """A claim has its long bodies, whatever becomes of the queue in the next request."""
        body = b'"%b"' % (b"x" * 100_000)
        new = NewPost(b"c", [NewMessage(body)] * 2, size=2 * len(body), ttl_default_s=600, size_max=300_000)
        for taken in ("queue_purge", "queue_delete"):
            await self.storage.messages.post(PROJECT, "q", new)
            (status, claimed), (gone, _) = await self.statuses(
                text("claim_create", queue_name="q", ttl=300, grace=60, limit=2), text(taken, queue_name="q")
            )
            self.assertEqual((status, gone), (201, 204))
            self.assertEqual([one["body"] for one in claimed["messages"]], [json.loads(body)] * 2)

    @staticmethod
    def frame(kind: str, body: str) -> bytes:
        """A request of a kind."""
        if kind == "post":
            return text("message_post", queue_name="q", messages=[{"body": body, "ttl": 600}])
        if kind == "claim":
            return text("claim_create", queue_name="q", ttl=300, grace=60, limit=20)
        return text("message_list", queue_name="q", echo=True, include_claimed=True, limit=20)
