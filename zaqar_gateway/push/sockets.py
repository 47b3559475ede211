"""Pushes what is posted to the sockets of this process.

One reader for each place serves all its sockets: it reads the log of posts from the oldest cursor among them, when the
doorbell rings and every few seconds in case a ring was lost.  A socket that does not read what it is pushed is left at its
cursor until it does.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import cached_property, partial

from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import LoopingCall, deferLater
from twisted.logger import Logger
from zope.interface import implementer

from zaqar_gateway.errors import StoreError, StoreFault
from zaqar_gateway.interfaces import IListener, IPushed, ISockets, IStorage, ISubscriptionStore
from zaqar_gateway.model import LogPage, Place, Post
from zaqar_gateway.push.membership import Membership
from zaqar_gateway.push.payload import notification, packed

_log = Logger()

READ_S = 5.0
PAGE = 100
END_AGAIN_S, END_AGAIN_MAX_S = 0.25, 5.0

_ASKED_AT_ONCE = 500
_ENDED_AT_ONCE = 50
_PUSHED_AT_ONCE = 500
_JOINED_MAX = 64 * 1024
"""Bytes of notifications after which it is looked again whether a socket takes more."""

TAKEN_FOR_DEAD = "The subscriptions of this connection have ended; connect and subscribe again."
MISSED = "Notifications were not sent before they were dropped; connect and subscribe again."
FAILED = "A notification could not be sent; connect and subscribe again."
"""Reasons for :meth:`~zaqar_gateway.interfaces.IListener.fail`."""


@implementer(IPushed)
class Pushed:
    """A notification, encoded when the first socket wants it."""

    def __init__(self, place: Place, post: Post) -> None:
        self._place = place
        self._post = post

    @cached_property
    def text(self) -> bytes:
        """See :class:`~zaqar_gateway.interfaces.IPushed`."""
        return notification(self._place, self._post)

    @cached_property
    def packed(self) -> bytes:
        """See :class:`~zaqar_gateway.interfaces.IPushed`."""
        return packed(self.text)


class _Attached:
    """A subscription of a listener.

    :ivar cursor: of the last post that was pushed, or passed over.
    :ivar version: of the log when the subscription was found to be live.
    :ivar waits: whether it is left at its cursor until its listener takes pushes again.
    """

    __slots__ = ("cursor", "id", "listener", "version", "waits")

    def __init__(self, subscription_id: str, cursor: str, listener: IListener) -> None:
        self.id = subscription_id
        self.cursor = cursor
        self.listener = listener
        self.version: int | None = None
        self.waits = False


class _Reader:
    """Reads the log of one place while somebody listens.

    :ivar attached: by subscription id.
    :param ended: called with a subscription that has ended.
    :param failed: called with a subscription whose listener cannot be served any more, and the reason.
    """

    def __init__(
        self,
        place: Place,
        store: ISubscriptionStore,
        clock: IReactorTime,
        ended: Callable[[_Attached], None],
        failed: Callable[[_Attached, str], None],
    ) -> None:
        self.attached: dict[str, _Attached] = {}
        self._place = place
        self._store = store
        self._clock = clock
        self._ended = ended
        self._failed = failed
        self._is_reading = self._is_rung = False
        self._read_to = ""  # the cursor up to which all was read
        self._timer = LoopingCall(self.ring)
        self._timer.clock = clock
        self._timer.start(READ_S, now=False).addErrback(
            lambda failure: _log.failure("a place is read on rings alone", failure)
        )

    def stop(self) -> None:
        """Read no more."""
        self.attached.clear()
        self._timer.stop()

    def join(self, attached: _Attached) -> None:
        """Serve one more; read at once only where it may miss something: a read looks at all of them, and thousands may come."""
        is_first = not self.attached
        self.attached[attached.id] = attached
        if is_first or attached.cursor < self._read_to:
            self.ring()

    def ring(self) -> None:
        """Read, and once more where that is under way already."""
        self._is_rung = True
        if not self._is_reading:
            Deferred.fromCoroutine(self._read_all()).addErrback(lambda failure: _log.failure("not pushed", failure))

    async def _read_all(self) -> None:
        self._is_reading = True
        try:
            while self._is_rung:
                self._is_rung = False
                while (taking := self._taking()) and await self._read(taking):
                    pass
        except StoreFault as error:
            _log.error("cannot push what is posted to {place}: {why}", place=self._place, why=error.cause or str(error))
        except StoreError as error:  # the next ring, or the timer, reads on
            _log.debug("pushes of {place} wait: {why}", place=self._place, why=str(error))
        finally:
            self._is_reading = False

    def _taking(self) -> list[_Attached]:
        """Those whose listeners take pushes; the others have the reading go on when theirs do again."""
        taking = []
        for attached in self.attached.values():
            if attached.waits:
                continue
            if attached.listener.takes:
                taking.append(attached)
            else:
                attached.waits = True
                attached.listener.when_takes(partial(self._takes_again, attached))
        return taking

    def _takes_again(self, attached: _Attached) -> None:
        attached.waits = False
        if self._has(attached):
            self.ring()

    async def _read(self, taking: Sequence[_Attached]) -> bool:
        """Push a page; tell whether more may follow."""
        cursor = min(attached.cursor for attached in taking)
        page = await self._store.read(self._place.project, self._place.name, cursor, PAGE)
        self._read_to = max(self._read_to, page.cursor)
        # Whoever came meanwhile with an older cursor is not served by this page.
        served = [attached for attached in self.attached.values() if attached.cursor >= cursor and not attached.waits]
        await self._drop_ended(served, page.version)
        if page.gap:
            # Others may have missed something too; reading from their own cursors tells.
            for attached in served:
                if attached.cursor == cursor and self._has(attached):
                    self._failed(attached, MISSED)
            return True
        lag = await self._push(served, page)
        return lag or page.cursor > cursor or any(attached.cursor < cursor for attached in self._taking())

    def _has(self, attached: _Attached) -> bool:
        return self.attached.get(attached.id) is attached

    async def _drop_ended(self, served: Sequence[_Attached], version: int) -> None:
        """Forget those whose subscriptions have ended; who was live at this version of the log is not asked for."""
        asked = [attached for attached in served if attached.version != version]
        for at in range(0, len(asked), _ASKED_AT_ONCE):
            some = asked[at : at + _ASKED_AT_ONCE]
            live = await self._store.live(self._place.project, self._place.name, [attached.id for attached in some])
            for attached in some:
                if attached.id in live:
                    attached.version = version
                elif self._has(attached):
                    self._ended(attached)

    async def _push(self, served: Sequence[_Attached], page: LogPage) -> bool:
        """Push a page; tell whether somebody did not take all of it."""
        count, lag = 0, False
        pushed = [(post.cursor, len(post.body), Pushed(self._place, post)) for post in page.posts]
        for attached in served:
            batch: list[Pushed] = []
            size = 0
            for cursor, length, one in pushed:
                if attached.cursor >= cursor:
                    continue
                batch.append(one)
                attached.cursor = cursor
                count += 1
                size += length
                if size >= _JOINED_MAX:
                    self._give(attached, batch)
                    batch, size = [], 0
                    if not attached.listener.takes:
                        break
            else:
                attached.cursor = max(attached.cursor, page.cursor)
            self._give(attached, batch)
            lag = lag or attached.cursor < page.cursor
            if count >= _PUSHED_AT_ONCE:
                count = 0
                await deferLater(self._clock, 0)  # others have their turn
        return lag

    def _give(self, attached: _Attached, batch: Sequence[Pushed]) -> None:
        if batch and self._has(attached):
            try:
                attached.listener.push(*batch)
            except Exception:
                _log.failure("a push failed")
                self._failed(attached, FAILED)


@implementer(ISockets)
class Sockets:
    """The subscriptions of the sockets of this process.

    :ivar name: of this process.
    """

    def __init__(self, storage: IStorage, membership: Membership, clock: IReactorTime) -> None:
        self.name = membership.gateway
        self._storage = storage
        self._clock = clock
        self._readers: dict[Place, tuple[_Reader, Callable[[], None]]] = {}  # and what ends the watch at the doorbell
        self._places: dict[IListener, dict[str, Place]] = {}  # of its subscriptions
        self._held: dict[str, Callable[[], None]] = {}  # of subscriptions that are delivered to elsewhere: tells of their end
        # Whose subscriptions have ended since the last beat: perhaps because the store took this process for dead.
        self._bereft: set[IListener] = set()
        self._ending: dict[str, Place] = {}  # subscriptions that have to end in the store
        self._is_ending = False
        membership.on_beat(self._beaten)

    @property
    def count(self) -> int:
        """How many subscriptions there are."""
        return sum(map(len, self._places.values()))

    def stop(self) -> None:
        """Push no more.  What is left of subscriptions ends when the process leaves."""
        for place in list(self._readers):
            self._close(place)
        self._places.clear()
        self._held.clear()
        self._bereft.clear()
        self._ending.clear()

    def add(self, place: Place, subscription_id: str, cursor: str, listener: IListener) -> None:
        """See :class:`~zaqar_gateway.interfaces.ISockets`."""
        if place not in self._readers:
            reader = _Reader(place, self._subscriptions(place), self._clock, self._ended, self._failed)
            self._readers[place] = reader, self._storage.doorbells.watch(place, reader.ring)
        reader, _ = self._readers[place]
        self._places.setdefault(listener, {})[subscription_id] = place
        reader.join(_Attached(subscription_id, cursor, listener))

    def hold(
        self, place: Place, subscription_id: str, listener: IListener, gone: Callable[[], None]
    ) -> Callable[[], None]:
        """See :class:`~zaqar_gateway.interfaces.ISockets`."""
        self._held[subscription_id] = gone
        self._places.setdefault(listener, {})[subscription_id] = place
        return partial(self._let_go, place, subscription_id, listener)

    def _let_go(self, place: Place, subscription_id: str, listener: IListener) -> None:
        if self._held.pop(subscription_id, None) is not None:
            mine = self._places[listener]
            del mine[subscription_id]
            if not mine:
                del self._places[listener]
            self._end_in_store({subscription_id: place})

    def gone(self, listener: IListener) -> None:
        """See :class:`~zaqar_gateway.interfaces.ISockets`."""
        found = self._places.pop(listener, {})
        self._bereft.discard(listener)
        for subscription_id, place in found.items():
            held = self._held.pop(subscription_id, None)
            if held is None:
                self._detach(place, subscription_id)
            else:
                held()
        self._end_in_store(found)

    def _end_in_store(self, found: Mapping[str, Place]) -> None:
        self._ending.update(found)
        if self._ending and not self._is_ending:
            Deferred.fromCoroutine(self._end()).addErrback(
                lambda failure: _log.failure("subscriptions of sockets were not ended", failure)
            )

    def _subscriptions(self, place: Place) -> ISubscriptionStore:
        return self._storage.topic_subscriptions if place.is_topic else self._storage.subscriptions

    def _detach(self, place: Place, subscription_id: str) -> None:
        reader, _ = self._readers[place]
        del reader.attached[subscription_id]
        if not reader.attached:
            self._close(place)

    def _close(self, place: Place) -> None:
        reader, end_watch = self._readers.pop(place)
        end_watch()
        reader.stop()

    def _ended(self, attached: _Attached) -> None:
        mine = self._places[attached.listener]
        place = mine.pop(attached.id)
        self._detach(place, attached.id)
        self._end_in_store({attached.id: place})  # it has ended there; what the store keeps of it for this process has not
        self._bereft.add(attached.listener)
        if not mine:
            del self._places[attached.listener]

    def _failed(self, attached: _Attached, reason: str) -> None:
        self._fail(attached.listener, reason)

    def _fail(self, listener: IListener, reason: str) -> None:
        self.gone(listener)
        listener.fail(reason)

    def _beaten(self, was_dead: bool) -> None:
        if was_dead and (self._places or self._bereft):
            _log.warn("the store had taken this gateway for dead; sockets with subscriptions are closed")
            for listener in {*self._places, *self._bereft}:
                self._fail(listener, TAKEN_FOR_DEAD)
        self._bereft.clear()

    async def _end(self) -> None:
        """End subscriptions in the store, some at one time, until it has done that."""
        self._is_ending = True
        wait_s = END_AGAIN_S
        try:
            while self._ending:
                some = list(self._ending.items())[:_ENDED_AT_ONCE]
                done = await gatherResults([Deferred.fromCoroutine(self._end_one(*each)) for each in some])
                if all(done):
                    wait_s = END_AGAIN_S
                else:
                    for subscription_id, _ in some:  # behind those that were not tried yet, of which other stores may be there
                        if (place := self._ending.pop(subscription_id, None)) is not None:
                            self._ending[subscription_id] = place
                    await deferLater(self._clock, wait_s)
                    wait_s = min(wait_s * 2, END_AGAIN_MAX_S)
        finally:
            self._is_ending = False

    async def _end_one(self, subscription_id: str, place: Place) -> bool:
        try:
            await self._subscriptions(place).delete(place.project, place.name, subscription_id)
        except StoreError as error:
            _log.debug("a subscription of a socket has not ended yet: {why}", why=str(error))
            return False
        self._ending.pop(subscription_id, None)
        return True
