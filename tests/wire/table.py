"""One table of operations, their arguments and what has to come of them, for both transports and both stores.

Ids are written ``$m0``, ``$m1``, ... for messages in the order in which a case posts them, ``$c0``, ... for claims, ``$s0``,
... for subscriptions.  A page of subscriptions stands here in the order of subscribers.
Where the transports differ, a step has a status or a value of its own for WebSocket, and the case says ``why``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from attrs import field, frozen

from tests.helpers import CLIENT, OTHER_CLIENT, PROJECT
from tests.wire.calls import RESERVED, Call, filled
from zaqar_gateway.limits import Limits

ANY: Any = object()
"""A value that is not looked at."""

SAME: Any = object()
"""On WebSocket the same as on HTTP."""

OTHER_PROJECT = "another project"


@frozen
class Step:
    """An operation and what has to come of it.

    :ivar title: of the error on HTTP, empty where any will do.
    :ivar frame: the status on WebSocket where it differs.
    :ivar frame_value: the value on WebSocket where it differs.
    :ivar contains: text that the error has to contain, on WebSocket.
    """

    call: Call
    status: int
    value: Any = ANY
    title: str = ""
    frame: int = 0
    frame_value: Any = SAME
    contains: str = ""


@frozen
class Wait:
    """Time goes by."""

    seconds: float


@frozen
class Case:
    """Steps on an empty store.

    :ivar section: of the API reference.
    :ivar why: the reason for each difference between the transports, with the section that says so.
    :ivar only: ``"http"`` or ``"frame"`` where the other transport does not have it.
    """

    name: str
    section: str
    steps: Sequence[Step | Wait]
    why: str = ""
    only: str = ""
    limits: Limits = field(factory=Limits)


def do(
    name: str,
    status: int,
    value: Any = ANY,
    *,
    title: str = "",
    frame: int = 0,
    frame_value: Any = SAME,
    contains: str = "",
    by: str = CLIENT,
    project: str = PROJECT,
    **fields: Any,
) -> Step:
    """A step; the queue is ``q`` unless another is given."""
    given = fields if name == "queue_list" else {"queue_name": "q", **fields}
    return Step(Call(name, given, by, project), status, value, title, frame, frame_value, contains)


def post(*bodies: Any, queue: str = "q", ttl: int | None = None, **options: Any) -> Step:
    """A post that succeeds."""
    more = {} if ttl is None else {"ttl": ttl}
    return do("message_post", 201, queue_name=queue, messages=[{"body": body, **more} for body in bodies], **options)


def m(number: int, body: Any, *, ttl: int = 3600, age: int = 0, claim: int | None = None) -> dict[str, Any]:
    """A message as it is shown."""
    held = None if claim is None else f"$c{claim}"
    return {"id": f"$m{number}", "ttl": ttl, "age": age, "body": body, "claim_id": held}


def gone(number: int, body: Any, *, ttl: int = 3600, age: int = 0, count: int = 0) -> dict[str, Any]:
    """A message as a pop shows it."""
    return {"id": f"$m{number}", "ttl": ttl, "age": age, "body": body, "claim_id": None, "claim_count": count}


def held(number: int, *messages: dict[str, Any]) -> dict[str, Any]:
    """What creating a claim answers."""
    return {"claim_id": f"$c{number}", "messages": list(messages)}


def all_of(*messages: dict[str, Any], **options: Any) -> Step:
    """A listing of whatever there is."""
    shown: dict[str, Any] = {"echo": True, "include_claimed": True, "include_delayed": True}
    return do("message_list", 200, list(messages), **(shown | options))


def counts(free: int, claimed: int, **options: Any) -> Step:
    """Stats, of which the edges are not looked at."""
    return do("queue_get_stats", 200, Counts(free, claimed), **options)


def s(number: int, subscriber: str, *, ttl: int = 3600, age: int = 0, confirmed: bool = False, **options: Any) -> Any:
    """A subscription as it is shown."""
    more = {"options": options, "confirmed": confirmed}
    return {"id": f"$s{number}", "source": "q", "subscriber": subscriber, "ttl": ttl, "age": age, **more}


def subscribe(number: int, subscriber: str, **fields: Any) -> Step:
    """A subscription that is made."""
    return do("subscription_create", 201, f"$s{number}", subscriber=subscriber, **fields)


@frozen
class Counts:
    """Equal to stats with these counts, whatever the edges."""

    free: int
    claimed: int

    def __eq__(self, other: object) -> bool:
        return isinstance(other, dict) and (other["free"], other["claimed"]) == (self.free, self.claimed)


RULE, BODY, PARAMETER, NAME = (
    "Invalid API request",
    "Invalid request body",
    "Invalid parameter",
    "Invalid queue identification",
)
UNABLE, MISSING = "Unable to delete", "Not found"

STORED = "WebSocket shows metadata as stored, without reserved defaults (4.4)"
STATS = "stats of a missing queue are 404 with zeros on WebSocket (4.4), 200 on HTTP (2.4)"
MANY = "none found is 404 on HTTP (2.5), an empty list on WebSocket (4.4)"
SCHEMA = "WebSocket has a schema with JSON types (4.3), HTTP has texts (1.9)"
NAMES = "names are checked by queue_create and message_post only on WebSocket (4.3), everywhere on HTTP (1.8)"
PURGE = "unknown types are ignored on WebSocket (4.4), refused on HTTP (2.11)"
CLIENTS = "Client-ID is looked at by message_list and message_post only on WebSocket (4.3), everywhere on HTTP (1.5)"

CREATED = "a subscriber again is 409 on WebSocket, confirmed or not (4.4), 201 on HTTP until it is confirmed (2.10)"

HTTP_ONLY = ("queue_update", "subscription_update", "subscription_confirm")
"""Operations that WebSocket does not have (API reference, "Actions")."""

EIGHTY = "x" * 80
DEAD = {"_max_claim_count": 2, "_dead_letter_queue": "dead"}
SMALL = Limits(queue_metadata_max=64, post_size_max=256)
WITH_CLAIM_IDS = Limits(delete_needs_claim_id=True)


def _refused_metadata(name: str, metadata: dict[str, Any]) -> Case:
    steps = [do("queue_create", 400, metadata=metadata, title=RULE), do("queue_get", 200, RESERVED, frame_value={})]
    return Case(f"metadata refused: {name}", "3.5", steps, STORED)


def _accepted_metadata(name: str, metadata: dict[str, Any]) -> Case:
    steps = [do("queue_create", 201, metadata=metadata), do("queue_get", 200, filled(metadata), frame_value=metadata)]
    return Case(f"metadata accepted: {name}", "3.5", steps, STORED)


def _refused_post(name: str, messages: Any, title: str, contains: str = "") -> Case:
    steps = [
        do("message_post", 400, messages=messages, title=title, contains=contains),
        do("queue_list", 200, []),
    ]
    return Case(f"post refused: {name}", "2.6; 6.2 item 19", steps)


def _limits(name: str, **fields: Any) -> list[Case]:
    cases = []
    for limit, title in ((0, RULE), (-1, RULE), (21, RULE), (10**12, RULE), ("x", PARAMETER), (1.5, PARAMETER)):
        step = do(name, 400, limit=limit, title=title, **fields)
        cases.append(Case(f"{name} with limit {limit}", "1.9", [step]))
    return cases


def _one(name: str, value: Any) -> dict[str, Any]:
    return {name: value}


def _nothing_there(call: str, status: int, value: Any = ANY, *, frame: int = 0, frame_value: Any = SAME) -> list[Case]:
    """Ids of nothing, in a queue that exists and in one that does not."""
    cases = []
    # As many characters as a real id has, and fewer, and far more; digits of other scripts; what needs escapes in a path.
    for text in ("nada", "foo", "a", "0" * 24, "f" * 24, "g" * 24, "-1", "a b", "%", "é", "x" * 1000, "9" * 19):
        known: dict[str, dict[str, Any]] = {
            "message_get": {"message_id": text},
            "message_get_many": {"message_ids": [text]},
            "message_delete": {"message_id": text},
            "message_delete_many": {"message_ids": [text]},
            "claim_get": {"claim_id": text},
            "claim_update": {"claim_id": text},
            "claim_delete": {"claim_id": text},
            "subscription_get": {"subscription_id": text},
            "subscription_update": {"subscription_id": text, "changes": {"ttl": 60}},
            "subscription_delete": {"subscription_id": text},
            "subscription_confirm": {"subscription_id": text, "confirmed": True},
        }
        step = do(call, status, value, frame=frame, frame_value=frame_value, **known[call])
        only = "http" if call in HTTP_ONLY else ""
        cases.append(Case(f"{call} of {text[:30]}", "1.8", [step, post(1), step], MANY if frame else "", only))
    return cases


_WRONG_METADATA: dict[str, tuple[Any, ...]] = {
    "_default_message_ttl": (0, 59, 1209601, "60", 60.5, 60.0, True, "", []),
    "_max_messages_post_size": (0, -1, 262145, "1", 1.5, True),
    "_default_message_delay": (-1, 901, "1", 0.5),
    "_max_claim_count": ("1", 1.5, [], True),
    "_dead_letter_queue_messages_ttl": (0, 59, 1209601, "60"),
    "_enable_encrypt_messages": (1, "yes", 0, ""),
    "_retry_policy": ([], "x", {"minimum_delay": "x"}, {"retry_backoff_function": "x"}, {"maximum_delay": 10}),
}

_NO_INTEGERS: tuple[Any, ...] = (None, "60", 60.0, 60.5, True, [], {})

_QUEUES = [
    Case(
        "a missing queue",
        "2, what a missing queue gives; 4.4",
        [
            do("queue_get", 200, RESERVED, frame_value={}),
            do("queue_get_stats", 200, {"free": 0, "claimed": 0}, frame=404),
            do("queue_purge", 204),
            do("queue_delete", 204),
            do("message_list", 200, []),
            do("message_get_many", 404, message_ids=["a"], frame=200, frame_value=[], title=MISSING),
            do("message_get", 404, message_id="a", title=MISSING),
            do("message_delete", 204, message_id="a"),
            do("message_delete", 204, message_id="a", claim_id="a"),
            do("message_delete_many", 204, message_ids=["a"]),
            do("message_delete_many", 200, [], pop=1),
            do("claim_create", 204),
            do("claim_get", 404, claim_id="a", title=MISSING),
            do("claim_update", 404, claim_id="a", title=MISSING),
            do("claim_delete", 204, claim_id="a"),
            do("queue_list", 200, []),
        ],
        "; ".join((STORED, STATS, MANY)),
    ),
    Case(
        "create a queue",
        "2.4",
        [
            do("queue_create", 201),
            do("queue_create", 204),
            do("queue_get", 200, RESERVED, frame_value={}),
            do("queue_get_stats", 200, {"free": 0, "claimed": 0}),
        ],
        STORED,
    ),
    Case(
        "an existing queue keeps its metadata",
        "2.4; appendix B",
        [
            do("queue_create", 201, metadata={"a": 1}),
            do("queue_create", 204, metadata={"b": 2}),
            do("queue_create", 204),
            do("queue_get", 200, {"a": 1, **RESERVED}, frame_value={"a": 1}),
            do("queue_create", 400, metadata={"_default_message_ttl": 0}, title=RULE),
        ],
        STORED,
    ),
    Case(
        "metadata of any kind",
        "2.4; appendix B",
        [
            do("queue_create", 201, metadata={"messages": {"ttl": 600}}),
            do("queue_get", 200, {"messages": {"ttl": 600}, **RESERVED}, frame_value={"messages": {"ttl": 600}}),
        ],
        STORED,
    ),
    Case(
        "delete a queue",
        "2.4; 6.3 item 42",
        [
            do("queue_create", 201, metadata={"a": 1}),
            post(1, 2),
            do("claim_create", 201, limit=1),
            do("queue_delete", 204),
            do("queue_delete", 204),
            do("queue_get", 200, RESERVED, frame_value={}),
            do("claim_get", 404, claim_id="$c0", title=MISSING),
            do("claim_update", 404, claim_id="$c0", title=MISSING),
            do("message_get", 404, message_id="$m0", title=MISSING),
            do("message_delete", 204, message_id="$m0"),
            post(3),
            all_of(m(2, 3)),
            do("claim_get", 404, claim_id="$c0", title=MISSING),
            do("message_get", 404, message_id="$m1", title=MISSING),
        ],
        STORED,
    ),
    Case(
        "list queues",
        "2.3",
        [
            *(do("queue_create", 201, queue_name=name, metadata={"n": name}) for name in ("b", "a.b", "a", "Z", "a-b")),
            do("queue_list", 200, [{"name": name} for name in ("Z", "a", "a-b", "a.b", "b")]),
            do("queue_list", 200, [{"name": "Z"}, {"name": "a"}], limit=2),
            do("queue_list", 200, [{"name": "a-b"}, {"name": "a.b"}], limit=2, marker="a"),
            do("queue_list", 200, [], marker="zzz"),
            do("queue_list", 200, [{"name": "a.b"}, {"name": "b"}], marker="a.", limit=20),
            do(
                "queue_list",
                200,
                [{"name": "Z", "metadata": filled({"n": "Z"})}],
                detailed=True,
                limit=1,
                frame_value=[{"name": "Z", "metadata": {"n": "Z"}}],
            ),
            do("queue_list", 200, [], project=OTHER_PROJECT),
        ],
        STORED,
    ),
    Case(
        "ten queues to a page",
        "1.13",
        [
            *(do("queue_create", 201, queue_name=f"q{number:02}") for number in range(21)),
            do("queue_list", 200, [{"name": f"q{number:02}"} for number in range(10)]),
            do("queue_list", 200, [{"name": f"q{number:02}"} for number in range(20)], limit=20),
        ],
    ),
    *_limits("queue_list"),
    *(
        Case(f"queue names: {name[:12]}", "1.8", [do("queue_create", 201, queue_name=name), post(1, queue=name)])
        for name in ("Nice-Boat_2", "Service.test_queue", "x" * 64, "-", "..", "0")
    ),
    *(
        Case(
            f"refused queue names: {name[:12]!r}",
            "1.8",
            [
                do("queue_create", 400, queue_name=name, title=NAME),
                do("message_post", 400, queue_name=name, messages=[{"body": 1}], title=NAME),
                do("queue_get", 400, queue_name=name, title=NAME, frame=200, frame_value={}),
                do("queue_delete", 400, queue_name=name, title=NAME, frame=204),
                do(
                    "queue_get_stats",
                    400,
                    queue_name=name,
                    title=NAME,
                    frame=404,
                    frame_value={"free": 0, "claimed": 0},
                ),
                do("message_list", 400, queue_name=name, title=NAME, frame=200, frame_value=[]),
                do("message_get", 400, queue_name=name, message_id="a", title=NAME, frame=404),
                do("claim_create", 400, queue_name=name, title=NAME, frame=204),
                do("claim_delete", 400, queue_name=name, claim_id="a", title=NAME, frame=204),
            ],
            NAMES,
        )
        for name in ("Nice-Bo@t", "x" * 65, "a b", "a\n", "é", "queue;", "{a}")
    ),
    Case(
        "length of projects",
        "1.5; 4.3",
        [
            do("queue_create", 201, project="p" * 256),
            do("queue_create", 400, project="p" * 257, title=NAME),
            do("message_post", 400, project="p" * 257, messages=[{"body": 1}], title=NAME),
            do("queue_get", 400, project="p" * 257, title=NAME, frame=200, frame_value={}),
        ],
        NAMES,
    ),
    Case(
        "projects are isolated",
        "1.5",
        [
            do("queue_create", 201, metadata={"a": 1}),
            post(1, 2),
            do("claim_create", 201, limit=1),
            do("queue_get", 200, RESERVED, frame_value={}, project=OTHER_PROJECT),
            do("queue_get_stats", 200, {"free": 0, "claimed": 0}, frame=404, project=OTHER_PROJECT),
            all_of(project=OTHER_PROJECT),
            do("message_get", 404, message_id="$m1", project=OTHER_PROJECT),
            do("message_delete", 204, message_id="$m1", project=OTHER_PROJECT),
            do("message_delete_many", 204, message_ids=["$m1"], project=OTHER_PROJECT),
            do("message_delete_many", 200, [], pop=2, project=OTHER_PROJECT),
            do("claim_get", 404, claim_id="$c0", project=OTHER_PROJECT),
            do("claim_update", 404, claim_id="$c0", project=OTHER_PROJECT),
            do("claim_delete", 204, claim_id="$c0", project=OTHER_PROJECT),
            do("queue_purge", 204, project=OTHER_PROJECT),
            do("queue_delete", 204, project=OTHER_PROJECT),
            all_of(m(0, 1, claim=0), m(1, 2)),
        ],
        "; ".join((STORED, STATS)),
    ),
    Case(
        "names of queues and projects never mix",
        "6.1 item 9",
        [
            post(1, queue="a.b", project="p"),
            post(2, queue="b", project="p.a"),
            all_of(m(0, 1), queue_name="a.b", project="p"),
            all_of(m(1, 2), queue_name="b", project="p.a"),
            do("queue_list", 200, [{"name": "a.b"}], project="p"),
            do("queue_list", 200, [{"name": "b"}], project="p.a"),
        ],
    ),
    Case(
        "spaces and braces in projects",
        "1.5",
        [
            post(1, project="a project"),
            post(2, project="{a} project/*"),
            all_of(m(0, 1), project="a project"),
            all_of(m(1, 2), project="{a} project/*"),
        ],
    ),
    *(
        _refused_metadata(f"{key} {value!r}", {key: value})
        for key, values in _WRONG_METADATA.items()
        for value in values
    ),
    _refused_metadata("maximum below minimum", {"_retry_policy": {"minimum_delay": 30, "maximum_delay": 20}}),
    _accepted_metadata("null", {key: None for key in (*RESERVED, "_retry_policy")}),
    _accepted_metadata("least", {"_default_message_ttl": 60, "_max_messages_post_size": 1, "_default_message_delay": 0}),
    _accepted_metadata(
        "most", {"_default_message_ttl": 1209600, "_max_messages_post_size": 262144, "_default_message_delay": 900}
    ),
    _accepted_metadata("claim counts", {"_max_claim_count": -5, "_dead_letter_queue_messages_ttl": 60}),
    _accepted_metadata("any dead letter queue", {"_dead_letter_queue": "not a name", "_max_claim_count": 1}),
    _accepted_metadata("others", {"_mine": {"a": [1, None]}, "é": "\u20ac", "": 0, "_flavor": "nonesuch"}),
    _accepted_metadata("encryption", {"_enable_encrypt_messages": True}),
    _accepted_metadata("retry", {"_retry_policy": {"minimum_delay": 5, "maximum_delay": 15, "x": 1}}),
    Case(
        "size of metadata",
        "1.10; 5",
        [
            do("queue_create", 400, metadata={"k": "x" * 57}),
            do("queue_create", 201, metadata={"k": "x" * 55}),
        ],
        limits=SMALL,
    ),
]

_STATS = [
    Case(
        "stats",
        "2.11",
        [
            post(1),
            Wait(2.5),
            post(2, 3),
            Wait(3.75),
            do("claim_create", 201, limit=1, ttl=60),
            do(
                "queue_get_stats",
                200,
                {
                    "free": 2,
                    "claimed": 1,
                    "oldest": {"id": "$m0", "age": 6, "created": "2027-01-15T08:00:00Z"},
                    "newest": {"id": "$m2", "age": 3, "created": "2027-01-15T08:00:02Z"},
                },
            ),
            Wait(60),
            counts(3, 0),
            do("message_delete", 204, message_id="$m2"),
            do(
                "queue_get_stats",
                200,
                {
                    "free": 2,
                    "claimed": 0,
                    "oldest": {"id": "$m0", "age": 66, "created": "2027-01-15T08:00:00Z"},
                    "newest": {"id": "$m1", "age": 63, "created": "2027-01-15T08:00:02Z"},
                },
            ),
        ],
    ),
    Case(
        "expired messages are not counted",
        "6.3 item 37",
        [post(1, ttl=60), post(2, ttl=120), counts(2, 0), Wait(60), counts(1, 0), Wait(60), counts(0, 0)],
    ),
    Case(
        "purge",
        "2.11",
        [
            do("queue_create", 201, metadata={"_default_message_delay": 600}),
            post(1, 2),
            Wait(600),
            do("claim_create", 201, limit=1),
            post(3),
            do("queue_purge", 204, resource_types=[]),
            do("queue_purge", 204, resource_types=["subscriptions"]),
            counts(2, 1),
            do("queue_purge", 204, resource_types=["messages"]),
            counts(0, 0),
            all_of(),
            do("claim_get", 404, claim_id="$c0"),
            do(
                "queue_get",
                200,
                filled({"_default_message_delay": 600}),
                frame_value={"_default_message_delay": 600},
            ),
            post(4),
            do("queue_purge", 204),
            counts(0, 0),
        ],
        STORED,
    ),
    Case(
        "purge both kinds",
        "2.11",
        [post(1), do("queue_purge", 204, resource_types=["messages", "subscriptions"]), counts(0, 0)],
    ),
    Case(
        "purge of unknown types",
        "2.11; 4.4",
        [
            post(1),
            do("queue_purge", 400, resource_types=["wrong"], title=RULE, frame=204),
            counts(1, 0),
            do("queue_purge", 400, resource_types="messages", frame=400),
            do("queue_purge", 400, resource_types={"messages": 1}),
            do("queue_purge", 400, resource_types=None),
            do("queue_purge", 400, resource_types=[1]),
            counts(1, 0),
        ],
        PURGE,
    ),
]

_MESSAGES = [
    Case(
        "post creates the queue",
        "2.6",
        [
            do("message_post", 201, ["$m0", "$m1"], messages=[{"body": {"a": [1]}, "ttl": 60}, {"body": None}]),
            do("queue_list", 200, [{"name": "q"}]),
            all_of(m(0, {"a": [1]}, ttl=60), m(1, None)),
        ],
    ),
    Case(
        "bodies of all kinds",
        "3.1",
        [
            post({}, [], "", 0, False, 1.5, "\u20ac\n\"\\", [None], {"": {"": []}}),
            all_of(*(m(n, b) for n, b in enumerate(({}, [], "", 0, False, 1.5, "\u20ac\n\"\\", [None], {"": {"": []}})))),
        ],
    ),
    Case(
        "the range of ttl",
        "2.6",
        [post(1, ttl=60), post(2, ttl=1209600), all_of(m(0, 1, ttl=60), m(1, 2, ttl=1209600))],
    ),
    *(
        _refused_post(f"ttl {ttl}", [{"body": 1, "ttl": ttl}], RULE)
        for ttl in (-1, 0, 59, 1209601, 2**62)
    ),
    *(
        _refused_post(
            f"ttl {ttl!r}",
            [{"body": 1}, {"body": 1, "ttl": ttl}],
            BODY,
            'Bad request. The value of the "ttl" field must be a int.',
        )
        for ttl in _NO_INTEGERS
    ),
    _refused_post("an empty array", [], RULE),
    _refused_post("no body", [{"ttl": 60}], BODY, 'Bad request. Missing "body" field.'),
    _refused_post("one of two without body", [{"body": 1}, {}], BODY, 'Bad request. Missing "body" field.'),
    *(_refused_post(f"an element {one!r}", [{"body": 1}, one], BODY) for one in (1, "body", None, [], [{"body": 1}])),
    *(_refused_post(f"messages {value!r}", value, BODY) for value in ({}, "x", 1, None, True, {"body": 1})),
    Case(
        "unknown members of a message",
        "2.6",
        [do("message_post", 201, messages=[{"body": 1, "x": 2, "id": "a"}]), all_of(m(0, 1))],
    ),
    Case(
        "delay in a queue that knows none",
        "2.6",
        [
            do("message_post", 201, messages=[{"body": 1, "delay": delay} for delay in (900, 901, -1, None, "x")]),
            all_of(*(m(number, 1) for number in range(5)), include_delayed=False),
        ],
    ),
    Case(
        "the size of a post",
        "2.6; 5",
        [
            do("message_post", 400, messages=[{"body": "x" * 300}], title=RULE),
            do("message_post", 400, messages=[{"body": "x" * 256}], title=RULE),
            do("message_post", 201, messages=[{"body": "x" * 200}]),
        ],
        limits=SMALL,
    ),
    Case(
        "the size that a queue allows",
        "2.6",
        [
            do("queue_create", 201, metadata={"_max_messages_post_size": 100}),
            do("message_post", 400, messages=[{"body": "x" * 100}], title=RULE),
            do("message_post", 400, messages=[{"body": "x" * 10}] * 6, title=RULE),
            do("message_post", 201, messages=[{"body": "x" * 40}]),
        ],
    ),
    Case(
        "eight thousand messages are too many bytes",
        "4.4, sizes",
        [do("message_post", 400, messages=[{"body": "x" * 22}] * 8000, title=RULE)],
    ),
    Case(
        "defaults of the queue",
        "3.5",
        [
            do("queue_create", 201, metadata={"_default_message_ttl": 120}),
            post(1),
            post(2, ttl=60),
            all_of(m(0, 1, ttl=120), m(1, 2, ttl=60)),
        ],
    ),
    Case(
        "delay of the queue",
        "3.2",
        [
            do("queue_create", 201, metadata={"_default_message_delay": 10}),
            post(1),
            do("message_list", 200, [], echo=True),
            do("message_list", 200, [m(0, 1)], echo=True, include_delayed=True),
            do("message_get", 200, m(0, 1), message_id="$m0"),
            do("message_get_many", 200, [m(0, 1)], message_ids=["$m0"]),
            do("claim_create", 204),
            do("message_delete_many", 200, [], pop=1),
            counts(1, 0),
            Wait(9),
            do("claim_create", 204),
            Wait(1),
            do("message_list", 200, [m(0, 1, age=10)], echo=True),
            do("claim_create", 201, held(0, m(0, 1, age=10, claim=0))),
        ],
    ),
    Case(
        "a delayed message can be deleted",
        "3.2",
        [
            do("queue_create", 201, metadata={"_default_message_delay": 10}),
            post(1),
            do("message_delete", 204, message_id="$m0"),
            all_of(),
        ],
    ),
    Case(
        "a message's own delay",
        "2.6; 3.2",
        [
            do("queue_create", 201, metadata={"_default_message_delay": 60}),
            do("message_post", 201, messages=[{"body": 1, "delay": 0}, {"body": 2, "delay": 5}, {"body": 3}]),
            do("message_list", 200, [m(0, 1)], echo=True),
            Wait(5),
            do("message_list", 200, [m(0, 1, age=5), m(1, 2, age=5)], echo=True),
            *(
                do("message_post", 400, messages=[{"body": 1, "delay": delay}], title=title)
                for delay, title in ((-1, RULE), (901, RULE), (None, BODY), ("5", BODY), (5.0, BODY), (True, BODY))
            ),
            do("message_post", 201, messages=[{"body": 1, "delay": 900}]),
        ],
        only="http",
        why="WebSocket has no delay of a message's own (4.4)",
    ),
    Case(
        "no delay of its own on WebSocket",
        "4.4, what WebSocket does not have",
        [
            do("queue_create", 201, metadata={"_default_message_delay": 60}),
            do("message_post", 201, messages=[{"body": 1, "delay": 0}]),
            do("message_list", 200, [], echo=True),
            Wait(60),
            do("message_list", 200, [m(0, 1, age=60)], echo=True),
        ],
        only="frame",
    ),
    Case(
        "who hears an echo",
        "2.5; 1.5",
        [
            post("mine"),
            post("other", by=OTHER_CLIENT),
            do("message_list", 200, [m(1, "other")]),
            do("message_list", 200, [m(0, "mine")], by=OTHER_CLIENT),
            do("message_list", 200, [m(0, "mine"), m(1, "other")], echo=True),
            do("message_list", 200, [m(1, "other")], by=CLIENT.replace("-", "").upper()),
            do("message_list", 200, [m(1, "other")], by=f"urn:uuid:{CLIENT}"),
            do("message_list", 200, [m(1, "other")], by="{" + CLIENT + "}"),
        ],
    ),
    Case(
        "pages of messages",
        "1.13; 3.4",
        [
            post(*range(12)),
            do("message_list", 200, [m(n, n) for n in range(10)], echo=True),
            do("message_list", 200, [m(n, n) for n in range(12)], echo=True, limit=20),
            do("message_list", 200, [m(n, n) for n in (3, 4)], echo=True, limit=2, marker="$m2"),
            do("message_delete", 204, message_id="$m2"),
            do("message_list", 200, [m(n, n) for n in (3, 4)], echo=True, limit=2, marker="$m2"),
            do("message_list", 200, [m(n, n) for n in (1, 3)], echo=True, limit=2, marker="$m0"),
            do("message_list", 200, [], echo=True, marker="$m11"),
            do("message_list", 200, [], echo=True, marker="nonesuch"),
            do("message_list", 200, [], echo=True, marker="sfhlsfdjh2048"),
            Wait(3600),
            do("message_list", 200, [], echo=True, marker="$m0"),
        ],
    ),
    Case(
        "a page is full although much is left out",
        "2.5",
        [
            post(*range(20)),
            post(20, by=OTHER_CLIENT),
            post(*range(21, 40)),
            post(40, 41, by=OTHER_CLIENT),
            do("message_list", 200, [m(20, 20), m(40, 40)], limit=2),
            do("message_list", 200, [m(41, 41)], limit=2, marker="$m40"),
            do("claim_create", 201, limit=20),
            do("message_list", 200, [m(20, 20), m(21, 21)], echo=True, limit=2),
        ],
    ),
    *_limits("message_list"),
    *(
        Case(f"message_list with {name} {value!r}", "1.9; 4.3", [do("message_list", 400, title=PARAMETER, **_one(name, value))])
        for name in ("echo", "include_claimed", "include_delayed")
        for value in ("None", "TRUE", "x", 2, 0.5)
    ),
    Case(
        "booleans as numbers and texts",
        "1.9; 4.3",
        [
            post(1),
            *(
                do("message_list", 200, [m(0, 1)], echo=value, frame=400)
                for value in ("true", "True", "t", "yes", "y", "1", "on", 1)
            ),
            *(
                do("message_list", 200, [], echo=value, frame=400)
                for value in ("false", "False", "f", "no", "n", "0", "off", 0)
            ),
            do("message_list", 200, [m(0, 1)], echo="yes", limit="5", frame=400),
        ],
        SCHEMA,
    ),
    Case(
        "get",
        "2.8",
        [
            post(1, 2),
            Wait(1.5),
            do("message_get", 200, m(0, 1, age=1), message_id="$m0"),
            do("message_get_many", 200, [m(1, 2, age=1), m(0, 1, age=1)], message_ids=["$m1", "$m0"]),
            do("message_get_many", 200, [m(1, 2, age=1)], message_ids=["nada", "$m1"]),
            do("claim_create", 201, limit=1),
            do("message_get", 200, m(0, 1, age=1, claim=0), message_id="$m0"),
            do("message_get_many", 200, [m(0, 1, age=1, claim=0)], message_ids=["$m0"]),
        ],
    ),
    Case(
        "an id of another queue",
        "2.8; 6.1 item 8",
        [
            post(1),
            post(2, queue="r"),
            do("message_get", 404, message_id="$m1", title=MISSING),
            do("message_delete", 204, message_id="$m1"),
            do("message_delete_many", 204, message_ids=["$m1"]),
            do("message_get_many", 404, message_ids=["$m1"], frame=200, frame_value=[]),
            all_of(m(1, 2), queue_name="r"),
        ],
        MANY,
    ),
    Case(
        "expiry",
        "3.1",
        [
            post(1, ttl=60),
            post(2, ttl=61),
            Wait(59.75),
            do("message_get", 200, m(0, 1, ttl=60, age=59), message_id="$m0"),
            Wait(0.25),
            do("message_get", 404, message_id="$m0"),
            all_of(m(1, 2, ttl=61, age=60)),
            do("message_delete", 204, message_id="$m0"),
            do("message_delete", 204, message_id="$m0", claim_id="a"),
            do("claim_create", 201, limit=20, ttl=300),
            do("message_delete_many", 200, [], pop=20),
        ],
    ),
    Case(
        "how many ids",
        "2.5; 2.7",
        [
            post(1),
            do("message_get_many", 200, message_ids=["$m0"] * 20),
            do("message_get_many", 400, message_ids=["$m0"] * 21, title=RULE),
            do("message_delete_many", 400, message_ids=["$m0"] * 21, title=RULE),
            do("message_delete_many", 204, message_ids=["$m0"] * 20),
        ],
    ),
    Case(
        "no ids",
        "4.4; 2.5",
        [
            do("message_get_many", 400, message_ids=[]),
            do("message_delete_many", 400, message_ids=[]),
        ],
        only="frame",
        why="no ids are a listing on HTTP (2.5)",
    ),
    Case(
        "delete many",
        "2.7",
        [
            post(1, 2, 3),
            do("claim_create", 201, limit=1),
            do("message_delete_many", 204, message_ids=["$m0", "nada", "$m2"]),
            do("message_delete_many", 204, message_ids=["$m0", "nada", "$m2"]),
            do("message_delete_many", 204, message_ids=["$m0"], claim_ids=["whatever"]),
            all_of(m(1, 2)),
            do("message_delete_many", 400, title=RULE),
            do("message_delete_many", 400, message_ids=["$m1"], pop=1, title=RULE),
            all_of(m(1, 2)),
        ],
    ),
    Case(
        "pop",
        "2.7; 3.7",
        [
            do("queue_create", 201, metadata=DEAD),
            post(1, 2, 3, 4),
            do("claim_create", 201, limit=1, ttl=60),
            do("message_delete_many", 200, [gone(1, 2), gone(2, 3)], pop=2),
            Wait(60),
            do("message_delete_many", 200, [gone(0, 1, age=60, count=1), gone(3, 4, age=60)], pop=20),
            do("message_delete_many", 200, [], pop=20),
        ],
    ),
    *(
        Case(f"pop {value!r}", "2.7", [post(1), do("message_delete_many", 400, pop=value, title=title), counts(1, 0)])
        for value, title in (
            (0, RULE), (-1, RULE), (21, RULE), (1000000, RULE), (" ", PARAMETER), ("x", PARAMETER), (1.0, PARAMETER),
            (True, PARAMETER), (None, PARAMETER),
        )
    ),
    Case(
        "delete one",
        "2.8",
        [
            post(*range(8)),
            do("message_delete", 400, message_id="$m0", claim_id="invalid", title=UNABLE),
            do("message_delete", 400, message_id="$m0", claim_id="123", title=UNABLE),
            do("claim_create", 201, limit=2, ttl=60),
            do("claim_create", 201, limit=2),
            do("claim_create", 201, limit=1),
            do("claim_delete", 204, claim_id="$c2"),
            do("message_delete", 403, message_id="$m0", title=UNABLE),
            do("message_delete", 403, message_id="$m0", claim_id="$c1", title=UNABLE),
            do("message_delete", 400, message_id="$m0", claim_id="$c2", title=UNABLE),
            do("message_delete", 400, message_id="$m0", claim_id="nonesuch", title=UNABLE),
            do("message_delete", 400, message_id="$m7", claim_id="$c0", title=UNABLE),
            do("message_delete", 400, message_id="$m4", claim_id="$c2", title=UNABLE),
            do("message_get", 200, m(4, 4), message_id="$m4"),
            do("message_delete", 204, message_id="$m0", claim_id="$c0"),
            do("message_delete", 204, message_id="$m0"),
            do("message_delete", 204, message_id="$m0", claim_id="$c1"),
            do("claim_get", 200, {"age": 0, "ttl": 60, "messages": [m(1, 1, claim=0)]}, claim_id="$c0"),
            do("message_delete", 204, message_id="$m7"),
            do("message_delete", 204, message_id="$m7"),
            Wait(60),
            do("message_delete", 400, message_id="$m1", claim_id="$c0", title=UNABLE),
            do("message_delete", 204, message_id="$m1"),
            do("message_delete", 400, message_id="$m2", claim_id="$c0", title=UNABLE),
        ],
    ),
    Case(
        "a blank claim is none",
        "2.8; 1.9",
        [post(1), do("message_delete", 204, message_id="$m0", claim_id="")],
        only="http",
    ),
    Case(
        "delete with the ids of claims",
        "3.8",
        [
            post(*range(6)),
            do("claim_create", 201, limit=2),
            do("claim_create", 201, limit=2),
            do("message_delete_many", 400, message_ids=["$m0"]),
            do("message_delete_many", 400, message_ids=["$m4"]),
            do("message_delete_many", 400, claim_ids=["$c0"]),
            do("message_delete_many", 400, pop=1, claim_ids=["$c0"]),
            do("message_delete_many", 400, message_ids=["$m0", "$m4"], claim_ids=["$c0"]),
            do("message_delete_many", 400, message_ids=["$m0", "$m2"], claim_ids=["$c0"]),
            do("message_delete_many", 400, message_ids=["$m0"], claim_ids=["nonesuch"]),
            counts(2, 4),
            do("message_delete_many", 204, message_ids=["nada"], claim_ids=["$c0"]),
            do("message_delete_many", 204, message_ids=["$m0", "$m2", "nada"], claim_ids=["$c0", "$c1"]),
            counts(2, 2),
            do("message_delete_many", 200, [gone(4, 4)], pop=1),
            do("message_delete", 403, message_id="$m1"),
            do("message_delete", 204, message_id="$m1", claim_id="$c0"),
            do("message_delete", 204, message_id="$m5"),
        ],
        limits=WITH_CLAIM_IDS,
    ),
    *_nothing_there("message_get", 404),
    *_nothing_there("message_get_many", 404, frame=200, frame_value=[]),
    *_nothing_there("message_delete", 204),
    *_nothing_there("message_delete_many", 204),
]

_CLAIMS = [
    Case(
        "claim",
        "2.9",
        [
            post(1, 2, 3),
            do("claim_create", 201, held(0, m(0, 1, claim=0), m(1, 2, claim=0)), limit=2, ttl=100, grace=60),
            Wait(1.5),
            do(
                "claim_get",
                200,
                {"age": 1, "ttl": 100, "messages": [m(0, 1, age=1, claim=0), m(1, 2, age=1, claim=0)]},
                claim_id="$c0",
            ),
            do("message_list", 200, [m(2, 3, age=1)], echo=True),
            all_of(m(0, 1, age=1, claim=0), m(1, 2, age=1, claim=0), m(2, 3, age=1)),
            do("claim_create", 201, held(1, m(2, 3, age=1, claim=1)), by=OTHER_CLIENT),
            do("claim_create", 204),
        ],
    ),
    Case(
        "defaults of a claim",
        "2.9; 5",
        [
            post(*range(12)),
            do("claim_create", 201, held(0, *(m(n, n, claim=0) for n in range(10)))),
            do("claim_get", 200, ANY, claim_id="$c0"),
            Wait(299.75),
            counts(2, 10),
            Wait(0.25),
            counts(12, 0),
            do("claim_get", 404, claim_id="$c0"),
        ],
    ),
    Case(
        "a claim lapses",
        "3.1; 3.7",
        [
            post(1, 2),
            do("claim_create", 201, limit=1, ttl=60),
            Wait(59.75),
            do("message_get", 200, m(0, 1, age=59, claim=0), message_id="$m0"),
            Wait(0.25),
            do("message_get", 200, m(0, 1, age=60), message_id="$m0"),
            do("claim_get", 404, claim_id="$c0"),
            do("claim_update", 404, claim_id="$c0", ttl=60),
            do("claim_delete", 204, claim_id="$c0"),
            do("message_list", 200, [m(0, 1, age=60), m(1, 2, age=60)], echo=True),
            do("claim_create", 201, held(1, m(0, 1, age=60, claim=1)), limit=1),
            do("claim_delete", 204, claim_id="$c0"),
            do("message_get", 200, m(0, 1, age=60, claim=1), message_id="$m0"),
        ],
    ),
    Case(
        "release",
        "2.9; appendix B",
        [
            post(1, 2, 3),
            do("claim_create", 201, limit=2),
            do("claim_delete", 204, claim_id="$c0"),
            do("claim_delete", 204, claim_id="$c0"),
            do("claim_get", 404, claim_id="$c0"),
            do("message_delete", 400, message_id="$m0", claim_id="$c0", title=UNABLE),
            do("message_get", 200, m(0, 1), message_id="$m0"),
            do("claim_create", 201, held(1, m(0, 1, claim=1)), limit=1),
        ],
    ),
    Case(
        "claim all, delete one",
        "appendix B",
        [
            post(1, 2),
            do("claim_create", 201),
            do("message_delete", 403, message_id="$m0"),
            do("message_delete", 204, message_id="$m0", claim_id="$c0"),
            do("message_delete", 204, message_id="$m0", claim_id="$c0"),
        ],
    ),
    Case(
        "a claim extends messages",
        "3.7",
        [
            post(1, ttl=60),
            post(2, ttl=200),
            post(3, ttl=101),
            do(
                "claim_create",
                201,
                held(0, m(0, 1, ttl=160, claim=0), m(1, 2, ttl=200, claim=0), m(2, 3, ttl=101, claim=0)),
                ttl=100,
                grace=60,
            ),
            Wait(99.75),
            do("message_get", 200, m(0, 1, ttl=160, age=99, claim=0), message_id="$m0"),
            Wait(60),
            all_of(m(0, 1, ttl=160, age=159), m(1, 2, ttl=200, age=159)),
            Wait(0.25),
            all_of(m(1, 2, ttl=200, age=160)),
        ],
    ),
    Case(
        "renew",
        "2.9; 3.7",
        [
            post(1, ttl=120),
            do("claim_create", 201, ttl=60, grace=60),
            Wait(30.5),
            do("claim_update", 204, claim_id="$c0", ttl=90, grace=100),
            do("claim_get", 200, {"age": 0, "ttl": 90, "messages": [m(0, 1, ttl=190, age=30, claim=0)]}, claim_id="$c0"),
            Wait(89.5),
            do("claim_get", 200, {"age": 89, "ttl": 90, "messages": [m(0, 1, ttl=190, age=120, claim=0)]}, claim_id="$c0"),
            do("claim_update", 204, claim_id="$c0"),
            do("claim_get", 200, {"age": 0, "ttl": 300, "messages": [m(0, 1, ttl=360, age=120, claim=0)]}, claim_id="$c0"),
            Wait(300),
            do("claim_update", 404, claim_id="$c0", ttl=60),
        ],
    ),
    Case(
        "an equal expiry extends too",
        "3.7",
        [
            post(1, ttl=120),
            do("claim_create", 201, ttl=60, grace=60),
            do("claim_update", 204, claim_id="$c0", ttl=120, grace=77),
            do("message_get", 200, m(0, 1, ttl=197, claim=0), message_id="$m0"),
        ],
    ),
    *(
        Case(
            f"{name} with {field} {value!r}",
            "2.9; 6.2 item 23",
            [post(1), do(name, 400, title=title, **(_one(field, value) | more)), counts(1, 0)],
        )
        for name, more in (("claim_create", {}), ("claim_update", {"claim_id": "a"}))
        for field in ("ttl", "grace")
        for value, title in (
            (-1, RULE), (0, RULE), (59, RULE), (43201, RULE), (None, BODY), ("60", BODY), (60.0, BODY), (True, ""),
        )
    ),
    Case(
        "the range of a claim",
        "2.9",
        [
            post(1),
            do("claim_create", 201, ttl=43200, grace=43200),
            do("claim_update", 204, claim_id="$c0", ttl=60, grace=60),
            do("claim_update", 204, claim_id="$c0", ttl=43200, grace=43200),
        ],
    ),
    Case("an unknown member", "2.9", [post(1), do("claim_update", 404, claim_id="a", ttl=60)]),
    *_limits("claim_create"),
    Case("the most of a claim", "2.9", [post(*range(21)), do("claim_create", 201, limit=20), counts(1, 20)]),
    *_nothing_there("claim_get", 404),
    *_nothing_there("claim_update", 404),
    *_nothing_there("claim_delete", 204),
    Case(
        "a claim of another queue",
        "2.9",
        [
            post(1),
            post(2, queue="r"),
            do("claim_create", 201),
            do("claim_get", 404, claim_id="$c0", queue_name="r"),
            do("claim_update", 404, claim_id="$c0", queue_name="r"),
            do("claim_delete", 204, claim_id="$c0", queue_name="r"),
            do("message_delete", 400, message_id="$m1", claim_id="$c0", queue_name="r", title=UNABLE),
            counts(0, 1),
        ],
    ),
    Case(
        "dead letters",
        "3.7",
        [
            do("queue_create", 201, metadata=DEAD),
            post(1),
            Wait(1),
            do("claim_create", 201, ttl=60),
            do("claim_delete", 204, claim_id="$c0"),
            do("claim_create", 201, ttl=60),
            Wait(60),
            do("queue_list", 200, [{"name": "q"}]),
            do("claim_create", 204),
            counts(0, 0),
            do("queue_list", 200, [{"name": "dead"}, {"name": "q"}]),
            all_of(m(0, 1, age=61), queue_name="dead"),
            counts(1, 0, queue_name="dead"),
            do("message_get", 404, message_id="$m0"),
            do("message_get", 200, m(0, 1, age=61), message_id="$m0", queue_name="dead"),
            do("claim_create", 201, held(2, m(0, 1, age=61, claim=2)), queue_name="dead"),
            do("claim_delete", 204, claim_id="$c2", queue_name="dead"),
            do("message_delete_many", 200, [gone(0, 1, age=61, count=2)], pop=1, queue_name="dead"),
        ],
    ),
    Case(
        "an encrypted queue",
        "3.11; 6.3 item 38",
        [
            do("queue_create", 201, metadata={**DEAD, "_max_claim_count": 1, "_enable_encrypt_messages": True}),
            post({"a": [1, "é"]}, None, "x"),
            all_of(m(0, {"a": [1, "é"]}), m(1, None), m(2, "x")),
            do("message_get", 200, m(0, {"a": [1, "é"]}), message_id="$m0"),
            do("message_get_many", 200, [m(2, "x"), m(1, None)], message_ids=["$m2", "$m1"]),
            do("claim_create", 201, held(0, m(0, {"a": [1, "é"]}, claim=0)), limit=1),
            do("claim_get", 200, ANY, claim_id="$c0"),
            do("message_delete_many", 200, [gone(1, None)], pop=1),
            do("claim_delete", 204, claim_id="$c0"),
            do("claim_create", 201, held(1, m(2, "x", claim=1))),
            all_of(m(0, {"a": [1, "é"]}), queue_name="dead"),
        ],
    ),
    Case(
        "rings of dead letter queues",
        "3.7; 6.3 item 36",
        [
            do("queue_create", 400, metadata={**DEAD, "_dead_letter_queue": "q"}, contains="has to be another queue"),
            do("queue_create", 201, metadata=DEAD),
            do("queue_create", 201, metadata={**DEAD, "_dead_letter_queue": "end"}, queue_name="dead"),
            do(
                "queue_create",
                400,
                metadata={**DEAD, "_dead_letter_queue": "q"},
                queue_name="end",
                title=RULE,
                contains="end to q to dead to end",
            ),
            do("queue_create", 201, metadata={"_dead_letter_queue": "q"}, queue_name="end"),
            do("queue_create", 201, metadata={**DEAD, "_dead_letter_queue": "q"}, queue_name="before"),
        ],
    ),
    Case(
        "dead letters with a ttl of their own",
        "3.7",
        [
            do("queue_create", 201, metadata={**DEAD, "_max_claim_count": 0, "_dead_letter_queue_messages_ttl": 100}),
            post(0, queue="dead"),
            post(1),
            Wait(50),
            do("claim_create", 204),
            all_of(m(0, 0, age=50), m(1, 1, ttl=100, age=50), queue_name="dead"),
            Wait(99.75),
            counts(2, 0, queue_name="dead"),
            Wait(0.25),
            counts(1, 0, queue_name="dead"),
        ],
    ),
]

ONE, TWO = "http://example.org/one", "mailto:two@example.org?subject=x"


_WRONG_POLICIES: tuple[Any, ...] = (1, "x", [], {"minimum_delay": "1"}, {"minimum_delay": 25}, {"retry_backoff_function": "x"})
_WRONG_TYPES: dict[str, tuple[Any, ...]] = {
    "subscriber": (None, 5, True, [], {}),
    "ttl": (None, "60", 60.5, [], {}),
    "options": (None, "x", 1, [], True),
}


def _refused_subscription(name: str, told: str, *, schema: bool = False, **fields: Any) -> Case:
    """Fields that no subscription has.

    :param told: in the text on WebSocket, which is that of HTTP unless it is a matter of the schema.
    """
    contains = "Schema validation failed" if schema else told
    step = do("subscription_create", 400, title=RULE, contains=contains, **{"subscriber": ONE, **fields})
    why = SCHEMA if schema else ""
    return Case(f"subscription refused: {name}", "2.10", [step, do("queue_list", 200, [])], why)


def _refused_change(name: str, changes: Any, title: str = RULE) -> Case:
    step = do("subscription_update", 400, title=title, subscription_id="x", changes=changes)
    return Case(f"change of a subscription refused: {name}", "2.10", [step], only="http")


_SUBSCRIPTIONS = [
    Case(
        "subscriptions of a missing queue",
        "2, what a missing queue gives",
        [
            do("subscription_list", 200, []),
            do("subscription_get", 404, subscription_id="a", title=MISSING),
            do("subscription_delete", 204, subscription_id="a"),
            do("queue_list", 200, []),
        ],
    ),
    Case(
        "subscribe",
        "2.10; 3.9",
        [
            subscribe(0, ONE),
            do("queue_list", 200, [{"name": "q"}]),
            subscribe(1, TWO, ttl=60, options={"a": [1.0, None], "_retry_policy": {"minimum_delay": 1}}),
            Wait(59.5),
            do("subscription_get", 200, s(0, ONE, age=59), subscription_id="$s0"),
            do(
                "subscription_list",
                200,
                [s(0, ONE, age=59), s(1, TWO, ttl=60, age=59, a=[1.0, None], _retry_policy={"minimum_delay": 1})],
            ),
            Wait(0.5),
            do("subscription_get", 404, subscription_id="$s1", title=MISSING),
            do("subscription_list", 200, [s(0, ONE, age=60)]),
            subscribe(2, TWO),
            do("subscription_delete", 204, subscription_id="$s0"),
            do("subscription_delete", 204, subscription_id="$s0"),
            do("subscription_list", 200, [s(2, TWO)]),
        ],
    ),
    Case(
        "a subscriber again",
        "2.10; 4.4",
        [
            subscribe(0, ONE, ttl=70, options={"a": 1}),
            do("subscription_create", 201, "$s0", subscriber=ONE, ttl=90, frame=409),
            do("subscription_get", 200, s(0, ONE, ttl=70, a=1), subscription_id="$s0"),
            subscribe(1, ONE + "?"),
        ],
        CREATED,
    ),
    Case(
        "confirm",
        "2.10; appendix B",
        [
            subscribe(0, ONE),
            do("subscription_create", 201, "$s0", subscriber=ONE),
            do("subscription_confirm", 204, subscription_id="$s0", confirmed=True),
            do("subscription_get", 200, s(0, ONE, confirmed=True), subscription_id="$s0"),
            do("subscription_confirm", 204, subscription_id="$s0", confirmed=True),
            do("subscription_create", 409, subscriber=ONE, title="Resource conflict"),
            do("subscription_confirm", 204, subscription_id="$s0", confirmed=False),
            do("subscription_create", 201, "$s0", subscriber=ONE),
        ],
        only="http",
    ),
    Case(
        "change a subscription",
        "2.10",
        [
            subscribe(0, ONE, ttl=70, options={"a": 1}),
            subscribe(1, TWO),
            Wait(60),
            do("subscription_update", 204, subscription_id="$s0", changes={"ttl": 80, "x": 1}),
            do("subscription_get", 200, s(0, ONE, ttl=80, age=60, a=1), subscription_id="$s0"),
            do("subscription_update", 204, subscription_id="$s0", changes={"options": {"b": 2}, "ttl": None}),
            do("subscription_update", 204, subscription_id="$s0", changes={"subscriber": ONE}),
            do(
                "subscription_update", 409, subscription_id="$s0", changes={"subscriber": TWO}, title="Resource conflict"
            ),
            do("subscription_update", 204, subscription_id="$s0", changes={"subscriber": "https://a"}),
            do("subscription_get", 200, s(0, "https://a", ttl=80, age=60, b=2), subscription_id="$s0"),
            subscribe(2, ONE),
            Wait(79.75),
            do("subscription_get", 200, ANY, subscription_id="$s0"),
            Wait(0.25),
            do("subscription_update", 404, subscription_id="$s0", changes={"ttl": 300}, title=MISSING),
        ],
        only="http",
    ),
    Case(
        "a new subscriber has not confirmed",
        "2.10; 3.9",
        [
            subscribe(0, ONE),
            do("subscription_confirm", 204, subscription_id="$s0", confirmed=True),
            do("subscription_update", 204, subscription_id="$s0", changes={"subscriber": ONE, "ttl": 60}),
            do("subscription_get", 200, s(0, ONE, ttl=60, confirmed=True), subscription_id="$s0"),
            do("subscription_update", 204, subscription_id="$s0", changes={"subscriber": TWO}),
            do("subscription_get", 200, s(0, TWO, ttl=60), subscription_id="$s0"),
        ],
        only="http",
    ),
    Case(
        "subscriptions are of their place",
        "1.5; 2.10",
        [
            subscribe(0, ONE),
            do("subscription_list", 200, [], queue_name="r"),
            do("subscription_get", 404, subscription_id="$s0", queue_name="r"),
            do("subscription_get", 404, subscription_id="$s0", project=OTHER_PROJECT),
            do("subscription_delete", 204, subscription_id="$s0", queue_name="r"),
            do("subscription_delete", 204, subscription_id="$s0", project=OTHER_PROJECT),
            do("subscription_list", 200, [], project=OTHER_PROJECT),
            do("subscription_create", 201, subscriber=ONE, queue_name="r"),
            do("subscription_create", 201, subscriber=ONE, project=OTHER_PROJECT),
            do("subscription_list", 200, [s(0, ONE)]),
        ],
    ),
    Case(
        "subscriptions and the end of their queue",
        "3.9, lifetime; 6.3 item 41",
        [
            subscribe(0, ONE),
            do("queue_delete", 204),
            do("subscription_list", 200, [s(0, ONE)]),
            do("queue_create", 201),
            do("subscription_get", 200, s(0, ONE), subscription_id="$s0"),
        ],
    ),
    Case(
        "purge of subscriptions",
        "2.11",
        [
            subscribe(0, ONE),
            post(1),
            do("queue_purge", 204, resource_types=[]),
            do("queue_purge", 204, resource_types=["messages"]),
            do("subscription_list", 200, [s(0, ONE)]),
            all_of(),
            post(2),
            do("queue_purge", 204, resource_types=["subscriptions"]),
            do("subscription_list", 200, []),
            all_of(m(1, 2)),
            do("subscription_get", 404, subscription_id="$s0"),
            subscribe(1, ONE),
            do("queue_purge", 204),
            do("subscription_list", 200, []),
            all_of(),
        ],
    ),
    Case(
        "pages of subscriptions",
        "1.13; 2.10",
        [
            *(subscribe(number, f"http://a/{number:02}") for number in range(12)),
            do("subscription_list", 200, [s(number, f"http://a/{number:02}") for number in range(12)], limit=20),
            do("subscription_list", 200, [], marker="~"),
            do("subscription_list", 200, [s(number, f"http://a/{number:02}") for number in range(12)], marker="!", limit=12),
        ],
    ),
    Case(
        "the range of a ttl of a subscription",
        "2.10",
        [subscribe(0, ONE, ttl=60), subscribe(1, TWO, ttl=200_000_000_000)],
    ),
    Case("a trust that is given", "3.10", [subscribe(0, "trust+http://a", options={"trust_id": "t", "a": 1})]),
    Case(
        "a trust without an identity service",
        "3.10",
        [do("subscription_create", 503, subscriber="trust+https://a"), do("queue_list", 200, [])],
    ),
    *_limits("subscription_list"),
    *_nothing_there("subscription_get", 404),
    *_nothing_there("subscription_delete", 204),
    *_nothing_there("subscription_update", 404),
    *_nothing_there("subscription_confirm", 404),
    Case(
        "no subscriber",
        "2.10",
        [do("subscription_create", 400, title=RULE), do("subscription_create", 400, title=RULE, ttl=60)],
        only="http",
    ),
    *(
        _refused_subscription(name, "must be supported in the list", subscriber=subscriber)
        for name, subscriber in (("fake", "fake"), ("email", "email://x"), ("ftp", "ftp://a"), ("no scheme", "//a/b"))
    ),
    _refused_subscription("very long", "2049 characters", subscriber="http://" + "x" * 2042),
    *(_refused_subscription(f"ttl {ttl}", "ttl is", ttl=ttl) for ttl in (59, 0, -1, 99999999999999999, 2**63 - 1)),
    *(
        _refused_subscription(f"policy {policy}", "_retry_policy", options={"_retry_policy": policy})
        for policy in _WRONG_POLICIES
    ),
    *(
        _refused_subscription(f"{name} {value!r}", name, schema=True, **_one(name, value))
        for name, values in _WRONG_TYPES.items()
        for value in values
    ),
    Case("an empty subscriber", "2.10", [do("subscription_create", 400, subscriber="", title=RULE)], only="http"),
    Case(
        "a subscription to a bad name",
        "1.8",
        [do("subscription_create", 400, subscriber=ONE, queue_name="a b", title=NAME), do("queue_list", 200, [])],
    ),
    *(
        _refused_change(name, changes, title)
        for name, changes, title in (
            ("ttl", {"ttl": "invalid"}, RULE),
            ("ttl out of range", {"ttl": 59}, RULE),
            ("options", {"options": "x"}, RULE),
            ("subscriber", {"subscriber": "fake"}, RULE),
            ("empty", {}, RULE),
            ("an array", [1], RULE),
            ("an empty array", [], RULE),
            ("nothing known", {"confirmed": True}, "Unable to update subscription"),
            ("nothing but null", {"ttl": None, "options": None}, "Unable to update subscription"),
        )
    ),
]

CASES: list[Case] = [*_QUEUES, *_STATS, *_MESSAGES, *_CLAIMS, *_SUBSCRIPTIONS]
