"""Calls to Keystone: what is sent, what is made of answers and of none, and what is not told."""

from __future__ import annotations

from typing import Any, cast

from treq.client import HTTPClient
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.error import ConnectionLost, ConnectionRefusedError
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from tests.identity.calls import Scripted
from tests.logs import logged
from zaqar_gateway.errors import IdentityUnavailable
from zaqar_gateway.identity.keystone import (
    ANSWER_MAX,
    PAUSE_S,
    TELLING_MAX,
    Credentials,
    Denied,
    Described,
    Issued,
    Keystone,
    Named,
)

TOKEN = {
    "methods": ["password"],
    "user": {"id": "u1", "name": "ann", "domain": {"id": "default", "name": "Default"}},
    "expires_at": "2026-11-26T13:02:35.000000Z",
    "project": {"id": "p1", "name": "alpha", "domain": {"id": "default", "name": "Default"}},
    "roles": [{"id": "r1", "name": "Member"}],
}
DESCRIBED = Described(
    Named("u1", "ann"), "2026-11-26T13:02:35.000000Z", Named("p1", "alpha"), (Named("r1", "Member"),)
)
ANN = Credentials(name="ann", password="sesame")


class KeystoneCase(SynchronousTestCase):
    """A Keystone whose answers the test gives."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.client = Scripted()
        self.keystone = self.at("http://keystone:5000")

    def at(self, url: str) -> Keystone:
        """A Keystone at a URL."""
        return Keystone(cast(HTTPClient, self.client), self.clock, url, 10.0)

    def look_up(self) -> Deferred[Described]:
        """A look at a token, under way."""
        return Deferred.fromCoroutine(self.keystone.look_up("subject", "own"))


class RequestTests(KeystoneCase):
    """What is sent."""

    def test_url(self) -> None:
        """The API begins at /v3, whether that is said or not."""
        for url in ("http://k", "http://k/", "http://k/v3", "http://k/v3/"):
            Deferred.fromCoroutine(self.at(url).look_up("s", "t"))
        self.assertEqual({asked[1] for asked in self.client.asked}, {"http://k/v3/auth/tokens?nocatalog"})

    def test_look_up(self) -> None:
        """The token that is asked for and the token of who asks have headers of their own."""
        looking = self.look_up()
        ((method, _, headers, body),) = self.client.asked
        self.assertEqual((method, headers["X-Auth-Token"], headers["X-Subject-Token"]), ("GET", "own", "subject"))
        self.assertIsNone(body)
        self.client.answer(200, {"token": TOKEN})
        described = self.successResultOf(looking)
        self.assertEqual(described, DESCRIBED)
        self.assertEqual(described.expires_s, 1795698155)

    def test_no_project(self) -> None:
        """A token may be good for no project, and have no roles."""
        looking = self.look_up()
        self.client.answer(200, {"token": {name: TOKEN[name] for name in ("user", "expires_at")}})
        self.assertEqual(self.successResultOf(looking), Described(Named("u1", "ann"), "2026-11-26T13:02:35.000000Z"))

    def test_authenticate(self) -> None:
        """A user is named by id, or by name and domain; the token comes in a header."""
        for who, user in (
            (ANN, {"name": "ann", "domain": {"id": "default"}, "password": "sesame"}),
            (Credentials("u1", password="sesame"), {"id": "u1", "password": "sesame"}),
        ):
            asking = Deferred.fromCoroutine(self.keystone.authenticate(who))
            auth = self.client.asked[-1][3]["auth"]
            self.assertEqual(auth["identity"], {"methods": ["password"], "password": {"user": user}})
            self.assertEqual(auth["scope"], "unscoped")
            self.client.answer(201, {"token": TOKEN}, "t1")
            self.assertEqual(self.successResultOf(asking), Issued("t1", DESCRIBED))


class FailureTests(KeystoneCase):
    """What becomes of everything but a good answer."""

    def test_no(self) -> None:
        """A no is told with its status."""
        for status in (400, 401, 403, 404):
            looking = self.look_up()
            self.client.answer(status, {"error": {"message": "secret"}})
            self.assertEqual(self.failureResultOf(looking, Denied).value.status, status)

    def test_unusable(self) -> None:
        """Answers that say nothing of the token are none: too long, of another form, of a server in trouble."""
        answers: list[tuple[int, object]] = [
            (200, b"x" * (ANSWER_MAX + 1)),
            (200, b"<html>"),
            (200, {"token": {"user": 1}}),
            (200, [1]),
            (300, {"versions": {}}),
            (302, b""),
            (429, b""),
            (500, b""),
            (503, b""),
        ]
        for status, body in answers:
            looking = self.look_up()
            self.client.answer(status, body)
            self.failureResultOf(looking, IdentityUnavailable)
            self.clock.advance(PAUSE_S)

    def test_answer_without_token(self) -> None:
        """Who authenticates and gets no token has got nothing."""
        asking = Deferred.fromCoroutine(self.keystone.authenticate(ANN))
        self.client.answer(201, {"token": TOKEN})
        self.failureResultOf(asking, IdentityUnavailable)

    def test_network(self) -> None:
        """A Keystone that cannot be reached is unavailable."""
        looking = self.look_up()
        self.client.fail(ConnectionRefusedError())
        self.failureResultOf(looking, IdentityUnavailable)

    def test_silence(self) -> None:
        """One that does not answer in time is, too."""
        looking = self.look_up()
        self.clock.advance(9.9)
        self.assertNoResult(looking)
        self.clock.advance(0.1)
        self.failureResultOf(looking, IdentityUnavailable)

    def test_long_tokens_tell_nothing(self) -> None:
        """What a proxy does to a token that is too long for it keeps no other out, and does not keep a Keystone away."""
        long = "x" * (TELLING_MAX + 1)

        def fail(subject: str, status: int) -> None:
            asking = Deferred.fromCoroutine(self.keystone.look_up(subject, subject))
            self.client.answer(status, b"") if status else self.client.fail(ConnectionLost())
            self.failureResultOf(asking, IdentityUnavailable)

        for status in (502, 0):
            fail(long, status)
            looking = self.look_up()
            self.client.answer(200, {"token": TOKEN})
            self.successResultOf(looking)
        fail("x" * TELLING_MAX, 502)
        self.failureResultOf(self.look_up(), IdentityUnavailable)
        self.clock.advance(PAUSE_S)
        fail(long, 502)
        looking = self.look_up()
        self.client.answer(200, {"token": TOKEN})
        self.successResultOf(looking)

    def test_cancelled(self) -> None:
        """Who gives up is not told that Keystone is away."""
        looking = self.look_up()
        looking.cancel()
        self.failureResultOf(looking, CancelledError)

    def test_one_event(self) -> None:
        """That Keystone is away, and that it answers again, is logged once each; a no is an answer."""
        observer = logged(self)
        for status in (500, 503, 401, 200):
            looking = self.look_up()
            self.client.answer(status, {"token": TOKEN})
            looking.addErrback(lambda failure: None)
            self.clock.advance(PAUSE_S)
        said = [str(event["log_format"]) for event in observer if event["log_namespace"].endswith("keystone")]
        self.assertEqual(said, ["Keystone at {url} cannot be used: {why}", "Keystone answers again"])


class SecretTests(KeystoneCase):
    """What is not told."""

    def test_secrets(self) -> None:
        """Neither a password nor a token is in what is printed of a value, or in a log event."""
        observer = logged(self)
        shown: list[Any] = [ANN, Issued("t0ken", DESCRIBED)]
        for status in (401, 500):
            asking = Deferred.fromCoroutine(self.keystone.authenticate(ANN))
            self.client.answer(status, b"t0ken", "t0ken")
            shown.append(self.failureResultOf(asking).value)
        text = " ".join(map(repr, [*shown, *map(str, shown), *observer]))
        self.assertNotIn("sesame", text)
        self.assertNotIn("t0ken", text)
