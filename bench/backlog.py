"""The backlog scenario: what post, claim with delete, and list cost with few and with very many messages in the queue.

One connection, one request at a time.  Every round posts one message, claims the oldest one, deletes it, and lists a
page from the middle of the queue, so the backlog stays as it is.
"""

import time

from bench.api import Api, expect
from bench.load.engine import Client, LoadFailed, Operation, Unexpected
from bench.measure import CpuMeter, Shape
from bench.results import Case, Latency, Sample
from bench.scenarios import PAGE
from bench.servers import Target

SIZES = (1_000, 100_000, 1_000_000)
POST, CLAIM, LIST = "backlog post", "backlog claim+delete", "backlog list"
_LEAST_ROUNDS = 20


class Backlog:
    """A queue of which every id is known, in order."""

    def __init__(self, api: Api) -> None:
        self._api = api
        self._post, self._claim = api.post(1), api.claim(1)
        self._ids: list[bytes] = []
        self._gone = 0
        self.steps: dict[str, list[float]] = {POST: [], CLAIM: [], LIST: []}

    def __len__(self) -> int:
        return len(self._ids) - self._gone

    def filled(self, ids: list[bytes]) -> None:
        """These are in the queue too, behind the others."""
        self._ids += ids

    def forget(self) -> None:
        """Start measuring anew."""
        for latencies in self.steps.values():
            latencies.clear()

    def begin(self) -> Operation:
        """One round."""
        clock, api, steps, ids = time.perf_counter, self._api, self.steps, self._ids
        started = clock()
        reply = yield self._post
        posted = clock()
        ids += api.posted(reply, 1)

        claiming = clock()
        reply = yield self._claim
        claim, taken = api.claimed(reply, 1)
        reply = yield api.delete(taken[0], claim)
        deleted = clock()
        expect(reply, 204)
        if taken[0] != ids[self._gone]:
            raise Unexpected("the claim did not give the oldest message")
        self._gone += 1

        middle = self._gone + (len(ids) - self._gone) // 2
        request = api.page(PAGE, api.cursor_after(ids[middle], PAGE))
        listing = clock()
        reply = yield request
        listed = clock()
        if api.messages(reply, PAGE) != ids[middle + 1 : middle + 1 + PAGE]:
            raise Unexpected("the page does not follow its marker")

        steps[POST].append(posted - started)
        steps[CLAIM].append(deleted - claiming)
        steps[LIST].append(listed - listing)


def measure_backlog(
    target: Target, transport: str, client: Client, backlog: Backlog, shape: Shape, run: int
) -> list[Sample]:
    """A sample for each step.  CPU is that of a whole round, and stands in all of them.

    :raises LoadFailed: there is nothing to be measured.
    """
    size = len(backlog)
    if shape.warmup_s:
        client.run(backlog.begin, seconds=shape.warmup_s)
    backlog.forget()
    meter = CpuMeter(target)
    before = meter.read()
    load = client.run(backlog.begin, seconds=shape.duration_s)
    while len(load.latencies) < _LEAST_ROUNDS and not load.errors:
        load.add(client.run(backlog.begin, operations=_LEAST_ROUNDS - len(load.latencies)))
    after = meter.read()
    rounds = len(load.latencies)
    if not rounds:
        raise LoadFailed(f"no round succeeded: {(load.complaints or ['no time'])[0]}")
    server, redis = (
        None if end is None or start is None else (end - start) / rounds * 1e6
        for start, end in zip(before, after, strict=True)
    )
    return [
        Sample(
            target=target.name,
            case=Case(step, transport, 1, size),
            run=run,
            connections=1,
            per_connection=1,
            operations=rounds,
            seconds=sum(latencies),
            latency=Latency.of(latencies),
            server_cpu_us=server,
            redis_cpu_us=redis,
            client_busy=load.busy,
            errors=load.errors,
            complaints=tuple(load.complaints),
        )
        for step, latencies in backlog.steps.items()
    ]
