"""From a request to the fields of an operation: path variables, query, body.  Pure.

How the fields of an operation are read is worked out once, from its row and the types of its fields; reading them for
a request is then a few look-ups.  Every refusal names the parameter or member, what was wrong, and what would be right.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import lru_cache
from typing import Any, get_args, get_type_hints
from urllib.parse import unquote_plus

import msgspec
from msgspec import UNSET, Raw, UnsetType

from zaqar_gateway.errors import BadBody, BadParameter, RuleBroken, repeated
from zaqar_gateway.interfaces import IAsker
from zaqar_gateway.limits import WAIT_MAX_S, Limits
from zaqar_gateway.operations import documents
from zaqar_gateway.operations.registry import Body, Http, Operation, field_of
from zaqar_gateway.transport.http.answers import Refused
from zaqar_gateway.transport.http.request import Request

BODY_MAX = 262144
"""Bytes up to which a body is accepted where no other limit applies, unless posts may be larger."""

_SIZE = "size"  # a field of this name is the size of the body, whatever the body says
_TRUE = frozenset(("true", "True", "t", "yes", "y", "1", "on"))
_FALSE = frozenset(("false", "False", "f", "no", "n", "0", "off"))
_INTEGER = re.compile("[+-]?[0-9]+")
_INTEGER_LENGTH_MAX = 18


def text(value: bytes) -> str:
    """The text in a path segment or a header; what is not UTF-8 is read as ISO-8859-1."""
    try:
        return value.decode()
    except UnicodeDecodeError:
        return value.decode("latin-1")


def parameters(query: bytes) -> list[tuple[str, str]]:
    """Names and values in a query, those without a value left out.  Names are decoded, values are not yet."""
    found = []
    for part in query.decode("utf-8", "replace").split("&"):
        name, _, value = part.partition("=")
        if value:
            found.append((_decoded(name), value))
    return found


def _decoded(value: str) -> str:
    return unquote_plus(value) if "%" in value or "+" in value else value


class _Far(int):
    """A number beyond all ranges, told as it came."""

    told = ""

    def __str__(self) -> str:
        return self.told


@lru_cache(1024)
def _integer(name: str, value: str) -> int:
    if _INTEGER.fullmatch(value) is None:
        seconds = f" from 0 to {WAIT_MAX_S}, of seconds" if name == "wait" else ""
        raise BadParameter(f"{name} is {repeated(value)!r}; it has to be an integer{seconds}.")
    digits = value.lstrip("+-").lstrip("0")
    if len(digits) > _INTEGER_LENGTH_MAX:
        # No range goes that far, and Python refuses to read thousands of digits: what is left is as far out.
        far = _Far(("-" if value[0] == "-" else "") + "9" * _INTEGER_LENGTH_MAX)
        far.told = repeated(value)
        return far
    return int(digits or "0") * (-1 if value[0] == "-" else 1)


def _boolean(name: str, value: str) -> bool:
    if value in _TRUE:
        return True
    if value in _FALSE:
        return False
    raise BadParameter(f"{name} is {repeated(value)!r}; it has to be true or false.")


def _string(name: str, value: str) -> str:
    return value


_CONVERTERS: dict[object, Callable[[str, str], Any]] = {int: _integer, bool: _boolean, str: _string}


def _kind(hint: Any) -> Any:
    """The type of a field, without its "may be left out"."""
    kinds = [kind for kind in get_args(hint) if kind is not UnsetType]
    return kinds[0] if UnsetType in get_args(hint) else hint


class Arguments:
    """How the fields of one operation are read.

    :ivar body_limit: the most bytes of body that are of use.
    :ivar members: the fields that are members of the body.
    :ivar collection: the path of the collection that its route is in, such as ``/v2/queues``.
    """

    def __init__(self, operation: Operation, http: Http, limits: Limits) -> None:
        hints = get_type_hints(operation.fields)
        self._http = http
        self._make = operation.fields
        self._scalars: dict[str, tuple[str, Callable[[str, str], Any]]] = {}
        self._lists: dict[str, str] = {}
        for name, field in http.query.items():
            if _kind(hints[field]) == list[str]:
                self._lists[name] = field
            else:
                self._scalars[name] = field, _CONVERTERS[_kind(hints[field])]
        self._several = tuple(filter(None, (*self._lists.values(), http.rest)))  # fields that are lists, and the one that is a map
        self._headers = {name.lower().encode(): field for name, field in http.headers.items()}
        self._sized = _SIZE in hints
        self.collection = "/".join(http.path.split("/")[:3])
        brought = {field_of(name[1:-1]) for name in http.path.split("/") if name[:1] == "{"}
        brought |= {*http.query.values(), *http.fixed, *http.at_once.values(), http.rest, _SIZE}
        self.members = tuple(name for name in hints if name not in brought) if http.body is not Body.WHOLE else ()
        document = msgspec.defstruct(
            f"{operation.fields.__name__}Body",
            [(name, hints[name] | UnsetType, UNSET) for name in self.members],
            forbid_unknown_fields=http.closed,
        )
        self._decode = msgspec.json.Decoder(document).decode
        self._decode_at_once: Callable[[bytes], Any] | None = None
        if http.at_once:
            kinds = [(name, hints[http.at_once.get(name, name)] | UnsetType, UNSET) for name in self.members]
            self._decode_at_once = msgspec.json.Decoder(msgspec.defstruct(f"{document.__name__}AtOnce", kinds)).decode
        if http.body is Body.NONE:
            self.body_limit = 0
        elif http.body is Body.WHOLE and not http.large:
            self.body_limit = limits.queue_metadata_max
        else:
            self.body_limit = limits.post_size_max if self._sized else max(limits.post_size_max, BODY_MAX)

    def named(self, path: dict[str, str], query: list[tuple[str, str]]) -> tuple[dict[str, Any], dict[str, Any]]:
        """The fields that path and query bring, and the query parameters that the operation knows with their values.

        :param path: field to value, from the path.
        :param query: what :func:`parameters` found.
        :raises BadRequest: something in the query is not what it has to be.
        """
        values: dict[str, Any] = {**path, **self._http.fixed}
        return values, self._query(query, values) if query else {}

    def read(self, request: Request, named: dict[str, Any]) -> msgspec.Struct:
        """All fields.

        :param named: those that path and query bring.
        :raises BadRequest: something in the headers or the body is not what it has to be.
        :raises Refused: the body is of another media type than the one accepted.
        """
        http = self._http
        for field in self._several:  # requests with the same head share what was read of it, and do with theirs as they like
            if field in named:
                named = {**named, field: named[field].copy()}
        if http.body is Body.NONE and not self._headers:
            return self._make(**named)
        values = named.copy()
        for name, field in self._headers.items():
            if (value := request.headers.get(name)) is not None:
                values[field] = text(value)
        if http.body is not Body.NONE:
            self._body(request, http, values)
        return self._make(**values)

    def _query(self, query: list[tuple[str, str]], values: dict[str, Any]) -> dict[str, Any]:
        last: dict[str, tuple[str, str, Callable[[str, str], Any]]] = {}
        given: dict[str, Any] = {}
        rest: dict[str, str] = {}
        for name, value in query:
            if (scalar := self._scalars.get(name)) is not None:
                # A comma in the open separates values, of which the last counts; an encoded one belongs to the value.
                if "," in value:
                    value = next((part for part in reversed(value.split(",")) if part), "")
                if value:
                    last[name] = value, *scalar
            elif name in self._lists:
                given.setdefault(name, []).extend(part for part in _decoded(value).split(",") if part)
            elif self._http.rest:
                if name in rest:
                    raise BadParameter(f"{repeated(name)!r} is given twice; a filter has one value.")
                rest[name] = _decoded(value)
        for name, field in self._lists.items():
            if name in given:
                values[field] = given[name]
        for name, (value, field, convert) in last.items():
            given[name] = values[field] = convert(name, _decoded(value))
        if rest:
            values[self._http.rest] = rest
        return given

    def _body(self, request: Request, http: Http, values: dict[str, Any]) -> None:
        if request.too_large:
            size = request.headers.get(b"content-length", b"")
            raise RuleBroken(
                f"The body has {size.decode() if size.isdigit() else 'too many'} bytes;"
                f" at most {self.body_limit} are allowed."
            )
        if http.media_type and request.headers.get(b"content-type", b"") != http.media_type.encode():
            raise Refused(415, f"The body has to be of the type {http.media_type}.")
        if not request.has_body:
            if http.body is Body.REQUIRED or http.whole in http.needed:
                raise BadBody("The request needs a body: a JSON document.")
        elif http.body is Body.WHOLE:
            values[http.whole] = Raw(request.body)
        else:
            self._document(request.body, http, values)

    def _document(self, body: bytes, http: Http, values: dict[str, Any]) -> None:
        documents.check(body)
        if self._sized:
            values[_SIZE] = len(body)
        document, field_of_member = self._at_once(body), http.at_once
        if document is None:
            field_of_member = {}
            try:
                document = documents.decode(self._decode, body)
            except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
                if self._sized and isinstance(documents.load(body), list):
                    return  # an array has no "messages" either, and that is what is said of it
                documents.refuse(error)
        for name in self.members:
            value = getattr(document, name)
            if value is not UNSET:
                if values.setdefault(field_of_member.get(name, name), value) != value:  # it came by a header
                    raise BadParameter(f"{name} in the body is not what the header says; one of them is enough.")
            elif name in http.needed:
                raise BadBody(f"{name} is missing from the body.")

    def _at_once(self, body: bytes) -> Any:
        """The document with all that is in it, where that is as it has to be; to read a part of it as text first is to read it twice."""
        if self._decode_at_once is None:
            return None
        try:
            return self._decode_at_once(body)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            return None  # what is wrong with it is said where it is read in parts


class Plan(msgspec.Struct, eq=False):
    """What a head asks for, whoever asks.

    :ivar arguments: of the operation.
    :ivar path: field to value, from the path at least.
    :ivar query: what :func:`parameters` has found.
    :ivar named: see :meth:`Arguments.named`; ``None``: nobody has looked yet.
    :ivar kept: whatever an answer needs again for requests to the same queue whose targets differ in nothing but ids.
    """

    arguments: Arguments
    path: dict[str, str]
    query: list[tuple[str, str]]
    named: tuple[dict[str, Any], dict[str, Any]] | None = None
    kept: dict[Any, Any] = msgspec.field(default_factory=dict)

    def with_named(self, values: dict[str, Any], given: dict[str, Any]) -> Plan:
        """The same with other values from path and query."""
        plan: Plan = self.__copy__()  # type: ignore[attr-defined]  # a Struct has it
        plan.path, plan.named = values, (values, given)
        return plan


class Asked(msgspec.Struct, eq=False):
    """What a request asks of an operation; looked at when :func:`~zaqar_gateway.operations.registry.dispatch` says so.

    :ivar given: known query parameters with their values, once the fields have been read.
    """

    plan: Plan
    request: Request
    given: dict[str, Any] = {}

    @property
    def path(self) -> dict[str, str]:
        """Field to value, from the path."""
        return self.plan.path

    @property
    def kept(self) -> dict[Any, Any]:
        """See :class:`Plan`."""
        return self.plan.kept

    @property
    def collection(self) -> str:
        """See :class:`Arguments`."""
        return self.plan.arguments.collection

    @property
    def size(self) -> int:
        """See :class:`~zaqar_gateway.operations.registry.Asked`; of a body that is too large what is kept at most."""
        return self.plan.arguments.body_limit if self.request.too_large else len(self.request.body)

    @property
    def access(self) -> tuple[str, int | None]:
        """The token that lets the client in, if one does; and when that access ends, in seconds since the epoch."""
        token = "" if self.request.caller is None else text(self.request.headers[b"x-auth-token"])
        return token, self.request.until_s

    @property
    def asker(self) -> IAsker:
        """Whoever waits for the answer."""
        return self.request

    @property
    def target(self) -> bytes:
        """See :class:`~zaqar_gateway.transport.http.answers.IAsked`."""
        return self.request.head.origin

    def fields(self, operation: Operation) -> msgspec.Struct:
        """See :meth:`Arguments.named` and :meth:`Arguments.read`."""
        plan = self.plan
        if plan.named is None:
            plan.named = plan.arguments.named(plan.path, plan.query)
        named, self.given = plan.named
        return plan.arguments.read(self.request, named)
