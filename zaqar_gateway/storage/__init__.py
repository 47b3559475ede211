"""Stores, and the refusals whose texts they share, so that a client cannot tell one store from another by them."""

from __future__ import annotations

from zaqar_gateway.errors import (
    ClaimMismatch,
    MessageClaimed,
    PoolNeeded,
    PoolUriTaken,
    QuotaExceeded,
    RuleBroken,
    SubscriberTaken,
    TooManyRequests,
    repeated,
)


def marker_unknown(marker: str) -> RuleBroken:
    """A queue is to be read from what marks no place in any queue."""
    return RuleBroken(
        f"The marker {repeated(marker)!r} marks no place in a queue; it has to be the id of a message, 24 digits 0-9 and a-f,"
        ' "earliest" or "latest".'
    )


def post_too_large(size: int, limit: int, *, own: bool) -> RuleBroken:
    """A post is larger than allowed (API reference, "POST messages").

    :param size: of the whole post, in bytes.
    :param limit: the smaller of the limit of the queue or topic and the configured one, in bytes.
    :param own: whether that limit is the one of the queue or topic.
    """
    whose = "_max_messages_post_size in the metadata" if own else "the limit of the service"
    return RuleBroken(f"The post has {size} bytes; it has to have at most {limit}, which is {whose}.")


def other_number(number: int) -> RuleBroken:
    """A key of a post came with another number of messages before."""
    return RuleBroken(
        f"idempotency_key came with another number of messages before, which is {number}; it has to come with the same ones,"
        " or another key has to be used."
    )


def keys_exceeded(most: int, wait_s: int) -> TooManyRequests:
    """As many keys are kept as may be."""
    return TooManyRequests(
        f"At most {most} idempotency keys are kept for a queue or topic; there is room for others in {wait_s} s.", wait_s
    )


def claimed(message_id: str) -> MessageClaimed:
    """A live claim holds the message, and the request to delete it does not carry that claim."""
    return MessageClaimed(f"Message {message_id} is claimed; delete it with the claim_id of the claim that holds it.")


def mismatch(message_id: str) -> ClaimMismatch:
    """The message is not under a claim that the request to delete it gives."""
    return ClaimMismatch(
        f"Message {message_id} is not under the claim given with it; the claim may have lapsed or been released."
    )


def subscriber_taken(subscriber: str) -> SubscriberTaken:
    """A subscription cannot get a subscriber that another one of the same queue or topic has."""
    return SubscriberTaken(f"Another subscription has the subscriber {subscriber}; it has to be unique.")


def queues_exceeded(limit: int) -> QuotaExceeded:
    """A project has as many queues, or topics, as it may have."""
    return QuotaExceeded(
        f"The project may have at most {limit} queues, and as many topics, and has as many of these; one has to be deleted first."
    )


def messages_exceeded(limit: int) -> QuotaExceeded:
    """A post would make too many messages."""
    return QuotaExceeded(f"There may be at most {limit} messages here, which this post would exceed.")


def bytes_exceeded(limit: int) -> QuotaExceeded:
    """A post would make too many bytes of bodies."""
    return QuotaExceeded(f"The messages here may have at most {limit} bytes, which this post would exceed.")


def subscriptions_exceeded(limit: int) -> QuotaExceeded:
    """A queue, or topic, has as many subscriptions as it may have."""
    return QuotaExceeded(f"There may be at most {limit} subscriptions here, and there are as many.")


def durables_exceeded(limit: int) -> QuotaExceeded:
    """A queue has as many durable names as it may have."""
    return QuotaExceeded(f"The queue may have at most {limit} durable names, and has as many; one has to be deleted first.")


def pool_uri_taken() -> PoolUriTaken:
    """Two pools cannot be one store."""
    return PoolUriTaken("Another pool has this uri; each pool has to have one of its own.")


def last_of_flavor(pool: str, flavor: str) -> PoolNeeded:
    """A flavor has to have a pool."""
    return PoolNeeded(f"Pool {pool} is the only one of flavor {flavor}; give the flavor another one, or delete it, first.")


def pool_in_use(pool: str, number: int) -> PoolNeeded:
    """Queues stay where they are."""
    return PoolNeeded(f"Pool {pool} is in use: {number} queues or topics are in it, which have to be deleted first.")
