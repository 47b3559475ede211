"""Where the parts of a gateway meet: from settings to a service that runs it."""

from __future__ import annotations

import gc
import secrets
from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

from twisted.application.internet import TimerService
from twisted.application.service import IService
from twisted.internet.defer import Deferred, TimeoutError, gatherResults
from twisted.internet.interfaces import IListeningPort, IProtocolFactory
from twisted.internet.task import deferLater
from twisted.logger import Logger, globalLogBeginner, globalLogPublisher

from zaqar_gateway import fitting, plugins
from zaqar_gateway.announcing import Serving, places, told
from zaqar_gateway.auditfile import AuditFile
from zaqar_gateway.backends import make_backend
from zaqar_gateway.backends.pooled import PooledBackend
from zaqar_gateway.cautions import is_reachable
from zaqar_gateway.clocks import steady
from zaqar_gateway.config import ConfigError, Settings, without_tls
from zaqar_gateway.delivering import Delivering
from zaqar_gateway.direct import looks, poll_directly
from zaqar_gateway.identifying import Identifying
from zaqar_gateway.identity.anonymous import Anonymous
from zaqar_gateway.identity.signed_url import UrlSigner
from zaqar_gateway.live.readers import QueueReaders
from zaqar_gateway.live.service import Live
from zaqar_gateway.live.waiting import Waits
from zaqar_gateway.meters import Meters
from zaqar_gateway.operations.filters import FILTERED
from zaqar_gateway.operations.gate import Gate
from zaqar_gateway.operations.policy import Policy
from zaqar_gateway.operations.pools import Pooling
from zaqar_gateway.operations.refusals import Refusals
from zaqar_gateway.operations.registry import operations
from zaqar_gateway.operators import Operators
from zaqar_gateway.options import Options
from zaqar_gateway.order import Order
from zaqar_gateway.policyfile import LOOK_S, PolicyFile, PolicyFileError
from zaqar_gateway.process import files_for
from zaqar_gateway.role import Alone, Role, RoleService
from zaqar_gateway.storage.encryption import EncryptingStorage
from zaqar_gateway.storage.redis.embedded.errors import NoRedisServer
from zaqar_gateway.storage.redis.embedded.program import find_server
from zaqar_gateway.storage.totals import COUNTED, Amounts, BoundedStorage
from zaqar_gateway.transport import protection
from zaqar_gateway.transport.http.answers import Answers
from zaqar_gateway.transport.http.authentication import Authentication
from zaqar_gateway.transport.http.channel import HttpChannel
from zaqar_gateway.transport.http.events import Streams
from zaqar_gateway.transport.http.factory import HttpFactory
from zaqar_gateway.transport.http.measured import channels
from zaqar_gateway.transport.http.site import Site
from zaqar_gateway.transport.lobby import Lobbies, lobbies_of
from zaqar_gateway.transport.peers import Peers
from zaqar_gateway.transport.ports import keep_memory, share
from zaqar_gateway.transport.tls import TlsError, TlsListeners
from zaqar_gateway.transport.turns import Turns
from zaqar_gateway.transport.unread import Unread
from zaqar_gateway.transport.websocket.codec import Actions
from zaqar_gateway.transport.websocket.factory import GatewayFactory
from zaqar_gateway.transport.websocket.measured import MeasuredFactory
from zaqar_gateway.workers import how_many
from zaqar_gateway.workers.crew import Crew
from zaqar_gateway.workers.handover import Handover
from zaqar_gateway.workers.keeper import Keeper
from zaqar_gateway.workers.tidings import CannotStart, Outlet
from zaqar_gateway.workers.worker import Worker

if TYPE_CHECKING:  # where there is no admin listener, or another store, nothing of it is made
    from zaqar_gateway.admin.service import Administration
    from zaqar_gateway.storage.redis.embedded.service import EmbeddedRedis

__all__ = ["Options", "makeService"]

_log = Logger()

_COLLECTED = 700, 4, 250
"""When the collector looks for what refers to itself (:func:`gc.set_threshold`).  A look at what is young takes a millisecond or two
with Python's own numbers, and one at all of thousands of connections some tens; what is left behind by those that are gone
refers to itself seldom, and waits longer here."""

_SHUTDOWN_S = 15.0
_TELL_S = 60.0


class Gateway(RoleService):
    """One gateway process.

    :ivar refusals: what it has refused because a bound was reached.
    :raises PluginError: a plug-in that the settings ask for cannot be used.
    :raises PolicyFileError: the policy file cannot be used.
    """

    def __init__(self, settings: Settings, reactor: Any, role: Role) -> None:
        super().__init__(settings, reactor, role)
        order = Order()
        meters = Meters() if settings.listen.admin else None
        redis_meter = None if meters is None else meters.redis
        self._backend = backend = make_backend(settings, reactor, order, role.redis_socket, redis_meter)
        pooling, pooled = None, None
        if settings.pooling:
            self._backend = pooled = PooledBackend(backend, settings, reactor, order, redis_meter)
            pooling = Pooling(pooled.management.pools, pooled.management.flavors, pooled.directory, pooled.placements)
        self._ports: list[IListeningPort] = []
        self._tls: TlsListeners | None = None
        limits, client_ids = settings.limits, settings.client_ids
        quotas = settings.quotas
        totals = Amounts(quotas.messages, quotas.bytes, quotas.subscriptions)
        stored = self._backend.storage
        if any(totals):
            stored = BoundedStorage(stored, totals, reactor)
        storage = EncryptingStorage(
            stored, settings.encryption_key, settings.transport.message_encryption_previous_keys
        )
        filters = fitting.filters(settings, reactor)
        self.refusals = refusals = Refusals()
        self._rates = fitting.rates(settings, storage, reactor, refusals)
        connections_max, attempts_max = files_for(settings.notification.max_notifier_workers, role.caution)
        peers = Peers(
            refusals,
            total_max=connections_max,
            per_address_max=settings.bounds.max_connections_per_address,
            uncounted=settings.bounds.uncounted_networks,
        )
        signer = UrlSigner(settings.signing_keys, reactor)
        policy = Policy()
        policy_file = PolicyFile(settings.policy_path, policy)
        for text in policy_file.load():
            role.caution(text)
        self._policy_watch = TimerService(LOOK_S, policy_file.look)
        self._policy_watch.clock = reactor
        self._counting = TimerService(_TELL_S, self._tell)
        self._counting.clock = reactor
        self._audit_file: AuditFile | None = None
        self._identifying = Identifying(settings, reactor, None if meters is None else meters.identity)
        tokens, trusts = self._identifying.tokens, self._identifying.trusts
        gate = Gate(settings.bounds.max_requests, refusals, self._rates)
        self._waits = Waits(
            storage,
            reactor,
            settings.live.waits_max,
            refused=partial(refusals.note, "live.waits_max"),
            aside=gate.leave,
            back=gate.rejoin,
        )
        self._turns = Turns(reactor, looks(reactor))
        self._lobbies: Lobbies = {}
        self._delivering = Delivering(
            settings,
            storage,
            signer,
            reactor,
            self._turns.wait,
            attempts_max,
            trusts,
            None if meters is None else meters.deliveries,
        )
        self._readers = QueueReaders(storage, reactor)
        self._live = Live(storage, self._readers, self._delivering.sockets, reactor, lambda: secrets.token_hex(12))
        rows = operations(
            storage,
            limits,
            signer,
            reactor,
            require_confirmation=settings.notification.require_confirmation,
            notifiers=self._delivering.notifiers,
            sockets=self._delivering.sockets,
            trusts=trusts,
            live=self._live,
            filters=filters,
            gate=gate,
            pooling=pooling,
            policy=policy,
            waits=self._waits,
        )
        if not settings.admin_mode:
            rows = [row for row in rows if not row.admin]
        several = FILTERED if filters else frozenset()
        if pooling:  # what is asked for has to be found first
            several = frozenset(row.name for row in rows)
        elif any(totals):
            several |= COUNTED
        unread = Unread(settings.http.unread_max)
        make_websocket = GatewayFactory if meters is None else partial(MeasuredFactory, meters.websocket)
        self._websocket = make_websocket(
            Actions(rows, alone=several),
            client_ids,
            reactor,
            fitting.websocket_bounds(settings),
            signer,
            self._delivering.sockets,
            tokens,
            peers=peers,
            refusals=refusals,
            unread=unread,
            turns=self._turns,
            order=order,
        )
        streams = Streams(
            self._readers,
            reactor,
            refusals,
            heartbeat_s=settings.live.heartbeat_s,
            per_project_max=settings.live.streams_max,
            tokens=tokens,
        )
        site = Site(
            rows,
            Answers(limits, settings.enable_checksum, streams),
            limits,
            client_ids,
            Anonymous().identify if tokens is None else None,
            authentication=None if tokens is None else Authentication(tokens, fitting.www_authenticate_uri(settings)),
            signer=signer,
            admin_mode=settings.admin_mode,
            cors=fitting.cors(settings),
            websocket_factory=self._websocket,
            rooms=fitting.rooms(settings, self._identifying.sign_in, refusals, reactor),
            meter=None if meters is None else meters.http,
        )
        self._http = HttpFactory(
            site,
            fitting.http_bounds(settings),
            reactor,
            protection.transport_security(settings.tls.hsts_max_age_s),
            unread,
            peers,
            refusals,
            self._turns,
            HttpChannel if meters is None else channels(meters.http),
        )
        self._listeners: dict[str, list[str]] = {}
        self._admin: Administration | None = None
        self._operators: Operators | None = None
        if meters is not None:
            from zaqar_gateway.admin.observed import Observed
            from zaqar_gateway.admin.service import Administration

            self._admin = Administration(
                Observed(
                    meters=meters,
                    storage=storage,
                    backend=backend,
                    scheme=settings.store,
                    pool_backends=None if pooled is None else pooled.directory.backends,
                    refusals=refusals,
                    gate=gate,
                    waits=self._waits,
                    live=self._live,
                    sockets=self._delivering.sockets,
                    streams=streams,
                    dispatcher=self._delivering.dispatcher,
                    circuits=self._delivering.circuits,
                    unread=unread,
                    http=self._http,
                    websocket=self._websocket,
                    keystone=settings.keystone_authtoken.auth_url if settings.auth_strategy else "",
                    policy_path=settings.policy_path,
                    policy_trouble=lambda: policy_file.trouble,
                    tls=lambda: self._tls,
                    listeners=self._listeners,
                    started_s=reactor.seconds(),
                ),
                reactor,
            )

    async def _start(self) -> None:
        poll_directly(self._reactor)
        keep_memory()
        self._lobbies = lobbies_of(self._reactor, self._turns)
        await deferLater(self._reactor, 0)  # a failure stops the reactor, which has to be running for that
        if self._settings.log.audit_file:
            self._audit_file = fitting.audit_file(self._settings.log.audit_file)
            globalLogPublisher.addObserver(self._audit_file)
        if self._settings.policy_path:
            self._policy_watch.startService()
        listen = self._settings.listen
        if fitting.speaks_tls(self._settings):
            self._tls = fitting.tls(self._settings, self._reactor)
            self._tls.start()
        admin = await self._answer_operators()
        self._counting.startService()
        await self._backend.start()
        for endpoint in listen.http:
            self._ports.append(await self._listen("http", endpoint, self._http))
        for endpoint in listen.websocket:
            self._ports.append(await self._listen("websocket", endpoint, self._websocket))
        http, websocket = places(listen, self._ports)
        self._listeners |= told(http=http, websocket=websocket)
        is_local = not any(is_reachable(host) for host, _ in (*http, *websocket))
        self._delivering.start(loopback=is_local and not self._settings.auth_strategy)
        gc.collect()
        gc.freeze()  # what is there now stays; each look of the collector at all of it would take 20 ms
        gc.set_threshold(*_COLLECTED)
        if self._admin is not None:
            self._admin.serving()
        kept, schemes = self._backend.where, self._delivering.notifiers.keys()
        await self._role.serves(Serving(kept, schemes, http, websocket, admin))

    async def _answer_operators(self) -> list[tuple[Any, bool]]:
        """Answer them before all else, so that they can see what it is that takes long.

        :return: where, and whether TLS is spoken there.
        """
        if self._admin is None:
            return []
        self._admin.start()
        if self._role.reports(self._admin.metrics, self._admin.report):
            return []
        from zaqar_gateway.admin.site import serve

        self._operators = Operators(self._settings.listen.admin, serve(self._admin.source, self._reactor))
        admin = await self._operators.listen(self._role, self._tls)
        self._listeners |= told(admin=admin)
        return admin

    def _tell(self) -> None:
        """Say what was refused, and what waits."""
        self.refusals.tell()
        if count := self._delivering.circuits.open:
            _log.info("deliveries to {count} hosts are held back, for they keep failing", count=count)

    def _hung_up(self) -> None:
        _log.info("SIGHUP: certificates are read again, and the audit log is opened again; what else is in the settings takes a restart")
        if self._tls is not None:
            self._tls.reload()
        if self._audit_file is not None:
            try:
                self._audit_file.reopen()
            except OSError as error:
                _log.error("the audit log cannot be opened again: {why}", why=str(error))

    async def _listen(self, which: str, endpoint: str, factory: IProtocolFactory) -> IListeningPort:
        described, over_tls = without_tls(endpoint)
        served = self._tls.wrap(factory) if over_tls and self._tls is not None else factory
        port = await self._role.listen(which, endpoint, described, served)
        share(port, self._turns, self._lobbies, self._settings.listen.socket_buffer)
        return port

    async def _stop(self) -> None:
        """Refuse what is new, finish what is under way, close sockets with 1001; then let the store go."""
        if self._admin is not None:
            self._admin.stopping()
        stopped = [port.stopListening() for port in self._ports]
        await gatherResults([each for each in stopped if each is not None])
        self._http.stop_accepting()
        closed = self._websocket.close_all(_SHUTDOWN_S)
        self._waits.stop()
        drained = Deferred.fromCoroutine(self._delivering.drain())
        try:
            await self._http.when_idle().addTimeout(_SHUTDOWN_S, self._reactor)
        except TimeoutError:
            _log.warn("some requests were still under way after {seconds} s", seconds=_SHUTDOWN_S)
        await closed
        await drained
        await self._live.stop()
        self._readers.stop()
        await self._delivering.stop()
        await self._identifying.stop()
        if self._rates is not None:
            await self._rates.stop()
        try:
            await self._backend.stop()
        except Exception:  # twistd would end without a word of it
            _log.failure("the store could not be put away; what it had still to write may be lost")
        if self._admin is not None:
            self._admin.stop()
        if self._operators is not None:
            await self._operators.stop()
        if self._tls is not None:
            await self._tls.stop()
        for timer in (self._policy_watch, self._counting):
            if timer.running:
                await timer.stopService()
        if self._audit_file is not None:
            globalLogPublisher.removeObserver(self._audit_file)
            self._audit_file.close()


def makeService(options: Options) -> IService:
    """The service of ``twistd zaqar-gateway``.

    :param options: parsed, so that its settings are loaded.
    :raises SystemExit: a plug-in or the policy file that the settings ask for cannot be used.
    """
    from twisted.internet import reactor

    steady(reactor)
    settings = options.loaded
    role = Alone(settings, reactor, shows=bool(options["show"]))
    count = how_many(settings.listen.workers)
    try:
        return Gateway(settings, reactor, role) if count == 1 else _keeper(settings, reactor, role, count)
    except (plugins.PluginError, PolicyFileError) as error:
        raise SystemExit(f"zaqar-gateway cannot start: {error}") from None


def _keeper(settings: Settings, reactor: Any, role: Role, count: int) -> IService:
    """What keeps so many workers.

    What would keep each of them from starting is found here, and what there is to say of the settings is said once.

    :raises PluginError: a plug-in that the settings ask for cannot be used.
    :raises PolicyFileError: the policy file cannot be used.
    """
    _check_plugins(settings, reactor)
    for text in PolicyFile(settings.policy_path, Policy()).load():
        role.caution(text)
    files_for(settings.notification.max_notifier_workers, role.caution)
    redis = None
    if settings.store == "embedded":
        from zaqar_gateway.backends import embedded  # late: see there

        redis = embedded.server(settings.storage, reactor)

    def check_files() -> None:
        if settings.log.audit_file:
            fitting.audit_file(settings.log.audit_file).close()
        if any(fitting.over_tls(settings)):
            fitting.tls(settings, reactor)

    tls = partial(fitting.tls, settings, reactor) if any(map(fitting.is_tls, settings.listen.admin)) else None
    return Keeper(settings, reactor, role, count, redis, check_files, _for_operators(settings, reactor, redis), tls)


def _for_operators(
    settings: Settings, reactor: Any, redis: EmbeddedRedis | None
) -> Callable[[Crew, Mapping[str, list[str]]], Operators] | None:
    """What makes that which answers operators for several workers; ``None``: nobody does."""
    if not settings.listen.admin:
        return None
    from zaqar_gateway.admin.site import serve
    from zaqar_gateway.workers.operators import CrewSource

    def make(crew: Crew, listeners: Mapping[str, list[str]]) -> Operators:
        return Operators(settings.listen.admin, serve(CrewSource(crew, reactor, redis, listeners, reactor.seconds()), reactor))

    return make


def work(given: Handover, outlet: Outlet) -> int:
    """Be a worker, until it ends.

    :return: the status to end with.
    """
    from twisted.internet import reactor as installed

    reactor: Any = installed
    steady(reactor)
    globalLogBeginner.beginLoggingTo([outlet])
    role = Worker(given, outlet, reactor)
    try:
        gateway = Gateway(given.settings, reactor, role)
    except (plugins.PluginError, PolicyFileError) as error:
        outlet.tell(CannotStart(str(error)))
        return 1
    gateway.startService()
    reactor.addSystemEventTrigger("before", "shutdown", gateway.stopService)
    reactor.run()
    return role.status


def check(settings: Settings) -> None:
    """Look at what the settings name, as a start does: plug-ins, the files of TLS, and the program of the embedded Redis.

    :raises PluginError: one that the settings ask for, or that is installed and always used, cannot be used.
    :raises ConfigError: another thing cannot be used.
    """
    from twisted.internet import reactor

    _check_plugins(settings, reactor)
    try:
        if fitting.speaks_tls(settings):
            fitting.tls(settings, reactor)
        if settings.store == "embedded" and settings.storage.redis_server:
            find_server(settings.storage.redis_server)
    except (TlsError, NoRedisServer) as error:
        raise ConfigError([str(error)]) from None


def _check_plugins(settings: Settings, reactor: Any) -> None:
    """:raises PluginError: one that the settings ask for, or that is installed and always used, cannot be used."""
    make_backend(settings, reactor)
    fitting.filters(settings, reactor)
    plugins.notifiers(settings.notifier_tables, reactor)
