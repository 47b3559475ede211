"""What each frame is answered, over a store in memory."""

from __future__ import annotations

import json
from typing import Any

import msgpack
import msgspec
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

from tests.helpers import CLIENT, OTHER_CLIENT, PROJECT, build_operations
from tests.pooling import memory_process
from tests.transport.websocket.client import HEADERS, envelope, packed, status
from zaqar_gateway.errors import StoreFault, StoreUnavailable
from zaqar_gateway.interfaces import IQueueStore
from zaqar_gateway.limits import ClientIds, Limits
from zaqar_gateway.model import (
    Context,
    FailedDelivery,
    Failing,
    Flavor,
    Place,
    Pool,
    QueueEntry,
    QueueRules,
    QueueStats,
    Usage,
)
from zaqar_gateway.operations import fields
from zaqar_gateway.operations.pools import FlavorShown
from zaqar_gateway.operations.registry import NOT_IMPLEMENTED
from zaqar_gateway.storage.memory import MemoryStorage
from zaqar_gateway.storage.memory.queues import MemoryQueues
from zaqar_gateway.transport.websocket import codec
from zaqar_gateway.transport.websocket.codec import Actions
from zaqar_gateway.transport.websocket.session import Session

NOTHING: dict[str, Any] = {"action": None, "body": {}, "headers": {}, "api": "v2"}


class SessionCase(SynchronousTestCase):
    """A session over an empty store."""

    limits = Limits()

    def setUp(self) -> None:
        self.clock = Clock()
        self.clock.advance(1767323045)  # 2026-01-02T03:04:05Z
        self.storage = MemoryStorage(self.clock)
        self.session = self.converse()

    def converse(self, client_ids: ClientIds | None = None) -> Session:
        actions = Actions(build_operations(self.storage, self.limits).operations)
        return Session(actions, client_ids or ClientIds())

    def frame(self, payload: bytes, is_binary: bool = False) -> Any:
        """The reply to a frame, decoded."""
        reply = self.successResultOf(Deferred.fromCoroutine(self.session.receive(payload, is_binary).reply()))
        return msgpack.unpackb(reply) if is_binary else json.loads(reply)

    def raw(self, action: Any, body: Any = None, headers: Any = HEADERS) -> Any:
        """The reply to a request."""
        return self.frame(json.dumps(envelope(action, body, headers)).encode())

    def ask(self, action: str, **body: Any) -> tuple[int, Any]:
        """The status and the body of the reply to a request."""
        reply = self.raw(action, body)
        self.assertEqual(reply["request"], {"action": action, "body": body, "headers": HEADERS, "api": "v2"})
        self.assertEqual(set(reply), {"request", "body", "headers"})
        return status(reply), reply["body"]

    def refused(self, wanted: int, action: str, **body: Any) -> str:
        """The text of the error of an operation, whose status has to be the wanted one."""
        found, answer = self.ask(action, **body)
        self.assertEqual(found, wanted, answer)
        self.assertEqual(set(answer), {"exception", "error"})
        self.assertEqual(answer["exception"], answer["error"])
        return str(answer["error"])

    def post(self, *bodies: Any, queue: str = "q", ttl: int = 300) -> list[str]:
        code, body = self.ask("message_post", queue_name=queue, messages=[{"body": one, "ttl": ttl} for one in bodies])
        self.assertEqual(code, 201)
        ids = body["message_ids"]
        self.assertEqual(len(ids), len(bodies))
        return list(ids)


class LongNames(SessionCase):
    """What a store would remember of a frame."""

    def test_project(self) -> None:
        """No store sees a project that is longer than any that has something; there is nothing in it, and nothing can be made in it."""
        seen: list[str] = []
        listed = MemoryQueues.list

        async def noted(queues: MemoryQueues, project: str, *args: Any, **kwargs: Any) -> Any:
            seen.append(project)
            return await listed(queues, project, *args, **kwargs)

        self.patch(MemoryQueues, "list", noted)
        for length in (256, 257, 5000):
            headers = {**HEADERS, "X-Project-ID": "p" * length}
            self.assertEqual(self.raw("queue_list", {}, headers)["body"], {"queues": []})
            made = self.raw("queue_create", {"queue_name": "q"}, headers)
            self.assertEqual(status(made), 201 if length == 256 else 400)
        self.assertEqual([len(project) for project in seen], [256, 257, 257])

    def test_queue(self) -> None:
        """No store sees a name that is longer than any has; the answer is that for a queue that does not exist."""
        self.post(1, queue="q" * 64)
        seen: list[str] = []
        get = MemoryQueues.get

        async def noted(queues: MemoryQueues, project: str, queue: str) -> bytes | None:
            seen.append(queue)
            return await get(queues, project, queue)

        self.patch(MemoryQueues, "get", noted)
        for length in (64, 65, 5000):
            self.assertEqual(self.ask("queue_get", queue_name="q" * length), (200, {}))
        self.assertEqual([len(name) for name in seen], [64, 65, 65])
        self.refused(400, "queue_create", queue_name="q" * 5000)


class Envelopes(SessionCase):
    """API reference, "Envelope errors", in their order."""

    def test_undecodable(self) -> None:
        """A frame that cannot be decoded is a 400 in its own encoding, with an empty echo."""
        for payload, is_binary, form in ((b"foo", False, "text (JSON)"), (b"123", True, "binary (MessagePack)")):
            reply = self.frame(payload, is_binary)
            self.assertEqual(status(reply), 400)
            self.assertEqual(reply["request"], NOTHING)
            self.assertEqual(list(reply["body"]), ["error"])
            self.assertTrue(reply["body"]["error"].startswith(f"Can't decode {form} request"))

    def test_not_a_map(self) -> None:
        """A document that is not a map is a 400 with an empty echo."""
        for payload, is_binary in ((b"[]", False), (b"\x90", True)):
            reply = self.frame(payload, is_binary)
            self.assertEqual((status(reply), reply["request"]), (400, NOTHING))
            self.assertTrue(reply["body"]["error"].startswith("Unexpected body type. Expected dict"))

    def test_unknown_action(self) -> None:
        """An unknown action is a 400, before anything is said about headers or body."""
        reply = self.raw("foo", 5, {"x": 1})
        self.assertEqual(status(reply), 400)
        self.assertEqual(reply["body"], {"error": "foo is not a valid action"})
        self.assertEqual(reply["request"], {"action": "foo", "body": 5, "headers": {"x": 1}, "api": "v2"})

    def test_schema(self) -> None:
        """A violated schema is a 400, headers first."""
        reply = self.raw("queue_create", {"queue_name": 1}, {})
        self.assertEqual(status(reply), 400)
        self.assertEqual(reply["body"], {"error": "Schema validation failed. headers.Client-ID is missing."})
        reply = self.raw("queue_create", {"queue_name": 1})
        self.assertEqual(
            reply["body"], {"error": "Schema validation failed. body.queue_name has to be a string, not an integer."}
        )

    def test_without_body(self) -> None:
        """An absent body is echoed as an empty object."""
        reply = self.raw("queue_list")
        self.assertEqual(status(reply), 200)
        self.assertEqual(reply["request"]["body"], {})

    def test_not_implemented(self) -> None:
        """Actions that nobody implements are a 501."""
        self.assertEqual(len(NOT_IMPLEMENTED), 13)
        for action in NOT_IMPLEMENTED:
            self.assertIn(action, self.refused(501, action))

    def test_authenticate(self) -> None:
        """Without a strategy ``authenticate`` succeeds, and the token is not echoed."""
        reply = self.raw("authenticate", {"a": 1}, {"X-Project-ID": "p", "X-Auth-Token": "secret"})
        self.assertEqual(
            reply,
            {
                "request": {"action": "authenticate", "body": {}, "headers": {}, "api": "v2"},
                "body": {"message": "Authentified."},
                "headers": {"status": 200},
            },
        )

    def test_reads(self) -> None:
        """What changes something waits for what reads, but not for what may have to wait for messages itself; so in frames that are
        like others."""
        for _ in range(2):
            for action, asked, reads in (
                ("message_list", {}, True),
                ("message_list", {"wait": 0}, True),
                ("message_list", {"wait": 5}, False),
                ("message_get", {"message_id": "1"}, True),
                ("message_get_many", {"message_ids": ["1"]}, True),
                ("claim_create", {}, False),
                ("queue_get", {}, False),
            ):
                frame = json.dumps(envelope(action, {"queue_name": "q", **asked})).encode()
                self.assertEqual(self.session.receive(frame, False).reads, reads, (action, asked))

    def test_client_id(self) -> None:
        """The form of Client-ID is checked by message_post and message_list only, with the error of an operation."""
        posted = {"queue_name": "q", "messages": [{"body": 1}]}
        for action, body in (("message_post", posted), ("message_list", {"queue_name": "q"})):
            reply = self.raw(action, body, {**HEADERS, "Client-ID": "0xdeadbeef"})
            self.assertEqual(status(reply), 400)
            self.assertEqual(set(reply["body"]), {"error", "exception"})
            self.assertIn("Client-ID", reply["body"]["error"])
        for action, body in (
            ("queue_create", {"queue_name": "q"}),
            ("queue_list", {}),
            ("claim_create", {"queue_name": "q"}),
        ):
            self.assertLess(status(self.raw(action, body, {**HEADERS, "Client-ID": ""})), 300)

    def test_lax_client_id(self) -> None:
        """With the check of the form off, other ids do."""
        self.session = self.converse(ClientIds(strict=False))
        reply = self.raw("message_list", {"queue_name": "q"}, {**HEADERS, "Client-ID": "1234567890"})
        self.assertEqual(status(reply), 200)

    def test_projects(self) -> None:
        """Projects do not see each other; the empty project is one of them."""
        self.post(1)
        for project in ("", "other"):
            reply = self.raw("message_list", {"queue_name": "q", "echo": True}, {**HEADERS, "X-Project-ID": project})
            self.assertEqual((status(reply), reply["body"]), (200, {"messages": []}))

    def test_broken_reader(self) -> None:
        """A fault of ours in reading a frame is a 500 and not the end of the connection."""
        self.session = Session(None, ClientIds())  # type: ignore[arg-type]
        reply = self.raw("queue_list")
        self.assertEqual((status(reply), reply["body"]["error"]), (500, "Unexpected error."))
        self.assertEqual(len(self.flushLoggedErrors(AttributeError)), 1)


class QueueActions(SessionCase):
    """API reference, "Actions": queues."""

    def test_create(self) -> None:
        """A new queue is a 201, an existing one a 204, and keeps its metadata."""
        self.assertEqual(self.ask("queue_create", queue_name="q", metadata={"k": 1}), (201, "Queue q created."))
        self.assertEqual(self.ask("queue_create", queue_name="q", metadata={"k": 2}), (204, "Queue q created."))
        self.assertEqual(self.ask("queue_get", queue_name="q"), (200, {"k": 1}))

    def test_create_refused(self) -> None:
        """Names, projects and metadata have to keep the rules."""
        for name in ("Nice-Bo@t", "a\n", "", "x" * 65):
            self.assertIn("name", self.refused(400, "queue_create", queue_name=name))
        self.refused(400, "queue_create", queue_name="q", metadata={"_default_message_ttl": 0})
        self.refused(400, "queue_create", queue_name="q", metadata={"a": "x" * 65536})
        reply = self.raw("queue_create", {"queue_name": "q"}, {**HEADERS, "X-Project-ID": "x" * 257})
        self.assertEqual(status(reply), 400)
        self.assertEqual(self.ask("queue_list"), (200, {"queues": []}))

    def test_get(self) -> None:
        """A queue shows its metadata as stored; a missing one is an empty object."""
        self.assertEqual(self.ask("queue_get", queue_name="q"), (200, {}))
        self.ask("queue_create", queue_name="q")
        self.assertEqual(self.ask("queue_get", queue_name="q"), (200, {}))

    def test_metadata_as_they_came(self) -> None:
        """Metadata are shown as they came, but for escapes of characters that need none."""
        parts = json.dumps(envelope("queue_create", {"queue_name": "q", "metadata": 0}))
        self.frame(parts.replace('"metadata": 0', '"metadata": {"k" :  1.50, "\\u00e9":"\\n\\\\u00e9"}').encode())
        asked = self.session.receive(json.dumps(envelope("queue_get", {"queue_name": "q"})).encode(), False)
        reply = self.successResultOf(Deferred.fromCoroutine(asked.reply()))
        kept = '{"k" :  1.50, "é":"\\n\\\\u00e9"}'.encode()
        self.assertIn(b'"body":%b,' % kept, reply)
        asked = self.session.receive(json.dumps(envelope("queue_list", {"detailed": True})).encode(), False)
        reply = self.successResultOf(Deferred.fromCoroutine(asked.reply()))
        self.assertIn(b'"metadata":%b}' % kept, reply)

    def test_list(self) -> None:
        """A listing has names, and stored metadata where they are asked for; no href, no links, no count."""
        for name in "abc":
            self.ask("queue_create", queue_name=name, metadata={"n": name})
        names = {"queues": [{"name": "a"}, {"name": "b"}, {"name": "c"}]}
        self.assertEqual(self.ask("queue_list"), (200, names))
        self.assertEqual(self.ask("queue_list", detailed=False), (200, names))
        self.assertEqual(
            self.ask("queue_list", marker="a", limit=1, detailed=True),
            (200, {"queues": [{"name": "b", "metadata": {"n": "b"}}]}),
        )
        for limit in (0, -1, 21):
            self.assertIn("limit", self.refused(400, "queue_list", limit=limit))

    def test_delete(self) -> None:
        """Deleting is a 204, always."""
        self.post(1)
        for _ in range(2):
            self.assertEqual(self.ask("queue_delete", queue_name="q"), (204, "Queue q removed."))
        self.assertEqual(self.ask("queue_list"), (200, {"queues": []}))

    def test_stats(self) -> None:
        """Stats count, and name the oldest and the newest message by id."""
        first = self.post(1)[0]
        self.clock.advance(38)
        second, third = self.post(2, 3)
        self.ask("claim_create", queue_name="q", limit=1)
        self.clock.advance(2)
        self.assertEqual(
            self.ask("queue_get_stats", queue_name="q"),
            (
                200,
                {
                    "messages": {
                        "claimed": 1,
                        "free": 2,
                        "total": 3,
                        "oldest": {"id": first, "age": 40, "created": "2026-01-02T03:04:05Z"},
                        "newest": {"id": third, "age": 2, "created": "2026-01-02T03:04:43Z"},
                    }
                },
            ),
        )

    def test_stats_of_nothing(self) -> None:
        """An empty queue is a 200, a missing one a 404; both have three zeros and no edges."""
        zeros = {"messages": {"claimed": 0, "free": 0, "total": 0}}
        self.assertEqual(self.ask("queue_get_stats", queue_name="q"), (404, zeros))
        self.ask("queue_create", queue_name="q")
        self.assertEqual(self.ask("queue_get_stats", queue_name="q"), (200, zeros))

    def test_purge(self) -> None:
        """A purge removes the messages, if it is not of other types only; unknown types are ignored."""
        self.post(1)
        for types, left in ((["subscriptions", "x"], 1), (["messages", "y"], 0)):
            self.assertEqual(self.ask("queue_purge", queue_name="q", resource_types=types), (204, {}))
            self.assertEqual(self.ask("queue_get_stats", queue_name="q")[1]["messages"]["total"], left)
        self.post(1)
        self.assertEqual(self.ask("queue_purge", queue_name="q"), (204, {}))
        self.assertEqual(self.ask("queue_get_stats", queue_name="q")[1]["messages"]["total"], 0)


class MessageActions(SessionCase):
    """API reference, "Actions": messages."""

    limits = Limits(post_size_max=2000)

    def test_post(self) -> None:
        """A post creates the queue and gives the ids in order; messages are shown with exactly five keys."""
        ids = self.post({"a": 1}, None)
        self.clock.advance(5)
        shown = [
            {"id": ids[0], "ttl": 300, "age": 5, "body": {"a": 1}, "claim_id": None},
            {"id": ids[1], "ttl": 300, "age": 5, "body": None, "claim_id": None},
        ]
        self.assertEqual(self.ask("message_list", queue_name="q", echo=True), (200, {"messages": shown}))
        self.assertEqual(self.ask("message_get", queue_name="q", message_id=ids[1]), (200, {"messages": shown[1]}))
        self.assertEqual(
            self.ask("message_get_many", queue_name="q", message_ids=[ids[1], "x", ids[0]]),
            (200, {"messages": shown[::-1]}),
        )

    def test_post_refused(self) -> None:
        """A bad post is a 400 and leaves no queue."""
        for messages, reason in (
            ([], "messages is empty"),
            ([{"ttl": 60}], 'Bad request. Missing "body" field.'),
            ([{"body": 1, "ttl": "60"}], 'Bad request. The value of the "ttl" field must be a int.'),
            ([{"body": 1, "ttl": None}], 'Bad request. The value of the "ttl" field must be a int.'),
            ([{"body": 1, "ttl": 60.0}], 'Bad request. The value of the "ttl" field must be a int.'),
            ([{"body": 1, "ttl": True}], 'Bad request. The value of the "ttl" field must be a int.'),
            ([{"body": 1}, {"body": 1, "ttl": 59}], "messages[1].ttl is 59"),
            ([{"body": 1, "ttl": 1209601}], "messages[0].ttl is 1209601"),
            ([5], "messages[0] has to be an object"),
            ([{"body": "x" * 2000}], "at most 2000"),
        ):
            self.assertIn(reason, self.refused(400, "message_post", queue_name="q", messages=messages))
        self.refused(400, "message_post", queue_name="Nice-Bo@t", messages=[{"body": 1}])
        self.assertEqual(self.ask("queue_list"), (200, {"queues": []}))

    def test_size(self) -> None:
        """The size of a post is that of the array as it stands in the frame, or of its JSON text with blanks."""
        messages = [{"body": "x" * 30}] * 47
        size = len(json.dumps(messages))
        self.assertLess(len(json.dumps(messages, separators=(",", ":"))), size - 47)
        for limit, wanted in ((size, 201), (size - 1, 400)):
            self.limits = Limits(post_size_max=limit)
            self.session = self.converse()
            self.assertEqual(self.ask("message_post", queue_name="q", messages=messages)[0], wanted)
            reply = self.frame(packed("message_post", queue_name="q", messages=messages), True)
            self.assertEqual(status(reply), wanted)

    def test_delay_is_dropped(self) -> None:
        """A message has no delay of its own here."""
        self.ask("queue_create", queue_name="q", metadata={"_default_message_delay": 30})
        code, _ = self.ask("message_post", queue_name="q", messages=[{"body": 1, "delay": "x"}])
        self.assertEqual(code, 201)
        listed = {"queue_name": "q", "echo": True}
        self.assertEqual(self.ask("message_list", **listed)[1]["messages"], [])
        self.assertEqual(len(self.ask("message_list", **listed, include_delayed=True)[1]["messages"]), 1)

    def test_list(self) -> None:
        """A listing leaves out one's own and claimed messages unless asked for; a claim is not shown."""
        self.assertEqual(self.ask("message_list", queue_name="q"), (200, {"messages": []}))
        ids = self.post(1, 2, 3)
        self.assertEqual(self.ask("message_list", queue_name="q"), (200, {"messages": []}))
        for spelling in (OTHER_CLIENT, CLIENT.replace("-", "").upper()):
            reply = self.raw("message_list", {"queue_name": "q"}, {"Client-ID": spelling, "X-Project-ID": PROJECT})
            self.assertEqual(len(reply["body"]["messages"]), 3 if spelling == OTHER_CLIENT else 0)
        self.ask("claim_create", queue_name="q", limit=1)
        listed = self.ask("message_list", queue_name="q", echo=True)[1]["messages"]
        self.assertEqual([message["id"] for message in listed], ids[1:])
        listed = self.ask("message_list", queue_name="q", echo=True, include_claimed=True, limit=2)[1]["messages"]
        self.assertEqual([(message["id"], message["claim_id"]) for message in listed], [(ids[0], None), (ids[1], None)])
        listed = self.ask("message_list", queue_name="q", echo=True, marker=ids[1])[1]["messages"]
        self.assertEqual([message["id"] for message in listed], ids[2:])
        self.assertEqual(
            self.ask("message_list", queue_name="q", echo=True, marker="nonesuch"), (200, {"messages": []})
        )
        for limit in (0, 21):
            self.assertIn("limit", self.refused(400, "message_list", queue_name="q", limit=limit))

    def test_get_missing(self) -> None:
        """A missing message is a 404; of many, none is an empty list."""
        self.refused(404, "message_get", queue_name="q", message_id="nada")
        self.assertEqual(self.ask("message_get_many", queue_name="q", message_ids=["a"]), (200, {"messages": []}))
        for ids in ([], ["a"] * 21):
            self.assertIn("ids", self.refused(400, "message_get_many", queue_name="q", message_ids=ids))

    def test_delete(self) -> None:
        """Deleting follows the claim, and a missing message is no error."""
        first, second = self.post(1, 2)
        gone = {"queue_name": "q", "message_id": "nada"}
        self.assertEqual(self.ask("message_delete", **gone), (204, {}))
        self.refused(400, "message_delete", queue_name="q", message_id=first, claim_id="invalid")
        claim = self.ask("claim_create", queue_name="q", limit=1)[1]["claim_id"]
        self.refused(403, "message_delete", queue_name="q", message_id=first)
        self.refused(400, "message_delete", queue_name="q", message_id=second, claim_id=claim)
        self.assertEqual(self.ask("message_delete", queue_name="q", message_id=first, claim_id=claim), (204, {}))
        self.assertEqual(self.ask("message_delete", queue_name="q", message_id=second), (204, {}))

    def test_delete_many(self) -> None:
        """Deleting by ids is a 204 without content; of nothing and of both it is a 400."""
        ids = self.post(1, 2)
        self.assertEqual(self.ask("message_delete_many", queue_name="q", message_ids=[*ids, "x"]), (204, {}))
        self.refused(400, "message_delete_many", queue_name="q")
        self.refused(400, "message_delete_many", queue_name="q", message_ids=["a"], pop=1)
        self.refused(400, "message_delete_many", queue_name="q", message_ids=[])
        for pop in (0, -1, 21):
            self.refused(400, "message_delete_many", queue_name="q", pop=pop)

    def test_pop(self) -> None:
        """Popped messages have a count of claims and no claim."""
        ids = self.post(1, 2)
        popped = {"id": ids[0], "ttl": 300, "age": 0, "body": 1, "claim_id": None, "claim_count": 0}
        self.assertEqual(self.ask("message_delete_many", queue_name="q", pop=1), (200, {"messages": [popped]}))
        self.assertEqual(len(self.ask("message_delete_many", queue_name="q", pop=5)[1]["messages"]), 1)
        self.assertEqual(self.ask("message_delete_many", queue_name="q", pop=5), (200, {"messages": []}))

    def test_delete_with_claim_id(self) -> None:
        """Where deleting by ids needs claims, it needs the right ones."""
        self.limits = Limits(delete_needs_claim_id=True)
        self.session = self.converse()
        (message,) = self.post(1)
        claim = self.ask("claim_create", queue_name="q")[1]["claim_id"]
        asked = {"queue_name": "q", "message_ids": [message]}
        self.refused(400, "message_delete_many", **asked)
        self.refused(400, "message_delete_many", **asked, claim_ids=["x"])
        self.assertEqual(self.ask("message_delete_many", **asked, claim_ids=[claim]), (204, {}))

    def test_bodies_as_they_came(self) -> None:
        """A message body is shown byte for byte as it was posted."""
        parts = json.dumps(envelope("message_post", {"queue_name": "q", "messages": 0}))
        posted = parts.replace('"messages": 0', '"messages": [{"body": {"k" :  1.50, "\\u00e9":[ ]} }]')
        self.assertEqual(status(self.frame(posted.encode())), 201)
        listing = json.dumps(envelope("message_list", {"queue_name": "q", "echo": True})).encode()
        reply = self.successResultOf(Deferred.fromCoroutine(self.session.receive(listing, False).reply()))
        self.assertIn(b'"body":{"k" :  1.50, "\\u00e9":[ ]}', reply)

    def test_message_pack(self) -> None:
        """What is posted in one encoding is read in the other."""
        body: dict[str, Any] = {"é": [1, -(2**63), 2**63 - 1, 1.5, None, True, "\U0001f600", {"": {}}]}
        for family in (True, False):
            payload = msgpack.packb(
                envelope("message_post", {"queue_name": "q", "messages": [{"body": body}]}), use_bin_type=family
            )
            self.assertEqual(status(self.frame(payload, True)), 201)
        self.post(body)
        for reply in (
            self.raw("message_list", {"queue_name": "q", "echo": True}),
            self.frame(packed("message_list", queue_name="q", echo=True), True),
        ):
            self.assertEqual([message["body"] for message in reply["body"]["messages"]], [body] * 3)


class ClaimActions(SessionCase):
    """API reference, "Actions": claims."""

    def test_lifecycle(self) -> None:
        """A claim is made, shown, renewed and released."""
        (message,) = self.post({"a": 1})
        code, made = self.ask("claim_create", queue_name="q", limit=5, ttl=100, grace=60)
        self.assertEqual(code, 201)
        claim = made["claim_id"]
        shown = {"id": message, "ttl": 300, "age": 0, "body": {"a": 1}, "claim_id": claim}
        self.assertEqual(made, {"claim_id": claim, "messages": [shown]})
        self.clock.advance(7)
        asked = {"queue_name": "q", "claim_id": claim}
        self.assertEqual(
            self.ask("claim_get", **asked), (200, {"age": 7, "ttl": 100, "messages": [{**shown, "age": 7}]})
        )
        self.assertEqual(self.ask("claim_update", **asked, ttl=200), (204, f"Claim {claim} updated."))
        self.assertEqual(self.ask("claim_get", **asked)[1]["age"], 0)
        self.assertEqual(self.ask("claim_get", **asked)[1]["ttl"], 200)
        self.assertEqual(self.ask("claim_update", **asked), (204, f"Claim {claim} updated."))
        self.assertEqual(self.ask("claim_get", **asked)[1]["ttl"], 300)
        for _ in range(2):
            self.assertEqual(self.ask("claim_delete", **asked), (204, f"Claim {claim} deleted."))
        self.refused(404, "claim_get", **asked)
        self.refused(404, "claim_update", **asked)
        self.assertEqual(self.ask("claim_create", queue_name="q")[1]["messages"][0]["id"], message)

    def test_nothing(self) -> None:
        """Where there is nothing to claim it is a 204, with a body."""
        self.assertEqual(self.ask("claim_create", queue_name="q"), (204, {"claim_id": None}))

    def test_refused(self) -> None:
        """Ranges are checked, before existence."""
        for field, bad in (("ttl", (-1, 59, 43201)), ("grace", (-1, 59, 43201)), ("limit", (0, 21))):
            for value in bad:
                self.assertIn(field, self.refused(400, "claim_create", queue_name="q", **{field: value}))
        self.assertIn("ttl", self.refused(400, "claim_update", queue_name="q", claim_id="a", ttl=59))


@implementer(IQueueStore)
class BrokenQueues:
    """Fails in one way or another."""

    def __init__(self, error: Exception) -> None:
        self._error = error

    async def create(self, project: str, queue: str, metadata: bytes, rules: QueueRules) -> bool:
        raise self._error

    async def get(self, project: str, queue: str) -> bytes | None:
        raise self._error

    async def update(self, project: str, queue: str, seen: bytes, metadata: bytes, rules: QueueRules) -> bool:
        raise self._error

    async def delete(self, project: str, queue: str) -> None:
        raise self._error

    async def usage(self, project: str) -> Usage:
        raise NotImplementedError

    async def count(self, project: str) -> int:
        raise self._error

    async def stats(self, project: str, queue: str) -> QueueStats | None:
        raise self._error

    async def purge(self, project: str, queue: str) -> None:
        raise self._error

    async def list(self, project: str, marker: str, limit: int) -> list[QueueEntry]:
        raise self._error


class SubscriptionActions(SessionCase):
    """API reference, "Actions": subscriptions; and the deliveries that operators look after."""

    def create(self, subscriber: str, **body: Any) -> str:
        code, answer = self.ask("subscription_create", queue_name="q", subscriber=subscriber, **body)
        self.assertEqual((code, set(answer)), (201, {"subscription_id", "message"}))
        self.assertEqual(answer["message"], "Subscription q created.")
        return str(answer["subscription_id"])

    def test_shown(self) -> None:
        """A subscription has seven keys, the same in a listing."""
        subscription_id = self.create("http://a", ttl=60, options={"a": 1})
        self.clock.advance(5)
        shown = {
            "id": subscription_id,
            "source": "q",
            "subscriber": "http://a",
            "ttl": 60,
            "age": 5,
            "options": {"a": 1},
            "confirmed": False,
        }
        self.assertEqual(self.ask("subscription_get", queue_name="q", subscription_id=subscription_id), (200, shown))
        self.assertEqual(self.ask("subscription_list", queue_name="q"), (200, {"subscriptions": [shown]}))

    def test_pages(self) -> None:
        """A listing has the order of ids, and goes on after its marker."""
        ids = sorted(self.create(f"http://a/{number}") for number in range(12))
        first = self.ask("subscription_list", queue_name="q")[1]["subscriptions"]
        rest = self.ask("subscription_list", queue_name="q", marker=first[-1]["id"], limit=20)[1]["subscriptions"]
        self.assertEqual([[one["id"] for one in page] for page in (first, rest)], [ids[:10], ids[10:]])
        self.assertEqual(self.ask("subscription_list", queue_name="none"), (200, {"subscriptions": []}))
        self.assertIn("limit", self.refused(400, "subscription_list", queue_name="q", limit=21))

    def test_duplicate(self) -> None:
        """A subscriber again is a 409, confirmed or not."""
        self.create("http://a")
        found = self.ask("subscription_create", queue_name="q", subscriber="http://a")
        self.assertEqual(found, (409, "Subscription q not created."))

    def test_refused(self) -> None:
        """What breaks a rule has the text that it has on HTTP; of wrong types the schema says so."""
        for body, told in (
            ({"subscriber": "fake"}, "must be supported in the list"),
            ({"subscriber": "http://a", "ttl": 59}, "ttl is 59 seconds"),
            ({"subscriber": "http://a", "ttl": 99999999999999999}, "ttl"),
            ({"subscriber": "http://a", "options": {"_retry_policy": 1}}, "_retry_policy"),
        ):
            self.assertIn(told, self.refused(400, "subscription_create", queue_name="q", **body))
        self.assertIn("name", self.refused(400, "subscription_create", queue_name="a b", subscriber="http://a"))
        for name, value in (("subscriber", None), ("subscriber", 5), ("ttl", "60"), ("ttl", 60.0), ("options", [])):
            code, answer = self.ask("subscription_create", queue_name="q", **{"subscriber": "http://a", name: value})
            self.assertEqual(code, 400)
            self.assertTrue(answer["error"].startswith(f"Schema validation failed. body.{name} "), answer)
        self.assertEqual(self.ask("queue_list"), (200, {"queues": []}))

    def test_delete(self) -> None:
        """Deleting is 204 whether there was one or not; then there is none."""
        subscription_id = self.create("http://a")
        for _ in range(2):
            found = self.ask("subscription_delete", queue_name="q", subscription_id=subscription_id)
            self.assertEqual(found, (204, f"Subscription {subscription_id} removed."))
        self.refused(404, "subscription_get", queue_name="q", subscription_id=subscription_id)

    def test_purge(self) -> None:
        """Purging takes subscriptions where they are named, or nothing is; other words mean nothing."""
        bodies: list[tuple[dict[str, Any], int]] = [
            ({"resource_types": ["messages", "x"]}, 1),
            ({"resource_types": []}, 1),
            ({"resource_types": ["subscriptions"]}, 0),
            ({}, 0),
        ]
        for body, left in bodies:
            self.ask("subscription_create", queue_name="q", subscriber="http://a")
            self.assertEqual(self.ask("queue_purge", queue_name="q", **body), (204, {}))
            self.assertEqual(len(self.ask("subscription_list", queue_name="q")[1]["subscriptions"]), left)

    def test_no_such_actions(self) -> None:
        """Changing and confirming are not for WebSocket."""
        for action in ("subscription_update", "subscription_confirm"):
            code, answer = self.ask(action, queue_name="q", subscription_id="s")
            self.assertEqual((code, answer), (400, {"error": f"{action} is not a valid action"}))

    def test_deliveries(self) -> None:
        """Deliveries are for the role admin, which a frame has in the header that HTTP has it in."""
        roles: list[Any] = [None, "", "member", "administrator", 5, ["admin"], {"admin": True}]
        for action in ("delivery_overview", "delivery_list", "delivery_resend"):
            for given in roles:
                reply = self.raw(action, {"queue_name": "q"}, {**HEADERS, "X-ROLES": given})
                self.assertEqual(status(reply), 403, (action, given))
                self.assertEqual(set(reply["body"]), {"exception", "error"})
            self.assertEqual(status(self.raw(action, {"queue_name": "q"}, {**HEADERS, "x-roles": "admin"})), 403)
            self.assertEqual(status(self.raw(action, {"queue_name": "q"}, {**HEADERS, "X-ROLES": "a, Admin"})), 200)

    def test_delivery_answers(self) -> None:
        """Deliveries are shown with what operators need to know."""
        failing = [Failing(Place("p", "q"), 2), Failing(Place("p", "t", is_topic=True), 1)]
        found = codec.ANSWERS["delivery_overview"](fields.Nothing(), failing)
        shown = [{"project": "p", "count": 2, "queue": "q"}, {"project": "p", "count": 1, "topic": "t"}]
        self.assertEqual(msgspec.to_builtins(found), {"status": 200, "body": {"deliveries": shown}})
        failed = FailedDelivery("d", "s", "http://a", 3, "timeout", 9, "SubscriptionConfirmation")
        found = codec.ANSWERS["delivery_list"](fields.DeliveryList("q"), [failed])
        entry = {"id": "d", "subscription_id": "s", "subscriber": "http://a", "attempts": 3, "reason": "timeout"}
        entry |= {"age": 9, "notice": "SubscriptionConfirmation"}
        self.assertEqual(msgspec.to_builtins(found), {"status": 200, "body": {"deliveries": [entry]}})
        self.assertEqual(codec.ANSWERS["delivery_resend"](fields.DeliveryResend("q"), 3), codec.Answer(200, {"count": 3}))

    def test_token(self) -> None:
        """The token of a frame is part of who asks, and of nothing that is shown."""
        row = next(row for row in build_operations(self.storage).operations if row.name == "subscription_list")
        headers = codec.Headers(client="c", project="p", token="secret")
        context = self.session.context(row, headers)
        self.assertEqual((context.token, "secret" in repr(context)), ("secret", False))

    def test_who(self) -> None:
        """Roles and user are what the frame says, unless it is signed, which covers neither."""
        row = next(row for row in build_operations(self.storage).operations if row.name == "subscription_list")
        headers = codec.Headers(client="c", project="p", roles=" Admin ,b", user="u")
        self.assertEqual(self.session.context(row, headers), Context("p", roles=frozenset(("admin", "b")), user="u"))
        self.assertEqual(self.session.context(row, headers, is_signed=True), Context("p"))
        self.assertEqual(self.session.context(row, codec.Headers(client="c", project="p", user=5)), Context("p"))


class PoolActions(SessionCase):
    """Pools and flavors."""

    def test_pools(self) -> None:
        """With pools there are their actions, for administrators, save that everybody may read flavors."""
        process = memory_process(self.clock)
        rows = build_operations(process.storage, self.limits, pooling=process.pooling).operations
        self.session = Session(Actions(rows), ClientIds())
        for action in sorted(NOT_IMPLEMENTED):
            reply = self.raw(action, {"pool_name": "p", "flavor_name": "f"})
            known = 403 if action.startswith(("pool_", "flavor_")) else 501
            self.assertEqual(status(reply), {"flavor_list": 200, "flavor_get": 404}.get(action, known), action)
        code, answer = self.ask("pool_create")
        self.assertEqual((code, answer["error"]), (400, "Schema validation failed. body.pool_name is missing."))
        for action, body, wanted in (
            ("pool_create", {"pool_name": "p", "uri": "memory:p", "weight": 1, "options": {"a": 1}}, 201),
            ("pool_create", {"pool_name": "p", "uri": 1, "weight": 1}, 400),
            ("pool_create", {"pool_name": "p2", "uri": "memory:p", "weight": 1}, 409),
            ("pool_update", {"pool_name": "p", "weight": 2}, 200),
            ("pool_get", {"pool_name": "p", "detailed": True}, 200),
            ("pool_list", {"limit": 1}, 200),
            ("flavor_create", {"flavor_name": "f", "pool_list": ["p"]}, 201),
            ("flavor_update", {"flavor_name": "f", "pool_list": ["nonesuch"]}, 400),
            ("pool_delete", {"pool_name": "p"}, 403),
            ("flavor_delete", {"flavor_name": "f"}, 204),
            ("pool_delete", {"pool_name": "p"}, 204),
            ("pool_get", {"pool_name": "p"}, 404),
        ):
            reply = self.raw(action, body, {**HEADERS, "X-ROLES": "admin"})
            self.assertEqual(status(reply), wanted, reply)

    def test_pool_answers(self) -> None:
        """Pools and flavors are shown as on HTTP, and what was done to them in the words that queues have."""
        pool = Pool("p", "redis://h", 5, None, b'{"a": 1}')
        flavor = FlavorShown(Flavor("f", ("p",)), ("FIFO",))
        shown_pool = {"name": "p", "href": "/v2/pools/p", "uri": "redis://h", "weight": 5, "flavor": None}
        shown_flavor = {"name": "f", "href": "/v2/flavors/f", "pool_list": ["p"]}
        one_pool, one_flavor = fields.Pool("p"), fields.Flavor("f")
        for action, asked, result, expected in (
            ("pool_list", fields.PoolList(), [pool], (200, {"pools": [shown_pool]})),
            ("pool_get", fields.Pool("p", detailed=True), pool, (200, {**shown_pool, "options": {"a": 1}})),
            ("pool_create", fields.PoolPut("p"), None, (201, "Pool p created.")),
            ("pool_update", fields.PoolPut("p"), pool, (200, shown_pool)),
            ("pool_delete", one_pool, None, (204, "Pool p removed.")),
            ("flavor_list", fields.FlavorList(), [flavor], (200, {"flavors": [shown_flavor]})),
            ("flavor_get", one_flavor, flavor, (200, {**shown_flavor, "capabilities": ["FIFO"]})),
            ("flavor_create", fields.FlavorPut("f"), None, (201, "Flavor f created.")),
            ("flavor_update", fields.FlavorPut("f"), flavor, (200, {**shown_flavor, "capabilities": ["FIFO"]})),
            ("flavor_delete", one_flavor, None, (204, "Flavor f removed.")),
        ):
            answer = codec.ANSWERS[action](asked, result)
            self.assertEqual((answer.status, json.loads(msgspec.json.encode(answer.body))), expected)


class Failures(SessionCase):
    """What is answered when the store fails."""

    def failing(self, error: Exception) -> tuple[int, Any]:
        self.storage.queues = BrokenQueues(error)
        self.session = self.converse()
        return self.ask("queue_get", queue_name="q")

    def test_unavailable(self) -> None:
        """A store that is away is a 503."""
        text = "Away. Please try again in a few seconds."
        self.assertEqual(self.failing(StoreUnavailable("Away.")), (503, {"exception": text, "error": text}))

    def test_fault(self) -> None:
        """A fault of the store is a 503 too, and in the log."""
        self.assertEqual(self.failing(StoreFault("Odd."))[0], 503)
        self.assertEqual(len(self.flushLoggedErrors(StoreFault)), 1)

    def test_unexpected(self) -> None:
        """What nobody foresaw is a 500 that tells nothing, and in the log."""
        code, body = self.failing(ZeroDivisionError("secret"))
        self.assertEqual((code, body["error"]), (500, "Unexpected error."))
        self.assertNotIn("secret", json.dumps(body))
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
