"""The directory of the embedded Redis: whose it is, and the configuration in it."""

from __future__ import annotations

import fcntl
import os
import re
from pathlib import Path

from zaqar_gateway.storage.redis.embedded.errors import DataDirInUse


def open_lock(path: Path) -> int:
    """Open a file that locks are held on."""
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)


def hold(directory: Path) -> int:
    """Make the data directory ours.

    :return: the descriptor that holds the lock.
    :raises DataDirInUse: it is another gateway's.
    """
    directory.mkdir(mode=0o700, parents=True, exist_ok=True)
    lock = open_lock(directory / "lock")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        holder = os.pread(lock, 20, 0).decode("ascii", "replace") or "unknown"
        os.close(lock)
        raise DataDirInUse(
            f"the data directory {directory} is in use by another gateway (process {holder}); stop that one, or give"
            " this one a directory of its own in storage.data_dir."
        ) from None
    os.ftruncate(lock, 0)
    os.pwrite(lock, b"%d" % os.getpid(), 0)
    return lock


def _quoted(path: str) -> str:
    """A path as an argument in a Redis configuration file."""
    return '"{}"'.format(
        re.sub(rb"[^A-Za-z0-9/_.,:@%+=~-]", lambda byte: b"\\x%02x" % byte[0][0], os.fsencode(path)).decode("ascii")
    )


def configuration(directory: str, socket: str, durability: str) -> str:
    """The configuration file of the child.

    A field of a small hash, or a member of a small sorted set, is looked for from its beginning.  With a hundred or two of messages
    claimed, and small meaning 128, it takes a sixth of a claim of twenty and its deletion.  The names are those of Redis 6.2, which
    later versions understand.

    An entry of a stream is looked for from the beginning of its node.  Nodes of 2 KiB, in place of 4, save a tenth of a deletion of
    twenty by ids and of getting one, for a hundredth of the memory; with 1 KiB it is a sixth of the memory.

    The append-only file is written anew where it has grown to twice of what it was then, and is of some size.  With the 64 MB of
    Redis a few clients with large messages have that done every second, and each time others wait for some 50 ms where there is one
    core.  To read 256 MB at a start takes some seconds.
    """
    sync = "always" if durability == "fsync" else "no"
    return f"""# Written by zaqar-gateway at each start.
port 0
unixsocket {_quoted(socket)}
unixsocketperm 700
daemonize no
dir {_quoted(directory)}
logfile {_quoted(os.path.join(directory, "redis.log"))}
save ""
appendonly yes
appendfilename appendonly.aof
appendfsync {sync}
aof-use-rdb-preamble yes
auto-aof-rewrite-min-size 256mb
maxmemory-policy noeviction
hash-max-ziplist-entries 32
zset-max-ziplist-entries 32
stream-node-max-bytes 2048
"""


def is_free(file: int) -> bool:
    """Whether no other process holds a record lock on a file."""
    try:
        fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError):
        return False
    return True
