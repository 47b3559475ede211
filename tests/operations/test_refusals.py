"""What was refused, and what the operator is told of it."""

from __future__ import annotations

from twisted.logger import LogLevel, capturedLogs
from twisted.trial.unittest import SynchronousTestCase

from zaqar_gateway.operations.refusals import Refusals


class RefusalsTests(SynchronousTestCase):
    """Refusals are counted by bound."""

    def told(self, refusals: Refusals) -> list[object]:
        """The numbers that the log gets."""
        with capturedLogs() as logged:
            refusals.tell()
        return [event["refused"] for event in logged if event["log_level"] >= LogLevel.info]

    def test_told(self) -> None:
        """The log has what is new since it was told last, and nothing where nothing is; each one is at debug."""
        refusals = Refusals()
        self.assertEqual(self.told(refusals), [])
        with capturedLogs() as logged:
            for bound in ("rates.requests_per_s", "quotas", "quotas"):
                refusals.note(bound, "p")
        self.assertEqual({event["log_level"] for event in logged}, {LogLevel.debug})
        self.assertEqual(self.told(refusals), [{"quotas": 2, "rates.requests_per_s": 1}])
        self.assertEqual(self.told(refusals), [])
        refusals.note("quotas", "p")
        self.assertEqual(self.told(refusals), [{"quotas": 1}])
        self.assertEqual(refusals.counts, {"quotas": 3, "rates.requests_per_s": 1})
