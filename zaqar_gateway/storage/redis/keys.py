"""Names of keys: pure.  Distinct (project, queue) pairs never share a key, and all keys of a queue share a slot.

A queue is ``zg:{<project>/<queue>}``, which is also the beginning of the names of its other keys (``scripts/common.lua``
lists them); the catalog of a project is ``zg:{<project>}:queues``.  Both parts are percent-encoded (RFC 3986, section
2.1), so that neither ``/`` nor a brace can come from a name.  Topics are the same with ``zg:topic{`` in place of ``zg:{``.

In a cluster a project shares a slot, since what a queue has in common with others, the catalog, quotas and dead letters, changes in
the same step: ``zg:{<key space>/<project>}/<queue>`` and ``zg:{<key space>/<project>}:queues``.  A project that needs more than one
node has pools in several key spaces.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from urllib.parse import quote, unquote

from zaqar_gateway.model import Place
from zaqar_gateway.storage.redis.packing import bulk, number

_TOPIC = "topic"


class Keys:
    """Keys below one prefix.

    :param space: the name of a key space of its own on a shared Redis, or empty.
    :param kind: what stands in that space besides queues; empty for the queues.
    :param in_cluster: whether it is a cluster that has them.
    :ivar any_alive: a pattern that fits the ``alive`` of every kind (:meth:`queues` knows them from others').
    :ivar any_main: the same for ``main`` (:meth:`main`).
    :ivar any_swept: the same for ``alive`` and ``alias``, out of which things go by and by.
    """

    def __init__(self, space: str = "", kind: str = "", *, in_cluster: bool = False) -> None:
        self._space = space
        self._in_cluster = in_cluster
        self._common = f"zg:{quote(space, safe='')}:" if space else "zg:"
        self._prefix = self._common + kind
        self.queue = lru_cache(maxsize=16384)(self._queue)
        self.catalog = lru_cache(maxsize=16384)(self._catalog)
        self.packed = lru_cache(maxsize=16384)(self._packed)
        self.packed_with_catalog = lru_cache(maxsize=16384)(self._packed_with_catalog)
        any_queue = "*{*/*}/*" if in_cluster else "*{*/*}"
        self.any_alive, self.any_main, self.any_swept = (
            f"{_escaped(self._common)}{any_queue}:{end}".encode() for end in ("a", "m", "[ai]")
        )
        self._beginnings = tuple(f"{self._common}{each}{{".encode() for each in ("", _TOPIC))

    def place(self, key: bytes) -> Place:
        """The queue or topic of this space whose key this is."""
        kind, _, rest = key.removeprefix(self._common.encode()).decode().partition("{")
        if self._in_cluster:
            rest = rest.partition("/")[2]
        project, _, name = rest.replace("}", "").partition("/")
        return Place(_unquoted(project), _unquoted(name), kind == _TOPIC)

    @property
    def owed(self) -> tuple[bytes, bytes]:
        """The channels that name queues, and topics, in which something became owed to subscribers."""
        return f"{self._common}owed".encode(), f"{self._common}{_TOPIC}owed".encode()

    @property
    def schedule(self) -> bytes:
        """Places that have subscriptions, by when to look at them (ms)."""
        return f"{self._common}schedule".encode()

    @property
    def failing(self) -> bytes:
        """Places in which deliveries were given up."""
        return f"{self._common}failing".encode()

    @property
    def gateways(self) -> bytes:
        """Gateway processes and when they last said that they live."""
        return f"{self._common}gateways".encode()

    def sockets(self, gateway: str) -> bytes:
        """Places in which a gateway may have subscriptions of its sockets."""
        return f"{self._common}sockets.{_quoted(gateway)}".encode()

    def topics(self) -> Keys:
        """The keys of the topics in the same space."""
        return Keys(self._space, _TOPIC, in_cluster=self._in_cluster)

    def queues(self, found: Iterable[bytes]) -> list[bytes]:
        """The queues and topics of this space among what fits :attr:`any_alive` or :attr:`any_swept`, each once.

        The pattern also fits the keys of spaces whose names begin like this one's.
        """
        return list(dict.fromkeys(key[:-2] for key in self.main(found)))

    def main(self, found: Iterable[bytes]) -> list[bytes]:
        """The streams of this space among what fits :attr:`any_main`."""
        return [key for key in found if key.startswith(self._beginnings)]

    def _queue(self, project: str, queue: str) -> bytes:
        before, after = self.around(project)
        return before + _quoted(queue).encode() + after

    def around(self, project: str) -> tuple[bytes, bytes]:
        """What stands before and behind the name of a queue in its key."""
        if self._in_cluster:
            return f"{self._prefix}{self._tag(project)}/".encode(), b""
        return f"{self._prefix}{{{_quoted(project)}/".encode(), b"}"

    def _tag(self, project: str) -> str:
        """The hash tag of what is of a project and of none of its queues; in a cluster, of these as well."""
        return f"{{{quote(self._space, safe='')}/{_quoted(project)}}}" if self._in_cluster else f"{{{_quoted(project)}}}"

    def _catalog(self, project: str) -> bytes:
        return f"{self._prefix}{self._tag(project)}:queues".encode()

    def _packed(self, project: str, queue: str) -> bytes:
        """How many keys there are, and the key of a queue, packed for a script."""
        return number(1) + bulk(self._queue(project, queue))

    def _packed_with_catalog(self, project: str, queue: str) -> bytes:
        """The same with the catalog of its project."""
        return number(2) + bulk(self._queue(project, queue)) + bulk(self._catalog(project))

    def rates(self, project: str) -> bytes:
        """The buckets of tokens of a project."""
        return f"{self._common}{self._tag(project)}:rates".encode()

    def followed(self, project: str) -> bytes:
        """Names of the queues that may have subscriptions."""
        return f"{self._prefix}{self._tag(project)}:followed".encode()

    @property
    def pooling(self) -> bytes:
        """The beginning of the keys of what is known of pools, which share a slot (``scripts/pooling.lua`` lists them)."""
        return f"{self._common}pooling{{all}}".encode()

    @property
    def layout(self) -> bytes:
        """What form the data have (:mod:`.layout`)."""
        return f"{self._common}layout".encode()

    def touched(self, tag: bytes = b"") -> bytes:
        """Written before replicas are waited for (:mod:`.replicated`).

        :param tag: a hash tag; empty: none.
        """
        return f"{self._common}touched".encode() + (b"{%b}" % tag if tag else b"")

    @property
    def lease(self) -> bytes:
        """Held by the gateway that sweeps."""
        return f"{self._common}sweeper".encode()

    def secret(self, name: str) -> bytes:
        """What is kept beside the data under a name."""
        return f"{self._common}secret.{_quoted(name)}".encode()


def _quoted(text: str) -> str:
    return quote(text, safe="", errors="surrogatepass")


def _unquoted(text: str) -> str:
    return unquote(text, errors="surrogatepass")


def _escaped(pattern: str) -> str:
    return "".join(f"\\{one}" if one in "*?[]\\" else one for one in pattern)
