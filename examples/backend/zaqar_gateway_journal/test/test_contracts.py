"""The contracts that zaqar-gateway brings for every store: as it is, and with a restart after every change."""

from __future__ import annotations

import shutil
import tempfile
from typing import Any, cast

from twisted.internet.defer import Deferred
from twisted.trial.unittest import TestCase
from zope.interface import directlyProvides, implementer, providedBy

from zaqar_gateway.interfaces import IStorage
from zaqar_gateway.model import BackendSettings, LogBounds
from zaqar_gateway.testing.base import StoreContract, clock_at_epoch
from zaqar_gateway.testing.claims import ClaimStoreContract
from zaqar_gateway.testing.dead_letters import DeadLetterStoreContract
from zaqar_gateway.testing.deliveries import DeliveryStoreContract
from zaqar_gateway.testing.durables import DurableStoreContract
from zaqar_gateway.testing.encryption import EncryptionContract
from zaqar_gateway.testing.messages import MessageStoreContract
from zaqar_gateway.testing.queues import QueueStoreContract
from zaqar_gateway.testing.rates import RatesContract
from zaqar_gateway.testing.storage import StorageContract
from zaqar_gateway.testing.subscriptions import SubscriptionStoreContract
from zaqar_gateway.testing.topics import TopicContract
from zaqar_gateway_journal.backend import JournalBackend
from zaqar_gateway_journal.storage import CHANGES


class JournalCase(StoreContract):
    """Makes a store for each test, in a directory of its own."""

    def setUp(self) -> None:
        self.clock = clock_at_epoch()
        self.bound_log(LogBounds())

    def bound_log(self, bounds: LogBounds) -> None:
        """Set ``storage`` to an empty store that keeps no more than this for subscribers that lag behind."""
        directory = tempfile.mkdtemp()
        self.addCleanup(shutil.rmtree, directory)
        self.settings = BackendSettings(f"journal://{directory}", log=bounds)
        self.start()
        self.storage: IStorage = self.backend.storage
        self.addCleanup(lambda: Deferred.fromCoroutine(self.backend.stop()))

    def start(self, compact_from: int = 2**20) -> None:
        """Begin on the directory."""
        self.backend = JournalBackend(self.settings, self.clock, compact_from)
        self.successResultOf(Deferred.fromCoroutine(self.backend.start()))


READS = {
    "queues": {"get", "list", "count", "usage", "stats"},
    "messages": {"get", "list", "read", "due_in"},
    "claims": {"get", "live"},
    "dead_letters": {"list", "letters"},
    "subscriptions": {"count", "get", "has", "list", "read", "live"},
    "durables": {"list"},
    "deliveries": {"due", "places", "failing", "failures"},
    "doorbells": {"attend", "watch", "watch_changes"},
}


class ChangesTests(JournalCase, TestCase):
    """What is journaled."""

    def test_every_method(self) -> None:
        """Each method of a store is known as one that changes something or as one that does not."""
        for name, changes in CHANGES.items():
            (interface,) = providedBy(getattr(self.storage, name))
            self.assertEqual(set(interface), READS[name.removeprefix("topic_").replace("topics", "queues")] | set(changes))


class QueuesTests(JournalCase, QueueStoreContract, TestCase):
    """The contract of queues."""


class MessagesTests(JournalCase, MessageStoreContract, TestCase):
    """The contract of messages."""


class ClaimsTests(JournalCase, ClaimStoreContract, TestCase):
    """The contract of claims."""


class DeadLettersTests(JournalCase, DeadLetterStoreContract, TestCase):
    """The contract of dead letters."""


class EncryptionTests(JournalCase, EncryptionContract, TestCase):
    """The contract of secrets and of encrypted bodies."""


class SubscriptionsTests(JournalCase, SubscriptionStoreContract, TestCase):
    """The contract of subscriptions."""


class DeliveriesTests(JournalCase, DeliveryStoreContract, TestCase):
    """The contract of deliveries."""


class DurablesTests(JournalCase, DurableStoreContract, TestCase):
    """The contract of durable names."""


class RatesTests(JournalCase, RatesContract, TestCase):
    """Buckets of tokens."""


class StorageTests(JournalCase, StorageContract, TestCase):
    """The contract of the store as a whole."""


class TopicsTests(JournalCase, TopicContract, TestCase):
    """The contract of topics beside queues."""


class RestartedCase(JournalCase):
    """Makes stores that end after every third of their first 60 changes and begin again on their journal, which is
    compacted at every fifth of these starts."""

    ends = True

    def bound_log(self, bounds: LogBounds) -> None:
        """Set ``storage`` to an empty store that keeps no more than this for subscribers that lag behind."""
        super().bound_log(bounds)
        self.changes = 0
        self.storage = cast(IStorage, Restarted(self))

    async def changed(self) -> None:
        """End, and begin again."""
        self.changes += 1
        if self.ends and self.changes <= 60 and self.changes % 3 == 0:
            await self.backend.stop()
            self.start(compact_from=2**20 if self.changes % 15 else 0)


@implementer(IStorage)
class Restarted:
    """The store of a test as it is at each moment."""

    def __init__(self, case: RestartedCase) -> None:
        self._case = case
        for name in CHANGES:
            setattr(self, name, RestartedPart(case, name))

    async def secret(self, name: str, fresh: bytes) -> bytes:
        """See :class:`IStorage`."""
        try:
            return await self._case.backend.storage.secret(name, fresh)
        finally:
            await self._case.changed()

    def __getattr__(self, method: str) -> Any:
        return getattr(self._case.backend.storage, method)


class RestartedPart:
    """A part of it."""

    def __init__(self, case: RestartedCase, name: str) -> None:
        self._case, self._name = case, name
        directlyProvides(self, providedBy(getattr(case.backend.storage, name)))

    def __getattr__(self, method: str) -> Any:
        if method not in CHANGES[self._name]:
            return getattr(getattr(self._case.backend.storage, self._name), method)

        async def run(*args: Any, **kwargs: Any) -> Any:
            try:
                return await getattr(getattr(self._case.backend.storage, self._name), method)(*args, **kwargs)
            finally:
                await self._case.changed()

        return run


class RestartedQueuesTests(RestartedCase, QueueStoreContract, TestCase):
    """The contract of queues."""


class RestartedMessagesTests(RestartedCase, MessageStoreContract, TestCase):
    """The contract of messages."""


class RestartedClaimsTests(RestartedCase, ClaimStoreContract, TestCase):
    """The contract of claims."""


class RestartedDeadLettersTests(RestartedCase, DeadLetterStoreContract, TestCase):
    """The contract of dead letters."""


class RestartedEncryptionTests(RestartedCase, EncryptionContract, TestCase):
    """The contract of secrets and of encrypted bodies."""


class RestartedSubscriptionsTests(RestartedCase, SubscriptionStoreContract, TestCase):
    """The contract of subscriptions."""


class RestartedDeliveriesTests(RestartedCase, DeliveryStoreContract, TestCase):
    """The contract of deliveries."""

    async def test_ring_for_posts(self) -> None:
        """Rings are heard by those who asked for them in the same process."""
        self.ends = False
        await super().test_ring_for_posts()

    async def test_ring_for_what_is_owed(self) -> None:
        """Rings are heard by those who asked for them in the same process."""
        self.ends = False
        await super().test_ring_for_what_is_owed()


class RestartedTopicsTests(RestartedCase, TopicContract, TestCase):
    """The contract of topics beside queues."""
