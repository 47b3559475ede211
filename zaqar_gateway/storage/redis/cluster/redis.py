"""A Redis Cluster as one Redis: each command goes to the node that has the slot of its keys.

Each master has a connection of its own, on which order is kept; what concerns one project has one slot.  A command whose slot is
somewhere else by now waits, with all that come after it (:mod:`.lines`), and is sent to where it is.  To follow ASK would be wrong: a
step needs all keys of a project, and in the middle of a move they are at two nodes.

Source: the Redis Cluster specification, "MOVED redirection" and "ASK redirection".
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from typing import Any

from twisted.internet.defer import Deferred, DeferredList
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater
from zope.interface import implementer

from zaqar_gateway.errors import StoreUnavailable
from zaqar_gateway.storage.redis.cluster.lines import AGAIN_S, Lines
from zaqar_gateway.storage.redis.cluster.nodes import Node, Nodes
from zaqar_gateway.storage.redis.commands import Argument, Commands, Growing, Refused, Sent, SlotMoved, refusal
from zaqar_gateway.storage.redis.connection import Redis
from zaqar_gateway.storage.redis.interfaces import IRedis
from zaqar_gateway.storage.redis.packing import command as packed_command
from zaqar_gateway.storage.redis.scripts import Script

_MOVED = re.compile(r"MOVED [0-9]+ (.*):([0-9]+)")


class _Turn(Sent):
    """Stands for several commands that wait together, and is given the node when it is their turn."""

    def __init__(self) -> None:
        super().__init__(b"", None)

    def again(self) -> _Turn:
        """The next one, at the same place."""
        other = _Turn()
        other.slot, other.nth, other.give_up_s = self.slot, self.nth, self.give_up_s
        return other


@implementer(IRedis)
class ClusterRedis:
    """What a store asks of a cluster.

    :param timeout_s: for how long a command waits whose slot is being moved.
    :param bound: how many such commands may wait.
    """

    def __init__(self, nodes: Nodes, clock: IReactorTime, *, timeout_s: float = 5.0, bound: int = 10000) -> None:
        self.nodes = nodes
        self._slots = nodes.slots
        self._slot_of = nodes.slot_of
        self._clock = clock
        self._nth = 0
        self._lines = Lines(clock, self._submit, timeout_s, bound)
        nodes.moved = self._moved
        nodes.on_change(self._lines.try_again)

    def start(self) -> None:
        """See :meth:`Nodes.start`."""
        self.nodes.start()

    async def stop(self) -> None:
        """See :meth:`Nodes.stop`."""
        ended = StoreUnavailable("There is no connection to Redis.")
        self._lines.stop(ended)
        await self.nodes.stop()
        self._lines.stop(ended)  # what came back meanwhile

    def when_ready(self, key: bytes | None = None) -> Deferred[None]:
        return Deferred.fromCoroutine(self.nodes.until_ready() if key is None else self.nodes.until_there(key))

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
        # One is enough; another may be frozen, and would be waited for until its deadline.
        answers = await DeferredList(asking, fireOnOneCallback=True, consumeErrors=True)
        if isinstance(answers, list):
            answers[0][1].raiseException()

    # -- commands ----------------------------------------------------------------------------------------------------

    def _submit(self, sent: Sent) -> Sent:
        """Send a command to the node that has its slot, or have it wait; one that cannot be sent has failed."""
        if not self._waits(sent):
            node = self._slots[sent.slot]
            protocol = None if node is None else node.redis.protocol
            if node is None or protocol is None:
                self._not_there(node, sent)
            elif isinstance(sent, _Turn):
                sent.give(node)
            else:
                protocol.submit(sent)
        return sent

    def _waits(self, sent: Sent) -> bool:
        """Whether others of its slot wait, so that it waits as well, or has failed."""
        if sent.slot not in self._lines:
            return False
        self._wait(sent)
        return True

    def _wait(self, sent: Sent) -> None:
        if not self._lines.add(sent):
            sent.fail(refusal("TRYAGAIN"))

    def _not_there(self, node: Node | None, sent: Sent) -> None:
        if node is None:
            what = "has this slot" if self.nodes.masters else "can be reached"
            sent.fail(StoreUnavailable(f"No node of the Redis Cluster {what}."))
        elif self._clock.seconds() >= node.expected_until_s:
            sent.fail(StoreUnavailable("There is no connection to the node of the Redis Cluster that has this slot."))
        else:
            self._wait(sent)

    def _next(self, sent: Sent, slot: int) -> None:
        """Note the slot of a command, and its place in the order."""
        self._nth += 1
        sent.slot, sent.nth = slot, self._nth

    def _send(self, slot: int, command: bytes, script: Script | None = None) -> Sent:
        sent = Sent(command, script)
        self._next(sent, slot)
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
        return None if node is None or slot in self._lines else node.redis.growing(kind, overtakes)

    def send(self, sent: Growing, kind: Any) -> None:
        self._next(sent, self._slot_for(kind))
        node = self._slots[sent.slot]
        if self._waits(sent):
            pass
        elif node is not None and node.redis.ready:
            node.redis.send(sent, kind)
        else:
            self._not_there(node, sent)

    async def transaction(self, key: bytes, number: int, *packed: bytes, script: Script | None = None) -> list[Any]:
        # What a script refuses (common.lua) would not keep the others from taking effect; what is refused here does.
        guard = [packed_command(b"EXISTS", key + b":!")] if b"{" in key else []
        turn = _Turn()
        self._next(turn, self._slot_of(key))
        self._submit(turn)
        while True:
            redis: Redis = (await turn).redis
            protocol = redis.protocol
            try:
                answers = await redis.transaction(key, number + len(guard), *guard, *packed, script=script)
            except SlotMoved:
                turn = turn.again()
                if not self._lines.add(turn, protocol):
                    raise
            else:
                return answers[len(guard) :]

    async def in_order(self, *steps: Coroutine[Any, Any, Any]) -> list[Any]:
        answers = []
        try:
            for step in steps:
                answers.append(await step)
        finally:
            for step in steps[len(answers) :]:
                step.close()
        return answers

    def _moved(self, protocol: Commands, sent: Sent, why: str) -> bool:
        """See :attr:`.Commands.moved`."""
        self.nodes.look_soon()
        found = _MOVED.match(why)
        node = self.nodes.master_at(found[1], int(found[2])) if found else None
        if node is not None and sent.slot >= 0:
            self._slots[sent.slot] = node  # the next look tells more
        return self._lines.add(sent, protocol, 0.0 if node is not None else AGAIN_S)
