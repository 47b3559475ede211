"""Deliveries that were given up, through sockets: what an operator sees and sends again, on both stores."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tests.helpers import PROJECT
from tests.tokens import StubTokens, caller
from tests.transport.websocket.client import envelope
from tests.wire.calls import http_error
from tests.wire.gateway import HttpConnection, OnMemory, OnRedis
from zaqar_gateway.interfaces import IStorage
from zaqar_gateway.model import GivenUp, NewMessage, NewPost, NewSubscription, Place, Progress

if TYPE_CHECKING:
    _Base = OnMemory
else:
    _Base = object  # a mixin that were a TestCase would run without a store

ADMIN: dict[str, str | None] = {"X-Roles": "admin"}
HOOK = "http://user:secret@example.org/hook?token=secret"
MASKED = "http://user:***@example.org/hook?***"


async def give_up(storage: IStorage, place: Place, count: int) -> str:
    """Post messages, and give up to deliver each of them; the id of the subscription."""
    subscriptions, messages = (
        (storage.topic_subscriptions, storage.topic_messages)
        if place.is_topic
        else (storage.subscriptions, storage.messages)
    )
    placed = await subscriptions.create(place.project, place.name, NewSubscription(HOOK, 3600))
    new = [NewMessage(b"%d" % number) for number in range(count)]
    await messages.post(place.project, place.name, NewPost(b"c", new, size=2, ttl_default_s=3600, size_max=1000))
    (owed,) = await storage.deliveries.take(place, limit=1, batch=100, lease_ms=1000, required=False)
    given_up = tuple(GivenUp(post.cursor, 3, "it answered 500") for post in owed.posts)
    progress = Progress(placed.id, owed.token, owed.posts[-1].cursor, given_up)
    await storage.deliveries.report(place, progress, batch=100, lease_ms=1000, required=False)
    return placed.id


class _Deliveries(_Base):
    """The tests; a subclass says on which store."""

    async def begin(
        self, name: str = "q", *, is_topic: bool = False, count: int = 5, **options: Any
    ) -> tuple[HttpConnection, str]:
        """A connection to a gateway that gave up some deliveries, and the subscription that they were for."""
        storage = await self.a_store()
        subscription_id = await give_up(storage, Place(PROJECT, name, is_topic), count)
        self.gateway = self.start(storage, **options)
        return await self.gateway.http(), subscription_id

    async def ask(self, http: HttpConnection, method: str, target: str, body: Any = None) -> Any:
        """Ask as an administrator."""
        response = await http.ask(method, target, body, ADMIN)
        self.assertEqual(response.status, 200, response)
        return response.json

    async def test_queue(self) -> None:
        """They are listed by pages, without secrets, and those named are sent again, or all."""
        http, subscription_id = await self.begin()
        base = "/v2/queues/q/deliveries"
        first = await self.ask(http, "GET", f"{base}?limit=3")
        self.assertEqual(len(first["deliveries"]), 3)
        one = first["deliveries"][0]
        self.assertEqual((one["subscription_id"], one["attempts"]), (subscription_id, 3))
        self.assertEqual((one["reason"], one["subscriber"]), ("it answered 500", MASKED))
        (link,) = first["links"]
        rest = await self.ask(http, "GET", link["href"])
        ids = [each["id"] for page in (first, rest) for each in page["deliveries"]]
        self.assertEqual(len(set(ids)), 5)
        self.assertEqual(await self.ask(http, "POST", base, {"ids": [ids[1], "nada"]}), {"count": 1})
        left = [each["id"] for each in (await self.ask(http, "GET", base))["deliveries"]]
        self.assertEqual(left, [ids[0], *ids[2:]])
        self.assertEqual(await self.ask(http, "POST", base), {"count": 4})
        self.assertEqual(await self.ask(http, "GET", base), {"deliveries": [], "links": []})

    async def test_topic(self) -> None:
        """Those of a topic are apart from those of the queue of that name."""
        http, _ = await self.begin(is_topic=True, count=2)
        self.assertEqual((await self.ask(http, "GET", "/v2/queues/q/deliveries"))["deliveries"], [])
        base = "/v2/topics/q/deliveries"
        self.assertEqual(len((await self.ask(http, "GET", base))["deliveries"]), 2)
        self.assertEqual(await self.ask(http, "POST", base), {"count": 2})
        self.assertEqual((await self.ask(http, "GET", base))["deliveries"], [])

    async def test_overview(self) -> None:
        """The places that have some are shown, with how many."""
        http, _ = await self.begin("news", is_topic=True, count=2)
        found = {"project": PROJECT, "topic": "news", "count": 2, "href": "/v2/topics/news/deliveries"}
        self.assertEqual(await self.ask(http, "GET", "/v2/deliveries"), {"deliveries": [found]})

    async def test_websocket(self) -> None:
        """An administrator has all of it by WebSocket too, where the role is that of the token."""
        now_s = int(self.clock.seconds())
        operator = caller(PROJECT, "u1", "admin", expires_s=now_s + 10**6)
        _, subscription_id = await self.begin(count=3, tokens=StubTokens(token=operator))
        socket = await self.gateway.socket()
        authenticated = await socket.ask(
            {"action": "authenticate", "headers": {"X-Project-ID": PROJECT, "X-Auth-Token": "token"}}
        )
        self.assertEqual(authenticated["headers"], {"status": 200})

        async def ask(action: str, **body: Any) -> Any:
            reply = await socket.ask(envelope(action, body))
            self.assertEqual(reply["headers"], {"status": 200}, reply)
            return reply["body"]

        found = {"project": PROJECT, "queue": "q", "count": 3}
        self.assertEqual(await ask("delivery_overview"), {"deliveries": [found]})
        first = (await ask("delivery_list", queue_name="q", limit=2))["deliveries"]
        self.assertEqual([(one["subscription_id"], one["subscriber"]) for one in first], [(subscription_id, MASKED)] * 2)
        (last,) = (await ask("delivery_list", queue_name="q", marker=first[-1]["id"]))["deliveries"]
        self.assertEqual(await ask("delivery_resend", queue_name="q", ids=[first[0]["id"]]), {"count": 1})
        self.assertEqual((await ask("delivery_list", queue_name="q"))["deliveries"], [first[1], last])
        self.assertEqual(await ask("delivery_resend", queue_name="q"), {"count": 2})

    async def test_refused(self) -> None:
        """Whoever is no administrator is told so, on both transports, and nothing is sent again."""
        http, _ = await self.begin()
        socket = await self.gateway.socket()
        for method, target, action, body in (
            ("GET", "/v2/deliveries", "delivery_overview", {}),
            ("GET", "/v2/queues/q/deliveries", "delivery_list", {"queue_name": "q"}),
            ("POST", "/v2/queues/q/deliveries", "delivery_resend", {"queue_name": "q"}),
        ):
            refused = http_error(await http.ask(method, target))
            reply = await socket.ask(envelope(action, body))
            self.assertEqual((refused.status, reply["headers"]["status"]), (403, 403), action)
            self.assertIn("the role admin", refused.text)
            self.assertIn("the role admin", reply["body"]["exception"])
        self.assertEqual(len((await self.ask(http, "GET", "/v2/queues/q/deliveries"))["deliveries"]), 5)

    async def test_wrong(self) -> None:
        """Ids are strings, one at least, and a limit has its bounds."""
        http, _ = await self.begin()
        base = "/v2/queues/q/deliveries"
        for body, title in (
            ({"ids": "a"}, "Invalid request body"),
            ({"ids": [1]}, "Invalid request body"),
            ({"ids": []}, "Invalid API request"),
            ([], "Invalid request body"),
        ):
            refused = http_error(await http.ask("POST", base, body, ADMIN))
            self.assertEqual((refused.status, refused.title), (400, title))
        refused = http_error(await http.ask("GET", f"{base}?limit=21", None, ADMIN))
        self.assertEqual((refused.status, refused.title), (400, "Invalid API request"))
        self.assertIn("limit", refused.text)


class MemoryTests(_Deliveries, OnMemory):
    """Over memory."""


class RedisTests(_Deliveries, OnRedis):
    """Over Redis."""
