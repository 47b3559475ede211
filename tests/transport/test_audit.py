"""The audit log: which requests are told of, and what is told, on both transports."""

from __future__ import annotations

import json
from typing import Any

from twisted.internet.address import IPv4Address, IPv6Address, UNIXAddress
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.logger import LogLevel, capturedLogs, formatEvent
from twisted.trial.unittest import SynchronousTestCase

from tests.helpers import CLIENT, PROJECT, FailingStorage, HttpApi, build_operations
from zaqar_gateway.errors import StoreUnavailable
from zaqar_gateway.interfaces import IStorage
from zaqar_gateway.limits import ClientIds
from zaqar_gateway.operations.registry import PATCH_TYPE
from zaqar_gateway.storage.memory import MemoryStorage
from zaqar_gateway.testing.base import clock_at_epoch
from zaqar_gateway.transport.audit import FIELDS, NAMESPACE, peer_of
from zaqar_gateway.transport.websocket.codec import Actions
from zaqar_gateway.transport.websocket.session import Session

GLOBAL_ID = "req-01234567-89ab-cdef-0123-456789abcdef"
CANARY = "canary"
AUDITED = {
    *("queue_create", "queue_update", "queue_delete", "queue_purge", "queue_share"),
    *(f"subscription_{verb}" for verb in ("create", "update", "delete", "confirm")),
    *("topic_create", "topic_update", "topic_delete", "topic_purge"),
    *(f"topic_subscription_{verb}" for verb in ("create", "update", "delete", "confirm")),
    *("delivery_resend", "topic_delivery_resend", "dead_letter_return", "durable_delete"),
}


class AuditCase(SynchronousTestCase):
    """Both transports over one store."""

    def setUp(self) -> None:
        self.use(MemoryStorage(clock_at_epoch()))

    def use(self, storage: IStorage) -> None:
        """Serve another store."""
        clock = Clock()
        clock.advance(1767323045)
        self.api = HttpApi(storage, keys=(CANARY,), clock=clock)
        built = build_operations(storage, keys=(CANARY,), clock=clock)
        self.session = Session(Actions(built.operations), ClientIds(), built.signer, peer=lambda: "192.0.2.2:5")

    def told(self, work: Any) -> list[dict[str, Any]]:
        """What the audit log has of something."""
        with capturedLogs() as logged:
            work()
        events = [event for event in logged if event["log_namespace"] == NAMESPACE]
        for event in events:
            self.assertEqual(event["log_level"], LogLevel.info)
            self.assertNotIn(CANARY, formatEvent(event))
            self.assertNotIn(CANARY, str({name: event[name] for name in FIELDS}))
        return [{name: event[name] for name in FIELDS} for event in events]

    def http(self, method: str, target: str, body: object = None, **headers: str | None) -> list[dict[str, Any]]:
        """What is told of a request."""
        return self.told(lambda: self.api(method, target, body, {k.replace("_", "-"): v for k, v in headers.items()}))

    def frame(self, action: str, headers: dict[str, Any] | None = None, **body: Any) -> list[dict[str, Any]]:
        """What is told of a frame."""
        document = {"action": action, "body": body, "headers": {"Client-ID": CLIENT, "X-Project-ID": PROJECT} | (headers or {})}
        request = self.session.receive(json.dumps(document).encode(), False)
        return self.told(lambda: self.successResultOf(Deferred.fromCoroutine(request.reply())))


class HttpTests(AuditCase):
    """Requests over HTTP."""

    def test_record(self) -> None:
        """A record says who did what, from where, and what came of it; the ids are those of the request."""
        with capturedLogs() as logged:
            headers: dict[str, str | None] = {"X-USER-ID": "u", "X-Openstack-Request-Id": GLOBAL_ID, "X-Auth-Token": CANARY}
            response = self.api("PUT", "/v2/queues/q", {"k": CANARY}, headers)
        (event,) = logged
        self.assertEqual(
            {name: event[name] for name in FIELDS},
            {
                "request_id": response.header("x-openstack-request-id"),
                "global_request_id": GLOBAL_ID,
                "transport": "http",
                "peer": "192.0.2.1:1234",
                "project": PROJECT,
                "user": "u",
                "operation": "queue_create",
                "resources": {"queue_name": "q"},
                "status": 201,
            },
        )
        self.assertIn("queue_create {'queue_name': 'q'} in project '480924' by user 'u'", formatEvent(event))

    def test_global_id(self) -> None:
        """A global id of another form is not told: nobody writes into the log what they like."""
        (record,) = self.http("PUT", "/v2/queues/q", X_Openstack_Request_Id="req-x\u2028")
        self.assertEqual(record["global_request_id"], "")

    def test_outcomes(self) -> None:
        """What is refused by the policy, by the operation or by the store is told with its status."""
        (record,) = self.http("POST", "/v2/queues/q/deliveries")
        self.assertEqual((record["operation"], record["status"]), ("delivery_resend", 403))
        (record,) = self.http("PUT", "/v2/queues/q", b"{")
        self.assertEqual((record["operation"], record["status"]), ("queue_create", 400))
        (record,) = self.http("PATCH", "/v2/queues/q/subscriptions/s", {"ttl": 100})
        self.assertEqual((record["resources"], record["status"]), ({"queue_name": "q", "subscription_id": "s"}, 404))
        self.use(FailingStorage(StoreUnavailable("Away.")))
        (record,) = self.http("DELETE", "/v2/topics/t")
        self.assertEqual((record["resources"], record["status"]), ({"topic_name": "t"}, 503))

    def test_not_admitted(self) -> None:
        """What is refused before it is known who asks for what is not told."""
        self.assertEqual(self.http("PUT", "/v2/queues/q", X_Project_ID=None), [])
        self.assertEqual(self.http("PUT", "/v2/queues/q", Client_ID="x"), [])
        self.assertEqual(self.http("PUT", "/v2/nope"), [])

    def test_secrets(self) -> None:
        """Bodies, queries, options, metadata and signatures are not told."""
        self.http("PUT", "/v2/queues/q", {"a": CANARY})
        self.http("PATCH", "/v2/queues/q", [{"op": "add", "path": "/metadata/b", "value": CANARY}], Content_Type=PATCH_TYPE)
        body = {"subscriber": f"http://{CANARY}/", "options": {"a": CANARY}}
        self.assertEqual([one["status"] for one in self.http("POST", "/v2/queues/q/subscriptions", body)], [201])
        self.assertEqual([one["status"] for one in self.http("POST", "/v2/queues/q/share", {"paths": ["messages"]})], [200])
        (record,) = self.http("DELETE", f"/v2/queues/q?ids={CANARY}&claim_ids={CANARY}")
        self.assertEqual(record["operation"], "queue_delete")

    def test_messages(self) -> None:
        """Taking messages out, popped or by their ids, is use and not administration."""
        for query in ("pop=1", "ids=a"):
            self.assertEqual(self.http("DELETE", f"/v2/queues/q/messages?{query}"), [])

    def test_which(self) -> None:
        """What administers or destroys is told of, and nothing else."""
        rows = build_operations(MemoryStorage(clock_at_epoch())).operations
        self.assertEqual({row.name for row in rows if row.audited}, AUDITED)
        for method, target in (
            *(("GET", f"/v2/queues{path}") for path in ("", "/q", "/q/stats", "/q/messages", "/q/subscriptions")),
            *(("POST", "/v2/queues/q/claims"), ("DELETE", "/v2/queues/q/messages/m"), ("GET", "/v2/ping")),
        ):
            self.assertEqual(self.http(method, target), [], target)


class WebSocketTests(AuditCase):
    """Requests in frames, which have no ids."""

    def test_record(self) -> None:
        """A record is like that of HTTP."""
        (record,) = self.frame("queue_create", {"X-USER-ID": "u"}, queue_name="q\n", metadata={"k": CANARY})
        self.assertEqual(
            record,
            {
                "request_id": "",
                "global_request_id": "",
                "transport": "websocket",
                "peer": "192.0.2.2:5",
                "project": PROJECT,
                "user": "u",
                "operation": "queue_create",
                "resources": {"queue_name": "q\n"},
                "status": 400,
            },
        )

    def test_outcomes(self) -> None:
        """Success and refusal are told with their statuses; the log has one line of each, whatever is in a name."""
        for name, status in (("q", 201), ("q", 204), ("a\nb", 400)):
            with capturedLogs() as logged:
                (record,) = self.frame("queue_create", queue_name=name)
            self.assertEqual(record["status"], status)
            self.assertFalse(any("\n" in (formatEvent(event) or "") for event in logged))
        (record,) = self.frame("delivery_resend", queue_name="q")
        self.assertEqual((record["operation"], record["status"]), ("delivery_resend", 403))
        (record,) = self.frame("subscription_delete", queue_name="q", subscription_id="s")
        self.assertEqual(record["resources"], {"queue_name": "q", "subscription_id": "s"})

    def test_not_told(self) -> None:
        """Use, and what violates the schema, are not told."""
        self.assertEqual(self.frame("queue_list"), [])
        self.assertEqual(self.frame("message_delete_many", queue_name="q", pop=1), [])
        self.assertEqual(self.frame("queue_delete"), [])
        self.assertEqual(self.frame("message_delete_many", queue_name="q", message_ids=["a"]), [])

    def test_failed_signature(self) -> None:
        """A frame whose signature is no good is nobody's, and not told."""
        self.assertEqual(self.frame("queue_purge", {"URL-Signature": CANARY}, queue_name="q"), [])


class _Transport:
    """A connection with a peer."""

    def __init__(self, peer: object) -> None:
        self.getPeer = lambda: peer


class PeerTests(SynchronousTestCase):
    """From where somebody comes."""

    def test_peer(self) -> None:
        """Address and port, or that it is this machine."""
        for peer, text in (
            (IPv4Address("TCP", "192.0.2.1", 5), "192.0.2.1:5"),
            (IPv6Address("TCP", "2001:db8::1", 5), "[2001:db8::1]:5"),
            (UNIXAddress(None), "unix"),
        ):
            self.assertEqual(peer_of(_Transport(peer)), text)
