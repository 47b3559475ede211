"""Rings, a turn later, so that none comes in the middle of an operation."""

from __future__ import annotations

from collections.abc import Callable

from attrs import define, field
from twisted.internet.interfaces import IReactorTime
from zope.interface import implementer

from zaqar_gateway.interfaces import IDoorbells
from zaqar_gateway.model import Place


@implementer(IDoorbells)
@define(eq=False)
class MemoryDoorbells:
    """Doorbells of :class:`~zaqar_gateway.storage.memory.MemoryStorage`.  No ring is lost."""

    _clock: IReactorTime
    _attending: list[Callable[[Place], None]] = field(factory=list)
    _watching: dict[Place, dict[int, Callable[[], None]]] = field(factory=dict)  # by numbers of their own
    _heeding: dict[Place, dict[int, Callable[[], None]]] = field(factory=dict)  # changes
    _watched: int = 0
    # What is rung for in the next turn:
    _owed: dict[Place, None] = field(factory=dict)
    _posted: dict[Place, None] = field(factory=dict)
    _changed: dict[Place, None] = field(factory=dict)

    def attend(self, ring: Callable[[Place], None], missed: Callable[[], None]) -> None:
        self._attending.append(ring)

    def watch(self, place: Place, ring: Callable[[], None]) -> Callable[[], None]:
        return self._watch(self._watching, place, ring)

    def watch_changes(self, place: Place, ring: Callable[[], None]) -> Callable[[], None]:
        return self._watch(self._heeding, place, ring)

    def _watch(
        self, among: dict[Place, dict[int, Callable[[], None]]], place: Place, ring: Callable[[], None]
    ) -> Callable[[], None]:
        self._watched += 1
        number = self._watched
        among.setdefault(place, {})[number] = ring

        def end() -> None:
            watching = among.get(place, {})
            if watching.pop(number, None) is not None and not watching:
                del among[place]

        return end

    def changed(self, place: Place) -> None:
        """Ring for a subscription of a socket that may have ended, or a durable name that somebody else may hold."""
        if place in self._heeding:
            self._plan(self._changed, place)

    def ring(self, place: Place, *, posted: bool, owed: bool) -> None:
        """Ring for what was posted in a place, and for what is owed there to subscribers that are no sockets."""
        if owed and self._attending:
            self._plan(self._owed, place)
        if posted and place in self._watching:
            self._plan(self._posted, place)

    def _plan(self, among: dict[Place, None], place: Place) -> None:
        if not (self._owed or self._posted or self._changed):
            self._clock.callLater(0, self._ring)
        among[place] = None

    def _ring(self) -> None:
        owed, self._owed = self._owed, {}
        posted, self._posted = self._posted, {}
        changed, self._changed = self._changed, {}
        for place in owed:
            for attend in self._attending:
                attend(place)
        for places, among in ((posted, self._watching), (changed, self._heeding)):
            for place in places:
                for number, watch in list(among.get(place, {}).items()):
                    if number in among.get(place, {}):  # it may have been ended by the one before
                        watch()
