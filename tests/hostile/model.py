"""A small model of the contract: queues, messages in order, claims, subscriptions, in one process and without a
transport.

It answers what the API reference promises of HTTP, ids being references
(:class:`tests.wire.test_differential.MessageId` and
the like), and :func:`on_websocket` says what WebSocket makes of that.  Nothing of the package is used; it is as
naive as it
can be: everything is looked through each time.
"""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

from attrs import define, evolve, field

from tests.wire.calls import Call, Outcome, filled, unclaimed
from tests.wire.test_differential import AGAIN, ClaimId, MessageId, SubscriptionId

PAGE_MAX = 20
TTL_MIN_S, MESSAGE_TTL_MAX_S, CLAIM_MAX_S = 60, 1209600, 43200
CLAIM_TTL_S, GRACE_S, SUBSCRIPTION_TTL_S, MESSAGE_TTL_S = 300, 60, 3600, 3600
POST_MAX = 262144
SCHEMES = ("http", "https", "mailto")


class Refusal(Exception):
    """What is asked for is refused with a status."""

    def __init__(self, status: int) -> None:
        super().__init__(status)
        self.status = status


@define(eq=False)
class _Message:
    number: int
    body: Any
    client: str
    ttl: int
    created: float
    expires: float
    due: float
    position: int
    claim: _Claim | None = None
    claim_count: int = 0


@define(eq=False)
class _Claim:
    number: int
    ttl: int
    since: float

    @property
    def lapses(self) -> float:
        return self.since + self.ttl


@define(eq=False)
class _Queue:
    metadata: dict[str, Any] = field(factory=dict)
    messages: list[_Message] = field(factory=list)
    """In order."""


@define(eq=False)
class _Subscription:
    number: int
    subscriber: str
    ttl: int
    options: Any
    created: float
    expires: float
    confirmed: bool = False


_Place = tuple[str, str]


def _integer(value: Any, low: int, high: int) -> int:
    if type(value) is not int or not low <= value <= high:
        raise Refusal(400)
    return value


@define
class Model:
    """What a gateway has to answer.

    :ivar now: seconds; whoever has the clock sets it.
    """

    now: float
    _queues: dict[_Place, _Queue] = field(factory=dict)
    _subscriptions: dict[_Place, list[_Subscription]] = field(factory=dict)
    _positions: dict[tuple[_Place, int], int] = field(factory=dict)
    """Of all messages that were in a queue since it was created."""
    _posted: int = 0
    _claimed: int = 0
    _subscribed: int = 0
    _last: int = 0

    def run(self, call: Call, *, delays: bool) -> Outcome:
        """Do it; an error has neither text nor title.

        :param delays: whether messages may bring a delay of their own, as on HTTP.
        """
        place = (call.project, call.fields.get("queue_name", ""))
        self._settle()
        try:
            if call.name == "message_post":
                return Outcome(201, self._message_post(place, call, delays))
            outcome = getattr(self, "_" + call.name)(place, call.fields, call)
            return outcome if isinstance(outcome, Outcome) else Outcome(200 if outcome is not None else 204, outcome)
        except Refusal as refusal:
            return Outcome(refusal.status)

    # -- what targets there are ----------------------------------------------------------------------------------------

    def markers(self, place: _Place) -> list[int]:
        """Messages whose place in a queue is known."""
        return [number for known, number in self._positions if known == place]

    def place_of(self, number: int) -> tuple[str, str] | None:
        """Where a message is, or was last."""
        return next((place for place, known in reversed(self._positions) if known == number), None)

    @property
    def posted(self) -> int:
        """How many messages there ever were; so with the next two."""
        return self._posted

    @property
    def claimed(self) -> int:
        """Claims."""
        return self._claimed

    @property
    def subscribed(self) -> int:
        """Subscriptions."""
        return self._subscribed

    # -- time ----------------------------------------------------------------------------------------------------------

    def _settle(self) -> None:
        for queue in self._queues.values():
            queue.messages = [one for one in queue.messages if one.expires > self.now]
            for one in queue.messages:
                if one.claim is not None and one.claim.lapses <= self.now:
                    one.claim = None
        for place, found in self._subscriptions.items():
            self._subscriptions[place] = [one for one in found if one.expires > self.now]

    def _age(self, since: float) -> int:
        return int(self.now - since)

    # -- queues --------------------------------------------------------------------------------------------------------

    def _create(self, place: _Place) -> _Queue:
        return self._queues.setdefault(place, _Queue())

    def _checked(self, metadata: Any) -> dict[str, Any]:
        if not isinstance(metadata, dict):
            raise Refusal(400)
        for key, low, high in (
            ("_default_message_ttl", TTL_MIN_S, MESSAGE_TTL_MAX_S),
            ("_max_messages_post_size", 1, POST_MAX),
            ("_default_message_delay", 0, 900),
            ("_dead_letter_queue_messages_ttl", TTL_MIN_S, MESSAGE_TTL_MAX_S),
        ):
            if metadata.get(key) is not None:
                _integer(metadata[key], low, high)
        return metadata

    def _queue_create(self, place: _Place, fields: dict[str, Any], call: Call) -> Outcome:
        metadata = self._checked(fields.get("metadata", {}))
        if place in self._queues:
            return Outcome(204)
        self._queues[place] = _Queue(metadata)
        return Outcome(201)

    def _queue_get(self, place: _Place, fields: dict[str, Any], call: Call) -> dict[str, Any]:
        return self._queues[place].metadata if place in self._queues else {}

    def _queue_update(self, place: _Place, fields: dict[str, Any], call: Call) -> dict[str, Any]:
        if place not in self._queues:
            raise Refusal(404)
        metadata = dict(self._queues[place].metadata)
        for change in fields["changes"]:
            key = change["path"].removeprefix("/metadata/")
            if change["op"] != "add" and key not in filled(metadata):
                raise Refusal(409)
            if change["op"] == "remove":
                metadata.pop(key, None)
            else:
                metadata[key] = change["value"]
        self._queues[place].metadata = self._checked(metadata)
        return metadata

    def _queue_delete(self, place: _Place, fields: dict[str, Any], call: Call) -> None:
        self._queues.pop(place, None)
        self._forget(place)

    def _queue_purge(self, place: _Place, fields: dict[str, Any], call: Call) -> None:
        kinds = fields.get("resource_types", ["messages", "subscriptions"])
        if "messages" in kinds and place in self._queues:
            self._queues[place].messages = []
            self._forget(place)
        if "subscriptions" in kinds:
            self._subscriptions.pop(place, None)

    def _forget(self, place: _Place) -> None:
        self._positions = {key: position for key, position in self._positions.items() if key[0] != place}

    def _queue_list(self, place: _Place, fields: dict[str, Any], call: Call) -> list[dict[str, Any]]:
        limit = _integer(fields.get("limit", 10), 1, PAGE_MAX)
        names = sorted(name for project, name in self._queues if project == call.project)
        page = [name for name in names if name > fields.get("marker", "")][:limit]
        if not fields.get("detailed"):
            return [{"name": name} for name in page]
        return [{"name": name, "metadata": self._queues[call.project, name].metadata} for name in page]

    def _queue_get_stats(self, place: _Place, fields: dict[str, Any], call: Call) -> Outcome:
        if place not in self._queues:
            return Outcome(404, {"free": 0, "claimed": 0})
        messages = self._queues[place].messages
        claimed = sum(one.claim is not None for one in messages)
        value: dict[str, Any] = {"free": len(messages) - claimed, "claimed": claimed}
        if messages:
            value |= {"oldest": self._edge(messages[0]), "newest": self._edge(messages[-1])}
        return Outcome(200, value)

    def _edge(self, one: _Message) -> dict[str, Any]:
        created = datetime.fromtimestamp(int(one.created), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        return {"id": MessageId(one.number), "age": self._age(one.created), "created": created}

    # -- messages ------------------------------------------------------------------------------------------------------

    def _messages(self, place: _Place) -> list[_Message]:
        return self._queues[place].messages if place in self._queues else []

    def _find(self, place: _Place, reference: Any) -> _Message | None:
        if not isinstance(reference, MessageId):
            return None
        return next((one for one in self._messages(place) if one.number == reference.number), None)

    def _append(self, place: _Place, one: _Message) -> None:
        self._last += 1
        one.position = self._positions[place, one.number] = self._last
        self._create(place).messages.append(one)

    def _shown(self, one: _Message) -> dict[str, Any]:
        claim = None if one.claim is None else ClaimId(one.claim.number)
        age = self._age(one.created)
        return {"id": MessageId(one.number), "ttl": one.ttl, "age": age, "body": one.body, "claim_id": claim}

    def _popped(self, one: _Message) -> dict[str, Any]:
        return {**self._shown(one), "claim_id": None, "claim_count": one.claim_count}

    def _message_post(self, place: _Place, call: Call, delays: bool) -> list[MessageId]:
        messages = call.fields["messages"]
        if not isinstance(messages, list) or not messages:
            raise Refusal(400)
        metadata = self._queues[place].metadata if place in self._queues else {}
        if len(json.dumps(messages)) > (metadata.get("_max_messages_post_size") or POST_MAX):
            raise Refusal(400)
        delay = metadata.get("_default_message_delay") or 0
        made = []
        for given in messages:
            if not isinstance(given, dict) or "body" not in given:
                raise Refusal(400)
            ttl = metadata.get("_default_message_ttl") or MESSAGE_TTL_S
            if "ttl" in given:
                ttl = _integer(given["ttl"], TTL_MIN_S, MESSAGE_TTL_MAX_S)
            wait = _integer(given["delay"], 0, 900) if delays and delay and "delay" in given else delay
            expires, due = self.now + ttl, self.now + wait
            made.append(_Message(-1, given["body"], call.client, ttl, self.now, expires, due, 0))
        for one in made:
            one.number, self._posted = self._posted, self._posted + 1
            self._append(place, one)
        return [MessageId(one.number) for one in made]

    def _message_list(self, place: _Place, fields: dict[str, Any], call: Call) -> list[dict[str, Any]]:
        limit = _integer(fields.get("limit", 10), 1, PAGE_MAX)
        after, marker = 0, fields.get("marker")
        if isinstance(marker, MessageId):
            after = self._positions[place, marker.number]
        elif marker is not None:
            return []
        metadata = self._queues[place].metadata if place in self._queues else {}
        with_delayed = fields.get("include_delayed") or not metadata.get("_default_message_delay")
        page = [
            one
            for one in self._messages(place)
            if one.position > after
            and (fields.get("echo") or one.client != call.client)
            and (fields.get("include_claimed") or one.claim is None)
            and (with_delayed or one.due <= self.now)
        ]
        return [self._shown(one) for one in page[:limit]]

    def _message_get(self, place: _Place, fields: dict[str, Any], call: Call) -> dict[str, Any]:
        one = self._find(place, fields["message_id"])
        if one is None:
            raise Refusal(404)
        return self._shown(one)

    def _message_get_many(self, place: _Place, fields: dict[str, Any], call: Call) -> list[dict[str, Any]]:
        _integer(len(fields["message_ids"]), 1, PAGE_MAX)
        found = [one for one in (self._find(place, each) for each in fields["message_ids"]) if one is not None]
        if not found:
            raise Refusal(404)
        return [self._shown(one) for one in found]

    def _message_delete(self, place: _Place, fields: dict[str, Any], call: Call) -> None:
        one, given = self._find(place, fields["message_id"]), fields.get("claim_id")
        if one is None:
            return
        if given is None:
            if one.claim is not None:
                raise Refusal(403)
        elif one.claim is None:
            raise Refusal(400)
        elif given != ClaimId(one.claim.number):
            raise Refusal(403 if self._claim(place, given) is not None else 400)
        self._messages(place).remove(one)

    def _message_delete_many(self, place: _Place, fields: dict[str, Any], call: Call) -> list[dict[str, Any]] | None:
        if ("pop" in fields) == ("message_ids" in fields):
            raise Refusal(400)
        if "pop" in fields:
            pop = _integer(fields["pop"], 1, PAGE_MAX)
            popped = self._deliverable(place)[:pop]
            for one in popped:
                self._messages(place).remove(one)
            return [self._popped(one) for one in popped]
        _integer(len(fields["message_ids"]), 1, PAGE_MAX)
        for reference in fields["message_ids"]:
            if (found := self._find(place, reference)) is not None:
                self._messages(place).remove(found)
        return None

    def _deliverable(self, place: _Place) -> list[_Message]:
        return [one for one in self._messages(place) if one.claim is None and one.due <= self.now]

    # -- claims --------------------------------------------------------------------------------------------------------

    def _claim(self, place: _Place, reference: Any) -> _Claim | None:
        """A claim that has messages: one without any is at its end."""
        claims = [one.claim for one in self._messages(place) if one.claim is not None]
        return next((one for one in claims if reference == ClaimId(one.number)), None)

    def _hold(self, place: _Place, claim: _Claim, grace: int, *, equal: bool) -> None:
        for one in self._messages(place):
            if one.claim is claim and (one.expires < claim.lapses or (equal and one.expires == claim.lapses)):
                one.ttl, one.expires = claim.ttl + grace, claim.lapses + grace

    def _claim_create(self, place: _Place, fields: dict[str, Any], call: Call) -> Outcome:
        ttl = _integer(fields.get("ttl", CLAIM_TTL_S), TTL_MIN_S, CLAIM_MAX_S)
        grace = _integer(fields.get("grace", GRACE_S), TTL_MIN_S, CLAIM_MAX_S)
        limit = _integer(fields.get("limit", 10), 1, PAGE_MAX)
        metadata = self._queues[place].metadata if place in self._queues else {}
        most, target = metadata.get("_max_claim_count"), metadata.get("_dead_letter_queue")
        counted = most is not None and target is not None
        most = most or 0
        taken = []
        for one in self._deliverable(place):
            if counted and one.claim_count >= most:
                self._messages(place).remove(one)
                if (dead_ttl := metadata.get("_dead_letter_queue_messages_ttl")) is not None:
                    one.ttl, one.expires = dead_ttl, self.now + dead_ttl
                self._append((place[0], str(target)), one)
                continue
            taken.append(one)
            if len(taken) == limit:
                break
        if not taken:
            return Outcome(204)
        claim = _Claim(self._claimed, ttl, self.now)
        self._claimed += 1
        for one in taken:
            one.claim = claim
            one.claim_count += counted
        self._hold(place, claim, grace, equal=False)
        reference = ClaimId(claim.number)
        return Outcome(201, {"claim_id": reference, "messages": [self._shown(one) for one in taken]})

    def _claim_get(self, place: _Place, fields: dict[str, Any], call: Call) -> dict[str, Any]:
        claim = self._claim(place, fields["claim_id"])
        if claim is None:
            raise Refusal(404)
        held = [self._shown(one) for one in self._messages(place) if one.claim is claim]
        return {"age": self._age(claim.since), "ttl": claim.ttl, "messages": held}

    def _claim_update(self, place: _Place, fields: dict[str, Any], call: Call) -> None:
        ttl = _integer(fields.get("ttl", CLAIM_TTL_S), TTL_MIN_S, CLAIM_MAX_S)
        grace = _integer(fields.get("grace", GRACE_S), TTL_MIN_S, CLAIM_MAX_S)
        claim = self._claim(place, fields["claim_id"])
        if claim is None:
            raise Refusal(404)
        claim.ttl, claim.since = ttl, self.now
        self._hold(place, claim, grace, equal=True)

    def _claim_delete(self, place: _Place, fields: dict[str, Any], call: Call) -> None:
        claim = self._claim(place, fields["claim_id"])
        for one in self._messages(place):
            if one.claim is claim:
                one.claim = None

    # -- subscriptions -------------------------------------------------------------------------------------------------

    def _subscription(self, place: _Place, reference: Any) -> _Subscription | None:
        found = self._subscriptions.get(place, [])
        return next((one for one in found if reference == SubscriptionId(one.number)), None)

    def _scheme(self, subscriber: Any) -> None:
        if not isinstance(subscriber, str) or subscriber.partition(":")[0].lower() not in SCHEMES:
            raise Refusal(400)

    def _told(self, place: _Place, one: _Subscription) -> dict[str, Any]:
        return {
            "id": SubscriptionId(one.number),
            "source": place[1],
            "subscriber": one.subscriber,
            "ttl": one.ttl,
            "age": self._age(one.created),
            "options": one.options,
            "confirmed": one.confirmed,
        }

    def _subscription_create(self, place: _Place, fields: dict[str, Any], call: Call) -> Outcome:
        self._scheme(fields["subscriber"])
        ttl = _integer(fields.get("ttl", SUBSCRIPTION_TTL_S), TTL_MIN_S, 2**40)
        options = fields.get("options", {})
        if not isinstance(options, dict):
            raise Refusal(400)
        self._create(place)
        there = self._subscriptions.setdefault(place, [])
        known = next((one for one in there if one.subscriber == fields["subscriber"]), None)
        if known is not None:
            return Outcome(409) if known.confirmed else Outcome(201, AGAIN)
        number, self._subscribed = self._subscribed, self._subscribed + 1
        there.append(_Subscription(number, fields["subscriber"], ttl, options, self.now, self.now + ttl))
        return Outcome(201, SubscriptionId(number))

    def _subscription_list(self, place: _Place, fields: dict[str, Any], call: Call) -> list[dict[str, Any]]:
        told = [self._told(place, one) for one in self._subscriptions.get(place, [])]
        return sorted(told, key=lambda shown: str(shown["subscriber"]))

    def _subscription_get(self, place: _Place, fields: dict[str, Any], call: Call) -> dict[str, Any]:
        one = self._subscription(place, fields["subscription_id"])
        if one is None:
            raise Refusal(404)
        return self._told(place, one)

    def _subscription_update(self, place: _Place, fields: dict[str, Any], call: Call) -> None:
        changes = fields["changes"]
        if not changes:
            raise Refusal(400)
        if "subscriber" in changes:
            self._scheme(changes["subscriber"])
        if "ttl" in changes:
            _integer(changes["ttl"], TTL_MIN_S, 2**40)
        if not isinstance(changes.get("options", {}), dict):
            raise Refusal(400)
        one = self._subscription(place, fields["subscription_id"])
        if one is None:
            raise Refusal(404)
        subscriber = changes.get("subscriber", one.subscriber)
        if subscriber != one.subscriber:
            if any(other.subscriber == subscriber for other in self._subscriptions[place]):
                raise Refusal(409)
            one.subscriber, one.confirmed = subscriber, False
        if "ttl" in changes:
            one.ttl, one.expires = changes["ttl"], self.now + changes["ttl"]
        one.options = changes.get("options", one.options)

    def _subscription_delete(self, place: _Place, fields: dict[str, Any], call: Call) -> None:
        one = self._subscription(place, fields["subscription_id"])
        if one is not None:
            self._subscriptions[place].remove(one)

    def _subscription_confirm(self, place: _Place, fields: dict[str, Any], call: Call) -> None:
        if not isinstance(fields["confirmed"], bool):
            raise Refusal(400)
        one = self._subscription(place, fields["subscription_id"])
        if one is None:
            raise Refusal(404)
        one.confirmed = fields["confirmed"]


def on_http(call: Call, outcome: Outcome) -> Outcome:
    """What HTTP makes of an outcome: it fills in reserved metadata, and does not tell whether there is a queue."""
    if outcome.status == 200 and call.name in ("queue_get", "queue_update"):
        return evolve(outcome, value=filled(outcome.value))
    if outcome.status == 200 and call.name == "queue_list" and call.fields.get("detailed"):
        return evolve(outcome, value=[{**one, "metadata": filled(one["metadata"])} for one in outcome.value])
    if call.name == "queue_get_stats":
        return evolve(outcome, status=200)
    return outcome


def on_websocket(call: Call, outcome: Outcome) -> Outcome:
    """What WebSocket makes of an outcome (API reference, "Actions")."""
    if call.name == "message_get_many" and outcome.status == 404:
        return Outcome(200, [])
    if call.name == "subscription_create" and outcome.value is AGAIN:
        return Outcome(409)
    if call.name in ("message_list", "message_get", "message_get_many"):
        return evolve(outcome, value=unclaimed(outcome.value))
    return outcome
