"""Message filters over both transports: what clients are told, and the order of what a socket asks for."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING

from attrs import define
from msgspec.structs import replace
from twisted.internet import reactor
from twisted.internet.task import deferLater
from zope.interface import implementer

from tests.helpers import PROJECT
from tests.wire.calls import Call as Asked
from tests.wire.calls import frame_request, from_frame, from_http, http_request
from tests.wire.gateway import Gateway, OnMemory, OnRedis
from zaqar_gateway.errors import Forbidden, GatewayError, RuleBroken
from zaqar_gateway.interfaces import IMessageFilter
from zaqar_gateway.model import ENCRYPTED, Call, Context, Message, NewMessage, Place
from zaqar_gateway.operations.filters import Filter

if TYPE_CHECKING:
    _Base = OnMemory
else:
    _Base = object  # a mixin that were a TestCase would run without a store


@implementer(IMessageFilter)
@define
class Stern:
    """Takes only ``true``, and waits a while before it says so.

    :ivar error: what it raises for anything else.
    :ivar turns: of the reactor that it waits for the first post; one less for each that follows.
    """

    error: Exception
    turns: int = 0

    async def request(self, ctx: Context, call: Call) -> None:
        """Everything may be asked for."""

    async def post(self, ctx: Context, place: Place, messages: Sequence[NewMessage]) -> Sequence[NewMessage]:
        turns, self.turns = self.turns, max(0, self.turns - 1)
        for _ in range(turns):
            await deferLater(reactor, 0)
        if messages[0].body != b"true":
            raise self.error
        return messages

    async def answer(self, ctx: Context, call: Call, messages: Sequence[Message]) -> Sequence[Message]:
        return messages


@implementer(IMessageFilter)
@define
class Marking:
    """Puts each body that is posted, and each that is shown, into an array."""

    async def request(self, ctx: Context, call: Call) -> None:
        """Everything may be asked for."""

    async def post(self, ctx: Context, place: Place, messages: Sequence[NewMessage]) -> Sequence[NewMessage]:
        return [replace(message, body=b'["posted", %s]' % message.body) for message in messages]

    async def answer(self, ctx: Context, call: Call, messages: Sequence[Message]) -> Sequence[Message]:
        return [replace(message, body=b'["shown", %s]' % message.body) for message in messages]


class _Filters(_Base):
    """A gateway with a filter; a subclass says on which store."""

    async def gateway(self, error: Exception, turns: int = 0) -> Gateway:
        return self.start(await self.a_store(), filters=[Filter("stern", Stern(error, turns))])

    async def told(self, error: Exception) -> list[tuple[int, str]]:
        """The status and the text of an answer to a post, on HTTP, in text frames and in binary ones."""
        gateway = await self.gateway(error)
        call = Asked("message_post", {"queue_name": "q", "messages": [{"body": 1}]})
        http, socket = await gateway.http(), await gateway.socket()
        answers = [
            from_http(call, await http.ask(*http_request(call))),
            from_frame(call, await socket.ask(frame_request(call))),
            from_frame(call, await socket.ask_packed(frame_request(call))),
        ]
        return [(answer.status, answer.text) for answer in answers]

    async def test_refusals(self) -> None:
        """A refusal has the status of its kind and the text of the filter, the same on both transports."""
        refusals: list[tuple[GatewayError, int]] = [(RuleBroken("only true"), 400), (Forbidden("not you"), 403)]
        for error, status in refusals:
            self.assertEqual(await self.told(error), [(status, str(error))] * 3)

    async def test_fault(self) -> None:
        """A fault of a filter is a 500 that says so, and nothing of what happened."""
        text = "A message filter of the service failed; the cause is in its log."
        self.assertEqual(await self.told(ZeroDivisionError("a secret")), [(500, text)] * 3)
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 3)

    async def test_encrypted_queue(self) -> None:
        """A filter has plain bodies; what it makes of a post is what is encrypted."""
        storage = await self.a_store()
        gateway = self.start(storage, filters=[Filter("marking", Marking())])
        http = await gateway.http()
        await http.ask("PUT", "/v2/queues/q", {"_enable_encrypt_messages": True})
        await http.ask("POST", "/v2/queues/q/messages", {"messages": [{"body": 1}]})
        page = await storage.messages.list(
            PROJECT, "q", marker=None, limit=1, skip_client=None, include_claimed=True, include_delayed=True
        )
        self.assertTrue(page.messages[0].body.startswith(ENCRYPTED))
        shown = await http.ask("GET", "/v2/queues/q/messages?echo=true")
        self.assertEqual(shown.json["messages"][0]["body"], ["shown", ["posted", 1]])

    async def test_order(self) -> None:
        """What a socket asks for takes effect in its order, however long a filter waits for each."""
        gateway = await self.gateway(RuleBroken("only true"), turns=9)
        socket = await gateway.socket()
        count = 5
        for number in range(count):
            posted = {"queue_name": "q", "messages": [{"body": True, "ttl": 100 + number}]}
            socket.send(json.dumps(frame_request(Asked("message_post", posted))).encode())
        socket.send(json.dumps(frame_request(Asked("message_delete_many", {"queue_name": "q", "pop": 9}))).encode())
        replies = [json.loads(await socket.message()) for _ in range(count + 1)]
        popped = [message["ttl"] for message in replies[-1]["body"]["messages"]]
        self.assertEqual(popped, [100, 101, 102, 103, 104])


class MemoryTests(_Filters, OnMemory):
    """Over memory."""


class RedisTests(_Filters, OnRedis):
    """Over Redis."""
