"""The documents at ``/`` and ``/v2/``."""

from __future__ import annotations

from twisted.internet.task import Clock

from tests.helpers import HttpApi
from tests.pooling import memory_process
from tests.transport.http.base import SiteCase
from zaqar_gateway.storage.memory import MemoryStorage

QUEUE = "/v2/queues/{queue_name}"
TOPIC = "/v2/topics/{topic_name}"
TABLE = {
    "queues": ("/v2/queues{?marker,limit,detailed}", "GET"),
    "queue": (QUEUE, "GET PUT DELETE PATCH"),
    "queue_stats": (QUEUE + "/stats", "GET"),
    "queue_share": (QUEUE + "/share", "POST"),
    "queue_purge": (QUEUE + "/purge", "POST"),
    "messages": (QUEUE + "/messages{?marker,limit,echo,include_claimed}", "GET"),
    "post_messages": (QUEUE + "/messages", "POST"),
    "messages_delete": (QUEUE + "/messages{?ids,pop}", "DELETE"),
    "message_delete": (QUEUE + "/messages/{message_id}{?claim}", "DELETE"),
    "message_get": (QUEUE + "/messages/{message_id}", "GET"),
    "claim": (QUEUE + "/claims/{claim_id}", "GET"),
    "patch_claim": (QUEUE + "/claims/{claim_id}", "PATCH"),
    "delete_claim": (QUEUE + "/claims/{claim_id}", "DELETE"),
    "post_claim": (QUEUE + "/claims{?limit}", "POST"),
    "subscriptions_get": (QUEUE + "/subscriptions{?marker,limit}", "GET"),
    "subscriptions_post": (QUEUE + "/subscriptions", "POST"),
    "subscription": (QUEUE + "/subscriptions/{subscriptions_id}", "GET DELETE"),
    "subscription_patch": (QUEUE + "/subscriptions/{subscriptions_id}", "PATCH"),
    "topics": ("/v2/topics{?marker,limit,detailed}", "GET"),
    "topic": (TOPIC, "GET PUT DELETE PATCH"),
    "topic_stats": (TOPIC + "/stats", "GET"),
    "topic_purge": (TOPIC + "/purge", "POST"),
    "topic_messages": (TOPIC + "/messages{?marker,limit,echo,include_delayed}", "GET"),
    "post_topic_messages": (TOPIC + "/messages", "POST"),
    "topic_messages_delete": (TOPIC + "/messages{?ids,pop}", "DELETE"),
    "topic_message_delete": (TOPIC + "/messages/{message_id}", "DELETE"),
    "topic_message_get": (TOPIC + "/messages/{message_id}", "GET"),
    "topic_subscriptions_get": (TOPIC + "/subscriptions{?marker,limit}", "GET"),
    "topic_subscriptions_post": (TOPIC + "/subscriptions", "POST"),
    "topic_subscription": (TOPIC + "/subscriptions/{subscriptions_id}", "GET DELETE"),
    "topic_subscription_patch": (TOPIC + "/subscriptions/{subscriptions_id}", "PATCH"),
    "ping": ("/v2/ping", "GET"),
}


POOLS = {
    "pools": ("/v2/pools{?detailed,limit,marker}", "GET"),
    "pool": ("/v2/pools/{pool_name}", "GET PUT PATCH DELETE"),
    "flavors": ("/v2/flavors{?detailed,limit,marker}", "GET"),
    "flavor": ("/v2/flavors/{flavor_name}", "GET PUT PATCH DELETE"),
}


class VersionsTests(SiteCase):
    """The document at ``/``."""

    def test_document(self) -> None:
        """It is literal, and anybody may read it."""
        response = self.api("GET", "/", bare=True)
        self.assertEqual(response.status, 300)
        self.assertEqual(response.header("Content-Type"), "application/json")
        version = {
            "id": "2",
            "status": "CURRENT",
            "updated": "2014-9-24T04:06:47Z",
            "media-types": [{"base": "application/json", "type": "application/vnd.openstack.messaging-v2+json"}],
            "links": [{"href": "/v2/", "rel": "self"}],
        }
        self.assertEqual(response.json, {"versions": [version]})

    def test_methods(self) -> None:
        """It can only be read."""
        response = self.api("POST", "/", bare=True)
        self.assertRefused(response, 405, "405 Method Not Allowed")
        self.assertEqual(response.header("Allow"), "GET, OPTIONS")


class HomeTests(SiteCase):
    """The document at ``/v2/``."""

    def test_headers(self) -> None:
        """It is JSON home, may be kept for a day, and asks for a client and a project."""
        response = self.api("GET", "/v2/")
        self.assertEqual((response.status, response.header("Content-Type")), (200, "application/json-home"))
        self.assertEqual(response.header("Cache-Control"), "max-age=86400")
        self.assertRefused(self.api("GET", "/v2/", bare=True), 400, "Missing header value")
        self.assertRefused(self.api("GET", "/v2/", headers={"X-Project-ID": None}), 400, "Project-Id Missing")

    def test_relations(self) -> None:
        """It lists what is served, with the templates that clients know."""
        api = HttpApi(MemoryStorage(Clock()), admin_mode=False)
        resources = api("GET", "/v2/").json["resources"]
        self.assertEqual(set(resources), {f"rel/{name}" for name in TABLE})
        for name, (template, methods) in TABLE.items():
            resource = resources[f"rel/{name}"]
            self.assertEqual(resource["href-template"], template)
            self.assertEqual(resource["hints"]["allow"], methods.split())
            self.assertEqual(resource["hints"]["formats"], {"application/json": {}})
            self.assertEqual("accept-post" in resource["hints"], methods in ("POST", "PATCH"))

    def test_variables(self) -> None:
        """Every variable of a template is named."""
        resources = self.api("GET", "/v2/").json["resources"]
        self.assertEqual(
            resources["rel/message_delete"]["href-vars"],
            {"queue_name": "param/queue_name", "message_id": "param/message_id", "claim": "param/claim"},
        )
        self.assertEqual(resources["rel/ping"]["href-vars"], {})
        self.assertEqual(
            set(resources["rel/messages"]["href-vars"]), {"queue_name", "marker", "limit", "echo", "include_claimed"}
        )

    def test_pools(self) -> None:
        """With pools, what administers them is listed in admin mode, and never without it."""
        process = memory_process(Clock())
        api = HttpApi(process.storage, pooling=process.pooling)
        resources = api("GET", "/v2/").json["resources"]
        self.assertEqual(set(resources), {f"rel/{name}" for name in (*TABLE, *POOLS, "health")})
        for name, (template, methods) in POOLS.items():
            resource = resources[f"rel/{name}"]
            self.assertEqual((resource["href-template"], resource["hints"]["allow"]), (template, methods.split()))
        api = HttpApi(process.storage, pooling=process.pooling, admin_mode=False)
        self.assertEqual(set(api("GET", "/v2/").json["resources"]), {f"rel/{name}" for name in TABLE})

    def test_admin_mode(self) -> None:
        """Health is listed where it is served, with its address."""
        health = self.api("GET", "/v2/").json["resources"]["rel/health"]
        self.assertEqual((health["href"], health["hints"]["allow"]), ("/v2/health", ["GET"]))
        self.assertNotIn("href-template", health)
