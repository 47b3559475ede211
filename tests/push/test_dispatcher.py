"""Who is delivered what, when and how often."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from itertools import count
from typing import Any, cast

from twisted.internet.task import Clock
from twisted.logger import ILogObserver, LogEvent, globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase

from tests.push.fakes import AGAIN, FINAL, OK, QUEUE, Process, Receivers, Silence, now, post, subscribe
from zaqar_gateway.model import CONFIRM, Delivery, LogBounds, Place, QueueRules, Verdict
from zaqar_gateway.push.courier import BATCH
from zaqar_gateway.storage.memory import MemoryStorage

LIVE = "http://live/?token=secret"
DEAD = "http://dead/?token=secret"


class DispatcherCase(SynchronousTestCase):
    """A store, receivers, and a dispatcher that has begun."""

    log_bounds = LogBounds()

    def setUp(self) -> None:
        self.clock = Clock()
        self.clock.advance(1_800_000_000)
        serials = count()  # who subscribed first is taken first
        self.storage = MemoryStorage(
            self.clock, new_subscription_id=lambda: f"s{next(serials):06}", log_bounds=self.log_bounds
        )
        self.receivers = Receivers()
        self.process = self.make()
        self.events: list[LogEvent] = []
        observer = cast(ILogObserver, self.events.append)
        globalLogPublisher.addObserver(observer)
        self.addCleanup(globalLogPublisher.removeObserver, observer)

    def make(self, receivers: Receivers | None = None, **options: Any) -> Process:
        """A process that ends with the test."""
        process = Process(self.clock, self.storage, receivers or self.receivers, **options)
        self.addCleanup(process.end, self.clock)
        return process

    def start(self) -> None:
        """Start the dispatcher, which then waits for rings."""
        self.process.start()
        self.pass_time(0.5)

    def post(self, *numbers: int, place: Place = QUEUE) -> None:
        """Post messages, and have the rings heard."""
        post(self.storage, *numbers, place=place)
        self.clock.advance(0)

    def pass_time(self, seconds: float) -> None:
        """Have time pass in steps of a quarter of a second, for what begins when something else ends."""
        self.clock.pump([0.25] * int(seconds * 4))

    def logged(self, part: str) -> list[LogEvent]:
        """The events whose format has some text."""
        return [event for event in self.events if part in (event.get("log_format") or "")]


class DeliveryTests(DispatcherCase):
    """Deliveries that go well, or are given up."""

    def test_at_once(self) -> None:
        """What is posted is delivered at the ring, to each subscriber once, and not again later."""
        first, second = subscribe(self.storage, LIVE), subscribe(self.storage, "mailto:a@b.example?subject=x")
        self.start()
        self.post(1, 2)
        self.pass_time(60)
        self.assertEqual(self.receivers.bodies(LIVE), [1, 2])
        self.assertEqual(self.receivers.bodies("mailto:a@b.example?subject=x"), [1, 2])
        self.assertEqual(self.process.dispatcher.counters.delivered, 4)
        self.assertEqual({each.id.partition("-")[2] for each in self.receivers.sent}, {first, second})

    def test_pace(self) -> None:
        """However many deliveries begin in the same moment, each does so in its turn; what is cancelled meanwhile does not."""
        turns: list[Callable[[], None]] = []
        process = self.make(pace=turns.append)
        for number in range(5):
            subscribe(self.storage, f"http://host{number}/")
        process.start()
        self.pass_time(0.5)
        self.post(1)
        most = 0
        while turns:
            before = len(self.receivers.sent)
            turns.pop(0)()
            most = max(most, len(self.receivers.sent) - before)
        self.assertEqual((most, len(self.receivers.sent)), (1, 5))
        self.post(2)
        for _ in range(5):
            turns.pop(0)()
        self.assertTrue(turns)
        begun = len(self.receivers.sent)
        process.dispatcher.stopService()
        while turns:
            turns.pop(0)()
        self.assertEqual(len(self.receivers.sent), begun)

    def test_delivery(self) -> None:
        """A notifier is told what it needs; the id is another one for each post and subscriber."""
        subscribe(self.storage, LIVE, options=b'{"post_headers": {"a": "b"}}')
        self.start()
        self.post(1, 2)
        first, second = self.receivers.sent
        self.assertEqual(
            (first.place, first.subscriber, first.options, first.attempt, first.notice),
            (QUEUE, LIVE, {"post_headers": {"a": "b"}}, 1, ""),
        )
        self.assertEqual(json.loads(first.payload)["queue_name"], "q")
        self.assertNotEqual(first.id, second.id)

    def test_topic(self) -> None:
        """What is posted to a topic is delivered to its subscribers, and not to those of the queue of that name."""
        topic = Place("p", "q", is_topic=True)
        subscribe(self.storage, LIVE)
        subscribe(self.storage, "http://topic/", place=topic)
        self.start()
        self.post(1, place=topic)
        self.assertEqual(self.receivers.bodies("http://topic/"), [1])
        self.assertEqual(self.receivers.bodies(LIVE), [])

    def test_order(self) -> None:
        """A subscriber gets posts in their order and one at a time, however long each takes."""
        subscribe(self.storage, LIVE)
        self.receivers.answer(LIVE, None)
        self.start()
        self.post(*range(100))
        for n in range(100):
            self.assertEqual(self.receivers.bodies(LIVE), list(range(n + 1)))
            self.clock.advance(0.25)
            self.receivers.open[LIVE][n].callback(OK)
        self.pass_time(30)
        self.assertEqual(self.receivers.bodies(LIVE), list(range(100)))

    def test_given_up_at_once(self) -> None:
        """What is refused for good is not tried again; the next one is; the operator finds it in the store."""
        subscription = subscribe(self.storage, DEAD)
        self.receivers.answer(DEAD, lambda delivery: OK if b'"body":3' in delivery.payload else FINAL)
        self.start()
        self.post(1, 2, 3)
        self.pass_time(60)
        self.assertEqual(self.receivers.bodies(DEAD), [1, 2, 3])
        failures = now(self.storage.deliveries.failures(QUEUE, "", 10))
        self.assertEqual(
            [(each.subscription_id, each.attempts, each.reason) for each in failures],
            [(subscription, 1, "it answered 404")] * 2,
        )
        counters = self.process.dispatcher.counters
        self.assertEqual((counters.delivered, counters.given_up, counters.retried), (1, 2, 0))

    def test_sent_again(self) -> None:
        """What was given up is delivered when the operator has it sent again, as another delivery."""
        subscribe(self.storage, DEAD)
        self.receivers.answer(DEAD, FINAL)
        self.start()
        self.post(1)
        self.receivers.answer(DEAD, OK)
        self.assertEqual(now(self.storage.deliveries.resend(QUEUE, None, 10)), 1)
        self.pass_time(1)
        self.assertEqual(self.receivers.bodies(DEAD), [1, 1])
        self.assertEqual(len({each.id for each in self.receivers.sent}), 2)

    def test_given_up_is_logged(self) -> None:
        """One line for what is given up: where, to whom, why; with the host of the subscriber and no more of it."""
        subscribe(self.storage, DEAD)
        self.receivers.answer(DEAD, FINAL)
        self.start()
        self.post(7777)
        (event,) = self.logged("given up")
        self.assertEqual(
            (event["place"], event["host"], event["attempts"], event["reason"]),
            ("queue q of project p", "dead:80", 1, "it answered 404"),
        )
        for secret in ("token", "7777"):
            self.assertNotIn(secret, repr(self.events))

    def test_no_notifier(self) -> None:
        """What nothing delivers is given up."""
        subscribe(self.storage, "gopher://x/")
        self.start()
        self.post(1)
        (failure,) = now(self.storage.deliveries.failures(QUEUE, "", 10))
        self.assertEqual(failure.reason, "nothing delivers to gopher: subscribers")

    def test_exception(self) -> None:
        """A notifier that raises has failed, and what it raised is logged; everybody else is delivered to."""
        subscribe(self.storage, DEAD)
        self.receivers.answer(DEAD, lambda delivery: ZeroDivisionError("x") if delivery.attempt == 1 else OK)
        self.start()
        self.post(1)
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        self.assertEqual([each.attempt for each in self.receivers.sent], [1, 2])

    def test_no_verdict(self) -> None:
        """A notifier that gives no verdict has failed: it is not called again and again for what its subscriber has got already."""
        subscribe(self.storage, DEAD)
        odd: Any = object()  # fakes that answer None do not answer yet
        self.start()
        for number, answer in enumerate((odd, Verdict(False, reason=odd))):
            self.receivers.clear()
            self.receivers.answer(DEAD, (lambda first: lambda delivery: first if delivery.attempt == 1 else OK)(answer))
            self.post(number)
            self.assertEqual(len(self.flushLoggedErrors(TypeError)), 1)
            self.assertEqual([each.attempt for each in self.receivers.sent], [1, 2])

    def test_odd_options(self) -> None:
        """Options and addresses that nobody should have stored keep nobody from being delivered to."""
        for n, (subscriber, options) in enumerate(
            (("http://[x/", b"{}"), ("http://a:b/", b"[]"), ("http:", b"{"), ("http://c/", b'{"_retry_policy": 1}'))
        ):
            subscribe(self.storage, subscriber, options=options)
            self.receivers.answer(subscriber, lambda delivery: OK if delivery.attempt > 1 else AGAIN)
            self.assertEqual(n + 1, len(now(self.storage.subscriptions.list("p", "q", "", 10))))
        self.start()
        self.post(1)
        self.assertEqual(self.process.dispatcher.counters.delivered, 4)

    def change(self, subscription: str, *, subscriber: str | None = None, options: bytes | None = None) -> None:
        """Change a subscription."""
        changed = self.storage.subscriptions.update(
            "p", "q", subscription, subscriber=subscriber, ttl_s=None, options=options, notice_s=None
        )
        self.assertTrue(now(changed))

    def test_changed_options(self) -> None:
        """Options that are changed hold for what is delivered next, also of what was taken already."""
        subscription = subscribe(self.storage, LIVE)
        self.receivers.answer(LIVE, None)
        self.start()
        self.post(1, 2)
        self.change(subscription, options=b'{"post_data": "x"}')
        self.receivers.open[LIVE][0].callback(OK)
        self.assertEqual([each.options for each in self.receivers.sent], [{}, {"post_data": "x"}])

    def test_changed_subscriber(self) -> None:
        """Another subscriber gets what was owed to the one before, which gets nothing more."""
        subscription = subscribe(self.storage, LIVE)
        self.receivers.answer(LIVE, None)
        self.start()
        self.post(1, 2, 3)
        self.change(subscription, subscriber="http://new/")
        self.receivers.open[LIVE][0].callback(OK)
        self.pass_time(1)
        self.assertEqual(self.receivers.bodies(LIVE), [1])
        self.assertEqual(self.receivers.bodies("http://new/")[-2:], [2, 3])

    def test_deleted_subscription(self) -> None:
        """What ended gets nothing more."""
        subscription = subscribe(self.storage, LIVE)
        self.receivers.answer(LIVE, None)
        self.start()
        self.post(1, 2, 3)
        now(self.storage.subscriptions.delete("p", "q", subscription))
        self.receivers.open[LIVE][0].callback(OK)
        self.pass_time(30)
        self.assertLessEqual(len(self.receivers.sent), 2)


class NoticeTests(DispatcherCase):
    """Confirmations."""

    def setUp(self) -> None:
        super().setUp()
        self.process = self.make(required=True)

    def test_notice(self) -> None:
        """An unconfirmed subscriber gets the notice, and no post."""
        subscription = subscribe(self.storage, LIVE, notice_s=60)
        self.start()
        self.post(1)
        (sent,) = self.receivers.sent
        document = json.loads(sent.payload)
        self.assertEqual(sent.notice, CONFIRM)
        self.assertEqual(document["Message_Type"], CONFIRM)
        self.assertEqual(document["URL-Paths"], f"/v2/queues/q/subscriptions/{subscription}/confirm")

    def test_confirmed(self) -> None:
        """A confirmed one gets what is posted from then on."""
        subscription = subscribe(self.storage, LIVE, notice_s=60)
        self.start()
        self.post(1)
        now(self.storage.subscriptions.confirm("p", "q", subscription, True, required=True, notice_s=None))
        self.post(2)
        self.assertEqual(self.receivers.bodies(LIVE), [2])

    def test_no_secret(self) -> None:
        """A notice that cannot be signed is given up, with the reason."""
        self.process = self.make(required=True, keys=())
        subscribe(self.storage, LIVE, notice_s=60)
        self.start()
        (failure,) = now(self.storage.deliveries.failures(QUEUE, "", 10))
        self.assertIn("secret", failure.reason)
        self.assertEqual(self.receivers.sent, [])


class RetryTests(DispatcherCase):
    """What fails and may be tried again."""

    def test_phases(self) -> None:
        """Every phase of the default policy, on the clock; then it is given up, and the next post is tried."""
        subscribe(self.storage, DEAD)
        times: list[float] = []

        def fail(delivery: Delivery) -> Verdict:
            times.append(self.clock.seconds())
            return AGAIN

        self.receivers.answer(DEAD, fail)
        self.start()
        self.post(1)
        self.receivers.answer(LIVE, OK)
        began = self.clock.seconds()
        self.pass_time(230)
        delays = [5, 5, 5, 5, 10, 15, 20, 25, 30, 30, 30]
        due = [0, 0, 0, 0] + [sum(delays[: n + 1]) for n in range(len(delays))]
        self.assertEqual(len(times), len(due))
        for n, (time, expected) in enumerate(zip(times, due, strict=True)):
            late = time - began - expected
            self.assertTrue(0 <= late <= 0.5 * (n + 1), (n, late))  # the schedule is looked at every half second
        self.assertEqual([each.attempt for each in self.receivers.sent], list(range(1, 16)))
        self.assertEqual(len({each.id for each in self.receivers.sent}), 1)
        (failure,) = now(self.storage.deliveries.failures(QUEUE, "", 10))
        self.assertEqual((failure.attempts, failure.reason), (15, "it answered 500"))
        counters = self.process.dispatcher.counters
        self.assertEqual((counters.retried, counters.given_up, counters.delivered), (14, 1, 0))

    def test_success(self) -> None:
        """It stops at the first success, and what comes next starts afresh."""
        subscribe(self.storage, DEAD)
        self.receivers.answer(
            DEAD, lambda delivery: AGAIN if b'"body":1' in delivery.payload and delivery.attempt < 6 else OK
        )
        self.start()
        self.post(1, 2)
        self.pass_time(30)
        self.assertEqual(self.receivers.bodies(DEAD), [1] * 6 + [2])
        self.assertEqual(self.receivers.sent[-1].attempt, 1)

    def test_policies(self) -> None:
        """The subscription's policy counts before the queue's."""
        none = {"retries_with_no_delay": 1, "minimum_delay_retries": 0, "maximum_delay_retries": 0}
        policy = json.dumps(none | {"minimum_delay": 100, "maximum_delay": 110}).encode()
        now(self.storage.queues.create("p", "q", b"{}", QueueRules(retry_policy=policy)))
        own = {"_retry_policy": {"retries_with_no_delay": 2}}
        subscribe(self.storage, DEAD, options=json.dumps(own).encode())
        subscribe(self.storage, "http://other/")
        for subscriber in (DEAD, "http://other/"):
            self.receivers.answer(subscriber, AGAIN)
        self.start()
        self.post(1)
        self.pass_time(6)
        self.assertEqual(len(self.receivers.bodies(DEAD)), 4)  # two at once, one after five seconds
        self.assertEqual(len(self.receivers.bodies("http://other/")), 2)
        self.pass_time(95)
        self.assertEqual(len(self.receivers.bodies("http://other/")), 3)

    def test_waits_in_the_store(self) -> None:
        """Who waits for a retry holds no lease: another gateway makes the attempt when it is due."""
        subscribe(self.storage, DEAD)
        self.receivers.answer(DEAD, AGAIN)
        self.start()
        self.post(1)
        self.process.kill()
        second = self.make(name="g2")
        second.start()
        self.pass_time(6)
        self.assertEqual(len(self.receivers.sent), 5)
        self.assertEqual(self.receivers.sent[-1].attempt, 5)


class IsolationTests(DispatcherCase):
    """Slow and dead subscribers."""

    def dead(self, number: int, answer: Verdict | None, host: str = "dead{n}") -> None:
        """Subscribers that do not work."""
        for n in range(number):
            subscriber = f"http://{host.format(n=n)}/{n}"
            subscribe(self.storage, subscriber)
            self.receivers.answer(subscriber, answer)

    def live(self) -> None:
        """A subscriber that took what it was sent before."""
        subscribe(self.storage, LIVE)
        self.start()
        self.post(0)
        self.assertEqual(self.receivers.bodies(LIVE), [0])

    def test_failing(self) -> None:
        """A thousand that answer with errors delay nobody."""
        self.live()
        self.dead(1000, AGAIN)
        for n in range(1, 20):
            self.post(n)
            self.pass_time(1)
            self.assertEqual(self.receivers.bodies(LIVE)[-1], n)
        self.assertGreater(self.process.dispatcher.counters.retried, 3000)

    def test_hanging(self) -> None:
        """A thousand that do not answer delay nobody, though there are places for a hundred."""
        self.live()
        self.dead(1000, None)
        for n in range(1, 20):
            self.post(n)
            self.assertEqual(self.receivers.bodies(LIVE)[-1], n)
            self.pass_time(1)
            if n % 10 == 0:  # their time-out
                for waiting in [self.receivers.open.pop(subscriber) for subscriber in list(self.receivers.open)]:
                    for each in waiting:
                        each.callback(AGAIN)

    def test_hanging_unknown(self) -> None:
        """A live one of whom nothing is known waits three seconds at most for as many as there are places."""
        self.dead(100, None)
        subscribe(self.storage, LIVE)
        self.start()
        self.post(1)
        self.assertEqual(self.receivers.bodies(LIVE), [])
        self.pass_time(3)
        self.assertEqual(self.receivers.bodies(LIVE), [1])

    def test_failed_once(self) -> None:
        """A subscriber of another project that failed once is tried again within seconds, beside so many that there is no room."""
        other = Place("other", "q")
        subscribe(self.storage, LIVE, place=other)
        self.receivers.answer(LIVE, lambda delivery: AGAIN if delivery.attempt == 1 else OK)
        self.dead(2000, None)
        self.start()
        self.post(1)
        for second in range(80):
            if second == 60:
                self.post(2, place=other)
            self.pass_time(1)
            for waiting in list(self.receivers.open.values()) if second % 10 == 9 else ():  # their time-out
                for each in waiting:
                    if not each.called:
                        each.callback(AGAIN)
        self.assertEqual(self.receivers.bodies(LIVE), [2, 2])

    def test_turned_bad(self) -> None:
        """So does one that is known to be good, for such that were good until now."""
        self.dead(100, OK)
        subscribe(self.storage, LIVE)
        self.start()
        self.post(1)
        self.assertEqual(self.process.dispatcher.counters.delivered, 101)
        for n in range(100):
            self.receivers.answer(f"http://dead{n}/{n}", None)
        self.post(2)
        self.assertEqual(self.receivers.bodies(LIVE), [1])
        self.pass_time(3)
        self.assertEqual(self.receivers.bodies(LIVE), [1, 2])

    def test_hanging_multitude(self) -> None:
        """Those that never answer, more than there is room for, hold nobody up for ever, even with no time-out."""
        self.dead(400, None)
        subscribe(self.storage, LIVE)
        self.start()
        self.post(1)
        self.pass_time(50)
        self.assertEqual(self.receivers.bodies(LIVE), [1])

    def test_made_room(self) -> None:
        """What was broken off to make room does not count as an attempt, and has all the time it wants afterwards."""
        self.process = self.make(workers=4, per_host=4)
        self.dead(4, None)
        self.start()
        self.post(1)
        self.pass_time(60)
        self.assertEqual({each.attempt for each in self.receivers.sent}, {1})
        self.assertLessEqual(len(self.receivers.sent), 8)
        self.assertEqual(self.process.dispatcher.counters.retried, 0)
        while self.receivers.open:
            _, waiting = self.receivers.open.popitem()
            if not waiting[-1].called:
                waiting[-1].callback(OK)
        self.assertEqual(self.process.dispatcher.counters.delivered, 4)

    def test_hanging_on_one_host(self) -> None:
        """Those of the same host do not either."""
        self.live()
        self.dead(200, None, host="live")
        self.post(1)
        self.assertEqual(self.receivers.bodies(LIVE), [0, 1])

    def test_bounds(self) -> None:
        """No more than so many attempts are under way, in all and to one host."""
        self.process = self.make(workers=8, per_host=3)
        self.dead(10, None, host="one")
        self.dead(10, None)
        self.start()
        self.post(1)
        hosts = Counter(each.subscriber.split("/")[2] for each in self.receivers.sent)
        self.assertLessEqual(sum(hosts.values()), 8)
        self.assertLessEqual(hosts["one"], 3)
        self.assertGreaterEqual(sum(hosts.values()), 6)

    def test_mail_is_bounded(self) -> None:
        """No more mails are on their way than attempts at one host may be, whatever their domains; other subscribers find room."""
        self.process = self.make(workers=50, per_host=4, couriers=40)
        for n in range(100):
            subscribe(self.storage, f"mailto:a@domain{n}.example")
            self.receivers.answer(f"mailto:a@domain{n}.example", None)
        subscribe(self.storage, LIVE)
        self.start()
        self.post(1)
        self.pass_time(20)
        self.assertEqual(self.receivers.bodies(LIVE), [1])
        sent: set[str] = set()
        for _ in range(200):
            for subscriber, waiting in list(self.receivers.open.items()):
                sent.add(subscriber)
                self.assertLessEqual(len(self.receivers.open), 4)
                waiting.pop().callback(OK)
                del self.receivers.open[subscriber]
            self.pass_time(1)
        self.assertEqual((len(sent), len(self.receivers.sent)), (100, 101))

    def test_mail_is_not_broken_off(self) -> None:
        """A mail that takes long is waited for, though others wait for its place: the server may have all of it."""
        self.process = self.make(workers=4, per_host=1)
        for name in "ab":
            subscribe(self.storage, f"mailto:{name}@one.example")
            self.receivers.answer(f"mailto:{name}@one.example", None)
        self.start()
        self.post(1)
        self.pass_time(9)
        self.assertEqual(len(self.receivers.sent), 1)
        self.receivers.open["mailto:a@one.example"][0].callback(OK)
        self.pass_time(9)
        self.assertEqual([each.subscriber for each in self.receivers.sent], ["mailto:a@one.example", "mailto:b@one.example"])

    def test_all_in_time(self) -> None:
        """More subscribers than there is room for are all delivered to, one after the other."""
        self.process = self.make(workers=2, per_host=2, couriers=4)
        for n in range(200):
            subscribe(self.storage, f"http://h{n}/")
        self.start()
        self.post(1)
        self.pass_time(60)
        self.assertEqual(len(self.receivers.sent), 200)
        self.assertEqual(len({each.subscriber for each in self.receivers.sent}), 200)

    def test_put_off(self) -> None:
        """Failing ones that there is no room for wait in the store, and are tried when their time comes."""
        self.process = self.make(workers=4, per_host=4, couriers=8)
        self.dead(20, AGAIN)
        self.start()
        self.post(1)
        self.pass_time(60)
        tried = Counter(each.subscriber for each in self.receivers.sent)
        self.assertEqual(len(tried), 20)
        self.assertGreater(min(tried.values()), 4)


class LeaseTests(DispatcherCase):
    """Leases, and gateways that end."""

    def test_long_attempt(self) -> None:
        """A lease holds for as long as its holder lives and reaches the store, so nobody else delivers."""
        subscribe(self.storage, LIVE)
        self.receivers.answer(LIVE, None)
        self.start()
        self.post(1)
        second = self.make(name="g2")
        second.start()
        self.pass_time(60)
        self.assertEqual(len(self.receivers.sent), 1)
        self.receivers.open[LIVE][0].callback(OK)
        self.pass_time(30)
        self.assertEqual(len(self.receivers.sent), 1)

    def test_dropped(self) -> None:
        """What a gateway had taken is delivered by another within seconds of its end, in order, from where it was."""
        subscribe(self.storage, LIVE)
        self.receivers.answer(LIVE, None)
        self.start()
        second = self.make(name="g2")
        second.start()
        self.pass_time(3)
        self.post(*range(10))
        for n in range(4):
            self.receivers.open[LIVE][n].callback(OK)
        self.process.kill()
        self.receivers.answer(LIVE, OK)
        self.pass_time(12)
        self.assertEqual(self.receivers.bodies(LIVE), [0, 1, 2, 3, 4, *range(4, 10)])
        again = [each.id for each in self.receivers.sent][4:6]
        self.assertEqual(len(set(again)), 1)

    def test_cannot_extend(self) -> None:
        """Who cannot extend its lease cancels what is under way before anybody else can begin."""
        subscribe(self.storage, LIVE)
        self.receivers.answer(LIVE, None)
        self.start()
        self.post(1, 2)
        cancelled: list[float] = []
        began = self.clock.seconds()
        (attempt,) = self.receivers.open[LIVE]
        attempt.addBoth(lambda _: cancelled.append(self.clock.seconds() - began))
        self.process.store.is_away = True
        self.pass_time(20)
        self.assertLess(cancelled[0], 10)
        self.assertEqual(len(self.receivers.sent), 1)

    def test_lost(self) -> None:
        """Who hears that its lease is lost cancels what is under way."""
        subscription = subscribe(self.storage, LIVE)
        self.receivers.answer(LIVE, None)
        self.start()
        self.post(1, 2)
        (attempt,) = self.receivers.open[LIVE]
        now(self.storage.subscriptions.delete("p", "q", subscription))
        self.pass_time(5)
        self.assertTrue(attempt.called)
        self.assertEqual(len(self.receivers.sent), 1)

    def test_two_share(self) -> None:
        """Two gateways share the work, and deliver nothing twice."""
        mine, others = Receivers(), Receivers()
        first = self.make(mine, name="g1")
        second = self.make(others, name="g2")
        places = [Place("p", f"q{n}") for n in range(40)]
        for place in places:
            for n in range(3):
                subscribe(self.storage, f"http://h{n}/", place=place)
        first.start()
        second.start()
        self.pass_time(3)
        for n in range(5):
            for place in places:
                self.post(n, place=place)
        self.pass_time(30)
        sent = Counter(each.id for each in [*mine.sent, *others.sent])
        self.assertEqual(len(sent), 40 * 3 * 5)
        self.assertEqual(set(sent.values()), {1})
        self.assertGreater(len(mine.sent), 100)
        self.assertGreater(len(others.sent), 100)

    def test_few_reports(self) -> None:
        """Deliveries do not wait for reports, of which one at most is under way; the next says all that was done."""
        subscribe(self.storage, LIVE)
        self.start()
        self.process.store.calls.clear()
        held = self.process.store.hold("report")
        self.post(*range(BATCH))
        self.assertEqual(self.receivers.bodies(LIVE), list(range(BATCH)))
        self.assertEqual(self.process.store.calls, ["take", "report"])
        held.callback(None)
        self.assertEqual(self.process.store.calls, ["take", "report", "report"])
        self.pass_time(15)
        self.assertEqual(self.receivers.bodies(LIVE), list(range(BATCH)))


class StoreTests(DispatcherCase):
    """The store is away, or faulty."""

    def test_away_and_back(self) -> None:
        """While it is away nothing is sent and little is asked; one line is logged; then everything goes on."""
        subscribe(self.storage, LIVE)
        self.start()
        self.process.store.is_away = True
        self.process.store.calls.clear()
        self.post(1, 2, 3)
        self.pass_time(20)
        self.assertEqual(self.receivers.sent, [])
        self.assertLess(len(self.process.store.calls), 100)
        self.assertEqual(len(self.logged("wait for the store")), 1)
        self.process.store.is_away = False
        self.pass_time(1)
        self.assertEqual(self.receivers.bodies(LIVE), [1, 2, 3])
        self.assertEqual(len(self.logged("deliveries go on")), 1)

    def test_away_meanwhile(self) -> None:
        """Away for long in the middle of deliveries: they go on where they were, and little is delivered twice."""
        subscribe(self.storage, LIVE)
        self.receivers.answer(LIVE, None)
        self.start()
        self.post(*range(10))
        for n in range(5):
            self.receivers.open[LIVE][n].callback(OK)
        self.process.store.is_away = True
        self.pass_time(20)
        self.process.store.is_away = False
        self.receivers.answer(LIVE, OK)
        self.pass_time(12)
        bodies = self.receivers.bodies(LIVE)
        self.assertEqual(sorted(set(bodies)), list(range(10)))
        self.assertLessEqual(len(bodies), 12)
        self.assertEqual(bodies[-5:], [5, 6, 7, 8, 9])

    def test_short_absence(self) -> None:
        """An absence that is shorter than the leases has nothing delivered twice."""
        subscribe(self.storage, LIVE)
        self.receivers.answer(LIVE, None)
        self.start()
        self.post(*range(BATCH + 2))
        self.process.store.is_away = True
        for n in range(BATCH):
            self.receivers.open[LIVE][n].callback(OK)
        self.pass_time(6)
        self.receivers.answer(LIVE, OK)
        self.process.store.is_away = False
        self.pass_time(20)
        self.assertEqual(self.receivers.bodies(LIVE), list(range(BATCH + 2)))

    def test_given_up_while_away(self) -> None:
        """What is given up while the store is away is found there when it is back, once."""
        subscribe(self.storage, DEAD)
        self.receivers.answer(DEAD, None)
        self.start()
        self.post(1, 2)
        self.process.store.is_away = True
        for n in range(2):
            self.receivers.open[DEAD][n].callback(FINAL)
        self.pass_time(3)
        self.process.store.is_away = False
        self.pass_time(20)
        self.assertEqual(len(now(self.storage.deliveries.failures(QUEUE, "", 10))), 2)
        self.assertEqual(self.receivers.bodies(DEAD), [1, 2])

    def test_fault(self) -> None:
        """A place that the store cannot read is left alone for a while, with a line in the log; others are not."""
        subscribe(self.storage, LIVE)
        other = Place("p", "other")
        subscribe(self.storage, "http://other/", place=other)
        self.start()
        self.process.store.faulty = QUEUE
        self.post(1)
        self.post(2, place=other)
        self.pass_time(25)
        self.assertEqual(self.receivers.bodies("http://other/"), [2])
        self.assertEqual(len(self.logged("cannot say what is owed")), 1)
        self.process.store.faulty = None
        self.pass_time(10)
        self.assertEqual(self.receivers.bodies(LIVE), [1])

    def test_silence(self) -> None:
        """What nobody rang for is found in the schedule within half a second."""
        self.process = self.make(doorbells=Silence())
        subscribe(self.storage, LIVE)
        self.start()
        self.post(1)
        self.assertEqual(self.receivers.bodies(LIVE), [])
        self.clock.advance(0.5)
        self.assertEqual(self.receivers.bodies(LIVE), [1])

    def test_pass(self) -> None:
        """All places are passed over at start, when rings were missed and when a gateway has ended; not else."""
        silence = Silence()
        self.process = self.make(doorbells=silence)
        for n in range(10):
            subscribe(self.storage, LIVE, place=Place("p", f"q{n}"))
        self.start()
        self.pass_time(5)
        calls = self.process.store.calls
        self.assertEqual((calls.count("places"), calls.count("take")), (1, 10))
        silence.missed()
        self.pass_time(5)
        self.assertEqual((calls.count("places"), calls.count("take")), (2, 20))
        second = self.make(name="g2")
        second.start()
        self.pass_time(5)
        second.kill()
        self.pass_time(12)
        self.assertEqual((calls.count("places"), calls.count("take")), (3, 30))


class GapTests(DispatcherCase):
    """The log keeps so much and no more."""

    log_bounds = LogBounds(bytes_max=1000)

    def test_gap(self) -> None:
        """Who lagged behind what the log keeps gets the rest; that it missed something is logged and counted."""
        subscribe(self.storage, LIVE)
        post(self.storage, *range(100))
        self.start()
        self.pass_time(1)
        bodies = self.receivers.bodies(LIVE)
        self.assertLess(len(bodies), 20)
        self.assertEqual(bodies[-1], 99)
        self.assertEqual(self.process.dispatcher.counters.gaps, 1)
        (event,) = self.logged("missed posts")
        self.assertEqual(event["place"], "queue q of project p")


class StopTests(DispatcherCase):
    """The end of a gateway."""

    def test_idle(self) -> None:
        """With nothing under way it stops at once, and leaves no timers."""
        subscribe(self.storage, LIVE)
        self.start()
        self.successResultOf(self.process.dispatcher.stopService())
        self.successResultOf(self.process.membership.stopService())
        self.post(1)
        self.pass_time(5)
        self.assertEqual(self.receivers.sent, [])
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_under_way(self) -> None:
        """What is under way ends first; the rest is free for other gateways at once, and nothing is delivered twice."""
        subscribe(self.storage, LIVE)
        self.receivers.answer(LIVE, None)
        self.start()
        self.post(1, 2)
        stopping = self.process.dispatcher.stopService()
        self.pass_time(5)
        self.assertNoResult(stopping)
        self.receivers.open[LIVE][0].callback(OK)
        self.successResultOf(stopping)
        self.successResultOf(self.process.membership.stopService())
        self.receivers.answer(LIVE, OK)
        second = self.make(name="g2")
        second.start()
        self.pass_time(0.5)
        self.assertEqual(self.receivers.bodies(LIVE), [1, 2])

    def test_bound(self) -> None:
        """What does not end is cancelled after a while, and not counted as an attempt."""
        subscribe(self.storage, LIVE)
        self.receivers.answer(LIVE, None)
        self.start()
        self.post(1)
        stopping = self.process.dispatcher.stopService()
        self.pass_time(9.75)
        self.assertNoResult(stopping)
        self.pass_time(0.25)
        self.successResultOf(stopping)
        (owed,) = now(
            self.storage.deliveries.take(QUEUE, limit=1, batch=10, lease_ms=1000, required=False)
        )
        self.assertEqual((len(owed.posts), owed.attempts), (1, 0))

    def test_waiting_for_a_place(self) -> None:
        """Who waits for a place waits no longer."""
        self.process = self.make(workers=1, per_host=1)
        for subscriber in (LIVE, DEAD):
            subscribe(self.storage, subscriber)
            self.receivers.answer(subscriber, None)
        self.start()
        self.post(1)
        self.assertEqual(len(self.receivers.sent), 1)
        stopping = self.process.dispatcher.stopService()
        (waiting,) = self.receivers.open.values()
        waiting[0].callback(OK)
        self.successResultOf(stopping)
        self.assertEqual(len(self.receivers.sent), 1)

    def test_store_away(self) -> None:
        """It stops although the store is away."""
        subscribe(self.storage, LIVE)
        self.receivers.answer(LIVE, None)
        self.start()
        self.post(1)
        self.process.kill()
        stopping = self.process.dispatcher.stopService()
        self.receivers.open[LIVE][0].callback(OK)
        self.successResultOf(stopping)
