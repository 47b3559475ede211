"""Subscriptions and deliveries of a store that encrypts."""

from __future__ import annotations

from contextlib import suppress

from attrs import define, field
from msgspec.structs import replace
from twisted.logger import Logger
from twisted.python.components import proxyForInterface
from zope.interface import implementer

from zaqar_gateway.errors import StoreError, StoreFault
from zaqar_gateway.interfaces import IDeliveryStore, ISubscriptionStore
from zaqar_gateway.model import (
    ENCRYPTED,
    LogPage,
    NewSubscription,
    Owed,
    Place,
    Placed,
    Post,
    Progress,
    Subscription,
)
from zaqar_gateway.storage.encryption.keys import Opener, any_encrypted
from zaqar_gateway.storage.encryption.queues import KnownQueues

UNREADABLE_WAIT_MS = 10_000
"""After what time it is tried again to open what is owed."""

_CAUSES_REMEMBERED = 1000

_log = Logger()


@implementer(ISubscriptionStore)
@define(eq=False)
class EncryptingSubscriptions(proxyForInterface(ISubscriptionStore, "_store")):  # type: ignore[misc]
    """Subscriptions of :class:`EncryptingStorage`.  What depends on which posts came before waits for those."""

    _store: ISubscriptionStore
    _opener: Opener
    _queues: KnownQueues

    async def create(self, project: str, queue: str, new: NewSubscription) -> Placed:
        await self._queues.turn((project, queue))
        return await self._store.create(project, queue, new)

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
        await self._queues.turn((project, queue))
        return await self._store.update(
            project, queue, subscription_id, subscriber=subscriber, ttl_s=ttl_s, options=options, notice_s=notice_s
        )

    async def confirm(
        self, project: str, queue: str, subscription_id: str, confirmed: bool, *, required: bool, notice_s: int | None
    ) -> bool:
        await self._queues.turn((project, queue))
        return await self._store.confirm(
            project, queue, subscription_id, confirmed, required=required, notice_s=notice_s
        )

    async def delete(self, project: str, queue: str, subscription_id: str) -> Subscription | None:
        await self._queues.turn((project, queue))
        return await self._store.delete(project, queue, subscription_id)

    async def purge(self, project: str, queue: str) -> None:
        await self._queues.turn((project, queue))
        await self._store.purge(project, queue)

    async def read(self, project: str, queue: str, cursor: str, limit: int) -> LogPage:
        page = await self._store.read(project, queue, cursor, limit)
        if any_encrypted(page.posts):
            return replace(page, posts=await self._opener.open_posts(project, queue, page.posts))
        return page


@implementer(IDeliveryStore)
@define(eq=False)
class EncryptingDeliveries(proxyForInterface(IDeliveryStore, "_store")):  # type: ignore[misc]
    """Deliveries of :class:`EncryptingStorage`.

    A subscription whose next post cannot be opened waits, and nothing is passed over: it goes on when there is a gateway
    that has the key.
    """

    _store: IDeliveryStore
    _opener: Opener
    _causes: set[str] = field(factory=set)  # that were logged

    async def take(self, place: Place, *, limit: int, batch: int, lease_ms: int, required: bool) -> list[Owed]:
        opened: list[Owed] = []
        while (wanted := limit - len(opened)) > 0:
            taken = await self._store.take(place, limit=wanted, batch=batch, lease_ms=lease_ms, required=required)
            for owed in taken:
                readable = await self._open(owed, batch=batch, lease_ms=lease_ms, required=required)
                if readable is not None:
                    opened.append(readable)
            if len(taken) < wanted:
                break
        return opened

    async def report(
        self, place: Place, progress: Progress, *, batch: int, lease_ms: int, required: bool
    ) -> Owed | None:
        owed = await self._store.report(place, progress, batch=batch, lease_ms=lease_ms, required=required)
        if owed is None:
            return None
        return await self._open(owed, batch=batch, lease_ms=lease_ms, required=required)

    async def _open(self, owed: Owed, *, batch: int, lease_ms: int, required: bool) -> Owed | None:
        """The same up to the first post that cannot be opened; where nothing is left the lease is ended."""
        if not any_encrypted(owed.posts):
            return owed
        posts: list[Post] = []
        for post in owed.posts:
            if post.body.startswith(ENCRYPTED):
                try:
                    body = await self._opener.open(owed.place.project, owed.place.name, post.body)
                except StoreError as error:
                    self._tell(owed.place, error)
                    break
                post = replace(post, body=body)
            posts.append(post)
        if posts:
            return replace(owed, posts=posts)
        wait = Progress(owed.subscription.id, owed.token, attempts=owed.attempts, wait_ms=UNREADABLE_WAIT_MS)
        with suppress(StoreError):  # the lease lapses, then
            await self._store.report(owed.place, wait, batch=batch, lease_ms=lease_ms, required=required)
        return None

    def _tell(self, place: Place, error: StoreError) -> None:
        """Log once why something cannot be opened; it is tried again and again."""
        cause = error.cause if isinstance(error, StoreFault) else str(error)
        if cause in self._causes:
            return
        if len(self._causes) >= _CAUSES_REMEMBERED:
            self._causes.clear()
        self._causes.add(cause)
        _log.error(
            "what is owed to subscribers of {name} in project {project} cannot be read and waits: {cause}",
            name=place.name,
            project=place.project,
            cause=cause,
        )
