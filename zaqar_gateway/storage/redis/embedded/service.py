"""The life of the embedded Redis."""

from __future__ import annotations

import errno
import os
import shutil
import signal
import sys
import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import cast

from twisted.application.service import Service
from twisted.internet.defer import CancelledError, Deferred, DeferredLock, TimeoutError
from twisted.internet.endpoints import UNIXClientEndpoint
from twisted.internet.error import ConnectError
from twisted.internet.interfaces import IReactorProcess, IReactorUNIX
from twisted.internet.protocol import Factory
from twisted.internet.task import deferLater
from twisted.logger import Logger
from twisted.python.failure import Failure

from zaqar_gateway.storage.redis.embedded.appendonly import Synchroniser, cut_torn_step
from zaqar_gateway.storage.redis.embedded.directory import configuration, hold, is_free, open_lock
from zaqar_gateway.storage.redis.embedded.errors import EmbeddedRedisError, StartFailed
from zaqar_gateway.storage.redis.embedded.process import LAUNCHER, Child, Line
from zaqar_gateway.storage.redis.embedded.program import Server, find_server
from zaqar_gateway.storage.redis.embedded.readers import readers_of
from zaqar_gateway.storage.redis.embedded.room import Guard, Room, room_of
from zaqar_gateway.storage.redis.embedded.watch import IWatchingReactor, Watch

# sun_path of Linux has 108 bytes, that of the BSDs 104, with the zero that ends it.
SOCKET_PATH_MAX = 107 if sys.platform.startswith("linux") else 103
_POLL_S = 0.02
_PROBE_TIMEOUT_S = 5.0
_SIGNAL_AGAIN_S = 0.25
_BACKOFF_MIN_S = 0.1
_BACKOFF_MAX_S = 5.0
_LOG_LINES = 12


class IEmbeddingReactor(IReactorProcess, IReactorUNIX, IWatchingReactor):
    """What a reactor has to offer here."""


class EmbeddedRedis(Service):
    """Runs a private redis-server for as long as the service runs.

    A child that ends is started again, after a pause that grows.  One that never became ready is not: that is
    :exc:`StartFailed`.

    :param directory: its data; made where it is missing, with access for the owner only.
    :param durability: ``memory`` or ``fsync`` (append-only file on the disk each second, or before each answer).
    :param program: the program to take; empty: look for one.
    :param start_timeout_s: how long it may take to answer at all; loading its data is an answer.
    :param stop_timeout_s: how long it may take to end before it is killed, which loses nothing acknowledged either.
    :param runtime: where the socket goes if the directory's path is too long for one; the default is
        ``$XDG_RUNTIME_DIR``, else the directory for temporary files.
    :param look: tells the room on the disk that a directory is on.
    """

    _log = Logger()

    def __init__(
        self,
        reactor: IEmbeddingReactor,
        directory: str,
        *,
        durability: str = "memory",
        program: str = "",
        start_timeout_s: float = 30.0,
        stop_timeout_s: float = 30.0,
        runtime: str = "",
        look: Callable[[Path], Room] = room_of,
    ) -> None:
        self._reactor = reactor
        self._directory = Path(directory).absolute()
        self._durability = durability
        self._guard = Guard(reactor, partial(self._look_at_disk, look), self._refuse_more)
        self._watches: list[Watch] = [self._guard]
        if durability == "memory":
            self._watches.append(Synchroniser(reactor, self._directory, self._write_anew))
        self._program = program
        self._start_timeout_s = start_timeout_s
        self._stop_timeout_s = stop_timeout_s
        self._runtime = runtime or os.environ.get("XDG_RUNTIME_DIR", "") or tempfile.gettempdir()
        self._lock: int | None = None
        self._child: Child | None = None
        self._line: Line | None = None
        self._asking = DeferredLock()
        self._place: tuple[int, int] | None = None  # device and inode of the directory that the child has
        self._socket_directory: str | None = None
        self._task: Deferred[None] | None = None
        self._waiting: list[Deferred[str]] = []
        self._error: BaseException | None = None
        self._ready = False
        self.socket_path = ""

    @property
    def pid(self) -> int | None:
        """The process id of the child, ``None`` while there is none."""
        child = self._child
        return child.transport.pid if child and child.transport and not child.end else None

    @property
    def troubles(self) -> tuple[str, ...]:
        """What is wrong with its disk, in words."""
        return tuple(watch.trouble for watch in self._watches if watch.trouble)

    def whenReady(self) -> Deferred[str]:
        """Fires with the path of the socket while the server answers, at once or when it does so again.

        It fails with :exc:`EmbeddedRedisError` where the server could not be started, which is final, and with
        :exc:`CancelledError` where the service is stopped first.
        """
        waiting: Deferred[str] = Deferred()
        if self._error:
            waiting.errback(self._error)
        elif self._ready:
            waiting.callback(self.socket_path)
        else:
            self._waiting.append(waiting)
        return waiting

    def startService(self) -> None:
        """Begin to start; :meth:`whenReady` tells what becomes of it."""
        super().startService()
        self._error = None
        self._task = Deferred.fromCoroutine(self._run())
        self._task.addErrback(self._failed)

    def stopService(self) -> Deferred[None]:
        """Stop the child; fires when it has ended and the data directory is free."""
        super().stopService()
        return Deferred.fromCoroutine(self._stop())

    async def _stop(self) -> None:
        if self._task:
            self._task.cancel()
        await self._end_child()
        self._let_go()

    def _failed(self, failure: Failure) -> None:
        error: BaseException | None = failure.value
        if not self.running:  # what was waited for was cancelled; _stop lets go when the child has ended
            error = CancelledError()
        else:
            if not self._waiting:  # whoever waits is told, and it is theirs to say
                self._log_failure(failure)
            self._let_go()
        self._ready = False
        self._error = error
        waiting, self._waiting = self._waiting, []
        for each in waiting:
            each.errback(error)

    def _log_failure(self, failure: Failure) -> None:
        if failure.check(EmbeddedRedisError):
            self._log.critical("embedded Redis: {error}", error=failure.getErrorMessage())
        else:
            self._log.failure("embedded Redis cannot be started", failure)

    def _let_go(self) -> None:
        for watch in self._watches:
            if watch.running:
                watch.stopService()
        if self._socket_directory:
            shutil.rmtree(self._socket_directory, ignore_errors=True)
            self._socket_directory = None
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    # -- one life of the service -------------------------------------------------------------------------------------

    async def _run(self) -> None:
        # In the next turn, when the reactor runs, so that whoever is told of a failure can stop it.
        await deferLater(self._reactor, 0)
        try:
            self._lock = hold(self._directory)
            await self._stop_orphan()
            self.socket_path = self._place_socket()
            self._write_configuration()
            readers = readers_of(self._directory)
        except OSError as error:
            raise StartFailed(
                f"the data directory {self._directory} cannot be used: {error.strerror}; storage.data_dir has to name"
                " one that this user may write to."
            ) from error
        server = find_server(self._program, readers=readers)
        try:
            await self._supervise(server)
        finally:
            if self.running:  # else it was cancelled by _stop, which does the same
                await self._end_child()

    async def _supervise(self, server: Server) -> None:
        pause_s = _BACKOFF_MIN_S
        proven = False
        while True:
            began = self._reactor.seconds()
            try:
                log_start = self._log_size()
                self._mend()
                self._child = child = self._spawn(server)
            except (OSError, StartFailed) as error:
                if not proven:
                    raise
                self._log.error(
                    "embedded Redis cannot be started again: {why}; that is tried again in {pause_s:.1f} s", why=str(error), pause_s=pause_s
                )
            else:
                self._guard.begin_anew()
                if await self._until_ready(child):
                    await self._guard.once()
                    self._became_ready(server)
                    proven = True
                    await child.when_ended()
                    self._ready = False
                else:
                    await self._end_child()
                last = self._last_words(child, log_start)
                if not proven:
                    raise StartFailed(
                        f"{server.program} ended with {child.how_it_ended()} before it was ready.  Its last words:\n{last}"
                    )
                self._log.error(
                    "embedded Redis ended with {how}; starting it again in {pause_s:.1f} s.  Its last words:\n{last}",
                    how=child.how_it_ended(),
                    pause_s=pause_s,
                    last=last,
                )
            await deferLater(self._reactor, pause_s)
            lived_s = self._reactor.seconds() - began
            pause_s = _BACKOFF_MIN_S if lived_s > 2 * _BACKOFF_MAX_S else min(2 * pause_s, _BACKOFF_MAX_S)

    def _mend(self) -> None:
        try:
            torn = cut_torn_step(self._directory)
        except OSError as error:
            raise StartFailed(f"the append-only file in {self._directory} cannot be looked at: {error.strerror}.") from error
        if torn:
            self._log.warn(
                "the last step in the append-only file was cut short when Redis ended; its {torn} bytes were taken off", torn=torn
            )

    def _became_ready(self, server: Server) -> None:
        self._ready = True
        for watch in self._watches:
            if not watch.running:
                watch.startService()
        self._log.info(
            "embedded {name} {version} is ready: {program}, process {pid}, data in {directory}",
            name=server.name,
            version=".".join(map(str, server.version)),
            program=server.program,
            pid=self.pid,
            directory=str(self._directory),
        )
        # Later, since whoever waits may stop the service, and a coroutine cannot be cancelled from within.
        self._reactor.callLater(0, self._tell_ready)

    def _tell_ready(self) -> None:
        if self._ready:
            waiting, self._waiting = self._waiting, []
            for each in waiting:
                each.callback(self.socket_path)

    def _spawn(self, server: Server) -> Child:
        child = Child()
        found = os.stat(self._directory)
        self._place = found.st_dev, found.st_ino
        lock = self._directory / "redis.lock"
        # Emptied while nobody holds it, so that the number in it is its holder's or none.
        lock.write_bytes(b"")
        command = [server.program, str(self._directory / "redis.conf")]
        environment = {
            name: value
            for name, value in os.environ.items()
            # What is meant for the gateway: its settings, and what service managers hand to one process.
            if not name.startswith(("ZAQAR_GATEWAY_", "LISTEN_")) and name != "NOTIFY_SOCKET"
        }
        launcher = [sys.executable, "-I", "-S", "-c", LAUNCHER, str(os.getpid()), str(lock), sys.platform, *command]
        self._reactor.spawnProcess(child, sys.executable, launcher, environment, str(self._directory))
        return child

    async def _until_ready(self, child: Child) -> bool:
        """Ask until the child answers.

        :return: whether it does; not if it ended or stayed silent for too long.
        """
        heard = self._reactor.seconds()
        told = False
        while not child.end:
            answer = await self._ask(b"PING")
            if answer.startswith(b"+PONG"):
                return True
            if answer.startswith(b"-LOADING"):
                heard = self._reactor.seconds()
                if not told:
                    self._log.info("embedded Redis is loading its data")
                    told = True
            elif self._reactor.seconds() - heard > self._start_timeout_s:
                self._log.error("embedded Redis gave no answer for {timeout_s} s", timeout_s=self._start_timeout_s)
                return False
            await deferLater(self._reactor, _POLL_S)
        return False

    async def _ask(self, command: bytes) -> bytes:
        """The line that the child says to a command, empty where nobody answers.

        The connection is kept: the socket may be out of reach later, when its directory has been moved or removed.
        """
        async with self._asking:
            if self._line is None or not self._line.is_open:
                endpoint = UNIXClientEndpoint(self._reactor, self.socket_path, timeout=_PROBE_TIMEOUT_S)
                factory = Factory.forProtocol(Line)
                factory.noisy = False
                try:
                    self._line = cast(Line, await endpoint.connect(factory))
                except (ConnectError, OSError):  # the latter where there are no descriptors left
                    return b""
            try:
                return await self._line.ask(command).addTimeout(_PROBE_TIMEOUT_S, self._reactor)
            except TimeoutError:
                return b""

    def _look_at_disk(self, look: Callable[[Path], Room]) -> Room:
        """:raises OSError: it cannot be known, or the directory is not that of the child any more."""
        found = os.stat(self._directory)
        if self._place not in (None, (found.st_dev, found.st_ino)):
            raise FileNotFoundError(errno.ENOENT, "Another directory has its name now")
        return look(self._directory)

    async def _refuse_more(self, refused: bool) -> bool:
        """Have the child refuse what would need more memory, and room on the disk with it, or take it again.

        There are other ways to have a Redis refuse writes, but before version 7 they do not apply in scripts; and with this one
        messages can still be deleted.

        :return: whether it agreed.
        """
        return (await self._ask(b"CONFIG SET maxmemory %d" % refused)).startswith(b"+OK")

    async def _write_anew(self) -> bool:
        """Have the child begin to write its append-only file anew.

        :return: whether it agreed.
        """
        return (await self._ask(b"BGREWRITEAOF")).startswith(b"+")

    async def _end_child(self) -> None:
        child = self._child
        limit = self._reactor.seconds() + self._stop_timeout_s
        while child and not child.end:
            late = self._reactor.seconds() >= limit
            if late:
                self._log.warn("embedded Redis does not stop, killing it", timeout_s=self._stop_timeout_s)
            # Time and again, since one that comes between fork and exec is lost.
            child.signal("KILL" if late else "TERM")
            try:
                await child.when_ended().addTimeout(_SIGNAL_AGAIN_S, self._reactor)
            except TimeoutError:
                pass
        if self._line is not None:
            await self._line.end()

    async def _stop_orphan(self) -> None:
        """Stop a server that outlived the gateway that started it.

        :raises StartFailed: it cannot be stopped.
        """
        file = open_lock(self._directory / "redis.lock")
        try:
            for wanted, patience_s in ((signal.SIGTERM, self._stop_timeout_s), (signal.SIGKILL, _PROBE_TIMEOUT_S)):
                if await self._freed(file, wanted, patience_s):
                    return
            raise StartFailed(f"a redis-server of an earlier gateway on {self._directory} cannot be stopped.")
        finally:
            os.close(file)

    async def _freed(self, file: int, wanted: signal.Signals, patience_s: float) -> bool:
        """Whether the holder of a record lock ended in time after a signal."""
        limit = self._reactor.seconds() + patience_s
        told = False
        while not is_free(file):
            if self._reactor.seconds() > limit:
                return False
            pid = int(os.pread(file, 20, 0) or b"0")  # empty for the moment between locking and writing
            if pid and not told:
                self._log.warn("stopping the redis-server of an earlier gateway, process {pid}", pid=pid)
                _send(pid, wanted)
                told = True
            await deferLater(self._reactor, _POLL_S)
        return True

    def _place_socket(self) -> str:
        """A path that fits into a socket address."""
        near = str(self._directory / "redis.sock")
        if len(os.fsencode(near)) <= SOCKET_PATH_MAX:
            return near
        for base in (self._runtime, tempfile.gettempdir()):
            if os.path.isdir(base) and len(os.fsencode(base)) <= SOCKET_PATH_MAX - 40:
                self._socket_directory = tempfile.mkdtemp(prefix="zaqar-gateway-", dir=base)
                return os.path.join(self._socket_directory, "redis.sock")
        raise StartFailed(
            f"the path of {self._directory} is too long for a socket, and so is that of the directory for temporary"
            " files; give a shorter one in storage.data_dir."
        )

    def _write_configuration(self) -> None:
        path = self._directory / "redis.conf"
        path.unlink(missing_ok=True)
        file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
        with open(file, "w", encoding="ascii") as stream:
            stream.write(configuration(str(self._directory), self.socket_path, self._durability))

    def _log_size(self) -> int:
        try:
            return (self._directory / "redis.log").stat().st_size
        except FileNotFoundError:
            return 0

    def _last_words(self, child: Child, log_start: int) -> str:
        """What the child wrote last, in its log and to its output."""
        try:
            with open(self._directory / "redis.log", "rb") as stream:
                stream.seek(max(log_start, self._log_size() - 65536))
                logged = stream.read()
        except OSError:
            logged = b""
        lines = (logged + child.printed).decode("utf-8", "replace").splitlines()
        return "\n".join(lines[-_LOG_LINES:]) or "(none)"


def _send(pid: int, signal_number: int) -> None:
    try:
        os.kill(pid, signal_number)
    except ProcessLookupError:
        pass  # it ended by itself; its lock is free at the next look
