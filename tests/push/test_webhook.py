"""Deliveries by HTTP, through real sockets."""

from __future__ import annotations

import base64
import gzip
import os
import socket
import ssl
import tracemalloc
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, ClassVar

from twisted.internet import reactor as reactor_module
from twisted.internet.defer import Deferred
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.internet.ssl import Certificate, PrivateCertificate, trustRootFromCertificates
from twisted.internet.task import Clock
from twisted.internet.threads import deferToThread
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase, TestCase
from twisted.web.resource import Resource
from twisted.web.server import Request, Site
from zope.interface import implementer
from zope.interface.verify import verifyObject

from tests.clocks import SetClock
from tests.push.base import PAYLOAD, Resolver, TimedReactor, certificate, delivery
from zaqar_gateway.errors import IdentityUnavailable, NotFound, RuleBroken
from zaqar_gateway.interfaces import INotifier, ITrusts
from zaqar_gateway.model import Context, Delivery, Verdict
from zaqar_gateway.push.addresses import AddressRules
from zaqar_gateway.push.signature import signatures
from zaqar_gateway.push.trust import system_trust
from zaqar_gateway.push.webhook import ANSWER_MAX, BODY_MAX, WebhookNotifier

reactor: Any = reactor_module

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"
NOW_S = 1_800_000_000


class Receiver(Resource):
    """A receiver that answers as it is told and remembers what came."""

    isLeaf = True

    def __init__(self) -> None:
        super().__init__()
        self.status = 200
        self.refuses: set[str] = set()  # tokens
        self.answer_headers: dict[str, str] = {}
        self.requests: list[tuple[bytes, dict[str, str], bytes, Any]] = []

    def render(self, request: Request) -> bytes:
        """Answer."""
        headers = {
            name.decode().lower(): b", ".join(values).decode()
            for name, values in request.requestHeaders.getAllRawHeaders()
        }
        assert request.content is not None
        self.requests.append((request.method + b" " + request.uri, headers, request.content.read(), request.transport))
        request.setResponseCode(401 if headers.get("x-auth-token") in self.refuses else self.status)
        for name, value in self.answer_headers.items():
            request.setHeader(name, value)
        return b"thanks"


class Raw(Protocol):
    """A receiver made of bytes: it answers each part of a request as its factory says."""

    transport: Any

    def dataReceived(self, data: bytes) -> None:
        """Answer."""
        factory: Any = self.factory
        factory.got += data
        factory.answer(self)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """Tell."""
        factory: Any = self.factory
        if not factory.lost.called:
            factory.lost.callback(None)


def write(connection: Any, answer: bytes) -> None:
    """Answer."""
    connection.transport.write(answer)


def hang_up(connection: Any, answer: bytes) -> None:
    """Answer and hang up."""
    connection.transport.write(answer)
    connection.transport.loseConnection()


@implementer(ITrusts)
class Trusts:
    """Gives one token until that is refused, and another one then."""

    def __init__(self, error: Exception | None = None) -> None:
        self.ended: list[str] = []
        self.useless: list[str] = []
        self._error = error

    async def create(self, ctx: Context, token: str, ttl_s: int) -> str:
        """See :class:`ITrusts`."""
        raise NotImplementedError

    async def check(self, ctx: Context, token: str, trust_id: str) -> None:
        """See :class:`ITrusts`."""
        raise NotImplementedError

    async def token(self, trust_id: str) -> str:
        """See :class:`ITrusts`."""
        if self._error:
            raise self._error
        return f"token of {trust_id}" + " again" * len(self.ended)

    def refused(self, trust_id: str, token: str, again: bool = False) -> None:
        """See :class:`ITrusts`."""
        if again:
            self.useless.append(token)
        else:
            self.ended.append(token)

    async def revoke(self, trust_id: str) -> None:
        """See :class:`ITrusts`."""


class SendingCase(TestCase):
    """Receivers on loopback; time stands still unless a test moves it."""

    timeout = 120  # the machines that test are busy

    def setUp(self) -> None:
        self.clock = SetClock(NOW_S)
        self.notifier = self.make()

    def make(self, **given: Any) -> WebhookNotifier:
        """A notifier that may deliver to loopback, where names that end with .test are too."""
        names = {name: lambda: ["127.0.0.1"] for name in ("receiver.test", "other.test", "under_score.test")}
        values: dict[str, Any] = {"timeout_s": 10, "resolver": Resolver(names)} | given
        notifier = WebhookNotifier(TimedReactor(reactor, self.clock), AddressRules(loopback=True), **values)
        self.addCleanup(notifier.stop)
        return notifier

    def listen(self, factory: Any) -> int:
        """Serve; gives the port."""
        return self.until_end(reactor.listenTCP(0, factory, interface="127.0.0.1"))

    def until_end(self, port: Any) -> int:
        """Stop listening when the test ends; gives the port."""
        self.addCleanup(port.stopListening)
        number: int = port.getHost().port
        return number

    def receiver(self) -> tuple[Receiver, str]:
        """A receiver and its URL."""
        receiver = Receiver()
        return receiver, f"http://127.0.0.1:{self.listen(Site(receiver))}/hook?a=b%20c"

    def raw(self, answer: Callable[[Any], object]) -> tuple[Any, str]:
        """A receiver made of bytes and its URL."""
        factory: Any = Factory.forProtocol(Raw)
        factory.got, factory.answer, factory.lost = b"", answer, Deferred()
        return factory, f"http://127.0.0.1:{self.listen(factory)}/"

    async def send(self, subscriber: str, options: dict[str, object] | None = None, **given: Any) -> Verdict:
        """Deliver."""
        return await self.notifier.send(delivery(subscriber, options, **given))


class Requests(SendingCase):
    """What a receiver gets."""

    def test_provides_interface(self) -> None:
        """It is a notifier."""
        verifyObject(INotifier, self.notifier)

    async def test_plain(self) -> None:
        """The payload is posted as it is, as JSON, with an id and the attempt, and unsigned without a secret."""
        receiver, url = self.receiver()
        self.assertEqual(await self.send(url, attempt=3), Verdict(True))
        ((line, headers, body, _),) = receiver.requests
        self.assertEqual((line, body), (b"POST /hook?a=b%20c", PAYLOAD))
        self.assertEqual(headers["content-type"], "application/json")
        self.assertEqual(headers["content-length"], str(len(PAYLOAD)))
        self.assertEqual((headers["webhook-id"], headers["webhook-attempt"]), ("d1", "3"))
        self.assertEqual(headers["webhook-timestamp"], str(NOW_S))
        self.assertRegex(headers["user-agent"], r"^zaqar-gateway/\d")
        self.assertEqual(headers["host"], url.split("/")[2])
        self.assertFalse({"webhook-signature", "authorization", "x-auth-token", "cookie"} & set(headers))

    async def test_template(self) -> None:
        """Each quoted placeholder of post_data is the payload, one without quotes stays; headers are replaced."""
        receiver, url = self.receiver()
        template = '{"m": "$zaqar_message$", "again": "$zaqar_message$", "left": "a $zaqar_message$ ü"}'
        headers = {"content-type": "text/x", "User-Agent": "me", "X-Auth-Token": "t", "X-Empty": "", "X-A": " b\tc "}
        self.assertTrue((await self.send(url, {"post_data": template, "post_headers": headers})).ok)
        ((_, got, body, _),) = receiver.requests
        message = PAYLOAD.decode()
        expected = f'{{"m": {message}, "again": {message}, "left": "a $zaqar_message$ ü"}}'
        self.assertEqual(body.decode(), expected)
        self.assertEqual((got["content-type"], got["user-agent"], got["x-auth-token"]), ("text/x", "me", "t"))
        self.assertEqual((got["x-empty"], got["x-a"]), ("", "b\tc"))

    async def test_empty_template(self) -> None:
        """An empty template is an empty body."""
        receiver, url = self.receiver()
        self.assertTrue((await self.send(url, {"post_data": ""})).ok)
        self.assertEqual(receiver.requests[0][2], b"")

    async def test_template_that_grows(self) -> None:
        """A template that names the payload so often that the body is beyond the bound is given up, and not sent."""
        receiver, url = self.receiver()
        many = '"$zaqar_message$"' * (BODY_MAX // len(PAYLOAD) + 1)
        verdict = await self.send(url, {"post_data": many})
        self.assertEqual((verdict.ok, verdict.again, receiver.requests), (False, False, []))
        self.assertIn(f"at most {BODY_MAX}", verdict.reason)

    async def test_signed(self) -> None:
        """With secrets the body that is sent is signed by each of them."""
        receiver, url = self.receiver()
        self.notifier = self.make(secrets=[b"new", b"old"])
        self.assertTrue((await self.send(url, {"post_data": 'x "$zaqar_message$"'})).ok)
        ((_, headers, body, _),) = receiver.requests
        self.assertEqual(body, b"x " + PAYLOAD)
        self.assertEqual(headers["webhook-signature"], signatures([b"new", b"old"], "d1", NOW_S, body))

    async def test_login(self) -> None:
        """User and password of a URL are sent as Basic authentication, and not in the request line or Host."""
        receiver, url = self.receiver()
        self.assertTrue((await self.send(url.replace("://", "://us%40er:p:%C3%A4@"))).ok)
        ((line, headers, _, _),) = receiver.requests
        self.assertEqual(headers["authorization"], "Basic " + base64.b64encode("us@er:p:ä".encode()).decode())
        self.assertNotIn(b"us", line)
        self.assertNotIn("us", headers["host"])

    async def test_spellings(self) -> None:
        """Fragments stay here, schemes may be in capitals, names may have what registered ones have not."""
        receiver, url = self.receiver()
        port = url.split(":")[2].split("/")[0]
        for host in ("receiver.test", "RECEIVER.test", "under_score.test", "[::ffff:127.0.0.1]", "127.1"):
            self.assertTrue((await self.send(f"HTTP://{host}:{port}/ü?ü=1#x")).ok, host)
        lines = {line for line, *_ in receiver.requests}
        self.assertEqual(lines, {b"POST /%C3%BC?%C3%BC=1"})

    async def test_trust(self) -> None:
        """A subscriber with a trust gets a token by it, which its own header replaces."""
        receiver, url = self.receiver()
        self.notifier = self.make(trusts=Trusts())
        self.assertTrue((await self.send(f"trust+{url}", {"trust_id": "t1"})).ok)
        own: dict[str, object] = {"trust_id": "t1", "post_headers": {"x-auth-token": "own"}}
        self.assertTrue((await self.send(f"trust+{url}", own)).ok)
        self.assertTrue((await self.send(url, {"trust_id": "t1"})).ok)
        tokens = [headers.get("x-auth-token") for _, headers, _, _ in receiver.requests]
        self.assertEqual(tokens, ["token of t1", "own", None])

    async def test_token_has_ended(self) -> None:
        """A token that is refused is replaced, once; other refusals are none of the token, nor is that of a header of one's own."""
        receiver, url = self.receiver()
        trusts = Trusts()
        self.notifier = self.make(trusts=trusts)
        receiver.refuses = {"token of t1"}
        self.assertEqual(await self.send(f"trust+{url}", {"trust_id": "t1"}), Verdict(True))
        receiver.refuses = {"token of t1 again", "token of t1 again again", "own"}
        verdict = Verdict(False, False, "it answered 401")
        self.assertEqual(await self.send(f"trust+{url}", {"trust_id": "t1"}), verdict)
        own: dict[str, object] = {"trust_id": "t1", "post_headers": {"X-Auth-Token": "own"}}
        self.assertEqual(await self.send(f"trust+{url}", own), verdict)
        receiver.refuses, receiver.status = set(), 403
        self.assertFalse((await self.send(f"trust+{url}", {"trust_id": "t1"})).ok)
        receiver.status = 401
        self.assertFalse((await self.send(url)).ok)
        tokens = [headers.get("x-auth-token", "").count("again") for _, headers, _, _ in receiver.requests]
        self.assertEqual(tokens, [0, 1, 1, 2, 0, 2, 0])
        self.assertEqual(trusts.ended, ["token of t1", "token of t1 again"])
        self.assertEqual(trusts.useless, ["token of t1 again again"])
        self.assertEqual(len({headers["webhook-id"] for _, headers, _, _ in receiver.requests}), 1)

    async def test_no_token(self) -> None:
        """Without a token nothing is sent: for good where there is no trust, for now where nobody answers."""
        receiver, url = self.receiver()
        given: dict[str, object] = {"trust_id": "t1"}
        for trusts, options, again, reason in (
            (None, given, False, "no identity service"),
            (Trusts(), {}, False, "has no trust"),
            (Trusts(NotFound("trust t1 is gone")), given, False, "trust t1 is gone"),
            (Trusts(IdentityUnavailable("Keystone is away")), given, True, "Keystone is away"),
        ):
            self.notifier = self.make(trusts=trusts)
            verdict = await self.send(f"trust+{url}", options)
            self.assertEqual((verdict.ok, verdict.again), (False, again))
            self.assertIn(reason, verdict.reason)
        self.assertEqual(receiver.requests, [])

    async def test_persistent_connection(self) -> None:
        """Deliveries to one host share a connection, whatever their answers are."""
        receiver, url = self.receiver()
        for receiver.status in (200, 500, 404, 302, 204):
            await self.send(url)
        self.assertEqual(len({id(transport) for *_, transport in receiver.requests}), 1)

    async def test_kept_connection_that_ends(self) -> None:
        """A receiver that ends a connection behind its answer, or with the next request, costs no attempt: that goes out on a new one."""
        came: list[Any] = []  # the connection of each request

        def once(connection: Any) -> None:
            """Answer the first request of a connection, and none after it."""
            if factory.got.count(b"POST / ") == len(came):
                return  # the body of what came before
            if connection in came:
                connection.transport.loseConnection()
            else:
                write(connection, OK)
            came.append(connection)

        factory, url = self.raw(once)
        for _ in range(3):
            self.assertEqual(await self.send(url), Verdict(True))
        first, again, second, again_second, third = came
        self.assertEqual((first is again, second is again_second, len({first, second, third})), (True, True, 3))
        factory, url = self.raw(partial(hang_up, answer=OK.replace(b"1.1", b"1.0")))
        for _ in range(5):
            self.assertEqual(await self.send(url), Verdict(True))

    async def second_of(self, *, is_late: bool) -> list[bool]:
        """Deliver twice to a receiver that answers the first request alone; of each that came whether it came on the first connection."""
        came: list[Any] = []
        second: Deferred[None] = Deferred()

        def answer(connection: Any) -> None:
            if factory.got.count(b"POST / ") == len(came):
                return
            came.append(connection)
            if len(came) == 1:
                write(connection, OK)
            elif is_late:
                second.callback(None)
            else:
                connection.transport.loseConnection()

        factory, url = self.raw(answer)
        self.assertTrue((await self.send(url)).ok)
        sending = Deferred.fromCoroutine(self.send(url))
        if is_late:
            await second
            self.clock.advance(10)
        verdict = await sending
        self.assertEqual((verdict.ok, verdict.again), (False, True))
        return [one is came[0] for one in came]

    async def test_sent_again_once(self) -> None:
        """Where the new connection ends without an answer, too, the attempt has failed; and what is late is not sent again."""
        self.assertEqual(await self.second_of(is_late=False), [True, True, False])
        self.assertEqual(await self.second_of(is_late=True), [True, True])

    async def test_idle_connection_ends(self) -> None:
        """A connection that nobody needs is closed before usual servers close it."""
        factory, url = self.raw(partial(write, answer=OK))
        self.assertTrue((await self.send(url)).ok)
        self.clock.advance(4)
        await factory.lost
        self.assertEqual(self.notifier._kept._connections, {})

    async def test_nothing_is_remembered(self) -> None:
        """Cookies of an answer come back with no later request."""
        receiver, url = self.receiver()
        receiver.answer_headers = {"Set-Cookie": "a=b; Path=/"}
        await self.send(url)
        await self.send(url)
        self.assertNotIn("cookie", receiver.requests[1][1])


class Verdicts(SendingCase):
    """What becomes of an attempt."""

    async def test_statuses(self) -> None:
        """2xx and 3xx are success, 4xx are final, and all else is tried again."""
        receiver, url = self.receiver()
        for receiver.status, expected in (
            *((status, (True, False)) for status in (200, 201, 202, 204, 206, 300, 301, 302, 303, 304, 307, 308)),
            *((status, (False, False)) for status in (400, 401, 403, 404, 405, 408, 409, 410, 413, 422, 429, 451)),
            *((status, (False, True)) for status in (500, 501, 502, 503, 504, 599, 600, 999)),
        ):
            verdict = await self.send(url)
            self.assertEqual((verdict.ok, verdict.again), expected, receiver.status)
            self.assertEqual(verdict.reason, "" if verdict.ok else f"it answered {receiver.status}")

    async def test_redirects(self) -> None:
        """Where an answer redirects to is never contacted."""
        target, target_url = self.receiver()
        receiver, url = self.receiver()
        receiver.answer_headers = {"Location": target_url, "Refresh": f"0; url={target_url}"}
        for receiver.status in (300, 301, 302, 303, 307, 308):
            self.assertTrue((await self.send(url)).ok)
        self.assertEqual((len(receiver.requests), target.requests), (6, []))

    async def test_refused_connection(self) -> None:
        """Where nobody listens another attempt is made."""
        port: Any = reactor.listenTCP(0, Factory(), interface="127.0.0.1")
        number = port.getHost().port
        await port.stopListening()
        self.notifier = WebhookNotifier(reactor, AddressRules(loopback=True), timeout_s=10)
        verdict = await self.send(f"http://127.0.0.1:{number}/")
        self.assertEqual((verdict.ok, verdict.again), (False, True))
        self.assertIn("refused", verdict.reason)

    async def test_broken(self) -> None:
        """A receiver that hangs up, or speaks no HTTP, is tried again, and nothing that it wrote is in the reason."""
        for answer in (
            b"",
            b"s3cr3t\r\n\r\n",
            b"HTTP/1.1 abc s3cr3t\r\n\r\n",
            b"HTTP/1.1 200 OK\r\ns3cr3t\r\n",
            b"HTTP/9",
        ):
            _, url = self.raw(partial(hang_up, answer=answer))
            verdict = await self.send(url)
            self.assertEqual((verdict.ok, verdict.again), (False, True), (answer, verdict))
            self.assertNotEqual(verdict.reason, "")
            self.assertNotIn("s3cr3t", verdict.reason)

    async def test_silent(self) -> None:
        """A receiver that does not answer costs the time-out, the connection with it."""
        reached: Deferred[None] = Deferred()
        factory, url = self.raw(lambda _: None if reached.called else reached.callback(None))
        sent = Deferred.fromCoroutine(self.send(url))
        await reached
        self.clock.advance(9)
        self.assertNoResult(sent)
        self.clock.advance(1)
        self.assertEqual(await sent, Verdict(False, True, "no answer within 10 s"))
        await factory.lost

    async def test_slow_head(self) -> None:
        """A head that comes byte by byte makes the time-out no longer."""
        reached: Deferred[None] = Deferred()

        def begin(connection: Any) -> None:
            connection.transport.write(b"HTTP/1.1 200 OK\r\nX-A: ")
            if not reached.called:
                reached.callback(None)

        factory, url = self.raw(begin)
        sent = Deferred.fromCoroutine(self.send(url))
        await reached
        self.clock.advance(10)
        verdict = await sent
        self.assertEqual((verdict.ok, verdict.again), (False, True))
        await factory.lost

    async def test_slow_body(self) -> None:
        """Once the head has come its status counts; a body is waited for until the time-out at most."""
        for status, ok in ((b"200 OK", True), (b"503 Away", False)):
            begun: Deferred[None] = Deferred()

            def begin(connection: Any, status: bytes = status, begun: Deferred[None] = begun) -> None:
                connection.transport.write(b"HTTP/1.1 " + status + b"\r\nContent-Length: 100\r\n\r\nabc")
                begun.callback(None)

            factory, url = self.raw(begin)
            sent = Deferred.fromCoroutine(self.send(url))
            await begun
            # The head has been read once the connection has: a delivery of its own is a round trip through the reactor.
            receiver, other = self.receiver()
            self.assertTrue((await self.send(other)).ok)
            self.assertNoResult(sent)
            self.clock.advance(10)
            self.assertEqual((await sent).ok, ok)
            await factory.lost

    async def test_long_body(self) -> None:
        """A longer answer than is read is cut off, and counts by its status."""
        for head in (
            b"HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nFFFFFFF\r\n",
            b"HTTP/1.0 200 OK\r\n\r\n",
        ):
            factory, url = self.raw(partial(Endless, head=head))
            self.assertEqual(await self.send(url), Verdict(True))
            await factory.lost

    async def test_long_head(self) -> None:
        """A head without end, and interim answers without end, are cut off and tried again."""
        for head, part in (
            (b"HTTP/1.1 200 OK\r\n", b"X-A: " + b"a" * 100 + b"\r\n"),
            (b"", b"HTTP/1.1 100 Continue\r\n\r\n"),
            (b"HTTP/1.1 200 OK\r\nX-A: ", b"a" * 1000),
        ):
            factory, url = self.raw(partial(Endless, head=head, part=part))
            verdict = await self.send(url)
            self.assertEqual((verdict.ok, verdict.again), (False, True))
            await factory.lost

    async def test_bound_is_for_each_answer(self) -> None:
        """A connection may carry more than the bound in many answers."""
        body = b"a" * (ANSWER_MAX // 2)
        answer = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body
        factory, url = self.raw(partial(write, answer=answer))
        for _ in range(5):
            self.assertTrue((await self.send(url)).ok)
        self.assertFalse(factory.lost.called)

    async def test_packed_body(self) -> None:
        """A packed answer is not unpacked: neither what is no gzip does harm, nor what would be 50 MB."""
        bomb = gzip.compress(b"\0" * 50_000_000, 9)
        self.assertLess(len(bomb), ANSWER_MAX)
        tracemalloc.start()
        self.addCleanup(tracemalloc.stop)
        for body in (b"no gzip", bomb):
            head = b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(body)
            _, url = self.raw(partial(write, answer=head + body))
            self.assertEqual(await self.send(url), Verdict(True))
        self.assertLess(tracemalloc.get_traced_memory()[1], 10_000_000)

    async def test_interim_answers(self) -> None:
        """Interim answers come before the one that counts."""
        interim = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\n"
        _, url = self.raw(partial(write, answer=interim + OK))
        self.assertEqual(await self.send(url), Verdict(True))

    async def test_unasked_upgrade(self) -> None:
        """A switch of protocols that nobody asked for is no success."""
        answer = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n"
        _, url = self.raw(partial(hang_up, answer=answer))
        self.assertFalse((await self.send(url)).ok)

    async def test_junk_after_answer(self) -> None:
        """What comes after an answer is no answer to the next request."""
        _, url = self.raw(partial(write, answer=OK + b"HTTP/1.1 500 Junk\r\nContent-Length: 0\r\n\r\n"))
        for _ in range(3):
            self.assertEqual(await self.send(url), Verdict(True))


class Endless:
    """Writes a head, then the same for as long as somebody reads."""

    def __init__(self, connection: Any, head: bytes, part: bytes = b"a" * 10000) -> None:
        self._transport = connection.transport
        self._part = part
        if not connection.factory.lost.called and not getattr(connection, "endless", None):
            connection.endless = self
            self._transport.write(head)
            self._transport.registerProducer(self, False)

    def resumeProducing(self) -> None:
        """Write more."""
        self._transport.write(self._part)

    def stopProducing(self) -> None:
        """See :class:`IPullProducer`."""


def unread(connection: Any) -> None:
    """Read no more."""
    connection.transport.pauseProducing()


class LongRequests(SendingCase):
    """Templates that name a long payload often."""

    payload = b'{"body":"%s"}' % (b"x" * 250_000)
    options: ClassVar[dict[str, object]] = {"post_data": "[" + ",".join(['"$zaqar_message$"'] * 30) + "]"}

    def body(self) -> bytes:
        """What the receiver is to get."""
        return b"[" + b",".join([self.payload] * 30) + b"]"

    async def test_whole(self) -> None:
        """All of it arrives, signed, and again on the same connection; so it does over TLS."""
        receiver, url = self.receiver()
        public, private = certificate("127.0.0.1")
        options = PrivateCertificate.loadPEM(public + private).options()
        port = self.until_end(reactor.listenSSL(0, Site(receiver), options, interface="127.0.0.1"))
        trusted = trustRootFromCertificates([Certificate.loadPEM(public)])
        self.notifier = self.make(trust_root=trusted, secrets=[b"secret"])
        for each in (url, url, f"https://127.0.0.1:{port}/", f"https://127.0.0.1:{port}/"):
            self.assertEqual(await self.send(each, self.options, payload=self.payload), Verdict(True))
        self.assertEqual({body == self.body() for _, _, body, _ in receiver.requests}, {True})
        self.assertEqual(len({connection for *_, connection in receiver.requests}), 2)
        signed = {headers["webhook-signature"] for _, headers, _, _ in receiver.requests}
        self.assertEqual(signed, {signatures([b"secret"], "d1", NOW_S, self.body())})

    async def test_memory(self) -> None:
        """Receivers that do not read cost little more than what they are sent by the template."""
        reached: list[Any] = []
        all_reached: Deferred[None] = Deferred()

        def hold(connection: Any) -> None:
            unread(connection)
            reached.append(connection)
            if len(reached) == 16:
                all_reached.callback(None)

        _, url = self.raw(hold)
        tracemalloc.start()
        self.addCleanup(tracemalloc.stop)
        sent = [Deferred.fromCoroutine(self.send(url, self.options, payload=self.payload)) for _ in range(16)]
        await all_reached
        self.assertLess(tracemalloc.get_traced_memory()[1], 16 * len(self.body()) // 4)
        self.clock.advance(10)
        for each in sent:
            self.assertEqual(await each, Verdict(False, True, "no answer within 10 s"))

    async def test_answered_early(self) -> None:
        """An answer counts that comes before all was read; what is sent next is not behind the rest."""

        def refuse(connection: Any) -> None:
            unread(connection)
            connection.transport.write(b"HTTP/1.1 413 Too Long\r\nContent-Length: 0\r\n\r\n")

        factory, url = self.raw(refuse)
        for _ in range(2):
            verdict = await self.send(url, self.options, payload=self.payload)
            self.assertEqual(verdict, Verdict(False, False, "it answered 413"))
        self.assertEqual(factory.got.count(b"POST / "), 2)


class Tls(SendingCase):
    """https."""

    def serve(self, *names: str) -> tuple[Receiver, int, bytes]:
        """A receiver with a certificate for some names, its port, and its certificate."""
        public, private = certificate(*names)
        receiver = Receiver()
        options = PrivateCertificate.loadPEM(public + private).options()
        port = self.until_end(reactor.listenSSL(0, Site(receiver), options, interface="127.0.0.1"))
        return receiver, port, public

    async def test_trusted(self) -> None:
        """A certificate of the host that is trusted is accepted; addresses have certificates too."""
        receiver, port, public = self.serve("receiver.test", "127.0.0.1")
        self.notifier = self.make(trust_root=trustRootFromCertificates([Certificate.loadPEM(public)]))
        for host in ("receiver.test", "127.0.0.1"):
            self.assertEqual(await self.send(f"https://{host}:{port}/"), Verdict(True))
        self.assertEqual(len(receiver.requests), 2)

    async def test_not_trusted(self) -> None:
        """A certificate that nobody vouches for, or of another host, is not, and nothing is sent."""
        receiver, port, public = self.serve("receiver.test")
        trusted = trustRootFromCertificates([Certificate.loadPEM(public)])
        for root, host in ((None, "receiver.test"), (trusted, "other.test"), (trusted, "127.0.0.1")):
            self.notifier = self.make(trust_root=root)
            verdict = await self.send(f"https://{host}:{port}/")
            self.assertEqual((verdict.ok, verdict.again), (False, True))
            self.assertNotEqual(verdict.reason, "")
        self.assertEqual(receiver.requests, [])

    async def test_system(self) -> None:
        """Where no roots are given those count that the system trusts, which SSL_CERT_FILE can name."""
        _, port, public = self.serve("receiver.test")
        path = Path(self.mktemp())
        path.write_bytes(public)
        before = os.environ.get("SSL_CERT_FILE")
        os.environ["SSL_CERT_FILE"] = str(path)
        try:
            system_trust.cache_clear()
            self.notifier = self.make()
        finally:
            system_trust.cache_clear()
            if before is None:
                del os.environ["SSL_CERT_FILE"]
            else:
                os.environ["SSL_CERT_FILE"] = before
        self.assertEqual(await self.send(f"https://receiver.test:{port}/"), Verdict(True))

    async def test_end(self) -> None:
        """A connection that is cut ends at once: the other side is not waited for to say goodbye."""
        public, private = certificate("127.0.0.1")
        path = Path(self.mktemp())
        path.write_bytes(public + private)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(path)
        listener = socket.create_server(("127.0.0.1", 0))
        self.addCleanup(listener.close)

        def serve() -> None:
            connection, _ = listener.accept()
            connection.settimeout(10)
            secure = context.wrap_socket(connection, server_side=True)
            secure.recv(65536)
            secure.sendall(b"HTTP/1.1 200 OK\r\n\r\n" + b"a" * 2 * ANSWER_MAX)
            with socket.socket(fileno=secure.detach()) as plain:
                plain.settimeout(10)
                while plain.recv(65536):
                    pass

        served = deferToThread(serve)
        self.notifier = self.make(trust_root=trustRootFromCertificates([Certificate.loadPEM(public)]))
        sent = await self.send(f"https://127.0.0.1:{listener.getsockname()[1]}/")
        self.assertEqual(sent, Verdict(True))
        try:
            await served
        except (ConnectionError, ssl.SSLEOFError):  # it was cut while it sent
            pass

    async def test_no_tls(self) -> None:
        """A receiver that speaks plain HTTP gets nothing readable."""
        factory, url = self.raw(partial(write, answer=OK))
        verdict = await self.send(url.replace("http:", "https:"))
        self.assertEqual((verdict.ok, verdict.again), (False, True))
        self.assertNotIn(b"POST", factory.got)


class Checks(SynchronousTestCase):
    """What a subscription may say."""

    def setUp(self) -> None:
        self.notifier = WebhookNotifier(Clock(), AddressRules(), timeout_s=1, resolver=Resolver(), trust_root=object())

    def refused(self, subscriber: str, options: dict[str, object] | None = None) -> str:
        """The text of a refusal, which sending gives as its final reason."""
        error = self.assertRaises(RuleBroken, self.notifier.check, subscriber, options or {})
        sent = Deferred.fromCoroutine(
            self.notifier.send(Delivery("d", delivery("").place, subscriber, options or {}, b""))
        )
        self.assertEqual(self.successResultOf(sent), Verdict(False, False, str(error)))
        return str(error)

    def test_accepted(self) -> None:
        """Any URL with a host will do, wherever it leads, and any other option."""
        for subscriber in (
            "http://trigger.me",
            "http://fake:8080",
            "http://127.0.0.1:1234/uuid",
            "http://localhost:3000",
            "http://[::1]:80/x",
            "http://0",
            "http://h:080/",
            "http://user:8_0@h/a:8_0?b=//c:+1",
            "https://CCC.com",
            "http://10.0.0.1/",
            "trust+https://münchen.example:8443/ä?ö#ü",
            "http://user:password@h/",
            "http://" + "a" * 63 + ".example/",
            "http://h/" + "a" * 2000,
        ):
            self.notifier.check(
                subscriber, {"a": 1, "post_headers": {}, "post_data": "", "_retry_policy": 1, "from": 2}
            )
        self.notifier.check("http://h", {"post_headers": None, "post_data": None})

    def test_empty_port(self) -> None:
        """A colon that no port follows means the port of the scheme (RFC 3986, section 3.2.3)."""
        for subscriber in ("http://h:", "https://h:/x", "http://[::1]:?a", "http://user:password@h:#a", "trust+https://h:/"):
            self.notifier.check(subscriber, {})

    def test_subscriber(self) -> None:
        """A URL that leads nowhere is refused, with what is wrong and what would be right."""
        for subscriber, what in (
            ("http://", "has no host"),
            ("http:///x", "has no host"),
            ("http:h", "has no host"),
            ("https:", "has no host"),
            ("http://h:0", "port 0"),
            ("http://h:65536", "port 65536"),
            ("http://h:x", "cannot be read: its port is no number; it has to be a URL with a port from 1 to 65535, or without one"),
            *(
                (url, "its port is no number")
                for url in (
                    *("http://h:8_0", "http://h:+80/x", "http://h:-80", "https://h:٨٠/", "http://h:８０", "http://h:²", "http://h:0x50"),
                    *("http://[::1]:8_0/", "http://user:pass@h:+80", "http://user@h:8_0?a", "http://h:80:90/", "trust+http://h:+80#a"),
                )
            ),
            ("http://[::1", "cannot be read"),
            ("http://[fe80::1%25eth0]", "cannot be read"),
            ("http://h h", "spaces"),
            ("http://h/\r\nX: y", "control characters"),
            ("http://h/\x7f", "control characters"),
            ("http://h/\ud800", "control characters"),
            ("http://a..b", "host that is not valid"),
            ("http://-a", "host that is not valid"),
            ("http://" + "a" * 64, "host that is not valid"),
            ("http://" + "a." * 127 + "b", "host that is not valid"),
            ("http://%31", "host that is not valid"),
            ("http://h$", "host that is not valid"),
            ("http://ü..b", "host that is not valid"),
            ("http://us%3Aer:p@h", "user with ':'"),
            ("http://h/" + "a" * 2048, "has 2057 characters"),
        ):
            text = self.refused(subscriber)
            self.assertIn(what, text)
            self.assertIn("it has to be", text)

    def test_options(self) -> None:
        """Templates and headers that cannot be sent, or are not the subscriber's, are refused by name."""
        cases: tuple[tuple[dict[str, object], str], ...] = (
            ({"post_data": 1}, "options.post_data is not a text"),
            ({"post_data": {}}, "options.post_data is not a text"),
            ({"post_data": "\ud800"}, "options.post_data holds half"),
            ({"post_headers": []}, "options.post_headers is not an object"),
            ({"post_headers": "X: y"}, "options.post_headers is not an object"),
            ({"post_headers": {"X": 1}}, "no fitting value for X"),
            ({"post_headers": {"X": None}}, "no fitting value for X"),
            ({"post_headers": {"X": "a\r\nY: b"}}, "no fitting value for X"),
            ({"post_headers": {"X": "a\n"}}, "no fitting value for X"),
            ({"post_headers": {"X": "\x00"}}, "no fitting value for X"),
            ({"post_headers": {"X": "ü"}}, "no fitting value for X"),
            ({"post_headers": {"": "a"}}, "a name that no header has"),
            ({"post_headers": {"X Y": "a"}}, "a name that no header has"),
            ({"post_headers": {"X:": "a"}}, "a name that no header has"),
            ({"post_headers": {"X\n": "a"}}, "a name that no header has"),
            ({"post_headers": {"Ü": "a"}}, "a name that no header has"),
        )
        for options, what in cases:
            self.assertIn(what, self.refused("http://h", options))
        for name in (
            *("Host", "Content-Length", "transfer-encoding", "CONNECTION", "Keep-Alive", "Proxy-Connection", "TE"),
            *("Trailer", "Upgrade", "Expect", "webhook-id", "Webhook-Signature", "webhook-anything"),
        ):
            self.assertIn(f"sets {name}", self.refused("http://h", {"post_headers": {name: "x"}}))
