"""Values that the parts of the gateway exchange.  All are immutable, all are free of I/O.

Durations are whole seconds; instants are milliseconds since the epoch; bodies and metadata are JSON text as bytes.
They are :class:`msgspec.Struct` and not attrs classes because one is made for each message that passes: construction
takes a quarter of the time, and a transport encodes a struct of its own from them without a dictionary between.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Any, Literal

import msgspec

DURATION_MAX_S = 2**31 - 1
"""The longest duration that anything may have, in seconds."""

NO_ROLES: frozenset[str] = frozenset()


def roles_of(text: str) -> frozenset[str]:
    """The roles in a header: separated by commas, in lower case (API reference, "Request headers")."""
    return frozenset(role for part in text.split(",") if (role := part.strip().lower()))


class Context(msgspec.Struct, frozen=True, gc=False):
    """Who asks.

    :ivar project: the project (tenant) in which everything happens.
    :ivar client: the client instance in canonical bytes (:func:`zaqar_gateway.limits.ClientIds.canonical`), which is
        compared when a listing leaves out a client's own messages; empty where the operation does not need it.
    :ivar roles: names of roles in lower case.
    :ivar user: the id of the user, empty where nobody is known.
    :ivar token: what the caller showed who they are with, empty where nothing was shown; a secret.
    :ivar asker: where the request may have to wait, whoever waits for its answer
        (:class:`~zaqar_gateway.interfaces.IAsker`).
    """

    project: str
    client: bytes = b""
    roles: frozenset[str] = NO_ROLES
    user: str = ""
    token: str = ""
    asker: Any = None

    def __repr__(self) -> str:
        return f"Context({self.project!r}, {self.client!r}, {self.roles!r}, {self.user!r})"  # and no token


class Caller(msgspec.Struct, frozen=True, gc=False):
    """Whose a token is.

    :ivar project: the project that the token is good for, empty where it is good for none.
    :ivar user: the id of the user.
    :ivar roles: names of the roles in that project, in lower case.
    :ivar expires_s: when the token ends, in seconds since the epoch.
    """

    project: str
    user: str
    roles: frozenset[str]
    expires_s: int


class SignedIn(msgspec.Struct, frozen=True, gc=False):
    """A token, and whose it is, as whoever signs in is told.

    :ivar token: a secret.
    :ivar caller: whose it is.
    :ivar user_name: the name of the user; empty: only the id was found out.
    :ivar project_name: the same of the project.
    """

    token: str
    caller: Caller
    user_name: str = ""
    project_name: str = ""

    def __repr__(self) -> str:
        return f"SignedIn({self.caller!r}, {self.user_name!r}, {self.project_name!r})"  # and no token


class Login(msgspec.Struct, frozen=True, gc=False):
    """A user with a password who wants a token for a project.

    :ivar password: a secret.
    :ivar domain: the name of the domain that the user is in; empty: the domain with the id ``default``.
    :ivar project: its name.
    :ivar project_domain: the name of the domain that the project is in; empty: that of the user.
    """

    user: str
    password: str
    project: str
    domain: str = ""
    project_domain: str = ""

    def __repr__(self) -> str:
        return f"Login({self.user!r}, {self.project!r}, {self.domain!r}, {self.project_domain!r})"  # and no password


ENCRYPTED = b"\x01"
"""How an encrypted body begins, and no JSON text does (RFC 8259, section 2)."""

KEY_ID_SIZE = 4
"""Bytes after ``ENCRYPTED`` that say which key an encrypted body wants."""


class QueueRules(msgspec.Struct, frozen=True, gc=False):
    """What a queue's reserved metadata ask of the store (API reference, reserved keys).  ``None`` is "not set".

    :ivar message_ttl_s: ttl of messages posted without one.
    :ivar post_size_max: largest post in bytes.
    :ivar message_delay_s: 0 where the queue knows no delay.
    :ivar claim_count_max: how many claims hand a message out before it is moved; only with ``dead_letter_queue``.
    :ivar dead_letter_queue: where it is moved to, a valid name other than the queue's own.
    :ivar dead_letter_ttl_s: the ttl that a moved message gets; ``None``: it keeps its own.
    :ivar encrypted: whether only bodies that are encrypted are taken, or else only such that are not.
    :ivar retry_policy: how deliveries to subscribers are tried again: a JSON object as text, empty where there is none.
    :ivar flavor: of the pools that a new queue may be put in; ``None``: those without a flavor.  Without pools it says
        nothing.
    """

    message_ttl_s: int | None = None
    post_size_max: int | None = None
    message_delay_s: int = 0
    claim_count_max: int | None = None
    dead_letter_queue: str | None = None
    dead_letter_ttl_s: int | None = None
    encrypted: bool = False
    retry_policy: bytes = b""
    flavor: str | None = None


NO_RULES = QueueRules()


class NewMessage(msgspec.Struct, frozen=True, gc=False):
    """A message to be posted.

    :ivar body: JSON text, checked by the caller, kept byte for byte.
    :ivar ttl_s: ``None``: the queue's, else the configured default.
    :ivar delay_s: ``None``: the queue's; dropped where the queue knows no delay.
    """

    body: bytes
    ttl_s: Annotated[int, msgspec.Meta(ge=1, le=DURATION_MAX_S)] | None = None
    delay_s: Annotated[int, msgspec.Meta(ge=0, le=DURATION_MAX_S)] | None = None


class Once(msgspec.Struct, frozen=True, gc=False):
    """Keys under which messages are posted once: what comes with a key that counts is known and is not stored again.

    :ivar window_s: for how long a key counts, from the post that it came with first.
    :ivar most: how many keys are kept of a queue, or topic, at one time; 0: only what is known is answered.
    :ivar key: of a whole post; empty: the messages have keys of their own.
    :ivar keys: those, in their order; empty for a message without one.
    """

    window_s: int
    most: int
    key: str = ""
    keys: tuple[str, ...] = ()


class NewPost(msgspec.Struct, frozen=True, gc=False):
    """Messages to be posted together, and on which terms.

    :ivar client: who posts, in the canonical bytes of :class:`Context`.
    :ivar size: of the whole post in bytes, held against the smaller of the queue's own limit and ``size_max``.
    :ivar ttl_default_s: for messages without a ttl in a queue without a default.
    :ivar encrypted: whether the bodies are encrypted, which has to be as the queue's rules say.
    :ivar create: whether a missing queue is created.
    :ivar once: keys, of any client, by which what was posted before in this queue is left out; of messages of one post
        with the same key the first one counts.  A purge forgets no key, the end of the queue all.
    """

    client: bytes
    messages: Sequence[NewMessage]
    size: int
    ttl_default_s: int
    size_max: int
    encrypted: bool = False
    create: bool = True
    once: Once | None = None


class Replayed(list[str]):
    """The ids of messages that were posted before, all of them, under the keys that they came with."""


class DeadLetter(msgspec.Struct, frozen=True, gc=False):
    """Why a message was moved to a dead letter queue.

    :ivar queue: where it was moved from, the last time.
    :ivar reason: :data:`CLAIMED_TOO_OFTEN`; there is no other yet.
    :ivar moved_ms: when it was moved.
    """

    queue: str
    reason: str
    moved_ms: int


CLAIMED_TOO_OFTEN = "claims"


class Message(msgspec.Struct, frozen=True, gc=False):
    """A message as it is stored now.

    :ivar body: JSON text.  A store gives what it was given, which begins with ``ENCRYPTED`` where it is no JSON text;
        :mod:`zaqar_gateway.storage.encryption` then makes the text of it.
    :ivar age_s: whole seconds since it was posted.
    :ivar claim_id: the live claim that holds it, ``None`` where there is none.
    :ivar claim_count: in how many claims it was handed out, counted in queues with a dead letter queue only.
    :ivar stored: what is stored in place of ``body`` where that was encrypted.
    :ivar dead: why it is here, where it was moved here.
    """

    id: str
    body: bytes
    ttl_s: int
    age_s: int
    claim_id: str | None = None
    claim_count: int = 0
    stored: bytes | None = None
    dead: DeadLetter | None = None


class SendBack(msgspec.Struct, frozen=True, gc=False):
    """Which dead letters of a queue go back, and how.

    :ivar ids: those; ``None``: the oldest.
    :ivar limit: at most so many.
    :ivar to: the queue that they go to; ``None``: each to where it was moved from.
    :ivar gap_ms: how much later than the one before each becomes deliverable.
    :ivar sent: how many went before these; the first becomes deliverable after so many gaps.
    """

    ids: tuple[str, ...] | None
    limit: int
    to: str | None = None
    gap_ms: float = 0
    sent: int = 0

    def after(self, number: int) -> SendBack:
        """The rest, when so many more went."""
        return msgspec.structs.replace(self, limit=self.limit - number, sent=self.sent + number)


class SentBack(msgspec.Struct, frozen=True, gc=False):
    """What became of a :class:`SendBack`.

    :ivar number: how many went back.
    :ivar remaining: how many dead letters the queue has left, claimed ones too.
    :ivar missing: the queue that the next one would go to, where that is missing and was not to be created.
    """

    number: int
    remaining: int
    missing: str | None = None


class Letter(msgspec.Struct, frozen=True, gc=False):
    """A dead letter on its way to another store.

    :ivar place: its place in the dead letter queue in the form of an id; no other letter has it, nor has had it.
    :ivar client: who posted it.
    """

    place: str
    id: str
    body: bytes
    client: bytes
    ttl_s: int
    created_ms: int


class MessagePage(msgspec.Struct, frozen=True, gc=False):
    """A page of a listing.

    :ivar marker: the marker from which the next page goes on: the id of the last message looked at, which need not be
        the last one shown; ``None`` where nothing was looked at.
    :ivar knows_delay: whether the queue has a default delay, so that a listing may leave delayed messages out.
    """

    messages: list[Message]
    marker: str | None
    knows_delay: bool = False


EARLIEST, LATEST = "earliest", "latest"
"""Where a queue is read from, besides the ids of messages: from its oldest message; behind all that it has had so far."""


class Posted(msgspec.Struct, frozen=True, gc=False):
    """A message as it was posted, whatever claims and delays have become of it.

    :ivar message: with the ttl that it was posted with, no claim and no count of claims.
    :ivar client: who posted it, as :class:`Context` has it.
    """

    message: Message
    client: bytes


class StreamPage(msgspec.Struct, frozen=True, gc=False):
    """A page of what was posted to a queue.

    :ivar posted: in the order of the queue.
    :ivar marker: from which to go on.
    :ivar gap: whether a message behind the marker that was given has expired, or was removed, before this page; or may have
        been, since the queue is not the one that the marker is of.
    :ivar cut: the marker of the greatest place from which a message is gone, so that a reader may tell of one gap once.
    :ivar more: whether more follows.
    """

    posted: list[Posted]
    marker: str
    gap: bool
    cut: str
    more: bool


class Claim(msgspec.Struct, frozen=True, gc=False):
    """A claim and the messages that it holds, oldest first.

    :ivar age_s: whole seconds since creation or the last renewal.
    """

    id: str
    ttl_s: int
    age_s: int
    messages: list[Message]


class StatsEdge(msgspec.Struct, frozen=True, gc=False):
    """The oldest or the newest message of a queue."""

    id: str
    age_s: int
    created_ms: int


class QueueStats(msgspec.Struct, frozen=True, gc=False):
    """Exact counts of the live messages of a queue; ``free`` includes the delayed ones."""

    free: int
    claimed: int
    oldest: StatsEdge | None = None
    newest: StatsEdge | None = None

    @property
    def total(self) -> int:
        """All live messages."""
        return self.free + self.claimed


class QueueEntry(msgspec.Struct, frozen=True, gc=False):
    """A queue in a listing; ``metadata`` is a JSON object as stored."""

    name: str
    metadata: bytes


class SignedUrl(msgspec.Struct, frozen=True, gc=False):
    """Access that somebody signed, or claims to have: methods on paths of a project until an instant.

    The names are those of the answer that gives it (API reference, "share").

    :ivar expires: ISO 8601; where we signed it ``YYYY-MM-DDTHH:MM:SS`` in UTC.
    :ivar signature: a secret of whoever may use it.
    """

    paths: tuple[str, ...]
    methods: tuple[str, ...]
    project: str
    expires: str
    signature: str


class Call(msgspec.Struct, frozen=True, gc=False):
    """An operation on messages or on claims, as message filters see it: accepted by the rules of the API, not yet run.

    :ivar name: ``post``, ``list``, ``read`` (a page for whoever listens to a queue), ``get`` (by id, one or several),
        ``delete``, ``delete_many``, ``pop``; ``claim_create``, ``claim_get``, ``claim_update``, ``claim_release``;
        ``dead_letter_list``, ``dead_letter_return``.
    :ivar message_ids: the messages that it names.
    :ivar claim_ids: the claims that it names.
    :ivar limit: the most messages that it shows, takes or claims; ``None`` where it has no such bound.
    """

    name: str
    place: Place
    message_ids: Sequence[str] = ()
    claim_ids: Sequence[str] = ()
    limit: int | None = None


class Volume(msgspec.Struct, frozen=True, gc=False):
    """Messages in the whole store."""

    free: int
    claimed: int

    @property
    def total(self) -> int:
        """All live messages."""
        return self.free + self.claimed


# -- subscriptions and what is owed to subscribers ---------------------------------------------------------------------


class Place(msgspec.Struct, frozen=True, gc=False):
    """A queue or a topic of a project."""

    project: str
    name: str
    is_topic: bool = False


# -- pools ---------------------------------------------------------------------------------------------------------------


class Pool(msgspec.Struct, frozen=True, gc=False):
    """A store that queues and topics are put in.

    :ivar uri: of the store, as it was given; it may hold a password.
    :ivar weight: its share of new queues, among the pools that these may be put in; with 0 it gets none.
    :ivar flavor: ``None``: it is for queues without a flavor.
    :ivar options: a JSON object as text.
    """

    name: str
    uri: str
    weight: int
    flavor: str | None = None
    options: bytes = b"{}"

    def __repr__(self) -> str:
        return f"Pool({self.name!r}, {self.weight!r}, {self.flavor!r})"  # and no password


class PoolChange(msgspec.Struct, frozen=True, gc=False):
    """What becomes different in a pool; ``None``: that stays.  An empty flavor is none."""

    uri: str | None = None
    weight: int | None = None
    flavor: str | None = None
    options: bytes | None = None


class Flavor(msgspec.Struct, frozen=True, gc=False):
    """A set of pools; ``pools`` has their names, in order."""

    name: str
    pools: tuple[str, ...]


class Placement(msgspec.Struct, frozen=True, gc=False):
    """In which pool a queue or topic is.

    :ivar pool: empty: in the configured store.
    :ivar left_ms: where it was deleted, the instant from which on the placement may be forgotten; ``None``: it holds.
    """

    pool: str
    left_ms: int | None = None


class NewSubscription(msgspec.Struct, frozen=True, gc=False):
    """A subscription to be made.

    :ivar subscriber: the URI as it was given; unique among the live subscriptions of a place, compared as text.
    :ivar options: a JSON object as text.
    :ivar owner: the gateway process to one of whose sockets it belongs; empty: its subscriber is sent what is posted.
    :ivar confirmed: whether it begins as confirmed.
    :ivar notice_s: where given, a confirmation is asked of the subscriber, who may answer it for so many seconds.
    """

    subscriber: str
    ttl_s: int
    options: bytes = b"{}"
    owner: str = ""
    confirmed: bool = False
    notice_s: int | None = None


class Subscription(msgspec.Struct, frozen=True, gc=False):
    """A live subscription.

    :ivar age_s: whole seconds since it was made.
    :ivar options: a JSON object as text.
    :ivar owner: see :class:`NewSubscription`.
    """

    id: str
    subscriber: str
    ttl_s: int
    age_s: int
    options: bytes
    confirmed: bool
    owner: str = ""


class Placed(msgspec.Struct, frozen=True, gc=False):
    """What became of a :class:`NewSubscription`.

    :ivar id: of the subscription that has this subscriber now.
    :ivar is_new: whether it was made just now; else it was there before and is as it was.
    :ivar confirmed: whether that one is confirmed.
    :ivar cursor: of the last post before it; what is posted later belongs to it.
    """

    id: str
    is_new: bool
    confirmed: bool
    cursor: str


class LiveTerms(msgspec.Struct, frozen=True, gc=False):
    """How a live subscription delivers.

    :ivar marker: an id behind which it begins; of a durable name only where that is new.
    :ivar ttl_s: how long a durable name is kept while nobody holds it.
    :ivar durable: the durable name, empty: there is none.
    :ivar window: the most messages sent and not done; ``None``: nothing is acknowledged.
    :ivar deadline_s: after how long what is not done is sent again.
    :ivar skip_client: whose messages are left out, as :class:`Context` has it; empty: nobody's.
    :ivar earliest: whether it begins at the oldest message, behind the marker or not, so that nothing before that is missed.
    """

    marker: str
    ttl_s: int
    durable: str = ""
    window: int | None = None
    deadline_s: int = 30
    skip_client: bytes = b""
    earliest: bool = False


class WorkTerms(msgspec.Struct, frozen=True, gc=False):
    """How messages are claimed for a worker: ttl and grace of the claims, and how many it has at one time."""

    ttl_s: int
    grace_s: int
    window: int


class Begun(msgspec.Struct, frozen=True, gc=False):
    """How a live subscription has begun.

    :ivar marker: an id behind which it begins, with what is not done where it goes on; ``None`` for a worker.
    :ivar resumed: whether the durable name was there.
    """

    marker: str | None
    durable: str | None
    window: int | None
    resumed: bool = False


class Attached(msgspec.Struct, frozen=True, gc=False):
    """What a durable name stands for when somebody has attached it.

    :ivar is_new: whether it was made just now.
    :ivar marker: the id up to which all messages were given to it.
    :ivar pending: ids of those among them that are not done, in the order in which they were given.
    """

    is_new: bool
    marker: str
    pending: list[str]


class Durable(msgspec.Struct, frozen=True, gc=False):
    """A durable name of a queue.

    :ivar marker: see :class:`Attached`.
    :ivar pending: how many messages were given to it and are not done.
    :ivar attached: whether somebody holds it.
    :ivar expires_in_s: after how many seconds it is forgotten where nobody says anything more of it.
    """

    name: str
    marker: str
    pending: int
    attached: bool
    expires_in_s: int


class LogBounds(msgspec.Struct, frozen=True, gc=False):
    """How much the log of posts of one place keeps for subscribers that lag behind; the oldest posts are lost beyond it.

    :ivar bytes_max: bytes of the bodies as they are stored, and 64 for each post.
    """

    bytes_max: int = 256 * 2**20
    age_max_s: int = 14 * 86400


class Quotas(msgspec.Struct, frozen=True, gc=False):
    """How much may be stored; 0 is any amount.  Queues and topics have the same bounds, and are counted apart.

    :ivar queues: of a project.
    :ivar messages_per_queue: messages, whatever their state, that have not expired.
    :ivar bytes_per_queue: bytes of the bodies of those as they are stored.
    :ivar subscriptions_per_queue: subscriptions that are live.
    :ivar counts_bytes: whether bytes are counted although ``bytes_per_queue`` is 0, for
        :meth:`~zaqar_gateway.interfaces.IQueueStore.usage`.
    :ivar counts_subscriptions: whether they are counted, for
        :meth:`~zaqar_gateway.interfaces.ISubscriptionStore.count`.
    """

    queues: int = 0
    messages_per_queue: int = 0
    bytes_per_queue: int = 0
    subscriptions_per_queue: int = 0
    counts_bytes: bool = False
    counts_subscriptions: bool = False


class Usage(msgspec.Struct, frozen=True, gc=False):
    """What the queues of a project hold.

    :ivar messages: as :class:`Quotas` counts them.
    :ivar bytes: the same; of queues in which they are counted.
    """

    messages: int
    bytes: int


class Draw(msgspec.Struct, frozen=True, gc=False):
    """What is asked of one bucket of tokens.  The bucket gets ``per_s`` tokens a second until it has ``burst``.

    :ivar owed: taken in any case, so that the bucket may have less than nothing afterwards; below 0: given back.
    :ivar wanted: taken as far as there is.
    :ivar enough: where there is less than ``wanted``, how many tokens make another draw worth while.
    """

    per_s: float
    burst: int
    owed: int
    wanted: int
    enough: int


class Drawn(msgspec.Struct, frozen=True, gc=False):
    """What came of a :class:`Draw`.

    :ivar granted: how much of what was wanted was taken.
    :ivar wait_ms: after what time there are enough tokens again; 0 where all that was wanted was taken.
    """

    granted: int
    wait_ms: int


class BackendSettings(msgspec.Struct, frozen=True):
    """What a storage backend is made from.

    :ivar uri: ``storage.uri``; may hold a password.
    :ivar durability: what is certain once a request is answered.  ``memory``: what was done survives the end of this
        process; ``fsync``: it is on the disk.
    :ivar log: how much :class:`~zaqar_gateway.interfaces.IDeliveryStore` keeps.
    :ivar quotas: beyond which :exc:`~zaqar_gateway.errors.QuotaExceeded` is raised.
    """

    uri: str
    durability: Literal["memory", "fsync"] = "memory"
    log: LogBounds = LogBounds()
    quotas: Quotas = Quotas()


CONFIRM = "SubscriptionConfirmation"
UNSUBSCRIBE = "UnsubscribeConfirmation"
"""Kinds of notices (API reference, "Confirmation messages")."""


class Post(msgspec.Struct, frozen=True, gc=False):
    """An entry of the log of posts of a place: what its subscribers are told.

    :ivar cursor: its position; cursors of one place are of one length and sort in the order of the posts.
    :ivar body: JSON text of the message, as :class:`Message` has it; empty for a notice.
    :ivar delay_s: ``None`` in places that know no delay.
    :ivar notice: the kind of a notice to one subscriber, empty for a message.
    :ivar until_s: until when what a notice asks may be answered; seconds since the epoch.
    """

    cursor: str
    body: bytes
    ttl_s: int = 0
    delay_s: int | None = None
    notice: str = ""
    until_s: int = 0


class LogPage(msgspec.Struct, frozen=True, gc=False):
    """A page of the log of posts.

    :ivar cursor: from which to read on.
    :ivar gap: whether posts between the cursor that was given and the first of these are lost.
    :ivar version: changes whenever a subscription of the place is changed or ends.
    """

    posts: list[Post]
    cursor: str
    gap: bool
    version: int


class Owed(msgspec.Struct, frozen=True, gc=False):
    """What a subscriber is owed next, leased to whoever took it.

    :ivar subscription: whose it is.
    :ivar token: of the lease.
    :ivar posts: in order, one at least.
    :ivar attempts: how often delivery of the first of them was tried in vain.
    :ivar retry_policy: of the queue; see :class:`QueueRules`.
    :ivar gap: whether posts before the first were trimmed from the log before they could be delivered.
    """

    place: Place
    subscription: Subscription
    token: int
    posts: list[Post]
    attempts: int = 0
    retry_policy: bytes = b""
    gap: bool = False


class GivenUp(msgspec.Struct, frozen=True, gc=False):
    """A post whose delivery is given up, as a holder of a lease reports it."""

    cursor: str
    attempts: int
    reason: str


class Progress(msgspec.Struct, frozen=True, gc=False):
    """What the holder of a lease has done with what it took.

    :ivar cursor: up to and with this post all is delivered or given up; empty: nothing more than reported before.
    :ivar given_up: which of those were given up.
    :ivar attempts: how often what comes next was tried in vain.
    :ivar wait_ms: where given, the lease ends, and what comes next is due after this time; ``None``: it is kept.
    """

    subscription_id: str
    token: int
    cursor: str = ""
    given_up: tuple[GivenUp, ...] = ()
    attempts: int = 0
    wait_ms: int | None = None


class FailedDelivery(msgspec.Struct, frozen=True, gc=False):
    """A delivery that was given up, kept for the operator.

    :ivar id: sorts in the order in which they were given up, and is a marker.
    :ivar subscriber: as it was then.
    :ivar age_s: whole seconds since it was given up.
    :ivar notice: the kind of the notice that it was, empty for a message.
    """

    id: str
    subscription_id: str
    subscriber: str
    attempts: int
    reason: str
    age_s: int
    notice: str = ""


class Failing(msgspec.Struct, frozen=True, gc=False):
    """A place with deliveries that were given up.

    :ivar count: how many of them are kept.
    """

    place: Place
    count: int


class Delivery(msgspec.Struct, frozen=True, gc=False):
    """One attempt to deliver one thing to one subscriber.

    :ivar id: the same for every attempt at the same thing, and for nothing else.
    :ivar attempt: counts from 1.
    :ivar payload: JSON text (API reference, "Payload" and "Confirmation messages").
    :ivar notice: the kind of a notice, empty for a message.
    :ivar options: those of the subscription, decoded.
    """

    id: str
    place: Place
    subscriber: str
    options: dict[str, object]
    payload: bytes
    attempt: int = 1
    notice: str = ""


class StoreCondition(msgspec.Struct, frozen=True, gc=False):
    """How it stands with a store, for its operator.

    :ivar kind: ``memory``, ``redis``, ``sentinel``, ``cluster`` or ``embedded``, or the scheme of another backend.
    :ivar where: in words, and without a password.
    :ivar is_up: whether it can be asked now; ``None``: nobody knows without asking.
    :ivar since_s: since when, in seconds since the epoch; ``None``: likewise.
    :ivar why_away: why it cannot be used, as far as that is known.
    :ivar keeps: what an acknowledged message survives, in words; empty: it is not known.
    :ivar durability: what the settings ask for.
    :ivar troubles: what there is to mend now, in words.
    :ivar warnings: what it cannot keep as it is set up, in words.
    :ivar waiting: commands without an answer.
    :ivar losses: how often the connection was lost.
    :ivar replicas: how many followed when it was connected, the fewest of a node; ``None``: that is not known.
    :ivar replicas_wanted: how many have to have a message.
    :ivar nodes: of a cluster, by host and port: whether it is connected.
    :ivar process: the process id of what the gateway started for it; ``None``: nothing, or it does not run.
    """

    kind: str
    where: str
    is_up: bool | None = None
    since_s: float | None = None
    why_away: str = ""
    keeps: str = ""
    durability: str = ""
    troubles: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    waiting: int = 0
    losses: int = 0
    replicas: int | None = None
    replicas_wanted: int | None = None
    nodes: dict[str, bool] | None = None
    process: int | None = None


class Report(msgspec.Struct, frozen=True, gc=False):
    """How it stands with one of several processes, for the operators of all.

    :ivar why_not: why it cannot serve requests now; empty: it can.
    :ivar health: the document of its health.
    """

    why_not: str
    health: dict[str, Any]


class Verdict(msgspec.Struct, frozen=True, gc=False):
    """What became of an attempt.

    :ivar ok: whether it was delivered.
    :ivar again: whether another attempt makes sense where it was not.
    :ivar reason: why it was not, for operators: without secrets and bodies.
    """

    ok: bool
    again: bool = False
    reason: str = ""
