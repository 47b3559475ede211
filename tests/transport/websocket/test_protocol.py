"""Connections: handshake, frames, order, bounds, and how they end; over memory and a clock, and over real sockets."""

from __future__ import annotations

import json
import tracemalloc
import zlib
from typing import Any

from attrs import define, field
from autobahn.twisted.websocket import WebSocketClientFactory, WebSocketClientProtocol
from autobahn.websocket.compress import (
    PerMessageDeflateOffer,
    PerMessageDeflateResponse,
    PerMessageDeflateResponseAccept,
)
from twisted.internet import reactor
from twisted.internet.defer import Deferred, DeferredQueue
from twisted.internet.endpoints import TCP4ClientEndpoint, TCP4ServerEndpoint
from twisted.internet.interfaces import IHalfCloseableDescriptor
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.internet.task import Clock
from twisted.logger import capturedLogs
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase, TestCase
from zope.interface import implementer

from tests.transport.websocket.client import (
    BINARY,
    CLOSE,
    PING,
    PONG,
    TEXT,
    Peer,
    Transport,
    frame,
    frames,
    handshake,
    make_factory,
    packed,
    status,
    text,
)
from zaqar_gateway.interfaces import IQueueStore
from zaqar_gateway.limits import Limits
from zaqar_gateway.model import QueueEntry, QueueRules, QueueStats, Usage
from zaqar_gateway.storage.memory import MemoryStorage
from zaqar_gateway.transport.turns import DRAIN_S, PART_S
from zaqar_gateway.transport.turns import Turns as Row
from zaqar_gateway.transport.unread import Unread as AllUnread
from zaqar_gateway.transport.websocket.bounds import WebSocketBounds
from zaqar_gateway.transport.websocket.factory import GatewayFactory
from zaqar_gateway.transport.websocket.protocol import ROW_MAX, TURN_MAX

DEFLATE = "permessage-deflate"


@implementer(IQueueStore)
@define
class HeldQueues:
    """Answers ``get`` and ``purge`` when the test says so; ``started`` has their queues in the order of the calls."""

    started: list[str] = field(factory=list)
    waiting: dict[str, Deferred[None]] = field(factory=dict)

    async def _wait(self, queue: str) -> None:
        self.started.append(queue)
        self.waiting[queue] = Deferred()
        await self.waiting[queue]

    def release(self, *queues: str) -> None:
        """Answer the calls for these queues, in this order."""
        for queue in queues:
            self.waiting.pop(queue).callback(None)

    async def get(self, project: str, queue: str) -> bytes | None:
        await self._wait(queue)
        return json.dumps({"is": queue}).encode()

    async def purge(self, project: str, queue: str) -> None:
        await self._wait(queue)

    async def create(self, project: str, queue: str, metadata: bytes, rules: QueueRules) -> bool:
        raise NotImplementedError

    async def update(self, project: str, queue: str, seen: bytes, metadata: bytes, rules: QueueRules) -> bool:
        raise NotImplementedError

    async def delete(self, project: str, queue: str) -> None:
        raise NotImplementedError

    async def usage(self, project: str) -> Usage:
        raise NotImplementedError

    async def count(self, project: str) -> int:
        raise NotImplementedError

    async def stats(self, project: str, queue: str) -> QueueStats | None:
        raise NotImplementedError

    async def list(self, project: str, marker: str, limit: int) -> list[QueueEntry]:
        raise NotImplementedError


class ConnectionCase(SynchronousTestCase):
    """Connections over memory, to a store in memory."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.storage = MemoryStorage(self.clock)

    def factory(self, limits: Limits | None = None, alone: tuple[str, ...] = (), **bounds: Any) -> GatewayFactory:
        return make_factory(self.storage, self.clock, WebSocketBounds(**bounds), limits=limits, alone=alone)

    def peer(self, **bounds: Any) -> Peer:
        return Peer(self.factory(**bounds))


@implementer(IHalfCloseableDescriptor)
class HalfCloseable(Transport):
    """A transport whose own side can be closed."""

    half_closed = False

    def loseWriteConnection(self) -> None:
        self.half_closed = True

    def readConnectionLost(self, reason: Failure) -> None:
        """Part of the interface."""

    def writeConnectionLost(self, reason: Failure) -> None:
        """Part of the interface."""


class Handshake(ConnectionCase):
    """The opening handshake."""

    def refused(self, opening: bytes, **bounds: Any) -> bytes:
        """The status line of the refusal of a handshake."""
        peer = Peer(self.factory(**bounds), opening)
        self.assertFalse(peer.open)
        line, _, headers = peer.head.partition(b"\r\n")
        self.assertIn(b"Content-Length: ", headers)
        return line

    def test_accepted(self) -> None:
        """Any path is accepted, an offered subprotocol is not selected, and nothing names the server."""
        for path in ("/", "/v2", "/a/b?c=d"):
            peer = Peer(self.factory(), handshake(path, Sec_WebSocket_Protocol="a, b"))
            self.assertTrue(peer.head.startswith(b"HTTP/1.1 101 "))
            self.assertNotIn(b"protocol:", peer.head.lower())
            self.assertNotIn(b"server:", peer.head.lower())
            self.assertTrue(peer.open)

    def test_pieces(self) -> None:
        """The head may come in pieces, and requests right behind it."""
        factory = self.factory()
        peer = Peer(factory, b"")
        for byte in handshake() + frame(text("queue_list")):
            peer.raw(bytes((byte,)))
            self.clock.advance(0)
        self.assertTrue(peer.transport.value().startswith(b"HTTP/1.1 101 "))
        peer = Peer(factory, handshake(), frame(text("queue_list")))
        found, _ = frames(peer.rest)
        self.assertEqual(status(json.loads(found[0][1])), 200)

    def test_bad_request_line(self) -> None:
        """A request line that is none is the client's error, as on the HTTP port: 400 and not 505."""
        for line in (b"GET / HTTP/1.P", b"GET / HTTP/2.0", b"GET / x"):
            opening = handshake().replace(b"GET / HTTP/1.1", line)
            self.assertEqual(self.refused(opening), b"HTTP/1.1 400 Bad Request", line)

    def test_plain_request(self) -> None:
        """What is no handshake gets a small answer and the end of the connection."""
        plain = b"GET /?redirect=http://example.org HTTP/1.1\r\nHost: localhost\r\n\r\n"
        self.assertEqual(self.refused(plain), b"HTTP/1.1 426 Upgrade Required")
        self.assertEqual(self.refused(plain.replace(b"GET", b"POST")), b"HTTP/1.1 405 Method Not Allowed")
        self.assertEqual(self.refused(b"\x16\x03\x01\r\n\r\n"), b"HTTP/1.1 400 Bad Request")

    def test_refusal_headers(self) -> None:
        """A refusal has the headers of every HTTP answer that keep browsers from guessing, framing and keeping it."""
        peer = Peer(self.factory(), b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        lines = peer.head.split(b"\r\n")
        for line in (b"X-Content-Type-Options: nosniff", b"X-Frame-Options: DENY", b"Cache-Control: no-store"):
            self.assertEqual(lines.count(line), 1, line)

    def test_refusal_body(self) -> None:
        """A refusal is told as every error of HTTP is, under an id of its own."""
        told, ids = [], set()
        for opening in (b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", handshake(Origin="https://example.com")):
            peer = Peer(self.factory(), opening)
            fields = dict(line.split(b": ", 1) for line in peer.head.split(b"\r\n")[1:] if line)
            self.assertEqual(fields[b"Content-Type"], b"application/json")
            self.assertEqual(int(fields[b"Content-Length"]), len(peer.rest))
            self.assertRegex(fields[b"x-openstack-request-id"], b"^req-[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-8[0-9a-f]{3}-[0-9a-f]{12}$")
            ids.add(fields[b"x-openstack-request-id"])
            told.append(json.loads(peer.rest))
        self.assertEqual(len(ids), 2)
        upgrade = {"title": "Upgrade Required", "description": "This is a WebSocket endpoint."}
        origin = "Pages of this origin may not connect; websocket.allowed_origins has to name it."
        self.assertEqual(told, [upgrade, {"title": "Not authorized", "description": origin}])

    def test_head_bound(self) -> None:
        """A head beyond the bound is refused, complete or not."""
        self.assertTrue(self.refused(handshake(Cookie="x" * 3000), handshake_max=2048).startswith(b"HTTP/1.1 431 "))

    def test_rest_of_a_refused_head(self) -> None:
        """What a peer still sends after a refusal is read and dropped, so that no reset destroys the answer."""
        for transport in (Transport(), HalfCloseable()):
            peer = Peer(self.factory(handshake_max=2048), b"GET / HTTP/1.1\r\nCookie: " + b"x" * 3000, transport=transport)
            self.assertTrue(peer.head.startswith(b"HTTP/1.1 431 "))
            peer.transport.clear()
            for _ in range(20):
                peer.raw(b"x" * 65536)
                self.assertFalse(peer.read)  # the others have their turn
                self.clock.advance(0)
                self.assertTrue(peer.read)
            self.assertEqual((peer.open, peer.protocol.data, peer.transport.value()), (True, b"", b""))
            self.clock.advance(5)
            self.assertFalse(peer.open)
            self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_refused_and_half_closed(self) -> None:
        """A refusal ends with the end of our side; the peer closes its own, or is dropped in time."""
        for opening in (b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", handshake(Cookie="x" * 40000)):
            transport = HalfCloseable()
            peer = Peer(self.factory(), opening, transport=transport)
            self.assertEqual((peer.open, transport.half_closed), (True, True))
            transport.loseConnection()
            self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_timeout(self) -> None:
        """A peer that does not finish the handshake in time is dropped."""
        peer = Peer(self.factory(open_timeout_s=10), b"GET / HTTP/1.1\r\n")
        self.clock.advance(9.9)
        self.assertTrue(peer.open)
        self.clock.advance(0.1)
        self.assertFalse(peer.open)

    def test_connections_bound(self) -> None:
        """A connection too many is refused with 503, and may come back when another one is gone."""
        factory = self.factory(connections_max=2)
        first, second = Peer(factory), Peer(factory)
        third = Peer(factory)
        self.assertTrue(third.head.startswith(b"HTTP/1.1 503 "))
        self.assertFalse(third.open)
        self.assertTrue(first.open and second.open)
        first.transport.loseConnection()
        self.assertTrue(Peer(factory).open)

    def test_origins(self) -> None:
        """Browsers come from this machine, or from the origins that are allowed."""
        self.assertTrue(Peer(self.factory(), handshake(Origin="http://localhost:3000")).open)
        allowed = ("https://*.example.org",)
        self.assertTrue(Peer(self.factory(allowed_origins=allowed), handshake(Origin="https://a.example.org")).open)
        for origin in ("https://example.com", "null"):
            self.assertTrue(
                self.refused(handshake(Origin=origin), allowed_origins=allowed).startswith(b"HTTP/1.1 403 ")
            )

    def test_bounds_are_checked(self) -> None:
        """A bound that makes no sense is refused at start."""
        self.assertRaises(ValueError, WebSocketBounds, in_flight_max=0)
        self.assertRaises(ValueError, WebSocketBounds, ping_interval_s=-1)


class Frames(ConnectionCase):
    """Data frames and control frames."""

    def test_encodings(self) -> None:
        """Each request is answered in its own encoding, in order."""
        peer = self.peer()
        peer.raw(
            frame(text("queue_list"))
            + frame(packed("queue_list"), BINARY)
            + frame(b"foo")
            + frame(b"123", BINARY)
            + frame(text("queue_get", queue_name="q"))
        )
        found = peer.received()
        self.assertEqual([first for first, _ in found], [0x81, 0x82, 0x81, 0x82, 0x81])
        self.assertTrue(peer.open)
        peer.send(text("queue_list"))
        self.assertEqual([status(reply) for reply in peer.replies()], [200])

    def test_any_cut(self) -> None:
        """Where a frame is cut into reads makes no difference, whatever its size, mask and fragments."""
        for size in (0, 20, 100, 200, 70_000):
            payload = text("queue_get", queue_name="q" * size)
            half = len(payload) // 2
            data = (
                frame(payload)
                + frame(payload, mask=b"\0\0\0\0")
                + frame(payload[:half], fin=False)
                + frame(b"in between", PING)
                + frame(payload[half:], 0)
                + frame(b"")
                + frame(payload)
            )
            for step in (1, 7, 64, 4096, len(data)) if size < 1000 else (4096, 65536, len(data)):
                peer = self.peer()
                for at in range(0, len(data), step):
                    peer.raw(data[at : at + step])
                self.clock.advance(0)
                found = peer.received()
                self.assertEqual(
                    [first for first, _ in found], [0x81, 0x81, 0x80 | PONG, 0x81, 0x81, 0x81], (size, step)
                )
                statuses = [status(json.loads(body)) for first, body in found if first == 0x81]
                self.assertEqual(statuses, [200, 200, 200, 400, 200])

    def test_control_frames(self) -> None:
        """A ping is answered with its payload; a close frame is answered, and the connection ends."""
        peer = self.peer()
        peer.raw(frame(b"hello", PING))
        self.assertEqual(peer.received(), [(0x80 | PONG, b"hello")])
        peer.raw(frame((1000).to_bytes(2, "big"), CLOSE))
        self.assertEqual(peer.close_code(), 1000)
        self.assertFalse(peer.open)

    def test_violations(self) -> None:
        """What breaks the framing closes the connection with 1002, and runs nothing."""
        request = text("queue_create", queue_name="q")
        unmasked = b"\x81" + bytes((len(request),)) + request if len(request) < 126 else b"\x81\x05hello"
        for bad in (
            unmasked,
            b"\x81\xfe\x00\x05\0\0\0\0hello",  # a length in more bytes than it needs
            frame(request, 3),
            frame(request, 0),
            frame(request, reserved=4),
            frame(b"x", PING, fin=False),
            frame(request, fin=False) + frame(request),
        ):
            peer = self.peer()
            peer.raw(bad + frame(request))
            self.assertEqual(peer.close_code(), 1002, bad[:8])
        peer = self.peer()
        peer.send(text("queue_list"))
        self.assertEqual(peer.replies()[0]["body"], {"queues": []})

    def test_utf8(self) -> None:
        """Text that is not UTF-8 closes the connection with 1007, in one frame and in fragments."""
        for bad in (
            frame(b'{"action": "\xff"}'),
            frame(b"\xed\xa0\x80"),
            frame(b"\xc3", fin=False) + frame(b"(", 0),
            frame("é".encode()[:1]),
        ):
            peer = self.peer()
            peer.raw(bad)
            self.assertEqual(peer.close_code(), 1007)
        peer = self.peer()
        euro = text("queue_get", queue_name="x") + "€".encode()
        peer.raw(frame(euro[:-1], fin=False) + frame(euro[-1:], 0))  # cut inside a character
        self.assertEqual([status(reply) for reply in peer.replies()], [400])

    def test_size(self) -> None:
        """A message of the greatest size is read; a greater one, whole or in fragments, closes with 1009."""
        payload = text("queue_get", queue_name="q" * 1000)
        for size, fits in ((len(payload), True), (len(payload) - 1, False)):
            for data in (frame(payload), frame(payload[:600], fin=False) + frame(payload[600:], 0)):
                peer = self.peer(message_max=size)
                peer.raw(data)
                if fits:
                    self.assertEqual([status(reply) for reply in peer.replies()], [200])
                else:
                    self.assertEqual(peer.close_code(), 1009)

    def test_size_is_known_early(self) -> None:
        """A frame that announces too much is refused before it is there."""
        peer = self.peer()
        peer.raw(b"\x81\xff" + (2**40).to_bytes(8, "big") + b"\0\0\0\0")
        self.assertEqual(peer.close_code(), 1009)

    def test_over_a_limit_of_the_api(self) -> None:
        """A post beyond the limits of the API gets its 400 and keeps the connection."""
        peer = self.peer()
        peer.send(text("message_post", queue_name="q", messages=[{"body": "x" * 330_000}]), text("queue_list"))
        self.clock.advance(0)
        self.assertEqual([status(reply) for reply in peer.replies()], [400, 200])

    def test_large_reply(self) -> None:
        """A reply may be larger than a request may be."""
        peer = self.peer(message_max=4000)
        for _ in range(3):
            peer.send(text("message_post", queue_name="q", messages=[{"body": "x" * 3000}]))
        peer.send(text("message_list", queue_name="q", echo=True))
        self.assertEqual(len(peer.replies()[-1]["body"]["messages"]), 3)

    def test_nothing_after_close(self) -> None:
        """What comes behind a close frame of ours is not run."""
        peer = self.peer()
        peer.raw(frame(b"\xff") + frame(text("queue_create", queue_name="q")))
        other = self.peer()
        other.send(text("queue_list"))
        self.assertEqual(other.replies()[0]["body"], {"queues": []})


class Deflate(ConnectionCase):
    """Compression (RFC 7692)."""

    def compressed(self, offer: str = DEFLATE, **bounds: Any) -> Peer:
        return Peer(self.factory(**bounds), handshake(Sec_WebSocket_Extensions=offer))

    @staticmethod
    def deflate(payload: bytes) -> bytes:
        deflater = zlib.compressobj(9, zlib.DEFLATED, -15)
        return (deflater.compress(payload) + deflater.flush(zlib.Z_SYNC_FLUSH))[:-4]

    def test_agreed(self) -> None:
        """It is agreed to where it is offered, and only then; other extensions are not."""
        self.assertIn(b"Sec-WebSocket-Extensions: permessage-deflate", self.compressed().head)
        for peer in (self.peer(), self.compressed("permessage-bzip2, x-other"), self.compressed(deflate=False)):
            self.assertNotIn(b"Extensions", peer.head)
            self.assertTrue(peer.open)

    def test_declined(self) -> None:
        """An offer that cannot be taken up is declined, and the next one considered (RFC 7692, section 5)."""
        for parameters in (
            "server_max_window_bits=8",
            "server_max_window_bits=08",
            "server_max_window_bits",
            "client_max_window_bits=8; client_no_context_takeover",
            "client_max_window_bits=16",
            "server_no_context_takeover=1",
            "client_no_context_takeover; client_no_context_takeover",
            "unknown",
            'server_max_window_bits="8"',
        ):
            peer = self.compressed(f"{DEFLATE}; {parameters}")
            self.assertNotIn(b"Extensions", peer.head)
            peer.send(text("queue_list"))
            self.assertEqual([status(reply) for reply in peer.replies()], [200], parameters)
            for offer in (f"{DEFLATE}; {parameters}, {DEFLATE}", f"{DEFLATE}, {DEFLATE};{parameters}"):
                self.assertIn(b"Sec-WebSocket-Extensions: permessage-deflate", self.compressed(offer).head)
        self.assertNotIn(b"Extensions", self.compressed("Permessage-Deflate; Server_Max_Window_Bits=7").head)
        for parameters in (
            "client_max_window_bits",
            "client_max_window_bits=15; server_max_window_bits = 9",
            'server_max_window_bits="10"',
            "Client_Max_Window_Bits",
        ):
            self.assertIn(b"Sec-WebSocket-Extensions: permessage-deflate", self.compressed(f"{DEFLATE};{parameters}").head)

    def test_last_blocks(self) -> None:
        """A message may end with a block that says that it is the last one; the next one may refer to it.  Nothing may come behind it."""
        peer = self.compressed()
        names = [f"{number * 7919:040}" for number in range(4)]
        before = b""
        for name in names:
            payload = text("queue_get", queue_name=name)
            deflater = zlib.compressobj(9, zlib.DEFLATED, -15, zdict=before)
            peer.raw(frame(deflater.compress(payload) + deflater.flush(zlib.Z_FINISH) + b"\0", reserved=4))
            before = payload
        peer.raw(frame(self.deflate(before), reserved=4) + frame(before))
        asked = [reply["request"]["body"]["queue_name"] for reply in peer.replies()]
        self.assertEqual(asked, [*names, names[-1], names[-1]])
        deflater = zlib.compressobj(9, zlib.DEFLATED, -15)
        peer.raw(frame(deflater.compress(before) + deflater.flush(zlib.Z_FINISH) + b"more", reserved=4))
        ((first, payload),) = peer.received()
        self.assertEqual((first, payload), (0x80 | CLOSE, b"\x03\xefcompressed data goes on behind its last block"))

    def test_window(self) -> None:
        """A client that can hold a small window only gets no larger one; none gets more than 4 KiB."""
        for bits, offer in ((10, f"{DEFLATE}; server_max_window_bits=10"), (12, DEFLATE)):
            peer = self.compressed(offer)
            self.assertIn(f"Extensions: {offer}".encode(), peer.head)
            inflater = zlib.decompressobj(-bits)
            for _ in range(2):
                peer.send(text("queue_get", queue_name="".join(map(str, range(2000)))))
                ((first, payload),) = peer.received()
                self.assertEqual(first, 0xC1)
                self.assertEqual(status(json.loads(inflater.decompress(payload + b"\0\0\xff\xff"))), 200)

    def test_no_takeover(self) -> None:
        """A client that keeps no context gets each reply complete in itself."""
        peer = self.compressed(f"{DEFLATE}; server_no_context_takeover")
        self.assertIn(b"server_no_context_takeover", peer.head)
        for _ in range(2):
            peer.send(text("queue_get", queue_name="q" * 3000))
            ((first, payload),) = peer.received()
            self.assertEqual(first, 0xC1)
            self.assertEqual(status(json.loads(zlib.decompressobj(-15).decompress(payload))), 200)

    def test_requests_and_replies(self) -> None:
        """Requests may be compressed or not; small replies are not compressed, large ones are."""
        peer = self.compressed()
        for request in (text("queue_list"), text("queue_get", queue_name="q" * 3000)):
            peer.raw(frame(self.deflate(request), reserved=4) + frame(request))
        found = peer.received()
        self.assertEqual([first for first, _ in found], [0x81, 0x81, 0xC1, 0xC1])
        inflater = zlib.decompressobj(-15)
        for first, payload in found:
            if first == 0xC1:
                self.assertLess(len(payload), 1000)
                payload = inflater.decompress(payload + b"\0\0\xff\xff")
            self.assertEqual(status(json.loads(payload)), 200)

    def test_bomb(self) -> None:
        """A message that inflates beyond the bound closes with 1009, and is inflated up to the bound only."""
        deflater = zlib.compressobj(9, zlib.DEFLATED, -15)
        bomb = b"".join(deflater.compress(b" " * 100_000) for _ in range(640)) + deflater.flush(zlib.Z_SYNC_FLUSH)
        peer = self.compressed()
        tracemalloc.start()
        self.addCleanup(tracemalloc.stop)
        peer.raw(frame(bomb[:-4], reserved=4))
        self.clock.advance(0)
        self.assertLess(tracemalloc.get_traced_memory()[1], 8_000_000)  # of 64
        self.assertEqual(peer.close_code(), 1009)

    def test_rest_of_a_bomb(self) -> None:
        """Of a message that was too long nothing more is inflated; the peer's close frame behind it is seen."""
        peer = self.compressed(message_max=1000)
        message = frame(self.deflate(b" " * 9000) + b"no deflate" * 10_000, reserved=4)
        peer.raw(message[:-90_000])
        self.assertEqual(peer.close_code(), 1009)
        self.patch(peer.protocol._perMessageCompress, "decompress_message_data", None)
        peer.raw(message[-90_000:] + frame(self.deflate(b" " * 9000), reserved=4) + frame(b"\x03\xf1", CLOSE))
        self.clock.pump([0] * 5)
        self.assertTrue(peer.transport.disconnecting)

    def test_end_of_a_broken_one(self) -> None:
        """A message that ends broken on a connection that is closed for something else keeps nobody busy: what follows is dropped."""
        peer = self.compressed()
        broken = frame(b"\x01\x05", reserved=4, fin=False) + frame(b"p" * 126, PING) + frame(b"a", 0)
        peer.raw(broken)
        self.assertEqual(peer.close_code(), 1002)
        peer.raw(frame(b"{}") * 20_000)
        self.clock.pump([0] * 1000)
        self.assertEqual((peer.protocol.data, peer.read), (b"", True))
        peer.raw(frame(b"{}") * 20_000)
        self.clock.pump([0] * 1000)
        self.assertEqual((peer.protocol.data, peer.read), (b"", True))

    def test_drained(self) -> None:
        """What a peer goes on to send then is read no faster than is allowed, and what it asks is not answered."""
        factory = self.factory(message_max=1000, close_timeout_s=60)
        factory.turns = Row(self.clock, drain_rate=1_000_000)
        peer = Peer(factory)
        peer.raw(frame(b"x" * 10_000_000)[:1000])
        self.assertEqual(peer.close_code(), 1009)
        for _ in range(3):
            sent = 0
            while peer.read:
                peer.raw(b"x" * 10_000)
                self.clock.advance(0)
                sent += 10_000
            self.assertEqual(sent, 100_000)
            self.clock.advance(DRAIN_S)
            self.clock.advance(0)
        peer.transport.abortConnection()
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_rest_of_a_long_frame(self) -> None:
        """Of a frame that has not come whole when the gateway closes nothing is run; the peer's close frame behind it is seen."""
        peer = self.peer()
        message = frame(text("queue_create", queue_name="q", metadata={"long": "x" * 200_000}))
        peer.raw(message[:100_000])
        peer.protocol.finish()
        self.assertEqual(peer.close_code(), 1001)
        peer.raw(message[100_000:])
        self.assertTrue(peer.open)
        peer.raw(frame(b"\x03\xe9", CLOSE))
        self.clock.pump([0] * 5)
        self.assertFalse(peer.open)
        other = self.peer()
        other.send(text("queue_list"))
        self.assertEqual(other.replies()[0]["body"]["queues"], [])

    def test_lost_in_a_long_frame(self) -> None:
        """A peer that is lost before its frame has come whole leaves nothing behind."""
        peer = self.peer()
        peer.raw(frame(b"x" * 200_000)[:100_000])
        peer.transport.abortConnection()
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.assertIsNone(peer.protocol._begun)

    def test_fragmented_bomb(self) -> None:
        """The bound holds for all fragments of a message together."""
        bomb = self.deflate(b" " * 9000)
        half = len(bomb) // 2
        for size, wanted in ((8999, 1009), (9000, None)):
            peer = self.compressed(message_max=size)
            peer.raw(frame(bomb[:half], fin=False, reserved=4) + frame(bomb[half:], 0))
            self.assertEqual(peer.close_code(), wanted)

    def test_corrupt(self) -> None:
        """What cannot be inflated closes the connection with 1007."""
        peer = self.compressed()
        peer.raw(frame(b"\xff" * 20, reserved=4))
        self.assertEqual(peer.close_code(), 1007)


class Fragments(ConnectionCase):
    """Messages in pieces."""

    def test_empty_fragments(self) -> None:
        """Any number of empty fragments takes no memory, and the message is whole at its end."""
        peer = Peer(self.factory())
        peer.raw(frame(b"f", fin=False) + frame(b"", 0, fin=False) * 1000)
        self.clock.advance(0)
        self.assertEqual(len(peer.protocol.message_data), 1)
        peer.raw(frame(b"oo", 0))
        self.assertIn(b"Can't decode text (JSON) request", peer.transport.value())


class Unread(Transport):
    """The end of a connection whose peer does not read: what was written never leaves."""

    def loseConnection(self) -> None:
        self.disconnecting = True

    def abortConnection(self) -> None:
        self.aborted = True
        self._gone()


class UnreadClose(ConnectionCase):
    """Peers that do not read what was sent before the end."""

    def test_dropped(self) -> None:
        """Whoever closed, and why: such a connection is dropped when the closing handshake has had its time."""
        for last in (frame(b"\x03\xe8", CLOSE), frame(b"x", 3) * 2):
            transport = Unread()
            peer = Peer(self.factory(close_timeout_s=5), transport=transport)
            peer.raw(last)
            self.assertTrue(transport.disconnecting)
            self.clock.advance(4)
            self.assertFalse(transport.aborted)
            self.clock.advance(1)
            self.assertTrue(transport.aborted)
            self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_refused_handshake(self) -> None:
        """So is one whose handshake was refused."""
        transport = Unread()
        Peer(self.factory(close_timeout_s=5), b"POST / HTTP/1.1\r\n\r\n", transport=transport)
        self.clock.advance(5)
        self.assertTrue(transport.aborted)
        self.assertEqual(self.clock.getDelayedCalls(), [])


class Turns(ConnectionCase):
    """A peer that sends much at once does not keep the others waiting."""

    def test_small_messages(self) -> None:
        """Of many messages in one read some are answered; the rest are, in order, when others had their turn."""
        peer = self.peer()
        peer.send(*(text("queue_get", queue_name=f"q{number}") for number in range(70)))
        self.assertEqual(len(peer.replies()), TURN_MAX)
        self.assertFalse(peer.read)
        self.clock.advance(0)
        self.assertEqual(
            [reply["request"]["body"]["queue_name"] for reply in peer.replies()],
            [f"q{number}" for number in range(TURN_MAX, 70)],
        )
        self.assertTrue(peer.read)

    def test_much_at_once(self) -> None:
        """Of more than 16 KiB in one read nothing is answered before the others had their turn."""
        peer = self.peer()
        peer.send(*(text("queue_get", queue_name=f"q{number}") for number in range(1000)))
        self.assertEqual((peer.replies(), peer.read), ([], False))
        self.clock.advance(0)
        self.assertEqual(len(peer.replies()), 1000)
        self.assertTrue(peer.read)

    def test_pings(self) -> None:
        """So it is with pings, each of which has its pong."""
        peer = self.peer()
        peer.raw(b"".join(frame(b"%d" % number, PING) for number in range(1000)))
        self.assertEqual(len(peer.received()), TURN_MAX)
        self.clock.advance(0)
        self.assertEqual(peer.received(), [(0x80 | PONG, b"%d" % number) for number in range(TURN_MAX, 1000)])

    def test_fragments(self) -> None:
        """So it is with fragments."""
        peer = self.peer()
        peer.raw((frame(b"{", fin=False) + frame(b"", 0, fin=False) * 3 + frame(b"", 0)) * 100)
        self.assertLess(len(peer.replies()), TURN_MAX)
        self.clock.advance(0)
        self.assertGreater(len(peer.replies()), TURN_MAX)

    def test_long_message(self) -> None:
        """So it is after each 16 KiB, or each few pieces, of a message that is not complete."""
        for piece, count in ((b"x" * 20_000, 1), (b"x", 15)):
            peer = self.peer()
            peer.raw(frame(b"x" * 500_000)[:100])
            for _ in range(3):
                sent = 0
                while peer.read:
                    peer.raw(piece)
                    sent += 1
                self.assertIn(sent, (count, count + 1))
                self.clock.advance(0)
            self.assertTrue(peer.read)
            peer.transport.abortConnection()

    def test_messages_in_pieces(self) -> None:
        """Messages that are complete after a few pieces do not wait, however many come one after the other."""
        peer = self.peer()
        message = frame(text("queue_list", marker="x" * 2000))
        for _ in range(100):
            peer.raw(message[:1000])
            peer.raw(message[1000:])
        self.assertEqual(len(peer.replies()), 100)
        self.assertTrue(peer.read)

    def test_empty_end(self) -> None:
        """A last fragment without payload ends its message also where the part of a turn was over before it."""
        factory = self.factory()
        clock = Clock()
        factory.turns = Row(self.clock)
        factory.turns.now = lambda: clock.advance(PART_S) or clock.seconds()  # type: ignore[func-returns-value]
        peer = Peer(factory)
        peer.raw(frame(text("queue_list"), fin=False) + frame(b"", 0))
        self.clock.pump([0] * 5)
        self.assertEqual(len(peer.replies()), 1)

    def test_part_of_a_turn(self) -> None:
        """Messages that take long end a part of a turn before so many are answered; one always is."""
        factory = self.factory()
        clock = Clock()
        factory.turns = Row(self.clock)
        factory.turns.now = lambda: clock.advance(PART_S) or clock.seconds()  # type: ignore[func-returns-value]
        peer = Peer(factory)
        peer.send(*[text("queue_list")] * 3)
        self.assertEqual(len(peer.replies()), 1)
        self.clock.advance(0)
        self.assertEqual(len(peer.replies()), 2)

    def test_lost(self) -> None:
        """A peer that is lost meanwhile leaves nothing behind."""
        peer = self.peer()
        peer.send(*[text("queue_list")] * 1000)
        peer.transport.abortConnection()
        self.assertEqual(self.clock.getDelayedCalls(), [])


class Pings(ConnectionCase):
    """Peers that are gone without a word."""

    def test_answered(self) -> None:
        """A peer that answers pings stays."""
        peer = self.peer(ping_interval_s=30, ping_timeout_s=30)
        for _ in range(5):
            self.clock.advance(30)
            ((first, payload),) = peer.received()
            self.assertEqual(first, 0x80 | PING)
            self.clock.advance(29)
            peer.raw(frame(payload, PONG))
        self.assertTrue(peer.open)

    def test_not_answered(self) -> None:
        """A peer that does not answer is dropped."""
        peer = self.peer(ping_interval_s=30, ping_timeout_s=20)
        self.clock.advance(30)
        self.clock.advance(19.9)
        self.assertTrue(peer.open)
        self.clock.advance(0.1)
        self.assertFalse(peer.open)
        self.assertTrue(peer.transport.aborted)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_traffic(self) -> None:
        """A request shows that the peer is there as well as a pong."""
        for request in (frame(text("queue_list")), frame(b'{"action":', fin=False) + frame(b"1}", 0)):
            peer = self.peer(ping_interval_s=30, ping_timeout_s=20)
            self.clock.advance(30)
            self.clock.advance(10)
            peer.raw(request)
            self.clock.advance(29)
            self.assertTrue(peer.open)
            peer.transport.abortConnection()

    def test_not_read(self) -> None:
        """A peer whose pong we do not read, because its requests take long, is not dropped."""
        queues = self.storage.queues = HeldQueues()
        peer = self.peer(in_flight_max=1, ping_interval_s=30, ping_timeout_s=20)
        peer.send(text("queue_get", queue_name="a"))
        self.assertFalse(peer.read)
        self.clock.advance(30)
        self.clock.advance(50)
        self.assertTrue(peer.open)
        queues.release("a")
        self.assertTrue(peer.read)
        self.clock.advance(20)
        self.assertFalse(peer.open)


class Order(ConnectionCase):
    """Requests of one socket that are under way together."""

    def setUp(self) -> None:
        super().setUp()
        self.queues = HeldQueues()
        self.storage.queues = self.queues

    def get(self, *queues: str) -> tuple[bytes, ...]:
        return tuple(text("queue_get", queue_name=queue) for queue in queues)

    def answered(self, peer: Peer) -> list[str]:
        return [reply["request"]["body"]["queue_name"] for reply in peer.replies()]

    def test_overlap(self) -> None:
        """All start at once and in order; whatever order they end in, the replies have the order of the requests."""
        peer = self.peer()
        peer.send(*self.get(*"abc"))
        self.assertEqual(self.queues.started, [*"abc"])
        self.queues.release("c", "b")
        self.assertEqual(self.answered(peer), [])
        self.queues.release("a")
        self.assertEqual(self.answered(peer), [*"abc"])

    def test_order(self) -> None:
        """The store is told of a socket that has more than one request under way, as long as it has; what others do, or whether one
        fails, does not matter."""
        factory = self.factory()
        peer, other = Peer(factory), Peer(factory)
        several = factory.order.several
        peer.send(*self.get("a"))
        other.send(*self.get("b"))
        self.assertEqual(several, set())
        peer.send(*self.get(*"cd"))
        self.assertEqual(several, {peer.protocol})
        self.queues.release("c")
        self.queues.waiting.pop("d").errback(RuntimeError())
        self.assertEqual(several, set())
        self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), 1)
        peer.send(*self.get("e"))
        self.assertEqual(several, {peer.protocol})
        peer.transport.abortConnection()
        self.assertEqual(several, {peer.protocol})  # what it has asked for goes on
        self.queues.release("a")
        self.assertEqual(several, set())
        self.queues.release("e", "b")

    def test_refusals_wait_too(self) -> None:
        """A reply that is known at once waits for its turn."""
        peer = self.peer()
        peer.send(*self.get("a"), b"foo")
        self.assertEqual(peer.received(), [])
        self.queues.release("a")
        self.assertEqual([status(reply) for reply in peer.replies()], [200, 400])

    def test_bound(self) -> None:
        """At the bound the socket is not read, nor is what was already read of it; below it goes on."""
        peer = self.peer(in_flight_max=2)
        peer.send(*self.get(*"abcde"))
        self.assertEqual(self.queues.started, [*"ab"])
        self.assertFalse(peer.read)
        self.queues.release("b")
        self.assertEqual(self.queues.started, [*"abc"])  # its reply waits, and is no longer under way
        self.queues.release("a")
        self.assertEqual(self.queues.started, [*"abcd"])
        self.assertFalse(peer.read)
        self.queues.release("c", "d")
        self.assertTrue(peer.read)
        self.queues.release("e")
        self.assertEqual(self.answered(peer), [*"abcde"])

    def test_replies_that_wait(self) -> None:
        """Replies behind one that is not there yet are counted as unread, and beyond the bound of a socket nothing more is asked."""
        factory = self.factory(write_buffer_max=1000)
        peer, unread = Peer(factory), factory.unread
        peer.send(*self.get(*"abcdefghij"))
        self.assertEqual(unread.total, 0)
        self.queues.release("b")
        size = unread.total
        self.assertTrue(100 < size < 300, size)
        least = 1000 // size
        for count, queue in enumerate("cdefgh", 2):
            self.queues.release(queue)
            self.assertEqual((unread.total, peer.read), (count * size, count <= least))
        self.assertFalse(peer.read)
        self.queues.release("a")
        self.assertEqual(unread.total, 0)
        self.assertTrue(peer.read)
        self.queues.release(*"ij")
        self.assertEqual(self.answered(peer), [*"abcdefghij"])
        peer.send(*self.get(*"kl"))
        self.queues.release("l")
        self.assertGreater(unread.total, 100)
        peer.transport.abortConnection()
        self.assertEqual(unread.total, 0)
        self.queues.release("k")
        self.assertEqual(unread.total, 0)

    def test_shed(self) -> None:
        """What leaves too much is dropped once, however long that takes."""
        factory = self.factory()
        factory.unread = AllUnread(1000)
        peer = Peer(factory)
        self.patch(peer.transport, "abortConnection", lambda: None)
        peer.send(*self.get(*(f"q{number}" for number in range(20))))
        with capturedLogs() as events:
            self.queues.release(*(f"q{number}" for number in range(1, 20)))
        self.assertEqual(len(events), 1)
        self.assertEqual(factory.unread.total, 0)
        self.queues.release("q0")

    def test_long_row(self) -> None:
        """So many replies may wait for one before them; then nothing more is read."""
        peer = self.peer(write_buffer_max=10**7)
        peer.send(*self.get("first"))
        for number in range(ROW_MAX - 1):
            self.assertTrue(peer.read)
            peer.send(*self.get(f"q{number}"))
            self.queues.release(f"q{number}")
        self.assertFalse(peer.read)
        self.queues.release("first")
        self.assertTrue(peer.read)
        self.assertEqual(len(peer.replies()), ROW_MAX)

    def test_default_bound(self) -> None:
        """Sixty-four requests of a socket run at a time."""
        peer = self.peer()
        peer.send(*self.get(*(f"q{number}" for number in range(70))))
        self.assertEqual(len(self.queues.started), 64)

    def test_bound_inside_frames(self) -> None:
        """Reading stops and goes on between fragments and inside frames as well."""
        peer = self.peer(in_flight_max=1)
        payload = self.get("b")[0]
        data = frame(self.get("a")[0]) + frame(payload[:9], fin=False) + frame(payload[9:], 0) + frame(self.get("c")[0])
        peer.raw(data[:-5])
        for queue in "ab":
            self.assertEqual(self.queues.started[-1], queue)
            self.queues.release(queue)
        peer.raw(data[-5:])
        self.queues.release("c")
        self.assertEqual(self.answered(peer), [*"abc"])

    def test_reply_while_reading_stops(self) -> None:
        """A place that gets free in the moment in which reading stops does not let a frame be read twice."""
        queues = self.queues

        class Releasing(Transport):
            def pauseProducing(self) -> None:
                super().pauseProducing()
                for queue in list(queues.waiting):
                    queues.release(queue)

        peer = Peer(self.factory(in_flight_max=2), transport=Releasing())
        peer.send(*self.get(*"abcdef"))
        self.assertEqual(queues.started, [*"abcdef"])
        self.assertEqual(self.answered(peer), [*"abcdef"])

    def test_alone(self) -> None:
        """A request of several steps begins when all before it have ended, and all after it wait for its end."""
        peer = Peer(self.factory(alone=("queue_purge",)))
        peer.send(*self.get("a", "b"), text("queue_purge", queue_name="p"), *self.get("c"))
        self.assertEqual(self.queues.started, ["a", "b"])
        self.assertFalse(peer.read)
        self.queues.release("b")
        self.assertEqual(self.queues.started, ["a", "b"])
        self.queues.release("a")
        self.assertEqual(self.queues.started, ["a", "b", "p"])
        self.assertFalse(peer.read)
        self.queues.release("p")
        self.assertEqual(self.queues.started, ["a", "b", "p", "c"])
        self.assertTrue(peer.read)
        self.queues.release("c")
        self.assertEqual(self.answered(peer), ["a", "b", "p", "c"])

    def test_alone_at_once(self) -> None:
        """A request of several steps begins at once where nothing else is under way."""
        peer = Peer(self.factory(alone=("queue_purge",)))
        for _ in range(2):
            peer.send(text("queue_purge", queue_name="p"), *self.get("a"))
            self.assertEqual(self.queues.started, ["p"])
            self.queues.release("p", "a")
            self.queues.started.clear()
        self.assertEqual(self.answered(peer), ["p", "a"] * 2)

    def test_sockets_are_apart(self) -> None:
        """What one socket waits for does not hold up another one."""
        factory = self.factory(in_flight_max=1)
        first, second = Peer(factory), Peer(factory)
        first.send(*self.get("a"))
        second.send(*self.get("b"))
        self.queues.release("b")
        self.assertEqual(self.answered(second), ["b"])
        self.assertEqual(first.received(), [])

    def test_connection_lost(self) -> None:
        """Requests of a connection that is gone take effect; their replies go nowhere."""
        peer = self.peer()
        peer.send(*self.get("a", "b"))
        peer.transport.abortConnection()
        self.queues.release("b", "a")
        self.assertEqual(peer.received(), [])

    def test_asked_before_close(self) -> None:
        """What was asked before a close frame of the client is answered before it; what comes after it is not looked at."""
        peer = self.peer()
        peer.send(*self.get("a", "b"))
        peer.raw(frame((1000).to_bytes(2, "big") + b"done", CLOSE))
        peer.send(*self.get("c"))
        self.assertEqual(peer.received(), [])
        self.queues.release("b")
        self.assertEqual(peer.received(), [])
        self.queues.release("a")
        self.assertEqual([first for first, _ in peer.received()], [0x80 | TEXT, 0x80 | TEXT, 0x80 | CLOSE])
        self.assertEqual(self.queues.started, ["a", "b"])
        self.assertFalse(peer.open)

    def test_read_behind_close(self) -> None:
        """Then the peer is read again, since over TLS its end is something to read."""
        transport = HalfCloseable()
        ends: list[str] = []
        transport.loseConnection = lambda: ends.append(transport.producerState)  # type: ignore[method-assign]
        peer = Peer(self.factory(), transport=transport)
        peer.send(*self.get("a"))
        peer.raw(frame(b"", CLOSE))
        self.assertFalse(peer.read)
        self.queues.release("a")
        self.assertEqual(ends, ["producing"])

    def test_closed_behind_close(self) -> None:
        """Where the gateway closes for a reason of its own by then, the peer's close frame is not waited for: it has come."""
        peer = self.peer()
        peer.send(*self.get("a"))
        peer.raw(frame(b"", CLOSE))
        peer.protocol.end(4003, "over")
        self.assertEqual(peer.received(), [(0x80 | CLOSE, (4003).to_bytes(2, "big") + b"over")])
        self.assertFalse(peer.open)
        self.queues.release("a")
        self.assertEqual(peer.received(), [])

    def test_asked_alone_before_close(self) -> None:
        """So is what waited for others to end, and what is not in the row."""
        peer = Peer(self.factory(alone=("queue_purge",)))
        peer.send(*self.get("a"), text("queue_purge", queue_name="p"))
        peer.raw(frame(b"", CLOSE))
        self.queues.release("a")
        self.assertEqual(self.queues.started, ["a", "p"])
        self.queues.release("p")
        self.assertEqual([first for first, _ in peer.received()], [0x80 | TEXT, 0x80 | TEXT, 0x80 | CLOSE])

    def test_close_with_bad_code(self) -> None:
        """A close frame whose code may not be sent is told so behind the answers."""
        peer = self.peer()
        peer.send(*self.get("a"))
        peer.raw(frame((1005).to_bytes(2, "big"), CLOSE))
        self.queues.release("a")
        (first, _), (last, reason) = peer.received()
        self.assertEqual((first, last, reason[:2]), (0x80 | TEXT, 0x80 | CLOSE, (1002).to_bytes(2, "big")))

    def test_crash(self) -> None:
        """A reply that cannot be made closes the connection with 1011, so that no later one is taken for it."""

        class Crashing:
            alone = reads = False
            aside = False

            async def reply(self) -> bytes:
                raise ZeroDivisionError

        class Broken:
            def receive(self, payload: bytes, is_binary: bool) -> Crashing:
                return Crashing()

            def end(self) -> None:
                """The connection is gone."""

        peer = self.peer()
        peer.protocol._session = Broken()  # type: ignore[assignment]
        peer.send(b"{}")
        self.assertEqual(peer.close_code(), 1011)
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)


class SlowReaders(ConnectionCase):
    """Peers that do not read what they asked for."""

    def congested(self) -> Peer:
        """A peer that left 4000 bytes unread."""
        peer = self.peer(write_buffer_max=4000, drain_timeout_s=30, ping_interval_s=0)
        peer.protocol.pauseProducing()
        peer.send(text("queue_get", queue_name="q" * 3000))
        self.assertTrue(peer.read)
        peer.protocol.pauseProducing()  # the transport says so at each write
        peer.send(text("queue_get", queue_name="q" * 3000), text("queue_get", queue_name="later"))
        return peer

    def test_not_read(self) -> None:
        """Beyond the bound a peer is read no more; when it has read everything, it is again."""
        peer = self.congested()
        self.assertFalse(peer.read)
        self.assertEqual(len(peer.received()), 2)
        self.clock.advance(29)
        peer.protocol.resumeProducing()
        self.assertTrue(peer.read)
        self.assertEqual(len(peer.received()), 1)
        self.clock.advance(30)
        self.assertTrue(peer.open)

    def test_closed(self) -> None:
        """A peer that does not read in time is closed with a reason, then dropped."""
        peer = self.congested()
        self.clock.advance(30)
        kind, payload = peer.received()[-1]
        self.assertEqual(kind, 0x80 | CLOSE)
        self.assertEqual(payload, (1008).to_bytes(2, "big") + b"replies were not read for 30 seconds")
        self.assertTrue(peer.read)  # for its close frame
        self.clock.advance(5)
        self.assertTrue(peer.transport.aborted)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_gone(self) -> None:
        """A peer that goes away meanwhile, or instead of answering our close frame, leaves no timer behind."""
        for waited_s in (29, 31):
            peer = self.congested()
            self.clock.advance(waited_s)
            self.assertTrue(peer.open)
            peer.transport.abortConnection()
            self.assertEqual(self.clock.getDelayedCalls(), [])


class Ending(ConnectionCase):
    """The end of the gateway."""

    def setUp(self) -> None:
        super().setUp()
        self.queues = HeldQueues()
        self.storage.queues = self.queues

    def test_nobody(self) -> None:
        """Without connections it is over at once."""
        self.successResultOf(self.factory().close_all())

    def test_idle(self) -> None:
        """Idle connections are closed with 1001; it is over when the last one is gone."""
        factory = self.factory()
        peers = [Peer(factory), Peer(factory)]
        over = factory.close_all()
        for peer in peers:
            self.assertNoResult(over)
            self.assertEqual(peer.received(), [(0x80 | CLOSE, (1001).to_bytes(2, "big") + b"the gateway is stopping")])
            peer.raw(frame((1001).to_bytes(2, "big"), CLOSE))
            self.assertFalse(peer.open)
        self.successResultOf(over)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_in_flight(self) -> None:
        """Requests in flight are answered first; further ones are not run."""
        factory = self.factory()
        peer = Peer(factory)
        peer.send(text("queue_get", queue_name="a"), text("queue_get", queue_name="b"))
        over = factory.close_all()
        self.assertFalse(peer.read)
        peer.send(text("queue_get", queue_name="c"))
        self.queues.release("a", "b")
        self.assertEqual([first for first, _ in peer.received()], [0x81, 0x81, 0x80 | CLOSE])
        self.assertEqual(self.queues.started, ["a", "b"])
        self.assertTrue(peer.read)
        self.assertNoResult(over)
        peer.raw(frame((1001).to_bytes(2, "big"), CLOSE))
        self.successResultOf(over)

    def test_silent(self) -> None:
        """A peer that does not answer the close frame is dropped after the time for that."""
        factory = self.factory(close_timeout_s=5)
        peer = Peer(factory)
        over = factory.close_all(10)
        self.clock.advance(5)
        self.assertTrue(peer.transport.aborted)
        self.successResultOf(over)

    def test_unread(self) -> None:
        """Peers that have not read more than they may leave unread get one close frame each, as all others do."""
        factory = self.factory(write_buffer_max=500)
        peers = [Peer(factory) for _ in range(3)]
        for peer in peers[:2]:
            peer.protocol.pauseProducing()
            peer.send(*(text("queue_get", queue_name=name) for name in "abcdefgh"))
            self.queues.release(*"abcdefgh")
        over = factory.close_all(10)
        for peer in peers:
            closing = [payload for first, payload in peer.received() if first == 0x80 | CLOSE]
            self.assertEqual(closing, [(1001).to_bytes(2, "big") + b"the gateway is stopping"])
        self.clock.advance(10)
        self.successResultOf(over)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_bound(self) -> None:
        """What takes longer than the bound is dropped."""
        factory = self.factory()
        peer = Peer(factory)
        peer.send(text("queue_get", queue_name="a"))
        over = factory.close_all(10)
        self.clock.advance(9.9)
        self.assertTrue(peer.open)
        self.clock.advance(0.1)
        self.assertTrue(peer.transport.aborted)
        self.successResultOf(over)

    def test_handshakes(self) -> None:
        """A handshake under way is dropped, a new one is refused with 503."""
        factory = self.factory()
        peer = Peer(factory, b"GET ")
        over = factory.close_all()
        self.assertFalse(peer.open)
        self.successResultOf(over)
        self.assertTrue(Peer(factory).head.startswith(b"HTTP/1.1 503 "))


class Client(WebSocketClientProtocol):
    """Autobahn's client, whose messages come in a queue."""

    def __init__(self) -> None:
        super().__init__()
        self.messages: DeferredQueue[tuple[bytes, bool]] = DeferredQueue()
        self.closed: Deferred[tuple[bool, int | None]] = Deferred()

    def onMessage(self, payload: bytes, isBinary: bool) -> None:
        self.messages.put((payload, isBinary))

    def onClose(self, wasClean: bool, code: int | None, reason: str | None) -> None:
        self.closed.callback((wasClean, code))


class Greedy(Protocol):
    """Asks, and does not read."""

    def connectionMade(self) -> None:
        self.lost: Deferred[None] = Deferred()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.lost.callback(None)


class Sockets(TestCase):
    """Over loopback connections and the real reactor."""

    async def listen(self, **bounds: Any) -> GatewayFactory:
        """A listening gateway."""
        storage = MemoryStorage(reactor)
        factory = make_factory(storage, reactor, WebSocketBounds(close_timeout_s=1, **bounds))
        self.port = await TCP4ServerEndpoint(reactor, 0, interface="127.0.0.1").listen(factory)
        self.addCleanup(self.port.stopListening)
        self.addCleanup(factory.close_all, 5)
        return factory

    async def connect(self, deflate: bool = False) -> Client:
        """A client whose handshake is done."""
        port = self.port.getHost().port
        factory = WebSocketClientFactory(f"ws://127.0.0.1:{port}", reactor=reactor)
        factory.protocol = Client
        if deflate:
            factory.setProtocolOptions(
                perMessageCompressionOffers=[PerMessageDeflateOffer()],
                perMessageCompressionAccept=lambda response: (
                    PerMessageDeflateResponseAccept(response)
                    if isinstance(response, PerMessageDeflateResponse)
                    else None
                ),
            )
        factory._batched_timer = self.timers  # Autobahn's own would be left running
        client = await TCP4ClientEndpoint(reactor, "127.0.0.1", port).connect(factory)
        assert isinstance(client, Client)
        await client.is_open
        return client

    def setUp(self) -> None:
        self.timers = make_factory(MemoryStorage(Clock()), Clock())._batched_timer

    async def test_thirty_posts(self) -> None:
        """Thirty posts in flight take effect in their order."""
        await self.listen()
        client = await self.connect()
        for number in range(30):
            client.sendMessage(text("message_post", queue_name="q", messages=[{"body": number}]))
        client.sendMessage(text("message_list", queue_name="q", echo=True, limit=20))
        ids = []
        for number in range(30):
            reply = json.loads((await client.messages.get())[0])
            self.assertEqual(status(reply), 201)
            self.assertEqual(reply["request"]["body"]["messages"], [{"body": number}])
            ids += reply["body"]["message_ids"]
        self.assertEqual(ids, sorted(ids))
        listed = json.loads((await client.messages.get())[0])["body"]["messages"]
        self.assertEqual([message["body"] for message in listed], list(range(20)))

    async def test_mixed_and_compressed(self) -> None:
        """A client with compression gets each reply in the encoding of its request, large and small."""
        await self.listen()
        client = await self.connect(deflate=True)
        self.assertEqual(len(client.websocket_extensions_in_use), 1)
        for is_binary in (False, True, False):
            for size in (1, 200_000):
                make = packed if is_binary else text
                client.sendMessage(make("queue_get", queue_name="q" * size), is_binary)
                payload, came_binary = await client.messages.get()
                self.assertEqual(came_binary, is_binary)
                self.assertGreater(len(payload), size)

    async def test_too_big(self) -> None:
        """A client that sends too much learns so by the close code."""
        await self.listen()
        client = await self.connect()
        client.sendMessage(b"x" * (1024 * 1024 + 1))
        self.assertEqual(await client.closed, (True, 1009))

    async def test_close_all(self) -> None:
        """Clients see 1001 when the gateway stops."""
        factory = await self.listen()
        clients = [await self.connect() for _ in range(3)]
        await factory.close_all(5)
        for client in clients:
            self.assertEqual(await client.closed, (True, 1001))
        self.assertEqual(factory.connections, set())

    async def test_slow_reader(self) -> None:
        """A client that asks for much and reads nothing is dropped, and what waits for it stays bounded."""
        factory = await self.listen(write_buffer_max=500_000, drain_timeout_s=0.2)
        greedy = await TCP4ClientEndpoint(reactor, "127.0.0.1", self.port.getHost().port).connect(
            Factory.forProtocol(Greedy)
        )
        assert isinstance(greedy, Greedy) and greedy.transport is not None
        greedy.transport.pauseProducing()  # type: ignore[attr-defined]
        greedy.transport.write(handshake())
        request = frame(text("queue_get", queue_name="q" * 60_000))
        for _ in range(400):  # 24 MB
            greedy.transport.write(request)
        while not factory.connections:
            await _turn()
        (connection,) = factory.connections
        most = 0
        while factory.connections:
            most = max(most, connection._unsent)
            await _turn()
        self.assertGreater(most, 500_000)
        self.assertLess(most, 700_000)
        greedy.transport.abortConnection()  # type: ignore[attr-defined]
        await greedy.lost


def _turn() -> Deferred[None]:
    """A turn of the reactor."""
    turned: Deferred[None] = Deferred()
    reactor.callLater(0.001, turned.callback, None)
    return turned
