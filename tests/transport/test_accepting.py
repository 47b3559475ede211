"""Connections that all come at once."""

from __future__ import annotations

import socket
from typing import Any

from twisted.internet import reactor
from twisted.internet.protocol import Factory, Protocol
from twisted.trial.unittest import SynchronousTestCase

from zaqar_gateway.transport.accepting import IN_ONE_TURN, accept_few

listening: Any = reactor


class AcceptTests(SynchronousTestCase):
    """How many are taken on in one turn of the reactor."""

    def test_few(self) -> None:
        """A few each time, in the order in which they came; the rest waits, more than a hundred of them."""
        factory = Factory.forProtocol(Protocol)
        made: list[Protocol] = []
        factory.buildProtocol = lambda addr: made.append(Protocol()) or made[-1]  # type: ignore
        port = listening.listenTCP(0, factory, interface="127.0.0.1")
        accept_few(port)
        self.addCleanup(port.stopListening)
        clients = [socket.create_connection(("127.0.0.1", port.getHost().port), 1) for _ in range(200)]
        for client in clients:
            self.addCleanup(client.close)
        for turn in range(1, 101):
            port.doRead()
            self.assertEqual(len(made), IN_ONE_TURN * turn)
        port.doRead()
        self.assertEqual(len(made), 200)
        for protocol in made:
            self.addCleanup(protocol.transport.abortConnection)  # type: ignore[union-attr]

    def test_other_ports(self) -> None:
        """A port that is none of Twisted's own is left alone."""
        other = object()
        accept_few(other)
