"""The registry: a row for each operation, from which routes, actions, validation and policy follow; the one way in.

Adding an operation is adding its fields (``fields.py``), its coroutine and its row; then a line in each codec that
writes its answer, and an entry in ``zaqar_gateway/descriptions/operations.py`` that says what it does and is answered.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from enum import Enum
from typing import Any, Protocol

import msgspec
from attrs import evolve, field, frozen
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from zaqar_gateway.errors import GatewayError, QuotaExceeded
from zaqar_gateway.interfaces import (
    ILive,
    INotifier,
    ISockets,
    IStorage,
    ISubscriptionStore,
    ITrusts,
    IUrlSigner,
    IWaits,
)
from zaqar_gateway.limits import Limits
from zaqar_gateway.model import Context
from zaqar_gateway.operations import fields
from zaqar_gateway.operations.claims import Claims
from zaqar_gateway.operations.dead_letters import DeadLetters
from zaqar_gateway.operations.deliveries import Deliveries
from zaqar_gateway.operations.filters import Filter, operations_on
from zaqar_gateway.operations.gate import Gate
from zaqar_gateway.operations.health import Health
from zaqar_gateway.operations.live import FIELDS as LIVE_FIELDS
from zaqar_gateway.operations.live import Durables, LiveSubscriptions
from zaqar_gateway.operations.messages import Messages
from zaqar_gateway.operations.policy import Policy
from zaqar_gateway.operations.pools import Flavors, Pooling, Pools
from zaqar_gateway.operations.queues import QUEUE as QUEUE_KIND
from zaqar_gateway.operations.queues import TOPIC as TOPIC_KIND
from zaqar_gateway.operations.queues import Kind, Queues
from zaqar_gateway.operations.subscriptions import Notices, Subscriptions
from zaqar_gateway.operations.urls import Urls

DEFAULT_POLICY = Policy()
"""The policy where nobody has another one."""

_log = Logger()


class Body(Enum):
    """What an HTTP body is to an operation."""

    NONE = "not read"
    OPTIONAL = "an object of fields, or nothing"
    REQUIRED = "an object of fields"
    WHOLE = "one field is the whole text; nothing where it may be left out"


@frozen
class Http:
    """How HTTP reaches an operation.

    :ivar path: with the names of fields in braces.
    :ivar query: parameter to field; an unknown parameter is ignored, or goes to ``rest``.
    :ivar body: what the body is; its fields are those that neither path nor query bring.
    :ivar whole: the field that is the whole text of the body.
    :ivar large: whether that text may be as long as any body; else the limit is that of metadata.
    :ivar needed: fields that the body has to bring where there is a body.
    :ivar at_once: member of the body to the field that it is where it can be decoded with what is around it; where it cannot, it is
        the field of its own name.
    :ivar closed: whether a member of the body that is no field is refused.
    :ivar fixed: fields that HTTP sets itself.
    :ivar media_type: the only ``Content-Type`` accepted, where there is such a rule.
    :ivar headers: header to the field, a text, that it brings; where the body brings it too, both have to say the same.
    :ivar produces: the media type of the answer where it is not JSON.
    :ivar shared_as: the last part of the path that a pre-signed URL may name in place of this one's.
    :ivar when: the query parameter that chooses this operation among those of the same method and path.
    """

    method: str
    path: str
    query: Mapping[str, str] = field(factory=dict)
    rest: str = ""
    body: Body = Body.NONE
    whole: str = ""
    large: bool = False
    needed: tuple[str, ...] = ()
    at_once: Mapping[str, str] = field(factory=dict)
    closed: bool = False
    fixed: Mapping[str, Any] = field(factory=dict)
    media_type: str = ""
    headers: Mapping[str, str] = field(factory=dict)
    produces: str = ""
    shared_as: str = ""
    when: str = ""


@frozen
class Frame:
    """How a WebSocket action reaches an operation: its name is the operation's.

    :ivar only: the fields that it has there, where it has fewer than HTTP.
    :ivar needed: fields that may be left out on HTTP and not here.
    :ivar types: the types of fields that the operation takes of any type.
    :ivar checks_client: whether the form of ``Client-ID`` is checked (API reference, "Envelope errors").
    :ivar checks_client_with: a field with which it is checked, though it is not otherwise.
    :ivar alone: whether it may make several steps, so that nothing of the same socket may run beside it.
    :ivar reads: whether it changes nothing and may make several steps, so that what comes behind it on the same socket and does change
        something has to wait.
    :ivar listener: the field that is the connection itself, where there is one.
    :ivar at_once: a member of the body, and the field that it is where it can be decoded by itself; the operation is told its size.
    :ivar varies: the ids, at most two, in which the frames of a client mostly differ, and in nothing else.
    """

    only: tuple[str, ...] = ()
    needed: tuple[str, ...] = ()
    types: Mapping[str, Any] = field(factory=dict)
    checks_client: bool = False
    checks_client_with: str = ""
    alone: bool = False
    reads: bool = False
    listener: str = ""
    at_once: tuple[str, str] | None = None
    varies: tuple[str, ...] = ()


@frozen
class Operation:
    """One operation.

    :ivar rule: the name of its policy rule, empty where there is none to ask.
    :ivar run: what it does: (context, fields) to a result that the codecs know.
    :ivar admin: served only where ``admin_mode`` is on.
    :ivar gate: what a request passes before it is looked at; ``None``: nothing.
    :ivar audited: whether it administers or destroys, so that each request for it is recorded
        (:mod:`zaqar_gateway.transport.audit`), with what its path names.
    :ivar policy: decides on ``rule``.
    :ivar waits: whether it has a field ``wait``; where that is given, the context has to say who waits for the answer.
    """

    name: str
    rule: str
    fields: type[msgspec.Struct]
    run: Callable[[Context, Any], Awaitable[Any]]
    http: Http | None = None
    frame: Frame | None = None
    admin: bool = False
    gate: Gate | None = None
    audited: bool = False
    policy: Policy = DEFAULT_POLICY
    waits: bool = False


class Asked(Protocol):
    """What a transport received for an operation, not yet looked at.

    :ivar size: its bytes: the body of a request, or a whole message.
    """

    @property
    def size(self) -> int: ...

    def fields(self, operation: Operation) -> msgspec.Struct:
        """:raises BadRequest: the fields are not what the operation has to have; the text names one."""


async def dispatch(operation: Operation, ctx: Context, asked: Asked) -> Any:
    """Run an operation.  Being allowed comes before anything that may be wrong with the fields.

    :raises Overloaded: the gateway has too many requests in flight.
    :raises TooManyRequests: the project has sent too many.
    :raises Forbidden: the policy says no.
    """
    gate = operation.gate
    if gate is not None:
        gate.enter(ctx.project, asked.size)
    try:
        if operation.rule:
            operation.policy.require(ctx, operation.rule)
        return await operation.run(ctx, asked.fields(operation))
    except GatewayError as error:
        if gate is not None and isinstance(error, QuotaExceeded):
            gate.exceeded(ctx.project)
        # Its text is for the client alone: it may repeat what that has sent.
        kind = type(error).__name__
        _log.debug("{operation} of project {project!r} is refused: {kind}", operation=operation.name, project=ctx.project, kind=kind)
        raise
    finally:
        if gate is not None:
            gate.leave()


QUEUES = "/v2/queues"
QUEUE = QUEUES + "/{queue_name}"
MESSAGES = QUEUE + "/messages"
DURABLES = QUEUE + "/durables"
EVENTS = QUEUE + "/events"
CLAIMS = QUEUE + "/claims"
SUBSCRIPTIONS = QUEUE + "/subscriptions"
SUBSCRIPTION = SUBSCRIPTIONS + "/{subscription_id}"
DEAD_LETTERS = QUEUE + "/dead_letters"
DELIVERIES = QUEUE + "/deliveries"
TOPICS = "/v2/topics"
TOPIC = TOPICS + "/{topic_name}"
POOLS = "/v2/pools"
POOL = POOLS + "/{pool_name}"
FLAVORS = "/v2/flavors"
FLAVOR = FLAVORS + "/{flavor_name}"

PATCH_TYPE = "application/openstack-messaging-v2.0-json-patch"

NOT_IMPLEMENTED = frozenset(
    ("get_home_doc", "check_node_health", "ping_node")
    + tuple(f"{kind}_{verb}" for kind in ("pool", "flavor") for verb in ("create", "list", "get", "update", "delete"))
)
"""Actions that the API declares; those without a row are not available."""

_FIELDS = {"topic_name": "queue_name"}


def field_of(variable: str) -> str:
    """The field that a variable of a path brings.  Operations on topics have the fields of those on queues."""
    return _FIELDS.get(variable, variable)


def operations(
    storage: IStorage,
    limits: Limits,
    signer: IUrlSigner,
    clock: IReactorTime,
    *,
    require_confirmation: bool = False,
    notifiers: Mapping[str, INotifier] | None = None,
    filters: Sequence[Filter] = (),
    sockets: ISockets | None = None,
    trusts: ITrusts | None = None,
    live: ILive | None = None,
    gate: Gate | None = None,
    policy: Policy = DEFAULT_POLICY,
    pooling: Pooling | None = None,
    waits: IWaits | None = None,
) -> list[Operation]:
    """All rows, in the order of the API reference.

    :param signer: of pre-signed URLs.
    :param clock: for their expiry, and the latest end of a subscription.
    :param require_confirmation: whether only confirmed subscriptions are delivered to.
    :param notifiers: what delivers to subscribers, by their scheme in lower case.
    :param filters: of the operations on messages and claims; with any of them those of ``FILTERED`` make several steps.
    :param sockets: has the subscriptions of connections; ``None``: no connection can subscribe itself.
    :param trusts: ``None``: there is no identity service.
    :param live: has the live subscriptions of connections; ``None``: there are none.
    :param gate: what all requests pass; ``None``: nothing.
    :param policy: who may run what.
    :param pooling: ``None``: there are no pools; with them all rows make several steps.
    :param waits: has requests wait for messages; ``None``: none waits.
    """
    health, urls = Health(storage, pooling.directory if pooling else None), Urls(signer, clock)
    flavors = pooling.flavors if pooling else None
    messages, claims, dead_letters = operations_on(filters)
    notices = Notices(require_confirmation, signer.enabled)

    of_queues = messages(storage.messages, storage.queues, limits, QUEUE_KIND, waits)
    of_claims = claims(storage.claims, limits, waits)
    living = LiveSubscriptions(live, of_queues, of_claims, limits, policy)

    def subscriptions(store: ISubscriptionStore, kind: Kind) -> Subscriptions:
        return Subscriptions(store, limits, clock, kind, notices, notifiers or {}, sockets, trusts, living)

    of_topics = (
        *_of_queues(Queues(storage.topics, storage.topic_subscriptions, limits, TOPIC_KIND, flavors)),
        *_of_messages(messages(storage.topic_messages, storage.topics, limits, TOPIC_KIND, waits)),
        *_of_subscriptions(subscriptions(storage.topic_subscriptions, TOPIC_KIND)),
        *_of_deliveries(Deliveries(storage.deliveries, limits, TOPIC_KIND)),
    )
    deliveries = Deliveries(storage.deliveries, limits)
    rows = [
        Operation("ping", "ping:get", fields.Nothing, health.ping, Http("GET", "/v2/ping")),
        Operation("health", "health:get", fields.Nothing, health.report, Http("GET", "/v2/health"), admin=True),
        Operation(
            "delivery_overview",
            "deliveries:get_all",
            fields.Nothing,
            deliveries.overview,
            Http("GET", "/v2/deliveries"),
            Frame(),
            admin=True,
        ),
        *_of_queues(Queues(storage.queues, storage.subscriptions, limits, flavors=flavors)),
        *_of_messages(of_queues, living if live else None),
        *_of_claims(of_claims, living if live else None),
        *_of_dead_letters(dead_letters(storage.dead_letters, limits)),
        *_of_subscriptions(subscriptions(storage.subscriptions, QUEUE_KIND)),
        *_of_live(living),
        *_of_durables(Durables(storage.durables)),
        *_of_deliveries(deliveries),
        Operation(
            "queue_share",
            "queues:share",
            fields.QueueShare,
            urls.share,
            Http("POST", QUEUE + "/share", body=Body.WHOLE, whole="document", large=True, needed=("document",)),
            audited=True,
        ),
        *(_of_topics(row, row.http) for row in of_topics if row.http),
        *(_of_pools(Pools(pooling, limits), Flavors(pooling, limits)) if pooling else ()),
    ]
    return [evolve(row, policy=policy, gate=gate) for row in rows]


def _of_topics(row: Operation, http: Http) -> Operation:
    """The row for topics that is as this one for queues; there are no actions (API reference, "Topics")."""
    kind, _, verb = row.name.partition("_")
    rules, _, what = row.rule.partition(":")
    return evolve(
        row,
        name=f"topic_{verb}" if kind == "queue" else f"topic_{row.name}",
        rule=f"topics:{what}" if rules == "queues" else row.rule,
        http=evolve(
            http,
            path=http.path.replace(QUEUE, TOPIC).replace(QUEUES, TOPICS),
            query={name: brought for name, brought in http.query.items() if name != "with_count"},
        ),
        frame=None,
    )


def _of_queues(queues: Queues) -> list[Operation]:
    return [
        Operation(
            "queue_list",
            "queues:get_all",
            fields.QueueList,
            queues.list,
            Http(
                "GET",
                QUEUES,
                query={name: name for name in ("marker", "limit", "detailed", "name", "with_count")},
                rest="filters",
            ),
            Frame(only=("marker", "limit", "detailed")),
        ),
        Operation("queue_get", "queues:get", fields.Queue, queues.get, Http("GET", QUEUE), Frame()),
        Operation(
            "queue_create",
            "queues:create",
            fields.QueueCreate,
            queues.create,
            Http("PUT", QUEUE, body=Body.WHOLE, whole="metadata"),
            Frame(alone=True),
            audited=True,
        ),
        Operation(
            "queue_update",
            "queues:update",
            fields.QueueUpdate,
            queues.update,
            Http("PATCH", QUEUE, body=Body.WHOLE, whole="changes", needed=("changes",), media_type=PATCH_TYPE),
            audited=True,
        ),
        Operation(
            "queue_delete",
            "queues:delete",
            fields.Queue,
            queues.delete,
            Http("DELETE", QUEUE),
            Frame(alone=True),
            audited=True,
        ),
        Operation(
            "queue_get_stats", "queues:stats", fields.Queue, queues.stats, Http("GET", QUEUE + "/stats"), Frame()
        ),
        Operation(
            "queue_purge",
            "queues:purge",
            fields.QueuePurge,
            queues.purge,
            Http(
                "POST",
                QUEUE + "/purge",
                body=Body.OPTIONAL,
                needed=("resource_types",),
                fixed={"strict": True},
            ),
            Frame(only=("queue_name", "resource_types"), alone=True),
            audited=True,
        ),
    ]


def _of_messages(messages: Messages, live: LiveSubscriptions | None = None) -> list[Operation]:
    """
    :param live: what is deleted may have been claimed for a connection; ``None``: nobody claims these.
    """
    deleting = live or messages
    return [
        Operation(
            "message_list",
            "messages:get_all",
            fields.MessageList,
            messages.list,
            Http(
                "GET",
                MESSAGES,
                query={name: name for name in ("marker", "limit", "echo", "include_claimed", "include_delayed", "wait")},
            ),
            Frame(checks_client=True, reads=True, varies=("marker",)),
            waits=True,
        ),
        Operation(
            "message_get_many",
            "messages:get_all",
            fields.MessageGetMany,
            messages.get_many,
            Http("GET", MESSAGES, query={"ids": "message_ids"}, when="ids"),
            Frame(reads=True),
        ),
        Operation(
            "message_post",
            "messages:create",
            fields.MessagePost,
            messages.post,
            Http(
                "POST",
                MESSAGES,
                body=Body.REQUIRED,
                at_once={"messages": "posted"},
                fixed={"delays": True},
                headers={"Idempotency-Key": "idempotency_key"},
            ),
            Frame(
                only=("queue_name", "messages", "idempotency_key"),
                needed=("messages",),
                checks_client=True,
                at_once=("messages", "posted"),
            ),
        ),
        Operation(
            "message_delete_many",
            "messages:delete_all",
            fields.MessageDeleteMany,
            deleting.delete_many,
            Http(
                "DELETE",
                MESSAGES,
                query={"ids": "message_ids", "pop": "pop", "claim_ids": "claim_ids", "wait": "wait"},
            ),
            Frame(only=("queue_name", "message_ids", "pop", "claim_ids", "wait"), listener="listener"),
            waits=True,
        ),
        Operation(
            "message_events",
            "messages:get_all",
            fields.MessageEvents,
            messages.listen,
            Http(
                "GET",
                EVENTS,
                query={name: name for name in ("marker", "last_event_id", "echo")},
                headers={"Last-Event-ID": "last_event_id"},
                produces="text/event-stream",
                shared_as="messages",
            ),
        ),
        Operation(
            "message_get",
            "messages:get",
            fields.MessageGet,
            messages.get,
            Http("GET", MESSAGES + "/{message_id}"),
            Frame(reads=True, varies=("message_id",)),
        ),
        Operation(
            "message_delete",
            "messages:delete",
            fields.MessageDelete,
            deleting.delete,
            Http("DELETE", MESSAGES + "/{message_id}", query={"claim_id": "claim_id"}),
            Frame(only=("queue_name", "message_id", "claim_id"), listener="listener", varies=("message_id", "claim_id")),
        ),
    ]


def _of_claims(claims: Claims, live: LiveSubscriptions | None) -> list[Operation]:
    return [
        Operation(
            "claim_create",
            "claims:create",
            fields.ClaimCreate,
            claims.create,
            Http("POST", CLAIMS, query={"limit": "limit", "wait": "wait"}, body=Body.OPTIONAL),
            Frame(),
            waits=True,
        ),
        Operation("claim_get", "claims:get", fields.Claim, claims.get, Http("GET", CLAIMS + "/{claim_id}"), Frame()),
        Operation(
            "claim_update",
            "claims:update",
            fields.ClaimUpdate,
            claims.update,
            Http("PATCH", CLAIMS + "/{claim_id}", body=Body.REQUIRED),
            Frame(),
        ),
        Operation(
            "claim_delete",
            "claims:delete",
            fields.ClaimDelete,
            (live or claims).release,
            Http("DELETE", CLAIMS + "/{claim_id}"),
            Frame(only=("queue_name", "claim_id"), listener="listener"),
        ),
    ]


def _of_dead_letters(dead_letters: DeadLetters) -> list[Operation]:
    return [
        Operation(
            "dead_letter_list",
            "dead_letters:get_all",
            fields.DeadLetterList,
            dead_letters.list,
            Http("GET", DEAD_LETTERS, query={"marker": "marker", "limit": "limit"}),
            Frame(reads=True),
        ),
        Operation(
            "dead_letter_return",
            "dead_letters:return",
            fields.DeadLetterReturn,
            dead_letters.send_back,
            Http("POST", DEAD_LETTERS + "/return", body=Body.REQUIRED, closed=True),
            Frame(alone=True),
            audited=True,
        ),
    ]


def _of_subscriptions(subscriptions: Subscriptions) -> list[Operation]:
    return [
        Operation(
            "subscription_list",
            "subscription:get_all",
            fields.SubscriptionList,
            subscriptions.list,
            Http("GET", SUBSCRIPTIONS, query={"marker": "marker", "limit": "limit"}),
            Frame(reads=True),
        ),
        Operation(
            "subscription_create",
            "subscription:create",
            fields.SubscriptionCreate,
            subscriptions.create,
            Http(
                "POST",
                SUBSCRIPTIONS,
                body=Body.OPTIONAL,
                fixed={"confirmable": True, "listener": None, **dict.fromkeys(LIVE_FIELDS, msgspec.UNSET)},
            ),
            Frame(
                only=("queue_name", "subscriber", "ttl", "options", *LIVE_FIELDS),
                types={"subscriber": str, "ttl": int},
                checks_client_with="echo",
                alone=True,
                listener="listener",
            ),
            audited=True,
        ),
        Operation(
            "subscription_get",
            "subscription:get",
            fields.Subscription,
            subscriptions.get,
            Http("GET", SUBSCRIPTION),
            Frame(),
        ),
        Operation(
            "subscription_update",
            "subscription:update",
            fields.SubscriptionUpdate,
            subscriptions.update,
            Http("PATCH", SUBSCRIPTION, body=Body.WHOLE, whole="document", large=True, needed=("document",)),
            audited=True,
        ),
        Operation(
            "subscription_delete",
            "subscription:delete",
            fields.SubscriptionDelete,
            subscriptions.delete,
            Http("DELETE", SUBSCRIPTION),
            Frame(only=("queue_name", "subscription_id"), listener="listener"),
            audited=True,
        ),
        Operation(
            "subscription_confirm",
            "subscription:confirm",
            fields.SubscriptionConfirm,
            subscriptions.confirm,
            Http("PUT", SUBSCRIPTION + "/confirm", body=Body.REQUIRED),
            audited=True,
        ),
    ]


def _of_live(live: LiveSubscriptions) -> list[Operation]:
    """What a connection says of its own live subscriptions; who may have one may say it, and what
    else they may follows from what it is."""
    return [
        Operation(
            "message_acknowledge",
            "subscription:create",
            fields.LiveAcknowledge,
            live.acknowledge,
            frame=Frame(only=("queue_name", "message_ids", "up_to"), listener="listener"),
        ),
        Operation(
            "message_refuse",
            "subscription:create",
            fields.LiveRefuse,
            live.refuse,
            frame=Frame(only=("queue_name", "message_ids", "delay"), listener="listener"),
        ),
        Operation(
            "message_extend",
            "subscription:create",
            fields.LiveExtend,
            live.extend,
            frame=Frame(only=("queue_name", "message_ids", "deadline"), listener="listener"),
        ),
        Operation(
            "subscription_window",
            "subscription:create",
            fields.LiveWindow,
            live.resize,
            frame=Frame(only=("queue_name", "window"), listener="listener"),
        ),
    ]


def _of_durables(durables: Durables) -> list[Operation]:
    return [
        Operation(
            "durable_list", "subscription:get_all", fields.Queue, durables.list, Http("GET", DURABLES), Frame()
        ),
        Operation(
            "durable_delete",
            "subscription:delete",
            fields.Durable,
            durables.delete,
            Http("DELETE", DURABLES + "/{durable}"),
            Frame(),
            audited=True,
        ),
    ]


def _of_deliveries(deliveries: Deliveries) -> list[Operation]:
    return [
        Operation(
            "delivery_list",
            "deliveries:get_all",
            fields.DeliveryList,
            deliveries.list,
            Http("GET", DELIVERIES, query={"marker": "marker", "limit": "limit"}),
            Frame(),
            admin=True,
        ),
        Operation(
            "delivery_resend",
            "deliveries:create",
            fields.DeliveryResend,
            deliveries.resend,
            Http("POST", DELIVERIES, body=Body.OPTIONAL, needed=("ids",)),
            Frame(),
            admin=True,
            audited=True,
        ),
    ]


def _of_pools(pools: Pools, flavors: Flavors) -> list[Operation]:
    page = {name: name for name in ("marker", "limit", "detailed")}
    detail = {"detailed": "detailed"}
    rows = [
        Operation("pool_list", "pools:get_all", fields.PoolList, pools.list, Http("GET", POOLS, page), Frame()),
        Operation("pool_get", "pools:get", fields.Pool, pools.get, Http("GET", POOL, detail), Frame()),
        Operation(
            "pool_create",
            "pools:create",
            fields.PoolPut,
            pools.create,
            Http("PUT", POOL, body=Body.REQUIRED, closed=True),
            Frame(),
        ),
        Operation(
            "pool_update", "pools:update", fields.PoolPut, pools.update, Http("PATCH", POOL, body=Body.REQUIRED), Frame()
        ),
        Operation(
            "pool_delete", "pools:delete", fields.Pool, pools.delete, Http("DELETE", POOL), Frame(only=("pool_name",))
        ),
        Operation(
            "flavor_list", "flavors:get_all", fields.FlavorList, flavors.list, Http("GET", FLAVORS, page), Frame()
        ),
        Operation("flavor_get", "flavors:get", fields.Flavor, flavors.get, Http("GET", FLAVOR), Frame()),
        Operation(
            "flavor_create",
            "flavors:create",
            fields.FlavorPut,
            flavors.create,
            Http("PUT", FLAVOR, body=Body.REQUIRED, closed=True),
            Frame(),
        ),
        Operation(
            "flavor_update",
            "flavors:update",
            fields.FlavorPut,
            flavors.update,
            Http("PATCH", FLAVOR, body=Body.REQUIRED),
            Frame(),
        ),
        Operation("flavor_delete", "flavors:delete", fields.Flavor, flavors.delete, Http("DELETE", FLAVOR), Frame()),
    ]
    return [evolve(row, admin=True, audited=not row.name.endswith(("_list", "_get"))) for row in rows]
