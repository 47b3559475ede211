"""Unix sockets to listen on, whose paths outlive the processes that made them."""

from __future__ import annotations

import errno
import fcntl
import os
import socket
import stat
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

from twisted.internet.interfaces import IListeningPort, IProtocolFactory
from zope.interface import directlyProvides, providedBy

_NO_LOCKS = (errno.EBADF, errno.ENOLCK, errno.EOPNOTSUPP)
"""What file systems answer that have no locks for directories."""

_LISTENS = (errno.EAGAIN, errno.EINPROGRESS, errno.EPROTOTYPE)
"""What connecting is answered where somebody listens all the same: the queue is full, or the socket is of another type."""


class DirectoryBusy(Exception):
    """Another process is just about to listen in the same directory; that takes milliseconds."""


class ListeningReactor:
    """A reactor that listens on a Unix socket wherever nobody else does.

    Twisted has a lock beside a socket, a link that names a process.  A process that was killed leaves both behind.  Where its
    number is another one's by then, as in a container nearly always, Twisted takes the socket for one in use; and where
    it is none, as in another container with the same directory, it takes away one that is.  So the socket itself is asked.

    :param reactor: which does all else.
    :param locks: whether gateways that do so in one directory do it one after the other.
    """

    def __init__(self, reactor: Any, *, locks: bool = True) -> None:
        self._reactor = reactor
        self._locks = locks
        directlyProvides(self, providedBy(reactor))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._reactor, name)

    def listenUNIX(
        self, address: str, factory: IProtocolFactory, backlog: int = 50, mode: int = 0o666, wantPID: int = 0
    ) -> IListeningPort:
        """See :class:`~twisted.internet.interfaces.IReactorUNIX`.

        :raises OSError: somebody listens there, or what is there has to stay; the text names it.
        :raises DirectoryBusy: it has to be tried again.
        """
        if address.startswith("\0"):  # one of Linux's, outside of all directories, goes with its process
            return self._listen(address, factory, backlog, mode, wantPID)
        with _alone(os.path.dirname(address) or ".") if self._locks else nullcontext():
            if _was_left(address):
                _remove(address)
            if wantPID and _is_lock(f"{address}.lock"):
                _remove(f"{address}.lock")
            return self._listen(address, factory, backlog, mode, wantPID)

    def _listen(self, *arguments: Any) -> IListeningPort:
        port: IListeningPort = self._reactor.listenUNIX(*arguments)
        return port


@contextmanager
def _alone(directory: str) -> Iterator[None]:
    """Keep other gateways from looking at sockets of a directory, and taking them away, at the same time.

    :raises DirectoryBusy: one does.
    """
    try:
        held = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError:  # it is not there, as listening will tell, or may be written to and not be read
        held = None
    try:
        if held is not None:
            _lock(held)
        yield
    finally:
        if held is not None:
            os.close(held)


def _lock(directory: int) -> None:
    try:
        fcntl.flock(directory, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise DirectoryBusy from None
    except OSError as error:
        if error.errno not in _NO_LOCKS:
            raise


def _was_left(path: str) -> bool:
    """Whether a path is that of a socket that nobody listens on.

    :raises OSError: somebody does, that cannot be known, or there is something else.
    """
    try:
        found = os.lstat(path)
    except OSError:  # mostly since nothing is there; what else it may be, listening will tell
        return False
    if not stat.S_ISSOCK(found.st_mode):
        raise OSError(errno.EEXIST, f"{path} is there, and is no socket")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as asking:
        asking.setblocking(False)
        try:
            asking.connect(path)
        except ConnectionRefusedError:
            return True
        except FileNotFoundError:  # whoever listened there has just ended
            return False
        except OSError as error:
            if error.errno not in _LISTENS:
                raise OSError(error.errno, f"whether somebody listens at {path} cannot be known: {error.strerror}") from None
    raise OSError(errno.EADDRINUSE, f"somebody listens at {path} already{_holder(f'{path}.lock')}")


def _holder(lock: str) -> str:
    """Who has a lock, as it says."""
    try:
        return f" (process {int(os.readlink(lock))}, says {lock})"
    except (OSError, ValueError):
        return ""


def _is_lock(path: str) -> bool:
    """Whether there is a lock; nobody listens on its socket.

    :raises OSError: there is something else.
    """
    if os.path.lexists(path) and not os.path.islink(path):
        raise OSError(errno.EEXIST, f"{path} is there, and is no lock of a socket")
    return os.path.islink(path)


def _remove(path: str) -> None:
    try:
        os.unlink(path)
    except FileNotFoundError:
        pass
    except OSError as error:
        raise OSError(error.errno, f"{path}, which an earlier process left behind, cannot be removed: {error.strerror}") from None
