"""Rates of projects: what is let in, when, and what becomes of the tokens that are not spent."""

from __future__ import annotations

from collections.abc import Sequence

from attrs import define, field
from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

from zaqar_gateway.errors import StoreFault, StoreUnavailable, TooManyRequests
from zaqar_gateway.interfaces import IRates
from zaqar_gateway.model import Draw, Drawn
from zaqar_gateway.operations.rates import IDLE_S, Rate, Rates
from zaqar_gateway.operations.refusals import Refusals
from zaqar_gateway.storage.memory import MemoryStorage
from zaqar_gateway.testing.base import clock_at_epoch


@implementer(IRates)
@define
class LaterRates:
    """Asks a store when the test says so, or fails."""

    store: IRates
    error: Exception | None = None
    is_held: bool = False
    draws: list[Sequence[Draw]] = field(factory=list)
    waiting: list[Deferred[None]] = field(factory=list)

    async def draw(self, project: str, draws: Sequence[Draw]) -> Sequence[Drawn]:
        """See :class:`zaqar_gateway.interfaces.IRates`."""
        self.draws.append(draws)
        if self.is_held:
            self.waiting.append(Deferred())
            await self.waiting[-1]
        if self.error is not None:
            raise self.error
        return await self.store.draw(project, draws)

    def release(self) -> None:
        """Let the oldest go on."""
        self.waiting.pop(0).callback(None)


class RatesCase(SynchronousTestCase):
    """Gateways over one store."""

    def setUp(self) -> None:
        self.clock = clock_at_epoch()
        self.store = LaterRates(MemoryStorage(self.clock).rates)
        self.refusals = Refusals()

    def rates(self, requests: Rate | None = Rate(10, 100), size: Rate | None = None) -> Rates:  # noqa: B008
        """The rates as one gateway has them."""
        made = Rates(self.store, requests, size, self.clock, self.refusals)
        self.addCleanup(lambda: self.successResultOf(Deferred.fromCoroutine(made.stop())))
        return made

    def admitted(self, rates: Rates, size: int = 0, project: str = "p", most: int = 10_000) -> int:
        """Send until one is refused; how many were let in."""
        for number in range(most):
            try:
                rates.spend(project, size)
            except TooManyRequests as error:
                self.error = error
                return number
        return most

    def wait_s(self, rates: Rates, size: int = 0) -> int:
        """Retry-After of a request that is refused."""
        with self.assertRaises(TooManyRequests) as caught:
            rates.spend("p", size)
        return int(caught.exception.retry_after_s)


class RequestTests(RatesCase):
    """Requests."""

    def test_burst_and_rate(self) -> None:
        """A burst is let in, and then as many as the rate says."""
        rates = self.rates()
        self.assertEqual(self.admitted(rates), 100)
        for _ in range(5):
            self.clock.advance(1)
            self.assertEqual(self.admitted(rates), 10)
        self.assertEqual(self.refusals.counts, {"rates.requests_per_s": 6})

    def test_projects(self) -> None:
        """One project takes nothing of another's."""
        rates = self.rates()
        self.assertEqual(self.admitted(rates), 100)
        self.assertEqual(self.admitted(rates, project="other"), 100)

    def test_text(self) -> None:
        """A refusal says what the rate is and when to come again."""
        rates = self.rates(Rate(0.25, 10))
        self.admitted(rates)
        self.assertEqual(str(self.error), "The project may send 0.25 requests a second; the next is accepted in 4 s.")

    def test_retry_after(self) -> None:
        """After the time that a refusal tells the next one is let in; a second less is too early."""
        rates = self.rates(Rate(0.25, 10))
        self.admitted(rates)
        self.assertEqual(self.wait_s(rates), 4)
        self.clock.advance(3)
        self.assertEqual(self.wait_s(rates), 1)
        self.clock.advance(1)
        self.assertEqual(self.admitted(rates), 1)

    def test_gateways_share(self) -> None:
        """Two gateways let in what one would, and one of them at most a batch less while the other one holds that."""
        first, second = self.rates(), self.rates()
        taken = 0
        for _ in range(20):
            taken += self.admitted(first, most=3) + self.admitted(second, most=3)
        self.assertGreaterEqual(taken, 90)
        self.assertLessEqual(taken, 100)
        self.clock.advance(100)
        self.assertLessEqual(taken + self.admitted(first) + self.admitted(second), 200)

    def test_no_call_for_each(self) -> None:
        """The store is asked for batches, not for each request."""
        rates = self.rates(Rate(1000, 10_000))
        self.assertEqual(self.admitted(rates, most=5000), 5000)
        self.assertLessEqual(len(self.store.draws), 11)

    def test_refusals_are_cheap(self) -> None:
        """A project that goes on after its burst makes the store be asked ten times a second at most."""
        rates = self.rates(Rate(100, 1000))
        self.admitted(rates)
        before = len(self.store.draws)
        for _ in range(1000):
            self.clock.advance(0.001)
            self.admitted(rates, most=5)
        self.assertLessEqual(len(self.store.draws) - before, 11)

    def test_lent(self) -> None:
        """Nobody waits for the store: a batch is lent meanwhile, and missing afterwards."""
        rates = self.rates()
        self.store.is_held = True
        self.assertEqual(self.admitted(rates), 10)
        self.assertEqual((self.error.retry_after_s, len(self.store.draws)), (1, 1))
        self.store.is_held = False
        self.store.release()
        self.assertEqual(self.admitted(rates), 90)

    def test_lent_of_a_small_burst(self) -> None:
        """At least ten are lent, yet never more than the burst."""
        self.store.is_held = True
        self.assertEqual(self.admitted(self.rates(Rate(1, 20))), 10)
        self.assertEqual(self.admitted(self.rates(Rate(1, 5))), 5)
        while self.store.waiting:
            self.store.release()
        self.store.is_held = False

    def test_store_away(self) -> None:
        """While the store is away requests are let in, for they say themselves that it is."""
        rates = self.rates()
        for error in (StoreUnavailable("There is no connection to Redis."), StoreFault(cause="WRONGTYPE")):
            self.store.error = error
            self.assertEqual(self.admitted(rates, most=1000), 1000)
        self.store.error = None
        self.assertLessEqual(self.admitted(rates), 110)


class SizeTests(RatesCase):
    """Bytes."""

    def test_bytes(self) -> None:
        """Bytes are let in by their own rate; a refusal is for whatever there is too little of."""
        rates = self.rates(Rate(10, 100), Rate(1000, 5000))
        self.assertEqual(self.admitted(rates, 500), 10)
        self.assertIn("1000 bytes of requests a second", str(self.error))
        self.clock.advance(1)
        self.assertEqual(self.admitted(rates, 500), 2)
        self.assertEqual(self.refusals.counts, {"rates.bytes_per_s": 2})

    def test_bytes_alone(self) -> None:
        """There need not be a rate of requests."""
        rates = self.rates(None, Rate(1000, 5000))
        self.assertEqual(self.admitted(rates, 0, most=1000), 1000)
        self.assertEqual(self.admitted(rates, 100), 50)

    def test_larger_than_the_burst(self) -> None:
        """A request that is larger than the burst is let in, and others wait until it is paid for."""
        rates = self.rates(None, Rate(1000, 5000))
        rates.spend("p", 20_000)
        self.assertGreaterEqual(self.wait_s(rates), 15)
        self.clock.advance(15.2)
        rates.spend("p", 1)


class GivingBackTests(RatesCase):
    """What is not spent."""

    def test_idle(self) -> None:
        """What an idle project has not spent comes back within some seconds, and nothing is kept of it."""
        first, second = self.rates(Rate(0.001, 100)), self.rates(Rate(0.001, 100))
        self.assertEqual(self.admitted(first, most=1), 1)
        self.clock.pump([IDLE_S, IDLE_S])
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.assertEqual(self.admitted(second), 99)

    def test_busy(self) -> None:
        """A project that goes on asking keeps what it has."""
        rates = self.rates()
        for _ in range(4):
            rates.spend("p", 0)
            self.clock.advance(IDLE_S)
        self.assertEqual(len(self.clock.getDelayedCalls()), 1)

    def test_wait_is_kept(self) -> None:
        """Being idle does not shorten the time to wait."""
        rates = self.rates(Rate(0.01, 10))
        self.admitted(rates)
        self.clock.pump([IDLE_S] * 3)
        self.assertEqual(self.wait_s(rates), 94)

    def test_stop(self) -> None:
        """At the end of a gateway all comes back; where the store is away that fills up by itself."""
        first, second = self.rates(Rate(0.001, 100)), self.rates(Rate(0.001, 100))
        first.spend("p", 0)
        self.successResultOf(Deferred.fromCoroutine(first.stop()))
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.assertEqual(self.admitted(second, most=50), 50)
        self.store.error = StoreUnavailable("There is no connection to Redis.")
        self.successResultOf(Deferred.fromCoroutine(second.stop()))
