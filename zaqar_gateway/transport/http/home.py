"""The documents at ``/`` and ``/v2/`` (API reference, "Documents").  Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

import msgspec

from zaqar_gateway.operations.registry import Operation
from zaqar_gateway.transport.http.answers import Reply

VERSIONS = Reply(
    300,
    ((b"Content-Type", b"application/json"),),
    msgspec.json.encode(
        {
            "versions": [
                {
                    "id": "2",
                    "status": "CURRENT",
                    "updated": "2014-9-24T04:06:47Z",
                    "media-types": [
                        {"base": "application/json", "type": "application/vnd.openstack.messaging-v2+json"}
                    ],
                    "links": [{"href": "/v2/", "rel": "self"}],
                }
            ]
        }
    ),
)

_QUEUES = "/v2/queues"
_QUEUE = _QUEUES + "/{queue_name}"
_MESSAGES = _QUEUE + "/messages"
_CLAIM = _QUEUE + "/claims/{claim_id}"
_SUBSCRIPTIONS = _QUEUE + "/subscriptions"
_ID = "/{subscriptions_id}"
_TOPICS = "/v2/topics"
_TOPIC = _TOPICS + "/{topic_name}"
_TOPIC_MESSAGES = _TOPIC + "/messages"
_TOPIC_SUBSCRIPTIONS = _TOPIC + "/subscriptions"

_RELATIONS: tuple[tuple[str, str, tuple[str, ...]], ...] = (
    ("queues", _QUEUES + "{?marker,limit,detailed}", ("queue_list",)),
    ("queue", _QUEUE, ("queue_get", "queue_create", "queue_delete", "queue_update")),
    ("queue_stats", _QUEUE + "/stats", ("queue_get_stats",)),
    ("queue_share", _QUEUE + "/share", ("queue_share",)),
    ("queue_purge", _QUEUE + "/purge", ("queue_purge",)),
    ("messages", _MESSAGES + "{?marker,limit,echo,include_claimed}", ("message_list",)),
    ("post_messages", _MESSAGES, ("message_post",)),
    ("messages_delete", _MESSAGES + "{?ids,pop}", ("message_delete_many",)),
    ("message_delete", _MESSAGES + "/{message_id}{?claim}", ("message_delete",)),
    ("message_get", _MESSAGES + "/{message_id}", ("message_get",)),
    ("claim", _CLAIM, ("claim_get",)),
    ("patch_claim", _CLAIM, ("claim_update",)),
    ("delete_claim", _CLAIM, ("claim_delete",)),
    ("post_claim", _QUEUE + "/claims{?limit}", ("claim_create",)),
    ("subscriptions_get", _SUBSCRIPTIONS + "{?marker,limit}", ("subscription_list",)),
    ("subscriptions_post", _SUBSCRIPTIONS, ("subscription_create",)),
    ("subscription", _SUBSCRIPTIONS + _ID, ("subscription_get", "subscription_delete")),
    ("subscription_patch", _SUBSCRIPTIONS + _ID, ("subscription_update",)),
    ("topics", _TOPICS + "{?marker,limit,detailed}", ("topic_list",)),
    ("topic", _TOPIC, ("topic_get", "topic_create", "topic_delete", "topic_update")),
    ("topic_stats", _TOPIC + "/stats", ("topic_get_stats",)),
    ("topic_purge", _TOPIC + "/purge", ("topic_purge",)),
    ("topic_messages", _TOPIC_MESSAGES + "{?marker,limit,echo,include_delayed}", ("topic_message_list",)),
    ("post_topic_messages", _TOPIC_MESSAGES, ("topic_message_post",)),
    ("topic_messages_delete", _TOPIC_MESSAGES + "{?ids,pop}", ("topic_message_delete_many",)),
    ("topic_message_delete", _TOPIC_MESSAGES + "/{message_id}", ("topic_message_delete",)),
    ("topic_message_get", _TOPIC_MESSAGES + "/{message_id}", ("topic_message_get",)),
    ("topic_subscriptions_get", _TOPIC_SUBSCRIPTIONS + "{?marker,limit}", ("topic_subscription_list",)),
    ("topic_subscriptions_post", _TOPIC_SUBSCRIPTIONS, ("topic_subscription_create",)),
    ("topic_subscription", _TOPIC_SUBSCRIPTIONS + _ID, ("topic_subscription_get", "topic_subscription_delete")),
    ("topic_subscription_patch", _TOPIC_SUBSCRIPTIONS + _ID, ("topic_subscription_update",)),
    ("ping", "/v2/ping", ("ping",)),
    ("pools", "/v2/pools{?detailed,limit,marker}", ("pool_list",)),
    ("pool", "/v2/pools/{pool_name}", ("pool_get", "pool_create", "pool_update", "pool_delete")),
    ("flavors", "/v2/flavors{?detailed,limit,marker}", ("flavor_list",)),
    ("flavor", "/v2/flavors/{flavor_name}", ("flavor_get", "flavor_create", "flavor_update", "flavor_delete")),
    ("health", "/v2/health", ("health",)),
)
"""Relation, template, and the operations whose methods it allows; it is listed where one of them is served.

The templates are literal: clients compare some of them, and they name fewer parameters than the operations know.
"""

_PLAIN = ("health",)  # relations with ``href`` in place of ``href-template``
_VARIABLES = re.compile(r"\{\??([a-z_,]+)\}")


def home(served: Iterable[Operation]) -> Reply:
    """The JSON home document.

    :param served: the operations that can be reached.
    """
    methods = {operation.name: operation.http.method for operation in served if operation.http is not None}
    resources: dict[str, Any] = {}
    for relation, template, names in _RELATIONS:
        allow = [methods[name] for name in names if name in methods]
        if allow:
            resources[f"rel/{relation}"] = _resource(relation, template, allow)
    return Reply(
        200,
        ((b"Content-Type", b"application/json-home"), (b"Cache-Control", b"max-age=86400")),
        msgspec.json.encode({"resources": resources}),
    )


def _resource(relation: str, template: str, allow: list[str]) -> dict[str, Any]:
    hints: dict[str, Any] = {"allow": allow, "formats": {"application/json": {}}}
    if allow[0] in ("POST", "PATCH"):
        hints["accept-post"] = ["application/json"]
    if relation in _PLAIN:
        return {"href": template, "hints": hints}
    variables = [name for group in _VARIABLES.findall(template) for name in group.split(",")]
    return {
        "href-template": template,
        "href-vars": {name: f"param/{name}" for name in variables},
        "hints": hints,
    }
