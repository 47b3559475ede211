"""Names of keys: pure.  Distinct (project, queue) pairs never share a key, and all keys of a queue share a slot.

A queue is ``zg:{<project>/<queue>}``, which is also the beginning of the names of its other keys (``scripts/common.lua``
lists them); the catalog of a project is ``zg:{<project>}:queues``.  Both parts are percent-encoded (RFC 3986, section
2.1), so that neither ``/`` nor a brace can come from a name.
"""

from __future__ import annotations

from functools import lru_cache
from urllib.parse import quote


class Keys:
    """Keys below one prefix.

    :param space: the name of a key space of its own on a shared Redis, or empty.
    """

    def __init__(self, space: str = "") -> None:
        self._prefix = f"zg:{quote(space, safe='')}:" if space else "zg:"
        self.queue = lru_cache(maxsize=16384)(self._queue)
        self.catalog = lru_cache(maxsize=16384)(self._catalog)
        self.any_alive = f"{_escaped(self._prefix)}{{*/*}}:a".encode()

    def _queue(self, project: str, queue: str) -> bytes:
        before, after = self.around(project)
        return before + _quoted(queue).encode() + after

    def around(self, project: str) -> tuple[bytes, bytes]:
        """What stands before and behind the name of a queue in its key."""
        return f"{self._prefix}{{{_quoted(project)}/".encode(), b"}"

    def _catalog(self, project: str) -> bytes:
        return f"{self._prefix}{{{_quoted(project)}}}:queues".encode()

    @property
    def lease(self) -> bytes:
        """Held by the gateway that sweeps."""
        return f"{self._prefix}sweeper".encode()


def _quoted(text: str) -> str:
    return quote(text, safe="", errors="surrogatepass")


def _escaped(pattern: str) -> str:
    return "".join(f"\\{one}" if one in "*?[]\\" else one for one in pattern)
