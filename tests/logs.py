"""What is logged while a test runs."""

from __future__ import annotations

from twisted.internet.testing import EventLoggingObserver
from twisted.logger import globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase


class Log(EventLoggingObserver):
    """The events, in order."""

    _asked = 0

    def levels(self, part: str) -> list[str]:
        """The levels of what a part of the gateway has logged since this was asked last.

        :param part: the end of its namespace.
        """
        events = list(self)[self._asked :]
        self._asked += len(events)
        return [event["log_level"].name for event in events if event["log_namespace"].endswith(part)]


def logged(case: SynchronousTestCase) -> Log:
    """The events that are logged from now on until the end of the test."""
    log = Log()
    globalLogPublisher.addObserver(log)
    case.addCleanup(globalLogPublisher.removeObserver, log)
    return log
