"""Whose a request is, before anything else of it is looked at (API reference, "Keystone authentication")."""

from __future__ import annotations

import json
from collections.abc import Callable

from twisted.internet.defer import Deferred
from twisted.logger import Logger

from zaqar_gateway.errors import GatewayError, Unauthorized
from zaqar_gateway.interfaces import ITokens
from zaqar_gateway.model import Caller
from zaqar_gateway.transport.http.answers import OK, Reply, describe
from zaqar_gateway.transport.http.arguments import text
from zaqar_gateway.transport.http.request import Request

_log = Logger()

_REFUSAL = {
    "error": {
        "code": 401,
        "title": "Unauthorized",
        "message": "X-Auth-Token is missing or not valid; it has to be a token of the identity service.",
    }
}


class Authentication:
    """Step 3 of the order of checks.

    Nothing that a client says of itself counts then: a request that is let in has its caller from the token, or has none and a
    signature, which is checked when its route is known.

    :param www_authenticate_uri: where clients get tokens.
    """

    def __init__(self, tokens: ITokens, www_authenticate_uri: str) -> None:
        self._tokens = tokens
        challenge = f'Keystone uri="{www_authenticate_uri}"'.encode()
        headers = ((b"Content-Type", b"application/json"), (b"WWW-Authenticate", challenge))
        self._refusal = Reply(401, headers, json.dumps(_REFUSAL).encode())

    def hopeless(self, request: Request) -> bool:
        """Whether a request will be refused for all that is known, so that its body need not be kept."""
        if _is_exempt(request):
            return False
        try:
            self._known(request)
        except Unauthorized:
            return True
        return False

    def admit(
        self, request: Request, admitted: Callable[[Request], object], refused: Callable[[Request, Reply], object]
    ) -> None:
        """Let a request in with its caller, or refuse it; at once, where its token was looked up lately."""
        if not _is_exempt(request):
            try:
                request.caller = self._known(request)
            except Unauthorized as error:
                refused(request, self._describe(request, error))
                return
            if request.caller is None:
                Deferred.fromCoroutine(self._look_up(request, admitted, refused)).addErrback(
                    lambda failure: _log.failure("a request was lost in its authentication", failure)
                )
                return
        admitted(request)

    def _known(self, request: Request) -> Caller | None:
        token = request.headers.get(b"x-auth-token")
        if not token:
            raise Unauthorized
        return self._tokens.known(text(token))

    async def _look_up(
        self, request: Request, admitted: Callable[[Request], object], refused: Callable[[Request, Reply], object]
    ) -> None:
        try:
            request.caller = await self._tokens.identify(text(request.headers[b"x-auth-token"]), request.place)
        except GatewayError as error:
            refused(request, self._describe(request, error))
        except Exception:
            _log.failure("a token could not be looked up")
            refused(request, describe(None))
        else:
            admitted(request)

    def _describe(self, request: Request, error: GatewayError) -> Reply:
        if request.method == b"OPTIONS":  # API reference, "Methods"
            return OK
        return self._refusal if isinstance(error, Unauthorized) else describe(error)


def _is_exempt(request: Request) -> bool:
    return request.path == b"/" or b"url-signature" in request.headers
