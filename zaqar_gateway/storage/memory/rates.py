"""Buckets of tokens."""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil, floor

from attrs import define, field
from twisted.internet.interfaces import IReactorTime
from zope.interface import implementer

from zaqar_gateway.interfaces import IRates
from zaqar_gateway.model import Draw, Drawn
from zaqar_gateway.storage.memory.ordered import Agenda


@define
class _Bucket:
    tokens: float
    at_s: float

    def draw(self, asked: Draw, now_s: float) -> Drawn:
        tokens = min(asked.burst, self.tokens + max(0.0, now_s - self.at_s) * asked.per_s)
        tokens = min(asked.burst, tokens - asked.owed)
        granted = max(0, min(asked.wanted, floor(tokens)))
        self.tokens, self.at_s = tokens - granted, now_s  # also where the clock was set back: they fill from now on
        if granted == asked.wanted:
            return Drawn(granted, 0)
        return Drawn(granted, max(1, ceil((asked.enough - self.tokens) / asked.per_s * 1000)))

    def full_in_s(self, asked: Draw) -> float:
        return (asked.burst - self.tokens) / asked.per_s


@implementer(IRates)
@define(eq=False)
class MemoryRates:
    """Those of each project, until they are full."""

    _clock: IReactorTime
    _buckets: dict[str, list[_Bucket]] = field(factory=dict)
    _full: Agenda[str] = field(factory=Agenda)  # when the buckets of a project are (ms)

    async def draw(self, project: str, draws: Sequence[Draw]) -> list[Drawn]:
        now_s = self._clock.seconds()
        for each in self._full.take(int(now_s * 1000)):
            del self._buckets[each]
        buckets = self._buckets.get(project)
        if buckets is None:
            buckets = self._buckets[project] = [_Bucket(one.burst, now_s) for one in draws]
        drawn = [bucket.draw(one, now_s) for bucket, one in zip(buckets, draws, strict=True)]
        full_in_s = max(bucket.full_in_s(one) for bucket, one in zip(buckets, draws, strict=True))
        self._full.set(project, ceil((now_s + full_in_s) * 1000) + 1)
        return drawn
