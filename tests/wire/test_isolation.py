"""Nobody sees or changes what belongs to another project: every operation of the registry, on both transports and stores.

Two tenants have the same things under the same names, and each one thing more.  Every operation is asked with ids and names of the
other tenant, and again with such as nobody has: the answers have to be alike, the other tenant's things as they were, and
nothing of them may be in an answer.  On Redis every key that an operation touches has to belong to the project that asks.

What is asked follows from the registry.  An operation with a field that is not known here fails.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Coroutine, Iterator
from typing import Any
from urllib.parse import quote, urlencode

from attrs import astuple, evolve, frozen
from msgspec import NODEFAULT
from msgspec.structs import fields as fields_of
from twisted.internet import reactor
from twisted.internet.endpoints import UNIXClientEndpoint, connectProtocol

from tests.helpers import CLIENT, Response, build_operations
from tests.redis_server import RedisServer, shared_server
from tests.wire.gateway import Connection, Gateway, OnMemory, OnRedis, WireCase
from zaqar_gateway.interfaces import IMessageStore, IQueueStore, IStorage, ISubscriptionStore
from zaqar_gateway.model import NO_RULES, GivenUp, NewMessage, NewPost, NewSubscription, Place, Progress, QueueRules
from zaqar_gateway.operations.registry import Body, Http, Operation, field_of
from zaqar_gateway.storage.ids import format_cursor
from zaqar_gateway.storage.memory import MemoryStorage
from zaqar_gateway.testing.base import clock_at_epoch

CANARY = "canary"
"""In everything of the other tenant that could be told."""

ACROSS = ("health", "delivery_overview")
"""Operations of administrators that are about all projects; nobody else may ask for them."""

SHARED = {
    b"zg:schedule": "names of places with subscriptions",
    b"zg:failing": "names of places with deliveries that were given up",
}
"""Keys of no project, and what they hold: no client's data."""


# -- what a tenant has -------------------------------------------------------------------------------------------------


@frozen
class Names:
    """Names and ids that a request may give.

    :ivar free: a message, ``held`` one that is under ``claim``, and ``dead`` a dead letter.
    """

    queue: str
    free: str
    held: str
    claim: str
    subscription: str
    delivery: str
    dead: str
    durable: str


NOTHING = Names("nothing", "", "", "0" * 24, "", "", "", "")


def like(names: Names, queue: str) -> Names:
    """What nobody has, each at the same place in the order of its kind."""

    def other(one: str) -> str:
        return one[:-1] + f"{(int(one[-1], 16) + 1) % 16:x}"

    return Names(queue, *(other(one) for one in astuple(names)[1:]))


@frozen
class Kind:
    """The stores of queues, or of topics."""

    queues: IQueueStore
    messages: IMessageStore
    subscriptions: ISubscriptionStore
    storage: IStorage
    is_topic: bool

    async def furnish(self, project: str, queue: str, mark: str) -> Names:
        """Make a queue with one of everything."""
        await self.queues.create(project, queue, json.dumps({"mark": mark}).encode(), NO_RULES)
        subscriber, options = f"http://{mark}.example/", json.dumps({"mark": mark}).encode()
        placed = await self.subscriptions.create(
            project, queue, NewSubscription(subscriber, 3600, options, confirmed=True)
        )
        held, free = await self.messages.post(
            project,
            queue,
            NewPost(
                b"x" * 16,
                [NewMessage(json.dumps({"mark": mark, "n": number}).encode(), 3600) for number in range(2)],
                size=2,
                ttl_default_s=3600,
                size_max=10_000,
            ),
        )
        claim_id = dead = NOTHING.claim
        if not self.is_topic:
            claim = await self.storage.claims.create(project, queue, 300, 60, 1)
            assert claim is not None and claim.messages[0].id == held
            claim_id = claim.id
            dead = await self.bury(project, queue, mark)
        place = Place(project, queue, self.is_topic)
        (owed,) = await self.storage.deliveries.take(place, limit=1, batch=1, lease_ms=60_000, required=False)
        cursor = owed.posts[0].cursor
        progress = Progress(placed.id, owed.token, cursor, (GivenUp(cursor, 1, mark),), wait_ms=0)
        await self.storage.deliveries.report(place, progress, batch=1, lease_ms=60_000, required=False)
        (failed,) = await self.storage.deliveries.failures(place, "", 10)
        durable = f"{mark}-0"
        if not self.is_topic:
            await self.storage.durables.attach(
                project, queue, durable, mark, marker=held, ttl_s=3600, hold_ms=60_000, most=10
            )
        return Names(queue, free, held, claim_id, placed.id, failed.id, dead, durable)

    async def bury(self, project: str, queue: str, mark: str) -> str:
        """Have a message become a dead letter in a queue; its id."""
        name, new = f"{queue}-before", NewMessage(json.dumps({"mark": mark}).encode(), 3600)
        rules = QueueRules(claim_count_max=0, dead_letter_queue=queue)
        await self.queues.create(project, name, b"{}", rules)
        (message_id,) = await self.messages.post(
            project, name, NewPost(b"x" * 16, [new], size=2, ttl_default_s=3600, size_max=10_000)
        )
        assert await self.storage.claims.create(project, name, 300, 60, 1) is None
        return message_id

    async def picture(self, project: str, queue: str, claim: str) -> list[object]:
        """All that is in a queue."""
        page = await self.messages.list(
            project, queue, marker=None, limit=20, skip_client=None, include_claimed=True, include_delayed=True
        )
        return [
            await self.queues.get(project, queue),
            await self.queues.stats(project, queue),
            page.messages,
            None if self.is_topic else await self.storage.claims.get(project, queue, claim),
            await self.subscriptions.list(project, queue, "", 20),
            await self.subscriptions.read(project, queue, format_cursor(0), 20),
            await self.storage.deliveries.failures(Place(project, queue, self.is_topic), "", 20),
            await self.storage.durables.list(project, queue),
        ]


def kinds(storage: IStorage) -> tuple[Kind, Kind]:
    """Queues and topics."""
    return (
        Kind(storage.queues, storage.messages, storage.subscriptions, storage, False),
        Kind(storage.topics, storage.topic_messages, storage.topic_subscriptions, storage, True),
    )


@frozen
class Tenant:
    """A project and what it has: a queue ``q``, as all tenants have, and one of a name of its own; or topics."""

    project: str
    kind: Kind
    usual: Names
    special: Names

    @classmethod
    async def move_in(cls, kind: Kind, project: str, mark: str) -> Tenant:
        """A new tenant."""
        usual = await kind.furnish(project, "q", mark)
        return cls(project, kind, usual, await kind.furnish(project, f"special-{len(mark)}", mark))

    async def picture(self) -> list[object]:
        """All that it has."""
        found: list[object] = [await self.kind.queues.list(self.project, "", 20)]
        for names in (self.usual, self.special):
            found.append(await self.kind.picture(self.project, names.queue, names.claim))
        return found


# -- what is asked -----------------------------------------------------------------------------------------------------

REFERENCES: dict[str, Callable[[Names], Any]] = {
    "queue_name": lambda names: names.queue,
    "message_id": lambda names: names.free,
    "message_ids": lambda names: [names.free],
    "claim_id": lambda names: names.claim,
    "claim_ids": lambda names: [names.claim],
    "subscription_id": lambda names: names.subscription,
    "ids": lambda names: [names.delivery, names.dead],
    "destination": lambda names: names.queue,
    "durable": lambda names: names.durable,
    "last_event_id": lambda names: names.held,
}
"""Fields that name something."""

MARKERS: dict[str, Callable[[Names], str]] = {
    "queue_list": lambda names: names.queue,
    "message_list": lambda names: names.free,
    "message_events": lambda names: names.free,
    "subscription_list": lambda names: names.subscription,
    "dead_letter_list": lambda names: names.dead,
    "delivery_list": lambda names: names.delivery,
}
"""What the field ``marker`` names."""

VALUES: dict[str, Any] = {
    "metadata": {"new": 1},
    "changes": [{"op": "add", "path": "/metadata/new", "value": 1}],
    "messages": [{"body": "new", "ttl": 60}],
    "subscriber": "http://new.example/",
    "confirmed": True,
}
"""Fields that say what shall be; they are always given."""

DOCUMENTS: dict[str, Any] = {"queue_share": {}, "subscription_update": {"ttl": 100}}
"""What the field ``document`` says."""

OTHERS = {"limit", "ttl", "grace", "options", "resource_types", "pop", "detailed", "name", "with_count", "filters", "echo"}
OTHERS |= {"start", "window", "acknowledge", "deadline", "claim", "up_to", "delay"}
OTHERS |= {"rate", "include_claimed", "include_delayed", "posted", "size", "delays", "strict", "confirmable", "listener"}
OTHERS |= {"wait", "idempotency_key"}
"""Fields that name nothing; they are left out."""

MORE: dict[str, list[Callable[[Names], dict[str, Any]]]] = {
    "message_delete": [lambda names: {"message_id": names.held, "claim_id": names.claim}],
    "message_delete_many": [lambda names: {"message_ids": [names.held, names.free]}, lambda names: {"pop": 5}],
    "claim_create": [lambda names: {"limit": 5}],
    "queue_list": [lambda names: {"detailed": True}],
    "dead_letter_return": [lambda names: {"limit": 5}, lambda names: {"limit": 5, "destination": f"{names.queue}-new"}],
    "message_list": [lambda names: {"echo": True, "include_claimed": True}],
    "message_events": [lambda names: {"echo": True, "marker": "earliest"}],
}
"""Further ways to ask."""

ONE_OF = ("message_delete_many", "dead_letter_return")
"""Operations that cannot do with their required fields alone."""


ROWS = {row.name: row for row in build_operations(MemoryStorage(clock_at_epoch())).operations}
"""The registry."""


def plain(row: Operation) -> str:
    """The name of the operation on queues that this is, be it one on topics."""
    name = row.name.removeprefix("topic_")
    return name if name in ROWS else f"queue_{name}"


def ways(row: Operation, names: Names) -> Iterator[dict[str, Any]]:
    """The fields of an operation, for each way to ask for it.

    :raises AssertionError: it has a field that is not known here.
    """
    name = plain(row)
    required: dict[str, Any] = {}
    optional: list[dict[str, Any]] = []
    for known in fields_of(row.fields):
        if known.name in VALUES or known.name == "document":
            required[known.name] = DOCUMENTS[name] if known.name == "document" else VALUES[known.name]
        elif known.name in REFERENCES or known.name == "marker":
            refers = MARKERS[name] if known.name == "marker" else REFERENCES[known.name]
            if known.default is NODEFAULT and known.default_factory is NODEFAULT:
                required[known.name] = refers(names)
            elif (name, known.name) != ("subscription_create", "durable"):  # it goes without subscriber only
                optional.append({known.name: refers(names)})
        elif known.name not in OTHERS:
            raise AssertionError(f"{row.name} has a field {known.name}, and no test says how to ask with it")
    if name not in ONE_OF:
        yield required
    for more in (*optional, *(more(names) for more in MORE.get(name, ()))):
        yield required | more


def http_request(http: Http, given: dict[str, Any]) -> tuple[str, str, Any, dict[str, str | None]]:
    """Method, target, body and headers."""
    left = dict(given)
    parts = []
    for part in http.path.split("/"):
        parts.append(quote(str(left.pop(field_of(part[1:-1]))), safe="") if part[:1] == "{" else part)
    query = [(name, left.pop(brought)) for name, brought in http.query.items() if brought in left]
    shown = [(name, ",".join(value) if isinstance(value, list) else str(value)) for name, value in query]
    body = left.get(http.whole) if http.body is Body.WHOLE else left or ({} if http.body is Body.REQUIRED else None)
    headers: dict[str, str | None] = {"Content-Type": http.media_type} if http.media_type else {}
    return http.method, "/".join(parts) + (f"?{urlencode(shown)}" if shown else ""), body, headers


@frozen
class Answer:
    """What came back, as text, without what is new with each request."""

    status: int
    text: str

    def without(self, names: Names) -> Answer:
        """The same with no ids and names of somebody, and none that are new."""
        text = self.text
        for number, one in enumerate(astuple(names)):
            text = text.replace(one, f"<{number}>")
        return evolve(self, text=re.sub("[0-9a-f]{24}(?:[0-9a-f]{40})?", "<new>", text))


Asking = Callable[[Operation, dict[str, Any], dict[str, str | None]], Coroutine[Any, Any, Answer]]


async def by_http(gateway: Gateway) -> Asking:
    """A way to ask: HTTP."""
    connection = await gateway.http()

    async def begun(target: str, who: dict[str, str | None]) -> Response:
        """A stream, with all that it tells at its beginning: requests that come later have their answers later."""
        events = await gateway.events()
        response = await events.open(target, who)
        if response.status == 200:
            for _ in range(2):
                await connection.ask("GET", "/v2/queues/nothing/stats", None, who)
            response = evolve(response, body=events.data)
        await events.close()
        return response

    async def ask(row: Operation, given: dict[str, Any], who: dict[str, str | None]) -> Answer:
        assert row.http is not None
        method, target, body, headers = http_request(row.http, given)
        if plain(row) == "message_events":
            response = await begun(target, who)
        else:
            response = await connection.ask(method, target, body, headers | who)
        left_out = (b"x-openstack-request-id", b"content-length", b"date")
        told = [pair for pair in response.headers if pair[0].lower() not in left_out]
        return Answer(response.status, f"{told} {response.body.decode()}")

    return ask


async def by_websocket(gateway: Gateway) -> Asking:
    """A way to ask: WebSocket."""
    connection = await gateway.socket()

    async def ask(row: Operation, given: dict[str, Any], who: dict[str, str | None]) -> Answer:
        assert row.frame is not None
        headers = {name: value for name, value in ({"Client-ID": CLIENT} | who).items() if value is not None}
        only = row.frame.only or tuple(given)
        body = {name: value for name, value in given.items() if name in only}
        reply = await connection.ask({"action": row.name, "headers": headers, "body": body})
        return Answer(reply["headers"]["status"], json.dumps(reply["body"]))

    return ask


# -- who looks ---------------------------------------------------------------------------------------------------------


_SCRIPTED = (b"EVAL", b"EVALSHA")
_WITHOUT_KEYS = (b"", b"ECHO", b"PING", b"TIME")


class Monitor(Connection):
    """What Redis is asked to do, scripts included, as Redis tells it."""

    def __init__(self, server: RedisServer) -> None:
        super().__init__()
        self._server = server

    async def start(self) -> None:
        """Begin to watch."""
        self.write(b"MONITOR\r\n")
        await self.until(b"+OK\r\n")

    async def keys(self) -> set[bytes]:
        """The keys and channels in what was asked since the last time: the first argument, and all that look like one."""
        self._server.call("ECHO", "until-here")
        seen = await self.until(b'"ECHO" "until-here"\r\n')
        found: set[bytes] = set()
        for line in seen.split(b"\r\n"):
            command, *arguments = re.findall(rb'"((?:[^"\\]|\\.)*)"', line) or [b""]
            if command.upper() in _SCRIPTED:
                arguments = arguments[2 : 2 + int(arguments[1])]
            if command.upper() not in _WITHOUT_KEYS:
                found |= {*arguments[:1], *(each for each in arguments if each.startswith(b"zg:"))}
        return found


def foreign_keys(keys: set[bytes], project: str) -> set[bytes]:
    """Those that belong neither to a project nor to all."""
    own = re.compile(rb"zg:(?:topic)?\{%b[/}]" % re.escape(quote(project, safe="").encode()))
    return {key for key in keys if not own.match(key) and key not in SHARED}


SHOWN = {"queue_get", "queue_update", "message_list", "message_get_many", "message_get", "claim_create", "claim_get"}
SHOWN |= {"subscription_list", "subscription_get", "delivery_list", "dead_letter_list", "durable_list"}
"""Operations whose answer shows its owner something that is marked, asked in the first way."""

OWN = {"message_acknowledge", "message_refuse", "message_extend", "subscription_window"}
"""Operations on what the connection that asks has itself; tests/wire/test_live.py shows that they reach nothing else."""

KEYLESS = ("ping", "queue_share")
"""Operations that touch no key."""


class Isolation(WireCase):
    """One operation, asked by everybody, on one transport and one store."""

    monitor: Monitor | None = None

    async def a_store(self) -> IStorage:
        """See :class:`OnMemory` and :class:`OnRedis`."""
        raise NotImplementedError

    async def check(self, row: Operation, way: Callable[[Gateway], Coroutine[Any, Any, Asking]]) -> None:
        """Ask in all ways."""
        storage = await self.a_store()
        await self.watch()
        self.row = row
        self.kind = kinds(storage)[row.name.startswith("topic_")]
        self.ask = await way(self.start(storage, keys=("secret",), clock=self.clock))
        await self.check_owner()
        await self.check_nobody()
        for number in range(len(list(ways(row, NOTHING)))):
            await self.check_tenant(number, "")
            if row.admin or number == 0:  # else the role makes no difference
                await self.check_tenant(number, "admin")

    async def watch(self) -> None:
        """Begin to look at the keys, where there are any."""

    async def tenants(self, number: int) -> tuple[Tenant, Tenant]:
        """Two new tenants, the name of one made of that of the other and what stands between parts of keys."""
        theirs = await Tenant.move_in(self.kind, f"b{number}", CANARY)
        self.clock.advance(1)  # what is of another instant has another place in the order
        return await Tenant.move_in(self.kind, f"b{number}/q}}:{{\u00e9", "own"), theirs

    async def put(self, given: dict[str, Any], project: str | None, roles: str = "") -> Answer:
        """Ask, and look at the keys."""
        if self.monitor is not None:
            await self.monitor.keys()
        answer = await self.ask(self.row, given, {"X-Project-ID": project, "X-ROLES": roles or None})
        if self.monitor is not None and not (roles and self.row.name in ACROSS):
            keys = await self.monitor.keys()
            if project is None:
                self.assertEqual(keys, set(), given)
            else:
                self.assertEqual(foreign_keys(keys, project), set(), given)
                if answer.status < 400 and self.row.name not in KEYLESS:
                    self.assertNotEqual(keys, set(), given)
        return answer

    async def check_owner(self) -> None:
        """The request is a good one, and what is marked can be seen."""
        mine, theirs = await self.tenants(-1)
        given = next(ways(self.row, theirs.usual))
        answer = await self.put(given, theirs.project, "admin")
        self.assertLess(answer.status, 400, (given, answer))
        if self.row.name not in ACROSS:
            self.assertEqual(CANARY in answer.text, plain(self.row) in SHOWN, (given, answer))

    async def check_nobody(self) -> None:
        """Without a project nothing is done."""
        _, theirs = await self.tenants(-2)
        before = await theirs.picture()
        for given in ways(self.row, theirs.usual):
            answer = await self.put(given, None, "admin")
            self.assertEqual(answer.status, 400, (given, answer))
            self.assertNotIn(CANARY, answer.text)
        self.assertEqual(await theirs.picture(), before)

    async def check_tenant(self, number: int, roles: str) -> None:
        """What is another's is as what is nobody's, and what is done at home is done at home."""
        mine, theirs = await self.tenants(number * 2 + bool(roles))
        before = await theirs.picture()

        async def put(names: Names) -> Answer:
            given = list(ways(self.row, names))[number]
            answer = await self.put(given, mine.project, roles)
            if not (roles and self.row.name in ACROSS):
                asked = json.dumps(given)
                for secret in (CANARY, *astuple(theirs.usual)[1:], *astuple(theirs.special)):
                    if secret not in asked and secret != NOTHING.claim:
                        self.assertNotIn(secret, answer.text, (given, answer))
            return answer.without(names)

        for names, absent in (
            (theirs.special, like(theirs.special, theirs.special.queue + "x")),
            (theirs.usual, like(theirs.usual, "q")),
        ):
            given, as_given = (list(ways(self.row, each))[number] for each in (names, absent))
            if given != as_given and self.row.name not in ACROSS:
                self.assertEqual(await put(names), await put(absent), given)
        answer = await put(mine.usual)
        if self.row.admin and not roles:
            self.assertEqual(answer.status, 403)
        elif number == 0:
            self.assertLess(answer.status, 400, answer)
        self.assertEqual(await theirs.picture(), before)


class MemoryIsolation(OnMemory, Isolation):
    """The store in memory."""


class RedisIsolation(OnRedis, Isolation):
    """Redis, whose keys are watched."""

    async def watch(self) -> None:
        """See :class:`Isolation`."""
        server = shared_server()
        self.monitor = Monitor(server)
        await connectProtocol(UNIXClientEndpoint(reactor, str(server.path)), self.monitor)
        self.addCleanup(self.monitor.close)
        await self.monitor.start()


def _filled(cls: type, way: Callable[[Gateway], Coroutine[Any, Any, Asking]], served: Callable[[Operation], object]) -> None:
    def method(row: Operation) -> Callable[[Any], Coroutine[Any, Any, None]]:
        async def test(self: Any) -> None:
            await self.check(row, way)

        test.__doc__ = f"{row.name} neither shows nor changes what is another's."
        return test

    for row in ROWS.values():
        if served(row) and row.name not in OWN:
            setattr(cls, f"test_{row.name}", method(row))


class HttpMemoryTests(MemoryIsolation):
    """Every operation that HTTP has."""


class HttpRedisTests(RedisIsolation):
    """Every operation that HTTP has."""


class WebSocketMemoryTests(MemoryIsolation):
    """Every operation that WebSocket has."""


class WebSocketRedisTests(RedisIsolation):
    """Every operation that WebSocket has."""


_filled(HttpMemoryTests, by_http, lambda row: row.http)
_filled(HttpRedisTests, by_http, lambda row: row.http)
_filled(WebSocketMemoryTests, by_websocket, lambda row: row.frame)
_filled(WebSocketRedisTests, by_websocket, lambda row: row.frame)
