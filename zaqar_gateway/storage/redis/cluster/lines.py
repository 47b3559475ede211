"""Commands that wait until a node has their slot, in the order in which they were asked for.

What is asked for while others of its slot wait, waits behind them, and so does what was under way behind the first that was refused: it
comes back refused as well.  So nothing of a line is sent again before the node that refused has answered all that it was sent.
"""

from __future__ import annotations

from bisect import insort
from collections.abc import Callable
from operator import attrgetter
from typing import Any

from twisted.internet.interfaces import IDelayedCall, IReactorTime

from zaqar_gateway.storage.redis.commands import Commands, Sent, refusal
from zaqar_gateway.storage.redis.packing import command

AGAIN_S = 0.05
"""After what time it is tried again, where it is not known when to."""

_PING = command("PING")

_nth = attrgetter("nth")


class _Behind(Sent):
    """What comes behind all that a node was sent."""

    def __init__(self, reached: Callable[[], None]) -> None:
        super().__init__(_PING, None)
        self._reached = reached

    def give(self, value: Any) -> None:
        self._reached()

    def fail(self, error: Exception) -> None:
        self._reached()


class _Line:
    """What waits for one slot."""

    def __init__(self) -> None:
        self.waiting: list[Sent] = []
        self.unanswered: set[Commands] = set()  # what may still have some that come back
        self.again: IDelayedCall | None = None
        self.again_s = AGAIN_S


class Lines:
    """What waits, by slot.

    :param submit: sends what waited, or has it wait again.
    :param timeout_s: how long a command may wait, from its first refusal on.
    :param bound: how many may wait.
    """

    def __init__(self, clock: IReactorTime, submit: Callable[[Sent], object], timeout_s: float, bound: int) -> None:
        self._clock = clock
        self._submit = submit
        self._timeout_s = timeout_s
        self._bound = bound
        self._lines: dict[int, _Line] = {}
        self._number = 0

    def __contains__(self, slot: int) -> bool:
        """Whether commands of a slot wait."""
        return slot in self._lines

    def add(self, sent: Sent, refused_by: Commands | None = None, again_s: float = AGAIN_S) -> bool:
        """Have a command wait.  One without a slot may not, nor one that has several answers.

        :param refused_by: what refused it; ``None``: it was not sent.
        :param again_s: when it is tried again.
        :return: whether it may.
        """
        if sent.slot < 0 or sent.number > 1:
            return False
        now_s = self._clock.seconds()
        if not sent.give_up_s:
            sent.give_up_s = now_s + self._timeout_s
        if now_s >= sent.give_up_s or self._number >= self._bound:
            return False
        line = self._lines.setdefault(sent.slot, _Line())
        insort(line.waiting, sent, key=_nth)
        self._number += 1
        line.again_s = min(line.again_s, again_s)
        if refused_by is not None and refused_by not in line.unanswered:
            line.unanswered.add(refused_by)
            refused_by.submit(_Behind(lambda: self._answered(sent.slot, line, refused_by)))
        elif line.again is None and not line.unanswered:
            line.again = self._clock.callLater(line.again_s, self._release, sent.slot)
        return True

    def _answered(self, slot: int, line: _Line, by: Commands) -> None:
        line.unanswered.discard(by)
        if not line.unanswered and self._lines.get(slot) is line and line.again is None:
            line.again = self._clock.callLater(line.again_s, self._release, slot)

    def _release(self, slot: int) -> None:
        line = self._take(slot)
        if line.unanswered:
            # One more came back from elsewhere meanwhile.
            self._lines[slot] = line
            self._number += len(line.waiting)
            return
        now_s = self._clock.seconds()
        for sent in line.waiting:
            if now_s >= sent.give_up_s:
                sent.fail(refusal("TRYAGAIN"))
            else:
                self._submit(sent)

    def _take(self, slot: int) -> _Line:
        line = self._lines.pop(slot)
        self._number -= len(line.waiting)
        if line.again is not None and line.again.active():
            line.again.cancel()
        line.again = None
        return line

    def try_again(self) -> None:
        """Send all that waits, since nodes have other slots than before."""
        for slot in [slot for slot, line in self._lines.items() if line.again is not None]:
            self._release(slot)

    def stop(self, error: Exception) -> None:
        """Nothing is sent any more."""
        for slot in [*self._lines]:
            for sent in self._take(slot).waiting:
                sent.fail(error)
