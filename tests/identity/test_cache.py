"""What is remembered, and for how long; calls that are shared."""

from __future__ import annotations

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from zaqar_gateway.identity.cache import Remembered, Shared


class RememberedTests(SynchronousTestCase):
    """Values until they end."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.values: Remembered[str, int] = Remembered(self.clock, 2)

    def test_end(self) -> None:
        """A value is there until its instant, and not in it; then it takes no room."""
        self.values.put("a", 1, 10.0)
        self.clock.advance(9.9)
        self.assertEqual(self.values.get("a"), 1)
        self.clock.advance(0.1)
        self.assertIsNone(self.values.get("a"))
        self.assertEqual(len(self.values), 0)

    def test_size(self) -> None:
        """Where there is no room, what was not asked for longest goes."""
        self.values.put("a", 1, 10.0)
        self.values.put("b", 2, 10.0)
        self.values.get("a")
        self.values.put("c", 3, 10.0)
        self.assertEqual([self.values.get(key) for key in "abc"], [1, None, 3])

    def test_again(self) -> None:
        """A value that is put again takes the place of the first one, with its own end."""
        self.values.put("a", 1, 10.0)
        self.values.put("a", 2, 20.0)
        self.clock.advance(15)
        self.assertEqual(self.values.get("a"), 2)

    def test_drop(self) -> None:
        """What is dropped is gone; what is not there may be dropped."""
        self.values.put("a", 1, 10.0)
        self.values.drop("a")
        self.values.drop("a")
        self.assertIsNone(self.values.get("a"))


class SharedTests(SynchronousTestCase):
    """Calls that are shared."""

    def setUp(self) -> None:
        self.calls: list[Deferred[int]] = []
        self.shared: Shared[str, int] = Shared()

    async def call(self) -> int:
        self.calls.append(Deferred())
        return await self.calls[-1]

    def test_one_call(self) -> None:
        """Those who want the same at one time get the outcome of one call; other keys have their own."""
        first, second, other = (self.shared.get(key, self.call) for key in "aab")
        self.assertEqual(len(self.calls), 2)
        self.calls[0].callback(1)
        self.assertEqual([self.successResultOf(first), self.successResultOf(second)], [1, 1])
        self.assertNoResult(other)

    def test_failure(self) -> None:
        """A failure is everybody's, and the next one calls again."""
        first, second = (self.shared.get("a", self.call) for _ in range(2))
        self.calls[0].errback(ValueError())
        self.failureResultOf(first, ValueError)
        self.failureResultOf(second, ValueError)
        third = self.shared.get("a", self.call)
        self.calls[1].callback(3)
        self.assertEqual(self.successResultOf(third), 3)

    def test_at_once(self) -> None:
        """A call that needs no waiting is answered at once, and is over."""

        async def now() -> int:
            return 5

        self.assertEqual(self.successResultOf(self.shared.get("a", now)), 5)
        self.shared.get("a", self.call)
        self.assertEqual(len(self.calls), 1)

    def test_cancelled(self) -> None:
        """Who waits no more does not end the call for the others."""
        first, second = (self.shared.get("a", self.call) for _ in range(2))
        first.cancel()
        self.failureResultOf(first, CancelledError)
        self.calls[0].callback(1)
        self.assertEqual(self.successResultOf(second), 1)
