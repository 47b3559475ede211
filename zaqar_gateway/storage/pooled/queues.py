"""Queues, messages and claims, each in the store of its pool."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from attrs import define
from msgspec.structs import replace
from zope.interface import implementer

from zaqar_gateway.errors import QueueMissing, StoreUnavailable
from zaqar_gateway.interfaces import ICatalog, IClaimStore, IDeadLetterStore, IMessageStore, IQueueStore, IStorage
from zaqar_gateway.model import (
    Claim,
    Letter,
    Message,
    MessagePage,
    NewPost,
    Place,
    QueueEntry,
    QueueRules,
    QueueStats,
    SendBack,
    SentBack,
    StreamPage,
    Usage,
)
from zaqar_gateway.storage.pooled.directory import CONFIGURED, Directory, answers
from zaqar_gateway.storage.pooled.placements import Placements, queues_of, stores_of

_POST_TRIES = 5


@implementer(IQueueStore)
@define(eq=False)
class PooledQueues:
    """Queues, or topics, of :class:`~zaqar_gateway.storage.pooled.PooledStorage`."""

    _placements: Placements
    _catalog: ICatalog
    _directory: Directory
    _is_topics: bool

    def _place(self, project: str, queue: str) -> Place:
        return Place(project, queue, self._is_topics)

    async def _at(self, project: str, queue: str) -> IQueueStore:
        place = self._place(project, queue)
        return queues_of(await self._placements.store(place), place)

    async def create(self, project: str, queue: str, metadata: bytes, rules: QueueRules) -> bool:
        if await (await self._at(project, queue)).get(project, queue) is not None:
            return False
        return await self._placements.make(self._place(project, queue), metadata, rules)

    async def get(self, project: str, queue: str) -> bytes | None:
        return await (await self._at(project, queue)).get(project, queue)

    async def update(self, project: str, queue: str, seen: bytes, metadata: bytes, rules: QueueRules) -> bool:
        place = self._place(project, queue)
        pool = await self._placements.pool(place)
        store = queues_of(await self._directory.store(pool), place)
        if rules.dead_letter_queue is not None and await store.get(project, queue) == seen:
            await self._placements.bind(place, pool, rules)
        return await store.update(project, queue, seen, metadata, rules)

    async def delete(self, project: str, queue: str) -> None:
        await self._placements.delete(self._place(project, queue))

    async def _placed(self, project: str, marker: str, limit: int) -> list[tuple[str, str]]:
        return await self._catalog.list(project, self._is_topics, marker, limit)

    async def _own(self, project: str, marker: str, limit: int) -> list[tuple[str, str]]:
        """Names in the configured store, where some may be that have no placement."""
        store = await self._directory.store(CONFIGURED)
        page = await queues_of(store, self._place(project, "")).list(project, marker, limit)
        return [(entry.name, CONFIGURED) for entry in page]

    async def _entries(self, project: str, names: dict[str, str]) -> list[QueueEntry]:
        """Those queues that exist, in order."""

        async def metadata(name: str, pool: str) -> bytes | None:
            if not await self._directory.knows(pool):
                return None  # nothing was in it any more when it was removed
            store = queues_of(await self._directory.store(pool), self._place(project, name))
            return await store.get(project, name)

        order = sorted(names)
        found = await answers([metadata(name, names[name]) for name in order])
        return [QueueEntry(name, text) for name, text in zip(order, found, strict=True) if text is not None]

    async def count(self, project: str) -> int:
        return await self._placements.count(project, self._is_topics)

    async def usage(self, project: str) -> Usage:
        stores = await stores_of(self._catalog, self._directory, project, self._is_topics)
        found = await answers([queues_of(store, self._place(project, "")).usage(project) for store in stores])
        return Usage(sum(usage.messages for usage in found), sum(usage.bytes for usage in found))

    async def stats(self, project: str, queue: str) -> QueueStats | None:
        return await (await self._at(project, queue)).stats(project, queue)

    async def purge(self, project: str, queue: str) -> None:
        await (await self._at(project, queue)).purge(project, queue)

    async def list(self, project: str, marker: str, limit: int) -> list[QueueEntry]:
        found: list[QueueEntry] = []
        while len(found) < limit:
            wanted = limit - len(found)
            placed, own = await answers([self._placed(project, marker, wanted), self._own(project, marker, wanted)])
            ends = [page[-1][0] for page in (placed, own) if len(page) == wanted]
            end = min(ends, default=None)  # behind it the page that ends there may have names that are not known yet
            names = {name: pool for name, pool in (*own, *placed) if end is None or name <= end}
            found += await self._entries(project, names)
            if end is None:
                break
            marker = end
        return found[:limit]


@implementer(IMessageStore)
@define(eq=False)
class PooledMessages:
    """Messages of :class:`~zaqar_gateway.storage.pooled.PooledStorage`."""

    _placements: Placements
    _directory: Directory
    _is_topics: bool

    def _of(self, store: IStorage) -> IMessageStore:
        return store.topic_messages if self._is_topics else store.messages

    async def _at(self, project: str, queue: str) -> IMessageStore:
        return self._of(await self._placements.store(Place(project, queue, self._is_topics)))

    async def post(self, project: str, queue: str, new: NewPost) -> list[str]:
        place, without_making = Place(project, queue, self._is_topics), replace(new, create=False)
        for _ in range(_POST_TRIES):
            store = await self._at(project, queue)
            try:
                # A process that was held up may go by a placement that is no more: it must not make the queue there.
                return await store.post(project, queue, without_making)
            except QueueMissing:
                if not new.create:
                    raise
                await self._placements.make(place)
        raise StoreUnavailable("The queue is made and deleted by many at once.")

    async def get(self, project: str, queue: str, ids: Sequence[str]) -> list[Message]:
        return await (await self._at(project, queue)).get(project, queue, ids)

    async def list(
        self,
        project: str,
        queue: str,
        *,
        marker: str | None,
        limit: int,
        skip_client: bytes | None,
        include_claimed: bool,
        include_delayed: bool,
    ) -> MessagePage:
        return await (await self._at(project, queue)).list(
            project,
            queue,
            marker=marker,
            limit=limit,
            skip_client=skip_client,
            include_claimed=include_claimed,
            include_delayed=include_delayed,
        )

    async def read(self, project: str, queue: str, marker: str, limit: int) -> StreamPage:
        return await (await self._at(project, queue)).read(project, queue, marker, limit)

    async def delete(self, project: str, queue: str, message_id: str, claim_id: str | None) -> None:
        await (await self._at(project, queue)).delete(project, queue, message_id, claim_id)

    async def delete_many(
        self, project: str, queue: str, ids: Sequence[str], claim_ids: Sequence[str] | None
    ) -> None:
        await (await self._at(project, queue)).delete_many(project, queue, ids, claim_ids)

    async def pop(
        self, project: str, queue: str, limit: int, *, key_ids: Collection[bytes] | None = None
    ) -> Sequence[Message]:
        return await (await self._at(project, queue)).pop(project, queue, limit, key_ids=key_ids)

    async def due_in(self, project: str, queue: str) -> int | None:
        return await (await self._at(project, queue)).due_in(project, queue)


@implementer(IClaimStore)
@define(eq=False)
class PooledClaims:
    """Claims of :class:`~zaqar_gateway.storage.pooled.PooledStorage`.

    A dead letter queue is in the pool of the queues whose dead letters it gets, so that a message is moved in one step.
    """

    _placements: Placements

    async def _at(self, project: str, queue: str) -> IClaimStore:
        return (await self._placements.store(Place(project, queue))).claims

    async def create(self, project: str, queue: str, ttl_s: int, grace_s: int, limit: int) -> Claim | None:
        return await (await self._at(project, queue)).create(project, queue, ttl_s, grace_s, limit)

    async def create_each(self, project: str, queue: str, ttl_s: int, grace_s: int, limit: int) -> list[Message]:
        return await (await self._at(project, queue)).create_each(project, queue, ttl_s, grace_s, limit)

    async def get(self, project: str, queue: str, claim_id: str) -> Claim | None:
        return await (await self._at(project, queue)).get(project, queue, claim_id)

    async def update(self, project: str, queue: str, claim_id: str, ttl_s: int, grace_s: int) -> bool:
        return await (await self._at(project, queue)).update(project, queue, claim_id, ttl_s, grace_s)

    async def release(self, project: str, queue: str, claim_id: str) -> None:
        await (await self._at(project, queue)).release(project, queue, claim_id)

    async def live(self, project: str, queue: str, claim_ids: Sequence[str]) -> Collection[str]:
        return await (await self._at(project, queue)).live(project, queue, claim_ids)


@implementer(IDeadLetterStore)
@define(eq=False)
class PooledDeadLetters:
    """Dead letters of :class:`~zaqar_gateway.storage.pooled.PooledStorage`.

    They are in the pool of the queue that they came from, so that nearly all go back in one step there.  Where the queue that
    one goes to is in another pool, no step sees both: it is stored there first, and then removed here.  A gateway that dies
    in between leaves it in both; who repeats the request finds it taken in, and only removes it.  So none is lost, and one
    that somebody claims here in that time is had twice.
    """

    _placements: Placements
    _directory: Directory

    async def list(self, project: str, queue: str, *, marker: str | None, limit: int) -> list[Message]:
        store = await self._placements.store(Place(project, queue))
        return await store.dead_letters.list(project, queue, marker=marker, limit=limit)

    async def send_back(self, project: str, queue: str, asked: SendBack, *, create: bool = True) -> SentBack:
        pool = await self._placements.pool(Place(project, queue))
        store = await self._directory.store(pool)
        number = 0
        for _ in range(asked.limit + _POST_TRIES):  # each time something is sent, or a queue is made
            sent = await store.dead_letters.send_back(project, queue, asked.after(number), create=False)
            number += sent.number
            if sent.missing is None:
                return replace(sent, number=number)
            target = Place(project, sent.missing)
            there = await self._placements.pool(target)
            carried = 0
            if there != pool:
                carried = await self._carry(project, queue, store, asked.after(number), target, there)
            if carried:
                number += carried
            elif create:
                await self._placements.make(target)
            else:
                return replace(sent, number=number)
        raise StoreUnavailable("The queue is made and deleted by many at once.")

    async def _carry(
        self, project: str, queue: str, store: IStorage, asked: SendBack, target: Place, pool: str
    ) -> int:
        """Send to another pool what comes next and goes to one queue there.

        :return: how many went; 0 where that queue is missing.
        """
        letters = await store.dead_letters.letters(project, queue, asked, target.name)
        other = await self._directory.store(pool)
        try:
            await other.dead_letters.adopt(project, target.name, letters, asked)
        except QueueMissing:
            return 0
        await store.messages.delete_many(project, queue, [one.id for one in letters], None)
        return len(letters)

    async def letters(self, project: str, queue: str, asked: SendBack, to: str) -> Sequence[Letter]:
        store = await self._placements.store(Place(project, queue))
        return await store.dead_letters.letters(project, queue, asked, to)

    async def adopt(self, project: str, queue: str, letters: Sequence[Letter], asked: SendBack) -> None:
        store = await self._placements.store(Place(project, queue))
        await store.dead_letters.adopt(project, queue, letters, asked)
