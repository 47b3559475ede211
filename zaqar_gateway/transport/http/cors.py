"""What browsers are told about requests from pages of other origins (API reference, "CORS").  Pure."""

from __future__ import annotations

from collections.abc import Iterable

from zaqar_gateway.transport.http.request import Headers

METHODS = ("GET", "PUT", "POST", "DELETE", "PATCH", "HEAD")

_SIMPLE = (
    *("Accept", "Accept-Language", "Content-Type", "Cache-Control", "Content-Language", "Expires", "Last-Modified"),
    "Pragma",
)
_LISTED = (
    *("X-Auth-Token", "X-Identity-Status", "X-Roles", "X-Service-Catalog", "X-User-Id", "X-Tenant-Id"),
    *("X-OpenStack-Request-ID", "X-Trace-Info", "X-Trace-HMAC", "Client-id"),
)
# Without these a page could not use the API: every request names its project, a signed one the signature, a stream that a page
# reads by itself goes on behind an id, and a post that may be repeated has a key.
_NEEDED = (
    *("X-Project-ID", "URL-Signature", "URL-Expires", "URL-Methods", "URL-Paths", "Last-Event-ID", "Idempotency-Key"),
)
ALLOWED_HEADERS = (*_LISTED, *_NEEDED)
"""Request headers that a page may send besides those of any page."""

EXPOSED_HEADERS = (
    *("X-Auth-Token", "X-Subject-Token", "X-Service-Token", "X-OpenStack-Request-ID", "Idempotency-Replayed"),
)
"""Response headers that a page may read besides those of any page."""


class Cors:
    """Cross-origin access from some origins.

    :param origins: allowed origins such as ``https://console.example``, compared whole.
    :param methods: those that a page may use.
    :param allow_headers: those that it may send besides those of any page.
    :param expose_headers: those that it may read besides those of any page.
    :param max_age_s: how long a browser may remember the answer to a preflight.
    """

    def __init__(
        self,
        origins: Iterable[str],
        *,
        methods: Iterable[str] = METHODS,
        allow_headers: Iterable[str] = ALLOWED_HEADERS,
        expose_headers: Iterable[str] = EXPOSED_HEADERS,
        allow_credentials: bool = True,
        max_age_s: int = 3600,
    ) -> None:
        self._origins = frozenset(origin.encode() for origin in origins)
        self._methods = frozenset(method.encode() for method in methods)
        self._headers = frozenset(name.lower().encode() for name in (*_SIMPLE, *allow_headers))
        credentials = ((b"Access-Control-Allow-Credentials", b"true"),) if allow_credentials else ()
        exposed = ", ".join(expose_headers).encode()
        self._preflight: Headers = (*credentials, (b"Access-Control-Max-Age", b"%d" % max_age_s))
        self._simple: Headers = (*credentials, *(((b"Access-Control-Expose-Headers", exposed),) if exposed else ()))

    def preflight(self, asked: dict[bytes, bytes]) -> Headers | None:
        """The headers of the answer to an OPTIONS request, ``None`` where it gets the plain answer.

        :param asked: request headers by lower-case name.
        """
        origin = asked.get(b"origin")
        method = asked.get(b"access-control-request-method")
        wanted = asked.get(b"access-control-request-headers", b"")
        if origin not in self._origins or origin is None or method is None or method not in self._methods:
            return None
        if any(name and name not in self._headers for name in map(bytes.strip, wanted.lower().split(b","))):
            return None
        headers = [(b"Access-Control-Allow-Origin", origin), *self._preflight]
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
            *self._simple,
            (b"Vary", b", ".join((*vary, b"Origin"))),
        ]
