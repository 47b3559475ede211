"""What a store that pools are managed in has to do."""

from __future__ import annotations

from typing import TYPE_CHECKING

from twisted.internet.task import Clock
from zope.interface.verify import verifyObject

from zaqar_gateway.errors import PoolMissing, PoolNeeded, PoolUriTaken
from zaqar_gateway.interfaces import ICatalog, IFlavorStore, IManagement, IPoolStore
from zaqar_gateway.model import Flavor, Place, Placement, Pool, PoolChange

if TYPE_CHECKING:
    from twisted.trial.unittest import TestCase as _Base
else:
    _Base = object  # a mixin that were a TestCase would be collected wherever it is imported

HERE = Place("p", "q")


class ManagementContract(_Base):
    """Pools, flavors and placements.  A subclass sets ``clock`` and ``management``, which is empty, in ``setUp``."""

    clock: Clock
    management: IManagement

    async def put(self, *names: str, flavor: str | None = None) -> None:
        """Add pools."""
        for name in names:
            await self.management.pools.put(Pool(name, f"redis://{name}", 10, flavor))

    async def names(self, flavor: str | None = None) -> list[str]:
        """The names of the pools of a flavor."""
        return [pool.name for pool in await self.management.pools.all() if pool.flavor == flavor]

    async def place(self, pool: str, place: Place = HERE) -> str | None:
        """Place something; the pool that it is in."""
        placed = await self.management.catalog.place(place, pool)
        return None if placed is None else placed.pool

    def test_management_provides_interfaces(self) -> None:
        """The parts have the methods of their interfaces."""
        verifyObject(IManagement, self.management)
        verifyObject(IPoolStore, self.management.pools)
        verifyObject(IFlavorStore, self.management.flavors)
        verifyObject(ICatalog, self.management.catalog)

    # -- pools -------------------------------------------------------------------------------------------------------

    async def test_pools_in_order(self) -> None:
        """Pools are listed by name, as they were put."""
        pools = [
            Pool("a b", "redis://1", 4294967295, "fast", b'{"x": [1]}'),
            Pool("caf\u00e9/{x}", "redis://:secret@2/\u00e9", 0),
            Pool("b", "redis://3", 1),
        ]
        for pool in pools:
            await self.management.pools.put(pool)
        self.assertEqual(await self.management.pools.all(), sorted(pools, key=lambda pool: pool.name))

    async def test_put_replaces(self) -> None:
        """Of a pool that is put again nothing is left of before, not even its claim to its URI."""
        await self.management.pools.put(Pool("a", "redis://1", 1, "fast", b'{"x": 1}'))
        await self.management.pools.put(Pool("a", "redis://2", 2))
        await self.management.pools.put(Pool("b", "redis://1", 3))
        self.assertEqual(await self.management.pools.all(), [Pool("a", "redis://2", 2), Pool("b", "redis://1", 3)])

    async def test_uri_is_of_one_pool(self) -> None:
        """A URI of another pool is refused, and nothing changes; URIs are compared as text."""
        await self.put("a", "b")
        before = await self.management.pools.all(), await self.management.pools.version()
        with self.assertRaises(PoolUriTaken):
            await self.management.pools.put(Pool("c", "redis://a", 1))
        with self.assertRaises(PoolUriTaken):
            await self.management.pools.update("b", PoolChange(uri="redis://a", weight=5))
        self.assertEqual((await self.management.pools.all(), await self.management.pools.version()), before)
        await self.management.pools.put(Pool("c", "redis://a/", 1))

    async def test_update(self) -> None:
        """What is given changes, and an empty flavor is none."""
        await self.management.pools.put(Pool("a", "redis://1", 1, "fast", b'{"x": 1}'))
        for change, expected in (
            (PoolChange(weight=0), Pool("a", "redis://1", 0, "fast", b'{"x": 1}')),
            (PoolChange(uri="redis://2", options=b"{}"), Pool("a", "redis://2", 0, "fast")),
            (PoolChange(flavor=""), Pool("a", "redis://2", 0)),
            (PoolChange(flavor="slow", weight=7), Pool("a", "redis://2", 7, "slow")),
        ):
            self.assertEqual(await self.management.pools.update("a", change), expected)
            self.assertEqual(await self.management.pools.all(), [expected])
        self.assertIsNone(await self.management.pools.update("b", PoolChange(weight=1)))

    async def test_version_changes(self) -> None:
        """Whatever changes a pool changes the version, and nothing else does."""
        seen = [await self.management.pools.version()]
        await self.put("a", "b")
        seen.append(await self.management.pools.version())
        await self.management.pools.update("a", PoolChange(weight=1))
        seen.append(await self.management.pools.version())
        await self.management.flavors.put("p", "fast", ["a"], create=True)
        seen.append(await self.management.pools.version())
        await self.management.flavors.delete("p", "fast")
        seen.append(await self.management.pools.version())
        await self.management.pools.delete("a")
        seen.append(await self.management.pools.version())
        self.assertEqual(seen, sorted(set(seen)))
        await self.management.pools.delete("a")
        await self.management.flavors.delete("p", "fast")
        await self.place("b")
        self.assertEqual(await self.management.pools.version(), seen[-1])

    async def test_delete_pool(self) -> None:
        """A pool that is gone leaves its URI to others; a missing one is no error."""
        await self.put("a", "b")
        await self.management.pools.delete("a")
        await self.management.pools.delete("nonesuch")
        self.assertEqual(await self.names(), ["b"])
        await self.management.pools.put(Pool("c", "redis://a", 1))

    async def test_last_pool_of_a_flavor(self) -> None:
        """The last pool of a flavor stays, while there is that flavor; a flavor that there never was protects nothing."""
        await self.put("a", "b", flavor="fast")
        await self.put("c", flavor="never made")
        await self.management.flavors.put("p", "fast", ["a", "b"], create=True)
        await self.management.pools.delete("a")
        with self.assertRaises(PoolNeeded):
            await self.management.pools.delete("b")
        await self.management.pools.delete("c")
        self.assertEqual(await self.names("fast"), ["b"])
        await self.management.flavors.delete("p", "fast")
        await self.management.pools.delete("b")
        self.assertEqual(await self.management.pools.all(), [])

    async def test_pool_in_use(self) -> None:
        """A pool in which something is stays until that is being deleted."""
        await self.put("a")
        await self.place("a")
        await self.place("a", Place("p", "q", is_topic=True))
        await self.management.catalog.leave(HERE, 60)
        with self.assertRaises(PoolNeeded):
            await self.management.pools.delete("a")
        await self.management.catalog.leave(Place("p", "q", is_topic=True), 60)
        await self.management.pools.delete("a")
        self.assertEqual(await self.names(), [])

    # -- flavors -----------------------------------------------------------------------------------------------------

    async def test_flavor(self) -> None:
        """The pools of a flavor are those that were given last, and no others, in order."""
        await self.put("a", "b", "c")
        await self.put("d", flavor="fast")
        self.assertTrue(await self.management.flavors.put("p", "fast", ["c", "a"], create=True))
        self.assertEqual(await self.management.flavors.get("p", "fast"), Flavor("fast", ("a", "c")))
        self.assertTrue(await self.management.flavors.put("p", "fast", ["b"], create=True))
        self.assertEqual(await self.management.flavors.get("p", "fast"), Flavor("fast", ("b",)))
        self.assertEqual(await self.names(), ["a", "c", "d"])

    async def test_flavor_takes_pools_from_others(self) -> None:
        """A pool is of one flavor; another flavor may be left without any."""
        await self.put("a")
        await self.management.flavors.put("p", "fast", ["a"], create=True)
        await self.management.flavors.put("p", "slow", ["a"], create=True)
        self.assertEqual(await self.management.flavors.get("p", "fast"), Flavor("fast", ()))
        self.assertEqual(await self.management.flavors.get("p", "slow"), Flavor("slow", ("a",)))

    async def test_flavor_of_missing_pools(self) -> None:
        """A pool that does not exist is named, and nothing changes."""
        await self.put("a")
        with self.assertRaises(PoolMissing) as caught:
            await self.management.flavors.put("p", "fast", ["a", "nonesuch"], create=True)
        self.assertEqual(caught.exception.pool, "nonesuch")
        self.assertIsNone(await self.management.flavors.get("p", "fast"))
        self.assertEqual(await self.names(), ["a"])

    async def test_missing_flavor_is_not_made(self) -> None:
        """Where it is not to be made, a missing flavor is told before a missing pool."""
        self.assertFalse(await self.management.flavors.put("p", "fast", ["nonesuch"], create=False))
        self.assertIsNone(await self.management.flavors.get("p", "fast"))

    async def test_flavors_of_projects(self) -> None:
        """Flavors are listed by name, those of other projects left out."""
        await self.put("a", "b")
        for name in ("z", "m", "a b", "\u00e9"):
            await self.management.flavors.put("p", name, ["a"], create=True)
        await self.management.flavors.put("other", "m", ["b"], create=True)
        page = await self.management.flavors.list("p", "", 2)
        self.assertEqual([flavor.name for flavor in page], ["a b", "m"])
        page = await self.management.flavors.list("p", "m", 10)
        self.assertEqual([flavor.name for flavor in page], ["z", "\u00e9"])
        self.assertEqual(await self.management.flavors.list("other", "", 10), [Flavor("m", ("b",))])

    async def test_delete_flavor(self) -> None:
        """Its pools lose it, unless another project has one of that name; a missing one is no error."""
        await self.put("a")
        for project in ("p", "other"):
            await self.management.flavors.put(project, "fast", ["a"], create=True)
        await self.management.flavors.delete("p", "fast")
        await self.management.flavors.delete("p", "fast")
        self.assertIsNone(await self.management.flavors.get("p", "fast"))
        self.assertEqual(await self.names("fast"), ["a"])
        await self.management.flavors.delete("other", "fast")
        self.assertEqual(await self.names(), ["a"])

    # -- placements --------------------------------------------------------------------------------------------------

    async def test_placement_stays(self) -> None:
        """What is placed stays where it is, whichever pool is asked for later."""
        await self.put("a", "b")
        self.assertIsNone(await self.management.catalog.find(HERE))
        self.assertEqual(await self.place("a"), "a")
        self.assertEqual(await self.place("b"), "a")
        self.assertEqual(await self.place(""), "a")
        self.assertEqual(await self.management.catalog.find(HERE), Placement("a"))

    async def test_prepared(self) -> None:
        """What is about to be made has a placement that holds its pool, and may be forgotten after its time, until it is placed."""
        await self.put("a", "b")
        catalog = self.management.catalog
        for pool in ("a", "b"):
            self.assertEqual(await catalog.prepare(HERE, pool, 60), "a")
            self.clock.advance(59)
            self.assertEqual(await catalog.lapsed(10), [])
        self.clock.advance(1)
        self.assertEqual([place for place, _ in await catalog.lapsed(10)], [HERE])
        self.assertEqual(await catalog.list("p", False, "", 9), [("q", "a")])
        with self.assertRaises(PoolNeeded):
            await self.management.pools.delete("a")
        self.assertEqual(await self.place("b"), "a")
        self.assertEqual((await catalog.lapsed(10), await catalog.find(HERE)), ([], Placement("a")))
        with self.assertRaises(PoolNeeded):
            await self.management.pools.delete("a")

    async def test_prepared_in_vain(self) -> None:
        """What is never made holds its pool until its placement is forgotten, also where that is left."""
        await self.put("a")
        catalog, other = self.management.catalog, Place("p", "other")
        for place in (HERE, other):
            await catalog.prepare(place, "a", 0)
        await catalog.leave(HERE, 60)
        for number in (2, 1):
            with self.assertRaises(PoolNeeded) as caught:
                await self.management.pools.delete("a")
            self.assertIn(f" {number} queues", str(caught.exception))
            self.clock.advance(60 if number == 1 else 0)
            for lapsed in await catalog.lapsed(10):
                await catalog.forget(*lapsed)
        await self.management.pools.delete("a")
        self.assertEqual(await self.management.pools.all(), [])

    async def test_prepared_where_it_is(self) -> None:
        """A placement that holds goes on holding, and a bound one is kept; in a pool that does not exist there is none."""
        await self.put("a", "b")
        catalog = self.management.catalog
        await self.place("a")
        self.assertEqual(await catalog.prepare(HERE, "b", 0), "a")
        self.assertEqual(await catalog.find(HERE), Placement("a"))
        await catalog.place(HERE, "a", bound=True)
        await catalog.leave(HERE, 60)
        self.assertEqual(await catalog.prepare(HERE, "b", 0), "a")
        self.assertEqual((await catalog.find(HERE), await catalog.lapsed(10)), (Placement("a", 0), []))
        await self.management.pools.delete("a")
        self.assertEqual(await catalog.prepare(HERE, "b", 0), "b")
        self.assertIsNone(await catalog.prepare(Place("p", "other"), "nonesuch", 60))
        self.assertIsNone(await catalog.find(Place("p", "other")))

    async def test_placed_in_no_pool(self) -> None:
        """The configured store is a place, too."""
        await self.put("a")
        self.assertEqual(await self.place(""), "")
        self.assertEqual(await self.place("a"), "")
        self.assertEqual(await self.management.catalog.find(HERE), Placement(""))

    async def test_placed_in_missing_pool(self) -> None:
        """Nothing is placed in a pool that does not exist."""
        self.assertIsNone(await self.place("nonesuch"))
        self.assertIsNone(await self.management.catalog.find(HERE))

    async def test_places_are_apart(self) -> None:
        """Queues and topics, and projects, have placements of their own."""
        await self.put("a", "b")
        places = [HERE, Place("p", "q", is_topic=True), Place("other", "q"), Place("p", "q2"), Place("p/q", "q")]
        for number, place in enumerate(places):
            await self.place("ab"[number % 2], place)
        found = [await self.management.catalog.find(place) for place in places]
        self.assertEqual(found, [Placement("ab"[number % 2]) for number in range(len(places))])

    async def test_left(self) -> None:
        """A placement that was left may be forgotten after its time, and not before."""
        await self.put("a")
        await self.place("a")
        await self.management.catalog.leave(HERE, 60)
        left = await self.management.catalog.find(HERE)
        assert left is not None and left.left_ms is not None
        self.assertEqual((left.pool, left.left_ms), ("a", int(self.clock.seconds() * 1000) + 60_000))
        self.clock.advance(59)
        self.assertEqual(await self.management.catalog.lapsed(10), [])
        self.clock.advance(1)
        self.assertEqual(await self.management.catalog.lapsed(10), [(HERE, left)])
        await self.management.catalog.forget(HERE, left)
        self.assertIsNone(await self.management.catalog.find(HERE))
        self.assertEqual(await self.management.catalog.lapsed(10), [])

    async def test_left_and_placed_again(self) -> None:
        """What is placed again is where it was, and who wanted to forget that comes too late."""
        await self.put("a", "b")
        await self.place("a")
        await self.management.catalog.leave(HERE, 60)
        left = await self.management.catalog.find(HERE)
        assert left is not None
        self.assertEqual(await self.place("b"), "a")
        self.clock.advance(60)
        self.assertEqual(await self.management.catalog.lapsed(10), [])
        await self.management.catalog.forget(HERE, left)
        self.assertEqual(await self.management.catalog.find(HERE), Placement("a"))
        with self.assertRaises(PoolNeeded):
            await self.management.pools.delete("a")

    async def test_left_again(self) -> None:
        """The time begins anew, and what was seen before is not forgotten."""
        await self.put("a")
        await self.place("a")
        await self.management.catalog.leave(HERE, 60)
        left = await self.management.catalog.find(HERE)
        assert left is not None
        self.clock.advance(30)
        await self.management.catalog.leave(HERE, 60)
        await self.management.catalog.forget(HERE, left)
        self.clock.advance(30)
        self.assertEqual(await self.management.catalog.lapsed(10), [])
        self.clock.advance(30)
        self.assertEqual(len(await self.management.catalog.lapsed(10)), 1)

    async def test_left_as_it_was_seen(self) -> None:
        """What is not as it was seen is not left again."""
        await self.put("a")
        await self.place("a")
        catalog = self.management.catalog
        await catalog.leave(HERE, 60)
        seen = await catalog.find(HERE)
        self.clock.advance(1)
        await catalog.leave(HERE, 60, seen)
        later = await catalog.find(HERE)
        assert seen is not None and later is not None
        self.assertEqual(later.left_ms, int(self.clock.seconds() * 1000) + 60_000)
        await catalog.leave(HERE, 600, seen)
        self.assertEqual(await catalog.find(HERE), later)
        await self.place("a")
        await catalog.leave(HERE, 60, later)
        self.assertEqual(await catalog.find(HERE), Placement("a"))

    async def test_leave_nothing(self) -> None:
        """What has no placement has none to leave."""
        await self.management.catalog.leave(HERE, 60)
        self.assertIsNone(await self.management.catalog.find(HERE))

    async def test_lapsed_of_so_many(self) -> None:
        """No more are told than were asked for."""
        await self.put("a")
        for number in range(5):
            place = Place("p", f"q{number}")
            await self.place("a", place)
            await self.management.catalog.leave(place, 0)
        self.assertEqual(len(await self.management.catalog.lapsed(3)), 3)

    async def test_left_in_a_pool_that_is_gone(self) -> None:
        """What was left in a pool that exists no more is placed anew."""
        await self.put("a", "b")
        await self.place("a")
        await self.management.catalog.leave(HERE, 60)
        await self.management.pools.delete("a")
        self.assertEqual(await self.place("b"), "b")
        self.assertEqual(await self.management.catalog.find(HERE), Placement("b"))
        self.clock.advance(60)
        self.assertEqual(await self.management.catalog.lapsed(10), [])

    async def test_bound(self) -> None:
        """A bound placement may not be forgotten, and holds up its pool while it holds."""
        await self.put("a", "b")
        placed = await self.management.catalog.place(HERE, "a", bound=True)
        self.assertEqual(placed, Placement("a"))
        with self.assertRaises(PoolNeeded):
            await self.management.pools.delete("a")
        await self.management.catalog.leave(HERE, 60)
        self.clock.advance(3600)
        self.assertEqual(await self.management.catalog.lapsed(10), [])
        self.assertEqual(await self.place("b"), "a")
        await self.management.catalog.leave(HERE, 60)
        await self.management.pools.delete("a")
        self.assertEqual(await self.place("b"), "b")

    async def test_kept(self) -> None:
        """What is bound or was left is told of its pool, until it is placed, or made again, or is forgotten, or its pool is gone."""
        await self.put("a", "b")
        catalog, topic, other = self.management.catalog, Place("p/{x}", "a/b", True), Place("p", "other")
        for place in (HERE, topic):
            await catalog.place(place, "a", bound=True)
        self.assertEqual(await catalog.prepare(other, "a", 60), "a")
        await catalog.leave(other, 60)
        self.assertEqual(set(await catalog.kept("a")), {HERE, topic})
        await catalog.place(other, "a")
        await catalog.leave(other, 60)
        self.assertEqual(set(await catalog.kept("a")), {HERE, topic, other})
        await catalog.prepare(other, "a", 60)
        self.assertEqual(set(await catalog.kept("a")), {HERE, topic})
        await catalog.place(other, "a")
        self.assertEqual(set(await catalog.kept("a")), {HERE, topic})
        for place in (HERE, topic, other):
            await catalog.leave(place, 60)
            await catalog.leave(place, 60)
        self.assertEqual(set(await catalog.kept("a")), {HERE, topic, other})
        self.assertEqual(await catalog.kept("b"), [])
        self.clock.advance(60)
        for lapsed in await catalog.lapsed(10):
            await catalog.forget(*lapsed)
        self.assertEqual(set(await catalog.kept("a")), {HERE, topic})
        await self.place("b", topic)
        self.assertEqual(set(await catalog.kept("a")), {HERE, topic})
        await catalog.leave(topic, 60)
        await self.management.pools.delete("a")
        self.assertEqual(await catalog.kept("a"), [])
        await self.put("a")
        await self.place("b", HERE)
        await catalog.place(topic, "b", bound=True)
        self.assertEqual(await catalog.kept("b"), [])
        self.assertEqual(set(await catalog.kept("a")), {HERE, topic})

    async def test_bound_later(self) -> None:
        """What is placed can be bound where it is."""
        await self.put("a", "b")
        await self.place("a")
        self.assertEqual(await self.management.catalog.place(HERE, "b", bound=True), Placement("a"))
        await self.management.catalog.leave(HERE, 0)
        self.assertEqual(await self.management.catalog.lapsed(10), [])

    async def test_placements_of_a_project(self) -> None:
        """They are listed by name, in pages, of queues and topics each by itself."""
        await self.put("a", "b")
        catalog = self.management.catalog
        for name, pool in (("c", "a"), ("a", "b"), ("b", ""), ("A", "a")):
            await self.place(pool, Place("p", name))
        await self.place("b", Place("p", "t", is_topic=True))
        await self.place("b", Place("other", "o"))
        self.assertEqual(await catalog.list("p", False, "", 2), [("A", "a"), ("a", "b")])
        self.assertEqual(await catalog.list("p", False, "a", 9), [("b", ""), ("c", "a")])
        self.assertEqual(await catalog.list("p", True, "", 9), [("t", "b")])
        self.assertEqual(set(await catalog.pools("p", False)), {"a", "b", ""})
        self.assertEqual(set(await catalog.pools("p", True)), {"b"})

    async def test_pools_of_a_project_end(self) -> None:
        """A project is in a pool until its last placement there is forgotten."""
        await self.put("a")
        places = [Place("p", "q1"), Place("p", "q2")]
        for place in places:
            await self.place("a", place)
            await self.management.catalog.leave(place, 0)
        for expected, lapsed in zip(({"a"}, set()), await self.management.catalog.lapsed(10), strict=True):
            await self.management.catalog.forget(*lapsed)
            self.assertEqual(set(await self.management.catalog.pools("p", False)), expected)
        self.assertEqual(await self.management.catalog.list("p", False, "", 10), [])
