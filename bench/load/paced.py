"""Requests at a given rate, whatever else the server is asked beside them.

A latency reaches from when a request was due to its reply, so that a server which is silent for a while is not spared those that
could not be sent meanwhile.
"""

import select
import time
from collections import deque
from collections.abc import Sequence
from contextlib import suppress

from bench.load.engine import Connect, Connection, Load, LoadFailed, Operation, ProtocolFailure, Reply, Unexpected

_READ, _BOTH = select.EPOLLIN, select.EPOLLIN | select.EPOLLOUT
_SPIN_S = 0.002  # the kernel wakes sleepers a millisecond late
_CHUNK = 1 << 18


def run_paced(
    connect: Connect,
    request: bytes,
    status: int,
    *,
    rate: float,
    seconds: float,
    connections: int = 16,
    beside: Sequence[Operation] = (),
    patience_s: float = 60.0,
) -> Load:
    """Send a request so many times a second.

    :param status: that each reply has to have.
    :param beside: what else is asked for, each as fast as it is answered; the run ends without waiting for it.
    :raises LoadFailed: the server is silent, or closes a connection.
    """
    load, clock = Load(), time.perf_counter
    total = max(1, int(rate * seconds))
    poll, by_fd, others = select.epoll(), dict[int, Connection](), dict[int, Operation]()
    try:
        idle = deque(_open(connect, poll, by_fd) for _ in range(connections))
        for operation in beside:
            connection = _open(connect, poll, by_fd)
            others[connection.sock.fileno()] = operation
            _send(connection, next(operation), poll)
        due: dict[int, float] = {}
        began, sent, done = clock(), 0, 0
        while done < total:
            now = clock()
            while idle and sent < total and began + sent / rate <= now:
                connection = idle.popleft()
                due[connection.sock.fileno()] = began + sent / rate
                _send(connection, request, poll)
                sent += 1
            wait = patience_s
            if idle and sent < total:
                wait = began + sent / rate - now
                wait = 0.0 if wait < _SPIN_S else wait - _SPIN_S
            elif not due:
                raise LoadFailed("nothing is under way")
            events = poll.poll(wait)
            if not events and not idle:
                raise LoadFailed(f"no reply for {patience_s:.0f} s")
            for fd, event in events:
                connection = by_fd[fd]
                if event & select.EPOLLOUT:
                    _send(connection, b"", poll)
                for reply in _replies(connection):
                    if fd in others:
                        with suppress(StopIteration):
                            _send(connection, others[fd].send(reply), poll)
                        continue
                    load.latencies.append(clock() - due.pop(fd))
                    done += 1
                    if reply.status != status:
                        load.complain(f"status {reply.status}: {reply.body[:200].decode(errors='replace')}")
                    idle.append(connection)
        load.seconds = clock() - began
    except (OSError, ProtocolFailure, Unexpected) as error:
        raise LoadFailed(str(error)) from None
    finally:
        poll.close()
        for connection in by_fd.values():
            connection.close()
    return load


def _open(connect: Connect, poll: select.epoll, by_fd: dict[int, Connection]) -> Connection:
    connection = connect()
    by_fd[connection.sock.fileno()] = connection
    poll.register(connection.sock.fileno(), _READ)
    return connection


def _send(connection: Connection, data: bytes, poll: select.epoll) -> None:
    waited = bool(connection.backlog)
    data = connection.backlog + data
    try:
        sent = connection.sock.send(data) if data else 0
    except BlockingIOError:
        sent = 0
    connection.backlog = data[sent:]
    if waited != bool(connection.backlog):
        poll.modify(connection.sock.fileno(), _BOTH if connection.backlog else _READ)


def _replies(connection: Connection) -> list[Reply]:
    try:
        data = connection.sock.recv(_CHUNK)
    except BlockingIOError:
        return []
    if not data:
        raise ProtocolFailure("the server closed the connection")
    return connection.reader.feed(data)
