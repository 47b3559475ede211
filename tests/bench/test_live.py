"""Tests of live delivery in the benchmark: audiences, what they miss, and who waits."""

import resource

from twisted.trial.unittest import SynchronousTestCase

from bench.keystone import TOKEN, keystone
from bench.live import Audiences, audience, measure_fanout, measure_idle, measure_wakeup
from bench.load.audience import allow_sockets
from bench.load.engine import LoadFailed
from bench.measure import Shape
from bench.servers import Address, Target
from tests.bench.responder import Responder

SHORT = Shape(2, 0.05, 0.0)


class LiveCase(SynchronousTestCase):
    """Has a server, and a target that is it."""

    def setUp(self) -> None:
        self.server = Responder().__enter__()
        self.addCleanup(self.server.__exit__)
        http, websocket = (Address("127.0.0.1", port) for port in (self.server.http_port, self.server.websocket_port))
        self.target = Target("a", http, websocket)


class FanoutTests(LiveCase):
    """Audiences."""

    def test_all_get_all(self) -> None:
        """Every socket gets every message; each delivery has a latency."""
        with audience(self.target, 3) as people:
            for rate in (0.0, 100.0):
                load, posted = people.run(0.1, rate=rate)
                self.assertEqual((load.errors, load.complaints), (0, []))
                self.assertEqual(len(load.latencies), 3 * posted)
                self.assertTrue(all(0 < each < 10 for each in load.latencies))
        self.assertEqual(len(self.server.queues), 0)

    def test_at_a_rate(self) -> None:
        """So many posts are made as the rate asks for."""
        with audience(self.target, 2) as people:
            people.run(0.01)
            load, posted = people.run(2.0, rate=20.0)
            self.assertTrue(20 <= posted <= 41, posted)  # a busy machine may take away what was to come at the end
            self.assertGreaterEqual(load.seconds, 2.0)

    def test_odd_server(self) -> None:
        """Pings are answered, and frames in parts or in another order than that of the posts are counted all the same."""
        with audience(self.target, 3) as people:
            people.run(0.02)
            self.server.queues.is_odd = True
            load, posted = people.run(1.0, ahead=4)
            self.server.queues.is_odd = False
            self.assertGreater(posted, 2)
            self.assertEqual(len(load.latencies) + load.errors, 3 * posted)
            self.assertLessEqual(load.errors, 1)  # one may be kept to the end

    def test_lost(self) -> None:
        """What does not come is told, and is not waited for again."""
        with audience(self.target, 2, patience_s=3.0) as people:
            people.run(0.02)
            gone = self.server.queues._subscribed.popitem()
            name, sockets = gone
            self.server.queues._subscribed[name] = sockets[:1]
            load, posted = people.run(0.05)
            self.assertEqual(load.errors, posted)
            self.assertIn(f"{posted} of {2 * posted} deliveries did not come", load.complaints[0])
            self.server.queues._subscribed[name] = sockets
            load, posted = people.run(0.05)
            self.assertEqual((load.errors, len(load.latencies)), (0, 2 * posted))

    def test_nothing_comes(self) -> None:
        """Where no socket is pushed anything there is nothing to be measured."""
        self.server.queues.subscribe = lambda queue, sock: None  # type: ignore[method-assign]
        with audience(self.target, 2, patience_s=0.2) as people:
            error = self.assertRaises(LoadFailed, people.run, 0.05)
        self.assertIn("only 0 of 2 sockets were pushed the first message", str(error))

    def test_samples(self) -> None:
        """A sample says how many sockets there were, and at what rate."""
        with audience(self.target, 3) as people:
            sample = measure_fanout(self.target, people, 0, SHORT, 2)
            paced = measure_fanout(self.target, people, 300, SHORT, 2)
        self.assertEqual((sample.case.title, sample.run), ("fanout 3 WebSocket, 16 in flight", 2))
        self.assertEqual((paced.case.title, paced.case.is_for_latency), ("fanout 3 WebSocket at 300/s", True))
        self.assertEqual((sample.connections, sample.errors, sample.operations % 3), (3, 0, 0))

    def test_rates(self) -> None:
        """A rate of less than one post a second is none for an audience."""
        self.assertEqual(Audiences.rates(10), (0, 20_000, 2_000))
        self.assertEqual(Audiences.rates(5_000), (0, 20_000))
        self.assertEqual(Audiences((10, 7), 5).most, 10)


class OtherTests(LiveCase):
    """Who waits, and who does nothing."""

    def test_wakeup(self) -> None:
        """Whoever waits has the message that is posted; both transports have it."""
        for transport in ("http", "websocket"):
            sample = measure_wakeup(self.target, transport, SHORT, 1)
            self.assertGreaterEqual(sample.operations, 20)
            self.assertEqual((sample.case.scenario, sample.errors), ("wakeup", 0))

    def test_no_wait(self) -> None:
        """A server that answers at once does not know how to wait."""
        pop = self.server.queues.pop
        self.server.queues.pop = lambda queue, count, wait_s=0: pop(queue, count)  # type: ignore[method-assign]
        error = self.assertRaises(LoadFailed, measure_wakeup, self.target, "http", SHORT, 1)
        self.assertIn("answered at once", str(error))

    def test_idle(self) -> None:
        """All sockets are opened; without a process there is no memory to look at."""
        sample = measure_idle(self.target, 5, 1)
        self.assertEqual((sample.operations, sample.connections, sample.memory_kib), (5, 5, None))

    def test_files(self) -> None:
        """More files than the system allows are refused, with what is allowed."""
        before = resource.getrlimit(resource.RLIMIT_NOFILE)
        allow_sockets(1)
        self.assertEqual(resource.getrlimit(resource.RLIMIT_NOFILE)[1], before[1])
        if before[1] != resource.RLIM_INFINITY:
            error = self.assertRaises(LoadFailed, allow_sockets, before[1])
            self.assertIn(f"the system allows {before[1]:,}", str(error))

    def test_token(self) -> None:
        """A target with a token shows it, over HTTP with each request and over WebSocket once."""
        known = Target("a", self.target.http, self.target.websocket, token=TOKEN)
        self.assertIn(b"X-Auth-Token: " + TOKEN.encode(), known.api("http", "q").post(1))
        known.connector("websocket")().close()
        with keystone() as url:
            self.assertTrue(url.startswith("http://127.0.0.1:"))
