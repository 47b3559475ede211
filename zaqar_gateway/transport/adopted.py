"""Listening sockets that another process has bound, and keeps."""

from __future__ import annotations

import socket
from typing import Any

from twisted.internet import tcp, unix
from twisted.internet.interfaces import IListeningPort, IProtocolFactory
from twisted.python.failure import Failure
from zope.interface import directlyProvides, providedBy


class AdoptingReactor:
    """A reactor that listens on one inherited socket, whatever it is asked to listen on.

    So what stands around a socket in an endpoint, such as ``haproxy:``, is the same as in the process that has bound it.

    :param reactor: which does all else.
    :param file: the descriptor of the socket.
    """

    def __init__(self, reactor: Any, file: int) -> None:
        self._reactor = reactor
        self._file: int | None = file
        directlyProvides(self, providedBy(reactor))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._reactor, name)

    def listenTCP(self, port: int, factory: IProtocolFactory, backlog: int = 50, interface: str = "") -> IListeningPort:
        """See :class:`~twisted.internet.interfaces.IReactorTCP`."""
        with self._inherited() as inherited:
            adopted: tcp.Port = self._reactor.adoptStreamPort(inherited.fileno(), inherited.family, factory)
        adopted.backlog = backlog
        return adopted

    def listenUNIX(
        self, address: str, factory: IProtocolFactory, backlog: int = 50, mode: int = 0o666, wantPID: int = 0
    ) -> IListeningPort:
        """See :class:`~twisted.internet.interfaces.IReactorUNIX`."""
        with self._inherited() as inherited:
            adopted = _UnixPort._fromListeningDescriptor(self._reactor, inherited.fileno(), factory)
        adopted.backlog = backlog
        adopted.startListening()
        port: IListeningPort = adopted
        return port

    def _inherited(self) -> socket.socket:
        """The socket, for which a port takes another descriptor.

        :raises OSError: it is taken already.
        """
        if self._file is None:
            raise OSError(None, "an endpoint has to listen on one socket where there are several workers")
        file, self._file = self._file, None
        return socket.socket(fileno=file)


class _UnixPort(unix.Port):
    """A port whose path is not its own: it neither sets its mode nor removes it, nor shuts the socket down for all that have it."""

    _shouldShutdown = False

    def startListening(self) -> None:
        """Take the socket as it is."""
        mine: Any = self
        tcp._reservedFD.reserve()
        mine.factory.doStart()
        mine.socket, mine._preexistingSocket = mine._preexistingSocket, None
        mine.fileno = mine.socket.fileno
        mine.connected = True
        mine.numberAccepts = 100  # as Twisted begins
        mine.startReading()

    def connectionLost(self, reason: Failure) -> None:
        """Let the socket go."""
        tcp.Port.connectionLost(self, reason)
