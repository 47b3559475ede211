"""Deliveries: leases on what subscribers are owed, and what was given up."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Collection, Sequence

from attrs import define
from zope.interface import implementer

from zaqar_gateway.interfaces import IDeliveryStore
from zaqar_gateway.model import FailedDelivery, Failing, Owed, Place, Post, Progress
from zaqar_gateway.storage.memory.ledger import Follower, Ledger
from zaqar_gateway.storage.memory.ledgers import Ledgers
from zaqar_gateway.storage.memory.queues import Space


@implementer(IDeliveryStore)
@define(eq=False)
class MemoryDeliveries:
    """Deliveries of :class:`~zaqar_gateway.storage.memory.MemoryStorage`."""

    _queues: Space
    _topics: Space

    @property
    def _ledgers(self) -> Ledgers:
        return self._queues.ledgers

    def _owed(self, ledger: Ledger, one: Follower, posts: list[Post], now: int) -> Owed:
        """What is said to whoever leases this."""
        place = ledger.place
        queue = (self._topics if place.is_topic else self._queues).queues.get((place.project, place.name))
        policy = b"" if queue is None else queue.rules.retry_policy
        gap, one.gap = one.gap, False
        return Owed(place, one.subscription(now), one.token, posts, one.attempts, policy, gap)

    async def due(self, limit: int) -> list[Place]:
        return [ledger.place for ledger in self._ledgers.due(self._queues.now(), limit)]

    async def places(self, after: str, limit: int) -> tuple[list[Place], str]:
        found, serial = self._ledgers.after(int(after or 0), limit, self._queues.now())
        return [ledger.place for ledger in found], "" if serial is None else str(serial)

    async def take(self, place: Place, *, limit: int, batch: int, lease_ms: int, required: bool) -> list[Owed]:
        now = self._queues.now()
        ledger = self._ledgers.followed(place, now)
        if ledger is None:
            return []
        taken: list[Owed] = []
        for one in ledger.due(now):
            posts = ledger.owed(one, batch, required=required)
            if not posts:
                ledger.rest(one)
                continue
            ledger.lease(one, self._ledgers.token(), now + lease_ms)
            taken.append(self._owed(ledger, one, posts, now))
            if len(taken) == limit:
                break
        self._ledgers.noted(ledger, now)
        return taken

    async def report(
        self, place: Place, progress: Progress, *, batch: int, lease_ms: int, required: bool
    ) -> Owed | None:
        now = self._queues.now()
        ledger = self._ledgers.followed(place, now)
        one = None if ledger is None else ledger.followers.get(progress.subscription_id)
        if ledger is None or one is None or not ledger.holds(one, progress.token, now):
            return None
        for given in progress.given_up:
            ledger.fail(one, given, self._ledgers.failure_id(now), now)
        ledger.move(one, int(progress.cursor or "0", 16))
        had_gap = one.gap
        posts = ledger.owed(one, batch, required=required)
        # What was attempted may have been lost, or passed over with all that followed.
        one.attempts = progress.attempts if posts and one.gap == had_gap else 0
        owed = None
        if progress.wait_ms is not None:
            ledger.wait(one, now + progress.wait_ms)
        elif posts:
            ledger.lease(one, one.token, now + lease_ms)
            owed = self._owed(ledger, one, posts, now)
        else:
            ledger.rest(one)
        self._ledgers.noted(ledger, now)
        return owed

    async def extend(self, place: Place, leases: Sequence[tuple[str, int]], lease_ms: int) -> Collection[str]:
        now = self._queues.now()
        ledger = self._ledgers.followed(place, now)
        if ledger is None:
            return ()
        held: list[str] = []
        for subscription_id, token in leases:
            one = ledger.followers.get(subscription_id)
            if one is not None and ledger.holds(one, token, now):
                ledger.lease(one, token, now + lease_ms)
                held.append(subscription_id)
        self._ledgers.noted(ledger, now)
        return held

    async def failing(self, limit: int) -> list[Failing]:
        found = self._ledgers.failing(self._queues.now())
        return [Failing(ledger.place, len(ledger.failures)) for ledger in found[:limit]]

    async def failures(self, place: Place, marker: str, limit: int) -> list[FailedDelivery]:
        now = self._queues.now()
        ledger = self._ledgers.find(place, now)
        if ledger is None:
            return []
        kept = list(ledger.failures)
        start = bisect_right(kept, marker)
        return [ledger.failures[each].told(each, now) for each in kept[start : start + limit]]

    async def resend(self, place: Place, ids: Sequence[str] | None, limit: int) -> int:
        now = self._queues.now()
        ledger = self._ledgers.find(place, now)
        if ledger is None:
            return 0
        kept = list(ledger.failures) if ids is None else sorted(set(ids) & ledger.failures.keys())
        count = ledger.resend(kept, limit, now)
        self._ledgers.owed(ledger, now)
        return count

    async def beat(self, gateway: str) -> tuple[Sequence[str], bool]:
        return self._ledgers.beat(gateway, self._queues.now())

    async def leave(self, gateway: str) -> None:
        self._ledgers.leave(gateway, self._queues.now())
