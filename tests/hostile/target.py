"""A gateway in this process without a network, and what is asked of it whatever it is sent.

Everything is the gateway's own from the first byte of a connection to the store in memory; only the transport and
the clock
are not.  So an hour of waiting costs nothing, and an input gives the same result each time.
"""

from __future__ import annotations

import gc
import json
import re
import zlib
from collections.abc import Callable
from random import Random
from typing import Any

import msgpack
import psutil
from attrs import define, evolve, field
from twisted.internet import reactor
from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import IHalfCloseableDescriptor, IHalfCloseableProtocol
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.logger import ILogObserver, LogEvent, LogLevel, globalLogPublisher
from twisted.python.failure import Failure
from zope.interface import implementer

from tests.helpers import RecordedSockets, build_operations
from tests.hostile.inputs import split
from tests.transport.websocket.client import BINARY, CLOSE, TEXT, frames
from zaqar_gateway.limits import ClientIds
from zaqar_gateway.operations.registry import Operation
from zaqar_gateway.push.addresses import AddressRules
from zaqar_gateway.push.mail import MailNotifier
from zaqar_gateway.push.webhook import WebhookNotifier
from zaqar_gateway.storage.encryption import EncryptingStorage
from zaqar_gateway.storage.memory import MemoryStorage
from zaqar_gateway.testing.base import clock_at_epoch
from zaqar_gateway.transport.http.bounds import HttpBounds
from zaqar_gateway.transport.http.factory import HttpFactory
from zaqar_gateway.transport.websocket.bounds import WebSocketBounds
from zaqar_gateway.transport.websocket.codec import Actions
from zaqar_gateway.transport.websocket.factory import GatewayFactory

PATIENCE_S = 240
"""After so long without a word from its peer no connection is left, whatever it has sent."""

_HEAD = re.compile(rb"HTTP/1\.1 (\d{3}) [^\r\n]+\r\n(?:[^\r\n]+\r\n)*\r\n")
_LENGTH = re.compile(rb"(?i)\r\ncontent-length: (\d+)\r\n")


class Broken(AssertionError):
    """The gateway did what it must never do; the text says what."""


@implementer(IHalfCloseableDescriptor)
class Wire(StringTransport):
    """The gateway's end of a connection, which both sides can half-close.

    :ivar closed: whether it is at its end for good.
    """

    protocol: Any

    def __init__(self, protocol: Any) -> None:
        super().__init__()
        self.closed = False
        self.protocol = protocol
        self._peer_done = self._done = False
        self._waiting: list[bytes] = []
        protocol.makeConnection(self)

    def deliver(self, data: bytes) -> None:
        """The peer sends; what a paused transport does not read waits."""
        self._waiting.append(data)
        self._read()

    def _read(self) -> None:
        while self._waiting and not self.closed and self.producerState == "producing":
            self.protocol.dataReceived(self._waiting.pop(0))

    def resumeProducing(self) -> None:
        super().resumeProducing()
        self._read()

    def peer_done(self) -> None:
        """The peer closes its side."""
        self._peer_done = True
        if IHalfCloseableProtocol.providedBy(self.protocol):
            self.protocol.readConnectionLost()
            if self._done:
                self._end()
        else:
            self._end()

    def loseWriteConnection(self) -> None:
        self._done = True
        if IHalfCloseableProtocol.providedBy(self.protocol):
            self.protocol.writeConnectionLost()
        if self._peer_done:
            self._end()

    def readConnectionLost(self, reason: Failure) -> None:
        """Part of the interface."""

    def writeConnectionLost(self, reason: Failure) -> None:
        """Part of the interface."""

    def loseConnection(self) -> None:
        self._end()

    def abortConnection(self) -> None:
        self._end()

    def _end(self) -> None:
        if not self.closed:
            self.closed = True
            self.disconnecting = True
            self.protocol.connectionLost(Failure(ConnectionDone()))


@implementer(ILogObserver)
@define(eq=False)
class Target:
    """Gateways, one after the other, each for a bounded number of connections.

    :ivar random: decides how bytes arrive.
    :ivar operations: of the present one.
    :ivar statuses: how often each status was answered.
    """

    random: Random
    operations: list[Operation] = field(init=False)
    statuses: dict[str, int] = field(factory=dict)
    _troubles: list[str] = field(factory=list)
    _clock: Clock = field(init=False)
    _http: HttpFactory = field(init=False)
    _websocket: GatewayFactory = field(init=False)

    def __attrs_post_init__(self) -> None:
        self.renew()
        globalLogPublisher.addObserver(self)

    def close(self) -> None:
        """No longer watch the log."""
        globalLogPublisher.removeObserver(self)

    def renew(self, alter: Callable[[Operation], Operation] = lambda row: row) -> None:
        """Begin with an empty store.

        :param alter: makes other operations of those that there are.
        """
        self._clock = clock_at_epoch()
        storage, sockets = EncryptingStorage(MemoryStorage(self._clock), "passphrase"), RecordedSockets()
        webhooks = WebhookNotifier(reactor, AddressRules(), timeout_s=10)
        mail = MailNotifier(reactor, None, sender="", timeout_s=10)
        notifiers = {scheme: one for one in (webhooks, mail) for scheme in one.schemes}
        built = build_operations(storage, keys=("secret",), clock=self._clock, sockets=sockets, notifiers=notifiers)
        built = evolve(built, operations=[alter(row) for row in built.operations])
        self.operations = built.operations
        self._websocket = GatewayFactory(
            Actions(built.operations), ClientIds(), self._clock, WebSocketBounds(), built.signer, sockets
        )
        self._http = HttpFactory(
            built.site(websocket_factory=self._websocket, cors_origins=("http://a",)), HttpBounds(), self._clock
        )

    def __call__(self, event: LogEvent) -> None:
        """See :class:`~twisted.logger.ILogObserver`."""
        if "log_failure" in event or event.get("log_level", LogLevel.info) >= LogLevel.error:
            failure = event.get("log_failure")
            self._troubles.append(failure.getTraceback() if failure else str(event.get("log_format")))

    # -- connections ---------------------------------------------------------------------------------------------------

    def by_http(self, data: bytes) -> None:
        """Send bytes to the HTTP port.

        :raises Broken: what came of it is not allowed to.
        """
        self._talk(Wire(self._http.buildProtocol(None)), data)

    def by_websocket(self, opening: bytes, data: bytes) -> None:
        """Send a handshake and what follows, to the WebSocket port or, half of the time, to the HTTP port.

        :raises Broken: what came of it is not allowed to.
        """
        factory: Any = self._websocket if self.random.random() < 0.5 else self._http
        self._talk(Wire(factory.buildProtocol(None)), opening + data)

    def _talk(self, wire: Wire, data: bytes) -> None:
        for piece in split(self.random, data):
            wire.deliver(piece)
            self._clock.advance(0)  # the next turn of the reactor
        if self.random.random() < 0.9 and not wire.closed:
            wire.peer_done()
        waited = 0
        while not wire.closed and waited < PATIENCE_S:
            self._clock.advance(12)
            waited += 12
        if not wire.closed:
            raise Broken(f"the connection is open after {PATIENCE_S} s")
        self._check(wire.value())
        if self._http.connections or self._websocket.connections:
            raise Broken("a connection that is lost is not forgotten")
        if left := self._clock.getDelayedCalls():
            raise Broken(f"timers of a lost connection are left: {left}")
        if self._troubles:
            troubles, self._troubles = self._troubles, []
            raise Broken("it was logged as a failure:\n" + "\n".join(troubles))

    # -- what came back ------------------------------------------------------------------------------------------------

    def _check(self, data: bytes) -> None:
        while data.startswith(b"HTTP/"):
            head = _HEAD.match(data)
            if head is None:
                raise Broken(f"no response: {data[:200]!r}")
            status, data = int(head[1]), data[head.end() :]
            if status == 101:
                self._check_frames(data)
                return
            length = _LENGTH.search(head[0])
            size = int(length[1]) if length is not None and status not in (100, 204) else 0
            if data.startswith(b"HTTP/"):
                size = 0  # that was the answer to HEAD
            self._count("HTTP", status, data[:size])
            data = data[size:]
        if data:
            raise Broken(f"after the last response: {data[:200]!r}")

    def _check_frames(self, data: bytes) -> None:
        found, rest = frames(data)
        if rest:
            raise Broken(f"no whole frame: {rest[:100]!r}")
        inflater = zlib.decompressobj(-15)
        for first, payload in found:
            if first & 0x40:
                payload = inflater.decompress(payload + b"\0\0\xff\xff")
            if first & 0xB0 != 0x80 or len(payload) > 125 and first & 8:
                raise Broken(f"a frame that a server must not send: {first:#x} of {len(payload)} bytes")
            if first & 15 in (TEXT, BINARY):
                reply = json.loads(payload) if first & 15 == TEXT else msgpack.unpackb(payload, strict_map_key=False)
                self._count("frame", reply["headers"]["status"], payload)
            elif first & 15 == CLOSE:
                self._count("close", int.from_bytes(payload[:2], "big"), payload)

    def _count(self, kind: str, status: int, body: bytes) -> None:
        key = f"{kind} {status}"
        self.statuses[key] = self.statuses.get(key, 0) + 1
        if kind != "close" and status >= 500 and status != 501:
            if status != 503 or not re.search(rb"few seconds|stopping", body):
                raise Broken(f"{key}: {body[:500]!r}")
        if kind == "close" and status == 1011:
            raise Broken("closed for an error of the gateway's own")


def memory() -> tuple[int, int]:
    """Bytes that this process has in memory, and its open descriptors."""
    gc.collect()
    process = psutil.Process()
    return process.memory_info().rss, process.num_fds()
