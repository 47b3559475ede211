"""Pooling without a network: what one gateway process has of it, over stores that a test gives."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from random import Random

from attrs import define, field
from twisted.internet.task import Clock
from zope.interface import implementer

from zaqar_gateway.interfaces import IManagement, IStorage, IStorageBackend
from zaqar_gateway.model import Pool, Quotas
from zaqar_gateway.operations.pools import Pooling
from zaqar_gateway.storage.memory import MemoryManagement, MemoryStorage
from zaqar_gateway.storage.pooled import LEFT_S, Directory, Placements, PooledStorage


@implementer(IStorageBackend)
@define(eq=False)
class Backend:
    """A store that runs already."""

    storage: IStorage
    where: str = "a store of this test"
    stopped: int = 0

    async def start(self) -> None:
        """See :class:`~zaqar_gateway.interfaces.IStorageBackend`."""

    async def stop(self) -> None:
        """See :class:`~zaqar_gateway.interfaces.IStorageBackend`."""
        self.stopped += 1


async def _anything(uri: str) -> None:
    """Accepts every URI."""


@define(eq=False)
class Process:
    """What one gateway process has of pooling: stores by the URIs of pools, and all that is in front of them."""

    management: IManagement
    configured: IStorage
    clock: Clock
    make: Callable[[str], IStorage]
    virtual: bool = True
    check: Callable[[str], Awaitable[None]] = _anything
    left_s: int = LEFT_S
    quotas: Quotas = field(factory=Quotas)
    backends: list[Backend] = field(factory=list)
    directory: Directory = field(init=False)
    placements: Placements = field(init=False)
    storage: PooledStorage = field(init=False)

    def __attrs_post_init__(self) -> None:
        self.directory = Directory(self.management.pools, self.configured, self._open, self.check, self.clock)
        self.placements = Placements(
            self.management.catalog,
            self.directory,
            virtual=self.virtual,
            left_s=self.left_s,
            queues_max=self.quotas.queues,
            random=Random(1),
            monotonic=self.clock.seconds,
        )
        self.storage = PooledStorage(
            self.management.catalog, self.directory, self.placements, self.quotas.subscriptions_per_queue
        )

    @property
    def pooling(self) -> Pooling:
        """What the operations on pools need."""
        return Pooling(self.management.pools, self.management.flavors, self.directory, self.placements)

    def _open(self, uri: str) -> Backend:
        self.backends.append(Backend(self.make(uri)))
        return self.backends[-1]


def memory_process(clock: Clock, check: Callable[[str], Awaitable[None]] = _anything, *, virtual: bool = True) -> Process:
    """A process all of whose stores are in memory."""
    return Process(
        MemoryManagement(clock), MemoryStorage(clock), clock, lambda uri: MemoryStorage(clock), virtual, check
    )


async def add_pools(management: IManagement, *names: str, flavor: str | None = None) -> None:
    """Add pools of the same weight, whose URIs are their names."""
    for name in names:
        await management.pools.put(Pool(name, name, 10, flavor))
