"""The process of the embedded Redis, and how it is asked something."""

from __future__ import annotations

from collections import deque
from typing import Any

from twisted.internet.defer import Deferred, succeed
from twisted.internet.error import ProcessExitedAlready
from twisted.internet.protocol import ProcessProtocol, connectionDone
from twisted.protocols.basic import LineOnlyReceiver
from twisted.python.failure import Failure

# What runs in the child before Redis does.  A session of its own keeps Ctrl-C in a terminal from reaching it, since
# the gateway stops it when the last request is done.  1 is PR_SET_PDEATHSIG; it is kept by exec.  The parent may have
# ended before that call.
LAUNCHER = """
import ctypes, fcntl, os, sys
parent, lock, platform, program = int(sys.argv[1]), sys.argv[2], sys.argv[3], sys.argv[4:]
os.setsid()
os.umask(0o077)
if platform.startswith("linux"):
    ctypes.CDLL(None).prctl(1, 15)
if os.getppid() != parent:
    sys.exit("the gateway has ended")
fd = os.open(lock, os.O_RDWR | os.O_CREAT, 0o600)
fcntl.lockf(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
os.ftruncate(fd, 0)
os.write(fd, b"%d" % os.getpid())
os.set_inheritable(fd, True)
os.execv(program[0], program)
"""


class Child(ProcessProtocol):
    """One run of the program."""

    def __init__(self) -> None:
        self.printed = b""
        self.end: Failure | None = None
        self._waiting: list[Deferred[None]] = []

    def outReceived(self, data: bytes) -> None:
        self.printed = (self.printed + data)[-4096:]

    errReceived = outReceived

    def processExited(self, reason: Failure) -> None:
        # Not processEnded, which waits until all that have its pipes are gone: a child of the child may live on.
        self.end = reason
        waiting, self._waiting = self._waiting, []
        for each in waiting:
            each.callback(None)

    def when_ended(self) -> Deferred[None]:
        """Fires when the process has ended."""
        if self.end:
            return succeed(None)
        waiting: Deferred[None] = Deferred()
        self._waiting.append(waiting)
        return waiting

    def signal(self, name: str) -> None:
        """Send a signal; one that is gone needs none."""
        try:
            if self.transport:
                self.transport.signalProcess(name)
        except ProcessExitedAlready:
            pass

    def how_it_ended(self) -> str:
        value: Any = self.end.value if self.end else None
        signal_number = getattr(value, "signal", None)
        return f"signal {signal_number}" if signal_number else f"status {getattr(value, 'exitCode', 0)}"


class Line(LineOnlyReceiver):
    """A connection to a Redis that is asked what it answers in one line."""

    def __init__(self) -> None:
        self._asked: deque[Deferred[bytes]] = deque()
        self._ended: Deferred[None] | None = Deferred()

    @property
    def is_open(self) -> bool:
        """Whether it can be asked."""
        return self._ended is not None

    def ask(self, command: bytes) -> Deferred[bytes]:
        """The line that it answers; empty where the connection ends before.  It may be cancelled, which ends the connection."""
        asked: Deferred[bytes] = Deferred(lambda _: self._abort())
        self._asked.append(asked)
        self.sendLine(command)
        return asked

    async def end(self) -> None:
        """Close it."""
        if self._ended is not None:
            ended = self._ended
            self._abort()
            await ended

    def _abort(self) -> None:
        if self.transport:
            self.transport.abortConnection()  # type: ignore[attr-defined]

    def lineReceived(self, line: bytes) -> None:
        if self._asked and not (asked := self._asked.popleft()).called:
            asked.callback(line)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        while self._asked:
            if not (asked := self._asked.popleft()).called:  # else it was cancelled
                asked.callback(b"")
        if self._ended is not None:
            ended, self._ended = self._ended, None
            ended.callback(None)
