"""Deliveries by HTTP: a POST to the subscriber's URL (API reference, "Subscriptions and notifications")."""

from __future__ import annotations

import base64
import re
from collections.abc import Sequence
from ipaddress import ip_address
from typing import Any
from urllib.parse import unquote_to_bytes

import idna
from attrs import field, frozen
from hyperlink import EncodedURL
from treq.client import HTTPClient
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IHostnameResolver, IProtocol, IProtocolFactory, IStreamClientEndpoint
from twisted.internet.protocol import Protocol, connectionDone
from twisted.protocols.policies import ProtocolWrapper, WrappingFactory
from twisted.python.failure import Failure
from twisted.web.client import URI, Agent, BrowserLikePolicyForHTTPS
from twisted.web.http_headers import Headers
from twisted.web.iweb import IAgent, IAgentEndpointFactory, IBodyProducer, IResponse
from zope.interface import implementer

from zaqar_gateway import __version__
from zaqar_gateway.clocks import time_of_day
from zaqar_gateway.errors import IdentityUnavailable, NotFound, RuleBroken
from zaqar_gateway.failures import describe
from zaqar_gateway.interfaces import INotifier, ITrusts
from zaqar_gateway.kept import KEPT_MAX, KeptConnections, WholeBody
from zaqar_gateway.model import Delivery, Verdict
from zaqar_gateway.push.addresses import AddressRefused, AddressRules, CheckedEndpoints
from zaqar_gateway.push.failures import DeliveryFailed
from zaqar_gateway.push.options import option
from zaqar_gateway.push.signature import signatures
from zaqar_gateway.push.spliced import PIECE, Pump, Spliced
from zaqar_gateway.push.trust import system_trust
from zaqar_gateway.push.turns import Pace, at_once

URL_LENGTH_MAX = 2048
ANSWER_MAX = 65536
"""Bytes of an answer that are read, its head included."""

BODY_MAX = 8 * 2**20
"""Bytes that a request may have once the payload is in its template, which may name it many times."""

_PORTS = {"http": 80, "https": 443}
_PORT_RIGHT = "a URL with a port from 1 to 65535, or without one"
_TRUST = "trust+"
_TOKEN = "x-auth-token"
_UNAUTHORIZED = 401
_PLACEHOLDER = b'"$zaqar_message$"'

_PORT = re.compile(r"[^:/?#]+://(?:[^@/?#]*@)?+(?:\[[^][/?#]*\]|[^]:[/?#]*):([^/?#]*)")
_LABEL = "[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?"
_HOST = re.compile(rf"(?=.{{1,254}}$){_LABEL}(?:\.{_LABEL})*\.?")
_FIELD_NAME = re.compile("[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_FIELD_VALUE = re.compile("[\t\x20-\x7e]*")
_CONNECTION_FIELDS = frozenset(
    "connection content-length expect host keep-alive proxy-connection te trailer transfer-encoding upgrade".split()
)
_OWN_FIELDS = "webhook-"


class _Ascii(EncodedURL):
    """A URL that needs no more encoding; the library would, and refuses IPv6 addresses and names with "_" then."""

    def to_uri(self) -> _Ascii:
        """The URL itself."""
        return self


@frozen
class _Target:
    """Where a subscriber is.

    :ivar login: user and password as Basic authentication has them, empty for none.
    """

    url: EncodedURL
    is_trust: bool
    login: str = field(repr=False)


def _wrong(what: str, right: str) -> RuleBroken:
    return RuleBroken(f"subscriber {what}; it has to be {right}.")


def _host(host: str) -> str:
    """A host as it is sent."""
    try:
        return str(ip_address(host))
    except ValueError:
        pass
    try:
        # Internationalized names are mapped and encoded (UTS 46, RFC 5891).
        name = host.lower() if host.isascii() else idna.encode(host, uts46=True).decode()
    except idna.IDNAError:
        name = ""
    if not _HOST.fullmatch(name):
        raise _wrong("has a host that is not valid", "a URL with a host name, or an address with [] around IPv6")
    return name


def _without_empty_port(url: str) -> str:
    """A URL without a colon that no port follows; a port is digits of ASCII (RFC 3986, section 3.2.3), the library takes others.

    :raises RuleBroken: it is something else.
    """
    found = _PORT.match(url)
    if found is None or re.fullmatch("[0-9]+", found[1]):
        return url
    if found[1]:  # not shown, since it is a password where '@' is missing
        raise _wrong("cannot be read: its port is no number", _PORT_RIGHT)
    return url[: found.start(1) - 1] + url[found.end(1) :]


def _target(subscriber: str) -> _Target:
    """:raises RuleBroken: the URL cannot be delivered to."""
    if len(subscriber) > URL_LENGTH_MAX:
        raise _wrong(f"has {len(subscriber)} characters", f"at most {URL_LENGTH_MAX} characters long")
    if " " in subscriber or not subscriber.isprintable():
        raise _wrong("holds spaces or control characters", "a URL in which they are written as %20 and so on")
    is_trust = subscriber.lower().startswith(_TRUST)
    try:
        given = EncodedURL.from_text(_without_empty_port(subscriber[len(_TRUST) :] if is_trust else subscriber))
    except ValueError:
        raise _wrong("cannot be read", "a URL such as https://example.org/path") from None
    if not given.host:
        raise _wrong("has no host", "a URL such as https://example.org/path")
    scheme = given.scheme.lower()
    port = _PORTS.get(scheme, 0) if given.port is None else given.port
    if not 1 <= port <= 65535:
        raise _wrong(f"has the port {port}", _PORT_RIGHT)
    # The host is put in last, since encoding a URL would refuse some that exist.
    path = given.replace(scheme=scheme, host="host", port=port, userinfo="", fragment="").to_uri()
    return _Target(_Ascii.from_text(path.replace(host=_host(given.host)).to_text()), is_trust, _login(given.userinfo))


def _login(userinfo: str) -> str:
    if not userinfo:
        return ""
    user, _, password = map(unquote_to_bytes, userinfo.partition(":"))
    if b":" in user:
        raise _wrong("has a user with ':' in it", "a URL with user:password@, or without")
    return base64.b64encode(user + b":" + password).decode()  # RFC 7617, section 2


def _headers(options: dict[str, object]) -> dict[str, str]:
    """The ``post_headers`` of a subscription.

    :raises RuleBroken: they cannot be sent (RFC 9110, sections 5.1 and 5.5), or set what is not the subscriber's.
    """
    found = option(options, "post_headers", dict, "an object of texts") or {}
    for name, value in found.items():
        if not _FIELD_NAME.fullmatch(name):
            raise RuleBroken(
                "options.post_headers has a name that no header has; names have to be letters, digits, '-' and other"
                " characters of RFC 9110, section 5.1."
            )
        if name.lower() in _CONNECTION_FIELDS or name.lower().startswith(_OWN_FIELDS):
            raise RuleBroken(f"options.post_headers sets {name}, which the service sets itself; leave it out.")
        if not isinstance(value, str) or not _FIELD_VALUE.fullmatch(value):
            raise RuleBroken(
                f"options.post_headers has no fitting value for {name}; it has to be a text of visible ASCII characters"
                " and spaces."
            )
    return found


def _template(options: dict[str, object]) -> bytes | None:
    """The ``post_data`` of a subscription.

    :raises RuleBroken: it is no text, or cannot be sent as UTF-8.
    """
    found = option(options, "post_data", str, "a text")
    try:
        return None if found is None else found.encode()
    except UnicodeEncodeError:
        raise RuleBroken(
            "options.post_data holds half of a surrogate pair; it has to be a text of whole characters."
        ) from None


def judge(status: int) -> Verdict:
    """What the status of an answer means (API reference, "Webhook success and retry")."""
    if 200 <= status < 400:
        return Verdict(True)
    return Verdict(False, not 400 <= status < 500, f"it answered {status}")


class _AnswerTooLong(DeliveryFailed):
    """More of an answer came than is read of one."""

    def __init__(self) -> None:
        super().__init__(f"its answer is longer than {ANSWER_MAX} bytes")


class _Bounded(ProtocolWrapper):
    """A connection that ends where an answer is longer than what is read of one: head, interim answers and body.

    It puts bodies together that are :class:`~zaqar_gateway.push.spliced.Spliced`, once the request is written as far as the
    library knows: so an answer counts that comes before all of the body went out.
    """

    transport: Any
    _left = ANSWER_MAX
    _pump: Pump | None = None

    def writeSequence(self, data: Sequence[bytes]) -> None:
        """The head of a request goes out."""
        if self._pump is not None and not self._pump.is_done:  # the one before was answered by somebody who has not read it
            self._pump.stop()
            self.loseConnection()  # this one goes out on another
            return
        self._left = ANSWER_MAX
        super().writeSequence(data)

    def write(self, data: bytes | Spliced) -> None:
        """The body of a request goes out."""
        if isinstance(data, Spliced):
            self._pump = Pump(iter(data), self.transport)
        else:
            super().write(data)

    def unregisterProducer(self) -> None:
        """All of a request was written."""
        super().unregisterProducer()
        if self._pump is not None and not self._pump.is_done:
            self._pump.start()

    def dataReceived(self, data: bytes) -> None:
        """A part of an answer comes in."""
        read = data[: max(self._left, 0)]
        self._left -= len(data)
        super().dataReceived(read)
        if self._left < 0:
            self.loseConnection()

    def loseConnection(self) -> None:
        """End now: the other side is not waited for, which over TLS would be for as long as it likes."""
        self.transport.abortConnection()

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """See :class:`~twisted.internet.interfaces.IProtocol`."""
        super().connectionLost(reason if self._left >= 0 else Failure(_AnswerTooLong()))


@implementer(IStreamClientEndpoint)
@frozen
class _BoundedEndpoint:
    _endpoint: IStreamClientEndpoint

    def connect(self, protocolFactory: IProtocolFactory) -> Deferred[IProtocol]:
        factory: WrappingFactory[_Bounded] = WrappingFactory(protocolFactory)
        factory.protocol = _Bounded
        factory.noisy = False

        def unwrap(bounded: Any) -> IProtocol:
            protocol: IProtocol = bounded.wrappedProtocol
            return protocol

        return self._endpoint.connect(factory).addCallback(unwrap)


@implementer(IAgentEndpointFactory)
@frozen
class _BoundedEndpoints:
    _endpoints: IAgentEndpointFactory

    def endpointForURI(self, uri: URI) -> IStreamClientEndpoint:
        return _BoundedEndpoint(self._endpoints.endpointForURI(uri))


@implementer(IAgent)
@frozen
class _Opaque:
    """An agent whose answers are neither unpacked nor remembered.

    Nobody reads them, and they may unpack to a thousand times their size.  A receiver's cookies would go out with other
    projects' deliveries to the same host.
    """

    _agent: IAgent

    def request(
        self, method: bytes, uri: bytes, headers: Headers | None = None, bodyProducer: IBodyProducer | None = None
    ) -> Deferred[IResponse]:
        def opaque(response: IResponse) -> IResponse:
            response.headers.removeHeader(b"Content-Encoding")
            response.headers.removeHeader(b"Set-Cookie")
            return response

        return self._agent.request(method, uri, headers, bodyProducer).addCallback(opaque)


class _Rest(Protocol):
    """The body of an answer, read so that the connection can be used again.

    :ivar ended: fires at its end, whichever that is; cancelling ends the connection.
    """

    transport: Any

    def __init__(self) -> None:
        self.ended: Deferred[None] = Deferred(lambda _: self.transport.loseConnection())

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """See :class:`~twisted.internet.interfaces.IProtocol`."""
        if not self.ended.called:
            self.ended.callback(None)


@implementer(INotifier)
class WebhookNotifier:
    """Delivers by HTTP.

    Once the head of an answer has come its status decides, whatever becomes of the body.  Redirects count as delivered,
    as the API has it, and are not followed.

    :param reactor: connects and keeps time.
    :param rules: where deliveries may go.
    :param timeout_s: for one attempt, from looking the host up to the end of the answer.
    :param per_host: the most idle connections that are kept to one host and port.
    :param idle_max: the most that are kept in all.
    :param secrets: keys that deliveries are signed with, all of them.
    :param trusts: ``None``: there is no identity service.
    :param pace: of what follows when a host was looked up.
    :param resolver: looks hosts up; ``None``: that of the reactor.
    :param trust_root: which certificates are trusted; ``None``: those of the system.
    """

    schemes = ("http", "https", "trust+http", "trust+https")

    def __init__(
        self,
        reactor: Any,
        rules: AddressRules,
        *,
        timeout_s: float,
        per_host: int = 2,
        idle_max: int = KEPT_MAX,
        secrets: Sequence[bytes] = (),
        trusts: ITrusts | None = None,
        resolver: IHostnameResolver | None = None,
        trust_root: Any = None,
        pace: Pace = at_once,
    ) -> None:
        self._reactor = reactor
        self._timeout_s = timeout_s
        self._secrets = tuple(secrets)
        self._trusts = trusts
        tls = BrowserLikePolicyForHTTPS(trust_root or system_trust())
        endpoints = _BoundedEndpoints(CheckedEndpoints(reactor, resolver or reactor.nameResolver, rules, tls, pace))
        self._kept = KeptConnections(reactor, per_host, idle_max)
        agent = _Opaque(Agent.usingEndpointFactory(reactor, endpoints, self._kept))
        self._client = HTTPClient(agent)

    def stop(self) -> Deferred[None]:
        """Close what is idle."""
        closed: Deferred[None] = self._kept.closeCachedConnections()
        return closed

    def check(self, subscriber: str, options: dict[str, object]) -> None:
        """See :class:`~zaqar_gateway.interfaces.INotifier`."""
        _target(subscriber)
        _headers(options)
        _template(options)

    async def send(self, delivery: Delivery) -> Verdict:
        """See :class:`~zaqar_gateway.interfaces.INotifier`."""
        try:
            target, headers = _target(delivery.subscriber), _headers(delivery.options)
            body = self._body(delivery)
        except RuleBroken as error:
            return Verdict(False, reason=str(error))

        def late(result: Any, timeout_s: float) -> Any:
            if isinstance(result, Failure):
                raise DeliveryFailed(f"no answer within {timeout_s:g} s")
            return result

        exchange: Deferred[int] = Deferred.fromCoroutine(self._exchange(delivery, target, headers, body))
        exchange.addTimeout(self._timeout_s, self._reactor, late)
        try:
            return judge(await exchange)
        except CancelledError:
            raise
        except IdentityUnavailable as error:
            return Verdict(False, True, str(error))
        except (AddressRefused, NotFound) as error:
            return Verdict(False, False, str(error))
        except Exception as error:  # what libraries raise for what the other side does is no closed set
            return Verdict(False, True, describe(error))

    def _body(self, delivery: Delivery) -> bytes | Spliced:
        template, payload = _template(delivery.options), delivery.payload
        if template is None:
            return payload
        size = len(template) + template.count(_PLACEHOLDER) * (len(payload) - len(_PLACEHOLDER))
        if size > BODY_MAX:
            raise RuleBroken(f"options.post_data makes a body of {size} bytes; it has to be at most {BODY_MAX}.")
        return template.replace(_PLACEHOLDER, payload) if size <= PIECE else Spliced(template.split(_PLACEHOLDER), payload)

    async def _exchange(
        self, delivery: Delivery, target: _Target, headers: dict[str, str], body: bytes | Spliced
    ) -> int:
        """The status of the answer.

        A token by a trust may have ended before its time, by a change of its owner's password or by whoever got it last; so
        one that is refused is replaced once.
        """
        if not target.is_trust:
            return await self._request(delivery, target, headers, body)
        trusts, trust_id = self._trust(delivery.options)
        token = await trusts.token(trust_id)
        status = await self._request(delivery, target, {_TOKEN: token} | headers, body)
        if status == _UNAUTHORIZED and not any(name.lower() == _TOKEN for name in headers):
            trusts.refused(trust_id, token)
            another = await trusts.token(trust_id)
            if another != token:
                status = await self._request(delivery, target, {_TOKEN: another} | headers, body)
                if status == _UNAUTHORIZED:
                    trusts.refused(trust_id, another, again=True)
        return status

    async def _request(
        self, delivery: Delivery, target: _Target, headers: dict[str, str], body: bytes | Spliced
    ) -> int:
        """The status of the answer to one request."""
        sent = Headers({"Content-Type": ["application/json"], "User-Agent": [f"zaqar-gateway/{__version__}"]})
        if target.login:
            sent.setRawHeaders("Authorization", [f"Basic {target.login}"])
        for name, value in headers.items():
            sent.setRawHeaders(name, [value])
        timestamp_s = int(time_of_day(self._reactor))
        sent.setRawHeaders("webhook-id", [delivery.id])
        sent.setRawHeaders("webhook-timestamp", [str(timestamp_s)])
        sent.setRawHeaders("webhook-attempt", [str(delivery.attempt)])
        if self._secrets:
            sent.setRawHeaders("webhook-signature", [signatures(self._secrets, delivery.id, timestamp_s, body)])
        response = await self._client.request(
            "POST",
            target.url,
            headers=sent,
            data=WholeBody(body),
            allow_redirects=False,
            unbuffered=True,
            reactor=self._reactor,
        )
        rest = _Rest()
        response.deliverBody(rest)
        try:
            await rest.ended
        except CancelledError:
            pass  # too late to matter
        status: int = response.code
        return status

    def _trust(self, options: dict[str, object]) -> tuple[ITrusts, str]:
        """Who gives tokens, and by which trust.

        :raises NotFound: there is none.
        """
        trust_id = options.get("trust_id")
        if not isinstance(trust_id, str) or not trust_id:
            raise NotFound("the subscription has no trust")
        if self._trusts is None:
            raise NotFound("there is no identity service to give a token by a trust")
        return self._trusts, trust_id
