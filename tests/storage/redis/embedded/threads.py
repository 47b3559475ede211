"""Threads that do nothing until they are told to."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.task import Clock

from zaqar_gateway.storage.redis.embedded.watch import Watch


class OneThread(Clock):
    """A reactor that is called from its own thread."""

    def callFromThread(self, function: Callable[..., Any], *arguments: Any) -> None:
        """Call it at once."""
        function(*arguments)


class Held(Watch):
    """A watch whose threads are held."""

    _runs: tuple[Callable[[], None], ...] = ()

    def begin_thread(self, run: Callable[[], None]) -> None:
        """Have it run some time."""
        self._runs += (run,)

    def work(self) -> None:
        """Do what there is to do in threads."""
        runs, self._runs = self._runs, ()
        for run in runs:
            run()

    @property
    def busy(self) -> int:
        """How much there is to do in threads."""
        return len(self._runs)
