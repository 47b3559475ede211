"""The web console: its files, and signing in to it.

The console itself runs in the browser and is a client of the API like any other.  All that there is for it here is a way to
get a token from the identity service, whose API does not talk to pages of other origins.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from importlib.resources.abc import Traversable
from typing import Any

import msgspec
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure

from zaqar_gateway import instants
from zaqar_gateway.errors import BadBody, Overloaded, TooManyRequests, repeated
from zaqar_gateway.interfaces import ISignIn
from zaqar_gateway.model import Login, SignedIn
from zaqar_gateway.operations.refusals import Refusals
from zaqar_gateway.transport.http.answers import Refused, Reply, describe
from zaqar_gateway.transport.http.files import Files, read
from zaqar_gateway.transport.http.request import Headers, Request
from zaqar_gateway.transport.peers import site_of
from zaqar_gateway.transport.replies import settle

NAME = b"console"
"""The first segment of its paths."""

PREFIX = "/console/"
SIGN_IN = b"/console/sign-in"

BODY_MAX = 16384
"""Bytes of the body of a sign-in."""

UNDER_WAY_MAX = 16
"""How many sign-ins may wait for the identity service at one time; others get 503."""

SITES_MAX = 10_000
"""Of how many sites it is remembered how often they tried; of more, those that tried last."""

_POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self'",
        "connect-src 'self'",  # and the WebSocket of the same host and port (CSP3, "Does url match expression")
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
        "require-trusted-types-for 'script'",
        "trusted-types 'none'",
    )
)
HEADERS: Headers = (
    (b"Content-Security-Policy", _POLICY.encode()),
    (b"Cross-Origin-Opener-Policy", b"same-origin"),
    (b"Cross-Origin-Resource-Policy", b"same-origin"),
    (b"Permissions-Policy", b"camera=(), geolocation=(), microphone=(), payment=(), usb=()"),
)
"""What browsers are told of its pages (CSP3; Trusted Types; HTML, "Cross-origin opener policies"; Fetch)."""

_JSON = b"application/json"
_ALLOW = (b"Allow", b"OPTIONS, POST")
_LENGTHS = {"user": 255, "password": 4096, "project": 64, "domain": 64, "project_domain": 64, "token": 8192}
"""Fields of a sign-in, and the most characters of each."""
_OPTIONAL = ("domain", "project_domain")

_log = Logger()


class Attempts:
    """How often somebody may try: so many times at once, and as many a minute.

    :param per_minute: 1 or more.
    :param sites_max: of how many it is remembered.
    """

    def __init__(self, per_minute: int, clock: IReactorTime, sites_max: int = SITES_MAX) -> None:
        self.per_minute = per_minute
        self._clock = clock
        self._sites_max = sites_max
        # The instant at which nothing is remembered of a site any more, those that tried last at the end.
        self._until: OrderedDict[str, float] = OrderedDict()

    def wait(self, site: str) -> int:
        """Note a try.

        :return: 0; or after how many seconds another one makes sense, and this one may not be.
        """
        now, pause = self._clock.seconds(), 60 / self.per_minute
        until = max(self._until.pop(site, now), now)
        early = until + pause - now - 60
        self._until[site] = until if early > 0 else until + pause
        if len(self._until) > self._sites_max:
            self._until.popitem(last=False)
        return max(0, math.ceil(early))


class Console:
    """The room of the console.

    :param folder: its files.
    :param sign_in: gets tokens; ``None``: there is no identity service, and no sign-in.
    :param attempts: how often one site may sign in.
    """

    def __init__(
        self, folder: Traversable, sign_in: ISignIn | None, attempts: Attempts, refusals: Refusals
    ) -> None:
        files = read(folder, PREFIX)
        files[PREFIX.encode()] = files[f"{PREFIX}index.html".encode()]
        self._files = Files(files, HEADERS)
        self._sign_in = sign_in
        self._attempts = attempts
        self._refusals = refusals
        self._under_way = 0

    def body_limit(self, request: Request) -> int:
        """See :class:`~zaqar_gateway.transport.http.site.IRoom`."""
        return BODY_MAX if request.path == SIGN_IN and request.method == b"POST" and self._sign_in is not None else 0

    def handle(self, request: Request) -> None:
        """See :class:`~zaqar_gateway.transport.http.site.IRoom`."""
        if request.path == b"/console":
            # Relative, since a proxy may serve all this below a path of its own.
            request.reply(308, ((b"Location", b"console/"),))
        elif request.path != SIGN_IN or self._sign_in is None:
            self._files.handle(request)
        elif request.method == b"OPTIONS":
            request.reply(200, (_ALLOW,))
        elif request.method != b"POST":
            describe(Refused(405, headers=(_ALLOW,))).send(request)
        else:
            answering = Deferred.fromCoroutine(self._answer(request, self._sign_in))
            answering.addErrback(self._lost, request)

    async def _answer(self, request: Request, sign_in: ISignIn) -> None:
        reply = await settle(self._signed_in(request, sign_in), describe)
        reply.send(request)

    def _lost(self, failure: Failure, request: Request) -> None:
        _log.failure("a reply could not be sent", failure)
        if not request.answered:
            describe(None).send(request)

    async def _signed_in(self, request: Request, sign_in: ISignIn) -> Reply:
        peer = request.peer
        given = _read(request)
        site = site_of(peer.rpartition(":")[0].strip("[]"))
        wait = self._attempts.wait(site)
        if wait:
            self._refusals.note("web.sign_ins_per_minute", site)
            raise TooManyRequests(
                f"There are {self._attempts.per_minute} sign-ins a minute from one address, and no more.", wait
            )
        if self._under_way >= UNDER_WAY_MAX:
            raise Overloaded("There are as many sign-ins under way as there may be.")
        self._under_way += 1
        try:
            if isinstance(given, Login):
                signed = await sign_in.with_password(given)
            else:
                signed = await sign_in.with_token(given)
        finally:
            self._under_way -= 1
        _log.info("{user} has signed in to the console, from {peer}", user=signed.caller.user, peer=peer)
        return Reply(200, ((b"Content-Type", _JSON),), _shown(signed))


def _read(request: Request) -> Login | str:
    """A user with a password, or a token.

    :raises GatewayError: it is neither.
    """
    # A page of another origin may not send this type unasked (Fetch, "CORS-safelisted request-header").
    if request.headers.get(b"content-type", b"").partition(b";")[0].strip().lower() != _JSON:
        raise Refused(415, "Content-Type has to be application/json.")
    if request.too_large:
        raise BadBody(f"The body is too large; it may have {BODY_MAX} bytes.")
    try:
        document = msgspec.json.decode(request.body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        raise BadBody("The body is not JSON; it has to be an object.") from None
    if not isinstance(document, dict):
        raise BadBody("The body has to be a JSON object.")
    if unknown := sorted(document.keys() - _LENGTHS.keys()):
        raise BadBody(f"{repeated(unknown[0])!r} is unknown; the fields are {', '.join(_LENGTHS)}.")
    if "token" in document:
        if len(document) > 1:
            raise BadBody("With token there may be no other field.")
        return _text(document, "token")
    return Login(**{name: _text(document, name) for name in _LENGTHS if name != "token"})


def _text(document: dict[str, Any], name: str) -> str:
    most, value = _LENGTHS[name], document.get(name)
    if name in _OPTIONAL and (value is None or value == ""):
        return ""
    if not isinstance(value, str) or not 1 <= len(value) <= most:
        raise BadBody(f"{name} has to be text of 1 to {most} characters.")
    return value


def _shown(signed: SignedIn) -> bytes:
    caller = signed.caller
    document = {
        "token": signed.token,
        "expires_at": f"{instants.text_of(caller.expires_s)}Z",
        "user": {"id": caller.user, "name": signed.user_name or None},
        "project": {"id": caller.project, "name": signed.project_name or None},
        "roles": sorted(caller.roles),
    }
    return msgspec.json.encode(document)

