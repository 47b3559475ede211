"""A client made of bytes: it writes the frames that a test wants, good or bad, and cuts what comes back."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable, Mapping
from typing import Any

import msgpack
from twisted.internet.error import ConnectionDone
from twisted.internet.interfaces import IReactorTime
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure

from tests.helpers import CLIENT, PROJECT, build_operations
from zaqar_gateway.interfaces import ISockets, IStorage, ITokens, IUrlSigner, IWaits
from zaqar_gateway.limits import ClientIds, Limits
from zaqar_gateway.order import Order
from zaqar_gateway.transport.websocket.bounds import WebSocketBounds
from zaqar_gateway.transport.websocket.codec import Actions
from zaqar_gateway.transport.websocket.factory import GatewayFactory
from zaqar_gateway.transport.websocket.protocol import GatewayProtocol

TEXT, BINARY, CLOSE, PING, PONG = 1, 2, 8, 9, 10
HEADERS = {"Client-ID": CLIENT, "X-Project-ID": PROJECT}
MASK = b"\x11\x7f\x80\xfe"


def envelope(action: Any, body: Any = None, headers: Mapping[str, Any] | None = HEADERS) -> dict[str, Any]:
    """A request; what is ``None`` is left out."""
    parts = {"action": action, "body": body, "headers": headers}
    return {name: part for name, part in parts.items() if part is not None}


def text(action: Any, **body: Any) -> bytes:
    """A request as JSON."""
    return json.dumps(envelope(action, body)).encode()


def packed(action: Any, **body: Any) -> bytes:
    """A request as MessagePack."""
    return bytes(msgpack.packb(envelope(action, body)))


def handshake(path: str = "/", **headers: str) -> bytes:
    """The opening handshake; underscores in names of headers become hyphens."""
    sent = {
        "Host": "localhost",
        "Upgrade": "websocket",
        "Connection": "Upgrade",
        "Sec-WebSocket-Key": base64.b64encode(b"0123456789abcdef").decode(),
        "Sec-WebSocket-Version": "13",
    } | {name.replace("_", "-"): value for name, value in headers.items()}
    lines = [f"GET {path} HTTP/1.1", *(f"{name}: {value}" for name, value in sent.items())]
    return "\r\n".join([*lines, "", ""]).encode()


def frame(payload: bytes, kind: int = TEXT, *, fin: bool = True, reserved: int = 0, mask: bytes = MASK) -> bytes:
    """One frame of a client (RFC 6455, section 5.2); ``reserved`` has 4 for a compressed message."""
    size = len(payload)
    head = bytes(((fin << 7) | (reserved << 4) | kind,))
    if size < 126:
        head += bytes((0x80 | size,))
    elif size < 65536:
        head += b"\xfe" + size.to_bytes(2, "big")
    else:
        head += b"\xff" + size.to_bytes(8, "big")
    return head + mask + bytes(byte ^ mask[at % 4] for at, byte in enumerate(payload))


def frames(data: bytes) -> tuple[list[tuple[int, bytes]], bytes]:
    """The first bytes and the payloads of the frames of a server, and what is left over."""
    found = []
    while len(data) >= 2:
        size, at = data[1], 2
        if size == 126:
            size, at = int.from_bytes(data[2:4], "big"), 4
        elif size == 127:
            size, at = int.from_bytes(data[2:10], "big"), 10
        if at + size > len(data):
            break
        found.append((data[0], data[at : at + size]))
        data = data[at + size :]
    return found, data


def make_factory(
    storage: IStorage,
    clock: IReactorTime,
    bounds: WebSocketBounds | None = None,
    *,
    limits: Limits | None = None,
    alone: Iterable[str] = (),
    sockets: ISockets | None = None,
    tokens: ITokens | None = None,
    signer: IUrlSigner | None = None,
    order: Order | None = None,
    waits: IWaits | None = None,
) -> GatewayFactory:
    """The factory of connections to the operations over a store.

    :param alone: operations that run alone on their socket, besides those that always do.
    """
    built = build_operations(storage, limits, sockets=sockets, waits=waits)
    actions = Actions(built.operations, frozenset(alone))
    return GatewayFactory(actions, ClientIds(), clock, bounds or WebSocketBounds(), signer, sockets, tokens, order=order)


class Transport(StringTransport):
    """Tells its protocol when it is closed, as a connection does."""

    aborted = False
    protocol: GatewayProtocol | None = None

    def loseConnection(self) -> None:
        if not self.disconnecting:
            super().loseConnection()
            self._gone()

    def abortConnection(self) -> None:
        if not self.disconnecting:
            self.aborted = True
            super().abortConnection()
            self._gone()

    def _gone(self) -> None:
        protocol, self.protocol = self.protocol, None
        if protocol is not None:
            protocol.connectionLost(Failure(ConnectionDone()))


class Peer:
    """A client at the other end of a connection in memory, whose handshake is done."""

    def __init__(
        self,
        factory: GatewayFactory,
        opening: bytes | None = None,
        after: bytes = b"",
        transport: Transport | None = None,
    ) -> None:
        protocol = factory.buildProtocol(None)
        assert isinstance(protocol, GatewayProtocol)
        self.protocol: GatewayProtocol = protocol
        self.transport: Transport = transport or Transport()
        self.transport.protocol = self.protocol
        self.protocol.makeConnection(self.transport)
        self.protocol.dataReceived((handshake() if opening is None else opening) + after)
        clock: Any = factory._clock
        clock.advance(0)  # the handshake waits for its turn
        parts = self.transport.value().partition(b"\r\n\r\n")
        self.head: bytes = parts[0]
        self.rest: bytes = parts[2]
        self.transport.clear()

    @property
    def open(self) -> bool:
        """Whether the connection is there."""
        return not self.transport.disconnecting

    @property
    def read(self) -> bool:
        """Whether the gateway reads what this peer sends."""
        return bool(self.transport.producerState == "producing")

    def send(self, *payloads: bytes, kind: int = TEXT) -> None:
        """Send messages in one go."""
        self.raw(b"".join(frame(payload, kind) for payload in payloads))

    def raw(self, data: bytes) -> None:
        """Send bytes."""
        self.protocol.dataReceived(data)

    def received(self) -> list[tuple[int, bytes]]:
        """The frames that came since the last look: first byte and payload.  The turn of the reactor is over."""
        self.protocol.flush()
        found, self.rest = frames(self.rest + self.transport.value())
        self.transport.clear()
        return found

    def replies(self) -> list[Any]:
        """The messages that came since the last look, decoded; nothing else may have come."""
        return [{0x81: json.loads, 0x82: msgpack.unpackb}[first](payload) for first, payload in self.received()]

    def close_code(self) -> int | None:
        """The code of the close frame that came, if one came."""
        codes = [int.from_bytes(payload[:2], "big") for first, payload in self.received() if first == 0x80 | CLOSE]
        return codes[0] if codes else None


def status(reply: Any) -> int:
    """The status of a reply."""
    found = reply["headers"]["status"]
    assert isinstance(found, int)
    return found


NEEDED: dict[str, tuple[str, ...]] = {
    "queue_list": (),
    "queue_create": ("queue_name",),
    "queue_get": ("queue_name",),
    "queue_delete": ("queue_name",),
    "queue_get_stats": ("queue_name",),
    "queue_purge": ("queue_name",),
    "message_post": ("queue_name", "messages"),
    "message_list": ("queue_name",),
    "message_get": ("queue_name", "message_id"),
    "message_get_many": ("queue_name", "message_ids"),
    "message_delete": ("queue_name", "message_id"),
    "message_delete_many": ("queue_name",),
    "claim_create": ("queue_name",),
    "claim_get": ("queue_name", "claim_id"),
    "claim_update": ("queue_name", "claim_id"),
    "claim_delete": ("queue_name", "claim_id"),
    "subscription_create": ("queue_name",),
    "subscription_list": ("queue_name",),
    "subscription_get": ("queue_name", "subscription_id"),
    "subscription_delete": ("queue_name", "subscription_id"),
    "message_acknowledge": ("queue_name",),
    "message_refuse": ("queue_name", "message_ids"),
    "message_extend": ("queue_name", "message_ids", "deadline"),
    "subscription_window": ("queue_name", "window"),
    "durable_list": ("queue_name",),
    "durable_delete": ("queue_name", "durable"),
    "dead_letter_list": ("queue_name",),
    "dead_letter_return": ("queue_name",),
    "delivery_overview": (),
    "delivery_list": ("queue_name",),
    "delivery_resend": ("queue_name",),
}
"""Actions with the fields that they need (API reference, "Actions")."""
