"""Server-sent events: what is posted to a queue, for whoever listens by HTTP (HTML standard, "Server-sent events").

The id of the last message that a client got is its place in the queue: it comes with that to any gateway, and goes on there.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Sequence
from functools import partial
from urllib.parse import unquote

import msgspec
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import LoopingCall
from twisted.logger import Logger
from zope.interface import implementer

from zaqar_gateway.clocks import time_of_day
from zaqar_gateway.errors import IdentityUnavailable, TooManyRequests, Unauthorized
from zaqar_gateway.interfaces import IDelivered, IQueueListener, IQueueReaders, IReading, ITokens
from zaqar_gateway.model import Message, Place
from zaqar_gateway.operations.messages import Listening
from zaqar_gateway.operations.refusals import Refusals
from zaqar_gateway.transport.http.request import Fields, Headers, Outflow, Request

_log = Logger()

MEDIA_TYPE = "text/event-stream"

HEADERS: Headers = (
    (b"Content-Type", MEDIA_TYPE.encode()),
    (b"Cache-Control", b"no-cache"),
    (b"X-Accel-Buffering", b"no"),  # a proxy in between (nginx) has to pass on what there is
)

RETRY_MS = 2000
"""After what time a client whose connection is lost comes again."""

RETRY_AFTER_S = 5
"""What one that is refused is told to wait; nobody knows when another stream will end."""

TICK_S = 1.0

EXPIRED = "Authentication expired."
STOPPING = "The gateway stops; the stream goes on at the next connection."
"""Reasons of an ``end``."""

_WANTED = 100
_PATH = re.compile(rb"/v2/(?:queues|topics)/[^/]+/events")
IDENTIFYING = {
    "signature": b"url-signature",
    "expires": b"url-expires",
    "methods": b"url-methods",
    "paths": b"url-paths",
    "project_id": b"x-project-id",
    "client_id": b"client-id",
}
"""Query parameters of a stream, and the headers that they stand for."""

_encode = msgspec.json.Encoder().encode


def identified_by_query(request: Request) -> None:
    """Take what says who asks for a stream from its query, as far as no header says it: a page's EventSource has no headers.

    No token is among it: addresses are kept where nobody keeps secrets.
    """
    if request.query and request.method == b"GET" and _PATH.fullmatch(request.path):
        found: dict[bytes, bytes] = {}
        for part in request.query.decode("utf-8", "replace").split("&"):
            name, _, value = part.partition("=")
            if value and name in IDENTIFYING:
                # A plus is itself, as in a path: instants have it.
                found.setdefault(IDENTIFYING[name], unquote(value).encode())
        if found.keys() - request.headers.keys():
            request.headers = Fields(found | request.headers)


def event(kind: str, data: bytes, event_id: str = "") -> bytes:
    """One event.

    :param data: JSON text, whose line ends are white space between its parts.
    :param event_id: empty: it has none.
    """
    if b"\n" in data or b"\r" in data:
        data = b"\ndata: ".join(data.splitlines())
    named = f"id: {event_id}\nevent: {kind}\ndata: " if event_id else f"event: {kind}\ndata: "
    return b"%b%b\n\n" % (named.encode(), data)


@implementer(IQueueListener)
class EventStream:
    """What one client is sent; a :class:`~zaqar_gateway.transport.http.request.Source`.

    :param form: makes an event of a message.
    :param token: what the client has shown who it is with, empty where nothing of that kind ends.
    :param until_s: when that ends, in seconds since the epoch; ``None``: never.
    """

    def __init__(
        self,
        streams: Streams,
        listening: Listening,
        form: Callable[[Place, Message], bytes],
        token: str,
        until_s: int | None,
    ) -> None:
        self.project = listening.place.project
        self._streams = streams
        self._listening = listening
        self._form = form
        self._token = token
        self._until_s = until_s
        self._out: Outflow | None = None
        self._reading: IReading | None = None
        self._sent_id = ""
        self._sent_s = self._looked_s = 0.0
        self._is_looking = False

    # -- the connection calls ----------------------------------------------------------------------------------------

    def begin(self, out: Outflow) -> None:
        """See :class:`~zaqar_gateway.transport.http.request.Source`.

        The client gets an id at once, so that it misses nothing if the connection is lost before the first message.
        """
        listening, streams = self._listening, self._streams
        self._out, self._sent_id, self._looked_s = out, listening.marker, streams.now()
        self._send(f"retry: {RETRY_MS}\n: what is posted behind this place\nid: {listening.marker}\n\n".encode())
        self._reading = streams.readers.attach(listening.place, listening.marker, self, listening.messages)

    def resume(self) -> None:
        """See :class:`~zaqar_gateway.transport.http.request.Source`."""
        if self._reading is not None:
            self._reading.resume()

    def drain(self) -> None:
        """See :class:`~zaqar_gateway.transport.http.request.Source`."""
        self._end(STOPPING)

    def gone(self) -> None:
        """See :class:`~zaqar_gateway.transport.http.request.Source`."""
        self._out = None
        if self._reading is not None:
            self._reading.end()
        self._streams.forget(self)

    # -- the reader calls --------------------------------------------------------------------------------------------

    @property
    def wants(self) -> int:
        """See :class:`~zaqar_gateway.interfaces.IQueueListener`."""
        return 0 if self._out is None or self._out.is_blocked else _WANTED

    def deliver(self, messages: Sequence[IDelivered]) -> None:
        """See :class:`~zaqar_gateway.interfaces.IQueueListener`."""
        own = self._listening.skip_client
        shown = [message for message in messages if message.client != own]
        if shown:
            self._sent_id = shown[-1].id
            self._send(b"".join([message.encoded(self._form) for message in shown]))

    def gap(self, after: str, continues_at: str | None) -> None:
        """See :class:`~zaqar_gateway.interfaces.IQueueListener`.  The event has no id: until a later one has come it is told
        again."""
        self._send(event("gap", _encode({"after": after, "continues_at": continues_at})))

    def failed(self, reason: str) -> None:
        """See :class:`~zaqar_gateway.interfaces.IQueueListener`."""
        self._end(reason)

    # -- time --------------------------------------------------------------------------------------------------------

    def tick(self, now: float, day_s: float) -> None:
        """Do what the time asks for: end, look whether the client may still listen, show that the connection lives.

        :param day_s: the time of day, in seconds since the epoch.
        """
        out, reading = self._out, self._reading
        if out is None or reading is None:
            return
        if self._until_s is not None and self._until_s <= day_s:
            self._end(EXPIRED)
        elif not out.is_blocked and now - self._sent_s >= self._streams.heartbeat_s:
            # Where what was posted since is not shown, being the client's own or gone, the client's place moves all the same.
            is_new, self._sent_id = reading.marker != self._sent_id, reading.marker
            self._send(f"id: {self._sent_id}\n\n".encode() if is_new else b": \n\n")
        tokens = self._streams.tokens
        if tokens is not None and self._token and not self._is_looking and now - self._looked_s >= tokens.age_max_s:
            self._is_looking, self._looked_s = True, now
            Deferred.fromCoroutine(self._look(tokens)).addErrback(partial(_log.failure, "a token was not looked up again"))

    async def _look(self, tokens: ITokens) -> None:
        """End where the token has been revoked."""
        try:
            await tokens.identify(self._token)
        except Unauthorized:
            self._end(EXPIRED)
        except IdentityUnavailable:
            pass  # what was valid stays so until it ends
        finally:
            self._is_looking = False

    def _send(self, data: bytes) -> None:
        if self._out is not None:
            self._sent_s = self._streams.now()
            self._out.write(data)

    def _end(self, reason: str) -> None:
        self._send(event("end", _encode({"reason": reason})))
        if self._out is not None:
            self._out.finish()


class Streams:
    """The streams of this process.

    :param heartbeat_s: after what time in which nothing was sent a client is shown that the connection lives.
    :param per_project_max: the most streams of a project; 0: any number.
    :param tokens: looks again whether who listens may; ``None``: there are no tokens.
    :ivar count: how many there are.
    """

    def __init__(
        self,
        readers: IQueueReaders,
        clock: IReactorTime,
        refusals: Refusals,
        *,
        heartbeat_s: float = 15,
        per_project_max: int = 0,
        tokens: ITokens | None = None,
    ) -> None:
        self.readers = readers
        self.heartbeat_s = heartbeat_s
        self.tokens = tokens
        self.now = clock.seconds
        self._clock = clock
        self._refusals = refusals
        self._per_project_max = per_project_max
        self._streams: dict[EventStream, None] = {}
        self._projects: Counter[str] = Counter()
        self._ticks = LoopingCall(self._tick)
        self._ticks.clock = clock

    @property
    def count(self) -> int:
        return len(self._streams)

    def open(
        self, listening: Listening, form: Callable[[Place, Message], bytes], token: str, until_s: int | None
    ) -> EventStream:
        """A stream, which is counted until it has gone.

        :raises TooManyRequests: the project has as many as it may have.
        """
        project = listening.place.project
        if 0 < self._per_project_max <= self._projects[project]:
            self._refusals.note("live.streams_max", project)
            raise TooManyRequests(
                f"The project has {self._per_project_max} streams of events at this gateway, as many as it may have; one has"
                " to end first.",
                RETRY_AFTER_S,
            )
        stream = EventStream(self, listening, form, token, until_s)
        self._streams[stream] = None
        self._projects[project] += 1
        if not self._ticks.running:
            self._ticks.start(TICK_S, now=False).addErrback(partial(_log.failure, "streams have no heartbeat"))
        return stream

    def forget(self, stream: EventStream) -> None:
        """A stream has gone."""
        del self._streams[stream]
        self._projects[stream.project] -= 1
        if not self._projects[stream.project]:
            del self._projects[stream.project]
        if not self._streams:
            self._ticks.stop()

    def _tick(self) -> None:
        now, day_s = self.now(), time_of_day(self._clock)
        for stream in list(self._streams):
            stream.tick(now, day_s)
