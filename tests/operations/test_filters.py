"""Message filters: what they see, what they may change, and what becomes of it where they refuse or fail."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, TypeVar, cast

import msgspec
from attrs import define, field
from msgspec.structs import replace
from twisted.internet.defer import Deferred
from twisted.logger import capturedLogs, formatEvent
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

from tests.helpers import build_operations
from zaqar_gateway.errors import FilterFault, Forbidden, NotFound, RuleBroken
from zaqar_gateway.interfaces import IMessageFilter
from zaqar_gateway.limits import Limits
from zaqar_gateway.model import Call, Context, Message, NewMessage, Place, QueueRules
from zaqar_gateway.operations import fields
from zaqar_gateway.operations.claims import Claims
from zaqar_gateway.operations.dead_letters import DeadLetters
from zaqar_gateway.operations.filters import FILTERED, Filter, operations_on
from zaqar_gateway.operations.messages import Messages
from zaqar_gateway.operations.queues import QUEUE, TOPIC
from zaqar_gateway.storage.memory import MemoryStorage
from zaqar_gateway.testing.base import bodies, clock_at_epoch

T = TypeVar("T")
CTX = Context("p", b"client", frozenset({"admin"}), "user")
READER = Context("p", b"reader")
PLACE = Place("p", "q")


@implementer(IMessageFilter)
@define
class Made:
    """A filter made of functions; what it lacks changes nothing.

    :ivar seen: what it was asked.
    """

    on_request: Callable[[Call], None] = lambda call: None
    on_post: Callable[[Sequence[NewMessage]], Sequence[NewMessage]] = lambda messages: messages
    on_answer: Callable[[Sequence[Message]], Sequence[Message]] = lambda messages: messages
    seen: list[object] = field(factory=list)

    async def request(self, ctx: Context, call: Call) -> None:
        self.seen.append((ctx, call))
        self.on_request(call)

    async def post(self, ctx: Context, place: Place, messages: Sequence[NewMessage]) -> Sequence[NewMessage]:
        self.seen.append((ctx, place, bodies_of(messages)))
        return self.on_post(messages)

    async def answer(self, ctx: Context, call: Call, messages: Sequence[Message]) -> Sequence[Message]:
        self.seen.append((call.name, bodies(messages)))
        return self.on_answer(messages)


def bodies_of(messages: Sequence[NewMessage]) -> list[bytes]:
    return [message.body for message in messages]


def fail(*args: object) -> Any:
    """What a filter with a fault does."""
    raise ZeroDivisionError


def refuse(*args: object) -> Any:
    """What a filter that refuses does."""
    raise Forbidden("not on my watch")


def tagged(tag: bytes) -> Callable[[Sequence[Any]], Sequence[Any]]:
    """Puts an array with a tag around each body."""
    return lambda messages: [replace(one, body=b'["%s", %s]' % (tag, one.body)) for one in messages]


def without(body: bytes) -> Callable[[Sequence[Message]], Sequence[Message]]:
    """Leaves out the messages with this body."""
    return lambda messages: [one for one in messages if one.body != body]


def of_other_types(messages: Sequence[Message]) -> Sequence[Message]:
    """Messages whose lifetime is a text, as nothing but the annotations keeps a filter from making them."""
    wrong: Any = "60"
    return [replace(one, ttl_s=wrong) for one in messages]


def cancelled(messages: Sequence[Message]) -> Sequence[Message]:
    """What comes out of code for asyncio that is cancelled; it is no ``Exception``."""
    raise asyncio.CancelledError


class FilterCase(SynchronousTestCase):
    """Operations with filters over a store in memory."""

    def setUp(self) -> None:
        self.storage = MemoryStorage(clock_at_epoch())
        self.messages, self.claims = self.operations()

    def operations(self, *filters: Made, topics: bool = False) -> tuple[Messages, Claims]:
        """The operations, seen by filters called ``f0``, ``f1`` and so on."""
        messages, claims, dead_letters = operations_on([Filter(f"f{number}", each) for number, each in enumerate(filters)])
        claiming = claims(self.storage.claims, Limits())
        self.dead_letters = dead_letters(self.storage.dead_letters, Limits())
        if topics:
            return messages(self.storage.topic_messages, self.storage.topics, Limits(), TOPIC), claiming
        return messages(self.storage.messages, self.storage.queues, Limits(), QUEUE), claiming

    def filtered(self, *filters: Made) -> None:
        """Have filters from now on."""
        self.messages, self.claims = self.operations(*filters)

    def result(self, work: Coroutine[Any, Any, T]) -> T:
        """What comes of an operation."""
        return self.successResultOf(Deferred.fromCoroutine(work))

    def refusal(self, work: Coroutine[Any, Any, object], kind: type[Exception]) -> str:
        """The text of the error of an operation."""
        return str(self.failureResultOf(Deferred.fromCoroutine(work), kind).value)

    def posting(self, *texts: bytes, queue: str = "q") -> Coroutine[Any, Any, list[str]]:
        array = b"[%s]" % b",".join(b'{"body": %s}' % text for text in texts)
        return self.messages.post(CTX, fields.MessagePost(queue, msgspec.Raw(array)))

    def post(self, *texts: bytes) -> list[str]:
        """Post messages with these bodies."""
        return self.result(self.posting(*texts))

    def listed(self, limit: int = 10, marker: str | None = None) -> list[bytes]:
        asked = fields.MessageList("q", limit=limit, marker=marker or msgspec.UNSET, include_claimed=True)
        return bodies(self.result(self.messages.list(READER, asked)).messages)

    def stored(self) -> list[bytes]:
        """The bodies in the store, whatever filters say of them."""
        self.messages, kept = self.operations()[0], self.messages
        try:
            return self.listed()
        finally:
            self.messages = kept


class NoFilterTests(FilterCase):
    """Without filters."""

    def test_no_trace(self) -> None:
        """Without a filter the operations are those that there would be without this module."""
        self.assertEqual(operations_on([]), (Messages, Claims, DeadLetters))
        for row in build_operations(self.storage).operations:
            if row.name in FILTERED:
                self.assertIn(type(row.run.__self__), (Messages, Claims, DeadLetters))  # type: ignore[attr-defined]

    def test_rows(self) -> None:
        """With one, the rows that are said to be filtered are, and no others, but for those of topics."""
        rows = build_operations(self.storage, filters=[Filter("f", Made())]).operations
        plain = build_operations(self.storage).operations
        changed = {
            one.name
            for one, other in zip(rows, plain, strict=True)
            if type(getattr(one.run, "__self__", None)) is not type(getattr(other.run, "__self__", None))
        }
        self.assertEqual({name for name in changed if not name.startswith("topic_")}, FILTERED)


class RequestTests(FilterCase):
    """What a filter is asked before anything happens."""

    def test_every_operation(self) -> None:
        """Each operation is seen once, with who asks, the place, and what it names."""
        self.post(b"1", b"2", b"3")
        watch = Made()
        self.filtered(watch)
        one, two = "0" * 24, "1" * 24
        calls: list[tuple[Coroutine[Any, Any, object], Call]] = [
            (self.posting(b"4"), Call("post", PLACE)),
            (self.messages.list(CTX, fields.MessageList("q", limit=3)), Call("list", PLACE, limit=3)),
            (self.messages.get_many(CTX, fields.MessageGetMany("q", [one, two])), Call("get", PLACE, (one, two))),
            (self.messages.delete(CTX, fields.MessageDelete("q", one)), Call("delete", PLACE, (one,))),
            (self.messages.delete(CTX, fields.MessageDelete("q", one, "c")), Call("delete", PLACE, (one,), ("c",))),
            (
                self.messages.delete_many(CTX, fields.MessageDeleteMany("q", [one, two])),
                Call("delete_many", PLACE, (one, two)),
            ),
            (self.messages.delete_many(CTX, fields.MessageDeleteMany("q", pop=1)), Call("pop", PLACE, limit=1)),
            (self.claims.create(CTX, fields.ClaimCreate("q", limit=1)), Call("claim_create", PLACE, limit=1)),
            (self.claims.release(CTX, fields.ClaimDelete("q", "c")), Call("claim_release", PLACE, (), ("c",))),
            (
                self.dead_letters.list(CTX, fields.DeadLetterList("q", limit=3)),
                Call("dead_letter_list", PLACE, limit=3),
            ),
            (
                self.dead_letters.send_back(CTX, fields.DeadLetterReturn("q", [one])),
                Call("dead_letter_return", PLACE, (one,), limit=1),
            ),
        ]
        for work, expected in calls:
            watch.seen.clear()
            self.result(work)
            self.assertEqual(watch.seen[0], (CTX, expected))
        missing: list[tuple[Coroutine[Any, Any, object], Call]] = [
            (self.messages.get(CTX, fields.MessageGet("q", one)), Call("get", PLACE, (one,))),
            (self.claims.get(CTX, fields.Claim("q", "c")), Call("claim_get", PLACE, (), ("c",))),
            (self.claims.update(CTX, fields.ClaimUpdate("q", "c")), Call("claim_update", PLACE, (), ("c",))),
        ]
        for work, expected in missing:
            watch.seen.clear()
            self.refusal(work, NotFound)
            self.assertEqual(watch.seen[0], (CTX, expected))

    def test_topics(self) -> None:
        """The place of an operation on a topic says so."""
        watch = Made()
        messages, _ = self.operations(watch, topics=True)
        self.result(messages.list(CTX, fields.MessageList("q")))
        self.assertEqual(watch.seen[0], (CTX, Call("list", Place("p", "q", True), limit=10)))

    def test_refusal(self) -> None:
        """What is refused has no effect, for claims and pops too, and the client gets the text of the filter."""
        (one,) = self.post(b"1")
        self.filtered(Made(on_request=refuse))
        for work in (
            self.posting(b"2", queue="other"),
            self.messages.delete(CTX, fields.MessageDelete("q", one)),
            self.messages.delete_many(CTX, fields.MessageDeleteMany("q", pop=1)),
            self.claims.create(CTX, fields.ClaimCreate("q")),
            self.dead_letters.send_back(CTX, fields.DeadLetterReturn("q", limit=1)),
        ):
            self.assertEqual(self.refusal(work, Forbidden), "not on my watch")
        self.filtered()
        self.assertIsNotNone(self.result(self.claims.create(CTX, fields.ClaimCreate("q"))))
        self.assertIsNone(self.result(self.storage.queues.get("p", "other")))

    def test_rules_come_first(self) -> None:
        """What the rules of the API refuse no filter sees."""
        watch = Made()
        self.filtered(watch)
        self.refusal(self.messages.list(CTX, fields.MessageList("q", limit=0)), RuleBroken)
        self.assertEqual(watch.seen, [])

    def test_order(self) -> None:
        """The first filter sees requests and posts first, and answers last."""
        self.filtered(
            Made(on_post=tagged(b"a"), on_answer=tagged(b"x")), Made(on_post=tagged(b"b"), on_answer=tagged(b"y"))
        )
        self.post(b"1")
        self.assertEqual(self.stored(), [b'["b", ["a", 1]]'])
        self.assertEqual(self.listed(), [b'["x", ["y", ["b", ["a", 1]]]]'])
        late = Made()
        self.filtered(Made(on_request=refuse), late)
        self.refusal(self.posting(b"2"), Forbidden)
        self.assertEqual(late.seen, [])


class PostTests(FilterCase):
    """What is stored."""

    def test_everything_may_be_changed(self) -> None:
        """Body and ttl are those that the filter gives; a body that it does not touch is stored as it came."""
        self.filtered(Made(on_post=lambda messages: [replace(messages[0], body=b"[]", ttl_s=77), *messages[1:]]))
        first, _ = self.post(b"1", b'{ "a":1 }')
        self.assertEqual(self.stored(), [b"[]", b'{ "a":1 }'])
        (message,) = self.result(self.storage.messages.get("p", "q", [first]))
        self.assertEqual(message.ttl_s, 77)

    def test_nothing_is_stored(self) -> None:
        """Where a filter refuses, fails, or gives what is no post, nothing is stored and no queue is made."""
        wrong: list[tuple[Callable[..., Any], type[Exception], str]] = [
            (refuse, Forbidden, ""),
            (fail, FilterFault, "ZeroDivisionError"),
            (lambda messages: messages[1:], FilterFault, "1 messages were made of 2"),
            (lambda messages: [], FilterFault, "0 messages were made of 2"),
            (tagged(b'"'), FilterFault, "no JSON"),
            (tagged(b"\xff"), FilterFault, "no JSON"),
            (lambda messages: [replace(one, body=b"") for one in messages], FilterFault, "no JSON"),
            (lambda messages: [replace(one, body=bytearray(b"1")) for one in messages], FilterFault, "made into a bytearray"),
            (lambda messages: None, FilterFault, "NoneType"),
            (lambda messages: [object(), object()], FilterFault, "made into a object"),
            (of_other_types, FilterFault, "Expected `int | null`, got `str` - at `$.ttl_s`"),
            (lambda messages: [replace(one, delay_s=1.5) for one in messages], FilterFault, "got `float` - at `$.delay_s`"),
            (lambda messages: [replace(one, ttl_s=0) for one in messages], FilterFault, "`int` >= 1 - at `$.ttl_s`"),
            (lambda messages: [replace(one, ttl_s=10**18) for one in messages], FilterFault, "<= 2147483647 - at `$.ttl_s`"),
            (lambda messages: sys.exit(3), FilterFault, "SystemExit: 3"),
            (cancelled, FilterFault, "CancelledError"),
        ]
        for on_post, kind, logged in wrong:
            self.filtered(Made(on_post=on_post))
            text = self.refusal(self.posting(b"1", b"2"), kind)
            if logged:
                self.assertEqual(text, "A message filter of the service failed; the cause is in its log.")
                (failure,) = self.flushLoggedErrors()
                self.assertIn(logged, f"{failure.type.__name__}: {failure.getErrorMessage()}")
            self.assertIsNone(self.result(self.storage.queues.get("p", "q")))

    def test_name_is_logged(self) -> None:
        """The log says which filter failed."""
        self.filtered(Made(), Made(on_post=fail))
        with capturedLogs() as events:
            self.refusal(self.posting(b"1"), FilterFault)
        self.assertEqual([formatEvent(event) for event in events], ["message filter f1 failed"])
        self.flushLoggedErrors(ZeroDivisionError)


class AnswerTests(FilterCase):
    """What is shown."""

    def claim(self) -> Coroutine[Any, Any, Any]:
        return self.claims.create(CTX, fields.ClaimCreate("q"))

    def pop(self) -> list[bytes]:
        popped = self.result(self.messages.delete_many(CTX, fields.MessageDeleteMany("q", pop=5)))
        assert popped is not None
        return bodies(popped)

    def test_change(self) -> None:
        """Every way to read shows what the filter makes of a message; what is stored stays as it is."""
        (one,) = self.post(b"1")
        self.filtered(Made(on_answer=tagged(b"x")))
        shown = b'["x", 1]'
        self.assertEqual(self.listed(), [shown])
        self.assertEqual(self.result(self.messages.get(CTX, fields.MessageGet("q", one))).body, shown)
        many = self.result(self.messages.get_many(CTX, fields.MessageGetMany("q", [one, one])))
        self.assertEqual(bodies(many), [shown, shown])
        claim = self.result(self.claim())
        self.assertEqual(bodies(claim.messages), [shown])
        self.assertEqual(bodies(self.result(self.claims.get(CTX, fields.Claim("q", claim.id))).messages), [shown])
        self.result(self.claims.release(CTX, fields.ClaimDelete("q", claim.id)))
        self.assertEqual(self.stored(), [b"1"])
        self.assertEqual(self.pop(), [shown])

    def test_listing_goes_on(self) -> None:
        """What is left out of a listing makes room for what follows, and pages neither skip nor repeat anything."""
        self.post(*(b"0" if n % 3 else b"%d" % n for n in range(12)))
        self.filtered(Made(on_answer=without(b"0")))
        found, marker = [], msgspec.UNSET
        while True:
            page = self.result(self.messages.list(READER, fields.MessageList("q", limit=3, marker=marker)))
            if not page.messages:
                break
            found.append(bodies(page.messages))
            marker = page.marker  # type: ignore[assignment]
        self.assertEqual(found, [[b"3", b"6", b"9"]])

    def test_everything_is_left_out(self) -> None:
        """Where all is left out a listing is empty, and a single message is not found."""
        (one,) = self.post(b"0")
        self.filtered(Made(on_answer=without(b"0")))
        self.assertEqual(self.listed(), [])
        self.refusal(self.messages.get(CTX, fields.MessageGet("q", one)), NotFound)
        self.assertEqual(self.result(self.messages.get_many(CTX, fields.MessageGetMany("q", [one]))), [])

    def test_refusal(self) -> None:
        """A filter may refuse to show what was read."""
        self.post(b"1")
        self.filtered(Made(on_answer=refuse))
        self.assertEqual(
            self.refusal(self.messages.list(READER, fields.MessageList("q")), Forbidden), "not on my watch"
        )

    def test_wrong_answers(self) -> None:
        """Messages that were not there, another order, and what is no JSON text are faults."""
        self.post(b"1", b"2")
        for on_answer in (
            lambda messages: messages[::-1],
            lambda messages: [*messages, messages[0]],
            lambda messages: [replace(messages[0], id="a")],
            tagged(b'"'),
            of_other_types,
            lambda messages: [cast(Any, object())],
            fail,
        ):
            self.filtered(Made(on_answer=on_answer))
            self.refusal(self.messages.list(READER, fields.MessageList("q")), FilterFault)
            self.assertEqual(len(self.flushLoggedErrors()), 1)

    def test_claim_is_released(self) -> None:
        """Where a filter fails, refuses or leaves a message out after a claim was made, its messages are free again."""
        self.post(b"0", b"1")
        for on_answer, kind in (
            (fail, FilterFault),
            (refuse, Forbidden),
            (without(b"0"), FilterFault),
            (of_other_types, FilterFault),
        ):
            self.filtered(Made(on_answer=on_answer))
            self.refusal(self.claim(), kind)
            self.flushLoggedErrors()
            stats = self.result(self.storage.queues.stats("p", "q"))
            assert stats is not None
            self.assertEqual((stats.free, stats.claimed), (2, 0))

    def test_nothing_to_claim(self) -> None:
        """Where nothing is claimed there is no answer to see."""
        watch = Made(on_answer=fail)
        self.filtered(watch)
        self.assertIsNone(self.result(self.claim()))

    def test_dead_letters(self) -> None:
        """What is left out of a page of dead letters makes room for those that follow; the others are as filters make them."""
        self.result(self.storage.queues.create("p", "q", b"{}", QueueRules(claim_count_max=0, dead_letter_queue="dead")))
        self.post(b"0", b"1", b"2")
        self.assertIsNone(self.result(self.claims.create(CTX, fields.ClaimCreate("q"))))
        self.filtered(Made(on_answer=tagged(b"x")), Made(on_answer=without(b"0")))
        for limit, shown in ((1, [b'["x", 1]']), (5, [b'["x", 1]', b'["x", 2]'])):
            page = self.result(self.dead_letters.list(READER, fields.DeadLetterList("dead", limit=limit)))
            self.assertEqual(bodies(page), shown)

    def test_popped_messages_are_not_lost(self) -> None:
        """What was popped is answered without a filter that fails, refuses or leaves out, and with all others."""
        for wrong in (fail, refuse, without(b"0"), of_other_types, cancelled):
            self.post(b"0")
            self.filtered(Made(on_answer=tagged(b"x")), Made(on_answer=wrong))
            self.assertEqual(self.pop(), [b'["x", 0]'])
            self.assertEqual(len(self.flushLoggedErrors()), 1)
            self.filtered()
