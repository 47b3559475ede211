"""The room on the disk of the embedded Redis: where little is left, Redis takes no more.

A Redis whose disk is full refuses writes by itself, but has answered those of the moment in which it came to know.  It keeps them in
its memory, and they are lost if it ends before there is room, as when somebody starts the gateway anew to get it going.  So no message is
taken any more while there is still room for those that are under way, and for deletions.
"""

from __future__ import annotations

import os
from collections.abc import Awaitable, Callable
from pathlib import Path

from attrs import frozen
from twisted.logger import Logger

from zaqar_gateway.storage.redis.embedded.watch import IWatchingReactor, Watch

MIB = 1024 * 1024

LEAST_BYTES = 64 * MIB
"""Room that is kept, or half of a disk that is smaller than twice as much."""

AMPLE_BYTES = 1024 * MIB

SELDOM_S, OFTEN_S, CLOSELY_S = 2.0, 0.25, 0.05
"""How often it is looked at where there is ample room, where there is less, and near the end: by the next time 500 MB a second have not
used up what is ample, 800 MB a second not four times what is kept, and 1.3 GB a second not what is kept."""


@frozen
class Room:
    """:ivar free: bytes that are left for those who are not root.

    :ivar whole: bytes that the disk has; 0 where the system does not know.
    """

    free: int
    whole: int

    @property
    def least(self) -> int:
        """Bytes that are kept."""
        return min(LEAST_BYTES, self.whole // 2)

    def is_little(self, *, was_little: bool) -> bool:
        """Whether no more can be taken; once that is so, there has to be half as much again."""
        return self.free < (self.least * 3 // 2 if was_little else self.least)

    @property
    def look_again_s(self) -> float:
        """When it should be looked at again."""
        if self.free > AMPLE_BYTES:
            return SELDOM_S
        return OFTEN_S if self.free > 4 * self.least else CLOSELY_S


def room_of(directory: Path) -> Room:
    """The room on the disk that a directory is on.

    :raises OSError: it cannot be known.
    """
    told = os.statvfs(directory)
    return Room(told.f_bavail * told.f_frsize, told.f_blocks * told.f_frsize)


class Guard(Watch):
    """Has a Redis refuse what needs more room where there is little, or where that cannot be known, as when its directory is gone.

    :param look: tells the room.
    :raises OSError: (``look``) it cannot be known.
    :param refuse: has Redis refuse that, or take it again; tells whether it agreed.
    """

    again_s = OFTEN_S
    _log = Logger()

    def __init__(
        self, reactor: IWatchingReactor, look: Callable[[], Room], refuse: Callable[[bool], Awaitable[bool]]
    ) -> None:
        super().__init__(reactor)
        self._look = look
        self._refuse = refuse
        self._is_little = False
        self._is_refused = False

    def begin_anew(self) -> None:
        """Another Redis was started, which refuses nothing yet."""
        self._is_refused = False

    async def step(self) -> float:
        """Look, and have Redis do what follows from it."""
        try:
            room: Room = await self.in_thread(self._look)
        except OSError as error:
            is_little, again_s, why = True, OFTEN_S, f"the disk cannot be looked at ({error.strerror})"
        else:
            is_little, again_s = room.is_little(was_little=self._is_little), room.look_again_s
            why = f"there are only {room.free / MIB:.0f} MiB left on the disk"
        self.trouble = f"{why}: no messages are taken" if is_little else ""
        if is_little != self._is_little:
            self._is_little = is_little
            if is_little:
                self._log.error(
                    "{why}: messages can be deleted, but none are taken until that has changed, so that nothing is lost that was"
                    " acknowledged",
                    why=why,
                )
            else:
                self._log.info("there is room on the disk again, and messages are taken")
        if is_little != self._is_refused and await self._refuse(is_little):
            self._is_refused = is_little
        return OFTEN_S if is_little else again_s
