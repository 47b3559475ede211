"""Queues over HTTP."""

from __future__ import annotations

from typing import Any

from twisted.internet.task import Clock

from tests.helpers import HttpApi, Response
from tests.transport.http.base import SEVEN, SiteCase
from zaqar_gateway.limits import Limits
from zaqar_gateway.storage.memory import MemoryStorage

PATCH_TYPE = "application/openstack-messaging-v2.0-json-patch"


class QueueTests(SiteCase):
    """One queue."""

    def patch(self, body: Any, path: str = "/v2/queues/q", kind: str | None = PATCH_TYPE) -> Response:
        """PATCH with the media type that it needs."""
        return self.api("PATCH", path, body, {"Content-Type": kind})

    def test_create(self) -> None:
        """Creating is 201, creating again 204; both point at the queue and have no body."""
        for status in (201, 204):
            response = self.api("PUT", "/v2/queues/q")
            self.assertEqual((response.status, response.body), (status, b""))
            self.assertEqual(response.header("Location"), "/v2/queues/q")

    def test_existing_keeps_its_metadata(self) -> None:
        """PUT of an existing queue checks its body and ignores it."""
        self.api("PUT", "/v2/queues/q", {"messages": {"ttl": 600}})
        self.assertEqual(self.api("PUT", "/v2/queues/q", {"other": 1}).status, 204)
        self.assertEqual(self.api("GET", "/v2/queues/q").json, {"messages": {"ttl": 600}, **SEVEN})
        self.assertRefused(self.api("PUT", "/v2/queues/q", {"_default_message_ttl": 0}), 400, "Invalid API request")

    def test_rings(self) -> None:
        """A change that would bring dead letters back to the queue is refused, and the way is told."""
        dead = {"_max_claim_count": 1, "_dead_letter_queue": "b"}
        self.api("PUT", "/v2/queues/a", dead)
        self.api("PUT", "/v2/queues/b", {"_max_claim_count": 1})
        change = [{"op": "add", "path": "/metadata/_dead_letter_queue", "value": "a"}]
        response = self.patch(change, "/v2/queues/b")
        self.assertRefused(response, 400, "Invalid request body")
        self.assertIn("b to a to b", response.json["description"])
        self.assertEqual(self.api("GET", "/v2/queues/b").json["_dead_letter_queue"], None)

    def test_missing(self) -> None:
        """A missing queue shows the reserved metadata, can be deleted, and has no messages."""
        self.assertEqual(self.api("GET", "/v2/queues/q").json, SEVEN)
        self.assertEqual(self.api("DELETE", "/v2/queues/q").status, 204)
        self.assertEqual(self.api("POST", "/v2/queues/q/purge").status, 204)
        response = self.api("GET", "/v2/queues/q/stats")
        self.assertEqual(response.status, 200)
        self.assertEqual(response.json, {"messages": {"claimed": 0, "free": 0, "total": 0}})

    def test_bad_bodies(self) -> None:
        """What is no JSON object is refused; what cannot be parsed is said to be so."""
        for body, parsed in (
            (b"  ", False),
            (b".", False),
            (b"{", False),
            (b'"x"', False),
            (b"123", False),
            (b"null", False),
            (b'{"a": "\xff"}', False),
            (b"\xef\xbb\xbf{}", False),
            (b'{"a": NaN}', False),
            (b'{"a": 1e400}', True),
            (b"[]", True),
            (b'{"a": 9223372036854775808}', True),
            (b'{"a": [-9223372036854775809]}', True),
        ):
            response = self.api("PUT", "/v2/queues/q", body)
            self.assertRefused(response, 400, "Invalid request body")
            if not parsed:
                self.assertIn("body could not be parsed", response.json["description"], body)
        self.assertEqual(self.api("GET", "/v2/queues").json["queues"], [])

    def test_size(self) -> None:
        """Metadata may have as many bytes as the limit and not one more."""
        api = HttpApi(MemoryStorage(Clock()), Limits(queue_metadata_max=64))
        body = b'{"a": "%s"}' % (b"x" * 55)
        self.assertEqual(len(body), 64)
        self.assertEqual(api("PUT", "/v2/queues/q", body).status, 201)
        response = api("PUT", "/v2/queues/q", body + b" ")
        self.assertRefused(response, 400, "Invalid API request")
        self.assertEqual(response.json["description"], "The body has 65 bytes; at most 64 are allowed.")

    def test_size_of_a_result(self) -> None:
        """Changes that would make metadata larger than the limit are refused as all that is wrong with a change is."""
        api = HttpApi(MemoryStorage(Clock()), Limits(queue_metadata_max=64))
        self.assertEqual(api("PUT", "/v2/queues/q", {"a": "x" * 50}).status, 201)
        change = [{"op": "add", "path": "/metadata/b", "value": 100}]
        response = api("PATCH", "/v2/queues/q", change, {"Content-Type": PATCH_TYPE})
        self.assertRefused(response, 400, "Invalid request body")
        self.assertIn("at most 64", response.json["description"])

    def test_non_ascii(self) -> None:
        """Text of any language comes back unescaped."""
        self.api("PUT", "/v2/queues/q", '{"k": "ж"}'.encode())
        self.assertIn('"ж"'.encode(), self.api("GET", "/v2/queues/q").body)

    def test_patch(self) -> None:
        """Changes are applied in order, and the result is returned as GET shows it."""
        self.api("PUT", "/v2/queues/q", {"a": 1})
        response = self.patch(
            [
                {"op": "add", "path": "/metadata/b", "value": [2]},
                {"op": "replace", "path": "/metadata/_default_message_ttl", "value": 60},
                {"op": "remove", "path": "/metadata/a"},
            ]
        )
        self.assertEqual(response.status, 200)
        self.assertEqual(response.json, {**SEVEN, "b": [2], "_default_message_ttl": 60})
        self.assertEqual(self.api("GET", "/v2/queues/q").json, response.json)
        self.assertEqual(self.patch([]).json, response.json)

    def test_patch_bare_reserved_key(self) -> None:
        """A reserved key that is not stored can be removed."""
        self.api("PUT", "/v2/queues/q")
        response = self.patch([{"op": "remove", "path": "/metadata/_default_message_ttl"}])
        self.assertEqual((response.status, response.json), (200, SEVEN))

    def test_patch_errors_in_order(self) -> None:
        """Size, media type, emptiness, syntax, operations, the queue, its keys."""
        change = [{"op": "replace", "path": "/metadata/key3", "value": 1}]
        self.assertRefused(self.patch(b"x" * 65537, kind="text/plain"), 400, "Invalid API request")
        for kind in (None, "application/json", PATCH_TYPE.upper(), PATCH_TYPE + "; charset=utf-8"):
            response = self.patch(None, kind=kind)
            self.assertRefused(response, 415, "415 Unsupported Media Type")
            self.assertIn(PATCH_TYPE, response.json["description"])
            self.assertIsNone(response.header("Accept-Patch"))
        self.assertRefused(self.patch(None), 400, "Invalid request body")
        self.assertRefused(self.patch(b"["), 400, "Invalid request body")
        documents: tuple[Any, ...] = (
            {},
            [1],
            [{"op": "a", "path": "/metadata/x", "value": 1}],
            [{"op": "add", "path": "/a", "value": 1}],
        )
        for document in documents:
            self.assertRefused(self.patch(document), 400, "Invalid request body")
        self.assertRefused(self.patch(change), 404, "Not found")
        self.api("PUT", "/v2/queues/q")
        self.assertRefused(self.patch(change), 409, "Resource conflict")
        change[0]["path"] = "/metadata/_max_messages_post_size"
        change[0]["value"] = 0
        self.assertRefused(self.patch(change), 400, "Invalid request body")

    def test_purge(self) -> None:
        """Purging takes the types from the body, all of them without one."""
        post = {"messages": [{"body": 1}]}
        purges: tuple[tuple[Any, int], ...] = (
            (None, 0),
            ({"resource_types": ["messages"], "x": 1}, 0),
            ({"resource_types": []}, 1),
        )
        for body, left in purges:
            self.api("POST", "/v2/queues/q/messages", post)
            response = self.api("POST", "/v2/queues/q/purge", body)
            self.assertEqual((response.status, response.body), (204, b""))
            self.assertEqual(self.api("GET", "/v2/queues/q/stats").json["messages"]["total"], left)
        refused: tuple[tuple[Any, str], ...] = (
            ({}, "Invalid request body"),
            ({"resource_types": "messages"}, "Invalid request body"),
            ({"resource_types": None}, "Invalid request body"),
            ([], "Invalid request body"),
            ({"resource_types": ["claims"]}, "Invalid API request"),
        )
        for body, title in refused:
            self.assertRefused(self.api("POST", "/v2/queues/q/purge", body), 400, title)

    def test_stats(self) -> None:
        """Stats count and show the oldest and the newest message."""
        clock = Clock()
        clock.advance(1767323045.25)
        api = HttpApi(MemoryStorage(clock))
        ids = []
        for age in (38, 2, 0):
            location = api("POST", "/v2/queues/q/messages", {"messages": [{"body": 1}]}).header("Location")
            assert location is not None
            ids.append(location.rpartition("=")[2])
            clock.advance(age)
        api("POST", "/v2/queues/q/claims?limit=1")
        self.assertEqual(
            api("GET", "/v2/queues/q/stats").json,
            {
                "messages": {
                    "claimed": 1,
                    "free": 2,
                    "total": 3,
                    "oldest": {"href": f"/v2/queues/q/messages/{ids[0]}", "age": 40, "created": "2026-01-02T03:04:05Z"},
                    "newest": {"href": f"/v2/queues/q/messages/{ids[2]}", "age": 0, "created": "2026-01-02T03:04:45Z"},
                }
            },
        )


class ListingTests(SiteCase):
    """The listing of queues."""

    def setUp(self) -> None:
        super().setUp()
        for number, name in enumerate(("a1", "b", "a.2")):
            self.api("PUT", f"/v2/queues/{name}", {"node": number, "text": str(number), "deep": {"x": 7}})

    def names(self, query: str) -> list[str]:
        """The names on the first page."""
        response = self.api("GET", "/v2/queues" + query)
        self.assertEqual(response.status, 200, response.body)
        return [queue["name"] for queue in response.json["queues"]]

    def test_plain(self) -> None:
        """Queues are in the order of their names, with a link even on the last page and none on an empty one."""
        response = self.api("GET", "/v2/queues")
        self.assertEqual(
            response.json,
            {
                "queues": [{"name": name, "href": f"/v2/queues/{name}"} for name in ("a.2", "a1", "b")],
                "links": [{"rel": "next", "href": "/v2/queues?marker=b"}],
            },
        )
        self.assertEqual(self.api("GET", "/v2/queues?marker=zzz").json, {"queues": [], "links": []})

    def test_detailed(self) -> None:
        """Detailed queues show what GET shows."""
        for queue in self.api("GET", "/v2/queues?detailed=True").json["queues"]:
            self.assertEqual(queue["metadata"], self.api("GET", queue["href"]).json)

    def test_link(self) -> None:
        """The link repeats what was asked, in a canonical form, and no filter."""
        link = self.api("GET", "/v2/queues?limit=%2B01&detailed=y&with_count=0&name=a&node=2&marker=A").json["links"]
        (href,) = (element["href"] for element in link)
        path, _, query = href.partition("?")
        self.assertEqual(path, "/v2/queues")
        self.assertEqual(
            sorted(query.split("&")), ["detailed=true", "limit=1", "marker=a.2", "name=a", "with_count=false"]
        )
        self.assertEqual(self.api("GET", "/v2/queues?name=%7B%26&node=1").json["links"], [])

    def test_paging(self) -> None:
        """Following the links shows every queue once."""
        seen, href = [], "/v2/queues?limit=2"
        while True:
            page = self.api("GET", href).json
            if not page["queues"]:
                break
            seen += [queue["name"] for queue in page["queues"]]
            href = page["links"][0]["href"]
        self.assertEqual(seen, ["a.2", "a1", "b"])

    def test_filters(self) -> None:
        """Any other parameter compares a metadata key; all have to match."""
        for query, names in (
            ("?node=2", ["a.2"]),
            ("?node=2&text=0", []),
            ("?text=1", []),
            ("?deep.x=7&name=a", ["a.2", "a1"]),
            ("?name=.", ["a.2"]),
            ("?node=", ["a.2", "a1", "b"]),
            ("?_default_message_ttl=3600", []),
        ):
            self.assertEqual(self.names(query), names, query)
        self.assertRefused(self.api("GET", "/v2/queues?node=1&node=1"), 400, "Invalid parameter")
        for value, is_found in ((34, True), (34.0, True), (34.5, False), ("34", False), (True, False), (1e300, False)):
            self.api("PUT", "/v2/queues/numbers", {"value": value})
            self.assertEqual((self.names("?value=34"), self.names("?value=1")), (["numbers"] if is_found else [], []), value)
            self.api("DELETE", "/v2/queues/numbers")

    def test_count(self) -> None:
        """The count is that of the project, whatever is listed, and left out where it is zero."""
        self.assertEqual(self.api("GET", "/v2/queues?with_count=true&limit=1&node=1").json["count"], 3)
        self.assertNotIn("count", self.api("GET", "/v2/queues?with_count=false").json)
        self.assertNotIn("count", self.api("GET", "/v2/queues?with_count=1", headers={"X-Project-ID": "p"}).json)

    def test_bad_parameters(self) -> None:
        """Ranges are rules, unreadable values are parameters."""
        for query, title in (
            ("limit=0", "Invalid API request"),
            ("limit=-1", "Invalid API request"),
            ("limit=21", "Invalid API request"),
            ("limit=" + "9" * 5000, "Invalid API request"),
            ("limit=x", "Invalid parameter"),
            ("limit=1_0", "Invalid parameter"),
            ("limit=1.0", "Invalid parameter"),
            ("limit=%201", "Invalid parameter"),
            ("limit=%D9%A3", "Invalid parameter"),
            ("detailed=None", "Invalid parameter"),
            ("detailed=TRUE", "Invalid parameter"),
            ("with_count=2", "Invalid parameter"),
        ):
            response = self.api("GET", f"/v2/queues?{query}")
            self.assertRefused(response, 400, title)
            self.assertIn(query.partition("=")[0], response.json["description"])
            self.assertLess(len(response.body), 300)
