"""What is not a rate: whether a long queue is as quick as a short one, latencies, memory, and large bodies.

Each of these has a number that it should keep below, or reach, which stands beside what was measured.
"""

import json
import os
import socket
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

import psutil

from bench.api import MESSAGE_TTL_S, Api, HttpApi, expect
from bench.live import measure_idle, memory_of
from bench.load.engine import Client, Connection, LoadFailed, Operation
from bench.load.http import HttpReader
from bench.load.paced import run_paced
from bench.load.relay import KEY, relay
from bench.measure import fill, queue, settle
from bench.results import Latency
from bench.scenarios import PAGE, SCENARIOS
from bench.servers import TRANSPORTS, Target

FLAT, LATENCY, MEMORY, LARGE = "flat", "latency", "memory", "large"
ABOUT = {
    FLAT: "post, claim, delete and list at a million messages, many claimed, many expired, many queues: against a short queue",
    LATENCY: "alone; at half the maximum rate; and beside the sweep, a listing and the purge of a million messages",
    MEMORY: "bytes of Redis for a stored message; memory of the gateway over minutes at full load, and for an idle socket",
    LARGE: "posts and claims of 256 KiB, and small posts beside them",
}

_LARGE_BYTES = 260_000  # within the 262,144 of a post
_BESIDE_RATE = 200.0  # posts a second of the other client


@dataclass(frozen=True, slots=True)
class Figure:
    """One number.

    :ivar bound: what it is to be: at most that, or at least where ``is_least``; ``None``: it is only told.
    """

    goal: str
    what: str
    value: float
    unit: str
    bound: float | None = None
    is_least: bool = False
    target: str = "gateway"

    @property
    def is_met(self) -> bool | None:
        """Whether it is within its bound, if it has one."""
        if self.bound is None:
            return None
        return self.value >= self.bound if self.is_least else self.value <= self.bound


@dataclass(frozen=True, slots=True)
class Sizes:
    """How much of everything; ``ttl_s`` is how long what is to expire lives, which is 60 s at least for a gateway."""

    messages: int = 1_000_000
    claimed: int = 100_000
    expired: int = 100_000
    queues: int = 100_000
    rounds: int = 2_000
    seconds: float = 10.0
    minutes: float = 10.0
    stored: int = 100_000
    sockets: int = 10_000
    large: int = 1_000
    ttl_s: int = 60


QUICK = Sizes(5_000, 1_000, 1_000, 500, 30, 1.0, 0.1, 2_000, 100, 40)


@contextmanager
def _queue(target: Target, transport: str = "http", connections: int = 1) -> Iterator[tuple[Client, Api]]:
    name = f"bench-goals-{os.urandom(6).hex()}"
    with queue(target, transport, connections, name, 120.0) as made:
        settle(target)
        yield made


def _run(client: Client, begin: Callable[[], Operation], operations: int) -> None:
    load = client.run(begin, operations=operations, connections=1)
    if load.errors:
        raise LoadFailed(load.complaints[0])


# -- flat --------------------------------------------------------------------------------------------------------------

_SHORT = 1_000
_FLAT_MAX = 1.2
_STEPS = ("post", "claim", "delete", "list")


class _Rounds:
    """A message is posted, the oldest one claimed and deleted, and a page listed; what each takes is kept."""

    def __init__(self, api: Api) -> None:
        self._api = api
        self.steps: dict[str, list[float]] = {step: [] for step in _STEPS}

    def begin(self) -> Operation:
        clock, api, steps = time.perf_counter, self._api, self.steps
        began = clock()
        reply = yield api.post(1)
        steps["post"].append(clock() - began)
        api.posted(reply, 1)
        began = clock()
        reply = yield api.claim(1)
        steps["claim"].append(clock() - began)
        claim, ids = api.claimed(reply, 1)
        began = clock()
        reply = yield api.delete(ids[0], claim)
        steps["delete"].append(clock() - began)
        expect(reply, 204)
        began = clock()
        reply = yield api.page(PAGE, b"")
        steps["list"].append(clock() - began)
        api.messages(reply, PAGE)


def _compared(title: str, long: _Rounds, short: _Rounds) -> Iterator[Figure]:
    for step in _STEPS:
        ours, theirs = Latency.of(long.steps[step]), Latency.of(short.steps[step])
        for name in ("p50", "p99"):
            one, other = getattr(ours, name), getattr(theirs, name)
            yield Figure(FLAT, f"{step}, {title}: {name}", one, "ms")
            yield Figure(FLAT, f"{step}, {title}: {name} against {_SHORT:,} messages", one / other, "times", _FLAT_MAX)


def _side_by_side(target: Target, title: str, rounds: int, prepare: Callable[[Client, Api], None]) -> Iterator[Figure]:
    """Rounds on a prepared queue and on a short one, in turns."""
    with _queue(target) as (client, long), _queue(target) as (_, short):
        fill(client, short, _SHORT)
        prepare(client, long)
        settle(target)
        pair = _Rounds(long), _Rounds(short)
        for _ in range(rounds):
            for one in pair:
                _run(client, one.begin, 1)
        yield from _compared(title, *pair)


def _claim_all(client: Client, api: Api, count: int) -> None:
    fill(client, api, count)

    def claim() -> Operation:
        api.claimed((yield api.claim(20)), 20)

    _run(client, claim, count // 20)


def flat(target: Target, sizes: Sizes) -> Iterator[Figure]:
    """
    :raises LoadFailed: it cannot be measured.
    """

    def claimed(client: Client, api: Api) -> None:
        _claim_all(client, api, sizes.claimed)
        fill(client, api, _SHORT)

    def expired(client: Client, api: Api) -> None:
        fill(client, api, sizes.expired, sizes.ttl_s)
        fill(client, api, _SHORT)
        time.sleep(sizes.ttl_s + 1)

    def million(client: Client, api: Api) -> None:
        fill(client, api, sizes.messages)

    yield from _side_by_side(target, f"{sizes.messages:,} messages", sizes.rounds, million)
    yield from _side_by_side(target, f"{sizes.claimed:,} claimed", sizes.rounds, claimed)
    yield from _side_by_side(target, f"{sizes.expired:,} expired", sizes.rounds, expired)
    with _queue(target, connections=16) as (client, api):
        fill(client, api, _SHORT)
        before, after = _Rounds(api), _Rounds(api)
        _run(client, before.begin, sizes.rounds)
        names = iter(range(sizes.queues))
        many = f"bench-many-{os.urandom(6).hex()}"

        def create() -> Operation:
            reply = yield target.api("http", f"{many}-{next(names)}").create_queue()
            expect(reply, 201)

        load = client.run(create, operations=sizes.queues)
        if load.errors:
            raise LoadFailed(load.complaints[0])
        settle(target)
        _run(client, after.begin, sizes.rounds)
        yield from _compared(f"{sizes.queues:,} queues", after, before)


# -- latency -----------------------------------------------------------------------------------------------------------

_ALONE_MAX_MS = {"http": 0.5, "websocket": 0.4}
_HALF_MAX_MS, _BESIDE_MAX_MS = 5.0, 10.0


def latency(target: Target, sizes: Sizes) -> Iterator[Figure]:
    """
    :raises LoadFailed: it cannot be measured.
    """
    for transport in TRANSPORTS:
        with _queue(target, transport) as (client, api):
            workload = SCENARIOS["post1"].make(api)
            client.run(workload.begin, seconds=sizes.seconds / 10)
            alone = Latency.of(client.run(workload.begin, seconds=sizes.seconds).latencies)
            bound = _ALONE_MAX_MS[transport]
            yield Figure(LATENCY, f"post, {transport}, alone: p50", alone.p50, "ms", bound)
            yield Figure(LATENCY, f"post, {transport}, alone: p99", alone.p99, "ms")
        with _queue(target, transport, 16) as (client, api):
            load = client.run(SCENARIOS["post1"].make(api).begin, seconds=sizes.seconds)
            rate = len(load.latencies) / load.seconds
            yield Figure(LATENCY, f"post, {transport}, 16 connections: rate", rate, "a second")
            half = _paced(target, transport, api, rate / 2, sizes.seconds)
            yield Figure(LATENCY, f"post, {transport}, at half that rate: p50", half.p50, "ms")
            yield Figure(LATENCY, f"post, {transport}, at half that rate: p99", half.p99, "ms", _HALF_MAX_MS)
    yield from _beside(target, sizes)


def _paced(
    target: Target, transport: str, api: Api, rate: float, seconds: float, beside: Sequence[Operation] = ()
) -> Latency:
    connect = target.connector(transport)
    status = 201 if transport == "http" else api.statuses["post"]
    load = run_paced(connect, api.post(1), status, rate=rate, seconds=seconds, beside=beside)
    if load.errors:
        raise LoadFailed(load.complaints[0])
    return Latency.of(load.latencies)


def _beside(target: Target, sizes: Sizes) -> Iterator[Figure]:
    """Small posts to one queue, while something is done with all of another one."""

    def listing(api: Api) -> Operation:
        while True:
            cursor = b""
            for _ in range(sizes.messages // 20):
                reply = yield api.page(20, cursor)
                cursor = api.next_cursor(reply, api.messages(reply, 20))

    def purging(api: Api) -> Operation:
        expect((yield api.purge_queue()), 204)

    with _queue(target) as (_, small):
        for title, ttl_s, act in (
            ("is listed", MESSAGE_TTL_S, listing),
            ("is purged", MESSAGE_TTL_S, purging),
            ("is swept", sizes.ttl_s, None),
        ):
            with _queue(target) as (client, api):
                began = time.monotonic()
                fill(client, api, sizes.messages, ttl_s)
                if act is None:  # begins while the first of them expire
                    time.sleep(max(0.0, sizes.ttl_s - (time.monotonic() - began)))
                seconds = sizes.seconds * (2 if act is None else 1)
                others = [] if act is None else [act(api)]
                found = _paced(target, "http", small, _BESIDE_RATE, seconds, others)
                what = f"post of another client, while a queue of {sizes.messages:,} {title}"
                yield Figure(LATENCY, f"{what}: p50", found.p50, "ms")
                yield Figure(LATENCY, f"{what}: p99", found.p99, "ms", _BESIDE_MAX_MS)


# -- memory ------------------------------------------------------------------------------------------------------------

_STORED_MAX_BYTES, _SOCKET_MAX_KIB, _GROWTH_MAX = 420.0, 15.0, 1.05
_CHUNK_S = 5.0


def _redis(target: Target) -> tuple[str, str]:
    """Where the Redis of a server is: ``unixsocket`` and a path, or a host and a port.

    :raises LoadFailed: it is not known.
    """
    if target.redis_pid is None:
        raise LoadFailed(f"the Redis of {target.name} is not known")
    title = " ".join(psutil.Process(target.redis_pid).cmdline()).split()[1]  # "unixsocket:PATH", or "HOST:PORT"
    kind, _, where = title.rpartition(":")
    return kind, where


def redis_memory(target: Target) -> int:
    """Bytes that the Redis of a server says that it uses.

    :raises LoadFailed: it is not known, or does not answer.
    """
    kind, where = _redis(target)
    try:
        if kind == "unixsocket":
            sock = socket.socket(socket.AF_UNIX)
            sock.connect(where)
        else:
            sock = socket.create_connection((kind, int(where)), 10.0)
        with sock:
            sock.sendall(b"INFO memory\r\n")
            said = b""
            while b"used_memory_human" not in said:
                data = sock.recv(1 << 16)
                if not data:
                    break
                said += data
        return int(said.partition(b"used_memory:")[2].split()[0])
    except (OSError, ValueError, IndexError) as error:
        raise LoadFailed(f"the Redis of {target.name} does not tell its memory: {error}") from None


def stored(target: Target, sizes: Sizes) -> Iterator[Figure]:
    """Bytes of Redis for each message of a queue."""
    with _queue(target) as (client, api):
        fill(client, api, 1)
        before = redis_memory(target)
        fill(client, api, sizes.stored)
        settle(target)
        each = (redis_memory(target) - before) / sizes.stored
    bound = _STORED_MAX_BYTES if target.name == "gateway" else None
    yield Figure(MEMORY, "Redis for a stored message of 200 bytes", each, "bytes", bound, target=target.name)


def memory(target: Target, sizes: Sizes) -> Iterator[Figure]:
    """
    :raises LoadFailed: it cannot be measured.
    """
    yield from stored(target, sizes)
    idle = measure_idle(target, sizes.sockets, 1).memory_kib
    if idle is not None:
        yield Figure(MEMORY, f"gateway for each of {sizes.sockets:,} idle sockets", idle, "KiB", _SOCKET_MAX_KIB)
    with _queue(target, connections=16) as (client, api):
        workload = SCENARIOS["cycle"].make(api)
        seen, deadline = list[int](), time.monotonic() + 60 * sizes.minutes
        while len(seen) < 3 or time.monotonic() < deadline:
            load = client.run(workload.begin, seconds=min(_CHUNK_S, 6 * sizes.minutes))
            if load.errors:
                raise LoadFailed(load.complaints[0])
            seen.append(memory_of(target) or 0)
    first, last = seen[len(seen) // 10], seen[-1]
    over = f"over {sizes.minutes:g} minutes of post, claim, delete on 16 connections"
    yield Figure(MEMORY, f"gateway {over}, at the end", last / 2**20, "MiB")
    yield Figure(MEMORY, f"gateway {over}, against a tenth of that time", last / first, "times", _GROWTH_MAX)


# -- large -------------------------------------------------------------------------------------------------------------

_LARGE_MIN_GB_S = 0.5


def large(target: Target, sizes: Sizes) -> Iterator[Figure]:
    """
    :raises LoadFailed: it cannot be measured.
    """
    body = {"bench_body": "x" * (_LARGE_BYTES - len('{"bench_body":""}'))}
    for transport in TRANSPORTS:
        with _queue(target, transport, 4) as (client, api):
            api.body = body

            def post(api: Api = api) -> Operation:
                expect((yield api.post(1)), 201)

            def claim(api: Api = api) -> Operation:
                expect((yield api.claim(1)), 201)

            for name, act in (("post", post), ("claim", claim)):
                load = client.run(act, operations=sizes.large)
                if load.errors:
                    raise LoadFailed(load.complaints[0])
                speed = len(load.latencies) * _LARGE_BYTES / load.seconds / 1e9
                yield Figure(LARGE, f"{name} of 254 KiB, {transport}, 4 connections", speed, "GB/s", _LARGE_MIN_GB_S, True)
    if target.redis_pid is not None and _redis(target)[0] == "unixsocket":
        path, cores = _redis(target)[1], psutil.Process(target.redis_pid).cpu_affinity() or []
        for looks, what in ((False, "looks at nothing"), (True, "looks whether they are JSON, and at nothing else")):
            speed = relayed(path, cores, body, sizes.large, looks)
            yield Figure(LARGE, f"post of 254 KiB to a relay that {what}, same Redis and core, 4 connections", speed, "GB/s")
    with _queue(target) as (_, small), _queue(target) as (_, api):
        api.body = body
        lone = _paced(target, "http", small, _BESIDE_RATE, sizes.seconds)

        def turns() -> Operation:
            while True:
                expect((yield api.post(1)), 201)
                expect((yield api.pop(1)), 200)

        beside = _paced(target, "http", small, _BESIDE_RATE, sizes.seconds, [turns() for _ in range(4)])
        yield Figure(LARGE, "small post, nothing beside it: p99", lone.p99, "ms")
        yield Figure(LARGE, "small post, beside 4 clients that post and pop 254 KiB: p50", beside.p50, "ms")
        yield Figure(LARGE, "small post, beside 4 clients that post and pop 254 KiB: p99", beside.p99, "ms", _BESIDE_MAX_MS)


def relayed(redis: str, cores: list[int], body: dict[str, str], operations: int, looks: bool) -> float:
    """GB/s of posts over HTTP that are handed to a Redis.

    :param redis: path of its Unix socket.
    :param cores: that it runs on.
    :param looks: whether they are looked through as JSON before; they go unseen otherwise.
    :raises LoadFailed: it cannot be measured.
    """
    api = HttpApi("relay", "127.0.0.1:8888")
    api.body = body
    wanted = api.post(1)

    def post() -> Operation:
        expect((yield wanted), 201)

    with relay(redis, len(wanted), cores, looks) as port:
        client = Client(lambda: Connection(socket.create_connection(("127.0.0.1", port)), HttpReader()), 4)
        try:
            load = client.run(post, operations=operations)
        finally:
            client.close()
            with socket.socket(socket.AF_UNIX) as sock:
                sock.connect(redis)
                sock.sendall(b"UNLINK %b\r\n" % KEY)
                sock.recv(64)
    if load.errors:
        raise LoadFailed(load.complaints[0])
    return len(load.latencies) * _LARGE_BYTES / load.seconds / 1e9


GOALS: dict[str, Callable[[Target, Sizes], Iterator[Figure]]] = {
    FLAT: flat,
    LATENCY: latency,
    MEMORY: memory,
    LARGE: large,
}



def settings_for(goal: str) -> dict[str, str]:
    """What a gateway has to be told for a goal: what has expired is not to be swept in one, nor sockets bounded in another."""
    return {FLAT: {"STORAGE_SWEEP_INTERVAL_S": "86400"}, MEMORY: {"WEBSOCKET_MAX_SOCKETS_PER_PROJECT": "0"}}.get(goal, {})


# -- what is kept ------------------------------------------------------------------------------------------------------


def keep(path: Path, figures: Sequence[Figure]) -> list[Figure]:
    """Write figures to a file, in the place of earlier ones of the same goals.

    :return: all that are in the file.
    """
    renewed = {each.goal for each in figures}
    kept = [each for each in load_figures(path) if each.goal not in renewed] if path.exists() else []
    everything = sorted([*kept, *figures], key=lambda each: list(GOALS).index(each.goal))
    path.write_text(json.dumps([asdict(each) for each in everything], indent=1) + "\n")
    return everything


def load_figures(path: Path) -> list[Figure]:
    """The figures in a file.

    :raises ValueError: it is not one of :func:`keep`.
    """
    try:
        return [Figure(**each) for each in json.loads(path.read_text())]
    except TypeError as error:
        raise ValueError(f"{path} has no figures of this benchmark: {error}") from None


def table(figures: Sequence[Figure]) -> str:
    """For a terminal."""
    width = max((len(each.what) for each in figures), default=0)
    lines = []
    for each in figures:
        bound = "" if each.bound is None else f"{'at least' if each.is_least else 'at most'} {each.bound:g}"
        verdict = {None: "", True: "met", False: "MISSED"}[each.is_met]
        lines.append(f"{each.target:8} {each.what:{width}} {each.value:12,.3f} {each.unit:8} {bound:13} {verdict}".rstrip())
    return "\n".join(lines)
