"""Pre-signed frames (API reference, "Pre-signed frames")."""

from __future__ import annotations

from typing import Any

import msgspec
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from tests.helpers import PROJECT, build_operations
from tests.transport.websocket.client import HEADERS, status
from tests.transport.websocket.test_session import SessionCase
from zaqar_gateway.identity.signed_url import UrlSigner
from zaqar_gateway.limits import ClientIds
from zaqar_gateway.model import SignedUrl
from zaqar_gateway.operations.policy import Policy
from zaqar_gateway.operations.registry import NOT_IMPLEMENTED
from zaqar_gateway.storage.memory import MemoryStorage
from zaqar_gateway.transport.websocket.codec import Actions, Headers
from zaqar_gateway.transport.websocket.session import Session, signed_request

KEY = "s3cr3t"
MESSAGES = "/v2/queues/q/messages"
NOT_AUTHENTIFIED = (403, {"error": "Not authentified."})

BODIES: dict[str, dict[str, Any]] = {
    "message_list": {"queue_name": "q"},
    "message_get": {"queue_name": "q", "message_id": "m"},
    "message_get_many": {"queue_name": "q", "message_ids": ["m"]},
    "message_post": {"queue_name": "q", "messages": [{"body": 1}]},
    "message_delete": {"queue_name": "q", "message_id": "m"},
    "message_delete_many": {"queue_name": "q", "pop": 1},
}
METHODS = {
    "message_list": "GET",
    "message_get": "GET",
    "message_get_many": "GET",
    "message_post": "POST",
    "message_delete": "DELETE",
    "message_delete_many": "DELETE",
}
"""The actions that can be signed for, and the method that each needs."""


class SignedRequestTests(SynchronousTestCase):
    """What a frame needs, apart from any connection."""

    def setUp(self) -> None:
        self.rows = {row.name: row for row in build_operations(MemoryStorage(Clock())).operations if row.frame}

    def headers(self, **changed: Any) -> Headers:
        sent = {"url_signature": "s", "url_expires": "e", "url_methods": ["M"], "url_paths": ["/p"], **changed}
        return Headers(client="c", project="p", **sent)

    def needed(self, action: str, queue: str = "q", /, **changed: Any) -> tuple[SignedUrl, str, str] | None:
        row = self.rows[action]
        given: dict[str, Any] = {"queue_name": queue, "message_id": "m", "message_ids": [], "claim_id": "c"}
        given |= {"subscription_id": "s", "deadline": 1, "window": 1, "durable": "d"}
        names = row.fields.__struct_fields__
        asked = row.fields(**{name: value for name, value in given.items() if name in names})
        return signed_request(row, self.headers(**changed), asked)

    def test_actions(self) -> None:
        """Each action on messages needs its method at the messages of the queue; no other can be signed for."""
        given = SignedUrl(("/p",), ("M",), "p", "e", "s")
        for action in self.rows:
            wanted = (given, METHODS[action], "/v2/queues/a.b/messages") if action in METHODS else None
            self.assertEqual(self.needed(action, "a.b"), wanted, action)
        self.assertIsNone(signed_request(None, self.headers(), msgspec.Struct()))

    def test_members(self) -> None:
        """With a member of the wrong type, or without one, there is nothing to verify."""
        wrong: dict[str, tuple[Any, ...]] = {
            "url_signature": (None, 1, ["s"], {}, msgspec.UNSET),
            "url_expires": (None, 1893456000, [], msgspec.UNSET),
            "url_methods": (None, "GET", {"GET": 1}, [1], ["GET", None], [["GET"]], msgspec.UNSET),
            "url_paths": (None, MESSAGES, {}, [1], [None], [[MESSAGES]], msgspec.UNSET),
        }
        for name, values in wrong.items():
            for value in values:
                changed: dict[str, Any] = {name: value}
                self.assertIsNone(self.needed("message_list", **changed), (name, value))

    def test_queue(self) -> None:
        """A name that no queue can have makes no path."""
        for queue in ("", "q/messages/x", "../q", "q/messages", "{queue_name}", "a b", "q\n", "é"):
            self.assertIsNone(self.needed("message_list", queue), queue)


class SignedFrames(SessionCase):
    """A session with a secret."""

    keys: tuple[str, ...] = (KEY,)
    policy = Policy()

    def converse(self, client_ids: ClientIds | None = None) -> Session:
        actions = Actions(build_operations(self.storage, self.limits, policy=self.policy).operations)
        return Session(actions, client_ids or ClientIds(), UrlSigner(self.keys, self.clock))

    def signed(self, *methods: str, paths: tuple[str, ...] = (MESSAGES,), **changed: Any) -> dict[str, Any]:
        """Headers with a signature for an hour; ``None`` is left out, underscores become hyphens."""
        signer = UrlSigner((KEY,), self.clock)
        made = signer.sign(PROJECT, paths, methods, int(self.clock.seconds()) + 3600)
        sent: dict[str, Any] = {
            **HEADERS,
            "URL-Signature": made.signature,
            "URL-Expires": made.expires,
            "URL-Methods": list(made.methods),
            "URL-Paths": list(made.paths),
        }
        return sent | {name.replace("_", "-"): value for name, value in changed.items()}

    def reply(self, action: str, headers: dict[str, Any], **changed: Any) -> tuple[int, Any]:
        """The status and the body of the reply to an action with its usual body."""
        reply = self.raw(action, {**BODIES.get(action, {"queue_name": "q"}), **changed}, headers)
        self.assertEqual(reply["request"]["headers"], headers)
        return status(reply), reply["body"]

    def test_good(self) -> None:
        """Each action on messages runs with its method signed, and is a 403 with all others signed."""
        for action, method in METHODS.items():
            code, body = self.reply(action, self.signed(method))
            self.assertNotEqual(code, 403, action)
            others = {"GET", "POST", "DELETE", "PUT"} - {method}
            self.assertEqual(self.reply(action, self.signed(*others)), NOT_AUTHENTIFIED, action)
        self.assertEqual(self.reply("message_post", self.signed("POST"))[0], 201)
        self.assertEqual(self.reply("message_list", self.signed("GET"), echo=True)[1]["messages"][0]["body"], 1)

    def test_no_roles(self) -> None:
        """The policy asks whoever has a signature, too, and what they say of themselves gives them no role."""
        self.policy = Policy({"messages:get": "role:admin"})
        self.session = self.converse()
        for sent, expected in ((self.signed("GET", X_ROLES="admin"), 403), ({**HEADERS, "X-ROLES": "admin"}, 404)):
            code, body = self.reply("message_get", sent)
            self.assertEqual((code, set(body)), (expected, {"exception", "error"}))

    def test_order_of_lists(self) -> None:
        """The order of the lists does not matter."""
        paths = ("/v2/queues/q/claims", MESSAGES)
        for methods in (["GET", "POST"], ["POST", "GET"]):
            sent = self.signed("GET", "POST", paths=paths, URL_Methods=methods, URL_Paths=list(reversed(paths)))
            self.assertEqual(self.reply("message_list", sent)[0], 200)

    def test_other_queues(self) -> None:
        """A signature for one queue opens no other, whatever its name is."""
        sent = self.signed("GET", "POST")
        for queue in ("other", "Q", "q2", "", "q/messages/x", "q/messages", "../queues/q", "x/../q", "q\n"):
            for action in ("message_list", "message_post"):
                self.assertEqual(self.reply(action, sent, queue_name=queue), NOT_AUTHENTIFIED, queue)
        for path in ("/v2/queues/q/message", "/v2/queues/q/messages/", f"{MESSAGES}/id", "/v2/queues/q/claims", ""):
            self.assertEqual(self.reply("message_list", self.signed("GET", paths=(path,))), NOT_AUTHENTIFIED, path)

    def test_other_actions(self) -> None:
        """No other action can be signed for, those that nobody serves included."""
        sent = self.signed("GET", "POST", "PUT", "PATCH", "DELETE", paths=("/v2", "/v2/queues", MESSAGES))
        more = {"claim_id": "c", "subscription_id": "s", "message_ids": ["m"], "deadline": 1, "window": 1, "durable": "d"}
        rows = build_operations(self.storage).operations
        given = {row.name: {} if row.http and row.http.closed else more for row in rows if row.frame and row.name not in METHODS}
        self.assertIn("claim_create", given)
        for action in (*given, *NOT_IMPLEMENTED):
            self.assertEqual(self.reply(action, sent, **given.get(action, {})), NOT_AUTHENTIFIED, action)

    def test_altered(self) -> None:
        """Altered, mistyped or missing, it is the same 403."""
        good = self.signed("GET", "POST")
        signature = good["URL-Signature"]
        for name, values in {
            "URL-Signature": ("", None, 1, signature[:-1], signature.upper(), [signature]),
            "URL-Expires": ("", None, 1893456000, "never", "2030-01-01T00:00:00", "2020-01-01"),
            "URL-Methods": ("GET,POST", "GET", None, [], ["GET"], ["GET", "POST", "PUT"], ["GET", 1], {"GET": "POST"}),
            "URL-Paths": (MESSAGES, None, [], [""], ["/v2"], [MESSAGES, ""], [MESSAGES, MESSAGES], [1], {}),
            "X-Project-ID": ("", "other"),
        }.items():
            for value in values:
                self.assertEqual(self.reply("message_list", {**good, name: value}), NOT_AUTHENTIFIED, (name, value))
            if name != "X-Project-ID" and name != "URL-Signature":
                sent = {known: value for known, value in good.items() if known != name}
                self.assertEqual(self.reply("message_list", sent), NOT_AUTHENTIFIED, name)
        self.assertEqual(self.reply("message_list", good)[0], 200)

    def test_schema_first(self) -> None:
        """A violated schema is told first."""
        bad = {**self.signed("GET"), "URL-Signature": "x"}
        self.assertEqual(self.reply("message_list", bad, queue_name=1)[0], 400)
        reply = self.raw("foo", {}, bad)
        self.assertEqual(status(reply), 400)

    def test_before_the_operation(self) -> None:
        """A signature that fails is told before the operation looks at its fields, one that is good after."""
        for sent, code in ((self.signed("GET"), 400), (self.signed("POST"), 403)):
            self.assertEqual(self.reply("message_list", sent, limit=0)[0], code)
            self.assertEqual(self.reply("message_list", {**sent, "Client-ID": "x"})[0], code)

    def test_expired(self) -> None:
        """It ends in the second of its expiry."""
        sent = self.signed("GET")
        self.clock.advance(3599)
        self.assertEqual(self.reply("message_list", sent)[0], 200)
        self.clock.advance(1)
        self.assertEqual(self.reply("message_list", sent), NOT_AUTHENTIFIED)

    def test_rotation(self) -> None:
        """A signature by an earlier key is good while that key is configured."""
        for keys, expected in ((("new", KEY), 200), (("new",), 403), ((), 403)):
            self.keys = keys
            self.session = self.converse()
            self.assertEqual(self.reply("message_list", self.signed("GET"))[0], expected)

    def test_without_signer(self) -> None:
        """A session that was given no signer accepts no signature."""
        self.session = SessionCase.converse(self)
        self.assertEqual(self.reply("message_list", self.signed("GET")), NOT_AUTHENTIFIED)

    def test_unsigned(self) -> None:
        """A frame without URL-Signature is as any other, whatever else it has, and the socket goes on after a 403."""
        sent = {**HEADERS, "URL-Methods": 1, "URL-Paths": None, "url-signature": "x"}
        self.assertEqual(self.reply("message_list", {**HEADERS, "URL-Signature": "x"}), NOT_AUTHENTIFIED)
        self.assertEqual(self.reply("message_list", sent)[0], 200)
        self.assertEqual(self.reply("claim_create", sent)[0], 204)
