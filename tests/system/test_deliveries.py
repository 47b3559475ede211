"""What is owed to a subscriber is delivered, in order, whatever dies."""

from __future__ import annotations

from collections import defaultdict
from contextlib import closing
from typing import Any
from unittest.mock import ANY

from twisted.trial.unittest import SynchronousTestCase

from tests.system.gateway import Gateway, GatewayTestCase, Http, RedisProcess, Socket, until
from tests.system.receiver import Hook, Receiver

SUBSCRIBERS = 8
POSTS = 1250
AT_ONCE = 50
"""Messages in a request."""

KILLS = 10
RESUMED_S = 120.0
"""How long deliveries may take to go on, on a machine that is busy with tests; a lease lasts ten seconds."""


def numbers(hooks: list[Hook]) -> dict[str, list[int]]:
    """The numbers that each path got, in the order in which they came first."""
    found: dict[str, dict[int, None]] = defaultdict(dict)
    for hook in hooks:
        found[hook.path][hook.json["body"]["n"]] = None
    return {path: list(got) for path, got in found.items()}


class KilledWhileDelivering(SynchronousTestCase):
    """SIGKILL of the gateways that deliver, again and again."""

    def setUp(self) -> None:
        self.redis = RedisProcess()
        self.addCleanup(self.redis.stop)
        self.receiver = Receiver()
        self.addCleanup(self.receiver.close)

    def gateway(self) -> Gateway:
        """A new gateway on the same Redis."""
        gateway = Gateway(storage=self.redis.unix)
        self.addCleanup(gateway.kill)
        return gateway

    def test_nothing_lost_and_in_order(self) -> None:
        """Two gateways deliver ten thousand notifications and are killed ten times meanwhile: every subscriber gets all of
        them, each first after the one before it."""
        gateways = [self.gateway(), self.gateway()]
        with closing(Http(gateways[0].http, "p")) as http:
            for number in range(SUBSCRIBERS):
                asked = {"subscriber": f"{self.receiver.url}/{number}", "ttl": 3600}
                self.assertEqual(http("POST", "/v2/queues/q/subscriptions", asked).status, 201)
            for first in range(0, POSTS, AT_ONCE):
                self.assertEqual(http.post("q", *({"n": n} for n in range(first, first + AT_ONCE))).status, 201)
        total = SUBSCRIBERS * POSTS
        for kill in range(KILLS):
            enough = total * (kill + 1) // (KILLS + 2)
            self.receiver.reach(lambda hooks, enough=enough: len(hooks) >= enough, RESUMED_S)  # type: ignore[misc]
            gateways[kill % 2].kill()
            gateways[kill % 2] = self.gateway()
        hooks = self.receiver.reach(
            lambda hooks: len({(hook.path, hook.headers["webhook-id"]) for hook in hooks}) >= total, RESUMED_S
        )
        self.assertEqual(numbers(hooks), {f"/{number}": list(range(POSTS)) for number in range(SUBSCRIBERS)})
        # What a gateway had sent and not yet reported when it was killed comes again: a batch of a subscriber at most.
        self.assertLess(len(hooks) - total, KILLS * SUBSCRIBERS * 20)
        ids = {hook.headers["webhook-id"]: (hook.path, hook.body) for hook in hooks}
        self.assertEqual([ids[hook.headers["webhook-id"]] for hook in hooks], [(hook.path, hook.body) for hook in hooks])


class Deliveries(GatewayTestCase):
    """Deliveries of a gateway as it is started."""

    def setUp(self) -> None:
        super().setUp()
        self.receiver = Receiver()
        self.addCleanup(self.receiver.close)

    def test_both_transports(self) -> None:
        """What is posted over HTTP, and by WebSocket, is sent on."""
        http, socket = self.http(), self.socket()
        subscriber = f"{self.receiver.url}/hook?x=1"
        made = socket("subscription_create", queue_name="q", subscriber=subscriber, ttl=300, options={})
        self.assertEqual(made.status, 201, made)
        self.assertEqual(http.post("q", {"n": 1}).status, 201)
        self.assertEqual(socket("message_post", queue_name="q", messages=[{"body": {"n": 2}, "ttl": 60}]).status, 201)
        hooks = self.receiver.reach(lambda hooks: len(hooks) == 2, RESUMED_S)
        self.assertEqual(
            [hook.json for hook in hooks],
            [
                {"body": {"n": 1}, "ttl": 3600, "queue_name": "q", "Message_Type": "Notification"},
                {"body": {"n": 2}, "ttl": 60, "queue_name": "q", "Message_Type": "Notification"},
            ],
        )
        self.assertEqual([hook.path for hook in hooks], ["/hook?x=1"] * 2)

    def test_topics(self) -> None:
        """Subscribers of a topic are told what is posted to it, and not what is posted to the queue of that name."""
        http = self.http()
        made = http("POST", "/v2/topics/news/subscriptions", {"subscriber": f"{self.receiver.url}/topic"})
        self.assertEqual(made.status, 201, made)
        http.post("news", {"n": 1})
        posted = http("POST", "/v2/topics/news/messages", {"messages": [{"body": {"n": 2}}]})
        self.assertEqual(posted.status, 201, posted)
        (hook,) = self.receiver.reach(bool, RESUMED_S)
        self.assertEqual(hook.json["body"], {"n": 2})

    def test_given_up_and_sent_again(self) -> None:
        """What the retries did not bring home is listed for the operator, who has it sent again."""
        http = self.http()
        admin = {"X-ROLES": "admin"}
        refused = [True]
        receiver = Receiver(lambda hook: 404 if refused[0] and hook.json["body"]["n"] == 1 else 200)
        self.addCleanup(receiver.close)
        asked = {"subscriber": f"{receiver.url}/secret-path"}
        self.assertEqual(http("POST", "/v2/queues/q/subscriptions", asked).status, 201)
        self.assertEqual(http.post("q", {"n": 1}, {"n": 2}).status, 201)
        receiver.reach(lambda hooks: len(hooks) == 2, RESUMED_S)
        found: list[Any] = []

        def kept() -> bool:
            found[:] = http("GET", "/v2/queues/q/deliveries", headers=admin).json["deliveries"]
            return bool(found)

        until(kept, RESUMED_S, "a delivery that was given up is listed")
        (one,) = found
        self.assertEqual((one["attempts"], one["reason"], one["subscription_id"]), (1, "it answered 404", ANY))
        self.assertEqual(http("GET", "/v2/queues/q/deliveries").status, 403)
        refused[0] = False
        self.assertEqual(http("POST", "/v2/queues/q/deliveries", {"ids": [one["id"]]}, admin).status, 200)
        hooks = receiver.reach(lambda hooks: len(hooks) == 3, RESUMED_S)
        self.assertEqual([hook.json["body"]["n"] for hook in hooks], [1, 2, 1])
        self.assertEqual(http("GET", "/v2/queues/q/deliveries", headers=admin).json["deliveries"], [])
        said = self.gateway.output[self._said :]
        self.assertEqual(said.count("it answered 404"), 1, said)
        self.assertNotIn("secret-path", said)

    def test_retries(self) -> None:
        """A server that fails is tried again at once, and what follows waits for it."""
        http = self.http()
        failures = [500, 503]
        receiver = Receiver(lambda hook: failures.pop() if failures else 200)
        self.addCleanup(receiver.close)
        http("POST", "/v2/queues/q/subscriptions", {"subscriber": receiver.url})
        http.post("q", {"n": 1}, {"n": 2})
        hooks = receiver.reach(lambda hooks: len(hooks) == 4, RESUMED_S)
        self.assertEqual([hook.json["body"]["n"] for hook in hooks], [1, 1, 1, 2])
        self.assertEqual([hook.headers["webhook-attempt"] for hook in hooks], ["1", "2", "3", "1"])
        self.assertEqual(len({hook.headers["webhook-id"] for hook in hooks}), 2)

    def test_encrypted(self) -> None:
        """Subscribers of a queue whose bodies are encrypted get them plain."""
        http, socket = self.http(), self.socket()
        http("PUT", "/v2/queues/q", {"_enable_encrypt_messages": True})
        http("POST", "/v2/queues/q/subscriptions", {"subscriber": self.receiver.url})
        self.assertEqual(socket("subscription_create", queue_name="q", ttl=300).status, 201)
        http.post("q", {"n": "secret"})
        (hook,) = self.receiver.reach(bool, RESUMED_S)
        self.assertEqual((hook.json["body"], socket.pushed()["body"]), ({"n": "secret"}, {"n": "secret"}))


class Confirmations(SynchronousTestCase):
    """A gateway that wants subscribers to confirm."""

    def test_flow(self) -> None:
        """An unconfirmed subscriber gets nothing but the question; what it answers begins and ends its deliveries; another
        address has to confirm again."""
        settings = {"NOTIFICATION_REQUIRE_CONFIRMATION": "true", "SIGNED_URL_SECRET_KEY": "s3cr3t"}
        gateway = Gateway(settings=settings)
        self.addCleanup(gateway.kill)
        receiver = Receiver()
        self.addCleanup(receiver.close)
        with closing(Http(gateway.http, "p")) as http:
            made = http("POST", "/v2/queues/q/subscriptions", {"subscriber": f"{receiver.url}/a"})
            subscription = f"/v2/queues/q/subscriptions/{made.json['subscription_id']}"
            http.post("q", {"n": 1})
            (asked,) = receiver.reach(bool, RESUMED_S)
            self.assertEqual(asked.json["Message_Type"], "SubscriptionConfirmation")
            self.answer(http, asked, "SubscribeBody")
            http.post("q", {"n": 2})
            told = receiver.reach(lambda hooks: len(hooks) == 2, RESUMED_S)[1]
            self.assertEqual(told.json["body"], {"n": 2})
            self.answer(http, asked, "UnsubscribeBody")
            http.post("q", {"n": 3})
            ended = receiver.reach(lambda hooks: len(hooks) == 3, RESUMED_S)[2]
            self.assertEqual(ended.json["Message_Type"], "UnsubscribeConfirmation")
            self.answer(http, ended, "SubscribeBody")
            self.assertEqual(http("PATCH", subscription, {"subscriber": f"{receiver.url}/b"}).status, 204)
            http.post("q", {"n": 4})
            again = receiver.reach(lambda hooks: len(hooks) == 4, RESUMED_S)[3]
            self.assertEqual((again.path, again.json["Message_Type"]), ("/b", "SubscriptionConfirmation"))
            self.answer(http, again, "SubscribeBody")
            http.post("q", {"n": 5})
            last = receiver.reach(lambda hooks: len(hooks) == 5, RESUMED_S)[4]
            self.assertEqual((last.path, last.json["body"]), ("/b", {"n": 5}))

    def answer(self, http: Http, hook: Hook, which: str) -> None:
        """Answer a question as it says."""
        said = hook.json
        headers = {name: said[name] for name in ("URL-Signature", "URL-Expires", "URL-Methods", "URL-Paths")}
        self.assertEqual(http("PUT", said["URL-Paths"], said[which], headers).status, 204)


class Pushes(SynchronousTestCase):
    """Pushes to sockets, through gateways in processes of their own."""

    def setUp(self) -> None:
        redis = RedisProcess()
        self.addCleanup(redis.stop)
        self.gateways = [Gateway(storage=redis.unix) for _ in range(2)]
        for gateway in self.gateways:
            self.addCleanup(gateway.kill)

    def test_through_another_gateway(self) -> None:
        """What is posted through one gateway is pushed to a socket of another, in order."""
        one, other = self.gateways
        with closing(Socket(one.websocket, "p")) as socket, closing(Http(other.http, "p")) as http:
            self.assertEqual(socket("subscription_create", queue_name="q", ttl=300).status, 201)
            self.assertEqual(http.post("q", {"n": 1}, {"n": 2}).status, 201)
            for n in (1, 2):
                pushed = {"body": {"n": n}, "ttl": 3600, "queue_name": "q", "Message_Type": "Notification"}
                self.assertEqual(socket.pushed(), pushed)

    def test_answers_before_pushes(self) -> None:
        """The answer to a post comes before the pushes that the post makes."""
        with closing(Socket(self.gateways[0].websocket, "p")) as socket:
            self.assertEqual(socket("subscription_create", queue_name="q", ttl=300).status, 201)
            for n in range(50):
                posted = socket("message_post", queue_name="q", messages=[{"body": n, "ttl": 60}])
                self.assertEqual(posted.status, 201)
                self.assertEqual(socket.pushed()["body"], n)

    def test_gone_with_its_gateway(self) -> None:
        """The subscriptions of sockets end with the socket, and with a gateway that was killed; others stay."""
        one, other = self.gateways
        with closing(Http(other.http, "p")) as http:

            def listed() -> int:
                return len(http("GET", "/v2/queues/q/subscriptions").json["subscriptions"])

            sockets = [Socket(one.websocket, "p") for _ in range(3)]
            for socket in sockets:
                self.assertEqual(socket("subscription_create", queue_name="q", ttl=300).status, 201)
            http("POST", "/v2/queues/q/subscriptions", {"subscriber": "http://127.0.0.1:1/"})
            self.assertEqual(listed(), 4)
            sockets[0].close()
            until(lambda: listed() == 3, RESUMED_S, "the subscription of a socket ends with it")
            one.kill()
            until(lambda: listed() == 1, RESUMED_S, "the subscriptions of a gateway's sockets end with it")
