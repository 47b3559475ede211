"""Hosts that keep failing are left alone."""

from __future__ import annotations

from random import Random
from typing import cast

from twisted.internet.task import Clock
from twisted.logger import ILogObserver, LogEvent, globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase

from tests.push.fakes import AGAIN, FINAL, OK, QUEUE, subscribe
from tests.push.test_dispatcher import DEAD, DispatcherCase
from zaqar_gateway.model import Place
from zaqar_gateway.push.circuits import REMEMBERED, Circuits, HeldBack


class CircuitsTests(SynchronousTestCase):
    """Whether an attempt is made."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.chance = 0.0
        self.circuits = Circuits(3, 30, self.clock.seconds, lambda: self.chance)
        self.events: list[LogEvent] = []
        observer = cast(ILogObserver, self.events.append)
        globalLogPublisher.addObserver(observer)
        self.addCleanup(globalLogPublisher.removeObserver, observer)

    def attempt(self, works: bool | None, project: str = "p", host: str = "h:80") -> bool:
        """Make an attempt; whether it was one that finds out."""
        finds_out = self.circuits.enter(project, host)
        self.circuits.leave(project, host, finds_out, works, "it answered 500")
        return finds_out

    def fails(self, times: int) -> None:
        """Have attempts fail."""
        for _ in range(times):
            self.attempt(False)

    def held_back_s(self, project: str = "p", host: str = "h:80") -> float:
        """For how long an attempt is held back."""
        return float(self.assertRaises(HeldBack, self.circuits.enter, project, host).wait_s)

    def test_in_a_row(self) -> None:
        """So many failures in a row open it, also with attempts between that say nothing; a success begins anew."""
        self.fails(2)
        self.attempt(True)
        self.fails(2)
        self.attempt(None)
        self.assertEqual(self.circuits.open, 0)
        self.attempt(False)
        self.assertEqual(self.circuits.open, 1)
        self.assertEqual(self.held_back_s(), 30)

    def test_finds_out(self) -> None:
        """After its time one attempt is let through, and the others wait for what comes of it."""
        self.fails(3)
        self.clock.advance(29.5)
        self.assertEqual(self.held_back_s(), 1)
        self.clock.advance(0.5)
        self.assertTrue(self.circuits.enter("p", "h:80"))
        self.assertEqual(self.held_back_s(), 1)
        self.circuits.leave("p", "h:80", True, True)
        self.assertEqual(self.circuits.open, 0)
        self.assertFalse(self.attempt(True))

    def test_still_fails(self) -> None:
        """Where that one fails the time begins anew; failures of attempts that were under way before do not matter."""
        self.fails(3)
        self.clock.advance(20)
        self.circuits.leave("p", "h:80", False, False)
        self.assertEqual(self.held_back_s(), 10)
        self.clock.advance(10)
        self.assertTrue(self.attempt(False))
        self.assertEqual(self.held_back_s(), 30)

    def test_found_out_nothing(self) -> None:
        """Where that one says nothing, the next one finds out."""
        self.fails(3)
        self.clock.advance(30)
        self.assertTrue(self.attempt(None))
        self.assertTrue(self.attempt(True))

    def test_success_of_others(self) -> None:
        """A success of an attempt that was under way closes it, and what then fails begins to count anew."""
        self.fails(3)
        self.clock.advance(30)
        self.assertTrue(self.circuits.enter("p", "h:80"))
        self.circuits.leave("p", "h:80", False, True)
        self.circuits.leave("p", "h:80", True, False)
        self.assertEqual(self.circuits.open, 0)
        self.fails(2)
        self.assertEqual(self.circuits.open, 1)

    def test_chance(self) -> None:
        """Who is held back comes again by chance up to a tenth later."""
        self.fails(3)
        self.chance = 0.5
        self.assertEqual(self.held_back_s(), 31.5)

    def test_whose(self) -> None:
        """Another host, and another project, are not held back."""
        self.fails(3)
        self.assertFalse(self.attempt(True, host="h:81"))
        self.assertFalse(self.attempt(True, project="other"))
        self.assertEqual(self.held_back_s(), 30)

    def test_log(self) -> None:
        """That it opens and that it closes is logged, once each."""
        self.fails(3)
        for works in (False, True, True):
            self.clock.advance(30)
            self.attempt(works)
        texts = [str(event["log_format"]).format(**event) for event in self.events]
        self.assertEqual(
            texts,
            [
                "deliveries of project p to h:80 are held back: 3 attempts in a row have failed; one is made each 30 s:"
                " it answered 500",
                "deliveries of project p to h:80 go on",
            ],
        )

    def test_off(self) -> None:
        """Where no number of failures is given none is ever held back."""
        self.circuits = Circuits(0, 30, self.clock.seconds)
        self.fails(1000)
        self.assertEqual(self.circuits.open, 0)

    def test_bounded(self) -> None:
        """However many hosts fail, it is remembered of so many only; those go first that were not tried for longest."""
        self.fails(3)
        self.attempt(False, host="first")
        self.circuits.leave("p", "h:80", False, False)
        for n in range(REMEMBERED - 1):
            self.attempt(False, host=str(n))
        self.assertEqual(self.circuits.open, 1)
        self.attempt(False, host="one more")
        self.assertEqual(self.circuits.open, 0)


class DeliveriesTests(DispatcherCase):
    """What becomes of deliveries to such a host."""

    def setUp(self) -> None:
        super().setUp()
        self.circuits = Circuits(3, 30, self.clock.seconds, Random(0).random)
        self.process = self.make(circuits=self.circuits)

    def subscribers(self, count: int, place: Place = QUEUE) -> list[str]:
        """Subscribers at one host that answers 500."""
        made = [f"http://dead/{n}" for n in range(count)]
        for subscriber in made:
            subscribe(self.storage, subscriber, place=place)
            self.receivers.answer(subscriber, AGAIN)
        return made

    def test_left_alone(self) -> None:
        """However much is owed there, one attempt is made in each half minute, behind the first one at each subscriber."""
        self.subscribers(50)
        self.start()
        self.post(1)
        self.assertEqual([each.attempt for each in self.receivers.sent], [1, 2, 3] + [1] * 49)
        self.post(2)
        self.pass_time(29)
        self.assertEqual(len(self.receivers.sent), 52)
        self.pass_time(120)
        self.assertIn(len(self.receivers.sent), (55, 56))
        self.assertGreater(self.process.dispatcher.counters.held_back, 50)

    def test_nothing_is_lost(self) -> None:
        """What was held back is no attempt: all of it is delivered in order once the host works, and nothing given up."""
        made = self.subscribers(20)
        self.start()
        self.post(1, 2)
        self.pass_time(600)
        for subscriber in made:
            self.receivers.answer(subscriber, OK)
        before = len(self.receivers.sent)
        self.pass_time(60)
        self.assertEqual(self.process.dispatcher.counters.given_up, 0)
        self.assertEqual(self.process.dispatcher.counters.delivered, 40)
        self.assertEqual(len(self.receivers.sent) - before, 40)
        for subscriber in made:
            self.assertEqual(self.receivers.bodies(subscriber)[-2:], [1, 2])

    def test_given_up(self) -> None:
        """A host that is away for good has its attempts made, all that the policy says, and no more."""
        subscribe(self.storage, DEAD)
        self.receivers.answer(DEAD, AGAIN)
        self.start()
        self.post(1)
        self.pass_time(15 * 36)
        self.assertEqual(self.process.dispatcher.counters.given_up, 1)
        self.assertEqual([each.attempt for each in self.receivers.sent], list(range(1, 16)))

    def test_refusal(self) -> None:
        """A host that refuses for good works."""
        (subscriber,) = self.subscribers(1)
        self.receivers.answer(subscriber, FINAL)
        self.start()
        self.post(*range(10))
        self.pass_time(1)
        self.assertEqual(self.process.dispatcher.counters.given_up, 10)

    def test_those_that_work(self) -> None:
        """A subscriber that took what it was sent last is not held back, nor one that is new, nor one of another project."""
        other, failing = Place("other", "q"), Place("p", "failing")
        subscribe(self.storage, "http://dead/good")
        subscribe(self.storage, "http://dead/other", place=other)
        self.subscribers(10, failing)
        self.start()
        self.post(1)
        self.post(2, place=failing)
        self.assertEqual(self.circuits.open, 1)
        self.post(3)
        self.post(4, place=other)
        self.assertEqual(self.receivers.bodies("http://dead/good"), [1, 3])
        self.assertEqual(self.receivers.bodies("http://dead/other"), [4])

    def test_slow_one(self) -> None:
        """Nor is one held back that took what it was sent last and was slow at it; it is once an attempt at it failed."""
        slow, failing = "http://dead/slow", Place("p", "failing")
        subscribe(self.storage, slow)
        self.receivers.answer(slow, None)
        self.start()
        self.post(1)
        self.pass_time(5)
        self.receivers.open[slow].pop().callback(OK)
        self.subscribers(10, failing)
        self.post(2, place=failing)
        self.assertEqual(self.circuits.open, 1)
        self.post(3, 4)
        self.assertEqual(self.receivers.bodies(slow), [1, 3])
        self.pass_time(5)
        self.receivers.open[slow].pop().callback(AGAIN)
        self.pass_time(5)
        self.assertEqual(self.receivers.bodies(slow), [1, 3])
        self.assertEqual(self.process.dispatcher.counters.held_back, 11)

    def test_slow_one_broken_off(self) -> None:
        """Nor where the last attempt at it was broken off to make room."""
        self.process = self.make(circuits=self.circuits, workers=1, per_host=1)
        slow, failing = "http://dead/slow", Place("p", "failing")
        subscribe(self.storage, slow)
        self.start()
        self.post(1)
        self.receivers.answer(slow, None)
        self.post(2)
        self.subscribers(10, failing)
        self.post(3, place=failing)
        self.pass_time(3)
        self.assertEqual(self.circuits.open, 1)
        self.pass_time(6)
        self.assertEqual(self.receivers.bodies(slow), [1, 2, 2])

    def test_new_ones(self) -> None:
        """Where a host is left alone a subscriber there that is new is tried at once, and held back like the others when that failed."""
        self.subscribers(10)
        self.start()
        self.post(1)
        self.assertEqual(self.circuits.open, 1)
        for subscriber, answer in (("http://dead/works", OK), ("http://dead/fails", AGAIN)):
            subscribe(self.storage, subscriber, place=Place("p", "new"))
            self.receivers.answer(subscriber, answer)
        self.post(2, place=Place("p", "new"))
        self.assertEqual(self.receivers.bodies("http://dead/works"), [2])
        self.assertEqual(self.receivers.bodies("http://dead/fails")[:1], [2])
