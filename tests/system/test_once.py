"""Posts whose outcome a client does not learn, repeated under their idempotency keys through another gateway."""

from __future__ import annotations

import signal
from concurrent.futures import ThreadPoolExecutor

from twisted.trial.unittest import SynchronousTestCase

from tests.system.gateway import ANSWER_S, Answer, Gateway, Http, RedisProcess, until

KEY = {"Idempotency-Key": "order-1"}
POST = {"messages": [{"body": 1}, {"body": 2}]}


class RepeatedPosts(SynchronousTestCase):
    """Two gateways on one Redis."""

    def setUp(self) -> None:
        self.redis = RedisProcess()
        self.addCleanup(self.redis.stop)
        settings = {"STORAGE_COMMAND_TIMEOUT_S": "2", "STORAGE_RECONNECT_MAX_S": "0.2"}
        self.gateways = [Gateway(storage=self.redis.unix, settings=settings) for _ in range(2)]
        for each in self.gateways:
            self.addCleanup(each.kill)
        self.here, self.there = (Http(each.http, "p") for each in self.gateways)
        for http in (self.here, self.there):
            self.addCleanup(http.close)

    def post(self, http: Http) -> Answer:
        """Post under the key."""
        return http("POST", "/v2/queues/q/messages", POST, KEY)

    def test_two_gateways(self) -> None:
        """Another gateway, and one that is started later, give the answer of the first time."""
        first, second = self.post(self.here), self.post(self.there)
        self.gateways[0].kill()
        later = Gateway(storage=self.redis.unix)
        self.addCleanup(later.kill)
        third = self.post(Http(later.http, "p"))
        self.assertEqual([answer.status for answer in (first, second, third)], [201] * 3)
        self.assertEqual([second.body, third.body], [first.body] * 2)
        self.assertEqual(
            [answer.headers["Idempotency-Replayed"] for answer in (first, second, third)], [None, "true", "true"]
        )
        self.assertEqual(self.there.all_messages("q"), [1, 2])

    def test_unknown_outcome(self) -> None:
        """Where Redis answered too late, so that the outcome was unknown, the post is repeated and stored once."""
        self.post(self.there)
        self.there("DELETE", "/v2/queues/q")
        self.redis.signal(signal.SIGSTOP)
        with ThreadPoolExecutor(1) as threads:
            asking = threads.submit(self.post, self.here)
            answer = asking.result(ANSWER_S)
        self.assertEqual(answer.status, 503)
        self.assertIn("outcome is unknown", answer.json["description"])
        self.redis.signal(signal.SIGCONT)
        # What the other gateway asked for in the meantime may have taken it its connection.
        until(lambda: self.there("GET", "/v2/queues/q/stats").status == 200, ANSWER_S, "the other gateway has Redis again")
        until(lambda: self.there.all_messages("q") == [1, 2], ANSWER_S, "what was sent takes effect")
        until(lambda: self.post(self.here).status == 201, ANSWER_S, "the gateway has Redis again")
        again = self.post(self.there)
        self.assertEqual((again.status, again.headers["Idempotency-Replayed"]), (201, "true"))
        self.assertEqual(self.there.all_messages("q"), [1, 2])
