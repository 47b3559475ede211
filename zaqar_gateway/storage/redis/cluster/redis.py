"""A Redis Cluster as one Redis: each command goes to the node that has the slot of its keys.

Each master has a connection of its own, on which order is kept; what concerns one project has one slot.  A command whose slot is
somewhere else by now is sent again, to where it is, as long as that cannot bring it behind a later one of the same client
(:mod:`zaqar_gateway.order`).  To follow ASK would be wrong: a step needs all keys of a project, and in the middle of a move they are at
two nodes.

Source: the Redis Cluster specification, "MOVED redirection" and "ASK redirection".
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from typing import Any

from twisted.internet.defer import Deferred, DeferredList
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.internet.task import deferLater
from zope.interface import implementer

from zaqar_gateway.errors import StoreUnavailable
from zaqar_gateway.order import Order
from zaqar_gateway.storage.redis.cluster.nodes import Node, Nodes
from zaqar_gateway.storage.redis.commands import Argument, Commands, Growing, Refused, Sent, SlotMoved, refusal
from zaqar_gateway.storage.redis.connection import Redis
from zaqar_gateway.storage.redis.interfaces import IRedis
from zaqar_gateway.storage.redis.packing import command as packed_command
from zaqar_gateway.storage.redis.scripts import Script

AGAIN_S = 0.05
"""After what time a command is sent again whose slot is being moved."""

_MOVED = re.compile(r"MOVED [0-9]+ (.*):([0-9]+)")


@implementer(IRedis)
class ClusterRedis:
    """What a store asks of a cluster.

    :param timeout_s: for how long a command is sent again whose slot is being moved.
    :param bound: how many such commands may wait.
    :param order: tells when requests may overtake each other; ``None``: never.
    """

    def __init__(
        self, nodes: Nodes, clock: IReactorTime, *, timeout_s: float = 5.0, bound: int = 10000, order: Order | None = None
    ) -> None:
        self.nodes = nodes
        self._slots = nodes.slots
        self._slot_of = nodes.slot_of
        self._clock = clock
        self._timeout_s = timeout_s
        self._bound = bound
        self._order = order
        self._held: list[Sent] = []
        self._held_slots: set[int] = set()
        self._again: IDelayedCall | None = None
        nodes.moved = self._moved

    def start(self) -> None:
        """See :meth:`Nodes.start`."""
        self.nodes.start()

    async def stop(self) -> None:
        """See :meth:`Nodes.stop`."""
        if self._again is not None and self._again.active():
            self._again.cancel()
        for sent in self._take_held():
            sent.fail(StoreUnavailable("There is no connection to Redis."))
        await self.nodes.stop()

    def when_ready(self) -> Deferred[None]:
        return Deferred.fromCoroutine(self.nodes.until_ready())

    def beside(
        self, make: Callable[[Any, float, int], Commands], greet: Callable[[Commands], Awaitable[None]], name: str
    ) -> Redis:
        return self.nodes.connection(make, greet, name)

    async def once(self, *args: Argument) -> list[Any]:
        """See :meth:`Nodes.once`."""
        return await self.nodes.once(*args)

    def pause(self, seconds: float) -> Deferred[None]:
        return deferLater(self._clock, seconds)

    def parts(self) -> Sequence[IRedis]:
        if not self.nodes.masters:
            raise StoreUnavailable("No node of the Redis Cluster is known.")
        return [node.redis for node in self.nodes.masters.values()]

    async def ping(self) -> None:
        """Find out whether one of them serves what it has, which needs none of the others."""
        self.parts()
        # PING is answered as well where the cluster is down.
        asking = [Deferred.fromCoroutine(node.redis.command(b"EXISTS", node.tag or b"")) for node in self.nodes.masters.values()]
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
                self.nodes.look_soon()
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
        self.nodes.look_soon()
        found = _MOVED.match(why)
        node = self.nodes.masters.get((found[1], int(found[2]))) if found else None
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
