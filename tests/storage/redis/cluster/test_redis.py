"""Commands on a cluster: slots that move between nodes, and what is asked of all nodes."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater

from tests.redis_cluster import shared_cluster
from tests.storage.redis.cluster.case import KEYS, OnCluster, cluster_redis, reactor
from zaqar_gateway.errors import StoreUnavailable
from zaqar_gateway.storage.redis.cluster.slots import slot_of
from zaqar_gateway.storage.redis.commands import SlotMoved
from zaqar_gateway.storage.redis.store import RedisStorage, Sweeper
from zaqar_gateway.testing.base import StoreContract

SLOT = slot_of(KEYS.queue("p", "q"))
LONG = b'"%b"' % (b"x" * 50_000)


async def until(condition: Callable[[], object]) -> None:
    """Let the reactor turn until something is so."""
    while not condition():
        await deferLater(reactor, 0.01)


class MovingTests(StoreContract, OnCluster):
    """A slot that is on its way to another node."""

    async def setUp(self) -> None:  # type: ignore[override]
        await super().setUp()
        self.cluster = shared_cluster()
        self.source = self.cluster.owner(SLOT)
        self.target = next(node for node in self.cluster.nodes if node is not self.source)
        self.addCleanup(self.call_it_off)
        await self.make()
        await self.put(b"1", b"2", b"3")

    def call_it_off(self) -> None:
        """Have the slot stay where it is."""
        for node in (self.target, self.source):
            node.call("CLUSTER", "SETSLOT", SLOT, "STABLE")

    async def waits(self, *steps: Coroutine[Any, Any, Any]) -> list[Deferred[Any]]:
        """What was asked for, and has no answer, and took no effect."""
        before = self.source.call("DBSIZE")
        asked = [Deferred.fromCoroutine(step) for step in steps]
        for _ in range(2):
            await self.redis.ping()  # behind what refused them
        self.assertEqual([each for each in asked if each.called], [])
        self.assertEqual(self.source.call("DBSIZE"), before)
        return asked

    async def test_waits(self) -> None:
        """What needs a slot that is being moved waits, and then takes effect at its new place, once."""
        self.cluster.begin_move(SLOT, self.target)
        asked = await self.waits(self.put(b"4"), self.put(LONG))
        # Nothing new is made here; with some keys there, and some here, everything is as it was.
        self.cluster.move_keys(SLOT, self.target, 1)
        asked += await self.waits(self.claimed_bodies(2), self.popped(1), self.stats())
        while self.cluster.move_keys(SLOT, self.target):
            pass
        self.cluster.end_move(SLOT, self.target)
        for each in asked:
            await each
        self.assertEqual(self.source.call("CLUSTER", "COUNTKEYSINSLOT", SLOT), 0)
        self.assertEqual((await self.counts()), (2, 2))
        self.assertEqual(await self.popped(), [b"4", LONG])

    async def test_rolled_back(self) -> None:
        """Where it is not moved after all, what waits takes effect where it was."""
        self.cluster.begin_move(SLOT, self.target)
        (asked,) = await self.waits(self.put(b"4"))
        self.call_it_off()
        await asked
        self.assertEqual(await self.popped(), [b"1", b"2", b"3", b"4"])
        self.assertIs(self.cluster.owner(SLOT), self.source)

    async def test_order(self) -> None:
        """What is asked for before, while and after the slot moves takes effect in this order, long bodies as well."""
        self.order.several.add("a client")
        await self.popped()
        asked: list[Deferred[Any]] = []

        async def more() -> None:
            for _ in range(6):
                number = len(asked)
                body = b'"%d"' % number if number % 4 else b'"%d%b"' % (number, b"x" * 40_000)
                asked.append(Deferred.fromCoroutine(self.put(body)))
                if number % 3 == 2:
                    await deferLater(reactor, 0)

        for target in (self.target, self.source, self.target):
            await more()
            self.cluster.begin_move(SLOT, target)
            await more()
            while self.cluster.move_keys(SLOT, target, 2):
                await more()
            self.cluster.end_move(SLOT, target)
            await more()
        for each in asked:
            await each
        found: list[int] = []
        while page := await self.popped():
            found += [int(body.strip(b'"x')) for body in page]
        self.assertEqual(found, [*range(len(asked))])

    async def test_leaves_nothing(self) -> None:
        """Of a post that is given up nothing is left, a long body neither."""
        bodies = KEYS.queue("p", "q") + b":w"
        await self.put(LONG)
        self.cluster.begin_move(SLOT, self.target)
        asked = Deferred.fromCoroutine(self.put(LONG))
        await self.redis.ping()
        self.assertEqual(self.source.call("HLEN", bodies), 1)
        await self.redis.stop()
        with self.assertRaises(StoreUnavailable):
            await asked
        self.assertEqual(self.source.call("HLEN", bodies), 1)

    async def test_takes_too_long(self) -> None:
        """What waits for longer than a command may take is refused."""
        redis = cluster_redis(self.cluster, timeout_s=1.0)
        redis.start()
        await redis.when_ready()
        self.storage = RedisStorage(redis, self.doorbells, KEYS)
        self.addCleanup(lambda: Deferred.fromCoroutine(redis.stop()))
        self.cluster.begin_move(SLOT, self.target)
        for asked in (self.put(b"4"), self.put(LONG), self.popped(1)):
            with self.assertRaises(SlotMoved):
                await asked

    async def test_moved(self) -> None:
        """A slot that has moved is found at once, long before the next look."""
        self.cluster.move(SLOT, self.target)
        self.assertEqual(await self.popped(), [b"1", b"2", b"3"])
        self.assertEqual(self.redis.nodes.place_of(KEYS.queue("p", "q")), ("127.0.0.1", self.target.port))

    async def test_stopped(self) -> None:
        """What waits when all ends is refused."""
        self.cluster.begin_move(SLOT, self.target)
        asked = await self.waits(self.put(b"4"))
        await self.redis.stop()
        with self.assertRaises(StoreUnavailable):
            await asked[0]


class PartsTests(StoreContract, OnCluster):
    """What is asked of all nodes."""

    async def test_sweeping(self) -> None:
        """What has expired is swept on all nodes."""
        nodes = shared_cluster().nodes
        for number in range(30):
            await self.put(b"1", b"2", project=f"p{number}", ttl_s=60)
        await self.put(b"3", ttl_s=6000)
        self.assertTrue(all(node.call("DBSIZE") for node in nodes))
        self.clock.advance(61)
        volume = await self.storage.volume()
        self.assertEqual((volume.free, volume.claimed), (1, 0))
        sweeper = Sweeper(self.redis, KEYS, lambda: int(self.clock.seconds() * 1000))
        for _ in range(10):
            await sweeper.step()
        streams = [key for node in nodes for key in node.call("KEYS", "*:m")]
        self.assertEqual(streams, [KEYS.queue("p", "q") + b":m"])
