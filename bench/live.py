"""Live delivery: fan-out to many sockets, the memory of idle ones, and how soon whoever waits for a message has it."""

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass

import psutil

from bench.load.audience import Audience, allow_sockets, ask, readable, reply_of
from bench.load.engine import Connect, Connection, Load, LoadFailed, ProtocolFailure, Reply, Unexpected
from bench.measure import CpuMeter, Shape, settle
from bench.results import Case, Latency, Sample
from bench.servers import Target

FANOUT, IDLE, WAKEUP = "fanout", "idle", "wakeup"
SCENARIOS = {
    FANOUT: "post to a queue to which sockets subscribe: as many as go, and at given rates of deliveries",
    IDLE: "memory of the server for each of many subscribed sockets that nothing is posted to",
    WAKEUP: "pop with wait=20 from an empty queue, and post to it: from the post to the message",
}
AUDIENCES = (10, 100, 1_000, 5_000)
RATES = (20_000, 2_000)  # deliveries a second, to audiences that make a post of them at least each second
IDLE_SOCKETS = 10_000
AHEAD = 16  # posts that not all have got yet
_WAITING_S = 0.01  # after which a request waits, if it does
_LEAST_WAKEUPS = 20
_RSS_S = 2.0


@dataclass(frozen=True, slots=True)
class Audiences:
    """How many sockets there are."""

    fanout: tuple[int, ...] = AUDIENCES
    idle: int = IDLE_SOCKETS

    @property
    def most(self) -> int:
        """Of them at one time."""
        return max(*self.fanout, self.idle)

    @staticmethod
    def rates(count: int) -> tuple[int, ...]:
        """At which an audience is measured; 0: as many as go."""
        return (0, *(rate for rate in RATES if rate >= count))


@contextmanager
def audience(
    target: Target, count: int, on_open: Callable[[float], None] = lambda seconds: None, patience_s: float = 20.0
) -> Iterator[Audience]:
    """An audience of a queue of its own.

    :raises LoadFailed: it cannot be had.
    """
    allow_sockets(count)
    connect = target.connector("websocket")
    name = f"bench-live-{os.urandom(6).hex()}"
    api = target.api("websocket", name)
    _once(connect, api.create_queue(), patience_s)
    try:
        try:
            people = Audience(connect, name, count, patience_s, on_open)
        except OSError as error:
            raise LoadFailed(f"{count:,} sockets could not be had: {error}") from None
        try:
            yield people
        finally:
            people.close()
    finally:
        with suppress(LoadFailed):
            _once(connect, api.delete_queue(), patience_s)


def _once(connect: Connect, request: bytes, patience_s: float) -> None:
    """A request on a connection of its own."""
    connection = connect()
    try:
        _expect(ask(connection, request, patience_s).status, 201, 204)
    finally:
        connection.close()


def _expect(status: int, *right: int) -> None:
    if status not in right:
        raise LoadFailed(f"status {status}")


def measure_fanout(
    target: Target,
    people: Audience,
    paced: int,
    shape: Shape,
    run: int,
    meanwhile: Callable[[], None] = lambda: None,
) -> Sample:
    """One measurement; an operation is a delivery.

    :param meanwhile: called each second.
    :raises LoadFailed: there is nothing to be measured.
    """
    rate = paced / len(people)
    if shape.warmup_s:
        people.run(shape.warmup_s, ahead=AHEAD, rate=rate, meanwhile=meanwhile)
    meter = CpuMeter(target)
    before, own = meter.read(), time.process_time()
    load, _ = people.run(shape.duration_s, ahead=AHEAD, rate=rate, meanwhile=meanwhile)
    own, after = time.process_time() - own, meter.read()
    case = Case(f"{FANOUT} {len(people):,}", "websocket", 1 if paced else AHEAD, paced=paced)
    return _sample(target, case, run, len(people), load, own, before, after)


def measure_idle(target: Target, count: int, run: int) -> Sample:
    """Memory of each of many sockets; an operation is to open one and to subscribe.

    :raises LoadFailed: they cannot be opened.
    """
    settle(target)
    meter, opened = CpuMeter(target), list[float]()
    memory = memory_of(target)
    before, own, began = meter.read(), time.process_time(), time.perf_counter()
    with audience(target, count, opened.append) as people:
        load = Load(time.perf_counter() - began, opened)
        own, after = time.process_time() - own, meter.read()
        each = None
        if memory is not None:
            people.idle(_RSS_S)
            each = ((memory_of(target) or 0) - memory) / 1024 / count
    case = Case(f"{IDLE} {count:,}", "websocket", 1)
    return _sample(target, case, run, count, load, own, before, after, each)


def memory_of(target: Target) -> int | None:
    """Bytes that the processes of a server have, without its Redis."""
    if not target.server_pids:
        return None
    total = 0
    for pid in target.server_pids:
        parent = psutil.Process(pid)
        family = [parent, *parent.children(recursive=True)]
        total += sum(each.memory_info().rss for each in family if each.pid != target.redis_pid)
    return total


def measure_wakeup(target: Target, transport: str, shape: Shape, run: int) -> Sample:
    """One who waits, and one who posts.

    :raises LoadFailed: the server does not have a request wait.
    """
    api = target.api(transport, f"bench-wakeup-{os.urandom(6).hex()}")
    connect = target.connector(transport)
    waiter, poster = connect(), connect()
    try:
        _expect(ask(poster, api.create_queue(), 20.0).status, 201, 204)
        wait, post = api.pop(1, wait_s=20), api.post(1)
        settle(target)
        load, meter = Load(), CpuMeter(target)
        if shape.warmup_s:
            _wake(waiter, poster, wait, post)
        before, own, began = meter.read(), time.process_time(), time.perf_counter()
        while time.perf_counter() - began < shape.duration_s or len(load.latencies) < _LEAST_WAKEUPS:
            seconds, reply = _wake(waiter, poster, wait, post)
            api.messages(reply, 1)
            load.latencies.append(seconds)
        load.seconds = time.perf_counter() - began
        own, after = time.process_time() - own, meter.read()
        ask(poster, api.delete_queue(), 20.0)
    except (OSError, ProtocolFailure, Unexpected) as error:
        raise LoadFailed(str(error)) from None
    finally:
        waiter.close()
        poster.close()
    return _sample(target, Case(WAKEUP, transport, 1), run, 2, load, own, before, after)


def _wake(waiter: Connection, poster: Connection, wait: bytes, post: bytes) -> tuple[float, Reply]:
    """Seconds from the post to its message, and the reply that brings it."""
    waiter.sock.send(wait)
    if readable(waiter, _WAITING_S):
        raise LoadFailed("a request with wait is answered at once, though there is nothing")
    began = time.perf_counter()
    poster.sock.send(post)
    reply = reply_of(waiter, 20.0)
    seconds = time.perf_counter() - began
    _expect(reply_of(poster, 20.0).status, 201)
    return seconds, reply


def _sample(
    target: Target,
    case: Case,
    run: int,
    connections: int,
    load: Load,
    own: float,
    before: tuple[float | None, float | None],
    after: tuple[float | None, float | None],
    memory_kib: float | None = None,
) -> Sample:
    done = len(load.latencies)
    server, redis = (
        None if end is None or start is None else (end - start) / done * 1e6
        for start, end in zip(before, after, strict=True)
    )
    return Sample(
        target=target.name,
        case=case,
        run=run,
        connections=connections,
        per_connection=case.in_flight,
        operations=done,
        seconds=load.seconds,
        latency=Latency.of(load.latencies),
        server_cpu_us=server,
        redis_cpu_us=redis,
        client_busy=own / load.seconds,
        errors=load.errors,
        complaints=tuple(load.complaints),
        memory_kib=memory_kib,
    )
