"""Looking hosts up beside many that take long: few of one domain at one time, and none that nobody waits for any more.

To look a name up takes a thread until the system gives up on it, which may be half a minute, and anybody may name hosts whose
name servers are silent.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from socket import AF_INET6, AI_NUMERICHOST, SOCK_STREAM, getaddrinfo

from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.interfaces import IAddress, IHostnameResolver, IHostResolution, IResolutionReceiver
from zope.interface import implementer

LOOKUPS_MAX = 32
"""At one time."""

OF_DOMAIN_MAX = 4
"""At one time of hosts that have the last two labels of their names in common."""


def _domain(name: str) -> str:
    return ".".join(name.lower().rstrip(".").rsplit(".", 2)[-2:])


@implementer(IHostResolution, IResolutionReceiver)
class _Lookup:
    """One host; it is in the row, or with the resolver, until it is over."""

    def __init__(self, lookups: Lookups, receiver: IResolutionReceiver, name: str, rest: tuple[object, ...]) -> None:
        self.name = name
        self.domain = _domain(name)
        self.receiver: IResolutionReceiver | None = receiver
        self._lookups = lookups
        self._rest = rest

    def begin(self, resolver: IHostnameResolver) -> None:
        """Have it looked up."""
        resolver.resolveHostName(self, self.name, *self._rest)  # type: ignore[arg-type]

    def cancel(self) -> None:
        """See :class:`~twisted.internet.interfaces.IHostResolution`."""
        self.receiver = None
        self._lookups.forget(self)

    def resolutionBegan(self, resolutionInProgress: IHostResolution) -> None:
        """See :class:`~twisted.internet.interfaces.IResolutionReceiver`; who asked was told before."""

    def addressResolved(self, address: IAddress) -> None:
        """See :class:`~twisted.internet.interfaces.IResolutionReceiver`."""
        if self.receiver is not None:
            self.receiver.addressResolved(address)

    def resolutionComplete(self) -> None:
        """See :class:`~twisted.internet.interfaces.IResolutionReceiver`."""
        receiver, self.receiver = self.receiver, None
        self._lookups.ended(self)
        if receiver is not None:
            receiver.resolutionComplete()


@implementer(IHostnameResolver)
class Lookups:
    """Looks up hosts by a resolver, those first that came first.  Addresses, in any spelling, are read at once and wait for nobody.

    :param resolver: asks the system, at :data:`LOOKUPS_MAX` hosts at one time.
    """

    def __init__(self, resolver: IHostnameResolver) -> None:
        self._resolver = resolver
        self._waiting: dict[_Lookup, None] = {}
        self._under_way: Counter[str] = Counter()

    def resolveHostName(
        self,
        resolutionReceiver: IResolutionReceiver,
        hostName: str,
        portNumber: int = 0,
        addressTypes: Sequence[type[IAddress]] | None = None,
        transportSemantics: str = "TCP",
    ) -> IHostResolution:
        """See :class:`~twisted.internet.interfaces.IHostnameResolver`."""
        lookup = _Lookup(self, resolutionReceiver, hostName, (portNumber, addressTypes, transportSemantics))
        resolutionReceiver.resolutionBegan(lookup)
        try:
            ((family, _, _, _, place),) = getaddrinfo(hostName, portNumber, type=SOCK_STREAM, flags=AI_NUMERICHOST)
        except (OSError, UnicodeError):
            self._waiting[lookup] = None
            self._go_on()
            return lookup
        lookup.receiver = None
        found = (IPv6Address if family == AF_INET6 else IPv4Address)("TCP", *place)
        if addressTypes is None or isinstance(found, tuple(addressTypes)):
            resolutionReceiver.addressResolved(found)
        resolutionReceiver.resolutionComplete()
        return lookup

    def forget(self, lookup: _Lookup) -> None:
        """Nobody waits for it any more; one that is under way keeps its place until it ends."""
        self._waiting.pop(lookup, None)

    def ended(self, lookup: _Lookup) -> None:
        """Its place is free."""
        self._under_way[lookup.domain] -= 1
        if not self._under_way[lookup.domain]:
            del self._under_way[lookup.domain]
        self._go_on()

    def _go_on(self) -> None:
        free = LOOKUPS_MAX - self._under_way.total()
        begin: list[_Lookup] = []
        for lookup in self._waiting:
            if len(begin) == free:
                break
            if self._under_way[lookup.domain] < OF_DOMAIN_MAX:
                self._under_way[lookup.domain] += 1
                begin.append(lookup)
        for lookup in begin:
            del self._waiting[lookup]
        for lookup in begin:
            lookup.begin(self._resolver)
