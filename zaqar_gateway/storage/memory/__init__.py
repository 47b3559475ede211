"""A complete store in the memory of this process.

``queues`` has queues with their messages and claims; ``ledgers`` has what subscribers are owed, seen as subscriptions by
``subscriptions`` and as deliveries by ``deliveries``; ``store`` is the whole.  ``management`` has what is known of pools.
"""

from zaqar_gateway.storage.memory.ledgers import SWEPT_PLACES
from zaqar_gateway.storage.memory.management import MemoryManagement
from zaqar_gateway.storage.memory.queues import ALIAS_KEPT_S, PAST_KEPT_S, SWEPT_AT_ONCE, MemoryClaims
from zaqar_gateway.storage.memory.store import MemoryStorage

__all__ = [
    "ALIAS_KEPT_S",
    "PAST_KEPT_S",
    "SWEPT_AT_ONCE",
    "SWEPT_PLACES",
    "MemoryClaims",
    "MemoryManagement",
    "MemoryStorage",
]
