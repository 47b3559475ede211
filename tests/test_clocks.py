"""A reactor whose timers go on while the clock of the system is set, and what goes by the time of day all the same."""

from __future__ import annotations

import time
from typing import Any

from twisted.internet.base import ReactorBase
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from zaqar_gateway.clocks import steady, time_of_day

HOUR_S = 3600.0


class _Reactor(ReactorBase):
    """One that waits for nothing but its timers."""

    def installWaker(self) -> None:
        """See :class:`~twisted.internet.base.ReactorBase`."""


class SteadyTests(SynchronousTestCase):
    """What a clock does that is set."""

    def setUp(self) -> None:
        self.reactor: Any = _Reactor()
        self.real = time.time
        steady(self.reactor)

    def set_clock(self, by_s: float) -> None:
        """Set the clock of the system to where it was, and this much further."""
        self.patch(time, "time", lambda: self.real() + by_s)

    def test_seconds(self) -> None:
        """The clock of the reactor begins with the time of day, goes on, and does not jump."""
        before = self.reactor.seconds()
        self.assertLess(abs(before - time.time()), 60)
        for by_s in (HOUR_S, -HOUR_S):
            self.set_clock(by_s)
            self.assertTrue(0 <= self.reactor.seconds() - before < 60)
            self.assertLess(abs(time_of_day(self.reactor) - self.real() - by_s), 60)

    def test_timers(self) -> None:
        """What is due comes when the clock was set back, and what is not does not come when it was set forward."""
        called: list[str] = []
        self.reactor.callLater(0, called.append, "due")
        later = self.reactor.callLater(HOUR_S / 2, called.append, "later")
        self.set_clock(-HOUR_S)
        self.reactor.runUntilCurrent()
        self.assertEqual(called, ["due"])
        self.set_clock(HOUR_S)
        self.reactor.runUntilCurrent()
        self.assertEqual(called, ["due"])
        later.cancel()

    def test_one_time(self) -> None:
        """A clock of a test has one time alone."""
        clock = Clock()
        clock.advance(5)
        self.assertEqual(time_of_day(clock), 5)
