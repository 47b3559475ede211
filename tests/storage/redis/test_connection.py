"""The connection to Redis: order, deadlines, bounds, and what each kind of failure becomes."""

from __future__ import annotations

from typing import Any, cast

from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import TCP4ClientEndpoint, UNIXClientEndpoint
from twisted.internet.error import ConnectionLost
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.logger import capturedLogs, formatEvent
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase, TestCase

from tests.logs import logged
from tests.redis_server import RedisServer, connect, shared_server
from zaqar_gateway.direct import Answer
from zaqar_gateway.errors import StoreFault, StoreUnavailable
from zaqar_gateway.order import Order
from zaqar_gateway.storage.redis import packing, scripts, together
from zaqar_gateway.storage.redis.commands import TOLD_AGAIN_S, Commands, Refused, refusal
from zaqar_gateway.storage.redis.connection import Redis


class ProtocolTests(SynchronousTestCase):
    """The protocol over a transport that only records."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.transport = StringTransport()
        self.protocol = Commands(self.clock, timeout_s=5.0, bound=3)
        self.protocol.makeConnection(self.transport)

    def ask(self, *words: bytes) -> Deferred[object]:
        return self.protocol.execute_command(*words)

    def test_one_write_for_each_turn(self) -> None:
        """Commands of one reactor turn leave together, in their order, and not before its end."""
        self.ask(b"GET", b"a")
        self.ask(b"GET", b"b")
        self.assertEqual(self.transport.value(), b"")
        self.clock.advance(0)
        self.assertEqual(
            self.transport.value(), b"*2\r\n$3\r\nGET\r\n$1\r\na\r\n*2\r\n$3\r\nGET\r\n$1\r\nb\r\n"
        )

    def test_answers_in_order(self) -> None:
        """Each command gets its own answer, however the bytes are cut."""
        first, second = self.ask(b"GET", b"a"), self.ask(b"GET", b"b")
        self.clock.advance(0)
        for byte in b"$1\r\nx\r\n:7\r\n":
            self.protocol.dataReceived(bytes([byte]))
        self.assertEqual(self.successResultOf(first), b"x")
        self.assertEqual(self.successResultOf(second), 7)

    def test_refusals_told(self) -> None:
        """What has to be mended at Redis is in the log, once a minute; what passes by itself, or is looked for, is not."""

        def refused(text: bytes) -> list[str]:
            with capturedLogs() as captured:
                answer = self.ask(b"SET", b"a", b"b")
                self.clock.advance(0)
                self.protocol.dataReceived(b"-" + text + b"\r\n")
                self.failureResultOf(answer)
            return [str(formatEvent(event)) for event in captured]

        full = b"OOM command not allowed when used memory > 'maxmemory'."
        self.assertEqual(refused(b"LOADING Redis is loading the dataset in memory"), [])
        self.protocol.is_tried = True
        self.assertEqual(refused(b"NOPERM this user has no permissions"), [])
        self.protocol.is_tried = False
        told = f"Redis refuses what it is asked; such requests get 503: {full.decode()}"
        self.assertEqual([refused(full), refused(full), refused(b"MISCONF x")], [[told], [], []])
        self.clock.advance(TOLD_AGAIN_S)
        self.assertEqual(refused(b"ERR Error running script (call to f_0): @user_script:1: -" + full)[0][-len(full) :], full.decode())

    def test_bytes_stay_bytes(self) -> None:
        """Digits and UTF-8 in an answer are left as they are."""
        answer = self.ask(b"GET", b"a")
        self.clock.advance(0)
        self.protocol.dataReceived("$4\r\n12é\r\n".encode())
        self.assertEqual(self.successResultOf(answer), "12é".encode())

    def test_deadline(self) -> None:
        """Where Redis is silent for too long the outcome is unknown, and the connection is given up."""
        first = self.ask(b"GET", b"a")
        self.clock.advance(3)
        second = self.ask(b"GET", b"b")
        self.clock.advance(1.9)
        self.assertNoResult(first)
        self.clock.advance(0.2)
        for answer in (first, second):
            error = self.failureResultOf(answer, StoreUnavailable).value
            self.assertTrue(error.outcome_unknown)
        self.assertTrue(self.transport.disconnected)

    def test_deadline_of_each_command(self) -> None:
        """An answer in time moves the watch to the next command."""
        first = self.ask(b"GET", b"a")
        self.clock.advance(3)
        second = self.ask(b"GET", b"b")
        self.protocol.dataReceived(b":1\r\n")
        self.assertEqual(self.successResultOf(first), 1)
        self.clock.advance(4.9)
        self.assertNoResult(second)
        self.clock.advance(0.2)
        self.failureResultOf(second, StoreUnavailable)

    def test_order_with_forgotten_scripts(self) -> None:
        """Commands that Redis did not know are sent again in their order, and before any that came later."""
        def ask(name: bytes) -> Deferred[object]:
            command = b"*3\r\n" + script.by_sum + packing.bulk(name)
            return self.protocol.send(command, script)

        script = scripts.VOLUME
        answers = [ask(b"one"), ask(b"two")]
        self.clock.advance(0)
        self.transport.clear()
        self.protocol.dataReceived(b"-NOSCRIPT No matching script\r\n")
        answers.append(ask(b"three"))
        self.clock.advance(0)
        self.protocol.dataReceived(b"-NOSCRIPT No matching script\r\n")
        self.clock.advance(0)
        sent = [name for name in self.transport.value().split(b"\r\n") if name in (b"one", b"two", b"three")]
        self.assertEqual(sent, [b"one", b"two", b"three"])
        self.assertEqual(self.transport.value().count(script.by_text), 2)
        self.protocol.dataReceived(b":1\r\n:2\r\n:3\r\n")
        self.assertEqual([self.successResultOf(answer) for answer in answers], [1, 2, 3])

    def test_forgotten_scripts_are_told(self) -> None:
        """A Redis that has forgotten a script is told all of them, before what it refused is sent again."""
        self.protocol.scripts = known = scripts.VOLUME, scripts.DUE
        answers = [self.protocol.send(b"*3\r\n" + scripts.VOLUME.by_sum + packing.bulk(b"one"), scripts.VOLUME) for _ in range(2)]
        self.clock.advance(0)
        self.transport.clear()
        self.protocol.dataReceived(b"-NOSCRIPT No matching script\r\n" * 2)
        self.clock.advance(0)
        told = b"".join(packing.command("SCRIPT", "LOAD", each.text) for each in known)
        again = b"*3\r\n" + scripts.VOLUME.by_text + packing.bulk(b"one")
        self.assertEqual(self.transport.value(), told + again * 2)
        self.protocol.dataReceived(b"$1\r\na\r\n-BUSY x\r\n:1\r\n:2\r\n")
        self.assertEqual([self.successResultOf(answer) for answer in answers], [1, 2])

    def test_order_with_forgotten_transactions(self) -> None:
        """A transaction whose script Redis did not know is sent again as a whole, in its place in the order."""
        script, long = scripts.VOLUME, b"$4\r\nlong\r\n"
        parts = b"*2\r\n", long, b"*3\r\n", script.by_sum, packing.bulk(b"one")
        first = self.protocol.send_together(4, b"MULTI", *parts, b"EXEC", script=script)
        second = self.protocol.send(b"*3\r\n" + script.by_sum + packing.bulk(b"two"), script)
        self.clock.advance(0)
        self.assertIn(b"MULTI*2\r\n$4\r\nlong\r\n*3\r\n$7\r\nEVALSHA\r\n", self.transport.value())
        self.transport.clear()
        self.protocol.dataReceived(b"+OK\r\n+QUEUED\r\n+QUEUED\r\n*2\r\n:1\r\n-NOSCRIPT No matching script\r\n")
        third = self.ask(b"three")
        self.protocol.dataReceived(b"-NOSCRIPT No matching script\r\n")
        self.clock.advance(0)
        sent = self.transport.value()
        self.assertEqual([name for name in sent.split(b"\r\n") if name in (b"long", b"one", b"two", b"three")], [b"long", b"one", b"two", b"three"])
        self.assertEqual(sent.count(script.by_text), 2)
        self.protocol.dataReceived(b"+OK\r\n+QUEUED\r\n+QUEUED\r\n*2\r\n:0\r\n*1\r\n:1\r\n:2\r\n:3\r\n")
        self.assertEqual(self.successResultOf(first), [b"OK", b"QUEUED", b"QUEUED", [0, [1]]])
        self.assertEqual([self.successResultOf(answer) for answer in (second, third)], [2, 3])

    def test_refused_in_transactions(self) -> None:
        """Another refusal within a transaction is a part of its answer."""
        answer = self.protocol.send_together(1, b"EXEC", script=scripts.VOLUME)
        self.clock.advance(0)
        self.protocol.dataReceived(b"*2\r\n:1\r\n-OOM command not allowed\r\n")
        ((put, refused),) = cast("list[Any]", self.successResultOf(answer))
        self.assertEqual((put, type(refused)), (1, Refused))

    def test_forgotten_scripts_take_nothing_in(self) -> None:
        """What waits to be sent when Redis is found to have forgotten its scripts takes in nothing that comes after what is held back."""
        redis = Redis(UNIXClientEndpoint(reactor, "nowhere"), self.clock, order=Order())
        redis._protocol = protocol = Commands(self.clock, timeout_s=5.0, bound=4)
        protocol.makeConnection(self.transport)

        def ask(name: bytes, kind: bytes) -> Answer:
            return together.ask(redis, scripts.VOLUME, (kind,), lambda kind: (b"", 0), [packing.bulk(name)], 1, 1)

        answers = [ask(b"one", b"a")]
        self.clock.advance(0)
        answers.append(ask(b"two", b"a"))
        protocol.dataReceived(b"-NOSCRIPT No matching script\r\n")
        answers += [ask(b"three", b"b"), ask(b"four", b"a")]
        self.clock.advance(0)
        self.transport.clear()
        protocol.dataReceived(b"-NOSCRIPT No matching script\r\n")
        self.clock.advance(0)
        names = (b"one", b"two", b"three", b"four")
        sent = [name for name in self.transport.value().split(b"\r\n") if name in names]
        self.assertEqual(sent, [b"two", b"three", b"four"])
        protocol.dataReceived(b"*1\r\n:1\r\n*1\r\n:2\r\n*1\r\n:3\r\n*1\r\n:4\r\n")
        self.assertEqual([self.successResultOf(answer) for answer in answers], [1, 2, 3, 4])

    def test_together(self) -> None:
        """Several commands have one answer, whoever else asks; where one is refused, that is the answer, and the rest is passed."""
        first = self.protocol.send_together(2, b"two commands")
        second = self.ask(b"GET", b"a")
        self.clock.advance(0)
        self.protocol.dataReceived(b":1\r\n*1\r\n:2\r\n")
        self.assertEqual(self.successResultOf(first), [1, [2]])
        self.protocol.dataReceived(b":3\r\n")
        self.assertEqual(self.successResultOf(second), 3)
        first = self.protocol.send_together(2, b"two commands")
        second = self.ask(b"GET", b"a")
        self.clock.advance(0)
        self.protocol.dataReceived(b"-LOADING\r\n")
        self.failureResultOf(first, StoreUnavailable)
        self.protocol.dataReceived(b"-ERR\r\n:3\r\n")
        self.assertEqual(self.successResultOf(second), 3)

    def test_together_and_lost(self) -> None:
        """The answer to several commands is lost once."""
        answer = self.protocol.send_together(2, b"two commands")
        self.clock.advance(0)
        self.protocol.dataReceived(b":1\r\n")
        self.protocol.connectionLost(Failure(ConnectionLost()))
        self.failureResultOf(answer, StoreUnavailable)

    def test_bound(self) -> None:
        """One command more than may wait is refused at once, and was not sent."""
        for _ in range(3):
            self.ask(b"GET", b"a")
        error = self.failureResultOf(self.ask(b"GET", b"b"), StoreUnavailable).value
        self.assertFalse(error.outcome_unknown)
        self.clock.advance(0)
        self.assertNotIn(b"b\r\n", self.transport.value())

    def test_lost(self) -> None:
        """A connection that is lost leaves the outcome of what was under way unknown; what was not sent yet did not take effect."""
        sent = self.ask(b"GET", b"a")
        self.clock.advance(0)
        unsent = self.ask(b"GET", b"b")
        self.protocol.connectionLost(Failure(ConnectionLost()))
        self.assertTrue(self.failureResultOf(sent, StoreUnavailable).value.outcome_unknown)
        self.assertFalse(self.failureResultOf(unsent, StoreUnavailable).value.outcome_unknown)
        self.clock.advance(0)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_after_loss(self) -> None:
        """A command on a lost connection is refused at once, and was not sent."""
        self.protocol.connectionLost(Failure(ConnectionLost()))
        self.assertFalse(self.failureResultOf(self.ask(b"PING"), StoreUnavailable).value.outcome_unknown)


class RefusalTests(SynchronousTestCase):
    """What a refusal of Redis becomes."""

    def test_causes_that_pass(self) -> None:
        """A known cause is "unavailable", and does not show what Redis said."""
        for text in ("LOADING x", "READONLY x", "NOREPLICAS x", "MISCONF x", "OOM x", "BUSY x", "CLUSTERDOWN x"):
            error = refusal(text)
            self.assertIsInstance(error, StoreUnavailable, text)
            self.assertNotIn("x", str(error).split())

    def test_in_a_script(self) -> None:
        """The cause is known too where a Redis before version 7 tells it of a command in a script."""
        begin = "ERR Error running script (call to f_0a9f75e991483d02789696e4c90d26c10395863e): @user_script:1: @user_script: 1: "
        for text in ("-OOM command not allowed when used memory > 'maxmemory'.", "-MISCONF Errors writing to the AOF file: -OOM x"):
            found, plain = refusal(begin + text), refusal(text[1:])
            self.assertEqual((type(found), str(found)), (StoreUnavailable, str(plain)))
        self.assertIsInstance(refusal(begin + "Wrong number of args calling Redis command From Lua script"), StoreFault)

    def test_of_a_transaction(self) -> None:
        """The cause is known too where Redis tells it of the end of a transaction, whose commands it had taken."""
        for text in ("OOM command not allowed when used memory > 'maxmemory'.", "READONLY You can't write against a read only replica."):
            found = refusal(f"EXECABORT Transaction discarded because of: {text}")
            self.assertEqual((type(found), str(found)), (StoreUnavailable, str(refusal(text))))
        self.assertIsInstance(refusal("EXECABORT Transaction discarded because of previous errors."), StoreFault)

    def test_faults(self) -> None:
        """Anything else is a fault of the store."""
        self.assertIsInstance(refusal("ERR unknown command"), StoreFault)
        self.assertIsInstance(refusal("WRONGTYPE Operation against a key"), StoreFault)


class RedisTests(TestCase):
    """The connection to a real server."""

    def start(self, server: RedisServer) -> Redis:
        redis = connect(server)
        redis.start()
        self.addCleanup(redis.stop)
        return redis

    async def test_forgotten_scripts(self) -> None:
        """A script that Redis has forgotten runs all the same."""
        redis = self.start(shared_server())
        await redis.when_ready()
        await redis.command("SCRIPT", "FLUSH")
        self.assertEqual(await redis.script(scripts.VOLUME, [b"zg:{p/q}"], [b""]), [0, 0])

    async def test_probe(self) -> None:
        """A server can be tried without staying connected; one that refuses is told."""
        server = shared_server()
        redis = connect(server)
        await redis.once("PING")
        self.assertFalse(redis.ready)
        wrong = Redis(UNIXClientEndpoint(reactor, str(server.path)), reactor, password="wrong")
        with self.assertRaises(Exception):  # noqa: B017 - whatever Redis says of a password that it did not ask for
            await wrong.once("PING")

    async def test_hung_up_on(self) -> None:
        """A Redis that says why it ends the connection is quoted."""

        class Full(Protocol):
            def connectionMade(self) -> None:
                assert self.transport is not None
                self.transport.write(b"-ERR max number of clients reached\r\n")
                self.transport.loseConnection()

        factory: Any = Factory.forProtocol(Full)
        port: Any = reactor.listenTCP(0, factory, interface="127.0.0.1")
        self.addCleanup(port.stopListening)
        for password in ("", "secret"):
            redis = Redis(TCP4ClientEndpoint(reactor, "127.0.0.1", port.getHost().port), reactor, password=password)
            with self.assertRaises(Refused) as caught:
                await redis.once("PING")
            self.assertEqual(str(caught.exception), "ERR max number of clients reached")

    async def test_not_connected(self) -> None:
        """Without a connection the answer comes at once."""
        redis = connect(shared_server())
        with self.assertRaises(StoreUnavailable) as caught:
            await redis.command("PING")
        self.assertFalse(caught.exception.outcome_unknown)

    async def test_stopped_while_connecting(self) -> None:
        """A connection that is being made can be stopped, and started again."""
        redis = connect(shared_server())
        for _ in range(2):
            redis.start()
            await redis.stop()
            self.assertFalse(redis.ready)

    async def test_comes_back(self) -> None:
        """After the connection was cut, commands work again without anybody's help."""
        server = shared_server()
        redis = self.start(server)
        await redis.when_ready()
        protocol = redis._protocol
        assert protocol is not None
        gone = protocol.whenDisconnected()
        server.call("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
        await gone
        await redis.when_ready()
        self.assertEqual(await redis.command("PING"), b"PONG")

    async def test_demoted(self) -> None:
        """A Redis that has become a replica is left when it refuses a write, and is none that can be used until it is a master again."""
        server = RedisServer()
        self.addCleanup(server.stop)
        log = logged(self)
        redis = self.start(server)
        await redis.when_ready()
        protocol = redis._protocol
        assert protocol is not None
        server.call("REPLICAOF", "127.0.0.1", "1")
        gone = protocol.whenDisconnected()
        for refused in (redis.command("SET", "a", "1"), redis.command("SET", "a", "2")):
            with self.assertRaises(StoreUnavailable):
                await refused
        await gone
        with self.assertRaises(Exception) as caught:  # noqa: B017 - tried by itself, as nobody knows when the other does
            await redis.once("PING")
        self.assertIn("replica", str(caught.exception))
        self.assertFalse(redis.ready)
        server.call("REPLICAOF", "NO", "ONE")
        await redis.when_ready()
        self.assertEqual(await redis.command("SET", "a", "3"), b"OK")
        told = [event["log_format"] for event in log if "replica now" in event["log_format"]]
        self.assertEqual(len(told), 1)

    async def test_fault(self) -> None:
        """A command that Redis does not know is a fault."""
        redis = self.start(shared_server())
        await redis.when_ready()
        with self.assertRaises(StoreFault):
            await redis.command("NO-SUCH-COMMAND")
