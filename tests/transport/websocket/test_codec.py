"""Frames and replies as bytes."""

from __future__ import annotations

import json
from typing import Any

import msgpack
from attrs import evolve
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from tests.helpers import build_operations
from tests.transport.websocket.client import HEADERS, NEEDED, envelope
from zaqar_gateway.storage.memory import MemoryStorage
from zaqar_gateway.transport.websocket import codec
from zaqar_gateway.transport.websocket.codec import Actions, Answer, Envelope, EnvelopeError

repeatable = settings(derandomize=True, database=None, deadline=None)
OK = Answer(200, {})


def document(**parts: object) -> bytes:
    """A JSON frame."""
    return json.dumps(parts).encode()


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner, max_size=4),
    max_leaves=12,
)


class Undecodable(SynchronousTestCase):
    """Frames that are no document."""

    def refused(self, payload: bytes, is_binary: bool = False) -> str:
        text = str(self.assertRaises(EnvelopeError, codec.open_frame, payload, is_binary))
        form = "binary (MessagePack)" if is_binary else "text (JSON)"
        self.assertTrue(text.startswith(f"Can't decode {form} request"), text)
        return text

    def test_text(self) -> None:
        """What is not one JSON document of this API is refused, whatever it begins with."""
        for payload in (
            b"",
            b" ",
            b"foo",
            b"{",
            b"[1,",
            b'"x',
            b"{} {}",
            b'{"action": 1,}',
            b"\xef\xbb\xbf{}",
            b'{"body": NaN}',
            b'{"body": Infinity}',
            b'{"body": -Infinity}',
            b'{"body": "\\ud800"}',
            b'{"x": "\\udc00"}',
            b'{"body": "a\nb"}',
            b'{"body": 01}',
        ):
            self.refused(payload)

    def test_reason(self) -> None:
        """The error says what is wrong."""
        for payload, reason in (
            (b'{"body": "\xff"}', "not UTF-8"),
            (b'{"body": 9223372036854775808}', "9223372036854775808 is out of range"),
            (b'{"body": [-9223372036854775809]}', "-9223372036854775809 is out of range"),
            (b'{"body": 1e400}', "1e400 is out of range"),
            (b'{"body": ' + b"[" * 300 + b"]" * 300 + b"}", "nested deeper than 200 levels"),
            (b"[" * 100_000, "nested deeper than 200 levels"),
        ):
            self.assertIn(reason, self.refused(payload))

    def test_deep(self) -> None:
        """What is nested 128 levels deep is accepted, in both encodings."""
        deep: Any = 1
        for _ in range(128):
            deep = [deep]
        for payload, is_binary in ((document(body=deep), False), (msgpack.packb({"body": deep}), True)):
            self.assertEqual(json.loads(bytes(codec.open_frame(payload, is_binary).body)), deep)

    def test_binary(self) -> None:
        """What is not one MessagePack document, or has no form in JSON, is refused; the error says where and why."""
        deep: Any = 1
        for _ in range(300):
            deep = [deep]
        for payload, reason in (
            (b"", "truncated"),
            (b"123", "trailing characters"),
            (b'{"action": "queue_list"}', "trailing characters"),
            (b"\x80\x80", "trailing characters"),
            (b"\xc1", "invalid opcode"),
            (b"\xdd\xff\xff\xff\xff", "truncated"),
            (b"\x81\xa1a\xa1\xff", "not UTF-8"),
            (msgpack.packb({"body": {"a": b"x"}}), "body.a is a byte string"),
            (msgpack.packb({"body": [1, {"a": b""}]}), "body[1].a is a byte string"),
            (msgpack.packb({"body": msgpack.ExtType(5, b"x")}), "body is of an extension type"),
            (msgpack.packb({"body": msgpack.Timestamp(1, 2)}), "body is of an extension type"),
            (msgpack.packb({"body": {1: 2}}), "body has a key that is not a string"),
            (msgpack.packb({b"body": 2}), "the document has a key that is not a string"),
            (b"\x81\x91\x01\x02", "the document has a key that is not a string"),
            (msgpack.packb({"body": float("nan")}), "body is NaN or infinite"),
            (msgpack.packb({"body": float("-inf")}), "body is NaN or infinite"),
            (msgpack.packb({"body": 2**63}), "9223372036854775808 is out of range"),
            (msgpack.packb({"body": deep}), "nested deeper than 200 levels"),
            (b"\x91" * 100_000 + b"\xc0", "nested deeper than 200 levels"),
        ):
            self.assertIn(reason, self.refused(payload, True))

    def test_not_a_map(self) -> None:
        """A document that is not a map is told apart from what is no document."""
        for value, kind in (
            (123, "a scalar"),
            ("x", "a scalar"),
            (None, "a scalar"),
            ([], "an array"),
            ([{}], "an array"),
        ):
            for payload, is_binary in ((json.dumps(value).encode(), False), (msgpack.packb(value), True)):
                text = str(self.assertRaises(EnvelopeError, codec.open_frame, payload, is_binary))
                self.assertTrue(text.startswith("Unexpected body type. Expected dict"), text)
                self.assertIn(kind, text)


class Echo(SynchronousTestCase):
    """The request in the reply."""

    def echo(self, payload: bytes) -> Any:
        return json.loads(codec.close_frame(codec.open_frame(payload, False).echo, OK, False))["request"]

    def test_absent(self) -> None:
        """What is absent is echoed as null, an object and an object."""
        self.assertEqual(self.echo(b"{}"), {"action": None, "body": {}, "headers": {}, "api": "v2"})

    def test_as_it_came(self) -> None:
        """Action, body and headers are echoed byte for byte, whatever they are; other members are not."""
        reply = codec.close_frame(
            codec.open_frame(
                b'{"action" : "\\u0061",  "body":[1.50e1, "\\u00e9"], "headers": {"x" :1}, "z": 3}', False
            ).echo,
            OK,
            False,
        )
        self.assertIn(b'"action":"\\u0061",', reply)
        self.assertIn(b'"body":[1.50e1, "\\u00e9"],', reply)
        self.assertIn(b'"headers":{"x" :1},', reply)
        self.assertNotIn(b'"z"', reply)

    def test_last_wins(self) -> None:
        """Of a key that is there twice the last one counts."""
        self.assertEqual(self.echo(b'{"action": "a", "action": "b"}')["action"], "b")

    @repeatable
    @given(json_values)
    def test_both_encodings(self, value: Any) -> None:
        """Any JSON value comes back as it was sent, in JSON, in MessagePack and in its old raw family."""
        for payload, is_binary in (
            (document(body=value), False),
            (json.dumps({"body": value}, ensure_ascii=False).encode(), False),
            (msgpack.packb({"body": value}), True),
            (msgpack.packb({"body": value}, use_bin_type=False), True),
        ):
            reply = codec.close_frame(codec.open_frame(payload, is_binary).echo, Answer(200, value), is_binary)
            decoded = msgpack.unpackb(reply) if is_binary else json.loads(reply)
            self.assertEqual(decoded["request"]["body"], value)
            self.assertEqual(decoded["body"], value)
            self.assertEqual(decoded["headers"], {"status": 200})

    @repeatable
    @given(st.binary(max_size=64), st.booleans())
    def test_any_bytes(self, payload: bytes, is_binary: bool) -> None:
        """Whatever comes is an envelope or an error that says so."""
        try:
            self.assertIsInstance(codec.open_frame(payload, is_binary), Envelope)
        except EnvelopeError as error:
            self.assertTrue(str(error))


class Schema(SynchronousTestCase):
    """What each action has to look like."""

    def setUp(self) -> None:
        self.actions = Actions(build_operations(MemoryStorage(Clock())).operations)

    def check(self, action: Any, body: Any = None, headers: Any = HEADERS) -> Any:
        opened = codec.open_frame(json.dumps(envelope(action, body, headers)).encode(), False)
        found = self.actions.find(opened)
        found.headers(opened)
        return found.fields(opened.body, None)

    def violated(self, action: str, reason: str, body: Any = None, headers: Any = HEADERS) -> None:
        text = str(self.assertRaises(EnvelopeError, self.check, action, body, headers))
        self.assertEqual(text, f"Schema validation failed. {reason}")

    def test_unknown(self) -> None:
        """An action that does not exist is named; a missing one is None; a list is no action."""
        for payload, name in (
            (b"{}", "None"),
            (b'{"action": null}', "None"),
            (b'{"action": "foo"}', "foo"),
            (b'{"action": ""}', ""),
            (b'{"action": "queue_update"}', "queue_update"),
            (b'{"action": "health"}', "health"),
            (b'{"action": ["queue_list"]}', '["queue_list"]'),
            (b'{"action": {"a": 1}}', '{"a": 1}'),
            (b'{"action": 5}', "5"),
            (b'{"action": "' + b"x" * 100 + b'"}', "x" * 64 + "..."),
        ):
            opened = codec.open_frame(payload, False)
            error = self.assertRaises(EnvelopeError, self.actions.find, opened)
            self.assertEqual(str(error), f"{name} is not a valid action")

    def test_escaped(self) -> None:
        """An action may be written with escapes."""
        opened = codec.open_frame(b'{"action": "queue\\u005flist"}', False)
        self.assertEqual(self.actions.find(opened).name, "queue_list")

    def test_required_headers(self) -> None:
        """Client-ID and X-Project-ID are required in their exact spelling and have to be strings; both may be empty."""
        client, project = HEADERS["Client-ID"], HEADERS["X-Project-ID"]
        for action in ("queue_list", "pool_create", "flavor_list"):
            self.violated(action, "headers.Client-ID is missing.", headers=None)
            self.violated(
                action, "headers.Client-ID is missing.", headers={"client-id": client, "X-Project-ID": project}
            )
            self.violated(
                action, "headers.X-Project-ID is missing.", headers={"Client-ID": client, "X-Project-Id": "p"}
            )
            self.violated(
                action,
                "headers.Client-ID has to be a string, not an integer.",
                headers={"Client-ID": 1, "X-Project-ID": project},
            )
            self.violated(
                action,
                "headers.X-Project-ID has to be a string, not null.",
                headers={"Client-ID": client, "X-Project-ID": None},
            )
            self.check(action, headers={"Client-ID": "", "X-Project-ID": "", "Other": 5})

    def test_headers_object(self) -> None:
        """Headers have to be an object."""
        for value, kind in (([], "an array"), ("x", "a string"), (5, "an integer"), (False, "a boolean")):
            self.violated("queue_list", f"headers has to be an object, not {kind}.", headers=value)
        opened = codec.open_frame(b'{"action": "queue_list", "headers": null}', False)
        self.assertRaises(EnvelopeError, self.actions.find(opened).headers, opened)

    def test_optional_headers(self) -> None:
        """Other known headers have to be strings where they are there."""
        for name in ("User-Agent", "Date", "Accept", "X-Auth-Token"):
            self.check("queue_list", headers={**HEADERS, name: "x"})
            self.violated(
                "queue_list", f"headers.{name} has to be a string, not an integer.", headers={**HEADERS, name: 1}
            )

    def test_authenticate_headers(self) -> None:
        """``authenticate`` needs a project and a token, and no Client-ID."""
        self.check("authenticate", headers={"X-Project-ID": "p", "X-Auth-Token": "t"})
        self.violated("authenticate", "headers.X-Auth-Token is missing.", headers={"X-Project-ID": "p"})
        self.violated("authenticate", "headers.X-Project-ID is missing.", headers={"X-Auth-Token": "t"})

    def test_node_actions(self) -> None:
        """The actions on nodes need nothing."""
        for action in ("get_home_doc", "check_node_health", "ping_node"):
            self.check(action, headers=None)
            self.violated(action, "headers.Client-ID has to be a string, not an integer.", headers={"Client-ID": 1})

    def test_body_object(self) -> None:
        """A body has to be an object where it is there, also for actions that look at no field of it."""
        for action in ("queue_list", "pool_create", "ping_node"):
            for value, kind in (
                ([], "an array"),
                ("x", "a string"),
                (5, "an integer"),
                (1.5, "a number with a fraction or an exponent"),
            ):
                self.violated(action, f"body has to be an object, not {kind}.", body=value)

    def test_required_fields(self) -> None:
        """Each required field of each action is required; unknown ones are ignored, save where they would do harm."""
        for action, required in NEEDED.items():
            full = {name: EXAMPLES[name] for name in required}
            if action == "dead_letter_return":
                text = "body.unknown is not known here; leave it out, or correct its name."
                self.violated(action, text, {**full, "unknown": [1]})
            else:
                self.check(action, {**full, "unknown": [1]})
            for name in required:
                rest = {known: value for known, value in full.items() if known != name}
                self.violated(action, f"body.{name} is missing.", rest)

    def test_types(self) -> None:
        """Each field of each action has its type and no other: null, numbers in strings and 60.0 do not do."""
        for action, optional in OPTIONAL.items():
            full = {name: EXAMPLES[name] for name in NEEDED[action]}
            for name in (*NEEDED[action], *optional):
                good, wanted = EXAMPLES[name], WANTED[name]
                self.check(action, {**full, name: good})
                values: tuple[Any, ...] = (None, 1, 60.0, True, "5", [], {})
                for bad in values:
                    if type(bad) is not type(good) and (type(good), type(bad)) != (float, int):  # which is a number, too
                        text = str(self.assertRaises(EnvelopeError, self.check, action, {**full, name: bad}))
                        self.assertTrue(
                            text.startswith(f"Schema validation failed. body.{name} has to be {wanted}"), (text, bad)
                        )

    def test_ids_are_strings(self) -> None:
        """Elements of lists of ids have to be strings."""
        self.violated(
            "message_get_many",
            "body.message_ids[1] has to be a string, not an integer.",
            {"queue_name": "q", "message_ids": ["a", 1]},
        )

    def test_every_row_has_an_answer(self) -> None:
        """A row of the registry without a line in the table of answers is found at start."""
        rows = build_operations(MemoryStorage(Clock())).operations
        self.assertRaises(KeyError, Actions, [evolve(row, name="other") for row in rows])

    def test_http_only_fields(self) -> None:
        """Fields that only HTTP has are unknown here, and so are ignored whatever they are."""
        asked = self.check("message_post", {"queue_name": "q", "messages": [], "delays": True, "size": "x"})
        self.assertFalse(asked.delays)
        self.assertFalse(self.check("queue_purge", {"queue_name": "q", "strict": True}).strict)
        asked = self.check("subscription_create", {"queue_name": "q", "confirmable": True, "listener": "x"})
        self.assertEqual((asked.confirmable, asked.listener), (False, None))
        asked = self.check("queue_list", {"name": 1, "filters": {"a": "b"}, "with_count": True})
        self.assertEqual((asked.name, asked.filters, asked.with_count), ("", {}, False))


OPTIONAL: dict[str, tuple[str, ...]] = {
    "queue_list": ("marker", "limit", "detailed"),
    "queue_create": ("metadata",),
    "queue_get": (),
    "queue_delete": (),
    "queue_get_stats": (),
    "queue_purge": ("resource_types",),
    "message_post": (),
    "message_list": ("marker", "limit", "echo", "include_claimed", "include_delayed"),
    "message_get": (),
    "message_get_many": (),
    "message_delete": ("claim_id",),
    "message_delete_many": ("message_ids", "pop", "claim_ids"),
    "claim_create": ("limit", "ttl", "grace"),
    "claim_get": (),
    "claim_update": ("ttl", "grace"),
    "claim_delete": (),
    "subscription_create": ("subscriber", "ttl", "options"),
    "subscription_list": ("marker", "limit"),
    "subscription_get": (),
    "subscription_delete": (),
    "message_acknowledge": ("message_ids", "up_to"),
    "message_refuse": ("delay",),
    "message_extend": (),
    "subscription_window": (),
    "durable_list": (),
    "durable_delete": (),
    "dead_letter_list": ("marker", "limit"),
    "dead_letter_return": ("ids", "limit", "destination", "rate"),
    "delivery_overview": (),
    "delivery_list": ("marker", "limit"),
    "delivery_resend": ("ids",),
}
EXAMPLES: dict[str, Any] = {
    "marker": "m",
    "limit": 5,
    "detailed": True,
    "queue_name": "q",
    "metadata": {"a": 1},
    "resource_types": ["messages"],
    "messages": [{"body": 1}],
    "echo": True,
    "include_claimed": True,
    "include_delayed": False,
    "message_id": "m",
    "message_ids": ["m"],
    "claim_id": "c",
    "claim_ids": ["c"],
    "pop": 1,
    "ttl": 60,
    "grace": 60,
    "subscriber": "http://example.org",
    "options": {"a": 1},
    "subscription_id": "s",
    "ids": ["d"],
    "up_to": "m",
    "delay": 1,
    "deadline": 1,
    "window": 1,
    "durable": "d",
    "destination": "q",
    "rate": 0.5,
}
WANTED = {
    name: {str: "a string", int: "an integer", float: "a number", bool: "a boolean", dict: "an object", list: "an array"}[type(value)]
    for name, value in EXAMPLES.items()
}
