"""What tests of Keystone share: a client over real sockets, and one that answers as a test says."""

from __future__ import annotations

import json
from typing import Any

from treq.client import HTTPClient
from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.client import Agent, ResponseDone
from twisted.web.http_headers import Headers

from zaqar_gateway.identity.keystone import Keystone
from zaqar_gateway.kept import KeptConnections, WholeBody

TIMEOUT_S = 30.0


def real(case: SynchronousTestCase, url: str) -> Keystone:
    """A Keystone over real sockets, which the end of the test closes."""
    pool = KeptConnections(reactor)
    case.addCleanup(pool.closeCachedConnections)
    return Keystone(HTTPClient(Agent(reactor, pool=pool)), reactor, url, TIMEOUT_S)


class Response:
    """An answer, as :class:`twisted.web.iweb.IResponse` has it as far as it is looked at."""

    def __init__(self, code: int, content: bytes, headers: dict[str, list[str]]) -> None:
        self.code = code
        self.length = len(content)
        self.headers = Headers(headers)
        self._content = content

    def deliverBody(self, protocol: Any) -> None:
        """Deliver it at once."""
        protocol.makeConnection(self)
        protocol.dataReceived(self._content)
        protocol.connectionLost(_DONE)

    def loseConnection(self) -> None:
        """The reader has had enough."""


class _Done:
    def check(self, *kinds: type[BaseException]) -> bool:
        return ResponseDone in kinds


_DONE = _Done()


class Scripted:
    """A client whose requests wait until the test answers them.

    :ivar asked: method, URL, headers and body of each request.
    """

    def __init__(self) -> None:
        self.asked: list[tuple[str, str, dict[str, str], Any]] = []
        self._waiting: list[Deferred[Response]] = []

    def request(self, method: str, url: str, *, headers: dict[str, str], data: WholeBody | None, **_: Any) -> Any:
        """See :meth:`treq.client.HTTPClient.request`."""
        self.asked.append((method, url, headers, None if data is None else json.loads(data.content)))
        self._waiting.append(Deferred())
        return self._waiting[-1]

    def answer(self, code: int, body: object = None, token: str = "") -> None:
        """Answer the oldest request that waits.

        :param body: bytes as they are, anything else as JSON.
        """
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        self._waiting.pop(0).callback(Response(code, content, {"X-Subject-Token": [token]} if token else {}))

    def fail(self, error: Exception) -> None:
        """Have the oldest request that waits fail."""
        self._waiting.pop(0).errback(error)
