"""What clients are told while the store fails, for every operation, on both transports."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from attrs import evolve, field, frozen
from zope.interface import implementer

from tests.helpers import CLIENT, PROJECT, FailingStorage
from tests.wire.calls import REQUEST_ID, Call, frame_request, http_error, http_request
from tests.wire.gateway import Gateway, WireCase
from zaqar_gateway.errors import MessageClaimed, StoreFault, StoreUnavailable
from zaqar_gateway.interfaces import IStorage
from zaqar_gateway.model import Volume
from zaqar_gateway.storage.memory import MemoryStorage
from zaqar_gateway.testing.base import NO_IDS

CHANGES = [{"op": "add", "path": "/metadata/k", "value": 1}]
CALLS = (
    Call("queue_list"),
    Call("queue_get", {"queue_name": "q"}),
    Call("queue_create", {"queue_name": "q", "metadata": {"a": 1}}),
    Call("queue_update", {"queue_name": "q", "changes": CHANGES}),
    Call("queue_delete", {"queue_name": "q"}),
    Call("queue_get_stats", {"queue_name": "q"}),
    Call("queue_purge", {"queue_name": "q"}),
    Call("message_post", {"queue_name": "q", "messages": [{"body": 1}]}),
    Call("message_list", {"queue_name": "q"}),
    Call("message_get", {"queue_name": "q", "message_id": "a"}),
    Call("message_get_many", {"queue_name": "q", "message_ids": ["a"]}),
    Call("message_delete", {"queue_name": "q", "message_id": "a"}),
    Call("message_delete", {"queue_name": "q", "message_id": "a", "claim_id": "a"}),
    Call("message_delete_many", {"queue_name": "q", "message_ids": ["a"]}),
    Call("message_delete_many", {"queue_name": "q", "pop": 1}),
    Call("claim_create", {"queue_name": "q"}),
    Call("claim_get", {"queue_name": "q", "claim_id": "a"}),
    Call("claim_update", {"queue_name": "q", "claim_id": "a", "ttl": 60}),
    Call("claim_delete", {"queue_name": "q", "claim_id": "a"}),
    Call("dead_letter_list", {"queue_name": "q"}),
    Call("dead_letter_return", {"queue_name": "q", "limit": 1}),
    Call("subscription_list", {"queue_name": "q"}),
    Call("subscription_create", {"queue_name": "q", "subscriber": "http://a"}),
    Call("subscription_get", {"queue_name": "q", "subscription_id": "a"}),
    Call("subscription_update", {"queue_name": "q", "subscription_id": "a", "changes": {"ttl": 60}}),
    Call("subscription_delete", {"queue_name": "q", "subscription_id": "a"}),
    Call("subscription_confirm", {"queue_name": "q", "subscription_id": "a", "confirmed": True}),
    Call("queue_purge", {"queue_name": "q", "resource_types": ["subscriptions"]}),
)
"""Every operation of both transports."""

HTTP_ONLY = ("queue_update", "subscription_update", "subscription_confirm")
UNAVAILABLE, INTERNAL = "Service temporarily unavailable", "Internal server error"


@implementer(IStorage)
@frozen
class Patchy:
    """A store of which some parts fail."""

    queues: Any
    messages: Any
    claims: Any
    dead_letters: Any
    topics: Any
    topic_messages: Any
    subscriptions: Any
    topic_subscriptions: Any
    deliveries: Any
    durables: Any
    doorbells: Any
    rates: Any
    _failing: FailingStorage = field(factory=lambda: FailingStorage(StoreFault("parts are broken")))

    async def ping(self) -> None:
        """Answer."""

    async def volume(self) -> Volume:
        """Fail."""
        return await self._failing.volume()

    async def secret(self, name: str, fresh: bytes) -> bytes:
        """Fail."""
        return await self._failing.secret(name, fresh)


class FailureTests(WireCase):
    """A store in which every operation raises."""

    def failing(self, error: Exception) -> Gateway:
        return self.start(FailingStorage(error))

    async def http(self, error: Exception, call: Call) -> tuple[int, str, str, str | None]:
        """Status, title, description and Retry-After."""
        gateway = self._gateways[-1] if self._gateways else self.failing(error)
        response = await (await gateway.http()).ask(*http_request(call))
        outcome = http_error(response)
        self.assertTrue(REQUEST_ID.fullmatch(response.header("x-openstack-request-id") or ""))
        return outcome.status, outcome.title, outcome.text, response.header("Retry-After")

    async def test_unavailable_on_http(self) -> None:
        """A store that is away is 503 with Retry-After for everything, a post too (API reference, 6.2 item 18)."""
        error = StoreUnavailable("The store is away.", retry_after_s=7)
        for call in CALLS:
            status, title, text, retry = await self.http(error, call)
            self.assertEqual((status, title, retry), (503, UNAVAILABLE, "7"), call)
            self.assertTrue(text.startswith("The store is away."))
            self.assertNotIn("unknown", text)

    async def test_unknown_outcome_on_http(self) -> None:
        """A store that went silent is 503, and the text says that the outcome is unknown (6.2 item 18)."""
        error = StoreUnavailable("No answer came.", outcome_unknown=True)
        for call in CALLS:
            status, title, text, retry = await self.http(error, call)
            self.assertEqual((status, title, retry), (503, UNAVAILABLE, "2"), call)
            self.assertIn("unknown", text)

    async def test_fault_on_http(self) -> None:
        """A fault without a meaning is 500 for a post and 503 for all else (1.11; 6.2 item 18)."""
        for call in CALLS:
            status, title, _, _ = await self.http(StoreFault("It is broken."), call)
            expected = (500, INTERNAL) if call.name == "message_post" else (503, UNAVAILABLE)
            self.assertEqual((status, title), expected, call)
        self.assertTrue(self.flushLoggedErrors(StoreFault))

    async def test_unforeseen_on_http(self) -> None:
        """An exception that nobody foresaw is 500, and tells nothing of itself (1.11)."""
        for call in CALLS:
            status, title, text, _ = await self.http(RuntimeError("a secret"), call)
            self.assertEqual((status, title), (500, INTERNAL), call)
            self.assertNotIn("secret", text)
        self.assertTrue(self.flushLoggedErrors(RuntimeError))

    async def test_frames(self) -> None:
        """On WebSocket store failures are 503, unforeseen exceptions 500, and the connection stays (4.4; 6.2 item 18)."""
        for error, expected in (
            (StoreUnavailable("The store is away."), 503),
            (StoreUnavailable("No answer came.", outcome_unknown=True), 503),
            (StoreFault("It is broken."), 503),
            (RuntimeError("a secret"), 500),
        ):
            socket = await self.failing(error).socket()
            for call in CALLS:
                if call.name in HTTP_ONLY:
                    continue
                reply = await socket.ask(frame_request(call))
                self.assertEqual(reply["headers"], {"status": expected}, (call, reply))
                self.assertEqual(reply["request"], {**frame_request(call), "api": "v2"})
                self.assertEqual(set(reply["body"]), {"exception", "error"})
                self.assertNotIn("secret", str(reply["body"]))
                if expected == 500:
                    self.assertEqual(reply["body"]["error"], "Unexpected error.")
        self.flushLoggedErrors(StoreFault, RuntimeError)

    async def test_unknown_outcome_in_frames(self) -> None:
        """A WebSocket client too is told that its request may have taken effect (1.11; ``StoreUnavailable.outcome_unknown``)."""
        socket = await self.failing(StoreUnavailable("No answer came.", outcome_unknown=True)).socket()
        reply = await socket.ask(frame_request(CALLS[7]))
        self.assertIn("unknown", reply["body"]["error"])

    async def test_malformed_ids(self) -> None:
        """A malformed id is no short cut past the store: 503, never 404 or 204 (1.8)."""
        gateway = self.failing(StoreUnavailable("The store is away."))
        http, socket = await gateway.http(), await gateway.socket()
        for text in (*NO_IDS, "nada", "foo"):
            for call in CALLS:
                fields = dict(call.fields)
                for name in ("message_id", "claim_id"):
                    if name in fields and text.strip():
                        fields[name] = text
                        break  # two long ones are more than a request line holds
                if "message_ids" in fields:
                    fields["message_ids"] = [text]
                if fields == call.fields or call.name in HTTP_ONLY:
                    continue
                asked = evolve(call, fields=fields)
                reply = await socket.ask(frame_request(asked))
                self.assertEqual(reply["headers"], {"status": 503}, (asked, reply))
                if text and "," not in text:
                    response = await http.ask(*http_request(asked))
                    self.assertEqual(response.status, 503, (asked, response))

    async def test_malformed_marker(self) -> None:
        """A foreign marker asks the store too (1.8)."""
        http = await self.failing(StoreUnavailable("The store is away.")).http()
        self.assertEqual((await http.ask("GET", "/v2/queues/q/messages?marker=nonesuch")).status, 503)

    async def test_ping_and_health(self) -> None:
        """Ping is 503 without a body, HEAD of it 204, health 503 (2.1; 2.2)."""
        for error in (StoreUnavailable("away"), StoreUnavailable("silent", outcome_unknown=True), StoreFault("broken")):
            http = await self.failing(error).http()
            response = await http.ask("GET", "/v2/ping")
            self.assertEqual((response.status, response.body), (503, b""))
            self.assertEqual((await http.ask("HEAD", "/v2/ping")).status, 204)
            response = await http.ask("GET", "/v2/health", None, {"X-Roles": "admin"})
            self.assertEqual((response.status, response.title), (503, UNAVAILABLE))
            self.assertEqual((await http.ask("GET", "/v2/health")).status, 403)
            self.assertEqual((await http.ask("GET", "/")).status, 300)
            self.assertEqual((await http.ask("GET", "/v2/")).status, 200)
        self.flushLoggedErrors(StoreFault, StoreUnavailable)

    async def test_health_of_parts(self) -> None:
        """Where some operations fail health is 200 and says which, each with a UUID that is in the log (3.13)."""
        good, bad = MemoryStorage(self.clock), FailingStorage(StoreFault("It is broken."))
        topics = (bad.topics, bad.topic_messages)
        rest = (good.subscriptions, good.topic_subscriptions, good.deliveries, good.durables, good.doorbells, good.rates)
        http = await self.start(Patchy(good.queues, good.messages, bad.claims, good.dead_letters, *topics, *rest)).http()
        response = await http.ask("GET", "/v2/health", None, {"X-Roles": "admin"})
        self.assertEqual(response.status, 200)
        for name, outcome in response.json["operation_status"].items():
            failed = name in ("claim_messages", "delete_claim")
            self.assertEqual(outcome["succeeded"], not failed, name)
            if failed:
                UUID(outcome["ref"])
            else:
                self.assertIsNone(outcome["ref"])
        self.flushLoggedErrors(StoreFault)

    async def test_client_errors_come_first(self) -> None:
        """What is wrong with a request is told although the store fails (1.2)."""
        gateway = self.failing(StoreUnavailable("The store is away."))
        http, socket = await gateway.http(), await gateway.socket()
        q = "/v2/queues/q"
        for method, target, body, status in (
            ("GET", "/v2/queues?limit=0", None, 400),
            ("GET", "/v2/queues/a@b", None, 400),
            ("PUT", q, b"[]", 400),
            ("POST", f"{q}/messages", b"{}", 400),
            ("POST", f"{q}/messages", {"messages": [{"body": 1, "ttl": 59}]}, 400),
            ("DELETE", f"{q}/messages", None, 400),
            ("DELETE", f"{q}/messages?pop=21", None, 400),
            ("GET", f"{q}/messages?limit=21", None, 400),
            ("GET", f"{q}/messages?ids=" + "a," * 21, None, 400),
            ("POST", f"{q}/claims", {"ttl": 59}, 400),
            ("PATCH", f"{q}/claims/a", b"[]", 400),
            ("PATCH", q, b"[]", 415),
            ("GET", f"{q}/claims", None, 405),
            ("GET", "/v2/nope", None, 404),
        ):
            self.assertEqual((await http.ask(method, target, body)).status, status, target)
        for action, fields in (
            ("queue_list", {"limit": 0}),
            ("queue_create", {"queue_name": "a@b"}),
            ("message_post", {"queue_name": "q", "messages": []}),
            ("claim_create", {"queue_name": "q", "ttl": 59}),
            ("message_get_many", {"queue_name": "q", "message_ids": []}),
        ):
            headers = {"Client-ID": CLIENT, "X-Project-ID": PROJECT}
            reply = await socket.ask({"action": action, "headers": headers, "body": fields})
            self.assertEqual(reply["headers"], {"status": 400})

    async def test_fault_of_redis(self) -> None:
        """What Redis itself says of a fault is in the log, and is not told to clients (1.11; ``StoreFault``)."""
        gateway = self.start(await self.redis())
        http, socket = await gateway.http(), await gateway.socket()
        self.assertEqual((await http.ask("POST", "/v2/queues/q/messages", {"messages": [{"body": 1}]})).status, 201)
        redis = self._redis[-1]
        for key in await redis.command("KEYS", "zg:*"):
            await redis.command("SET", key, "of a wrong type")
        texts: list[str] = []
        for call in (CALLS[7], CALLS[8], CALLS[15]):
            response = await http.ask(*http_request(call))
            self.assertEqual(response.status, 500 if call.name == "message_post" else 503)
            reply = await socket.ask(frame_request(call))
            self.assertEqual(reply["headers"], {"status": 503})
            texts += [response.json["description"], reply["body"]["error"], reply["body"]["exception"]]
        self.assertTrue(self.flushLoggedErrors(StoreFault))
        for text in texts:
            for secret in ("WRONGTYPE", "user_script", "zg:"):
                self.assertNotIn(secret, text)

    async def test_other_errors_of_a_store(self) -> None:
        """An error with a meaning keeps it (1.11)."""
        gateway = self.failing(MessageClaimed("Message a is claimed."))
        response = await (await gateway.http()).ask("DELETE", "/v2/queues/q/messages/a")
        self.assertEqual((response.status, response.title), (403, "Unable to delete"))
        reply = await (await gateway.socket()).ask(frame_request(CALLS[11]))
        self.assertEqual(reply["headers"], {"status": 403})
