"""Bodies of messages: byte for byte through JSON, by value through MessagePack, and their checksums; on both stores."""

from __future__ import annotations

import hashlib
import json
from typing import Any

import msgpack
import msgspec

from tests.helpers import CLIENT, PROJECT
from tests.transport.websocket.client import BINARY
from tests.wire.gateway import Gateway, HttpConnection, OnMemory, OnRedis, SocketConnection

Q = "/v2/queues/q"
HEADERS = {"Client-ID": CLIENT, "X-Project-ID": PROJECT}

TEXTS: tuple[bytes, ...] = (
    b"null", b"true", b"false", b'""', b"{}", b"[]", b"0", b"-0", b"-0.0", b"1.0", b"1.10", b"1E5", b"1e+05", b"1E-07",
    b"0.1e1", b"12345678901234567", b"9223372036854775807", b"-9223372036854775808", b"12345678901234567890.123456789",
    b"1e308", b"4.9e-324", b"0.30000000000000004", b"100000000000000000000.0",
    rb'"\u00e9"', rb'"\/"', rb'"\u002F"', rb'"\ud83d\ude00"', rb'"\u0000"', rb'"\b\f\n\r\t\"\\"', rb'"\u001F\u007f"',
    '"é"'.encode(), '"\u20ac \U0001f600"'.encode(), '"\u2028\u2029\ufeff"'.encode(), b'"</script>"', b'"\x7f"',
    b'{"b": 1, "a": 2, "C": 3, "": 4}', b'{"a":1,"a":2}', b'{"a" :\t1 ,\r\n "b":[ 1 , 2 ]\n}', b"[ ]", b"{ }", b"[1,2 ,3]",
    b'{"\\u0061": 1, "\\/": {"x": [null, true, [[[["deep"]]]]]}}', '{"é": "\\u00e9é"}'.encode(),
    b'{"ttl": 1, "body": {"messages": []}, "id": "x", "claim_id": null}', b'"$zaqar_message$"', b'"' + b"x" * 70000 + b'"',
    b"[" * 100 + b"]" * 100, b'"MD5:"', b'"\\\\"', b'"a\\\\\\"b"', b"[1E5, 1.0, -0, 1e5]",
)  # fmt: skip
"""Bodies as text: spellings of numbers, escapes, white space, order and repetition of keys."""

BAD: tuple[bytes, ...] = (
    rb'"\ud800"', rb'"\udc00 x"', rb'{"\udfff": 1}', b"NaN", b"1e999", b"9223372036854775808", b"01", b'"\x1f"', b'"\xff"',
    b'"\xed\xa0\x80"', b'"\xc0\xaf"', b"'x'", b"", b"[1,]", b'{"a":}', b'"\\x"', b'"\\u12"', b"tru", b"+1", b"[1 2]",
)  # fmt: skip
"""What is no JSON that everybody can read (API reference, 1.10 and 6.2 items 16 and 20)."""

VALUES: tuple[Any, ...] = (
    None, True, False, "", {}, [], 0, -1, 127, 128, 2**31, 2**53 + 1, 2**63 - 1, -(2**63), 1.5, -0.0, 1e300, "é\u20ac\U0001f600",
    {"b": 1, "a": [1, 2.0, {"x": None}], "": "\x00\"\\/"}, [[[[]]]], "x" * 70000,
)  # fmt: skip
"""Bodies as values."""

CHECKSUMS: tuple[tuple[bytes, str], ...] = (
    (b'{"a": 1}', "MD5:42b7b4f2921788ea14dac5566e6f06d0"),
    (b'{"a":1}', "MD5:42b7b4f2921788ea14dac5566e6f06d0"),
    (b'"x"', "MD5:3fbf839fa0e778a20326ddc34f5cd588"),
    (rb'"\u0078"', "MD5:3fbf839fa0e778a20326ddc34f5cd588"),
)
"""The vectors of the API reference, 3.3, and other spellings of their values."""


class _Shown(msgspec.Struct):
    id: str
    body: msgspec.Raw
    checksum: str | None = None


class _Page(msgspec.Struct):
    messages: list[_Shown]


class _Single(msgspec.Struct):
    messages: _Shown


class _Frame(msgspec.Struct):
    body: msgspec.Raw


def _raw(text: bytes, kind: Any = _Page) -> list[bytes]:
    shown = msgspec.json.decode(text, type=kind)
    found = [shown] if kind is _Shown else shown.messages if kind is _Page else [shown.messages]
    return [bytes(message.body) for message in found]


def posted(text: bytes) -> bytes:
    """A body within the document of a post."""
    return b'{"messages": [{"body": ' + text + b', "ttl": 300}]}'


def framed(action: str, body: bytes) -> bytes:
    """A frame whose body has exactly this text."""
    return json.dumps({"action": action, "headers": HEADERS}).encode()[:-1] + b', "body": ' + body + b"}"


class _Bodies:
    """Mixed into a case with a store."""

    async def both(self: Any, **options: Any) -> tuple[Gateway, HttpConnection, SocketConnection]:
        gateway = self.start(await self.a_store(), **options)
        return gateway, await gateway.http(), await gateway.socket()

    async def put(self: Any, http: HttpConnection, socket: SocketConnection, text: bytes, by: str) -> None:
        """Post a body by one of the transports."""
        if by == "http":
            response = await http.ask("POST", f"{Q}/messages", posted(text))
            self.assertEqual(response.status, 201, (text[:80], response))
        else:
            socket.send(framed("message_post", b'{"queue_name": "q", "messages": [{"ttl":300,"body":' + text + b"}]}"))
            reply = await socket.message()
            self.assertIn(b'"status":201', reply.replace(b" ", b""), (text[:80], reply[:200]))
            self.assertIn(text, reply, "the echo is not what was sent")

    async def ask(self: Any, socket: SocketConnection, action: str, kind: Any = _Page, **fields: Any) -> list[bytes]:
        """The bodies that an action shows, as text."""
        socket.send(framed(action, json.dumps({"queue_name": "q", **fields}).encode()))
        return _raw(bytes(msgspec.json.decode(await socket.message(), type=_Frame).body), kind)

    async def shown(self: Any, http: HttpConnection, socket: SocketConnection) -> list[tuple[str, list[bytes]]]:
        """The body of the one message in the queue, in each of the ways in which it can be read; last it is popped."""
        found = []
        every = f"{Q}/messages?echo=true&include_claimed=true"
        response = await http.ask("GET", every)
        (message,) = response.json["messages"]
        mid = message["id"]
        found.append(("GET messages", _raw(response.body)))
        found.append(("GET ids", _raw((await http.ask("GET", f"{Q}/messages?ids={mid}")).body)))
        found.append(("GET message", _raw((await http.ask("GET", f"{Q}/messages/{mid}")).body, _Shown)))
        found.append(("message_list", await self.ask(socket, "message_list", echo=True)))
        found.append(("message_get", await self.ask(socket, "message_get", _Single, message_id=mid)))
        found.append(("message_get_many", await self.ask(socket, "message_get_many", message_ids=[mid])))
        claimed = await http.ask("POST", f"{Q}/claims", {"ttl": 60, "grace": 60})
        claim = claimed.header("Location") or ""
        found.append(("POST claims", _raw(claimed.body)))
        found.append(("GET claim", _raw((await http.ask("GET", claim)).body)))
        found.append(("claim_get", await self.ask(socket, "claim_get", claim_id=claim.rpartition("/")[2])))
        await http.ask("DELETE", claim)
        self.clock.advance(1)
        found.append(("claim_create", await self.ask(socket, "claim_create", ttl=60, grace=60)))
        self.clock.advance(60)
        return found

    async def popped(self: Any, http: HttpConnection, socket: SocketConnection, by: str) -> list[bytes]:
        """The body of the one message in the queue, removed by one of the transports."""
        if by == "http":
            return _raw((await http.ask("DELETE", f"{Q}/messages?pop=1")).body)
        found: list[bytes] = await self.ask(socket, "message_delete_many", pop=1)
        return found

    async def test_bytes(self: Any) -> None:
        """A body posted as JSON comes back with the same bytes, however it is posted and read (API reference, 3.1)."""
        _, http, socket = await self.both()
        for text in TEXTS:
            for by, popped_by in (("http", "frame"), ("frame", "http")):
                await self.put(http, socket, text, by)
                found = await self.shown(http, socket)
                found.append(("pop", await self.popped(http, socket, popped_by)))
                for way, bodies in found:
                    self.assertEqual(bodies, [text], (by, way))

    async def test_many_at_once(self: Any) -> None:
        """Bodies of one post stay apart and in order, with white space around them."""
        _, http, socket = await self.both()
        texts = [text for text in TEXTS if len(text) < 1000][:20]
        joined = b" , ".join(b'{ "body" : \n' + text + b'\t, "ttl":60 }' for text in texts)
        for number in range(2):
            if number:
                socket.send(framed("message_post", b'{"queue_name": "q", "messages": [ ' + joined + b" ]}"))
                self.assertIn(b"message_ids", await socket.message())
            else:
                self.assertEqual(
                    (await http.ask("POST", f"{Q}/messages", b'{"messages": [ ' + joined + b" ] }")).status, 201
                )
            listed = await http.ask("GET", f"{Q}/messages?echo=true&limit=20")
            self.assertEqual(_raw(listed.body), texts)
            self.assertEqual(await self.ask(socket, "message_delete_many", pop=20), texts)

    async def test_last_body_counts(self: Any) -> None:
        """Of two bodies in one message the last counts (API reference, 1.10)."""
        _, http, socket = await self.both()
        await http.ask("POST", f"{Q}/messages", b'{"messages": [{"body": 1, "body": [2 ]}]}')
        self.assertEqual(await self.popped(http, socket, "http"), [b"[2 ]"])

    async def test_bad(self: Any) -> None:
        """What is no JSON for every reader is a 400 on both transports, and stores nothing (API reference, 1.10; 6.2)."""
        _, http, socket = await self.both()
        accepted = []
        for text in BAD:
            response = await http.ask("POST", f"{Q}/messages", posted(text))
            if response.status != 400 or response.title != "Invalid request body":
                accepted.append(("http", text, response.status))
            if b"\xff" in text or b"\xed" in text or b"\xc0" in text:
                continue  # a text frame that is not UTF-8 ends the connection (RFC 6455, section 8.1)
            socket.send(framed("message_post", b'{"queue_name": "q", "messages": [{"body": ' + text + b"}]}"))
            status = json.loads(await socket.message())["headers"]["status"]
            if status != 400:
                accepted.append(("frame", text, status))
        self.assertEqual(accepted, [])
        self.assertEqual((await http.ask("GET", "/v2/queues")).json["queues"], [])

    async def test_not_utf8_frame(self: Any) -> None:
        """A text frame that is not UTF-8 closes with 1007 (RFC 6455, section 8.1)."""
        _, _, socket = await self.both()
        socket.send(framed("message_post", b'{"queue_name": "q", "messages": [{"body": "\xff"}]}'))
        self.assertEqual(await socket.close_code(), 1007)

    async def packed(self: Any, socket: SocketConnection, action: str, raw: bool = False, **fields: Any) -> Any:
        """The body of the reply to an action in MessagePack."""
        request = {"action": action, "headers": HEADERS, "body": {"queue_name": "q", **fields}}
        reply = await socket.ask_packed(request, raw=raw)
        self.assertEqual(reply["request"], {**request, "api": "v2"})
        return reply["body"]

    async def test_messagepack_to_json(self: Any) -> None:
        """What is posted as MessagePack, in either family, is read as JSON of the same value (API reference, 4.1)."""
        _, http, socket = await self.both()
        for value in VALUES:
            for raw in (False, True):
                posted = await self.packed(socket, "message_post", raw, messages=[{"body": value, "ttl": 60}])
                self.assertEqual(set(posted), {"message_ids"})
                for way, (text,) in await self.shown(http, socket):
                    self.assertSame(json.loads(text), value, way)
                (text,) = await self.popped(http, socket, "frame" if raw else "http")
                self.assertSame(json.loads(text), value, "pop")

    async def test_json_to_messagepack(self: Any) -> None:
        """What is posted as JSON is read as MessagePack of the same value (API reference, 4.1)."""
        _, http, socket = await self.both()
        for text in TEXTS:
            await self.put(http, socket, text, "http")
            value = json.loads(text)
            page = (await self.packed(socket, "message_list", echo=True))["messages"]
            self.assertSame(page[0]["body"], value, text)
            one = (await self.packed(socket, "message_get", message_id=page[0]["id"]))["messages"]
            self.assertSame(one["body"], value, text)
            claim = await self.packed(socket, "claim_create", limit=1)
            self.assertSame(claim["messages"][0]["body"], value, text)
            await self.packed(socket, "claim_delete", claim_id=claim["claim_id"])
            popped = (await self.packed(socket, "message_delete_many", pop=1))["messages"]
            self.assertSame(popped[0]["body"], value, text)

    def assertSame(self: Any, found: Any, wanted: Any, shown: object) -> None:
        """The values are equal, types and the order of keys included."""
        self.assertEqual(json.dumps(found), json.dumps(wanted), shown)

    async def test_messagepack_that_is_no_json(self: Any) -> None:
        """Byte strings, NaN, other keys than strings and large integers cannot become JSON: 400 (API reference, 6.2)."""
        _, http, socket = await self.both()
        for value in (b"\xff", b"x", float("nan"), float("inf"), {1: 2}, {None: 1}, {b"x": 1}, 2**63, 2**64 - 1,
                      msgpack.ExtType(5, b"x"), msgpack.Timestamp(5), [[{"x": [b"x"]}]]):  # fmt: skip
            body = {"queue_name": "q", "messages": [{"body": value}]}
            socket.send(msgpack.packb({"action": "message_post", "headers": HEADERS, "body": body}), binary=True)
            first, payload = await socket.frame()
            self.assertEqual(first, 0x80 | BINARY)
            self.assertEqual(msgpack.unpackb(payload)["headers"], {"status": 400}, value)
        self.assertEqual((await http.ask("GET", "/v2/queues")).json["queues"], [])

    async def test_checksums(self: Any) -> None:
        """With checksums each form of a message on HTTP has one, of the body's JSON text in the reference's spelling, and
        null has none; WebSocket has none (API reference, 3.3)."""
        _, http, socket = await self.both(checksums=True)
        for text, checksum in CHECKSUMS:
            await self.check_sums(http, socket, text, checksum)
        for text in TEXTS:
            value = json.loads(text)
            digest = hashlib.md5(json.dumps(value).encode(), usedforsecurity=False).hexdigest()
            await self.check_sums(http, socket, text, None if value is None else f"MD5:{digest}")

    async def check_sums(
        self: Any, http: HttpConnection, socket: SocketConnection, text: bytes, checksum: str | None
    ) -> None:
        """Look at one body in every form."""
        await self.put(http, socket, text, "http")
        listed = (await http.ask("GET", f"{Q}/messages?echo=1")).json["messages"]
        mid = listed[0]["id"]
        forms = [
            *listed,
            *(await http.ask("GET", f"{Q}/messages?ids={mid}")).json["messages"],
            (await http.ask("GET", f"{Q}/messages/{mid}")).json,
        ]
        claimed = await http.ask("POST", f"{Q}/claims")
        forms += claimed.json["messages"]
        location = claimed.header("Location") or ""
        forms += (await http.ask("GET", location)).json["messages"]
        await http.ask("DELETE", location)
        reply = await socket.ask(framed("message_list", b'{"queue_name": "q", "echo": true}'))
        self.assertNotIn("checksum", reply["body"]["messages"][0])
        forms += (await http.ask("DELETE", f"{Q}/messages?pop=1")).json["messages"]
        self.assertEqual(len(forms), 6)
        for form in forms:
            self.assertEqual(form.get("checksum"), checksum, text)
            self.assertEqual("checksum" in form, checksum is not None)

    async def test_no_checksums(self: Any) -> None:
        """Without checksums there is no such key (API reference, 3.3)."""
        _, http, _ = await self.both()
        await http.ask("POST", f"{Q}/messages", posted(b"1"))
        self.assertNotIn("checksum", (await http.ask("GET", f"{Q}/messages?echo=1")).json["messages"][0])


class MemoryTests(_Bodies, OnMemory):
    """Over memory."""


class RedisTests(_Bodies, OnRedis):
    """Over Redis."""
