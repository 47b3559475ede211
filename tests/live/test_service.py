"""Live subscriptions and workers of the sockets of a process, on a store in memory and a clock that tests advance."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
from twisted.internet.defer import Deferred
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from tests.push.fakes import QUEUE, Away, Socket, now, post
from zaqar_gateway.errors import Conflict, Forbidden, RuleBroken, StoreUnavailable
from zaqar_gateway.interfaces import ILive, ILiveSubscription, IPushed
from zaqar_gateway.live import frames
from zaqar_gateway.live.outstanding import TOTAL_MAX
from zaqar_gateway.live.readers import QueueReaders
from zaqar_gateway.live.service import CHECK_S, ENDED, Live
from zaqar_gateway.live.subscriber import LULL_S, TAKEN_OVER
from zaqar_gateway.live.workers import LIVE_S
from zaqar_gateway.model import (
    EARLIEST,
    LATEST,
    Begun,
    LiveTerms,
    NewMessage,
    NewPost,
    NewSubscription,
    Place,
    WorkTerms,
)
from zaqar_gateway.push.membership import Membership
from zaqar_gateway.push.sockets import Sockets
from zaqar_gateway.storage.memory import MemoryStorage
from zaqar_gateway.testing.base import CLIENT, OTHER_CLIENT, clock_at_epoch

FIRST = "0" * 24
EXPLICIT = LiveTerms(FIRST, 3600, window=100)
DURABLE = LiveTerms(FIRST, 3600, "d", 100)
WORK = WorkTerms(60, 60, 100)


class Process:
    """What one gateway process has of live subscriptions; ``kill`` has it do nothing more to the store."""

    def __init__(self, storage: MemoryStorage, clock: Any, name: str) -> None:
        self.parts = {
            each: Away(getattr(storage, each))
            for each in ("messages", "claims", "subscriptions", "durables", "deliveries")
        }
        self.storage: Any = type("Store", (), {**self.parts, "doorbells": storage.doorbells})()
        self.membership = Membership(self.storage.deliveries, name, clock)
        self.sockets = Sockets(self.storage, self.membership, clock)
        self.readers = QueueReaders(self.storage, clock)
        self.ids = iter(range(10**6))
        self.live = Live(self.storage, self.readers, self.sockets, clock, lambda: f"{name}-{next(self.ids)}")
        self.membership.startService()

    def away(self, *parts: str) -> None:
        """Have only these parts of the store be away."""
        for name, part in self.parts.items():
            part.is_away = name in parts


class LiveCase(SynchronousTestCase):
    """A process, and a queue ``q``."""

    def setUp(self) -> None:
        self.clock = clock_at_epoch()
        self.storage = MemoryStorage(self.clock)
        self.me = Process(self.storage, self.clock, "g1")
        self.count = 0

    def turn(self, seconds: float = 0) -> None:
        """Let time pass, and what is to be done in it be done."""
        whole, rest = divmod(seconds, 1)
        self.clock.pump([1] * int(whole))  # a process has to say every two seconds that it lives
        self.clock.advance(rest)
        self.clock.pump([0] * 12)

    def begin(
        self, terms: LiveTerms | WorkTerms, socket: Socket | None = None, process: Process | None = None
    ) -> tuple[Socket, Begun]:
        """Subscribe a socket, as the operation does."""
        self.count += 1
        socket, process = socket or Socket(f"http://127.0.0.1:1/{self.count}"), process or self.me
        new = NewSubscription(socket.uri, 3600, owner=process.sockets.name, confirmed=True)
        self.placed = now(self.storage.subscriptions.create("p", "q", new))
        if isinstance(terms, LiveTerms):
            work = process.live.subscribe(QUEUE, self.placed.id, terms, socket, process.storage.messages)
        else:
            messages, claims = process.storage.messages, process.storage.claims
            work = process.live.work(QUEUE, self.placed.id, terms, socket, messages, claims)
        begun = now(work)
        self.turn()
        return socket, begun

    def post(self, *numbers: int) -> None:
        """Post messages, and have the rings heard."""
        post(self.storage, *numbers)
        self.turn()

    def taken(self, socket: Socket) -> list[Any]:
        """What was pushed since the last look: bodies, marked where they were sent before; gaps and ends."""
        found: list[Any] = []
        for each in socket.pushed:
            document = msgspec.json.decode(each.text)
            kind = document["Message_Type"]
            if kind == "Message":
                found.append((document["body"], "again") if document.get("redelivered") else document["body"])
            else:
                found.append((kind, document.get("reason")))
        self.documents = [msgspec.json.decode(each.text) for each in socket.pushed]
        socket.pushed.clear()
        return found

    def ids(self) -> list[str]:
        """The ids of the messages in the queue."""
        page = now(self.storage.messages.read("p", "q", EARLIEST, 1000))
        return [one.message.id for one in page.posted]

    def live(self, socket: Socket, process: Process | None = None) -> ILiveSubscription:
        """What a socket has."""
        found = (process or self.me).live.find(QUEUE, socket)
        assert found is not None
        return found

    def done(self, socket: Socket, ids: Sequence[str]) -> int:
        """Acknowledge."""
        count: int = now(self.live(socket).acknowledge(ids))
        self.turn()
        return count

    def subscriptions(self) -> int:
        """How many subscriptions the queue has."""
        return len(now(self.storage.subscriptions.list("p", "q", "", 100)))


class Subscriptions(LiveCase):
    """Live subscriptions that are not durable."""

    def test_interfaces(self) -> None:
        """They are what the operations need."""
        verifyObject(ILive, self.me.live)
        socket, _ = self.begin(EXPLICIT)
        verifyObject(ILiveSubscription, self.live(socket))
        verifyObject(IPushed, frames.end(QUEUE, "x"))

    def test_without_acknowledgements(self) -> None:
        """All comes in order, page after page; nothing can be acknowledged."""
        post(self.storage, *range(250))
        socket, begun = self.begin(LiveTerms(FIRST, 3600))
        self.assertEqual(begun, Begun(FIRST, None, None))
        self.assertEqual(self.taken(socket), [*range(250)])
        live = self.live(socket)
        for work in (live.acknowledge(["x"]), live.refuse(["x"], 0), live.extend(["x"], 5)):
            with self.assertRaises(RuleBroken):
                now(work)
        self.assertRaises(RuleBroken, live.up_to, "x")
        self.assertRaises(RuleBroken, live.resize, 5)

    def test_shared(self) -> None:
        """One read and one encoding serve all who stand at one place."""
        sockets = [self.begin(LiveTerms(LATEST, 3600))[0] for _ in range(20)]
        self.me.parts["messages"].calls.clear()
        self.post(1)
        self.assertEqual({id(socket.pushed[0]) for socket in sockets}, {id(sockets[0].pushed[0])})
        self.assertLessEqual(self.me.parts["messages"].calls.count("read"), 2)

    def test_own_messages(self) -> None:
        """Those of one client are left out where that is asked for, and fill no window."""
        socket, _ = self.begin(LiveTerms(FIRST, 3600, window=1, skip_client=CLIENT))
        other = [NewMessage(b'"other"')]
        self.post(1, 2)
        now(self.storage.messages.post("p", "q", NewPost(OTHER_CLIENT, other, size=1, ttl_default_s=60, size_max=100)))
        self.turn()
        self.assertEqual(self.taken(socket), ["other"])

    def test_deadline(self) -> None:
        """What is not done by its deadline comes again, before what is new; what is done does not."""
        socket, _ = self.begin(LiveTerms(FIRST, 3600, window=2, deadline_s=30))
        self.post(1, 2, 3)
        first, second, _ = self.ids()
        self.assertEqual(self.taken(socket), [1, 2])
        self.done(socket, [second])
        self.assertEqual(self.taken(socket), [3])
        self.turn(29)
        self.assertEqual(self.taken(socket), [])
        self.turn(1)
        self.assertEqual(self.taken(socket), [(1, "again"), (3, "again")])
        self.assertEqual(self.documents[0]["age"], 30)
        self.assertEqual(now(self.live(socket).extend([first], 100)), 1)
        self.turn(30)
        self.assertEqual(self.taken(socket), [(3, "again")])

    def test_gone_before_it_comes_again(self) -> None:
        """What is deleted before it comes again is done; nothing more is told of it, since it was sent."""
        socket, _ = self.begin(LiveTerms(FIRST, 3600, window=1))
        self.post(1, 2)
        self.assertEqual(self.taken(socket), [1])
        now(self.storage.messages.delete("p", "q", self.ids()[0], None))
        self.turn(30)
        self.assertEqual(self.taken(socket), [2])

    def test_done_while_it_is_fetched(self) -> None:
        """What is acknowledged while it is read to be sent again is not sent again."""
        socket, _ = self.begin(EXPLICIT)
        self.post(1, 2)
        first, _ = self.ids()
        self.taken(socket)
        held = self.me.parts["messages"].hold("get")
        self.turn(30)
        self.assertEqual(now(self.live(socket).acknowledge([first])), 1)
        held.callback(None)
        self.turn()
        self.assertEqual(self.taken(socket), [(2, "again")])

    def test_slow_socket(self) -> None:
        """A socket that takes nothing is left where it stands, and so is what it has not done; then all comes in order."""
        socket, _ = self.begin(EXPLICIT)
        other, _ = self.begin(LiveTerms(FIRST, 3600))
        self.post(1, 2)
        self.taken(socket)
        socket.takes = False
        self.post(*range(3, 150))
        self.turn(60)
        self.me.parts["messages"].calls.clear()
        self.turn(60)
        self.assertLess(len(self.me.parts["messages"].calls), 20)
        self.assertEqual((socket.pushed, len(self.taken(other))), ([], 149))
        socket.take()
        self.turn()
        self.assertEqual(self.taken(socket), [(1, "again"), (2, "again"), *range(3, 101)])

    def test_little_room(self) -> None:
        """Who acknowledges one by one does not cost a read each; what there is room for comes soon after."""
        post(self.storage, *range(300))
        socket, _ = self.begin(EXPLICIT)
        self.assertEqual(len(self.taken(socket)), 100)
        ids = self.ids()
        self.me.parts["messages"].calls.clear()
        for message_id in ids[:24]:
            self.assertEqual(self.done(socket, [message_id]), 1)
        self.assertLessEqual(self.me.parts["messages"].calls.count("read"), 4)
        self.assertEqual(self.taken(socket), [*range(100, 124)])
        self.done(socket, ids[24:27])
        self.assertEqual(self.taken(socket), [])
        self.turn(LULL_S)
        self.assertEqual(self.taken(socket), [124, 125, 126])
        self.done(socket, ids[27:28])
        self.me.sockets.gone(socket)
        self.turn(1)

    def test_resized(self) -> None:
        """A larger window lets more come at once."""
        socket, _ = self.begin(LiveTerms(FIRST, 3600, window=1))
        self.post(1, 2, 3)
        self.live(socket).resize(3)
        self.turn()
        self.assertEqual(self.taken(socket), [1, 2, 3])

    def test_refused_again_and_again(self) -> None:
        """Refused messages are bounded in number, and nothing new comes beyond that."""
        post(self.storage, *range(TOTAL_MAX + 50))
        socket, _ = self.begin(LiveTerms(FIRST, 3600, window=1000))
        seen = 0
        while found := self.taken(socket):
            seen += len(found)
            now(self.live(socket).refuse([each["id"] for each in self.documents], 10_000))
            self.turn()
        self.assertEqual(seen, TOTAL_MAX)

    def test_store_away(self) -> None:
        """While the store is away nothing is lost, and it goes on by itself."""
        socket, _ = self.begin(LiveTerms(FIRST, 3600, window=100, deadline_s=5))
        self.post(1)
        self.assertEqual(self.taken(socket), [1])
        self.me.away("messages", "subscriptions")
        self.turn(20)
        self.assertEqual(self.taken(socket), [])
        self.me.away()
        self.turn(1)
        self.assertEqual(self.taken(socket), [(1, "again")])

    def test_refused_by_a_filter(self) -> None:
        """Where a message filter refuses to show messages the subscription ends, and says why."""
        socket, _ = self.begin(EXPLICIT)
        self.post(1)
        self.taken(socket)

        async def refuse(*args: Any) -> None:
            raise Forbidden("Not you.")

        self.me.storage.messages.get = refuse
        self.turn(30)
        self.assertEqual((self.taken(socket), self.subscriptions()), ([("End", "Not you.")], 0))

    def test_queue_made_anew(self) -> None:
        """Where the queue is deleted and made anew a gap is told, and what is in it comes."""
        socket, _ = self.begin(EXPLICIT)
        self.post(1)
        self.taken(socket)
        now(self.storage.queues.delete("p", "q"))
        self.turn(1)
        self.post(2)
        found = self.taken(socket)
        self.assertEqual([each for each in found if each != ("Gap", None)], [2])
        self.done(socket, self.ids())
        self.turn(60)
        self.assertEqual(self.taken(socket), [])


class Ends(LiveCase):
    """How they end."""

    def test_ttl(self) -> None:
        """When its ttl is over the socket is told, and the subscription is gone; ``find`` finds nothing."""
        socket, _ = self.begin(EXPLICIT)
        self.turn(3600)
        self.turn(CHECK_S)
        self.assertEqual((self.taken(socket), self.subscriptions()), ([("End", ENDED)], 0))
        self.assertIsNone(self.me.live.find(QUEUE, socket))
        self.post(1)
        self.assertEqual(self.taken(socket), [])

    def test_deleted(self) -> None:
        """When it is deleted the socket is told at once."""
        socket, _ = self.begin(EXPLICIT)
        now(self.storage.subscriptions.delete("p", "q", self.placed.id))
        self.turn(0.1)
        self.assertEqual(self.taken(socket), [("End", ENDED)])

    def test_purged(self) -> None:
        """So it is when all of the queue are."""
        socket, _ = self.begin(EXPLICIT)
        now(self.storage.subscriptions.purge("p", "q"))
        self.turn(0.1)
        self.assertEqual(self.taken(socket), [("End", ENDED)])

    def test_gone(self) -> None:
        """It ends with its socket; nothing stays."""
        socket, _ = self.begin(EXPLICIT)
        worker, _ = self.begin(WORK)
        self.post(1)
        for each in (socket, worker):
            self.me.sockets.gone(each)
        self.turn()
        self.assertEqual(self.subscriptions(), 0)
        now(self.me.live.stop())
        self.me.readers.stop()
        self.me.sockets.stop()
        stopping = self.me.membership.stopService()
        self.turn(1)
        self.assertEqual((stopping.called, self.clock.getDelayedCalls()), (True, []))

    def test_taken_for_dead(self) -> None:
        """A process that the store had taken for dead has lost its subscriptions, and closes the sockets."""
        socket, _ = self.begin(EXPLICIT)
        other = Process(self.storage, self.clock, "g2")
        self.me.away("deliveries")
        for _ in range(6):
            self.turn(2)
        self.me.away()
        self.assertEqual(other.membership.gateway, "g2")
        self.turn(2)
        self.assertEqual(self.subscriptions(), 0)
        self.assertTrue(socket.reasons or self.taken(socket)[-1:] == [("End", ENDED)])


class DurableNames(LiveCase):
    """Subscriptions with a durable name."""

    def test_resumed(self) -> None:
        """What was not done comes again, in order, then the rest; what was done does not."""
        socket, begun = self.begin(LiveTerms(FIRST, 3600, "d", 3))
        self.assertEqual(begun, Begun(FIRST, "d", 3, False))
        self.post(*range(1, 7))
        self.assertEqual(self.taken(socket), [1, 2, 3])
        self.done(socket, self.ids()[1:2])
        self.assertEqual(self.taken(socket), [4])
        self.me.sockets.gone(socket)
        self.turn()
        again, begun = self.begin(DURABLE)
        self.assertTrue(begun.resumed and begun.marker and begun.marker < self.ids()[0], begun)
        self.assertEqual(self.taken(again), [(1, "again"), (3, "again"), (4, "again"), 5, 6])
        self.done(again, self.ids())
        self.me.sockets.gone(again)
        self.turn()
        self.assertEqual(self.begin(DURABLE)[1].marker, self.ids()[-1])

    def test_known_before_it_is_sent(self) -> None:
        """A message is sent only once the store has it that it may have been; a process that dies has it come again."""
        socket, _ = self.begin(DURABLE)
        held = self.me.parts["durables"].hold("advance")
        self.post(1)
        self.assertEqual(self.taken(socket), [])
        held.callback(None)
        self.turn()
        self.assertEqual(self.taken(socket), [1])
        other = Process(self.storage, self.clock, "g2")
        there, _ = self.begin(DURABLE, process=other)
        self.assertEqual(self.taken(there), [(1, "again")])

    def test_store_away(self) -> None:
        """A message waits, once read, until its place can be kept; what comes behind waits too."""
        socket, _ = self.begin(DURABLE)
        self.me.away("durables")
        self.post(1)
        self.post(2)
        self.turn(5)
        self.assertEqual(self.taken(socket), [])
        self.assertEqual(now(self.live(socket).acknowledge(self.ids())), 0, "nothing was sent yet")
        self.me.away()
        self.turn(6)
        self.assertEqual(self.taken(socket), [1, 2])

    def test_late_step(self) -> None:
        """What the store does only after it was asked for again moves no place back, and gives nothing again."""
        socket, _ = self.begin(DURABLE)
        stalled = self.me.parts["durables"].stall("advance")
        self.post(1)
        self.assertEqual(self.taken(socket), [])
        self.turn(1)
        self.assertEqual(self.taken(socket), [1])
        self.post(2)
        self.assertEqual(self.taken(socket), [2])
        self.done(socket, self.ids())
        (late,) = stalled
        self.assertTrue(now(late()))
        self.me.sockets.gone(socket)
        self.turn()
        again, begun = self.begin(DURABLE)
        self.assertEqual((begun.marker, self.taken(again)), (self.ids()[-1], []))

    def test_acknowledged_is_kept(self) -> None:
        """An acknowledgement that the store did not take changes nothing; it can be repeated."""
        socket, _ = self.begin(DURABLE)
        self.post(1)
        self.me.away("durables")
        with self.assertRaises(StoreUnavailable):
            now(self.live(socket).acknowledge(self.ids()))
        self.me.away()
        self.assertEqual(self.done(socket, self.ids()), 1)
        self.assertEqual(self.done(socket, self.ids()), 0)
        self.assertEqual(now(self.storage.durables.list("p", "q"))[0].pending, 0)

    def test_unsubscribed(self) -> None:
        """Who has deleted its own subscription is answered when its durable name is let go."""
        socket, _ = self.begin(DURABLE)
        gate: Deferred[None] = Deferred()
        self.patch(self.me.storage.durables, "detach", lambda *at: gate)
        ended = Deferred.fromCoroutine(self.me.live.unsubscribed(QUEUE, socket, self.placed.id))
        self.assertEqual(self.taken(socket), [("End", ENDED)])
        self.assertNoResult(ended)
        gate.callback(None)
        self.successResultOf(ended)

    def test_taken_over(self) -> None:
        """The former holder is told, sends nothing more, and its late acknowledgements are refused."""
        socket, _ = self.begin(DURABLE)
        other = Process(self.storage, self.clock, "g2")
        self.post(1)
        there, _ = self.begin(DURABLE, process=other)
        with self.assertRaises(Conflict):
            now(self.live(socket).acknowledge(self.ids()))
        self.turn(0.1)
        self.assertEqual(self.taken(socket), [1, ("End", TAKEN_OVER)])
        self.assertRaises(Conflict, self.me.live.find, QUEUE, socket)
        self.post(2)
        self.assertEqual((self.taken(socket), self.taken(there)), ([], [(1, "again"), 2]))
        self.assertIsNone(self.me.live.find(Place("p", "other"), socket))

    def test_taken_over_unheard(self) -> None:
        """A holder that heard nothing of it finds out before it sends anything new."""
        socket, _ = self.begin(DURABLE)
        self.me.away("subscriptions")
        other = Process(self.storage, self.clock, "g2")
        there, _ = self.begin(DURABLE, process=other)
        self.post(1)
        self.assertEqual((self.taken(socket), self.taken(there)), ([("End", TAKEN_OVER)], [1]))

    def test_storm(self) -> None:
        """However often a name is taken over, one holds it in the end, and nothing is lost."""
        sockets = []
        for number in range(50):
            sockets.append(self.begin(DURABLE)[0])
            self.post(number)
        self.turn(1)
        *former, last = sockets
        self.assertTrue(all(self.taken(each)[-1] == ("End", TAKEN_OVER) for each in former))
        seen = [each[0] if isinstance(each, tuple) else each for each in self.taken(last)]
        self.assertEqual(seen, [*range(50)])
        self.assertEqual((self.subscriptions(), len(now(self.storage.durables.list("p", "q")))), (1, 1))

    def test_held_on(self) -> None:
        """A name stays held while its socket is there, however quiet."""
        self.begin(DURABLE)
        for _ in range(10):
            self.turn(60)
            (shown,) = now(self.storage.durables.list("p", "q"))
            self.assertTrue(shown.attached)

    def leave(self, *numbers: int) -> list[str]:
        """Have messages be pending under the name ``d``, which nobody holds; their ids."""
        socket, _ = self.begin(LiveTerms(FIRST, 3600, "d", 1000))
        self.post(*numbers)
        self.taken(socket)
        self.me.sockets.gone(socket)
        self.turn()
        return self.ids()

    def gaps(self) -> list[tuple[str | None, str | None]]:
        """Of what was taken last the gaps: where they begin and end."""
        return [(each["after"], each["continues_at"]) for each in self.documents if each["Message_Type"] == "Gap"]

    def pending(self) -> int:
        """How many messages are pending under the only name."""
        (shown,) = now(self.storage.durables.list("p", "q"))
        return int(shown.pending)

    def test_gaps_of_pending_messages(self) -> None:
        """Each run of pending messages that are gone is one gap, behind what was sent before it and up to what follows it,
        which may be something new, whatever the window."""
        for window in (1, 2, 100):
            ids = self.leave(*range(8))
            self.post(8)
            (new,) = self.ids()[8:]
            now(self.storage.messages.delete_many("p", "q", [ids[n] for n in (0, 2, 3, 5, 6, 7)], None))
            socket, _ = self.begin(LiveTerms(FIRST, 3600, "d", window))
            gaps, seen = [], []
            for _ in range(4):
                seen += self.taken(socket)
                gaps += self.gaps()
                self.done(socket, [each["id"] for each in self.documents if each["Message_Type"] == "Message"])
                self.turn(1)
            gap = ("Gap", None)
            self.assertEqual(seen, [gap, (1, "again"), gap, (4, "again"), gap, 8])
            self.assertEqual(gaps, [(None, ids[1]), (ids[1], ids[4]), (ids[4], new)])
            self.assertEqual(self.pending(), 0)
            now(self.storage.queues.delete("p", "q"))
            now(self.storage.durables.delete("p", "q", "d"))
            self.me.sockets.gone(socket)
            self.turn()

    def test_gap_of_all_that_was_pending(self) -> None:
        """Hundreds of pending messages that are gone are one gap; where nothing follows it says so."""
        self.leave(*range(200))
        now(self.storage.queues.purge("p", "q"))
        socket, _ = self.begin(LiveTerms(FIRST, 3600, "d", 5))
        self.assertEqual((self.taken(socket), self.gaps(), self.pending()), ([("Gap", None)], [(None, None)], 0))

    def test_store_away_behind_a_gap(self) -> None:
        """A store that goes away while it is asked what follows a gap is asked again."""
        ids = self.leave(1, 2)
        now(self.storage.messages.delete("p", "q", ids[0], None))
        get, fails = self.me.storage.messages.get, [False, True]

        async def failing(project: str, queue: str, some: Sequence[str]) -> Any:
            if fails and fails.pop(0):
                raise StoreUnavailable("It is away.")
            return await get(project, queue, some)

        self.me.storage.messages.get = failing
        socket, _ = self.begin(LiveTerms(FIRST, 3600, "d", 1))
        self.assertEqual(self.taken(socket), [])
        self.turn(1)
        self.assertEqual((self.taken(socket), self.gaps()), ([("Gap", None), (2, "again")], [(None, ids[1])]))

    def test_not_sent_here(self) -> None:
        """Of what was pending before nothing is acknowledged, refused or extended before it is sent on this connection."""
        ids = self.leave(*range(10))
        socket, _ = self.begin(LiveTerms(FIRST, 3600, "d", 1))
        self.assertEqual(self.taken(socket), [(0, "again")])
        live = self.live(socket)
        self.assertEqual(now(live.extend([ids[5]], 43_200)), 0)
        self.assertEqual(now(live.refuse([ids[5]], 43_200)), 0)
        self.assertEqual((self.done(socket, ids[5:]), self.pending()), (0, 10))
        for last in (ids[0], ids[5], ids[9]):
            self.assertEqual(live.up_to(last), ids[:1])
        live.resize(100)
        self.turn()
        self.assertEqual(self.taken(socket), [(number, "again") for number in range(1, 10)])
        self.assertEqual((self.done(socket, live.up_to(ids[8])), self.pending()), (9, 1))

    def test_taken_over_while_it_was_held_up(self) -> None:
        """A process that was held up so long that its subscriptions have ended says of a name that somebody else has attached
        since that it was taken over, and refuses late acknowledgements."""
        socket, _ = self.begin(DURABLE)
        self.post(1)
        self.taken(socket)
        now(self.storage.subscriptions.delete("p", "q", self.placed.id))
        self.begin(DURABLE, process=Process(self.storage, self.clock, "g2"))
        self.turn(0.1)
        self.assertEqual(self.taken(socket), [("End", TAKEN_OVER)])
        self.assertRaises(Conflict, self.me.live.find, QUEUE, socket)

    def test_sent_again_by_the_holder_alone(self) -> None:
        """A holder that was not told for a while that it is one asks before it sends anything again: another one may have it, and be done
        with it.  Nothing is asked where the name was in use just now."""
        socket, _ = self.begin(LiveTerms(FIRST, 3600, "d", 100, 4))
        self.post(1)
        self.me.parts["durables"].calls.clear()
        self.turn(4)
        self.assertEqual((self.taken(socket), self.me.parts["durables"].calls), ([1, (1, "again")], []))
        self.turn(4)
        self.assertEqual((self.taken(socket), self.me.parts["durables"].calls), ([(1, "again")], ["renew"]))
        other = Process(self.storage, self.clock, "g2")
        self.me.away("durables")  # it hears, and is told, nothing
        there, _ = self.begin(DURABLE, process=other)
        self.assertEqual(self.taken(there), [(1, "again")])
        self.assertEqual(now(self.live(there, other).acknowledge(self.ids())), 1)
        self.me.away()
        look = self.me.parts["durables"].hold("renew")
        self.clock.advance(9)  # all at once: it was held up
        self.assertEqual(self.taken(socket), [("End", TAKEN_OVER)])
        look.callback(None)
        self.turn()
        self.assertEqual(self.taken(socket), [])

    def test_pending_for_who_acknowledges_nothing(self) -> None:
        """Who attaches a name without acknowledgements gets what is pending under it once, in order and marked, and gaps; then the rest."""
        ids = self.leave(*range(70))
        now(self.storage.messages.delete_many("p", "q", ids[40:42], None))
        self.post(70)
        terms = LiveTerms(FIRST, 3600, "d", deadline_s=5)
        socket, begun = self.begin(terms)
        self.assertEqual((begun.resumed, begun.window, (begun.marker or "") < ids[0]), (True, None, True))
        pending = [(number, "again") for number in range(70)]
        self.assertEqual(self.taken(socket), [*pending[:40], ("Gap", None), *pending[42:], 70])
        self.assertEqual((self.gaps(), self.pending()), ([(ids[39], ids[42])], 0))
        with self.assertRaises(RuleBroken):
            now(self.live(socket).acknowledge(ids))
        self.turn(30)
        self.post(71)
        self.assertEqual(self.taken(socket), [71])
        self.me.sockets.gone(socket)
        self.turn()
        self.assertEqual(self.taken(self.begin(terms)[0]), [])

    def test_pending_is_not_lost(self) -> None:
        """What is pending stays so until it was sent: where nobody reads it, or the connection is cut before the store has that it was sent,
        the next one gets it."""
        self.leave(*range(40))
        terms, slow = LiveTerms(FIRST, 3600, "d"), Socket("http://127.0.0.1:1/slow")
        slow.takes = False
        self.begin(terms, slow)
        self.turn(10)
        self.assertEqual((slow.pushed, self.pending()), ([], 40))
        self.me.sockets.gone(slow)
        held = self.me.parts["durables"].hold("acknowledge")
        cut, _ = self.begin(terms)
        self.assertEqual(len(self.taken(cut)), 32)
        self.post(40)
        self.assertEqual(self.taken(cut), [])
        other = Process(self.storage, self.clock, "g2")
        there, _ = self.begin(terms, process=other)
        held.callback(None)
        self.turn()
        self.assertEqual(self.taken(there), [*((number, "again") for number in range(40)), 40])
        self.assertEqual(self.taken(cut), [("End", TAKEN_OVER)])

    def test_without_acknowledgements(self) -> None:
        """A durable name without acknowledgements goes on behind what was sent."""
        terms = LiveTerms(FIRST, 3600, "d")
        socket, _ = self.begin(terms)
        self.post(1, 2)
        self.assertEqual(self.taken(socket), [1, 2])
        self.me.sockets.gone(socket)
        self.post(3)
        self.assertEqual(self.taken(self.begin(terms)[0]), [3])

    def test_gap_without_messages(self) -> None:
        """A gap is told once, though nothing follows it, also to who comes again."""
        socket, _ = self.begin(DURABLE)
        self.post(1)
        self.taken(socket)
        self.done(socket, self.ids())
        self.me.sockets.gone(socket)
        self.post(2)
        now(self.storage.queues.purge("p", "q"))
        again, _ = self.begin(DURABLE)
        self.assertEqual(self.taken(again), [("Gap", None)])
        self.me.sockets.gone(again)
        self.turn()
        self.assertEqual(self.taken(self.begin(DURABLE)[0]), [])


class Workers(LiveCase):
    """Sockets for which messages are claimed."""

    def stats(self) -> tuple[int, int]:
        """How many messages are free, and claimed."""
        stats = now(self.storage.queues.stats("p", "q"))
        return stats.free, stats.claimed

    def test_renewed(self) -> None:
        """Claims last as long as the socket is there, and no longer."""
        socket, _ = self.begin(WORK)
        self.post(1, 2)
        self.turn(50)
        for _ in range(30):
            self.turn(10)
        self.assertEqual((self.taken(socket), self.stats()), ([1, 2], (0, 2)))
        self.me.sockets.gone(socket)
        self.turn()
        self.assertEqual(self.stats(), (2, 0))

    def test_ended_during_a_look(self) -> None:
        """A subscription that is deleted while it is looked which are there is told so at once, and not by the next look by the clock."""
        socket, _ = self.begin(DURABLE)
        held = self.me.parts["durables"].hold("renew")
        self.turn(10)
        self.assertIn("renew", self.me.parts["durables"].calls)
        now(self.storage.subscriptions.delete("p", "q", self.placed.id))
        self.turn(0.5)
        self.assertEqual(self.taken(socket), [])
        held.callback(None)
        self.turn(0.5)
        self.assertEqual(self.taken(socket), [("End", ENDED)])

    def test_refused_during_a_renewal(self) -> None:
        """What is given back with a delay while others are renewed comes again after that."""
        socket, _ = self.begin(WorkTerms(3600, 60, 100))
        self.post(*range(100))
        self.turn(2)
        self.taken(socket)
        last = self.documents[-1]["id"]
        held = self.me.parts["claims"].hold("update")
        self.turn(1199)
        self.assertIn("update", self.me.parts["claims"].calls)
        self.live(socket).resize(99)
        self.assertEqual(now(self.live(socket).refuse([last], 5)), 1)
        held.callback(None)
        self.turn()
        other, _ = self.begin(WorkTerms(60, 60, 10))
        self.turn(4)
        self.assertEqual(self.taken(other), [])
        self.turn(2)
        self.assertEqual(len(self.taken(other)), 1)

    def test_killed(self) -> None:
        """What a process had that died is claimed by another one when the claims lapse."""
        self.begin(WORK)
        self.post(1, 2)
        other = Process(self.storage, self.clock, "g2")
        there, _ = self.begin(WORK, process=other)
        self.me.away(*self.me.parts)
        self.turn(30)
        self.assertEqual(self.taken(there), [])
        self.turn(31)
        self.turn(1)
        self.assertEqual(self.taken(there), [1, 2])

    def test_claim_lost(self) -> None:
        """What is deleted elsewhere, or given back, by whatever way leaves the window soon, however long claims last; what was
        given back is claimed again."""
        worker = WorkTerms(43_200, 60, 2)

        def deleted(ids: list[str], claims: list[str]) -> None:
            now(self.storage.messages.delete("p", "q", ids[0], claims[0]))

        def deleted_in_bulk(ids: list[str], claims: list[str]) -> None:
            now(self.storage.messages.delete_many("p", "q", ids[:1], None))

        def purged(ids: list[str], claims: list[str]) -> None:
            now(self.storage.queues.purge("p", "q"))
            post(self.storage, 3)

        def queue_deleted(ids: list[str], claims: list[str]) -> None:
            now(self.storage.queues.delete("p", "q"))
            post(self.storage, 3)

        def released(ids: list[str], claims: list[str]) -> None:
            now(self.storage.claims.release("p", "q", claims[0]))

        for act, comes in ((deleted, 3), (deleted_in_bulk, 3), (purged, 3), (queue_deleted, 3), (released, 1)):
            socket, _ = self.begin(worker)
            self.post(1, 2, 3)
            self.assertEqual(self.taken(socket), [1, 2])
            act([each["id"] for each in self.documents], [each["claim_id"] for each in self.documents])
            self.turn(LIVE_S)
            self.assertEqual(self.taken(socket), [comes], act)
            self.me.sockets.gone(socket)
            now(self.storage.queues.delete("p", "q"))
            self.turn()

    def test_claims_are_looked_at_without_room_alone(self) -> None:
        """Whether claims are there is asked of the store while they fill the window, and changes nothing where they are, or the store is away."""
        socket, _ = self.begin(WorkTerms(43_200, 60, 2))
        self.post(1)
        calls = self.me.parts["claims"].calls
        self.turn(3 * LIVE_S)
        self.assertNotIn("live", calls)
        self.post(2)
        self.turn(LIVE_S)
        self.assertEqual(calls.count("live"), 1)
        now(self.storage.queues.purge("p", "q"))
        self.me.away("claims")
        self.post(3)
        self.turn(LIVE_S)
        self.assertEqual(self.taken(socket), [1, 2])
        self.me.away()
        self.turn(LIVE_S)
        self.assertEqual(self.taken(socket), [3])

    def test_claimed_again_during_a_look(self) -> None:
        """What is claimed anew while it is looked which claims are there stays in the window under its new claim."""
        socket, _ = self.begin(WorkTerms(43_200, 60, 1))
        self.post(1)
        held = self.me.parts["claims"].hold("live")
        self.turn(LIVE_S)
        self.taken(socket)
        self.live(socket).resize(2)
        now(self.storage.claims.release("p", "q", self.documents[0]["claim_id"]))
        self.turn()
        self.assertEqual(self.taken(socket), [1])
        held.callback(None)
        self.turn(1)
        self.assertEqual((self.done(socket, self.ids()), self.ids()), (1, []))

    def test_lapsed(self) -> None:
        """An acknowledgement under a claim that has lapsed counts nothing, and the message is not deleted."""
        socket, _ = self.begin(WORK)
        self.post(1)
        (first,) = self.ids()
        claim = msgspec.json.decode(socket.pushed[0].text)["claim_id"]
        now(self.storage.claims.release("p", "q", claim))
        mine = now(self.storage.claims.create("p", "q", 60, 60, 1))
        self.assertEqual((self.done(socket, [first]), self.ids()), (0, [first]))
        self.assertNotEqual(mine.id, claim)

    def test_slow_socket(self) -> None:
        """Nothing is claimed for a socket that takes nothing."""
        socket, _ = self.begin(WORK)
        other, _ = self.begin(WORK)
        socket.takes = False
        self.post(1, 2)
        self.assertEqual((self.taken(socket), self.taken(other)), ([], [1, 2]))
        self.me.sockets.gone(other)
        self.turn(1)
        self.assertEqual(self.stats(), (2, 0))
        socket.take()
        self.turn()
        self.assertEqual(self.taken(socket), [1, 2])

    def test_store_away(self) -> None:
        """While the store is away nothing is claimed; then it goes on by itself.  What cannot be given back lapses."""
        socket, _ = self.begin(WORK)
        self.me.away("claims")
        self.post(1)
        self.turn(3)
        self.assertEqual(self.taken(socket), [])
        self.me.away()
        self.turn(1)
        self.assertEqual(self.taken(socket), [1])
        self.me.away("claims")
        self.me.sockets.gone(socket)
        self.turn(10)
        self.assertEqual(self.stats(), (0, 1))
        self.turn(60)
        self.assertEqual(self.stats(), (1, 0))

    def test_given_back_later(self) -> None:
        """What cannot be given back at once is tried again, and a stop waits for that."""
        socket, _ = self.begin(WORK)
        self.post(1)
        self.me.away("claims")
        self.me.sockets.gone(socket)
        stopped: list[Any] = []
        Deferred.fromCoroutine(self.me.live.stop()).addCallback(stopped.append)
        self.assertEqual(stopped, [])
        self.me.away()
        self.turn(1)
        self.assertEqual((len(stopped), self.stats()), (1, (1, 0)))

    def test_given_back_much_later(self) -> None:
        """However long the store is away, what is held is given back soon after; neither a stop nor who unsubscribes waits for that."""
        socket, _ = self.begin(WORK)
        self.post(1)
        (message,) = self.ids()
        self.me.away("claims")
        done: list[Any] = []
        Deferred.fromCoroutine(self.me.live.unsubscribed(QUEUE, socket, self.placed.id)).addCallback(done.append)
        Deferred.fromCoroutine(self.me.live.stop()).addCallback(done.append)
        self.turn(2)
        self.assertEqual(done, [])
        self.turn(1)
        self.assertEqual(len(done), 2)
        self.turn(30)
        self.assertEqual(self.stats(), (0, 1))
        self.me.away()
        self.turn(5)
        self.assertEqual((self.stats(), self.ids()), ((1, 0), [message]))

    def test_gone_while_claiming(self) -> None:
        """What is claimed for a socket that is gone by then is given back."""
        socket, _ = self.begin(WORK)
        held = self.me.parts["claims"].hold("create_each")
        self.post(1)
        self.me.sockets.gone(socket)
        held.callback(None)
        self.turn()
        self.assertEqual((self.taken(socket)[:1] == [1], self.stats()), (False, (1, 0)))

    def test_up_to(self) -> None:
        """All up to a message are those that were handed out before it; one that was not means none."""
        socket, _ = self.begin(WORK)
        self.post(1, 2, 3)
        ids = self.ids()
        live = self.live(socket)
        self.assertEqual((live.up_to(ids[1]), live.up_to("x")), (ids[:2], []))
        live.resize(1)
        self.assertEqual(self.done(socket, ids[:2]), 2)
        self.post(4)
        self.assertEqual(self.taken(socket), [1, 2, 3])

    def test_up_to_what_is_done(self) -> None:
        """A message that is done already means those before it as well, and not what came again behind it."""
        socket, _ = self.begin(WorkTerms(60, 60, 5))
        self.post(1, 2, 3, 4)
        ids = self.ids()
        live = self.live(socket)
        self.assertEqual(self.done(socket, ids[2:3]), 1)
        self.assertEqual(live.up_to(ids[2]), ids[:2])
        self.assertEqual(now(live.refuse(ids[:1], 0)), 1)
        self.turn()
        self.assertEqual(self.taken(socket), [1, 2, 3, 4, 1])
        self.assertEqual((live.up_to(ids[2]), set(live.up_to(ids[0]))), (ids[1:2], {ids[0], ids[1], ids[3]}))
        self.assertEqual((self.done(socket, live.up_to(ids[2])), live.up_to(ids[2])), (1, []))

    def test_up_to_what_was_done_long_ago(self) -> None:
        """In which order all was handed out is not remembered for ever, but of what is held it is."""
        socket, _ = self.begin(WorkTerms(60, 60, 5))
        self.post(*range(100))
        ids = self.ids()
        live: Any = self.live(socket)
        self.done(socket, ids[1:2])
        self.assertEqual(live.up_to(ids[1]), ids[:1])
        for each in ids[2:]:
            self.done(socket, [each])
        self.assertEqual((live.up_to(ids[1]), live.up_to(ids[0]), live.up_to(ids[99])), ([], ids[:1], ids[:1]))
        self.assertLess(len(live._numbers), 30)

    def test_refusal_that_fails(self) -> None:
        """A refusal that the store does not take can be repeated."""
        socket, _ = self.begin(WORK)
        self.post(1)
        self.me.away("claims")
        with self.assertRaises(StoreUnavailable):
            now(self.live(socket).refuse(self.ids(), 0))
        self.me.away()
        self.taken(socket)
        self.assertEqual(now(self.live(socket).refuse(self.ids(), 0)), 1)
        self.turn()
        self.assertEqual(self.taken(socket), [1])
