"""What browsers are told about requests from pages of other origins (API reference, "CORS").  Pure."""

from __future__ import annotations

from collections.abc import Iterable

from zaqar_gateway.transport.http.request import Headers

METHODS = frozenset((b"GET", b"PUT", b"POST", b"DELETE", b"PATCH", b"HEAD"))

_SIMPLE = "Accept, Accept-Language, Content-Type, Cache-Control, Content-Language, Expires, Last-Modified, Pragma"
_LISTED = (
    "X-Auth-Token, X-Identity-Status, X-Roles, X-Service-Catalog, X-User-Id, X-Tenant-Id, X-OpenStack-Request-ID,"
    " X-Trace-Info, X-Trace-HMAC, Client-id"
)
# Without these a page could not use the API: every request names its project, and a signed one the signature.
_NEEDED = "X-Project-ID, URL-Signature, URL-Expires, URL-Methods, URL-Paths"
ALLOWED_HEADERS = frozenset(
    name.strip().lower().encode() for part in (_SIMPLE, _LISTED, _NEEDED) for name in part.split(",")
)
"""Request headers that a page may send, in lower case."""

_CREDENTIALS = (b"Access-Control-Allow-Credentials", b"true")
_MAX_AGE = (b"Access-Control-Max-Age", b"3600")
_EXPOSED = (
    b"Access-Control-Expose-Headers",
    b"X-Auth-Token, X-Subject-Token, X-Service-Token, X-OpenStack-Request-ID",
)


class Cors:
    """Cross-origin access from some origins.

    :param origins: allowed origins such as ``https://console.example``, compared whole.
    """

    def __init__(self, origins: Iterable[str]) -> None:
        self._origins = frozenset(origin.encode() for origin in origins)

    def preflight(self, asked: dict[bytes, bytes]) -> Headers | None:
        """The headers of the answer to an OPTIONS request, ``None`` where it gets the plain answer.

        :param asked: request headers by lower-case name.
        """
        origin = asked.get(b"origin")
        method = asked.get(b"access-control-request-method")
        wanted = asked.get(b"access-control-request-headers", b"")
        if origin not in self._origins or origin is None or method is None or method not in METHODS:
            return None
        if any(name and name not in ALLOWED_HEADERS for name in map(bytes.strip, wanted.lower().split(b","))):
            return None
        headers = [(b"Access-Control-Allow-Origin", origin), _CREDENTIALS, _MAX_AGE]
        headers.append((b"Access-Control-Allow-Methods", method))
        if wanted:
            headers.append((b"Access-Control-Allow-Headers", wanted))
        headers.append((b"Vary", b"Origin"))
        return headers

    def simple(self, origin: bytes, headers: Headers) -> Headers:
        """The headers of a response, with what a page of this origin needs in order to read it.

        :param headers: those of the response so far.
        """
        if origin not in self._origins:
            return headers
        vary = [value for name, value in headers if name == b"Vary"]
        return [
            *(header for header in headers if header[0] != b"Vary"),
            (b"Access-Control-Allow-Origin", origin),
            _CREDENTIALS,
            _EXPOSED,
            (b"Vary", b", ".join((*vary, b"Origin"))),
        ]
