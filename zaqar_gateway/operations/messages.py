"""Messages: posting, reading and deleting them."""

from __future__ import annotations

from collections.abc import Coroutine, Sequence
from functools import partial
from typing import Any

import msgspec
from attrs import define, frozen
from msgspec import UNSET

from zaqar_gateway.errors import BadBody, NotFound, RuleBroken, repeated
from zaqar_gateway.interfaces import IMessageStore, IQueueStore, IWaits
from zaqar_gateway.limits import Limits, idempotency_key, in_range, wait
from zaqar_gateway.model import LATEST, Context, Message, MessagePage, NewMessage, NewPost, Once, Place
from zaqar_gateway.operations import documents, fields
from zaqar_gateway.operations.fields import Posted, given
from zaqar_gateway.operations.queues import QUEUE, TOPIC, Kind

MISSING_BODY = 'Bad request. Missing "body" field.'
BAD_TTL = 'Bad request. The value of the "ttl" field must be a int.'
_IDS = "ids (message_ids in a frame)"
_BAD_DELAY = 'Bad request. The value of the "delay" field must be a int.'

_decode_posted = msgspec.json.Decoder(list[Posted]).decode


@frozen
class Listening:
    """Somebody may be told of what is posted.

    :ivar marker: from where on.
    :ivar skip_client: whose messages are not shown.
    :ivar messages: as they are seen by whoever asks; ``None``: as they are in the store.
    """

    place: Place
    marker: str
    skip_client: bytes | None
    messages: IMessageStore | None = None


@define
class Messages:
    """The operations on messages of queues, or of topics."""

    _store: IMessageStore
    _queues: IQueueStore
    _limits: Limits
    _kind: Kind = QUEUE
    _waits: IWaits | None = None

    def seen_by(self, ctx: Context) -> IMessageStore:
        """The messages as somebody sees them."""
        return self._store

    @property
    def store(self) -> IMessageStore:
        """The messages."""
        return self._store

    async def post(self, ctx: Context, asked: fields.MessagePost) -> list[str]:
        """Append messages to a queue, which is created where it is missing.

        :return: their ids, in order; :class:`~zaqar_gateway.model.Replayed` where all were posted before.
        :raises BadBody: an element is not a message.
        :raises RuleBroken: there is none, a ttl or delay is out of range, or the post is too large.
        """
        self._kind.check_name(ctx.project, asked.queue_name)
        text, posted, size, limits = asked.messages, asked.posted, asked.size, self._limits
        if size is UNSET:
            size = 0 if text is UNSET else memoryview(text).nbytes
        if size > limits.post_size_max:
            raise RuleBroken(f"The post has {size} bytes; at most {limits.post_size_max} are allowed.")
        if posted is UNSET:
            posted = _read(text)
        if not posted:
            raise RuleBroken("messages is empty; it has to have at least one message.")
        new, has_keys, has_delays = [], asked.idempotency_key is not UNSET, False
        for number, one in enumerate(posted):
            ttl_s = None if one.ttl is UNSET else limits.message_ttl("messages[{}].ttl", one.ttl, number)
            new.append(NewMessage(bytes(one.body), ttl_s))
            has_keys = has_keys or one.idempotency_key is not UNSET
            has_delays = has_delays or one.delay is not UNSET
        if has_delays and asked.delays:
            new = await self._with_delays(ctx, asked.queue_name, posted, new)
        return await self._store.post(
            ctx.project,
            asked.queue_name,
            NewPost(
                ctx.client,
                new,
                size=size,
                ttl_default_s=self._limits.message_ttl_default_s,
                size_max=self._limits.post_size_max,
                once=self._once(given(asked.idempotency_key), posted) if has_keys else None,
            ),
        )

    def _once(self, key: str | None, posted: Sequence[Posted]) -> Once:
        """The keys that a post comes with.

        :raises RuleBroken: one of them is none, or both the post and messages have some.
        """
        keys: list[str] = []
        for number, one in enumerate(posted):
            if one.idempotency_key is not UNSET:
                field = f"messages[{number}].idempotency_key"
                if key is not None:
                    raise RuleBroken(f"idempotency_key and {field} exclude each other; the post has one, or messages have.")
                keys = keys or [""] * len(posted)
                keys[number] = idempotency_key(field, one.idempotency_key)
        window_s, most = self._limits.idempotency_window_s, self._limits.idempotency_keys_max
        if key is not None:
            return Once(window_s, most, idempotency_key("idempotency_key", key))
        return Once(window_s, most, keys=tuple(keys))

    async def _with_delays(
        self, ctx: Context, queue: str, posted: Sequence[Posted], new: list[NewMessage]
    ) -> list[NewMessage]:
        delays = [None if one.delay is UNSET else msgspec.json.decode(one.delay) for one in posted]
        try:
            for number, delay in enumerate(delays):
                if posted[number].delay is not UNSET:
                    if type(delay) is not int:
                        raise BadBody(f"{_BAD_DELAY} (messages[{number}])")
                    self._limits.message_delay("messages[{}].delay", delay, number)
        except (BadBody, RuleBroken):
            # A queue without a default delay drops what it is given, whatever it is.
            stored = await self._queues.get(ctx.project, queue)
            if stored and msgspec.json.decode(stored).get("_default_message_delay"):
                raise
            return new
        return [NewMessage(one.body, one.ttl_s, delay) for one, delay in zip(new, delays, strict=True)]

    async def list(self, ctx: Context, asked: fields.MessageList) -> MessagePage:
        """A page of the messages after a marker, oldest first; where there are none, after as long as is asked to wait."""
        limit = self._limits.page(given(asked.limit), self._limits.messages_page_max)
        wait_s = wait(given(asked.wait))
        if not wait_s or self._waits is None:
            return await self._page(ctx, asked, limit)
        place, look = Place(ctx.project, asked.queue_name, is_topic=self._kind is TOPIC), partial(self._page, ctx, asked, limit)
        return await self._waits.until_found(place, wait_s, ctx.asker, look, lambda page: page.messages, takes=False)

    def _page(self, ctx: Context, asked: fields.MessageList, limit: int) -> Coroutine[Any, Any, MessagePage]:
        return self._store.list(
            ctx.project,
            asked.queue_name,
            marker=given(asked.marker),
            limit=limit,
            skip_client=None if asked.echo else ctx.client,
            include_claimed=asked.include_claimed,
            include_delayed=asked.include_delayed,
        )

    async def listen(self, ctx: Context, asked: fields.MessageEvents) -> Listening:
        """Where to begin to tell somebody of what is posted: what was asked for last, else what is posted from now on.

        :raises RuleBroken: there is no such place.
        """
        marker = given(asked.last_event_id) or given(asked.marker) or LATEST
        # Also for markers that are what they are: a stream that begins while the store is away would tell nothing of that.
        page = await self._store.read(ctx.project, asked.queue_name, marker, 1)
        return Listening(
            Place(ctx.project, asked.queue_name, self._kind is TOPIC),
            page.marker if marker == LATEST else marker,
            None if asked.echo else ctx.client,
        )

    async def get(self, ctx: Context, asked: fields.MessageGet) -> Message:
        """:raises NotFound: there is no such message."""
        found = await self._store.get(ctx.project, asked.queue_name, [asked.message_id])
        if not found:
            raise NotFound(
                f"Message {repeated(asked.message_id)} does not exist in {self._kind.noun} {repeated(asked.queue_name)}."
            )
        return found[0]

    async def get_many(self, ctx: Context, asked: fields.MessageGetMany) -> Sequence[Message]:
        """Those that exist, in the order asked for.

        :raises RuleBroken: none or too many are asked for.
        """
        self._check_ids(asked.message_ids)
        return await self._store.get(ctx.project, asked.queue_name, asked.message_ids)

    async def delete(self, ctx: Context, asked: fields.MessageDelete) -> None:
        """Delete one message; a missing one is no error.

        :raises MessageClaimed: it is under another claim than the one given.
        :raises ClaimMismatch: it is not under the claim given.
        """
        await self._store.delete(ctx.project, asked.queue_name, asked.message_id, given(asked.claim_id) or None)

    async def delete_many(self, ctx: Context, asked: fields.MessageDeleteMany) -> Sequence[Message] | None:
        """Delete by ids, or remove and return the oldest.

        :return: what was popped; ``None`` where ids were given.
        :raises RuleBroken: neither or both were asked for, or too many, or a claim id is missing or out of place.
        :raises ClaimMismatch: with ``message_delete_with_claim_id``, a message is under none of the claims.
        """
        ids, pop, claims = given(asked.message_ids), given(asked.pop), given(asked.claim_ids)
        if ids is not None and pop is not None:
            raise RuleBroken(f"{_IDS} and pop exclude each other; give one of them.")
        if not self._limits.delete_needs_claim_id or not self._kind.claimable:
            claims = None
        elif claims is not None and ids is None:
            raise RuleBroken(f"claim_ids goes with {_IDS} only.")
        elif ids is not None and not claims:
            raise RuleBroken("claim_ids is missing; it has to name the claims that the messages are under.")
        wait_s = wait(given(asked.wait))
        if pop is not None:
            in_range("pop", pop, 1, self._limits.claim_or_pop_max)
            look = partial(self._store.pop, ctx.project, asked.queue_name, pop)
            if not wait_s or self._waits is None:
                return await look()
            place = Place(ctx.project, asked.queue_name, is_topic=self._kind is TOPIC)
            return await self._waits.until_found(place, wait_s, ctx.asker, look, bool, takes=True)
        if wait_s:
            raise RuleBroken("wait goes with pop only.")
        if ids is None:
            raise RuleBroken(f"{_IDS} or pop is missing; one of them has to say what to delete.")
        self._check_ids(ids)
        await self._store.delete_many(ctx.project, asked.queue_name, ids, claims)
        return None

    def _check_ids(self, ids: Sequence[str]) -> None:
        if not 1 <= len(ids) <= self._limits.messages_page_max:
            raise RuleBroken(f"{_IDS} has {len(ids)} ids; it has to have 1 to {self._limits.messages_page_max}.")


def _read(text: msgspec.Raw | msgspec.UnsetType) -> list[Posted]:
    if text is UNSET:
        raise RuleBroken("messages is missing; it has to be an array of messages.")
    try:
        return documents.decode(_decode_posted, text)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        return _explain(text, error)


def _explain(text: msgspec.Raw, error: Exception) -> list[Posted]:
    """Say what is wrong with messages that could not be read."""
    try:
        document: Any = msgspec.json.decode(text)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as fault:
        documents.refuse(fault)
    if isinstance(document, list):
        for number, element in enumerate(document):
            if not isinstance(element, dict):
                raise BadBody(f"messages[{number}] has to be an object with a body.")
            if "body" not in element:
                raise BadBody(MISSING_BODY)
            if type(element.get("ttl", 0)) is not int:
                raise BadBody(BAD_TTL)
    else:
        raise BadBody("messages has to be an array of messages.")
    if isinstance(error, msgspec.ValidationError):
        raise BadBody(documents.explain(error, "messages"))
    documents.refuse(error)
