"""A gateway process whose settings bound what it takes on."""

from __future__ import annotations

import socket as sockets
from contextlib import closing

from twisted.trial.unittest import SynchronousTestCase

from tests.system.gateway import TWISTD, Gateway, Http, Socket


class BoundsTests(SynchronousTestCase):
    """Settings, as they are given to a process, are in effect."""

    def gateway(self, storage: str = "", **settings: str) -> Gateway:
        """A gateway that is ready."""
        made = Gateway(storage=storage, settings=settings)
        self.addCleanup(made.kill)
        return made

    def test_rates_and_quotas(self) -> None:
        """Rates and quotas hold on both transports, with the store that a gateway has without a configuration."""
        gateway = self.gateway(RATES_REQUESTS_PER_S="1", RATES_REQUESTS_BURST="20", QUOTAS_QUEUES="1", QUOTAS_MESSAGES="1")
        with closing(Http(gateway.http, "p")) as http, closing(Socket(gateway.websocket, "p")) as socket:
            self.assertEqual(http("PUT", "/v2/queues/a").status, 201)
            self.assertEqual(http("PUT", "/v2/queues/b").status, 403)
            self.assertEqual(socket("queue_create", queue_name="b").status, 403)
            self.assertEqual([http.post("a", 1).status, http.post("a", 2).status], [201, 403])
            self.assertEqual(socket("message_post", queue_name="a", messages=[{"body": 3, "ttl": 60}]).status, 403)
            while (answer := http("GET", "/v2/queues")).status == 200:
                pass
            self.assertEqual((answer.status, answer.json["title"]), (429, "Too many requests"))
            self.assertGreaterEqual(int(answer.headers["Retry-After"]), 1)
            for _ in range(10):
                reply = socket("queue_list")
                if reply.status != 200:
                    break
            self.assertEqual(reply.status, 429)
        with closing(Http(gateway.http, "other")) as http:
            self.assertEqual(http("GET", "/v2/queues").status, 200)
        self.assertNotIn("is refused by", gateway.output)
        gateway.stop()

    def test_connections(self) -> None:
        """Connections of an address are bounded, and loopback as well where it is counted."""
        gateway = self.gateway(
            "memory:", BOUNDS_MAX_CONNECTIONS_PER_ADDRESS="2", BOUNDS_UNCOUNTED_NETWORKS="[]", HTTP_MAX_HEADERS="16"
        )
        with closing(Http(gateway.http, "p")) as http, closing(Socket(gateway.websocket, "p")) as socket:
            self.assertEqual(http("GET", "/v2/queues").status, 200)
            self.assertEqual(socket("queue_list").status, 200)
            with closing(Http(gateway.http, "p")) as third:
                self.assertEqual(third("GET", "/v2/queues").status, 429)
            self.assertEqual(http("GET", "/v2/queues", None, {f"X-{n}": "x" for n in range(16)}).status, 431)
        gateway.stop()

    def test_all_ids_of_a_page(self) -> None:
        """A request can name as many messages, and claims, as the settings allow, however it lists them."""
        gateway = self.gateway(
            "memory:",
            TRANSPORT_MAX_MESSAGES_PER_PAGE="1000",
            TRANSPORT_MAX_MESSAGES_PER_CLAIM_OR_POP="1000",
            TRANSPORT_MESSAGE_DELETE_WITH_CLAIM_ID="true",
        )
        with closing(Http(gateway.http, "p")) as http:
            posted = http("POST", "/v2/queues/q/messages", {"messages": [{"body": n} for n in range(1000)]})
            ids = [path.rpartition("/")[2] for path in posted.json["resources"]]
            claim = http("POST", "/v2/queues/q/claims?limit=1000").headers["Location"].rpartition("/")[2]
            for listed in (",".join(ids), "%2C".join(ids), "&ids=".join(ids)):
                found = http("GET", f"/v2/queues/q/messages?ids={listed}")
                self.assertEqual((found.status, len(found.json["messages"])), (200, 1000))
            claims = "&claim_ids=".join([claim] * 1000)
            headers = {"X-Filler": "x" * 20000}  # what a head may have beside its request line stays
            deleted = http("DELETE", f"/v2/queues/q/messages?ids={'&ids='.join(ids)}&claim_ids={claims}", None, headers)
            self.assertEqual(deleted.status, 204)
            self.assertEqual(http("GET", f"/v2/queues/q/messages?name={'x' * 70000}").status, 414)
        gateway.stop()

    def test_hundred_times_the_limit(self) -> None:
        """A body of a hundred times the limit is taken in before its connection serves the next request, whatever the limit is."""
        gateway = self.gateway("memory:", TRANSPORT_MAX_MESSAGES_POST_SIZE="524288")
        with closing(Http(gateway.http, "p")) as http:
            refused = http("POST", "/v2/queues/q/messages", b"x" * (100 * 524288))
            self.assertEqual((refused.status, refused.headers["Connection"]), (400, None))
        gateway.stop()

    def test_few_files(self) -> None:
        """Subscribers that do not answer, more than the process may have files, leave some for clients and for the store."""
        gateway = Gateway(
            command=["/bin/sh", "-c", 'ulimit -n 256; exec "$@"', "sh", *TWISTD],
            settings={"NOTIFICATION_MAX_DELIVERIES_PER_HOST": "1000"},
        )
        self.addCleanup(gateway.kill)
        self.assertIn("32 deliveries are made at one time", gateway.output)
        with closing(sockets.create_server(("127.0.0.1", 0), backlog=400)) as silent:
            hook = f"http://127.0.0.1:{silent.getsockname()[1]}/"
            with closing(Http(gateway.http, "p")) as http:
                for number in range(400):
                    asked = {"subscriber": f"{hook}{number}", "ttl": 600}
                    self.assertEqual(http("POST", "/v2/queues/q/subscriptions", asked).status, 201)
                self.assertEqual(http.post("q", 1).status, 201)
            silent.settimeout(1)
            try:
                while True:
                    self.addCleanup(silent.accept()[0].close)
            except TimeoutError:
                pass  # there are as many as there may be
            for _ in range(20):
                with closing(Http(gateway.http, "p")) as http:
                    self.assertEqual(http.post("other", 1).status, 201)
        self.assertNotIn("Too many open files", gateway.output)
        self.assertNotIn("EMFILE", gateway.output)
