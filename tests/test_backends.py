"""The backend that goes over pools, put together from settings."""

from __future__ import annotations

from twisted.internet import reactor
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase, TestCase
from zope.interface import implementer
from zope.interface.verify import verifyObject

from tests.redis_server import RedisServer, shared_server
from zaqar_gateway.backends import make_backend
from zaqar_gateway.backends.embedded import EmbeddedBackend
from zaqar_gateway.backends.pooled import PooledBackend
from zaqar_gateway.backends.redis import RedisBackend
from zaqar_gateway.config import Settings, load
from zaqar_gateway.errors import PoolUnfit, RuleBroken
from zaqar_gateway.interfaces import IManagingBackend, IStorage, IStorageBackend
from zaqar_gateway.model import NO_RULES, Pool
from zaqar_gateway.plugins import PluginError
from zaqar_gateway.role import Alone
from zaqar_gateway.storage.memory import MemoryStorage
from zaqar_gateway.storage.pooled import FOLLOW_S, Directory
from zaqar_gateway.storage.redis.connection import Redis
from zaqar_gateway.tap import Gateway


@implementer(IStorageBackend)
class Plugged:
    """A backend of another package, which knows nothing of pools."""

    where = "a plug-in"

    def __init__(self) -> None:
        self.storage: IStorage = MemoryStorage(Clock())

    async def start(self) -> None:
        """See :class:`~zaqar_gateway.interfaces.IStorageBackend`."""

    async def stop(self) -> None:
        """See :class:`~zaqar_gateway.interfaces.IStorageBackend`."""


def settings(uri: str, **overrides: object) -> Settings:
    """Settings with pooling over a store."""
    return load(None, {}, {"storage.uri": uri, "pooling": True, "enable_virtual_pool": True, **overrides})


class ManagingTests(SynchronousTestCase):
    """Which stores pools can be managed in."""

    def test_own_backends(self) -> None:
        """All backends of this package keep what is known of pools."""
        for uri in ("memory:", "", "redis://h"):
            verifyObject(IManagingBackend, make_backend(settings(uri), reactor))

    def test_plugin(self) -> None:
        """A backend of another package need not, and is refused where there are to be pools."""
        error = self.assertRaises(PluginError, PooledBackend, Plugged(), settings("memory:"), Clock())
        self.assertIn("pooling needs Redis", str(error))


class OrderTests(SynchronousTestCase):
    """What sockets tell of the order of their requests."""

    def test_told(self) -> None:
        """Each Redis of a gateway is told, that of a pool too."""
        for uri, pooling in (("", False), ("redis://h", False), ("redis://h", True)):
            asked = settings(uri, pooling=pooling)
            gateway = Gateway(asked, reactor, Alone(asked, reactor))
            backend = gateway._backend
            if isinstance(backend, PooledBackend):
                backend = backend._open("redis://pool")
            elif isinstance(backend, EmbeddedBackend):
                backend = backend._client
            assert isinstance(backend, RedisBackend)
            assert isinstance(backend._redis, Redis)
            self.assertIs(backend._redis._order, gateway._websocket.order)


class PooledBackendTests(TestCase):
    """Stores of pools are opened, tried and closed."""

    def backend(self, uri: str) -> PooledBackend:
        """A backend that is not started."""
        given = settings(uri)
        return PooledBackend(make_backend(given, reactor), given, reactor)

    async def test_memory(self) -> None:
        """Where all is in memory, so may pools be."""
        backend = self.backend("memory:")
        verifyObject(IStorageBackend, backend)
        await backend.management.pools.put(Pool("a", "memory:a", 1))
        await backend.start()
        self.addCleanup(backend.stop)
        await backend.directory.check("memory:b")
        await backend.storage.queues.create("p", "q", b"{}", NO_RULES)
        (store,) = (await backend.directory.stores()).values()
        self.assertEqual(await store.queues.get("p", "q"), b"{}")

    async def test_check(self) -> None:
        """What is no URI of a store, and what nothing answers at, is told apart; neither text has a password."""
        server = shared_server()
        backend = self.backend(f"unix://{server.path}")
        await backend.directory.check(f"unix://{server.path}?dbid=1")
        for uri, kind in (
            ("localhost:27017", RuleBroken),
            ("memory:", RuleBroken),
            ("redis://:s3cret@h:port", RuleBroken),
            ("unix:///nowhere/redis.sock", PoolUnfit),
            (f"unix://:s3cret@{server.path}", PoolUnfit),
            ("redis://127.0.0.1:1", PoolUnfit),
        ):
            with self.assertRaises(kind) as caught:
                await backend.directory.check(uri)
            self.assertTrue(str(caught.exception).startswith("uri"), uri)
            self.assertNotIn("s3cret", str(caught.exception))

    async def test_replicas(self) -> None:
        """A pool with too few replicas is refused where replicas are asked for; one whose user may not ask for them is taken."""
        path = shared_server().path
        uri = f"unix://{path}?dbid=2"
        for durability, user, is_refused in (("memory", "", False), ("replicated", "", True), ("replicated", "silent:pw@", False)):
            shared_server().call("ACL SETUSER silent on >pw ~* &* +@all -role")
            given = settings(f"unix://{path}", **{"storage.durability": durability})
            backend = PooledBackend(make_backend(given, reactor), given, reactor)
            where = uri.replace("unix://", f"unix://{user}")
            if is_refused:
                with self.assertRaises(PoolUnfit) as caught:
                    await backend.directory.check(where)
                self.assertIn("It has 0 replicas, and storage.replicas is 1.", str(caught.exception))
            else:
                await backend.directory.check(where)

    async def test_followed_after_a_fault(self) -> None:
        """What fails as pools are followed is in the log, and they are followed all the same."""
        calls = []

        async def fail(directory: Directory) -> None:
            calls.append(directory)
            raise RuntimeError("this is no fault of a store")

        self.patch(Directory, "follow", fail)
        clock, given = Clock(), settings("memory:")
        backend = PooledBackend(make_backend(given, clock), given, clock)
        await backend.start()
        clock.advance(FOLLOW_S)
        self.assertEqual([type(each.value) for each in self.flushLoggedErrors()], [RuntimeError] * len(calls))
        self.assertEqual(len(calls), 2)
        await backend.stop()

    async def test_starts_without_the_store(self) -> None:
        """A store that is away when the gateway starts keeps it from knowing the pools, and from nothing else."""
        server = RedisServer()
        backend = self.backend(f"unix://{server.path}")
        server.stop()
        await backend.start()
        self.assertEqual(dict(await backend.directory.stores()), {})
        await backend.stop()
