"""One WebSocket: frames in, replies out in the order of the requests, and the bounds that one peer is held to (RFC 6455).

The session decides what a frame means; this decides when it may run.  Autobahn does the handshake, control frames,
fragments, compression and the closing handshake; whole frames without compression, which are nearly all, are cut and
written here, because that takes a quarter of the time.

Notifications (pushes) have a place among the replies: behind those to all requests that were read before they came, save where all of
these are answered, or wait for messages, and none of them subscribes.  They do not count as requests in flight.  Whoever pushes looks
first whether the peer takes any: one that does not read what it is sent falls behind where it is read for, and little waits for it here.
The pushes of one turn of the reactor leave in two writes at most.

Requests that wait for messages are not running: others go on beside them, and their replies come after.  Of these there may be many,
and as many bytes of them as a peer may leave unread.

Requests take effect in the order in which they came (API reference, "WebSocket").  Those of one step overlap, since the one connection
to the store keeps their order.  One that may make several steps and changes something runs alone; one that only reads lets others read
beside it, and what changes something waits.

Reading stops, and the peer's own writes with it, while as many requests are in flight as one socket may have, while a
request runs that has to run alone, or waits until none runs, and while the peer leaves too much unread.
"""

from __future__ import annotations

import zlib
from collections import deque
from collections.abc import Callable, Sequence
from http import HTTPStatus
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from autobahn.twisted.websocket import WebSocketServerProtocol
from autobahn.websocket.types import ConnectionDeny, ConnectionRequest
from msgspec import Struct
from twisted.internet.interfaces import (
    IConsumer,
    IDelayedCall,
    IHalfCloseableDescriptor,
    IPushProducer,
    ISSLTransport,
    ITCPTransport,
)
from twisted.internet.protocol import connectionDone
from twisted.logger import Logger
from twisted.python.failure import Failure
from txaio.tx import make_logger
from zope.interface import implementer

from zaqar_gateway.direct import run, write_all_now, write_later, write_now
from zaqar_gateway.interfaces import IAsker, IListener, IPushed
from zaqar_gateway.transport import protection
from zaqar_gateway.transport.peers import RETRY_AFTER_S, Crowded
from zaqar_gateway.transport.ports import Conduct
from zaqar_gateway.transport.refusal import TITLES, refusal
from zaqar_gateway.transport.turns import PART_S, Reads
from zaqar_gateway.transport.websocket import offers
from zaqar_gateway.transport.websocket.framing import (
    BINARY,
    LONG,
    PING,
    PONG,
    TEXT,
    Begun,
    frame,
    payload_of,
    pieces,
    unmasked,
)
from zaqar_gateway.transport.websocket.session import Request

if TYPE_CHECKING:
    from zaqar_gateway.transport.websocket.factory import GatewayFactory

GOING_AWAY, INVALID_PAYLOAD, POLICY_VIOLATION, INTERNAL_ERROR = 1001, 1007, 1008, 1011
"""Close codes (RFC 6455, section 7.4.1)."""
TRY_AGAIN_LATER = 1013
"""A close code (IANA, WebSocket Close Code Number Registry)."""

COMPRESSED_FROM = 1024
"""Replies of fewer bytes are sent as they are, also where compression was agreed: it would cost more than it saves."""

TURN_MAX = 64
"""Frames that one socket may have looked at before the others have their turn: a read brings in thousands of small ones."""

PUSHED_MAX = 64 * 1024
"""Bytes of pushes that may wait here for replies, before the peer is pushed no more.  As many wait in the transport until it
says that it is congested."""

ROW_MAX = 1024
"""Requests of one socket whose replies have not left: those that are answered behind one that waits are among them."""

_FRAMES_KEPT = 128
_FRAMES_SIZE_MAX = 4 * 1024 * 1024

_PIECE_MIN, _PIECE_MAX = 128, 65536
_INFLATED = 65536
"""How many bytes of a compressed message are looked at together: fewer where more than this came of the last."""

_SLOW_FRAME = 4  # what each step of Autobahn costs, in frames that are taken apart here; it takes two for a frame

_OPEN, _CLOSING, _CLOSED = (
    WebSocketServerProtocol.STATE_OPEN,
    WebSocketServerProtocol.STATE_CLOSING,
    WebSocketServerProtocol.STATE_CLOSED,
)

_WINDOW_MAX = 32768  # bytes of a message that a later one may refer to (RFC 1951, section 2)
_CONTROL_MAX = 125  # RFC 6455, section 5.5
_COMPRESSED = 0x40
_AHEAD_MAX = 65536  # bytes that are read while no frame is looked at, to notice a peer that hangs up
_REASON_MAX = 123  # bytes that a close frame has room for (RFC 6455, section 5.5)


class _ITransport(ITCPTransport, IConsumer, IPushProducer):
    """What Twisted's connections, TLS ones included, provide."""


class Slot(Struct, eq=False):
    """The place of a reply among the replies."""

    is_binary: bool
    subscribes: bool
    """Whether pushes may be of what it asks for."""
    payload: bytes | None = None
    pushed: list[IPushed] = []
    """What is written after the reply."""


class Pushes:
    """The frames of the notifications that were pushed last: one of each form serves all sockets."""

    def __init__(self) -> None:
        self._frames: dict[tuple[IPushed, bool, int], tuple[bytes, bool]] = {}
        self._size = 0

    def of(self, message: IPushed, is_binary: bool, window_bits: int) -> tuple[bytes, bool]:
        """The frame of a notification, and whether it is compressed.

        :param window_bits: of the receiver's window (RFC 7692, section 7.1.2); 0: it takes no compressed frames.
        """
        made = self._frames.get((message, is_binary, window_bits))
        if made is None:
            made = self._make(message, is_binary, window_bits)
            if len(self._frames) >= _FRAMES_KEPT or self._size > _FRAMES_SIZE_MAX:
                self._frames, self._size = {}, 0
            self._frames[message, is_binary, window_bits] = made
            self._size += len(made[0])
        return made

    def _make(self, message: IPushed, is_binary: bool, window_bits: int) -> tuple[bytes, bool]:
        kind, payload = (BINARY, message.packed) if is_binary else (TEXT, message.text)
        if not window_bits or len(payload) < COMPRESSED_FROM:
            return frame(kind, payload), False
        deflater = zlib.compressobj(wbits=-window_bits)
        deflated = deflater.compress(payload) + deflater.flush(zlib.Z_SYNC_FLUSH)
        return frame(kind | _COMPRESSED, deflated[:-4]), True  # RFC 7692, section 7.2.1


@implementer(IPushProducer, IListener, IAsker)
class GatewayProtocol(WebSocketServerProtocol):
    """A connected client, made by :class:`~zaqar_gateway.transport.websocket.factory.GatewayFactory`.

    As a producer it is told by the transport whether the peer keeps up.
    """

    factory: GatewayFactory
    transport: _ITransport
    autoPingTimeout: float
    closeHandshakeTimeout: float
    _isMessageCompressed = False  # Autobahn sets it with the first message
    CONFIG_ATTRS: list[str] = []  # Autobahn would print all of them, for a log line that is not written: 1 ms
    log = make_logger("error")  # Autobahn would log request heads, and its warnings are the errors of clients
    _log = Logger()

    __slots__ = (  # with those of Autobahn more than thirty attributes: without, each is looked up in a dictionary
        "_alone",
        "_answered",
        "_aside",
        "_begun",
        "_bounds",
        "_conduct",
        "_congested",
        "_consuming",
        "_crowded",
        "_deaf",
        "_draining",
        "_ending",
        "_farewell",
        "_finishing",
        "_half_closeable",
        "_held",
        "_idle",
        "_has_closed",
        "_is_lost",
        "_is_refused",
        "_is_whole",
        "_joined",
        "_joined_size",
        "_left",
        "_next",
        "_paused",
        "_piece",
        "_place",
        "_pushed_next",
        "_reading",
        "_reads",
        "_resting",
        "_running",
        "_session",
        "_several",
        "_slots",
        "_slow",
        "_unsent",
        "_untaken",
        "_uri",
        "_waiting",
        "_was_active",
    )

    def __init__(self) -> None:
        super().__init__()
        self._slots: deque[Slot] = deque()
        self._waiting: dict[object, Callable[[], None]] = {}  # what ends the waits of requests that wait for messages
        self._running = 0  # requests in slots that are not answered yet and do not wait
        self._answered = 0  # bytes of replies that wait for one before them
        self._reading = 0  # of all in slots, those that change nothing and may make several steps
        self._next: tuple[Request, bool] | None = None  # read, and waiting until none runs
        self._alone = False
        self._aside: Slot | None = None  # of the request that later ones do not wait for
        self._finishing = False
        self._farewell: tuple[int, bytes] | None = None  # the close frame of the peer, answered when all requests are
        self._paused = False  # no frame is looked at
        self._deaf = False  # the transport does not read
        self._consuming = False
        self._congested = False
        self._unsent = 0  # bytes written since the transport said that it is congested
        self._pushed_next: list[IPushed] = []  # what is written after the reply to the request that waits until none runs
        self._held = 0  # bytes of pushes that wait for replies
        self._joined: list[bytes] | None = None  # pushes to be written when this turn ends; None: it had none yet
        self._joined_size = 0
        self._untaken: list[Callable[[], None]] = []  # what to call when pushes are taken again
        self._slow: IDelayedCall | None = None  # until when the peer has to have read, so that they are
        self._left = False
        self._uri = ""
        self._draining: IDelayedCall | None = None
        self._idle: IDelayedCall | None = None
        self._was_active = False
        self._place: str | None = None  # that it is counted in
        self._crowded: Crowded | None = None
        self._resting: Callable[[], None] | None = None  # ends the wait for the next turn
        self._reads = Reads()
        self._conduct = Conduct()
        self._piece = _PIECE_MIN
        self._begun: Begun | None = None
        self._is_whole = False  # the head of the handshake has come, and nothing after it
        self._has_closed = False  # it has sent a close frame, or does so now
        self._is_refused = False  # what still comes is dropped
        self._is_lost = False  # requests of it may be under way
        self._ending: IDelayedCall | None = None  # until when the peer has to have read what was sent

    # -- the connection ------------------------------------------------------------------------------------------------

    @property
    def place(self) -> str:
        """Where it is counted (:meth:`zaqar_gateway.transport.peers.Peers.place_of`)."""
        return self._place or ""

    def connectionMade(self) -> None:
        self.__dict__.update(self.factory.options)
        super().connectionMade()
        self._bounds = self.factory.bounds
        self._several = self.factory.order.several
        self._session = self.factory.session(self)
        factory = self.factory
        factory.connections.add(self)
        transport = self.transport
        transport.registerProducer(self, True)
        # TLS has no half-close in Twisted: it would cut off the encrypted stream below.
        self._half_closeable = IHalfCloseableDescriptor.providedBy(transport) and not ISSLTransport.providedBy(transport)
        place = factory.peers.place_of(self.transport.getPeer())
        self._crowded = factory.intake.take_on(place)
        if self._crowded is None:
            self._place = place
        elif not factory.intake.may_answer(self):
            self.dropConnection(abort=True)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        self._is_lost = True
        try:
            self._let_go()
        finally:  # whatever goes wrong, nobody waits for a connection that is gone
            super().connectionLost(reason)
            self.factory.gone(self)

    def _let_go(self) -> None:
        """End what there is for this connection."""
        self._session.end()
        self._slots.clear()
        self._aside = None
        self._next, self._pushed_next = None, []
        self._untaken.clear()
        self._joined = self._begun = None
        self._stop_waiting()
        if self._place is not None:
            self.factory.peers.leave(self._place)
            self._place = None
        self._stop_draining()
        if self._idle is not None:
            self._idle.cancel()
            self._idle = None
        if self._resting is not None:
            self._resting()
            self._resting = None
        if self._ending is not None and self._ending.active():
            self._ending.cancel()
        self._answered = self._unsent = 0
        self._note_unread()
        self._leave()
        if self.closeHandshakeTimeoutCall is not None:  # Autobahn leaves this one running
            self.closeHandshakeTimeoutCall.cancel()
            self.closeHandshakeTimeoutCall = None

    def processHandshake(self) -> None:
        end, most = self.data.find(b"\r\n\r\n"), self._bounds.handshake_max
        self._is_whole = 0 <= end == len(self.data) - 4
        if end > most or (end < 0 and len(self.data) > most):
            self.failHandshake(f"The request head has more than {most} bytes.", 431)
        elif self.data.count(b"\r\n", 0, max(end, 0)) > self._bounds.headers_max:
            self.failHandshake(f"The request has more than {self._bounds.headers_max} headers.", 431)
        else:
            if end >= 0:
                self.data = offers.without_unfit(self.data[:end]) + self.data[end:]
            super().processHandshake()

    def onConnect(self, request: ConnectionRequest) -> None:
        if self.factory.closing:
            raise ConnectionDeny(503, "The gateway is stopping.")
        if self._crowded is not None:
            raise ConnectionDeny(*self._crowded)
        headers = request.headers
        peer = getattr(self.transport.getPeer(), "host", "")
        if not self.factory.origins.admits(headers.get("origin"), headers.get("host", ""), peer):
            raise ConnectionDeny(403, "Pages of this origin may not connect; websocket.allowed_origins has to name it.")

    def failHandshake(self, reason: str, code: int = 400, responseHeaders: Any = None) -> None:
        # The peer may be sending.  To close while it does is to reset, and a reset may destroy the answer that it has
        # not read yet.  So the peer closes, or _ending drops it; over TLS, which has no half-close, where there is more.
        self._is_refused = self._half_closeable or not self._is_whole
        super().failHandshake(reason, code, responseHeaders)

    def sendHttpErrorResponse(self, code: int, reason: str, responseHeaders: Any = None) -> None:
        """Refuse the handshake, or answer what is no handshake."""
        if code == 505:  # Autobahn's word for whatever is wrong with a request line; it is the client's error
            code = 400
        reason = reason.replace("HTTP Upgrade header missing", "This is a WebSocket endpoint.")
        _, fields, body = refusal(code, TITLES[code], reason)
        headers = [
            *fields,
            (b"Content-Length", b"%d" % len(body)),
            (b"Connection", b"close"),
            *((name.encode(), value.encode()) for name, value in responseHeaders or ()),
        ]
        if code == 426:
            headers.append((b"Upgrade", b"websocket"))
        elif code in (429, 503):
            headers.append((b"Retry-After", b"%d" % RETRY_AFTER_S))
        status = HTTPStatus(code)
        lines = [b"HTTP/1.1 %d %b" % (status, status.phrase.encode()), *(b"%b: %b" % field for field in headers), b""]
        self.sendData(b"\r\n".join(lines) + protection.ALWAYS + protection.NO_STORE + b"\r\n" + body)

    def onOpen(self) -> None:
        if self._bounds.idle_timeout_s:
            self._watch_idleness()

    def _watch_idleness(self) -> None:
        self._was_active = False
        self._idle = self.factory.call_later(self._bounds.idle_timeout_s, self._look_idle)

    def _look_idle(self) -> None:
        self._idle = None
        if self._was_active or self._slots:
            self._watch_idleness()
        else:
            self._close(POLICY_VIOLATION, f"nothing was asked or pushed for {self._bounds.idle_timeout_s:g} seconds")

    def finish(self) -> None:
        """Let the requests in flight end, take no more, and close with 1001."""
        self._finishing = True
        if self.state == _OPEN:
            self._adjust()
        elif self.state != _CLOSING:
            self.dropConnection(abort=True)

    @property
    def _is_busy(self) -> bool:
        """Whether a request is not answered yet."""
        return bool(self._slots) or self._next is not None or self._aside is not None

    def onCloseFrame(self, code: int, reasonRaw: bytes) -> bool | None:
        # What was asked before is answered before, for each request has one answer.  RFC 6455, section 5.5.1, has a close frame
        # follow what is being sent; requests that wait for messages are answered now.
        if self.state != _OPEN or not self._is_busy:
            return bool(super().onCloseFrame(code, reasonRaw))
        self._farewell, self._finishing = (code, reasonRaw), True
        self._leave()
        self._adjust()
        return False

    def end(self, code: int, reason: str) -> None:
        """Close, for a reason that the session has."""
        self._close(code, reason)

    def abort(self) -> None:
        """Drop the connection now."""
        self.transport.abortConnection()

    shed = abort  # see zaqar_gateway.transport.unread.Reader

    def dropConnection(self, abort: bool = False) -> None:
        if not abort and self.state != _CLOSED:
            # The transport waits until all is sent, which is for ever where the peer does not read.
            self._ending = self.factory.call_later(self.closeHandshakeTimeout, self.abort)
        super().dropConnection(abort)

    def _closeConnection(self, abort: bool = False) -> None:
        if abort or not self._is_refused:
            super()._closeConnection(abort)
            return
        self.data = b""
        if self._half_closeable:
            self.transport.loseWriteConnection()

    def onAutoPingTimeout(self) -> None:
        # An answer may be there, unread; and who does not read what it is sent has not read the ping.
        if self._paused or self._congested:
            self.autoPingTimeoutCall = self.factory.call_later(self.autoPingTimeout, self.onAutoPingTimeout)
        else:
            self._log.debug("{peer} did not answer a ping", peer=self.peer)
            super().onAutoPingTimeout()

    def _close(self, code: int, reason: str) -> None:
        if self.state == _OPEN and not self._has_closed:
            self._has_closed = True  # to write is to look at what may go on, which may be to close
            self._log.debug("closing {peer}: {code} {reason}", peer=self.peer, code=code, reason=reason)
            has_come = self._farewell is not None  # the close frame of the peer, so that there is none to wait for
            self.sendCloseFrame(code, reason.encode(), isReply=has_come)
            self._leave()
            self._adjust()
            if has_come:
                self.dropConnection()

    # -- frames in -----------------------------------------------------------------------------------------------------

    def dataReceived(self, data: bytes) -> None:
        is_enough = self._reads.note(len(data))
        if (
            not is_enough
            and not self.data
            and self.state == _OPEN
            and not (self._paused or self._consuming or self.inside_message)
            and self._begun is None
            and self.current_frame is None
            and (payload := payload_of(data)) is not None
            and len(payload) <= self._bounds.message_max
        ):  # nearly always: to take it off as one of any number takes a tenth of what a request takes
            if self.autoPingTimeoutCall:
                self._cancelAutoPingTimeoutCall()
            self.onMessage(payload, False)
            if self.state == _OPEN:
                self._all_taken()
        else:
            if self._is_refused or self.failedByMe:
                self._dropped(len(data))
            if not self._is_refused:
                self._take(data, is_enough)
            elif is_enough:
                self._rest()
        if self._paused and not self._deaf:
            self._adjust()

    def _take(self, data: bytes, is_enough: bool) -> None:
        """Look at what has come.

        :param is_enough: whether the other connections go first.
        """
        self.data += data  # without what Autobahn counts, and its log line, which is made up even where it is not written
        if is_enough and self.state != _CLOSED and not self._conduct.takes_turns:
            self._rest()
            return
        self.consumeData()
        if not self.data and self.state == _OPEN and not self.inside_message and self._begun is None:
            self._all_taken()

    def _all_taken(self) -> None:
        """There is nothing of a frame that is to be looked at later."""
        if self._was_active and not self._conduct.calm and not self._reads.enough:
            self._conduct.is_calm(self.transport)
        self._reads.clear()

    def consumeData(self) -> None:
        if self._consuming:
            return
        if self.state not in (_OPEN, _CLOSING):
            super().consumeData()
            return
        self._consuming = True
        try:
            turns = self.factory.turns
            left, more, ends = TURN_MAX, True, turns.now() + PART_S
            while more and not self._paused and self.state != _CLOSED:
                if self._begun is not None:
                    self._take_more(self._begun)
                    if not self.data:
                        break
                if self.current_frame is None and not self.inside_message:
                    left = self._take_whole_frames(left, ends)
                    if not self.data:
                        break
                if left <= 0 or (left < TURN_MAX and turns.is_over(ends)):
                    if self.data or (more and self.current_frame is not None):  # a frame without payload is all head
                        self._rest()
                    break
                more = not self._paused and self.processData()
                left -= _SLOW_FRAME
        finally:
            self._consuming = False

    def _rest(self) -> None:
        """Look at no further frame before the other connections have had their turn."""
        if self._resting is None:
            turns, is_much = self.factory.turns, self._reads.enough
            self._resting = self._conduct.rest(self.transport, turns, is_much, self._rested)
            self._adjust()

    def _dropped(self, size: int) -> None:
        """So many bytes were read for nothing, but for the peer's close frame that may be among them."""
        drain = self.factory.turns.drain
        if not drain.may_go_on(size) and self._resting is None:
            self._resting = drain.wait(self._rested)
            self._adjust()

    def _rested(self) -> None:
        self._resting = None
        self._reads.clear()
        self._adjust()

    def processData(self) -> bool:
        """Inflate a little at a time: a few hundred bytes may inflate to the longest message there may be, which takes milliseconds."""
        data, piece = self.data, self._piece
        if not self._isMessageCompressed or self.current_frame is None or len(data) <= piece:
            return bool(super().processData())
        before = self.message_data_total_length
        self.data = data[:piece]
        if not super().processData() and len(self.data) == piece:
            # The end of a message that failed is no end for Autobahn: what comes after it cannot be told apart from it any more.
            self.data = b""
            return False
        self.data += data[piece:]
        much = self.message_data_total_length - before > _INFLATED
        self._piece = max(_PIECE_MIN, piece // 4) if much else min(piece * 4, _PIECE_MAX)
        return True

    def onFrameData(self, payload: bytes) -> bool | None:
        if self.failedByMe and self.current_frame.opcode < 8:
            return None  # it is only looked for the peer's close frame: what is dropped need not be inflated
        return super().onFrameData(payload)

    def onMessageFrame(self, payload: Any) -> None:
        """Keep the parts of a fragment; an empty one adds nothing, and nothing bounds how many there may be."""
        if not self.failedByMe:
            self.message_data.extend(part for part in payload if part)

    def _take_whole_frames(self, left: int, ends: float) -> int:
        """Take the whole, unfragmented, uncompressed data frames, and pings, off the data; leave the others to Autobahn.

        :param left: how many to take at most.
        :param ends: when this part of a turn is over.
        :return: how many of these are left.
        """
        data, at, is_over = self.data, 0, self.factory.turns.is_over
        have, most = len(data), self._bounds.message_max
        pongs: list[bytes] = []
        while left > 0 and have - at >= 6 and not self._paused and self.state == _OPEN:
            kind, size = data[at], data[at + 1] - 0x80  # the high bit: masked
            if kind == PING:
                if not 0 <= size <= _CONTROL_MAX:
                    break
            elif (kind != TEXT and kind != BINARY) or not 0 <= size <= 127:
                break
            start = at + 6
            if size == 126:
                size, start = data[at + 2] << 8 | data[at + 3], at + 8
                if size < 126:
                    break
            elif size == 127:
                size, start = int.from_bytes(data[at + 2 : at + 10], "big"), at + 14
                if size < LONG:
                    break
            if size > most:
                break
            mask = data[start - 4 : start]
            if start + size > have:
                if size >= LONG and start <= have:
                    self._conduct.sends_long(self.transport)
                    self._begun = Begun(kind, size, mask)
                    self._begun.take(data[start:], drop=False)
                    at = have
                break
            payload = unmasked(data[start : start + size], mask)
            at = start + size
            left -= 1
            if self.autoPingTimeoutCall:  # any traffic shows that the peer is there
                self._cancelAutoPingTimeoutCall()
            if kind == PING:
                pongs.append(frame(PONG, payload))
            else:
                self.onMessage(payload, kind == BINARY)
            if have - at < 6 or is_over(ends):  # the least that a frame of a client has
                break
        if at:
            self.data = data[at:]
        if pongs and self.state == _OPEN:
            self.sendData(b"".join(pongs))
        return left

    def _take_more(self, begun: Begun) -> None:
        """Take what has come of a long frame off the data; what is sent to one that is closing is not looked at."""
        self.data = begun.take(self.data, drop=self.state != _OPEN)
        if begun.missing:
            return
        self._begun = None
        if self.autoPingTimeoutCall:
            self._cancelAutoPingTimeoutCall()
        if self.state == _OPEN:
            self.onMessage(begun.payload(), begun.kind == BINARY)

    def onMessageEnd(self) -> None:
        data, self.message_data = b"".join(self.message_data), []
        if self.failedByMe:
            return
        deflate: Any = self._perMessageCompress
        if self._isMessageCompressed and deflate._decompressor.eof:
            # It ended with a block that says that it is the last one, which a message may (RFC 7692, section 7.2.3.4).  What was
            # before this message is not kept, which a later one could refer to.
            if deflate._decompressor.unused_data.strip(b"\0") not in (b"", b"\xff\xff"):
                self._close(INVALID_PAYLOAD, "compressed data goes on behind its last block")
                return
            deflate._decompressor = zlib.decompressobj(-deflate.client_max_window_bits, data[-_WINDOW_MAX:])
        self.onMessage(data, self.message_is_binary)

    def onMessage(self, payload: bytes, isBinary: bool) -> None:
        if self.state != _OPEN:
            return
        if not isBinary and not payload.isascii():
            try:
                payload.decode()
            except UnicodeDecodeError:
                self._close(INVALID_PAYLOAD, "a text frame is not UTF-8")  # RFC 6455, section 8.1
                return
        self._was_active = True
        request = self._session.receive(payload, isBinary)
        if self._running and (request.alone or (self._reading and not request.reads)):
            self._next = request, isBinary
            self._adjust()
        else:
            self._start(request, isBinary)

    def _start(self, request: Request, is_binary: bool) -> None:
        """Run a request at once: requests take effect in the order in which they start, because the commands on the
        one connection to the store do."""
        slot = Slot(is_binary, request.alone, None, self._pushed_next)
        self._pushed_next = []
        if request.aside:
            self._aside = slot
        else:
            self._slots.append(slot)
            self._count(1)
            self._reading += request.reads
            self._alone = request.alone
        run(self._serve(request, slot), self._crashed)
        # As in _is_full, but without a call; what is answered is looked at where it is.
        if self._alone or self._paused or self._running >= self._bounds.in_flight_max or len(self._slots) >= ROW_MAX:
            self._adjust()

    # -- replies out ---------------------------------------------------------------------------------------------------

    def _count(self, change: int) -> None:
        """So many more requests run.  Those of several take effect in their order."""
        self._running += change
        if self._running > 1:
            self._several.add(self)
        elif change < 0:
            self._several.discard(self)

    async def _serve(self, request: Request, slot: Slot) -> None:
        is_aside = slot is self._aside
        try:
            slot.payload = payload = await request.reply()
        finally:
            if not is_aside:
                self._count(-1)
                self._reading -= request.reads
        slots = self._slots
        if is_aside:
            self._aside = None
            self._write_reply(slot, payload)
        elif slots and slots[0] is not slot:
            self._note_unread(len(payload))
            if self._is_full:
                self._adjust()
        while slots and (ready := slots[0].payload) is not None:
            first = slots.popleft()
            if first is not slot:
                self._note_unread(-len(ready))
            self._write_reply(first, ready)
        if self._left:  # it may just have subscribed
            self._leave()
        if self._alone or self._paused or self._finishing or self._next is not None:
            self._go_on()

    def _note_unread(self, answered: int = 0) -> None:
        """There is more, or less, of the replies that wait for one before them, or of what the peer has not read."""
        self._answered += answered
        self.factory.unread.note(self, self._answered + self._unsent)

    @property
    def _is_full(self) -> bool:
        """Whether no further request may begin until one is done, or a reply has left."""
        bounds = self._bounds
        return self._running >= bounds.in_flight_max or len(self._slots) >= ROW_MAX or self._answered > bounds.write_buffer_max

    def _go_on(self) -> None:
        """Start the request that waits until none runs, where it can; then read, or do not."""
        if not self._running:
            self._alone = False
            if self._next is not None:
                (request, is_binary), self._next = self._next, None
                self._start(request, is_binary)
        if self._paused or self._finishing:
            self._adjust()

    def _crashed(self, failure: Failure) -> None:
        self._log.failure("a reply was lost", failure)
        self._close(INTERNAL_ERROR, "internal error")

    def _write_reply(self, slot: Slot, payload: bytes) -> None:
        """Write one unfragmented frame (RFC 6455, section 5.2), and what is pushed behind it; on a connection that is closing, drop
        them."""
        if self.state == _OPEN:
            kind = BINARY if slot.is_binary else TEXT
            compress = self._perMessageCompress
            if compress is not None and len(payload) >= COMPRESSED_FROM:
                kind |= _COMPRESSED
                compress.start_compress_message()
                payload = compress.compress_message_data(payload) + compress.end_compress_message()
            self._write(*pieces(kind, payload))
        if slot.pushed:
            self._held -= sum(len(message.text) for message in slot.pushed)
            self._write_pushes(slot.pushed)
            self._look_taking()

    # -- requests that wait --------------------------------------------------------------------------------------------

    until_s = None  # see :class:`~zaqar_gateway.transport.websocket.access.Access`
    """See :class:`~zaqar_gateway.interfaces.IAsker`."""

    @property
    def left(self) -> bool:
        """See :class:`~zaqar_gateway.interfaces.IAsker`."""
        return self._left

    def when_left(self, call: Callable[[], None]) -> Callable[[], None]:
        """See :class:`~zaqar_gateway.interfaces.IAsker`.

        A request that waits does not keep others from running, only their replies from leaving.
        """
        key = object()
        self._waiting[key] = call
        self._count(-1)
        self._go_on()

        def stay() -> None:
            del self._waiting[key]
            self._count(1)

        return stay

    # -- pushes --------------------------------------------------------------------------------------------------------

    @property
    def uri(self) -> str:
        """See :class:`~zaqar_gateway.interfaces.IListener`; nothing is served there."""
        if not self._uri:
            bound = None if self._is_lost else self.transport.getHost()  # a socket that is closed has no name
            host, port = getattr(bound, "host", "localhost"), getattr(bound, "port", 0)
            self._uri = f"http://{f'[{host}]' if ':' in host else host}:{port}/{uuid4()}"
        return self._uri

    @property
    def takes(self) -> bool:
        """See :class:`~zaqar_gateway.interfaces.IListener`."""
        return self.state == _OPEN and not self._congested and self._held + self._joined_size < PUSHED_MAX

    def when_takes(self, call: Callable[[], None]) -> None:
        """See :class:`~zaqar_gateway.interfaces.IListener`.

        From then on there is something to be pushed, so that the peer is slow if it does not read.
        """
        self._untaken.append(call)
        if self._slow is None and self._bounds.slow_max_s:
            self._slow = self.factory.call_later(self._bounds.slow_max_s, self._too_slow)
        self._look_taking()

    def _look_taking(self) -> None:
        if self._untaken and self.takes:
            self._stop_waiting()
            untaken, self._untaken = self._untaken, []
            for call in untaken:
                call()

    def _stop_waiting(self) -> None:
        if self._slow is not None:
            self._slow.cancel()
            self._slow = None

    def _too_slow(self) -> None:
        self._slow = None
        self._close(POLICY_VIOLATION, f"notifications were not read for {self._bounds.slow_max_s:g} seconds")

    def push(self, *messages: IPushed) -> None:
        """See :class:`~zaqar_gateway.interfaces.IListener`.

        A peer that is pushed too much is closed.
        """
        if self.state != _OPEN or self._is_lost:
            return
        self._was_active = True
        most = self._bounds.write_buffer_max
        if self._unsent > most or self._held > most:
            self._close(POLICY_VIOLATION, f"notifications of more than {most} bytes were not read")
        elif self._next is not None:
            self._hold(messages, self._pushed_next)
        elif self._running or any(slot.subscribes for slot in self._slots):
            self._hold(messages, self._slots[-1].pushed)
        elif self._aside is not None:
            self._hold(messages, self._aside.pushed)
        else:
            self._write_pushes(messages)

    def _hold(self, messages: Sequence[IPushed], behind: list[IPushed]) -> None:
        behind.extend(messages)
        self._held += sum(len(message.text) for message in messages)

    def _write_pushes(self, messages: Sequence[IPushed]) -> None:
        if self.state != _OPEN:
            return
        compress: Any = self._perMessageCompress
        bits = 0 if compress is None else compress.server_max_window_bits
        is_binary, pushes = self._session.pushes_binary, self.factory.pushes
        parts = []
        for message in messages:
            data, is_compressed = pushes.of(message, is_binary, bits)
            parts.append(data)
            if is_compressed:
                # It is in the window of the peer now, and not in that of our compressor, which so has to begin anew.
                compress._compressor = None
        if self._joined is None:
            self._joined = []
            self.factory.flush_soon(self)
            self.sendData(b"".join(parts))
        else:
            self._joined += parts
            self._joined_size += sum(map(len, parts))

    def flush(self) -> None:
        """Write the pushes of this turn, which ends."""
        joined, self._joined = self._joined, None
        if joined:
            self._joined_size = 0
            self.sendData(b"".join(joined))
            self._look_taking()

    def fail(self, reason: str) -> None:
        """See :class:`~zaqar_gateway.interfaces.IListener`."""
        self._close(TRY_AGAIN_LATER, reason[:_REASON_MAX])

    def _leave(self) -> None:
        """End the subscriptions of this connection; whatever it subscribes to afterwards ends at once."""
        self._left = True
        self.drop_subscriptions()
        for end in list(self._waiting.values()):
            end()

    def drop_subscriptions(self) -> None:
        """End the subscriptions that this connection has made for itself."""
        if self.factory.sockets is not None:
            self.factory.sockets.gone(self)

    # -- bytes out -----------------------------------------------------------------------------------------------------

    def sendData(self, data: bytes, sync: bool = False, chopsize: int | None = None) -> None:
        self._write(data)

    def _write(self, data: bytes, *more: bytes) -> None:
        if self._joined:
            data = b"".join([*self._joined, data])
            self._joined, self._joined_size = [], 0
        if self._slots:
            for piece in (data, *more):
                write_later(self.transport, piece)  # more is on its way, to be joined with this
        elif more:
            write_all_now(self.transport, (data, *more))
        else:
            write_now(self.transport, data)
        if self._congested:
            self._unsent += len(data) + sum(map(len, more))
            self._note_unread()
            if self._unsent > self._bounds.write_buffer_max:
                self._adjust()  # here, too, for pongs are no replies

    # -- flow ----------------------------------------------------------------------------------------------------------

    def pauseProducing(self) -> None:
        """The transport holds more than it likes of what the peer has not read; it may say so again and again."""
        self._congested = True

    def resumeProducing(self) -> None:
        """The peer has read all that was written."""
        self._congested, self._unsent = False, 0
        self._note_unread()
        self._adjust()
        self._look_taking()

    def stopProducing(self) -> None:
        """The connection is lost; ``connectionLost`` says so too."""

    def _adjust(self) -> None:
        """Read, or do not, as the requests and the peer have it now."""
        blocked = self._resting is not None
        if self.state == _OPEN:
            slow = self._unsent > self._bounds.write_buffer_max
            if slow and self._draining is None:
                self._draining = self.factory.call_later(self._bounds.drain_timeout_s, self._not_drained)
            elif not slow:
                self._stop_draining()
            if self._finishing and not self._is_busy:
                if self._farewell is not None:
                    if self._deaf:  # over TLS the end of the peer has to be read
                        self._deaf = False
                        self.transport.resumeProducing()
                    super().onCloseFrame(*self._farewell)
                else:
                    self._close(GOING_AWAY, "the gateway is stopping")
                return
            blocked = blocked or self._is_full or slow or self._alone or self._finishing or self._next is not None
        # A closing connection is read: what comes is dropped, but the peer's close frame has to be seen.
        was_paused, self._paused = self._paused, blocked
        # While requests wait a peer that hangs up is noticed, as far as what it sends besides can be kept.
        deaf = blocked and not (self._waiting and len(self.data) <= _AHEAD_MAX)
        if deaf != self._deaf and (self.state != _CLOSED or self._is_refused):
            self._deaf = deaf
            if deaf:
                self.transport.pauseProducing()
            else:
                self.transport.resumeProducing()
        if was_paused and not blocked and self.state != _CLOSED:
            self.consumeData()

    def _stop_draining(self) -> None:
        if self._draining is not None:
            self._draining.cancel()
            self._draining = None

    def _not_drained(self) -> None:
        self._draining = None
        # Thousands of them may be late at once.
        self.factory.turns.wait(self._give_up)

    def _give_up(self) -> None:
        if self._unsent > self._bounds.write_buffer_max:
            self._close(POLICY_VIOLATION, f"replies were not read for {self._bounds.drain_timeout_s:g} seconds")
