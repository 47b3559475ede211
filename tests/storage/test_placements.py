"""Where queues and topics are put, and that they stay there: several processes over the same pools, in memory."""

from __future__ import annotations

import contextlib
from collections import Counter, defaultdict
from collections.abc import Awaitable, Callable
from math import ceil
from random import Random
from types import SimpleNamespace
from typing import Any, cast

from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.task import Clock, LoopingCall, deferLater
from twisted.trial.unittest import TestCase

from tests.helpers import FailingStorage
from tests.pooling import Process, add_pools
from zaqar_gateway.errors import PoolNeeded, RuleBroken, StoreUnavailable
from zaqar_gateway.interfaces import IManagement, IQueueStore, IStorage
from zaqar_gateway.limits import Limits
from zaqar_gateway.model import (
    NO_RULES,
    Context,
    NewMessage,
    NewPost,
    NewSubscription,
    Place,
    Pool,
    PoolChange,
    QueueEntry,
    QueueRules,
    SendBack,
    SentBack,
)
from zaqar_gateway.operations import fields
from zaqar_gateway.operations.pools import Pools
from zaqar_gateway.storage.memory import MemoryManagement, MemoryStorage
from zaqar_gateway.storage.memory.doorbells import MemoryDoorbells
from zaqar_gateway.storage.pooled import KNOWN_S, LEFT_S
from zaqar_gateway.storage.pooled.deliveries import PATIENCE_S
from zaqar_gateway.storage.pooled.directory import CLOSE_AFTER_S
from zaqar_gateway.testing.base import CLIENT, bodies, clock_at_epoch

AWAY = StoreUnavailable("away")


class Hanging:
    """Deliveries that never answer."""

    def __getattr__(self, name: str) -> Callable[..., Awaitable[object]]:
        async def hang(*args: object, **kwargs: object) -> object:
            return await Deferred[object]()

        return hang


class Unanswered:
    """Queues that are made, of which no answer comes."""

    def __init__(self, queues: IQueueStore) -> None:
        self._queues = queues

    def __getattr__(self, name: str) -> Any:
        return getattr(self._queues, name)

    async def create(self, *given: Any) -> bool:
        await self._queues.create(*given)
        raise StoreUnavailable("no answer", outcome_unknown=True)


class HeldUp:
    """A part of a store of which one step is taken when the time has come.

    :param step: the name of its method.
    :param time: when that is.
    """

    def __init__(self, part: object, step: str, time: Deferred[None]) -> None:
        self._part = part
        self._step = step
        self._time = time

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._part, name)

        async def late(*given: Any) -> Any:
            await self._time
            return await found(*given)

        return late if name == self._step else found


class PlacementCase(TestCase):
    """Two processes, ``here`` and ``there``, over the same stores; a store is found by the URI of its pool."""

    def setUp(self) -> None:
        self.clock = clock_at_epoch()
        self.management = MemoryManagement(self.clock)
        self.stores: dict[str, IStorage] = {}
        self.configured = MemoryStorage(self.clock)
        self.here, self.there = self.process(), self.process()

    def process(self, *, virtual: bool = True) -> Process:
        """Another process."""
        return Process(self.management, self.configured, self.clock, self.store, virtual)

    def store(self, uri: str) -> IStorage:
        """The store at a URI."""
        return self.stores.setdefault(uri, MemoryStorage(self.clock))

    async def post(self, process: Process, body: bytes = b"1", queue: str = "q") -> None:
        """Post a message."""
        await process.storage.messages.post(
            "p", queue, NewPost(CLIENT, [NewMessage(body)], size=1, ttl_default_s=3600, size_max=100)
        )

    async def popped(self, process: Process, queue: str = "q") -> list[bytes]:
        """What there is."""
        return bodies(await process.storage.messages.pop("p", queue, 20))

    async def where(self, queue: str = "q") -> list[str]:
        """The stores that have a queue of that name, the configured one as an empty text."""
        stores = {"": self.configured, **self.stores}
        return [uri for uri, store in stores.items() if await store.queues.get("p", queue) is not None]

    async def sweep(self, after_s: float = LEFT_S) -> None:
        """Forget what may be forgotten after a while."""
        self.clock.advance(after_s)
        await self.here.placements.sweep()


class ChoiceTests(PlacementCase):
    """Which pool something new is put in."""

    async def test_by_weight(self) -> None:
        """The share of a pool is that of its weight; one of weight 0 gets nothing."""
        for name, weight in (("a", 30), ("b", 10), ("c", 0)):
            await self.management.pools.put(Pool(name, name, weight))
        names = [f"q{number}" for number in range(400)]
        for name in names:
            await self.here.storage.queues.create("p", name, b"{}", NO_RULES)
        counts = Counter([uri for name in names for uri in await self.where(name)])
        self.assertEqual(set(counts), {"a", "b"})
        self.assertTrue(260 <= counts["a"] <= 340, counts)  # of 400, by a seeded source of chance

    async def test_by_flavor(self) -> None:
        """With a flavor it is one of the pools of that flavor; without one, or posted to, one of none."""
        await add_pools(self.management, "a", "b", flavor="fast")
        await add_pools(self.management, "c")
        for number in range(10):
            await self.here.storage.queues.create("p", f"f{number}", b"{}", QueueRules(flavor="fast"))
            await self.here.storage.topics.create("p", f"t{number}", b"{}", QueueRules(flavor="fast"))
            await self.post(self.here, queue=f"q{number}")
            self.assertIn((await self.where(f"f{number}"))[0], "ab")
            self.assertEqual(await self.where(f"q{number}"), ["c"])
        self.assertEqual(await self.stores["c"].topics.list("p", "", 20), [])

    async def test_without_pools(self) -> None:
        """Where no pool is for it, it is in the configured store, if that may be; and stays there."""
        await add_pools(self.management, "a", flavor="fast")
        with self.assertRaises(StoreUnavailable):
            await self.post(self.process(virtual=False))
        self.assertEqual(await self.where(), [])
        await self.post(self.here)
        await add_pools(self.management, "b")
        await self.post(self.process(virtual=False), b"2")
        self.assertEqual((await self.where(), await self.popped(self.here)), ([""], [b"1", b"2"]))

    async def test_flavor_without_pools(self) -> None:
        """A flavor whose pools are all gone takes no queues, whatever else there is."""
        await add_pools(self.management, "a")
        with self.assertRaises(StoreUnavailable):
            await self.here.storage.queues.create("p", "q", b"{}", QueueRules(flavor="fast"))

    async def test_dead_pools_get_nothing(self) -> None:
        """A pool that does not answer gets nothing new; where none answers, nothing is made."""
        await add_pools(self.management, "dead", "a")
        self.stores["dead"] = FailingStorage(AWAY)
        for number in range(10):
            await self.post(self.here, queue=f"q{number}")
        self.assertEqual(await self.here.storage.queues.count("p"), 10)
        self.assertEqual(await self.stores["a"].queues.count("p"), 10)
        self.stores["a"] = FailingStorage(AWAY)
        with self.assertRaises(StoreUnavailable):
            await self.post(self.process())

    async def test_from_before(self) -> None:
        """What was in the configured store before there were pools stays there."""
        await self.configured.queues.create("p", "q", b'{"a": 1}', NO_RULES)
        await self.configured.queues.create("p", "untouched", b"{}", NO_RULES)
        await add_pools(self.management, "a")
        self.assertEqual(await self.here.storage.queues.get("p", "q"), b'{"a": 1}')
        self.assertFalse(await self.here.storage.queues.create("p", "q", b"{}", NO_RULES))
        await self.post(self.here)
        await self.post(self.here, queue="new")
        self.assertEqual((await self.where(), await self.where("new")), ([""], ["a"]))
        names = [entry.name for entry in await self.here.storage.queues.list("p", "", 20)]
        self.assertEqual((names, await self.here.storage.queues.count("p")), (["new", "q", "untouched"], 3))
        await self.here.storage.queues.delete("p", "untouched")
        self.assertEqual(await self.where("untouched"), [])


class StayingTests(PlacementCase):
    """What is placed stays where it is."""

    async def test_weights_change(self) -> None:
        """Whatever becomes of weights, flavors and pools, a queue is where it was put."""
        await add_pools(self.management, "a")
        await self.post(self.here)
        await add_pools(self.management, "b")
        await self.management.pools.update("a", PoolChange(weight=0, flavor="fast"))
        self.clock.advance(KNOWN_S)
        await self.post(self.there, b"2")
        await self.here.storage.queues.create("p", "q", b"{}", QueueRules(flavor="nonesuch"))
        self.assertEqual((await self.where(), await self.popped(self.here)), (["a"], [b"1", b"2"]))

    async def test_both_make_it(self) -> None:
        """Processes that make the same queue at the same time put it in the same pool."""
        await add_pools(self.management, "a", "b", "c", "d")
        for number in range(20):
            for process in (self.here, self.there):
                await self.post(process, queue=f"q{number}")
            self.assertEqual(len(await self.where(f"q{number}")), 1)
            self.assertEqual(await self.popped(self.there, f"q{number}"), [b"1", b"1"])

    async def test_deleted_and_made_soon(self) -> None:
        """What is made again soon is where it was, so that a process that still knows that is right."""
        await add_pools(self.management, "a")
        await self.post(self.here)
        await self.post(self.there)
        await add_pools(self.management, "b")
        await self.management.pools.update("a", PoolChange(weight=0))
        await self.here.storage.queues.delete("p", "q")
        self.assertEqual((await self.where(), await self.popped(self.there)), ([], []))
        await self.post(self.there, b"2")
        self.assertEqual((await self.where(), await self.popped(self.here)), (["a"], [b"2"]))
        await self.sweep()
        await self.post(self.here, b"3")
        self.assertEqual((await self.where(), await self.popped(self.there)), (["a"], [b"3"]))

    async def test_deleted_and_made_late(self) -> None:
        """What is made again when its placement is forgotten may be elsewhere, and nobody looks for it where it was."""
        await add_pools(self.management, "a")
        await self.post(self.here)
        await self.post(self.there)
        await add_pools(self.management, "b")
        await self.management.pools.update("a", PoolChange(weight=0))
        await self.here.storage.queues.delete("p", "q")
        await self.sweep()
        self.assertIsNone(await self.management.catalog.find(Place("p", "q")))
        await self.post(self.here, b"2")
        self.assertEqual((await self.where(), await self.popped(self.there)), (["b"], [b"2"]))

    async def test_many_are_deleted(self) -> None:
        """The placements of many queues that were deleted are forgotten in one sweep."""
        await add_pools(self.management, "a")
        for number in range(450):
            await self.here.storage.queues.create("p", f"q{number}", b"{}", NO_RULES)
            await self.here.storage.queues.delete("p", f"q{number}")
        await self.sweep()
        self.assertEqual(await self.management.catalog.list("p", False, "", 10), [])

    async def test_held_up(self) -> None:
        """A process that goes by a placement that is no more makes no queue there: it looks again."""
        await add_pools(self.management, "a")
        slow = Process(self.management, self.configured, clock_at_epoch(), self.store)  # its clock stands still
        await self.post(slow)
        await add_pools(self.management, "b")
        await self.management.pools.update("a", PoolChange(weight=0))
        await self.here.storage.queues.delete("p", "q")
        await self.sweep()
        await self.post(slow, b"2")
        self.assertEqual((await self.where(), await self.popped(self.here)), (["b"], [b"2"]))

    async def test_made_again_by_somebody(self) -> None:
        """A placement that was left is kept where the queue is there after all."""
        await add_pools(self.management, "a")
        await self.post(self.here)
        await self.management.catalog.leave(Place("p", "q"), LEFT_S)  # and the process has died before it deleted
        await self.sweep()
        found = await self.management.catalog.find(Place("p", "q"))
        assert found is not None
        self.assertEqual((found.left_ms, await self.popped(self.there)), (None, [b"1"]))

    async def test_subscriptions_keep_the_place(self) -> None:
        """Subscriptions outlive their queue, and are those of the queue of that name when there is one again."""
        await add_pools(self.management, "a", "b")
        await self.here.storage.subscriptions.create("p", "q", NewSubscription("http://x", ttl_s=LEFT_S + 60))
        place = await self.where()
        await self.here.storage.queues.delete("p", "q")
        await self.sweep()
        self.assertEqual(len(await self.there.storage.subscriptions.list("p", "q", "", 10)), 1)
        await self.sweep()  # now that they have ended
        self.assertIsNone(await self.management.catalog.find(Place("p", "q")))
        self.assertIn(place, (["a"], ["b"]))

    async def test_delete_fails(self) -> None:
        """A queue that could not be deleted is where it was, and its pool is in use."""
        await add_pools(self.management, "a")
        await self.post(self.here)
        kept, self.stores["a"] = self.stores["a"], FailingStorage(AWAY)
        with self.assertRaises(StoreUnavailable):
            await self.process().storage.queues.delete("p", "q")
        self.stores["a"] = kept
        await self.sweep()
        with self.assertRaises(PoolNeeded):
            await self.management.pools.delete("a")
        self.assertEqual(await self.popped(self.here), [b"1"])

    async def test_deleted_as_it_is_made(self) -> None:
        """A queue that is deleted by two, and made again in the midst of the second deletion, is gone and holds no pool."""
        await add_pools(self.management, "a")
        await self.post(self.here)
        await self.here.storage.queues.delete("p", "q")
        store, time = self.stores["a"], Deferred[None]()
        store.queues = cast(IQueueStore, HeldUp(store.queues, "delete", time))
        deleted = Deferred.fromCoroutine(self.here.storage.queues.delete("p", "q"))
        self.assertTrue(await self.there.storage.queues.create("p", "q", b"{}", NO_RULES))
        time.callback(None)
        await deleted
        self.assertEqual(await self.where(), [])
        await Pools(self.here.pooling, Limits()).delete(Context("p"), fields.Pool("a"))
        self.assertEqual(await self.management.pools.all(), [])

    async def test_deleted_before_it_holds(self) -> None:
        """A queue that is deleted after it was made, and before its placement holds, holds no pool."""
        await add_pools(self.management, "a")
        time, known = Deferred[None](), self.management
        held_up = SimpleNamespace(pools=known.pools, flavors=known.flavors, catalog=HeldUp(known.catalog, "place", time))
        slow = Process(cast(IManagement, held_up), self.configured, self.clock, self.store)
        making = Deferred.fromCoroutine(slow.storage.queues.create("p", "q", b"{}", NO_RULES))
        self.assertEqual(await self.where(), ["a"])
        await self.here.storage.queues.delete("p", "q")
        time.callback(None)
        self.assertTrue(await making)
        self.assertEqual(await self.where(), [])
        await Pools(self.here.pooling, Limits()).delete(Context("p"), fields.Pool("a"))
        self.assertEqual(await self.management.pools.all(), [])

    async def test_made_in_vain(self) -> None:
        """Who is refused a queue that somebody else has made meanwhile leaves its placement as it is."""
        await add_pools(self.management, "a")
        await add_pools(self.management, "b", flavor="fast")
        await self.here.storage.queues.create("p", "dead", b"{}", QueueRules(flavor="fast"))
        await self.post(self.here)
        with self.assertRaises(RuleBroken):
            await self.there.placements.make(Place("p", "q"), b"{}", QueueRules(claim_count_max=1, dead_letter_queue="dead"))
        with self.assertRaises(PoolNeeded):
            await self.management.pools.delete("a")

    async def make_held_up(self) -> Deferred[None]:
        """Have a process be held up while it makes a queue in pool ``a``, the only one; when it goes on."""
        await add_pools(self.management, "a")
        store, time = MemoryStorage(self.clock), Deferred[None]()
        queues, self.stores["a"] = store.queues, store
        store.queues = cast(IQueueStore, HeldUp(queues, "create", time))
        self.making = Deferred.fromCoroutine(self.here.storage.queues.create("p", "q", b"{}", NO_RULES))
        store.queues = queues
        return time

    async def test_never_made(self) -> None:
        """A queue whose process dies before it is made holds its pool for a while, and then leaves no placement."""
        await self.make_held_up()
        pools = Pools(self.there.pooling, Limits())
        await self.there.placements.sweep()
        with self.assertRaises(PoolNeeded):
            await pools.delete(Context("p"), fields.Pool("a"))
        self.clock.advance(LEFT_S)
        await self.there.placements.sweep()
        self.assertIsNone(await self.management.catalog.find(Place("p", "q")))
        await pools.delete(Context("p"), fields.Pool("a"))

    async def test_made_too_late(self) -> None:
        """A process that is held up until its placement is forgotten leaves no queue where nobody looks for it."""
        time = await self.make_held_up()
        self.clock.advance(LEFT_S)
        await self.there.placements.sweep()
        await add_pools(self.management, "b")
        await self.management.pools.update("a", PoolChange(weight=0))
        await self.post(self.there)
        time.callback(None)
        self.assertFalse(await self.making)
        self.assertEqual((await self.where(), await self.popped(self.here)), (["b"], [b"1"]))

    async def test_made_without_an_answer(self) -> None:
        """A queue whose making nobody knows the end of holds its pool if it is there, and has what was posted to it."""
        await add_pools(self.management, "a")
        store = self.stores["a"] = MemoryStorage(self.clock)
        store.queues = cast(IQueueStore, Unanswered(store.queues))
        with self.assertRaises(StoreUnavailable):
            await self.here.storage.queues.create("p", "q", b"{}", NO_RULES)
        await self.post(self.there)
        with self.assertRaises(PoolNeeded):
            await Pools(self.there.pooling, Limits()).delete(Context("p"), fields.Pool("a"))
        self.assertEqual(await self.popped(self.there), [b"1"])

    async def test_pool_of_what_was_deleted_goes(self) -> None:
        """When its pool is gone too, a deleted queue is a queue like any other that does not exist."""
        await add_pools(self.management, "a")
        await self.post(self.here)
        knowing = self.process()
        self.assertIsNotNone(await knowing.storage.queues.get("p", "q"))
        await self.here.storage.queues.delete("p", "q")
        await self.management.pools.delete("a")
        for process in (self.there, knowing):
            self.assertIsNone(await process.storage.queues.get("p", "q"))
        await knowing.directory.follow()
        self.assertIsNone(await knowing.storage.queues.get("p", "q"))
        self.assertEqual(await self.there.storage.queues.list("p", "", 10), [])
        self.assertEqual(await self.there.storage.queues.count("p"), 0)
        await self.post(self.there)
        self.assertEqual(await self.where(), [""])


class DeadLetterTests(PlacementCase):
    """Dead letter queues are in the pool of the queues whose dead letters they get."""

    def setUp(self) -> None:
        super().setUp()
        self.rules = QueueRules(claim_count_max=1, dead_letter_queue="dead")

    async def bury(self, process: Process) -> list[bytes]:
        """Have a message of ``q`` moved; what is in the dead letter queue."""
        await self.post(process)
        for _ in range(2):
            claim = await process.storage.claims.create("p", "q", 60, 60, 10)
            if claim is not None:
                await process.storage.claims.release("p", "q", claim.id)
        return await self.popped(process, "dead")

    async def test_made_with_the_queue(self) -> None:
        """A dead letter queue that does not exist is put where the queue is, and stays there when it is deleted."""
        await add_pools(self.management, "a", "b", "c", "d")
        await self.here.storage.queues.create("p", "q", b"{}", self.rules)
        self.assertEqual(await self.bury(self.there), [b"1"])
        self.assertEqual(await self.where("dead"), await self.where())
        await self.here.storage.queues.delete("p", "dead")
        await self.sweep()
        await self.post(self.here, queue="dead")
        self.assertEqual(await self.where("dead"), await self.where())
        self.assertEqual(await self.bury(self.there), [b"1", b"1"])

    async def test_made_before_the_queue(self) -> None:
        """A queue is put where its dead letter queue is."""
        await add_pools(self.management, "a", "b", "c", "d")
        for number in range(10):
            target, name = f"dead{number}", f"q{number}"
            await self.post(self.here, queue=target)
            await self.here.storage.queues.create("p", name, b"{}", QueueRules(claim_count_max=1, dead_letter_queue=target))
            self.assertEqual(await self.where(name), await self.where(target))

    async def test_back_after_its_end(self) -> None:
        """One that its letters have made again holds its pool, though its queue is gone; one that nobody made again does not."""
        await add_pools(self.management, "a")
        pools = Pools(self.here.pooling, Limits())
        for name in ("q", "r"):
            rules = QueueRules(claim_count_max=0, dead_letter_queue=f"dead-{name}")
            await self.here.storage.queues.create("p", name, b"{}", rules)
            await self.here.storage.queues.delete("p", f"dead-{name}")
        await self.post(self.there)
        self.assertIsNone(await self.there.storage.claims.create("p", "q", 60, 60, 10))
        for name in ("q", "r"):
            await self.here.storage.queues.delete("p", name)
        with self.assertRaises(PoolNeeded) as caught:
            await pools.delete(Context("p"), fields.Pool("a"))
        self.assertIn("1 queues", str(caught.exception))
        self.assertEqual(await self.popped(self.there, "dead-q"), [b"1"])
        await self.here.storage.queues.delete("p", "dead-q")
        await pools.delete(Context("p"), fields.Pool("a"))
        self.assertEqual([pool.name for pool in await self.management.pools.all()], [])

    async def test_never_there(self) -> None:
        """One that never was there holds no pool when the queue whose dead letters it would have got is gone, and holds it before."""
        await add_pools(self.management, "a")
        pools = Pools(self.here.pooling, Limits())
        await self.here.storage.queues.create("p", "q", b"{}", self.rules)
        with self.assertRaises(PoolNeeded):
            await pools.delete(Context("p"), fields.Pool("a"))
        self.assertEqual(await self.bury(self.there), [b"1"])
        for name in ("q", "dead"):
            await self.here.storage.queues.delete("p", name)
        await self.here.storage.queues.create("p", "q", b"{}", self.rules)
        await self.here.storage.queues.delete("p", "q")
        await pools.delete(Context("p"), fields.Pool("a"))
        self.assertEqual(await self.management.pools.all(), [])

    async def test_elsewhere(self) -> None:
        """One that is in another pool is refused, when the queue is made and when it is changed."""
        await add_pools(self.management, "a")
        await add_pools(self.management, "b", flavor="fast")
        await self.here.storage.queues.create("p", "dead", b"{}", QueueRules(flavor="fast"))
        with self.assertRaises(RuleBroken) as caught:
            await self.here.storage.queues.create("p", "q", b"{}", self.rules)
        self.assertIn("_dead_letter_queue", str(caught.exception))
        self.assertEqual(await self.where(), [])
        await self.here.storage.queues.create("p", "q", b"{}", NO_RULES)
        with self.assertRaises(RuleBroken):
            await self.here.storage.queues.update("p", "q", b"{}", b'{"a": 1}', self.rules)
        self.assertEqual(await self.here.storage.queues.get("p", "q"), b"{}")
        self.assertFalse(await self.here.storage.queues.update("p", "q", b"other", b"{}", self.rules))


class Forgetful:
    """A store whose messages are not deleted: whoever wants that is told that the outcome is unknown."""

    def __init__(self, store: IStorage) -> None:
        self._store = store
        self.messages = self

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    async def delete_many(self, *args: object) -> None:
        """Fails."""
        raise StoreUnavailable("away", outcome_unknown=True)


class DeadLettersElsewhereTests(PlacementCase):
    """Dead letters whose queue is in another pool by now, or that are to go to one in another pool."""

    async def setUp(self) -> None:  # type: ignore[override]
        super().setUp()
        await add_pools(self.management, "a")
        await add_pools(self.management, "b", flavor="fast")
        self.storage = self.here.storage
        await self.storage.queues.create("p", "q", b"{}", QueueRules(claim_count_max=0, dead_letter_queue="dead"))
        await self.storage.queues.create("p", "fast", b"{}", QueueRules(flavor="fast"))
        for number in range(3):
            await self.post(self.here, b"%d" % number)
        self.assertIsNone(await self.storage.claims.create("p", "q", 60, 60, 10))
        self.assertEqual((await self.where("dead"), await self.where("fast")), (["a"], ["b"]))

    async def send(self, limit: int = 10, to: str | None = None, gap_ms: float = 0) -> SentBack:
        """Send some back."""
        return await self.storage.dead_letters.send_back("p", "dead", SendBack(None, limit, to, gap_ms))

    async def test_asked_for(self) -> None:
        """Those that are sent to a queue in another pool are there then, and no longer where they were."""
        ids = [one.id for one in await self.storage.dead_letters.list("p", "dead", marker=None, limit=10)]
        self.assertEqual(await self.send(2, "fast"), SentBack(2, 1))
        (left,) = await self.storage.dead_letters.list("p", "dead", marker=None, limit=10)
        self.assertEqual((left.id, left.body), (ids[2], b"2"))
        found = await self.storage.messages.get("p", "fast", ids)
        self.assertEqual([(one.id, one.body, one.dead) for one in found], [(ids[0], b"0", None), (ids[1], b"1", None)])

    async def test_made_anew(self) -> None:
        """Those of a queue that was deleted, and is in another pool now, go there; those of others to theirs."""
        await self.storage.queues.create("p", "r", b"{}", QueueRules(claim_count_max=0, dead_letter_queue="dead"))
        await self.post(self.here, b"r", "r")
        self.assertIsNone(await self.storage.claims.create("p", "r", 60, 60, 10))
        await self.storage.queues.delete("p", "q")
        await self.sweep()
        await self.storage.queues.create("p", "q", b"{}", QueueRules(flavor="fast"))
        self.assertEqual(await self.where(), ["b"])
        self.assertEqual(await self.send(gap_ms=1000), SentBack(4, 0))
        self.assertEqual((await self.popped(self.here), await self.popped(self.here, "r")), ([b"0"], []))
        self.clock.advance(2)
        self.assertEqual((await self.popped(self.here), await self.popped(self.here, "r")), ([b"1", b"2"], []))
        self.clock.advance(1)
        self.assertEqual(await self.popped(self.here, "r"), [b"r"])

    async def test_missing(self) -> None:
        """Where a queue is nowhere it is made, in whichever pool takes it, or what goes there stays."""
        await self.storage.queues.delete("p", "q")
        await self.sweep()
        stay = await self.storage.dead_letters.send_back("p", "dead", SendBack(None, 10), create=False)
        self.assertEqual(stay, SentBack(0, 3, "q"))
        self.assertEqual(await self.send(), SentBack(3, 0))
        self.assertEqual(await self.popped(self.there), [b"0", b"1", b"2"])

    async def test_cut_short(self) -> None:
        """Where the end of a step is lost, nothing is: who repeats it has each once, also when it was consumed meanwhile."""
        whole, self.stores["a"] = self.stores["a"], cast(IStorage, Forgetful(self.stores["a"]))
        self.storage = self.process().storage
        with self.assertRaises(StoreUnavailable):
            await self.send(2, "fast")
        self.stores["a"] = whole
        self.storage = self.process().storage
        self.assertEqual(await self.popped(self.here, "fast"), [b"0", b"1"])
        self.assertEqual(await self.send(to="fast"), SentBack(3, 0))
        self.assertEqual(await self.popped(self.here, "fast"), [b"2"])


class ManyTests(PlacementCase):
    """What goes over all pools."""

    async def test_list(self) -> None:
        """Queues of all pools are listed in one order, whatever the size of a page."""
        await add_pools(self.management, "a", "b", "c")
        random = Random(2)
        names = [f"q{number:02}" for number in range(30)]
        for name in random.sample(names, 30):
            await self.here.storage.queues.create("p", name, b'"%s"' % name.encode(), NO_RULES)
        await self.configured.queues.create("p", "q05x", b"{}", NO_RULES)
        for name in random.sample(names, 10):
            await self.here.storage.queues.delete("p", name)
            names.remove(name)
        expected = sorted([*names, "q05x"])
        for limit in (1, 2, 7, 20, 100):
            found: list[QueueEntry] = []
            while page := await self.there.storage.queues.list("p", found[-1].name if found else "", limit):
                found += page
            self.assertEqual([entry.name for entry in found], expected)
        self.assertEqual(found[0].metadata, b'"%s"' % found[0].name.encode())
        self.assertEqual(await self.there.storage.queues.count("p"), 21)

    async def test_a_dead_pool(self) -> None:
        """A pool that does not answer fails for what is in it, and for nothing else."""
        await add_pools(self.management, "a")
        await self.post(self.here, queue="well")
        await self.management.pools.update("a", PoolChange(weight=0))
        await add_pools(self.management, "b")
        await self.post(self.here, queue="ill")
        await self.here.storage.subscriptions.create("p", "well", NewSubscription("http://x", 60))
        self.stores["b"] = FailingStorage(AWAY)
        process = self.process()
        with self.assertRaises(StoreUnavailable):
            await process.storage.queues.get("p", "ill")
        with self.assertRaises(StoreUnavailable):
            await self.post(process, queue="ill")
        with self.assertRaises(StoreUnavailable):
            await process.storage.queues.list("p", "", 10)
        self.assertEqual(await process.storage.queues.list("other", "", 10), [])
        await self.post(process, b"2", queue="well")
        self.assertEqual(await process.storage.deliveries.due(10), [Place("p", "well")])
        self.assertEqual((await process.storage.deliveries.beat("g"))[0], ["g"])
        self.assertEqual((await process.storage.volume()).total, 2)
        self.assertEqual(await self.popped(process, "well"), [b"1", b"2"])
        await process.storage.deliveries.leave("g")

    async def test_places(self) -> None:
        """A pass over the places of all pools comes to each of them and to an end."""
        await add_pools(self.management, "a", "b", "c d")
        expected = set()
        for number in range(30):
            await self.here.storage.subscriptions.create("p", f"q{number}", NewSubscription("http://x", 60))
            expected.add(Place("p", f"q{number}"))
        await self.there.directory.follow()
        found: list[Place] = []
        after = ""
        while True:
            page, after = await self.there.storage.deliveries.places(after, 4)
            found += page
            if not after:
                break
        self.assertEqual((set(found), len(found)), (expected, 30))

    async def test_due(self) -> None:
        """What is due in all pools is told, each in its turn."""
        await add_pools(self.management, "a", "b")
        for number in range(20):
            await self.here.storage.subscriptions.create("p", f"q{number}", NewSubscription("http://x", 60))
            await self.post(self.here, queue=f"q{number}")
        await self.there.directory.follow()
        self.assertEqual(len(set(await self.there.storage.deliveries.due(100))), 20)
        some = await self.there.storage.deliveries.due(6)
        pools = Counter([uri for place in some for uri in await self.where(place.name)])
        self.assertEqual((pools["a"], pools["b"]), (3, 3))

    async def test_a_pool_that_hangs(self) -> None:
        """A pool that gives no answer holds up the beats and the deliveries of others for a moment only."""
        await add_pools(self.management, "a", "b")
        for number in range(10):
            await self.here.storage.subscriptions.create("p", f"q{number}", NewSubscription("http://x", 600))
            await self.post(self.here, queue=f"q{number}")
        self.stores["b"] = hanging = FailingStorage(AWAY)
        hanging.deliveries = Hanging()
        process = self.process()
        await process.directory.follow()
        for work in (process.storage.deliveries.beat("g"), process.storage.deliveries.due(100)):
            done = Deferred.fromCoroutine(work)
            self.assertNoResult(done)
            self.clock.advance(PATIENCE_S)
            self.assertTrue(self.successResultOf(done))

    async def test_taken_for_dead(self) -> None:
        """A pool that has forgotten this process matters only if sockets of it have subscribed there."""
        await add_pools(self.management, "a")
        deliveries = self.here.storage.deliveries
        await self.here.directory.refresh()
        await deliveries.beat("g")
        for _ in range(3):
            self.clock.advance(3)
            await self.configured.deliveries.beat("g")
            await self.stores["a"].deliveries.beat("another")
        self.assertEqual(await deliveries.beat("g"), (["g"], False))
        await self.here.storage.subscriptions.create("p", "q", NewSubscription("ws:1", 600, owner="g"))
        for _ in range(3):
            self.clock.advance(3)
            await self.configured.deliveries.beat("g")
            await self.stores["a"].deliveries.beat("another")
        self.assertEqual(await deliveries.beat("g"), (["g"], True))


class FollowingTests(PlacementCase):
    """What becomes of pools is followed."""

    async def test_uri_changes(self) -> None:
        """A pool whose URI changes is at the new one, and the store at the old one is closed when it is idle."""
        await add_pools(self.management, "a")
        await self.post(self.here)
        await self.management.pools.update("a", PoolChange(uri="moved"))
        self.assertEqual(await self.popped(self.here), [b"1"])
        await self.here.directory.follow()
        self.assertEqual(await self.popped(self.here), [])
        (old, new) = self.here.backends
        self.assertIs(new.storage, self.stores["moved"])
        self.clock.advance(CLOSE_AFTER_S)
        self.assertEqual((old.stopped, new.stopped), (1, 0))

    async def test_another_of_its_name(self) -> None:
        """Nothing is made in the store of a pool in whose place is another of its name, though that was not followed yet."""
        await add_pools(self.management, "a")
        for process in (self.here, self.there):
            await self.post(process)
        await self.here.storage.queues.delete("p", "q")
        await self.management.pools.delete("a")
        await self.management.pools.put(Pool("a", "another", 10))
        await self.post(self.there, b"2")
        self.assertEqual((await self.where(), await self.popped(self.process())), (["another"], [b"2"]))

    async def test_weight_changes(self) -> None:
        """Another weight or flavor closes and opens nothing."""
        await add_pools(self.management, "a")
        await self.here.directory.follow()
        await self.management.pools.update("a", PoolChange(weight=1, flavor="fast"))
        await self.here.directory.follow()
        self.assertEqual([pool.weight for pool in self.here.directory.of_flavor("fast")], [1])
        self.assertEqual(len(self.here.backends), 1)

    async def test_rings(self) -> None:
        """Who waits hears rings of pools that come later, and of a pool that has moved."""
        rung: list[Place] = []
        missed: list[None] = []
        heard: list[str] = []
        self.here.storage.doorbells.attend(rung.append, lambda: missed.append(None))
        await add_pools(self.management, "a")
        await self.here.storage.subscriptions.create("p", "q", NewSubscription("http://x", 600))
        end = self.here.storage.doorbells.watch(Place("p", "q"), lambda: heard.append("q"))
        await self.post(self.here)
        self.clock.advance(0)
        self.assertEqual((rung, heard), ([Place("p", "q")], ["q"]))
        await self.management.pools.update("a", PoolChange(uri="moved"))
        await self.here.directory.follow()
        await self.here.storage.subscriptions.create("p", "q", NewSubscription("http://x", 600))
        heard.clear()
        await self.post(self.here)
        self.clock.advance(0)
        self.assertEqual((len(rung), heard), (2, ["q"]))
        self.assertTrue(missed)
        end()
        await self.post(self.here)
        self.clock.advance(0)
        self.assertEqual(heard, ["q"])

    async def test_ring_where_there_was_nothing(self) -> None:
        """Who waits at a place that does not exist hears the post that makes it, in whichever pool."""
        heard: list[str] = []
        self.here.storage.doorbells.watch(Place("p", "q"), lambda: heard.append("q"))
        await add_pools(self.management, "a")
        await self.post(self.here)
        self.clock.advance(0)
        self.assertEqual(heard, ["q"])

    async def test_stop(self) -> None:
        """All stores are closed at the end, those too that were to be closed later."""
        await add_pools(self.management, "a", "b")
        await self.here.directory.follow()
        await self.management.pools.delete("a")
        await self.here.directory.follow()
        await self.here.directory.stop()
        self.assertEqual([backend.stopped for backend in self.here.backends], [1, 1])
        self.clock.advance(CLOSE_AFTER_S)
        self.assertEqual([backend.stopped for backend in self.here.backends], [1, 1])


class Slow:
    """A part of a store, or a store, each of whose steps takes some time before it and some after."""

    def __init__(self, part: object, clock: Clock, random: Random) -> None:
        self._part, self._clock, self._random = part, clock, random

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._part, name)
        if not callable(found):
            return Slow(found, self._clock, self._random)

        async def step(*args: object, **kwargs: object) -> object:
            await deferLater(self._clock, self._random.random())
            answer = await found(*args, **kwargs)
            await deferLater(self._clock, self._random.random())
            return answer

        return step


class InterleavingTests(PlacementCase):
    """Steps of several processes in any order."""

    async def settle(self, work: list[Deferred[None]]) -> None:
        """Let time pass until all is done."""
        while not all(each.called for each in work):
            self.clock.advance(0.25)
        await gatherResults(work)

    async def replace_pools(self, process: Process, random: Random) -> None:
        """Remove pools that nothing is in, and make others of their names, with other stores."""
        pools = Pools(process.pooling, Limits())
        for number in range(15):
            await deferLater(self.clock, random.choice((1, 4, 8)))
            name = random.choice("abc")
            if process.directory.has(name):
                with contextlib.suppress(PoolNeeded):
                    await pools.delete(Context("p"), fields.Pool(name))
            else:
                await self.management.pools.put(Pool(name, f"{name}{number}", 10))

    async def interleave(self, seed: int, *, replacing: bool = False) -> None:
        """Have two processes make, post to and delete a few queues, all at the same time, and look at what is left."""
        random = Random(seed)

        def process() -> Process:
            management: Any = Slow(self.management, self.clock, random)
            return Process(
                management,
                self.configured,
                self.clock,
                lambda uri: cast(IStorage, Slow(self.store(uri), self.clock, random)),
                left_s=ceil(KNOWN_S) + 3,  # a step takes less than two seconds
            )

        begun: dict[str, set[bytes]] = defaultdict(set)
        posted: dict[str, set[bytes]] = defaultdict(set)
        deleted: dict[str, set[bytes]] = defaultdict(set)

        async def client(process: Process, number: int) -> None:
            for turn in range(10):
                await deferLater(self.clock, random.choice((0, 0, 1, 8)))
                name, body = f"q{random.randrange(2)}", b"%d" % (100 * number + turn)
                does = random.choice(("post", "post", "create", "delete"))
                with contextlib.suppress(RuleBroken, StoreUnavailable):  # it is in another pool; the others were always faster
                    if does == "post":
                        begun[name].add(body)
                        await self.post(process, body, name)
                        posted[name].add(body)
                    elif does == "create":
                        buries = replacing and random.random() < 0.5
                        rules = QueueRules(claim_count_max=1, dead_letter_queue="q2") if buries else NO_RULES
                        await process.storage.queues.create("p", name, b"{}", rules)
                    else:
                        await process.storage.queues.delete("p", name)
                        deleted[name] |= begun[name]

        processes = [process(), process()]
        steps = [step for each in processes for step in (each.placements.sweep, each.directory.follow)]
        looping = [LoopingCall(lambda step=step: Deferred.fromCoroutine(step())) for step in steps]
        for each in looping:
            each.clock = self.clock
            each.start(1)
        clients = [client(processes[n % 2], n) for n in range(4)]
        if replacing:
            clients.append(self.replace_pools(processes[seed % 2], random))
        await self.settle([Deferred.fromCoroutine(each) for each in clients])
        for each in looping:
            each.stop()
        self.clock.pump([1] * 10)
        fresh = self.process()
        uris = {"": "", **{pool.name: pool.uri for pool in await self.management.pools.all()}}
        for name in ("q0", "q1", "q2"):
            where, placed = await self.where(name), await self.management.catalog.find(Place("p", name))
            where = [uri for uri in where if uri in uris.values()]
            self.assertEqual(where, [uris[placed.pool]] if where and placed else [], (seed, name))
            # What was begun before the last delete had ended may have been deleted with its queue.
            kept = set(await self.popped(fresh, name))
            self.assertLessEqual(posted[name] - deleted[name], kept, (seed, name))
            self.assertLessEqual(kept, begun[name])
        self.clock.advance(LEFT_S)
        await fresh.placements.sweep()
        in_use = {uri for name in ("q0", "q1", "q2") for uri in await self.where(name)}
        for pool in await self.management.pools.all():
            with self.assertRaises(PoolNeeded) if pool.uri in in_use else contextlib.nullcontext():
                await Pools(fresh.pooling, Limits()).delete(Context("p"), fields.Pool(pool.name))

    async def test_any_order(self) -> None:
        """A queue is never in two pools nor in another than its placement says, and no acknowledged message is lost."""
        for seed in range(60):
            self.setUp()
            await add_pools(self.management, "a", "b", "c")
            await self.interleave(seed)

    async def test_pools_that_are_replaced(self) -> None:
        """The same where pools go and others come in their places: one that goes takes nothing with it, and is held by nothing."""
        for seed in range(60):
            self.setUp()
            await add_pools(self.management, "a", "b", "c")
            await self.interleave(seed, replacing=True)

    async def test_watches_that_end_when_rung(self) -> None:
        """Nothing goes on watching in a new pool of which the first watch rings for all."""
        doorbells = self.here.storage.doorbells
        await add_pools(self.management, "a")
        await self.here.directory.refresh()
        bells: Any = cast("Any", self.store("b")).doorbells
        watch, watched = MemoryDoorbells.watch, []
        ends: list[Callable[[], None]] = []

        def ringing(where: MemoryDoorbells, place: Place, ring: Callable[[], None]) -> Callable[[], None]:
            end = watch(where, place, ring)
            if where is bells:
                watched.append(place)
                ring()
            return end

        def rung() -> None:
            while ends:
                ends.pop()()

        self.patch(MemoryDoorbells, "watch", ringing)
        for name in ("q", "r"):
            ends.append(doorbells.watch(Place("p", name), rung))
        await add_pools(self.management, "b")
        await self.here.directory.follow()
        self.assertIn("b", self.here.directory.all())
        self.assertEqual(len(watched), 1)
        self.assertEqual(bells._watching, {})
