"""Tests of the reports."""

import io
from dataclasses import replace
from xml.etree import ElementTree

from twisted.trial.unittest import SynchronousTestCase

from bench.progress import Progress
from bench.report.html import page
from bench.report.svg import LogScale
from bench.report.text import markdown_table, number, ratio, terminal_table
from bench.results import IDENTITY, KNOWN, PLAIN, Case
from tests.bench.samples import CYCLE, POST, results, sample


class TextTests(SynchronousTestCase):
    def test_numbers(self) -> None:
        """Numbers have about three digits."""
        self.assertEqual(
            [number(each) for each in (None, 0.0, 0.123, 12.34, 123.4, 12345.6)],
            ["-", "0", "0.12", "12.3", "123", "12,346"],
        )

    def test_ratio(self) -> None:
        """A ratio tells more digits where it is near to one."""
        self.assertEqual([ratio(30, 4), ratio(1, 2), ratio(99, 100), ratio(1, 0)], ["7.5x", "0.50x", "0.99x", "-"])

    def test_markdown(self) -> None:
        """The table has the reference, ours, and the ratio; latencies by backlog stand in a table of their own."""
        text = markdown_table(results())
        self.assertIn("| scenario | zaqar | gateway | ratio |\n| --- | ---: | ---: | ---: |\n", text)
        self.assertIn("| post1 HTTP, 1 in flight | 1,000 | 8,000 | 8.0x |", text)
        self.assertIn("| backlog post HTTP at 100,000 | 1.00 / 3.00 | 0.12 / 0.38 | 8.0x |", text)
        self.assertIn("* `python -m bench --quick`", text)

    def test_terminal(self) -> None:
        """Every case has a line for each target, and all columns stand under their heads."""
        lines = terminal_table(results()).splitlines()
        self.assertEqual(len([line for line in lines if "  gateway  " in line]), 4)
        self.assertEqual(len({line.index("zaqar") for line in lines if "zaqar" in line}), 1)

    def test_missing_target(self) -> None:
        """A case that only one target has is shown without a ratio."""
        found = results()
        found.samples = [each for each in found.samples if each.target == "gateway" or each.case != POST]
        self.assertIn("| post1 HTTP, 1 in flight | - | 8,000 | - |", markdown_table(found))
        terminal_table(found)
        page(found)

    def test_notes(self) -> None:
        """Errors, a generator at its limit, and connections in place of pipelining are told."""
        found = results()
        found.samples += [
            sample("gateway", Case("get", "http", 1), busy=0.97),
            sample("gateway", Case("pop10", "http", 1), errors=3),
            sample("zaqar", Case("get", "http", 16), per_connection=1),
            sample("gateway", Case("post10", "http", 1), 1000, server_us=500),
            sample("gateway", Case("list10", "http", 1), 1000, server_us=900),
        ]
        found.targets["gateway"]["pinning"] = "servers and their Redis on core 0"
        text = terminal_table(found)
        self.assertIn("so the server may be faster: gateway get HTTP, 1 in flight.", text)
        self.assertIn("3 errors: gateway pop10 HTTP, 1 in flight 3", text)
        self.assertIn("one request each: zaqar (16 connections).", text)
        self.assertIn("gateway post10 HTTP, 1 in flight 55%", text)
        self.assertNotIn("gateway list10 HTTP, 1 in flight 95%", text)


    def test_live(self) -> None:
        """Memory and latency at a given rate have tables of their own, and ratios that are about them."""
        found = results()
        for target, size, p50 in (("zaqar", 90.0, 40.0), ("gateway", 9.0, 2.0)):
            found.samples.append(replace(sample(target, Case("idle 100", "websocket", 1)), memory_kib=size))
            found.samples.append(sample(target, Case("fanout 10", "websocket", 1, paced=2_000), p50=p50))
        text = markdown_table(found)
        self.assertIn("| idle 100 WebSocket, 1 in flight | 90.0 | 9.00 | 10.0x |", text)
        self.assertIn("| fanout 10 WebSocket at 2,000/s | 40.0 / 120 | 2.00 / 6.00 | 20.0x |", text)
        self.assertIn("9.00", terminal_table(found))
        self.assertIn("KiB each", page(found))

    def test_identity(self) -> None:
        """What identity costs is the difference of the gateway's CPU; without both there is none."""
        found = results()
        case = Case(IDENTITY, "http", 16)
        found.samples.append(sample(PLAIN, case, server_us=60))
        self.assertNotIn("Identity by", terminal_table(found))
        found.targets[KNOWN] = {}
        found.samples.append(sample(KNOWN, case, server_us=67.5))
        self.assertIn("take 7.5 us of the gateway's CPU for each request over HTTP, 16 in flight.", terminal_table(found))


class HtmlTests(SynchronousTestCase):
    def test_self_contained(self) -> None:
        """The page fetches nothing, and every plot is well-formed."""
        text = page(results())
        self.assertNotIn("src=", text)
        self.assertNotIn("href=", text)
        plots = text.split("<svg")[1:]
        self.assertEqual(len(plots), 7)  # rates, latencies, CPU for two transports each; one backlog panel
        for plot in plots:
            ElementTree.fromstring("<svg" + plot[: plot.index("</svg>") + 6])

    def test_numbers_and_origin(self) -> None:
        """The page has the numbers, the ratios, the command and the versions."""
        text = page(results())
        for expected in ("8,000 (8.0x)", "python -m bench --quick", "Zaqar 23.0.1", "7.0.15", "pinning"):
            self.assertIn(expected, text)

    def test_escaped(self) -> None:
        """What a server said cannot become part of the page."""
        found = results()
        found.samples.append(sample("gateway", CYCLE, errors=1))
        found.failures.append("<script>")
        text = page(found)
        self.assertIn("status 503 &lt;b&gt;instead&lt;/b&gt; of 201", text)
        self.assertNotIn("<script>", text)

    def test_nothing_measured(self) -> None:
        """A run in which everything failed has a page too."""
        found = results()
        found.samples, found.failures = [], ["no connection"]
        self.assertIn("no connection", page(found))
        markdown_table(found)
        terminal_table(found)


class ScaleTests(SynchronousTestCase):
    def test_powers_of_ten(self) -> None:
        """The axis reaches to the powers of ten around its values."""
        scale = LogScale([0.5, 20.0], 0.0, 300.0)
        self.assertEqual(scale.ticks(), [0.1, 1, 10, 100])
        self.assertAlmostEqual(scale.at(1.0), 100.0)

    def test_degenerate(self) -> None:
        """One value, or none above zero, still gives an axis."""
        self.assertEqual(LogScale([10.0], 0, 1).ticks(), [10, 100])
        self.assertEqual(LogScale([0.0], 0, 1).at(0.0), 0)


class ProgressTests(SynchronousTestCase):
    def test_lines(self) -> None:
        """Where there is no terminal, progress is a line for each measurement."""
        out = io.StringIO()
        progress = Progress(2, out)
        for what in ("a", "b"):
            progress.begin(what)
            progress.step()
        progress.end()
        self.assertEqual(out.getvalue(), "0/2 a\n1/2 b\n")

    def test_bar(self) -> None:
        """On a terminal it is a bar that is drawn over itself."""

        class Terminal(io.StringIO):
            def isatty(self) -> bool:
                return True

        out = Terminal()
        progress = Progress(2, out)
        progress.step()
        progress.begin("b")
        progress.end()
        self.assertIn("[############            ] 1/2, 0:00 left  b", out.getvalue())
