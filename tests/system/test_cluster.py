"""A gateway on a Redis Cluster: nothing that was acknowledged is lost, whatever becomes of its nodes."""

from __future__ import annotations

import signal
from contextlib import ExitStack, closing
from uuid import uuid4

from bench.servers import free_port
from tests.certificates import Authority, write
from tests.redis_cluster import Cluster, ClusterNode
from tests.system.gateway import ANSWER_S, START_S, Gateway, Http, Socket, new_directory, until
from tests.system.test_failover import REPLICATED, Producer
from tests.system.test_launch import LaunchTestCase
from tests.system.test_pools import ADMIN
from zaqar_gateway.storage.redis.cluster.slots import slot_of
from zaqar_gateway.storage.redis.keys import Keys


class ClusterCase(LaunchTestCase):
    """A test with a cluster of three masters.

    :cvar replicas: of each.
    """

    replicas = 1

    def setUp(self) -> None:
        super().setUp()
        self.cluster = Cluster(3, self.replicas)
        self.addCleanup(self.cluster.stop)
        self.projects = self.cluster.projects()

    def slot(self, project: str) -> int:
        """The slot of a project."""
        return slot_of(Keys(in_cluster=True).catalog(project))

    def check_all_there(self, gateway: Gateway, producers: list[Producer]) -> None:
        """All that was acknowledged is there, in its order."""
        for project, producer in zip(self.projects, producers, strict=True):
            with closing(Http(gateway.http, project)) as http:
                found = http.all_messages("work")
            self.assertEqual([body for body in found if body in {*producer.acknowledged}], producer.acknowledged)


class FailoverTests(ClusterCase):
    """A replica takes the part of a master."""

    def check(self, how: str) -> None:
        """Take a master away, and look for all that was acknowledged."""
        gateway = self.gateway(storage=self.cluster.uri(), settings=REPLICATED)
        with ExitStack() as stack:
            sockets = [stack.enter_context(closing(Socket(gateway.websocket, project))) for project in self.projects]
            for socket in sockets:
                self.assertEqual(socket("subscription_create", queue_name="news", ttl=3600).status, 201)
            producers = [Producer(gateway, project) for project in self.projects]
            try:
                for producer in producers:
                    producer.more(30)
                master = self.cluster.owner(self.slot(self.projects[0]))
                if how == "killed":
                    master.kill()
                else:
                    master.signal(signal.SIGSTOP)
                others = [node for node in self.cluster.nodes if node is not master]
                until(lambda: self.new_owner(others), START_S, "another node has the slots")
                # That one has no replica now, so that it acknowledges nothing; the others do.
                for producer in producers[1:]:
                    producer.more(30)
                if how == "killed":
                    master.start()
                else:
                    master.signal(signal.SIGCONT)
                for producer in producers:
                    producer.more(30)
            finally:
                for producer in producers:
                    producer.stop()
            self.check_all_there(gateway, producers)
            for project, socket in zip(self.projects, sockets, strict=True):
                with closing(Http(gateway.http, project)) as http:
                    until(lambda http=http: http.post("news", "there").status == 201, ANSWER_S, "a post")  # type: ignore[misc]
                until(lambda socket=socket: socket.pushed()["body"] == "there", ANSWER_S, "it is pushed")  # type: ignore[misc]
        gateway.stop()

    def new_owner(self, others: list[ClusterNode]) -> bool:
        """Whether one of the others has the slot of the first project."""
        return any(self.cluster.has(node, self.slot(self.projects[0])) for node in others)

    def test_master_is_killed(self) -> None:
        """A master that ends, and comes back later, takes nothing with it."""
        self.check("killed")

    def test_master_freezes(self) -> None:
        """A master that does not answer, and later goes on, is left as soon as there is another."""
        self.check("frozen")


class MovingTests(ClusterCase):
    """Slots that move between the masters under load."""

    replicas = 0

    def test_nobody_notices(self) -> None:
        """Posts, claims and pushes go on: nothing is refused, lost, or out of order."""
        gateway = self.gateway(storage=self.cluster.uri())
        producers = [Producer(gateway, project) for project in self.projects]
        try:
            for project in self.projects * 2:
                for producer in producers:
                    producer.more(20)
                slot = self.slot(project)
                owner = self.cluster.owner(slot)
                self.cluster.move(slot, next(node for node in self.cluster.nodes if node is not owner))
        finally:
            for producer in producers:
                producer.stop()
        self.check_all_there(gateway, producers)
        for producer in producers:
            self.assertEqual(producer.acknowledged, [*range(producer.posted)])
        gateway.stop()

    def test_a_project_on_several_nodes(self) -> None:
        """Pools in key spaces of the cluster have the queues of one project, which are on several nodes then."""
        project = uuid4().hex
        settings = {"ADMIN_MODE": "true", "POOLING": "true"}
        gateway = self.gateway(storage=self.cluster.uri(), settings=settings)
        with closing(Http(gateway.http, project)) as http:
            for number in range(5):
                answer = http("PUT", f"/v2/pools/p{number}", {"uri": self.cluster.uri(f"space{number}"), "weight": 10}, ADMIN)
                self.assertEqual(answer.status, 201, str(answer))
            queues = [f"q{number:02}" for number in range(20)]
            for queue in queues:
                self.assertEqual(http.post(queue, queue).status, 201)
            listed = http("GET", "/v2/queues?limit=20").json["queues"]
            self.assertEqual([each["name"] for each in listed], queues)
            for queue in queues:
                self.assertEqual(http.all_messages(queue), [queue])
        found = [len(node.call("KEYS", "*:m")) for node in self.cluster.nodes]
        self.assertEqual(sum(found), len(queues))
        self.assertGreater(min(found), 0)
        gateway.stop()


class TlsTests(LaunchTestCase):
    """TLS to all nodes."""

    def test_nodes(self) -> None:
        """All nodes are found, and reached with TLS."""
        authority = Authority()
        certificate, key = authority.issue("redis", "127.0.0.1")
        files = write(new_directory(), authority=authority.certificate, certificate=certificate, key=key)
        named = {f"tls-{kind}-file": files[name] for kind, name in (("ca-cert", "authority"), ("cert", "certificate"), ("key", "key"))}
        cluster = Cluster(3, 0, tls=named | {"tls-cluster": "yes", "tls-replication": "yes", "tls-auth-clients": "no"})
        self.addCleanup(cluster.stop)
        gateway = self.gateway(storage=cluster.uri(), environ={"SSL_CERT_FILE": files["authority"]})
        for project in cluster.projects():
            with closing(Http(gateway.http, project)) as http, closing(Socket(gateway.websocket, project)) as socket:
                self.assertEqual(socket("subscription_create", queue_name="news", ttl=3600).status, 201)
                self.assertEqual(http.post("news", "there").status, 201)
                self.assertEqual(socket.pushed()["body"], "there")
        gateway.stop()


class RefusalTests(LaunchTestCase):
    """What is no cluster, or cannot be used."""

    def refused(self, storage: str, told: str) -> None:
        """A gateway starts, refuses what needs its store, and tells why in its log."""
        gateway = self.gateway(storage=storage, settings={"STORAGE_RECONNECT_MAX_S": "0.2"})
        gateway.wait_for(told, START_S)
        with closing(Http(gateway.http, uuid4().hex)) as http:
            self.assertEqual(http.post("work", 1).status, 503)
            self.assertEqual(http("GET", "/v2/ping").status, 503)
        gateway.stop()
        self.assertNotIn("wr0ng", gateway.output)

    def test_told(self) -> None:
        """Nobody there, a password that is refused, and a Redis of each kind that was said to be of the other."""
        cluster = Cluster(1)
        self.addCleanup(cluster.stop)
        (node,) = cluster.nodes
        self.refused(f"redis://127.0.0.1:{free_port()}?cluster=true", "No node of the Redis Cluster tells.*Connection was refused")
        self.refused(cluster.uri(password="wr0ng"), "No node of the Redis Cluster tells.*WRONGPASS")
        self.refused(node.tcp, "cannot be used.*is a node of a Redis Cluster: say so with .cluster=true")
        node.call("CLUSTER", "DELSLOTSRANGE", 100, 199)
        self.refused(cluster.uri(), "100 of its slots")
