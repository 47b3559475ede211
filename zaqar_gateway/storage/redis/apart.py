"""Long bodies, which are kept apart from the entries of their messages, and go past the scripts.

Redis makes strings of Lua of all that a script is given or reads, and Lua looks at each of their bytes: 0.45 ms for 256 KiB with
Redis 7, as long as all else that it does for a post of that size.  So a long body is put into a hash beside the queue, in one
transaction with the script that posts its message; what stands for it in the entry is as good as any other body to the scripts.
Claims and plain reads give that out, and the bodies are read after them, by commands.
"""

from __future__ import annotations

from collections.abc import Sequence
from random import getrandbits

from msgspec.structs import replace

from zaqar_gateway.model import Message
from zaqar_gateway.storage.redis.interfaces import IRedis
from zaqar_gateway.storage.redis.packing import bulk, bulk_parts

APART_FROM = 32768
"""Bytes of a body from which on it is kept apart: below, another command costs more than is saved."""

_MARK = b"\x02"
"""How a body begins that stands for another one (``scripts/common.lua``).  No JSON text does, nor one that is encrypted."""

_TOKEN_SIZE = 12  # bytes, as scripts know; tokens are no secret, and two of a queue are never the same


def bodies_of(queue: bytes) -> bytes:
    """The hash of the bodies of a queue, by its key."""
    return queue + b":w"


class Putting:
    """The bodies of one post that are kept apart.

    :param queue: its key.
    :ivar key: of the hash that they go to.
    """

    def __init__(self, queue: bytes) -> None:
        self.key = bodies_of(queue)
        self._parts: list[bytes] = []
        self._number = 0

    def add(self, body: bytes) -> bytes:
        """Keep one.

        :return: what stands for it.
        """
        token = getrandbits(8 * _TOKEN_SIZE).to_bytes(_TOKEN_SIZE)
        self._parts += (bulk(token), *bulk_parts(body))
        self._number += 1
        return _MARK + token

    def packed(self) -> list[bytes]:
        """The command that puts them there, in parts."""
        begin = b"*%d\r\n" % (2 + 2 * self._number) + bulk(b"HSET") + bulk(self.key)
        return [begin, *self._parts]


async def whole(redis: IRedis, queue: bytes, messages: Sequence[Message]) -> list[Message]:
    """The same messages with their bodies; one that is gone since is left out.

    :param queue: its key.
    :raises StoreError: they could not be read.
    """
    tokens = [one.body[1:] for one in messages if one.body[:1] == _MARK]
    if not tokens:
        return [*messages]
    found = dict(zip(tokens, await redis.command(b"HMGET", bodies_of(queue), *tokens), strict=True))
    bodies = [found[one.body[1:]] if one.body[:1] == _MARK else one.body for one in messages]
    return [replace(one, body=body) for one, body in zip(messages, bodies, strict=True) if body is not None]
