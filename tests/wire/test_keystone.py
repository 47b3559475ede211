"""Tokens of a real Keystone, brought over real sockets on both transports."""

from __future__ import annotations

import json
import time
from typing import Any, cast

from twisted.internet import reactor
from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import Clock, deferLater

from tests.helpers import CLIENT
from tests.identity.calls import real
from tests.identity.test_tokens import SCOPE
from tests.keystone_server import KeystoneServer, shared_keystone
from tests.logs import logged
from tests.wire.gateway import Gateway, HttpConnection, SocketConnection, WireCase
from zaqar_gateway.identity.keystone import PAUSE_S, Credentials
from zaqar_gateway.identity.tokens import ServiceToken, Tokens

AGE_S = 300.0
MESSAGES = "/v2/queues/q/messages"
POST = {"messages": [{"body": "mine"}]}
CLAIMED = {"X-Roles": "admin", "X-User-Id": "root", "X-Identity-Status": "Confirmed", "X-Is-Admin-Project": "True"}
FAILED = {"error": "Authentication failed."}


class KeystoneTests(WireCase):
    """A gateway that asks a real Keystone; ann is known there, in alpha and in beta.

    The time of its cache is a clock's, which starts now.
    """

    timeout = 120

    async def setUp(self) -> None:  # type: ignore[override]
        await super().setUp()
        self.server: KeystoneServer = shared_keystone()
        self.time = Clock()
        self.time.advance(time.time())
        clock = cast(IReactorTime, self.time)
        keystone, user = real(self, self.server.url), self.server.gateway
        self.service = ServiceToken(keystone, Credentials(name=user.name, password=user.password), SCOPE, clock)
        self.tokens = Tokens(keystone, self.service, clock, AGE_S)
        self.gateway: Gateway = self.start(self.memory(), tokens=self.tokens, keys=["s3cr3t"])
        self.alpha, self.beta = (self.server.projects[name] for name in ("alpha", "beta"))

    def token(self, project: str = "alpha", lifetime_s: int = 3600) -> str:
        """A new token of ann's."""
        return self.server.token(self.server.ann, project, lifetime_s)

    async def status(self, http: HttpConnection, token: str | None, **headers: str) -> int:
        """The status of a listing over HTTP."""
        response = await http.ask("GET", MESSAGES, None, {"X-Project-ID": None, "X-Auth-Token": token, **headers})
        return response.status

    async def ask(self, socket: SocketConnection, action: str, project: str, token: str = "") -> tuple[int, Any]:
        """Status and body of an answer over WebSocket."""
        headers = {"Client-ID": CLIENT, "X-Project-ID": project, **({"X-Auth-Token": token} if token else {})}
        reply = await socket.ask({"action": action, "headers": headers, "body": {"queue_name": "q"}})
        return reply["headers"]["status"], reply["body"]

    async def authenticated(self, token: str, project: str) -> SocketConnection:
        """A socket on which somebody has authenticated."""
        socket = await self.gateway.socket()
        self.assertEqual(await self.ask(socket, "authenticate", project, token), (200, {"message": "Authentified."}))
        return socket

    # -- who is let in -------------------------------------------------------------------------------------------------

    async def test_valid(self) -> None:
        """A token opens its project on both transports, and no other one, whatever the client says of itself."""
        http = await self.gateway.http()
        headers = {"X-Auth-Token": self.token(), "X-Project-ID": self.beta, **CLAIMED}
        response = await http.ask("POST", MESSAGES, POST, headers)
        self.assertEqual(response.status, 201, response.body)
        for project, seen in (("alpha", ["mine"]), ("beta", [])):
            token, target = self.token(project), f"{MESSAGES}?echo=true"
            listed = await http.ask("GET", target, None, {"X-Auth-Token": token, "X-Project-ID": self.alpha})
            self.assertEqual([message["body"] for message in listed.json["messages"]], seen)
            socket = await self.authenticated(token, self.server.projects[project])
            status, body = await self.ask(socket, "queue_list", self.server.projects[project])
            self.assertEqual((status, len(body["queues"])), (200, len(seen)))

    async def test_claimed_roles(self) -> None:
        """Roles that a client claims are dropped: what administrators may do is 403 with a token that is none's."""
        http = await self.gateway.http()
        response = await http.ask("GET", "/v2/health", None, {"X-Auth-Token": self.token(), **CLAIMED})
        self.assertEqual(response.status, 403)

    async def test_not_valid(self) -> None:
        """No token, and tokens that are made up or cut, are 401 on both transports."""
        http, socket = await self.gateway.http(), await self.gateway.socket(upgraded=True)
        good = self.token()
        for token in (None, "", "nonsense", good[:-5], f"{good}\t"[:-2]):
            self.assertEqual(await self.status(http, token, **CLAIMED), 401)
            if token:
                self.assertEqual(await self.ask(socket, "authenticate", self.alpha, token), (401, FAILED))
            self.assertEqual((await self.ask(socket, "message_list", self.alpha))[0], 403)

    async def test_other_project(self) -> None:
        """On a socket another project than the token's is 403; a token of that one opens it."""
        socket = await self.authenticated(self.token(), self.alpha)
        self.assertEqual(
            await self.ask(socket, "message_list", self.beta), (403, {"error": "Not authenticated."})
        )
        self.assertEqual((await self.ask(socket, "authenticate", self.beta, self.token("beta")))[0], 200)
        self.assertEqual((await self.ask(socket, "message_list", self.beta))[0], 200)
        self.assertEqual((await self.ask(socket, "message_list", self.alpha))[0], 403)

    async def test_without_project(self) -> None:
        """A token without a project is 400 over HTTP, and cannot authenticate a socket."""
        token = self.token("")
        self.assertEqual(await self.status(await self.gateway.http(), token, **{"X-Project-ID": self.alpha}), 400)
        socket = await self.gateway.socket()
        self.assertEqual(await self.ask(socket, "authenticate", "", token), (401, FAILED))

    async def test_ahead_of_the_reply(self) -> None:
        """What comes while a token is looked up is refused ahead of the reply."""
        socket = await self.gateway.socket()
        headers = {"Client-ID": CLIENT, "X-Project-ID": self.alpha, "X-Auth-Token": self.token()}
        for action in ("authenticate", "queue_list"):
            socket.send(json.dumps({"action": action, "headers": headers}).encode())
        replies = [json.loads(await socket.message()) for _ in range(2)]
        told = [(reply["request"]["action"], reply["headers"]["status"]) for reply in replies]
        self.assertEqual(told, [("queue_list", 403), ("authenticate", 200)])

    # -- and for how long ----------------------------------------------------------------------------------------------

    async def test_expired(self) -> None:
        """A token that has ended is 401, and closes the socket that it was for with 4003."""
        token = self.token(lifetime_s=8)
        http, socket = await self.gateway.http(), await self.authenticated(token, self.alpha)
        self.assertEqual(await self.status(http, token), 200)
        while self.server.described(token):
            await deferLater(cast(Any, reactor), 0.1)
        self.time.advance(time.time() - self.time.seconds())
        self.assertEqual(await self.status(http, token), 401)
        self.assertEqual(await socket.close_code(), 4003)
        again = await self.gateway.socket()
        self.assertEqual(await self.ask(again, "authenticate", self.alpha, token), (401, FAILED))

    async def test_revoked(self) -> None:
        """One that was revoked passes until the time of the cache is over, and no longer."""
        token, http = self.token(), await self.gateway.http()
        self.assertEqual(await self.status(http, token), 200)
        self.server.revoke(token)
        self.assertEqual(await self.status(http, token), 200)
        self.time.advance(AGE_S)
        self.assertEqual(await self.status(http, token), 401)

    async def test_service_token(self) -> None:
        """That the gateway's own token was revoked, or is about to end, is nothing that a client notices."""
        http = await self.gateway.http()
        self.server.revoke(await self.service.get())
        self.assertEqual(await self.status(http, self.token()), 200)
        before = await self.service.get()
        self.time.advance(3550)
        self.assertEqual(await self.status(http, self.token(lifetime_s=7200)), 200)
        self.assertNotEqual(await self.service.get(), before)

    async def test_killed_and_started(self) -> None:
        """Without Keystone known tokens go on, others are 503 at once, no token is 401; and all is well when it is back."""
        known, other = self.token(), self.token()
        http, socket = await self.gateway.http(), await self.authenticated(known, self.alpha)
        self.server.stop()
        self.addCleanup(self.server.start)
        self.assertEqual(await self.status(http, known), 200)
        self.assertEqual((await self.ask(socket, "message_list", self.alpha))[0], 200)
        many = [await self.gateway.http() for _ in range(5)]
        statuses = await gatherResults([Deferred.fromCoroutine(self.status(each, other)) for each in many])
        self.assertEqual(set(statuses), {503})
        self.assertEqual(await self.status(http, None), 401)
        self.assertEqual((await self.ask(socket, "authenticate", self.alpha, other))[0], 503)
        self.assertEqual((await http.ask("GET", "/", bare=True)).status, 300)
        self.server.start()
        self.time.advance(PAUSE_S)
        self.assertEqual(await self.status(http, other), 200)
        self.assertEqual((await self.ask(socket, "authenticate", self.alpha, other))[0], 200)

    async def test_nothing_is_told(self) -> None:
        """No token and no password is in a log event, or in an answer."""
        observer = logged(self)
        token, http, socket = self.token(), await self.gateway.http(), await self.gateway.socket()
        told = []
        for brought in (token, f"{token}x"):
            told.append((await http.ask("GET", MESSAGES, None, {"X-Auth-Token": brought})).body)
            told.append(repr(await self.ask(socket, "authenticate", self.alpha, brought)).encode())
        said = repr(list(observer)) + repr(told)
        for secret in (token, self.server.gateway.password, await self.service.get()):
            self.assertNotIn(secret, said)
