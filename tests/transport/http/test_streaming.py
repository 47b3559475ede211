"""Responses that are sent piece by piece."""

from __future__ import annotations

from twisted.internet.error import ConnectionLost
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from tests.transport.http.test_channel import GET, Wired
from zaqar_gateway.transport.http.bounds import HttpBounds
from zaqar_gateway.transport.http.request import Outflow, Request

KINDS = [(b"Content-Type", b"text/event-stream"), (b"Cache-Control", b"no-cache")]


class Recorded:
    """A source that writes down what it is told."""

    def __init__(self) -> None:
        self.told: list[str] = []
        self.out: Outflow
        self.first = b""
        self.ends = False

    def begin(self, out: Outflow) -> None:
        """See :class:`~zaqar_gateway.transport.http.request.Source`."""
        self.told.append("begin")
        self.out = out
        if self.first:
            out.write(self.first)

    def resume(self) -> None:
        """See :class:`~zaqar_gateway.transport.http.request.Source`."""
        self.told.append("resume")

    def drain(self) -> None:
        """See :class:`~zaqar_gateway.transport.http.request.Source`."""
        self.told.append("drain")
        self.out.write(b"bye")
        self.out.finish()

    def gone(self) -> None:
        """See :class:`~zaqar_gateway.transport.http.request.Source`."""
        self.told.append("gone")
        if hasattr(self, "out"):
            self.out.write(b"too late")
            self.out.finish()


class StreamCase(SynchronousTestCase):
    """A connection whose requests are answered by a source."""

    def setUp(self) -> None:
        self.source = Recorded()
        self.wired = Wired(HttpBounds(write_timeout_s=60, pipeline_max=100))
        self.wired.application.do = self.stream

    def stream(self, request: Request) -> None:
        """Answer with the source."""
        request.stream(200, KINDS, self.source)

    def body(self) -> bytes:
        """What was sent behind the head, in its chunks."""
        body: bytes = self.wired.pipe.value().partition(b"\r\n\r\n")[2]
        return body


class StreamTests(StreamCase):
    """What is sent."""

    def test_bytes(self) -> None:
        """The head says that the body comes in chunks and that the connection ends with it; each piece is one write."""
        self.source.first = b"a" * 20
        self.wired.send(GET)
        head, _, body = self.wired.pipe.value().partition(b"\r\n\r\n")
        self.assertEqual(
            head,
            b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nCache-Control: no-cache\r\n"
            b"Transfer-Encoding: chunked\r\n"
            b"X-Content-Type-Options: nosniff\r\nX-Frame-Options: DENY\r\nReferrer-Policy: no-referrer\r\n"
            b"Date: Thu, 01 Jan 1970 00:00:00 GMT\r\nConnection: close",
        )
        self.assertEqual(body, b"14\r\n" + b"a" * 20 + b"\r\n")
        self.source.out.write(b"bcd")
        self.assertEqual(self.wired.pipe.sizes[1:], [len(b"3\r\nbcd\r\n")])
        self.assertFalse(self.wired.closed)
        self.source.out.finish()
        self.assertTrue(self.body().endswith(b"3\r\nbcd\r\n0\r\n\r\n"))
        self.assertEqual(self.source.told, ["begin", "gone"])
        self.assertTrue(self.wired.closed)

    def test_http_1_0(self) -> None:
        """HTTP/1.0 has no chunks: the body ends with the connection."""
        self.source.first = b"abc"
        self.wired.send(b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n")
        self.source.out.write(b"def")
        self.source.out.finish()
        self.assertNotIn(b"chunked", self.wired.pipe.value())
        self.assertEqual(self.body(), b"abcdef")
        self.assertTrue(self.wired.closed)

    def test_no_time_limit(self) -> None:
        """A stream may be silent for as long as it likes."""
        self.wired.send(GET)
        self.wired.clock.pump([1.0] * 1000)
        self.source.out.write(b"a")
        self.assertEqual((self.body(), self.source.told), (b"1\r\na\r\n", ["begin"]))

    def test_requests_behind_it(self) -> None:
        """What a client sends behind such a request is not looked at, and beyond a bound not read."""
        self.wired.send(GET)
        self.wired.send(GET)
        self.assertEqual(self.wired.pipe.producerState, "producing")
        self.wired.send(GET * 5)
        self.assertEqual(self.wired.pipe.producerState, "paused")
        self.source.out.finish()
        self.assertEqual(len(self.wired.application.seen), 1)

    def test_later(self) -> None:
        """The reply may begin long after the request, and is nothing where the peer has gone by then."""
        self.wired.application.do = self.wired.application.later
        self.wired.send(GET)
        (request,) = self.wired.application.seen
        self.wired.channel.connectionLost(Failure(ConnectionLost()))
        request.stream(200, KINDS, self.source)
        self.assertEqual((self.source.told, self.wired.pipe.value()), (["gone"], b""))

    def test_peer_closed_before(self) -> None:
        """A peer that has closed its side before the stream begins gets none."""
        self.wired.application.do = self.wired.application.later
        self.wired.send(GET)
        self.wired.channel.readConnectionLost()
        self.stream(self.wired.application.seen[0])
        self.assertEqual((self.source.told, self.wired.pipe.value()), (["gone"], b""))
        self.assertTrue(self.wired.pipe.disconnected)


class HangUpTests(StreamCase):
    """How the end of a peer is noticed."""

    def setUp(self) -> None:
        super().setUp()
        self.wired.send(GET)

    def test_lost(self) -> None:
        """The source is told when the connection is lost, once."""
        self.wired.channel.connectionLost(Failure(ConnectionLost()))
        self.assertEqual(self.source.told, ["begin", "gone"])
        self.assertEqual(self.wired.factory.connections, 0)

    def test_closed_side(self) -> None:
        """A peer that closes its side has had enough: the connection is dropped at once."""
        self.wired.channel.readConnectionLost()
        self.assertEqual(self.source.told, ["begin", "gone"])
        self.assertTrue(self.wired.pipe.disconnected)

    def test_blocked_and_closed(self) -> None:
        """That is noticed, too, while the peer reads nothing."""
        self.wired.pipe.full = True
        self.source.out.write(b"a")
        self.assertTrue(self.source.out.is_blocked)
        self.assertEqual(self.wired.pipe.producerState, "producing")
        self.wired.channel.readConnectionLost()
        self.assertEqual(self.source.told, ["begin", "gone"])

    def test_resumes(self) -> None:
        """The source is told when the peer has taken all that was written."""
        self.wired.pipe.full = True
        self.source.out.write(b"a")
        self.wired.pipe.full = False
        self.wired.channel.resumeProducing()
        self.assertFalse(self.source.out.is_blocked)
        self.assertEqual(self.source.told, ["begin", "resume"])

    def test_never_reads(self) -> None:
        """A peer that takes nothing is dropped in the end."""
        self.wired.pipe.full = True
        self.source.out.write(b"a")
        self.wired.clock.pump([1.0] * 59)
        self.assertEqual(self.source.told, ["begin"])
        self.wired.clock.pump([1.0] * 2)
        self.assertEqual(self.source.told, ["begin", "gone"])
        self.assertTrue(self.wired.pipe.disconnected)

    def test_shed(self) -> None:
        """One that leaves more unread than may be is dropped."""
        self.wired.channel.shed()
        self.wired.clock.advance(0)
        self.assertEqual(self.source.told, ["begin", "gone"])


class DrainTests(StreamCase):
    """The end of the service."""

    def test_drain(self) -> None:
        """Streams are asked to end; the connections are idle then."""
        self.wired.send(GET)
        self.wired.factory.stop_accepting()
        self.assertEqual(self.source.told, ["begin", "drain", "gone"])
        self.assertEqual(self.body(), b"3\r\nbye\r\n0\r\n\r\n")
        idle = self.wired.factory.when_idle()
        self.assertNoResult(idle)
        self.wired.channel.connectionLost(Failure(ConnectionLost()))
        self.successResultOf(idle)

    def test_drain_of_a_blocked_one(self) -> None:
        """A peer that does not read holds up nothing."""
        self.wired.send(GET)
        self.wired.pipe.full = True
        self.source.out.write(b"a")
        self.wired.factory.stop_accepting()
        self.assertEqual(self.source.told, ["begin", "gone"])
        self.successResultOf(self.wired.factory.when_idle())

    def test_begins_while_draining(self) -> None:
        """A stream that begins when the service ends has its end right behind its beginning."""
        self.wired.application.do = self.wired.application.later
        self.wired.send(GET)
        self.wired.factory.stop_accepting()
        self.source.first = b"hi"
        self.stream(self.wired.application.seen[0])
        self.assertEqual(self.source.told, ["begin", "drain", "gone"])
        self.assertEqual(self.body(), b"2\r\nhi\r\n3\r\nbye\r\n0\r\n\r\n")
