"""A Redis with replicas, and Sentinels that watch it."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

import hiredis

from bench.servers import free_port
from tests.programs import redis_server
from tests.system.gateway import ANSWER_S, START_S, Process, RedisProcess, environment, new_directory, until

NAME = "orders"
QUORUM = 2

_PASSWORD = "p@ss/word"
_SENTINEL_PASSWORD = "s3ntinel&word"


class SentinelProcess:
    """One Sentinel.

    :ivar port: that it listens on.
    """

    def __init__(self, master: RedisProcess, tls: Mapping[str, str] | None) -> None:
        self._directory = new_directory()
        self.port = free_port()
        self._authority = (tls or {}).get("tls-ca-cert-file")
        port = f"port 0\ntls-port {self.port}" if tls else f"port {self.port}"
        files = "".join(f"{name} {value}\n" for name, value in (tls or {}).items())
        configuration = self._directory / "sentinel.conf"
        configuration.write_text(
            f"{port}\nbind 127.0.0.1\ndir {self._directory}\n{files}"
            f"requirepass {_SENTINEL_PASSWORD}\nsentinel sentinel-pass {_SENTINEL_PASSWORD}\n"
            f"sentinel monitor {NAME} 127.0.0.1 {master.port} {QUORUM}\nsentinel auth-pass {NAME} {_PASSWORD}\n"
            f"sentinel down-after-milliseconds {NAME} 1000\nsentinel failover-timeout {NAME} 3000\n"
        )
        self._process = Process(
            [redis_server().program, str(configuration), "--sentinel"], environment(), self._directory
        )
        self._process.wait_for(r"\+monitor master", START_S)

    def told(self) -> dict[str, str]:
        """What it knows of the master."""
        with self._connect() as connection:
            connection.sendall(f"AUTH {_SENTINEL_PASSWORD}\r\nSENTINEL MASTER {NAME}\r\n".encode())
            reader = hiredis.Reader(encoding="utf-8")
            answers: list[Any] = []
            while len(answers) < 2:
                if not (piece := connection.recv(65536)):
                    raise ConnectionError("the Sentinel hung up")
                reader.feed(piece)
                while (answer := reader.gets()) is not False:
                    answers.append(answer)
        words = answers[1]
        return dict(zip(words[::2], words[1::2], strict=True))

    @property
    def leads(self) -> bool:
        """Whether the others have just let it put another server in the place of the master, which nothing stops any more."""
        _, tries, since = self._process.output.rpartition("+try-failover")
        return bool(tries) and "+elected-leader" in since and "-failover-abort" not in since and "+switch-master" not in since

    def _connect(self) -> socket.socket:
        plain = socket.create_connection(("127.0.0.1", self.port), ANSWER_S)
        if self._authority is None:
            return plain
        return ssl.create_default_context(cafile=self._authority).wrap_socket(plain, server_hostname="127.0.0.1")

    def kill(self) -> None:
        """End it at once."""
        self._process.kill()


class WatchedRedis:
    """A master, its replicas, and three Sentinels.

    :param tls: settings of Redis for it, with which nothing is spoken without.
    :ivar servers: of Redis, the first of which is the master at first.
    """

    def __init__(self, replicas: int, tls: Mapping[str, str] | None = None) -> None:
        # What takes part in a failover has each other's passwords, and goes on at once.
        options = "--masterauth", _PASSWORD, "--repl-diskless-sync-delay", "0", "--repl-ping-replica-period", "1"
        self._scheme = "rediss" if tls else "redis"
        first = RedisProcess(_PASSWORD, *options, tls=tls)
        follow = "--replicaof", f"127.0.0.1 {first.port}"
        self.servers = [first, *(RedisProcess(_PASSWORD, *options, *follow, tls=tls) for _ in range(replicas))]
        self.sentinels = [SentinelProcess(first, tls) for _ in range(3)]
        until(lambda: all(self._knows_all(each) for each in self.sentinels), START_S, "Sentinels know all")

    def _knows_all(self, sentinel: SentinelProcess) -> bool:
        told = sentinel.told()
        others = str(len(self.servers) - 1), str(len(self.sentinels) - 1)
        return (told.get("num-slaves"), told.get("num-other-sentinels")) == others and told["flags"] == "master"

    def uri(self, name: str = NAME, password: str = _SENTINEL_PASSWORD) -> str:
        """Where a gateway finds the master."""
        hosts = ",".join(f"127.0.0.1:{each.port}" for each in self.sentinels)
        login = f":{quote(_PASSWORD, safe='')}"
        return f"{self._scheme}://{login}@{hosts}?master={name}&sentinel_password={quote(password, safe='')}"

    @property
    def master(self) -> RedisProcess:
        """Which server is the master, as most Sentinels say."""
        ports = [each.told().get("port") for each in self.sentinels]
        port = max(ports, key=ports.count)
        return next(each for each in self.servers if str(each.port) == port)

    def is_failing_over(self, server: RedisProcess) -> bool:
        """Whether a Sentinel puts another one in the place of a server, or has done so.

        One that has only begun to may yet not be elected, and leaves it at that where the server is there again.
        """
        return any(each.leads or each.told()["port"] != str(server.port) for each in self.sentinels)

    def stop(self) -> None:
        """End all of them."""
        for sentinel in self.sentinels:
            sentinel.kill()
        for server in self.servers:
            server.kill()
