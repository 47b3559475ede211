"""What HTTP alone has: order of checks, headers, media types, queries, bodies, links, documents; on both stores."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qs, urlsplit

from attrs import field, frozen

from tests.helpers import CLIENT, PROJECT, Response
from tests.wire.calls import REQUEST_ID, RESERVED, http_error
from tests.wire.gateway import HttpConnection, OnMemory, OnRedis
from zaqar_gateway.limits import ClientIds, Limits
from zaqar_gateway.operations.registry import PATCH_TYPE

FORM = "application/x-www-form-urlencoded"
PATCH = {"Content-Type": PATCH_TYPE}
NO_CLIENT: dict[str, str | None] = {"Client-ID": None}
NO_PROJECT: dict[str, str | None] = {"X-Project-ID": None}

RULE, BODY, PARAMETER = "Invalid API request", "Invalid request body", "Invalid parameter"
NO_ROUTE, NO_METHOD, NO_TYPE = "404 Not Found", "405 Method Not Allowed", "406 Not Acceptable"
NAME, NO_UUID, NO_HEADER = "Invalid queue identification", "Wrong UUID value", "Missing header value"
FORMS, NO_PROJECT_GIVEN = "Invalid Content-Type", "Project-Id Missing"

VERSIONS = {
    "versions": [
        {
            "id": "2",
            "status": "CURRENT",
            "updated": "2014-9-24T04:06:47Z",
            "media-types": [{"base": "application/json", "type": "application/vnd.openstack.messaging-v2+json"}],
            "links": [{"href": "/v2/", "rel": "self"}],
        }
    ]
}

HOME = {
    "rel/queues": ("/v2/queues{?marker,limit,detailed}", ["GET"]),
    "rel/queue": ("/v2/queues/{queue_name}", ["GET", "PUT", "DELETE", "PATCH"]),
    "rel/queue_stats": ("/v2/queues/{queue_name}/stats", ["GET"]),
    "rel/queue_share": ("/v2/queues/{queue_name}/share", ["POST"]),
    "rel/queue_purge": ("/v2/queues/{queue_name}/purge", ["POST"]),
    "rel/messages": ("/v2/queues/{queue_name}/messages{?marker,limit,echo,include_claimed}", ["GET"]),
    "rel/post_messages": ("/v2/queues/{queue_name}/messages", ["POST"]),
    "rel/messages_delete": ("/v2/queues/{queue_name}/messages{?ids,pop}", ["DELETE"]),
    "rel/message_delete": ("/v2/queues/{queue_name}/messages/{message_id}{?claim}", ["DELETE"]),
    "rel/message_get": ("/v2/queues/{queue_name}/messages/{message_id}", ["GET"]),
    "rel/claim": ("/v2/queues/{queue_name}/claims/{claim_id}", ["GET"]),
    "rel/patch_claim": ("/v2/queues/{queue_name}/claims/{claim_id}", ["PATCH"]),
    "rel/delete_claim": ("/v2/queues/{queue_name}/claims/{claim_id}", ["DELETE"]),
    "rel/post_claim": ("/v2/queues/{queue_name}/claims{?limit}", ["POST"]),
    "rel/topics": ("/v2/topics{?marker,limit,detailed}", ["GET"]),
    "rel/topic": ("/v2/topics/{topic_name}", ["GET", "PUT", "DELETE", "PATCH"]),
    "rel/topic_stats": ("/v2/topics/{topic_name}/stats", ["GET"]),
    "rel/topic_purge": ("/v2/topics/{topic_name}/purge", ["POST"]),
    "rel/topic_messages": ("/v2/topics/{topic_name}/messages{?marker,limit,echo,include_delayed}", ["GET"]),
    "rel/post_topic_messages": ("/v2/topics/{topic_name}/messages", ["POST"]),
    "rel/topic_messages_delete": ("/v2/topics/{topic_name}/messages{?ids,pop}", ["DELETE"]),
    "rel/topic_message_delete": ("/v2/topics/{topic_name}/messages/{message_id}", ["DELETE"]),
    "rel/topic_message_get": ("/v2/topics/{topic_name}/messages/{message_id}", ["GET"]),
    "rel/ping": ("/v2/ping", ["GET"]),
}
"""Relation to template and methods (API reference, "Documents")."""


@frozen
class Row:
    """A request to a gateway with nothing in it, and what has to come of it.

    :ivar headers: added to Client-ID and X-Project-ID; ``None`` leaves one of them out.
    :ivar value: the body, where it is looked at.
    """

    section: str
    method: str
    target: str | bytes
    status: int
    title: str = ""
    body: Any = None
    headers: Mapping[str, str | None] = field(factory=dict)
    value: Any = None


Q = "/v2/queues/q"

ORDER = [
    # Each request breaks the rule named and all those that are checked after it.
    Row("1.2: routing", "FETCH", "/v2/nope", 400),
    Row("1.2: routing", "GET", "/v2/nope", 404, NO_ROUTE, headers={**NO_CLIENT, "Accept": "application/xml"}),
    Row("1.2: form", "POST", "/v2/queues/a@b/messages", 400, FORMS, b"a=b",
        {**NO_CLIENT, **NO_PROJECT, "Content-Type": FORM, "Accept": "application/xml"}),
    Row("1.2: Accept", "DELETE", "/v2/queues/a@b/claims", 406, NO_TYPE,
        headers={**NO_CLIENT, **NO_PROJECT, "Accept": "application/xml"}),
    Row("1.2: Client-ID", "DELETE", "/v2/queues/a@b/claims", 400, NO_HEADER, headers={**NO_CLIENT, **NO_PROJECT}),
    Row("1.2: Client-ID", "DELETE", "/v2/queues/a@b/claims", 400, NO_UUID, headers={"Client-ID": "x", **NO_PROJECT}),
    Row("1.2: project", "DELETE", "/v2/queues/a@b/claims", 400, NO_PROJECT_GIVEN, headers=NO_PROJECT),
    Row("1.2: project", "DELETE", "/v2/queues/a@b/claims", 400, "Empty project header not allowed",
        headers={"X-Project-ID": ""}),
    Row("1.2: name", "DELETE", "/v2/queues/a@b/claims", 400, NAME),
    Row("1.2: method", "DELETE", "/v2/queues/q/claims", 405, NO_METHOD, b"{"),
    Row("1.2: policy", "GET", "/v2/health", 403, "Not authorized"),
    Row("3.6: size before type", "PATCH", Q, 400, "", b"x" * 70000, {"Content-Type": "text/plain"}),
    Row("3.6: type before body", "PATCH", Q, 415, "415 Unsupported Media Type"),
    Row("3.6: body before queue", "PATCH", Q, 400, BODY, b'[{"op": "a", "path": "/metadata/k"}]', PATCH),
    Row("3.6: queue before keys", "PATCH", Q, 404, "Not found", b'[{"op": "remove", "path": "/metadata/k"}]', PATCH),
    Row("2.9: body before claim", "PATCH", f"{Q}/claims/a", 400, BODY, b"[]"),
    Row("2.9: ttl before claim", "PATCH", f"{Q}/claims/a", 400, RULE, b'{"ttl": 59}'),
]

MEDIA = [
    *(
        Row("1.6", "GET", "/v2/queues", 200, headers={"Accept": accept})
        for accept in (
            "", "*/*", "application/*", "application/json", "application/json;charset=utf-8", "APPLICATION/JSON",
            "text/html, application/json", "application/xml;q=0.9,*/*;q=0.1", "application/json; q=0.5",
        )
    ),
    *(
        Row("1.6", method, target, 406, NO_TYPE, headers={"Accept": accept, "X-Project-ID": None})
        for accept in ("application/xml", "text/html", "application/json;q=0", "application/json-home", "text/*")
        for method, target in (("GET", "/"), ("GET", "/v2/"), ("GET", "/v2/health"), ("GET", "/v2/queues"), ("PUT", Q))
    ),
    *(
        Row("1.6", "PUT", Q, 400, FORMS, b"{}", {"Content-Type": kind, **NO_CLIENT})
        for kind in (FORM, FORM.upper())
    ),
    Row("1.6: without a body", "PUT", Q, 201, headers={"Content-Type": FORM}),
    Row("1.6: Content-Length 0; appendix B", "PUT", Q, 201, "", b"", {"Content-Type": FORM}),
    Row("1.6: with parameters it is JSON", "PUT", Q, 201, "", b"{}", {"Content-Type": f"{FORM}; charset=utf-8"}),
    Row("1.6: any other type", "PUT", Q, 201, "", b"{}", {"Content-Type": "text/plain"}),
    *(
        Row("1.6; 3.6", "PATCH", Q, 415, "415 Unsupported Media Type", b"[]", {"Content-Type": kind})
        for kind in (None, "application/json", PATCH_TYPE.upper(), f"{PATCH_TYPE}; charset=utf-8")
    ),
]

CLIENTS = [
    *(
        Row("1.5", "GET", "/v2/queues", 200, headers={"Client-ID": client})
        for client in (
            CLIENT, CLIENT.upper(), CLIENT.replace("-", ""), "{" + CLIENT + "}", f"urn:uuid:{CLIENT}",
            f"URN:UUID:{CLIENT}",
        )
    ),
    *(
        Row("1.5", "GET", target, 400, NO_UUID, headers={"Client-ID": client})
        for client in ("", "0xdeadbeef", CLIENT[:-1], CLIENT + "0", "textid", "g" * 32, "1234567890")
        for target in ("/v2/queues", "/v2/ping", "/v2/", Q)
    ),
    *(
        Row("1.5", "GET", target, 400, NO_HEADER, headers=NO_CLIENT)
        for target in ("/v2/queues", "/v2/ping", "/v2/", "/v2/health", Q, f"{Q}/messages")
    ),
    *(
        Row("1.5", "GET", target, 400, NO_PROJECT_GIVEN, headers=NO_PROJECT)
        for target in ("/v2/queues", "/v2/ping", "/v2/", "/v2/health", Q, f"{Q}/messages")
    ),
    Row("1.5: long project", "GET", Q, 400, NAME, headers={"X-Project-ID": "p" * 257}),
    Row("1.5: spaces", "GET", Q, 200, headers={"X-Project-ID": "a project"}),
    Row("1.3: legacy", "GET", Q, 200, headers={"X-Project-ID": None, "X-Tenant-Id": "p"}),
    Row("1.3: legacy", "GET", Q, 200, headers={"X-TENANT-ID": "p"}),
    Row("1.3: role", "GET", "/v2/health", 200, headers={"X-ROLES": "member , ADMIN"}),
    Row("3.14", "GET", Q, 200, headers={"EXTRA-SPEC": "messagecode:123456"}),
]

PATHS = [
    *(
        Row("1.7", "GET", target, 404, NO_ROUTE, headers={**NO_CLIENT, **NO_PROJECT})
        for target in (
            "/v2", "/v1", "/v1.1", "/v2/nope", "/nope", f"{Q}/", f"{Q}/nope", f"{Q}/messages/a/b",
            f"{Q}/claims/a/", f"{Q}/stats/", "/v2/ping/", "/v2/queues/q/messages/a/", "//", "/V2/", "/v2/Queues",
        )
    ),
    Row("1.7: an empty id is the id of nothing", "GET", f"{Q}/messages/", 404),
    Row("1.7: empty name", "GET", "/v2/queues/", 400, NAME),
    Row("1.7: empty name", "PUT", "/v2/queues/", 400, NAME),
    Row("1.8", "DELETE", "/v2/queues/Nice-Bo@t", 400, NAME),
    Row("1.8: UTF-8", "PUT", "/v2/queues/%E6%B1%89%E5%AD%97", 400, NAME),
    Row("1.8: raw UTF-8", "PUT", "/v2/queues/汉".encode(), 400, NAME),
    Row("1.8: ISO-8859-1", "PUT", b"/v2/queues/\xe9", 400, NAME),
    Row("6.1 item 10", "PUT", "/v2/queues/a%0A", 400, NAME),
    Row("1.7: decoded", "PUT", "/v2/queues/%71", 201),
    Row("1.7: an encoded slash", "GET", "/v2%2Fqueues%2fq%2Fstats", 200),
    *(
        Row("1.7: HEAD", "HEAD", target, 405)
        for target in ("/", "/v2/", "/v2/queues", Q, f"{Q}/messages", f"{Q}/stats", "/v2/health", f"{Q}/claims/a")
    ),
    Row("2.1", "HEAD", "/v2/ping", 204),
    Row("2.1", "GET", "/v2/ping", 204),
    *(Row("1.7: other methods", method, "/", 405, NO_METHOD) for method in ("PUT", "POST", "DELETE", "PATCH")),
    Row("2.9: no listing", "GET", f"{Q}/claims", 405, NO_METHOD),
    *(Row("1.7: no method", method, Q, 400) for method in ("FETCH", "get", "X")),
    *(
        Row("1.7: OPTIONS fails", "OPTIONS", target, 200, headers=headers)
        for target, headers in (
            ("/v2/nope", {}), (Q, NO_CLIENT), (Q, NO_PROJECT), ("/v2/queues/a@b", {}), (Q, {"Accept": "text/html"}),
        )
    ),
]

_M = f"{Q}/messages"
_C = f"{Q}/claims"

QUERIES = [
    *(
        Row("1.9: dropped", "GET", f"/v2/queues?{query}", 200)
        for query in ("limit=", "limit", "detailed", "marker=", "&&", "=", "limit=&detailed=", "with_count=")
    ),
    *(
        Row("1.9: the last counts", "GET", f"/v2/queues?{query}", 200)
        for query in ("limit=x&limit=5", "limit=0&limit=5", "limit=x,5", "limit=%2B5", "limit=05")
    ),
    *(
        Row("1.9: integers", "GET", f"/v2/queues?limit={value}", 400, PARAMETER)
        for value in ("x", "1.0", "1_0", "0x1", "%D9%A3", "5,x", "1e1", "--1", "%20", "")
        if value
    ),
    *(
        Row("1.9: limit", "GET", f"{target}?limit={value}", 400, RULE)
        for value in ("0", "-1", "21", "1000000", "9" * 30, "-" + "9" * 5000)
        for target in ("/v2/queues", _M)
    ),
    *(
        Row("1.9: booleans", "GET", f"{target}={value}", 400, PARAMETER)
        for value in ("TRUE", "None", "2", "tRue", "null", "%20")
        for target in (f"{_M}?echo", f"{_M}?include_claimed", f"{_M}?include_delayed", "/v2/queues?detailed",
                       "/v2/queues?with_count")
    ),
    Row("1.9: ignored", "GET", f"{_M}?nonesuch=1&limit=3", 200),
    Row("1.9: claims", "POST", f"{_C}?limit=x", 400, PARAMETER),
    Row("2.7: neither", "DELETE", _M, 400, RULE),
    Row("2.7: blank ids", "DELETE", f"{_M}?ids=", 400, RULE),
    Row("2.7: a space", "DELETE", f"{_M}?pop=%20", 400, PARAMETER),
    Row("2.7: both", "DELETE", f"{_M}?ids=a&pop=1", 400, RULE),
    Row("2.5: blank ids", "GET", f"{_M}?ids=", 200, value={"messages": [], "links": []}),
    Row("2.5: 21 ids", "GET", f"{_M}?" + "&".join(["ids=a"] * 21), 400, RULE),
    Row("2.5: 21 ids", "GET", f"{_M}?ids=" + ",".join(["a"] * 21), 400, RULE),
    Row("6.3 item 25: 21 ids", "GET", f"{_M}?ids=" + "%2C".join(["a"] * 21), 400, RULE),
    Row("1.9: blank elements", "DELETE", f"{_M}?ids=,a,,b,", 204),
]

_NOT_JSON: tuple[bytes, ...] = (
    b"  ", b"\n", b".", b"{", b"[", b'{"a": 1,}', b"{'a': 1}", b'{"a": 1} x', b"123", b'"x"', b"null", b"true", b'"fail"',
    b"\xff\xfe", b'{"a": "\xff"}', b'{"a": "\n"}', b'{"a": 01}', b'{"a": .5}', b'{"a": 1.}', b"{a: 1}", b'{"a": "\\x"}',
    b"\x00",
)
_REFUSED_JSON: tuple[bytes, ...] = (
    b'\xef\xbb\xbf{"a": 1}', b'{"a": NaN}', b'{"a": Infinity}', b'{"a": -Infinity}', b'{"a": 1e400}',
)
_TOO_BIG = (
    b'{"k": 9223372036854775808}', b'{"k": -9223372036854775809}', b'{"k": [{"x": 99999999999999999999}]}',
    b'{"k": ' + b"9" * 5000 + b"}",
)

BODIES = [
    *(
        Row("1.10", method, target, 400, BODY, text, headers)
        for text in (*_NOT_JSON, *_REFUSED_JSON, *_TOO_BIG)
        for method, target, headers in (
            ("PUT", Q, {}),
            ("POST", _M, {}),
            ("POST", _C, {}),
            ("PATCH", f"{_C}/a", {}),
            ("POST", f"{Q}/purge", {}),
            ("PATCH", Q, PATCH),
        )
    ),
    *(Row("1.10: an array", method, target, 400, BODY, b"[]")
      for method, target in (("PUT", Q), ("POST", _C), ("PATCH", f"{_C}/a"), ("POST", f"{Q}/purge"))),
    *(
        Row("1.10: 64 bits", "PUT", Q, 201, "", b'{"k": %b}' % digits)
        for digits in (b"9223372036854775807", b"-9223372036854775808", b"1e300", b"12345678901234567890.5")
    ),
    Row("1.10: required", "POST", _M, 400, BODY),
    Row("1.10: required", "POST", _M, 400, BODY, b""),
    Row("1.10: required", "PATCH", f"{_C}/a", 400, BODY),
    Row("1.10: required", "PATCH", Q, 400, BODY, None, PATCH),
    Row("1.10: optional", "PUT", Q, 201, "", b""),
    Row("1.10: optional", "POST", _C, 204, "", b""),
    Row("1.10: optional", "POST", f"{Q}/purge", 204, "", b""),
    Row("2.6", "POST", _M, 400, RULE, b"[]"),
    Row("2.6", "POST", _M, 400, RULE, b"{}"),
    Row("2.6", "POST", _M, 400, RULE, b'{"messages": []}'),
    Row("6.2 item 17", "POST", _M, 400, "", b'["messages"]'),
    Row("1.10: the last counts", "POST", _M, 201, "", b'{"messages": 1, "messages": [{"body": 1, "ttl": 0, "ttl": 60}]}'),
    Row("1.10: nesting", "PUT", Q, 201, "", b'{"k": ' + b"[" * 120 + b"]" * 120 + b"}"),
    Row("1.10: nesting", "POST", _M, 201, "", b'{"messages": [{"body": ' + b"[" * 120 + b"]" * 120 + b"}]}"),
    *(
        Row("1.10: nesting too deep", method, target, 400, BODY, text)
        for method, target, text in (
            ("PUT", Q, b'{"k": ' + b"[" * 20000 + b"]" * 20000 + b"}"),
            ("POST", _M, b'{"messages": [{"body": ' + b"[" * 20000 + b"]" * 20000 + b"}]}"),
            ("POST", _M, b'{"messages": [{"body": ' + b'{"a":' * 20000 + b"1" + b"}" * 20000 + b"}]}"),
        )
    ),
    Row("2.11", "POST", f"{Q}/purge", 400, "", b"{}"),
    Row("2.11", "POST", f"{Q}/purge", 400, "", b'{"wrong": ["messages"]}'),
    Row("2.11: other keys", "POST", f"{Q}/purge", 204, "", b'{"x": 1, "resource_types": ["messages"]}'),
    Row("2.9: other keys", "POST", _C, 204, "", b'{"x": 1, "ttl": 60}'),
    Row("2.9", "PATCH", f"{_C}/a", 404, "Not found", b"{}"),
    *(
        Row("3.6", "PATCH", Q, 400, BODY, text, PATCH)
        for text in (
            b"{}", b"[1]", b"[[]]", b"[{}]", b'[{"op": "a", "path": "/metadata/k", "value": 1}]',
            b'[{"op": "add", "value": 1}]', b'[{"op": "add", "path": "/a", "value": 1}]',
            b'[{"op": "add", "path": "/metadata/a/b", "value": 1}]', b'[{"op": "add", "path": "metadata/a", "value": 1}]',
            b'[{"op": "add", "path": "/other/a", "value": 1}]', b'[{"op": "add", "path": "/metadata/k"}]',
            b'[{"op": "replace", "path": "/metadata/k"}]', b'[{"op": "add", "path": 1, "value": 1}]',
            b'[{"op": "add", "path": null, "value": 1}]', b'[{"op": ["add"], "path": "/metadata/k", "value": 1}]',
            b'[{"path": "/metadata/k", "value": 1}]', b'[{"op": "ADD", "path": "/metadata/k", "value": 1}]',
            b'[{"op": "move", "path": "/metadata/k", "from": "/metadata/l"}]',
            b'[{"op": "add", "path": "/metadata/~2", "value": 1}]', b'[{"op": "add", "path": "/metadata/a~", "value": 1}]',
            b'[{"op": "add", "path": " /metadata/k", "value": 1}]',
        )
    ),
]

MISC = [
    Row("1.14", "GET", "/", 300, headers={**NO_CLIENT, **NO_PROJECT}, value=VERSIONS),
    Row("2.4", "GET", Q, 200, value=RESERVED),
    Row("2.11", "GET", f"{Q}/stats", 200, value={"messages": {"claimed": 0, "free": 0, "total": 0}}),
    Row("2.3", "GET", "/v2/queues?marker=zzz", 200, value={"queues": [], "links": []}),
    Row("2.3: no count of nothing", "GET", "/v2/queues?with_count=true", 200),
    Row("2.5", "GET", f"{_M}?marker=sfhlsfdjh2048", 200, value={"messages": [], "links": []}),
    Row("2.7", "DELETE", f"{_M}?pop=1", 200, value={"messages": []}),
]


class _Rules:
    """Mixed into a case with a store."""

    async def connection(self: Any, limits: Limits | None = None, **options: Any) -> HttpConnection:
        http: HttpConnection = await self.start(await self.a_store(), limits, **options).http()
        return http

    async def rows(self: Any, rows: list[Row]) -> None:
        """Each row on a store without queues; all failures are told at once."""
        http = await self.connection()
        wrong = []
        for number, row in enumerate(rows):
            # A project for each row, so that no row sees another's queues.
            headers: dict[str, str | None] = {"X-Project-ID": f"{PROJECT}-{number}", **row.headers}
            response = await http.ask(row.method, row.target, row.body, headers)
            try:
                self.judge(row, response)
            except AssertionError as error:
                shown = row.body if not isinstance(row.body, bytes) else row.body[:60]
                wrong.append(f"{row.section}: {row.method} {row.target!r:.80} {shown!r} {row.headers}: {str(error)[:300]}")
            if response.header("Connection") == "close":
                await http.close()
                http = await self._gateways[-1].http()
        self.assertEqual(wrong, [], "\n" + "\n".join(wrong))

    def judge(self: Any, row: Row, response: Response) -> None:
        """Compare a response with a row."""
        self.assertEqual(response.status, row.status, response)
        self.assertTrue(REQUEST_ID.fullmatch(response.header("x-openstack-request-id") or ""), response)
        if row.method == "HEAD":
            self.assertEqual(response.body, b"")
        elif row.title:
            outcome = http_error(response)
            self.assertEqual(outcome.title, row.title, response)
            if row.section == "1.10" and row.body in _NOT_JSON:
                self.assertIn("body could not be parsed", outcome.text)
        if row.status == 405:
            self.assertIn("OPTIONS", (response.header("Allow") or "").split(", "))
        if row.value is not None:
            self.assertEqual(response.json, row.value)

    async def test_order(self) -> None:
        """API reference, "Order of checks"."""
        await self.rows(ORDER)

    async def test_media(self) -> None:
        """API reference, "Media types"."""
        await self.rows(MEDIA)

    async def test_clients(self) -> None:
        """API reference, "Client-ID and project id"."""
        await self.rows(CLIENTS)

    async def test_paths(self) -> None:
        """API reference, "Methods, unknown paths, trailing slashes" and "Names"."""
        await self.rows(PATHS)

    async def test_bare(self: Any) -> None:
        """An unknown path is 404 to whoever sends no header at all (appendix B)."""
        http = await self.connection()
        response = await http.ask("GET", "/v2/nope", bare=True)
        self.assertEqual((response.status, response.json), (404, {"title": NO_ROUTE}))

    async def test_queries(self) -> None:
        """API reference, "Query strings"."""
        await self.rows(QUERIES)

    async def test_bodies(self) -> None:
        """API reference, "JSON bodies"."""
        await self.rows(BODIES)

    async def test_documents_and_nothing(self) -> None:
        """API reference, "Documents"; what is shown where there is nothing."""
        await self.rows(MISC)

    async def test_client_ids_off(self: Any) -> None:
        """In mode off any text of 10 to 36 characters is a client, and has its own echo (API reference, 1.5)."""
        http = await self.connection(client_ids=ClientIds(strict=False))
        for client, status in (
            ("1234567890", 200), ("1" * 35, 200), ("1" * 36, 200), ("1" * 37, 400), ("1" * 9, 400), ("", 400),
        ):
            response = await http.ask("GET", "/v2/queues", None, {"Client-ID": client})
            self.assertEqual(response.status, status, client)
            if status == 400:
                self.assertEqual(response.title, NO_UUID)
        body = {"messages": [{"body": 1}]}
        self.assertEqual((await http.ask("POST", _M, body, {"Client-ID": "a client, mine"})).status, 201)
        for client, seen in (("a client, mine", 0), ("A client, mine", 1), (CLIENT, 1)):
            page = (await http.ask("GET", _M, None, {"Client-ID": client})).json
            self.assertEqual(len(page["messages"]), seen, client)

    async def test_home(self: Any) -> None:
        """The home document has every relation with its template, methods and variables (API reference, 1.14)."""
        http = await self.connection()
        response = await http.ask("GET", "/v2/")
        self.assertEqual(response.status, 200)
        self.assertEqual(response.header("Content-Type"), "application/json-home")
        self.assertEqual(response.header("Cache-Control"), "max-age=86400")
        self.assertEqual(set(response.json), {"resources"})
        resources = response.json["resources"]
        for relation, (template, allow) in HOME.items():
            found = resources[relation]
            self.assertEqual(found["href-template"], template)
            self.assertEqual(sorted(found["hints"]["allow"]), sorted(allow))
            self.assertEqual(found["hints"]["formats"], {"application/json": {}})
            if allow in (["POST"], ["PATCH"]):
                self.assertEqual(found["hints"]["accept-post"], ["application/json"])
            for name, parameter in found["href-vars"].items():
                self.assertIn(name, template)
                self.assertEqual(parameter, f"param/{name}")
            variables = template.replace("{?", "{").replace("{", ",").replace("}", ",").split(",")[1:]
            names = {name for name in variables if name and "/" not in name}
            self.assertEqual(set(found["href-vars"]), names, template)
        self.assertEqual(resources["rel/health"]["href"], "/v2/health")

    async def test_no_admin(self: Any) -> None:
        """Without admin mode health is no route and no relation (API reference, 2.2)."""
        http = await self.connection(admin_mode=False)
        self.assertEqual((await http.ask("GET", "/v2/health", None, {"X-Roles": "admin"})).title, NO_ROUTE)
        self.assertNotIn("rel/health", (await http.ask("GET", "/v2/")).json["resources"])

    async def test_health(self: Any) -> None:
        """Health runs eight operations and leaves nothing behind (API reference, 3.13)."""
        http = await self.connection()
        await http.ask("POST", _M, {"messages": [{"body": 1}]})
        self.clock.advance(30)
        for _ in range(2):
            response = await http.ask("GET", "/v2/health", None, {"X-Roles": "admin"})
            self.assertEqual(response.status, 200)
            report = response.json
            self.assertEqual(set(report), {"storage_reachable", "message_volume", "operation_status"})
            self.assertEqual(report["storage_reachable"], True)
            self.assertEqual(report["message_volume"], {"free": 1, "claimed": 0, "total": 1})
            self.assertEqual(
                set(report["operation_status"]),
                {
                    *("create_queue", "post_messages", "claim_messages", "list_messages", "delete_messages"),
                    *("delete_claim", "bulk_delete_messages", "delete_queue"),
                },
            )
            for outcome in report["operation_status"].values():
                self.assertEqual((outcome["succeeded"], outcome["ref"]), (True, None))
                self.assertIsInstance(outcome["seconds"], float)

    async def test_allow(self: Any) -> None:
        """OPTIONS on a known route lists the methods, and 405 lists the same ones (API reference, 1.7)."""
        http = await self.connection()
        for target, methods in {
            "/": "GET",
            "/v2/": "GET",
            "/v2/ping": "GET HEAD",
            "/v2/health": "GET",
            "/v2/queues": "GET",
            Q: "DELETE GET PATCH PUT",
            f"{Q}/stats": "GET",
            f"{Q}/purge": "POST",
            _M: "DELETE GET POST",
            f"{_M}/a": "DELETE GET",
            _C: "POST",
            f"{_C}/a": "DELETE GET PATCH",
        }.items():
            wanted = {*methods.split(), "OPTIONS"}
            options = await http.ask("OPTIONS", target)
            self.assertEqual((options.status, options.body), (200, b""))
            self.assertEqual(set(options.header("Allow").split(", ")) - {"OPTIONS"}, wanted - {"OPTIONS"}, target)
            for method in {"GET", "PUT", "POST", "DELETE", "PATCH", "HEAD"} - wanted:
                response = await http.ask(method, target)
                self.assertEqual(response.status, 405, (method, target))
                self.assertEqual(set(response.header("Allow").split(", ")), wanted)
                if method != "HEAD":
                    self.assertEqual(response.json, {"title": NO_METHOD})

    async def test_request_ids(self: Any) -> None:
        """Every response has a request id of its own; the client's is never echoed (API reference, 1.4)."""
        http = await self.connection()
        mine = "req-11111111-2222-4333-8444-555555555555"
        seen = set()
        for method, target in (
            ("GET", Q), ("GET", "/"), ("GET", "/v2/nope"), ("PUT", Q), ("HEAD", Q), ("OPTIONS", Q), ("POST", _M),
            ("OPTIONS", "/v2/nope"), ("FETCH", Q),
        ):
            response = await http.ask(method, target, None, {"X-Openstack-Request-Id": mine})
            found = response.header("x-openstack-request-id")
            self.assertTrue(REQUEST_ID.fullmatch(found), found)
            seen.add(found)
        self.assertEqual(len(seen), 9)
        self.assertNotIn(mine, seen)

    async def test_pages_of_messages(self: Any) -> None:
        """Ten messages by three are four pages and an empty one; links keep what was asked (API reference, 1.13)."""
        http = await self.connection()
        await http.ask("POST", _M, {"messages": [{"body": n} for n in range(10)]})
        href, sizes, seen = f"{_M}?limit=3&echo=true", [], []
        for _ in range(5):
            page = (await http.ask("GET", href)).json
            sizes.append(len(page["messages"]))
            seen += [message["body"] for message in page["messages"]]
            if page["links"]:
                (link,) = page["links"]
                self.assertEqual(link["rel"], "next")
                href = link["href"]
                asked = parse_qs(urlsplit(href).query)
                self.assertEqual(urlsplit(href).path, _M)
                self.assertEqual(asked.pop("marker"), [page["messages"][-1]["id"]])
                self.assertEqual(asked, {"limit": ["3"], "echo": ["true"], "include_delayed": ["true"]})
        self.assertEqual(sizes, [3, 3, 3, 1, 0])
        self.assertEqual(seen, list(range(10)))
        self.assertEqual(page["links"], [])

    async def test_links_repeat_parsed_values(self: Any) -> None:
        """Links repeat known parameters as they were understood, and no others (API reference, 1.13 and 2.5)."""
        http = await self.connection()
        await http.ask("PUT", Q, {"_default_message_delay": 1})
        await http.ask("POST", _M, {"messages": [{"body": n} for n in range(3)]})
        self.clock.advance(1)
        page = (await http.ask("GET", f"{_M}?limit=%2B02&echo=yes&include_claimed=f&x=1&marker=")).json
        asked = parse_qs(urlsplit(page["links"][0]["href"]).query)
        self.assertEqual(asked.pop("marker"), [page["messages"][-1]["id"]])
        self.assertEqual(asked, {"limit": ["2"], "echo": ["true"], "include_claimed": ["false"]})

    async def test_links_of_queues(self: Any) -> None:
        """The listing of queues pages by name; its links leave filters out (API reference, 1.13 and 2.3)."""
        http = await self.connection()
        for number in range(5):
            await http.ask("PUT", f"/v2/queues/q{number}", {"node": number % 2, "text": "34", "deep": {"x": number}})
        page = (await http.ask("GET", "/v2/queues?limit=2&detailed=1&with_count=t&node=1")).json
        self.assertEqual([queue["name"] for queue in page["queues"]], ["q1", "q3"])
        self.assertEqual(page["count"], 5)
        self.assertEqual(page["queues"][0]["metadata"], (await http.ask("GET", "/v2/queues/q1")).json)
        asked = parse_qs(urlsplit(page["links"][0]["href"]).query)
        self.assertEqual(asked, {"limit": ["2"], "detailed": ["true"], "with_count": ["true"], "marker": ["q3"]})
        for query, names in {
            "node=0": "q0 q2 q4",
            "node=0&name=4": "q4",
            "node=0&name=4&deep.x=4": "q4",
            "deep.x=3": "q3",
            "text=34": "",  # reads as a number, and the text is none
            "name=q.": "",
            "name=3": "q3",
            "name=": "q0 q1 q2 q3 q4",
            "nonesuch=1": "",
            "_default_message_ttl=3600": "",  # defaults take no part
            "node=1&marker=q1": "q3",
        }.items():
            page = (await http.ask("GET", f"/v2/queues?{query}")).json
            self.assertEqual([queue["name"] for queue in page["queues"]], names.split(), query)
            self.assertNotIn("count", page)

    async def test_ids_in_all_forms(self: Any) -> None:
        """Ids come repeated, separated by commas in the open or encoded, or both (API reference, 1.9, 6.3 item 25)."""
        http = await self.connection()
        posted = await http.ask("POST", _M, {"messages": [{"body": n} for n in range(3)]})
        a, b, c = posted.header("Location").partition("ids=")[2].split(",")
        for query in (f"ids={a},{b},{c}", f"ids={a}&ids={b}&ids={c}", f"ids={a},{b}&ids={c},", f"ids={a}%2C{b},,{c}"):
            page = (await http.ask("GET", f"{_M}?{query}")).json
            self.assertEqual(set(page), {"messages"})
            self.assertEqual([message["id"] for message in page["messages"]], [a, b, c], query)

    async def test_ids_of_claims_in_all_forms(self: Any) -> None:
        """So do the ids of claims, where deleting asks for them; blank elements are dropped (appendix B)."""
        http = await self.connection(Limits(delete_needs_claim_id=True))
        for form in ("claim_ids={},{},", "claim_ids={}&claim_ids={}", "claim_ids={}%2C,{}"):
            await http.ask("POST", _M, {"messages": [{"body": n} for n in range(2)]})
            messages, claims = [], []
            for _ in range(2):
                claimed = await http.ask("POST", f"{_C}?limit=1")
                messages += [message["id"] for message in claimed.json["messages"]]
                claims.append(claimed.header("Location").rpartition("/")[2])
            response = await http.ask("DELETE", f"{_M}?ids={','.join(messages)}&{form.format(*claims)}")
            self.assertEqual(response.status, 204, form)
            self.assertEqual((await http.ask("GET", f"{Q}/stats")).json["messages"]["total"], 0)

    async def test_get_ignores_claim(self: Any) -> None:
        """A claim given with GET is ignored; the href of an unclaimed message is its path (API reference, 2.8)."""
        http = await self.connection()
        posted = await http.ask("POST", _M, {"messages": [{"body": 1}]})
        (path,) = posted.json["resources"]
        response = await http.ask("GET", f"{path}?claim_id=whatever")
        self.assertEqual((response.status, response.json["href"]), (200, path))

    async def test_hrefs_of_claims_work(self: Any) -> None:
        """The href of a claimed message deletes it (API reference, 2.9)."""
        http = await self.connection()
        await http.ask("POST", _M, {"messages": [{"body": 1}, {"body": 2}]})
        claimed = await http.ask("POST", _C, {"ttl": 60, "grace": 60})
        hrefs = [message["href"] for message in claimed.json["messages"]]
        self.assertEqual({href.rpartition("=")[2] for href in hrefs}, {claimed.header("Location").rpartition("/")[2]})
        self.assertEqual([(await http.ask("DELETE", href)).status for href in hrefs], [204, 204])
        self.assertEqual((await http.ask("GET", f"{Q}/stats")).json["messages"]["total"], 0)

    async def patch(self: Any, http: HttpConnection, *changes: Any) -> Response:
        """Change the metadata of the queue."""
        return await http.ask("PATCH", Q, list(changes), PATCH)

    async def test_patch(self: Any) -> None:
        """Changes are applied in order, all or none, and the result is shown with all reserved keys (API reference, 3.6)."""
        http = await self.connection()
        await http.ask("PUT", Q, {"key1": 1, "key2": [1]})
        both = {**RESERVED, "key1": 1, "key2": [1]}

        def change(op: str, key: str, *value: Any) -> dict[str, Any]:
            return {"op": op, "path": f"/metadata/{key}", **({"value": value[0]} if value else {})}

        response = await self.patch(http)
        self.assertEqual((response.status, response.json), (200, both))
        self.assertEqual(response.header("Content-Type"), "application/json")
        for changes, status in (
            ([change("replace", "key3", 1)], 409),
            ([change("remove", "key3")], 409),
            ([change("add", "key3", 1), change("remove", "key4")], 409),
            ([change("replace", "_flavor", "x")], 409),
            ([change("replace", "_retry_policy", {})], 409),
            ([change("add", "_default_message_ttl", 59)], 400),
            ([change("add", "_max_messages_post_size", "1")], 400),
            ([change("add", "_retry_policy", 1)], 400),
            ([change("add", "key3", 1), {"op": "add", "path": "/a", "value": 1}], 400),
        ):
            response = await self.patch(http, *changes)
            self.assertEqual(response.status, status, changes)
            self.assertEqual(response.title, BODY if status == 400 else "Resource conflict")
            self.assertEqual((await http.ask("GET", Q)).json, both)
        response = await self.patch(
            http,
            change("remove", "_default_message_ttl"),
            change("replace", "_default_message_delay", 7),
            change("replace", "key1", {"x": 1}),
            change("add", "key1", None),
            change("remove", "key2", "ignored"),
            {"op": "add", "path": "/MetaData/a~1b~0c", "value": "\u20ac"},
            change("add", "key5", 1),
            change("remove", "key5"),
        )
        expected = {**RESERVED, "_default_message_delay": 7, "key1": None, "a/b~c": "\u20ac"}
        self.assertEqual((response.status, response.json), (200, expected))
        self.assertEqual((await http.ask("GET", Q)).json, expected)

    async def test_metadata_size(self: Any) -> None:
        """A body as large as the limit passes, one more byte does not (API reference, 1.10)."""
        http = await self.connection(Limits(queue_metadata_max=64, post_size_max=256))
        for method, target, size, headers, good in (
            ("PUT", Q, 64, {}, 201),
            ("PATCH", Q, 64, PATCH, 200),
            ("POST", _M, 256, {}, 201),
        ):
            text = {
                "PUT": b'{"k": "%b"}',
                "PATCH": b'[{"op":"add","path":"/metadata/k","value":"%b"}]',
                "POST": b'{"messages": [{"body": "%b"}]}',
            }[method]
            for more, status in ((0, good), (1, 400), (7 * size, 400), (99 * size, 400)):
                body = text % (b"x" * (size + more - len(text) + 2))
                self.assertEqual(len(body), size + more)
                response = await http.ask(method, target, body, headers)
                self.assertEqual(response.status, status, (method, more))
                if status == 400:
                    self.assertEqual(response.title, RULE)

    async def test_no_unescaped(self: Any) -> None:
        """JSON is UTF-8, and what is not ASCII is not escaped by the gateway (API reference, 1.1)."""
        http = await self.connection()
        await http.ask("PUT", Q, '{"k": "\\u20ac", "\u00e9": 1}'.encode())
        self.assertIn("\u00e9".encode(), (await http.ask("GET", Q)).body)
        self.assertEqual(json.loads((await http.ask("GET", Q)).body)["k"], "\u20ac")

    async def test_protection(self: Any) -> None:
        """Every answer, refusals included, keeps browsers from guessing, framing and telling, and caches from keeping."""
        http = await self.connection(cors_origins=["https://console.example"])
        preflight = {"Origin": "https://console.example", "Access-Control-Request-Method": "GET"}
        for method, target, headers, status, kept in (
            ("GET", "/", {}, 300, "no-store"),
            ("GET", "/v2/", {}, 200, "max-age=86400"),
            ("GET", Q, {}, 200, "no-store"),
            ("PUT", Q, {}, 201, "no-store"),
            ("GET", "/v2/ping", {}, 204, "no-store"),
            ("GET", "/nope", {}, 404, "no-store"),
            ("PATCH", "/v2/queues", {}, 405, "no-store"),
            ("GET", Q, {"Client-ID": None}, 400, "no-store"),
            ("OPTIONS", Q, preflight, 200, "no-store"),
            ("GET", "/" + "a" * 9000, {}, 414, "no-store"),
        ):
            response = await http.ask(method, target, None, headers)
            self.assertEqual(response.status, status, target)
            for name, value in {
                "X-Content-Type-Options": "nosniff",
                "X-Frame-Options": "DENY",
                "Referrer-Policy": "no-referrer",
                "Cache-Control": kept,
            }.items():
                self.assertEqual(response.header(name), value, target)

    async def test_cors_of_what_cannot_be_read(self: Any) -> None:
        """An allowed origin may read how a request was refused of which no operation knew, where it is known who asks."""
        gateway = self.start(await self.a_store(), cors_origins=["https://console.example"])
        post = b"POST /v2/queues/q/messages HTTP/1.1\r\nHost: a\r\n"
        for status, first, body in (
            (400, b"GET / HTTP/1.1\r\nHost: a\r\nbad header\r\n", b""),
            (400, post + b"Content-Length: 5\r\nTransfer-Encoding: chunked\r\n", b"0\r\n\r\n"),
            (400, post + b"Transfer-Encoding: chunked\r\n", b"x\r\n"),
            (414, b"GET /%b HTTP/1.1\r\nHost: a\r\n" % (b"x" * 8192), b""),
            (417, post + b"Content-Length: 2\r\nExpect: more\r\n", b"{}"),
            (431, b"GET / HTTP/1.1\r\nHost: a\r\n" + b"A: b\r\n" * 101, b""),
            (501, post + b"Transfer-Encoding: gzip, chunked\r\n", b"0\r\n\r\n"),
        ):
            for origin, told in (
                (b"Origin: https://console.example\r\n", "https://console.example"),
                (b"ORIGIN:https://console.example\r\n", "https://console.example"),
                (b"Origin: https://evil.example\r\n", None),
                (b"Origin: https://evil.example\r\nOrigin: https://console.example\r\n", None),
                (b"X-Origin: https://console.example\r\n", None),
            ):
                raw = await gateway.raw()
                raw.write(first + origin + b"\r\n" + body + b"GET / HTTP/1.1\r\nOrigin: https://other.example\r\n\r\n")
                response = await raw.response()
                self.assertEqual((response.status, response.header("Access-Control-Allow-Origin")), (status, told), (first[:80], origin))
                self.assertIsNotNone(response.header("x-openstack-request-id"))

    async def test_cors(self: Any) -> None:
        """Allowed origins get their headers, errors included; others and bad preflights get none (API reference, 1.15)."""
        http = await self.connection(cors_origins=["https://console.example"])
        allowed = {"Origin": "https://console.example"}
        for target, status in ((Q, 200), ("/v2/nope", 404)):
            response = await http.ask("GET", target, None, allowed)
            self.assertEqual(response.status, status)
            self.assertEqual(response.header("Access-Control-Allow-Origin"), "https://console.example")
            self.assertEqual(response.header("Access-Control-Allow-Credentials"), "true")
            self.assertIn("X-OpenStack-Request-ID", response.header("Access-Control-Expose-Headers"))
            self.assertIn("Origin", response.header("Vary"))
            other = await http.ask("GET", target, None, {"Origin": "https://evil.example"})
            self.assertIsNone(other.header("Access-Control-Allow-Origin"))
        asked = {
            **allowed,
            "Access-Control-Request-Method": "PUT",
            "Access-Control-Request-Headers": "client-id, X-Project-ID, content-type",
        }
        response = await http.ask("OPTIONS", Q, None, asked, bare=True)
        self.assertEqual((response.status, response.body), (200, b""))
        for name, value in {
            "Allow-Origin": "https://console.example",
            "Allow-Credentials": "true",
            "Max-Age": "3600",
            "Allow-Methods": "PUT",
            "Allow-Headers": "client-id, X-Project-ID, content-type",
        }.items():
            self.assertEqual(response.header(f"Access-Control-{name}"), value)
        for name, value in (
            ("Origin", "https://evil.example"),
            ("Access-Control-Request-Method", "TRACE"),
            ("Access-Control-Request-Headers", "x-evil"),
        ):
            response = await http.ask("OPTIONS", Q, None, {**asked, name: value}, bare=True)
            self.assertEqual(response.status, 200)
            self.assertIsNone(response.header("Access-Control-Allow-Origin"))


class MemoryTests(_Rules, OnMemory):
    """Over memory."""


class RedisTests(_Rules, OnRedis):
    """Over Redis."""
