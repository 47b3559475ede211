"""The names of metrics."""

from __future__ import annotations

import re
from pathlib import Path

import yaml
from twisted.trial.unittest import SynchronousTestCase

from zaqar_gateway.admin.catalogue import METRICS, PREFIX
from zaqar_gateway.meters import LONG_S, SHORT_S

ETC = Path(__file__).parent.parent.parent / "etc"
_UNITS = ("_seconds", "_bytes")


class NamesTests(SynchronousTestCase):
    """Conventions of Prometheus ("Metric and label naming", "Writing exporters")."""

    def test_conventions(self) -> None:
        """Names are of lower case, in base units; what is a suffix of one kind is in no other name, and no label is one of theirs."""
        for each in METRICS.values():
            self.assertRegex(each.name, r"\A[a-z]+(_[a-z]+)*\Z")
            self.assertNotRegex(each.name, r"_(total|info|count|sum|bucket|created|milliseconds|ms|percent|ratio)\Z")
            self.assertTrue(each.kind != "histogram" or each.name.endswith(_UNITS), each.name)
            self.assertEqual({"le", "quantile", "job", "instance"} & {*each.labels}, set())
            self.assertTrue(each.text.endswith("."), each.text)

    def test_labels(self) -> None:
        """No metric has a label that tenants fill."""
        known = {"operation", "transport", "status", "bound", "store", "scheme", "outcome", "remembered", "version", "python", "twisted", "worker"}
        self.assertEqual({label for each in METRICS.values() for label in each.labels}, known)

    def test_buckets(self) -> None:
        """Bounds rise."""
        for bounds in (SHORT_S, LONG_S):
            self.assertEqual([*bounds], sorted({*bounds}))


class RulesTests(SynchronousTestCase):
    """The example of alerts."""

    def test_names(self) -> None:
        """Each rule has an expression and a summary, and names metrics that there are, with labels that they have."""
        rules = [rule for group in yaml.safe_load((ETC / "prometheus-rules.yml").read_text())["groups"] for rule in group["rules"]]
        self.assertGreater(len(rules), 10)
        by_shown = {each.shown: each for each in METRICS.values()}
        by_shown |= {f"{each.shown}_bucket": each for each in METRICS.values() if each.kind == "histogram"}
        for rule in rules:
            names = re.findall(rf"\b{PREFIX}\w+", rule["expr"])
            self.assertTrue(names or re.search(r"\b(up|process_\w+)\{", rule["expr"]), rule)
            labels = {"instance", "job", *(label for name in names for label in by_shown[name].labels)}
            used = {*re.findall(r"\$labels\.(\w+)", rule["annotations"]["summary"]), *re.findall(r"(\w+)=~?\"", rule["expr"])}
            self.assertEqual(used - labels, set(), rule["alert"])

    def test_scrape(self) -> None:
        """The example of a scrape names those rules."""
        config = yaml.safe_load((ETC / "prometheus.yml").read_text())
        self.assertEqual([(ETC / name).exists() for name in config["rule_files"]], [True])
        self.assertEqual([job["job_name"] for job in config["scrape_configs"]], ["zaqar-gateway"])
