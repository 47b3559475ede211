"""What every operation passes on its way in, whichever transport it came by."""

from __future__ import annotations

from attrs import define, field

from zaqar_gateway.errors import Overloaded
from zaqar_gateway.operations.rates import Rates
from zaqar_gateway.operations.refusals import Refusals


@define(eq=False)
class Gate:
    """The bound on requests in flight in this process, and the rates of projects.

    :param in_flight_max: 0: any number.
    :param rates: ``None``: projects may send as much as they like.
    :ivar in_flight: how many requests are in flight.
    """

    _in_flight_max: int
    _refusals: Refusals
    _rates: Rates | None = None
    in_flight: int = field(init=False, default=0)

    def enter(self, project: str, size: int) -> None:
        """Let a request in, for which :meth:`leave` is to be called when it has ended.

        :param size: its bytes, as the transport counts them.
        :raises Overloaded: too many are in flight; nobody has to leave for this one.
        :raises TooManyRequests: the project has sent too many, or too much; likewise.
        """
        if 0 < self._in_flight_max <= self.in_flight:
            self._refusals.note("bounds.max_requests", project)
            raise Overloaded("The gateway has as many requests in flight as it may have.")
        if self._rates is not None:
            self._rates.spend(project, size)
        self.in_flight += 1

    def exceeded(self, project: str) -> None:
        """A request was refused for a quota."""
        self._refusals.note("quotas", project)

    def leave(self) -> None:
        """A request has ended, or waits for messages, which costs next to nothing."""
        self.in_flight -= 1

    def rejoin(self) -> None:
        """A request waits no longer; it was let in before."""
        self.in_flight += 1
