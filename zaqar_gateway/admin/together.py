"""What several processes tell of themselves, told as one."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from prometheus_client import Metric
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.openmetrics.parser import text_string_to_metric_families

from zaqar_gateway.admin.catalogue import METRICS, PREFIX, WORKER
from zaqar_gateway.admin.health import standing
from zaqar_gateway.model import Report

KEEPER = "keeper"
"""In the place of the number of a worker: the process that keeps them."""


def families(metrics: Mapping[int, str | None], starts: Mapping[int, int], keeper: Iterable[Metric]) -> list[Metric]:
    """The metrics of all, each with the worker that it is of.

    :param metrics: of the workers by number, in the text format of OpenMetrics; ``None``: it tells none.
    :param starts: how often each was started.
    :param keeper: of the process that keeps them.
    """
    up, started = METRICS["worker_up"], METRICS["worker_starts"]
    there = GaugeMetricFamily(PREFIX + up.name, up.text, labels=up.labels)
    begun = CounterMetricFamily(PREFIX + started.name, started.text, labels=started.labels)
    for number, told in metrics.items():
        there.add_metric((str(number),), told is not None)
        begun.add_metric((str(number),), starts[number])
    found: dict[str, Metric] = {family.name: family for family in (there, begun)}
    _add(found, KEEPER, keeper)
    for number, told in metrics.items():
        if told is not None:
            _add(found, str(number), text_string_to_metric_families(told))
    return [*found.values()]


def _add(found: dict[str, Metric], worker: str, families: Iterable[Metric]) -> None:
    for family in families:
        known = found.setdefault(family.name, Metric(family.name, family.documentation, family.type, family.unit))
        known.samples += [sample._replace(labels={WORKER: worker, **sample.labels}) for sample in family.samples]


def document(reports: Mapping[int, Report | str], own: Mapping[str, Any]) -> dict[str, Any]:
    """The document of all.

    :param reports: of the workers by number; a text says why there is none.
    :param own: what the keeper tells of itself; ``troubles`` are what there is to mend.
    """
    why_not = why_not_ready(reports)
    troubles = [*own["troubles"]]
    for number, report in reports.items():
        told = [report] if isinstance(report, str) else report.health["troubles"]
        troubles += [f"worker {number}: {text}" for text in told]
    health = {str(number): None if isinstance(report, str) else report.health for number, report in reports.items()}
    return {**standing(why_not, troubles), **own, "troubles": troubles, "workers": health}


def why_not_ready(reports: Mapping[int, Report | str]) -> str:
    """Why none of them can serve requests now; empty: one can, at least."""
    reasons = [report if isinstance(report, str) else report.why_not for report in reports.values()]
    if not all(reasons):
        return ""
    return "; ".join(f"worker {number}: {reason}" for number, reason in zip(reports, reasons, strict=True))
