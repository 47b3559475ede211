"""Queues, their messages and the claims on them.

The live messages of a queue are entries by rank, and the ranks are divided among three ordered sets: free, delayed and
held (by a claim).  A claim takes from the front of the free ones, a listing merges the sets that it shows, counts are
the sizes of the sets.  What time changes (a message expires or becomes due, a claim lapses) stands in agendas and is
done before anything else whenever a queue is touched, so that nobody sees the state of an earlier instant.
"""

from __future__ import annotations

import heapq
from bisect import bisect_left, bisect_right, insort
from collections.abc import Callable, Collection, Iterable, Sequence
from itertools import islice, takewhile

import msgspec
from attrs import define, field
from twisted.internet.interfaces import IReactorTime
from zope.interface import implementer

from zaqar_gateway.errors import EncryptionDiffers, KeyUnknown, QueueMissing
from zaqar_gateway.interfaces import IClaimStore, IDeadLetterStore, IMessageStore, IQueueStore
from zaqar_gateway.model import (
    CLAIMED_TOO_OFTEN,
    EARLIEST,
    ENCRYPTED,
    KEY_ID_SIZE,
    LATEST,
    NO_RULES,
    Claim,
    DeadLetter,
    Letter,
    Message,
    MessagePage,
    NewPost,
    Place,
    Posted,
    QueueEntry,
    QueueRules,
    QueueStats,
    Quotas,
    Replayed,
    SendBack,
    SentBack,
    StatsEdge,
    StreamPage,
    Usage,
)
from zaqar_gateway.storage import (
    bytes_exceeded,
    claimed,
    ids,
    marker_unknown,
    messages_exceeded,
    mismatch,
    post_too_large,
    queues_exceeded,
)
from zaqar_gateway.storage.memory.ledgers import Ledgers
from zaqar_gateway.storage.memory.once import Keys
from zaqar_gateway.storage.memory.ordered import Agenda, Ranks, RankSource

ADOPTED_KEPT_S = 3600
"""How long a queue remembers which dead letters of other stores it has taken in."""

ALIAS_KEPT_S = 3600
"""How long a queue remembers where a message stood that had been moved into it and is gone.  A marker that is used
later still goes on from the instant of the post, which is earlier: it shows a message twice and never skips one."""

PAST_KEPT_S = 300
"""How long it is remembered how far a queue that was deleted had come."""

PAGE_BYTES = 262_144
"""After so many bytes of bodies a page of what was posted ends."""

SWEPT_AT_ONCE = 10_000
"""How many messages of deleted or purged queues one sweep frees: a few milliseconds of work."""

@define(eq=False)
class _Entry:
    """A live message.

    :ivar rank: its place in the queue; in the id unless it was moved here.
    :ivar ttl_posted_s: its ttl when it came here, which a claim does not raise.
    :ivar among: the set that its rank is in.
    :ivar claim_id: the live claim that holds it.
    """

    rank: int
    id: str
    body: bytes
    client: bytes
    ttl_s: int
    ttl_posted_s: int
    expires_ms: int
    created_ms: int
    among: Ranks
    claim_id: str | None = None
    claim_count: int = 0
    dead: DeadLetter | None = None

    def age_s(self, now: int) -> int:
        return max(0, now - self.created_ms) // 1000  # never negative, though the clock be set back

    def message(self, now: int) -> Message:
        return Message(
            self.id, self.body, self.ttl_s, self.age_s(now), self.claim_id, self.claim_count, dead=self.dead
        )

    def posted(self, now: int) -> Posted:
        message = Message(self.id, self.body, self.ttl_posted_s, self.age_s(now), dead=self.dead)
        return Posted(message, self.client)

    def edge(self, now: int) -> StatsEdge:
        return StatsEdge(self.id, self.age_s(now), self.created_ms)


@define(eq=False)
class _Claim:
    """A live claim."""

    ttl_s: int
    renewed_ms: int
    ranks: set[int] = field(factory=set)


@define(eq=False)
class _Queue:
    """One life of a queue.  Whoever gets one from ``Space`` finds it as it is now.

    :ivar bytes: of the bodies of its entries.
    :ivar cut: the greatest rank of what is gone from it; at first of what an earlier one of its name has had.
    :ivar last: the greatest rank that any message here has had, or that an earlier queue left.
    :ivar keys: under which messages were posted.
    """

    incarnation: str
    metadata: bytes
    rules: QueueRules
    ranks: RankSource
    entries: dict[int, _Entry] = field(factory=dict)
    claims: dict[str, _Claim] = field(factory=dict)
    free: Ranks = field(factory=Ranks)
    delayed: Ranks = field(factory=Ranks)
    held: Ranks = field(factory=Ranks)
    bytes: int = 0
    cut: int = 0
    last: int = 0
    dead: Ranks = field(factory=Ranks)  # of the dead letters, whatever set they are in besides
    adopted: Agenda[str] = field(factory=Agenda)  # places of dead letters of other stores, and until when they are known
    keys: Keys = field(factory=Keys)
    _aliases: dict[str, int] = field(factory=dict)  # id to local rank, of messages moved into this queue
    _expiring: Agenda[int] = field(factory=Agenda)
    _due: Agenda[int] = field(factory=Agenda)
    _lapsing: Agenda[str] = field(factory=Agenda)
    _forgetting: Agenda[str] = field(factory=Agenda)

    def settle(self, now: int) -> None:
        """Do what time has brought."""
        for rank in self._expiring.take(now):
            self.remove(self.entries[rank], now)
        for claim_id in self._lapsing.take(now):
            self.end(claim_id)
        for rank in self._due.take(now):
            self.shift(self.entries[rank], self.free)
        for message_id in self._forgetting.take(now):
            del self._aliases[message_id]

    def next_event(self) -> int | None:
        """When ``settle`` has something to do again."""
        agendas = (self._expiring.next(), self._due.next(), self._lapsing.next(), self._forgetting.next())
        return min((at for at in agendas if at is not None), default=None)

    def next_deliverable(self) -> int | None:
        """When a claim lapses, or a delay ends."""
        return min((at for at in (self._due.next(), self._lapsing.next()) if at is not None), default=None)

    def position(self, marker: str) -> int | None:
        """The rank that an id means in this queue; ``None`` where the text is no id."""
        moved = self._aliases.get(marker)
        if moved is not None:
            return moved
        parsed = ids.parse_id(marker)
        return None if parsed is None else parsed[0]

    def place(self, marker: str, parsed: tuple[int, str]) -> int | None:
        """The rank that a marker means; ``None``: it is of another queue, or of something moved here that is long gone."""
        rank, incarnation = parsed
        return self._aliases.get(marker, rank if incarnation == self.incarnation else None)

    def find(self, message_id: str) -> _Entry | None:
        rank = self.position(message_id)
        entry = None if rank is None else self.entries.get(rank)
        # A rank may be that of another message: in an id of another queue or life, or of one that was never given out.
        return entry if entry is not None and entry.id == message_id else None

    def found(self, message_ids: Sequence[str]) -> list[_Entry]:
        return [entry for entry in map(self.find, message_ids) if entry is not None]

    def add(self, entry: _Entry, due_ms: int = 0) -> None:
        """Take in an entry; ``among`` says whether it is delayed, ``due_ms`` until when."""
        self.entries[entry.rank] = entry
        self.bytes += len(entry.body)
        self.last = entry.rank
        entry.among.add(entry.rank)
        self._expiring.set(entry.rank, entry.expires_ms)
        if entry.among is self.delayed:
            self._due.set(entry.rank, due_ms)

    def adopt(self, entry: _Entry, now_us: int, due_ms: int = 0) -> None:
        """Take in an entry of another queue at the end, delayed where it is due at some time."""
        entry.rank = self.ranks.next(now_us)
        entry.among = self.delayed if due_ms else self.free
        self._aliases[entry.id] = entry.rank
        self._forgetting.discard(entry.id)
        if entry.dead is not None:
            entry.dead = msgspec.structs.replace(entry.dead, moved_ms=entry.rank // 1000)
            self.dead.add(entry.rank)
        self.add(entry, due_ms)

    def remove(self, entry: _Entry, now: int) -> None:
        del self.entries[entry.rank]
        self.bytes -= len(entry.body)
        self.cut = max(self.cut, entry.rank)
        entry.among.remove(entry.rank)
        if entry.dead is not None:
            self.dead.remove(entry.rank)
        self._expiring.discard(entry.rank)
        if entry.among is self.delayed:
            self._due.discard(entry.rank)
        if entry.claim_id is not None:
            claim = self.claims[entry.claim_id]
            claim.ranks.discard(entry.rank)
            if not claim.ranks:
                self.end(entry.claim_id)
            entry.claim_id = None
        if entry.id in self._aliases:
            self._forgetting.set(entry.id, now + ALIAS_KEPT_S * 1000)

    def shift(self, entry: _Entry, to: Ranks) -> None:
        entry.among.remove(entry.rank)
        to.add(entry.rank)
        entry.among = to

    def hold(self, claim_id: str, claim: _Claim, entries: Iterable[_Entry]) -> None:
        """Begin a claim on free entries."""
        self.claims[claim_id] = claim
        for entry in entries:
            entry.claim_id = claim_id
            claim.ranks.add(entry.rank)
            self.shift(entry, self.held)

    def extend(self, claim_id: str, grace_s: int, *, equal: bool) -> None:
        """Set when a claim lapses, and let its messages outlive it.

        :param equal: whether a message that expires in the instant in which the claim lapses is extended as well.
        """
        claim = self.claims[claim_id]
        lapses = claim.renewed_ms + claim.ttl_s * 1000
        self._lapsing.set(claim_id, lapses)
        for rank in claim.ranks:
            entry = self.entries[rank]
            if entry.expires_ms < lapses + equal:
                entry.ttl_s = claim.ttl_s + grace_s
                entry.expires_ms = lapses + grace_s * 1000
                self._expiring.set(rank, entry.expires_ms)

    def end(self, claim_id: str) -> None:
        """Release a claim, if it is live."""
        claim = self.claims.pop(claim_id, None)
        if claim is None:
            return
        self._lapsing.discard(claim_id)
        for rank in claim.ranks:
            entry = self.entries[rank]
            entry.claim_id = None
            self.shift(entry, self.free)

    def purge(self) -> dict[int, _Entry]:
        """Become empty, and give the entries to the caller, to be freed at leisure."""
        purged = self.entries
        self.cut = self.last
        self.entries, self.claims, self.bytes = {}, {}, 0
        self.free, self.delayed, self.held, self.dead = Ranks(), Ranks(), Ranks(), Ranks()
        self._expiring, self._due, self._lapsing = Agenda(), Agenda(), Agenda()
        # What is posted from now on comes after the places and the posts of all that was here, so any id will do.
        self._aliases, self._forgetting = {}, Agenda()
        return purged


@define(eq=False)
class Space:
    """What the parts of the store share: the queues, or the topics, and the clock."""

    clock: IReactorTime
    new_incarnation: Callable[[], str]
    ledgers: Ledgers
    quotas: Quotas
    is_topics: bool
    queues: dict[tuple[str, str], _Queue] = field(factory=dict)
    names: dict[str, list[str]] = field(factory=dict)  # of each project, sorted
    _agenda: Agenda[tuple[str, str]] = field(factory=Agenda)  # no later than the next event of each queue
    _graves: list[dict[int, _Entry]] = field(factory=list)
    _past: dict[tuple[str, str], int] = field(factory=dict)  # of what was deleted lately: the last rank that it had
    _forgetting: Agenda[tuple[str, str]] = field(factory=Agenda)

    def now(self) -> int:
        return int(self.clock.seconds() * 1000)

    def now_us(self) -> int:
        return int(self.clock.seconds() * 1_000_000)

    def place(self, project: str, name: str) -> Place:
        return Place(project, name, self.is_topics)

    def find(self, project: str, name: str, now: int) -> _Queue | None:
        queue = self.queues.get((project, name))
        if queue is not None:
            queue.settle(now)
        return queue

    def check_room(self, project: str, more: int = 1) -> None:
        """:raises QuotaExceeded: with so many queues more the project would have more than it may have."""
        most = self.quotas.queues
        if most and len(self.names.get(project, ())) + more > most:
            raise queues_exceeded(most)

    def check_quotas(self, queue: _Queue | None, number: int, size: int) -> None:
        """:raises QuotaExceeded: with so many messages more, and bytes of their bodies, there would be more than there may be."""
        if queue is not None:
            number, size = number + len(queue.entries), size + queue.bytes
        if 0 < self.quotas.messages_per_queue < number:
            raise messages_exceeded(self.quotas.messages_per_queue)
        if 0 < self.quotas.bytes_per_queue < size:
            raise bytes_exceeded(self.quotas.bytes_per_queue)

    def create(self, project: str, name: str, metadata: bytes = b"{}", rules: QueueRules = NO_RULES) -> _Queue:
        """Create a queue that does not exist."""
        ranks = self.ledgers.ranks(self.place(project, name))
        past = self.past(project, name)
        ranks.last = max(ranks.last, past)
        queue = _Queue(self.new_incarnation(), metadata, rules, ranks, cut=past, last=past)
        self.queues[project, name] = queue
        insort(self.names.setdefault(project, []), name)
        return queue

    def delete(self, project: str, name: str) -> None:
        queue = self.queues.pop((project, name), None)
        if queue is None:
            return
        self._agenda.discard((project, name))
        if queue.last:
            self._past[project, name] = queue.last
            self._forgetting.set((project, name), self.now() + PAST_KEPT_S * 1000)
        self.bury(queue.entries)
        names = self.names[project]
        del names[bisect_left(names, name)]
        if not names:
            del self.names[project]

    def past(self, project: str, name: str) -> int:
        """The last rank that a queue had that was deleted, as long as that is remembered; 0 where there was none."""
        for key in self._forgetting.take(self.now()):
            del self._past[key]
        return self._past.get((project, name), 0)

    def bury(self, entries: dict[int, _Entry]) -> None:
        """Leave the messages of a deleted or purged queue to ``sweep``: freeing them all would take too long."""
        self._graves.append(entries)

    def ring(self, project: str, name: str) -> None:
        """Tell whoever waits at a queue that there may be something."""
        self.ledgers.bells.ring(self.place(project, name), posted=True, owed=False)

    def plan(self, project: str, name: str) -> None:
        """See to it that ``sweep`` comes by when something happens in a queue, should nobody touch it before."""
        at = self.queues[project, name].next_event()
        planned = self._agenda.get((project, name))
        if at is not None and (planned is None or at < planned):
            self._agenda.set((project, name), at)

    def sweep(self) -> None:
        now = self.now()
        self.past("", "")
        for key in list(self._agenda.take(now)):
            self.queues[key].settle(now)
            self.plan(*key)
        left = SWEPT_AT_ONCE
        while self._graves and left:
            grave = self._graves[-1]
            while grave and left:
                grave.popitem()
                left -= 1
            if not grave:
                self._graves.pop()


@implementer(IQueueStore)
@define(eq=False)
class MemoryQueues:
    """Queues, or topics, of :class:`MemoryStorage`."""

    _space: Space

    async def create(self, project: str, queue: str, metadata: bytes, rules: QueueRules) -> bool:
        if (project, queue) in self._space.queues:
            return False
        self._space.check_room(project)
        self._space.create(project, queue, metadata, rules)
        return True

    async def get(self, project: str, queue: str) -> bytes | None:
        found = self._space.queues.get((project, queue))
        return None if found is None else found.metadata

    async def update(self, project: str, queue: str, seen: bytes, metadata: bytes, rules: QueueRules) -> bool:
        found = self._space.queues.get((project, queue))
        if found is None or found.metadata != seen:
            return False
        found.metadata, found.rules = metadata, rules
        return True

    async def delete(self, project: str, queue: str) -> None:
        self._space.delete(project, queue)

    async def count(self, project: str) -> int:
        return len(self._space.names.get(project, ()))

    async def usage(self, project: str) -> Usage:
        now = self._space.now()
        found = [self._space.find(project, name, now) for name in self._space.names.get(project, ())]
        return Usage(
            sum(len(queue.entries) for queue in found if queue is not None),
            sum(queue.bytes for queue in found if queue is not None),
        )

    async def stats(self, project: str, queue: str) -> QueueStats | None:
        now = self._space.now()
        found = self._space.find(project, queue, now)
        if found is None:
            return None
        places = (found.free, found.delayed, found.held)
        first = min((p.first for p in places if p.first is not None), default=None)
        last = max((p.last for p in places if p.last is not None), default=None)
        return QueueStats(
            free=len(found.free) + len(found.delayed),
            claimed=len(found.held),
            oldest=None if first is None else found.entries[first].edge(now),
            newest=None if last is None else found.entries[last].edge(now),
        )

    async def purge(self, project: str, queue: str) -> None:
        found = self._space.queues.get((project, queue))
        if found is not None:
            self._space.bury(found.purge())

    async def list(self, project: str, marker: str, limit: int) -> list[QueueEntry]:
        names = self._space.names.get(project, [])
        start = bisect_right(names, marker)
        return [QueueEntry(name, self._space.queues[project, name].metadata) for name in names[start : start + limit]]


@implementer(IMessageStore)
@define(eq=False)
class MemoryMessages:
    """Messages, of :class:`MemoryStorage`."""

    _space: Space

    async def post(self, project: str, queue: str, new: NewPost) -> list[str]:
        messages, once = new.messages, new.once
        now, now_us = self._space.now(), self._space.now_us()
        found = self._space.find(project, queue, now)
        known = [""] * len(messages)
        if once is not None:
            known = (Keys() if found is None else found.keys).known(once, len(messages), now)
            if all(known):
                return Replayed(known)
        fresh = [position for position, message_id in enumerate(known) if not message_id]
        if once is not None and once.keys:
            first: dict[str, int] = {}
            fresh = [each for each in fresh if not once.keys[each] or first.setdefault(once.keys[each], each) == each]
        if once is not None:
            keyed = fresh if once.key else [position for position in fresh if once.keys[position]]
            if keyed:
                (Keys() if found is None else found.keys).check_room(once, len(keyed), now)
        rules = NO_RULES if found is None else found.rules
        limit = new.size_max if rules.post_size_max is None else min(rules.post_size_max, new.size_max)
        if new.size > limit:
            raise post_too_large(new.size, limit, own=limit < new.size_max)
        if new.encrypted != rules.encrypted:
            raise EncryptionDiffers
        if found is None and new.create:
            self._space.check_room(project)
        fresh_ones = [messages[position] for position in fresh]
        self._space.check_quotas(found, len(fresh_ones), sum(len(one.body) for one in fresh_ones))
        if found is None:
            if not new.create:
                raise QueueMissing
            found = self._space.create(project, queue)
        default_s = new.ttl_default_s if rules.message_ttl_s is None else rules.message_ttl_s
        ledger = self._space.ledgers.followed(self._space.place(project, queue), now)
        posted = []
        for position in fresh:
            one = messages[position]
            rank = found.ranks.next(now_us)
            ttl_s = default_s if one.ttl_s is None else one.ttl_s
            delay_s = rules.message_delay_s
            if delay_s and one.delay_s is not None:
                delay_s = one.delay_s
            message_id = ids.format_id(rank, found.incarnation)
            posted.append((position, message_id))
            found.add(
                _Entry(
                    rank=rank,
                    id=message_id,
                    body=one.body,
                    client=new.client,
                    ttl_s=ttl_s,
                    ttl_posted_s=ttl_s,
                    expires_ms=now + ttl_s * 1000,
                    created_ms=now,
                    among=found.delayed if delay_s else found.free,
                ),
                due_ms=now + delay_s * 1000,
            )
            if ledger is not None:
                ledger.add(rank, one.body, ttl_s, delay_s if rules.message_delay_s else None)
        if ledger is None:
            self._space.ring(project, queue)
        else:
            self._space.ledgers.posted(ledger, now)
        self._space.plan(project, queue)
        if once is None:
            return [message_id for _, message_id in posted]
        found.keys.keep(once, posted)
        new_ids = dict(posted)
        kept = found.keys.known(once, len(messages), now)
        return [message_id or new_ids[position] for position, message_id in enumerate(kept)]

    async def get(self, project: str, queue: str, ids: Sequence[str]) -> list[Message]:
        now = self._space.now()
        found = self._space.find(project, queue, now)
        return [] if found is None else [entry.message(now) for entry in found.found(ids)]

    async def delete(self, project: str, queue: str, message_id: str, claim_id: str | None) -> None:
        now = self._space.now()
        found = self._space.find(project, queue, now)
        entry = None if found is None else found.find(message_id)
        if found is None or entry is None:
            return
        if claim_id != entry.claim_id:
            if entry.claim_id is not None and (claim_id is None or claim_id in found.claims):
                raise claimed(message_id)
            raise mismatch(message_id)
        found.remove(entry, now)

    async def delete_many(self, project: str, queue: str, ids: Sequence[str], claim_ids: Sequence[str] | None) -> None:
        now = self._space.now()
        found = self._space.find(project, queue, now)
        if found is None:
            return
        entries = {entry.rank: entry for entry in found.found(ids)}.values()  # an id may be given twice
        if claim_ids is not None:
            for entry in entries:
                if entry.claim_id not in claim_ids:
                    raise mismatch(entry.id)
        for entry in entries:
            found.remove(entry, now)

    async def pop(
        self, project: str, queue: str, limit: int, *, key_ids: Collection[bytes] | None = None
    ) -> list[Message]:
        now = self._space.now()
        found = self._space.find(project, queue, now)
        if found is None:
            return []
        entries = [found.entries[rank] for rank in islice(found.free.after(-1), limit)]
        for entry in entries:
            key_id = entry.body[1 : 1 + KEY_ID_SIZE]
            if entry.body.startswith(ENCRYPTED) and key_ids is not None and key_id not in key_ids:
                raise KeyUnknown(project, queue, key_id)
        for entry in entries:
            found.remove(entry, now)
        return [entry.message(now) for entry in entries]

    async def list(
        self,
        project: str,
        queue: str,
        *,
        marker: str | None,
        limit: int,
        skip_client: bytes | None,
        include_claimed: bool,
        include_delayed: bool,
    ) -> MessagePage:
        now = self._space.now()
        found = self._space.find(project, queue, now)
        if found is None:
            return MessagePage([], None)
        knows_delay = found.rules.message_delay_s != 0
        start = -1 if marker is None else found.position(marker)
        if start is None:
            return MessagePage([], None, knows_delay)
        shown = [found.free]
        if include_delayed or not knows_delay:
            shown.append(found.delayed)
        if include_claimed:
            shown.append(found.held)
        messages: list[Message] = []
        entry = None
        for rank in heapq.merge(*(ranks.after(start) for ranks in shown)):
            entry = found.entries[rank]
            if skip_client is None or entry.client != skip_client:
                messages.append(entry.message(now))
                if len(messages) == limit:
                    break
        return MessagePage(messages, None if entry is None else entry.id, knows_delay)

    async def read(self, project: str, queue: str, marker: str, limit: int) -> StreamPage:
        now = self._space.now()
        given = None if marker in (EARLIEST, LATEST) else ids.parse_id(marker)
        if given is None and marker not in (EARLIEST, LATEST):
            raise marker_unknown(marker)
        found = self._space.find(project, queue, now)
        if found is None:
            return self._read_none(given, self._space.past(project, queue))
        cut = ids.format_id(found.cut, found.incarnation)
        end = ids.format_id(found.last, found.incarnation)
        if marker == LATEST:
            return StreamPage([], end, False, cut, False)
        start, gap = 0, False
        if given is not None and given[1] == ids.NO_QUEUE:
            gap = found.cut > given[0]  # and all that is here came later
        elif given is not None:
            place = found.place(marker, given)
            start, gap = place or 0, place is None or found.cut > place
        posted: list[Posted] = []
        size = 0
        for rank in heapq.merge(*(ranks.after(start) for ranks in (found.free, found.delayed, found.held))):
            entry = found.entries[rank]
            if len(posted) == limit or size >= PAGE_BYTES:
                return StreamPage(posted, ids.format_id(start, found.incarnation), gap, cut, True)
            posted.append(entry.posted(now))
            start, size = rank, size + len(entry.body)
        return StreamPage(posted, end, gap, cut, False)

    def _read_none(self, given: tuple[int, str] | None, past: int) -> StreamPage:
        """A page of a queue that does not exist.

        :param past: the last rank that the queue had which was deleted.
        """
        gap = False
        if given is not None:
            rank, incarnation = given
            gap = incarnation != ids.NO_QUEUE or past > rank
            past = max(past, rank) if incarnation == ids.NO_QUEUE else past
        marker = ids.format_id(past, ids.NO_QUEUE)
        return StreamPage([], marker, gap, marker, False)

    async def due_in(self, project: str, queue: str) -> int | None:
        now = self._space.now()
        found = self._space.find(project, queue, now)
        at = None if found is None else found.next_deliverable()
        return None if at is None else max(0, at - now)


@implementer(IClaimStore)
@define(eq=False)
class MemoryClaims:
    """Claims, of :class:`MemoryStorage`."""

    _space: Space
    _new_id: Callable[[], str]

    async def create(self, project: str, queue: str, ttl_s: int, grace_s: int, limit: int) -> Claim | None:
        taken = self._take(project, queue, ttl_s, grace_s, limit, each=False)
        return Claim(taken[0].claim_id or "", ttl_s, 0, taken) if taken else None

    async def create_each(self, project: str, queue: str, ttl_s: int, grace_s: int, limit: int) -> list[Message]:
        return self._take(project, queue, ttl_s, grace_s, limit, each=True)

    def _take(self, project: str, queue: str, ttl_s: int, grace_s: int, limit: int, *, each: bool) -> list[Message]:
        """Claim messages, each on its own or all together."""
        now = self._space.now()
        found = self._space.find(project, queue, now)
        if found is None:
            return []
        target, count_max = found.rules.dead_letter_queue, found.rules.claim_count_max
        taken: list[_Entry] = []
        spent: list[_Entry] = []
        for rank in found.free.after(-1):
            entry = found.entries[rank]
            if target is not None and count_max is not None and entry.claim_count >= count_max:
                spent.append(entry)
                continue
            taken.append(entry)
            if len(taken) == limit:
                break
        if target is not None and spent:
            self._move(project, queue, found, spent, target, now)
        if not taken:
            return []
        if target is not None and count_max is not None:
            for entry in taken:
                entry.claim_count += 1
        for together in [[entry] for entry in taken] if each else [taken]:
            claim_id = self._new_id()
            found.hold(claim_id, _Claim(ttl_s, now), together)
            found.extend(claim_id, grace_s, equal=False)
        self._space.plan(project, queue)
        return [entry.message(now) for entry in taken]

    def _move(
        self, project: str, name: str, queue: _Queue, spent: Iterable[_Entry], target: str, now: int
    ) -> None:
        """Move messages that were handed out too often to the dead letter queue."""
        ttl_s, now_us = queue.rules.dead_letter_ttl_s, self._space.now_us()
        dead = self._space.find(project, target, now) or self._space.create(project, target)
        for entry in spent:
            queue.remove(entry, now)
            if ttl_s is not None:
                entry.ttl_s, entry.expires_ms = ttl_s, now + ttl_s * 1000
            entry.ttl_posted_s = entry.ttl_s
            entry.dead = DeadLetter(name, CLAIMED_TOO_OFTEN, 0)
            dead.adopt(entry, now_us)
        self._space.plan(project, target)
        self._space.ring(project, target)

    async def get(self, project: str, queue: str, claim_id: str) -> Claim | None:
        now = self._space.now()
        found = self._space.find(project, queue, now)
        claim = None if found is None else found.claims.get(claim_id)
        if found is None or claim is None:
            return None
        messages = [found.entries[rank].message(now) for rank in sorted(claim.ranks)]
        return Claim(claim_id, claim.ttl_s, max(0, now - claim.renewed_ms) // 1000, messages)

    async def update(self, project: str, queue: str, claim_id: str, ttl_s: int, grace_s: int) -> bool:
        now = self._space.now()
        found = self._space.find(project, queue, now)
        claim = None if found is None else found.claims.get(claim_id)
        if found is None or claim is None:
            return False
        lapsed_ms, lapses_ms = claim.renewed_ms + claim.ttl_s * 1000, now + ttl_s * 1000
        claim.ttl_s, claim.renewed_ms = ttl_s, now
        found.extend(claim_id, grace_s, equal=True)
        self._space.plan(project, queue)
        if lapses_ms < lapsed_ms:  # sooner than whoever waits for that knows
            self._space.ring(project, queue)
        return True

    async def release(self, project: str, queue: str, claim_id: str) -> None:
        found = self._space.find(project, queue, self._space.now())
        if found is not None and claim_id in found.claims:
            found.end(claim_id)
            self._space.ring(project, queue)

    async def live(self, project: str, queue: str, claim_ids: Sequence[str]) -> Collection[str]:
        found = self._space.find(project, queue, self._space.now())
        return () if found is None else [each for each in claim_ids if each in found.claims]


@implementer(IDeadLetterStore)
@define(eq=False)
class MemoryDeadLetters:
    """Dead letters, of :class:`MemoryStorage`."""

    _space: Space

    async def list(self, project: str, queue: str, *, marker: str | None, limit: int) -> list[Message]:
        now = self._space.now()
        found = self._space.find(project, queue, now)
        start = -1 if marker is None or found is None else found.position(marker)
        if found is None or start is None:
            return []
        return [found.entries[rank].message(now) for rank in islice(found.dead.after(start), limit)]

    async def send_back(self, project: str, queue: str, asked: SendBack, *, create: bool = True) -> SentBack:
        now, number, missing = self._space.now(), 0, None
        found = self._space.find(project, queue, now)
        if found is None:
            return SentBack(0, 0)
        going: list[tuple[str, _Entry]] = []
        added: dict[str, tuple[int, int]] = {}
        for to, entry in self._sendable(found, asked):
            target = self._space.find(project, to, now)
            if target is None and not create:
                missing = to
                break
            number, size = added.get(to, (0, 0))
            added[to] = number + 1, size + len(entry.body)
            self._space.check_quotas(target, *added[to])
            going.append((to, entry))
        fresh = [to for to in added if (project, to) not in self._space.queues]
        if fresh:
            self._space.check_room(project, len(fresh))
        for to in fresh:
            self._space.create(project, to)
        for nth, (to, entry) in enumerate(going):
            found.remove(entry, now)
            self._arrive(self._space.queues[project, to], entry, asked, nth)
        for to in added:
            self._arrived(project, to)
        return SentBack(len(going), len(found.dead), missing)

    def _sendable(self, queue: _Queue, asked: SendBack) -> Iterable[tuple[str, _Entry]]:
        """What nobody has claimed, and where it goes."""
        entries = (queue.entries[rank] for rank in list(queue.dead.after(-1)))
        ids = None if asked.ids is None else set(asked.ids)
        going = (one for one in entries if one.claim_id is None and (ids is None or one.id in ids))
        return [(asked.to or one.dead.queue, one) for one in islice(going, asked.limit) if one.dead is not None]

    def _arrive(self, queue: _Queue, entry: _Entry, asked: SendBack, nth: int) -> None:
        now = self._space.now()
        due_ms = now + int((asked.sent + nth) * asked.gap_ms)
        entry.dead, entry.claim_count = None, 0
        entry.ttl_posted_s, entry.expires_ms = entry.ttl_s, due_ms + entry.ttl_s * 1000
        queue.adopt(entry, self._space.now_us(), due_ms if due_ms > now else 0)

    def _arrived(self, project: str, queue: str) -> None:
        self._space.plan(project, queue)
        self._space.ring(project, queue)

    async def letters(self, project: str, queue: str, asked: SendBack, to: str) -> Sequence[Letter]:
        found = self._space.find(project, queue, self._space.now())
        going = [] if found is None else self._sendable(found, asked)
        return [
            Letter(ids.format_id(one.rank, found.incarnation), one.id, one.body, one.client, one.ttl_s, one.created_ms)
            for _, one in takewhile(lambda each: each[0] == to, going)
            if found is not None
        ]

    async def adopt(self, project: str, queue: str, letters: Sequence[Letter], asked: SendBack) -> None:
        now = self._space.now()
        found = self._space.find(project, queue, now)
        if found is None:
            raise QueueMissing
        for _ in found.adopted.take(now):
            pass  # forgotten
        new = [(nth, one) for nth, one in enumerate(letters) if found.adopted.get(one.place) is None]
        self._space.check_quotas(found, len(new), sum(len(one.body) for _, one in new))
        for nth, one in new:
            entry = _Entry(0, one.id, one.body, one.client, one.ttl_s, one.ttl_s, 0, one.created_ms, found.free)
            self._arrive(found, entry, asked, nth)
            found.adopted.set(one.place, now + ADOPTED_KEPT_S * 1000)
        self._arrived(project, queue)
