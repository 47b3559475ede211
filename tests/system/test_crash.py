"""What is acknowledged is kept, and what cannot be known is said: processes killed, stopped and restarted under load."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import websocket
from twisted.trial.unittest import SynchronousTestCase

from tests.programs import program
from tests.system.gateway import ANSWER_S, Answer, Gateway, Http, RedisProcess, Socket, new_directory, until

PROJECT = "crash"
QUEUE = "load"
WINDOW = 8
"""Posts that a producer on WebSocket has under way."""

PATIENT = {"STORAGE_COMMAND_TIMEOUT_S": "60"}
"""Settings of gateways that would wait for long, if they waited."""

AT_ONCE_S = 20.0
"""What "at once" may take on a machine that is busy with tests; who waits takes the time of the setting above."""


class Producer:
    """Posts numbered messages, one after the other, until it is told to stop or its connection is lost.

    A number is used once: what was not acknowledged is not tried again, since it may have been stored.

    :param name: tells its messages from those of others.
    :ivar acknowledged: the numbers that were acknowledged, in order.
    :ivar refusals: every other answer, with the seconds that it took.
    :ivar unknown: the most messages that may be stored without having been acknowledged.
    """

    def __init__(self, name: str, told: Callable[[], None]) -> None:
        self.name = name
        self.acknowledged: list[int] = []
        self.refusals: list[tuple[int, str | None, float]] = []
        self.unknown = 0
        self._next = 0
        self._told = told

    def body(self) -> dict[str, Any]:
        """The next message."""
        self._next += 1
        return {"by": self.name, "n": self._next}

    def took(self, number: int) -> None:
        """Note what was acknowledged."""
        self.acknowledged.append(number)
        self._told()

    def run(self, gateway: Gateway, stop: threading.Event) -> None:
        """Produce."""
        raise NotImplementedError


class HttpProducer(Producer):
    """On a connection that is kept alive."""

    def run(self, gateway: Gateway, stop: threading.Event) -> None:
        """Produce."""
        with closing(Http(gateway.http, PROJECT)) as http:
            while not stop.is_set():
                body = self.body()
                began = time.monotonic()
                try:
                    answer = http.post(QUEUE, body)
                except OSError:  # the connection is lost, and whether this one was stored is unknown
                    self.unknown += 1
                    return
                if answer.status == 201:
                    self.took(body["n"])
                else:
                    self.unknown += 1
                    taken = time.monotonic() - began
                    self.refusals.append((answer.status, answer.headers.get("Retry-After"), taken))


class SocketProducer(Producer):
    """On a WebSocket, several posts under way."""

    def run(self, gateway: Gateway, stop: threading.Event) -> None:
        """Produce."""
        with closing(Socket(gateway.websocket, PROJECT)) as socket:
            waiting: list[tuple[int, float]] = []
            try:
                while not stop.is_set() or waiting:
                    while len(waiting) < WINDOW and not stop.is_set():
                        body = self.body()
                        waiting.append((body["n"], time.monotonic()))
                        socket.send("message_post", {"queue_name": QUEUE, "messages": [{"body": body}]})
                    reply = socket.receive()
                    number, began = waiting.pop(0)
                    if reply.status == 201:
                        self.took(number)
                    else:
                        self.unknown += 1
                        self.refusals.append((reply.status, None, time.monotonic() - began))
            except (OSError, websocket.WebSocketException):
                self.unknown += len(waiting)


class Load:
    """Producers on both transports.

    :ivar producers: they are the same from one gateway to the next.
    """

    def __init__(self) -> None:
        self._news = threading.Condition()
        self.producers: list[Producer] = [
            *(HttpProducer(f"http-{number}", self._tell) for number in range(3)),
            *(SocketProducer(f"socket-{number}", self._tell) for number in range(2)),
        ]

    def _tell(self) -> None:
        with self._news:
            self._news.notify_all()

    @property
    def count(self) -> int:
        """How many messages have been acknowledged."""
        return sum(len(producer.acknowledged) for producer in self.producers)

    def reach(self, count: int) -> None:
        """Wait until so many have been acknowledged."""
        with self._news:
            if not self._news.wait_for(lambda: self.count >= count, ANSWER_S):
                raise AssertionError(f"only {self.count} of {count} messages were acknowledged in {ANSWER_S} s")

    @contextmanager
    def on(self, gateway: Gateway) -> Iterator[None]:
        """Produce while the block runs."""
        stop = threading.Event()
        threads = [
            threading.Thread(target=producer.run, args=(gateway, stop), daemon=True) for producer in self.producers
        ]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            stop.set()
            for thread in threads:
                thread.join(ANSWER_S)
        if any(thread.is_alive() for thread in threads):
            raise AssertionError("a producer waits for an answer that does not come")


class CrashTestCase(SynchronousTestCase):
    """What checks a load after a crash."""

    def watched(self, gateway: Gateway) -> Gateway:
        """The same gateway, ended with the test at the latest."""
        self.addCleanup(gateway.kill)
        return gateway

    def check_kept(self, load: Load, gateway: Gateway) -> None:
        """Every acknowledged message is there exactly once, those of each producer in order."""
        with closing(Http(gateway.http, PROJECT)) as http:
            stored = http.all_messages(QUEUE)
        self.assertEqual(len(stored), http_total(gateway))
        for producer in load.producers:
            mine = [body["n"] for body in stored if body["by"] == producer.name]
            self.assertEqual(len(mine), len(set(mine)), f"{producer.name}: twice")
            lost = set(producer.acknowledged) - set(mine)
            self.assertEqual(lost, set(), f"{producer.name}: acknowledged and lost")
            # A post of which nobody knows may have been stored late, behind others that were made after it.
            known = set(producer.acknowledged)
            self.assertEqual([n for n in mine if n in known], producer.acknowledged, f"{producer.name}: out of order")
            self.assertLessEqual(len(mine) - len(producer.acknowledged), producer.unknown)

    def check_refusals(self, load: Load, within_s: float = AT_ONCE_S) -> None:
        """What was not acknowledged was answered 503, with Retry-After on HTTP, and in time."""
        for producer in load.producers:
            for status, retry_after, taken_s in producer.refusals:
                self.assertEqual(status, 503)
                self.assertLess(taken_s, within_s)
                if isinstance(producer, HttpProducer):
                    self.assertRegex(retry_after or "", "^[0-9]+$")


class SlowDisk:
    """A disk that takes long to have what was written, for the processes of a gateway.

    :param slow_ms: how long.
    :ivar environ: for the gateway.
    :raises SkipTest: there is no C compiler.
    """

    def __init__(self, slow_ms: int) -> None:
        compiler = program("cc", "gcc")
        directory = new_directory()
        library = directory / "slow_disk.so"
        subprocess.run(
            [compiler, "-shared", "-fPIC", "-o", library, Path(__file__).with_name("slow_disk.c"), "-ldl"], check=True
        )
        self._log = directory / "log"
        self._log.touch()
        self.environ = {"LD_PRELOAD": str(library), "SLOW_DISK_LOG": str(self._log), "SLOW_DISK_MS": str(slow_ms)}

    @property
    def asked_by(self) -> list[int]:
        """Which process asked it, each time."""
        return [int(line) for line in self._log.read_text().splitlines()]


def http_total(gateway: Gateway) -> int:
    """How many messages the gateway counts."""
    with closing(Http(gateway.http, PROJECT)) as http:
        total = http("GET", f"/v2/queues/{QUEUE}/stats").json["messages"]["total"]
    assert isinstance(total, int)
    return total


class KilledGatewayTests(CrashTestCase):
    def test_gateway_killed(self) -> None:
        """SIGKILL of the gateway under load, again and again: the next one on the directory has all acknowledged."""
        load, chance = Load(), random.Random(1)
        gateway = self.watched(Gateway())
        for _ in range(3):
            with load.on(gateway):
                load.reach(load.count + chance.randint(50, 600))
                gateway.kill()
            gateway = self.watched(Gateway(data_dir=gateway.data_dir))
            self.check_kept(load, gateway)
        self.assertEqual([producer.refusals for producer in load.producers], [[]] * len(load.producers))
        gateway.stop()

    def test_gateway_and_redis_killed(self) -> None:
        """SIGKILL of the gateway and of its Redis at once loses nothing acknowledged either."""
        load = Load()
        gateway = self.watched(Gateway())
        with load.on(gateway):
            load.reach(400)
            os.kill(gateway.redis_pid, signal.SIGKILL)
            gateway.kill()
        gateway = self.watched(Gateway(data_dir=gateway.data_dir))
        self.check_kept(load, gateway)
        gateway.stop()


class LostRedisTests(CrashTestCase):
    def setUp(self) -> None:
        self.load = Load()

    def ask(self, gateway: Gateway, method: str, path: str, body: object = None) -> tuple[Answer, float]:
        """An answer, and the seconds that it took."""
        with closing(Http(gateway.http, PROJECT)) as http:
            began = time.monotonic()
            return http(method, path, body), time.monotonic() - began

    def check_away(self, gateway: Gateway, within_s: float) -> None:
        """While Redis is away every operation is 503 in time, on both transports, and ping says so."""
        message = {"messages": [{"body": "?"}]}
        for method, path, body in (
            ("GET", "/v2/queues", None),
            ("GET", "/v2/queues/q", None),
            ("PUT", "/v2/queues/q", None),
            ("DELETE", "/v2/queues/q", None),
            ("GET", "/v2/queues/q/stats", None),
            ("POST", "/v2/queues/q/purge", None),
            ("POST", "/v2/queues/q/messages", message),
            ("GET", "/v2/queues/q/messages", None),
            ("GET", "/v2/queues/q/messages/nada", None),
            ("DELETE", "/v2/queues/q/messages/nada", None),
            ("DELETE", "/v2/queues/q/messages?pop=1", None),
            ("POST", "/v2/queues/q/claims", None),
            ("GET", "/v2/queues/q/claims/foo", None),
            ("PATCH", "/v2/queues/q/claims/foo", {"ttl": 60}),
            ("DELETE", "/v2/queues/q/claims/foo", None),
        ):
            answer, taken_s = self.ask(gateway, method, path, body)
            self.assertEqual(answer.status, 503, f"{method} {path}: {answer}")
            self.assertLess(taken_s, within_s, f"{method} {path}")
            self.assertEqual(answer.json["title"], "Service temporarily unavailable")
            self.assertRegex(answer.headers.get("Retry-After", ""), "^[0-9]+$")
        ping, taken_s = self.ask(gateway, "GET", "/v2/ping")
        self.assertEqual((ping.status, ping.body), (503, b""))
        self.assertLess(taken_s, within_s)
        self.assertEqual(self.ask(gateway, "HEAD", "/v2/ping")[0].status, 204)
        with closing(Socket(gateway.websocket, PROJECT)) as socket:
            began = time.monotonic()
            self.assertEqual(socket("message_post", queue_name="q", **message).status, 503)
            self.assertEqual(socket("queue_list").status, 503)
            self.assertLess(time.monotonic() - began, 2 * within_s)

    def check_back(self, gateway: Gateway) -> None:
        """Without another start of the gateway requests succeed again."""
        until(lambda: self.ask(gateway, "GET", "/v2/ping")[0].status == 204, ANSWER_S, "ping is 204 again")
        answer, _ = self.ask(gateway, "POST", "/v2/queues/back/messages", {"messages": [{"body": 1}]})
        self.assertEqual(answer.status, 201, str(answer))

    def test_embedded_redis_killed(self) -> None:
        """SIGKILL of the embedded Redis under load: 503 at once, then all goes on, and nothing acknowledged is lost."""
        gateway = self.watched(Gateway(settings=PATIENT))
        with self.load.on(gateway):
            for _ in range(3):
                self.load.reach(self.load.count + 200)
                killed = gateway.redis_pid
                os.kill(killed, signal.SIGKILL)
                until(
                    lambda killed=killed: gateway.redis_pid not in (0, killed),  # type: ignore[misc]
                    ANSWER_S,
                    "another Redis is started",
                )
            self.load.reach(self.load.count + 200)
        self.assertTrue(any(producer.refusals for producer in self.load.producers))
        self.check_refusals(self.load)
        self.check_back(gateway)
        self.check_kept(self.load, gateway)
        gateway.stop()

    def test_embedded_redis_killed_while_the_disk_is_slow(self) -> None:
        """What Redis has acknowledged is kept too while the disk is still busy with what was written before."""
        disk = SlowDisk(700)
        gateway = self.watched(Gateway(environ=disk.environ, settings=PATIENT))
        with self.load.on(gateway):
            for _ in range(3):
                begun = len(disk.asked_by)
                until(lambda begun=begun: len(disk.asked_by) > begun, ANSWER_S, "the disk is busy")  # type: ignore[misc]
                self.load.reach(self.load.count + 50)
                os.kill(gateway.redis_pid, signal.SIGKILL)
                self.load.reach(self.load.count + 50)
        self.assertIn(gateway.pid, disk.asked_by)
        self.check_refusals(self.load)
        self.check_kept(self.load, gateway)
        gateway.stop()

    def test_external_redis_restarted(self) -> None:
        """While a Redis is shut down, all is 503 at once; when it is started again, all goes on, nothing is lost."""
        redis = RedisProcess()
        self.addCleanup(redis.stop)
        gateway = self.watched(Gateway(storage=redis.tcp, settings=PATIENT))
        with self.load.on(gateway):
            self.load.reach(200)
            redis.stop()
        self.check_away(gateway, AT_ONCE_S)
        redis.start()
        self.check_back(gateway)
        with self.load.on(gateway):
            self.load.reach(self.load.count + 200)
        self.check_refusals(self.load)
        self.check_kept(self.load, gateway)
        gateway.stop()

    def test_external_redis_hangs(self) -> None:
        """While a Redis is frozen, requests are 503 within the time that a command has; when it goes on, so do they."""
        redis = RedisProcess()
        self.addCleanup(redis.stop)
        timeout_s = 1.0  # so long that a busy machine alone keeps no command waiting
        gateway = self.watched(Gateway(storage=redis.unix, settings={"STORAGE_COMMAND_TIMEOUT_S": str(timeout_s)}))
        with self.load.on(gateway):
            self.load.reach(200)
            redis.signal(signal.SIGSTOP)
            gateway.wait_for(f"Redis did not answer within {timeout_s} s", ANSWER_S)
            until(lambda: all(producer.refusals for producer in self.load.producers), ANSWER_S, "all producers are refused")
        self.check_away(gateway, timeout_s + AT_ONCE_S)
        redis.signal(signal.SIGCONT)
        self.check_back(gateway)
        # Posts under way when it froze wait for those before them on the same socket.
        self.check_refusals(self.load, WINDOW * timeout_s + AT_ONCE_S)
        self.check_kept(self.load, gateway)
        gateway.stop()

    def test_redis_away_at_the_start(self) -> None:
        """A gateway that starts before its Redis serves as soon as that is there."""
        redis = RedisProcess()
        self.addCleanup(redis.stop)
        redis.stop()
        gateway = self.watched(Gateway(storage=redis.tcp, settings=PATIENT))
        self.check_away(gateway, AT_ONCE_S)
        redis.start()
        self.check_back(gateway)
        gateway.stop()
