"""The store as a whole."""

from __future__ import annotations

from collections.abc import Callable

from twisted.internet.interfaces import IReactorTime
from zope.interface import implementer

from zaqar_gateway.interfaces import (
    IClaimStore,
    IDeadLetterStore,
    IDeliveryStore,
    IDoorbells,
    IDurableStore,
    IMessageStore,
    IQueueStore,
    IRates,
    IStorage,
    ISubscriptionStore,
)
from zaqar_gateway.model import LogBounds, Quotas, Volume
from zaqar_gateway.storage import ids
from zaqar_gateway.storage.memory.deliveries import MemoryDeliveries
from zaqar_gateway.storage.memory.doorbells import MemoryDoorbells
from zaqar_gateway.storage.memory.durables import MemoryDurables
from zaqar_gateway.storage.memory.ledgers import Ledgers
from zaqar_gateway.storage.memory.queues import MemoryClaims, MemoryDeadLetters, MemoryMessages, MemoryQueues, Space
from zaqar_gateway.storage.memory.rates import MemoryRates
from zaqar_gateway.storage.memory.subscriptions import MemorySubscriptions


@implementer(IStorage)
class MemoryStorage:
    """A store in this process: for tests, for trying things out, for data that may be lost.

    :param clock: gives the time; a store holds no timers, so call :meth:`sweep` now and then.
    :param new_incarnation: gives ten hexadecimal digits for each queue that is created.
    :param new_claim_id: gives the ids of claims.
    :param new_subscription_id: gives the ids of subscriptions.
    :param log_bounds: how much is kept of what subscribers are owed, for each queue and topic.
    :param quotas: how much may be stored.
    """

    def __init__(
        self,
        clock: IReactorTime,
        new_incarnation: Callable[[], str] = ids.new_incarnation,
        new_claim_id: Callable[[], str] = ids.new_claim_id,
        new_subscription_id: Callable[[], str] = ids.new_claim_id,
        log_bounds: LogBounds = LogBounds(),  # noqa: B008  (immutable)
        quotas: Quotas = Quotas(),  # noqa: B008  (immutable)
    ) -> None:
        doorbells = MemoryDoorbells(clock)
        self._ledgers = Ledgers(new_subscription_id, log_bounds, doorbells)
        self._space = Space(clock, new_incarnation, self._ledgers, quotas, is_topics=False)
        self._topics = Space(clock, new_incarnation, self._ledgers, quotas, is_topics=True)
        self._secrets: dict[str, bytes] = {}
        self.queues: IQueueStore = MemoryQueues(self._space)
        self.messages: IMessageStore = MemoryMessages(self._space)
        self.claims: IClaimStore = MemoryClaims(self._space, new_claim_id)
        self.dead_letters: IDeadLetterStore = MemoryDeadLetters(self._space)
        self.topics: IQueueStore = MemoryQueues(self._topics)
        self.topic_messages: IMessageStore = MemoryMessages(self._topics)
        self.subscriptions: ISubscriptionStore = MemorySubscriptions(self._space)
        self.topic_subscriptions: ISubscriptionStore = MemorySubscriptions(self._topics)
        self.deliveries: IDeliveryStore = MemoryDeliveries(self._space, self._topics)
        self._durables = MemoryDurables(self._space, doorbells)
        self.durables: IDurableStore = self._durables
        self.doorbells: IDoorbells = doorbells
        self.rates: IRates = MemoryRates(clock)

    async def ping(self) -> None:
        return None

    async def secret(self, name: str, fresh: bytes) -> bytes:
        return self._secrets.setdefault(name, fresh) if fresh else self._secrets.get(name, b"")

    async def volume(self) -> Volume:
        now = self._space.now()
        free = held = 0
        for queue in (*self._space.queues.values(), *self._topics.queues.values()):
            queue.settle(now)
            free += len(queue.free) + len(queue.delayed)
            held += len(queue.held)
        return Volume(free, held)

    def sweep(self) -> None:
        """Free the memory of what has expired or lapsed in queues and topics that nobody touched, and of what was deleted.

        What was deleted is freed ``SWEPT_AT_ONCE`` messages at a time, so it may take several calls; so may what is
        owed to nobody any more.
        """
        self._space.sweep()
        self._topics.sweep()
        self._ledgers.sweep(self._space.now())
        self._durables.sweep()
