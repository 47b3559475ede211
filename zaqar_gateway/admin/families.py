"""The metrics of a gateway, read where they are counted, when somebody asks.

Labels have few values each: operations, transports, statuses, schemes, settings and pools; never a project, a queue or a client.
"""

from __future__ import annotations

import platform
from collections.abc import Iterable, Iterator, Mapping
from itertools import accumulate
from typing import Any

import twisted
from prometheus_client import Metric
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, InfoMetricFamily

from zaqar_gateway import __version__
from zaqar_gateway.admin.catalogue import METRICS, PREFIX
from zaqar_gateway.admin.observed import Observed
from zaqar_gateway.meters import Histogram, Meters

CONFIGURED = "configured"
"""The store that the settings name; pools, which may have any name, are told apart from it."""

_OUTCOMES = ("answered", "denied", "unavailable")


def _values(name: str, values: Mapping[Any, float]) -> Metric:
    """A counter or a gauge.

    :param values: by the values of its labels, a tuple of texts.
    """
    described = METRICS[name]
    make = CounterMetricFamily if described.kind == "counter" else GaugeMetricFamily
    family = make(PREFIX + name, described.text, labels=described.labels)
    for labels, value in values.items():
        family.add_metric(labels, value)
    return family


def _value(name: str, value: float) -> Metric:
    """One without labels."""
    return _values(name, {(): value})


def _histogram(name: str, values: Mapping[Any, Histogram]) -> Metric:
    described = METRICS[name]
    family = HistogramMetricFamily(PREFIX + name, described.text, labels=described.labels)
    for labels, found in values.items():
        ends = [*map(str, map(float, found.bounds)), "+Inf"]
        family.add_metric(labels, [*zip(ends, accumulate(found.counts), strict=True)], found.sum)
    return family


def of_gateway(observed: Observed) -> Iterator[Metric]:
    """All of them."""
    runs = {"version": __version__, "python": platform.python_version(), "twisted": twisted.__version__}
    yield InfoMetricFamily(f"{PREFIX}build", METRICS["build"].text, value=runs)
    yield from _of_requests(observed.meters)
    yield from _of_connections(observed)
    yield from _of_stores(observed)
    yield from _of_deliveries(observed)
    if observed.keystone:
        yield from _of_identity(observed.meters)
    yield from _of_process(observed)


def _of_requests(meters: Meters) -> Iterable[Metric]:
    transports = meters.http, meters.websocket
    found = [(name, meter.name, outcomes) for meter in transports for name, outcomes in meter.of.items()]
    yield _values(
        "requests",
        {(name, transport, str(status)): count for name, transport, each in found for status, count in each.statuses.items()},
    )
    durations = {(name, transport): each.durations for name, transport, each in found if any(each.durations.counts)}
    yield _histogram("request_duration_seconds", durations)
    yield _values("received_bytes", {(each.name,): each.received for each in transports})
    yield _values("sent_bytes", {(each.name,): each.sent for each in transports})


def _of_connections(observed: Observed) -> Iterable[Metric]:
    yield _values("connections", {("http",): observed.http.connections, ("websocket",): len(observed.websocket.connections)})
    yield _value("requests_in_flight", observed.gate.in_flight)
    yield _value("requests_waiting", observed.waits.count)
    yield _value("event_streams", observed.streams.count)
    yield _value("socket_subscriptions", observed.sockets.count)
    yield _value("live_subscriptions", observed.live.count)
    yield _value("unread_bytes", observed.unread.total)
    yield _values("refusals", {(bound,): count for bound, count in observed.refusals.counts.items()})


def _of_stores(observed: Observed) -> Iterable[Metric]:
    stores = {CONFIGURED: observed.store(), **{f"pool {name}": each for name, each in observed.pools().items()}}
    yield _values("store_up", {(name,): each.is_up for name, each in stores.items() if each.is_up is not None})
    yield _values("store_troubles", {(name,): len(each.troubles) for name, each in stores.items()})
    yield _values("store_connections_lost", {(name,): each.losses for name, each in stores.items()})
    yield _values("redis_commands_in_flight", {(name,): each.waiting for name, each in stores.items()})
    yield _value("redis_commands", observed.meters.redis.commands)
    yield _histogram("redis_round_trip_seconds", {(): observed.meters.redis.round_trips})


def _of_deliveries(observed: Observed) -> Iterable[Metric]:
    meter, counters = observed.meters.deliveries, observed.dispatcher.counters
    yield _values("delivery_attempts", meter.attempts)
    yield _histogram("delivery_lateness_seconds", {(): meter.lateness})
    yield _value("deliveries_given_up", counters.given_up)
    yield _value("delivery_gaps", counters.gaps)
    yield _value("delivery_subscribers", observed.dispatcher.count)
    yield _value("delivery_hosts_held_back", observed.circuits.open)


def _of_identity(meters: Meters) -> Iterable[Metric]:
    meter = meters.identity
    yield _values("keystone_calls", {(outcome,): meter.calls[outcome] for outcome in _OUTCOMES})
    yield _histogram("keystone_call_duration_seconds", {(): meter.durations})
    yield _value("keystone_up", not meter.is_away)
    yield _values("tokens", {("yes",): meter.known, ("no",): meter.looked_up})


def _of_process(observed: Observed) -> Iterable[Metric]:
    yield _histogram("event_loop_lag_seconds", {(): observed.meters.lag})
    yield _value("policy_file_up_to_date", not observed.policy_trouble())
    tls = observed.tls()
    if tls is not None:
        yield _value("certificate_expiry_timestamp_seconds", tls.ends_s)
        yield _value("certificate_up_to_date", not tls.trouble)
