"""The room of the web console: its pages, and signing in."""

from __future__ import annotations

from importlib.resources import files
from typing import Any, cast

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer
from zope.interface.verify import verifyObject

from tests.helpers import HttpApi, RecordedRequest
from tests.logs import logged
from tests.tokens import caller
from zaqar_gateway.errors import IdentityUnavailable, ProjectMissing, Unauthorized
from zaqar_gateway.interfaces import ISignIn
from zaqar_gateway.model import Login, SignedIn
from zaqar_gateway.operations.refusals import Refusals
from zaqar_gateway.storage.memory import MemoryStorage
from zaqar_gateway.transport.http.console import BODY_MAX, UNDER_WAY_MAX, Attempts, Console

SIGN_IN = "/console/sign-in"
JSON: dict[str, str | None] = {"Content-Type": "application/json"}
ANN = {"user": "ann", "password": "sesame", "project": "alpha"}
SIGNED = SignedIn("t1", caller("p1", "u1", "member", "admin", expires_s=1795698155), "ann", "alpha")


@implementer(ISignIn)
class StubSignIn:
    """Signing in that waits until the test ends it.

    :ivar asked: what it was asked.
    """

    def __init__(self) -> None:
        self.asked: list[Login | str] = []
        self._waiting: list[Deferred[SignedIn]] = []

    async def with_password(self, login: Login) -> SignedIn:
        """See :class:`~zaqar_gateway.interfaces.ISignIn`."""
        return await self._ask(login)

    async def with_token(self, token: str) -> SignedIn:
        """See :class:`~zaqar_gateway.interfaces.ISignIn`."""
        return await self._ask(token)

    def _ask(self, what: Login | str) -> Deferred[SignedIn]:
        self.asked.append(what)
        self._waiting.append(Deferred())
        return self._waiting[-1]

    def answer(self, outcome: SignedIn | Exception) -> None:
        """End the oldest one."""
        waiting = self._waiting.pop(0)
        if isinstance(outcome, Exception):
            waiting.errback(outcome)
        else:
            waiting.callback(outcome)


class ConsoleCase(SynchronousTestCase):
    """A gateway with a console, and an identity service that the test plays."""

    per_minute = 1000

    def setUp(self) -> None:
        self.clock = Clock()
        self.sign_in = StubSignIn()
        self.refusals = Refusals()
        self.api = self.served(self.sign_in)

    def served(self, sign_in: ISignIn | None) -> HttpApi:
        """A gateway."""
        attempts = Attempts(self.per_minute, self.clock)
        room = Console(files("zaqar_gateway") / "console", sign_in, attempts, self.refusals)
        return HttpApi(MemoryStorage(Clock()), rooms={b"console": room}, cors_origins=["https://evil.example"])

    def begun(self, body: object, headers: dict[str, str | None] = JSON) -> RecordedRequest:
        """A sign-in, under way or ended."""
        request = self.api.make("POST", SIGN_IN, body, headers, bare=True)
        self.api.site.handle(request)
        return request

    def ended(self, request: RecordedRequest, outcome: SignedIn | Exception) -> tuple[int, Any]:
        """Status and body of a sign-in that comes to an end."""
        self.assertEqual(request.responses, [])
        self.sign_in.answer(outcome)
        (response,) = request.responses
        return response.status, response.json

    def refused(self, body: object, headers: dict[str, str | None] = JSON) -> tuple[int, str]:
        """Status and text of a sign-in that is refused at once."""
        (response,) = self.begun(body, headers).responses
        return response.status, response.json["description"]


class PageTests(ConsoleCase):
    """What browsers get."""

    def test_index(self) -> None:
        """The console is a folder; without the slash its pages would not find each other."""
        page = self.api("GET", "/console/", bare=True)
        self.assertEqual((page.status, page.header("Content-Type")), (200, "text/html; charset=utf-8"))
        moved = self.api("GET", "/console", bare=True)
        self.assertEqual((moved.status, moved.header("Location")), (308, "console/"))

    def test_headers(self) -> None:
        """Pages and scripts may load what comes from here alone, run no text as a script, and stand in no frame."""
        for path in ("/console/", "/console/main.js", "/console/style.css", "/console/icon.svg"):
            page = self.api("GET", path, headers={"Origin": "https://evil.example"}, bare=True)
            self.assertEqual(page.status, 200, path)
            policy = dict(each.split(" ", 1) for each in (page.header("Content-Security-Policy") or "").split("; "))
            self.assertEqual(policy.pop("default-src"), "'none'")
            self.assertEqual({policy.pop(each) for each in ("base-uri", "form-action", "frame-ancestors")}, {"'none'"})
            self.assertEqual(policy.pop("require-trusted-types-for"), "'script'")
            self.assertEqual(policy.pop("trusted-types"), "'none'")
            self.assertEqual(
                policy, dict.fromkeys(("script-src", "style-src", "img-src", "connect-src"), "'self'"), path
            )
            self.assertEqual(page.header("Cross-Origin-Opener-Policy"), "same-origin")
            self.assertEqual(page.header("Cross-Origin-Resource-Policy"), "same-origin")
            self.assertIsNone(page.header("Access-Control-Allow-Origin"))

    def test_no_keystone(self) -> None:
        """Without an identity service there is no sign-in."""
        self.api = self.served(None)
        for method in ("POST", "GET"):
            self.assertEqual(self.api(method, SIGN_IN, ANN, JSON, bare=True).status, 404)

    def test_off(self) -> None:
        """A gateway without the room knows no console."""
        api = HttpApi(MemoryStorage(Clock()))
        for path in ("/console", "/console/", "/console/main.js", SIGN_IN):
            self.assertEqual(api("GET", path).status, 404)

    def test_own_files(self) -> None:
        """No script or style stands within a page, none makes markup of text, and nothing comes from elsewhere."""
        for found in (files("zaqar_gateway") / "console").iterdir():
            text = found.read_text(encoding="utf-8")
            for planted in ("innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval(", "new Function"):
                self.assertNotIn(planted, text, found.name)
            if found.name.endswith(".html"):
                self.assertNotRegex(text, r"(?i)<script(?![^>]* src=)|<style|\sstyle=|\son\w+=")
            self.assertNotRegex(text, r"""(?:from|import|src=|href=|url)[ (]*["']?(?:https?:)?//""", found.name)


class SignInTests(ConsoleCase):
    """A token for people."""

    def test_interface(self) -> None:
        """The stub is what the console asks for."""
        verifyObject(ISignIn, self.sign_in)

    def test_password(self) -> None:
        """Who signs in gets a token, and is told whose it is."""
        status, told = self.ended(self.begun(ANN), SIGNED)
        self.assertEqual(status, 200)
        self.assertEqual(
            told,
            {
                "token": "t1",
                "expires_at": "2026-11-26T13:02:35Z",
                "user": {"id": "u1", "name": "ann"},
                "project": {"id": "p1", "name": "alpha"},
                "roles": ["admin", "member"],
            },
        )
        self.begun({**ANN, "domain": "Staff", "project_domain": "Work"}, {"Content-Type": "application/json; charset=utf-8"})
        self.begun({**ANN, "domain": "", "project_domain": None})
        self.assertEqual(
            self.sign_in.asked,
            [
                Login("ann", "sesame", "alpha"),
                Login("ann", "sesame", "alpha", "Staff", "Work"),
                Login("ann", "sesame", "alpha"),
            ],
        )

    def test_token(self) -> None:
        """Who has a token is told whose it is; names are not known then."""
        status, told = self.ended(self.begun({"token": "t2"}), SignedIn("t2", caller("p1", "u1", "member")))
        self.assertEqual((status, told["token"], told["user"]), (200, "t2", {"id": "u1", "name": None}))
        self.assertEqual(self.sign_in.asked, ["t2"])

    def test_no(self) -> None:
        """What the identity service says no to, or does not answer, is told as the API tells it."""
        for error, status, title in (
            (Unauthorized("No."), 401, "Unauthorized"),
            (ProjectMissing("None."), 400, "Project-Id Missing"),
            (IdentityUnavailable("Away."), 503, "Service temporarily unavailable"),
        ):
            self.assertEqual(self.ended(self.begun(ANN), error), (status, {"title": title, "description": _text(error)}))

    def test_wrong(self) -> None:
        """What cannot be right is refused, and it is said what would be; nobody else is asked."""
        for body, said in (
            (b"", "not JSON"),
            (b"[" * 5000, "not JSON"),
            (b"\xff", "not JSON"),
            ([], "has to be a JSON object"),
            (None, "not JSON"),
            ({"password": "x", "project": "p"}, "user has to be text of 1 to 255 characters."),
            ({**ANN, "user": ""}, "user has to be text"),
            ({**ANN, "user": 7}, "user has to be text"),
            ({**ANN, "password": "x" * 4097}, "password has to be text of 1 to 4096 characters."),
            ({**ANN, "project": None}, "project has to be text"),
            ({**ANN, "domain": ["d"]}, "domain has to be text"),
            ({**ANN, "realm": "x"}, "'realm' is unknown; the fields are user, password"),
            ({**ANN, "token": "t"}, "With token there may be no other field."),
            ({"token": ""}, "token has to be text"),
            ({**ANN, "password": "x" * BODY_MAX}, f"too large; it may have {BODY_MAX} bytes."),
        ):
            status, text = self.refused(body)
            self.assertEqual((status, said in text), (400, True), text)
        for kind in (None, "text/plain", "application/x-www-form-urlencoded"):
            status, text = self.refused(ANN, {"Content-Type": kind})
            self.assertEqual((status, text), (415, "Content-Type has to be application/json."))
        self.assertEqual(self.sign_in.asked, [])

    def test_methods(self) -> None:
        """It is posted, and only from pages of the gateway itself."""
        for method in ("GET", "HEAD", "PUT", "DELETE"):
            answer = self.api(method, SIGN_IN, bare=True)
            self.assertEqual((answer.status, answer.header("Allow")), (405, "OPTIONS, POST"))
        asked = {
            "Origin": "https://evil.example",
            "Access-Control-Request-Method": "POST",
            "Access-Control-Request-Headers": "content-type",
        }
        answer = self.api("OPTIONS", SIGN_IN, headers=dict(asked), bare=True)
        self.assertEqual((answer.status, answer.header("Access-Control-Allow-Origin")), (200, None))

    def test_under_way(self) -> None:
        """So many wait for the identity service and no more; those that have ended make room."""
        requests = [self.begun(ANN) for _ in range(UNDER_WAY_MAX)]
        (response,) = self.begun(ANN).responses
        self.assertEqual((response.status, response.header("Retry-After")), (503, "1"))
        self.ended(requests[0], Unauthorized("No."))
        self.assertEqual(self.begun(ANN).responses, [])

    def test_secrets(self) -> None:
        """Neither password nor token gets into the log, whatever happens."""
        seen = logged(self)
        self.ended(self.begun(ANN), SIGNED)
        self.ended(self.begun(ANN), Unauthorized("No."))
        self.ended(self.begun(ANN), RuntimeError("surprise"))
        self.refused({**ANN, "user": 7})
        self.flushLoggedErrors(RuntimeError)
        text = repr(list(seen))
        self.assertIn("has signed in", text)
        for secret in ("sesame", "t1"):
            self.assertNotIn(f"'{secret}'", text)
        self.assertNotIn("sesame", repr(self.sign_in.asked) + repr(SIGNED))


class RateTests(ConsoleCase):
    """How often one address may try."""

    per_minute = 3

    def begun_from(self, peer: str) -> RecordedRequest:
        """A sign-in from an address."""
        request = self.api.make("POST", SIGN_IN, ANN, JSON, bare=True)
        cast(Any, request)._wire.peer = peer
        self.api.site.handle(request)
        return request

    def test_address(self) -> None:
        """Three at once, and three a minute; other addresses are not concerned."""
        for _ in range(3):
            self.assertEqual(self.begun_from("192.0.2.1:1").responses, [])
        (response,) = self.begun_from("192.0.2.1:2").responses
        self.assertEqual((response.status, response.header("Retry-After")), (429, "20"))
        self.assertEqual(
            response.json["description"], "There are 3 sign-ins a minute from one address, and no more."
        )
        self.assertEqual(self.refusals.counts, {"web.sign_ins_per_minute": 1})
        self.assertEqual(self.begun_from("192.0.2.2:1").responses, [])
        self.clock.advance(19)
        self.assertEqual(self.begun_from("192.0.2.1:1").responses[0].header("Retry-After"), "1")
        self.clock.advance(1)
        self.assertEqual(self.begun_from("192.0.2.1:1").responses, [])
        self.assertEqual(self.begun_from("192.0.2.1:1").responses[0].status, 429)

    def test_network(self) -> None:
        """Addresses of one IPv6 network of 64 bits are one."""
        for last in range(3):
            self.assertEqual(self.begun_from(f"[2001:db8::{last}]:1").responses, [])
        self.assertEqual(self.begun_from("[2001:db8::9]:1").responses[0].status, 429)
        self.assertEqual(self.begun_from("[2001:db8:0:1::9]:1").responses, [])

    def test_memory(self) -> None:
        """Of so many sites it is remembered and of no more: those that tried last."""
        attempts = Attempts(1, self.clock, sites_max=2)
        self.assertEqual([attempts.wait(site) for site in ("a", "b", "a")], [0, 0, 60])
        self.assertEqual([attempts.wait(site) for site in ("c", "a", "b")], [0, 60, 0])


def _text(error: Exception) -> str:
    more = " Please try again in a few seconds." if isinstance(error, IdentityUnavailable) else ""
    return f"{error}{more}"
