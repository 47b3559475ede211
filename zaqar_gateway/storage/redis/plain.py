"""Reads that need no script: of messages that nothing has happened to since they were posted.

A script reads ten messages for four times what the same command costs by itself: Redis makes an answer of them, takes it apart
for Lua, and makes an answer again.  So what is nearly always enough is asked by plain commands in one write, and where their
answers show that there is more to it, the script is asked after all (``scripts/list.lua``, ``scripts/get.lua``).

Commands of others may take effect between these.  That a page is nonetheless the one that the queue had in the instant of XRANGE
follows from what is asked after it, since the incarnation of a queue never comes again, and ``head`` only moves forward:

* It is the same queue: its incarnation is that of the marker, or what it was before.
* No message of the page was ever claimed: all are behind ``head``, so that no claim and no state can be theirs.
* There are no messages in ``later`` and none that were moved here, as there are no such flags yet.  Only a purge takes the flags
  away, and with them all messages: a page of which a part is gone in the next instant may lack another part of it.

Where messages were claimed, a listing that leaves out what is claimed begins behind the ``head`` that was seen last. What is before
that is not in it as long as nothing of it is free, which is asked before the page and after it, nor any claim has lapsed at the time
that was asked before all.

Of one message the state is asked before its entry, and the time before both.  Where there is none and it is behind ``head``, the message
was free in that instant; before ``head`` it may be of a run.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any, TypeVar

from attrs import define, field
from msgspec import Struct
from msgspec.structs import replace

from zaqar_gateway.model import Message
from zaqar_gateway.storage.ids import format_id
from zaqar_gateway.storage.redis import reading
from zaqar_gateway.storage.redis.apart import whole
from zaqar_gateway.storage.redis.commands import Argument, SlotMoved
from zaqar_gateway.storage.redis.interfaces import IRedis
from zaqar_gateway.storage.redis.keys import Keys
from zaqar_gateway.storage.redis.packing import bulk, bulks, number
from zaqar_gateway.storage.redis.reading import Asking
from zaqar_gateway.storage.redis.values import DIGITS_16, end_of

_T = TypeVar("_T")

_BEGINNING = bulk(b"-")
_TO_END = bulk(b"+") + bulk(b"COUNT")
_ANY_MORE = bulk(b"+inf")

_FIELDS_MAX = 4
"""Names and values in the entry of a message that was posted here (``scripts/common.lua``), where its rank does not tell when; two
where it does."""

_PLUS = ord("+")
"""Behind the ttl in an entry whose body is kept apart."""

_PASSED_OVER = 8
"""Reads of a queue that go to the script at once after one that asked in vain, so that asking costs little where it mostly is."""

_PLACES_MAX = 4096

_IDS_MAX = 16384
"""Ids that are remembered: some 5 MB."""

_TERMS_MAX = 1024


class PlainPage(Struct, frozen=True, gc=False):
    """A page of a listing.

    :ivar last: rank and incarnation of the message last looked at; ``None`` where there was none; and ``last_id`` its id.
    :ivar more: whether there may be more, since messages were left out.
    :ivar has_apart: whether bodies are kept apart.
    """

    messages: list[Message]
    last: tuple[int, str] | None
    last_id: str | None
    more: bool
    knows_delay: bool
    has_apart: bool = False


@define
class PlainReads:
    """What can be read without a script; where it cannot, the answer is ``None``."""

    _redis: IRedis
    _keys: Keys
    _now: Callable[[], Argument]  # b"" in production: Redis is asked
    _asking: Callable[[str, str], Asking] = field(init=False)
    _passed_over: dict[tuple[str, str], int] = field(factory=dict)
    _heads: dict[tuple[str, str], int] = field(factory=dict)  # as they were seen last; they only move forward

    def __attrs_post_init__(self) -> None:
        self._asking = lru_cache(maxsize=_PLACES_MAX)(self._packed)

    def _packed(self, project: str, queue: str) -> Asking:
        key = self._keys.queue(project, queue)
        stream = bulk(b"XRANGE") + bulk(key + b":m")
        return Asking(
            incarnation=b"*3\r\n" + bulks((b"HGET", key, b"inc")),
            page=b"*6\r\n" + stream,
            entry=b"*4\r\n" + stream,
            state=b"*3\r\n" + bulks((b"HGET", key + b":s")),
            free=b"*4\r\n" + bulks((b"ZCOUNT", key + b":f")),
            held=b"*5\r\n" + bulks((b"ZRANGE", key + b":h", b"0", b"0", b"WITHSCORES")),
            known=b"*7\r\n" + bulks((b"HMGET", key, b"inc", b"later", b"moved", b"head", b"delay")),
        )

    async def page(
        self,
        project: str,
        queue: str,
        after: tuple[int, str] | None,
        limit: int,
        skip: bytes | None,
        with_claimed: bool = False,
    ) -> PlainPage | None:
        """The messages behind a marker.

        :param after: rank and incarnation of the marker; ``None`` is the beginning.
        :param skip: the client whose messages are left out.
        :param with_claimed: whether messages that are claimed are in it.
        """
        if self._passed_over and self._passes_over(project, queue):
            return None
        asking, marker = self._asking(project, queue), 0 if after is None else after[0]
        head = 0 if with_claimed else self._heads.get((project, queue), 0)
        begin = max(marker, head)
        page = asking.page + (_behind(begin) if begin else _BEGINNING) + _TO_END + number(limit)
        count = 1
        if is_beyond := marker < head:
            free = asking.free + bulk(b"(%d" % marker) + _ANY_MORE
            page, count = free + asking.held + page + free, 4
        try:
            now_ms, incarnation, found, known = await reading.ask(self._redis, asking, self._now_ms, page, count, limit)
        except SlotMoved:
            return None  # the script is sent again until it runs
        if after is not None:
            incarnation = after[1].encode()
        head_now = int(known[3] or 0)
        if head_now and not with_claimed:
            self._heads[project, queue] = head_now
            if len(self._heads) > _PLACES_MAX:
                self._heads.clear()
        if is_beyond:
            free_before, held, entries, free_after = found
            if head_now < head:  # it was of another queue of the same name
                self._heads.pop((project, queue), None)
                return None
            if free_before or free_after or held and float(held[1]) <= now_ms:
                return self._noted(project, queue, None)
        else:
            (entries,) = found
        plain = _page(entries, known, incarnation, now_ms, limit, skip)
        if plain is not None and plain.has_apart:
            messages = await whole(self._redis, self._keys.queue(project, queue), plain.messages)
            plain = replace(plain, messages=messages, more=plain.more or len(messages) < len(plain.messages))
        if plain is not None or head_now and not head and not with_claimed:
            return plain  # where there is none, the next one begins behind the head, which was not known
        return self._noted(project, queue, None)

    async def get(self, project: str, queue: str, rank: int, incarnation: str) -> list[Message] | None:
        """The message that an id means, or none."""
        if self._passed_over and self._passes_over(project, queue):
            return None
        asking, place = self._asking(project, queue), bulk(b"%d" % rank)
        commands = b"".join((asking.state, place, asking.entry, place, place))
        try:
            now_ms, _, (state, entries), known = await reading.ask(self._redis, asking, self._now_ms, commands, 2, 1)
        except SlotMoved:
            return None
        found, has_apart = _one(entries, known, incarnation, now_ms, state)
        if found and has_apart:
            found = await whole(self._redis, self._keys.queue(project, queue), found)
        return self._noted(project, queue, found)

    def _now_ms(self, time: list[bytes]) -> int:
        now = self._now()
        return now if isinstance(now, int) else int(time[0]) * 1000 + int(time[1]) // 1000

    def _passes_over(self, project: str, queue: str) -> bool:
        """Whether this read goes to the script at once."""
        left = self._passed_over.pop((project, queue), 0)
        if left > 1:
            self._passed_over[project, queue] = left - 1
        return left > 0

    def _noted(self, project: str, queue: str, found: _T | None) -> _T | None:
        """What was found, noting where that was nothing."""
        if found is None:
            if len(self._passed_over) >= _PLACES_MAX:
                self._passed_over.clear()
            self._passed_over[project, queue] = _PASSED_OVER
        return found


def _behind(rank: int) -> bytes:
    """A range that begins behind a rank, packed."""
    return b"$17\r\n(%d\r\n" % rank if DIGITS_16 <= rank < 10 * DIGITS_16 else bulk(b"(%d" % rank)


def _page(
    entries: Sequence[Any], known: Sequence[bytes | None], incarnation: bytes, now_ms: int, limit: int, skip: bytes | None
) -> PlainPage | None:
    """See :meth:`PlainReads.page`.

    :param incarnation: that the queue had before.
    """
    current, later, moved, head, delay = known
    if current is None:
        return PlainPage([], None, None, False, False)
    if later or moved or current != incarnation:
        return None
    if not entries:
        return PlainPage([], None, None, False, bool(int(delay or 0)))
    if head and int(entries[0][0][:-2]) <= int(head):
        return None
    ids = _ids_in(current.decode())
    found, has_apart = _messages(entries, ids, now_ms, skip)
    if found is None:
        return None
    entry_id = entries[-1][0]
    last = int(entry_id[:-2]), ids.incarnation
    return PlainPage(found, last, ids[entry_id], len(found) < len(entries) == limit, bool(int(delay or 0)), has_apart)


def _one(
    entries: Sequence[Any], known: Sequence[bytes | None], incarnation: str, now_ms: int, state: bytes | None
) -> tuple[list[Message] | None, bool]:
    """See :meth:`PlainReads.get`; and whether bodies are kept apart.

    :param incarnation: that is in the id.
    """
    current, later, moved, head = known[:4]
    if moved:
        return None, False  # an id of this queue may then mean a message that has another rank
    if current != incarnation.encode():
        return [], False
    if state or later and not entries:
        return None, False
    if entries and head and int(entries[0][0][:-2]) <= int(head):
        return None, False  # it may be of a run
    return _messages(entries, _ids_in(incarnation), now_ms, None)


class _Ids(dict[bytes, str]):
    """The ids of messages of one queue, by their entries, for those that were read lately.

    What many clients follow is read again by each of them; to make the ids anew takes half of what the messages take here.
    """

    def __init__(self, incarnation: str) -> None:
        super().__init__()
        self.incarnation = incarnation

    def __missing__(self, entry_id: bytes) -> str:
        _take_room()
        found = self[entry_id] = format_id(int(entry_id[:-2]), self.incarnation)
        return found


_known: dict[str, _Ids] = {}  # by the incarnation of the queue
_room = _IDS_MAX


def _take_room() -> None:
    """Have room for one more; where there is none all are forgotten."""
    global _room
    if _room == 0:
        for ids in _known.values():
            ids.clear()
        _known.clear()
        _room = _IDS_MAX
    _room -= 1


def _ids_in(incarnation: str) -> _Ids:
    found = _known.get(incarnation)
    if found is None:
        _take_room()
        found = _known[incarnation] = _Ids(incarnation)
    return found


@lru_cache(_TERMS_MAX)
def _terms(begins: bytes, skip: bytes | None) -> tuple[int, bool, bool]:
    """What an entry begins with: ttl (s), whether it is of the client that is left out, whether its body is kept apart."""
    ttl, _, client = begins.partition(b" ")
    if ttl[-1] == _PLUS:
        return int(ttl[:-1]), client == skip, True
    return int(ttl), client == skip, False


def _alike(
    entries: Sequence[Any], ids: _Ids, now_ms: int, skip: bytes | None
) -> tuple[list[Message], bool] | None:
    """See :func:`_messages`; ``None`` where they differ in more than rank and body: nearly always all of a page are of one client,
    have the same ttl, and are of the same second, and either their ranks tell when they were posted or all were in one post."""
    (first, fields), (last, others) = entries[0], entries[-1]
    known = fields[0]
    ttl_s, is_skipped, is_apart = _terms(known, skip)
    if is_skipped or len(fields) != len(others):
        return None
    found: list[Message]
    try:
        if len(fields) == _FIELDS_MAX:
            created = fields[3]
            age_s = max((now_ms - int(created)) // 1000, 0)
            found = [
                Message(ids[entry_id], body, ttl_s, age_s)
                for entry_id, (begins, body, _, posted) in entries
                if begins == known and posted == created
            ]
        else:
            now_us = end_of(now_ms)
            age_s = (now_us - int(first[:-2])) // 1_000_000
            if age_s < 0 or age_s != (now_us - int(last[:-2])) // 1_000_000:
                return None
            found = [Message(ids[entry_id], body, ttl_s, age_s) for entry_id, (begins, body) in entries if begins == known]
    except ValueError:  # there is more in one of them, or less
        return None
    return (found, is_apart) if len(found) == len(entries) and age_s < ttl_s else None


def _messages(
    entries: Sequence[Any], ids: _Ids, now_ms: int, skip: bytes | None
) -> tuple[list[Message] | None, bool]:
    """The messages in entries of ``main``; ``None`` where one of them was moved here, or has expired; and whether bodies are kept
    apart."""
    if len(entries) > 1 and (alike := _alike(entries, ids, now_ms, skip)) is not None:
        return alike
    now_us = end_of(now_ms)
    found: list[Message] = []
    known, ttl_s, is_skipped, has_apart = None, 0, False, False
    age_s, same_until = 0, -1  # of the last one, and the last rank that is as old
    for entry_id, fields in entries:
        begins = fields[0]
        if begins != known:  # most have the same
            known, same_until = begins, -1
            ttl_s, is_skipped, is_apart = _terms(begins, skip)
            has_apart = has_apart or is_apart
        number_of_fields = len(fields)
        if number_of_fields > _FIELDS_MAX:
            return None, False
        if number_of_fields == _FIELDS_MAX:
            age_s, same_until = (now_ms - int(fields[3])) // 1000, -1
        elif (rank := int(entry_id[:-2])) > same_until:
            age_s = (now_us - rank) // 1_000_000
            same_until = now_us - age_s * 1_000_000
        if age_s >= ttl_s:
            return None, False
        if not is_skipped:
            found.append(Message(ids[entry_id], fields[1], ttl_s, age_s if age_s > 0 else 0))
    return found, has_apart
