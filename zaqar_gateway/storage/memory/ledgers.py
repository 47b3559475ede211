"""The ledgers of all queues and topics, and of whose sockets their subscriptions are."""

from __future__ import annotations

from collections.abc import Callable
from itertools import islice

from attrs import define, field

from zaqar_gateway.model import LogBounds, Place
from zaqar_gateway.storage import ids
from zaqar_gateway.storage.memory.doorbells import MemoryDoorbells
from zaqar_gateway.storage.memory.ledger import Follower, Ledger
from zaqar_gateway.storage.memory.ordered import Agenda, Ranks, RankSource

SWEPT_PLACES = 1000
"""How many ledgers one sweep looks at."""

OWNER_DEAD_MS = 8000
OWNER_REMEMBERED_MS = 86_400_000
"""After what silence a gateway process is taken for dead, and for how long it would be told so."""


@define(eq=False)
class Ledgers:
    """Finds the ledger of a place, and the places where something is due.

    :ivar bells: told of what is posted and owed.
    """

    new_id: Callable[[], str]
    _bounds: LogBounds
    bells: MemoryDoorbells
    _by_place: dict[Place, Ledger] = field(factory=dict)
    _by_serial: dict[int, Ledger] = field(factory=dict)
    _serials: Ranks = field(factory=Ranks)  # of _by_serial
    _due: Agenda[int] = field(factory=Agenda)  # by serial
    _failing: dict[Place, Ledger] = field(factory=dict)
    _number: int = 0  # for serials and versions
    _token: int = 0
    _failures: RankSource = field(factory=RankSource)
    _swept: int = 0
    _alive: dict[str, int] = field(factory=dict)  # when each gateway process said last that it lives
    _dead: Agenda[str] = field(factory=Agenda)  # until when it is remembered that they were taken for dead
    _owned: dict[str, dict[str, Ledger]] = field(factory=dict)  # subscription ids of each gateway process

    def find(self, place: Place, now: int) -> Ledger | None:
        """The ledger of a place as it is now, where there is something in it."""
        ledger = self._by_place.get(place)
        if ledger is None:
            return None
        ledger.settle(now)
        return ledger if self.noted(ledger, now) else None

    def followed(self, place: Place, now: int) -> Ledger | None:
        """The same where there are live subscriptions."""
        ledger = self.find(place, now)
        return ledger if ledger is not None and ledger.followers else None

    def count(self, project: str, is_topics: bool, now: int) -> int:
        """How many live subscriptions a project has, of queues or of topics."""
        places = [place for place in self._by_place if place.project == project and place.is_topic == is_topics]
        found = (self.followed(place, now) for place in places)
        return sum(len(ledger.followers) for ledger in found if ledger is not None)

    def open(self, place: Place, ranks: RankSource, now: int) -> Ledger:
        """The ledger of a place, made where there is none.

        :param ranks: of the queue of that name.
        """
        ledger = self.find(place, now)
        if ledger is None:
            ledger = Ledger(place, self.number(), self.number(), ranks, self._bounds, self.number, self._ended)
            self._by_place[place] = self._by_serial[ledger.serial] = ledger
            self._serials.add(ledger.serial)
        return ledger

    def ranks(self, place: Place) -> RankSource:
        """Where a queue that is made takes its ranks from: they go on where subscriptions have outlived the last one."""
        ledger = self._by_place.get(place)
        return RankSource() if ledger is None else ledger.ranks

    def number(self) -> int:
        """One that was not given out yet."""
        self._number += 1
        return self._number

    def token(self) -> int:
        """A number that no lease has had.  It depends on the leases before it alone, and not on when anybody looked, so that
        whoever repeats the calls that made a store gets the same."""
        self._token += 1
        return self._token

    def failure_id(self, now: int) -> str:
        return ids.format_cursor(self._failures.next(now * 1000))

    def noted(self, ledger: Ledger, now: int) -> bool:
        """Look at a ledger after a change: when something is due there, and whether it is still needed.

        :return: whether it is.
        """
        due_ms, planned = ledger.due_ms(), self._due.get(ledger.serial)
        if due_ms is None:
            self._due.discard(ledger.serial)
        elif planned is None or planned > now or due_ms > now:
            self._due.set(ledger.serial, due_ms or now)
        if ledger.failures:
            self._failing[ledger.place] = ledger
        else:
            self._failing.pop(ledger.place, None)
        if not ledger.is_needed:
            del self._by_place[ledger.place], self._by_serial[ledger.serial]
            self._serials.remove(ledger.serial)
        return ledger.is_needed

    def posted(self, ledger: Ledger, now: int) -> None:
        """Ring for what was posted in a place."""
        ledger.settle(now)
        self.bells.ring(ledger.place, posted=True, owed=ledger.has_idle)
        self.noted(ledger, now)

    def owed(self, ledger: Ledger, now: int) -> None:
        """Ring for what is owed to one of the subscribers of a place."""
        self.bells.ring(ledger.place, posted=False, owed=ledger.due_ms() == 0)
        self.noted(ledger, now)

    def due(self, now: int, limit: int) -> list[Ledger]:
        """Those in which something may be owed now.  They come again, after others, until somebody takes it."""
        serials = list(islice(self._due.take(now), limit))
        for serial in serials:
            self._due.set(serial, now)
        return [self._by_serial[serial] for serial in serials]

    def after(self, serial: int, limit: int, now: int) -> tuple[list[Ledger], int | None]:
        """Some that have live subscriptions, and the serial to go on from; ``None`` at the end."""
        serials = list(islice(self._serials.after(serial), limit + 1))
        found = [self.followed(self._by_serial[each].place, now) for each in serials[:limit]]
        return [ledger for ledger in found if ledger is not None], serials[limit - 1] if len(serials) > limit else None

    def failing(self, now: int) -> list[Ledger]:
        """Those with deliveries that were given up."""
        found = (self.find(place, now) for place in list(self._failing))
        return [ledger for ledger in found if ledger is not None and ledger.failures]

    def sweep(self, now: int) -> None:
        """Free what is owed to nobody any more in some of the places."""
        _, after = self.after(self._swept, SWEPT_PLACES, now)
        self._swept = after or 0

    # -- whose sockets -----------------------------------------------------------------------------------------------

    def own(self, ledger: Ledger, one: Follower, now: int) -> None:
        """Note that a subscription belongs to a gateway process, which lives, since it made that."""
        self._alive.setdefault(one.owner, now)
        self._owned.setdefault(one.owner, {})[one.id] = ledger

    def _ended(self, ledger: Ledger, one: Follower) -> None:
        if one.owner:
            del self._owned[one.owner][one.id]
            if not self._owned[one.owner]:
                del self._owned[one.owner]

    def beat(self, owner: str, now: int) -> tuple[list[str], bool]:
        """See :meth:`zaqar_gateway.interfaces.IDeliveryStore.beat`."""
        for _ in self._dead.take(now):
            pass  # forgotten
        if self._alive and now - max(self._alive.values()) >= OWNER_DEAD_MS / 2:
            self._alive = dict.fromkeys(self._alive, now)
        for each in [each for each, at in self._alive.items() if now - at >= OWNER_DEAD_MS]:
            self.leave(each, now)
            self._dead.set(each, now + OWNER_REMEMBERED_MS)
        was_dead = self._dead.get(owner) is not None
        self._dead.discard(owner)
        self._alive[owner] = now
        return sorted(self._alive), was_dead

    def leave(self, owner: str, now: int) -> None:
        """End the subscriptions of a gateway process."""
        self._alive.pop(owner, None)
        for subscription_id, ledger in list(self._owned.get(owner, {}).items()):
            ledger.end(ledger.followers[subscription_id])
            self.noted(ledger, now)
