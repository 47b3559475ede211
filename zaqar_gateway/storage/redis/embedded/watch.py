"""What is looked at again and again beside the embedded Redis: its disk, which may take long to answer, or never do."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from threading import Thread
from typing import Any

from twisted.application.service import Service
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorFromThreads, IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure


class IWatchingReactor(IReactorFromThreads, IReactorTime):
    """What a reactor has to offer here."""


class Watch(Service, ABC):
    """Takes one step after the other, the next one when the last one has ended, whatever comes of it.

    :cvar again_s: when the next step is, after one that failed.
    """

    again_s = 1.0
    trouble = ""
    """What is wrong, in words."""
    _log = Logger()

    def __init__(self, reactor: IWatchingReactor) -> None:
        self._reactor = reactor
        self._next: IDelayedCall | None = None
        self._is_stepping = False

    def startService(self) -> None:
        """Take the first step."""
        super().startService()
        if not self._is_stepping:
            self._begin()

    def stopService(self) -> None:
        """Take no more steps.  One that is under way is not waited for, since the disk may never answer."""
        super().stopService()
        if self._next:
            self._next.cancel()
            self._next = None

    def _begin(self) -> None:
        self._next = None
        self._is_stepping = True
        Deferred.fromCoroutine(self._step())

    async def _step(self) -> None:
        pause_s = await self.once()
        self._is_stepping = False
        if self.running:
            self._next = self._reactor.callLater(pause_s, self._begin)

    async def once(self) -> float:
        """Take a step now; see :meth:`step`.  It does not fail."""
        try:
            return await self.step()
        except Exception:  # whatever it is, to look no more would be worse
            self._log.failure("what is watched cannot be looked at")
            return self.again_s

    @abstractmethod
    async def step(self) -> float:
        """Take a step.

        :return: the time until the next one (s).
        """

    def in_thread(self, work: Callable[[], Any]) -> Deferred[Any]:
        """Do something in a thread that does not keep the process from ending."""
        answer: Deferred[Any] = Deferred()

        def run() -> None:
            try:
                result = work()
            except Exception:
                self._reactor.callFromThread(answer.errback, Failure())
            else:
                self._reactor.callFromThread(answer.callback, result)

        self.begin_thread(run)
        return answer

    def begin_thread(self, run: Callable[[], None]) -> None:
        """Have something run in such a thread."""
        Thread(target=run, daemon=True).start()
