"""Where webhooks may go: addresses are judged after a name was looked up, and what was judged is what is dialled.

A subscriber is anybody's text, and the gateway stands where its author may not: next to the metadata service of a
cloud, in a private network, before the services of its own machine.  The spelling of a host says little about where it
leads (``2130706433``, ``0x7f.1``, a name with a private address, a name whose address changes between two look-ups), so
nothing is concluded from it.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Any

from attrs import define, field, frozen
from twisted.internet.address import IPv4Address as IPv4
from twisted.internet.address import IPv6Address as IPv6
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import HostnameEndpoint, wrapClientTLS
from twisted.internet.error import DNSLookupError
from twisted.internet.interfaces import (
    IAddress,
    IHostnameResolver,
    IHostResolution,
    IProtocol,
    IProtocolFactory,
    IReactorPluggableNameResolver,
    IResolutionReceiver,
    IStreamClientEndpoint,
)
from twisted.python.failure import Failure
from twisted.web.client import URI
from twisted.web.iweb import IAgentEndpointFactory, IPolicyForHTTPS
from zope.interface import directlyProvides, implementer

from zaqar_gateway.push.failures import DeliveryFailed
from zaqar_gateway.push.turns import Pace, at_once

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network


def _networks(texts: Sequence[str]) -> tuple[Network, ...]:
    return tuple(ip_network(text, strict=False) for text in texts)


_LOOPBACK = _networks(("127.0.0.0/8", "::1/128"))

_NOT_PUBLIC = _networks(
    (
        # The registry of special-purpose IPv4 addresses (RFC 6890, as IANA keeps it).
        "0.0.0.0/8",
        "10.0.0.0/8",
        "100.64.0.0/10",
        "127.0.0.0/8",
        "169.254.0.0/16",
        "172.16.0.0/12",
        "192.0.0.0/24",
        "192.0.2.0/24",
        "192.88.99.0/24",
        "192.168.0.0/16",
        "198.18.0.0/15",
        "198.51.100.0/24",
        "203.0.113.0/24",
        # Multicast, what is reserved, and broadcast.
        "224.0.0.0/4",
        "240.0.0.0/4",
        # A public address that in each virtual network of Azure is the platform itself.
        "168.63.129.16/32",
        # All of IPv6 that is not global unicast (RFC 4291, section 2.4): loopback, mapped, private, link-local, ...
        "::/3",
        "4000::/2",
        "8000::/1",
        # What is special within global unicast: Teredo and its neighbours, documentation, 6to4.
        "2001::/23",
        "2001:db8::/32",
        "2002::/16",
        "3fff::/20",
    )
)

_NAT64 = IPv6Network("64:ff9b::/96")
"""How hosts without IPv4 reach it (RFC 6052, section 2.1)."""


def _meant(given: Address) -> Address:
    """The IPv4 address that packets to an IPv6 address reach, where there is one; else the address itself."""
    if isinstance(given, IPv6Address):
        if given.ipv4_mapped:
            return given.ipv4_mapped
        if given in _NAT64:
            return IPv4Address(int(given) & 0xFFFFFFFF)
    return given


def _within(given: Address, networks: Sequence[Network]) -> bool:
    return any(given in network for network in networks)


@define
class AddressRules:
    """Which addresses may be delivered to: public ones, with exceptions.

    :param allowed: networks, such as ``10.0.0.0/8``, that are open although they are not public.
    :param denied: networks that are closed, whatever else opens them.
    :ivar loopback: whether loopback is open; may be known only once the gateway listens.
    """

    allowed: tuple[Network, ...] = field(default=(), converter=_networks)
    denied: tuple[Network, ...] = field(default=(), converter=_networks)
    loopback: bool = False

    def permits(self, host: str) -> bool:
        """Whether an address may be dialled.

        :param host: an IP address as a resolver gives it; anything else is not permitted.
        """
        try:
            given = ip_address(host)
        except ValueError:
            return False
        meant = _meant(given)
        if _within(given, self.denied) or _within(meant, self.denied):
            return False
        if _within(given, self.allowed) or _within(meant, self.allowed):
            return True
        if _within(meant, _LOOPBACK):
            return self.loopback
        return not _within(meant, _NOT_PUBLIC)


class AddressRefused(DeliveryFailed):
    """A host has addresses, and none of them may be delivered to."""


@implementer(IResolutionReceiver)
@frozen
class _Sieve:
    """Passes on the addresses that are permitted."""

    _receiver: IResolutionReceiver
    _rules: AddressRules
    _refuse: Callable[[], None]
    _pace: Pace

    def resolutionBegan(self, resolutionInProgress: IHostResolution) -> None:
        """See :class:`~twisted.internet.interfaces.IResolutionReceiver`."""
        self._receiver.resolutionBegan(resolutionInProgress)

    def addressResolved(self, address: IAddress) -> None:
        """See :class:`~twisted.internet.interfaces.IResolutionReceiver`."""
        if isinstance(address, IPv4 | IPv6) and self._rules.permits(address.host):
            self._receiver.addressResolved(address)
        else:
            self._refuse()

    def resolutionComplete(self) -> None:
        """See :class:`~twisted.internet.interfaces.IResolutionReceiver`."""
        self._pace(self._receiver.resolutionComplete)


@implementer(IHostnameResolver)
class _CheckedHost:
    """Resolves one host to those of its addresses that are permitted.

    :ivar refused: whether there were others.
    """

    def __init__(self, host: str, resolver: IHostnameResolver, rules: AddressRules, pace: Pace) -> None:
        self.refused = False
        self._resolution: IHostResolution | None = None
        self._host = host
        self._resolver = resolver
        self._rules = rules
        self._pace = pace

    def resolveHostName(
        self,
        resolutionReceiver: IResolutionReceiver,
        hostName: str,
        portNumber: int = 0,
        addressTypes: Sequence[type[IAddress]] | None = None,
        transportSemantics: str = "TCP",
    ) -> IHostResolution:
        """See :class:`~twisted.internet.interfaces.IHostnameResolver`; the name is always that of the host."""
        sieve = _Sieve(resolutionReceiver, self._rules, self._refuse, self._pace)
        asked = self._resolver.resolveHostName(sieve, self._host, portNumber, addressTypes, transportSemantics)
        self._resolution = asked
        return asked

    def give_up(self) -> None:
        """Nobody waits for what is looked up any more."""
        if self._resolution is not None:
            with contextlib.suppress(NotImplementedError):  # Twisted's own look-ups go on
                self._resolution.cancel()

    def _refuse(self) -> None:
        self.refused = True


class _Dialler:
    """As much of a reactor as it takes to connect, with a resolver of its own."""

    def __init__(self, reactor: Any, resolver: IHostnameResolver) -> None:
        self.nameResolver = resolver
        self.connectTCP = reactor.connectTCP
        self.callLater = reactor.callLater
        self.seconds = reactor.seconds
        directlyProvides(self, IReactorPluggableNameResolver)


@implementer(IStreamClientEndpoint)
@frozen
class _CheckedEndpoint:
    """A host and port, dialled at permitted addresses only."""

    _reactor: Any
    _resolver: IHostnameResolver
    _rules: AddressRules
    _host: str
    _port: int
    _pace: Pace

    def connect(self, protocolFactory: IProtocolFactory) -> Deferred[IProtocol]:
        """See :class:`~twisted.internet.interfaces.IStreamClientEndpoint`.

        :raises AddressRefused: the host has no address that may be delivered to.
        """
        checked = _CheckedHost(self._host, self._resolver, self._rules, self._pace)
        # The endpoint never sees the host: it takes fewer names than there are, none with "_" for one.
        endpoint = HostnameEndpoint(_Dialler(self._reactor, checked), "subscriber.invalid", self._port)

        def explain(failure: Failure) -> Failure:
            checked.give_up()
            if not failure.check(DNSLookupError):
                return failure
            if checked.refused:
                return Failure(
                    AddressRefused("all addresses of the host are in networks that are closed to deliveries")
                )
            return Failure(DNSLookupError("the host has no address"))

        return endpoint.connect(protocolFactory).addErrback(explain)


@implementer(IAgentEndpointFactory)
@frozen
class CheckedEndpoints:
    """How an agent connects to subscribers.

    :param reactor: connects and keeps time.
    :param resolver: looks hosts up, addresses too.
    :param tls: verifies the other side of ``https``.
    :param pace: of what follows when a host was looked up.
    """

    _reactor: Any
    _resolver: IHostnameResolver
    _rules: AddressRules
    _tls: IPolicyForHTTPS
    _pace: Pace = at_once

    def endpointForURI(self, uri: URI) -> IStreamClientEndpoint:
        """See :class:`~twisted.web.iweb.IAgentEndpointFactory`."""
        host = uri.host.decode("ascii")
        endpoint = _CheckedEndpoint(self._reactor, self._resolver, self._rules, host, uri.port, self._pace)
        if uri.scheme == b"https":
            return wrapClientTLS(self._tls.creatorForNetloc(uri.host, uri.port), endpoint)
        return endpoint
