"""What several processes tell, as one."""

from __future__ import annotations

from typing import Any

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.parser import text_string_to_metric_families
from twisted.trial.unittest import SynchronousTestCase

from zaqar_gateway.admin.exposition import EXACT, expose
from zaqar_gateway.admin.together import document, families, why_not_ready
from zaqar_gateway.model import Report

OWN: dict[str, Any] = {"troubles": [], "version": "1"}


def metrics(value: float) -> str:
    """What a worker tells of its metrics."""
    asked = CounterMetricFamily("zaqar_gateway_requests", "A text.", labels=["transport"])
    asked.add_metric(["http"], value)
    _, text = expose([asked, GaugeMetricFamily("b", "Another.", value=value)], EXACT)
    return text.decode()


def report(why_not: str = "", troubles: tuple[str, ...] = ()) -> Report:
    """What a worker tells of its health."""
    return Report(why_not, {"troubles": [*troubles]})


class MetricsTests(SynchronousTestCase):
    """Metrics of all."""

    def test_labels(self) -> None:
        """Each sample has the worker that it is of beside its own labels, the keeper's own too; a family is there once."""
        own = [GaugeMetricFamily("b", "Another.", value=9)]
        _, text = expose(families({1: metrics(3), 2: metrics(5), 3: None}, {1: 1, 2: 4, 3: 2}, own), "")
        parsed = [*text_string_to_metric_families(text.decode())]
        self.assertEqual(len({family.name for family in parsed}), len(parsed))
        samples = {(one.name, *sorted(one.labels.items())): one.value for family in parsed for one in family.samples}
        self.assertEqual(
            samples,
            {
                ("zaqar_gateway_worker_up", ("worker", "1")): 1,
                ("zaqar_gateway_worker_up", ("worker", "2")): 1,
                ("zaqar_gateway_worker_up", ("worker", "3")): 0,
                ("zaqar_gateway_worker_starts_total", ("worker", "1")): 1,
                ("zaqar_gateway_worker_starts_total", ("worker", "2")): 4,
                ("zaqar_gateway_worker_starts_total", ("worker", "3")): 2,
                ("zaqar_gateway_requests_total", ("transport", "http"), ("worker", "1")): 3,
                ("zaqar_gateway_requests_total", ("transport", "http"), ("worker", "2")): 5,
                ("b", ("worker", "keeper")): 9,
                ("b", ("worker", "1")): 3,
                ("b", ("worker", "2")): 5,
            },
        )


class HealthTests(SynchronousTestCase):
    """Health of all."""

    def test_ok(self) -> None:
        """Where all is well it says so, and what each tells."""
        found = document({1: report(), 2: report()}, OWN)
        self.assertEqual((found["status"], found["ready"], found["troubles"]), ("ok", True, []))
        self.assertEqual(found["workers"], {"1": {"troubles": []}, "2": {"troubles": []}})

    def test_degraded(self) -> None:
        """As long as one worker serves requests are served; what is wrong has the number of its worker, or is the keeper's."""
        found = document(
            {1: "it does not answer", 2: report(why_not="the store is away", troubles=("the store is away",)), 3: report()},
            {**OWN, "troubles": ["the disk is full"]},
        )
        self.assertEqual((found["status"], found["ready"]), ("degraded", True))
        self.assertEqual(found["troubles"], ["the disk is full", "worker 1: it does not answer", "worker 2: the store is away"])
        self.assertIsNone(found["workers"]["1"])

    def test_unavailable(self) -> None:
        """Where none serves it says why for each."""
        reports: dict[int, Report | str] = {1: "it is starting", 2: report(why_not="the gateway is starting", troubles=("the gateway is starting",))}
        self.assertEqual(why_not_ready(reports), "worker 1: it is starting; worker 2: the gateway is starting")
        found = document(reports, OWN)
        self.assertEqual((found["status"], found["ready"]), ("unavailable", False))
