"""A reactor with a clock, and with threads, that does nothing by itself."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.task import Clock
from twisted.python.failure import Failure


class Threads(Clock):
    """A reactor whose threads do nothing until they are told to."""

    def __init__(self) -> None:
        super().__init__()
        self._works: list[Callable[[], None]] = []

    def getThreadPool(self) -> Any:
        """Its threads."""
        return self

    def callFromThread(self, function: Callable[..., Any], *arguments: Any) -> None:
        """Call it in the thread of the reactor, the only one."""
        function(*arguments)

    def callInThreadWithCallback(self, told: Callable[[bool, Any], None], function: Callable[[], Any]) -> None:
        """Have it done some time."""

        def work() -> None:
            try:
                result = function()
            except OSError:
                told(False, Failure())
            else:
                told(True, result)

        self._works.append(work)

    def work(self) -> None:
        """Do what there is to do in threads."""
        works, self._works = self._works, []
        for each in works:
            each()

    @property
    def busy(self) -> int:
        """How much there is to do in threads."""
        return len(self._works)
