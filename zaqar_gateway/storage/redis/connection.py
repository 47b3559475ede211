"""The connection to Redis: one for all commands, so that they take effect in the order in which they are given.

txredisapi is the client library: its protocol connects, authenticates and selects.  What this module replaces is how a
command is packed, queued and answered, because that is on the way of every request: hiredis packs and reads, commands of
one reactor turn leave in one write, and one timer watches over all deadlines (measured on one core, SET of 1 KiB, 64
concurrent: 22 us a command before, 3 us after).

An answer of Redis is one of three: a value; a refusal, which is ours from here on (:func:`refusal`); or none, in which
case the outcome of the command is unknown and nothing is repeated.
"""

from __future__ import annotations

import re
import socket
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from typing import Any, cast

import hiredis
import txredisapi
from twisted.application.internet import backoffPolicy
from twisted.internet.defer import CancelledError, Deferred, DeferredList, ensureDeferred, fail, succeed
from twisted.internet.interfaces import IReactorTime, IStreamClientEndpoint
from twisted.internet.protocol import Factory
from twisted.internet.task import deferLater
from twisted.internet.unix import Client as UnixClient
from twisted.logger import Logger, LogLevel
from twisted.python.failure import Failure

from zaqar_gateway.direct import Answer, goes_first, soon, write_all_now
from zaqar_gateway.errors import GatewayError, StoreFault, StoreUnavailable
from zaqar_gateway.order import Order
from zaqar_gateway.storage.redis.packing import bulk
from zaqar_gateway.storage.redis.scripts import Script

_log = Logger()

Argument = bytes | str | int

_SENT_AT_ONCE, _READ_AT_ONCE = 1048576, 327680
"""Bytes that the system takes for Redis at once, as far as it allows, and that are read of it at once: what goes in pieces is copied
for each of them."""

_PAUSE_MIN_S = 0.05
_MULTI, _EXEC = b"*1\r\n" + bulk(b"MULTI"), b"*1\r\n" + bulk(b"EXEC")
_NO_SCRIPT = "NOSCRIPT"

_PASSING = {
    "LOADING": "Redis is loading its data.",
    "READONLY": "This Redis is a replica that takes no writes; a failover may be under way.",
    "MASTERDOWN": "This Redis is a replica without its master; a failover may be under way.",
    "NOREPLICAS": "Redis has too few replicas to accept a write.",
    "MISCONF": "Redis cannot write to its disk.",
    "OOM": "Redis has no memory left, or, where it is embedded, its disk has no room.",  # see room.py
    "BUSY": "Redis is busy with a script.",
    "CLUSTERDOWN": "The Redis Cluster does not serve this slot now.",
    "TRYAGAIN": "The Redis Cluster is moving this slot.",
    "MOVED": "This Redis is a node of a cluster that does not hold this slot.",
    "ASK": "The Redis Cluster is moving this slot.",
    "NOAUTH": "Redis wants a password.",
    "WRONGPASS": "Redis does not accept the password.",
    "NOPERM": "Redis does not permit this user the command.",
    "MAX": "Redis accepts no more clients.",
}
"""First word of a refusal to what it means: nothing was stored, and the cause can pass."""

_DEMOTED = frozenset(("READONLY", "MASTERDOWN"))
"""Refusals of a replica.  One that was a master keeps its connections, and the address may lead to the new master by now."""

_IN_SCRIPT = re.compile("ERR Error running script .*?: -([A-Z]+) ")
"""How Redis before version 7 tells that a command of a script was refused."""


class Refused(Exception):
    """What Redis answered to a command that it did not run."""


def _kind(text: str) -> str:
    """What kind of refusal this is."""
    in_script = _IN_SCRIPT.match(text)
    return in_script[1] if in_script else text.partition(" ")[0]


def refusal(text: str) -> GatewayError:
    """Our error for a refusal of Redis."""
    kind = _kind(text)
    if kind in _PASSING:
        return StoreUnavailable(_PASSING[kind])
    return StoreFault(cause=text)


def ours(error: Exception) -> Exception:
    """What became of a command, as it is told outside of this package."""
    return refusal(str(error)) if isinstance(error, Refused) else error


async def together(*steps: Coroutine[Any, Any, Any] | Deferred[Any]) -> list[Any]:
    """The answers of several commands or scripts, sent in this order and in one write.

    :raises Exception: of the first that failed, once all have their answers.
    """
    answers = await DeferredList([ensureDeferred(step) for step in steps], consumeErrors=True)
    for ok, answer in answers:
        if not ok:
            answer.raiseException()
    return [answer for _, answer in answers]


class Sent(Answer):
    """The answer to a command that was sent, or will be.

    :ivar command: as it was packed.
    :ivar script: that it runs, if it does; a refusal then is our error, and not :class:`Refused`.
    :ivar due_s: when it has to be there.
    :ivar number: of answers.
    :ivar is_counted: whether somebody asked for it.
    """

    number = 1
    is_counted = True

    def __init__(self, command: bytes, script: Script | None) -> None:
        super().__init__()
        self.command = command
        self.script = script
        self.due_s = 0.0

    def pack(self, pieces: list[bytes]) -> None:
        """It is being sent: add the command, packed, in pieces of any size."""
        pieces.append(self.command)


class Growing(Sent):
    """The answer to a command that more may be added to until it is sent."""

    def __init__(self, script: Script | None = None) -> None:
        super().__init__(b"", script)

    def pack(self, pieces: list[bytes]) -> None:
        if not self.command:  # else it is sent again, as it was or with the text of its script
            self.command = self.packed()
        pieces.append(self.command)

    def packed(self) -> bytes:
        """The command."""
        raise NotImplementedError


class SentTogether(Sent):
    """The answers to several commands in a row, as a list, or our error for the first refusal."""

    def __init__(self, number: int, commands: Sequence[bytes]) -> None:
        super().__init__(b"", None)
        self.number = number
        self._commands = commands
        self._answers: list[Any] = []
        self._is_over = False

    def pack(self, pieces: list[bytes]) -> None:
        pieces += self._commands
        self._commands = ()  # it is not sent again, and they may be long

    def give(self, value: Any) -> None:
        self._answers.append(value)
        if len(self._answers) == self.number:
            super().give(self._answers)

    def fail(self, error: Exception) -> None:
        if not self._is_over:
            self._is_over = True
            super().fail(ours(error))


class Commands(txredisapi.HiredisProtocol):  # type: ignore[misc]
    """Commands out in one write for each reactor turn, answers in."""

    def __init__(self, clock: Any, timeout_s: float, bound: int) -> None:
        # It is told no password and no database: it would drop the connection where Redis refuses them.
        super().__init__(charset=None, convertNumbers=False)
        self._clock = clock
        self._timeout_s = timeout_s
        self._bound = bound
        self._reader = hiredis.Reader(replyError=Refused)
        self._unsent: list[Sent] = []
        self._growing: dict[object, Growing] = {}  # of those the last of each kind that more may be added to
        self._unanswered: deque[Sent] = deque()
        self._due_s = 0.0  # of those that are unsent
        self._watch: Any = None
        self._overdue: Deferred[Any] | None = None
        self.end = ""  # what ended the connection, for the log
        self.place: tuple[str, int] | None = None  # where a Sentinel told that this is
        self.replicas: int | None = None  # how many followed on arrival, where it may be asked for
        self.electable = 0  # replicas that may take its part, as far as Sentinels tell
        self._at_end: Callable[[], None] | None = None
        self._behind = 0  # answers still to come from before Redis was found to have forgotten its scripts
        self._held: list[Sent] = []

    def execute_command(self, *args: Argument, **_options: Any) -> Deferred[Any]:
        return self.send(hiredis.pack_command(cast("tuple[Any]", args)))

    def send(self, command: bytes, script: Script | None = None) -> Deferred[Any]:
        """Send a packed command.

        :param script: that it runs by its sum.  Where Redis has forgotten it, it gets the text, and the command keeps its place
            in the order.
        """
        return self._send(Sent(command, script))

    def send_growing(self, sent: Growing, kind: object) -> None:
        """Send a command when this turn of the reactor ends."""
        if (why := self._why_not()) is not None:
            sent.fail(why)
        else:
            self._line_up(sent)
            if not self._behind:
                self._growing[kind] = sent

    def growing(self, kind: object, is_ordered: bool) -> Growing | None:
        """See :meth:`Redis.growing`.

        :param is_ordered: whether a request may be added to the last command of all alone.
        """
        found = self._growing.get(kind)
        return found if found is None or not is_ordered or found is self._unsent[-1] else None

    def send_together(self, number: int, *commands: bytes) -> Deferred[Any]:
        """Send several packed commands in a row, none of which runs a script by its sum.

        :param number: of commands; their bytes may come in pieces of any size.
        :return: the list of their answers; :class:`GatewayError` for the first that was refused.
        """
        return self._send(SentTogether(number, commands))

    def _send(self, sent: Sent) -> Deferred[Any]:
        if (why := self._why_not()) is not None:
            return fail(why)
        self._line_up(sent)
        return sent

    def _why_not(self) -> StoreUnavailable | None:
        """Why nothing can be sent, if nothing can."""
        if len(self._unanswered) + len(self._unsent) + len(self._held) >= self._bound:
            return StoreUnavailable("Too many commands wait for Redis.", retry_after_s=1)
        return None if self.connected else StoreUnavailable("There is no connection to Redis.")

    def _line_up(self, sent: Sent) -> None:
        if self._behind:
            self._held.append(sent)
        else:
            self._put(sent)

    def _put(self, sent: Sent) -> None:
        if not self._unsent:
            soon(self._clock, self._flush)
            self._due_s = self._clock.seconds() + self._timeout_s
        self._unsent.append(sent)
        sent.due_s = self._due_s
        if self._watch is None:
            self._watch = self._clock.callLater(self._timeout_s, self._check_deadline)

    def _take_unsent(self) -> list[Sent]:
        unsent, self._unsent = self._unsent, []
        self._growing.clear()
        return unsent

    def _flush(self) -> None:
        unsent = self._take_unsent()
        if self.connected and unsent:
            pieces: list[bytes] = []
            for sent in unsent:
                self._unanswered.extend((sent,) * sent.number)
                sent.pack(pieces)
            write_all_now(self.transport, pieces)

    def _check_deadline(self) -> None:
        """Redis answers in order: where the oldest command waits too long, all do."""
        self._watch = None
        if not self._unanswered:
            return
        left_s = self._unanswered[0].due_s - self._clock.seconds()
        if left_s > 0:
            self._overdue = None
            self._watch = self._clock.callLater(left_s, self._check_deadline)
        elif self._overdue is not self._unanswered[0]:
            # It may be this process that was held up, and the answer be here already: one turn to read it.
            self._overdue = self._unanswered[0]
            self._watch = self._clock.callLater(0, self._check_deadline)
        else:
            _log.error("Redis did not answer within {timeout_s} s", timeout_s=self._timeout_s)
            self.transport.abortConnection()
            self._fail_all()

    def dataReceived(self, data: bytes, unpause: bool = False) -> None:
        try:
            self._take(data)
        except hiredis.ProtocolError:
            self.transport.abortConnection()
            self._fail_all("What answers does not speak the protocol of Redis.")

    def _take(self, data: bytes) -> None:
        """:raises hiredis.ProtocolError: no Redis has sent this."""
        reader, unanswered = self._reader, self._unanswered
        reader.feed(data)
        while (value := reader.gets()) is not False:
            if not unanswered:
                return  # the deadline has passed; the connection is being closed
            sent = unanswered.popleft()
            if type(value) is Refused:
                self._refused(sent, value)
            else:
                self._answered(sent, value)
            if self._behind and sent.is_counted:
                self._behind -= 1
                if not self._behind:
                    self._release()

    def _answered(self, sent: Sent, value: Any) -> None:
        sent.give(value)

    def _refused(self, sent: Sent, error: Refused) -> None:
        if _kind(str(error)) in _DEMOTED and not self.transport.disconnecting:
            _log.error("this Redis is a replica now, and takes no writes; the connection to it is ended")
            self.transport.loseConnection()
        script = sent.script
        if script is None:
            sent.fail(error)
        elif str(error).startswith(_NO_SCRIPT):
            if not self._behind:
                # Those under way will be refused, too, and sent again: what is new has to come after them.
                self._behind = 1 + sum(each.is_counted for each in self._unanswered) + sum(each.number for each in self._unsent)
                self._growing.clear()  # what is added to them would come before what is held back, and is not counted
            sent.command = sent.command.replace(script.by_sum, script.by_text, 1)
            self._put(sent)
        else:
            sent.fail(refusal(str(error)))

    def _release(self) -> None:
        held, self._held = self._held, []
        for sent in held:
            self._put(sent)

    def connectionMade(self) -> None:
        self._at_end = goes_first(self.transport)
        if isinstance(self.transport, UnixClient):
            # A TCP connection has as much as it needs by itself.
            self.transport.socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SENT_AT_ONCE)
            self.transport.bufferSize = _READ_AT_ONCE
        super().connectionMade()

    def connectionLost(self, why: Failure) -> None:
        if self._at_end is not None:
            self._at_end()
        self.end = why.getErrorMessage()
        super().connectionLost(why)
        if self._watch is not None:
            self._watch.cancel()
            self._watch = None
        self._fail_all()

    def _fail_all(self, why: str = "The connection to Redis was lost before it answered.") -> None:
        self.connected = 0
        unsent = self._take_unsent()
        held, self._held, self._behind = self._held, [], 0
        while self._unanswered:
            self._unanswered.popleft().fail(StoreUnavailable(why, outcome_unknown=True))
        for sent in (*unsent, *held):
            sent.fail(StoreUnavailable("There is no connection to Redis."))


async def _check_role(protocol: Commands) -> None:
    """Note how many replicas follow.

    :raises StoreUnavailable: it is a connection to a replica.
    """
    try:
        role = await protocol.execute_command("ROLE")
    except Refused:  # a user who may not ask; a write will tell
        return
    if role[0] == b"slave":
        raise StoreUnavailable(_PASSING["READONLY"])
    if role[0] == b"master":
        protocol.replicas = len(role[2])


class Redis:
    """The one connection, made again when it is lost.

    :param endpoint: where Redis is.
    :param timeout_s: how long a command may wait for its answer.
    :param bound: how many commands may wait at once; one more is refused at once.
    :param retry_max_s: the longest pause between two attempts to connect.
    :param scripts: loaded on each connection before anybody else may use it.
    :param make: makes the protocol of a connection: (clock, ``timeout_s``, ``bound``) to protocol.
    :param greet: what is done on each connection before anybody else may use it.
    :param order: tells when requests may overtake each other; ``None``: never.
    :param name: what is at the endpoint, for the log.
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
    ) -> None:
        self._name = name
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

    def beside(
        self, make: Callable[[Any, float, int], Commands], greet: Callable[[Commands], Awaitable[None]], name: str
    ) -> Redis:
        """Another connection to the same Redis, without scripts, not started yet; see ``make``, ``greet`` and ``name`` above."""
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

    # -- being connected ---------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Connect, and stay connected until :meth:`stop`."""
        self._stopping = False
        self._running = Deferred.fromCoroutine(self._stay_connected())
        self._running.addErrback(lambda failure: failure.trap(CancelledError) and None)

    async def stop(self) -> None:
        """Close the connection; what is under way then has an unknown outcome."""
        if self._running is not None:
            gone = self._protocol.whenDisconnected() if self._protocol else succeed(None)
            running, self._running, self._stopping = self._running, None, True
            running.cancel()
            await running
            await gone

    def follow(self, place: tuple[str, int], electable: int) -> None:
        """Be connected to a place, or on the way there.

        :param electable: how many replicas of it may take its part.
        """
        there = self._protocol or self._arriving
        if there is None:
            return  # whatever is connected to next is asked for anew
        if there.place == place:
            there.electable = electable
        else:
            self._connect_anew()

    def _connect_anew(self) -> None:
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
    def ready(self) -> bool:
        """Whether there is a connection now."""
        return self._protocol is not None

    def when_ready(self) -> Deferred[None]:
        """Fires when there is a connection.  It may be cancelled."""
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
                _log.error("the connection to {name} is lost; it is being made again", name=self._name)
            except Exception as error:  # whatever keeps us from connecting, another attempt may go better
                if self._stopping:
                    return
                why = str(error) or type(error).__name__
                level = LogLevel.debug if why in told or isinstance(error, CancelledError) else LogLevel.error
                _log.emit(level, "{name} cannot be used, and is tried again: {why}", name=self._name, why=why)
                told.add(why)
            finally:
                self._protocol = None
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
            await _check_role(protocol)
            for script in self._scripts:
                await protocol.execute_command("SCRIPT", "LOAD", script.text)
            if self._greet is not None:
                await self._greet(protocol)
        except BaseException as error:
            protocol.transport.abortConnection()
            if isinstance(error, StoreUnavailable):
                raise StoreUnavailable(f"{error} {protocol.end}".strip()) from None
            raise
        finally:
            self._arriving = None
        return protocol

    def _became_ready(self, protocol: Commands) -> None:
        self._protocol = protocol
        # A turn later, for whoever waits may want to stop what is running here.
        self._clock.callLater(0, self._announce)

    def _announce(self) -> None:
        if self.ready:
            waiting, self._waiting = self._waiting, []
            for one in waiting:
                one.callback(None)

    # -- commands ----------------------------------------------------------------------------------------------------

    def pause(self, seconds: float) -> Deferred[None]:
        """Fires after some time, for work that lets others go first."""
        return deferLater(self._clock, seconds)

    async def command(self, *args: Argument) -> Any:
        """Run a command.

        :return: bytes, integers, lists of them, or ``None``, as Redis answers.
        :raises StoreError: it did not run, or nobody knows whether it did.
        """
        if self._protocol is None:
            raise StoreUnavailable("There is no connection to Redis.")
        try:
            return await self._protocol.execute_command(*args)
        except Refused as error:
            raise refusal(str(error)) from None

    async def script(self, script: Script, keys: Sequence[bytes], args: Sequence[Argument]) -> Any:
        """Run a script; the same answers and errors as :meth:`command`."""
        if self._protocol is None:
            raise StoreUnavailable("There is no connection to Redis.")
        command = b"EVALSHA", script.sha, len(keys), *keys, *args
        return await self._protocol.send(hiredis.pack_command(cast("tuple[Any]", command)), script)

    def run(self, script: Script, count: int, *packed: bytes) -> Deferred[Any]:
        """Run a script whose keys and arguments are packed (:mod:`.packing`), which takes a fifth of the time.

        It is sent at once, not when it is awaited.

        :param count: how many keys and arguments.
        """
        if self._protocol is None:
            return fail(StoreUnavailable("There is no connection to Redis."))
        return self._protocol.send(b"".join((b"*%d\r\n" % (count + 3), script.by_sum, *packed)), script)

    def growing(self, kind: object, overtakes: bool = True) -> Growing | None:
        """The last command of a kind that is not sent yet, where a request may be added to it: it is the last of all, or order does
        not matter now.

        :param overtakes: whether it does not matter for this request.
        """
        if self._protocol is None:
            return None
        is_ordered = not overtakes or self._order is None or bool(self._order.several)
        return self._protocol.growing(kind, is_ordered)

    def send(self, sent: Growing, kind: object) -> None:
        """Send a command when this turn of the reactor ends, with what is added to it until then; errors as of :meth:`run`.

        :param kind: what :meth:`growing` finds it by.
        """
        if self._protocol is None:
            sent.fail(StoreUnavailable("There is no connection to Redis."))
        else:
            self._protocol.send_growing(sent, kind)

    async def transaction(self, number: int, *packed: bytes) -> list[Any]:
        """Run several packed commands with nothing between them: all take effect, or none.

        Scripts among them are run by their text, since those are not sent again that Redis has forgotten.

        :param number: how many.
        :return: their answers; errors as of :meth:`command`, for the first.
        """
        if self._protocol is None:
            raise StoreUnavailable("There is no connection to Redis.")
        *_, answers = await self._protocol.send_together(number + 2, _MULTI, *packed, _EXEC)
        for answer in answers:
            if isinstance(answer, Refused):
                raise refusal(str(answer))
        return cast("list[Any]", answers)
