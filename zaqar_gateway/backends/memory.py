"""The backend in the memory of this process."""

from __future__ import annotations

from typing import Any

from twisted.application.internet import TimerService
from zope.interface import implementer

from zaqar_gateway.backends.asked import stop
from zaqar_gateway.interfaces import IManagement, IManagingBackend, IObservedBackend, IStorage
from zaqar_gateway.model import LogBounds, Quotas, StoreCondition
from zaqar_gateway.storage.memory import MemoryManagement, MemoryStorage

_SWEEP_S = 10.0


@implementer(IManagingBackend, IObservedBackend)
class MemoryBackend:
    """The memory of this process."""

    where = "the memory of this process; all is lost when it ends"

    def __init__(self, bounds: LogBounds, quotas: Quotas, reactor: Any) -> None:
        memory = MemoryStorage(reactor, log_bounds=bounds, quotas=quotas)
        self.storage: IStorage = memory
        self.management: IManagement = MemoryManagement(reactor)
        self._sweeper = TimerService(_SWEEP_S, memory.sweep)

    def condition(self) -> StoreCondition:
        return StoreCondition("memory", self.where, True, keeps="nothing", durability="memory")

    async def start(self) -> None:
        self._sweeper.startService()

    async def stop(self) -> None:
        await stop(self._sweeper)
