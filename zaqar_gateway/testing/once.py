"""What every :class:`~zaqar_gateway.interfaces.IMessageStore` has to do where messages come with keys."""

from __future__ import annotations

from collections.abc import Sequence

from zaqar_gateway.errors import QueueMissing, RuleBroken, TooManyRequests
from zaqar_gateway.model import NewMessage, NewPost, Once, QueueRules, Replayed
from zaqar_gateway.testing.base import CLIENT, OTHER_CLIENT, StoreContract, numbered

WINDOW_S = 600


class OnceContract(StoreContract):
    """Posts that are repeated under their keys."""

    async def post(
        self,
        *texts: bytes,
        key: str = "",
        keys: Sequence[str] = (),
        queue: str = "q",
        project: str = "p",
        client: bytes = CLIENT,
        most: int = 1000,
        size: int = 1,
        create: bool = True,
    ) -> tuple[list[str], bool]:
        """Post under keys; the ids, and whether nothing was stored."""
        ids = await self.storage.messages.post(
            project,
            queue,
            NewPost(
                client,
                [NewMessage(text, 3600) for text in texts],
                size=size,
                ttl_default_s=3600,
                size_max=1000,
                create=create,
                once=Once(WINDOW_S, most, key, tuple(keys)),
            ),
        )
        return list(ids), isinstance(ids, Replayed)

    async def test_post_repeated(self) -> None:
        """The same key gives the ids of the first time, whoever comes with it, and stores nothing."""
        ids, replayed = await self.post(*numbered(3), key="a")
        self.assertEqual((len(set(ids)), replayed), (3, False))
        for client in (CLIENT, OTHER_CLIENT):
            self.clock.advance(1)
            self.assertEqual(await self.post(*numbered(3), key="a", client=client), (ids, True))
        self.assertEqual(await self.listed(), numbered(3))
        self.assertEqual(await self.got(*ids), numbered(3))

    async def test_window(self) -> None:
        """A key counts for its window from the first post, however often it comes."""
        self.clock.advance(0.25)
        first, _ = await self.post(b"1", key="a")
        self.clock.advance(WINDOW_S - 0.25)
        self.assertEqual(await self.post(b"2", key="a"), (first, True))
        self.clock.advance(0.25)
        second, replayed = await self.post(b"2", b"3", key="a")
        self.assertEqual((len(second), replayed), (2, False))
        self.assertEqual(await self.listed(), [b"1", b"2", b"3"])
        self.assertEqual(await self.post(b"2", b"3", key="a"), (second, True))
        self.clock.advance(WINDOW_S)
        third, replayed = await self.post(b"4", key="a")
        self.assertFalse(replayed)
        self.assertEqual(await self.post(b"4", key="a"), (third, True))

    async def test_what_became_of_the_messages_plays_no_role(self) -> None:
        """A key is known although its messages were popped, have expired or were purged."""
        popped, _ = await self.post(b"1", key="a")
        await self.popped()
        self.assertEqual(await self.post(b"1", key="a"), (popped, True))
        purged, _ = await self.post(b"2", key="b")
        await self.storage.queues.purge("p", "q")
        self.assertEqual(await self.post(b"2", key="b"), (purged, True))
        self.assertEqual(await self.post(b"1", key="a"), (popped, True))
        self.assertEqual(await self.listed(), [])

    async def test_scope(self) -> None:
        """A key counts in its queue, while that exists; keys of posts and of messages are apart."""
        await self.put(b"0")
        ids, _ = await self.post(b"1", key="a")
        for queue, project in (("other", "p"), ("q", "other")):
            self.assertFalse((await self.post(b"1", key="a", queue=queue, project=project))[1])
        self.assertFalse((await self.post(b"2", keys=["a"]))[1])
        self.assertFalse((await self.post(b"3", key="A"))[1])
        await self.storage.queues.delete("p", "q")
        again, replayed = await self.post(b"1", key="a")
        self.assertFalse(replayed)
        self.assertNotEqual(again, ids)
        self.assertFalse((await self.post(b"2", keys=["a"]))[1])

    async def test_another_number(self) -> None:
        """A key of a post that comes with another number of messages is refused."""
        await self.post(*numbered(3), key="a")
        await self.post(b"1", key="b")
        for count, key, before in ((2, "a", 3), (1, "a", 3), (2, "b", 1)):
            with self.assertRaisesRegex(RuleBroken, f"another number of messages before, which is {before};"):
                await self.post(*numbered(count), key=key)
        self.assertEqual(await self.listed(), [*numbered(3), b"1"])

    async def test_keys_of_messages(self) -> None:
        """Of messages with keys those are stored that are new; the ids come in their order."""
        first, _ = await self.post(b"1", b"2", b"3", keys=["a", "", "c"])
        second, replayed = await self.post(b"4", b"1", b"5", b"3", keys=["d", "a", "", "c"])
        self.assertFalse(replayed)
        self.assertEqual((second[1], second[3]), (first[0], first[2]))
        self.assertEqual(await self.listed(), [b"1", b"2", b"3", b"4", b"5"])
        self.assertEqual(await self.got(*second), [b"4", b"1", b"5", b"3"])
        self.assertEqual(await self.post(b"3", b"1", keys=["c", "a"]), ([first[2], first[0]], True))
        self.clock.advance(WINDOW_S)
        self.assertFalse((await self.post(b"1", keys=["a"]))[1])

    async def test_one_key_twice_in_a_post(self) -> None:
        """Of messages of one post with the same key the first is stored."""
        ids, replayed = await self.post(b"1", b"2", b"3", keys=["a", "b", "a"])
        self.assertEqual((ids[0], replayed), (ids[2], False))
        self.assertEqual(await self.listed(), [b"1", b"2"])

    async def test_long_posts(self) -> None:
        """Posts of thousands are repeated as those of one."""
        texts = numbered(3000)
        keys = [f"k{number}" for number in range(3000)]
        ids, _ = await self.post(*texts, keys=keys, most=10_000)
        self.assertEqual(await self.post(*texts[:2000], keys=keys[:2000], most=10_000), (ids[:2000], True))
        ids, _ = await self.post(*texts, key="all", most=10_000)
        self.assertEqual(await self.post(*texts, key="all", most=10_000), (ids, True))
        self.assertEqual((await self.stats()).total, 6000)

    async def test_most(self) -> None:
        """Beyond the most keys a post is refused, with when there is room; those that are known are answered, others stored."""
        ids, _ = await self.post(b"1", key="a", most=3)
        self.clock.advance(100)
        await self.post(b"2", b"3", keys=["b", "c"], most=3)
        for keys in (["d"], ["d", "a", ""]):
            with self.assertRaises(TooManyRequests) as caught:
                await self.post(*numbered(len(keys)), keys=keys, most=3)
            self.assertEqual(caught.exception.retry_after_s, WINDOW_S - 100)
        with self.assertRaises(TooManyRequests):
            await self.post(b"4", key="d", most=3)
        with self.assertRaises(TooManyRequests) as caught:
            await self.post(b"4", b"5", keys=["a", "b"], queue="new", most=1)
        self.assertEqual(caught.exception.retry_after_s, WINDOW_S)
        self.assertIsNone(await self.storage.queues.get("p", "new"))
        self.assertEqual(await self.post(b"1", key="a", most=3), (ids, True))
        await self.post(b"4", b"2", keys=["", "b"], most=3)
        self.assertEqual(await self.listed(), [b"1", b"2", b"3", b"4"])
        self.clock.advance(WINDOW_S - 100)
        self.assertFalse((await self.post(b"5", key="d", most=3))[1])

    async def test_no_room_for_any_key(self) -> None:
        """Where none may be kept, what is known is answered; all else is refused before anything else is looked at."""
        await self.make(post_size_max=10)
        ids, _ = await self.post(b"1", b"2", key="a")
        each, _ = await self.post(b"3", b"4", keys=["b", "c"])
        self.assertEqual(await self.post(b"1", b"2", key="a", most=0, create=False), (ids, True))
        self.assertEqual(await self.post(b"4", b"3", keys=["c", "b"], most=0, create=False), (each[::-1], True))
        for queue, keys in (("q", ["b", "d"]), ("missing", ["b"])):
            for create in (False, True):
                with self.assertRaises(TooManyRequests):
                    await self.post(*numbered(len(keys)), keys=keys, queue=queue, most=0, create=create, size=11)
        self.assertEqual(await self.listed(), [b"1", b"2", b"3", b"4"])
        self.assertIsNone(await self.storage.queues.get("p", "missing"))

    async def test_refused_posts_keep_no_key(self) -> None:
        """A post that is refused can be repeated under its key."""
        await self.make(post_size_max=10)
        with self.assertRaises(RuleBroken):
            await self.post(b"1", key="a", size=11)
        with self.assertRaises(QueueMissing):
            await self.post(b"1", key="a", queue="missing", create=False)
        self.assertFalse((await self.post(b"1", key="a"))[1])

    async def test_nothing_else_is_looked_at(self) -> None:
        """What is known is answered although the queue would not take it any more."""
        await self.make()
        ids, _ = await self.post(b"1", key="a", size=20)
        rules = QueueRules(post_size_max=10)
        self.assertTrue(await self.storage.queues.update("p", "q", b'{"made": true}', b"{}", rules))
        self.assertEqual(await self.post(b"1", key="a", size=20), (ids, True))

    async def test_delayed(self) -> None:
        """Keys count for delayed messages as for others."""
        await self.make(message_delay_s=60)
        ids, _ = await self.post(b"1", b"2", key="a")
        self.assertEqual(await self.post(b"1", b"2", key="a"), (ids, True))
        self.clock.advance(60)
        self.assertEqual(await self.popped(), [b"1", b"2"])

    async def test_subscribers_are_told_once(self) -> None:
        """What is not stored again is not told again."""
        await self.follow()
        await self.post(b"1", b"2", keys=["a", "b"])
        await self.post(b"2", b"3", keys=["b", "c"])
        await self.post(b"1", b"2", keys=["a", "b"])
        self.assertEqual(await self.deliver(), {"http://a": [b"1", b"2", b"3"]})

    async def test_interleaved(self) -> None:
        """Posts without keys do not hinder those with them, nor the other way round."""
        ids, _ = await self.post(b"1", key="a")
        await self.put(b"2")
        self.assertEqual(await self.post(b"1", key="a"), (ids, True))
        await self.put(b"3")
        self.assertEqual(await self.listed(), [b"1", b"2", b"3"])
