"""The backend in a Redis, what Sentinel watches, or a Redis Cluster."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from twisted.application.internet import TimerService
from twisted.internet.defer import Deferred, TimeoutError
from twisted.internet.endpoints import HostnameEndpoint, UNIXClientEndpoint, wrapClientTLS
from twisted.internet.interfaces import IStreamClientEndpoint
from twisted.internet.ssl import optionsForClientTLS
from twisted.logger import Logger
from zope.interface import implementer

from zaqar_gateway.address import RedisAddress, written
from zaqar_gateway.backends.asked import stop
from zaqar_gateway.config.settings import Storage as StorageSettings
from zaqar_gateway.errors import StoreError, StoreUnavailable
from zaqar_gateway.interfaces import IManagement, IManagingBackend, IObservedBackend, IStorage
from zaqar_gateway.meters import RedisMeter
from zaqar_gateway.model import LogBounds, Quotas, StoreCondition
from zaqar_gateway.order import Order
from zaqar_gateway.storage.redis import scripts
from zaqar_gateway.storage.redis.cluster.doorbells import ClusterDoorbells
from zaqar_gateway.storage.redis.cluster.nodes import Nodes, check_is_alone, check_is_recent
from zaqar_gateway.storage.redis.cluster.redis import ClusterRedis
from zaqar_gateway.storage.redis.commands import Commands
from zaqar_gateway.storage.redis.connection import Redis
from zaqar_gateway.storage.redis.doorbells import Doorbells
from zaqar_gateway.storage.redis.durability import Durability, durability_of
from zaqar_gateway.storage.redis.keys import Keys
from zaqar_gateway.storage.redis.layout import check_layout
from zaqar_gateway.storage.redis.management import RedisManagement
from zaqar_gateway.storage.redis.measured import MeasuredCommands, MeasuredReplicatedCommands
from zaqar_gateway.storage.redis.replicated import ReplicatedCommands
from zaqar_gateway.storage.redis.rights import check_rights
from zaqar_gateway.storage.redis.sentinel import Master, Sentinel, Told, Watch
from zaqar_gateway.storage.redis.store import RedisStorage, Sweeper

_log = Logger()

_WAIT_S = 3.0
_CONNECT_S = 3.0
"""A host that is gone answers nothing; where another one has its address, or its part, by then, the next attempt finds it."""


@implementer(IManagingBackend, IObservedBackend)
class RedisBackend:
    """A Redis of somebody else, or a cluster of them; it is waited for a short while only.

    :param endpoint: how it is reached; ``None``: as its address says.
    :param meter: notes what is asked of it; ``None``: nobody does.
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
        meter: RedisMeter | None = None,
    ) -> None:
        self._meter = meter
        self.where = address.masked()
        self._reactor = reactor
        self._settings = settings
        self._address = address
        self._is_synchronised = is_synchronised
        self._is_started = False
        self._made_s: float = reactor.seconds()
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
        def found(told: Told) -> None:
            redis.follow(told.place, told.electable)
            doorbells.follow(told.place)

        way = endpoint or self._way_to(self._address, found)
        make = partial(self._commands, self._keys.touched, lambda: None)
        redis = self._connecting()(way, self._reactor, scripts=scripts.ALL, make=make, greet=self._greet, order=order)
        doorbells = Doorbells(redis, self._keys, self._reactor)
        return redis, doorbells

    def _cluster(self, order: Order | None) -> tuple[ClusterRedis, ClusterDoorbells]:
        nodes = Nodes(
            self._address.nodes,
            self._reach,
            written,
            self._reactor,
            connecting=self._connecting(),
            make=lambda node, *given: self._commands(
                lambda: self._keys.touched(node.tag or b""), lambda: nodes.change_tag(node), *given
            ),
            greet=self._greet,
            scripts=scripts.ALL,
            order=order,
            by_name=self._address.tls,
        )
        timeout_s, bound = self._settings.command_timeout_s, self._settings.max_waiting_commands
        redis = ClusterRedis(nodes, self._reactor, timeout_s=timeout_s, bound=bound)
        return redis, ClusterDoorbells(redis, self._keys, self._reactor)

    def _connecting(self) -> Callable[..., Redis]:
        """What makes connections, with the bounds and the login of all of them."""
        return partial(
            Redis,
            timeout_s=self._settings.command_timeout_s,
            bound=self._settings.max_waiting_commands,
            retry_max_s=self._settings.reconnect_max_s,
            username=self._address.username,
            password=self._address.password,
            database=self._address.database,
        )

    def _commands(self, touched: Callable[[], bytes], touch_other: Callable[[], None], *given: Any) -> Commands:
        """The protocol of a connection.

        :param touched: makes the key of :class:`ReplicatedCommands`; :param touch_other: has it be another one.
        :param given: clock, seconds for an answer, and bound.
        """
        if self._settings.durability != "replicated":
            return Commands(*given) if self._meter is None else MeasuredCommands(self._meter, *given)
        most = self._settings.replicas, self._settings.replicas_timeout_s
        if self._meter is None:
            return ReplicatedCommands(*most, touched, touch_other, *given)
        return MeasuredReplicatedCommands(self._meter, *most, touched, touch_other, *given)

    def _reach(self, host: str, port: int) -> IStreamClientEndpoint:
        return _endpoint(self._reactor, self._address.tls, host, port)

    def _way_to(self, address: RedisAddress, found: Callable[[Told], None]) -> IStreamClientEndpoint:
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
            await asking.addTimeout(_WAIT_S, self._reactor)
        except TimeoutError:
            raise StoreUnavailable(f"It does not answer within {_WAIT_S:.0f} s.") from None
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
            await self._redis.when_ready().addTimeout(_WAIT_S, self._reactor)
        except TimeoutError:
            what = "not all nodes of {where} can be used yet; requests to these" if self._address.nodes else "{where} cannot be used yet; requests"
            _log.warn(what + " get 503 until it can", where=self.where)
        self._sweeper.startService()

    async def _greet(self, redis: Commands) -> None:
        """See that the data can be read, and tell what is kept, where that is news."""
        await (check_is_recent if self._address.nodes else check_is_alone)(redis)
        if redis.replicas is not None:
            self._replicas = redis.replicas if self._replicas is None else min(redis.replicas, self._replicas)
        await check_layout(self._keys, redis)
        if not self._address.nodes:
            await check_rights(self._keys, redis)
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

    def condition(self) -> StoreCondition:
        redis, address, settings = self._redis, self._address, self._settings
        nodes = None
        parts = [redis] if isinstance(redis, Redis) else []
        if isinstance(redis, ClusterRedis):
            there = redis.nodes.masters
            parts = [node.redis for node in there.values()]
            nodes = {written(*place): node.redis.ready for place, node in there.items()}
        protocols = [each.protocol for each in parts if each.protocol is not None]
        troubles = dict.fromkeys(protocol.trouble for protocol in protocols if protocol.trouble)
        replicas = [protocol.replicas for protocol in protocols if protocol.replicas is not None]
        is_up = redis.ready if isinstance(redis, Redis) else redis.nodes.is_ready
        return StoreCondition(
            "cluster" if address.nodes else "sentinel" if address.sentinels else "redis",
            self.where,
            is_up,
            max((each.since_s for each in parts), default=self._made_s),
            next((each.why_away for each in parts if each.why_away), ""),
            self._told.kept if self._told is not None else "",
            settings.durability,
            tuple(troubles),
            self._told.warnings if self._told is not None else (),
            sum(protocol.waiting for protocol in protocols),
            sum(each.losses for each in parts),
            min(replicas, default=None),
            settings.replicas if settings.durability == "replicated" else None,
            nodes,
        )

    async def stop(self) -> None:
        await stop(self._sweeper)
        await self._doorbells.stop()
        await self._redis.stop()
        if self._watch is not None:
            await self._watch.stop()


def _endpoint(reactor: Any, tls: bool, host: str, port: int) -> IStreamClientEndpoint:
    endpoint = HostnameEndpoint(reactor, host, port, timeout=_CONNECT_S)
    return wrapClientTLS(optionsForClientTLS(host), endpoint) if tls else endpoint
