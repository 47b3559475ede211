"""The connection to a Redis: one for all commands, made again when it is lost."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine, Sequence
from typing import Any, cast

import hiredis
from twisted.application.internet import backoffPolicy
from twisted.internet.defer import CancelledError, Deferred, ensureDeferred, fail, succeed
from twisted.internet.interfaces import IReactorTime, IStreamClientEndpoint
from twisted.internet.protocol import Factory
from twisted.internet.task import deferLater
from twisted.logger import Logger, LogLevel
from zope.interface import implementer

from zaqar_gateway.errors import StoreUnavailable
from zaqar_gateway.order import Order
from zaqar_gateway.storage.redis.commands import (
    Argument,
    Commands,
    Growing,
    Refused,
    SlotMoved,
    is_denied,
    refusal,
    together,
)
from zaqar_gateway.storage.redis.interfaces import IConnection, IRedis
from zaqar_gateway.storage.redis.packing import bulk
from zaqar_gateway.storage.redis.scripts import Script

_log = Logger()

_PAUSE_MIN_S = 0.05
_MULTI, _EXEC = b"*1\r\n" + bulk(b"MULTI"), b"*1\r\n" + bulk(b"EXEC")


async def _check_role(protocol: Commands) -> None:
    """Note how many replicas follow.

    :raises StoreUnavailable: it is a connection to a replica.
    """
    try:
        role = await protocol.execute_command("ROLE")
    except Refused as error:
        if is_denied(str(error)) or str(error).startswith("ERR unknown command"):
            return  # a write will tell
        raise
    if role[0] == b"slave":
        raise refusal("READONLY")
    if role[0] == b"master":
        protocol.replicas = len(role[2])


@implementer(IRedis, IConnection)
class Redis:
    """The one connection to a Redis, made again when it is lost.

    :param endpoint: where Redis is.
    :param timeout_s: how long a command may wait for its answer.
    :param bound: how many commands may wait at once; one more is refused at once.
    :param retry_max_s: the longest pause between two attempts to connect.
    :param scripts: loaded on each connection before anybody else may use it.
    :param make: makes the protocol of a connection: (clock, ``timeout_s``, ``bound``) to protocol.
    :param greet: what is done on each connection before anybody else may use it.
    :param order: tells when requests may overtake each other; ``None``: never.
    :param name: what is at the endpoint, for the log.
    :param may_follow: whether it may be a replica.
    :ivar since_s: when it was connected, or was so last, in seconds since the epoch.
    :ivar losses: how often a connection was lost.
    :ivar why_away: why it cannot be connected, where that was tried.
    """

    def __init__(
        self,
        endpoint: IStreamClientEndpoint,
        clock: IReactorTime,
        *,
        timeout_s: float = 5.0,
        bound: int = 10000,
        retry_max_s: float = 2.0,
        username: str = "",
        password: str = "",
        database: int = 0,
        scripts: Sequence[Script] = (),
        make: Callable[[Any, float, int], Commands] = Commands,
        greet: Callable[[Commands], Awaitable[None]] | None = None,
        order: Order | None = None,
        name: str = "Redis",
        may_follow: bool = False,
    ) -> None:
        self._name = name
        self._may_follow = may_follow
        self._make = make
        self._order = order
        self._greet = greet
        self._endpoint = endpoint
        self._clock = clock
        self._timeout_s = timeout_s
        self._bound = bound
        self._retry_max_s = retry_max_s
        self._pause = backoffPolicy(initialDelay=_PAUSE_MIN_S, maxDelay=retry_max_s)
        self._login: list[tuple[Argument, ...]] = []
        if password:
            self._login.append(("AUTH", username, password) if username else ("AUTH", password))
        if database:
            self._login.append(("SELECT", database))
        self._scripts = scripts
        self._protocol: Commands | None = None
        self._waiting: list[Deferred[None]] = []
        self._running: Deferred[None] | None = None
        self._arriving: Commands | None = None  # a connection that is not ready yet
        self._trying: Deferred[Any] | None = None  # to connect, or a pause before that
        self._is_elsewhere = False
        self._stopping = False
        self.since_s = clock.seconds()
        self.losses = 0
        self.why_away = ""

    def beside(
        self, make: Callable[[Any, float, int], Commands], greet: Callable[[Commands], Awaitable[None]], name: str
    ) -> Redis:
        other = Redis(
            self._endpoint,
            self._clock,
            timeout_s=self._timeout_s,
            bound=self._bound,
            retry_max_s=self._retry_max_s,
            make=make,
            greet=greet,
            name=name,
        )
        other._login = self._login
        return other

    # See IConnection, and IRedis for the commands.

    # -- being connected ---------------------------------------------------------------------------------------------

    def start(self) -> None:
        self._stopping = False
        self._running = Deferred.fromCoroutine(self._stay_connected())
        self._running.addErrback(lambda failure: failure.trap(CancelledError) and None)

    async def stop(self) -> None:
        if self._running is not None:
            gone = self._protocol.whenDisconnected() if self._protocol else succeed(None)
            running, self._running, self._stopping = self._running, None, True
            running.cancel()
            await running
            await gone

    def follow(self, place: tuple[str, int], electable: int) -> None:
        there = self._protocol or self._arriving
        if there is None:
            return  # whatever is connected to next is asked for anew
        if there.place == place:
            there.electable = electable
        else:
            self.connect_anew()

    def connect_anew(self) -> None:
        """Have another connection at once, since what this one leads to has moved."""
        self._is_elsewhere = True
        if self._protocol is not None:
            self._protocol.transport.abortConnection()
        elif self._trying is not None:
            self._trying.cancel()

    async def once(self, *args: Argument) -> Any:
        """Run a command on a connection of its own, beside what :meth:`start` does; errors as of :meth:`several`."""
        return (await self.several(args))[0]

    async def several(self, *commands: Sequence[Argument]) -> list[Any]:
        """Run commands on a connection of their own.

        :raises Exception: it cannot be used, whatever the endpoint raises; or :exc:`Refused`.
        """
        protocol = await self._connect()
        try:
            return [await protocol.execute_command(*each) for each in commands]
        finally:
            gone = protocol.whenDisconnected()
            protocol.transport.abortConnection()
            await gone

    @property
    def protocol(self) -> Commands | None:
        """The connection that there is now."""
        return self._protocol

    @property
    def ready(self) -> bool:
        return self._protocol is not None

    def when_ready(self, key: bytes | None = None) -> Deferred[None]:
        waiting: Deferred[None] = Deferred(self._waiting.remove)
        if self.ready:
            waiting.callback(None)
        else:
            self._waiting.append(waiting)
        return waiting

    async def _stay_connected(self) -> None:
        failures, was_there = 0, False
        told: set[str] = set()
        while True:
            protocol, self._is_elsewhere = None, False
            try:
                protocol = await self._try(self._connect())
                if failures:
                    _log.info("{name} is there again" if was_there else "{name} is there", name=self._name)
                self._became_ready(protocol)
                failures, was_there = 0, True
                told.clear()
                await protocol.whenDisconnected()
                self.losses += 1
                if self._is_elsewhere:
                    _log.info("the connection to {name} is made anew, since something has moved", name=self._name)
                else:
                    _log.error("the connection to {name} is lost; it is being made again", name=self._name)
            except Exception as error:  # whatever keeps us from connecting, another attempt may go better
                if self._stopping:
                    return
                self.why_away = why = str(error) or type(error).__name__
                # A slot that has moved is looked up, and asked for elsewhere.
                is_known = why in told or isinstance(error, CancelledError | SlotMoved)
                level = LogLevel.debug if is_known else LogLevel.error
                _log.emit(level, "{name} cannot be used, and is tried again: {why}", name=self._name, why=why)
                told.add(why)
            finally:
                if self._protocol is not None:
                    self._protocol, self.since_s = None, self._clock.seconds()
                if protocol is not None and protocol.transport is not None:
                    protocol.transport.abortConnection()
            failures += 1
            if self._is_elsewhere:
                continue
            try:
                await self._try(self.pause(self._pause(failures)))
            except CancelledError:
                if self._stopping:
                    return

    async def _try(self, step: Coroutine[Any, Any, Any] | Deferred[Any]) -> Any:
        """Wait for something that :meth:`follow` may end."""
        self._trying = ensureDeferred(step)
        try:
            return await self._trying
        finally:
            self._trying = None

    async def _connect(self) -> Commands:
        factory = Factory.forProtocol(lambda: self._make(self._clock, self._timeout_s, self._bound))
        factory.noisy = False
        self._arriving = protocol = cast(Commands, await self._endpoint.connect(factory))
        try:
            for command in self._login:
                await protocol.execute_command(*command)
            if not self._may_follow:
                await _check_role(protocol)
            for script in self._scripts:
                await protocol.execute_command("SCRIPT", "LOAD", script.text)
            protocol.scripts = self._scripts
            if self._greet is not None:
                await self._greet(protocol)
        except BaseException as error:
            protocol.transport.abortConnection()
            if isinstance(error, StoreUnavailable):
                raise type(error)(f"{error} {protocol.end}".strip()) from None
            raise
        finally:
            self._arriving = None
        return protocol

    def _became_ready(self, protocol: Commands) -> None:
        self._protocol, self.since_s, self.why_away = protocol, self._clock.seconds(), ""
        # A turn later, for whoever waits may want to stop what is running here.
        self._clock.callLater(0, self._announce)

    def _announce(self) -> None:
        if self.ready:
            waiting, self._waiting = self._waiting, []
            for one in waiting:
                one.callback(None)

    # -- commands ----------------------------------------------------------------------------------------------------

    def pause(self, seconds: float) -> Deferred[None]:
        return deferLater(self._clock, seconds)

    async def ping(self) -> None:
        await self.command(b"PING")

    async def in_order(self, *steps: Coroutine[Any, Any, Any]) -> list[Any]:
        return await together(*steps)

    def parts(self) -> Sequence[IRedis]:
        return [self]

    async def command(self, *args: Argument) -> Any:
        if self._protocol is None:
            raise StoreUnavailable("There is no connection to Redis.")
        try:
            return await self._protocol.execute_command(*args)
        except Refused as error:
            raise refusal(str(error)) from None

    async def script(self, script: Script, keys: Sequence[bytes], args: Sequence[Argument]) -> Any:
        if self._protocol is None:
            raise StoreUnavailable("There is no connection to Redis.")
        command = b"EVALSHA", script.sha, len(keys), *keys, *args
        return await self._protocol.send(hiredis.pack_command(cast("tuple[Any]", command)), script)

    def run(self, script: Script, count: int, *packed: bytes) -> Deferred[Any]:
        if self._protocol is None:
            return fail(StoreUnavailable("There is no connection to Redis."))
        return self._protocol.send(b"".join((b"*%d\r\n" % (count + 3), script.by_sum, *packed)), script)

    def growing(self, kind: object, overtakes: bool = True) -> Growing | None:
        if self._protocol is None:
            return None
        is_ordered = not overtakes or self._order is None or bool(self._order.several)
        return self._protocol.growing(kind, is_ordered)

    def send(self, sent: Growing, kind: object) -> None:
        if self._protocol is None:
            sent.fail(StoreUnavailable("There is no connection to Redis."))
        else:
            self._protocol.send_growing(sent, kind)

    async def transaction(self, key: bytes, number: int, *packed: bytes, script: Script | None = None) -> list[Any]:
        if self._protocol is None:
            raise StoreUnavailable("There is no connection to Redis.")
        *_, answers = await self._protocol.send_together(number + 2, _MULTI, *packed, _EXEC, script=script)
        for answer in answers:
            if isinstance(answer, Refused):
                raise refusal(str(answer))
        return cast("list[Any]", answers)
