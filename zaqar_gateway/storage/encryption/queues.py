"""Queues, messages and claims of a store that encrypts; and what it knows of the queues."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Collection, Coroutine, Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any

from attrs import define
from msgspec.structs import replace
from twisted.internet.defer import Deferred
from twisted.python.components import proxyForInterface
from zope.interface import implementer

from zaqar_gateway.errors import EncryptionDiffers, GatewayError, KeyUnknown, StoreError, StoreUnavailable
from zaqar_gateway.interfaces import IClaimStore, IDeadLetterStore, IMessageStore, IQueueStore
from zaqar_gateway.model import (
    Claim,
    Message,
    MessagePage,
    NewPost,
    QueueRules,
    QueueStats,
    Replayed,
    StreamPage,
)
from zaqar_gateway.storage.encryption.keys import Keyring, Opener, any_encrypted

_POST_TRIES = 10


class KnownQueues:
    """What the store's answers have told of queues, and whose turn it is in a queue of which nothing is known.

    :ivar waiting: for each queue of which a post is finding it out, who waits for that.
    """

    def __init__(self, bound: int) -> None:
        self._bound = bound
        self._asks: OrderedDict[tuple[str, str], bool] = OrderedDict()
        self.waiting: dict[tuple[str, str], list[Deferred[None]]] = {}

    def asks(self, queue: tuple[str, str]) -> bool | None:
        """Whether a queue asks for encryption, by the last answer; ``None``: there was none."""
        asks = self._asks.get(queue)
        if asks is not None:
            self._asks.move_to_end(queue)
        return asks

    def learn(self, queue: tuple[str, str], asks: bool) -> None:
        self._asks[queue] = asks
        if len(self._asks) > self._bound:
            self._asks.popitem(last=False)

    def forget(self, queue: tuple[str, str]) -> None:
        self._asks.pop(queue, None)

    async def doubt(self, queue: tuple[str, str]) -> None:
        """Forget what a refusal has shown to be wrong, and wait for one's turn to find it out."""
        self.forget(queue)
        await self.turn(queue)

    async def turn(self, queue: tuple[str, str]) -> None:
        """Wait until nobody is finding it out; who came first goes on first."""
        while queue in self.waiting:
            mine: Deferred[None] = Deferred()
            self.waiting[queue].append(mine)
            await mine

    @contextmanager
    def finding_out(self, queue: tuple[str, str]) -> Iterator[None]:
        """Have others wait meanwhile."""
        self.waiting[queue] = []
        try:
            yield
        finally:
            for one in self.waiting.pop(queue):
                one.callback(None)


@implementer(IMessageStore)
@define(eq=False)
class EncryptingMessages:
    """Messages of :class:`EncryptingStorage`."""

    _store: IMessageStore
    _keyring: Keyring
    _opener: Opener
    _queues: KnownQueues

    async def post(self, project: str, queue: str, new: NewPost) -> list[str]:
        place = (project, queue)
        if self._queues.waiting:
            await self._queues.turn(place)
        known = self._queues.asks(place)
        if new.encrypted or known is False:  # nearly every post: the shortest way
            try:
                return await self._store.post(project, queue, new)
            except EncryptionDiffers:
                if new.encrypted:
                    raise
                await self._queues.doubt(place)
        if known:
            try:
                return await self._post_sealed(project, queue, new)
            except EncryptionDiffers:
                await self._queues.doubt(place)
        with self._queues.finding_out(place):
            asks = self._queues.asks(place) or False
            for _ in range(_POST_TRIES):
                try:
                    ids = await (self._post_sealed if asks else self._store.post)(project, queue, new)
                except EncryptionDiffers:
                    asks = not asks
                else:
                    if not isinstance(ids, Replayed):  # that tells nothing of the queue
                        self._queues.learn(place, asks)
                    return ids
        raise StoreUnavailable("Whether the queue asks for encryption is changed by many at once.")

    async def _post_sealed(self, project: str, queue: str, new: NewPost) -> list[str]:
        key = await self._keyring.current()
        sealed = [replace(one, body=key.seal(project, one.body)) for one in new.messages]
        # Sent before the post, so that it takes no time of its own, and the key is there before the body is.
        keeping = Deferred.fromCoroutine(self._keyring.keep(key))
        try:
            ids = await self._store.post(project, queue, replace(new, messages=sealed, encrypted=True))
        except GatewayError:
            keeping.addErrback(lambda failure: None)  # what it would tell is told
            raise
        await keeping
        return ids

    async def get(self, project: str, queue: str, ids: Sequence[str]) -> list[Message]:
        found = await self._store.get(project, queue, ids)
        return await self._opener.open_all(project, queue, found) if any_encrypted(found) else found

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
        if self._queues.waiting:
            await self._queues.turn((project, queue))
        page = await self._store.list(
            project,
            queue,
            marker=marker,
            limit=limit,
            skip_client=skip_client,
            include_claimed=include_claimed,
            include_delayed=include_delayed,
        )
        if any_encrypted(page.messages):
            return replace(page, messages=await self._opener.open_all(project, queue, page.messages))
        return page

    async def read(self, project: str, queue: str, marker: str, limit: int) -> StreamPage:
        if self._queues.waiting:
            await self._queues.turn((project, queue))
        page = await self._store.read(project, queue, marker, limit)
        messages = [one.message for one in page.posted]
        if not any_encrypted(messages):
            return page
        opened = await self._opener.open_all(project, queue, messages)
        posted = [replace(one, message=message) for one, message in zip(page.posted, opened, strict=True)]
        return replace(page, posted=posted)

    def delete(
        self, project: str, queue: str, message_id: str, claim_id: str | None
    ) -> Coroutine[Any, Any, None]:
        return self._store.delete(project, queue, message_id, claim_id)

    def delete_many(
        self, project: str, queue: str, ids: Sequence[str], claim_ids: Sequence[str] | None
    ) -> Coroutine[Any, Any, None]:
        return self._store.delete_many(project, queue, ids, claim_ids)

    async def pop(
        self, project: str, queue: str, limit: int, *, key_ids: Collection[bytes] | None = None
    ) -> Sequence[Message]:
        if self._queues.waiting:
            await self._queues.turn((project, queue))
        while True:
            try:
                popped = await self._store.pop(project, queue, limit, key_ids=self._keyring.ids)
            except KeyUnknown as error:
                if await self._keyring.find(error.key_id) is None:
                    raise
            else:
                return await self._opener.open_all(project, queue, popped) if any_encrypted(popped) else popped

    def due_in(self, project: str, queue: str) -> Coroutine[Any, Any, int | None]:
        return self._store.due_in(project, queue)


@implementer(IClaimStore)
@define(eq=False)
class EncryptingClaims:
    """Claims of :class:`EncryptingStorage`."""

    _store: IClaimStore
    _opener: Opener
    _queues: KnownQueues

    async def create(self, project: str, queue: str, ttl_s: int, grace_s: int, limit: int) -> Claim | None:
        if self._queues.waiting:
            await self._queues.turn((project, queue))
        claim = await self._store.create(project, queue, ttl_s, grace_s, limit)
        if claim is None or not any_encrypted(claim.messages):
            return claim
        try:
            return replace(claim, messages=await self._opener.open_all(project, queue, claim.messages))
        except StoreError:
            with suppress(StoreError):  # the claim lapses, then
                await self._store.release(project, queue, claim.id)
            raise

    async def create_each(self, project: str, queue: str, ttl_s: int, grace_s: int, limit: int) -> list[Message]:
        if self._queues.waiting:
            await self._queues.turn((project, queue))
        claimed = await self._store.create_each(project, queue, ttl_s, grace_s, limit)
        if not any_encrypted(claimed):
            return claimed
        try:
            return await self._opener.open_all(project, queue, claimed)
        except StoreError:
            with suppress(StoreError):  # the claims lapse, then
                for one in claimed:
                    await self._store.release(project, queue, one.claim_id or "")
            raise

    async def get(self, project: str, queue: str, claim_id: str) -> Claim | None:
        claim = await self._store.get(project, queue, claim_id)
        if claim is None or not any_encrypted(claim.messages):
            return claim
        return replace(claim, messages=await self._opener.open_all(project, queue, claim.messages))

    def update(
        self, project: str, queue: str, claim_id: str, ttl_s: int, grace_s: int
    ) -> Coroutine[Any, Any, bool]:
        return self._store.update(project, queue, claim_id, ttl_s, grace_s)

    def release(self, project: str, queue: str, claim_id: str) -> Coroutine[Any, Any, None]:
        return self._store.release(project, queue, claim_id)

    def live(self, project: str, queue: str, claim_ids: Sequence[str]) -> Coroutine[Any, Any, Collection[str]]:
        return self._store.live(project, queue, claim_ids)


@implementer(IDeadLetterStore)
@define
class EncryptingDeadLetters(proxyForInterface(IDeadLetterStore, "_store")):  # type: ignore[misc]
    """Dead letters of :class:`EncryptingStorage`; they are moved as they are stored."""

    _store: IDeadLetterStore
    _opener: Opener

    async def list(self, project: str, queue: str, *, marker: str | None, limit: int) -> list[Message]:
        found = await self._store.list(project, queue, marker=marker, limit=limit)
        return await self._opener.open_all(project, queue, found) if any_encrypted(found) else found


@implementer(IQueueStore)
@define(eq=False)
class EncryptingQueues(proxyForInterface(IQueueStore, "_store")):  # type: ignore[misc]
    """Queues of :class:`EncryptingStorage`: what is changed here need not be found out by a refusal."""

    _store: IQueueStore
    _queues: KnownQueues

    async def create(self, project: str, queue: str, metadata: bytes, rules: QueueRules) -> bool:
        await self._change(project, queue)
        return await self._store.create(project, queue, metadata, rules)

    async def update(self, project: str, queue: str, seen: bytes, metadata: bytes, rules: QueueRules) -> bool:
        await self._change(project, queue)
        return await self._store.update(project, queue, seen, metadata, rules)

    async def delete(self, project: str, queue: str) -> None:
        await self._change(project, queue)
        await self._store.delete(project, queue)

    async def _change(self, project: str, queue: str) -> None:
        await self._queues.turn((project, queue))
        self._queues.forget((project, queue))

    async def stats(self, project: str, queue: str) -> QueueStats | None:
        await self._queues.turn((project, queue))
        return await self._store.stats(project, queue)

    async def purge(self, project: str, queue: str) -> None:
        await self._queues.turn((project, queue))
        await self._store.purge(project, queue)
