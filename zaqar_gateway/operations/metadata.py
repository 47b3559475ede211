"""Metadata of queues and topics: the reserved keys, their ranges, their defaults, and what the store has to know of them.

Rules are those of the API reference, "Queue metadata".
"""

from __future__ import annotations

from typing import Any

import msgspec
from twisted.logger import Logger

from zaqar_gateway.errors import RuleBroken
from zaqar_gateway.limits import TTL_MIN_S, Limits, in_range, valid_name
from zaqar_gateway.model import QueueRules

_log = Logger()

BACKOFF_FUNCTIONS = ("linear", "arithmetic", "geometric", "exponential")
_RETRY_COUNTS = (
    "retries_with_no_delay",
    "minimum_delay_retries",
    "minimum_delay",
    "maximum_delay",
    "maximum_delay_retries",
)
_MINIMUM_DELAY_S, _MAXIMUM_DELAY_S, _DELAY_SPREAD_MIN_S = 5, 30, 10


def reserved_of_topics(limits: Limits) -> dict[str, Any]:
    """The reserved keys that every topic shows, with what is shown where a topic has nothing of its own."""
    return {
        "_max_messages_post_size": limits.post_size_max,
        "_default_message_ttl": limits.message_ttl_default_s,
        "_default_message_delay": limits.message_delay_default_s,
    }


def reserved(limits: Limits) -> dict[str, Any]:
    """The reserved keys that every queue shows, with what is shown where a queue has nothing of its own."""
    return reserved_of_topics(limits) | {
        "_dead_letter_queue": None,
        "_dead_letter_queue_messages_ttl": None,
        "_max_claim_count": None,
        "_enable_encrypt_messages": False,
    }


def shown(metadata: dict[str, Any], defaults: dict[str, Any]) -> dict[str, Any]:
    """Metadata as a client sees them: absent and falsy reserved keys have their default."""
    return metadata | {key: metadata.get(key) or default for key, default in defaults.items()}


def check(queue: str, metadata: dict[str, Any], limits: Limits, *, dead_letters: bool = True) -> QueueRules:
    """Check the reserved keys.

    :param dead_letters: whether messages may be moved to a dead letter queue; where nothing is claimed, none is.
    :return: what the store has to know.
    :raises RuleBroken: a reserved key has a value of the wrong type or out of range.
    """
    ttl_s = _integer(metadata, "_default_message_ttl", TTL_MIN_S, limits.message_ttl_max_s)
    size = _integer(metadata, "_max_messages_post_size", 1, limits.post_size_max)
    delay_s = _integer(metadata, "_default_message_delay", 0, limits.message_delay_max_s)
    dead_ttl_s = _integer(metadata, "_dead_letter_queue_messages_ttl", TTL_MIN_S, limits.message_ttl_max_s)
    claims = _integer(metadata, "_max_claim_count", None, None)
    encrypt = metadata.get("_enable_encrypt_messages")
    if encrypt is not None and not isinstance(encrypt, bool):
        raise RuleBroken("_enable_encrypt_messages has to be a boolean.")
    policy = metadata.get("_retry_policy")
    if policy is not None:
        check_retry_policy(policy)
    target = dead_letter_queue(metadata) if dead_letters else None
    if target == queue:
        raise RuleBroken("_dead_letter_queue is the queue itself; it has to be another queue.")
    return QueueRules(
        message_ttl_s=ttl_s,
        post_size_max=size,
        message_delay_s=delay_s or 0,
        claim_count_max=None if target is None else claims,
        dead_letter_queue=target,
        dead_letter_ttl_s=dead_ttl_s,
        encrypted=bool(encrypt),
        retry_policy=msgspec.json.encode(policy) if policy else b"",
    )


def dead_letter_queue(metadata: dict[str, Any]) -> str | None:
    """The queue that messages are moved to which were claimed too often; ``None`` where they are not moved."""
    target = metadata.get("_dead_letter_queue")
    if target is None or metadata.get("_max_claim_count") is None:
        return None
    if not isinstance(target, str) or not valid_name(target):
        # Refusing it would break clients: any value is accepted (API reference, "Claims, pop, purge, counting").
        _log.info("_dead_letter_queue names no queue; dead letters stay where they are")
        return None
    return target


def _integer(values: dict[str, Any], key: str, low: int | None, high: int | None) -> int | None:
    value = values.get(key)
    if value is None:
        return None
    if type(value) is not int:
        raise RuleBroken(f"{key} has to be an integer.")
    if low is not None and high is not None:
        in_range(key, value, low, high)
    return value


def check_retry_policy(policy: object) -> None:
    """Check a policy for the delivery of notifications (API reference, "Webhook success and retry").

    :raises RuleBroken: a member has a value of the wrong type or out of range.
    """
    if not isinstance(policy, dict):
        raise RuleBroken("_retry_policy has to be an object.")
    for key in _RETRY_COUNTS:
        value = policy.get(key)
        if value and (type(value) is not int or value < 0):
            raise RuleBroken(f"_retry_policy: {key} has to be an integer, 0 or more.")
    function = policy.get("retry_backoff_function")
    if function and function not in BACKOFF_FUNCTIONS:
        raise RuleBroken(f"_retry_policy: retry_backoff_function has to be one of {', '.join(BACKOFF_FUNCTIONS)}.")
    override = policy.get("ignore_subscription_override")
    if override and not isinstance(override, bool):
        raise RuleBroken("_retry_policy: ignore_subscription_override has to be a boolean.")
    least = policy.get("minimum_delay") or _MINIMUM_DELAY_S
    most = policy.get("maximum_delay") or _MAXIMUM_DELAY_S
    if most - least < _DELAY_SPREAD_MIN_S:
        raise RuleBroken(
            f"_retry_policy: maximum_delay ({most}) has to be at least {_DELAY_SPREAD_MIN_S} seconds"
            f" more than minimum_delay ({least})."
        )
