"""Rings of a Redis Cluster: of a queue, at the node that has it (SPUBLISH, Redis 7), so that no other node has to do with them.

That something became owed is told to all nodes, and heard at any of them.

A node that loses a slot ends what listens to channels of it, unasked.  What Redis answers cannot tell that from the end that was asked
for in the same moment, so that such a connection begins anew, which is never wrong.  Source: Redis' documentation of SSUBSCRIBE.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IReactorTime

from zaqar_gateway.errors import StoreUnavailable
from zaqar_gateway.storage.redis.cluster.nodes import Nodes
from zaqar_gateway.storage.redis.cluster.redis import ClusterRedis
from zaqar_gateway.storage.redis.cluster.topology import Place
from zaqar_gateway.storage.redis.commands import Commands, Refused, Sent, refusal, together
from zaqar_gateway.storage.redis.doorbells import Doorbells, tell
from zaqar_gateway.storage.redis.keys import Keys
from zaqar_gateway.storage.redis.listening import Listening
from zaqar_gateway.storage.redis.packing import command


class _NodeListening(Listening):
    """A connection that hears what is published in the slots of a node.

    :param moved: is told that a channel is not there, or not any more.
    """

    def __init__(
        self, heard: Callable[[bytes, bytes], None], moved: Callable[[], None], clock: Any, timeout_s: float, bound: int
    ) -> None:
        super().__init__(heard, clock, timeout_s, bound)
        self._moved = moved

    def _answered(self, sent: Sent, value: Any) -> None:
        if type(value) is list and value[0] == b"sunsubscribe" and sent.command != command(b"SUNSUBSCRIBE", value[1]):
            sent.fail(StoreUnavailable("A slot is at another node."))
            self._begin_anew()
        else:
            super()._answered(sent, value)

    def _refused(self, sent: Sent, error: Refused) -> None:
        super()._refused(sent, error)
        self._begin_anew()

    def _unasked(self, value: Any) -> None:
        self._begin_anew()

    def _begin_anew(self) -> None:
        self._moved()
        self.transport.abortConnection()


class _Ear:
    """What listens at one node.

    :param channels: what is to be heard there, as of now.
    :param ring: is told that something may have been missed in a channel.
    :param missed: is told that the node is there again: what was to be noted there meanwhile, in the schedule as well, is not.
    """

    def __init__(
        self,
        nodes: Nodes,
        place: Place,
        heard: Callable[[bytes, bytes], None],
        channels: Callable[[Place], list[bytes]],
        ring: Callable[[bytes], None],
        missed: Callable[[], None],
    ) -> None:
        self._missed = missed
        self._place = place
        self._channels = channels
        self._ring = ring
        self._look = nodes.look_soon
        self.protocol: Commands | None = None
        self.redis = nodes.connection(partial(_NodeListening, heard, self._moved), self._greet, "Redis (to listen)", place)

    def _moved(self) -> None:
        self._look()
        if self.redis.ready:  # else it is tried again after a pause, since what is known is not so yet
            self.redis.connect_anew()

    async def _greet(self, protocol: Commands) -> None:
        self.protocol = protocol
        channels = self._channels(self._place)
        try:
            await together(*(protocol.execute_command(b"SSUBSCRIBE", channel) for channel in channels))
        except Refused as error:
            raise refusal(str(error)) from None
        for channel in channels:
            self._ring(channel)
        self._missed()


class ClusterDoorbells(Doorbells):
    """Channels of a Redis Cluster.

    :param redis: the cluster; what listens is made beside it.
    """

    def __init__(self, redis: ClusterRedis, keys: Keys, clock: IReactorTime) -> None:
        super().__init__(redis, keys, clock)
        self._nodes = redis.nodes
        self._ears: dict[Place, _Ear] = {}
        self._at: dict[bytes, Place | None] = {}  # where each channel is listened for
        self._is_running = False
        redis.nodes.on_change(self._nodes_changed)

    def start(self) -> None:
        super().start()
        self._is_running = True
        self._nodes_changed()

    async def stop(self) -> None:
        self._is_running = False
        await super().stop()
        for place in [*self._ears]:
            self._end(place)
        await self._nodes.ended()

    def when_ready(self) -> Deferred[None]:
        return Deferred.fromCoroutine(self._until_ready())

    async def _until_ready(self) -> None:
        await super().when_ready()
        await self._nodes.until_ready()
        while away := [ear for ear in self._ears.values() if not ear.redis.ready]:
            await self._nodes.until_news(away[0].redis.when_ready())

    async def caught_up(self) -> None:
        await super().caught_up()
        await together(*(ear.redis.ping() for ear in self._ears.values()))

    def _nodes_changed(self) -> None:
        """Listen where the slots are."""
        if not self._is_running:
            return
        places = self._nodes.masters.keys()
        for place in self._ears.keys() - places:
            self._end(place)
        for place in places - self._ears.keys():
            ear = _Ear(self._nodes, place, self._heard, self._channels_at, self._ring_all, self._tell_missed)
            self._ears[place] = ear
            ear.redis.start()
        heard_at = self._protocol.place if self._protocol is not None else None
        if heard_at is not None and heard_at not in places and places:
            super().follow(self._nodes.any_master())
        for channel in [*self._watching]:
            if self._nodes.place_of(channel) != self._at.get(channel):
                self._listen(channel).addCallback(lambda _, which: self._ring_all(which), channel)

    def _end(self, place: Place) -> None:
        self._nodes.end(self._ears.pop(place).redis.stop())

    def _channels(self) -> list[bytes]:
        return []

    def _channels_at(self, place: Place) -> list[bytes]:
        here = [channel for channel in self._watching if self._nodes.place_of(channel) == place]
        self._at.update(dict.fromkeys(here, place))
        return here

    def _listen(self, channel: bytes) -> Deferred[Any]:
        place = self._nodes.place_of(channel)
        self._at[channel] = place
        ear = None if place is None else self._ears.get(place)
        return tell(ear.protocol, b"SSUBSCRIBE", channel) if ear is not None else succeed(None)

    def _ignore(self, channel: bytes) -> None:
        place = self._at.pop(channel, None)
        if place is not None and place in self._ears:
            tell(self._ears[place].protocol, b"SUNSUBSCRIBE", channel)

    def _ping(self) -> None:
        super()._ping()
        for ear in self._ears.values():
            if ear.redis.ready:
                tell(ear.protocol, b"PING")
