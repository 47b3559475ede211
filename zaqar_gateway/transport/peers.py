"""How many connections there are, and from where: those of all listeners of this process together."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network
from typing import Any, NamedTuple

from attrs import define, field

from zaqar_gateway.operations.refusals import Refusals

RETRY_AFTER_S = 5
"""What a refused connection is told to wait; nobody knows when another one will end."""

ANSWERED_MAX = 100
"""How many refused connections of one factory may be open for their answer; others are dropped without."""

_IPV6_SITE_BITS = 64  # what one customer has (RFC 6177); single addresses of it cost nothing


def site_of(host: str) -> str:
    """Who stands behind an address, as far as that can be told: it, or its IPv6 network of 64 bits.

    :param host: an IP address; any other text is nobody, whose site is empty.
    """
    address = _address(host)
    return "" if address is None else _site(address)


def _address(host: str) -> IPv4Address | IPv6Address | None:
    try:
        address = ip_address(host.partition("%")[0])
    except ValueError:
        return None
    return address.ipv4_mapped or address if isinstance(address, IPv6Address) else address


def _site(address: IPv4Address | IPv6Address) -> str:
    return str(address if address.version == 4 else ip_network((address, _IPV6_SITE_BITS), strict=False))


class Crowded(NamedTuple):
    """Why a connection is refused.

    :ivar status: of HTTP.
    """

    status: int
    reason: str


class Peers:
    """Counts the connections of each place: an IPv4 address, or an IPv6 network of 64 bits.

    :param total_max: the most connections; 0: any number.
    :param per_address_max: the most of one place; 0: any number.
    :param uncounted: networks that have no such bound, as proxies need it, behind which are many.
    """

    def __init__(
        self, refusals: Refusals, *, total_max: int = 0, per_address_max: int = 0, uncounted: Sequence[str] = ()
    ) -> None:
        self._refusals = refusals
        self._total_max = total_max
        self._per_address_max = per_address_max
        self._uncounted = tuple(ip_network(each, strict=False) for each in uncounted)
        self._counts: Counter[str] = Counter()
        self.total = 0

    def place_of(self, peer: Any) -> str:
        """What a connection is counted under; empty where it has no bound.

        :param peer: an address as Twisted has it; one of no IP network, such as a Unix socket, is not counted.
        """
        if not self._per_address_max:
            return ""
        address = _address(getattr(peer, "host", ""))
        if address is None or any(address in network for network in self._uncounted):
            return ""
        return _site(address)

    def enter(self, place: str) -> Crowded | None:
        """Take a connection on, for which :meth:`leave` is to be called when it is lost; or say why not."""
        if 0 < self._total_max <= self.total:
            self._refusals.note("connections", place or "a connection")
            return Crowded(503, "The gateway has as many connections as it may have.")
        if place and self._counts[place] >= self._per_address_max:
            self._refusals.note("bounds.max_connections_per_address", place)
            return Crowded(429, f"There are {self._per_address_max} connections from {place}, as many as there may be.")
        self.total += 1
        if place:
            self._counts[place] += 1
        return None

    def leave(self, place: str) -> None:
        """A connection that was taken on is lost."""
        self.total -= 1
        if place:
            self._counts[place] -= 1
            if not self._counts[place]:
                del self._counts[place]


@define(eq=False)
class Intake:
    """Which connections one factory takes on, and which of the others it answers before it drops them.

    :param peers: counts those that it takes on; whoever loses one has to tell it.
    :param connections: all that the factory has now.
    :param most: how many it may take on; 0: any number.
    :param bound: the setting that says so.
    :param what: of which the gateway then has as many as it may have.
    """

    _peers: Peers
    _refusals: Refusals
    _connections: Collection[object]
    _most: int
    _bound: str
    _what: str
    _refused: set[object] = field(init=False, factory=set)

    def take_on(self, place: str) -> Crowded | None:
        """Count a connection that the factory has now; or say why not."""
        if 0 < self._most < len(self._connections) - len(self._refused):
            self._refusals.note(self._bound, place or "a connection")
            return Crowded(503, f"The gateway has as many {self._what} as it may have.")
        return self._peers.enter(place)

    def may_answer(self, connection: object) -> bool:
        """Whether a connection that is refused may be open for its answer."""
        if len(self._refused) >= ANSWERED_MAX:
            return False
        self._refused.add(connection)
        return True

    def forget(self, connection: object) -> None:
        """A connection is lost."""
        self._refused.discard(connection)
