"""Which node of a Redis Cluster has which slots, by what its nodes tell: pure.

Each node tells what it knows, and one that is cut off tells what was.  Of two that claim a slot the one with the greater configuration
epoch has it.  Sources: Redis' documentation of CLUSTER NODES; the Redis Cluster specification, "Hash slots configuration propagation".
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

from attrs import Factory, frozen

from zaqar_gateway.storage.redis.cluster.slots import SLOTS

Place = tuple[str, int]
"""Host and port."""

_ADDRESS = re.compile(r"(?P<host>.*):(?P<port>[0-9]+)(?:@[0-9]+)?(?:,(?P<name>[^,]*))?(?:,.*)?")
_RANGE = re.compile(r"([0-9]+)(?:-([0-9]+))?")
_AWAY = frozenset(("fail", "fail?", "handshake", "noaddr"))


@frozen
class Claimed:
    """Slots that a master has, as one node tells.

    :ivar ranges: the first and the last slot of each.
    """

    epoch: int
    place: Place
    ranges: tuple[tuple[int, int], ...]


@frozen
class View:
    """What one node tells.

    :ivar claimed: by all masters.
    :ivar replicas: of each master, those that can be reached.
    :ivar places: of all nodes.
    """

    claimed: frozenset[Claimed]
    replicas: Mapping[Place, int]
    places: frozenset[Place]


@frozen
class Topology:
    """What nodes told together.

    :ivar replicas: of each master, as many as the one that reaches most of them reaches.
    """

    claimed: frozenset[Claimed] = frozenset()
    replicas: Mapping[Place, int] = Factory(dict)
    places: frozenset[Place] = frozenset()

    def owners(self) -> list[Place | None]:
        """Where each slot is."""
        owners: list[Place | None] = [None] * SLOTS
        for one in sorted(self.claimed, key=lambda each: each.epoch):
            for first, last in one.ranges:
                owners[first : last + 1] = [one.place] * (last + 1 - first)
        return owners


def read(text: str, asked: Place) -> View:
    """What a node tells.

    :param text: its answer to CLUSTER NODES.
    :param asked: where it was asked; a node may not know its own address.
    :raises ValueError: it is no such answer.
    """
    claimed: set[Claimed] = set()
    places: dict[str, Place] = {}
    following: list[str] = []
    for line in text.splitlines():
        name, address, flags, master, _, _, epoch, _, *slots = line.split(" ")
        given = set(flags.split(","))
        place = _place(address, asked)
        if place is None:
            continue
        places[name] = place
        if "master" in given:
            # What is in brackets is on its way to a node, or from one.
            matches = [_RANGE.fullmatch(each) for each in slots if not each.startswith("[")]
            ranges = [(int(found[1]), int(found[2] or found[1])) for found in matches if found]
            if len(ranges) < len(matches) or any(not first <= last < SLOTS for first, last in ranges):
                raise ValueError("its slots cannot be read")
            if ranges:
                claimed.add(Claimed(int(epoch), place, tuple(ranges)))
        elif _AWAY.isdisjoint(given):
            following.append(master)
    replicas = {place: following.count(name) for name, place in places.items()}
    return View(frozenset(claimed), replicas, frozenset(places.values()))


def _place(address: str, asked: Place) -> Place | None:
    """Where a node is; ``None`` where nobody knows.  What it is to be called is preferred, since a certificate names that."""
    found = _ADDRESS.fullmatch(address)
    if found is None:
        raise ValueError("an address cannot be read")
    host, port = found["name"] or found["host"] or asked[0], int(found["port"])
    return (host, port) if port else None


def merged(views: Iterable[View]) -> Topology:
    """What nodes told together."""
    claimed: set[Claimed] = set()
    replicas: dict[Place, int] = {}
    places: set[Place] = set()
    for view in views:
        claimed |= view.claimed
        places |= view.places
        for place, number in view.replicas.items():
            replicas[place] = max(number, replicas.get(place, 0))
    return Topology(frozenset(claimed), replicas, frozenset(places))
