"""Who speaks on a socket, and for how long (API reference, "Authentication")."""

from __future__ import annotations

import json
from typing import Any

import msgpack
from twisted.internet.defer import Deferred
from twisted.logger import capturedLogs
from twisted.trial.unittest import SynchronousTestCase

from tests.clocks import SetClock
from tests.helpers import CLIENT, Pushed, RecordedSockets
from tests.tokens import StubTokens, caller
from tests.transport.websocket.client import BINARY, Peer, make_factory, status
from tests.transport.websocket.test_protocol import HeldQueues
from zaqar_gateway.errors import IdentityUnavailable, Unauthorized
from zaqar_gateway.identity.signed_url import UrlSigner
from zaqar_gateway.interfaces import IStorage, IWaits
from zaqar_gateway.live.waiting import Waits
from zaqar_gateway.model import Caller, NewMessage, NewPost
from zaqar_gateway.storage.memory import MemoryStorage
from zaqar_gateway.transport import audit
from zaqar_gateway.transport.websocket.bounds import WebSocketBounds

LIFE_S = 1000
TIMEOUT_S, FRAMES = 20, 5
FAILED = {"error": "Authentication failed."}


def document(action: str, project: str = "p1", token: str | None = None, **body: Any) -> dict[str, Any]:
    """A request in a project."""
    headers = {"Client-ID": CLIENT, "X-Project-ID": project}
    return {"action": action, "headers": headers | ({"X-Auth-Token": token} if token is not None else {}), "body": body}


def frame(action: str, project: str = "p1", token: str | None = None, **body: Any) -> bytes:
    """The same as JSON."""
    return json.dumps(document(action, project, token, **body)).encode()


class AuthenticationCase(SynchronousTestCase):
    """A socket of a gateway that asks for tokens; ``t1`` is u1's in p1, and ends after ``LIFE_S``.

    :cvar warning_s: how long before it is told of that; 0: not at all.
    """

    warning_s = 0

    def setUp(self) -> None:
        self.clock = SetClock(0)
        self.tokens = StubTokens(
            t1=caller("p1", "u1", expires_s=LIFE_S),
            t2=caller("p2", "u1", expires_s=2 * LIFE_S),
            t3=caller("p1", "u3", expires_s=2 * LIFE_S),
            later=caller("p1", "u1", expires_s=2 * LIFE_S),
            bare=caller("", "u1", expires_s=LIFE_S),
            bad=None,
        )
        self.tokens.age_max_s = 10.0 * LIFE_S
        self.sockets = RecordedSockets()
        self.signer = UrlSigner(("s3cr3t",), self.clock)
        self.peer = self.connect(MemoryStorage(self.clock))

    def connect(self, storage: IStorage, waits: IWaits | None = None) -> Peer:
        """A client of a gateway over a store."""
        bounds = WebSocketBounds(
            authentication_timeout_s=TIMEOUT_S,
            unauthenticated_frames_max=FRAMES,
            expiry_warning_s=self.warning_s,
            ping_interval_s=0,
            deflate=False,
        )
        return Peer(
            make_factory(
                storage, self.clock, bounds, sockets=self.sockets, tokens=self.tokens, signer=self.signer, waits=waits
            )
        )

    def ask(self, *asked: Any, **body: Any) -> tuple[int, Any]:
        """Ask; status and body of the answer, which is the only frame that comes."""
        self.peer.send(frame(*asked, **body))
        (reply,) = self.peer.replies()
        return status(reply), reply["body"]

    def authenticate(self, token: str = "t1") -> tuple[int, Any]:
        """Authenticate; status and body of the answer."""
        return self.ask("authenticate", "p1", token)

    def signed(self, action: str = "message_list", **changes: Any) -> bytes:
        """A frame with a signature for the messages of the queue q in p1."""
        given = self.signer.sign("p1", ["/v2/queues/q/messages"], ["GET"], 10**6)
        made = document(action, queue_name="q")
        made["headers"] |= {
            "URL-Signature": given.signature,
            "URL-Expires": given.expires,
            "URL-Methods": list(given.methods),
            "URL-Paths": list(given.paths),
            **changes,
        }
        return json.dumps(made).encode()


class WaitTests(AuthenticationCase):
    """Requests that wait for messages, by whoever spoke when they came."""

    def setUp(self) -> None:
        super().setUp()
        self.storage = MemoryStorage(self.clock)
        self.peer = self.connect(self.storage, Waits(self.storage, self.clock))
        self.authenticate()

    def wait(self, project: str = "p1", action: str = "message_list") -> None:
        """Ask and get no answer."""
        self.peer.send(frame(action, project, queue_name="q", wait=20))
        self.pass_time(0)
        self.assertEqual(self.peer.received(), [])

    def pass_time(self, seconds: float) -> None:
        self.clock.pump([0] * 4)
        self.clock.advance(seconds)
        self.clock.pump([0] * 4)

    def test_another_project(self) -> None:
        """What waits ends, with nothing, before somebody else speaks, or the same user in another project."""
        for token, project in (("t2", "p2"), ("t1", "p1"), ("t3", "p1")):
            for action in ("message_list", "claim_create"):
                self.wait("p2" if token == "t1" else "p1", action)
            self.peer.send(frame("authenticate", project, token))
            listed, claimed, reply = self.peer.replies()
            self.assertEqual((status(listed), listed["body"]["messages"], status(claimed)), (200, [], 204))
            self.assertEqual(status(reply), 200)
        self.wait()
        self.pass_time(20)
        self.assertEqual(status(self.peer.replies()[0]), 200)

    def test_found_meanwhile(self) -> None:
        """What a look finds that was under way when somebody else came is told before these speak."""
        self.wait()
        kind, gate = type(self.storage.messages), Deferred[None]()
        get, looks = kind.list, list[int]()

        async def held(*given: Any, **named: Any) -> Any:
            found = await get(*given, **named)
            looks.append(len(found.messages))
            await gate
            return found

        self.patch(kind, "list", held)
        post = NewPost(b"c", [NewMessage(b'"former"')], size=8, ttl_default_s=60, size_max=100)
        self.successResultOf(Deferred.fromCoroutine(self.storage.messages.post("p1", "q", post)))
        self.pass_time(10)
        self.assertEqual(looks, [1])
        self.peer.send(frame("authenticate", "p2", "t2"))
        self.assertEqual(self.peer.received(), [])
        gate.callback(None)
        self.pass_time(0)
        found, reply = self.peer.replies()
        self.assertEqual([message["body"] for message in found["body"]["messages"]], ["former"])
        self.assertEqual((status(reply), reply["request"]["action"]), (200, "authenticate"))
        self.assertEqual(self.ask("queue_list", "p2")[0], 200)
        self.assertEqual(self.ask("queue_list", "p1")[0], 403)

    def test_pushes(self) -> None:
        """Pushes do not wait for what waits, nor for what is answered behind it."""
        self.wait()
        self.peer.send(frame("queue_list"), frame("queue_list"))
        self.assertEqual(self.peer.received(), [])
        self.peer.protocol.push(Pushed("1"))
        self.assertEqual(len(self.peer.received()), 1)
        self.pass_time(20)
        self.assertEqual(len(self.peer.replies()), 3)

    def test_ends_with_its_token(self) -> None:
        """What waits ends with the token it was asked with, though the user has come with another one meanwhile."""
        self.pass_time(LIFE_S - 5)
        self.wait()
        self.assertEqual(self.authenticate("later")[0], 200)
        self.pass_time(4)
        self.assertEqual(self.peer.received(), [])
        self.pass_time(1)
        self.assertEqual(len(self.peer.replies()), 1)
        self.wait()
        self.pass_time(19)
        self.assertEqual(self.peer.received(), [])
        self.pass_time(1)
        self.assertEqual(len(self.peer.replies()), 1)

    def hold_looks(self) -> Deferred[None]:
        """Have looks at messages begin when that fires, and not before."""
        kind, gate = type(self.storage.messages), Deferred[None]()
        get = kind.list

        async def held(*given: Any, **named: Any) -> Any:
            await gate
            return await get(*given, **named)

        self.patch(kind, "list", held)
        return gate

    def test_answered_before_the_end(self) -> None:
        """What waits when the token ends is answered, with nothing, before the socket is closed."""
        self.pass_time(LIFE_S - 5)
        self.wait()
        self.wait(action="claim_create")
        self.pass_time(5)
        *replies, (first, closed) = self.peer.received()
        self.assertEqual([status(json.loads(payload)) for _, payload in replies], [200, 204])
        self.assertEqual((first, closed), (0x88, (4003).to_bytes(2, "big") + b"Authentication expired."))

    def test_answered_before_the_end_by_a_look(self) -> None:
        """So it is where a token turns out to be revoked; a look that is under way is waited for, and nothing else runs until then."""
        self.tokens.age_max_s = 100.0
        self.authenticate()
        self.pass_time(95)
        self.wait()
        gate = self.hold_looks()
        self.tokens.callers.pop("t1")
        self.pass_time(5)
        self.tokens.answer(Unauthorized("revoked"))
        self.assertEqual(self.peer.received(), [])
        self.peer.send(frame("queue_list"))
        self.assertEqual(self.peer.received(), [])
        gate.callback(None)
        self.pass_time(0)
        (_, listed), (_, refused), (first, _) = self.peer.received()
        self.assertEqual([status(json.loads(payload)) for payload in (listed, refused)], [200, 403])
        self.assertEqual(first, 0x88)

    def test_authenticated_before_the_end(self) -> None:
        """Who authenticates anew while a look is under way goes on."""
        self.pass_time(LIFE_S - 5)
        self.wait()
        gate = self.hold_looks()
        self.pass_time(5)
        self.peer.send(frame("authenticate", "p1", "later"))
        gate.callback(None)
        self.pass_time(0)
        self.assertEqual([status(json.loads(payload)) for _, payload in self.peer.received()], [200, 200])
        self.peer.send(frame("queue_list"))
        self.assertEqual([status(json.loads(payload)) for _, payload in self.peer.received()], [200])


class StateTests(AuthenticationCase):
    """Nobody, somebody, somebody else."""

    def test_nobody(self) -> None:
        """Until somebody has authenticated valid requests are 403, also with a token of their own, and unoffered ones."""
        for asked in (
            frame("queue_list"),
            frame("queue_list", "p1", "t1"),
            frame("message_list", queue_name="q"),
            frame("pool_list"),
        ):
            self.peer.send(asked)
            (reply,) = self.peer.replies()
            self.assertEqual((status(reply), reply["body"]), (403, {"error": "Not authentified."}))

    def test_envelope_first(self) -> None:
        """What is wrong with a frame itself is told to anybody, as 400."""
        for bad in (b"{", b"[]", frame("nonsense"), frame("queue_get")):
            self.peer.send(bad)
            (reply,) = self.peer.replies()
            self.assertEqual(status(reply), 400)

    def test_authenticated(self) -> None:
        """The owner of a token may ask for what is in its project; the token is not echoed."""
        self.peer.send(frame("authenticate", "p1", "t1", ignored=1))
        (reply,) = self.peer.replies()
        self.assertEqual((status(reply), reply["body"]), (200, {"message": "Authentified."}))
        self.assertEqual(reply["request"], {"action": "authenticate", "body": {}, "headers": {}, "api": "v2"})
        self.assertEqual(self.ask("queue_create", queue_name="q")[0], 201)

    def test_roles(self) -> None:
        """Roles and user come from the token and from nothing else; the audit log has those."""
        self.tokens.callers["boss"] = caller("p1", "u9", "admin", expires_s=LIFE_S)
        claimed = document("delivery_resend", queue_name="q")
        claimed["headers"] |= {"X-ROLES": "admin", "X-USER-ID": "u9"}
        for token, expected, user in (("t1", 403, "u1"), ("boss", 200, "u9")):
            self.authenticate(token)
            with capturedLogs() as logged:
                self.peer.send(json.dumps(claimed).encode())
            (reply,) = self.peer.replies()
            self.assertEqual(status(reply), expected)
            (event,) = (event for event in logged if event["log_namespace"] == audit.NAMESPACE)
            self.assertEqual((event["user"], event["project"], event["status"]), (user, "p1", expected))

    def test_other_project(self) -> None:
        """Another project is 403, with the other spelling, and changes nothing."""
        self.authenticate()
        self.assertEqual(self.ask("queue_list", "p2"), (403, {"error": "Not authenticated."}))
        self.assertEqual(self.ask("queue_list")[0], 200)

    def test_failed(self) -> None:
        """A token that is not valid, or good for no project, is 401; the client may try again."""
        for token in ("bad", "bare"):
            self.assertEqual(self.authenticate(token), (401, FAILED))
            self.assertEqual(self.ask("queue_list", "")[0], 403)
        self.assertEqual(self.authenticate()[0], 200)

    def test_failed_again(self) -> None:
        """A failure leaves whoever has authenticated before."""
        self.authenticate()
        self.assertEqual(self.authenticate("bad"), (401, FAILED))
        self.assertEqual(self.ask("queue_list")[0], 200)

    def test_unavailable(self) -> None:
        """Where nobody can say whose a token is, that is 503."""
        self.peer.send(frame("authenticate", "p1", "new"))
        self.tokens.answer(IdentityUnavailable("The identity service does not answer."))
        (reply,) = self.peer.replies()
        self.assertEqual(status(reply), 503)
        self.assertEqual(reply["request"]["headers"], {})
        self.assertEqual(self.authenticate()[0], 200)

    def test_crash(self) -> None:
        """A look-up that fails as nobody foresaw is 500, and the socket goes on."""
        self.peer.send(frame("authenticate", "p1", "new"))
        self.tokens.answer(ZeroDivisionError())
        (reply,) = self.peer.replies()
        self.assertEqual(status(reply), 500)
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        self.assertEqual(self.authenticate()[0], 200)

    def test_subscriptions(self) -> None:
        """Another user, or another project, ends the subscriptions of the socket; a newer token does not."""
        self.authenticate("t1")
        self.authenticate("later")
        self.assertEqual(self.sockets.left, [])
        for number, token in enumerate(("t2", "t3"), 1):
            self.authenticate(token)
            self.assertEqual(self.sockets.left, [self.peer.protocol] * number)


class LookUpTests(AuthenticationCase):
    """While a token is looked up."""

    def test_at_once(self) -> None:
        """All other requests are 403, ahead of the reply, which comes in the encoding of its own frame."""
        self.peer.send(msgpack.packb(document("authenticate", "p1", "new")), kind=BINARY)
        self.assertEqual(self.peer.replies(), [])
        for asked in (frame("queue_list"), frame("authenticate", "p1", "t1"), self.signed()):
            self.peer.send(asked)
            (reply,) = self.peer.replies()
            self.assertEqual((status(reply), reply["body"]), (403, {"error": "Not authentified."}))
        self.assertNotIn("X-Auth-Token", reply["request"]["headers"])
        self.tokens.answer(caller("p1", "u1"))
        ((first, payload),) = self.peer.received()
        self.assertEqual((first, msgpack.unpackb(payload)["body"]), (0x82, {"message": "Authentified."}))
        self.assertEqual(self.ask("queue_list")[0], 200)

    def test_again(self) -> None:
        """So it is when somebody has authenticated before."""
        self.authenticate()
        self.peer.send(frame("authenticate", "p1", "new"))
        self.assertEqual(self.ask("queue_list"), (403, {"error": "Not authentified."}))
        self.tokens.answer(Unauthorized("no"))
        (reply,) = self.peer.replies()
        self.assertEqual(status(reply), 401)
        self.assertEqual(self.ask("queue_list")[0], 200)

    def test_after_what_came_before(self) -> None:
        """It begins when all that came before is answered, and what comes behind it waits for its begin alone."""
        storage, queues = MemoryStorage(self.clock), HeldQueues()
        storage.queues = queues
        self.peer = self.connect(storage)
        self.authenticate()
        self.peer.send(frame("queue_get", queue_name="q"), frame("authenticate", "p1", "new"), frame("queue_list"))
        self.assertEqual((self.tokens.asked, self.peer.replies()), ([], []))
        queues.release("q")
        self.assertEqual([status(reply) for reply in self.peer.replies()], [200, 403])
        self.tokens.answer(caller("p1", "u1"))
        self.assertEqual([status(reply) for reply in self.peer.replies()], [200])

    def test_pushes(self) -> None:
        """Notifications wait for the answer, which is the next frame of a client that waits for one."""
        self.authenticate()
        self.peer.send(frame("authenticate", "p1", "new"))
        self.peer.protocol.push(Pushed({"n": 1}))
        self.assertEqual(self.peer.replies(), [])
        self.tokens.answer(caller("p1", "u1"))
        answer, pushed = self.peer.replies()
        self.assertEqual((status(answer), pushed), (200, {"n": 1}))

    def test_gone(self) -> None:
        """A socket that is closed meanwhile leaves nothing behind."""
        self.peer.send(frame("authenticate", "p1", "new"))
        self.peer.transport.loseConnection()
        self.tokens.answer(caller("p1", "u1"))
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_closing(self) -> None:
        """A gateway that stops waits for the answer."""
        self.peer.send(frame("authenticate", "p1", "new"))
        self.peer.protocol.finish()
        self.tokens.answer(caller("p1", "u1"))
        self.assertEqual([first for first, _ in self.peer.received()], [0x81, 0x88])


class ExpiryTests(AuthenticationCase):
    """How long it holds."""

    def closed(self) -> bytes | None:
        """The payload of the close frame that came, if one came."""
        return next((payload for first, payload in self.peer.received() if first == 0x88), None)

    def test_expired(self) -> None:
        """The socket is closed with 4003 when the token ends."""
        self.authenticate()
        self.clock.advance(LIFE_S - 1)
        self.assertEqual(self.ask("queue_list")[0], 200)
        self.clock.advance(1)
        self.assertEqual(self.closed(), (4003).to_bytes(2, "big") + b"Authentication expired.")

    def test_latest(self) -> None:
        """The time is that of the latest token that was good."""
        self.authenticate()
        self.authenticate("later")
        self.authenticate("bad")
        self.clock.advance(2 * LIFE_S - 1)
        self.assertIsNone(self.closed())
        self.clock.advance(1)
        self.assertIsNotNone(self.closed())

    def test_looked_up_again(self) -> None:
        """A token is looked up again when it could have been revoked; while nobody can say it holds."""
        self.tokens.age_max_s = 100.0
        self.authenticate()
        first = self.tokens.callers.pop("t1")
        assert first is not None
        outcomes: tuple[Caller | Exception, ...] = (first, IdentityUnavailable("away"), Unauthorized("revoked"))
        for number, outcome in enumerate(outcomes, 1):
            self.clock.advance(100)
            self.assertEqual(self.tokens.asked, ["t1"] * number)
            self.assertEqual(self.ask("queue_list")[0], 200)
            self.tokens.answer(outcome)
        self.assertEqual(int.from_bytes((self.closed() or b"")[:2], "big"), 4003)

    def test_replaced_meanwhile(self) -> None:
        """What is found out about a token that was replaced meanwhile changes nothing."""
        self.tokens.age_max_s = 100.0
        self.authenticate()
        del self.tokens.callers["t1"]
        self.clock.advance(100)
        self.authenticate("later")
        self.tokens.answer(Unauthorized("revoked"))
        self.assertEqual(self.ask("queue_list")[0], 200)

    def test_roles_change(self) -> None:
        """A role that was taken away is gone with the next look."""
        self.tokens.callers["t1"] = caller("p1", "u1", "admin", expires_s=LIFE_S)
        self.tokens.age_max_s = 100.0
        self.authenticate()
        self.assertEqual(self.ask("delivery_overview")[0], 200)
        self.tokens.callers["t1"] = caller("p1", "u1", expires_s=LIFE_S)
        self.clock.advance(100)
        self.assertEqual(self.ask("delivery_overview")[0], 403)

    def test_closed(self) -> None:
        """A socket that is closed leaves no timer."""
        self.authenticate()
        self.peer.transport.loseConnection()
        self.assertEqual(self.clock.getDelayedCalls(), [])


class WarningTests(AuthenticationCase):
    """Word that a token ends soon, for those who ask for it."""

    warning_s = 60

    def test_warned(self) -> None:
        """A frame without a request says so once, with the seconds that are left, also where the token is looked up often."""
        self.tokens.age_max_s = 7.0
        self.authenticate()
        for _ in range(LIFE_S - 61):
            self.clock.advance(1)
        self.assertEqual(self.peer.replies(), [])
        self.clock.advance(1)
        self.assertEqual(self.peer.replies(), [{"Message_Type": "AuthenticationExpires", "expires_in": 60}])
        for _ in range(59):
            self.clock.advance(1)
        self.assertEqual(self.peer.received(), [])
        self.clock.advance(1)
        self.assertEqual(self.peer.close_code(), 4003)

    def test_late(self) -> None:
        """Where less time is left, it comes behind the answer."""
        self.tokens.callers["t1"] = caller("p1", "u1", expires_s=10)
        self.peer.send(frame("authenticate", "p1", "t1"))
        (answer,) = self.peer.replies()
        self.assertEqual(status(answer), 200)
        self.clock.advance(0)
        self.assertEqual([each["expires_in"] for each in self.peer.replies()], [10])

    def test_newer(self) -> None:
        """Who authenticates anew in time is warned of the end of the newer token."""
        self.authenticate()
        self.clock.advance(LIFE_S - 60)
        self.assertEqual(len(self.peer.replies()), 1)
        self.authenticate("later")
        self.clock.advance(LIFE_S - 1)
        self.assertEqual(self.peer.replies(), [])
        self.clock.advance(1)
        self.assertEqual(self.peer.replies(), [{"Message_Type": "AuthenticationExpires", "expires_in": 60}])

    def test_encoding(self) -> None:
        """It has the encoding of the frame that authenticated, or that of notifications where there are any."""
        self.peer.send(msgpack.packb(document("authenticate", "p1", "t1")), kind=BINARY)
        self.peer.received()
        self.clock.advance(LIFE_S - 60)
        ((first, payload),) = self.peer.received()
        self.assertEqual(first, 0x82)
        self.assertEqual(msgpack.unpackb(payload), {"Message_Type": "AuthenticationExpires", "expires_in": 60})
        self.assertEqual(self.ask("subscription_create", queue_name="q", ttl=600)[0], 201)
        self.peer.send(msgpack.packb(document("authenticate", "p1", "later")), kind=BINARY)
        self.peer.received()
        self.clock.advance(LIFE_S)
        self.assertEqual([first for first, _ in self.peer.received()], [0x81])

    def test_closed(self) -> None:
        """A socket that is closed leaves no timer."""
        self.authenticate()
        self.peer.transport.loseConnection()
        self.assertEqual(self.clock.getDelayedCalls(), [])


class BoundTests(AuthenticationCase):
    """What a socket may do on which nobody has authenticated."""

    def test_time(self) -> None:
        """It is closed after its time, whatever it sent."""
        self.authenticate("bad")
        self.clock.advance(TIMEOUT_S - 1)
        self.assertIsNone(self.peer.close_code())
        self.clock.advance(1)
        self.assertEqual(self.peer.close_code(), 1008)

    def test_authenticated(self) -> None:
        """Once somebody has authenticated there is no such bound."""
        self.authenticate()
        for _ in range(2 * FRAMES):
            self.assertEqual(self.ask("queue_list")[0], 200)
        self.clock.advance(TIMEOUT_S)
        self.assertEqual(self.ask("queue_list")[0], 200)

    def test_frames(self) -> None:
        """It is closed after so many frames, good or bad, tries of tokens included."""
        for bad in (frame("queue_list"), b"{", frame("authenticate", "p1", "bad"), frame("nonsense"), frame("queue_get")):
            self.peer.send(bad)
            self.assertEqual(len(self.peer.replies()), 1)
        self.peer.send(frame("authenticate", "p1", "t1"))
        self.assertEqual(self.peer.close_code(), 1008)

    def test_signed(self) -> None:
        """A good signature begins both bounds anew, and authenticates nobody; a bad one does neither."""
        for _ in range(2 * FRAMES):
            self.clock.advance(TIMEOUT_S - 1)
            self.peer.send(self.signed())
            (reply,) = self.peer.replies()
            self.assertEqual(status(reply), 200)
        self.assertEqual(self.ask("message_list", queue_name="q")[0], 403)
        for _ in range(FRAMES - 1):
            self.peer.send(self.signed(**{"X-Project-ID": "p2"}))
            (reply,) = self.peer.replies()
            self.assertEqual((status(reply), reply["body"]), (403, {"error": "Not authentified."}))
        self.peer.send(frame("queue_list"))
        self.assertEqual(self.peer.close_code(), 1008)
