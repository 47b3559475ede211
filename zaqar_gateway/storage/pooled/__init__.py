"""A store made of many: each queue and topic is in the store of its pool.

``directory`` has the stores of the pools open; ``placements`` says in which of them something is; ``queues``,
``subscriptions`` and ``deliveries`` go there; ``store`` is the whole.

Where something is stands in the catalog, and every process keeps what it has found there for ``KNOWN_S``.  A placement
of something that is deleted is kept for longer than that, and is forgotten then only if its pool says that nothing is
there.  So whoever goes by what it knows is never in a pool that another process has left for another one.
"""

from zaqar_gateway.storage.pooled.directory import FOLLOW_S, Directory
from zaqar_gateway.storage.pooled.placements import KNOWN_S, LEFT_S, SWEEP_S, Placements
from zaqar_gateway.storage.pooled.store import PooledStorage

__all__ = ["FOLLOW_S", "KNOWN_S", "LEFT_S", "SWEEP_S", "Directory", "Placements", "PooledStorage"]
