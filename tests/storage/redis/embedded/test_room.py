"""The room on the disk of the embedded Redis."""

from __future__ import annotations

import errno
import os
import shutil
from pathlib import Path
from typing import cast

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase

from tests.logs import logged
from tests.storage.redis.embedded.threads import Held, OneThread
from zaqar_gateway.storage.redis.embedded.room import (
    AMPLE_BYTES,
    CLOSELY_S,
    LEAST_BYTES,
    MIB,
    OFTEN_S,
    SELDOM_S,
    Guard,
    Room,
    room_of,
)
from zaqar_gateway.storage.redis.embedded.watch import IWatchingReactor

LARGE = 1024 * 1024 * MIB


class RoomTests(SynchronousTestCase):
    """What is little."""

    def test_little(self) -> None:
        """Less than 64 MiB, or than half of a small disk; and half as much again once it was less."""
        for free, whole, is_little, still in (
            (LEAST_BYTES - 1, LARGE, True, True),
            (LEAST_BYTES, LARGE, False, True),
            (LEAST_BYTES * 3 // 2 - 1, LARGE, False, True),
            (LEAST_BYTES * 3 // 2, LARGE, False, False),
            (20 * MIB - 1, 40 * MIB, True, True),
            (30 * MIB, 40 * MIB, False, False),
            (0, 0, False, False),  # where the system does not know
        ):
            room = Room(free, whole)
            told = room.is_little(was_little=False), room.is_little(was_little=True)
            self.assertEqual(told, (is_little, still), room)

    def test_how_often(self) -> None:
        """The less room there is, the sooner it is looked at again."""
        for free, whole, again_s in (
            (AMPLE_BYTES + 1, LARGE, SELDOM_S),
            (AMPLE_BYTES, LARGE, OFTEN_S),
            (4 * LEAST_BYTES, LARGE, CLOSELY_S),
            (40 * MIB, 40 * MIB, CLOSELY_S),
        ):
            self.assertEqual(Room(free, whole).look_again_s, again_s)

    def test_of_a_directory(self) -> None:
        """It is that of the disk of the directory, as the system tells it."""
        room, usage = room_of(Path(self.mktemp()).absolute().parent), shutil.disk_usage(".")
        self.assertEqual(room.whole, usage.total)
        self.assertLess(abs(room.free - usage.free), usage.total / 100)
        self.assertRaises(FileNotFoundError, room_of, Path(self.mktemp()))


class HeldGuard(Held, Guard):
    """One whose threads are held."""


class GuardTests(SynchronousTestCase):
    """When Redis is told."""

    def setUp(self) -> None:
        self.clock = OneThread()
        self.free = LARGE
        self.error: OSError | None = None
        self.looks = 0
        self.agrees = True
        self.told: list[bool] = []
        self.log = logged(self)
        self.guard = HeldGuard(cast(IWatchingReactor, self.clock), self.look, self.refuse)

    def look(self) -> Room:
        """Tell the room."""
        self.looks += 1
        if self.error:
            raise self.error
        return Room(self.free, LARGE)

    async def refuse(self, refused: bool) -> bool:
        """Be the Redis."""
        self.told.append(refused)
        return self.agrees

    def turn(self, free: int | None = None, seconds: float = SELDOM_S) -> list[bool]:
        """What Redis is told in a time."""
        self.told = []
        if free is not None:
            self.free = free
        self.clock.advance(seconds)
        self.guard.work()
        return self.told

    def start(self) -> None:
        """Start it."""
        self.guard.startService()
        self.addCleanup(self.guard.stopService)
        self.guard.work()

    def levels(self) -> list[str]:
        """The levels of what was logged since the last time."""
        return self.log.levels("Guard")

    def test_refuses(self) -> None:
        """Where there is little room Redis is told to take no more, once; and where there is room again, to take it."""
        self.start()
        turns = [self.turn(), self.turn(0), self.turn(), self.turn(LARGE), self.turn()]
        self.assertEqual(turns, [[], [True], [], [False], []])
        self.assertEqual(self.levels(), ["error", "info"])

    def test_how_often(self) -> None:
        """It is looked at as often as the room demands; not so closely any more once nothing is taken."""
        self.start()
        self.turn(seconds=SELDOM_S - 0.1)
        self.assertEqual(self.looks, 1)
        self.turn(LEAST_BYTES, seconds=0.1)
        self.turn(seconds=CLOSELY_S)
        self.assertEqual(self.looks, 3)
        self.turn(0, seconds=CLOSELY_S)
        self.turn(seconds=CLOSELY_S)
        self.assertEqual(self.looks, 4)
        self.turn(seconds=OFTEN_S)
        self.assertEqual(self.looks, 5)

    def test_no_answer(self) -> None:
        """A Redis that does not agree is told again."""
        self.agrees = False
        self.free = 0
        self.start()
        self.assertEqual([self.turn(), self.turn()], [[True], [True]])
        self.agrees = True
        self.assertEqual([self.turn(), self.turn()], [[True], []])
        self.assertEqual(self.levels(), ["error"])

    def test_another_redis(self) -> None:
        """One that was started anew is told again, as long as there is not enough room for it to take more again."""
        self.start()
        self.turn(0)
        self.levels()
        self.guard.begin_anew()
        self.free, self.told = LEAST_BYTES, []
        looked = Deferred.fromCoroutine(self.guard.once())
        self.guard.work()
        self.successResultOf(looked)
        self.assertEqual((self.told, self.levels()), ([True], []))

    def test_unknown(self) -> None:
        """Where the disk cannot be looked at, as when the directory is gone, nothing is taken either."""
        self.start()
        self.error = OSError(errno.ENOENT, os.strerror(errno.ENOENT))
        self.assertEqual((self.turn(), self.turn()), ([True], []))
        self.assertIn("No such file or directory", list(self.log)[-1]["why"])
        self.error = None
        self.assertEqual((self.turn(), self.levels()), ([False], ["error", "info"]))
