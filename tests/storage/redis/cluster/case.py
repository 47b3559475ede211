"""Tests with a Redis Cluster."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

from twisted.internet import reactor as reactor_module
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import HostnameEndpoint
from twisted.trial.unittest import TestCase

from tests.redis_cluster import PASSWORD, Cluster, shared_cluster
from tests.redis_server import TIMEOUT_S
from zaqar_gateway.interfaces import IStorage
from zaqar_gateway.model import LogBounds
from zaqar_gateway.order import Order
from zaqar_gateway.storage.redis import scripts
from zaqar_gateway.storage.redis.cluster.doorbells import ClusterDoorbells
from zaqar_gateway.storage.redis.cluster.nodes import Nodes
from zaqar_gateway.storage.redis.cluster.redis import ClusterRedis
from zaqar_gateway.storage.redis.commands import Commands, together
from zaqar_gateway.storage.redis.connection import Redis
from zaqar_gateway.storage.redis.doorbells import tell
from zaqar_gateway.storage.redis.keys import Keys
from zaqar_gateway.storage.redis.store import RedisStorage
from zaqar_gateway.testing.base import clock_at_epoch

reactor: Any = reactor_module

KEYS = Keys(in_cluster=True)


def connecting(*given: Any, login: str = PASSWORD, **more: Any) -> Redis:
    """A connection to a node, with the password."""
    return Redis(*given, password=login, timeout_s=TIMEOUT_S, **more)


def cluster_redis(cluster: Cluster, order: Order | None = None, **more: Any) -> ClusterRedis:
    """What a store asks, not started yet."""
    order = order or Order()
    nodes = Nodes(
        [("127.0.0.1", cluster.nodes[0].port)],
        lambda host, port: HostnameEndpoint(reactor, host, port),
        lambda host, port: f"{host}:{port}",
        reactor,
        connecting=connecting,
        scripts=scripts.ALL,
        order=order,
    )
    return ClusterRedis(nodes, reactor, **({"timeout_s": TIMEOUT_S} | more))


class HearingDoorbells(ClusterDoorbells):
    """Doorbells that tell when they have heard all that was told before."""

    _MARK = b"mark"

    def __init__(self, redis: ClusterRedis, keys: Keys, clock: Any) -> None:
        super().__init__(redis, keys, clock)
        self._cluster = redis
        self._marks: dict[bytes, Deferred[None]] = {}

    async def _greet(self, protocol: Commands) -> None:
        await super()._greet(protocol)
        await tell(protocol, b"SUBSCRIBE", self._MARK)

    async def caught_up(self) -> None:
        """Return when all that was told before has been heard, from whatever node."""
        await super().caught_up()
        parts = self._cluster.parts()
        marks = {uuid4().bytes: Deferred[None]() for _ in parts}
        self._marks.update(marks)
        await together(*(part.command(b"PUBLISH", self._MARK, each) for part, each in zip(parts, marks, strict=True)))
        for heard in marks.values():
            await heard

    def _heard(self, channel: bytes, text: bytes) -> None:
        if channel == self._MARK:
            if text in self._marks:  # else it is of a test before
                self._marks.pop(text).callback(None)
        else:
            super()._heard(channel, text)


class OnCluster(TestCase):
    """A test with an empty cluster whose time is that of a clock."""

    async def setUp(self) -> None:  # type: ignore[override]
        self.clock = clock_at_epoch()
        self.order = Order()
        self.redis = self.redis_under_test()
        self.doorbells = HearingDoorbells(self.redis, KEYS, reactor)
        self.storage: IStorage = self.store()
        self.redis.start()
        await self.redis.when_ready()

    def redis_under_test(self) -> ClusterRedis:
        """What the store asks."""
        return cluster_redis(shared_cluster(), self.order)

    def tearDown(self) -> Deferred[None]:  # type: ignore[override]
        return Deferred.fromCoroutine(self.redis.stop())

    def store(self, **bounds: Any) -> RedisStorage:
        """A store with bounds."""
        return RedisStorage(self.redis, self.doorbells, KEYS, lambda: int(self.clock.seconds() * 1000), **bounds)


class Ringing(OnCluster):
    """A test whose store has doorbells that listen."""

    async def setUp(self) -> None:  # type: ignore[override]
        await super().setUp()
        self.doorbells.start()
        await self.doorbells.when_ready()

    async def tearDown(self) -> None:  # type: ignore[override]
        await self.doorbells.stop()
        await super().tearDown()

    async def hear(self) -> None:
        """Wait until what was told has been heard."""
        await self.doorbells.caught_up()

    def bound_log(self, bounds: LogBounds) -> None:
        """See :class:`DeliveryStoreContract`."""
        self.storage = self.store(log_bounds=bounds)
