"""The room on the disk of the embedded Redis."""

from __future__ import annotations

import errno
import os
import shutil
from pathlib import Path
from typing import Any, cast

from twisted.internet.defer import Deferred
from twisted.logger import ILogObserver, LogEvent, globalLogPublisher
from twisted.trial.unittest import SynchronousTestCase

from tests.storage.redis.threads import Threads
from zaqar_gateway.storage.redis.appendonly import IThreadingReactor
from zaqar_gateway.storage.redis.room import LEAST_BYTES, MIB, OFTEN_S, SELDOM_S, Guard, Room, room_of

LARGE = 1024 * 1024 * MIB


class RoomTests(SynchronousTestCase):
    """What is little."""

    def test_little(self) -> None:
        """Less than 64 MiB, or than a tenth of a small disk; and half as much again once it was less."""
        for free, whole, is_little, still in (
            (LEAST_BYTES - 1, LARGE, True, True),
            (LEAST_BYTES, LARGE, False, True),
            (LEAST_BYTES * 3 // 2 - 1, LARGE, False, True),
            (LEAST_BYTES * 3 // 2, LARGE, False, False),
            (4 * MIB - 1, 40 * MIB, True, True),
            (6 * MIB, 40 * MIB, False, False),
            (0, 0, False, False),  # where the system does not know
        ):
            room = Room(free, whole)
            told = room.is_little(was_little=False), room.is_little(was_little=True)
            self.assertEqual(told, (is_little, still), room)

    def test_of_a_directory(self) -> None:
        """It is that of the disk of the directory, as the system tells it."""
        room, usage = room_of(Path(self.mktemp()).absolute().parent), shutil.disk_usage(".")
        self.assertEqual(room.whole, usage.total)
        self.assertLess(abs(room.free - usage.free), usage.total / 100)
        self.assertRaises(FileNotFoundError, room_of, Path(self.mktemp()))


class GuardTests(SynchronousTestCase):
    """When Redis is told."""

    def setUp(self) -> None:
        self.reactor = Threads()
        self.free = LARGE
        self.error: OSError | None = None
        self.looks = 0
        self.agrees = True
        self.told: list[bool] = []
        self.events: list[LogEvent] = []
        observer = cast(ILogObserver, self.events.append)
        globalLogPublisher.addObserver(observer)
        self.addCleanup(globalLogPublisher.removeObserver, observer)
        self.guard = Guard(cast(IThreadingReactor, self.reactor), self.look, self.refuse)

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

    def turn(self, seconds: float = OFTEN_S, free: int | None = None) -> list[bool]:
        """What Redis is told in a time."""
        self.told = []
        if free is not None:
            self.free = free
        self.reactor.pump([OFTEN_S] * round(seconds / OFTEN_S))
        self.reactor.work()
        return self.told

    def start(self) -> None:
        """Start it."""
        self.guard.startService()
        self.addCleanup(self.guard.stopService)
        self.reactor.work()

    def levels(self) -> list[Any]:
        """The levels of what was logged."""
        return [event["log_level"].name for event in self.events if event["log_namespace"].endswith("Guard")]

    def test_refuses(self) -> None:
        """Where there is little room Redis is told to take no more, once; and where there is room again, to take it."""
        self.start()
        turns = [self.turn(SELDOM_S), self.turn(SELDOM_S, free=0), self.turn(), self.turn(free=LARGE), self.turn(SELDOM_S)]
        self.assertEqual(turns, [[], [True], [], [False], []])
        self.assertEqual(self.levels(), ["error", "info"])

    def test_how_often(self) -> None:
        """What is ample is looked at seldom, what is less often, though not while a look is under way."""
        self.start()
        self.turn(SELDOM_S - OFTEN_S)
        self.assertEqual(self.looks, 1)
        self.turn(free=LEAST_BYTES)
        self.assertEqual(self.looks, 2)
        for _ in range(4):
            self.turn()
        self.assertEqual(self.looks, 6)
        self.turn(60)
        self.assertEqual(self.looks, 7)

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
        """One that was started anew is told again, before it is used."""
        self.free = 0
        self.start()
        self.guard.refuses = False
        self.told = []
        checked = Deferred.fromCoroutine(self.guard.check())
        self.reactor.work()
        self.successResultOf(checked)
        self.assertEqual(self.told, [True])

    def test_unknown(self) -> None:
        """Where the system does not tell the room, all stays as it is."""
        self.error = OSError(errno.EIO, os.strerror(errno.EIO))
        self.start()
        self.assertEqual((self.turn(), self.looks), ([], 2))
        self.error = None
        self.assertEqual(self.turn(free=0), [True])
        self.error = OSError(errno.EIO, os.strerror(errno.EIO))
        self.assertEqual((self.turn(), self.guard.refuses), ([], True))
