"""What is looked at in the headers of every request, whatever it asks for (API reference, "Order of checks")."""

from __future__ import annotations

from collections.abc import Callable, Collection
from functools import lru_cache

from zaqar_gateway import instants
from zaqar_gateway.errors import BadContentType, MissingHeader, ProjectMissing, Unauthorized
from zaqar_gateway.interfaces import IUrlSigner
from zaqar_gateway.limits import ClientIds
from zaqar_gateway.model import Caller, Context, SignedUrl
from zaqar_gateway.transport.http.answers import Refused
from zaqar_gateway.transport.http.arguments import text
from zaqar_gateway.transport.http.request import Request

_FORM = b"application/x-www-form-urlencoded"
_ADMIT_JSON = (b"*/*", b"application/*", b"application/json")
_USUAL = frozenset((*_ADMIT_JSON, b""))
_IDENTITY = (b"x-project-id", b"x-tenant-id", b"x-tenant", b"x-roles", b"x-role", b"x-user-id")
"""All that an identity is made of."""

_KNOWN_SIZE_MAX = 1024  # bytes of what a client says of itself that is remembered


@lru_cache(maxsize=256)
def admits_json(accept: bytes) -> bool:
    """Whether an ``Accept`` header lets the reply be JSON: a member with a q above 0 does (RFC 9110, section 12.5.1).

    A q that is no number counts as 1.
    """
    return admits(accept, _ADMIT_JSON) or not accept.strip()


def admits(accept: bytes, kinds: Collection[bytes]) -> bool:
    """Whether one of some media types, or ranges of them, is a member with a q above 0."""
    for member in accept.lower().split(b","):
        kind, *parameters = (part.strip() for part in member.split(b";"))
        if kind in kinds and all(_weight(parameter) > 0 for parameter in parameters):
            return True
    return False


def _weight(parameter: bytes) -> float:
    name, _, value = parameter.partition(b"=")
    if name.strip() != b"q":
        return 1.0
    try:
        return float(value)
    except ValueError:
        return 1.0


def _members(value: bytes) -> tuple[str, ...]:
    return tuple(member.strip() for member in text(value).split(","))


class Admission:
    """The checks of headers.

    :param identify: who asks, from the headers in ``_IDENTITY`` by lower-case name; raises a kind of ``BadRequest``.
        ``None``: only whoever has shown a token, or a signature, is somebody.
    :param client_ids: the form that a Client-ID has to have.
    :param signer: of pre-signed URLs; ``None``: none is accepted.
    """

    def __init__(
        self,
        identify: Callable[[dict[bytes, bytes]], Context] | None,
        client_ids: ClientIds,
        signer: IUrlSigner | None = None,
    ) -> None:
        self._identify = identify
        self._signer = signer
        self._canonical = client_ids.canonical
        # A client says the same of itself with every request.
        self._known = lru_cache(maxsize=1024)(self._unknown)

    def _unknown(self, *values: bytes | None) -> Context:
        if self._identify is None:
            raise Unauthorized("X-Auth-Token is missing.")
        given = {name: value for name, value in zip(_IDENTITY, values, strict=True) if value is not None}
        return self._identify(given)

    def signature(self, request: Request, shared_as: str = "") -> str | None:
        """Step 5: the project that a pre-signed URL gives access to; ``None`` where the request carries none.

        The route has been looked for, so that ``prepath`` is the whole path, percent-decoded.

        :param shared_as: what may stand in the place of the last part of the path.
        :raises Refused: 404: the signature does not give what is asked for.
        """
        get = request.headers.get
        signature = get(b"url-signature")
        if signature is None:
            return None
        given = SignedUrl(
            paths=_members(get(b"url-paths", b"")),
            methods=_members(get(b"url-methods", b"")),
            project=text(get(b"x-project-id", b"")),
            expires=text(get(b"url-expires", b"")),
            signature=text(signature),
        )
        path, method = text(b"/" + b"/".join(request.head.prepath)), text(request.method)
        paths = [path, f"{path.rpartition('/')[0]}/{shared_as}"] if shared_as else [path]
        if self._signer is None or not any(self._signer.allows(given, method, one) for one in paths):
            raise Refused(404)
        request.signed_until_s = instants.parse(given.expires)
        return given.project

    def media(self, request: Request, produces: str = "") -> None:
        """Steps 6 and 7: no form, and a reply in JSON is welcome.

        :param produces: another media type of the reply; welcoming that is enough.
        :raises BadContentType: the body is declared as a form.
        :raises Refused: 406.
        """
        headers = request.headers
        if request.has_body and headers.get(b"content-type", b"").lower() == _FORM:
            raise BadContentType("Content-Type is a form's; the body has to be JSON, declared as application/json.")
        accept = headers.get(b"accept", b"")
        if accept not in _USUAL and not admits_json(accept) and not (produces and admits(accept, (produces.encode(),))):
            raise Refused(406)

    def is_plain(self, headers: dict[bytes, bytes]) -> bool:
        """Whether what these headers were found to say holds wherever they come again: it hangs on nothing else."""
        return headers.get(b"content-type", b"").lower() != _FORM and headers.get(b"accept", b"") in _USUAL

    def caller(
        self, headers: dict[bytes, bytes], signed: str | None = None, known: Caller | None = None
    ) -> Context:
        """Steps 8 and 9: who asks, in which project.

        :param signed: the project that :meth:`signature` found.  Whatever else the client says of itself is not
            covered by a signature, and so is not looked at.
        :param known: whose token the request came with; what the client says of itself is not looked at then, either.
        :raises BadRequest: the Client-ID or the project is missing or not of the form it has to have.
        """
        get = headers.get
        client = get(b"client-id")
        if client is None:
            raise MissingHeader("Client-ID is missing; it has to be a UUID that names the client.")
        canonical = self._canonical(text(client))
        if signed is not None:
            return Context(signed, canonical)
        token = text(get(b"x-auth-token", b""))
        if known is not None:
            if not known.project:
                raise ProjectMissing("The token of X-Auth-Token is good for no project; it has to be one of a project.")
            return Context(known.project, canonical, known.roles, known.user, token)
        said = [get(name) for name in _IDENTITY]
        size = sum(map(len, filter(None, said)))
        who = self._known(*said) if size <= _KNOWN_SIZE_MAX else self._unknown(*said)
        return Context(who.project, canonical, who.roles, who.user, token)
