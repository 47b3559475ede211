"""A store that bounds what each project has in all its queues and topics together.

A step sees one queue: the others of the project are in other slots.  So each process counts what a project
has, every few seconds while it stores something, and adds what it lets in itself.  A count takes as long as the project has queues; it
runs for a twentieth of the time at most.

What other processes let in is seen with the next count, and so is what left.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator, Sequence
from contextlib import suppress
from itertools import count
from typing import NamedTuple

from attrs import define, field
from msgspec.structs import replace
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from twisted.python.components import proxyForInterface
from zope.interface import implementer

from zaqar_gateway.errors import GatewayError, QuotaExceeded, StoreError, StoreUnavailable
from zaqar_gateway.interfaces import IMessageStore, IQueueStore, IStorage, ISubscriptionStore
from zaqar_gateway.model import NewPost, NewSubscription, Placed, Replayed, Volume

COUNT_S = 2.0
_SHARE = 20
"""How long a count holds: so many seconds, or so many times as long as it took."""

COUNTED = frozenset(("message_post",))
"""The operations that may wait for a count.  On a WebSocket each has to run alone, to keep the order."""

_REMEMBERED = 10_000

_log = Logger()


class Amounts(NamedTuple):
    """Numbers of messages, of bytes of their bodies as they are stored, and of subscriptions."""

    messages: int = 0
    bytes: int = 0
    subscriptions: int = 0

    def plus(self, other: Amounts, times: int = 1) -> Amounts:
        """The sum, or with -1 the difference."""
        return Amounts(*(mine + times * its for mine, its in zip(self, other, strict=True)))


_NOUNS = ("messages", "bytes of messages", "subscriptions")
_ONE_SUBSCRIPTION = Amounts(subscriptions=1)


@define(eq=False)
class _Known:
    """What a project has, as far as it is known.

    :ivar is_counted: whether there was a count.
    :ivar since: what was let in since the last count began.
    :ivar begun: the number of the last count that began.
    :ivar counted: the number of the last one that succeeded.
    :ivar again_s: when to count again.
    :ivar waiting: who waits for the count under way; ``None``: there is none.
    """

    has: Amounts = Amounts()
    is_counted: bool = False
    since: Amounts = Amounts()
    begun: int = 0
    counted: int = 0
    again_s: float = 0.0
    waiting: list[Deferred[None]] | None = None


@define(eq=False)
class Totals:
    """The totals of projects.

    :param queues: all that counts: queues, and topics.
    :param subscriptions: of both.
    :param most: what there may be; 0: any number.
    """

    _queues: Sequence[IQueueStore]
    _subscriptions: Sequence[ISubscriptionStore]
    _most: Amounts
    _clock: IReactorTime
    _projects: OrderedDict[str, _Known] = field(init=False, factory=OrderedDict)
    _numbers: Iterator[int] = field(init=False, factory=lambda: count(1))

    async def take(self, project: str, more: Amounts) -> int:
        """Let something be stored.

        :return: the number of the last count that has begun, for :meth:`give_back`.
        :raises QuotaExceeded: the project would have more than it may have.
        """
        known = self._known(project)
        if known.waiting is None and self._clock.seconds() >= known.again_s:
            known.waiting = []
            Deferred.fromCoroutine(self._count(project, known)).addErrback(
                lambda failure: _log.failure("a project was not counted", failure)
            )
        if not known.is_counted or self._excess(known, more):
            await self._counted(known)
            if excess := self._excess(known, more):
                raise QuotaExceeded(f"The project may have at most {excess} in all, which this would exceed.")
        known.has = known.has.plus(more)
        known.since = known.since.plus(more)
        return known.begun

    def give_back(self, project: str, less: Amounts, begun: int) -> None:
        """What was let in was not stored.  A count that began after that, and has an outcome, has not found it, so that there is nothing to
        take off.

        :param begun: what :meth:`take` has returned.
        """
        known = self._known(project)
        if begun == known.begun:
            known.since = known.since.plus(less, -1)
        if begun >= known.counted:
            known.has = known.has.plus(less, -1)

    def _known(self, project: str) -> _Known:
        known = self._projects.setdefault(project, _Known())
        self._projects.move_to_end(project)
        if len(self._projects) > _REMEMBERED:
            self._projects.popitem(last=False)
        return known

    def _excess(self, known: _Known, more: Amounts) -> str:
        """What there would be too much of, with its bound; empty where there would not."""
        for most, has, added, noun in zip(self._most, known.has, more, _NOUNS, strict=True):
            if added and 0 < most < has + added:
                return f"{most} {noun}"
        return ""

    async def _counted(self, known: _Known) -> None:
        """Wait for the count under way, if there is one."""
        if known.waiting is not None:
            mine: Deferred[None] = Deferred()
            known.waiting.append(mine)
            await mine

    async def _count(self, project: str, known: _Known) -> None:
        began_s = self._clock.seconds()
        known.since, known.begun = Amounts(), next(self._numbers)
        try:
            found = await self._found(project)
        except StoreError as error:
            _log.debug("a project was not counted: {why}", why=str(error))  # its post has the same trouble, and says so
        else:
            known.has = found.plus(known.since)
            known.is_counted, known.counted = True, known.begun
        finally:
            now_s = self._clock.seconds()
            known.again_s = now_s + max(COUNT_S, _SHARE * (now_s - began_s))
            waiting, known.waiting = known.waiting or [], None
            for each in waiting:
                each.callback(None)

    async def _found(self, project: str) -> Amounts:
        found = Amounts()
        if self._most.messages or self._most.bytes:
            for queues in self._queues:
                usage = await queues.usage(project)
                found = found.plus(Amounts(usage.messages, usage.bytes))
        if self._most.subscriptions:
            for subscriptions in self._subscriptions:
                found = found.plus(Amounts(subscriptions=await subscriptions.count(project)))
        return found


def _may_be_stored(error: GatewayError) -> bool:
    return isinstance(error, StoreUnavailable) and error.outcome_unknown


@implementer(IMessageStore)
@define(eq=False)
class BoundedMessages(proxyForInterface(IMessageStore, "_store")):  # type: ignore[misc]
    """Messages of :class:`BoundedStorage`."""

    _store: IMessageStore
    _totals: Totals

    async def post(self, project: str, queue: str, new: NewPost) -> list[str]:
        more = Amounts(len(new.messages), sum(len(one.body) for one in new.messages))
        try:
            begun = await self._totals.take(project, more)
        except QuotaExceeded:
            if new.once is not None and "" not in new.once.keys:
                # What was posted before takes no room.  With room for no key nothing is stored.
                with suppress(GatewayError):
                    known = replace(new, create=False, once=replace(new.once, most=0))
                    return await self._store.post(project, queue, known)
            raise
        try:
            ids = await self._store.post(project, queue, new)
        except GatewayError as error:
            if not _may_be_stored(error):
                self._totals.give_back(project, more, begun)
            raise
        if isinstance(ids, Replayed):
            self._totals.give_back(project, more, begun)
        return ids


@implementer(ISubscriptionStore)
@define(eq=False)
class BoundedSubscriptions(proxyForInterface(ISubscriptionStore, "_store")):  # type: ignore[misc]
    """Subscriptions of :class:`BoundedStorage`."""

    _store: ISubscriptionStore
    _totals: Totals

    async def create(self, project: str, queue: str, new: NewSubscription) -> Placed:
        try:
            begun = await self._totals.take(project, _ONE_SUBSCRIPTION)
        except QuotaExceeded:
            if await self._store.has(project, queue, new.subscriber):
                return await self._store.create(project, queue, new)  # it stays as it is, and may be owed a notice again
            raise
        try:
            placed = await self._store.create(project, queue, new)
        except GatewayError as error:
            if not _may_be_stored(error):
                self._totals.give_back(project, _ONE_SUBSCRIPTION, begun)
            raise
        if not placed.is_new:
            self._totals.give_back(project, _ONE_SUBSCRIPTION, begun)
        return placed


@implementer(IStorage)
class BoundedStorage:
    """A store within such bounds, around one that keeps it.

    :param most: what a project may have; 0: any number.
    """

    def __init__(self, store: IStorage, most: Amounts, clock: IReactorTime) -> None:
        self._store = store
        of_subscriptions = store.subscriptions, store.topic_subscriptions
        totals = Totals((store.queues, store.topics), of_subscriptions, most, clock)
        self.queues = store.queues
        self.messages = BoundedMessages(store.messages, totals)
        self.claims = store.claims
        self.dead_letters = store.dead_letters
        self.topics = store.topics
        self.topic_messages = BoundedMessages(store.topic_messages, totals)
        self.subscriptions, self.topic_subscriptions = (BoundedSubscriptions(each, totals) for each in of_subscriptions)
        self.deliveries = store.deliveries
        self.durables = store.durables
        self.doorbells = store.doorbells
        self.rates = store.rates

    async def ping(self) -> None:
        await self._store.ping()

    async def secret(self, name: str, fresh: bytes) -> bytes:
        return await self._store.secret(name, fresh)

    async def volume(self) -> Volume:
        return await self._store.volume()
