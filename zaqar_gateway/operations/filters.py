"""Message filters: plug-ins on the way between the operations on messages and claims, and the store.

Who asks is known to an operation and not to a store.  So where there are filters each request has an object of the
plain operations made for it, over a store that knows the context.  Where there are none, no object of this module is
made.
"""

from __future__ import annotations

from asyncio import CancelledError
from collections.abc import Awaitable, Callable, Collection, Coroutine, Sequence
from contextlib import suppress
from functools import partial
from typing import Any, TypeVar

import msgspec
from attrs import define, evolve, field, frozen
from msgspec.structs import replace
from twisted.logger import Logger
from zope.interface import implementer

from zaqar_gateway.errors import BadBody, FilterFault, GatewayError, StoreError
from zaqar_gateway.interfaces import IClaimStore, IDeadLetterStore, IMessageFilter, IMessageStore
from zaqar_gateway.model import (
    Call,
    Claim,
    Context,
    DeadLetter,
    Letter,
    Message,
    MessagePage,
    NewMessage,
    NewPost,
    Place,
    Posted,
    SendBack,
    SentBack,
    StreamPage,
)
from zaqar_gateway.operations import documents, fields
from zaqar_gateway.operations.claims import Claims
from zaqar_gateway.operations.dead_letters import DeadLetters
from zaqar_gateway.operations.messages import Listening, Messages
from zaqar_gateway.operations.queues import TOPIC

_log = Logger()

_T = TypeVar("_T")
_Body = TypeVar("_Body", NewMessage, Message)

FILTERED = frozenset(
    ("message_post", "message_list", "message_get", "message_get_many", "message_delete", "message_delete_many")
    + ("message_events",)
    + ("claim_create", "claim_get", "claim_update", "claim_delete", "dead_letter_list", "dead_letter_return")
)
"""The rows of the registry that are filtered.  On a WebSocket each has to run alone, since a filter may wait."""


_BYTES = (bytes, bytearray, memoryview)

_FAULTS = (Exception, SystemExit, CancelledError)
"""What a plug-in may raise without meaning the process: what calls ``sys.exit`` ends its request, and no other."""


class _Wrong(Exception):
    """What a filter gave is not what its interface says."""


@frozen
class Filter:
    """A filter and what it is called."""

    name: str
    does: IMessageFilter


class Filters:
    """Filters in a row: the first sees a request first and its answer last.

    :param filters: in that order, one at least.
    """

    def __init__(self, filters: Sequence[Filter]) -> None:
        self._filters = tuple(filters)

    async def request(self, ctx: Context, call: Call) -> None:
        """:raises GatewayError: a filter refuses."""
        for each in self._filters:
            await _asked(each, each.does.request(ctx, call))

    async def post(self, ctx: Context, place: Place, messages: Sequence[NewMessage]) -> Sequence[NewMessage]:
        """What is to be stored.

        :raises GatewayError: a filter refuses.
        """
        for each in self._filters:
            messages = await _asked(each, _changed(each.does.post(ctx, place, messages), messages))
        return messages

    async def answer(self, ctx: Context, call: Call, messages: Sequence[Message]) -> Sequence[Message]:
        """What is to be shown; no message is left out where ``call`` took them.

        :raises GatewayError: a filter refuses.
        """
        for each in reversed(self._filters):
            messages = await _asked(each, _answered(each, ctx, call, messages))
        return messages

    async def taken(self, ctx: Context, call: Call, messages: Sequence[Message]) -> Sequence[Message]:
        """The same for messages that are in no store any more: a filter that fails or refuses is passed over."""
        for each in reversed(self._filters):
            try:
                messages = await _answered(each, ctx, call, messages)
            except _FAULTS:
                _log.failure("message filter {name} failed; what was popped is answered without it", name=each.name)
        return messages


async def _asked(asked: Filter, work: Awaitable[_T]) -> _T:
    """What a filter says.

    :raises GatewayError: it refuses.
    :raises FilterFault: it fails.
    """
    try:
        return await work
    except GatewayError:
        raise
    except _FAULTS:
        _log.failure("message filter {name} failed", name=asked.name)
        raise FilterFault from None


async def _answered(asked: Filter, ctx: Context, call: Call, messages: Sequence[Message]) -> Sequence[Message]:
    if call.name in ("list", "get", "read", "dead_letter_list"):
        shown = await asked.does.answer(ctx, call, messages)
        _check_messages(_originals(messages, shown), shown)
        return shown
    shown = await _changed(asked.does.answer(ctx, call, messages), messages)
    if [message.id for message in shown] != [message.id for message in messages]:
        raise _Wrong(f"answer left out messages of {call.name}, or gave them another order or other ids")
    return shown


def _originals(given: Sequence[Message], shown: Sequence[Message]) -> list[Message]:
    found: list[Message] = []
    rest = iter(given)
    for message in shown:
        original = next((one for one in rest if one.id == message.id), None)
        if original is None:
            raise _Wrong("answer gave a message that was not there, or gave them another order")
        found.append(original)
    return found


async def _changed(work: Awaitable[Sequence[_Body]], before: Sequence[_Body]) -> Sequence[_Body]:
    after = await work
    if len(after) != len(before):
        raise _Wrong(f"{len(after)} messages were made of {len(before)}")
    _check_messages(before, after)
    return after


def _check_messages(before: Sequence[_Body], after: Sequence[_Body]) -> None:
    """Bodies are spliced into answers as they are, so what is no JSON would break answers to others; and what is of another type is
    found out after messages were claimed or popped."""
    for one, other in zip(before, after, strict=True):
        if other is one:
            continue
        kind = NewMessage if isinstance(one, NewMessage) else Message
        if not isinstance(other, kind):
            raise _Wrong(f"a {kind.__name__} was made into a {type(other).__name__}")
        if type(other.body) is not bytes:
            raise _Wrong(f"a body was made into a {type(other.body).__name__}")
        if isinstance(other, Message) and not (other.dead is None or isinstance(other.dead, DeadLetter)):
            raise _Wrong(f"what is known of a dead letter was made into a {type(other.dead).__name__}")
        try:
            msgspec.convert(msgspec.structs.asdict(other), kind, builtin_types=_BYTES)
        except msgspec.ValidationError as error:
            raise _Wrong(f"a {kind.__name__} was made into what is none: {error}") from None
        if other.body is not one.body:
            try:
                documents.check(other.body)
                msgspec.json.decode(other.body)
            except (BadBody, msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
                raise _Wrong(f"a body was made into what is no JSON text: {error}") from None


@implementer(IMessageStore)
@define
class _Messages:
    """The messages of a store as filters have somebody see them."""

    _store: IMessageStore
    _filters: Filters
    _ctx: Context
    _is_topic: bool
    _asked: Call | None = None

    async def post(self, project: str, queue: str, new: NewPost) -> list[str]:
        call = await self._request("post", project, queue)
        passed = await self._filters.post(self._ctx, call.place, new.messages)
        return await self._store.post(project, queue, replace(new, messages=passed))

    async def get(self, project: str, queue: str, ids: Sequence[str]) -> list[Message]:
        call = await self._request("get", project, queue, ids)
        return list(await self._filters.answer(self._ctx, call, await self._store.get(project, queue, ids)))

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
        call = await self._request("list", project, queue, limit=limit)
        messages: list[Message] = []
        while True:
            page = await self._store.list(
                project,
                queue,
                marker=marker,
                limit=limit - len(messages),
                skip_client=skip_client,
                include_claimed=include_claimed,
                include_delayed=include_delayed,
            )
            marker = page.marker or marker
            shown = await self._filters.answer(self._ctx, call, page.messages)
            messages += shown
            # What was left out makes room for what follows, since a page is empty only at the end (API reference, "List
            # messages").
            if len(shown) == len(page.messages) or len(messages) == limit:
                return replace(page, messages=messages, marker=marker)

    async def read(self, project: str, queue: str, marker: str, limit: int) -> StreamPage:
        call = await self._request("read", project, queue, limit=limit)
        page = await self._store.read(project, queue, marker, limit)
        shown = await self._filters.answer(self._ctx, call, [one.message for one in page.posted])
        clients = {one.message.id: one.client for one in page.posted}
        return replace(page, posted=[Posted(message, clients[message.id]) for message in shown])

    async def delete(self, project: str, queue: str, message_id: str, claim_id: str | None) -> None:
        await self._request("delete", project, queue, [message_id], [claim_id] if claim_id else ())
        await self._store.delete(project, queue, message_id, claim_id)

    async def delete_many(self, project: str, queue: str, ids: Sequence[str], claim_ids: Sequence[str] | None) -> None:
        await self._request("delete_many", project, queue, ids, claim_ids or ())
        await self._store.delete_many(project, queue, ids, claim_ids)

    async def pop(
        self, project: str, queue: str, limit: int, *, key_ids: Collection[bytes] | None = None
    ) -> Sequence[Message]:
        call = await self._request("pop", project, queue, limit=limit)
        popped = await self._store.pop(project, queue, limit, key_ids=key_ids)
        return await self._filters.taken(self._ctx, call, popped)

    def due_in(self, project: str, queue: str) -> Coroutine[Any, Any, int | None]:
        return self._store.due_in(project, queue)

    async def _request(
        self,
        name: str,
        project: str,
        queue: str,
        message_ids: Sequence[str] = (),
        claim_ids: Sequence[str] = (),
        limit: int | None = None,
    ) -> Call:
        call = Call(name, Place(project, queue, self._is_topic), tuple(message_ids), tuple(claim_ids), limit)
        if call != self._asked:  # a request that waits looks several times
            await self._filters.request(self._ctx, call)
            self._asked = call
        return call


@implementer(IClaimStore)
@define
class _Claims:
    """The claims of a store as filters have somebody see them."""

    _store: IClaimStore
    _filters: Filters
    _ctx: Context
    _asked: Call | None = None

    async def create(self, project: str, queue: str, ttl_s: int, grace_s: int, limit: int) -> Claim | None:
        call = await self._request("claim_create", project, queue, limit=limit)
        claim = await self._store.create(project, queue, ttl_s, grace_s, limit)
        if claim is None:
            return None
        try:
            return await self._shown(call, claim)
        except GatewayError:
            with suppress(StoreError):  # the claim lapses, then
                await self._store.release(project, queue, claim.id)
            raise

    async def create_each(self, project: str, queue: str, ttl_s: int, grace_s: int, limit: int) -> list[Message]:
        call = await self._request("claim_create", project, queue, limit=limit)
        claimed = await self._store.create_each(project, queue, ttl_s, grace_s, limit)
        try:
            return list(await self._filters.answer(self._ctx, call, claimed))
        except GatewayError:
            with suppress(StoreError):  # the claims lapse, then
                for one in claimed:
                    await self._store.release(project, queue, one.claim_id or "")
            raise

    async def get(self, project: str, queue: str, claim_id: str) -> Claim | None:
        call = await self._request("claim_get", project, queue, [claim_id])
        claim = await self._store.get(project, queue, claim_id)
        return None if claim is None else await self._shown(call, claim)

    async def update(self, project: str, queue: str, claim_id: str, ttl_s: int, grace_s: int) -> bool:
        await self._request("claim_update", project, queue, [claim_id])
        return await self._store.update(project, queue, claim_id, ttl_s, grace_s)

    async def release(self, project: str, queue: str, claim_id: str) -> None:
        await self._request("claim_release", project, queue, [claim_id])
        await self._store.release(project, queue, claim_id)

    async def live(self, project: str, queue: str, claim_ids: Sequence[str]) -> Collection[str]:
        return await self._store.live(project, queue, claim_ids)  # of no request

    async def _request(
        self, name: str, project: str, queue: str, claim_ids: Sequence[str] = (), limit: int | None = None
    ) -> Call:
        call = Call(name, Place(project, queue), claim_ids=tuple(claim_ids), limit=limit)
        if call != self._asked:  # a request that waits looks several times
            await self._filters.request(self._ctx, call)
            self._asked = call
        return call

    async def _shown(self, call: Call, claim: Claim) -> Claim:
        return replace(claim, messages=list(await self._filters.answer(self._ctx, call, claim.messages)))


@implementer(IDeadLetterStore)
@define
class _DeadLetters:
    """The dead letters of a store as filters have somebody see them."""

    _store: IDeadLetterStore
    _filters: Filters
    _ctx: Context

    async def list(self, project: str, queue: str, *, marker: str | None, limit: int) -> list[Message]:
        call = Call("dead_letter_list", Place(project, queue), limit=limit)
        await self._filters.request(self._ctx, call)
        messages: list[Message] = []
        while page := await self._store.list(project, queue, marker=marker, limit=limit - len(messages)):
            messages += await self._filters.answer(self._ctx, call, page)
            marker = page[-1].id
            if len(messages) == limit:
                break
        return messages

    async def send_back(self, project: str, queue: str, asked: SendBack, *, create: bool = True) -> SentBack:
        await self._filters.request(
            self._ctx, Call("dead_letter_return", Place(project, queue), asked.ids or (), limit=asked.limit)
        )
        return await self._store.send_back(project, queue, asked, create=create)

    def letters(self, project: str, queue: str, asked: SendBack, to: str) -> Coroutine[Any, Any, Sequence[Letter]]:
        return self._store.letters(project, queue, asked, to)

    def adopt(
        self, project: str, queue: str, letters: Sequence[Letter], asked: SendBack
    ) -> Coroutine[Any, Any, None]:
        return self._store.adopt(project, queue, letters, asked)


@define
class FilteredMessages(Messages):
    """The operations on messages, seen by filters."""

    _filters: Filters = field(kw_only=True)

    def seen_by(self, ctx: Context) -> IMessageStore:
        return _Messages(self._store, self._filters, ctx, self._kind is TOPIC)

    def _for(self, ctx: Context) -> Messages:
        return Messages(self.seen_by(ctx), self._queues, self._limits, self._kind, self._waits)

    def post(self, ctx: Context, asked: fields.MessagePost) -> Coroutine[Any, Any, list[str]]:
        return self._for(ctx).post(ctx, asked)

    def list(self, ctx: Context, asked: fields.MessageList) -> Coroutine[Any, Any, MessagePage]:
        return self._for(ctx).list(ctx, asked)

    async def listen(self, ctx: Context, asked: fields.MessageEvents) -> Listening:
        seen = self._for(ctx)
        return evolve(await seen.listen(ctx, asked), messages=seen.store)

    def get(self, ctx: Context, asked: fields.MessageGet) -> Coroutine[Any, Any, Message]:
        return self._for(ctx).get(ctx, asked)

    def get_many(self, ctx: Context, asked: fields.MessageGetMany) -> Coroutine[Any, Any, Sequence[Message]]:
        return self._for(ctx).get_many(ctx, asked)

    def delete(self, ctx: Context, asked: fields.MessageDelete) -> Coroutine[Any, Any, None]:
        return self._for(ctx).delete(ctx, asked)

    def delete_many(
        self, ctx: Context, asked: fields.MessageDeleteMany
    ) -> Coroutine[Any, Any, Sequence[Message] | None]:
        return self._for(ctx).delete_many(ctx, asked)


@define
class FilteredClaims(Claims):
    """The operations on claims, seen by filters."""

    _filters: Filters = field(kw_only=True)

    def seen_by(self, ctx: Context) -> IClaimStore:
        return _Claims(self._store, self._filters, ctx)

    def _for(self, ctx: Context) -> Claims:
        return Claims(self.seen_by(ctx), self._limits, self._waits)

    def create(self, ctx: Context, asked: fields.ClaimCreate) -> Coroutine[Any, Any, Claim | None]:
        return self._for(ctx).create(ctx, asked)

    def get(self, ctx: Context, asked: fields.Claim) -> Coroutine[Any, Any, Claim]:
        return self._for(ctx).get(ctx, asked)

    def update(self, ctx: Context, asked: fields.ClaimUpdate) -> Coroutine[Any, Any, None]:
        return self._for(ctx).update(ctx, asked)

    def release(self, ctx: Context, asked: fields.ClaimDelete) -> Coroutine[Any, Any, None]:
        return self._for(ctx).release(ctx, asked)


@define
class FilteredDeadLetters(DeadLetters):
    """The operations on dead letters, seen by filters."""

    _filters: Filters = field(kw_only=True)

    def _for(self, ctx: Context) -> DeadLetters:
        return DeadLetters(_DeadLetters(self._store, self._filters, ctx), self._limits)

    def list(self, ctx: Context, asked: fields.DeadLetterList) -> Coroutine[Any, Any, Sequence[Message]]:
        return self._for(ctx).list(ctx, asked)

    def send_back(self, ctx: Context, asked: fields.DeadLetterReturn) -> Coroutine[Any, Any, SentBack]:
        return self._for(ctx).send_back(ctx, asked)


def operations_on(
    filters: Sequence[Filter],
) -> tuple[Callable[..., Messages], Callable[..., Claims], Callable[..., DeadLetters]]:
    """What makes the operations on messages, on claims and on dead letters: the plain ones, where there are no filters."""
    if not filters:
        return Messages, Claims, DeadLetters
    row = Filters(filters)
    return (
        partial(FilteredMessages, filters=row),
        partial(FilteredClaims, filters=row),
        partial(FilteredDeadLetters, filters=row),
    )
