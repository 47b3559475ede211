"""Topics to a store: the contracts of queues hold for them, and they are no queues."""

from __future__ import annotations

from typing import Any, cast

from zope.interface import alsoProvides

from zaqar_gateway.interfaces import IClaimStore, IQueueStore, IStorage
from zaqar_gateway.model import NO_RULES, Message, NewMessage, NewPost, QueueEntry
from zaqar_gateway.testing.base import CLIENT, StoreContract, bodies, numbered


class _TopicsAsQueues:
    """A store whose topics and queues have changed places."""

    def __init__(self, storage: IStorage, claims: IClaimStore) -> None:
        self._storage = storage
        self.queues, self.messages, self.claims = storage.topics, storage.topic_messages, claims
        self.topics, self.topic_messages = storage.queues, storage.messages
        self.subscriptions, self.topic_subscriptions = storage.topic_subscriptions, storage.subscriptions

    def __getattr__(self, name: str) -> Any:
        return getattr(self._storage, name)


def topics_as_queues(storage: IStorage, claims: IClaimStore) -> IStorage:
    """The topics of a store in the place of its queues, for the contracts of queues.

    :param claims: claims on the topics.  A store offers none; with some, what the contracts say of claimed messages holds.
    """
    view: Any = _TopicsAsQueues(storage, claims)
    alsoProvides(view, IStorage)
    return cast(IStorage, view)


class TopicContract(StoreContract):
    """A topic and a queue of one name have nothing in common."""

    async def put_both(self, *, ttl_s: int = 3600) -> tuple[list[str], list[str]]:
        """Two messages in a queue and three in the topic of the same name; their ids."""
        queued = await self.put(*numbered(2), ttl_s=ttl_s)
        new = [NewMessage(text, ttl_s) for text in numbered(3, start=100)]
        published = await self.storage.topic_messages.post(
            "p", "q", NewPost(CLIENT, new, size=1, ttl_default_s=60, size_max=1000)
        )
        return queued, published

    async def published(self) -> list[bytes]:
        """The bodies of the messages in the topic."""
        page = await self.storage.topic_messages.list(
            "p", "q", marker=None, limit=20, skip_client=None, include_claimed=False, include_delayed=True
        )
        return bodies(page.messages)

    async def total(self, parts: IQueueStore) -> int | None:
        """The number of messages, ``None`` where there is no queue or topic."""
        stats = await parts.stats("p", "q")
        return None if stats is None else stats.total

    async def test_created_apart(self) -> None:
        """Creating one does not create the other; each has metadata of its own."""
        self.assertTrue(await self.storage.topics.create("p", "q", b'{"a": 1}', NO_RULES))
        self.assertIsNone(await self.storage.queues.get("p", "q"))
        self.assertFalse(await self.storage.queues.update("p", "q", b'{"a": 1}', b"{}", NO_RULES))
        self.assertTrue(await self.storage.queues.create("p", "q", b'{"b": 1}', NO_RULES))
        self.assertEqual(await self.storage.topics.get("p", "q"), b'{"a": 1}')
        self.assertTrue(await self.storage.topics.update("p", "q", b'{"a": 1}', b'{"c": 1}', NO_RULES))
        self.assertEqual(await self.storage.queues.get("p", "q"), b'{"b": 1}')

    async def test_listed_apart(self) -> None:
        """Neither is in the listing or the count of the others, and a post creates the one that it goes to."""
        await self.put(b"1", queue="queue")
        await self.storage.topics.create("p", "topic", b"{}", NO_RULES)
        self.assertEqual(await self.storage.queues.list("p", "", 20), [QueueEntry("queue", b"{}")])
        self.assertEqual(await self.storage.topics.list("p", "", 20), [QueueEntry("topic", b"{}")])
        self.assertEqual((await self.storage.queues.count("p"), await self.storage.topics.count("p")), (1, 1))
        await self.storage.topic_messages.post(
            "p", "queue", NewPost(CLIENT, [NewMessage(b"1")], size=1, ttl_default_s=60, size_max=10)
        )
        self.assertEqual((await self.storage.queues.count("p"), await self.storage.topics.count("p")), (1, 2))

    async def test_messages_apart(self) -> None:
        """Each lists, counts and pops its own messages, and a claim takes those of the queue."""
        await self.put_both()
        self.assertEqual(await self.listed(), numbered(2))
        self.assertEqual(await self.published(), numbered(3, start=100))
        self.assertEqual(len((await self.claim()).messages), 2)
        self.assertEqual(await self.popped(), [])
        popped = await self.storage.topic_messages.pop("p", "q", 20)
        self.assertEqual(bodies(popped), numbered(3, start=100))
        self.assertEqual(await self.counts(), (0, 2))

    async def test_ids_apart(self) -> None:
        """An id of the one is the id of nothing in the other."""
        queued, published = await self.put_both()
        self.assertEqual(set(queued) & set(published), set())
        found: list[Message] = await self.storage.topic_messages.get("p", "q", queued)
        self.assertEqual((found, await self.got(*published)), ([], []))
        await self.storage.topic_messages.delete_many("p", "q", queued, None)
        await self.storage.messages.delete_many("p", "q", published, None)
        for message_id in queued:
            await self.storage.topic_messages.delete("p", "q", message_id, None)
        self.assertEqual((await self.total(self.storage.queues), await self.total(self.storage.topics)), (2, 3))

    async def test_removed_apart(self) -> None:
        """Purging and deleting one leaves the other whole."""
        await self.put_both()
        await self.storage.topics.purge("p", "q")
        self.assertEqual((await self.total(self.storage.queues), await self.total(self.storage.topics)), (2, 0))
        await self.storage.topics.delete("p", "q")
        self.assertEqual((await self.total(self.storage.queues), await self.total(self.storage.topics)), (2, None))
        await self.storage.queues.delete("p", "q")
        await self.put_both()
        await self.storage.queues.purge("p", "q")
        await self.storage.queues.delete("p", "q")
        self.assertEqual((await self.total(self.storage.queues), await self.total(self.storage.topics)), (None, 3))

    async def test_volume_of_both(self) -> None:
        """The volume counts the messages of both, and no expired ones."""
        await self.put_both()
        await self.claim(1, ttl_s=600)
        self.clock.advance(30)
        volume = await self.storage.volume()
        self.assertEqual((volume.free, volume.claimed), (4, 1))
        self.clock.advance(3600)
        self.assertEqual((await self.storage.volume()).total, 0)
