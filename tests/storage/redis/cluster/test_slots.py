"""Slots of keys."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from zaqar_gateway.storage.redis.cluster.slots import SLOTS, slot_of, tag_in
from zaqar_gateway.storage.redis.keys import Keys
from zaqar_gateway.storage.redis.packing import bulk, number


class SlotTests(SynchronousTestCase):
    """The rules of the Redis Cluster specification."""

    def test_slot(self) -> None:
        """The checksum of the reference, and hash tags."""
        self.assertEqual(slot_of(b"123456789"), 0x31C3)
        for key, same in (
            (b"{user1000}.following", b"user1000"),
            (b"foo{{bar}}zap", b"{bar"),
            (b"foo{bar}{zap}", b"bar"),
        ):
            self.assertEqual(slot_of(key), slot_of(same))
        # Without anything between the first braces the whole key counts, and so it does without a second brace.
        for key in (b"foo{}{bar}", b"foo{bar"):
            self.assertNotEqual(slot_of(key), slot_of(b"bar"))

    def test_packed(self) -> None:
        """Packed keys have the slot of the first one."""
        key = Keys(in_cluster=True).queue("p", "q")
        self.assertEqual(slot_of(number(2) + bulk(key) + bulk(b"{other}")), slot_of(key))

    def test_tag(self) -> None:
        """A hash tag is found for any slot, and none for none."""
        for wanted in (0, 5000, SLOTS - 1):
            tag = tag_in(lambda slot, wanted=wanted: slot == wanted)  # type: ignore[misc]
            assert tag is not None
            self.assertEqual(slot_of(b"zg:touched{%b}" % tag), wanted)
        self.assertIsNone(tag_in(lambda slot: False))


class KeyTests(SynchronousTestCase):
    """Keys in a cluster."""

    def test_one_slot(self) -> None:
        """All that a step of a queue touches shares a slot: queue, catalog, followed, rates, other queues and topics of the project."""
        for project in ("p", "", "a/b", "{", "}", "{}", "ü"):
            keys = Keys("space", in_cluster=True)
            found = [
                *(keys.queue(project, name) for name in ("q", "r}", "{x}")),
                *(keys.catalog(project), keys.followed(project), keys.rates(project)),
                *(keys.topics().queue(project, "q"), keys.topics().catalog(project)),
            ]
            self.assertEqual(len(set(found)), len(found))
            self.assertEqual(len({slot_of(each) for each in found}), 1, project)

    def test_spread(self) -> None:
        """Projects, and key spaces of one project, are in different slots."""
        found = [Keys(space, in_cluster=True).queue(project, "q") for space in ("", "a", "b") for project in ("p", "r", "")]
        self.assertEqual(len({slot_of(each) for each in found}), len(found))

    def test_place(self) -> None:
        """A key tells its queue or topic."""
        for space in ("", "a:b"):
            keys = Keys(space, in_cluster=True)
            for project, name in (("p", "q"), ("", "q"), ("a/b", "c}d{e/f")):
                place = keys.place(keys.queue(project, name))
                self.assertEqual((place.project, place.name, place.is_topic), (project, name, False))
                place = keys.place(keys.topics().queue(project, name))
                self.assertEqual((place.project, place.name, place.is_topic), (project, name, True))
