"""Unix sockets that are in use, and such as were left behind."""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
import socket
import tempfile
from pathlib import Path
from typing import Any

from twisted.internet import reactor
from twisted.internet.endpoints import serverFromString
from twisted.internet.protocol import Factory, Protocol
from twisted.trial.unittest import TestCase

from tests.helpers import NOBODY
from zaqar_gateway.transport.paths import DirectoryBusy, ListeningReactor

listening: Any = ListeningReactor(reactor)


class PathTests(TestCase):
    """A path to listen at."""

    def setUp(self) -> None:
        self.directory = Path(tempfile.mkdtemp(prefix="zg-", dir="/tmp"))
        self.addCleanup(shutil.rmtree, self.directory)
        self.path = str(self.directory / "socket")
        self.lock = f"{self.path}.lock"

    async def listen(self, endpoint: str = "") -> Any:
        """Listen until the test ends."""
        port = await serverFromString(listening, endpoint or f"unix:{self.path}").listen(Factory.forProtocol(Protocol))
        self.addCleanup(port.stopListening)
        return port

    async def refused(self, endpoint: str = "") -> str:
        """Why it cannot be listened there."""
        error = await self.assertFailure(serverFromString(listening, endpoint or f"unix:{self.path}").listen(Factory()), OSError)
        self.assertNotIsInstance(error, DirectoryBusy)
        return str(error.strerror)

    def other(self, kind: int = socket.SOCK_STREAM, queue: int = 50) -> socket.socket:
        """Somebody else, who has the path."""
        other = socket.socket(socket.AF_UNIX, kind)
        self.addCleanup(other.close)
        other.bind(self.path)
        if kind == socket.SOCK_STREAM:
            other.listen(queue)
        return other

    def connects(self) -> bool:
        """Whether somebody listens at the path."""
        with socket.socket(socket.AF_UNIX) as client:
            return client.connect_ex(self.path) == 0

    async def test_new(self) -> None:
        """Where nothing is there it is listened, with Twisted's lock or without, and all is gone afterwards."""
        for option, has_lock in (("", True), (":lockfile=0", False)):
            port = await serverFromString(listening, f"unix:{self.path}{option}").listen(Factory())
            self.assertTrue(self.connects())
            self.assertEqual(os.path.lexists(self.lock), has_lock)
            await port.stopListening()
            self.assertEqual(os.listdir(self.directory), [])

    async def test_left(self) -> None:
        """What a process left that was killed is in nobody's way, whoever has its number now."""
        for option in ("", ":lockfile=0"):
            for pid in (1, os.getpid(), os.getppid(), 2**22 + 1, None):
                self.other().close()
                if pid:
                    os.symlink(str(pid), self.lock)
                port = await serverFromString(listening, f"unix:{self.path}{option}").listen(Factory())
                self.assertTrue(self.connects())
                if not option:
                    self.assertEqual(os.readlink(self.lock), str(os.getpid()))
                await port.stopListening()
                if os.path.lexists(self.lock):  # without a lock that of another is none of ours
                    os.unlink(self.lock)

    async def test_lock_alone(self) -> None:
        """So it is with a lock without a socket."""
        os.symlink("1", self.lock)
        await self.listen()
        self.assertTrue(self.connects())

    async def test_in_use(self) -> None:
        """Where somebody listens it is refused, with who it is by the lock, and nothing is taken away."""
        self.other()
        self.assertEqual(await self.refused(), f"somebody listens at {self.path} already")
        for pid in (1, 2**22 + 1):  # one that is there, and one of which Twisted knows that it is not
            os.symlink(str(pid), self.lock)
            told = f"somebody listens at {self.path} already (process {pid}, says {self.lock})"
            self.assertEqual(await self.refused(), told)
            self.assertEqual(await self.refused(f"unix:{self.path}:lockfile=0"), told)
            self.assertTrue(self.connects())
            self.assertEqual(os.readlink(self.lock), str(pid))
            os.unlink(self.lock)

    async def test_in_use_otherwise(self) -> None:
        """A listener whose queue is full is one, and so is a socket for datagrams."""
        self.other(queue=0)
        waiting = [socket.socket(socket.AF_UNIX) for _ in range(3)]
        for client in waiting:
            self.addCleanup(client.close)
            client.setblocking(False)
            client.connect_ex(self.path)
        self.assertIn("already", await self.refused())
        os.unlink(self.path)
        self.other(socket.SOCK_DGRAM)
        self.assertIn("already", await self.refused())

    async def test_no_socket(self) -> None:
        """A file, a directory and a link stay, and are named."""
        path = Path(self.path)
        path.write_text("kept", "utf-8")
        for option in ("", ":lockfile=0"):
            self.assertEqual(await self.refused(f"unix:{self.path}{option}"), f"{path} is there, and is no socket")
        self.assertEqual(path.read_text("utf-8"), "kept")
        path.unlink()
        path.symlink_to(self.directory / "nowhere")
        self.assertEqual(await self.refused(), f"{path} is there, and is no socket")
        path.unlink()
        path.mkdir()
        self.assertEqual(await self.refused(), f"{path} is there, and is no socket")

    async def test_no_lock(self) -> None:
        """A file with the name of the lock stays, too."""
        Path(self.lock).write_text("kept", "utf-8")
        self.assertEqual(await self.refused(), f"{self.lock} is there, and is no lock of a socket")
        self.assertEqual(Path(self.lock).read_text("utf-8"), "kept")
        await self.listen(f"unix:{self.path}:lockfile=0")
        self.assertTrue(self.connects())

    async def test_another_user(self) -> None:
        """A socket that may not be connected to, or not be taken away, is named with the reason."""
        if os.geteuid() == 0:  # who may do all
            os.chown(self.directory, NOBODY, -1)
            os.seteuid(NOBODY)
            self.addCleanup(os.seteuid, 0)
        self.other().close()
        os.chmod(self.path, 0)
        self.assertEqual(await self.refused(), f"whether somebody listens at {self.path} cannot be known: Permission denied")
        os.chmod(self.path, 0o600)
        self.directory.chmod(0o500)
        self.addCleanup(self.directory.chmod, 0o700)
        told = f"{self.path}, which an earlier process left behind, cannot be removed: Permission denied"
        self.assertEqual(await self.refused(), told)

    async def test_one_at_a_time(self) -> None:
        """As long as another process looks at sockets of the directory, nothing is done."""
        self.other().close()
        held = os.open(self.directory, os.O_RDONLY)
        fcntl.flock(held, fcntl.LOCK_EX)
        await self.assertFailure(serverFromString(listening, f"unix:{self.path}").listen(Factory()), DirectoryBusy)
        self.assertFalse(self.connects())
        os.close(held)
        await self.listen()
        self.assertTrue(self.connects())

    async def test_no_directory(self) -> None:
        """Where there is no directory, listening says so."""
        error = await self.assertFailure(
            serverFromString(listening, f"unix:{self.directory}/none/socket").listen(Factory()), OSError
        )
        self.assertEqual(error.errno, errno.ENOENT)

    async def test_abstract(self) -> None:
        """A socket of Linux that is no file is listened at as Twisted does."""
        name = f"\0{self.path}"
        await self.listen(f"unix:{name}:lockfile=0")
        with socket.socket(socket.AF_UNIX) as client:
            self.assertEqual(client.connect_ex(name), 0)

    async def test_others(self) -> None:
        """All else of the reactor is there."""
        port = await self.listen("tcp:0:interface=127.0.0.1")
        self.assertTrue(port.getHost().port)
