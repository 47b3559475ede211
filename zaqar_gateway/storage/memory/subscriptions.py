"""Subscriptions, as clients see them and as the readers of the log of posts do."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from attrs import define
from zope.interface import implementer

from zaqar_gateway.interfaces import ISubscriptionStore
from zaqar_gateway.model import CONFIRM, UNSUBSCRIBE, LogPage, NewSubscription, Placed, Subscription
from zaqar_gateway.storage import ids, subscriber_taken, subscriptions_exceeded
from zaqar_gateway.storage.memory.ledger import Follower, Ledger
from zaqar_gateway.storage.memory.queues import Space


@implementer(ISubscriptionStore)
@define(eq=False)
class MemorySubscriptions:
    """Subscriptions of queues, or of topics, of :class:`~zaqar_gateway.storage.memory.MemoryStorage`."""

    _space: Space

    def _find(self, project: str, queue: str, now: int) -> Ledger | None:
        return self._space.ledgers.followed(self._space.place(project, queue), now)

    def _one(self, project: str, queue: str, subscription_id: str, now: int) -> tuple[Ledger, Follower] | None:
        ledger = self._find(project, queue, now)
        one = None if ledger is None else ledger.followers.get(subscription_id)
        return None if ledger is None or one is None else (ledger, one)

    async def create(self, project: str, queue: str, new: NewSubscription) -> Placed:
        now, ledgers = self._space.now(), self._space.ledgers
        self._check_quotas(project, queue, new, now)
        ranks = (self._space.queues.get((project, queue)) or self._space.create(project, queue)).ranks
        ledger = ledgers.open(self._space.place(project, queue), ranks, now)
        cursor = ids.format_cursor(ranks.last)
        one = ledger.with_subscriber(new.subscriber)
        is_new = one is None
        if one is None:
            one = ledger.begin(ledgers.new_id(), new, now)
            if one.owner:
                ledgers.own(ledger, one, now)
        if new.notice_s is not None and (is_new or not one.confirmed):
            ledger.notify(one, CONFIRM, new.notice_s, now)
        ledgers.owed(ledger, now)
        return Placed(one.id, is_new, one.confirmed, cursor)

    def _check_quotas(self, project: str, queue: str, new: NewSubscription, now: int) -> None:
        """:raises QuotaExceeded: there are as many as there may be."""
        if (project, queue) not in self._space.queues:
            self._space.check_room(project)
        most, ledger = self._space.quotas.subscriptions_per_queue, self._find(project, queue, now)
        if most and ledger is not None and len(ledger.followers) >= most and not ledger.with_subscriber(new.subscriber):
            raise subscriptions_exceeded(most)

    async def count(self, project: str) -> int:
        return self._space.ledgers.count(project, self._space.is_topics, self._space.now())

    async def get(self, project: str, queue: str, subscription_id: str) -> Subscription | None:
        now = self._space.now()
        found = self._one(project, queue, subscription_id, now)
        return None if found is None else found[1].subscription(now)

    async def has(self, project: str, queue: str, subscriber: str) -> bool:
        ledger = self._find(project, queue, self._space.now())
        return ledger is not None and ledger.with_subscriber(subscriber) is not None

    async def list(self, project: str, queue: str, marker: str, limit: int) -> list[Subscription]:
        now = self._space.now()
        ledger = self._find(project, queue, now)
        return [] if ledger is None else [one.subscription(now) for one in ledger.page(marker, limit)]

    async def update(
        self,
        project: str,
        queue: str,
        subscription_id: str,
        *,
        subscriber: str | None,
        ttl_s: int | None,
        options: bytes | None,
        notice_s: int | None,
    ) -> bool:
        now = self._space.now()
        found = self._one(project, queue, subscription_id, now)
        if found is None:
            return False
        ledger, one = found
        if subscriber is not None and subscriber != one.subscriber:
            if ledger.with_subscriber(subscriber) is not None:
                raise subscriber_taken(subscriber)
            ledger.readdress(one, subscriber)
            if notice_s is not None:
                ledger.notify(one, CONFIRM, notice_s, now)
        if ttl_s is not None:
            ledger.renew(one, ttl_s, now)
        if options is not None:
            one.options = options
        ledger.changed()
        self._space.ledgers.owed(ledger, now)
        return True

    async def confirm(
        self, project: str, queue: str, subscription_id: str, confirmed: bool, *, required: bool, notice_s: int | None
    ) -> bool:
        now = self._space.now()
        found = self._one(project, queue, subscription_id, now)
        if found is None:
            return False
        ledger, one = found
        if one.confirmed != confirmed:
            ledger.confirm(one, confirmed, required=required)
        if notice_s is not None and not confirmed:
            ledger.notify(one, UNSUBSCRIBE, notice_s, now)
        self._space.ledgers.owed(ledger, now)
        return True

    async def delete(self, project: str, queue: str, subscription_id: str) -> Subscription | None:
        now = self._space.now()
        found = self._one(project, queue, subscription_id, now)
        if found is None:
            return None
        ledger, one = found
        ledger.end(one)
        self._space.ledgers.noted(ledger, now)
        if one.owner:
            self._space.ledgers.bells.changed(ledger.place)
        return one.subscription(now)

    async def purge(self, project: str, queue: str) -> None:
        now = self._space.now()
        ledger = self._find(project, queue, now)
        if ledger is not None:
            for one in list(ledger.followers.values()):
                ledger.end(one)
            self._space.ledgers.noted(ledger, now)
            self._space.ledgers.bells.changed(ledger.place)

    async def read(self, project: str, queue: str, cursor: str, limit: int) -> LogPage:
        ledger = self._find(project, queue, self._space.now())
        return LogPage([], cursor, False, 0) if ledger is None else ledger.read(int(cursor, 16), limit)

    async def live(self, project: str, queue: str, ids: Sequence[str]) -> Collection[str]:
        ledger = self._find(project, queue, self._space.now())
        return () if ledger is None else [each for each in ids if each in ledger.followers]
