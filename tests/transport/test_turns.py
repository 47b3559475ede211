"""Who goes on when."""

from __future__ import annotations

from typing import Any

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from zaqar_gateway.transport.turns import DRAIN_S, MANY, PART_S, ROW_S, SHARE_OF_MANY_S, SHARE_S, Manner, Turns


class TurnTests(SynchronousTestCase):
    """The row."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.others = False
        self.turns = Turns(self.clock, lambda: self.others)
        self.gone: list[int] = []

    def turn(self) -> None:
        """One turn of the reactor: a clock would run those that follow from it, too."""
        calls: list[Any] = self.clock.calls
        call = calls.pop()
        call.called = 1
        call.func(*call.args, **call.kw)

    def wait(self, *numbers: int, manner: Manner = Manner.GREEDY) -> None:
        """Line up, and note the number when it is one's turn."""
        for number in numbers:
            self.turns.wait(lambda number=number: self.gone.append(number), manner)  # type: ignore[misc]

    def test_order(self) -> None:
        """All go on in one turn where that is soon done, in the order in which they came; who has more to do comes last."""
        self.turns.wait(lambda: self.wait(9))
        self.wait(*range(5))
        self.turn()
        self.assertEqual(self.gone, [*range(5), 9])
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_others(self) -> None:
        """Where others can go on, those of the row do so one in each turn."""
        self.others = True
        self.wait(1, 2, 3)
        self.turn()
        self.assertEqual(self.gone, [1])
        self.turn()
        self.assertEqual(self.gone, [1, 2])
        self.others = False
        self.wait(4)
        self.turn()
        self.assertEqual(self.gone, [1, 2, 3, 4])

    def test_calm(self) -> None:
        """Such as ask for one thing at a time have their share of a turn whoever waits."""
        self.others = True
        self.wait(1, 2, 3, manner=Manner.CALM)
        self.turns.wait(lambda: self.clock.advance(SHARE_S), Manner.CALM)
        self.wait(5, manner=Manner.CALM)
        self.turn()
        self.assertEqual(self.gone, [1, 2, 3])

    def test_many(self) -> None:
        """The share is smaller where many are in the row."""
        self.others = True
        self.wait(1, manner=Manner.CALM)
        self.turns.wait(lambda: self.clock.advance(SHARE_OF_MANY_S), Manner.CALM)
        self.wait(*range(2, MANY), manner=Manner.CALM)
        self.turn()
        self.assertEqual(self.gone, list(range(1, MANY)))
        self.gone.clear()
        self.wait(1, manner=Manner.CALM)
        self.turns.wait(lambda: self.clock.advance(SHARE_OF_MANY_S), Manner.CALM)
        self.wait(*range(2, MANY + 1), manner=Manner.CALM)
        self.turn()
        self.assertEqual(self.gone, [1])

    def test_part(self) -> None:
        """A part is over when its time is; in the row, where others can go on or the time of the row is over."""
        over: list[bool] = []

        def go_on() -> None:
            ends = self.turns.now() + PART_S
            over.append(self.turns.is_over(ends))
            self.clock.rightNow += PART_S
            over.append(self.turns.is_over(ends))
            self.others = True
            over.append(self.turns.is_over(ends))
            self.others = False
            self.clock.rightNow += ROW_S
            over.append(self.turns.is_over(ends))

        go_on()
        self.assertEqual(over, [False, True, True, True])
        over.clear()
        self.turns.wait(go_on)
        self.turn()
        self.assertEqual(over, [False, False, True, True])

    def test_long(self) -> None:
        """Where one takes long the next has to wait for the next turn."""
        for _ in range(2):
            self.turns.wait(lambda: self.clock.calls or self.gone.append(1) or self.clock.advance(ROW_S))  # type: ignore
        self.turn()
        self.assertEqual(self.gone, [1])

    def test_new(self) -> None:
        """New connections and others go on by turns, also where a turn is of one alone."""
        self.others = True
        self.wait(1, 2, 3)
        self.wait(11, 12, manner=Manner.NEW)
        for _ in range(5):
            self.turn()
        self.assertEqual(self.gone, [11, 1, 12, 2, 3])
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_again(self) -> None:
        """It can be seen whether whoever goes on has had something done before."""
        seen = []
        for manner in (Manner.NEW, Manner.CALM):
            self.turns.wait(lambda: seen.append(self.turns.is_again), manner)
        self.turn()
        self.assertEqual([*seen, self.turns.is_again], [False, True, False])

    def test_failure(self) -> None:
        """Where one fails those behind it go on in the next turn."""

        def fail() -> None:
            raise ValueError("a failure")

        self.turns.wait(fail)
        self.wait(1)
        self.assertRaises(ValueError, self.turn)
        self.turn()
        self.assertEqual(self.gone, [1])

    def test_leave(self) -> None:
        """Who has left is not called; where nobody waits there is no timer."""
        leave = self.turns.wait(lambda: self.gone.append(1))
        leave()
        leave()
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.wait(2)
        self.clock.advance(0)
        self.assertEqual(self.gone, [2])


class DrainTests(SynchronousTestCase):
    """What is read only to be dropped."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.drain = Turns(self.clock, drain_rate=1000).drain
        self.gone: list[int] = []

    def reader(self, number: int, size: int) -> Any:
        """Reads so many bytes when it may, and waits again."""

        def go_on() -> None:
            self.gone.append(number)
            if not self.drain.may_go_on(size):
                self.drain.wait(go_on)

        return go_on

    def test_rate(self) -> None:
        """All together read no more than the rate allows, in the order in which they came."""
        self.assertTrue(self.drain.may_go_on(99))
        self.assertFalse(self.drain.may_go_on(1))
        for number in range(5):
            self.drain.wait(self.reader(number, 40))
        self.clock.advance(0)
        self.assertEqual(self.gone, [])
        self.clock.advance(DRAIN_S)
        self.clock.advance(0)
        self.assertEqual(self.gone, [0, 1, 2])
        self.clock.advance(DRAIN_S)
        self.clock.advance(0)
        self.assertEqual(self.gone, [0, 1, 2, 3, 4, 2])

    def test_at_once(self) -> None:
        """Who waits though more may be read goes on in its turn."""
        self.drain.wait(lambda: self.gone.append(1))
        self.assertEqual(self.gone, [])
        self.clock.advance(0)
        self.assertEqual(self.gone, [1])

    def test_failure(self) -> None:
        """Where one fails the others go on."""
        self.drain.wait(lambda: 1 // 0)  # type: ignore[arg-type]
        self.drain.wait(lambda: self.gone.append(1))
        self.assertRaises(ZeroDivisionError, self.clock.advance, 0)
        self.clock.advance(0)
        self.assertEqual(self.gone, [1])

    def test_leave(self) -> None:
        """Who has left is not called; where nobody waits there is no timer, in time or in the row."""
        for size in (0, 100):
            self.drain.may_go_on(size)
            leave = self.drain.wait(lambda: self.gone.append(1))
            leave()
            leave()
            self.assertEqual((self.clock.getDelayedCalls(), self.gone), ([], []))
