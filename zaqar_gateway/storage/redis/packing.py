"""Arguments of commands as Redis reads them (RESP, bulk strings): pure.

To pack the dozen arguments of a script one by one costs as much as to read an HTTP head.  Most are the same in every call, or
one of few numbers; these are packed once.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any, cast

import hiredis

_END = b"\r\n"


def bulk(value: bytes) -> bytes:
    """One argument."""
    return b"$%d\r\n%b\r\n" % (len(value), value)


def bulk_parts(value: bytes) -> tuple[bytes, bytes, bytes]:
    """One argument, to be joined with others: a long one is not copied for that twice."""
    return b"$%d\r\n" % len(value), value, _END


def command(*words: bytes | str | int) -> bytes:
    """A whole command."""
    packed: bytes = hiredis.pack_command(cast("tuple[Any]", words))
    return packed


def bulks(values: Sequence[bytes | str | int]) -> bytes:
    """Several arguments, of which none is likely to come again."""
    packed = command(*values)
    return packed[packed.index(b"\n") + 1 :]  # without their number


@lru_cache(maxsize=4096)
def number(value: int) -> bytes:
    """An integer."""
    return bulk(b"%d" % value)


@lru_cache(maxsize=4096)
def word(value: bytes) -> bytes:
    """A value that comes again and again."""
    return bulk(value)


NOTHING = bulk(b"")


def packed_now(now: bytes | str | int) -> bytes:
    """The instant that a script begins with: an integer, or nothing where it shall ask Redis."""
    return number(now) if isinstance(now, int) else NOTHING
