"""The role of one of several workers."""

from __future__ import annotations

import re
import signal
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from twisted.internet.defer import Deferred
from twisted.internet.endpoints import serverFromString
from twisted.internet.error import CannotListenError
from twisted.internet.interfaces import IListeningPort, IProtocolFactory
from twisted.logger import Logger
from twisted.python.failure import Failure

from zaqar_gateway import signals
from zaqar_gateway.announcing import Serving
from zaqar_gateway.listening import refused
from zaqar_gateway.model import Report
from zaqar_gateway.transport.adopted import AdoptingReactor
from zaqar_gateway.workers.handover import COMMANDS_FD, Handover
from zaqar_gateway.workers.link import Link
from zaqar_gateway.workers.tidings import Alive, CannotStart, Measured, Outlet, Reported, Serves

_log = Logger()

T = TypeVar("T")

_OF_SYSTEMD = re.compile("^(haproxy:)?systemd:.*")


class Worker:
    """It serves on sockets that its keeper has, and tells what is to be told to its keeper.  See :class:`~zaqar_gateway.role.Role`.

    :ivar status: what the process has to end with.
    """

    def __init__(self, given: Handover, outlet: Outlet, reactor: Any) -> None:
        self._outlet = outlet
        self._reactor = reactor
        self._link = Link(reactor, COMMANDS_FD)
        self._inherited = {"http": list(given.http), "websocket": list(given.websocket)}
        self.redis_socket = given.redis_socket
        self.status = 0
        self._metrics: Callable[[], Awaitable[str]] | None = None
        self._report: Callable[[], Awaitable[Report]] | None = None

    def caution(self, text: str) -> None:
        """The keeper has told it."""

    def take_signals(self, hung_up: Callable[[], None]) -> None:
        """SIGTERM ends it; of all else the keeper tells."""
        self._link.start(
            self._tell_alive,
            hung_up,
            lambda: Deferred.fromCoroutine(self._tell_metrics()),
            lambda: Deferred.fromCoroutine(self._tell_report()),
        )
        self._tell_alive()  # from now on it can be asked
        self._reactor.callWhenRunning(signals.stop_once, self._reactor)

    async def listen(self, which: str, endpoint: str, described: str, factory: IProtocolFactory) -> IListeningPort:
        """Listen on the next socket that was inherited."""
        adopting = AdoptingReactor(self._reactor, self._inherited[which].pop(0))
        # The socket is there; what stands around it in the endpoint is what counts.
        form = _OF_SYSTEMD.sub(r"\1tcp:0", described)
        try:
            port: IListeningPort = await serverFromString(adopting, form).listen(factory)
        except (CannotListenError, OSError) as error:
            raise refused(error, endpoint, which) from None
        return port

    def reports(self, metrics: Callable[[], Awaitable[str]], report: Callable[[], Awaitable[Report]]) -> bool:
        """The keeper answers operators."""
        self._metrics, self._report = metrics, report
        return True

    def _tell_alive(self) -> None:
        self._outlet.tell(Alive())

    async def _tell_metrics(self) -> None:
        self._outlet.tell(Measured(await _found(self._metrics)))

    async def _tell_report(self) -> None:
        self._outlet.tell(Reported(await _found(self._report)))

    async def serves(self, serving: Serving) -> None:
        """Tell the keeper."""
        self._outlet.tell(Serves(serving.kept, [*serving.schemes]))

    def failed(self, failure: Failure, *, is_known: bool) -> None:
        """Tell the keeper."""
        if is_known:
            self._outlet.tell(CannotStart(failure.getErrorMessage()))
        else:
            _log.failure("the gateway cannot start", failure)
        self.status = 1
        signal.signal(signal.SIGTERM, signal.SIG_IGN)  # to stop a reactor that stops is an error
        self._reactor.stop()


async def _found(tell: Callable[[], Awaitable[T]] | None) -> T | None:
    """What there is to tell; ``None``: nothing yet, or it failed."""
    try:
        return None if tell is None else await tell()
    except Exception:
        _log.failure("the worker cannot tell how it stands")
        return None
