"""Tests of the gate: what pairs of runs say."""

import contextlib
import io
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from bench import cli
from bench.compare import NEW, OLD, Verdict, table, verdicts
from bench.results import Results
from bench.servers import ROOT
from tests.bench.samples import CYCLE, POST, sample


def paired(old: Sequence[float], new: Sequence[float]) -> Results:
    """Runs of two checkouts, by microseconds of their CPU."""
    found = Results({}, {OLD: {}, NEW: {}}, OLD)
    for name, values in ((OLD, old), (NEW, new)):
        for run, value in enumerate(values, 1):
            one = sample(name, POST, 1e6 / value, server_us=value - 50)
            found.samples.append(replace(one, run=run))
    return found


class VerdictTests(SynchronousTestCase):
    """One scenario."""

    def verdict(self, old: Sequence[float], new: Sequence[float], by: str = "cpu") -> Verdict:
        """What becomes of it."""
        (found,) = verdicts(paired(old, new), by)
        return found

    def test_lost(self) -> None:
        """A tenth more is lost where the pairs agree."""
        found = self.verdict([100, 101, 99, 100, 100], [110, 111, 109, 110, 110])
        self.assertTrue(found.is_lost)
        self.assertAlmostEqual(found.loss, 0.10, 2)
        self.assertIn("| post1 HTTP, 1 in flight | 100 | 110 | +10.0% | 0.", table([found]))
        self.assertIn("beyond noise: post1 HTTP, 1 in flight.", table([found]))

    def test_kept(self) -> None:
        """What is as it was, faster, or slower by what may be, is kept."""
        for new in ([100, 101, 100], [80, 80, 81], [105, 105, 106]):
            found = self.verdict([100, 100, 100], new)
            self.assertEqual((found.is_lost, found.is_unsure), (False, False), found)
        self.assertIn("beyond noise: nothing.", table([found]))

    def test_noise(self) -> None:
        """What pairs do not agree about is not lost, but not sure either."""
        found = self.verdict([100, 100, 100, 100], [90, 130, 95, 125])
        self.assertEqual((found.is_lost, found.is_unsure), (False, True), found)
        self.assertIn("unsure", table([found]))
        self.assertTrue(self.verdict([100], [101]).is_unsure)

    def test_drift(self) -> None:
        """A machine that becomes slower meanwhile is so for both of a pair."""
        found = self.verdict([100, 120, 150, 200], [101, 121, 152, 202])
        self.assertEqual((found.is_lost, found.is_unsure), (False, False), found)

    def test_rate(self) -> None:
        """By rate it is the time of an operation that counts."""
        self.assertAlmostEqual(self.verdict([100, 100, 100], [200, 200, 200], "rate").old, 100)

    def test_unpaired(self) -> None:
        """A scenario that one of them was not measured in has no verdict, nor has one whose CPU is not known."""
        found = paired([100], [100])
        found.samples += [sample(OLD, CYCLE), replace(sample(NEW, CYCLE), server_cpu_us=None)]
        self.assertEqual([each.case for each in verdicts(found)], [POST])


class CommandTests(SynchronousTestCase):
    """The command."""

    def test_this_checkout_beside_itself(self) -> None:
        """Both gateways are started, measured in turns, and the verdict is written; its status is that of the command."""
        output = Path(self.mktemp())
        out, error = io.StringIO(), io.StringIO()
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(error):
            code = cli.main(
                (
                    *("compare", str(ROOT), str(ROOT), "--scenarios", "post1", "--transports", "websocket"),
                    *("--in-flight", "4", "--connections", "2", "--duration", "0.1", "--warmup", "0", "--repeat", "2"),
                    *("--no-pin", "--output", str(output)),
                )
            )
        found = Results.load(output / "results.json")
        self.assertEqual([(each.run, each.target) for each in found.samples], [(1, OLD), (1, NEW), (2, NEW), (2, OLD)])
        self.assertEqual(found.failures, [], error.getvalue())
        lost = any(each.is_lost for each in verdicts(found))
        self.assertEqual(code, int(lost), out.getvalue())
        self.assertIn("Lost more than 7% beyond noise", (output / "comparison.md").read_text())
