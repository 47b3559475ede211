"""Where the parts of a gateway meet: from settings to a service that runs it."""

from __future__ import annotations

import atexit
import errno
import gc
import os
import resource
import secrets
import sys
from collections.abc import Collection, Sequence
from contextlib import suppress
from functools import partial
from importlib.resources import files
from typing import Any

from twisted.application.internet import TimerService
from twisted.application.service import IService, Service
from twisted.internet.defer import CancelledError, Deferred, TimeoutError, gatherResults, succeed
from twisted.internet.endpoints import serverFromString
from twisted.internet.error import CannotListenError
from twisted.internet.interfaces import IListeningPort, IProtocolFactory
from twisted.internet.task import deferLater
from twisted.logger import (
    FilteringLogObserver,
    Logger,
    LogLevel,
    LogLevelFilterPredicate,
    globalLogPublisher,
)
from twisted.python.failure import Failure

from zaqar_gateway import __version__, plugins, signals
from zaqar_gateway.address import written
from zaqar_gateway.auditfile import AuditFile
from zaqar_gateway.backends import make_backend
from zaqar_gateway.backends.pooled import PooledBackend
from zaqar_gateway.clocks import steady
from zaqar_gateway.config import ConfigError, Settings, without_tls
from zaqar_gateway.delivering import Delivering
from zaqar_gateway.direct import looks, poll_directly
from zaqar_gateway.identifying import Identifying
from zaqar_gateway.identity.anonymous import Anonymous
from zaqar_gateway.identity.signed_url import UrlSigner
from zaqar_gateway.interfaces import IMessageFilter, ISignIn, IStorage
from zaqar_gateway.live.readers import QueueReaders
from zaqar_gateway.live.service import Live
from zaqar_gateway.live.waiting import Waits
from zaqar_gateway.operations.filters import FILTERED, Filter
from zaqar_gateway.operations.gate import Gate
from zaqar_gateway.operations.policy import Policy
from zaqar_gateway.operations.pools import Pooling
from zaqar_gateway.operations.rates import Rate, Rates
from zaqar_gateway.operations.refusals import Refusals
from zaqar_gateway.operations.registry import operations
from zaqar_gateway.options import Options
from zaqar_gateway.order import Order
from zaqar_gateway.policyfile import LOOK_S, PolicyFile, PolicyFileError
from zaqar_gateway.show import ShowFailed, show
from zaqar_gateway.storage.encryption import EncryptingStorage
from zaqar_gateway.storage.redis.embedded.errors import EmbeddedRedisError, NoRedisServer
from zaqar_gateway.storage.redis.embedded.program import find_server
from zaqar_gateway.storage.totals import COUNTED, Amounts, BoundedStorage
from zaqar_gateway.transport import protection
from zaqar_gateway.transport.http import console
from zaqar_gateway.transport.http.answers import Answers
from zaqar_gateway.transport.http.authentication import Authentication
from zaqar_gateway.transport.http.bounds import DRAINED, HttpBounds, line_of_ids
from zaqar_gateway.transport.http.cors import Cors
from zaqar_gateway.transport.http.events import Streams
from zaqar_gateway.transport.http.factory import HttpFactory
from zaqar_gateway.transport.http.files import ANY_ORIGIN, Files, read
from zaqar_gateway.transport.http.site import IRoom, Site
from zaqar_gateway.transport.lobby import Lobbies, lobbies_of
from zaqar_gateway.transport.paths import DirectoryBusy, ListeningReactor
from zaqar_gateway.transport.peers import Peers
from zaqar_gateway.transport.ports import keep_memory, share
from zaqar_gateway.transport.tls import TlsError, TlsFiles, TlsListeners
from zaqar_gateway.transport.turns import Turns
from zaqar_gateway.transport.unread import Unread
from zaqar_gateway.transport.websocket.bounds import WebSocketBounds
from zaqar_gateway.transport.websocket.codec import Actions
from zaqar_gateway.transport.websocket.factory import GatewayFactory
from zaqar_gateway.transport.websocket.origins import is_loopback

__all__ = ["Options", "makeService"]

_log = Logger()

_COLLECTED = 700, 4, 250
"""When the collector looks for what refers to itself (:func:`gc.set_threshold`).  A look at what is young takes a millisecond or two
with Python's own numbers, and one at all of thousands of connections some tens; what is left behind by those that are gone
refers to itself seldom, and waits longer here."""

_WELL_KNOWN_KEY = "AES256"
_SHUTDOWN_S = 15.0
_TELL_S = 60.0
_SPARE_FILES = 256
_FILES_MAX = 1_048_576
_BUSY_PAUSE_S, _BUSY_TRIES = 0.02, 250
"""How another process is waited for that looks at the sockets of a directory: 5 s in all."""


class Gateway(Service):
    """One gateway process.

    :ivar refusals: what it has refused because a bound was reached.
    :raises PluginError: a plug-in that the settings ask for cannot be used.
    :raises PolicyFileError: the policy file cannot be used.
    """

    def __init__(self, settings: Settings, reactor: Any, *, shows: bool = False) -> None:
        self._settings = settings
        self._reactor = reactor
        self._shows = shows
        order = Order()
        self._backend = backend = make_backend(settings, reactor, order)
        pooling = None
        if settings.pooling:
            self._backend = pooled = PooledBackend(backend, settings, reactor, order)
            pooling = Pooling(pooled.management.pools, pooled.management.flavors, pooled.directory, pooled.placements)
        self._ports: list[IListeningPort] = []
        self._tls: TlsListeners | None = None
        self._starting: Deferred[None] = succeed(None)
        limits, client_ids = settings.limits, settings.client_ids
        quotas = settings.quotas
        totals = Amounts(quotas.messages, quotas.bytes, quotas.subscriptions)
        stored = self._backend.storage
        if any(totals):
            stored = BoundedStorage(stored, totals, reactor)
        storage = EncryptingStorage(
            stored, settings.encryption_key, settings.transport.message_encryption_previous_keys
        )
        filters = _filters(settings, reactor)
        self.refusals = refusals = Refusals()
        self._rates = _rates(settings, storage, reactor, refusals)
        connections_max, attempts_max = share_files(_files_max(), settings.notification.max_notifier_workers)
        if attempts_max < settings.notification.max_notifier_workers:
            _log.warn(
                "this process may have few open files (ulimit -Hn): {count} deliveries are made at one time at most",
                count=attempts_max,
            )
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
            _log.warn("{text}", text=text)
        self._policy_watch = TimerService(LOOK_S, policy_file.look)
        self._policy_watch.clock = reactor
        self._counting = TimerService(_TELL_S, self._tell)
        self._counting.clock = reactor
        self._audit_file: AuditFile | None = None
        self._identifying = Identifying(settings, reactor)
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
        self._delivering = Delivering(settings, storage, signer, reactor, self._turns.wait, attempts_max, trusts)
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
        given, unread = settings.websocket, Unread(settings.http.unread_max)
        self._websocket = GatewayFactory(
            Actions(rows, alone=several),
            client_ids,
            reactor,
            WebSocketBounds(
                message_max=given.max_frame_size,
                in_flight_max=given.max_in_flight,
                write_buffer_max=given.write_buffer_max,
                drain_timeout_s=given.drain_timeout_s,
                ping_interval_s=given.ping_interval_s,
                ping_timeout_s=given.ping_timeout_s,
                open_timeout_s=given.handshake_timeout_s,
                close_timeout_s=given.handshake_timeout_s,
                idle_timeout_s=given.idle_timeout_s,
                slow_max_s=given.slow_reader_max_s if given.slow_reader == "close" else 0,
                handshake_max=settings.http.max_head_size,
                headers_max=settings.http.max_headers,
                connections_max=given.max_connections,
                per_project_max=given.max_sockets_per_project,
                deflate=given.compression,
                allowed_origins=given.allowed_origins,
                authentication_timeout_s=given.authentication_timeout_s,
                expiry_warning_s=given.expiry_warning_s,
                unauthenticated_frames_max=given.max_unauthenticated_frames,
            ),
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
            authentication=None if tokens is None else Authentication(tokens, _www_authenticate_uri(settings)),
            signer=signer,
            admin_mode=settings.admin_mode,
            cors=_cors(settings),
            websocket_factory=self._websocket,
            rooms=_rooms(settings, self._identifying.sign_in, refusals, reactor),
        )
        self._http = HttpFactory(
            site,
            _http_bounds(settings),
            reactor,
            protection.transport_security(settings.tls.hsts_max_age_s),
            unread,
            peers,
            refusals,
            self._turns,
        )

    def startService(self) -> None:
        """Begin to start; a failure ends the process with status 1."""
        super().startService()
        _set_log_level(self._settings.log.level)
        signals.on_hangup(self._hung_up, self._reactor.stop, self._reactor)
        self._reactor.callWhenRunning(signals.stop_once, self._reactor)
        self._starting = Deferred.fromCoroutine(self._start())
        self._starting.addErrback(self._failed)

    async def _start(self) -> None:
        poll_directly(self._reactor)
        keep_memory()
        self._lobbies = lobbies_of(self._reactor, self._turns)
        await deferLater(self._reactor, 0)  # a failure stops the reactor, which has to be running for that
        if self._settings.log.audit_file:
            self._audit_file = _audit_file(self._settings.log.audit_file)
            globalLogPublisher.addObserver(self._audit_file)
        if self._settings.policy_path:
            self._policy_watch.startService()
        listen = self._settings.listen
        over_tls = _over_tls(self._settings)
        if any(over_tls):
            self._tls = _tls(self._settings, self._reactor)
            self._tls.start()
        self._counting.startService()
        await self._backend.start()
        for factory, endpoints in ((self._http, listen.http), (self._websocket, listen.websocket)):
            for endpoint in endpoints:
                self._ports.append(await self._listen(endpoint, factory))
        bound: list[Any] = [port.getHost() for port in self._ports]
        places = list(zip(bound, over_tls, strict=True))
        http, websocket = places[: len(listen.http)], places[len(listen.http) :]
        is_local = all(is_loopback(host.host) for host in bound if _is_tcp(host))
        self._delivering.start(loopback=is_local and not self._settings.auth_strategy)
        _warn_of_openness(self._settings, bound)
        _warn_of_key(self._settings)
        _warn_of_subscribers(self._settings, self._delivering.notifiers)
        authenticates = bool(self._settings.auth_strategy)
        gc.collect()
        gc.freeze()  # what is there now stays; each look of the collector at all of it would take 20 ms
        gc.set_threshold(*_COLLECTED)
        _print(_banner(self._backend.where, http, websocket, authenticates, self._settings.web.console))
        if self._shows and authenticates:
            _print("There is no token to show anything with.")
        elif self._shows:
            plain_http, plain_websocket = ([host for host, secure in each if not secure] for each in (http, websocket))
            try:
                await show(self._reactor, plain_http, plain_websocket, _print)
            except ShowFailed as error:
                _print(f"That is as far as it goes: {error}. The gateway serves all the same.")

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

    async def _listen(self, endpoint: str, factory: IProtocolFactory) -> IListeningPort:
        try:
            described, over_tls = without_tls(endpoint)
            served = self._tls.wrap(factory) if over_tls and self._tls is not None else factory
            port = await self._bind(described, served)
            share(port, self._turns, self._lobbies, self._settings.listen.socket_buffer)
            return port
        except (CannotListenError, OSError) as error:
            which = "websocket" if factory is self._websocket else "http"
            why = str(error) if isinstance(error, CannotListenError) else f"Couldn't listen there: {error.strerror}."
            raise OSError(f"{why} Another endpoint for {endpoint!r} has to be given, by listen.{which} or --{which}.") from None

    async def _bind(self, endpoint: str, factory: IProtocolFactory) -> IListeningPort:
        """Listen, whatever a process that was killed has left there.

        :raises CannotListenError: it cannot be listened there.
        :raises OSError: the same; its text is for people.
        """
        try:
            place, alone = (serverFromString(ListeningReactor(self._reactor, locks=locks), endpoint) for locks in (True, False))
        except (IndexError, KeyError):  # of what Twisted looks in for the sockets of systemd
            raise OSError(
                errno.ENOENT, "systemd has not handed over such a socket (it does where a socket unit starts the service)"
            ) from None
        for _ in range(_BUSY_TRIES):
            try:
                port: IListeningPort = await place.listen(factory)
                return port
            except DirectoryBusy:
                await deferLater(self._reactor, _BUSY_PAUSE_S)
        _log.warn("another process keeps a lock on the directory of {endpoint}; it is listened there all the same", endpoint=endpoint)
        port = await alone.listen(factory)
        return port

    def _failed(self, failure: Failure) -> None:
        if failure.check(CancelledError):
            return
        if failure.check(EmbeddedRedisError, TlsError, OSError):
            _log.critical("zaqar-gateway cannot start: {why}", why=failure.getErrorMessage())
        else:
            _log.failure("the gateway cannot start", failure)
        # twistd knows no exit status for a start that fails after the reactor runs.  It has put everything away by then.
        atexit.register(_exit_with_failure)
        self._reactor.stop()

    def stopService(self) -> Deferred[None]:
        """Refuse what is new, finish what is under way, close sockets with 1001; then let the store go."""
        super().stopService()
        self._starting.cancel()
        return Deferred.fromCoroutine(self._stop())

    async def _stop(self) -> None:
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
        if self._tls is not None:
            await self._tls.stop()
        try:
            await self._backend.stop()
        except Exception:  # twistd would end without a word of it
            _log.failure("the store could not be put away; what it had still to write may be lost")
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
    try:
        return Gateway(options.loaded, reactor, shows=bool(options["show"]))
    except (plugins.PluginError, PolicyFileError) as error:
        raise SystemExit(f"zaqar-gateway cannot start: {error}") from None


def check(settings: Settings) -> None:
    """Look at what the settings name, as a start does: plug-ins, the files of TLS, and the program of the embedded Redis.

    :raises PluginError: one that the settings ask for, or that is installed and always used, cannot be used.
    :raises ConfigError: another thing cannot be used.
    """
    from twisted.internet import reactor

    make_backend(settings, reactor)
    _filters(settings, reactor)
    plugins.notifiers(settings.notifier_tables, reactor)
    try:
        if any(_over_tls(settings)):
            _tls(settings, reactor)
        if settings.store == "embedded" and settings.storage.redis_server:
            find_server(settings.storage.redis_server)
    except (TlsError, NoRedisServer) as error:
        raise ConfigError([str(error)]) from None


def _over_tls(settings: Settings) -> list[bool]:
    """Which listeners are, those for HTTP first."""
    return [*map(_is_tls, (*settings.listen.http, *settings.listen.websocket))]


def _tls(settings: Settings, reactor: Any) -> TlsListeners:
    """:raises TlsError: the files cannot be used."""
    given = settings.tls
    files = TlsFiles(
        given.certificate_file,
        given.private_key_file or given.certificate_file,
        given.client_ca_file,
        given.client_certificate == "required",
        given.minimum_version,
    )
    try:
        return TlsListeners(files, reactor)
    except TlsError as error:
        raise TlsError(
            f"{error}; tls.certificate_file, tls.private_key_file and tls.client_ca_file have to name files in PEM that this user"
            " may read."
        ) from None


def _filters(settings: Settings, reactor: Any) -> list[Filter]:
    return [
        Filter(name, plugins.make(plugins.FILTERS, name, IMessageFilter, settings.filter_tables.get(name, {}), reactor))
        for name in settings.storage.message_filters
    ]


def _http_bounds(settings: Settings) -> HttpBounds:
    """The bounds of HTTP connections, wide enough for what operations accept."""
    http, limits = settings.http, settings.limits
    line = max(http.max_request_line, line_of_ids(limits.messages_page_max, limits.delete_needs_claim_id))
    return HttpBounds(
        request_line_max=line,
        head_max=http.max_head_size + line - http.max_request_line,
        headers_max=http.max_headers,
        tls_timeout_s=http.tls_timeout_s,
        fresh_timeout_s=http.first_byte_timeout_s,
        head_timeout_s=http.head_timeout_s,
        body_timeout_s=http.body_timeout_s,
        rate_min=http.min_bytes_per_s,
        idle_timeout_s=http.idle_timeout_s,
        drain_max=max(HttpBounds().drain_max, DRAINED * max(limits.post_size_max, limits.queue_metadata_max)),
        write_timeout_s=http.write_timeout_s,
        connections_max=http.max_connections,
    )


def _cors(settings: Settings) -> Cors | None:
    given = settings.cors
    if not given.allowed_origin:
        return None
    return Cors(
        given.allowed_origin,
        methods=given.allow_methods,
        allow_headers=given.allow_headers,
        expose_headers=given.expose_headers,
        allow_credentials=given.allow_credentials,
        max_age_s=given.max_age,
    )


def _rooms(
    settings: Settings, sign_in: ISignIn | None, refusals: Refusals, reactor: Any
) -> dict[bytes, IRoom]:
    rooms: dict[bytes, IRoom] = {}
    if settings.web.client:
        rooms[b"js"] = Files(read(files("zaqar_gateway") / "javascript", "/js/"), ANY_ORIGIN)
    if settings.web.console:
        attempts = console.Attempts(settings.web.sign_ins_per_minute, reactor)
        rooms[console.NAME] = console.Console(files("zaqar_gateway") / "console", sign_in, attempts, refusals)
    return rooms


def _www_authenticate_uri(settings: Settings) -> str:
    return settings.keystone_authtoken.www_authenticate_uri or settings.keystone_authtoken.auth_url


def _rates(settings: Settings, storage: IStorage, reactor: Any, refusals: Refusals) -> Rates | None:
    given = settings.rates
    requests, size = (
        Rate(per_s, burst or 10 * per_s) if per_s else None
        for per_s, burst in (
            (given.requests_per_s, given.requests_burst),
            (given.bytes_per_s, given.bytes_burst),
        )
    )
    return None if requests is size is None else Rates(storage.rates, requests, size, reactor, refusals)


def _files_max() -> int:
    """How many files the process may have open; 0: any number.

    It takes as many as it may: what systems begin with, often 1,024, is for programs that look through all of them.
    """
    most, allowed = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = min(allowed, _FILES_MAX) if allowed != resource.RLIM_INFINITY else _FILES_MAX
    if most != resource.RLIM_INFINITY and most < wanted:
        with suppress(OSError, ValueError):  # a system may allow less than it says
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, allowed))
            most = wanted
    return 0 if most == resource.RLIM_INFINITY else most


def share_files(files_max: int, attempts_max: int) -> tuple[int, int]:
    """How many connections, and how many attempts to deliver, leave enough descriptors for the store, logs and files.

    :param files_max: that the process may have open; 0: any number.
    :param attempts_max: that are wanted at one time.  Each has a connection, and as many are kept for what comes next.
    :return: both; 0 connections: any number.
    """
    if not files_max:
        return 0, attempts_max
    attempts = max(1, min(attempts_max, files_max // 8))
    return max(1, files_max - min(_SPARE_FILES, files_max // 4) - 2 * attempts), attempts


def _set_log_level(level: str) -> None:
    """Have every log observer get events of this level or a higher one only."""
    if level == "debug":
        return
    wanted = LogLevelFilterPredicate(defaultLogLevel=LogLevel.levelWithName(level))
    # The publisher has no public way to name its observers; twistd has chosen them before the service starts.
    for observer in list(globalLogPublisher._observers):
        globalLogPublisher.removeObserver(observer)
        globalLogPublisher.addObserver(FilteringLogObserver(observer, [wanted]))


def _exit_with_failure() -> None:
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(1)


def _audit_file(path: str) -> AuditFile:
    """:raises OSError: it cannot be opened."""
    try:
        return AuditFile(path)
    except OSError as error:
        raise OSError(
            f"the audit log {path} cannot be opened: {error.strerror}; log.audit_file has to name a file that this user may write to."
        ) from None


def _print(text: str) -> None:
    """Print to the terminal; twistd makes log lines of ``sys.stdout``."""
    print(text, file=sys.__stdout__, flush=True)


def _is_tls(endpoint: str) -> bool:
    return without_tls(endpoint)[1]


def _is_tcp(host: Any) -> bool:
    return hasattr(host, "port")


def _socket_path(host: Any) -> str:
    return os.fsdecode(getattr(host, "name", None) or str(host))


def _authority(host: Any) -> str:
    """Where a client on this machine finds a listener."""
    return written({"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host.host, host.host), host.port)


def _url(scheme: str, host: Any, over_tls: bool) -> str:
    return f"{scheme}{'s' if over_tls else ''}://{_authority(host)}"


def _banner(
    where: str,
    http: Sequence[tuple[Any, bool]],
    websocket: Sequence[tuple[Any, bool]],
    authenticates: bool,
    has_console: bool,
) -> str:
    lines = [f"zaqar-gateway {__version__} is ready.", f"  messages are kept in {where}"]
    for what, scheme, hosts in (("HTTP and WebSocket", "http", http), ("WebSocket", "ws", websocket)):
        for host, over_tls in hosts:
            lines.append(f"  {what} on {f'{_url(scheme, host, over_tls)}/' if _is_tcp(host) else _socket_path(host)}")
    lines += [
        f"  web console on {_url('http', host, over_tls)}{console.PREFIX}"
        for host, over_tls in http
        if has_console and _is_tcp(host)
    ]
    if http:
        host, over_tls = http[0]
        scheme = "https" if over_tls else "http"
        place = _url("http", host, over_tls) if _is_tcp(host) else ""
        who = '"X-Auth-Token: $TOKEN"' if authenticates else "'X-Project-ID: demo'"
        lines += [
            "A first request:",
            f"  curl -i {place or f'--unix-socket {_socket_path(host)} {scheme}://localhost'}"
            f"/v2/queues/hello/messages -H {who}"
            " -H 'Client-ID: 3381af92-2b9e-11e3-b191-71861300734c'"
            """ -H 'Content-Type: application/json' -d '{"messages": [{"body": "Hello"}]}'""",
        ]
    return "\n".join(lines)


def _warn_of_key(settings: Settings) -> None:
    """Bodies that are encrypted with a key that everybody can find are not protected from everybody."""
    if settings.encryption_key == _WELL_KNOWN_KEY:
        _log.warn("message_encryption_key is the well-known default of the reference, which protects nothing")
    elif not settings.encryption_key:
        _log.warn(
            "there is no message_encryption_key: queues that ask for encryption get a random key that is kept beside the"
            " data, which does not protect them from whoever has both"
        )


def _warn_of_subscribers(settings: Settings, schemes: Collection[str]) -> None:
    """Subscriptions may be made that nothing can be delivered to."""
    if settings.notification.require_confirmation and not settings.signing_keys:
        _log.warn(
            "subscribers have to confirm and nobody asks them to: [notification] require_confirmation needs [signed_url]"
            " secret_key"
        )
    for scheme in settings.transport.subscriber_types:
        if scheme.lower() not in schemes:
            _log.warn(
                "nothing delivers to {scheme}: subscribers, which [transport] subscriber_types accepts: no notifier for them"
                " is installed",
                scheme=scheme,
            )


def _warn_of_openness(settings: Settings, hosts: Sequence[Any]) -> None:
    """Without authentication everybody who reaches the gateway may do everything."""
    if settings.auth_strategy:
        return
    for host in hosts:
        if _is_tcp(host) and not is_loopback(host.host):
            _log.warn(
                "there is no authentication, and {host} is reachable from elsewhere: whoever reaches it can do"
                " everything in every project",
                host=written(host.host, host.port),
            )
