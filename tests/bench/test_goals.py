"""Tests of what is measured against bounds of its own, of requests at a given rate, and of what becomes of the figures."""

import contextlib
import io
import os
import socket
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from unittest import mock

from twisted.trial.unittest import SynchronousTestCase

from bench import cli
from bench.api import expect
from bench.flame import draw
from bench.goals import (
    FLAT,
    LARGE,
    LATENCY,
    MEMORY,
    Figure,
    Sizes,
    flat,
    keep,
    large,
    latency,
    load_figures,
    memory,
    relayed,
    table,
)
from bench.load.engine import LoadFailed, Operation
from bench.load.paced import run_paced
from bench.measure import queue
from bench.report.tables import figures, live, plot, rates
from bench.results import Case, Results
from bench.servers import Address, Cores, Target
from tests.bench.responder import Responder
from tests.bench.samples import CYCLE, POST, sample
from tests.redis_server import shared_server

SMALL = Sizes(200, 40, 40, 3, 3, 0.05, 0.001, 40, 3, 2, ttl_s=-1)


class GoalCase(SynchronousTestCase):
    """Has a server, and a target that is it."""

    def setUp(self) -> None:
        self.server = Responder().__enter__()
        self.addCleanup(self.server.__exit__)
        http, websocket = (Address("127.0.0.1", port) for port in (self.server.http_port, self.server.websocket_port))
        self.target = Target("gateway", http, websocket)


class MeasuredTests(GoalCase):
    """Each goal, in small, on a server that is not the gateway."""

    def test_flat(self) -> None:
        """Each step has percentiles at each size, and what they are against those of a short queue."""
        found = list(flat(self.target, SMALL))
        self.assertEqual(len(found), 4 * 4 * 4)
        self.assertTrue(all(each.value > 0 for each in found))
        self.assertEqual({each.bound for each in found}, {None, 1.2})
        self.assertIn("list, 200 messages: p99 against 1,000 messages", [each.what for each in found])

    def test_latency(self) -> None:
        """A client is measured alone, with others, and beside what is done with a long queue."""
        found = {each.what: each for each in latency(self.target, SMALL)}
        self.assertEqual(found["post, http, alone: p50"].bound, 0.5)
        self.assertEqual(found["post, websocket, alone: p50"].bound, 0.4)
        for act in ("listed", "purged", "swept"):
            self.assertEqual(found[f"post of another client, while a queue of 200 is {act}: p99"].bound, 10.0)
        self.assertEqual(len(self.server.queues), 0)

    def test_large(self) -> None:
        """Bodies of 254 KiB go both ways, and small ones beside them."""
        found = list(large(self.target, SMALL))
        self.assertEqual([each.unit for each in found], ["GB/s"] * 4 + ["ms"] * 3)

    def test_relay(self) -> None:
        """A relay has a Redis keep what is posted to it, as it came; nothing is left of that afterwards."""
        server = shared_server()
        with mock.patch("bench.goals.KEY", b"other"):  # it is looked at before it is taken away
            speed = relayed(str(server.path), [*os.sched_getaffinity(0)], {"bench_body": "x" * 1000}, 12, looks=True)
        self.assertGreater(speed, 0)
        kept = [server.call("HLEN", "bench-relay"), server.call("HGET", "bench-relay", "000000000012")]
        self.assertEqual(kept[0], b":12\r\n")
        self.assertIn(b'{"messages":[{', kept[1])
        relayed(str(server.path), [*os.sched_getaffinity(0)], {"bench_body": "x"}, 1, looks=False)
        self.assertEqual(server.call("EXISTS", "bench-relay"), b":0\r\n")

    def test_memory(self) -> None:
        """Redis is asked for its memory, by the address in the title of its process."""
        used = iter((1_000, 17_000))
        with mock.patch("bench.goals.redis_memory", lambda target: next(used)):
            with mock.patch("bench.goals.memory_of", lambda target: 2**20):
                found = list(memory(self.target, SMALL))
        self.assertEqual([each.value for each in found], [400.0, 1.0, 1.0])
        self.assertEqual([each.is_met for each in found], [True, None, True])

    def test_unknown_redis(self) -> None:
        """Where Redis is not known it cannot be measured."""
        with self.assertRaisesRegex(LoadFailed, "the Redis of gateway is not known"):
            list(memory(self.target, SMALL))


class CommandTests(GoalCase):
    """The command."""

    def goals(self, output: Path, name: str) -> tuple[int, str]:
        """Exit code and standard output of measuring one goal."""

        @contextlib.contextmanager
        def started(cores: Cores, settings: dict[str, str]) -> Iterator[Target]:
            yield self.target

        out = io.StringIO()
        with mock.patch("bench.cli.gateway", started), mock.patch("bench.goals.QUICK", SMALL):
            with contextlib.redirect_stdout(out), contextlib.redirect_stderr(io.StringIO()):
                code = cli.main(["goals", name, "--quick", "--no-pin", "--output", str(output)])
        return code, out.getvalue()

    def test_measured(self) -> None:
        """What was measured is shown and kept."""
        output = Path(self.mktemp())
        _, out = self.goals(output, LARGE)
        self.assertEqual(len(load_figures(output / "goals.json")), 7)
        self.assertIn("post of 254 KiB, http, 4 connections", out)

    def test_failed(self) -> None:
        """What cannot be measured is told, and the status is 1; nothing else is lost."""
        output = Path(self.mktemp())
        self.goals(output, LARGE)
        code, out = self.goals(output, MEMORY)
        self.assertEqual(code, 1)
        self.assertIn("failed: memory: the Redis of gateway is not known", out)
        self.assertEqual({each.goal for each in load_figures(output / "goals.json")}, {LARGE})


class PacedTests(GoalCase):
    """Requests at a rate."""

    def test_rate(self) -> None:
        """So many are sent, while what goes on beside them is answered as well."""
        answered = 0

        def beside() -> Operation:
            nonlocal answered
            while answered < 5:
                expect((yield api.post(1)), 201)
                answered += 1

        with queue(self.target, "http", 1, "q") as (_, api):
            connect = self.target.connector("http")
            load = run_paced(connect, api.post(1), 201, rate=100, seconds=0.5, connections=2, beside=[beside()])
        self.assertEqual((len(load.latencies), load.errors, answered), (50, 0, 5))
        self.assertGreaterEqual(load.seconds, 0.45)

    def test_wrong_status(self) -> None:
        """A reply of another status is an error."""
        with queue(self.target, "http", 1, "q") as (_, api):
            load = run_paced(self.target.connector("http"), api.post(1), 204, rate=100, seconds=0.05, connections=1)
        self.assertEqual((load.errors, load.complaints[0][:10]), (5, "status 201"))

    def test_closed(self) -> None:
        """A connection that is closed ends the run."""
        with socket.create_server(("127.0.0.1", 0)) as listener:
            thread = threading.Thread(target=lambda: listener.accept()[0].close())
            thread.start()
            target = Target("a", Address("127.0.0.1", listener.getsockname()[1]))
            with self.assertRaises(LoadFailed):
                run_paced(target.connector("http"), b"x", 200, rate=10, seconds=1, connections=1)
            thread.join()


class KeptTests(SynchronousTestCase):
    """What is done with figures."""

    FIGURES = (
        Figure(LATENCY, "post: p50", 0.4, "ms", 0.5),
        Figure(LARGE, "post", 0.4, "GB/s", 0.5, True),
        Figure(MEMORY, "stored", 900.0, "bytes", target="zaqar"),
    )

    def test_kept(self) -> None:
        """Figures of a goal take the place of earlier ones of the same goal alone."""
        path = Path(self.mktemp())
        keep(path, self.FIGURES)
        newer = Figure(LATENCY, "post: p50", 0.6, "ms", 0.5)
        found = keep(path, [newer])
        self.assertEqual([each.goal for each in found], [LATENCY, MEMORY, LARGE])
        self.assertEqual((found[0], load_figures(path)), (newer, found))
        path.write_text('[{"a": 1}]')
        with self.assertRaisesRegex(ValueError, "has no figures"):
            load_figures(path)

    def test_shown(self) -> None:
        """Bounds are told, and whether they are kept."""
        self.assertEqual([each.is_met for each in self.FIGURES], [True, False, None])
        first, second, third = table(self.FIGURES).splitlines()
        self.assertRegex(first, r"0\.400 ms +at most 0\.5 +met$")
        self.assertRegex(second, r"at least 0\.5 +MISSED$")
        self.assertRegex(third, r"^zaqar .* bytes$")
        text = figures(self.FIGURES)
        self.assertIn("   * - post: p50\n     - at most 0.5 ms\n     - 0.40 ms\n     - yes\n", text)
        self.assertIn("   * - stored (zaqar)\n     -\n     - 900 bytes\n     -\n", text)
        self.assertNotIn(f"``{FLAT}``", text)

    def test_rates(self) -> None:
        """Scenarios stand beside the reference, with their goals."""
        found = Results({}, {"zaqar": {}, "gateway": {}}, "zaqar")
        found.samples += [sample("zaqar", POST, 1_000.0), sample("gateway", POST, 16_000.0), sample("gateway", CYCLE, 1.0)]
        text = rates(found, "gateway")
        self.assertIn("     - 15x\n     - 1,000\n     - 16,000\n     - 16.0x\n", text)
        self.assertNotIn(CYCLE.title, text)
        self.assertIn("16.0x", plot(found, "gateway"))
        self.assertEqual(plot(found, "other"), "")

    def test_live(self) -> None:
        """Live delivery has a table of its own: rates, latencies and memory, with the reference where it has the feature."""
        fast, slow = Case("fanout 100", "websocket", 16), Case("fanout 100", "websocket", 1, paced=2_000)
        idle, wakeup = Case("idle 1,000", "websocket", 1), Case("wakeup", "http", 1)
        found = Results({}, {"zaqar": {}, "gateway": {}}, "zaqar")
        found.samples += [sample(target, fast, rate) for target, rate in (("zaqar", 100.0), ("gateway", 5_000.0))]
        found.samples += [replace(sample(target, idle), memory_kib=kib) for target, kib in (("zaqar", 24.0), ("gateway", 12.0))]
        found.samples += [sample("gateway", slow, p50=2.0), sample("gateway", wakeup, p50=1.0), sample("gateway", POST)]
        text = live(found, "gateway")
        self.assertIn("     - 100 deliveries a second\n     - 5,000 deliveries a second\n     - 50.0x\n", text)
        self.assertIn("     - 24.0 KiB a socket\n     - 12.0 KiB a socket\n     - 2.0x\n", text)
        self.assertIn("fanout 100 WebSocket at 2,000/s\n     -\n     - 2.00 / 6.00 ms\n     -\n", text)
        self.assertIn("wakeup HTTP, 1 in flight\n     -\n     - 1.00 / 3.00 ms\n     -\n", text)
        self.assertNotIn(POST.title, text)
        self.assertNotIn("fanout", rates(found, "gateway"))

    def test_page(self) -> None:
        """The tables are written where the page includes them; without figures there is nothing to write."""
        source, docs = Path(self.mktemp()), Path(self.mktemp())
        source.mkdir()
        out, error = io.StringIO(), io.StringIO()
        arguments = ["page", str(source), "--docs", str(docs)]
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(error):
            self.assertEqual(cli.main(arguments), 2)
            keep(source / "goals.json", self.FIGURES)
            found = Results({"command": "x"}, {"zaqar": {}}, "zaqar")
            found.samples.append(sample("gateway", Case("wakeup", "http", 1)))
            found.save(source / "results.json")
            self.assertEqual(cli.main(arguments), 0)
            self.assertEqual(sorted(each.name for each in (docs / "figures").iterdir()), ["goals.inc", "live.inc"])
            more = source / "more"
            more.mkdir()
            others = Results({"command": "x"}, {"gateway": {}}, "gateway")
            others.samples.append(sample("gateway", Case("wakeup", "websocket", 1)))
            others.save(more / "results.json")
            found.samples.append(sample("gateway"))
            found.save(source / "results.json")
            self.assertEqual(cli.main(["page", str(source), str(more), *arguments[2:]]), 0)
        self.assertIn("there is neither results.json nor goals.json", error.getvalue())
        shown = (docs / "figures" / "live.inc").read_text()
        self.assertTrue("wakeup HTTP" in shown and "wakeup WebSocket" in shown, shown)
        names = sorted(each.name for each in (docs / "figures").iterdir())
        self.assertEqual(names, ["backlogs.inc", "goals.inc", "live.inc", "rates.inc", "setting.inc"])


class FlameTests(SynchronousTestCase):
    """Drawings of stacks."""

    def test_drawn(self) -> None:
        """Frames are as wide as the share of their samples; what runs the reactor is left out."""
        text = draw(["a:run;zaqar_gateway.x:<f>;b:g 3", "a:run;zaqar_gateway.x:<f> 1", "a:run;c:h 4"], "A & B")
        self.assertIn("A &amp; B: 8 samples", text)
        self.assertIn("<title>zaqar_gateway.x:&lt;f&gt;: 50.0%</title>", text)
        self.assertIn("<title>b:g: 37.5%</title>", text)
        self.assertNotIn("a:run", text)

    def test_nothing(self) -> None:
        """Without a stack there is nothing to draw."""
        with self.assertRaises(LoadFailed):
            draw([], "")
