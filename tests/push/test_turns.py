"""Places for attempts."""

from __future__ import annotations

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.defer import CancelledError, Deferred
from twisted.trial.unittest import SynchronousTestCase

from zaqar_gateway.push.turns import Lane, Rooms, Turns


class TurnsTests(SynchronousTestCase):
    """Who gets a place."""

    def setUp(self) -> None:
        self.got: list[str] = []

    def ask(
        self, turns: Turns, who: str, host: str = "a", lane: Lane = Lane.GOOD, project: str = "p"
    ) -> Deferred[None]:
        """Wait for a place; ``got`` has those who have one, in order."""
        turn = turns.take(host, lane, project)
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

    def test_projects_in_turn(self) -> None:
        """A place goes to one project after the other, however many hosts somebody in one of them waits for."""
        turns = Turns(1, 1)
        self.ask(turns, "first", "x")
        for host in "abc":
            self.ask(turns, host, host)
        self.ask(turns, "other", "d", project="other")
        for host in "xadb":
            turns.give_back(host, Lane.GOOD)
        self.assertEqual(self.got, ["first", "a", "other", "b", "c"])

    def test_projects_at_a_host(self) -> None:
        """So do those of one host."""
        turns = Turns(9, 1)
        for who in ("first", "a1", "a2", "a3"):
            self.ask(turns, who)
        for who in ("b1", "b2"):
            self.ask(turns, who, project="other")
        for _ in range(5):
            turns.give_back("a", Lane.GOOD)
        self.assertEqual(self.got, ["first", "a1", "b1", "a2", "b2", "a3"])

    @given(
        st.lists(
            st.tuples(st.integers(0, 5), st.sampled_from("abc"), st.sampled_from(Lane), st.sampled_from("pqr")), max_size=60
        ),
        st.integers(1, 5),
        st.integers(1, 3),
    )
    def test_everybody_in_the_end(self, steps: list[tuple[int, str, Lane, str]], total: int, per_host: int) -> None:
        """Whatever comes and goes, the bounds hold, and all who go on waiting get a place."""
        turns = Turns(total, per_host)
        waiting: list[Deferred[None]] = []
        having: list[tuple[str, Lane]] = []
        for what, host, lane, project in steps:
            if what == 0 and having:
                turns.give_back(*having.pop())
            elif what == 1 and waiting:
                waiting.pop(0).cancel()
            else:
                turn = turns.take(host, lane, project)
                waiting.append(turn)
                turn.addCallback(lambda _, place: having.append(place), (host, lane)).addErrback(lambda _: None)
            waiting = [each for each in waiting if not each.called]
            self.assertLessEqual(len(having), total)
            self.assertLessEqual(max(Counter(host for host, _ in having).values(), default=0), per_host)
        while having:
            turns.give_back(*having.pop())
        self.assertEqual([each for each in waiting if not each.called], [])
        self.assertEqual(turns._hosts, {})

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


class RoomsTests(SynchronousTestCase):
    """Who finds room."""

    def test_leaves_some(self) -> None:
        """One project leaves a sixteenth of what there is for those that fail, or are not known, to others, who find it."""
        rooms = Rooms(64)
        for lane, expected in ((Lane.POOR, 30), (Lane.NEW, 15)):
            count = 0
            while rooms.has(lane, "p"):
                rooms.add(lane, "p")
                count += 1
            self.assertEqual(count, expected)
            self.assertTrue(rooms.has(lane, "other"))
        self.assertEqual(rooms.free, 19)
        while rooms.has(Lane.GOOD, "p"):
            rooms.add(Lane.GOOD, "p")
        self.assertEqual(rooms.free, 0)

    def test_given_back(self) -> None:
        """What is given back can be had again, and nothing is kept of projects that have none."""
        rooms = Rooms(1)
        for project in ("p", "other"):
            self.assertTrue(rooms.has(Lane.POOR, project))
            rooms.add(Lane.POOR, project)
            self.assertFalse(rooms.has(Lane.GOOD, "p"))
            rooms.remove(Lane.POOR, project)
        self.assertEqual(rooms._of, {})
