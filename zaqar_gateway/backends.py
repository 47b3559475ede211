"""Where everything is kept: the storage backends of this package, and how the one that the settings ask for is made."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from attrs import define
from twisted.application.internet import TimerService
from twisted.internet.defer import Deferred, TimeoutError
from twisted.internet.endpoints import HostnameEndpoint, UNIXClientEndpoint, wrapClientTLS
from twisted.internet.interfaces import IProtocol, IProtocolFactory, IStreamClientEndpoint
from twisted.internet.ssl import optionsForClientTLS
from twisted.logger import Logger
from zope.interface import implementer

from zaqar_gateway import plugins
from zaqar_gateway.address import RedisAddress
from zaqar_gateway.config import Settings
from zaqar_gateway.config.settings import Storage as StorageSettings
from zaqar_gateway.errors import StoreError
from zaqar_gateway.interfaces import IStorage, IStorageBackend
from zaqar_gateway.model import BackendSettings, LogBounds
from zaqar_gateway.storage.memory import MemoryStorage
from zaqar_gateway.storage.redis.embedded import EmbeddedRedis

_log = Logger()

_EXTERNAL_WAIT_S = 3.0
_SWEEP_MEMORY_S = 10.0


def make_backend(settings: Settings, reactor: Any) -> IStorageBackend:
    """The backend that ``storage.uri`` asks for.

    :raises PluginError: it is one of another package, and cannot be used.
    """
    given = settings.storage
    bounds = LogBounds(settings.notification.log_max_bytes, settings.notification.log_max_age_s)
    if settings.store == "memory":
        return MemoryBackend(bounds, reactor)
    if settings.store == "embedded":
        return EmbeddedBackend(given, bounds, reactor)
    if settings.redis is not None:
        return RedisBackend(given, settings.redis, bounds, reactor)
    made: IStorageBackend = plugins.make(
        plugins.STORAGE, settings.store, IStorageBackend, BackendSettings(given.uri, given.durability, bounds), reactor
    )
    return made


@implementer(IStorageBackend)
class MemoryBackend:
    """The memory of this process."""

    where = "the memory of this process; all is lost when it ends"

    def __init__(self, bounds: LogBounds, reactor: Any) -> None:
        memory = MemoryStorage(reactor, log_bounds=bounds)
        self.storage: IStorage = memory
        self._sweeper = TimerService(_SWEEP_MEMORY_S, memory.sweep)

    async def start(self) -> None:
        self._sweeper.startService()

    async def stop(self) -> None:
        await _stop(self._sweeper)


@implementer(IStorageBackend)
class RedisBackend:
    """A Redis of somebody else; it is waited for a short while only.

    :param endpoint: how it is reached; ``None``: as its address says.
    """

    def __init__(
        self,
        settings: StorageSettings,
        address: RedisAddress,
        bounds: LogBounds,
        reactor: Any,
        endpoint: IStreamClientEndpoint | None = None,
    ) -> None:
        # Importing txredisapi installs a reactor; by now there is one.
        from zaqar_gateway.storage.redis import scripts
        from zaqar_gateway.storage.redis.connection import Redis
        from zaqar_gateway.storage.redis.keys import Keys
        from zaqar_gateway.storage.redis.store import RedisStorage, Sweeper

        self.where = address.masked()
        self._reactor = reactor
        self._durability = settings.durability
        self._redis = Redis(
            endpoint or _endpoint(address, reactor),
            reactor,
            timeout_s=settings.command_timeout_s,
            bound=settings.max_waiting_commands,
            retry_max_s=settings.reconnect_max_s,
            username=address.username,
            password=address.password,
            database=address.database,
            scripts=scripts.ALL,
        )
        keys = Keys(address.key_prefix)
        store = RedisStorage(self._redis, reactor, keys, log_bounds=bounds)
        self.storage: IStorage = store
        self._doorbells = store.doorbells
        sweeper = Sweeper(self._redis, keys)

        async def sweep() -> None:
            try:
                await sweeper.step()
            except StoreError as error:
                _log.debug("not swept: {why}", why=str(error))

        self._sweeper = TimerService(settings.sweep_interval_s, lambda: Deferred.fromCoroutine(sweep()))
        self._sweeper.clock = reactor

    async def start(self) -> None:
        self._redis.start()
        self._doorbells.start()
        try:
            await self._redis.when_ready().addTimeout(_EXTERNAL_WAIT_S, self._reactor)
        except TimeoutError:
            _log.warn("{where} cannot be used yet; requests get 503 until it can", where=self.where)
        else:
            await self._tell_durability()
        self._sweeper.startService()

    async def _tell_durability(self) -> None:
        from zaqar_gateway.storage.redis.durability import durability_of

        durability = await durability_of(self._redis, self._durability)
        _log.info("an acknowledged message survives {kept}", kept=durability.kept)
        for warning in durability.warnings:
            _log.warn("{warning}", warning=warning)

    async def stop(self) -> None:
        await _stop(self._sweeper)
        await self._doorbells.stop()
        await self._redis.stop()


@implementer(IStorageBackend)
class EmbeddedBackend:
    """A Redis that is started, and stopped last."""

    def __init__(self, settings: StorageSettings, bounds: LogBounds, reactor: Any) -> None:
        self.where = f"embedded Redis, data in {settings.data_dir}"
        self._server = EmbeddedRedis(
            reactor, settings.data_dir, durability=settings.durability, program=settings.redis_server
        )
        endpoint = _Late(lambda: UNIXClientEndpoint(reactor, self._server.socket_path))
        self._client = RedisBackend(settings, RedisAddress(), bounds, reactor, endpoint)
        self.storage: IStorage = self._client.storage

    async def start(self) -> None:
        self._server.startService()
        await self._server.whenReady()
        await self._client.start()

    async def stop(self) -> None:
        await self._client.stop()
        await self._server.stopService()


@implementer(IStreamClientEndpoint)
@define
class _Late:
    """An endpoint that is known only when it is used: the embedded Redis chooses the place of its socket at start."""

    _find: Callable[[], IStreamClientEndpoint]

    def connect(self, protocolFactory: IProtocolFactory) -> Deferred[IProtocol]:
        return self._find().connect(protocolFactory)


def _endpoint(address: RedisAddress, reactor: Any) -> IStreamClientEndpoint:
    if address.path:
        return UNIXClientEndpoint(reactor, address.path)
    endpoint = HostnameEndpoint(reactor, address.host, address.port)
    return wrapClientTLS(optionsForClientTLS(address.host), endpoint) if address.tls else endpoint


async def _stop(sweeper: TimerService) -> None:
    if sweeper.running:
        await sweeper.stopService()
