"""From the answers of the scripts to values: pure."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import repeat
from typing import Any
from urllib.parse import unquote

import msgspec

from zaqar_gateway.errors import QuotaExceeded
from zaqar_gateway.model import (
    DeadLetter,
    FailedDelivery,
    Letter,
    Message,
    Owed,
    Place,
    Post,
    Posted,
    QueueRules,
    Quotas,
    StreamPage,
    Subscription,
)
from zaqar_gateway.storage import bytes_exceeded, messages_exceeded, queues_exceeded
from zaqar_gateway.storage.ids import format_cursor, format_each, format_id, parse_cursor, parse_id, parse_ids
from zaqar_gateway.storage.redis.packing import bulks

_numbers = msgspec.json.Decoder(list[int]).decode
_in_text = msgspec.json.Encoder().encode
DIGITS_16 = 10**15
"""The least number of 16 digits, which all ranks of this time have."""

AGAIN, _ALIKE = 1, 2
"""How an answer of ``scripts/claim.lua`` begins: it is to be asked again, or its messages differ in rank and body alone."""

_FIELDS = 4  # of a message: scripts/common.lua, emit

_ANY_BYTES = 2**53
"""A bound of bytes that is never reached, by which they are counted."""


def end_of(now_ms: int) -> int:
    """The last microsecond of an instant: so many seconds after its rank a message has the age that milliseconds give it."""
    return now_ms * 1000 + 999


def messages(
    answer: Sequence[Any], first: int, now_ms: int, incarnation: str, claim_id: str | None = None
) -> list[Message]:
    """The messages in an answer, from its element ``first`` on.

    :param claim_id: the claim that they are in where they name none.
    """
    found = []
    now_us = end_of(now_ms)
    # Four at a time; slices take twice as long.
    fields = iter(answer[first:])
    for rank, ttl, body, more in zip(*(fields,) * _FIELDS, strict=False):
        number = int(rank)
        if more:
            found.append(_with_more(number, incarnation, body, int(ttl), now_ms, claim_id, *more))
        else:
            age_s = (now_us - number) // 1_000_000
            found.append(Message(format_id(number, incarnation), body, int(ttl), age_s if age_s > 0 else 0, claim_id))
    return found


def claimed(answer: Sequence[Any], claim_id: str | None) -> tuple[list[Message], int]:
    """What a claim was given, and whether bodies may be kept apart: scripts/claim.lua.

    :param claim_id: as for :func:`messages`.
    """
    form, now_ms, incarnation, has_apart = answer[:4]
    if form != _ALIKE:
        return messages(answer, 4, now_ms, incarnation.decode(), claim_id), has_apart
    ttl, age_s, ranks = answer[4:7]
    ids = format_each(_numbers(b"[%b]" % ranks), incarnation.decode())
    same = repeat(int(ttl)), repeat(max(0, age_s)), repeat(claim_id)
    return [*map(Message, ids, answer[7:], *same)], has_apart


def _with_more(
    rank: int,
    incarnation: str,
    body: bytes,
    ttl_s: int,
    now_ms: int,
    claim_id: str | None,
    claim: bytes,
    count: int,
    moved: bytes,
    created: bytes,
) -> Message:
    """A message with what is said of few."""
    message_id, dead = format_id(rank, incarnation), None
    if moved:
        message_id, *why = moved.decode().split(" ")
        dead = DeadLetter(unquote(why[0]), why[1], rank // 1000) if why else None
    age_s = max(0, now_ms - int(created)) // 1000 if created else max(0, end_of(now_ms) - rank) // 1_000_000
    return Message(message_id, body, ttl_s, age_s, claim.decode() if claim else claim_id, count, None, dead)


def stream_page(answer: Sequence[Any]) -> StreamPage:
    """A page of what was posted: scripts/read.lua, without its first value."""
    now_ms, incarnation, gap, cut, rank, more, clients = answer[:7]
    queue = incarnation.decode()
    found = messages(answer, 7, now_ms, queue)
    posted = [Posted(message, client) for message, client in zip(found, clients, strict=True)]
    return StreamPage(posted, format_id(int(rank), queue), bool(gap), format_id(int(cut), queue), bool(more))


def id_arguments(ids: Sequence[str]) -> list[str]:
    """What a script is given for ids (``scripts/common.lua``, meant_by): one argument more than there are.

    A text that is no id is one that no message has.
    """
    if (alike := parse_ids(ids)) is not None:
        incarnation, ranks = alike
        return [incarnation, *map(str, ranks)]
    return ["", *("{}:{}".format(*(parse_id(one) or (0, ""))) for one in ids)]


def packed_ids(ids: Sequence[str]) -> bytes:
    """The same, packed."""
    if len(ids) == 1 and (known := parse_id(ids[0])) is not None:
        rank, incarnation = known
        digits = str(rank)
        return f"${len(incarnation)}\r\n{incarnation}\r\n${len(digits)}\r\n{digits}\r\n".encode()
    if (alike := parse_ids(ids)) is not None:
        incarnation, ranks = alike
        # Less than half of what it takes to pack each.
        if DIGITS_16 <= min(ranks) and max(ranks) < 10 * DIGITS_16:
            texts = _in_text(ranks)[1:-1]
            return b"$%d\r\n%b\r\n$16\r\n%b\r\n" % (len(incarnation), incarnation.encode(), texts.replace(b",", b"\r\n$16\r\n"))
    return bulks(id_arguments(ids))


def letters(answer: Sequence[Any], incarnation: str) -> list[Letter]:
    """The dead letters in an answer: scripts/dead_letter_show.lua."""
    found = []
    for at in range(2, len(answer), 6):
        rank, message_id, body, client, ttl, created = answer[at : at + 6]
        place = format_id(int(rank), incarnation)
        found.append(Letter(place, message_id.decode(), body, client, int(ttl), int(created)))
    return found


def quota_arguments(quotas: Quotas) -> tuple[int, int, int]:
    """The most queues, messages and bytes, for a script that stores something."""
    bytes_max = quotas.bytes_per_queue or (_ANY_BYTES if quotas.counts_bytes else 0)
    return quotas.queues, quotas.messages_per_queue, bytes_max


def exceeded(quotas: Quotas, which: int) -> QuotaExceeded:
    """What to tell where a script says which of them there would be too much of, counted from 1."""
    told, most = (
        (queues_exceeded, quotas.queues),
        (messages_exceeded, quotas.messages_per_queue),
        (bytes_exceeded, quotas.bytes_per_queue),
    )[which - 1]
    return told(most)


def rule_arguments(rules: QueueRules) -> list[str | int | bytes]:
    """Names and values of the rules that are set, as scripts keep them with a queue."""
    values: tuple[tuple[str, str | int | bytes | None], ...] = (
        ("ttl", rules.message_ttl_s),
        ("size", rules.post_size_max),
        ("delay", rules.message_delay_s or None),
        ("claims", rules.claim_count_max),
        ("dead", rules.dead_letter_queue),
        ("dead_ttl", rules.dead_letter_ttl_s),
        ("enc", 1 if rules.encrypted else None),
        ("retry", rules.retry_policy or None),
    )
    return [part for name, value in values if value is not None for part in (name, value)]


def subscriptions(answer: Sequence[Any], first: int, now_ms: int) -> list[Subscription]:
    """The subscriptions in an answer, from its element ``first`` on: scripts/subscriptions.lua, show."""
    found = []
    for at in range(first, len(answer), 7):
        subscription_id, name, ttl, created, confirmed, owner, options = answer[at : at + 7]
        age_s = max(0, now_ms - int(created)) // 1000
        found.append(
            Subscription(
                subscription_id.decode(), text(name), int(ttl), age_s, options, bool(confirmed), owner.decode()
            )
        )
    return found


def posts(answer: Sequence[Any], first: int) -> list[Post]:
    """The posts in an answer, from its element ``first`` on: scripts/owed.lua, tell."""
    found = []
    for at in range(first, len(answer), 6):
        rank, ttl, body, delay, kind, until_s = answer[at : at + 6]
        delay_s = int(delay) if delay else None
        found.append(Post(format_cursor(int(rank)), body, int(ttl), delay_s, kind.decode(), int(until_s)))
    return found


def owed(place: Place, answer: Sequence[Any], now_ms: int, retry_policy: bytes) -> Owed:
    """What a subscription is owed: scripts/owed.lua, owed_to."""
    *_, token, attempts, gap, told = answer
    (subscription,) = subscriptions(answer[:7], 0, now_ms)
    return Owed(place, subscription, token, posts(told, 0), attempts, retry_policy, bool(gap))


def failures(answer: Sequence[Any], now_ms: int) -> list[FailedDelivery]:
    """Deliveries that were given up: scripts/failed_list.lua."""
    found = []
    for at in range(1, len(answer), 6):
        rank, subscription_id, name, attempts, reason, kind = answer[at : at + 6]
        age_s = max(0, now_ms - int(rank) // 1000) // 1000
        found.append(
            FailedDelivery(
                format_cursor(int(rank)),
                subscription_id.decode(),
                text(name),
                int(attempts),
                text(reason),
                age_s,
                kind.decode(),
            )
        )
    return found


def rank_of(cursor: str) -> int:
    """The rank that a cursor means; a text that is none means the beginning."""
    return parse_cursor(cursor) or 0


def text(value: bytes) -> str:
    """A text as it was given; a client may have written half of a surrogate pair."""
    return value.decode("utf-8", "surrogatepass")
