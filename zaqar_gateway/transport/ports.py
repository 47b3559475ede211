"""What a listening port and its connections may take of a turn of the reactor, beside what their protocols do.

To set a connection up costs as much as a request.  Twisted takes on as many as it finds, a hundred and more at one time.
And it writes to all sockets that take something, be it a few bytes each.  All others would wait for that: where 2,000 peers
do not read, the system asks for some hundred such writes at one time.
"""

from __future__ import annotations

import socket
from collections.abc import Callable
from select import EPOLLIN
from typing import Any

from twisted.internet import tcp, unix
from twisted.internet.main import CONNECTION_DONE, CONNECTION_LOST
from twisted.python.failure import Failure

from zaqar_gateway.transport.lobby import Lobbies
from zaqar_gateway.transport.turns import Manner, Turns

ACCEPTED_IN_ONE_TURN = 2

QUEUE_MIN = 1024
"""Connections that may wait to be taken on, whatever the endpoint says, which is 50 where it says nothing.  Beyond it the
system drops what it is sent, and clients try again after a second.  It has a bound of its own (``net.core.somaxconn``)."""

READ_MAX = 65536
"""Bytes that are read of a connection at once."""

READ_OF_GREEDY_MAX = 327680
"""The same of one that has just sent much, of long requests that are taken: it waits for its turn after each read, which takes longer
than the read does.  The longest request that may come has room in it.  Whoever just sends much is not read so: what is not taken yet stays
in memory, and is moved while what is before it is looked at."""

_KEPT_MAX = 4 * 1024 * 1024


def keep_memory() -> None:
    """Have what a long read has left free stay with the process.

    glibc asks the system for each block that is longer than any that was freed before (mallopt(3), ``M_MMAP_THRESHOLD``), and what is
    read into is made shorter before it is freed.  So each long read had its pages from the system, which took a sixth of its request.
    """
    bytes(_KEPT_MAX)


class _Patient:
    """A connection that waits for its turn where its peer has not taken all that there was before, and where it is read
    anew when its turn has come: what it then brings is work of the row, too."""

    server: Any
    _is_full = _waits = False
    _is_to_read = _waits_to_read = False
    _is_reading = _sends_long = False
    _manner = Manner.NEW
    _read_max = READ_MAX

    def behaves(self, manner: Manner) -> bool:
        """See :func:`behaves`."""
        if manner is not self._manner:
            is_reading = self._is_reading
            self.stopReading()
            self._manner = manner
            self.sends_long(self._sends_long and manner is not Manner.CALM)
            if is_reading:
                self.startReading()
        return manner in self.server.lobbies

    def sends_long(self, is_long: bool) -> None:
        """See :meth:`Conduct.sends_long`."""
        self._sends_long = is_long
        self._read_max = READ_OF_GREEDY_MAX if is_long and self._manner is Manner.GREEDY else READ_MAX

    def startReading(self) -> None:
        """See :class:`~twisted.internet.abstract.FileDescriptor`."""
        mine: Any = self
        self._is_reading = True
        lobby = self.server.lobbies.get(self._manner)
        if lobby is None:
            mine._read_inside()
        else:
            lobby.enter(self)

    def stopReading(self) -> None:
        """See :class:`~twisted.internet.abstract.FileDescriptor`."""
        mine: Any = self
        self._is_reading = False
        lobby = self.server.lobbies.get(self._manner)
        if lobby is None:
            mine._read_no_more()
        else:
            lobby.leave(self)

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
            turns.wait(self._read_on, Manner.CALM if self._manner is Manner.CALM else Manner.GREEDY)

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

    def doRead(self) -> Any:
        """See :class:`~twisted.internet.interfaces.IReadDescriptor`."""
        # The size that Twisted reads by is that of what may wait to be written, too.
        try:
            data = self.socket.recv(self._read_max)
        except BlockingIOError:
            return None
        except OSError:
            return CONNECTION_LOST
        if not data:
            return CONNECTION_DONE
        self.protocol.dataReceived(data)
        return None


class _UnixConnection(_Patient, unix.Server):
    _written = unix.Server.doWrite
    _resumed = unix.Server.resumeProducing
    _read_inside, _read_no_more, _read_lost = unix.Server.startReading, unix.Server.stopReading, unix.Server.readConnectionLost


_PATIENT: dict[Any, Any] = {tcp.Server: _TcpConnection, unix.Server: _UnixConnection}


def behaves(transport: Any, manner: Manner) -> bool:
    """Have a connection looked at where those of its manner are.

    :param transport: any, over TLS too; one that is none of these ports' is left as it is.
    :return: whether each read of it is a turn of the row now.
    """
    patient = _below(transport)
    return patient is not None and patient.behaves(manner)


def _below(transport: Any) -> _Patient | None:
    """What a transport goes over, where that is one of these ports'."""
    while transport is not None and not isinstance(transport, _Patient):
        transport = getattr(transport, "transport", None)
    return transport


class Conduct:
    """How a connection has asked so far, as its protocol finds out.

    :ivar calm: whether the last that was said of it is that it is calm.
    :ivar takes_turns: whether it has just sent much, and each read of it is a turn of the row: it need not wait for another.
    """

    __slots__ = ("_manner", "calm", "takes_turns")

    def __init__(self) -> None:
        self._manner = Manner.NEW
        self.calm = self.takes_turns = False

    def is_calm(self, transport: Any) -> None:
        """It has asked for one thing that is not long, and all of it was looked at."""
        self._be(transport, Manner.CALM)

    def sends_long(self, transport: Any) -> None:
        """It sends a request that is longer than what has come of it, and will be taken: as long as it is not calm, much of it is read at
        once."""
        patient = _below(transport)
        if patient is not None:
            patient.sends_long(True)

    def rest(self, transport: Any, turns: Turns, is_much: bool, go_on: Callable[[], None]) -> Callable[[], None]:
        """Have it wait for its turn.

        :param is_much: whether it does because of how much it has sent.
        :return: what to call to leave the row before.
        """
        if is_much:
            self._be(transport, Manner.GREEDY)
        return turns.wait(go_on, Manner.GREEDY if self._manner is Manner.GREEDY else Manner.CALM)

    def _be(self, transport: Any, manner: Manner) -> None:
        if self._manner is not manner:
            self._manner = manner
            self.calm = manner is Manner.CALM
            self.takes_turns = behaves(transport, manner) and manner is Manner.GREEDY


def share(port: Any, turns: Turns, lobbies: Lobbies, buffer: int) -> None:
    """Have a port take on few connections in a turn, and those write, and read when they have waited, in the row.

    :param port: any; one that is no port of Twisted's own is left as it is.
    :param lobbies: where connections are looked at.
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

    shared.doRead, shared.turns, shared.lobbies = few, turns, lobbies
    shared.transport = _PATIENT.get(port.transport, port.transport)
    for option in (socket.SO_RCVBUF, socket.SO_SNDBUF):
        port.socket.setsockopt(socket.SOL_SOCKET, option, buffer)
    port.socket.listen(max(QUEUE_MIN, port.backlog or 0))  # one that was handed over knows none
