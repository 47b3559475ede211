"""Where connections are looked at that have not shown yet that they ask for one thing at a time, or have shown that they do not.

The reactor reads whoever is ready, in a row: behind 2,000 connections that send all at once a request waits for some ten
milliseconds.  So both kinds have a poller of their own, which has one turn after the other in the row of
:class:`~zaqar_gateway.transport.turns.Turns`, and reads one of them in each.
"""

from __future__ import annotations

import select
from collections.abc import Mapping
from typing import Any

from twisted.internet.epollreactor import EPollReactor
from twisted.internet.interfaces import IReadDescriptor
from zope.interface import implementer

from zaqar_gateway.transport.turns import Manner, Turns

FEW = 2
"""Connections that are ready from which on they are read in turns; all others may go on between two of them."""


@implementer(IReadDescriptor)
class Lobby:
    """A poller within that of the reactor.

    :param reactor: Twisted's epoll reactor.
    :param manner: of those that it reads.
    """

    def __init__(self, reactor: Any, turns: Turns, manner: Manner) -> None:
        self._reactor = reactor
        self._turns = turns
        self._manner = manner
        self._poller = select.epoll()
        self._inside: dict[int, Any] = {}
        reactor.addReader(self)

    def enter(self, connection: Any) -> None:
        """Read a connection when it can be, and has its turn."""
        fd = connection.fileno()
        if fd not in self._inside:
            self._inside[fd] = connection
            self._poller.register(fd, select.EPOLLIN)

    def leave(self, connection: Any) -> None:
        """Read it no more."""
        fd = connection.fileno()
        if self._inside.get(fd) is connection:
            del self._inside[fd]
            self._poller.unregister(fd)

    def fileno(self) -> int:
        """See :class:`~twisted.internet.interfaces.IFileDescriptor`."""
        return self._poller.fileno()

    def logPrefix(self) -> str:
        """See :class:`~twisted.internet.interfaces.ILoggingContext`."""
        return "lobby"

    def connectionLost(self, reason: object) -> None:
        """See :class:`~twisted.internet.interfaces.IFileDescriptor`; a poller is never lost."""

    def doRead(self) -> None:
        """See :class:`~twisted.internet.interfaces.IReadDescriptor`."""
        if self._read(FEW) == FEW:
            self._reactor.removeReader(self)
            self._turns.wait(self._turn, self._manner)

    def _turn(self) -> None:
        if self._read(1):
            self._turns.wait(self._turn, self._manner)
        else:
            self._reactor.addReader(self)

    def _read(self, most: int) -> int:
        """Read one of those that are ready; how many are, at most as many as are looked for."""
        found = self._poller.poll(0, most)
        for fd, _ in found[:1]:
            connection = self._inside.get(fd)
            if connection is not None:
                self._reactor._doReadOrWrite(connection, fd, select.EPOLLIN)
        return len(found)


Lobbies = Mapping[Manner, Lobby]
"""Where connections of a manner are looked at; the reactor itself looks at all others."""


def lobbies_of(reactor: Any, turns: Turns) -> Lobbies:
    """The lobbies, none where a reactor is none of epoll."""
    if not isinstance(reactor, EPollReactor):
        return {}
    return {manner: Lobby(reactor, turns, manner) for manner in (Manner.NEW, Manner.GREEDY)}
