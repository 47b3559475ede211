"""Connections to HTTP servers that are kept for further requests."""

from __future__ import annotations

from collections.abc import Sized
from typing import Any

from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IConsumer, IStreamClientEndpoint
from twisted.web.client import HTTPConnectionPool, _HTTP11ClientFactory, _RetryingHTTP11ClientProtocol
from twisted.web.iweb import IBodyProducer
from zope.interface import implementer

_IDLE_S = 4
"""How long one is kept that nobody uses: others close it after 5 s or more, as Apache does, and a request may be on its way then."""

KEPT_MAX = 1000
"""How many are kept to all hosts together."""


class _QuietFactory(_HTTP11ClientFactory):
    """Not each connection is an event."""

    noisy = False


class _Used(_RetryingHTTP11ClientProtocol):
    """A connection that was used before.  A request that nothing of an answer came to goes out once more, on a new one."""

    def _shouldRetry(self, method: bytes, exception: Exception, bodyProducer: IBodyProducer | None) -> bool:
        return bool(super()._shouldRetry(b"GET", exception, None))


class KeptConnections(HTTPConnectionPool):
    """Idle connections, by host and port; what the library keeps for each host for ever goes with the last one here.

    It is for requests that may be sent twice, whatever their method, with a :class:`WholeBody`: a server may close a connection
    at any time, be it right after its answer, as one that speaks HTTP/1.0 does, and that is no failure of the next request.  The
    library sends those again that have no body and that are idempotent (RFC 9110, section 9.2.2).

    :param per_host: how many to one host, at most.
    :param total: how many to all; beyond it what was used last is not kept.
    """

    _factory = _QuietFactory
    cachedConnectionTimeout = _IDLE_S

    def __init__(
        self, reactor: Any, per_host: int = HTTPConnectionPool.maxPersistentPerHost, total: int = KEPT_MAX
    ) -> None:
        super().__init__(reactor)
        self.maxPersistentPerHost = per_host
        self._total = total

    def getConnection(self, key: Any, endpoint: IStreamClientEndpoint) -> Deferred[Any]:
        """See :class:`~twisted.web.client.HTTPConnectionPool`."""

        def used(connection: Any) -> Any:
            if isinstance(connection, _RetryingHTTP11ClientProtocol):
                return _Used(connection._clientProtocol, connection._newConnection)
            return connection

        found: Deferred[Any] = super().getConnection(key, endpoint)
        self._forget(key)
        return found.addCallback(used)

    def _putConnection(self, key: Any, connection: Any) -> None:
        if len(self._timeouts) < self._total:
            super()._putConnection(key, connection)
        else:
            connection.transport.loseConnection()

    def _removeConnection(self, key: Any, connection: Any) -> None:
        super()._removeConnection(key, connection)
        self._forget(key)

    def _forget(self, key: Any) -> None:
        if not self._connections.get(key, True):
            del self._connections[key]


@implementer(IBodyProducer)
class WholeBody:
    """The body of a request, at once, as often as it is sent.

    :ivar content: all of it: bytes, or what else the connection takes and knows the length of.
    """

    def __init__(self, content: Sized) -> None:
        self.length = len(content)
        self.content: Any = content

    def startProducing(self, consumer: IConsumer) -> Deferred[None]:
        """See :class:`~twisted.web.iweb.IBodyProducer`."""
        consumer.write(self.content)
        return succeed(None)

    def pauseProducing(self) -> None:
        """There is nothing to pause."""

    def resumeProducing(self) -> None:
        """See :meth:`pauseProducing`."""

    def stopProducing(self) -> None:
        """See :meth:`pauseProducing`."""
