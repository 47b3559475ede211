"""The append-only file of the embedded Redis: what is left of a step at its end, and how it gets to the disk.

Redis writes what a script did as one transaction (MULTI, the commands, EXEC), and cuts off a command of which a part is missing.  What is
before it in the same transaction it leaves in the file; that has no effect then, but would take effect with the next EXEC, when the
file is read another time.  So all of that step is taken away before Redis reads the file.

Redis can have the file on the disk each second (``appendfsync everysec``), but while the disk is at it, it keeps what comes in its own
memory for up to two seconds, and answers all the same: were it killed then, that would be lost.  With ``appendfsync no`` it hands to
the kernel what it did before each answer, so that no end of a process loses anything, and the disk is left to :class:`Synchroniser`.
"""

from __future__ import annotations

import mmap
import os
import re
from collections.abc import Callable
from pathlib import Path

from twisted.application.internet import TimerService
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorThreads, IReactorTime
from twisted.internet.threads import deferToThreadPool
from twisted.logger import Logger

INTERVAL_S = 1.0
"""How often the file goes to the disk: as often as with ``appendfsync everysec``."""

SLOW_S = 2.0
"""A disk that takes longer is spoken of."""

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


class IThreadingReactor(IReactorThreads, IReactorTime):
    """What a reactor has to offer here."""


class Synchroniser(TimerService):
    """Has on the disk, each second, what Redis wrote to its append-only file.

    A disk that is slow, or fails, is told once, and again when it has recovered.

    :param directory: of the data of Redis.
    :param to_disk: returns when all that was written to an open file is on the disk.
    :raises OSError: (``to_disk``) it cannot be.
    """

    _log = Logger()

    def __init__(self, reactor: IThreadingReactor, directory: Path, to_disk: Callable[[int], None] = _to_disk) -> None:
        super().__init__(INTERVAL_S, lambda: Deferred.fromCoroutine(self._step()))
        self.clock = reactor
        self._reactor = reactor
        self._directory = directory
        self._to_disk = to_disk
        self._synchronised: dict[Path, tuple[int, int, int]] = {}
        self._is_well = True

    async def _step(self) -> None:
        late = self._reactor.callLater(SLOW_S, self._is_slow)
        try:
            await deferToThreadPool(self._reactor, self._reactor.getThreadPool(), self._synchronise)
        except OSError as error:
            if self._is_well:
                self._log.error(
                    "what Redis wrote cannot be brought to the disk: {why}; a crash of the machine may lose it.  Once the disk is mended,"
                    " BGREWRITEAOF has Redis write all of it anew.",
                    why=error.strerror,
                )
            self._is_well = False
        else:
            if late.active() and not self._is_well:
                self._is_well = True
                self._log.info("the disk takes what Redis writes in time again")
        finally:
            if late.active():
                late.cancel()

    def _is_slow(self) -> None:
        if self._is_well:
            self._is_well = False
            self._log.warn(
                "the disk takes longer than {slow_s:.0f} s for what Redis wrote; a crash of the machine may lose as much", slow_s=SLOW_S
            )

    def _synchronise(self) -> None:
        """In a thread, for a disk may take long."""
        before, self._synchronised = self._synchronised, {}
        for path in _parts(self._directory):
            try:
                file = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
            except FileNotFoundError:  # Redis has not begun, or took away a part of which it wrote the content anew
                continue
            try:
                seen = os.fstat(file)
                state = seen.st_ino, seen.st_size, seen.st_mtime_ns
                if before.get(path) != state:
                    self._to_disk(file)
                self._synchronised[path] = state
            finally:
                os.close(file)
