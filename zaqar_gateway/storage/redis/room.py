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
from twisted.application.internet import TimerService
from twisted.internet.defer import Deferred
from twisted.internet.threads import deferToThreadPool
from twisted.logger import Logger

from zaqar_gateway.storage.redis.appendonly import IThreadingReactor

MIB = 1024 * 1024

LEAST_BYTES = 64 * MIB
"""Room that is kept, or a tenth of a disk that is smaller than ten times of it."""

AMPLE_BYTES = 1024 * MIB
"""With more than this there is no need to look often."""

OFTEN_S, SELDOM_S = 0.25, 2.0
"""How often it is looked at.  By then 256 MB a second have not used up the room that is kept, and 512 MB not what is ample."""


@frozen
class Room:
    """:ivar free: bytes that are left for those who are not root.

    :ivar whole: bytes that the disk has; 0 where the system does not know.
    """

    free: int
    whole: int

    def is_little(self, *, was_little: bool) -> bool:
        """Whether no more can be taken; once that is so, there has to be half as much again."""
        least = min(LEAST_BYTES, self.whole // 10)
        return self.free < (least * 3 // 2 if was_little else least)


def room_of(directory: Path) -> Room:
    """The room on the disk that a directory is on.

    :raises OSError: it cannot be known.
    """
    told = os.statvfs(directory)
    return Room(told.f_bavail * told.f_frsize, told.f_blocks * told.f_frsize)


class Guard(TimerService):
    """Has a Redis refuse what needs more room where there is little.

    :param look: tells the room, in a thread, for a disk may take long.
    :param refuse: has Redis refuse that, or take it again; tells whether it agreed.
    :ivar refuses: what Redis does; to be set where another one was started.
    """

    _log = Logger()

    def __init__(
        self, reactor: IThreadingReactor, look: Callable[[], Room], refuse: Callable[[bool], Awaitable[bool]]
    ) -> None:
        super().__init__(OFTEN_S, lambda: Deferred.fromCoroutine(self._step()))
        self.clock = reactor
        self.refuses = False
        self._reactor = reactor
        self._look = look
        self._refuse = refuse
        self._look_at = 0.0

    async def _step(self) -> None:
        if self._reactor.seconds() >= self._look_at:
            await self.check()

    async def check(self) -> None:
        """Look, and have Redis do what follows from it."""
        try:
            room = await deferToThreadPool(self._reactor, self._reactor.getThreadPool(), self._look)
        except OSError as error:
            self._log.debug("the room on the disk is not known: {why}", why=error.strerror)
            return
        self._look_at = self._reactor.seconds() + (SELDOM_S if room.free > AMPLE_BYTES else 0)
        is_little = room.is_little(was_little=self.refuses)
        if is_little == self.refuses or not await self._refuse(is_little):
            return
        self.refuses = is_little
        if is_little:
            self._log.error(
                "there are only {free_mib:.0f} MiB left on the disk: messages can be deleted, but none are taken until there is"
                " more room, so that nothing is lost that was acknowledged",
                free_mib=room.free / MIB,
            )
        else:
            self._log.info("there is room on the disk again, and messages are taken")
