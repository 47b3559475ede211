"""Subscriptions, each in the store of the pool of its queue or topic."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from attrs import define, field
from zope.interface import implementer

from zaqar_gateway.interfaces import ICatalog, ISubscriptionStore
from zaqar_gateway.model import LogPage, NewSubscription, Place, Placed, Subscription
from zaqar_gateway.storage import subscriptions_exceeded
from zaqar_gateway.storage.pooled.directory import Directory, answers
from zaqar_gateway.storage.pooled.placements import Placements, queues_of, stores_of, subscriptions_of


@implementer(ISubscriptionStore)
@define(eq=False)
class PooledSubscriptions:
    """Subscriptions of :class:`~zaqar_gateway.storage.pooled.PooledStorage`.

    :ivar per_queue_max: the most of a queue, which its store sees to, too; 0: any number.
    :ivar socketed: the pools in which connections of this process have subscribed.
    """

    _placements: Placements
    _catalog: ICatalog
    _directory: Directory
    _is_topics: bool
    per_queue_max: int = 0
    socketed: set[str] = field(factory=set)

    async def _at(self, project: str, queue: str) -> ISubscriptionStore:
        place = Place(project, queue, self._is_topics)
        return subscriptions_of(await self._placements.store(place), place)

    async def create(self, project: str, queue: str, new: NewSubscription) -> Placed:
        place = Place(project, queue, self._is_topics)
        store = await self._placements.store(place)
        if await queues_of(store, place).get(project, queue) is None:
            await self._look(subscriptions_of(store, place), project, queue, new.subscriber)
            await self._placements.make(place)
        pool = await self._placements.pool(place)
        store = await self._directory.store(pool)
        if new.owner:
            self.socketed.add(pool)
        return await subscriptions_of(store, place).create(project, queue, new)

    async def _look(self, store: ISubscriptionStore, project: str, queue: str, subscriber: str) -> None:
        """See whether there may be one more where the queue is missing, which is not to be made for nothing."""
        most = self.per_queue_max
        if most:
            found = await store.list(project, queue, "", most)
            if len(found) >= most and all(each.subscriber != subscriber for each in found):
                raise subscriptions_exceeded(most)

    async def count(self, project: str) -> int:
        stores = await stores_of(self._catalog, self._directory, project, self._is_topics)
        place = Place(project, "", self._is_topics)
        return sum(await answers([subscriptions_of(store, place).count(project) for store in stores]))

    async def get(self, project: str, queue: str, subscription_id: str) -> Subscription | None:
        return await (await self._at(project, queue)).get(project, queue, subscription_id)

    async def has(self, project: str, queue: str, subscriber: str) -> bool:
        return await (await self._at(project, queue)).has(project, queue, subscriber)

    async def list(self, project: str, queue: str, marker: str, limit: int) -> list[Subscription]:
        return await (await self._at(project, queue)).list(project, queue, marker, limit)

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
        return await (await self._at(project, queue)).update(
            project,
            queue,
            subscription_id,
            subscriber=subscriber,
            ttl_s=ttl_s,
            options=options,
            notice_s=notice_s,
        )

    async def confirm(
        self, project: str, queue: str, subscription_id: str, confirmed: bool, *, required: bool, notice_s: int | None
    ) -> bool:
        return await (await self._at(project, queue)).confirm(
            project, queue, subscription_id, confirmed, required=required, notice_s=notice_s
        )

    async def delete(self, project: str, queue: str, subscription_id: str) -> Subscription | None:
        return await (await self._at(project, queue)).delete(project, queue, subscription_id)

    async def purge(self, project: str, queue: str) -> None:
        await (await self._at(project, queue)).purge(project, queue)

    async def read(self, project: str, queue: str, cursor: str, limit: int) -> LogPage:
        return await (await self._at(project, queue)).read(project, queue, cursor, limit)

    async def live(self, project: str, queue: str, ids: Sequence[str]) -> Collection[str]:
        return await (await self._at(project, queue)).live(project, queue, ids)
