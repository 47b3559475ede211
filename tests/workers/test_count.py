"""How many workers there are."""

from __future__ import annotations

import os

from twisted.trial.unittest import SynchronousTestCase

from zaqar_gateway.workers import how_many


class CountTests(SynchronousTestCase):
    """As many as are asked for."""

    def test_asked(self) -> None:
        """A number is that number; 0 is one for each core that the process may use, not for each of the machine."""
        self.assertEqual([how_many(1), how_many(7)], [1, 7])
        before = os.sched_getaffinity(0)
        self.addCleanup(os.sched_setaffinity, 0, before)
        self.assertEqual(how_many(0), len(before))
        os.sched_setaffinity(0, {min(before)})
        self.assertEqual(how_many(0), 1)
