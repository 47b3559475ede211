"""What WebSocket alone has: envelopes, schemas, encodings, order of replies; on both stores."""

from __future__ import annotations

import json
from typing import Any

import msgpack

from tests.helpers import CLIENT, OTHER_CLIENT, PROJECT
from tests.transport.websocket.client import BINARY, NEEDED, TEXT
from tests.wire.gateway import OnMemory, OnRedis, SocketConnection

HEADERS = {"Client-ID": CLIENT, "X-Project-ID": PROJECT}
NOTHING: dict[str, Any] = {"action": None, "body": {}, "headers": {}, "api": "v2"}
TEXTS = ("foo", "", " ", "{", '{"a": 1,}', "{'a': 1}", '{"a": NaN}', '{"a": 9223372036854775808}', '{"action": "x"} x')
SCALARS = ("1", "null", '"foo"', "[]", "[1, 2]", "true", "-1.5", '["action"]')
NODE = ("get_home_doc", "check_node_health", "ping_node")
DECLARED = (
    *NODE,
    *(f"{kind}_{verb}" for kind in ("pool", "flavor") for verb in ("create", "list", "get", "update", "delete")),
)
WRONG: dict[str, tuple[Any, ...]] = {
    "queue_name": (1, None, [], {}, True),
    "message_id": (1, None, []),
    "claim_id": (1, None, []),
    "message_ids": ("a", None, {}, [1]),
    "claim_ids": ("a", {}, [1]),
    "messages": ("a", {}, None, 1),
    "metadata": ([], "x", 1, None, True),
    "resource_types": ("messages", {}, 1),
    "marker": (1, []),
    "limit": ("5", 5.0, True, None, []),
    "ttl": ("60", 60.0, None, True),
    "grace": ("60", 60.5, None),
    "pop": ("1", 1.0, None, True),
    "detailed": ("true", 1, 0),
    "echo": ("true", 1, 0),
    "include_claimed": ("true", 1),
    "include_delayed": ("true", 1),
    "subscription_id": (1, None, []),
    "subscriber": (1, None, [], {}, True),
    "options": ([], "x", 1, None, True),
    "up_to": (1, None, []),
    "delay": ("1", 1.0, None, True),
    "deadline": ("1", 1.0, None, True),
    "window": ("1", 1.0, None, True),
    "durable": (1, None, []),
}
FIELDS: dict[str, tuple[str, ...]] = {
    "queue_list": ("marker", "limit", "detailed"),
    "queue_create": ("queue_name", "metadata"),
    "queue_get": ("queue_name",),
    "queue_purge": ("queue_name", "resource_types"),
    "message_post": ("queue_name", "messages"),
    "message_list": ("queue_name", "marker", "limit", "echo", "include_claimed", "include_delayed"),
    "message_get": ("queue_name", "message_id"),
    "message_get_many": ("queue_name", "message_ids"),
    "message_delete": ("queue_name", "message_id", "claim_id"),
    "message_delete_many": ("queue_name", "message_ids", "pop", "claim_ids"),
    "claim_create": ("queue_name", "limit", "ttl", "grace"),
    "claim_update": ("queue_name", "claim_id", "ttl", "grace"),
    "claim_delete": ("queue_name", "claim_id"),
    "subscription_create": ("queue_name", "subscriber", "ttl", "options"),
    "subscription_list": ("queue_name", "marker", "limit"),
    "subscription_get": ("queue_name", "subscription_id"),
    "subscription_delete": ("queue_name", "subscription_id"),
    "message_acknowledge": ("queue_name", "message_ids", "up_to"),
    "message_refuse": ("queue_name", "message_ids", "delay"),
    "message_extend": ("queue_name", "message_ids", "deadline"),
    "subscription_window": ("queue_name", "window"),
    "durable_list": ("queue_name",),
    "durable_delete": ("queue_name", "durable"),
}
GOOD: dict[str, Any] = {
    "queue_name": "q",
    "message_id": "a",
    "claim_id": "a",
    "message_ids": ["a"],
    "messages": [{"body": 1}],
    "subscription_id": "a",
    "deadline": 1,
    "window": 1,
    "durable": "a",
}
ALSO: dict[str, Any] = {
    "message_delete_many": {"pop": 1},
    "message_acknowledge": {"up_to": "a" * 24},
    "dead_letter_return": {"limit": 1},
}
"""What makes a request right of those that need one of several fields."""


class _Frames:
    """Mixed into a case with a store."""

    async def socket(self: Any, **options: Any) -> SocketConnection:
        socket: SocketConnection = await self.start(await self.a_store(), **options).socket()
        return socket

    def refused(self: Any, reply: Any, begins: str, request: Any = None) -> None:
        """The reply is an envelope error."""
        self.assertEqual(reply["headers"], {"status": 400}, reply)
        self.assertEqual(set(reply["body"]), {"error"}, reply)
        self.assertTrue(reply["body"]["error"].startswith(begins), reply)
        if request is not None:
            self.assertEqual(reply["request"], request)

    async def test_undecodable(self: Any) -> None:
        """What cannot be decoded is a 400 in the type of its frame, and the connection stays (API reference, 4.3)."""
        socket = await self.socket()
        for text in TEXTS:
            self.refused(await socket.ask(text.encode()), "Can't decode text (JSON) request", NOTHING)
        for payload in (
            *(b"123", b"", b"\xc1", b"\x81\xa6action", b"foo"),
            *(msgpack.packb({"a": 1}) + b"x", msgpack.packb({1: 1}), msgpack.packb({"a": float("nan")})),
            *(msgpack.packb({"a": b"\xff\xfe"}, use_bin_type=True), msgpack.packb({"a": 2**64 - 1})),
        ):
            self.refused(await socket.ask_packed(payload), "Can't decode binary (MessagePack) request", NOTHING)
        self.assertEqual((await socket.ask({"action": "queue_list", "headers": HEADERS}))["headers"], {"status": 200})

    async def test_no_map(self: Any) -> None:
        """A document that is not a map is a 400 (API reference, 4.3)."""
        socket = await self.socket()
        for text in SCALARS:
            self.refused(await socket.ask(text.encode()), "Unexpected body type. Expected dict", NOTHING)
            packed = msgpack.packb(json.loads(text))
            self.refused(await socket.ask_packed(packed), "Unexpected body type. Expected dict", NOTHING)

    async def test_actions(self: Any) -> None:
        """An unknown action is named, a missing one is None (API reference, 4.3; 6.2 item 27)."""
        socket = await self.socket()
        for action in ("nonesuch", "", "QUEUE_LIST", "queue_update", "é", "queue_list "):
            request = {"action": action, "headers": HEADERS, "body": {"queue_name": "q"}}
            reply = await socket.ask(request)
            self.refused(reply, f"{action} is not a valid action", {**request, "api": "v2"})
        self.refused(await socket.ask({"headers": HEADERS}), "None is not a valid action",
                     {"action": None, "body": {}, "headers": HEADERS, "api": "v2"})
        self.refused(await socket.ask({"action": None}), "None is not a valid action", NOTHING)
        for other in ([], ["queue_list"], {"a": 1}, 5, True):
            self.assertEqual((await socket.ask({"action": other, "headers": HEADERS}))["headers"], {"status": 400})

    async def test_headers(self: Any) -> None:
        """Client-ID and X-Project-ID are needed as texts, in exactly this spelling (API reference, 4.3)."""
        socket = await self.socket()
        wrong: tuple[Any, ...] = (
            *({}, {"Client-ID": CLIENT}, {"X-Project-ID": PROJECT}, [], "x", 1, None),
            *({"client-id": CLIENT, "X-Project-ID": PROJECT}, {"Client-ID": CLIENT, "x-project-id": PROJECT}),
            *({**HEADERS, "Client-ID": 1}, {**HEADERS, "X-Project-ID": None}),
            *({**HEADERS, name: 1} for name in ("User-Agent", "Date", "Accept", "X-Auth-Token")),
        )
        for headers in wrong:
            for action, needed in NEEDED.items():
                body = {name: GOOD[name] for name in needed}
                request = {"action": action, "headers": headers, "body": body}
                reply = await socket.ask(request)
                self.refused(reply, "Schema validation failed.")
                if headers is not None:
                    self.assertEqual(reply["request"], {**request, "api": "v2"})
            self.refused(await socket.ask({"action": "queue_list", "headers": headers}), "Schema validation failed.")
        self.refused(await socket.ask({"action": "queue_list"}), "Schema validation failed.",
                     {"action": "queue_list", "body": {}, "headers": {}, "api": "v2"})
        more = {**HEADERS, "User-Agent": "x", "Accept": "text/html", "X": [1]}
        self.assertEqual((await socket.ask({"action": "queue_list", "headers": more}))["headers"], {"status": 200})

    async def test_needed_fields(self: Any) -> None:
        """A body without a field that the action needs is refused, and an absent body has none (API reference, 4.4)."""
        socket = await self.socket()
        for action, needed in NEEDED.items():
            for left_out in needed:
                body = {name: GOOD[name] for name in needed if name != left_out}
                request = {"action": action, "headers": HEADERS, "body": body}
                self.refused(await socket.ask(request), "Schema validation failed.", {**request, "api": "v2"})
            if needed:
                reply = await socket.ask({"action": action, "headers": HEADERS})
                self.refused(reply, "Schema validation failed.")
                self.assertEqual(reply["request"]["body"], {})

    async def test_types_of_fields(self: Any) -> None:
        """A field of a wrong type, however like the right one, is refused (API reference, 4.3)."""
        socket = await self.socket()
        for action, names in FIELDS.items():
            body = {name: GOOD[name] for name in NEEDED[action]}
            for name in names:
                for value in WRONG[name]:
                    request = {"action": action, "headers": HEADERS, "body": {**body, name: value}}
                    reply = await socket.ask(request)
                    self.assertEqual(reply["headers"], {"status": 400}, request)
            for value in ([], "x", 1, None, True):
                reply = await socket.ask({"action": action, "headers": HEADERS, "body": value})
                self.refused(reply, "Schema validation failed.")
        self.assertEqual((await socket.ask({"action": "queue_list", "headers": HEADERS}))["body"], {"queues": []})

    async def test_unknown_keys(self: Any) -> None:
        """Unknown keys are allowed anywhere and echoed (API reference, 4.3)."""
        socket = await self.socket()
        request = {
            "x": 1,
            "action": "queue_create",
            "headers": {**HEADERS, "X": 1},
            "body": {"queue_name": "q", "y": [None, 1.5, {"é": "\n"}]},
        }
        reply = await socket.ask(request)
        self.assertEqual(reply["headers"], {"status": 201})
        self.assertEqual(reply["request"], {key: request[key] for key in ("action", "headers", "body")} | {"api": "v2"})

    async def test_absent_body(self: Any) -> None:
        """Without a body queue_list answers, and the echo is {} (API reference, appendix B)."""
        socket = await self.socket()
        reply = await socket.ask({"action": "queue_list", "headers": HEADERS})
        self.assertEqual(
            reply,
            {
                "request": {"action": "queue_list", "body": {}, "headers": HEADERS, "api": "v2"},
                "body": {"queues": []},
                "headers": {"status": 200},
            },
        )

    async def test_clients(self: Any) -> None:
        """The form of a Client-ID is checked by message_list and message_post only (API reference, 4.3)."""
        socket = await self.socket()
        for client in ("", "textid", CLIENT[:-1]):
            for action, needed in NEEDED.items():
                body = {name: GOOD[name] for name in needed} | ALSO.get(action, {})
                reply = await socket.ask(
                    {"action": action, "headers": {"Client-ID": client, "X-Project-ID": PROJECT}, "body": body}
                )
                status = reply["headers"]["status"]
                if action in ("message_list", "message_post"):
                    self.assertEqual(status, 400, reply)
                    self.assertEqual(set(reply["body"]), {"exception", "error"})
                else:
                    self.assertNotEqual(status, 400, reply)

    async def test_empty_project(self: Any) -> None:
        """A project may be empty on WebSocket, and is one of its own (API reference, 4.3)."""
        socket = await self.socket()
        nobody = {"Client-ID": OTHER_CLIENT, "X-Project-ID": ""}
        body = {"queue_name": "q", "messages": [{"body": 1}]}
        for action in ("queue_create", "message_post"):
            reply = await socket.ask({"action": action, "headers": nobody, "body": body})
            self.assertEqual(reply["headers"], {"status": 201})
        reply = await socket.ask({"action": "message_list", "headers": {**nobody, "Client-ID": CLIENT}, "body": body})
        self.assertEqual([message["body"] for message in reply["body"]["messages"]], [1])
        self.assertEqual((await socket.ask({"action": "queue_list", "headers": HEADERS}))["body"], {"queues": []})

    async def test_declared(self: Any) -> None:
        """What is declared and not offered is 501 or 400, and the connection stays (API reference, 4.4)."""
        socket = await self.socket()
        for action in DECLARED:
            reply = await socket.ask({"action": action, "headers": HEADERS, "body": {"pool": "p", "flavor": "f"}})
            self.assertIn(reply["headers"]["status"], (400, 501), reply)
            self.assertIsInstance(reply["body"]["error"], str)
            if action not in NODE:
                self.refused(await socket.ask({"action": action, "headers": {}}), "Schema validation failed.")

    async def test_authenticate(self: Any) -> None:
        """Without a strategy everybody is authenticated, and the token is not echoed (API reference, 4.5)."""
        socket = await self.socket()
        headers = {"X-Project-ID": PROJECT, "X-Auth-Token": "secret"}
        expected = {
            "request": {"action": "authenticate", "body": {}, "headers": {}, "api": "v2"},
            "body": {"message": "Authentified."},
            "headers": {"status": 200},
        }
        self.assertEqual(await socket.ask({"action": "authenticate", "headers": headers, "body": {"x": 1}}), expected)
        self.assertEqual(await socket.ask_packed({"action": "authenticate", "headers": headers}), expected)
        for wrong in ({}, {"X-Project-ID": PROJECT}, {"X-Auth-Token": "x"}, {**headers, "X-Auth-Token": 1}):
            self.refused(await socket.ask({"action": "authenticate", "headers": wrong}), "Schema validation failed.")

    async def test_encodings(self: Any) -> None:
        """Each reply has the encoding of its request, on one connection, in the order of the requests (API reference,
        4.1)."""
        socket = await self.socket()
        for number in range(30):
            request = {
                "action": "message_post",
                "headers": HEADERS,
                "body": {"queue_name": "q", "messages": [{"body": {"n": number, "é": None}}]},
            }
            if number % 3:
                socket.send(msgpack.packb(request, use_bin_type=number % 3 == 2), binary=True)
            else:
                socket.send(json.dumps(request).encode())
        for number in range(30):
            first, payload = await socket.frame()
            self.assertEqual(first, 0x80 | (BINARY if number % 3 else TEXT))
            reply = msgpack.unpackb(payload) if number % 3 else json.loads(payload)
            self.assertEqual(reply["headers"], {"status": 201})
            self.assertEqual(reply["request"]["body"]["messages"][0]["body"], {"n": number, "é": None})
        body = {"queue_name": "q", "echo": True, "limit": 20}
        page = (await socket.ask_packed({"action": "message_list", "headers": HEADERS, "body": body}))["body"]["messages"]
        body["marker"] = page[-1]["id"]
        page += (await socket.ask({"action": "message_list", "headers": HEADERS, "body": body}))["body"]["messages"]
        self.assertEqual([message["body"]["n"] for message in page], list(range(30)))

    async def test_large_frames(self: Any) -> None:
        """Sizes are held as text stands in the frame; too much is a 400 and not a close (API reference, 4.4)."""
        socket = await self.socket()

        def post(messages: bytes) -> bytes:
            head = json.dumps({"action": "message_post", "headers": HEADERS}).encode()[:-1]
            return head + b', "body": {"queue_name": "q", "messages": ' + messages + b"}}"

        fits = b'[{"body": "' + b"x" * (262144 - 14) + b'"}]'
        self.assertEqual(len(fits), 262144)
        self.assertEqual((await socket.ask(post(fits)))["headers"], {"status": 201})
        for text in (
            b'[{"body": "' + b"x" * (262145 - 14) + b'"}]',
            b'[{"body":' + b" " * 262140 + b"1}]",
            b'[{"body": "' + b"x" * 330000 + b'"}]',
            b"[" + b", ".join([b'{"body": "' + b"x" * 21 + b'"}'] * 8000) + b"]",
        ):
            reply = await socket.ask(post(text))
            self.assertEqual(reply["headers"], {"status": 400}, len(text))
            self.assertEqual(set(reply["body"]), {"exception", "error"})
        packed = {
            "action": "message_post",
            "headers": HEADERS,
            "body": {"queue_name": "q", "messages": [{"body": "x" * 21}] * 8000},
        }
        self.assertEqual((await socket.ask_packed(packed))["headers"], {"status": 400})
        for size, status in ((65536, 201), (65537, 400)):
            metadata = b'{"k":"' + b"x" * (size - 8) + b'"}'
            head = json.dumps({"action": "queue_create", "headers": HEADERS}).encode()[:-1]
            frame = head + b', "body": {"queue_name": "r", "metadata": ' + metadata + b"}}"
            self.assertEqual((await socket.ask(frame))["headers"], {"status": status})

    async def test_too_large_frame(self: Any) -> None:
        """A frame beyond the bound closes with 1009 (API reference, 6.2 item 21)."""
        socket = await self.socket()
        socket.send(b'"' + b"x" * (2 * 1024 * 1024) + b'"')
        self.assertEqual(await socket.close_code(), 1009)

    async def test_nesting(self: Any) -> None:
        """Deep documents pass, very deep ones are a 400, in both encodings (API reference, 1.10)."""
        socket = await self.socket()

        def nested(depth: int) -> Any:
            value: Any = 1
            for _ in range(depth):
                value = [value]
            return value

        for depth, status in ((100, 201), (400, 400)):
            body = {"queue_name": "q", "messages": [{"body": nested(depth)}]}
            request = {"action": "message_post", "headers": HEADERS, "body": body}
            self.assertEqual((await socket.ask(request))["headers"], {"status": status})
            self.assertEqual((await socket.ask_packed(request))["headers"], {"status": status})
        self.refused(await socket.ask(b'{"a": ' + b"[" * 100000), "Can't decode text (JSON) request")
        self.refused(await socket.ask_packed(b"\x91" * 100000), "Can't decode binary (MessagePack) request")


class MemoryTests(_Frames, OnMemory):
    """Over memory."""


class RedisTests(_Frames, OnRedis):
    """Over Redis."""
