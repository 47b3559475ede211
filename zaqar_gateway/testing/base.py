"""What the contracts of stores have in common: the clock, the store, and short ways to use it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from twisted.internet.task import Clock

from zaqar_gateway.interfaces import IStorage
from zaqar_gateway.model import (
    Claim,
    GivenUp,
    Message,
    MessagePage,
    NewMessage,
    NewPost,
    NewSubscription,
    Owed,
    Place,
    Post,
    Progress,
    QueueRules,
    QueueStats,
    Subscription,
)

if TYPE_CHECKING:
    from twisted.trial.unittest import TestCase as _Base
else:
    _Base = object  # a mixin that were a TestCase would be collected wherever it is imported

EPOCH_S = 1_800_000_000
"""Where the clock of a contract test starts."""

CLIENT = b"\x01" * 16
OTHER_CLIENT = b"\x02" * 16

NO_IDS = (
    "",
    " ",
    "a",
    "foo",
    "nada",
    "nonesuch",
    "sfhlsfdjh2048",
    "0",
    "-1",
    "+",
    "a,b",
    "{}",
    "*",
    "\n",
    "\x00",
    "0x" + "0" * 22,
    "é" * 24,
    "٣" * 24,
    "g" * 24,
    "x" * 5000,
)
"""Texts that are the id of nothing."""


def clock_at_epoch() -> Clock:
    """A clock that shows ``EPOCH_S``."""
    clock = Clock()
    clock.advance(EPOCH_S)
    return clock


def numbered(count: int, start: int = 0) -> list[bytes]:
    """So many different bodies."""
    return [b'{"n": %d}' % n for n in range(start, start + count)]


def bodies(messages: Sequence[Message]) -> list[bytes]:
    """The bodies of messages, in their order."""
    return [message.body for message in messages]


def told(posts: Sequence[Post]) -> list[bytes | str]:
    """What subscribers are told, in its order: the bodies of messages and the kinds of notices."""
    return [post.notice or post.body for post in posts]


class StoreContract(_Base):
    """Base of the contracts.  A subclass sets ``clock`` and ``storage`` in ``setUp``.

    :ivar clock: started by :func:`clock_at_epoch`; the only source of time of the store.  Tests advance it by multiples
        of 0.25 s, which binary fractions hold exactly.
    :ivar storage: empty, and of no other test.
    :ivar is_topic: whether its queues are topics (:func:`~zaqar_gateway.testing.topics.topics_as_queues`).
    """

    clock: Clock
    storage: IStorage
    is_topic = False

    async def put(
        self,
        *texts: bytes,
        project: str = "p",
        queue: str = "q",
        client: bytes = CLIENT,
        ttl_s: int | None = 3600,
        delay_s: int | None = None,
    ) -> list[str]:
        """Post messages with these bodies in one post."""
        return await self.storage.messages.post(
            project,
            queue,
            NewPost(
                client,
                [NewMessage(text, ttl_s, delay_s) for text in texts],
                size=sum(map(len, texts)),
                ttl_default_s=3600,
                size_max=10_000_000,
            ),
        )

    async def make(
        self,
        queue: str = "q",
        *,
        project: str = "p",
        message_ttl_s: int | None = None,
        post_size_max: int | None = None,
        message_delay_s: int = 0,
        claim_count_max: int | None = None,
        dead_letter_queue: str | None = None,
        dead_letter_ttl_s: int | None = None,
        encrypted: bool = False,
        retry_policy: bytes = b"",
    ) -> None:
        """Create a queue with rules."""
        rules = QueueRules(
            message_ttl_s=message_ttl_s,
            post_size_max=post_size_max,
            message_delay_s=message_delay_s,
            claim_count_max=claim_count_max,
            dead_letter_queue=dead_letter_queue,
            dead_letter_ttl_s=dead_letter_ttl_s,
            encrypted=encrypted,
            retry_policy=retry_policy,
        )
        self.assertTrue(await self.storage.queues.create(project, queue, b'{"made": true}', rules))

    async def page(
        self,
        *,
        project: str = "p",
        queue: str = "q",
        marker: str | None = None,
        limit: int = 20,
        skip_client: bytes | None = None,
        include_claimed: bool = True,
        include_delayed: bool = True,
    ) -> MessagePage:
        """One page; of everything, unless told otherwise."""
        return await self.storage.messages.list(
            project,
            queue,
            marker=marker,
            limit=limit,
            skip_client=skip_client,
            include_claimed=include_claimed,
            include_delayed=include_delayed,
        )

    async def listed(
        self,
        *,
        project: str = "p",
        queue: str = "q",
        marker: str | None = None,
        skip_client: bytes | None = None,
        include_claimed: bool = True,
        include_delayed: bool = True,
    ) -> list[bytes]:
        """The bodies of the first twenty messages after a marker; of everything, unless told otherwise."""
        page = await self.page(
            project=project,
            queue=queue,
            marker=marker,
            skip_client=skip_client,
            include_claimed=include_claimed,
            include_delayed=include_delayed,
        )
        return bodies(page.messages)

    async def claim(
        self, limit: int = 20, *, project: str = "p", queue: str = "q", ttl_s: int = 60, grace_s: int = 60
    ) -> Claim:
        """Claim messages where there are some."""
        claim = await self.storage.claims.create(project, queue, ttl_s, grace_s, limit)
        assert claim is not None, "there is nothing to claim"
        return claim

    async def claimed_bodies(self, limit: int = 20, *, project: str = "p", queue: str = "q") -> list[bytes]:
        """The bodies that a new claim of a minute gets."""
        claim = await self.storage.claims.create(project, queue, 60, 60, limit)
        return [] if claim is None else bodies(claim.messages)

    async def popped(self, limit: int = 20, *, project: str = "p", queue: str = "q") -> list[bytes]:
        """The bodies that a pop gets."""
        return bodies(await self.storage.messages.pop(project, queue, limit))

    async def got(self, *ids: str, project: str = "p", queue: str = "q") -> list[bytes]:
        """The bodies of the messages with these ids."""
        return bodies(await self.storage.messages.get(project, queue, ids))

    async def one(self, message_id: str, *, project: str = "p", queue: str = "q") -> Message:
        """The message with this id."""
        (message,) = await self.storage.messages.get(project, queue, [message_id])
        return message

    async def drop(
        self, message_id: str, claim_id: str | None = None, *, project: str = "p", queue: str = "q"
    ) -> None:
        """Delete one message."""
        await self.storage.messages.delete(project, queue, message_id, claim_id)

    async def stats(self, queue: str = "q", *, project: str = "p") -> QueueStats:
        """The stats of a queue that exists."""
        stats = await self.storage.queues.stats(project, queue)
        assert stats is not None, "the queue does not exist"
        return stats

    async def counts(self, queue: str = "q", *, project: str = "p") -> tuple[int, int]:
        """How many messages are free, and how many claimed."""
        stats = await self.stats(queue, project=project)
        return stats.free, stats.claimed

    async def refused(self, kind: type[Exception], message_id: str, claim_id: str | None) -> None:
        """Check that a delete is refused, and that the message is still there."""
        with self.assertRaises(kind):
            await self.drop(message_id, claim_id)
        self.assertEqual(len(await self.got(message_id)), 1)

    # -- subscriptions and deliveries ----------------------------------------------------------------------------------

    def place(self, queue: str = "q", *, project: str = "p") -> Place:
        """The queue as a place."""
        return Place(project, queue, self.is_topic)

    async def follow(
        self,
        subscriber: str = "http://a",
        *,
        project: str = "p",
        queue: str = "q",
        ttl_s: int = 3600,
        options: bytes = b"{}",
        owner: str = "",
        confirmed: bool = False,
        notice_s: int | None = None,
    ) -> str:
        """Make a subscription that was not there; give its id."""
        new = NewSubscription(subscriber, ttl_s, options, owner, confirmed, notice_s)
        placed = await self.storage.subscriptions.create(project, queue, new)
        self.assertTrue(placed.is_new)
        return placed.id

    async def followed(self, subscription_id: str, *, project: str = "p", queue: str = "q") -> Subscription:
        """A live subscription."""
        found = await self.storage.subscriptions.get(project, queue, subscription_id)
        assert found is not None, "the subscription is not live"
        return found

    async def confirm(
        self, subscription_id: str, confirmed: bool = True, *, required: bool = True, notice_s: int | None = None
    ) -> None:
        """Confirm a live subscription, or take that back."""
        self.assertTrue(
            await self.storage.subscriptions.confirm(
                "p", "q", subscription_id, confirmed, required=required, notice_s=notice_s
            )
        )

    async def change(
        self,
        subscription_id: str,
        *,
        subscriber: str | None = None,
        ttl_s: int | None = None,
        options: bytes | None = None,
        notice_s: int | None = None,
    ) -> None:
        """Update a live subscription."""
        self.assertTrue(
            await self.storage.subscriptions.update(
                "p", "q", subscription_id, subscriber=subscriber, ttl_s=ttl_s, options=options, notice_s=notice_s
            )
        )

    async def take(
        self,
        *,
        project: str = "p",
        queue: str = "q",
        limit: int = 20,
        batch: int = 20,
        lease_ms: int = 60_000,
        required: bool = False,
    ) -> list[Owed]:
        """Lease what is owed."""
        return await self.storage.deliveries.take(
            self.place(queue, project=project), limit=limit, batch=batch, lease_ms=lease_ms, required=required
        )

    async def take_one(self, *, batch: int = 20, lease_ms: int = 60_000, required: bool = False) -> Owed:
        """Lease what is owed where that is owed to one."""
        (owed,) = await self.take(batch=batch, lease_ms=lease_ms, required=required)
        return owed

    async def report(
        self,
        owed: Owed,
        cursor: str = "",
        *,
        given_up: Sequence[GivenUp] = (),
        attempts: int = 0,
        wait_ms: int | None = None,
        batch: int = 20,
        lease_ms: int = 60_000,
        required: bool = False,
    ) -> Owed | None:
        """Report on what was leased, by its token."""
        progress = Progress(owed.subscription.id, owed.token, cursor, tuple(given_up), attempts, wait_ms)
        return await self.storage.deliveries.report(
            owed.place, progress, batch=batch, lease_ms=lease_ms, required=required
        )

    async def deliver(self, *, required: bool = False) -> dict[str, list[bytes | str]]:
        """Deliver all that is owed in ``q``; what each subscriber was told."""
        delivered: dict[str, list[bytes | str]] = {}
        while taken := await self.take(required=required):
            for owed in taken:
                delivered.setdefault(owed.subscription.subscriber, []).extend(told(owed.posts))
                await self.report(owed, owed.posts[-1].cursor, required=required, wait_ms=0)
        return delivered
