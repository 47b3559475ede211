"""Tests of targets, of the command line, and of a whole run over loopback sockets."""

import contextlib
import io
import os
import socket
import sys
from dataclasses import replace
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from bench import cli
from bench.load.engine import LoadFailed
from bench.measure import CpuMeter, settle
from bench.peer_zaqar import zaqar
from bench.results import Results
from bench.scenarios import SCENARIOS
from bench.servers import (
    ROOT,
    Address,
    Cores,
    StartFailed,
    Target,
    free_port,
    gateway,
    parse_target,
    process,
    wait_until,
)
from tests.bench.responder import Responder


class TargetTests(SynchronousTestCase):
    def test_parse(self) -> None:
        """A target has addresses, processes, and what its HTTP can do."""
        pid = os.getpid()
        target = parse_target(
            f"a=http://127.0.0.1:80,ws=ws://[::1]:90,pid={pid},redis_pid={pid},pipelining=no,most_connections=4"
        )
        self.assertEqual(
            (target.name, target.http, target.websocket), ("a", Address("127.0.0.1", 80), Address("::1", 90))
        )
        self.assertEqual((target.server_pids, target.redis_pid, target.most_connections), ((pid,), pid, 4))
        self.assertEqual(str(target.websocket), "[::1]:90")

    def test_only_websocket(self) -> None:
        """The first address may be a WebSocket."""
        target = parse_target("a=ws://localhost:9000")
        self.assertEqual((target.http, target.websocket), (None, Address("localhost", 9000)))

    def test_wrong(self) -> None:
        """A target that makes no sense is refused."""
        for text in (
            "http://127.0.0.1:80",
            "a=",
            "a=127.0.0.1:80",
            "a=http://127.0.0.1",
            "a=http://127.0.0.1:99999",
            "a=http://127.0.0.1:80/v2",
            "a=http://127.0.0.1:80,ws=http://127.0.0.1:90",
            "a=http://127.0.0.1:80,pid=x",
            "a=http://127.0.0.1:80,pid=4194305",
            "a=http://127.0.0.1:80,speed=9",
            "a=http://127.0.0.1:80,pipelining=perhaps",
        ):
            self.assertRaises(ValueError, parse_target, text)

    def test_lanes(self) -> None:
        """Without pipelining there are more connections instead, up to what the server takes, but only over HTTP."""
        plain = Target("a")
        self.assertEqual(plain.lanes("http", 16, 4), (16, 4))
        single = Target("a", pipelining=False)
        self.assertEqual(single.lanes("http", 16, 4), (64, 1))
        self.assertEqual(single.lanes("websocket", 16, 4), (16, 4))
        self.assertEqual(Target("a", pipelining=False, most_connections=20).lanes("http", 16, 4), (20, 1))

    def test_nobody_there(self) -> None:
        """An address where nobody listens is a failure with its name."""
        target = Target("a", http=Address("127.0.0.1", free_port()))
        error = self.assertRaises(LoadFailed, target.connector("http"))
        self.assertIn("no connection to a at 127.0.0.1:", str(error))
        self.assertRaises(LoadFailed, target.connector, "websocket")

    def test_free_ports(self) -> None:
        """A port that is free has nobody, and is given to nobody else who asks in the same way."""
        for port in (free_port(), free_port()):
            with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:
                self.assertRaises(OSError, other.bind, ("127.0.0.1", port))
            socket.create_server(("127.0.0.1", port)).close()


class ProcessTests(SynchronousTestCase):
    def test_ended(self) -> None:
        """A process of ours ends with its context; one that ends too early is a failure that shows its log."""
        log = Path(self.mktemp())
        with process([sys.executable, "-c", "import time; time.sleep(600)"], log=log, core=None) as child:
            self.assertIsNone(child.poll())
        self.assertIsNotNone(child.poll())
        with process([sys.executable, "-c", "exit('no such luck')"], log=log, core=None) as child:
            child.wait()
            error = self.assertRaises(StartFailed, wait_until, lambda: False, child, log, "it")
        self.assertIn("it ended with 1", str(error))
        self.assertIn("no such luck", str(error))

    def test_not_there(self) -> None:
        """A program that is missing is a failure with its name."""
        command = process(["/nonexistent/program"], log=Path(self.mktemp()), core=None)
        self.assertIn("/nonexistent/program", str(self.assertRaises(StartFailed, command.__enter__)))

    def test_not_set_up(self) -> None:
        """Zaqar that is not installed is a failure that says what to do; so is a gateway without its checkout."""
        error = self.assertRaises(StartFailed, zaqar(Cores(None, None), Path(self.mktemp())).__enter__)
        self.assertIn("python -m bench setup-zaqar --dir", str(error))
        missing = Path(self.mktemp())
        self.assertRaises(StartFailed, gateway(Cores(None, None), root=missing).__enter__)

    def test_core(self) -> None:
        """A process is held to its core from the start, and we are not."""
        before, log = os.sched_getaffinity(0), Path(self.mktemp())
        core = min(before)
        with process([sys.executable, "-c", "import os; print(os.sched_getaffinity(0))"], log=log, core=core) as child:
            child.wait()
        self.assertEqual(log.read_text().strip(), str({core}))
        self.assertEqual(os.sched_getaffinity(0), before)

    def test_cpu(self) -> None:
        """CPU is that of the process; what is not known is not zero."""
        meter = CpuMeter(Target("a", server_pids=(os.getpid(),)))
        server, redis = meter.read()
        self.assertTrue(server)
        self.assertIsNone(redis)
        settle(Target("a"))


class CommandTests(SynchronousTestCase):
    def refuse(self, *arguments: str) -> str:
        """What is said about wrong arguments."""
        error = io.StringIO()
        with contextlib.redirect_stderr(error):
            try:
                code = cli.main(arguments)
            except SystemExit as stop:
                code = stop.code if isinstance(stop.code, int) else 1
        self.assertEqual(code, 2)
        return error.getvalue()

    def test_wrong(self) -> None:
        """Wrong arguments are named, with what would be right."""
        for arguments, expected in (
            (["--scenarios", "post1,post2"], "there is no scenario 'post2'; choose from post1, post10"),
            (["--targets", "rabbit"], "there is no target 'rabbit'; choose from gateway, zaqar"),
            (["--transports", ","], "name at least one transport: http, websocket"),
            (["--connections", "0"], "'0' is not a whole number of 1 or more"),
            (["--in-flight", "1,x"], "'x' is not a whole number of 1 or more"),
            (["--duration", "-1"], "not a number of seconds"),
            (["--duration", "0"], "--duration has to be more than 0"),
            (["--backlog-sizes", "5"], "at least 100 messages"),
            (["--target", "a=nonsense"], "an address is http://HOST:PORT"),
            (["--targets", "gateway", "--baseline", "b"], "there is no such target among gateway"),
            (["--targets", "gateway", "--target", "gateway=http://127.0.0.1:1"], "two targets have the same name"),
            (["--server-core", "9999"], "'9999' is not a core that this process may use"),
            (["report", "/nonexistent/file"], "/nonexistent/file"),
            (["--target", "keystone=http://127.0.0.1:1"], "a target cannot be called keystone"),
            (["compare", "/nonexistent", "."], "'/nonexistent' is no checkout of the gateway"),
            (["compare", str(ROOT)], "NEW_CHECKOUT"),
            (["compare", str(ROOT), str(ROOT), "--scenarios", "identity"], "identity is not about checkouts"),
            (["frobnicate"], "invalid choice: 'frobnicate'"),
        ):
            self.assertIn(expected, self.refuse(*arguments))

    def test_quick(self) -> None:
        """What is given by hand wins over the defaults of a quick run."""
        plan = cli.plan_of(cli.parser().parse_args(["run", "--quick", "--repeat", "3"]))
        self.assertEqual((plan.repeat, plan.shape.connections, plan.shape.duration_s), (3, 4, 0.3))

    def test_usual(self) -> None:
        """Without options, everything is measured, five times."""
        plan = cli.plan_of(cli.parser().parse_args(["run"]))
        self.assertEqual((plan.repeat, plan.shape.connections, plan.in_flight), (5, 16, (1, 16)))
        self.assertEqual(plan.scenarios, (*SCENARIOS, "backlog", "fanout", "idle", "wakeup"))
        fanout = 3 + 3 + 3 + 2  # with and without rates; 2,000 a second are none for 5,000 sockets
        everything = Target("a", Address("127.0.0.1", 1), Address("127.0.0.1", 2))
        self.assertEqual(plan.measurements(everything), 5 * (2 * (8 * 2 + 3 + 1) + fanout) + 1)
        self.assertEqual(plan.measurements(Target("a", Address("127.0.0.1", 1))), 5 * (8 * 2 + 3 + 1))
        known = replace(everything, only=frozenset(("identity",)))
        self.assertEqual(plan.measurements(known), 5 * 2 * 2)
        lacking = replace(everything, lacks=frozenset(("identity", "wakeup")))
        self.assertEqual(plan.measurements(lacking), 5 * (2 * (7 * 2 + 3) + fanout) + 1)


class EndToEndTests(SynchronousTestCase):
    def run_bench(self, *arguments: str) -> tuple[int, str, str]:
        """Exit code, standard output, standard error."""
        out, error = io.StringIO(), io.StringIO()
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(error):
            code = cli.main(arguments)
        return code, out.getvalue(), error.getvalue()

    def test_everything(self) -> None:
        """All scenarios run over both transports without an error, and leave their reports and no queue behind."""
        output = Path(self.mktemp())
        with Responder() as server:
            target = f"=http://127.0.0.1:{server.http_port},ws=ws://127.0.0.1:{server.websocket_port}"
            code, out, error = self.run_bench(
                *("--target", f"a{target}", "--target", f"b{target},pipelining=no", "--no-pin", "--repeat", "1"),
                *("--connections", "2", "--in-flight", "3", "--duration", "0.02", "--warmup", "0.01"),
                *("--audiences", "3", "--idle-sockets", "4"),
                *("--backlog-sizes", "100,200", "--output", str(output), "--markdown", str(output / "table.md")),
            )
            self.assertEqual((code, len(server.queues)), (0, 0), error)
        found = Results.load(output / "results.json")
        self.assertEqual((found.baseline, found.failures), ("a", []))
        self.assertEqual({each.errors for each in found.samples}, {0})
        cases = 8 * 2 + 3 * 2 * 2  # scenarios, transports; steps, transports, backlogs
        cases += 3 + 1 + 2  # rates of fanout; idle; transports of wakeup
        self.assertEqual(len(found.samples), 2 * cases)
        self.assertEqual(len(found.cases()), cases)
        self.assertTrue(all(each.operations and each.rate and each.latency.max for each in found.samples))
        self.assertIn("claim20 WebSocket, 3 in flight", out)
        self.assertIn("fanout 3 WebSocket at 20,000/s", out)
        self.assertIn("| post1 HTTP, 3 in flight |", (output / "table.md").read_text())
        self.assertIn("python -m bench --target", (output / "report.html").read_text())
        code, again, _ = self.run_bench("report", str(output / "results.json"))
        self.assertEqual((code, again.splitlines()[:4]), (0, out.splitlines()[:4]))

    def test_identity(self) -> None:
        """The gateway is measured without identity and with it, and the report says what the difference is."""
        output = Path(self.mktemp())
        code, out, error = self.run_bench(
            *("--targets", "gateway", "--no-pin", "--repeat", "1", "--scenarios", "identity", "--in-flight", "2"),
            *("--connections", "2", "--duration", "0.1", "--warmup", "0", "--output", str(output)),
        )
        self.assertEqual(code, 0, error)
        found = Results.load(output / "results.json")
        targets = [(each.case.transport, each.target) for each in found.samples]
        self.assertEqual(targets, [(over, name) for over in ("http", "websocket") for name in ("gateway", "keystone")])
        self.assertIn("Identity by a token that is remembered, and a policy file, take", out)

    def test_workers(self) -> None:
        """The gateway is measured as several processes beside the one, and the report tells how many they are."""
        output = Path(self.mktemp())
        code, out, error = self.run_bench(
            *("--targets", "gateway,workers", "--workers", "3", "--no-pin", "--repeat", "1", "--scenarios", "post1"),
            *("--transports", "http", "--in-flight", "2", "--connections", "2", "--duration", "0.1", "--warmup", "0"),
            *("--output", str(output)),
        )
        self.assertEqual(code, 0, error)
        found = Results.load(output / "results.json")
        self.assertEqual([each.target for each in found.samples], ["gateway", "workers"])
        self.assertTrue(found.targets["workers"]["command"].startswith("ZAQAR_GATEWAY_LISTEN_WORKERS=3 twistd "))
        self.assertTrue(all(each.operations and not each.errors for each in found.samples))

    def test_wrong_answers(self) -> None:
        """A server that answers wrongly fails the run, and the report tells how."""
        output = Path(self.mktemp())
        with Responder() as server:
            server.queues.pop = lambda queue, count, wait_s=0: []  # type: ignore[method-assign]
            code, _, error = self.run_bench(
                *("--target", f"a=http://127.0.0.1:{server.http_port}", "--no-pin", "--repeat", "2"),
                *("--scenarios", "pop10", "--in-flight", "1", "--connections", "1", "--duration", "0.02"),
                *("--warmup", "0", "--output", str(output)),
            )
        self.assertEqual(code, 1)
        self.assertIn("0 ids and 0 bodies instead of 10 messages", error)
        self.assertIn("a has no websocket address and is left out there", error)
        self.assertEqual(len(Results.load(output / "results.json").failures), 1)
