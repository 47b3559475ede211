"""What both transports show in the same form.  Pure."""

from __future__ import annotations

import msgspec

from zaqar_gateway import model


class SubscriptionShown(msgspec.Struct):
    """A subscription (API reference, "Subscriptions"); clients need all of these keys."""

    id: str
    source: str
    subscriber: str
    ttl: int
    age: int
    options: msgspec.Raw
    confirmed: bool


class DeliveryShown(msgspec.Struct):
    """A delivery that was given up; ``notice`` is empty for a message."""

    id: str
    subscription_id: str
    subscriber: str
    attempts: int
    reason: str
    age: int
    notice: str


def subscription(source: str, found: model.Subscription) -> SubscriptionShown:
    """A subscription of a queue or topic of that name."""
    options = msgspec.Raw(found.options)
    return SubscriptionShown(
        found.id, source, found.subscriber, found.ttl_s, found.age_s, options, found.confirmed
    )


def delivery(failed: model.FailedDelivery) -> DeliveryShown:
    """A delivery as operators see it."""
    return DeliveryShown(
        failed.id,
        failed.subscription_id,
        failed.subscriber,
        failed.attempts,
        failed.reason,
        failed.age_s,
        failed.notice,
    )
