"""Messages over HTTP."""

from __future__ import annotations

import json
from typing import Any

from tests.helpers import HttpApi
from tests.transport.http.base import MESSAGES, MessageCase
from zaqar_gateway.limits import Limits

BODIES: tuple[Any, ...] = (None, True, 0, -1.5, 2**63 - 1, "", 'ж\n"', [], {}, {"a": [{"b": None}]})


class PostTests(MessageCase):
    """Posting."""

    def test_reply(self) -> None:
        """The reply names the messages in the order posted, in the body and in ``Location``."""
        document = {"messages": [{"body": 1, "ttl": 60}, {"body": 2, "unknown": 3}], "more": 4}
        response = self.api("POST", MESSAGES, document)
        self.assertEqual(response.status, 201)
        location = response.header("Location")
        assert location is not None
        ids = location.removeprefix(MESSAGES + "?ids=").split(",")
        self.assertEqual(response.json, {"resources": [f"{MESSAGES}/{one}" for one in ids]})
        self.assertEqual([message["id"] for message in self.listed().json["messages"]], ids)
        self.assertEqual([message["ttl"] for message in self.listed().json["messages"]], [60, 3600])

    def test_location_of_many(self) -> None:
        """So many ids that clients and proxies would not take the header are in the body alone."""
        few = self.api("POST", MESSAGES, {"messages": [{"body": 1}] * 140})
        self.assertEqual(few.header("Location"), MESSAGES + "?ids=" + ",".join(each.rpartition("/")[2] for each in few.json["resources"]))
        for count in (141, 5000):
            many = self.api("POST", MESSAGES, {"messages": [{"body": 1}] * count})
            self.assertEqual((many.status, many.header("Location"), len(many.json["resources"])), (201, MESSAGES, count))

    def test_any_body(self) -> None:
        """Every kind of JSON comes back as it was posted."""
        self.post(*BODIES)
        self.assertEqual([message["body"] for message in self.listed().json["messages"]], list(BODIES))

    def test_text_is_kept(self) -> None:
        """The text of a body is kept, escapes, order of keys and all."""
        text = b'{"z":  1.50, "a": "\\u0436", "a": 2}'
        self.api("POST", MESSAGES, b'{"messages": [{"body": %b}]}' % text)
        self.assertIn(b'"body":' + text, self.listed().body)

    def test_refusals(self) -> None:
        """Each way to be wrong has its title, and nothing is stored, nor is the queue created."""
        big = b'{"messages": [{"body": 9223372036854775808}]}'
        for body, title in (
            (None, "Invalid request body"),
            (b" ", "Invalid request body"),
            (b"{", "Invalid request body"),
            (b"[1,}", "Invalid request body"),
            (b'{"messages": [{"body": 1}]} {}', "Invalid request body"),
            (b'{"messages": [{"body": "\xff"}]}', "Invalid request body"),
            (b'{"messages": [{"body": "\\ud800"}]}', "Invalid request body"),
            (b'"messages"', "Invalid request body"),
            (b"7", "Invalid request body"),
            (big, "Invalid request body"),
            (b'{"x": -9223372036854775809, "messages": [{"body": 1}]}', "Invalid request body"),
            (b'{"messages": [{"body": ' + b"[" * 300 + b"]" * 300 + b"}]}", "Invalid request body"),
            ([], "Invalid API request"),
            ({}, "Invalid API request"),
            (["messages"], "Invalid API request"),
            ({"message": []}, "Invalid API request"),
            ({"messages": []}, "Invalid API request"),
            ({"messages": None}, "Invalid request body"),
            ({"messages": {"body": 1}}, "Invalid request body"),
            ({"messages": "x"}, "Invalid request body"),
            ({"messages": [1]}, "Invalid request body"),
            ({"messages": [{"ttl": 60}]}, "Invalid request body"),
            ({"messages": [{"body": 1, "ttl": None}]}, "Invalid request body"),
            ({"messages": [{"body": 1, "ttl": "60"}]}, "Invalid request body"),
            ({"messages": [{"body": 1, "ttl": 60.0}]}, "Invalid request body"),
            ({"messages": [{"body": 1, "ttl": True}]}, "Invalid request body"),
            ({"messages": [{"body": 1}, {"body": None, "ttl": 59}]}, "Invalid API request"),
            ({"messages": [{"body": 1, "ttl": -1}]}, "Invalid API request"),
            ({"messages": [{"body": 1, "ttl": 1209601}]}, "Invalid API request"),
        ):
            self.assertRefused(self.api("POST", MESSAGES, body), 400, title)
        self.assertEqual(self.api("GET", "/v2/queues").json["queues"], [])

    def test_size(self) -> None:
        """The whole body counts, up to the smaller of the limits of the service and of the queue."""
        self.api = HttpApi(self.storage, Limits(post_size_max=256))
        body = b'{"messages": [{"body": "%s"}]}' % (b"x" * 228)
        self.assertEqual(len(body), 256)
        self.assertEqual(self.api("POST", MESSAGES, body).status, 201)
        for larger in (body + b" ", body + b"x" * 5000):
            self.assertRefused(self.api("POST", MESSAGES, larger), 400, "Invalid API request")
        self.api("PUT", "/v2/queues/small", {"_max_messages_post_size": 40})
        small = b'{"messages": [{"body": "%s"}]}' % (b"x" * 12)
        self.assertEqual(self.api("POST", "/v2/queues/small/messages", small).status, 201)
        self.assertRefused(self.api("POST", "/v2/queues/small/messages", small + b" "), 400, "Invalid API request")

    def test_delay(self) -> None:
        """A delay counts in a queue that knows delays and is dropped in any other, whatever it is."""
        self.post(1, delay="x")
        self.assertEqual(len(self.listed().json["messages"]), 1)
        self.api("PUT", "/v2/queues/slow", {"_default_message_delay": 60})
        slow = "/v2/queues/slow/messages"
        for delay, title in (
            ("x", "Invalid request body"),
            (None, "Invalid request body"),
            (901, "Invalid API request"),
        ):
            document = {"messages": [{"body": 1, "delay": delay}]}
            self.assertRefused(self.api("POST", slow, document), 400, title)
        self.api("POST", slow, {"messages": [{"body": 1}, {"body": 2, "delay": 0}]})
        shown = self.api("GET", slow + "?echo=true").json
        self.assertEqual([message["body"] for message in shown["messages"]], [2])
        self.assertNotIn("include_delayed", shown["links"][0]["href"])
        shown = self.api("GET", slow + "?echo=true&include_delayed=true").json
        self.assertEqual([message["body"] for message in shown["messages"]], [1, 2])
        self.assertIn("include_delayed=true", shown["links"][0]["href"])


class ListTests(MessageCase):
    """Listing."""

    def test_message(self) -> None:
        """A message has exactly these keys; its link leads to it."""
        (one,) = self.post({"event": "start"}, ttl=100)
        self.clock.advance(12.9)
        (message,) = self.listed().json["messages"]
        href = f"{MESSAGES}/{one}"
        self.assertEqual(message, {"id": one, "href": href, "ttl": 100, "age": 12, "body": {"event": "start"}})
        self.assertEqual(self.api("GET", href).json, message)

    def test_paging(self) -> None:
        """Ten messages by threes are four pages and an empty one without a link."""
        self.post(*range(10))
        sizes, seen, href = [], [], MESSAGES + "?limit=3&echo=true"
        for _ in range(5):
            page = self.api("GET", href).json
            sizes.append(len(page["messages"]))
            seen += [message["body"] for message in page["messages"]]
            if page["links"]:
                (link,) = page["links"]
                self.assertEqual(link["rel"], "next")
                href = link["href"]
                path, _, query = href.partition("?")
                self.assertEqual(path, MESSAGES)
                marker = page["messages"][-1]["id"]
                self.assertEqual(
                    sorted(query.split("&")), ["echo=true", "include_delayed=true", "limit=3", f"marker={marker}"]
                )
        self.assertEqual((sizes, seen), ([3, 3, 3, 1, 0], list(range(10))))
        self.assertEqual(page["links"], [])

    def test_echo_and_claimed(self) -> None:
        """Own and claimed messages are shown on request; a claimed one has the claim in its link."""
        self.post(1)
        self.assertEqual(self.api("GET", MESSAGES).json, {"messages": [], "links": []})
        self.assertEqual(len(self.api("GET", MESSAGES + "?echo=1").json["messages"]), 1)
        claim = self.claim()
        self.assertEqual(self.listed().json["messages"], [])
        (message,) = self.listed("?include_claimed=on").json["messages"]
        self.assertEqual(message["href"], f"{MESSAGES}/{message['id']}?claim_id={claim}")
        self.assertNotIn("claim_id", message)
        self.clock.advance(301)
        (message,) = self.listed().json["messages"]
        self.assertEqual(message["href"], f"{MESSAGES}/{message['id']}")

    def test_foreign_markers(self) -> None:
        """A marker that is no id gives an empty page; a blank one is none."""
        self.post(1)
        for marker in ("sfhlsfdjh2048", "nonesuch", "%7B%7D", "%ff", "a%2Cb"):
            self.assertEqual(self.listed(f"?marker={marker}").json, {"messages": [], "links": []})
        self.assertEqual(len(self.listed("?marker=&limit&echo=").json["messages"]), 1)

    def test_missing_queue(self) -> None:
        """A missing queue has no messages."""
        self.assertEqual(self.listed().json, {"messages": [], "links": []})

    def test_by_id(self) -> None:
        """Messages by id come in the order asked for, without links; what is missing is left out."""
        first, second = self.post(1, 2)
        self.claim()
        for query in (
            f"ids={second},{first}",
            f"ids={second}&ids={first}",
            f"ids={second}%2C{first}",
            f"ids={second},,nada&ids=,{first},",
            f"limit=x&ids={second},{first}",
        ):
            response = self.api("GET", f"{MESSAGES}?{query}")
            self.assertEqual(list(response.json), ["messages"])
            self.assertEqual([message["id"] for message in response.json["messages"]], [second, first], query)
        self.assertEqual(self.listed("?ids=").json["messages"], [])
        self.assertRefused(self.api("GET", MESSAGES + "?ids=nada"), 404, "Not found")
        self.assertRefused(self.api("GET", f"/v2/queues/none/messages?ids={first}"), 404, "Not found")
        self.assertEqual(self.api("GET", f"{MESSAGES}?ids=" + ",".join([first] * 20)).status, 200)
        self.assertRefused(self.api("GET", f"{MESSAGES}?ids=" + ",".join([first] * 21)), 400, "Invalid API request")
        self.assertRefused(
            self.api("GET", f"{MESSAGES}?" + "&".join([f"ids={first}"] * 21)), 400, "Invalid API request"
        )

    def test_bad_parameters(self) -> None:
        """Ranges are rules, unreadable values are parameters; the last value counts."""
        for query, title in (
            ("limit=0", "Invalid API request"),
            ("limit=21", "Invalid API request"),
            ("limit=5&limit=x", "Invalid parameter"),
            ("echo=None", "Invalid parameter"),
            ("include_claimed=None", "Invalid parameter"),
            ("include_delayed=TRUE", "Invalid parameter"),
            ("echo=+", "Invalid parameter"),
        ):
            self.assertRefused(self.api("GET", f"{MESSAGES}?{query}"), 400, title)
        self.assertEqual(self.api("GET", f"{MESSAGES}?limit=99&limit=x,5&limit=&unknown=1").status, 200)


class OneTests(MessageCase):
    """One message."""

    def test_missing(self) -> None:
        """A missing message is 404 to GET and 204 to DELETE, whatever its id looks like."""
        (one,) = self.post(1)
        for path in (f"{MESSAGES}/nada", f"/v2/queues/other/messages/{one}", f"{MESSAGES}/%FF%20{{}}", MESSAGES + "/"):
            self.assertRefused(self.api("GET", path), 404, "Not found")
            self.assertEqual(self.api("DELETE", path).status, 204)
        self.assertEqual(self.api("GET", f"{MESSAGES}/{one}?claim_id=x").status, 200)

    def test_delete(self) -> None:
        """A deleted message is gone, and deleting it again is no error."""
        (one,) = self.post(1)
        for _ in range(2):
            response = self.api("DELETE", f"{MESSAGES}/{one}?claim_id=")
            self.assertEqual((response.status, response.body), (204, b""))
            self.assertEqual(self.api("GET", f"{MESSAGES}/{one}").status, 404)

    def test_delete_claimed(self) -> None:
        """A claimed message needs its claim; with it, it is deleted, and then deleting is no error."""
        self.post(1)
        claim = self.claim()
        (message,) = self.listed("?include_claimed=true").json["messages"]
        bare = message["href"].partition("?")[0]
        self.assertRefused(self.api("DELETE", bare), 403, "Unable to delete")
        self.assertRefused(self.api("DELETE", bare + "?claim_id=invalid"), 400, "Unable to delete")
        self.assertEqual(self.api("DELETE", f"{bare}?claim_id={claim}").status, 204)
        self.assertEqual(self.api("DELETE", bare).status, 204)

    def test_delete_with_another_claim(self) -> None:
        """A live claim that does not hold the message is 403."""
        self.post(1)
        self.claim()
        self.post(2)
        second = self.claim()
        (first, _) = self.listed("?include_claimed=true").json["messages"]
        path = first["href"].partition("?")[0]
        self.assertRefused(self.api("DELETE", f"{path}?claim_id={second}"), 403, "Unable to delete")

    def test_delete_after_release(self) -> None:
        """A claim that was released is no reason to delete."""
        (one,) = self.post(1)
        claim = self.claim()
        self.api("DELETE", f"/v2/queues/q/claims/{claim}")
        for claim_id in (claim, "invalid", "123"):
            response = self.api("DELETE", f"{MESSAGES}/{one}?claim_id={claim_id}")
            self.assertRefused(response, 400, "Unable to delete")
        self.assertEqual(self.api("GET", f"{MESSAGES}/{one}").status, 200)


class DeleteManyTests(MessageCase):
    """Deleting by ids, and popping."""

    def test_ids(self) -> None:
        """Ids are deleted, claimed or not; unknown ones are no error."""
        first, second, third = self.post(1, 2, 3)
        self.claim(ttl=60)
        self.assertEqual(self.api("DELETE", f"{MESSAGES}?ids={first},nada,&ids={third}").status, 204)
        (left,) = self.listed("?include_claimed=true").json["messages"]
        self.assertEqual(left["id"], second)
        self.assertEqual(self.api("DELETE", f"/v2/queues/none/messages?ids={first}").status, 204)
        self.assertRefused(self.api("DELETE", f"{MESSAGES}?ids=" + "a," * 21), 400, "Invalid API request")

    def test_pop(self) -> None:
        """Popped messages are the oldest, and have exactly these keys."""
        first, *_ = self.post("a", None, 3)
        self.clock.advance(5)
        response = self.api("DELETE", MESSAGES + "?pop=2")
        self.assertEqual(response.status, 200)
        self.assertEqual(
            response.json["messages"][0],
            {"id": first, "ttl": 3600, "age": 5, "body": "a", "claim_id": None, "claim_count": 0},
        )
        self.assertEqual([message["body"] for message in response.json["messages"]], ["a", None])
        self.assertEqual(len(self.api("DELETE", MESSAGES + "?pop=20").json["messages"]), 1)
        for path in (MESSAGES, "/v2/queues/none/messages"):
            self.assertEqual(self.api("DELETE", path + "?pop=20").json, {"messages": []})

    def test_refusals(self) -> None:
        """Exactly one of ids and pop, in range."""
        for query, title in (
            ("", "Invalid API request"),
            ("?ids=", "Invalid API request"),
            ("?ids=,", "Invalid API request"),
            ("?claim_ids=a", "Invalid API request"),
            ("?ids=a&pop=1", "Invalid API request"),
            ("?pop=%20", "Invalid parameter"),
            ("?pop=x", "Invalid parameter"),
            ("?pop=-1", "Invalid API request"),
            ("?pop=0", "Invalid API request"),
            ("?pop=21", "Invalid API request"),
            ("?pop=1000000", "Invalid API request"),
        ):
            self.assertRefused(self.api("DELETE", MESSAGES + query), 400, title)

    def test_claim_ids_are_ignored(self) -> None:
        """Where claims are not needed, they are not looked at."""
        (one,) = self.post(1)
        self.assertEqual(self.api("DELETE", f"{MESSAGES}?ids={one}&claim_ids=nonsense").status, 204)
        self.assertEqual(self.listed().json["messages"], [])

    def test_with_claim_ids(self) -> None:
        """Where claims are needed, each message has to be under one of them."""
        self.api = HttpApi(self.storage, Limits(delete_needs_claim_id=True))
        first, second = self.post(1, 2)
        claim = self.claim()
        (third,) = self.post(3)
        self.assertRefused(self.api("DELETE", f"{MESSAGES}?ids={first}"), 400, "Invalid API request")
        self.assertRefused(self.api("DELETE", f"{MESSAGES}?claim_ids={claim}"), 400, "Invalid API request")
        self.assertRefused(self.api("DELETE", f"{MESSAGES}?pop=1&claim_ids={claim}"), 400, "Invalid API request")
        response = self.api("DELETE", f"{MESSAGES}?ids={first},{third}&claim_ids={claim}")
        self.assertRefused(response, 400, "Unable to delete")
        self.assertEqual(self.api("DELETE", f"{MESSAGES}?ids={first},nada,{second}&claim_ids=x,{claim},").status, 204)
        self.assertEqual([one["id"] for one in self.listed().json["messages"]], [third])
        self.assertEqual(len(self.api("DELETE", f"{MESSAGES}?pop=1").json["messages"]), 1)


class ChecksumTests(MessageCase):
    """Messages with checksums."""

    def test_everywhere(self) -> None:
        """Every form of a message has the checksum of its body; ``null`` has none."""
        api = HttpApi(self.storage, checksums=True)
        expected = "MD5:42b7b4f2921788ea14dac5566e6f06d0"
        (one, none) = self.post({"a": 1}, None, api=api)
        for path in (MESSAGES + "?echo=true", f"{MESSAGES}?ids={one},{none}"):
            first, second = api("GET", path).json["messages"]
            self.assertEqual(first["checksum"], expected)
            self.assertNotIn("checksum", second)
        self.assertEqual(api("GET", f"{MESSAGES}/{one}").json["checksum"], expected)
        claimed = api("POST", "/v2/queues/q/claims")
        self.assertEqual(claimed.json["messages"][0]["checksum"], expected)
        claim = claimed.header("Location")
        assert claim is not None
        self.assertEqual(api("GET", claim).json["messages"][0]["checksum"], expected)
        api("DELETE", claim)
        first, second = api("DELETE", MESSAGES + "?pop=2").json["messages"]
        self.assertEqual(first["checksum"], expected)
        self.assertNotIn("checksum", second)

    def test_off(self) -> None:
        """No message has one where they are off."""
        self.post({"a": 1})
        self.assertNotIn("checksum", json.dumps(self.listed().json))
