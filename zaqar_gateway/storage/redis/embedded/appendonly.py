"""The append-only file of the embedded Redis: what is left of a step at its end, and how it gets to the disk.

Redis writes what a script did as one transaction (MULTI, the commands, EXEC), and cuts off a command of which a part is missing.  What is
before it in the same transaction it leaves in the file; that has no effect then, but would take effect with the next EXEC, when the
file is read another time.  So all of that step is taken away before Redis reads the file.

Redis can have the file on the disk each second (``appendfsync everysec``), but while the disk is at it, it keeps what comes in its own
memory for up to two seconds, and answers all the same: were it killed then, that would be lost.  With ``appendfsync no`` it hands to
the kernel what it did before each answer, so that no end of a process loses anything, and the disk is left to :class:`Synchroniser`.
"""

from __future__ import annotations

import errno
import mmap
import os
import re
from collections.abc import Awaitable, Callable
from pathlib import Path

from twisted.logger import Logger

from zaqar_gateway.storage.redis.embedded.watch import IWatchingReactor, Watch

INTERVAL_S = 1.0
"""How often the file goes to the disk: as often as with ``appendfsync everysec``."""

SLOW_S = 2.0
"""A disk that takes longer is spoken of."""

_NO_DESCRIPTORS = frozenset((errno.EMFILE, errno.ENFILE))

_MULTI, _EXEC = b"*1\r\n$5\r\nMULTI\r\n", b"*1\r\n$4\r\nEXEC\r\n"  # no body has these: in JSON text an asterisk is within a string
_PART = re.compile(r"\.([0-9]+)\.incr\.aof$")

# What is known of a file besides its size and place is of no use when it is read again; not all systems have it.
_to_disk: Callable[[int], None] = getattr(os, "fdatasync", os.fsync)


def _parts(directory: Path) -> list[Path]:
    """The files that Redis appends to, the one that is written last at the end: one before version 7, then one or a few."""
    parts = [(int(found[1]), path) for path in directory.glob("appendonlydir/*.aof") if (found := _PART.search(path.name))]
    return [path for _, path in sorted(parts)] or [directory / "appendonly.aof"]


def cut_torn_step(directory: Path) -> int:
    """Take a step of which the end is missing off the file that is written last.

    :param directory: of the data of a Redis that does not run.
    :return: how many bytes were taken off; mostly 0.
    :raises OSError: the file cannot be read or written.
    """
    path = _parts(directory)[-1]
    size = path.stat().st_size if path.is_file() else 0
    if not size:
        return 0
    with path.open("r+b") as file:
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            begins = data.rfind(_MULTI)
            is_whole = begins < 0 or data.rfind(_EXEC) > begins
        if is_whole:
            return 0
        file.truncate(begins)
    return size - begins


class Synchroniser(Watch):
    """Has on the disk, each second, what Redis wrote to its append-only file.

    A disk that is slow is told once, and one that fails too; and when it has recovered.  What it did not take may be missing from the
    file then, since systems take it for written after they have told so once.  So Redis writes all of it anew.

    :param directory: of the data of a Redis that has begun to write.
    :param write_anew: has Redis do so.
    :param to_disk: returns when all that was written to an open file is on the disk.
    :raises OSError: (``to_disk``) it cannot be.
    """

    _log = Logger()

    def __init__(
        self,
        reactor: IWatchingReactor,
        directory: Path,
        write_anew: Callable[[], Awaitable[bool]],
        to_disk: Callable[[int], None] = _to_disk,
    ) -> None:
        super().__init__(reactor)
        self._directory = directory
        self._write_anew = write_anew
        self._to_disk = to_disk
        self._synchronised: dict[Path, tuple[int, int, int]] = {}
        self._is_slow = self._has_failed = False
        self._may_lack = False  # something, since the disk has failed, and not only to open the file

    async def step(self) -> float:
        late = self._reactor.callLater(SLOW_S, self._tell_slow)
        try:
            await self.in_thread(self._synchronise)
        except OSError as error:
            if not self._has_failed:
                self._log.error(
                    "what Redis wrote cannot be brought to the disk: {why}; a crash of the machine may lose it", why=error.strerror
                )
            self._has_failed = True
            self.trouble = f"what Redis wrote cannot be brought to the disk: {error.strerror}"
            self._may_lack = self._may_lack or error.errno not in _NO_DESCRIPTORS
        else:
            if self._may_lack:
                if await self._write_anew():
                    self._has_failed = self._may_lack = False
                    self._log.info("the disk takes what Redis writes again; Redis writes all of it anew")
            elif self._has_failed:
                self._has_failed = False
                self._log.info("what Redis wrote is brought to the disk again")
            elif self._is_slow and late.active():
                self._log.info("the disk takes what Redis writes in time again")
        finally:
            if late.active():
                self._is_slow = False
                late.cancel()
            if not self._has_failed:
                self.trouble = ""
        return INTERVAL_S

    def _tell_slow(self) -> None:
        if not self._is_slow:
            self._log.warn(
                "the disk takes longer than {slow_s:.0f} s for what Redis wrote; a crash of the machine may lose as much", slow_s=SLOW_S
            )
        self._is_slow = True
        self.trouble = self.trouble or f"the disk takes longer than {SLOW_S:.0f} s for what Redis wrote"

    def _synchronise(self) -> None:
        for _ in range(2):  # Redis may just have taken away the only part that was seen, for another one
            before, self._synchronised = self._synchronised, {}
            for path in _parts(self._directory):
                try:
                    file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
                except FileNotFoundError:
                    continue
                try:
                    seen = os.fstat(file)
                    state = seen.st_ino, seen.st_size, seen.st_mtime_ns
                    if before.get(path) != state:
                        self._to_disk(file)
                    self._synchronised[path] = state
                finally:
                    os.close(file)
            if self._synchronised:
                return
        raise FileNotFoundError(errno.ENOENT, f"there is no append-only file in {self._directory}")
