"""Tests of the short ways past Twisted."""

from __future__ import annotations

import socket
from functools import partial
from itertools import count
from typing import Any

from twisted.internet.abstract import FileDescriptor
from twisted.internet.defer import Deferred, succeed
from twisted.internet.epollreactor import EPollReactor
from twisted.internet.error import ConnectionDone
from twisted.internet.main import CONNECTION_DONE
from twisted.internet.protocol import Protocol
from twisted.internet.task import Clock
from twisted.internet.tcp import Connection
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from zaqar_gateway import direct
from zaqar_gateway.direct import (
    EVENTS_MAX,
    Answer,
    goes_first,
    looks,
    next_turn,
    poll_directly,
    run,
    soon,
    write_all_now,
    write_later,
    write_now,
)


class RunTests(SynchronousTestCase):
    """Coroutines that nobody waits for."""

    def setUp(self) -> None:
        self.seen: list[Any] = []
        self.crashes: list[Failure] = []

    def start(self, *waits: Deferred[Any]) -> None:
        """Run a coroutine that waits for one after the other."""

        async def work() -> None:
            for wait in waits:
                try:
                    self.seen.append(await wait)
                except ValueError as error:
                    self.seen.append(str(error))

        run(work(), self.crashes.append)

    def test_answers(self) -> None:
        """It goes on with each answer as it comes, whether a value or a failure."""
        one, two = Answer(), Answer()
        self.start(one, two)
        self.assertEqual(self.seen, [])
        one.give(1)
        self.assertEqual(self.seen, [1])
        two.fail(ValueError("two"))
        self.assertEqual(self.seen, [1, "two"])

    def test_early_answers(self) -> None:
        """An answer that came before anybody waited for it is not lost."""
        one, two = Answer(), Answer()
        one.give(1)
        two.fail(ValueError("two"))
        self.start(one, two)
        self.assertEqual(self.seen, [1, "two"])

    def test_deferreds(self) -> None:
        """It may wait for any Deferred."""
        one: Deferred[int] = Deferred()
        two: Deferred[int] = Deferred()
        self.start(one, two, succeed(3))
        one.callback(1)
        two.errback(ValueError("two"))
        self.assertEqual(self.seen, [1, "two", 3])

    def test_crash(self) -> None:
        """Whoever started it is told of an exception, wherever it comes from."""

        async def work(wait: Answer) -> None:
            await wait
            raise KeyError

        one, two = Answer(), Answer()
        for wait in (one, two):
            run(work(wait), self.crashes.append)
        one.fail(ValueError())
        two.give(2)
        self.assertEqual([failure.type for failure in self.crashes], [ValueError, KeyError])

    def test_waited_for_by_twisted(self) -> None:
        """To Twisted an answer is a Deferred like any other, and can be cancelled."""

        async def work(wait: Answer) -> Any:
            return await wait

        answers = [Answer(), Answer(), Answer()]
        given, failed, cancelled = (Deferred.fromCoroutine(work(answer)) for answer in answers)
        answers[0].give(1)
        answers[1].fail(ValueError())
        cancelled.cancel()
        self.assertEqual(self.successResultOf(given), 1)
        self.failureResultOf(failed, ValueError)
        self.failureResultOf(cancelled)
        answers[2].give(3)  # it came all the same


class _Wire(Connection):
    """A transport with nothing but its socket; what it is to send by itself is kept."""

    connected = True

    def __init__(self, end: Any) -> None:
        self.kept: list[bytes] = []
        self.socket, self._tempDataBuffer = end, []

    def write(self, data: bytes) -> None:
        self.kept.append(data)


class WriteTests(SynchronousTestCase):
    """What is written goes to the socket as far as that takes it."""

    def setUp(self) -> None:
        self.end, self.other = socket.socketpair()
        self.addCleanup(self.end.close)
        self.addCleanup(self.other.close)
        self.end.setblocking(False)
        self.other.setblocking(False)
        self.wire = _Wire(self.end)

    def received(self) -> bytes:
        """All that has come at the other end."""
        found = []
        try:
            while data := self.other.recv(1 << 20):
                found.append(data)
        except BlockingIOError:
            pass
        return b"".join(found)

    def test_at_once(self) -> None:
        """One piece or several are all sent where the socket takes them."""
        write_now(self.wire, b"one")
        write_now(self.wire, b"two", b"", b"three")
        self.assertEqual((self.received(), self.wire.kept), (b"onetwothree", []))

    def test_in_part(self) -> None:
        """What the socket does not take is left to the transport, from the byte on that was not sent."""
        for pieces in ((b"a" * 5_000_000,), (b"a" * 5_000_000, b"bc", b"d"), (b"ab", b"c" * 5_000_000, b"d"), (b"ab", b"cd" * 2_500_000)):
            self.wire.kept.clear()
            write_now(self.wire, *pieces)
            sent = self.received()
            self.assertTrue(0 < len(sent) < 5_000_000)
            self.assertTrue(all(self.wire.kept))
            self.assertTrue(sent + b"".join(self.wire.kept) == b"".join(pieces))

    def test_in_order(self) -> None:
        """Where the transport still has something to send, all that comes goes behind it."""
        self.wire.dataBuffer = b"before"
        write_now(self.wire, b"one", b"two")
        self.assertEqual((self.received(), self.wire.kept), (b"", [b"one", b"two"]))

    def test_all(self) -> None:
        """However many pieces there are, and however long, all are sent in their order."""
        for pieces in ([b"one"], [b"one", b"two"], [b"a" * 100_000, b"b"], [b"%06d" % number * 20 for number in range(1100)]):
            write_all_now(self.wire, pieces)
            self.assertTrue(self.received() + b"".join(self.wire.kept) == b"".join(pieces))
            self.wire.kept.clear()

    def test_other_transport(self) -> None:
        """A transport that is no plain socket is given each piece."""
        transport = StringTransport()
        write_now(transport, b"one", b"two")
        write_later(transport, b"three")
        self.assertEqual(transport.value(), b"onetwothree")

    def test_later(self) -> None:
        """What is written later waits in the transport, which asks the poller once, and is told of all that it holds."""
        asked: list[int] = []

        class Asking(EPollReactor):
            def addWriter(self, writer: Any) -> None:
                asked.append(len(transport._tempDataBuffer))

        reactor = Asking()
        self.addCleanup(reactor._poller.close)
        transport, producer = Connection(self.end, Protocol(), reactor), StringTransport()
        transport.connected = True
        transport.registerProducer(producer, True)
        for piece in (b"one", b"two", b"three"):
            write_later(transport, piece)
        self.assertEqual((self.received(), asked), (b"", [1]))
        self.assertEqual(producer.producerState, "producing")
        write_later(transport, b"x" * transport.bufferSize)
        self.assertEqual(producer.producerState, "paused")
        transport.doWrite()
        self.assertEqual(self.received(), b"onetwothree" + b"x" * transport.bufferSize)
        self.assertEqual(producer.producerState, "producing")
        transport.connected = False
        write_later(transport, b"lost")
        self.assertEqual(transport._tempDataBuffer, [])


class _Reader:
    """What a reactor reads from."""

    def __init__(self, end: socket.socket, result: Exception | None = None) -> None:
        self._end = end
        self._result = result
        self.read: list[bytes] = []
        self.lost: list[Failure] = []

    def fileno(self) -> int:
        return self._end.fileno()

    def logPrefix(self) -> str:
        return "test"

    def doRead(self) -> Exception | None:
        self.read.append(self._end.recv(100))
        if isinstance(self._result, ZeroDivisionError):
            raise self._result
        return self._result

    def connectionLost(self, why: Failure) -> None:
        self.lost.append(why)


class _Plain(FileDescriptor):
    """A transport on a socket."""

    def __init__(self, fd: int) -> None:
        self._fd = fd

    def fileno(self) -> int:
        return self._fd


class _Ordered(_Reader):
    """A reader that tells when it is read."""

    def __init__(self, end: socket.socket, order: list[int], number: int) -> None:
        super().__init__(end)
        self._order = order
        self._number = number

    def doRead(self) -> Exception | None:
        self._order.append(self._number)
        return super().doRead()


class PollTests(SynchronousTestCase):
    """A reactor that looks at its sockets directly."""

    def setUp(self) -> None:
        self.reactor = EPollReactor()
        self.addCleanup(self.reactor._poller.close)
        poll_directly(self.reactor)

    def reader(self, result: Exception | None = None) -> tuple[_Reader, socket.socket]:
        """A reader, and the other end of its socket."""
        near, far = socket.socketpair()
        self.addCleanup(near.close)
        self.addCleanup(far.close)
        reader = _Reader(near, result)
        self.reactor.addReader(reader)
        return reader, far

    def test_reads(self) -> None:
        """What can be read is read."""
        (one, far), (other, _) = self.reader(), self.reader()
        far.send(b"x")
        self.reactor.doIteration(0)
        self.assertEqual((one.read, other.read), ([b"x"], []))

    def test_lost(self) -> None:
        """What says that its connection is lost is told so, and read no more."""
        reader, far = self.reader(CONNECTION_DONE)
        far.send(b"x")
        self.reactor.doIteration(0)
        far.send(b"y")
        self.reactor.doIteration(0)
        self.assertEqual(reader.read, [b"x"])
        self.assertEqual([why.type for why in reader.lost], [ConnectionDone])

    def test_hung_up(self) -> None:
        """So is what the other side has closed."""
        reader, far = self.reader(CONNECTION_DONE)
        far.close()
        self.reactor.doIteration(0)
        self.assertEqual([why.type for why in reader.lost], [ConnectionDone])

    def test_failed(self) -> None:
        """A reader that raises is lost, and the failure in the log; the others are read."""
        (one, far), (other, far_other) = self.reader(ZeroDivisionError()), self.reader()
        far.send(b"x")
        far_other.send(b"y")
        self.reactor.doIteration(0)
        self.assertEqual([why.type for why in one.lost], [ZeroDivisionError])
        self.assertEqual(other.read, [b"y"])
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)

    def test_few_at_a_time(self) -> None:
        """Where many can be read that take long, each is before any is read again, whatever has come for it meanwhile."""
        self.patch(direct, "now", count().__next__)  # seconds for each
        readers = [self.reader() for _ in range(2 * EVENTS_MAX)]
        for _, far in readers:
            far.send(b"x")
        for turn in range(3):
            for number in range(len(readers)):
                before = [len(reader.read) for reader, _ in readers]
                self.reactor.doIteration(0)
                read = [len(reader.read) - had for (reader, _), had in zip(readers, before, strict=True)]
                self.assertEqual(sum(read), 1, (turn, number))
                self.assertEqual(before[read.index(1)], turn)
                readers[read.index(1)][1].send(b"y")

    def test_quick(self) -> None:
        """All are read at one time where that is soon done."""
        self.patch(direct, "now", lambda: 1.0)
        readers = [self.reader() for _ in range(3 * EVENTS_MAX)]
        for _, far in readers:
            far.send(b"x")
        self.reactor.doIteration(0)
        self.assertEqual([reader.read for reader, _ in readers], [[b"x"]] * len(readers))

    def test_meanwhile(self) -> None:
        """What becomes ready while others are read is read before what is to be done soon, and none is twice."""
        self.patch(direct, "now", lambda: 1.0)
        (one, far), (other, far_other) = self.reader(), self.reader()
        done: list[list[bytes]] = []

        def read(itself: _Reader = one) -> None:
            itself.read.append(b"seen")
            if not done:
                soon(self.reactor, lambda: done.append(one.read + other.read))
            far_other.send(b"y")

        one.doRead = read  # type: ignore[method-assign]
        far.send(b"x")
        self.reactor.doIteration(0)
        self.assertEqual(done, [[b"seen", b"y"]])
        self.reactor.doIteration(0)
        self.assertEqual(one.read, [b"seen", b"seen"])

    def test_written_once(self) -> None:
        """A socket that can always be written to has one turn, too."""
        self.patch(direct, "now", lambda: 1.0)
        near, far = socket.socketpair()
        self.addCleanup(near.close)
        self.addCleanup(far.close)
        writer, written = _Plain(near.fileno()), []
        writer.doWrite = lambda: written.append(near.send(b"x"))  # type: ignore[method-assign]
        self.reactor.addWriter(writer)
        self.reactor.doIteration(0)
        self.assertEqual(written, [1])

    def test_first(self) -> None:
        """What goes first is read before all others where they are many, and no longer once it is lost."""
        self.patch(direct, "now", count().__next__)
        order: list[int] = []
        ends = []
        for number in range(EVENTS_MAX + 8):
            near, far = socket.socketpair()
            self.addCleanup(near.close)
            self.addCleanup(far.close)
            self.reactor.addReader(_Ordered(near, order, number))
            ends.append((near, far))
        last = _Plain(ends[-1][0].fileno())
        lost = goes_first(last)
        for _, far in ends:
            far.send(b"x")
        self.reactor.doIteration(0)
        self.assertEqual(order, [EVENTS_MAX + 7, 0])
        while len(order) < EVENTS_MAX + 8:
            self.reactor.doIteration(0)
        lost()
        order.clear()
        for _, far in ends:
            far.send(b"x")
        self.reactor.doIteration(0)
        self.assertEqual(len(order), 1)
        self.assertNotIn(EVENTS_MAX + 7, order)

    def test_first_of_other_kinds(self) -> None:
        """What is no plain socket is left as it is."""
        goes_first(object())()

    def test_looks(self) -> None:
        """Whether a socket is ready can be seen without reading it."""
        (reader, far), ready = self.reader(), looks(self.reactor)
        self.assertFalse(ready())
        far.send(b"x")
        self.assertTrue(ready())
        self.assertEqual(reader.read, [])
        self.reactor.doIteration(0)
        self.assertFalse(ready())
        self.assertFalse(looks(Clock())())

    def test_soon(self) -> None:
        """What is to be done soon is, when sockets were looked at, however it comes about, and a failure is in the log."""
        done: list[int] = []
        reader, far = self.reader()
        read = reader.doRead
        reader.doRead = lambda: soon(self.reactor, lambda: done.append(len(reader.read))) or read()  # type: ignore
        far.send(b"x")
        self.reactor.doIteration(0)
        self.assertEqual(done, [1])
        soon(self.reactor, lambda: 1 // 0)  # type: ignore[arg-type]
        soon(self.reactor, lambda: soon(self.reactor, lambda: done.append(2)))
        self.reactor.doIteration(0)
        self.assertEqual(done, [1, 2])
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        self.reactor.doIteration(0)
        self.assertEqual(done, [1, 2])
        clock = Clock()
        soon(clock, lambda: done.append(3))
        clock.advance(0)
        self.assertEqual(done, [1, 2, 3])

    def test_next_turn(self) -> None:
        """What is to be done in the next turn is, once, after what is due, unless it is taken back; what it puts there has the turn after."""
        done: list[object] = []
        self.reactor.callLater(0, done.append, "due")
        next_turn(self.reactor, lambda: done.append("first"))
        cancel = next_turn(self.reactor, lambda: done.append("taken back"))
        next_turn(self.reactor, lambda: 1 // 0)  # type: ignore[arg-type]
        next_turn(self.reactor, lambda: next_turn(self.reactor, lambda: done.append("then")))  # type: ignore[arg-type]
        next_turn(self.reactor, lambda: soon(self.reactor, lambda: done.append("soon")))
        cancel()
        self.reactor.iterate(0)
        self.assertEqual(done, ["due", "first", "soon"])
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        self.reactor.iterate(10)  # which does not wait for that
        self.assertEqual(done, ["due", "first", "soon", "then"])
        takes_back = next_turn(self.reactor, lambda: done.append("wrong"))
        self.reactor.callLater(0, takes_back)
        self.reactor.iterate(0)
        takes_back()
        self.assertEqual(len(done), 4)

    def test_taken_back_in_its_turn(self) -> None:
        """What another one of the same turn takes back is not done."""
        done: list[object] = []
        cancels: list[Any] = []
        next_turn(self.reactor, lambda: cancels[0]())
        cancels.append(next_turn(self.reactor, lambda: done.append("wrong")))
        self.reactor.iterate(0)
        self.assertEqual(done, [])

    def test_waited_past_nothing(self) -> None:
        """What is done soon, or in a turn, may set a timer or have something done in the turn after; no socket is waited for then."""
        reactor, waits = EPollReactor(), []
        poller = reactor._poller
        self.addCleanup(poller.close)

        class Poller:
            def poll(self, timeout: float, most: int) -> Any:
                waits.append(timeout)
                return poller.poll(0, most)

        reactor._poller = Poller()
        poll_directly(reactor)
        done: list[str] = []
        for first in (soon, next_turn):
            for then in (partial(reactor.callLater, 0), partial(next_turn, reactor)):
                reactor.callLater(0, first, reactor, partial(then, partial(done.append, "done")))
                reactor.iterate(10)
                self.assertEqual((done, waits), ([], [0]))
                reactor.iterate(10)
                self.assertEqual(done, ["done"])
                done.clear()
                waits.clear()
        reactor.iterate(10)
        self.assertEqual(waits, [10])

    def test_next_turn_of_a_clock(self) -> None:
        """Of any other reactor it is a timer."""
        clock, done = Clock(), []
        next_turn(clock, lambda: done.append(1))
        next_turn(clock, lambda: done.append(2))()
        self.assertEqual(done, [])
        clock.advance(0)
        self.assertEqual((done, clock.getDelayedCalls()), ([1], []))

    def test_other_reactors(self) -> None:
        """Any other reactor stays as it is."""
        clock = Clock()
        before = dict(vars(clock))
        poll_directly(clock)
        self.assertEqual(vars(clock), before)
