"""Topics over HTTP: what they have in common with queues is tested there, and by the table over real sockets."""

from __future__ import annotations

from typing import Any

from twisted.internet.task import Clock
from twisted.logger import capturedLogs, formatEvent
from twisted.trial.unittest import SynchronousTestCase

from tests.helpers import HttpApi, build_operations
from tests.transport.http.base import SEVEN, SiteCase
from zaqar_gateway.limits import Limits
from zaqar_gateway.operations.registry import PATCH_TYPE, field_of
from zaqar_gateway.storage.memory import MemoryStorage
from zaqar_gateway.transport import audit

T = "/v2/topics/t"
THREE = {name: SEVEN[name] for name in ("_max_messages_post_size", "_default_message_ttl", "_default_message_delay")}
SHARED = (
    *(f"message_{verb}" for verb in ("list", "events", "get_many", "post", "delete_many", "get", "delete")),
    *(f"subscription_{verb}" for verb in ("list", "create", "get", "update", "delete", "confirm")),
    "delivery_list",
    "delivery_resend",
)


class RowTests(SynchronousTestCase):
    """The rows of the registry."""

    def setUp(self) -> None:
        self.rows = {row.name: row for row in build_operations(MemoryStorage(Clock())).operations}

    def test_rules(self) -> None:
        """Topics have rules of their own, what is in them those of what it is (API reference, "Policy")."""
        rules = {name: row.rule for name, row in self.rows.items() if name.startswith("topic_")}
        expected = {
            "topic_list": "topics:get_all",
            "topic_get": "topics:get",
            "topic_create": "topics:create",
            "topic_update": "topics:update",
            "topic_delete": "topics:delete",
            "topic_get_stats": "topics:stats",
            "topic_purge": "topics:purge",
        }
        self.assertEqual(rules, expected | {f"topic_{name}": self.rows[name].rule for name in SHARED})

    def test_fields(self) -> None:
        """The name in the path of a topic is the field that operations have for a name."""
        self.assertEqual((field_of("topic_name"), field_of("message_id")), ("queue_name", "message_id"))
        for name, row in self.rows.items():
            if name.startswith("topic_") and row.http is not None:
                self.assertTrue(row.http.path.startswith("/v2/topics"), name)
                self.assertNotIn("queue_name", row.http.path)
                self.assertIsNone(row.frame)


class TopicTests(SiteCase):
    """One topic."""

    def patch(self, *changes: Any) -> Any:
        """Change the metadata."""
        return self.api("PATCH", T, list(changes), {"Content-Type": PATCH_TYPE})

    def test_create(self) -> None:
        """Creating is 201, creating again 204; both point at the topic and have no body."""
        for status in (201, 204):
            response = self.api("PUT", T, {"a": 1})
            self.assertEqual((response.status, response.body, response.header("Location")), (status, b"", T))
        self.assertEqual(self.api("GET", T).json, {"a": 1, **THREE})
        self.assertEqual(self.api("GET", "/v2/queues/t").json, SEVEN)

    def test_listing(self) -> None:
        """The listing is of topics, with hrefs of topics, and metadata as GET shows them."""
        for name in ("b", "a"):
            self.api("PUT", f"/v2/topics/{name}", {"n": name})
        self.assertEqual(
            self.api("GET", "/v2/topics?limit=1&detailed=true&n=a").json,
            {
                "topics": [{"name": "a", "href": "/v2/topics/a", "metadata": {"n": "a", **THREE}}],
                "links": [{"rel": "next", "href": "/v2/topics?limit=1&detailed=true&marker=a"}],
            },
        )
        self.assertEqual(self.api("GET", "/v2/topics?marker=b").json, {"topics": [], "links": []})

    def test_messages(self) -> None:
        """Messages come back under the hrefs that their post gave."""
        response = self.api("POST", f"{T}/messages", {"messages": [{"body": 1}, {"body": 2}]})
        ids = [href.removeprefix(f"{T}/messages/") for href in response.json["resources"]]
        self.assertEqual((response.status, response.header("Location")), (201, f"{T}/messages?ids={','.join(ids)}"))
        for number, href in enumerate(response.json["resources"]):
            self.assertEqual(
                self.api("GET", href).json,
                {"id": ids[number], "href": href, "ttl": 3600, "age": 0, "body": number + 1},
            )
        location = response.header("Location")
        assert location is not None
        self.assertEqual([one["href"] for one in self.api("GET", location).json["messages"]], response.json["resources"])
        self.assertEqual(self.api("DELETE", location).status, 204)
        self.assertRefused(self.api("GET", location), 404, "Not found")

    def test_refusals_speak_of_topics(self) -> None:
        """What is missing is said to be a topic, or in one."""
        response = self.patch({"op": "add", "path": "/metadata/a", "value": 1})
        self.assertRefused(response, 404, "Not found")
        self.assertEqual(response.json["description"], "The topic t does not exist.")
        response = self.api("GET", f"{T}/messages/nada")
        self.assertEqual(response.json["description"], "Message nada does not exist in topic t.")

    def test_metadata_rules(self) -> None:
        """Reserved keys are checked as those of queues, those that play no role as well."""
        for metadata in (
            {"_default_message_ttl": 59},
            {"_max_messages_post_size": 0},
            {"_default_message_delay": "1"},
            {"_max_claim_count": "1"},
            {"_dead_letter_queue_messages_ttl": 0},
        ):
            self.assertRefused(self.api("PUT", T, metadata), 400, "Invalid API request")
        self.api("PUT", T, {"_default_message_ttl": 77, "_max_messages_post_size": 100})
        self.assertRefused(
            self.patch({"op": "add", "path": "/metadata/_default_message_ttl", "value": 59}), 400, "Invalid request body"
        )
        (href,) = self.api("POST", f"{T}/messages", {"messages": [{"body": 1}]}).json["resources"]
        self.assertEqual(self.api("GET", href).json["ttl"], 77)
        response = self.api("POST", f"{T}/messages", {"messages": [{"body": "x" * 100}]})
        self.assertRefused(response, 400, "Invalid API request")

    def test_no_dead_letters(self) -> None:
        """A topic that names no valid dead letter queue is no matter for the log, as a queue is; nor is one that names itself."""
        with capturedLogs() as logged:
            self.assertEqual(self.api("PUT", T, {"_max_claim_count": 1, "_dead_letter_queue": "t"}).status, 201)
            self.assertEqual(self.api("PUT", f"{T}2", {"_max_claim_count": 1, "_dead_letter_queue": "no name"}).status, 201)
            self.api("PUT", "/v2/queues/t", {"_max_claim_count": 1, "_dead_letter_queue": "no name"})
        told = [event for event in logged if event["log_namespace"] != audit.NAMESPACE]
        self.assertEqual(["topic" in formatEvent(event) for event in told], [False])

    def test_delays(self) -> None:
        """A topic with a default delay keeps messages back from listings, and not from their ids."""
        self.api("PUT", T, {"_default_message_delay": 5})
        post = {"messages": [{"body": 1}, {"body": 2, "delay": 0}]}
        hrefs = self.api("POST", f"{T}/messages", post).json["resources"]
        shown = [one["body"] for one in self.api("GET", f"{T}/messages?echo=true").json["messages"]]
        self.assertEqual(shown, [2])
        self.assertEqual(self.api("GET", hrefs[0]).json["body"], 1)
        self.assertRefused(
            self.api("POST", f"{T}/messages", {"messages": [{"body": 1, "delay": 901}]}), 400, "Invalid API request"
        )

    def test_limits(self) -> None:
        """Topics have the limits of queues."""
        api = HttpApi(MemoryStorage(Clock()), Limits(queues_page_max=2, queue_metadata_max=64, post_size_max=128))
        self.assertRefused(api("GET", "/v2/topics?limit=3"), 400, "Invalid API request")
        self.assertRefused(api("PUT", T, b'{"a": "%s"}' % (b"x" * 56)), 400, "Invalid API request")
        self.assertRefused(
            api("POST", f"{T}/messages", {"messages": [{"body": "x" * 128}]}), 400, "Invalid API request"
        )
