"""Dead letters through sockets: what is told of them and how they go back, on both transports and both stores."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from tests.helpers import PROJECT
from tests.transport.websocket.client import envelope
from tests.wire.calls import CREATED, http_error
from tests.wire.gateway import HttpConnection, OnMemory, OnRedis, SocketConnection
from zaqar_gateway.model import NewMessage, NewPost, QueueRules

if TYPE_CHECKING:
    _Base = OnMemory
else:
    _Base = object  # a mixin that were a TestCase would run without a store

BASE = "/v2/queues/dead/dead_letters"


class _DeadLetters(_Base):
    """The tests; a subclass says on which store."""

    async def begin(self, count: int = 3) -> tuple[HttpConnection, SocketConnection]:
        """Both kinds of connection to a gateway that has some dead letters, which were claimed twice."""
        self.storage = await self.a_store()
        rules = QueueRules(claim_count_max=2, dead_letter_queue="dead")
        await self.storage.queues.create(PROJECT, "q", b"{}", rules)
        new = [NewMessage(b'{"n": %d}' % number, 600) for number in range(count)]
        self.ids = await self.storage.messages.post(PROJECT, "q", NewPost(b"c", new, size=9, ttl_default_s=60, size_max=1000))
        for _ in range(2):
            claim = await self.storage.claims.create(PROJECT, "q", 60, 60, 20)
            assert claim is not None
            await self.storage.claims.release(PROJECT, "q", claim.id)
        assert await self.storage.claims.create(PROJECT, "q", 60, 60, 20) is None
        gateway = self.start(self.storage)
        return await gateway.http(), await gateway.socket()

    async def get(self, http: HttpConnection, target: str) -> Any:
        """Ask for what has to be there."""
        response = await http.ask("GET", target)
        self.assertEqual(response.status, 200, response)
        return response.json

    async def queued(self, queue: str = "q") -> list[str]:
        """The ids of the messages in a queue."""
        page = await self.storage.messages.list(
            PROJECT, queue, marker=None, limit=20, skip_client=None, include_claimed=True, include_delayed=True
        )
        return [message.id for message in page.messages]

    async def test_listed(self) -> None:
        """A dead letter is told as a message is, with where it was, how often it was claimed, why it was moved and when."""
        http, socket = await self.begin()
        page = await self.get(http, f"{BASE}?limit=2")
        first = page["dead_letters"][0]
        self.assertTrue(CREATED.fullmatch(first.pop("moved_at")))
        self.assertEqual(
            first,
            {
                "id": self.ids[0],
                "href": f"/v2/queues/dead/messages/{self.ids[0]}",
                "ttl": 600,
                "age": 0,
                "body": {"n": 0},
                "queue_name": "q",
                "claim_count": 2,
                "reason": "claimed 2 times, as often as _max_claim_count of q allows",
            },
        )
        (link,) = page["links"]
        self.assertEqual(link["rel"], "next")
        rest = await self.get(http, link["href"])
        self.assertEqual([one["id"] for one in page["dead_letters"] + rest["dead_letters"]], self.ids)
        end = await self.get(http, rest["links"][0]["href"])
        self.assertEqual(end, {"dead_letters": [], "links": []})
        self.assertEqual(await self.get(http, "/v2/queues/missing/dead_letters"), {"dead_letters": [], "links": []})
        reply = await socket.ask(envelope("dead_letter_list", {"queue_name": "dead", "limit": 1}))
        self.assertEqual(reply["headers"], {"status": 200}, reply)
        (one,) = reply["body"]["dead_letters"]
        self.assertTrue(CREATED.fullmatch(one.pop("moved_at")))
        del first["href"]
        self.assertEqual(one, first)
        again = await socket.ask(envelope("dead_letter_list", {"queue_name": "dead", "marker": one["id"]}))
        self.assertEqual([each["id"] for each in again["body"]["dead_letters"]], self.ids[1:])

    async def test_returned(self) -> None:
        """Some go back to where they came from, by their number or their ids, and what remains is told."""
        http, socket = await self.begin()
        response = await http.ask("POST", f"{BASE}/return", {"limit": 1})
        self.assertEqual((response.status, response.json), (200, {"returned": 1, "remaining": 2}))
        reply = await socket.ask(
            envelope("dead_letter_return", {"queue_name": "dead", "ids": [self.ids[2], "nada"]})
        )
        self.assertEqual((reply["headers"], reply["body"]), ({"status": 200}, {"returned": 1, "remaining": 1}))
        self.assertEqual(await self.queued(), [self.ids[0], self.ids[2]])
        found = (await self.get(http, f"/v2/queues/q/messages/{self.ids[0]}"))["body"]
        self.assertEqual(found, {"n": 0})
        claimed = await http.ask("POST", "/v2/queues/q/claims", {"ttl": 60, "grace": 60})
        self.assertEqual((claimed.status, len(claimed.json["messages"])), (201, 2))

    async def test_returned_elsewhere(self) -> None:
        """They go to another queue where one is named."""
        http, socket = await self.begin()
        response = await http.ask("POST", f"{BASE}/return", {"limit": 2, "destination": "other"})
        self.assertEqual(response.json, {"returned": 2, "remaining": 1})
        body = {"queue_name": "dead", "limit": 9, "destination": "other"}
        reply = await socket.ask(envelope("dead_letter_return", body))
        self.assertEqual(reply["body"], {"returned": 1, "remaining": 0})
        self.assertEqual((await self.queued(), await self.queued("other")), ([], self.ids))

    async def test_returned_at_a_rate(self) -> None:
        """With a rate one after the other can be had."""
        http, socket = await self.begin()
        response = await http.ask("POST", f"{BASE}/return", {"limit": 2, "rate": 0.01})
        self.assertEqual(response.json, {"returned": 2, "remaining": 1})
        body = {"queue_name": "dead", "limit": 9, "rate": 1000}
        self.assertEqual((await socket.ask(envelope("dead_letter_return", body)))["body"]["returned"], 1)
        popped = await http.ask("DELETE", "/v2/queues/q/messages?pop=20")
        self.assertEqual([one["id"] for one in popped.json["messages"]], [self.ids[0], self.ids[2]])
        stats = (await self.get(http, "/v2/queues/q/stats"))["messages"]
        self.assertEqual((stats["free"], stats["total"]), (1, 1))

    async def test_wrong(self) -> None:
        """What is wrong is told by its name, what it is and what would be right; nothing goes."""
        http, socket = await self.begin()
        for body, told in (
            ({}, "either ids, or limit"),
            ({"ids": [self.ids[0]], "limit": 1}, "either ids, or limit"),
            ({"ids": []}, "ids has 0 ids; it has to have 1 to 1000"),
            ({"ids": ["a"] * 1001}, "ids has 1001 ids"),
            ({"ids": "a"}, "ids has to be an array"),
            ({"ids": [1]}, "ids"),
            ({"limit": 0}, "limit is 0; it has to be from 1 to 1000"),
            ({"limit": 1001}, "limit is 1001"),
            ({"limit": "1"}, "limit has to be an integer"),
            ({"limit": 1, "rate": 0}, "rate is 0 messages a second; it has to be from 0.01 to 1000"),
            ({"limit": 1, "rate": -1}, "rate is -1"),
            ({"limit": 1, "rate": 1000.5}, "rate is 1000.5"),
            ({"limit": 1, "rate": True}, "rate has to be a number, not a boolean"),
            ({"limit": 1, "rate": "fast"}, "rate has to be a number, not a string"),
            ({"limit": 1, "rate": None}, "rate has to be a number, not null"),
            ({"limit": 1, "destination": "dead"}, "destination is the queue that the dead letters are in"),
            ({"limit": 1, "destination": "no queue"}, "Queue name is not valid"),
            ({"limit": 1, "destination": ""}, "Queue name is not valid"),
            ({"limit": 1, "destination": 7}, "destination has to be a string"),
            ({"limit": 1, "destinaton": "other"}, "destinaton is not known here; leave it out, or correct its name."),
            ({"limit": 1, "x" * 5000: 1}, "xxx... is not known here"),
        ):
            refused = http_error(await http.ask("POST", f"{BASE}/return", body))
            self.assertEqual(refused.status, 400, body)
            self.assertIn(told, refused.text)
            reply = await socket.ask(envelope("dead_letter_return", {"queue_name": "dead", **body}))
            self.assertEqual(reply["headers"]["status"], 400, body)
            self.assertIn(told, reply["body"]["error"])
        self.assertEqual(http_error(await http.ask("POST", f"{BASE}/return", None)).status, 400)
        for query in ("limit=0", "limit=21", "limit=a"):
            refused = http_error(await http.ask("GET", f"{BASE}?{query}"))
            self.assertEqual(refused.status, 400)
            self.assertTrue(re.match("limit is", refused.text), refused)
        self.assertEqual(await self.queued("dead"), self.ids)


class MemoryTests(_DeadLetters, OnMemory):
    """Over memory."""


class RedisTests(_DeadLetters, OnRedis):
    """Over Redis."""
