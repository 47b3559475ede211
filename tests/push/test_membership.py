"""Who lives."""

from __future__ import annotations

from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from tests.push.fakes import Away
from zaqar_gateway.model import Place
from zaqar_gateway.push.membership import Membership
from zaqar_gateway.storage.memory import MemoryStorage

PLACES = [Place("p", f"q{n}") for n in range(300)]


class MembershipTests(SynchronousTestCase):
    """Several gateways on one store."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.storage = MemoryStorage(self.clock)
        self.told: list[str] = []

    def member(self, name: str) -> tuple[Membership, Away]:
        """A gateway that has begun."""
        store = Away(self.storage.deliveries)
        member = Membership(store, name, self.clock)  # type: ignore[arg-type]
        member.on_departure(lambda: self.told.append(f"{name} heard of a departure"))
        member.on_beat(lambda was_dead: self.told.append(f"{name} was dead") if was_dead else None)
        member.startService()
        return member, store

    def test_alone(self) -> None:
        """Who is alone answers every ring, before it has heard of anybody too."""
        self.assertTrue(Membership(self.storage.deliveries, "a", self.clock).is_ours(PLACES[0]))
        member, _ = self.member("a")
        self.assertTrue(all(map(member.is_ours, PLACES)))

    def test_one_answers(self) -> None:
        """Of several gateways one answers for each place, and each of them for its part."""
        members = [self.member(name)[0] for name in "abc"]
        self.clock.advance(2)
        for place in PLACES:
            self.assertEqual(sum(member.is_ours(place) for member in members), 1)
        for member in members:
            self.assertGreater(sum(map(member.is_ours, PLACES)), 50)

    def test_topic(self) -> None:
        """A topic is another place than the queue of that name."""
        members = [self.member(name)[0] for name in "abc"]
        self.clock.advance(2)
        differ = [
            place
            for place in PLACES
            if members[0].is_ours(place) != members[0].is_ours(Place("p", place.name, is_topic=True))
        ]
        self.assertTrue(differ)

    def test_departure(self) -> None:
        """When a gateway ends, without notice too, the others hear of it; only its places change hands."""
        a, _ = self.member("a")
        b, _ = self.member("b")
        _, store = self.member("c")
        self.clock.advance(2)
        before = [(a.is_ours(place), b.is_ours(place)) for place in PLACES]
        store.is_away = True
        self.clock.pump([2] * 6)
        self.assertEqual(sorted(self.told), ["a heard of a departure", "b heard of a departure"])
        after = [(a.is_ours(place), b.is_ours(place)) for place in PLACES]
        for was, now in zip(before, after, strict=True):
            self.assertEqual(sum(now), 1)
            self.assertIn(was, (now, (False, False)))

    def test_leave(self) -> None:
        """Who stops is not waited for."""
        self.member("a")
        b, _ = self.member("b")
        self.clock.advance(2)
        self.successResultOf(b.stopService())
        self.clock.advance(2)
        self.assertEqual(self.told, ["a heard of a departure"])

    def test_revival(self) -> None:
        """Who was taken for dead is told when it comes back."""
        self.member("a")
        _, store = self.member("b")
        self.clock.advance(2)
        store.is_away = True
        self.clock.pump([2] * 6)
        self.told.clear()
        store.is_away = False
        self.clock.advance(2)
        self.assertEqual(self.told, ["b was dead"])

    def test_store_away(self) -> None:
        """A short absence of the store is nothing."""
        _, store = self.member("a")
        store.is_away = True
        self.clock.pump([2] * 2)
        store.is_away = False
        self.clock.pump([2] * 4)
        self.assertEqual(self.told, [])
        self.assertEqual(store.calls.count("beat"), 7)

    def test_stop_without_store(self) -> None:
        """It stops although the store is away."""
        member, store = self.member("a")
        store.is_away = True
        self.successResultOf(member.stopService())
