"""The end of an append-only file, and its way to the disk."""

from __future__ import annotations

import errno
import os
import resource
import shutil
import socket
import subprocess
import tempfile
import time
from pathlib import Path
from typing import cast

from twisted.trial.unittest import SynchronousTestCase

from tests.logs import logged
from tests.programs import redis_server
from tests.storage.redis.embedded.threads import Held, OneThread
from zaqar_gateway.storage.redis.embedded.appendonly import INTERVAL_S, SLOW_S, Synchroniser, cut_torn_step
from zaqar_gateway.storage.redis.embedded.watch import IWatchingReactor

MULTI, SET, EXEC = b"*1\r\n$5\r\nMULTI\r\n", b"*3\r\n$3\r\nSET\r\n$1\r\na\r\n$1\r\n1\r\n", b"*1\r\n$4\r\nEXEC\r\n"
STEP = "redis.call('XADD', KEYS[1], '*', 'a', 'b'); redis.call('ZADD', KEYS[2], 1, redis.call('XLEN', KEYS[1]))"
START_S = 90


class FileTests(SynchronousTestCase):
    """What is taken off."""

    def cut(self, content: bytes, name: str = "appendonlydir/appendonly.aof.2.incr.aof") -> tuple[int, bytes]:
        """How much of a file with this content is taken off, and what is left."""
        directory = Path(self.mktemp())
        path = directory / name
        path.parent.mkdir(parents=True)
        path.write_bytes(content)
        return cut_torn_step(directory), path.read_bytes()

    def test_torn(self) -> None:
        """A step of which anything is missing, from where it begins."""
        whole = SET + MULTI + SET + SET + EXEC
        for end in range(len(MULTI), len(MULTI + SET + EXEC)):
            torn = (MULTI + SET + EXEC)[:end]
            self.assertEqual(self.cut(whole + torn), (end, whole), end)
        self.assertEqual(self.cut(whole + MULTI + SET, "appendonly.aof"), (len(MULTI + SET), whole))

    def test_whole(self) -> None:
        """Of other files nothing; a command that is cut short is Redis' business."""
        for content in (b"", SET, MULTI + SET + EXEC, MULTI + SET + EXEC + SET[:9], MULTI + SET + EXEC + MULTI[:9]):
            self.assertEqual(self.cut(content), (0, content))
        self.assertEqual(cut_torn_step(Path(self.mktemp())), 0)

    def test_last_part(self) -> None:
        """Only the part that is written last is looked at, whatever the names of the others are."""
        directory = Path(self.mktemp())
        (directory / "appendonlydir").mkdir(parents=True)
        for name in ("appendonly.aof.9.incr.aof", "appendonly.aof.10.incr.aof", "appendonly.aof.11.base.rdb"):
            (directory / "appendonlydir" / name).write_bytes(MULTI + SET)
        self.assertEqual(cut_torn_step(directory), len(MULTI + SET))
        self.assertEqual((directory / "appendonlydir/appendonly.aof.9.incr.aof").stat().st_size, len(MULTI + SET))


class RedisTests(SynchronousTestCase):
    """With a real Redis."""

    def setUp(self) -> None:
        self.directory = Path(tempfile.mkdtemp(prefix="zg-"))
        self.addCleanup(shutil.rmtree, self.directory)
        self.process: subprocess.Popen[bytes] | None = None
        self.addCleanup(self.kill)

    def start(self) -> None:
        path = ("--unixsocket", str(self.directory / "s"), "--port", "0", "--dir", str(self.directory), "--save", "")
        program = redis_server().program
        kept = ("--appendonly", "yes", "--appendfsync", "always")
        self.process = subprocess.Popen([program, *path, *kept], stdout=subprocess.DEVNULL)
        give_up = time.monotonic() + START_S
        while self.call("PING") != b"+PONG\r\n":
            if time.monotonic() > give_up:
                raise AssertionError("redis-server did not start")
            time.sleep(0.005)

    def kill(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait()

    def call(self, *words: str) -> bytes:
        command = b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%b\r\n" % (len(word), word.encode()) for word in words)
        with socket.socket(socket.AF_UNIX) as connection:
            try:
                connection.connect(str(self.directory / "s"))
                connection.sendall(command)
                return connection.recv(4096)
            except (FileNotFoundError, ConnectionError):
                return b""

    def test_no_half_step(self) -> None:
        """A step of which Redis, killed, has written a part is not done, and stays so when it is killed again."""
        self.start()
        for _ in range(2):
            self.call("EVAL", STEP, "2", "s", "z")
        self.kill()
        (path,) = self.directory.glob("**/*.incr.aof") if redis_server().version >= (7,) else [self.directory / "appendonly.aof"]
        content = path.read_bytes()
        path.write_bytes(content[: content.rindex(b"ZADD") + 2])
        self.assertGreater(cut_torn_step(self.directory), 0)
        self.start()
        self.assertEqual((self.call("XLEN", "s"), self.call("ZCARD", "z")), (b":1\r\n", b":1\r\n"))
        self.call("EVAL", STEP, "2", "s", "z")
        self.kill()
        self.start()
        self.assertEqual((self.call("XLEN", "s"), self.call("ZCARD", "z")), (b":2\r\n", b":2\r\n"))


class HeldSynchroniser(Held, Synchroniser):
    """One whose threads are held."""


class SynchroniserTests(SynchronousTestCase):
    """When what goes to the disk."""

    def setUp(self) -> None:
        self.directory = Path(self.mktemp())
        (self.directory / "appendonlydir").mkdir(parents=True)
        self.clock = OneThread()
        self.went: list[bytes] = []
        self.error: OSError | None = None
        self.anew = 0
        self.agrees = True
        self.log = logged(self)
        self.synchroniser = HeldSynchroniser(
            cast(IWatchingReactor, self.clock), self.directory, self.write_anew, self.to_disk
        )

    def start(self) -> None:
        """Start it, on a file with something in it."""
        self.append(b"1")
        self.synchroniser.startService()
        self.addCleanup(self.synchroniser.stopService)

    def to_disk(self, file: int) -> None:
        """Have an open file on the disk."""
        if self.error:
            raise self.error
        self.went.append(os.pread(file, 100, 0))

    async def write_anew(self) -> bool:
        """Be the Redis."""
        self.anew += 1
        return self.agrees

    def append(self, content: bytes, name: str = "appendonlydir/appendonly.aof.1.incr.aof") -> None:
        """Do what Redis does."""
        with (self.directory / name).open("ab") as file:
            file.write(content)

    def turn(self) -> list[bytes]:
        """What goes to the disk in a second, and what the threads then have to do."""
        self.went = []
        self.synchroniser.work()
        self.clock.advance(INTERVAL_S)
        return self.went

    def told(self) -> list[str]:
        """The levels of what has been logged since the last time."""
        return self.log.levels("Synchroniser")

    def test_each_second(self) -> None:
        """What was written goes to the disk once, in the next second."""
        self.start()
        self.assertEqual([self.turn(), self.turn()], [[b"1"], []])
        self.append(b"2")
        self.assertEqual([self.turn(), self.turn()], [[b"12"], []])

    def test_parts(self) -> None:
        """All parts that Redis appends to go to the disk, as they come and go, and nothing else."""
        self.append(b"old", "appendonly.aof")
        self.start()
        self.append(b"2", "appendonlydir/appendonly.aof.10.incr.aof")
        self.append(b"no", "appendonlydir/appendonly.aof.10.base.rdb")
        self.assertEqual(self.turn(), [b"1", b"2"])
        (self.directory / "appendonlydir/appendonly.aof.1.incr.aof").unlink()
        self.append(b"3", "appendonlydir/appendonly.aof.10.incr.aof")
        self.assertEqual([self.turn(), self.turn()], [[b"23"], []])

    def test_one_file(self) -> None:
        """So does the one file of a Redis before version 7; another one in its place is another one, whatever is in it."""
        (self.directory / "appendonlydir").rmdir()
        self.append(b"1", "appendonly.aof")
        self.synchroniser.startService()
        self.addCleanup(self.synchroniser.stopService)
        self.assertEqual([self.turn(), self.turn()], [[b"1"], []])
        self.append(b"2", "new")
        (self.directory / "new").rename(self.directory / "appendonly.aof")
        self.assertEqual(self.turn(), [b"2"])

    def test_slow(self) -> None:
        """A disk that is slow is waited for, not asked again, and told once."""
        self.start()
        self.clock.advance(SLOW_S / 2)
        self.assertEqual((self.synchroniser.busy, self.told()), (1, []))
        self.clock.advance(SLOW_S / 2)
        self.clock.advance(10 * SLOW_S)
        self.assertEqual((self.synchroniser.busy, self.told()), (1, ["warn"]))
        self.assertEqual((self.turn(), self.told()), ([b"1"], []))
        self.append(b"2")
        self.assertEqual((self.turn(), self.told()), ([b"12"], ["info"]))
        self.append(b"3")
        self.assertEqual((self.turn(), self.told()), ([b"123"], []))

    def test_failure(self) -> None:
        """A disk that fails is told once; when it does no more, Redis writes all of it anew."""
        self.error = OSError(errno.EIO, os.strerror(errno.EIO))
        self.start()
        self.assertEqual((self.turn(), self.turn()), ([], []))
        self.assertIn("Input/output error", list(self.log)[-1]["why"])
        self.assertEqual((self.told(), self.anew), (["error"], 0))
        self.error, self.agrees = None, False
        self.assertEqual((self.turn(), self.told(), self.anew), ([b"1"], [], 1))
        self.agrees = True
        self.turn()
        self.turn()
        self.assertEqual((self.told(), self.anew), (["info"], 2))

    def test_no_descriptors(self) -> None:
        """Where the file cannot be opened for want of descriptors, the disk has not failed, and there is nothing to write anew."""
        self.start()
        limits = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (1, limits[1]))
        try:
            self.turn()
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, limits)
        self.assertEqual(self.told(), ["error"])
        self.assertEqual((self.turn(), self.told(), self.anew), ([b"1"], ["info"], 0))
        self.error = OSError(errno.EIO, os.strerror(errno.EIO))
        self.append(b"2")
        self.turn()
        self.error = None
        self.assertEqual((self.turn(), self.told(), self.anew), ([b"12"], ["error", "info"], 1))

    def test_slow_and_failure(self) -> None:
        """One that fails after it was slow is told to have failed."""
        self.error = OSError(errno.EIO, os.strerror(errno.EIO))
        self.start()
        self.clock.advance(SLOW_S)
        self.turn()
        self.assertEqual(self.told(), ["warn", "error"])

    def test_gone(self) -> None:
        """A file that is gone is told as a failure is."""
        self.start()
        self.turn()
        shutil.rmtree(self.directory)
        self.turn()
        self.turn()
        self.assertIn("no append-only file", list(self.log)[-1]["why"])
        self.assertEqual(self.told(), ["error"])

    def test_stop(self) -> None:
        """Nothing is left of it after a stop, whenever that is."""
        self.start()
        self.synchroniser.stopService()
        self.synchroniser.work()
        self.assertEqual((self.went, self.clock.getDelayedCalls()), ([b"1"], []))
