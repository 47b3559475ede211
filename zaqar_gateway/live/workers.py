"""Workers: sockets for which messages are claimed as they come."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Iterable, Sequence
from functools import partial
from typing import Any, TypeVar

from twisted.internet.defer import Deferred, DeferredList
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import LoopingCall, deferLater
from twisted.logger import Logger
from zope.interface import implementer

from zaqar_gateway.errors import ClaimMismatch, GatewayError, MessageClaimed, StoreError, StoreFault
from zaqar_gateway.interfaces import IClaimStore, IListener, ILiveSubscription, IMessageStore
from zaqar_gateway.live import frames
from zaqar_gateway.model import Message, Place, WorkTerms

_log = Logger()

T = TypeVar("T")

LOOK_S = 1.0
"""How often it is looked whether there is something to claim though nobody rings: a claim may have lapsed, a delay ended."""

LIVE_S = 5.0
"""How often it is looked whether the claims of a worker without room are still there: they may have ended elsewhere."""

SHARE = 20
"""So many messages are claimed for a worker before the next one has its turn."""

_REMEMBERED = 2
"""Of so many windows of messages that were handed out last it is known, though they are done, when they were."""

_ASKED_AT_ONCE = 50
_LOOKED_AT_ONCE = 500
_RENEWALS = 3
_RELEASE_AGAIN_S, _RELEASE_AGAIN_MAX_S = 0.5, 5.0


@implementer(ILiveSubscription)
class Worker:
    """A listener for which messages are claimed.

    :param messages: as the listener is to see them.
    :param claims: likewise.
    :param store: claims as they are, for renewing them and giving them back.
    :param over: called, once, with a reason, when it has to end.
    :param ring: has it looked whether there is something to claim.
    """

    is_worker = True

    def __init__(
        self,
        place: Place,
        terms: WorkTerms,
        listener: IListener,
        messages: IMessageStore,
        claims: IClaimStore,
        store: IClaimStore,
        clock: IReactorTime,
        over: Callable[[str], None],
        ring: Callable[[], None],
    ) -> None:
        self.listener = listener
        self._place = place
        self._at = place.project, place.name
        self._terms = terms
        self._window = terms.window
        self._messages = messages
        self._claims = claims
        self._store = store
        self._clock = clock
        self._over = over
        self._ring = ring
        self._held: dict[str, str] = {}  # messages, and their claims
        self._numbers: dict[str, int] = {}  # of what is held, and of what was lately: in which order it was handed out
        self._last = 0
        self._waits = False
        self._is_ended = False
        self._renewals = LoopingCall(lambda: Deferred.fromCoroutine(self._renew()))
        self._renewals.clock = clock
        self._renewals.start(terms.ttl_s / _RENEWALS, now=False).addErrback(
            lambda failure: _log.failure("claims of a worker are not renewed", failure)
        )
        self._looks = LoopingCall(lambda: Deferred.fromCoroutine(self._look()))
        self._looks.clock = clock
        self._looks.start(LIVE_S, now=False).addErrback(
            lambda failure: _log.failure("it is not looked whether claims of a worker have ended", failure)
        )

    def end(self) -> Coroutine[Any, Any, None]:
        """Claim nothing more, and give back what is held."""
        self._is_ended = True
        for timer in (self._renewals, self._looks):
            if timer.running:
                timer.stop()
        held, self._held = self._held, {}
        return self._give_back(list(held.values()))

    # -- claiming ------------------------------------------------------------------------------------------------------

    @property
    def room(self) -> int:
        """How many messages may be claimed for it now."""
        if self._is_ended or len(self._held) >= self._window:
            return 0
        if not self.listener.takes:
            if not self._waits:
                self._waits = True
                self.listener.when_takes(self._takes_again)
            return 0
        return self._window - len(self._held)

    def _takes_again(self) -> None:
        self._waits = False
        self._ring()

    async def claim(self) -> int:
        """Claim as many messages as there is room for, within its share.

        :return: how many.
        :raises StoreError: the store did not do it.
        """
        limit = min(self.room, SHARE)
        try:
            claimed = await self._claims.create_each(*self._at, self._terms.ttl_s, self._terms.grace_s, limit)
        except StoreError:
            raise
        except GatewayError as error:  # a message filter refuses
            if not self._is_ended:
                self._over(str(error))
            return 0
        if self._is_ended:
            await self._give_back([one.claim_id or "" for one in claimed])
        elif claimed:
            self._hand_out(claimed)
        return len(claimed)

    def _hand_out(self, claimed: Sequence[Message]) -> None:
        for one in claimed:
            self._last += 1
            self._held[one.id], self._numbers[one.id] = one.claim_id or "", self._last
        most = _REMEMBERED * self._window
        if len(self._numbers) > 2 * most:
            oldest = self._last - most
            self._numbers = {each: at for each, at in self._numbers.items() if at > oldest or each in self._held}
        self.listener.push(*(frames.task(self._place, one) for one in claimed))

    async def _renew(self) -> None:
        """Renew the claims; a message whose claim is gone was deleted, or is somebody else's by now."""
        for part in _slices(list(self._held.items())):
            # What was given back while another slice was waited for has a claim that is to lapse when the worker said.
            some = [(message_id, claim) for message_id, claim in part if self._held.get(message_id) == claim]
            renewed = await _together(self._renew_one(claim) for _, claim in some)
            self._lost(each for each, is_live in zip(some, renewed, strict=True) if not is_live)
        self._ring()

    async def _renew_one(self, claim_id: str) -> bool:
        try:
            return await self._store.update(*self._at, claim_id, self._terms.ttl_s, self._terms.grace_s)
        except StoreError as error:  # there are more tries before it lapses
            _log.debug("a claim of a worker was not renewed: {why}", why=str(error))
            return True

    async def _look(self) -> None:
        """See that claims which ended elsewhere take no room: messages may be deleted or purged, claims released, by whatever way."""
        if len(self._held) < self._window:
            return  # it gets what comes
        try:
            for some in _slices(list(self._held.items()), _LOOKED_AT_ONCE):
                live = set(await self._store.live(*self._at, [claim for _, claim in some]))
                self._lost(each for each in some if each[1] not in live)
        except StoreError as error:  # the next look, or renewal, finds out
            _log.debug("it is not known whether claims of a worker have ended: {why}", why=str(error))
        self._ring()

    def _lost(self, some: Iterable[tuple[str, str]]) -> None:
        """Messages are not claimed for this worker any more, unless they are again."""
        for message_id, claim in some:
            if self._held.get(message_id) == claim:
                del self._held[message_id]

    async def _give_back(self, claims: Sequence[str]) -> None:
        lapse_s = self._clock.seconds() + self._terms.ttl_s
        for some in _slices(claims):
            await _together(self._release(claim, lapse_s) for claim in some)

    async def _release(self, claim_id: str, lapse_s: float) -> None:
        """Release a claim, however long the store is away; it lapses by an instant."""
        pause_s = 0.0
        while self._clock.seconds() < lapse_s:
            try:
                await self._store.release(*self._at, claim_id)
            except StoreError as error:
                _log.debug("a claim of a worker is not released yet: {why}", why=str(error))
                pause_s = min(pause_s + _RELEASE_AGAIN_S, _RELEASE_AGAIN_MAX_S)
                await deferLater(self._clock, pause_s)
            else:
                return

    # -- what the worker says ------------------------------------------------------------------------------------------

    def _known(self, ids: Iterable[str]) -> list[tuple[str, str]]:
        return [(each, self._held[each]) for each in dict.fromkeys(ids) if each in self._held]

    async def acknowledge(self, ids: Sequence[str]) -> int:
        """See :class:`~zaqar_gateway.interfaces.ILiveSubscription`: the messages are deleted."""
        count = 0
        for some in _slices(self._known(ids)):
            count += sum(await _together(self._delete(*each) for each in some))
        self._ring()
        return count

    async def _delete(self, message_id: str, claim_id: str) -> bool:
        try:
            await self._messages.delete(*self._at, message_id, claim_id)
        except (ClaimMismatch, MessageClaimed):
            is_done = False  # the claim has lapsed
        else:
            is_done = True
        self.deleted(message_id)
        return is_done

    def up_to(self, message_id: str) -> Sequence[str]:
        """See :class:`~zaqar_gateway.interfaces.ILiveSubscription`."""
        number = self._numbers.get(message_id, -1)
        return [each for each in self._held if self._numbers.get(each, 0) <= number]

    async def refuse(self, ids: Sequence[str], delay_s: int) -> int:
        """See :class:`~zaqar_gateway.interfaces.ILiveSubscription`: the claims end, or lapse when the delay is over."""
        known = self._known(ids)
        for some in _slices(known):
            await _together(self._refuse(*each, delay_s) for each in some)
        self._ring()
        return len(known)

    async def _refuse(self, message_id: str, claim_id: str, delay_s: int) -> None:
        self._held.pop(message_id, None)  # it is renewed no more
        try:
            if delay_s:
                await self._store.update(*self._at, claim_id, delay_s, self._terms.grace_s)
            else:
                await self._store.release(*self._at, claim_id)
        except StoreError:
            if not self._is_ended:
                self._held.setdefault(message_id, claim_id)
            raise

    async def extend(self, ids: Sequence[str], deadline_s: int) -> int:
        """See :class:`~zaqar_gateway.interfaces.ILiveSubscription`: claims are renewed anyway."""
        return len(self._known(ids))

    def resize(self, window: int) -> None:
        """See :class:`~zaqar_gateway.interfaces.ILiveSubscription`."""
        self._window = window
        self._ring()

    def deleted(self, message_id: str) -> None:
        """A message has left its claim."""
        if self._held.pop(message_id, None) is not None:
            self._ring()

    def released(self, claim_id: str) -> None:
        """A claim has ended."""
        for message_id in [each for each, claim in self._held.items() if claim == claim_id]:
            self.deleted(message_id)


async def _together(works: Iterable[Coroutine[Any, Any, T]]) -> list[T]:
    """Do several things that ask the store at one time; what the first one raised is raised when all have ended."""
    results: list[tuple[bool, Any]] = await DeferredList([Deferred.fromCoroutine(work) for work in works], consumeErrors=True)
    for is_done, result in results:
        if not is_done:
            raise result.value
    return [result for _, result in results]


def _slices(items: Sequence[T], size: int = _ASKED_AT_ONCE) -> Iterable[Sequence[T]]:
    return (items[at : at + size] for at in range(0, len(items), size))


class Shift:
    """The workers of one queue, who have their turn one after the other.

    :param watch: has a function called whenever there may be something new; returns what ends that.
    """

    def __init__(
        self, place: Place, clock: IReactorTime, watch: Callable[[Callable[[], None]], Callable[[], None]]
    ) -> None:
        self._place = place
        self._row: list[Worker] = []
        self._is_claiming = self._is_rung = False
        self._timer = LoopingCall(self.ring)
        self._timer.clock = clock
        self._timer.start(LOOK_S, now=False).addErrback(
            partial(_log.failure, "it is not looked for messages to claim")
        )
        self._end_watch = watch(self.ring)

    def add(self, worker: Worker) -> None:
        """Have a worker have its turn."""
        self._row.append(worker)
        self.ring()

    def remove(self, worker: Worker) -> bool:
        """Have it no more.

        :return: whether there is nobody left; then this is of no use any more.
        """
        self._row.remove(worker)
        if not self._row:
            self._end_watch()
            self._timer.stop()
        return not self._row

    def ring(self) -> None:
        """There may be something to claim, or room for it."""
        self._is_rung = True
        if not self._is_claiming and any(worker.room for worker in self._row):
            Deferred.fromCoroutine(self._claim_all()).addErrback(partial(_log.failure, "nothing is claimed for workers"))

    async def _claim_all(self) -> None:
        self._is_claiming = True
        try:
            while self._is_rung:
                self._is_rung = False
                while (worker := next((one for one in self._row if one.room), None)) is not None:
                    if not await worker.claim():
                        break
                    if worker in self._row:  # it has had its turn
                        self._row.remove(worker)
                        self._row.append(worker)
        except StoreFault as error:
            _log.error("cannot claim messages of {place}: {why}", place=self._place, why=error.cause or str(error))
        except StoreError as error:  # the next ring, or the timer, goes on
            _log.debug("workers of {place} wait: {why}", place=self._place, why=str(error))
        finally:
            self._is_claiming = False
