"""What is the whole process's: its open files, the level of its log, and the status that it ends with."""

from __future__ import annotations

import atexit
import os
import resource
import sys
from collections.abc import Callable
from contextlib import suppress

from twisted.logger import FilteringLogObserver, LogLevel, LogLevelFilterPredicate, globalLogPublisher

_SPARE_FILES = 256
_FILES_MAX = 1_048_576


def files_for(attempts_wanted: int, caution: Callable[[str], object]) -> tuple[int, int]:
    """How many connections, and how many attempts to deliver, the process may have files for.  See :func:`share_files`.

    :param caution: is told where that is less than is wanted.
    """
    connections, attempts = share_files(_files_max(), attempts_wanted)
    if attempts < attempts_wanted:
        caution(f"this process may have few open files (ulimit -Hn): {attempts} deliveries are made at one time at most")
    return connections, attempts


def _files_max() -> int:
    """How many files the process may have open; 0: any number.

    It takes as many as it may: what systems begin with, often 1,024, is for programs that look through all of them.
    """
    most, allowed = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = min(allowed, _FILES_MAX) if allowed != resource.RLIM_INFINITY else _FILES_MAX
    if most != resource.RLIM_INFINITY and most < wanted:
        with suppress(OSError, ValueError):  # a system may allow less than it says
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, allowed))
            most = wanted
    return 0 if most == resource.RLIM_INFINITY else most


def share_files(files_max: int, attempts_max: int) -> tuple[int, int]:
    """How many connections, and how many attempts to deliver, leave enough descriptors for the store, logs and files.

    :param files_max: that the process may have open; 0: any number.
    :param attempts_max: that are wanted at one time.  Each has a connection, and as many are kept for what comes next.
    :return: both; 0 connections: any number.
    """
    if not files_max:
        return 0, attempts_max
    attempts = max(1, min(attempts_max, files_max // 8))
    return max(1, files_max - min(_SPARE_FILES, files_max // 4) - 2 * attempts), attempts


def set_log_level(level: str) -> None:
    """Have every log observer get events of this level or a higher one only."""
    if level == "debug":
        return
    wanted = LogLevelFilterPredicate(defaultLogLevel=LogLevel.levelWithName(level))
    # The publisher has no public way to name its observers; twistd has chosen them before the service starts.
    for observer in list(globalLogPublisher._observers):
        globalLogPublisher.removeObserver(observer)
        globalLogPublisher.addObserver(FilteringLogObserver(observer, [wanted]))


def end_with_failure() -> None:
    """Have the process end with status 1.

    twistd knows no exit status for a start that fails after the reactor runs.  It has put everything away by then.
    """
    atexit.register(_exit_with_failure)


def _exit_with_failure() -> None:
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(1)
