"""The place of one worker: it is started, listened to, started again when it ends, killed where it hangs, and stopped in the end."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Generic, Protocol, TypeVar

from twisted.internet.defer import Deferred, TimeoutError
from twisted.internet.interfaces import IDelayedCall
from twisted.logger import Logger, LogLevel

from zaqar_gateway.model import Report
from zaqar_gateway.workers.handover import ASK, MEASURE, REPORT
from zaqar_gateway.workers.tidings import Alive, CannotStart, Measured, Reported, Said, Serves, Tiding, relay

_log = Logger()

ASK_S = 5.0
"""How often a worker is asked whether it is there."""

UNANSWERED_MAX = 6
"""How often in a row it may leave that unanswered: after 30 s it serves nobody, and is killed.  Questions are counted and not seconds, so
that nothing happens where the machine sleeps, or the keeper itself is held up."""

UNANSWERED_AT_START_MAX = 24
"""The same of one that does not serve yet: it may have much to load, on a machine that is busy."""

METRICS_S = 5.0
"""How long its metrics are waited for: monitors wait for ten seconds or so."""

REPORT_S = 2.0
"""How long its health is waited for, beyond what the store has for an answer."""

STOP_MAX_S = 60.0
"""How long it may take to end.  What it waits for has bounds of its own, of 15 s each; this is beyond."""

SIGNAL_AGAIN_S = 0.25

PAUSE_MIN_S, PAUSE_MAX_S = 0.1, 5.0


IN_ORDER = "status 0"
"""How a worker has ended that somebody had end, by SIGTERM."""


class Pace:
    """How long to wait before a worker is started again: not at all, and longer and longer where it ends again and again."""

    def __init__(self) -> None:
        self._next_s = 0.0

    def pause_s(self, lived_s: float) -> float:
        """The pause after the end of one.

        :param lived_s: for how long it was there.
        """
        if lived_s > 2 * PAUSE_MAX_S:
            self._next_s = 0.0
        pause_s, self._next_s = self._next_s, min(max(PAUSE_MIN_S, 2 * self._next_s), PAUSE_MAX_S)
        return pause_s


class Process(Protocol):
    """A worker that was started; what comes of it is told to its seat."""

    pid: int

    def say(self, what: bytes) -> None:
        """Have it read a line."""

    def signal(self, name: str) -> None:
        """Send it a signal; one that has ended needs none."""


T = TypeVar("T")


class Question(Generic[T]):
    """Something that a worker is asked once, however many want to know it.

    :param ask: asks it.
    :param most_s: how long an answer is waited for.
    """

    def __init__(self, ask: Callable[[], object], most_s: float, clock: Any) -> None:
        self._ask = ask
        self._most_s = most_s
        self._clock = clock
        self._waiting: list[Deferred[T | None]] = []
        self._is_asked = False

    async def answer(self) -> T | None:
        """The answer; ``None``: there is none, or it does not come soon."""
        if not self._is_asked:
            self._is_asked = True
            self._ask()
        waited: Deferred[T | None] = Deferred()
        self._waiting.append(waited)
        try:
            return await waited.addTimeout(self._most_s, self._clock)
        except TimeoutError:
            self._waiting.remove(waited)
            self._is_asked = False  # whatever became of that, who comes next asks anew
            return None

    def answered(self, answer: T | None) -> None:
        """It has come, or will not come any more."""
        waiting, self._waiting, self._is_asked = self._waiting, [], False
        for each in waiting:
            each.callback(answer)


class Seat:
    """One worker after the other.

    :ivar starts: how often one was started.
    :param store_s: how long a worker may wait for its store until it knows how it stands.
    :param start: starts one, whose tidings and end are told to :meth:`heard` and :meth:`ended`; it may raise ``OSError``.
    :param serves: is told when the first one serves; :param failed: why that has never served.  It is not started again then.
    """

    def __init__(
        self,
        number: int,
        start: Callable[[Seat], Process],
        clock: Any,
        *,
        store_s: float,
        serves: Callable[[Serves], None],
        failed: Callable[[str], None],
    ) -> None:
        self.number = number
        self._start = start
        self._clock = clock
        self._tell_serves = serves
        self._tell_failed = failed
        self._pace = Pace()
        self._process: Process | None = None
        self._again: IDelayedCall | None = None
        self._gone: Deferred[None] | None = None
        self._why = ""
        self._began_s = 0.0
        self._unanswered = 0
        self._is_proven = self._is_there = self._is_serving = self._is_stopping = False
        self._metrics: Question[str] = Question(lambda: self.say(MEASURE), METRICS_S, clock)
        self._report: Question[Report] = Question(lambda: self.say(REPORT), store_s + REPORT_S, clock)
        self.starts = 0

    @property
    def pid(self) -> int | None:
        """The process, while there is one."""
        return self._process.pid if self._process is not None else None

    def begin(self) -> None:
        """Start a worker."""
        self._again = None
        self._why = ""
        self._unanswered = 0
        self._is_there = self._is_serving = False
        self._began_s = self._clock.seconds()
        self.starts += 1
        try:
            self._process = self._start(self)
        except OSError as error:
            self._has_ended(f"worker {self.number}", f"cannot be started: {error.strerror}")

    def heard(self, tiding: Tiding) -> None:
        """It has told something."""
        match tiding:
            case Said():
                relay(self.number, tiding)
            case Alive():
                self._unanswered = 0
                self._is_there = True
            case Measured():
                self._metrics.answered(tiding.metrics)
            case Reported():
                self._report.answered(tiding.report)
            case CannotStart():
                self._why = tiding.why
            case Serves():
                is_first = not self._is_proven
                self._is_proven = self._is_serving = True
                _log.info("worker {worker} serves, process {pid}", worker=self.number, pid=self.pid)
                if is_first:
                    self._tell_serves(tiding)

    def printed(self, line: bytes) -> None:
        """It has written something past its log, as the interpreter does when it breaks down."""
        text = line.decode("utf-8", "backslashreplace")
        _log.warn("worker {worker}: {text}", worker=self.number, text=text)

    def ended(self, how: str) -> None:
        """It has ended.

        :param how: for people, such as "signal 9".
        """
        who = f"worker {self.number} (process {self.pid})"
        self._process = None
        self._is_there = False
        self._metrics.answered(None)
        self._report.answered(None)
        told = f"cannot start: {self._why}" if self._why else f"ended with {how}"
        self._has_ended(who, told, LogLevel.info if how == IN_ORDER else LogLevel.error)
        if self._gone is not None:
            gone, self._gone = self._gone, None
            gone.callback(None)

    def _has_ended(self, who: str, told: str, level: Any = LogLevel.error) -> None:
        if self._is_stopping:
            return
        if not self._is_proven:
            self._tell_failed(self._why or f"{who} {told} before it served")
            return
        pause_s = self._pace.pause_s(self._clock.seconds() - self._began_s)
        again = f"is started again in {pause_s:.1f} s" if pause_s else "is started again"
        _log.emit(level, "{who} {told}; it {again}", who=who, told=told, again=again)
        self._again = self._clock.callLater(pause_s, self.begin)

    def look(self) -> None:
        """Ask it whether it is there, or kill it where it has not answered; to be called time and again."""
        if self._process is None or self._is_stopping:
            return
        most = UNANSWERED_MAX if self._is_serving else UNANSWERED_AT_START_MAX
        if self._unanswered >= most:
            _log.error(
                "worker {worker}, process {pid} has not answered for {time:.0f} s and is killed",
                worker=self.number,
                pid=self.pid,
                time=most * ASK_S,
            )
            self._process.signal("KILL")
            return
        self._unanswered += 1
        self.say(ASK)

    def say(self, what: bytes) -> None:
        """Tell it something, where it is there."""
        if self._process is not None:
            self._process.say(what)

    async def metrics(self) -> str | None:
        """Its metrics now; ``None``: there are none, or it does not answer soon."""
        return await self._metrics.answer() if self._is_there else None

    async def report(self) -> Report | str:
        """How it stands now, or why it does not tell that, in words."""
        if self._process is None:
            return "it has ended"
        if not self._is_there:
            return "it is starting"
        return await self._report.answer() or "it does not answer"

    async def stop(self) -> None:
        """Have it end in good order, and start no other one."""
        self._is_stopping = True
        if self._again is not None:
            self._again.cancel()
            self._again = None
        limit_s = self._clock.seconds() + STOP_MAX_S
        is_told = False
        while self._process is not None:
            is_late = self._clock.seconds() >= limit_s
            if is_late and not is_told:
                is_told = True
                _log.warn("worker {worker} does not stop, killing it", worker=self.number)
            # Time and again, since one that comes between fork and exec is lost.
            self._process.signal("KILL" if is_late else "TERM")
            self._gone = Deferred()
            try:
                await self._gone.addTimeout(SIGNAL_AGAIN_S, self._clock)
            except TimeoutError:
                self._gone = None
