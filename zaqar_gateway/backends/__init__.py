"""Where everything is kept: the storage backends of this package, and how the one that the settings ask for is made.

What connects to a Redis is imported late, since importing txredisapi installs a reactor; by then there is one.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from zope.interface.interface import InterfaceClass

from zaqar_gateway import plugins
from zaqar_gateway.backends.asked import bounds_of, quotas_of
from zaqar_gateway.backends.memory import MemoryBackend
from zaqar_gateway.config import Settings
from zaqar_gateway.interfaces import (
    IClaimStore,
    IDeadLetterStore,
    IDeliveryStore,
    IDoorbells,
    IDurableStore,
    IMessageStore,
    IQueueStore,
    IRates,
    IStorage,
    IStorageBackend,
    ISubscriptionStore,
)
from zaqar_gateway.meters import RedisMeter
from zaqar_gateway.model import BackendSettings
from zaqar_gateway.order import Order

_PARTS: Mapping[str, InterfaceClass] = {
    "queues": IQueueStore,
    "messages": IMessageStore,
    "claims": IClaimStore,
    "dead_letters": IDeadLetterStore,
    "topics": IQueueStore,
    "topic_messages": IMessageStore,
    "subscriptions": ISubscriptionStore,
    "topic_subscriptions": ISubscriptionStore,
    "deliveries": IDeliveryStore,
    "durables": IDurableStore,
    "doorbells": IDoorbells,
    "rates": IRates,
}
"""The parts of a store, and what each provides."""


def make_backend(
    settings: Settings,
    reactor: Any,
    order: Order | None = None,
    redis_socket: str = "",
    meter: RedisMeter | None = None,
) -> IStorageBackend:
    """The backend that ``storage.uri`` asks for.

    :param order: tells when requests may overtake each other; ``None``: never.
    :param redis_socket: where the embedded Redis is, if another process runs it; else empty.
    :param meter: notes what is asked of Redis; ``None``: nobody does.
    :raises PluginError: it is one of another package, and cannot be used.
    """
    given, bounds, quotas = settings.storage, bounds_of(settings), quotas_of(settings)
    if settings.store == "memory":
        return MemoryBackend(bounds, quotas, reactor)
    if settings.store == "embedded":
        from zaqar_gateway.backends.embedded import EmbeddedBackend, beside

        if redis_socket:
            return beside(redis_socket, given, bounds, quotas, reactor, order, meter)
        return EmbeddedBackend(given, bounds, quotas, reactor, order, meter)
    if settings.redis is not None:
        from zaqar_gateway.backends.redis import RedisBackend

        return RedisBackend(given, settings.redis, bounds, quotas, reactor, order, meter=meter)
    durability: Literal["memory", "fsync"] = "fsync" if given.durability == "fsync" else "memory"
    made: IStorageBackend = plugins.make(
        plugins.STORAGE, settings.store, IStorageBackend, BackendSettings(given.uri, durability, bounds, quotas), reactor
    )
    parts = ((interface, lambda name=name: getattr(made.storage, name)) for name, interface in _PARTS.items())
    plugins.verify(plugins.STORAGE, settings.store, [(IStorage, lambda: made.storage), *parts])
    return made
