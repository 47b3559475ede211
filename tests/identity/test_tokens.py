"""Whose a token is: what is remembered and for how long, what is asked of Keystone, and what of one that is away."""

from __future__ import annotations

import time
from typing import Any, cast

from treq.client import HTTPClient
from twisted.internet import reactor
from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.error import ConnectionRefusedError
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import Clock, deferLater
from twisted.trial.unittest import SynchronousTestCase, TestCase
from zope.interface.verify import verifyObject

from tests.identity.calls import Scripted, real
from tests.identity.test_keystone import TOKEN
from tests.keystone_server import KeystoneServer, shared_keystone
from tests.logs import logged
from zaqar_gateway import instants
from zaqar_gateway.errors import IdentityUnavailable, Unauthorized
from zaqar_gateway.identity.keystone import PAUSE_S, Credentials, Keystone
from zaqar_gateway.identity.tokens import (
    LOOK_UPS_KEPT,
    LOOK_UPS_MAX,
    LOOK_UPS_OF_FEW,
    STRANGER_AGE_S,
    ServiceToken,
    Tokens,
)
from zaqar_gateway.interfaces import ITokens
from zaqar_gateway.model import Caller

NOW_S = 1_000_000_000
AGE_S = 300.0
LIFE_S = 3600
SCOPE = {"project": {"name": "service", "domain": {"id": "default"}}}


def token_body(lifetime_s: int = LIFE_S, now_s: float = NOW_S) -> dict[str, object]:
    """What Keystone says of a token that lives so long."""
    return {"token": TOKEN | {"expires_at": instants.text_of(int(now_s) + lifetime_s) + "Z"}}


class TokenCase(SynchronousTestCase):
    """Tokens over a Keystone whose answers the test gives."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.clock.advance(NOW_S)
        self.client = Scripted()
        keystone = Keystone(cast(HTTPClient, self.client), self.clock, "http://k", 10.0)
        service = ServiceToken(keystone, Credentials(name="gateway", password="sesame"), SCOPE, self.clock)
        self.tokens = Tokens(keystone, service, self.clock, AGE_S, strangers_max=10)

    def identify(self, token: str = "t1", place: str = "") -> Deferred[Caller]:
        """A look at a token, under way or done."""
        return Deferred.fromCoroutine(self.tokens.identify(token, place))

    def log_in(self, token: str = "own", lifetime_s: int = LIFE_S) -> None:
        """Answer the service user's authentication."""
        self.assertEqual(self.client.asked[-1][0], "POST")
        self.client.answer(201, token_body(lifetime_s, self.clock.seconds()), token)

    def found(self, token: str = "t1", lifetime_s: int = LIFE_S) -> Caller:
        """Whose a token is, where Keystone says that it is valid and the service user has a token."""
        looking = self.identify(token)
        self.client.answer(200, token_body(lifetime_s, self.clock.seconds()))
        return self.successResultOf(looking)

    def ready(self) -> None:
        """Have the service user log in."""
        looking = self.identify("first")
        self.log_in()
        self.client.answer(404)
        self.failureResultOf(looking, Unauthorized)
        self.client.asked.clear()

    def subjects(self) -> list[str]:
        """The tokens that Keystone was asked for."""
        return [asked[2].get("X-Subject-Token", "") for asked in self.client.asked]


class RememberTests(TokenCase):
    """What is remembered."""

    def setUp(self) -> None:
        super().setUp()
        self.ready()

    def test_interface(self) -> None:
        """It is what the transports need."""
        verifyObject(ITokens, self.tokens)

    def test_caller(self) -> None:
        """Project, user and roles are the token's; names of roles are in lower case."""
        self.assertEqual(self.found(), Caller("p1", "u1", frozenset({"member"}), NOW_S + LIFE_S))

    def test_known(self) -> None:
        """A token is known once it was looked up, and for its time; then it is looked up again."""
        self.assertIsNone(self.tokens.known("t1"))
        found = self.found()
        self.clock.advance(AGE_S - 1)
        self.assertEqual(self.tokens.known("t1"), found)
        self.assertEqual(self.successResultOf(self.identify()), found)
        self.assertEqual(len(self.client.asked), 1)
        self.clock.advance(1)
        self.assertIsNone(self.tokens.known("t1"))
        self.identify()
        self.assertEqual(self.subjects(), ["t1", "t1"])

    def test_clock_set_forward(self) -> None:
        """The end of a token is told by the time of day; for how long it is remembered is not."""
        cast("Any", self.clock).time_of_day = lambda: self.clock.seconds() + LIFE_S / 2
        looking = self.identify()
        self.client.answer(200, token_body(LIFE_S // 2, NOW_S))
        self.failureResultOf(looking, Unauthorized)
        found = self.found("t2", LIFE_S)
        self.clock.advance(AGE_S - 1)
        self.assertEqual(self.tokens.known("t2"), found)
        self.clock.advance(1)
        self.assertIsNone(self.tokens.known("t2"))

    def test_end(self) -> None:
        """A token is known no longer than it lives."""
        self.found(lifetime_s=60)
        self.clock.advance(60)
        self.assertIsNone(self.tokens.known("t1"))

    def test_ended(self) -> None:
        """One that has ended by our clock is nobody's, even if Keystone has another time."""
        looking = self.identify()
        self.client.answer(200, token_body(0))
        self.failureResultOf(looking, Unauthorized)

    def test_stranger(self) -> None:
        """One that is not valid is remembered too, but briefly."""
        looking = self.identify()
        self.client.answer(404)
        self.failureResultOf(looking, Unauthorized)
        self.assertRaises(Unauthorized, self.tokens.known, "t1")
        self.failureResultOf(self.identify(), Unauthorized)
        self.assertEqual(len(self.client.asked), 1)
        self.clock.advance(STRANGER_AGE_S)
        self.assertIsNone(self.tokens.known("t1"))

    def test_strangers_displace_nobody(self) -> None:
        """However many tokens are made up, those that are valid stay known."""
        found = self.found()
        for number in range(11):
            looking = self.identify(f"made-up-{number}")
            self.client.answer(404)
            self.failureResultOf(looking, Unauthorized)
        self.assertEqual(self.tokens.known("t1"), found)
        self.assertIsNone(self.tokens.known("made-up-0"))
        self.assertRaises(Unauthorized, self.tokens.known, "made-up-1")

    def test_one_call(self) -> None:
        """Those who bring one token at one time share one call."""
        looking = [self.identify() for _ in range(3)]
        self.assertEqual(self.subjects(), ["t1"])
        self.client.answer(200, token_body())
        self.assertEqual(len({self.successResultOf(each) for each in looking}), 1)

    def test_bound(self) -> None:
        """Look-ups under way are bounded; what comes beyond is refused at once."""
        looking = [self.identify(f"t{number}") for number in range(LOOK_UPS_MAX + 1)]
        self.failureResultOf(looking.pop(), IdentityUnavailable)
        self.assertEqual(len(self.client.asked), LOOK_UPS_MAX)
        self.client.answer(200, token_body())
        self.successResultOf(looking[0])
        self.assertNoResult(self.identify("another"))

    def test_fair(self) -> None:
        """Whoever brings made-up tokens, and as many as there may be, keeps nobody out who comes from elsewhere with a few."""
        made_up = [self.identify(f"made-up-{number}", "192.0.2.1") for number in range(LOOK_UPS_MAX)]
        for place in ("192.0.2.1", ""):
            self.failureResultOf(self.identify(f"another from {place}".replace(" ", "-"), place), IdentityUnavailable)
        few = [self.identify(f"t{number}", "192.0.2.2") for number in range(LOOK_UPS_OF_FEW + 1)]
        self.failureResultOf(few.pop(), IdentityUnavailable)
        for each in made_up:
            self.client.answer(404)
            self.failureResultOf(each, Unauthorized)
        for each in few:
            self.client.answer(200, token_body())
            self.successResultOf(each)
        everybody = [
            self.identify(f"one-{number}", f"place-{number}") for number in range(LOOK_UPS_MAX + LOOK_UPS_KEPT + 1)
        ]
        self.failureResultOf(everybody.pop(), IdentityUnavailable)
        self.assertNoResult(everybody[-1])

    def test_not_sent(self) -> None:
        """What can be no token is not sent, so that it can be no header either."""
        for token in ("", "a b", "a\r\nX-Auth-Token: b", "é", "\ud800", "x" * 8193):
            self.failureResultOf(self.identify(token), Unauthorized)
        self.assertEqual(self.client.asked, [])


class ServiceTests(TokenCase):
    """The service user's own token."""

    def test_log_in(self) -> None:
        """The service user logs in for its project when the first token is looked up, once for all."""
        looking = [self.identify(name) for name in ("t1", "t2")]
        ((_, _, _, body),) = self.client.asked
        self.assertEqual(body["auth"]["scope"], SCOPE)
        self.log_in()
        self.assertEqual([asked[2]["X-Auth-Token"] for asked in self.client.asked[1:]], ["own", "own"])
        for each in looking:
            self.client.answer(200, token_body())
            self.successResultOf(each)

    def test_renewed_before_end(self) -> None:
        """A minute before it ends there is a new one."""
        self.identify()
        self.log_in()
        self.client.answer(200, token_body())
        self.clock.advance(LIFE_S - 61)
        self.found("t2")
        self.clock.advance(1)
        looking = self.identify("t3")
        self.log_in("newer")
        self.client.answer(200, token_body(now_s=self.clock.seconds()))
        self.successResultOf(looking)
        self.assertEqual(self.client.asked[-1][2]["X-Auth-Token"], "newer")

    def test_renewed_when_refused(self) -> None:
        """Where Keystone refuses it there is a new one, and the look-up is made again."""
        self.ready()
        looking = self.identify()
        self.client.answer(401)
        self.log_in("newer")
        self.client.answer(200, token_body())
        self.successResultOf(looking)
        self.assertEqual(self.client.asked[-1][2]["X-Auth-Token"], "newer")

    def test_refused_again(self) -> None:
        """Where that is refused as well there is no answer; the client's token is not to blame."""
        self.ready()
        looking = self.identify()
        self.client.answer(401)
        self.log_in("newer")
        self.client.answer(401)
        self.failureResultOf(looking, IdentityUnavailable)

    def test_misconfigured(self) -> None:
        """A wrong password, or a user without its role, is told once in the log, and to clients as no answer."""
        observer = logged(self)
        for _ in range(2):
            looking = self.identify()
            self.client.answer(401)
            self.failureResultOf(looking, IdentityUnavailable)
        looking = self.identify()
        self.log_in()
        for _ in range(2):
            self.client.answer(403)
            self.failureResultOf(looking, IdentityUnavailable)
            looking = self.identify()
        said = [repr(event) for event in observer if event["log_namespace"] == "zaqar_gateway.identity.tokens"]
        self.assertEqual(len(said), 2)
        self.assertNotIn("sesame", "".join(said))


class AwayTests(TokenCase):
    """Keystone is away."""

    def setUp(self) -> None:
        super().setUp()
        self.ready()

    def test_known_go_on(self) -> None:
        """Tokens that are known go on; others are refused at once, without a call, until the pause is over."""
        found = self.found()
        looking = self.identify("t2")
        self.client.fail(ConnectionRefusedError())
        self.failureResultOf(looking, IdentityUnavailable)
        calls = len(self.client.asked)
        self.assertEqual(self.successResultOf(self.identify()), found)
        self.failureResultOf(self.identify("t2"), IdentityUnavailable)
        self.assertEqual(len(self.client.asked), calls)

    def test_one_finds_out(self) -> None:
        """After the pause one call finds out whether it is there again; the others do not wait for that one."""
        looking = self.identify()
        self.clock.advance(10)  # the time-out
        self.failureResultOf(looking, IdentityUnavailable)
        self.clock.advance(PAUSE_S)
        trying = self.identify()
        self.assertNoResult(trying)
        self.failureResultOf(self.identify("t2"), IdentityUnavailable)
        self.client.answer(200, token_body())  # of the call that was given up
        self.client.answer(200, token_body())
        self.successResultOf(trying)
        self.found("t2")

    def test_one_bad_token(self) -> None:
        """A token that Keystone fails at keeps nobody else out."""
        looking = self.identify()
        self.client.answer(500)
        self.failureResultOf(looking, IdentityUnavailable)
        self.found("t2")

    def test_overloaded(self) -> None:
        """One that is overloaded is left alone as well."""
        for status in (429, 502, 503, 504):
            looking = self.identify()
            self.client.answer(status)
            self.failureResultOf(looking, IdentityUnavailable)
            self.failureResultOf(self.identify(), IdentityUnavailable)
            self.clock.advance(PAUSE_S)


class RealTests(TestCase):
    """On a real Keystone."""

    def setUp(self) -> None:
        self.server: KeystoneServer = shared_keystone()
        self.clock = Clock()
        self.clock.advance(time.time())
        self.tokens = self.looking(cast(IReactorTime, self.clock))

    def looking(self, clock: IReactorTime, password: str = "") -> Tokens:
        """Tokens of this Keystone."""
        keystone, user = real(self, self.server.url), self.server.gateway
        who = Credentials(name=user.name, password=password or user.password)
        return Tokens(keystone, ServiceToken(keystone, who, SCOPE, clock), clock, AGE_S)

    async def refused(self, token: str) -> None:
        """See that a token is nobody's."""
        with self.assertRaises(Unauthorized):
            await self.tokens.identify(token)

    async def test_valid(self) -> None:
        """A token is its user's, for its project and with the roles there."""
        for project, roles in (("alpha", {"member", "reader", "auditor"}), ("beta", {"reader"})):
            found = await self.tokens.identify(self.server.token(self.server.ann, project))
            self.assertEqual((found.project, found.user), (self.server.projects[project], self.server.ann.id))
            self.assertEqual(found.roles, roles)

    async def test_no_project(self) -> None:
        """A token without a project is its user's, and good for none."""
        found = await self.tokens.identify(self.server.token(self.server.ann))
        self.assertEqual((found.project, found.roles), ("", frozenset()))

    async def test_nobodys(self) -> None:
        """Made-up tokens, and those that are cut, are nobody's."""
        token = self.server.token(self.server.ann, "alpha")
        for bad in ("nonsense", token[:-4], token[1:], f"{token}x{token}"):
            await self.refused(bad)

    async def test_expired(self) -> None:
        """A token that has ended is nobody's, whether it was known before or not."""
        known, unknown = (self.server.token(self.server.ann, "alpha", lifetime_s=8) for _ in range(2))
        await self.tokens.identify(known)
        while self.server.described(unknown):
            await deferLater(cast(Any, reactor), 0.1)
        self.clock.advance(time.time() - self.clock.seconds())
        await self.refused(known)
        await self.refused(unknown)

    async def test_revoked(self) -> None:
        """One that was revoked is believed until its time here is over, and no longer."""
        token = self.server.token(self.server.ann, "alpha")
        await self.tokens.identify(token)
        self.server.revoke(token)
        self.clock.advance(AGE_S - 1)
        await self.tokens.identify(token)
        self.clock.advance(1)
        await self.refused(token)

    async def test_service_token(self) -> None:
        """The service user's own token is replaced where it was revoked."""
        keystone = real(self, self.server.url)
        who = Credentials(name=self.server.gateway.name, password=self.server.gateway.password)
        service = ServiceToken(keystone, who, SCOPE, cast(IReactorTime, self.clock))
        tokens = Tokens(keystone, service, cast(IReactorTime, self.clock), AGE_S)
        own = await service.get()
        self.server.revoke(own)
        await tokens.identify(self.server.token(self.server.ann, "alpha"))
        self.assertNotEqual(await service.get(), own)

    async def test_wrong_password(self) -> None:
        """A service user whose password is wrong can say of no token whose it is."""
        tokens = self.looking(cast(IReactorTime, self.clock), "not sesame")
        with self.assertRaises(IdentityUnavailable):
            await tokens.identify(self.server.token(self.server.ann, "alpha"))

    async def test_shared(self) -> None:
        """A hundred who bring one token get one answer."""
        token = self.server.token(self.server.ann, "alpha")
        found = await gatherResults([Deferred.fromCoroutine(self.tokens.identify(token)) for _ in range(100)])
        self.assertEqual(len({id(each) for each in found}), 1)

    async def test_killed_and_started(self) -> None:
        """While Keystone is away known tokens go on; once it is there again, so do all others."""
        known, unknown = (self.server.token(self.server.ann, "alpha") for _ in range(2))
        found = await self.tokens.identify(known)
        self.server.stop()
        self.addCleanup(self.server.start)
        self.assertEqual(await self.tokens.identify(known), found)
        with self.assertRaises(IdentityUnavailable):
            await self.tokens.identify(unknown)
        self.server.start()
        self.clock.advance(PAUSE_S)
        self.assertEqual((await self.tokens.identify(unknown)).user, found.user)
