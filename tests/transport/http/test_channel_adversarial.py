"""Tests of what a connection does with requests that are wrong, hostile or ambiguous."""

from __future__ import annotations

import json

from attrs import frozen
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.trial.unittest import SynchronousTestCase
from twisted.web.http import Request as TwistedRequest
from twisted.web.resource import Resource
from twisted.web.server import Site

from tests.transport.http.test_channel import GET, Wired
from zaqar_gateway.transport.http.request import Request

Seen = tuple[bytes, bytes, bytes]  # method, target, body


@frozen
class Case:
    """Bytes from a client and what has to become of them.

    :ivar data: what the client sends.
    :ivar statuses: what it is answered; a 100 is not told.
    :ivar seen: the requests that the application gets.
    """

    data: bytes
    statuses: tuple[int, ...]
    seen: tuple[Seen, ...] = ()

    @property
    def closed(self) -> bool:
        """Whether the connection is at its end: after each refusal of ours."""
        return any(status not in (200, 413) for status in self.statuses)


def head(line: bytes = b"GET / HTTP/1.1", *fields: bytes, host: bytes = b"Host: a\r\n") -> bytes:
    """A head of this request line and these header lines."""
    return line + b"\r\n" + host + b"".join(field + b"\r\n" for field in fields) + b"\r\n"


def post(*fields: bytes, body: bytes = b"", line: bytes = b"POST / HTTP/1.1") -> bytes:
    """A request with a body."""
    return head(line, *fields) + body


CHUNKED = b"Transfer-Encoding: chunked"
LENGTH = b"Content-Length: 3"
ROOT = (b"GET", b"/", b"")
POSTED = (b"POST", b"/", b"abc")
OVERSIZE = (b"POST", b"/", b"too large")  # seen with ``too_large``
HIDDEN = b"GET /hidden HTTP/1.1\r\nHost: a\r\n\r\n"  # stands where only a confused parser would see a request


def refused(data: bytes, status: int = 400) -> Case:
    """A request that the application must not see, nor what follows it."""
    return Case(data + HIDDEN, (status,))


def accepted(data: bytes, *seen: Seen) -> Case:
    """Requests that are answered, and after them the connection goes on."""
    return Case(data, tuple(413 if body == b"too large" else 200 for _, _, body in seen), seen)


CASES = {
    # request lines
    "plain": accepted(GET, ROOT),
    "empty line before": accepted(b"\r\n" + GET, ROOT),
    "two empty lines before": refused(b"\r\n\r\n" + GET),
    "bare line feed before": refused(b"\n" + GET),
    "carriage return before": refused(b"\r" + GET),
    "space before": refused(b" " + GET),
    "two spaces before target": refused(head(b"GET  / HTTP/1.1")),
    "two spaces after target": refused(head(b"GET /  HTTP/1.1")),
    "space after version": refused(head(b"GET / HTTP/1.1 ")),
    "tab in place of space": refused(head(b"GET\t/ HTTP/1.1")),
    "space in target": refused(head(b"GET /a b HTTP/1.1")),
    "NUL in target": refused(head(b"GET /\0 HTTP/1.1")),
    "control in target": refused(head(b"GET /\x01 HTTP/1.1")),
    "DEL in target": refused(head(b"GET /\x7f HTTP/1.1")),
    "tab in target": refused(head(b"GET /a\tb HTTP/1.1")),
    "fragment": refused(head(b"GET /a#b HTTP/1.1")),
    "UTF-8 in target": accepted(head("GET /\u00e4 HTTP/1.1".encode()), (b"GET", "/\u00e4".encode(), b"")),
    "Latin-1 in target": accepted(head(b"GET /\xe4 HTTP/1.1"), (b"GET", b"/\xe4", b"")),
    "unwise in target": accepted(head(b'GET /{}|\\^`"<> HTTP/1.1'), (b"GET", b'/{}|\\^`"<>', b"")),
    "relative target": refused(head(b"GET a HTTP/1.1")),
    "only a query": refused(head(b"GET ?a HTTP/1.1")),
    "asterisk for GET": refused(head(b"GET * HTTP/1.1")),
    "asterisk and more": refused(head(b"OPTIONS *?a HTTP/1.1")),
    "asterisk": accepted(head(b"OPTIONS * HTTP/1.1"), (b"OPTIONS", b"*", b"")),
    "absolute": accepted(head(b"GET http://b/c HTTP/1.1"), (b"GET", b"http://b/c", b"")),
    "absolute with user": refused(head(b"GET http://u@b/c HTTP/1.1")),
    "absolute without host": refused(head(b"GET http:///c HTTP/1.1")),
    "other scheme": refused(head(b"GET ftp://b/c HTTP/1.1")),
    "authority": refused(head(b"CONNECT a:80 HTTP/1.1")),
    "CONNECT with a path": refused(head(b"CONNECT / HTTP/1.1")),
    "unknown method": refused(head(b"BREW / HTTP/1.1")),
    "lower case method": refused(head(b"get / HTTP/1.1")),
    "method of llhttp only": refused(head(b"SOURCE / HTTP/1.1")),
    "method with NUL": refused(head(b"GE\0T / HTTP/1.1")),
    "no target": refused(head(b"GET HTTP/1.1")),
    "no line": refused(b"\r\n\r\n"),
    "HTTP/0.9": refused(b"GET /\r\n\r\n"),
    "HTTP/0.9 named": refused(head(b"GET / HTTP/0.9")),
    "HTTP/1.2": refused(head(b"GET / HTTP/1.2")),
    "HTTP/2.0": refused(head(b"GET / HTTP/2.0")),
    "HTTP/1.10": refused(head(b"GET / HTTP/1.10")),
    "HTTP/01.1": refused(head(b"GET / HTTP/01.1")),
    "lower case version": refused(head(b"GET / http/1.1")),
    "other protocol": refused(head(b"GET / ICE/1.0")),
    "HTTP/2 preface": refused(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
    "TLS": refused(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03"),
    "longest line": accepted(head(b"GET /%b HTTP/1.1" % (b"x" * 8178)), (b"GET", b"/" + b"x" * 8178, b"")),
    "line too long": refused(head(b"GET /%b HTTP/1.1" % (b"x" * 8179)), 414),
    "line without end": refused(b"GET /" + b"x" * 100000, 414),
    # lines of the head
    "line feeds only": refused(b"GET / HTTP/1.1\nHost: a\n\n"),
    "line feed after request line": refused(b"GET / HTTP/1.1\nHost: a\r\n\r\n"),
    "line feed after header": refused(head(b"GET / HTTP/1.1", b"A: b\nC: d")),
    "line feed at the end": refused(b"GET / HTTP/1.1\r\nHost: a\r\n\n"),
    "line feed within value": refused(head(b"GET / HTTP/1.1", b"A: b\nTransfer-Encoding: chunked")),
    "carriage return within value": refused(head(b"GET / HTTP/1.1", b"A: b\rC: d")),
    "two carriage returns": refused(head(b"GET / HTTP/1.1", b"A: b\r")),
    "NUL in value": refused(head(b"GET / HTTP/1.1", b"A: b\0")),
    "control in value": refused(head(b"GET / HTTP/1.1", b"A: b\x0b")),
    "DEL in value": refused(head(b"GET / HTTP/1.1", b"A: b\x7f")),
    "space before colon": refused(head(b"GET / HTTP/1.1", b"A : b")),
    "space before colon of length": refused(post(b"Content-Length : 3", body=b"abc")),
    "no name": refused(head(b"GET / HTTP/1.1", b": b")),
    "no colon": refused(head(b"GET / HTTP/1.1", b"A")),
    "separator in name": refused(head(b"GET / HTTP/1.1", b"A(: b")),
    "non-ASCII in name": refused(head(b"GET / HTTP/1.1", b"\xe4: b")),
    "NUL in name": refused(head(b"GET / HTTP/1.1", b"A\0: b")),
    "folded value": refused(head(b"GET / HTTP/1.1", b"A: b", b" c")),
    "folded value after tab": refused(head(b"GET / HTTP/1.1", b"A: b", b"\tc")),
    "folded from the beginning": refused(head(b"GET / HTTP/1.1", b"A:", b" b")),
    "fold before the first header": refused(b"GET / HTTP/1.1\r\n Host: a\r\n\r\n"),
    "folded coding": refused(post(b"Transfer-Encoding:", b" chunked", body=b"0\r\n\r\n")),
    "obs-text in value": accepted(head(b"GET / HTTP/1.1", b"A: \xe4\xff"), ROOT),
    "100 headers": accepted(head(b"GET / HTTP/1.1", *[b"A: b"] * 99), ROOT),
    "101 headers": refused(head(b"GET / HTTP/1.1", *[b"A: b"] * 100), 431),
    "largest head": accepted(head(b"GET / HTTP/1.1", b"A: %b" % (b"x" * (32768 - 32))), ROOT),
    "head too large": refused(head(b"GET / HTTP/1.1", b"A: %b" % (b"x" * (32768 - 31))), 431),
    "head without end": refused(b"GET / HTTP/1.1\r\nA: " + b"x" * 100000, 431),
    # hosts
    "no host": refused(head(host=b"")),
    "two hosts": refused(head(b"GET / HTTP/1.1", b"host: b")),
    "the same host twice": refused(head(b"GET / HTTP/1.1", b"Host: a")),
    "empty host": accepted(head(host=b"Host:\r\n"), ROOT),
    "two hosts in 1.0": refused(head(b"GET / HTTP/1.0", b"Host: b")),
    # framing
    "length": accepted(post(LENGTH, body=b"abc") + GET, POSTED, ROOT),
    "length with zeros": accepted(post(b"Content-Length: 0003", body=b"abc") + GET, POSTED, ROOT),
    "length with white space": accepted(post(b"Content-Length: \t3 \t", body=b"abc") + GET, POSTED, ROOT),
    "length 0": accepted(post(b"Content-Length: 0") + GET, (b"POST", b"/", b""), ROOT),
    "GET with body": accepted(post(LENGTH, body=b"abc", line=b"GET / HTTP/1.1") + GET, (b"GET", b"/", b"abc"), ROOT),
    "empty length": refused(post(b"Content-Length:", body=b"abc")),
    "signed length": refused(post(b"Content-Length: +3", body=b"abc")),
    "negative length": refused(post(b"Content-Length: -3", body=b"abc")),
    "hexadecimal length": refused(post(b"Content-Length: 0x3", body=b"abc")),
    "length with underscore": refused(post(b"Content-Length: 1_0", body=b"abc")),
    "length with words": refused(post(b"Content-Length: 3 bytes", body=b"abc")),
    "length in other digits": refused(post("Content-Length: \u0663".encode(), body=b"abc")),
    "length list": refused(post(b"Content-Length: 3, 3", body=b"abc")),
    "length twice": refused(post(LENGTH, LENGTH, body=b"abc")),
    "two lengths": refused(post(LENGTH, b"Content-Length: 0", body=b"abc")),
    "length beyond 64 bits": refused(post(b"Content-Length: 18446744073709551616", body=b"abc")),
    "huge length": Case(post(b"Content-Length: 18446744073709551615") + HIDDEN, (413,), (OVERSIZE,)),
    "length and coding": refused(post(LENGTH, CHUNKED, body=b"0\r\n\r\n")),
    "coding and length": refused(post(CHUNKED, LENGTH, body=b"0\r\n\r\n")),
    "coding and length in an upgrade": refused(
        head(b"GET / HTTP/1.1", b"Connection: upgrade", b"Upgrade: websocket", CHUNKED, LENGTH)
    ),
    "chunked": accepted(post(CHUNKED, body=b"3\r\nabc\r\n0\r\n\r\n") + GET, POSTED, ROOT),
    "chunked in capitals": accepted(post(b"TRANSFER-ENCODING: CHUNKED", body=b"3\r\nabc\r\n0\r\n\r\n"), POSTED),
    "chunked in 1.0": refused(post(CHUNKED, body=b"0\r\n\r\n", line=b"POST / HTTP/1.0")),
    "coding before chunked": refused(post(b"Transfer-Encoding: gzip, chunked", body=b"0\r\n\r\n"), 501),
    "identity before chunked": refused(post(b"Transfer-Encoding: identity, chunked", body=b"0\r\n\r\n"), 501),
    "coding after chunked": refused(post(b"Transfer-Encoding: chunked, gzip", body=b"0\r\n\r\n")),
    "chunked twice": refused(post(b"Transfer-Encoding: chunked, chunked", body=b"0\r\n\r\n")),
    "two headers of chunked": refused(post(CHUNKED, CHUNKED, body=b"0\r\n\r\n")),
    "identity": refused(post(b"Transfer-Encoding: identity", body=b"abc")),
    "gzip": refused(post(b"Transfer-Encoding: gzip", body=b"abc")),
    "not quite chunked": refused(post(b"Transfer-Encoding: xchunked", body=b"0\r\n\r\n")),
    "chunked after a tab": refused(post(b"Transfer-Encoding: \x0bchunked", body=b"0\r\n\r\n")),
    "chunked in quotes": refused(post(b'Transfer-Encoding: "chunked"', body=b"0\r\n\r\n")),
    "chunked with parameter": refused(post(b"Transfer-Encoding: chunked;a=b", body=b"0\r\n\r\n")),
    "coding of an upgrade": refused(
        head(b"GET / HTTP/1.1", b"Connection: upgrade", b"Upgrade: websocket", b"Transfer-Encoding: x"), 501
    ),
    # chunks
    "extension": accepted(post(CHUNKED, body=b'3;a="b c"\r\nabc\r\n0;d\r\n\r\n') + GET, POSTED, ROOT),
    "trailers": accepted(post(CHUNKED, body=b"3\r\nabc\r\n0\r\nA: b\r\nContent-Length: 9\r\n\r\n") + GET, POSTED, ROOT),
    "size with zeros": accepted(post(CHUNKED, body=b"0003\r\nabc\r\n000\r\n\r\n") + GET, POSTED, ROOT),
    "size with 0x": refused(post(CHUNKED, body=b"0x3\r\nabc\r\n0\r\n\r\n")),
    "negative size": refused(post(CHUNKED, body=b"-3\r\nabc\r\n0\r\n\r\n")),
    "signed size": refused(post(CHUNKED, body=b"+3\r\nabc\r\n0\r\n\r\n")),
    "size with underscore": refused(post(CHUNKED, body=b"0_3\r\nabc\r\n0\r\n\r\n")),
    "space before size": refused(post(CHUNKED, body=b" 3\r\nabc\r\n0\r\n\r\n")),
    "space after size": refused(post(CHUNKED, body=b"3 \r\nabc\r\n0\r\n\r\n")),
    "no size": refused(post(CHUNKED, body=b"\r\nabc\r\n0\r\n\r\n")),
    "only an extension": refused(post(CHUNKED, body=b";a\r\nabc\r\n0\r\n\r\n")),
    "size beyond 64 bits": refused(post(CHUNKED, body=b"10000000000000003\r\nabc\r\n0\r\n\r\n")),
    "size and line feed": refused(post(CHUNKED, body=b"3\nabc\r\n0\r\n\r\n")),
    "line feed in extension": refused(post(CHUNKED, body=b"3;a\nabc\r\n0\r\n\r\n")),
    "carriage return in extension": refused(post(CHUNKED, body=b"3;a\rb\r\nabc\r\n0\r\n\r\n")),
    "NUL in extension": refused(post(CHUNKED, body=b"3;\0\r\nabc\r\n0\r\n\r\n")),
    "chunk too long": refused(post(CHUNKED, body=b"3\r\nabcd\r\n0\r\n\r\n")),
    "chunk too short": refused(post(CHUNKED, body=b"3\r\nab\r\n0\r\n\r\n")),
    "no line end after chunk": refused(post(CHUNKED, body=b"3\r\nabc0\r\n\r\n")),
    "line feed after chunk": refused(post(CHUNKED, body=b"3\r\nabc\n0\r\n\r\n")),
    "line feed after last chunk": refused(post(CHUNKED, body=b"3\r\nabc\r\n0\n\r\n")),
    "line feed at the end of chunks": refused(post(CHUNKED, body=b"3\r\nabc\r\n0\r\n\n")),
    "long extension": refused(post(CHUNKED, body=b"3;" + b"a" * 1030 + b"\r\nabc\r\n0\r\n\r\n")),
    "many extensions": refused(post(CHUNKED, body=(b"1;" + b"a" * 900 + b"\r\nb\r\n") * 30 + b"0\r\n\r\n")),
    "many trailers": refused(post(CHUNKED, body=b"0\r\n" + b"A: b\r\n" * 2000 + b"\r\n")),
    "no trailer": refused(post(CHUNKED, body=b"0\r\nGET /hidden HTTP/1.1\r\n\r\n")),
    "many small chunks": accepted(
        post(CHUNKED, body=b"1\r\na\r\n" * 100 + b"0\r\n\r\n") + GET, (b"POST", b"/", b"a" * 100), ROOT
    ),
    # sizes and expectations
    "too large": accepted(
        post(b"Content-Length: 101", body=HIDDEN + b"x" * (101 - len(HIDDEN))) + GET, OVERSIZE, ROOT
    ),
    "too large in chunks": accepted(
        post(CHUNKED, body=b"33\r\n" + b"x" * 51 + b"\r\n33\r\n" + b"x" * 51 + b"\r\n0\r\n\r\n") + GET,
        OVERSIZE,
        ROOT,
    ),
    "expectation": accepted(post(b"Expect: 100-continue", LENGTH, body=b"abc") + GET, POSTED, ROOT),
    "other expectation": refused(post(b"Expect: 200-ok", LENGTH, body=b"abc"), 417),
    "other expectation without body": refused(head(b"GET / HTTP/1.1", b"Expect: x"), 417),
    "two expectations": refused(post(b"Expect: 100-continue", b"Expect: 100-continue", LENGTH, body=b"abc"), 417),
    "refused behind an accepted one": Case(GET + b"\0" + HIDDEN, (200, 400), (ROOT,)),
    "other upgrade": accepted(head(b"GET / HTTP/1.1", b"Connection: Upgrade", b"Upgrade: h2c") + GET, ROOT, ROOT),
}

# What twisted.web refuses and we accept, with the reason.
ACCEPTED_BY_US = {
    "asterisk": "accepted by twisted.web, too, which answers it without the application",
    "UTF-8 in target": "the API reference, Names, asks for a refusal that names the queue, which the application gives",
    "Latin-1 in target": "the same",
    "largest head": "our bound is 32 KiB, twisted.web's 16 KiB",
    "huge length": "not accepted: the application answers that it is too large",
    "too large": "the same",
    "too large in chunks": "the same",
}


class Site2(Resource):
    """What twisted.web gives to an application."""

    isLeaf = True

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[Seen] = []
        self.headers: list[dict[bytes, bytes]] = []

    def render(self, request: TwistedRequest) -> bytes:
        assert request.content is not None
        self.seen.append((request.method, request.uri, request.content.read()))
        fields = request.requestHeaders.getAllRawHeaders()
        self.headers.append({name.lower(): b", ".join(values) for name, values in fields})
        return b""


def run(data: bytes, *sizes: int) -> tuple[list[int], bool, list[Seen], Wired]:
    """Send data in pieces of these sizes, over and over; without any, in one piece."""
    wired = Wired()
    at = turn = 0
    while at < len(data):
        size = sizes[turn % len(sizes)] if sizes else len(data)
        wired.send(data[at : at + size])
        wired.clock.advance(0)  # who sends many pieces has to wait in between
        at += size
        turn += 1
    return [status for status in wired.statuses if status != 100], wired.closed, seen_by(wired), wired


def seen_by(wired: Wired) -> list[Seen]:
    return [(r.method, r.target, b"too large" if r.too_large else r.body) for r in wired.application.seen]


class TableTests(SynchronousTestCase):
    """Each case of the table."""

    def check(self, name: str, case: Case, *sizes: int) -> None:
        statuses, closed, seen, wired = run(case.data, *sizes)
        expected = (list(case.statuses), case.closed or name == "huge length", list(case.seen))
        self.assertEqual((statuses, closed, seen), expected, (name, sizes))
        if case.closed:
            last = wired.answers()[-1]
            self.assertEqual(last.headers[b"connection"], b"close", name)
            self.assertEqual(last.headers[b"content-type"], b"application/json", name)
            self.assertIn(b"x-openstack-request-id", last.headers)
            self.assertEqual(json.loads(last.body).keys(), {"title", "description"}, name)

    def test_whole(self) -> None:
        """Sent in one piece, a case is answered as the table says, and a refusal ends the connection."""
        for name, case in CASES.items():
            self.check(name, case)

    def test_byte_by_byte(self) -> None:
        """Sent byte by byte nothing changes."""
        for name, case in CASES.items():
            self.check(name, case, 1)

    def test_every_split(self) -> None:
        """Nor does it in two pieces, wherever they part."""
        for name in (
            "plain",
            "empty line before",
            "length",
            "chunked",
            "extension",
            "trailers",
            "too large in chunks",
            "chunk too long",
            "refused behind an accepted one",
        ):
            case = CASES[name]
            for at in range(1, len(case.data)):
                self.check(name, case, at, len(case.data) - at)


class DifferentialTests(SynchronousTestCase):
    """The same bytes to us and to twisted.web."""

    def twisted(self, data: bytes) -> tuple[list[Seen], list[dict[bytes, bytes]]]:
        resource = Site2()
        channel = Site(resource, reactor=Clock()).buildProtocol(None)
        transport = StringTransport(lenient=True)
        channel.makeConnection(transport)
        channel.dataReceived(data)
        return resource.seen, resource.headers

    def test_refuses_as_much(self) -> None:
        """What twisted.web does not let through we do not either, with exceptions that are told."""
        more = set()
        for name, case in CASES.items():
            theirs, _ = self.twisted(case.data)
            ours = run(case.data)[2]
            if [seen for seen in ours if seen not in theirs]:
                more.add(name)
        self.assertEqual(more, set(ACCEPTED_BY_US))

    def test_understands_the_same(self) -> None:
        """Methods, targets, headers and bodies of sound requests are the same."""
        for fields, body in (
            ([], b""),
            ([b"Accept: a", b"accept: b", b"Client-ID: \t x y \t"], b""),
            ([b"Content-Length: 9", b"X:"], b"GET /a\r\n\r"),
            ([CHUNKED, b"User-Agent: \xff"], b"3\r\nabc\r\nA;x=y\r\n0123456789\r\n0\r\nT: u\r\n\r\n"),
            ([b"Connection: keep-alive", b"Expect: 100-continue", LENGTH], b"abc"),
        ):
            data = b""
            for method in (b"GET", b"PUT", b"POST", b"PATCH", b"DELETE", b"OPTIONS"):
                for target in (b"/", b"/v2/queues/%C3%A4?limit=1&marker=", b"//a/../b?c?d", b"/a;b=c"):
                    data += head(method + b" " + target + b" HTTP/1.1", *fields) + body
            wired = run(data)[3]
            theirs, headers = self.twisted(data)
            self.assertEqual(seen_by(wired), theirs)
            self.assertEqual([request.headers for request in wired.application.seen], headers)
            self.assertEqual(len(theirs), 24)


SOUND = [
    GET,
    head(b"DELETE /v2/queues/a?x=1 HTTP/1.1", b"Client-ID: 3381af92-2b9e-11e3-b191-71861300734c"),
    post(b"Content-Length: 5", body=b"hello"),
    post(CHUNKED, body=b"5\r\nhello\r\n7;a=b\r\n world!\r\n0\r\nT: u\r\n\r\n"),
    post(b"Expect: 100-continue", b"Content-Length: 2", body=b"{}"),
    post(b"Content-Length: 120", body=b"y" * 120),
    head(b"GET / HTTP/1.0", b"Connection: keep-alive"),
    head(b"GET /ws HTTP/1.1", b"Connection: Upgrade", b"Upgrade: websocket"),
]
SCRAPS = [
    b"\r\n", b"\n", b"\r", b"\0", b" ", b"\t", b":", b";", b",", b"0", b"3", b"\xff", b"\r\n\r\n", b"Host: a\r\n",
    b"Content-Length: 3\r\n", b"Transfer-Encoding: chunked\r\n", b"0\r\n\r\n", b"Connection: close\r\n", HIDDEN,
]  # fmt: skip


@st.composite
def mutated(draw: st.DrawFn) -> bytes:
    """Sound requests in a row, some bytes of which were cut, doubled, replaced or pushed apart."""
    data = b"".join(draw(st.lists(st.sampled_from(SOUND), min_size=1, max_size=4)))
    for _ in range(draw(st.integers(0, 3))):
        at = draw(st.integers(0, len(data)))
        stop = min(len(data), at + draw(st.integers(0, 12)))
        scrap = draw(st.sampled_from(SCRAPS) | st.binary(max_size=4))
        before, after = data[:at], data[stop:]
        choices = [before + after, data[:stop] + data[at:], before + scrap + after, before + scrap + data[at:]]
        data = draw(st.sampled_from(choices))
    return data


class FuzzTests(SynchronousTestCase):
    """Mutations of sound requests."""

    def assert_whole(self, request: Request) -> None:
        """The application never sees a request that is not complete, or framed in two ways."""
        headers = request.headers
        length, coding = headers.get(b"content-length"), headers.get(b"transfer-encoding")
        self.assertFalse(length is not None and coding is not None)
        if request.too_large:
            self.assertEqual(request.body, b"")
        elif coding is None:
            self.assertEqual(len(request.body), int(length or 0))
        self.assertLessEqual(len(request.body), 100)
        self.assertTrue(request.path.startswith(b"/") or request.path == b"*")
        self.assertNotRegex(request.target + b"".join(headers) + b"".join(headers.values()), rb"[\0\r\n]")

    @settings(max_examples=400, deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck))
    @given(mutated(), st.lists(st.integers(1, 40), min_size=1, max_size=5), st.booleans())
    def test_mutations(self, data: bytes, sizes: list[int], half_close: bool) -> None:
        """Nothing raises, no half request is seen, each one seen is answered once, and splitting changes nothing."""
        statuses, closed, seen, wired = run(data)
        for request in wired.application.seen:
            self.assert_whole(request)
            self.assertTrue(request.answered)
        refusals = [status for status in statuses if status not in (200, 413)]
        self.assertEqual(len(statuses), len(seen) + len(refusals))
        self.assertLessEqual(len(refusals), 1)
        self.assertEqual(run(data, *sizes)[:3], (statuses, closed, seen))
        if half_close:
            wired.channel.readConnectionLost()
            self.assertTrue(wired.closed)
            self.assertEqual(seen_by(wired), seen)
