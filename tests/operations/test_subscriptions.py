"""Subscriptions: what may be stored, what subscribers are asked, and the trusts that are made for them."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, TypeVar

import msgspec
from attrs import define, field
from msgspec import UNSET, Raw
from twisted.internet.defer import Deferred
from twisted.logger import capturedLogs
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer
from zope.interface.verify import verifyObject

from tests.helpers import PROJECT, RecordedSockets
from zaqar_gateway.errors import (
    BadBody,
    BadQueueName,
    BadTopicName,
    Forbidden,
    GatewayError,
    IdentityUnavailable,
    NotFound,
    NothingToUpdate,
    NotSupported,
    RuleBroken,
    StoreFault,
    StoreUnavailable,
    SubscriberTaken,
)
from zaqar_gateway.instants import END_S
from zaqar_gateway.interfaces import IListener, INotifier, IPushed, ISubscriptionStore, ITrusts
from zaqar_gateway.limits import Limits
from zaqar_gateway.model import (
    Context,
    Delivery,
    LogPage,
    NewSubscription,
    Place,
    Placed,
    Subscription,
    Verdict,
)
from zaqar_gateway.operations import fields
from zaqar_gateway.operations.queues import TOPIC
from zaqar_gateway.operations.subscriptions import (
    SUBSCRIBER_LENGTH_MAX,
    TRUST_IS_OURS,
    Notices,
    Subscribed,
    Subscriptions,
)
from zaqar_gateway.storage.memory import MemoryStorage
from zaqar_gateway.testing.base import clock_at_epoch

HOOK, OTHER = "http://example.org/a", "https://example.org/b"
TRUSTED = "trust+https://example.org/a"
CALLER = Context(PROJECT, roles=frozenset(("member",)), user="alice", token="a token")
T = TypeVar("T")


@implementer(INotifier)
@define
class PickyNotifier:
    """Does not deliver to port 1, nor where options say so."""

    schemes = ("http",)

    def check(self, subscriber: str, options: dict[str, object]) -> None:
        if ":1/" in subscriber or options.get("bad"):
            raise RuleBroken("subscriber is on port 1; it has to be on another.")

    async def send(self, delivery: Delivery) -> Verdict:
        raise NotImplementedError


@implementer(ITrusts)
@define
class RecordedTrusts:
    """Keeps what is asked of it; ``mine`` is a trust of alice's.

    :ivar meanwhile: is done while it is looked whose a trust is.
    """

    made: list[tuple[Context, str, int]] = field(factory=list)
    revoked: list[str] = field(factory=list)
    error: GatewayError | None = None
    meanwhile: list[Awaitable[object]] = field(factory=list)

    async def create(self, ctx: Context, token: str, ttl_s: int) -> str:
        if self.error is not None or not token:
            raise self.error or Forbidden("There is nobody to trust this service.")
        self.made.append((ctx, token, ttl_s))
        return f"trust-{len(self.made)}"

    async def check(self, ctx: Context, token: str, trust_id: str) -> None:
        makers = {"mine": CALLER} | {f"trust-{number}": made[0] for number, made in enumerate(self.made, 1)}
        maker = makers.get(trust_id)
        if maker is None or (ctx.user, token) != (maker.user, maker.token):
            raise Forbidden("It is another's.")
        while self.meanwhile:
            await self.meanwhile.pop()

    async def token(self, trust_id: str) -> str:
        raise NotImplementedError

    def refused(self, trust_id: str, token: str, again: bool = False) -> None:
        raise NotImplementedError

    async def revoke(self, trust_id: str) -> None:
        if self.error is not None:
            raise self.error
        self.revoked.append(trust_id)


@implementer(IListener)
@define(eq=False)
class RecordedListener:
    """A connection that keeps what it is told."""

    uri: str = "http://127.0.0.1:9000/7d444840-9dc0-11d1-b245-5ffdce74fad2"
    failed: list[str] = field(factory=list)
    takes: bool = True

    def when_takes(self, call: Callable[[], None]) -> None:
        raise NotImplementedError

    def push(self, *messages: IPushed) -> None:
        raise NotImplementedError

    def fail(self, reason: str) -> None:
        self.failed.append(reason)


@implementer(ISubscriptionStore)
@define
class RecordedStore:
    """Passes all on to another store, keeps what is to be made, changed and confirmed, and fails when it is told to."""

    inner: ISubscriptionStore
    new: list[NewSubscription] = field(factory=list)
    notices: list[int | None] = field(factory=list)
    error: Exception | None = None

    async def create(self, project: str, queue: str, new: NewSubscription) -> Placed:
        if self.error is not None:
            raise self.error
        self.new.append(new)
        return await self.inner.create(project, queue, new)

    async def count(self, project: str) -> int:
        return await self.inner.count(project)

    async def get(self, project: str, queue: str, subscription_id: str) -> Subscription | None:
        return await self.inner.get(project, queue, subscription_id)

    async def has(self, project: str, queue: str, subscriber: str) -> bool:
        raise NotImplementedError

    async def list(self, project: str, queue: str, marker: str, limit: int) -> list[Subscription]:
        return await self.inner.list(project, queue, marker, limit)

    async def update(
        self,
        project: str,
        queue: str,
        subscription_id: str,
        *,
        subscriber: str | None,
        ttl_s: int | None,
        options: bytes | None,
        notice_s: int | None,
    ) -> bool:
        if self.error is not None:
            raise self.error
        self.notices.append(notice_s)
        return await self.inner.update(
            project, queue, subscription_id, subscriber=subscriber, ttl_s=ttl_s, options=options, notice_s=notice_s
        )

    async def confirm(
        self, project: str, queue: str, subscription_id: str, confirmed: bool, *, required: bool, notice_s: int | None
    ) -> bool:
        self.notices.append(notice_s)
        return await self.inner.confirm(
            project, queue, subscription_id, confirmed, required=required, notice_s=notice_s
        )

    async def delete(self, project: str, queue: str, subscription_id: str) -> Subscription | None:
        return await self.inner.delete(project, queue, subscription_id)

    async def purge(self, project: str, queue: str) -> None:
        await self.inner.purge(project, queue)

    async def read(self, project: str, queue: str, cursor: str, limit: int) -> LogPage:
        return await self.inner.read(project, queue, cursor, limit)

    async def live(self, project: str, queue: str, ids: Any) -> Any:
        return await self.inner.live(project, queue, ids)


class SubscriptionsCase(SynchronousTestCase):
    """The operations over an empty store."""

    def setUp(self) -> None:
        self.clock = clock_at_epoch()
        self.storage = MemoryStorage(self.clock)
        self.store = RecordedStore(self.storage.subscriptions)
        self.sockets = RecordedSockets()
        self.trusts = RecordedTrusts()
        self.listener = RecordedListener()
        self.subscriptions = self.build()

    def build(self, *, limits: Limits | None = None, **collaborators: Any) -> Subscriptions:
        given: dict[str, Any] = {"sockets": self.sockets, "trusts": self.trusts, **collaborators}
        return Subscriptions(self.store, limits or Limits(), self.clock, **given)

    def run_now(self, work: Coroutine[Any, Any, T]) -> T:
        return self.successResultOf(Deferred.fromCoroutine(work))

    def error(self, kind: type[GatewayError], work: Coroutine[Any, Any, Any]) -> str:
        failure = self.failureResultOf(Deferred.fromCoroutine(work), kind)
        self.assertIs(failure.type, kind)
        return str(failure.value)

    def asked(self, subscriber: Any = HOOK, **members: Any) -> fields.SubscriptionCreate:
        if "options" in members:
            members["options"] = Raw(json.dumps(members["options"]).encode())
        members.setdefault("queue_name", "q")
        return fields.SubscriptionCreate(subscriber=subscriber, **members)

    def create(self, subscriber: Any = HOOK, ctx: Context = CALLER, **members: Any) -> Subscribed:
        return self.run_now(self.subscriptions.create(ctx, self.asked(subscriber, **members)))

    def refused(self, kind: type[GatewayError], subscriber: Any = HOOK, **members: Any) -> str:
        return self.error(kind, self.subscriptions.create(CALLER, self.asked(subscriber, **members)))

    def get(self, subscription_id: str) -> Subscription:
        return self.run_now(self.subscriptions.get(CALLER, fields.Subscription("q", subscription_id)))

    def options(self, subscription_id: str) -> Any:
        return json.loads(self.get(subscription_id).options)

    def update(self, subscription_id: str, **members: Any) -> Coroutine[Any, Any, None]:
        document = Raw(json.dumps(members).encode())
        return self.subscriptions.update(CALLER, fields.SubscriptionUpdate("q", subscription_id, document))

    def delete(self, subscription_id: str) -> None:
        self.run_now(self.subscriptions.delete(CALLER, fields.SubscriptionDelete("q", subscription_id)))


class CollaboratorTests(SubscriptionsCase):
    """The doubles of this module."""

    def test_interfaces(self) -> None:
        """They have the methods of what they stand for."""
        verifyObject(ISubscriptionStore, self.store)
        verifyObject(ITrusts, self.trusts)
        verifyObject(IListener, self.listener)
        verifyObject(INotifier, PickyNotifier())


class CreateTests(SubscriptionsCase):
    """What may be stored, and as what."""

    def test_as_given(self) -> None:
        """Subscriber and options are kept to the letter, the ttl as given; nobody has confirmed yet."""
        text = b'{"post_headers": {"a":"\\u00e9"},  "b": 1.0}'
        subscriber = "HTTP://Example.org/%41?x=y#z"
        made = self.create(subscriber, ttl=60, options={})
        self.assertEqual((made.listens, made.placed.is_new, made.placed.confirmed), (False, True, False))
        asked = fields.SubscriptionCreate("q", OTHER, options=Raw(text))
        other = self.run_now(self.subscriptions.create(CALLER, asked)).placed
        self.assertEqual(self.get(made.placed.id), Subscription(made.placed.id, subscriber, 60, 0, b"{}", False))
        self.assertEqual(self.get(other.id), Subscription(other.id, OTHER, 3600, 0, text, False))

    def test_subscriber(self) -> None:
        """A subscriber is a URI of a scheme that is accepted, whatever the case of its letters."""
        for subscriber in ("http://a", "HTTPS://a", "mailto:a@b", "MailTo:a@b?subject=x"):
            self.create(subscriber)
        for subscriber in ("fake", "email://x", "", "http", "//a", ":", "ftp://a", "é:a", "trust+ftp://a"):
            told = self.refused(RuleBroken, subscriber)
            self.assertIn("must be supported in the list" if subscriber else "empty", told)
        self.subscriptions = self.build(limits=Limits(subscriber_types=("http", "sms")))
        self.create("sms:+1")
        self.assertIn("the list http, sms.", self.refused(RuleBroken, "https://a"))

    def test_types(self) -> None:
        """What is of a wrong type is named with its type and the right one."""
        self.assertIn("Missing parameter subscriber", self.refused(RuleBroken, UNSET))
        values: dict[str, Any] = {
            "null": None,
            "an integer": 1,
            "a number with a fraction or an exponent": 60.0,
            "a boolean": True,
            "a string": "60",
            "an array": [],
            "an object": {},
        }
        for name, value in values.items():
            if name != "a string":
                told = self.refused(RuleBroken, value)
                self.assertEqual(
                    told, f"subscriber has to be a string, a URI such as http://example.org/hook, not {name}."
                )
            if name != "an integer":
                told = self.refused(RuleBroken, ttl=value)
                self.assertEqual(told, f"ttl must be an integer, of seconds, not {name}.")
            if name != "an object":
                told = self.refused(RuleBroken, options=value)
                self.assertEqual(told, f"options must be a dict, which is an object, not {name}.")
        self.assertEqual(self.store.new, [])

    def test_order(self) -> None:
        """Of several faults the one of the subscriber is told first, then that of the options, then that of the ttl."""
        wrong: dict[str, Any] = {"options": 1, "ttl": 1}
        self.assertIn("scheme", self.refused(RuleBroken, "fake", **wrong))
        self.assertIn("options", self.refused(RuleBroken, **wrong))
        self.assertIn("ttl", self.refused(RuleBroken, ttl=1))

    def test_lengths(self) -> None:
        """A subscriber and options have a greatest length."""
        longest = "http://a/" + "x" * (SUBSCRIBER_LENGTH_MAX - 9)
        self.create(longest)
        self.assertIn("2049 characters", self.refused(RuleBroken, longest + "x"))
        self.subscriptions = self.build(limits=Limits(post_size_max=20))
        self.create(OTHER, options={"a": "x" * 11})
        self.assertIn("options have 21 bytes; at most 20", self.refused(RuleBroken, options={"a": "x" * 12}))

    def test_ttl(self) -> None:
        """A ttl is a minute at least, and ends within the year 9999 at the latest."""
        now = int(self.clock.seconds())
        for ttl in (59, 0, -1, END_S - now + 1, 99999999999999999):
            self.assertIn(f"it has to be from 60 to {END_S - now}.", self.refused(RuleBroken, ttl=ttl))
        self.create(HOOK, ttl=60)
        self.create(OTHER, ttl=END_S - now)

    def test_broken_options(self) -> None:
        """What is no JSON inside of options is refused as such."""
        asked = fields.SubscriptionCreate("q", HOOK, options=Raw(b'{"a": "\\ud800"}'))
        self.error(BadBody, self.subscriptions.create(CALLER, asked))

    def test_retry_policy(self) -> None:
        """A retry policy is looked at as that of a queue is."""
        self.create(options={"_retry_policy": {"maximum_delay": 100, "retry_backoff_function": "linear"}})
        self.create(OTHER, options={"_retry_policy": None})
        wrong: list[Any] = ["x", [], {"minimum_delay": "1"}, {"retry_backoff_function": "x"}, {"maximum_delay": 10}]
        for policy in wrong:
            self.assertIn("_retry_policy", self.refused(RuleBroken, options={"_retry_policy": policy}))

    def test_notifier(self) -> None:
        """What delivers to a scheme may refuse a subscriber; nothing is looked at where there is none for it."""
        self.subscriptions = self.build(notifiers={"http": PickyNotifier()})
        for subscriber, options in (("http://a:1/", {}), ("HTTP://a:1/", {}), ("http://a/", {"bad": 1})):
            self.assertIn("port 1", self.refused(RuleBroken, subscriber, options=options))
        self.create("https://a:1/", options={"bad": 1})
        self.create("http://a:2/")

    def test_names(self) -> None:
        """A name that no queue or topic can have is refused as such, before all else."""
        self.refused(BadQueueName, 5, queue_name="a b")
        self.subscriptions = Subscriptions(self.storage.topic_subscriptions, Limits(), self.clock, TOPIC)
        self.refused(BadTopicName, 5, queue_name="a b")

    def test_duplicate(self) -> None:
        """A subscriber that is there already keeps its id, ttl and options."""
        first = self.create(ttl=60, options={"a": 1}).placed
        again = self.create(ttl=90, options={"a": 2}).placed
        self.assertEqual((again.id, again.is_new, again.confirmed), (first.id, False, False))
        self.assertEqual((self.get(first.id).ttl_s, self.options(first.id)), (60, {"a": 1}))


class NoticeTests(SubscriptionsCase):
    """When a subscriber is asked to confirm."""

    def test_asked(self) -> None:
        """It is where confirmations are required and can be signed, and the transport lets it; for as long as the ttl."""
        for required, signed, confirmable, expected in (
            (True, True, True, 77),
            (True, True, False, None),
            (True, False, True, None),
            (False, True, True, None),
        ):
            self.subscriptions = self.build(notices=Notices(required, signed))
            self.create(f"http://a/{required}/{signed}/{confirmable}", ttl=77, confirmable=confirmable)
            self.assertEqual(self.store.new[-1].notice_s, expected)
            self.assertFalse(self.store.new[-1].confirmed)

    def test_changed_address(self) -> None:
        """A new address is asked anew, for the new ttl or else the default one."""
        self.subscriptions = self.build(notices=Notices(True, True))
        made = self.create(ttl=77, confirmable=True).placed
        self.run_now(self.update(made.id, subscriber=OTHER))
        self.run_now(self.update(made.id, subscriber=HOOK, ttl=66))
        self.assertEqual(self.store.notices, [3600, 66])

    def test_confirm(self) -> None:
        """A notice of the end may be answered for the default ttl; the answer has to be a boolean."""
        self.subscriptions = self.build(notices=Notices(True, True))
        made = self.create(confirmable=True).placed

        def confirm(confirmed: Any, subscription_id: str = made.id) -> Coroutine[Any, Any, None]:
            return self.subscriptions.confirm(CALLER, fields.SubscriptionConfirm("q", subscription_id, confirmed))

        for value in (True, True, False):
            self.run_now(confirm(value))
            self.assertIs(self.get(made.id).confirmed, value)
        self.assertEqual(self.store.notices, [3600] * 3)
        wrongs: list[Any] = [None, 1, 0, "true", [], {}]
        for wrong in wrongs:
            told = self.error(RuleBroken, confirm(wrong, "nada"))
            self.assertEqual(told, "The 'confirmed' should be boolean.")
        self.error(NotFound, confirm(True, "nada"))


class UpdateTests(SubscriptionsCase):
    """Changes of a subscription."""

    def test_changes(self) -> None:
        """What is given changes, and nothing else; a ttl counts from now, options are replaced whole."""
        made = self.create(ttl=100, options={"a": 1, "b": 2}).placed
        self.clock.advance(50)
        self.run_now(self.update(made.id, ttl=60, unknown=1))
        self.run_now(self.update(made.id, subscriber=OTHER, ttl=None, options=None))
        self.run_now(self.update(made.id, options={"c": 3}))
        found = self.get(made.id)
        self.assertEqual((found.subscriber, found.ttl_s, self.options(made.id)), (OTHER, 60, {"c": 3}))
        self.clock.advance(59)
        self.get(made.id)
        self.clock.advance(1)
        self.error(NotFound, self.update(made.id, ttl=60))

    def test_own_subscriber(self) -> None:
        """A subscriber may be set to what it is, and to no other's."""
        made = self.create().placed
        self.create(OTHER)
        self.run_now(self.update(made.id, subscriber=HOOK))
        self.error(SubscriberTaken, self.update(made.id, subscriber=OTHER))
        self.assertEqual(self.get(made.id).subscriber, HOOK)

    def test_refused(self) -> None:
        """Members have the rules that they have at creation, which come before whether there is the subscription."""
        wrong: list[tuple[dict[str, Any], str]] = [
            ({"ttl": "invalid"}, "must be an integer"),
            ({"ttl": 59}, "ttl is 59 seconds"),
            ({"options": []}, "must be a dict"),
            ({"options": {"_retry_policy": 1}}, "_retry_policy"),
            ({"subscriber": ""}, "empty"),
            ({"subscriber": 5}, "string"),
            ({"subscriber": "fake"}, "must be supported in the list"),
            ({}, "empty"),
        ]
        for members, told in wrong:
            self.assertIn(told, self.error(RuleBroken, self.update("nada", **members)))
        for text in (b"[]", b"[1]"):
            asked = fields.SubscriptionUpdate("q", "nada", Raw(text))
            error = self.error(RuleBroken, self.subscriptions.update(CALLER, asked))
            self.assertEqual(error, "Subscriptions must be a dict.")
        nothing: list[dict[str, Any]] = [{"confirmed": True}, {"ttl": None}, {"subscriber": None, "options": None}]
        for members in nothing:
            self.assertIn("subscriber, ttl, options", self.error(NothingToUpdate, self.update("nada", **members)))
        self.error(BadBody, self.subscriptions.update(CALLER, fields.SubscriptionUpdate("q", "nada", Raw(b"5"))))
        right: list[dict[str, Any]] = [{"ttl": 300}, {"subscriber": OTHER}, {"options": {}}]
        for members in right:
            self.error(NotFound, self.update("nada", **members))

    def test_notifier(self) -> None:
        """What delivers looks at the subscriber and the options as they would be together."""
        self.subscriptions = self.build(notifiers={"http": PickyNotifier()})
        made = self.create().placed
        wrong: list[dict[str, Any]] = [{"subscriber": "http://a:1/"}, {"options": {"bad": 1}}]
        for members in wrong:
            self.assertIn("port 1", self.error(RuleBroken, self.update(made.id, **members)))
        self.run_now(self.update(made.id, subscriber="https://a:1/", options={"bad": 1}))
        self.assertIn("port 1", self.error(RuleBroken, self.update(made.id, subscriber="http://a/")))


class ConnectionTests(SubscriptionsCase):
    """Subscriptions of the connection that asks."""

    def test_subscribed(self) -> None:
        """Without a subscriber, or with an empty one, it is the connection; posts from then on belong to it."""
        for queue, subscriber in (("q", UNSET), ("r", "")):
            made = self.create(subscriber, queue_name=queue, listener=self.listener, ttl=60, options={"a": 1})
            self.assertTrue(made.listens)
            placed = made.placed
            self.assertEqual(self.sockets.added[-1], (Place(PROJECT, queue), placed.id, placed.cursor, self.listener))
            new = self.store.new[-1]
            self.assertEqual(new, NewSubscription(self.listener.uri, 60, b'{"a": 1}', self.sockets.name))

    def test_topic(self) -> None:
        """The place of a topic says that it is one."""
        self.subscriptions = Subscriptions(
            self.storage.topic_subscriptions, Limits(), self.clock, TOPIC, sockets=self.sockets
        )
        self.create(UNSET, listener=self.listener)
        self.assertEqual(self.sockets.added[0][0], Place(PROJECT, "q", is_topic=True))

    def test_confirmed(self) -> None:
        """Where confirmations are required it counts as confirmed, and nobody is asked."""
        self.subscriptions = self.build(notices=Notices(True, True))
        self.create(UNSET, listener=self.listener, confirmable=True)
        self.assertEqual((self.store.new[-1].confirmed, self.store.new[-1].notice_s), (True, None))

    def test_twice(self) -> None:
        """A second time for one queue nothing is made."""
        first = self.create(UNSET, listener=self.listener)
        again = self.create(UNSET, listener=self.listener)
        self.assertEqual((again.placed.id, again.placed.is_new, again.listens), (first.placed.id, False, False))
        self.assertEqual(len(self.sockets.added), 1)

    def test_subscriber_given(self) -> None:
        """With a subscriber, whatever it says, the connection plays no part."""
        made = self.create(self.listener.uri, listener=self.listener)
        self.assertFalse(made.listens)
        self.assertEqual((self.sockets.added, self.store.new[-1].owner), ([], ""))

    def test_rules(self) -> None:
        """Ttl and options have their rules here too."""
        self.assertIn("ttl", self.refused(RuleBroken, UNSET, listener=self.listener, ttl=59))
        self.assertIn("options", self.refused(RuleBroken, UNSET, listener=self.listener, options=[]))

    def test_without_connections(self) -> None:
        """On HTTP a subscriber is missing; where no sockets are served it is said that there are none."""
        self.assertIn("Missing parameter", self.refused(RuleBroken, UNSET))
        self.subscriptions = self.build(sockets=None)
        self.refused(NotSupported, UNSET, listener=self.listener)

    def test_unknown_outcome(self) -> None:
        """A connection that may be subscribed without getting anything is ended."""
        self.store.error = StoreUnavailable("away")
        self.refused(StoreUnavailable, UNSET, listener=self.listener)
        self.assertEqual(self.listener.failed, [])
        self.store.error = StoreUnavailable("away", outcome_unknown=True)
        self.refused(StoreUnavailable, UNSET, listener=self.listener)
        self.assertEqual(len(self.listener.failed), 1)

    def test_not_readdressed(self) -> None:
        """The subscriber of such a subscription cannot be changed; ttl and options can."""
        made = self.create(UNSET, listener=self.listener).placed
        self.assertIn("connection", self.error(RuleBroken, self.update(made.id, subscriber=HOOK)))
        self.run_now(self.update(made.id, subscriber=self.listener.uri, ttl=99, options={"a": 1}))
        self.assertEqual((self.get(made.id).ttl_s, self.options(made.id)), (99, {"a": 1}))


class TrustTests(SubscriptionsCase):
    """Subscribers that are sent a token."""

    def test_made(self) -> None:
        """A trust is made with the caller's own token, for as long as the subscription; clients see its id alone."""
        made = self.create(TRUSTED, options={"a": 1}, ttl=90).placed
        self.assertEqual(self.trusts.made, [(CALLER, "a token", 90)])
        self.assertEqual(self.options(made.id), {"a": 1, "trust_id": "trust-1"})
        (listed,) = self.run_now(self.subscriptions.list(CALLER, fields.SubscriptionList("q")))
        self.assertEqual(json.loads(listed.options), {"a": 1, "trust_id": "trust-1"})

    def test_token_is_secret(self) -> None:
        """What shows a context does not show the token."""
        self.assertNotIn("token", repr(CALLER))
        self.assertIn("alice", repr(CALLER))

    def test_given(self) -> None:
        """A trust that the client brings is used as it is, and stays when the subscription ends."""
        made = self.create(TRUSTED, options={"trust_id": "mine"}).placed
        self.assertEqual(self.options(made.id), {"trust_id": "mine"})
        self.delete(made.id)
        self.assertEqual((self.trusts.made, self.trusts.revoked), ([], []))

    def test_given_of_another(self) -> None:
        """Nobody has tokens of another user sent to an address of their own, by a trust that they have read of."""
        made = self.create(TRUSTED, options={"trust_id": "mine"}).placed
        bob = Context(PROJECT, user="bob", token="bob's token")
        for ctx in (bob, Context(PROJECT)):
            for options in ({"trust_id": "mine"}, {"trust_id": "trust-1"}):
                self.error(Forbidden, self.subscriptions.create(ctx, self.asked("trust+http://bob/", options=options)))
        own = self.create(HOOK, bob, options={"trust_id": "mine"}).placed
        for subscription_id, members in (
            (own.id, {"subscriber": "trust+http://bob/"}),
            (own.id, {"options": {"trust_id": "mine"}}),
            (made.id, {"subscriber": "trust+http://bob/"}),
            (made.id, {"options": {"trust_id": "mine", "a": 1}}),
        ):
            asked = fields.SubscriptionUpdate("q", subscription_id, Raw(json.dumps(members).encode()))
            self.error(Forbidden, self.subscriptions.update(bob, asked))
        self.run_now(self.subscriptions.update(bob, fields.SubscriptionUpdate("q", made.id, Raw(b'{"ttl": 900}'))))
        self.assertEqual(self.options(made.id), {"trust_id": "mine"})
        self.run_now(self.update(made.id, subscriber="trust+http://alice/", options={"trust_id": "mine"}))
        self.assertEqual(self.get(made.id).subscriber, "trust+http://alice/")

    def test_given_for_an_address_of_another(self) -> None:
        """Whoever names a trust of theirs for an address that another has chosen names the address, too."""
        made = self.create(TRUSTED, options={"trust_id": "mine"}).placed
        bob = Context(PROJECT, user="bob", token="bob's token")
        moved = b'{"subscriber": "trust+http://bob/", "options": {}}'
        self.run_now(self.subscriptions.update(bob, fields.SubscriptionUpdate("q", made.id, Raw(moved))))
        self.error(Forbidden, self.update(made.id, options={"trust_id": "mine", "a": 1}))
        self.assertEqual(self.options(made.id), {"trust_id": "trust-1"})
        self.run_now(self.update(made.id, subscriber="trust+http://bob/", options={"trust_id": "mine", "a": 1}))
        self.assertEqual(self.options(made.id), {"trust_id": "mine", "a": 1})

    def test_moved_meanwhile(self) -> None:
        """Options with a trust are stored with the address that was there when it was looked whose the trust is."""
        for address, members in ((TRUSTED, {"options": {"trust_id": "mine", "a": 1}}), (HOOK, {"options": {"trust_id": "mine"}})):
            made = self.create(address, options={"trust_id": "mine"}).placed
            move = self.store.update(
                PROJECT, "q", made.id, subscriber=f"trust+http://bob/{made.id}", ttl_s=None, options=b"{}", notice_s=None
            )
            self.trusts.meanwhile.append(move)
            self.run_now(self.update(made.id, **members))
            self.assertEqual(self.trusts.meanwhile, [])
            self.assertEqual((self.get(made.id).subscriber, self.options(made.id)), (address, members["options"]))

    def test_ended_with_subscription(self) -> None:
        """A trust that was made for a subscription ends with it."""
        made = self.create(TRUSTED).placed
        self.delete(made.id)
        self.delete(made.id)
        self.assertEqual(self.trusts.revoked, ["trust-1"])

    def test_none_for_others(self) -> None:
        """Other subscribers need none."""
        self.create(HOOK)
        self.assertEqual(self.trusts.made, [])

    def test_duplicate(self) -> None:
        """A trust for a subscription that is there already is of no use."""
        self.create(TRUSTED)
        self.create(TRUSTED)
        self.assertEqual(self.trusts.revoked, ["trust-2"])

    def test_not_stored(self) -> None:
        """A trust is revoked where the subscription was not stored for sure, and only there."""
        for error, revoked in (
            (StoreFault(), ["trust-1"]),
            (StoreUnavailable("away"), ["trust-1", "trust-2"]),
            (StoreUnavailable("away", outcome_unknown=True), ["trust-1", "trust-2"]),
        ):
            self.store.error = error
            self.refused(type(error), TRUSTED)
            self.assertEqual(self.trusts.revoked, revoked)

    def test_refused_before(self) -> None:
        """No trust is made for what breaks the rules."""
        self.refused(RuleBroken, TRUSTED, ttl=1)
        self.assertEqual(self.trusts.made, [])

    def test_identity_service(self) -> None:
        """Without an identity service it is told that there is none; what one says is passed on."""
        self.trusts.error = Forbidden("No.")
        self.refused(Forbidden, TRUSTED)
        self.subscriptions = self.build(trusts=None)
        self.assertIn("trust_id", self.refused(IdentityUnavailable, TRUSTED))
        self.create(TRUSTED, options={"trust_id": "mine"})
        self.assertEqual(len(self.store.new), 1)

    def test_revocation_fails(self) -> None:
        """A trust that cannot be revoked is a matter for the log, and not for the client."""
        made = self.create(TRUSTED).placed
        self.trusts.error = IdentityUnavailable("away")
        with capturedLogs() as logged:
            self.delete(made.id)
        self.assertEqual(len(logged), 1)
        self.error(NotFound, self.subscriptions.get(CALLER, fields.Subscription("q", made.id)))

    def test_mark_is_ours(self) -> None:
        """Nobody but the service says that a trust is its own to end."""
        self.assertIn(TRUST_IS_OURS, self.refused(RuleBroken, TRUSTED, options={TRUST_IS_OURS: True, "trust_id": "x"}))
        made = self.create(TRUSTED).placed
        self.error(RuleBroken, self.update(made.id, options={TRUST_IS_OURS: True}))

    def test_update_keeps(self) -> None:
        """New options keep the trust that was made, whether they name it or not."""
        made = self.create(TRUSTED).placed
        kept: list[dict[str, Any]] = [{"a": 1}, {"a": 1, "trust_id": "trust-1"}, {"a": 1, "trust_id": ""}]
        for options in kept:
            self.run_now(self.update(made.id, options=options))
            self.assertEqual(self.options(made.id), {"a": 1, "trust_id": "trust-1"})
        self.delete(made.id)
        self.assertEqual((len(self.trusts.made), self.trusts.revoked), (1, ["trust-1"]))

    def test_change_by_another(self) -> None:
        """What is sent with a token, and where, is its owner's choice: nobody else changes that, or gives a trust without naming the
        address."""
        made = self.create(TRUSTED, ttl=90, options={"post_data": "alice's"}).placed
        bob = Context(PROJECT, user="bob", token="bob's token")

        def change(ctx: Context, **members: Any) -> Coroutine[Any, Any, None]:
            return self.subscriptions.update(ctx, fields.SubscriptionUpdate("q", made.id, Raw(json.dumps(members).encode())))

        for ctx in (bob, Context(PROJECT)):
            self.error(Forbidden, change(ctx, options={"post_data": "bob's"}))
            self.error(Forbidden, change(ctx, options={"post_data": "bob's", "trust_id": "trust-1"}, ttl=900))
            self.run_now(change(ctx, options={"post_data": "alice's"}))
            self.run_now(change(ctx, ttl=900))
        self.assertEqual(self.options(made.id), {"post_data": "alice's", "trust_id": "trust-1"})
        self.assertEqual((len(self.trusts.made), self.trusts.revoked), (1, []))
        self.error(Forbidden, change(Context(PROJECT), options={}, subscriber=TRUSTED))
        self.run_now(change(bob, options={"post_data": "bob's"}, subscriber=TRUSTED))
        self.assertEqual(self.options(made.id), {"post_data": "bob's", "trust_id": "trust-2"})
        self.assertEqual((self.trusts.made[-1][:2], self.trusts.revoked), ((bob, "bob's token"), ["trust-1"]))
        self.run_now(change(CALLER, options={"trust_id": "mine"}, subscriber=TRUSTED))
        self.error(Forbidden, change(bob, options={}))
        self.run_now(change(CALLER, options={}))
        self.assertEqual((self.options(made.id), self.trusts.made[-1][0]), ({"trust_id": "trust-3"}, CALLER))
        self.run_now(change(bob, ttl=900, subscriber=TRUSTED))
        self.assertEqual((self.options(made.id), self.trusts.made[-1][0]), ({"trust_id": "trust-4"}, bob))

    def test_update_replaces(self) -> None:
        """A trust that was made ends when another takes its place, or when the subscriber needs none any more."""
        made = self.create(TRUSTED).placed
        self.run_now(self.update(made.id, options={"trust_id": "mine"}))
        self.assertEqual((self.options(made.id), self.trusts.revoked), ({"trust_id": "mine"}, ["trust-1"]))
        made = self.create("trust+http://other/", options={"a": 1}).placed
        self.run_now(self.update(made.id, subscriber=HOOK))
        self.assertEqual((self.options(made.id), self.trusts.revoked), ({"a": 1}, ["trust-1", "trust-2"]))
        self.delete(made.id)
        self.assertEqual(len(self.trusts.revoked), 2)

    def test_moved(self) -> None:
        """A trust is for the address that its maker has chosen: for another one whoever changes it makes one, also where it is named."""
        bob = Context(PROJECT, user="bob", token="bob's token")
        for number, members in enumerate(({}, {"options": {"trust_id": "trust-3"}}), 1):
            made = self.create(TRUSTED).placed
            asked = fields.SubscriptionUpdate(
                "q", made.id, Raw(json.dumps({"subscriber": f"trust+http://bob/{number}", **members}).encode())
            )
            self.run_now(self.subscriptions.update(bob, asked))
            self.assertEqual(self.trusts.made[-1][:2], (bob, "bob's token"))
            self.assertEqual(self.options(made.id)["trust_id"], f"trust-{len(self.trusts.made)}")
            self.assertEqual(self.trusts.revoked[-1], f"trust-{len(self.trusts.made) - 1}")
            self.delete(made.id)
        made = self.create(TRUSTED).placed
        self.trusts.error = Forbidden("There is nobody to trust this service.")
        self.error(Forbidden, self.update(made.id, subscriber="trust+http://bob/"))
        self.assertEqual(self.run_now(self.subscriptions.get(CALLER, fields.Subscription("q", made.id))).subscriber, TRUSTED)

    def test_update_makes(self) -> None:
        """A subscriber that comes to need a trust gets one, which is revoked where it comes to nothing."""
        made = self.create(ttl=70).placed
        self.create(OTHER)
        self.store.error = SubscriberTaken("Taken.")
        self.error(SubscriberTaken, self.update(made.id, subscriber=TRUSTED))
        self.assertEqual(self.trusts.revoked, ["trust-1"])
        self.store.error = None
        self.run_now(self.update(made.id, subscriber=TRUSTED))
        self.assertEqual(self.options(made.id), {"trust_id": "trust-2"})
        self.assertEqual([ttl_s for _, _, ttl_s in self.trusts.made], [70, 70])

    def test_renewed(self) -> None:
        """A new ttl is that of a new trust, where the caller has a token to make one with; else the old one stays."""
        made = self.create(TRUSTED, ttl=70, options={"a": 1}).placed
        self.run_now(self.update(made.id, ttl=700))
        self.assertEqual([ttl_s for _, _, ttl_s in self.trusts.made], [70, 700])
        self.assertEqual((self.options(made.id), self.trusts.revoked), ({"a": 1, "trust_id": "trust-2"}, ["trust-1"]))
        asked = fields.SubscriptionUpdate("q", made.id, Raw(b'{"ttl": 900}'))
        self.run_now(self.subscriptions.update(Context(PROJECT), asked))
        self.assertEqual((self.options(made.id), len(self.trusts.made)), ({"a": 1, "trust_id": "trust-2"}, 2))
        self.delete(made.id)
        self.assertEqual(self.trusts.revoked, ["trust-1", "trust-2"])

    def test_stored_text(self) -> None:
        """What is stored says whose trust it is, so that any gateway knows."""
        self.create(TRUSTED)
        stored = msgspec.json.decode(self.store.new[-1].options)
        self.assertEqual(stored, {"trust_id": "trust-1", TRUST_IS_OURS: True})


class ListTests(SubscriptionsCase):
    """Listings."""

    def test_pages(self) -> None:
        """Pages are in the order of ids, each after its marker, ten long where nothing is said."""
        ids = sorted(self.create(f"http://a/{number}").placed.id for number in range(23))

        def page(**members: Any) -> list[str]:
            found = self.run_now(self.subscriptions.list(CALLER, fields.SubscriptionList("q", **members)))
            return [one.id for one in found]

        self.assertEqual(page(), ids[:10])
        self.assertEqual(page(marker=ids[9], limit=20), ids[10:])
        self.assertEqual(page(marker=ids[22]), [])
        for limit in (0, 21):
            self.error(RuleBroken, self.subscriptions.list(CALLER, fields.SubscriptionList("q", limit=limit)))
