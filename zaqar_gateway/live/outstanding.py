"""What a subscription with acknowledgements was sent and is not done with, and what comes again when.  Pure.

A message is *sent* (on its way, or at work), *waiting* (refused, until its delay is over) or *ready* (to be sent again).
What an earlier connection was sent is ready, and *unseen* until this one is sent it: until then whoever is sent messages here
can say nothing of it.  Instants are seconds of one clock.
"""

from __future__ import annotations

import heapq
from bisect import bisect_left, bisect_right, insort
from collections.abc import Iterable, Sequence

TOTAL_MAX = 5_000
"""With so many messages sent, waiting and ready nothing new is sent, whatever the window: refused messages do not fill a
window, and have to be remembered."""

_INCARNATION = 10
"""Characters at the end of an id that all ids of one queue share."""


class Outstanding:
    """The messages of one subscription.

    :param window: the most that may be sent at one time.
    :param deadline_s: after how many seconds what is sent is ready again.
    :ivar window: may be changed; what is sent already stays so.
    """

    def __init__(self, window: int, deadline_s: float) -> None:
        self.window = window
        self._deadline_s = deadline_s
        self._places: dict[str, int] = {}  # in the order in which they were first sent
        self._ids: dict[int, str] = {}
        self._sent: dict[str, float] = {}  # with their deadlines
        self._waiting: dict[str, float] = {}  # with the ends of their delays
        self._ready: list[int] = []  # places, in order
        self._unseen: set[str] = set()  # the last of all that is ready, since these are sent in order
        self._agenda: list[tuple[float, str]] = []  # has what is in the two dictionaries, and what was
        self._last = 0

    def __len__(self) -> int:
        return len(self._places)

    @property
    def sent_count(self) -> int:
        """How many are sent."""
        return len(self._sent)

    def begin(self, ids: Iterable[str]) -> None:
        """Have messages be ready that an earlier connection was sent; in their order."""
        for message_id in ids:
            self._ready.append(self._enter(message_id))
            self._unseen.add(message_id)

    def _enter(self, message_id: str) -> int:
        self._last += 1
        self._places[message_id] = self._last
        self._ids[self._last] = message_id
        return self._last

    # -- sending -------------------------------------------------------------------------------------------------------

    def settle(self, now_s: float) -> None:
        """Do what time has brought."""
        agenda = self._agenda
        while agenda and agenda[0][0] <= now_s:
            at_s, message_id = heapq.heappop(agenda)
            for those in (self._sent, self._waiting):
                if those.get(message_id) == at_s:
                    del those[message_id]
                    insort(self._ready, self._places[message_id])

    def next_s(self) -> float | None:
        """When time brings something next."""
        agenda = self._agenda
        while agenda:
            at_s, message_id = agenda[0]
            if at_s in (self._sent.get(message_id), self._waiting.get(message_id)):
                return at_s
            heapq.heappop(agenda)
        return None

    @property
    def room(self) -> int:
        """How many may be sent."""
        return max(0, self.window - len(self._sent))

    def again(self, limit: int) -> list[str]:
        """The oldest that are ready, as many as may be sent."""
        return [self._ids[place] for place in self._ready[: min(limit, self.room)]]

    def ready_behind(self, message_id: str, limit: int) -> list[str]:
        """Those that are ready behind one that is outstanding, whatever the window."""
        at = bisect_right(self._ready, self._places[message_id])
        return [self._ids[place] for place in self._ready[at : at + limit]]

    @property
    def room_for_new(self) -> int:
        """How many new ones may be sent: none while older ones are ready."""
        return 0 if self._ready else max(0, min(self.room, TOTAL_MAX - len(self._places)))

    def send(self, message_id: str, now_s: float) -> bool:
        """A message is sent: a new one, or one that is ready.

        :return: whether it was ready, and so is sent again.
        """
        place = self._places.get(message_id)
        if place is None:
            self._enter(message_id)
        else:
            self._take_out(message_id, place)
            self._unseen.discard(message_id)
        self._plan(self._sent, message_id, now_s + self._deadline_s)
        return place is not None

    def is_ready(self, message_id: str) -> bool:
        """Whether a message is to be sent again."""
        place = self._places.get(message_id)
        return place is not None and self._at(place) is not None

    def is_unseen(self, message_id: str) -> bool:
        """Whether a message was sent by an earlier connection alone."""
        return message_id in self._unseen

    def _at(self, place: int) -> int | None:
        at = bisect_left(self._ready, place)
        return at if at < len(self._ready) and self._ready[at] == place else None

    def _take_out(self, message_id: str, place: int) -> None:
        """Take a message out of the state that it is in."""
        self._sent.pop(message_id, None)
        self._waiting.pop(message_id, None)
        at = self._at(place)
        if at is not None:
            del self._ready[at]

    def _plan(self, among: dict[str, float], message_id: str, at_s: float) -> None:
        among[message_id] = at_s
        heapq.heappush(self._agenda, (at_s, message_id))
        if len(self._agenda) > 64 and len(self._agenda) > 4 * len(self._places):  # most of it is of no use any more
            self._agenda = [(each_s, one) for those in (self._sent, self._waiting) for one, each_s in those.items()]
            heapq.heapify(self._agenda)

    # -- what the subscriber says --------------------------------------------------------------------------------------

    def known(self, ids: Iterable[str]) -> list[str]:
        """Those of some ids that are outstanding and were sent here, each once."""
        return [one for one in dict.fromkeys(ids) if one in self._places and one not in self._unseen]

    def up_to(self, message_id: str) -> list[str]:
        """What is outstanding and was first sent here no later than a message, which itself may be done already."""
        place = self._places.get(message_id)
        if place is not None:
            return self.known(one for one, its in self._places.items() if its <= place)
        whose = message_id[-_INCARNATION:]
        return self.known(one for one in self._places if one <= message_id and one[-_INCARNATION:] == whose)

    def done(self, ids: Sequence[str]) -> int:
        """Forget messages.

        :return: how many were outstanding.
        """
        count = 0
        for message_id in ids:
            place = self._places.get(message_id)
            if place is not None:
                self._take_out(message_id, place)
                self._unseen.discard(message_id)
                del self._places[message_id], self._ids[place]
                count += 1
        return count

    def refuse(self, ids: Iterable[str], delay_s: float, now_s: float) -> int:
        """Have messages be sent again, after a delay.

        :return: how many were outstanding.
        """
        known = self.known(ids)
        for message_id in known:
            place = self._places[message_id]
            self._take_out(message_id, place)
            if delay_s > 0:
                self._plan(self._waiting, message_id, now_s + delay_s)
            else:
                insort(self._ready, place)
        return len(known)

    def extend(self, ids: Iterable[str], deadline_s: float, now_s: float) -> int:
        """Give messages that are sent, and those whose deadline has just passed, a deadline from now.

        :return: how many there were.
        """
        count = 0
        for message_id in self.known(ids):
            if message_id not in self._waiting:
                self._take_out(message_id, self._places[message_id])
                self._plan(self._sent, message_id, now_s + deadline_s)
                count += 1
        return count
