"""The HTTP of the admin listeners: a few paths to read, for monitors and people.

Nothing can be changed here, and no page of a browser may read it: there is no CORS, and on this machine a name in somebody's DNS that
leads to a loopback address is refused (DNS rebinding).
"""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Iterable
from ipaddress import ip_address
from typing import Any, NamedTuple, Protocol
from urllib.parse import urlsplit

from prometheus_client import Metric
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IProtocol, IReactorTime
from twisted.logger import Logger
from zope.interface import implementer

from zaqar_gateway.admin.exposition import expose
from zaqar_gateway.transport.http.bounds import HttpBounds
from zaqar_gateway.transport.http.channel import IHttpApplication
from zaqar_gateway.transport.http.factory import HttpFactory
from zaqar_gateway.transport.http.request import Headers, Request
from zaqar_gateway.transport.websocket.origins import is_loopback

_log = Logger()

BOUNDS = HttpBounds(
    request_line_max=2048,
    head_max=16384,
    headers_max=64,
    fresh_timeout_s=10,
    head_timeout_s=10,
    body_timeout_s=10,
    idle_timeout_s=120,  # a monitor that comes once a minute keeps its connection
    drain_max=65536,
    pipeline_max=4096,
    write_timeout_s=20,
    connections_max=128,
)
"""Those of a connection: nothing long comes in, and few have anything to ask."""

_JSON = (b"Content-Type", b"application/json")
_ALLOW = (b"Allow", b"GET, HEAD")


class Health(NamedTuple):
    """How it stands.

    :ivar why_not: why requests cannot be served now; empty: they can.
    :ivar document: what there is to say of it, for JSON; without secrets.
    """

    why_not: str
    document: dict[str, Any]


class ISource(Protocol):
    """What is told: of one process, or of several."""

    async def families(self) -> Iterable[Metric]:
        """All metrics, as they are now."""

    async def health(self) -> Health:
        """How it stands."""

    async def why_not_ready(self) -> str:
        """Why requests cannot be served now; empty: they can."""


class _Reply(NamedTuple):
    status: int
    headers: Headers = ()
    body: bytes = b""


def _document(status: int, document: object, *headers: tuple[bytes, bytes]) -> _Reply:
    return _Reply(status, (_JSON, *headers), json.dumps(document, indent=2).encode() + b"\n")


def _error(status: int, title: str, description: str, *headers: tuple[bytes, bytes]) -> _Reply:
    return _document(status, {"title": title, "description": description}, *headers)


def _is_here(host: str) -> bool:
    """Whether an address is this machine's own, be it one of IPv4 on a socket of IPv6."""
    address = ip_address(host)
    return (getattr(address, "ipv4_mapped", None) or address).is_loopback


def _is_meant(request: Request) -> bool:
    """Whether a request names a host that nobody else's DNS can have led here."""
    host = request.peer.rpartition(":")[0]
    if not host or not _is_here(host.strip("[]")):
        return True  # from a Unix socket, which browsers have not; or from elsewhere, where the operator lets others come
    named = request.headers.get(b"host")
    if named is None:
        return True  # HTTP/1.0, as load balancers look whether somebody is there; browsers name whom they mean
    try:
        name = urlsplit(f"//{named.decode('latin-1')}").hostname or ""
        return is_loopback(name) or bool(ip_address(name))
    except ValueError:
        return False


@implementer(IHttpApplication)
class AdminSite:
    """Answers from a source."""

    def __init__(self, source: ISource) -> None:
        self._source = source
        self._pages: dict[bytes, Callable[[Request], Awaitable[_Reply]]] = {
            b"/metrics": self._metrics,
            b"/health": self._health,
            b"/ready": self._ready,
            b"/live": self._live,
        }

    def body_limit(self, request: Request) -> int:
        """See :class:`~zaqar_gateway.transport.http.channel.IHttpApplication`; no request has a body that matters."""
        return 0

    def upgrade(self, request: Request) -> IProtocol | None:
        """See :class:`~zaqar_gateway.transport.http.channel.IHttpApplication`."""
        return None

    def for_page(self, origin: bytes, headers: Headers) -> Headers:
        """See :class:`~zaqar_gateway.transport.http.channel.IHttpApplication`; pages are told nothing."""
        return headers

    def handle(self, request: Request) -> None:
        """See :class:`~zaqar_gateway.transport.http.channel.IHttpApplication`."""
        Deferred.fromCoroutine(self._answer(request)).addErrback(
            lambda failure: _log.failure("a request of an operator was lost", failure)
        )

    async def _answer(self, request: Request) -> None:
        try:
            reply = await self._reply(request)
        except Exception:
            _log.failure("a request of an operator cannot be answered")
            reply = _error(500, "Internal server error", "The service failed; the cause is in its log.")
        request.reply(reply.status, reply.headers, reply.body)

    async def _reply(self, request: Request) -> _Reply:
        if not _is_meant(request):
            return _error(403, "Forbidden", "Host has to be localhost or an address, since a name may be that of a page in a browser.")
        page = self._pages.get(request.path)
        if page is None:
            paths = ", ".join(path.decode() for path in self._pages)
            return _error(404, "404 Not Found", f"There is nothing at this path; there are {paths}.")
        if request.method not in (b"GET", b"HEAD"):
            return _error(405, "405 Method Not Allowed", "All that is here is to be read, by GET or HEAD.", _ALLOW)
        return await page(request)

    async def _metrics(self, request: Request) -> _Reply:
        kind, text = expose(await self._source.families(), request.headers.get(b"accept", b"").decode("latin-1"))
        return _Reply(200, ((b"Content-Type", kind.encode()), (b"Vary", b"Accept")), text)

    async def _health(self, request: Request) -> _Reply:
        why_not, document = await self._source.health()
        return _document(503 if why_not else 200, document)

    async def _ready(self, request: Request) -> _Reply:
        why_not = await self._source.why_not_ready()
        return _Reply(204) if not why_not else _document(503, {"ready": False, "reason": why_not})

    async def _live(self, request: Request) -> _Reply:
        return _Reply(204)


def serve(source: ISource, clock: IReactorTime) -> HttpFactory:
    """What answers on admin listeners, from a source; nothing else of a gateway is needed."""
    return HttpFactory(AdminSite(source), BOUNDS, clock)
