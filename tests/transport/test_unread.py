"""What clients leave unread, all of them together."""

from __future__ import annotations

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from tests.transport.http.test_channel import GET, Wired
from tests.transport.websocket.client import Peer, Transport, make_factory, text
from zaqar_gateway.storage.memory import MemoryStorage
from zaqar_gateway.transport.unread import Unread
from zaqar_gateway.transport.websocket.factory import GatewayFactory


class _Reader:
    """Keeps whether it is dropped."""

    dropped = False

    def shed(self) -> None:
        """See :class:`zaqar_gateway.transport.unread.Reader`."""
        self.dropped = True


class UnreadTests(SynchronousTestCase):
    """The count."""

    def test_who_leaves_most(self) -> None:
        """Beyond the bound those go that leave most, and no more of them than has to be."""
        unread, readers = Unread(100), [_Reader() for _ in range(4)]
        for reader, size in zip(readers, (10, 60, 20, 10), strict=True):
            unread.note(reader, size)
        self.assertEqual((unread.total, [one.dropped for one in readers]), (100, [False] * 4))
        unread.note(readers[0], 11)
        self.assertEqual([one.dropped for one in readers], [False, True, False, False])
        self.assertEqual(unread.total, 41)

    def test_dropped_once(self) -> None:
        """Who is dropped counts no more, whatever it leaves until it is gone, and others are not dropped for it."""
        unread, reader, other = Unread(100), _Reader(), _Reader()
        unread.note(other, 60)
        unread.note(reader, 70)
        self.assertTrue(reader.dropped)
        reader.dropped = False
        for size in (80, 1000):
            unread.note(reader, size)
        self.assertEqual((unread.total, reader.dropped, other.dropped), (60, False, False))
        unread.note(reader, 0)
        unread.note(reader, 70)
        self.assertTrue(reader.dropped)

    def test_read(self) -> None:
        """What was read is left no more."""
        unread, reader, other = Unread(100), _Reader(), _Reader()
        for _ in range(3):
            unread.note(reader, 60)
            unread.note(reader, 0)
        unread.note(other, 100)
        self.assertEqual((unread.total, reader.dropped, other.dropped), (100, False, False))


class ConnectionTests(SynchronousTestCase):
    """What connections tell it."""

    def test_http(self) -> None:
        """A connection whose answers are not read counts, until they are or it is gone."""
        wired = Wired()
        wired.pipe.full = True
        unread = wired.factory.unread = Unread(10_000)
        wired.send(GET)
        self.assertGreater(unread.total, 20)
        wired.channel.resumeProducing()
        self.assertEqual(unread.total, 0)
        wired.send(GET * 32)
        self.assertGreater(unread.total, 20)
        unread = wired.factory.unread = Unread(10)
        wired.channel.resumeProducing()
        wired.send(GET)
        wired.clock.advance(0)
        self.assertEqual((wired.factory.connections, unread.total), (0, 0))

    def test_websocket(self) -> None:
        """So does a WebSocket, which is dropped where it is the one to go."""
        clock = Clock()
        factory: GatewayFactory = make_factory(MemoryStorage(clock), clock)
        unread = factory.unread = Unread(1000)
        transport = Transport()
        peer = Peer(factory, transport=transport)
        peer.protocol.pauseProducing()
        peer.send(text("queue_get", queue_name="a" * 100))
        self.assertGreater(unread.total, 200)
        peer.protocol.resumeProducing()
        self.assertEqual(unread.total, 0)
        peer.protocol.pauseProducing()
        peer.send(text("queue_get", queue_name="a" * 1000))
        self.assertTrue(transport.aborted)
        self.assertEqual(unread.total, 0)
