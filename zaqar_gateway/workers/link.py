"""A worker's end of what its keeper says."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from threading import Event, Thread

from twisted.internet.interfaces import IReactorFromThreads

from zaqar_gateway.workers.handover import ASK, HANG_UP, MEASURE, REPORT

LEFT_ALONE_MAX_S = 60.0
"""How long a worker may take to end once its keeper has, before it just ends: whatever keeps it, nobody would look after it."""


def end_process() -> None:
    """End this process as anybody else would: in good order where it serves, and at once where it does not yet.

    To be called in a thread that nobody waits for: where the process does not end within a minute it does here.
    """
    os.kill(os.getpid(), signal.SIGTERM)
    Event().wait(LEFT_ALONE_MAX_S)
    os._exit(1)


class Link:
    """Does as the keeper says, and ends the process when the keeper is gone.

    It reads in a thread, so that a worker that hangs does not outlive its keeper either.

    :param file: where the keeper writes.
    :param end: called in that thread, when the keeper is gone.
    """

    def __init__(self, reactor: IReactorFromThreads, file: int, end: Callable[[], object] = end_process) -> None:
        self._reactor = reactor
        self._file = file
        self._end = end
        self._calls: dict[bytes, Callable[[], object]] = {}

    def start(
        self,
        alive: Callable[[], object],
        hung_up: Callable[[], object],
        measure: Callable[[], object],
        report: Callable[[], object],
    ) -> None:
        """Begin to read.

        :param alive: called in the reactor's thread when the keeper asks; :param hung_up: the same for SIGHUP, and
        :param measure: for the metrics and :param report: for the health that operators want to know.
        """
        self._calls = {ASK: alive, HANG_UP: hung_up, MEASURE: measure, REPORT: report}
        Thread(target=self._follow, daemon=True).start()

    def _follow(self) -> None:
        with open(self._file, "rb") as lines:
            for line in lines:
                if (call := self._calls.get(line.rstrip(b"\n"))) is not None:
                    self._reactor.callFromThread(call)
        self._end()
