"""Commands on one connection to Redis, in the order in which they are given, and their answers.

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
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, cast

import hiredis
import txredisapi
from twisted.internet.defer import Deferred, DeferredList, ensureDeferred
from twisted.internet.unix import Client as UnixClient
from twisted.logger import Logger
from twisted.python.failure import Failure

from zaqar_gateway.direct import Answer, goes_first, soon, write_all_now
from zaqar_gateway.errors import GatewayError, StoreFault, StoreUnavailable
from zaqar_gateway.storage.redis.scripts import Script

_log = Logger()

Argument = bytes | str | int

_SENT_AT_ONCE, _READ_AT_ONCE = 1048576, 327680
"""Bytes that the system takes for Redis at once, as far as it allows, and that are read of it at once: what goes in pieces is copied
for each of them."""

_NO_SCRIPT = "NOSCRIPT"

_TOLD = frozenset(("OOM", "MISCONF", "NOREPLICAS", "NOPERM"))
"""Refusals that say what is to be done at Redis, and that nobody sees but clients; the log has them once in ``TOLD_AGAIN_S``."""

TOLD_AGAIN_S = 60.0

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
    "MOVED": "The Redis Cluster has moved this slot.",
    "ASK": "The Redis Cluster is moving this slot.",
    "NOAUTH": "Redis wants a password.",
    "WRONGPASS": "Redis does not accept the password.",
    "NOPERM": "Redis does not permit this user the command.",
    "MAX": "Redis accepts no more clients.",
}
"""First word of a refusal to what it means: nothing was stored, and the cause can pass."""

_DEMOTED = frozenset(("READONLY", "MASTERDOWN"))
"""Refusals of a replica.  One that was a master keeps its connections, and the address may lead to the new master by now."""

_ELSEWHERE = frozenset(("MOVED", "ASK", "TRYAGAIN"))
"""Refusals of a node of a cluster that does not have all keys of a command, which another one has or will have."""

_GUARDED = "non local key in a cluster node"
"""How such a node refuses the first command of a script (``scripts/common.lua``)."""

_IN_SCRIPT = re.compile("ERR Error running script .*?: -([A-Z]+) ")
"""How Redis before version 7 tells that a command of a script was refused."""

_ABORTED = "EXECABORT Transaction discarded because of: "
"""How Redis refuses EXEC itself, where it would have refused a command by then that it had queued."""


class Refused(Exception):
    """What Redis answered to a command that it did not run."""


class SlotMoved(StoreUnavailable):
    """Nothing took effect, since the slot is not, or not wholly, at the node that was asked."""


def _kind(text: str) -> str:
    """What kind of refusal this is."""
    if _GUARDED in text:
        return "TRYAGAIN"
    in_script = _IN_SCRIPT.match(text)
    return in_script[1] if in_script else text.removeprefix(_ABORTED).partition(" ")[0]


def is_denied(text: str) -> bool:
    """Whether a Redis refused what its user may not do (ACL, Redis 6)."""
    return _kind(text) == "NOPERM"


def is_elsewhere(text: str) -> bool:
    """Whether a node of a cluster refused what another one has, or will have."""
    return _kind(text) in _ELSEWHERE


def has_no_room(text: str) -> bool:
    """Whether a Redis refused what takes memory, of which it has none left."""
    return _kind(text) == "OOM"


def refusal(text: str) -> GatewayError:
    """Our error for a refusal of Redis."""
    kind = _kind(text)
    if kind in _ELSEWHERE:
        return SlotMoved(_PASSING[kind])
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
    :ivar number: of answers; :ivar is_last: whether the next one is the last.
    :ivar is_counted: whether somebody asked for it.
    :ivar slot: that its keys are in, where that matters.
    :ivar nth: its place in the order of what was asked for, where that matters.
    :ivar give_up_s: until when it is sent again where a node of a cluster refuses it; 0 until one does.
    """

    number = 1
    is_last = True
    is_counted = True
    slot = -1
    nth = 0
    give_up_s = 0.0

    def __init__(self, command: bytes, script: Script | None) -> None:
        super().__init__()
        self.command = command
        self.script = script
        self.due_s = 0.0

    def pack(self, pieces: list[bytes]) -> None:
        """It is being sent: add the command, packed, in pieces of any size."""
        pieces.append(self.command)

    def with_text(self, script: Script) -> None:
        """Redis has forgotten its script: when it is sent again, it has the text."""
        self.command = self.command.replace(script.by_sum, script.by_text, 1)


class _Load(Sent):
    """Has Redis know a script again."""

    is_counted = False

    def __init__(self, script: Script) -> None:
        super().__init__(hiredis.pack_command(cast("tuple[Any]", (b"SCRIPT", b"LOAD", script.text))), None)

    def give(self, value: Any) -> None:
        pass

    def fail(self, error: Exception) -> None:
        pass  # whoever wants it sends it again with its text


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
    """The answers to several commands in a row, as a list, or our error for the first refusal.

    :param script: that one of them runs by its sum, which is a piece of its own; they are a transaction then.
    """

    def __init__(self, number: int, commands: Sequence[bytes], script: Script | None) -> None:
        super().__init__(b"", script)
        self.number = number
        self._commands = commands
        self._answers: list[Any] = []
        self._is_over = False

    def pack(self, pieces: list[bytes]) -> None:
        pieces += self._commands
        if self.script is None:
            self._commands = ()  # it is not sent again, and they may be long

    def with_text(self, script: Script) -> None:
        self._answers.clear()
        self._commands = [script.by_text if piece is script.by_sum else piece for piece in self._commands]

    def forgotten(self, value: Any) -> Refused | None:
        """The refusal of the script, if this is the answer to the transaction, and Redis has forgotten it."""
        if self.script is None or type(value) is not list:
            return None
        return next((one for one in value if type(one) is Refused and str(one).startswith(_NO_SCRIPT)), None)

    @property
    def is_last(self) -> bool:  # type: ignore[override]
        return len(self._answers) == self.number - 1

    def give(self, value: Any) -> None:
        self._answers.append(value)
        if len(self._answers) == self.number and not self._is_over:
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
        self.moved: Callable[[Commands, Sent, str], bool] | None = None  # takes over what another node has, where it can
        self._told_s = -TOLD_AGAIN_S  # when the log last had a refusal
        self._told = ""  # and which
        self.is_tried = False  # it is only looked what is refused
        self.scripts: Sequence[Script] = ()  # that Redis was told on arrival
        self._behind = 0  # answers still to come from before Redis was found to have forgotten its scripts
        self._held: list[Sent] = []

    def execute_command(self, *args: Argument, **_options: Any) -> Deferred[Any]:
        return self.send(hiredis.pack_command(cast("tuple[Any]", args)))

    def send(self, command: bytes, script: Script | None = None) -> Deferred[Any]:
        """Send a packed command.

        :param script: that it runs by its sum.  Where Redis has forgotten it, it gets the text, and the command keeps its place
            in the order.
        """
        return self.submit(Sent(command, script))

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

    def send_together(self, number: int, *commands: bytes, script: Script | None = None) -> Deferred[Any]:
        """Send several packed commands in a row.

        :param number: of commands; their bytes may come in pieces of any size.
        :param script: that one of them runs by its sum, where they are a transaction; see :class:`SentTogether` and :meth:`send`.
        :return: the list of their answers; :class:`GatewayError` for the first that was refused.
        """
        return self.submit(SentTogether(number, commands, script))

    def submit(self, sent: Sent) -> Sent:
        """Send a command behind all others; one that cannot be sent has failed."""
        if (why := self._why_not()) is not None:
            sent.fail(why)
        else:
            self._line_up(sent)
        return sent

    @property
    def waiting(self) -> int:
        """How many commands have no answer yet."""
        return len(self._unanswered) + len(self._unsent) + len(self._held)

    @property
    def trouble(self) -> str:
        """What there is to mend at Redis, in words; empty: nothing."""
        is_lately = self._clock.seconds() < self._told_s + 2 * TOLD_AGAIN_S
        return f"Redis refuses what it is asked; such requests get 503: {self._told}" if self._told and is_lately else ""

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
            elif type(sent) is SentTogether and (forgotten := sent.forgotten(value)) is not None:
                self._refused(sent, forgotten)
            else:
                self._answered(sent, value)
            if self._behind and sent.is_counted:
                self._behind -= 1
                if not self._behind:
                    self._release()

    def _answered(self, sent: Sent, value: Any) -> None:
        sent.give(value)

    def _refused(self, sent: Sent, error: Refused) -> None:
        text = str(error)
        kind = _kind(text)
        if kind in _DEMOTED and not self.transport.disconnecting:
            _log.error("this Redis is a replica now, and takes no writes; the connection to it is ended")
            self.transport.loseConnection()
        if kind in _TOLD and not self.is_tried and self._clock.seconds() >= self._told_s + TOLD_AGAIN_S:
            self._told_s, self._told = self._clock.seconds(), text
            _log.error("Redis refuses what it is asked; such requests get 503: {text}", text=text)
        script = sent.script
        if self.moved is not None and is_elsewhere(text) and self.moved(self, sent, text):
            pass
        elif script is None:
            sent.fail(error)
        elif text.startswith(_NO_SCRIPT):
            if not self._behind:
                # Those under way will be refused, too, and sent again: what is new has to come after them.
                self._behind = 1 + sum(each.is_counted for each in self._unanswered) + sum(each.number for each in self._unsent)
                self._growing.clear()  # what is added to them would come before what is held back, and is not counted
                # All of them: one that it knows again may be asked for behind another one that it does not know yet.
                for each in self.scripts:
                    self._put(_Load(each))
            sent.with_text(script)
            self._put(sent)
        else:
            sent.fail(refusal(text))

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
