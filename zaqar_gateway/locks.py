"""Things that have to be done one after the other in this process."""

from __future__ import annotations

from collections.abc import AsyncIterator, Hashable
from contextlib import asynccontextmanager

from twisted.internet.defer import DeferredLock


class Locks:
    """A lock for each of any number of things; it is kept while somebody has it or waits for it."""

    def __init__(self) -> None:
        self._held: dict[Hashable, DeferredLock] = {}

    @asynccontextmanager
    async def held(self, thing: Hashable) -> AsyncIterator[None]:
        """Have the lock of a thing, after all who came before."""
        lock = self._held.setdefault(thing, DeferredLock())
        await lock.acquire()
        try:
            yield
        finally:
            if not lock.waiting:
                del self._held[thing]
            lock.release()
