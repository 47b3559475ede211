"""The parts of a gateway that there is something to tell of."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from enum import Enum

import msgspec
from attrs import define
from twisted.logger import Logger

from zaqar_gateway.interfaces import IObservedBackend, IStorage, IStorageBackend
from zaqar_gateway.live.service import Live
from zaqar_gateway.live.waiting import Waits
from zaqar_gateway.meters import Meters
from zaqar_gateway.model import StoreCondition
from zaqar_gateway.operations.gate import Gate
from zaqar_gateway.operations.refusals import Refusals
from zaqar_gateway.push.circuits import Circuits
from zaqar_gateway.push.dispatcher import Dispatcher
from zaqar_gateway.push.sockets import Sockets
from zaqar_gateway.transport.http.events import Streams
from zaqar_gateway.transport.http.factory import HttpFactory
from zaqar_gateway.transport.tls import TlsListeners
from zaqar_gateway.transport.unread import Unread
from zaqar_gateway.transport.websocket.factory import GatewayFactory

_log = Logger()


class Phase(Enum):
    """Where a gateway is in its life; the values are for people."""

    STARTING = "the gateway is starting"
    SERVING = "the gateway serves"
    STOPPING = "the gateway is stopping"


@define(eq=False, kw_only=True)
class Observed:
    """A gateway, as far as it is told of.

    :ivar storage: what requests ask.
    :ivar backend: of the store that is configured; :ivar scheme: of it, by which it is known where it tells nothing of itself.
    :ivar pool_backends: those of the pools, by name; ``None``: there are none.
    :ivar keystone: the URL of it; empty: nobody is asked who they are.
    :ivar policy_path: of the policy file; empty: there is none.
    :ivar policy_trouble: why its rules are not those in force; empty: they are.
    :ivar tls: of the listeners; ``None``: none has it.
    :ivar listeners: where it is listened: URLs and paths, by what is served there.
    :ivar phase: is set by whoever has the gateway.
    """

    meters: Meters
    storage: IStorage
    backend: IStorageBackend
    scheme: str
    pool_backends: Callable[[], Mapping[str, IStorageBackend]] | None
    refusals: Refusals
    gate: Gate
    waits: Waits
    live: Live
    sockets: Sockets
    streams: Streams
    dispatcher: Dispatcher
    circuits: Circuits
    unread: Unread
    http: HttpFactory
    websocket: GatewayFactory
    keystone: str
    policy_path: str
    policy_trouble: Callable[[], str]
    tls: Callable[[], TlsListeners | None]
    listeners: Mapping[str, Sequence[str]]
    started_s: float
    phase: Phase = Phase.STARTING

    def store(self) -> StoreCondition:
        """How it stands with the store that is configured."""
        return condition_of(self.backend, self.scheme)

    def pools(self) -> dict[str, StoreCondition]:
        """How it stands with the pools, by name."""
        backends = self.pool_backends() if self.pool_backends is not None else {}
        return {name: condition_of(backend, "") for name, backend in backends.items()}


def condition_of(backend: IStorageBackend, scheme: str) -> StoreCondition:
    """How it stands with a store.  One of another package that fails to tell leaves everything else to be told."""
    if IObservedBackend.providedBy(backend):
        try:
            return msgspec.convert(msgspec.to_builtins(backend.condition()), StoreCondition)
        except Exception:
            _log.failure("the store at {where} cannot tell how it stands", where=backend.where)
            return StoreCondition(scheme, backend.where, troubles=("it cannot tell how it stands; the log says why",))
    return StoreCondition(scheme, backend.where)
