"""Which gateway processes live: said by each of them to the store, and told to whoever here has to know."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from hashlib import blake2b

from twisted.application.service import Service
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import LoopingCall
from twisted.logger import Logger

from zaqar_gateway.errors import StoreError
from zaqar_gateway.interfaces import IDeliveryStore
from zaqar_gateway.model import Place

_log = Logger()

BEAT_S = 2.0


class Membership(Service):
    """Says that this process lives, from start to stop, and hears who else does.

    :ivar gateway: the name of this process; no other has it, nor has had it.
    """

    def __init__(self, store: IDeliveryStore, gateway: str, clock: IReactorTime) -> None:
        self._store = store
        self.gateway = gateway
        self._names: Sequence[str] = ()
        self._departed: list[Callable[[], None]] = []
        self._beaten: list[Callable[[bool], None]] = []
        self._beats = LoopingCall(lambda: Deferred.fromCoroutine(self._beat()))
        self._beats.clock = clock

    def on_departure(self, call: Callable[[], None]) -> None:
        """Have something called when a gateway has ended, however it did."""
        self._departed.append(call)

    def on_beat(self, call: Callable[[bool], None]) -> None:
        """Have something called after each beat that reached the store.

        :param call: is told whether this process had been taken for dead: subscriptions of its sockets are gone then.
        """
        self._beaten.append(call)

    def is_ours(self, place: Place) -> bool:
        """Whether this is the gateway that answers a ring for a place.  Gateways that know each other agree on it.

        Rendezvous hashing: of each place every gateway has a rank, and when one ends only its places change hands.
        """
        others = [name for name in self._names if name != self.gateway]
        return not others or max((_rank(name, place), name) for name in [self.gateway, *others])[1] == self.gateway

    def startService(self) -> None:
        """Begin to beat."""
        super().startService()
        self._beats.start(BEAT_S).addErrback(lambda failure: _log.failure("beating has ended", failure))

    def stopService(self) -> Deferred[None]:
        """End to beat, and say so; what delivers has to have stopped before."""
        super().stopService()
        if self._beats.running:
            self._beats.stop()
        return Deferred.fromCoroutine(self._leave())

    async def _beat(self) -> None:
        try:
            names, was_dead = await self._store.beat(self.gateway)
        except StoreError as error:  # once is enough within eight seconds
            _log.debug("a beat was lost: {why}", why=str(error))
            return
        departed, self._names = set(self._names) - set(names), names
        for beaten in self._beaten:
            beaten(was_dead)
        for left in self._departed if departed else ():
            left()

    async def _leave(self) -> None:
        try:
            await self._store.leave(self.gateway)
        except StoreError as error:
            _log.debug("not said that this gateway ends: {why}", why=str(error))


def _rank(name: str, place: Place) -> bytes:
    text = "\0".join((name, "topic" if place.is_topic else "queue", place.project, place.name))
    return blake2b(text.encode(), digest_size=8).digest()
