"""What a listening port and its connections may take of a turn of the reactor, beside what their protocols do.

To set a connection up costs as much as a request.  Twisted takes on as many as it finds, a hundred and more at one time.
And it writes to all sockets that take something, be it a few bytes each.  All others would wait for that: where 2,000 peers
do not read, the system asks for some hundred such writes at one time.
"""

from __future__ import annotations

import socket
from select import EPOLLIN
from typing import Any

from twisted.internet import tcp, unix
from twisted.python.failure import Failure

from zaqar_gateway.transport.lobby import Lobby
from zaqar_gateway.transport.turns import Turns

ACCEPTED_IN_ONE_TURN = 2

QUEUE_MIN = 1024
"""Connections that may wait to be taken on, whatever the endpoint says, which is 50 where it says nothing.  Beyond it the
system drops what it is sent, and clients try again after a second.  It has a bound of its own (``net.core.somaxconn``)."""


class _Patient:
    """A connection that waits for its turn where its peer has not taken all that there was before, and where it is read
    anew when its turn has come: what it then brings is work of the row, too."""

    server: Any
    _is_full = _waits = False
    _is_to_read = _waits_to_read = False
    _is_reading = _is_inside = False

    def let_in(self) -> None:
        """See :func:`let_in`."""
        self._move(True)

    def show_out(self) -> None:
        """See :func:`show_out`."""
        self._move(False)

    def _move(self, inside: bool) -> None:
        if inside is not self._is_inside:
            is_reading = self._is_reading
            self.stopReading()
            self._is_inside = inside
            if is_reading:
                self.startReading()

    def startReading(self) -> None:
        """See :class:`~twisted.internet.abstract.FileDescriptor`."""
        mine: Any = self
        self._is_reading = True
        if self._is_inside or self.server.lobby is None:
            mine._read_inside()
        else:
            self.server.lobby.enter(self)

    def stopReading(self) -> None:
        """See :class:`~twisted.internet.abstract.FileDescriptor`."""
        mine: Any = self
        self._is_reading = False
        if self._is_inside or self.server.lobby is None:
            mine._read_no_more()
        else:
            self.server.lobby.leave(self)

    def readConnectionLost(self, reason: Failure) -> None:
        """See :class:`~twisted.internet.interfaces.IHalfCloseableDescriptor`."""
        mine: Any = self
        self.stopReading()
        mine._read_lost(reason)

    def resumeProducing(self) -> None:
        """See :class:`~twisted.internet.interfaces.IPushProducer`."""
        mine: Any = self
        turns = self.server.turns
        if not turns.is_again or not mine.connected or mine.disconnecting:
            mine._resumed()
            return
        self._is_to_read = True
        if not self._waits_to_read:
            self._waits_to_read = True
            turns.wait(self._read_on)

    def pauseProducing(self) -> None:
        """See :class:`~twisted.internet.interfaces.IPushProducer`."""
        self._is_to_read = False
        self.stopReading()

    def _read_on(self) -> None:
        mine: Any = self
        self._waits_to_read = False
        if not self._is_to_read or not mine.connected or mine.disconnecting:
            return
        mine.reactor._doReadOrWrite(mine, mine.fileno(), EPOLLIN)
        if self._is_to_read and mine.connected and not mine.disconnecting:
            self._is_to_read = False
            self.startReading()

    def doWrite(self) -> Any:
        """See :class:`~twisted.internet.interfaces.IWriteDescriptor`."""
        mine: Any = self
        if not self._is_full:
            return self._write()
        mine.stopWriting()
        if not self._waits:
            self._waits = True
            self.server.turns.wait(self._write_on)
        return None

    def _write(self) -> Any:
        mine: Any = self
        lost = mine._written()
        self._is_full = bool(mine.dataBuffer or mine._tempDataBuffer)
        return lost

    def _write_on(self) -> None:
        mine: Any = self
        self._waits = False
        if not mine.connected or mine._aborting:
            return
        lost = self._write()
        if lost:
            mine.reactor._disconnectSelectable(mine, lost, False)
        elif self._is_full:
            mine.startWriting()


class _TcpConnection(_Patient, tcp.Server):
    _written = tcp.Server.doWrite
    _resumed = tcp.Server.resumeProducing
    _read_inside, _read_no_more, _read_lost = tcp.Server.startReading, tcp.Server.stopReading, tcp.Server.readConnectionLost


class _UnixConnection(_Patient, unix.Server):
    _written = unix.Server.doWrite
    _resumed = unix.Server.resumeProducing
    _read_inside, _read_no_more, _read_lost = unix.Server.startReading, unix.Server.stopReading, unix.Server.readConnectionLost


_PATIENT: dict[Any, Any] = {tcp.Server: _TcpConnection, unix.Server: _UnixConnection}


def let_in(transport: Any) -> None:
    """Have a connection read as soon as it can be: it asks for one thing at a time.

    :param transport: any, over TLS too.
    """
    if (found := _patient(transport)) is not None:
        found.let_in()


def show_out(transport: Any) -> None:
    """Have it read in the lobby: it does not.

    :param transport: any, over TLS too.
    """
    if (found := _patient(transport)) is not None:
        found.show_out()


def _patient(transport: Any) -> _Patient | None:
    while transport is not None and not isinstance(transport, _Patient):
        transport = getattr(transport, "transport", None)
    return transport


def share(port: Any, turns: Turns, lobby: Lobby | None, buffer: int) -> None:
    """Have a port take on few connections in a turn, and those write, and read when they have waited, in the row.

    :param port: any; one that is no port of Twisted's own is left as it is.
    :param lobby: where connections are read that were not let in.
    :param buffer: bytes that the system keeps of each connection in each direction.  It would let them grow to some MiB, and
        where all together have more than it likes it drops what comes on any of them.
    """
    if not isinstance(port, tcp.Port):
        return
    shared: Any = port
    do_read = port.doRead

    def few() -> Any:
        port.numberAccepts = ACCEPTED_IN_ONE_TURN  # Twisted raises it as long as more are waiting
        return do_read()

    shared.doRead, shared.turns, shared.lobby = few, turns, lobby
    shared.transport = _PATIENT.get(port.transport, port.transport)
    for option in (socket.SO_RCVBUF, socket.SO_SNDBUF):
        port.socket.setsockopt(socket.SOL_SOCKET, option, buffer)
    port.socket.listen(max(QUEUE_MIN, port.backlog))
