"""A gateway that listens on the loopback interface, and clients made of bytes that talk to it."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from secrets import token_hex
from typing import Any, TypeVar

import msgpack
from twisted.internet import reactor
from twisted.internet.defer import Deferred, maybeDeferred
from twisted.internet.endpoints import TCP4ClientEndpoint, connectProtocol
from twisted.internet.interfaces import IListeningPort, IOpenSSLContextFactory, ITCPTransport
from twisted.internet.protocol import Protocol, connectionDone
from twisted.internet.ssl import CertificateOptions
from twisted.internet.task import Clock, LoopingCall, deferLater
from twisted.python.failure import Failure
from twisted.trial.unittest import TestCase

from tests.helpers import CLIENT, PROJECT, Response, build_operations
from tests.redis_server import connect, shared_server, storage_at
from tests.transport.websocket.client import BINARY, CLOSE, TEXT, frame, frames, handshake
from zaqar_gateway.interfaces import ISockets, IStorage, ITokens
from zaqar_gateway.limits import ClientIds, Limits
from zaqar_gateway.live.readers import QueueReaders
from zaqar_gateway.live.service import Live
from zaqar_gateway.model import Quotas
from zaqar_gateway.operations.filters import FILTERED, Filter
from zaqar_gateway.operations.refusals import Refusals
from zaqar_gateway.push.membership import Membership
from zaqar_gateway.push.sockets import Sockets
from zaqar_gateway.storage.encryption import EncryptingStorage
from zaqar_gateway.storage.memory import MemoryStorage
from zaqar_gateway.storage.redis.connection import Redis
from zaqar_gateway.storage.redis.doorbells import Doorbells
from zaqar_gateway.storage.redis.keys import Keys
from zaqar_gateway.testing.base import clock_at_epoch
from zaqar_gateway.transport.http.bounds import HttpBounds
from zaqar_gateway.transport.http.events import Streams
from zaqar_gateway.transport.http.factory import HttpFactory
from zaqar_gateway.transport.peers import Peers
from zaqar_gateway.transport.turns import Turns
from zaqar_gateway.transport.websocket.bounds import WebSocketBounds
from zaqar_gateway.transport.websocket.codec import Actions
from zaqar_gateway.transport.websocket.factory import GatewayFactory

_reactor: Any = reactor

_Connected = TypeVar("_Connected", bound="Connection")


class Connection(Protocol):
    """One connection of a client.

    :ivar data: what has come and was not yet taken.
    :ivar ended: whether the other side has closed.
    """

    transport: ITCPTransport

    def __init__(self) -> None:
        self.data = b""
        self.ended = False
        self._more: Deferred[None] | None = None
        self._lost: Deferred[None] = Deferred()

    def dataReceived(self, data: bytes) -> None:
        self.data += data
        self._wake()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self.ended = True
        self._wake()
        self._lost.callback(None)

    def _wake(self) -> None:
        if self._more is not None:
            more, self._more = self._more, None
            more.callback(None)

    async def more(self) -> bool:
        """Wait for more data; whether there is some, or else the end."""
        if not self.ended:
            size = len(self.data)
            self._more = Deferred()
            await self._more
            return len(self.data) > size
        return False

    async def until(self, end: bytes) -> bytes:
        """Take what comes before ``end``, and ``end``."""
        while end not in self.data:
            if not await self.more():
                raise AssertionError(f"closed after {self.data[:200]!r}")
        taken, _, self.data = self.data.partition(end)
        return taken

    async def take(self, size: int) -> bytes:
        """Take so many bytes."""
        while len(self.data) < size:
            if not await self.more():
                raise AssertionError(f"closed after {len(self.data)} of {size} bytes")
        taken, self.data = self.data[:size], self.data[size:]
        return taken

    async def rest(self) -> bytes:
        """Take all until the other side closes."""
        while await self.more():
            pass
        taken, self.data = self.data, b""
        return taken

    def start_tls(self) -> None:
        """Begin with TLS, whatever certificate the other side has."""
        transport: Any = self.transport
        transport.startTLS(CertificateOptions())

    def write(self, data: bytes) -> None:
        """Send bytes."""
        self.transport.write(data)

    async def close(self) -> None:
        """Drop the connection."""
        if not self.ended:
            self.transport.abortConnection()
        await self._lost


def request_head(
    method: str, target: str | bytes, headers: Mapping[str, str | None] | None = None, *, bare: bool = False
) -> bytes:
    """The head of a request up to and without the empty line.

    :param headers: added to Host, Client-ID and X-Project-ID; ``None`` leaves one of them out.
    :param bare: whether Client-ID and X-Project-ID are left out.
    """
    sent: dict[str, str | None] = {"Host": "localhost"}
    if not bare:
        sent |= {"Client-ID": CLIENT, "X-Project-ID": PROJECT}
    sent |= headers or {}
    path = target if isinstance(target, bytes) else target.encode()
    lines = [method.encode() + b" " + path + b" HTTP/1.1"]
    lines += [f"{name}: {value}".encode() for name, value in sent.items() if value is not None]
    return b"\r\n".join(lines) + b"\r\n"


def request_bytes(
    method: str,
    target: str | bytes,
    body: object = None,
    headers: Mapping[str, str | None] | None = None,
    *,
    bare: bool = False,
) -> bytes:
    """A whole request.

    :param body: bytes as they are, anything else as JSON; ``None`` for none, without a Content-Length.
    """
    head = request_head(method, target, headers, bare=bare)
    if body is None:
        return head + b"\r\n"
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    return head + b"Content-Length: %d\r\n\r\n" % len(content) + content


class HttpConnection(Connection):
    """A client of HTTP/1.1 that keeps its connection."""

    async def response(self, *, head: bool = False) -> Response:
        """The next response, an interim one (1xx) too.

        :param head: whether it is the response to HEAD.
        """
        line, *fields = (await self.until(b"\r\n\r\n")).split(b"\r\n")
        version, status, _ = line.split(b" ", 2)
        assert version == b"HTTP/1.1", line
        headers = [(name, value.strip()) for name, _, value in (field.partition(b":") for field in fields)]
        code = int(status)
        lengths = [int(value) for name, value in headers if name.lower() == b"content-length"]
        body = b""
        if code < 200 or code in (204, 304):
            assert not lengths, (line, fields)
        else:
            (length,) = lengths
            body = b"" if head else await self.take(length)
        return Response(code, headers, body)

    async def ask(
        self,
        method: str,
        target: str | bytes,
        body: object = None,
        headers: Mapping[str, str | None] | None = None,
        *,
        bare: bool = False,
    ) -> Response:
        """Send a request and read its response.  Arguments are those of :func:`request_bytes`."""
        self.write(request_bytes(method, target, body, headers, bare=bare))
        return await self.response(head=method == "HEAD")


class EventConnection(HttpConnection):
    """A client of server-sent events."""

    def __init__(self) -> None:
        super().__init__()
        self.last_id = ""
        self._text = b""

    async def open(self, target: str, headers: Mapping[str, str | None] | None = None, *, bare: bool = False) -> Response:
        """Begin a stream, and take its first block; the head of the response.  A refusal is taken whole."""
        self.write(request_bytes("GET", target, None, {"Accept": "text/event-stream", **(headers or {})}, bare=bare))
        while b"\r\n\r\n" not in self.data:
            await self.more()
        if b"chunked" not in self.data.partition(b"\r\n\r\n")[0]:
            return await self.response()
        line, *fields = (await self.until(b"\r\n\r\n")).split(b"\r\n")
        sent = [(name, value.strip()) for name, _, value in (field.partition(b":") for field in fields)]
        first = await self._block()
        assert first[0] == "retry: 2000", first
        return Response(int(line.split()[1]), sent, b"")

    async def _block(self) -> list[str]:
        """The lines of the next block."""
        while b"\n\n" not in self._text:
            size = int(await self.until(b"\r\n"), 16)
            if not size:
                return []
            self._text += await self.take(size)
            assert await self.take(2) == b"\r\n"
        block, _, self._text = self._text.partition(b"\n\n")
        lines = block.decode().split("\n")
        self.last_id = next((line[4:] for line in lines if line.startswith("id: ")), self.last_id)
        return lines

    async def event(self) -> tuple[str, Any]:
        """The next event: its name and its data; at the end of the stream the name is empty."""
        while lines := await self._block():
            data = "\n".join(line[6:] for line in lines if line.startswith("data: "))
            if data:
                return next(line[7:] for line in lines if line.startswith("event: ")), json.loads(data)
        return "", None

    async def bodies(self, count: int) -> list[Any]:
        """The bodies of the next messages, and nothing else between them."""
        found = []
        for _ in range(count):
            kind, data = await self.event()
            assert kind == "message", (kind, data)
            found.append(data["body"])
        return found


class SocketConnection(Connection):
    """A client of WebSocket."""

    async def open(self, path: str = "/") -> None:
        """Do the opening handshake."""
        self.write(handshake(path))
        head = await self.until(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 101 "), head

    def send(self, payload: bytes, *, binary: bool = False) -> None:
        """Send a message."""
        self.write(frame(payload, BINARY if binary else TEXT))

    async def frame(self) -> tuple[int, bytes]:
        """The first byte and the payload of the next frame."""
        while True:
            found, _ = frames(self.data)
            if found:
                first, payload = found[0]
                size = len(payload)
                self.data = self.data[size + (2 if size < 126 else 4 if size < 65536 else 10) :]
                return first, payload
            if not await self.more():
                raise AssertionError(f"closed after {self.data[:200]!r}")

    async def message(self) -> bytes:
        """The payload of the next frame, which has to be a text message."""
        first, payload = await self.frame()
        assert first == 0x80 | TEXT, (first, payload)
        return payload

    async def close_code(self) -> int:
        """The code of the next frame, which has to be a close."""
        first, payload = await self.frame()
        assert first == 0x80 | CLOSE, (first, payload)
        return int.from_bytes(payload[:2], "big")

    async def ask(self, document: object) -> Any:
        """Send a document, or the bytes of one, as text, and read the reply."""
        self.send(document if isinstance(document, bytes) else json.dumps(document).encode())
        return json.loads(await self.message())

    async def ask_packed(self, document: object, *, raw: bool = False) -> Any:
        """Send a document as MessagePack and read the reply.

        :param raw: whether to use the old family of MessagePack, which has no type for text.
        """
        packed = document if isinstance(document, bytes) else msgpack.packb(document, use_bin_type=not raw)
        self.send(packed, binary=True)
        first, payload = await self.frame()
        assert first == 0x80 | BINARY, (first, payload)
        return msgpack.unpackb(payload)


class Gateway:
    """Both transports over a store, listening on ports of their own.

    :param limits: ``None``: the defaults.
    :param timers: the clock of the timeouts of connections; ``None``: the time that really passes.
    :param tls: for both ports; ``None``: they are plain.
    :param streams_max: the most streams of a project; 0: any number.
    :param collaborators: what else :func:`zaqar_gateway.operations.registry.operations` takes.
    :ivar streams: those of events.
    :ivar readers: read queues for them.
    :ivar clients: all connections that were made to it.
    """

    def __init__(
        self,
        storage: IStorage,
        limits: Limits | None = None,
        *,
        checksums: bool = False,
        client_ids: ClientIds | None = None,
        admin_mode: bool = True,
        cors_origins: Iterable[str] = (),
        http_bounds: HttpBounds | None = None,
        websocket_bounds: WebSocketBounds | None = None,
        peers: Peers | None = None,
        refusals: Refusals | None = None,
        timers: Clock | None = None,
        tls: IOpenSSLContextFactory | None = None,
        keys: Sequence[str] = (),
        clock: Clock | None = None,
        sockets: ISockets | None = None,
        tokens: ITokens | None = None,
        filters: Sequence[Filter] = (),
        streams_max: int = 0,
        **collaborators: Any,
    ) -> None:
        self.readers = QueueReaders(storage, timers or _reactor)
        self.streams = Streams(
            self.readers,
            timers or _reactor,
            refusals or Refusals(),
            per_project_max=streams_max,
            tokens=tokens,
        )
        built = build_operations(storage, limits, keys, clock, sockets=sockets, filters=filters, **collaborators)
        ids = client_ids or ClientIds()
        actions = Actions(built.operations, alone=FILTERED if filters else frozenset())
        turns = Turns(_reactor)  # those of the reactor, whatever timers there are
        self._websocket = GatewayFactory(
            actions,
            ids,
            timers or _reactor,
            websocket_bounds or WebSocketBounds(),
            built.signer,
            sockets,
            tokens,
            peers,
            refusals,
            turns=turns,
        )
        site = built.site(
            checksums=checksums,
            client_ids=ids,
            admin_mode=admin_mode,
            cors_origins=cors_origins,
            websocket_factory=self._websocket,
            tokens=tokens,
            streams=self.streams,
        )
        self._http = HttpFactory(
            site, http_bounds or HttpBounds(), timers or _reactor, peers=peers, refusals=refusals, turns=turns
        )
        self._ports: list[IListeningPort] = [
            _reactor.listenTCP(0, factory, interface="127.0.0.1")
            if tls is None
            else _reactor.listenSSL(0, factory, tls, interface="127.0.0.1")
            for factory in (self._http, self._websocket)
        ]
        self.clients: list[Connection] = []

    async def raw(self, *, websocket: bool = False) -> HttpConnection:
        """A new connection on which nothing has been sent, to the HTTP port or to the one for WebSocket alone."""
        return await self._connect(self._ports[websocket], HttpConnection())

    async def _connect(self, port: IListeningPort, protocol: _Connected) -> _Connected:
        host: Any = port.getHost()
        self.clients.append(protocol)
        await connectProtocol(TCP4ClientEndpoint(_reactor, "127.0.0.1", host.port), protocol)
        protocol.transport.setTcpNoDelay(True)
        return protocol

    async def http(self) -> HttpConnection:
        """A new connection to the HTTP port."""
        return await self._connect(self._ports[0], HttpConnection())

    async def events(self) -> EventConnection:
        """A new connection for a stream of events."""
        return await self._connect(self._ports[0], EventConnection())

    async def socket(self, *, upgraded: bool = False) -> SocketConnection:
        """A new WebSocket.

        :param upgraded: whether it comes by the HTTP port.
        """
        made = await self._connect(self._ports[0 if upgraded else 1], SocketConnection())
        await made.open()
        return made

    async def stop(self) -> None:
        """Close all connections and ports."""
        for port in self._ports:
            await maybeDeferred(port.stopListening)
        for client in self.clients:
            await client.close()
        await self._websocket.close_all()
        while self._http.connections:
            await deferLater(_reactor, 0)
        self.readers.stop()

    def drain(self) -> None:
        """Begin to end, as a gateway does that is told to."""
        self._http.stop_accepting()


class WireCase(TestCase):
    """A test that starts gateways over stores, all of which have the time of one clock."""

    timeout = 120  # the machines that test are busy

    async def setUp(self) -> None:  # type: ignore[override]
        self.clock: Clock = clock_at_epoch()
        self._gateways: list[Gateway] = []
        self._redis: list[Redis] = []
        self._bells: list[Doorbells] = []
        # A store in memory rings in the next turn of its clock, which takes its turns with the reactor.
        self._turns = LoopingCall(self.clock.advance, 0)
        self._turns.start(0.001)

    async def tearDown(self) -> None:  # type: ignore[override]
        if self._turns.running:  # a test may take down more than once
            self._turns.stop()
        for gateway in self._gateways:
            await gateway.stop()
        for bells in self._bells:
            await bells.stop()
        for redis in self._redis:
            await redis.stop()

    def memory(self) -> IStorage:
        """A new store in memory."""
        return MemoryStorage(self.clock)

    async def redis(self, quotas: Quotas | None = None) -> IStorage:
        """A store in the shared Redis, which is emptied."""
        redis = connect(shared_server())
        self._redis.append(redis)
        redis.start()
        await redis.when_ready()
        storage = storage_at(redis, self.clock, Keys(), quotas=quotas)
        self._bells.append(storage.doorbells)
        storage.doorbells.start()
        await storage.doorbells.when_ready()
        return storage

    def start(
        self,
        storage: IStorage,
        limits: Limits | None = None,
        *,
        passphrase: str = "passphrase",
        previous: Iterable[str] = (),
        **options: Any,
    ) -> Gateway:
        """A gateway over a store, with keys for encryption; ``options`` are those of :class:`Gateway`."""
        gateway = Gateway(EncryptingStorage(storage, passphrase, tuple(previous)), limits, **options)
        self._gateways.append(gateway)
        return gateway


class Parts:
    """What delivers to the sockets of a gateway, as one process has it."""

    def __init__(self, storage: IStorage, name: str) -> None:
        self.membership = Membership(storage.deliveries, name, _reactor)
        self.sockets = Sockets(storage, self.membership, _reactor)
        self.readers = QueueReaders(storage, _reactor)
        self.live = Live(storage, self.readers, self.sockets, _reactor, lambda: token_hex(12))
        self.membership.startService()

    async def stop(self) -> None:
        """Stop, once the gateway has."""
        await self.live.stop()
        self.readers.stop()
        self.sockets.stop()
        await maybeDeferred(self.membership.stopService)


class LiveCase(WireCase):
    """A test that starts gateways with live subscriptions, on one store."""

    async def setUp(self) -> None:  # type: ignore[override]
        await super().setUp()
        self._parts: list[Parts] = []

    async def tearDown(self) -> None:  # type: ignore[override]
        gateways, self._gateways = self._gateways, []
        for gateway in gateways:
            await gateway.stop()
        for parts in self._parts:
            await parts.stop()
        await super().tearDown()

    async def begin(self, storage: IStorage, **options: Any) -> Gateway:
        """A gateway; ``options`` are those of :class:`Gateway`."""
        seen = EncryptingStorage(storage, "passphrase")
        parts = Parts(seen, f"g{len(self._parts)}")
        self._parts.append(parts)
        gateway = Gateway(seen, sockets=parts.sockets, live=parts.live, **options)
        self._gateways.append(gateway)
        return gateway


class OnMemory(WireCase):
    """A test with one store, in memory."""

    async def a_store(self) -> IStorage:
        """The store of this test."""
        return self.memory()


class OnRedis(WireCase):
    """A test with one store, in Redis."""

    async def a_store(self) -> IStorage:
        """The store of this test."""
        return await self.redis()
