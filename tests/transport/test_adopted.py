"""Listening on sockets that another process has bound."""

from __future__ import annotations

import os
import socket
import tempfile
from pathlib import Path
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import serverFromString
from twisted.internet.interfaces import IListeningPort
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.threads import deferToThread
from twisted.trial.unittest import TestCase

from zaqar_gateway.transport.adopted import AdoptingReactor

listening: Any = reactor


class Greeting(Protocol):
    """Tells where a connection comes from."""

    def connectionMade(self) -> None:
        assert self.transport is not None
        self.transport.write(b"hello")
        self.transport.loseConnection()


class AdoptedTests(TestCase):
    """One process bound it, another one listens."""

    def adopt(self, bound: socket.socket, endpoint: str) -> Deferred[IListeningPort]:
        """Listen as an endpoint says, on a socket."""
        bound.listen()
        bound.setblocking(False)
        self.addCleanup(bound.close)
        place = serverFromString(AdoptingReactor(listening, os.dup(bound.fileno())), endpoint)
        port: Deferred[IListeningPort] = place.listen(Factory.forProtocol(Greeting))
        return port

    def greeted(self, address: Any, family: socket.AddressFamily) -> Deferred[bytes]:
        """What a client there is told."""
        def ask() -> bytes:
            with socket.socket(family) as client:
                client.settimeout(60)
                client.connect(address)
                return client.recv(100)

        return deferToThread(ask)

    async def test_tcp(self) -> None:
        """The endpoint's port does not count; when one listens no more, the socket is there for others."""
        bound = socket.create_server(("127.0.0.1", 0))
        for _ in range(2):
            port: Any = await self.adopt(bound, "tcp:1:interface=127.0.0.1:backlog=77")
            self.assertEqual((port.getHost().port, port.backlog), (bound.getsockname()[1], 77))
            self.assertEqual(await self.greeted(bound.getsockname(), socket.AF_INET), b"hello")
            await port.stopListening()
        with socket.create_connection(bound.getsockname(), timeout=60):
            pass

    async def test_unix(self) -> None:
        """The path and its mode are left as they are, also when one listens no more, and the socket is there for others."""
        path = Path(tempfile.mkdtemp(dir="/tmp")) / "s"
        self.addCleanup(path.parent.rmdir)
        self.addCleanup(path.unlink)
        bound = socket.socket(socket.AF_UNIX)
        bound.bind(str(path))
        path.chmod(0o600)
        for _ in range(2):
            port: Any = await self.adopt(bound, f"unix:{path}:mode=666")
            self.assertEqual(await self.greeted(str(path), socket.AF_UNIX), b"hello")
            await port.stopListening()
        self.assertEqual(path.stat().st_mode & 0o777, 0o600)
        with socket.socket(socket.AF_UNIX) as client:
            client.settimeout(60)
            client.connect(str(path))

    async def test_twice(self) -> None:
        """There is one socket, and who asks for more is refused."""
        bound = socket.create_server(("127.0.0.1", 0))
        self.addCleanup(bound.close)
        adopting = AdoptingReactor(listening, os.dup(bound.fileno()))
        port: Any = adopting.listenTCP(0, Factory.forProtocol(Greeting))
        with self.assertRaises(OSError):
            adopting.listenTCP(0, Factory.forProtocol(Greeting))
        await port.stopListening()
