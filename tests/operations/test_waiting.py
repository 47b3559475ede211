"""Operations that wait: what becomes of a claim that was made for somebody who hung up meanwhile."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from attrs import define
from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

from zaqar_gateway.errors import StoreUnavailable
from zaqar_gateway.interfaces import IAsker
from zaqar_gateway.limits import Limits
from zaqar_gateway.live.waiting import Waits
from zaqar_gateway.model import Claim, Context, NewMessage, NewPost
from zaqar_gateway.operations.claims import Claims
from zaqar_gateway.operations.fields import ClaimCreate
from zaqar_gateway.storage.memory import MemoryStorage
from zaqar_gateway.testing.base import clock_at_epoch


@implementer(IAsker)
@define
class Hasty:
    """Hangs up when the test says so, and waits before that."""

    left: bool = False
    until_s: float | None = None

    def when_left(self, call: Callable[[], None]) -> Callable[[], None]:
        """See :class:`IAsker`."""
        return lambda: None


class ClaimTests(SynchronousTestCase):
    """``claim_create``."""

    def setUp(self) -> None:
        self.clock = clock_at_epoch()
        self.storage = MemoryStorage(self.clock)
        self.asker = Hasty()
        self.leaves = True
        self.failing = False

    async def create(self, *given: Any) -> Claim | None:
        """Claims, and hangs up before the answer is there."""
        claim = await self.storage.claims.create(*given)
        if claim is not None:
            self.asker.left = self.leaves
        return claim

    async def release(self, *given: Any) -> None:
        """Releases, where it can."""
        if self.failing:
            raise StoreUnavailable("It is away.")
        await self.storage.claims.release(*given)

    def claim(self) -> Claim | None:
        """Wait for a claim, which can be had a second later."""
        claims = Claims(self, Limits(), Waits(self.storage, self.clock))  # type: ignore[arg-type]
        work = claims.create(Context("p", asker=self.asker), ClaimCreate("q", wait=9))
        waiting = Deferred.fromCoroutine(work)
        self.clock.advance(1)
        self.assertNoResult(waiting)
        posting = self.storage.messages.post("p", "q", NewPost(b"c", [NewMessage(b"1")], size=1, ttl_default_s=600, size_max=9))
        self.successResultOf(Deferred.fromCoroutine(posting))
        self.clock.advance(0)
        return self.successResultOf(waiting)

    def free(self) -> int:
        """How many messages are free."""
        stats = self.successResultOf(Deferred.fromCoroutine(self.storage.queues.stats("p", "q")))
        assert stats is not None
        return stats.free

    def test_kept(self) -> None:
        """Whoever is there gets the claim."""
        self.leaves = False
        self.assertIsNotNone(self.claim())
        self.assertEqual(self.free(), 0)

    def test_released(self) -> None:
        """A claim for one who has hung up meanwhile is released."""
        self.assertIsNone(self.claim())
        self.assertEqual(self.free(), 1)

    def test_not_released(self) -> None:
        """Where the store is away by then the claim lapses as any other."""
        self.failing = True
        self.assertIsNone(self.claim())
        self.assertEqual(self.free(), 0)
        self.clock.advance(300)
        self.assertEqual(self.free(), 1)
