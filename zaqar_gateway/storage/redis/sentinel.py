"""Where the master is that Sentinel watches, and that another one has become it.

A Sentinel that is cut off tells where the master was.  So all are asked, and the one that knows of the latest failover is believed.  What
is found there is asked for its role, as any Redis is.  Sources: Redis' guidelines for clients of Sentinel, and its documentation of
SENTINEL MASTER and of the event ``+switch-master``.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from attrs import evolve, field, frozen
from twisted.application.internet import TimerService
from twisted.internet.defer import Deferred, DeferredLock
from twisted.internet.interfaces import IProtocol, IProtocolFactory, IReactorTime, IStreamClientEndpoint
from twisted.logger import Logger
from zope.interface import implementer

from zaqar_gateway.errors import StoreError, StoreUnavailable
from zaqar_gateway.storage.redis.commands import Commands, Refused
from zaqar_gateway.storage.redis.connection import Redis
from zaqar_gateway.storage.redis.gathering import ASK_S, gather
from zaqar_gateway.storage.redis.listening import PING_S, Listening

_SWITCHED = b"+switch-master"

_log = Logger()

_UNSOUND = frozenset((b"failover_in_progress", b"s_down"))

_GONE = b"s_down"

LOOK_S = 1.0
"""How often the Sentinels are asked, besides at each switch that they tell of: they tell once."""

Place = tuple[str, int]


@frozen(order=True)
class Told:
    """What a Sentinel told.

    :ivar failover: the number of the latest one that it knows of.
    :ivar is_sound: whether it reaches the master, and is through with that failover.
    :ivar place: where the master is.
    :ivar electable: how many replicas it reaches that may take the master's part.
    """

    failover: int
    is_sound: bool
    place: Place = field(order=False)
    electable: int = field(order=False)


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
        told = await self.find()
        if told.place != self.place:
            _log.info("the master {name} is at {host}, port {port}", name=self.name, host=told.place[0], port=told.place[1])
        self.place = told.place
        protocol: Any = await self._reach(*told.place).connect(factory)
        protocol.place, protocol.electable = told.place, told.electable
        return protocol  # type: ignore[no-any-return]

    async def find(self) -> Told:
        """Where the master is by the one that counts most, and how many may take its part by whoever reaches most of them.

        :raises StoreUnavailable: no Sentinel tells.
        """
        gathered = await gather(self._clock, {each.where: self._ask(each) for each in self._sentinels})
        told: list[Told] = [*gathered.told.values()]
        if not told:
            raise StoreUnavailable(f"No Sentinel tells where the master {self.name} is; {gathered.why()}.")
        best = max(told)
        return evolve(best, electable=max(each.electable for each in told if each.place == best.place))

    async def _ask(self, sentinel: Sentinel) -> Told:
        """:raises StoreUnavailable: it does not tell."""
        asking = (("SENTINEL", what, self.name) for what in ("MASTER", "REPLICAS"))
        try:
            return _read(*await sentinel.connection(self._clock).several(*asking))
        except Refused as error:
            raise StoreUnavailable(f"it answers: {error}") from None
        except (LookupError, TypeError, ValueError):
            raise StoreUnavailable("it does not answer as a Sentinel does") from None


def _read(master: Sequence[bytes], replicas: Sequence[Sequence[bytes]]) -> Told:
    """:raises Exception: it is not what Sentinels answer."""
    told, *others = (dict(zip(each[::2], each[1::2], strict=True)) for each in (master, *replicas))
    electable = sum(_GONE not in each[b"flags"].split(b",") and each[b"slave-priority"] != b"0" for each in others)
    # The one that leads a failover knows its number first, and tells of the old master until all replicas follow the new one.
    is_sound = _UNSOUND.isdisjoint(told[b"flags"].split(b","))
    return Told(int(told[b"config-epoch"]), is_sound, (told[b"ip"].decode(), int(told[b"port"])), electable)


class Watch:
    """Looks where the master is, time and again, and at once where a Sentinel tells of another one.

    A master that is frozen, or that nobody reaches, closes no connection; without this it would be waited for.

    :param found: is told what was found.
    """

    def __init__(
        self, sentinels: Sequence[Sentinel], master: Master, clock: IReactorTime, found: Callable[[Told], None]
    ) -> None:
        self._master = master
        self._found = found
        self._connections = [
            each.connection(clock, make=partial(Listening, self._heard), greet=self._greet) for each in sentinels
        ]
        self._timers = [TimerService(PING_S, self._ping), TimerService(LOOK_S, self._look_again)]
        for timer in self._timers:
            timer.clock = clock
        self._looking = DeferredLock()

    def start(self) -> None:
        """Begin to listen."""
        for each in self._connections:
            each.start()
        for timer in self._timers:
            timer.startService()

    async def stop(self) -> None:
        """Listen no more."""
        for timer in self._timers:
            if timer.running:
                await timer.stopService()
        for each in self._connections:
            await each.stop()

    async def _greet(self, protocol: Commands) -> None:
        await protocol.execute_command(b"SUBSCRIBE", _SWITCHED)

    def _ping(self) -> None:
        for each in self._connections:
            if each.ready:
                Deferred.fromCoroutine(each.command(b"PING")).addErrback(lambda failure: failure.trap(StoreError) and None)

    def _heard(self, channel: bytes, text: bytes) -> None:
        if text.split(b" ")[0] == self._master.name.encode():
            self._look_again()

    def _look_again(self) -> Deferred[None]:
        return Deferred.fromCoroutine(self._look())

    async def _look(self) -> None:
        async with self._looking:
            try:
                told = await self._master.find()
            except StoreUnavailable:
                return  # what there is is gone on with
            self._found(told)
