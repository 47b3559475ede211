"""Ids of messages, claims and subscriptions, and cursors: pure, and the same for every store.

A message id is 14 hexadecimal digits of the *rank* and 10 of the *incarnation* of its queue, all in lower case.

The rank is the instant of the post in microseconds since the epoch, but always greater than the last rank of the queue.
So ids sort in the order of the posts, none is given out twice, and each holds the instant at which its message was
created.  The incarnation is chosen at random when a queue is created, so that an id of another queue, or of a queue of
the same name that was deleted since, is the id of nothing.
"""

from __future__ import annotations

import os
import re
import secrets
import struct
from collections.abc import Sequence
from functools import lru_cache
from random import getrandbits

RANK_MAX = 16**14 - 1

NO_QUEUE = "0" * 10
"""In the markers of a queue that does not exist, the place of the incarnation."""

ID_LENGTH = 24

_RANK_DIGITS = 14
_SIZE, _RANK_SIZE = ID_LENGTH // 2, 7  # of an id in bytes, and of the rank in it
_CURSOR = re.compile("[0-9a-f]{14}")


@lru_cache(1024)
def _packed_ranks(number: int) -> struct.Struct:
    """So many ranks, in eight bytes each."""
    return struct.Struct(f">{number}Q")


def format_id(rank: int, incarnation: str) -> str:
    """The id of the message with this rank (0 to ``RANK_MAX``) in the queue with this incarnation."""
    return rank.to_bytes(7).hex() + incarnation


def format_ids(first: int, number: int, incarnation: str) -> list[str]:
    """The ids of so many messages, whose ranks follow one another from the first on."""
    if number == 1:  # which nearly all posts have
        return [format_id(first, incarnation)]
    return format_each(range(first, first + number), incarnation)


def format_each(ranks: Sequence[int], incarnation: str) -> list[str]:
    """The ids of the messages with these ranks, of which there is at least one: a third of what :func:`format_id` takes for each."""
    digits = _packed_ranks(len(ranks)).pack(*ranks).hex(",", 8)
    return (digits[2:].replace(",00", f"{incarnation},") + incarnation).split(",")


def parse_id(text: str) -> tuple[int, str] | None:
    """The rank and the incarnation in an id; ``None`` where the text has not the form of an id."""
    try:
        data = bytes.fromhex(text)
    except ValueError:
        return None
    if len(data) != _SIZE or data.hex() != text:  # capital letters, or blanks
        return None
    return int.from_bytes(data[:_RANK_SIZE]), text[_RANK_DIGITS:]


def parse_ids(ids: Sequence[str]) -> tuple[str, tuple[int, ...]] | None:
    """The incarnation in several ids, where all have the same, and their ranks; ``None`` where they have not, where a text has not the
    form of an id, or where there are none.

    For each of twenty it takes a third of what :func:`parse_id` takes.
    """
    incarnation, text = ids[0][_RANK_DIGITS:] if ids else "", ",".join(ids) + ","
    if {*map(len, ids)} != {ID_LENGTH} or not text.count(f"{incarnation},") == text.count(",") == len(ids):
        return None
    digits = "00" + text.replace(f"{incarnation},", "00")[:-2] + incarnation
    try:
        data = bytes.fromhex(digits)
    except ValueError:
        return None
    if data.hex() != digits:  # capital letters, or blanks
        return None
    return incarnation, _packed_ranks(len(ids)).unpack_from(data)


def format_cursor(rank: int) -> str:
    """The cursor that stands at a rank: its 14 digits."""
    return rank.to_bytes(7).hex()  # half of what it takes to format it


def parse_cursor(text: str) -> int | None:
    """The rank at which a cursor stands; ``None`` where the text is no cursor."""
    return int(text, 16) if _CURSOR.fullmatch(text) else None


def created_ms(rank: int) -> int:
    """The instant, in milliseconds since the epoch, at which the message with this rank was posted."""
    return rank // 1000


def new_incarnation() -> str:
    """Ten random hexadecimal digits for a queue that is being created, and so for each post that may create one.

    They are no secret, so that they need not come from the system's source of random numbers.
    """
    while (drawn := f"{getrandbits(40):010x}") == NO_QUEUE:
        pass
    return drawn


_CLAIM_ID_LENGTH = 24
_drawn = ""  # digits for the next ids of claims: to ask the system for those of each takes longer than all the rest


def _forget_drawn() -> None:
    global _drawn
    _drawn = ""


os.register_at_fork(after_in_child=_forget_drawn)


def new_claim_id() -> str:
    """A new id of a claim or a subscription: 24 URL-safe characters that nobody can guess."""
    global _drawn
    digits = _drawn or secrets.token_hex(_CLAIM_ID_LENGTH * 32)
    _drawn = digits[_CLAIM_ID_LENGTH:]
    return digits[:_CLAIM_ID_LENGTH]
