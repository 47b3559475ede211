"""What a worker gets from its keeper before anything else, over a pipe: secrets stand neither in its arguments nor in its environment.

Each worker gets the same settings, those that the keeper has read, whenever it is started.
"""

from __future__ import annotations

import pickle
from collections.abc import Callable

from attrs import frozen

from zaqar_gateway import __version__
from zaqar_gateway.config import Settings

COMMANDS_FD = 0
"""Where a worker reads: the handover, then a line for each thing that its keeper wants.  It ends when the keeper does."""

TIDINGS_FD = 3
"""Where it writes what its keeper is to know (:mod:`zaqar_gateway.workers.tidings`)."""

LISTENERS_FD = 4
"""Where the listening sockets begin."""

ASK, HANG_UP, MEASURE, REPORT = b"ask", b"hang up", b"measure", b"report"
"""Those things: to say that it is there, to do what SIGHUP asks for, and to tell its metrics and its health, for operators."""


class OtherVersion(Exception):
    """The keeper is of another version than the package that is installed now; the text is for people."""


@frozen
class Handover:
    """All that a worker needs to know.

    :ivar number: of the worker, from 1.
    :ivar redis_socket: of the embedded Redis, if there is one; else empty.
    :ivar http: descriptors of the listeners of ``listen.http``, in their order; :ivar websocket: of those of ``listen.websocket``.
    :ivar reactor: the name of the module of the keeper's reactor.
    """

    settings: Settings
    number: int
    redis_socket: str
    http: tuple[int, ...]
    websocket: tuple[int, ...]
    reactor: str

    def packed(self) -> bytes:
        """As it goes through the pipe."""
        content = pickle.dumps(self)
        return b"%b %d\n%b" % (__version__.encode(), len(content), content)


def unpack(read: Callable[[int], bytes]) -> Handover:
    """The handover that a pipe brings.

    :param read: gives at most so many bytes, and none where the pipe has ended.
    :raises OtherVersion: it cannot be known what it says.
    :raises EOFError: the keeper has ended.
    """
    head = b""
    while not head.endswith(b"\n"):
        head += _exactly(read, 1)
    version, size = head.split()
    if version.decode() != __version__:
        raise OtherVersion(
            f"version {__version__} is installed now, and version {version.decode()} runs; the gateway has to be started again"
        )
    # Only the keeper has the other end of the pipe.
    given = pickle.loads(_exactly(read, int(size)))
    assert isinstance(given, Handover)
    return given


def _exactly(read: Callable[[int], bytes], size: int) -> bytes:
    content = b""
    while len(content) < size:
        part = read(size - len(content))
        if not part:
            raise EOFError
        content += part
    return content
