"""A clock for tests of what ends at a time of day."""

from __future__ import annotations

from twisted.internet.task import Clock

AHEAD_S = 3600.0


class SetClock(Clock):
    """A steady clock, and a time of day that is another one: the clock of the system was set forward since the process began.

    :param day_s: the time of day now, in seconds since the epoch.
    """

    def __init__(self, day_s: float = AHEAD_S) -> None:
        super().__init__()
        self.rightNow = day_s - AHEAD_S

    def time_of_day(self) -> float:
        """See :func:`zaqar_gateway.clocks.time_of_day`."""
        return self.seconds() + AHEAD_S
