"""Which node of a Redis Cluster has which slots, by what its nodes tell: pure.

Each node tells what it knows, and one that is cut off tells what was.  Of two that claim a slot the one with the greater configuration
epoch has it; of what is told of one node, which may have another address by now, that counts which it tells itself.  Sources: Redis' documentation of CLUSTER NODES; the Redis Cluster specification, "Hash slots configuration propagation".
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

    :ivar name: of that node, which it keeps wherever it is.
    :ivar names: of all nodes.
    :ivar claimed: by all masters, by their names.
    :ivar replicas: of each master, those that can be reached.
    :ivar places: of all nodes that can be reached.
    :ivar by_address: where nodes are that have a name of a host, by address.
    :ivar moving: slots that are on their way to that node, or from it.
    """

    name: str
    names: frozenset[str]
    claimed: Mapping[str, Claimed]
    replicas: Mapping[Place, frozenset[Place]]
    places: frozenset[Place]
    by_address: Mapping[Place, Place]
    moving: frozenset[int]


@frozen
class Topology:
    """What nodes told together; of the replicas of a master, as many as the one that reaches most of them reaches."""

    names: frozenset[str] = frozenset()
    claimed: frozenset[Claimed] = frozenset()
    replicas: Mapping[Place, frozenset[Place]] = Factory(dict)
    places: frozenset[Place] = frozenset()
    by_address: Mapping[Place, Place] = Factory(dict)
    moving: frozenset[int] = frozenset()

    def owners(self) -> list[Place | None]:
        """Where each slot is."""
        owners: list[Place | None] = [None] * SLOTS
        for one in sorted(self.claimed, key=lambda each: each.epoch):
            for first, last in one.ranges:
                owners[first : last + 1] = [one.place] * (last + 1 - first)
        return owners


def read(text: str, asked: Place, *, by_name: bool = False) -> View:
    """What a node tells.

    :param text: its answer to CLUSTER NODES.
    :param asked: where it was asked; a node may not know its own address.
    :param by_name: whether a place has the name of a host rather than its address, where both are told.
    :raises ValueError: it is no such answer.
    """
    own_name = ""
    claimed: dict[str, Claimed] = {}
    places: dict[str, Place] = {}
    reached: set[Place] = set()
    following: list[tuple[str, Place]] = []
    by_address: dict[Place, Place] = {}
    moving: set[int] = set()
    for line in text.splitlines():
        name, address, flags, master, _, _, epoch, _, *slots = line.split(" ")
        given = set(flags.split(","))
        is_reached = _AWAY.isdisjoint(given)
        if "myself" in given:
            own_name = name
            moving = {int(each[1 : each.index("-")]) for each in slots if each.startswith("[")}
        host, port, label = _address(address)
        if not port:
            continue
        place = places[name] = (label if by_name else "") or host or label or asked[0], port
        if place[0] != host:
            by_address[host, port] = place
        if is_reached:
            reached.add(place)
        if "master" in given:
            matches = [_RANGE.fullmatch(each) for each in slots if not each.startswith("[")]
            ranges = [(int(found[1]), int(found[2] or found[1])) for found in matches if found]
            if len(ranges) < len(matches) or any(not first <= last < SLOTS for first, last in ranges):
                raise ValueError("its slots cannot be read")
            if ranges:
                claimed[name] = Claimed(int(epoch), place, tuple(ranges))
        elif is_reached:
            following.append((master, place))
    replicas = {place: frozenset(where for master, where in following if master == name) for name, place in places.items()}
    names, moves = frozenset(places), frozenset(moving)
    return View(own_name, names, claimed, replicas, frozenset(reached), by_address, moves)


def _address(text: str) -> tuple[str, int, str]:
    """Address, port, and name of the host, as far as they are known."""
    found = _ADDRESS.fullmatch(text)
    if found is None:
        raise ValueError("an address cannot be read")
    return found["host"], int(found["port"]), found["name"] or ""


def merged(views: Iterable[View], known: frozenset[str] = frozenset()) -> Topology:
    """What nodes told together that are of one cluster.

    A node may have left a cluster for another one, or have its address by now.  So a view counts where it tells of another node that
    is known; that of the first one where none is known.

    :param known: the names of nodes of the cluster.
    """
    names: set[str] = set()
    claimed: set[tuple[str, Claimed]] = set()
    own: dict[str, Claimed] = {}
    replicas: dict[Place, frozenset[Place]] = {}
    places: set[Place] = set()
    by_address: dict[Place, Place] = {}
    moving: set[int] = set()
    for view in views:
        theirs = (known or names) - {view.name}
        if theirs and theirs.isdisjoint(view.names):
            continue
        names |= view.names
        claimed |= view.claimed.items()
        if view.name in view.claimed:
            own[view.name] = view.claimed[view.name]
        places |= view.places
        by_address |= view.by_address
        moving |= view.moving
        for place, them in view.replicas.items():
            replicas[place] = max(them, replicas.get(place, them), key=len)
    counting = frozenset(own.get(name, one) for name, one in claimed)
    return Topology(frozenset(names), counting, replicas, frozenset(places), by_address, frozenset(moving))
