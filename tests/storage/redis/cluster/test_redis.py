"""Nodes that come and go, and slots that move between them."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.endpoints import HostnameEndpoint
from twisted.internet.task import deferLater
from twisted.trial.unittest import TestCase

from tests.redis_cluster import Cluster, ClusterNode, shared_cluster
from tests.redis_server import connect, shared_server
from tests.storage.redis.cluster.case import KEYS, OnCluster, Ringing, cluster_redis, connecting, reactor
from tests.system.gateway import free_port
from zaqar_gateway.errors import StoreUnavailable
from zaqar_gateway.order import Order
from zaqar_gateway.storage.redis.cluster.redis import ClusterRedis, check_is_alone
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

    async def test_refused(self) -> None:
        """Where a client has several requests under way one could come behind a later one: it is refused, and nothing is stored."""
        self.order.several.add("a client")
        self.cluster.begin_move(SLOT, self.target)
        for asked in (self.put(b"4"), self.put(LONG), self.popped(1), self.claimed_bodies(1)):
            with self.assertRaises(SlotMoved):
                await asked
        self.call_it_off()
        self.assertEqual(await self.popped(), [b"1", b"2", b"3"])

    async def test_takes_too_long(self) -> None:
        """What waits for longer than a command may take is refused."""
        redis = cluster_redis(self.cluster, timeout_s=0.2)
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
        self.assertEqual(self.redis.place_of(KEYS.queue("p", "q")), ("127.0.0.1", self.target.port))

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


class Nodes(Ringing):
    """A test with a cluster of its own, each master of which has a replica."""

    async def setUp(self) -> None:  # type: ignore[override]
        self.cluster = Cluster(3, 1, "--appendonly", "no")
        self.addCleanup(self.cluster.stop)
        await super().setUp()

    def redis_under_test(self) -> ClusterRedis:
        return cluster_redis(self.cluster)


class NodesTests(StoreContract, Nodes):
    """Nodes that come and go."""

    async def stored(self, body: bytes) -> None:
        """Post until it is."""
        while True:
            try:
                await self.put(body)
            except StoreUnavailable:
                await deferLater(reactor, 0.05)
            else:
                return

    def ring_of(self) -> list[str]:
        """A list that grows with each ring of the queue."""
        rung: list[str] = []
        self.doorbells.watch(self.place(), lambda: rung.append("rung"))
        return rung

    async def replaced(self, master: ClusterNode) -> None:
        """Wait until another node has the slot."""
        await until(lambda: self.redis.place_of(KEYS.queue("p", "q")) not in (None, ("127.0.0.1", master.port)))

    async def test_failover(self) -> None:
        """Where a master is gone its replica is found, and who waits there hears of what is posted; the others go on meanwhile."""
        await self.stored(b"1")
        rung = self.ring_of()
        master = self.cluster.owner(SLOT)
        master.kill()
        await self.replaced(master)
        await self.stored(b"2")
        await self.doorbells.when_ready()
        rung.clear()
        await self.stored(b"3")
        await until(lambda: rung)
        self.assertEqual((await self.popped())[-2:], [b"2", b"3"])

    async def test_demoted(self) -> None:
        """A master that is made a replica in good order is left, and nothing is refused."""
        await self.stored(b"1")
        rung = self.ring_of()
        master = self.cluster.owner(SLOT)
        replica = next(node for node in self.cluster.nodes if any(words[3] == master.name for words in node.told() if "myself" in words[2]))
        replica.call("CLUSTER", "FAILOVER")
        await until(lambda: self.cluster.owner(SLOT) is replica)
        await self.put(b"2")
        await self.replaced(master)
        await self.doorbells.when_ready()
        rung.clear()
        await self.put(b"3")
        await until(lambda: rung)
        self.assertEqual(await self.popped(), [b"1", b"2", b"3"])

    async def test_new_node(self) -> None:
        """A node that joins, and gets its first slot, serves it; one that has no slot left is left alone."""
        await self.put(b"1")
        rung = self.ring_of()
        first = self.cluster.owner(SLOT)
        other = self.cluster.add()
        self.cluster.move(SLOT, other)
        await self.put(b"2")
        await until(lambda: len(self.redis.nodes) == 4)
        await self.doorbells.when_ready()
        rung.clear()
        await self.put(b"3")
        await until(lambda: rung)
        self.cluster.move(SLOT, first)
        self.assertEqual(await self.popped(), [b"1", b"2", b"3"])
        await until(lambda: len(self.redis.nodes) == 3)

    async def test_one_is_away(self) -> None:
        """What is at a node that is gone is refused at once, and what is elsewhere is served; it is ready as long as one answers."""
        for node in self.cluster.nodes:
            node.call("CONFIG", "SET", "cluster-require-full-coverage", "no")
        gone = self.cluster.owner(SLOT)
        for node in self.cluster.nodes[3:]:
            node.kill()
        gone.kill()
        elsewhere = next(name for name in "abcdefgh" if self.redis.place_of(KEYS.queue(name, "q")) != ("127.0.0.1", gone.port))
        await until(lambda: not self.redis.nodes["127.0.0.1", gone.port].redis.ready)
        with self.assertRaises(StoreUnavailable):
            await self.put(b"1")
        await self.storage.ping()
        await self.put(b"2", project=elsewhere)
        self.assertEqual(await self.popped(project=elsewhere), [b"2"])


class RefusalTests(TestCase):
    """What is no cluster that can be used."""

    async def why(self, *ports: int, password: str | None = None) -> str:
        """Why it cannot be tried."""
        redis = ClusterRedis(
            [("127.0.0.1", port) for port in ports],
            lambda host, port: HostnameEndpoint(reactor, host, port),
            lambda host, port: f"{host}:{port}",
            reactor,
            connecting=connecting if password is None else lambda *given, **more: connecting(*given, **more, login=password),
            order=Order(),
        )
        try:
            await redis.once("PING")
        except StoreUnavailable as error:
            return str(error)
        self.fail("it can be used")

    async def test_nobody_there(self) -> None:
        """Each address is named, with what is wrong there."""
        ports = free_port(), free_port()
        why = await self.why(*ports)
        for port in ports:
            self.assertIn(f"127.0.0.1:{port}: Connection was refused", why)
        self.assertTrue(why.startswith("No node of the Redis Cluster tells which there are; "), why)

    async def test_wrong_password(self) -> None:
        """A password that is refused is told, and not shown."""
        why = await self.why(shared_cluster().nodes[0].port, password="s3cr3t")
        self.assertIn("WRONGPASS", why)
        self.assertNotIn("s3cr3t", why)

    async def test_uncovered(self) -> None:
        """A cluster that has not all slots is told so."""
        node = ClusterNode()
        self.addCleanup(node.kill)
        node.call("CLUSTER", "ADDSLOTSRANGE", 0, 16379)
        self.assertEqual(await self.why(node.port), "The Redis Cluster has no node for 4 of its slots.")

    async def test_can_be_used(self) -> None:
        """One that can be used answers, from all its masters."""
        redis = cluster_redis(shared_cluster())
        self.assertEqual(await redis.once("PING"), [b"PONG"] * 3)

    async def test_alone(self) -> None:
        """A node of a cluster is not taken for one Redis, and one Redis is."""
        port = shared_cluster().nodes[0].port
        node = connecting(HostnameEndpoint(reactor, "127.0.0.1", port), reactor, greet=check_is_alone)
        with self.assertRaisesRegex(StoreUnavailable, "cluster=true"):
            await node.once("PING")
        self.assertEqual(await connect(shared_server(), check_is_alone).once("PING"), b"PONG")
