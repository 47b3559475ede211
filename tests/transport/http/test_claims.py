"""Claims over HTTP."""

from __future__ import annotations

from tests.helpers import OTHER_CLIENT
from tests.transport.http.base import MESSAGES, MessageCase

CLAIMS = "/v2/queues/q/claims"


class ClaimTests(MessageCase):
    """The life of a claim."""

    def test_create(self) -> None:
        """The oldest messages are claimed, whoever posted them, and their links carry the claim."""
        first, second, _ = self.post(1, 2, 3, ttl=60)
        response = self.api("POST", CLAIMS + "?limit=2", {"ttl": 100, "grace": 70, "x": 1})
        self.assertEqual(response.status, 201)
        location = response.header("Location")
        assert location is not None
        claim = location.removeprefix(CLAIMS + "/")
        self.assertEqual(
            response.json,
            {
                "messages": [
                    {"id": one, "href": f"{MESSAGES}/{one}?claim_id={claim}", "ttl": 170, "age": 0, "body": body}
                    for one, body in ((first, 1), (second, 2))
                ]
            },
        )

    def test_nothing(self) -> None:
        """Nothing to claim is 204 without a location, also in a queue that does not exist."""
        for _ in range(2):
            response = self.api("POST", CLAIMS)
            self.assertEqual((response.status, response.body, response.header("Location")), (204, b"", None))
            self.api("PUT", "/v2/queues/q")

    def test_get(self) -> None:
        """A claim shows its age, ttl, link and the messages left in it, in order."""
        self.post(*range(12))
        claim = self.claim(ttl=120)
        self.clock.advance(7.5)
        path = f"{CLAIMS}/{claim}"
        shown = self.api("GET", path)
        self.assertEqual(shown.status, 200)
        messages = shown.json.pop("messages")
        self.assertEqual(sorted(shown.json), ["age", "href", "messages", "ttl"])
        self.assertEqual((shown.json["age"], shown.json["ttl"], shown.json["href"]), (7, 120, path))
        self.assertEqual([message["body"] for message in messages], list(range(10)))
        self.assertEqual(self.api("DELETE", messages[0]["href"]).status, 204)
        left = self.api("GET", path, headers={"Client-ID": OTHER_CLIENT}).json["messages"]
        self.assertEqual(left, messages[1:])

    def test_update(self) -> None:
        """Renewing restarts the age; what is left out is the default, not what was."""
        self.post(1)
        path = f"{CLAIMS}/{self.claim(ttl=100)}"
        self.clock.advance(50)
        response = self.api("PATCH", path, {"x": None})
        self.assertEqual((response.status, response.body), (204, b""))
        shown = self.api("GET", path).json
        self.assertEqual((shown["age"], shown["ttl"]), (0, 300))
        self.assertEqual(self.api("PATCH", path, {"ttl": 60, "grace": 60}).status, 204)
        self.clock.advance(61)
        self.assertRefused(self.api("PATCH", path, {}), 404, "Not found")

    def test_release(self) -> None:
        """Released messages can be claimed at once, and releasing again is no error."""
        self.post(1)
        path = f"{CLAIMS}/{self.claim()}"
        for _ in range(2):
            self.assertEqual(self.api("DELETE", path).status, 204)
        self.assertRefused(self.api("GET", path), 404, "Not found")
        self.assertEqual(self.api("POST", CLAIMS).status, 201)

    def test_unknown(self) -> None:
        """An unknown claim is 404 to GET and PATCH and 204 to DELETE."""
        for path in (CLAIMS + "/a", CLAIMS + "/%7B%7D", "/v2/queues/none/claims/foo"):
            self.assertRefused(self.api("GET", path), 404, "Not found")
            self.assertRefused(self.api("PATCH", path, {"ttl": 100}), 404, "Not found")
            self.assertEqual(self.api("DELETE", path).status, 204)

    def test_bad_bodies(self) -> None:
        """Bodies are checked before the claim is looked for; only PATCH needs one."""
        for body, title in (
            (b"[", "Invalid request body"),
            (b".", "Invalid request body"),
            (b'"fail"', "Invalid request body"),
            (b" ", "Invalid request body"),
            ([], "Invalid request body"),
            ({"ttl": None}, "Invalid request body"),
            ({"grace": None}, "Invalid request body"),
            ({"ttl": "60"}, "Invalid request body"),
            ({"ttl": 60.0}, "Invalid request body"),
            ({"ttl": True}, "Invalid request body"),
            ({"ttl": -1}, "Invalid API request"),
            ({"ttl": 59}, "Invalid API request"),
            ({"ttl": 43201}, "Invalid API request"),
            ({"grace": 59}, "Invalid API request"),
            ({"grace": 43201}, "Invalid API request"),
        ):
            self.assertRefused(self.api("POST", CLAIMS, body), 400, title)
            self.assertRefused(self.api("PATCH", CLAIMS + "/a", body), 400, title)
        self.assertRefused(self.api("PATCH", CLAIMS + "/a"), 400, "Invalid request body")
        self.assertRefused(self.api("POST", CLAIMS, b" " * 262145), 400, "Invalid API request")

    def test_limit(self) -> None:
        """The limit has a range."""
        for limit in ("0", "-1", "21"):
            self.assertRefused(self.api("POST", f"{CLAIMS}?limit={limit}"), 400, "Invalid API request")
        self.assertRefused(self.api("POST", f"{CLAIMS}?limit=x"), 400, "Invalid parameter")
