"""The form of what the transports put together from pieces, so that no type of theirs says it.

Where a transport has a type for what it sends, that is used in place of one of these.  A member is always there unless it may
be ``UNSET``.  The tests hold answers of real gateways against them.
"""

from __future__ import annotations

from typing import Any

from msgspec import UNSET, Struct, UnsetType

from zaqar_gateway import model
from zaqar_gateway.operations.health import Outcome
from zaqar_gateway.transport import shown
from zaqar_gateway.transport.http import answers
from zaqar_gateway.transport.websocket import codec

# -- HTTP --------------------------------------------------------------------------------------------------------------


class Error(Struct):
    """What was wrong."""

    title: str
    description: str | UnsetType = UNSET


class Refused(Struct):
    """Who asks is not known, in the words of Keystone."""

    code: int
    title: str
    message: str


class Unauthorized(Struct):
    """The answer to whoever is not known."""

    error: Refused


class MediaType(Struct):
    """A media type that is spoken."""

    base: str
    type: str


class Version(Struct, rename={"media_types": "media-types"}):
    """A version of the API."""

    id: str
    status: str
    updated: str
    media_types: list[MediaType]
    links: list[Link]


class Versions(Struct):
    """The versions of the API that are served."""

    versions: list[Version]


class Home(Struct):
    """The resources that there are (JSON home)."""

    resources: dict[str, dict[str, Any]]


class Link(Struct):
    """Where it goes on."""

    rel: str
    href: str


class Message(Struct):
    """A message; where it is claimed its href has the claim."""

    id: str
    href: str
    ttl: int
    age: int
    body: Any
    checksum: str | UnsetType = UNSET


class MessagePage(Struct):
    """Messages, oldest first; those that were asked for by id have no links."""

    messages: list[Message]
    links: list[Link] | UnsetType = UNSET


class Claimed(Struct):
    """The messages of a new claim, whose path is in the header Location."""

    messages: list[Message]


class Claim(Struct):
    """A claim and its messages."""

    age: int
    ttl: int
    href: str
    messages: list[Message]


class PoppedMessages(Struct):
    """Messages that are removed now, oldest first."""

    messages: list[answers.Popped]


class PostedMessages(Struct):
    """The paths of the messages, in their order."""

    resources: list[str]


class QueuePage(Struct):
    """Queues by name."""

    queues: list[answers.QueueShown]
    links: list[Link]
    count: int | UnsetType = UNSET


class TopicPage(Struct):
    """Topics by name."""

    topics: list[answers.QueueShown]
    links: list[Link]


class Edge(Struct):
    """The oldest or the newest message."""

    href: str
    age: int
    created: str


class QueueCounts(Struct):
    """How many messages there are; the edges where there is any."""

    claimed: int
    free: int
    total: int
    oldest: Edge | UnsetType = UNSET
    newest: Edge | UnsetType = UNSET


class QueueStats(Struct):
    """Counts of a queue; zeros where it does not exist."""

    messages: QueueCounts


class TopicCounts(Struct):
    """How many messages there are; three zeros where the topic does not exist."""

    total: int
    claimed: int | UnsetType = UNSET
    free: int | UnsetType = UNSET
    oldest: Edge | UnsetType = UNSET
    newest: Edge | UnsetType = UNSET


class TopicStats(Struct):
    """Counts of a topic."""

    messages: TopicCounts


class DeadLetterPage(Struct):
    """Dead letters in the order in which they were moved."""

    dead_letters: list[shown.DeadLetterShown]
    links: list[Link]


class Returned(Struct):
    """How many dead letters went, and how many are left."""

    returned: int
    remaining: int


class SubscriptionPage(Struct):
    """Subscriptions by id."""

    subscriptions: list[shown.SubscriptionShown]
    links: list[Link]


class Subscribed(Struct):
    """The subscription that was made, or that was there."""

    subscription_id: str


class Durables(Struct):
    """The durable names of a queue."""

    durables: list[shown.DurableShown]


class DeliveryPage(Struct):
    """Deliveries that were given up, the oldest first."""

    deliveries: list[shown.DeliveryShown]
    links: list[Link]


class Failing(Struct):
    """A queue or a topic with deliveries that were given up."""

    project: str
    count: int
    href: str
    queue: str | UnsetType = UNSET
    topic: str | UnsetType = UNSET


class DeliveryOverview(Struct):
    """Where deliveries were given up, in all projects."""

    deliveries: list[Failing]


class Resent(Struct):
    """How many deliveries are made again."""

    count: int


class PoolPage(Struct):
    """Pools by name."""

    pools: list[shown.PoolShown]
    links: list[Link]


class FlavorPage(Struct):
    """Flavors by name."""

    flavors: list[shown.FlavorShown]
    links: list[Link]


class Volume(Struct):
    """Messages in a store."""

    free: int
    claimed: int
    total: int


class StoreHealth(Struct):
    """Whether a store works, by kinds of operations."""

    storage_reachable: bool
    operation_status: dict[str, Outcome]
    message_volume: Volume | UnsetType = UNSET


# -- WebSocket ---------------------------------------------------------------------------------------------------------


class FrameMessage(Struct):
    """A message, with its claim in the answers about that."""

    id: str
    ttl: int
    age: int
    body: Any
    claim_id: str | None


class FrameMessages(Struct):
    """Messages, oldest first."""

    messages: list[FrameMessage]


class FrameOneMessage(Struct):
    """A message."""

    messages: FrameMessage


class FramePopped(Struct):
    """Messages that are removed now, oldest first."""

    messages: list[codec.Popped]


class FrameQueues(Struct):
    """Queues by name."""

    queues: list[codec.QueueShown]


class FrameStats(Struct):
    """Counts of a queue."""

    messages: codec.Stats


class FramePosted(Struct):
    """The ids of the messages, in their order."""

    message_ids: list[str]
    replayed: bool | UnsetType = UNSET


class FrameClaimed(Struct):
    """A new claim."""

    claim_id: str
    messages: list[FrameMessage]


class NothingClaimed(Struct):
    """There was nothing to claim."""

    claim_id: None


class FrameClaim(Struct):
    """A claim and its messages."""

    age: int
    ttl: int
    messages: list[FrameMessage]


class FrameDeadLetters(Struct):
    """Dead letters in the order in which they were moved."""

    dead_letters: list[shown.DeadLetterShown]


class FrameSubscribed(Struct):
    """The subscription that was made; a live one says how it begins."""

    subscription_id: str
    message: str
    live: model.Begun | UnsetType = UNSET


class FrameSubscriptions(Struct):
    """Subscriptions by id."""

    subscriptions: list[shown.SubscriptionShown]


class Acknowledged(Struct):
    """How many of the messages were outstanding."""

    acknowledged: int


class Returning(Struct):
    """How many of the messages were outstanding."""

    refused: int


class Extended(Struct):
    """How many of the messages were outstanding."""

    extended: int


class Window(Struct):
    """The window that counts now."""

    window: int


class FramePools(Struct):
    """Pools by name."""

    pools: list[shown.PoolShown]


class FrameFlavors(Struct):
    """Flavors by name."""

    flavors: list[shown.FlavorShown]


class FrameFailing(Struct):
    """Where deliveries were given up, in all projects."""

    deliveries: list[codec.FailingShown]


class FrameDeliveries(Struct):
    """Deliveries that were given up, the oldest first."""

    deliveries: list[shown.DeliveryShown]


class Nothing(Struct):
    """An empty object."""


class Authenticated(Struct):
    """The token is good."""

    message: str


class FrameError(Struct):
    """What was wrong; ``exception`` repeats it where an operation was reached."""

    error: str
    exception: str | UnsetType = UNSET


class AuthenticationExpires(Struct):
    """The token ends soon."""

    expires_in: int
    Message_Type: str = "AuthenticationExpires"
