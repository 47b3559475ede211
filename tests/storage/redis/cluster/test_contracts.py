"""The contracts on a Redis Cluster."""

from __future__ import annotations

from tests.storage.redis.cluster.case import KEYS, OnCluster, Ringing
from zaqar_gateway.model import Quotas
from zaqar_gateway.testing.claims import ClaimStoreContract
from zaqar_gateway.testing.dead_letters import DeadLetterQuotaContract, DeadLetterStoreContract
from zaqar_gateway.testing.deliveries import DeliveryStoreContract
from zaqar_gateway.testing.durables import DurableStoreContract
from zaqar_gateway.testing.encryption import EncryptionContract
from zaqar_gateway.testing.messages import MessageStoreContract
from zaqar_gateway.testing.once import OnceContract
from zaqar_gateway.testing.queues import QueueStoreContract
from zaqar_gateway.testing.quotas import QuotaContract
from zaqar_gateway.testing.rates import RatesContract
from zaqar_gateway.testing.rings import ClaimRingContract
from zaqar_gateway.testing.storage import StorageContract
from zaqar_gateway.testing.subscriptions import SubscriptionStoreContract
from zaqar_gateway.testing.topics import TopicContract


class ClusterQueueTests(QueueStoreContract, OnCluster):
    """Queues."""


class ClusterMessageTests(MessageStoreContract, OnCluster):
    """Messages."""


class ClusterEncryptionTests(EncryptionContract, OnCluster):
    """Encrypted bodies."""


class ClusterClaimTests(ClaimStoreContract, OnCluster):
    """Claims."""


class ClusterDeadLetterTests(DeadLetterStoreContract, OnCluster):
    """Dead letters."""


class ClusterSubscriptionTests(SubscriptionStoreContract, OnCluster):
    """Subscriptions."""


class ClusterDurableTests(DurableStoreContract, OnCluster):
    """Durable names."""


class ClusterRatesTests(RatesContract, OnCluster):
    """Rates."""


class ClusterQuotaTests(QuotaContract, DeadLetterQuotaContract, OnCluster):
    """Quotas."""

    def bound(self, quotas: Quotas) -> None:
        """See :class:`QuotaContract`."""
        self.storage = self.store(quotas=quotas)

    async def test_followed_no_more(self) -> None:
        """What is needed to count subscriptions goes with the last one."""
        self.bound(Quotas(counts_subscriptions=True))
        key, first = KEYS.followed("p"), await self.follow()
        self.assertEqual(await self.redis.command(b"ZRANGE", key, 0, -1), [b"q"])
        await self.storage.subscriptions.delete("p", "q", first)
        self.assertEqual(await self.redis.command(b"EXISTS", key), 0)


class ClusterOnceTests(OnceContract, OnCluster):
    """Keys."""


class ClusterStorageTests(StorageContract, OnCluster):
    """The store as a whole."""


class ClusterTopicTests(TopicContract, OnCluster):
    """Topics beside queues."""


class ClusterDeliveryTests(Ringing, DeliveryStoreContract):
    """Deliveries."""


class ClusterClaimRingTests(Ringing, ClaimRingContract):
    """Rings for what can be had again."""
