"""Pools in redis-servers of their own, used through two gateway processes by people and programs."""

from __future__ import annotations

import json
import signal
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from tests.system.gateway import Answer, Gateway, Http, RedisProcess, Socket, until
from tests.system.receiver import Receiver

ADMIN = {"X-ROLES": "admin"}
FOLLOWED_S = 90.0
"""How long a gateway may take to go by what another one was told; it is a second or two on a machine that is idle."""

SETTINGS = {
    "ADMIN_MODE": "true",
    "POOLING": "true",
    "ENABLE_VIRTUAL_POOL": "true",
    "STORAGE_RECONNECT_MAX_S": "0.2",
    "STORAGE_COMMAND_TIMEOUT_S": "10",
}


class PoolsTests(SynchronousTestCase):
    """Three redis-servers: one for what is known of pools, and two pools."""

    def setUp(self) -> None:
        self.gateways: list[Gateway] = []
        # One that syncs its file each second lets what it has answered wait for that, up to two seconds, and SIGKILL loses it then.
        self.redis = [RedisProcess("p@ss/word", "--appendfsync", "no") for _ in range(3)]
        for each in self.redis:
            self.addCleanup(each.stop)
        self.here = self.http(self.gateway())

    def gateway(self) -> Gateway:
        """Another gateway over the first of the servers."""
        gateway = Gateway(storage=self.redis[0].tcp, settings=SETTINGS)
        self.addCleanup(gateway.kill)
        self.gateways.append(gateway)
        return gateway

    def http(self, gateway: Gateway) -> Http:
        """A connection."""
        http = Http(gateway.http, "p")
        self.addCleanup(http.close)
        return http

    def ask(self, http: Http, method: str, path: str, body: object = None, status: int = 200) -> Any:
        """Ask as an administrator; the document of the answer."""
        answer = http(method, f"/v2{path}", body, ADMIN)
        self.assertEqual(answer.status, status, str(answer))
        return answer.json if answer.body else None

    def pool(self, name: str, uri: str, weight: int = 10) -> None:
        """Put a pool."""
        self.ask(self.here, "PUT", f"/pools/{name}", {"uri": uri, "weight": weight}, 201)

    def wait_for(self, http: Http, status: int) -> None:
        """Wait until what is asked of the second queue has a status."""
        until(lambda: http("GET", "/v2/queues/q2/stats").status == status, FOLLOWED_S, f"a {status}")

    def posted(self, http: Http, queue: str, body: str) -> Answer:
        """Post a message."""
        return http.post(queue, body)

    def test_a_pool_dies(self) -> None:
        """A dead pool is told of by health and fails for its own queues alone, which are there again when it is."""
        there = self.http(self.gateway())
        for number in (1, 2):
            self.pool(f"pool{number}", self.redis[number].tcp)
            # So each of the queues is in a pool that is known.
            self.assertEqual(self.posted(self.here, f"q{number}", "before").status, 201)
            self.ask(self.here, "PATCH", f"/pools/pool{number}", {"weight": 0})
        self.ask(self.here, "PUT", "/queues/in-none", status=201)
        self.assertEqual(self.posted(there, "q2", "from there").status, 201)
        self.assertEqual(self.here.all_messages("q2"), ["before", "from there"])
        names = [queue["name"] for queue in self.ask(there, "GET", "/queues")["queues"]]
        self.assertEqual(names, ["in-none", "q1", "q2"])
        report = self.ask(there, "GET", "/health")
        self.assertTrue(report["pool1"]["storage_reachable"] and report["pool2"]["storage_reachable"])
        self.assertEqual(report["pool2"]["message_volume"]["total"], 2)

        self.redis[2].signal(signal.SIGKILL)
        for http in (self.here, there):
            self.wait_for(http, 503)
            self.assertEqual(self.posted(http, "q2", "lost").status, 503)
            self.assertEqual(self.posted(http, "q1", "beside it").status, 201)
            self.assertEqual(http("GET", "/v2/queues/in-none").status, 200)
            report = self.ask(http, "GET", "/health")
            self.assertTrue(report["catalog_reachable"] and report["pool1"]["storage_reachable"])
            self.assertFalse(report["pool2"]["storage_reachable"])
            self.assertNotIn("message_volume", report["pool2"])
        self.assertEqual(self.ask(self.here, "GET", "/pools/pool2")["name"], "pool2")
        later = self.http(self.gateway())  # one that starts meanwhile
        self.assertEqual(self.posted(later, "q1", "later").status, 201)

        self.redis[2].stop()
        self.redis[2].start()
        for http in (self.here, there, later):
            self.wait_for(http, 200)
            self.assertEqual(http.all_messages("q2"), ["before", "from there"])
        for gateway in self.gateways:
            self.assertNotIn("p@ss", gateway.output)
            self.assertNotIn("p%40ss", gateway.output)

    def test_pools_are_followed(self) -> None:
        """What one gateway is told of pools, the others go by within seconds: weights, and another URI."""
        there = self.http(self.gateway())
        self.pool("a", self.redis[1].tcp)
        self.assertEqual(self.posted(there, "q", "1").status, 201)
        self.assertEqual(self.ask(self.here, "GET", "/health")["a"]["message_volume"]["total"], 1)
        self.ask(self.here, "PATCH", "/pools/a", {"uri": self.redis[2].unix})
        self.assertEqual(self.here.all_messages("q"), [])

        def has_moved() -> bool:
            """Whether it is there; in between it may have no connection."""
            answer = there("GET", "/v2/queues/q/messages?echo=true")
            return answer.status == 200 and not answer.json["messages"]

        until(has_moved, FOLLOWED_S, "the other gateway to go to the other server")
        self.assertEqual(self.posted(there, "q", "2").status, 201)
        self.assertEqual(self.here.all_messages("q"), ["2"])
        self.ask(self.here, "DELETE", "/pools/a", status=403)
        self.ask(there, "DELETE", "/queues/q", status=204)
        self.ask(there, "DELETE", "/pools/a", status=204)
        self.assertEqual(self.posted(self.here, "q", "3").status, 201)
        self.assertEqual(there.all_messages("q"), ["3"])

    def test_uris(self) -> None:
        """A pool has to be of a server that answers; a path is a key space of its own; passwords are masked."""
        wrong = self.redis[1].tcp.replace("p%40ss", "no")
        for uri in ("localhost:27017", "redis://127.0.0.1:1", "redis://h:port", "memory:", wrong):
            answer = self.here("PUT", "/v2/pools/p", {"uri": uri, "weight": 1}, ADMIN)
            self.assertEqual(answer.status, 400, str(answer))
            self.assertNotIn("ss%2Fword", str(answer))
        for number in range(5):
            self.pool(f"p{number}", f"{self.redis[1].tcp}/space-{number}")
        for number in range(10):
            self.assertEqual(self.posted(self.here, f"q{number}", "x").status, 201)
        report = self.ask(self.here, "GET", "/health")
        self.assertEqual(sum(report[f"p{number}"]["message_volume"]["total"] for number in range(5)), 10)
        shown = [pool["uri"] for pool in self.ask(self.here, "GET", "/pools")["pools"]]
        self.assertEqual(shown[0], f"{self.redis[1].tcp}/space-0".replace("p%40ss%2Fword", "***"))
        self.assertNotIn("p%40ss", repr(shown))

    def test_sockets(self) -> None:
        """On a WebSocket requests take effect in their order, and pools are not for everybody."""
        self.pool("a", self.redis[1].tcp)
        socket = Socket(self.gateways[0].websocket, "p")
        self.addCleanup(socket.close)
        for number in range(30):
            socket.send("message_post", {"queue_name": "q", "messages": [{"body": number, "ttl": 60}]})
        self.assertEqual({socket.receive().status for _ in range(30)}, {201})
        self.assertEqual(self.here.all_messages("q"), list(range(30)))
        self.assertEqual(socket("pool_list").status, 403)
        self.assertEqual(socket("flavor_list").status, 200)
        self.assertEqual(socket("get_home_doc").status, 501)

    def test_subscribers(self) -> None:
        """Sockets and webhooks are told of posts in every pool, through whichever gateway, though a pool be dead."""
        there = self.http(self.gateway())
        receiver = Receiver()
        self.addCleanup(receiver.close)
        self.pool("dead", self.redis[2].tcp, 0)
        self.pool("a", self.redis[1].tcp)
        socket = Socket(self.gateways[1].websocket, "p")
        self.addCleanup(socket.close)
        self.assertEqual(socket("subscription_create", queue_name="pushed", ttl=300).status, 201)
        hook = {"subscriber": f"{receiver.url}/hook", "ttl": 300}
        self.assertEqual(self.here("POST", "/v2/queues/hooked/subscriptions", hook).status, 201)
        self.redis[2].signal(signal.SIGKILL)
        for number in range(5):
            self.assertEqual(self.posted(self.here, "pushed", f"m{number}").status, 201)
            self.assertEqual(json.loads(socket.connection.recv())["body"], f"m{number}")
            self.assertEqual(self.posted(there, "hooked", f"m{number}").status, 201)
        hooks = receiver.reach(lambda hooks: len(hooks) >= 5, FOLLOWED_S)
        self.assertEqual([hook.json["body"] for hook in hooks], [f"m{number}" for number in range(5)])
