"""Bounds as clients meet them: real sockets, both transports, and a clock for what takes time."""

from __future__ import annotations

import json
from typing import Any, cast

from attrs import define, field
from twisted.internet import reactor
from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater

from tests.helpers import CLIENT, Response, self_signed
from tests.tokens import StubTokens, caller
from tests.transport.websocket.client import CLOSE, handshake
from tests.wire.gateway import Gateway, HttpConnection, OnMemory, OnRedis, WireCase, request_head
from zaqar_gateway.interfaces import IStorage
from zaqar_gateway.model import Message, Quotas
from zaqar_gateway.operations.gate import Gate
from zaqar_gateway.operations.rates import Rate, Rates
from zaqar_gateway.operations.refusals import Refusals
from zaqar_gateway.storage.memory import MemoryStorage
from zaqar_gateway.storage.totals import Amounts, BoundedStorage
from zaqar_gateway.transport.http.bounds import HttpBounds
from zaqar_gateway.transport.peers import Peers
from zaqar_gateway.transport.websocket.bounds import WebSocketBounds

MESSAGES = "/v2/queues/q/messages"
POST = {"messages": [{"body": "x" * 100, "ttl": 60}]}


def asked(action: str, project: str = "p", **body: Any) -> dict[str, Any]:
    """A frame."""
    headers = {"Client-ID": CLIENT, "X-Project-ID": project}
    return {"action": action, "headers": headers, "body": {"queue_name": "q", **body}}


def told(reply: Any) -> tuple[int, str]:
    """Status and error of a frame."""
    body = reply["body"]
    return reply["headers"]["status"], body.get("error", "") if isinstance(body, dict) else ""


class BoundsCase(WireCase):
    """A gateway with bounds."""

    async def setUp(self) -> None:  # type: ignore[override]
        await super().setUp()
        self.refusals = Refusals()

    def assertRefused(self, response: Response, status: int, title: str, retry_after_s: int | None) -> None:
        """The response is an error as clients read it."""
        self.assertEqual((response.status, response.title), (status, title), response.body)
        self.assertEqual(response.header("Content-Type"), "application/json")
        self.assertEqual(response.header("Retry-After"), None if retry_after_s is None else str(retry_after_s))
        self.assertTrue(response.json["description"])


class ConnectionTests(BoundsCase):
    """How many connections, and of whom."""

    def crowd(self, **options: Any) -> Gateway:
        """A gateway that takes few connections of each address."""
        peers = Peers(self.refusals, per_address_max=2)
        return self.start(self.memory(), peers=peers, refusals=self.refusals, **options)

    async def test_all_listeners(self) -> None:
        """The connections of an address are counted in all listeners together, an upgraded one once."""
        gateway = self.crowd()
        http, upgraded = await gateway.http(), await gateway.socket(upgraded=True)
        self.assertEqual((await http.ask("GET", "/v2/queues")).status, 200)
        refused = await gateway.raw()
        response = await refused.response()
        self.assertRefused(response, 429, "Too many requests", 5)
        self.assertIn("2 connections from 127.0.0.1", response.json["description"])
        self.assertEqual(await refused.rest(), b"")
        other = await gateway.raw(websocket=True)
        other.write(handshake())
        response = await other.response()
        self.assertEqual((response.status, response.header("Retry-After")), (429, "5"))
        await upgraded.close()
        await self.until_accepted(gateway)
        self.assertEqual(self.refusals.counts["bounds.max_connections_per_address"], 2)

    async def test_tokens(self) -> None:
        """Whose tokens are looked up is told by where the connection is counted, on both transports."""
        tokens = StubTokens()
        gateway = self.crowd(tokens=tokens)
        http, socket = await gateway.http(), await gateway.socket(upgraded=True)
        headers = {"X-Project-ID": "p1", "X-Auth-Token": "t2"}
        asking = [
            Deferred.fromCoroutine(http.ask("GET", "/v2/queues", None, {"X-Auth-Token": "t1"})),
            Deferred.fromCoroutine(socket.ask({"action": "authenticate", "headers": headers})),
        ]
        while len(tokens.asked) < 2:
            await deferLater(cast(IReactorTime, reactor), 0.001)
        self.assertEqual((sorted(tokens.asked), tokens.places), (["t1", "t2"], ["127.0.0.1"] * 2))
        for _ in asking:
            tokens.answer(caller("p1"))
        await gatherResults(asking)

    async def until_accepted(self, gateway: Gateway) -> None:
        """Open a WebSocket on the port of its own, once what was closed is gone."""
        while True:
            made = await gateway.raw(websocket=True)
            made.write(handshake())
            if (await made.until(b"\r\n")).startswith(b"HTTP/1.1 101"):
                return
            self.refusals.counts["bounds.max_connections_per_address"] -= 1

    async def test_refused_over_tls(self) -> None:
        """Over TLS the refusal comes once the handshake is done, and nothing is logged as an error."""
        gateway = self.crowd(tls=self_signed().options())
        for _ in range(2):
            await gateway.raw()
        refused = await gateway.raw()
        refused.start_tls()
        self.assertRefused(await refused.response(), 429, "Too many requests", 5)

    async def test_kinds(self) -> None:
        """Each transport can have a bound of its own."""
        gateway = self.start(
            self.memory(),
            http_bounds=HttpBounds(connections_max=1),
            websocket_bounds=WebSocketBounds(connections_max=1),
            refusals=self.refusals,
        )
        await gateway.http()
        await gateway.socket()
        self.assertRefused(await (await gateway.raw()).response(), 503, "Service temporarily unavailable", 5)
        other = await gateway.raw(websocket=True)
        other.write(handshake())
        self.assertEqual((await other.response()).status, 503)
        self.assertEqual(self.refusals.counts, {"http.max_connections": 1, "websocket.max_connections": 1})

    async def test_sockets_of_a_project(self) -> None:
        """A socket too many of a project is closed with 1013 when it first asks; that of another project is not."""
        gateway = self.start(
            self.memory(), websocket_bounds=WebSocketBounds(per_project_max=1), refusals=self.refusals
        )
        first, second = await gateway.socket(), await gateway.socket(upgraded=True)
        for _ in range(2):
            self.assertEqual(told(await first.ask(asked("queue_create")))[0] // 100, 2)
        self.assertEqual(told(await second.ask(asked("queue_create", "other")))[0], 201)
        second.send(json.dumps(asked("queue_delete")).encode())
        opcode, payload = await second.frame()
        self.assertEqual((opcode & 15, payload[:2]), (CLOSE, (1013).to_bytes(2, "big")))
        self.assertIn(b"The project has 1 WebSockets", payload)
        self.assertEqual(told(await first.ask(asked("queue_get")))[0], 200)
        self.assertEqual(self.refusals.counts, {"websocket.max_sockets_per_project": 1})
        # What is gone makes room, both where it was counted and where it would have been.
        await first.close()
        await second.close()
        third = await gateway.socket()
        self.assertEqual(told(await third.ask(asked("queue_get")))[0], 200)
        self.assertEqual(told(await third.ask(asked("queue_get", "other")))[0], 200)


class HeadTests(BoundsCase):
    """What a request brings before its body."""

    async def asked_with(self, bounds: dict[str, int], head: bytes) -> tuple[Response, int]:
        """The answer to a head on the HTTP port, and the status on the port for WebSocket."""
        gateway = self.start(
            self.memory(),
            http_bounds=HttpBounds(**bounds),
            websocket_bounds=WebSocketBounds(
                handshake_max=bounds.get("head_max", 32768), headers_max=bounds.get("headers_max", 100)
            ),
        )
        http, websocket = await gateway.raw(), await gateway.raw(websocket=True)
        http.write(head)
        websocket.write(head)
        return await http.response(), (await websocket.response()).status

    async def test_size(self) -> None:
        """A head that is too large is refused with 431 on both."""
        response, status = await self.asked_with({"head_max": 2048}, request_head("GET", "/", {"X": "x" * 2100}))
        self.assertRefused(response, 431, "Request Header Fields Too Large", None)
        self.assertEqual(status, 431)

    async def test_count(self) -> None:
        """So are too many headers."""
        headers = {f"X-{number}": "x" for number in range(20)}
        head = request_head("GET", "/", {**headers, "Upgrade": "websocket", "Connection": "Upgrade"}) + b"\r\n"
        response, status = await self.asked_with({"headers_max": 20}, head)
        self.assertRefused(response, 431, "Request Header Fields Too Large", None)
        self.assertEqual(status, 431)

    async def test_request_line(self) -> None:
        """A request line that is too long is a 414."""
        gateway = self.start(self.memory(), http_bounds=HttpBounds(request_line_max=1024))
        self.assertRefused(await (await gateway.http()).ask("GET", "/" + "x" * 2000), 414, "URI Too Long", None)


class TimeTests(BoundsCase):
    """How long clients may take, by a clock."""

    def slow(self, **options: Any) -> Gateway:
        """A gateway whose timeouts follow ``clock``."""
        return self.start(self.memory(), timers=self.clock, **options)

    def pass_s(self, seconds: int) -> None:
        """Let time pass, in which nothing comes."""
        self.clock.pump([1] * seconds)

    async def served(self, gateway: Gateway) -> HttpConnection:
        """A connection that has been answered, so that the gateway has seen it."""
        connection = await gateway.http()
        self.assertEqual((await connection.ask("GET", "/v2/queues")).status, 200)
        return connection

    async def test_head(self) -> None:
        """A head that goes on coming is refused after its time, however it comes."""
        gateway = self.slow(http_bounds=HttpBounds(head_timeout_s=10))
        connection = await self.served(gateway)
        await self.begin(gateway, connection, b"GET /v2/queues HTTP/1.1\r\nHost: a\r\n")
        for _ in range(11):
            connection.write(b"X: y\r\n")
            self.pass_s(1)
        self.assertRefused(await connection.response(), 408, "Request Timeout", None)

    async def begin(self, gateway: Gateway, connection: HttpConnection, data: bytes) -> None:
        """Send, and wait until that has come: by a request on another connection, which comes later."""
        connection.write(data)
        await self.served(gateway)

    async def test_body(self) -> None:
        """So is a body."""
        gateway = self.slow(http_bounds=HttpBounds(body_timeout_s=20))
        connection = await self.served(gateway)
        head = request_head("POST", MESSAGES, {"Content-Length": "1000"}) + b"\r\n"
        await self.begin(gateway, connection, head + b"{")
        self.pass_s(21)
        self.assertRefused(await connection.response(), 408, "Request Timeout", None)

    async def test_idle(self) -> None:
        """A connection between two requests is closed after its time."""
        gateway = self.slow(http_bounds=HttpBounds(idle_timeout_s=30))
        connection = await self.served(gateway)
        self.pass_s(31)
        self.assertEqual(await connection.rest(), b"")

    async def test_first_byte(self) -> None:
        """A connection that sends nothing is closed after its time."""
        gateway = self.slow(http_bounds=HttpBounds(fresh_timeout_s=5))
        connection = await gateway.raw()
        await self.served(gateway)
        self.pass_s(6)
        self.assertEqual(await connection.rest(), b"")

    async def test_tls_handshake(self) -> None:
        """A TLS handshake has a time of its own on the HTTP port, and shares that of the opening of a WebSocket."""
        for websocket in (False, True):
            gateway = self.slow(
                tls=self_signed().options(),
                http_bounds=HttpBounds(tls_timeout_s=10, fresh_timeout_s=60),
                websocket_bounds=WebSocketBounds(open_timeout_s=10),
            )
            silent, slow = await gateway.raw(websocket=websocket), await gateway.raw(websocket=websocket)
            done = await gateway.raw(websocket=websocket)
            slow.write(b"\x16\x03\x01")
            done.start_tls()
            done.write(handshake() if websocket else request_head("GET", "/") + b"\r\n")
            await done.until(b"\r\n\r\n")
            self.pass_s(11)
            self.assertEqual((await silent.rest(), await slow.rest()), (b"", b""))
            self.assertFalse(done.ended)

    async def test_after_tls(self) -> None:
        """Once TLS is up the time to the first byte begins."""
        gateway = self.slow(
            tls=self_signed().options(), http_bounds=HttpBounds(tls_timeout_s=10, fresh_timeout_s=60)
        )
        connection = await gateway.raw()
        connection.start_tls()
        await self.greeted(gateway)
        self.pass_s(11)
        connection.write(request_head("GET", "/") + b"\r\n")
        self.assertEqual((await connection.response()).status, 300)

    async def greeted(self, gateway: Gateway) -> None:
        """Another connection over TLS has been answered."""
        connection = await gateway.raw()
        connection.start_tls()
        connection.write(request_head("GET", "/") + b"\r\n")
        await connection.response()

    async def test_opening(self) -> None:
        """The opening of a WebSocket has its time."""
        gateway = self.slow(websocket_bounds=WebSocketBounds(open_timeout_s=10))
        connection = await gateway.raw(websocket=True)
        connection.write(handshake()[:-2])
        await gateway.socket()
        self.pass_s(11)
        self.assertEqual(await connection.rest(), b"")

    async def test_idle_socket(self) -> None:
        """A socket that asks for nothing is closed with 1008, one that does is not."""
        gateway = self.slow(websocket_bounds=WebSocketBounds(idle_timeout_s=60, ping_interval_s=0))
        idle, busy = await gateway.socket(), await gateway.socket(upgraded=True)
        for _ in range(3):
            self.assertEqual(told(await busy.ask(asked("queue_create")))[0] // 100, 2)
            self.pass_s(50)
        self.assertEqual(await idle.close_code(), 1008)
        self.assertEqual(told(await busy.ask(asked("queue_get")))[0], 200)


@define
class HeldMessages:
    """A store of messages whose ``get`` waits for the test."""

    release: Deferred[None] = field(factory=Deferred)

    async def get(self, project: str, queue: str, ids: Any) -> list[Message]:
        await self.release
        return []


class InFlightTests(BoundsCase):
    """Requests in flight."""

    async def test_in_flight(self) -> None:
        """At the bound, both transports counted together, others get 503 at once; what ends makes room."""
        storage: Any = MemoryStorage(self.clock)
        held = storage.messages = HeldMessages()
        gate = Gate(2, self.refusals)
        gateway = self.start(storage, gate=gate, refusals=self.refusals)
        http, other, socket = await gateway.http(), await gateway.http(), await gateway.socket()
        http.write(request_head("GET", MESSAGES + "/x") + b"\r\n")
        socket.send(json.dumps(asked("message_get", message_id="x")).encode())
        while gate.in_flight < 2:
            await other.ask("GET", "/v2/nothing")
        self.assertRefused(await other.ask("GET", "/v2/queues"), 503, "Service temporarily unavailable", 1)
        reply = told(await (await gateway.socket()).ask(asked("queue_get")))
        self.assertEqual(reply[0], 503)
        self.assertIn("as many requests in flight", reply[1])
        held.release.callback(None)
        self.assertEqual((await http.response()).status, 404)
        self.assertEqual(told(json.loads(await socket.message()))[0], 404)
        self.assertEqual((await other.ask("GET", "/v2/queues")).status, 200)
        self.assertEqual((gate.in_flight, self.refusals.counts), (0, {"bounds.max_requests": 2}))


class SharedBounds:
    """What the store has a part in; on each store."""

    clock: Any
    refusals: Refusals

    def gate(self, storage: IStorage, requests: Rate | None, size: Rate | None = None) -> Gate:
        """The gate of one gateway."""
        rates = Rates(storage.rates, requests, size, self.clock, self.refusals)
        return Gate(0, self.refusals, rates)

    async def test_rates(self: Any) -> None:
        """Beyond the rate of its project a request gets 429, on both transports of two gateways alike."""
        storage = await self.a_store()
        first, second = (self.start(storage, gate=self.gate(storage, Rate(0.1, 10))) for _ in range(2))
        http, socket = await first.http(), await second.socket()
        answered = 0
        while (response := await http.ask("GET", "/v2/queues")).status == 200:
            answered += 1
            answered += told(await socket.ask(asked("queue_get", "480924")))[0] == 200
        self.assertLessEqual(answered, 12)
        self.assertGreaterEqual(answered, 8)
        self.assertEqual(response.status, 429)
        wait_s = int(response.header("Retry-After"))
        self.assertRefused(response, 429, "Too many requests", wait_s)
        while (reply := told(await socket.ask(asked("queue_get", "480924"))))[0] == 200:
            pass
        self.assertEqual(reply[0], 429)
        self.assertIn("0.1 requests a second", reply[1])
        self.assertEqual(told(await socket.ask(asked("queue_get", "other")))[0], 200)

    async def test_bytes(self: Any) -> None:
        """Beyond the rate of bytes a post gets 429, and stores nothing."""
        storage = await self.a_store()
        gateway = self.start(storage, gate=self.gate(storage, None, Rate(1, 2000)))
        http, socket = await gateway.http(), await gateway.socket()
        for _ in range(20):
            response = await http.ask("POST", MESSAGES, POST)
            if response.status != 201:
                break
        self.assertEqual(response.status, 429)
        self.assertEqual(told(await socket.ask(asked("message_post", "480924", **POST)))[0], 429)
        self.assertLessEqual((await storage.volume()).total, 16)


    async def test_totals(self: Any) -> None:
        """What a project has in all its queues and topics is bounded, on both transports alike."""
        storage = BoundedStorage(await self.a_store(), Amounts(messages=4, subscriptions=1), self.clock)
        gateway = self.start(storage)
        http, socket = await gateway.http(), await gateway.socket()
        self.assertEqual((await http.ask("POST", MESSAGES, POST)).status, 201)
        self.assertEqual((await http.ask("POST", "/v2/topics/t/messages", POST)).status, 201)
        two = {"messages": [{"body": "x"}] * 2}
        self.assertEqual(told(await socket.ask(asked("message_post", "480924", **two)))[0], 201)
        for path in (MESSAGES, "/v2/topics/u/messages"):
            response = await http.ask("POST", path, POST)
            self.assertRefused(response, 403, "Quota exceeded", None)
        refused = told(await socket.ask(asked("message_post", "480924", **POST)))
        self.assertEqual(refused, (403, response.json["description"]))
        self.assertEqual((await storage.volume()).total, 4)
        self.assertEqual(told(await socket.ask(asked("message_post", "other", **POST)))[0], 201)
        follow: dict[str, Any] = {"subscriber": "http://192.0.2.1/a", "ttl": 300, "options": {}}
        self.assertEqual((await http.ask("POST", "/v2/topics/t/subscriptions", follow)).status, 201)
        response = await http.ask("POST", "/v2/queues/q/subscriptions", follow)
        self.assertRefused(response, 403, "Quota exceeded", None)
        refused = told(await socket.ask(asked("subscription_create", "480924", **follow)))
        self.assertEqual(refused, (403, response.json["description"]))


class MemoryTests(SharedBounds, OnMemory, BoundsCase):
    """On the memory store."""

    async def test_quotas(self) -> None:
        """See :func:`check_quotas`."""
        gate = Gate(0, self.refusals)
        await check_quotas(self, self.start(MemoryStorage(self.clock, quotas=QUOTAS), gate=gate))
        self.assertEqual(self.refusals.counts, {"quotas": 8})


class RedisTests(SharedBounds, OnRedis, BoundsCase):
    """On Redis."""

    async def test_quotas(self) -> None:
        """See :func:`check_quotas`."""
        await check_quotas(self, self.start(await self.redis(QUOTAS)))

    async def a_store(self) -> IStorage:
        """The store of this test, which counts what a project has."""
        return await self.redis(Quotas(counts_subscriptions=True))


QUOTAS = Quotas(queues=2, messages_per_queue=3, bytes_per_queue=1000, subscriptions_per_queue=1)


async def check_quotas(case: BoundsCase, gateway: Gateway) -> None:
    """What goes beyond a quota gets 403 on both transports, which names it, and changes nothing."""
    http, socket = await gateway.http(), await gateway.socket()

    async def refused(method: str, path: str, body: object, action: str, text: str, **fields: Any) -> None:
        response = await http.ask(method, path, body)
        case.assertRefused(response, 403, "Quota exceeded", None)
        case.assertIn(text, response.json["description"])
        status, error = told(await socket.ask(asked(action, "480924", **fields)))
        case.assertEqual((status, error), (403, response.json["description"]))

    case.assertEqual((await http.ask("PUT", "/v2/queues/q")).status, 201)
    case.assertEqual((await http.ask("PUT", "/v2/queues/r")).status, 201)
    await refused("PUT", "/v2/queues/s", None, "queue_create", "at most 2", queue_name="s")
    case.assertEqual(len((await http.ask("GET", "/v2/queues")).json["queues"]), 2)
    three = {"messages": [{"body": "x"}] * 3}
    case.assertEqual((await http.ask("POST", MESSAGES, three)).status, 201)
    await refused("POST", MESSAGES, POST, "message_post", "at most 3 messages", **POST)
    large = {"messages": [{"body": "x" * 1000}]}
    path = "/v2/queues/r/messages"
    await refused("POST", path, large, "message_post", "at most 1000 bytes", queue_name="r", **large)
    follow: dict[str, Any] = {"subscriber": "http://192.0.2.1/a", "ttl": 300, "options": {}}
    case.assertEqual((await http.ask("POST", "/v2/queues/q/subscriptions", follow)).status, 201)
    follow = {**follow, "subscriber": "http://192.0.2.1/b"}
    await refused(
        "POST", "/v2/queues/q/subscriptions", follow, "subscription_create", "at most 1 subscriptions", **follow
    )


class DeflateTests(BoundsCase):
    """Compression of WebSocket."""

    async def test_deflate_only(self) -> None:
        """No compression but that of RFC 7692 is agreed to, whatever else is offered beside it."""
        gateway = self.start(self.memory())
        for offer, agreed in (
            ("permessage-bzip2", False),
            ("permessage-snappy, x-webkit-deflate-frame", False),
            ("permessage-bzip2, permessage-deflate", True),
        ):
            made = await gateway.raw(websocket=True)
            made.write(handshake(Sec_WebSocket_Extensions=offer))
            head = await made.until(b"\r\n\r\n")
            self.assertTrue(head.startswith(b"HTTP/1.1 101 "))
            self.assertEqual(b"Sec-WebSocket-Extensions: permessage-deflate" in head, agreed)
            self.assertEqual(head.count(b"Extensions"), agreed)
