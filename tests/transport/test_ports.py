"""Connections that all come at once, and such as read slowly."""

from __future__ import annotations

import contextlib
import socket
import subprocess
import sys
from typing import Any, cast

from twisted.internet import reactor
from twisted.internet.error import ConnectionDone
from twisted.internet.protocol import Factory, Protocol, connectionDone
from twisted.internet.task import Clock
from twisted.internet.tcp import Server
from twisted.internet.unix import Server as UnixServer
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from tests.loopback import arrived
from zaqar_gateway.transport.ports import ACCEPTED_IN_ONE_TURN, READ_MAX, READ_OF_GREEDY_MAX, Conduct, share
from zaqar_gateway.transport.turns import Manner, Turns

listening: Any = reactor

SIZE = 8_000_000
BUFFER = 65536

READING = f"""
import os, resource
from zaqar_gateway.transport.ports import keep_memory
keep_memory()
file = os.memfd_create("body")
os.write(file, bytes(262144))
def read(times):
    for _ in range(times):
        os.pread(file, {READ_OF_GREEDY_MAX}, 0)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt
print(-read(100) + read(100))
"""
"""How often the process had pages from the system, for a hundred long reads."""


class Ending(Protocol):
    """A protocol that notes how its connection ended."""

    def __init__(self) -> None:
        self.ended: list[object] = []
        self.got = b""

    def dataReceived(self, data: bytes) -> None:
        self.got += data

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.ended.append(reason.type)


class PortTests(SynchronousTestCase):
    """What many connections together take of a turn of the reactor."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.made: list[Any] = []
        factory = Factory()
        factory.buildProtocol = self.build  # type: ignore[method-assign]
        self.port = listening.listenTCP(0, factory, interface="127.0.0.1")
        self.addCleanup(self.port.stopListening)
        self.others = False
        self.turns = Turns(self.clock, lambda: self.others)
        share(self.port, self.turns, {}, BUFFER)

    def build(self, addr: object) -> Protocol:
        """Keep what is made."""
        self.made.append(Ending())
        return cast(Protocol, self.made[-1])

    def connect(self) -> socket.socket:
        """A client whose connection is in the queue of the system."""
        client = socket.create_connection(("127.0.0.1", self.port.getHost().port), 90)
        self.addCleanup(client.close)
        return client

    def accepted(self) -> Any:
        """The transport of a client that was taken on."""
        arrived(self.port)
        self.port.doRead()
        transport = self.made[-1].transport
        self.addCleanup(transport.abortConnection)
        return transport

    def test_few(self) -> None:
        """A few connections are taken on each time; the rest waits, also more than a hundred of them."""
        for _ in range(200):
            self.connect()
        for turn in range(1, 101):
            self.accepted()
            self.assertEqual(len(self.made), ACCEPTED_IN_ONE_TURN * turn)
        for protocol in self.made:
            protocol.transport.abortConnection()

    def full(self) -> tuple[socket.socket, Any]:
        """A client, and the transport of its connection, which has more to write than it took at first."""
        client, transport = self.connect(), self.accepted()
        transport.write(b"x" * SIZE)
        transport.doWrite()
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.assertIn(transport, listening.getWriters())
        return client, transport

    def test_slow_reader(self) -> None:
        """What a peer does not take at once is written when it is its turn, and all of it comes."""
        client, transport = self.full()
        got = waits = 0
        while got < SIZE:
            if transport in listening.getWriters():
                transport.doWrite()
                waits += bool(self.clock.getDelayedCalls())
                self.assertNotIn(transport, listening.getWriters())
            self.clock.advance(0)
            got += len(client.recv(1_000_000))
        self.assertGreater(waits, 1)
        self.assertNotIn(transport, listening.getWriters())
        transport.write(b"y")
        transport.doWrite()
        self.assertEqual((self.clock.getDelayedCalls(), client.recv(10)), ([], b"y"))  # it has shown that it reads

    def test_lost(self) -> None:
        """A connection that is lost while it waits is left alone."""
        _, transport = self.full()
        transport.doWrite()
        self.assertEqual(len(self.clock.getDelayedCalls()), 1)
        transport.connectionLost(Failure(ConnectionDone()))
        self.clock.advance(0)
        self.assertNotIn(transport, listening.getWriters())

    def test_closed_by_us(self) -> None:
        """A connection that ends when all is written ends so, in its turn."""
        client, transport = self.full()
        transport.loseConnection()
        got = 0
        while not self.made[-1].ended:
            got += len(client.recv(1_000_000))
            transport.doWrite()
            self.clock.advance(0)
        self.assertEqual(self.made[-1].ended, [ConnectionDone])
        while rest := len(client.recv(1_000_000)):
            got += rest
        self.assertEqual(got, SIZE)

    def test_aborted(self) -> None:
        """One that is aborted while it waits writes nothing more."""
        client, transport = self.full()
        transport.doWrite()
        self.assertEqual(len(self.clock.getDelayedCalls()), 1)
        left = len(transport.dataBuffer) - transport.offset
        while len(client.recv(1_000_000)) == 1_000_000:
            pass
        transport.abortConnection()
        self.clock.advance(0)
        self.assertEqual(len(transport.dataBuffer) - transport.offset, left)
        self.assertNotIn(transport, listening.getWriters())

    def test_many(self) -> None:
        """Of many connections that read slowly one is written to in each turn, where others can go on."""
        self.others = True
        all_of_them = [self.full() for _ in range(4)]
        for client, transport in all_of_them:
            client.recv(1_000_000)
            transport.doWrite()
        before = [transport.offset for _, transport in all_of_them]
        self.clock.calls.pop().func()
        after = [transport.offset for _, transport in all_of_them]
        written = sum(one != other for one, other in zip(before, after, strict=True))
        self.assertEqual(written, 1)

    def wait_to_read(self) -> tuple[socket.socket, Any]:
        """A client, and the transport of its connection, which reads on in its turn; the client has sent something."""
        client, transport = self.connect(), self.accepted()
        transport.pauseProducing()
        client.send(b"x")
        arrived(transport)
        self.turns.wait(transport.resumeProducing)
        self.turns.wait(lambda: self.assertNotIn(transport, listening.getReaders()))
        return client, transport

    def test_reads_on_in_its_turn(self) -> None:
        """Who goes on in the row is read there, once; then it is like any other."""
        _, transport = self.wait_to_read()
        self.clock.advance(0)
        self.assertEqual(self.made[-1].got, b"x")
        self.assertIn(transport, listening.getReaders())

    def test_reads_on_outside(self) -> None:
        """Who goes on otherwise, or for the first time in the row, is read when it can be."""
        for go_on in (lambda call: call(), lambda call: self.turns.wait(call, Manner.NEW)):
            client, transport = self.connect(), self.accepted()
            transport.pauseProducing()
            client.send(b"x")
            arrived(transport)
            go_on(transport.resumeProducing)
            self.clock.advance(0)
            self.assertEqual(self.made[-1].got, b"")
            self.assertIn(transport, listening.getReaders())

    def test_has_enough(self) -> None:
        """Who has enough of what it is brought, or had before, is read no more."""
        for stop in (True, False):
            _, transport = self.wait_to_read()
            if stop:
                self.turns.wait(transport.pauseProducing)
            else:
                self.made[-1].dataReceived = lambda data, transport=transport: transport.pauseProducing()
            self.clock.advance(0)
            self.assertEqual(self.made[-1].got, b"")
            self.assertNotIn(transport, listening.getReaders())

    def test_lost_when_read(self) -> None:
        """What hangs up, or is lost, while it waits to be read is so."""
        client, _ = self.wait_to_read()
        self.clock.advance(0)
        client.close()
        transport = self.made[-1].transport
        arrived(transport)
        transport.pauseProducing()
        self.turns.wait(transport.resumeProducing)
        self.clock.advance(0)
        self.assertEqual(self.made[-1].ended, [ConnectionDone])
        _, transport = self.wait_to_read()
        transport.connectionLost(Failure(ConnectionDone()))
        self.clock.advance(0)
        self.assertEqual((self.made[-1].got, self.made[-1].ended), (b"", [ConnectionDone]))
        self.assertNotIn(transport, listening.getReaders())

    def test_reads_long(self) -> None:
        """Much is read at once of who sends much, of long requests; not of who just sends much, or has asked for little since."""
        share(self.port, self.turns, {}, 1_000_000)
        client, transport = self.connect(), self.accepted()
        client.setblocking(False)
        conduct = Conduct()

        def read() -> int:
            self.made[-1].got = b""
            with contextlib.suppress(BlockingIOError):
                client.send(bytes(SIZE))
            arrived(transport, READ_MAX + 1)
            transport.doRead()
            return len(self.made[-1].got)

        self.assertEqual(read(), READ_MAX)
        conduct.rest(transport, self.turns, True, lambda: None)
        self.assertEqual(read(), READ_MAX)
        conduct.sends_long(transport)
        self.assertGreater(read(), READ_MAX)
        conduct.is_calm(transport)
        self.assertEqual(read(), READ_MAX)
        conduct.rest(transport, self.turns, True, lambda: None)
        self.assertEqual(read(), READ_MAX)

    def test_buffers(self) -> None:
        """The system keeps little of a connection, in each direction."""
        self.connect()
        kept = self.accepted().socket
        for option in (socket.SO_RCVBUF, socket.SO_SNDBUF):
            self.assertLessEqual(kept.getsockopt(socket.SOL_SOCKET, option), 2 * BUFFER)  # Linux says twice what it was told

    def test_kinds(self) -> None:
        """Connections of TCP and of Unix sockets wait, each as the kind that it is."""
        path = self.mktemp()
        unix = listening.listenUNIX(path, Factory())
        self.addCleanup(unix.stopListening)
        share(unix, self.turns, {}, BUFFER)
        for port, kind in ((self.port, Server), (unix, UnixServer)):
            self.assertTrue(issubclass(port.transport, kind) and port.transport is not kind)
        self.assertFalse(issubclass(self.port.transport, UnixServer))

    def test_other_ports(self) -> None:
        """A port that is none of Twisted's own is left as it is."""
        share(object(), self.turns, {}, BUFFER)


class MemoryTests(SynchronousTestCase):
    """What long reads leave free."""

    def test_kept(self) -> None:
        """It is used again, and the system is not asked for pages."""
        done = subprocess.run([sys.executable, "-c", READING], capture_output=True, check=True)
        self.assertLess(int(done.stdout), 100)
