"""What the registry does not know of an operation: a sentence, what is answered, and which errors only some have.

An operation without an entry here has no description, and a test says so.  Those on topics are as those on queues, as in the
registry; an entry of their own counts where there is one.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from attrs import evolve, field, frozen

from zaqar_gateway import model
from zaqar_gateway.descriptions import shapes
from zaqar_gateway.descriptions.schemas import Schema, Schemas, structure
from zaqar_gateway.errors import Conflict, GatewayError, NotFound
from zaqar_gateway.limits import Limits
from zaqar_gateway.operations.queues import QUEUE, TOPIC, Kind
from zaqar_gateway.transport import shown


@frozen
class Answer:
    """What is answered where all went well.

    :ivar text: what the status means.
    :ivar shape: the type of the body, or what makes its schema; ``None``: there is none.
    :ivar headers: those that are always there; with a ``?`` behind it one that may be.
    """

    status: int
    text: str
    shape: Any = None
    headers: tuple[str, ...] = ()
    media_type: str = "application/json"


@frozen
class Described:
    """One operation.

    :ivar summary: a sentence.
    :ivar http: the answers on HTTP.
    :ivar frame: those on WebSocket.
    :ivar errors: the kinds of errors that it has and not every operation has.
    :ivar http_errors: those that it has on HTTP alone.
    :ivar together: what JSON Schema says of the members of the body together, on both transports.
    :ivar http_together: the same on HTTP alone.
    :ivar text: more than the summary says.
    :ivar without_signing: the same where there is no secret for pre-signed URLs.
    """

    summary: str
    http: tuple[Answer, ...] = ()
    frame: tuple[Answer, ...] = ()
    errors: tuple[type[GatewayError], ...] = ()
    http_errors: tuple[type[GatewayError], ...] = ()
    together: Mapping[str, Any] = field(factory=dict)
    http_together: Mapping[str, Any] = field(factory=dict)
    text: str = ""
    without_signing: str = ""

    def more(self, signs: bool, rule: str) -> str:
        """What there is to say beyond the summary; empty: nothing.

        :param signs: whether there is a secret for pre-signed URLs.
        :param rule: of the policy; empty: there is none.
        """
        return " ".join(filter(None, ("" if signs else self.without_signing, self.text, f"Rule of the policy: {rule}." if rule else "")))


# By if and else, which generators of clients leave alone: of alternatives they make types of their own.


def one_of(first: str, second: str) -> Schema:
    """Exactly one of two members is there."""
    return {"if": {"required": [first]}, "then": {"not": {"required": [second]}}, "else": {"required": [second]}}


def any_of(*names: str) -> Schema:
    """At least one of some members is there."""
    return {"if": {"anyOf": [{"required": [name]} for name in names]}, "else": False}


@frozen
class _Shown:
    """The metadata of a queue or a topic as HTTP shows them: with all reserved keys."""

    _name: str
    _kind: Kind

    def __call__(self, schemas: Schemas) -> Schema:
        return schemas.metadata(self._name, self._kind.reserved(Limits()))  # whose keys are always the same


def _stored(schemas: Schemas) -> Schema:
    return schemas.metadata("Metadata")


def changes(schemas: Schemas) -> Schema:
    """Changes of metadata."""
    properties = {name: {"type": "string", **schemas.said("Change", name)} for name in ("op", "path")}
    properties["value"] = schemas.said("Change", "value")
    needs = {"if": {"properties": {"op": {"const": "remove"}}}, "else": {"required": ["value"]}}
    change = schemas.component("Change", lambda: structure(properties, ("op", "path")) | needs)
    return {"type": "array", "items": change}


def share(schemas: Schemas) -> Schema:
    """What of a queue is to be shared."""
    properties = {name: schemas.said("QueueShare", name) for name in ("paths", "methods", "expires")}
    return structure(properties) | {"additionalProperties": False}


def subscription_changes(schemas: Schemas) -> Schema:
    """What of a subscription is to be changed."""
    names = ("subscriber", "ttl", "options")
    properties = {name: schemas.said("SubscriptionCreate", name) for name in names}
    for schema in properties.values():
        schema.pop("default", None)
    return structure(properties) | any_of(*names)


WHOLE: Mapping[str, Any] = {
    "queue_create": _stored,
    "queue_update": changes,
    "queue_share": share,
    "subscription_update": subscription_changes,
}
"""Operation to the form of the body, where that is one field as a whole."""


def _words(what: str) -> Any:
    return lambda schemas: {"type": "string", "description": f"{what}, in words."}


_LOCATION = ("Location",)
_DONE = Answer(204, "Done.")
_NOTHING = Answer(204, "Done.", shapes.Nothing)

DESCRIBED: Mapping[str, Described] = {
    # -- what is no operation ------------------------------------------------------------------------------------------
    "versions": Described("List the versions of the API.", (Answer(300, "The versions.", shapes.Versions),)),
    "home": Described(
        "Say which resources there are (JSON home).",
        (Answer(200, "The resources.", shapes.Home, ("Cache-Control",), "application/json-home"),),
    ),
    "ping_head": Described("Say that the gateway is there, whatever the store does.", (_DONE,)),
    "authenticate": Described(
        "Show a token; what comes later on this WebSocket is asked by its owner.",
        frame=(Answer(200, "The token is good.", shapes.Authenticated),),
    ),
    # -- the service ---------------------------------------------------------------------------------------------------
    "ping": Described("Say whether the store answers.", (Answer(204, "It does."),), text="A 503 for that it does not has no body."),
    "health": Described(
        "Try each kind of operation, and report.",
        (
            Answer(
                200,
                "The report; with pools one for each, by name.",
                lambda schemas: {
                    "anyOf": [
                        schemas.of(shapes.StoreHealth),
                        structure(
                            {"catalog_reachable": {"type": "boolean", "description": "Whether the catalog answers."}},
                            ("catalog_reachable",),
                        )
                        | {"additionalProperties": schemas.of(shapes.StoreHealth)},
                    ]
                },
            ),
        ),
    ),
    # -- queues --------------------------------------------------------------------------------------------------------
    "queue_list": Described(
        "List queues by name.",
        (Answer(200, "A page.", shapes.QueuePage),),
        (Answer(200, "A page.", shapes.FrameQueues),),
    ),
    "topic_list": Described("List topics by name.", (Answer(200, "A page.", shapes.TopicPage),)),
    "queue_get": Described(
        "Show the metadata of a queue.",
        (Answer(200, "The metadata; those of a queue that does not exist are the defaults.", _Shown("MetadataOfQueue", QUEUE)),),
        (Answer(200, "The metadata as they are stored.", dict[str, Any]),),
    ),
    "topic_get": Described(
        "Show the metadata of a topic.",
        (Answer(200, "The metadata; those of a topic that does not exist are the defaults.", _Shown("MetadataOfTopic", TOPIC)),),
    ),
    "queue_create": Described(
        "Create a queue.",
        (Answer(201, "It is created.", headers=_LOCATION), Answer(204, "It is there already, and stays as it is.", headers=_LOCATION)),
        (
            Answer(201, "It is created.", _words("What was done")),
            Answer(204, "It is there already, and stays as it is.", _words("What was done")),
        ),
    ),
    "queue_update": Described(
        "Change the metadata of a queue, all or nothing.",
        (Answer(200, "The metadata as they are now.", _Shown("MetadataOfQueue", QUEUE)),),
        errors=(NotFound, Conflict),
    ),
    "topic_update": Described(
        "Change the metadata of a topic, all or nothing.",
        (Answer(200, "The metadata as they are now.", _Shown("MetadataOfTopic", TOPIC)),),
        errors=(NotFound, Conflict),
    ),
    "queue_delete": Described(
        "Delete a queue and all in it; a missing one is no error.", (_DONE,), (Answer(204, "Done.", _words("What was done")),)
    ),
    "queue_get_stats": Described(
        "Count the messages of a queue.",
        (Answer(200, "The counts.", shapes.QueueStats),),
        (
            Answer(200, "The counts.", shapes.FrameStats),
            Answer(404, "There is no such queue: zeros.", shapes.FrameStats),
        ),
    ),
    "topic_get_stats": Described("Count the messages of a topic.", (Answer(200, "The counts.", shapes.TopicStats),)),
    "queue_purge": Described("Remove what is in a queue, which stays.", (_DONE,), (_NOTHING,)),
    "queue_share": Described(
        "Make a pre-signed URL for a part of a queue.",
        (Answer(200, "What its holder needs.", model.SignedUrl),),
        without_signing="It is refused as long as there is no secret for them in the settings.",
    ),
    # -- messages ------------------------------------------------------------------------------------------------------
    "message_list": Described(
        "List messages, oldest first.",
        (Answer(200, "A page.", shapes.MessagePage),),
        (Answer(200, "A page.", shapes.FrameMessages),),
    ),
    "message_get_many": Described(
        "Show messages by their ids.",
        (Answer(200, "Those that exist.", shapes.MessagePage),),
        (Answer(200, "Those that exist.", shapes.FrameMessages),),
        http_errors=(NotFound,),
    ),
    "message_post": Described(
        "Post messages to a queue, which is created where it is missing.",
        (Answer(201, "They are stored.", shapes.PostedMessages, ("Location", "Idempotency-Replayed?")),),
        (Answer(201, "They are stored.", shapes.FramePosted),),
        together={
            "not": {
                "required": ["idempotency_key", "messages"],
                "properties": {"messages": {"contains": {"required": ["idempotency_key"]}}},
            }
        },
        http_together={"required": ["messages"]},
    ),
    "message_delete_many": Described(
        "Delete messages by their ids, or remove and return the oldest of a queue (pop).",
        (Answer(200, "With pop: the messages.", shapes.PoppedMessages), Answer(204, "With ids: they are deleted.")),
        (Answer(200, "With pop: the messages.", shapes.FramePopped), Answer(204, "With ids: they are deleted.", shapes.Nothing)),
        together=one_of("message_ids", "pop"),
    ),
    "message_events": Described(
        "Be told of what is posted to a queue, as server-sent events.",
        (Answer(200, "A stream that does not end.", None, ("Cache-Control", "X-Accel-Buffering"), "text/event-stream"),),
    ),
    "message_get": Described(
        "Show a message.",
        (Answer(200, "The message.", shapes.Message),),
        (Answer(200, "The message.", shapes.FrameOneMessage),),
        errors=(NotFound,),
    ),
    "message_delete": Described("Delete a message; a missing one is no error.", (_DONE,), (_NOTHING,)),
    # -- claims --------------------------------------------------------------------------------------------------------
    "claim_create": Described(
        "Claim the oldest messages that are free.",
        (Answer(201, "The claim.", shapes.Claimed, _LOCATION), Answer(204, "There is nothing to claim.")),
        (Answer(201, "The claim.", shapes.FrameClaimed), Answer(204, "There is nothing to claim.", shapes.NothingClaimed)),
    ),
    "claim_get": Described(
        "Show a claim and its messages.",
        (Answer(200, "The claim.", shapes.Claim),),
        (Answer(200, "The claim.", shapes.FrameClaim),),
        errors=(NotFound,),
    ),
    "claim_update": Described(
        "Renew a claim from now.", (_DONE,), (Answer(204, "Done.", _words("What was done")),), errors=(NotFound,)
    ),
    "claim_delete": Described(
        "Release a claim; a missing one is no error.", (_DONE,), (Answer(204, "Done.", _words("What was done")),)
    ),
    # -- dead letters --------------------------------------------------------------------------------------------------
    "dead_letter_list": Described(
        "List the dead letters in a queue.",
        (Answer(200, "A page.", shapes.DeadLetterPage),),
        (Answer(200, "A page.", shapes.FrameDeadLetters),),
    ),
    "dead_letter_return": Described(
        "Send dead letters back to where they came from, or to another queue.",
        (Answer(200, "How many went.", shapes.Returned),),
        (Answer(200, "How many went.", shapes.Returned),),
        together=one_of("ids", "limit"),
    ),
    # -- subscriptions -------------------------------------------------------------------------------------------------
    "subscription_list": Described(
        "List the subscriptions of a queue.",
        (Answer(200, "A page.", shapes.SubscriptionPage),),
        (Answer(200, "A page.", shapes.FrameSubscriptions),),
    ),
    "subscription_create": Described(
        "Subscribe to a queue, which is created where it is missing.",
        (Answer(201, "The subscription.", shapes.Subscribed, _LOCATION),),
        (
            Answer(201, "The subscription.", shapes.FrameSubscribed),
            Answer(409, "This WebSocket, or the subscriber, has a subscription already.", _words("What was not done")),
        ),
        http_errors=(Conflict,),
        http_together={"required": ["subscriber"]},
        text="Over a WebSocket without a subscriber it is that WebSocket; start, durable, window, acknowledge, deadline and echo"
        " then make the subscription a live one, and claim makes it a worker.",
    ),
    "subscription_get": Described(
        "Show a subscription.",
        (Answer(200, "The subscription.", shown.SubscriptionShown),),
        (Answer(200, "The subscription.", shown.SubscriptionShown),),
        errors=(NotFound,),
    ),
    "subscription_update": Described(
        "Change a subscription.", (Answer(204, "Done.", headers=_LOCATION),), errors=(NotFound, Conflict)
    ),
    "subscription_delete": Described(
        "End a subscription; a missing one is no error.", (_DONE,), (Answer(204, "Done.", _words("What was done")),)
    ),
    "subscription_confirm": Described(
        "Confirm a subscription, or take that back.",
        (Answer(204, "Done.", headers=_LOCATION),),
        errors=(NotFound,),
        http_together={"required": ["confirmed"]},
    ),
    # -- live subscriptions --------------------------------------------------------------------------------------------
    "message_acknowledge": Described(
        "Say that messages of a live subscription are done.",
        frame=(Answer(200, "How many of them were outstanding.", shapes.Acknowledged),),
        errors=(NotFound, Conflict),
        together=one_of("message_ids", "up_to"),
    ),
    "message_refuse": Described(
        "Have messages of a live subscription come again.",
        frame=(Answer(200, "How many of them were outstanding.", shapes.Returning),),
        errors=(NotFound,),
    ),
    "message_extend": Described(
        "Give messages of a live subscription another deadline.",
        frame=(Answer(200, "How many of them were outstanding.", shapes.Extended),),
        errors=(NotFound,),
    ),
    "subscription_window": Described(
        "Change how many messages of a live subscription may be outstanding.",
        frame=(Answer(200, "The window that counts now.", shapes.Window),),
        errors=(NotFound,),
    ),
    "durable_list": Described(
        "List the durable names of a queue.",
        (Answer(200, "The names.", shapes.Durables),),
        (Answer(200, "The names.", shapes.Durables),),
    ),
    "durable_delete": Described("Forget a durable name; a missing one is no error.", (_DONE,), (_NOTHING,)),
    # -- deliveries ----------------------------------------------------------------------------------------------------
    "delivery_overview": Described(
        "Say where deliveries to subscribers were given up, in all projects.",
        (Answer(200, "The queues and topics.", shapes.DeliveryOverview),),
        (Answer(200, "The queues and topics.", shapes.FrameFailing),),
    ),
    "delivery_list": Described(
        "List the deliveries of a queue that were given up.",
        (Answer(200, "A page.", shapes.DeliveryPage),),
        (Answer(200, "A page.", shapes.FrameDeliveries),),
    ),
    "delivery_resend": Described(
        "Make deliveries of a queue again that were given up.",
        (Answer(200, "How many.", shapes.Resent),),
        (Answer(200, "How many.", shapes.Resent),),
    ),
    # -- pools and flavors ---------------------------------------------------------------------------------------------
    "pool_list": Described(
        "List pools by name.",
        (Answer(200, "A page.", shapes.PoolPage, ("Content-Location",)),),
        (Answer(200, "A page.", shapes.FramePools),),
    ),
    "pool_get": Described(
        "Show a pool.", (Answer(200, "The pool.", shown.PoolShown),), (Answer(200, "The pool.", shown.PoolShown),), errors=(NotFound,)
    ),
    "pool_create": Described(
        "Add a pool, in the place of the one with its name.",
        (Answer(201, "It is there.", headers=_LOCATION),),
        (Answer(201, "It is there.", _words("What was done")),),
        errors=(Conflict,),
        together={"required": ["uri", "weight"]},
    ),
    "pool_update": Described(
        "Change a pool.",
        (Answer(200, "The pool as it is now.", shown.PoolShown),),
        (Answer(200, "The pool as it is now.", shown.PoolShown),),
        errors=(NotFound, Conflict),
        together=any_of("uri", "weight", "flavor", "options"),
    ),
    "pool_delete": Described(
        "Remove a pool in which nothing is; a missing one is no error.", (_DONE,), (Answer(204, "Done.", _words("What was done")),)
    ),
    "flavor_list": Described(
        "List flavors by name.",
        (Answer(200, "A page.", shapes.FlavorPage, ()),),
        (Answer(200, "A page.", shapes.FrameFlavors),),
    ),
    "flavor_get": Described(
        "Show a flavor.",
        (Answer(200, "The flavor.", shown.FlavorShown),),
        (Answer(200, "The flavor.", shown.FlavorShown),),
        errors=(NotFound,),
    ),
    "flavor_create": Described(
        "Make a flavor of pools, in the place of the one with its name.",
        (Answer(201, "It is there.", headers=_LOCATION),),
        (Answer(201, "It is there.", _words("What was done")),),
        together={"required": ["pool_list"]},
    ),
    "flavor_update": Described(
        "Change the pools of a flavor.",
        (Answer(200, "The flavor as it is now.", shown.FlavorShown),),
        (Answer(200, "The flavor as it is now.", shown.FlavorShown),),
        errors=(NotFound,),
        together={"required": ["pool_list"]},
    ),
    "flavor_delete": Described(
        "Remove a flavor; a missing one is no error.", (_DONE,), (Answer(204, "Done.", _words("What was done")),)
    ),
}

_TOPIC = "topic_"


def described(name: str) -> Described:
    """What is said of an operation.

    :raises KeyError: nothing is.
    """
    found = DESCRIBED.get(of_queues(name))
    if found is None:
        raise KeyError(f"nothing in zaqar_gateway/descriptions/operations.py says what {name} is")
    if name in DESCRIBED or not name.startswith(_TOPIC):
        return found
    return evolve(found, summary=found.summary.replace("queue", "topic"))


def of_queues(name: str) -> str:
    """The name of the entry for an operation: its own, or of the one on queues that one on topics is as."""
    if name in DESCRIBED or not name.startswith(_TOPIC):
        return name
    other = name.removeprefix(_TOPIC)
    return other if other in DESCRIBED else f"queue_{other}"


def whole(name: str, schemas: Schemas) -> Schema:
    """The schema of a body that is one field as a whole.

    :raises KeyError: nothing says what it is.
    """
    at = name if name in WHOLE else name.removeprefix(_TOPIC)
    found: Schema = WHOLE[at if at in WHOLE else f"queue_{at}"](schemas)
    return found
