"""The store that encrypts, as a whole."""

from __future__ import annotations

from collections.abc import Sequence

from zope.interface import implementer

from zaqar_gateway.interfaces import IStorage
from zaqar_gateway.model import Volume
from zaqar_gateway.storage.encryption.deliveries import EncryptingDeliveries, EncryptingSubscriptions
from zaqar_gateway.storage.encryption.keys import Keyring, Opener
from zaqar_gateway.storage.encryption.queues import (
    EncryptingClaims,
    EncryptingDeadLetters,
    EncryptingMessages,
    EncryptingQueues,
    KnownQueues,
)

REMEMBERED = 10_000
"""Of how many queues it is remembered whether they ask for encryption."""


@implementer(IStorage)
class EncryptingStorage:
    """A store that encrypts what has to be encrypted, around one that keeps it.

    :param passphrase: what encrypts; empty: a random key that the store keeps.
    :param previous: what decrypts besides.
    :param remembered: of how many queues, and topics, it is remembered whether they ask for encryption.
    """

    def __init__(
        self, store: IStorage, passphrase: str = "", previous: Sequence[str] = (), *, remembered: int = REMEMBERED
    ) -> None:
        self._store = store
        keyring = Keyring(store.secret, passphrase, previous)
        opener = Opener(keyring)
        queues, topics = KnownQueues(remembered), KnownQueues(remembered)
        self.queues = EncryptingQueues(store.queues, queues)
        self.messages = EncryptingMessages(store.messages, keyring, opener, queues)
        self.claims = EncryptingClaims(store.claims, opener, queues)
        self.dead_letters = EncryptingDeadLetters(store.dead_letters, opener)
        self.topics = EncryptingQueues(store.topics, topics)
        self.topic_messages = EncryptingMessages(store.topic_messages, keyring, opener, topics)
        self.subscriptions = EncryptingSubscriptions(store.subscriptions, opener, queues)
        self.topic_subscriptions = EncryptingSubscriptions(store.topic_subscriptions, opener, topics)
        self.deliveries = EncryptingDeliveries(store.deliveries, opener)
        self.durables = store.durables
        self.doorbells = store.doorbells
        self.rates = store.rates

    async def ping(self) -> None:
        await self._store.ping()

    async def secret(self, name: str, fresh: bytes) -> bytes:
        return await self._store.secret(name, fresh)

    async def volume(self) -> Volume:
        return await self._store.volume()
