"""Requests that wait for messages, over both transports: what ends the wait, and what it does to others."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any

from attrs import define, field
from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.task import deferLater
from zope.interface import implementer

from tests.helpers import CLIENT, OTHER_CLIENT, PROJECT, Response
from tests.wire.gateway import Gateway, HttpConnection, OnMemory, OnRedis, request_bytes
from zaqar_gateway.interfaces import IMessageFilter
from zaqar_gateway.live.waiting import Waits
from zaqar_gateway.model import Call, Context, NewMessage, NewPost, Place
from zaqar_gateway.operations.filters import Filter
from zaqar_gateway.operations.gate import Gate
from zaqar_gateway.operations.refusals import Refusals
from zaqar_gateway.transport.websocket.bounds import WebSocketBounds

if TYPE_CHECKING:
    _Base = OnMemory
else:
    _Base = object  # a mixin that were a TestCase would run without a store

MESSAGES, CLAIMS = "/v2/queues/q/messages", "/v2/queues/q/claims"

HTTP = {
    "message_list": ("GET", MESSAGES + "?echo=true&wait={wait}", None),
    "claim_create": ("POST", CLAIMS + "?wait={wait}", {"ttl": 100}),
    "message_delete_many": ("DELETE", MESSAGES + "?pop=1&wait={wait}", None),
}
"""How each operation that waits is asked for."""
FIELDS: dict[str, dict[str, Any]] = {"message_list": {"echo": True}, "claim_create": {"ttl": 100}, "message_delete_many": {"pop": 1}}


def asked(action: str, **fields: Any) -> dict[str, Any]:
    """A frame."""
    return {
        "action": action,
        "headers": {"Client-ID": CLIENT, "X-Project-ID": PROJECT},
        "body": {"queue_name": "q", **fields},
    }


@implementer(IMessageFilter)
@define
class Watching:
    """Sees what is asked for."""

    calls: list[str] = field(factory=list)

    async def request(self, ctx: Context, call: Call) -> None:
        """Everything may be asked for."""
        self.calls.append(call.name)

    async def post(self, ctx: Context, place: Place, messages: Any) -> Any:
        return messages

    async def answer(self, ctx: Context, call: Call, messages: Any) -> Any:
        return messages


class _Waiting(_Base):
    """A gateway whose requests wait; a subclass says on which store.

    :ivar storage: the store as it is, to see and change what is in it.
    """

    async def begin(self, most: int = 1000, **options: Any) -> Gateway:
        """Start a gateway."""
        self.storage = await self.a_store()
        self.refusals = Refusals()
        self.gate = Gate(0, self.refusals)
        self.waits = Waits(
            self.storage,
            self.clock,
            most,
            refused=lambda project: self.refusals.note("live.waits_max", project),
            aside=self.gate.leave,
            back=self.gate.rejoin,
        )
        return self.start(self.storage, waits=self.waits, gate=self.gate, refusals=self.refusals, **options)

    async def pumped(self, work: Awaitable[Any]) -> Any:
        """What something comes to, while hardly any time passes."""

        async def run() -> Any:
            return await work

        running = Deferred.fromCoroutine(run())
        while not running.called:
            self.clock.advance(0.0001)
            await deferLater(reactor, 0)
        return await running

    async def until(self, condition: Callable[[], object]) -> None:
        """Let things go on until something is so, while hardly any time passes."""
        while not condition():
            self.clock.advance(0.0001)
            await deferLater(reactor, 0)

    async def waiting(self, count: int = 1) -> None:
        """Let things go on until so many requests wait."""
        await self.until(lambda: self.waits.count == count)

    async def post(self, *bodies: int) -> list[str]:
        """Post messages of another client behind the gateway's back."""
        new = [NewMessage(b"%d" % body) for body in bodies]
        return await self.storage.messages.post(
            PROJECT, "q", NewPost(b"other", new, size=1, ttl_default_s=3600, size_max=1000)
        )

    async def free(self) -> int:
        """How many messages are not claimed."""
        stats = await self.storage.queues.stats(PROJECT, "q")
        return 0 if stats is None else stats.free

    def ask(self, http: HttpConnection, name: str, wait: object = 20) -> Deferred[Response]:
        """Ask for an operation that waits."""
        method, target, body = HTTP[name]
        return Deferred.fromCoroutine(http.ask(method, target.format(wait=wait), body))

    async def test_http(self) -> None:
        """A post wakes who waits, and the answer is as it is without a wait."""
        gateway = await self.begin()
        for name in HTTP:
            http = await gateway.http()
            answer = self.ask(http, name)
            await self.waiting()
            await self.post(7)
            response = await self.pumped(answer)
            self.assertEqual(response.status, 201 if name == "claim_create" else 200, response)
            self.assertEqual([message["body"] for message in response.json["messages"]], [7])
            await self.storage.queues.purge(PROJECT, "q")
        self.assertEqual(self.waits.count, 0)

    async def test_websocket(self) -> None:
        """The same on a socket."""
        gateway = await self.begin()
        socket = await gateway.socket()
        for name, fields in FIELDS.items():
            socket.send(json.dumps(asked(name, wait=20, **fields)).encode())
            await self.waiting()
            await self.post(7)
            reply = json.loads(await self.pumped(socket.message()))
            self.assertEqual(reply["headers"]["status"], 201 if name == "claim_create" else 200, reply)
            self.assertEqual([message["body"] for message in reply["body"]["messages"]], [7])
            await self.storage.queues.purge(PROJECT, "q")

    async def test_end_of_the_time(self) -> None:
        """Whoever has waited in vain is answered as one who did not wait, and so is one who waits for no time."""
        gateway = await self.begin()
        for name in HTTP:
            http, socket = await gateway.http(), await gateway.socket()
            at_once = await self.pumped(self.ask(http, name, 0))
            none = await self.pumped(socket.ask(asked(name, wait=0, **FIELDS[name])))
            answer = self.ask(http, name, 3)
            socket.send(json.dumps(asked(name, wait=3, **FIELDS[name])).encode())
            await self.waiting(2)
            self.clock.pump([1] * 3)
            response = await answer
            self.assertEqual((response.status, response.body), (at_once.status, at_once.body))
            self.assertEqual(json.loads(await socket.message())["body"], none["body"])

    async def test_bad_wait(self) -> None:
        """A wait that is no number, or out of range, or of a request that does not wait, is refused with the field."""
        gateway = await self.begin()
        http, socket = await gateway.http(), await gateway.socket()
        for name in HTTP:
            for wait in (21, -1, 10**30):
                response = await self.ask(http, name, wait)
                self.assertEqual(response.status, 400)
                self.assertIn("it has to be from 0 to 20", response.json["description"])
            for text in ("1.5", "soon"):
                response = await self.ask(http, name, text)
                self.assertEqual(response.status, 400)
                self.assertIn(f"wait is '{text}'; it has to be an integer from 0 to 20, of seconds.", response.json["description"])
            for value in (21, -1, "5", 1.5, None):
                reply = await socket.ask(asked(name, wait=value, **FIELDS[name]))
                self.assertEqual(reply["headers"]["status"], 400, reply)
                self.assertIn("wait", reply["body"]["error"])
        response = await http.ask("DELETE", MESSAGES + "?ids=a&wait=3")
        self.assertEqual((response.status, response.json["description"]), (400, "wait goes with pop only."))

    async def test_hang_up(self) -> None:
        """Nothing is claimed for one who has hung up."""
        gateway = await self.begin()
        http, socket = await gateway.http(), await gateway.socket()
        http.write(request_bytes("POST", CLAIMS + "?wait=20"))
        socket.send(json.dumps(asked("claim_create", wait=20)).encode())
        await self.waiting(2)
        await http.close()
        await socket.close()
        await self.waiting(0)
        await self.post(1)
        self.assertEqual(await self.free(), 1)

    async def test_half_closed(self) -> None:
        """One who closes their side while they wait may have gone: the answer is that there is nothing, at once."""
        gateway = await self.begin()
        http = await gateway.http()
        answer = self.ask(http, "claim_create")
        await self.waiting()
        http.transport.loseWriteConnection()
        self.assertEqual((await self.pumped(answer)).status, 204)
        await http.rest()

    async def test_pipelined(self) -> None:
        """What follows on the connection is answered after, however long that takes; the wait is not cut."""
        gateway = await self.begin()
        http = await gateway.http()
        answer = self.ask(http, "claim_create")
        http.write(request_bytes("GET", "/v2/ping") * 3)
        await self.waiting()
        self.clock.pump([1] * 19)
        await self.post(1)
        self.assertEqual((await self.pumped(answer)).status, 201)
        for _ in range(3):
            self.assertEqual((await http.response()).status, 204)

    async def test_too_much_pipelined(self) -> None:
        """One who sends more than is read ahead could hang up unnoticed, so that the wait ends."""
        gateway = await self.begin()
        http = await gateway.http()
        answer = self.ask(http, "claim_create")
        await self.waiting()
        http.write(request_bytes("GET", "/v2/ping") * 1000)
        self.assertEqual((await self.pumped(answer)).status, 204)
        self.assertEqual((await http.response()).status, 204)

    async def test_replies_behind(self) -> None:
        """Requests behind one that waits take effect at once, those too that run alone; their replies come after its own."""
        gateway = await self.begin()
        socket = await gateway.socket()
        socket.send(json.dumps(asked("claim_create", wait=20)).encode())
        await self.waiting()
        socket.send(json.dumps(asked("queue_create", metadata={"a": 1})).encode())
        socket.send(json.dumps(asked("queue_get")).encode())
        while await self.storage.queues.get(PROJECT, "q") is None:
            await deferLater(reactor, 0)
        self.assertEqual(socket.data, b"")
        socket.send(json.dumps(asked("message_post", messages=[{"body": 1, "ttl": 60}])).encode())
        replies = [json.loads(await self.pumped(socket.message())) for _ in range(4)]
        self.assertEqual([reply["headers"]["status"] for reply in replies], [201, 201, 200, 201])
        self.assertEqual(replies[0]["body"]["messages"][0]["body"], 1)
        self.assertEqual(replies[2]["body"], {"a": 1})

    async def test_hang_up_of_a_full_socket(self) -> None:
        """A socket that has as many requests in flight as it may have is noticed when it hangs up, and answers no more frames."""
        gateway = await self.begin(websocket_bounds=WebSocketBounds(in_flight_max=2))
        socket = await gateway.socket()
        for _ in range(2):
            socket.send(json.dumps(asked("claim_create", wait=20)).encode())
        await self.waiting(2)
        socket.send(json.dumps(asked("message_post", messages=[{"body": 1, "ttl": 60}])).encode())
        socket.write(b"\0" * 60_000)
        await socket.close()
        await self.waiting(0)
        self.assertIsNone(await self.storage.queues.get(PROJECT, "q"))

    async def test_stop(self) -> None:
        """When the gateway stops they are answered as if their time were over."""
        gateway = await self.begin()
        http, socket = await gateway.http(), await gateway.socket()
        answer = self.ask(http, "message_list")
        socket.send(json.dumps(asked("claim_create", wait=20)).encode())
        await self.waiting(2)
        self.waits.stop()
        self.assertEqual((await answer).json, {"messages": [], "links": []})
        self.assertEqual(json.loads(await socket.message())["headers"]["status"], 204)

    async def test_bounds(self) -> None:
        """More than may wait get 429; who waits is not in flight."""
        gateway = await self.begin(most=1)
        http, other, socket = await gateway.http(), await gateway.http(), await gateway.socket()
        answer = self.ask(http, "message_list")
        await self.waiting()
        self.assertEqual(self.gate.in_flight, 0)
        refused = await self.ask(other, "claim_create")
        self.assertEqual((refused.status, refused.header("Retry-After"), refused.title), (429, "1", "Too many requests"))
        reply = await socket.ask(asked("claim_create", wait=20))
        self.assertEqual((reply["headers"]["status"], reply["body"]["error"]), (429, refused.json["description"]))
        self.assertEqual(self.refusals.counts, {"live.waits_max": 2})
        await self.post(1)
        self.assertEqual((await self.pumped(answer)).status, 200)
        self.assertEqual(self.gate.in_flight, 0)

    async def test_own_messages(self) -> None:
        """A listing without echo waits for what others post, whatever the client itself posts."""
        gateway = await self.begin()
        http, other = await gateway.http(), await gateway.http()
        answer = Deferred.fromCoroutine(http.ask("GET", MESSAGES + "?wait=20"))
        await self.waiting()
        for number in range(3):
            await other.ask("POST", MESSAGES, {"messages": [{"body": number}]})
            self.clock.advance(0.01)
        self.assertFalse(answer.called)
        await other.ask("POST", MESSAGES, {"messages": [{"body": "other"}]}, {"Client-ID": OTHER_CLIENT})
        self.clock.advance(0.01)
        response = await self.pumped(answer)
        self.assertEqual([message["body"] for message in response.json["messages"]], ["other"])
        (link,) = response.json["links"]
        self.assertIn("wait=20", link["href"])

    async def test_topics(self) -> None:
        """A listing of a topic waits for what is posted there, and not for the queue of that name."""
        gateway = await self.begin()
        http, other = await gateway.http(), await gateway.http()
        answer = Deferred.fromCoroutine(http.ask("GET", "/v2/topics/q/messages?echo=true&wait=20"))
        await self.waiting()
        await other.ask("POST", MESSAGES, {"messages": [{"body": 1}]})
        await other.ask("POST", "/v2/topics/q/messages", {"messages": [{"body": 2}]})
        response = await self.pumped(answer)
        self.assertEqual([message["body"] for message in response.json["messages"]], [2])

    async def test_release(self) -> None:
        """A claim that is released wakes the next worker."""
        gateway = await self.begin()
        http, other = await gateway.http(), await gateway.http()
        await self.post(1)
        claimed = await other.ask("POST", CLAIMS)
        answer = self.ask(http, "claim_create")
        await self.waiting()
        await other.ask("DELETE", str(claimed.header("Location")))
        self.assertEqual((await self.pumped(answer)).status, 201)

    async def test_delay(self) -> None:
        """A delayed message is had in the instant in which its delay ends."""
        gateway = await self.begin()
        http, other = await gateway.http(), await gateway.http()
        await other.ask("PUT", "/v2/queues/q", {"_default_message_delay": 5})
        await other.ask("POST", MESSAGES, {"messages": [{"body": 1}]})
        answer = self.ask(http, "claim_create")
        await self.waiting()
        for _ in range(4):
            self.clock.advance(1)
            await self.pumped(other.ask("GET", "/v2/ping"))
        self.assertFalse(answer.called)
        self.clock.advance(0.75)
        await self.pumped(other.ask("GET", "/v2/ping"))
        self.assertFalse(answer.called)
        self.clock.advance(0.25)
        self.assertEqual((await self.pumped(answer)).status, 201)

    async def test_encrypted(self) -> None:
        """Encrypted messages are waited for like others."""
        gateway = await self.begin()
        http, other = await gateway.http(), await gateway.http()
        await other.ask("PUT", "/v2/queues/q", {"_enable_encrypt_messages": True})
        answer = self.ask(http, "message_delete_many")
        await self.waiting()
        await other.ask("POST", MESSAGES, {"messages": [{"body": {"secret": 1}}]})
        self.assertEqual((await self.pumped(answer)).json["messages"][0]["body"], {"secret": 1})

    async def test_filters(self) -> None:
        """A filter is asked once for a request that waits, and its socket goes on meanwhile."""
        watching = Watching()
        gateway = await self.begin(filters=[Filter("watching", watching)])
        http, socket = await gateway.http(), await gateway.socket()
        for name in HTTP:
            watching.calls.clear()
            answer = self.ask(http, name)
            socket.send(json.dumps(asked(name, wait=20, **FIELDS[name])).encode())
            await self.waiting(2)
            self.assertEqual(len(watching.calls), 2)
            socket.send(json.dumps(asked("message_post", messages=[{"body": n, "ttl": 60} for n in (1, 2)])).encode())
            await self.pumped(socket.message())
            await self.pumped(socket.message())
            await self.post(3)
            await self.pumped(answer)
            self.assertEqual(len(watching.calls), 3, watching.calls)
            await self.storage.queues.purge(PROJECT, "q")


class MemoryTests(_Waiting, OnMemory):
    """Over memory."""


class RedisTests(_Waiting, OnRedis):
    """Over Redis."""
