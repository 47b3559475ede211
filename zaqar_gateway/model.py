"""Values that the parts of the gateway exchange.  All are immutable, all are free of I/O.

Durations are whole seconds; instants are milliseconds since the epoch; bodies and metadata are JSON text as bytes.
They are :class:`msgspec.Struct` and not attrs classes because one is made for each message that passes: construction
takes a quarter of the time, and a transport encodes a struct of its own from them without a dictionary between.
"""

from __future__ import annotations

import msgspec


class Context(msgspec.Struct, frozen=True, gc=False):
    """Who asks.

    :ivar project: the project (tenant) in which everything happens.
    :ivar client: the client instance in canonical bytes (:func:`zaqar_gateway.limits.ClientIds.canonical`), which is
        compared when a listing leaves out a client's own messages; empty where the operation does not need it.
    :ivar roles: names of roles in lower case.
    :ivar user: the id of the user, empty where nobody is known.
    """

    project: str
    client: bytes = b""
    roles: frozenset[str] = frozenset()
    user: str = ""


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
    """

    message_ttl_s: int | None = None
    post_size_max: int | None = None
    message_delay_s: int = 0
    claim_count_max: int | None = None
    dead_letter_queue: str | None = None
    dead_letter_ttl_s: int | None = None
    encrypted: bool = False


NO_RULES = QueueRules()


class NewMessage(msgspec.Struct, frozen=True, gc=False):
    """A message to be posted.

    :ivar body: JSON text, checked by the caller, kept byte for byte.
    :ivar ttl_s: ``None``: the queue's, else the configured default.
    :ivar delay_s: ``None``: the queue's; dropped where the queue knows no delay.
    """

    body: bytes
    ttl_s: int | None = None
    delay_s: int | None = None


class Message(msgspec.Struct, frozen=True, gc=False):
    """A message as it is stored now.

    :ivar body: JSON text.  A store gives what it was given, which begins with ``ENCRYPTED`` where it is no JSON text;
        :mod:`zaqar_gateway.storage.encryption` then makes the text of it.
    :ivar age_s: whole seconds since it was posted.
    :ivar claim_id: the live claim that holds it, ``None`` where there is none.
    :ivar claim_count: in how many claims it was handed out, counted in queues with a dead letter queue only.
    :ivar stored: what is stored in place of ``body`` where that was encrypted.
    """

    id: str
    body: bytes
    ttl_s: int
    age_s: int
    claim_id: str | None = None
    claim_count: int = 0
    stored: bytes | None = None


class MessagePage(msgspec.Struct, frozen=True, gc=False):
    """A page of a listing.

    :ivar marker: the marker from which the next page goes on: the id of the last message looked at, which need not be
        the last one shown; ``None`` where nothing was looked at.
    :ivar knows_delay: whether the queue has a default delay, so that a listing may leave delayed messages out.
    """

    messages: list[Message]
    marker: str | None
    knows_delay: bool = False


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


class Volume(msgspec.Struct, frozen=True, gc=False):
    """Messages in the whole store."""

    free: int
    claimed: int

    @property
    def total(self) -> int:
        """All live messages."""
        return self.free + self.claimed
