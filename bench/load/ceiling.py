"""How fast the load generator is by itself: a responder that does nothing, and what a run against it gives.

The replies are canned, so these numbers say nothing about any server.  They are the limit of what can be measured.
"""

import json
import os
import select
import signal
import socket
from collections.abc import Callable, Collection, Iterator
from contextlib import AbstractContextManager, contextmanager

from bench.api import HttpApi, WebSocketApi
from bench.load.engine import Client, Connection, LoadFailed, Operation
from bench.load.http import HttpReader
from bench.load.websocket import WebSocketReader

_HTTP_BODY = json.dumps({"resources": ["/v2/queues/ceiling/messages/0123456789abcdef"]}).encode()
_HTTP = (
    b"HTTP/1.1 201 Created\r\nServer: nothing\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"
    % len(_HTTP_BODY)
    + _HTTP_BODY
)
_FRAME_BODY = json.dumps({"body": {"message_ids": ["0123456789abcdef"]}, "headers": {"status": 201}}).encode()
_FRAME = b"\x81" + bytes((len(_FRAME_BODY),)) + _FRAME_BODY


def serve(listener: socket.socket, request_bytes: int, reply: bytes) -> None:
    """Answer every ``request_bytes`` that come on a connection with ``reply``, for ever."""
    poll = select.epoll()
    poll.register(listener.fileno(), select.EPOLLIN)
    connections: dict[int, tuple[socket.socket, list[int]]] = {}
    while True:
        for fd, _ in poll.poll():
            if fd == listener.fileno():
                sock, _ = listener.accept()
                connections[sock.fileno()] = (sock, [0])
                poll.register(sock.fileno(), select.EPOLLIN)
                continue
            sock, have = connections[fd]
            data = sock.recv(1 << 18)
            if not data:
                poll.unregister(fd)
                connections.pop(fd)[0].close()
                continue
            count, have[0] = divmod(have[0] + len(data), request_bytes)
            if count:
                sock.sendall(reply * count)


@contextmanager
def aside(run: Callable[[socket.socket], None], cores: Collection[int]) -> Iterator[int]:
    """Have something listen in a process of its own.

    :param run: what it does, for ever, with the socket that listens.
    :param cores: that it runs on; empty: any.
    :return: its port.
    """
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        child = os.fork()
        if not child:
            try:
                if cores:
                    os.sched_setaffinity(0, cores)
                run(listener)
            finally:
                os._exit(1)
    try:
        yield port
    finally:
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)


def responder(transport: str, request_bytes: int, core: int | None) -> AbstractContextManager[int]:
    """A responder in a process of its own; its port."""

    def run(listener: socket.socket) -> None:
        serve(listener, request_bytes, canned(transport))

    return aside(run, () if core is None else (core,))


def canned(transport: str) -> bytes:
    """The one reply of the responder."""
    return _HTTP if transport == "http" else _FRAME


def measure(transport: str, connections: int, lanes: int, seconds: float, core: int | None) -> tuple[float, float]:
    """Requests per second, and microseconds of the client's CPU for each."""
    api = HttpApi("ceiling", "127.0.0.1:8888") if transport == "http" else WebSocketApi("ceiling")
    wanted = api.post(1)

    def operation() -> Operation:
        api.posted((yield wanted), 1)

    with responder(transport, len(wanted), core) as port:

        def connect() -> Connection:
            reader = HttpReader() if transport == "http" else WebSocketReader()  # the responder wants no handshake
            return Connection(socket.create_connection(("127.0.0.1", port)), reader)

        client = Client(connect, connections)
        try:
            load = client.run(operation, seconds=seconds, lanes=lanes)
        finally:
            client.close()
    done = len(load.latencies)
    if load.errors or not done:
        raise LoadFailed((load.complaints or ["nothing was measured"])[0])
    return done / load.seconds, load.busy * load.seconds / done * 1e6
