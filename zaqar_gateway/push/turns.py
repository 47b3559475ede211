"""How many attempts may be under way, in all and to one host; so shared that dead subscribers leave room for live ones.

An attempt that fails slowly holds its place until the time-out.  So those whose last attempt failed, or took long, may
have half of the places at most, and together with those of whom nothing is known yet three quarters; the rest is for
those who took at once what they were sent last.  That holds for all places and for those of each host.

Nor do the subscribers of one project leave nothing to those of others that fare like them: see :class:`Rooms`; and places go to one
project after the other.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from enum import IntEnum
from functools import partial
from typing import Generic, TypeVar

from twisted.internet.defer import Deferred

_T = TypeVar("_T")

Pace = Callable[[Callable[[], None]], object]
"""Has something done that takes some tenths of a millisecond, when it is its turn in the process.

Many attempts begin, or have their host looked up, in the same moment; everything else goes on between them.
"""


def at_once(call: Callable[[], None]) -> None:
    """The pace of those that need none."""
    call()


async def its_turn(pace: Pace) -> None:
    """Wait for one's turn in the process."""
    turn: Deferred[None] = Deferred()
    pace(partial(turn.callback, None))
    await turn


class Lane(IntEnum):
    """What is known of a subscriber, the best first.

    :cvar GOOD: it took at once what it was sent last.
    :cvar NEW: nothing.
    :cvar POOR: the last attempt failed, or took long.
    """

    GOOD = 0
    NEW = 1
    POOR = 2


class Share:
    """So many places, and who has them.

    :param total: 1 or more; a lane has a claim to one place at least.
    """

    def __init__(self, total: int) -> None:
        self._bounds = (total, max(1, total * 3 // 4), max(1, total // 2))
        self._taken = [0] * len(Lane)

    @property
    def taken(self) -> int:
        """How many are taken in all lanes."""
        return sum(self._taken)

    @property
    def free(self) -> int:
        """How many are left for the best lane."""
        return max(0, self._bounds[Lane.GOOD] - self.taken)

    def taken_from(self, lane: Lane) -> int:
        """How many are taken in a lane and in those that are worse."""
        return sum(self._taken[lane:])

    def left(self, lane: Lane) -> int:
        """How many of those that a lane has together with worse ones are free."""
        return self._bounds[lane] - self.taken_from(lane)

    def has(self, lane: Lane) -> bool:
        """Whether there is a place for somebody in a lane; a lane also takes from the shares of better ones."""
        return all(sum(self._taken[better:]) < self._bounds[better] for better in range(lane + 1))

    def add(self, lane: Lane) -> None:
        """Take a place, whether or not there is one."""
        self._taken[lane] += 1

    def remove(self, lane: Lane) -> None:
        """Give a place back."""
        self._taken[lane] -= 1


class Rooms:
    """So many rooms, of which one party may have 15 times as many in the lanes that are not the best as are free there.

    So one alone leaves a sixteenth, if there are as many, and others find room, however many it could use itself.  Of several each
    leaves as much of what those before have left, until rooms become free: the one that has most may not take these.

    :param total: 1 or more.
    """

    def __init__(self, total: int) -> None:
        self._all = Share(total)
        self._of: dict[str, Share] = {}  # of each party that has some

    @property
    def free(self) -> int:
        """How many are left for the best lane."""
        return self._all.free

    def has(self, lane: Lane, party: str) -> bool:
        """Whether there is one for a party in a lane."""
        own = self._of.get(party)
        return self._all.has(lane) and (
            own is None or all(own.taken_from(each) < 15 * self._all.left(each) for each in Lane if Lane.GOOD < each <= lane)
        )

    def add(self, lane: Lane, party: str) -> None:
        """Take one, whether or not there is one."""
        self._all.add(lane)
        if party not in self._of:
            self._of[party] = Share(1)
        self._of[party].add(lane)

    def remove(self, lane: Lane, party: str) -> None:
        """Give one back."""
        self._all.remove(lane)
        own = self._of[party]
        own.remove(lane)
        if not own.taken:
            del self._of[party]


class _Row(Generic[_T]):
    """What waits in one lane: one of each project after the other."""

    def __init__(self) -> None:
        self._waiting: dict[str, deque[_T]] = {}

    def __bool__(self) -> bool:
        return bool(self._waiting)

    @property
    def first(self) -> str:
        """The project that is next."""
        return next(iter(self._waiting))

    def add(self, project: str, one: _T) -> None:
        """Have something wait."""
        if project not in self._waiting:
            self._waiting[project] = deque()
        self._waiting[project].append(one)

    def next(self) -> _T:
        """Whose turn it is, which then waits no more."""
        project = self.first
        waiting = self._waiting.pop(project)
        one = waiting.popleft()
        if waiting:
            self._waiting[project] = waiting
        return one


class _Host:
    def __init__(self, places: int) -> None:
        self.share = Share(places)
        self.waiting = tuple(_Row[Deferred[None]]() for _ in Lane)
        self.is_ready = [False for _ in Lane]

    @property
    def idle(self) -> bool:
        return not self.share.taken and not any(self.waiting)


class Turns:
    """Gives places to those who wait: the better lane first, in a lane one project after the other and one host of it after the
    other, for a host in order, one project after the other there as well.

    Who waits because of its host or its lane holds up nobody else, and each change costs the same however many wait.

    :param total: places in all.
    :param per_host: places of one host.
    """

    def __init__(self, total: int, per_host: int) -> None:
        self._all = Share(total)
        self._per_host = per_host
        self._hosts: dict[str, _Host] = {}
        # Hosts that somebody in a lane waits for and that may have room, by the project that is next there; in the order of
        # their turns.
        self._ready = tuple(_Row[str]() for _ in Lane)
        self._granting = False

    def take(self, host: str, lane: Lane, project: str = "") -> Deferred[None]:
        """Wait for a place; whoever gets one calls :meth:`give_back`.

        :return: cancelling it ends the waiting.
        """
        turn: Deferred[None] = Deferred()
        if host not in self._hosts:
            self._hosts[host] = _Host(self._per_host)
        self._hosts[host].waiting[lane].add(project, turn)
        self._make_ready(host, lane)
        self._grant()
        return turn

    def give_back(self, host: str, lane: Lane) -> None:
        """End a turn."""
        self._all.remove(lane)
        self._hosts[host].share.remove(lane)
        for each in Lane:
            self._make_ready(host, each)
        self._forget(host)
        self._grant()

    def is_awaited(self, host: str, lane: Lane) -> bool:
        """Whether somebody waits who would get the place that is taken in a lane at a host, if it were given back."""
        found = self._hosts[host]
        self._all.remove(lane)
        found.share.remove(lane)
        awaited = any(
            self._all.has(each) and (self._ready[each] or (found.waiting[each] and found.share.has(each)))
            for each in Lane
        )
        self._all.add(lane)
        found.share.add(lane)
        return awaited

    def _make_ready(self, host: str, lane: Lane) -> None:
        """Where somebody in a lane waits for a host: have it looked at when it is its turn."""
        found = self._hosts[host]
        if found.waiting[lane] and not found.is_ready[lane]:
            found.is_ready[lane] = True
            self._ready[lane].add(found.waiting[lane].first, host)

    def _next_ready(self, lane: Lane) -> str:
        """The host whose turn it is, which then is not ready any more."""
        host = self._ready[lane].next()
        self._hosts[host].is_ready[lane] = False
        return host

    def _forget(self, host: str) -> None:
        if self._hosts[host].idle:
            del self._hosts[host]

    def _grant(self) -> None:
        if self._granting:  # who gets a turn may come back here at once; the loop below sees what that changes
            return
        self._granting = True
        try:
            while any(self._grant_in(lane) for lane in Lane):
                pass
        finally:
            self._granting = False

    def _grant_in(self, lane: Lane) -> bool:
        """Give one place away, if there is one and somebody in the lane who can have it."""
        while self._ready[lane] and self._all.has(lane):
            host = self._next_ready(lane)
            found = self._hosts[host]
            if not found.share.has(lane):
                continue  # it comes back when one of its places is given back
            while found.waiting[lane]:
                turn = found.waiting[lane].next()
                if turn.called:  # cancelled
                    continue
                self._all.add(lane)
                found.share.add(lane)
                self._make_ready(host, lane)
                turn.callback(None)
                return True
            self._forget(host)
        return False
