"""Who is let in over HTTP, and what they are told who are not (API reference, "Keystone authentication")."""

from __future__ import annotations

from typing import Any

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from tests.helpers import CLIENT, KEYSTONE, PROJECT, HttpApi, RecordedRequest
from tests.tokens import StubTokens, caller
from zaqar_gateway.errors import IdentityUnavailable, Unauthorized
from zaqar_gateway.storage.memory import MemoryStorage

QUEUE = "/v2/queues/q"
TOKEN: dict[str, str | None] = {"X-Auth-Token": "t1"}


class AuthenticationCase(SynchronousTestCase):
    """An API that asks for tokens; ``t1`` is u1's in p1."""

    def setUp(self) -> None:
        self.tokens = StubTokens(t1=caller("p1", "u1", "member"), bad=None, bare=caller("", "u1"))
        self.clock = Clock()
        self.api = HttpApi(MemoryStorage(self.clock), tokens=self.tokens, keys=["s3cr3t"], clock=self.clock)

    def refused(self, *asked: Any, **options: Any) -> None:
        """See that a request is answered with the 401 of the API."""
        answer = self.api(*asked, **options)
        self.assertEqual(answer.status, 401)
        self.assertEqual(answer.header("WWW-Authenticate"), f'Keystone uri="{KEYSTONE}"')
        self.assertEqual(answer.header("Content-Type"), "application/json")
        self.assertRegex(answer.header("x-openstack-request-id") or "", "^req-")
        error = answer.json["error"]
        self.assertEqual((list(answer.json), error["code"], error["title"]), (["error"], 401, "Unauthorized"))
        self.assertIsInstance(error["message"], str)

    def begun(self, method: str, target: str, token: str, body: object = None) -> RecordedRequest:
        """A request whose token has to be looked up."""
        request = self.api.make(method, target, body, {"X-Auth-Token": token})
        self.api.site.handle(request)
        self.assertEqual(request.responses, [])
        return request


class AdmittedTests(AuthenticationCase):
    """Requests with a token that is valid."""

    def test_project(self) -> None:
        """Everything happens in the token's project, whatever the client says."""
        self.assertEqual(self.api("PUT", QUEUE, headers={**TOKEN, "X-Project-ID": "p2"}).status, 201)
        self.tokens.callers["t2"] = caller("p2", "u2")
        for token, names in (("t1", ["q"]), ("t2", [])):
            queues = self.api("GET", "/v2/queues", headers={"X-Auth-Token": token, "X-Project-ID": None}).json["queues"]
            self.assertEqual([queue["name"] for queue in queues], names)

    def test_roles(self) -> None:
        """Roles are the token's: nobody makes themselves an administrator."""
        claimed: dict[str, str | None] = {"X-Roles": "admin", "X-Role": "admin", "X-User-Id": "root", "X-Is-Admin": "1"}
        claimed |= {"X-Identity-Status": "Confirmed", "X-Tenant-Id": "p2", "X-Tenant": "p2"}
        self.assertEqual(self.api("GET", "/v2/health", headers={**TOKEN, **claimed}).status, 403)
        self.tokens.callers["t1"] = caller("p1", "u1", "admin")
        self.assertEqual(self.api("GET", "/v2/health", headers=TOKEN).status, 200)

    def test_no_project(self) -> None:
        """A token without a project gets 400, also with a project of the client's."""
        answer = self.api("GET", "/v2/queues", headers={"X-Auth-Token": "bare"})
        self.assertEqual((answer.status, answer.title), (400, "Project-Id Missing"))

    def test_looked_up(self) -> None:
        """A token that is not known is looked up, and the request then goes its way with its body."""
        body = {"messages": [{"body": 1}]}
        request = self.begun("POST", f"{QUEUE}/messages", "t2", body)
        self.assertEqual(self.tokens.asked, ["t2"])
        self.tokens.answer(caller("p2", "u2"))
        (answer,) = request.responses
        self.assertEqual(answer.status, 201)

    def test_later_checks(self) -> None:
        """Who is let in meets the other checks as ever."""
        self.assertEqual(self.api("GET", "/v2/nope", headers=TOKEN).status, 404)
        self.assertEqual(self.api("GET", QUEUE, headers={**TOKEN, "Client-ID": None}).status, 400)
        self.assertEqual(self.api("POST", QUEUE, headers=TOKEN).status, 405)


class RefusedTests(AuthenticationCase):
    """Requests without a token that is valid."""

    def test_401(self) -> None:
        """No token, an empty one and one that is not valid are refused, before anything else is looked at."""
        refused: list[dict[str, str | None]] = [{}, {"X-Auth-Token": ""}, {"X-Auth-Token": "bad"}]
        for headers in refused:
            for method, target in (("GET", QUEUE), ("GET", "/v2/nope"), ("GET", "/v2/"), ("PATCH", "//"), ("GET", "/v2")):
                self.refused(method, target, headers={**headers, "X-Roles": "admin", "Accept": "application/xml"})
            self.refused("GET", QUEUE, bare=True, headers=headers)

    def test_no_way_round(self) -> None:
        """Other headers than the signature's stand in for no token."""
        for name in ("URL-Expires", "URL-Paths", "URL-Methods", "EXTRA-SPEC", "X-Service-Token", "X-Subject-Token"):
            self.refused("GET", QUEUE, headers={name: "t1"})

    def test_looked_up(self) -> None:
        """So is one that turns out not to be."""
        request = self.begun("GET", QUEUE, "t2")
        self.tokens.answer(Unauthorized("no"))
        self.assertEqual(request.responses[0].status, 401)

    def test_head(self) -> None:
        """HEAD is no exception."""
        self.assertEqual(self.api("HEAD", "/v2/ping").status, 401)

    def test_options(self) -> None:
        """An OPTIONS request is told nothing: a bare 200."""
        refused: list[dict[str, str | None]] = [{}, {"X-Auth-Token": "bad"}]
        for headers in refused:
            answer = self.api("OPTIONS", QUEUE, headers=headers)
            self.assertEqual((answer.status, answer.body, answer.header("Allow")), (200, b"", None))

    def test_unavailable(self) -> None:
        """Where nobody can say whose a token is that is 503, with a time to come back; without a token it is 401."""
        request = self.begun("GET", QUEUE, "t2")
        self.tokens.answer(IdentityUnavailable("The identity service does not answer."))
        (answer,) = request.responses
        self.assertEqual((answer.status, answer.title), (503, "Service temporarily unavailable"))
        self.assertEqual(answer.header("Retry-After"), "2")
        self.refused("GET", QUEUE)

    def test_crash(self) -> None:
        """A look-up that fails as nobody foresaw is 500, and in the log."""
        request = self.begun("GET", QUEUE, "t2")
        self.tokens.answer(ZeroDivisionError())
        self.assertEqual(request.responses[0].status, 500)
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)

    def test_gone(self) -> None:
        """A client that has hung up meanwhile is sent nothing."""
        request = self.begun("GET", QUEUE, "t2")
        request.gone = True
        self.tokens.answer(Unauthorized("no"))
        self.assertEqual(request.responses, [])

    def test_body(self) -> None:
        """The body of a request that will be refused is not kept."""
        for token, kept in ((None, False), ("bad", False), ("t1", True), ("t2", True)):
            request = self.api.make("POST", f"{QUEUE}/messages", None, {"X-Auth-Token": token})
            self.assertEqual(self.api.site.body_limit(request) > 0, kept)

    def test_cors(self) -> None:
        """A page of an allowed origin sees the refusal, and its preflight needs no token."""
        origin = "https://app.example"
        self.api = HttpApi(MemoryStorage(self.clock), tokens=self.tokens, cors_origins=[origin])
        answer = self.api("GET", QUEUE, headers={"Origin": origin})
        self.assertEqual((answer.status, answer.header("Access-Control-Allow-Origin")), (401, origin))
        asked: dict[str, str | None] = {"Origin": origin, "Access-Control-Request-Method": "GET"}
        answer = self.api("OPTIONS", QUEUE, headers=asked)
        self.assertEqual((answer.status, answer.header("Access-Control-Allow-Origin")), (200, origin))


class ExemptTests(AuthenticationCase):
    """What needs no token."""

    def test_versions(self) -> None:
        """The list of versions is for everybody, by exactly one path."""
        self.assertEqual(self.api("GET", "/", bare=True).status, 300)
        for target in ("//", "/%2F", "/?", "/."):
            request = self.api.make("GET", target, bare=True)
            self.api.site.handle(request)
            self.assertEqual(request.responses[0].status, 300 if target == "/?" else 401, target)

    def signed(self, **changes: str) -> dict[str, str | None]:
        """The headers of a pre-signed URL for the messages of a queue in p1."""
        signed = self.api("POST", f"{QUEUE}/share", {"methods": ["GET"], "paths": ["messages"]}, TOKEN).json
        headers: dict[str, str | None] = {
            "URL-Signature": signed["signature"],
            "URL-Expires": signed["expires"],
            "URL-Methods": ",".join(signed["methods"]),
            "URL-Paths": ",".join(signed["paths"]),
            "X-Project-ID": signed["project"],
        }
        return headers | changes

    def test_signed(self) -> None:
        """A signature stands in for a token, in its project, and gives no role."""
        headers = self.signed()
        self.assertEqual(self.api("GET", f"{QUEUE}/messages", headers=headers).status, 200)
        self.assertEqual(self.api("GET", f"{QUEUE}/messages", headers={**headers, "X-Auth-Token": "bad"}).status, 200)
        self.assertEqual(self.tokens.asked, [])

    def test_bad_signature(self) -> None:
        """One that does not hold is 404, wherever it is brought, and an empty one too; it is no way round a token."""
        for target, changes in (
            (f"{QUEUE}/messages", {"URL-Signature": ""}),
            (f"{QUEUE}/messages", {"X-Project-ID": "p2"}),
            (QUEUE, {}),
            ("/v2/queues", {"URL-Signature": "x"}),
            ("/v2/", {"URL-Signature": "x"}),
        ):
            answer = self.api("GET", target, headers={**self.signed(**changes), "X-Auth-Token": "t1"})
            self.assertEqual(answer.status, 404, (target, changes))


class StrictTests(SynchronousTestCase):
    """The one who is let in by nobody."""

    def test_nobody(self) -> None:
        """Where tokens are asked for, headers alone identify nobody, even if nobody has asked for one."""
        api = HttpApi(MemoryStorage(Clock()), tokens=StubTokens())
        request = api.make("GET", QUEUE, headers={"X-Project-ID": PROJECT, "Client-ID": CLIENT})
        api.site._route(request)
        self.assertEqual(request.responses[0].status, 401)
