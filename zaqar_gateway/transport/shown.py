"""What both transports show in the same form.  Pure."""

from __future__ import annotations

import json
import re
from urllib.parse import quote

import msgspec
from msgspec import UNSET, Raw, UnsetType

from zaqar_gateway import model
from zaqar_gateway.instants import text_of
from zaqar_gateway.operations import pools
from zaqar_gateway.operations.registry import FLAVORS, POOLS

_ESCAPES = re.compile(rb"(?:\\u[0-9A-Fa-f]{4})+|\\.", re.DOTALL)
"""Those of UTF-16 that follow each other, since two may be one character; or another one, so that no backslash is taken for a first one."""


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


class DeadLetterShown(msgspec.Struct):
    """A dead letter; frames have no ``href``."""

    id: str
    ttl: int
    age: int
    body: Raw
    queue_name: str
    claim_count: int
    reason: str
    moved_at: str
    href: str | UnsetType = UNSET


def unescaped(text: bytes) -> Raw:
    """JSON as a client gave it, without escapes of characters that need none.

    Bodies of messages alone may keep those of what is beyond ASCII (API reference, "Base path, hrefs, hosts").
    """
    return Raw(text if text.find(b"\\u") < 0 else _ESCAPES.sub(_plain, text))


def _plain(found: re.Match[bytes]) -> bytes:
    escapes = found[0]
    if len(escapes) == 2:
        return escapes
    return json.dumps(json.loads(b'"%b"' % escapes), ensure_ascii=False)[1:-1].encode()


def dead_letter(message: model.Message, href: str | UnsetType = UNSET) -> DeadLetterShown:
    """A dead letter, with where it came from and why."""
    dead = message.dead
    assert dead is not None, "a store lists dead letters alone"
    times = "once" if message.claim_count == 1 else f"{message.claim_count} times"
    return DeadLetterShown(
        message.id,
        message.ttl_s,
        message.age_s,
        Raw(message.body),
        dead.queue,
        message.claim_count,
        f"claimed {times}, as often as _max_claim_count of {dead.queue} allows",
        text_of(dead.moved_ms // 1000) + "Z",
        href,
    )


def subscription(source: str, found: model.Subscription) -> SubscriptionShown:
    """A subscription of a queue or topic of that name."""
    options = unescaped(found.options)
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


class DurableShown(msgspec.Struct):
    """A durable name."""

    name: str
    marker: str
    pending: int
    attached: bool
    expires_in: int


def durable(found: model.Durable) -> DurableShown:
    """A durable name of a queue."""
    return DurableShown(found.name, found.marker, found.pending, found.attached, found.expires_in_s)


class PoolShown(msgspec.Struct):
    """A pool (API reference, "Pools")."""

    name: str
    href: str
    uri: str
    weight: int
    flavor: str | None
    options: Raw | UnsetType = UNSET


class FlavorShown(msgspec.Struct):
    """A flavor (API reference, "Flavors"); without pools it has no list of them."""

    name: str
    href: str
    pool_list: tuple[str, ...] | UnsetType = UNSET
    capabilities: tuple[str, ...] | UnsetType = UNSET


def href(collection: str, name: str) -> str:
    """The path of something whose name may be any text."""
    return f"{collection}/{quote(name, safe='')}"


def pool(found: model.Pool, *, detailed: bool = False) -> PoolShown:
    """A pool, whose password is masked already."""
    options = unescaped(found.options) if detailed else UNSET
    return PoolShown(found.name, href(POOLS, found.name), found.uri, found.weight, found.flavor, options)


def flavor(found: pools.FlavorShown, *, detailed: bool = False) -> FlavorShown:
    """A flavor; detailed: with what its pools are good for."""
    name, named = found.flavor.name, found.flavor.pools or UNSET
    return FlavorShown(name, href(FLAVORS, name), named, found.capabilities if detailed else UNSET)
