"""HTTP/1.1 on a connection: framing, bounds, order of replies, keep-alive, hand-over to WebSocket.

What a head has to be is in :mod:`~zaqar_gateway.transport.http.heads`, and how a body comes in chunks in
:mod:`~zaqar_gateway.transport.http.chunks`.  Nothing is parsed ahead: what a peer sends while its request is being answered stays raw,
and beyond a bound it is not read.  So effects and replies have the order of the requests, and a request costs one pass over its bytes.

Timers are deadlines in a field, looked at once a second by the factory; they are exact to the second.
"""

from __future__ import annotations

import re
import typing
from collections.abc import Callable
from math import inf
from typing import TYPE_CHECKING

from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.interfaces import (
    IAddress,
    IHalfCloseableDescriptor,
    IHalfCloseableProtocol,
    IHandshakeListener,
    IProtocol,
    IPushProducer,
    ISSLTransport,
    ITCPTransport,
)
from twisted.internet.protocol import Protocol, connectionDone
from twisted.logger import Logger
from twisted.protocols.policies import ProtocolWrapper
from twisted.python.failure import Failure
from zope.interface import Interface, implementer

from zaqar_gateway.direct import COPIED_MAX, write_all_now, write_now
from zaqar_gateway.transport import protection
from zaqar_gateway.transport.audit import peer_of
from zaqar_gateway.transport.http.chunks import ChunkedBody, Malformed
from zaqar_gateway.transport.http.heads import BadHead, Heads
from zaqar_gateway.transport.http.request import (
    Headers,
    Request,
    Source,
    encode_fields,
    encode_head,
    encode_stream_head,
    tokens,
)
from zaqar_gateway.transport.peers import RETRY_AFTER_S
from zaqar_gateway.transport.ports import READ_MAX, Conduct
from zaqar_gateway.transport.received import keep
from zaqar_gateway.transport.refusal import TITLES, refusal
from zaqar_gateway.transport.turns import PART_S, Reads

if TYPE_CHECKING:
    from zaqar_gateway.transport.http.factory import HttpFactory


class IHttpApplication(Interface):
    """What answers requests.  The first three methods are called for one request of a connection at a time."""

    def body_limit(request: Request) -> int:
        """The most bytes of body to keep.  Called when the head of a request that has a body is complete."""

    def handle(request: Request) -> None:
        """Answer with ``request.reply``, now or later.  Called once for each request.

        Called when the body is complete, or with ``too_large`` as soon as it is known to be over the limit.  An
        exception is logged and answered 500.
        """

    def upgrade(request: Request) -> IProtocol | None:
        """A protocol that takes over the connection of a request for a WebSocket.

        It gets the request as raw bytes.  ``None``: the request is handled as an ordinary one.
        """

    def for_page(origin: bytes, headers: Headers) -> Headers:
        """The header fields of an answer, with what a page of an origin needs in order to read it; its request was refused."""


class _Transport(typing.Protocol):
    """What a channel uses of its transport."""

    def write(self, data: bytes) -> None: ...
    def loseConnection(self) -> None: ...
    def abortConnection(self) -> None: ...
    def loseWriteConnection(self) -> None: ...
    def pauseProducing(self) -> None: ...
    def resumeProducing(self) -> None: ...
    def registerProducer(self, producer: IPushProducer, streaming: bool) -> None: ...
    def unregisterProducer(self) -> None: ...
    def setTcpNoDelay(self, enabled: bool) -> None: ...
    def getHost(self) -> IAddress: ...
    def getPeer(self) -> IAddress: ...


_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
_JOIN_MAX = 65536  # replies joined into one write

TURN_MAX = 32
"""Requests of one connection that are begun with before the others have their turn: a read brings in thousands of small
ones."""

# What a connection is doing.
_HEAD = 0  # waiting for a head, or within one
_BODY = 1  # within a body that is kept
_DROP = 2  # within a body that is dropped; the application has the request
_WAIT = 3  # the application has the request, all of which was read
_LINGER = 4  # all is written; what comes is dropped
_CLOSING = 5  # the transport closes when it has written all
_CLOSED = 6  # the transport is gone, or is another protocol's

_ENDED_EARLY = "The request ended before it was complete."
_ORIGIN = re.compile(rb"\norigin:[ \t]*([^\s]+)", re.IGNORECASE)
"""In a head that is not read; of several ones, no answer says anything."""


class _Outflow:
    """See :class:`~zaqar_gateway.transport.http.request.Outflow`."""

    __slots__ = ("_channel",)

    def __init__(self, channel: HttpChannel) -> None:
        self._channel: HttpChannel | None = channel

    @property
    def is_blocked(self) -> bool:
        return self._channel is None or self._channel.is_blocked

    def write(self, data: bytes) -> None:
        if self._channel is not None:
            self._channel.put_piece(data)

    def finish(self) -> None:
        if self._channel is not None:
            self._channel.end_stream()

    def close(self) -> None:
        """Send nothing more."""
        self._channel = None


@implementer(IHalfCloseableProtocol, IHandshakeListener, IPushProducer)
class HttpChannel(Protocol):
    """One connection.  As a producer it stands for its replies: pausing it stops that requests are handled."""

    _log = Logger()
    __slots__ = (  # more than thirty attributes: without, each is looked up in a dictionary
        "_answering",
        "_application",
        "_begun",
        "_blank",
        "_blocked",
        "_blocked_since",
        "_bodiless",
        "_body_since",
        "_bounds",
        "_chunks",
        "_conduct",
        "_data",
        "_eof",
        "_factory",
        "_forsaken",
        "_half_closeable",
        "_heads",
        "_http10",
        "_kept",
        "_last",
        "_limit",
        "_need",
        "_out",
        "_out_size",
        "_paused",
        "_phase",
        "_place",
        "_pos",
        "_reads",
        "_received",
        "_request",
        "_resting",
        "_running",
        "_stream",
        "_unsent",
        "_wire",
        "added",
        "added_cached",
        "deadline",
    )

    def __init__(self, factory: HttpFactory) -> None:
        self._factory = factory
        self._application = factory.application
        self._bounds = factory.bounds
        self.deadline: float = inf
        self._wire: _Transport
        self._half_closeable = False
        self._place: str | None = None  # that it is counted in
        self.added = self.added_cached = b""

        self._data = b""  # what was received; all before _pos is done with
        self._pos = 0
        self._phase = _HEAD
        self._running = False
        self._resting: Callable[[], None] | None = None  # ends the wait for the next turn
        self._reads = Reads()
        self._conduct = Conduct()
        self._begun = False  # a head has begun, and the deadline is that of the head
        self._blank = False  # the empty line that may precede a request line has been skipped
        self._eof = False  # the peer has closed its side
        self._paused = False  # the transport does not read

        self._heads = Heads(factory.bounds)
        self._request: Request | None = None  # the latest one
        self._answering = False  # the application has it and has not replied
        self._last = False  # the connection ends with its reply
        self._forsaken = False  # the rest of its body will not be waited for
        self._http10 = False
        self._bodiless = False  # the reply to HEAD
        self._stream: tuple[Source, _Outflow] | None = None  # what its reply comes from piece by piece

        self._need = 0  # bytes missing of a body with a length
        self._chunks: ChunkedBody | None = None
        self._kept: list[bytes] = []
        self._limit = 0
        self._received = 0
        self._body_since = 0.0

        self._out: list[bytes] = []
        self._out_size = 0
        self._blocked = False  # the buffer of the transport is full
        self._blocked_since = 0.0
        self._unsent = 0

    # -- the transport calls ---------------------------------------------------------------------------------------

    def connectionMade(self) -> None:
        transport = self.transport
        self._wire = typing.cast(_Transport, transport)
        # Connections on Unix sockets claim to be TCP.
        if ITCPTransport.providedBy(transport) and isinstance(self._wire.getHost(), IPv4Address | IPv6Address):
            self._wire.setTcpNoDelay(True)
        # TLS has no half-close in Twisted: it would cut off the encrypted stream below.
        is_tls = ISSLTransport.providedBy(transport)
        self._half_closeable = IHalfCloseableDescriptor.providedBy(transport) and not is_tls
        secure = self._factory.transport_security if is_tls else b""
        self.added, self.added_cached = secure + protection.NO_STORE, secure
        self._wire.registerProducer(self, True)
        factory = self._factory
        factory.add(self)
        self.deadline = factory.now + (self._bounds.tls_timeout_s if is_tls else self._bounds.fresh_timeout_s)
        place = factory.peers.place_of(self._wire.getPeer())
        crowded = factory.intake.take_on(place)
        if crowded is None:
            self._place = place
        elif factory.intake.may_answer(self):
            self._refuse(*crowded, retry_after_s=RETRY_AFTER_S)
        else:
            self._abort()

    def handshakeCompleted(self) -> None:
        """TLS is up."""
        if self._phase == _HEAD:
            self.deadline = self._factory.now + self._bounds.fresh_timeout_s

    def dataReceived(self, data: bytes) -> None:
        is_enough = self._reads.note(len(data))
        if self._phase >= _LINGER:
            if self._phase == _LINGER:
                self._dropped(len(data))
                if is_enough:
                    self._rest()
                    self._stop_reading()
            return
        if self._pos < len(self._data):
            data = self._data[self._pos :] + data
        self._data = data
        self._pos = 0
        if is_enough and self._phase == _HEAD and not self._conduct.takes_turns:
            self._rest()
            self._settle()
        else:
            self._run()

    def readConnectionLost(self) -> None:
        """The peer has closed its side.  It gets the answer to what it has asked, within ``linger_s``."""
        self._eof = True
        if self._answering and self._request is not None:
            self._request.leave()
        if self._stream is not None:
            # Whoever listens to what may have no end closes neither side before it has had enough.
            self._abort()
        elif self._phase == _LINGER:
            self._close()
        elif self._phase < _LINGER:
            self._run()

    def writeConnectionLost(self) -> None:
        """Our side is closed: all is sent, and the peer has ``linger_s`` to close its own."""
        self.deadline = self._factory.now + self._bounds.linger_s

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self._lost()

    def pauseProducing(self) -> None:
        """The peer does not read as fast as it is answered."""
        if not self._blocked:
            self._blocked = True
            self._blocked_since = self._factory.now
            self._unsent = 0

    def resumeProducing(self) -> None:
        """The peer has taken all that was written."""
        self._blocked = False
        self._factory.unread.note(self, 0)
        if self._phase < _LINGER:
            self._run()
        if self._stream is not None:
            self._stream[0].resume()

    def stopProducing(self) -> None:
        """The transport is closing; ``connectionLost`` follows."""

    # -- the request calls -----------------------------------------------------------------------------------------

    def answer(self, status: int, fields: bytes, body: bytes) -> None:
        """Send the reply to the request that is outstanding.

        :param fields: the header lines, each with its line end.
        """
        if self._phase >= _LINGER:  # the connection was handed over
            return
        factory = self._factory
        if factory.draining or self._forsaken or (self._eof and self._pos == len(self._data)):
            self._last = True
        tail = factory.tail_close if self._last else factory.tail_keep if self._http10 else factory.tail
        data = encode_head(status, fields, len(body), tail)
        if body and not self._bodiless and status != 204 and status != 304:
            if len(body) < COPIED_MAX:
                data += body
            else:
                self._out.append(data)
                self._out_size += len(data)
                data = body
        if self._running or self._out or self._pos < len(self._data):
            self._out.append(data)
            self._out_size += len(data)
        else:
            self._write(data)
        self._answering = self._bodiless = False
        if self._phase == _WAIT:
            self._phase = _HEAD
        if not self._running:
            self._run()

    def stream(self, status: int, fields: bytes, source: Source) -> None:
        """See :class:`~zaqar_gateway.transport.http.request.Wire`.  The connection ends with such a reply."""
        if self._phase >= _LINGER or self._eof:
            source.gone()
            if self._eof:
                self._abort()
            return
        factory = self._factory
        self._last = True
        self._stream = source, _Outflow(self)
        self._put(encode_stream_head(status, fields, not self._http10, factory.tail_close))
        source.begin(self._stream[1])
        if factory.draining and self._stream is not None:
            source.drain()
        self._run()

    def put_piece(self, data: bytes) -> None:
        """Send a piece of a reply that is streamed."""
        self._put(data if self._http10 else b"%x\r\n%b\r\n" % (len(data), data))
        if not self._running:
            self._flush()
            if self._blocked:
                self._settle()

    def end_stream(self) -> None:
        """A reply that is streamed is complete."""
        if not self._http10:
            self._put(b"0\r\n\r\n")
        self._close_stream()
        self._answering = False
        if self._phase == _WAIT:
            self._phase = _HEAD
        self._run()

    def _close_stream(self) -> None:
        if self._stream is not None:
            (source, out), self._stream = self._stream, None
            out.close()
            source.gone()

    @property
    def is_blocked(self) -> bool:
        """Whether the buffer of the transport is full."""
        return self._blocked

    @property
    def peer(self) -> str:
        """See :class:`~zaqar_gateway.transport.http.request.Wire`."""
        return peer_of(self._wire)

    @property
    def place(self) -> str:
        """See :class:`~zaqar_gateway.transport.http.request.Wire`."""
        return self._place or ""

    # -- the factory calls -----------------------------------------------------------------------------------------

    @property
    def occupied(self) -> bool:
        """Whether a request has begun, is being answered, or its reply may not have left."""
        return self._phase != _HEAD or self._pos < len(self._data) or self._blocked

    def shed(self) -> None:
        """See :class:`~zaqar_gateway.transport.unread.Reader`; it may be in the middle of something."""
        self._factory.call_later(0, self._shed)

    def _shed(self) -> None:
        if self._phase != _CLOSED:
            self._abort()

    def drain(self) -> None:
        """Close at once if there is no request, else after the reply to the one that there is."""
        if self._stream is not None:
            if self._blocked:  # what is waiting to be read need not be
                self._abort()
                return
            self._stream[0].drain()
        if self._phase == _HEAD and self._pos == len(self._data):
            self._finish(linger=False)

    def expire(self, now: float) -> None:
        """The deadline has passed."""
        phase = self._phase
        if self._blocked and phase < _LINGER and now >= self._write_deadline():
            self._log.debug("closing a connection whose peer does not read its replies")
            self._abort()
        elif phase == _HEAD:
            if self._begun:
                self._refuse(408, "The head of the request did not arrive in time.", is_read=False)
            else:
                self._finish(linger=False)
        elif phase == _BODY:
            self._refuse(408, "The body of the request did not arrive in time.")
        elif phase == _LINGER:
            self._close()
        else:
            self._abort()

    # -- reading -----------------------------------------------------------------------------------------------------

    def _run(self) -> None:
        """Do all that can be done now.  A reply from within does not come here again, so the stack does not grow."""
        if self._running or self._resting is not None:
            return
        if self._phase != _HEAD or self._pos < len(self._data) or self._last:
            self._running = True
            try:
                self._go_through()
            finally:
                self._running = False
        if self._out:
            self._flush()
        phase = self._phase
        if phase < _LINGER:
            is_all = self._pos == len(self._data)
            if phase == _HEAD and is_all:
                if not self._conduct.calm and not self._reads.enough:
                    self._conduct.is_calm(self._wire)
                self._reads.clear()
            if not is_all or self._eof or self._blocked or self._paused or self._resting is not None:
                self._settle()
            elif phase == _WAIT:  # nearly always this, or the next one
                self._data, self._pos, self.deadline = b"", 0, inf
            elif phase == _HEAD:
                self._data, self._pos, self.deadline = b"", 0, self._factory.now + self._bounds.idle_timeout_s
                self._begun = False
            else:
                self._settle()
            phase = self._phase
            if (phase == _BODY or phase == _DROP) and self._reads.enough and not self._conduct.takes_turns:
                self._rest()
                self._stop_reading()
        if self._factory.watched:
            self._factory.check_idle()

    def _go_through(self) -> None:
        """Look at what has come, until there is too little of it or this part of a turn is over."""
        turns = self._factory.turns
        left, ends = TURN_MAX, turns.now() + PART_S
        while True:
            phase = self._phase
            if phase == _HEAD:
                if self._last:
                    self._finish(linger=self._pos < len(self._data))
                    break
                if self._pos < len(self._data) and left < TURN_MAX:
                    if not left or turns.is_over(ends):
                        self._rest()
                        break
                left -= 1
                if self._blocked or not self._read_head():
                    break
            elif phase == _BODY or phase == _DROP:
                if self._forsaken and not self._answering:
                    self._finish(linger=True)
                    break
                if not self._read_body():
                    break
            else:
                break
            if self._out_size > _JOIN_MAX:
                self._flush()

    def _rest(self) -> None:
        """Do nothing before the other connections have had their turn."""
        if self._resting is None:
            turns, is_much = self._factory.turns, self._reads.enough
            self._resting = self._conduct.rest(self._wire, turns, is_much, self._rested)

    def _rested(self) -> None:
        self._resting = None
        self._reads.clear()
        if self._phase < _LINGER:
            self._run()
        elif self._phase == _LINGER:
            self._read_on()

    def _stop_reading(self) -> None:
        if not self._paused and not self._eof:
            self._paused = True
            self._wire.pauseProducing()

    def _read_on(self) -> None:
        if self._paused and not self._eof:
            self._paused = False
            self._wire.resumeProducing()

    def _dropped(self, size: int) -> None:
        """So many bytes were read for nothing."""
        drain = self._factory.turns.drain
        if not drain.may_go_on(size) and self._resting is None:
            self._resting = drain.wait(self._rested)
            self._stop_reading()

    def _settle(self) -> None:
        """Nothing more can be done now: say what to wait for, and until when."""
        if self._pos == len(self._data):
            self._data, self._pos = b"", 0
        if self._resting is not None:
            if self._phase == _BODY or self._phase == _DROP:
                self.deadline = self._body_deadline()
            elif not self._begun:
                self.deadline = inf
            if self._blocked:
                self.deadline = min(self.deadline, self._write_deadline())
            self._stop_reading()
            return
        if self._eof:
            self._settle_eof()
            if self._phase >= _LINGER:
                return
        phase, now = self._phase, self._factory.now
        waiting = len(self._data) - self._pos
        stop = False
        if phase == _WAIT:
            self.deadline = now + self._bounds.linger_s if self._eof else inf
            # A peer that does not take what is streamed to it may hang up, which shows in what is read alone.
            stop = self._blocked and self._stream is None or waiting > self._bounds.pipeline_max
            if stop and not self._paused and self._request is not None:
                # From here on nobody notices a peer that hangs up.
                self._factory.call_later(0, self._request.leave)
        elif phase != _HEAD:
            self.deadline = self._body_deadline()
        elif self._blocked:
            self.deadline = inf
            stop = True
        elif not waiting:
            self._begun = False  # what came was an empty line
            self.deadline = now + self._bounds.idle_timeout_s
        elif not self._begun:
            self._begun = True
            self.deadline = now + self._bounds.head_timeout_s
        if self._blocked:
            self.deadline = min(self.deadline, self._write_deadline())
        if stop:
            self._stop_reading()
        else:
            self._read_on()

    def _settle_eof(self) -> None:
        """The peer has closed its side, and what it sent before has been looked at as far as it goes."""
        if self._phase == _HEAD and not self._blocked:
            if self._pos < len(self._data):
                self._refuse(400, _ENDED_EARLY, is_read=False)
            else:
                self._finish(linger=False)
        elif self._phase == _BODY:
            self._refuse(400, _ENDED_EARLY)
        elif self._phase == _DROP:
            if self._answering:
                self._last = True
                self._phase = _WAIT
            else:
                self._finish(linger=False)

    def _read_head(self) -> bool:
        """Read a head; begin with its request where it is complete.

        :return: whether there may be more to do.
        """
        data, start = self._data, self._pos
        if start == len(data):
            return False
        if data[start] == 13 and not self._blank and data.startswith(b"\r\n", start):
            # One empty line is left over from clients that end a body with it (RFC 9112, section 2.2).
            self._blank = True
            self._heads.scanned = 0
            self._pos = start = start + 2
            if start == len(data):
                return False
        heads, is_new = self._heads, False
        for like in heads.alike:
            if (read := like.read(data, start)) is not None:
                head, end = read, start + like.size
                break
        else:
            try:
                found = heads.find(data, start)
            except BadHead as error:
                self._bodiless = error.is_bodiless
                return self._refuse(error.status, error.description, error.title, is_read=False)
            if found is None:
                return False
            head, end, is_new = found
        self._begun = self._blank = False
        heads.scanned = 0
        self._bodiless = head.method == b"HEAD"
        self._http10 = head.is_http10
        self._last = head.closes
        self._request = request = Request(self, head, head.headers)
        self._pos = end
        headers = head.headers
        if headers.has_body:
            return self._begin_body(request)
        if b"upgrade" in headers and b"connection" in headers and self._upgrade(request, start):
            return self._phase == _HEAD
        self._phase = _WAIT
        self._handle(request)
        if is_new:
            heads.learn(data[start:end], head)
        return True

    def _upgrade(self, request: Request, start: int) -> bool:
        """Hand the connection to another protocol, if this is a request for a WebSocket and the application wants it.

        :param start: where the head begins in the data.
        :return: whether the request is dealt with.
        """
        headers = request.headers
        if (
            request.method != b"GET"
            or self._http10
            or b"upgrade" not in tokens(headers[b"connection"])
            or b"websocket" not in tokens(headers[b"upgrade"])
        ):
            return False
        try:
            protocol = self._application.upgrade(request)
        except Exception:
            self._log.failure("the application failed to upgrade a connection")
            self._phase = _WAIT
            self._answering = True
            self._fail(request)
            return True
        if protocol is None:
            return False
        raw = self._data[start:]
        self._flush()
        wire = self._wire
        wire.unregisterProducer()
        if self._paused:
            wire.resumeProducing()
        self._lost()
        transport = self.transport
        assert transport is not None
        if isinstance(transport, ProtocolWrapper):  # TLS
            transport.wrappedProtocol = protocol
        else:
            transport.protocol = protocol  # type: ignore[attr-defined]
        protocol.makeConnection(transport)
        protocol.dataReceived(raw)
        return True

    def _begin_body(self, request: Request) -> bool:
        """Find out how the body is framed and how much of it to keep.

        :return: whether there may be more to do.
        """
        headers = request.head.headers
        coding = expect = None
        need = headers.length
        if not headers.is_plain:
            coding = headers.get(b"transfer-encoding")
            if coding is not None:
                if self._http10:
                    return self._refuse(400, "HTTP/1.0 has no Transfer-Encoding.")
                if b"content-length" in headers:  # llhttp refuses it, too; on this depends who smuggles what
                    return self._refuse(400, "Content-Length and Transfer-Encoding exclude each other.")
                if coding.lower() != b"chunked":
                    return self._refuse(501, "The only Transfer-Encoding that is understood is chunked.")
            expect = headers.get(b"expect")
            if expect is not None and expect.lower() != b"100-continue":
                return self._refuse(417, "The only expectation that is understood is 100-continue.")
        if coding is None and not need:
            self._phase = _WAIT
            self._handle(request)
            return True

        try:
            limit = self._application.body_limit(request)
        except Exception:
            self._log.failure("the application failed to bound a body")
            self._forsaken = self._answering = True
            self._phase = _DROP
            self._fail(request)
            return True
        have = len(self._data) - self._pos
        if coding is None:
            request.has_body = True
            if need <= limit and need <= have:
                end = self._pos + need
                request.body = self._data[self._pos : end]
                self._pos = end
                self._phase = _WAIT
                self._handle(request)
                return True
        self._need = need
        self._chunks = None if coding is None else ChunkedBody()
        self._limit = limit
        self._received = 0
        self._body_since = self._factory.now
        self._phase = _BODY
        # A client that has begun with its body does not wait.
        waits = expect is not None and not self._http10 and not have
        if need > limit:
            self._forsaken = waits or need > self._bounds.drain_max
            self._drop_body(request)
            return True
        if need > READ_MAX:
            self._conduct.sends_long(self._wire)
        if waits:
            self._put(_CONTINUE)
        return True

    def _read_body(self) -> bool:
        """Read what there is of the body.

        :return: whether there may be more to do.
        """
        request = self._request
        assert request is not None
        data, start = self._data, self._pos
        if start == len(data):
            return False
        sink = self._keep if self._phase == _BODY else None
        chunks = self._chunks
        if chunks is None:
            end = min(start + self._need, len(data))
            if sink is not None:
                sink(data[start:end])
            self._need -= end - start
            done = not self._need
        else:
            try:
                end = chunks.feed(data, start, sink)
            except Malformed as error:
                if self._phase == _BODY and chunks.size <= self._limit:
                    return self._refuse(400, str(error))
                self._forsaken = self._last = True
                self._pos = len(data)
                if self._phase == _BODY:
                    self._drop_body(request)  # it was too large before it was malformed
                return not self._answering
            done = chunks.done
            if self._phase == _BODY:
                request.has_body = chunks.size > 0
                if chunks.size > self._limit:
                    self._drop_body(request)
            if chunks.size - self._limit > self._bounds.drain_max:
                self._forsaken = self._last = True
        self._pos = end
        self._received += end - start
        if sink is None:
            self._dropped(end - start)
        if not done:
            return self._forsaken and not self._answering
        self._forsaken = False
        if self._phase == _DROP:
            self._phase = _WAIT if self._answering else _HEAD
        else:
            request.body = b"".join(self._kept)
            self._kept = []
            self._phase = _WAIT
            self._handle(request)
        return True

    def _keep(self, piece: bytes) -> None:
        """Keep a piece of the body."""
        keep(self._kept, piece)

    def _drop_body(self, request: Request) -> None:
        """The body is too large: keep nothing, tell the application at once, read on."""
        self._kept = []
        request.too_large = True
        self._phase = _DROP
        self._handle(request)

    # -- answering ---------------------------------------------------------------------------------------------------

    def _handle(self, request: Request) -> None:
        self._answering = True
        try:
            self._application.handle(request)
        except Exception:
            self._log.failure("the application failed to handle a request")
            if not request.answered:
                self._fail(request)

    def _fail(self, request: Request) -> None:
        status, headers, body = refusal(500, TITLES[500], "The request could not be handled.")
        request.reply(status, self._for_page(request.headers.get(b"origin"), headers), body)

    def _refuse(self, status: int, description: str, title: str = "", retry_after_s: int = 0, is_read: bool = True) -> bool:
        """Answer a request that the application does not see, and close.

        :param is_read: whether its head is.
        :return: false, for there is nothing more to do.
        """
        status, headers, body = refusal(status, title or TITLES[status], description)
        if retry_after_s:
            headers.append((b"Retry-After", b"%d" % retry_after_s))
        fields = encode_fields(self._for_page(self._origin(is_read), headers), b"", self)
        self._put(encode_head(status, fields, len(body), self._factory.tail_close))
        if not self._bodiless:
            self._put(body)
        self._finish(linger=True)
        return False

    def _origin(self, is_read: bool) -> bytes | None:
        """The origin of the page that asks, where it is known."""
        if is_read:
            return self._request.headers.get(b"origin") if self._request is not None else None
        end = self._data.find(b"\r\n\r\n", self._pos)
        found = _ORIGIN.findall(self._data, self._pos, len(self._data) if end < 0 else end)
        return found[0] if len(found) == 1 else None

    def _for_page(self, origin: bytes | None, headers: Headers) -> Headers:
        return self._application.for_page(origin, headers) if origin else headers

    def _put(self, data: bytes) -> None:
        self._out.append(data)
        self._out_size += len(data)

    def _flush(self) -> None:
        if not self._out:
            return
        out, self._out, self._out_size = self._out, [], 0
        self._write(*out)

    def _write(self, data: bytes, *more: bytes) -> None:
        if more:
            write_all_now(self._wire, (data, *more))
        else:
            write_now(self._wire, data)
        if self._blocked:
            self._unsent += len(data) + sum(map(len, more))
            self._factory.unread.note(self, self._unsent)

    def _body_deadline(self) -> float:
        return self._body_since + self._bounds.body_timeout_s + self._received // self._bounds.rate_min

    def _write_deadline(self) -> float:
        return self._blocked_since + self._bounds.write_timeout_s + self._unsent // self._bounds.rate_min

    # -- closing -----------------------------------------------------------------------------------------------------

    def _finish(self, linger: bool) -> None:
        """Send what there is to send and end the connection.

        :param linger: the peer may be sending.  To close while it does is to reset, and a reset may destroy an answer
            that the peer has not read yet.
        """
        self._flush()
        wire = self._wire
        wire.unregisterProducer()
        if not self._blocked:
            self._blocked_since = self._factory.now
            self._unsent = 0
        self.deadline = self._write_deadline()
        self._data, self._pos, self._kept = b"", 0, []
        if not linger or self._eof:
            self._phase = _CLOSING
            wire.loseConnection()
            return
        self._phase = _LINGER
        if self._resting is None:
            self._read_on()
        if self._half_closeable:
            wire.loseWriteConnection()  # writeConnectionLost sets the deadline
        else:
            self.deadline += self._bounds.linger_s - (0 if self._blocked else self._bounds.write_timeout_s)

    def _close(self) -> None:
        """End the linger."""
        self._phase = _CLOSING
        self.deadline = self._factory.now + self._bounds.linger_s
        self._wire.loseConnection()

    def _abort(self) -> None:
        self._wire.abortConnection()
        self._lost()

    def _lost(self) -> None:
        """The transport is gone, or is another protocol's."""
        self._phase = _CLOSED
        if self._resting is not None:
            self._resting()
            self._resting = None
        self.deadline = inf
        self._data, self._pos, self._kept = b"", 0, []
        request = self._request
        if self._answering and request is not None:
            request.gone = True
        self._answering = False
        self._request = None
        self._close_stream()
        if self._place is not None:
            self._factory.peers.leave(self._place)
            self._place = None
        self._factory.unread.note(self, 0)
        self._factory.forget(self)
        if request is not None:
            request.leave()
