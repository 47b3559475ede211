"""What is counted."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from zaqar_gateway.meters import NO_OPERATION, Histogram, TransportMeter


class HistogramTests(SynchronousTestCase):
    """Buckets."""

    def test_buckets(self) -> None:
        """A bucket has what is at most its bound, as those of Prometheus do; the last one has all that is more."""
        found = Histogram((1.0, 2.0))
        for seconds in (0.0, 1.0, 1.5, 2.0, 2.5, 100.0):
            found.note(seconds)
        self.assertEqual((found.counts, found.sum), ([2, 2, 2], 107.0))


class TransportMeterTests(SynchronousTestCase):
    """Outcomes."""

    def test_operations(self) -> None:
        """Each operation has its own, and what was refused before one was known has those of none."""
        meter = TransportMeter("http")
        meter.outcomes("message_post").note(201)
        meter.outcomes("message_post").note(201)
        meter.outcomes("message_post").note(503)
        meter.refused.note(404)
        self.assertEqual(
            {name: outcomes.statuses for name, outcomes in meter.of.items()},
            {NO_OPERATION: {404: 1}, "message_post": {201: 2, 503: 1}},
        )
