"""What all WebSockets of a listener share: actions, the set of connections, and their end."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from attrs import frozen
from autobahn.twisted.websocket import WebSocketServerFactory, WebSocketServerProtocol
from autobahn.websocket.compress import PerMessageDeflateOffer, PerMessageDeflateOfferAccept
from twisted.internet.defer import Deferred, TimeoutError, succeed
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from zaqar_gateway.direct import soon
from zaqar_gateway.interfaces import ISockets, ITokens, IUrlSigner
from zaqar_gateway.limits import ClientIds
from zaqar_gateway.operations.refusals import Refusals
from zaqar_gateway.order import Order
from zaqar_gateway.transport.audit import peer_of
from zaqar_gateway.transport.peers import Intake, Peers
from zaqar_gateway.transport.turns import Turns
from zaqar_gateway.transport.unread import Unread
from zaqar_gateway.transport.websocket.authentication import Authentication
from zaqar_gateway.transport.websocket.bounds import WebSocketBounds
from zaqar_gateway.transport.websocket.codec import Actions, Expiring
from zaqar_gateway.transport.websocket.origins import Origins
from zaqar_gateway.transport.websocket.projects import Projects
from zaqar_gateway.transport.websocket.protocol import GatewayProtocol, Pushes
from zaqar_gateway.transport.websocket.session import Session

_DEFLATE_WINDOW_BITS = 12
_DEFLATE_MEMORY_LEVEL = 5
"""With these a compressor takes 32 KiB for a connection; the defaults of zlib take 256."""

_ABORTED_S = 5.0
"""How long connections that were dropped may take to be gone."""


@frozen
class _Timers:
    """Autobahn's timers, on the clock that the factory was given; its own are on the global reactor."""

    _clock: IReactorTime

    def call_later(self, delay: float, call: Callable[..., Any], *args: Any, **kwargs: Any) -> IDelayedCall:
        return self._clock.callLater(delay, call, *args, **kwargs)


class GatewayFactory(WebSocketServerFactory):
    """Makes the protocol of each connection, for a port of its own as for requests to upgrade on the HTTP port.

    :param actions: what frames can ask for.
    :param client_ids: how a ``Client-ID`` has to look.
    :param clock: for every timeout.
    :param signer: of pre-signed URLs; ``None``: none is accepted.
    :param sockets: is told of connections that end; ``None``: there is nobody to tell.
    :param tokens: finds out whose tokens are; ``None``: nobody has to authenticate.
    :param refusals: counts what is refused; ``None``: nobody looks at that.
    :ivar peers: counts connections, besides those of this factory; ``None``: nobody does.
    :ivar intake: which of them are taken on.
    :param unread: counts what peers do not read, besides that of this factory; ``None``: of this factory alone.
    :ivar pushes: the frames of the notification that is being pushed.
    :ivar turns: the row of those that have had their turn and have more to do, besides those of this factory.
    :ivar order: is told which connections have several requests under way.
    :ivar options: Autobahn's, for each protocol.
    :ivar closing: whether new connections are refused.
    """

    protocol: type[GatewayProtocol] = GatewayProtocol  # type: ignore[assignment]
    noisy = False
    _log = Logger()  # Autobahn owns ``log``

    def __init__(
        self,
        actions: Actions,
        client_ids: ClientIds,
        clock: IReactorTime,
        bounds: WebSocketBounds = WebSocketBounds(),  # noqa: B008 - it is immutable
        signer: IUrlSigner | None = None,
        sockets: ISockets | None = None,
        tokens: ITokens | None = None,
        peers: Peers | None = None,
        refusals: Refusals | None = None,
        unread: Unread | None = None,
        turns: Turns | None = None,
        order: Order | None = None,
    ) -> None:
        super().__init__(server="", reactor=clock)
        self._batched_timer = _Timers(clock)
        self.call_later = self._batched_timer.call_later
        self.bounds = bounds
        self.origins = Origins(bounds.allowed_origins)
        self.connections: set[GatewayProtocol] = set()
        self._actions = actions
        self._client_ids = client_ids
        self._signer = signer
        self._tokens = tokens
        self._clock = clock
        self.sockets = sockets
        self.unread = unread or Unread()
        self.turns = turns or Turns(clock)
        self.order = order or Order()
        self.pushes = Pushes()
        refusals = refusals or Refusals()
        self.peers = peers or Peers(refusals)
        self.intake = Intake(
            self.peers, refusals, self.connections, bounds.connections_max, "websocket.max_connections", "WebSockets"
        )
        self._projects = Projects(bounds.per_project_max, refusals)
        self._unflushed: list[GatewayProtocol] = []
        self.closing = False
        self._all_gone: list[Deferred[None]] = []
        self.setProtocolOptions(
            webStatus=False,
            # The protocol looks at whole messages, which is faster by far than Autobahn's look at each octet.
            utf8validateIncoming=False,
            maxFramePayloadSize=bounds.message_max,
            maxMessagePayloadSize=bounds.message_max,
            failByDrop=False,
            openHandshakeTimeout=bounds.open_timeout_s,
            closeHandshakeTimeout=bounds.close_timeout_s,
            tcpNoDelay=True,
            perMessageCompressionAccept=self._accept_compression,
            autoPingInterval=bounds.ping_interval_s,
            autoPingTimeout=bounds.ping_timeout_s,
            allowedOrigins=["*"],  # the protocol looks itself
            allowNullOrigin=True,
        )
        self.options = {name: getattr(self, name) for name in WebSocketServerProtocol.CONFIG_ATTRS}

    def session(self, connection: GatewayProtocol) -> Session:
        """The conversation of a new connection."""
        authentication = None
        if self._tokens is not None:
            authentication = Authentication(
                self._tokens,
                self._clock,
                self.bounds.authentication_timeout_s,
                self.bounds.unauthenticated_frames_max,
                connection.end,
                connection.drop_subscriptions,
                lambda left_s: connection.push(Expiring(left_s)),
                self.bounds.expiry_warning_s,
                lambda: connection.place,
            )
            authentication.start()
        return Session(
            self._actions,
            self._client_ids,
            self._signer,
            connection,
            authentication,
            self._projects,
            asker=connection,
            peer=partial(peer_of, connection.transport),
        )

    def close_all(self, timeout_s: float = 10) -> Deferred[None]:
        """Let all requests in flight end, close every connection with 1001, and refuse new ones.

        :param timeout_s: after how many seconds the connections that are left are dropped.
        :return: fires when there is no connection any more, or soon after that; it does not fail.
        """
        self.closing = True
        for connection in list(self.connections):
            connection.finish()
        if not self.connections:
            return succeed(None)
        gone: Deferred[None] = Deferred()
        self._all_gone.append(gone)
        overdue = self.call_later(timeout_s, self._abort_all)

        def done(result: None) -> None:
            if overdue.active():
                overdue.cancel()

        def still_there(failure: Failure) -> None:
            failure.trap(TimeoutError)
            self._log.error("{count} WebSockets are still there, and are not waited for", count=len(self.connections))

        gone.addCallback(done)
        return gone.addTimeout(timeout_s + _ABORTED_S, self._clock).addErrback(still_there)

    def flush_soon(self, connection: GatewayProtocol) -> None:
        """Have a connection write what it is pushed in this turn when that ends."""
        self._unflushed.append(connection)
        if len(self._unflushed) == 1:
            soon(self._clock, self._flush)

    def _flush(self) -> None:
        unflushed, self._unflushed = self._unflushed, []
        for connection in unflushed:
            connection.flush()

    def gone(self, connection: GatewayProtocol) -> None:
        """Forget a connection that is lost."""
        self.connections.discard(connection)
        self.intake.forget(connection)
        if not self.connections:
            waiting, self._all_gone = self._all_gone, []
            for deferred in waiting:
                deferred.callback(None)

    def _abort_all(self) -> None:
        self._log.info("{count} WebSockets did not close in time and are dropped", count=len(self.connections))
        for connection in list(self.connections):
            connection.abort()

    def _accept_compression(self, offers: list[Any]) -> PerMessageDeflateOfferAccept | None:
        if self.bounds.deflate:
            for offer in offers:
                if isinstance(offer, PerMessageDeflateOffer):
                    return PerMessageDeflateOfferAccept(
                        offer,
                        window_bits=min(_DEFLATE_WINDOW_BITS, offer.request_max_window_bits or _DEFLATE_WINDOW_BITS),
                        mem_level=_DEFLATE_MEMORY_LEVEL,
                        max_message_size=self.bounds.message_max,
                    )
        return None
