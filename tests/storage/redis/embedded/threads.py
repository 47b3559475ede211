"""Threads that do nothing until they are told to."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.internet.defer import Deferred
from twisted.python.failure import Failure

from zaqar_gateway.storage.redis.embedded.watch import Watch


class Held(Watch):
    """A watch whose threads are held."""

    _works: tuple[Callable[[], None], ...] = ()

    def in_thread(self, work: Callable[[], Any]) -> Deferred[Any]:
        """Have it done some time."""
        answer: Deferred[Any] = Deferred()

        def run() -> None:
            try:
                result = work()
            except Exception:
                answer.errback(Failure())
            else:
                answer.callback(result)

        self._works += (run,)
        return answer

    def work(self) -> None:
        """Do what there is to do in threads."""
        works, self._works = self._works, ()
        for each in works:
            each()

    @property
    def busy(self) -> int:
        """How much there is to do in threads."""
        return len(self._works)
