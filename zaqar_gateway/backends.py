"""Where everything is kept: the storage backends of this package, and how the one that the settings ask for is made."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from functools import partial
from math import ceil
from typing import TYPE_CHECKING, Any, Literal

from attrs import define
from twisted.application.internet import TimerService
from twisted.internet.defer import Deferred, TimeoutError
from twisted.internet.endpoints import HostnameEndpoint, UNIXClientEndpoint, wrapClientTLS
from twisted.internet.interfaces import IProtocol, IProtocolFactory, IStreamClientEndpoint
from twisted.internet.ssl import optionsForClientTLS
from twisted.logger import Logger
from zope.interface import implementer

from zaqar_gateway import plugins
from zaqar_gateway.address import RedisAddress, parse, written
from zaqar_gateway.config import Settings
from zaqar_gateway.config.settings import Storage as StorageSettings
from zaqar_gateway.errors import PoolUnfit, RuleBroken, StoreError, StoreUnavailable
from zaqar_gateway.interfaces import IManagement, IManagingBackend, IStorage, IStorageBackend
from zaqar_gateway.model import BackendSettings, LogBounds, Quotas
from zaqar_gateway.order import Order
from zaqar_gateway.storage.memory import MemoryManagement, MemoryStorage
from zaqar_gateway.storage.pooled import FOLLOW_S, LEFT_S, SWEEP_S, Directory, Placements, PooledStorage
from zaqar_gateway.storage.redis.embedded.service import EmbeddedRedis

if TYPE_CHECKING:  # importing txredisapi installs a reactor
    from zaqar_gateway.storage.redis.cluster.doorbells import ClusterDoorbells
    from zaqar_gateway.storage.redis.cluster.redis import ClusterRedis
    from zaqar_gateway.storage.redis.commands import Commands
    from zaqar_gateway.storage.redis.connection import Redis
    from zaqar_gateway.storage.redis.doorbells import Doorbells
    from zaqar_gateway.storage.redis.durability import Durability
    from zaqar_gateway.storage.redis.sentinel import Told

_log = Logger()

_EXTERNAL_WAIT_S = 3.0
_CONNECT_S = 3.0
"""A host that is gone answers nothing; where another one has its address, or its part, by then, the next attempt finds it."""
_SWEEP_MEMORY_S = 10.0
_MEMORY = "memory:"


def make_backend(settings: Settings, reactor: Any, order: Order | None = None) -> IStorageBackend:
    """The backend that ``storage.uri`` asks for.

    :param order: tells when requests may overtake each other; ``None``: never.
    :raises PluginError: it is one of another package, and cannot be used.
    """
    given, bounds, quotas = settings.storage, _bounds(settings), _quotas(settings)
    if settings.store == "memory":
        return MemoryBackend(bounds, quotas, reactor)
    if settings.store == "embedded":
        return EmbeddedBackend(given, bounds, quotas, reactor, order)
    if settings.redis is not None:
        return RedisBackend(given, settings.redis, bounds, quotas, reactor, order)
    durability: Literal["memory", "fsync"] = "fsync" if given.durability == "fsync" else "memory"
    made: IStorageBackend = plugins.make(
        plugins.STORAGE, settings.store, IStorageBackend, BackendSettings(given.uri, durability, bounds, quotas), reactor
    )
    return made


def _bounds(settings: Settings) -> LogBounds:
    return LogBounds(settings.notification.log_max_bytes, settings.notification.log_max_age_s)


def _quotas(settings: Settings) -> Quotas:
    wanted = settings.quotas
    return Quotas(
        wanted.queues,
        wanted.messages_per_queue,
        wanted.bytes_per_queue,
        wanted.subscriptions_per_queue,
        counts_bytes=wanted.bytes > 0,
        counts_subscriptions=wanted.subscriptions > 0,
    )


@implementer(IManagingBackend)
class MemoryBackend:
    """The memory of this process."""

    where = "the memory of this process; all is lost when it ends"

    def __init__(self, bounds: LogBounds, quotas: Quotas, reactor: Any) -> None:
        memory = MemoryStorage(reactor, log_bounds=bounds, quotas=quotas)
        self.storage: IStorage = memory
        self.management: IManagement = MemoryManagement(reactor)
        self._sweeper = TimerService(_SWEEP_MEMORY_S, memory.sweep)

    async def start(self) -> None:
        self._sweeper.startService()

    async def stop(self) -> None:
        await _stop(self._sweeper)


@implementer(IManagingBackend)
class RedisBackend:
    """A Redis of somebody else, or a cluster of them; it is waited for a short while only.

    :param endpoint: how it is reached; ``None``: as its address says.
    """

    def __init__(
        self,
        settings: StorageSettings,
        address: RedisAddress,
        bounds: LogBounds,
        quotas: Quotas,
        reactor: Any,
        order: Order | None,
        endpoint: IStreamClientEndpoint | None = None,
        *,
        is_synchronised: bool = False,
    ) -> None:
        # Importing txredisapi installs a reactor; by now there is one.
        from zaqar_gateway.storage.redis.keys import Keys
        from zaqar_gateway.storage.redis.management import RedisManagement
        from zaqar_gateway.storage.redis.sentinel import Watch
        from zaqar_gateway.storage.redis.store import RedisStorage, Sweeper

        self.where = address.masked()
        self._reactor = reactor
        self._settings = settings
        self._address = address
        self._is_synchronised = is_synchronised
        self._is_started = False
        self._told: Durability | None = None
        self._replicas: int | None = None  # the fewest that followed where it was tried
        self._keys = keys = Keys(address.key_prefix, in_cluster=bool(address.nodes))
        self._watch: Watch | None = None
        self._redis: Redis | ClusterRedis
        self._doorbells: Doorbells
        self._redis, self._doorbells = self._cluster(order) if address.nodes else self._one(endpoint, order)
        self.storage: IStorage = RedisStorage(self._redis, self._doorbells, keys, log_bounds=bounds, quotas=quotas)
        self.management: IManagement = RedisManagement(self._redis, keys)
        sweeper = Sweeper(self._redis, keys)

        async def sweep() -> None:
            try:
                await sweeper.step()
            except StoreError as error:
                _log.debug("not swept: {why}", why=str(error))

        self._sweeper = TimerService(settings.sweep_interval_s, lambda: Deferred.fromCoroutine(sweep()))
        self._sweeper.clock = reactor

    def _one(self, endpoint: IStreamClientEndpoint | None, order: Order | None) -> tuple[Redis, Doorbells]:
        from zaqar_gateway.storage.redis import scripts
        from zaqar_gateway.storage.redis.doorbells import Doorbells

        def found(told: Told) -> None:
            redis.follow(told.place, told.electable)
            doorbells.follow(told.place)

        way = endpoint or self._way_to(self._address, found)
        make = partial(self._commands, self._keys.touched)
        redis = self._connecting()(way, self._reactor, scripts=scripts.ALL, make=make, greet=self._greet, order=order)
        doorbells = Doorbells(redis, self._keys, self._reactor)
        return redis, doorbells

    def _cluster(self, order: Order | None) -> tuple[ClusterRedis, ClusterDoorbells]:
        from zaqar_gateway.storage.redis import scripts
        from zaqar_gateway.storage.redis.cluster.doorbells import ClusterDoorbells
        from zaqar_gateway.storage.redis.cluster.redis import ClusterRedis

        redis = ClusterRedis(
            self._address.nodes,
            self._reach,
            written,
            self._reactor,
            connecting=self._connecting(),
            make=lambda node, *given: self._commands(lambda: self._keys.touched(node.tag or b""), *given),
            greet=self._greet,
            scripts=scripts.ALL,
            timeout_s=self._settings.command_timeout_s,
            bound=self._settings.max_waiting_commands,
            order=order,
        )
        return redis, ClusterDoorbells(redis, self._keys, self._reactor)

    def _connecting(self) -> Callable[..., Redis]:
        """What makes connections, with the bounds and the login of all of them."""
        from zaqar_gateway.storage.redis.connection import Redis

        return partial(
            Redis,
            timeout_s=self._settings.command_timeout_s,
            bound=self._settings.max_waiting_commands,
            retry_max_s=self._settings.reconnect_max_s,
            username=self._address.username,
            password=self._address.password,
            database=self._address.database,
        )

    def _commands(self, touched: Callable[[], bytes], *given: Any) -> Commands:
        """The protocol of a connection.

        :param touched: makes the key of :class:`ReplicatedCommands`.
        :param given: clock, seconds for an answer, and bound.
        """
        from zaqar_gateway.storage.redis.commands import Commands
        from zaqar_gateway.storage.redis.packing import command
        from zaqar_gateway.storage.redis.replicated import ReplicatedCommands

        if self._settings.durability != "replicated":
            return Commands(*given)
        most = self._settings.replicas, self._settings.replicas_timeout_s
        return ReplicatedCommands(*most, lambda: command("SET", touched(), 1), *given)

    def _reach(self, host: str, port: int) -> IStreamClientEndpoint:
        return _endpoint(self._reactor, self._address.tls, host, port)

    def _way_to(self, address: RedisAddress, found: Callable[[Told], None]) -> IStreamClientEndpoint:
        from zaqar_gateway.storage.redis.sentinel import Master, Sentinel, Watch

        if address.path:
            return UNIXClientEndpoint(self._reactor, address.path)
        if not address.sentinels:
            return self._reach(address.host, address.port)
        login = address.sentinel_username, address.sentinel_password
        sentinels = [Sentinel(written(*each), self._reach(*each), *login) for each in address.sentinels]
        master = Master(sentinels, address.master, self._reach, self._reactor)
        self._watch = Watch(sentinels, master, self._reactor, found)
        return master

    async def probe(self) -> None:
        """Connect once.

        :raises Exception: it cannot be used, or not within some seconds, or keeps less than is asked for.
        """
        self._replicas = None
        asking = Deferred.fromCoroutine(self._redis.once("PING"))
        try:
            await asking.addTimeout(_EXTERNAL_WAIT_S, self._reactor)
        except TimeoutError:
            raise StoreUnavailable(f"It does not answer within {_EXTERNAL_WAIT_S:.0f} s.") from None
        wanted = self._settings.replicas if self._settings.durability == "replicated" else 0
        if self._replicas is not None and self._replicas < wanted:
            raise StoreUnavailable(f"It has {self._replicas} replicas, and storage.replicas is {wanted}.")

    async def start(self) -> None:
        self._is_started = True
        if self._watch is not None:
            self._watch.start()
        self._redis.start()
        self._doorbells.start()
        try:
            await self._redis.when_ready().addTimeout(_EXTERNAL_WAIT_S, self._reactor)
        except TimeoutError:
            _log.warn("{where} cannot be used yet; requests get 503 until it can", where=self.where)
        self._sweeper.startService()

    async def _greet(self, redis: Commands) -> None:
        """See that the data can be read, and tell what is kept, where that is news."""
        from zaqar_gateway.storage.redis.cluster.redis import check_is_alone, check_is_recent
        from zaqar_gateway.storage.redis.durability import durability_of
        from zaqar_gateway.storage.redis.layout import check_layout

        await (check_is_recent if self._address.nodes else check_is_alone)(redis)
        if redis.replicas is not None:
            self._replicas = redis.replicas if self._replicas is None else min(redis.replicas, self._replicas)
        await check_layout(self._keys, redis)
        if not self._is_started:
            return  # it is tried only
        durability = await durability_of(
            redis,
            self._settings.durability,
            replicas=self._settings.replicas,
            is_synchronised=self._is_synchronised,
            fails_over=bool(self._address.sentinels or self._address.nodes),
        )
        if durability == self._told:
            return
        self._told = durability
        _log.info("an acknowledged message survives {kept}", kept=durability.kept)
        for warning in durability.warnings:
            _log.warn("{text}", text=warning)

    async def stop(self) -> None:
        await _stop(self._sweeper)
        await self._doorbells.stop()
        await self._redis.stop()
        if self._watch is not None:
            await self._watch.stop()


@implementer(IManagingBackend)
class EmbeddedBackend:
    """A Redis that is started, and stopped last."""

    def __init__(
        self, settings: StorageSettings, bounds: LogBounds, quotas: Quotas, reactor: Any, order: Order | None
    ) -> None:
        self.where = f"embedded Redis, data in {settings.data_dir}"
        self._server = EmbeddedRedis(
            reactor, settings.data_dir, durability=settings.durability, program=settings.redis_server
        )
        endpoint = _Late(lambda: UNIXClientEndpoint(reactor, self._server.socket_path))
        self._client = RedisBackend(settings, RedisAddress(), bounds, quotas, reactor, order, endpoint, is_synchronised=True)
        self.storage: IStorage = self._client.storage
        self.management: IManagement = self._client.management

    async def start(self) -> None:
        self._server.startService()
        await self._server.whenReady()
        await self._client.start()

    async def stop(self) -> None:
        await self._client.stop()
        await self._server.stopService()


@implementer(IStorageBackend)
class PooledBackend:
    """A store and the pools that are managed in it.

    :ivar management: of the pools.
    :ivar directory: of their stores.
    :raises PluginError: the store is one of another package that pools cannot be managed in.
    """

    def __init__(
        self, backend: IStorageBackend, settings: Settings, reactor: Any, order: Order | None = None
    ) -> None:
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
        placements = Placements(
            self.management.catalog,
            self.directory,
            virtual=settings.enable_virtual_pool,
            left_s=LEFT_S + 2 * ceil(settings.storage.command_timeout_s),
            queues_max=settings.quotas.queues,
        )
        self.storage: IStorage = PooledStorage(
            self.management.catalog, self.directory, placements, _quotas(settings).subscriptions_per_queue
        )
        self._timers = [
            self._timer(FOLLOW_S, self.directory.follow, "the pools are not followed: {why}"),
            self._timer(SWEEP_S, placements.sweep, "placements are not swept: {why}"),
        ]

    def _timer(self, interval_s: float, work: Callable[[], Coroutine[Any, Any, None]], failed: str) -> TimerService:
        async def step() -> None:
            try:
                await work()
            except StoreError as error:
                _log.debug(failed, why=str(error))

        timer = TimerService(interval_s, lambda: Deferred.fromCoroutine(step()))
        timer.clock = self._reactor
        return timer

    def _open(self, uri: str) -> MemoryBackend | RedisBackend:
        bounds, quotas = _bounds(self._settings), _quotas(self._settings)
        if not uri.startswith(_MEMORY):
            return RedisBackend(self._settings.storage, parse(uri), bounds, quotas, self._reactor, self._order)
        if self._settings.store != "memory":
            raise ValueError("memory: is of one process alone, and for a gateway whose own store is memory: too")
        return MemoryBackend(bounds, quotas, self._reactor)

    async def _check(self, uri: str) -> None:
        try:
            backend = self._open(uri)
        except ValueError as error:
            raise RuleBroken(f"uri: {error}.") from None
        if isinstance(backend, RedisBackend):
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
            await _stop(timer)
        await self.directory.stop()
        await self._backend.stop()


@implementer(IStreamClientEndpoint)
@define
class _Late:
    """An endpoint that is known only when it is used: the embedded Redis chooses the place of its socket at start."""

    _find: Callable[[], IStreamClientEndpoint]

    def connect(self, protocolFactory: IProtocolFactory) -> Deferred[IProtocol]:
        return self._find().connect(protocolFactory)


def _endpoint(reactor: Any, tls: bool, host: str, port: int) -> IStreamClientEndpoint:
    endpoint = HostnameEndpoint(reactor, host, port, timeout=_CONNECT_S)
    return wrapClientTLS(optionsForClientTLS(host), endpoint) if tls else endpoint


async def _stop(sweeper: TimerService) -> None:
    if sweeper.running:
        await sweeper.stopService()
