"""A Redis Cluster as one Redis: each command goes to the node that has the slot of its keys.

Each master has a connection of its own, on which order is kept; what concerns one project has one slot.  Which node has what is looked
up each second, and at once where a node refuses a slot.  Such a command is sent again, to where the slot is by then, as long as that
cannot bring it behind a later one of the same client (:mod:`zaqar_gateway.order`).  To follow ASK would be wrong: a step needs all keys
of a project, and in the middle of a move they are at two nodes.

Source: the Redis Cluster specification, "MOVED redirection", "ASK redirection" and "Client's first connection".
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from functools import lru_cache, partial
from random import Random, SystemRandom
from typing import Any

from twisted.application.internet import TimerService
from twisted.internet.defer import CancelledError, Deferred, DeferredList, gatherResults, succeed
from twisted.internet.interfaces import IDelayedCall, IProtocol, IProtocolFactory, IReactorTime, IStreamClientEndpoint
from twisted.internet.task import deferLater
from twisted.logger import Logger
from zope.interface import implementer

from zaqar_gateway.errors import StoreUnavailable
from zaqar_gateway.order import Order
from zaqar_gateway.storage.redis.cluster.slots import SLOTS, slot_of, tag_in
from zaqar_gateway.storage.redis.cluster.topology import Place, Topology, View, merged, read
from zaqar_gateway.storage.redis.commands import Argument, Commands, Growing, Refused, Sent, SlotMoved, refusal
from zaqar_gateway.storage.redis.connection import Redis
from zaqar_gateway.storage.redis.gathering import gather
from zaqar_gateway.storage.redis.interfaces import IRedis
from zaqar_gateway.storage.redis.packing import command as packed_command
from zaqar_gateway.storage.redis.scripts import Script

_log = Logger()

LOOK_S = 1.0
"""How often it is looked up which node has what."""

AGAIN_S = 0.05
"""After what time a command is sent again whose slot is being moved."""

EXPECTED_S = 1.0
"""How long a node that just got its first slot may take to be connected; what is for it waits meanwhile."""

_MOVED = re.compile(r"MOVED [0-9]+ (.*):([0-9]+)")


@implementer(IStreamClientEndpoint)
class Node:
    """A master.

    :param endpoint: how it is reached.
    :param moved: see :attr:`.Commands.moved`.
    :ivar place: where it is.
    :ivar redis: the connection to it.
    :ivar replicas: how many of its replicas may take its part.
    :ivar tag: a hash tag that is in one of its slots.
    :ivar expected_until_s: what is for it may wait until then for the first connection.
    """

    redis: Redis

    def __init__(self, place: Place, endpoint: IStreamClientEndpoint, moved: Callable[[Sent, str], bool]) -> None:
        self.place = place
        self.replicas = 0
        self.tag: bytes | None = None
        self.expected_until_s = 0.0
        self._endpoint = endpoint
        self._moved = moved

    def connect(self, protocolFactory: IProtocolFactory) -> Deferred[IProtocol]:
        return self._endpoint.connect(protocolFactory).addCallback(self._arrived)

    def _arrived(self, protocol: Any) -> IProtocol:
        protocol.place, protocol.electable, protocol.moved = self.place, self.replicas, self._moved
        return protocol  # type: ignore[no-any-return]


@implementer(IStreamClientEndpoint)
class _AnyMaster:
    """Whichever master can be reached."""

    def __init__(self, cluster: ClusterRedis) -> None:
        self._cluster = cluster

    def connect(self, protocolFactory: IProtocolFactory) -> Deferred[IProtocol]:
        return Deferred.fromCoroutine(self._connect(protocolFactory))

    async def _connect(self, factory: IProtocolFactory) -> IProtocol:
        await self._cluster.until_known()
        place = self._cluster.any_master()
        protocol: Any = await self._cluster.reach(*place).connect(factory)
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


@implementer(IRedis)
class ClusterRedis:
    """The nodes of a cluster.

    :param seeds: where some of them are.
    :param reach: makes an endpoint of a host and a port.
    :param written: host and port as people write them.
    :param connecting: makes connections to nodes, as :class:`.Redis` does; with the login and the bounds of all of them.
    :param make: makes the protocol of a connection to a master: (the node, clock, ``timeout_s``, ``bound``) to protocol.
    :param greet: what is done on each connection to a master before anybody else may use it.
    :param scripts: loaded there.
    :param timeout_s: for how long a command is sent again whose slot is being moved.
    :param bound: how many such commands may wait.
    :param order: tells when requests may overtake each other; ``None``: never.
    :ivar nodes: the masters that have slots.
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
        timeout_s: float = 5.0,
        bound: int = 10000,
        order: Order | None = None,
        random: Random | None = None,
    ) -> None:
        self._seeds = seeds
        self.reach = reach
        self._written = written
        self._clock = clock
        self._connecting = connecting
        self._make = make
        self._greet = greet
        self._scripts = scripts
        self._timeout_s = timeout_s
        self._bound = bound
        self._order = order
        self._random = random or SystemRandom()
        self.nodes: dict[Place, Node] = {}
        self._topology = Topology()
        self._slots: list[Node | None] = [None] * SLOTS
        self._slot_of = lru_cache(maxsize=16384)(slot_of)
        self._changed: list[Callable[[], None]] = []
        self._looking: Deferred[None] | None = None
        self._looks = TimerService(LOOK_S, self.look)
        self._looks.clock = clock
        self._soon: IDelayedCall | None = None
        self._held: list[Sent] = []
        self._held_slots: set[int] = set()
        self._again: IDelayedCall | None = None
        self._waiting: list[Deferred[None]] = []  # for the next look
        self._ending: set[Deferred[None]] = set()
        self._told = ""

    # -- which node has what -----------------------------------------------------------------------------------------

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
        for call in (self._soon, self._again):
            if call is not None and call.active():
                call.cancel()
        for sent in self._take_held():
            sent.fail(StoreUnavailable("There is no connection to Redis."))
        self._use(Topology())
        await gatherResults(self._ending)

    def on_change(self, changed: Callable[[], None]) -> None:
        """Have something told when another node has something than before."""
        self._changed.append(changed)

    def look(self) -> Deferred[None]:
        """Look which node has what, unless that is being done."""
        if self._looking is not None:
            return succeed(None)
        self._looking = Deferred.fromCoroutine(self._look())
        self._looking.addErrback(lambda failure: failure.trap(CancelledError) and None)
        return self._looking

    def look_soon(self) -> None:
        """Look once more, since something is not where it was."""
        if self._looks.running and (self._soon is None or not self._soon.active()):
            self._soon = self._clock.callLater(AGAIN_S, self.look)

    async def _look(self) -> None:
        try:
            topology = await self._ask()
        except StoreUnavailable as error:
            if str(error) != self._told:
                self._told = str(error)
                _log.error("{why}", why=str(error))
            return
        finally:
            self._looking = None
        self._told = ""
        self._use(topology)
        waiting, self._waiting = self._waiting, []
        for one in waiting:
            one.callback(None)

    async def _ask(self) -> Topology:
        """What the nodes tell: the masters and one other one, or, where one of these does not answer, all that are known.

        :raises StoreUnavailable: none tells.
        """
        masters = {place: node.redis.protocol for place, node in self.nodes.items()}
        asked = {place: self._ask_on(place, protocol) for place, protocol in masters.items() if protocol is not None}
        others = {*self._seeds, *self._topology.places}.difference(asked)
        if asked and others:
            one = self._random.choice(sorted(others))
            asked[one] = self._ask_at(one)
        gathered = await gather(self._clock, {self._written(*place): asking for place, asking in asked.items()})
        views: list[View] = [*gathered.told.values()]
        if len(views) < len(asked) or not self._is_whole:
            rest = others.difference(asked)
            more = await gather(self._clock, {self._written(*place): self._ask_at(place) for place in rest})
            gathered.failed.update(more.failed)
            views += more.told.values()
        if not views:
            raise StoreUnavailable(f"No node of the Redis Cluster tells which there are; {gathered.why()}.")
        return merged(views)

    async def _ask_on(self, place: Place, protocol: Commands) -> View:
        return await self._told_by(place, protocol.execute_command("CLUSTER", "NODES"))

    async def _ask_at(self, place: Place) -> View:
        redis = self._connecting(self.reach(*place), self._clock, name=self._written(*place), may_follow=True)
        return await self._told_by(place, redis.once("CLUSTER", "NODES"))

    async def _told_by(self, place: Place, asking: Awaitable[bytes]) -> View:
        """:raises StoreUnavailable: it does not tell."""
        try:
            return read((await asking).decode(), place)
        except Refused as error:
            raise StoreUnavailable(f"it answers: {error}") from None
        except (AttributeError, ValueError) as error:
            raise StoreUnavailable(f"it does not answer as a node of a cluster does: {error}") from None

    def _use(self, topology: Topology) -> None:
        """Go by what was told."""
        for place, node in self.nodes.items():
            node.replicas = topology.replicas.get(place, 0)
            node.redis.follow(place, node.replicas)
        if topology.claimed == self._topology.claimed:
            self._topology = topology
            return
        self._topology = topology
        owners = topology.owners()
        there = {place for place in owners if place is not None}
        is_news = there != self.nodes.keys()
        for place in self.nodes.keys() - there:
            self._end(self.nodes.pop(place))
        for place in sorted(there - self.nodes.keys()):
            self.nodes[place] = self._begin(place)
        self._slots = [None if place is None else self.nodes[place] for place in owners]
        for node in self.nodes.values():
            if node.tag is None or self._slots[slot_of(node.tag)] is not node:
                node.tag = tag_in(lambda slot, node=node: self._slots[slot] is node)  # type: ignore[misc]
        if is_news and there:
            _log.info("masters of the Redis Cluster: {names}", names=", ".join(self._written(*place) for place in sorted(there)))
        if there and None in owners:
            _log.error("{why} What is kept there is refused.", why=_lacking(owners))
        for changed in self._changed:
            changed()

    def _begin(self, place: Place) -> Node:
        node = self._node(place)
        node.expected_until_s = self._clock.seconds() + EXPECTED_S
        node.redis.start()
        return node

    def _node(self, place: Place) -> Node:
        node = Node(place, self.reach(*place), self._moved)
        node.replicas = self._topology.replicas.get(place, 0)
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

    def _end(self, node: Node) -> None:
        ending = Deferred.fromCoroutine(node.redis.stop())
        self._ending.add(ending)
        ending.addErrback(lambda failure: _log.failure("a connection is not ended", failure))
        ending.addCallback(lambda _: self._ending.discard(ending))

    @property
    def _is_whole(self) -> bool:
        """Whether each slot is at a node."""
        return None not in self._slots

    def place_of(self, key: bytes) -> Place | None:
        """Where the slot of a key, or of a channel, is; ``None`` where nobody knows."""
        node = self._slots[self._slot_of(key)]
        return None if node is None else node.place

    def any_master(self) -> Place:
        """Where a master is.

        :raises StoreUnavailable: nobody knows.
        """
        there = [place for place, node in self.nodes.items() if node.redis.ready] or [*self.nodes]
        if not there:
            raise StoreUnavailable("No node of the Redis Cluster is known.")
        return self._random.choice(there)

    def beside(
        self,
        make: Callable[[Any, float, int], Commands],
        greet: Callable[[Commands], Awaitable[None]],
        name: str,
        place: Place | None = None,
    ) -> Redis:
        """Another connection to a master, not started yet; see :meth:`.Redis.beside`.

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

    def when_ready(self) -> Deferred[None]:
        return Deferred.fromCoroutine(self._until_ready())

    async def until_known(self) -> None:
        """Wait until some nodes are known."""
        while not self.nodes:
            await self._next_look()

    def _next_look(self) -> Deferred[None]:
        looked: Deferred[None] = Deferred(self._waiting.remove)
        self._waiting.append(looked)
        return looked

    async def _until_ready(self) -> None:
        while not self._is_whole:
            await self._next_look()
        for node in [*self.nodes.values()]:
            await node.redis.when_ready()

    def pause(self, seconds: float) -> Deferred[None]:
        return deferLater(self._clock, seconds)

    def parts(self) -> Sequence[IRedis]:
        if not self.nodes:
            raise StoreUnavailable("No node of the Redis Cluster is known.")
        return [node.redis for node in self.nodes.values()]

    async def ping(self) -> None:
        """Find out whether one of them serves what it has, which needs none of the others."""
        self.parts()
        # PING is answered as well where the cluster is down.
        asking = [Deferred.fromCoroutine(node.redis.command(b"EXISTS", node.tag or b"")) for node in self.nodes.values()]
        answers = await DeferredList(asking, consumeErrors=True)
        if not any(is_there for is_there, _ in answers):
            answers[0][1].raiseException()

    # -- commands ----------------------------------------------------------------------------------------------------

    def _submit(self, sent: Sent) -> Sent:
        """Send a command to the node that has its slot, or have it wait; one that cannot be sent has failed."""
        node = self._slots[sent.slot]
        if self._is_behind(sent):
            pass
        elif node is not None and node.redis.protocol is not None:
            node.redis.protocol.submit(sent)
        else:
            self._not_there(node, sent)
        return sent

    def _is_behind(self, sent: Sent) -> bool:
        """Whether a command waits now, since others of its slot do."""
        return sent.slot in self._held_slots and self._hold(sent)

    def _not_there(self, node: Node | None, sent: Sent) -> None:
        if node is None:
            sent.fail(StoreUnavailable("No node of the Redis Cluster has this slot."))
        elif self._clock.seconds() >= node.expected_until_s:
            sent.fail(StoreUnavailable("There is no connection to the node of the Redis Cluster that has this slot."))
        elif not self._hold(sent):
            sent.fail(refusal("MOVED"))

    def _send(self, slot: int, command: bytes, script: Script | None = None) -> Sent:
        sent = Sent(command, script)
        sent.slot = slot
        return self._submit(sent)

    async def command(self, *args: Argument) -> Any:
        key = args[1]
        try:
            return await self._send(self._slot_of(key if isinstance(key, bytes) else str(key).encode()), packed_command(*args))
        except Refused as error:
            raise refusal(str(error)) from None

    async def script(self, script: Script, keys: Sequence[bytes], args: Sequence[Argument]) -> Any:
        return await self._send(self._slot_of(keys[0]), packed_command(b"EVALSHA", script.sha, len(keys), *keys, *args), script)

    def run(self, script: Script, count: int, *packed: bytes) -> Deferred[Any]:
        command = b"".join((b"*%d\r\n" % (count + 3), script.by_sum, *packed))
        return self._send(self._slot_of(packed[0]), command, script)

    def _slot_for(self, kind: Any) -> int:
        return self._slot_of(kind[0] if type(kind) is tuple else kind.incarnation)

    def growing(self, kind: Any, overtakes: bool = True) -> Growing | None:
        slot = self._slot_for(kind)
        node = self._slots[slot]
        return None if node is None or slot in self._held_slots else node.redis.growing(kind, overtakes)

    def send(self, sent: Growing, kind: Any) -> None:
        sent.slot = self._slot_for(kind)
        node = self._slots[sent.slot]
        if self._is_behind(sent):
            pass
        elif node is not None and node.redis.ready:
            node.redis.send(sent, kind)
        else:
            self._not_there(node, sent)

    async def transaction(self, key: bytes, number: int, *packed: bytes) -> list[Any]:
        slot, give_up_s = self._slot_of(key), self._clock.seconds() + self._timeout_s
        while True:
            node = self._slots[slot]
            if node is None:
                raise StoreUnavailable("No node of the Redis Cluster has this slot.")
            try:
                return await node.redis.transaction(key, number, *packed)
            except SlotMoved:
                self.look_soon()
                if not self._may_wait or self._clock.seconds() >= give_up_s:
                    raise
            await self.pause(AGAIN_S)

    async def in_order(self, *steps: Coroutine[Any, Any, Any]) -> list[Any]:
        answers = []
        try:
            for step in steps:
                answers.append(await step)
        finally:
            for step in steps[len(answers) :]:
                step.close()
        return answers

    # -- what another node has ---------------------------------------------------------------------------------------

    @property
    def _may_wait(self) -> bool:
        """Whether a command may be sent again, behind others that came after it."""
        return self._order is not None and not self._order.several

    def _moved(self, sent: Sent, why: str) -> bool:
        """See :attr:`.Commands.moved`."""
        self.look_soon()
        found = _MOVED.match(why)
        node = self.nodes.get((found[1], int(found[2]))) if found else None
        if node is not None and sent.slot >= 0:
            self._slots[sent.slot] = node  # the next look tells more
        return self._hold(sent, 0.0 if node is not None else AGAIN_S)

    def _hold(self, sent: Sent, again_s: float = AGAIN_S) -> bool:
        """Have a command wait until it can be sent, again or for the first time, if it may.

        :param again_s: when that is tried.
        """
        if sent.slot < 0 or sent.number > 1 or not self._may_wait or len(self._held) >= self._bound:
            return False
        now_s = self._clock.seconds()
        if not sent.give_up_s:
            sent.give_up_s = now_s + self._timeout_s
        elif sent.give_up_s <= now_s:
            return False
        self._held.append(sent)
        self._held_slots.add(sent.slot)
        if self._again is None or not self._again.active():
            self._again = self._clock.callLater(again_s, self._send_again)
        return True

    def _take_held(self) -> list[Sent]:
        held, self._held = self._held, []
        self._held_slots.clear()
        return held

    def _send_again(self) -> None:
        for sent in self._take_held():
            self._submit(sent)
