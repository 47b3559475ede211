"""Routes, the order of checks, and what every response has."""

from __future__ import annotations

import re
from types import SimpleNamespace
from typing import Any, cast

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IAddress, IProtocolFactory
from twisted.internet.protocol import Protocol, ServerFactory
from twisted.internet.task import Clock
from twisted.logger import ILogObserver, LogEvent, globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.resource import IResource, getChildForRequest
from twisted.web.server import NOT_DONE_YET
from zope.interface import implementer
from zope.interface.verify import verifyObject

from tests.helpers import CLIENT, PROJECT, FailingStorage, HttpApi, RecordedRequest, Response
from tests.transport.http.base import SEVEN, SiteCase
from zaqar_gateway.errors import StoreFault, StoreUnavailable
from zaqar_gateway.limits import Limits
from zaqar_gateway.model import Quotas
from zaqar_gateway.storage.memory import MemoryStorage
from zaqar_gateway.transport.http.channel import IHttpApplication
from zaqar_gateway.transport.http.resources import Place

METHODS = ("GET", "PUT", "POST", "PATCH", "DELETE", "HEAD")
PLACES = {
    "/v2/": {"GET"},
    "/v2/ping": {"GET", "HEAD"},
    "/v2/health": {"GET"},
    "/v2/queues": {"GET"},
    "/v2/queues/q": {"GET", "PUT", "PATCH", "DELETE"},
    "/v2/queues/q/stats": {"GET"},
    "/v2/queues/q/purge": {"POST"},
    "/v2/queues/q/messages": {"GET", "POST", "DELETE"},
    "/v2/queues/q/messages/m": {"GET", "DELETE"},
    "/v2/queues/q/claims": {"POST"},
    "/v2/queues/q/claims/c": {"GET", "PATCH", "DELETE"},
}


class RouteTests(SiteCase):
    """Paths and methods."""

    def test_provides_interface(self) -> None:
        """The site is an application for the channel."""
        verifyObject(IHttpApplication, self.api.site)

    def test_resources(self) -> None:
        """What stands at a path is a resource, which twisted.web finds as the site does."""
        paths = (*PLACES, "/", "/v2", "/v2/nope", "/v2/queues/", "/v2/queues/q/nope/x")
        places = [self._resource_at(path) for path in paths]
        for path, place in zip(paths, places, strict=True):
            verifyObject(IResource, place)
            request = self.api.make("GET", path)
            self.api.site.handle(request)
            self.assertIs(request.head.place, place, path)
        self.assertEqual(len(set(map(id, places[: len(PLACES)]))), len(PLACES))
        self.assertEqual(places[-1].render(self.api.make("GET", "/v2/queues/q/nope/x")), NOT_DONE_YET)

    def _resource_at(self, path: str) -> Place:
        request = SimpleNamespace(prepath=[], postpath=path.encode().split(b"/")[1:])
        found = getChildForRequest(self.api.site.resource, request)
        assert isinstance(found, Place)
        return found

    def test_heads_that_come_again(self) -> None:
        """What was found out of a head holds when it comes again, and nothing else of what it came with."""

        def ask(first: RecordedRequest, body: bytes) -> int:
            request = self.api.make("POST", first.target, body)
            request.head = first.head
            self.api.site.handle(request)
            (response,) = request.responses
            return response.status

        good = self.api.make("POST", "/v2/queues/q/claims?limit=2", b'{"ttl": 60}')
        self.assertEqual([ask(good, body) for body in (b'{"ttl": 60}', b'{"ttl": 59}', b"{", b'{"ttl": 61}')], [204, 400, 400, 204])
        bad = self.api.make("POST", "/v2/queues/q/claims?limit=x", b'{"ttl": 60}')
        self.assertEqual([ask(bad, b'{"ttl": 60}') for _ in range(3)], [400] * 3)
        none = self.api.make("POST", "/v2/queues/q/nothing", b"{}")
        self.assertEqual([ask(none, b"{}") for _ in range(3)], [404] * 3)

    def test_methods(self) -> None:
        """Every place has its methods; any other is 405 with those and OPTIONS in ``Allow``."""
        for path, methods in PLACES.items():
            for method in METHODS:
                response = self.api(method, path)
                if method in methods:
                    self.assertNotEqual(response.status, 405, (method, path))
                else:
                    self.assertRefused(response, 405, "405 Method Not Allowed")
                    self.assertEqual(response.header("Allow"), ", ".join((*sorted(methods), "OPTIONS")))

    def test_unknown_path(self) -> None:
        """An unknown path is 404 before any other check."""
        for path in (
            "/v2",
            "/v1",
            "/v1/queues",
            "/v1.1",
            "/v2/nope",
            "/v3/",
            "//",
            "/v2/queues/q/",
            "/v2/queues/q/nope",
            "/v2/queues/q/stats/",
            "/v2/queues/q/messages/m/x",
            "/v2/ping/",
            "/v2/" + "x/" * 5000,
            "*",
        ):
            self.assertRefused(self.api("GET", path, bare=True, headers={"Accept": "text/html"}), 404, "404 Not Found")

    def test_empty_name(self) -> None:
        """A trailing slash makes an empty queue name."""
        for path in ("/v2/queues/", "/v2/queues//messages"):
            self.assertRefused(self.api("GET", path), 400, "Invalid queue identification")

    def test_decoded_before_matching(self) -> None:
        """An encoded slash is a slash, and an encoded letter is that letter."""
        self.assertEqual(self.api("PUT", "/v2%2Fqueues%2fa%62c").header("Location"), "/v2/queues/abc")
        self.assertEqual(self.api("GET", "/v2/queues/a%2Fstats").json["messages"]["total"], 0)
        self.assertRefused(self.api("GET", "/v2/queues/a%252Fstats"), 400, "Invalid queue identification")

    def test_admin_mode(self) -> None:
        """Health is no route where admin mode is off."""
        api = HttpApi(MemoryStorage(Clock()), admin_mode=False)
        self.assertRefused(api("GET", "/v2/health", headers={"X-ROLES": "admin"}), 404, "404 Not Found")
        self.assertEqual(self.api("GET", "/v2/health", headers={"X-ROLES": "admin"}).status, 200)

    def test_body_limit(self) -> None:
        """What nobody reads is not kept; the rest is bounded by its own rule."""
        limits = Limits(queue_metadata_max=64, post_size_max=256)
        api = HttpApi(MemoryStorage(Clock()), limits)
        for method, path, expected in (
            ("PUT", "/v2/queues/q", 64),
            ("PATCH", "/v2/queues/q", 64),
            ("POST", "/v2/queues/q/messages", 256),
            ("POST", "/v2/queues/q/claims", 262144),
            ("PATCH", "/v2/queues/q/claims/c", 262144),
            ("POST", "/v2/queues/q/purge", 262144),
            ("GET", "/v2/queues/q", 0),
            ("DELETE", "/v2/queues/q/messages", 0),
            ("POST", "/v2/queues/q", 0),
            ("POST", "/v2/nope", 0),
            ("POST", "/", 0),
        ):
            request = api.make(method, path)
            self.assertEqual(api.site.body_limit(request), expected, (method, path))
        larger = HttpApi(MemoryStorage(Clock()), Limits(post_size_max=2**20))
        request = larger.make("POST", "/v2/queues/q/claims")
        self.assertEqual(larger.site.body_limit(request), 2**20)

    def test_unread_body_is_ignored(self) -> None:
        """A body that a method does not read does not matter, whatever it is."""
        for body in (b"{", b"x" * 300000):
            self.assertEqual(self.api("GET", "/v2/queues", body).status, 200)
            self.assertEqual(self.api("DELETE", "/v2/queues/q", body).status, 204)

    def test_upgrade(self) -> None:
        """A WebSocket gets a protocol where there is a factory, on any path."""
        request = self.api.make("GET", "/", bare=True)
        self.assertIsNone(self.api.site.upgrade(request))
        made = Protocol()

        @implementer(IProtocolFactory)
        class Factory(ServerFactory):
            def buildProtocol(self, addr: IAddress | None) -> Protocol:
                return made

        api = HttpApi(MemoryStorage(Clock()), websocket_factory=Factory())
        self.assertIs(api.site.upgrade(request), made)


class OrderTests(SiteCase):
    """Which error wins (API reference, "Order of checks")."""

    def test_each_before_the_next(self) -> None:
        """Repairing a request step by step shows the errors in the order of the reference."""
        body = b"{"
        headers: dict[str, str | None] = {
            "Content-Type": "application/x-www-form-urlencoded",
            "Accept": "application/xml",
            "Client-ID": None,
            "X-Project-ID": None,
        }
        name = "q@"

        def ask(method: str, path: str) -> Response:
            return self.api(method, path, body, headers)

        self.assertRefused(ask("POST", f"/v2/nope/{name}"), 404, "404 Not Found")
        self.assertRefused(ask("GET", f"/v2/queues/{name}/claims"), 400, "Invalid Content-Type")
        headers["Content-Type"] = "application/json"
        self.assertRefused(ask("GET", f"/v2/queues/{name}/claims"), 406, "406 Not Acceptable")
        headers["Accept"] = "application/json"
        self.assertRefused(ask("GET", f"/v2/queues/{name}/claims"), 400, "Missing header value")
        headers["Client-ID"] = "x"
        self.assertRefused(ask("GET", f"/v2/queues/{name}/claims"), 400, "Wrong UUID value")
        headers["Client-ID"] = CLIENT
        self.assertRefused(ask("GET", f"/v2/queues/{name}/claims"), 400, "Project-Id Missing")
        headers["X-Project-ID"] = ""
        self.assertRefused(ask("GET", f"/v2/queues/{name}/claims"), 400, "Empty project header not allowed")
        headers["X-Project-ID"] = "p" * 257
        self.assertRefused(ask("GET", "/v2/queues/q/claims"), 400, "Invalid queue identification")
        self.assertRefused(ask("GET", "/v2/queues"), 400, "Invalid queue identification")
        self.assertRefused(ask("GET", "/v2/topics/t/messages"), 400, "Invalid topic identification")
        headers["X-Project-ID"] = "p" * 256
        self.assertRefused(ask("GET", f"/v2/queues/{name}/claims"), 400, "Invalid queue identification")
        self.assertRefused(ask("GET", "/v2/queues/q/claims"), 405, "405 Method Not Allowed")
        self.assertRefused(ask("POST", "/v2/queues/q/claims"), 400, "Invalid request body")

    def test_policy_before_the_operation(self) -> None:
        """Who lacks the role is told so before anything that may be wrong with the operation."""
        api = HttpApi(FailingStorage(StoreFault("broken")))
        self.assertRefused(api("GET", "/v2/health"), 403, "Not authorized")
        self.assertRefused(api("GET", "/v2/health", headers={"X-ROLES": "member, reader"}), 403, "Not authorized")

    def test_names_on_every_method(self) -> None:
        """A name that breaks the rule is 400 on every method of every place under it."""
        queue = "/v2/queues/q"
        for name in ("Nice-Bo@t", "n" * 65, "n%0A", "%C3%A4", "%E4", "a%20b", "%7Bq%7D"):
            for below in (path.removeprefix(queue) for path in PLACES if path.startswith(queue)):
                for method in METHODS:
                    response = self.api(method, f"/v2/queues/{name}{below}")
                    self.assertRefused(response, 400, "Invalid queue identification")
        for name in ("Nice-Boat_2", "Service.test_queue", "n" * 64, "."):
            self.assertEqual(self.api("GET", f"/v2/queues/{name}").status, 200)

    def test_raw_bytes_in_a_name(self) -> None:
        """Bytes above 0x7F are no name."""
        for raw in ("ä".encode(), "ä".encode("latin-1")):
            self.assertRefused(self.api("PUT", b"/v2/queues/" + raw), 400, "Invalid queue identification")


class HeaderTests(SiteCase):
    """Headers of requests, and those that every response has."""

    def test_form_without_body(self) -> None:
        """A form without a body passes, and so does a form type with parameters."""
        form = "application/x-www-form-urlencoded"
        headers: dict[str, str | None] = {"Content-Type": form, "Content-Length": "0"}
        self.assertEqual(self.api("PUT", "/v2/queues/q", headers=headers).status, 201)
        self.assertEqual(self.api("PUT", "/v2/queues/q", {}, {"Content-Type": form + "; charset=utf-8"}).status, 204)
        self.assertRefused(
            self.api("PUT", "/v2/queues/q", {}, {"Content-Type": form.upper()}), 400, "Invalid Content-Type"
        )

    def test_accept(self) -> None:
        """Anything but JSON is not acceptable, also on the documents."""
        for path in ("/", "/v2/", "/v2/health", "/v2/queues"):
            for accept in ("application/xml", "application/json-home", "text/html;q=1, application/json;q=0"):
                self.assertRefused(
                    self.api("GET", path, bare=True, headers={"Accept": accept}), 406, "406 Not Acceptable"
                )
        for accept in ("", "*/*", "application/*", "application/json", "application/json;v=1", "text/html, */*;q=0.1"):
            self.assertEqual(self.api("GET", "/v2/queues", headers={"Accept": accept}).status, 200, accept)

    def test_request_id(self) -> None:
        """Every response has a new id; one that came in is not echoed."""
        sent = "req-3381af92-2b9e-11e3-b191-71861300734c"
        seen = set()
        for method, path in (
            ("GET", "/"),
            ("GET", "/nope"),
            ("OPTIONS", "/nope"),
            ("GET", "/v2/queues"),
            ("PUT", "/v2/"),
        ):
            name = self.api(method, path, headers={"X-Openstack-Request-Id": sent}).header("x-openstack-request-id")
            assert name is not None
            self.assertTrue(
                re.fullmatch("req-[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}", name)
            )
            seen.add(name)
        self.assertEqual(len(seen - {sent}), 5)

    def test_no_content(self) -> None:
        """A 204 has neither body nor content type."""
        response = self.api("DELETE", "/v2/queues/q")
        self.assertEqual((response.status, response.body, response.header("Content-Type")), (204, b"", None))

    def test_head(self) -> None:
        """HEAD is 405 save on ping, which does not ask the store."""
        self.assertRefused(self.api("HEAD", "/v2/queues/q"), 405, "405 Method Not Allowed")
        self.assertRefused(self.api("HEAD", "/"), 405, "405 Method Not Allowed")
        api = HttpApi(FailingStorage(StoreUnavailable("away")))
        self.assertEqual(api("HEAD", "/v2/ping").status, 204)
        self.assertEqual(api("HEAD", "/v2/ping", bare=True).status, 400)

    def test_options(self) -> None:
        """OPTIONS tells the methods of a route."""
        for path, methods in PLACES.items():
            response = self.api("OPTIONS", path)
            self.assertEqual((response.status, response.body), (200, b""))
            self.assertEqual(response.header("Allow"), ", ".join((*sorted(methods), "OPTIONS")))
        self.assertEqual(self.api("OPTIONS", "/", bare=True).header("Allow"), "GET, OPTIONS")

    def test_options_never_fails(self) -> None:
        """An OPTIONS request that would be refused gets a bare 200."""
        for path, bare, accept in (
            ("/nope", False, "*/*"),
            ("*", False, "*/*"),
            ("/v2/queues/q", True, "*/*"),
            ("/v2/queues/@", False, "*/*"),
            ("/v2/queues", False, "text/html"),
        ):
            response = self.api("OPTIONS", path, bare=bare, headers={"Accept": accept})
            self.assertEqual((response.status, response.body), (200, b""))
            self.assertEqual([name for name, _ in response.headers], [b"x-openstack-request-id"])


class FailureTests(SiteCase):
    """A store that fails."""

    def operations(self) -> list[tuple[str, str, Any]]:
        """A good request for each operation that needs the store, save the posting of messages."""
        patch = [{"op": "add", "path": "/metadata/a", "value": 1}]
        both: list[tuple[str, str, Any]] = [
            ("GET", "/v2/queues", None),
            ("GET", "/v2/queues/q", None),
            ("PUT", "/v2/queues/q", None),
            ("PATCH", "/v2/queues/q", patch),
            ("DELETE", "/v2/queues/q", None),
            ("GET", "/v2/queues/q/stats", None),
            ("POST", "/v2/queues/q/purge", None),
            ("GET", "/v2/queues/q/messages", None),
            ("GET", "/v2/queues/q/messages?ids=a", None),
            ("DELETE", "/v2/queues/q/messages?ids=a", None),
            ("DELETE", "/v2/queues/q/messages?pop=1", None),
            ("GET", "/v2/queues/q/messages/nada", None),
            ("DELETE", "/v2/queues/q/messages/nada", None),
        ]
        return [
            *both,
            *((method, path.replace("queues", "topics"), body) for method, path, body in both),
            ("POST", "/v2/queues/q/claims", None),
            ("GET", "/v2/queues/q/claims/foo", None),
            ("PATCH", "/v2/queues/q/claims/foo", {"ttl": 100}),
            ("DELETE", "/v2/queues/q/claims/foo", None),
        ]

    def ask(self, api: HttpApi, method: str, path: str, body: Any) -> Response:
        """Ask, with the content type that PATCH of a queue needs."""
        kind = "application/openstack-messaging-v2.0-json-patch" if isinstance(body, list) else "application/json"
        return api(method, path, body, {"Content-Type": kind})

    def test_away(self) -> None:
        """A store that is away is 503 with Retry-After and an invitation, for a post too."""
        api = HttpApi(FailingStorage(StoreUnavailable("The store is away.", retry_after_s=7)))
        post = ("POST", "/v2/queues/q/messages", {"messages": [{"body": 1}]})
        for request in (*self.operations(), post):
            response = self.ask(api, *request)
            self.assertRefused(response, 503, "Service temporarily unavailable")
            self.assertEqual(response.header("Retry-After"), "7")
            self.assertEqual(
                response.json["description"], "The store is away. Please try again in a few seconds.", request
            )

    def test_outcome_unknown(self) -> None:
        """What may have taken effect is said to be unknown."""
        api = HttpApi(FailingStorage(StoreUnavailable("No answer came.", outcome_unknown=True)))
        response = api("POST", "/v2/queues/q/messages", {"messages": [{"body": 1}]})
        self.assertRefused(response, 503, "Service temporarily unavailable")
        self.assertIn("outcome is unknown", response.json["description"])
        self.assertTrue(response.json["description"].endswith("try again in a few seconds."))

    def test_fault(self) -> None:
        """A fault that means nothing to a client is 500 for a post and 503 for all else."""
        api = HttpApi(FailingStorage(StoreFault("The store failed.")))
        for request in self.operations():
            self.assertRefused(self.ask(api, *request), 503, "Service temporarily unavailable")
        for collection in ("queues", "topics"):
            response = api("POST", f"/v2/{collection}/q/messages", {"messages": [{"body": 1}]})
            self.assertRefused(response, 500, "Internal server error")
        self.assertEqual(len(self.flushLoggedErrors(StoreFault)), len(self.operations()) + 2)

    def test_unforeseen(self) -> None:
        """An exception that nobody foresaw is 500, and its text stays in the log."""
        api = HttpApi(FailingStorage(ZeroDivisionError("secret")))
        response = api("GET", "/v2/queues/q")
        self.assertRefused(response, 500, "Internal server error")
        self.assertNotIn(b"secret", response.body)
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)

    def test_failure_is_found_in_the_log(self) -> None:
        """A 500 is in the log with its request id, and with the global one where that has the right form."""
        events: list[LogEvent] = []
        observer = cast(ILogObserver, events.append)
        globalLogPublisher.addObserver(observer)
        self.addCleanup(globalLogPublisher.removeObserver, observer)
        api = HttpApi(FailingStorage(ZeroDivisionError()))
        sent = "req-3381af92-2b9e-11e3-b191-71861300734c"
        for given, logged in ((sent, sent), (sent.upper(), "-"), ("x\n", "-")):
            response = api("GET", "/v2/queues/q", headers={"X-Openstack-Request-Id": given})
            event = events[-1]
            self.assertEqual(event["request"], response.header("x-openstack-request-id"))
            self.assertEqual((event["global_request"], event["path"]), (logged, "/v2/queues/q"))
        self.flushLoggedErrors(ZeroDivisionError)

    def test_ping(self) -> None:
        """Ping says without a body whether the store answers."""
        for storage, status in ((MemoryStorage(Clock()), 204), (FailingStorage(StoreUnavailable("away")), 503)):
            response = HttpApi(storage)("GET", "/v2/ping")
            self.assertEqual((response.status, response.body), (status, b""))
        self.assertEqual(self.api("GET", "/v2/ping", bare=True).status, 400)

    def test_health(self) -> None:
        """Health tells of each kind of operation and of the messages; a store that can do nothing is 503."""
        admin: dict[str, str | None] = {"X-ROLES": "Member, ADMIN"}
        self.api("POST", "/v2/queues/q/messages", {"messages": [{"body": 1}]})
        response = self.api("GET", "/v2/health", headers=admin)
        self.assertEqual(response.status, 200)
        self.assertEqual(response.json["message_volume"], {"free": 1, "claimed": 0, "total": 1})
        self.assertIs(response.json["storage_reachable"], True)
        self.assertEqual(len(response.json["operation_status"]), 8)
        for outcome in response.json["operation_status"].values():
            self.assertEqual((outcome["succeeded"], outcome["ref"]), (True, None))
            self.assertIsInstance(outcome["seconds"], float)
        few = MemoryStorage(Clock(), quotas=Quotas(messages_per_queue=1))
        response = HttpApi(few)("GET", "/v2/health", headers=admin)
        self.assertTrue(all(outcome["succeeded"] for outcome in response.json["operation_status"].values()))
        self.assertEqual(self.successResultOf(Deferred.fromCoroutine(few.volume())).free, 0)
        failing = HttpApi(FailingStorage(StoreUnavailable("away")))
        self.assertRefused(failing("GET", "/v2/health", headers=admin), 503, "Service temporarily unavailable")
        self.flushLoggedErrors(StoreUnavailable)


class LaterTests(SynchronousTestCase):
    """A store that answers later."""

    def setUp(self) -> None:
        self.answer: Deferred[None] = Deferred()
        storage = MemoryStorage(Clock())
        delete, answer = storage.queues.delete, self.answer
        self.done: list[str] = []
        done = self.done

        class Queues:
            async def delete(self, project: str, queue: str) -> None:
                await answer
                done.append(queue)
                await delete(project, queue)

        storage.queues = Queues()  # type: ignore[assignment]
        self.api = HttpApi(storage)
        self.request = self.api.make("DELETE", "/v2/queues/q")
        self.api.site.handle(self.request)

    def test_reply_waits(self) -> None:
        """The reply is sent when the store has answered."""
        self.assertEqual(self.request.responses, [])
        self.answer.callback(None)
        self.assertEqual([response.status for response in self.request.responses], [204])

    def test_client_gone(self) -> None:
        """A client that hangs up loses the reply and not the effect."""
        self.request.gone = True
        self.answer.callback(None)
        self.assertEqual((self.request.responses, self.done), ([], ["q"]))


class CorsTests(SiteCase):
    """Pages of other origins."""

    ORIGIN = "https://console.example"

    def setUp(self) -> None:
        self.api = HttpApi(MemoryStorage(Clock()), cors_origins=[self.ORIGIN])

    def test_preflight(self) -> None:
        """An allowed preflight is answered before any other check."""
        headers: dict[str, str | None] = {
            "Origin": self.ORIGIN,
            "Access-Control-Request-Method": "POST",
            "Access-Control-Request-Headers": "X-Project-ID, client-id",
        }
        response = self.api("OPTIONS", "/v2/queues/q/messages", headers=headers, bare=True)
        self.assertEqual((response.status, response.body), (200, b""))
        self.assertEqual(response.header("Access-Control-Allow-Origin"), self.ORIGIN)
        self.assertEqual(response.header("Access-Control-Allow-Headers"), "X-Project-ID, client-id")
        self.assertIsNotNone(response.header("x-openstack-request-id"))
        headers["Origin"] = "https://evil.example"
        response = self.api("OPTIONS", "/v2/queues/q/messages", headers=headers)
        self.assertIsNone(response.header("Access-Control-Allow-Origin"))
        self.assertEqual(response.header("Allow"), "DELETE, GET, POST, OPTIONS")

    def test_simple(self) -> None:
        """A page of an allowed origin can read the response, an error too."""
        for path, status, vary in (("/v2/queues", 200, "Origin"), ("/nope", 404, "Accept, Origin")):
            response = self.api("GET", path, headers={"Origin": self.ORIGIN})
            self.assertEqual(response.status, status)
            self.assertEqual(response.header("Access-Control-Allow-Origin"), self.ORIGIN)
            self.assertEqual(response.header("Vary"), vary)

    def test_no_origin(self) -> None:
        """A request without an origin, or where none is allowed, gets no CORS headers."""
        for api, headers in ((self.api, {}), (HttpApi(MemoryStorage(Clock())), {"Origin": self.ORIGIN})):
            response = api("GET", "/v2/queues", headers=dict(headers))
            self.assertEqual([name for name, _ in response.headers], [b"x-openstack-request-id", b"Content-Type"])


class IdentityTests(SiteCase):
    """Clients and projects."""

    def test_projects_are_apart(self) -> None:
        """A queue of another project does not exist."""
        self.api("PUT", "/v2/queues/q", {"a": 1})
        self.assertEqual(self.api("GET", "/v2/queues/q").json, {"a": 1, **SEVEN})
        self.assertEqual(self.api("GET", "/v2/queues/q", headers={"X-Project-ID": "other"}).json, SEVEN)

    def test_legacy_project_header(self) -> None:
        """The older header names stand in for a missing project and lose against it."""
        self.api("PUT", "/v2/queues/q", {"a": 1})
        older: dict[str, str | None] = {"X-Project-ID": None, "X-Tenant-Id": PROJECT}
        self.assertIn("a", self.api("GET", "/v2/queues/q", headers=older).json)
        self.assertIn("a", self.api("GET", "/v2/queues/q", headers={"X-TENANT-ID": "other"}).json)

    def test_spellings_of_a_client(self) -> None:
        """A client is the same in every spelling of its UUID."""
        self.api("POST", "/v2/queues/q/messages", {"messages": [{"body": 1}]})
        for spelling in (CLIENT.upper(), CLIENT.replace("-", ""), "{" + CLIENT + "}", "urn:uuid:" + CLIENT):
            listed = self.api("GET", "/v2/queues/q/messages", headers={"Client-ID": spelling})
            self.assertEqual((listed.status, listed.json["messages"]), (200, []), spelling)

    def test_bad_clients(self) -> None:
        """Anything else is refused, on the home document and on ping too."""
        for spelling in ("", "0xdeadbeef", CLIENT[:-1], "textid"):
            for path in ("/v2/", "/v2/ping", "/v2/queues"):
                self.assertRefused(self.api("GET", path, headers={"Client-ID": spelling}), 400, "Wrong UUID value")
