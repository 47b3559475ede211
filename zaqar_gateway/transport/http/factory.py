"""What all connections of a listener share: the set of connections, and their end."""

from __future__ import annotations

from collections.abc import Callable
from email.utils import formatdate
from functools import partial

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IAddress, IDelayedCall, IReactorTime
from twisted.internet.protocol import ServerFactory

from zaqar_gateway.clocks import time_of_day
from zaqar_gateway.operations.refusals import Refusals
from zaqar_gateway.transport import protection
from zaqar_gateway.transport.http.bounds import HttpBounds
from zaqar_gateway.transport.http.channel import HttpChannel, IHttpApplication
from zaqar_gateway.transport.peers import Intake, Peers
from zaqar_gateway.transport.turns import Turns
from zaqar_gateway.transport.unread import Unread


class HttpFactory(ServerFactory):
    """The connections of one listener, or of several.

    A connection that was handed to another protocol is no longer counted.

    :param channel: makes the protocol of each.
    :ivar application: provides :class:`IHttpApplication`.
    :ivar peers: counts connections, besides those of this factory; ``None``: nobody does.
    :ivar intake: which of them are taken on.
    :ivar now: the time of the clock, as it was at most a second ago.
    :ivar draining: whether :meth:`stop_accepting` was called.
    :ivar watched: whether somebody waits for :meth:`when_idle`.
    :ivar unread: counts what peers do not read, besides that of this factory.
    :ivar call_later: of the clock.
    :ivar turns: the row of those that have had their turn and have more to do, besides those of this factory.
    :ivar tail: what every answer has, Date and the end of a head; ``tail_close`` and ``tail_keep`` say too what becomes
        of the connection.
    :ivar transport_security: a header line for answers over TLS, or nothing.
    """

    noisy = False

    def __init__(
        self,
        application: IHttpApplication,
        bounds: HttpBounds,
        clock: IReactorTime,
        transport_security: bytes = b"",
        unread: Unread | None = None,
        peers: Peers | None = None,
        refusals: Refusals | None = None,
        turns: Turns | None = None,
        channel: Callable[[HttpFactory], HttpChannel] = HttpChannel,
    ) -> None:
        self._channel = channel
        self.application = application
        self.transport_security = transport_security
        self.unread = unread or Unread()
        self.bounds = bounds
        refusals = refusals or Refusals()
        self.peers = peers or Peers(refusals)
        self.draining = False
        self.watched = False
        self.now = 0.0
        self.tail = self.tail_close = self.tail_keep = b""
        self.call_later = clock.callLater
        self.turns = turns or Turns(clock)
        self._clock = clock
        self._channels: set[HttpChannel] = set()
        self.intake = Intake(
            self.peers, refusals, self._channels, bounds.connections_max, "http.max_connections", "connections of HTTP"
        )
        self._waiting: list[Deferred[None]] = []
        self._ticking: IDelayedCall | None = None

    def buildProtocol(self, addr: IAddress | None) -> HttpChannel | None:
        """A channel, or ``None`` where no more are accepted: then the connection is closed."""
        if self.draining:
            return None
        channel = self._channel(self)
        channel.factory = self
        return channel

    @property
    def connections(self) -> int:
        """How many connections there are."""
        return len(self._channels)

    def stop_accepting(self) -> None:
        """Close idle connections, the others after the reply that they wait for, and new ones at once."""
        self.draining = True
        for channel in list(self._channels):
            channel.drain()

    def when_idle(self) -> Deferred[None]:
        """Fires when no connection is within a request or has a reply to get rid of.

        It may wait as long as clients make a request last: bound it.
        """
        idle: Deferred[None] = Deferred()
        self._waiting.append(idle)
        self.watched = True
        self.check_idle()
        return idle

    def check_idle(self) -> None:
        """Fire what :meth:`when_idle` gave, if it is time."""
        if not any(channel.occupied for channel in self._channels):
            waiting, self._waiting = self._waiting, []
            self.watched = False
            for idle in waiting:
                idle.callback(None)

    def add(self, channel: HttpChannel) -> None:
        """A connection was made."""
        self._channels.add(channel)
        if self._ticking is None:
            self._tick()

    def forget(self, channel: HttpChannel) -> None:
        """A connection was lost, or handed over."""
        self._channels.discard(channel)
        self.intake.forget(channel)
        if not self._channels and self._ticking is not None:
            self._ticking.cancel()
            self._ticking = None
        if self.watched:
            self.check_idle()

    def _tick(self) -> None:
        self.now = now = self._clock.seconds()
        date = b"%bDate: %b\r\n" % (protection.ALWAYS, formatdate(time_of_day(self._clock), usegmt=True).encode())
        self.tail = date + b"\r\n"
        self.tail_close = date + b"Connection: close\r\n\r\n"
        self.tail_keep = date + b"Connection: keep-alive\r\n\r\n"
        self._ticking = self._clock.callLater(1, self._tick)
        for channel in [channel for channel in self._channels if channel.deadline <= now]:
            self.turns.wait(partial(self._expire, channel))

    def _expire(self, channel: HttpChannel) -> None:
        if channel.deadline <= self.now:
            channel.expire(self.now)
