"""Nodes of a cluster that come and go, and such as cannot be used."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.endpoints import HostnameEndpoint
from twisted.internet.task import Clock, deferLater
from twisted.trial.unittest import SynchronousTestCase, TestCase

from bench.servers import free_port
from tests.redis_cluster import Cluster, ClusterNode, shared_cluster
from tests.redis_server import connect, shared_server
from tests.storage.redis.cluster.case import KEYS, Ringing, cluster_redis, connecting, reactor
from tests.storage.redis.cluster.test_redis import SLOT, until
from zaqar_gateway.errors import StoreUnavailable
from zaqar_gateway.storage.redis.cluster.nodes import Nodes, check_is_alone
from zaqar_gateway.storage.redis.cluster.redis import ClusterRedis
from zaqar_gateway.storage.redis.cluster.slots import slot_of
from zaqar_gateway.testing.base import StoreContract


class OnNodes(Ringing):
    """A test with a cluster of its own, each master of which has a replica."""

    async def setUp(self) -> None:  # type: ignore[override]
        self.cluster = Cluster(3, 1, "--appendonly", "no")
        self.addCleanup(self.cluster.stop)
        await super().setUp()

    def redis_under_test(self) -> ClusterRedis:
        return cluster_redis(self.cluster)


class NodesTests(StoreContract, OnNodes):
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
        await until(lambda: self.redis.nodes.place_of(KEYS.queue("p", "q")) not in (None, ("127.0.0.1", master.port)))

    async def test_failover(self) -> None:
        """Where a master is gone its replica is found, and who waits there hears of what is posted; the others go on meanwhile."""
        await self.stored(b"1")
        rung = self.ring_of()
        master = self.cluster.owner(SLOT)
        master.kill()
        await self.redis.when_ready(KEYS.queue("p", "q"))
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
        await until(lambda: len(self.redis.nodes.masters) == 4)
        await self.doorbells.when_ready()
        rung.clear()
        await self.put(b"3")
        await until(lambda: rung)
        self.cluster.move(SLOT, first)
        self.assertEqual(await self.popped(), [b"1", b"2", b"3"])
        await until(lambda: len(self.redis.nodes.masters) == 3)

    async def test_one_is_away(self) -> None:
        """What is at a node that is gone is refused at once, and what is elsewhere is served; it is ready as long as one answers."""
        for node in self.cluster.nodes:
            node.call("CONFIG", "SET", "cluster-require-full-coverage", "no")
        gone = self.cluster.owner(SLOT)
        for node in self.cluster.nodes[3:]:
            node.kill()
        gone.kill()
        elsewhere = next(name for name in "abcdefgh" if self.redis.nodes.place_of(KEYS.queue(name, "q")) != ("127.0.0.1", gone.port))
        await until(lambda: not self.redis.nodes.masters["127.0.0.1", gone.port].redis.ready)
        with self.assertRaises(StoreUnavailable):
            await self.put(b"1")
        await self.storage.ping()
        with self.assertRaises(CancelledError):
            waiting = self.redis.when_ready()
            waiting.cancel()
            await waiting
        await self.redis.when_ready(KEYS.queue(elsewhere, "q"))
        await self.put(b"2", project=elsewhere)
        self.assertEqual(await self.popped(project=elsewhere), [b"2"])
        for node in self.cluster.nodes:
            node.kill()
        await until(lambda: not any(node.redis.ready for node in self.redis.nodes.masters.values()))
        with self.assertRaises(StoreUnavailable):
            await self.storage.ping()


class Told:
    """Connections to nodes, of which one tells a text, and none is ever ready.

    :ivar text: what it tells.
    """

    def __init__(self, text: str) -> None:
        self.text = text

    def __call__(self, *_: Any, **__: Any) -> Told:
        return self

    protocol = None
    ready = False

    async def once(self, *command: str) -> bytes:
        """What it answers."""
        return self.text.encode()

    def start(self) -> None:
        """Connect, never."""

    async def stop(self) -> None:
        """End that."""

    def follow(self, place: tuple[str, int], electable: int) -> None:
        """Be told how many may be elected."""


class ReplicasTests(SynchronousTestCase):
    """How many replicas a master has that may take its part."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.connections = Told("a h:1 myself,master - 0 0 1 c 0-16383\nb h:2 slave a 0 0 1 c\nc h:3 slave a 0 0 1 c")
        connecting: Any = self.connections
        self.nodes = Nodes([("h", 1)], lambda *place: place, lambda *place: str(place), self.clock, connecting=connecting)  # type: ignore
        self.nodes.start()
        self.addCleanup(lambda: self.successResultOf(Deferred.fromCoroutine(self.nodes.stop())))

    def replicas(self, port: int) -> int:
        """Those of the master at a port."""
        return self.nodes.masters["h", port].replicas

    def told(self, text: str) -> None:
        """What nodes tell a second later."""
        self.connections.text = text
        self.clock.advance(1)

    def test_followers(self) -> None:
        """Those count that are reached."""
        self.assertEqual(self.replicas(1), 2)
        self.told("a h:1 myself,master - 0 0 1 c 0-16383\nb h:2 slave,fail a 0 0 1 c\nc h:3 slave a 0 0 1 c")
        self.assertEqual(self.replicas(1), 1)

    def test_failover_by_hand(self) -> None:
        """A replica that has become the master will be followed by the former one and its replicas, whatever is told yet."""
        self.told("a h:1 master - 0 0 1 c\nb h:2 myself,master - 0 0 2 c 0-16383\nc h:3 slave a 0 0 1 c")
        self.assertEqual(self.replicas(2), 2)
        self.told("a h:1 slave b 0 0 2 c\nb h:2 myself,master - 0 0 2 c 0-16383\nc h:3 slave,fail b 0 0 2 c")
        self.assertEqual(self.replicas(2), 1)

    def test_failover(self) -> None:
        """The former master does not count where it is gone; nor, after a while, whoever does not come to follow the new one."""
        self.told("a h:1 master,fail - 0 0 1 c\nb h:2 myself,master - 0 0 2 c 0-16383\nc h:3 slave a 0 0 1 c")
        self.assertEqual(self.replicas(2), 1)
        for _ in range(5):
            self.told("b h:2 myself,master - 0 0 2 c 0-16383\nc h:3 slave x 0 0 1 c")
        self.assertEqual(self.replicas(2), 0)

    def test_tag(self) -> None:
        """What is written to a node only to have written there is in a slot that stays."""
        tag = self.nodes.masters["h", 1].tag
        assert tag is not None
        self.told(f"a h:1 myself,master - 0 0 1 c 0-16383 [{slot_of(tag)}->-b]\nb h:2 slave a 0 0 1 c")
        self.assertNotEqual(self.nodes.masters["h", 1].tag, tag)


class RefusalTests(TestCase):
    """What is no cluster that can be used."""

    async def why(self, *ports: int, password: str | None = None) -> str:
        """Why it cannot be tried."""
        nodes = Nodes(
            [("127.0.0.1", port) for port in ports],
            lambda host, port: HostnameEndpoint(reactor, host, port),
            lambda host, port: f"{host}:{port}",
            reactor,
            connecting=connecting if password is None else lambda *given, **more: connecting(*given, **more, login=password),
        )
        try:
            await nodes.once("PING")
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
        nodes = cluster_redis(shared_cluster()).nodes
        self.assertEqual(await nodes.once("PING"), [b"PONG"] * 3)

    async def test_alone(self) -> None:
        """A node of a cluster is not taken for one Redis, and one Redis is."""
        port = shared_cluster().nodes[0].port
        node = connecting(HostnameEndpoint(reactor, "127.0.0.1", port), reactor, greet=check_is_alone)
        with self.assertRaisesRegex(StoreUnavailable, "cluster=true"):
            await node.once("PING")
        self.assertEqual(await connect(shared_server(), check_is_alone).once("PING"), b"PONG")
