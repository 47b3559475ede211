"""Live subscriptions while gateways are killed and connections are cut: nothing is lost, the order is kept."""

from __future__ import annotations

import json
import random
import signal
import socket
import struct
import threading
import time
from collections.abc import Callable
from contextlib import closing
from typing import Any

import websocket
from twisted.trial.unittest import SynchronousTestCase

from tests.system.gateway import ANSWER_S, Gateway, Http, RedisProcess, Socket, until

PROJECT = "live"
MESSAGES = 3000
PER_POST = 5
CUTS = 12
"""How often a connection is cut, or its gateway killed: each third time."""

PAUSE_S = 2.0
"""The longest time from one cut to the next."""


def cut(client: Socket) -> None:
    """Drop a connection as a network does: without a closing handshake, with what it holds in its buffers."""
    sock: Any = client.connection.sock
    if sock is not None:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        sock.close()


class Poster(threading.Thread):
    """Posts numbers, some in each post, to one gateway: a part of them each time that it may go on."""

    def __init__(self, gateway: Gateway, queue: str) -> None:
        super().__init__(daemon=True)
        self._gateway = gateway
        self._queue = queue
        self._parts = threading.Semaphore(0)
        self.refused: list[str] = []

    def go_on(self) -> None:
        """Post the next part."""
        self._parts.release()

    def run(self) -> None:
        with closing(Http(self._gateway.http, PROJECT)) as http:
            for number in range(0, MESSAGES, PER_POST):
                if number % (MESSAGES // CUTS) == 0:
                    self._parts.acquire()
                answer = http.post(self._queue, *range(number, number + PER_POST))
                if answer.status != 201:
                    self.refused.append(str(answer))
                time.sleep(0)  # the subscriber, in this process, has its turn


class Follower:
    """Follows a queue under a durable name, over whatever connection there is.

    :ivar seen: the numbers, each time that they came.
    :ivar unmarked: numbers that came again without being marked so.
    :ivar gaps: what was told of gaps.
    :ivar begun: how often it has subscribed, and ``resumed`` how often it went on where it had been.
    """

    def __init__(self, queue: str, where: Callable[[], Gateway], rng: random.Random) -> None:
        self.seen: list[int] = []
        self.unmarked: list[int] = []
        self.gaps: list[Any] = []
        self.begun = self.resumed = 0
        self._queue = queue
        self._where = where
        self._rng = rng
        self._known: set[int] = set()

    def follow(self, for_s: float) -> bool:
        """Subscribe, then read, and acknowledge, until the connection is to be cut; tell whether all is done."""
        gateway = self._where()
        try:
            with closing(Socket(gateway.websocket, PROJECT)) as client:
                client.send("subscription_create", {"queue_name": self._queue, "durable": "f", "start": "earliest", "window": 60})
                return self._read(client, for_s)
        except (OSError, websocket.WebSocketException):
            return False

    def _read(self, client: Socket, for_s: float) -> bool:
        stop_at = time.monotonic() + ANSWER_S
        asked = 0
        held: list[tuple[str, int]] = []
        client.connection.settimeout(0.5)
        while time.monotonic() < stop_at:
            try:
                frame = json.loads(client.connection.recv())
            except websocket.WebSocketTimeoutException:
                if len(self._known) == MESSAGES and not held and not asked:
                    return True
                frame = None
            if frame is None:
                pass
            elif "request" in frame:
                if frame["request"]["action"] == "message_acknowledge":
                    assert frame["headers"]["status"] == 200, frame
                    asked -= 1
                elif frame["headers"]["status"] == 201:
                    stop_at = time.monotonic() + for_s
                    self.begun += 1
                    self.resumed += frame["body"]["live"]["resumed"]
                else:
                    return False
            elif frame["Message_Type"] == "Message":
                number = frame["body"]
                if number in self._known and not frame.get("redelivered"):
                    self.unmarked.append(number)
                self._known.add(number)
                self.seen.append(number)
                held.append((frame["id"], number))
            elif frame["Message_Type"] == "Gap":
                self.gaps.append(frame)
            else:
                return False
            is_end = frame is None and len(self._known) == MESSAGES
            if held and (is_end or len(held) >= 20):
                # Some are left, so that what is done is not all up to a place, and that they come again after the next cut.
                some = [each for each in held if is_end or self._rng.random() < 0.8]
                held = [each for each in held if each not in some]
                if some:
                    client.send(
                        "message_acknowledge", {"queue_name": self._queue, "message_ids": [each for each, _ in some]}
                    )
                    asked += 1
        cut(client)
        return False


class LiveTests(SynchronousTestCase):
    """Gateways on a Redis of their own."""

    def setUp(self) -> None:
        self.redis = RedisProcess()
        self.addCleanup(self.redis.stop)
        self.gateways: list[Gateway] = [self.gateway() for _ in range(2)]

    def gateway(self, **settings: str) -> Gateway:
        """A gateway."""
        made = Gateway(storage=self.redis.tcp, settings=settings)
        self.addCleanup(made.kill)
        return made

    def test_durable_subscriber(self) -> None:
        """Every message comes at least once and, seen without repetitions, in order; what comes again is marked; nothing is told
        to be lost, since nothing is."""
        rng = random.Random(3)
        quiet, *struck = *self.gateways, self.gateway()
        current = [0]
        follower = Follower("q", lambda: struck[current[0]], rng)
        poster = Poster(quiet, "q")
        poster.start()
        give_up = time.monotonic() + 300
        for number in range(CUTS):
            poster.go_on()
            for_s = rng.uniform(0.2, PAUSE_S)
            while follower.begun <= number and time.monotonic() < give_up:  # the gateway may not know yet that it was cut off
                follower.follow(for_s)
            if number % 3 == 2:
                struck[current[0]].kill()
                struck[current[0]] = self.gateway()
            current[0] = rng.randrange(2)
        poster.join(ANSWER_S)
        while not follower.follow(20) and time.monotonic() < give_up:
            pass
        self.assertEqual(poster.refused, [])
        first = list(dict.fromkeys(follower.seen))
        self.assertEqual(first, list(range(MESSAGES)))
        self.assertEqual((follower.unmarked, follower.gaps), ([], []))
        self.assertEqual((follower.resumed, follower.begun > CUTS), (follower.begun - 1, True))
        self.assertGreater(len(follower.seen), MESSAGES, "nothing ever came again")
        with closing(Socket(quiet.websocket, PROJECT)) as client:
            (shown,) = client("durable_list", queue_name="q").body["durables"]
            self.assertEqual(shown["pending"], 0)

    def test_gap(self) -> None:
        """What is removed while the subscriber is away is told when it comes again."""
        with closing(Socket(self.gateways[1].websocket, PROJECT)) as client:
            client("subscription_create", queue_name="g", durable="f")
        with closing(Http(self.gateways[0].http, PROJECT)) as http:
            http.post("g", 1, 2)
            self.gateways[1].kill()
            http("POST", "/v2/queues/g/purge", {"resource_types": ["messages"]})
            kept = http.post("g", 3).json["resources"][0].rpartition("/")[2]
        with closing(Socket(self.gateways[0].websocket, PROJECT)) as client:
            client("subscription_create", queue_name="g", durable="f")
            gap = client.pushed()
            self.assertEqual((gap["Message_Type"], gap["continues_at"]), ("Gap", kept))
            self.assertEqual(client.pushed()["body"], 3)

    def test_worker_that_goes(self) -> None:
        """What a worker has whose connection is cut, another worker at another gateway gets at once."""
        with closing(Socket(self.gateways[0].websocket, PROJECT)) as other, closing(
            Http(self.gateways[0].http, PROJECT)
        ) as http:
            worker = Socket(self.gateways[1].websocket, PROJECT)
            worker("subscription_create", queue_name="w", claim={"ttl": 3600, "grace": 60})
            http.post("w", *range(10))
            self.assertEqual([worker.pushed()["body"] for _ in range(10)], list(range(10)))
            other("subscription_create", queue_name="w", claim={"ttl": 3600, "grace": 60})
            began = time.monotonic()
            cut(worker)
            self.assertEqual(sorted(other.pushed()["body"] for _ in range(10)), list(range(10)))
            self.assertLess(time.monotonic() - began, 20)  # its claims last for an hour

    def test_end_in_good_order(self) -> None:
        """A gateway that is asked to end closes its sockets with 1001; what its workers had is free, its names are let go."""
        with closing(Socket(self.gateways[1].websocket, PROJECT)) as worker, closing(
            Http(self.gateways[0].http, PROJECT)
        ) as http:
            worker("subscription_create", queue_name="w", claim={"ttl": 3600, "grace": 60})
            worker("subscription_create", queue_name="d", durable="f")
            http.post("w", 1, 2)
            worker.pushed(), worker.pushed()
            self.gateways[1].signal(signal.SIGTERM)
            self.assertEqual(worker.close_code(), 1001)
            self.gateways[1].ends_well()
            claims = http("GET", "/v2/queues/w/stats").json["messages"]
            self.assertEqual((claims["free"], claims["claimed"]), (2, 0))
            (shown,) = http("GET", "/v2/queues/d/durables").json["durables"]
            self.assertEqual((shown["name"], shown["attached"]), ("f", False))

    def test_slow_reader(self) -> None:
        """A socket that does not read disturbs nobody, takes a bounded share of memory, and gets all in order when it reads."""
        body, count = "x" * 20_000, 3000
        # However long the others take, it is not found to be gone.
        gateway = self.gateway(WEBSOCKET_DRAIN_TIMEOUT_S="600", WEBSOCKET_PING_INTERVAL_S="600")
        with closing(Socket(gateway.websocket, PROJECT)) as slow, closing(Socket(gateway.websocket, PROJECT)) as quick:
            slow("subscription_create", queue_name="s", start="earliest")
            slow("subscription_create", queue_name="plain")
            quick("subscription_create", queue_name="s", start="earliest")
            for each in (slow, quick):  # which that library does in Python, at 3 MB a second
                each.connection.frame_buffer.skip_utf8_validation = True
                each.connection.cont_frame.skip_utf8_validation = True
            before = _resident(gateway.pid)

            def read() -> None:
                for number in range(count):
                    assert quick.pushed()["body"]["n"] == number

            reader = threading.Thread(target=read, daemon=True)
            reader.start()
            with closing(Http(self.gateways[0].http, PROJECT)) as http:
                for number in range(0, count, 10):
                    posted = [{"n": each, "x": body} for each in range(number, number + 10)]
                    self.assertEqual(http.post("s", *posted).status, 201)
                    http.post("plain", number)
            until(lambda: not reader.is_alive(), 300, "the quick reader has read all")
            self.assertLess(_resident(gateway.pid) - before, 40 * 2**20)
            numbers: dict[str, list[int]] = {"s": [], "plain": []}
            while len(numbers["s"]) < count or len(numbers["plain"]) < count // 10:
                push = slow.pushed()
                numbers[push["queue_name"]].append(push["body"]["n"] if push["queue_name"] == "s" else push["body"])
            self.assertEqual(numbers, {"s": list(range(count)), "plain": list(range(0, count, 10))})


def _resident(pid: int) -> int:
    """The bytes of memory that a process has."""
    with open(f"/proc/{pid}/statm") as file:
        return int(file.read().split()[1]) * 4096
