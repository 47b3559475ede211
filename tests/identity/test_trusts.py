"""Trusts, on a real Keystone; and what is kept of them."""

from __future__ import annotations

from typing import cast

from attrs import evolve
from treq.client import HTTPClient
from twisted.internet import reactor
from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.interfaces import IReactorTime
from twisted.trial.unittest import SynchronousTestCase, TestCase
from zope.interface.verify import verifyObject

from tests.clocks import SetClock
from tests.identity.calls import Scripted, real
from tests.identity.test_keystone import TOKEN
from tests.keystone_server import KeystoneServer, Somebody, shared_keystone
from tests.logs import logged
from zaqar_gateway import instants
from zaqar_gateway.errors import Forbidden, IdentityUnavailable, NotFound
from zaqar_gateway.identity.keystone import Credentials, Keystone
from zaqar_gateway.identity.trusts import TOKEN_AGE_S, TOKEN_MARGIN_S, Trusts
from zaqar_gateway.interfaces import ITrusts
from zaqar_gateway.model import Context

TTL_S = 300


def by_name(who: Somebody) -> Credentials:
    """A user of the tests, as the settings name one."""
    return Credentials(name=who.name, password=who.password)


class TrustCase(TestCase):
    """Trusts at the Keystone of this run."""

    def setUp(self) -> None:
        self.server: KeystoneServer = shared_keystone()
        self.trusts = self.of(by_name(self.server.trustee))
        self.token = self.server.token(self.server.ann, "alpha")
        self.ctx = Context(
            self.server.projects["alpha"], roles=frozenset({"reader", "auditor"}), user=self.server.ann.id
        )

    def of(self, trustee: Credentials) -> Trusts:
        """Trusts for some trustee."""
        clock = cast(IReactorTime, reactor)
        return Trusts(real(self, self.server.url), trustee, clock)

    def described(self, trust_id: str, who: Somebody) -> tuple[int, dict[str, object]]:
        """What Keystone says of a trust to one of the two."""
        token = self.server.token(who)
        status, _, body = self.server.call("GET", f"/OS-TRUST/trusts/{trust_id}", None, {"X-Auth-Token": token})
        return status, body.get("trust", {})


class CreateTests(TrustCase):
    """A trust is made."""

    async def test_trust(self) -> None:
        """It is from the caller to the trustee, in the project, for the caller's roles alone, and ends with the ttl."""
        before = int(reactor.seconds())
        trust_id = await self.trusts.create(self.ctx, self.token, TTL_S)
        status, trust = self.described(trust_id, self.server.ann)
        self.assertEqual(status, 200)
        self.assertEqual(trust["trustor_user_id"], self.server.ann.id)
        self.assertEqual(trust["trustee_user_id"], self.server.trustee.id)
        self.assertEqual(trust["project_id"], self.ctx.project)
        self.assertIs(trust["impersonation"], True)
        roles = cast(list[dict[str, str]], trust["roles"])
        self.assertEqual({role["name"] for role in roles}, {"reader", "Auditor"})
        expires = instants.parse(cast(str, trust["expires_at"]))
        assert expires is not None
        self.assertTrue(before + TTL_S <= expires <= before + TTL_S + 60)

    async def test_many(self) -> None:
        """Those that one user makes at one time are different ones, although they end in the same second."""
        making = [Deferred.fromCoroutine(self.trusts.create(self.ctx, self.token, TTL_S)) for _ in range(5)]
        self.assertEqual(len(set(await gatherResults(making))), 5)

    async def test_interface(self) -> None:
        """What makes trusts is what the operations need."""
        verifyObject(ITrusts, self.trusts)

    async def test_refused(self) -> None:
        """No trust is made for another user, in another's project, without a role, or with a token that is not valid."""
        for ctx, token in (
            (self.ctx, ""),
            (self.ctx, "nonsense"),
            (Context(self.ctx.project, roles=self.ctx.roles), self.token),
            (Context(self.ctx.project, roles=self.ctx.roles, user=self.server.gateway.id), self.token),
            (Context(self.ctx.project, user=self.server.ann.id), self.token),
            (Context(self.server.projects["service"], roles=self.ctx.roles, user=self.server.ann.id), self.token),
        ):
            with self.assertRaises(Forbidden):
                await self.trusts.create(ctx, token, TTL_S)

    async def test_revoked_token(self) -> None:
        """A token that was revoked gives no trust."""
        self.server.revoke(self.token)
        with self.assertRaises(Forbidden):
            await self.trusts.create(self.ctx, self.token, TTL_S)


class CheckTests(TrustCase):
    """Whose a trust is."""

    async def test_own(self) -> None:
        """It is its trustor's and nobody else's, not even that of whoever may look at it."""
        trust_id = await self.trusts.create(self.ctx, self.token, TTL_S)
        await self.trusts.check(self.ctx, self.token, trust_id)
        trustee = Context(self.ctx.project, user=self.server.trustee.id)
        for ctx, token in (
            (self.ctx, ""),
            (self.ctx, "nonsense"),
            (Context(self.ctx.project), self.token),
            (trustee, self.token),
            (trustee, self.server.token(self.server.trustee)),
            (Context(self.ctx.project, user=self.server.gateway.id), self.server.token(self.server.gateway, "service")),
        ):
            with self.assertRaises(Forbidden):
                await self.trusts.check(ctx, token, trust_id)

    async def test_none(self) -> None:
        """One that does not exist, or is no id at all, is nobody's."""
        for trust_id in ("nonsense", "0" * 32, "", "../users", "é", "x" * 100_000):
            with self.assertRaises(Forbidden):
                await self.trusts.check(self.ctx, self.token, trust_id)


class TokenTests(TrustCase):
    """A token by a trust."""

    async def test_token(self) -> None:
        """It is the trustor's, in the project and with the roles of the trust, and ends with the trust."""
        trust_id = await self.trusts.create(self.ctx, self.token, TTL_S)
        described = self.server.described(await self.trusts.token(trust_id))
        self.assertEqual(described["user"]["id"], self.server.ann.id)
        self.assertEqual(described["project"]["id"], self.ctx.project)
        self.assertEqual({role["name"] for role in described["roles"]}, {"reader", "Auditor"})
        _, trust = self.described(trust_id, self.server.ann)
        self.assertEqual(described["expires_at"], trust["expires_at"])

    async def test_by_id(self) -> None:
        """The trustee may be named by its id."""
        trustee = self.server.trustee
        trusts = self.of(Credentials(trustee.id, password=trustee.password))
        trust_id = await trusts.create(self.ctx, self.token, TTL_S)
        self.assertIsNotNone(self.server.described(await trusts.token(trust_id)))

    async def test_kept(self) -> None:
        """It is kept, and those who ask at one time share one call."""
        trust_id = await self.trusts.create(self.ctx, self.token, TTL_S)
        asking = [Deferred.fromCoroutine(self.trusts.token(trust_id)) for _ in range(3)]
        tokens = await gatherResults(asking)
        self.assertEqual({*tokens, await self.trusts.token(trust_id)}, {tokens[0]})

    async def test_refused(self) -> None:
        """One that was ended before its time is kept until somebody refuses it; another one that is refused does not matter."""
        trust_id = await self.trusts.create(self.ctx, self.token, TTL_S)
        token = await self.trusts.token(trust_id)
        self.server.end(token)
        self.trusts.refused(trust_id, "another")
        self.assertEqual(await self.trusts.token(trust_id), token)
        self.trusts.refused(trust_id, token)
        another = await self.trusts.token(trust_id)
        self.assertIsNotNone(self.server.described(another))
        self.trusts.refused(trust_id, another, again=True)
        self.trusts.refused(trust_id, another)
        self.assertEqual(await self.trusts.token(trust_id), another)

    async def test_unknown(self) -> None:
        """A trust that does not exist, or is for another trustee, gives no token."""
        foreign = await self.of(by_name(self.server.gateway)).create(self.ctx, self.token, TTL_S)
        for trust_id in ("nonsense", "../users", foreign):
            with self.assertRaises(NotFound):
                await self.trusts.token(trust_id)

    async def test_wrong_password(self) -> None:
        """Where the trustee's password is wrong the trust may be good: try later; it is logged once, without it."""
        observer = logged(self)
        trust_id = await self.trusts.create(self.ctx, self.token, TTL_S)
        trusts = self.of(evolve(by_name(self.server.trustee), password="not sesame"))
        for _ in range(2):
            with self.assertRaises(IdentityUnavailable):
                await trusts.token(trust_id)
        with self.assertRaises(IdentityUnavailable):
            await trusts.create(self.ctx, self.token, TTL_S)
        said = [repr(event) for event in observer if event["log_namespace"] == "zaqar_gateway.identity.trusts"]
        self.assertEqual(len(said), 1)
        self.assertNotIn("not sesame", said[0])

    async def test_away(self) -> None:
        """Without Keystone nothing can be done now, and all can when it is there again."""
        trust_id = await self.trusts.create(self.ctx, self.token, TTL_S)
        self.server.stop()
        self.addCleanup(self.server.start)
        for work in (
            self.trusts.create(self.ctx, self.token, TTL_S),
            self.trusts.token(trust_id),
            self.trusts.revoke(trust_id),
        ):
            with self.assertRaises(IdentityUnavailable):
                await work
        self.server.start()
        self.assertIsNotNone(self.server.described(await self.trusts.token(trust_id)))


class RevokeTests(TrustCase):
    """A trust is ended."""

    async def test_revoke(self) -> None:
        """The trust is gone, and so are its tokens, the one that was kept included; once more is no error."""
        trust_id = await self.trusts.create(self.ctx, self.token, TTL_S)
        token = await self.trusts.token(trust_id)
        await self.trusts.revoke(trust_id)
        self.assertEqual(self.described(trust_id, self.server.ann)[0], 404)
        self.assertIsNone(self.server.described(token))
        with self.assertRaises(NotFound):
            await self.trusts.token(trust_id)
        await self.trusts.revoke(trust_id)

    async def test_by_trustor(self) -> None:
        """One that its trustor has ended meanwhile is no error."""
        trust_id = await self.trusts.create(self.ctx, self.token, TTL_S)
        await self.trusts.token(trust_id)
        status, _, _ = self.server.call("DELETE", f"/OS-TRUST/trusts/{trust_id}", None, {"X-Auth-Token": self.token})
        self.assertEqual(status, 204)
        await self.trusts.revoke(trust_id)

    async def test_not_ours(self) -> None:
        """One without impersonation, which only the trustor may end, is left to its expiry."""
        roles = [{"name": "member"}]
        trust: dict[str, object] = {"trustor_user_id": self.server.ann.id, "trustee_user_id": self.server.trustee.id}
        trust |= {"project_id": self.ctx.project, "impersonation": False, "roles": roles}
        _, _, body = self.server.call("POST", "/OS-TRUST/trusts", {"trust": trust}, {"X-Auth-Token": self.token})
        await self.trusts.revoke(body["trust"]["id"])
        self.assertEqual(self.described(body["trust"]["id"], self.server.ann)[0], 200)


class AgeTests(SynchronousTestCase):
    """How long a token is kept."""

    def setUp(self) -> None:
        self.clock = SetClock(1_000_000_000)
        self.client = Scripted()
        keystone = Keystone(cast(HTTPClient, self.client), self.clock, "http://k", 10.0)
        self.trusts = Trusts(keystone, Credentials("u1"), self.clock)

    def token(self, lifetime_s: int) -> str:
        """A token by a trust, which lives so long where a new one is got."""
        asking = Deferred.fromCoroutine(self.trusts.token("x"))
        if not asking.called:
            expires = instants.text_of(int(self.clock.time_of_day()) + lifetime_s) + "Z"
            name = f"token {len(self.client.asked)}"
            self.client.answer(201, {"token": TOKEN | {"expires_at": expires}}, name)
        return self.successResultOf(asking)

    def test_age(self) -> None:
        """After five minutes there is a new one, so that a trust that was ended elsewhere is noticed."""
        self.token(3600)
        self.clock.advance(TOKEN_AGE_S - 1)
        self.assertEqual(self.token(3600), "token 1")
        self.clock.advance(1)
        self.assertEqual(self.token(3600), "token 2")

    def test_end(self) -> None:
        """Shortly before its end it is used no more."""
        self.token(100)
        self.clock.advance(100 - TOKEN_MARGIN_S - 1)
        self.assertEqual(self.token(100), "token 1")
        self.clock.advance(1)
        self.assertEqual(self.token(100), "token 2")
