"""One random sequence of operations over HTTP and WebSocket, memory and Redis: all four have to answer alike.

Each of the four has a store of its own, and all stores the time of one clock.  Ids are compared by the order in which they
were given out.  What the API reference lets the transports differ in is in :func:`allowed`, and nowhere else.

By hand: ``python -m tests.wire.test_differential SEED STEPS`` from the root of the repository.
"""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Callable
from random import Random
from typing import Any

from attrs import define, evolve, field, frozen

from tests.helpers import CLIENT, OTHER_CLIENT
from tests.redis_server import connect, shared_server, storage_at
from tests.wire.calls import RESERVED, Call, Outcome, filled, unclaimed
from tests.wire.gateway import WireCase
from tests.wire.test_table import OnHttp, OnWebSocket, by_http, by_websocket
from zaqar_gateway.storage.redis.keys import Keys

QUEUES = ("a", "b", "slow", "dead", "a.b", "missing")
PROJECTS = ("p", "p/{x} é")
CLIENTS = (CLIENT, OTHER_CLIENT)
BODIES: tuple[Any, ...] = (1, None, "é\u20ac", {"b": 1, "a": [1.0, True]}, [], "", "x" * 300)
METADATA: tuple[Any, ...] = (
    {}, {"a": 1}, {"_default_message_ttl": 120}, {"_default_message_delay": 30}, {"_default_message_delay": 0},
    {"_max_messages_post_size": 200}, {"_max_claim_count": 1, "_dead_letter_queue": "dead"},
    {"_max_claim_count": 0, "_dead_letter_queue": "a", "_dead_letter_queue_messages_ttl": 90},
    {"_max_claim_count": 2, "_dead_letter_queue": "not a name"}, {"_enable_encrypt_messages": True},
    {"_max_claim_count": 1, "_dead_letter_queue": "dead", "_enable_encrypt_messages": True},
    {"_default_message_ttl": 0}, {"_max_messages_post_size": "1"}, {"_enable_encrypt_messages": 1}, {"_retry_policy": 1},
    [], "x", 1,
)  # fmt: skip
LIMITS: tuple[Any, ...] = (1, 2, 3, 5, 20, 0, -1, 21, "x", 1.5, None, 2**62)
TTLS: tuple[Any, ...] = (60, 61, 90, 300, 1209600, 59, 0, -1, 1209601, "60", 60.0, None, True, [], 2**62)
CLAIM_TTLS: tuple[Any, ...] = (60, 75, 100, 300, 43200, 59, 43201, "60", 60.0, None, 2**62)
POPS: tuple[Any, ...] = (1, 2, 3, 20, 0, -1, 21, "x", 1.5, None)
FLAGS: tuple[Any, ...] = (True, False, "nonesuch", None, 2)
SUBSCRIBERS: tuple[Any, ...] = ("http://a", "https://b", "mailto:c@d", "HTTP://a", "fake", "email://x", "ftp:", None, 5, [])
SUBSCRIPTION_TTLS: tuple[Any, ...] = (60, 61, 100, 400, 3600, 59, 0, -1, 2**62, "60", 60.0, None, [])
OPTIONS: tuple[Any, ...] = ({}, {"a": [1.0, "é"]}, {"_retry_policy": {"maximum_delay": 60}}, {"_retry_policy": 1}, [], "x", None)
WAITS = (0.0, 0.25, 0.25, 1.0, 1.0, 5.0, 5.0, 15.0, 29.75, 30.0, 60.0, 61.5, 100.0, 400.0)
AGAIN: Any = "a subscription that was there"
"""The result of subscribing again."""
NO_IDS = ("nada", "a", "0" * 24, "f" * 24, "é", "x" * 300, "a b")
MARKER_AGE_MAX_S = 1800
"""Markers are ids seen no longer ago: a store forgets the place of a message that moved an hour after it is gone."""


@frozen
class MessageId:
    """The message that was posted as this one; at least as old as its number says."""

    number: int


@frozen
class ClaimId:
    """The claim that was made as this one."""

    number: int


@frozen
class SubscriptionId:
    """The subscription that was made as this one."""

    number: int


@define
class Side:
    """One of the four, and what it calls the things that all have."""

    name: str
    way: OnHttp | OnWebSocket
    messages: list[str] = field(factory=list)
    claims: list[str] = field(factory=list)
    subscriptions: list[str] = field(factory=list)
    numbers: dict[str, object] = field(factory=dict)

    def put(self, value: Any) -> Any:
        """Replace references by ids."""
        if isinstance(value, MessageId):
            return self.messages[value.number]
        if isinstance(value, ClaimId):
            return self.claims[value.number]
        if isinstance(value, SubscriptionId):
            return self.subscriptions[value.number]
        if isinstance(value, list):
            return [self.put(one) for one in value]
        return {key: self.put(one) for key, one in value.items()} if isinstance(value, dict) else value

    def take(self, value: Any) -> Any:
        """Replace ids by references."""
        if isinstance(value, str):
            return self.numbers.get(value, value)
        if isinstance(value, list):
            return [self.take(one) for one in value]
        return {key: self.take(one) for key, one in value.items()} if isinstance(value, dict) else value

    async def run(self, call: Call) -> Outcome:
        """Do an operation; its outcome with references for ids."""
        outcome = await self.way.run(evolve(call, fields=self.put(call.fields)))
        if outcome.status == 201 and call.name == "message_post":
            self._give(self.messages, MessageId, outcome.value)
        elif outcome.status == 201 and call.name == "claim_create":
            self._give(self.claims, ClaimId, [outcome.value["claim_id"]])
        elif outcome.status == 201 and call.name == "subscription_create":
            if outcome.value in self.numbers:
                return evolve(outcome, value=AGAIN)
            self._give(self.subscriptions, SubscriptionId, [outcome.value])
        return evolve(outcome, value=self.take(outcome.value), text=self._without_ids(outcome.text))

    def _without_ids(self, text: str) -> str:
        for found, reference in self.numbers.items():
            if found in text:
                text = text.replace(found, str(reference))
        return text

    def _give(self, known: list[str], kind: Callable[[int], object], ids: list[str]) -> None:
        for one in ids:
            assert one not in self.numbers, f"{self.name} gave out {one} twice"
            self.numbers[one] = kind(len(known))
            known.append(one)


def allowed(call: Call, http: Outcome) -> Outcome:
    """What WebSocket may say where HTTP says this (API reference, "Actions" and "Envelope errors")."""
    name, status, value = call.name, http.status, http.value
    if name == "queue_get_stats" and value == {"free": 0, "claimed": 0}:
        return evolve(http, status=0)  # 200 or 404, by whether the queue exists, which HTTP does not tell
    if name == "message_get_many" and status == 404:
        return Outcome(200, [])
    if name == "subscription_create" and value is AGAIN:
        return Outcome(409)
    if name == "queue_purge" and status == 400 and all(isinstance(one, str) for one in _types(call)):
        return Outcome(204)  # unknown types are ignored
    if name in ("message_list", "message_get", "message_get_many"):
        return evolve(http, value=unclaimed(value))
    return http


def _ids_in(fields: dict[str, Any]) -> list[object]:
    """The references in fields, those of claims first."""
    flat = [one for value in fields.values() for one in (value if isinstance(value, list) else [value])]
    ids = (one for one in flat if isinstance(one, MessageId | ClaimId | SubscriptionId))
    return sorted(ids, key=lambda one: isinstance(one, MessageId))


def _types(call: Call) -> list[Any]:
    types = call.fields.get("resource_types", [])
    return types if isinstance(types, list) else [None]


def _stored_shown(call: Call, value: Any) -> Any:
    """Metadata on WebSocket, which are as stored, with what HTTP fills in (API reference, "Actions")."""
    if call.name == "queue_get":
        return filled(value)
    if call.name == "queue_list" and call.fields.get("detailed") is True:
        return [{**queue, "metadata": filled(queue["metadata"])} for queue in value]
    return value


@define
class Walker:
    """Chooses operations."""

    random: Random
    clock: Any
    posted: list[float] = field(factory=list)
    places: dict[object, tuple[str, str]] = field(factory=dict)
    claims: int = 0
    subscriptions: int = 0
    seen: Counter[tuple[str, int]] = field(factory=Counter)

    def _some(self, good: tuple[Any, ...], of: int) -> Any:
        """Mostly one of the first ``of``, which are right."""
        return self.random.choice(good[:of] if self.random.random() < 0.85 else good)

    def _maybe(self, **values: Any) -> dict[str, Any]:
        return {name: value for name, value in values.items() if self.random.random() < 0.6}

    def message(self) -> Any:
        """The id of a message; of nothing now and then."""
        if not self.posted or self.random.random() < 0.08:
            return self.random.choice(NO_IDS)
        recent = min(len(self.posted), 30)
        first = 0 if self.random.random() < 0.1 else len(self.posted) - recent
        return MessageId(self.random.randrange(first, len(self.posted)))

    def marker(self) -> Any:
        """The id of a message posted not too long ago."""
        chosen = self.message()
        if isinstance(chosen, MessageId) and self.clock.seconds() - self.posted[chosen.number] > MARKER_AGE_MAX_S:
            return "nonesuch"
        return chosen

    def claim(self) -> Any:
        """The id of a claim; of nothing now and then."""
        if not self.claims or self.random.random() < 0.1:
            return self.random.choice(NO_IDS)
        return ClaimId(self.random.randrange(max(0, self.claims - 6), self.claims))

    def subscription(self) -> Any:
        """The id of a subscription; of nothing now and then."""
        if not self.subscriptions or self.random.random() < 0.1:
            return self.random.choice(NO_IDS)
        return SubscriptionId(self.random.randrange(max(0, self.subscriptions - 6), self.subscriptions))

    def _fields(self, name: str) -> dict[str, Any]:
        random = self.random
        if name == "queue_create":
            return self._maybe(metadata=self._some(METADATA[3:] + METADATA[:3], 6))
        if name == "queue_list":
            return self._maybe(limit=self._some(LIMITS, 5), marker=random.choice(QUEUES), detailed=self._some(FLAGS, 2))
        if name == "queue_purge":
            return self._maybe(resource_types=random.choice((["messages"], [], ["wrong"], ["subscriptions"], "x", [1])))
        if name == "message_post":
            messages: Any = [
                {"body": random.choice(BODIES), **self._maybe(ttl=self._some(TTLS, 5))} for _ in range(random.choice((1, 1, 2, 5)))
            ]
            if random.random() < 0.08:
                messages = random.choice(([], {}, "x", None, [{}], [1], [{"ttl": 60}], [*messages, {"body": 1, "ttl": 1}]))
            if 180 <= len(json.dumps(messages)) <= 200:
                # Near the limit of a queue the transports differ: HTTP counts the body, WebSocket the value of "messages".
                messages = [{"body": 1}]
            return {"messages": messages}
        if name == "message_list":
            flags = {flag: self._some(FLAGS, 2) for flag in ("echo", "include_claimed", "include_delayed")}
            return self._maybe(limit=self._some(LIMITS, 5), marker=self.marker(), **flags)
        if name in ("message_get", "message_delete"):
            fields = {"message_id": self.message()}
            return fields | (self._maybe(claim_id=self.claim()) if name == "message_delete" else {})
        if name == "message_get_many":
            return {"message_ids": [self.message() for _ in range(random.choice((1, 2, 3, 20, 21)))]}
        if name == "message_delete_many":
            if random.random() < 0.05:
                return random.choice(({}, {"message_ids": [self.message()], "pop": 1}))
            if random.random() < 0.5:
                return {"pop": self._some(POPS, 3)}
            return {"message_ids": [self.message() for _ in range(random.choice((1, 1, 2, 21)))]}
        if name == "claim_create":
            return self._maybe(limit=self._some(LIMITS, 5), ttl=self._some(CLAIM_TTLS, 4), grace=self._some(CLAIM_TTLS, 4))
        if name == "claim_update":
            more = self._maybe(ttl=self._some(CLAIM_TTLS, 4), grace=self._some(CLAIM_TTLS, 4))
            return {"claim_id": self.claim(), **more}
        if name == "subscription_create":
            more = self._maybe(ttl=self._some(SUBSCRIPTION_TTLS, 5), options=self._some(OPTIONS, 3))
            return {"subscriber": self._some(SUBSCRIBERS, 4), **more}
        if name == "subscription_list":  # each of the four has ids of its own, so that only whole listings are alike
            return {"limit": self._some((20, *LIMITS[5:]), 1)}
        if name in ("subscription_get", "subscription_delete"):
            return {"subscription_id": self.subscription()}
        return {"claim_id": self.claim()} if name in ("claim_get", "claim_delete") else {}

    WEIGHTS = {
        "message_post": 30, "claim_create": 16, "message_list": 14, "message_delete": 10, "message_get": 6,
        "message_get_many": 5, "message_delete_many": 7, "claim_get": 8, "claim_update": 7, "claim_delete": 6,
        "queue_get_stats": 6, "queue_create": 8, "queue_get": 3, "queue_list": 4, "queue_delete": 2, "queue_purge": 2,
        "subscription_create": 10, "subscription_list": 5, "subscription_get": 5, "subscription_delete": 4,
    }  # fmt: skip

    def call(self) -> Call:
        """The next operation."""
        (name,) = self.random.choices(list(self.WEIGHTS), list(self.WEIGHTS.values()))
        fields = self._fields(name)
        project = PROJECTS[0] if self.random.random() < 0.9 else PROJECTS[1]
        queue = self.random.choice(QUEUES[:3] if self.random.random() < 0.8 else QUEUES)
        places = [self.places[value] for value in _ids_in(fields) if value in self.places]
        if places and self.random.random() < 0.9:
            queue, project = places[0]
        if name != "queue_list":
            fields["queue_name"] = queue
        return Call(name, fields, self.random.choice(CLIENTS), project)

    def learn(self, call: Call, outcome: Outcome) -> None:
        """Take notice of what was given out."""
        self.seen[call.name, outcome.status] += 1
        place = call.fields.get("queue_name", ""), call.project
        if outcome.status == 201 and call.name == "message_post":
            self.posted += [self.clock.seconds()] * len(outcome.value)
            self.places |= dict.fromkeys(outcome.value, place)
        elif outcome.status == 201 and call.name == "claim_create":
            self.claims += 1
            self.places[outcome.value["claim_id"]] = place
        elif outcome.status == 201 and call.name == "subscription_create" and outcome.value is not AGAIN:
            self.subscriptions += 1
            self.places[outcome.value] = place


class DifferentialTests(WireCase):
    """Random walks."""

    async def sides(self) -> list[Side]:
        """The four, each over a store of its own."""
        server = shared_server()
        sides = []
        for transport, way in (("HTTP", by_http), ("WebSocket", by_websocket)):
            sides.append(Side(f"{transport}/memory", await way(self.start(self.memory()))))
            redis = connect(server)
            self._redis.append(redis)
            redis.start()
            await redis.when_ready()
            sides.append(Side(f"{transport}/Redis", await way(self.start(storage_at(redis, self.clock, Keys(transport))))))
        return sides

    async def walk(self, seed: int, steps: int) -> Counter[tuple[str, int]]:
        """Walk; how often each operation had each status on HTTP."""
        sides = await self.sides()
        walker = Walker(Random(seed), self.clock)
        for step in range(steps):
            if walker.random.random() < 0.25:
                self.clock.advance(walker.random.choice(WAITS))
            call = walker.call()
            outcomes = [await side.run(call) for side in sides]
            where = f"seed {seed}, step {step}: {call}"
            self.same(where, sides, call, outcomes)
            walker.learn(call, outcomes[0])
        return walker.seen

    def same(self, where: str, sides: list[Side], call: Call, outcomes: list[Outcome]) -> None:
        """Fail where two of the four differ in what they must not."""
        http, http_redis, frame, frame_redis = outcomes
        self.assertEqual(http_redis, http, f"{where}: {sides[1].name} and {sides[0].name}")
        self.assertEqual(frame_redis, frame, f"{where}: {sides[3].name} and {sides[2].name}")
        expected = allowed(call, http)
        if frame.status < 400:
            frame = evolve(frame, value=_stored_shown(call, frame.value))
        if not expected.status:
            self.assertIn(frame.status, (200, 404), where)
            frame = evolve(frame, status=0)
        self.assertEqual((frame.status, frame.value), (expected.status, expected.value), where)

    async def test_walks(self) -> None:
        """A few hundred steps for each of some seeds, wrong input among them."""
        seen: Counter[tuple[str, int]] = Counter()
        for seed in range(4):
            seen += await self.walk(seed, 400)
        self.assertEqual({name for name, _ in seen}, set(Walker.WEIGHTS))
        for name, status in (
            ("message_post", 201), ("message_post", 400), ("claim_create", 201), ("claim_create", 204), ("claim_get", 200),
            ("claim_get", 404), ("claim_update", 204), ("message_delete", 400), ("message_delete", 403), ("queue_create", 201),
            ("message_delete", 204), ("message_delete_many", 200), ("queue_create", 204), ("queue_create", 400),
            ("subscription_create", 201), ("subscription_create", 400), ("subscription_get", 200), ("subscription_get", 404),
        ):  # fmt: skip
            self.assertTrue(seen[name, status], (name, status))

    def test_defaults_are_those_of_http(self) -> None:
        """What is filled in for WebSocket is what an empty queue shows on HTTP."""
        self.assertEqual(filled({}), RESERVED)


def main(seed: int, steps: int) -> None:
    """Walk as long as is wanted, from a shell."""
    from twisted.internet.defer import Deferred
    from twisted.internet.task import react

    async def run(reactor: Any) -> None:
        case = DifferentialTests("test_walks")
        await case.setUp()
        try:
            for (name, status), count in sorted((await case.walk(seed, steps)).items()):
                print(f"{name:20} {status} {count:8}")
        finally:
            await case.tearDown()

    react(lambda reactor: Deferred.fromCoroutine(run(reactor)))


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]))
