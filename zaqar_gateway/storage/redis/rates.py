"""Buckets of tokens in Redis."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from attrs import define
from zope.interface import implementer

from zaqar_gateway.interfaces import IRates
from zaqar_gateway.model import Draw, Drawn
from zaqar_gateway.storage.redis import scripts
from zaqar_gateway.storage.redis.commands import Argument
from zaqar_gateway.storage.redis.interfaces import IRedis
from zaqar_gateway.storage.redis.keys import Keys


@implementer(IRates)
@define
class RedisRates:
    """The buckets of a project are one hash, which is gone when they are full."""

    _redis: IRedis
    _keys: Keys
    _now: Callable[[], Argument]  # b"" in production: the script then asks Redis

    async def draw(self, project: str, draws: Sequence[Draw]) -> list[Drawn]:
        arguments: list[Argument] = [self._now()]
        for one in draws:
            arguments += (str(one.per_s), one.burst, one.owed, one.wanted, one.enough)
        found = await self._redis.script(scripts.DRAW, [self._keys.rates(project)], arguments)
        return [Drawn(found[at], found[at + 1]) for at in range(0, len(found), 2)]
