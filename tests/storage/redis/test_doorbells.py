"""Rings through Redis: what is listened to, and listening again after the connection was lost."""

from __future__ import annotations

import gc
from collections.abc import Callable
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import Deferred, succeed
from twisted.internet.endpoints import UNIXClientEndpoint
from twisted.internet.error import ConnectionLost
from twisted.internet.task import Clock, deferLater
from twisted.internet.testing import StringTransport
from twisted.python.failure import Failure
from twisted.trial.unittest import SynchronousTestCase, TestCase

from tests.redis_server import connect, shared_server, storage_at
from zaqar_gateway.model import NewMessage, NewPost, NewSubscription, Place
from zaqar_gateway.storage.redis.connection import Redis
from zaqar_gateway.storage.redis.doorbells import Doorbells
from zaqar_gateway.storage.redis.keys import Keys
from zaqar_gateway.storage.redis.store import RedisStorage
from zaqar_gateway.testing.base import clock_at_epoch

_reactor: Any = reactor


class Heard:
    """What was heard, and a way to wait for more.

    :ivar rings: in their order.
    """

    def __init__(self) -> None:
        self.rings: list[object] = []
        self._waiting: list[tuple[int, Deferred[None]]] = []

    def ring(self, what: object) -> None:
        """Note a ring."""
        self.rings.append(what)
        for waiting in list(self._waiting):
            if len(self.rings) >= waiting[0]:
                self._waiting.remove(waiting)
                waiting[1].callback(None)

    def as_(self, what: object) -> Callable[[], None]:
        """A ring that is noted as something."""
        return lambda: self.ring(what)

    async def reach(self, count: int) -> None:
        """Wait until so many rings were heard."""
        if len(self.rings) < count:
            waiting: Deferred[None] = Deferred()
            self._waiting.append((count, waiting))
            await waiting.addTimeout(90, _reactor)


class DoorbellTests(TestCase):
    """Doorbells beside a store."""

    async def setUp(self) -> None:  # type: ignore[override]
        self.redis = connect(shared_server())
        self.redis.start()
        await self.redis.when_ready()
        self.bells: list[Doorbells] = []
        self.store = await self.new_store()

    async def tearDown(self) -> None:  # type: ignore[override]
        for bells in self.bells:
            await bells.stop()
        await self.redis.stop()

    async def new_store(self, space: str = "") -> RedisStorage:
        """A store whose doorbells listen."""
        store = storage_at(self.redis, clock_at_epoch(), Keys(space))
        self.bells.append(store.doorbells)
        store.doorbells.start()
        await store.doorbells.when_ready()
        return store

    async def subscribe(self, queue: str = "q", *, owner: str = "", is_topic: bool = False) -> str:
        """Make a subscription; its id."""
        subscriptions = self.store.topic_subscriptions if is_topic else self.store.subscriptions
        placed = await subscriptions.create("p", queue, NewSubscription(f"http://{owner or 'x'}", 600, owner=owner))
        return placed.id

    async def post(self, queue: str = "q", *, is_topic: bool = False) -> None:
        """Post a message."""
        messages = self.store.topic_messages if is_topic else self.store.messages
        await messages.post("p", queue, NewPost(b"c", [NewMessage(b"1")], size=1, ttl_default_s=60, size_max=10))

    async def forget(self, *heard: Heard) -> None:
        """Forget what was heard up to now."""
        await self.store.doorbells.caught_up()
        for each in heard:
            each.rings.clear()

    async def drop_listeners(self) -> None:
        """Have Redis close every connection that listens."""
        await self.redis.command("CLIENT", "KILL", "TYPE", "pubsub")

    async def test_owed(self) -> None:
        """Whoever attends is told of queues and of topics in which something became owed, and of no others."""
        heard = Heard()
        self.store.doorbells.attend(heard.ring, heard.as_("missed"))
        await self.post()
        await self.subscribe(owner="socket")
        await self.post()
        await self.subscribe("a/b{c}", is_topic=True)
        await self.post("a/b{c}", is_topic=True)
        await self.subscribe()
        await self.post()
        await heard.reach(2)
        self.assertEqual(heard.rings, [Place("p", "a/b{c}", is_topic=True), Place("p", "q")])

    async def test_spaces(self) -> None:
        """Rings of one key space are not heard in another one on the same Redis."""
        heard, mine = Heard(), Heard()
        other = await self.new_store("other")
        other.doorbells.attend(heard.ring, heard.as_("missed"))
        other.doorbells.watch(Place("p", "q"), heard.as_("watched"))
        self.store.doorbells.attend(mine.ring, mine.as_("missed"))
        await self.subscribe()
        await self.post()
        await mine.reach(1)
        await other.doorbells.caught_up()
        self.assertEqual(heard.rings, ["watched"])  # what came before it listened may have been missed

    async def test_watch(self) -> None:
        """A place that is watched rings for each post, for all that watch it, until they end it."""
        first, second = Heard(), Heard()
        end = self.store.doorbells.watch(Place("p", "q"), first.as_("q"))
        self.store.doorbells.watch(Place("p", "q"), second.as_("q"))
        await self.forget(first, second)
        await self.post()
        await second.reach(1)
        end()
        await self.post()
        await second.reach(2)
        self.assertEqual((first.rings, second.rings), (["q"], ["q", "q"]))

    async def test_watched_again(self) -> None:
        """A place that nobody watched any more rings when it is watched again."""
        heard = Heard()
        self.store.doorbells.watch(Place("p", "q"), heard.as_("before"))()
        self.store.doorbells.watch(Place("p", "q"), heard.as_("after"))
        await self.forget(heard)
        await self.post()
        await heard.reach(1)
        self.assertEqual(heard.rings, ["after"])

    async def test_watched_while_connecting(self) -> None:
        """A place that is watched at any time while the connection is made is listened to."""
        store = storage_at(self.redis, clock_at_epoch(), Keys())
        self.bells.append(store.doorbells)
        heard: list[Heard] = []

        def watch() -> None:
            heard.append(Heard())
            store.doorbells.watch(Place("p", f"q{len(heard)}"), heard[-1].as_("rung"))

        watch()
        ready = store.doorbells.when_ready()
        store.doorbells.start()
        while not ready.called:
            watch()
            await deferLater(_reactor, 0)
        await store.doorbells.caught_up()
        for number, each in enumerate(heard, 1):
            each.rings.clear()
            await self.post(f"q{number}")
            await each.reach(1)
        self.assertGreater(len(heard), 2)

    async def test_connection_lost(self) -> None:
        """When the connection was lost everybody is told that rings may have been missed, and rings come as before."""
        heard = Heard()
        await self.subscribe()
        self.store.doorbells.attend(heard.ring, heard.as_("missed"))
        self.store.doorbells.watch(Place("p", "q"), heard.as_("watched"))
        await self.forget(heard)
        await self.drop_listeners()
        await heard.reach(2)
        self.assertEqual(heard.rings, ["missed", "watched"])
        await self.post()
        await heard.reach(4)
        self.assertEqual(set(heard.rings[2:]), {Place("p", "q"), "watched"})

    async def test_many_watched(self) -> None:
        """More may be watched than commands may wait for Redis, and all is heard of again when a connection was lost."""
        redis = Redis(UNIXClientEndpoint(_reactor, str(shared_server().path)), _reactor, bound=20)
        redis.start()
        self.addCleanup(redis.stop)
        await redis.when_ready()
        bells = Doorbells(redis, Keys(), _reactor)
        self.bells.append(bells)
        bells.start()
        await bells.when_ready()
        heard = Heard()
        for number in range(50):
            bells.watch(Place("p", f"q{number}"), heard.as_(number))
        await heard.reach(50)
        heard.rings.clear()
        await self.drop_listeners()
        await heard.reach(50)
        self.assertEqual(sorted(heard.rings, key=str), sorted(range(50), key=str))
        for number in range(50):
            await self.subscribe(f"q{number}")
            await self.post(f"q{number}")
        await heard.reach(100)


class GreetingTests(SynchronousTestCase):
    """What becomes of a connection that fails while it is being made ready to listen."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.connections: list[StringTransport] = []
        self.protocols: list[Any] = []
        redis = Redis(self, self.clock)  # type: ignore[arg-type]
        self.bells = Doorbells(redis, Keys(), self.clock)
        self.bells.start()
        self.ready = self.bells.when_ready()

    def connect(self, factory: Any) -> Deferred[Any]:
        """As an endpoint does."""
        protocol = factory.buildProtocol(None)
        self.protocols.append(protocol)
        self.connections.append(StringTransport())
        protocol.makeConnection(self.connections[-1])
        return succeed(protocol)

    def be_master(self) -> None:
        """Say what the first question of a connection is about."""
        self.clock.advance(0)
        self.assertIn(b"ROLE", self.connections[0].value())
        self.protocols[0].dataReceived(b"*3\r\n$6\r\nmaster\r\n:0\r\n*0\r\n")

    def test_lost(self) -> None:
        """Where the connection is lost before Redis has answered, all that was asked of it is over, and it is made anew."""
        self.be_master()
        self.protocols[0].connectionLost(Failure(ConnectionLost()))
        gc.collect()  # what nobody handled is told when it is collected
        self.assertEqual(self.flushLoggedErrors(), [])
        self.clock.pump([0.0, 5.0])
        self.assertEqual(len(self.connections), 2)
        self.assertNoResult(self.ready)

    def test_refused(self) -> None:
        """A user of Redis who may not listen is not taken for one who does."""
        refused = b"-NOPERM this user has no permissions to access one of the channels\r\n"
        self.be_master()
        self.clock.advance(0)
        asked = self.connections[0].value().count(b"SUBSCRIBE")
        self.assertGreater(asked, 1)
        self.protocols[0].dataReceived(refused * asked)
        gc.collect()
        self.assertEqual(self.flushLoggedErrors(), [])
        self.clock.pump([0.0, 5.0])
        self.assertEqual(len(self.connections), 2)
        self.assertNoResult(self.ready)
