"""The backend over pools, each of which has a backend of its own."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from math import ceil
from typing import TYPE_CHECKING, Any

from twisted.application.internet import TimerService
from twisted.internet.defer import Deferred
from twisted.logger import Logger
from zope.interface import implementer

from zaqar_gateway import plugins
from zaqar_gateway.address import parse
from zaqar_gateway.backends.asked import bounds_of, quotas_of, stop
from zaqar_gateway.backends.memory import MemoryBackend
from zaqar_gateway.config import Settings
from zaqar_gateway.errors import PoolUnfit, RuleBroken, StoreError
from zaqar_gateway.interfaces import IManagingBackend, IStorage, IStorageBackend
from zaqar_gateway.meters import RedisMeter
from zaqar_gateway.order import Order
from zaqar_gateway.storage.pooled import FOLLOW_S, LEFT_S, SWEEP_S, Directory, Placements, PooledStorage

if TYPE_CHECKING:  # importing txredisapi installs a reactor
    from zaqar_gateway.backends.redis import RedisBackend

_log = Logger()

_MEMORY = "memory:"


@implementer(IStorageBackend)
class PooledBackend:
    """A store and the pools that are managed in it.

    :param meter: notes what is asked of Redis; ``None``: nobody does.
    :ivar management: of the pools.
    :ivar directory: of their stores.
    :ivar placements: of what is in them.
    :raises PluginError: the store is one of another package that pools cannot be managed in.
    """

    def __init__(
        self,
        backend: IStorageBackend,
        settings: Settings,
        reactor: Any,
        order: Order | None = None,
        meter: RedisMeter | None = None,
    ) -> None:
        self._meter = meter
        if not IManagingBackend.providedBy(backend):
            raise plugins.PluginError(
                f"the store {settings.store} of another package cannot keep what is known of pools; pooling needs Redis"
            )
        self._backend = backend
        self._settings = settings
        self._reactor = reactor
        self._order = order
        self.where = f"pools, and in {backend.where}"
        self.management = self._backend.management
        self.directory = Directory(self.management.pools, backend.storage, self._open, self._check, reactor)
        self.placements = Placements(
            self.management.catalog,
            self.directory,
            virtual=settings.enable_virtual_pool,
            left_s=LEFT_S + 2 * ceil(settings.storage.command_timeout_s),
            queues_max=settings.quotas.queues,
        )
        self.storage: IStorage = PooledStorage(
            self.management.catalog, self.directory, self.placements, quotas_of(settings).subscriptions_per_queue
        )
        self._timers = [
            self._timer(FOLLOW_S, self.directory.follow, "the pools are not followed: {why}"),
            self._timer(SWEEP_S, self.placements.sweep, "placements are not swept: {why}"),
        ]

    def _timer(self, interval_s: float, work: Callable[[], Coroutine[Any, Any, None]], failed: str) -> TimerService:
        async def step() -> None:
            try:
                await work()
            except StoreError as error:
                _log.debug(failed, why=str(error))
            except Exception:  # the next time may be better; without one nobody would follow any more
                _log.failure(failed, why="this should not happen")

        timer = TimerService(interval_s, lambda: Deferred.fromCoroutine(step()))
        timer.clock = self._reactor
        return timer

    def _open(self, uri: str) -> MemoryBackend | RedisBackend:
        from zaqar_gateway.backends.redis import RedisBackend

        bounds, quotas = bounds_of(self._settings), quotas_of(self._settings)
        if not uri.startswith(_MEMORY):
            return RedisBackend(self._settings.storage, parse(uri), bounds, quotas, self._reactor, self._order, meter=self._meter)
        if self._settings.store != "memory":
            raise ValueError("memory: is of one process alone, and for a gateway whose own store is memory: too")
        return MemoryBackend(bounds, quotas, self._reactor)

    async def _check(self, uri: str) -> None:
        try:
            backend = self._open(uri)
        except ValueError as error:
            raise RuleBroken(f"uri: {error}.") from None
        if not isinstance(backend, MemoryBackend):
            try:
                await backend.probe()
            except Exception as error:  # whatever keeps us from connecting
                why = str(error) or type(error).__name__
                raise PoolUnfit(f"uri has to be of a store that can be connected to; {backend.where}: {why}") from None

    async def start(self) -> None:
        await self._backend.start()
        try:
            await self.directory.refresh()
        except StoreError as error:
            _log.warn("the pools are not known yet: {why}", why=str(error))
        await self.directory.started()
        for timer in self._timers:
            timer.startService()

    async def stop(self) -> None:
        for timer in self._timers:
            await stop(timer)
        await self.directory.stop()
        await self._backend.stop()
