"""What every :class:`~zaqar_gateway.interfaces.IRates` has to do."""

from __future__ import annotations

from zope.interface.verify import verifyObject

from zaqar_gateway.interfaces import IRates
from zaqar_gateway.model import Draw, Drawn
from zaqar_gateway.testing.base import StoreContract


class RatesContract(StoreContract):
    """Buckets of tokens: two of a project, of which tests look at the first unless they say otherwise."""

    async def draw(
        self,
        wanted: int,
        *,
        owed: int = 0,
        enough: int = 1,
        per_s: float = 2,
        burst: int = 100,
        project: str = "p",
        second: Draw = Draw(1, 1000, 0, 0, 1),  # noqa: B008 - it is immutable
    ) -> tuple[int, int]:
        """Draw; what was granted of the first, and the time to wait in ms."""
        drawn = await self.storage.rates.draw(project, [Draw(per_s, burst, owed, wanted, enough), second])
        self.assertEqual(len(drawn), 2)
        self.second = drawn[1]
        return drawn[0].granted, drawn[0].wait_ms

    def test_rates_provide_interface(self) -> None:
        """The store has them, with the method of the interface."""
        verifyObject(IRates, self.storage.rates)

    async def test_burst(self) -> None:
        """A bucket is full at first; where there is less than is wanted all that there is is granted."""
        self.assertEqual(await self.draw(40), (40, 0))
        self.assertEqual(await self.draw(70), (60, 500))
        self.assertEqual(await self.draw(1), (0, 500))
        self.assertEqual(await self.draw(0), (0, 0))

    async def test_filling(self) -> None:
        """A bucket fills at its rate, by whole tokens as seen from outside, and not beyond the burst."""
        await self.draw(100)
        self.clock.advance(0.25)
        self.assertEqual(await self.draw(1), (0, 250))
        self.clock.advance(0.25)
        self.assertEqual(await self.draw(5), (1, 500))
        self.clock.advance(10)
        self.assertEqual(await self.draw(50), (20, 500))
        self.clock.advance(1000)
        self.assertEqual(await self.draw(1000), (100, 500))

    async def test_clock_set_back(self) -> None:
        """A bucket fills as fast when the clock was set back."""
        await self.draw(100)
        self.clock.rightNow -= 3600
        self.assertEqual(await self.draw(1), (0, 500))
        self.clock.advance(1)
        self.assertEqual(await self.draw(5), (2, 500))

    async def test_enough(self) -> None:
        """The time to wait is the one until there are as many tokens as make another draw worth while."""
        await self.draw(100)
        self.assertEqual(await self.draw(1, enough=10), (0, 5000))
        self.clock.advance(4)
        self.assertEqual(await self.draw(20, enough=10), (8, 5000))

    async def test_debt(self) -> None:
        """What is owed is taken in any case, and filled up before anything is granted."""
        self.assertEqual(await self.draw(10, owed=120), (0, 10_500))
        self.clock.advance(10)
        self.assertEqual(await self.draw(1), (0, 500))
        self.clock.advance(0.5)
        self.assertEqual(await self.draw(1), (1, 0))

    async def test_giving_back(self) -> None:
        """What is given back is there at once, and never more than the burst."""
        await self.draw(100)
        self.assertEqual(await self.draw(0, owed=-30), (0, 0))
        self.assertEqual(await self.draw(100), (30, 500))
        await self.draw(0, owed=-1000)
        self.assertEqual(await self.draw(1000), (100, 500))

    async def test_buckets_apart(self) -> None:
        """The buckets of a project, and those of different projects, have nothing to do with each other."""
        await self.draw(100, second=Draw(1, 1000, 0, 600, 1))
        self.assertEqual(self.second, Drawn(600, 0))
        self.assertEqual(await self.draw(100, project="other"), (100, 0))
        self.assertEqual(await self.draw(1, second=Draw(1, 1000, 0, 600, 1)), (0, 500))
        self.assertEqual(self.second, Drawn(400, 1000))
