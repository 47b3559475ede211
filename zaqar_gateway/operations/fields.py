"""The fields of each operation: names, types, what is optional.  Everything else about an operation is in its row of
``registry.py``.

Names are those of the WebSocket actions (API reference, "Actions"); a row gives other names that HTTP uses in a query.
:data:`UNSET` marks a field that may be left out; an explicit ``null`` is of the wrong type.
"""

from __future__ import annotations

from typing import Any, TypeVar

from msgspec import UNSET, Raw, Struct, UnsetType, field

T = TypeVar("T")
OptionalInt = int | UnsetType
OptionalStr = str | UnsetType


class Nothing(Struct, frozen=True):
    """No fields."""


class Queue(Struct, frozen=True):
    """A queue and nothing else."""

    queue_name: str


class QueueList(Struct, frozen=True):
    """``filters`` compare metadata keys; ``name`` is a part of the name."""

    marker: str = ""
    limit: OptionalInt = UNSET
    detailed: bool = False
    name: str = ""
    with_count: bool = False
    filters: dict[str, str] = field(default_factory=dict)


class QueueCreate(Struct, frozen=True):
    """``metadata`` is a JSON object as text."""

    queue_name: str
    metadata: Raw | UnsetType = UNSET


class QueueUpdate(Struct, frozen=True):
    """``changes`` is a document of the PATCH dialect as text."""

    queue_name: str
    changes: Raw


class QueuePurge(Struct, frozen=True):
    """``resource_types`` left out: all of them.

    :ivar strict: refuse types that do not exist, as on HTTP.
    """

    queue_name: str
    resource_types: list[str] | UnsetType = UNSET
    strict: bool = False


class QueueShare(Struct, frozen=True):
    """``document`` is a JSON object as text; its members are looked at by the operation."""

    queue_name: str
    document: Raw


class Posted(Struct):
    """A message to be posted.

    :ivar delay: as text, since only queues that know a delay look at it.
    """

    body: Raw
    ttl: OptionalInt = UNSET
    delay: Raw | UnsetType = UNSET
    idempotency_key: OptionalStr = UNSET


class MessagePost(Struct, frozen=True):
    """``messages`` is a JSON array as text; its elements are looked at by the operation.

    :ivar posted: these, where they were decoded with what is around them, and ``size`` is given; ``messages`` then is ``UNSET``.
    :ivar size: bytes that are held against the limits; ``UNSET``: those of ``messages``.
    :ivar delays: whether an element may bring its own delay, as on HTTP.
    :ivar idempotency_key: under which the whole is posted once.
    """

    queue_name: str
    messages: Raw | UnsetType = UNSET
    posted: list[Posted] | UnsetType = UNSET
    size: OptionalInt = UNSET
    delays: bool = False
    idempotency_key: OptionalStr = UNSET


class MessageList(Struct, frozen=True):
    """Flags are false unless given; ``wait`` in seconds."""

    queue_name: str
    marker: OptionalStr = UNSET
    limit: OptionalInt = UNSET
    echo: bool = False
    include_claimed: bool = False
    include_delayed: bool = False
    wait: OptionalInt = UNSET


class MessageEvents(Struct, frozen=True):
    """``last_event_id`` wins over ``marker``."""

    queue_name: str
    marker: OptionalStr = UNSET
    last_event_id: OptionalStr = UNSET
    echo: bool = False


class MessageGet(Struct, frozen=True):
    """One message."""

    queue_name: str
    message_id: str


class MessageGetMany(Struct, frozen=True):
    """Messages by id."""

    queue_name: str
    message_ids: list[str]


class MessageDelete(Struct, frozen=True):
    """One message, with the claim that it is under.

    :ivar listener: the connection that asks, for which it may have been claimed.
    """

    queue_name: str
    message_id: str
    claim_id: OptionalStr = UNSET
    listener: Any = None


class MessageDeleteMany(Struct, frozen=True):
    """Exactly one of ``message_ids`` and ``pop``; ``wait`` in seconds, with ``pop``.

    :ivar listener: see :class:`MessageDelete`.
    """

    queue_name: str
    message_ids: list[str] | UnsetType = UNSET
    pop: OptionalInt = UNSET
    claim_ids: list[str] | UnsetType = UNSET
    wait: OptionalInt = UNSET
    listener: Any = None


class ClaimCreate(Struct, frozen=True):
    """``ttl``, ``grace`` and ``wait`` in seconds; what is left out is the configured default, or no wait."""

    queue_name: str
    limit: OptionalInt = UNSET
    ttl: OptionalInt = UNSET
    grace: OptionalInt = UNSET
    wait: OptionalInt = UNSET


class Claim(Struct, frozen=True):
    """One claim."""

    queue_name: str
    claim_id: str


class ClaimDelete(Struct, frozen=True):
    """One claim.

    :ivar listener: the connection that asks, for which it may have been made.
    """

    queue_name: str
    claim_id: str
    listener: Any = None


class ClaimUpdate(Struct, frozen=True):
    """``ttl`` and ``grace`` in seconds; what is left out is the configured default, not the claim's value."""

    queue_name: str
    claim_id: str
    ttl: OptionalInt = UNSET
    grace: OptionalInt = UNSET


class DeadLetterList(Struct, frozen=True):
    """``marker`` is the id of a message."""

    queue_name: str
    marker: OptionalStr = UNSET
    limit: OptionalInt = UNSET


class DeadLetterReturn(Struct, frozen=True, forbid_unknown_fields=True):
    """Exactly one of ``ids`` and ``limit``; whatever else there is but these fields is refused, since a ``destination`` that is
    misspelt would send messages to elsewhere.

    :ivar destination: the queue that they go to; left out: each to where it came from.
    :ivar rate: how many of them become deliverable in a second; left out: all at once.
    """

    queue_name: str
    ids: list[str] | UnsetType = UNSET
    limit: OptionalInt = UNSET
    destination: OptionalStr = UNSET
    rate: float | UnsetType = UNSET


class SubscriptionCreate(Struct, frozen=True):
    """A subscriber, a ttl in seconds and options, of whatever type they came; the operation looks at them.

    :ivar confirmable: whether the subscriber may be asked to confirm, as on HTTP.
    :ivar listener: the connection that asks (:class:`~zaqar_gateway.interfaces.IListener`), which subscribes itself
        where there is no subscriber; ``None`` where it cannot.
    :ivar start: with this and the following fields the connection gets a live subscription, with ``claim`` it is a worker.
    """

    queue_name: str
    subscriber: Any = UNSET
    ttl: Any = UNSET
    options: Raw | UnsetType = UNSET
    start: Any = UNSET
    durable: Any = UNSET
    window: Any = UNSET
    acknowledge: Any = UNSET
    deadline: Any = UNSET
    echo: Any = UNSET
    claim: Any = UNSET
    confirmable: bool = False
    listener: Any = None


class LiveAcknowledge(Struct, frozen=True):
    """Exactly one of ``message_ids`` and ``up_to``.

    :ivar listener: the connection that asks.
    """

    queue_name: str
    message_ids: list[str] | UnsetType = UNSET
    up_to: OptionalStr = UNSET
    listener: Any = None


class LiveRefuse(Struct, frozen=True):
    """``delay`` in seconds."""

    queue_name: str
    message_ids: list[str]
    delay: int = 0
    listener: Any = None


class LiveExtend(Struct, frozen=True):
    """``deadline`` in seconds."""

    queue_name: str
    message_ids: list[str]
    deadline: int
    listener: Any = None


class LiveWindow(Struct, frozen=True):
    """``window`` in messages."""

    queue_name: str
    window: int
    listener: Any = None


class Durable(Struct, frozen=True):
    """A durable name of a queue."""

    queue_name: str
    durable: str


class SubscriptionList(Struct, frozen=True):
    """``marker`` is the id of a subscription."""

    queue_name: str
    marker: str = ""
    limit: OptionalInt = UNSET


class Subscription(Struct, frozen=True):
    """One subscription."""

    queue_name: str
    subscription_id: str


class SubscriptionDelete(Struct, frozen=True):
    """One subscription.

    :ivar listener: the connection that asks, which may be what is subscribed.
    """

    queue_name: str
    subscription_id: str
    listener: Any = None


class SubscriptionUpdate(Struct, frozen=True):
    """``document`` is a JSON object as text; its members are looked at by the operation."""

    queue_name: str
    subscription_id: str
    document: Raw


class SubscriptionConfirm(Struct, frozen=True):
    """``confirmed`` is of whatever type it came; the operation looks at it."""

    queue_name: str
    subscription_id: str
    confirmed: Any = None


class DeliveryList(Struct, frozen=True):
    """``marker`` is the id of a delivery."""

    queue_name: str
    marker: str = ""
    limit: OptionalInt = UNSET


class DeliveryResend(Struct, frozen=True):
    """``ids`` left out: all of them."""

    queue_name: str
    ids: list[str] | UnsetType = UNSET


class PoolList(Struct, frozen=True):
    """``marker`` is the name of a pool."""

    marker: str = ""
    limit: OptionalInt = UNSET
    detailed: bool = False


class Pool(Struct, frozen=True):
    """One pool."""

    pool_name: str
    detailed: bool = False


class PoolPut(Struct, frozen=True):
    """What is known of a pool, of whatever types it came; the operation looks at it."""

    pool_name: str
    uri: Any = UNSET
    weight: Any = UNSET
    flavor: Any = UNSET
    options: Raw | UnsetType = UNSET


class FlavorList(Struct, frozen=True):
    """``marker`` is the name of a flavor."""

    marker: str = ""
    limit: OptionalInt = UNSET
    detailed: bool = False


class Flavor(Struct, frozen=True):
    """One flavor."""

    flavor_name: str


class FlavorPut(Struct, frozen=True):
    """The pools of a flavor, of whatever type they came; the operation looks at them.  ``capabilities`` say nothing."""

    flavor_name: str
    pool_list: Any = UNSET
    capabilities: Any = UNSET


def given(value: T | UnsetType) -> T | None:
    """The value, or ``None`` where the field was left out."""
    return None if value is UNSET else value
