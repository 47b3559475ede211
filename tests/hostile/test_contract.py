"""Random sequences of operations, by either transport, on both stores at once, against :mod:`tests.hostile.model`.

A recorded run: ``HOSTILE_STEPS=10000 trial tests.hostile.test_contract``.
"""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Coroutine
from functools import partial
from typing import Any

from attrs import define, evolve, field
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule, run_state_machine_as_test
from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.threads import blockingCallFromThread, deferToThread

from tests.helpers import CLIENT, OTHER_CLIENT
from tests.hostile.model import Model, on_http, on_websocket
from tests.wire.calls import Call
from tests.wire.gateway import Gateway, WireCase
from tests.wire.test_differential import MARKER_AGE_MAX_S, ClaimId, MessageId, Side, SubscriptionId
from tests.wire.test_table import OnHttp, OnWebSocket, by_http, by_websocket

_run: Any = run_state_machine_as_test  # a function that makes machines is as good as their class
STEPS = int(os.environ.get("HOSTILE_STEPS", "500"))
SEQUENCE = 50
"""Operations on one pair of stores, which begin empty."""

_reactor: Any = reactor
_QUEUES = ("a", "b", "dead")
_PROJECTS = ("p", "p", "p", "p/{x} é")
_ONLY_HTTP = ("queue_update", "subscription_update", "subscription_confirm")

_places = st.tuples(st.sampled_from(_PROJECTS), st.sampled_from(_QUEUES))
_limits = st.sampled_from((1, 1, 2, 3, 20, 20, 0, 21, -1))
_ttls = st.sampled_from((60, 60, 61, 90, 300, 3600, 43200, 59, 43201))
_metadata = st.sampled_from(
    (
        {},
        {"a": 1},
        {"_default_message_ttl": 120},
        {"_default_message_delay": 30},
        {"_max_messages_post_size": 200},
        {"_enable_encrypt_messages": True},
        {"_default_message_ttl": 59},
        {"_default_message_delay": "x"},
        [],
        {"_max_claim_count": 1, "_dead_letter_queue": "dead"},
        {"_max_claim_count": 1, "_dead_letter_queue": "dead", "_dead_letter_queue_messages_ttl": 90},
    )
)
_changes = st.lists(
    st.one_of(
        [
            st.fixed_dictionaries({"op": st.sampled_from(("remove", "replace", "add")), "path": path, "value": value})
            for path, value in (
                (st.just("/metadata/a"), st.sampled_from((1, None, "é"))),
                (st.just("/metadata/_default_message_delay"), st.sampled_from((0, 5, 901))),
                (st.just("/metadata/_default_message_ttl"), st.sampled_from((60, 59, "60"))),
                (st.just("/metadata/_enable_encrypt_messages"), st.booleans()),
            )
        ]
    ),
    max_size=3,
)
_bodies: st.SearchStrategy[Any] = st.sampled_from((1, None, "é€", {"b": 1, "a": [1.5, True]}, [], "", "x" * 300))
_messages = st.lists(
    st.fixed_dictionaries(
        {"body": _bodies},
        optional={"ttl": st.sampled_from((60, 61, 90, 300, 59, "60")), "delay": st.sampled_from((0, 5, 60))},
    ),
    max_size=4,
)
_subscribers = st.sampled_from(("http://a", "HTTP://a", "https://b", "mailto:c@d", "fake:x", "", 5))
_options = st.sampled_from(({}, {"a": [1.5, "é"]}, []))
_waits = st.sampled_from((0.25, 1.0, 5.0, 29.75, 30.0, 60.0, 61.5, 100.0, 400.0))
_picks = st.integers(0, 12)
_sure = st.sampled_from((True,) * 7 + (False,))
"""Mostly true."""


@define
class _Store:
    """A store under test, with a connection of each transport to its gateway."""

    side: Side
    http: OnHttp
    websocket: OnWebSocket
    gateway: Gateway

    async def run(self, call: Call, *, by_frame: bool) -> Any:
        """Do it by one of the transports."""
        self.side.way = self.websocket if by_frame else self.http
        return evolve(await self.side.run(call), title="", text="")


@define
class Bench:
    """What machines run on: everything in here is for their thread to call."""

    case: ContractTests
    seen: Counter[tuple[str, bool, int]] = field(factory=Counter)

    def wait(self, work: Callable[[], Coroutine[Deferred[Any], Any, Any]]) -> Any:
        """Run a coroutine in the reactor and wait for it."""
        return blockingCallFromThread(_reactor, lambda: Deferred.fromCoroutine(work()))


class Machine(RuleBasedStateMachine):
    """One sequence.  Each rule is an operation, its arguments not always right."""

    def __init__(self, bench: Bench) -> None:
        super().__init__()
        self._bench = bench
        self._clock = bench.case.clock
        self._stores: list[_Store] = bench.wait(bench.case.stores)
        self._model = Model(self._clock.seconds())
        self._places: dict[object, tuple[str, str]] = {}
        self._posted_at: list[float] = []

    def teardown(self) -> None:
        """Close what the sequence used."""
        self._bench.wait(self._bench.case.close)

    # -- the comparison ------------------------------------------------------------------------------------------------

    def _do(self, name: str, place: tuple[str, str], by_frame: bool, client: str = CLIENT, **fields: Any) -> Any:
        by_frame = by_frame and name not in _ONLY_HTTP
        project, queue = place
        if name != "queue_list":
            fields["queue_name"] = queue
        call = Call(name, {key: value for key, value in fields.items() if value is not None}, client, project)
        self._model.now = self._clock.seconds()
        plain = self._model.run(call, delays=not by_frame)
        expected = (on_websocket if by_frame else on_http)(call, plain)
        for store in self._stores:
            outcome = self._bench.wait(partial(store.run, call, by_frame=by_frame))
            assert outcome == expected, (store.side.name, by_frame, call, outcome, expected)
        self._bench.seen[name, by_frame, expected.status] += 1
        return plain

    def _fill(self, place: tuple[str, str], by_frame: bool) -> None:
        """See to it that there is something to work on: Hypothesis makes sequences in which nobody ever posts."""
        if not self._model.markers(place):
            self.message_post(place, by_frame, [{"body": number} for number in range(3)], CLIENT)

    def _message(self, pick: int) -> tuple[Any, tuple[str, str] | None]:
        number = self._model.posted - 1 - pick
        return (MessageId(number), self._model.place_of(number)) if number >= 0 else ("nada", None)

    def _known(self, kind: Callable[[int], object], count: int, pick: int) -> tuple[Any, tuple[str, str] | None]:
        reference = kind(count - 1 - pick)
        return (reference, self._places[reference]) if reference in self._places else ("foo", None)

    # -- rules ---------------------------------------------------------------------------------------------------------

    @rule(seconds=_waits)
    def wait(self, seconds: float) -> None:
        """Time passes."""
        self._clock.advance(seconds)

    @rule(place=_places, by_frame=st.booleans(), metadata=_metadata)
    def queue_create(self, place: tuple[str, str], by_frame: bool, metadata: Any) -> None:
        """Create a queue.  The dead letter queue has none of its own: rings are refused elsewhere."""
        if place[1] == "dead" and "_dead_letter_queue" in metadata:
            metadata = {}
        self._do("queue_create", place, by_frame, metadata=metadata)

    @rule(place=_places, by_frame=st.booleans(), what=st.sampled_from(("queue_get", "queue_get_stats")))
    def queue_look(self, place: tuple[str, str], by_frame: bool, what: str) -> None:
        """Metadata and counts."""
        self._do(what, place, by_frame)

    @rule(place=_places, changes=_changes)
    def queue_update(self, place: tuple[str, str], changes: list[Any]) -> None:
        """Change metadata."""
        self._do("queue_update", place, False, changes=changes)

    @rule(
        place=_places,
        by_frame=st.booleans(),
        sure=_sure,
        kinds=st.sampled_from((None, ["messages"], ["subscriptions"], [])),
    )
    def queue_empty(self, place: tuple[str, str], by_frame: bool, sure: bool, kinds: list[str] | None) -> None:
        """Delete or purge a queue, now and then."""
        if sure:
            self._do("queue_get_stats", place, by_frame)
        elif kinds == []:
            self._do("queue_delete", place, by_frame)
        else:
            self._do("queue_purge", place, by_frame, resource_types=kinds)

    @rule(
        project=st.sampled_from(_PROJECTS),
        by_frame=st.booleans(),
        limit=_limits,
        marker=st.sampled_from(("", "a", "c")),
    )
    def queue_list(self, project: str, by_frame: bool, limit: int, marker: str) -> None:
        """List queues."""
        self._do("queue_list", (project, ""), by_frame, limit=limit, marker=marker or None, detailed=limit > 1)

    @rule(place=_places, by_frame=st.booleans(), messages=_messages, client=st.sampled_from((CLIENT, OTHER_CLIENT)))
    def message_post(self, place: tuple[str, str], by_frame: bool, messages: list[Any], client: str) -> None:
        """Post messages."""
        if self._do("message_post", place, by_frame, client, messages=messages).status == 201:
            self._posted_at += [self._clock.seconds()] * len(messages)

    @rule(
        place=_places,
        by_frame=st.booleans(),
        limit=_limits,
        pick=_picks,
        sure=_sure,
        flags=st.fixed_dictionaries(
            {}, optional={name: st.booleans() for name in ("echo", "include_claimed", "include_delayed")}
        ),
    )
    def message_list(
        self, place: tuple[str, str], by_frame: bool, limit: int, pick: int, sure: bool, flags: dict[str, bool]
    ) -> None:
        """List messages, from the start, from one that was there, or from none."""
        self._fill(place, by_frame)
        recent = [
            number
            for number in self._model.markers(place)
            if self._clock.seconds() - self._posted_at[number] <= MARKER_AGE_MAX_S
        ]
        marker: Any = MessageId(recent[-pick]) if 0 < pick <= len(recent) else None if sure else "nonesuch"
        self._do("message_list", place, by_frame, limit=limit, marker=marker, **dict[str, Any](flags))

    @rule(place=_places, by_frame=st.booleans(), pick=_picks, sure=_sure)
    def message_get(self, place: tuple[str, str], by_frame: bool, pick: int, sure: bool) -> None:
        """Get one message."""
        self._fill(place, by_frame)
        message, home = self._message(pick)
        self._do("message_get", home if sure and home else place, by_frame, message_id=message)

    @rule(place=_places, by_frame=st.booleans(), picks=st.lists(_picks, max_size=21), delete=st.booleans(), sure=_sure)
    def message_many(self, place: tuple[str, str], by_frame: bool, picks: list[int], delete: bool, sure: bool) -> None:
        """Get or delete several messages."""
        if not picks:
            return  # left out and empty are the same in a query, and not in a frame
        self._fill(place, by_frame)
        found = [self._message(pick) for pick in picks]
        home = found[0][1] if sure else None
        name = "message_delete_many" if delete and len(picks) in (1, 2, 21) else "message_get_many"
        self._do(name, home or place, by_frame, message_ids=[message for message, _ in found])

    @rule(place=_places, by_frame=st.booleans(), pick=_picks, claim=st.one_of(st.none(), _picks), sure=_sure)
    def message_delete(self, place: tuple[str, str], by_frame: bool, pick: int, claim: int | None, sure: bool) -> None:
        """Delete a message, with or without a claim, which may be another's."""
        self._fill(place, by_frame)
        message, home = self._message(pick)
        claim_id = None if claim is None else self._known(ClaimId, self._model.claimed, claim % 3)[0]
        self._do("message_delete", home if sure and home else place, by_frame, message_id=message, claim_id=claim_id)

    @rule(place=_places, by_frame=st.booleans(), limit=_limits)
    def message_pop(self, place: tuple[str, str], by_frame: bool, limit: int) -> None:
        """Take the oldest messages away."""
        self._fill(place, by_frame)
        self._do("message_delete_many", place, by_frame, pop=limit)

    @rule(
        place=_places,
        by_frame=st.booleans(),
        limit=st.one_of(st.none(), _limits),
        ttl=st.one_of(st.none(), _ttls),
        grace=st.one_of(st.none(), _ttls),
    )
    def claim_create(
        self, place: tuple[str, str], by_frame: bool, limit: int | None, ttl: int | None, grace: int | None
    ) -> None:
        """Claim messages."""
        self._fill(place, by_frame)
        plain = self._do("claim_create", place, by_frame, limit=limit, ttl=ttl, grace=grace)
        if plain.status == 201:
            self._places[plain.value["claim_id"]] = place

    @rule(
        place=_places,
        by_frame=st.booleans(),
        pick=st.integers(0, 3),
        sure=_sure,
        ttl=st.one_of(st.none(), _ttls),
        what=st.sampled_from(("claim_get", "claim_get", "claim_update", "claim_delete")),
    )
    def claim_use(
        self, place: tuple[str, str], by_frame: bool, pick: int, sure: bool, ttl: int | None, what: str
    ) -> None:
        """Look at a claim, renew it, or release it."""
        if not self._model.claimed:
            self.claim_create(place, by_frame, None, ttl, None)
        claim, home = self._known(ClaimId, self._model.claimed, pick)
        fields: dict[str, Any] = {"ttl": ttl} if what == "claim_update" else {}
        self._do(what, home if sure and home else place, by_frame, claim_id=claim, **fields)

    @rule(
        place=_places,
        by_frame=st.booleans(),
        subscriber=_subscribers,
        ttl=st.one_of(st.none(), _ttls),
        options=_options,
    )
    def subscription_create(
        self, place: tuple[str, str], by_frame: bool, subscriber: Any, ttl: int | None, options: Any
    ) -> None:
        """Subscribe."""
        by_frame = by_frame and subscriber != ""  # without a subscriber a connection subscribes itself
        plain = self._do("subscription_create", place, by_frame, subscriber=subscriber, ttl=ttl, options=options)
        if isinstance(plain.value, SubscriptionId):
            self._places[plain.value] = place

    @rule(place=_places, by_frame=st.booleans())
    def subscription_list(self, place: tuple[str, str], by_frame: bool) -> None:
        """All of a queue: how ids are ordered is no part of the contract, so there are no markers."""
        self._do("subscription_list", place, by_frame, limit=20)

    @rule(
        place=_places,
        by_frame=st.booleans(),
        pick=st.integers(0, 3),
        sure=_sure,
        confirmed=st.booleans(),
        what=st.sampled_from(
            ("subscription_get", "subscription_delete", "subscription_confirm", "subscription_update")
        ),
        changes=st.fixed_dictionaries({}, optional={"subscriber": _subscribers, "ttl": _ttls, "options": _options}),
    )
    def subscription_use(
        self, place: tuple[str, str], by_frame: bool, pick: int, sure: bool, confirmed: bool, what: str, changes: Any
    ) -> None:
        """Look at a subscription, change, confirm or end it."""
        if not self._model.subscribed:
            self.subscription_create(place, by_frame, "http://c", None, {})
        found, home = self._known(SubscriptionId, self._model.subscribed, pick)
        more = {"subscription_confirm": {"confirmed": confirmed}, "subscription_update": {"changes": changes}}
        self._do(what, home if sure and home else place, by_frame, subscription_id=found, **more.get(what, {}))


class ContractTests(WireCase):
    """The gateway and the model."""

    timeout = 60 + STEPS // 2

    async def stores(self) -> list[_Store]:
        """A new store of each kind, with its gateway."""
        return [
            await self._store("memory", self.start(self.memory())),
            await self._store("Redis", self.start(await self.redis())),
        ]

    async def _store(self, name: str, gateway: Gateway) -> _Store:
        http, websocket = await by_http(gateway), await by_websocket(gateway)
        return _Store(Side(name, http), http, websocket, gateway)

    async def close(self) -> None:
        """End what :meth:`stores` made."""
        await self.tearDown()
        self._gateways, self._redis = [], []

    async def test_model(self) -> None:
        """Whatever is done, by whichever transport, is answered as the model answers it, by both stores."""
        bench = Bench(self)
        done = settings(
            max_examples=-(-STEPS // (SEQUENCE - 8)),
            stateful_step_count=SEQUENCE,
            derandomize=True,
            database=None,
            deadline=None,
            suppress_health_check=list(HealthCheck),
            phases=(Phase.generate, Phase.shrink),
        )
        await deferToThread(_run, partial(Machine, bench), settings=done)
        by_operation = Counter[str]()
        for (name, _, _), count in bench.seen.items():
            by_operation[name] += count
        print(f"\n{sum(by_operation.values())} operations: {dict(by_operation.most_common())}")
        self.assertGreaterEqual(len({(name, by_frame) for name, by_frame, _ in bench.seen}), 30)
