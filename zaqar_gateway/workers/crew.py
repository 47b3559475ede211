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
    :param store_s: how long a worker may wait for its store until it knows how it stands.
    """

    def __init__(self, count: int, start: Callable[[Seat], Process], clock: Any, store_s: float) -> None:
        self._all_serve: Deferred[Serves] = Deferred()
        self._to_come = count
        self._seats = [
            Seat(number, start, clock, store_s=store_s, serves=self._serves, failed=self._failed)
            for number in range(1, count + 1)
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

    async def metrics(self) -> dict[int, str | None]:
        """The metrics of each, by its number; ``None``: it tells none."""
        found = await gatherResults([Deferred.fromCoroutine(seat.metrics()) for seat in self._seats])
        return {seat.number: metrics for seat, metrics in zip(self._seats, found, strict=True)}

    async def reports(self, enough: Callable[[Report], bool] = lambda report: False) -> dict[int, Report | str]:
        """How it stands with each, by its number, or why that one does not tell.

        :param enough: whether one report says all; what comes later is not waited for then.
        """
        found: dict[int, Report | str] = {}
        all_told: Deferred[None] = Deferred()

        def take(report: Report | str, number: int) -> None:
            if all_told.called:
                return
            found[number] = report
            if len(found) == len(self._seats) or (isinstance(report, Report) and enough(report)):
                all_told.callback(None)

        for seat in self._seats:
            Deferred.fromCoroutine(seat.report()).addCallback(take, seat.number)
        await all_told
        return {number: found[number] for number in sorted(found)}

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
