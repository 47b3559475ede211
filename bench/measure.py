"""One measurement: a fresh queue, what has to be in it, a warm-up, and the timed part between two looks at the CPU."""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from math import ceil

import psutil

from bench.api import MESSAGE_TTL_S, Api
from bench.load.engine import Client, Load, LoadFailed, Operation, Unexpected
from bench.results import Case, Latency, Sample
from bench.scenarios import Scenario, Workload
from bench.servers import Target

_BATCH = 500  # messages in each post that fills a queue; well below the limit of 256 KiB
_MOST_STOCK = 100_000  # messages posted beforehand at a time, for what uses them up
_FIRST_STOCK = 4_000
_QUIET = 0.05  # share of a core below which a server is at rest


@dataclass(frozen=True, slots=True)
class Shape:
    """How to measure."""

    connections: int = 16
    duration_s: float = 3.0
    warmup_s: float = 1.0


class CpuMeter:
    """CPU seconds of a server's process tree, and of its Redis, each since its start."""

    def __init__(self, target: Target) -> None:
        self._redis = [psutil.Process(target.redis_pid)] if target.redis_pid else []
        self._server: list[psutil.Process] = []
        for pid in target.server_pids:
            parent = psutil.Process(pid)
            family = [parent, *parent.children(recursive=True)]
            self._server += [each for each in family if each.pid != target.redis_pid]

    def read(self) -> tuple[float | None, float | None]:
        """Server and Redis; ``None`` where the process is not known."""
        return self._sum(self._server), self._sum(self._redis)

    @staticmethod
    def _sum(processes: list[psutil.Process]) -> float | None:
        if not processes:
            return None
        total = 0.0
        for process in processes:
            try:
                times = process.cpu_times()
            except psutil.NoSuchProcess:
                continue
            total += times.user + times.system
        return total


def settle(target: Target, patience_s: float = 15.0) -> None:
    """Wait until a server has done what it does after a reply, such as sweeping a deleted queue."""
    if not target.server_pids:
        return
    meter, deadline = CpuMeter(target), time.monotonic() + patience_s
    before = sum(each or 0.0 for each in meter.read())
    while time.monotonic() < deadline:
        time.sleep(0.2)
        after = sum(each or 0.0 for each in meter.read())
        if after - before <= 0.2 * _QUIET:
            return
        before = after


def call(client: Client, request: bytes, *statuses: int) -> None:
    """One request outside of all measuring.

    :raises LoadFailed: the status is none of those.
    """

    def operation() -> Operation:
        reply = yield request
        if reply.status not in statuses:
            raise Unexpected(f"status {reply.status}: {reply.body[:300].decode(errors='replace')}")

    load = client.run(operation, operations=1, connections=1)
    if load.errors:
        raise LoadFailed(load.complaints[0])


def fill(client: Client, api: Api, count: int, ttl_s: int = MESSAGE_TTL_S) -> list[bytes]:
    """Post messages in large batches, one after the other.

    :return: their ids, in order.
    :raises LoadFailed: not all could be posted.
    """
    ids: list[bytes] = []
    sizes = iter([_BATCH] * (count // _BATCH) + ([count % _BATCH] if count % _BATCH else []))

    def operation() -> Operation:
        size = next(sizes)
        ids.extend(api.posted((yield api.post(size, ttl_s)), size))

    load = client.run(operation, operations=ceil(count / _BATCH), connections=1)
    if load.errors or len(ids) != count:
        raise LoadFailed(f"the queue could not be filled: {(load.complaints or ['too few ids'])[0]}")
    return ids


@contextmanager
def queue(
    target: Target, transport: str, connections: int, name: str, patience_s: float = 30.0
) -> Iterator[tuple[Client, Api]]:
    """A queue of our own and connections to it; afterwards both are gone."""
    api = target.api(transport, name)
    client = Client(target.connector(transport), connections, patience_s)
    try:
        call(client, api.create_queue(), 201, 204)
        try:
            yield client, api
        finally:
            with suppress(LoadFailed):  # a server that cannot do this has been measured nevertheless
                call(client, api.delete_queue(), 204)
    finally:
        client.close()


class _Timed:
    """The sum of the timed parts of a measurement."""

    def __init__(self, meter: CpuMeter) -> None:
        self._meter = meter
        self.load = Load()
        self.cpu: list[float | None] = [0.0, 0.0]

    def run(self, client: Client, workload: Workload, seconds: float, operations: int | None, lanes: int) -> Load:
        before = self._meter.read()
        part = client.run(workload.begin, seconds=seconds, operations=operations, lanes=lanes)
        after = self._meter.read()
        self.cpu = [
            None if total is None or end is None or start is None else total + end - start
            for total, start, end in zip(self.cpu, before, after, strict=True)
        ]
        self.load.add(part)
        return part


def measure(target: Target, scenario: Scenario, transport: str, in_flight: int, shape: Shape, run: int) -> Sample:
    """
    :raises LoadFailed: there is nothing to be measured.
    """
    connections, lanes = target.lanes(transport, shape.connections, in_flight)
    settle(target)
    with queue(target, transport, connections, f"bench-{scenario.name}-{os.urandom(6).hex()}") as (client, api):
        workload = scenario.make(api)
        if workload.stock:
            workload.stocked(fill(client, api, workload.stock))
        timed = _Timed(CpuMeter(target))
        if workload.takes:
            _run_with_stock(timed, client, workload, shape, connections * lanes, lanes)
        else:
            if shape.warmup_s:
                client.run(workload.begin, seconds=shape.warmup_s, lanes=lanes)
            timed.run(client, workload, shape.duration_s, None, lanes)
    load, done = timed.load, len(timed.load.latencies)
    if not done:
        raise LoadFailed(f"no operation succeeded: {(load.complaints or ['no time'])[0]}")
    server, redis = (None if seconds is None else seconds / done * 1e6 for seconds in timed.cpu)
    return Sample(
        target=target.name,
        case=Case(scenario.name, transport, in_flight),
        run=run,
        connections=connections,
        per_connection=lanes,
        operations=done,
        seconds=load.seconds,
        latency=Latency.of(load.latencies),
        server_cpu_us=server,
        redis_cpu_us=redis,
        client_busy=load.busy,
        errors=load.errors,
        complaints=tuple(load.complaints),
    )


def _run_with_stock(timed: _Timed, client: Client, workload: Workload, shape: Shape, width: int, lanes: int) -> None:
    """Post, then use up in measured time, until that time is over.

    How much is posted follows from the rate seen so far, so that a slow server is not given more than it can use.
    """
    api, takes = workload.api, workload.takes
    operations = max(_FIRST_STOCK // takes, 2 * width)
    if shape.warmup_s:
        fill(client, api, operations * takes)
        part = client.run(workload.begin, seconds=shape.warmup_s, operations=operations, lanes=lanes)
        operations = _wanted(part, shape.duration_s, takes, width)
    remaining = shape.duration_s
    while remaining > 0.02 * shape.duration_s:
        fill(client, api, operations * takes)
        part = timed.run(client, workload, remaining, operations, lanes)
        remaining -= part.seconds
        operations = _wanted(part, remaining, takes, width)


def _wanted(part: Load, seconds: float, takes: int, width: int) -> int:
    rate = len(part.latencies) / part.seconds if part.seconds else 0.0
    return max(2 * width, min(ceil(1.2 * rate * seconds), _MOST_STOCK // takes))
