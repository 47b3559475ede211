"""The process that keeps the workers of a gateway: it has what there is once for all, and serves nothing itself."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from twisted.internet import tcp
from twisted.internet.defer import gatherResults
from twisted.internet.protocol import ServerFactory
from twisted.internet.task import deferLater
from twisted.logger import Logger

from zaqar_gateway.announcing import Serving, places, told
from zaqar_gateway.config import Settings, without_tls
from zaqar_gateway.operators import Operators
from zaqar_gateway.role import Role, RoleService
from zaqar_gateway.storage.redis.embedded.service import EmbeddedRedis
from zaqar_gateway.transport.ports import QUEUE_MIN
from zaqar_gateway.transport.tls import TlsListeners
from zaqar_gateway.workers.crew import Crew, WorkersFailed
from zaqar_gateway.workers.handover import LISTENERS_FD, Handover
from zaqar_gateway.workers.process import WorkerProcess, start
from zaqar_gateway.workers.seat import Seat

_log = Logger()


class Shared(ServerFactory):
    """What the keeper listens with; its workers take what comes."""

    noisy = False


class Keeper(RoleService):
    """Starts a number of workers, and again those that end.

    :param role: how the process itself is started and listens.
    :param redis: the embedded Redis; ``None``: another store is asked for.
    :param operators: makes what answers them, of the workers and of where it is listened; ``None``: nobody does.
    :param tls: for them, where it is asked for.
    :param check: raises ``OSError`` or :exc:`TlsError` where the files that the settings name cannot be used.
    """

    explained = (*RoleService.explained, WorkersFailed)

    def __init__(
        self,
        settings: Settings,
        reactor: Any,
        role: Role,
        count: int,
        redis: EmbeddedRedis | None,
        check: Callable[[], object],
        operators: Callable[[Crew, Mapping[str, list[str]]], Operators] | None = None,
        tls: Callable[[], TlsListeners] | None = None,
    ) -> None:
        super().__init__(settings, reactor, role)
        self._count = count
        self._redis = redis
        self._check = check
        self._ports: list[tcp.Port] = []
        self._crew = Crew(count, self._worker, reactor, settings.storage.command_timeout_s)
        self._listeners: dict[str, list[str]] = {}
        self._operators = None if operators is None else operators(self._crew, self._listeners)
        self._make_tls = tls
        self._tls: TlsListeners | None = None

    async def _start(self) -> None:
        await deferLater(self._reactor, 0)  # a failure stops the reactor, which has to be running for that
        self._check()
        if self._make_tls is not None:
            self._tls = self._make_tls()
            self._tls.start()
        admin = await self._operators.listen(self._role, self._tls) if self._operators is not None else []
        self._listeners |= told(admin=admin)
        if self._redis is not None:
            self._redis.startService()
            await self._redis.whenReady()
        listen = self._settings.listen
        for which, endpoints in (("http", listen.http), ("websocket", listen.websocket)):
            for endpoint in endpoints:
                self._ports.append(await self._listen(which, endpoint))
        http, websocket = places(listen, self._ports)
        self._listeners |= told(http=http, websocket=websocket)
        first = await self._crew.begin()
        await self._role.serves(Serving(first.kept, first.schemes, http, websocket, admin, self._count))

    async def _listen(self, which: str, endpoint: str) -> tcp.Port:
        """Listen, and leave it to the workers to take what comes.

        :raises OSError: it cannot be listened there, or not by several processes.
        """
        port: Any = await self._role.listen(which, endpoint, without_tls(endpoint)[0], Shared())
        if not isinstance(port, tcp.Port):
            raise OSError(
                f"listen.{which} has {endpoint!r}, which is no socket that several workers can share; listen.workers has to be 1 then."
            )
        port.stopReading()
        # To shut a socket down is to do so for all that have it.
        port._shouldShutdown = False
        port.socket.listen(max(QUEUE_MIN, port.backlog or 0))
        return port

    def _worker(self, seat: Seat) -> WorkerProcess:
        numbers = range(LISTENERS_FD, LISTENERS_FD + len(self._ports))
        of_http = len(self._settings.listen.http)
        given = Handover(
            self._settings,
            seat.number,
            self._redis.socket_path if self._redis is not None else "",
            tuple(numbers[:of_http]),
            tuple(numbers[of_http:]),
            type(self._reactor).__module__,
        )
        return start(self._reactor, seat, given, [port.fileno() for port in self._ports])

    def _hung_up(self) -> None:
        _log.info("SIGHUP: the workers are told")
        if self._tls is not None:
            self._tls.reload()
        self._crew.hang_up()

    async def _stop(self) -> None:
        """Listen no more, have the workers end in good order, then the embedded Redis."""
        closed = [port.stopListening() for port in self._ports]
        await self._crew.stop()
        await gatherResults([each for each in closed if each is not None])
        if self._redis is not None:
            try:
                await self._redis.stopService()
            except Exception:  # twistd would end without a word of it
                _log.failure("the embedded Redis could not be put away; what it had still to write may be lost")
        if self._operators is not None:
            await self._operators.stop()
        if self._tls is not None:
            await self._tls.stop()
