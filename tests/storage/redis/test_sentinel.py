"""Which Sentinel is believed, and what is made of what they tell; ``tests/system/test_failover.py`` has real ones."""

from __future__ import annotations

from collections.abc import Callable
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
from zaqar_gateway.storage.redis.packing import command
from zaqar_gateway.storage.redis.sentinel import ASK_S, OTHERS_S, Master, Place, Sentinel, Switches

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
        self.is_silent = False
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
        host, port = self.place
        return command("name", self.name, "ip", host, "port", port, "flags", self.flags, "config-epoch", self.epoch)


@implementer(IStreamClientEndpoint)
class Reached:
    """An endpoint that notes where a connection goes."""

    def __init__(self, place: Place) -> None:
        self.place = place

    def connect(self, protocolFactory: IProtocolFactory) -> Deferred[IProtocol]:
        return succeed(self.place)  # type: ignore[arg-type]


class SentinelCase(TestCase):
    """Sentinels on loopback."""

    timeout = 30

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
        found: Any = await (await self.master(*told)).connect(Factory())
        return found  # type: ignore[no-any-return]


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

    async def test_silent(self) -> None:
        """One that does not answer holds up the others for a short while only."""
        clock, silent = Clock(), Told(NEW, 9)
        silent.is_silent = True
        master = await self.master(Told(OLD, 1), silent, clock=clock)
        connecting = master.connect(Factory())
        await self.until(lambda: silent.asked and any(call.getTime() == OTHERS_S for call in clock.getDelayedCalls()), clock)
        self.assertNoResult(connecting)
        clock.advance(OTHERS_S)
        self.assertEqual(await connecting, OLD)

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
            await Master([sentinel], NAME, lambda *place: Reached(place), reactor).connect(Factory())
            self.assertEqual(told.heard, [*words, ["ROLE"], ["SENTINEL", "MASTER", NAME]])


class SwitchTests(SentinelCase):
    """That another Redis is the master."""

    async def test_told(self) -> None:
        """A new place is told until it is known; another name, and the place that is known, are not told."""
        sentinels = [Told(), Told()]
        listening = [await self.sentinel(each) for each in sentinels]
        master = Master(listening, NAME, lambda *place: Reached(place), reactor)
        await master.connect(Factory())
        told: list[None] = []
        switches = Switches(listening, master, reactor, lambda: told.append(None))
        switches.start()
        self.addCleanup(lambda: Deferred.fromCoroutine(switches.stop()))
        await self.until(lambda: all(each.listeners for each in sentinels))

        def say(by: Told, *words: object) -> None:
            transport = by.listeners[0].transport
            assert transport
            transport.write(command("message", "+switch-master", " ".join(map(str, words))))

        say(sentinels[0], "another", *OLD, *NEW)
        say(sentinels[0], NAME, *NEW, *OLD)
        say(sentinels[0], NAME, *OLD, *NEW)
        await self.until(lambda: told)
        say(sentinels[1], NAME, *OLD, *NEW)
        await self.until(lambda: len(told) > 1)
        for each in sentinels:
            each.place = NEW
        await master.connect(Factory())
        say(sentinels[1], NAME, *OLD, *NEW)
        say(sentinels[1], NAME, *NEW, "10.0.0.3", 6379)
        await self.until(lambda: len(told) > 2)
        self.assertEqual(len(told), 3)
