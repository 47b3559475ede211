"""Which Sentinel is believed, and what is made of what they tell; ``tests/system/test_failover.py`` has real ones."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import hiredis
from twisted.internet import reactor
from twisted.internet.defer import Deferred, succeed
from twisted.internet.endpoints import TCP4ClientEndpoint, TCP4ServerEndpoint
from twisted.internet.interfaces import IProtocol, IProtocolFactory, IStreamClientEndpoint
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.task import Clock, deferLater
from twisted.trial.unittest import TestCase
from zope.interface import implementer

from zaqar_gateway.errors import StoreUnavailable
from zaqar_gateway.storage.redis.gathering import ASK_S, OTHERS_S
from zaqar_gateway.storage.redis.packing import command
from zaqar_gateway.storage.redis.sentinel import LOOK_S, Master, Place, Sentinel, Watch

NAME = "orders"
OLD, NEW = ("10.0.0.1", 6379), ("10.0.0.2", 6380)


class Speaker(Protocol):
    """What a Sentinel says."""

    def __init__(self, told: Told) -> None:
        self.told = told
        self.reader = hiredis.Reader()

    def dataReceived(self, data: bytes) -> None:
        self.reader.feed(data)
        while (words := self.reader.gets()) is not False:
            assert self.transport
            self.transport.write(self.told.answer([word.decode() for word in words], self))


class Told:
    """A Sentinel that answers what a test has it answer.

    :ivar heard: the commands that it was sent.
    :ivar listeners: connections that subscribe.
    """

    def __init__(self, place: Place = OLD, epoch: int = 0, flags: str = "master", name: str = NAME) -> None:
        self.place, self.epoch, self.flags, self.name = place, epoch, flags, name
        self.heard: list[list[str]] = []
        self.listeners: list[Speaker] = []
        self.is_silent = self.strange = False
        self.replicas: list[tuple[str, int]] = []
        self.asked = False

    def answer(self, words: list[str], speaker: Speaker) -> bytes:
        self.heard.append(words)
        if words[0] == "ROLE":
            return command("sentinel", self.name)
        if words[0] == "SUBSCRIBE":
            self.listeners.append(speaker)
            return b"*3\r\n$9\r\nsubscribe\r\n$14\r\n+switch-master\r\n:1\r\n"
        if words[0] != "SENTINEL":
            return b"+OK\r\n"
        self.asked = True
        if self.is_silent:
            return b""
        if words[2] != self.name:
            return b"-ERR No such master with that name\r\n"
        if words[1] == "REPLICAS":
            return b"*%d\r\n" % len(self.replicas) + b"".join(
                command("flags", flags, "slave-priority", priority) for flags, priority in self.replicas
            )
        if self.strange:
            return b"*1\r\n$1\r\nx\r\n"
        host, port = self.place
        return command("name", self.name, "ip", host, "port", port, "flags", self.flags, "config-epoch", self.epoch)


@implementer(IStreamClientEndpoint)
class Reached:
    """An endpoint that notes where a connection goes."""

    def __init__(self, place: Place) -> None:
        self.place = place

    def connect(self, protocolFactory: IProtocolFactory) -> Deferred[IProtocol]:
        return succeed(SimpleNamespace())  # type: ignore[arg-type]


class SentinelCase(TestCase):
    """Sentinels on loopback."""

    timeout = 120

    async def sentinel(self, told: Told, **login: str) -> Sentinel:
        """Have one listen."""
        factory = Factory.forProtocol(lambda: Speaker(told))
        port = await TCP4ServerEndpoint(reactor, 0, interface="127.0.0.1").listen(factory)
        self.addCleanup(port.stopListening)
        number = port.getHost().port
        return Sentinel(f"127.0.0.1:{number}", TCP4ClientEndpoint(reactor, "127.0.0.1", number), **login)

    async def master(self, *told: Told, clock: Any = reactor, name: str = NAME) -> Master:
        """The master that some of them tell of."""
        return Master([await self.sentinel(each) for each in told], name, lambda *place: Reached(place), clock)

    async def until(self, condition: Callable[[], object], clock: Clock | None = None) -> None:
        """Let the reactor turn until something is so."""
        while not condition():
            if clock:
                clock.advance(0)
            await deferLater(reactor, 0)

    async def place(self, *told: Told) -> Place:
        """Where it is."""
        return (await self.connected(*told)).place  # type: ignore[no-any-return]

    async def connected(self, *told: Told) -> Any:
        """A connection to it; none of them answers too late, however busy the machine is."""
        clock = Clock()
        connecting = (await self.master(*told, clock=clock)).connect(Factory())
        await self.until(lambda: connecting.called, clock)
        return await connecting


class MasterTests(SentinelCase):
    """Where the master is."""

    async def test_latest_failover(self) -> None:
        """The one that knows of the latest failover is believed, wherever in the list it stands."""
        for at in range(3):
            told = [Told(OLD, 7) for _ in range(3)]
            told[at] = Told(NEW, 8)
            self.assertEqual(await self.place(*told), NEW)

    async def test_leader_of_a_failover(self) -> None:
        """One that leads a failover, or does not reach the master, counts less than another that knows of as many."""
        for flags in ("master,failover_in_progress", "s_down,master,disconnected"):
            self.assertEqual(await self.place(Told(OLD, 8, flags), Told(NEW, 8), Told(OLD, 7)), NEW)
        self.assertEqual(await self.place(Told(OLD, 8, "s_down,master")), OLD)

    async def test_electable(self) -> None:
        """Replicas that may take the master's part are counted by the one that reaches most of them, of those that know the master."""
        first, second, other = Told(NEW, 2), Told(NEW, 2), Told(OLD, 1)
        first.replicas = [("slave", 100), ("slave,disconnected", 1), ("s_down,slave", 100), ("slave", 0)]
        second.replicas = [("slave", 100), ("s_down,slave,disconnected", 100)]
        other.replicas = [("slave", 100)] * 5
        self.assertEqual((await self.connected(first, second, other)).electable, 2)

    async def test_strange(self) -> None:
        """What does not answer as a Sentinel does is told so."""
        told = Told(("", 1))
        told.replicas = [("slave", 1)]
        told.strange = True
        error = await self.assertFailure(Deferred.fromCoroutine(self.place(told)), StoreUnavailable)
        self.assertIn("it does not answer as a Sentinel does", str(error))

    async def test_silent(self) -> None:
        """One that does not answer holds up the others for a short while only."""
        clock, silent = Clock(), Told(NEW, 9)
        silent.is_silent = True
        master = await self.master(Told(OLD, 1), silent, clock=clock)
        connecting = master.connect(Factory())
        await self.until(lambda: silent.asked and any(call.getTime() == OTHERS_S for call in clock.getDelayedCalls()), clock)
        self.assertNoResult(connecting)
        clock.advance(OTHERS_S)
        connected: Any = await connecting
        self.assertEqual(connected.place, OLD)

    async def test_nobody_tells(self) -> None:
        """Where none tells the error says why, of each."""
        clock, silent = Clock(), Told()
        silent.is_silent = True
        others = [await self.sentinel(silent), await self.sentinel(Told(name="another"))]
        dead = Sentinel("127.0.0.1:1", TCP4ClientEndpoint(reactor, "127.0.0.1", 1))
        connecting = Master([*others, dead], NAME, lambda *place: Reached(place), clock).connect(Factory())
        # Two are left: how long the silent one may take, and its answer.
        await self.until(lambda: silent.asked and sum(call.getTime() == ASK_S for call in clock.getDelayedCalls()) == 2, clock)
        clock.advance(ASK_S)
        error = await self.assertFailure(connecting, StoreUnavailable)
        for part in (
            "No Sentinel tells where the master orders is",
            f"{others[0].where}: it does not answer",
            f"{others[1].where}: it answers: ERR No such master with that name",
            "127.0.0.1:1: Connection was refused",
        ):
            self.assertIn(part, str(error))

    async def test_login(self) -> None:
        """A user and a password are said first."""
        for login, words in (
            ({}, []),
            ({"password": "p w"}, [["AUTH", "p w"]]),
            ({"username": "u", "password": "p"}, [["AUTH", "u", "p"]]),
        ):
            told = Told()
            sentinel = await self.sentinel(told, **login)
            clock = Clock()
            connecting = Master([sentinel], NAME, lambda *place: Reached(place), clock).connect(Factory())
            await self.until(lambda connecting=connecting: connecting.called, clock)  # type: ignore[misc]
            await connecting
            self.assertEqual(told.heard, [*words, ["ROLE"], ["SENTINEL", "MASTER", NAME], ["SENTINEL", "REPLICAS", NAME]])


class WatchTests(SentinelCase):
    """That another Redis is the master."""

    async def test_looks(self) -> None:
        """The Sentinels are asked at the start, when one tells of a switch of this master, and time and again."""
        clock, sentinels = Clock(), [Told(), Told()]
        listening = [await self.sentinel(each) for each in sentinels]
        master = Master(listening, NAME, lambda *place: Reached(place), clock)
        found: list[Place] = []
        watch = Watch(listening, master, clock, lambda told: found.append(told.place))
        watch.start()
        self.addCleanup(lambda: Deferred.fromCoroutine(watch.stop()))
        await self.until(lambda: found and all(each.listeners for each in sentinels), clock)
        self.assertEqual(found, [OLD])

        def say(by: Told, *words: object) -> None:
            transport = by.listeners[0].transport
            assert transport
            transport.write(command("message", "+switch-master", " ".join(map(str, words))))

        say(sentinels[0], "another", *OLD, *NEW)
        say(sentinels[0])
        sentinels[1].place, sentinels[1].epoch = NEW, 1
        say(sentinels[1], NAME, *OLD, *NEW)
        await self.until(lambda: len(found) > 1, clock)
        self.assertEqual(found, [OLD, NEW])
        sentinels[0].place, sentinels[0].epoch = ("10.0.0.3", 1), 2  # it said so while nobody listened
        clock.advance(LOOK_S)
        await self.until(lambda: len(found) > 2, clock)
        self.assertEqual(found[-1], ("10.0.0.3", 1))
        # Where none tells, there is nothing to go by.
        for each in sentinels:
            each.name = "another"
            each.heard.clear()
        clock.advance(LOOK_S)
        await self.until(lambda: all(["SENTINEL", "MASTER", NAME] in each.heard for each in sentinels), clock)
        await self.until(lambda: not watch._looking.locked, clock)
        self.assertEqual(len(found), 3)
