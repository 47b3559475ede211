"""What loopback and Redis allow for large posts: a relay that looks at nothing of what it hands on, or only whether it is JSON.

It reads requests of one known size from any number of connections, has Redis keep each, and answers then.  So it does of a server's work
what no server can leave out.
"""

import select
import socket
from collections.abc import Collection
from contextlib import AbstractContextManager

import msgspec

from bench.load.ceiling import aside, canned

KEY = b"bench-relay"
"""A hash of what was handed on."""

_END_OF_HEAD = b"\r\n\r\n"
_REPLY_MAX = 64


def serve(listener: socket.socket, redis: socket.socket, request_bytes: int, reply: bytes, looks: bool) -> None:
    """Hand on every ``request_bytes`` that come on a connection, and answer with ``reply``, for ever.

    :param looks: whether the body is looked through as JSON before, with what the gateway has for that.
    """
    look = msgspec.json.Decoder(msgspec.Raw).decode
    poll = select.epoll()
    poll.register(listener.fileno(), select.EPOLLIN)
    connections: dict[int, tuple[socket.socket, bytearray, list[int]]] = {}
    number = 0
    while True:
        for fd, _ in poll.poll():
            if fd == listener.fileno():
                sock, _ = listener.accept()
                connections[sock.fileno()] = (sock, bytearray(request_bytes), [0])
                poll.register(sock.fileno(), select.EPOLLIN)
                continue
            sock, request, have = connections[fd]
            size = sock.recv_into(memoryview(request)[have[0] :])
            if not size:
                poll.unregister(fd)
                connections.pop(fd)[0].close()
                continue
            have[0] += size
            if have[0] == request_bytes:
                number += 1
                have[0] = 0
                if looks:
                    look(memoryview(request)[request.index(_END_OF_HEAD) + len(_END_OF_HEAD) :])
                _hand_on(redis, number, request)
                sock.sendall(reply)


def _hand_on(redis: socket.socket, number: int, request: bytearray) -> None:
    head = b"*4\r\n$4\r\nHSET\r\n$%d\r\n%b\r\n$12\r\n%012d\r\n$%d\r\n" % (len(KEY), KEY, number, len(request))
    pieces = [memoryview(head), memoryview(request), memoryview(b"\r\n")]
    while pieces:
        sent = redis.sendmsg(pieces)
        while pieces and sent >= len(pieces[0]):
            sent -= len(pieces.pop(0))
        if pieces:
            pieces[0] = pieces[0][sent:]
    answer = redis.recv(_REPLY_MAX)
    if not answer.startswith(b":"):
        raise OSError(f"Redis answered {answer!r}")


def relay(redis: str, request_bytes: int, cores: Collection[int], looks: bool) -> AbstractContextManager[int]:
    """A relay in a process of its own; its port.

    :param redis: path of the Unix socket of a Redis.
    :param cores: that it runs on.
    :param looks: whether it looks through each body as JSON.
    """

    def run(listener: socket.socket) -> None:
        with socket.socket(socket.AF_UNIX) as sock:
            sock.connect(redis)
            serve(listener, sock, request_bytes, canned("http"), looks)

    return aside(run, cores)
