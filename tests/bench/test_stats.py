"""Tests of percentiles, medians and results."""

import json
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase

from bench.results import Case, Latency, Results, Sample, Summary
from bench.stats import median, median_or_none, percentile
from tests.bench.samples import results, sample


class PercentileTests(SynchronousTestCase):
    def test_nearest_rank(self) -> None:
        """A percentile is one of the values: the smallest that so many do not exceed."""
        values = [float(each) for each in range(1, 101)]
        self.assertEqual([percentile(values, share) for share in (0.0, 0.5, 0.99, 1.0)], [1, 50, 99, 100])

    def test_one_value(self) -> None:
        """One value is every percentile."""
        self.assertEqual([percentile([7.0], share) for share in (0.0, 0.5, 1.0)], [7, 7, 7])

    def test_nothing(self) -> None:
        """Without values there is a zero, not an error."""
        self.assertEqual((percentile([], 0.5), median([]), median_or_none([None])), (0, 0, None))

    def test_median_of_known(self) -> None:
        """Values that are not known do not count."""
        self.assertEqual(median_or_none([3.0, None, 1.0, 2.0]), 2.0)


class SummaryTests(SynchronousTestCase):
    def test_latency_in_milliseconds(self) -> None:
        """Latencies come in seconds, in any order, and are kept in milliseconds."""
        self.assertEqual(Latency.of([0.003, 0.001, 0.002]), Latency(2.0, 3.0, 3.0, 3.0))

    def test_median_of_runs(self) -> None:
        """A summary has the medians of the runs, the extremes of the rate, and the sum of errors."""
        runs = [sample("gateway", rate=rate, errors=errors) for rate, errors in ((100, 0), (300, 2), (200, 1))]
        summary = Summary.of(runs)
        self.assertEqual((summary.rate, summary.slowest, summary.fastest, summary.errors), (200, 100, 300, 3))
        self.assertEqual(summary.runs, 3)

    def test_grouped_by_case_and_target(self) -> None:
        """Samples of the same target and case are summed up together, in the order of measuring."""
        found = results().summaries()
        self.assertEqual([case.scenario for case in found][:2], ["post1", "cycle"])
        self.assertEqual(list(found[Case("post1", "http", 1)]), ["zaqar", "gateway"])


class FileTests(SynchronousTestCase):
    def test_round_trip(self) -> None:
        """What is saved can be loaded."""
        path = Path(self.mktemp())
        before = results()
        before.save(path)
        self.assertEqual(Results.load(path), before)

    def test_other_files(self) -> None:
        """A file that is not a result is refused with its name."""
        path = Path(self.mktemp())
        for text in ("[]", "{", json.dumps({"format": 1}), json.dumps({"format": 99, "samples": []})):
            path.write_text(text)
            self.assertRaises(ValueError, Results.load, path)

    def test_rate(self) -> None:
        """The rate is operations by seconds, and zero where no time was measured."""
        self.assertEqual(sample("a", rate=50).rate, 50)
        empty: Sample = sample("a", rate=50, seconds=0.0)
        self.assertEqual(empty.rate, 0)
