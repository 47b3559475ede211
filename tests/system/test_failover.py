"""A gateway on a Redis that Sentinel watches: nothing that was acknowledged is lost when the master is."""

from __future__ import annotations

import os
import signal
import threading
from contextlib import closing
from uuid import uuid4

from tests.certificates import Authority, write
from tests.system.gateway import ANSWER_S, START_S, Gateway, Http, Socket, new_directory, until
from tests.system.sentinels import WatchedRedis
from tests.system.test_launch import LaunchTestCase

REPLICATED = {"STORAGE_DURABILITY": "replicated", "STORAGE_REPLICAS_TIMEOUT_S": "3"}


class Producer:
    """Posts one message after the other, from a thread of its own.

    :ivar acknowledged: the bodies that were.
    :ivar posted: how many were posted.
    """

    def __init__(self, gateway: Gateway, project: str) -> None:
        self.acknowledged: list[int] = []
        self.posted = 0
        self._gateway, self._project = gateway, project
        self._ends = threading.Event()
        self._thread = threading.Thread(target=self._post)
        self._thread.start()

    def _post(self) -> None:
        with closing(Http(self._gateway.http, self._project)) as http:
            while not self._ends.is_set():
                number, self.posted = self.posted, self.posted + 1
                if http.post("work", number).status == 201:
                    self.acknowledged.append(number)

    def more(self, count: int) -> None:
        """Wait until so many more are acknowledged."""
        wanted = len(self.acknowledged) + count
        until(lambda: len(self.acknowledged) >= wanted, ANSWER_S, f"{count} more messages are acknowledged")

    def stop(self) -> None:
        """Post no more."""
        self._ends.set()
        self._thread.join()


class TlsTests(LaunchTestCase):
    """TLS to the Sentinels and to the master."""

    def setUp(self) -> None:
        super().setUp()
        authority = Authority()
        certificate, key = authority.issue("redis", "127.0.0.1")
        self.files = write(new_directory(), authority=authority.certificate, certificate=certificate, key=key)
        named = {f"tls-{kind}-file": self.files[name] for kind, name in (("ca-cert", "authority"), ("cert", "certificate"), ("key", "key"))}
        self.redis = WatchedRedis(1, named | {"tls-replication": "yes", "tls-auth-clients": "no"})
        self.addCleanup(self.redis.stop)

    def test_failover(self) -> None:
        """The master is found, and followed; where its certificate is of nobody who is trusted nothing is said to it."""
        gateway = self.gateway(storage=self.redis.uri(), environ={"SSL_CERT_FILE": self.files["authority"]})
        with closing(Http(gateway.http, uuid4().hex)) as http:
            self.assertEqual(http.post("work", 1).status, 201)
            self.redis.master.kill()
            gateway.wait_for("Redis is there again", ANSWER_S)
            until(lambda: http.post("work", 2).status == 201, ANSWER_S, "a post to the new master")
        gateway.stop()
        stranger = self.gateway(storage=self.redis.uri(), environ={"SSL_CERT_FILE": os.devnull})
        stranger.wait_for("No Sentinel tells where the master orders is; .*certificate verify failed", START_S)
        stranger.stop()


class FailoverTests(LaunchTestCase):
    """A master and two replicas, of which one has each message before it is acknowledged."""

    def setUp(self) -> None:
        super().setUp()
        self.project = uuid4().hex
        self.redis = WatchedRedis(replicas=2)
        self.addCleanup(self.redis.stop)

    def check(self, how: str) -> None:
        """Take the master away, and look for all that was acknowledged."""
        gateway = self.gateway(storage=self.redis.uri(), settings=REPLICATED)
        with closing(Socket(gateway.websocket, self.project)) as socket, closing(Http(gateway.http, self.project)) as http:
            self.assertEqual(socket("subscription_create", queue_name="news", ttl=3600).status, 201)
            producer = Producer(gateway, self.project)
            try:
                producer.more(50)
                master = self.redis.master
                if how == "killed":
                    master.kill()
                else:
                    master.signal(signal.SIGSTOP)
                if how == "stalled":
                    until(lambda: self.redis.is_failing_over(master), ANSWER_S, "a failover goes on")
                    master.signal(signal.SIGCONT)
                gateway.wait_for("Redis is there again", ANSWER_S)
                producer.more(50)
                if how == "killed":
                    master.start()
                else:
                    master.signal(signal.SIGCONT)
                producer.more(50)
            finally:
                producer.stop()
            found = http.all_messages("work")
            self.assertEqual([body for body in found if body in set(producer.acknowledged)], producer.acknowledged)
            self.assertNotEqual(self.redis.master, master)
            # Who listens to the new master hears of what is posted there; while the old one turns to it a post may have to be repeated.
            key = {"Idempotency-Key": uuid4().hex}
            posted = {"messages": [{"body": "there"}]}
            until(lambda: http("POST", "/v2/queues/news/messages", posted, key).status == 201, ANSWER_S, "a post is acknowledged")
            self.assertEqual(socket.pushed()["body"], "there")
        gateway.stop()

    def test_master_is_killed(self) -> None:
        """A master that ends, and comes back later, takes nothing with it."""
        self.check("killed")

    def test_master_freezes(self) -> None:
        """A master that does not answer, and later goes on, is left as soon as there is another."""
        self.check("frozen")

    def test_master_stalls(self) -> None:
        """A master that goes on while another one takes its place acknowledges nothing that is lost with it."""
        self.check("stalled")

    def test_too_few_replicas(self) -> None:
        """Where no replica has it a post is 503 and says that its outcome is unknown; what there is can be read."""
        gateway = self.gateway(storage=self.redis.uri(), settings=REPLICATED)
        with closing(Http(gateway.http, self.project)) as http:
            self.assertEqual(http.post("work", 1).status, 201)
            for each in self.redis.servers:
                if each is not self.redis.master:
                    each.signal(signal.SIGSTOP)
            refused = http.post("work", 2)
            self.assertEqual(refused.status, 503)
            self.assertIn("outcome is unknown", refused.body.decode())
            self.assertEqual(http("GET", "/v2/queues/work/stats").status, 200)
            self.assertIn(1, http.all_messages("work"))
            for each in self.redis.servers:
                each.signal(signal.SIGCONT)
            until(lambda: http.post("work", 3).status == 201, START_S, "a replica is there again")
        gateway.stop()

    def test_wrong_settings(self) -> None:
        """A name that no Sentinel knows, and a password that none accepts, are told in the log, without the password."""
        for where, told in (
            (self.redis.uri(name="nobody"), "No Sentinel tells where the master nobody is; .*No such master"),
            (self.redis.uri(password="wr0ng"), "No Sentinel tells where the master orders is; .*WRONGPASS"),
        ):
            gateway = self.gateway(storage=where)
            gateway.wait_for(told, START_S)
            with closing(Http(gateway.http, self.project)) as http:
                self.assertEqual(http.post("work", 1).status, 503)
            gateway.stop()
            self.assertNotIn("wr0ng", gateway.output)
