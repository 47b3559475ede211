"""The client that the cases of Autobahn|Testsuite drive, and the gateway's framing that they are run against.

A case calls its protocol with texts of Latin-1 (see :mod:`tests.conformance.convert`), sends whatever it likes, and
judges what came back and how the connection ended.
"""

from __future__ import annotations

import importlib
import sys
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from attrs import frozen
from autobahn.twisted.websocket import WebSocketClientFactory, WebSocketClientProtocol
from twisted.internet.defer import Deferred, DeferredSemaphore, gatherResults
from twisted.internet.endpoints import TCP4ClientEndpoint
from twisted.internet.interfaces import IAddress, IDelayedCall
from twisted.internet.protocol import connectionDone
from twisted.python.failure import Failure
from txaio.tx import make_logger

from tests.helpers import build_operations
from zaqar_gateway.interfaces import IListener
from zaqar_gateway.limits import ClientIds
from zaqar_gateway.storage.memory import MemoryStorage
from zaqar_gateway.transport.websocket.bounds import WebSocketBounds
from zaqar_gateway.transport.websocket.codec import Actions
from zaqar_gateway.transport.websocket.factory import GatewayFactory

MESSAGE_MAX = 16 * 1024 * 1024
"""Bytes of the longest message of the cases."""


# -- the server --------------------------------------------------------------------------------------------------------


@frozen
class _Echo:
    """A request whose reply is its payload."""

    payload: bytes
    alone: bool = False
    aside: bool = False
    reads: bool = False

    async def reply(self) -> bytes:
        """The payload."""
        return self.payload


class _EchoSession:
    """A conversation in which every frame is echoed."""

    def receive(self, payload: bytes, is_binary: bool) -> _Echo:
        """See :class:`zaqar_gateway.transport.websocket.session.Session`."""
        return _Echo(payload)

    def end(self) -> None:
        """The connection is gone."""


class EchoFactory(GatewayFactory):
    """The gateway's WebSockets, except that what they say is echoed: protocol, bounds and compression are the
    gateway's."""

    def __init__(self, reactor: Any) -> None:
        actions = Actions(build_operations(MemoryStorage(reactor)).operations)
        bounds = WebSocketBounds(message_max=MESSAGE_MAX, write_buffer_max=2 * MESSAGE_MAX)
        super().__init__(actions, ClientIds(), reactor, bounds)

    def session(self, listener: IListener) -> Any:
        """One that echoes."""
        return _EchoSession()


# -- the client --------------------------------------------------------------------------------------------------------


def _bytes(payload: str | bytes) -> bytes:
    return payload.encode("latin-1") if isinstance(payload, str) else payload


class CaseProtocol(WebSocketClientProtocol):
    """Does what a case wants: the methods that it calls and the attributes that it reads."""

    log = make_logger("error")
    createWirelog = False

    def __init__(self, reactor: Any, case: Callable[[Any], Any]) -> None:
        super().__init__()
        self.ended: Deferred[Any] = Deferred()
        self.connectionWasOpen = False
        self.txFrameStats: Counter[int] = Counter()
        self._reactor = reactor
        self._make_case = case
        self._case: Any = None
        self._later: list[IDelayedCall] = []

    def connectionMade(self) -> None:
        self._case = self._make_case(self)
        super().connectionMade()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        super().connectionLost(reason)
        for call in self._later:
            if call.active():
                call.cancel()
        self._case.onConnectionLost(self.failedByMe)
        self.ended.callback(self._case)

    def onOpen(self) -> None:
        self.connectionWasOpen = True
        self._case.onOpen()

    def onMessage(self, payload: bytes, isBinary: bool) -> None:
        self._case.onMessage(payload.decode("latin-1"), isBinary)

    def onPing(self, payload: bytes) -> None:
        self._case.onPing(payload.decode("latin-1"))
        super().onPing(payload)

    def onPong(self, payload: bytes) -> None:
        self._case.onPong(payload.decode("latin-1"))

    def onClose(self, wasClean: bool, code: int | None, reason: str | None) -> None:
        self._case.onClose(wasClean, code, reason)

    # -- what a case calls ---------------------------------------------------------------------------------------------

    def enableWirelog(self, enable: bool) -> None:
        """There is none."""

    def continueLater(self, delay: float, call: Callable[[], None], tag: str | None = None) -> None:
        """Call it in ``delay`` seconds, if there is a connection then."""
        self._later.append(self._reactor.callLater(delay, call))

    def killAfter(self, delay: float) -> None:
        """Fail the connection in ``delay`` seconds, if there is one then."""
        self.continueLater(delay, self._fail_connection)

    def closeAfter(self, delay: float) -> None:
        """Begin to close the connection in ``delay`` seconds, if there is one then."""
        self.continueLater(delay, self.sendClose)

    def sendFrame(self, opcode: int, payload: Any = b"", *args: Any, **kwargs: Any) -> None:
        self.txFrameStats[opcode] += 1
        super().sendFrame(opcode, _bytes(payload), *args, **kwargs)

    def sendMessage(self, payload: Any, *args: Any, **kwargs: Any) -> None:
        super().sendMessage(_bytes(payload), *args, **kwargs)

    def sendMessageFrameData(self, payload: Any, sync: bool = False) -> None:
        super().sendMessageFrameData(_bytes(payload), sync)

    def sendCloseFrame(self, code: int | None = None, reasonUtf8: Any = None, isReply: bool = False) -> None:
        super().sendCloseFrame(code, None if reasonUtf8 is None else _bytes(reasonUtf8), isReply)


class _CaseFactory(WebSocketClientFactory):
    """Makes the one protocol of a case."""

    def __init__(self, url: str, protocol: CaseProtocol) -> None:
        super().__init__(url)
        self._made = protocol
        # One second, the default, is a pause that a busy machine may make: it says nothing of the server.
        self.setProtocolOptions(failByDrop=False, closeHandshakeTimeout=10, serverConnectionDropTimeout=10)

    def buildProtocol(self, addr: IAddress | None) -> CaseProtocol:
        self._made.factory = self
        return self._made


# -- runs --------------------------------------------------------------------------------------------------------------


@frozen
class Verdict:
    """What a case found, in the words of the suite.

    :ivar behavior: ``OK``, ``NON-STRICT`` (conformant, not as one would like it), ``INFORMATIONAL`` (left open by the
        RFC), else a failure.
    :ivar closing: the same for the end of the connection.
    """

    id: str
    behavior: str
    closing: str
    result: str


def load(directory: Path) -> dict[str, Any]:
    """The cases of a converted copy, by their id, such as ``6.4.1``."""
    sys.path.insert(0, str(directory))
    try:
        module = importlib.import_module("autobahntestsuite.case")
    finally:
        sys.path.remove(str(directory))
    return {case.__name__.removeprefix("Case").replace("_", "."): case for case in module.Cases}


async def run(
    reactor: Any, cases: dict[str, Any], chosen: Iterable[str], *, messages: int, at_once: int
) -> list[Verdict]:
    """Run cases against the echo on loopback.

    :param messages: how many messages the cases send that would send 1000.
    :param at_once: how many cases may be under way: most of them wait.
    """
    server = EchoFactory(reactor)
    port = reactor.listenTCP(0, server, interface="127.0.0.1")
    endpoint = TCP4ClientEndpoint(reactor, "127.0.0.1", port.getHost().port)
    slots = DeferredSemaphore(at_once)

    async def judge(name: str) -> Verdict:
        case = cases[name]
        if hasattr(case, "COUNT"):
            case = type(case.__name__, (case,), {"COUNT": min(messages, case.COUNT)})
        protocol = CaseProtocol(reactor, case)
        await endpoint.connect(_CaseFactory(f"ws://127.0.0.1:{port.getHost().port}/", protocol))
        done = await protocol.ended
        return Verdict(name, done.behavior, done.behaviorClose, done.result)

    def start(name: str) -> Deferred[Verdict]:
        return Deferred.fromCoroutine(judge(name))

    try:
        return list(await gatherResults([slots.run(start, name) for name in chosen]))
    finally:
        await port.stopListening()
        await server.close_all()
