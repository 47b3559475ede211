"""What clients should not send, through real sockets: each gets an answer that names the fault, and nothing breaks.

The fields and operations are those of the registry, so that a new one is tested without a line here.
"""

from __future__ import annotations

import json
import re
import socket
import struct
from collections.abc import Iterator
from typing import Any, get_args, get_type_hints
from urllib.parse import quote, urlsplit

import msgspec
import websocket
from msgspec import Raw, UnsetType
from twisted.internet.task import Clock

from tests.helpers import build_operations
from tests.system.gateway import ANSWER_S, CLIENT, Answer, GatewayTestCase, Http, Reply
from zaqar_gateway.operations.registry import PATCH_TYPE, QUEUE, TOPIC, Body, Operation, field_of
from zaqar_gateway.operations.registry import Http as Route
from zaqar_gateway.storage.memory import MemoryStorage

ROWS = build_operations(MemoryStorage(Clock())).operations

DEEP = 30_000
POST_MAX = 262144
METADATA_MAX = 65536

FAULTS: dict[str, tuple[bytes, str]] = {
    "nested deep": (b"[" * DEEP + b"]" * DEEP, "nested"),
    "nested deep, objects": (b'{"a":' * 9_000 + b"1" + b"}" * 9_000, "nested"),
    "nested deep, open": (b"[" * DEEP, "nested|parsed"),
    "64 bits and one more": (b"9223372036854775808", "9223372036854775808"),
    "64 bits and one less": (b"-9223372036854775809", "-9223372036854775809"),
    "10,000 digits": (b"7" * 10_000, "7777777777"),
    "infinite": (b"1e400", "1e400"),
    "minus infinite": (b"-1e400", "-1e400"),
    "NaN": (b"NaN", "parsed|decode"),
    "Infinity": (b"Infinity", "parsed|decode"),
    "-Infinity": (b"-Infinity", "parsed|decode"),
    "surrogate": (rb'"\ud800"', "parsed|decode|surrogate"),
    "second surrogate": (rb'"\udc00x"', "parsed|decode|surrogate"),
    "surrogate in a key": (rb'{"\ud83d": 1}', "parsed|decode|surrogate"),
    "surrogates in wrong order": (rb'"\ude00\ud83d"', "parsed|decode|surrogate"),
    "invalid UTF-8": (b'"\xff"', "UTF-8|decode"),
    "UTF-8 cut off": (b'"\xe2\x82"', "UTF-8|decode"),
    "overlong UTF-8": (b'"\xc0\x80"', "UTF-8|decode"),
    "surrogate as UTF-8": (b'"\xed\xa0\x80"', "UTF-8|decode"),
    "control character": (b'"\x00"', "parsed|decode"),
    "bad escape": (rb'"\x41"', "parsed|decode"),
    "half an object": (b'{"a"', "parsed|decode"),
    "half a string": (b'"', "parsed|decode"),
    "comma too many": (b"[1,]", "parsed|decode"),
    "single quotes": (b"{'a': 1}", "parsed|decode"),
    "leading zero": (b"01", "parsed|decode"),
    "nothing": (b"", "parsed|decode"),
}
"""What no value of JSON may be: the text, and what is said of it."""

DOCUMENTS: dict[str, tuple[bytes, str]] = {
    **FAULTS,
    "byte order mark": (b'\xef\xbb\xbf{"messages": [{"body": 1}]}', "parsed|decode"),
    "UTF-16": ('{"messages": [{"body": 1}]}'.encode("utf-16"), "parsed|decode|UTF-8"),
    "two documents": (b"{}{}", "parsed|decode"),
    "blanks": (b" \r\n\t ", "parsed|decode"),
    "number": (b"123", "parsed|object|array"),
    "string": (b'"x"', "parsed|object|array"),
    "null": (b"null", "parsed|object|array"),
    "true": (b"true", "parsed|object|array"),
}
del DOCUMENTS["nothing"]
"""What no body may be."""

WRONG: dict[Any, list[Any]] = {
    str: [None, 1, 1.5, True, [], {}, ["x"]],
    int: [None, "5", "", "x", 1.5, 60.0, True, [], {}],
    float: [None, "5", "", "x", True, [], {}],
    bool: [None, "true", "", 0, 1, 1.5, [], {}],
    list[str]: [None, "x", 1, True, {}, [1], [None], [["x"]], [{}], ["x", 1]],
}
"""Type of a field to values that it does not take."""

WRONG_TEXT: dict[str, list[Any]] = {
    "metadata": [[], [1], "x", 1, True, 1.5],
    "changes": [
        {},
        "x",
        1,
        None,
        True,
        ["x"],
        [1],
        [None],
        [[]],
        [{}],
        [{"op": "add"}],
        [{"op": 1, "path": "/metadata/a"}],
    ],
    "document": [
        [],
        [1],
        {"paths": "x"},
        {"paths": ["x"]},
        {"methods": "GET"},
        {"methods": [1]},
        {"expires": 1},
        {"expires": "1"},
        {"project_id": "x"},
    ],
    "messages": [{}, "x", 1, None, True, ["x"], [1], [None], [[]], [{}], [{"ttl": 60}], [{"body": 1}, 2]],
    "subscriber": [None, 1, 1.5, True, [], {}, ["http://a"]],
    "ttl": [None, "60", 60.0, 60.5, True, [], {}],
    "options": [None, "x", 1, 1.5, True, [], [{}]],
    "confirmed": [None, "true", 0, 1, 1.5, [], {}],
    "start": [None, "", "newest", 1, 1.5, True, [], {}],
    "durable": [None, "", "a b", "a" * 65, 1, 1.5, True, [], {}],
    "window": [None, "5", 0, 1001, 1.5, True, [], {}],
    "acknowledge": [None, "", "always", 1, True, [], {}],
    "deadline": [None, "5", 0, 43201, 1.5, True, [], {}],
    "delay": [None, "5", -1, 43201, 1.5, True, [], {}],
    "echo": [None, "true", 0, 1, 1.5, [], {}],
    "claim": [None, "x", 1, True, [], {"ttl": "60"}, {"ttl": 1}, {"grace": None}],
    "up_to": [None, "", "nada", 1, True, [], {}],
}
"""Fields that are a document by themselves, or that the operation looks at, likewise."""

TTLS: list[Any] = [None, "60", 60.0, 60.5, True, [], {}]

WRONG_QUERY = {int: ["x", "1.5", "1_0", "0x10", "%20", "--1", "½", "NaN"], bool: ["TRUE", "None", "2", "%20", "tRue"]}


def kind(row: Operation, field: str) -> Any:
    """The type of a field, without its "may be left out"."""
    hint = get_type_hints(row.fields)[field]
    kinds = [each for each in get_args(hint) if each is not UnsetType]
    return kinds[0] if UnsetType in get_args(hint) else hint


def wrong_values(kind: Any, field: str) -> list[Any]:
    """Values that a field of a type does not take."""
    return WRONG_TEXT[field] if kind in (Raw, Any) else WRONG[kind]


def frame_fields(row: Operation) -> tuple[str, ...]:
    """The fields that a frame brings."""
    return (row.frame.only if row.frame else ()) or row.fields.__struct_fields__


def body_fields(row: Operation) -> list[str]:
    """The fields that a body of HTTP brings."""
    route = row.http
    if route is None or route.body is Body.NONE:
        return []
    elsewhere = {*route.query.values(), *route.fixed, *route.at_once.values(), route.rest, "size"}
    elsewhere |= {field_of(name) for name in re.findall("{(.*?)}", route.path)}
    return [name for name in row.fields.__struct_fields__ if name not in elsewhere]


VALUES: dict[str, Any] = {
    "queue_name": "q",
    "topic_name": "q",
    "message_id": "nada",
    "claim_id": "foo",
    "subscription_id": "bar",
    "message_ids": ["nada"],
    "messages": [{"body": 1}],
    "changes": [{"op": "add", "path": "/metadata/a", "value": 1}],
    "resource_types": ["messages"],
    "durable": "phone",
    "deadline": 30,
    "window": 10,
}
"""A right value for fields that have to be there."""

BESIDE: dict[str, Any] = {"subscription_create": {"subscriber": "http://example.org/"}}
"""What a body of HTTP has to have before other fields are looked at."""


def path(route: Route) -> str:
    """A path that reaches an operation."""
    return re.sub("{(.*?)}", lambda found: str(VALUES[found[1]]), route.path) + (
        f"?{route.when}=x" if route.when else ""
    )


def right_body(row: Operation) -> dict[str, Any]:
    """A frame's body that is right."""
    needed = {field.name for field in msgspec.structs.fields(row.fields) if field.required}
    needed |= set(row.frame.needed) if row.frame else set()
    return {name: VALUES[name] for name in frame_fields(row) if name in needed}


def with_bodies() -> Iterator[tuple[Operation, Route]]:
    """The operations of HTTP that read a body, save those of administration, which are not served here."""
    for row in ROWS:
        if row.http and row.http.body is not Body.NONE and not row.admin:
            yield row, row.http


def frames() -> Iterator[Operation]:
    """The operations that frames reach."""
    return (row for row in ROWS if row.frame)


class BadInputTestCase(GatewayTestCase):
    """What both transports need."""

    def check_http(self, answer: Answer, told: str, what: str) -> None:
        """It is a 400 that says what was wrong."""
        self.assertEqual(answer.status, 400, f"{what}: {answer}")
        self.assertEqual(set(answer.json), {"title", "description"}, what)
        self.assertRegex(answer.json["description"], f"(?i){told}", what)
        self.assertLess(len(answer.body), 1000, what)

    def check_frame(self, reply: Reply, told: str, what: str) -> None:
        """It is a 400 that says what was wrong."""
        self.assertEqual(reply.status, 400, f"{what}: {str(reply.body)[:1000]}")
        self.assertRegex(reply.error, f"(?i){told}", what)
        self.assertLess(len(reply.error), 1000, what)

    def check_usable(self, http: Http, connection: object) -> None:
        """The connection is still the same, and serves."""
        self.assertEqual(http("GET", "/v2/queues").status, 200)
        self.assertIs(http.connection.sock, connection)


class HttpTests(BadInputTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.ask = self.http()
        self.assertEqual(self.ask("PUT", "/v2/queues/q").status, 201)
        # Trial does what is to be cleaned up before tearDown, and what was added last before the rest.
        self.addCleanup(self.check_usable, self.ask, self.ask.connection.sock)

    def send(self, route: Route, body: Any) -> Answer:
        """Send a body to an operation."""
        return self.ask(route.method, path(route), body, {"Content-Type": route.media_type or "application/json"})

    def test_documents(self) -> None:
        """A body that is no document of JSON, or one that not every reader can hold, is refused by every operation."""
        for row, route in with_bodies():
            for fault, (text, told) in DOCUMENTS.items():
                self.check_http(self.send(route, text), told, f"{row.name}, {fault}")

    def test_faults_inside(self) -> None:
        """The same faults are found wherever they stand in a body: in fields, in unknown fields, in messages."""
        places = {
            "message_post": [
                b'{"messages": [{"body": %s}]}',
                b'{"messages": [{"ttl": 60, "body": {"a": [%s]}}]}',
                b'{"messages": [{"body": 1, "ttl": %s}]}',
                b'{"messages": [{"body": 1, "unknown": %s}]}',
                b'{"messages": [{"body": 1}], "unknown": %s}',
                b'{"messages": %s}',
            ],
            "queue_create": [b'{"a": %s}', b'{"_default_message_ttl": %s}', b'{"a": {"b": [%s]}}'],
            "queue_update": [b'[{"op": "add", "path": "/metadata/a", "value": %s}]', b'[{"op": %s}]', b"[%s]"],
            "queue_purge": [b'{"resource_types": [%s]}', b'{"resource_types": [], "unknown": %s}'],
            "queue_share": [b'{"paths": [%s]}', b'{"methods": ["GET", %s]}', b'{"expires": %s}', b'{"unknown": %s}'],
            "claim_create": [b'{"ttl": %s}', b'{"ttl": 60, "unknown": %s}'],
            "claim_update": [b'{"ttl": %s}', b'{"ttl": 60, "unknown": %s}'],
            "subscription_create": [
                b'{"subscriber": %s}',
                b'{"subscriber": "http://a", "ttl": %s}',
                b'{"subscriber": "http://a", "options": %s}',
                b'{"subscriber": "http://a", "options": {"a": [%s]}}',
                b'{"subscriber": "http://a", "unknown": %s}',
            ],
            "subscription_update": [b'{"subscriber": %s}', b'{"options": {"a": %s}}', b'{"ttl": 60, "unknown": %s}'],
            "subscription_confirm": [b'{"confirmed": %s}', b'{"confirmed": true, "unknown": %s}'],
            "dead_letter_return": [
                b'{"ids": [%s]}',
                b'{"limit": %s}',
                b'{"limit": 1, "destination": %s}',
                b'{"limit": 1, "rate": %s}',
                b'{"limit": 1, "unknown": %s}',
            ],
        }
        places |= {name.replace("queue", "topic"): places[name] for name in ("queue_create", "queue_update", "queue_purge")}
        for name in ("message_post", "subscription_create", "subscription_update", "subscription_confirm"):
            places[f"topic_{name}"] = places[name]
        self.assertEqual(set(places), {row.name for row, _ in with_bodies()})
        for row, route in with_bodies():
            for place in places[row.name]:
                for fault, (text, _) in FAULTS.items():
                    if text or b"[%s]" not in place:
                        self.check_http(self.send(route, place % text), ".", f"{row.name}, {place!r}, {fault}")
        for collection in ("queues", "topics"):
            self.assertEqual(self.ask("GET", f"/v2/{collection}/q/messages?echo=true").json["messages"], [])

    def test_wrong_types(self) -> None:
        """A value of a wrong type is refused with the name of its field, for every field of every body."""
        for row, route in with_bodies():
            for name in body_fields(row):
                if name == route.whole:
                    for value in WRONG_TEXT[name]:
                        self.check_http(self.send(route, json.dumps(value).encode()), ".", f"{row.name}, {value!r}")
                    continue
                for value in wrong_values(kind(row, name), name):
                    told = "messages|body" if name == "messages" else name
                    body = {**BESIDE.get(row.name.removeprefix("topic_"), {}), name: value}
                    self.check_http(self.send(route, body), told, f"{row.name}, {name}, {value!r}")

    def test_wrong_types_in_messages(self) -> None:
        """A ttl that is no integer is refused; so is a delay, in a queue that has one."""
        for value in TTLS:
            answer = self.ask("POST", "/v2/queues/q/messages", {"messages": [{"body": 1, "ttl": value}]})
            self.check_http(answer, "ttl", f"{value!r}")
        self.ask("PUT", "/v2/queues/late", {"_default_message_delay": 5})
        for value in TTLS:
            answer = self.ask("POST", "/v2/queues/late/messages", {"messages": [{"body": 1, "delay": value}]})
            self.check_http(answer, "delay", f"{value!r}")

    def test_reserved_metadata(self) -> None:
        """A reserved key with a value of a wrong type is refused with its name, at creation and by PATCH."""
        integers = (
            "_default_message_ttl",
            "_max_messages_post_size",
            "_default_message_delay",
            "_max_claim_count",
            "_dead_letter_queue_messages_ttl",
        )
        wrong = {name: ["60", 60.5, 60.0, "", [], {}, True, False] for name in integers}
        wrong["_enable_encrypt_messages"] = [1, 0, "yes", "", [], {}]
        for name, values in wrong.items():
            for value in values:
                what = f"{name}, {value!r}"
                self.check_http(self.ask("PUT", "/v2/queues/other", {name: value}), name, what)
                change = [{"op": "add", "path": f"/metadata/{name}", "value": value}]
                answer = self.ask("PATCH", "/v2/queues/q", change, {"Content-Type": PATCH_TYPE})
                self.check_http(answer, name, what)

    def test_wrong_queries(self) -> None:
        """A parameter that cannot be read is refused with its name, for every one of every operation."""
        for row in ROWS:
            for parameter, field in row.http.query.items() if row.http and not row.admin else ():
                for value in WRONG_QUERY.get(kind(row, field), []):
                    assert row.http
                    where = path(row.http)
                    where += f"{'&' if '?' in where else '?'}{parameter}={value if '%' in value else quote(value)}"
                    answer = self.ask(row.http.method, where, b"{}" if row.http.body is not Body.NONE else None)
                    self.check_http(answer, parameter, f"{row.name}, {where}")
                    self.assertEqual(answer.json["title"], "Invalid parameter")

    def test_limits(self) -> None:
        """Numbers that no counter can hold are out of range, and no fault of the server."""
        for number in ("0", "-1", "21", "+0", *(str(2**bits) for bits in (31, 63, 64, 100)), str(-(2**63)), "7" * 5000):
            for where in ("queues", "queues/q/messages"):
                self.check_http(self.ask("GET", f"/v2/{where}?limit={number}"), "limit", number[:30])
            self.check_http(self.ask("DELETE", f"/v2/queues/q/messages?pop={number}"), "pop", number[:30])
            self.check_http(self.ask("POST", f"/v2/queues/q/claims?limit={number}"), "limit", number[:30])
        for seconds in (-1, 0, 59, 1209601, 2**31, 2**53, 2**63 - 1, -(2**63)):
            for body in ({"messages": [{"body": 1, "ttl": seconds}]},):
                self.check_http(self.ask("POST", "/v2/queues/q/messages", body), "ttl", str(seconds))
            for field in ("ttl", "grace"):
                self.check_http(self.ask("POST", "/v2/queues/q/claims", {field: seconds}), field, str(seconds))
                self.check_http(self.ask("PATCH", "/v2/queues/q/claims/x", {field: seconds}), field, str(seconds))

    def test_names(self) -> None:
        """A name that breaks the rules is refused on every route under it, whatever bytes it has."""
        for name in (
            "a%0A",
            "a%00",
            "%20",
            "a" * 65,
            "%FF%FE",
            "%C3%A9",
            "a%40b",
            "%ED%A0%80",
            "*",
            "a%7Fb",
            "%25",
            "{q}",
        ):
            for row in ROWS:
                if row.http and row.http.path.startswith((QUEUE, TOPIC)):
                    kind = "queue" if row.http.path.startswith(QUEUE) else "topic"
                    where = path(row.http).replace(f"/v2/{kind}s/q", f"/v2/{kind}s/{name}")
                    answer = self.ask(row.http.method, where)
                    self.check_http(answer, "name", f"{row.name}, {where}")
                    self.assertEqual(answer.json["title"], f"Invalid {kind} identification")

    def test_headers(self) -> None:
        """A Client-ID that is no UUID and a project that is empty or too long are refused with their names."""
        for client in ("", "0xdeadbeef", "textid", CLIENT[:-1], CLIENT + "0", "\xff" * 36, "{" * 40):
            self.check_http(self.ask("GET", "/v2/queues", None, {"Client-ID": client}), "Client-ID", repr(client))
        for project in ("", "x" * 257):
            answer = self.ask("GET", "/v2/queues/q", None, {"X-Project-ID": project})
            self.check_http(answer, "project", project)

    def test_strange_ids(self) -> None:
        """Ids of any form and length name messages and claims that do not exist."""
        for name in ("x" * 4000, "%00", "%FF", "%0A", "..", "-", "*", "%7B%7D", "0" * 24, "%F0%9F%98%80"):
            self.assertEqual(self.ask("GET", f"/v2/queues/q/messages/{name}").status, 404, name)
            self.assertEqual(self.ask("DELETE", f"/v2/queues/q/messages/{name}").status, 204, name)
            self.assertEqual(self.ask("GET", f"/v2/queues/q/messages?ids={name}").status, 404, name)
            self.assertEqual(self.ask("DELETE", f"/v2/queues/q/messages?ids={name}").status, 204, name)
            self.assertEqual(self.ask("GET", f"/v2/queues/q/messages?marker={name}").json["messages"], [], name)
            self.assertEqual(self.ask("GET", f"/v2/queues/q/claims/{name}").status, 404, name)
            self.assertEqual(self.ask("PATCH", f"/v2/queues/q/claims/{name}", {}).status, 404, name)
            self.assertEqual(self.ask("DELETE", f"/v2/queues/q/claims/{name}").status, 204, name)

    def test_duplicate_keys(self) -> None:
        """Of duplicate keys the last one wins, in fields and in messages; bodies stay as they came."""
        body = b'{"messages": [], "messages": [{"body": 1, "ttl": 90, "ttl": 60, "body": {"a": 1, "a": 2}}]}'
        answer = self.ask("POST", "/v2/queues/q/messages", body)
        self.assertEqual(answer.status, 201, str(answer))
        shown = self.ask("GET", answer.json["resources"][0])
        self.assertEqual((shown.json["ttl"], shown.json["body"]), (60, {"a": 2}))
        self.ask("PUT", "/v2/queues/twice", b'{"a": 1, "a": 2}')
        self.assertEqual(self.ask("GET", "/v2/queues/twice").json["a"], 2)
        self.assertEqual(self.ask("POST", "/v2/queues/none/claims", b'{"ttl": 1, "ttl": 60}').status, 204)

    def test_duplicate_keys_of_other_types(self) -> None:
        """A value that a later one replaces may be anything."""
        for method, where, body, status in (
            ("POST", "q/messages", b'{"messages": [{"body": 1, "ttl": "x", "ttl": 60}]}', 201),
            ("POST", "q/messages", b'{"messages": 5, "messages": [{"body": 1}]}', 201),
            ("POST", "none/claims", b'{"ttl": null, "ttl": 60}', 204),
            ("POST", "none/purge", b'{"resource_types": 1, "resource_types": []}', 204),
        ):
            answer = self.ask(method, f"/v2/queues/{where}", body)
            self.assertEqual(answer.status, status, f"{body!r}: {answer}")

    def test_nesting_to_the_limit(self) -> None:
        """Nesting that fills a post to its limit is refused as quickly as any."""
        deep = b"[" * 130_000 + b"]" * 130_000
        for body in (b'{"messages": [{"body": %s}]}' % deep, b'{"messages": %s}' % deep, b'{"x": %s}' % deep):
            self.check_http(self.ask("POST", "/v2/queues/q/messages", body), "nested", "to the limit")

    def test_nesting_that_is_fine(self) -> None:
        """A body of 128 levels is taken as it is."""
        deep = b"[" * 125 + b"]" * 125
        answer = self.ask("POST", "/v2/queues/q/messages", b'{"messages": [{"body": %s}]}' % deep)
        self.assertEqual(answer.status, 201, str(answer))
        self.assertIn(deep, self.ask("GET", answer.json["resources"][0]).body)

    def test_content_type_of_a_form(self) -> None:
        """A body that says it is a form is refused; other types are read as JSON."""
        form = {"Content-Type": "application/x-www-form-urlencoded"}
        answer = self.ask("POST", "/v2/queues/q/messages", {"messages": [{"body": 1}]}, form)
        self.check_http(answer, ".", "form")
        self.assertEqual(answer.json["title"], "Invalid Content-Type")


class OversizeTests(BadInputTestCase):
    def send_whole(
        self, method: str, where: str, size: int, headers: str = "", chunked: bool = False
    ) -> tuple[int, Any]:
        """Write a body to its end before anything is read; then read the answer, and use the connection once more."""
        parts = urlsplit(self.gateway.http)
        head = (
            f"{method} {where} HTTP/1.1\r\nHost: x\r\nClient-ID: {CLIENT}\r\nX-Project-ID: {self.project}\r\n{headers}"
        )
        content = b'{"a": "%s"}' % (b"x" * (size - 9))
        if chunked:
            sent = [head.encode() + b"Transfer-Encoding: chunked\r\n\r\n"]
            for at in range(0, size, 50_000):
                part = content[at : at + 50_000]
                sent.append(b"%x\r\n%s\r\n" % (len(part), part))
            sent.append(b"0\r\n\r\n")
        else:
            sent = [head.encode() + b"Content-Length: %d\r\n\r\n" % size, content]
        with socket.create_connection((parts.hostname, parts.port), timeout=ANSWER_S) as client:
            for part in sent:
                client.sendall(part)
            status, body = self.read(client)
            client.sendall(
                f"GET /v2/queues HTTP/1.1\r\nHost: x\r\nClient-ID: {CLIENT}\r\nX-Project-ID: {self.project}\r\n\r\n".encode()
            )
            self.assertEqual(self.read(client)[0], 200, "the connection serves no more")
        return status, body

    def read(self, client: socket.socket) -> tuple[int, Any]:
        """Status and body of the next response."""
        got = b""
        while b"\r\n\r\n" not in got:
            part = client.recv(65536)
            self.assertTrue(part, f"the connection ended after {got!r}")
            got += part
        head, _, body = got.partition(b"\r\n\r\n")
        found = re.search(rb"(?i)content-length: ([0-9]+)", head)
        length = int(found[1]) if found else 0
        while len(body) < length:
            body += client.recv(65536)
        return int(head.split(b" ")[1]), json.loads(body) if body else None

    def check_oversize(self, method: str, where: str, limit: int, headers: str = "") -> None:
        for factor, chunked in ((1, False), (8, False), (100, False), (8, True)):
            size = limit * factor + (factor == 1)
            status, body = self.send_whole(method, where, size, headers, chunked)
            what = f"{method} {where}, {size} bytes, chunked {chunked}"
            self.assertEqual(status, 400, f"{what}: {body}")
            self.assertRegex(body["description"], f"bytes.*{limit}", what)

    def test_posts(self) -> None:
        """A post over the limit is refused with 400, at 1, 8 and 100 times the limit, sent whole before any reading."""
        self.check_oversize("POST", "/v2/queues/q/messages", POST_MAX)

    def test_metadata(self) -> None:
        """So is metadata, at its own limit, by PUT and by PATCH."""
        self.check_oversize("PUT", "/v2/queues/q", METADATA_MAX)
        self.check_oversize("PATCH", "/v2/queues/q", METADATA_MAX, f"Content-Type: {PATCH_TYPE}\r\n")

    def test_other_bodies(self) -> None:
        """So are bodies without a limit of their own."""
        self.check_oversize("POST", "/v2/queues/q/claims", POST_MAX)

    def test_bodies_that_nobody_reads(self) -> None:
        """A large body of a request that has none is dropped, and the request is answered."""
        self.assertEqual(self.send_whole("GET", "/v2/queues", 8 * POST_MAX)[0], 200)
        self.assertEqual(self.send_whole("DELETE", "/v2/queues/q", 8 * POST_MAX)[0], 204)
        self.assertEqual(self.send_whole("POST", "/v2/nothing", 8 * POST_MAX)[0], 404)

    def test_limit_itself(self) -> None:
        """A body of exactly the limit is taken; one byte more is not."""
        http = self.http()
        frame = b'{"messages": [{"body": "%s"}]}'
        fits = frame % (b"x" * (POST_MAX - len(frame) + 2))
        self.assertEqual(len(fits), POST_MAX)
        self.assertEqual(http("POST", "/v2/queues/q/messages", fits).status, 201)
        self.check_http(http("POST", "/v2/queues/q/messages", fits + b" "), "bytes", "one byte more")

    def test_frames(self) -> None:
        """A post of more bytes than the limit is a 400 as a frame too, and the socket stays open."""
        socket = self.socket()
        messages = [{"body": "x" * 33}] * 8000
        reply = socket("message_post", queue_name="q", messages=messages)
        self.check_frame(reply, "bytes", "8000 messages")
        reply = socket("queue_create", queue_name="q", metadata={"a": "x" * METADATA_MAX})
        self.check_frame(reply, "bytes|size|large", "metadata")
        self.assertEqual(socket("queue_list").status, 200)

    def test_frames_beyond_the_bound(self) -> None:
        """A frame of 8 or of 100 times the limit, sent whole before any reading, closes the socket with 1009."""
        for factor in (8, 100):
            socket = self.socket()
            body = {"queue_name": "q", "messages": [{"body": "x" * POST_MAX * factor}]}
            socket.send("message_post", body)
            self.assertEqual(socket.close_code(), 1009)


class FrameTests(BadInputTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.ask = self.socket()
        self.assertEqual(self.ask("queue_create", queue_name="q").status, 201)
        self.addCleanup(lambda: self.assertEqual(self.ask("queue_list").status, 200, "the socket serves no more"))

    def send(self, payload: bytes, is_binary: bool = False) -> Reply:
        """Send bytes as one frame, and wait for its reply.  What is no UTF-8 is not for text frames."""
        opcode = websocket.ABNF.OPCODE_BINARY if is_binary else websocket.ABNF.OPCODE_TEXT
        self.ask.connection.send_frame(websocket.ABNF.create_frame(payload, opcode))
        got = self.ask.connection.recv()
        reply = (
            msgspec.msgpack.decode(got if isinstance(got, bytes) else got.encode()) if is_binary else json.loads(got)
        )
        return Reply(reply["headers"]["status"], reply["body"], reply["request"])

    def frame(self, action: str, body: bytes) -> bytes:
        """A frame in which the body stands as it is."""
        return b'{"action": "%s", "headers": {"Client-ID": "%s", "X-Project-ID": "%s"}, "body": %s}' % (
            *(action.encode(), CLIENT.encode(), self.project.encode(), body),
        )

    @staticmethod
    def is_utf8(text: bytes) -> bool:
        """Whether a text frame can have it; one that is not UTF-8 ends the connection (RFC 6455, section 8.1)."""
        try:
            text.decode()
        except UnicodeDecodeError:
            return False
        return True

    def test_documents(self) -> None:
        """A frame that is no document, or one that not every reader can hold, is refused, and echoes nothing."""
        for fault, (text, told) in DOCUMENTS.items():
            if self.is_utf8(text):
                reply = self.send(text)
                self.check_frame(reply, f"{told}|Unexpected body type", fault)
                self.assertEqual(reply.request, {"action": None, "body": {}, "headers": {}, "api": "v2"})

    def test_not_utf8(self) -> None:
        """A text frame that is not UTF-8 closes the connection with 1007."""
        for fault, (text, _) in DOCUMENTS.items():
            if not self.is_utf8(text):
                other = self.socket()
                other.connection.send_frame(websocket.ABNF.create_frame(text, websocket.ABNF.OPCODE_TEXT))
                self.assertEqual(other.close_code(), 1007, fault)

    def test_faults_inside(self) -> None:
        """The same faults are found wherever they stand: in action, headers, body, fields and messages."""
        headers = b'{"Client-ID": "%s", "X-Project-ID": "p"}' % CLIENT.encode()
        places = [
            b'{"action": %s, "headers": ' + headers + b"}",
            b'{"action": "queue_list", "headers": %s}',
            b'{"action": "queue_list", "headers": {"Client-ID": %s, "X-Project-ID": "p"}}',
            b'{"action": "queue_list", "headers": {"Client-ID": "x", "X-Project-ID": "p", "unknown": %s}}',
            b'{"action": "queue_list", "headers": ' + headers + b', "unknown": %s}',
            b'{"action": "queue_list", "headers": ' + headers + b', "body": %s}',
        ]
        bodies = {
            "message_post": [
                b'{"queue_name": "q", "messages": [{"body": %s}]}',
                b'{"queue_name": "q", "messages": [{"body": {"a": [%s]}, "ttl": 60}]}',
                b'{"queue_name": "q", "messages": [{"body": 1, "ttl": %s}]}',
                b'{"queue_name": "q", "messages": [{"body": 1}], "unknown": %s}',
                b'{"queue_name": %s, "messages": [{"body": 1}]}',
            ],
            "queue_create": [b'{"queue_name": "q", "metadata": {"a": %s}}', b'{"queue_name": %s}'],
            "claim_create": [b'{"queue_name": "q", "ttl": %s}'],
            "message_get_many": [b'{"queue_name": "q", "message_ids": [%s]}'],
            "subscription_create": [
                b'{"queue_name": "q", "subscriber": "http://a", "options": {"a": %s}}',
                b'{"queue_name": "q", "subscriber": "http://a", "ttl": %s}',
                b'{"queue_name": "q", "subscriber": %s}',
            ],
        }
        for action, texts in bodies.items():
            places += [self.frame(action, text) for text in texts]
        for place in places:
            for fault, (text, _) in FAULTS.items():
                if self.is_utf8(text) and (text or b"[%s]" not in place):
                    self.check_frame(self.send(place.replace(b"%s", text)), ".", f"{place!r}, {fault}")
        self.assertEqual(self.ask("message_list", queue_name="q", echo=True).body, {"messages": []})

    def test_wrong_types(self) -> None:
        """A value of a wrong type is refused with the name of its field, for every field of every action."""
        for row in frames():
            for name in frame_fields(row):
                for value in wrong_values(kind(row, name), name):
                    what = f"{row.name}, {name}, {value!r}"
                    told = "messages|body" if name == "messages" else name
                    self.check_frame(self.ask(row.name, **{**right_body(row), name: value}), told, what)

    def test_missing_fields(self) -> None:
        """A field that has to be there and is not is named."""
        for row in frames():
            for name in right_body(row):
                body = {key: value for key, value in right_body(row).items() if key != name}
                self.check_frame(self.ask(row.name, **body), name, f"{row.name} without {name}")

    def test_wrong_bodies(self) -> None:
        """A body that is no object is refused for every action."""
        for row in frames():
            values: list[Any] = [[], "x", 1, True, None, 1.5]
            for value in values:
                reply = self.send(self.frame(row.name, json.dumps(value).encode()))
                self.check_frame(reply, "body", f"{row.name}, {value!r}")

    def test_wrong_headers(self) -> None:
        """Headers that are missing or no strings are refused with their names, for every action."""
        right = {"Client-ID": CLIENT, "X-Project-ID": self.project}
        for row in frames():
            request = {"action": row.name, "body": right_body(row)}
            for name in ("Client-ID", "X-Project-ID", "User-Agent", "Date", "Accept", "X-Auth-Token"):
                for value in WRONG[str]:
                    frame = {**request, "headers": {**right, name: value}}
                    self.check_frame(self.send(json.dumps(frame).encode()), name, f"{row.name}, {name}, {value!r}")
            for name in right:
                frame = {**request, "headers": {key: value for key, value in right.items() if key != name}}
                self.check_frame(self.send(json.dumps(frame).encode()), name, f"{row.name} without {name}")
            others: list[Any] = [None, [], "x", 1]
            for wrong in others:
                self.check_frame(self.send(json.dumps({**request, "headers": wrong}).encode()), "headers", row.name)
            self.check_frame(self.send(json.dumps(request).encode()), "headers", row.name)

    def test_wrong_actions(self) -> None:
        """What is no action is told so."""
        actions: list[Any] = [
            None,
            1,
            1.5,
            True,
            [],
            {},
            "",
            "x" * 10_000,
            "queue_list\n",
            "\U0001f600",
            ["queue_list"],
        ]
        for action in actions:
            frame = json.dumps({"action": action, "headers": {"Client-ID": CLIENT, "X-Project-ID": "p"}, "body": {}})
            self.check_frame(self.send(frame.encode()), "is not a valid action", repr(action)[:40])

    def test_wrong_types_in_messages(self) -> None:
        """A ttl that is no integer is refused."""
        for value in TTLS:
            reply = self.ask("message_post", queue_name="q", messages=[{"body": 1, "ttl": value}])
            self.check_frame(reply, "ttl", repr(value))

    def test_limits(self) -> None:
        """Numbers out of range are refused with the name of their field."""
        for number in (0, -1, 21, 2**31, 2**63 - 1, -(2**63)):
            for action in ("queue_list", "message_list", "claim_create"):
                self.check_frame(self.ask(action, queue_name="q", limit=number), "limit", f"{action}, {number}")
            self.check_frame(self.ask("message_delete_many", queue_name="q", pop=number), "pop", str(number))
        for number in (-1, 0, 59, 1209601, 2**53, 2**63 - 1, -(2**63)):
            reply = self.ask("message_post", queue_name="q", messages=[{"body": 1, "ttl": number}])
            self.check_frame(reply, "ttl", str(number))
            for field in ("ttl", "grace"):
                body = {"queue_name": "q", "claim_id": "x", field: number}
                for action in ("claim_create", "claim_update"):
                    self.check_frame(self.ask(action, **body), field, f"{action}, {number}")

    def test_duplicate_keys(self) -> None:
        """Of duplicate keys the last one wins, in the envelope too."""
        post = b'{"queue_name": "p", "queue_name": "q", "messages": [], "messages": [{"body": 1, "body": 2}]}'
        reply = self.send(
            self.frame("message_post", post).replace(b'{"action"', b'{"action": "queue_list", "action"', 1)
        )
        self.assertEqual(reply.status, 201, reply.body)
        shown = self.ask("message_list", queue_name="q", echo=True).body["messages"]
        self.assertEqual([message["body"] for message in shown], [2])

    def test_duplicate_keys_of_other_types(self) -> None:
        """A value that a later one replaces may be anything."""
        for action, body, status in (
            ("message_post", b'{"queue_name": 5, "queue_name": "q", "messages": [{"body": 1}]}', 201),
            ("message_post", b'{"queue_name": "q", "messages": 1, "messages": [{"body": 1}]}', 201),
            ("claim_create", b'{"queue_name": "none", "ttl": null, "ttl": 60}', 204),
        ):
            frame = self.frame(action, body).replace(b'{"action"', b'{"action": 5, "action"', 1)
            reply = self.send(frame)
            self.assertEqual(reply.status, status, f"{frame!r}: {reply.body}")

    def test_strange_ids(self) -> None:
        """Ids of any form and length name messages and claims that do not exist."""
        for name in ("", "x" * 4000, "\x00", "é", "\n", "..", "*", "{}", "0" * 24, "\U0001f600"):
            self.assertEqual(self.ask("message_get", queue_name="q", message_id=name).status, 404, name)
            self.assertEqual(self.ask("message_delete", queue_name="q", message_id=name).status, 204, name)
            self.assertEqual(self.ask("message_get_many", queue_name="q", message_ids=[name]).body, {"messages": []})
            self.assertEqual(self.ask("claim_get", queue_name="q", claim_id=name).status, 404, name)
            self.assertEqual(self.ask("claim_update", queue_name="q", claim_id=name).status, 404, name)
            self.assertEqual(self.ask("claim_delete", queue_name="q", claim_id=name).status, 204, name)

    def test_strange_queue_names(self) -> None:
        """Names that no queue can have are refused where one would be made, and are nothing elsewhere."""
        for name in ("", "a" * 65, "a\n", "é", "\x00", "a b", "*", "\U0001f600", "x" * 10_000):
            self.check_frame(self.ask("queue_create", queue_name=name), "name", repr(name)[:40])
            reply = self.ask("message_post", queue_name=name, messages=[{"body": 1}])
            self.check_frame(reply, "name", repr(name)[:40])
            for row in frames():
                if "queue_name" in frame_fields(row):
                    self.assertLess(self.ask(row.name, **{**right_body(row), "queue_name": name}).status, 500, row.name)

    def test_binary(self) -> None:
        """A binary frame that is no document of MessagePack, or none that JSON can hold, is refused in kind."""
        headers = {"Client-ID": CLIENT, "X-Project-ID": self.project}

        def post(body: bytes) -> bytes:
            marked = msgspec.msgpack.encode(
                {
                    "action": "message_post",
                    "headers": headers,
                    "body": {"queue_name": "q", "messages": [{"body": "MARK"}]},
                }
            )
            return marked.replace(b"\xa4MARK", body)

        faults = {
            "nothing": b"",
            "bytes left over": b"123",
            "number": b"\x01",
            "never used": b"\xc1",
            "cut off": post(b"\x01")[:-10],
            "array without end": b"\xdd\xff\xff\xff\xff",
            "map without end": b"\xdf\xff\xff\xff\xff",
            "string without end": b"\xdb\xff\xff\xff\xffx",
            "nested deep": b"\x91" * DEEP + b"\xc0",
            "nested deep inside": post(b"\x91" * DEEP + b"\xc0"),
            "byte string": post(b"\xc4\x01x"),
            "key that is a number": post(b"\x81\x01\x02"),
            "key that is null": post(b"\x81\xc0\x02"),
            "key that is an array": post(b"\x81\x90\x02"),
            "key that is a map": post(b"\x81\x80\x02"),
            "NaN": post(b"\xcb" + struct.pack(">d", float("nan"))),
            "infinite": post(b"\xcb" + struct.pack(">d", float("inf"))),
            "minus infinite, 32 bits": post(b"\xca" + struct.pack(">f", float("-inf"))),
            "64 bits without sign": post(b"\xcf" + b"\xff" * 8),
            "extension": post(b"\xc7\x01\x05x"),
            "timestamp": post(b"\xd6\xff\x00\x00\x00\x00"),
            "invalid UTF-8": post(b"\xa1\xff"),
            "surrogate as UTF-8": post(b"\xa3\xed\xa0\x80"),
        }
        for fault, payload in faults.items():
            self.check_frame(self.send(payload, is_binary=True), ".", fault)
        self.assertEqual(self.ask("message_list", queue_name="q", echo=True).body, {"messages": []})
        self.assertEqual(self.send(post(b"\x01"), is_binary=True).status, 201)
