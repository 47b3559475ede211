"""One live subscription: what a queue has for it, sent within its window, and sent again until it is done."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from functools import partial

from twisted.internet.defer import Deferred, DeferredLock
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.internet.task import deferLater
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from zaqar_gateway.errors import Conflict, GatewayError, RuleBroken, StoreError, StoreFault
from zaqar_gateway.interfaces import (
    IDelivered,
    IDurableStore,
    IListener,
    ILiveSubscription,
    IMessageStore,
    IQueueListener,
    IQueueReaders,
    IReading,
)
from zaqar_gateway.live import frames
from zaqar_gateway.live.outstanding import Outstanding
from zaqar_gateway.model import LiveTerms, Message, Place

_log = Logger()

HOLD_MS = 30_000
"""For how long a durable name stays held when its gateway says nothing any more."""

SURE_S = 5.0
"""For how long a durable name is taken for held by who was last told so.  Gateways that say nothing are taken for dead later than that."""

AGAIN_S, AGAIN_MAX_S = 0.25, 5.0
"""After what time something is asked of the store again that it could not do; twice as long each time."""

_AT_ONCE = 32
"""The most messages that are sent again at one time."""

_ANY_NUMBER = 1000

LULL_S = 0.01
"""For how long nothing is read for little room in a window, so that who acknowledges one by one does not cost a read each."""

_LITTLE = 8  # a window with less room than this part of it has little

TAKEN_OVER = "taken over"
"""The reason of an end: somebody else has attached the durable name, or it was deleted."""


class Held:
    """A durable name, held.

    :ivar owner: the token under which.
    :ivar asked_s: when the store was last asked something of it and said that it is held.
    """

    def __init__(self, store: IDurableStore, place: Place, name: str, owner: str, clock: IReactorTime) -> None:
        self.name = name
        self.owner = owner
        self.asked_s = clock.seconds()
        self._store = store
        self._at = place.project, place.name, name, owner
        self._clock = clock

    @property
    def is_sure(self) -> bool:
        """Whether it was said just now that it is held."""
        return self._clock.seconds() < self.asked_s + SURE_S

    async def advance(self, step: int, marker: str, ids: Sequence[str]) -> bool:
        """See :meth:`~zaqar_gateway.interfaces.IDurableStore.advance`."""
        return await self._noted(self._store.advance(*self._at, step, marker, ids, hold_ms=HOLD_MS))

    async def acknowledge(self, ids: Sequence[str]) -> bool:
        """See :meth:`~zaqar_gateway.interfaces.IDurableStore.acknowledge`."""
        return await self._noted(self._store.acknowledge(*self._at, ids, hold_ms=HOLD_MS))

    async def renew(self) -> bool:
        """Say that it is still held; whether it is."""
        project, queue, name, owner = self._at
        return await self._noted(self._store.renew(project, queue, [(name, owner)], hold_ms=HOLD_MS))

    async def _noted(self, answer: Awaitable[object]) -> bool:
        asked_s = self._clock.seconds()
        is_held = bool(await answer)
        if is_held:
            self.asked_s = asked_s
        return is_held

    async def detach(self) -> None:
        """See :meth:`~zaqar_gateway.interfaces.IDurableStore.detach`."""
        await self._store.detach(*self._at)


@implementer(IQueueListener, ILiveSubscription)
class Subscriber:
    """A live subscription of a listener.

    :param messages: as the listener is to see them.
    :param held: its durable name, if any.
    :param pending: ids of what an earlier connection was given under that name and is not done.
    :param over: called, once, with a reason, when it has to end.
    """

    is_worker = False

    def __init__(
        self,
        place: Place,
        terms: LiveTerms,
        listener: IListener,
        messages: IMessageStore,
        held: Held | None,
        pending: Sequence[str],
        clock: IReactorTime,
        over: Callable[[str], None],
    ) -> None:
        self.listener = listener
        self.held = held
        self._place = place
        self._skip_client = terms.skip_client
        self._messages = messages
        self._clock = clock
        self._over = over
        self._is_acknowledged = terms.window is not None
        # Who acknowledges nothing has none, save for what is pending from before, until that is sent.
        self._outstanding: Outstanding | None = None
        if self._is_acknowledged or pending:
            self._outstanding = Outstanding(terms.window or _ANY_NUMBER, terms.deadline_s)
            self._outstanding.begin(pending)
        self._after: str | None = None  # the last of what was pending that was sent here
        self._reading: IReading | None = None
        self._timer: IDelayedCall | None = None
        self._lull: IDelayedCall | None = None
        self._is_busy = False  # with the store
        self._stepping = DeferredLock()  # one step is over before the next, though a gap is told while one is tried again
        self._steps = 0
        self._waits = False  # for the listener to take pushes
        self._is_ended = False

    def begin(self, readers: IQueueReaders, marker: str, own: bool) -> None:
        """Begin to deliver.

        :param own: whether the messages are seen as nobody else sees them.
        """
        self._reading = readers.attach(self._place, marker, self, self._messages if own else None)
        self._go_on()

    def end(self) -> None:
        """Deliver nothing more."""
        self._is_ended = True
        if self._reading is not None:
            self._reading.end()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._end_lull()

    # -- what comes from the queue -------------------------------------------------------------------------------------

    @property
    def wants(self) -> int:
        """See :class:`~zaqar_gateway.interfaces.IQueueListener`."""
        if self._is_busy or self._lull is not None or not self._takes():
            return 0
        return _ANY_NUMBER if self._outstanding is None else self._outstanding.room_for_new

    def _takes(self) -> bool:
        """Whether the listener takes pushes; if not, go on when it does."""
        if self._is_ended or self.listener.takes:
            return not self._is_ended
        if not self._waits:
            self._waits = True
            self.listener.when_takes(self._takes_again)
        return False

    def _takes_again(self) -> None:
        self._waits = False
        self._go_on()

    def deliver(self, messages: Sequence[IDelivered]) -> None:
        """See :class:`~zaqar_gateway.interfaces.IQueueListener`."""
        assert self._reading is not None
        mine = [one for one in messages if not self._skip_client or one.client != self._skip_client]
        if self.held is None:
            self._send(mine)
        elif self._outstanding is None:
            self._send(mine)
            self._keep_place(self.held, self._reading.marker, [])
        else:
            # It has to be known that they may have been sent before they are.
            self._keep_place(self.held, self._reading.marker, mine)

    def gap(self, after: str, continues_at: str | None) -> None:
        """See :class:`~zaqar_gateway.interfaces.IQueueListener`."""
        assert self._reading is not None
        self.listener.push(frames.gap(self._place, after, continues_at))
        if self.held is not None and continues_at is None:
            self._keep_place(self.held, self._reading.marker, [])

    def failed(self, reason: str) -> None:
        """See :class:`~zaqar_gateway.interfaces.IQueueListener`."""
        self._over(reason)

    def _send(self, messages: Sequence[IDelivered]) -> None:
        if self._outstanding is not None:
            now_s = self._clock.seconds()
            for one in messages:
                self._outstanding.send(one.id, now_s)
        if messages:
            self.listener.push(*messages)
        self._plan()

    def _keep_place(self, held: Held, marker: str, messages: Sequence[IDelivered]) -> None:
        self._do(self._advance(held, marker, messages))

    async def _advance(self, held: Held, marker: str, messages: Sequence[IDelivered]) -> None:
        """Note where a durable name stands now, and send what is on the way there."""
        async with self._stepping:
            self._steps += 1
            is_held = await self._until_done(partial(held.advance, self._steps, marker, [one.id for one in messages]))
        if not self._is_ended:
            if is_held:
                self._send(messages)
            else:
                self._over(TAKEN_OVER)

    async def _until_done(self, ask: Callable[[], Awaitable[bool]]) -> bool:
        """Ask the store until it answers, or this has ended."""
        wait_s = AGAIN_S
        while not self._is_ended:
            try:
                return await ask()
            except StoreError as error:
                self._told(error)
            await deferLater(self._clock, wait_s)
            wait_s = min(2 * wait_s, AGAIN_MAX_S)
        return False

    def _told(self, error: StoreError) -> None:
        if isinstance(error, StoreFault):
            _log.error("a live subscription to {place} waits: {why}", place=self._place, why=error.cause or str(error))
        else:
            _log.debug("a live subscription to {place} waits: {why}", place=self._place, why=str(error))

    # -- what comes again ----------------------------------------------------------------------------------------------

    def _go_on(self) -> None:
        """Do what can be done now: first what comes again, then what is new."""
        if self._is_ended:
            return
        if self._outstanding is not None and not self._is_busy:
            self._outstanding.settle(self._clock.seconds())
            ids = self._outstanding.again(_AT_ONCE)
            if ids and self._takes():
                self._do(self._send_again(self._outstanding, ids))
        self._plan()
        if self._reading is not None:
            self._reading.resume()

    def _do(self, work: Awaitable[None]) -> None:
        """Do something that asks the store; nothing else is sent meanwhile."""
        self._is_busy = True

        async def run() -> None:
            try:
                await work
            finally:
                self._is_busy = False
            self._go_on()

        Deferred.fromCoroutine(run()).addErrback(self._crashed)

    def _crashed(self, failure: Failure) -> None:
        _log.failure("a live subscription failed", failure)
        if not self._is_ended:
            self._over("A message could not be delivered.")

    def _plan(self) -> None:
        """Have time bring what it brings next."""
        if self._is_busy:
            return  # and done when it is not any more
        next_s = None if self._outstanding is None or self._is_ended else self._outstanding.next_s()
        if self._timer is not None:
            if next_s is not None and self._timer.getTime() <= next_s:
                return  # it may come for nothing
            self._timer.cancel()
            self._timer = None
        if next_s is not None:
            self._timer = self._clock.callLater(max(0.0, next_s - self._clock.seconds()), self._due)

    def _due(self) -> None:
        self._timer = None
        self._go_on()

    async def _send_again(self, outstanding: Outstanding, ids: Sequence[str]) -> None:
        if self.held is not None and not self.held.is_sure and not await self._until_done(self.held.renew):
            if not self._is_ended:  # who holds the name now may have done with them
                self._over(TAKEN_OVER)
            return
        try:
            found = {one.id: one for one in await self._get(ids)}
            more, continues_at = list[str](), None
            if ids[-1] not in found and outstanding.is_unseen(ids[-1]):  # it is told where that gap ends
                more, continues_at = await self._behind(outstanding, ids[-1])
        except StoreError as error:
            self._told(error)
            await deferLater(self._clock, AGAIN_S)
            return
        except GatewayError as error:  # a message filter refuses
            if not self._is_ended:
                self._over(str(error))
            return
        if self._is_ended:
            return
        batch: list[frames.Frame] = []
        is_gap = False
        now_s = self._clock.seconds()
        for message_id in ids:
            if not outstanding.is_ready(message_id):
                continue  # it is done by now
            message, is_unseen = found.get(message_id), outstanding.is_unseen(message_id)
            if message is None:
                is_gap = is_gap or is_unseen  # of what was sent here nothing more is told
                continue
            if is_unseen:
                if is_gap:
                    batch.append(frames.gap(self._place, self._after, message_id))
                    is_gap = False
                self._after = message_id
            outstanding.send(message_id, now_s)
            batch.append(frames.redelivered(self._place, message))
        if is_gap:
            batch.append(frames.gap(self._place, self._after, continues_at))
        if batch:
            self.listener.push(*batch)
        over = [one for one in ids if one not in found] if self._is_acknowledged else ids
        await self._done_with(outstanding, [*over, *more])

    async def _get(self, ids: Sequence[str]) -> Sequence[Message]:
        return await self._messages.get(self._place.project, self._place.name, ids)

    async def _behind(self, outstanding: Outstanding, message_id: str) -> tuple[list[str], str | None]:
        """What is behind a message that is gone: those that are gone as well, and the one that follows, if any."""
        gone: list[str] = []
        while ids := outstanding.ready_behind(gone[-1] if gone else message_id, _AT_ONCE):
            there = {one.id for one in await self._get(ids)}
            for each in ids:
                if each in there:
                    return gone, each
                gone.append(each)
        assert self._reading is not None
        page = await self._messages.read(self._place.project, self._place.name, self._reading.marker, 1)
        return gone, page.posted[0].message.id if page.posted else None

    async def _done_with(self, outstanding: Outstanding, ids: Sequence[str]) -> None:
        """Messages do not come again: they are gone, or nobody acknowledges them."""
        outstanding.done(ids)
        if not self._is_acknowledged and not len(outstanding):
            self._outstanding = None
        if self.held is not None and ids and not await self._until_done(partial(self.held.acknowledge, ids)):
            if not self._is_ended:
                self._over(TAKEN_OVER)

    # -- what the subscriber says --------------------------------------------------------------------------------------

    def _acknowledged(self) -> Outstanding:
        if self._outstanding is None or not self._is_acknowledged:
            raise RuleBroken("The subscription has no acknowledgements; it has to be made with acknowledge explicit.")
        return self._outstanding

    async def acknowledge(self, ids: Sequence[str]) -> int:
        """See :class:`~zaqar_gateway.interfaces.ILiveSubscription`."""
        outstanding = self._acknowledged()
        known = outstanding.known(ids)
        if self.held is not None and known and not await self.held.acknowledge(known):
            if not self._is_ended:
                self._over(TAKEN_OVER)
            raise taken_over(self._place)
        count = outstanding.done(known)
        self._made_room(outstanding)
        return count

    def _made_room(self, outstanding: Outstanding) -> None:
        """Go on, a little later where there is little room."""
        if outstanding.room_for_new >= outstanding.window // _LITTLE:
            self._end_lull()
            self._go_on()
        elif self._lull is None and not self._is_ended:
            self._lull = self._clock.callLater(LULL_S, self._lulled)

    def _lulled(self) -> None:
        self._lull = None
        self._go_on()

    def _end_lull(self) -> None:
        if self._lull is not None:
            self._lull.cancel()
            self._lull = None

    def up_to(self, message_id: str) -> Sequence[str]:
        """See :class:`~zaqar_gateway.interfaces.ILiveSubscription`."""
        return self._acknowledged().up_to(message_id)

    async def refuse(self, ids: Sequence[str], delay_s: int) -> int:
        """See :class:`~zaqar_gateway.interfaces.ILiveSubscription`."""
        count = self._acknowledged().refuse(ids, delay_s, self._clock.seconds())
        self._go_on()
        return count

    async def extend(self, ids: Sequence[str], deadline_s: int) -> int:
        """See :class:`~zaqar_gateway.interfaces.ILiveSubscription`."""
        count = self._acknowledged().extend(ids, deadline_s, self._clock.seconds())
        self._plan()
        return count

    def resize(self, window: int) -> None:
        """See :class:`~zaqar_gateway.interfaces.ILiveSubscription`."""
        self._acknowledged().window = window
        self._go_on()


def taken_over(place: Place) -> Conflict:
    """What the former holder of a durable name is told."""
    return Conflict(f"The durable name in queue {place.name} was attached by another connection, or deleted.")
