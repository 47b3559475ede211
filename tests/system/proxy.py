"""A network that fails on command: a TCP proxy between a client and a gateway."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable


class Proxy:
    """Passes bytes on, until it is told not to.

    :ivar target: host and port of the gateway.
    :ivar blocked: says of a piece that a client sent whether its connection is ended instead; a request is one piece.
    :ivar stopped: how many connections were ended so.
    """

    def __init__(self, target: tuple[str, int]) -> None:
        self.target = target
        self.blocked: Callable[[bytes], bool] = lambda head: False
        self.stopped = 0
        self._is_cut = False
        self._lock = threading.Lock()
        self._open: set[socket.socket] = set()
        self._listener = socket.create_server(("127.0.0.1", 0))
        threading.Thread(target=self._accept, daemon=True).start()

    @property
    def port(self) -> int:
        """Where it listens."""
        return int(self._listener.getsockname()[1])

    def cut(self) -> None:
        """End all connections without a word, and refuse new ones."""
        with self._lock:
            self._is_cut = True
        self.drop()

    def restore(self) -> None:
        """Accept connections again."""
        self._is_cut = False

    def drop(self) -> None:
        """End all connections."""
        with self._lock:
            ended, self._open = self._open, set()
        for connection in ended:
            _end(connection)

    def close(self) -> None:
        """End everything."""
        self.cut()
        _end(self._listener)
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        with client:
            try:
                with socket.create_connection(self.target) as gateway:
                    with self._lock:  # so that a cut does not overlook it
                        if self._is_cut:
                            return
                        self._open |= {client, gateway}
                    back = threading.Thread(target=_copy, args=(gateway, client, _everything), daemon=True)
                    back.start()
                    _copy(client, gateway, self._passes)
                    back.join()
                    with self._lock:
                        self._open -= {client, gateway}
            except OSError:  # the gateway is not there
                return

    def _passes(self, piece: bytes) -> bool:
        is_blocked = self.blocked(piece)
        self.stopped += is_blocked
        return not is_blocked


def _everything(piece: bytes) -> bool:
    return True


def _copy(source: socket.socket, target: socket.socket, passes: Callable[[bytes], bool]) -> None:
    try:
        while (piece := source.recv(65536)) and passes(piece):
            target.sendall(piece)
    except OSError:  # one side hung up
        pass
    _end(source)
    _end(target)


def _end(connection: socket.socket) -> None:
    try:
        connection.shutdown(socket.SHUT_RDWR)
    except OSError:  # it has ended
        pass
