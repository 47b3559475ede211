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
    _watched: int = 0
    # What is rung for in the next turn:
    _owed: dict[Place, None] = field(factory=dict)
    _posted: dict[Place, None] = field(factory=dict)

    def attend(self, ring: Callable[[Place], None], missed: Callable[[], None]) -> None:
        self._attending.append(ring)

    def watch(self, place: Place, ring: Callable[[], None]) -> Callable[[], None]:
        self._watched += 1
        number = self._watched
        self._watching.setdefault(place, {})[number] = ring

        def end() -> None:
            watching = self._watching.get(place, {})
            if watching.pop(number, None) is not None and not watching:
                del self._watching[place]

        return end

    def ring(self, place: Place, *, posted: bool, owed: bool) -> None:
        """Ring for what was posted in a place, and for what is owed there to subscribers that are no sockets."""
        is_planned = bool(self._owed or self._posted)
        if owed and self._attending:
            self._owed[place] = None
        if posted and place in self._watching:
            self._posted[place] = None
        if not is_planned and (self._owed or self._posted):
            self._clock.callLater(0, self._ring)

    def _ring(self) -> None:
        owed, self._owed = self._owed, {}
        posted, self._posted = self._posted, {}
        for place in owed:
            for attend in self._attending:
                attend(place)
        for place in posted:
            for number, watch in list(self._watching.get(place, {}).items()):
                if number in self._watching.get(place, {}):  # it may have been ended by the one before
                    watch()
