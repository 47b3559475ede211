"""One HTTP request as the application sees it, and the bytes of its reply.

Pure save for :meth:`Request.reply`, which hands the finished bytes to the connection.  How requests are read and in
which order replies leave is the business of :mod:`zaqar_gateway.transport.http.channel`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from functools import lru_cache
from http import HTTPStatus
from typing import Any, NoReturn, Protocol
from urllib.parse import unquote_to_bytes

from msgspec import Struct
from zope.interface import implementer

from zaqar_gateway.interfaces import IAsker
from zaqar_gateway.model import Caller, Context

Headers = Sequence[tuple[bytes, bytes]]

_STATUS_LINES = {status.value: b"HTTP/1.1 %d %b\r\n" % (status, status.phrase.encode()) for status in HTTPStatus}
ABSOLUTE = re.compile(rb"(?i:https?)://([^/?@]+)((?:[/?].*)?)")
"""A target in absolute form: host, and path with query."""

_PERCENT = ord("%")
_CACHE_CONTROL = b"Cache-Control"
# A header value that came from a client must not be able to end its line (RFC 9110, section 5.5).
_LF, _CR = b"\n\r"  # numbers: to look for bytes in bytes takes ten times as long
_NO_LINE_ENDS = bytes.maketrans(b"\r\n\0", b"   ")


class Outflow(Protocol):
    """The body of a response that is sent piece by piece.  Once it has ended, or the peer has gone, nothing is sent."""

    @property
    def is_blocked(self) -> bool:
        """Whether the peer has not taken all that was written, and that is much; more would fill memory."""

    def write(self, data: bytes) -> None:
        """Send a piece, one byte at least."""

    def finish(self) -> None:
        """End the response, and the connection with it."""


class Source(Protocol):
    """What makes such a response.  It is called in the order of these methods, :meth:`gone` last and always."""

    def begin(self, out: Outflow) -> None:
        """The head has been sent."""

    def resume(self) -> None:
        """The peer has taken all that was written."""

    def drain(self) -> None:
        """The service ends: finish soon."""

    def gone(self) -> None:
        """The response has ended, or the peer has hung up, which may be before :meth:`begin`."""


class Wire(Protocol):
    """What a request needs of the connection that it came on.

    :ivar added: header lines of every reply, each with its line end.
    :ivar added_cached: those of one that says itself whether it may be kept.
    """

    added: bytes
    added_cached: bytes

    def answer(self, status: int, fields: bytes, body: bytes) -> None:
        """Send the reply to the request that is outstanding.

        :param fields: the header lines, each with its line end.
        """

    def stream(self, status: int, fields: bytes, source: Source) -> None:
        """Send the head of the reply, and let a source send the rest."""

    @property
    def peer(self) -> str:
        """See :func:`zaqar_gateway.transport.audit.peer_of`."""

    @property
    def place(self) -> str:
        """See :meth:`zaqar_gateway.transport.peers.Peers.place_of`."""


class Fields(dict[bytes, bytes]):
    """The header lines of a request: values by lower-case name, without the white space around them.

    The values of a repeated header are joined with ``b", "`` in their order.  Requests share them, so they cannot be changed.

    :ivar closes: whether ``Connection`` asks for that.
    :ivar keeps: whether it asks to keep the connection.
    :ivar has_body: whether there is one, or an expectation.
    :ivar length: what Content-Length says; 0 where there is none.
    :ivar is_plain: whether no more is said of the body than that.
    :ivar admitted: who asks, as the application has found these lines to say.
    """

    __slots__ = ("admitted", "closes", "has_body", "is_plain", "keeps", "length")

    def __init__(self, lines: dict[bytes, bytes]) -> None:
        super().__init__(lines)
        options = tokens(self.get(b"connection"))
        self.closes = b"close" in options
        self.keeps = b"keep-alive" in options
        self.has_body = b"content-length" in self or b"transfer-encoding" in self or b"expect" in self
        self.length = int(self.get(b"content-length", 0))  # llhttp lets only digits pass, once
        self.is_plain = b"transfer-encoding" not in self and b"expect" not in self
        self.admitted: Context | None = None

    def _refuse(self, *_: object, **__: object) -> NoReturn:
        raise TypeError("Header lines are shared by requests; make others of them.")

    __setitem__ = __delitem__ = __ior__ = setdefault = update = pop = popitem = clear = _refuse


def tokens(value: bytes | None) -> list[bytes]:
    """The members of a comma-separated header value, in lower case."""
    return [] if value is None else [token.strip() for token in value.lower().split(b",")]


class Head(Struct, eq=False):
    """The head of a request, judged.  Requests of a connection whose heads are the same bytes share it.

    :ivar method: upper-case name, such as ``b"GET"``.
    :ivar target: as sent, path and query; raw bytes above 0x7F are passed on.
    :ivar headers: for a target in absolute form ``host`` is the target's (RFC 9112, section 3.2.2).
    :ivar closes: whether the connection ends with the reply.
    :ivar is_http10: whether it is HTTP/1.0.
    :ivar place: what stands at its path; filled by the application.
    :ivar plan: what the application has found it to ask for, whoever asks; likewise.
    """

    method: bytes
    target: bytes
    headers: Fields
    closes: bool = False
    is_http10: bool = False
    place: Any = None
    plan: Any = None

    @property
    def path(self) -> bytes:
        """The path of the target, percent-encoded as sent; ``b"*"`` for the asterisk form of OPTIONS."""
        return self.origin.partition(b"?")[0] or b"/"

    @property
    def query(self) -> bytes:
        """What follows the first ``?``, ``b""`` where there is none."""
        return self.origin.partition(b"?")[2]

    @property
    def origin(self) -> bytes:
        """The target in origin form: without what comes before its path in absolute form (RFC 9112, section 3.2)."""
        target = self.target
        absolute = None if target[:1] == b"/" else ABSOLUTE.fullmatch(target)
        return target if absolute is None else absolute[2]

    @property
    def prepath(self) -> list[bytes]:
        """The parts of the path, percent-decoded."""
        path = self.path
        return (unquote_to_bytes(path) if _PERCENT in path else path).split(b"/")[1:]


@implementer(IAsker)
class Request(Struct, eq=False):
    """One HTTP request, complete.

    :ivar head: that it came with.
    :ivar headers: of the head; the application may put others in their place.
    :ivar body: the complete body, ``b""`` where there is none.
    :ivar has_body: whether a Content-Length above 0 was declared, or a chunked body has at least one byte.
    :ivar too_large: whether the body is over the bound that the application gave; ``body`` is ``b""`` then.
    :ivar caller: whose token it came with; ``None``: it was not asked for one.
    :ivar signed_until_s: when the access ends that somebody signed, in seconds since the epoch; ``None``: it is not signed.
    :ivar gone: whether the peer has hung up before the reply.
    :ivar left: whether it may have: its side is closed, or so much of further requests is unread that nobody would notice.
    """

    _wire: Wire | None
    head: Head
    headers: Fields
    body: bytes = b""
    has_body: bool = False
    too_large: bool = False
    caller: Caller | None = None
    signed_until_s: int | None = None
    gone: bool = False
    left: bool = False
    _when_left: Callable[[], None] | None = None

    @property
    def method(self) -> bytes:
        """See :class:`Head`."""
        return self.head.method

    @property
    def target(self) -> bytes:
        """See :class:`Head`."""
        return self.head.target

    @property
    def path(self) -> bytes:
        """See :class:`Head`."""
        return self.head.path

    @property
    def query(self) -> bytes:
        """See :class:`Head`."""
        return self.head.query

    @property
    def peer(self) -> str:
        """From where it came (:func:`zaqar_gateway.transport.audit.peer_of`); empty once it has been answered."""
        return "" if self._wire is None else self._wire.peer

    @property
    def place(self) -> str:
        """Where its connection is counted (:meth:`zaqar_gateway.transport.peers.Peers.place_of`); empty likewise."""
        return "" if self._wire is None else self._wire.place

    @property
    def until_s(self) -> int | None:
        """See :class:`~zaqar_gateway.interfaces.IAsker`."""
        return self.signed_until_s if self.caller is None else self.caller.expires_s

    def when_left(self, call: Callable[[], None]) -> Callable[[], None]:
        """See :class:`~zaqar_gateway.interfaces.IAsker`; one at a time."""
        self._when_left = call
        return self._stay

    def _stay(self) -> None:
        self._when_left = None

    def leave(self) -> None:
        """The peer may have hung up; whoever waits for its sake need not."""
        self.left = True
        if self._when_left is not None:
            self._when_left()

    @property
    def answered(self) -> bool:
        """Whether :meth:`reply` has been called."""
        return self._wire is None

    def reply(self, status: int, headers: Headers, body: bytes = b"", lines: bytes = b"") -> None:
        """Send the whole response.  Once the peer has gone this does nothing.

        :param headers: all headers save Content-Length, Date and Connection, which are added here; line ends in a
            value become spaces.
        :param lines: other header lines, each with its line end.
        :param body: left out for 204 and 304, which have none, and in the reply to HEAD, whose Content-Length is that
            of ``body``.
        :raises RuntimeError: the request has been answered.
        :raises TypeError: something is not bytes; the request can still be answered.
        """
        if self.gone:
            return
        wire = self._wire
        if wire is None:
            raise RuntimeError("The request has been answered.")
        fields = encode_fields(headers, lines, wire)
        if type(body) is not bytes:
            body = bytes(body)
        self._wire = None
        wire.answer(status, fields, body)

    def stream(self, status: int, headers: Headers, source: Source) -> None:
        """Send a response whose length nobody knows.

        :param headers: as for :meth:`reply`.
        :param source: makes the body.  Where the peer has gone it is told so at once.
        """
        wire = self._wire
        if self.gone or wire is None:
            source.gone()
            return
        fields = encode_fields(headers, b"", wire)
        self._wire = None
        wire.stream(status, fields, source)


def encode_fields(headers: Headers, lines: bytes, wire: Wire) -> bytes:
    """Header lines, each with its line end; line ends within a value become spaces.  Names are the gateway's own.

    :param lines: some that are complete.
    :param wire: adds others.
    """
    parts, added = [lines], wire.added
    for name, value in headers:
        if _LF in value or _CR in value:
            value = value.translate(_NO_LINE_ENDS)
        if name == _CACHE_CONTROL:
            added = wire.added_cached
        parts += (name, b": ", value, b"\r\n")
    parts.append(added)
    return b"".join(parts)


def encode_head(status: int, fields: bytes, length: int, tail: bytes) -> bytes:
    """The head of a response.

    :param fields: the header lines of the application.
    :param length: of the body in bytes; not told for a status that has no body.
    :param tail: the last header lines and the empty line.
    """
    line = _STATUS_LINES.get(status) or b"HTTP/1.1 %d \r\n" % status
    if status == 204 or status == 304:
        return line + fields + tail
    return b"".join((line, fields, _content_length(length), tail))


@lru_cache(1024)
def _content_length(length: int) -> bytes:
    return b"Content-Length: %d\r\n" % length


def encode_stream_head(status: int, fields: bytes, is_chunked: bool, tail: bytes) -> bytes:
    """The same for a body of unknown length: in chunks, or ended by the end of the connection."""
    coding = b"Transfer-Encoding: chunked\r\n" if is_chunked else b""
    return b"".join((_STATUS_LINES[status], fields, coding, tail))
