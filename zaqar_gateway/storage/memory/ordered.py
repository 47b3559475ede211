"""Ordered sets, agendas and the source of ranks."""

from __future__ import annotations

import heapq
from bisect import bisect_left, bisect_right, insort
from collections.abc import Iterator
from typing import Generic, TypeVar

from attrs import define

_CHUNK = 512

_Key = TypeVar("_Key", int, str, tuple[str, str])


@define(eq=False)
class RankSource:
    """Gives out the ranks of a queue, which rise.

    :ivar last: the last one given out, 0 where there is none.
    """

    last: int = 0

    def next(self, now_us: int) -> int:
        """A rank: the instant in microseconds, but always greater than the last one."""
        self.last = max(self.last + 1, now_us)
        return self.last


class Ranks:
    """An ordered set of ranks, in chunks, so that a change moves one chunk and not all that follow."""

    __slots__ = ("_chunks", "_lasts", "_size")

    def __init__(self) -> None:
        self._chunks: list[list[int]] = []
        self._lasts: list[int] = []  # the greatest rank of each chunk
        self._size = 0

    def __len__(self) -> int:
        return self._size

    def add(self, rank: int) -> None:
        """Add a rank that is not in the set."""
        self._size += 1
        if not self._lasts or rank > self._lasts[-1]:
            if not self._lasts or len(self._chunks[-1]) >= _CHUNK:
                self._chunks.append([rank])
                self._lasts.append(rank)
            else:
                self._chunks[-1].append(rank)
                self._lasts[-1] = rank
            return
        at = bisect_left(self._lasts, rank)
        chunk = self._chunks[at]
        insort(chunk, rank)
        if len(chunk) > 2 * _CHUNK:
            self._chunks[at : at + 1] = [chunk[:_CHUNK], chunk[_CHUNK:]]
            self._lasts.insert(at, chunk[_CHUNK - 1])

    def remove(self, rank: int) -> None:
        """Remove a rank that is in the set."""
        at = bisect_left(self._lasts, rank)
        chunk = self._chunks[at]
        del chunk[bisect_left(chunk, rank)]
        self._size -= 1
        if chunk:
            self._lasts[at] = chunk[-1]
        else:
            del self._chunks[at], self._lasts[at]

    def after(self, rank: int) -> Iterator[int]:
        """The ranks greater than this one, in order; the set must not change meanwhile."""
        at = bisect_right(self._lasts, rank)
        if at < len(self._chunks):
            chunk = self._chunks[at]
            yield from chunk[bisect_right(chunk, rank) :]
            for chunk in self._chunks[at + 1 :]:
                yield from chunk

    @property
    def first(self) -> int | None:
        """The least rank."""
        return self._chunks[0][0] if self._chunks else None

    @property
    def last(self) -> int | None:
        """The greatest rank."""
        return self._lasts[-1] if self._lasts else None


class Agenda(Generic[_Key]):
    """Keys and the instants (ms) at which something happens to them."""

    __slots__ = ("_at", "_heap")

    def __init__(self) -> None:
        self._at: dict[_Key, int] = {}
        self._heap: list[tuple[int, _Key]] = []  # also holds what was set anew or discarded since

    def __len__(self) -> int:
        return len(self._at)

    def get(self, key: _Key) -> int | None:
        """The instant of a key."""
        return self._at.get(key)

    def set(self, key: _Key, at: int) -> None:
        """Give a key its instant, in place of the one that it may have."""
        if self._at.get(key) != at:
            self._at[key] = at
            heapq.heappush(self._heap, (at, key))
            self._trim()

    def discard(self, key: _Key) -> None:
        """Forget a key, if it is there."""
        if self._at.pop(key, None) is not None:
            self._trim()

    def take(self, now: int) -> Iterator[_Key]:
        """Remove and yield the keys whose instant has come."""
        while self._heap and self._heap[0][0] <= now:
            at, key = heapq.heappop(self._heap)
            if self._at.get(key) == at:
                del self._at[key]
                yield key

    def first(self) -> tuple[int, _Key] | None:
        """The earliest instant, and its key."""
        while self._heap:
            at, key = self._heap[0]
            if self._at.get(key) == at:
                return at, key
            heapq.heappop(self._heap)
        return None

    def next(self) -> int | None:
        """The earliest instant."""
        first = self.first()
        return None if first is None else first[0]

    def _trim(self) -> None:
        if len(self._heap) > 2 * len(self._at) + 64:
            self._heap = [(at, key) for key, at in self._at.items()]
            heapq.heapify(self._heap)
