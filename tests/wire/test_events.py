"""Server-sent events over real sockets, on both stores."""

from __future__ import annotations

from typing import Any, cast
from urllib.parse import quote, urlencode

from twisted.internet.task import LoopingCall
from twisted.logger import capturedLogs, formatEvent

from tests.clocks import AHEAD_S
from tests.helpers import CLIENT, OTHER_CLIENT, PROJECT, Response
from tests.wire.calls import http_error
from tests.wire.gateway import EventConnection, Gateway, HttpConnection, OnMemory, OnRedis
from zaqar_gateway.clocks import time_of_day
from zaqar_gateway.errors import Unauthorized
from zaqar_gateway.model import Call, Caller, Context, Message
from zaqar_gateway.operations.filters import Filter
from zaqar_gateway.operations.refusals import Refusals
from zaqar_gateway.transport.http.events import EXPIRED, STOPPING

QUEUE = "/v2/queues/q"
MESSAGES = f"{QUEUE}/messages"
EVENTS = f"{QUEUE}/events"
ECHO = f"{EVENTS}?echo=true"


def id_of(href: str) -> str:
    """The id in the address of a message."""
    return href.rpartition("/")[2]


class _Events:
    """The tests; a subclass says on which store."""

    async def begin(self: Any, **options: Any) -> tuple[Gateway, HttpConnection]:
        """A gateway and a connection for what is posted.  What is due now by the clock of the test happens."""
        turns = LoopingCall(self.clock.advance, 0)
        turns.start(0.005)
        self.addCleanup(turns.stop)
        gateway = self.start(await self.a_store(), **options)
        return gateway, await gateway.http()

    async def open(self: Any, gateway: Gateway, target: str = ECHO, last_id: str | None = None) -> EventConnection:
        """A stream."""
        events = await gateway.events()
        response = await events.open(target, {"Last-Event-ID": last_id})
        self.assertEqual(response.status, 200, response.body)
        return events

    async def post(self: Any, http: HttpConnection, *bodies: Any, client: str = CLIENT, queue: str = QUEUE) -> list[str]:
        """Post messages; their ids."""
        posted = await http.ask(
            "POST", f"{queue}/messages", {"messages": [{"body": body} for body in bodies]}, {"Client-ID": client}
        )
        self.assertEqual(posted.status, 201, posted.body)
        return [id_of(href) for href in posted.json["resources"]]

    def assertRefused(self: Any, response: Response, status: int, *parts: str) -> None:
        """An error that names these."""
        self.assertEqual(http_error(response).status, status, response.body)
        for part in parts:
            self.assertIn(part, response.json["description"])

    # -- the stream ----------------------------------------------------------------------------------------------------

    async def test_head(self: Any) -> None:
        """The head of a stream keeps caches and proxies from holding anything back."""
        gateway, _ = await self.begin()
        events = await gateway.events()
        response = await events.open(EVENTS)
        for name, value in (
            ("Content-Type", "text/event-stream"),
            ("Cache-Control", "no-cache"),
            ("X-Accel-Buffering", "no"),
        ):
            self.assertEqual(response.header(name), value)
        self.assertTrue(str(response.header("x-openstack-request-id")).startswith("req-"))

    async def test_messages(self: Any) -> None:
        """What is posted from now on comes in order, each message as a listing shows it and with its id."""
        gateway, http = await self.begin()
        await self.post(http, "before")
        events = await self.open(gateway)
        (first, second) = await self.post(http, {"a": [1, 2]}, "two")
        kind, shown = await events.event()
        self.assertEqual((kind, events.last_id), ("message", first))
        self.assertEqual(
            shown, {"id": first, "href": f"{MESSAGES}/{first}", "ttl": 3600, "age": 0, "body": {"a": [1, 2]}}
        )
        self.assertEqual(await events.bodies(1), ["two"])
        self.assertEqual(events.last_id, second)
        listed = (await http.ask("GET", f"{MESSAGES}?echo=true")).json["messages"]
        self.assertEqual(listed[1], shown)

    async def test_missing_queue(self: Any) -> None:
        """A queue need not exist, and is not made."""
        gateway, http = await self.begin()
        events = await self.open(gateway)
        self.assertEqual((await http.ask("GET", "/v2/queues")).json["queues"], [])
        await self.post(http, 1)
        self.assertEqual(await events.bodies(1), [1])

    async def test_body_with_line_ends(self: Any) -> None:
        """A body keeps its value whatever white space is between its parts."""
        gateway, http = await self.begin()
        events = await self.open(gateway)
        for end in (b"\n", b"\r\n", b"\r", b"\n\n"):
            text = b'{"messages": [{"body": {"a":' + end + b'1,' + end + b'"b": "c\\nd"}}]}'
            self.assertEqual((await http.ask("POST", MESSAGES, text)).status, 201)
            self.assertEqual(await events.bodies(1), [{"a": 1, "b": "c\nd"}])

    async def test_own_messages(self: Any) -> None:
        """Without ``echo`` a client is not told of its own messages, as in a listing."""
        gateway, http = await self.begin()
        events, echoed = await self.open(gateway, EVENTS), await self.open(gateway)
        await self.post(http, "mine")
        await self.post(http, "other's", client=OTHER_CLIENT)
        self.assertEqual(await events.bodies(1), ["other's"])
        self.assertEqual(await echoed.bodies(2), ["mine", "other's"])

    async def test_claimed_and_delayed(self: Any) -> None:
        """Claims and delays make no difference, and no claim is shown."""
        gateway, http = await self.begin()
        await http.ask("PUT", QUEUE, {"_default_message_delay": 60})
        events = await self.open(gateway)
        await http.ask("POST", MESSAGES, {"messages": [{"body": "later"}, {"body": "now", "delay": 0}]})
        self.assertEqual(await events.bodies(2), ["later", "now"])
        self.assertEqual((await http.ask("POST", f"{QUEUE}/claims", {"ttl": 60, "grace": 60})).status, 201)
        again = await self.open(gateway, f"{ECHO}&marker=earliest")
        for body in ("later", "now"):
            kind, shown = await again.event()
            self.assertEqual((shown["body"], shown["href"]), (body, f"{MESSAGES}/{shown['id']}"))

    async def test_earliest(self: Any) -> None:
        """``earliest`` begins with the oldest message, and goes on with what is posted; many pages come whole."""
        gateway, http = await self.begin()
        for start in range(0, 300, 100):
            await self.post(http, *range(start, start + 100))
        events = await self.open(gateway, f"{ECHO}&marker=earliest")
        self.assertEqual(await events.bodies(300), list(range(300)))
        await self.post(http, "more")
        self.assertEqual(await events.bodies(1), ["more"])

    async def test_topics(self: Any) -> None:
        """Topics have streams as queues do."""
        gateway, http = await self.begin()
        events = await self.open(gateway, "/v2/topics/t/events?echo=true")
        await self.post(http, 1, queue="/v2/queues/t")
        (message_id,) = await self.post(http, 2, queue="/v2/topics/t")
        kind, shown = await events.event()
        self.assertEqual((shown["body"], shown["href"]), (2, f"/v2/topics/t/messages/{message_id}"))

    async def test_encrypted(self: Any) -> None:
        """Bodies that are encrypted at rest come as they were posted."""
        gateway, http = await self.begin()
        await http.ask("PUT", QUEUE, {"_enable_encrypt_messages": True})
        events = await self.open(gateway)
        await self.post(http, "secret")
        self.assertEqual(await events.bodies(1), ["secret"])

    async def test_checksum(self: Any) -> None:
        """Where checksums are shown, they are here."""
        gateway, http = await self.begin(checksums=True)
        events = await self.open(gateway)
        await self.post(http, "a")
        _, shown = await events.event()
        self.assertTrue(shown["checksum"].startswith("MD5:"))

    # -- going on ------------------------------------------------------------------------------------------------------

    async def test_last_event_id(self: Any) -> None:
        """A client that comes again goes on behind the last id, by header, else by query, whatever the marker says."""
        gateway, http = await self.begin()
        ids = await self.post(http, 1, 2, 3)
        by_header = await self.open(gateway, f"{ECHO}&marker={ids[2]}&last_event_id={ids[1]}", ids[0])
        self.assertEqual(await by_header.bodies(2), [2, 3])
        by_query = await self.open(gateway, f"{ECHO}&marker={ids[2]}&last_event_id={ids[1]}")
        self.assertEqual(await by_query.bodies(1), [3])
        by_marker = await self.open(gateway, f"{ECHO}&marker={ids[0]}")
        self.assertEqual(await by_marker.bodies(2), [2, 3])
        empty = await self.open(gateway, f"{ECHO}&marker={ids[1]}", "")
        self.assertEqual(await empty.bodies(1), [3])

    async def test_nothing_is_missed_before_the_first_message(self: Any) -> None:
        """A client has an id before it has any message, so that it misses nothing when it loses its connection then."""
        gateway, http = await self.begin()
        for post in ("one", "two"):
            events = await self.open(gateway)
            await events.close()
            await self.post(http, post)
            again = await self.open(gateway, ECHO, events.last_id)
            self.assertEqual(await again.bodies(1), [post])

    async def test_gap(self: Any) -> None:
        """Messages that are gone before they were sent are a gap, once, which says behind what and where it goes on."""
        gateway, http = await self.begin()
        ids = await self.post(http, 1, 2, 3)
        await http.ask("DELETE", f"{MESSAGES}/{ids[1]}")
        events = await self.open(gateway, ECHO, ids[0])
        self.assertEqual(await events.event(), ("gap", {"after": ids[0], "continues_at": ids[2]}))
        self.assertEqual(events.last_id, ids[0])
        self.assertEqual(await events.bodies(1), [3])
        whole = await self.open(gateway, ECHO, ids[1])
        self.assertEqual(await whole.bodies(1), [3])
        self.clock.advance(3600)
        late = await self.open(gateway, ECHO, ids[1])
        self.assertEqual(await late.event(), ("gap", {"after": ids[1], "continues_at": None}))

    async def test_gap_by_queue_made_anew(self: Any) -> None:
        """A queue that was deleted meanwhile is a gap, and so is the id of another queue; what is there follows."""
        gateway, http = await self.begin()
        (before,) = await self.post(http, "before")
        events = await self.open(gateway)
        other = await self.post(http, "other", queue="/v2/queues/other")
        await http.ask("DELETE", QUEUE)
        (after,) = await self.post(http, "after")
        self.assertEqual(await events.event(), ("gap", {"after": before, "continues_at": after}))
        self.assertEqual(await events.bodies(1), ["after"])
        for marker in (before, *other, "f" * 24):
            again = await self.open(gateway, ECHO, marker)
            self.assertEqual(await again.event(), ("gap", {"after": marker, "continues_at": after}))
            self.assertEqual(await again.bodies(1), ["after"])

    async def test_bad_marker(self: Any) -> None:
        """What marks no place is refused."""
        gateway, _ = await self.begin()
        for marker in ("nonesuch", "0", "g" * 24, "EARLIEST", "x" * 5000, "*", "%00", "12345678901234567890123é"):
            events = await gateway.events()
            response = await events.open(f"{EVENTS}?marker={quote(marker)}")
            self.assertRefused(response, 400, "marker", "24 digits 0-9 and a-f", '"earliest"')
        events = await gateway.events()
        self.assertRefused(await events.open(EVENTS, {"Last-Event-ID": "nonesuch"}), 400, "'nonesuch'")
        events = await gateway.events()
        self.assertRefused(await events.open(f"{EVENTS}?echo=maybe"), 400, "echo", "true or false")

    # -- who may ---------------------------------------------------------------------------------------------------------

    async def test_headers_of_the_api(self: Any) -> None:
        """Client and project are needed as everywhere, and JSON is not what has to be welcome."""
        gateway, _ = await self.begin()
        for sent, status in (
            ({"Client-ID": None}, 400),
            ({"X-Project-ID": None}, 400),
            ({"Accept": "application/xml"}, 406),
            ({"Accept": "text/event-stream;q=0"}, 406),
            ({"Accept": "application/json"}, 200),
            ({"Accept": None}, 200),
            ({"Accept": "text/html, text/event-stream;q=0.5"}, 200),
        ):
            events = await gateway.events()
            self.assertEqual((await events.open(EVENTS, sent)).status, status, sent)
        http = await gateway.http()
        for target in (MESSAGES, QUEUE):
            self.assertEqual((await http.ask("GET", target, None, {"Accept": "text/event-stream"})).status, 406)
        self.assertEqual((await http.ask("POST", EVENTS, None)).status, 405)

    async def test_identified_by_query(self: Any) -> None:
        """Without authentication project and client may be in the query, here alone; a header wins."""
        gateway, http = await self.begin()
        query = urlencode({"project_id": PROJECT, "client_id": OTHER_CLIENT})
        events = await gateway.events()
        self.assertEqual((await events.open(f"{EVENTS}?{query}", bare=True)).status, 200)
        await self.post(http, "theirs", client=OTHER_CLIENT)
        await self.post(http, "mine")
        self.assertEqual(await events.bodies(1), ["mine"])
        self.assertEqual((await http.ask("GET", f"{MESSAGES}?{query}", bare=True)).status, 400)
        elsewhere = await gateway.events()
        await elsewhere.open(f"{EVENTS}?{query}", {"X-Project-ID": "elsewhere"})
        await self.post(http, "again")
        there = {"X-Project-ID": "elsewhere", "Client-ID": OTHER_CLIENT}
        await http.ask("POST", MESSAGES, {"messages": [{"body": "there"}]}, there)
        self.assertEqual(await elsewhere.bodies(1), ["there"])

    async def share(self: Any, http: HttpConnection, paths: list[str], methods: list[str], expires: str) -> dict[str, str]:
        """What the query of a stream has of a share."""
        shared = (await http.ask("POST", f"{QUEUE}/share", {"paths": paths, "methods": methods, "expires": expires})).json
        return {
            "signature": shared["signature"],
            "expires": shared["expires"],
            "methods": ",".join(shared["methods"]),
            "paths": ",".join(shared["paths"]),
            "project_id": shared["project"],
            "client_id": OTHER_CLIENT,
            "echo": "true",
        }

    async def test_signed_query(self: Any) -> None:
        """A pre-signed URL for the messages lets in whoever has it in the query, until it ends, and to nothing else."""
        gateway, http = await self.begin(keys=["s3cr3t"], clock=self.clock, timers=self.clock)
        query = await self.share(http, ["messages"], ["GET"], "2027-01-15T09:00:00")
        events = await gateway.events()
        self.assertEqual((await events.open(f"{EVENTS}?{urlencode(query)}", bare=True)).status, 200)
        await self.post(http, 1)
        self.assertEqual(await events.bodies(1), [1])
        for changed in (
            {"signature": "0" * 64},
            {"signature": ""},
            {"expires": "2027-01-15T10:00:00"},
            {"methods": "GET,POST"},
            {"paths": f"{EVENTS}"},
            {"project_id": "other"},
        ):
            other = await gateway.events()
            sent = {name: value for name, value in {**query, **changed}.items() if value}
            status = (await other.open(f"{EVENTS}?{urlencode(sent)}", bare=True)).status
            self.assertEqual(status, 404 if "signature" in sent else 200, changed)
        for target in ("/v2/queues/other/events", "/v2/topics/q/events"):
            other = await gateway.events()
            self.assertEqual((await other.open(f"{target}?{urlencode(query)}", bare=True)).status, 404)
        self.assertEqual((await http.ask("GET", f"{MESSAGES}?{urlencode(query)}", bare=True)).status, 400)
        self.clock.advance(3600)
        self.assertEqual(await events.event(), ("end", {"reason": EXPIRED}))
        self.assertEqual(await events.event(), ("", None))

    async def test_nothing_of_the_query_is_logged(self: Any) -> None:
        """Whatever becomes of a request, what its query signs is in no line of the log."""
        gateway, http = await self.begin(keys=["s3cr3t"], clock=self.clock)
        query = await self.share(http, ["messages"], ["GET"], "2027-01-15T09:00:00")
        with capturedLogs() as logged:
            for changed in ({}, {"marker": "nonesuch"}, {"signature": f"{query['signature'][:-1]}x"}, {"client_id": "?"}):
                events = await gateway.events()
                await events.open(f"{EVENTS}?{urlencode({**query, **changed})}", bare=True)
            gateway.drain()
            for stream in gateway.clients:
                await stream.close()
        text = "".join(f"{formatEvent(each)}{each}" for each in logged)
        for secret in (query["signature"][:-1], OTHER_CLIENT, query["expires"]):
            self.assertNotIn(secret, text)

    async def test_signed_for_another_method(self: Any) -> None:
        """A share that does not let read lets nobody listen; one for claims neither."""
        gateway, http = await self.begin(keys=["s3cr3t"], clock=self.clock)
        for paths, methods in ((["messages"], ["POST"]), (["claims"], ["GET"])):
            query = await self.share(http, paths, methods, "2027-01-15T09:00:00")
            events = await gateway.events()
            self.assertEqual((await events.open(f"{EVENTS}?{urlencode(query)}", bare=True)).status, 404)

    async def test_filters(self: Any) -> None:
        """Message filters see who listens, and what is shown to them."""

        class Quiet:
            """Refuses one project, and leaves out what begins with a capital."""

            async def request(self, ctx: Context, call: Call) -> None:
                """See :class:`~zaqar_gateway.interfaces.IMessageFilter`."""
                if ctx.client.hex().endswith("4d") and call.name == "read":
                    raise Unauthorized("It is not yours.")

            async def post(self, ctx: Context, place: Any, messages: Any) -> Any:
                """See :class:`~zaqar_gateway.interfaces.IMessageFilter`."""
                return messages

            async def answer(self, ctx: Context, call: Call, messages: list[Message]) -> list[Message]:
                """See :class:`~zaqar_gateway.interfaces.IMessageFilter`."""
                return [message for message in messages if message.body[1:2].islower()]

        gateway, http = await self.begin(filters=[Filter("quiet", Quiet())])  # type: ignore[arg-type]
        events = await self.open(gateway)
        await self.post(http, "a", "B", "c")
        self.assertEqual(await events.bodies(2), ["a", "c"])
        refused = await gateway.events()
        self.assertEqual((await refused.open(EVENTS, {"Client-ID": OTHER_CLIENT})).status, 401)

    # -- bounds and ends -------------------------------------------------------------------------------------------------

    async def test_streams_max(self: Any) -> None:
        """A project has a bound of streams; one that hangs up makes room at once."""
        refusals = Refusals()
        gateway, _ = await self.begin(streams_max=2, refusals=refusals)
        first, _ = await self.open(gateway), await self.open(gateway)
        events = await gateway.events()
        response = await events.open(EVENTS)
        self.assertEqual((response.status, response.title), (429, "Too many requests"))
        self.assertIn("2 streams", response.json["description"])
        self.assertEqual(response.header("Retry-After"), "5")
        self.assertEqual(refusals.counts["live.streams_max"], 1)
        other = await gateway.events()
        self.assertEqual((await other.open(EVENTS, {"X-Project-ID": "other"})).status, 200)
        await first.close()
        while gateway.streams.count > 2:
            await (await gateway.http()).ask("GET", "/")
        await self.open(gateway)

    async def test_drain(self: Any) -> None:
        """A gateway that stops says so, and that the stream goes on elsewhere; nothing is left of it."""
        gateway, http = await self.begin()
        events = await self.open(gateway)
        (message_id,) = await self.post(http, 1)
        self.assertEqual(await events.bodies(1), [1])
        gateway.drain()
        self.assertEqual(await events.event(), ("end", {"reason": STOPPING}))
        self.assertEqual((events.last_id, gateway.streams.count), (message_id, 0))
        self.assertEqual(await events.event(), ("", None))

    async def test_heartbeat(self: Any) -> None:
        """A stream in which nothing is sent gets a comment now and then, and the id of its place where that has moved."""
        gateway, http = await self.begin(timers=self.clock)
        events = await self.open(gateway, EVENTS)
        begun = events.last_id
        self.clock.pump([1] * 14)
        self.assertEqual(events.data, b"")
        self.clock.pump([1] * 2)
        self.assertEqual(await events._block(), [": "])
        (mine,) = await self.post(http, "mine")
        while True:
            self.clock.advance(1)
            if events.data:
                break
            await http.ask("GET", "/")
        while events.last_id == begun:
            self.clock.advance(15)
            await http.ask("GET", "/")
            await events._block()
        self.assertEqual(events.last_id, mine)

    async def test_cors(self: Any) -> None:
        """A page of an allowed origin may read the stream, and may send Last-Event-ID."""
        gateway, _ = await self.begin(cors_origins=["https://a.example"])
        events = await gateway.events()
        response = await events.open(EVENTS, {"Origin": "https://a.example"})
        self.assertEqual(response.header("Access-Control-Allow-Origin"), "https://a.example")
        other = await gateway.events()
        response = await other.open(EVENTS, {"Origin": "https://b.example"})
        self.assertIsNone(response.header("Access-Control-Allow-Origin"))
        http = await gateway.http()
        asked = {
            "Origin": "https://a.example",
            "Access-Control-Request-Method": "GET",
            "Access-Control-Request-Headers": "last-event-id, client-id",
        }
        preflight = await http.ask("OPTIONS", EVENTS, None, asked, bare=True)
        self.assertEqual(preflight.header("Access-Control-Allow-Headers"), "last-event-id, client-id")


class MemoryTests(_Events, OnMemory):
    """On the memory store."""


class RedisTests(_Events, OnRedis):
    """On Redis."""


class Tokens:
    """Knows one token."""

    age_max_s = 300.0

    def __init__(self, expires_s: int) -> None:
        self.caller = Caller("p", "ann", frozenset(), expires_s)
        self.revoked = False

    def known(self, token: str) -> Caller | None:
        """See :class:`~zaqar_gateway.interfaces.ITokens`."""
        if token != "good" or self.revoked:
            raise Unauthorized("no")
        return self.caller

    async def identify(self, token: str, place: str = "") -> Caller:
        """See :class:`~zaqar_gateway.interfaces.ITokens`."""
        found = self.known(token)
        assert found is not None
        return found


class TokenTests(OnMemory):
    """With tokens."""

    async def begin(self, expires_in_s: int) -> tuple[Gateway, Tokens, EventConnection]:
        """A stream of whoever has a token."""
        # The clock of the system was set forward since the process began.
        cast("Any", self.clock).time_of_day = lambda: self.clock.seconds() + AHEAD_S
        tokens = Tokens(int(time_of_day(self.clock)) + expires_in_s)
        gateway = self.start(await self.a_store(), tokens=tokens, timers=self.clock, keys=["s"], clock=self.clock)
        events = await gateway.events()
        self.assertEqual((await events.open(EVENTS, {"X-Auth-Token": "good"})).status, 200)
        return gateway, tokens, events

    async def test_needs_one(self) -> None:
        """What a client says of itself in the query lets nobody in, nor does a token there."""
        gateway, _, _ = await self.begin(100)
        query = urlencode({"project_id": "p", "client_id": CLIENT, "x-auth-token": "good", "token": "good"})
        for target in (EVENTS, f"{EVENTS}?{query}"):
            events = await gateway.events()
            self.assertEqual((await events.open(target)).status, 401)
        events = await gateway.events()
        self.assertEqual((await events.open(f"{EVENTS}?{query}&signature=good", bare=True)).status, 404)

    async def test_expires(self) -> None:
        """The stream ends with the token."""
        _, _, events = await self.begin(100)
        self.clock.pump([1] * 101)
        self.assertEqual(await events.event(), ("end", {"reason": EXPIRED}))
        self.assertEqual(await events.event(), ("", None))

    async def test_revoked(self) -> None:
        """It ends when it is found out that the token was revoked, which is looked for as often as its answer is believed."""
        _, tokens, events = await self.begin(3600)
        self.clock.pump([1] * 302)
        tokens.revoked = True
        self.clock.pump([1] * 302)
        self.assertEqual(await events.event(), ("end", {"reason": EXPIRED}))
