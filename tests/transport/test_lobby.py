"""Connections that have yet to show how they ask."""

from __future__ import annotations

import socket
from typing import Any, cast

from twisted.internet import reactor
from twisted.internet.address import IPv4Address
from twisted.internet.interfaces import IHalfCloseableProtocol, IProtocol
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.internet.task import Clock
from twisted.protocols.policies import ProtocolWrapper, WrappingFactory
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

from tests.loopback import arrived
from tests.transport.http.test_channel import Application
from tests.transport.websocket.client import frame, handshake, make_factory, text
from zaqar_gateway.storage.memory import MemoryStorage
from zaqar_gateway.transport.http.bounds import HttpBounds
from zaqar_gateway.transport.http.factory import HttpFactory
from zaqar_gateway.transport.lobby import FEW, lobbies_of
from zaqar_gateway.transport.ports import behaves, share
from zaqar_gateway.transport.turns import READS_MAX, Manner, Turns

looking: Any = reactor

MANY = READS_MAX + 1
GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"


@implementer(IHalfCloseableProtocol)
class Keeping(Protocol):
    """Keeps what it gets."""

    def __init__(self) -> None:
        self.got: list[bytes] = []

    def dataReceived(self, data: bytes) -> None:
        self.got.append(data)

    def readConnectionLost(self) -> None:
        self.got.append(b"no more")

    def writeConnectionLost(self) -> None:
        """Part of the interface."""

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.got.append(b"lost")


class LobbyCase(SynchronousTestCase):
    """A port with a lobby, and clients of it."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.turns = Turns(self.clock)
        self.lobbies = lobbies_of(looking, self.turns)
        self.lobby, self.greedy = self.lobbies[Manner.NEW], self.lobbies[Manner.GREEDY]
        for lobby in self.lobbies.values():
            self.addCleanup(lobby._poller.close)
            self.addCleanup(looking.removeReader, lobby)
        self.made: list[Any] = []

    def connect(self, factory: Any, count: int = 1) -> list[tuple[socket.socket, Any]]:
        """Clients, and the transports of their connections."""
        build = factory.buildProtocol

        def built(addr: IPv4Address) -> IProtocol:
            self.made.append(build(addr))
            return cast(IProtocol, self.made[-1])

        factory.buildProtocol = built
        factory.protocol = getattr(factory, "protocol", None) or Keeping
        port = looking.listenTCP(0, factory, interface="127.0.0.1")
        share(port, self.turns, self.lobbies, 65536)
        self.addCleanup(port.stopListening)
        clients = []
        for _ in range(count):
            clients.append(socket.create_connection(("127.0.0.1", port.getHost().port), 90))
            arrived(port)
            port.doRead()
        transports = [protocol.transport for protocol in self.made]
        for client, transport in zip(clients, transports, strict=True):
            self.addCleanup(self.drop, transport)
            self.addCleanup(client.close)
        return list(zip(clients, transports, strict=True))

    def drop(self, transport: Any) -> None:
        """End a connection now."""
        while not hasattr(transport, "socket"):
            if getattr(transport, "transport", None) is None:
                return
            transport = transport.transport
        if transport.connected:
            transport.connectionLost(Failure(ConnectionResetError()))

    def where(self, transport: Any) -> str:
        """Where a connection is read."""
        places: list[tuple[str, Any]] = [("new", self.lobby._inside.values()), ("greedy", self.greedy._inside.values())]
        places.append(("reactor", looking.getReaders()))
        return " and ".join(name for name, inside in places if transport in inside) or "nowhere"


class LobbyTests(LobbyCase):
    """The lobby itself."""

    def test_new(self) -> None:
        """A new connection is read by the lobby, and the reactor looks at that."""
        ((client, transport),) = self.connect(Factory())
        self.assertEqual(self.where(transport), "new")
        client.send(b"x")
        arrived(transport)
        self.lobby.doRead()
        self.assertEqual(self.made[0].got, [b"x"])
        self.assertIn(self.lobby, looking.getReaders())
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_many(self) -> None:
        """Where several are ready one is read at once, and the others one in each turn; then the reactor looks again."""
        busy = True
        self.turns._others_wait = lambda: busy
        clients = self.connect(Factory(), FEW + 2)
        for client, transport in clients:
            client.send(b"x")
            arrived(transport)
        self.lobby.doRead()
        for read in range(1, FEW + 3):
            self.assertEqual(sum(bool(protocol.got) for protocol in self.made), read)
            self.assertNotIn(self.lobby, looking.getReaders())
            self.turn()
        self.assertIn(self.lobby, looking.getReaders())
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def turn(self) -> None:
        """One turn of the reactor: a clock would run those that follow from it, too."""
        calls: list[Any] = self.clock.calls
        call = calls.pop()
        call.called = 1
        call.func(*call.args, **call.kw)

    def test_moves(self) -> None:
        """Who is calm is read by the reactor, who is not by the lobby of its manner, as long as it is read at all."""
        ((client, transport),) = self.connect(Factory())
        places = {Manner.CALM: "reactor", Manner.GREEDY: "greedy", Manner.NEW: "new"}
        for manner in (Manner.CALM, Manner.GREEDY, Manner.CALM, Manner.GREEDY, Manner.GREEDY):
            behaves(transport, manner)
            self.assertEqual(self.where(transport), places[manner])
            transport.pauseProducing()
            for other in Manner:
                behaves(transport, other)
                self.assertEqual(self.where(transport), "nowhere")
            behaves(transport, manner)
            transport.resumeProducing()
            self.assertEqual(self.where(transport), places[manner])
        client.send(b"x")
        arrived(transport)
        self.greedy.doRead()
        self.assertEqual(self.made[0].got, [b"x"])

    def test_wrapped(self) -> None:
        """A connection within another, as one of TLS is, moves with that; what is none of ours stays as it is."""
        factory: WrappingFactory[ProtocolWrapper] = WrappingFactory(Factory.forProtocol(Keeping))
        self.connect(factory)
        wrapper = self.made[0]
        behaves(wrapper.wrappedProtocol.transport, Manner.CALM)
        self.assertEqual(self.where(wrapper.transport), "reactor")
        behaves(object(), Manner.CALM)
        behaves(None, Manner.CALM)

    def test_half_closed(self) -> None:
        """Who sends no more is read no more."""
        ((client, transport),) = self.connect(Factory())
        client.shutdown(socket.SHUT_WR)
        arrived(transport)
        self.lobby.doRead()
        self.lobby.doRead()
        self.assertEqual(self.made[0].got, [b"no more"])
        self.assertEqual(self.where(transport), "nowhere")

    def test_lost(self) -> None:
        """A connection that is lost leaves nothing behind."""
        ((client, transport),) = self.connect(Factory())
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\0\0\0\0\0\0\0")  # a reset
        client.close()
        arrived(transport)
        self.lobby.doRead()
        self.assertEqual(self.made[0].got, [b"lost"])
        self.assertEqual(self.lobby._inside, {})

    def test_other_reactors(self) -> None:
        """Where the reactor is none of epoll there is no lobby, and it reads all itself."""
        self.assertEqual(lobbies_of(self.clock, self.turns), {})
        port = looking.listenTCP(0, Factory.forProtocol(Keeping), interface="127.0.0.1")
        self.addCleanup(port.stopListening)
        share(port, self.turns, {}, 65536)
        client = socket.create_connection(("127.0.0.1", port.getHost().port), 90)
        self.addCleanup(client.close)
        arrived(port)
        before = set(looking.getReaders())
        port.doRead()
        (transport,) = set(looking.getReaders()) - before
        behaves(transport, Manner.CALM)
        self.assertEqual(self.where(transport), "reactor")
        transport.connectionLost(Failure(ConnectionResetError()))
        self.assertNotIn(transport, looking.getReaders())


class ChannelTests(LobbyCase):
    """How connections behave."""

    def test_http(self) -> None:
        """Who has had its first answer is calm; who sends much is greedy, until it has asked for one short thing again."""
        application = Application()
        ((client, transport),) = self.connect(HttpFactory(application, HttpBounds(), self.clock, turns=self.turns))
        client.send(GET[:10])
        arrived(transport, 10)
        self.lobby.doRead()
        self.assertEqual(self.where(transport), "new")
        application.do = application.later
        client.send(GET[10:])
        arrived(transport, len(GET) - 10)
        self.lobby.doRead()
        self.assertEqual(self.where(transport), "new")
        application.echo(application.seen[0])
        self.assertEqual(self.where(transport), "reactor")
        application.do = application.echo
        application.limit = 3 * MANY
        client.sendall(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % (2 * MANY) + b"x" * MANY)
        arrived(transport, MANY)
        transport.doRead()
        self.assertEqual(self.where(transport), "nowhere")
        self.clock.advance(0)
        self.assertEqual(self.where(transport), "greedy")
        client.sendall(b"x" * MANY)
        arrived(transport, MANY)
        self.greedy.doRead()
        self.assertEqual(client.recv(200).count(b"HTTP/1.1 200"), 1)
        self.assertEqual(self.where(transport), "greedy")
        client.sendall(b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n" % MANY + b"x" * MANY)
        arrived(transport, MANY)
        self.greedy.doRead()  # it was read in its turn, and does not wait for another
        self.assertEqual(client.recv(200).count(b"HTTP/1.1 200"), 1)
        self.assertEqual(self.where(transport), "greedy")
        client.send(GET)
        arrived(transport, len(GET))
        self.greedy.doRead()
        self.assertEqual(self.where(transport), "reactor")

    def test_websocket(self) -> None:
        """So it is on a WebSocket, with its first request."""
        factory = make_factory(MemoryStorage(self.clock), self.clock)
        factory.turns = self.turns
        ((client, transport),) = self.connect(factory)
        client.send(handshake())
        arrived(transport, len(handshake()))
        self.lobby.doRead()
        self.assertTrue(client.recv(2000).startswith(b"HTTP/1.1 101"))
        self.assertEqual(self.where(transport), "new")
        client.send(frame(text("queue_list")))
        arrived(transport, len(text("queue_list")))
        self.lobby.doRead()
        self.assertEqual(self.where(transport), "reactor")
        message = frame(text("queue_list", marker="x" * 3 * MANY))
        client.sendall(message[:MANY])
        arrived(transport, MANY)
        transport.doRead()
        self.assertEqual(self.where(transport), "nowhere")
        self.clock.advance(0)
        self.assertEqual(self.where(transport), "greedy")
        client.sendall(message[MANY:])
        arrived(transport, len(message) - MANY)
        for _ in range(10):
            self.greedy.doRead()
            self.clock.advance(0)
        client.send(frame(text("queue_list")))
        arrived(transport, len(text("queue_list")))
        self.greedy.doRead()
        self.assertEqual(self.where(transport), "reactor")
