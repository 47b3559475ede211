"""The seams: what a storage backend, an identity and whatever else plugs in has to provide.

Every argument has been checked by the caller: names, ranges, JSON.  Durations are whole seconds.  A method that
raises :class:`~zaqar_gateway.errors.StoreUnavailable` with ``outcome_unknown`` may or may not have taken effect; with
any other error nothing has.  Each method is one indivisible step for everybody who looks at the store.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Mapping, Sequence
from typing import TypeVar

from zope.interface import Attribute, Interface

from zaqar_gateway.model import (
    Attached,
    Begun,
    Call,
    Caller,
    Claim,
    Context,
    Delivery,
    Draw,
    Drawn,
    Durable,
    FailedDelivery,
    Failing,
    Flavor,
    Letter,
    LiveTerms,
    Login,
    LogPage,
    Message,
    MessagePage,
    NewMessage,
    NewPost,
    NewSubscription,
    Owed,
    Place,
    Placed,
    Placement,
    Pool,
    PoolChange,
    Progress,
    QueueEntry,
    QueueRules,
    QueueStats,
    SendBack,
    SentBack,
    SignedIn,
    SignedUrl,
    StoreCondition,
    StreamPage,
    Subscription,
    Usage,
    Verdict,
    Volume,
    WorkTerms,
)

T = TypeVar("T")


class IQueueStore(Interface):
    """Queues of projects: a name, metadata (a JSON object, opaque here), and the rules taken from them.

    Topics are queues to a store; they have names of their own (:class:`IStorage`).
    """

    async def create(project: str, queue: str, metadata: bytes, rules: QueueRules) -> bool:
        """Create a queue; leave one that exists as it is.

        :return: whether it was created by this call.
        :raises QuotaExceeded: the project has as many as it may have.
        """

    async def get(project: str, queue: str) -> bytes | None:
        """The metadata as stored, or ``None`` where the queue does not exist."""

    async def update(project: str, queue: str, seen: bytes, metadata: bytes, rules: QueueRules) -> bool:
        """Replace the metadata if they are still, byte for byte, what the caller has seen.

        :return: whether they were replaced; ``False`` also where the queue does not exist.
        """

    async def delete(project: str, queue: str) -> None:
        """Remove a queue with its messages and claims.  A missing queue is no error.

        The time this takes does not depend on how much there is to remove.
        """

    async def list(project: str, marker: str, limit: int) -> list[QueueEntry]:
        """Up to ``limit`` queues whose names are greater than ``marker``, in the order of their code points."""

    async def count(project: str) -> int:
        """How many queues the project has."""

    async def usage(project: str) -> Usage:
        """What all queues of the project hold, counted one after the other."""

    async def stats(project: str, queue: str) -> QueueStats | None:
        """Counts and edges; ``None`` where the queue does not exist."""

    async def purge(project: str, queue: str) -> None:
        """Remove all messages, whatever their state, and all claims; keep the queue and its metadata."""


class IMessageStore(Interface):
    """Messages of a queue, in the order in which they were accepted.

    An id contains the position of its message, sorts like it, and is a marker: a marker keeps its position when its
    message is gone.  A text that is no id is the id of nothing.
    """

    async def post(project: str, queue: str, new: NewPost) -> list[str]:
        """Append messages, all or none; create the queue where it is missing.

        :return: the ids in the order of the messages, those of before where they were known; all of them were where this
            is :class:`~zaqar_gateway.model.Replayed`, and nothing else was looked at then.
        :raises RuleBroken: the post is too large; nothing was stored and no queue created.
        :raises QuotaExceeded: the project would have more queues, or the queue more in it, than it may have; likewise.
        :raises QueueMissing: the queue is missing and not to be created; nothing was stored.
        :raises EncryptionDiffers: whether the bodies are encrypted is not as the queue's rules say; nothing was stored.
        :raises RuleBroken: the key of the post came with another number of messages before; nothing was stored.
        :raises TooManyRequests: as many keys are kept as may be; nothing was stored.
        """

    async def get(project: str, queue: str, ids: Sequence[str]) -> list[Message]:
        """The live messages among ``ids``, claimed and delayed ones too, in the order of ``ids``."""

    async def list(
        project: str,
        queue: str,
        *,
        marker: str | None,
        limit: int,
        skip_client: bytes | None,
        include_claimed: bool,
        include_delayed: bool,
    ) -> MessagePage:
        """A page of live messages after ``marker`` in queue order.

        The page is empty only where no visible message follows.  A marker that has not the form of an id gives an
        empty page; ``None`` is the beginning.

        :param skip_client: leave out the messages that this client posted.
        :param include_delayed: taken as true in a queue without a default delay.
        """

    async def read(project: str, queue: str, marker: str, limit: int) -> StreamPage:
        """A page of what was posted behind a marker, claimed and delayed messages among it.

        A page may end before ``limit`` where its bodies are large.  A marker that another queue has had, or an earlier one
        of this name, makes a gap and has the page begin at the oldest message.  Where the queue is missing nothing is
        lost by a marker that was given while it was.

        :param marker: the id of a message, the marker of a page, :data:`~zaqar_gateway.model.EARLIEST`, or
            :data:`~zaqar_gateway.model.LATEST`, of which the page is empty.
        :raises RuleBroken: the marker is none of these.
        """

    async def delete(project: str, queue: str, message_id: str, claim_id: str | None) -> None:
        """Delete one message; a missing one, or a missing queue, is no error.

        :raises MessageClaimed: a live claim holds it, and ``claim_id`` is not given or is another live claim of the
            queue.
        :raises ClaimMismatch: ``claim_id`` is given, and the message is not claimed or the claim is not live.
        """

    async def delete_many(
        project: str, queue: str, ids: Sequence[str], claim_ids: Sequence[str] | None
    ) -> None:
        """Delete the messages that exist among ``ids``, claimed or not.

        :param claim_ids: where given, each message has to be under one of these live claims, or none is deleted.
        :raises ClaimMismatch: ``claim_ids`` is given and one of the messages is not under any of them.
        """

    async def pop(
        project: str, queue: str, limit: int, *, key_ids: Collection[bytes] | None = None
    ) -> Sequence[Message]:
        """Remove and return up to ``limit`` deliverable messages, oldest first.

        :param key_ids: where given, the keys that encrypted bodies may want, so that none is lost that nobody can read.
        :raises KeyUnknown: one of the bodies wants another key; nothing was removed.
        """


    async def due_in(project: str, queue: str) -> int | None:
        """After how many milliseconds messages become deliverable by themselves, since a claim lapses or a delay ends.

        It may be that they expire before.

        :return: ``None``: as it is now none will; a missing queue has none.
        """


class IClaimStore(Interface):
    """Claims on the messages of a queue.

    A message is held by at most one live claim.  When a claim lapses or is released its messages are free again at
    their old place.  A claim whose last message is deleted has ended.  Claim ids are opaque; a text that was never given out is the id of nothing.
    """

    async def create(project: str, queue: str, ttl_s: int, grace_s: int, limit: int) -> Claim | None:
        """Reserve the oldest deliverable messages of a queue.

        A message that would expire before the claim gets ``ttl_s + grace_s`` and an expiry ``grace_s`` after the
        claim's.  In a queue whose rules name a dead letter queue, a message that was handed out
        ``claim_count_max`` times moves there in the same step (created where it is missing), not claimed, at the
        end, with its id, body, age and count.

        :return: the claim, or ``None`` where nothing is deliverable; a missing queue has nothing.  Its messages carry
            its id, and their ttl as it is now.
        """

    async def create_each(project: str, queue: str, ttl_s: int, grace_s: int, limit: int) -> list[Message]:
        """Reserve the oldest deliverable messages as :meth:`create` does, each in a claim of its own.

        :return: the messages, each with the id of its claim; none where nothing is deliverable.
        """

    async def get(project: str, queue: str, claim_id: str) -> Claim | None:
        """A live claim and the messages still in it; ``None`` for any other id."""

    async def update(project: str, queue: str, claim_id: str, ttl_s: int, grace_s: int) -> bool:
        """Renew a live claim from now, extending its messages as :meth:`create` does (an equal expiry extends too).

        :return: whether the claim was live.
        """

    async def release(project: str, queue: str, claim_id: str) -> None:
        """End a claim; its messages are free at once.  An unknown claim is no error."""

    async def live(project: str, queue: str, claim_ids: Sequence[str]) -> Collection[str]:
        """Those of some ids whose claims are live."""


class IDeadLetterStore(Interface):
    """Dead letters: messages that claims moved to a queue because they were handed out too often, and that are there still.

    One that is sent back goes to the end of a queue as an ordinary message: with its id, body, age and ttl, which counts from
    when it becomes deliverable; it was in no claim there.  Nobody is told of it as of a post.
    """

    async def list(project: str, queue: str, *, marker: str | None, limit: int) -> list[Message]:
        """Up to ``limit`` dead letters after ``marker``, claimed ones too, in the order in which they were moved.

        A marker that has not the form of an id gives none; ``None`` is the beginning.
        """

    async def send_back(project: str, queue: str, asked: SendBack, *, create: bool = True) -> SentBack:
        """Send dead letters back, oldest first.  Those that a live claim holds stay, as does what is no dead letter.

        :param create: whether a queue that one goes to is created where it is missing; else that one and what follows stays.
        :raises QuotaExceeded: a queue would have more than it may have, or the project more queues; a part of them may
            have been sent back, and for the others nothing has changed.
        """

    async def letters(project: str, queue: str, asked: SendBack, to: str) -> Sequence[Letter]:
        """The first of what :meth:`send_back` would send, as far as that goes to one queue; nothing changes."""

    async def adopt(project: str, queue: str, letters: Sequence[Letter], asked: SendBack) -> None:
        """Take in dead letters of another store, all or none, as :meth:`send_back` does.

        One that was taken in from the same place before is not taken in again, for an hour at least.

        :raises QueueMissing: the queue is missing; it is not created.
        :raises QuotaExceeded: it would have more than it may have.
        """


class ISubscriptionStore(Interface):
    """Subscriptions of queues, or of topics.

    A subscription is live until its ttl is over, counted from when it was made or its ttl was last set.  Ids are opaque; a
    text that was never given out is the id of nothing.  Subscriptions are not part of a queue: they stay when it is
    deleted, and are those of the queue of that name when there is one again; purging or deleting messages changes nothing
    in the log of posts.

    A cursor is a position in the order of posts: 14 hexadecimal digits, the rank in the id of a message
    (:mod:`zaqar_gateway.storage.ids`), zeros before all posts.  What is posted later has a greater one, also when the queue
    is deleted and made anew meanwhile.  A message that is moved into a queue as a dead letter is not posted there.
    """

    async def create(project: str, queue: str, new: NewSubscription) -> Placed:
        """Make a subscription, and the queue (empty metadata, no rules) where it is missing.

        Where a live one has the same subscriber that one stays as it is; if it is not confirmed and ``new.notice_s`` is
        given, a notice (:data:`~zaqar_gateway.model.CONFIRM`) is owed to it again.

        :raises QuotaExceeded: the queue would have more subscriptions, or the project more queues, than it may have;
            nothing was made.
        """

    async def count(project: str) -> int:
        """How many live subscriptions the project has, of queues that exist or not, counted queue by queue.

        Those that were made while the store was told not to count may be left out.
        """

    async def get(project: str, queue: str, subscription_id: str) -> Subscription | None:
        """A live subscription."""

    async def has(project: str, queue: str, subscriber: str) -> bool:
        """Whether a live subscription has a subscriber; that takes no longer where there are many."""

    async def list(project: str, queue: str, marker: str, limit: int) -> list[Subscription]:
        """Up to ``limit`` live subscriptions whose ids are greater than ``marker``, in the order of their ids."""

    async def update(
        project: str,
        queue: str,
        subscription_id: str,
        *,
        subscriber: str | None,
        ttl_s: int | None,
        options: bytes | None,
        notice_s: int | None,
    ) -> bool:
        """Change what is not ``None``.  A ttl counts from now.

        A subscriber that differs from the one before is not confirmed; where ``notice_s`` is given, a notice
        (:data:`~zaqar_gateway.model.CONFIRM`) is owed to it then.  What was owed to the one before is owed to it, and was
        not tried yet: a wait ends, and a lease.

        :return: whether the subscription is live.
        :raises SubscriberTaken: another live subscription has the subscriber; nothing was changed.
        """

    async def confirm(
        project: str, queue: str, subscription_id: str, confirmed: bool, *, required: bool, notice_s: int | None
    ) -> bool:
        """Set whether a subscription is confirmed.

        :param required: whether only confirmed ones are delivered to.  If so, one that becomes confirmed is owed what is
            posted from now on, and nothing from before; a lease on it ends.
        :param notice_s: where given and ``confirmed`` is false, a notice (:data:`~zaqar_gateway.model.UNSUBSCRIBE`) is
            owed, which may be answered for so many seconds; also where it was not confirmed before.
        :return: whether the subscription is live.
        """

    async def delete(project: str, queue: str, subscription_id: str) -> Subscription | None:
        """End a subscription; nothing more is owed to it.

        :return: the subscription, ``None`` where there was no live one.
        """

    async def purge(project: str, queue: str) -> None:
        """End all subscriptions of a queue."""

    async def read(project: str, queue: str, cursor: str, limit: int) -> LogPage:
        """Messages of the log of posts after a cursor, without what is addressed to one subscription alone.

        While sockets subscribe a post is kept for a minute at least, within the bounds of the log.
        """

    async def live(project: str, queue: str, ids: Sequence[str]) -> Collection[str]:
        """Those of some ids whose subscriptions are live."""


class IDeliveryStore(Interface):
    """What is owed to subscribers that are not sockets, of queues and of topics alike.

    While a place has live subscriptions every post to it is also kept in its log, in the same step; notices, and what is sent
    again, are entries of the log that one subscription alone is shown.  Each subscription has a cursor, the last post that it was done with.
    A change of a subscription shows in what is taken or reported next; one that ended is owed nothing.  Whoever delivers takes a lease on what a subscription is owed, so
    that nobody else delivers to that subscriber meanwhile; a lease that is not extended ends, and what it was for is due
    at once.  The log is trimmed behind the slowest cursor; it keeps at most what the store was told
    (:class:`~zaqar_gateway.model.LogBounds`, the newest post always), and whoever has lost something by that is told so
    once, by a gap.

    The subscriptions of sockets are owed nothing here.
    """

    async def due(limit: int) -> list[Place]:
        """Places in which something may be owed now; may name the same ones again until :meth:`take` was called there."""

    async def places(after: str, limit: int) -> tuple[list[Place], str]:
        """Some of the places that have subscriptions, or had some not long ago, whether or not something is due, and from
        where to go on.

        :param after: empty to begin.
        :return: the second part is empty at the end.
        """

    async def take(place: Place, *, limit: int, batch: int, lease_ms: int, required: bool) -> list[Owed]:
        """Lease what is owed now to up to ``limit`` subscriptions: those first whose wait or lease has ended, in the order in
        which it did; then those that are furthest behind.

        The attempts are as reported last, and 0 for a post of which no report has told.

        :param batch: the most posts for each of them.
        :param lease_ms: for how long, more than 0.
        :param required: whether only confirmed subscriptions are delivered to; the others are owed alone what is addressed
            to them, and what they are not owed is passed over for good.
        """

    async def report(
        place: Place, progress: Progress, *, batch: int, lease_ms: int, required: bool
    ) -> Owed | None:
        """Note what was done under a lease, and go on.  A cursor does not go back.

        What was given up is kept for :meth:`failures`: the last 10,000 of a place, and of those as many bytes as its log may have, for
        14 days.  Where it was reported done before, it is not kept again.

        :return: what is owed next, under the same lease, extended; ``None`` where there is nothing more, where it waits
            now, or where the lease had ended: then nothing of this was noted.
        """

    async def extend(place: Place, leases: Sequence[tuple[str, int]], lease_ms: int) -> Collection[str]:
        """Extend leases, given as subscription id and token.

        :return: the subscriptions of those that had not ended.
        """

    async def failing(limit: int) -> list[Failing]:
        """Places in which deliveries were given up, and how many of them are kept."""

    async def failures(place: Place, marker: str, limit: int) -> list[FailedDelivery]:
        """Deliveries that were given up, in the order in which they were, after a marker (empty: from the first)."""

    async def resend(place: Place, ids: Sequence[str] | None, limit: int) -> int:
        """Owe again what was given up, in that order, after all that is owed already, and forget it here.

        What was given up for a subscription that is no longer live is forgotten; what the log has no room for is kept.

        :param ids: ``None``: the oldest ones.  Those that are unknown are ignored.
        :param limit: at most so many.
        :return: how many are owed again.
        """

    async def beat(gateway: str) -> tuple[Sequence[str], bool]:
        """Say that a gateway process lives, which has to be said every two seconds.

        Subscriptions of the sockets of processes that have not said so for eight seconds are ended.  Where nobody at all has for four
        it is the store that was away, and all have another eight.

        :return: the names of all that live, in order; and whether this one had been taken for dead, so that the
            subscriptions of its sockets are gone.
        """

    async def leave(gateway: str) -> None:
        """Say that a gateway process ends; the subscriptions of its sockets are ended."""


class IDurableStore(Interface):
    """Durable names: places in queues that outlive the connections which read from them.

    A name has a marker, the id up to which all messages were given to it, and keeps which of those are not done.  Whoever
    attaches a name holds it, under a token of their own (the owner), and has to say so again before the time is over that
    they said; another one may attach it at any time, and what the former asks from then on changes nothing.  A name that
    nobody holds is forgotten when its ttl is over.  Names are not part of a queue: they stay when it is deleted.
    """

    async def attach(
        project: str, queue: str, name: str, owner: str, *, marker: str, ttl_s: int, hold_ms: int, most: int
    ) -> Attached:
        """Hold a name from now on, and make it where there is none.  Whoever held it hears a ring for changes.

        :param owner: nobody else has this token, nor has had it.
        :param marker: that of a new name.
        :param ttl_s: for how long it is kept while nobody holds it.
        :param hold_ms: for how long it is held where nothing more is said.
        :param most: so many names a queue may have.
        :raises QuotaExceeded: it has as many, and the name is new.
        """

    async def advance(
        project: str, queue: str, name: str, owner: str, step: int, marker: str, ids: Sequence[str], *, hold_ms: int
    ) -> bool:
        """Move the marker; messages are given to the name, and not done.

        :param step: the number of this step under this owner, from 1.  One that is not higher than that of the last one changes
            nothing: it had been taken for lost, was asked for again, and comes late.
        :return: whether the owner holds the name.
        """

    async def acknowledge(
        project: str, queue: str, name: str, owner: str, ids: Sequence[str], *, hold_ms: int
    ) -> bool:
        """Messages are done; ids of others are ignored.

        :return: whether the owner holds the name.
        """

    async def renew(
        project: str, queue: str, holds: Sequence[tuple[str, str]], *, hold_ms: int
    ) -> Collection[tuple[str, str]]:
        """Say that names are still held.

        :param holds: names with their owners.
        :return: those of them that are held by their owners.
        """

    async def detach(project: str, queue: str, name: str, owner: str) -> None:
        """Hold a name no longer; one that the owner does not hold stays as it is."""

    async def list(project: str, queue: str) -> list[Durable]:
        """All names of a queue, in order."""

    async def delete(project: str, queue: str, name: str) -> bool:
        """Forget a name.  Whoever holds it hears a ring for changes.

        :return: whether there was one.
        """


class IDoorbells(Interface):
    """Rings: something may have come.  A ring may be lost, or come for nothing; it never comes before what it is for."""

    def attend(ring: Callable[[Place], None], missed: Callable[[], None]) -> None:
        """Be told of each place in which something comes to be owed to a subscriber that is no socket and to whom nobody
        delivers now.

        :param missed: called when rings may have been lost.
        """

    def watch(place: Place, ring: Callable[[], None]) -> Callable[[], None]:
        """Be told when there is something to look for in a place, whether or not it exists yet; also when rings may have been
        lost.

        That is after each post; when messages are free again before their claim lapses, or will be sooner than was known;
        and when messages have been moved there.

        :return: ends it.
        """

    def watch_changes(place: Place, ring: Callable[[], None]) -> Callable[[], None]:
        """Be told when a subscription of a socket to a place may have ended, or a durable name may have come to be held by
        somebody else; also when rings may have been lost.

        :return: ends it.
        """


class IRates(Interface):
    """Buckets of tokens of projects, shared by all gateways.  A bucket that was never drawn from is full."""

    async def draw(project: str, draws: Sequence[Draw]) -> Sequence[Drawn]:
        """Take tokens out of the buckets of a project, which are those of the same positions in each call."""


class IStorage(Interface):
    """A store: the parts share one place and see each other's effects at once.

    A topic and a queue of one name are different things: no effect on the one is seen in the other.
    """

    queues: IQueueStore = Attribute("Queues.")
    messages: IMessageStore = Attribute("Messages.")
    claims: IClaimStore = Attribute("Claims.")
    dead_letters: IDeadLetterStore = Attribute("What claims moved to other queues.")
    topics: IQueueStore = Attribute("Topics.")
    topic_messages: IMessageStore = Attribute("Messages of topics; nothing claims them.")
    subscriptions: ISubscriptionStore = Attribute("Subscriptions of queues.")
    topic_subscriptions: ISubscriptionStore = Attribute("Subscriptions of topics.")
    deliveries: IDeliveryStore = Attribute("What is owed to subscribers.")
    durables: IDurableStore = Attribute("Durable names of queues.")
    doorbells: IDoorbells = Attribute("Rings for posts.")
    rates: IRates = Attribute("How much projects may ask for in a time.")

    async def ping() -> None:
        """Return when the store answers.

        :raises StoreError: it does not.
        """

    async def secret(name: str, fresh: bytes) -> bytes:
        """The secret that is kept under a name beside the data, for all who use the store.

        :param fresh: kept where there is none yet; if it is empty, none is kept then, and the answer is empty.
        """

    async def volume() -> Volume:
        """Count the messages of all projects, in queues and in topics; may be a few seconds old."""


class IStorageBackend(Interface):
    """A store, and what has to run for it.

    An entry point of the group ``zaqar_gateway.storage`` has the scheme of ``storage.uri`` for its name and names a
    callable: (:class:`~zaqar_gateway.model.BackendSettings`, reactor) to one of these.  It raises :exc:`ValueError` for
    a URI that it cannot use; the text says what is wrong and what would be right.  Nothing is opened before
    :meth:`start`.
    """

    storage: IStorage = Attribute("The store, with all its parts; nothing is asked of them before the start.")
    where: str = Attribute("Where everything is kept, in words and without a password.")

    async def start() -> None:
        """Make it ready.

        :raises OSError: it cannot be used; the gateway does not start, and its user is told the text.
        """

    async def stop() -> None:
        """Give back what the start took.  Nothing is asked of the store any more; it may not have been started."""


class IObservedBackend(IStorageBackend):
    """A backend that can say how it stands with it, without asking anybody."""

    def condition() -> StoreCondition:
        """How it stands with the store now; also before the start."""


class IPoolStore(Interface):
    """The pools of the whole service; there are so few that all are read at once."""

    async def version() -> int:
        """A number that changes whenever a pool does."""

    async def all() -> list[Pool]:
        """All pools, in the order of their names."""

    async def put(pool: Pool) -> None:
        """Add a pool, in the place of the one with its name, if any.

        :raises PoolUriTaken: another one has its URI; nothing was changed.
        """

    async def update(name: str, change: PoolChange) -> Pool | None:
        """Change a pool.

        :return: the pool as it is now; ``None`` where there is none of that name.
        :raises PoolUriTaken: another one has the URI; nothing was changed.
        """

    async def delete(name: str) -> None:
        """Remove a pool; a missing one is no error.

        :raises PoolNeeded: it is the last one of a flavor that exists, or queues or topics are in it.
        """


class IFlavorStore(Interface):
    """The flavors of projects.  Whether a pool is of a flavor stands with the pool: flavors of one name share theirs."""

    async def get(project: str, name: str) -> Flavor | None:
        """A flavor, ``None`` where there is none of that name."""

    async def list(project: str, marker: str, limit: int) -> list[Flavor]:
        """Up to ``limit`` flavors whose names are greater than ``marker``, in the order of their code points."""

    async def put(project: str, name: str, pools: Sequence[str], *, create: bool) -> bool:
        """Make pools, and no others, those of a flavor.

        :param create: whether the flavor is made where it is missing.
        :return: whether it exists now.
        :raises PoolMissing: one of the pools does not exist; nothing was changed.
        """

    async def delete(project: str, name: str) -> None:
        """Remove a flavor, from its pools too unless another project has one of that name.  A missing one is no error."""


class ICatalog(Interface):
    """In which pool each queue and topic is.

    A placement is made before what it is for, holds once that is there, and goes after it.  One that holds stays as it is.  Who has
    found it may go by it for a while without asking again, since it is left for longer than that before it may be forgotten.
    """

    async def find(place: Place) -> Placement | None:
        """Where something is, ``None`` where it has no placement."""

    async def prepare(place: Place, pool: str, for_s: int) -> str | None:
        """Have a placement of what is about to be made: the one that there is, else one in a pool.  Unless it holds, or is bound, it holds
        its pool alone, and may be forgotten after some time.

        :return: the pool that it is in; ``None``: that does not exist, and nothing was placed.
        """

    async def place(place: Place, pool: str, *, bound: bool = False) -> Placement | None:
        """Make a placement hold: the one that there is, else one in a pool.

        :param bound: whether it is kept for good, though what it is for be deleted.
        :return: the one that holds now; ``None``: the pool does not exist, and nothing was placed.
        """

    async def leave(place: Place, for_s: int, seen: Placement | None = None) -> None:
        """Say that something is being deleted, so that its placement may be forgotten after some time; a bound one may not.  Where it is
        being made as well the placement holds its pool until then.

        :param seen: where given, a placement that is no longer as it was seen stays as it is.
        """

    async def lapsed(limit: int) -> list[tuple[Place, Placement]]:
        """Placements that may be forgotten now."""

    async def kept(pool: str) -> list[Place]:
        """What has a placement in a pool and may be there or not: what was left, and what is bound."""

    async def forget(place: Place, placement: Placement) -> None:
        """Remove a placement that is still as it was seen."""

    async def list(project: str, is_topic: bool, marker: str, limit: int) -> list[tuple[str, str]]:
        """Up to ``limit`` names greater than ``marker`` that have a placement, with their pools, in order."""

    async def pools(project: str, is_topic: bool) -> Collection[str]:
        """The pools in which a project has placements."""


class IManagement(Interface):
    """What is known of pools, kept in one store for all gateways."""

    pools: IPoolStore = Attribute("The pools.")
    flavors: IFlavorStore = Attribute("The flavors.")
    catalog: ICatalog = Attribute("The placements.")


class IManagingBackend(IStorageBackend):
    """A store that pools can be managed in."""

    management: IManagement = Attribute("Used after the start only.")


class IPoolDirectory(Interface):
    """The stores that pools name, as this process has them open."""

    async def check(uri: str) -> None:
        """Connect once.

        :raises RuleBroken: nothing can be kept at the URI, in whatever state it is.
        :raises PoolUnfit: nothing answers there.
        """

    async def refresh() -> None:
        """Take in what has become of the pools; all processes do so by themselves within seconds."""

    async def stores() -> Mapping[str, IStorage]:
        """The stores of all pools, by name, those among them that do not answer; as far as this process can tell."""


class IPlacements(Interface):
    """Where queues and topics are, and what the pools say of it."""

    async def recall(pool: str) -> None:
        """Have a placement hold, of all that is in a pool, whose queue or topic is there, if there is one, so that the pool is in use: also of
        dead letter queues that were deleted and have been made again by their letters, and of what somebody makes again, or failed to
        delete, just now.

        :raises StoreError: the pool, or what knows of pools, does not answer.
        """


class IMessageFilter(Interface):
    """Sees the operations on messages and claims of queues and topics, on both transports: watches, changes or refuses.

    An entry point of the group ``zaqar_gateway.filters`` names a callable: (its table ``[filter.NAME]`` as a
    dictionary, reactor) to one of these.  It raises :exc:`ValueError` for settings that it cannot use; the text says
    what is wrong and what would be right.

    A filter sees bodies before they are encrypted at rest and after they are decrypted.  What subscribers are sent is
    what was stored, so what :meth:`post` made of it; :meth:`answer` is not asked.

    To refuse is to raise a :class:`~zaqar_gateway.errors.GatewayError`, such as
    :class:`~zaqar_gateway.errors.RuleBroken` or :class:`~zaqar_gateway.errors.Forbidden`, with the text for the client.
    Any other exception is an internal error to the client, and in the log with the name of the filter; so are messages whose fields
    are of other types than theirs.  A coroutine may wait, and its client waits with it.
    """

    async def request(ctx: Context, call: Call) -> None:
        """An operation is asked for; nothing has happened yet.  Here anything can be refused."""

    async def post(ctx: Context, place: Place, messages: Sequence[NewMessage]) -> Sequence[NewMessage]:
        """Messages are about to be stored, all or none.

        :return: what is stored: as many messages, in their order.  A body has to be JSON text.  What the limits are
            held against is the size of what the client sent.
        """

    async def answer(ctx: Context, call: Call, messages: Sequence[Message]) -> Sequence[Message]:
        """Messages are about to be shown to whoever asked for them.

        It is too late to refuse some operations.  Where this raises after a ``claim_create``, the claim is released and
        the messages are free again.  What a ``pop`` took is in no store any more, so it is answered as it came to this
        filter, and the error is logged: what nobody may see has to be kept out by :meth:`post`, or ``pop`` be refused
        by :meth:`request`.

        :return: what is shown, in the same order with the same ids.  Messages may be left out of the answers of
            ``list``, ``read``, ``get`` and ``dead_letter_list``: a listing goes on to those that follow, and a single one is
            not found.
        """


class IUrlSigner(Interface):
    """Pre-signed URLs (API reference, "Pre-signed URLs")."""

    enabled: bool = Attribute("Whether there is a secret to sign with.")

    def sign(project: str, paths: Sequence[str], methods: Sequence[str], expires_s: int) -> SignedUrl:
        """Sign access to paths, and to what is below them.

        :param paths: absolute, not percent-encoded.
        :param expires_s: when it ends; seconds since the epoch.
        :return: the access with its paths and methods sorted.
        :raises RuleBroken: there is no secret, or something cannot be signed.
        """

    def allows(given: SignedUrl, method: str, path: str) -> bool:
        """Whether what somebody brings was signed here, has not ended, and covers a request.

        :param given: as it was brought, in any order; nothing of it is trusted.
        :param path: of the request, percent-decoded.
        """


class ITrusts(Interface):
    """Trusts of an identity service, by which somebody lets this service act for them later (API reference, "Trust
    subscriptions")."""

    async def create(ctx: Context, token: str, ttl_s: int) -> str:
        """Make a trust: the caller's user lets this service have the caller's roles in the project.

        :param token: the caller's own.
        :return: the id of the trust.
        :raises IdentityUnavailable: there is no identity service, or it does not answer.
        :raises Forbidden: it refuses.
        """

    async def check(ctx: Context, token: str, trust_id: str) -> None:
        """Look whether a trust was given by the caller's user.

        :param token: the caller's own.
        :raises IdentityUnavailable: there is no answer.
        :raises Forbidden: it was given by another user, or does not exist.
        """

    async def token(trust_id: str) -> str:
        """A token by a trust.

        :raises IdentityUnavailable: there is none now; it may go better later.
        :raises NotFound: the trust does not exist, or has ended.
        """

    def refused(trust_id: str, token: str, again: bool = False) -> None:
        """A token by a trust was not accepted where it was sent: it may have ended, and is not given out again.

        :param again: it was new, in the place of one that was refused; the next ones are not replaced for a while.
        """

    async def revoke(trust_id: str) -> None:
        """End a trust; one that does not exist is no error.

        :raises IdentityUnavailable: it may still hold.
        """


class IAsker(Interface):
    """Whoever has asked for something and waits for the answer."""

    left: bool = Attribute("Whether there may be nobody any more to take the answer.")
    until_s: float | None = Attribute(
        "When what lets them ask ends, in seconds since the epoch; ``None``: it does not, or they have left by then."
    )

    def when_left(call: Callable[[], None]) -> Callable[[], None]:
        """Have something called when that comes to be so.

        :return: takes that back, which has to be done once.
        """


class IWaits(Interface):
    """Has requests wait for messages."""

    async def until_found(
        place: Place,
        wait_s: int,
        asker: IAsker | None,
        look: Callable[[], Awaitable[T]],
        is_found: Callable[[T], object],
        *,
        takes: bool,
    ) -> T:
        """Look for something until it is there.

        :param wait_s: after so many seconds the answer is what the last look has given.
        :param asker: once they have left, or may ask no more, likewise; ``None``: they do not.
        :param look: one look at the store; what it raises ends the wait.
        :param is_found: whether a look has given what is waited for.
        :param takes: whether a look takes something out of the queue, so that one who looks is enough.
        :raises TooManyRequests: there would be too many who wait.
        """


class IListener(Interface):
    """A connection that takes pushes: a WebSocket."""

    uri: str = Attribute("What it is called as a subscriber; unique to the connection.")
    takes: bool = Attribute(
        "Whether it is to be pushed to now; else it has not read what it was sent, or is still to be answered."
    )

    def when_takes(call: Callable[[], None]) -> None:
        """Call something once, in a turn in which it takes pushes again.  Where it never does, that is not called."""

    def push(*messages: IPushed) -> None:
        """Send notifications after the answers to all requests that came before.  It takes effect in the order of calls."""

    def fail(reason: str) -> None:
        """Close, since pushes were missed; the client has to connect and subscribe again."""


class IPushed(Interface):
    """A notification in each of the forms that sockets have; each is made once for all of them."""

    text: bytes = Attribute("As JSON text.")
    packed: bytes = Attribute("As MessagePack.")


class ISockets(Interface):
    """The subscriptions of the sockets of this process: they get what is posted, through whichever gateway."""

    name: str = Attribute("Of this gateway process; no other has it, nor has had it.")

    def add(place: Place, subscription_id: str, cursor: str, listener: IListener) -> None:
        """Push to a listener what is posted after a cursor, until its subscription ends or it is gone."""

    def hold(
        place: Place, subscription_id: str, listener: IListener, gone: Callable[[], None]
    ) -> Callable[[], None]:
        """Have a subscription of a listener that is delivered to otherwise end with the listener.

        :param gone: called when the listener is gone, and the subscription is being ended.
        :return: ends the subscription before; does no harm after.
        """

    def gone(listener: IListener) -> None:
        """End all subscriptions of a listener."""


class ILiveSubscription(Interface):
    """A live subscription or a worker, as whoever has made it speaks to it.

    Ids of what is not outstanding are ignored, and not counted; so are those of what only an earlier connection was sent.
    """

    is_worker: bool = Attribute("Whether messages are claimed for it.")

    async def acknowledge(ids: Sequence[str]) -> int:
        """Messages are done.

        :return: how many.
        :raises RuleBroken: nothing is acknowledged here.
        :raises Conflict: somebody else has attached the durable name; nothing was noted.
        """

    def up_to(message_id: str) -> Sequence[str]:
        """What is outstanding and was sent no later than a message, which itself may be done already."""

    async def refuse(ids: Sequence[str], delay_s: int) -> int:
        """Messages are to come again, after a delay.

        :return: how many.
        """

    async def extend(ids: Sequence[str], deadline_s: int) -> int:
        """Messages are given a new deadline, from now.

        :return: how many.
        """

    def resize(window: int) -> None:
        """Change the window.

        :raises RuleBroken: there is none.
        """


class ILive(Interface):
    """The live subscriptions and the workers of the sockets of this process.  They are subscriptions in the store as well."""

    async def subscribe(
        place: Place, subscription_id: str, terms: LiveTerms, listener: IListener, messages: IMessageStore
    ) -> Begun:
        """Deliver to a listener until the subscription ends or it is gone.

        :param messages: as the listener is to see them.
        :raises QuotaExceeded: the durable name is new, and the queue has as many as it may have.
        """

    async def work(
        place: Place,
        subscription_id: str,
        terms: WorkTerms,
        listener: IListener,
        messages: IMessageStore,
        claims: IClaimStore,
    ) -> Begun:
        """Claim messages for a listener until the subscription ends or it is gone.

        :param messages: as the listener is to see them.
        :param claims: likewise.
        """

    def find(place: Place, listener: IListener) -> ILiveSubscription | None:
        """What a listener has in a queue, ``None`` where that is nothing, or a plain subscription.

        :raises Conflict: its durable name was attached by somebody else.
        """

    def deleted(place: Place, listener: IListener, message_id: str) -> None:
        """A listener has deleted a message, which may be one that was claimed for it."""

    def released(place: Place, listener: IListener, claim_id: str) -> None:
        """A listener has released a claim, which may be one that was made for it."""

    async def unsubscribed(place: Place, listener: IListener, subscription_id: str) -> None:
        """A listener has deleted a subscription, which may be its own, and then has ended.

        Returns when what it held is given back, as far as the store does that.
        """


class IDelivered(IPushed):
    """A message of a queue in each of the forms that listeners have; each is made once for all of them."""

    id: str = Attribute("Of the message.")
    client: bytes = Attribute("Who posted it, as :class:`~zaqar_gateway.model.Context` has it.")
    message: Message = Attribute("What is stored, without claims; its age is that of when it was read.")

    def encoded(form: Callable[[Place, Message], bytes]) -> bytes:
        """What a form makes of it."""


class IQueueListener(Interface):
    """Is told of what is posted to a queue, in the order of the queue.

    It is called in turns of the reactor of their own, never from within a call to its reading.  Its methods may end the
    reading.  They do not raise: whose does is told by :meth:`failed`.
    """

    wants: int = Attribute("How many messages it takes now; with 0 it is left where it stands until it resumes.")

    def deliver(messages: Sequence[IDelivered]) -> None:
        """Take what comes next: one message at least, ``wants`` at most."""

    def gap(after: str, continues_at: str | None) -> None:
        """Be told that messages are gone that were not delivered; comes before the delivery of what follows.

        :param after: a marker behind which that is.
        :param continues_at: the id of the next message, ``None`` where there is none now.
        """

    def failed(reason: str) -> None:
        """Be told that the reading has ended since it cannot go on; the text is for the client."""


class IReading(Interface):
    """A listener's place in a queue."""

    marker: str = Attribute("Where it stands: all that is before was delivered, or a gap was told.")

    def resume() -> None:
        """Say that the listener takes something again."""

    def end() -> None:
        """Tell the listener of nothing more; does no harm when it has ended."""


class IQueueReaders(Interface):
    """Reads queues and topics for all who listen in this process: what stands at one place is read once for all."""

    def attach(
        place: Place, marker: str, listener: IQueueListener, messages: IMessageStore | None = None
    ) -> IReading:
        """Tell a listener of what is posted to a place, from now until it ends that.

        :param marker: from where, as :meth:`IMessageStore.read` has it.  ``LATEST`` is when it is first read, which is
            later than now: whoever promises anything to a client asks the store for the marker before.
        :param messages: where given, the messages as this listener alone is to see them.
        """


class INotifier(Interface):
    """Delivers to subscribers of some schemes.

    An entry point of the group ``zaqar_gateway.notifiers`` names a callable: (its table ``[notifier.NAME]`` as a
    dictionary, reactor) to one of these.  It raises :exc:`ValueError` for settings that it cannot use; the text says
    what is wrong and what would be right.  Every installed one is used; ``transport.subscriber_types`` has to name its
    schemes for subscriptions to have them.
    """

    schemes: Sequence[str] = Attribute("The schemes of subscribers that it delivers to, in lower case.")

    def check(subscriber: str, options: dict[str, object]) -> None:
        """Look at a subscriber and the options of its subscription, before they are stored.

        :raises RuleBroken: nothing could be delivered there; the text names the field, what is wrong and what would be
            right.
        """

    async def send(delivery: Delivery) -> Verdict:
        """Try once.  It has to end by itself within some time, and does not raise for what the other side does.

        One that raises, or gives anything else, has failed: that is logged, and another attempt is made.
        """


class ITokens(Interface):
    """Finds out whose a token is (API reference, "Keystone authentication")."""

    age_max_s: float = Attribute("For how many seconds what was found out is taken as true.")

    def known(token: str) -> Caller | None:
        """Whose a token is, where that was found out lately; this asks nobody.

        :raises Unauthorized: it was found out lately that the token is not valid.
        """

    async def identify(token: str, place: str = "") -> Caller:
        """Whose a token is.

        :param place: where whoever brings it is, as connections are counted; empty: nobody counts there.
        :raises Unauthorized: the token is not valid, or has ended.
        :raises IdentityUnavailable: that cannot be found out now.
        """


class ISignIn(Interface):
    """Gets tokens from the identity service for people."""

    async def with_password(login: Login) -> SignedIn:
        """A new token of a user, for a project.

        :raises Unauthorized: the identity service says no; it does not say to what.
        :raises IdentityUnavailable: it does not answer.
        """

    async def with_token(token: str) -> SignedIn:
        """Whose a token is.

        :raises Unauthorized: the token is not valid, or has ended.
        :raises ProjectMissing: it is good for no project.
        :raises IdentityUnavailable: that cannot be found out now.
        """


class IIdentity(Interface):
    """Finds out who asks, from what a request carries."""

    def identify(headers: dict[bytes, bytes]) -> Context:
        """Who asks, by request headers with lower-case names.

        :raises Unauthorized: nobody is identified.
        :raises BadRequest: what identifies the caller is missing or malformed.
        """
