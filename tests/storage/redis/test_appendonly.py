"""The end of an append-only file."""

from __future__ import annotations

import shutil
import socket
import subprocess
import tempfile
import time
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from zaqar_gateway.storage.redis.appendonly import cut_torn_step
from zaqar_gateway.storage.redis.embedded import find_server

MULTI, SET, EXEC = b"*1\r\n$5\r\nMULTI\r\n", b"*3\r\n$3\r\nSET\r\n$1\r\na\r\n$1\r\n1\r\n", b"*1\r\n$4\r\nEXEC\r\n"
STEP = "redis.call('XADD', KEYS[1], '*', 'a', 'b'); redis.call('ZADD', KEYS[2], 1, redis.call('XLEN', KEYS[1]))"
START_S = 20


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
        program = find_server().program
        kept = ("--appendonly", "yes", "--appendfsync", "always")
        self.process = subprocess.Popen([program, *path, *kept], stdout=subprocess.DEVNULL)
        give_up = time.monotonic() + START_S
        while self.call("PING") != b"+PONG\r\n":
            if time.monotonic() > give_up:
                raise AssertionError("redis-server did not start")

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
        (path,) = self.directory.glob("**/*.incr.aof") if find_server().version >= (7,) else [self.directory / "appendonly.aof"]
        content = path.read_bytes()
        path.write_bytes(content[: content.rindex(b"ZADD") + 2])
        self.assertGreater(cut_torn_step(self.directory), 0)
        self.start()
        self.assertEqual((self.call("XLEN", "s"), self.call("ZCARD", "z")), (b":1\r\n", b":1\r\n"))
        self.call("EVAL", STEP, "2", "s", "z")
        self.kill()
        self.start()
        self.assertEqual((self.call("XLEN", "s"), self.call("ZCARD", "z")), (b":2\r\n", b":2\r\n"))
