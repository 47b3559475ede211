"""Metrics as text: the formats of Prometheus and OpenMetrics, as whoever asks wants them."""

from __future__ import annotations

from collections.abc import Iterable

from attrs import frozen
from prometheus_client import CollectorRegistry, GCCollector, Metric, PlatformCollector, ProcessCollector
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector

EXACT = "application/openmetrics-text; version=1.0.0"
"""An ``Accept`` header for the form that leaves nothing out."""

_process = CollectorRegistry()
"""Of the library's own: what it knows of a process of Python."""

ProcessCollector(registry=_process)
PlatformCollector(registry=_process)
GCCollector(registry=_process)


@frozen
class _Collected(Collector):
    """What was collected before."""

    _families: Iterable[Metric]

    def collect(self) -> Iterable[Metric]:
        return self._families


def of_process() -> Iterable[Metric]:
    """What is known of this process: its CPU time, memory and open files, and the collector of garbage."""
    return _process.collect()


def expose(families: Iterable[Metric], accept: str) -> tuple[str, bytes]:
    """Media type and text.

    :param accept: the ``Accept`` header.
    """
    encode, kind = choose_encoder(accept)
    return kind, encode(_Collected(families))
