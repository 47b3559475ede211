"""What tests of deliveries share: a resolver of their own, a reactor whose time they move, certificates."""

from __future__ import annotations

import datetime
import ipaddress
import socket
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.interfaces import IAddress, IHostnameResolver, IHostResolution, IResolutionReceiver
from twisted.internet.task import Clock
from zope.interface import implementer

from zaqar_gateway.clocks import time_of_day
from zaqar_gateway.model import Delivery, Place

PAYLOAD = b'{"body":{"a":"\xc3\xa4"},"ttl":60,"queue_name":"q","Message_Type":"Notification"}'


def delivery(subscriber: str, options: dict[str, object] | None = None, **given: Any) -> Delivery:
    """A first attempt to deliver a notification."""
    values: dict[str, Any] = {"id": "d1", "place": Place("p", "q"), "payload": PAYLOAD} | given
    return Delivery(subscriber=subscriber, options=options or {}, **values)


@implementer(IHostResolution)
class _Resolution:
    def __init__(self, name: str) -> None:
        self.name = name

    def cancel(self) -> None:
        """See :class:`IHostResolution`."""


@implementer(IHostnameResolver)
class Resolver:
    """Knows some names; reads numbers as the C library does, which takes more spellings than one thinks.

    :ivar asked: the hosts that were looked up.
    """

    def __init__(self, names: Mapping[str, Callable[[], Sequence[str]]] | None = None) -> None:
        self.asked: list[str] = []
        self._names = names or {}

    def resolveHostName(
        self,
        resolutionReceiver: IResolutionReceiver,
        hostName: str,
        portNumber: int = 0,
        addressTypes: Sequence[type[IAddress]] | None = None,
        transportSemantics: str = "TCP",
    ) -> IHostResolution:
        """See :class:`IHostnameResolver`."""
        self.asked.append(hostName)
        resolution: IHostResolution = _Resolution(hostName)
        resolutionReceiver.resolutionBegan(resolution)
        for host in self._names[hostName]() if hostName in self._names else self.numbers(hostName):
            kind = IPv6Address if ":" in host else IPv4Address
            resolutionReceiver.addressResolved(kind("TCP", host, portNumber))
        resolutionReceiver.resolutionComplete()
        return resolution

    @staticmethod
    def numbers(host: str) -> Sequence[str]:
        """The addresses that a number is."""
        try:
            found = socket.getaddrinfo(host, 0, type=socket.SOCK_STREAM, flags=socket.AI_NUMERICHOST)
        except OSError:
            return ()
        return [str(address[4][0]) for address in found]


class TimedReactor:
    """A reactor whose sockets are real and whose time is that of a clock."""

    def __init__(self, reactor: Any, clock: Clock) -> None:
        self.callLater = clock.callLater
        self.seconds = clock.seconds
        self.time_of_day = partial(time_of_day, clock)
        self._reactor = reactor

    def __getattr__(self, name: str) -> Any:
        return getattr(self._reactor, name)


def certificate(*names: str) -> tuple[bytes, bytes]:
    """A self-made certificate for some host names and addresses, and its key; both PEM."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "test")])
    day, now = datetime.timedelta(days=1), datetime.datetime.now(datetime.UTC)
    kinds: list[x509.GeneralName] = []
    for name in names:
        try:
            kinds.append(x509.IPAddress(ipaddress.ip_address(name)))
        except ValueError:
            kinds.append(x509.DNSName(name))
    built = (
        x509.CertificateBuilder(subject, subject, key.public_key(), x509.random_serial_number(), now - day, now + day)
        .add_extension(x509.SubjectAlternativeName(kinds), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    return built.public_bytes(serialization.Encoding.PEM), pem
