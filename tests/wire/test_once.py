"""Posts that are repeated under idempotency keys, over both transports."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tests.helpers import OTHER_CLIENT, PROJECT
from tests.wire.gateway import OnMemory, OnRedis
from tests.wire.test_waiting import asked
from zaqar_gateway.limits import Limits

if TYPE_CHECKING:
    _Base = OnMemory
else:
    _Base = object  # a mixin that were a TestCase would run without a store

MESSAGES = "/v2/queues/q/messages"
KEY = "Idempotency-Key"


def posted(*bodies: int, **members: Any) -> dict[str, Any]:
    """A post."""
    return {"messages": [{"body": body} for body in bodies], **members}


class _Once(_Base):
    """A gateway; a subclass says on which store."""

    async def total(self, collection: str = "queues") -> int:
        """How many messages there are."""
        part = self.storage.topics if collection == "topics" else self.storage.queues
        stats = await part.stats(PROJECT, "q")
        return 0 if stats is None else stats.total

    async def setUp(self) -> None:  # type: ignore[override]
        await super().setUp()
        self.storage = await self.a_store()
        self.gateway = self.start(self.storage, Limits(idempotency_window_s=60, idempotency_keys_max=5))
        self.http, self.socket = await self.gateway.http(), await self.gateway.socket()

    async def test_header(self) -> None:
        """The same key gives the same answer, which says so in a header, and stores nothing."""
        for collection in ("queues", "topics"):
            path = f"/v2/{collection}/q/messages"
            first = await self.http.ask("POST", path, posted(1, 2), {KEY: "a!~"})
            again = await self.http.ask("POST", path, posted(1, 2), {KEY: "a!~", "Client-ID": OTHER_CLIENT})
            self.assertEqual((first.status, again.status), (201, 201))
            self.assertEqual(again.body, first.body)
            self.assertEqual(again.header("Location"), first.header("Location"))
            self.assertEqual((first.header("Idempotency-Replayed"), again.header("Idempotency-Replayed")), (None, "true"))
            self.assertEqual(await self.total(collection), 2)

    async def test_one_key_for_both_transports(self) -> None:
        """The key of a body, of a frame and of the header are the same; a frame says so in its body."""
        first = await self.http.ask("POST", MESSAGES, posted(1, idempotency_key="a"))
        again = await self.socket.ask(asked("message_post", **posted(1, idempotency_key="a")))
        (message_id,) = again["body"]["message_ids"]
        self.assertEqual(again["body"], {"message_ids": [message_id], "replayed": True})
        self.assertEqual(first.json["resources"], [f"{MESSAGES}/{message_id}"])
        both = await self.http.ask("POST", MESSAGES, posted(1, idempotency_key="a"), {KEY: "a"})
        self.assertEqual((both.json, both.header("Idempotency-Replayed")), (first.json, "true"))
        fresh = await self.socket.ask(asked("message_post", **posted(1, idempotency_key="b")))
        self.assertEqual(set(fresh["body"]), {"message_ids"})
        packed = await self.socket.ask_packed(asked("message_post", **posted(1, idempotency_key="b")))
        self.assertEqual(packed["body"], {**fresh["body"], "replayed": True})

    async def test_messages_with_keys(self) -> None:
        """Messages have keys of their own; those that are known give their first ids, the others are stored."""
        def batch(*keys: str) -> dict[str, Any]:
            return {"messages": [{"body": key, **({"idempotency_key": key} if key else {})} for key in keys]}

        first = await self.http.ask("POST", MESSAGES, batch("a", "", "c"))
        second = await self.http.ask("POST", MESSAGES, batch("c", "d", "a", ""))
        ids, later = first.json["resources"], second.json["resources"]
        self.assertEqual((later[0], later[2]), (ids[2], ids[0]))
        self.assertEqual(len({*ids, *later}), 5)
        self.assertIsNone(second.header("Idempotency-Replayed"))
        self.assertEqual(await self.total(), 5)
        reply = await self.socket.ask(asked("message_post", **batch("a", "c")))
        self.assertEqual([f"{MESSAGES}/{one}" for one in reply["body"]["message_ids"]], [ids[0], ids[2]])
        self.assertTrue(reply["body"]["replayed"])

    async def test_window(self) -> None:
        """After the window the key is as new."""
        await self.http.ask("POST", MESSAGES, posted(1), {KEY: "a"})
        self.clock.advance(59.75)
        await self.http.ask("POST", MESSAGES, posted(1), {KEY: "a"})
        self.assertEqual(await self.total(), 1)
        self.clock.advance(0.25)
        response = await self.http.ask("POST", MESSAGES, posted(1), {KEY: "a"})
        self.assertIsNone(response.header("Idempotency-Replayed"))
        self.assertEqual(await self.total(), 2)

    async def test_deleted(self) -> None:
        """With its queue a key is forgotten."""
        await self.http.ask("POST", MESSAGES, posted(1), {KEY: "a"})
        await self.http.ask("DELETE", "/v2/queues/q")
        response = await self.http.ask("POST", MESSAGES, posted(1), {KEY: "a"})
        self.assertIsNone(response.header("Idempotency-Replayed"))
        self.assertEqual(await self.total(), 1)

    async def test_encrypted(self) -> None:
        """Keys count in queues with encrypted bodies, and do not confuse what is known of a queue."""
        await self.http.ask("PUT", "/v2/queues/q", {"_enable_encrypt_messages": True})
        first = await self.http.ask("POST", MESSAGES, posted(1), {KEY: "a"})
        other = await self.start(self.storage).http()
        again = await other.ask("POST", MESSAGES, posted(1), {KEY: "a"})
        self.assertEqual((again.json, again.header("Idempotency-Replayed")), (first.json, "true"))
        self.assertEqual((await other.ask("POST", MESSAGES, posted(2))).status, 201)
        shown = await other.ask("GET", MESSAGES + "?echo=true")
        self.assertEqual([message["body"] for message in shown.json["messages"]], [1, 2])

    async def test_refused(self) -> None:
        """What is no key, or used with other messages, or twice over, is refused with its field and stores nothing."""
        await self.http.ask("POST", MESSAGES, posted(1), {KEY: "used"})
        rule = "it has to be 1 to 255 visible characters of ASCII"
        for key in ("", "a b", "a" * 256, "\u00e9", "a\n"):
            if key != "a\n":
                response = await self.http.ask("POST", MESSAGES, posted(1), {KEY: key})
                self.assertEqual(response.status, 400, key)
                self.assertIn(rule, response.json["description"])
            response = await self.http.ask("POST", MESSAGES, posted(1, idempotency_key=key))
            self.assertEqual(response.status, 400, key)
            self.assertTrue(response.json["description"].startswith("idempotency_key is "), response.json)
            body = {"messages": [{"body": 1}, {"body": 2, "idempotency_key": key}]}
            response = await self.http.ask("POST", MESSAGES, body)
            self.assertTrue(response.json["description"].startswith("messages[1].idempotency_key is "), response.json)
            reply = await self.socket.ask(asked("message_post", **posted(1, idempotency_key=key)))
            self.assertEqual(reply["headers"]["status"], 400)
            self.assertIn(rule, reply["body"]["error"])
        for members, headers, text in (
            (posted(1, 2), {KEY: "used"}, "idempotency_key came with another number of messages before, which is 1;"),
            (posted(1, idempotency_key="a"), {KEY: "b"}, "idempotency_key in the body is not what the header says"),
            (
                {"messages": [{"body": 1, "idempotency_key": "a"}]},
                {KEY: "b"},
                "idempotency_key and messages[0].idempotency_key exclude each other",
            ),
            (posted(1, idempotency_key=5), {}, "idempotency_key"),
            ({"messages": [{"body": 1, "idempotency_key": None}]}, {}, "messages[0].idempotency_key"),
        ):
            response = await self.http.ask("POST", MESSAGES, members, headers)
            self.assertEqual(response.status, 400, text)
            self.assertIn(text, response.json["description"])
        self.assertEqual(await self.total(), 1)

    async def test_most(self) -> None:
        """Beyond the keys that are kept a post gets 429 and when there is room; one without a key is not concerned."""
        for number in range(5):
            await self.http.ask("POST", MESSAGES, posted(1), {KEY: f"k{number}"})
        refused = await self.http.ask("POST", MESSAGES, posted(1), {KEY: "new"})
        self.assertEqual((refused.status, refused.header("Retry-After")), (429, "60"))
        self.assertIn("At most 5 idempotency keys", refused.json["description"])
        self.assertEqual((await self.http.ask("POST", MESSAGES, posted(1), {KEY: "k0"})).status, 201)
        self.assertEqual((await self.http.ask("POST", MESSAGES, posted(1))).status, 201)
        self.assertEqual(await self.total(), 6)


class MemoryTests(_Once, OnMemory):
    """Over memory."""


class RedisTests(_Once, OnRedis):
    """Over Redis."""
