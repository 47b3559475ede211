"""Rings of a cluster, across nodes and moves."""

from __future__ import annotations

from twisted.internet.defer import Deferred

from tests.redis_cluster import shared_cluster
from tests.storage.redis.cluster.case import KEYS, Ringing
from tests.storage.redis.cluster.test_redis import SLOT, until
from zaqar_gateway.model import Place
from zaqar_gateway.storage.redis.cluster.slots import slot_of
from zaqar_gateway.testing.base import StoreContract


class DoorbellTests(StoreContract, Ringing):
    """Who waits at queues, wherever they are."""

    def watched(self, queue: str = "q", project: str = "p") -> list[str]:
        """A list that grows with each ring of a queue."""
        rung: list[str] = []
        self.addCleanup(self.doorbells.watch(self.place(queue, project=project), lambda: rung.append("rung")))
        return rung

    async def test_all_nodes(self) -> None:
        """A ring is heard from the node that has the queue, and of no other queue."""
        nodes = shared_cluster().nodes
        projects = [next(name for name in "abcdefghijklmn" if self.port_of(name) == node.port) for node in nodes]
        rung = [self.watched(project=project) for project in projects]
        await self.hear()
        for each in rung:
            each.clear()
        await self.put(b"1", project=projects[1])
        await self.hear()
        self.assertEqual(list(map(len, rung)), [0, 1, 0])

    def port_of(self, project: str) -> int:
        """Where a project is."""
        place = self.redis.nodes.place_of(KEYS.queue(project, "q"))
        assert place is not None
        return place[1]

    async def test_ended(self) -> None:
        """Who ended to wait hears nothing, and Redis has nothing to do with it any more."""
        node = shared_cluster().owner(SLOT)
        rung: list[str] = []
        end = self.doorbells.watch(self.place(), lambda: rung.append("rung"))
        await self.hear()
        self.assertEqual(node.call("PUBSUB", "SHARDCHANNELS"), [KEYS.queue("p", "q")])
        rung.clear()
        end()
        await self.hear()
        await self.put(b"1")
        await self.hear()
        self.assertEqual((rung, node.call("PUBSUB", "SHARDCHANNELS")), ([], []))

    async def test_moved(self) -> None:
        """Where the slot moves they are told that something may have been missed, and hear what comes after that.

        Another queue at the node that lost it is heard as before.
        """
        cluster = shared_cluster()
        source = cluster.owner(SLOT)
        target = next(node for node in cluster.nodes if node is not source)
        stays = next(name for name in map(str, range(100)) if self.port_of(name) == source.port and slot_of(KEYS.queue(name, "q")) != SLOT)
        rung, other = self.watched(), self.watched(project=stays)
        await self.hear()
        rung.clear()
        cluster.move(SLOT, target)
        await until(lambda: rung and target.call("PUBSUB", "SHARDCHANNELS"))
        await self.doorbells.when_ready()
        await self.hear()
        rung.clear()
        other.clear()
        await self.put(b"1")
        await self.put(b"1", project=stays)
        await self.hear()
        self.assertEqual((len(rung), len(other)), (1, 1))

    async def test_owed(self) -> None:
        """That something is owed to subscribers is heard from each node."""
        heard: list[Place] = []
        self.doorbells.attend(heard.append, lambda: None)
        nodes = shared_cluster().nodes
        projects = [next(name for name in "abcdefghijklmn" if self.port_of(name) == node.port) for node in nodes]
        for project in projects:
            await self.follow(project=project)
            await self.put(b"1", project=project)
        await self.hear()
        self.assertEqual({place.project for place in heard}, {*projects})

    async def test_connection_is_lost(self) -> None:
        """What listens is made again, and tells those who wait that something may have been missed."""
        rung = self.watched()
        await self.hear()
        rung.clear()
        for node in shared_cluster().nodes:
            node.call("CLIENT", "KILL", "TYPE", "pubsub")
        await until(lambda: rung)
        await self.doorbells.when_ready()
        rung.clear()
        await self.put(b"1")
        await self.hear()
        self.assertEqual(len(rung), 1)

    def test_stopped(self) -> Deferred[None]:
        """It ends while nodes are still being connected to."""
        return Deferred.fromCoroutine(self.doorbells.stop())
