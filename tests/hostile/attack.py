"""Slow and greedy clients: ``python -m tests.hostile.attack KINDS HOST HTTP_PORT WEBSOCKET_PORT CONNECTIONS SECONDS``.

Of each kind (those of ``HTTP`` and ``WEBSOCKET``, with commas between) it keeps so many connections for so long, opens
another one for each that the gateway closes, and ends by itself.  It prints
``ready`` when all are open, and at the end how many were opened, refused and closed by the gateway, and the bytes sent.
"""

from __future__ import annotations

import asyncio
import json
import os
import socket
import sys
import time
import zlib
from collections import Counter
from collections.abc import Awaitable, Callable
from functools import cache

from attrs import define, field

from tests.transport.websocket.client import PING, TEXT, frame, handshake, text

OPEN_S = 60
"""How long it may take until all connections are open."""

GIB = 1024 * 1024 * 1024
_IDENTITY = b"Host: a\r\nClient-ID: 3381af92-2b9e-11e3-b191-71861300734c\r\nX-Project-ID: greedy\r\n"
_POST = b"POST /v2/queues/greedy/messages HTTP/1.1\r\n" + _IDENTITY
_DEFLATE = "permessage-deflate; client_max_window_bits"


@define
class Peer:
    """One connection of an attacker."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    attack: Attack

    async def send(self, data: bytes) -> None:
        """Send, as fast as the gateway reads."""
        self.writer.write(data)
        await self.writer.drain()
        self.attack.count["sent"] += len(data)

    async def drip(self, data: bytes, pause_s: float) -> None:
        """Send an octet at a time, until the gateway closes."""
        closed = asyncio.ensure_future(self.closed())
        try:
            for octet in data:
                if closed.done():
                    break
                await self.send(bytes((octet,)))
                await asyncio.sleep(pause_s)
        finally:
            closed.cancel()

    def read_no_more(self) -> None:
        """Leave unread whatever comes, and have the system keep next to nothing of it."""
        self.writer.transport.pause_reading()  # type: ignore[attr-defined]

    async def head(self) -> bytes:
        """Read a head."""
        return await self.reader.readuntil(b"\r\n\r\n")

    async def closed(self) -> None:
        """Read until the gateway closes."""
        while await self.reader.read(65536):
            pass

    async def idle(self) -> None:
        """Neither read nor write, and see the end."""
        while not self.writer.is_closing():
            await asyncio.sleep(0.5)


@define
class Attack:
    """What a kind of client does, again and again."""

    host: str
    port: int
    connections: int
    seconds: float
    act: Callable[[Peer], Awaitable[None]]
    count: Counter[str] = field(factory=Counter)
    until: float = field(init=False)
    _clients: list[asyncio.Task[None]] = field(factory=list)

    def __attrs_post_init__(self) -> None:
        self.until = time.monotonic() + OPEN_S

    def left_s(self) -> float:
        """Seconds that are left."""
        return max(0.0, self.until - time.monotonic())

    async def begin(self) -> None:
        """Open the connections."""
        self._clients = [asyncio.create_task(self._client()) for _ in range(self.connections)]
        while self.count["open"] < self.connections and self.left_s():
            await asyncio.sleep(0.02)

    async def end(self) -> None:
        """Attack until the time, which begins now, is over."""
        self.until = time.monotonic() + self.seconds
        _, pending = await asyncio.wait(self._clients, timeout=self.left_s())
        for client in pending:
            client.cancel()
        await asyncio.gather(*self._clients, return_exceptions=True)

    async def _client(self) -> None:
        first = True
        while self.left_s():
            try:
                made = socket.socket()
                made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)  # so that who does not read is soon noticed
                # What they keep is memory that would be missing for all on this machine.
                made.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 65536)
                made.setblocking(False)
                await asyncio.get_running_loop().sock_connect(made, (self.host, self.port))
                reader, writer = await asyncio.open_connection(sock=made, limit=2**18)
            except OSError:
                self.count["refused"] += 1
                await asyncio.sleep(0.1)
                continue
            self.count["opened"] += 1
            self.count["open"] += first
            first = False
            try:
                await self.act(Peer(reader, writer, self))
                self.count["closed"] += 1
            except (OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
                self.count["closed"] += 1
            finally:
                writer.transport.abort()
            await asyncio.sleep(0.05)


# -- kinds -------------------------------------------------------------------------------------------------------------


async def slow_head(peer: Peer) -> None:
    """A head that comes an octet at a time."""
    await peer.drip(b"GET /v2/queues HTTP/1.1\r\n" + _IDENTITY + b"X: " + b"y" * 20000, 0.5)


async def slow_body(peer: Peer) -> None:
    """A body that does."""
    await peer.send(_POST + b"Content-Length: 100000\r\n\r\n")
    await peer.drip(b" " * 100000, 0.5)


async def slow_read(peer: Peer) -> None:
    """Answers that nobody reads: a pipeline of requests without end."""
    peer.read_no_more()
    while True:
        await peer.send((b"GET /v2/ HTTP/1.1\r\n" + _IDENTITY + b"\r\n") * 20)


async def idle_upgrade(peer: Peer) -> None:
    """A WebSocket that does nothing, and answers no ping."""
    await peer.send(handshake())
    await peer.head()
    await peer.idle()


async def slow_handshake(peer: Peer) -> None:
    """A WebSocket handshake that comes an octet at a time."""
    await peer.drip(handshake(Cookie="x" * 20000), 0.5)


async def slow_socket(peer: Peer) -> None:
    """Replies on a WebSocket that nobody reads."""
    await peer.send(handshake())
    await peer.head()
    peer.read_no_more()
    while True:
        await peer.send(_long_requests())


@cache
def _long_requests() -> bytes:
    return frame(text("queue_get", queue_name="x" * 20000), TEXT) * 4


async def ping_flood(peer: Peer) -> None:
    """Pings as fast as they are read, whose pongs are not."""
    await peer.send(handshake())
    await peer.head()
    peer.read_no_more()
    while True:
        await peer.send(frame(b"p" * 125, PING) * 500)


def _bomb() -> bytes:
    deflater = zlib.compressobj(9, zlib.DEFLATED, -15)
    size = 2**24
    block = deflater.compress(b" " * size) + deflater.flush(zlib.Z_FULL_FLUSH)  # needs nothing of what came before
    return frame((block * (GIB // size))[:-4], TEXT, reserved=4, mask=b"\0\0\0\0")


async def bomb(peer: Peer) -> None:
    """A message of 1 MiB that is 1 GiB when it is inflated."""
    await peer.send(handshake(Sec_WebSocket_Extensions=_DEFLATE))
    await peer.head()
    await peer.send(_BOMBS[0])
    await peer.closed()


_BOMBS: list[bytes] = []


async def many_headers(peer: Peer) -> None:
    """10,000 headers."""
    await peer.send(
        b"GET /v2/queues HTTP/1.1\r\n" + _IDENTITY + b"".join(b"X-%d: y\r\n" % n for n in range(10_000)) + b"\r\n"
    )
    await peer.closed()


async def declared_body(peer: Peer) -> None:
    """A body of 1 GiB, with its length."""
    await peer.send(_POST + b"Content-Length: %d\r\n\r\n" % GIB)
    for _ in range(GIB // 65536):
        await peer.send(b" " * 65536)


async def endless_body(peer: Peer) -> None:
    """A chunked body without end."""
    await peer.send(_POST + b"Transfer-Encoding: chunked\r\n\r\n")
    while True:
        await peer.send(b"10000\r\n" + b" " * 65536 + b"\r\n")


async def small_frames(peer: Peer) -> None:
    """Small wrong messages as fast as they are read."""
    await peer.send(handshake())
    await peer.head()
    while True:
        await peer.send(frame(b"{}", TEXT) * 1000)
        while len(await peer.reader.read(2**18)) == 2**18:
            pass


async def pipeline(peer: Peer) -> None:
    """Small requests as fast as they are read."""
    while True:
        await peer.send(b"GET / HTTP/1.1\r\nHost:a\r\n\r\n" * 500)
        while len(await peer.reader.read(2**18)) == 2**18:
            pass


HTTP: dict[str, Callable[[Peer], Awaitable[None]]] = {
    "slow-head": slow_head,
    "slow-body": slow_body,
    "slow-read": slow_read,
    "many-headers": many_headers,
    "declared-body": declared_body,
    "endless-body": endless_body,
    "pipeline": pipeline,
}
WEBSOCKET: dict[str, Callable[[Peer], Awaitable[None]]] = {
    "idle-upgrade": idle_upgrade,
    "slow-handshake": slow_handshake,
    "slow-socket": slow_socket,
    "ping-flood": ping_flood,
    "bomb": bomb,
    "small-frames": small_frames,
}


async def run(attacks: list[Attack]) -> None:
    """Attack in these ways at once."""
    for attack in attacks:
        await attack.begin()
    print("ready", flush=True)
    await asyncio.gather(*(attack.end() for attack in attacks))


def main(kinds: list[str], host: str, http_port: int, websocket_port: int, connections: int, seconds: float) -> None:
    """Attack."""
    if "bomb" in kinds:
        _BOMBS.append(_bomb())
    acts = {**HTTP, **WEBSOCKET}
    attacks = [
        Attack(host, http_port if kind in HTTP else websocket_port, connections, seconds, acts[kind]) for kind in kinds
    ]
    asyncio.run(run(attacks))
    print(json.dumps(sum((attack.count for attack in attacks), Counter())), flush=True)
    os._exit(0)  # thousands of sockets need no farewell


if __name__ == "__main__":
    main(sys.argv[1].split(","), sys.argv[2], int(sys.argv[3]), int(sys.argv[4]), int(sys.argv[5]), float(sys.argv[6]))
