"""The admin listener of a gateway in a process of its own: what it tells is what was done."""

from __future__ import annotations

import json
import os
import re
import signal
import socket as sockets
import ssl
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from contextlib import closing
from typing import Any
from urllib.parse import quote

from prometheus_client.openmetrics.parser import text_string_to_metric_families as openmetrics_families
from prometheus_client.parser import text_string_to_metric_families as prometheus_families

from tests.certificates import Authority, write
from tests.redis_cluster import Cluster
from tests.system.gateway import (
    ANSWER_S,
    START_S,
    TWISTD,
    Answer,
    Gateway,
    Http,
    Process,
    RedisProcess,
    Socket,
    environment,
    new_directory,
    until,
)
from tests.system.receiver import Receiver
from tests.system.sentinels import WatchedRedis
from tests.system.test_launch import LaunchTestCase
from zaqar_gateway.admin.catalogue import METRICS, PREFIX
from zaqar_gateway.config import ENVIRONMENT_PREFIX

MADE = """
import json, os, sys
from twisted.internet import reactor
from zaqar_gateway import config
from zaqar_gateway.role import Alone
from zaqar_gateway.tap import Gateway

settings = config.load(None, os.environ, {})
gateway = Gateway(settings, reactor, Alone(settings, reactor))
websocket, channel = gateway._websocket, gateway._http.buildProtocol(None)
kinds = {type(each).__name__ for each in (websocket, websocket.protocol(), channel, gateway._http.application.resource)}
measured = sorted(kind.removeprefix("Measured") for kind in kinds if "Measured" in kind)
print(json.dumps([*measured, *({"prometheus_client"} & {*sys.modules})]))
"""
"""Makes a gateway, and prints what of it is measured."""

PATIENCE_S = 90.0
"""How long a change may take to show where the machine has much to do."""

_SHOWN = re.compile(r"metrics and health on (\S+?)/?$", re.MULTILINE)

Samples = dict[tuple[str, frozenset[tuple[str, str]]], float]


class Operator:
    """Somebody who looks at an admin listener."""

    def __init__(self, url: str, tls: ssl.SSLContext | None = None) -> None:
        self._url, self._tls = url, tls

    def __call__(self, path: str, method: str = "GET", **headers: str) -> Answer:
        with closing(Http(self._url, "", tls=self._tls)) as http:
            return http(method, path, None, headers)

    def scrape(self) -> Samples:
        """All samples; a metric that is there twice fails."""
        found: Samples = {}
        for family in prometheus_families(self("/metrics").body.decode()):
            for sample in family.samples:
                key = sample.name, frozenset(sample.labels.items())
                assert key not in found, key
                found[key] = sample.value
        return found

    def value(self, name: str, **labels: str) -> float:
        """One sample; 0 where there is none."""
        return value(self.scrape(), name, **labels)

    def health(self) -> Any:
        """The document."""
        return self("/health").json


def value(samples: Samples, name: str, **labels: str) -> float:
    """One of some samples; 0 where it is not among them."""
    return samples.get((PREFIX + name, frozenset(labels.items())), 0.0)


def soon(condition: Callable[[], bool], what: str) -> None:
    """Wait for what the machine has time for in the end."""
    until(condition, PATIENCE_S, what)


class AdminTestCase(LaunchTestCase):
    """Gateways with an admin listener."""

    def started(self, *, storage: str = "", listen: str = "tcp:0", **settings: str) -> tuple[Gateway, Operator]:
        """A gateway, and who looks at it."""
        gateway = self.gateway(storage=storage, settings={"LISTEN_ADMIN": json.dumps([listen]), **settings})
        return gateway, Operator(gateway.wait_for(_SHOWN.pattern, START_S)[1])


class MetricsTests(AdminTestCase):
    """Numbers."""

    def test_requests(self) -> None:
        """What is asked adds up exactly, on both transports and however the requests came; so do the histograms."""
        gateway, operator = self.started()
        with closing(Http(gateway.http, "p")) as http, closing(Socket(gateway.websocket, "p")) as socket:
            for number in range(30):  # the same head again and again, which is read once
                self.assertEqual(http.post("q", number).status, 201)
            ids = [message["href"] for message in http("GET", "/v2/queues/q/messages?echo=true").json["messages"]]
            for each in ids[:10]:  # heads that differ in an id
                self.assertEqual(http("GET", f"/v2/queues/q/messages/{each.rpartition('/')[2]}").status, 200)
            for number in range(40):  # all in flight at once
                socket.send("message_post", {"queue_name": "q", "messages": [{"body": number, "ttl": 60}]})
            self.assertEqual([socket.receive().status for _ in range(40)], [201] * 40)
            self.assertEqual(http("POST", "/v2/queues/q/messages", {"messages": []}).status, 400)
            self.assertEqual(http("GET", "/v2/nothing").status, 404)
            self.assertEqual(http("DELETE", "/v2/queues").status, 405)
            self.assertEqual(socket("nonsense").status, 400)
            self.assertEqual(socket("claim_get", queue_name="q", claim_id="none").status, 404)
            with closing(Http(gateway.http, "p")) as other:
                self.assertEqual(other("GET", "/v2/queues", None, {f"X-{n}": "x" for n in range(200)}).status, 431)
            found = operator.scrape()
            self.assertEqual(value(found, "connections", transport="websocket"), 1)
            self.assertGreaterEqual(value(found, "connections", transport="http"), 1)
        asked: dict[tuple[str, str], dict[str, float]] = {
            ("message_post", "http"): {"201": 30, "400": 1},
            ("message_list", "http"): {"200": 1},
            ("message_get", "http"): {"200": 10},
            ("none", "http"): {"404": 1, "405": 1, "431": 1},
            ("message_post", "websocket"): {"201": 40},
            ("claim_get", "websocket"): {"404": 1},
            ("none", "websocket"): {"400": 1},
        }
        counted: dict[tuple[str, str], dict[str, float]] = {}
        for (name, pairs), count in found.items():
            labels = dict(pairs)
            if name == f"{PREFIX}requests_total":
                counted.setdefault((labels["operation"], labels["transport"]), {})[labels["status"]] = count
        self.maxDiff = None
        self.assertEqual(counted, asked)
        for (operation, transport), statuses in asked.items():
            if operation != "none":
                labels = {"operation": operation, "transport": transport}
                count = sum(statuses.values())
                self.assertEqual(value(found, "request_duration_seconds_count", **labels), count)
                self.assertEqual(value(found, "request_duration_seconds_bucket", le="+Inf", **labels), count)
                self.assertTrue(0 < value(found, "request_duration_seconds_sum", **labels) < ANSWER_S * count)
        self.assertGreater(value(found, "received_bytes_total", transport="http"), 30 * 200)
        self.assertGreater(value(found, "sent_bytes_total", transport="websocket"), 40 * 50)
        self.assertGreater(value(found, "redis_commands_total"), 40)
        self.assertGreater(value(found, "redis_round_trip_seconds_count"), 10)
        gateway.stop()

    def test_waits(self) -> None:
        """Who waits, listens or subscribes is counted as long as that lasts; a wait is no duration."""
        gateway, operator = self.started(storage="memory:")
        with closing(Http(gateway.http, "p")) as waiting, closing(Socket(gateway.websocket, "p")) as socket:
            waiting.connection.request("POST", "/v2/queues/w/claims?wait=20", headers=waiting._headers)
            self.assertEqual(socket("subscription_create", queue_name="s", ttl=60).status, 201)
            self.assertEqual(socket("subscription_create", queue_name="l", ttl=60, window=5).status, 201)
            with closing(Http(gateway.http, "p")) as stream:
                stream.connection.request("GET", "/v2/queues/e/events", headers={**stream._headers, "Accept": "text/event-stream"})
                listening = stream.connection.getresponse()
                self.assertEqual(listening.status, 200)
                counted = ("requests_waiting", "event_streams", "socket_subscriptions", "live_subscriptions")
                soon(lambda: [operator.value(name) for name in counted] == [1, 1, 2, 1], "all are counted")
                listening.close()
            soon(lambda: operator.value("event_streams") == 0, "the stream has ended")
            with closing(Http(gateway.http, "p")) as http:
                self.assertEqual(http.post("w", 1).status, 201)
            answer = waiting.connection.getresponse()
            self.assertEqual((answer.status, bool(answer.read())), (201, True))
            found = operator.scrape()
            self.assertEqual(value(found, "requests_waiting"), 0)
            self.assertEqual(value(found, "requests_total", operation="claim_create", transport="http", status="201"), 1)
            self.assertEqual(value(found, "request_duration_seconds_count", operation="claim_create", transport="http"), 0)
        names = ("socket_subscriptions", "live_subscriptions", "requests_in_flight")
        soon(lambda: [operator.value(name) for name in names] == [0, 0, 0], "nobody is left")
        gateway.stop()

    def test_formats(self) -> None:
        """Both formats pass the parsers of the library, and have the same families, which are those of the catalogue."""
        gateway, operator = self.started(storage="memory:")
        plain = operator("/metrics")
        opened = operator("/metrics", Accept="application/openmetrics-text; version=1.0.0")
        self.assertTrue(plain.headers["Content-Type"].startswith("text/plain; version=0.0.4"))
        self.assertTrue(opened.headers["Content-Type"].startswith("application/openmetrics-text; version=1.0.0"))
        self.assertTrue(opened.body.endswith(b"# EOF\n"))
        families = {family.name: (family.type, family.documentation) for family in openmetrics_families(opened.body.decode())}
        own = {name: told for name, told in families.items() if name.startswith(PREFIX)}
        expected = {PREFIX + each.name: (each.kind, each.text) for each in METRICS.values() if not each.when}
        self.assertEqual(own, expected)
        self.assertEqual({name.partition("_")[0] for name in families if name not in own}, {"process", "python"})
        self.assertIn("process_open_fds", families)
        shown = {line.split()[2] for line in plain.body.decode().splitlines() if line.startswith(f"# TYPE {PREFIX}")}
        self.assertEqual(shown, {each.shown for each in METRICS.values() if not each.when})
        gateway.stop()

    def test_refusals(self) -> None:
        """What a bound refuses counts under its setting."""
        gateway, operator = self.started(storage="memory:", QUOTAS_QUEUES="1", BOUNDS_MAX_CONNECTIONS_PER_ADDRESS="2", BOUNDS_UNCOUNTED_NETWORKS="[]")
        with closing(Http(gateway.http, "p")) as http, closing(Socket(gateway.websocket, "p")) as socket:
            self.assertEqual([http("PUT", f"/v2/queues/{name}").status for name in "abc"], [201, 403, 403])
            self.assertEqual(socket("queue_create", queue_name="d").status, 403)
            with closing(Http(gateway.http, "p")) as third:
                self.assertEqual(third("GET", "/v2/queues").status, 429)
            found = operator.scrape()  # operators are counted apart
            self.assertEqual(value(found, "refusals_total", bound="quotas"), 3)
            self.assertEqual(value(found, "refusals_total", bound="bounds.max_connections_per_address"), 1)
            self.assertEqual(value(found, "requests_total", operation="none", transport="http", status="429"), 1)
        gateway.stop()

    def test_deliveries(self) -> None:
        """Attempts count by scheme and outcome; hosts that keep failing are told, and schemes are those that are known."""
        with closing(Receiver(lambda hook: 500 if "bad" in hook.path else 200)) as receiver:
            gateway, operator = self.started(
                storage="memory:", NOTIFICATION_CIRCUIT_FAILURES="2", TRANSPORT_SUBSCRIBER_TYPES='["http", "odd"]'
            )
            retries = {"_retry_policy": {"retries_with_no_delay": 3, "minimum_delay_retries": 0, "maximum_delay_retries": 0}}
            with closing(Http(gateway.http, "p")) as http:
                for queue in ("good", "bad", "odd"):
                    scheme = "odd://h/" if queue == "odd" else f"{receiver.url}/{queue}"
                    made = http("POST", f"/v2/queues/{queue}/subscriptions", {"subscriber": scheme, "ttl": 300, "options": retries})
                    self.assertEqual(made.status, 201, str(made))
                for number in range(5):
                    self.assertEqual(http.post("good", number).status, 201)

                def attempts(scheme: str, outcome: str) -> float:
                    return operator.value("delivery_attempts_total", scheme=scheme, outcome=outcome)

                soon(lambda: attempts("http", "delivered") == 5, "all are delivered")
                self.assertEqual(operator.value("delivery_lateness_seconds_count"), 5)
                self.assertEqual(operator.value("delivery_hosts_held_back"), 0)
                self.assertEqual(http.post("odd", 1).status, 201)
                soon(lambda: attempts("other", "refused") == 1, "nothing delivers that")
                self.assertEqual(http.post("bad", 1).status, 201)
                soon(lambda: operator.value("delivery_hosts_held_back") == 1, "the host is held back")
                self.assertGreaterEqual(attempts("http", "failed"), 2)
                self.assertEqual(operator.health()["deliveries"]["hosts_held_back"], 1)
            gateway.stop()


class HealthTests(AdminTestCase):
    """How it stands."""

    def test_redis(self) -> None:
        """A Redis that hangs, ends and comes again shows in health, readiness and metrics; liveness does not ask it.  No password does."""
        redis = RedisProcess("p@ss/word-of-redis")
        self.addCleanup(redis.stop)
        gateway, operator = self.started(storage=redis.tcp, STORAGE_COMMAND_TIMEOUT_S="1")
        bodies = []

        def ready() -> int:
            answer = operator("/ready")
            bodies.append(answer.body)
            self.assertEqual(operator("/live").status, 204)
            return answer.status

        def health() -> tuple[int, Any]:
            answer = operator("/health")
            bodies.append(answer.body)
            return answer.status, answer.json

        soon(lambda: ready() == 204, "it is ready")
        status, document = health()
        self.assertEqual((status, document["status"], document["store"]["up"]), (200, "ok", True))
        self.assertEqual((document["store"]["kind"], document["troubles"]), ("redis", []))
        self.assertIn("a crash of", document["store"]["keeps"])
        self.assertEqual(operator.value("store_up", store="configured"), 1)
        for begin, end in (
            (lambda: redis.signal(signal.SIGSTOP), lambda: redis.signal(signal.SIGCONT)),
            (redis.kill, redis.start),
        ):
            lost = operator.value("store_connections_lost_total", store="configured")
            begin()
            soon(lambda: ready() == 503, "it is not ready")
            soon(lambda: operator.value("store_up", store="configured") == 0, "the store is away")
            status, document = health()
            self.assertEqual((status, document["status"], document["ready"]), (503, "unavailable", False))
            self.assertIn("the store", document["troubles"][0])
            with closing(Http(gateway.http, "p")) as http:
                self.assertEqual(http("GET", "/v2/ping").status, 503)
            end()
            soon(lambda: ready() == 204, "it is ready again")
            soon(lambda: health()[1]["status"] == "ok", "all is well again")
            found = operator.scrape()
            self.assertEqual(value(found, "store_up", store="configured"), 1)
            self.assertGreater(value(found, "store_connections_lost_total", store="configured"), lost)
        bodies += [operator("/metrics").body, operator("/nothing").body]
        for secret in (redis.password, quote(redis.password, safe="")):
            self.assertFalse([body for body in bodies if secret.encode() in body])
        gateway.stop()

    def test_trouble_of_redis(self) -> None:
        """A Redis that has no memory left is trouble; that it may evict is a warning, with which all is well."""
        redis = RedisProcess("secret", "--maxmemory", "1gb", "--maxmemory-policy", "allkeys-lru")
        self.addCleanup(redis.stop)
        gateway, operator = self.started(storage=redis.tcp)
        soon(lambda: operator("/ready").status == 204, "it is ready")
        document = operator.health()
        self.assertEqual((document["status"], document["troubles"]), ("ok", []))
        self.assertIn("Redis may evict messages", "".join(document["store"]["warnings"]))
        redis.command("CONFIG SET maxmemory-policy noeviction")
        redis.command("CONFIG SET maxmemory 1")
        with closing(Http(gateway.http, "p")) as http:
            self.assertEqual(http.post("q", 1).status, 503)
        document = operator.health()
        self.assertEqual((document["status"], document["ready"]), ("degraded", True))
        self.assertIn("Redis refuses what it is asked", document["troubles"][0])
        self.assertEqual(operator.value("store_troubles", store="configured"), 1)
        gateway.stop()

    def test_replicas(self) -> None:
        """How many replicas there are, and should be, is told; so it is that what is stored does not reach them."""
        redis = WatchedRedis(1)
        self.addCleanup(redis.stop)
        settings = {"STORAGE_DURABILITY": "replicated", "STORAGE_REPLICAS_TIMEOUT_S": "0.2"}
        gateway, operator = self.started(storage=redis.uri(), **settings)
        with closing(Http(gateway.http, "p")) as http:
            soon(lambda: http.post("q", 1).status == 201, "the replica has it")
            store = operator.health()["store"]
            self.assertEqual((store["kind"], store["up"], store["durability"]), ("sentinel", True, "replicated"))
            self.assertEqual((store["replicas"], store["replicas_wanted"]), (1, 1))
            (replica,) = [server for server in redis.servers if server is not redis.master]
            replica.signal(signal.SIGSTOP)
            soon(lambda: http.post("q", 2).status == 503, "no replica has it")
            soon(lambda: "fewer replicas" in "".join(operator.health()["troubles"]), "it is told")
            replica.signal(signal.SIGCONT)
            soon(lambda: http.post("q", 3).status == 201, "the replica has it")
            soon(lambda: operator.health()["status"] == "ok", "all is well again")
        gateway.stop()

    def test_cluster(self) -> None:
        """Each node of a Redis Cluster is told of; while one is away the others are served, and the gateway is ready."""
        cluster = Cluster(3, 0)
        self.addCleanup(cluster.stop)
        gateway, operator = self.started(storage=cluster.uri())
        soon(lambda: operator.health()["status"] == "ok", "all nodes are there")
        store = operator.health()["store"]
        self.assertEqual((store["kind"], store["up"], [*store["nodes"].values()]), ("cluster", True, [True] * 3))
        project = cluster.projects()[0]
        commands = operator.value("redis_commands_total")
        with closing(Http(gateway.http, project)) as http:
            self.assertEqual(http.post("q", 1).status, 201)
        self.assertGreater(operator.value("redis_commands_total"), commands)
        node = cluster.nodes[0]
        node.kill()
        soon(lambda: operator.value("store_up", store="configured") == 0, "a node is away")
        document = operator.health()
        self.assertEqual([*document["store"]["nodes"].values()].count(False), 1)
        self.assertIn("the store is away in part: there is no connection to", "".join(document["troubles"]))
        node.start()
        soon(lambda: operator.health()["status"] == "ok", "all nodes are there")
        gateway.stop()

    def test_embedded(self) -> None:
        """The embedded Redis is told of; one that was killed is there again, as another process."""
        gateway, operator = self.started()
        document = operator.health()
        self.assertEqual((document["store"]["kind"], document["store"]["process"]), ("embedded", gateway.redis_pid))
        self.assertIn(str(gateway.data_dir), document["store"]["where"])
        self.assertEqual(document["listeners"]["http"], [f"{gateway.http}/"])
        former = gateway.redis_pid
        os.kill(former, signal.SIGKILL)
        soon(lambda: operator.health()["store"].get("process") not in (None, former), "another one runs")
        soon(lambda: operator("/ready").status == 204, "it is ready again")
        gateway.stop()

    def test_pools(self) -> None:
        """Each pool is told of by its name, one that is away as well, without its password."""
        gateway, operator = self.started(storage="memory:", POOLING="true", ADMIN_MODE="true")
        redis = RedisProcess("secret-of-pool")
        self.addCleanup(redis.stop)
        with closing(Http(gateway.http, "p")) as http:
            for name, uri in (("near", "memory:"), ("far", redis.tcp), ("configured", "memory://2")):
                made = http("PUT", f"/v2/pools/{name}", {"uri": uri, "weight": 1}, {"X-Roles": "admin"})
                self.assertEqual(made.status, 201, str(made))
        soon(lambda: operator.value("store_up", store="pool far") == 1, "the pool is there")
        told = {dict(labels)["store"] for name, labels in operator.scrape() if name == f"{PREFIX}store_up"}
        self.assertEqual(told, {"configured", "pool near", "pool far", "pool configured"})
        redis.kill()
        soon(lambda: operator.value("store_up", store="pool far") == 0, "the pool is away")
        answer = operator("/health")
        document = answer.json
        self.assertEqual((answer.status, document["status"]), (200, "degraded"))
        self.assertEqual({name: each["up"] for name, each in document["pools"].items()}, {"configured": True, "near": True, "far": False})
        self.assertIn("pool far is away", "".join(document["troubles"]))
        self.assertNotIn(b"secret-of-pool", answer.body)
        redis.start()
        soon(lambda: operator.health()["status"] == "ok", "all is well again")
        gateway.stop()

    def test_policy(self) -> None:
        """A policy file that cannot be used is told of until it can."""
        path = new_directory() / "policy.yaml"
        path.write_text('"queues:create": ""\n')
        gateway, operator = self.started(storage="memory:", OSLO_POLICY_POLICY_FILE=str(path))
        self.assertEqual(operator.health()["policy"], {"path": str(path), "up_to_date": True})
        path.write_text('"queues:create": "role:"and\n')
        soon(lambda: operator.value("policy_file_up_to_date") == 0, "it is not used")
        self.assertIn("policy file", operator.health()["troubles"][0])
        path.write_text('"queues:create": "role:admin"\n')
        soon(lambda: operator.value("policy_file_up_to_date") == 1, "it is used")
        gateway.stop()


class ListenerTests(AdminTestCase):
    """Where it listens, and who may come."""

    def test_none(self) -> None:
        """Without the setting there is no such listener, and nothing that measures is made, nor the library loaded."""
        gateway = self.gateway(storage="memory:")
        with closing(Http(gateway.http, "p")) as http:
            for path in ("/metrics", "/health", "/ready", "/live"):
                self.assertEqual(http("GET", path).status, 404)
        self.assertNotIn("metrics and health", gateway.output)
        gateway.stop()
        for admin, expected in (("[]", []), ("tcp:0", ["Channel", "Factory", "Place", "Protocol", "prometheus_client"])):
            given = environment({f"{ENVIRONMENT_PREFIX}LISTEN_ADMIN": admin, f"{ENVIRONMENT_PREFIX}STORAGE_URI": "memory:"})
            found = subprocess.run([sys.executable, "-c", MADE], env=given, capture_output=True, text=True, timeout=START_S, check=False)
            self.assertEqual((found.stderr, json.loads(found.stdout or "null")), ("", expected))

    def test_paths_are_apart(self) -> None:
        """What is for operators is not on the listeners of clients, nor the other way round."""
        gateway, operator = self.started(storage="memory:")
        with closing(Http(gateway.http, "p")) as http:
            self.assertEqual(http("GET", "/metrics").status, 404)
        self.assertEqual(operator("/v2/queues").status, 404)
        self.assertEqual(operator("/metrics", "POST").status, 405)
        self.assertEqual(operator("/metrics", Host="rebound.example").status, 403)
        gateway.stop()

    def test_elsewhere(self) -> None:
        """A port without an interface is that of loopback; the start warns of one that is reachable from elsewhere."""
        gateway, operator = self.started(storage="memory:", listen="tcp:0")
        self.assertNotIn("reachable from elsewhere", gateway.output)
        self.assertRegex(operator._url, r"^http://127\.0\.0\.1:")
        gateway.stop()
        gateway, operator = self.started(storage="memory:", listen="tcp:0:interface=0.0.0.0")
        gateway.wait_for("metrics and health are reachable from elsewhere at 0.0.0.0:", START_S)
        self.assertEqual(operator("/live").status, 204)
        gateway.stop()

    def test_unix(self) -> None:
        """It may be a Unix socket."""
        path = new_directory() / "admin.sock"
        gateway, _ = self.started(storage="memory:", listen=f"unix:{path}")
        with sockets.socket(sockets.AF_UNIX) as connection:
            connection.settimeout(ANSWER_S)
            connection.connect(str(path))
            connection.sendall(b"GET /live HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            self.assertTrue(connection.recv(1000).startswith(b"HTTP/1.1 204 "))
        gateway.stop()
        self.assertFalse(path.exists())

    def test_tls_and_keystone(self) -> None:
        """Over TLS it tells when the certificate ends; with Keystone what that answers; then there is every metric that one process may have."""
        authority, directory = Authority(), new_directory()
        certificate, key = authority.issue("operators", "127.0.0.1", hours=48)
        paths = write(directory, cert=certificate, key=key)
        (directory / "password").write_text("secret-of-the-service\n")
        with sockets.create_server(("127.0.0.1", 0)) as taken:  # nobody answers there
            keystone = f"http://127.0.0.1:{taken.getsockname()[1]}"
        gateway, operator = self.started(
            storage="memory:",
            listen="tls:0",
            TLS_CERTIFICATE_FILE=paths["cert"],
            TLS_PRIVATE_KEY_FILE=paths["key"],
            AUTH_STRATEGY="keystone",
            KEYSTONE_AUTHTOKEN_AUTH_URL=keystone,
            KEYSTONE_AUTHTOKEN_USERNAME="zaqar",
            KEYSTONE_AUTHTOKEN_PASSWORD_FILE=str(directory / "password"),
            KEYSTONE_AUTHTOKEN_PROJECT_NAME="service",
        )
        operator._tls = ssl.create_default_context(cadata=authority.certificate.decode())
        with closing(Http(gateway.http, "p")) as http:
            self.assertEqual(http("GET", "/v2/queues", None, {"X-Auth-Token": "secret-of-a-client"}).status, 503)
        found = operator.scrape()
        self.assertEqual(value(found, "keystone_up"), 0)
        self.assertEqual(value(found, "keystone_calls_total", outcome="unavailable"), 1)
        self.assertEqual(value(found, "tokens_total", remembered="no"), 1)
        self.assertEqual(value(found, "requests_total", operation="none", transport="http", status="503"), 1)
        left_s = value(found, "certificate_expiry_timestamp_seconds") - time.time()
        self.assertTrue(47 * 3600 < left_s < 49 * 3600, left_s)
        self.assertEqual(value(found, "certificate_up_to_date"), 1)
        document = operator.health()
        self.assertEqual((document["status"], document["ready"], document["keystone"]["up"]), ("degraded", True, False))
        self.assertIn("the TLS certificate ends", "".join(document["troubles"]))
        self.assertIn("Keystone does not answer", document["troubles"])
        text = operator("/metrics").body.decode()
        shown = {line.split()[2] for line in text.splitlines() if line.startswith(f"# TYPE {PREFIX}")}
        self.assertEqual(shown, {each.shown for each in METRICS.values() if "workers" not in each.when})
        for body in (text, json.dumps(document)):
            self.assertNotIn("secret", body)
        gateway.stop()

    def test_slow_clients(self) -> None:
        """Who comes and asks nothing is let go, and holds up neither who asks nor clients; there is room for few."""
        gateway, operator = self.started(storage="memory:")
        host, port = operator._url.removeprefix("http://").split(":")
        held = [sockets.create_connection((host, int(port)), ANSWER_S) for _ in range(128)]
        for one in held:
            self.addCleanup(one.close)
            one.sendall(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n")
        soon(lambda: operator("/live").status == 503, "there is no room")
        with closing(Http(gateway.http, "p")) as http:
            self.assertEqual(http.post("q", 1).status, 201)
        soon(lambda: operator("/live").status == 204, "there is room again")
        for one in held:
            one.settimeout(PATIENCE_S)
            self.assertTrue(one.recv(1000).startswith(b"HTTP/1.1 408 "))
        gateway.stop()

    def test_taken(self) -> None:
        """A port that is taken is told, with the setting that has it."""
        with sockets.create_server(("127.0.0.1", 0)) as taken:
            port = taken.getsockname()[1]
            settings: Mapping[str, str] = {f"{ENVIRONMENT_PREFIX}LISTEN_ADMIN": f"tcp:{port}"}
            words = ["--http", "tcp:0:interface=127.0.0.1", "--websocket", "tcp:0:interface=127.0.0.1", "--storage", "memory:"]
            process = Process([*TWISTD, *words], environment(settings), new_directory())
            self.assertEqual(process.end(START_S), 1)
        self.assertIn(f"Another endpoint for 'tcp:{port}' has to be given, by listen.admin.", process.output)

    def test_life(self) -> None:
        """It is there before the gateway is ready, and tells that requests cannot be served yet, and no more when it stops."""
        redis = RedisProcess("secret")
        self.addCleanup(redis.stop)
        redis.signal(signal.SIGSTOP)
        settings = {"LISTEN_ADMIN": f"unix:{new_directory()}/a.sock"}
        environ = environment({f"{ENVIRONMENT_PREFIX}{name}": text for name, text in settings.items()})
        words = ["--http", "tcp:0:interface=127.0.0.1", "--websocket", "tcp:0:interface=127.0.0.1", "--storage", redis.tcp]
        process = Process([*TWISTD, *words], environ, new_directory())
        self.addCleanup(process.kill)
        path = settings["LISTEN_ADMIN"].removeprefix("unix:")

        def ready() -> bytes:
            with sockets.socket(sockets.AF_UNIX) as connection:
                connection.settimeout(ANSWER_S)
                connection.connect(path)
                connection.sendall(b"GET /ready HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
                return connection.makefile("rb").read()

        soon(lambda: os.path.exists(path), "it listens")
        first = ready()
        self.assertTrue(first.startswith(b"HTTP/1.1 503 "), first)
        self.assertIn(b"the gateway is starting", first)
        redis.signal(signal.SIGCONT)
        soon(lambda: ready().startswith(b"HTTP/1.1 204 "), "it is ready")
        process.signal(signal.SIGTERM)
        process.end()
        self.assertIn("Server Shut Down.", process.output)
