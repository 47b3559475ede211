"""A WebSocket client for one question, with which a gateway shows that it works."""

from __future__ import annotations

from typing import cast

from autobahn.twisted.websocket import WebSocketClientFactory, WebSocketClientProtocol
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime, IStreamClientEndpoint

_TIMEOUT_S = 5


class _Asker(WebSocketClientProtocol):
    """Sends one frame when it may, and closes when it has an answer."""

    question: bytes
    answer: Deferred[bytes]

    def onOpen(self) -> None:
        self.sendMessage(self.question)

    def onMessage(self, payload: bytes, isBinary: bool) -> None:
        self.answer.callback(payload)
        self.sendClose(1000)

    def onClose(self, wasClean: bool, code: int | None, reason: str | None) -> None:
        if not self.answer.called:
            self.answer.errback(ConnectionError(f"closed with {code}: {reason}"))


async def ask(endpoint: IStreamClientEndpoint, question: bytes, clock: IReactorTime) -> bytes:
    """Send one text frame and give the first that comes back.

    :raises ConnectionError: the connection was closed before.
    :raises TimeoutError: nothing came for five seconds.
    """
    factory = WebSocketClientFactory("ws://localhost/", reactor=clock)
    factory.protocol = _Asker
    factory.noisy = False
    protocol = cast(_Asker, await endpoint.connect(factory))
    protocol.question, protocol.answer = question, Deferred()
    return await protocol.answer.addTimeout(_TIMEOUT_S, clock)
