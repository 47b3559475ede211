"""Pools and flavors over HTTP (API reference, "Pools" and "Flavors")."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.logger import capturedLogs

from tests.helpers import FailingStorage, HttpApi, Response
from tests.pooling import memory_process
from tests.transport.http.base import SiteCase
from zaqar_gateway.errors import PoolUnfit, StoreUnavailable
from zaqar_gateway.operations.registry import PATCH_TYPE
from zaqar_gateway.storage.memory import MemoryStorage

ALL_FIVE = ["FIFO", "CLAIMS", "DURABILITY", "AOD", "HIGH_THROUGHPUT"]
POOL = {"uri": "redis://h/1", "weight": 100, "flavor": "my-flavor", "options": {"max_retry_sleep": 1}}
DOWN = "redis://down"

# What is of the wrong type or out of range.
WEIGHTS: tuple[object, ...] = (-1, 2**32, 1.5, "1", True, None, [], 2**63)
OPTIONS: tuple[object, ...] = (None, 1, "x", [])
LISTS: tuple[object, ...] = ("a", None, 1, {}, [1], [None])


async def check(uri: str) -> None:
    """Where nothing answers is one place."""
    if uri.startswith(DOWN):
        raise PoolUnfit("uri has to be of a store that can be connected to.")


class PoolCase(SiteCase):
    """A site with pooling, and short ways to ask as an administrator."""

    def setUp(self) -> None:
        self.process = memory_process(Clock(), check)
        self.api = HttpApi(self.process.storage, pooling=self.process.pooling)

    def ask(self, method: str, path: str, body: object = None, **headers: str) -> Response:
        """As an administrator."""
        return self.api(method, f"/v2{path}", body, {"X-ROLES": "admin", **headers})

    def pool(self, name: str, **members: Any) -> None:
        """Put a pool with a URI of its own."""
        body = {"uri": f"redis://h/{name}", "weight": 10, **members}
        self.assertEqual(self.ask("PUT", f"/pools/{name}", body).status, 201)

    def flavor(self, name: str, *pools: str) -> None:
        """Put a flavor of pools."""
        self.assertEqual(self.ask("PUT", f"/flavors/{name}", {"pool_list": pools}).status, 201)

    def shown(self, path: str) -> Any:
        """What is there."""
        response = self.ask("GET", path)
        self.assertEqual(response.status, 200, response.body)
        return response.json

    def assertStatuses(self, method: str, path: str, bodies: Sequence[object], status: int) -> None:
        """Each of some bodies is answered with a status."""
        for body in bodies:
            response = self.ask(method, path, body)
            self.assertEqual(response.status, status, (body, response.body))


class PoolTests(PoolCase):
    """``/v2/pools``."""

    def test_put(self) -> None:
        """A pool is put with 201, also where it replaces another; the answer has its place and no body."""
        for body in (POOL, {"uri": "redis://h/2", "weight": 4294967295}, POOL):
            response = self.ask("PUT", "/pools/p", body)
            self.assertEqual((response.status, response.header("Location"), response.body), (201, "/v2/pools/p", b""))
        expected = {"name": "p", "href": "/v2/pools/p", "uri": "redis://h/1", "weight": 100, "flavor": "my-flavor"}
        self.assertEqual(self.shown("/pools/p"), expected)
        self.assertEqual(self.shown("/pools/p?detailed=true"), {**expected, "options": {"max_retry_sleep": 1}})

    def test_options_as_they_came(self) -> None:
        """Options are shown as they were given, but for escapes of characters that need none."""
        self.ask("PUT", "/pools/p", rb'{"uri": "redis://h/1", "weight": 1, "options": {"a":  1.0, "\u00e9": "\\u00e9"}}')
        for path in ("/pools/p?detailed=true", "/pools?detailed=true"):
            self.assertIn(r'"options":{"a":  1.0, "é": "\\u00e9"}'.encode(), self.ask("GET", path).body)

    def test_defaults(self) -> None:
        """Without a flavor it is null, without options they are empty."""
        self.pool("p")
        self.assertEqual(
            self.shown("/pools/p?detailed=1"),
            {"name": "p", "href": "/v2/pools/p", "uri": "redis://h/p", "weight": 10, "flavor": None, "options": {}},
        )

    def test_bad_bodies(self) -> None:
        """What breaks the schema is refused, and so is a store that does not answer."""
        self.pool("other")
        self.assertStatuses(
            "PUT",
            "/pools/p",
            [
                None,
                b"{",
                b'"x"',
                [],
                {},
                {"uri": "redis://h"},
                {"weight": 1},
                *({**POOL, "weight": weight} for weight in WEIGHTS),
                *({**POOL, "uri": uri} for uri in (1, None, "", "x" * 256, ["redis://h"], DOWN)),
                *({**POOL, "flavor": flavor} for flavor in (None, 1, "x" * 256, True)),
                *({**POOL, "options": options} for options in OPTIONS),
                {**POOL, "group": "x"},
            ],
            400,
        )
        self.assertEqual(self.ask("GET", "/pools/p").status, 404)

    def test_bad_members_are_named(self) -> None:
        """A refusal names the member, and whether anything answers at a URI has a title of its own."""
        for member, value in (("weight", "1"), ("uri", 1), ("flavor", None), ("options", [])):
            response = self.ask("PUT", "/pools/p", {**POOL, member: value})
            self.assertRefused(response, 400, "Invalid request body")
            self.assertIn(member, response.json["description"])
        self.assertIn("group", self.ask("PUT", "/pools/p", {**POOL, "group": "x"}).json["description"])
        self.assertRefused(self.ask("PUT", "/pools/p", {**POOL, "weight": -1}), 400, "Invalid API request")
        self.assertRefused(self.ask("PUT", "/pools/p", {**POOL, "uri": DOWN}), 400, "Unable to create pool")

    def test_uri_of_another(self) -> None:
        """A URI of another pool is 409, its own is not."""
        self.pool("a")
        self.assertRefused(self.ask("PUT", "/pools/b", {"uri": "redis://h/a", "weight": 1}), 409, "Resource conflict")
        self.pool("b")
        self.assertRefused(self.ask("PATCH", "/pools/b", {"uri": "redis://h/a"}), 409, "Resource conflict")
        self.pool("a")

    def test_flavor_keeps_its_capabilities(self) -> None:
        """A pool of a flavor cannot move to a store that lacks what the pools of that flavor have."""
        self.pool("a", flavor="my-flavor")
        for method, path, body in (
            ("PUT", "/pools/a", {"uri": "memory:", "weight": 1, "flavor": "my-flavor"}),
            ("PUT", "/pools/b", {"uri": "memory:", "weight": 1, "flavor": "my-flavor"}),
            ("PATCH", "/pools/a", {"uri": "memory:"}),
        ):
            response = self.ask(method, path, body)
            self.assertRefused(response, 400, "Unable to create pool")
            self.assertIn("DURABILITY", response.json["description"])
        self.assertEqual(self.ask("PUT", "/pools/b", {"uri": "memory:", "weight": 1, "flavor": "other"}).status, 201)
        self.assertEqual(self.ask("PUT", "/pools/a", {"uri": "memory:1", "weight": 1}).status, 201)

    def test_patch(self) -> None:
        """What is given changes, unknown members are ignored, an empty flavor is none; there are no options shown."""
        self.assertEqual(self.ask("PUT", "/pools/p", POOL).status, 201)
        for change, expected in (
            ({"weight": 60, "some": "thing"}, {"weight": 60}),
            ({"uri": "redis://h/2", "options": {"a": 1}}, {"uri": "redis://h/2"}),
            ({"flavor": ""}, {"flavor": None}),
            ({"flavor": "fast"}, {"flavor": "fast"}),
        ):
            response = self.ask("PATCH", "/pools/p", change)
            self.assertEqual(response.status, 200, response.body)
            self.assertEqual(set(response.json), {"name", "href", "uri", "weight", "flavor"})
            self.assertEqual({name: response.json[name] for name in expected}, expected)
        self.assertEqual(self.shown("/pools/p?detailed=true")["options"], {"a": 1})

    def test_bad_patches(self) -> None:
        """The schema comes before whether there is the pool."""
        bad: list[object] = [None, {}, [], {"x": 1}, {"weight": -1}, {"weight": None}, {"uri": 1}, {"flavor": None}, {"options": 1}]
        self.assertStatuses("PATCH", "/pools/p", bad, 400)
        self.assertRefused(self.ask("PATCH", "/pools/p", {"weight": 1}), 404, "Not found")
        self.pool("p")
        self.assertStatuses("PATCH", "/pools/p", [*bad, {"uri": DOWN}], 400)

    def test_list(self) -> None:
        """Pools are listed by name in pages, whose link repeats what was asked for."""
        for name in ("c", "a", "b", "d"):
            self.pool(name, options={"o": name})
        response = self.ask("GET", "/pools?limit=2&detailed=True")
        self.assertEqual(response.header("Content-Location"), "/v2/pools?limit=2&detailed=True")
        self.assertEqual([pool["name"] for pool in response.json["pools"]], ["a", "b"])
        self.assertEqual(response.json["pools"][0]["options"], {"o": "a"})
        (link,) = response.json["links"]
        self.assertEqual(link, {"rel": "next", "href": "/v2/pools?limit=2&detailed=true&marker=b"})
        response = self.api("GET", link["href"], headers={"X-ROLES": "admin"})
        self.assertEqual([pool["name"] for pool in response.json["pools"]], ["c", "d"])
        self.assertEqual(self.shown("/pools?marker=d"), {"pools": [], "links": []})
        self.assertNotIn("options", self.shown("/pools")["pools"][0])
        absolute = self.api("GET", "http://example/v2/pools?limit=1", headers={"X-ROLES": "admin"})
        self.assertEqual(absolute.header("Content-Location"), "/v2/pools?limit=1")
        for limit in (0, 21, -1):
            self.assertRefused(self.ask("GET", f"/pools?limit={limit}"), 400, "Invalid API request")

    def test_any_name(self) -> None:
        """A name is any segment of a path, written with escapes where it is shown; there is none without a name."""
        self.assertEqual(self.ask("PUT", "/pools/a%20%7B%C3%A9", POOL).header("Location"), "/v2/pools/a%20%7B%C3%A9")
        self.assertEqual(self.shown("/pools/a%20%7B%C3%A9")["name"], "a {é")
        self.assertEqual(self.shown("/pools")["links"][0]["href"], "/v2/pools?marker=a%20%7B%C3%A9")
        for method, body in (("GET", None), ("PUT", POOL), ("PATCH", {"weight": 1}), ("DELETE", None)):
            self.assertEqual(self.ask(method, "/pools/", body).status, 404)

    def test_delete(self) -> None:
        """A pool goes with 204, also where there is none, but not as the last one of a flavor that exists."""
        self.pool("a", flavor="my-flavor")
        self.pool("b", flavor="never-created")
        self.flavor("my-flavor", "a")
        self.assertRefused(self.ask("DELETE", "/pools/a"), 403, "Unable to delete")
        for _ in range(2):
            self.assertEqual(self.ask("DELETE", "/pools/b").status, 204)
        self.assertEqual(self.ask("DELETE", "/flavors/my-flavor").status, 204)
        self.assertEqual(self.ask("DELETE", "/pools/a").status, 204)

    def test_delete_in_use(self) -> None:
        """A pool that queues are in stays, and says how many they are."""
        self.pool("a")
        self.assertEqual(self.ask("PUT", "/queues/q").status, 201)
        response = self.ask("DELETE", "/pools/a")
        self.assertRefused(response, 403, "Unable to delete")
        self.assertIn("1 queues or topics", response.json["description"])
        self.assertEqual(self.ask("DELETE", "/queues/q").status, 204)
        self.assertEqual(self.ask("DELETE", "/pools/a").status, 204)

    def test_passwords(self) -> None:
        """A password is shown to nobody and logged nowhere; what has none is shown as it was given."""
        secrets = ("redis://:s3cret@h", "redis://me:s3cret@h:1/x?dbid=1", "unix://u:s3c@ret@/run/redis.sock")
        with capturedLogs() as events:
            for number, uri in enumerate(secrets):
                self.assertEqual(self.ask("PUT", f"/pools/p{number}", {"uri": uri, "weight": 1}).status, 201)
            self.pool("open")
            self.ask("PATCH", "/pools/p0", {"weight": 2})
        self.assertNotIn("s3c", repr(events))
        self.assertEqual(
            [pool["uri"] for pool in self.shown("/pools")["pools"]],
            ["redis://h/open", "redis://:***@h", "redis://me:***@h:1/x?dbid=1", "unix://u:***@/run/redis.sock"],
        )
        self.assertEqual(self.shown("/pools/p0")["uri"], "redis://:***@h")
        self.assertEqual(self.ask("PATCH", "/pools/p0", {"weight": 3}).json["uri"], "redis://:***@h")

    def test_roles(self) -> None:
        """Pools are for administrators; flavors may be read by anybody.  That comes before the body."""
        for method, path in (
            *((method, "/pools/p") for method in ("GET", "PUT", "PATCH", "DELETE")),
            *((method, "/flavors/f") for method in ("PUT", "PATCH", "DELETE")),
            ("GET", "/pools"),
        ):
            self.assertRefused(self.api(method, f"/v2{path}", headers={"X-ROLES": "member"}), 403, "Not authorized")
        self.assertEqual(self.api("GET", "/v2/flavors").status, 200)
        self.assertEqual(self.api("GET", "/v2/flavors/f").status, 404)

    def test_where_it_is_served(self) -> None:
        """Without admin mode, or without pooling, there are no such paths."""
        for api in (
            HttpApi(self.process.storage, pooling=self.process.pooling, admin_mode=False),
            HttpApi(MemoryStorage(Clock())),
        ):
            for path in ("pools", "pools/p", "flavors", "flavors/f"):
                self.assertRefused(api("GET", f"/v2/{path}", headers={"X-ROLES": "admin"}), 404, "404 Not Found")


class FlavorTests(PoolCase):
    """``/v2/flavors``."""

    def setUp(self) -> None:
        super().setUp()
        for name in ("a", "b", "c"):
            self.pool(name)

    def test_put(self) -> None:
        """A flavor is put with 201, also where it replaces another; its pools become of it, and no others are."""
        for pools in (["b", "a"], ["a"], ["c", "a"]):
            response = self.ask("PUT", "/flavors/f", {"pool_list": pools, "capabilities": {"x": 1}})
            self.assertEqual((response.status, response.header("Location"), response.body), (201, "/v2/flavors/f", b""))
            self.assertEqual(
                self.shown("/flavors/f"),
                {"name": "f", "href": "/v2/flavors/f", "pool_list": sorted(pools), "capabilities": ALL_FIVE},
            )
        self.assertEqual([pool["flavor"] for pool in self.shown("/pools")["pools"]], ["f", None, "f"])

    def test_bad_bodies(self) -> None:
        """What breaks the schema, an empty list and an unknown pool are refused."""
        lists = ({"pool_list": value} for value in LISTS)
        bad: list[object] = [None, b"{", [], {}, *lists, {"pool_list": ["a"], "x": 1}, {"pool_list": ["a"], "capabilities": []}]
        self.assertStatuses("PUT", "/flavors/f", bad, 400)
        self.assertRefused(self.ask("PUT", "/flavors/f", {"pool_list": []}), 400, "Unable to create")
        self.assertEqual(self.ask("GET", "/flavors/f").status, 404)

    def test_unknown_pool(self) -> None:
        """The answer for an unknown pool is literal."""
        response = self.ask("PUT", "/flavors/f", {"pool_list": ["a", "p"]})
        self.assertEqual(response.status, 400)
        self.assertEqual(
            response.json,
            {
                "title": "Unable to create",
                "description": "Flavor f could not be created, error:Pool p does not exist",
            },
        )

    def test_patch(self) -> None:
        """The pools become those that are given, whatever else there is; the answer is that of GET."""
        self.flavor("f", "a", "b")
        response = self.ask("PATCH", "/flavors/f", {"pool_list": ["c"], "capabilities": [1], "x": 1})
        self.assertEqual((response.status, response.json), (200, self.shown("/flavors/f")))
        self.assertEqual(response.json["pool_list"], ["c"])
        self.assertEqual([pool["flavor"] for pool in self.shown("/pools")["pools"]], [None, None, "f"])

    def test_bad_patches(self) -> None:
        """Whether the flavor exists comes after the schema and before the pools."""
        bad: list[object] = [None, {}, {"pool_list": "a"}, {"pool_list": []}, {"capabilities": {}}]
        self.assertStatuses("PATCH", "/flavors/f", bad, 400)
        self.assertRefused(self.ask("PATCH", "/flavors/f", {"pool_list": ["nonesuch"]}), 404, "Not found")
        self.flavor("f", "a")
        self.assertStatuses("PATCH", "/flavors/f", bad, 400)
        self.assertRefused(self.ask("PATCH", "/flavors/f", {"pool_list": ["nonesuch"]}), 400, "updatefail")
        self.assertEqual(self.shown("/flavors/f")["pool_list"], ["a"])

    def test_list(self) -> None:
        """Flavors are listed by name in pages; what they are good for is shown in detail only."""
        for name in ("x", "y", "z"):  # a pool is of one flavor, so that only the last one has it
            self.flavor(name, "a")
        response = self.shown("/flavors?limit=2")
        self.assertEqual(
            response["flavors"], [{"name": "x", "href": "/v2/flavors/x"}, {"name": "y", "href": "/v2/flavors/y"}]
        )
        self.assertEqual(response["links"], [{"rel": "next", "href": "/v2/flavors?limit=2&marker=y"}])
        (last,) = self.shown("/flavors?marker=y&detailed=true")["flavors"]
        self.assertEqual(last, {"name": "z", "href": "/v2/flavors/z", "pool_list": ["a"], "capabilities": ALL_FIVE})
        self.assertEqual(self.shown("/flavors?marker=z"), {"flavors": [], "links": []})
        self.assertRefused(self.ask("GET", "/flavors?limit=21"), 400, "Invalid API request")

    def test_capabilities(self) -> None:
        """A flavor is good for what all its pools are good for."""
        self.pool("m", uri="memory:m")
        self.flavor("f", "a", "m")
        self.assertEqual(self.shown("/flavors/f")["capabilities"], ["FIFO", "CLAIMS", "AOD", "HIGH_THROUGHPUT"])

    def test_projects(self) -> None:
        """A flavor is of a project."""
        self.flavor("f", "a")
        other = {"X-Project-ID": "other"}
        self.assertEqual(self.ask("GET", "/flavors/f", **other).status, 404)
        self.assertEqual(self.ask("GET", "/flavors", **other).json["flavors"], [])

    def test_delete(self) -> None:
        """A flavor goes with 204, also where there is none, and its pools are of none then."""
        self.flavor("f", "a")
        for _ in range(2):
            self.assertEqual(self.ask("DELETE", "/flavors/f").status, 204)
        self.assertIsNone(self.shown("/pools/a")["flavor"])


class QueueTests(PoolCase):
    """Queues where there are pools."""

    def where(self, name: str, topic: bool = False) -> str:
        """The pool that a queue or topic is in."""
        for pool, store in self.process.directory.all().items():
            kind = store.topics if topic else store.queues
            if self.successResultOf(Deferred.fromCoroutine(kind.get("480924", name))) is not None:
                return pool
        raise AssertionError(f"{name} is nowhere")

    def test_flavor(self) -> None:
        """A queue or topic with a flavor is put in a pool of it, and one without in none of any."""
        self.pool("fast")
        self.flavor("f", "fast")
        for kind in ("queues", "topics"):
            self.assertEqual(self.ask("PUT", f"/{kind}/q", {"_flavor": "f"}).status, 201)
            self.assertEqual(self.where("q", kind == "topics"), "fast")
            self.assertEqual(self.shown(f"/{kind}/q")["_flavor"], "f")
            self.assertEqual(self.ask("PUT", f"/{kind}/plain", {"_flavor": None}).status, 201)
            self.assertEqual(self.where("plain", kind == "topics"), "")
        self.pool("slow")
        self.assertEqual(self.ask("PUT", "/queues/later").status, 201)
        self.assertEqual((self.where("later"), self.where("plain")), ("slow", ""))

    def test_unknown_flavor(self) -> None:
        """It is refused, on an existing queue too; without pooling it is ordinary metadata."""
        self.pool("a", flavor="never-created")
        for flavor in ("never-created", "", 1, ["f"]):
            response = self.ask("PUT", "/queues/q", {"_flavor": flavor})
            self.assertRefused(response, 400, "Invalid API request")
            self.assertIn("_flavor", response.json["description"])
        api = HttpApi(MemoryStorage(Clock()))
        self.assertEqual(api("PUT", "/v2/queues/q", {"_flavor": "nonesuch"}).status, 201)
        self.assertEqual(self.ask("PUT", "/queues/q").status, 201)
        self.assertEqual(self.ask("PUT", "/queues/q", {"_flavor": "nonesuch"}).status, 400)

    def test_patched_flavor(self) -> None:
        """A flavor that is set later is looked at, one that is not touched is not; the queue stays where it is."""
        self.pool("fast")
        self.flavor("f", "fast")
        self.assertEqual(self.ask("PUT", "/queues/q", {"_flavor": "f"}).status, 201)
        headers = {"Content-Type": PATCH_TYPE}

        def patch(key: str, value: object) -> Response:
            return self.ask("PATCH", "/queues/q", [{"op": "add", "path": f"/metadata/{key}", "value": value}], **headers)

        self.assertRefused(patch("_flavor", "nonesuch"), 400, "Invalid request body")
        self.assertEqual(self.ask("DELETE", "/flavors/f").status, 204)
        self.assertEqual(patch("color", "red").status, 200)
        self.assertEqual(patch("_flavor", None).status, 200)
        self.assertEqual(self.where("q"), "fast")

    def test_no_pool(self) -> None:
        """Where the configured store takes no queues and there is no pool, a new queue is 503."""
        process = memory_process(Clock(), virtual=False)
        api = HttpApi(process.storage, pooling=process.pooling)
        self.assertRefused(api("PUT", "/v2/queues/q"), 503, "Service temporarily unavailable")
        response = api("POST", "/v2/queues/q/messages", {"messages": [{"body": 1}]})
        self.assertEqual(response.status, 503)
        self.assertEqual(api("GET", "/v2/queues/q").status, 200)
        self.assertEqual(api("GET", "/v2/queues").json["queues"], [])
        pool = {"uri": "memory:a", "weight": 1}
        self.assertEqual(api("PUT", "/v2/pools/a", pool, {"X-ROLES": "admin"}).status, 201)
        self.assertEqual(api("PUT", "/v2/queues/q").status, 201)

    def test_dead_letters_of_another_pool(self) -> None:
        """A dead letter queue that is in another pool is refused: messages move in one step or not at all."""
        self.pool("fast")
        self.flavor("f", "fast")
        self.assertEqual(self.ask("PUT", "/queues/q", {"_flavor": "f"}).status, 201)
        response = self.ask("PUT", "/queues/other", {"_dead_letter_queue": "q", "_max_claim_count": 1})
        self.assertRefused(response, 400, "Invalid API request")
        self.assertIn("_dead_letter_queue", response.json["description"])
        rules = {"_flavor": "f", "_dead_letter_queue": "q", "_max_claim_count": 1}
        self.assertEqual(self.ask("PUT", "/queues/near", rules).status, 201)


class HealthTests(PoolCase):
    """Health where there are pools."""

    def test_each_pool(self) -> None:
        """Each pool has a report of its own."""
        self.pool("a")
        self.pool("b")
        self.ask("POST", "/queues/q/messages", {"messages": [{"body": 1}]})
        report = self.shown("/health")
        self.assertEqual(set(report), {"catalog_reachable", "a", "b"})
        self.assertTrue(report["catalog_reachable"])
        for name in ("a", "b"):
            self.assertEqual(set(report[name]), {"storage_reachable", "operation_status", "message_volume"})
            self.assertTrue(all(outcome["succeeded"] for outcome in report[name]["operation_status"].values()))
        self.assertEqual(report["a"]["message_volume"]["total"] + report["b"]["message_volume"]["total"], 1)

    def test_dead_pool(self) -> None:
        """A pool that does not answer is named, and the others are well."""
        self.pool("a")
        self.process.make = lambda uri: FailingStorage(StoreUnavailable("away"))
        self.pool("dead")
        report = self.shown("/health")
        self.flushLoggedErrors(StoreUnavailable)
        self.assertTrue(report["catalog_reachable"] and report["a"]["storage_reachable"])
        self.assertFalse(report["dead"]["storage_reachable"])
        self.assertEqual({one["succeeded"] for one in report["dead"]["operation_status"].values()}, {False})

    def test_without_pools(self) -> None:
        """Where there are none yet, the catalog is all there is."""
        self.assertEqual(self.shown("/health"), {"catalog_reachable": True})
