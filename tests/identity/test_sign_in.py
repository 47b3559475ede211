"""Tokens for people: what Keystone is asked, and what is made of its answer."""

from __future__ import annotations

from typing import cast

from treq.client import HTTPClient
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from tests.identity.calls import Scripted
from tests.tokens import StubTokens, caller
from zaqar_gateway.errors import IdentityUnavailable, ProjectMissing, Unauthorized
from zaqar_gateway.identity.keystone import Keystone
from zaqar_gateway.identity.sign_in import SignIn
from zaqar_gateway.interfaces import ISignIn
from zaqar_gateway.model import Login, SignedIn

ANN = Login("ann", "sesame", "alpha")
ANSWER = {
    "token": {
        "user": {"id": "u1", "name": "ann"},
        "expires_at": "2026-11-26T13:02:35.000000Z",
        "project": {"id": "p1", "name": "alpha"},
        "roles": [{"id": "r1", "name": "Member"}],
    }
}


class SignInTests(SynchronousTestCase):
    """Signing in at a Keystone whose answers the test gives."""

    def setUp(self) -> None:
        self.client = Scripted()
        self.tokens = StubTokens(t1=caller("p1", "u1", "member"), bare=caller("", "u1"), bad=None)
        self.sign_in = SignIn(Keystone(cast(HTTPClient, self.client), Clock(), "http://k", 10.0), self.tokens)

    def begun(self, login: Login) -> Deferred[SignedIn]:
        """Signing in, under way."""
        return Deferred.fromCoroutine(self.sign_in.with_password(login))

    def test_interface(self) -> None:
        """It is what the console asks for."""
        verifyObject(ISignIn, self.sign_in)

    def test_asked(self) -> None:
        """User and project go by their names, each in its domain."""
        for login, user_domain, project_domain in (
            (ANN, {"id": "default"}, {"id": "default"}),
            (Login("ann", "sesame", "alpha", "Staff"), {"name": "Staff"}, {"name": "Staff"}),
            (Login("ann", "sesame", "alpha", "Staff", "Work"), {"name": "Staff"}, {"name": "Work"}),
            (Login("ann", "sesame", "alpha", "", "Work"), {"id": "default"}, {"name": "Work"}),
        ):
            self.begun(login)
            method, url, headers, body = self.client.asked[-1]
            self.assertEqual((method, url, "X-Auth-Token" in headers), ("POST", "http://k/v3/auth/tokens?nocatalog", False))
            user = {"name": "ann", "domain": user_domain, "password": "sesame"}
            self.assertEqual(body["auth"]["identity"], {"methods": ["password"], "password": {"user": user}})
            self.assertEqual(body["auth"]["scope"], {"project": {"name": "alpha", "domain": project_domain}})

    def test_answer(self) -> None:
        """The token, and whose it is."""
        signing = self.begun(ANN)
        self.client.answer(201, ANSWER, "t9")
        self.assertEqual(
            self.successResultOf(signing),
            SignedIn("t9", caller("p1", "u1", "member", expires_s=1795698155), "ann", "alpha"),
        )

    def test_no(self) -> None:
        """Whatever Keystone refuses, it does not say why, and neither is that told."""
        for code in (400, 401, 403, 404):
            signing = self.begun(ANN)
            self.client.answer(code, {"error": {"message": "no such user ann"}})
            self.assertNotIn("ann", str(self.failureResultOf(signing, Unauthorized).value))
        signing = self.begun(ANN)
        self.client.answer(503)
        self.failureResultOf(signing, IdentityUnavailable)

    def test_token(self) -> None:
        """A token is looked up as that of any request."""
        def asked(token: str) -> Deferred[SignedIn]:
            return Deferred.fromCoroutine(self.sign_in.with_token(token))

        self.assertEqual(self.successResultOf(asked("t1")), SignedIn("t1", caller("p1", "u1", "member")))
        self.failureResultOf(asked("bad"), Unauthorized)
        self.failureResultOf(asked("bare"), ProjectMissing)
        self.assertEqual(self.client.asked, [])
