"""A well-behaved client beside hostile ones: ``python -m tests.hostile.beside [connections] [seconds] [subscriptions]
[kinds]``.

A gateway of its own on an embedded Redis, with the settings that it has by default, is attacked in each way in turn.  A client
of another project posts, lists, claims and deletes on both transports, alone and beside the attack.  The two alternate, in
rounds of a few seconds with a new gateway each, so that what else the machine does falls on both; the latencies of all rounds
count together.

Where there are two cores, the gateway has one for itself, and Redis, the client and the attackers share the other; the attackers
have the lowest priority there, and the gateway, Redis and the client are real-time processes where the system lets them be (as
root), so that what the attackers take, and what else there is on the machine, is not missing where it is measured.  At the end it prints a table for ``docs/hostile.rst``.
"""

from __future__ import annotations

import json
import math
import os
import resource
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from urllib.parse import urlsplit
from uuid import uuid4

import psutil
from attrs import frozen

from tests.hostile.attack import HTTP, OPEN_S, WEBSOCKET
from tests.system.gateway import ROOT, START_S, STOP_S, Gateway, Http, Process, Socket, environment

QUEUE = "well-behaved"
PAUSE_S = 0.005
"""Between two requests of the well-behaved client, which measures latency and not throughput."""

ROUNDS = 5


@frozen
class Seen:
    """What the well-behaved client saw.

    :ivar latencies_s: of each request, sorted.
    :ivar wrong: what was answered otherwise than it has to be.
    """

    latencies_s: Sequence[float]
    wrong: Sequence[str]

    def quantile(self, share: float) -> float:
        """The latency that so many requests do not exceed."""
        return self.latencies_s[max(0, math.ceil(len(self.latencies_s) * share) - 1)]


def together(seen: Sequence[Seen]) -> Seen:
    """What was seen in several rounds."""
    return Seen(sorted(latency for each in seen for latency in each.latencies_s), [what for each in seen for what in each.wrong])


@frozen
class Taken:
    """What a gateway has taken of the machine."""

    resident: int
    descriptors: int


def taken(gateway: Gateway) -> Taken:
    """As of now."""
    process = psutil.Process(gateway.pid)
    return Taken(process.memory_info().rss, process.num_fds())


class Client:
    """Asks for one thing at a time, on both transports, over the same connections."""

    def __init__(self, gateway: Gateway) -> None:
        project = uuid4().hex
        self._http, self._websocket = Http(gateway.http, project), Socket(gateway.websocket, project)
        self._latencies: list[float] = []
        self._wrong: list[str] = []

    def _note(self, began: float, what: str, status: int, expected: int) -> None:
        self._latencies.append(time.monotonic() - began)
        if status != expected:
            self._wrong.append(f"{what}: {status}")
        time.sleep(PAUSE_S)

    def _ask(self, method: str, path: str, expected: int, body: object = None) -> None:
        began = time.monotonic()
        self._note(began, f"{method} {path}", self._http(method, f"/v2/queues/{QUEUE}/{path}", body).status, expected)

    def _act(self, action: str, expected: int, **body: object) -> None:
        began = time.monotonic()
        self._note(began, action, self._websocket(action, queue_name=QUEUE, **body).status, expected)

    def behave(self, seconds: float) -> Seen:
        """Post, list, claim and delete for a while, once at least."""
        self._latencies, self._wrong = [], []
        until = time.monotonic() + seconds
        while not self._latencies or time.monotonic() < until:
            self._ask("POST", "messages", 201, {"messages": [{"body": {"n": 1}}, {"body": {"n": 2}}]})
            self._ask("GET", "messages?echo=true", 200)
            self._act("claim_create", 201, limit=1)
            self._act("queue_get_stats", 200)
            self._ask("DELETE", "messages?pop=1", 200)
            self._act("queue_purge", 204, resource_types=["messages"])
        return Seen(sorted(self._latencies), self._wrong)

    def close(self) -> None:
        """Hang up."""
        self._http.close()
        self._websocket.close()


def first_answers_s(gateway: Gateway) -> float:
    """How long it takes a new client to connect and to be answered once on each transport."""
    began = time.monotonic()
    client = Client(gateway)
    client.behave(0)
    client.close()
    return time.monotonic() - began - 6 * PAUSE_S


def behave(gateway: Gateway, seconds: float) -> Seen:
    """What a new client sees in a while."""
    client = Client(gateway)
    seen = client.behave(seconds)
    client.close()
    return seen


class Attackers:
    """Clients of some kinds, in a process of their own that ends by itself.

    :param priority: of that process (nice(1)); at the lowest, 19, what they do is not missing elsewhere, and may take any time.
    """

    def __init__(self, kinds: Iterable[str], gateway: Gateway, connections: int, seconds: float, priority: int) -> None:
        http, websocket = urlsplit(gateway.http), urlsplit(gateway.websocket)
        words = (",".join(kinds), http.hostname, http.port, websocket.port, connections, seconds)
        command = ["nice", "-n", str(priority), sys.executable, "-m", "tests.hostile.attack", *map(str, words)]
        self._process = Process(command, environment(), ROOT)
        self._seconds = seconds

    def wait(self) -> None:
        """Until all connections are open."""
        self._process.wait_for("^ready", OPEN_S + START_S)

    def end(self) -> Mapping[str, int]:
        """Wait for the end; what they counted."""
        self._process.end(self._seconds + STOP_S)
        counted: dict[str, int] = json.loads(self._process.output.splitlines()[-1])
        return counted


def subscribe(gateway: Gateway, count: int) -> None:
    """Make subscriptions to one queue, as fast as they are answered, and post to it.

    Nobody is at their addresses (RFC 5737), which are not delivered to.
    """
    socket = Socket(gateway.websocket, "greedy")
    sent = answered = 0
    while answered < count:
        while sent < count and sent - answered < 32:
            socket.send("subscription_create", {"queue_name": "followed", "subscriber": f"http://192.0.2.1/{sent}"})
            sent += 1
        reply = socket.receive()
        if reply.status != 201:
            raise AssertionError(reply)
        answered += 1
    socket("message_post", queue_name="followed", messages=[{"body": 1, "ttl": 60}])
    socket.close()


@frozen
class Line:
    """A line of the table.

    :ivar new_s: the longest that a new client beside took to connect and to do each thing once.
    :ivar before: what the last gateway had taken alone, and ``after`` beside.
    :ivar more: what the attackers counted, for the reader.
    """

    name: str
    alone: Seen
    beside: Seen
    new_s: float
    before: Taken
    after: Taken
    more: str

    HEADS = (
        *("attack", "p50 alone", "p50 beside", "p99 alone", "p99 beside", "ratio", "new", "wrong"),
        *("MB alone", "MB beside", "fds alone", "fds beside"),
    )

    @property
    def cells(self) -> tuple[str, ...]:
        """Its cells: milliseconds, times, numbers of answers, megabytes, descriptors."""
        times = [1000 * seen.quantile(share) for share in (0.5, 0.99) for seen in (self.alone, self.beside)]
        return (
            self.name,
            *(f"{each:.2f}" for each in times),
            f"{times[3] / times[2]:.2f}",
            f"{1000 * self.new_s:.0f}",
            str(len(self.beside.wrong)),
            *(f"{each.resident / 1e6:.0f}" for each in (self.before, self.after)),
            *(str(each.descriptors) for each in (self.before, self.after)),
        )


def table(lines: Sequence[Line]) -> str:
    """A table in reST."""
    rows = [Line.HEADS, *(line.cells for line in lines)]
    widths = [max(len(row[n]) for row in rows) for n in range(len(Line.HEADS))]
    rule = "  ".join("=" * width for width in widths)
    shown = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]
    return "\n".join([rule, shown[0], rule, *shown[1:], rule])


def at_once(pid: int) -> bool:
    """Have a process, but none that it starts, go on as soon as it can; whether the system lets it."""
    try:
        for thread in os.listdir(f"/proc/{pid}/task"):
            os.sched_setscheduler(int(thread), os.SCHED_RR | os.SCHED_RESET_ON_FORK, os.sched_param(1))
    except PermissionError:
        return False
    return True


def start() -> Gateway:
    """A gateway, which has the first core for itself where there are several."""
    gateway = Gateway()
    if len(_CORES) > 1:
        for thread in os.listdir(f"/proc/{gateway.pid}/task"):
            os.sched_setaffinity(int(thread), _CORES[:1])
        for redis in psutil.Process(gateway.pid).children():
            at_once(redis.pid)
    return gateway


_CORES = sorted(os.sched_getaffinity(0))


def attacked(kind: str, connections: int, seconds: float) -> Line:
    """Measure alone and beside one kind of attack, in turn."""
    alone, beside, new_s = [], [], 0.0
    for _ in range(ROUNDS):
        gateway = start()
        if len(_CORES) > 1:
            at_once(gateway.pid)  # not where deliveries are made: it has threads that look hosts up, and they would wait
        client = Client(gateway)
        client.behave(0)
        alone.append(client.behave(seconds / ROUNDS))
        before = taken(gateway)
        attackers = Attackers((kind,), gateway, connections, seconds / ROUNDS + 2, 19)
        attackers.wait()
        beside.append(client.behave(seconds / ROUNDS))
        new_s = max(new_s, first_answers_s(gateway))
        after = taken(gateway)
        client.close()
        try:
            counted = dict(attackers.end())
        except AssertionError:  # at the lowest priority it has no end on a machine that is busy with other things
            counted = {}
        gateway.stop()
    return Line(kind, together(alone), together(beside), new_s, before, after, str(counted or "the attackers had to be killed"))


def subscribed(subscriptions: int, seconds: float) -> Line:
    """Measure without many subscriptions and then with them; each round posts to all of them."""
    gateway, new_s = start(), 0.0
    client = Client(gateway)
    client.behave(0)
    alone, before = [client.behave(seconds)], taken(gateway)
    client.close()
    began = time.monotonic()
    subscribe(gateway, subscriptions)
    made_s = time.monotonic() - began
    client, beside = Client(gateway), []
    client.behave(0)
    with_post = Socket(gateway.websocket, "greedy")
    for _ in range(ROUNDS):
        with_post("message_post", queue_name="followed", messages=[{"body": 1, "ttl": 60}])
        beside.append(client.behave(seconds / ROUNDS))
        new_s = max(new_s, first_answers_s(gateway))
    after = taken(gateway)
    with_post.close()
    client.close()
    gateway.stop()
    made = f"{subscriptions} made in {made_s:.0f} s"
    return Line("subscriptions", together(alone), together(beside), new_s, before, after, made)


def main(connections: int, seconds: float, subscriptions: int, kinds: Sequence[str]) -> None:
    """Attack in every way, and print."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    os.sched_setaffinity(0, _CORES[1:] or _CORES)
    is_first = len(_CORES) > 1 and at_once(os.getpid())
    print(
        f"{connections} connections, {ROUNDS} rounds of {seconds / ROUNDS:g} s each, {len(_CORES)} cores, load average"
        f" {os.getloadavg()[0]:.1f}; {'all but the attackers in real time; ' if is_first else ''}default settings; latencies in ms",
        flush=True,
    )
    lines = []
    for kind in kinds:
        line = subscribed(subscriptions, seconds) if kind == "subscriptions" else attacked(kind, connections, seconds)
        lines.append(line)
        print("  ".join(f"{head} {cell}" for head, cell in zip(Line.HEADS, line.cells, strict=True)), line.more, flush=True)
    print(f"\nload average at the end {os.getloadavg()[0]:.1f}\n\n{table(lines)}", flush=True)


if __name__ == "__main__":
    given = sys.argv[1:]
    main(
        int(given[0]) if given else 2000,
        float(given[1]) if given[1:] else 10,
        int(given[2]) if given[2:] else 100_000,
        given[3].split(",") if given[3:] else [*HTTP, *WEBSOCKET, "subscriptions"],
    )
