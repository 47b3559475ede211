"""Reads queues for those who listen in this process.

Each listener has a place in its queue, and whoever stands at the same place is served by the same read: all who are at the
end are one group.  A listener that takes nothing now stays where it stands, and is read for anew when it goes on; nothing
is kept for it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property, partial

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import LoopingCall, deferLater
from twisted.logger import Logger
from zope.interface import implementer

from zaqar_gateway.errors import GatewayError, StoreFault, StoreUnavailable
from zaqar_gateway.interfaces import IDelivered, IMessageStore, IQueueListener, IQueueReaders, IReading, IStorage
from zaqar_gateway.live import frames
from zaqar_gateway.model import Message, Place, Posted, StreamPage

_log = Logger()

READ_S = 10.0
"""How often a queue is read though nobody rings, in case a ring was lost."""

PAGE = 100
"""The most messages of one read."""

_SERVED_AT_ONCE = 500

FAILED = "A message could not be delivered."
"""A reason for :meth:`~zaqar_gateway.interfaces.IQueueListener.failed`."""


@implementer(IDelivered)
class Delivered:
    """A message, encoded in a form when the first listener wants that."""

    def __init__(self, place: Place, posted: Posted) -> None:
        self.message = posted.message
        self.id = posted.message.id
        self.client = posted.client
        self._place = place
        self._forms: dict[Callable[[Place, Message], bytes], bytes] = {}

    @cached_property
    def text(self) -> bytes:
        """See :class:`~zaqar_gateway.interfaces.IPushed`."""
        return frames.text(self._place, self.message)

    @cached_property
    def packed(self) -> bytes:
        """See :class:`~zaqar_gateway.interfaces.IPushed`."""
        return frames.packed(self._place, self.message)

    def encoded(self, form: Callable[[Place, Message], bytes]) -> bytes:
        """See :class:`~zaqar_gateway.interfaces.IDelivered`."""
        if form not in self._forms:
            self._forms[form] = form(self._place, self.message)
        return self._forms[form]


@implementer(IReading)
class _Reading:
    """See :class:`~zaqar_gateway.interfaces.IReading`.

    :ivar told: the cut of the last gap that was told, empty where none was told since.
    """

    __slots__ = ("_reader", "listener", "marker", "told")

    def __init__(self, reader: _Reader, marker: str, listener: IQueueListener) -> None:
        self._reader = reader
        self.marker = marker
        self.listener = listener
        self.told = ""

    def resume(self) -> None:
        self._reader.go()

    def end(self) -> None:
        self._reader.drop(self)


class _Reader:
    """Reads one queue while somebody listens.

    :param watch: has a function called whenever there may be something new; returns what ends that.
    :param closed: called when nobody listens any more.
    """

    def __init__(
        self,
        place: Place,
        store: IMessageStore,
        clock: IReactorTime,
        watch: Callable[[Callable[[], None]], Callable[[], None]],
        closed: Callable[[], object],
    ) -> None:
        self._place = place
        self._store = store
        self._clock = clock
        self._closed = closed
        self._standing: dict[str, dict[_Reading, None]] = {}  # who stands where, by marker; no group is empty
        self._end: str | None = None  # behind which there was nothing when it was read after the last ring
        self._is_reading = self._is_rung = False
        self._timer = LoopingCall(self._ring)
        self._timer.clock = clock
        self._timer.start(READ_S, now=False).addErrback(
            partial(_log.failure, "a queue is read on rings alone")
        )
        self._end_watch = watch(self._ring)

    def add(self, marker: str, listener: IQueueListener) -> _Reading:
        reading = _Reading(self, marker, listener)
        self._stand(reading)
        self.go()
        return reading

    def drop(self, reading: _Reading) -> None:
        if self._leave(reading) and not self._standing:
            self.stop()
            self._closed()

    def stop(self) -> None:
        """Read no more."""
        self._standing.clear()
        self._end_watch()
        if self._timer.running:
            self._timer.stop()

    def _stand(self, reading: _Reading) -> None:
        self._standing.setdefault(reading.marker, {})[reading] = None

    def _leave(self, reading: _Reading) -> bool:
        group = self._standing.get(reading.marker)
        if group is None or reading not in group:
            return False
        del group[reading]
        if not group:
            del self._standing[reading.marker]
        return True

    def _ring(self) -> None:
        self._is_rung = True
        self.go()

    def go(self) -> None:
        """Read for those that are not at the end and take something; also what is rung for meanwhile."""
        if not self._is_reading:
            Deferred.fromCoroutine(self._read_all()).addErrback(partial(_log.failure, "a queue is not read"))

    async def _read_all(self) -> None:
        self._is_reading = True
        await deferLater(self._clock, 0)  # nobody is told of anything before the call that led here has returned
        try:
            while due := self._due():
                for marker in due:
                    await self._read(marker)
        except StoreUnavailable as error:  # the next ring, or the timer, reads on
            _log.debug("listeners of {place} wait: {why}", place=self._place, why=str(error))
        finally:
            self._is_reading = False

    def _due(self) -> list[str]:
        if self._is_rung:
            self._is_rung, self._end = False, None
        return [marker for marker in self._standing if marker != self._end and self._wanted(marker)]

    def _wanted(self, marker: str) -> int:
        """How many messages those who stand somewhere take now, at most."""
        return max((reading.listener.wants for reading in self._standing.get(marker, ())), default=0)

    async def _read(self, marker: str) -> None:
        """Serve those who stand at a marker with a page."""
        wanted = self._wanted(marker)
        if wanted <= 0:  # they have gone, or are busy by now
            return
        place = self._place
        try:
            page = await self._store.read(place.project, place.name, marker, min(wanted, PAGE))
        except StoreUnavailable:
            raise
        except GatewayError as error:
            if isinstance(error, StoreFault):
                _log.error("{place} cannot be read on: {why}", place=place, why=error.cause or str(error))
            for reading in list(self._standing.get(marker, ())):
                self._fail(reading, str(error))
            return
        if not page.more:
            self._end = page.marker
        if page.marker != marker or page.gap:
            await self._serve(marker, page)

    async def _serve(self, marker: str, page: StreamPage) -> None:
        delivered = [Delivered(self._place, posted) for posted in page.posted]
        for count, reading in enumerate(list(self._standing.get(marker, ()))):
            if count and count % _SERVED_AT_ONCE == 0:
                await deferLater(self._clock, 0)  # others have their turn
            # Who takes nothing now stays; others may have gone meanwhile.
            if reading.listener.wants > 0 and self._leave(reading):
                try:
                    self._move(reading, page, delivered)
                except Exception:
                    _log.failure("a listener of a queue failed")
                    self._fail(reading, FAILED)

    def _move(self, reading: _Reading, page: StreamPage, delivered: Sequence[IDelivered]) -> None:
        """Take one that stands nowhere now to where the page takes it, and tell it what is on the way."""
        before, listener = reading.marker, reading.listener
        if len(delivered) > (wants := listener.wants):
            delivered = delivered[:wants]
            reading.marker = delivered[-1].id
        else:
            reading.marker = page.marker
        is_told = page.cut[14:] == reading.told[14:] and page.cut <= reading.told
        reading.told = page.cut if page.gap else ""
        self._stand(reading)
        if page.gap and not is_told:
            listener.gap(before, delivered[0].id if delivered else None)
        if delivered and reading in self._standing.get(reading.marker, ()):  # it may have ended that
            listener.deliver(delivered)

    def _fail(self, reading: _Reading, reason: str) -> None:
        self.drop(reading)
        reading.listener.failed(reason)


@implementer(IQueueReaders)
class QueueReaders:
    """See :class:`~zaqar_gateway.interfaces.IQueueReaders`."""

    def __init__(self, storage: IStorage, clock: IReactorTime) -> None:
        self._storage = storage
        self._clock = clock
        self._shared: dict[Place, _Reader] = {}
        self._own: set[_Reader] = set()  # of those who see the messages otherwise

    def attach(
        self, place: Place, marker: str, listener: IQueueListener, messages: IMessageStore | None = None
    ) -> IReading:
        """See :class:`~zaqar_gateway.interfaces.IQueueReaders`."""
        if messages is not None:
            reader = self._reader(place, messages, lambda: self._own.discard(reader))
            self._own.add(reader)
        elif place in self._shared:
            reader = self._shared[place]
        else:
            store = self._storage.topic_messages if place.is_topic else self._storage.messages
            reader = self._shared[place] = self._reader(place, store, lambda: self._shared.pop(place))
        return reader.add(marker, listener)

    def _reader(self, place: Place, messages: IMessageStore, closed: Callable[[], object]) -> _Reader:
        return _Reader(place, messages, self._clock, partial(self._storage.doorbells.watch, place), closed)

    def stop(self) -> None:
        """Read no more."""
        for reader in (*self._shared.values(), *self._own):
            reader.stop()
        self._shared.clear()
        self._own.clear()
