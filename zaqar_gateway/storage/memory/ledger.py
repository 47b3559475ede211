"""What the subscribers of one queue or topic are owed.

Posts stand in a log by rank; what is owed to one subscription alone, a notice or a post that is sent again, stands with
that subscription, by a rank of the same sequence.  A subscription that nobody delivers to is idle; else it stands in an
agenda until its lease or its wait ends.  So what is due is found without a look at what is not.
"""

from __future__ import annotations

import heapq
from bisect import bisect_left, bisect_right, insort
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from itertools import islice

from attrs import define, field, frozen

from zaqar_gateway.model import (
    FailedDelivery,
    GivenUp,
    LogBounds,
    LogPage,
    NewSubscription,
    Place,
    Post,
    Subscription,
)
from zaqar_gateway.storage import ids
from zaqar_gateway.storage.memory.ordered import Agenda, Ranks, RankSource

POST_OVERHEAD = 64
"""Bytes that a post counts for besides its body."""

FAILURES_MAX = 10_000
FAILURES_AGE_MAX_S = 14 * 86400
"""How many deliveries that were given up a place keeps, and for how long."""

READERS_GRACE_S = 60
"""For how long posts are kept for readers that keep cursors of their own."""


def _size(post: Post) -> int:
    return POST_OVERHEAD + len(post.body)


@define(eq=False)
class Follower:
    """A live subscription.

    :ivar cursor: the rank of the last post that it is done with.
    :ivar attempts: how often ``tried`` was tried in vain.
    :ivar tried: the cursor of what was found to be owed next, the last time that somebody looked.
    :ivar token: of the lease on it, 0 where there is none.
    :ivar gap: whether it has lost posts and was not told so yet.
    :ivar addressed: what is owed to it alone, by rank; all behind the cursor.
    """

    id: str
    subscriber: str
    ttl_s: int
    options: bytes
    owner: str
    confirmed: bool
    created_ms: int
    cursor: int
    attempts: int = 0
    tried: str = ""
    token: int = 0
    gap: bool = False
    addressed: OrderedDict[int, Post] = field(factory=OrderedDict)

    def subscription(self, now: int) -> Subscription:
        age_s = max(0, now - self.created_ms) // 1000
        return Subscription(self.id, self.subscriber, self.ttl_s, age_s, self.options, self.confirmed, self.owner)


@frozen
class Failure:
    """A delivery that was given up, with what is needed to send it again."""

    subscription_id: str
    subscriber: str
    attempts: int
    reason: str
    at_ms: int
    post: Post

    def told(self, failure_id: str, now: int) -> FailedDelivery:
        return FailedDelivery(
            id=failure_id,
            subscription_id=self.subscription_id,
            subscriber=self.subscriber,
            attempts=self.attempts,
            reason=self.reason,
            age_s=max(0, now - self.at_ms) // 1000,
            notice=self.post.notice,
        )


@define(eq=False)
class Ledger:
    """The subscriptions of a place and what is owed to them.

    :ivar serial: tells ledgers apart; a later one has a greater one.
    :ivar version: changes whenever a subscription is changed or ends.
    :ivar followers: the live subscriptions by id, as of the last :meth:`settle`.
    :ivar failures: by id, oldest first.
    """

    place: Place
    serial: int
    version: int
    ranks: RankSource
    _bounds: LogBounds
    _new_version: Callable[[], int]
    _ended: Callable[[Ledger, Follower], None]
    followers: dict[str, Follower] = field(factory=dict)
    failures: OrderedDict[str, Failure] = field(factory=OrderedDict)
    _ids: list[str] = field(factory=list)  # sorted
    _by_subscriber: dict[str, Follower] = field(factory=dict)
    _expiring: Agenda[str] = field(factory=Agenda)
    _posts: dict[int, Post] = field(factory=dict)
    _log: Ranks = field(factory=Ranks)  # the ranks of _posts
    _addressed: OrderedDict[int, Follower] = field(factory=OrderedDict)  # whose it is, oldest first
    _bytes: int = 0  # that all these count for
    _failed_bytes: int = 0  # that the failures count for
    _gone: int = 0  # the rank of the last post that left the log
    # Of the followers without owner, who are delivered to: all and the idle ones by their cursors, those of the idle ones
    # to whom something is addressed, and the others by when their lease or their wait ends.
    _cursors: Agenda[str] = field(factory=Agenda)
    _idle: Agenda[str] = field(factory=Agenda)
    _called: Agenda[str] = field(factory=Agenda)
    _busy: Agenda[str] = field(factory=Agenda)

    def settle(self, now: int) -> None:
        """Do what time has brought."""
        for subscription_id in self._expiring.take(now):
            self.end(self.followers[subscription_id])
        while self.failures:
            failure_id, oldest = next(iter(self.failures.items()))
            if now - oldest.at_ms < FAILURES_AGE_MAX_S * 1000:
                break
            self._forget(failure_id)
        self._trim(now)

    @property
    def is_needed(self) -> bool:
        return bool(self.followers or self.failures)

    @property
    def has_idle(self) -> bool:
        """Whether there is one without owner to whom nobody delivers now."""
        return self._idle.first() is not None

    def due_ms(self) -> int | None:
        """When something may be owed to somebody: 0 for now, ``None`` for not before something is posted."""
        if self._first_idle() is not None:
            return 0
        return self._busy.next()

    # -- subscriptions -----------------------------------------------------------------------------------------------

    def with_subscriber(self, subscriber: str) -> Follower | None:
        return self._by_subscriber.get(subscriber)

    def page(self, marker: str, limit: int) -> list[Follower]:
        start = bisect_right(self._ids, marker)
        return [self.followers[subscription_id] for subscription_id in self._ids[start : start + limit]]

    def begin(self, subscription_id: str, new: NewSubscription, now: int) -> Follower:
        """Take in a subscription, whose subscriber nobody has."""
        one = self.followers[subscription_id] = Follower(
            id=subscription_id,
            subscriber=new.subscriber,
            ttl_s=new.ttl_s,
            options=new.options,
            owner=new.owner,
            confirmed=new.confirmed,
            created_ms=now,
            cursor=self.ranks.last,
        )
        insort(self._ids, subscription_id)
        self._by_subscriber[new.subscriber] = one
        self._expiring.set(subscription_id, now + new.ttl_s * 1000)
        if not one.owner:
            self._cursors.set(subscription_id, one.cursor)
            self._idle.set(subscription_id, one.cursor)
        return one

    def renew(self, one: Follower, ttl_s: int, now: int) -> None:
        one.ttl_s = ttl_s
        self._expiring.set(one.id, now + ttl_s * 1000)

    def readdress(self, one: Follower, subscriber: str) -> None:
        """Give it another subscriber, whom nobody has, and who did not confirm and is tried afresh."""
        del self._by_subscriber[one.subscriber]
        self._by_subscriber[subscriber] = one
        one.subscriber, one.confirmed = subscriber, False
        self.rest(one)

    def confirm(self, one: Follower, confirmed: bool, *, required: bool) -> None:
        """Change whether it is confirmed.

        :param required: whether it was owed nothing before, and is owed nothing from before.
        """
        one.confirmed = confirmed
        if confirmed and required:
            self.move(one, self.ranks.last)
            self.rest(one)
            one.gap = False
        self.changed()

    def changed(self) -> None:
        """Have readers notice that a subscription was changed or ended."""
        self.version = self._new_version()

    def end(self, one: Follower) -> None:
        """End a subscription, and what is owed to it."""
        self.move(one, self.ranks.last)
        del self.followers[one.id], self._by_subscriber[one.subscriber]
        del self._ids[bisect_left(self._ids, one.id)]
        for agenda in (self._expiring, self._cursors, self._idle, self._called, self._busy):
            agenda.discard(one.id)
        if not self.followers:
            while self._log.first is not None:
                self._drop_post(self._log.first)
        self.changed()
        self._ended(self, one)

    # -- the log -----------------------------------------------------------------------------------------------------

    def add(self, rank: int, body: bytes, ttl_s: int, delay_s: int | None) -> None:
        """Keep a post that got this rank in its queue."""
        self._posts[rank] = post = Post(ids.format_cursor(rank), body, ttl_s, delay_s)
        self._log.add(rank)
        self._bytes += _size(post)

    def notify(self, one: Follower, kind: str, answered_s: int, now: int) -> None:
        """Owe a notice, which may be answered for so many seconds."""
        self._address(one, Post("", b"", notice=kind, until_s=now // 1000 + answered_s), now)

    def _address(self, one: Follower, post: Post, now: int) -> None:
        """Owe something to one alone, after all that is owed already; a socket is shown nothing of the kind."""
        if one.owner:
            return
        rank = self.ranks.next(now * 1000)
        one.addressed[rank] = Post(
            ids.format_cursor(rank), post.body, post.ttl_s, post.delay_s, post.notice, post.until_s
        )
        self._addressed[rank] = one
        self._bytes += _size(post)
        if self._idle.get(one.id) is not None:
            self._called.set(one.id, one.cursor)

    def read(self, cursor: int, limit: int) -> LogPage:
        posts = [self._posts[rank] for rank in islice(self._log.after(cursor), limit)]
        reached = posts[-1].cursor if posts else ids.format_cursor(max(cursor, self._gone))
        return LogPage(posts, reached, cursor < self._gone, self.version)

    def _trim(self, now: int) -> None:
        """Drop what everybody is done with, and what is beyond the bounds."""
        done, now_us = self._cursors.next(), now * 1000
        if done is None or len(self._cursors) < len(self.followers):
            recent = now_us - READERS_GRACE_S * 1_000_000
            done = recent if done is None else min(done, recent)
        while self._log.first is not None and self._log.first <= done:
            self._drop_post(self._log.first)
        oldest_us = now_us - self._bounds.age_max_s * 1_000_000
        while len(self._log) + len(self._addressed) > 1:
            post, addressed = self._log.first, next(iter(self._addressed), None)
            is_post = post is not None and (addressed is None or post < addressed)
            rank = post if is_post else addressed
            assert rank is not None, "there are two"
            if self._bytes <= self._bounds.bytes_max and rank >= oldest_us:
                break
            if is_post:
                self._drop_post(rank)  # whose cursor is before it finds out by _gone
            else:
                one = self._addressed[rank]
                one.gap, one.attempts = True, 0
                self.move(one, rank)

    def _drop_post(self, rank: int) -> None:
        self._log.remove(rank)
        self._bytes -= _size(self._posts.pop(rank))
        self._gone = rank

    def move(self, one: Follower, cursor: int) -> None:
        """Be done with everything up to a rank."""
        while one.addressed and (rank := next(iter(one.addressed))) <= cursor:
            self._bytes -= _size(one.addressed.pop(rank))
            del self._addressed[rank]
        one.cursor = max(one.cursor, cursor)
        for agenda in (self._cursors, self._idle, self._called):
            if agenda.get(one.id) is not None:
                agenda.set(one.id, one.cursor)
        if not one.addressed:
            self._called.discard(one.id)

    # -- deliveries --------------------------------------------------------------------------------------------------

    def due(self, now: int) -> Iterator[Follower]:
        """Those to whom something may be owed now, who wait longest first; each has to be leased, or left to rest with
        nothing owed, before the next."""
        while True:
            first = self._busy.first()
            if first is None or first[0] > now:
                first = self._first_idle()
            if first is None:
                return
            yield self.followers[first[1]]

    def _first_idle(self) -> tuple[int, str] | None:
        """The idle one that is behind and has the oldest cursor."""
        idle, last = self._idle.first(), self._log.last
        if idle is not None and last is not None and idle[0] < last:
            return idle
        return self._called.first()  # nobody is behind with posts, so whoever it is has the oldest cursor of these

    def owed(self, one: Follower, batch: int, *, required: bool) -> list[Post]:
        """What it is owed next; what it is not owed before that is passed over for good.

        :param required: whether only those that are confirmed are owed posts that are not addressed to them.
        """
        everything = one.confirmed or not required
        if one.cursor < self._gone:
            one.gap = one.gap or everything
            self.move(one, self._gone)
        if everything:
            ranks = heapq.merge(self._log.after(one.cursor), one.addressed)
            posts = [one.addressed.get(rank) or self._posts[rank] for rank in islice(ranks, batch)]
        else:
            posts = list(islice(one.addressed.values(), batch))
            last = self._log.last or 0
            self.move(one, min(last, next(iter(one.addressed)) - 1) if posts else last)
        first = posts[0].cursor if posts else ""
        if first != one.tried:  # what was attempted has been passed over, or is lost
            one.tried, one.attempts = first, 0
        return posts

    def holds(self, one: Follower, token: int, now: int) -> bool:
        """Whether a lease on it has not ended."""
        until = self._busy.get(one.id)
        return one.token == token and until is not None and until > now

    def lease(self, one: Follower, token: int, until_ms: int) -> None:
        one.token = token
        self._idle.discard(one.id)
        self._called.discard(one.id)
        self._busy.set(one.id, until_ms)

    def wait(self, one: Follower, until_ms: int) -> None:
        """End a lease on it; what comes next is due later."""
        one.token = 0
        self._busy.set(one.id, until_ms)

    def rest(self, one: Follower) -> None:
        """End a lease on it, or a wait."""
        one.token = one.attempts = 0
        self._busy.discard(one.id)
        if not one.owner:
            self._idle.set(one.id, one.cursor)
            if one.addressed:
                self._called.set(one.id, one.cursor)

    # -- what was given up -------------------------------------------------------------------------------------------

    def fail(self, one: Follower, given: GivenUp, failure_id: str, now: int) -> None:
        """Keep a delivery that is given up, unless it was reported done before, or the post was lost meanwhile."""
        rank = int(given.cursor, 16)
        post = one.addressed.get(rank) or self._posts.get(rank)
        if post is not None and rank > one.cursor:
            self.failures[failure_id] = Failure(one.id, one.subscriber, given.attempts, given.reason, now, post)
            self._failed_bytes += _size(post)
            while len(self.failures) > FAILURES_MAX or self._failed_bytes > self._bounds.bytes_max and len(self.failures) > 1:
                self._forget(next(iter(self.failures)))

    def _forget(self, failure_id: str) -> Failure:
        failure = self.failures.pop(failure_id)
        self._failed_bytes -= _size(failure.post)
        return failure

    def resend(self, failure_ids: Sequence[str], limit: int, now: int) -> int:
        """Owe again what was given up, in the order in which it was, as far as there is room for it; give how much of it."""
        count = 0
        for failure_id in failure_ids:
            failure = self.failures[failure_id]
            one = self.followers.get(failure.subscription_id)
            used = self._bytes if one is not None else 0
            if count == limit or used and used + _size(failure.post) > self._bounds.bytes_max:
                break
            self._forget(failure_id)
            if one is not None:
                self._address(one, failure.post, now)
                count += 1
        return count
