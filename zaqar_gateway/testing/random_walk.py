"""One random sequence of operations on two stores, which have to answer alike.

Ids differ between stores, so they are compared by the order in which they were given out; leases are, by the order of
their subscriptions.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Callable
from functools import partial
from random import Random

from attrs import define, field
from msgspec.structs import replace
from twisted.internet.task import Clock

from zaqar_gateway.errors import GatewayError
from zaqar_gateway.interfaces import IStorage
from zaqar_gateway.model import (
    EARLIEST,
    LATEST,
    Claim,
    FailedDelivery,
    GivenUp,
    Message,
    NewMessage,
    NewPost,
    NewSubscription,
    Once,
    Owed,
    Place,
    Progress,
    QueueRules,
    Replayed,
    SendBack,
    StatsEdge,
    Subscription,
)

PROJECTS = ("p", "p/{x}")
QUEUES = ("a", "b", "c", "a.b")
CLIENTS = (b"\x01" * 16, b"\x02" * 16)
SUBSCRIBERS = ("http://a", "HTTP://a", "mailto:c@d")
OWNERS = ("", "", "", "gateway")
NO_ID = "nonesuch"

MARKER_AGE_MAX_S = 1800
"""Markers are ids that were seen no longer ago than this.  A store keeps the place of a message that was moved into a
queue as long as the message is there and an hour after it is gone; later its id may mark an earlier place."""


class Difference(AssertionError):
    """The stores answered differently."""


@define
class _Side:
    """One of the stores, and what it calls the things that both have."""

    storage: IStorage
    messages: list[str] = field(factory=list)
    claims: list[str] = field(factory=list)
    subscriptions: list[str] = field(factory=list)
    leases: list[Owed] = field(factory=list)
    markers: list[str] = field(factory=list)
    _numbers: dict[str, int] = field(factory=dict)
    _keyed: set[str] = field(factory=set)  # messages that came with keys

    def give(self, ids: list[str], new: str) -> int:
        """Number an id that was given out just now."""
        if new in self._numbers:
            raise Difference(f"id {new} was given out twice")
        self._numbers[new] = len(ids)
        ids.append(new)
        return self._numbers[new]

    def posted(self, message_id: str, once: Once | None) -> int:
        """The number of a message that was posted, now or under a key before."""
        if message_id in self._keyed and once is not None:
            return self._numbers[message_id]
        if once is not None:
            self._keyed.add(message_id)
        return self.give(self.messages, message_id)

    def message_id(self, number: int | None) -> str:
        return NO_ID if number is None else self.messages[number]

    def claim_id(self, number: int | None) -> str:
        return NO_ID if number is None else self.claims[number]

    def message(self, message: Message) -> object:
        claim = None if message.claim_id is None else self.number(message.claim_id)
        number = self.number(message.id)
        return ("message", number, message.body, message.ttl_s, message.age_s, claim, message.claim_count)

    def claim(self, claim: Claim | None, *, new: bool) -> object:
        if claim is None:
            return None
        number = self.give(self.claims, claim.id) if new else self.number(claim.id)
        return ("claim", number, claim.ttl_s, claim.age_s, [self.message(message) for message in claim.messages])

    def subscription_id(self, number: int | None) -> str:
        return NO_ID if number is None else self.subscriptions[number]

    def subscription(self, one: Subscription | None) -> object:
        if one is None:
            return None
        number = self.number(one.id)
        return ("subscription", number, one.subscriber, one.ttl_s, one.age_s, one.options, one.confirmed, one.owner)

    def owed(self, owed: Owed | None) -> object:
        if owed is None:
            return None
        posts = [(post.body, post.ttl_s, post.delay_s, post.notice, post.until_s) for post in owed.posts]
        if (cursors := [post.cursor for post in owed.posts]) != sorted(set(cursors)):
            raise Difference(f"cursors are not in order: {cursors}")
        return (owed.place, self.subscription(owed.subscription), posts, owed.attempts, owed.retry_policy, owed.gap)

    def taken(self, taken: list[Owed]) -> object:
        taken = sorted(taken, key=lambda owed: self.number(owed.subscription.id))
        self.leases += taken
        return ("taken", [self.owed(owed) for owed in taken])

    def failure(self, failure: FailedDelivery) -> object:
        number = self.number(failure.subscription_id)
        return (number, failure.subscriber, failure.attempts, failure.reason, failure.age_s, failure.notice)

    def edge(self, edge: StatsEdge | None) -> object:
        return None if edge is None else (self.number(edge.id), edge.age_s, edge.created_ms)

    def number(self, known: str) -> int:
        if known not in self._numbers:
            raise Difference(f"id {known} was never given out")
        return self._numbers[known]


_Place = tuple[str, str]
_Step = tuple[str, _Place, Callable[[_Side], Awaitable[object]]]


@define
class _Walk:
    """Chooses steps; all chance is in here, none in the sides.

    :ivar seen: number of a message: when it was last in an answer.
    :ivar home: number of a message: where it was then.
    :ivar holder: number of a message: the claim that it was last seen under.
    :ivar claims: where each claim was made.
    :ivar subscriptions: where each subscription was made.
    :ivar leases: where each lease was taken.
    :ivar required: whether only confirmed subscriptions are delivered to.
    :ivar graves: the queues that were last to get dead letters.
    """

    rng: Random
    clock: Clock
    required: bool
    graves: list[_Place] = field(factory=list)
    posted: int = 0
    claims: list[_Place] = field(factory=list)
    subscriptions: list[_Place] = field(factory=list)
    leases: list[_Place] = field(factory=list)
    seen: dict[int, float] = field(factory=dict)
    home: dict[int, _Place] = field(factory=dict)
    holder: dict[int, int] = field(factory=dict)

    def learn(self, place: _Place, answer: object) -> None:
        """Note what an answer tells about messages and claims."""
        match answer:
            case ("posted", list(numbers), _):
                new = [number for number in dict.fromkeys(numbers) if number >= self.posted]
                self.seen.update(dict.fromkeys(new, self.clock.seconds()))
                self.home.update(dict.fromkeys(new, place))
                self.posted += len(new)
            case ("message", int(number), _, _, _, claim, _):
                self.seen[number], self.home[number] = self.clock.seconds(), place
                if isinstance(claim, int):
                    self.holder[number] = claim
            case ("claim", int(number), _, _, messages):
                if number == len(self.claims):
                    self.claims.append(place)
                self.learn(place, messages)
            case ("placed", int(number), _, _):
                if number == len(self.subscriptions):
                    self.subscriptions.append(place)
            case ("taken", list(taken)):
                self.leases += [place] * len(taken)
            case list(parts):
                for part in parts:
                    self.learn(place, part)
            case ("page", parts, _):
                self.learn(place, parts)

    # -- chance ------------------------------------------------------------------------------------------------------

    def place(self) -> _Place:
        """A queue of a project."""
        (queue,) = self.rng.choices(QUEUES, (5, 4, 2, 1))
        return self.rng.choice((PROJECTS[0], PROJECTS[0], PROJECTS[0], PROJECTS[1])), queue

    def place_of_message(self, number: int | None) -> _Place:
        """Mostly where the message was last seen."""
        home = None if number is None else self.home.get(number)
        return self.place() if home is None or self.rng.random() < 0.1 else home

    def place_of_claim(self, number: int | None) -> _Place:
        """Mostly where the claim was made."""
        return self.place() if number is None or self.rng.random() < 0.1 else self.claims[number]

    def message_number(self) -> int | None:
        """One of the later messages, seldom any, seldom none."""
        if not self.posted or self.rng.random() < 0.05:
            return None
        first = 0 if self.rng.random() < 0.1 else max(0, self.posted - 30)
        return self.rng.randrange(first, self.posted)

    def claim_number(self) -> int | None:
        """One of the later claims, seldom none."""
        if not self.claims or self.rng.random() < 0.05:
            return None
        return self.rng.randrange(max(0, len(self.claims) - 6), len(self.claims))

    def held_by(self, claim: int | None) -> list[int | None]:
        """The messages that a claim was given, seldom without one of them."""
        held: list[int | None] = [number for number, holder in self.holder.items() if holder == claim]
        return self.rng.sample(held, max(0, len(held) - (self.rng.random() < 0.2)))

    def subscription(self) -> tuple[int | None, _Place]:
        """One of the later subscriptions, seldom none, and mostly where it was made."""
        if not self.subscriptions or self.rng.random() < 0.05:
            return None, self.place()
        number = self.rng.randrange(max(0, len(self.subscriptions) - 12), len(self.subscriptions))
        return number, self.place() if self.rng.random() < 0.05 else self.subscriptions[number]

    def place_of_subscription(self) -> _Place:
        """Mostly where one of the later subscriptions was made."""
        return self.subscription()[1] if self.rng.random() < 0.9 else self.place()

    def lease_number(self) -> int | None:
        """One of the later leases."""
        return self.rng.randrange(max(0, len(self.leases) - 3), len(self.leases)) if self.leases else None

    def notice_s(self) -> int | None:
        return self.rng.choice((None, None, 60, 3600))

    def marker_number(self) -> int | None:
        now = self.clock.seconds()
        recent = sorted(number for number, at in self.seen.items() if now - at <= MARKER_AGE_MAX_S)
        return self.rng.choice(recent[-40:]) if recent else None

    def ttl(self) -> int:
        return self.rng.choice((60, 60, 61, 90, 300, 3600))

    def place_of_dead_letters(self) -> _Place:
        """Mostly where there may be some."""
        return self.rng.choice(self.graves[-4:]) if self.graves and self.rng.random() < 0.9 else self.place()

    def rules(self, project: str, queue: str) -> QueueRules:
        rng = self.rng
        grave = rng.choice([None, *(name for name in QUEUES if name != queue)])
        if grave is not None:
            self.graves.append((project, grave))
        return QueueRules(
            message_ttl_s=rng.choice((None, 60, 240)),
            post_size_max=rng.choice((None, None, 30, 1000)),
            message_delay_s=rng.choice((0, 0, 5, 60)),
            claim_count_max=rng.choice((None, -1, 0, 1, 1, 2)),
            dead_letter_queue=grave,
            dead_letter_ttl_s=rng.choice((None, None, 60, 600)),
            retry_policy=rng.choice((b"", b'{"a":1}', b'{"b":2}')),
        )

    # -- steps -------------------------------------------------------------------------------------------------------

    def step(self) -> _Step:
        names, weights = zip(*_WEIGHTS.items(), strict=True)
        (name,) = self.rng.choices(names, weights)
        step: _Step = getattr(self, name)()
        return step

    def post(self) -> _Step:
        place = project, queue = self.place()
        client, rng = self.rng.choice(CLIENTS), self.rng
        messages = [
            NewMessage(b"%d" % (self.posted + n), rng.choice((None, self.ttl())), rng.choice((None, None, 0, 5, 90)))
            for n in range(rng.choice((1, 1, 2, 3, 8)))
        ]
        size, size_max = rng.choice((10, 30, 31)), rng.choice((30, 100, 100, 100))
        once = self.once(len(messages))

        async def run(side: _Side) -> object:
            ids = await side.storage.messages.post(
                project, queue, NewPost(client, messages, size=size, ttl_default_s=120, size_max=size_max, once=once)
            )
            if once is None and sorted(ids) != ids:
                raise Difference(f"ids are not in order: {ids}")
            return ("posted", [side.posted(each, once) for each in ids], isinstance(ids, Replayed))

        return f"post {project!r} {queue!r} {client!r} {messages} {size=} {size_max=} {once=}", place, run

    def once(self, number: int) -> Once | None:
        """Keys for so many messages."""
        rng = self.rng
        if rng.random() < 0.7:
            return None
        if rng.random() < 0.5:
            return Once(200, 12, rng.choice("abcdefgh"))
        return Once(200, 12, keys=tuple(rng.choice(("", *"abcdefgh")) for _ in range(number)))

    def create(self) -> _Step:
        place = project, queue = self.place()
        metadata, rules = b'{"created": %d}' % self.posted, self.rules(project, queue)
        return (
            f"create {project!r} {queue!r} {rules}",
            place,
            lambda side: side.storage.queues.create(project, queue, metadata, rules),
        )

    def update(self) -> _Step:
        place = project, queue = self.place()
        metadata, rules, guess = b'{"updated": %d}' % self.posted, self.rules(project, queue), self.rng.random() < 0.1

        async def run(side: _Side) -> object:
            seen = b"{}" if guess else await side.storage.queues.get(project, queue)
            return seen, await side.storage.queues.update(project, queue, seen or b"", metadata, rules)

        return f"update {project!r} {queue!r} {guess=} {rules}", place, run

    def delete_queue(self) -> _Step:
        place = project, queue = self.place()
        return f"delete_queue {project!r} {queue!r}", place, lambda side: side.storage.queues.delete(project, queue)

    def purge(self) -> _Step:
        place = project, queue = self.place()
        return f"purge {project!r} {queue!r}", place, lambda side: side.storage.queues.purge(project, queue)

    def look_at_queues(self) -> _Step:
        place = project, queue = self.place()
        marker, limit = self.rng.choice(("", "a", "aa", "b")), self.rng.randint(1, 5)

        async def run(side: _Side) -> object:
            queues = side.storage.queues
            listed = [(entry.name, entry.metadata) for entry in await queues.list(project, marker, limit)]
            return listed, await queues.count(project), await queues.get(project, queue)

        return f"look_at_queues {project!r} {queue!r} {marker=} {limit=}", place, run

    def stats(self) -> _Step:
        place = project, queue = self.place()
        return f"stats {project!r} {queue!r}", place, lambda side: _stats(side, project, queue)

    def get(self) -> _Step:
        numbers = list(dict.fromkeys(self.message_number() for _ in range(self.rng.randint(1, 8))))
        place = project, queue = self.place_of_message(numbers[0])

        async def run(side: _Side) -> object:
            ids = [side.message_id(number) for number in numbers]
            return [side.message(message) for message in await side.storage.messages.get(project, queue, ids)]

        return f"get {project!r} {queue!r} {numbers}", place, run

    def bury(self) -> _Step:
        """Have messages become dead letters, which else few of them do."""
        place = project, queue = self.place()
        rules = replace(self.rules(project, queue), claim_count_max=0, message_delay_s=0, post_size_max=None)
        texts = [b"%d" % (self.posted + number) for number in range(3)]

        async def run(side: _Side) -> object:
            await side.storage.queues.delete(project, queue)
            await side.storage.queues.create(project, queue, b"{}", rules)
            ids = await side.storage.messages.post(
                project,
                queue,
                NewPost(CLIENTS[0], [NewMessage(text) for text in texts], size=9, ttl_default_s=120, size_max=100),
            )
            claim = await side.storage.claims.create(project, queue, 60, 60, 20)
            return [("posted", [side.give(side.messages, new) for new in ids]), side.claim(claim, new=True)]

        return f"bury {project!r} {queue!r} {rules}", place, run

    def dead_letters(self) -> _Step:
        place = project, queue = self.place_of_dead_letters()
        marker, limit = self.marker_number() if self.rng.random() < 0.5 else None, self.rng.choice((1, 2, 20))

        async def run(side: _Side) -> object:
            after = None if marker is None else side.message_id(marker)
            page = await side.storage.dead_letters.list(project, queue, marker=after, limit=limit)
            return [(side.message(message), message.dead) for message in page]

        return f"dead_letters {project!r} {queue!r} {marker=} {limit=}", place, run

    def send_back(self) -> _Step:
        rng = self.rng
        numbers = [self.message_number() for _ in range(rng.randint(1, 8))] if rng.random() < 0.5 else None
        place = project, queue = self.place_of_dead_letters()
        limit, gap_ms = 8 if numbers else rng.choice((1, 2, 20)), rng.choice((0, 0, 1000, 2500))
        to = rng.choice([None, None, *(name for name in QUEUES if name != queue)])

        async def run(side: _Side) -> object:
            ids = None if numbers is None else tuple(side.message_id(number) for number in numbers)
            sent = await side.storage.dead_letters.send_back(project, queue, SendBack(ids, limit, to, gap_ms))
            return sent if sent.number else []

        return f"send_back {project!r} {queue!r} {numbers} {limit=} {gap_ms=} {to=}", place, run

    def list(self) -> _Step:
        place = project, queue = self.place()
        rng = self.rng
        from_start, marker, limit = rng.random() < 0.4, self.marker_number(), rng.choice((1, 2, 3, 20))
        skip_client = rng.choice((None, *CLIENTS))
        include_claimed, include_delayed = rng.random() < 0.5, rng.random() < 0.5

        async def run(side: _Side) -> object:
            page = await side.storage.messages.list(
                project,
                queue,
                marker=None if from_start else side.message_id(marker),
                limit=limit,
                skip_client=skip_client,
                include_claimed=include_claimed,
                include_delayed=include_delayed,
            )
            return ("page", [side.message(message) for message in page.messages], page.knows_delay)

        return (
            f"list {project!r} {queue!r} {from_start=} {marker=} {limit=} {skip_client=} {include_claimed=}"
            f" {include_delayed=}",
            place,
            run,
        )

    def list_all(self) -> _Step:
        place = project, queue = self.place()
        limit, skip_client = self.rng.choice((1, 2, 3, 7)), self.rng.choice((None, None, *CLIENTS))

        async def run(side: _Side) -> object:
            return await _everything(side, project, queue, limit, skip_client)

        return f"list_all {project!r} {queue!r} {limit=} {skip_client=}", place, run

    def read(self) -> _Step:
        place = project, queue = self.place()
        rng = self.rng
        limit, at = rng.choice((1, 2, 3, 20)), rng.random()
        message, earlier = self.marker_number(), rng.randrange(1, 4)

        async def run(side: _Side) -> object:
            if at < 0.2 or not side.markers:
                marker = LATEST if at < 0.1 else EARLIEST
            else:
                marker = side.message_id(message) if at < 0.5 else side.markers[-min(earlier, len(side.markers))]
            page = await side.storage.messages.read(project, queue, marker, limit)
            side.markers.append(page.marker)
            posted = [(side.message(one.message), one.client) for one in page.posted]
            return ("read", posted, page.gap, page.more, page.cut > page.marker)

        return f"read {project!r} {queue!r} {limit=} {at=} {message=} {earlier=}", place, run

    def delete(self) -> _Step:
        number = self.message_number()
        place = project, queue = self.place_of_message(number)
        own = None if number is None else self.holder.get(number)
        with_claim, claim = self.rng.random() < 0.6, own if self.rng.random() < 0.7 else self.claim_number()

        async def run(side: _Side) -> object:
            claim_id = side.claim_id(claim) if with_claim else None
            await side.storage.messages.delete(project, queue, side.message_id(number), claim_id)
            return None

        return f"delete {project!r} {queue!r} {number=} {with_claim=} {claim=}", place, run

    def delete_many(self) -> _Step:
        numbers = self.held_by(self.claim_number()) if self.rng.random() < 0.4 else []
        numbers = numbers or [self.message_number() for _ in range(self.rng.randint(1, 4))]
        place = project, queue = self.place_of_message(numbers[0])
        claims = [self.holder.get(number) for number in numbers if number is not None]
        claims.append(self.claim_number())
        with_claims = self.rng.random() < 0.7

        async def run(side: _Side) -> object:
            ids = [side.message_id(number) for number in numbers]
            claim_ids = [side.claim_id(claim) for claim in claims] if with_claims else None
            await side.storage.messages.delete_many(project, queue, ids, claim_ids)
            return None

        return f"delete_many {project!r} {queue!r} {numbers} {with_claims=} {claims}", place, run

    def pop(self) -> _Step:
        place = project, queue = self.place()
        limit = self.rng.randint(1, 4)

        async def run(side: _Side) -> object:
            return [side.message(message) for message in await side.storage.messages.pop(project, queue, limit)]

        return f"pop {project!r} {queue!r} {limit=}", place, run

    def claim(self) -> _Step:
        place = project, queue = self.place()
        ttl_s, grace_s, limit = self.ttl(), self.ttl(), self.rng.choice((1, 2, 5, 20))

        async def run(side: _Side) -> object:
            claim = await side.storage.claims.create(project, queue, ttl_s, grace_s, limit)
            return side.claim(claim, new=True)

        return f"claim {project!r} {queue!r} {ttl_s=} {grace_s=} {limit=}", place, run

    def get_claim(self) -> _Step:
        number = self.claim_number()
        place = project, queue = self.place_of_claim(number)

        async def run(side: _Side) -> object:
            claim = await side.storage.claims.get(project, queue, side.claim_id(number))
            return side.claim(claim, new=False)

        return f"get_claim {project!r} {queue!r} {number}", place, run

    def update_claim(self) -> _Step:
        number, ttl_s, grace_s = self.claim_number(), self.ttl(), self.ttl()
        place = project, queue = self.place_of_claim(number)
        return (
            f"update_claim {project!r} {queue!r} {number} {ttl_s=} {grace_s=}",
            place,
            lambda side: side.storage.claims.update(project, queue, side.claim_id(number), ttl_s, grace_s),
        )

    def release(self) -> _Step:
        number = self.claim_number()
        place = project, queue = self.place_of_claim(number)
        return (
            f"release {project!r} {queue!r} {number}",
            place,
            lambda side: side.storage.claims.release(project, queue, side.claim_id(number)),
        )

    def subscribe(self) -> _Step:
        rng = self.rng
        place = project, queue = (PROJECTS[0], QUEUES[0]) if rng.random() < 0.5 else self.place()
        new = NewSubscription(
            subscriber=rng.choice(SUBSCRIBERS),
            ttl_s=rng.choice((60, 600, 3600)),
            options=b'{"n": %d}' % len(self.subscriptions),
            owner=rng.choice(OWNERS),
            confirmed=rng.random() < 0.3,
            notice_s=self.notice_s(),
        )

        async def run(side: _Side) -> object:
            placed = await side.storage.subscriptions.create(project, queue, new)
            number = side.give(side.subscriptions, placed.id) if placed.is_new else side.number(placed.id)
            return ("placed", number, placed.is_new, placed.confirmed)

        return f"subscribe {project!r} {queue!r} {new}", place, run

    def get_subscription(self) -> _Step:
        number, place = self.subscription()
        project, queue = place

        async def run(side: _Side) -> object:
            return side.subscription(
                await side.storage.subscriptions.get(project, queue, side.subscription_id(number))
            )

        return f"get_subscription {project!r} {queue!r} {number}", place, run

    def list_subscriptions(self) -> _Step:
        place = project, queue = self.place_of_subscription()
        limit = self.rng.choice((1, 2, 3, 20))
        return (
            f"list_subscriptions {project!r} {queue!r} {limit=}",
            place,
            lambda side: _followers(side, project, queue, limit),
        )

    def update_subscription(self) -> _Step:
        number, place = self.subscription()
        project, queue = place
        rng = self.rng
        subscriber = rng.choice((None, *SUBSCRIBERS))
        ttl_s, options = rng.choice((None, self.ttl())), rng.choice((None, b'{"updated": 1}'))
        notice_s = self.notice_s()

        async def run(side: _Side) -> object:
            return await side.storage.subscriptions.update(
                project,
                queue,
                side.subscription_id(number),
                subscriber=subscriber,
                ttl_s=ttl_s,
                options=options,
                notice_s=notice_s,
            )

        return f"update_subscription {place} {number} {subscriber=} {ttl_s=} {options=} {notice_s=}", place, run

    def confirm(self) -> _Step:
        number, place = self.subscription()
        project, queue = place
        confirmed, notice_s = self.rng.random() < 0.6, self.notice_s()

        async def run(side: _Side) -> object:
            subscription_id = side.subscription_id(number)
            return await side.storage.subscriptions.confirm(
                project, queue, subscription_id, confirmed, required=self.required, notice_s=notice_s
            )

        return f"confirm {place} {number} {confirmed=} {notice_s=} {self.required=}", place, run

    def unsubscribe(self) -> _Step:
        number, place = self.subscription()
        project, queue = place

        async def run(side: _Side) -> object:
            return side.subscription(
                await side.storage.subscriptions.delete(project, queue, side.subscription_id(number))
            )

        return f"unsubscribe {place} {number}", place, run

    def purge_subscriptions(self) -> _Step:
        place = project, queue = self.place()
        return f"purge_subscriptions {place}", place, lambda side: side.storage.subscriptions.purge(project, queue)

    def leave(self) -> _Step:
        return "leave", ("", ""), lambda side: side.storage.deliveries.leave(OWNERS[-1])

    def take(self) -> _Step:
        place = self.place_of_subscription()
        batch, lease_ms = self.rng.choice((1, 2, 20)), self.rng.choice((1_000, 60_000, 600_000))

        async def run(side: _Side) -> object:
            # All at once: in which order they are taken that wait for equally long is up to the store.
            return side.taken(
                await side.storage.deliveries.take(
                    Place(*place), limit=1000, batch=batch, lease_ms=lease_ms, required=self.required
                )
            )

        return f"take {place} {batch=} {lease_ms=} {self.required=}", place, run

    def report(self) -> _Step:
        number, rng = self.lease_number(), self.rng
        done, fails, attempts = rng.choice((0, 1, 1, 2, 20)), rng.random() < 0.5, rng.randint(0, 3)
        wait_ms, batch, lease_ms = rng.choice((None, None, None, 0, 250, 30_000)), rng.choice((1, 20)), 60_000

        async def run(side: _Side) -> object:
            if number is None:
                return None
            lease = side.leases[number]
            posts = lease.posts[:done]
            progress = Progress(
                lease.subscription.id,
                lease.token,
                posts[-1].cursor if posts else "",
                tuple(GivenUp(post.cursor, attempts, f"{number}") for post in posts if fails),
                attempts,
                wait_ms,
            )
            owed = await side.storage.deliveries.report(
                lease.place, progress, batch=batch, lease_ms=lease_ms, required=self.required
            )
            if owed is not None:
                side.leases[number] = owed
            return side.owed(owed)

        place = ("", "") if number is None else self.leases[number]
        return f"report {number} {done=} {fails=} {attempts=} {wait_ms=} {batch=} {self.required=}", place, run

    def extend(self) -> _Step:
        numbers = [number for number in (self.lease_number(), self.lease_number()) if number is not None]
        lease_ms = self.rng.choice((1_000, 600_000))
        place = self.leases[numbers[0]] if numbers else self.place()

        async def run(side: _Side) -> object:
            leases = [(side.leases[number].subscription.id, side.leases[number].token) for number in numbers]
            held = await side.storage.deliveries.extend(Place(*place), leases, lease_ms)
            return sorted({side.number(each) for each in held})

        return f"extend {place} {numbers} {lease_ms=}", place, run

    def failures(self) -> _Step:
        place = self.place_of_subscription()
        return f"failures {place}", place, lambda side: _failures(side, *place)

    def resend(self) -> _Step:
        place, limit = self.place_of_subscription(), self.rng.choice((1, 2, 1000))
        chosen = self.rng.choice((None, slice(1, None, 2), slice(0, 2)))

        async def run(side: _Side) -> object:
            deliveries = side.storage.deliveries
            kept = await deliveries.failures(Place(*place), "", 1000)
            ids = None if chosen is None else [failure.id for failure in kept][chosen]
            return await deliveries.resend(Place(*place), ids, limit) or None

        return f"resend {place} {chosen} {limit=}", place, run

    def advance(self) -> _Step:
        seconds = self.rng.choice((0.25, 0.25, 0.5, 1, 1, 1, 5, 5, 5, 30, 60, 61, 90, 300))
        self.clock.advance(seconds)

        async def run(side: _Side) -> object:
            return None

        return f"advance {seconds} s", ("", ""), run


_WEIGHTS = {
    "post": 20,
    "create": 3,
    "update": 3,
    "delete_queue": 0.5,
    "purge": 0.5,
    "look_at_queues": 2,
    "stats": 6,
    "get": 6,
    "list": 10,
    "list_all": 2,
    "read": 4,
    "delete": 12,
    "delete_many": 5,
    "pop": 4,
    "claim": 20,
    "get_claim": 8,
    "update_claim": 6,
    "release": 4,
    "bury": 2,
    "dead_letters": 5,
    "send_back": 4,
    "subscribe": 8,
    "get_subscription": 3,
    "list_subscriptions": 3,
    "update_subscription": 7,
    "confirm": 6,
    "unsubscribe": 2,
    "purge_subscriptions": 0.3,
    "leave": 0.5,
    "take": 16,
    "report": 24,
    "extend": 6,
    "failures": 3,
    "resend": 4,
    "advance": 18,
}


async def _stats(side: _Side, project: str, queue: str) -> object:
    stats = await side.storage.queues.stats(project, queue)
    if stats is None:
        return None
    return ("stats", stats.free, stats.claimed, side.edge(stats.oldest), side.edge(stats.newest))


async def _everything(side: _Side, project: str, queue: str, limit: int, skip_client: bytes | None) -> object:
    """All messages of a queue, in pages, each of which goes on from the marker of the one before."""
    messages: list[object] = []
    marker = None
    while True:
        page = await side.storage.messages.list(
            project,
            queue,
            marker=marker,
            limit=limit,
            skip_client=skip_client,
            include_claimed=True,
            include_delayed=True,
        )
        if not page.messages:
            return messages
        messages += map(side.message, page.messages)
        marker = page.marker


async def _followers(side: _Side, project: str, queue: str, limit: int) -> object:
    """All live subscriptions of a queue, in pages, and those of all that ever were."""
    found: list[Subscription] = []
    while page := await side.storage.subscriptions.list(project, queue, found[-1].id if found else "", limit):
        found += page
    if (ids := [one.id for one in found]) != sorted(set(ids)):
        raise Difference(f"ids are not in order: {ids}")
    live = await side.storage.subscriptions.live(project, queue, side.subscriptions)
    if set(live) != set(ids):
        raise Difference(f"{live} are live and {ids} are listed")
    return [side.subscription(one) for one in sorted(found, key=lambda one: side.number(one.id))]


async def _failures(side: _Side, project: str, queue: str) -> object:
    """All that was given up in a queue, and how much that is."""
    place = Place(project, queue)
    kept = await side.storage.deliveries.failures(place, "", 1000)
    counts = [each.count for each in await side.storage.deliveries.failing(1000) if each.place == place]
    if counts != ([len(kept)] if kept else []):
        raise Difference(f"{counts} are counted and {len(kept)} are kept")
    return [side.failure(each) for each in kept]


async def _answer(run: Callable[[_Side], Awaitable[object]], side: _Side) -> object:
    try:
        return await run(side)
    except GatewayError as refused:
        return ("refused", type(refused).__name__)


async def walk(first: IStorage, second: IStorage, clock: Clock, seed: int, steps: int) -> Counter[str]:
    """Do the same random operations on two stores and compare what they answer.

    :param clock: of both stores; the walk advances it.
    :param seed: of the walk: the same seed on stores that are both empty is the same walk.
    :param steps: how many operations.
    :return: how often each operation had something to tell, by ``"<operation>: <sort of answer>"``, so that a test can
        check that it compared something.
    :raises Difference: two answers differ; the text gives the last steps.
    """
    sides = (_Side(first), _Side(second))
    choice = _Walk(Random(seed), clock, required=seed % 2 == 1)
    trail: list[str] = []
    told: Counter[str] = Counter()

    async def compare(title: str, run: Callable[[_Side], Awaitable[object]]) -> object:
        trail.append(title)
        try:
            one, other = [await _answer(run, side) for side in sides]
            if one != other:
                raise Difference(f"the first store answered\n    {one}\nthe second\n    {other}")
        except Difference as different:
            number = len(trail) - 1
            before = "\n".join(f"    {n}: {line}" for n, line in list(enumerate(trail))[-60:])
            raise Difference(f"seed {seed}, step {number}, {title}: {different}\nafter\n{before}") from None
        return one

    for _ in range(steps):
        title, place, run = choice.step()
        answer = await compare(title, run)
        choice.learn(place, answer)
        told[f"{title.partition(' ')[0]}: {_sort(answer)}"] += 1
    for project in PROJECTS:
        for queue in QUEUES:
            everything = partial(_everything, project=project, queue=queue, limit=20, skip_client=None)
            await compare(f"stats of {queue!r} at the end", partial(_stats, project=project, queue=queue))
            await compare(f"list all of {queue!r} at the end", everything)
            followers = partial(_followers, project=project, queue=queue, limit=20)
            await compare(f"subscriptions of {queue!r} at the end", followers)
            await compare(f"failures of {queue!r} at the end", partial(_failures, project=project, queue=queue))
    return told


def _sort(answer: object) -> str:
    match answer:
        case ("refused", str(kind)):
            return kind
        case None | [] | ("page", [], _) | ("taken", []) | False:
            return "nothing"
        case _:
            return "something"
