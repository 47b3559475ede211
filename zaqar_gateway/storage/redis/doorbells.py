"""Rings, by Redis' PUBLISH: a connection of its own that listens, and listens to the same again when it is made anew."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from twisted.application.internet import TimerService
from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IReactorTime
from zope.interface import implementer

from zaqar_gateway.errors import StoreError
from zaqar_gateway.interfaces import IDoorbells
from zaqar_gateway.model import Place
from zaqar_gateway.storage.redis.commands import Commands, Refused, together
from zaqar_gateway.storage.redis.interfaces import IRedis
from zaqar_gateway.storage.redis.keys import Keys
from zaqar_gateway.storage.redis.listening import PING_S, Listening


def tell(protocol: Commands | None, *command: bytes) -> Deferred[Any]:
    """Send a command; on a connection that is lost, what it would do is done when there is one again."""
    if protocol is None:
        return succeed(None)
    telling: Deferred[Any] = protocol.execute_command(*command)
    return telling.addErrback(lambda failure: failure.trap(StoreError, Refused) and None)


@implementer(IDoorbells)
class Doorbells:
    """Channels of one Redis, rung by the scripts that make something owed.

    :param redis: what is asked; the connection that listens is made beside it.
    """

    def __init__(self, redis: IRedis, keys: Keys, clock: IReactorTime) -> None:
        self._keys = keys
        self._topic_keys = keys.topics()
        self._attending: list[tuple[Callable[[Place], None], Callable[[], None]]] = []
        self._watching: dict[bytes, list[Callable[[], None]]] = {}
        self._protocol: Commands | None = None
        self._redis = redis.beside(partial(Listening, self._heard), self._greet, "Redis (to listen)")
        self._pings = TimerService(PING_S, self._ping)
        self._pings.clock = clock

    def start(self) -> None:
        """Begin to listen."""
        self._redis.start()
        self._pings.startService()

    async def stop(self) -> None:
        """Listen no more."""
        if self._pings.running:
            await self._pings.stopService()
        await self._redis.stop()

    def follow(self, place: tuple[str, int]) -> None:
        """See :meth:`.Redis.follow`."""
        self._redis.follow(place, 0)

    def when_ready(self) -> Deferred[None]:
        """Fires when it listens."""
        return self._redis.when_ready()

    def attend(self, ring: Callable[[Place], None], missed: Callable[[], None]) -> None:
        """See :meth:`zaqar_gateway.interfaces.IDoorbells.attend`."""
        self._attending.append((ring, missed))

    def watch(self, place: Place, ring: Callable[[], None]) -> Callable[[], None]:
        """See :meth:`zaqar_gateway.interfaces.IDoorbells.watch`."""
        return self._watch(self._channel(place), ring)

    def watch_changes(self, place: Place, ring: Callable[[], None]) -> Callable[[], None]:
        """See :meth:`zaqar_gateway.interfaces.IDoorbells.watch_changes`."""
        return self._watch(self._channel(place) + b":changed", ring)

    def _channel(self, place: Place) -> bytes:
        return (self._topic_keys if place.is_topic else self._keys).queue(place.project, place.name)

    def _watch(self, channel: bytes, ring: Callable[[], None]) -> Callable[[], None]:
        watching = self._watching.setdefault(channel, [])
        watching.append(ring)
        if len(watching) == 1:
            # What came before Redis listened for it was missed.
            self._listen(channel).addCallback(lambda _: self._ring_all(channel))

        def end() -> None:
            watching.remove(ring)
            if not watching:
                del self._watching[channel]
                self._ignore(channel)

        return end

    def _listen(self, channel: bytes) -> Deferred[Any]:
        """Fires when Redis listens for it, or will when it is connected."""
        return tell(self._protocol, b"SUBSCRIBE", channel)

    def _ignore(self, channel: bytes) -> None:
        tell(self._protocol, b"UNSUBSCRIBE", channel)

    def _ring_all(self, channel: bytes) -> None:
        for ring in list(self._watching.get(channel, ())):
            ring()

    def _ping(self) -> None:
        if self._redis.ready:
            tell(self._protocol, b"PING")

    async def caught_up(self) -> None:
        """Return when all that was told before has been heard."""
        await self._redis.ping()

    async def _greet(self, protocol: Commands) -> None:
        self._protocol = protocol  # what is watched from here on is told to it at once
        await together(*(protocol.execute_command(b"SUBSCRIBE", channel) for channel in (*self._keys.owed, *self._channels())))
        self._tell_missed()
        for channel in self._channels():
            self._ring_all(channel)

    def _tell_missed(self) -> None:
        """Tell all who attend that something may have become owed which they do not hear of."""
        for _, missed in self._attending:
            missed()

    def _channels(self) -> list[bytes]:
        """What this connection listens for, besides to what is owed."""
        return list(self._watching)

    def _heard(self, channel: bytes, text: bytes) -> None:
        if channel in self._keys.owed:
            for ring, _ in self._attending:
                ring(self._keys.place(text))
        else:
            self._ring_all(channel)
