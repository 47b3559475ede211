"""From the result of an operation, or its failure, to a reply.  Pure.

Bodies of messages are spliced in as the text they were posted as (:class:`msgspec.Raw`), never decoded; only checksums,
where they are enabled, look into them.
"""

from __future__ import annotations

import hashlib
import json
from base64 import b64encode
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any, NamedTuple, Protocol
from urllib.parse import quote

import msgspec
from msgspec import UNSET, Raw, UnsetType
from msgspec.structs import replace

from zaqar_gateway.errors import (
    GatewayError,
    IdentityUnavailable,
    NotFound,
    NotSupported,
    Overloaded,
    StoreUnavailable,
    SubscriberTaken,
    TooManyRequests,
)
from zaqar_gateway.limits import Limits
from zaqar_gateway.model import (
    Claim,
    FailedDelivery,
    Failing,
    Message,
    MessagePage,
    Place,
    Pool,
    QueueStats,
    Replayed,
    SentBack,
    SignedUrl,
    StatsEdge,
    Subscription,
)
from zaqar_gateway.operations.health import PooledReport, Report
from zaqar_gateway.operations.messages import Listening
from zaqar_gateway.operations.pools import FlavorShown
from zaqar_gateway.operations.queues import QUEUE, TOPIC, QueuePage
from zaqar_gateway.operations.queues import shown as metadata_shown
from zaqar_gateway.operations.registry import QUEUES, TOPICS
from zaqar_gateway.operations.subscriptions import Subscribed
from zaqar_gateway.transport import shown
from zaqar_gateway.transport.http.events import HEADERS, Streams, event
from zaqar_gateway.transport.http.request import Headers, Request, Source
from zaqar_gateway.transport.replies import text_of
from zaqar_gateway.transport.spliced import spliced
from zaqar_gateway.transport.status import INTERNAL, told

_encode = msgspec.json.Encoder().encode

_LOCATED_MAX = 140
"""The most messages whose ids are in ``Location``: that is 3.5 KB, and many a proxy takes 4 for all headers, many a client 16."""

_JSON = (b"Content-Type", b"application/json")
_JSON_ONLY: Headers = (_JSON,)
_ERROR: Headers = (_JSON, (b"Vary", b"Accept"))


class Streaming(NamedTuple):
    """A response that is sent piece by piece."""

    headers: Headers
    source: Source


class Reply(msgspec.Struct, frozen=True, gc=False):
    """A response, save what every response has (the request id, CORS)."""

    status: int
    headers: Headers = ()
    body: bytes = b""

    def send(self, request: Request) -> None:
        """Answer a request with this and nothing else."""
        request.reply(self.status, self.headers, self.body)


NO_CONTENT = Reply(204)
OK = Reply(200)
_UNAVAILABLE = Reply(503)

ROUTER_TITLES = {
    404: "404 Not Found",
    405: "405 Method Not Allowed",
    406: "406 Not Acceptable",
    415: "415 Unsupported Media Type",
}


class Refused(GatewayError):
    """A refusal that only HTTP knows: of a route, a method, a media type.

    :ivar reply: what is answered.
    """

    def __init__(self, status: int, description: str = "", headers: Headers = ()) -> None:
        super().__init__(description)
        self.reply = _error(status, ROUTER_TITLES[status], description, headers)


def _error(status: int, title: str, description: str, headers: Headers = ()) -> Reply:
    document = {"title": title, "description": description} if description else {"title": title}
    return Reply(status, (*_ERROR, *headers), _encode(document))


def describe(error: GatewayError | None, operation: str = "") -> Reply:
    """The reply for a failure (API reference, "Error bodies").

    :param error: ``None`` is a failure that nobody foresaw.
    :param operation: the operation that failed, where one had begun.
    """
    if error is None:
        return _error(INTERNAL.http, INTERNAL.title, "The service failed; the cause is in its log.")
    if isinstance(error, Refused):
        return error.reply
    kind = told(error, operation)
    headers: Headers = ()
    if isinstance(error, StoreUnavailable | IdentityUnavailable | TooManyRequests | Overloaded):
        headers = ((b"Retry-After", b"%d" % error.retry_after_s),)
    return _error(kind.http, kind.title, text_of(error, kind.http), headers)


class IAsked(Protocol):
    """What was asked, as far as an answer depends on it: see :class:`~.arguments.Asked`."""

    given: dict[str, Any]

    @property
    def path(self) -> dict[str, str]:
        """Field to value, from the path."""

    @property
    def kept(self) -> dict[Any, Any]:
        """Whatever an answer needs again for requests to the same queue whose targets differ in nothing but ids."""

    @property
    def collection(self) -> str:
        """The path of the collection, such as that of queues, that the request went to."""

    @property
    def access(self) -> tuple[str, int | None]:
        """The token that lets the client in, if one does; and when that access ends, in seconds since the epoch."""

    @property
    def target(self) -> bytes:
        """Path and query of the request, as they were sent."""


class Popped(msgspec.Struct):
    """A message that was removed as it was read."""

    id: str
    ttl: int
    age: int
    body: Raw
    claim_id: None
    claim_count: int
    checksum: str | UnsetType = UNSET


class QueueShown(msgspec.Struct):
    """A queue or a topic in a listing; detailed: with its metadata."""

    name: str
    href: str
    metadata: dict[str, Any] | UnsetType = UNSET


def checksum(body: bytes, stored: bytes | None = None) -> str | UnsetType:
    """The checksum of a message body (API reference, "Checksum"); nothing for ``null``.

    :param body: JSON text.
    :param stored: what is stored in its place; as JSON it is a string, of its base64 (API reference, "Encryption at
        rest").
    """
    value = json.loads(body)
    if value is None:
        return UNSET
    if stored is not None:
        value = b64encode(stored).decode()
    return f"MD5:{hashlib.md5(json.dumps(value).encode(), usedforsecurity=False).hexdigest()}"


def _queue(asked: IAsked) -> str:
    """The path of the queue or topic that the request went to."""
    return f"{asked.collection}/{asked.path['queue_name']}"


def _links(asked: IAsked) -> bytes:
    """What the paths of messages begin with where the request went to."""
    return f"{_queue(asked)}/messages/".encode()


def _subscriptions(asked: IAsked) -> str:
    """The path of the subscriptions that the request went to."""
    return _queue(asked) + "/subscriptions"


def _json(document: object) -> Reply:
    return Reply(200, _JSON_ONLY, _encode(document))


_LISTED = b'{"messages":['
_NO_MARKER = "\0"  # as a value in a query it is nothing that a name or another value has


def _nothing(asked: IAsked, result: object) -> Reply:
    return NO_CONTENT


def _put(asked: IAsked, result: object) -> Reply:
    """For a pool or a flavor."""
    (name,) = asked.path.values()
    return Reply(201, ((b"Location", shown.href(asked.collection, name).encode()),))


def _next(path: str, parameters: dict[str, Any]) -> list[dict[str, str]]:
    query = "&".join([f"{name}={_value(value)}" for name, value in parameters.items()])
    return [{"rel": "next", "href": f"{path}?{query}"}]


def _value(value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if not isinstance(value, str):
        return str(value)
    return value if value.isascii() and value.isalnum() else quote(value, safe="")


class Answers:
    """How the result of each operation is told.

    :param limits: what is shown where a queue has nothing of its own.
    :param checksums: whether messages carry the checksum of their body.
    :param streams: tell of what is posted; ``None``: nobody is told.
    :ivar of: the answer for each operation by its name: (what was asked, result) to reply; it may raise
        :class:`~zaqar_gateway.errors.GatewayError`.
    """

    def __init__(self, limits: Limits, checksums: bool = False, streams: Streams | None = None) -> None:
        self._streams = streams
        self._shown = {QUEUES: metadata_shown(QUEUE, limits), TOPICS: metadata_shown(TOPIC, limits)}
        self._has_checksums = checksums
        self.of: dict[str, Callable[[IAsked, Any], Reply | Streaming]] = {
            "ping": self._ping,
            "health": self._health,
            "queue_list": self._queue_list,
            "queue_get": self._queue_metadata,
            "queue_create": self._queue_create,
            "queue_update": self._queue_metadata,
            "queue_delete": _nothing,
            "queue_get_stats": self._queue_stats,
            "queue_purge": _nothing,
            "message_list": self._message_list,
            "message_events": self._message_events,
            "message_get_many": self._message_get_many,
            "message_post": self._message_post,
            "message_delete_many": self._message_delete_many,
            "message_get": self._message_get,
            "message_delete": _nothing,
            "claim_create": self._claim_create,
            "claim_get": self._claim_get,
            "claim_update": _nothing,
            "claim_delete": _nothing,
            "dead_letter_list": self._dead_letter_list,
            "dead_letter_return": self._dead_letter_return,
            "subscription_list": self._subscription_list,
            "subscription_create": self._subscription_create,
            "subscription_get": self._subscription_get,
            "subscription_update": self._subscription_changed,
            "subscription_delete": _nothing,
            "subscription_confirm": self._subscription_confirmed,
            "durable_list": lambda asked, names: _json({"durables": [shown.durable(one) for one in names]}),
            "durable_delete": lambda asked, _: NO_CONTENT,
            "delivery_list": self._delivery_list,
            "delivery_resend": self._delivery_resend,
        }
        self.of |= {
            **{
                f"topic_{name}": answer
                for name, answer in self.of.items()
                if name.startswith(("message_", "subscription_", "delivery_"))
            },
            **{f"topic_{verb}": self.of[f"queue_{verb}"] for verb in ("list", "get", "create", "update", "delete", "purge")},
            "topic_get_stats": self._topic_stats,
            "queue_share": self._queue_share,
            "delivery_overview": self._delivery_overview,
            "pool_list": self._pool_list,
            "pool_get": self._pool_get,
            "pool_create": _put,
            "pool_update": self._pool_changed,
            "pool_delete": _nothing,
            "flavor_list": self._flavor_list,
            "flavor_get": self._flavor_get,
            "flavor_create": _put,
            "flavor_update": self._flavor_get,
            "flavor_delete": _nothing,
        }

    def _ping(self, asked: IAsked, alive: bool) -> Reply:
        return NO_CONTENT if alive else _UNAVAILABLE

    def _health(self, asked: IAsked, report: Report | PooledReport) -> Reply:
        if isinstance(report, Report):
            return _json(self._health_of(report))
        pools = {name: self._health_of(each) for name, each in report.pools.items()}
        return _json({**pools, "catalog_reachable": report.catalog_reachable})

    def _health_of(self, report: Report) -> dict[str, Any]:
        document: dict[str, Any] = {
            "storage_reachable": report.storage_reachable,
            "operation_status": report.operation_status,
        }
        if (volume := report.message_volume) is not None:
            document["message_volume"] = {"free": volume.free, "claimed": volume.claimed, "total": volume.total}
        return document

    def _queue_list(self, asked: IAsked, page: QueuePage) -> Reply:
        detailed = asked.given.get("detailed", False)
        collection = asked.collection
        metadata = self._shown[collection]
        document: dict[str, Any] = {
            collection.rpartition("/")[2]: [
                QueueShown(queue.name, f"{collection}/{queue.name}", metadata(queue.metadata) if detailed else UNSET)
                for queue in page.queues
            ],
            "links": _next(collection, {**asked.given, "marker": page.queues[-1].name}) if page.queues else [],
        }
        if page.count:
            document["count"] = page.count
        return _json(document)

    def _queue_metadata(self, asked: IAsked, stored: bytes | None) -> Reply:
        return _json(self._shown[asked.collection](stored))

    def _queue_create(self, asked: IAsked, created: bool) -> Reply:
        return Reply(201 if created else 204, ((b"Location", _queue(asked).encode()),))

    def _queue_share(self, asked: IAsked, signed: SignedUrl) -> Reply:
        return _json(signed)

    def _queue_stats(self, asked: IAsked, stats: QueueStats | None) -> Reply:
        stats = stats or QueueStats(0, 0)
        counts = {"claimed": stats.claimed, "free": stats.free, "total": stats.total}
        return self._stats(asked, counts, stats)

    def _topic_stats(self, asked: IAsked, stats: QueueStats | None) -> Reply:
        # Only a topic that does not exist has all the counts of a queue (API reference, "Topics").
        return self._queue_stats(asked, None) if stats is None else self._stats(asked, {"total": stats.total}, stats)

    def _stats(self, asked: IAsked, counts: dict[str, Any], stats: QueueStats) -> Reply:
        def edge(found: StatsEdge) -> dict[str, Any]:
            created = datetime.fromtimestamp(found.created_ms // 1000, UTC)
            return {
                "href": f"{_queue(asked)}/messages/{found.id}",
                "age": found.age_s,
                "created": f"{created:%Y-%m-%dT%H:%M:%SZ}",
            }

        if stats.oldest is not None and stats.newest is not None:
            counts |= {"oldest": edge(stats.oldest), "newest": edge(stats.newest)}
        return _json({"messages": counts})

    def _messages(self, link: bytes, messages: Sequence[Message]) -> list[bytes]:
        """What is shown of messages: JSON objects with commas between them, in pieces to be joined.

        :param link: the path of each, without its id.
        """
        if not self._has_checksums:
            return spliced(messages, link)
        objects = [b"".join(spliced([one], link, self._checksum_of(one))) for one in messages]
        return [b",".join(objects)]

    def _checksum_of(self, message: Message) -> bytes:
        found = checksum(message.body, message.stored)
        return b"" if found is UNSET else b',"checksum":' + _encode(found)

    def _message_list(self, asked: IAsked, page: MessagePage) -> Reply:
        if not page.messages:
            return Reply(200, _JSON_ONLY, b'{"messages":[],"links":[]}')
        link, before, after = asked.kept.get(page.knows_delay) or self._around(asked, page.knows_delay)
        messages = self._messages(link, page.messages)
        marker = page.marker or page.messages[-1].id
        return Reply(200, _JSON_ONLY, b"".join((_LISTED, *messages, before, marker.encode(), after)))

    def _around(self, asked: IAsked, knows_delay: bool) -> tuple[bytes, bytes, bytes]:
        """What is the same for all pages of a queue: the path of messages, and what is around the marker behind them."""
        path = _queue(asked) + "/messages"
        parameters = {**asked.given, "marker": _NO_MARKER}
        if not knows_delay:
            # Where nothing is delayed, the link says that nothing is left out (API reference, "GET messages").
            parameters["include_delayed"] = True
        link, _, rest = _encode(_next(path, parameters)).partition(_value(_NO_MARKER).encode())
        around = asked.kept[knows_delay] = f"{path}/".encode(), b'],"links":%b' % link, b"%b}" % rest
        return around

    def _message_events(self, asked: IAsked, listening: Listening) -> Streaming:
        if self._streams is None:
            raise NotSupported("This gateway does not stream events.")
        return Streaming(HEADERS, self._streams.open(listening, self.event, *asked.access))

    def event(self, place: Place, message: Message) -> bytes:
        """A message as an event of a stream: what a listing shows."""
        base = f"{TOPICS if place.is_topic else QUEUES}/{place.name}/messages/"
        return event("message", b"".join(self._messages(base.encode(), [message])), message.id)

    def _message_get_many(self, asked: IAsked, found: list[Message]) -> Reply:
        if not found:
            raise NotFound("None of the messages exists here.")
        return Reply(200, _JSON_ONLY, b"".join((_LISTED, *self._messages(_links(asked), found), b"]}")))

    def _message_post(self, asked: IAsked, ids: list[str]) -> Reply:
        # The queue name and the ids are of characters that need no escape, in JSON or in a URL.
        base = _queue(asked) + "/messages"
        resources = f'","{base}/'.join(ids)
        location = f"{base}?ids={','.join(ids)}" if len(ids) <= _LOCATED_MAX else base
        headers: Headers = (_JSON, (b"Location", location.encode()))
        if isinstance(ids, Replayed):
            headers = (*headers, (b"Idempotency-Replayed", b"true"))
        return Reply(201, headers, f'{{"resources":["{base}/{resources}"]}}'.encode())

    def _message_delete_many(self, asked: IAsked, popped: list[Message] | None) -> Reply:
        if popped is None:
            return NO_CONTENT
        return _json(
            {
                "messages": [
                    Popped(
                        message.id,
                        message.ttl_s,
                        message.age_s,
                        Raw(message.body),
                        None,
                        message.claim_count,
                        checksum(message.body, message.stored) if self._has_checksums else UNSET,
                    )
                    for message in popped
                ]
            }
        )

    def _message_get(self, asked: IAsked, message: Message) -> Reply:
        return Reply(200, _JSON_ONLY, b"".join(self._messages(_links(asked), [message])))

    def _claim_create(self, asked: IAsked, claim: Claim | None) -> Reply:
        if claim is None:
            return NO_CONTENT
        queue = _queue(asked)
        location = f"{queue}/claims/{claim.id}".encode()
        document = b"".join((_LISTED, *self._messages(_links(asked), claim.messages), b"]}"))
        return Reply(201, (_JSON, (b"Location", location)), document)

    def _claim_get(self, asked: IAsked, claim: Claim) -> Reply:
        queue = _queue(asked)
        begin = f'{{"age":{claim.age_s},"ttl":{claim.ttl_s},"href":"{queue}/claims/{claim.id}","messages":['.encode()
        return Reply(200, _JSON_ONLY, b"".join((begin, *self._messages(_links(asked), claim.messages), b"]}")))

    def _dead_letter_list(self, asked: IAsked, page: Sequence[Message]) -> Reply:
        base = _queue(asked)
        links = _next(base + "/dead_letters", {**asked.given, "marker": page[-1].id}) if page else []
        found = [shown.dead_letter(message, f"{base}/messages/{message.id}") for message in page]
        return _json({"dead_letters": found, "links": links})

    def _dead_letter_return(self, asked: IAsked, sent: SentBack) -> Reply:
        return _json({"returned": sent.number, "remaining": sent.remaining})

    def _subscription_list(self, asked: IAsked, page: Sequence[Subscription]) -> Reply:
        links = _next(_subscriptions(asked), {**asked.given, "marker": page[-1].id}) if page else []
        name = asked.path["queue_name"]
        return _json({"subscriptions": [shown.subscription(name, one) for one in page], "links": links})

    def _subscription_create(self, asked: IAsked, subscribed: Subscribed) -> Reply:
        location = (b"Location", _subscriptions(asked).encode())
        placed = subscribed.placed
        if placed.confirmed and not placed.is_new:
            refusal = describe(SubscriberTaken("There is a confirmed subscription with this subscriber already."))
            return replace(refusal, headers=(*refusal.headers, location))
        return Reply(201, (_JSON, location), _encode({"subscription_id": placed.id}))

    def _subscription_get(self, asked: IAsked, found: Subscription) -> Reply:
        return _json(shown.subscription(asked.path["queue_name"], found))

    def _subscription_changed(self, asked: IAsked, result: None) -> Reply:
        location = f"{_subscriptions(asked)}/{asked.path['subscription_id']}"
        return Reply(204, ((b"Location", location.encode()),))

    def _subscription_confirmed(self, asked: IAsked, result: None) -> Reply:
        location = f"{_subscriptions(asked)}/{asked.path['subscription_id']}/confirm"
        return Reply(204, ((b"Location", location.encode()),))

    def _delivery_overview(self, asked: IAsked, places: Sequence[Failing]) -> Reply:
        def entry(failing: Failing) -> dict[str, Any]:
            place, collection = failing.place, TOPICS if failing.place.is_topic else QUEUES
            return {
                "project": place.project,
                "topic" if place.is_topic else "queue": place.name,
                "count": failing.count,
                "href": f"{collection}/{place.name}/deliveries",
            }

        return _json({"deliveries": [entry(failing) for failing in places]})

    def _delivery_list(self, asked: IAsked, page: Sequence[FailedDelivery]) -> Reply:
        base = _queue(asked) + "/deliveries"
        links = _next(base, {**asked.given, "marker": page[-1].id}) if page else []
        return _json({"deliveries": [shown.delivery(one) for one in page], "links": links})

    def _delivery_resend(self, asked: IAsked, count: int) -> Reply:
        return _json({"count": count})

    def _pool_list(self, asked: IAsked, page: Sequence[Pool]) -> Reply:
        detailed = asked.given.get("detailed", False)
        links = _next(asked.collection, {**asked.given, "marker": page[-1].name}) if page else []
        document = {"pools": [shown.pool(one, detailed=detailed) for one in page], "links": links}
        return Reply(200, (_JSON, (b"Content-Location", asked.target)), _encode(document))

    def _pool_get(self, asked: IAsked, found: Pool) -> Reply:
        return _json(shown.pool(found, detailed=asked.given.get("detailed", False)))

    def _pool_changed(self, asked: IAsked, changed: Pool) -> Reply:
        return _json(shown.pool(changed))

    def _flavor_list(self, asked: IAsked, page: Sequence[FlavorShown]) -> Reply:
        detailed = asked.given.get("detailed", False)
        links = _next(asked.collection, {**asked.given, "marker": page[-1].flavor.name}) if page else []
        return _json({"flavors": [shown.flavor(one, detailed=detailed) for one in page], "links": links})

    def _flavor_get(self, asked: IAsked, found: FlavorShown) -> Reply:
        return _json(shown.flavor(found, detailed=True))
