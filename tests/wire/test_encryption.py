"""Encryption at rest over both transports: what clients see, what is stored, keys that change or are missing."""

from __future__ import annotations

import hashlib
import json
from base64 import b64encode
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

from twisted.logger import LogLevel, capturedLogs

from tests.helpers import OTHER_CLIENT
from tests.transport.websocket.client import TEXT, frame
from tests.wire.calls import Call, Outcome, frame_request, from_frame, from_http, http_request
from tests.wire.gateway import Gateway, HttpConnection, OnMemory, OnRedis, SocketConnection, WireCase
from zaqar_gateway.interfaces import IStorage
from zaqar_gateway.model import ENCRYPTED, Message
from zaqar_gateway.storage.memory import MemoryStorage

if TYPE_CHECKING:
    _Base = OnMemory
else:
    _Base = object  # a mixin that were a TestCase would run without a store

ENCRYPT = {"_enable_encrypt_messages": True}
SECRET = "the formula of the drink"
BODY: dict[str, Any] = {"text": SECRET, "n": [1, None]}


async def over_http(connection: HttpConnection, call: Call) -> Outcome:
    """Do it by HTTP."""
    return from_http(call, await connection.ask(*http_request(call)))


async def over_websocket(connection: SocketConnection, call: Call) -> Outcome:
    """Do it by text frames."""
    return from_frame(call, await connection.ask(frame_request(call)))


async def over_messagepack(connection: SocketConnection, call: Call) -> Outcome:
    """Do it by binary frames."""
    return from_frame(call, await connection.ask_packed(frame_request(call)))


Way = Callable[[Call], Awaitable[Outcome]]


async def ways(gateway: Gateway) -> dict[str, Way]:
    """All ways to do operations."""
    http, text, packed = await gateway.http(), await gateway.socket(), await gateway.socket()
    return {
        "http": lambda call: over_http(http, call),
        "websocket": lambda call: over_websocket(text, call),
        "messagepack": lambda call: over_messagepack(packed, call),
    }


def call(name: str, **fields: Any) -> Call:
    """An operation on ``q`` by somebody who did not post."""
    return Call(name, {"queue_name": "q", **fields}, OTHER_CLIENT)


async def raw(storage: IStorage, project: str = "480924", queue: str = "q") -> list[Message]:
    """The messages of a queue as they are stored."""
    page = await storage.messages.list(
        project, queue, marker=None, limit=100, skip_client=None, include_claimed=True, include_delayed=True
    )
    return page.messages


class _Encryption(_Base):
    """What holds on every store."""

    async def post(self, way: Way, *bodies: Any) -> None:
        posted = await way(call("message_post", messages=[{"body": body, "ttl": 300} for body in bodies]))
        self.assertEqual(posted.status, 201, posted)

    async def listed(self, way: Way) -> list[Any]:
        shown = await way(call("message_list", echo=True))
        self.assertEqual(shown.status, 200, shown)
        return [message["body"] for message in shown.value]

    async def test_every_way(self) -> None:
        """Whatever way a body came, it is stored encrypted, and every other way reads it as it was posted."""
        storage = await self.a_store()
        all_ways = await ways(self.start(storage))
        await all_ways["http"](call("queue_create", metadata=ENCRYPT))
        for way in all_ways.values():
            await self.post(way, BODY)
        for message in await raw(storage):
            self.assertTrue(message.body.startswith(ENCRYPTED))
            self.assertNotIn(SECRET.encode(), message.body)
        for way in all_ways.values():
            self.assertEqual(await self.listed(way), [BODY] * 3)
        for way in all_ways.values():
            popped = await way(call("message_delete_many", pop=1))
            self.assertEqual([message["body"] for message in popped.value], [BODY])

    async def test_changed_metadata(self) -> None:
        """PATCH turns encryption on and off for what is posted from then on; GET shows what is asked for."""
        storage = await self.a_store()
        http = (await ways(self.start(storage)))["http"]
        await self.post(http, 1)
        for value, body in ((True, 2), (False, 3), (None, 4), (True, 5)):
            changes = [{"op": "add", "path": "/metadata/_enable_encrypt_messages", "value": value}]
            changed = await http(call("queue_update", changes=changes))
            self.assertEqual((changed.status, changed.value["_enable_encrypt_messages"]), (200, bool(value)))
            await self.post(http, body)
        plain = [not message.body.startswith(ENCRYPTED) for message in await raw(storage)]
        self.assertEqual(plain, [True, False, True, True, False])
        self.assertEqual(await self.listed(http), [1, 2, 3, 4, 5])

    async def test_checksum(self) -> None:
        """The checksum is of the stored body, as base64 in a JSON string; ``null`` has none."""
        storage = await self.a_store()
        gateway = self.start(storage, checksums=True)
        http = await gateway.http()
        await http.ask("PUT", "/v2/queues/q", ENCRYPT)
        await http.ask("POST", "/v2/queues/q/messages", {"messages": [{"body": BODY}, {"body": None}]})
        stored = b64encode((await raw(storage))[0].body).decode()
        expected = "MD5:" + hashlib.md5(json.dumps(stored).encode()).hexdigest()
        listing = "messages?include_claimed=true&echo=true"
        for method, target in (("GET", listing), ("POST", "claims"), ("GET", listing), ("DELETE", "messages?pop=2")):
            if method == "DELETE":
                self.clock.advance(300)  # so that the claim has lapsed
            first, second = (await http.ask(method, f"/v2/queues/q/{target}")).json["messages"]
            self.assertEqual((first["body"], first["checksum"]), (BODY, expected))
            self.assertEqual(second["body"], None)
            self.assertNotIn("checksum", second)

    async def test_rotation(self) -> None:
        """A gateway with a new key reads what the old one encrypted, and one that still has the old key alone does not
        read what is new."""
        storage = await self.a_store()
        old = (await ways(self.start(storage, passphrase="old")))["http"]
        await old(call("queue_create", metadata=ENCRYPT))
        await self.post(old, 1)
        new = (await ways(self.start(storage, passphrase="new", previous=["old"])))["http"]
        await self.post(new, 2)
        self.assertEqual(await self.listed(new), [1, 2])
        self.assertEqual((await old(call("message_list", echo=True))).status, 503)

    async def test_wrong_key(self) -> None:
        """Without the key a client gets an error and nothing of what is stored; other queues work; nothing is lost."""
        storage = await self.a_store()
        right = (await ways(self.start(storage, passphrase="right")))["http"]
        await right(call("queue_create", metadata=ENCRYPT))
        await self.post(right, BODY)
        (message,) = await raw(storage)
        readings = (
            call("message_list", echo=True),
            call("message_get", message_id=message.id),
            call("message_get_many", message_ids=[message.id]),
            call("claim_create"),
            call("message_delete_many", pop=1),
        )
        for way in (await ways(self.start(storage, passphrase="wrong"))).values():
            for reading in readings:
                with capturedLogs() as logged:
                    failed = await way(reading)
                self.assertEqual(failed.status, 503, failed)
                self.assertIn("encrypted with a key that this service does not have", failed.text)
                (event,) = (event for event in logged if event["log_level"] >= LogLevel.warn)
                self.assertNotIn("log_failure", event)
                self.assertIn("queue q ", event["cause"])
                self.assertIn(message.body[1:5].hex(), event["cause"])
            plain = await way(Call("message_post", {"queue_name": "plain", "messages": [{"body": 1}]}))
            self.assertEqual(plain.status, 201)
        self.assertEqual(await self.listed(right), [BODY])

    async def test_random_key(self) -> None:
        """Without a configured key gateways on one store read each other's bodies, and so does one that starts later,
        with a key of its own or without."""
        storage = await self.a_store()
        first = await ways(self.start(storage, passphrase=""))
        second = await ways(self.start(storage, passphrase=""))
        await first["websocket"](call("queue_create", metadata=ENCRYPT))
        await self.post(first["websocket"], 1)
        await self.post(second["messagepack"], 2)
        for gateway in (first, second, await ways(self.start(storage, passphrase=""))):
            self.assertEqual(await self.listed(gateway["http"]), [1, 2])
        configured = await ways(self.start(storage, passphrase="configured"))
        popped = await configured["http"](call("message_delete_many", pop=2))
        self.assertEqual([message["body"] for message in popped.value], [1, 2])

    async def test_order_of_one_socket(self) -> None:
        """Requests of a socket that are all sent at once take effect in their order, though the first post to a queue
        that another gateway made takes two steps."""
        storage = await self.a_store()
        await (await self.start(storage).http()).ask("PUT", "/v2/queues/q", ENCRYPT)
        socket = await self.start(storage).socket()
        calls = (
            call("message_post", messages=[{"body": 1, "ttl": 300}]),
            call("message_post", messages=[{"body": 2, "ttl": 300}]),
            call("claim_create", limit=1),
            call("message_delete_many", pop=1),
            call("message_post", messages=[{"body": 3, "ttl": 300}]),
            call("queue_get_stats"),
            call("queue_delete"),
            call("message_post", messages=[{"body": 4, "ttl": 300}]),
            call("queue_create", metadata=ENCRYPT),
        )
        socket.write(b"".join(frame(json.dumps(frame_request(each)).encode(), TEXT) for each in calls))
        got = [from_frame(each, json.loads(await socket.message())) for each in calls]
        self.assertEqual([outcome.status for outcome in got], [201, 201, 201, 200, 201, 200, 204, 201, 204])
        self.assertEqual(got[2].value["messages"][0]["body"], 1)
        self.assertEqual(got[3].value[0]["body"], 2)
        self.assertEqual((got[5].value["claimed"], got[5].value["free"]), (1, 1))
        self.assertEqual([message.body for message in await raw(storage)], [b"4"])


class MemoryTests(_Encryption, OnMemory):
    """On the memory store."""


class RedisTests(_Encryption, OnRedis):
    """On Redis."""

    async def everything(self) -> bytes:
        """All that is in Redis, keys and values."""
        redis, found = self._redis[0], b""
        for key in await redis.command("KEYS", "*"):
            found += key + await redis.command("DUMP", key)
        return found

    async def test_nothing_in_redis(self) -> None:
        """Nothing of an encrypted body is anywhere in Redis, and all of a plain one is."""
        storage = await self.a_store()
        http = (await ways(self.start(storage, passphrase="")))["http"]
        await http(call("queue_create", metadata={**ENCRYPT, "_max_claim_count": 0, "_dead_letter_queue": "dead"}))
        await self.post(http, SECRET, SECRET)
        await http(call("claim_create", limit=1))  # moves both to the dead letter queue
        await self.post(http, SECRET)
        self.assertEqual(len(await raw(storage, queue="dead")), 2)
        self.assertNotIn(b"formula", await self.everything())
        await http(Call("message_post", {"queue_name": "plain", "messages": [{"body": "formula"}]}))
        self.assertIn(b"formula", await self.everything())

    async def test_random_key_in_redis(self) -> None:
        """The random key is a key of its own in Redis, made with the first body that is encrypted."""
        storage = await self.a_store()
        http = (await ways(self.start(storage, passphrase="")))["http"]
        await self.post(http, 1)
        self.assertEqual(await self._redis[0].command("KEYS", "*secret*"), [])
        await http(call("queue_delete"))
        await http(call("queue_create", metadata=ENCRYPT))
        await self.post(http, 1)
        self.assertEqual(await self._redis[0].command("KEYS", "*secret*"), [b"zg:secret.encryption-key"])

    async def test_redis_emptied(self) -> None:
        """After all was lost, gateways that go on with different keys read each other's bodies."""
        storage = await self.a_store()
        first, second = [(await ways(self.start(storage, passphrase="")))["http"] for _ in range(2)]
        await first(call("queue_create", metadata=ENCRYPT))
        await self.post(first, 1)
        await self._redis[0].command("FLUSHALL")
        await second(call("queue_create", metadata=ENCRYPT))
        await self.post(second, 2)
        await self.post(first, 3)
        third = (await ways(self.start(storage, passphrase="")))["http"]
        for gateway in (first, second, third):
            self.assertEqual(await self.listed(gateway), [2, 3])


class PlainTests(WireCase):
    """A queue that does not ask."""

    async def test_nothing_else_is_asked_of_the_store(self) -> None:
        """No secret is made or looked for, whatever is done."""
        asked: list[str] = []

        class Watched(MemoryStorage):
            async def secret(self, name: str, fresh: bytes) -> bytes:
                asked.append(name)
                return await super().secret(name, fresh)

        all_ways = await ways(self.start(Watched(self.clock), passphrase=""))
        for way in all_ways.values():
            await way(call("message_post", messages=[{"body": BODY, "ttl": 300}] * 4))
            await way(call("message_list", echo=True))
            await way(call("claim_create", limit=1))
            await way(call("message_delete_many", pop=2))
        self.assertEqual(asked, [])
