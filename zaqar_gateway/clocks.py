"""Two clocks: one that nobody sets, by which the reactor keeps time, and the time of day, which tells when a token ends.

The clock of a system may be set at any time, by an operator or where it was wrong when the machine began or went on.  Timers that
went by it would all wait until it is where it was, or end at once.
"""

from __future__ import annotations

import time
from typing import Any

from twisted.internet.interfaces import IReactorTime

_NEVER_SET: int = getattr(time, "CLOCK_BOOTTIME", time.CLOCK_MONOTONIC)  # where it can, it goes on while the machine sleeps


def steady(reactor: Any) -> None:
    """Have a reactor go by the clock that nobody sets: seconds since the epoch, as they were known when this was called."""
    began_s = time.time() - time.clock_gettime(_NEVER_SET)
    reactor.seconds = lambda: began_s + time.clock_gettime(_NEVER_SET)
    reactor.time_of_day = lambda: time.time()


def time_of_day(clock: IReactorTime) -> float:
    """Seconds since the epoch, as the system has them now; a clock that is not made steady has but one time."""
    seconds: float = getattr(clock, "time_of_day", clock.seconds)()
    return seconds
