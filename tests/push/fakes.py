"""Collaborators of the tests of deliveries."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import msgspec
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from zope.interface import implementer

from zaqar_gateway.errors import StoreFault, StoreUnavailable
from zaqar_gateway.identity.signed_url import UrlSigner
from zaqar_gateway.interfaces import IDoorbells, IListener, INotifier, IPushed
from zaqar_gateway.model import Delivery, NewMessage, NewPost, NewSubscription, Place, Verdict
from zaqar_gateway.push.attempts import Attempts
from zaqar_gateway.push.circuits import Circuits
from zaqar_gateway.push.dispatcher import Dispatcher
from zaqar_gateway.push.membership import Membership
from zaqar_gateway.push.payload import Notices
from zaqar_gateway.push.turns import Pace, Turns, at_once
from zaqar_gateway.storage.memory import MemoryStorage
from zaqar_gateway.testing.base import CLIENT

OK = Verdict(True)
AGAIN = Verdict(False, True, "it answered 500")
FINAL = Verdict(False, False, "it answered 404")

QUEUE = Place("p", "q")


def post(storage: MemoryStorage, *numbers: int, place: Place = QUEUE) -> None:
    """Post messages whose bodies are numbers, each in a post of its own."""
    messages = storage.topic_messages if place.is_topic else storage.messages
    for number in numbers:
        new = [NewMessage(b"%d" % number)]
        now(messages.post(place.project, place.name, NewPost(CLIENT, new, size=1, ttl_default_s=3600, size_max=1000)))


def subscribe(
    storage: MemoryStorage, subscriber: str, *, place: Place = QUEUE, ttl_s: int = 10**6, **more: Any
) -> str:
    """Make a subscription; its id."""
    subscriptions = storage.topic_subscriptions if place.is_topic else storage.subscriptions
    placed = now(subscriptions.create(place.project, place.name, NewSubscription(subscriber, ttl_s, **more)))
    return str(placed.id)


def now(work: Any) -> Any:
    """The result of a coroutine that has to end at once."""
    results: list[Any] = []
    Deferred.fromCoroutine(work).addBoth(results.append)
    (result,) = results
    if hasattr(result, "raiseException"):
        result.raiseException()
    return result


Answer = Verdict | Exception | None


@implementer(INotifier)
class Receivers:
    """Notifies in memory: subscribers answer as they were told to, or else well.

    :ivar schemes: see :class:`~zaqar_gateway.interfaces.INotifier`.
    :ivar sent: all attempts.
    :ivar open: attempts that nobody has answered yet, by subscriber.
    """

    schemes: Sequence[str] = ("http", "mailto")

    def __init__(self) -> None:
        self.sent: list[Delivery] = []
        self.open: dict[str, list[Deferred[Verdict]]] = {}
        self._answers: dict[str, Callable[[Delivery], Answer]] = {}

    def answer(self, subscriber: str, how: Callable[[Delivery], Answer] | Verdict | None) -> None:
        """Have a subscriber answer like this; ``None``: not before the test does."""
        self._answers[subscriber] = how if callable(how) else lambda delivery: how

    def check(self, subscriber: str, options: dict[str, object]) -> None:
        """See :class:`~zaqar_gateway.interfaces.INotifier`."""

    async def send(self, delivery: Delivery) -> Verdict:
        """See :class:`~zaqar_gateway.interfaces.INotifier`."""
        self.sent.append(delivery)
        how = self._answers.get(delivery.subscriber)
        answer = OK if how is None else how(delivery)
        if answer is None:
            waiting: Deferred[Verdict] = Deferred()
            self.open.setdefault(delivery.subscriber, []).append(waiting)
            return await waiting
        if isinstance(answer, Exception):
            raise answer
        return answer

    def bodies(self, subscriber: str) -> list[int]:
        """What a subscriber was sent, each attempt."""
        return [
            msgspec.json.decode(each.payload)["body"]
            for each in self.sent
            if each.subscriber == subscriber and not each.notice
        ]

    def clear(self) -> None:
        """Forget the attempts so far."""
        self.sent.clear()


class Away:
    """A part of a store that can be away, slow or faulty.

    :ivar is_away: whether it is.
    :ivar faulty: a place of which it reports a fault.
    :ivar calls: the names of the methods that were called.
    """

    def __init__(self, part: Any) -> None:
        self._part = part
        self.is_away = False
        self.faulty: Place | None = None
        self.calls: list[str] = []
        self._held: dict[str, Deferred[None]] = {}
        self._stalled: dict[str, list[Callable[[], Any]]] = {}

    def hold(self, name: str) -> Deferred[None]:
        """Have the next call of a method wait, before it does anything, until this is fired."""
        self._held[name] = Deferred()
        return self._held[name]

    def stall(self, name: str) -> list[Callable[[], Any]]:
        """Have the next call of a method be given up, and its outcome be unknown.

        :return: what does it, late; there once it was called.
        """
        return self._stalled.setdefault(name, [])

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._part, name)

        async def call(*args: Any, **kwargs: Any) -> Any:
            self.calls.append(name)
            if name in self._stalled:
                self._stalled.pop(name).append(partial(method, *args, **kwargs))
                raise StoreUnavailable("It did not answer.", outcome_unknown=True)
            if name in self._held:
                await self._held.pop(name)
            if self.is_away:
                raise StoreUnavailable("The store is away.")
            if args and args[0] == self.faulty:
                raise StoreFault(cause="a key is missing")
            return await method(*args, **kwargs)

        return call


@implementer(IDoorbells)
class Silence:
    """Doorbells that nobody hears.

    :ivar missed: what to call when rings may have been lost.
    """

    missed: Callable[[], None]

    def attend(self, ring: Callable[[Place], None], missed: Callable[[], None]) -> None:
        """See :class:`~zaqar_gateway.interfaces.IDoorbells`."""
        self.missed = missed

    def watch(self, place: Place, ring: Callable[[], None]) -> Callable[[], None]:
        """See :class:`~zaqar_gateway.interfaces.IDoorbells`."""
        return lambda: None

    def watch_changes(self, place: Place, ring: Callable[[], None]) -> Callable[[], None]:
        """See :class:`~zaqar_gateway.interfaces.IDoorbells`."""
        return lambda: None


class Process:
    """The deliveries of one gateway process.

    :ivar store: of its deliveries.
    """

    def __init__(
        self,
        clock: Clock,
        storage: MemoryStorage,
        receivers: Receivers,
        *,
        name: str = "g1",
        workers: int = 100,
        per_host: int = 32,
        couriers: int = 200,
        circuits: Circuits | None = None,
        required: bool = False,
        keys: tuple[str, ...] = ("secret",),
        doorbells: IDoorbells | None = None,
        pace: Pace = at_once,
    ) -> None:
        self.store = Away(storage.deliveries)
        deliveries: Any = self.store
        self.membership = Membership(deliveries, name, clock)
        self.dispatcher = Dispatcher(
            deliveries,
            doorbells or storage.doorbells,
            self.membership,
            Attempts(
                dict.fromkeys(receivers.schemes, receivers),
                Notices(UrlSigner(keys, clock)),
                Turns(workers, per_host),
                circuits or Circuits(0, 30, clock.seconds),
                clock.seconds,
                pace,
            ),
            clock,
            couriers_max=couriers,
            required=required,
            monotonic=clock.seconds,
            pace=pace,
        )

    def start(self) -> None:
        """Start the services."""
        self.membership.startService()
        self.dispatcher.startService()

    def end(self, clock: Clock) -> None:
        """Stop, and wait until all that is under way has ended."""
        stopping = [self.dispatcher.stopService(), self.membership.stopService()]
        clock.pump([0.5] * 30)
        assert all(each.called for each in stopping)

    def kill(self) -> None:
        """Have the process do nothing more to the store, as if it had ended without notice."""
        self.store.is_away = True


@implementer(IListener)
class Socket:
    """A connection that keeps what is pushed to it.

    :ivar pushed: the notifications.
    :ivar reasons: why it was closed.
    :ivar then: called after each push.
    :ivar takes: whether it takes pushes.
    """

    def __init__(self, uri: str = "http://127.0.0.1:1/a") -> None:
        self.uri = uri
        self.pushed: list[IPushed] = []
        self.reasons: list[str] = []
        self.then: Callable[[], None] = lambda: None
        self.takes = True
        self._waiting: list[Callable[[], None]] = []

    def when_takes(self, call: Callable[[], None]) -> None:
        """See :class:`~zaqar_gateway.interfaces.IListener`."""
        self._waiting.append(call)

    def take(self) -> None:
        """Take pushes again."""
        self.takes = True
        waiting, self._waiting = self._waiting, []
        for call in waiting:
            call()

    def push(self, *messages: IPushed) -> None:
        """See :class:`~zaqar_gateway.interfaces.IListener`."""
        self.pushed += messages
        self.then()

    def fail(self, reason: str) -> None:
        """See :class:`~zaqar_gateway.interfaces.IListener`."""
        self.reasons.append(reason)

    @property
    def bodies(self) -> list[int]:
        """The bodies of the notifications."""
        return [msgspec.json.decode(each.text)["body"] for each in self.pushed]
