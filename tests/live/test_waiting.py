"""Requests that wait: who is rung for, who looks and how often, and how waits end."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine
from types import SimpleNamespace
from typing import Any

from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer
from zope.interface.verify import verifyObject

from zaqar_gateway.clocks import time_of_day
from zaqar_gateway.errors import StoreUnavailable, TooManyRequests
from zaqar_gateway.interfaces import IAsker, IWaits
from zaqar_gateway.live.waiting import LOOK_S, Waits
from zaqar_gateway.model import Claim, Message, NewMessage, NewPost, Place
from zaqar_gateway.storage.memory import MemoryStorage
from zaqar_gateway.testing.base import clock_at_epoch

PLACE = Place("p", "q")


@implementer(IAsker)
class Asker:
    """Somebody who waits, until they hang up."""

    def __init__(self) -> None:
        self.left = False
        self.until_s: float | None = None
        self.calls: list[Callable[[], None]] = []

    def when_left(self, call: Callable[[], None]) -> Callable[[], None]:
        """See :class:`IAsker`."""
        self.calls.append(call)
        return lambda: self.calls.remove(call)

    def leave(self) -> None:
        """Hang up."""
        self.left = True
        for call in list(self.calls):
            call()


class WaitCase(SynchronousTestCase):
    """A test of waits over a store in memory."""

    def setUp(self) -> None:
        self.clock = clock_at_epoch()
        self.store = MemoryStorage(self.clock)
        self.looks = 0
        self.aside: list[int] = []
        self.refused: list[str] = []
        self.waits = Waits(
            self.store,
            self.clock,
            most=5,
            refused=self.refused.append,
            aside=lambda: self.aside.append(1),
            back=lambda: self.aside.append(-1),
        )

    def tearDown(self) -> None:
        """Nothing goes on once nobody waits."""
        self.waits.stop()
        self.clock.advance(0)
        self.assertEqual(self.clock.getDelayedCalls(), [])
        self.assertEqual(sum(self.aside), 0)

    def begin(self, work: Coroutine[Any, Any, Any]) -> Deferred[Any]:
        """Start something."""
        return Deferred.fromCoroutine(work)

    def post(self, count: int = 1, *, client: bytes = b"c", delay_s: int | None = None, ttl_s: int = 3600) -> None:
        """Post messages whose bodies are numbers, and let the ring come."""
        new = [NewMessage(b"%d" % number, ttl_s, delay_s) for number in range(count)]
        posting = self.store.messages.post("p", "q", NewPost(client, new, size=1, ttl_default_s=60, size_max=100))
        self.successResultOf(self.begin(posting))
        self.settle()

    def settle(self) -> None:
        """Let all that is to happen now happen."""
        for _ in range(50):
            self.clock.advance(0)

    def pop(self, wait_s: int = 20, *, asker: Asker | None = None, limit: int = 1) -> Deferred[Any]:
        """Pop, and wait for that."""

        def look() -> Awaitable[list[Message]]:
            self.looks += 1
            return self.store.messages.pop("p", "q", limit)  # type: ignore[return-value]

        return self.begin(self.waits.until_found(PLACE, wait_s, asker, look, bool, takes=True))

    def claim(self, wait_s: int = 20) -> Deferred[Any]:
        """Claim a message, and wait for that."""

        def look() -> Awaitable[Claim | None]:
            self.looks += 1
            return self.store.claims.create("p", "q", 60, 60, 1)

        return self.begin(self.waits.until_found(PLACE, wait_s, None, look, bool, takes=True))

    def list(self, wait_s: int = 20, *, client: bytes = b"other") -> Deferred[Any]:
        """List what others have posted, and wait for that."""

        async def look() -> list[bytes]:
            self.looks += 1
            page = await self.store.messages.list(
                "p",
                "q",
                marker=None,
                limit=10,
                skip_client=client,
                include_claimed=False,
                include_delayed=False,
            )
            return [message.body for message in page.messages]

        return self.begin(self.waits.until_found(PLACE, wait_s, None, look, bool, takes=False))


class WaitTests(WaitCase):
    """One who waits."""

    def test_interface(self) -> None:
        """It provides what the operations need."""
        verifyObject(IWaits, self.waits)

    def test_at_once(self) -> None:
        """What is there is had in one look, and nobody watches."""
        self.post()
        self.assertEqual(len(self.successResultOf(self.pop())), 1)
        self.assertEqual((self.looks, self.aside, self.clock.getDelayedCalls()), (1, [], []))

    def test_ring(self) -> None:
        """A post is had when it rings."""
        popping, listing = self.pop(), self.list()
        self.clock.advance(0.5)
        self.assertNoResult(popping)
        self.post()
        self.assertEqual(self.successResultOf(popping)[0].body, b"0")
        self.successResultOf(listing)

    def test_end(self) -> None:
        """At the end of the time the answer is what the last look gave."""
        popping, listing = self.pop(3), self.list(2)
        self.clock.pump([1, 0.75])
        self.assertNoResult(listing)
        self.clock.advance(0.25)
        self.assertEqual(self.successResultOf(listing), [])
        self.assertNoResult(popping)
        self.clock.advance(1)
        self.assertEqual(self.successResultOf(popping), [])

    def test_time_of_the_first_look_counts(self) -> None:
        """A store that is slow does not make the wait longer."""
        slow: Deferred[list[Message]] = Deferred()
        looks: list[Deferred[list[Message]]] = [slow, Deferred()]
        waiting = self.begin(self.waits.until_found(PLACE, 3, None, lambda: looks.pop(0), bool, takes=True))
        self.clock.advance(2)
        second = looks[0]
        slow.callback([])
        self.clock.advance(1)
        self.assertNoResult(waiting)  # a look is under way
        second.callback([])
        self.assertEqual(self.successResultOf(waiting), [])

    def test_lost_ring(self) -> None:
        """A ring that is lost only delays."""
        deaf: Any = SimpleNamespace(messages=self.store.messages, doorbells=MemoryStorage(self.clock).doorbells)
        self.waits = Waits(deaf, self.clock)
        popping, listing = self.pop(), self.list()
        self.clock.advance(1)
        self.post(2)
        self.assertNoResult(popping)
        self.clock.pump([1] * int(LOOK_S))
        self.successResultOf(popping)
        self.successResultOf(listing)

    def test_lapse(self) -> None:
        """The messages of a claim that lapses are had in that instant."""
        self.post()
        self.successResultOf(self.claim())
        self.clock.advance(45.5)
        popping, listing = self.pop(), self.list()
        self.clock.pump([1] * 14)
        self.assertNoResult(popping)
        self.clock.advance(0.25)
        self.assertNoResult(popping)
        self.clock.advance(0.25)
        self.settle()
        self.successResultOf(popping)
        self.successResultOf(listing)

    def test_gone_before(self) -> None:
        """Who has hung up when the first look ends does not wait."""
        asker = Asker()
        asker.leave()
        self.assertEqual(self.successResultOf(self.pop(asker=asker)), [])
        self.assertEqual(self.looks, 1)

    def test_hang_up(self) -> None:
        """Who hangs up is let go at once, and takes nothing after that."""
        asker = Asker()
        popping = self.pop(asker=asker)
        self.clock.advance(1)
        asker.leave()
        self.assertEqual(self.successResultOf(popping), [])
        self.assertEqual(asker.calls, [])
        self.post()
        self.assertEqual(len(self.successResultOf(self.pop())), 1)

    def test_access_ends(self) -> None:
        """A wait ends with what lets somebody ask, with what there was, and takes nothing later; one that lasts longer changes nothing."""
        asker = Asker()
        for left_s, waits_s in ((3, 3), (30, 20), (0, 0), (-5, 0)):
            asker.until_s = time_of_day(self.clock) + left_s
            waiting = self.pop(asker=asker)
            if waits_s:
                self.clock.advance(waits_s - 1)
                self.assertNoResult(waiting)
            self.clock.advance(1)
            self.assertEqual(self.successResultOf(waiting), [])
        self.post()
        self.assertEqual(len(self.successResultOf(self.pop(asker=asker))), 1)

    def test_failure(self) -> None:
        """A look that fails ends the wait, and that alone."""

        async def fail() -> None:
            if self.looks == 1:
                raise StoreUnavailable("It is away.")
            self.looks += 1

        self.looks = -1
        failing = self.begin(self.waits.until_found(PLACE, 9, None, fail, bool, takes=True))
        self.assertNoResult(failing)
        popping = self.pop()
        self.looks = 1
        self.post()
        self.failureResultOf(failing, StoreUnavailable)
        self.successResultOf(popping)

    def test_store_that_cannot_be_asked(self) -> None:
        """Where it is not known when messages come, they are waited for as before."""

        async def away(project: str, queue: str) -> None:
            raise StoreUnavailable("It is away.")

        unsure: Any = SimpleNamespace(messages=SimpleNamespace(due_in=away), doorbells=self.store.doorbells)
        self.waits = Waits(unsure, self.clock)
        popping = self.pop()
        self.clock.pump([1] * 3)
        self.post()
        self.successResultOf(popping)


class TurnTests(WaitCase):
    """Many who wait."""

    def test_in_their_order(self) -> None:
        """Takers get messages in the order in which they came; one post has as many look as there is something for, and one."""
        popping = [self.pop() for _ in range(5)]
        self.settle()
        self.looks = 0
        self.post(2)
        self.assertEqual([self.successResultOf(one)[0].body for one in popping[:2]], [b"0", b"1"])
        self.assertEqual(self.looks, 3)
        for one in popping[2:]:
            self.assertNoResult(one)
        self.post(1)
        self.successResultOf(popping[2])
        self.assertEqual(self.looks, 5)

    def test_ring_within_a_look(self) -> None:
        """What rings while the first one looks has it look once more."""
        looks: list[Deferred[list[int]]] = []

        def look() -> Deferred[list[int]]:
            looks.append(Deferred())
            return looks[-1]

        waiting = self.begin(self.waits.until_found(PLACE, 9, None, look, bool, takes=True))
        looks.pop().callback([])
        self.post()  # within the second look
        looks.pop().callback([])
        looks.pop().callback([1])
        self.assertEqual(self.successResultOf(waiting), [1])

    def test_readers_all_look(self) -> None:
        """A post has all readers look, those whose own it is in vain; they do so a thousand times a second at most."""
        own = [self.list(client=b"c") for _ in range(4)]
        self.settle()
        self.looks = 0
        for _ in range(10):
            self.post(client=b"c")
        self.assertEqual(self.looks, 4)
        self.clock.advance(0.004)
        self.assertEqual(self.looks, 8)
        self.post(client=b"other")
        self.clock.advance(0.004)
        for one in own:
            self.assertEqual(len(self.successResultOf(one)), 1)

    def test_thousands(self) -> None:
        """So many who take from a store that answers at once do not pile up on the stack."""
        self.waits = Waits(self.store, self.clock, most=0)
        popping = [self.pop() for _ in range(3000)]
        self.post(3000)
        for _ in range(3000):
            self.clock.advance(0)
        for one in popping:
            self.successResultOf(one)

    def test_bound(self) -> None:
        """More of a project than may wait are refused; one who finds something at once need not wait, nor does another project."""
        popping = [self.pop() for _ in range(5)]
        error = self.failureResultOf(self.pop(), TooManyRequests).value
        self.assertEqual((error.retry_after_s, self.refused), (1, ["p"]))
        self.assertIn("5 requests of the project wait here", str(error))
        elsewhere = Place("other", "q")
        waiting = self.begin(self.waits.until_found(elsewhere, 1, None, self._nothing, bool, takes=True))
        self.assertNoResult(waiting)
        self.clock.advance(1)
        self.successResultOf(waiting)
        self.post()
        self.successResultOf(popping[0])
        self.assertNoResult(self.pop())

    async def _nothing(self) -> list[int]:
        return []

    def test_stop(self) -> None:
        """All are answered when the gateway stops, and nobody waits after that."""
        popping, listing = self.pop(), self.list()
        self.waits.stop()
        self.assertEqual((self.successResultOf(popping), self.successResultOf(listing)), ([], []))
        self.assertEqual(self.successResultOf(self.pop()), [])

    def test_aside(self) -> None:
        """Who begins to wait is told of, and who waits no longer."""
        popping = self.pop()
        self.assertEqual(self.aside, [1])
        self.post()
        self.successResultOf(popping)
        self.assertEqual(self.aside, [1, -1])
