"""What all WebSockets of a listener share: actions, bounds, the set of connections, and their end."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from attrs import field, frozen
from autobahn.twisted.websocket import WebSocketServerFactory, WebSocketServerProtocol
from autobahn.websocket.compress import PerMessageDeflateOffer, PerMessageDeflateOfferAccept
from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger

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
from zaqar_gateway.transport.websocket.codec import Actions, Expiring
from zaqar_gateway.transport.websocket.origins import Origins
from zaqar_gateway.transport.websocket.projects import Projects
from zaqar_gateway.transport.websocket.protocol import GatewayProtocol, Pushes
from zaqar_gateway.transport.websocket.session import Session

_DEFLATE_WINDOW_BITS = 12
_DEFLATE_MEMORY_LEVEL = 5
"""With these a compressor takes 32 KiB for a connection; the defaults of zlib take 256."""


def _at_least(least: float) -> Callable[[Any, Any, Any], None]:
    def check(instance: Any, attribute: Any, value: float) -> None:
        if value < least:
            raise ValueError(f"{attribute.name} is {value}; it has to be {least} or more")

    return check


@frozen(kw_only=True)
class WebSocketBounds:
    """What one socket, and all of them together, may take.

    :ivar message_max: bytes of a message, after inflation; a longer one closes the connection with 1009.
    :ivar in_flight_max: requests of one socket that may be under way; beyond it the socket is not read.
    :ivar write_buffer_max: bytes that a peer may leave unread before it is read no more.
    :ivar drain_timeout_s: seconds in which it then has to read all of them, or it is closed with 1008.
    :ivar ping_interval_s: seconds between the pong of a ping and the next one; 0: none.
    :ivar ping_timeout_s: seconds after which a peer that did not answer a ping is dropped.
    :ivar open_timeout_s: seconds that the opening handshake may take.
    :ivar close_timeout_s: seconds that the closing handshake may take.
    :ivar authentication_timeout_s: seconds until somebody has to have authenticated, where there is authentication; a good
        signature in a frame begins them anew.
    :ivar unauthenticated_frames_max: how many frames a socket may send meanwhile; either bound closes it with 1008.
    :ivar expiry_warning_s: seconds before the end of its token at which a socket is told of it; 0: it is not.
    :ivar idle_timeout_s: seconds without a request or a push after which a socket is closed with 1008, or up to twice as
        many; 0: never.
    :ivar handshake_max: bytes of the request head.
    :ivar headers_max: header lines in it.
    :ivar connections_max: how many connections there may be; the next is refused with 503.  0: any number.
    :ivar per_project_max: how many sockets a project may have; the next is closed with 1013.  0: any number.
    :ivar slow_max_s: for how many seconds a peer may leave unread what was pushed while there is more, before it is closed with
        1008; 0: for any time, falling behind.
    :ivar allowed_origins: patterns of the origins that browsers may come from, besides those of :class:`.Origins`.
    :ivar deflate: whether compression (RFC 7692) is agreed to where a client offers it.
    """

    message_max: int = field(default=1024 * 1024, validator=_at_least(1))
    in_flight_max: int = field(default=64, validator=_at_least(1))
    write_buffer_max: int = field(default=4 * 1024 * 1024, validator=_at_least(0))
    drain_timeout_s: float = field(default=30, validator=_at_least(0))
    ping_interval_s: float = field(default=30, validator=_at_least(0))
    ping_timeout_s: float = field(default=30, validator=_at_least(0))
    open_timeout_s: float = field(default=10, validator=_at_least(0))
    close_timeout_s: float = field(default=5, validator=_at_least(0))
    authentication_timeout_s: float = field(default=30, validator=_at_least(0))
    unauthenticated_frames_max: int = field(default=64, validator=_at_least(1))
    expiry_warning_s: float = field(default=0, validator=_at_least(0))
    idle_timeout_s: float = field(default=0, validator=_at_least(0))
    handshake_max: int = field(default=32 * 1024, validator=_at_least(1024))
    headers_max: int = field(default=100, validator=_at_least(1))
    connections_max: int = field(default=0, validator=_at_least(0))
    per_project_max: int = field(default=0, validator=_at_least(0))
    slow_max_s: float = field(default=0, validator=_at_least(0))
    allowed_origins: Sequence[str] = ()
    deflate: bool = True


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
        :return: fires when there is no connection any more; it does not fail.
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

        return gone.addCallback(done)

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
