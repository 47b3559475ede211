"""Messages in Redis."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from functools import lru_cache
from hashlib import blake2b
from math import inf
from typing import Any

from attrs import define, field
from twisted.internet.defer import DeferredSemaphore
from zope.interface import implementer

from zaqar_gateway.errors import EncryptionDiffers, KeyUnknown, QueueMissing
from zaqar_gateway.interfaces import IMessageStore
from zaqar_gateway.model import (
    EARLIEST,
    LATEST,
    Message,
    MessagePage,
    NewPost,
    Once,
    Quotas,
    Replayed,
    StreamPage,
)
from zaqar_gateway.storage import claimed, keys_exceeded, marker_unknown, mismatch, other_number, post_too_large
from zaqar_gateway.storage.ids import ID_LENGTH, NO_QUEUE, format_id, format_ids, parse_id
from zaqar_gateway.storage.redis import scripts, together, values
from zaqar_gateway.storage.redis.apart import APART_FROM, Putting
from zaqar_gateway.storage.redis.commands import Argument
from zaqar_gateway.storage.redis.interfaces import IRedis
from zaqar_gateway.storage.redis.keys import Keys
from zaqar_gateway.storage.redis.packing import NOTHING, bulk, bulk_parts, bulks, number, packed_now, word
from zaqar_gateway.storage.redis.plain import PlainReads
from zaqar_gateway.storage.redis.schedule import Schedule

_BEYOND_QUOTA, _AGAIN, _BY_KEYS, _OTHER_NUMBER, _BEYOND_KEYS = 4, 5, 6, 7, 8
"""What a post may be answered besides (``scripts/post.lua``, ``scripts/once.lua``)."""

_ONE, _ANY, _UNDER = bulk(b"one"), bulk(b"any"), bulk(b"under")
"""The modes of ``scripts/delete.lua``."""

_NO_CLAIM = b"?"
"""What is no id of a claim."""

_NO_SKIP = number(0) + NOTHING

_place_behind = lru_cache(1024)(parse_id)
"""The place that a marker means: who waits for more asks for what is behind the same one again and again, and so do all who follow a
queue."""

_PLAIN_PAGES = 3
"""Reads without a script that a listing may take, where it leaves out the client's own messages: each has what the one before lacks."""

_LONG_LISTING = 8
_LONG_LISTING_PAUSE_S = 0.002
"""A listing that leaves out thousands of a client's own messages takes many steps.  From the eighth on they have pauses
between them, and one such listing goes on at a time, so that Redis has time for others."""


def _packed_keys(once: Once) -> list[bytes]:
    """What ``scripts/once.lua`` asks for: digests, those of keys of posts and of messages apart, and how they count."""
    if once.key:
        parts = [_digest("p" + once.key)]
    else:
        parts = [_digest("m" + key) if key else NOTHING for key in once.keys]
    return [*parts, number(once.window_s * 1000), number(once.most), word(b"post" if once.key else b"each")]


def _digest(text: str) -> bytes:
    return bulk(blake2b(text.encode(), digest_size=16).digest())


@implementer(IMessageStore)
@define
class RedisMessages:
    """One script for each operation on messages."""

    _redis: IRedis
    _keys: Keys
    _now: Callable[[], Argument]  # b"" in production: the script then asks Redis
    _new_incarnation: Callable[[], str]
    _schedule: Schedule
    _quotas: Quotas
    _apart_from: int = APART_FROM
    _plain: PlainReads = field(init=False)
    _long_listings: DeferredSemaphore = field(factory=lambda: DeferredSemaphore(1))
    _post: scripts.Script = field(init=False)
    _post_once: scripts.Script = field(init=False)
    _arguments_of_post: int = field(init=False)  # and keys, besides the messages
    _terms: Callable[[int, int, bool], bytes] = field(init=False)

    def __attrs_post_init__(self) -> None:
        is_bounded = any(values.quota_arguments(self._quotas))
        self._post = scripts.POST_WITHIN_QUOTAS if is_bounded else scripts.POST
        self._post_once = scripts.POST_ONCE_WITHIN_QUOTAS if is_bounded else scripts.POST_ONCE
        self._arguments_of_post = 2 + (11 if is_bounded else 8)
        self._terms = lru_cache(maxsize=64)(self._packed_terms)
        self._plain = PlainReads(self._redis, self._keys, self._now)

    async def post(self, project: str, queue: str, new: NewPost) -> list[str]:
        place = self._keys.packed_with_catalog(project, queue)
        terms = self._terms(new.size_max, new.ttl_default_s, new.encrypted)
        messages, once = new.messages, new.once
        given = [word(new.client), number(new.size), number(len(messages))]
        apart_from, putting = self._apart_from if once is None else inf, None
        for one in messages:
            body = one.body
            if len(body) >= apart_from:
                putting = putting or Putting(self._keys.queue(project, queue))
                body = putting.add(body)
            given += (
                NOTHING if one.ttl_s is None else number(one.ttl_s),
                NOTHING if one.delay_s is None else number(one.delay_s),
                *bulk_parts(body),
            )
        if putting is None and once is None and self._post is scripts.POST:
            kind = place, terms, new.create
            count = 3 + 3 * len(messages)
            # What keeps the key of encrypted bodies was sent just before them.
            answer = await together.ask(
                self._redis, scripts.POST, kind, self._begin_post, given, count, new.size, overtakes=not new.encrypted
            )
        else:
            answer = await self._post_alone(place, terms, new, given, putting)
        refused, first, second = answer[:3]
        if refused == 0:
            if len(answer) > 3:
                self._nudge(project, queue)
            return format_ids(second, len(messages), first.decode())
        if refused == 1:
            raise post_too_large(new.size, first, own=bool(second))
        if refused == _BEYOND_QUOTA:
            raise values.exceeded(self._quotas, first)
        if refused == _BY_KEYS:
            if second:
                self._nudge(project, queue)
            is_fresh, *ranks = answer[3:]
            found = [format_id(int(rank), first.decode()) for rank in ranks]
            return found if is_fresh else Replayed(found)
        if refused == _OTHER_NUMBER:
            raise other_number(first)
        if refused == _BEYOND_KEYS and once is not None:
            raise keys_exceeded(once.most, first)
        raise EncryptionDiffers if refused == 2 else QueueMissing

    def _begin_post(self, kind: tuple[bytes, bytes, bool]) -> tuple[bytes, int]:
        """See :func:`.together.ask`; the kind is keys, terms, and whether the queue may be created."""
        place, terms, creates = kind
        return place + self._before(creates) + terms, 7

    def _before(self, creates: bool) -> bytes:
        """The first two arguments."""
        return packed_now(self._now()) + (bulk(self._new_incarnation().encode()) if creates else NOTHING)

    async def _post_alone(
        self, place: bytes, terms: bytes, new: NewPost, given: list[bytes], putting: Putting | None
    ) -> list[Any]:
        """The answer to a post that has a command of its own.

        :param putting: its bodies that are kept apart; ``None``: none is.
        """
        script, count = self._post, self._arguments_of_post + 3 * len(new.messages)
        if new.once is not None:
            script, keys = self._post_once, _packed_keys(new.once)
            given += keys
            count += len(keys)
        answer: list[Any]
        while True:
            arguments = place, self._before(new.create), terms, *given
            if putting is None:
                answer = await self._redis.run(script, count, *arguments)
            else:
                commands = (*putting.packed(), b"*%d\r\n" % (count + 3), script.by_sum, *arguments)
                _, answer = await self._redis.transaction(putting.key, 2, *commands, script=script)
            if new.once is None:
                (answer,) = answer
            if answer[0] != _AGAIN:
                return answer

    def _nudge(self, project: str, queue: str) -> None:
        # Should it be lost, whoever answers the ring has no need of it, and who takes over from this process looks everywhere.
        self._schedule.nudge_soon(self._keys.queue(project, queue))

    def _packed_terms(self, size_max: int, ttl_default_s: int, encrypted: bool) -> bytes:
        """The arguments that are the same for nearly all posts."""
        terms = [number(size_max), number(ttl_default_s), bulk(b"1") if encrypted else NOTHING]
        if self._post is scripts.POST_WITHIN_QUOTAS:
            terms += map(number, values.quota_arguments(self._quotas))
        return b"".join(terms)

    async def get(self, project: str, queue: str, ids: Sequence[str]) -> list[Message]:
        if len(ids) == 1:
            plain = await self._plain.get(project, queue, *(parse_id(ids[0]) or (0, NO_QUEUE)))
            if plain is not None:
                return plain
        wanted = values.packed_ids(ids)
        place = self._keys.packed(project, queue)
        found = await self._redis.run(scripts.GET, 3 + len(ids), place, packed_now(self._now()), wanted)
        return values.messages(found, 2, found[0], found[1].decode())

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
        parsed, last = None, None
        messages: list[Message] = []
        if marker is not None:
            parsed = _place_behind(marker) if len(marker) == ID_LENGTH else None
            if parsed is None:
                # Nothing follows it; the store is asked all the same, for it may be away (API reference, "Names").
                key = self._keys.queue(project, queue)
                return MessagePage([], None, bool(int(await self._redis.command(b"HGET", key, b"delay") or 0)))
        for _ in range(_PLAIN_PAGES):
            plain = await self._plain.page(project, queue, parsed, limit - len(messages), skip_client, include_claimed)
            if plain is None:
                break
            if plain.last is not None:
                parsed, last = plain.last, plain.last_id
            messages += plain.messages
            if not plain.more:
                return MessagePage(messages, last, plain.knows_delay)
        after = NOTHING + NOTHING if parsed is None else bulks(parsed)
        place = self._keys.packed(project, queue)
        skips = _NO_SKIP if skip_client is None else number(1) + word(skip_client)
        whom = skips + number(include_claimed) + number(include_delayed)
        steps = 0
        try:
            while True:
                wanted = number(limit - len(messages))
                found = await self._redis.run(scripts.LIST, 9, place, packed_now(self._now()), after, wanted, whom)
                now_ms, incarnation, knows_delay, rank, left = found[:5]
                messages += values.messages(found, 5, now_ms, incarnation.decode())
                if rank:
                    last = format_id(int(rank), incarnation.decode())
                if not left:
                    return MessagePage(messages, last, bool(knows_delay))
                if left != 1:
                    after = bulks((left, incarnation))
                steps += 1
                if steps == _LONG_LISTING:
                    await self._long_listings.acquire()
                if steps >= _LONG_LISTING:
                    await self._redis.pause(_LONG_LISTING_PAUSE_S)
        finally:
            if steps >= _LONG_LISTING:
                self._long_listings.release()

    async def read(self, project: str, queue: str, marker: str, limit: int) -> StreamPage:
        key = self._keys.queue(project, queue)
        place = (marker, "") if marker in (EARLIEST, LATEST) else parse_id(marker)
        if place is None:
            raise marker_unknown(marker)
        again = 1
        while again:
            again, *page = await self._redis.script(scripts.READ, [key], [self._now(), *place, limit, NO_QUEUE])
        return values.stream_page(page)

    async def delete(self, project: str, queue: str, message_id: str, claim_id: str | None) -> None:
        # An empty one is the id of no claim, too.
        claim = NOTHING if claim_id is None else bulk(claim_id.encode() or _NO_CLAIM)
        await self._delete(project, queue, _ONE, [message_id], claim, 1)

    async def delete_many(
        self, project: str, queue: str, ids: Sequence[str], claim_ids: Sequence[str] | None
    ) -> None:
        if claim_ids is None:
            await self._delete(project, queue, _ANY, ids, number(1 + len(ids)), 1)
        else:
            claims = number(len(claim_ids)) + bulks(claim_ids)
            await self._delete(project, queue, _UNDER, ids, claims, 1 + len(claim_ids))

    async def _delete(
        self, project: str, queue: str, mode: bytes, ids: Sequence[str], given: bytes, count: int
    ) -> None:
        """Delete messages.

        :param given: what the mode asks for besides them, packed, and ``count`` how many arguments.
        """
        kind = self._keys.packed(project, queue), mode
        count += 1 + len(ids)
        packed = [given, values.packed_ids(ids)]
        if mode is _UNDER:
            begun, more = self._begin_delete(kind)
            ((verdict, *nth),) = await self._redis.run(scripts.DELETE, more + count, begun, *packed)
        else:
            size = len(ids) * together.MESSAGE_SIZE
            verdict, *nth = await together.ask(
                self._redis, scripts.DELETE, kind, self._begin_delete, packed, count, size
            )
        if verdict:
            raise (claimed if verdict == 1 else mismatch)(ids[nth[0] - 1])

    def _begin_delete(self, kind: tuple[bytes, bytes]) -> tuple[bytes, int]:
        """See :func:`.together.ask`; the kind is key and mode."""
        place, mode = kind
        return place + packed_now(self._now()) + mode, 3

    async def pop(
        self, project: str, queue: str, limit: int, *, key_ids: Collection[bytes] | None = None
    ) -> Sequence[Message]:
        place = self._keys.packed(project, queue)
        readable = [number(0)] if key_ids is None else [number(1), *map(word, key_ids)]
        count = 3 + len(readable)
        while True:
            found = await self._redis.run(scripts.POP, count, place, packed_now(self._now()), number(limit), *readable)
            if not found[0]:
                return values.messages(found, 3, found[1], found[2].decode())
            if found[0] == 2:
                raise KeyUnknown(project, queue, found[2])

    async def due_in(self, project: str, queue: str) -> int | None:
        due_ms: int = await self._redis.script(scripts.DUE, [self._keys.queue(project, queue)], [self._now()])
        return None if due_ms < 0 else due_ms
