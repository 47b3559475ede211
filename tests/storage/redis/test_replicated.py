"""Answers that wait for replicas."""

from __future__ import annotations

from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectionLost
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase

from tests.logs import logged
from zaqar_gateway.errors import StoreUnavailable
from zaqar_gateway.storage.redis import packing, scripts
from zaqar_gateway.storage.redis.replicated import ReplicatedCommands
from zaqar_gateway.storage.redis.scripts import Script


class ReplicatedTests(SynchronousTestCase):
    """Over a transport that only records."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.transport = StringTransport()
        self.touched = b"touched"
        self.protocol = ReplicatedCommands(2, 1.0, lambda: self.touched, self.touch_other, self.clock, timeout_s=5.0, bound=9)
        self.protocol.makeConnection(self.transport)

    def touch_other(self) -> None:
        self.touched += b"+"

    def run_script(self, name: bytes, script: Script = scripts.POST) -> Deferred[object]:
        return self.protocol.send(b"*3\r\n" + script.by_sum + packing.bulk(name), script)

    def sent(self) -> list[bytes]:
        """What was sent since the last time: the names that scripts were given, and WAIT."""
        self.clock.advance(0)
        words = self.transport.value().split(b"\r\n")
        self.transport.clear()
        return [word for word in words if word in (b"a", b"b", b"c", b"d", b"WAIT", b"PING")]

    def touches(self) -> list[bytes]:
        """The same: what is written before WAIT, and that."""
        self.clock.advance(0)
        words = self.transport.value().split(b"\r\n")
        self.transport.clear()
        return [word for word in words if word in (b"SET", b"PEXPIRE", self.touched, b"WAIT")]

    def hear(self, data: bytes) -> None:
        """Have Redis answer."""
        self.protocol.dataReceived(data)

    def waited(self, replicas: int) -> None:
        """Have Redis answer what it was sent last: the write before WAIT, and WAIT."""
        self.hear(b"+OK\r\n:%d\r\n" % replicas)

    def test_promise(self) -> None:
        """What is promised is answered once enough replicas have it; one WAIT is for all that was answered before."""
        first, second = self.run_script(b"a"), self.run_script(b"b")
        self.assertEqual(self.sent(), [b"a", b"b"])
        self.hear(b":1\r\n:2\r\n")
        self.assertEqual(self.sent(), [b"WAIT"])
        self.assertNoResult(first)
        self.waited(2)
        self.assertEqual((self.successResultOf(first), self.successResultOf(second)), (1, 2))
        self.assertEqual(self.sent(), [])

    def test_too_few(self) -> None:
        """With too few the outcome is unknown, of what is promised alone; the log tells when that begins and when it ends."""
        seen = logged(self)
        for _ in range(2):
            kept, looked = self.run_script(b"a"), self.run_script(b"b", scripts.LIST)
            self.sent()
            self.hear(b":1\r\n:2\r\n")
            self.assertEqual(self.successResultOf(looked), 2)
            self.sent()
            self.waited(1)
            error = self.failureResultOf(kept, StoreUnavailable).value
            self.assertTrue(error.outcome_unknown)
            self.assertIn("1 replicas have it after 1.0 s, and 2 should", str(error))
        self.run_script(b"a")
        self.sent()
        self.hear(b":1\r\n")
        self.sent()
        self.waited(2)
        self.assertEqual(seen.levels("replicated"), ["error", "info"])

    def test_replaced_while_waiting(self) -> None:
        """Where Redis becomes a replica meanwhile the outcome is unknown, and the text says why in our words."""
        for refusal in (
            b"-UNBLOCKED force unblock from blocking operation, instance state changed (master -> replica?)\r\n",
            b"-ERR WAIT cannot be used with replica instances. Please also note that since Redis 4.0\r\n",
        ):
            answer = self.run_script(b"a")
            self.sent()
            self.hear(b":1\r\n")
            self.sent()
            self.hear(b"+OK\r\n" + refusal)
            error = self.failureResultOf(answer, StoreUnavailable).value
            self.assertTrue(error.outcome_unknown)
            self.assertIn("another Redis has taken the place of this master", str(error))

    def test_no_promise(self) -> None:
        """What only looks, and a command, wait for no replica."""
        looked, answered = self.run_script(b"a", scripts.LIST), self.protocol.execute_command("PING")
        self.assertEqual(self.sent(), [b"a", b"PING"])
        self.hear(b":1\r\n+PONG\r\n")
        self.assertEqual((self.successResultOf(looked), self.successResultOf(answered)), (1, b"PONG"))
        self.assertEqual(self.sent(), [])

    def test_transaction(self) -> None:
        """Commands in a row are a promise."""
        answer = self.protocol.send_together(1, packing.command("PING"))
        self.assertEqual(self.sent(), [b"PING"])
        self.hear(b"+PONG\r\n")
        self.assertEqual(self.sent(), [b"WAIT"])
        self.assertNoResult(answer)
        self.waited(3)
        self.assertEqual(self.successResultOf(answer), [b"PONG"])

    def test_forgotten_transaction(self) -> None:
        """One that is sent again, since Redis has forgotten its script, has its own answers, and is promised once."""
        script = scripts.POST
        answer = self.protocol.send_together(3, b"MULTI", script.by_sum, packing.bulk(b"a"), b"EXEC", script=script)
        self.assertEqual(self.sent(), [b"a"])
        self.hear(b"+OK\r\n+QUEUED\r\n*1\r\n-NOSCRIPT No matching script\r\n")
        self.assertEqual(self.sent(), [b"a"])
        self.hear(b"+OK\r\n+QUEUED\r\n*1\r\n*1\r\n:1\r\n")
        self.assertEqual(self.sent(), [b"WAIT"])
        self.assertNoResult(answer)
        self.waited(3)
        self.assertEqual(self.successResultOf(answer), [b"OK", b"QUEUED", [[1]]])

    def test_next_go(self) -> None:
        """What was asked for meanwhile goes before WAIT, which is for it as well; what comes later goes together after its answer."""
        first = self.run_script(b"a")
        self.assertEqual(self.sent(), [b"a"])
        second = self.run_script(b"b")
        self.hear(b":1\r\n")
        self.assertEqual(self.sent(), [b"b", b"WAIT"])
        later = [self.run_script(name) for name in (b"c", b"d")]
        self.assertEqual(self.sent(), [])
        self.hear(b":2\r\n")
        self.assertNoResult(first)
        self.waited(2)
        self.assertEqual((self.successResultOf(first), self.successResultOf(second)), (1, 2))
        self.assertEqual(self.sent(), [b"c", b"d"])
        self.hear(b":3\r\n:4\r\n")
        self.assertEqual(self.sent(), [b"WAIT"])
        self.waited(2)
        self.assertEqual([self.successResultOf(answer) for answer in later], [3, 4])

    def test_refusals(self) -> None:
        """What Redis refuses is refused at once, and nothing waits for it; where it refuses WAIT the outcome is unknown."""
        first = self.run_script(b"a")
        self.sent()
        self.hear(b"-NOREPLICAS Not enough good replicas to write.\r\n")
        self.assertFalse(self.failureResultOf(first, StoreUnavailable).value.outcome_unknown)
        self.assertEqual(self.sent(), [])
        second = self.run_script(b"b")
        self.sent()
        self.hear(b":1\r\n")
        self.sent()
        seen = logged(self)
        self.hear(b"+OK\r\n-NOPERM this user may not\r\n")
        error = self.failureResultOf(second, StoreUnavailable).value
        self.assertTrue(error.outcome_unknown)
        self.assertIn("NOPERM", str(error))
        self.assertEqual([event["why"] for event in seen], [str(error).partition(": ")[2]])

    def test_waits_for_what_it_wrote(self) -> None:
        """A write of this connection stands before WAIT, for what was there before; where that is refused WAIT tells nothing."""
        kept = self.run_script(b"a")
        self.sent()
        self.hear(b":1\r\n")
        self.clock.advance(0)
        self.assertEqual(
            self.transport.value(), packing.command("SET", "touched", 1) + packing.command("WAIT", 2, 1000)
        )
        self.hear(b"-NOREPLICAS Not enough good replicas to write.\r\n:2\r\n")
        error = self.failureResultOf(kept, StoreUnavailable).value
        self.assertTrue(error.outcome_unknown)
        self.assertIn("NOREPLICAS", str(error))

    def test_all_that_may_be_elected(self) -> None:
        """Where Sentinels reach more replicas than were asked for, all of these have to have it."""
        self.protocol.electable = 3
        first = self.run_script(b"a")
        self.sent()
        self.hear(b":1\r\n")
        self.clock.advance(0)
        self.assertIn(packing.command("WAIT", 3, 1000), self.transport.value())
        self.protocol.electable = 0  # too late for what is under way
        self.waited(2)
        self.failureResultOf(first, StoreUnavailable)

    def test_patience(self) -> None:
        """Replicas may take as long as they are given, besides what a command may."""
        first, second = self.run_script(b"a"), self.run_script(b"b")
        self.sent()
        self.hear(b":1\r\n:2\r\n")
        self.sent()
        third = self.run_script(b"c")
        self.clock.advance(5.9)
        self.waited(2)
        self.assertEqual((self.successResultOf(first), self.successResultOf(second)), (1, 2))
        self.assertEqual(self.sent(), [b"c"])
        self.clock.advance(4.9)
        self.hear(b":3\r\n")
        self.sent()
        self.waited(2)
        self.assertEqual(self.successResultOf(third), 3)

    def test_touched_elsewhere(self) -> None:
        """Where another node of a cluster has what is written before WAIT, something else is, and it is waited for once more."""
        kept = self.run_script(b"a")
        self.sent()
        self.hear(b":1\r\n")
        self.sent()
        for refusal in (b"-MOVED 5 h:1\r\n", b"-ASK 5 h:1\r\n", b"-TRYAGAIN moving\r\n"):
            self.hear(refusal + b":2\r\n")
            self.assertEqual(self.sent(), [b"WAIT"])
            self.assertNoResult(kept)
        self.assertEqual(self.touched, b"touched+++")
        self.waited(2)
        self.assertEqual(self.successResultOf(kept), 1)

    def test_touched_nowhere(self) -> None:
        """Where nothing can be written, for whatever is tried, the outcome is unknown."""
        kept = self.run_script(b"a")
        self.sent()
        self.hear(b":1\r\n")
        tries = 0
        while self.sent() == [b"WAIT"]:
            tries += 1
            self.hear(b"-MOVED 5 h:1\r\n:2\r\n")
        self.assertEqual(tries, 9)
        self.assertTrue(self.failureResultOf(kept, StoreUnavailable).value.outcome_unknown)

    def test_touched_without_memory(self) -> None:
        """A Redis that has no memory left for what is written before WAIT is asked for something that takes none, from then on at once."""
        kept = self.run_script(b"a")
        self.sent()
        self.hear(b":1\r\n")
        self.sent()
        self.hear(b"-OOM command not allowed when used memory > 'maxmemory'.\r\n:2\r\n")
        self.assertEqual(self.touches(), [b"PEXPIRE", b"touched", b"WAIT"])
        self.assertNoResult(kept)
        self.hear(b":1\r\n:2\r\n")
        self.assertEqual(self.successResultOf(kept), 1)
        self.run_script(b"b")
        self.sent()
        self.hear(b":1\r\n")
        self.assertEqual(self.touches(), [b"PEXPIRE", b"touched", b"WAIT"])

    def test_touched_elsewhere_without_memory(self) -> None:
        """Of a key that takes the place of another one, since that is elsewhere, there is nothing yet that could be changed."""
        full, moved = b"-OOM none left\r\n:2\r\n", b"-MOVED 5 h:1\r\n:2\r\n"
        for refusal, how, answer in ((full, b"PEXPIRE", b":1\r\n:2\r\n"), (moved, b"SET", b"+OK\r\n:2\r\n")):
            kept = self.run_script(b"a")
            self.sent()
            self.hear(b":1\r\n")
            self.sent()
            self.hear(refusal)
            self.assertEqual(self.touches(), [how, self.touched, b"WAIT"])
            self.hear(answer)
            self.assertEqual(self.successResultOf(kept), 1)

    def test_touched_nothing(self) -> None:
        """Where there is nothing to change without memory it is written again, as soon as there is some; without any the outcome is unknown."""
        full, changed = b"-OOM command not allowed\r\n:2\r\n", b":0\r\n:2\r\n"
        for answers, is_known in (((full, changed), False), ((full, b":1\r\n:2\r\n"), True), ((changed, full, changed), False)):
            kept = self.run_script(b"a")
            self.sent()
            self.hear(b":1\r\n")
            for answer in answers:
                self.assertEqual(self.sent(), [b"WAIT"])
                self.hear(answer)
            self.assertEqual(self.sent(), [])
            if is_known:
                self.assertEqual(self.successResultOf(kept), 1)
            else:
                self.assertTrue(self.failureResultOf(kept, StoreUnavailable).value.outcome_unknown)
        self.run_script(b"a")
        self.sent()
        self.hear(b":1\r\n")
        self.assertEqual(self.touches(), [b"SET", b"touched", b"WAIT"])

    def test_lost(self) -> None:
        """Where the connection is lost before the replicas are known of the outcome is unknown; what was not sent was not stored."""
        first = self.run_script(b"a")
        self.sent()
        self.hear(b":1\r\n")
        self.sent()
        second = self.run_script(b"b")
        self.clock.advance(0)
        self.clock.advance(7)
        self.assertTrue(self.failureResultOf(first, StoreUnavailable).value.outcome_unknown)
        self.assertFalse(self.failureResultOf(second, StoreUnavailable).value.outcome_unknown)
        self.assertTrue(self.transport.disconnected)

    def test_lost_before_the_wait(self) -> None:
        """An answer that was kept is unknown where the connection is lost before WAIT is sent."""
        kept, other = self.run_script(b"a"), self.run_script(b"b")
        self.sent()
        self.hear(b":1\r\n")
        self.protocol.connectionLost(Failure(ConnectionLost()))
        for answer in (kept, other):
            self.assertTrue(self.failureResultOf(answer, StoreUnavailable).value.outcome_unknown)
        self.clock.advance(0)

    def test_forgotten_scripts(self) -> None:
        """Where Redis has forgotten its scripts all keep their order, and each its promise."""
        answers = {name: self.run_script(name) for name in (b"a", b"b")}
        self.assertEqual(self.sent(), [b"a", b"b"])
        self.hear(b"-NOSCRIPT No matching script\r\n")
        answers |= {name: self.run_script(name) for name in (b"c", b"d")}
        self.hear(b"-NOSCRIPT No matching script\r\n")
        self.assertEqual(self.sent(), [b"a", b"b", b"c", b"d"])
        self.hear(b":1\r\n")
        self.assertEqual(self.sent(), [b"WAIT"])
        self.hear(b":2\r\n:3\r\n:4\r\n")
        self.assertNoResult(answers[b"a"])
        self.waited(2)
        self.assertEqual([self.successResultOf(answer) for answer in answers.values()], [1, 2, 3, 4])
