"""What members and parameters mean, and within which bounds they have to be.

A type says the rest.  Bounds come from the limits and from the constants of the operations that look at them.  The tests ask a
gateway for what is just within and just beyond each.
"""

from __future__ import annotations

from typing import Any

from zaqar_gateway.descriptions.schemas import Members, Schema
from zaqar_gateway.descriptions.terms import Terms
from zaqar_gateway.limits import KEY_FORM, NAME_FORM, PROJECT_LENGTH_MAX, TTL_MIN_S, WAIT_MAX_S
from zaqar_gateway.model import EARLIEST, LATEST
from zaqar_gateway.operations import live
from zaqar_gateway.operations.dead_letters import RATE_MAX, RATE_MIN, RETURNED_MAX
from zaqar_gateway.operations.deliveries import RESENT_MAX
from zaqar_gateway.operations.metadata import BACKOFF_FUNCTIONS
from zaqar_gateway.operations.patch import OPS
from zaqar_gateway.operations.pools import TEXT_LENGTH_MAX, WEIGHT_MAX
from zaqar_gateway.operations.queues import PURGEABLE
from zaqar_gateway.operations.subscriptions import SUBSCRIBER_LENGTH_MAX
from zaqar_gateway.operations.urls import SHARED

ID = {"pattern": f"^{live.ID_FORM}$"}
NAME = {"pattern": f"^{NAME_FORM}$"}
KEY = {"pattern": f"^{KEY_FORM}$"}


def _is(text: str, **more: Any) -> Schema:
    return {"description": text, **more}


def _ids(text: str, most: int) -> Schema:
    return _is(text, minItems=1, maxItems=most)


def _texts(text: str, most: int) -> Schema:
    """Ids in a query, where an empty one is none."""
    return {**_ids(text, most), "items": {"type": "string", "minLength": 1}}


def _seconds(text: str, least: int, most: int | None, default: int | None = None) -> Schema:
    schema = _is(f"{text}, in seconds.", minimum=least)
    if most is not None:
        schema["maximum"] = most
    return schema if default is None else {**schema, "default": default}


def _page(what: str, most: int) -> Schema:
    return _is(f"The most {what} that are wanted.", minimum=1, maximum=most, default=min(10, most))


def members(terms: Terms) -> Members:
    """All of them, under the names that :class:`~zaqar_gateway.descriptions.schemas.Schemas` looks for."""
    limits = terms.limits
    ttl_default, ttl_max = limits.message_ttl_default_s, limits.message_ttl_max_s
    grace_text = "For how long messages outlive the claim at least, from when it lapses"
    ttl_text, wait = "For how long the claim holds", _seconds("For how long to wait where there is nothing", 0, WAIT_MAX_S)
    return {
        # -- what stands in more than one place ------------------------------------------------------------------------
        "queue_name": _is("The name of a queue.", **NAME),
        "topic_name": _is("The name of a topic.", **NAME),
        "message_id": _is("The id of a message.", minLength=1),
        "claim_id": _is("The id of a claim."),
        "subscription_id": _is("The id of a subscription."),
        "id": _is("The id."),
        "href": _is("The path."),
        "name": _is("The name."),
        "project": _is("The project."),
        "queue": _is("The name of the queue."),
        "topic": _is("The name of the topic."),
        "marker": _is("What the page begins behind: the last one of the page before. Links to the next page have it."),
        "detailed": _is("Whether to show all that is known of each."),
        "ttl": _is("For how long it lasts, in seconds."),
        "age": _is("For how long it is there, in seconds."),
        "body": _is("The body, as it was posted: any JSON."),
        "checksum": _is("MD5 of the body as it is stored."),
        "claim_count": _is("How many times the message was claimed."),
        "count": _is("How many there are."),
        "links": _is("One link to the next page; none behind an empty page."),
        "rel": _is("What it leads to: next."),
        "messages": _is("The messages."),
        "metadata": _is("The metadata."),
        "title": _is("What kind of error it is."),
        "description": _is("Which field it is, what was wrong, and what would be right."),
        "error": _is("What was wrong."),
        "exception": _is("The same."),
        "reason": _is("Why."),
        "subscriber": _is("Who is told: a URI."),
        "options": _is("Options of the subscription, any object.", type="object"),
        "project_id": _is("The project."),
        "listener": _is("The connection."),
        # -- queues ----------------------------------------------------------------------------------------------------
        "QueueList.marker": _is("The name of the last queue of the page before."),
        "QueueList.limit": _page("queues", limits.queues_page_max),
        "QueueList.detailed": _is("Whether to show metadata."),
        "QueueList.name": _is("Only those with this in their name."),
        "QueueList.with_count": _is("Whether to say how many queues there are in all."),
        "QueueList.filters": _is("Only those whose metadata have these values; a key with dots leads into objects."),
        "QueueCreate.metadata": _is("The metadata, with the reserved keys among them.", type="object"),
        "QueuePurge.resource_types": _is("What to remove; left out: all."),
        "QueuePurge.resource_types@http": _is(
            "What to remove; left out: all.", items={"type": "string", "enum": list(PURGEABLE)}
        ),
        "QueuePage.queues": _is("The queues."),
        "TopicPage.topics": _is("The topics."),
        "FrameQueues.queues": _is("The queues."),
        "claimed": _is("Those that are claimed now."),
        "free": _is("Those that are not."),
        "total": _is("All."),
        "oldest": _is("The oldest message."),
        "newest": _is("The newest message."),
        "created": _is("When it was posted (ISO 8601, UTC)."),
        "Metadata._max_messages_post_size": _is(
            "The most bytes of a post.", type=["integer", "null"], minimum=1, maximum=limits.post_size_max
        ),
        "Metadata._default_message_ttl": _is(
            "The ttl of messages that bring none, in seconds.", type=["integer", "null"], minimum=TTL_MIN_S, maximum=ttl_max
        ),
        "Metadata._default_message_delay": _is(
            "The delay of messages that bring none, in seconds. Where it is 0 no message is delayed.",
            type=["integer", "null"],
            minimum=0,
            maximum=limits.message_delay_max_s,
        ),
        "Metadata._dead_letter_queue": _is("The queue that messages move to that were claimed too often."),
        "Metadata._dead_letter_queue_messages_ttl": _is(
            "The ttl that they get there, in seconds.", type=["integer", "null"], minimum=TTL_MIN_S, maximum=ttl_max
        ),
        "Metadata._max_claim_count": _is("How often a message may be claimed.", type=["integer", "null"]),
        "Metadata._enable_encrypt_messages": _is("Whether bodies are stored encrypted.", type=["boolean", "null"]),
        "Metadata._retry_policy": _is("How deliveries to subscribers are tried again.", **_retry_policy()),
        "Metadata._flavor": _is("The flavor of the pools that it may be put in, where there are pools."),
        "op": _is("What to do.", enum=list(OPS)),
        "path": _is(
            "Which key: /metadata/ and its name, as a JSON pointer.", pattern=r"^/metadata/([^/~\s]|~[01])([^/~]|~[01])*$"
        ),
        "value": _is("The new value; not with remove."),
        # -- messages --------------------------------------------------------------------------------------------------
        "MessagePost.messages": _is("The messages, in order.", minItems=1),
        "MessagePost.idempotency_key": _is("All are posted once under this key, however often it comes.", **KEY),
        "Posted.ttl": _seconds(f"For how long the message lasts; left out: what its queue says, else {ttl_default}", TTL_MIN_S, ttl_max),
        "Posted.delay": _is(
            "After how many seconds it can be had. Looked at over HTTP alone, and only in a queue with _default_message_delay.",
            **{"type": "integer", "minimum": 0, "maximum": limits.message_delay_max_s},
        ),
        "Posted.idempotency_key": _is("This message is posted once under this key.", **KEY),
        "MessageList.marker": _is("The id of a message: those behind it."),
        "MessageList.limit": _page("messages", limits.messages_page_max),
        "MessageList.echo": _is("Whether to show those that were posted with this Client-ID."),
        "MessageList.include_claimed": _is("Whether to show those that are claimed."),
        "MessageList.include_delayed": _is("Whether to show those that are delayed."),
        "MessageList.wait": wait,
        "MessageEvents.marker": _is("Where to begin: behind the message with this id, or with earliest.", pattern=_PLACE),
        "MessageEvents.last_event_id": _is("The same; it wins over marker.", pattern=_PLACE),
        "MessageEvents.echo": _is("Whether to tell of those that were posted with this Client-ID."),
        "MessageGetMany.message_ids": _ids("The ids of messages.", limits.messages_page_max),
        "MessageGetMany.message_ids@http": _texts("The ids of messages.", limits.messages_page_max),
        "MessageDelete.claim_id": _is("The claim that the message is under; needed where it is claimed."),
        "MessageDeleteMany.message_ids": _ids("The ids of messages; or pop.", limits.messages_page_max),
        "MessageDeleteMany.message_ids@http": _texts("The ids of messages; or pop.", limits.messages_page_max),
        "MessageDeleteMany.pop": _is(
            "How many messages to remove and return, the oldest; or ids.", minimum=1, maximum=limits.claim_or_pop_max
        ),
        "MessageDeleteMany.claim_ids": _is(
            "The claims that the messages are under; needed with their ids."
            if limits.delete_needs_claim_id
            else "The claims that the messages are under; not looked at here."
        ),
        "MessageDeleteMany.wait": {**wait, "description": f"{wait['description']} Goes with pop."},
        "resources": _is("The paths of the messages, in the order in which they were posted."),
        "message_ids": _is("The ids of messages."),
        "replayed": _is("Whether all of them were posted before, under their keys."),
        # -- claims ----------------------------------------------------------------------------------------------------
        "ClaimCreate.limit": _page("messages", limits.claim_or_pop_max),
        "ClaimCreate.ttl": _seconds(ttl_text, TTL_MIN_S, limits.claim_ttl_max_s, limits.claim_ttl_default_s),
        "ClaimCreate.grace": _seconds(grace_text, TTL_MIN_S, limits.claim_grace_max_s, limits.claim_grace_default_s),
        "ClaimCreate.wait": wait,
        "ClaimUpdate.ttl": _seconds(ttl_text, TTL_MIN_S, limits.claim_ttl_max_s, limits.claim_ttl_default_s),
        "ClaimUpdate.grace": _seconds(grace_text, TTL_MIN_S, limits.claim_grace_max_s, limits.claim_grace_default_s),
        # -- dead letters ----------------------------------------------------------------------------------------------
        "DeadLetterList.marker": _is("The id of the last one of the page before."),
        "DeadLetterList.limit": _page("dead letters", limits.messages_page_max),
        "DeadLetterReturn.ids": _ids("Which to send back; or limit.", RETURNED_MAX),
        "DeadLetterReturn.limit": _is("How many to send back, the oldest; or ids.", minimum=1, maximum=RETURNED_MAX),
        "DeadLetterReturn.destination": _is("The queue that they go to; left out: each to where it came from.", **NAME),
        "DeadLetterReturn.rate": _is(
            "How many of them become deliverable in a second; left out: all at once.", minimum=RATE_MIN, maximum=RATE_MAX
        ),
        "dead_letters": _is("The dead letters."),
        "DeadLetter.queue_name": _is("The queue that it was moved from."),
        "moved_at": _is("When it was moved (ISO 8601, UTC)."),
        "returned": _is("How many went."),
        "remaining": _is("How many are left."),
        # -- subscriptions ---------------------------------------------------------------------------------------------
        "SubscriptionCreate.subscriber": _is(
            f"Who is told: a URI of the schemes {', '.join(limits.subscriber_types)}.",
            type="string",
            minLength=1,
            maxLength=SUBSCRIBER_LENGTH_MAX,
            examples=["http://example.org/hook"],
        ),
        "SubscriptionCreate.subscriber@frame": _is(
            f"Who is told: a URI of the schemes {', '.join(limits.subscriber_types)}. Left out or empty: this WebSocket.",
            maxLength=SUBSCRIBER_LENGTH_MAX,
            examples=["http://example.org/hook"],
        ),
        "SubscriptionCreate.ttl": {
            "type": "integer",
            **_seconds("For how long the subscription lasts", TTL_MIN_S, None, limits.subscription_ttl_default_s),
        },
        "SubscriptionCreate.options": _is(
            "Options, any object; _retry_policy is looked at.", **_object(_retry_policy_member())
        ),
        "SubscriptionCreate.start": _is(
            "Where a live subscription begins: latest, earliest, or behind the message with this id.",
            type="string",
            pattern=f"^({live.ID_FORM}|{EARLIEST}|{LATEST})$",
            default=LATEST,
        ),
        "SubscriptionCreate.durable": _is("The name under which the place is kept.", type="string", **NAME),
        "SubscriptionCreate.window": _is(
            "The most messages that are sent and not acknowledged.",
            **{"type": "integer", "minimum": 1, "maximum": live.WINDOW_MAX, "default": live.WINDOW},
        ),
        "SubscriptionCreate.acknowledge": _is(
            "Whether messages are acknowledged; explicit is the default with a durable name.", enum=["none", "explicit"]
        ),
        "SubscriptionCreate.deadline": {
            "type": "integer",
            **_seconds("After what time a message that is not acknowledged comes again", 1, live.DEADLINE_MAX_S, live.DEADLINE_S),
        },
        "SubscriptionCreate.echo": _is(
            "false: without messages that were posted with this Client-ID.", type="boolean", default=True
        ),
        "SubscriptionCreate.claim": _is(
            "Makes the WebSocket a worker, for which messages are claimed.",
            type="object",
            properties={
                "ttl": {"type": "integer", **_seconds(ttl_text, TTL_MIN_S, limits.claim_ttl_max_s, limits.claim_ttl_default_s)},
                "grace": {
                    "type": "integer",
                    **_seconds(grace_text, TTL_MIN_S, limits.claim_grace_max_s, limits.claim_grace_default_s),
                },
            },
            additionalProperties=False,
        ),
        "SubscriptionList.marker": _is("The id of the last one of the page before."),
        "SubscriptionList.limit": _page("subscriptions", limits.subscriptions_page_max),
        "SubscriptionConfirm.confirmed": _is("Whether it is confirmed.", type="boolean"),
        "source": _is("The name of the queue or topic."),
        "confirmed": _is("Whether it is confirmed."),
        "subscriptions": _is("The subscriptions."),
        "message": _is("What was done, in words."),
        "live": _is("How a live subscription begins."),
        "durable": _is("The durable name.", type=["string", "null"]),
        "window": _is("The most messages that are sent and not acknowledged."),
        "resumed": _is("Whether the durable name was there."),
        "Begun.marker": _is("The place behind which it begins; null for a worker."),
        "LiveAcknowledge.message_ids": _ids("The ids of messages; or up_to.", live.IDS_MAX),
        "LiveAcknowledge.up_to": _is("The id of a message: it and all that were sent before it.", **ID),
        "LiveRefuse.message_ids": _ids("The ids of messages.", live.IDS_MAX),
        "LiveRefuse.delay": _seconds("After what time they come again", 0, live.DELAY_MAX_S),
        "LiveExtend.message_ids": _ids("The ids of messages.", live.IDS_MAX),
        "LiveExtend.deadline": _seconds("After what time from now they come again", 1, live.DEADLINE_MAX_S),
        "LiveWindow.window": _is("The most messages that are sent and not acknowledged.", minimum=1, maximum=live.WINDOW_MAX),
        "acknowledged": _is("How many of them were outstanding on this WebSocket."),
        "refused": _is("How many of them were outstanding on this WebSocket."),
        "extended": _is("How many of them were outstanding on this WebSocket."),
        "Durable.durable": _is("A durable name.", **NAME),
        "durables": _is("The durable names."),
        "Durable.marker": _is("The place."),
        "pending": _is("How many messages were sent and are not done."),
        "attached": _is("Whether somebody holds the name."),
        "expires_in": _is("After how many seconds it ends."),
        # -- deliveries ------------------------------------------------------------------------------------------------
        "DeliveryList.marker": _is("The id of the last one of the page before."),
        "DeliveryList.limit": _page("deliveries", limits.subscriptions_page_max),
        "DeliveryResend.ids": _ids("Which to send again; left out: all.", RESENT_MAX),
        "deliveries": _is("The deliveries."),
        "DeliveryOverview.deliveries": _is("The queues and topics."),
        "FrameFailing.deliveries": _is("The queues and topics."),
        "Delivery.subscriber": _is("Whom it was for, without password and query."),
        "attempts": _is("How many attempts were made."),
        "notice": _is("What kind of notice it was; empty for a message."),
        # -- pools and flavors -----------------------------------------------------------------------------------------
        "pool_name": _is("The name of a pool.", minLength=1),
        "flavor_name": _is("The name of a flavor.", minLength=1),
        "PoolList.marker": _is("The name of the last pool of the page before."),
        "PoolList.limit": _page("pools", limits.pools_page_max),
        "PoolPut.uri": _is("The URI of its store.", type="string", minLength=1, maxLength=TEXT_LENGTH_MAX, examples=["memory:"]),
        "PoolPut.weight": _is(
            "How much of what is new it gets, compared with the others.", type="integer", minimum=0, maximum=WEIGHT_MAX
        ),
        "PoolPut.flavor": _is("The flavor that it is of; empty: none.", type="string", maxLength=TEXT_LENGTH_MAX),
        "PoolPut.options": _is("Any object.", type="object"),
        "Pool.uri": _is("The URI of its store, passwords masked."),
        "Pool.options": _is("What was given as options.", type="object"),
        "weight": _is("How much of what is new it gets, compared with the others."),
        "flavor": _is("The flavor that it is of."),
        "pools": _is("The pools."),
        "FlavorList.marker": _is("The name of the last flavor of the page before."),
        "FlavorList.limit": _page("flavors", limits.flavors_page_max),
        "FlavorPut.pool_list": _is("The names of its pools.", type="array", items={"type": "string"}, minItems=1),
        "FlavorPut.capabilities": _is("Any object; nothing is made of it.", type="object"),
        "pool_list": _is("The names of its pools."),
        "capabilities": _is("What all its pools are good for."),
        "flavors": _is("The flavors."),
        # -- pre-signed URLs -------------------------------------------------------------------------------------------
        "QueueShare.paths": _is("What of the queue; left out: messages.", type="array", items={"type": "string", "enum": list(SHARED)}),
        "QueueShare.methods": _is("Which methods; left out: GET.", type="array", items={"type": "string"}),
        "QueueShare.expires": _is(
            "Until when (ISO 8601, in the future); left out: for a day.", type="string", examples=["2099-01-01T00:00:00"]
        ),
        "SignedUrl.paths": _is("The paths that it gives access to; for URL-Paths, joined by commas."),
        "SignedUrl.methods": _is("The methods; for URL-Methods, joined by commas."),
        "SignedUrl.project": _is("For X-Project-ID."),
        "SignedUrl.expires": _is("Until when (ISO 8601, UTC); for URL-Expires."),
        "signature": _is("For URL-Signature; whoever has it may use it."),
        # -- the service -----------------------------------------------------------------------------------------------
        "storage_reachable": _is("Whether the store answers."),
        "operation_status": _is("How each kind of operation went."),
        "message_volume": _is("What is stored."),
        "succeeded": _is("Whether it was done."),
        "seconds": _is("How long it took."),
        "ref": _is("Stands in the log beside the cause, where it failed."),
        "code": _is("The status."),
        "versions": _is("The versions."),
        "status": _is("CURRENT is the one to use."),
        "updated": _is("Since when it is."),
        "media_types": _is("What it speaks."),
        "base": _is("The media type."),
        "type": _is("What it is to this API."),
        "Version.links": _is("Where it begins."),
        "Home.resources": _is("The relations, with where each is found and what it allows."),
        # -- frames ----------------------------------------------------------------------------------------------------
        "Message_Type": _is("What kind of frame it is."),
        "redelivered": _is("Whether it may have been sent before."),
        "MessageSent.claim_id": _is("The claim that a worker has it under."),
        "FrameMessage.claim_id": _is("The claim that it is under, in the answers about that."),
        "Gap.after": _is("The place behind which messages are gone; null: before the first one."),
        "Gap.continues_at": _is("The id of the next message, if there is one."),
        "delay": _is("The delay that it was posted with, in seconds."),
        "client": _is("A UUID that names the client; its form is looked at where clients are compared."),
        "Headers.project": _is("The project.", maxLength=PROJECT_LENGTH_MAX),
        "user_agent": _is("Not looked at."),
        "date": _is("Not looked at."),
        "accept": _is("Not looked at."),
        "token": _is("A token of Keystone."),
        "url_signature": _is("The signature of a pre-signed URL.", type="string"),
        "url_expires": _is("Until when it is good.", type="string"),
        "url_methods": _is("The methods that it gives.", type="array", items={"type": "string"}),
        "url_paths": _is("The paths that it gives.", type="array", items={"type": "string"}),
        "roles": _is("The client's roles, separated by commas.", type="string"),
        "user": _is("The client's user.", type="string"),
    }


_PLACE = f"^({live.ID_FORM}|{EARLIEST}|{LATEST})$"


def _object(properties: dict[str, Schema]) -> Schema:
    return {"type": "object", "properties": properties}


def _retry_policy_member() -> dict[str, Schema]:
    return {"_retry_policy": {"description": "How deliveries are tried again.", **_retry_policy()}}


def _retry_policy() -> Schema:
    count = {"type": ["integer", "null"], "minimum": 0}
    return {
        "type": ["object", "null"],
        "properties": {
            "retries_with_no_delay": {"description": "Attempts at once.", **count},
            "minimum_delay_retries": {"description": "Attempts after the minimum delay each.", **count},
            "minimum_delay": {"description": "In seconds.", **count},
            "maximum_delay": {"description": "In seconds, at least 10 more than the minimum.", **count},
            "maximum_delay_retries": {"description": "Attempts after the maximum delay each.", **count},
            "retry_backoff_function": {
                "description": "How the delay grows in between.", "enum": [*BACKOFF_FUNCTIONS, "", None]
            },
            "ignore_subscription_override": {
                "description": "Whether subscriptions cannot have a policy of their own.", "type": ["boolean", "null"]
            },
        },
    }
