"""The places of the API: which methods each has, and the way of a request through its checks to its reply.

A place is made once and serves every request to its path; what belongs to one request is on the request, or in the
:class:`~zaqar_gateway.transport.http.arguments.Asked` made for it.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import partial
from typing import Any

from msgspec.structs import replace
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.web.resource import Resource
from twisted.web.server import NOT_DONE_YET

from zaqar_gateway.direct import run
from zaqar_gateway.errors import GatewayError
from zaqar_gateway.limits import Limits, check_project, check_queue, check_topic
from zaqar_gateway.model import Context
from zaqar_gateway.operations.registry import Http, Operation, dispatch, field_of
from zaqar_gateway.transport.audit import audit_of
from zaqar_gateway.transport.http.admission import Admission
from zaqar_gateway.transport.http.answers import OK, IAsked, Refused, Reply, Streaming, describe
from zaqar_gateway.transport.http.arguments import Arguments, Asked, Plan, parameters, text
from zaqar_gateway.transport.http.cors import Cors
from zaqar_gateway.transport.http.request import Head, Headers, Request
from zaqar_gateway.transport.refusal import request_id
from zaqar_gateway.transport.replies import explained

_log = Logger()

_QUEUE = "queue_name"
_CHECKS = {"queue_name": check_queue, "topic_name": check_topic}
_NOBODY = Context("")
_REQUEST_ID = b"x-openstack-request-id: "
_GLOBAL_ID = re.compile(b"req-[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


def _global_id(request: Request) -> str:
    # Any other form is ignored (API reference, "Request id"), so that nobody writes into the log what they like.
    sent = request.headers.get(b"x-openstack-request-id", b"")
    return sent.decode() if _GLOBAL_ID.fullmatch(sent) else ""


class Endpoint:
    """One operation as a method of a place.

    :ivar answer: (what was asked, result) to reply.
    :ivar audit: tells of requests; ``None``: nobody does.
    """

    def __init__(
        self, operation: Operation, http: Http, answer: Callable[[IAsked, Any], Reply | Streaming], limits: Limits
    ) -> None:
        self.operation = operation
        self.arguments = Arguments(operation, http, limits)
        self.describe = partial(describe, operation=operation.name)
        self.audit = audit_of(operation, "http")
        self.http = http
        self.answer = answer


class Planned(Plan, eq=False, kw_only=True):
    """With what answers it.

    :ivar waits: whether it may be told to wait.
    """

    endpoint: Endpoint
    waits: bool


class Outlet:
    """What all responses pass on their way out.

    :param cors: ``None``: no page of another origin is told anything.
    """

    def __init__(self, cors: Cors | None = None) -> None:
        self._cors = cors

    def preflight(self, request: Request) -> bool:
        """Answer a CORS preflight; whether it was one, and allowed."""
        headers = self._cors.preflight(request.headers) if self._cors is not None else None
        if headers is None:
            return False
        request.reply(200, [(b"x-openstack-request-id", request_id()), *headers])
        return True

    def send(self, request: Request, reply: Reply, name: bytes = b"") -> None:
        """Send a reply.  A client that has hung up loses it, not the effect of its request.

        :param name: the id of the request, where it has one already.
        """
        if request.gone:
            return
        status, headers = reply.status, reply.headers
        if self._cors is not None:
            headers = self._with_cors(request, headers)
        name = name or request_id()
        if status == 500:
            _log.error(
                "{method} {path} was answered 500; request {request}, global request {global_request}",
                method=text(request.method),
                path=text(request.path),
                request=name.decode(),
                global_request=_global_id(request) or "-",
            )
        request.reply(status, headers, reply.body, _REQUEST_ID + name + b"\r\n")

    refuse = send
    """Send a reply to what is for no operation, or may not come to one."""

    def stream(self, request: Request, reply: Streaming) -> None:
        """Send a reply piece by piece."""
        headers = self._with_cors(request, reply.headers)
        request.stream(200, [(b"x-openstack-request-id", request_id()), *headers], reply.source)

    def _with_cors(self, request: Request, headers: Headers) -> Headers:
        if request.method != b"OPTIONS" and (origin := request.headers.get(b"origin")):
            return self.for_page(origin, headers)
        return headers

    def for_page(self, origin: bytes, headers: Headers) -> Headers:
        """The headers of a response, with what a page of an origin needs in order to read it."""
        return self._cors.simple(origin, headers) if self._cors is not None else headers


class Place(Resource):
    """One path of the API; a path with a variable stands for all its values.  A place without methods is no route.

    It is a resource of twisted.web, and finds what is below it as any other; but see ``request`` of :meth:`render`.

    :ivar children: the places below it by the last part of their paths.
    :ivar variable: the place below it for any other part.

    :param admission: the checks of headers.
    :param outlet: where replies go.
    :param missing: what stands where there is no place; ``None``: this is it.
    :param path: the names of its variables, by their index in the path.
    :param public: whether anybody may come: neither client nor project is asked for.
    """

    def __init__(
        self,
        admission: Admission,
        outlet: Outlet,
        missing: Place | None = None,
        path: tuple[tuple[int, str], ...] = (),
        public: bool = False,
    ) -> None:
        super().__init__()
        self.children: dict[bytes, Place]
        self.variable: Place | None = None
        self._admission = admission
        self._outlet = outlet
        self._missing = missing or self
        self._path = () if public else tuple((index, field_of(name)) for index, name in path)
        self._check_name = next((_CHECKS[name] for _, name in path if name in _CHECKS), None)
        self._public = public
        self._produces = self._shared_as = ""
        self._methods: dict[bytes, Endpoint | Reply] = {}
        self._choices: dict[bytes, list[tuple[str, Endpoint]]] = {}
        self._allow = b""

    def getChild(self, path: bytes, request: object) -> Place:
        """The place of a path that has one part more, where it is not among the children."""
        return self.variable or self._missing

    def serve(self, method: str, served: Endpoint | Reply, when: str = "") -> None:
        """Add a method.

        :param served: what it does, or the reply that it always gets.
        :param when: the query parameter that chooses it among those of the same method.
        """
        name = method.encode()
        if when and isinstance(served, Endpoint):
            self._choices.setdefault(name, []).append((when, served))
        else:
            self._methods[name] = served
            if isinstance(served, Endpoint):
                self._produces = self._produces or served.http.produces
                self._shared_as = self._shared_as or served.http.shared_as
            self._allow = b", ".join((*sorted(self._methods), b"OPTIONS"))

    @property
    def methods(self) -> set[str]:
        """The methods that it has, besides OPTIONS; none where it is no route."""
        return {name.decode() for name in self._methods}

    def body_limit(self, method: bytes) -> int:
        """The most bytes of body that a method reads."""
        served = self._methods.get(method)
        return served.arguments.body_limit if isinstance(served, Endpoint) else 0

    def render(self, request: Request) -> int:
        """Admit a request and start its operation (API reference, "Order of checks", from step 4 on).

        :param request: one of this gateway's, not of twisted.web's.
        """
        head = request.head
        known: Planned | None = head.plan
        plan: Planned | Reply
        try:
            if not self._methods:
                raise Refused(404)
            ctx = request.headers.admitted or self._admit(request)
            path = self._variables(head) if known is None else known.path
            if self._check_name is not None:
                self._check_name(ctx.project, path[_QUEUE])
            else:
                check_project(ctx.project)
            plan = known or self._plan(request, path)
        except GatewayError as error:
            # What is wrong with an OPTIONS request is never told (API reference, "Methods").
            plan = describe(error) if request.method != b"OPTIONS" else OK
        if isinstance(plan, Reply):
            self._outlet.refuse(request, plan)
        else:
            run(self._answer(request, plan, ctx), partial(self._lost, request))
        return NOT_DONE_YET

    def _variables(self, head: Head) -> dict[str, str]:
        """Field to value, from the path."""
        parts = head.prepath
        return {name: text(parts[index]) for index, name in self._path}

    def _plan(self, request: Request, path: dict[str, str]) -> Planned | Reply:
        """What a request asks for, or the reply to it.

        :raises Refused: there is no such method.
        """
        head = request.head
        method = head.method
        served = self._methods.get(method)
        if served is None:
            if method != b"OPTIONS":
                raise Refused(405, headers=((b"Allow", self._allow),))
            served = Reply(200, ((b"Allow", self._allow),))
        if isinstance(served, Reply):
            return served
        given = head.query
        query = parameters(given) if given else []
        if query and method in self._choices:
            names = {name for name, _ in query}
            for when, choice in self._choices[method]:
                if when in names:
                    served = choice
        waits = served.operation.waits and any(name == "wait" for name, _ in query)
        plan = Planned(served.arguments, path, query, endpoint=served, waits=waits)
        if request.headers is head.headers:  # else the query says who asks, and is looked at each time
            head.plan = plan
        return plan

    def _admit(self, request: Request) -> Context:
        """Who asks.

        :raises GatewayError: the headers are not what they have to be.
        """
        admission = self._admission
        signed = admission.signature(request, self._shared_as)
        admission.media(request, self._produces)
        if self._public:
            return _NOBODY
        ctx = admission.caller(request.headers, signed, request.caller)
        if signed is None and request.caller is None and admission.is_plain(request.headers):
            request.headers.admitted = ctx
        return ctx

    async def _answer(self, request: Request, plan: Planned, ctx: Context) -> int:
        """Run the operation, and answer.

        :return: the status.
        """
        endpoint = plan.endpoint
        asked = Asked(plan, request)
        if plan.waits:
            ctx = replace(ctx, asker=asked.asker)
        reply: Reply | Streaming
        try:
            reply = endpoint.answer(asked, await dispatch(endpoint.operation, ctx, asked))
        except Exception as error:
            reply = explained(error, endpoint.describe)
        if isinstance(reply, Streaming):
            self._outlet.stream(request, reply)
            return 200
        name = b""
        if endpoint.audit is not None:
            name = request_id()
            endpoint.audit.record(
                ctx, reply.status, asked.path.__getitem__, request.peer, name.decode(), _global_id(request)
            )
        self._outlet.send(request, reply, name)
        return reply.status

    def _lost(self, request: Request, failure: Failure) -> None:
        _log.failure("a reply could not be sent", failure)
        if not request.answered:
            self._outlet.send(request, describe(None))
