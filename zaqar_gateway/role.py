"""What a gateway does in another way where it is one of several processes."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, Protocol

from twisted.application.service import Service
from twisted.internet.defer import CancelledError, Deferred, succeed
from twisted.internet.error import CannotListenError
from twisted.internet.interfaces import IListeningPort, IProtocolFactory
from twisted.logger import Logger
from twisted.python.failure import Failure

from zaqar_gateway import signals
from zaqar_gateway.announcing import Serving, announce
from zaqar_gateway.config import Settings
from zaqar_gateway.listening import listen, refused
from zaqar_gateway.model import Report
from zaqar_gateway.process import end_with_failure, set_log_level
from zaqar_gateway.storage.redis.embedded.errors import EmbeddedRedisError
from zaqar_gateway.transport.tls import TlsError

_log = Logger()


class Role(Protocol):
    """Of a process in its gateway.

    :ivar redis_socket: where the embedded Redis is, if another process runs it; else empty.
    """

    redis_socket: str

    def caution(self, text: str) -> None:
        """Have the log tell something of the settings that somebody may not have meant so."""

    def take_signals(self, hung_up: Callable[[], None]) -> None:
        """Have signals do what they should, from the start on.

        :param hung_up: what SIGHUP does.
        """

    async def listen(self, which: str, endpoint: str, described: str, factory: IProtocolFactory) -> IListeningPort:
        """Listen.

        :param which: the setting, ``http``, ``websocket`` or ``admin``; :param endpoint: as it stands there; :param described: as Twisted has it.
        :raises OSError: it cannot be listened there; the text is for people.
        """

    def reports(self, metrics: Callable[[], Awaitable[str]], report: Callable[[], Awaitable[Report]]) -> bool:
        """Whether another process answers operators for this one, and has it tell these things, then."""

    async def serves(self, serving: Serving) -> None:
        """Tell that the process serves."""

    def failed(self, failure: Failure, *, is_known: bool) -> None:
        """Tell that it cannot start, and have it end with status 1.

        :param is_known: whether the text of the failure says all.
        """


class RoleService(Service):
    """What a process runs in its role.

    :cvar explained: failures of a start of which the text says all.
    """

    explained: tuple[type[Exception], ...] = (EmbeddedRedisError, TlsError, OSError)

    def __init__(self, settings: Settings, reactor: Any, role: Role) -> None:
        self._settings = settings
        self._reactor = reactor
        self._role = role
        self._starting: Deferred[None] = succeed(None)

    def startService(self) -> None:
        """Begin to start; a failure ends the process with status 1."""
        super().startService()
        set_log_level(self._settings.log.level)
        self._role.take_signals(self._hung_up)
        self._starting = Deferred.fromCoroutine(self._start())
        self._starting.addErrback(self._failed)

    def _failed(self, failure: Failure) -> None:
        if not failure.check(CancelledError):
            self._role.failed(failure, is_known=bool(failure.check(*self.explained)))

    def stopService(self) -> Deferred[None]:
        """End in good order; a start that is under way is given up."""
        super().stopService()
        self._starting.cancel()
        return Deferred.fromCoroutine(self._stop())

    def _hung_up(self) -> None:
        """Do what SIGHUP asks for."""
        raise NotImplementedError

    async def _start(self) -> None:
        raise NotImplementedError

    async def _stop(self) -> None:
        raise NotImplementedError


class Alone:
    """The role of the one process that does everything.

    :param shows: whether some requests are made, and printed, once it serves.
    """

    redis_socket = ""

    def __init__(self, settings: Settings, reactor: Any, *, shows: bool = False) -> None:
        self._settings = settings
        self._reactor = reactor
        self._shows = shows

    def caution(self, text: str) -> None:
        """See :class:`Role`."""
        _log.warn("{text}", text=text)

    def take_signals(self, hung_up: Callable[[], None]) -> None:
        """See :class:`Role`."""
        signals.on_hangup(hung_up, self._reactor.stop, self._reactor)
        self._reactor.callWhenRunning(signals.stop_once, self._reactor)

    async def listen(self, which: str, endpoint: str, described: str, factory: IProtocolFactory) -> IListeningPort:
        """See :class:`Role`."""
        try:
            return await listen(self._reactor, described, factory)
        except (CannotListenError, OSError) as error:
            raise refused(error, endpoint, which) from None

    def reports(self, metrics: Callable[[], Awaitable[str]], report: Callable[[], Awaitable[Report]]) -> bool:
        """See :class:`Role`."""
        return False

    async def serves(self, serving: Serving) -> None:
        """See :class:`Role`."""
        await announce(self._settings, serving, self._reactor, shows=self._shows)

    def failed(self, failure: Failure, *, is_known: bool) -> None:
        """See :class:`Role`."""
        if is_known:
            _log.critical("zaqar-gateway cannot start: {why}", why=failure.getErrorMessage())
        else:
            _log.failure("the gateway cannot start", failure)
        end_with_failure()
        self._reactor.stop()
