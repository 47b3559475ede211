"""The nodes of a Redis Cluster: which has what, and the connections to the masters.

Which node has what is looked up each second, and at once where a node refuses a slot.

Source: the Redis Cluster specification, "Client's first connection and handling of redirections".
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine, Sequence
from contextlib import suppress
from functools import lru_cache, partial
from random import Random, SystemRandom
from typing import Any

from attrs import frozen
from twisted.application.internet import TimerService
from twisted.internet.defer import CancelledError, Deferred, TimeoutError, gatherResults, succeed
from twisted.internet.interfaces import IDelayedCall, IProtocol, IProtocolFactory, IReactorTime, IStreamClientEndpoint
from twisted.logger import Logger
from zope.interface import implementer

from zaqar_gateway.errors import StoreError, StoreUnavailable
from zaqar_gateway.order import Order
from zaqar_gateway.storage.redis.cluster.slots import SLOTS, slot_of, tag_in
from zaqar_gateway.storage.redis.cluster.topology import Place, Topology
from zaqar_gateway.storage.redis.cluster.views import Views
from zaqar_gateway.storage.redis.commands import Argument, Commands, Refused, Sent
from zaqar_gateway.storage.redis.connection import Redis
from zaqar_gateway.storage.redis.scripts import Script

_log = Logger()

ANSWER_S = 0.5
"""How long a node that has no slot any more may take to answer what it was asked before that was known."""

LOOK_S = 1.0
"""How often it is looked up which node has what."""

SOON_S = 0.05
"""After what time that is done where something is not where it was."""

EXPECTED_S = 1.0
"""How long a node that just got its first slot may take to be connected; what is for it waits meanwhile."""


KIN_S = 5.0
"""For how long a new master is expected to be followed by those that it was a replica with, and of."""


@frozen
class _Kin:
    """What may come to follow a new master, and until when it is expected to."""

    places: frozenset[Place]
    until_s: float


@implementer(IStreamClientEndpoint)
class Node:
    """A master.

    :param reach: makes an endpoint that leads to it.
    :param moved: see :attr:`.Commands.moved`.
    :ivar place: where it is.
    :ivar redis: the connection to it.
    :ivar replicas: how many of its replicas may take its part.
    :ivar tag: a hash tag that is in one of its slots.
    :ivar expected_until_s: what is for it may wait until then for the first connection.
    """

    redis: Redis

    def __init__(
        self, place: Place, reach: Callable[[], IStreamClientEndpoint], moved: Callable[[Commands, Sent, str], bool]
    ) -> None:
        self.place = place
        self.replicas = 0
        self.tag: bytes | None = None
        self.expected_until_s = 0.0
        self._reach = reach
        self._moved = moved

    def connect(self, protocolFactory: IProtocolFactory) -> Deferred[IProtocol]:
        return self._reach().connect(protocolFactory).addCallback(self._arrived)

    def _arrived(self, protocol: Any) -> IProtocol:
        protocol.place, protocol.electable, protocol.moved = self.place, self.replicas, self._moved
        return protocol  # type: ignore[no-any-return]


@implementer(IStreamClientEndpoint)
class _AnyMaster:
    """Whichever master can be reached."""

    def __init__(self, nodes: Nodes) -> None:
        self._nodes = nodes

    def connect(self, protocolFactory: IProtocolFactory) -> Deferred[IProtocol]:
        return Deferred.fromCoroutine(self._connect(protocolFactory))

    async def _connect(self, factory: IProtocolFactory) -> IProtocol:
        await self._nodes.until_known()
        place = self._nodes.any_master()
        protocol: Any = await self._nodes.reach(*place).connect(factory)
        protocol.place = place
        return protocol  # type: ignore[no-any-return]


def _lacking(owners: Sequence[Place | None]) -> str:
    return f"The Redis Cluster has no node for {owners.count(None)} of its slots."


async def check_is_alone(redis: Commands) -> None:
    """:raises StoreUnavailable: it is a node of a cluster, and was not said to be."""
    try:
        await redis.execute_command("CLUSTER", "INFO")
    except Refused:
        return
    raise StoreUnavailable("This Redis is a node of a Redis Cluster: say so with ?cluster=true in the URI.")


async def check_is_recent(redis: Commands) -> None:
    """:raises StoreUnavailable: it has no sharded channels."""
    try:
        (known,) = await redis.execute_command("COMMAND", "INFO", "SPUBLISH")
    except Refused:
        return
    if not known:
        raise StoreUnavailable("This Redis is too old for a Redis Cluster of messages: it takes 7.0 or later.")


class Nodes:
    """The nodes of a cluster.

    :param seeds: where some of them are.
    :param reach: makes an endpoint of a host and a port.
    :param written: host and port as people write them.
    :param connecting: makes connections to nodes, as :class:`.Redis` does; with the login and the bounds of all of them.
    :param make: makes the protocol of a connection to a master: (the node, clock, ``timeout_s``, ``bound``) to protocol.
    :param greet: what is done on each connection to a master before anybody else may use it.
    :param scripts: loaded there.
    :param order: tells when requests may overtake each other; ``None``: never.
    :param by_name: whether nodes are reached by the names of their hosts, where they tell any, as certificates ask for.
    :ivar moved: takes over what a node refuses; see :attr:`.Commands.moved`.
    :ivar masters: that have slots.
    :ivar slots: the master that has each.
    """

    def __init__(
        self,
        seeds: Sequence[Place],
        reach: Callable[[str, int], IStreamClientEndpoint],
        written: Callable[[str, int], str],
        clock: IReactorTime,
        *,
        connecting: Callable[..., Redis] = Redis,
        make: Callable[[Node, Any, float, int], Commands] = lambda _, *given: Commands(*given),
        greet: Callable[[Commands], Awaitable[None]] | None = None,
        scripts: Sequence[Script] = (),
        order: Order | None = None,
        by_name: bool = False,
        random: Random | None = None,
    ) -> None:
        self._random = random or SystemRandom()
        self._views = Views(seeds, reach, written, connecting, clock, self._random, by_name=by_name)
        self.reach = reach
        self._written = written
        self._clock = clock
        self._connecting = connecting
        self._make = make
        self._greet = greet
        self._scripts = scripts
        self._order = order
        self.moved: Callable[[Commands, Sent, str], bool] = lambda protocol, sent, why: False
        self.masters: dict[Place, Node] = {}
        self.slots: list[Node | None] = [None] * SLOTS
        self.slot_of = lru_cache(maxsize=16384)(slot_of)
        self._topology = Topology()
        self._kin: dict[Place, _Kin] = {}
        self._changed: list[Callable[[], None]] = []
        self._looking: Deferred[None] | None = None
        self._looks = TimerService(LOOK_S, self.look)
        self._looks.clock = clock
        self._soon: IDelayedCall | None = None
        self._waiting: list[Deferred[None]] = []  # for the next look
        self._ending: set[Deferred[None]] = set()
        self._told = ""

    def start(self) -> None:
        """Look which nodes there are, and stay connected to them until :meth:`stop`."""
        self._looks.startService()

    async def stop(self) -> None:
        """Close all connections; what is under way then has an unknown outcome."""
        stopping = self._looks.stopService() if self._looks.running else None
        if self._looking is not None:
            self._looking.cancel()
        if stopping is not None:
            await stopping
        if self._soon is not None and self._soon.active():
            self._soon.cancel()
        self._use(Topology())
        await self.ended()

    def on_change(self, changed: Callable[[], None]) -> None:
        """Have something told when another node has something than before."""
        self._changed.append(changed)

    def look(self, *, more: bool = True) -> Deferred[None]:
        """Look which node has what, unless that is being done.

        :param more: see :meth:`.Views.ask`.
        """
        if self._looking is not None:
            return succeed(None)
        looking = self._looking = Deferred.fromCoroutine(self._look(more))
        looking.addErrback(lambda failure: failure.trap(CancelledError) and None)
        # Whatever it is, the next look may go better.
        looking.addErrback(lambda failure: _log.failure("what nodes of the Redis Cluster tell cannot be used", failure))
        looking.addCallback(self._looked)
        return looking

    def _looked(self, _: object) -> None:
        self._looking = None
        waiting, self._waiting = self._waiting, []
        for one in waiting:
            one.callback(None)

    def look_soon(self) -> None:
        """Look once more, since something is not where it was."""
        if self._looks.running and (self._soon is None or not self._soon.active()):
            self._soon = self._clock.callLater(SOON_S, partial(self.look, more=False))

    async def _look(self, more: bool) -> None:
        try:
            self._use(await self._ask(more))
            self._told = ""
        except StoreUnavailable as error:
            if str(error) != self._told:
                self._told = str(error)
                _log.error("{why}", why=str(error))

    async def _ask(self, more: bool = True) -> Topology:
        """:raises StoreUnavailable: no node tells."""
        connected = {place: node.redis.protocol for place, node in self.masters.items() if node.redis.protocol is not None}
        return await self._views.ask(connected, self._topology, more=more, is_whole=self._is_whole)

    def _use(self, topology: Topology) -> None:
        """Go by what was told."""
        is_changed = topology.claimed != self._topology.claimed
        owners = topology.owners() if is_changed else []
        there = {place for place in owners if place is not None} if is_changed else {*self.masters}
        for place in there - self.masters.keys():
            self._note_kin(place)
        for place in [place for place, kin in self._kin.items() if kin.until_s <= self._clock.seconds()]:
            del self._kin[place]
        for place, node in self.masters.items():
            node.replicas = self._electable(place, topology, there)
            node.redis.follow(place, node.replicas)
        self._topology = topology
        if is_changed:
            self._assign(owners, there)
        for node in self.masters.values():
            if node.tag is None or not self._is_at(node, slot_of(node.tag)):
                self.change_tag(node)
        if is_changed:
            for changed in self._changed:
                changed()

    def _assign(self, owners: Sequence[Place | None], there: set[Place]) -> None:
        """Have each slot where it is told to be."""
        is_news = there != self.masters.keys()
        for place in self.masters.keys() - there:
            self.end(self._let_go(self.masters.pop(place)))
        for place in sorted(there - self.masters.keys()):
            self.masters[place] = node = self._node(place)
            node.replicas = self._electable(place, self._topology, there)
            node.expected_until_s = self._clock.seconds() + EXPECTED_S
            node.redis.start()
        self.slots[:] = [None if place is None else self.masters[place] for place in owners]
        if is_news and there:
            _log.info("masters of the Redis Cluster: {names}", names=", ".join(self._written(*place) for place in sorted(there)))
        if there and None in owners:
            _log.error("{why} What is kept there is refused.", why=_lacking(owners))

    def _note_kin(self, place: Place) -> None:
        """Remember what may follow a replica that has become a master: the former one, and its other replicas."""
        for master, replicas in self._topology.replicas.items():
            if place in replicas:
                self._kin[place] = _Kin(frozenset({master, *replicas} - {place}), self._clock.seconds() + KIN_S)

    def _electable(self, place: Place, topology: Topology, there: set[Place]) -> int:
        """How many replicas may take the part of a master, those counted that are only about to follow it."""
        told = topology.replicas.get(place, frozenset())
        kin = self._kin[place].places if place in self._kin else frozenset()
        return len(told | (kin & topology.places) - there)

    def _is_at(self, node: Node, slot: int) -> bool:
        """Whether a slot is at a node, and stays there for now."""
        return self.slots[slot] is node and slot not in self._topology.moving

    def change_tag(self, node: Node) -> None:
        """Have another hash tag for what is written to a node only to have written there."""
        node.tag = tag_in(lambda slot: self._is_at(node, slot), 0 if node.tag is None else int(node.tag) + 1)

    def _node(self, place: Place) -> Node:
        node = Node(place, partial(self.reach, *place), self.moved)
        node.redis = self._connecting(
            node,
            self._clock,
            name=f"Redis at {self._written(*place)}",
            make=partial(self._make, node),
            greet=self._greet,
            scripts=self._scripts,
            order=self._order,
        )
        return node

    def end(self, leaving: Coroutine[Any, Any, None]) -> None:
        """Have a connection end, which nobody waits for but :meth:`ended`."""
        ending = Deferred.fromCoroutine(leaving)
        self._ending.add(ending)
        ending.addErrback(lambda failure: _log.failure("a connection is not ended", failure))
        ending.addCallback(lambda _: self._ending.discard(ending))

    async def ended(self) -> None:
        """Wait until all that is to end has."""
        await gatherResults([*self._ending])

    async def _let_go(self, node: Node) -> None:
        """End the connection to a node, which may answer before what was asked of it."""
        if node.redis.protocol is not None and self._looks.running:
            with suppress(StoreError, Refused, TimeoutError):
                await node.redis.protocol.execute_command("PING").addTimeout(ANSWER_S, self._clock)
        await node.redis.stop()

    @property
    def _is_whole(self) -> bool:
        """Whether each slot is at a node."""
        return None not in self.slots

    def place_of(self, key: bytes) -> Place | None:
        """Where the slot of a key, or of a channel, is; ``None`` where nobody knows."""
        node = self.slots[self.slot_of(key)]
        return None if node is None else node.place

    def master_at(self, host: str, port: int) -> Node | None:
        """The master at an address, by which a node may be told though it has a name."""
        return self.masters.get(self._topology.by_address.get((host, port), (host, port)))

    def any_master(self) -> Place:
        """Where a master is.

        :raises StoreUnavailable: nobody knows.
        """
        there = [place for place, node in self.masters.items() if node.redis.ready] or [*self.masters]
        if not there:
            raise StoreUnavailable("No node of the Redis Cluster is known.")
        return self._random.choice(there)

    def connection(
        self,
        make: Callable[[Any, float, int], Commands],
        greet: Callable[[Commands], Awaitable[None]],
        name: str,
        place: Place | None = None,
    ) -> Redis:
        """A connection to a master beside that for commands, not started yet; see :meth:`.IRedis.beside`.

        :param place: to which; ``None``: to any.
        """
        if place is None:
            return self._connecting(_AnyMaster(self), self._clock, name=name, make=make, greet=greet)
        return self._connecting(self.reach(*place), self._clock, name=f"{name} at {self._written(*place)}", make=make, greet=greet)

    async def once(self, *args: Argument) -> list[Any]:
        """Run a command on connections of their own to all masters.

        :return: their answers.
        :raises Exception: as of :meth:`.Redis.once`, or where a slot is at no node.
        """
        topology = await self._ask()
        owners = topology.owners()
        if None in owners:
            raise StoreUnavailable(_lacking(owners))
        return [await self._node(place).redis.once(*args) for place in sorted({*filter(None, owners)})]

    # -- being connected ---------------------------------------------------------------------------------------------

    async def until_known(self) -> None:
        """Wait until some nodes are known."""
        while not self.masters:
            await self._news()

    @property
    def is_ready(self) -> bool:
        """Whether each slot is at a node, and all these are connected."""
        return self._is_whole and all(node.redis.ready for node in self.masters.values())

    async def until_ready(self) -> None:
        """Wait until that is so."""
        while not self.is_ready:
            await self._news()

    async def until_there(self, key: bytes) -> None:
        """Wait until the node that has the slot of a key is connected."""
        while (node := self.slots[self.slot_of(key)]) is None or not node.redis.ready:
            await self._news()

    async def _news(self) -> None:
        await self.until_news(*(node.redis.when_ready() for node in self.masters.values() if not node.redis.ready))

    async def until_news(self, *events: Deferred[None]) -> None:
        """Wait for one of some events, or for the next look."""
        news: Deferred[None] = Deferred()

        def is_news(_: object) -> None:
            if not news.called:
                news.callback(None)

        waiting = [self._next_look(), *events]
        for each in waiting:
            each.addBoth(is_news)
        try:
            await news
        finally:
            for one in waiting:
                one.cancel()

    def _next_look(self) -> Deferred[None]:
        looked: Deferred[None] = Deferred(self._waiting.remove)
        self._waiting.append(looked)
        return looked
