"""Tests of what a connection does with sound requests, slow peers, large bodies and half-closed sockets."""

from __future__ import annotations

import json
import socket
import ssl
from collections.abc import Callable
from typing import Any

from attrs import frozen
from autobahn.twisted.websocket import WebSocketServerFactory, WebSocketServerProtocol
from twisted.internet import reactor as _reactor
from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionLost
from twisted.internet.interfaces import IHalfCloseableDescriptor, IProtocol
from twisted.internet.protocol import Protocol
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.internet.threads import deferToThread
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase, TestCase
from zope.interface import implementer
from zope.interface.verify import verifyClass

from tests.helpers import self_signed
from zaqar_gateway.operations.refusals import Refusals
from zaqar_gateway.transport.http.bounds import HttpBounds
from zaqar_gateway.transport.http.channel import TURN_MAX, HttpChannel, IHttpApplication
from zaqar_gateway.transport.http.factory import HttpFactory
from zaqar_gateway.transport.http.request import Headers, Request
from zaqar_gateway.transport.peers import ANSWERED_MAX, Peers
from zaqar_gateway.transport.refusal import refusal, request_id
from zaqar_gateway.transport.turns import DRAIN_RATE, DRAIN_S, PART_S, Turns

reactor: Any = _reactor  # its interfaces are found out at run time
EVERY = {b"cache-control", b"x-content-type-options", b"x-frame-options", b"referrer-policy", b"date"}
JSON = [(b"Content-Type", b"application/json")]
GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"
PART = b"GET / HTTP/1.1\r\nHo"
UPGRADE = (
    b"GET /chat HTTP/1.1\r\nHost: localhost\r\nUpgrade: WebSocket\r\nConnection: keep-alive, Upgrade\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)


@frozen
class Answer:
    """A response as a client reads it."""

    status: int
    headers: dict[bytes, bytes]
    body: bytes


def answers(raw: bytes, heads: frozenset[int] = frozenset()) -> list[Answer]:
    """The responses in what a server wrote.

    :param heads: which of them answer HEAD.
    """
    found: list[Answer] = []
    while raw:
        head, _, raw = raw.partition(b"\r\n\r\n")
        line, *fields = head.split(b"\r\n")
        headers = {name.lower(): value for name, value in (field.split(b": ", 1) for field in fields)}
        length = 0 if len(found) in heads else int(headers.get(b"content-length", b"0"))
        found.append(Answer(int(line.split()[1]), headers, raw[:length]))
        raw = raw[length:]
    return found


@implementer(IHalfCloseableDescriptor)
class Pipe(StringTransport):
    """A transport whose own side can be closed."""

    protocol: IProtocol
    half_closed = False

    def __init__(self) -> None:
        super().__init__()
        self.sizes: list[int] = []  # of the writes
        self.full = False  # whether to behave as if each write filled the buffer

    def write(self, data: bytes) -> None:
        super().write(data)
        self.sizes.append(len(data))
        if self.full and self.producer is not None:
            self.producer.pauseProducing()

    def loseWriteConnection(self) -> None:
        self.half_closed = True

    def readConnectionLost(self, reason: Failure) -> None:
        """Part of the interface; the tests call the protocol."""

    def writeConnectionLost(self, reason: Failure) -> None:
        """Part of the interface; the tests call the protocol."""


@implementer(IHttpApplication)
class Application:
    """Answers at once with what it got, unless told otherwise."""

    def __init__(self) -> None:
        self.limit = 100
        self.seen: list[Request] = []
        self.do: Callable[[Request], None] = self.echo
        self.protocol: IProtocol | None = None
        self.bounded = 0

    def echo(self, request: Request) -> None:
        request.reply(413 if request.too_large else 200, JSON, request.method + b" " + request.target + request.body)

    def later(self, request: Request) -> None:
        """Leaves the reply to the test."""

    def body_limit(self, request: Request) -> int:
        self.bounded += 1
        return self.limit

    def handle(self, request: Request) -> None:
        self.seen.append(request)
        self.do(request)

    def upgrade(self, request: Request) -> IProtocol | None:
        return self.protocol

    def for_page(self, origin: bytes, headers: Headers) -> Headers:
        return [*headers, (b"For", origin)]


class Recorder(Protocol):
    """Keeps what it gets."""

    def __init__(self) -> None:
        self.got = b""
        self.lost = 0

    def dataReceived(self, data: bytes) -> None:
        self.got += data

    def connectionLost(self, reason: Failure | None = None) -> None:
        self.lost += 1


class Wired:
    """A channel, its application, its clock and its peer."""

    def __init__(
        self,
        bounds: HttpBounds | None = None,
        application: Application | None = None,
        peers: Peers | None = None,
        clock: Clock | None = None,
        drain_rate: int = DRAIN_RATE,
    ) -> None:
        self.clock = clock or Clock()
        self.application = application or Application()
        self.factory = HttpFactory(self.application, bounds or HttpBounds(), self.clock, peers=peers)
        self.factory.turns = Turns(self.clock, drain_rate=drain_rate)
        self.channel, self.pipe = self.connect()

    def connect(self) -> tuple[HttpChannel, Pipe]:
        channel = self.factory.buildProtocol(None)
        assert channel is not None
        pipe = Pipe()
        pipe.protocol = channel
        channel.makeConnection(pipe)
        return channel, pipe

    def send(self, data: bytes) -> None:
        self.channel.dataReceived(data)

    def answers(self, heads: frozenset[int] = frozenset()) -> list[Answer]:
        return answers(self.pipe.value(), heads)

    @property
    def statuses(self) -> list[int]:
        return [answer.status for answer in self.answers()]

    @property
    def closed(self) -> bool:
        """Whether the server has said goodbye in one way or the other."""
        return self.pipe.disconnecting or self.pipe.half_closed


class RequestTests(SynchronousTestCase):
    """What the application is given and what becomes of its reply."""

    def test_reply_bytes(self) -> None:
        """A response is one write: status line, headers as given, length, headers of every response, body."""
        wired = Wired()
        wired.send(b"GET /v2/ping?a=%C3%A4&b HTTP/1.1\r\nHost: a\r\n\r\n")
        self.assertEqual(
            wired.pipe.value(),
            b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nCache-Control: no-store\r\nContent-Length: 23\r\n"
            b"X-Content-Type-Options: nosniff\r\nX-Frame-Options: DENY\r\nReferrer-Policy: no-referrer\r\n"
            b"Date: Thu, 01 Jan 1970 00:00:00 GMT\r\n\r\nGET /v2/ping?a=%C3%A4&b",
        )

    def test_request_fields(self) -> None:
        """A request has method, target, path, query, and headers by lower-case name, repeated ones joined."""
        wired = Wired()
        wired.send(
            b"PUT /a/%2f\xe9?x=1?y=2 HTTP/1.1\r\nHost: a\r\n"
            b"X-One:  \t1 2 \t\r\nx-two: b\r\nX-TWO: c\xff\r\nEmpty:\r\n\r\n"
        )
        (request,) = wired.application.seen
        self.assertEqual(
            (request.method, request.target, request.path, request.query),
            (b"PUT", b"/a/%2f\xe9?x=1?y=2", b"/a/%2f\xe9", b"x=1?y=2"),
        )
        self.assertEqual(
            request.headers, {b"host": b"a", b"x-one": b"1 2", b"x-two": b"b, c\xff", b"empty": b""}
        )
        self.assertEqual((request.body, request.has_body, request.too_large, request.gone), (b"", False, False, False))
        self.assertEqual((request.head.prepath, request.head.place, request.head.plan), ([b"a", b"", b"\xe9"], None, None))

    def test_same_header_lines(self) -> None:
        """Header lines that come again mean the same again, whatever came between, and under any request line."""
        wired = Wired()
        several = [b"Host: a\r\nX: %d\r\n" % number for number in range(9)]
        for lines in (*several, *several, *(several[0],) * 3):
            wired.send(b"GET / HTTP/1.1\r\n%b\r\n" % lines)
            wired.send(b"DELETE /other HTTP/1.1\r\n%b\r\n" % lines)
            first, second = wired.application.seen[-2:]
            expected = {b"host": b"a", b"x": lines[-3:-2]}
            self.assertEqual((first.headers, second.headers), (expected, expected))
        self.assertEqual(set(wired.statuses), {200})

    def test_same_header_lines_with_bodies(self) -> None:
        """So do those that say how long a body is, or that the connection ends."""
        wired = Wired()
        for body in (b"one", b"two"):
            wired.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\n" + body)
            self.assertEqual(wired.application.seen[-1].body, body)
        lines = b"Host: a\r\nConnection: keep-alive\r\n\r\n"
        wired.send(b"GET / HTTP/1.0\r\n%bGET / HTTP/1.1\r\n%b" % (lines, lines))
        self.assertFalse(wired.closed)
        wired.send(b"GET / HTTP/1.1\r\n%b" % lines.replace(b"keep-alive", b"close"))
        self.assertTrue(wired.closed)

    def test_same_heads(self) -> None:
        """Requests with bodies whose heads are the same share one; each has its own body and what becomes of it."""
        wired = Wired()
        head = b"POST /a?b=1 HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\n"
        others = [head.replace(b"/a", b"/%d" % number) for number in range(6)]
        for each in (head, head, *others, head):
            wired.send(each + b"one")
            wired.send(each[:20])
            wired.send(each[20:] + b"tw")
            wired.send(b"o")
            first, second = wired.application.seen[-2:]
            self.assertIs(first.head, second.head)
            self.assertIsNot(first, second)
            self.assertEqual((first.body, second.body, second.query), (b"one", b"two", b"b=1"))
            self.assertEqual(second.target, each.split(b" ")[1])
        self.assertEqual(wired.statuses, [200] * 18)
        for _ in range(2):
            wired.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        first, second = wired.application.seen[-2:]
        self.assertIsNot(first.head, second.head)

    def test_same_heads_with_chunks(self) -> None:
        """A head that says that the body comes in chunks, or is waited for, means that each time."""
        wired = Wired()
        chunked = b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
        for body in (b"one", b"three"):
            wired.send(chunked + b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body))
            self.assertEqual(wired.application.seen[-1].body, body)
        for number in (1, 2):
            wired.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nExpect: 100-continue\r\n\r\n")
            self.assertEqual(wired.pipe.value().count(b"100 Continue"), number)
            wired.send(b"1")

    def test_same_header_lines_with_absolute_target(self) -> None:
        """The host in a target is that of its request alone."""
        wired = Wired()
        for target, host in ((b"/", b"a"), (b"http://b/", b"b"), (b"/", b"a")):
            wired.send(b"GET %b HTTP/1.1\r\nHost: a\r\n\r\n" % target)
            self.assertEqual(wired.application.seen[-1].headers[b"host"], host)

    def test_absolute_target(self) -> None:
        """A target in absolute form gives the path after the authority, and the authority as host."""
        for target, path, query in (
            (b"http://x:1/p/q?r", b"/p/q", b"r"),
            (b"HTTPS://x:1", b"/", b""),
            (b"http://x:1?r", b"/", b"r"),
        ):
            wired = Wired()
            wired.send(b"GET %b HTTP/1.1\r\nHost: other\r\n\r\n" % target)
            (request,) = wired.application.seen
            self.assertEqual((request.path, request.query, request.headers[b"host"]), (path, query, b"x:1"))
            self.assertEqual(request.target, target)

    def test_asterisk(self) -> None:
        """OPTIONS has a form without a path."""
        wired = Wired()
        wired.send(b"OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n")
        self.assertEqual([request.path for request in wired.application.seen], [b"*"])

    def test_head(self) -> None:
        """The reply to HEAD tells the length of the body and leaves it out, and only for this request."""
        wired = Wired()
        wired.send(b"HEAD / HTTP/1.1\r\nHost: a\r\n\r\n" + GET)
        head, get = wired.answers(heads=frozenset([0]))
        self.assertEqual((head.headers[b"content-length"], get.body), (b"6", b"GET /"))

    def test_wrong_length(self) -> None:
        """A Content-Length that is none is told as the wrong value of any header is."""
        for length in (b"abc", b"-1", b"+5", b"1_0", b"5.0", b"", b"3\r\nContent-Length: 3"):
            wired = Wired()
            wired.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: " + length + b"\r\n\r\nabc")
            (answer,) = wired.answers()
            self.assertEqual((answer.status, json.loads(answer.body)["title"]), (400, "Invalid header value"), length)

    def test_refused_head(self) -> None:
        """A HEAD that is refused gets no body either; what cannot be read as a HEAD does."""
        wired = Wired()
        wired.send(b"HEAD / HTTP/1.1\r\n\r\n")
        (answer,) = wired.answers(heads=frozenset([0]))
        self.assertEqual((answer.status, wired.pipe.value()[-4:]), (400, b"\r\n\r\n"))
        wired = Wired()
        wired.send(b"HEAD / HTTP/1.1\r\nHost: a\r\n\r\n" + b"HEAD\r\n\r\n")
        self.assertNotEqual(wired.answers(heads=frozenset([0]))[1].body, b"")

    def test_no_content(self) -> None:
        """204 and 304 have neither a body nor a length."""
        for status in (204, 304):
            wired = Wired()
            wired.application.do = lambda request, status=status: request.reply(status, [], b"x")  # type: ignore[misc]
            wired.send(GET)
            (answer,) = wired.answers()
            self.assertEqual((answer.status, answer.headers.keys()), (status, EVERY))

    def test_unknown_status(self) -> None:
        """A status without a standard phrase is sent without one."""
        wired = Wired()
        wired.application.do = lambda request: request.reply(299, [])
        wired.send(GET)
        self.assertTrue(wired.pipe.value().startswith(b"HTTP/1.1 299 \r\n"))

    def test_second_reply(self) -> None:
        """A request is answered once."""
        wired = Wired()
        wired.send(GET)
        with self.assertRaises(RuntimeError):
            wired.application.seen[0].reply(200, [])
        self.assertEqual(wired.statuses, [200])

    def test_bad_reply(self) -> None:
        """A reply of anything but bytes raises and can be made good."""
        wired = Wired()
        wired.application.do = wired.application.later
        wired.send(GET)
        (request,) = wired.application.seen
        bad: Any = "text"
        with self.assertRaises(TypeError):
            request.reply(200, [(b"Name", bad)])
        with self.assertRaises(TypeError):
            request.reply(200, [], bad)
        self.assertEqual((request.answered, wired.pipe.value()), (False, b""))
        request.reply(200, [])
        self.assertEqual((request.answered, wired.statuses), (True, [200]))

    def test_line_ends_in_headers(self) -> None:
        """A header value cannot end its line, so a response cannot be split."""
        wired = Wired()
        wired.application.do = lambda request: request.reply(200, [(b"Location", b"/a\r\nSet-Cookie: b\n\rc")])
        wired.send(GET)
        (answer,) = wired.answers()
        self.assertEqual(answer.headers[b"location"], b"/a  Set-Cookie: b  c")
        self.assertEqual(answer.headers.keys(), {b"location", b"content-length", *EVERY})

    def test_cached(self) -> None:
        """A reply that says how long it may be kept is not told to be kept nowhere."""
        wired = Wired()
        kept = (b"Cache-Control", b"max-age=60")
        wired.application.do = lambda request: request.reply(200, [*JSON, kept])
        wired.send(GET)
        self.assertEqual(wired.pipe.value().count(b"Cache-Control"), 1)
        self.assertEqual(wired.answers()[0].headers[b"cache-control"], b"max-age=60")

    def test_refused(self) -> None:
        """What is refused before the application sees it has the headers of every response, too."""
        wired = Wired()
        wired.send(b"nonsense\r\n\r\n")
        (answer,) = wired.answers()
        self.assertEqual((answer.status, EVERY - answer.headers.keys()), (400, set()))

    def test_gone(self) -> None:
        """When the peer has hung up the request says so, and the reply goes nowhere, however often."""
        wired = Wired()
        wired.application.do = wired.application.later
        wired.send(GET)
        wired.channel.connectionLost(Failure(ConnectionLost()))
        (request,) = wired.application.seen
        self.assertTrue(request.gone)
        request.reply(200, [])
        request.reply(200, [])
        self.assertEqual(wired.pipe.value(), b"")

    def test_refusal(self) -> None:
        """A refusal is a JSON object of title and description; an empty description is left out."""
        status, headers, body = refusal(400, "Bad Request", 'say "why" \u00e4')
        self.assertEqual((status, json.loads(body)), (400, {"title": "Bad Request", "description": 'say "why" \u00e4'}))
        self.assertEqual(dict(headers)[b"Content-Type"], b"application/json")
        self.assertEqual(json.loads(refusal(404, "404 Not Found", "")[2]), {"title": "404 Not Found"})

    def test_request_ids(self) -> None:
        """Each request id is another one, of the form that clients know."""
        ids = [request_id() for _ in range(1000)]
        self.assertEqual(len(set(ids)), 1000)
        for one in ids:
            self.assertRegex(one, rb"^req-[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-8[0-9a-f]{3}-[0-9a-f]{12}$")

    def test_date(self) -> None:
        """The date follows the clock."""
        wired = Wired()
        wired.clock.advance(21)
        wired.send(GET)
        self.assertEqual(wired.answers()[0].headers[b"date"], b"Thu, 01 Jan 1970 00:00:21 GMT")


class FailureTests(SynchronousTestCase):
    """The application fails."""

    def failing(self, request: Any) -> Any:
        raise ZeroDivisionError

    def assert_failed(self, wired: Wired, closed: bool) -> None:
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        (answer,) = wired.answers()
        self.assertEqual((answer.status, json.loads(answer.body)["title"]), (500, "Internal server error"))
        self.assertIn(b"x-openstack-request-id", answer.headers)
        self.assertEqual(wired.closed, closed)

    def test_handle(self) -> None:
        """An exception is logged and answered 500, and the connection goes on."""
        wired = Wired()
        wired.application.do = self.failing
        wired.send(GET)
        self.assert_failed(wired, closed=False)
        wired.application.do = wired.application.echo
        wired.send(GET)
        self.assertEqual(wired.statuses, [500, 200])

    def test_handle_after_reply(self) -> None:
        """An exception after the reply is logged only."""

        def both(request: Request) -> None:
            request.reply(200, [])
            raise ZeroDivisionError

        wired = Wired()
        wired.application.do = both
        wired.send(GET + GET)
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 2)
        self.assertEqual(wired.statuses, [200, 200])

    def test_body_limit(self) -> None:
        """Without a bound nothing is read: 500, and the connection ends."""
        wired = Wired()
        wired.application.body_limit = self.failing  # type: ignore[method-assign]
        wired.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nab")
        self.assert_failed(wired, closed=True)
        self.assertEqual(wired.application.seen, [])

    def test_upgrade(self) -> None:
        """A failed upgrade is a 500 and no ordinary request."""
        wired = Wired()
        wired.application.upgrade = self.failing  # type: ignore[method-assign]
        wired.send(UPGRADE + GET)
        self.assertEqual(wired.statuses, [500, 200])
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        self.assertEqual([request.path for request in wired.application.seen], [b"/"])


class ConnectionTests(SynchronousTestCase):
    """Keep-alive, pipelines, and the peer that does not read."""

    def test_keep_alive(self) -> None:
        """HTTP/1.1 goes on unless told to close, HTTP/1.0 closes unless told to go on; the reply says what differs."""
        for version, connection, said in (
            (b"1.1", None, None),
            (b"1.1", b"keep-alive", None),
            (b"1.1", b"close", b"close"),
            (b"1.1", b"x, Close", b"close"),
            (b"1.0", None, b"close"),
            (b"1.0", b"close", b"close"),
            (b"1.0", b"Keep-Alive", b"keep-alive"),
            (b"1.0", b"keep-alive", b"keep-alive"),
        ):
            wired = Wired()
            field = b"Connection: %b\r\n" % connection if connection else b""
            wired.send(b"GET / HTTP/%b\r\nHost: a\r\n%b\r\n" % (version, field))
            (answer,) = wired.answers()
            self.assertEqual(answer.headers.get(b"connection"), said)
            self.assertEqual(wired.pipe.disconnecting, said == b"close", (version, connection))

    def test_data_after_close(self) -> None:
        """What follows a request that closes the connection is no request, and does not reset it."""
        wired = Wired()
        wired.send(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n" + GET)
        wired.send(GET)
        self.assertEqual((wired.statuses, len(wired.application.seen)), ([200], 1))
        self.assertEqual((wired.pipe.half_closed, wired.pipe.disconnecting), (True, False))

    def test_order(self) -> None:
        """A request of a pipeline takes effect when the one before is answered."""
        wired = Wired()
        wired.application.do = wired.application.later
        wired.send(GET.replace(b"/ ", b"/1 ") + GET.replace(b"/ ", b"/2 ") + PART)
        wired.send(GET[len(PART) :])
        for count in (1, 2, 3):
            self.assertEqual(len(wired.application.seen), count)
            wired.application.echo(wired.application.seen[-1])
        self.assertEqual([answer.body for answer in wired.answers()], [b"GET /1", b"GET /2", b"GET /"])

    def test_long_pipeline(self) -> None:
        """10,000 requests in a row neither use up the stack nor are written one by one."""
        wired = Wired()
        wired.send(GET * 10000)
        wired.clock.advance(0)
        self.assertEqual(wired.statuses, [200] * 10000)
        self.assertLess(len(wired.pipe.sizes), 10000 / TURN_MAX + 2)
        self.assertLess(max(wired.pipe.sizes), 70000)

    def test_long_pipeline_after_late_reply(self) -> None:
        """A late reply sets off the rest of the pipeline without recursion."""
        wired = Wired()
        wired.application.do = wired.application.later
        wired.send(GET * 10000)
        wired.clock.advance(0)
        wired.application.do = wired.application.echo
        wired.application.echo(wired.application.seen[0])
        wired.clock.advance(0)
        self.assertEqual(wired.statuses, [200] * 10000)

    def test_drain_rate(self) -> None:
        """What is read for nothing is read no faster than is allowed, before and after the answer."""
        for head in (b"Content-Length: 3000000\r\n\r\n", b"Content-Length: 99999999999\r\n\r\n", b"X\r\n\r\n"):
            wired = Wired(drain_rate=1_000_000)
            wired.application.limit = 10
            wired.send(b"POST / HTTP/1.1\r\nHost: a\r\n" + head)
            sent = 0
            for _ in range(3):
                while wired.pipe.producerState == "producing":
                    wired.send(b"x" * 10_000)
                    wired.clock.advance(0)
                    sent += 10_000
                self.assertEqual(sent, 100_000, head)
                wired.clock.advance(DRAIN_S)
                wired.clock.advance(0)
                sent = 0
            wired.channel.connectionLost()
            self.assertEqual(wired.clock.getDelayedCalls(), [])

    def test_turns(self) -> None:
        """Of a long pipeline some requests are begun with, and the rest when other connections had their turn."""
        wired = Wired()
        wired.send(GET * 100)
        self.assertEqual(len(wired.statuses), TURN_MAX)
        self.assertEqual(wired.pipe.producerState, "paused")
        wired.channel.readConnectionLost()
        wired.clock.advance(0)
        self.assertEqual(wired.statuses, [200] * 100)
        self.assertTrue(wired.pipe.disconnecting)

    def test_part_of_a_turn(self) -> None:
        """Requests that take long end a part of a turn before so many are done; one is always."""
        wired = Wired()
        
        def slowly(request: Request) -> None:
            wired.clock.rightNow += PART_S
            wired.application.echo(request)

        wired.application.do = slowly
        wired.send(GET * 5)
        self.assertEqual(len(wired.statuses), 1)
        wired.clock.advance(0)
        self.assertEqual(len(wired.statuses), 5)

    def test_lost_between_turns(self) -> None:
        """A connection that is lost meanwhile leaves nothing behind."""
        wired = Wired()
        wired.send(GET * 100)
        wired.channel.connectionLost()
        self.assertEqual(wired.clock.getDelayedCalls(), [])

    def test_long_request(self) -> None:
        """After each 16 KiB, or each few pieces, of a request that is not complete the others have their turn."""
        for begin, piece in (
            (b"Content-Length: 99999\r\n\r\n", b"x" * 16_000),
            (b"Content-Length: 9999999\r\n\r\n", b"x" * 16_000),
            (b"Transfer-Encoding: chunked\r\n\r\n4e20\r\n", b"x" * 16_000),
            (b"Content-Length: 99999\r\n\r\n", b"x"),
            (b"A: ", b"x"),
        ):
            wired = Wired()
            wired.application.limit = 100_000
            wired.send(b"POST / HTTP/1.1\r\nHost: a\r\n" + begin)
            self.assertEqual(wired.pipe.producerState, "producing")
            sent = 0
            while wired.pipe.producerState == "producing":
                wired.send(piece)
                sent += 1
            self.assertEqual(sent, 1 if len(piece) > 1 else 15)
            wired.clock.advance(0)
            self.assertEqual(wired.pipe.producerState, "producing")
            wired.channel.connectionLost()
            self.assertEqual(wired.clock.getDelayedCalls(), [])

    def test_requests_in_pieces(self) -> None:
        """Requests that are complete after a few pieces do not wait, however many come one after the other."""
        wired = Wired()
        wired.application.limit = 100_000
        for _ in range(100):
            wired.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 12000\r\n\r\n")
            wired.send(b"x" * 12_000)
        self.assertEqual(wired.statuses, [200] * 100)
        self.assertEqual(wired.pipe.producerState, "producing")

    def test_late_in_the_row(self) -> None:
        """A request that is too slow is refused while it waits for the others, and so is a body."""
        for begin, seconds in ((b"A: ", 11), (b"Content-Length: 99999\r\n\r\n", 62)):
            wired = Wired()
            wired.application.limit = 100_000
            wired.factory.turns = Turns(Clock())
            wired.send(b"POST / HTTP/1.1\r\nHost: a\r\n" + begin)
            wired.send(b"x" * 16_384)
            self.assertEqual(wired.pipe.producerState, "paused")
            wired.factory.turns = Turns(wired.clock)  # for what ends it; the other row does not move
            wired.clock.pump([1] * seconds)
            self.assertEqual(wired.statuses, [408])
            wired.channel.connectionLost()

    def test_pipeline_bound(self) -> None:
        """While a request is being answered 64 KiB of further ones are read, then no more until it is answered."""
        wired = Wired()
        wired.application.do = wired.application.later
        wired.send(GET)
        wired.send(b"x" * 65536)
        self.assertEqual(wired.pipe.producerState, "producing")
        wired.send(b"x")
        self.assertEqual(wired.pipe.producerState, "paused")
        wired.application.echo(wired.application.seen[0])
        self.assertEqual(wired.pipe.producerState, "producing")

    def test_peer_does_not_read(self) -> None:
        """While the buffer of the transport is full nothing is read or handled; then it goes on."""
        wired = Wired()
        wired.channel.pauseProducing()
        wired.send(GET + GET)
        self.assertEqual((wired.application.seen, wired.pipe.producerState), ([], "paused"))
        wired.channel.resumeProducing()
        self.assertEqual((wired.statuses, wired.pipe.producerState), ([200, 200], "producing"))

    def test_pipeline_stops_when_buffer_is_full(self) -> None:
        """A pipeline whose replies are not read is not answered to its end."""
        wired = Wired()
        wired.pipe.full = True
        wired.send(GET * 10000)
        self.assertLess(len(wired.application.seen), 1000)

    def test_nothing_kept_of_a_body(self) -> None:
        """An idle connection holds on to nothing that it has read."""
        wired = Wired()
        wired.application.limit = 10**6
        wired.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 60000\r\n\r\n")
        wired.send(b"x" * 60000)
        self.assertEqual((len(wired.channel._data), len(wired.channel._kept)), (0, 0))


class BodyTests(SynchronousTestCase):
    """Bodies, in time and too large."""

    def post(self, length: int, *fields: bytes) -> bytes:
        return b"\r\n".join([b"POST / HTTP/1.1", b"Host: a", b"Content-Length: %d" % length, *fields, b"", b""])

    def chunked(self, *chunks: bytes, end: bytes = b"0\r\n\r\n", fields: bytes = b"") -> bytes:
        framed = b"".join(b"%x\r\n%b\r\n" % (len(chunk), chunk) for chunk in chunks)
        return b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n" + fields + b"\r\n" + framed + end

    def test_body(self) -> None:
        """A body up to the limit is whole when the application sees it, in one piece or in several."""
        wired = Wired()
        wired.send(self.post(100) + b"x" * 100 + self.post(3))
        wired.send(b"ab")
        self.assertEqual(len(wired.application.seen), 1)
        wired.send(b"c" + GET)
        self.assertEqual([r.body for r in wired.application.seen], [b"x" * 100, b"abc", b""])
        self.assertEqual([r.has_body for r in wired.application.seen], [True, True, False])
        self.assertEqual(wired.application.bounded, 2)

    def test_chunked(self) -> None:
        """A chunked body is put together; extensions and trailers are dropped."""
        wired = Wired()
        wired.send(self.chunked(b"abc", b"d" * 17, end=b'0;a="b"\r\nX: y\r\nHost: z\r\n\r\n') + GET)
        first, second = wired.application.seen
        self.assertEqual((first.body, first.has_body, first.headers[b"host"]), (b"abc" + b"d" * 17, True, b"a"))
        self.assertNotIn(b"x", first.headers)
        self.assertEqual(second.path, b"/")

    def test_empty_bodies(self) -> None:
        """A length of 0 and a chunked body without a byte are no body."""
        wired = Wired()
        wired.send(self.post(0) + self.chunked())
        self.assertEqual([r.has_body for r in wired.application.seen], [False, False])

    def test_too_large(self) -> None:
        """A body over the limit is refused from its length alone, and the connection goes on behind it."""
        wired = Wired()
        wired.send(self.post(101))
        (request,) = wired.application.seen
        self.assertEqual((request.too_large, request.has_body, request.body), (True, True, b""))
        self.assertEqual((wired.statuses, wired.closed), ([413], False))
        wired.send(b"x" * 100)
        self.assertEqual(len(wired.channel._data), 0)
        wired.send(b"x" + GET)
        self.assertEqual((wired.statuses, wired.closed), ([413, 200], False))

    def test_too_large_late_reply(self) -> None:
        """Nothing behind a body that is too large is looked at before the reply, wherever the body ends."""
        wired = Wired()
        wired.application.do = wired.application.later
        wired.send(self.post(101) + b"x" * 101 + GET)
        self.assertEqual(len(wired.application.seen), 1)
        wired.application.do = wired.application.echo
        wired.application.echo(wired.application.seen[0])
        self.assertEqual(wired.statuses, [413, 200])

    def test_chunked_grows_too_large(self) -> None:
        """A chunked body is refused when it passes the limit, and what was kept is dropped."""
        wired = Wired()
        wired.send(self.chunked(b"x" * 100, end=b""))
        self.assertEqual(wired.statuses, [])
        wired.send(b"1\r\nx\r\n")
        self.assertEqual((wired.statuses, len(wired.channel._kept)), ([413], 0))
        self.assertEqual((wired.application.seen[0].body, wired.application.seen[0].has_body), (b"", True))
        wired.send(b"5\r\nabcde\r\n0\r\n\r\n" + GET)
        self.assertEqual((wired.statuses, wired.closed), ([413, 200], False))

    def test_beyond_drain(self) -> None:
        """A body over the bound of what is dropped is answered at once, and the connection is closed gently."""
        wired = Wired(HttpBounds(drain_max=1000))
        wired.send(self.post(1101) + b"x" * 50)
        (answer,) = wired.answers()
        self.assertEqual((answer.status, answer.headers[b"connection"]), (413, b"close"))
        self.assertEqual((wired.pipe.half_closed, wired.pipe.disconnecting), (True, False))
        wired.send(b"x" * 1051 + GET)
        self.assertEqual(len(wired.application.seen), 1)

    def test_chunked_beyond_drain(self) -> None:
        """A chunked body of no end is not read for ever."""
        wired = Wired(HttpBounds(drain_max=1000))
        wired.send(self.chunked(b"x" * 101, end=b""))
        wired.send(b"3e9\r\n" + b"x" * 998)
        self.assertFalse(wired.closed)
        wired.send(b"xxx")
        self.assertEqual((wired.statuses, wired.pipe.half_closed), ([413], True))

    def test_chunked_beyond_drain_late_reply(self) -> None:
        """The reply to a body of no end still goes out, then the connection is closed."""
        wired = Wired(HttpBounds(drain_max=1000))
        wired.application.do = wired.application.later
        wired.send(self.chunked(b"x" * 1200, end=b""))
        self.assertFalse(wired.closed)
        wired.application.echo(wired.application.seen[0])
        self.assertEqual((wired.statuses, wired.pipe.half_closed), ([413], True))

    def test_malformed_after_too_large(self) -> None:
        """Bad framing behind the limit ends the connection after the one answer that there is."""
        for late in (False, True):
            wired = Wired()
            if late:
                wired.application.do = wired.application.later
            wired.send(self.chunked(b"x" * 101, end=b"what\r\n0\r\n\r\n") + GET)
            wired.send(b"0\r\n\r\n" + GET)
            if late:
                wired.application.echo(wired.application.seen[0])
            self.assertEqual((wired.statuses, len(wired.application.seen), wired.closed), ([413], 1, True))

    def test_close_after_drain(self) -> None:
        """With Connection: close the body that is too large is taken in before the connection is closed."""
        wired = Wired()
        wired.send(self.post(101, b"Connection: close"))
        self.assertEqual((wired.statuses, wired.closed), ([413], False))
        wired.send(b"x" * 101)
        self.assertTrue(wired.pipe.disconnecting)

    def test_continue(self) -> None:
        """A client that waits is told to go on when its body is not too large."""
        for data in (self.post(3, b"Expect: 100-Continue"), self.chunked(end=b"", fields=b"Expect: 100-continue\r\n")):
            wired = Wired()
            wired.send(data)
            self.assertEqual(wired.pipe.value(), b"HTTP/1.1 100 Continue\r\n\r\n")
            wired.send(b"abc" if b"Length" in data else b"3\r\nabc\r\n0\r\n\r\n")
            self.assertEqual((wired.statuses, wired.application.seen[0].body), ([100, 200], b"abc"))

    def test_no_continue(self) -> None:
        """Nobody is told to go on who has no body, has begun with it, or speaks HTTP/1.0."""
        for data in (
            self.post(0, b"Expect: 100-continue"),
            self.post(3, b"Expect: 100-continue") + b"abc",
            self.post(3, b"Expect: 100-continue").replace(b"1.1", b"1.0") + b"abc",
        ):
            wired = Wired()
            wired.send(data)
            self.assertEqual(wired.statuses, [200])
        wired = Wired()
        wired.send(self.post(3, b"Expect: 100-continue").replace(b"1.1", b"1.0"))
        self.assertEqual(wired.pipe.value(), b"")

    def test_too_large_instead_of_continue(self) -> None:
        """A client that waits is refused without a 100, and the connection is closed, for the body may come or not."""
        wired = Wired()
        wired.send(self.post(101, b"Expect: 100-continue"))
        (answer,) = wired.answers()
        self.assertEqual((answer.status, answer.headers[b"connection"]), (413, b"close"))
        self.assertTrue(wired.pipe.half_closed)

    def test_body_ends_early(self) -> None:
        """A body that ends early is a 400, unseen by the application, where the peer still reads."""
        for data in (self.post(3) + b"ab", self.chunked(b"abc", end=b""), self.chunked(b"abc", end=b"0\r\n"), PART):
            wired = Wired()
            wired.send(data)
            wired.channel.readConnectionLost()
            (answer,) = wired.answers()
            self.assertEqual((answer.status, json.loads(answer.body)["title"]), (400, "Bad Request"))
            self.assertEqual((wired.application.seen, wired.pipe.disconnecting), ([], True))

    def test_too_large_ends_early(self) -> None:
        """A body that is too large and ends early has been answered, or is answered when the application does."""
        for late in (False, True):
            wired = Wired()
            if late:
                wired.application.do = wired.application.later
            wired.send(self.post(101))
            wired.channel.readConnectionLost()
            if late:
                self.assertFalse(wired.closed)
                wired.application.echo(wired.application.seen[0])
            self.assertEqual((wired.statuses, wired.pipe.disconnecting), ([413], True))


class HalfCloseTests(SynchronousTestCase):
    """The peer closes its side."""

    def test_idle(self) -> None:
        """Between requests that is the end."""
        wired = Wired()
        wired.send(GET)
        wired.channel.readConnectionLost()
        self.assertEqual((wired.statuses, wired.pipe.disconnecting), ([200], True))

    def test_pipeline(self) -> None:
        """All that was asked before is answered, then the connection closes."""
        wired = Wired()
        wired.application.do = wired.application.later
        wired.send(GET + GET)
        wired.channel.readConnectionLost()
        wired.application.echo(wired.application.seen[0])
        self.assertFalse(wired.closed)
        wired.application.echo(wired.application.seen[1])
        first, second = wired.answers()
        self.assertEqual((first.headers.get(b"connection"), second.headers[b"connection"]), (None, b"close"))
        self.assertTrue(wired.pipe.disconnecting)

    def test_answer_comes_late(self) -> None:
        """A peer that closed its side and is not answered in time counts as gone."""
        wired = Wired()
        wired.application.do = wired.application.later
        wired.send(GET)
        wired.channel.readConnectionLost()
        wired.clock.advance(4)
        self.assertFalse(wired.application.seen[0].gone)
        wired.clock.advance(1)
        self.assertTrue(wired.application.seen[0].gone)
        self.assertTrue(wired.pipe.disconnected)

    def test_linger_ends(self) -> None:
        """A linger ends when the peer closes its side."""
        wired = Wired()
        wired.send(b"nonsense\r\n\r\n")
        self.assertFalse(wired.pipe.disconnecting)
        wired.channel.readConnectionLost()
        self.assertTrue(wired.pipe.disconnecting)


class TimerTests(SynchronousTestCase):
    """Deadlines, to the second."""

    def assert_times_out(self, wired: Wired, after: int, statuses: list[int]) -> None:
        wired.clock.pump([1] * (after - 1))
        self.assertFalse(wired.closed)
        before = len(wired.answers())
        wired.clock.advance(1)
        self.assertEqual((wired.closed, wired.statuses[before:]), (True, statuses))

    def test_fresh(self) -> None:
        """A connection that says nothing is closed without a word."""
        self.assert_times_out(Wired(), 30, [])

    def test_idle(self) -> None:
        """A connection is kept for a while after a reply."""
        wired = Wired()
        wired.clock.advance(29)
        wired.send(GET)
        self.assert_times_out(wired, 75, [])

    def test_head(self) -> None:
        """A head has its time from the first byte on, and more bytes do not make it longer."""
        wired = Wired()
        for byte in PART[:9]:
            wired.send(bytes([byte]))
            wired.clock.advance(1)
        self.assertFalse(wired.closed)
        wired.clock.advance(1)
        self.assertEqual((wired.statuses, wired.pipe.half_closed), ([408], True))

    def test_second_head(self) -> None:
        """Each head of a connection has its own time."""
        wired = Wired()
        wired.send(PART)
        wired.clock.advance(9)
        wired.send(GET[len(PART) :] + PART)
        self.assert_times_out(wired, 10, [408])

    def test_empty_line(self) -> None:
        """An empty line, however it is cut, begins no head: the connection is idle, and the next head has its own time."""
        for pieces in ((b"\r\n",), (b"\r", b"\n")):
            for begin, after, statuses in ((b"", 75, []), (PART, 10, [408])):
                wired = Wired()
                for piece in (GET, *pieces, begin):
                    wired.send(piece)
                self.assert_times_out(wired, after, statuses)

    def test_body(self) -> None:
        """A body that stalls is a 408; the application never sees it."""
        wired = Wired()
        wired.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nab")
        self.assert_times_out(wired, 60, [408])
        self.assertEqual(wired.application.seen, [])

    def test_body_rate(self) -> None:
        """A body that comes at the least rate may take any time."""
        wired = Wired(HttpBounds(rate_min=10))
        wired.application.limit = 2000
        wired.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2000\r\n\r\n")
        for _ in range(200):
            wired.clock.advance(1)
            wired.send(b"x" * 10)
        self.assertEqual(wired.statuses, [200])

    def test_dropped_body(self) -> None:
        """Nor does a body that is dropped hold a connection for ever."""
        wired = Wired()
        wired.send(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 500\r\n\r\nab")
        self.assertEqual(wired.statuses, [413])
        self.assert_times_out(wired, 60, [])

    def test_application(self) -> None:
        """The application takes its time."""
        wired = Wired()
        wired.application.do = wired.application.later
        wired.send(GET)
        wired.clock.pump([60] * 60)
        wired.application.echo(wired.application.seen[0])
        self.assertEqual((wired.statuses, wired.closed), ([200], False))
        self.assert_times_out(wired, 75, [])

    def test_peer_does_not_read(self) -> None:
        """A peer that leaves its replies unread is cut off, with more time for more bytes."""
        wired = Wired(HttpBounds(rate_min=10))
        wired.pipe.full = True
        wired.application.do = lambda request: request.reply(200, [], b"x" * 200)
        wired.send(GET)
        size = len(wired.pipe.value())
        wired.clock.pump([1] * (59 + size // 10))
        self.assertFalse(wired.pipe.disconnected)
        wired.clock.advance(1)
        self.assertTrue(wired.pipe.disconnected)

    def test_linger(self) -> None:
        """A linger has its time from the moment that all is sent."""
        wired = Wired()
        wired.send(b"nonsense\r\n\r\n")
        wired.clock.advance(20)
        self.assertFalse(wired.pipe.disconnecting)
        wired.channel.writeConnectionLost()
        wired.clock.pump([1] * 4)
        wired.send(b"more")
        self.assertFalse(wired.pipe.disconnecting)
        wired.clock.advance(1)
        self.assertEqual((wired.pipe.disconnecting, wired.pipe.disconnected), (True, False))
        wired.clock.pump([1] * 5)
        self.assertTrue(wired.pipe.disconnected)

    def test_close_is_bounded(self) -> None:
        """A peer that does not take the last reply is cut off."""
        wired = Wired()
        wired.send(b"GET / HTTP/1.0\r\n\r\n")
        self.assertTrue(wired.pipe.disconnecting)
        wired.clock.pump([1] * 59)
        self.assertFalse(wired.pipe.disconnected)
        wired.clock.advance(1)
        self.assertTrue(wired.pipe.disconnected)

    def test_no_connection_no_timer(self) -> None:
        """Without connections nothing ticks, and with many there is one timer."""
        wired = Wired()
        other, _ = wired.connect()
        self.assertEqual(len(wired.clock.getDelayedCalls()), 1)
        for channel in (wired.channel, other):
            channel.connectionLost(Failure(ConnectionLost()))
        self.assertEqual(wired.clock.getDelayedCalls(), [])


class FactoryTests(SynchronousTestCase):
    """Counting and ending connections."""

    def test_provides_interface(self) -> None:
        """The application of these tests is one."""
        self.assertTrue(verifyClass(IHttpApplication, Application))

    def test_connections_max(self) -> None:
        """Beyond the bound connections are answered 503 and closed, until one is lost."""
        wired = Wired(HttpBounds(connections_max=2))
        wired.connect()
        refused, pipe = wired.connect()
        (answer,) = answers(pipe.value())
        self.assertEqual((answer.status, answer.headers[b"retry-after"]), (503, b"5"))
        self.assertTrue(pipe.half_closed)
        refused.connectionLost(Failure(ConnectionLost()))
        self.assertEqual(wired.factory.connections, 2)
        wired.channel.connectionLost(Failure(ConnectionLost()))
        self.assertEqual(wired.connect()[1].value(), b"")

    def test_refused_flood(self) -> None:
        """So many connections may wait for the end of a refusal, and no more."""
        wired = Wired(HttpBounds(connections_max=1))
        for _ in range(ANSWERED_MAX):
            self.assertTrue(wired.connect()[1].half_closed)
        _, pipe = wired.connect()
        self.assertEqual((pipe.value(), pipe.disconnecting), (b"", True))
        self.assertEqual(wired.factory.connections, 1 + ANSWERED_MAX)
        wired.clock.pump([1] * 70)
        self.assertEqual(wired.factory.connections, 1)
        self.assertEqual(answers(wired.connect()[1].value())[0].status, 503)

    def test_peers(self) -> None:
        """Somebody who counts connections is told of each once, however it ends, and of none that was refused."""
        peers = Peers(Refusals(), total_max=2)
        wired = Wired(peers=peers)
        wired.connect()
        refused, pipe = wired.connect()
        self.assertEqual(answers(pipe.value())[0].status, 503)
        refused.connectionLost(Failure(ConnectionLost()))
        self.assertEqual(peers.total, 2)
        wired.send(PART)
        wired.clock.pump([1] * 90)
        wired.channel.connectionLost(Failure(ConnectionLost()))
        self.assertEqual(peers.total, 0)

    def test_stop(self) -> None:
        """Idle connections close at once; the others with their reply, and what is behind it is not begun."""
        wired = Wired()
        _, idle = wired.connect()
        wired.application.do = wired.application.later
        wired.send(GET + GET)
        wired.factory.stop_accepting()
        self.assertTrue(idle.disconnecting)
        self.assertFalse(wired.closed)
        wired.application.echo(wired.application.seen[0])
        (answer,) = wired.answers()
        self.assertEqual((answer.headers[b"connection"], len(wired.application.seen)), (b"close", 1))
        self.assertTrue(wired.closed)
        self.assertIsNone(wired.factory.buildProtocol(None))

    def test_stop_within_head(self) -> None:
        """A request that has begun to arrive is answered."""
        wired = Wired()
        wired.send(PART)
        wired.factory.stop_accepting()
        wired.send(GET[len(PART) :])
        self.assertEqual((wired.statuses, wired.pipe.disconnecting), ([200], True))

    def test_when_idle(self) -> None:
        """Idle is when no request is being answered and no reply is on its way."""
        wired = Wired()
        self.successResultOf(wired.factory.when_idle())
        wired.application.do = wired.application.later
        wired.send(GET)
        first, second = wired.factory.when_idle(), wired.factory.when_idle()
        self.assertNoResult(first)
        wired.application.echo(wired.application.seen[0])
        self.successResultOf(first)
        self.successResultOf(second)

    def test_when_idle_after_stop(self) -> None:
        """After a stop, idle is when the last connection is gone."""
        wired = Wired()
        wired.application.do = wired.application.later
        wired.send(GET)
        wired.factory.stop_accepting()
        idle: Deferred[None] = wired.factory.when_idle()
        wired.application.echo(wired.application.seen[0])
        self.assertNoResult(idle)
        wired.channel.connectionLost(Failure(ConnectionLost()))
        self.successResultOf(idle)


class UpgradeTests(SynchronousTestCase):
    """Another protocol takes over."""

    def test_hand_over(self) -> None:
        """The protocol gets head and all that follows as they came; the channel is out of it."""
        wired = Wired()
        wired.application.protocol = recorder = Recorder()
        wired.send(GET + b"\r\n" + UPGRADE[:-1])
        wired.send(UPGRADE[-1:] + b"\x81\x00more")
        self.assertEqual(wired.statuses, [200])
        self.assertEqual(recorder.got, UPGRADE + b"\x81\x00more")
        self.assertIs(recorder.transport, wired.pipe)
        self.assertIs(wired.pipe.protocol, recorder)
        self.assertIsNone(wired.pipe.producer)
        self.assertEqual((wired.factory.connections, recorder.lost), (0, 0))
        self.assertEqual(wired.clock.getDelayedCalls(), [])

    def test_hand_over_behind_a_pipeline(self) -> None:
        """A connection that was not read from any more is read from again."""
        wired = Wired()
        wired.application.protocol = recorder = Recorder()
        wired.application.do = wired.application.later
        wired.send(GET + UPGRADE + b"x" * 70000)
        wired.clock.advance(0)
        self.assertEqual(wired.pipe.producerState, "paused")
        wired.application.echo(wired.application.seen[0])
        self.assertEqual((wired.statuses, recorder.got), ([200], UPGRADE + b"x" * 70000))
        self.assertEqual(wired.pipe.producerState, "producing")

    def test_reply_after_hand_over(self) -> None:
        """A reply to a request whose connection was handed over does not get between the bytes of the protocol."""
        wired = Wired()
        offered: list[Request] = []
        wired.application.upgrade = lambda request: (offered.append(request), Recorder())[1]  # type: ignore
        wired.send(UPGRADE)
        offered[0].reply(200, [])
        self.assertEqual(wired.pipe.value(), b"")

    def test_declined(self) -> None:
        """Where the application has no protocol it is an ordinary request."""
        wired = Wired()
        wired.send(UPGRADE + GET)
        self.assertEqual(wired.statuses, [200, 200])

    def test_not_for_websocket(self) -> None:
        """Any other upgrade is ignored, with a body or without, as clients that probe for HTTP/2 need it."""
        for data in (
            UPGRADE.replace(b"WebSocket", b"h2c"),
            UPGRADE.replace(b", Upgrade", b""),
            UPGRADE.replace(b"1.1", b"1.0"),
            UPGRADE.replace(b"GET", b"PUT"),
            UPGRADE.replace(b"\r\n\r\n", b"\r\nContent-Length: 3\r\n\r\nabc"),
        ):
            wired = Wired()
            wired.application.protocol = recorder = Recorder()
            wired.send(data + GET)
            self.assertEqual((wired.statuses, recorder.got), ([200, 200], b""), data)


# -- real sockets -----------------------------------------------------------------------------------------------------


def read_all(sock: socket.socket) -> bytes:
    """All that comes until the peer closes."""
    got = b""
    while piece := sock.recv(65536):
        got += piece
    return got


class Echo(WebSocketServerProtocol):
    """Sends back what it gets."""

    def onMessage(self, payload: bytes, isBinary: bool) -> None:
        self.sendMessage(payload, isBinary)

    def onClose(self, wasClean: bool, code: int | None, reason: str | None) -> None:
        self.factory.closed.callback(code)


class SocketTests(TestCase):
    """What only a kernel can show: resets, half-closed sockets, TLS."""

    def listen(self, bounds: HttpBounds | None = None) -> int:
        self.application = Application()
        self.factory = HttpFactory(self.application, bounds or HttpBounds(), reactor)
        port = reactor.listenTCP(0, self.factory, interface="127.0.0.1")
        self.addCleanup(self.gone)
        self.addCleanup(port.stopListening)
        return int(port.getHost().port)

    def gone(self) -> Deferred[None]:
        """All connections of a test are gone, so that no timer is left."""
        self.factory.stop_accepting()
        return self.factory.when_idle()

    def talk(self, port: int, client: Callable[[socket.socket], bytes]) -> Deferred[bytes]:
        def run() -> bytes:
            with socket.create_connection(("127.0.0.1", port), timeout=90) as sock:
                return client(sock)

        return deferToThread(run)

    async def test_large_body(self) -> None:
        """A client that writes 100 times the limit before it reads gets its answer, and can go on."""

        def client(sock: socket.socket) -> bytes:
            size = 100 * 262144
            sock.sendall(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % size)
            for _ in range(100):
                sock.sendall(b"x" * 262144)
            sock.sendall(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
            return read_all(sock)

        port = self.listen()
        self.application.limit = 262144
        got = answers(await self.talk(port, client))
        self.assertEqual([answer.status for answer in got], [413, 200])
        self.assertEqual([request.body for request in self.application.seen], [b"", b""])

    async def test_large_body_closed(self) -> None:
        """Where the body is not read to its end the answer arrives nevertheless."""

        def client(sock: socket.socket) -> bytes:
            sock.sendall(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 26214400\r\n\r\n")
            for _ in range(100):
                sock.sendall(b"x" * 262144)
            return read_all(sock)

        port = self.listen(HttpBounds(drain_max=1000))
        (answer,) = answers(await self.talk(port, client))
        self.assertEqual((answer.status, answer.headers[b"connection"]), (413, b"close"))

    async def test_large_chunked_body(self) -> None:
        """The same for a chunked body, which has no end in sight."""

        def client(sock: socket.socket) -> bytes:
            sock.sendall(b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n")
            for _ in range(100):
                sock.sendall(b"10000\r\n" + b"x" * 65536 + b"\r\n")
            sock.sendall(b"0\r\n\r\n")
            return read_all(sock)

        port = self.listen(HttpBounds(drain_max=1000000))
        (answer,) = answers(await self.talk(port, client))
        self.assertEqual(answer.status, 413)

    async def test_refusal_arrives(self) -> None:
        """A refusal is not destroyed by what the client sends after it."""

        def client(sock: socket.socket) -> bytes:
            sock.sendall(b"GET / HTTP/1.1\r\nHost: a\r\nBad Name: x\r\n\r\n")
            sock.sendall(b"x" * 5000000)
            return read_all(sock)

        (answer,) = answers(await self.talk(self.listen(), client))
        self.assertEqual(answer.status, 400)

    async def test_body_ends_early(self) -> None:
        """A client that closes its side within a body gets a 400."""

        def client(sock: socket.socket) -> bytes:
            sock.sendall(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nab")
            sock.shutdown(socket.SHUT_WR)
            return read_all(sock)

        (answer,) = answers(await self.talk(self.listen(), client))
        self.assertEqual((answer.status, self.application.seen), (400, []))

    async def test_half_closed(self) -> None:
        """A client that closes its side after its requests gets all answers."""

        def client(sock: socket.socket) -> bytes:
            sock.sendall(GET * 3)
            sock.shutdown(socket.SHUT_WR)
            return read_all(sock)

        got = answers(await self.talk(self.listen(), client))
        self.assertEqual([answer.status for answer in got], [200, 200, 200])

    async def test_slow_reader(self) -> None:
        """A long pipeline with replies far beyond all buffers is answered in full to a client that reads last."""

        def client(sock: socket.socket) -> bytes:
            sock.sendall(GET * 300 + b"GET / HTTP/1.0\r\n\r\n")
            return read_all(sock)

        port = self.listen()
        self.application.do = lambda request: request.reply(200, [], b"x" * 50000)
        got = answers(await self.talk(port, client))
        self.assertEqual([len(answer.body) for answer in got], [50000] * 301)

    async def test_unix_socket(self) -> None:
        """A listener on a Unix socket works without an error in the log."""
        path = self.mktemp()
        self.application = Application()
        self.factory = HttpFactory(self.application, HttpBounds(), reactor)
        port = reactor.listenUNIX(path, self.factory)
        self.addCleanup(self.gone)
        self.addCleanup(port.stopListening)

        def client() -> bytes:
            with socket.socket(socket.AF_UNIX) as sock:
                sock.settimeout(20)
                sock.connect(path)
                sock.sendall(b"GET / HTTP/1.0\r\n\r\n")
                return read_all(sock)

        (answer,) = answers(await deferToThread(client))
        self.assertEqual(answer.status, 200)

    # -- TLS and WebSocket ---------------------------------------------------------------------------------------------

    def listen_tls(self) -> int:
        self.application = Application()
        self.factory = HttpFactory(self.application, HttpBounds(), reactor)
        port = reactor.listenSSL(0, self.factory, self_signed().options(), interface="127.0.0.1")
        self.addCleanup(self.gone)
        self.addCleanup(port.stopListening)
        return int(port.getHost().port)

    def wrap(self, client: Callable[[socket.socket], bytes]) -> Callable[[socket.socket], bytes]:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE

        def run(sock: socket.socket) -> bytes:
            with context.wrap_socket(sock) as secure:
                return client(secure)

        return run

    def websocket(self) -> Deferred[int | None]:
        """Let the application hand over to Autobahn, once; gives the close code that it will see."""
        factory: Any = WebSocketServerFactory()
        factory.protocol = Echo
        closed: Deferred[int | None] = Deferred()
        factory.closed = closed
        self.application.upgrade = lambda request: factory.buildProtocol(None)  # type: ignore[method-assign]
        return closed

    @staticmethod
    def websocket_client(sock: socket.socket) -> bytes:
        """Upgrade behind an ordinary request, send "hi" with the head, close with 1000."""
        mask = b"\0\0\0\0"
        sock.sendall(GET + UPGRADE + b"\x81\x82" + mask + b"hi" + b"\x88\x82" + mask + b"\x03\xe8")
        return read_all(sock)

    def assert_websocket(self, got: bytes, code: int | None) -> None:
        self.assertTrue(got.startswith(b"HTTP/1.1 200 "))
        self.assertIn(b"HTTP/1.1 101 Switching Protocols\r\n", got)
        self.assertIn(b"Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n", got)
        self.assertTrue(got.endswith(b"\r\n\r\n\x81\x02hi\x88\x02\x03\xe8"), got)
        self.assertEqual(code, 1000)
        self.assertEqual((self.factory.connections, len(self.application.seen)), (0, 1))

    async def test_websocket(self) -> None:
        """A raw client gets from Autobahn's protocol what the rules of WebSocket promise."""
        port = self.listen()
        closed = self.websocket()
        self.assert_websocket(await self.talk(port, self.websocket_client), await closed)

    async def test_websocket_tls(self) -> None:
        """The same within TLS."""
        port = self.listen_tls()
        closed = self.websocket()
        self.assert_websocket(await self.talk(port, self.wrap(self.websocket_client)), await closed)

    async def test_tls(self) -> None:
        """Requests, large bodies and refusals work within TLS, too, where there is no half-close."""

        def client(sock: socket.socket) -> bytes:
            sock.sendall(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2000000\r\n\r\n" + b"x" * 2000000)
            sock.sendall(GET + b"GET / HTTP/1.1\r\n\r\n")
            got = b""
            while b"There is no Host" not in got:
                got += sock.recv(65536)
            return got

        port = self.listen_tls()
        got = answers(await self.talk(port, self.wrap(client)))
        self.assertEqual([answer.status for answer in got], [413, 200, 400])
