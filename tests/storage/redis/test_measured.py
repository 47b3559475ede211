"""What is noted of a connection to Redis."""

from __future__ import annotations

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.trial.unittest import SynchronousTestCase

from zaqar_gateway.errors import StoreUnavailable
from zaqar_gateway.meters import RedisMeter
from zaqar_gateway.storage.redis.commands import Commands, Refused
from zaqar_gateway.storage.redis.measured import MeasuredCommands, MeasuredReplicatedCommands


class MeasuredTests(SynchronousTestCase):
    """The protocol over a transport that only records."""

    def setUp(self) -> None:
        self.clock, self.meter, self.transport = Clock(), RedisMeter(), StringTransport()
        self.protocol: Commands = MeasuredCommands(self.meter, self.clock, 5.0, 100)
        self.protocol.makeConnection(self.transport)

    def ask(self, count: int = 1) -> list[Deferred[object]]:
        """Commands of one turn."""
        asked = [self.protocol.execute_command(b"GET", b"a") for _ in range(count)]
        self.clock.advance(0)
        return asked

    @property
    def trips(self) -> int:
        """How many round trips were noted."""
        return sum(self.meter.round_trips.counts)

    def test_commands(self) -> None:
        """Each command counts when it is sent, and each write once when all of its answers have come."""
        self.ask(3)
        *_, last = self.ask(2)
        self.assertEqual((self.meter.commands, self.trips, self.protocol.waiting), (5, 0, 5))
        self.protocol.dataReceived(b":1\r\n:2\r\n")
        self.assertEqual((self.trips, self.protocol.waiting), (0, 3))
        self.protocol.dataReceived(b":3\r\n:4\r\n")
        self.assertEqual((self.trips, self.protocol.waiting), (1, 1))
        self.protocol.dataReceived(b"-ERR no\r\n")
        self.failureResultOf(last, Refused)
        self.assertEqual((self.trips, self.protocol.waiting), (2, 0))
        self.clock.advance(0)
        self.assertEqual(self.meter.commands, 5)

    def test_together(self) -> None:
        """Of several commands that go together each counts."""
        answer = self.protocol.send_together(2, b"*1\r\n$4\r\nPING\r\n" * 2)
        self.clock.advance(0)
        self.protocol.dataReceived(b"+PONG\r\n+PONG\r\n")
        self.successResultOf(answer)
        self.assertEqual((self.meter.commands, self.trips), (2, 1))

    def test_lost(self) -> None:
        """What is not answered is no round trip."""
        (asked,) = self.ask()
        self.clock.advance(5.1)
        self.clock.advance(0)
        self.failureResultOf(asked, StoreUnavailable)
        self.assertEqual((self.meter.commands, self.trips), (1, 0))

    def test_replicated(self) -> None:
        """Connections that wait for replicas are measured as well, and behave as others of their kind."""
        self.protocol = MeasuredReplicatedCommands(self.meter, 1, 1.0, lambda: b"k", lambda: None, self.clock, 5.0, 100)
        self.protocol.makeConnection(self.transport)
        (asked,) = self.ask()
        self.protocol.dataReceived(b":7\r\n")
        self.assertEqual(self.successResultOf(asked), 7)
        self.assertEqual((self.meter.commands, self.trips), (1, 1))
