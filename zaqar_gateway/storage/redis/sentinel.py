"""Where the master is that Sentinel watches, and that another one has become it.

A Sentinel that is cut off tells where the master was.  So all are asked, and the one that knows of the latest failover is believed.  What
is found there is asked for its role, as any Redis is.  Sources: Redis' guidelines for clients of Sentinel, and its documentation of
SENTINEL MASTER and of the event ``+switch-master``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from attrs import field, frozen
from twisted.application.internet import TimerService
from twisted.internet.defer import Deferred, TimeoutError
from twisted.internet.interfaces import IDelayedCall, IProtocol, IProtocolFactory, IReactorTime, IStreamClientEndpoint
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from zaqar_gateway.errors import StoreError, StoreUnavailable
from zaqar_gateway.storage.redis.connection import Commands, Redis, Refused
from zaqar_gateway.storage.redis.listening import PING_S, Listening

ASK_S = 2.0
"""How long a Sentinel may take to answer."""

OTHERS_S = 0.3
"""How long the others may take when one has answered."""

_SWITCHED = b"+switch-master"

_log = Logger()

_UNSOUND = frozenset((b"failover_in_progress", b"s_down"))

Place = tuple[str, int]
_Weight = tuple[int, bool]
"""The number of the latest failover that is known of, and whether the master is reached."""


@frozen
class Sentinel:
    """One of the Sentinels, and what to say on arrival.

    :ivar where: its host and port, for people.
    """

    where: str
    endpoint: IStreamClientEndpoint
    username: str = ""
    password: str = field(default="", repr=False)

    def connection(self, clock: IReactorTime, **more: Any) -> Redis:
        """A connection to it, not started yet."""
        return Redis(
            self.endpoint, clock, username=self.username, password=self.password, name=f"Sentinel {self.where}", timeout_s=ASK_S, **more
        )


@implementer(IStreamClientEndpoint)
class Master:
    """The master of a name, wherever it is at the time of a connection.

    :param reach: makes an endpoint of a host and a port.
    :ivar name: that the Sentinels have for it.
    :ivar place: where it was last; ``None`` before that is known.
    """

    def __init__(
        self, sentinels: Sequence[Sentinel], name: str, reach: Callable[[str, int], IStreamClientEndpoint], clock: IReactorTime
    ) -> None:
        self._sentinels = sentinels
        self.name = name
        self._reach = reach
        self._clock = clock
        self.place: Place | None = None

    def connect(self, protocolFactory: IProtocolFactory) -> Deferred[IProtocol]:
        return Deferred.fromCoroutine(self._connect(protocolFactory))

    async def _connect(self, factory: IProtocolFactory) -> IProtocol:
        place = await self._find()
        if place != self.place:
            _log.info("the master {name} is at {host}, port {port}", name=self.name, host=place[0], port=place[1])
        self.place = place
        return await self._reach(*place).connect(factory)

    async def _find(self) -> Place:
        """:raises StoreUnavailable: no Sentinel tells."""
        told: list[tuple[_Weight, Place]] = []
        failed: list[str] = []
        enough: Deferred[None] = Deferred()

        def is_enough() -> None:
            if not enough.called:
                enough.callback(None)

        def has_told(answer: tuple[_Weight, Place]) -> None:
            told.append(answer)
            if len(told) == 1:
                late.append(self._clock.callLater(OTHERS_S, is_enough))

        def has_failed(failure: Failure, sentinel: Sentinel) -> None:
            why = "it does not answer" if failure.check(TimeoutError) else failure.getErrorMessage().rstrip(".")
            failed.append(f"{sentinel.where}: {why}")

        def has_ended(_: object) -> None:
            if len(told) + len(failed) == len(self._sentinels):
                is_enough()

        late: list[IDelayedCall] = []
        asking = []
        for each in self._sentinels:
            asked = Deferred.fromCoroutine(self._ask(each)).addTimeout(ASK_S, self._clock)
            asking.append(asked.addCallbacks(has_told, has_failed, errbackArgs=(each,)).addCallback(has_ended))
        try:
            await enough
        finally:
            for call in late:
                if call.active():
                    call.cancel()
            for one in asking:
                one.cancel()
        if not told:
            raise StoreUnavailable(f"No Sentinel tells where the master {self.name} is; {'; '.join(sorted(failed))}.")
        return max(told, key=lambda answer: answer[0])[1]

    async def _ask(self, sentinel: Sentinel) -> tuple[_Weight, Place]:
        """Where the master is, as a Sentinel knows, and how much that counts.

        :raises StoreUnavailable: it does not tell.
        """
        try:
            answer = await sentinel.connection(self._clock).once("SENTINEL", "MASTER", self.name)
        except Refused as error:
            raise StoreUnavailable(f"it answers: {error}") from None
        told = dict(zip(answer[::2], answer[1::2], strict=True))
        # The one that leads a failover knows its number first, and tells of the old master until all replicas follow the new one.
        is_sound = _UNSOUND.isdisjoint(told[b"flags"].split(b","))
        return (int(told[b"config-epoch"]), is_sound), (told[b"ip"].decode(), int(told[b"port"]))


class Switches:
    """Tells when another Redis than the one that is known has become the master.

    A master that is frozen, or that nobody reaches, closes no connection; without this it would be waited for.

    :param switched: is called for each Sentinel that tells so, until it is known where the master is now.
    """

    def __init__(
        self, sentinels: Sequence[Sentinel], master: Master, clock: IReactorTime, switched: Callable[[], None]
    ) -> None:
        self._master = master
        self._switched = switched
        self._told: Place | None = None
        self._connections = [
            each.connection(clock, make=partial(Listening, self._heard), greet=self._greet) for each in sentinels
        ]
        self._pings = TimerService(PING_S, self._ping)
        self._pings.clock = clock

    def start(self) -> None:
        """Begin to listen."""
        for each in self._connections:
            each.start()
        self._pings.startService()

    async def stop(self) -> None:
        """Listen no more."""
        if self._pings.running:
            await self._pings.stopService()
        for each in self._connections:
            await each.stop()

    async def _greet(self, protocol: Commands) -> None:
        await protocol.execute_command(b"SUBSCRIBE", _SWITCHED)

    def _ping(self) -> None:
        for each in self._connections:
            if each.ready:
                Deferred.fromCoroutine(each.command(b"PING")).addErrback(lambda failure: failure.trap(StoreError) and None)

    def _heard(self, channel: bytes, text: bytes) -> None:
        name, *_, host, port = text.decode().rsplit(" ", 4)
        place = host, int(port)
        if name == self._master.name and place != self._master.place:
            if place != self._told:
                _log.warn("Sentinel tells of another master, at {host}, port {port}", host=host, port=place[1])
            self._told = place
            self._switched()
