"""Pre-signed URLs through sockets: shared on HTTP, used on both transports, on both stores."""

from __future__ import annotations

from typing import Any

from tests.helpers import CLIENT, OTHER_CLIENT, PROJECT
from tests.wire.calls import http_error
from tests.wire.gateway import Gateway, HttpConnection, OnMemory, OnRedis

KEY = "s3cr3t"
QUEUE = "/v2/queues/q"
MESSAGES = f"{QUEUE}/messages"
NOT_AUTHENTIFIED = {"error": "Not authentified."}


def in_request(shared: Any, **changed: str | None) -> dict[str, str | None]:
    """The headers of a signed request, of another client; underscores in names become hyphens."""
    sent = {
        "Client-ID": OTHER_CLIENT,
        "X-Project-ID": shared["project"],
        "URL-Signature": shared["signature"],
        "URL-Expires": shared["expires"],
        "URL-Methods": ",".join(shared["methods"]),
        "URL-Paths": ",".join(shared["paths"]),
    }
    return {**sent, **{name.replace("_", "-"): value for name, value in changed.items()}}


def in_frame(shared: Any, action: str, changed: dict[str, Any] | None = None, **body: Any) -> dict[str, Any]:
    """A signed frame."""
    headers = {
        **in_request(shared),
        "URL-Methods": shared["methods"],
        "URL-Paths": shared["paths"],
        **(changed or {}),
    }
    return {"action": action, "headers": headers, "body": {"queue_name": "q", **body}}


class _SignedUrls:
    """The tests; a subclass says on which store."""

    async def begin(self: Any) -> tuple[Gateway, HttpConnection, Any]:
        """A gateway, a connection, and what was shared on it: reading and posting messages for an hour."""
        gateway = self.start(await self.a_store(), keys=[KEY], clock=self.clock)
        http = await gateway.http()
        self.clock.advance(0.5)
        body = {"methods": ["POST", "GET"], "paths": ["messages"]}
        response = await http.ask("POST", f"{QUEUE}/share", body)
        self.assertEqual(response.status, 200, response.body)
        self.assertEqual(response.json["project"], PROJECT)
        return gateway, http, response.json

    async def refused(self: Any, http: HttpConnection, method: str, target: str, sent: Any) -> None:
        """A request is answered as one to an unknown route."""
        response = await http.ask(method, target, None, sent)
        self.assertEqual(http_error(response).status, 404, (method, target))
        self.assertEqual(response.json, {"title": "404 Not Found"})

    async def test_http(self: Any) -> None:
        """The holder posts and reads messages, in whatever order the lists are brought, and can do nothing else."""
        _, http, shared = await self.begin()
        posted = await http.ask("POST", MESSAGES, {"messages": [{"body": 1}]}, in_request(shared))
        self.assertEqual(posted.status, 201)
        (href,) = posted.json["resources"]
        for methods in ("GET,POST", "POST,GET", "POST, GET"):
            read = await http.ask("GET", href, None, in_request(shared, URL_Methods=methods))
            self.assertEqual((read.status, read.json["body"]), (200, 1))
        for method, target in (
            ("DELETE", href),
            ("GET", QUEUE),
            ("GET", f"{QUEUE}/stats"),
            ("POST", f"{QUEUE}/claims"),
            ("GET", "/v2/queues/other/messages"),
            ("GET", "/v2/queues/q/messagesX"),
            ("GET", "/v2/queues/q//messages"),
            ("GET", "/v2/queues/q/messages/../../other/messages"),
            ("GET", "/v2/queues/q/messages%2F..%2F..%2Fother%2Fmessages"),
            ("GET", "/v2/queues"),
            ("GET", "/"),
        ):
            await self.refused(http, method, target, in_request(shared))
        self.assertEqual((await http.ask("GET", href)).status, 200)

    async def test_http_altered(self: Any) -> None:
        """An altered, foreign or expired signature is an unknown route."""
        _, http, shared = await self.begin()
        for changed in (
            {"URL_Signature": ""},
            {"URL_Signature": shared["signature"][:-1]},
            {"URL_Signature": None, "url-signature": "0" * 64},
            {"URL_Expires": "2999-01-01T00:00:00"},
            {"URL_Expires": None},
            {"URL_Methods": "GET,POST,DELETE"},
            {"URL_Paths": f"{MESSAGES},{QUEUE}"},
            {"X_Project_ID": "another"},
            {"X_Project_ID": None},
        ):
            await self.refused(http, "GET", MESSAGES, in_request(shared, **changed))
        no_client = await http.ask("GET", MESSAGES, None, in_request(shared, Client_ID=None))
        self.assertEqual(http_error(no_client).title, "Missing header value")
        self.clock.advance(86399)
        self.assertEqual((await http.ask("GET", MESSAGES, None, in_request(shared))).status, 200)
        self.clock.advance(0.5)
        await self.refused(http, "GET", MESSAGES, in_request(shared))

    async def test_frames(self: Any) -> None:
        """The same signature is good in frames, text and binary, on both ports; a bad one leaves the socket open."""
        gateway, http, shared = await self.begin()
        for upgraded in (False, True):
            socket = await gateway.socket(upgraded=upgraded)
            posted = await socket.ask(in_frame(shared, "message_post", messages=[{"body": upgraded}]))
            self.assertEqual(posted["headers"]["status"], 201, posted)
            read = await socket.ask_packed(in_frame(shared, "message_list", echo=True))
            self.assertEqual(read["body"]["messages"][-1]["body"], upgraded)
            for document in (
                in_frame(shared, "message_delete_many", pop=1),
                in_frame(shared, "message_list", queue_name="other"),
                in_frame(shared, "queue_delete"),
                in_frame(shared, "message_list", {"URL-Signature": shared["signature"][::-1]}),
                in_frame(shared, "message_list", {"URL-Methods": "GET,POST"}),
                in_frame(shared, "message_list", {"URL-Paths": None}),
                in_frame(shared, "message_list", {"X-Project-ID": "another"}),
            ):
                for refused in (await socket.ask(document), await socket.ask_packed(document)):
                    self.assertEqual((refused["headers"]["status"], refused["body"]), (403, NOT_AUTHENTIFIED))
            swapped = {"URL-Methods": ["POST", "GET"], "Client-ID": CLIENT}
            read = await socket.ask(in_frame(shared, "message_list", swapped))
            self.assertEqual(read["headers"]["status"], 200)
        self.clock.advance(86400)
        late = await socket.ask(in_frame(shared, "message_list"))
        self.assertEqual((late["headers"]["status"], late["body"]), (403, NOT_AUTHENTIFIED))

    async def test_rotation(self: Any) -> None:
        """Gateways of which some sign with a new key accept each other's signatures, until the old key is taken out."""
        storage = await self.a_store()
        first, second, last = [
            self.start(storage, keys=keys, clock=self.clock) for keys in (["old", "new"], ["new", "old"], ["new"])
        ]
        by_old = (await (await first.http()).ask("POST", f"{QUEUE}/share", {})).json
        by_new = (await (await second.http()).ask("POST", f"{QUEUE}/share", {})).json
        for gateway in (first, second):
            http = await gateway.http()
            for shared in (by_old, by_new):
                self.assertEqual((await http.ask("GET", MESSAGES, None, in_request(shared))).status, 200)
        http, socket = await last.http(), await last.socket()
        self.assertEqual((await http.ask("GET", MESSAGES, None, in_request(by_new))).status, 200)
        await self.refused(http, "GET", MESSAGES, in_request(by_old))
        statuses = [
            (await socket.ask(in_frame(shared, "message_list")))["headers"]["status"] for shared in (by_old, by_new)
        ]
        self.assertEqual(statuses, [403, 200])

    async def test_no_secret(self: Any) -> None:
        """Without a secret sharing is a 400, and a signature is an unknown route and a 403."""
        _, _, shared = await self.begin()
        gateway = self.start(await self.a_store(), clock=self.clock)
        http, socket = await gateway.http(), await gateway.socket()
        self.assertEqual(http_error(await http.ask("POST", f"{QUEUE}/share", {})).title, "Invalid API request")
        await self.refused(http, "GET", MESSAGES, in_request(shared))
        refused = await socket.ask(in_frame(shared, "message_list"))
        self.assertEqual((refused["headers"]["status"], refused["body"]), (403, NOT_AUTHENTIFIED))


class MemoryTests(_SignedUrls, OnMemory):
    """On memory."""


class RedisTests(_SignedUrls, OnRedis):
    """On Redis."""
