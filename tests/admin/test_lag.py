"""How late the reactor is."""

from __future__ import annotations

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from zaqar_gateway.admin.lag import LOOK_S, Lag
from zaqar_gateway.meters import Histogram


class LagTests(SynchronousTestCase):
    """What is noted."""

    def test_noted(self) -> None:
        """Each look notes by how much it is late, and the next one is due after it; after the end there is none."""
        clock, noted = Clock(), Histogram((0.1, 1.0))
        lag = Lag(clock, noted)
        lag.start()
        clock.advance(LOOK_S)
        clock.advance(LOOK_S + 0.5)
        clock.advance(LOOK_S)
        self.assertEqual(noted.counts, [2, 1, 0])
        self.assertAlmostEqual(noted.sum, 0.5)
        lag.stop()
        self.assertEqual(clock.getDelayedCalls(), [])
