"""The HTTP side of the gateway as a tree of places, made from the registry."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Protocol, cast

from twisted.internet.address import UNIXAddress
from twisted.internet.interfaces import IProtocol, IProtocolFactory
from zope.interface import implementer

from zaqar_gateway.interfaces import IUrlSigner
from zaqar_gateway.limits import ClientIds, Limits
from zaqar_gateway.meters import TransportMeter
from zaqar_gateway.model import Context
from zaqar_gateway.operations.registry import Http, Operation
from zaqar_gateway.transport.http.admission import Admission
from zaqar_gateway.transport.http.answers import NO_CONTENT, Answers
from zaqar_gateway.transport.http.arguments import Plan
from zaqar_gateway.transport.http.authentication import Authentication
from zaqar_gateway.transport.http.channel import IHttpApplication
from zaqar_gateway.transport.http.cors import Cors
from zaqar_gateway.transport.http.events import identified_by_query
from zaqar_gateway.transport.http.home import VERSIONS, home
from zaqar_gateway.transport.http.measured import MeasuredOutlet, MeasuredPlace
from zaqar_gateway.transport.http.request import Headers, Request
from zaqar_gateway.transport.http.resources import Endpoint, Outlet, Place

_UNKNOWN = UNIXAddress(None)  # a WebSocket protocol learns from its transport who its peer is


class IRoom(Protocol):
    """Answers what is asked for below one path, by rules of its own: without admission, authentication and CORS."""

    def body_limit(self, request: Request) -> int:
        """See :class:`~zaqar_gateway.transport.http.channel.IHttpApplication`."""

    def handle(self, request: Request) -> None:
        """See :class:`~zaqar_gateway.transport.http.channel.IHttpApplication`."""


@implementer(IHttpApplication)
class Site:
    """Routes, and what stands at their ends.

    :param operations: the rows of the registry.
    :param answers: how results are told.
    :param identify: who asks, from request headers with lower-case names; ``None``: whoever ``authentication`` says.
    :param authentication: lets in whoever has a token; ``None``: whoever comes.
    :param signer: of pre-signed URLs; ``None``: none is accepted.
    :param admin_mode: whether the rows of administration are served.
    :param cors: what pages of other origins may do; ``None``: nothing.
    :param websocket_factory: makes the protocols that take over connections for WebSocket; ``None``: none does.
    :param rooms: what is no API, by the first segment of its paths, as it is sent.
    :param meter: notes what became of requests; ``None``: nobody does.
    :ivar resource: the root of the tree.
    """

    def __init__(
        self,
        operations: Iterable[Operation],
        answers: Answers,
        limits: Limits,
        client_ids: ClientIds,
        identify: Callable[[dict[bytes, bytes]], Context] | None,
        *,
        authentication: Authentication | None = None,
        signer: IUrlSigner | None = None,
        admin_mode: bool = False,
        cors: Cors | None = None,
        websocket_factory: IProtocolFactory | None = None,
        rooms: Mapping[bytes, IRoom] | None = None,
        meter: TransportMeter | None = None,
    ) -> None:
        self._admission = Admission(identify, client_ids, signer)
        self._authentication = authentication
        self._make_place: type[Place] = Place if meter is None else MeasuredPlace
        self._outlet = Outlet(cors) if meter is None else MeasuredOutlet(cors, meter)
        self._websocket_factory = websocket_factory
        self._rooms = dict(rooms or {})
        self._missing = self._make_place(self._admission, self._outlet)
        self.resource = self._place()
        served = [row for row in operations if row.http is not None and (admin_mode or not row.admin)]
        for row in served:
            http = cast(Http, row.http)
            self._at(http.path).serve(http.method, Endpoint(row, http, answers.of[row.name], limits), http.when)
        versions = self._place(public=True)
        versions.serve("GET", VERSIONS)
        self.resource.putChild(b"", versions)
        self._at("/v2/").serve("GET", home(served))
        # Nothing else has a HEAD: 405 is what python-zaqarclient takes for "exists" (API reference, "Methods").
        self._at("/v2/ping").serve("HEAD", NO_CONTENT)

    def _place(self, path: tuple[tuple[int, str], ...] = (), public: bool = False) -> Place:
        return self._make_place(self._admission, self._outlet, self._missing, path, public)

    def _at(self, path: str) -> Place:
        """The place of a path; made, with all above it, where it is missing."""
        place = self.resource
        variables: tuple[tuple[int, str], ...] = ()
        for index, segment in enumerate(path.split("/")[1:]):
            if segment[:1] == "{":
                variables += ((index, segment[1:-1]),)
                if place.variable is None:
                    place.variable = self._place(variables)
                place = place.variable
            else:
                name = segment.encode()
                if name not in place.children:
                    place.putChild(name, self._place(variables))
                place = place.children[name]
        return place

    def _find(self, request: Request) -> Place:
        place: Place | None = request.head.place
        if place is None:
            place = self.resource
            for part in request.head.prepath:
                place = place.children.get(part) or place.getChild(part, request)
            request.head.place = place
        return place

    def _room(self, request: Request) -> IRoom | None:
        path = request.path
        return None if path[:4] == b"/v2/" else self._rooms.get(path[1:].partition(b"/")[0])

    def body_limit(self, request: Request) -> int:
        """See :class:`~zaqar_gateway.transport.http.channel.IHttpApplication`; a body that nobody reads is not kept."""
        plan: Plan | None = request.head.plan
        if plan is not None and self._authentication is None:
            return plan.arguments.body_limit
        if (room := self._room(request)) is not None:
            return room.body_limit(request)
        identified_by_query(request)
        if self._authentication is not None and self._authentication.hopeless(request):
            return 0
        return self._find(request).body_limit(request.method)

    def handle(self, request: Request) -> None:
        """See :class:`~zaqar_gateway.transport.http.channel.IHttpApplication`.

        Authentication (API reference, "Order of checks", step 3) has its place before the route is looked for.
        """
        if request.head.plan is None:
            if (room := self._room(request)) is not None:
                room.handle(request)
                return
            if request.method == b"OPTIONS" and self._outlet.preflight(request):
                return
            identified_by_query(request)
        if self._authentication is None:
            self._route(request)
        else:
            self._authentication.admit(request, self._route, self._outlet.refuse)

    def _route(self, request: Request) -> None:
        self._find(request).render(request)

    def upgrade(self, request: Request) -> IProtocol | None:
        """See :class:`~zaqar_gateway.transport.http.channel.IHttpApplication`; any path will do."""
        factory = self._websocket_factory
        return None if factory is None else factory.buildProtocol(_UNKNOWN)

    def for_page(self, origin: bytes, headers: Headers) -> Headers:
        """See :class:`~zaqar_gateway.transport.http.channel.IHttpApplication`."""
        return self._outlet.for_page(origin, headers)
