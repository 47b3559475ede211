"""Queues that are read for listeners, on the memory store."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import msgspec
from attrs import define, field
from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer
from zope.interface.verify import verifyObject

from zaqar_gateway.errors import Forbidden, StoreFault, StoreUnavailable
from zaqar_gateway.interfaces import IDelivered, IMessageStore, IQueueListener, IQueueReaders, IReading
from zaqar_gateway.live.readers import FAILED, PAGE, READ_S, QueueReaders
from zaqar_gateway.model import EARLIEST, LATEST, Message, NewMessage, NewPost, Place, StreamPage
from zaqar_gateway.storage.memory import MemoryStorage
from zaqar_gateway.testing.base import CLIENT, clock_at_epoch

PLACE = Place("p", "q")


@implementer(IQueueListener)
@define(eq=False)
class Listener:
    """Writes down what it is told."""

    wants: int = 1000
    told: list[object] = field(factory=list)
    delivered: list[IDelivered] = field(factory=list)
    then: Callable[[], None] = lambda: None

    def deliver(self, messages: Sequence[IDelivered]) -> None:
        self.delivered += messages
        self.told += [int(one.message.body) for one in messages]
        self.then()

    def gap(self, after: str, continues_at: str | None) -> None:
        self.told.append((after, continues_at))

    def failed(self, reason: str) -> None:
        self.told.append(reason)

    @property
    def gaps(self) -> int:
        """How many gaps it was told of."""
        return sum(isinstance(each, tuple) for each in self.told)


class Reads:
    """A store of messages that counts what is read, and fails as told."""

    def __init__(self, store: IMessageStore) -> None:
        self._store = store
        self.markers: list[str] = []
        self.error: Exception | None = None
        self.hold: Deferred[None] | None = None

    async def read(self, project: str, queue: str, marker: str, limit: int) -> StreamPage:
        """See :class:`~zaqar_gateway.interfaces.IMessageStore`."""
        self.markers.append(marker)
        page = await self._store.read(project, queue, marker, limit)
        if self.hold is not None:
            await self.hold
        if self.error is not None:
            raise self.error
        return page


class ReaderCase(SynchronousTestCase):
    """Readers over a memory store whose reads are counted."""

    def setUp(self) -> None:
        self.clock = clock_at_epoch()
        self.storage = MemoryStorage(self.clock)
        self.messages = self.storage.messages
        self.reads = Reads(self.messages)
        self.storage.messages = self.reads  # type: ignore[assignment]
        self.readers = QueueReaders(self.storage, self.clock)

    def post(self, *numbers: int, queue: str = "q", ttl_s: int = 3600) -> list[str]:
        """Post these numbers in one post."""
        posting = self.messages.post(
            "p",
            queue,
            NewPost(
                CLIENT,
                [NewMessage(b"%d" % number, ttl_s) for number in numbers],
                size=1,
                ttl_default_s=3600,
                size_max=1000,
            ),
        )
        return self.successResultOf(Deferred.fromCoroutine(posting))

    def delete(self, *ids: str) -> None:
        """Delete messages."""
        self.successResultOf(Deferred.fromCoroutine(self.messages.delete_many("p", "q", ids, None)))

    def latest(self) -> str:
        """The marker behind what was posted so far."""
        return self.successResultOf(Deferred.fromCoroutine(self.messages.read("p", "q", LATEST, 1))).marker

    def attach(self, marker: str | None = None, wants: int = 1000) -> tuple[Listener, IReading]:
        """A listener, from now on unless told otherwise."""
        listener = Listener(wants)
        return listener, self.readers.attach(PLACE, marker or self.latest(), listener)

    def turn(self) -> None:
        """Have what is due now happen."""
        for _ in range(5):
            self.clock.advance(0)


class ReaderTests(ReaderCase):
    """What listeners are told."""

    def test_provides(self) -> None:
        """The parts have the methods of their interfaces."""
        verifyObject(IQueueReaders, self.readers)
        listener, reading = self.attach(EARLIEST)
        verifyObject(IQueueListener, listener)
        verifyObject(IReading, reading)
        self.post(1)
        self.turn()
        verifyObject(IDelivered, listener.delivered[0])

    def test_posts_are_delivered(self) -> None:
        """What is posted is delivered at once, in order, from the marker on."""
        self.post(1)
        here, _ = self.attach()
        all_of_it, _ = self.attach(EARLIEST)
        self.post(2, 3)
        self.turn()
        self.post(4)
        self.turn()
        self.assertEqual((here.told, all_of_it.told), ([2, 3, 4], [1, 2, 3, 4]))

    def test_missing_queue(self) -> None:
        """A queue may be listened to before it exists."""
        listener, _ = self.attach()
        self.turn()
        self.post(1)
        self.turn()
        self.assertEqual(listener.told, [1])

    def test_one_read_for_all(self) -> None:
        """Who stands at the same place is served by one read, and one encoding of each form."""
        listeners = [self.attach()[0] for _ in range(1200)]
        self.turn()
        self.reads.markers.clear()
        self.post(1)
        self.turn()
        self.assertEqual(len(self.reads.markers), 1)
        self.assertTrue(all(each.told == [1] for each in listeners))
        first = listeners[0].delivered[0]
        self.assertTrue(all(each.delivered[0] is first for each in listeners))
        made: list[Message] = []

        def form(place: Place, message: Message) -> bytes:
            self.assertEqual(place, PLACE)
            made.append(message)
            return message.body

        for _ in range(2):
            self.assertEqual(first.encoded(form), b"1")
        self.assertEqual(len(made), 1)
        self.assertIs(first.text, first.text)

    def test_frames(self) -> None:
        """A socket is sent a frame of the type ``Message``, in JSON or MessagePack."""
        listener, _ = self.attach()
        (message_id,) = self.post(1)
        self.turn()
        frame = {"Message_Type": "Message", "queue_name": "q", "id": message_id, "ttl": 3600, "age": 0, "body": 1}
        self.assertEqual(msgspec.json.decode(listener.delivered[0].text), frame)
        self.assertEqual(msgspec.msgpack.decode(listener.delivered[0].packed), frame)
        self.assertEqual(listener.delivered[0].client, CLIENT)

    def test_many_pages(self) -> None:
        """A backlog of several pages is delivered whole, and those who stand at the end are not held up by it."""
        here, _ = self.attach()
        for start in range(0, 5 * PAGE, PAGE):
            self.post(*range(start, start + PAGE))
        behind, _ = self.attach(EARLIEST)
        self.turn()
        self.assertEqual(here.told, list(range(5 * PAGE)))
        self.assertEqual(behind.told, list(range(5 * PAGE)))

    def test_slow_listener(self) -> None:
        """Who takes nothing is left where it stands, others are not, and it goes on from there when it can."""
        slow, reading = self.attach(wants=3)
        fast, _ = self.attach()

        def full() -> None:
            slow.wants = 0

        slow.then = full
        self.post(*range(10))
        self.turn()
        self.assertEqual((slow.told, len(fast.told)), ([0, 1, 2], 10))
        for start in (10, 20):
            self.post(*range(start, start + 10))
            self.turn()
        self.assertEqual((slow.told, len(fast.told)), ([0, 1, 2], 30))
        self.reads.markers.clear()
        self.clock.advance(READ_S)
        self.turn()
        self.assertEqual(len(self.reads.markers), 1)  # of the end alone
        slow.wants = 4
        reading.resume()
        self.turn()
        self.assertEqual(slow.told, [0, 1, 2, 3, 4, 5, 6])
        slow.then, slow.wants = (lambda: None), 1000
        reading.resume()
        self.turn()
        self.assertEqual(slow.told, list(range(30)))
        self.post(30)
        self.reads.markers.clear()
        self.turn()
        self.assertEqual((slow.told[-1], fast.told[-1], len(self.reads.markers)), (30, 30, 1))

    def test_resume_in_deliver(self) -> None:
        """A listener may go on while it is served."""
        listener, reading = self.attach(wants=1)
        listener.then = reading.resume
        self.post(1, 2, 3)
        self.turn()
        self.assertEqual(listener.told, [1, 2, 3])

    def test_end(self) -> None:
        """Whose reading has ended is told of nothing more; nobody is watched for when the last one has gone."""
        listener, reading = self.attach()
        other, other_reading = self.attach()
        self.post(1)
        self.turn()
        reading.end()
        reading.end()
        self.post(2)
        self.turn()
        self.assertEqual((listener.told, other.told), ([1], [1, 2]))
        other_reading.end()
        self.reads.markers.clear()
        self.post(3)
        self.clock.advance(READ_S)
        self.turn()
        self.assertEqual((self.reads.markers, self.clock.getDelayedCalls()), ([], []))
        again, _ = self.attach()
        self.post(4)
        self.turn()
        self.assertEqual(again.told, [4])

    def test_end_in_deliver(self) -> None:
        """It may end while it is served, and others with it."""
        listener, reading = self.attach()
        other, other_reading = self.attach()

        def end() -> None:
            reading.end()
            other_reading.end()

        listener.then = other.then = end
        self.post(1)
        self.turn()
        self.post(2)
        self.turn()
        self.assertEqual(sorted([listener.told, other.told], key=len), [[], [1]])

    def test_post_while_reading(self) -> None:
        """What is posted while a read is under way is read after it."""
        listener, _ = self.attach()
        self.turn()
        self.reads.hold = Deferred()
        self.post(1)
        self.turn()
        self.post(2)
        self.turn()
        self.assertEqual(listener.told, [])
        held, self.reads.hold = self.reads.hold, None
        held.callback(None)
        self.turn()
        self.assertEqual(listener.told, [1, 2])

    def test_attach_while_reading(self) -> None:
        """Who comes while a read is under way misses nothing."""
        self.post(0)
        first, _ = self.attach(EARLIEST)
        self.reads.hold = Deferred()
        self.post(1)
        self.turn()
        second, _ = self.attach(EARLIEST)
        third, _ = self.attach()
        held, self.reads.hold = self.reads.hold, None
        held.callback(None)
        self.turn()
        self.post(2)
        self.turn()
        self.assertEqual((first.told, second.told, third.told), ([0, 1, 2], [0, 1, 2], [2]))

    def test_store_away(self) -> None:
        """While the store is away listeners wait; the next ring, or the timer, goes on."""
        listener, _ = self.attach()
        self.turn()
        self.reads.error = StoreUnavailable("away")
        self.post(1)
        self.turn()
        self.reads.error = None
        self.assertEqual(listener.told, [])
        self.clock.advance(READ_S)
        self.turn()
        self.assertEqual(listener.told, [1])

    def test_store_fault(self) -> None:
        """What cannot be read ends the reading, with a reason; so does a refusal."""
        for error in (StoreFault("It is broken.", cause="a secret"), Forbidden("It is not yours.")):
            listener, _ = self.attach()
            self.turn()
            self.reads.error = error
            self.post(1)
            self.turn()
            self.assertEqual(listener.told, [str(error)])
            self.reads.error = None
        self.assertEqual(len(self.flushLoggedErrors()), 0)
        self.assertEqual(self.clock.getDelayedCalls(), [])

    def test_listener_that_fails(self) -> None:
        """A listener that raises is told so, and disturbs no other."""
        bad, _ = self.attach()
        good, _ = self.attach()

        def fail() -> None:
            raise ValueError

        bad.then = fail
        self.post(1)
        self.turn()
        self.post(2)
        self.turn()
        self.assertEqual((bad.told, good.told), ([1, FAILED], [1, 2]))
        self.assertEqual(len(self.flushLoggedErrors(ValueError)), 1)

    def test_own_view(self) -> None:
        """A listener may see the messages by a store of its own, which is read for it alone."""
        own = Reads(self.messages)
        listener = Listener()
        reading = self.readers.attach(PLACE, self.latest(), listener, own)  # type: ignore[arg-type]
        other, _ = self.attach()
        self.turn()
        self.reads.markers.clear()
        own.markers.clear()
        self.post(1)
        self.turn()
        self.assertEqual((listener.told, other.told), ([1], [1]))
        self.assertEqual((len(own.markers), len(self.reads.markers)), (1, 1))
        reading.end()
        self.post(2)
        self.turn()
        self.assertEqual(len(own.markers), 1)

    def test_stop(self) -> None:
        """Nothing is left when the readers stop."""
        listener, reading = self.attach()
        self.readers.attach(PLACE, EARLIEST, Listener(), self.messages)
        self.turn()
        self.readers.stop()
        self.post(1)
        self.turn()
        reading.end()
        self.assertEqual((listener.told, self.clock.getDelayedCalls()), ([], []))


class GapTests(ReaderCase):
    """What listeners are told of messages that are gone."""

    def test_gap_is_told_once(self) -> None:
        """A listener is told of a gap once, before what follows it; one who has read what is gone is told of none."""
        ids = self.post(*range(5))
        behind, _ = self.attach(ids[0], wants=1)
        self.delete(ids[3])
        here, _ = self.attach(ids[3])
        self.turn()
        self.assertEqual(behind.told, [(ids[0], ids[1]), 1, 2, 4])
        self.assertEqual(here.told, [4])

    def test_gap(self) -> None:
        """The listener is told where the gap begins and where it ends."""
        ids = self.post(*range(4))
        self.delete(ids[1])
        listener, _ = self.attach(ids[0])
        self.turn()
        self.assertEqual(listener.told, [(ids[0], ids[2]), 2, 3])
        reached = self.latest()
        self.delete(*self.post(4))
        self.turn()
        self.assertEqual(listener.told[3:], [(reached, None)])
        self.post(5)
        self.turn()
        self.assertEqual(listener.told[4:], [5])

    def test_gap_again(self) -> None:
        """What is gone after a gap was told is told again where it lies behind that one."""
        ids = self.post(*range(6))
        self.delete(ids[2])
        listener, reading = self.attach(ids[0], wants=1)

        def full() -> None:
            listener.wants = 0

        listener.then = full
        self.turn()
        self.assertEqual(listener.told, [(ids[0], ids[1]), 1])
        self.delete(ids[4])
        for _ in range(3):
            listener.wants = 1
            reading.resume()
            self.turn()
        self.assertEqual(listener.told[2:], [(ids[1], ids[3]), 3, 5])

    def test_gap_by_queue_made_anew(self) -> None:
        """A queue that is deleted, and made anew, is a gap each time; whatever it has then is delivered."""
        self.post(1)
        listener, _ = self.attach()
        for n in range(3):
            marker = self.latest()
            self.successResultOf(Deferred.fromCoroutine(self.storage.queues.delete("p", "q")))
            (message_id,) = self.post(n)
            self.turn()
            self.assertEqual(listener.told[-2:], [(marker, message_id), n])
            self.assertEqual(listener.gaps, n + 1)

    def test_gap_by_queue_that_comes_and_goes(self) -> None:
        """So is what came and went unread, each time."""
        listener, _ = self.attach()
        for n in range(3):
            self.post(n)
            self.successResultOf(Deferred.fromCoroutine(self.storage.queues.delete("p", "q")))
            self.turn()
            self.assertEqual(listener.gaps, n + 1)
        self.assertEqual(len(listener.told), 3)
