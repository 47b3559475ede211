"""A well-behaved client beside hostile ones: ``python -m tests.hostile.beside [connections] [seconds]
[subscriptions]``.

A gateway of its own on an embedded Redis, as anybody would start it, is attacked in each way in turn.  For each it
prints
the latencies of a client of another project that posts, lists, claims and deletes on both transports, alone before
and beside
the attack, and the memory and the descriptors of the gateway.
"""

from __future__ import annotations

import json
import math
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from urllib.parse import urlsplit
from uuid import uuid4

import psutil
from attrs import frozen

from tests.hostile.attack import HTTP, OPEN_S, WEBSOCKET
from tests.system.gateway import ROOT, START_S, STOP_S, Gateway, Http, Process, Socket, environment

PAUSE_S = 0.005
"""Between two requests of the well-behaved client, which measures latency and not throughput."""


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


@frozen
class Taken:
    """What a gateway has taken of the machine."""

    resident: int
    descriptors: int


def taken(gateway: Gateway) -> Taken:
    """As of now."""
    process = psutil.Process(gateway.pid)
    return Taken(process.memory_info().rss, process.num_fds())


def behave(gateway: Gateway, seconds: float) -> Seen:
    """Post, list, claim and delete for a while, by HTTP and by WebSocket."""
    project, queue = uuid4().hex, "well-behaved"
    http, websocket = Http(gateway.http, project), Socket(gateway.websocket, project)
    latencies: list[float] = []
    wrong: list[str] = []

    def note(began: float, what: str, status: int, expected: int) -> None:
        latencies.append(time.monotonic() - began)
        if status != expected:
            wrong.append(f"{what}: {status}")
        time.sleep(PAUSE_S)

    def ask(method: str, path: str, expected: int, body: object = None) -> None:
        began = time.monotonic()
        note(began, f"{method} {path}", http(method, f"/v2/queues/{queue}/{path}", body).status, expected)

    def act(action: str, expected: int, **body: object) -> None:
        began = time.monotonic()
        note(began, action, websocket(action, queue_name=queue, **body).status, expected)

    until = time.monotonic() + seconds
    while time.monotonic() < until:
        ask("POST", "messages", 201, {"messages": [{"body": {"n": 1}}, {"body": {"n": 2}}]})
        ask("GET", "messages?echo=true", 200)
        act("claim_create", 201, limit=1)
        act("queue_get_stats", 200)
        ask("DELETE", "messages?pop=1", 200)
        act("queue_purge", 204, resource_types=["messages"])
    http.close()
    websocket.close()
    return Seen(sorted(latencies), wrong)


class Attackers:
    """Clients of some kinds, in a process of their own that ends by itself."""

    def __init__(self, kinds: Iterable[str], gateway: Gateway, connections: int, seconds: float) -> None:
        http, websocket = urlsplit(gateway.http), urlsplit(gateway.websocket)
        words = (",".join(kinds), http.hostname, http.port, websocket.port, connections, seconds)
        self._process = Process([sys.executable, "-m", "tests.hostile.attack", *map(str, words)], environment(), ROOT)
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


def main(connections: int, seconds: float, subscriptions: int) -> None:
    """Attack in every way, and print."""
    print(f"{connections} connections, {seconds:g} s each; latencies in ms; memory in MB", flush=True)
    print(
        f"{'attack':15} {'p50':>6} {'p99':>6} {'p50':>7} {'p99':>7} {'ratio':>6} {'wrong':>6}"
        f" {'MB':>6} {'MB':>6} {'fds':>5} {'fds':>5}",
    )

    def line(name: str, alone: Seen, beside: Seen, before: Taken, after: Taken, more: object) -> None:
        ratio = beside.quantile(0.99) / alone.quantile(0.99)
        times = [1000 * seen.quantile(share) for seen in (alone, beside) for share in (0.5, 0.99)]
        print(
            f"{name:15} {times[0]:6.2f} {times[1]:6.2f} {times[2]:7.2f} {times[3]:7.2f} {ratio:6.2f}"
            f" {len(beside.wrong):6} {before.resident / 1e6:6.1f} {after.resident / 1e6:6.1f}"
            f" {before.descriptors:5} {after.descriptors:5}  {more}",
            flush=True,
        )

    for kind in (*HTTP, *WEBSOCKET):
        gateway = Gateway()
        alone, before = behave(gateway, seconds), taken(gateway)
        attackers = Attackers((kind,), gateway, connections, seconds + 1)
        attackers.wait()
        beside, after = behave(gateway, seconds), taken(gateway)
        line(kind, alone, beside, before, after, dict(attackers.end()))
        gateway.stop()
    gateway = Gateway()
    alone, before = behave(gateway, seconds), taken(gateway)
    began = time.monotonic()
    subscribe(gateway, subscriptions)
    made_s = time.monotonic() - began
    beside, after = behave(gateway, seconds), taken(gateway)
    line("subscriptions", alone, beside, before, after, f"{subscriptions} made in {made_s:.0f} s")
    gateway.stop()


if __name__ == "__main__":
    given = [float(word) for word in sys.argv[1:]]
    main(*(int(given[0]) if given else 2000, given[1] if given[1:] else 10, int(given[2]) if given[2:] else 100_000))
