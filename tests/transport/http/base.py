"""What the tests of HTTP have in common: a site over a store in memory, and short ways to use it."""

from __future__ import annotations

from typing import Any

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from tests.helpers import OTHER_CLIENT, HttpApi, Response
from zaqar_gateway.storage.memory import MemoryStorage

MESSAGES = "/v2/queues/q/messages"

SEVEN = {
    "_max_messages_post_size": 262144,
    "_default_message_ttl": 3600,
    "_default_message_delay": 0,
    "_dead_letter_queue": None,
    "_dead_letter_queue_messages_ttl": None,
    "_max_claim_count": None,
    "_enable_encrypt_messages": False,
}
"""The reserved metadata of a queue that has none of its own."""


class SiteCase(SynchronousTestCase):
    """A site over an empty store."""

    def setUp(self) -> None:
        self.api = HttpApi(MemoryStorage(Clock()))

    def assertRefused(self, response: Response, status: int, title: str) -> None:
        """The response is an error as every client reads it."""
        self.assertEqual((response.status, response.title), (status, title), response.body)
        self.assertEqual(response.header("Content-Type"), "application/json")
        self.assertEqual(response.header("Vary"), "Accept")
        described = () if status in (405, 406) or title == "404 Not Found" else ("description",)
        self.assertEqual(sorted(response.json), sorted(("title", *described)))


class MessageCase(SiteCase):
    """A queue and short ways to use it."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.clock.advance(1_800_000_000)
        self.storage = MemoryStorage(self.clock)
        self.api = HttpApi(self.storage)

    def post(self, *bodies: Any, api: HttpApi | None = None, **members: Any) -> list[str]:
        """Post messages; their ids."""
        document = {"messages": [{"body": body, **members} for body in bodies]}
        response = (api or self.api)("POST", MESSAGES, document)
        self.assertEqual(response.status, 201, response.body)
        return [href.rpartition("/")[2] for href in response.json["resources"]]

    def claim(self, **members: Any) -> str:
        """Claim messages; the id of the claim."""
        location = self.api("POST", "/v2/queues/q/claims", members or None).header("Location")
        assert location is not None
        return location.rpartition("/")[2]

    def listed(self, query: str = "") -> Response:
        """A page as another client sees it."""
        response = self.api("GET", MESSAGES + query, headers={"Client-ID": OTHER_CLIENT})
        self.assertEqual(response.status, 200, response.body)
        return response
