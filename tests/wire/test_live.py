"""Live subscriptions and workers over real sockets, on both stores."""

from __future__ import annotations

import json
from collections import deque
from time import time
from typing import Any

import msgpack

from tests.helpers import CLIENT, OTHER_CLIENT
from tests.tokens import StubTokens, caller
from tests.transport.websocket.client import frames
from tests.wire.gateway import Gateway, LiveCase, OnMemory, OnRedis, SocketConnection
from zaqar_gateway.interfaces import IStorage
from zaqar_gateway.live.workers import LIVE_S
from zaqar_gateway.operations.policy import Policy

HEADERS = {"Client-ID": CLIENT, "X-Project-ID": "p"}


class Client:
    """A socket that keeps pushes apart from replies.

    :ivar pushed: pushes that came and were not looked at.
    """

    def __init__(self, socket: SocketConnection, headers: dict[str, str]) -> None:
        self.socket = socket
        self.pushed: list[dict[str, Any]] = []
        self._headers = headers
        self._read: deque[dict[str, Any]] = deque()

    async def _document(self) -> dict[str, Any]:
        """The next frame; all that have come are read at once."""
        while not self._read:
            found, self.socket.data = frames(self.socket.data)
            self._read.extend(json.loads(payload) for first, payload in found if first == 0x81)  # else it is a ping
            if not found and not await self.socket.more():
                raise AssertionError("the socket is closed")
        return self._read.popleft()

    async def ask(self, action: str, **body: Any) -> tuple[int, Any]:
        """The status and body of the reply to a request."""
        self.send(action, **body)
        return await self.reply()

    def send(self, action: str, **body: Any) -> None:
        """Send a request."""
        self.socket.send(json.dumps({"action": action, "headers": self._headers, "body": body}).encode())

    async def reply(self) -> tuple[int, Any]:
        """The status and body of the next reply."""
        while True:
            document = await self._document()
            if "request" in document:
                return document["headers"]["status"], document["body"]
            self.pushed.append(document)

    async def next(self) -> dict[str, Any]:
        """The next push."""
        if self.pushed:
            return self.pushed.pop(0)
        document = await self._document()
        assert "request" not in document, document
        return document

    async def messages(self, count: int) -> list[dict[str, Any]]:
        """So many pushes, which have to be messages."""
        found = [await self.next() for _ in range(count)]
        assert all(one["Message_Type"] == "Message" for one in found), found
        return found

    async def bodies(self, count: int) -> list[Any]:
        """The bodies of so many messages, and a mark at those that were sent before."""
        return [(one["body"], "again") if "redelivered" in one else one["body"] for one in await self.messages(count)]

    async def subscribe(self, queue: str = "q", **terms: Any) -> dict[str, Any]:
        """Make a live subscription; what the reply tells of it."""
        status, body = await self.ask("subscription_create", queue_name=queue, **terms)
        assert status == 201, body
        found: dict[str, Any] = body["live"]
        return found

    async def nothing(self) -> None:
        """Check that there is no push before the reply to a request."""
        assert (await self.ask("queue_list"))[0] == 200
        assert not self.pushed, self.pushed


class _Live:
    """Mixed into a case with a store."""


    async def client(self: Any, gateway: Gateway, *, client: str = CLIENT, project: str = "p") -> Client:
        """A new socket."""
        return Client(await gateway.socket(), {"Client-ID": client, "X-Project-ID": project})

    async def one(self: Any, **options: Any) -> Client:
        """A socket at a gateway of its own."""
        self.storage: IStorage = await self.a_store()
        self.gateway = await self.begin(self.storage, **options)
        client: Client = await self.client(self.gateway)
        return client

    async def post(self: Any, *bodies: Any, queue: str = "q", client: str = CLIENT, project: str = "p") -> list[str]:
        """Post messages over a connection of its own; their ids."""
        poster = await self.client(self.gateway, client=client, project=project)
        status, body = await poster.ask("message_post", queue_name=queue, messages=[{"body": one} for one in bodies])
        self.assertEqual(status, 201, body)
        return list(body["message_ids"])

    # -- subscriptions -------------------------------------------------------------------------------------------------

    async def test_push(self: Any) -> None:
        """What is posted after the reply is pushed, whole, with its id and age; the reply comes first."""
        me = await self.one()
        live = await me.subscribe(start="latest")
        self.assertEqual(live | {"marker": ""}, {"marker": "", "durable": None, "window": None, "resumed": False})
        (first,) = await self.post({"n": 1})
        self.assertEqual(
            await me.next(),
            {"Message_Type": "Message", "queue_name": "q", "id": first, "ttl": 3600, "age": 0, "body": {"n": 1}},
        )
        status, body = await me.ask("subscription_list", queue_name="q")
        self.assertEqual((status, len(body["subscriptions"])), (200, 1))
        self.assertEqual((await me.ask("subscription_create", queue_name="q", start="latest"))[0], 409)

    async def test_start(self: Any) -> None:
        """It begins at the oldest message, behind a message, or behind all that there was; also of a queue that is missing."""
        me = await self.one()
        ids = await self.post(1, 2, 3)
        for start, expected in (("earliest", [1, 2, 3, 4]), (ids[1], [3, 4]), ("latest", [4])):
            other = await self.client(self.gateway)
            await other.subscribe(start=start)
            self.sockets = [*getattr(self, "sockets", ()), (other, expected)]
        await me.subscribe("new", start="latest")
        await self.post(4)
        for other, expected in self.sockets:
            self.assertEqual(await other.bodies(len(expected)), expected)
        await self.post(5, queue="new")
        self.assertEqual(await me.bodies(1), [5])

    async def test_start_again(self: Any) -> None:
        """The marker of the answer is an id that sorts before all that comes, and where another one can begin."""
        await self.one()
        ids = await self.post(1, 2, 3)
        for start, expected in (("earliest", [1, 2, 3]), (ids[0], [2, 3]), ("latest", [])):
            terms: list[dict[str, str]] = [{}, {"durable": start[:5]}]
            for more in terms:
                other, again = await self.client(self.gateway), await self.client(self.gateway)
                marker = (await other.subscribe(start=start, **more))["marker"]
                self.assertRegex(marker, "^[0-9a-f]{24}$")
                for one in await other.messages(len(expected)):
                    self.assertLess(marker, one["id"])
                await again.subscribe(start=marker)
                self.assertEqual(await again.bodies(len(expected)), expected)

    async def end(self: Any, me: Client) -> None:
        """Have a socket delete its subscription."""
        _, body = await me.ask("subscription_list", queue_name="q")
        (mine,) = body["subscriptions"]
        self.assertEqual((await me.ask("subscription_delete", queue_name="q", subscription_id=mine["id"]))[0], 204)

    async def test_again(self: Any) -> None:
        """Who deletes a subscription is told of its end right behind the reply, and may subscribe again at once."""
        me = await self.one()
        for terms in {"start": "latest"}, {"claim": {"ttl": 60, "grace": 60}}, {"durable": "d"}:
            await me.subscribe(**terms)
            await self.end(me)
            me.send("queue_list")
            self.assertEqual((await me.next())["Message_Type"], "End")
            await me.reply()
        await me.subscribe(start="latest")
        await self.post(1, 2)
        self.assertEqual(await me.bodies(2), [1, 2])
        await me.nothing()

    async def test_again_elsewhere(self: Any) -> None:
        """Nor does it matter who has deleted it, and whether that was seen: what was there is silent, and is no second one."""
        me = await self.one()
        for terms in {"claim": {"ttl": 60, "grace": 60}}, {"durable": "d"}:
            await me.subscribe(**terms)
            _, body = await me.ask("subscription_list", queue_name="q")
            await self.storage.subscriptions.delete("p", "q", body["subscriptions"][0]["id"])
            await me.subscribe(start="latest")
            await self.post("x")
            self.assertEqual(await me.bodies(1), ["x"])
            await me.nothing()
            await self.end(me)
            self.assertEqual((await me.next())["Message_Type"], "End")

    async def test_resume_by_id(self: Any) -> None:
        """Who comes again with the id of the last message seen goes on behind it; what is gone meanwhile is told."""
        me = await self.one()
        ids = await self.post(1, 2, 3, 4)
        await me.subscribe(start="earliest")
        self.assertEqual(await me.bodies(4), [1, 2, 3, 4])
        again = await self.client(self.gateway)
        await again.ask("message_delete", queue_name="q", message_id=ids[2])
        await again.subscribe(start=ids[1])
        self.assertEqual(
            await again.next(),
            {"Message_Type": "Gap", "queue_name": "q", "after": ids[1], "continues_at": ids[3]},
        )
        self.assertEqual(await again.bodies(1), [4])

    async def test_echo(self: Any) -> None:
        """Own messages come, unless echo is false; whose they are is told by Client-ID, which has to be one then."""
        me = await self.one()
        await me.subscribe(echo=False)
        other = await self.client(self.gateway, client=OTHER_CLIENT)
        await other.subscribe(echo=True)
        await self.post(1)
        await self.post(2, client=OTHER_CLIENT)
        self.assertEqual((await me.bodies(1), await other.bodies(2)), ([2], [1, 2]))
        nobody = await self.client(self.gateway, client="x")
        status, body = await nobody.ask("subscription_create", queue_name="q", echo=False)
        self.assertEqual(status, 400)
        self.assertIn("Client-ID", body["error"])

    async def test_packed(self: Any) -> None:
        """Pushes have the form of the request that subscribed."""
        me = await self.one()
        body = {"queue_name": "q", "durable": "d"}
        reply = await me.socket.ask_packed({"action": "subscription_create", "headers": HEADERS, "body": body})
        self.assertEqual(reply["body"]["live"]["durable"], "d")
        await self.post({"a": [1, None]})
        first, payload = await me.socket.frame()
        self.assertEqual((first, msgpack.unpackb(payload)["body"]), (0x82, {"a": [1, None]}))

    async def test_window(self: Any) -> None:
        """No more than the window is sent and not done; what is done makes room, and the window can be changed."""
        me = await self.one()
        await me.subscribe(acknowledge="explicit", window=2, start="earliest")
        ids = await self.post(*range(8))
        self.assertEqual(await me.bodies(2), [0, 1])
        await me.nothing()
        self.assertEqual(await me.ask("message_acknowledge", queue_name="q", message_ids=ids[:1]), (200, {"acknowledged": 1}))
        self.assertEqual(await me.bodies(1), [2])
        self.assertEqual(await me.ask("message_acknowledge", queue_name="q", up_to=ids[2]), (200, {"acknowledged": 2}))
        self.assertEqual(await me.bodies(2), [3, 4])
        self.assertEqual(await me.ask("subscription_window", queue_name="q", window=4), (200, {"window": 4}))
        self.assertEqual(await me.bodies(2), [5, 6])
        await me.nothing()

    async def test_refused(self: Any) -> None:
        """What is refused comes again before anything new, marked; what is not outstanding is not counted."""
        me = await self.one()
        await me.subscribe(acknowledge="explicit", window=1)
        ids = await self.post(1, 2)
        self.assertEqual(await me.bodies(1), [1])
        answer = await me.ask("message_refuse", queue_name="q", message_ids=[ids[0], ids[1], "x"])
        self.assertEqual(answer, (200, {"refused": 1}))
        self.assertEqual(await me.bodies(1), [(1, "again")])
        answer = await me.ask("message_extend", queue_name="q", message_ids=[ids[0], ids[1]], deadline=60)
        self.assertEqual(answer, (200, {"extended": 1}))
        answer = await me.ask("message_refuse", queue_name="q", message_ids=ids[:1], delay=3600)
        self.assertEqual(answer, (200, {"refused": 1}))
        self.assertEqual(await me.bodies(1), [2])

    async def test_deadline(self: Any) -> None:
        """What is not done by its deadline comes again."""
        me = await self.one()
        await me.subscribe(acknowledge="explicit", deadline=1)
        await self.post(1)
        self.assertEqual(await me.bodies(2), [1, (1, "again")])

    async def test_durable(self: Any) -> None:
        """Who comes again with a durable name gets what was not done, in order and marked, then what is new; at any
        gateway."""
        me = await self.one()
        live = await me.subscribe(durable="d", start="earliest")
        self.assertEqual((live["durable"], live["window"], live["resumed"]), ("d", 100, False))
        ids = await self.post(1, 2, 3, 4)
        self.assertEqual(await me.bodies(4), [1, 2, 3, 4])
        answer = await me.ask("message_acknowledge", queue_name="q", message_ids=[ids[1], ids[2]])
        self.assertEqual(answer, (200, {"acknowledged": 2}))
        await me.socket.close()
        await self.post(5)
        elsewhere = await self.client(await self.begin(self.storage))
        live = await elsewhere.subscribe(durable="d", start="latest")
        self.assertTrue(live["resumed"])
        self.assertTrue("0" * 14 < live["marker"] < ids[0], live)
        self.assertEqual(await elsewhere.bodies(3), [(1, "again"), (4, "again"), 5])

    async def test_durable_gap(self: Any) -> None:
        """What is gone before it was done is told, whether or not it had been sent."""
        me = await self.one()
        await me.subscribe(durable="d", window=2)
        ids = await self.post(1, 2, 3, 4)
        await me.messages(2)
        await me.socket.close()
        again = await self.client(self.gateway)
        for gone in (ids[0], ids[2]):
            await again.ask("message_delete", queue_name="q", message_id=gone)
        await again.subscribe(durable="d")
        gap = {"Message_Type": "Gap", "queue_name": "q"}
        self.assertEqual(await again.next(), gap | {"after": None, "continues_at": ids[1]})
        self.assertEqual(await again.bodies(1), [(2, "again")])
        self.assertEqual(await again.next(), gap | {"after": ids[1], "continues_at": ids[3]})
        self.assertEqual(await again.bodies(1), [4])

    async def test_taken_over(self: Any) -> None:
        """Who attaches a durable name that is attached takes it over: the other one is told, and can acknowledge no more."""
        me = await self.one()
        await me.subscribe(durable="d")
        ids = await self.post(1)
        await me.messages(1)
        for gateway in (self.gateway, await self.begin(self.storage)):
            other = await self.client(gateway)
            await other.subscribe(durable="d")
            self.assertEqual(await other.bodies(1), [(1, "again")])
            self.assertEqual(await me.next(), {"Message_Type": "End", "queue_name": "q", "reason": "taken over"})
            status, body = await me.ask("message_acknowledge", queue_name="q", message_ids=ids)
            self.assertEqual(status, 409, body)
            me = other
        self.assertEqual(await me.ask("message_acknowledge", queue_name="q", message_ids=ids), (200, {"acknowledged": 1}))

    async def test_taken_over_and_back(self: Any) -> None:
        """A socket whose name was taken over can take it back."""
        me = await self.one()
        await me.subscribe(durable="d")
        other = await self.client(self.gateway)
        await other.subscribe(durable="d")
        self.assertEqual((await me.next())["reason"], "taken over")
        self.assertTrue((await me.subscribe(durable="d"))["resumed"])
        self.assertEqual((await other.next())["reason"], "taken over")
        ids = await self.post(1)
        self.assertEqual(await me.bodies(1), [1])
        self.assertEqual(await me.ask("message_acknowledge", queue_name="q", up_to=ids[0]), (200, {"acknowledged": 1}))

    async def test_durable_names(self: Any) -> None:
        """They can be listed and deleted, over both transports; whoever holds a name that is deleted is told."""
        me = await self.one()
        await me.subscribe(durable="d", ttl=600)
        ids = await self.post(1, 2)
        await me.messages(2)
        http = await self.gateway.http()
        headers: dict[str, str | None] = {"X-Project-ID": "p"}
        listed = (await http.ask("GET", "/v2/queues/q/durables", None, headers)).json
        self.assertEqual((await me.ask("durable_list", queue_name="q")), (200, listed))
        shown = listed["durables"][0]
        self.assertEqual(
            shown, {"name": "d", "marker": ids[1], "pending": 2, "attached": True, "expires_in": shown["expires_in"]}
        )
        self.assertEqual((await http.ask("DELETE", "/v2/queues/q/durables/d", None, headers)).status, 204)
        self.assertEqual((await me.next())["Message_Type"], "End")
        self.assertEqual((await me.ask("durable_list", queue_name="q")), (200, {"durables": []}))
        self.assertEqual((await me.ask("durable_delete", queue_name="q", durable="d"))[0], 204)
        for name in ("a b", "", "x" * 65):
            status, body = await me.ask("durable_delete", queue_name="q", durable=name)
            self.assertEqual(status, 400)
            self.assertIn("durable", body["error"])
            for action in ("durable_list", "durable_delete"):
                status, body = await me.ask(action, queue_name=name, durable="d")
                self.assertEqual((status, "Queue name is not valid" in body["error"]), (400, True), (action, name))

    async def test_let_go(self: Any) -> None:
        """Behind the reply to a ``subscription_delete`` its durable name is held by nobody."""
        me = await self.one()
        for _ in range(3):
            status, body = await me.ask("subscription_create", queue_name="q", durable="d")
            self.assertEqual((status, body["live"]["durable"]), (201, "d"))
            await me.ask("subscription_delete", queue_name="q", subscription_id=body["subscription_id"])
            status, body = await me.ask("durable_list", queue_name="q")
            self.assertEqual([(one["name"], one["attached"]) for one in body["durables"]], [("d", False)])
            self.assertEqual((await me.next())["Message_Type"], "End")

    async def test_ended(self: Any) -> None:
        """Whose subscription is deleted is told; the socket stays, and may subscribe again."""
        me = await self.one()
        status, body = await me.ask("subscription_create", queue_name="q", start="latest")
        other = await self.client(self.gateway)
        await other.ask("subscription_delete", queue_name="q", subscription_id=body["subscription_id"])
        end = {"Message_Type": "End", "queue_name": "q", "reason": "The subscription has ended."}
        self.assertEqual(await me.next(), end)
        await self.post(1)
        await me.nothing()
        await me.subscribe(start="earliest")
        self.assertEqual(await me.bodies(1), [1])

    async def test_plain_beside(self: Any) -> None:
        """A plain subscription is as it was: its pushes, and no acknowledgement."""
        me = await self.one()
        status, body = await me.ask("subscription_create", queue_name="q")
        self.assertEqual((status, set(body)), (201, {"subscription_id", "message"}))
        await me.subscribe("q2", start="latest")
        await self.post(1)
        self.assertEqual(await me.next(), {"body": 1, "ttl": 3600, "queue_name": "q", "Message_Type": "Notification"})
        self.assertEqual((await me.ask("message_acknowledge", queue_name="q", message_ids=["a"]))[0], 404)

    async def test_bad_terms(self: Any) -> None:
        """What is wrong is told with the field, and nothing is made."""
        me = await self.one()
        for field, values in {
            "start": (1, None, "", "x", "new", [], {"id": 1}, "é" * 24, "g" * 24, "x" * 5000),
            "durable": (1, None, "", "a b", "é", "x" * 65, "a/b", "a\n", ["a"]),
            "window": (0, 1001, -1, "1", 1.5, None, True, [], 2**62),
            "acknowledge": ("all", "", 1, None, True, ["explicit"], "x" * 5000),
            "deadline": (0, 43201, "30", 1.5, None, True),
            "echo": (1, 0, "false", None, []),
            "claim": (1, None, "x", [], True, {"ttl": "60"}, {"ttl": 59}, {"grace": 59}, {"ttl": 1.5}, {"x": 1}, {"ttl": None}),
        }.items():
            for value in values:
                status, body = await me.ask("subscription_create", queue_name="q", **{field: value})
                self.assertEqual(status, 400, (field, value, body))
                self.assertIn(field, body["error"], value)
                self.assertLess(len(body["error"]), 400)
        for field, value in (("start", "latest"), ("durable", "d"), ("acknowledge", "none"), ("deadline", 1), ("echo", True)):
            status, body = await me.ask("subscription_create", queue_name="q", claim={}, **{field: value})
            self.assertEqual(status, 400)
            self.assertIn(field, body["error"])
        for members in ({"ttl": 14 * 86400 + 1, "durable": "d"}, {"subscriber": "http://a", "window": 1}):
            self.assertEqual((await me.ask("subscription_create", queue_name="q", **members))[0], 400)
        for ttl, named in ((59, "from 60 to 1209600"), (14 * 86400 + 1, "from 60 to 1209600")):
            status, body = await me.ask("subscription_create", queue_name="q", durable="d", ttl=ttl)
            self.assertEqual((status, named in body["error"]), (400, True), body)
        self.assertEqual(await me.ask("subscription_list", queue_name="q"), (200, {"subscriptions": []}))
        self.assertEqual(await me.ask("durable_list", queue_name="q"), (200, {"durables": []}))
        self.assertEqual(await me.ask("queue_list"), (200, {"queues": []}))

    async def test_bad_words(self: Any) -> None:
        """What a live subscription cannot be told is refused with the field; without one it is 404."""
        me = await self.one()
        good: dict[str, Any] = {"message_ids": ["a"]}
        body: dict[str, Any]
        for action, body in (
            ("message_acknowledge", good),
            ("message_acknowledge", {"up_to": "a" * 24}),
            ("message_refuse", good),
            ("message_extend", good | {"deadline": 5}),
            ("subscription_window", {"window": 5}),
        ):
            self.assertEqual((await me.ask(action, queue_name="q", **body))[0], 404, action)
            for name in ("a b", "", "x" * 65):
                status, answer = await me.ask(action, queue_name=name, **body)
                self.assertEqual((status, "Queue name is not valid" in answer["error"]), (400, True), (action, name))
        await me.subscribe(acknowledge="explicit")
        for action, body, field in (
            ("message_acknowledge", {}, "up_to"),
            ("message_acknowledge", good | {"up_to": "a"}, "up_to"),
            ("message_acknowledge", {"message_ids": []}, "message_ids"),
            ("message_acknowledge", {"up_to": ""}, 'up_to is ""; it has to be the id of a message'),
            ("message_acknowledge", {"up_to": "latest"}, 'up_to is "latest"'),
            ("message_acknowledge", {"up_to": "A" * 24}, "up_to is"),
            ("message_acknowledge", {"up_to": "x" * 5000}, "up_to is a string; it has to be"),
            ("message_acknowledge", {"message_ids": ["a"] * 1001}, "message_ids"),
            ("message_refuse", good | {"delay": -1}, "delay"),
            ("message_refuse", good | {"delay": 43201}, "delay"),
            ("message_extend", good | {"deadline": 0}, "deadline"),
            ("message_extend", {"message_ids": [], "deadline": 1}, "message_ids"),
            ("subscription_window", {"window": 0}, "window"),
            ("subscription_window", {"window": 1001}, "window"),
        ):
            status, answer = await me.ask(action, queue_name="q", **body)
            self.assertEqual(status, 400, (action, body))
            self.assertIn(field, answer["error"])
        await me.subscribe("none", acknowledge="none")
        status, answer = await me.ask("message_acknowledge", queue_name="none", up_to="a" * 24)
        self.assertEqual((status, "acknowledge explicit" in answer["error"]), (400, True))

    async def test_others(self: Any) -> None:
        """What is another's, of another queue, project or connection, cannot be acknowledged or refused."""
        me = await self.one()
        other, stranger = await self.client(self.gateway), await self.client(self.gateway, project="p2")
        for each in (me, other, stranger):
            await each.subscribe(acknowledge="explicit", window=1)
        mine = await self.post(1, 2)
        theirs = await self.post(1, 2, project="p2")
        elsewhere = await self.post(9, queue="q2")
        for each in (me, other, stranger):
            self.assertEqual(await each.bodies(1), [1])
        for ids in (theirs, elsewhere, ["", "x", "\u00e9", "f" * 24]):
            self.assertEqual(await me.ask("message_acknowledge", queue_name="q", message_ids=ids), (200, {"acknowledged": 0}))
            self.assertEqual(await me.ask("message_acknowledge", queue_name="q", up_to=ids[-1]), (200, {"acknowledged": 0}))
            self.assertEqual(await me.ask("message_refuse", queue_name="q", message_ids=ids), (200, {"refused": 0}))
        self.assertEqual(await me.ask("message_acknowledge", queue_name="q", up_to=mine[0]), (200, {"acknowledged": 1}))
        self.assertEqual(await me.bodies(1), [2])
        await other.nothing()
        await stranger.nothing()

    async def test_many_subscriptions(self: Any) -> None:
        """A thousand on one socket are served, and end with it."""
        me = await self.one()
        for number in range(1000):
            me.send("subscription_create", queue_name=f"q{number}", acknowledge="explicit")
        for _ in range(1000):
            self.assertEqual((await me.reply())[0], 201)
        poster = await self.client(self.gateway)
        for number in range(1000):
            poster.send("message_post", queue_name=f"q{number}", messages=[{"body": number}])
        for _ in range(1000):
            self.assertEqual((await poster.reply())[0], 201)
        self.assertEqual(sorted(await me.bodies(1000)), list(range(1000)))

    async def test_policy(self: Any) -> None:
        """Who may not read messages gets no live subscription, and who may not claim is no worker; deleting is needed to
        acknowledge as one."""
        me = await self.one(policy=Policy({"messages:get_all": "role:reader", "claims:create": "role:worker"}))
        self.assertEqual((await me.ask("subscription_create", queue_name="q", start="latest"))[0], 403)
        self.assertEqual((await me.ask("subscription_create", queue_name="q", claim={}))[0], 403)
        self.assertEqual(await me.ask("subscription_list", queue_name="q"), (200, {"subscriptions": []}))

    async def test_policy_of_words(self: Any) -> None:
        """What a worker is done with it has to be allowed to delete."""
        me = await self.one(policy=Policy({"messages:delete": "!"}))
        await me.subscribe(claim={})
        (first,) = await self.post(1)
        await me.messages(1)
        self.assertEqual((await me.ask("message_acknowledge", queue_name="q", message_ids=[first]))[0], 403)
        self.assertEqual((await me.ask("message_refuse", queue_name="q", message_ids=[first]))[0], 200)

    # -- who it is -----------------------------------------------------------------------------------------------------

    async def authenticated(self: Any, expires_in_s: float = 3600) -> Client:
        """A socket at a gateway that wants tokens, on which somebody has authenticated."""
        expires_s = int(time() + expires_in_s)
        tokens = StubTokens(mine=caller("p", "u", expires_s=expires_s), theirs=caller("p", "other", expires_s=expires_s))
        client: Client = await self.one(tokens=tokens)
        await self.authenticate(client, "mine")
        return client

    async def authenticate(self: Any, client: Client, token: str) -> None:
        """Have somebody speak on a socket."""
        headers = HEADERS | {"X-Auth-Token": token}
        client.socket.send(json.dumps({"action": "authenticate", "headers": headers}).encode())
        self.assertEqual((await client.reply())[0], 200)

    async def test_somebody_else(self: Any) -> None:
        """When somebody else authenticates on the socket what it had ends, and what it had claimed is free; the same user with a
        new token changes nothing."""
        me = await self.authenticated()
        await me.subscribe(durable="d")
        await me.subscribe("w", claim={})
        await me.ask("message_post", queue_name="w", messages=[{"body": 1}])
        self.assertEqual(await me.bodies(1), [1])
        await self.authenticate(me, "mine")
        await me.nothing()
        await self.authenticate(me, "theirs")
        while len(me.pushed) < 2:
            me.pushed.append(await me._document())
        self.assertEqual({(one["Message_Type"], one["queue_name"]) for one in me.pushed}, {("End", "q"), ("End", "w")})
        me.pushed.clear()
        self.assertEqual((await me.ask("message_acknowledge", queue_name="q", up_to="a" * 24))[0], 404)
        await me.subscribe("w", claim={})
        self.assertEqual(await me.bodies(1), [1])

    async def test_expired(self: Any) -> None:
        """When the token ends so does the socket, and the durable name is let go."""
        me = await self.authenticated(expires_in_s=3)
        await me.subscribe(durable="d")
        self.assertEqual(await me.socket.close_code(), 4003)
        found = await self.storage.durables.list("p", "q")
        while found[0].attached:
            found = await self.storage.durables.list("p", "q")
        self.assertEqual(found[0].name, "d")

    # -- workers -------------------------------------------------------------------------------------------------------

    async def test_worker(self: Any) -> None:
        """Messages are claimed as they come, within the window; what is done is deleted."""
        me = await self.one()
        live = await me.subscribe(claim={"ttl": 60, "grace": 60}, window=2)
        self.assertEqual(live, {"marker": None, "durable": None, "window": 2, "resumed": False})
        ids = await self.post(1, 2, 3)
        first, second = await me.messages(2)
        self.assertEqual(
            first,
            {"Message_Type": "Message", "queue_name": "q", "id": ids[0], "claim_id": first["claim_id"], "ttl": 3600}
            | {"age": 0, "body": 1},
        )
        self.assertNotEqual(first["claim_id"], second["claim_id"])
        await me.nothing()
        answer = await me.ask("message_acknowledge", queue_name="q", message_ids=[ids[0], ids[2], "x"])
        self.assertEqual(answer, (200, {"acknowledged": 1}))
        self.assertEqual(await me.bodies(1), [3])
        self.assertEqual((await me.ask("message_get", queue_name="q", message_id=ids[0]))[0], 404)
        answer = await me.ask("message_extend", queue_name="q", message_ids=[ids[1], ids[0]], deadline=60)
        self.assertEqual(answer, (200, {"extended": 1}))
        self.assertEqual(await me.ask("message_acknowledge", queue_name="q", up_to=ids[2]), (200, {"acknowledged": 2}))
        self.assertEqual((await me.ask("queue_get_stats", queue_name="q"))[1]["messages"]["total"], 0)

    async def test_workers_refusal(self: Any) -> None:
        """What is refused goes back to its place, at once or after a delay."""
        me = await self.one()
        await me.subscribe(claim={}, window=1)
        ids = await self.post(1, 2)
        await me.messages(1)
        self.assertEqual(await me.ask("message_refuse", queue_name="q", message_ids=ids), (200, {"refused": 1}))
        self.assertEqual(await me.bodies(1), [1])
        answer = await me.ask("message_refuse", queue_name="q", message_ids=ids[:1], delay=100)
        self.assertEqual(answer, (200, {"refused": 1}))
        self.assertEqual(await me.bodies(1), [2])
        self.clock.advance(101)
        await me.ask("message_acknowledge", queue_name="q", up_to=ids[1])
        self.assertEqual(await me.bodies(1), [1])

    async def test_worker_that_goes(self: Any) -> None:
        """What a worker had whose socket closes another one gets at once, in order; at any gateway."""
        me = await self.one()
        await me.subscribe(claim={})
        await self.post(1, 2, 3)
        await me.messages(3)
        other = await self.client(await self.begin(self.storage))
        await other.subscribe(claim={})
        await me.socket.close()
        self.assertEqual(sorted(await other.bodies(3)), [1, 2, 3])

    async def test_share(self: Any) -> None:
        """Workers of one gateway share: none gets all."""
        me = await self.one()
        clients = [me, *[await self.client(self.gateway) for _ in range(3)]]
        for each in clients:
            await each.subscribe(claim={}, window=1000)
        await self.post(*range(20))
        await self.post(*range(20))
        await self.post(*range(20))
        await self.post(*range(20))
        for each in clients:
            self.assertEqual(len(await each.messages(20)), 20)

    async def test_ordinary_ways(self: Any) -> None:
        """A worker may as well delete under its claim, or release it; that frees its window too."""
        me = await self.one()
        await me.subscribe(claim={}, window=1)
        await self.post(1, 2)
        (first,) = await me.messages(1)
        status, _ = await me.ask("message_delete", queue_name="q", message_id=first["id"], claim_id=first["claim_id"])
        self.assertEqual(status, 204)
        (second,) = await me.messages(1)
        self.assertEqual(second["body"], 2)
        self.assertEqual((await me.ask("claim_delete", queue_name="q", claim_id=second["claim_id"]))[0], 204)
        (again,) = await me.messages(1)
        self.assertEqual((again["id"], again["claim_id"] != second["claim_id"]), (second["id"], True))

    async def test_ended_elsewhere(self: Any) -> None:
        """What others delete or release makes room for a worker soon, however long its claims last."""
        me, other = await self.one(), await self.client(self.gateway, client=OTHER_CLIENT)
        await me.subscribe(claim={"ttl": 43_200}, window=1)
        await self.post(1, 2, 3)
        (had,) = await me.messages(1)
        for action, which, body in (
            ("message_delete", ("message_id", "claim_id"), 2),
            ("claim_delete", ("claim_id",), 2),
            ("message_delete_many", ("message_ids",), 3),
        ):
            ids = {"message_id": had["id"], "message_ids": [had["id"]], "claim_id": had["claim_id"]}
            status, _ = await other.ask(action, queue_name="q", **{name: ids[name] for name in which})
            self.assertEqual(status, 204)
            await me.nothing()
            self.clock.advance(LIVE_S)
            (had,) = await me.messages(1)
            self.assertEqual(had["body"], body, action)

    async def test_dead_letters(self: Any) -> None:
        """What is refused too often goes where it goes otherwise; how often it was claimed is told."""
        me = await self.one()
        metadata = {"_max_claim_count": 2, "_dead_letter_queue": "dead"}
        await me.ask("queue_create", queue_name="q", metadata=metadata)
        await me.subscribe(claim={})
        (first,) = await self.post(1)
        for count in (1, 2):
            (message,) = await me.messages(1)
            self.assertEqual(message["claim_count"], count)
            await me.ask("message_refuse", queue_name="q", message_ids=[first])
        self.clock.advance(1)
        status, body = await me.ask("message_list", queue_name="dead", echo=True)
        while not body["messages"]:
            status, body = await me.ask("message_list", queue_name="dead", echo=True)
        self.assertEqual([one["body"] for one in body["messages"]], [1])


class LiveMemoryTests(_Live, LiveCase, OnMemory):
    """On the store in memory."""


class LiveRedisTests(_Live, LiveCase, OnRedis):
    """On Redis."""
