"""Closed-loop load: every lane sends a request, waits for its reply, and sends the next.

What a lane sends is an *operation*, a generator that yields the bytes of requests, is given the replies, and returns
when it is done; it raises :class:`Unexpected` where a reply is not what it should be.  A connection carries one or
more lanes; replies come in the order of requests, over pipelined HTTP and over WebSocket alike.

Linux only, for ``epoll``: it costs less per event than :mod:`selectors`, and this loop is all that a client's core does.
"""

import select
import socket
import time
from collections import deque
from collections.abc import Callable, Generator
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol


class Reply(NamedTuple):
    """What came back: the status, and the body (HTTP) or the whole payload (WebSocket)."""

    status: int
    body: bytes


Operation = Generator[bytes, Reply, None]


class Unexpected(Exception):
    """A reply is not what the operation asked for."""


class ProtocolFailure(Exception):
    """The bytes on a connection make no sense; the connection is of no further use."""


class LoadFailed(Exception):
    """The server cannot be measured: it is silent, closes its connections, or refuses everything."""


class Reader(Protocol):
    """Cuts a stream into replies."""

    answer: bytes

    def feed(self, data: bytes) -> list[Reply]:
        """Replies completed by these bytes."""


_COMPLAINTS = 5  # that are kept


@dataclass(slots=True)
class Load:
    """What came of a run.  Times are in seconds; operations that failed have no latency.

    :ivar idle: how long there was nothing to do but to wait for replies.
    """

    seconds: float = 0.0
    latencies: list[float] = field(default_factory=list)
    errors: int = 0
    complaints: list[str] = field(default_factory=list)  # the first few errors
    idle: float = 0.0

    @property
    def busy(self) -> float:
        """The share of the time in which there was something to do."""
        return 1 - self.idle / self.seconds

    def add(self, part: "Load") -> None:
        """Add what came of another run."""
        self.seconds += part.seconds
        self.idle += part.idle
        self.latencies += part.latencies
        self.errors += part.errors
        self.complaints = (self.complaints + part.complaints)[:_COMPLAINTS]

    def complain(self, what: str) -> None:
        """Count an error and keep the first few."""
        self.errors += 1
        if len(self.complaints) < _COMPLAINTS:
            self.complaints.append(what)


class Connection:
    """One non-blocking socket, the reader of its replies, and the operations that wait for one."""

    __slots__ = ("backlog", "pending", "reader", "sock")

    def __init__(self, sock: socket.socket, reader: Reader) -> None:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.setblocking(False)
        self.sock = sock
        self.reader = reader
        self.pending: deque[tuple[Operation, float]] = deque()
        self.backlog = b""  # bytes that the kernel did not take yet

    def close(self) -> None:
        """Close the socket and forget what waits."""
        self.sock.close()
        self.pending.clear()


Connect = Callable[[], Connection]

_READ = select.EPOLLIN
_BOTH = select.EPOLLIN | select.EPOLLOUT
_CHUNK = 1 << 18
_LOOKS = 10_000
"""How often the connections are looked at before the load sleeps, some 5 ms.  To wake a core that sleeps is work of the one that
sends to it, in a virtual machine as much as a tenth of a request; a server has no such work where its clients are elsewhere."""
_MAX_LOST = 50  # connections that a run may lose
_MAX_ERRORS = 200  # errors without one success


class Client:
    """A set of connections to one server, and the loop that drives them."""

    def __init__(self, connect: Connect, connections: int, patience_s: float = 30.0) -> None:
        """
        :param connect: opens one connection.
        :param patience_s: how long the server may be silent while it owes a reply.
        """
        self._connect = connect
        self._patience_s = patience_s
        self._lost = 0
        self._poll = select.epoll()
        self._connections: dict[int, Connection] = {}
        try:
            for _ in range(connections):
                self._open()
        except BaseException:
            self.close()
            raise

    def _open(self) -> Connection:
        connection = self._connect()
        fd = connection.sock.fileno()
        self._connections[fd] = connection
        self._poll.register(fd, _READ)
        return connection

    def close(self) -> None:
        """Close everything."""
        self._poll.close()
        for connection in self._connections.values():
            connection.close()
        self._connections.clear()

    def run(
        self,
        begin: Callable[[], Operation],
        *,
        seconds: float | None = None,
        operations: int | None = None,
        lanes: int = 1,
        connections: int | None = None,
    ) -> Load:
        """Run operations until the time or their number is used up, and then until the last one has ended.

        :param begin: makes the next operation.
        :param lanes: how many operations each connection has in flight.
        :param connections: use only so many of the connections.
        :return: all operations of the run; ``seconds`` reaches from the first request to the last reply.
        :raises LoadFailed: the server cannot be measured.
        """
        for fd, _ in self._poll.poll(0):
            self._replace(fd, ProtocolFailure("closed while nothing was asked"))
        load = Load()
        clock = time.perf_counter
        left = operations if operations is not None else 1 << 62
        started = now = clock()
        deadline = started + seconds if seconds is not None else float("inf")
        running = 0
        for connection in list(self._connections.values())[:connections]:
            out: list[bytes] = []
            while len(out) < lanes and left > 0:
                left -= 1
                operation = begin()
                out.append(next(operation))
                connection.pending.append((operation, now))
            running += len(out)
            self._send(connection, b"".join(out))

        by_fd, latencies = self._connections, load.latencies
        while running:
            events = self._wait(load)
            if not events:
                raise LoadFailed(f"no reply for {self._patience_s:.0f} s ({running} requests wait)")
            for fd, event in events:
                connection = by_fd[fd]
                if event & select.EPOLLOUT:
                    self._send(connection, b"")
                    if not event & ~select.EPOLLOUT:
                        continue
                try:
                    data = connection.sock.recv(_CHUNK)
                    if not data:
                        raise ProtocolFailure("the server closed the connection")
                    replies = connection.reader.feed(data)
                except BlockingIOError:
                    continue
                except (OSError, ProtocolFailure) as error:
                    running -= len(connection.pending)
                    for _ in connection.pending or (None,):
                        load.complain(str(error))
                    connection = self._replace(fd, error)
                    now, out = clock(), []
                    while len(out) < lanes and left > 0 and now < deadline:
                        left -= 1
                        operation = begin()
                        out.append(next(operation))
                        connection.pending.append((operation, now))
                    running += len(out)
                    self._send(connection, b"".join(out))
                    continue
                now, out = clock(), [connection.reader.answer]
                pending = connection.pending
                for reply in replies:
                    if not pending:
                        raise LoadFailed(f"a reply that nobody asked for: {reply.body[:80]!r}")
                    operation, began = pending.popleft()
                    try:
                        out.append(operation.send(reply))
                        pending.append((operation, began))
                        continue
                    except StopIteration:
                        latencies.append(now - began)
                    except Unexpected as error:
                        load.complain(str(error))
                        if load.errors >= _MAX_ERRORS and not latencies:
                            raise LoadFailed(f"{load.errors} errors and no success: {load.complaints[0]}") from None
                    if left > 0 and now < deadline:
                        left -= 1
                        operation = begin()
                        out.append(next(operation))
                        pending.append((operation, now))
                    else:
                        running -= 1
                self._send(connection, b"".join(out))
        load.seconds = now - started
        return load

    def _wait(self, load: Load) -> list[tuple[int, int]]:
        """What has happened on the connections, waiting for it."""
        poll, clock = self._poll.poll, time.perf_counter
        if events := poll(0):
            return events
        began = clock()
        for _ in range(_LOOKS):
            if events := poll(0):
                break
        else:
            events = poll(self._patience_s)
        load.idle += clock() - began
        return events

    def _send(self, connection: Connection, data: bytes) -> None:
        """Send at once what the kernel takes, and the rest when it takes more."""
        waiting = bool(connection.backlog)
        if waiting:
            data = connection.backlog + data
        if not data:
            return
        try:
            sent = connection.sock.send(data)
        except BlockingIOError:
            sent = 0
        except OSError:
            return  # the loop learns of it when it reads
        connection.backlog = data[sent:]
        if waiting != bool(connection.backlog):
            self._poll.modify(connection.sock.fileno(), _BOTH if connection.backlog else _READ)

    def _replace(self, fd: int, why: Exception) -> Connection:
        self._lost += 1
        if self._lost > _MAX_LOST:
            raise LoadFailed(f"{self._lost} connections lost, the last one because: {why}")
        self._poll.unregister(fd)
        self._connections.pop(fd).close()
        return self._open()
