"""A real redis-server for tests: one process for a whole run, on a Unix socket of its own, emptied for each test."""

from __future__ import annotations

import atexit
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

from twisted.internet import reactor
from twisted.internet.endpoints import UNIXClientEndpoint
from twisted.internet.task import Clock

from tests.programs import redis_server
from zaqar_gateway.model import LogBounds, Quotas
from zaqar_gateway.order import Order
from zaqar_gateway.storage.redis import scripts
from zaqar_gateway.storage.redis.apart import APART_FROM
from zaqar_gateway.storage.redis.commands import Commands
from zaqar_gateway.storage.redis.connection import Redis
from zaqar_gateway.storage.redis.doorbells import Doorbells
from zaqar_gateway.storage.redis.keys import Keys
from zaqar_gateway.storage.redis.store import RedisStorage

START_TIMEOUT_S = 90

TIMEOUT_S = 60.0
"""What a command may take; machines that test are busy."""


class RedisServer:
    """A redis-server without persistence."""

    def __init__(self) -> None:
        self.directory = Path(tempfile.mkdtemp(prefix="zg-"))
        self.path = self.directory / "redis.sock"
        self.process = subprocess.Popen(
            [
                *(redis_server().program, "--port", "0", "--unixsocket", str(self.path)),
                *("--save", "", "--appendonly", "no", "--dir", str(self.directory)),
            ],
            stdout=subprocess.DEVNULL,
        )
        atexit.register(self.stop)
        give_up = time.monotonic() + START_TIMEOUT_S
        while self.call("PING") != b"+PONG\r\n":
            if self.process.poll() is not None or time.monotonic() > give_up:
                raise RuntimeError("redis-server did not start")
            time.sleep(0.005)

    def call(self, *words: str) -> bytes:
        """Send a command; the beginning of what comes back, empty where nothing does."""
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(START_TIMEOUT_S)
            try:
                connection.connect(str(self.path))
                connection.sendall(" ".join(words).encode() + b"\r\n")
                return connection.recv(65536)
            except (FileNotFoundError, ConnectionRefusedError):
                return b""

    def stop(self) -> None:
        """End the process and remove its directory."""
        self.process.kill()
        self.process.wait()
        shutil.rmtree(self.directory, ignore_errors=True)


_shared: list[RedisServer] = []


def shared_server() -> RedisServer:
    """The server of this run, emptied."""
    if not _shared:
        _shared.append(RedisServer())
    _shared[0].call("FLUSHALL")
    return _shared[0]


def connect(
    server: RedisServer, greet: Callable[[Commands], Awaitable[None]] | None = None, order: Order | None = None
) -> Redis:
    """A connection to a server; its service is not started yet."""
    endpoint = UNIXClientEndpoint(reactor, str(server.path))
    return Redis(endpoint, reactor, scripts=scripts.ALL, greet=greet, order=order, timeout_s=TIMEOUT_S)


def storage_at(
    redis: Redis,
    clock: Clock,
    keys: Keys | None = None,
    log_bounds: LogBounds | None = None,
    quotas: Quotas | None = None,
    apart_from: int = APART_FROM,
) -> RedisStorage:
    """A store whose time is that of ``clock``."""
    return RedisStorage(
        redis,
        Doorbells(redis, keys or Keys(), reactor),
        keys,
        now=lambda: int(clock.seconds() * 1000),
        log_bounds=log_bounds or LogBounds(),
        quotas=quotas or Quotas(),
        apart_from=apart_from,
    )
