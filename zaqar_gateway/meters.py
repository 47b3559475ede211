"""What a gateway counts of itself where somebody reads it: plain numbers, which cost next to nothing to add to.

Nothing here is made, and nothing asks for it, where there is no admin listener.  No project, queue or client is in it, whose numbers are
not bounded.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Sequence
from time import perf_counter

SHORT_S = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
"""Bounds (s) of the buckets for what takes milliseconds."""

LONG_S = (0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 15.0, 60.0, 300.0, 1800.0, 7200.0)
"""Of those for what may take hours."""

NO_OPERATION = "none"
"""The operation of what was answered before it was known what is asked for."""

now = perf_counter
"""By which all durations here are measured (s)."""


class Histogram:
    """How often something took how long.

    :param bounds: the upper ends of the buckets (s), rising; there is one more without an end.
    :ivar counts: how many are in each bucket.
    :ivar sum: of all that was noted (s).
    """

    __slots__ = ("bounds", "counts", "sum")

    def __init__(self, bounds: Sequence[float] = SHORT_S) -> None:
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.sum = 0.0

    def note(self, seconds: float) -> None:
        """It took so long."""
        self.counts[bisect_left(self.bounds, seconds)] += 1
        self.sum += seconds


class Outcomes:
    """What became of the requests for one operation on one transport.

    :ivar statuses: how many were answered with each status.
    :ivar durations: of those that did not wait for messages.
    """

    __slots__ = ("durations", "statuses")

    def __init__(self) -> None:
        self.statuses: dict[int, int] = {}
        self.durations = Histogram()

    def note(self, status: int, seconds: float | None = None) -> None:
        """One was answered.

        :param seconds: what it took; ``None``: that says nothing.
        """
        statuses = self.statuses
        statuses[status] = statuses.get(status, 0) + 1
        if seconds is not None:
            durations = self.durations  # as Histogram.note does: the call would take as long as all the rest
            durations.counts[bisect_left(durations.bounds, seconds)] += 1
            durations.sum += seconds


class TransportMeter:
    """What one transport has done.

    :ivar name: ``http`` or ``websocket``.
    :ivar of: the outcomes by operation.
    :ivar refused: those of what was answered before its operation was known.
    :ivar received: bytes that came in; :ivar sent: that went out.  Those of TLS are not in it.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.refused = Outcomes()
        self.of: dict[str, Outcomes] = {NO_OPERATION: self.refused}
        self.received = self.sent = 0

    def outcomes(self, operation: str) -> Outcomes:
        """Those of an operation; made where there are none yet."""
        return self.of.setdefault(operation, Outcomes())


class RedisMeter:
    """What was asked of all Redis servers that keep something.

    :ivar commands: that were sent; :ivar round_trips: times from a write to the last answer to what was in it.
    """

    def __init__(self) -> None:
        self.commands = 0
        self.round_trips = Histogram()


class IdentityMeter:
    """What was asked of Keystone, and what need not be.

    :ivar calls: by what came of them: ``answered``, ``denied`` or ``unavailable``.
    :ivar known: tokens that were remembered; :ivar looked_up: those that were not.
    :ivar answered_s: when an answer came last, in seconds since the epoch; 0: none has.
    :ivar is_away: whether none came to the last call.
    """

    def __init__(self) -> None:
        self.calls: Counter[str] = Counter()
        self.durations = Histogram()
        self.known = self.looked_up = 0
        self.answered_s = 0.0
        self.is_away = False


class DeliveryMeter:
    """What became of attempts to deliver to subscribers.

    :ivar attempts: by scheme and outcome.
    :ivar lateness: times from a post to the end of the attempt that delivered it.
    """

    def __init__(self) -> None:
        self.attempts: Counter[tuple[str, str]] = Counter()
        self.lateness = Histogram(LONG_S)


class Meters:
    """All of them."""

    def __init__(self) -> None:
        self.http = TransportMeter("http")
        self.websocket = TransportMeter("websocket")
        self.redis = RedisMeter()
        self.identity = IdentityMeter()
        self.deliveries = DeliveryMeter()
        self.lag = Histogram()  # by how much a timer of the reactor was late
