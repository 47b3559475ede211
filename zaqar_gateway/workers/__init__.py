"""One gateway as several processes: a keeper, which serves nothing itself, and its workers, which share the listening sockets.

The keeper runs what there is once for all, an embedded Redis and the listening sockets with their paths, and starts a worker
again that ends.  A worker is a gateway like any other: what several of them have in common is in the store.
"""

from __future__ import annotations

import os


def how_many(asked: int) -> int:
    """How many workers there are to be.

    :param asked: 0: one for each core that the process may use.
    """
    if asked:
        return asked
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # only some systems tell
        return os.cpu_count() or 1
