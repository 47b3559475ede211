"""What the heads of requests have to be, and what each of them is (RFC 9112, sections 2 to 6).

llhttp (:mod:`httptools`) judges header lines in its strict mode; what it is lenient about is judged here: the request line, Host, and
sizes.  A connection sends the same heads, or header lines, again and again, and those are found by their bytes: to read them anew
takes a tenth of the CPU of a small request.
"""

from __future__ import annotations

import re
from typing import TypeVar

from httptools import HttpParserError, HttpParserUpgrade, HttpRequestParser

from zaqar_gateway.errors import BadHeader
from zaqar_gateway.transport.http.alike import SIZE_MAX, Alike, alike
from zaqar_gateway.transport.http.bounds import HttpBounds
from zaqar_gateway.transport.http.request import ABSOLUTE, Fields, Head
from zaqar_gateway.transport.status import told

# Of what HTTP knows as methods CONNECT is missing: it asks for a tunnel.  "#" ends a URI reference and is no part of a
# request target (RFC 9112, section 3.2).
_REQUEST_LINE = re.compile(
    rb"(GET|HEAD|POST|PUT|DELETE|PATCH|OPTIONS|TRACE) ([\x21\x22\x24-\x7e\x80-\xff]+) HTTP/1\.([01])"
)
_BARE_LF = re.compile(rb"(?<!\r)\n")
_JUDGED_LINE = b"POST / HTTP/1.1"  # stands before the header lines that llhttp judges

_KNOWN_MAX = 4
_KNOWN_LINES_MAX = 32  # in memory a header line has some 150 bytes besides its own


class BadHead(Exception):
    """The head of a request is none.

    :ivar status: of the answer.
    :ivar description: what is wrong with it.
    :ivar title: of the answer; empty: that of the status.
    :ivar is_bodiless: whether the answer has to have no body.
    """

    is_bodiless = False

    def __init__(self, status: int, description: str, title: str = "") -> None:
        super().__init__(description)
        self.title = title
        self.status = status
        self.description = description


_Text = TypeVar("_Text")
_Known = TypeVar("_Known")


def _remember(known: dict[_Text, _Known], text: _Text, what: _Known) -> None:
    if len(known) == _KNOWN_MAX:
        del known[next(iter(known))]
    known[text] = what


def _is_kept(size: int, headers: Fields) -> bool:
    """Whether a head, or the header lines of one, may be remembered."""
    return size <= SIZE_MAX and len(headers) <= _KNOWN_LINES_MAX


class Heads:
    """The heads of a connection.

    :ivar alike: what finds those that are like others.
    :ivar scanned: bytes of the one that is not complete yet in which its end was looked for; all but the last three.
    """

    __slots__ = ("_bounds", "_fields", "_judged_size", "_known", "_seen", "_unlike_size", "alike", "scanned")

    def __init__(self, bounds: HttpBounds) -> None:
        self.alike: list[Alike] = []
        self.scanned = 0
        self._bounds = bounds
        self._fields: dict[bytes, Fields] = {}  # by header lines
        self._known: dict[bytes, Head] = {}
        self._seen: dict[int, None] = {}  # hashes of those without a body that came once
        self._judged_size = 0  # of the last one without a body that was like none
        self._unlike_size = 0  # of one in which ids were looked for in vain

    def find(self, data: bytes, start: int) -> tuple[Head, int, bool] | None:
        """The head that begins at an index.

        :return: it, the index after its last byte, and whether it had to be judged; ``None``: it is not complete.
        :raises BadHead: it has to be refused, which is found out as soon as it is certain.
        """
        found = data.find(b"\r\n\r\n", start + self.scanned)
        if found < 0:
            self._look_ahead(data, start)
            return None
        end = found + 4
        known = self._known.get(data[start:end])
        if known is not None:
            return known, end, False
        return self._judge(data, start, found), end, True

    def learn(self, text: bytes, head: Head) -> None:
        """Note a head without a body that had to be judged: whole where it comes again, for most name one message, which comes once; and
        what is alike in it where the last one that had to be judged is as long."""
        size, sight = len(text), hash(text)
        if not _is_kept(size, head.headers):
            return
        if sight in self._seen:
            _remember(self._known, text, head)
            return
        _remember(self._seen, sight, None)
        if size == self._judged_size and size != self._unlike_size:
            found = alike(text, head)
            if found is None:
                self._unlike_size = size
            else:
                self.alike = [*self.alike[1 - _KNOWN_MAX :], found]
        self._judged_size = size

    def _judge(self, data: bytes, start: int, end: int) -> Head:
        """Read a head.

        :param start: where it begins in the data.
        :param end: where its last line ends.
        :raises BadHead: something is wrong with it.
        """
        bounds = self._bounds
        line_end = data.find(b"\r\n", start)
        if line_end - start > bounds.request_line_max:
            raise self._long_line()
        line = _REQUEST_LINE.fullmatch(data, start, line_end)
        if line is None:
            raise _bad_line()
        if end + 4 - start > bounds.head_max:
            raise self._long_head()
        method, target, minor = line.groups()
        http10 = minor == b"0"
        try:
            lines = data[line_end : end + 4]
            headers = self._fields.get(lines) or self._judge_lines(lines)
            if b"host" not in headers and not http10:
                raise BadHead(400, "There is no Host header.")
            if target[0] != 47 and (target != b"*" or method != b"OPTIONS"):  # "/"
                absolute = ABSOLUTE.fullmatch(target)
                if absolute is None:
                    raise BadHead(400, "The request target is not a path that begins with '/'.")
                headers = Fields({**headers, b"host": absolute[1]})
        except BadHead as error:
            error.is_bodiless = method == b"HEAD"
            raise
        head = Head(method, target, headers, headers.closes or (http10 and not headers.keeps), http10)
        if headers.has_body and _is_kept(end + 4 - start, headers):  # for others see learn()
            _remember(self._known, data[start : end + 4], head)
        return head

    def _judge_lines(self, lines: bytes) -> Fields:
        """Read header lines.

        :param lines: with the line end before them and the empty line behind them.
        :raises BadHead: something is wrong with them.
        """
        fields = lines[2:-4].split(b"\r\n") if len(lines) > 4 else []
        if len(fields) > self._bounds.headers_max:
            raise BadHead(431, f"The request has more than {self._bounds.headers_max} headers.")
        try:
            HttpRequestParser(None).feed_data(_JUDGED_LINE + lines)
        except HttpParserUpgrade:
            pass  # whether anything is upgraded is decided by the connection
        except HttpParserError as error:
            # A wrong length is told as the wrong value of any header is (API reference, "Errors").
            is_length = "Content-Length" in str(error) and "Transfer-Encoding" not in str(error)
            title = told(BadHeader("")).title if is_length else ""
            raise BadHead(400, f"The headers cannot be read: {error}.", title) from None
        headers: dict[bytes, bytes] = {}
        for field in fields:
            name, _, value = field.partition(b":")
            name = name.lower()
            value = value.strip()
            if name not in headers:
                headers[name] = value
            elif name == b"host":
                raise BadHead(400, "There is more than one Host header.")
            else:
                headers[name] += b", " + value
        judged = Fields(headers)
        if _is_kept(len(lines), judged):
            _remember(self._fields, lines, judged)
        return judged

    def _look_ahead(self, data: bytes, start: int) -> None:
        """
        :raises BadHead: a head that is not complete will have to be refused.
        """
        bounds = self._bounds
        size = len(data) - start
        # A head that comes byte by byte is not looked through as often as it has bytes.
        news = start + self.scanned
        self.scanned = max(0, size - 3)
        line_end = data.find(b"\r\n", start)
        if not 65 <= data[start] <= 90 and data[start:] != b"\r":  # a method begins with A to Z; TLS does not
            raise _bad_line()
        if (line_end if line_end >= 0 else len(data) - 1) - start > bounds.request_line_max:
            raise self._long_line()
        if line_end >= news and _REQUEST_LINE.fullmatch(data, start, line_end) is None:
            raise _bad_line()
        if size >= bounds.head_max:
            raise self._long_head()
        if _BARE_LF.search(data, news):
            raise BadHead(400, "A line of the head ends without CR LF.")

    def _long_line(self) -> BadHead:
        return BadHead(414, f"The request line has more than {self._bounds.request_line_max} bytes.")

    def _long_head(self) -> BadHead:
        return BadHead(431, f"The head of the request has more than {self._bounds.head_max} bytes.")


def _bad_line() -> BadHead:
    return BadHead(400, "The request line is not a method known to HTTP, a target and HTTP/1.0 or HTTP/1.1, one space between.")
