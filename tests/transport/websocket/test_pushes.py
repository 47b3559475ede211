"""Pushes: their place among the replies, their form, and peers that do not read them; over memory and a clock."""

from __future__ import annotations

import json
import zlib
from typing import Any

import msgpack
from attrs import define, field
from twisted.internet.address import IPv4Address, IPv6Address, UNIXAddress
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer
from zope.interface.verify import verifyObject

from tests.helpers import PROJECT, Pushed, RecordedSockets
from tests.transport.websocket.client import (
    CLOSE,
    Peer,
    Transport,
    frame,
    handshake,
    make_factory,
    packed,
    status,
    text,
)
from tests.transport.websocket.test_protocol import DEFLATE, HeldQueues
from zaqar_gateway.errors import StoreUnavailable
from zaqar_gateway.interfaces import IListener, IPushed, ISockets
from zaqar_gateway.model import NewSubscription, Place, Placed, Subscription
from zaqar_gateway.storage.memory import MemoryStorage
from zaqar_gateway.transport.websocket.bounds import WebSocketBounds
from zaqar_gateway.transport.websocket.protocol import Pushes

NOTE = Pushed({"body": {"n": 1}, "ttl": 60, "queue_name": "q", "Message_Type": "Notification"})
LARGE = Pushed({"body": "".join(map(str, range(2000)))})


@define
class HeldSubscriptions:
    """Answers ``create`` and ``list`` when the test says so, and keeps what was to be made."""

    new: list[NewSubscription] = field(factory=list)
    waiting: list[Deferred[Any]] = field(factory=list)

    async def create(self, project: str, queue: str, new: NewSubscription) -> Placed:
        self.new.append(new)
        self.waiting.append(Deferred())
        await self.waiting[-1]
        return Placed(f"s{len(self.new)}", True, False, "0")

    async def list(self, project: str, queue: str, marker: str, limit: int) -> list[Subscription]:
        self.waiting.append(Deferred())
        await self.waiting[-1]
        return []

    def release(self) -> None:
        """Answer the oldest call."""
        self.waiting.pop(0).callback(None)


class PushCase(SynchronousTestCase):
    """Connections over memory."""

    def setUp(self) -> None:
        self.clock = Clock()
        self.storage = MemoryStorage(self.clock)
        self.sockets = RecordedSockets()

    def peer(self, opening: bytes | None = None, transport: Transport | None = None, **bounds: Any) -> Peer:
        self.factory = make_factory(self.storage, self.clock, WebSocketBounds(**bounds), sockets=self.sockets)
        return Peer(self.factory, opening, transport=transport)

    def subscribe(self, peer: Peer, queue: str = "q", *, binary: bool = False, **members: Any) -> Any:
        """Have a connection subscribe itself; the reply."""
        request = (packed if binary else text)("subscription_create", queue_name=queue, **members)
        peer.send(request, kind=2 if binary else 1)
        (reply,) = peer.replies()
        return reply


class LastWord(RecordedSockets):
    """Has something pushed to connections that are gone, as live subscriptions do."""

    def gone(self, listener: IListener) -> None:
        """See :class:`~zaqar_gateway.interfaces.ISockets`."""
        super().gone(listener)
        listener.push(NOTE)


class CollaboratorTests(PushCase):
    """What stands for others here, and what stands for a connection elsewhere."""

    def test_interfaces(self) -> None:
        """They have the methods of what they stand for."""
        verifyObject(ISockets, self.sockets)
        verifyObject(IPushed, NOTE)
        verifyObject(IListener, self.peer().protocol)


class LostTests(PushCase):
    """A connection that is lost."""

    def test_last_word(self) -> None:
        """What is pushed to it then goes nowhere, while a request of it is under way as well; nobody waits for it."""
        self.sockets = LastWord()
        queues = self.storage.queues = HeldQueues()
        peer = self.peer()
        peer.send(text("queue_get", queue_name="a"))
        peer.transport.abortConnection()
        self.assertEqual((self.sockets.left, self.factory.connections), ([peer.protocol], set()))
        queues.release("a")
        self.successResultOf(self.factory.close_all())
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_subscribes(self) -> None:
        """A request to subscribe that is under way when it is lost finds a name for the subscription, whose socket has none any more."""

        class Closing(Transport):
            def getHost(self) -> Any:
                if self.disconnecting:
                    raise OSError(9, "Bad file descriptor")
                return super().getHost()

        peer = self.peer(transport=Closing())
        peer.transport.abortConnection()
        self.assertRegex(peer.protocol.uri, "^http://localhost:0/[0-9a-f-]{36}$")

    def test_what_is_wrong(self) -> None:
        """Nor does anybody where something goes wrong as it ends."""

        class Broken(RecordedSockets):
            def gone(self, listener: IListener) -> None:
                raise ZeroDivisionError

        self.sockets = Broken()
        peer = self.peer()
        self.assertRaises(ZeroDivisionError, peer.transport.abortConnection)
        self.successResultOf(self.factory.close_all())
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_never_gone(self) -> None:
        """One that is not gone after it was dropped is not waited for."""
        peer = self.peer()
        peer.transport.protocol = None
        closed = self.factory.close_all(10)
        self.clock.advance(10)
        self.assertNoResult(closed)
        self.clock.advance(5)
        self.successResultOf(closed)


class Subscribing(PushCase):
    """``subscription_create`` of the connection itself."""

    def test_subscribed(self) -> None:
        """It is answered with its id, and made known with the place and the cursor."""
        peer = self.peer()
        bodies: list[dict[str, Any]] = [{}, {"subscriber": ""}]
        for body in bodies:
            queue = f"q{len(body)}"
            reply = self.subscribe(peer, queue, **body)
            place, subscription_id, _, listener = self.sockets.added[-1]
            self.assertEqual((status(reply), place, listener), (201, Place(PROJECT, queue), peer.protocol))
            message = f"Subscription {queue} created."
            self.assertEqual(reply["body"], {"subscription_id": subscription_id, "message": message})
        reply = self.subscribe(peer, "q0")
        self.assertEqual((status(reply), reply["body"]), (409, "Subscription q0 not created."))
        self.assertEqual(len(self.sockets.added), 2)

    def test_listed(self) -> None:
        """It is listed as any other, with a URI of its own."""
        first, second = self.peer(), self.peer()
        seen = set()
        for peer in (first, second):
            self.subscribe(peer)
            peer.send(text("subscription_list", queue_name="q"))
            (reply,) = peer.replies()
            seen |= {shown["subscriber"] for shown in reply["body"]["subscriptions"]}
        self.assertEqual(seen, {first.protocol.uri, second.protocol.uri})
        self.assertEqual(len(seen), 2)

    def test_uri(self) -> None:
        """The URI has the address and the port that the gateway is bound to."""
        for address, start in (
            (IPv4Address("TCP", "127.0.0.1", 9000), "http://127.0.0.1:9000/"),
            (IPv6Address("TCP", "::1", 8888), "http://[::1]:8888/"),
            (UNIXAddress("/run/x"), "http://localhost:0/"),
        ):
            transport = Transport(hostAddress=address)
            peer = self.peer(transport=transport)
            uri = peer.protocol.uri
            self.assertRegex(uri[len(start) :], "^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$")
            self.assertEqual((uri[: len(start)], peer.protocol.uri), (start, uri))

    def test_subscriber_that_looks_so(self) -> None:
        """Who gives the URI of a connection as a subscriber subscribes no connection."""
        peer = self.peer()
        self.assertEqual(status(self.subscribe(peer, subscriber=peer.protocol.uri)), 201)
        self.assertEqual(self.sockets.added, [])

    def test_refused(self) -> None:
        """What breaks a rule is a 400 and subscribes nobody."""
        peer = self.peer()
        for queue, members in (("a b", {}), ("q", {"ttl": 59}), ("q", {"ttl": "60"}), ("q", {"options": []})):
            self.assertEqual(status(self.subscribe(peer, queue, **members)), 400, members)
        for subscriber in ("fake", "email://x", None, 5):
            self.assertEqual(status(self.subscribe(peer, subscriber=subscriber)), 400, subscriber)
        self.assertEqual(self.sockets.added, [])

    def test_alone(self) -> None:
        """It runs alone on its socket: what comes before has ended, what comes after waits."""
        held = self.storage.subscriptions = HeldSubscriptions()  # type: ignore[assignment]
        peer = self.peer()
        request = text("subscription_list", queue_name="q")
        peer.send(request, text("subscription_create", queue_name="q"), request)
        self.assertEqual((len(held.waiting), held.new), (1, []))
        held.release()
        self.assertEqual((len(held.waiting), len(held.new)), (1, 1))
        held.release()
        self.assertEqual(len(held.waiting), 1)
        held.release()
        self.assertEqual([status(reply) for reply in peer.replies()], [200, 201, 200])

    def test_unknown_outcome(self) -> None:
        """A connection that may be subscribed without getting anything is closed, to come again."""
        held = self.storage.subscriptions = HeldSubscriptions()  # type: ignore[assignment]
        peer = self.peer()
        peer.send(text("subscription_create", queue_name="q"))
        held.waiting[0].errback(StoreUnavailable("away", outcome_unknown=True))
        self.assertEqual(peer.close_code(), 1013)


class Order(PushCase):
    """The place of a push among the replies."""

    def setUp(self) -> None:
        super().setUp()
        self.queues = HeldQueues()
        self.storage.queues = self.queues

    def told(self, peer: Peer) -> list[Any]:
        """What came: the queue of a reply, the body of a push."""
        return [
            reply["request"]["body"]["queue_name"] if "request" in reply else reply["body"] for reply in peer.replies()
        ]

    def get(self, *queues: str) -> tuple[bytes, ...]:
        return tuple(text("queue_get", queue_name=queue) for queue in queues)

    def test_idle(self) -> None:
        """A push is the payload and nothing else, at once."""
        peer = self.peer()
        peer.protocol.push(NOTE)
        self.assertEqual(peer.replies(), [NOTE.document])

    def test_behind_replies(self) -> None:
        """It waits for the replies to all requests that came before it, and for no other."""
        peer = self.peer()
        peer.send(*self.get("a", "b"))
        peer.protocol.push(Pushed({"body": 1}))
        peer.protocol.push(Pushed({"body": 2}))
        peer.send(*self.get("c"))
        peer.protocol.push(Pushed({"body": 3}))
        self.queues.release("c", "b")
        self.assertEqual(self.told(peer), [])
        self.queues.release("a")
        self.assertEqual(self.told(peer), ["a", "b", 1, 2, "c", 3])
        peer.protocol.push(Pushed({"body": 4}))
        self.assertEqual(self.told(peer), [4])

    def test_after_first_reply(self) -> None:
        """It is there as soon as the last of those replies is."""
        peer = self.peer()
        peer.send(*self.get("a"))
        peer.protocol.push(Pushed({"body": 1}))
        peer.send(*self.get("b"))
        self.queues.release("a")
        self.assertEqual(self.told(peer), ["a", 1])

    def test_behind_waiting_request(self) -> None:
        """A request that waits to run alone came before it too."""
        peer = self.peer()
        create = text("subscription_create", queue_name="q", subscriber="http://a")
        peer.send(*self.get("a"), create, *self.get("b"))
        peer.protocol.push(Pushed({"body": 1}))
        self.assertEqual(self.told(peer), [])
        self.queues.release("a")
        self.assertEqual(self.told(peer), ["a", "q", 1])
        self.queues.release("b")
        self.assertEqual(self.told(peer), ["b"])

    def test_beside_one_that_waits_for_messages(self) -> None:
        """A request that waits for messages holds up no push, unless the reply to another request is behind it."""
        peer = self.peer()
        calls: list[None] = []
        peer.send(*self.get("a"))
        stay = peer.protocol.when_left(lambda: calls.append(None))
        peer.protocol.push(Pushed({"body": 1}))
        self.assertEqual(self.told(peer), [1])
        peer.send(*self.get("b"))
        peer.protocol.push(Pushed({"body": 2}))
        self.queues.release("b")
        self.assertEqual(self.told(peer), [])
        stay()
        self.queues.release("a")
        self.assertEqual(self.told(peer), ["a", "b", 2])
        self.assertEqual(calls, [])

    def test_not_in_flight(self) -> None:
        """Pushes that wait take no place of a request."""
        peer = self.peer(in_flight_max=2)
        peer.send(*self.get("a"))
        for _ in range(10):
            peer.protocol.push(NOTE)
        self.assertTrue(peer.read)
        peer.send(*self.get("b"))
        self.assertEqual(self.queues.started, ["a", "b"])

    def test_not_finished_by_pushes(self) -> None:
        """A gateway that stops writes what came before the end of the last request."""
        peer = self.peer()
        peer.send(*self.get("a"))
        self.factory.close_all()
        peer.protocol.push(Pushed({"body": 1}))
        self.queues.release("a")
        *frames, (last, _) = peer.received()
        self.assertEqual([json.loads(payload).get("body") for _, payload in frames], [{"is": "a"}, 1])
        self.assertEqual(last, 0x80 | CLOSE)


class Forms(PushCase):
    """JSON or MessagePack, compressed or not."""

    def test_of_connection(self) -> None:
        """All pushes have the form of the last request that subscribed the connection; no other request counts."""
        peer = self.peer()
        self.subscribe(peer, "a", binary=True)
        self.assertEqual(self.pushed(peer), 0x82)
        peer.send(text("queue_list"), text("subscription_list", queue_name="q"))
        peer.replies()
        self.assertEqual(status(self.subscribe(peer, "a")), 409)
        self.assertEqual(status(self.subscribe(peer, "b", ttl=1)), 400)
        self.assertEqual(status(self.subscribe(peer, "b", subscriber="http://a")), 201)
        self.assertEqual(self.pushed(peer), 0x82)
        self.assertEqual(status(self.subscribe(peer, "b")), 201)
        self.assertEqual(self.pushed(peer), 0x81)

    def pushed(self, peer: Peer) -> int:
        peer.protocol.push(NOTE)
        ((first, payload),) = peer.received()
        self.assertEqual({0x81: json.loads, 0x82: msgpack.unpackb}[first](payload), NOTE.document)
        return first

    def test_made_once(self) -> None:
        """One frame serves all connections of one form."""

        @implementer(IPushed)
        class Counted:
            made: list[str] = []

            @property
            def text(self) -> bytes:
                self.made.append("text")
                return LARGE.text

            @property
            def packed(self) -> bytes:
                self.made.append("packed")
                return LARGE.packed

        pushes, message = Pushes(), Counted()
        frames = [pushes.of(message, is_binary, bits) for is_binary in (False, True) for bits in (0, 12, 0, 12)]
        self.assertEqual(message.made, ["text"] * 2 + ["packed"] * 2)
        self.assertEqual([is_compressed for _, is_compressed in frames], [False, True] * 4)
        self.assertIs(frames[0], frames[2])
        self.assertNotEqual(pushes.of(NOTE, False, 0), frames[0])

    def test_small(self) -> None:
        """A small one is not compressed."""
        self.assertEqual(Pushes().of(NOTE, False, 12), (bytes((0x81, len(NOTE.text))) + NOTE.text, False))

    def test_compressed(self) -> None:
        """Replies and pushes inflate in the order in which they come, whatever was remembered of those before."""
        for offer, bits in ((DEFLATE, 12), (f"{DEFLATE}; server_max_window_bits=10", 10)):
            peer = self.peer(handshake(Sec_WebSocket_Extensions=offer))
            inflater = zlib.decompressobj(-bits)
            for kind in (*"rrpprprp",):
                if kind == "p":
                    peer.protocol.push(LARGE)
                    expected = LARGE.document["body"]
                else:
                    peer.send(text("queue_get", queue_name=LARGE.document["body"]))
                    expected = {}
                ((first, payload),) = peer.received()
                self.assertEqual(first, 0xC1)
                self.assertLess(len(payload), 5000)
                self.assertEqual(json.loads(inflater.decompress(payload + b"\0\0\xff\xff"))["body"], expected)

    def test_compression_of_others(self) -> None:
        """A connection without compression gets the same push as it is."""
        peer = self.peer()
        other = Peer(self.factory, handshake(Sec_WebSocket_Extensions=DEFLATE))
        for each, kind in ((peer, 0x81), (other, 0xC1), (peer, 0x81)):
            each.protocol.push(LARGE)
            self.assertEqual(each.received()[0][0], kind)


class SlowReaders(PushCase):
    """Peers that do not read what they are sent."""

    def test_not_read(self) -> None:
        """A peer that leaves too much unread is closed with a reason when the next push comes."""
        peer = self.peer(write_buffer_max=4000, ping_interval_s=0)
        peer.protocol.pauseProducing()
        for _ in range(6):
            peer.protocol.push(LARGE)
        *pushes, (last, reason) = peer.received()
        self.assertEqual((len(pushes), last), (1, 0x80 | CLOSE))
        self.assertEqual(reason, (1008).to_bytes(2, "big") + b"notifications of more than 4000 bytes were not read")
        self.assertEqual(self.sockets.left[-1], peer.protocol)
        self.clock.advance(5)
        self.assertTrue(peer.transport.aborted)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_read_in_time(self) -> None:
        """A peer that reads stays."""
        peer = self.peer(write_buffer_max=4000)
        for _ in range(6):
            peer.protocol.pauseProducing()
            peer.protocol.push(LARGE)
            peer.protocol.resumeProducing()
        self.assertEqual(len(peer.received()), 6)

    def test_behind_a_slow_request(self) -> None:
        """What waits behind requests has the same bound."""
        queues = self.storage.queues = HeldQueues()
        peer = self.peer(write_buffer_max=4000)
        peer.send(text("queue_get", queue_name="a"))
        peer.protocol.push(LARGE)
        self.assertTrue(peer.open)
        peer.protocol.push(LARGE)
        self.assertEqual(peer.close_code(), 1008)
        queues.release("a")

    def test_room_again(self) -> None:
        """What was written after its request waits no more."""
        queues = self.storage.queues = HeldQueues()
        peer = self.peer(write_buffer_max=4000)
        for queue in "abc":
            peer.send(text("queue_get", queue_name=queue))
            peer.protocol.push(LARGE)
            queues.release(queue)
            self.assertEqual(len(peer.received()), 2)


    def filled(self, **bounds: Any) -> Peer:
        """A peer that has not read what it was pushed."""
        peer = self.peer(**bounds)
        peer.protocol.pauseProducing()
        self.told: list[str] = []
        peer.protocol.when_takes(lambda: self.told.append("takes"))
        return peer

    def test_takes(self) -> None:
        """A peer takes pushes until the transport is congested, and again when it is not; then that is told, once."""
        peer = self.peer()
        self.assertTrue(peer.protocol.takes)
        peer = self.filled()
        self.assertFalse(peer.protocol.takes)
        self.clock.advance(1000)
        self.assertEqual((self.told, peer.open), ([], True))
        for _ in range(2):
            peer.protocol.resumeProducing()
            self.assertEqual((self.told, peer.protocol.takes), (["takes"], True))

    def test_told_at_once(self) -> None:
        """Who asks while it takes pushes is told at once."""
        peer, told = self.peer(), list[int]()
        peer.protocol.when_takes(lambda: told.append(1))
        self.assertEqual(told, [1])

    def test_takes_behind_requests(self) -> None:
        """While much waits behind a request it takes none."""
        queues = self.storage.queues = HeldQueues()
        peer, told = self.peer(), list[int]()
        peer.send(text("queue_get", queue_name="a"))
        while peer.protocol.takes:
            peer.protocol.push(LARGE)
        peer.protocol.when_takes(lambda: told.append(1))
        self.assertEqual(told, [])
        queues.release("a")
        self.assertEqual((told, peer.protocol.takes), ([1], True))

    def test_closed_when_slow(self) -> None:
        """By another policy it is closed with a reason when it has not read for some time, and its subscriptions end."""
        peer = self.filled(slow_max_s=20, ping_interval_s=0)
        self.clock.advance(19)
        self.assertTrue(peer.open)
        self.clock.advance(1)
        ((_, reason),) = peer.received()
        self.assertEqual(reason, (1008).to_bytes(2, "big") + b"notifications were not read for 20 seconds")
        self.assertEqual((self.sockets.left, self.told), ([peer.protocol], []))
        self.clock.advance(5)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_not_closed_when_it_reads(self) -> None:
        """One that reads in time is not, and the time begins anew with the next push that waits."""
        peer = self.filled(slow_max_s=20, ping_interval_s=0)
        self.clock.advance(19)
        peer.protocol.resumeProducing()
        self.clock.advance(30)
        self.assertEqual((self.told, peer.open), (["takes"], True))
        peer.protocol.pauseProducing()
        peer.protocol.when_takes(lambda: None)
        self.clock.advance(19)
        self.assertTrue(peer.open)

    def test_gone_when_slow(self) -> None:
        """Of one that goes nothing stays."""
        peer = self.filled(slow_max_s=20, ping_interval_s=0)
        peer.transport.abortConnection()
        self.assertEqual((self.told, self.clock.getDelayedCalls()), ([], []))
        self.assertFalse(peer.protocol.takes)

    def test_pings_of_the_slow(self) -> None:
        """A peer that has not read the ping is not dropped for want of an answer."""
        peer = self.filled(ping_interval_s=10, ping_timeout_s=10)
        self.clock.pump([1] * 100)
        self.assertTrue(peer.open)

    def test_joined(self) -> None:
        """The pushes of one turn leave in two writes, in order, before what is written after them."""
        writes: list[bytes] = []

        class Counting(Transport):
            def write(self, data: bytes) -> None:
                writes.append(data)
                super().write(data)

        peer = self.peer(transport=Counting())
        writes.clear()
        for number in range(5):
            peer.protocol.push(Pushed({"body": number}), Pushed({"body": -number}))
        self.assertEqual(len(writes), 1)
        self.clock.advance(0)
        self.assertEqual(len(writes), 2)
        for number in (5, 6):
            peer.protocol.push(Pushed({"body": number}))
        peer.send(text("queue_get", queue_name="x"))
        self.clock.advance(0)
        self.assertEqual(len(writes), 4)
        shown = [reply["body"] for reply in peer.replies()]
        self.assertEqual(shown, [0, 0, 1, -1, 2, -2, 3, -3, 4, -4, 5, 6, {}])


class Ends(PushCase):
    """Connections that end."""

    def test_gone(self) -> None:
        """However it ends, its subscriptions do."""
        def lost(peer: Peer) -> None:
            peer.transport.abortConnection()

        def closed(peer: Peer) -> None:
            peer.raw(frame(b"", CLOSE))

        def failed(peer: Peer) -> None:
            peer.protocol.fail("posts were missed")
            self.assertEqual(peer.received()[0], (0x88, (1013).to_bytes(2, "big") + b"posts were missed"))

        def finished(peer: Peer) -> None:
            self.factory.close_all()

        for end in (lost, closed, failed, finished):
            peer = self.peer()
            self.subscribe(peer, end.__name__)
            self.assertEqual(self.sockets.left, [])
            end(peer)
            self.assertIn(peer.protocol, self.sockets.left)
            self.sockets.left.clear()

    def test_subscribed_too_late(self) -> None:
        """A subscription that is made when the connection is gone already ends too."""
        held = self.storage.subscriptions = HeldSubscriptions()  # type: ignore[assignment]
        peer = self.peer()
        peer.send(text("subscription_create", queue_name="q"))
        peer.transport.abortConnection()
        self.sockets.left.clear()
        held.release()
        self.assertEqual((len(self.sockets.added), self.sockets.left), (1, [peer.protocol]))

    def test_nothing_after_close(self) -> None:
        """Nothing is pushed to a connection that closes, or is lost."""
        peer = self.peer()
        peer.protocol.fail("x" * 200)
        ((_, reason),) = peer.received()
        self.assertLessEqual(len(reason), 125)
        peer.protocol.push(NOTE)
        peer.transport.abortConnection()
        peer.protocol.push(NOTE)
        peer.protocol.fail("again")
        self.assertEqual(peer.received(), [])
