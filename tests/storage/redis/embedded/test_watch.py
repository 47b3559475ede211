"""What is looked at again and again."""

from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path
from typing import Any, cast

from twisted.internet import reactor as global_reactor
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase, TestCase

import zaqar_gateway
from zaqar_gateway.storage.redis.embedded.watch import IWatchingReactor, Watch

# A process whose disk does not answer is stopped.
HANGING = """
import sys, threading
from twisted.internet import reactor
from zaqar_gateway.storage.redis.embedded.watch import Watch
class Hanging(Watch):
    async def step(self):
        reactor.callLater(0, reactor.stop)
        await self.in_thread(threading.Event().wait)
watch = Hanging(reactor)
reactor.callWhenRunning(watch.startService)
reactor.addSystemEventTrigger("before", "shutdown", watch.stopService)
reactor.run()
"""


class Stepping(Watch):
    """Counts its steps."""

    again_s = 7.0

    def __init__(self, reactor: IWatchingReactor) -> None:
        super().__init__(reactor)
        self.steps = 0
        self.ends: list[Deferred[float]] = []
        self.is_held = False

    async def step(self) -> float:
        self.steps += 1
        if self.is_held:
            self.ends.append(Deferred())
            return await self.ends[-1]
        return 3.0


class WatchTests(SynchronousTestCase):
    """When steps are taken."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.watch = Stepping(cast(IWatchingReactor, self.clock))

    def test_one_after_the_other(self) -> None:
        """The next step is when the last one wants it."""
        self.watch.startService()
        for seconds, steps in ((2.9, 1), (0.1, 2), (3.0, 3)):
            self.clock.advance(seconds)
            self.assertEqual(self.watch.steps, steps)

    def test_failure(self) -> None:
        """One that fails is logged, and another one is taken."""
        self.watch.is_held = True
        self.watch.startService()
        self.watch.ends[0].errback(ValueError("x"))
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 1)
        self.clock.advance(6.9)
        self.assertEqual(self.watch.steps, 1)
        self.clock.advance(0.1)
        self.assertEqual(self.watch.steps, 2)

    def test_stop(self) -> None:
        """There are no more steps after a stop, and after another start there is one at a time."""
        self.watch.is_held = True
        self.watch.startService()
        self.watch.stopService()
        self.watch.startService()
        self.assertEqual(self.watch.steps, 1)
        self.watch.ends[0].callback(3.0)
        self.clock.advance(3.0)
        self.assertEqual(self.watch.steps, 2)
        self.watch.stopService()
        self.watch.ends[1].callback(3.0)
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.watch.is_held = False
        self.watch.startService()
        self.watch.stopService()
        self.assertEqual((self.watch.steps, self.clock.getDelayedCalls()), (3, []))


class ThreadTests(TestCase):
    """What is done in threads."""

    timeout = 180

    async def test_result(self) -> None:
        """What is done in a thread has a result, or a failure, in that of the reactor."""
        watch = Stepping(cast(IWatchingReactor, global_reactor))
        thread = await watch.in_thread(threading.current_thread)
        self.assertIsNot(thread, threading.current_thread())

        def fail() -> Any:
            raise OSError(5, "x")

        with self.assertRaises(OSError):
            await watch.in_thread(fail)

    def test_end(self) -> None:
        """A disk that does not answer keeps no process from ending."""
        root = str(Path(zaqar_gateway.__file__).parent.parent)
        ended = subprocess.run([sys.executable, "-c", HANGING], cwd=root, timeout=120, check=False)
        self.assertEqual(ended.returncode, 0)
