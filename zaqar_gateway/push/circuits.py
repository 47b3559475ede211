"""Hosts that keep failing are left alone for a while, and then tried by one attempt at a time (circuit breakers).

A circuit is of a project and a host, since whoever subscribes can make any host fail: nobody's failures hold up the
deliveries of another project.  Nor do they hold up subscribers of the same project that took what they were sent last, or were
sent nothing yet.

An attempt that is held back was not made: it does not count in the retry policy, whose next attempt so comes later and
is not lost.  Circuits are those of one process; the others find out by themselves.
"""

from __future__ import annotations

import random
from collections.abc import Callable

from attrs import define
from twisted.logger import Logger

_log = Logger()

REMEMBERED = 10_000
"""Of how many hosts it is remembered that they fail; of more, those are forgotten that have not been tried for longest."""

SPREAD = 0.1
"""Who is held back comes again up to so much of the time later: by chance, so that none of them is first for ever."""

TRIED_AGAIN_S = 1.0
"""How long who is held back waits at least: until then the attempt that finds out has mostly ended."""


class HeldBack(Exception):
    """An attempt was not made, for the circuit of its host is open.

    :ivar wait_s: after how many seconds it is to be tried again.
    """

    def __init__(self, wait_s: float) -> None:
        super().__init__(wait_s)
        self.wait_s = wait_s


@define
class _Circuit:
    failures: int = 0  # in a row
    opens_until: float | None = None  # None: it is closed
    is_trying: bool = False


class Circuits:
    """The circuits of one process.

    :param failures: in a row, after which a circuit opens; 0: none ever does.
    :param open_s: for how long.
    :param monotonic: seconds of a clock that nobody sets.
    :param chance: a number from 0 to 1.
    """

    def __init__(
        self,
        failures: int,
        open_s: float,
        monotonic: Callable[[], float],
        chance: Callable[[], float] = random.random,
    ) -> None:
        self._failures = failures
        self._open_s = open_s
        self._monotonic = monotonic
        self._chance = chance
        self._circuits: dict[tuple[str, str], _Circuit] = {}  # of those that fail, the one that was tried last at the end

    @property
    def open(self) -> int:
        """How many are open."""
        return sum(each.opens_until is not None for each in self._circuits.values())

    def enter(self, project: str, host: str) -> bool:
        """Begin an attempt, for which :meth:`leave` is to be called when it has ended.

        :return: whether it is the one that finds out whether the host works again.
        :raises HeldBack: it is not to be made.
        """
        circuit = self._circuits.get((project, host))
        if circuit is None or circuit.opens_until is None:
            return False
        left_s = circuit.opens_until - self._monotonic()
        if left_s > 0 or circuit.is_trying:
            raise HeldBack(max(left_s, TRIED_AGAIN_S) + SPREAD * self._open_s * self._chance())
        circuit.is_trying = True
        return True

    def leave(self, project: str, host: str, is_finding_out: bool, works: bool | None, reason: str = "") -> None:
        """An attempt has ended.

        :param is_finding_out: what :meth:`enter` returned.
        :param works: whether the host did what it should; ``None``: the attempt does not say.
        :param reason: why not, for the log.
        """
        key = project, host
        circuit = self._circuits.get(key)
        if circuit is not None and is_finding_out:
            circuit.is_trying = False
        if works is None or not self._failures:
            return
        if works:
            if circuit is not None:
                del self._circuits[key]
                if circuit.opens_until is not None:
                    _log.info("deliveries of project {project} to {host} go on", project=project, host=host)
            return
        self._circuits.pop(key, None)
        self._failed(key, circuit or _Circuit(), is_finding_out, reason)

    def _failed(self, key: tuple[str, str], circuit: _Circuit, is_finding_out: bool, reason: str) -> None:
        self._circuits[key] = circuit
        circuit.failures += 1
        if circuit.opens_until is not None:
            if is_finding_out:
                circuit.opens_until = self._monotonic() + self._open_s
        elif circuit.failures >= self._failures:
            circuit.opens_until = self._monotonic() + self._open_s
            _log.warn(
                "deliveries of project {project} to {host} are held back: {failures} attempts in a row have failed;"
                " one is made each {seconds:g} s: {reason}",
                project=key[0],
                host=key[1],
                failures=circuit.failures,
                seconds=self._open_s,
                reason=reason,
            )
        if len(self._circuits) > REMEMBERED:
            del self._circuits[next(iter(self._circuits))]
