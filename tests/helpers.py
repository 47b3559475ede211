"""What tests share: the operations over a store, and an HTTP API without a network."""

from __future__ import annotations

import datetime
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from random import Random
from typing import Any

import msgpack
import msgspec
from attrs import define, field, frozen
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from twisted.internet.interfaces import IProtocolFactory, IReactorTime
from twisted.internet.ssl import PrivateCertificate
from twisted.internet.task import Clock
from zope.interface import implementer

from zaqar_gateway.identity.anonymous import Anonymous
from zaqar_gateway.identity.signed_url import UrlSigner
from zaqar_gateway.interfaces import IListener, IPushed, ISockets, IStorage, ITokens
from zaqar_gateway.limits import ClientIds, Limits
from zaqar_gateway.meters import TransportMeter
from zaqar_gateway.model import Place, Volume
from zaqar_gateway.operations.registry import Operation, operations
from zaqar_gateway.transport.http.answers import Answers
from zaqar_gateway.transport.http.authentication import Authentication
from zaqar_gateway.transport.http.cors import Cors
from zaqar_gateway.transport.http.events import Streams
from zaqar_gateway.transport.http.request import Fields, Head, Headers, Request
from zaqar_gateway.transport.http.site import IRoom, Site
from zaqar_gateway.transport.turns import PART_S

CLIENT = "3381af92-2b9e-11e3-b191-71861300734c"
OTHER_CLIENT = "3381af92-2b9e-11e3-b191-71861300734d"
PROJECT = "480924"
NOBODY = 65534
"""The number of a user who has nothing."""

KEYSTONE = "http://keystone:5000"


@frozen
class Built:
    """The operations over a store."""

    operations: list[Operation]
    limits: Limits
    signer: UrlSigner

    def answers(self, checksums: bool = False, streams: Streams | None = None) -> Answers:
        """How HTTP tells their results."""
        return Answers(self.limits, checksums, streams)

    def site(
        self,
        *,
        checksums: bool = False,
        client_ids: ClientIds | None = None,
        admin_mode: bool = True,
        cors_origins: Iterable[str] = (),
        websocket_factory: IProtocolFactory | None = None,
        tokens: ITokens | None = None,
        streams: Streams | None = None,
        rooms: Mapping[bytes, IRoom] | None = None,
        meter: TransportMeter | None = None,
    ) -> Site:
        """HTTP over them."""
        return Site(
            self.operations,
            self.answers(checksums, streams),
            self.limits,
            client_ids or ClientIds(),
            Anonymous().identify if tokens is None else None,
            authentication=None if tokens is None else Authentication(tokens, KEYSTONE),
            signer=self.signer,
            admin_mode=admin_mode,
            cors=Cors(cors_origins) if cors_origins else None,
            websocket_factory=websocket_factory,
            rooms=rooms,
            meter=meter,
        )


def build_operations(
    storage: IStorage,
    limits: Limits | None = None,
    keys: Sequence[str] = (),
    clock: IReactorTime | None = None,
    **collaborators: Any,
) -> Built:
    """All operations over a store.

    :param limits: ``None``: the defaults.
    :param keys: the secrets of pre-signed URLs.
    :param clock: for their expiry; ``None``: one that stands still.
    :param collaborators: what else :func:`zaqar_gateway.operations.registry.operations` takes.
    """
    clock = clock or Clock()
    signer = UrlSigner(tuple(keys), clock)
    limits = limits or Limits()
    return Built(operations(storage, limits, signer, clock, **collaborators), limits, signer)


class _Failing:
    """Every method raises."""

    def __init__(self, error: Exception) -> None:
        self._error = error

    def __getattr__(self, name: str) -> Any:
        async def fail(*args: object, **kwargs: object) -> Any:
            raise self._error

        return fail


@implementer(IStorage)
class FailingStorage(_Failing):
    """A store in which every operation raises the same error."""

    def __init__(self, error: Exception) -> None:
        super().__init__(error)
        self.queues: Any = _Failing(error)
        self.messages: Any = _Failing(error)
        self.claims: Any = _Failing(error)
        self.dead_letters: Any = _Failing(error)
        self.topics: Any = _Failing(error)
        self.topic_messages: Any = _Failing(error)
        self.subscriptions: Any = _Failing(error)
        self.topic_subscriptions: Any = _Failing(error)
        self.deliveries: Any = _Failing(error)
        self.durables: Any = _Failing(error)
        self.doorbells: Any = _Failing(error)
        self.rates: Any = _Failing(error)

    async def ping(self) -> None:
        raise self._error

    async def volume(self) -> Volume:
        raise self._error

    async def secret(self, name: str, fresh: bytes) -> bytes:
        raise self._error


@implementer(IPushed)
@frozen(eq=False)
class Pushed:
    """A notification; ``document`` is what it says."""

    document: Any

    @property
    def text(self) -> bytes:
        """See :class:`zaqar_gateway.interfaces.IPushed`."""
        return json.dumps(self.document).encode()

    @property
    def packed(self) -> bytes:
        """See :class:`zaqar_gateway.interfaces.IPushed`."""
        return bytes(msgpack.packb(self.document))


@implementer(ISockets)
@define
class RecordedSockets:
    """Keeps what it is told of the subscriptions of connections."""

    name: str = "gateway-1"
    added: list[tuple[Place, str, str, IListener]] = field(factory=list)
    left: list[IListener] = field(factory=list)

    def add(self, place: Place, subscription_id: str, cursor: str, listener: IListener) -> None:
        """See :class:`zaqar_gateway.interfaces.ISockets`."""
        self.added.append((place, subscription_id, cursor, listener))

    def hold(
        self, place: Place, subscription_id: str, listener: IListener, gone: Callable[[], None]
    ) -> Callable[[], None]:
        """See :class:`zaqar_gateway.interfaces.ISockets`."""
        raise NotImplementedError

    def gone(self, listener: IListener) -> None:
        """See :class:`zaqar_gateway.interfaces.ISockets`."""
        self.left.append(listener)


@frozen
class Response:
    """What was replied, as the application gave it to the connection."""

    status: int
    headers: Sequence[tuple[bytes, bytes]]
    body: bytes

    def header(self, name: str) -> str | None:
        """The value of a header that is there at most once, ``None`` where it is not there."""
        found = [value for known, value in self.headers if known.lower() == name.lower().encode()]
        if len(found) > 1:
            raise AssertionError(f"{name} is there {len(found)} times")
        return found[0].decode() if found else None

    @property
    def json(self) -> Any:
        """The body as JSON."""
        return json.loads(self.body)

    @property
    def title(self) -> str:
        """The title of an error."""
        title = self.json["title"]
        assert isinstance(title, str)
        return title


class _Nowhere:
    """A connection that nobody reads."""

    peer = "192.0.2.1:1234"
    place = ""
    added = added_cached = b""

    def answer(self, *reply: object) -> None:
        """See :class:`zaqar_gateway.transport.http.request.Wire`."""

    def stream(self, *reply: object) -> None:
        """See :class:`zaqar_gateway.transport.http.request.Wire`."""


class RecordedRequest(Request, eq=False):
    """A request that keeps what is replied to it."""

    responses: list[Response] = msgspec.field(default_factory=list)

    @classmethod
    def to(cls, method: bytes, target: bytes, headers: dict[bytes, bytes]) -> RecordedRequest:
        """One with these header lines."""
        head = Head(method, target, Fields(headers))
        return cls(_Nowhere(), head, head.headers)

    def reply(self, status: int, headers: Headers, body: bytes = b"", lines: bytes = b"") -> None:
        """See :meth:`zaqar_gateway.transport.http.request.Request.reply`."""
        super().reply(status, headers, body, lines)
        named = [line.split(b": ", 1) for line in lines.split(b"\r\n")[:-1]]
        headers = [*((name, value) for name, value in named), *headers]
        self.responses.append(Response(status, headers, body))


class HttpApi:
    """A site over a store, asked without a network; the body limit is kept as a connection keeps it."""

    def __init__(
        self,
        storage: IStorage,
        limits: Limits | None = None,
        *,
        checksums: bool = False,
        client_ids: ClientIds | None = None,
        admin_mode: bool = True,
        cors_origins: Iterable[str] = (),
        websocket_factory: IProtocolFactory | None = None,
        keys: Sequence[str] = (),
        clock: IReactorTime | None = None,
        tokens: ITokens | None = None,
        rooms: Mapping[bytes, IRoom] | None = None,
        meter: TransportMeter | None = None,
        **collaborators: Any,
    ) -> None:
        built = build_operations(storage, limits, keys, clock, **collaborators)
        self.site = built.site(
            checksums=checksums,
            client_ids=client_ids,
            admin_mode=admin_mode,
            cors_origins=cors_origins,
            websocket_factory=websocket_factory,
            tokens=tokens,
            rooms=rooms,
            meter=meter,
        )

    def make(
        self,
        method: str,
        target: str | bytes,
        body: object = None,
        headers: dict[str, str | None] | None = None,
        *,
        bare: bool = False,
    ) -> RecordedRequest:
        """A request, complete and not yet handled.

        :param body: bytes as they are, anything else as JSON; ``None`` for none.
        :param headers: added to Client-ID and X-Project-ID; ``None`` leaves one of them out.
        :param bare: whether Client-ID and X-Project-ID are left out.
        """
        sent: dict[str, str | None] = {} if bare else {"client-id": CLIENT, "x-project-id": PROJECT}
        sent |= {name.lower(): value for name, value in (headers or {}).items()}
        content = body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
        if content:
            sent["content-length"] = str(len(content))
        request = RecordedRequest.to(
            method.encode(),
            target if isinstance(target, bytes) else target.encode(),
            {name.encode(): value.encode() for name, value in sent.items() if value is not None},
        )
        if content:
            request.has_body = True
            request.too_large = len(content) > self.site.body_limit(request)
            request.body = b"" if request.too_large else content
        return request

    def __call__(
        self,
        method: str,
        target: str | bytes,
        body: object = None,
        headers: dict[str, str | None] | None = None,
        *,
        bare: bool = False,
    ) -> Response:
        """Ask, and return the response, which has to be there at once.  Arguments are those of :meth:`make`."""
        request = self.make(method, target, body, headers, bare=bare)
        self.site.handle(request)
        (response,) = request.responses
        return response


def self_signed() -> PrivateCertificate:
    """A new certificate for localhost."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.datetime.now(datetime.UTC)
    built = x509.CertificateBuilder(name, name, key.public_key(), 1, now, now + datetime.timedelta(days=1))
    signed = built.sign(key, hashes.SHA256())
    pem = signed.public_bytes(serialization.Encoding.PEM) + key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    certificate: PrivateCertificate = PrivateCertificate.loadPEM(pem)
    return certificate


class JumpyClock(Clock):
    """Time that goes on when it is looked at, so that a part of a turn is over after anything."""

    def __init__(self, random: Random) -> None:
        super().__init__()
        self.random = random

    def seconds(self) -> float:
        self.rightNow += self.random.choice((0.0, 0.0, PART_S / 3, PART_S))
        return self.rightNow
