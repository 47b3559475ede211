"""The place of a worker, and all of them."""

from __future__ import annotations

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from tests.logs import logged
from zaqar_gateway.model import Report
from zaqar_gateway.workers.crew import Crew, WorkersFailed
from zaqar_gateway.workers.seat import (
    ASK_S,
    METRICS_S,
    PAUSE_MAX_S,
    REPORT_S,
    SIGNAL_AGAIN_S,
    STOP_MAX_S,
    UNANSWERED_AT_START_MAX,
    UNANSWERED_MAX,
    Pace,
    Seat,
)
from zaqar_gateway.workers.tidings import Alive, CannotStart, Measured, Reported, Serves

SERVES = Serves("a store", ["http"])
REPORT = Report("", {})
STORE_S = 5.0


class FakeProcess:
    """A worker that does nothing by itself."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self.said: list[bytes] = []
        self.signals: list[str] = []

    def say(self, what: bytes) -> None:
        self.said.append(what)

    def signal(self, name: str) -> None:
        self.signals.append(name)


class PaceTests(SynchronousTestCase):
    """Pauses between the workers of a seat."""

    def test_grows(self) -> None:
        """There is none at first; then they double up to the longest, as long as workers end soon."""
        pace = Pace()
        self.assertEqual([round(pace.pause_s(1), 1) for _ in range(9)], [0, 0.1, 0.2, 0.4, 0.8, 1.6, 3.2, 5.0, 5.0])

    def test_forgets(self) -> None:
        """One that lived for long is replaced at once."""
        pace = Pace()
        for _ in range(5):
            pace.pause_s(1)
        self.assertEqual(pace.pause_s(2 * PAUSE_MAX_S + 1), 0)


class SeatCase(SynchronousTestCase):
    """What has seats with such workers."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.processes: list[FakeProcess] = []
        self.refusal: OSError | None = None
        self.log = logged(self)

    def start(self, seat: Seat) -> FakeProcess:
        """Start one."""
        if self.refusal is not None:
            raise self.refusal
        self.processes.append(FakeProcess(100 + len(self.processes)))
        return self.processes[-1]

    def told(self) -> list[str]:
        """What the log has so far."""
        return [str(event["log_format"]).format(**event) for event in self.log]


class SeatTests(SeatCase):
    """One seat."""

    def setUp(self) -> None:
        super().setUp()
        self.serves: list[Serves] = []
        self.failures: list[str] = []
        self.seat = Seat(2, self.start, self.clock, store_s=STORE_S, serves=self.serves.append, failed=self.failures.append)
        self.seat.begin()

    def serve(self) -> None:
        """Have the first one serve."""
        self.seat.heard(SERVES)

    def test_serves(self) -> None:
        """That a worker serves is passed on and logged."""
        self.serve()
        self.assertEqual((self.serves, self.told()), ([SERVES], ["worker 2 serves, process 100"]))

    def test_started_again(self) -> None:
        """One that ends is started again at once, and the log says in one event which, how it ended, and what follows."""
        self.serve()
        self.seat.ended("signal 9")
        self.assertEqual(self.told()[1:], ["worker 2 (process 100) ended with signal 9; it is started again"])
        self.clock.advance(0)
        self.assertEqual((len(self.processes), self.seat.pid), (2, 101))

    def test_reports(self) -> None:
        """It is asked once how it stands, however many want to know; where that is not told soon, or the worker ends, it is said why."""
        self.seat.heard(Alive())
        first, second = (Deferred.fromCoroutine(self.seat.report()) for _ in range(2))
        self.seat.heard(Reported(REPORT))
        self.assertEqual((self.successResultOf(first), self.successResultOf(second)), (REPORT, REPORT))
        late = Deferred.fromCoroutine(self.seat.report())
        self.clock.advance(STORE_S + REPORT_S - 0.1)  # it may itself wait for the store
        self.assertNoResult(late)
        self.clock.advance(0.1)
        self.assertEqual(self.successResultOf(late), "it does not answer")
        self.assertEqual(self.processes[0].said, [b"report", b"report"])
        self.seat.heard(Reported(REPORT))  # after all
        self.serve()
        lost = Deferred.fromCoroutine(self.seat.report())
        self.seat.ended("signal 9")
        self.assertEqual(self.successResultOf(lost), "it does not answer")
        self.assertEqual(self.successResultOf(Deferred.fromCoroutine(self.seat.report())), "it has ended")
        self.clock.advance(0)
        self.assertEqual(self.seat.starts, 2)

    def test_metrics(self) -> None:
        """Its metrics do not wait for what else it was asked, such as of a store that hangs."""
        self.seat.heard(Alive())
        report = Deferred.fromCoroutine(self.seat.report())
        metrics = Deferred.fromCoroutine(self.seat.metrics())
        self.assertEqual(self.processes[0].said, [b"report", b"measure"])
        self.seat.heard(Measured("# EOF"))
        self.assertEqual(self.successResultOf(metrics), "# EOF")
        late = Deferred.fromCoroutine(self.seat.metrics())
        self.clock.advance(METRICS_S)
        self.assertIsNone(self.successResultOf(late))
        self.assertNoResult(report)
        self.seat.heard(Reported(REPORT))
        self.assertEqual(self.successResultOf(report), REPORT)

    def test_asked_anew(self) -> None:
        """Where an answer was lost the question comes again, also while there is always somebody who waits for one."""
        self.seat.heard(Alive())
        Deferred.fromCoroutine(self.seat.metrics())
        self.clock.advance(METRICS_S / 2)
        second = Deferred.fromCoroutine(self.seat.metrics())
        self.clock.advance(METRICS_S / 2)
        self.assertEqual(self.processes[0].said, [b"measure"])
        third = Deferred.fromCoroutine(self.seat.metrics())
        self.assertEqual(self.processes[0].said, [b"measure"] * 2)
        self.seat.heard(Measured("# EOF"))
        self.assertEqual((self.successResultOf(second), self.successResultOf(third)), ("# EOF", "# EOF"))

    def test_not_there_yet(self) -> None:
        """One that is just being started is not asked, and nobody waits for it."""
        self.assertEqual(self.successResultOf(Deferred.fromCoroutine(self.seat.report())), "it is starting")
        self.assertIsNone(self.successResultOf(Deferred.fromCoroutine(self.seat.metrics())))
        self.assertEqual(self.processes[0].said, [])

    def test_ended_in_order(self) -> None:
        """One that somebody had end is no error; one that broke down is."""
        self.serve()
        for how, level in (("status 0", "info"), ("status 1", "error"), ("signal 9", "error")):
            self.log.levels("workers.seat")
            self.seat.ended(how)
            self.assertEqual(self.log.levels("workers.seat"), [level])
            self.clock.advance(PAUSE_MAX_S)

    def test_started_again_later(self) -> None:
        """One that ends again and again is started after pauses, also where it does not come to serve."""
        self.serve()
        self.seat.ended("status 1")
        self.clock.advance(0)
        self.seat.heard(CannotStart("the policy file is broken"))
        self.seat.ended("status 1")
        self.assertEqual(
            self.told()[-1], "worker 2 (process 101) cannot start: the policy file is broken; it is started again in 0.1 s"
        )
        self.clock.advance(0.09)
        self.assertEqual(len(self.processes), 2)
        self.clock.advance(0.02)
        self.assertEqual((len(self.processes), self.failures), (3, []))

    def test_no_process(self) -> None:
        """Where the system gives no process that is told, and tried again."""
        self.serve()
        self.refusal = OSError(11, "Resource temporarily unavailable")
        self.seat.ended("signal 11")
        self.clock.advance(0)
        self.assertEqual(
            self.told()[-1], "worker 2 cannot be started: Resource temporarily unavailable; it is started again in 0.1 s"
        )
        self.refusal = None
        self.clock.advance(0.1)
        self.assertEqual(self.seat.pid, 101)

    def test_first_fails(self) -> None:
        """One that never comes to serve is not started again, and why is passed on, in its own words where it has some."""
        self.seat.ended("signal 11")
        self.clock.advance(60)
        self.assertEqual(self.failures, ["worker 2 (process 100) ended with signal 11 before it served"])
        other = Seat(1, self.start, self.clock, store_s=STORE_S, serves=self.serves.append, failed=self.failures.append)
        other.begin()
        other.heard(CannotStart("no"))
        other.ended("status 1")
        self.assertEqual((self.failures[1:], len(self.processes)), (["no"], 2))

    def test_hangs(self) -> None:
        """One that does not answer is killed after 30 s, and one that answers is not."""
        self.serve()
        for _ in range(3 * UNANSWERED_MAX):
            self.seat.look()
            self.seat.heard(Alive())
        for _ in range(UNANSWERED_MAX):
            self.seat.look()
        self.assertEqual((self.processes[0].signals, set(self.processes[0].said)), ([], {b"ask"}))
        self.seat.look()
        self.assertEqual(self.processes[0].signals, ["KILL"])
        self.assertEqual(self.told()[-1], f"worker 2, process 100 has not answered for {UNANSWERED_MAX * ASK_S:.0f} s and is killed")

    def test_hangs_at_start(self) -> None:
        """One that does not serve yet has more time; its successor begins anew."""
        for _ in range(UNANSWERED_AT_START_MAX):
            self.seat.look()
        self.assertEqual(self.processes[0].signals, [])
        self.serve()
        self.seat.look()
        self.assertEqual(self.processes[0].signals, ["KILL"])
        self.seat.ended("signal 9")
        self.clock.advance(0)
        self.seat.look()
        self.assertEqual(self.processes[1].signals, [])

    def test_printed(self) -> None:
        """What is written past the log is in the log, with who wrote it, whatever its bytes are."""
        self.seat.printed(b"Fatal Python error: \xff")
        self.assertEqual(self.told(), ["worker 2: Fatal Python error: \\xff"])

    def test_stop(self) -> None:
        """It is asked time and again to end, and nothing is started afterwards."""
        self.serve()
        stopped = Deferred.fromCoroutine(self.seat.stop())
        self.clock.advance(SIGNAL_AGAIN_S)
        self.assertEqual(self.processes[0].signals, ["TERM", "TERM"])
        self.assertNoResult(stopped)
        self.seat.ended("status 0")
        self.successResultOf(stopped)
        self.clock.advance(60)
        self.assertEqual((len(self.processes), len(self.told())), (1, 1))

    def test_stop_while_waiting(self) -> None:
        """Where one is to be started again later it is not."""
        self.serve()
        self.seat.ended("signal 9")
        self.successResultOf(Deferred.fromCoroutine(self.seat.stop()))
        self.clock.advance(60)
        self.assertEqual(len(self.processes), 1)

    def test_stop_kills(self) -> None:
        """One that does not end is killed."""
        self.serve()
        stopped = Deferred.fromCoroutine(self.seat.stop())
        self.clock.pump([SIGNAL_AGAIN_S] * int(STOP_MAX_S / SIGNAL_AGAIN_S))
        self.assertEqual((self.processes[0].signals[-1], self.told()[-1]), ("KILL", "worker 2 does not stop, killing it"))
        self.seat.ended("signal 9")
        self.successResultOf(stopped)


class CrewTests(SeatCase):
    """All seats."""

    def setUp(self) -> None:
        super().setUp()
        self.seats: list[Seat] = []

    def start(self, seat: Seat) -> FakeProcess:
        """Start one, and keep its seat."""
        self.seats.append(seat)
        return super().start(seat)

    def test_all_serve(self) -> None:
        """All are started at once; they serve when the last one does, and one that begins anew changes nothing."""
        crew = Crew(2, self.start, self.clock, STORE_S)
        begun = Deferred.fromCoroutine(crew.begin())
        self.assertEqual([seat.number for seat in self.seats], [1, 2])
        self.seats[1].heard(SERVES)
        self.assertNoResult(begun)
        self.seats[0].heard(SERVES)
        self.assertEqual(self.successResultOf(begun), SERVES)
        self.seats[0].ended("signal 9")
        self.clock.advance(0)
        self.seats[0].heard(SERVES)
        self.assertEqual(len(self.processes), 3)

    def test_one_that_ends_before_all_serve(self) -> None:
        """One that has served and ends while another one still starts does not count twice."""
        crew = Crew(2, self.start, self.clock, STORE_S)
        begun = Deferred.fromCoroutine(crew.begin())
        self.seats[0].heard(SERVES)
        self.seats[0].ended("signal 9")
        self.clock.advance(0)
        self.seats[0].heard(SERVES)
        self.assertNoResult(begun)
        self.seats[1].heard(SERVES)
        self.successResultOf(begun)

    def test_one_fails(self) -> None:
        """The first that cannot start says why none does; the others are stopped by whoever asked."""
        crew = Crew(3, self.start, self.clock, STORE_S)
        begun = Deferred.fromCoroutine(crew.begin())
        for seat, why in zip(self.seats[:2], ("no room", "no luck"), strict=True):
            seat.heard(CannotStart(why))
            seat.ended("status 1")
        self.assertEqual(str(self.failureResultOf(begun, WorkersFailed).value), "no room")
        stopped = Deferred.fromCoroutine(crew.stop())
        self.assertEqual([process.signals for process in self.processes], [[], [], ["TERM"]])
        self.seats[2].ended("status 0")
        self.successResultOf(stopped)

    def test_asks_all(self) -> None:
        """All are asked whether they are there, and told of SIGHUP."""
        crew = Crew(2, self.start, self.clock, STORE_S)
        begun = Deferred.fromCoroutine(crew.begin())
        for seat in self.seats:
            seat.heard(SERVES)
        self.successResultOf(begun)
        self.clock.advance(ASK_S)
        crew.hang_up()
        self.assertEqual([process.said for process in self.processes], [[b"ask", b"ask", b"hang up"]] * 2)

    def test_reports(self) -> None:
        """All are asked how they stand, and all are waited for, but where one of them says enough."""
        crew = Crew(3, self.start, self.clock, STORE_S)
        begun = Deferred.fromCoroutine(crew.begin())
        for seat in self.seats:
            seat.heard(Alive())
            seat.heard(SERVES)
        self.successResultOf(begun)
        every = Deferred.fromCoroutine(crew.reports())
        first = Deferred.fromCoroutine(crew.reports(lambda report: not report.why_not))
        away = Report("the store is away", {})
        self.seats[2].heard(Reported(away))
        self.assertNoResult(first)
        self.seats[1].heard(Reported(REPORT))
        self.assertEqual(self.successResultOf(first), {2: REPORT, 3: away})
        self.assertNoResult(every)
        self.clock.advance(STORE_S + REPORT_S)
        self.assertEqual(self.successResultOf(every), {1: "it does not answer", 2: REPORT, 3: away})
        self.assertEqual([process.said for process in self.processes], [[b"ask", b"report", b"ask"]] * 3)
