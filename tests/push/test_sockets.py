"""What is pushed to the sockets of a process."""

from __future__ import annotations

from typing import Any

import msgspec
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from tests.push.fakes import QUEUE, Away, Socket, now, post
from zaqar_gateway.interfaces import IPushed, ISockets
from zaqar_gateway.model import LogBounds, NewMessage, NewPost, NewSubscription, Place
from zaqar_gateway.push.membership import Membership
from zaqar_gateway.push.sockets import FAILED, MISSED, TAKEN_FOR_DEAD, Sockets
from zaqar_gateway.storage.memory import MemoryStorage
from zaqar_gateway.testing.base import CLIENT

TOPIC = Place("p", "q", is_topic=True)


class SocketsTests(SynchronousTestCase):
    """Sockets of one process, on a store in memory."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.clock.advance(1_800_000_000)
        self.storage = MemoryStorage(self.clock, log_bounds=LogBounds(bytes_max=100_000))
        self.store = Away(self.storage.subscriptions)
        self.beats = Away(self.storage.deliveries)
        subscriptions: Any = self.store
        beats: Any = self.beats
        self.storage.subscriptions = subscriptions
        self.membership = Membership(beats, "g1", self.clock)
        self.sockets = Sockets(self.storage, self.membership, self.clock)
        self.membership.startService()

    def subscribe(self, socket: Socket, place: Place = QUEUE, *, ttl_s: int = 3600, cursor: str = "") -> str:
        """Subscribe a socket as a transport does; the id of the subscription."""
        subscriptions = self.storage.topic_subscriptions if place.is_topic else self.storage.subscriptions
        new = NewSubscription(socket.uri, ttl_s, owner=self.sockets.name, confirmed=True)
        placed = now(subscriptions.create(place.project, place.name, new))
        self.sockets.add(place, placed.id, cursor or placed.cursor, socket)
        return str(placed.id)

    def many(self, count: int, place: Place = QUEUE) -> list[Socket]:
        """Sockets, each with a subscription."""
        sockets = [Socket(f"http://127.0.0.1:1/{place.name}{place.is_topic}{n}") for n in range(count)]
        for socket in sockets:
            self.subscribe(socket, place)
        return sockets

    def post(self, *numbers: int, place: Place = QUEUE) -> None:
        """Post messages, and have the rings heard."""
        post(self.storage, *numbers, place=place)
        self.clock.pump([0] * 3)

    def live(self, place: Place = QUEUE) -> int:
        """How many subscriptions are live."""
        subscriptions = self.storage.topic_subscriptions if place.is_topic else self.storage.subscriptions
        return len(now(subscriptions.list(place.project, place.name, "", 1000)))

    def test_interface(self) -> None:
        """They are what the operations need."""
        verifyObject(ISockets, self.sockets)
        self.assertEqual(self.sockets.name, "g1")

    def test_push(self) -> None:
        """Each post after the subscription is pushed once, in order, as JSON and as MessagePack."""
        self.post(0)
        (socket,) = self.many(1)
        self.post(1, 2)
        self.post(3)
        self.clock.pump([1] * 20)
        self.assertEqual(socket.bodies, [1, 2, 3])
        verifyObject(IPushed, socket.pushed[0])
        self.assertEqual(
            msgspec.json.decode(socket.pushed[0].text),
            {"body": 1, "ttl": 3600, "queue_name": "q", "Message_Type": "Notification"},
        )
        self.assertEqual(
            msgspec.msgpack.decode(socket.pushed[0].packed), msgspec.json.decode(socket.pushed[0].text)
        )

    def test_places(self) -> None:
        """A socket gets what is posted where it has subscribed; a topic is not the queue of that name."""
        (socket,), (other,) = self.many(1), self.many(1, TOPIC)
        self.subscribe(socket, Place("p", "q2"))
        self.post(1)
        self.post(2, place=TOPIC)
        self.post(3, place=Place("p", "q2"))
        self.post(4, place=Place("p2", "q"))
        self.assertEqual((socket.bodies, other.bodies), ([1, 3], [2]))

    def test_shared(self) -> None:
        """One read and one encoding serve all sockets of a place."""
        sockets = self.many(50)
        self.store.calls.clear()
        self.post(1)
        self.assertTrue(all(socket.bodies == [1] for socket in sockets))
        self.assertLessEqual(self.store.calls.count("read"), 2)
        self.assertEqual(len({id(socket.pushed[0].text) for socket in sockets}), 1)

    def test_joining(self) -> None:
        """However many sockets subscribe, what there is to read is not read for each of them."""
        self.many(2)
        self.post(1)
        self.store.calls.clear()
        sockets = self.many(50)
        self.clock.pump([0] * 3)
        self.assertEqual(self.store.calls.count("read"), 0)
        self.post(2)
        self.assertTrue(all(socket.bodies == [2] for socket in sockets))

    def test_posted_before_added(self) -> None:
        """What is posted between the subscription and its socket being known is pushed too, to that socket alone."""
        (first,) = self.many(1)
        socket = Socket("http://127.0.0.1:1/b")
        new = NewSubscription(socket.uri, 3600, owner="g1", confirmed=True)
        placed = now(self.storage.subscriptions.create("p", "q", new))
        self.post(1)
        self.sockets.add(QUEUE, placed.id, placed.cursor, socket)
        self.post(2)
        self.assertEqual((first.bodies, socket.bodies), ([1, 2], [1, 2]))

    def test_added_during_a_read(self) -> None:
        """A socket with an older cursor than that which is being read from misses nothing."""
        (first,) = self.many(1)
        socket = Socket("http://127.0.0.1:1/b")
        new = NewSubscription(socket.uri, 3600, owner="g1", confirmed=True)
        placed = now(self.storage.subscriptions.create("p", "q", new))
        self.post(1)
        held = self.store.hold("read")
        self.post(2)
        self.sockets.add(QUEUE, placed.id, placed.cursor, socket)
        held.callback(None)
        self.assertEqual((first.bodies, socket.bodies), ([1, 2], [1, 2]))

    def test_ring_during_a_read(self) -> None:
        """A ring while a read is under way is not forgotten."""
        (socket,) = self.many(1)
        held = self.store.hold("read")
        self.post(1)
        self.post(2)
        self.assertEqual(socket.bodies, [])
        held.callback(None)
        self.assertEqual(socket.bodies, [1, 2])

    def test_many_posts(self) -> None:
        """Page follows page, and others have their turn meanwhile."""
        sockets = self.many(20)
        post(self.storage, *range(250))
        meanwhile: list[int] = []
        self.clock.callLater(0, lambda: meanwhile.append(sum(len(socket.pushed) for socket in sockets)))
        self.clock.advance(0)
        self.assertTrue(0 < meanwhile[0] <= 500, meanwhile)
        self.assertTrue(all(socket.bodies == list(range(250)) for socket in sockets))

    def test_lost_ring(self) -> None:
        """A ring that was lost is made up for within five seconds."""
        (socket,) = self.many(1)
        self.store.is_away = True
        self.post(1)
        self.store.is_away = False
        self.clock.advance(4)
        self.assertEqual(socket.bodies, [])
        self.clock.advance(1)
        self.assertEqual(socket.bodies, [1])

    def test_ended_subscription(self) -> None:
        """Who was unsubscribed, or whose time is over, gets nothing more; the others do."""
        deleted, expired, kept = self.many(1)[0], Socket("http://127.0.0.1:1/b"), Socket("http://127.0.0.1:1/c")
        (subscription,) = now(self.storage.subscriptions.list("p", "q", "", 10))
        self.subscribe(expired, ttl_s=60)
        self.subscribe(kept)
        self.post(1)
        now(self.storage.subscriptions.delete("p", "q", subscription.id))
        self.post(2)
        self.clock.pump([2] * 30)
        self.post(3)
        self.assertEqual((deleted.bodies, expired.bodies, kept.bodies), ([1], [1, 2], [1, 2, 3]))
        self.assertEqual((deleted.reasons, expired.reasons), ([], []))

    def test_live_is_asked_seldom(self) -> None:
        """Whether subscriptions are live is asked when one has changed, and then once for all of them."""
        sockets = self.many(3)
        self.post(1)
        self.store.calls.clear()
        self.post(2)
        self.post(3)
        self.assertEqual(self.store.calls.count("live"), 0)
        self.sockets.gone(sockets[0])
        self.post(4)
        self.post(5)
        self.assertEqual(self.store.calls.count("live"), 1)

    def test_nobody_left(self) -> None:
        """When the last subscription of a place has ended it is not read any more."""
        (socket,) = self.many(1)
        (subscription,) = now(self.storage.subscriptions.list("p", "q", "", 10))
        now(self.storage.subscriptions.delete("p", "q", subscription.id))
        self.clock.advance(5)
        self.store.calls.clear()
        self.clock.pump([5] * 3)
        self.assertEqual(self.store.calls, [])
        self.sockets.gone(socket)
        self.assertEqual(self.store.calls, [])

    def test_gone(self) -> None:
        """When a socket is gone its subscriptions end at once, those of others stay."""
        socket, other = self.many(2)
        self.subscribe(socket, TOPIC)
        self.sockets.gone(socket)
        self.assertEqual((self.live(), self.live(TOPIC)), (1, 0))
        self.post(1)
        self.assertEqual((socket.bodies, other.bodies), ([], [1]))

    def test_gone_while_away(self) -> None:
        """While the store is away it is tried again, more and more seldom, until it is done."""
        sockets = self.many(100)
        self.store.is_away = True
        for socket in sockets:
            self.sockets.gone(socket)
        self.clock.pump([0.25] * 120)
        self.assertLess(self.store.calls.count("delete"), 1000)
        self.store.is_away = False
        self.clock.pump([0.25] * 20)
        self.assertEqual(self.live(), 0)

    def test_gone_beside_what_is_away(self) -> None:
        """Subscriptions in a store that is away keep none elsewhere from ending, however many they are."""
        sockets, others = self.many(60), self.many(20, TOPIC)
        self.store.is_away = True
        for socket in (*sockets, *others):
            self.sockets.gone(socket)
        self.clock.pump([0.25] * 40)
        self.assertEqual(self.live(TOPIC), 0)
        self.store.is_away = False
        self.clock.pump([0.25] * 120)
        self.assertEqual(self.live(), 0)

    def test_slow_socket(self) -> None:
        """A socket that takes nothing is left at its cursor, whatever the others are pushed; when it takes again all comes in
        order, and its subscription is live meanwhile."""
        slow, other = self.many(2)
        slow.takes = False
        for number in range(250):
            self.post(number)
        self.assertEqual((slow.bodies, len(other.bodies)), ([], 250))
        self.store.calls.clear()
        self.clock.pump([1] * 30)
        self.assertEqual((slow.bodies, slow.reasons, self.live()), ([], [], 2))
        self.assertLess(self.store.calls.count("read"), 10)
        slow.take()
        self.clock.pump([0] * 5)
        self.assertEqual((slow.bodies, other.bodies), ([*range(250)], [*range(250)]))

    def test_slow_again_and_again(self) -> None:
        """What is pushed at one time is bounded, and goes on where it stopped."""
        (slow,) = self.many(1)
        slow.takes = False
        for number in range(7):
            new = [NewMessage(b"%d%s" % (number, b" " * 13_000))]
            now(self.storage.messages.post("p", "q", NewPost(CLIENT, new, size=1, ttl_default_s=3600, size_max=10**6)))
        self.clock.pump([0] * 5)

        def stop() -> None:
            slow.takes = False

        slow.then = stop
        for seen in (6, 7, 7):
            slow.take()
            self.clock.pump([0] * 5)
            self.assertEqual(slow.bodies, [*range(seen)])

    def test_slow_and_trimmed(self) -> None:
        """A socket for which the log was trimmed before it read on is closed with a reason."""
        slow, other = self.many(2)
        slow.takes = False
        for number in range(20):
            new = [NewMessage(b"%d%s" % (number, b" " * 10_000))]
            now(self.storage.messages.post("p", "q", NewPost(CLIENT, new, size=1, ttl_default_s=3600, size_max=10**6)))
            self.clock.pump([0] * 3)
        self.assertEqual((other.bodies, other.reasons, slow.reasons), ([*range(20)], [], []))
        slow.take()
        self.clock.pump([0] * 3)
        self.assertEqual((slow.pushed, slow.reasons), ([], [MISSED]))

    def test_slow_and_gone(self) -> None:
        """A socket that goes while it takes nothing is forgotten."""
        slow, _ = self.many(2)
        slow.takes = False
        self.post(1)
        self.sockets.gone(slow)
        slow.take()
        self.post(2)
        self.assertEqual((slow.bodies, self.live()), ([], 1))

    def test_gone_during_a_push(self) -> None:
        """A socket that goes while others are pushed to gets nothing more."""
        first, second = self.many(2)
        first.then = lambda: self.sockets.gone(second)
        self.post(1, 2)
        self.assertEqual((first.bodies, second.bodies), ([1, 2], []))

    def test_gap(self) -> None:
        """Sockets that missed posts for good are closed with a reason, and pushed nothing that would hide it."""
        behind = self.many(2)
        self.store.is_away = True
        for n in range(1, 3):
            self.clock.pump([2] * 31)
            self.post(n)
        self.store.is_away = False
        late = Socket("http://127.0.0.1:1/late")
        self.subscribe(late)
        self.post(3)
        for socket in behind:
            self.assertEqual((socket.reasons, socket.bodies), ([MISSED], []))
        self.assertEqual((late.reasons, late.bodies), ([], [3]))
        self.assertEqual(self.live(), 1)

    def test_failing_socket(self) -> None:
        """A socket that cannot be pushed to is closed; the others get what was posted."""
        broken, socket = self.many(2)
        broken.then = lambda: print(1 // 0)
        self.post(1)
        self.post(2)
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        self.assertEqual((broken.bodies, broken.reasons), ([1], [FAILED]))
        self.assertEqual((socket.bodies, self.live()), ([1, 2], 1))

    def test_taken_for_dead(self) -> None:
        """When the store had taken the process for dead all sockets are closed, once each, to subscribe again."""
        other = Membership(self.storage.deliveries, "g2", self.clock)
        other.startService()
        (socket,) = self.many(1)
        self.subscribe(socket, TOPIC)
        self.beats.is_away = True
        self.clock.pump([2] * 6)
        self.assertEqual((self.live(), socket.reasons), (0, []))
        self.beats.is_away = False
        self.clock.advance(2)
        self.assertEqual(socket.reasons, [TAKEN_FOR_DEAD])

    def test_reasons(self) -> None:
        """Reasons fit into a close frame (RFC 6455, section 5.5)."""
        for reason in (FAILED, MISSED, TAKEN_FOR_DEAD):
            self.assertLessEqual(len(reason.encode("ascii")), 123)

    def test_stop(self) -> None:
        """After the stop nothing is pushed or read, and no timer is left."""
        (socket,) = self.many(1)
        self.sockets.stop()
        self.successResultOf(self.membership.stopService())
        self.post(1)
        self.assertEqual((socket.bodies, self.live()), ([], 0))
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_stop_during_a_read(self) -> None:
        """A read that ends after the stop pushes nothing."""
        (socket,) = self.many(1)
        held: Deferred[None] = self.store.hold("read")
        self.post(1)
        self.sockets.stop()
        held.callback(None)
        self.assertEqual(socket.bodies, [])
