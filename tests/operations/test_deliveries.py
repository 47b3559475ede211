"""Deliveries that were given up: what operators see of them, and what is sent again."""

from __future__ import annotations

from collections.abc import Coroutine
from typing import Any, TypeVar

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from tests.helpers import PROJECT
from zaqar_gateway.errors import Forbidden, RuleBroken
from zaqar_gateway.limits import Limits
from zaqar_gateway.model import Context, Failing, GivenUp, NewMessage, NewPost, NewSubscription, Place, Progress
from zaqar_gateway.operations import fields
from zaqar_gateway.operations.deliveries import Deliveries, masked
from zaqar_gateway.operations.policy import Policy
from zaqar_gateway.operations.queues import TOPIC
from zaqar_gateway.storage.memory import MemoryStorage
from zaqar_gateway.testing.base import clock_at_epoch

ADMIN = Context(PROJECT, roles=frozenset(("admin",)))
HOOK = "http://user:secret@example.org/hook?token=secret"
T = TypeVar("T")


class DeliveriesTests(SynchronousTestCase):
    """The operations over a store in which deliveries were given up."""

    def setUp(self) -> None:
        self.clock = clock_at_epoch()
        self.storage = MemoryStorage(self.clock)
        self.queues = Deliveries(self.storage.deliveries, Limits())
        self.topics = Deliveries(self.storage.deliveries, Limits(), TOPIC)

    def run_now(self, work: Coroutine[Any, Any, T]) -> T:
        return self.successResultOf(Deferred.fromCoroutine(work))

    async def give_up(self, count: int, *, is_topic: bool = False) -> str:
        """Post messages, and give up to deliver each of them; the id of the subscription."""
        store, place = self.storage, Place(PROJECT, "q", is_topic)
        subscriptions = store.topic_subscriptions if is_topic else store.subscriptions
        messages = store.topic_messages if is_topic else store.messages
        placed = await subscriptions.create(PROJECT, "q", NewSubscription(HOOK, 3600))
        new = [NewMessage(b"%d" % number) for number in range(count)]
        await messages.post(PROJECT, "q", NewPost(b"c", new, size=2, ttl_default_s=3600, size_max=1000))
        (owed,) = await store.deliveries.take(place, limit=1, batch=100, lease_ms=1000, required=False)
        given_up = tuple(GivenUp(post.cursor, 3, "500 Internal Server Error") for post in owed.posts)
        progress = Progress(placed.id, owed.token, owed.posts[-1].cursor, given_up)
        await store.deliveries.report(place, progress, batch=100, lease_ms=1000, required=False)
        return placed.id

    def test_overview(self) -> None:
        """Places with deliveries that were given up are shown, those of topics as such."""
        self.assertEqual(self.run_now(self.queues.overview(ADMIN, fields.Nothing())), [])
        self.run_now(self.give_up(2))
        self.run_now(self.give_up(1, is_topic=True))
        found = self.run_now(self.queues.overview(ADMIN, fields.Nothing()))
        expected = [Failing(Place(PROJECT, "q"), 2), Failing(Place(PROJECT, "q", is_topic=True), 1)]
        self.assertEqual(sorted(found, key=lambda failing: failing.place.is_topic), expected)

    def test_list(self) -> None:
        """What was given up is listed in its order, with reason and age, and without secrets."""
        subscription_id = self.run_now(self.give_up(12))
        self.run_now(self.give_up(1, is_topic=True))
        self.clock.advance(5)
        page = self.run_now(self.queues.list(ADMIN, fields.DeliveryList("q")))
        rest = self.run_now(self.queues.list(ADMIN, fields.DeliveryList("q", page[-1].id, 20)))
        self.assertEqual((len(page), len(rest)), (10, 2))
        self.assertEqual([one.id for one in (*page, *rest)], sorted(one.id for one in (*page, *rest)))
        first = page[0]
        self.assertEqual(
            (first.subscription_id, first.subscriber, first.attempts, first.reason, first.age_s, first.notice),
            (subscription_id, "http://user:***@example.org/hook?***", 3, "500 Internal Server Error", 5, ""),
        )
        self.failureResultOf(
            Deferred.fromCoroutine(self.queues.list(ADMIN, fields.DeliveryList("q", limit=21))), RuleBroken
        )

    def test_resend(self) -> None:
        """What is sent again is owed again, and no longer listed."""
        self.run_now(self.give_up(4))
        self.run_now(self.give_up(1, is_topic=True))
        page = self.run_now(self.queues.list(ADMIN, fields.DeliveryList("q")))
        ids = [page[0].id, "nada"]
        self.assertEqual(self.run_now(self.queues.resend(ADMIN, fields.DeliveryResend("q", ids))), 1)
        left = self.run_now(self.queues.list(ADMIN, fields.DeliveryList("q")))
        self.assertEqual([one.id for one in left], [one.id for one in page[1:]])
        self.assertEqual(self.run_now(self.queues.resend(ADMIN, fields.DeliveryResend("q"))), 3)
        self.assertEqual(self.run_now(self.queues.resend(ADMIN, fields.DeliveryResend("q"))), 0)
        self.assertEqual(self.run_now(self.topics.resend(ADMIN, fields.DeliveryResend("q"))), 1)
        (owed,) = self.run_now(
            self.storage.deliveries.take(Place(PROJECT, "q"), limit=9, batch=9, lease_ms=1000, required=False)
        )
        self.assertEqual(len(owed.posts), 4)

    def test_counts(self) -> None:
        """No ids, or far too many, are refused."""
        for count in (0, 10_001):
            work = self.queues.resend(ADMIN, fields.DeliveryResend("q", ["a"] * count))
            self.failureResultOf(Deferred.fromCoroutine(work), RuleBroken)

    def test_policy(self) -> None:
        """They are for the role admin."""
        for rule in ("deliveries:get_all", "deliveries:create"):
            Policy().require(ADMIN, rule)
            self.assertRaises(Forbidden, Policy().require, Context(PROJECT), rule)


class MaskedTests(SynchronousTestCase):
    """Subscribers without what may be secret."""

    def test_masked(self) -> None:
        """A password, a query and a fragment are not shown, and all else is."""
        for subscriber, shown in (
            ("http://example.org:80/a@b:c@d", "http://example.org:80/a@b:c@d"),
            (HOOK, "http://user:***@example.org/hook?***"),
            ("http://user:p@q@h/a@b", "http://user:***@h/a@b"),
            ("trust+https://user:p:q@h/", "trust+https://user:***@h/"),
            ("http://user@h/", "http://user@h/"),
            ("mailto:a@b?subject=x", "mailto:a@b?***"),
            ("mailto:a@b", "mailto:a@b"),
            ("http://h/#secret?x", "http://h/#***"),
            ("http://h?a#b", "http://h?***"),
        ):
            self.assertEqual(masked(subscriber), shown)
