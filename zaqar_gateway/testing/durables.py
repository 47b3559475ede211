"""What every :class:`~zaqar_gateway.interfaces.IDurableStore` has to do."""

from __future__ import annotations

from zope.interface.verify import verifyObject

from zaqar_gateway.errors import QuotaExceeded
from zaqar_gateway.interfaces import IDurableStore
from zaqar_gateway.model import Attached, Durable
from zaqar_gateway.testing.base import StoreContract, numbered

HOLD_S = 30


def message_id(number: int) -> str:
    """An id: they sort by their numbers."""
    return f"{number:014x}{'ab' * 5}"


class DurableStoreContract(StoreContract):
    """Durable names.  Those who hold them are ``one`` and ``two``."""

    async def attach(
        self, owner: str = "one", name: str = "n", *, at: int = 0, ttl_s: int = 600, most: int = 10, queue: str = "q"
    ) -> Attached:
        """Attach a name."""
        return await self.storage.durables.attach(
            "p", queue, name, owner, marker=message_id(at), ttl_s=ttl_s, hold_ms=HOLD_S * 1000, most=most
        )

    steps = 0

    async def advance(
        self, at: int, *numbers: int, owner: str = "one", name: str = "n", step: int | None = None
    ) -> bool:
        """Give messages to a name.

        :param step: its number; ``None``: the next one.
        """
        self.steps += 1
        given = [message_id(each) for each in numbers]
        return await self.storage.durables.advance(
            "p", "q", name, owner, self.steps if step is None else step, message_id(at), given, hold_ms=HOLD_S * 1000
        )

    async def done(self, *numbers: int, owner: str = "one", name: str = "n") -> bool:
        """Messages are done."""
        return await self.storage.durables.acknowledge(
            "p", "q", name, owner, [message_id(each) for each in numbers], hold_ms=HOLD_S * 1000
        )

    async def names(self, queue: str = "q") -> list[str]:
        """The names of a queue."""
        return [each.name for each in await self.storage.durables.list("p", queue)]

    async def alone(self) -> Durable:
        """The name, where there is one only."""
        (found,) = await self.storage.durables.list("p", "q")
        return found

    def test_durables_provide_interface(self) -> None:
        """The store has them, with the methods of the interface."""
        verifyObject(IDurableStore, self.storage.durables)

    async def test_new_name(self) -> None:
        """A new name begins where it was told to, and nothing is pending."""
        self.assertEqual(await self.attach(at=7), Attached(True, message_id(7), []))
        self.assertEqual(await self.alone(), Durable("n", message_id(7), 0, True, 600 + HOLD_S))

    async def test_no_names(self) -> None:
        """A queue without names has none, whether or not it exists; what nobody holds cannot be held on or let go."""
        await self.put(b"1", queue="there")
        self.assertEqual((await self.names(), await self.names("there")), ([], []))
        self.assertFalse(await self.advance(1, 1))
        self.assertFalse(await self.done(1))
        self.assertEqual(list(await self.storage.durables.renew("p", "q", [("n", "one")], hold_ms=1000)), [])
        await self.storage.durables.detach("p", "q", "n", "one")
        self.assertFalse(await self.storage.durables.delete("p", "q", "n"))
        self.assertEqual(await self.names(), [])

    async def test_pending(self) -> None:
        """What was given and is not done is pending, in order, for whoever attaches the name next; where it began counts
        for a new name alone."""
        await self.attach()
        self.assertTrue(await self.advance(5, 2, 3, 5))
        self.assertTrue(await self.advance(12, 11, 12))
        self.assertTrue(await self.done(3, 11, 99))
        self.assertEqual((await self.alone()).pending, 3)
        expected = Attached(False, message_id(12), [message_id(each) for each in (2, 5, 12)])
        self.assertEqual(await self.attach("two", at=99), expected)
        self.assertTrue(await self.done(2, 5, 12, owner="two"))
        self.assertEqual(await self.attach("one"), Attached(False, message_id(12), []))

    async def test_order(self) -> None:
        """The order of what is pending is that in which it was given, which is not that of the ids in a dead letter queue."""
        await self.attach()
        await self.advance(3, 7, 3)
        await self.advance(5, 9, 5)
        await self.done(3)
        self.assertEqual((await self.attach()).pending, [message_id(each) for each in (7, 9, 5)])

    async def test_given_twice(self) -> None:
        """A message that is given again is pending once; the marker moves without messages."""
        await self.attach()
        await self.advance(5, 4, 5)
        await self.advance(6, 5)
        await self.advance(8)
        self.assertEqual(await self.attach(), Attached(False, message_id(8), [message_id(4), message_id(5)]))

    async def test_late_repetition(self) -> None:
        """A step that was asked for again, and comes late, changes nothing; under the next owner they are counted anew."""
        await self.attach()
        await self.advance(5, 4, 5, step=1)
        await self.done(4)
        await self.advance(8, 8, step=2)
        for step, at, number in ((1, 5, 4), (2, 8, 8), (1, 5, 5)):
            self.assertTrue(await self.advance(at, number, step=step))
            self.assertEqual(await self.done(number), True)
            self.assertTrue(await self.advance(at, number, step=step))
        found = await self.alone()
        self.assertEqual((found.marker, found.pending), (message_id(8), 0))
        await self.attach("two")
        self.assertTrue(await self.advance(9, 9, owner="two", step=1))
        self.assertEqual((await self.alone()).marker, message_id(9))

    async def test_many(self) -> None:
        """Thousands may be pending, and done at once."""
        await self.attach()
        numbers = range(1, 4001)
        self.assertTrue(await self.advance(4000, *numbers))
        self.assertEqual((await self.attach()).pending, [message_id(each) for each in numbers])
        self.assertTrue(await self.done(*numbers[:-1]))
        self.assertEqual((await self.attach()).pending, [message_id(4000)])

    async def test_takeover(self) -> None:
        """Whoever attaches a name holds it, and what the former asks changes nothing."""
        await self.attach()
        await self.advance(3, 1, 2, 3)
        await self.attach("two")
        self.assertFalse(await self.advance(9, 9))
        self.assertFalse(await self.done(1))
        await self.storage.durables.detach("p", "q", "n", "one")
        found = await self.alone()
        self.assertEqual((found.marker, found.pending, found.attached), (message_id(3), 3, True))
        self.assertTrue(await self.done(1, owner="two"))

    async def test_holding(self) -> None:
        """Those of some holds are told that hold; each is held for a time from then on."""
        await self.attach("one", "a")
        await self.attach("one", "b")
        await self.attach("two", "b")
        self.clock.advance(HOLD_S - 1)
        holds = [("a", "one"), ("b", "one"), ("c", "one")]
        held = await self.storage.durables.renew("p", "q", holds, hold_ms=HOLD_S * 1000)
        self.assertEqual(list(held), [("a", "one")])
        self.clock.advance(HOLD_S - 1)
        shown = await self.storage.durables.list("p", "q")
        self.assertEqual([(each.name, each.attached) for each in shown], [("a", True), ("b", False)])
        self.assertTrue(await self.advance(1, owner="two", name="b"), "nobody else has attached it")

    async def test_let_go(self) -> None:
        """A name that was let go is kept for its ttl from then on; it can be attached, and begins a new life after."""
        await self.attach(ttl_s=60)
        await self.advance(2, 1, 2)
        await self.storage.durables.detach("p", "q", "n", "one")
        self.assertFalse(await self.done(1), "it is not held any more")
        self.assertEqual(await self.alone(), Durable("n", message_id(2), 2, False, 60))
        self.clock.advance(59)
        self.assertFalse((await self.attach(ttl_s=60)).is_new)
        await self.storage.durables.detach("p", "q", "n", "one")
        self.clock.advance(60)
        self.assertEqual(await self.names(), [])
        self.assertEqual(await self.attach(at=5), Attached(True, message_id(5), []))

    async def test_holder_that_died(self) -> None:
        """A name is held for as long as was said and is then kept for its ttl; what is asked meanwhile holds it on."""
        await self.attach(ttl_s=60)
        self.clock.advance(20)
        await self.advance(1, 1)
        self.clock.advance(20)
        await self.done(1)
        self.clock.advance(HOLD_S - 1)
        self.assertTrue((await self.alone()).attached)
        self.clock.advance(1)
        self.assertEqual((await self.alone()).attached, False)
        self.clock.advance(59)
        self.assertEqual(await self.names(), ["n"])
        self.clock.advance(1)
        self.assertFalse(await self.advance(2, 2))
        self.assertEqual(await self.names(), [])

    async def test_ttl(self) -> None:
        """The ttl is the one of the last attachment."""
        await self.attach(ttl_s=60)
        await self.attach(ttl_s=1000)
        await self.storage.durables.detach("p", "q", "n", "one")
        self.assertEqual((await self.alone()).expires_in_s, 1000)

    async def test_deleted(self) -> None:
        """A name that is deleted is gone with all that was pending, also for who holds it."""
        await self.attach()
        await self.advance(1, 1)
        self.assertTrue(await self.storage.durables.delete("p", "q", "n"))
        self.assertFalse(await self.storage.durables.delete("p", "q", "n"))
        self.assertFalse(await self.done(1))
        self.assertEqual(await self.attach(at=3), Attached(True, message_id(3), []))

    async def test_quota(self) -> None:
        """A queue has no more names than it may have; those that are over do not count, those that exist stay usable."""
        await self.attach(name="a", ttl_s=60, most=2)
        await self.attach(name="b", most=2)
        with self.assertRaises(QuotaExceeded):
            await self.attach(name="c", most=2)
        self.assertFalse((await self.attach("two", "a", ttl_s=60, most=2)).is_new)
        self.assertTrue((await self.attach(name="c", queue="other", most=2)).is_new)
        self.clock.advance(60 + HOLD_S)
        self.assertTrue((await self.attach(name="c", most=2)).is_new)
        self.assertEqual(await self.names(), ["b", "c"])

    async def test_apart(self) -> None:
        """Names of one queue, and equal names of different queues and projects, have nothing to do with each other; one that
        begins like another is another."""
        await self.attach(name="n")
        await self.advance(1, 1)
        for project, queue, name in (("p", "q", "n.n"), ("p", "q2", "n"), ("p2", "q", "n")):
            made = await self.storage.durables.attach(
                project, queue, name, "one", marker=message_id(9), ttl_s=60, hold_ms=1000, most=10
            )
            self.assertEqual(made, Attached(True, message_id(9), []))
            self.assertTrue(await self.storage.durables.delete(project, queue, name))
        self.assertEqual((await self.alone()).pending, 1)

    async def test_queue_that_goes(self) -> None:
        """Names stay when the queue is purged, deleted, and made anew."""
        await self.put(*numbered(2))
        await self.attach()
        await self.advance(2, 1, 2)
        await self.storage.queues.purge("p", "q")
        await self.storage.queues.delete("p", "q")
        self.assertTrue(await self.done(1))
        await self.put(*numbered(1))
        self.assertEqual((await self.attach()).pending, [message_id(2)])
