"""A real Redis Cluster for tests."""

from __future__ import annotations

import socket
from collections.abc import Iterable, Mapping
from typing import Any
from unittest import SkipTest
from urllib.parse import quote
from uuid import uuid4

import hiredis

from bench.servers import free_port
from tests.programs import redis_server
from tests.system.gateway import ANSWER_S, START_S, RedisProcess, until
from zaqar_gateway.storage.redis.cluster.slots import SLOTS, slot_of
from zaqar_gateway.storage.redis.keys import Keys
from zaqar_gateway.storage.redis.packing import command

PASSWORD = "p@ss/word"

PATIENCE_MS, WITH_REPLICAS_MS = 10_000, 2000
"""After what time a node is taken for gone that does not answer: a busy machine alone keeps none silent for so long.  Who waits for
a replica to take the part of a master waits for that as well."""


class ClusterNode(RedisProcess):
    """A node, which takes part in no cluster at first.

    :param patience_ms: after what time it takes another one for gone.
    """

    def __init__(self, *options: str, patience_ms: int = PATIENCE_MS, tls: Mapping[str, str] | None = None) -> None:
        if redis_server().version < (7,):
            raise SkipTest("a Redis Cluster of messages takes Redis 7.0 or later (Debian: redis-server)")
        # What takes part in a failover has each other's passwords, and goes on at once.
        super().__init__(
            PASSWORD,
            *("--cluster-enabled", "yes", "--cluster-port", str(free_port()), "--cluster-node-timeout", str(patience_ms)),
            *("--masterauth", PASSWORD, "--repl-diskless-sync-delay", "0", "--repl-ping-replica-period", "1"),
            *options,
            tls=tls,
        )
        self.name = self.call("CLUSTER", "MYID").decode()

    def call(self, *words: str | int | bytes) -> Any:
        """What it answers, behind the back of all gateways."""
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(ANSWER_S)
            connection.connect(str(self.directory / "redis.sock"))
            connection.sendall(command("AUTH", self.password) + command(*words))
            reader = hiredis.Reader()
            answers: list[Any] = []
            while len(answers) < 2:
                if not (piece := connection.recv(65536)):
                    raise ConnectionError("the node hung up")
                reader.feed(piece)
                while (answer := reader.gets()) is not False:
                    answers.append(answer)
        if isinstance(answers[1], hiredis.ReplyError):
            raise answers[1]
        return answers[1]

    def told(self) -> list[list[str]]:
        """The words of each line of CLUSTER NODES."""
        return [line.split(" ") for line in self.call("CLUSTER", "NODES").decode().splitlines()]


_shared: list[Cluster] = []


def shared_cluster() -> Cluster:
    """Three masters for a whole run, without persistence, emptied."""
    if not _shared:
        _shared.append(Cluster(3, 0, "--appendonly", "no"))
    for node in _shared[0].nodes:
        node.call("FLUSHALL")
    return _shared[0]


class Cluster:
    """Masters that share all slots, and replicas of each.

    :param tls: settings of Redis for it, with which nothing is spoken without.
    :ivar nodes: all of them; the masters are first, and the replicas of each behind these, in the same order.
    """

    def __init__(self, masters: int = 3, replicas: int = 0, *options: str, tls: Mapping[str, str] | None = None) -> None:
        self._options, self._tls = options, tls
        self._patience_ms = WITH_REPLICAS_MS if replicas else PATIENCE_MS
        self.nodes = [self._node() for _ in range(masters * (1 + replicas))]
        bounds = [SLOTS * number // masters for number in range(masters + 1)]
        for number, node in enumerate(self.nodes[:masters]):
            node.call("CLUSTER", "ADDSLOTSRANGE", bounds[number], bounds[number + 1] - 1)
        for number, node in enumerate(self.nodes):
            node.call("CLUSTER", "SET-CONFIG-EPOCH", number + 1)
        self._meet(self.nodes[1:])
        self.wait()
        following = self.nodes[masters:]
        for number, node in enumerate(following):
            node.call("CLUSTER", "REPLICATE", self.nodes[number % masters].name)
        until(lambda: all(map(self._follows, following)), START_S, "the replicas follow")
        self.wait()

    def _node(self) -> ClusterNode:
        return ClusterNode(*self._options, patience_ms=self._patience_ms, tls=self._tls)

    @staticmethod
    def _follows(node: ClusterNode) -> bool:
        return b"master_link_status:up" in node.call("INFO", "replication")

    def add(self) -> ClusterNode:
        """Have another master take part, without slots."""
        node = self._node()
        self._meet([node])
        self.nodes.append(node)
        self.wait()
        return node

    def _meet(self, nodes: Iterable[ClusterNode]) -> None:
        for node in nodes:
            first = self.nodes[0]
            bus = first.call("CONFIG", "GET", "cluster-port")[1].decode()
            node.call("CLUSTER", "MEET", "127.0.0.1", first.port, bus)

    def wait(self) -> None:
        """Wait until all nodes know each other, and of the same roles, and serve all slots."""
        until(self._is_whole, START_S, "all nodes of the cluster know each other")

    def _is_whole(self) -> bool:
        running = [node for node in self.nodes if node.running]
        if any(b"cluster_state:ok" not in node.call("CLUSTER", "INFO") for node in running):
            return False
        seen = set()
        for node in running:
            roles = [(words[0], words[3], "master" in words[2], tuple(words[8:])) for words in node.told() if "handshake" not in words[2]]
            seen.add(tuple(sorted(roles)))
        return len(seen) == 1 and len(next(iter(seen))) == len(self.nodes)

    def uri(self, space: str = "", password: str = PASSWORD) -> str:
        """Where a gateway finds it.

        :param space: the name of a key space.
        """
        hosts = ",".join(f"127.0.0.1:{node.port}" for node in self.nodes[:2])
        scheme = "rediss" if self._tls else "redis"
        return f"{scheme}://:{quote(password, safe='')}@{hosts}{'/' if space else ''}{space}?cluster=true"

    def projects(self) -> list[str]:
        """The name of a project for each master, which has it."""
        fresh = [uuid4().hex for _ in range(50)]
        keys = Keys(in_cluster=True)
        owners = {name: self.owner(slot_of(keys.catalog(name))).name for name in fresh}
        return [next(name for name in fresh if owners[name] == owner) for owner in sorted({*owners.values()})]

    def owner(self, slot: int) -> ClusterNode:
        """The node that has a slot."""
        return next(node for node in self.nodes if node.running and self.has(node, slot))

    @staticmethod
    def has(node: ClusterNode, slot: int) -> bool:
        """Whether a node says that it has a slot."""
        mine = next(words for words in node.told() if "myself" in words[2])
        ranges = [[int(end) for end in (each.split("-") * 2)[:2]] for each in mine[8:] if not each.startswith("[")]
        return "master" in mine[2] and any(first <= slot <= last for first, last in ranges)

    def begin_move(self, slot: int, target: ClusterNode) -> None:
        """Have a slot be on its way to another node: what is there stays, what is new goes there."""
        source = self.owner(slot)
        target.call("CLUSTER", "SETSLOT", slot, "IMPORTING", source.name)
        source.call("CLUSTER", "SETSLOT", slot, "MIGRATING", target.name)

    def move_keys(self, slot: int, target: ClusterNode, most: int = 10) -> int:
        """Bring some keys of such a slot there.

        :return: how many.
        """
        source = self.owner(slot)
        keys = source.call("CLUSTER", "GETKEYSINSLOT", slot, most)
        if keys:
            source.call("MIGRATE", "127.0.0.1", target.port, "", 0, 5000, "AUTH", PASSWORD, "KEYS", *keys)
        return len(keys)

    def end_move(self, slot: int, target: ClusterNode) -> None:
        """Have the slot be there, once all its keys are."""
        source = self.owner(slot)
        for node in (target, source, *(each for each in self.nodes if each not in (target, source))):
            if node.running:
                try:
                    node.call("CLUSTER", "SETSLOT", slot, "NODE", target.name)
                except hiredis.ReplyError as error:
                    if "only with masters" not in str(error):  # one that has no slot left follows another one
                        raise
        # Who does not know yet that its epoch is a new one may take the next one for as old, and two have the slot then.
        until(lambda: len(self._epochs_of(target)) == 1, START_S, "all nodes of the cluster know since when the slot is there")

    def _epochs_of(self, target: ClusterNode) -> set[str]:
        """The configuration epochs that nodes know of one of them."""
        told = [words for node in self.nodes if node.running for words in node.told()]
        return {words[6] for words in told if words[0] == target.name}

    def move(self, slot: int, target: ClusterNode) -> None:
        """Bring a slot to another node."""
        self.begin_move(slot, target)
        while self.move_keys(slot, target):
            pass
        self.end_move(slot, target)

    def stop(self) -> None:
        """End all of them."""
        for node in self.nodes:
            node.kill()
