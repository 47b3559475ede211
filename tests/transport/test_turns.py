"""Who goes on when."""

from __future__ import annotations

from typing import Any

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from zaqar_gateway.transport.turns import AT_ONCE, PART_S, Turns


class TurnTests(SynchronousTestCase):
    """The row."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.turns = Turns(self.clock)
        self.gone: list[int] = []

    def turn(self) -> None:
        """One turn of the reactor: a clock would run those that follow from it, too."""
        calls: list[Any] = self.clock.calls
        call = calls.pop()
        call.called = 1
        call.func(*call.args, **call.kw)

    def test_some_in_a_turn(self) -> None:
        """A few go on in each turn, in the order in which they came; who has more to do comes last."""
        for number in range(AT_ONCE + 1):
            self.turns.wait(lambda number=number: self.gone.append(number))  # type: ignore[misc]
        self.turn()
        self.assertEqual(self.gone, list(range(AT_ONCE)))
        self.turns.wait(lambda: self.gone.append(99))
        self.turn()
        self.assertEqual(self.gone, [*range(AT_ONCE + 1), 99])
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_long(self) -> None:
        """Where one takes long the next has to wait for the next turn."""
        for _ in range(2):
            self.turns.wait(lambda: self.clock.calls or self.gone.append(1) or self.clock.advance(PART_S))  # type: ignore
        self.turn()
        self.assertEqual(self.gone, [1])

    def test_failure(self) -> None:
        """Where one fails those behind it go on in the next turn."""

        def fail() -> None:
            raise ValueError("a failure")

        self.turns.wait(fail)
        self.turns.wait(lambda: self.gone.append(1))
        self.assertRaises(ValueError, self.turn)
        self.turn()
        self.assertEqual(self.gone, [1])

    def test_leave(self) -> None:
        """Who has left is not called; where nobody waits there is no timer."""
        leave = self.turns.wait(lambda: self.gone.append(1))
        leave()
        leave()
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.turns.wait(lambda: self.gone.append(2))
        self.clock.advance(0)
        self.assertEqual(self.gone, [2])
