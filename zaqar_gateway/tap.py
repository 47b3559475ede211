"""Where the parts of a gateway meet: from settings to a service that runs it."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from typing import Any

from twisted.application.internet import TimerService
from twisted.application.service import IService, Service
from twisted.internet.defer import CancelledError, Deferred, TimeoutError, gatherResults, succeed
from twisted.internet.endpoints import (
    HostnameEndpoint,
    UNIXClientEndpoint,
    serverFromString,
    wrapClientTLS,
)
from twisted.internet.error import CannotListenError
from twisted.internet.interfaces import IListeningPort, IProtocol, IProtocolFactory, IStreamClientEndpoint
from twisted.internet.ssl import optionsForClientTLS
from twisted.internet.task import deferLater
from twisted.logger import (
    FilteringLogObserver,
    Logger,
    LogLevel,
    LogLevelFilterPredicate,
    globalLogPublisher,
)
from twisted.python.failure import Failure
from zope.interface import implementer

from zaqar_gateway import __version__
from zaqar_gateway.config import Settings
from zaqar_gateway.errors import StoreError
from zaqar_gateway.identity.anonymous import Anonymous
from zaqar_gateway.identity.signed_url import UrlSigner
from zaqar_gateway.interfaces import IStorage
from zaqar_gateway.operations.claims import Claims
from zaqar_gateway.operations.health import Health
from zaqar_gateway.operations.messages import Messages
from zaqar_gateway.operations.queues import TOPIC, Queues
from zaqar_gateway.operations.registry import QUEUES, TOPICS, operations
from zaqar_gateway.operations.urls import Urls
from zaqar_gateway.options import Options
from zaqar_gateway.show import show
from zaqar_gateway.storage.encryption import EncryptingStorage
from zaqar_gateway.storage.memory import MemoryStorage
from zaqar_gateway.storage.redis.embedded import EmbeddedRedis, EmbeddedRedisError
from zaqar_gateway.transport.http.answers import Answers
from zaqar_gateway.transport.http.channel import HttpBounds, HttpFactory
from zaqar_gateway.transport.http.site import Site
from zaqar_gateway.transport.websocket.codec import Actions
from zaqar_gateway.transport.websocket.factory import GatewayFactory, WebSocketBounds
from zaqar_gateway.transport.websocket.origins import is_loopback

__all__ = ["Options", "makeService"]

_log = Logger()

_WELL_KNOWN_KEY = "AES256"
_EXTERNAL_WAIT_S = 3.0
_SHUTDOWN_S = 15.0
_SWEEP_MEMORY_S = 10.0


class Storage:
    """The store that the settings ask for, and what has to run for it.

    :ivar storage: the store.
    """

    def __init__(self, settings: Settings, reactor: Any) -> None:
        self._settings = settings
        self._reactor = reactor
        self._embedded: EmbeddedRedis | None = None
        self._redis: Any = None
        self._sweeper: TimerService
        given = settings.storage
        if settings.store == "memory":
            memory = MemoryStorage(reactor)
            self.storage: IStorage = self._encrypting(memory)
            self._sweeper = TimerService(_SWEEP_MEMORY_S, memory.sweep)
            return
        if settings.store == "embedded":
            self._embedded = EmbeddedRedis(
                reactor, given.data_dir, durability=given.durability, program=given.redis_server
            )
        self._make_redis()

    def _make_redis(self) -> None:
        # Importing txredisapi installs a reactor; by now there is one.
        from zaqar_gateway.storage.redis import scripts
        from zaqar_gateway.storage.redis.connection import Redis
        from zaqar_gateway.storage.redis.keys import Keys
        from zaqar_gateway.storage.redis.store import RedisStorage, Sweeper

        given, address = self._settings.storage, self._settings.redis
        self._redis = Redis(
            _Late(self._endpoint),
            self._reactor,
            timeout_s=given.command_timeout_s,
            bound=given.max_waiting_commands,
            retry_max_s=given.reconnect_max_s,
            username=address.username if address else "",
            password=address.password if address else "",
            database=address.database if address else 0,
            scripts=scripts.ALL,
        )
        keys = Keys(address.key_prefix if address else "")
        self.storage = self._encrypting(RedisStorage(self._redis, keys))
        sweeper = Sweeper(self._redis, keys)

        async def sweep() -> None:
            try:
                await sweeper.step()
            except StoreError as error:
                _log.debug("not swept: {why}", why=str(error))

        self._sweeper = TimerService(given.sweep_interval_s, lambda: Deferred.fromCoroutine(sweep()))
        self._sweeper.clock = self._reactor

    def _encrypting(self, store: IStorage) -> IStorage:
        previous = self._settings.transport.message_encryption_previous_keys
        return EncryptingStorage(store, self._settings.encryption_key, previous)

    def _endpoint(self) -> IStreamClientEndpoint:
        address = self._settings.redis
        if address is None:
            assert self._embedded is not None
            return UNIXClientEndpoint(self._reactor, self._embedded.socket_path)
        if address.path:
            return UNIXClientEndpoint(self._reactor, address.path)
        endpoint = HostnameEndpoint(self._reactor, address.host, address.port)
        return wrapClientTLS(optionsForClientTLS(address.host), endpoint) if address.tls else endpoint

    @property
    def where(self) -> str:
        """Where messages are kept, in words and without a password."""
        if self._settings.redis is not None:
            return self._settings.redis.masked()
        if self._embedded is not None:
            return f"embedded Redis, data in {self._settings.storage.data_dir}"
        return "the memory of this process; all is lost when it ends"

    async def start(self) -> None:
        """Start, and wait until the store answers; a Redis of others is waited for a short while only.

        :raises EmbeddedRedisError: the embedded Redis cannot be started.
        """
        if self._embedded is not None:
            self._embedded.startService()
            await self._embedded.whenReady()
        if self._redis is not None:
            self._redis.start()
            try:
                await self._redis.when_ready().addTimeout(_EXTERNAL_WAIT_S, self._reactor)
            except TimeoutError:
                _log.warn("{where} cannot be used yet; requests get 503 until it can", where=self.where)
            else:
                await self._tell_durability()
        self._sweeper.startService()

    async def _tell_durability(self) -> None:
        from zaqar_gateway.storage.redis.durability import durability_of

        durability = await durability_of(self._redis, self._settings.storage.durability)
        _log.info("an acknowledged message survives {kept}", kept=durability.kept)
        for warning in durability.warnings:
            _log.warn("{warning}", warning=warning)

    async def stop(self) -> None:
        """Stop, the embedded Redis last."""
        if self._sweeper.running:
            await self._sweeper.stopService()
        if self._redis is not None:
            await self._redis.stop()
        if self._embedded is not None:
            await self._embedded.stopService()


@implementer(IStreamClientEndpoint)
class _Late:
    """An endpoint that is known only when it is used: the embedded Redis chooses the place of its socket at start."""

    def __init__(self, find: Callable[[], IStreamClientEndpoint]) -> None:
        self._find = find

    def connect(self, protocolFactory: IProtocolFactory) -> Deferred[IProtocol]:
        return self._find().connect(protocolFactory)


class Gateway(Service):
    """One gateway process."""

    def __init__(self, settings: Settings, reactor: Any, *, shows: bool = False) -> None:
        self._settings = settings
        self._reactor = reactor
        self._shows = shows
        self._store = Storage(settings, reactor)
        self._ports: list[IListeningPort] = []
        self._starting: Deferred[None] = succeed(None)
        limits, client_ids, storage = settings.limits, settings.client_ids, self._store.storage
        queues, topics = Queues(storage.queues, limits), Queues(storage.topics, limits, TOPIC)
        signer = UrlSigner(settings.signing_keys, reactor)
        rows = operations(
            queues,
            Messages(storage.messages, storage.queues, limits),
            Claims(storage.claims, limits),
            Health(storage),
            topics,
            Messages(storage.topic_messages, storage.topics, limits, TOPIC),
            Urls(signer, reactor),
        )
        given = settings.websocket
        self._websocket = GatewayFactory(
            Actions(rows),
            client_ids,
            reactor,
            WebSocketBounds(
                message_max=given.max_frame_size,
                in_flight_max=given.max_in_flight,
                write_buffer_max=given.write_buffer_max,
                ping_interval_s=given.ping_interval_s,
                ping_timeout_s=given.ping_timeout_s,
                open_timeout_s=given.handshake_timeout_s,
                connections_max=given.max_connections,
                deflate=given.compression,
                allowed_origins=given.allowed_origins,
            ),
            signer,
        )
        site = Site(
            rows,
            Answers({QUEUES: queues.shown, TOPICS: topics.shown}, settings.enable_checksum),
            limits,
            client_ids,
            Anonymous().identify,
            signer=signer,
            admin_mode=settings.admin_mode,
            websocket_factory=self._websocket,
        )
        self._http = HttpFactory(
            site,
            HttpBounds(
                head_timeout_s=settings.http.head_timeout_s,
                body_timeout_s=settings.http.body_timeout_s,
                idle_timeout_s=settings.http.idle_timeout_s,
                connections_max=settings.http.max_connections,
            ),
            reactor,
        )

    def startService(self) -> None:
        """Begin to start; a failure ends the process with status 1."""
        super().startService()
        _set_log_level(self._settings.log.level)
        self._starting = Deferred.fromCoroutine(self._start())
        self._starting.addErrback(self._failed)

    async def _start(self) -> None:
        await deferLater(self._reactor, 0)  # a failure stops the reactor, which has to be running for that
        await self._store.start()
        listen = self._settings.listen
        for factory, endpoints in ((self._http, listen.http), (self._websocket, listen.websocket)):
            for endpoint in endpoints:
                self._ports.append(await self._listen(endpoint, factory))
        bound = [port.getHost() for port in self._ports]
        http, websocket = bound[: len(listen.http)], bound[len(listen.http) :]
        _warn_of_openness(self._settings, bound)
        _warn_of_key(self._settings)
        _print(_banner(self._store.where, http, websocket))
        if self._shows:
            await show(self._reactor, http, websocket, _print)

    async def _listen(self, endpoint: str, factory: IProtocolFactory) -> IListeningPort:
        try:
            port: IListeningPort = await serverFromString(self._reactor, endpoint).listen(factory)
            return port
        except CannotListenError as error:
            which = "websocket" if factory is self._websocket else "http"
            raise OSError(
                f"{error} Another endpoint for {endpoint!r} has to be given, by listen.{which} or --{which}."
            ) from None

    def _failed(self, failure: Failure) -> None:
        if failure.check(CancelledError):
            return
        if failure.check(EmbeddedRedisError, OSError):
            _print(f"zaqar-gateway cannot start: {failure.getErrorMessage()}")
        else:
            _log.failure("the gateway cannot start", failure)
        # twistd knows no exit status for a start that fails after the reactor runs.
        self._reactor.addSystemEventTrigger("after", "shutdown", _exit_with_failure)
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
        try:
            await self._http.when_idle().addTimeout(_SHUTDOWN_S, self._reactor)
        except TimeoutError:
            _log.warn("some requests were still under way after {seconds} s", seconds=_SHUTDOWN_S)
        await closed
        await self._store.stop()


def makeService(options: Options) -> IService:
    """The service of ``twistd zaqar-gateway``.

    :param options: parsed, so that its settings are loaded.
    """
    from twisted.internet import reactor

    return Gateway(options.loaded, reactor, shows=bool(options["show"]))


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


def _print(text: str) -> None:
    """Print to the terminal; twistd makes log lines of ``sys.stdout``."""
    print(text, file=sys.__stdout__, flush=True)


def _is_tcp(host: Any) -> bool:
    return hasattr(host, "port")


def _socket_path(host: Any) -> str:
    return os.fsdecode(getattr(host, "name", None) or str(host))


def _authority(host: Any) -> str:
    name = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host.host, host.host)
    return f"[{name}]:{host.port}" if ":" in name else f"{name}:{host.port}"


def _banner(where: str, http: Sequence[Any], websocket: Sequence[Any]) -> str:
    lines = [f"zaqar-gateway {__version__} is ready.", f"  messages are kept in {where}"]
    for what, scheme, hosts in (("HTTP and WebSocket", "http", http), ("WebSocket", "ws", websocket)):
        for host in hosts:
            lines.append(f"  {what} on {f'{scheme}://{_authority(host)}/' if _is_tcp(host) else _socket_path(host)}")
    if http:
        place = f"http://{_authority(http[0])}" if _is_tcp(http[0]) else ""
        lines += [
            "A first request:",
            f"  curl -i {place or f'--unix-socket {_socket_path(http[0])} http://localhost'}"
            "/v2/queues/hello/messages -H 'X-Project-ID: demo'"
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


def _warn_of_openness(settings: Settings, hosts: Sequence[Any]) -> None:
    """Without authentication everybody who reaches the gateway may do everything."""
    if settings.auth_strategy:
        return
    for host in hosts:
        if _is_tcp(host) and not is_loopback(host.host):
            _log.warn(
                "there is no authentication, and {host} is reachable from elsewhere: whoever reaches it can do"
                " everything in every project",
                host=_authority(host),
            )
