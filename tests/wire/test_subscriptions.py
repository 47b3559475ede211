"""Subscriptions through sockets: confirmations that are signed, and pushes, on both stores.

What the table has is not repeated here.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import msgpack
from attrs import define, field
from zope.interface import implementer
from zope.interface.verify import verifyObject

from tests.helpers import OTHER_CLIENT, PROJECT, Pushed
from tests.transport.websocket.client import BINARY, TEXT, envelope
from tests.wire.calls import Call, frame_request, from_frame, from_http, http_request
from tests.wire.gateway import Gateway, HttpConnection, OnMemory, OnRedis, SocketConnection
from zaqar_gateway.identity.signed_url import UrlSigner
from zaqar_gateway.interfaces import IListener, ISockets, IStorage, ISubscriptionStore
from zaqar_gateway.model import CONFIRM, UNSUBSCRIBE, Owed, Place

KEY = "s3cr3t"
HOOK = "http://example.org/hook"
QUEUE = "/v2/queues/q"


@define
class Attached:
    """A subscription of a connection, and up to where it was pushed to."""

    listener: IListener
    place: Place
    id: str
    cursor: str


@implementer(ISockets)
@define
class PlainSockets:
    """Pushes what was posted when the test says so."""

    _store: ISubscriptionStore
    name: str = "gateway-1"
    _attached: list[Attached] = field(factory=list)
    _ended: list[Attached] = field(factory=list)

    def add(self, place: Place, subscription_id: str, cursor: str, listener: IListener) -> None:
        """See :class:`~zaqar_gateway.interfaces.ISockets`."""
        self._attached.append(Attached(listener, place, subscription_id, cursor))

    def hold(
        self, place: Place, subscription_id: str, listener: IListener, gone: Callable[[], None]
    ) -> Callable[[], None]:
        """See :class:`~zaqar_gateway.interfaces.ISockets`."""
        raise NotImplementedError

    def gone(self, listener: IListener) -> None:
        """See :class:`~zaqar_gateway.interfaces.ISockets`."""
        self._ended += [one for one in self._attached if one.listener is listener]
        self._attached = [one for one in self._attached if one.listener is not listener]

    async def ring(self) -> None:
        """Push what was posted since the last ring, and end what has ended."""
        while self._ended:
            one = self._ended.pop()
            await self._store.delete(one.place.project, one.place.name, one.id)
        for one in self._attached:
            page = await self._store.read(one.place.project, one.place.name, one.cursor, 100)
            one.cursor = page.cursor
            for post in page.posts:
                more = {"queue_name": one.place.name, "Message_Type": "Notification"}
                one.listener.push(Pushed({"body": json.loads(post.body), "ttl": post.ttl_s, **more}))


class _Confirmations:
    """What subscribers are asked, and how they answer; a subclass says on which store."""

    start: Callable[..., Gateway]
    a_store: Callable[[], Any]
    clock: Any
    assertEqual: Callable[..., Any]
    assertTrue: Callable[..., Any]

    async def begin(self, **options: Any) -> tuple[HttpConnection, IStorage]:
        storage = await self.a_store()
        self.gateway = self.start(storage, keys=[KEY], clock=self.clock, **options)
        return await self.gateway.http(), storage

    async def create(self, http: HttpConnection, **members: Any) -> str:
        response = await http.ask("POST", f"{QUEUE}/subscriptions", {"subscriber": HOOK, **members})
        self.assertEqual(response.status, 201, response.body)
        return str(response.json["subscription_id"])

    async def owed(self, storage: IStorage) -> list[tuple[str, int]]:
        """The notices that are owed, with how long they may be answered."""
        taken: list[Owed] = await storage.deliveries.take(
            Place(PROJECT, "q"), limit=9, batch=9, lease_ms=1, required=True
        )
        self.clock.advance(1)
        return [(post.notice, post.until_s - int(self.clock.seconds()) + 1) for one in taken for post in one.posts]

    async def test_asked(self) -> None:
        """A subscriber is asked at creation, again at each repetition, and told of the end."""
        http, storage = await self.begin(require_confirmation=True)
        subscription_id = await self.create(http, ttl=100)
        self.assertEqual(await self.owed(storage), [(CONFIRM, 100)])
        await self.create(http, ttl=200)
        self.assertEqual([kind for kind, _ in await self.owed(storage)], [CONFIRM] * 2)
        confirm = f"{QUEUE}/subscriptions/{subscription_id}/confirm"
        self.assertEqual((await http.ask("PUT", confirm, {"confirmed": True})).status, 204)
        self.assertEqual((await http.ask("PUT", confirm, {"confirmed": False})).status, 204)
        self.assertEqual((await self.owed(storage))[-1][0], UNSUBSCRIBE)

    async def test_not_asked(self) -> None:
        """Nobody is asked where it is not required, nor by WebSocket."""
        http, storage = await self.begin()
        await self.create(http)
        self.assertEqual(await self.owed(storage), [])
        gateway = self.start(storage, keys=[KEY], clock=self.clock, require_confirmation=True)
        socket = await gateway.socket()
        reply = await socket.ask(envelope("subscription_create", {"queue_name": "q", "subscriber": "http://other"}))
        self.assertEqual(reply["headers"], {"status": 201})
        self.assertEqual(await self.owed(storage), [])

    async def test_signed(self) -> None:
        """Whoever was sent the signature confirms with it and nothing else, also with EXTRA-SPEC (3.12, 3.14)."""
        http, _ = await self.begin()
        subscription_id = await self.create(http)
        call = Call("subscription_confirm", {"queue_name": "q", "subscription_id": subscription_id, "confirmed": True})
        _, path, body, _ = http_request(call)
        signed = UrlSigner((KEY,), self.clock).sign(PROJECT, [path], ["PUT"], int(self.clock.seconds()) + 60)
        sent = {
            "Client-ID": OTHER_CLIENT,
            "X-Project-ID": PROJECT,
            "URL-Signature": signed.signature,
            "URL-Expires": signed.expires,
            "URL-Methods": "PUT",
            "URL-Paths": path,
        }
        for more in ({}, {"EXTRA-SPEC": "messagecode:123456"}):
            response = await http.ask("PUT", path, body, {**sent, **more}, bare=True)
            self.assertEqual(from_http(call, response).status, 204)
        shown = (await http.ask("GET", path.removesuffix("/confirm"))).json
        self.assertTrue(shown["confirmed"])
        for method, target in (("PUT", path[:-9]), ("GET", path[:-8]), ("PUT", path.replace("/q/", "/r/"))):
            response = await http.ask(method, target, body, sent, bare=True)
            self.assertEqual((response.status, response.json), (404, {"title": "404 Not Found"}))
        self.clock.advance(60)
        self.assertEqual((await http.ask("PUT", path, body, sent, bare=True)).status, 404)


class _Pushes:
    """Pushes to sockets; a subclass says on which store."""

    start: Callable[..., Gateway]
    a_store: Callable[[], Any]
    assertEqual: Callable[..., Any]
    assertRegex: Callable[..., Any]

    async def begin(self) -> tuple[Gateway, Gateway, PlainSockets]:
        """Two gateways over one store, the first with sockets that subscribe."""
        storage = await self.a_store()
        sockets = PlainSockets(storage.subscriptions)
        return self.start(storage, sockets=sockets), self.start(storage), sockets

    async def subscribe(self, socket: SocketConnection, queue: str = "q", *, packed: bool = False) -> str:
        request = envelope("subscription_create", {"queue_name": queue})
        reply = await (socket.ask_packed if packed else socket.ask)(request)
        self.assertEqual(reply["headers"], {"status": 201}, reply)
        return str(reply["body"]["subscription_id"])

    def note(self, body: Any, queue: str = "q") -> dict[str, Any]:
        return {"body": body, "ttl": 3600, "queue_name": queue, "Message_Type": "Notification"}

    async def test_through_any_gateway(self) -> None:
        """What is posted over HTTP or WebSocket, through any gateway, comes as the payload alone, in its order (4.6)."""
        gateway, other, sockets = await self.begin()
        verifyObject(ISockets, sockets)
        socket, http, poster = await gateway.socket(), await other.http(), await other.socket()
        await self.subscribe(socket)
        await http.ask("POST", f"{QUEUE}/messages", {"messages": [{"body": {"n": 1}}, {"body": "é"}]})
        await poster.ask(envelope("message_post", {"queue_name": "q", "messages": [{"body": None}]}))
        await http.ask("POST", "/v2/queues/r/messages", {"messages": [{"body": "not here"}]})
        await sockets.ring()
        self.assertEqual([json.loads(await socket.message()) for _ in range(3)], [*map(self.note, ({"n": 1}, "é", None))])

    async def test_form(self) -> None:
        """Subscribed in binary, then asked in text, the push is binary (appendix B)."""
        gateway, other, sockets = await self.begin()
        socket, http = await gateway.socket(), await other.http()
        await self.subscribe(socket, packed=True)
        await socket.ask(envelope("queue_list"))
        await socket.ask(envelope("subscription_create", {"queue_name": "q", "subscriber": HOOK}))
        await http.ask("POST", f"{QUEUE}/messages", {"messages": [{"body": 1}]})
        await sockets.ring()
        first, payload = await socket.frame()
        self.assertEqual((first, msgpack.unpackb(payload)), (0x80 | BINARY, self.note(1)))
        await self.subscribe(socket, "r")
        await http.ask("POST", f"{QUEUE}/messages", {"messages": [{"body": 2}]})
        await sockets.ring()
        first, payload = await socket.frame()
        self.assertEqual((first, json.loads(payload)), (0x80 | TEXT, self.note(2)))

    async def test_own_subscriptions_end(self) -> None:
        """What a connection made for itself ends with it, and what has a subscriber stays (4.6)."""
        gateway, other, sockets = await self.begin()
        socket, http = await gateway.socket(), await other.http()
        await self.subscribe(socket)
        await socket.ask(envelope("subscription_create", {"queue_name": "q", "subscriber": HOOK}))
        found = (await http.ask("GET", f"{QUEUE}/subscriptions")).json["subscriptions"]
        subscribers = sorted(one["subscriber"] for one in found)
        self.assertEqual(subscribers[1], HOOK)
        self.assertRegex(subscribers[0], r"^http://127\.0\.0\.1:\d+/[0-9a-f-]{36}$")
        await socket.close()
        left = found
        while len(left) > 1:
            await sockets.ring()
            left = (await http.ask("GET", f"{QUEUE}/subscriptions")).json["subscriptions"]
        self.assertEqual([one["subscriber"] for one in left], [HOOK])

    async def test_second(self) -> None:
        """A second time for one queue is 409; it can be deleted, and made again (4.4, 4.6)."""
        gateway, other, _ = await self.begin()
        socket, http = await gateway.socket(), await other.http()
        subscription_id = await self.subscribe(socket)
        reply = await socket.ask(envelope("subscription_create", {"queue_name": "q", "subscriber": ""}))
        self.assertEqual((reply["headers"], reply["body"]), ({"status": 409}, "Subscription q not created."))
        self.assertEqual((await http.ask("DELETE", f"{QUEUE}/subscriptions/{subscription_id}")).status, 204)
        await self.subscribe(socket)


WRONG: dict[str, dict[str, Any]] = {
    "unknown scheme": {"subscriber": "fake"},
    "long": {"subscriber": "http://" + "x" * 2042},
    "short ttl": {"ttl": 59},
    "far future": {"ttl": 99999999999999999},
    "policy of a wrong type": {"options": {"_retry_policy": []}},
    "policy with a wrong member": {"options": {"_retry_policy": {"minimum_delay": "x"}}},
    "policy out of range": {"options": {"_retry_policy": {"maximum_delay": 1}}},
    "large options": {"options": {"a": "x" * 262144}},
}
"""Members of a subscription that break a rule."""


class TextTests(OnMemory):
    """What is said of a subscription that is refused."""

    async def test_same_on_both(self) -> None:
        """A rule that is broken has one text, whichever transport is asked."""
        gateway = self.start(await self.a_store())
        http, socket = await gateway.http(), await gateway.socket()
        for what, members in WRONG.items():
            call = Call("subscription_create", {"queue_name": "q", "subscriber": HOOK, **members})
            told = from_frame(call, await socket.ask(frame_request(call)))
            self.assertEqual((told.status, bool(told.text)), (400, True), what)
            if what != "large options":  # on HTTP the whole body is too large before that
                refused = from_http(call, await http.ask(*http_request(call)))
                self.assertEqual((refused.status, refused.text), (400, told.text), what)


class ConfirmationsMemoryTests(_Confirmations, OnMemory):
    """Over memory."""


class ConfirmationsRedisTests(_Confirmations, OnRedis):
    """Over Redis."""


class PushesMemoryTests(_Pushes, OnMemory):
    """Over memory."""


class PushesRedisTests(_Pushes, OnRedis):
    """Over Redis."""
