"""Places for attempts."""

from __future__ import annotations

from twisted.internet.defer import CancelledError, Deferred
from twisted.trial.unittest import SynchronousTestCase

from zaqar_gateway.push.turns import Lane, Turns


class TurnsTests(SynchronousTestCase):
    """Who gets a place."""

    def setUp(self) -> None:
        self.got: list[str] = []

    def ask(self, turns: Turns, who: str, host: str = "a", lane: Lane = Lane.GOOD) -> Deferred[None]:
        """Wait for a place; ``got`` has those who have one, in order."""
        turn = turns.take(host, lane)
        turn.addCallbacks(lambda _: self.got.append(who), lambda failure: failure.trap(CancelledError))
        return turn

    def test_total(self) -> None:
        """No more than so many have a place, and who waits gets one in order."""
        turns = Turns(2, 2)
        for who in "1234":
            self.ask(turns, who)
        self.assertEqual(self.got, ["1", "2"])
        turns.give_back("a", Lane.GOOD)
        self.assertEqual(self.got, ["1", "2", "3"])

    def test_host(self) -> None:
        """Who waits because of its host holds up nobody else."""
        turns = Turns(10, 1)
        for who, host in (("a1", "a"), ("a2", "a"), ("a3", "a"), ("b1", "b")):
            self.ask(turns, who, host)
        self.assertEqual(self.got, ["a1", "b1"])
        turns.give_back("a", Lane.GOOD)
        self.assertEqual(self.got, ["a1", "b1", "a2"])

    def test_failing(self) -> None:
        """Those that fail have half of the places, with the unknown ones three quarters; the rest is for the proven."""
        turns = Turns(8, 8)
        for lane, name in ((Lane.POOR, "f"), (Lane.NEW, "n"), (Lane.GOOD, "p")):
            for n in range(8):
                self.ask(turns, f"{name}{n}", lane=lane)
        self.assertEqual(self.got, ["f0", "f1", "f2", "f3", "n0", "n1", "p0", "p1"])

    def test_better_lane_first(self) -> None:
        """A place that is given back goes to the best lane."""
        turns = Turns(1, 1)
        self.ask(turns, "first")
        self.ask(turns, "failing", "b", Lane.POOR)
        self.ask(turns, "new", "c", Lane.NEW)
        self.ask(turns, "proven", "d")
        for host, lane in (("a", Lane.GOOD), ("d", Lane.GOOD), ("c", Lane.NEW)):
            turns.give_back(host, lane)
        self.assertEqual(self.got, ["first", "proven", "new", "failing"])

    def test_shares_of_a_host(self) -> None:
        """Failing subscribers of one host leave half of its places to the others there."""
        turns = Turns(100, 4)
        for n in range(4):
            self.ask(turns, f"f{n}", lane=Lane.POOR)
        self.ask(turns, "p")
        self.assertEqual(self.got, ["f0", "f1", "p"])

    def test_hosts_in_turn(self) -> None:
        """In a lane one host comes after the other."""
        turns = Turns(1, 1)
        self.ask(turns, "first", "x")
        for who in ("a1", "a2", "b1", "b2"):
            self.ask(turns, who, who[0])
        for host in "xabab":
            turns.give_back(host, Lane.GOOD)
        self.assertEqual(self.got, ["first", "a1", "b1", "a2", "b2"])

    def test_cancel(self) -> None:
        """Who ends to wait gets no place, and keeps none from others."""
        turns = Turns(1, 1)
        self.ask(turns, "1")
        waiting = self.ask(turns, "2")
        self.ask(turns, "3")
        waiting.cancel()
        turns.give_back("a", Lane.GOOD)
        self.assertEqual(self.got, ["1", "3"])

    def test_awaited(self) -> None:
        """A place is awaited where somebody waits who would get it."""
        turns = Turns(4, 2)
        for host in "abc":
            self.ask(turns, host, host, Lane.NEW)
        self.assertFalse(turns.is_awaited("a", Lane.NEW))
        for n in range(2):
            self.ask(turns, f"poor {n}", "poor", Lane.POOR)  # three quarters are taken
        self.assertTrue(turns.is_awaited("a", Lane.NEW))
        turns.give_back("a", Lane.NEW)
        turns.give_back("b", Lane.NEW)
        self.assertEqual(self.got, ["a", "b", "c", "poor 0"])  # half of those of one host
        self.assertFalse(turns.is_awaited("c", Lane.NEW))
        self.assertTrue(turns.is_awaited("poor", Lane.POOR))

    def test_at_once(self) -> None:
        """Who gives its place back as soon as it gets it may do so as often as anybody likes."""
        turns = Turns(1, 1)
        count = 0

        def give_back(_: None) -> None:
            nonlocal count
            count += 1
            turns.give_back("a", Lane.GOOD)

        self.ask(turns, "first")
        for _ in range(5000):
            turns.take("a", Lane.GOOD).addCallback(give_back)
        turns.give_back("a", Lane.GOOD)
        self.assertEqual(count, 5000)
