"""Slots of a Redis Cluster: pure.  Source: the Redis Cluster specification, "Key distribution model" and "Hash tags"."""

from __future__ import annotations

from binascii import crc_hqx
from collections.abc import Callable

SLOTS = 16384


def slot_of(key: bytes) -> int:
    """The slot of a key, or of packed arguments of which the first that has braces is a key with a hash tag."""
    begin = key.find(b"{") + 1
    if begin:
        end = key.find(b"}", begin)
        if end > begin:
            key = key[begin:end]
    return crc_hqx(key, 0) % SLOTS


def tag_in(has: Callable[[int], bool], first: int = 0) -> bytes | None:
    """A hash tag whose slot is one of some; ``None``: there is none for many tries.

    :param has: whether a slot is.
    :param first: a number; tags from there on are tried.
    """
    return next((tag for tag in (b"%d" % number for number in range(first, first + 16 * SLOTS)) if has(slot_of(tag))), None)
