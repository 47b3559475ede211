"""All workers of a gateway."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.application.internet import TimerService
from twisted.internet.defer import Deferred, gatherResults

from zaqar_gateway.model import Report
from zaqar_gateway.workers.handover import HANG_UP
from zaqar_gateway.workers.seat import ASK_S, Process, Seat
from zaqar_gateway.workers.tidings import Serves


class WorkersFailed(Exception):
    """A worker cannot start; the text says why."""


class Crew:
    """So many workers as there are seats.

    :param start: starts a worker of a seat; see there.
    """

    def __init__(self, count: int, start: Callable[[Seat], Process], clock: Any) -> None:
        self._all_serve: Deferred[Serves] = Deferred()
        self._to_come = count
        self._seats = [
            Seat(number, start, clock, serves=self._serves, failed=self._failed) for number in range(1, count + 1)
        ]
        self._looks = TimerService(ASK_S, self._look)
        self._looks.clock = clock

    async def begin(self) -> Serves:
        """Start them.

        :return: what one of them tells of itself, when all of them serve.
        :raises WorkersFailed: one cannot start; the others are there until they are stopped.
        """
        for seat in self._seats:
            seat.begin()
        self._looks.startService()
        return await self._all_serve

    def hang_up(self) -> None:
        """Have them do what SIGHUP asks for."""
        for seat in self._seats:
            seat.say(HANG_UP)

    @property
    def starts(self) -> dict[int, int]:
        """How often each was started, by its number."""
        return {seat.number: seat.starts for seat in self._seats}

    async def reports(self) -> dict[int, Report | None]:
        """What each tells of itself now, by its number; ``None``: nothing."""
        found = await gatherResults([Deferred.fromCoroutine(seat.report()) for seat in self._seats])
        return {seat.number: report for seat, report in zip(self._seats, found, strict=True)}

    async def stop(self) -> None:
        """Have them end in good order, all at one time."""
        ended = [Deferred.fromCoroutine(seat.stop()) for seat in self._seats]
        if self._looks.running:
            await self._looks.stopService()
        await gatherResults(ended)

    def _serves(self, told: Serves) -> None:
        self._to_come -= 1
        if not self._to_come and not self._all_serve.called:
            self._all_serve.callback(told)

    def _failed(self, why: str) -> None:
        if not self._all_serve.called:  # the first one says enough
            self._all_serve.errback(WorkersFailed(why))

    def _look(self) -> None:
        for seat in self._seats:
            seat.look()
