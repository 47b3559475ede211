"""Pre-signed URLs on HTTP: sharing, and using what was shared."""

from __future__ import annotations

from typing import Any, cast

from msgspec.structs import asdict
from twisted.logger import ILogObserver, LogEvent, formatEvent, globalLogPublisher

from tests.clocks import SetClock
from tests.helpers import CLIENT, PROJECT, FailingStorage, HttpApi, Response
from tests.transport.http.base import MESSAGES, SiteCase
from zaqar_gateway.errors import StoreUnavailable
from zaqar_gateway.identity.signed_url import UrlSigner
from zaqar_gateway.limits import Limits
from zaqar_gateway.storage.memory import MemoryStorage

KEY = "s3cr3t"
SHARE = "/v2/queues/q/share"
CLAIMS = "/v2/queues/q/claims"
NOW_S = 1767323045  # 2026-01-02T03:04:05Z
RULE, BODY, NO_ROUTE = "Invalid API request", "Invalid request body", "404 Not Found"


class SignedCase(SiteCase):
    """A site with a secret, over an empty store."""

    def setUp(self) -> None:
        self.clock = SetClock(NOW_S + 0.75)
        self.storage = MemoryStorage(self.clock)
        self.api = self.site(KEY)

    def site(self, *keys: str, **options: Any) -> HttpApi:
        """A site over the store."""
        return HttpApi(self.storage, keys=keys, clock=self.clock, **options)

    def share(self, api: HttpApi | None = None, **members: Any) -> Any:
        """What is shared."""
        response = (api or self.api)("POST", SHARE, members)
        self.assertEqual(response.status, 200, response.body)
        return response.json

    def headers(self, shared: Any, **changed: str | None) -> dict[str, str | None]:
        """The headers for what was shared; underscores in names become hyphens."""
        sent = {
            "URL-Signature": shared["signature"],
            "URL-Expires": shared["expires"],
            "URL-Methods": ",".join(shared["methods"]),
            "URL-Paths": ",".join(shared["paths"]),
            "X-Project-ID": shared["project"],
        }
        return {**sent, **{name.replace("_", "-"): value for name, value in changed.items()}}

    def post(self, *bodies: Any, **options: Any) -> Response:
        """Post messages."""
        return self.api("POST", MESSAGES, {"messages": [{"body": body} for body in bodies]}, **options)


class ShareTests(SignedCase):
    """``POST /v2/queues/{queue_name}/share``."""

    def test_defaults(self) -> None:
        """Left out or empty, it is reading messages, until the same second of the next day."""
        empty: dict[str, Any] = {"paths": [], "methods": [], "expires": None}
        for members in ({}, empty):
            response = self.api("POST", SHARE, members)
            self.assertEqual((response.status, response.header("Content-Type")), (200, "application/json"))
            self.assertIsNone(response.header("Location"))
            expected = {"paths": [MESSAGES], "methods": ["GET"], "project": PROJECT, "expires": "2026-01-03T03:04:05"}
            shared = response.json
            self.assertRegex(shared.pop("signature"), "^[0-9a-f]{64}$")
            self.assertEqual(shared, expected)

    def test_vector(self) -> None:
        """The answer to the request of the test vector has its signature."""
        response = self.api(
            "POST",
            "/v2/queues/shq/share",
            {"paths": ["messages", "claims"], "methods": ["POST", "GET"], "expires": "2026-11-24T10:52:36.9+01:00"},
            {"X-Project-ID": "p1"},
        )
        self.assertEqual(
            response.json,
            {
                "paths": ["/v2/queues/shq/claims", "/v2/queues/shq/messages"],
                "methods": ["GET", "POST"],
                "project": "p1",
                "expires": "2026-11-24T09:52:36",
                "signature": "ea2a7a24981df04d764aecbc709a10eec31abfc94570de4951f04bccbe4d859a",
            },
        )

    def test_sorted(self) -> None:
        """Paths and methods come back sorted; methods are whatever was asked for."""
        shared = self.share(paths=["subscriptions", "messages", "claims"], methods=["PUT", "DELETE", "get", "X"])
        self.assertEqual(shared["paths"], [CLAIMS, MESSAGES, "/v2/queues/q/subscriptions"])
        self.assertEqual(shared["methods"], ["DELETE", "PUT", "X", "get"])

    def test_expires(self) -> None:
        """An expiry is a date or date-time of ISO 8601, UTC without an offset, in whole seconds."""
        for text, expected in (
            ("2030-01-01", "2030-01-01T00:00:00"),
            ("2030-01-01T00:00:00.999999", "2030-01-01T00:00:00"),
            ("2030-01-01 02:00+02:00", "2030-01-01T00:00:00"),
            ("2029-12-31T24:00Z", "2030-01-01T00:00:00"),
            ("2026-01-02T03:04:06", "2026-01-02T03:04:06"),
        ):
            self.assertEqual(self.share(expires=text)["expires"], expected)

    def test_rules(self) -> None:
        """What breaks a rule is refused with the name of the member."""
        rules: tuple[tuple[str, tuple[Any, ...]], ...] = (
            ("paths", (
                "messages", {}, None, 1, True, ["queues"], ["messages", ""], [1], [None], [["messages"]], ["/messages"],
            )),
            ("methods", ("GET", {}, None, 1, [1], [None], ["GET", ["POST"]], [{}], [r"a\nb"])),
            ("expires", (
                "", "soon", "20300101", " 1893456000", "-1", "1893456000", 1893456000, 1.5, True, [], {}, "2030",
                "2030-1-1", "2026-01-02T03:04:05", "2026-01-02T03:04:05.9", "2020-01-01", "2026-01-02T04:04:05+01:00", "١٢٣٤",
            )),
            ("project_id", ("p", None)),
            ("Paths", (["messages"],)),
            ("", (1,)),
        )  # fmt: skip
        for member, values in rules:
            for value in values:
                response = self.api("POST", SHARE, {member: value})
                self.assertRefused(response, 400, RULE)
                self.assertIn(member, response.json["description"], value)

    def test_bodies(self) -> None:
        """What is no JSON object is refused."""
        large = b'{"a": 9223372036854775808}'
        for body in (b"", b" ", b".", b"{", b"[]", b"[{}]", b'"paths"', b"null", b"1", b"\xff", large):
            self.assertRefused(self.api("POST", SHARE, body), 400, BODY)
        response = self.api("POST", SHARE, b"{")
        self.assertIn("body could not be parsed", response.json["description"])

    def test_size(self) -> None:
        """The bound of its body is not that of metadata."""
        api = self.site(KEY, limits=Limits(queue_metadata_max=2, post_size_max=2))
        self.assertEqual(api("POST", SHARE, b'{"methods": ["GET"]}' + b" " * 200000).status, 200)
        self.assertRefused(api("POST", SHARE, b"{}" + b" " * 300000), 400, RULE)

    def test_no_secret(self) -> None:
        """Without a secret there is nothing to share."""
        response = self.site()("POST", SHARE, {})
        self.assertRefused(response, 400, RULE)
        self.assertIn("secret", response.json["description"])

    def test_no_store(self) -> None:
        """The queue is not looked up: a store that is away does not matter."""
        api = HttpApi(FailingStorage(StoreUnavailable("away")), keys=[KEY], clock=self.clock)
        self.assertEqual(api("POST", SHARE, {}).status, 200)

    def test_checks(self) -> None:
        """The checks of every request come first."""
        self.assertRefused(self.api("POST", "/v2/queues/a@b/share", {}), 400, "Invalid queue identification")
        self.assertRefused(self.api("POST", SHARE, {}, {"Client-ID": None}), 400, "Missing header value")
        response = self.api("GET", SHARE)
        self.assertRefused(response, 405, "405 Method Not Allowed")
        self.assertEqual(response.header("Allow"), "POST, OPTIONS")
        self.assertRefused(self.api("POST", "/v2/topics/t/share", {}), 404, NO_ROUTE)


class UseTests(SignedCase):
    """Requests with a signature."""

    def assertNoRoute(self, response: Response) -> None:
        """The response is that of an unknown route, to the letter."""
        self.assertEqual(response.status, 404)
        self.assertEqual(response.body, self.api("GET", "/v2/nope").body)
        self.assertEqual(response.json, {"title": NO_ROUTE})

    def test_use(self) -> None:
        """The signed methods work on the signed paths and below them, in the project that was signed."""
        shared = self.share(methods=["GET", "POST", "DELETE"])
        sent = self.headers(shared)
        posted = self.post("by the holder", headers=sent)
        self.assertEqual(posted.status, 201)
        (href,) = posted.json["resources"]
        self.assertEqual(self.api("GET", href, headers=sent).json["body"], "by the holder")
        listed = self.api("GET", MESSAGES + "?echo=true", headers=sent)
        self.assertEqual([message["body"] for message in listed.json["messages"]], ["by the holder"])
        self.assertEqual(self.api("DELETE", href, headers=sent).status, 204)
        self.assertNoRoute(self.api("PATCH", MESSAGES, headers=sent))

    def test_order_of_lists(self) -> None:
        """The order of the lists in the headers does not matter, nor do blanks between their members."""
        shared = self.share(paths=["messages", "claims"], methods=["GET", "POST"])
        for changed in (
            {"URL_Methods": "POST,GET"},
            {"URL_Paths": f"{MESSAGES},{CLAIMS}"},
            {"URL_Methods": "POST, GET", "URL_Paths": f"{MESSAGES} , {CLAIMS}"},
        ):
            self.assertEqual(self.api("GET", MESSAGES, headers=self.headers(shared, **changed)).status, 200)
            self.assertEqual(self.api("POST", CLAIMS, headers=self.headers(shared, **changed)).status, 204)

    def test_other_paths(self) -> None:
        """Anything beside the signed paths is no route, though it be one without a signature."""
        sent = self.headers(self.share(methods=["GET", "PUT", "POST", "DELETE"]))
        for method, path in (
            ("GET", "/"), ("GET", "/v2/"), ("GET", "/v2/ping"), ("GET", "/v2/queues"), ("GET", "/v2/queues/q"),
            ("PUT", "/v2/queues/q"), ("DELETE", "/v2/queues/q"), ("GET", "/v2/queues/q/stats"), ("POST", SHARE),
            ("POST", CLAIMS), ("GET", "/v2/queues/other/messages"), ("GET", "/v2/queues/q2/messages"),
            ("GET", "/v2/topics/q/messages"), ("GET", "/v2/queues/a@b/messages"),
        ):  # fmt: skip
            self.assertNoRoute(self.api(method, path, headers=sent))

    def test_tricks(self) -> None:
        """A path counts as it is routed: decoded once, neither normalised nor cut."""
        sent = self.headers(self.share(methods=["GET", "DELETE"]))
        for path in (
            "/v2/queues/q/messagesX", "/v2/queues/q/messages%58", "/v2/queues/q//messages", "//v2/queues/q/messages",
            "/v2/queues/q/messages/../../p/messages", "/v2/queues/q/messages/..%2F..%2Fp%2Fmessages",
            "/v2/queues/q/messages%2F..%2F..%2F..%2Fqueues", "/v2/queues/p%2Fmessages",
            "/v2/queues/p/messages?/v2/queues/q/messages",
            "/v2/queues/p/messages%3F/v2/queues/q/messages", "/v2/queues/q%00/messages", "/v2/queues/./q/messages",
            "/v2/queues/q%252Fmessages", "/v2/queues/q/x/../messages", "/v2/queues/Q/messages",
            "/v2/queues/q;/messages", "/v2/queues/q/messages%00",
        ):  # fmt: skip
            self.assertNoRoute(self.api("GET", path, headers=sent))
            self.assertEqual(self.api("DELETE", path, headers=sent).status, 404)
        for path in ("/v2/queues/q%2Fmessages", "/v2/%71ueues/q/messages", "/v2/queues/q/m%65ssages"):
            self.assertEqual(self.api("GET", path, headers=sent).status, 200)
        for path in ("/v2/queues/q/messages/..", "/v2/queues/q/messages/%2e%2e", "/v2/queues/q/messages/%252F"):
            # The route of one message, of which there is none.
            self.assertRefused(self.api("GET", path, headers=sent), 404, "Not found")

    def test_altered(self) -> None:
        """With any header altered, missing, empty or unreadable it is no route."""
        shared = self.share(methods=["GET", "POST"])
        signature = shared["signature"]
        for name, values in {
            "URL-Signature": ("", signature[:-1], signature + "0", signature.upper(), f"{signature}, {signature}", "é"),
            "URL-Expires": (None, "", "never", "2026-01-03T03:04:06", "2020-01-01T00:00:00", "1767409445"),
            "URL-Methods": (None, "", "GET", "GET,POST,PUT", "GET,POST,", "get,post", "GET;POST", "POST"),
            "URL-Paths": (None, "", "/v2", f"{MESSAGES},", f"{MESSAGES},{CLAIMS}", "/v2/queues/q", ".*", CLAIMS),
            "X-Project-ID": (None, "", "other", f"{PROJECT} x"),
        }.items():
            for value in values:
                self.assertNoRoute(self.api("GET", MESSAGES, headers={**self.headers(shared), name: value}))
        self.assertNoRoute(self.api("GET", MESSAGES, headers={"URL-Signature": ""}))
        self.assertNoRoute(
            self.api("GET", MESSAGES, headers={**self.headers(shared), "X-Project-ID": None, "X-Tenant-ID": PROJECT})
        )

    def test_other_headers_alone(self) -> None:
        """Without URL-Signature the other headers mean nothing."""
        sent = {**self.headers(self.share()), "URL-Signature": None}
        self.assertEqual(self.api("POST", CLAIMS, headers=sent).status, 204)

    def test_expired(self) -> None:
        """When it has expired it is no route."""
        sent = self.headers(self.share(expires="2026-01-02T03:05:00"))
        self.clock.advance(54)
        self.assertEqual(self.api("GET", MESSAGES, headers=sent).status, 200)
        self.clock.advance(0.25)
        self.assertNoRoute(self.api("GET", MESSAGES, headers=sent))

    def test_expiry_in_other_words(self) -> None:
        """The expiry may be brought in any form."""
        shared = self.share(expires="2030-01-01")
        for text in ("2030-01-01", "20300101T000000Z", "2030-01-01T01:00:00.5+01:00"):
            self.assertEqual(self.api("GET", MESSAGES, headers=self.headers(shared, URL_Expires=text)).status, 200)

    def test_rotation(self) -> None:
        """A signature by an earlier key is good while that key is configured."""
        old = self.headers(self.share())
        self.api = self.site("new", KEY)
        new = self.headers(self.share())
        self.assertNotEqual(old["URL-Signature"], new["URL-Signature"])
        for sent in (old, new):
            self.assertEqual(self.api("GET", MESSAGES, headers=sent).status, 200)
        self.api = self.site("new")
        self.assertEqual(self.api("GET", MESSAGES, headers=new).status, 200)
        self.assertNoRoute(self.api("GET", MESSAGES, headers=old))

    def test_no_secret(self) -> None:
        """Without a secret a signature is no route."""
        sent = self.headers(self.share())
        self.api = self.site()
        self.assertNoRoute(self.api("GET", MESSAGES, headers=sent))

    def test_order_of_checks(self) -> None:
        """A signature is looked at after the route and before all else, which is still looked at."""
        sent = self.headers(self.share(methods=["GET", "POST", "PUT"]))
        bad = {**sent, "URL-Signature": "x", "Accept": "application/xml", "Client-ID": None}
        self.assertNoRoute(self.api("GET", MESSAGES, headers=bad))
        self.assertNoRoute(self.api("GET", "/v2/nope", headers=sent))
        for changed, status, title in (
            ({"Accept": "application/xml", "Client-ID": None}, 406, "406 Not Acceptable"),
            ({"Client-ID": None}, 400, "Missing header value"),
            ({"Client-ID": "x"}, 400, "Wrong UUID value"),
        ):
            self.assertRefused(self.api("GET", MESSAGES, headers={**sent, **changed}), status, title)
        self.assertRefused(self.api("PUT", MESSAGES, headers=sent), 405, "405 Method Not Allowed")
        self.assertRefused(self.api("POST", MESSAGES, b"{", sent), 400, BODY)

    def test_options(self) -> None:
        """What is wrong with OPTIONS is not told."""
        sent = {**self.headers(self.share()), "URL-Signature": "x"}
        response = self.api("OPTIONS", MESSAGES, headers=sent)
        self.assertEqual((response.status, response.body, response.header("Allow")), (200, b"", None))

    def test_no_role(self) -> None:
        """What the client says of its roles is not covered by the signature, and does not count."""
        signed = UrlSigner((KEY,), self.clock).sign(PROJECT, ["/v2/health"], ["GET"], NOW_S + 60)
        sent = {**self.headers(asdict(signed)), "X-Roles": "admin", "X-Role": "admin", "X-User-ID": "somebody"}
        self.assertRefused(self.api("GET", "/v2/health", headers=sent), 403, "Not authorized")
        self.assertEqual(self.api("GET", "/v2/health", headers={**sent, "URL-Signature": None}).status, 200)

    def test_project(self) -> None:
        """A project that is named in any script is signed and found again."""
        for project in ("проект 1", "a,b", " "):
            shared = self.api("POST", SHARE, {}, {"X-Project-ID": project}).json
            self.assertEqual(shared["project"], project)
            self.assertEqual(self.api("GET", MESSAGES, headers=self.headers(shared)).status, 200)

    def test_long_project(self) -> None:
        """A signature does not lift the bound of a project's length."""
        project = "p" * 257
        signed = UrlSigner((KEY,), self.clock).sign(project, [MESSAGES], ["GET"], NOW_S + 60)
        response = self.api("GET", MESSAGES, headers=self.headers(asdict(signed)))
        self.assertRefused(response, 400, "Invalid queue identification")

    def test_nothing_in_the_log(self) -> None:
        """Neither a key nor a signature is logged, or told in an error."""
        events: list[LogEvent] = []
        observer = cast(ILogObserver, events.append)
        globalLogPublisher.addObserver(observer)
        self.addCleanup(globalLogPublisher.removeObserver, observer)
        shared = self.share(methods=["POST"])
        bodies = [self.api("GET", MESSAGES, headers=self.headers(shared)).body]
        failing = HttpApi(FailingStorage(ZeroDivisionError()), keys=[KEY], clock=self.clock)
        for body in ({"messages": [{"body": 1}]}, {}):
            bodies.append(failing("POST", MESSAGES, body, self.headers(shared)).body)
        bodies.append(self.site()("POST", SHARE, {}).body)
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        said = [f"{formatEvent(event)}{event.get('log_failure', '')}{event!r}" for event in events]
        self.assertGreaterEqual(len(said), 2)
        for text in (*said, *map(bytes.decode, bodies)):
            self.assertNotIn(KEY, text)
            self.assertNotIn(shared["signature"], text)

    def test_client(self) -> None:
        """The client of a signed request is the one that it names: it does not see its own messages."""
        shared = self.share(methods=["GET", "POST"])
        self.assertEqual(self.post(1, headers=self.headers(shared)).status, 201)
        self.assertEqual(self.api("GET", MESSAGES, headers=self.headers(shared, Client_ID=CLIENT)).json["messages"], [])
