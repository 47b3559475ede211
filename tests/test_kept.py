"""Connections that are kept: requests on one that the server closes are sent again."""

from __future__ import annotations

from typing import Any, cast

from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.task import Clock
from twisted.trial.unittest import TestCase
from twisted.web.client import Agent, ResponseNeverReceived, readBody

from zaqar_gateway.kept import KeptConnections, WholeBody

_ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


class _Server(Factory):
    """Answers some requests of each connection, and closes it at the next.

    :ivar requests: each as (number of its connection, all of its bytes).
    """

    noisy = False

    def __init__(self, answers: int) -> None:
        self.answers = answers
        self.connections = 0
        self.requests: list[tuple[int, bytes]] = []

    def buildProtocol(self, address: object) -> Protocol:
        self.connections += 1
        return _Connection(self, self.connections)


class _Connection(Protocol):
    def __init__(self, server: _Server, number: int) -> None:
        self._server = server
        self._number = number
        self._answers = 0
        self._text = b""

    def dataReceived(self, data: bytes) -> None:
        self._text += data
        if not self._text.endswith(b"body"):
            return
        self._server.requests.append((self._number, self._text))
        self._text = b""
        if self._answers >= self._server.answers:
            self.transport.loseConnection()  # type: ignore[union-attr]
        else:
            self._answers += 1
            self.transport.write(_ANSWER)  # type: ignore[union-attr]


class KeptConnectionsTests(TestCase):
    """A client over real sockets."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.use(KeptConnections(self.clock))

    def use(self, kept: KeptConnections) -> None:
        """Have connections kept here."""
        self.kept = kept
        self.addCleanup(kept.closeCachedConnections)
        self.agent = Agent(reactor, pool=kept)

    def server(self, answers: int) -> tuple[_Server, bytes]:
        """A server, and its URL."""
        server = _Server(answers)
        port: Any = cast("Any", reactor).listenTCP(0, server, interface="127.0.0.1")
        self.addCleanup(port.stopListening)
        return server, b"http://127.0.0.1:%d/" % port.getHost().port

    async def post(self, url: bytes) -> bytes:
        """The body of the answer to a post."""
        response = await self.agent.request(b"POST", url, bodyProducer=WholeBody(b"body"))
        body: Deferred[bytes] = readBody(response)
        return await body

    async def test_closed(self) -> None:
        """A post on a connection that is closed without an answer goes out once more as it was, on a new one; an idle one is used again."""
        server, url = self.server(answers=2)
        for _ in range(3):
            self.assertEqual(await self.post(url), b"ok")
        self.assertEqual([connection for connection, _ in server.requests], [1, 1, 1, 2])
        self.assertEqual(len({text for _, text in server.requests}), 1)

    async def test_closed_again(self) -> None:
        """One that was never used is no reason to try another."""
        server, url = self.server(answers=0)
        with self.assertRaises(ResponseNeverReceived):
            await self.post(url)
        self.assertEqual(len(server.requests), 1)

    async def test_total(self) -> None:
        """So many idle ones are kept in all; another one is closed, and its host has none."""
        self.use(KeptConnections(self.clock, total=1))
        (_, first), (server, second) = self.server(answers=9), self.server(answers=9)
        for url in (first, second, second, first):
            self.assertEqual(await self.post(url), b"ok")
        self.assertEqual([connection for connection, _ in server.requests], [1, 2])
        self.assertEqual(len(self.kept._timeouts), 1)
        self.clock.advance(4)
        for _ in range(2):
            self.assertEqual(await self.post(second), b"ok")
        self.assertEqual([connection for connection, _ in server.requests], [1, 2, 3, 3])

    async def test_hosts_are_forgotten(self) -> None:
        """Nothing stays of a host whose connection was idle for long, or was in use and has not come back."""
        _, url = self.server(answers=1)
        await self.post(url)
        self.assertEqual(len(self.kept._connections), 1)
        self.clock.advance(4)
        self.assertEqual(self.kept._connections, {})
        server, url = self.server(answers=1)
        await self.post(url)
        server.answers = 0  # the next one, on the same connection and on a new one
        with self.assertRaises(ResponseNeverReceived):
            await self.post(url)
        self.assertEqual(self.kept._connections, {})
