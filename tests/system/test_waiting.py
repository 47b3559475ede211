"""Requests that wait, through two gateways on one Redis, as they are started and stopped."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any
from urllib.parse import urlsplit

from twisted.trial.unittest import SynchronousTestCase

from tests.system.gateway import ANSWER_S, CLIENT, Answer, Gateway, GatewayTestCase, Http, RedisProcess, Socket, until

SOON_S = 4.5
"""Within what time somebody is woken by a ring, on a machine that is busy with tests; it is some milliseconds on one that is
idle, and a wait that nothing rings for would take five seconds or more."""

BEFORE_THE_END_S = 14.0
"""What comes within this time does not wait for the end of a wait of 20 seconds, nor for what a gateway gives those who linger
when it stops, 15."""

GOOD_FOR_S = 8
"""How long a signature is good: long enough to be used before."""


class TwoGateways(SynchronousTestCase):
    """Two gateways on one Redis."""

    def setUp(self) -> None:
        self.redis = RedisProcess()
        self.addCleanup(self.redis.stop)
        self.gateways = [Gateway(storage=self.redis.unix) for _ in range(2)]
        for each in self.gateways:
            self.addCleanup(each.kill)
        self.threads = ThreadPoolExecutor(20)
        self.addCleanup(self.threads.shutdown)

    def http(self, which: int) -> Http:
        """A connection to one of them."""
        http = Http(self.gateways[which].http, "p")
        self.addCleanup(http.close)
        return http

    def begin(self, ask: Callable[..., Any], *given: Any, **body: Any) -> Future[Any]:
        """Ask for something that waits, and see that it does."""
        before = self.listeners()
        future = self.threads.submit(ask, *given, **body)
        until(lambda: self.listeners() > before or future.done(), ANSWER_S, "somebody waits")
        self.assertFalse(future.done())
        return future

    def listeners(self) -> int:
        """How often queues are listened to."""
        answer = self.redis.ask("PUBSUB NUMSUB zg:{p/a} zg:{p/b} zg:{p/c}", 10)
        return sum(int(line[1:]) for line in answer if line[:1] == b":")

    def test_woken_by_the_other(self) -> None:
        """A post through one gateway wakes whoever waits at the other one, by HTTP or WebSocket."""
        sock = Socket(self.gateways[1].websocket, "p")
        self.addCleanup(sock.close)
        waiting = [
            self.begin(self.http(1), "POST", "/v2/queues/a/claims?wait=20"),
            self.begin(self.http(1), "GET", "/v2/queues/b/messages?echo=true&wait=20"),
            self.begin(sock, "message_delete_many", queue_name="c", pop=1, wait=20),
        ]
        here = self.http(0)
        for queue, future in zip("abc", waiting, strict=True):
            began_s = time.monotonic()
            self.assertEqual(here.post(queue, {"n": 1}).status, 201)
            result = future.result(ANSWER_S)
            self.assertLess(time.monotonic() - began_s, SOON_S)
            document = result.json if isinstance(result, Answer) else result.body
            self.assertEqual([message["body"] for message in document["messages"]], [{"n": 1}])

    def test_each_message_to_one(self) -> None:
        """Of many who wait at two gateways each message is claimed by one, and by one who waited."""
        waiting = [
            self.threads.submit(self.http(number % 2), "POST", "/v2/queues/a/claims?limit=1&wait=20")
            for number in range(12)
        ]
        until(lambda: self.listeners() == 2, ANSWER_S, "both gateways listen")
        self.assertEqual(self.http(0).post("a", *range(6)).status, 201)
        self.assertEqual(self.http(1).post("a", *range(6, 12)).status, 201)
        answers = [future.result(ANSWER_S) for future in waiting]
        self.assertEqual({answer.status for answer in answers}, {201})
        bodies = [message["body"] for answer in answers for message in answer.json["messages"]]
        self.assertEqual(sorted(bodies), list(range(12)))

    def test_stopped(self) -> None:
        """A gateway that is told to stop answers those who wait, and ends at once."""
        waiting = self.begin(self.http(1), "POST", "/v2/queues/a/claims?wait=20")
        began_s = time.monotonic()
        self.gateways[1].stop()
        self.assertEqual(waiting.result(ANSWER_S).status, 204)
        self.assertLess(time.monotonic() - began_s, BEFORE_THE_END_S)

    def test_hung_up(self) -> None:
        """Whoever hangs up, however they do, is not claimed for."""
        before = self.listeners()
        where = urlsplit(self.gateways[1].http)
        head = (
            "POST /v2/queues/a/claims?wait=20 HTTP/1.1\r\nHost: a\r\nX-Project-ID: p\r\n"
            "Client-ID: 3381af92-2b9e-11e3-b191-71861300734c\r\n\r\n"
        )
        plain = socket.create_connection((where.hostname or "", where.port or 0))
        plain.sendall(head.encode())
        sock = Socket(self.gateways[1].websocket, "p")
        sock.send("claim_create", {"queue_name": "b", "wait": 20})
        until(lambda: self.listeners() == before + 2, ANSWER_S, "they wait")
        plain.close()
        sock.close()
        until(lambda: self.listeners() == before, BEFORE_THE_END_S, "they wait no longer")
        here = self.http(0)
        for queue in "ab":
            here.post(queue, 1)
            stats = here("GET", f"/v2/queues/{queue}/stats").json["messages"]
            self.assertEqual((stats["free"], stats["claimed"]), (1, 0))

    def test_lost_ring(self) -> None:
        """Where the connection that listens was lost meanwhile a post is had all the same."""
        waiting = self.begin(self.http(1), "POST", "/v2/queues/a/claims?wait=20")
        self.redis.ask("CLIENT KILL TYPE pubsub", 1)
        self.assertEqual(self.http(0).post("a", 1).status, 201)
        self.assertEqual(waiting.result(ANSWER_S).status, 201)
        self.assertEqual(waiting.result(0).json["messages"][0]["body"], 1)


class Ending(GatewayTestCase):
    """Requests that wait by a signature that ends."""

    def test_signature(self) -> None:
        """They are answered when it does, on both transports, with what there was: here nothing."""
        asked, sock = self.http(), self.socket()
        expires = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(time.time() + GOOD_FOR_S))
        shared = asked("POST", "/v2/queues/q/share", {"methods": ["GET"], "expires": expires}).json
        signed = {
            "URL-Signature": shared["signature"],
            "URL-Expires": shared["expires"],
            "URL-Methods": shared["methods"],
            "URL-Paths": shared["paths"],
        }
        headers = {"Client-ID": CLIENT, "X-Project-ID": self.project, **signed}
        began_s = time.monotonic()
        sock.raw(json.dumps({"action": "message_list", "headers": headers, "body": {"queue_name": "q", "wait": 20}}))
        in_one = {name: value if isinstance(value, str) else ",".join(value) for name, value in signed.items()}
        listed = asked("GET", "/v2/queues/q/messages?wait=20", headers=in_one)
        reply = sock.receive()
        self.assertLess(time.monotonic() - began_s, BEFORE_THE_END_S)
        self.assertEqual((listed.status, listed.json["messages"]), (200, []))
        self.assertEqual((reply.status, reply.body["messages"]), (200, []))
        self.assertEqual(asked("GET", "/v2/queues/q/messages", headers=in_one).status, 404)
