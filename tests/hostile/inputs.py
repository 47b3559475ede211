"""What fuzzers send, made from a seed: bytes of HTTP, frames of WebSocket, MessagePack, and fields of every
operation."""

from __future__ import annotations

import json
import struct
import zlib
from collections.abc import Iterable, Sequence
from random import Random
from typing import Any
from urllib.parse import quote_from_bytes

import msgpack
from attrs import define, field, frozen

from tests.helpers import CLIENT, PROJECT
from tests.transport.websocket.client import BINARY, CLOSE, PING, PONG, TEXT, envelope, frame, handshake
from zaqar_gateway.operations.registry import Body, Operation, field_of

QUEUES = ("a", "b")

_HEADERS = (
    b"Content-Length: 5",
    b"Content-Length: 0",
    b"Content-Length: -1",
    b"Content-Length: 99999999999999999999",
    b"Content-Length: 1, 1",
    b"Content-Length: +3",
    b"content-length : 3",
    b"Transfer-Encoding: chunked",
    b"Transfer-Encoding: gzip, chunked",
    b"Transfer-Encoding: \x0bchunked",
    b"Transfer-Encoding: identity",
    b"TE: trailers",
    b"Expect: 100-continue",
    b"Expect: x",
    b"Connection: close",
    b"Connection: keep-alive, Upgrade",
    b"Upgrade: websocket",
    b"Upgrade: h2c",
    b"Host: a\r\nHost: b",
    b"Host:",
    b"Accept: application/xml",
    b"Accept: */*;q=0",
    b"Accept: ;;,=q",
    b"Accept: */*;q=\xff",
    b"Client-ID: \x00",
    b"Client-ID: \xff\xfe",
    b"Client-ID: x",
    b"X-Project-ID: \xc3\xa9",
    b"X-Project-ID: " + b"p" * 300,
    b"X-Project-ID:",
    b"X-ROLES: admin,\xff",
    b"X-ROLES:",
    b"X-Auth-Token: \xff",
    b"URL-Signature: x",
    b"URL-Signature:",
    b"URL-Expires: \xff",
    b"URL-Methods: GET",
    b"URL-Paths: /v2/queues/a/messages",
    b"Content-Type: application/x-www-form-urlencoded",
    b"Content-Type: application/openstack-messaging-v2.0-json-patch",
    b"Content-Type: \xff",
    b"Origin: null",
    b"Origin: http://a\xff",
    b"Access-Control-Request-Method: GET",
    b"X-Openstack-Request-Id: req-\xff",
    b"Sec-WebSocket-Version: 13",
    b"Sec-WebSocket-Key: MDEyMzQ1Njc4OWFiY2RlZg==",
    b" folded: x",
    b"\tfolded",
    b": x",
    b"a b: c",
    b"no-colon",
    b"X: " + b"y" * 9000,
    b"X-\xff: y",
    b"X: \x00",
    b"X: \x7f",
)
"""Header lines that mean something to somebody, or nothing to anybody."""

_TOKENS = (
    b"\r\n",
    b"\n",
    b"\r",
    b"\r\n\r\n",
    b"\x00",
    b"%00",
    b"%2F",
    b"%",
    b"%zz",
    b"%ff",
    b"?",
    b"#",
    b"//",
    b"../",
    b"{",
    b"}",
    b" ",
    b"\t",
    b"HTTP/1.0",
    b"HTTP/2.0",
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    b"0\r\n\r\n",
    b"ffffffffffffffff\r\n",
    b"-1\r\n",
    b'1;a="\r\n',
    b"\x16\x03\x01\x02\x00",
    b"\xff" * 7,
    b"CONNECT a:1 HTTP/1.1",
    b"OPTIONS *",
    b"&limit=1",
    b"limit=%C3%28",
    b"&" * 50,
    b"=",
    b"ids=" + b"," * 50,
    b"pop=1",
    b"echo=true",
    b"A" * 300,
    b"\xc3\x28",
    b"\xed\xa0\x80",
)


@frozen
class Text:
    """JSON as it is to be written, whether or not it is JSON."""

    raw: bytes


_DEEP = Text(b"[" * 600 + b"]" * 600)
_VALUES: tuple[Any, ...] = (
    None,
    True,
    False,
    0,
    1,
    -1,
    2**31,
    2**63 - 1,
    2**63,
    -(2**63),
    -(2**63) - 1,
    2**64,
    10**400,
    0.0,
    -0.0,
    1.5,
    1e308,
    60,
    60.0,
    Text(b"1e400"),
    Text(b"NaN"),
    Text(b"-Infinity"),
    Text(b"01"),
    Text(b"1_0"),
    Text(b"'x'"),
    Text(b""),
    Text(b"tru"),
    Text(b"[,]"),
    "",
    " ",
    "x",
    "a",
    "é€\U0001f600",
    "\x00",
    "\x7f",
    "\u2028",
    "x" * 65,
    "x" * 5000,
    "%s%n{0}{x}",
    "../..",
    "a/b",
    "true",
    "60",
    Text(b'"\\ud800"'),
    Text(b'"\\udc00\\ud800"'),
    Text(b'"\\u0000"'),
    Text(b'"\xff"'),
    Text(b'"\xed\xa0\x80"'),
    Text(b'"\n"'),
    Text(b'"\\x"'),
    [],
    [[]],
    {},
    {"": {}},
    [None],
    ["x"] * 30,
    {"a": 1},
    [{"body": 1}],
    [{"body": Text(b'"\\ud800"')}],
    _DEEP,
    Text(b'{"a":' * 600 + b"1" + b"}" * 600),
    Text(b"[" * 5000),
    {"body": [_DEEP]},
    Text(b'{"a":1,"a":2}'),
    list(range(200)),
)
"""Wrong types, extremes, Unicode, surrogates, depth, size, and what is no JSON."""

_NEAR: dict[str, tuple[Any, ...]] = {
    "queue_name": QUEUES,
    "messages": (
        [{"body": {"a": 1}, "ttl": 60}],
        [{"body": None}],
        [{"ttl": 60}],
        [{"body": 1, "ttl": 59, "delay": -1}],
    ),
    "metadata": (
        {"_default_message_delay": 5},
        {"_max_claim_count": 0, "_dead_letter_queue": "b"},
        {"_enable_encrypt_messages": True},
        {"_retry_policy": {"maximum_delay": Text(b"1e9"), "minimum_delay": []}},
        {"_dead_letter_queue": [], "_max_claim_count": 1},
    ),
    "changes": (
        [{"op": "add", "path": "/metadata/x", "value": 1}],
        [{"op": "remove", "path": "/metadata/~1~0"}],
        [{"op": []}],
        [[]],
        [{"op": "replace", "path": "/metadata/_default_message_ttl", "value": _DEEP}],
    ),
    "document": (
        {"paths": ["messages"], "methods": ["GET"], "expires": "2970-01-01"},
        {"expires": "9999-12-31T23:59:60+99:99"},
        {"expires": Text(b'"\\ud800"')},
        {"paths": [[]]},
        {"methods": [Text(b"1e400")]},
        {"subscriber": "http://h", "ttl": 60},
        {"options": {"_retry_policy": {"retry_backoff_function": []}}},
        {"ttl": 10**20},
        {"paths": ["messages"], "methods": ["\x00"]},
    ),
    "subscriber": (
        "http://h/x",
        "mailto:a@b",
        "mailto:a@b?subject=%0d%0a",
        "HTTP://[::1]:99999/",
        "http://\x00",
        "trust+http://h",
        "http://é/",
        "mailto:",
        "http://u:p@h:0/",
        "https://" + "h" * 300,
        "x:y",
    ),
    "options": (
        {},
        {"post_headers": {"a\r\nb": "c"}},
        {"post_headers": []},
        {"post_data": '"$zaqar_message$"'},
        {"trust_id": []},
        {"from": "\r\n", "subject": {}},
        {"_retry_policy": {"minimum_delay": 10**20}},
        {"post_headers": {"Host": 1}},
    ),
    "resource_types": (["messages"], ["subscriptions", []], [Text(b'"\\ud800"')]),
    "message_ids": (["nada"], ["a"] * 21, ["0" * 24], [Text(b'"\\ud800"')], [1]),
    "claim_ids": (["a"], [None]),
    "confirmed": (True, False),
    "limit": (1, 20),
    "pop": (1, 20),
    "ttl": (60, 300),
    "grace": (60,),
    "marker": ("0" * 24, "f" * 40, "a"),
    "detailed": (True,),
    "echo": (True,),
    "include_claimed": (True,),
    "include_delayed": (True,),
}
"""What is right for a field, and what is wrong only on a second look."""


def write_json(value: Any) -> bytes:
    """The JSON of a value, with the raw parts that are in it."""
    if isinstance(value, Text):
        return value.raw
    if isinstance(value, dict):
        return (
            b"{" + b",".join(json.dumps(key).encode() + b":" + write_json(part) for key, part in value.items()) + b"}"
        )
    if isinstance(value, list | tuple):
        return b"[" + b",".join(map(write_json, value)) + b"]"
    return json.dumps(value, ensure_ascii=isinstance(value, str) and "é" not in value).encode()


def _plain(value: Any) -> Any:
    """What MessagePack can hold of a value."""
    if isinstance(value, Text):
        return value.raw
    if isinstance(value, dict):
        return {key: _plain(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(part) for part in value]
    return value if type(value) is not int or -(2**63) <= value < 2**64 else float(2**70)


_EXTENSIONS: tuple[Any, ...] = (
    msgpack.ExtType(1, b"x"),
    msgpack.Timestamp(2**34 - 1, 1),
    b"\xff\xfe",
    {1: 2},
    {None: []},
    {b"\xff": 1},
    float("nan"),
    float("inf"),
    {"a": {b"k": b"v"}},
    [msgpack.ExtType(127, b"")],
)


@define
class Inputs:
    """Makes inputs, each from the random numbers that it draws.

    :ivar random: draws them.
    :ivar care: how often a field gets a value made for it; the others get any.  Without care nothing passes the first
        check of many.
    """

    random: Random
    _operations: Sequence[Operation]
    care: float = field(init=False)

    def __attrs_post_init__(self) -> None:
        self.care = self.random.choice((0.3, 0.9, 1.0))

    # -- fields --------------------------------------------------------------------------------------------------------

    def _value(self, name: str) -> Any:
        near = _NEAR.get(name, ())
        if near and self.random.random() < self.care:
            return self.random.choice(near)
        return self.random.choice(_VALUES)

    def _fields(self, names: Iterable[str]) -> dict[str, Any]:
        fields = {name: self._value(name) for name in names if self.random.random() < max(0.7, self.care)}
        if self.random.random() > max(0.9, self.care):
            fields[self.random.choice(("x", "", "\x00", "é", "queue_name "))] = self.random.choice(_VALUES)
        return fields

    def _segment(self, name: str) -> bytes:
        value = (
            self._value(name)
            if self.random.random() < 0.6 - 0.6 * self.care
            else self.random.choice(QUEUES + ("nada", "0" * 24))
        )
        raw = value.encode() if isinstance(value, str) else write_json(value)
        return quote_from_bytes(raw[:300], safe="" if self.random.random() < 0.9 else "/").encode()

    def http_request(self) -> bytes:
        """A request for an operation, well-formed HTTP, whatever its fields are."""
        random = self.random
        row = random.choice([row for row in self._operations if row.http is not None])
        http = row.http
        assert http is not None
        path = b"/".join(
            self._segment(field_of(part[1:-1])) if part.startswith("{") else part.encode()
            for part in http.path.split("/")
        )
        query = []
        for parameter, name in http.query.items():
            if parameter == http.when or random.random() < 0.4:
                value = self._value(name)
                raw = value.encode() if isinstance(value, str) else write_json(value)
                query.append(parameter.encode() + b"=" + quote_from_bytes(raw[:300]).encode())
        if http.rest and random.random() < 0.3:
            query.append(b"node.x=%ff")
        body = b""
        if http.body in (Body.OPTIONAL, Body.REQUIRED):
            brought = {field_of(part[1:-1]) for part in http.path.split("/") if part.startswith("{")}
            names = set(row.fields.__struct_fields__) - brought - set(http.query.values()) - set(http.fixed) - set(http.at_once.values())
            body = write_json(self._fields(sorted(names)) if random.random() < 0.9 else random.choice(_VALUES))
        elif http.body is Body.WHOLE:
            body = write_json(self._value(http.whole))
        headers = [
            b"Host: a",
            b"Client-ID: " + CLIENT.encode(),
            b"X-Project-ID: " + PROJECT.encode(),
            b"X-ROLES: admin",
        ]
        if http.media_type:
            headers.append(b"Content-Type: " + http.media_type.encode())
        if body and random.random() < 0.15:
            headers.append(b"Transfer-Encoding: chunked")
            cut = random.randrange(len(body) + 1)
            body = (
                b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in (body[:cut], body[cut:]) if part)
                + b"0\r\n\r\n"
            )
        elif body or http.body is not Body.NONE:
            headers.append(b"Content-Length: %d" % len(body))
        target = path + (b"?" + b"&".join(query) if query else b"")
        return b"\r\n".join([http.method.encode() + b" " + target + b" HTTP/1.1", *headers, b"", body])

    def document(self) -> dict[str, Any]:
        """A request of WebSocket for an operation, whatever its fields are."""
        row = self.random.choice([row for row in self._operations if row.frame is not None])
        assert row.frame is not None
        made: dict[str, Any] = envelope(row.name, self._fields(row.frame.only or row.fields.__struct_fields__))
        if self.random.random() > max(0.8, self.care):
            made[self.random.choice(("action", "headers", "body", "x"))] = self.random.choice(_VALUES)
        if self.random.random() > max(0.8, self.care):
            names = (
                "Client-ID",
                "X-Project-ID",
                "X-Auth-Token",
                "URL-Signature",
                "URL-Methods",
                "URL-Paths",
                "URL-Expires",
            )
            made["headers"] = {
                **{"Client-ID": CLIENT, "X-Project-ID": PROJECT},
                self.random.choice(names): self.random.choice(_VALUES),
            }
        return made

    def json_document(self) -> bytes:
        """The same as JSON, or nearly."""
        text = write_json(self.document())
        return self.mutated(text, 1) if self.random.random() < 0.1 else text

    def packed_document(self) -> bytes:
        """The same as MessagePack, or nearly."""
        document = self.document()
        if self.random.random() < 0.3:
            body = document.get("body")
            into = document["body"] = dict(body) if isinstance(body, dict) else {}
            into[self.random.choice([*into, "queue_name"])] = self.random.choice(_EXTENSIONS)
        packed = bytes(msgpack.packb(_plain(document), use_bin_type=self.random.random() < 0.8))
        return self.mutated(packed, 1 + self.random.randrange(3)) if self.random.random() < 0.4 else packed

    # -- bytes ---------------------------------------------------------------------------------------------------------

    def mutated(self, data: bytes, times: int, tokens: Sequence[bytes] = _TOKENS) -> bytes:
        """Bytes with so many changes: octets, slices, tokens."""
        random = self.random
        for _ in range(times):
            at = random.randrange(len(data) + 1)
            end = min(len(data), at + random.choice((1, 1, 2, 4, 16, 64)))
            way = random.randrange(6)
            if way == 0:
                data = data[:at] + bytes((random.randrange(256),)) + data[at + 1 :]
            elif way == 1:
                data = data[:at] + data[end:]
            elif way == 2:
                data = data[:end] + data[at:]
            elif way == 3:
                data = data[:at] + random.choice(tokens) + data[at:]
            elif way == 4:
                data = data[:at]
            else:
                data = data[:at] + random.choice(tokens) + data[end:]
        return data

    def http_bytes(self) -> bytes:
        """Some requests on one connection, with changes in heads, framing and between."""
        random = self.random
        parts = []
        for _ in range(random.choice((1, 1, 1, 2, 3))):
            data = self.http_request()
            for _ in range(random.choice((0, 1, 1, 2))):
                line_end = data.find(b"\r\n")
                data = data[: line_end + 2] + random.choice(_HEADERS) + b"\r\n" + data[line_end + 2 :]
            parts.append(data)
        whole = b"".join(parts)
        return self.mutated(whole, random.choice((0, 1, 1, 2, 4)))

    # -- frames --------------------------------------------------------------------------------------------------------

    def opening(self, *, compressed: bool) -> bytes:
        """A handshake, mostly a right one."""
        random = self.random
        headers = {}
        if compressed:
            headers["Sec_WebSocket_Extensions"] = random.choice(
                (
                    "permessage-deflate",
                    "permessage-deflate; client_max_window_bits",
                    "permessage-deflate; server_max_window_bits=9",
                    "permessage-deflate; server_no_context_takeover; client_no_context_takeover",
                )
            )
        made = handshake(**headers)
        if random.random() < 0.15:
            extensions = (
                "permessage-deflate; client_max_window_bits=99",
                "permessage-deflate; x=y",
                "x-webkit-deflate-frame",
                ";;,=",
                "permessage-deflate; server_max_window_bits=",
                "permessage-deflate, permessage-deflate; server_max_window_bits=8",
            )
            made = handshake(Sec_WebSocket_Extensions=random.choice(extensions))
        if random.random() < 0.1:
            made = self.mutated(made, 1 + random.randrange(3))
        return made

    def _message(self) -> tuple[bytes, int]:
        if self.random.random() < 0.4:
            return self.packed_document(), BINARY
        return self.json_document(), TEXT

    def _deflated(self, payload: bytes) -> bytes:
        random = self.random
        deflater = zlib.compressobj(random.choice((1, 9)), zlib.DEFLATED, -random.choice((9, 15)))
        data = deflater.compress(payload) + deflater.flush(zlib.Z_SYNC_FLUSH)
        way = random.randrange(8)
        if way == 0:
            return self.mutated(data[:-4], 2)
        if way == 1:
            return data[:-4] + deflater.compress(b"x") + deflater.flush(zlib.Z_FINISH)
        return data if way == 2 else data[:-4]

    def bomb(self, inflated: int) -> bytes:
        """A message that is a thousand times as long as its frame."""
        deflater = zlib.compressobj(9, zlib.DEFLATED, -15)
        chunk = b"\0" * 65536
        parts = [deflater.compress(chunk) for _ in range(inflated // len(chunk))]
        return b"".join(parts) + deflater.flush(zlib.Z_SYNC_FLUSH)[:-4]

    def frames(self, *, compressed: bool) -> bytes:
        """What one socket sends after its handshake."""
        random, parts = self.random, []
        for _ in range(random.choice((1, 1, 2, 3))):
            payload, kind = self._message()
            way = random.randrange(10)
            if way < 3:
                parts.append(frame(payload, kind))
            elif way == 3:  # fragments, with a control frame between them
                cut = random.randrange(len(payload) + 1)
                parts += [
                    frame(payload[:cut], kind, fin=False),
                    frame(b"p" * random.choice((0, 125, 126)), random.choice((PING, PONG, CLOSE))),
                    frame(payload[cut:], random.choice((0, 0, 0, kind)), fin=random.random() < 0.9),
                ]
            elif way == 4:
                codes = (0, 999, 1000, 1001, 1004, 1005, 1006, 1011, 1015, 2999, 3000, 4999, 5000, 65535)
                reason = random.choice((b"", b"bye", b"\xff", b"x" * 124))
                parts.append(frame(struct.pack("!H", random.choice(codes)) + reason, CLOSE))
            elif way == 5:
                kinds = (0, 1, 2, 3, 7, 8, 9, 10, 11, 15)
                parts.append(frame(payload[:200], random.choice(kinds), reserved=random.choice((0, 0, 1, 2, 4, 7))))
            elif way == 6:  # a length that is not minimal, too long, or has the highest bit; sometimes not masked
                head = random.choice(
                    (b"\xfe\x00\x05", b"\xff" + b"\x00" * 7 + b"\x05", b"\xff\xff" + b"\x00" * 6 + b"\x01")
                )
                parts.append(bytes((0x80 | kind,)) + head + b"\0\0\0\0hello")
                if random.random() < 0.3:
                    parts.append(bytes((0x80 | kind, min(len(payload), 125))) + payload[:125])
            elif way == 7:
                parts.append(
                    frame(self._deflated(payload), kind, reserved=4 if compressed or random.random() < 0.2 else 0)
                )
            elif way == 8:
                parts.append(frame(payload, kind) * random.choice((1, 3)))
                if compressed and random.random() < 0.02:
                    parts.append(frame(self.bomb(random.choice((2**19, 2**22))), kind, reserved=4))
            else:
                parts += [frame(b"\xe2", TEXT, fin=False), frame(random.choice((b"\x82\xac", b"\x28")), 0)]
        whole = b"".join(parts)
        return (
            self.mutated(whole, random.choice((1, 2)), (b"\xff", b"\x00", b"\x81\x80", b"\x89\xfe"))
            if random.random() < 0.3
            else whole
        )


def split(random: Random, data: bytes) -> list[bytes]:
    """The pieces in which bytes arrive."""
    if random.random() < 0.6 or not data:
        return [data]
    cuts = sorted(random.randrange(len(data) + 1) for _ in range(random.choice((1, 2, 5))))
    return [data[start:end] for start, end in zip([0, *cuts], [*cuts, len(data)], strict=True) if start < end]
