"""The backend in a Redis of the gateway's own."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from attrs import define
from msgspec.structs import replace
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import UNIXClientEndpoint
from twisted.internet.interfaces import IProtocol, IProtocolFactory, IStreamClientEndpoint
from zope.interface import implementer

from zaqar_gateway.address import RedisAddress
from zaqar_gateway.backends.redis import RedisBackend
from zaqar_gateway.config.settings import Storage as StorageSettings
from zaqar_gateway.interfaces import IManagement, IManagingBackend, IObservedBackend, IStorage
from zaqar_gateway.meters import RedisMeter
from zaqar_gateway.model import LogBounds, Quotas, StoreCondition
from zaqar_gateway.order import Order
from zaqar_gateway.storage.redis.embedded.service import EmbeddedRedis


def server(settings: StorageSettings, reactor: Any) -> EmbeddedRedis:
    """The Redis alone."""
    return EmbeddedRedis(reactor, settings.data_dir, durability=settings.durability, program=settings.redis_server)


def beside(
    socket: str,
    settings: StorageSettings,
    bounds: LogBounds,
    quotas: Quotas,
    reactor: Any,
    order: Order | None,
    meter: RedisMeter | None = None,
) -> RedisBackend:
    """The backend in a Redis that another process of the same gateway starts and stops.

    :param socket: the path where it listens.
    """
    return _client(UNIXClientEndpoint(reactor, socket), settings, bounds, quotas, reactor, order, meter)


def _client(
    endpoint: IStreamClientEndpoint,
    settings: StorageSettings,
    bounds: LogBounds,
    quotas: Quotas,
    reactor: Any,
    order: Order | None,
    meter: RedisMeter | None,
) -> RedisBackend:
    client = RedisBackend(
        settings, RedisAddress(), bounds, quotas, reactor, order, endpoint, is_synchronised=True, meter=meter
    )
    client.where = f"embedded Redis, data in {settings.data_dir}"
    return client


@implementer(IManagingBackend, IObservedBackend)
class EmbeddedBackend:
    """A Redis that is started, and stopped last."""

    def __init__(
        self,
        settings: StorageSettings,
        bounds: LogBounds,
        quotas: Quotas,
        reactor: Any,
        order: Order | None,
        meter: RedisMeter | None = None,
    ) -> None:
        self._server = server(settings, reactor)
        endpoint = _Late(lambda: UNIXClientEndpoint(reactor, self._server.socket_path))
        self._client = _client(endpoint, settings, bounds, quotas, reactor, order, meter)
        self.where = self._client.where
        self.storage: IStorage = self._client.storage
        self.management: IManagement = self._client.management

    def condition(self) -> StoreCondition:
        client, server = self._client.condition(), self._server
        return replace(client, kind="embedded", process=server.pid, troubles=(*server.troubles, *client.troubles))

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
