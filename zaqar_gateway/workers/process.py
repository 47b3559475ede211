"""A worker as its keeper has it: a process, and the pipes to it."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from typing import Any

import msgspec
from twisted.internet.error import ProcessExitedAlready
from twisted.internet.interfaces import IDelayedCall, IProcessTransport
from twisted.internet.protocol import ProcessProtocol
from twisted.python.failure import Failure

from zaqar_gateway import signals
from zaqar_gateway.workers import tidings
from zaqar_gateway.workers.handover import COMMANDS_FD, LISTENERS_FD, TIDINGS_FD, Handover
from zaqar_gateway.workers.seat import Seat

_LINE_MAX = 4096
"""Bytes of a line that is written past the log."""

_PIPES_S = 1.0
"""How long, after a process has ended, its pipes are read, should another one have them as well."""

_MAIN = "from zaqar_gateway.working import main; main()"


def start(reactor: Any, seat: Seat, given: Handover, listeners: Sequence[int]) -> WorkerProcess:
    """Start a worker.

    :param listeners: the descriptors of the listening sockets here.
    :raises OSError: no process can be started.
    """
    worker = WorkerProcess(reactor, seat, given)
    environment = {
        name: value
        for name, value in os.environ.items()
        # What is meant for the keeper: settings, which it hands over, and what service managers hand to one process.
        if not name.startswith(("ZAQAR_GATEWAY_", "LISTEN_")) and name != "NOTIFY_SOCKET"
    }
    environment["PYTHONPATH"] = os.pathsep.join(sys.path)  # so that it finds what its keeper has found
    with signals.kept_from_children():
        reactor.spawnProcess(
            worker,
            sys.executable,
            [sys.executable, "-P", "-c", _MAIN, f"zaqar-gateway worker {given.number}"],
            environment,
            childFDs={
                COMMANDS_FD: "w",
                1: "r",
                2: "r",
                TIDINGS_FD: "r",
                **{LISTENERS_FD + number: file for number, file in enumerate(listeners)},
            },
        )
    return worker


class WorkerProcess(ProcessProtocol):
    """One process; it satisfies :class:`zaqar_gateway.workers.seat.Process`."""

    transport: IProcessTransport

    def __init__(self, reactor: Any, seat: Seat, given: Handover) -> None:
        self._reactor = reactor
        self._seat = seat
        self._given = given
        self._tidings = tidings.Lines()
        self._printed = {1: tidings.Lines(_LINE_MAX), 2: tidings.Lines(_LINE_MAX)}
        self._late: IDelayedCall | None = None
        self._has_ended = False
        self.pid = 0

    def connectionMade(self) -> None:
        """See :class:`ProcessProtocol`."""
        self.pid = self.transport.pid
        self.transport.writeToChild(COMMANDS_FD, self._given.packed())

    def say(self, what: bytes) -> None:
        """See :class:`~zaqar_gateway.workers.seat.Process`."""
        pipes: dict[int, Any] = self.transport.pipes  # type: ignore[attr-defined]
        if COMMANDS_FD in pipes:
            self.transport.writeToChild(COMMANDS_FD, what + b"\n")

    def signal(self, name: str) -> None:
        """See :class:`~zaqar_gateway.workers.seat.Process`."""
        try:
            self.transport.signalProcess(name)
        except ProcessExitedAlready:
            pass

    def childDataReceived(self, childFD: int, data: bytes) -> None:
        """See :class:`ProcessProtocol`."""
        if childFD == TIDINGS_FD:
            for line in self._tidings.take(data):
                self._heard(line)
        else:
            for line in self._printed[childFD].take(data):
                self._seat.printed(line)

    def _heard(self, line: bytes) -> None:
        try:
            tiding = tidings.read(line)
        except msgspec.DecodeError:
            self._seat.printed(line)
        else:
            self._seat.heard(tiding)

    def processExited(self, reason: Failure) -> None:
        """See :class:`ProcessProtocol`."""
        # What it has said last is still to be read.  A child of it may have its pipes, and live on.
        self._late = self._reactor.callLater(_PIPES_S, self._end, reason)

    def processEnded(self, reason: Failure) -> None:
        """See :class:`ProcessProtocol`."""
        self._end(reason)

    def _end(self, reason: Failure) -> None:
        if self._has_ended:
            return
        self._has_ended = True
        if self._late is not None and self._late.active():
            self._late.cancel()
        for lines in (*self._printed.values(), self._tidings):
            for line in lines.last():
                self._seat.printed(line)
        self.transport.loseConnection()
        value: Any = reason.value
        self._seat.ended(f"signal {value.signal}" if value.signal else f"status {value.exitCode}")
