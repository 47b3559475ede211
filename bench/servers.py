"""The servers that are compared: those that this benchmark starts, and those that run already."""

import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from random import SystemRandom
from typing import IO
from urllib.parse import urlsplit

import psutil

from bench.api import CLIENT_ID, PROJECT, Api, HttpApi, WebSocketApi
from bench.load.engine import Connect, Connection, LoadFailed, ProtocolFailure
from bench.load.http import HttpReader
from bench.load.websocket import WebSocketReader, authenticate, handshake

ROOT = Path(__file__).resolve().parent.parent
TRANSPORTS = ("http", "websocket")
_CONNECT_S = 10.0
_START_S = 60.0

_PORTS = range(20_000, 32_000)
_chance = SystemRandom()  # processes that begin with the same seed would ask for the same ones
_kept: list[socket.socket] = []
_REDIS = ("redis-server", "valkey-server")


class StartFailed(Exception):
    """A server did not come up."""


@dataclass(frozen=True, slots=True)
class Address:
    """Where a listener is."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class Cores:
    """The cores that servers with their Redis, and the load generator, are held to; ``None`` leaves it to the kernel."""

    server: int | None = 0
    client: int | None = 1

    def __str__(self) -> str:
        if self.server is None:
            return "none"
        return f"servers and their Redis on core {self.server}, load generator on core {self.client}"


@dataclass(frozen=True, slots=True)
class Target:
    """A running server.

    ``redis_pid`` may be a child of a server process; it is counted by itself.  A server that does not pipeline HTTP
    gets as many more connections instead of requests in flight on each, up to ``most_connections``.  ``token`` is what
    requests have to bring, if anything.  It is measured in the scenarios ``only``, where there are some, and never in ``lacks``.
    """

    name: str
    http: Address | None = None
    websocket: Address | None = None
    server_pids: tuple[int, ...] = ()
    redis_pid: int | None = None
    pipelining: bool = True
    most_connections: int | None = None
    about: dict[str, str] = field(default_factory=dict)
    token: str = ""
    only: frozenset[str] = frozenset()
    lacks: frozenset[str] = frozenset()

    def serves(self, scenario: str, transport: str) -> bool:
        """Whether it is measured in a scenario over a transport."""
        if self.address(transport) is None or scenario in self.lacks:
            return False
        return not self.only or scenario in self.only

    def address(self, transport: str) -> Address | None:
        """Where this transport is served, if it is."""
        return self.http if transport == "http" else self.websocket

    def api(self, transport: str, queue: str) -> Api:
        """The API on one queue."""
        return HttpApi(queue, str(self.http), self.token) if transport == "http" else WebSocketApi(queue)

    def lanes(self, transport: str, connections: int, in_flight: int) -> tuple[int, int]:
        """How many connections to open, and how many requests to have in flight on each."""
        if transport != "http":
            return connections, in_flight
        if not self.pipelining:
            connections, in_flight = connections * in_flight, 1
        return min(connections, self.most_connections or connections), in_flight

    def connector(self, transport: str) -> Connect:
        """What opens connections to it."""
        address = self.address(transport)
        if address is None:
            raise LoadFailed(f"{self.name} has no {transport} address")

        def connect() -> Connection:
            try:
                sock = socket.create_connection((address.host, address.port), _CONNECT_S)
            except OSError as error:
                raise LoadFailed(f"no connection to {self.name} at {address}: {error}") from None
            if transport == "http":
                return Connection(sock, HttpReader())
            try:
                rest = handshake(sock, str(address))
                if self.token:
                    rest = authenticate(sock, self.token, PROJECT, CLIENT_ID)
                return Connection(sock, WebSocketReader(rest))
            except (OSError, ProtocolFailure) as error:
                sock.close()
                raise LoadFailed(f"no WebSocket to {self.name} at {address}: {error}") from None

        return connect


def parse_target(text: str) -> Target:
    """A target that runs already, from ``name=http://host:port,ws=ws://host:port,pid=N,redis_pid=N``.

    The first address may be either one.  ``pipelining=no`` and ``most_connections=N`` say what an HTTP server can do.

    :raises ValueError: with what is wrong.
    """
    first, *rest = text.split(",")
    name, equals, url = first.partition("=")
    if not equals or not name or not url:
        raise ValueError(f"{text!r}: a target begins with a name and an address, as in NAME=http://HOST:PORT")
    http = websocket = None
    pid = redis_pid = most = None
    pipelining = True
    for key, value in [("", url), *((key, value) for key, _, value in (each.partition("=") for each in rest))]:
        if key in ("", "http", "ws"):
            scheme, address = _address(value)
            if key and scheme != key:
                raise ValueError(f"{value!r}: {key} takes an address that begins with {key}://")
            if scheme == "http":
                http = address
            else:
                websocket = address
        elif key == "pid":
            pid = _process(value)
        elif key == "redis_pid":
            redis_pid = _process(value)
        elif key == "most_connections":
            most = _number(key, value)
        elif key == "pipelining" and value in ("yes", "no"):
            pipelining = value == "yes"
        else:
            raise ValueError(
                f"{key}={value}: a target takes http, ws, pid, redis_pid, pipelining (yes or no), most_connections"
            )
    about = {"address": ", ".join(f"{each}" for each in (http, websocket) if each), "pinning": "not by this benchmark"}
    return Target(name, http, websocket, (pid,) if pid else (), redis_pid, pipelining, most, about)


def _address(url: str) -> tuple[str, Address]:
    parts = urlsplit(url)
    try:
        port = parts.port
    except ValueError:
        port = None
    if parts.scheme not in ("http", "ws") or not parts.hostname or not port or parts.path not in ("", "/"):
        raise ValueError(f"{url!r}: an address is http://HOST:PORT or ws://HOST:PORT")
    return parts.scheme, Address(parts.hostname, port)


def _number(key: str, value: str) -> int:
    if not value.isdecimal() or int(value) < 1:
        raise ValueError(f"{key}={value}: {key} takes a number, 1 or more")
    return int(value)


def _process(value: str) -> int:
    pid = _number("pid", value)
    if not psutil.pid_exists(pid):
        raise ValueError(f"there is no process {pid}")
    return pid


def free_port() -> int:
    """A port of the loopback interface that nobody has, and that stays so until whoever it is for listens there, and between
    two times that they do.

    It is not one of those that a system gives to connections, and to listeners that ask for any; and as long as this process
    lives no other one is given it here.
    """
    while True:
        port = _chance.choice(_PORTS)
        kept = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)  # who asks here finds it taken, and TCP has the port still
        try:
            kept.bind(("127.0.0.1", port))
            with socket.socket() as tried:
                tried.bind(("127.0.0.1", port))
        except OSError:
            kept.close()
        else:
            _kept.append(kept)
            return port


@contextmanager
def process(
    command: Sequence[str], *, log: Path, core: int | None, cwd: Path | None = None, env: dict[str, str] | None = None
) -> Iterator[subprocess.Popen[bytes]]:
    """A process of ours, held to a core from its first instruction, and ended with all its children."""
    own = os.sched_getaffinity(0)
    with log.open("ab") as output:
        if core is not None:
            os.sched_setaffinity(0, {core})  # what we start inherits it
        try:
            child = _start(command, output, cwd, env)
        finally:
            os.sched_setaffinity(0, own)
    try:
        yield child
    finally:
        family: list[psutil.Process] = []
        with suppress(psutil.NoSuchProcess):
            family = psutil.Process(child.pid).children(recursive=True)
        child.terminate()
        try:
            child.wait(20)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()
        for left in family:  # by now only those that their parent should have ended
            with suppress(psutil.NoSuchProcess):
                left.terminate()
        for left in psutil.wait_procs(family, 10)[1]:
            with suppress(psutil.NoSuchProcess):
                left.kill()


def _start(
    command: Sequence[str], output: IO[bytes], cwd: Path | None, env: dict[str, str] | None
) -> subprocess.Popen[bytes]:
    try:
        return subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, cwd=cwd, env=env, start_new_session=True
        )
    except OSError as error:
        raise StartFailed(f"{command[0]} cannot be started: {error.strerror}") from None


def wait_until(ready: Callable[[], bool], child: subprocess.Popen[bytes], log: Path, what: str) -> None:
    """Wait for a server to come up.

    :raises StartFailed: it ended, or took too long; with the end of its log.
    """
    deadline = time.monotonic() + _START_S
    while not ready():
        ended = child.poll() is not None
        if ended or time.monotonic() > deadline:
            tail = "\n".join(log.read_text(errors="replace").splitlines()[-15:])
            why = f"ended with {child.returncode}" if ended else f"did not come up in {_START_S:.0f} s"
            raise StartFailed(f"{what} {why}; the end of its log:\n{tail}")
        time.sleep(0.1)


def listens(address: Address) -> bool:
    """Whether connections are accepted there."""
    with suppress(OSError), socket.create_connection((address.host, address.port), 1.0):
        return True
    return False


def redis_version(pid: int) -> str:
    """What the redis-server or valkey-server of this process calls itself, as in ``Redis 7.0.15``."""
    with suppress(OSError, psutil.Error, subprocess.SubprocessError, IndexError):
        program = psutil.Process(pid).exe()  # one program of several names, which goes by the first argument
        said = subprocess.run(
            ["redis-server", "--version"], executable=program, capture_output=True, text=True, timeout=10
        )
        name, _, version = said.stdout.partition(" server v=")
        return f"{name} {version.split()[0]}"
    return "Redis unknown"


def revision(root: Path) -> str:
    """The commit that is checked out, with a plus where files differ from it."""
    with suppress(OSError, subprocess.SubprocessError):
        git = ["git", "-C", str(root)]
        said = subprocess.run([*git, "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=True)
        changed = subprocess.run([*git, "status", "--porcelain"], capture_output=True, text=True, check=True)
        return said.stdout.strip() + ("+" if changed.stdout.strip() else "")
    return "unknown"


@contextmanager
def gateway(
    cores: Cores, name: str = "gateway", root: Path = ROOT, settings: Mapping[str, str] | None = None
) -> Iterator[Target]:
    """A gateway from a checkout, with the Redis that it starts itself.

    :param root: the checkout; ``twistd`` is that of the running interpreter.
    :param settings: by the names that they have in the environment, without the prefix.
    :raises StartFailed: it did not come up.
    """
    http, websocket = Address("127.0.0.1", free_port()), Address("127.0.0.1", free_port())
    home = Path(tempfile.mkdtemp(prefix="bench-gateway-"))
    log = home / "log"
    options = [
        f"--http=tcp:{http.port}:interface={http.host}",
        f"--websocket=tcp:{websocket.port}:interface={websocket.host}",
    ]
    command = [str(Path(sys.executable).parent / "twistd"), "-n", "--pidfile=", "zaqar-gateway", *options]
    before = "".join(f"ZAQAR_GATEWAY_{key}={value} " for key, value in (settings or {}).items() if key == "LISTEN_WORKERS")
    path = os.pathsep.join([str(root), *filter(None, [os.environ.get("PYTHONPATH")])])  # also where not installed
    env = {**os.environ, "PYTHONPATH": path, **{f"ZAQAR_GATEWAY_{key}": value for key, value in (settings or {}).items()}}
    try:
        with process([*command, f"--data-dir={home / 'data'}"], log=log, core=cores.server, cwd=root, env=env) as child:
            # Several workers listen before they serve.
            wait_until(lambda: "is ready.\n" in log.read_text() and listens(http) and listens(websocket), child, log, name)
            redis = [each for each in psutil.Process(child.pid).children(recursive=True) if each.name() in _REDIS]
            about = {
                "server": f"zaqar_gateway {revision(root)}",
                "redis": f"{redis_version(redis[0].pid)}, its own child" if redis else "none found",
                "command": f"{before}twistd -n --pidfile= zaqar-gateway {' '.join(options)} --data-dir=DIR",
                "pinning": str(cores),
            }
            yield Target(name, http, websocket, (child.pid,), redis_pid=redis[0].pid if redis else None, about=about)
    finally:
        shutil.rmtree(home, ignore_errors=True)
