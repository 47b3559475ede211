"""Topics: the table of operations with topics in the place of queues, and what a topic has of its own.

A case that claims something is left out, and so is the option that protects claimed messages: topics have no claims.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Coroutine
from typing import Any

from tests.helpers import OTHER_CLIENT, Response
from tests.wire.calls import RESERVED, Call, Outcome, check, frame_request, from_frame, from_http, http_request
from tests.wire.gateway import Gateway, HttpConnection, OnMemory, OnRedis
from tests.wire.table import CASES, Case, Step
from tests.wire.test_table import OnHttp, run_case
from zaqar_gateway.limits import Limits
from zaqar_gateway.operations.registry import PATCH_TYPE

T, Q = "/v2/topics/t", "/v2/queues/t"
PATCH: dict[str, str | None] = {"Content-Type": PATCH_TYPE}
THREE = ("_max_messages_post_size", "_default_message_ttl", "_default_message_delay")
FOUR = {name: value for name, value in RESERVED.items() if name not in THREE}


class OnTopics(OnHttp):
    """Operations on topics by HTTP: what is asked of a queue is asked of a topic, and its answer read as a queue's."""

    def __init__(self, connection: HttpConnection) -> None:
        super().__init__(connection)
        self._topics = connection

    async def run(self, call: Call) -> Outcome:
        """Do it."""
        method, target, body, headers = http_request(call)
        path = target.replace("/v2/queues", "/v2/topics", 1)
        return from_http(call, _as_of_queue(call, await self._topics.ask(method, path, body, headers)))


def _as_of_queue(call: Call, response: Response) -> Response:
    """The response as a queue would have given it, with all that a topic lacks (API reference, "Topics")."""
    check("/v2/queues" not in str(response), response)
    headers = [(name, value.replace(b"/v2/topics", b"/v2/queues")) for name, value in response.headers]
    if not response.body:
        return Response(response.status, headers, b"")
    document = json.loads(response.body.replace(b'"/v2/topics', b'"/v2/queues'))
    if response.status >= 400:
        check("queue" not in document["title"], response)
        document["title"] = document["title"].replace("topic", "queue")
    elif call.name == "queue_get_stats" and set(document["messages"]) != {"free", "claimed", "total"}:
        check(set(document["messages"]) in ({"total"}, {"total", "oldest", "newest"}), response)
        document["messages"] |= {"claimed": 0, "free": document["messages"]["total"]}
    elif call.name in ("queue_get", "queue_update"):
        _fill(document)
    elif call.name == "queue_list":
        document["queues"] = document.pop("topics")
        for shown in document["queues"]:
            _fill(shown.get("metadata"))
    return Response(response.status, headers, json.dumps(document).encode())


def _fill(metadata: dict[str, Any] | None) -> None:
    if metadata is not None:
        check(all(metadata.get(name) is not None for name in THREE), metadata)
        metadata |= {name: metadata.get(name) or value for name, value in FOUR.items()}


OF_QUEUES = {"rings of dead letter queues"}
"""Cases about what only queues have."""


def fits(case: Case) -> bool:
    """Whether a case is one of topics as well."""
    if case.name in OF_QUEUES:
        return False
    names = {step.call.name for step in case.steps if isinstance(step, Step)}
    return case.only != "frame" and not case.limits.delete_needs_claim_id and not any("claim" in name for name in names)


def _method(case: Case) -> Callable[[Any], Coroutine[Any, Any, None]]:
    async def test(self: Any) -> None:
        gateway = self.start(await self.a_store(), case.limits)
        await run_case(self, case, OnTopics(await gateway.http()))

    test.__doc__ = f"API reference, {case.section}, of topics: {case.name}."
    return test


class TableMemoryTests(OnMemory):
    """The table."""


class TableRedisTests(OnRedis):
    """The table."""


for _number, _case in enumerate(filter(fits, CASES)):
    for _tests in (TableMemoryTests, TableRedisTests):
        setattr(_tests, f"test_{_number:03}_{'_'.join(re.findall('[A-Za-z0-9]+', _case.name))}", _method(_case))


class _Topics:
    """What only topics have, or have not."""

    start: Callable[..., Gateway]
    a_store: Callable[[], Coroutine[Any, Any, Any]]
    clock: Any
    assertEqual: Callable[..., Any]
    assertGreater: Callable[..., Any]

    async def connection(self, limits: Limits | None = None) -> HttpConnection:
        self.gateway = self.start(await self.a_store(), limits)
        return await self.gateway.http()

    def test_table(self) -> None:
        """The table has cases for topics."""
        self.assertGreater(len([case for case in CASES if fits(case)]), 60)

    async def test_reserved(self) -> None:
        """A topic shows three reserved keys, whether it exists or not, and others only as they are stored (2.13)."""
        http = await self.connection()
        three = {name: RESERVED[name] for name in THREE}
        self.assertEqual((await http.ask("GET", T)).json, three)
        await http.ask("PUT", T)
        self.assertEqual((await http.ask("GET", T)).json, three)
        stored = {"_max_claim_count": None, "_dead_letter_queue": "d", "_default_message_ttl": 60}
        await http.ask("PUT", "/v2/topics/u", stored)
        self.assertEqual((await http.ask("GET", "/v2/topics/u")).json, {**three, **stored})

    async def test_patch_of_reserved(self) -> None:
        """The three can be replaced and removed though they are not stored, the four of queues alone cannot (3.6)."""
        http = await self.connection()
        await http.ask("PUT", T)
        for name in RESERVED:
            for op, more in (("replace", {"value": None}), ("remove", {})):
                response = await http.ask("PATCH", T, [{"op": op, "path": f"/metadata/{name}", **more}], PATCH)
                self.assertEqual(response.status, 200 if name in THREE else 409, (op, name))

    async def test_stats(self) -> None:
        """Stats of a topic have a total and the edges; those of a missing one are three zeros (2.13)."""
        http = await self.connection()
        zeros = {"messages": {"claimed": 0, "free": 0, "total": 0}}
        self.assertEqual((await http.ask("GET", f"{T}/stats")).json, zeros)
        await http.ask("PUT", T)
        self.assertEqual((await http.ask("GET", f"{T}/stats")).json, {"messages": {"total": 0}})
        posted = await http.ask("POST", f"{T}/messages", {"messages": [{"body": n} for n in range(3)]})
        self.clock.advance(5)
        found = (await http.ask("GET", f"{T}/stats")).json["messages"]
        self.assertEqual(set(found), {"total", "oldest", "newest"})
        self.assertEqual(found["total"], 3)
        hrefs = posted.json["resources"]
        self.assertEqual((found["oldest"]["href"], found["newest"]["href"]), (hrefs[0], hrefs[2]))
        self.assertEqual({(edge["age"], len(edge)) for edge in (found["oldest"], found["newest"])}, {(5, 3)})

    async def test_no_count(self) -> None:
        """``with_count`` is no parameter of the listing of topics: it is a filter as any other (2.13)."""
        http = await self.connection()
        await http.ask("PUT", T, {"with_count": 1})
        await http.ask("PUT", "/v2/topics/u")
        page = (await http.ask("GET", "/v2/topics?with_count=1&limit=5")).json
        self.assertEqual([topic["name"] for topic in page.pop("topics")], ["t"])
        self.assertEqual(page, {"links": [{"rel": "next", "href": "/v2/topics?limit=5&marker=t"}]})

    async def test_links(self) -> None:
        """Following the links of a listing of messages shows each once, below the topic (1.13)."""
        http = await self.connection()
        await http.ask("POST", f"{T}/messages", {"messages": [{"body": n} for n in range(7)]})
        href, seen = f"{T}/messages?limit=3", []
        while True:
            page = (await http.ask("GET", href, None, {"Client-ID": OTHER_CLIENT})).json
            if not page["messages"]:
                break
            seen += [message["body"] for message in page["messages"]]
            (link,) = page["links"]
            href = link["href"]
            self.assertEqual(href.partition("?")[0], f"{T}/messages")
        self.assertEqual(seen, list(range(7)))

    async def test_names(self) -> None:
        """A bad name, or a project that is too long, is refused by every method of every route (1.5, 1.8)."""
        http = await self.connection()
        for name in ("a%40b", "a" * 65, "%C3%A9", "%E9", "", "a%0A"):
            for method in ("GET", "PUT", "PATCH", "DELETE", "POST"):
                for below in ("", "/stats", "/purge", "/messages", "/messages/a") if name else ("",):
                    response = await http.ask(method, f"/v2/topics/{name}{below}")
                    self.assertEqual((response.status, response.title), (400, "Invalid topic identification"))
        for project, status in (("p" * 256, 200), ("p" * 257, 400)):
            response = await http.ask("GET", T, None, {"X-Project-ID": project})
            self.assertEqual(response.status, status)
        self.assertEqual(response.title, "Invalid topic identification")
        self.assertEqual((await http.ask("PUT", "/v2/topics/" + "a.B_-" * 12 + "9999")).status, 201)

    async def test_routes(self) -> None:
        """There are no claims and no share below a topic; other methods are 405 with those that there are (1.7, 2.13)."""
        http = await self.connection()
        for path in (f"{T}/claims", f"{T}/claims/a", f"{T}/share", f"{T}/", f"{T}/stats/"):
            for method in ("GET", "POST"):
                response = await http.ask(method, path)
                self.assertEqual((response.status, response.json), (404, {"title": "404 Not Found"}), path)
        for path, methods in (
            ("/v2/topics", "GET"),
            (T, "DELETE GET PATCH PUT"),
            (f"{T}/stats", "GET"),
            (f"{T}/purge", "POST"),
            (f"{T}/messages", "DELETE GET POST"),
            (f"{T}/messages/a", "DELETE GET"),
        ):
            for method in {"GET", "PUT", "POST", "PATCH", "DELETE", "HEAD"} - set(methods.split()):
                response = await http.ask(method, path)
                self.assertEqual(response.status, 405, (method, path))
                self.assertEqual(response.header("Allow"), ", ".join((*methods.split(), "OPTIONS")))

    async def test_claims_play_no_role(self) -> None:
        """No message of a topic is under a claim, so that none is asked for where queues have to (2.8, 3.7, 3.8)."""
        http = await self.connection(Limits(delete_needs_claim_id=True))
        await http.ask("PUT", T, {"_max_claim_count": 1, "_dead_letter_queue": "d"})
        posted = await http.ask("POST", f"{T}/messages", {"messages": [{"body": 1}, {"body": 2}]})
        ids = [href.rpartition("/")[2] for href in posted.json["resources"]]
        for claim_id in ("invalid", "a" * 24):
            response = await http.ask("DELETE", f"{T}/messages/{ids[0]}?claim_id={claim_id}")
            self.assertEqual((response.status, response.title), (400, "Unable to delete"))
        self.assertEqual((await http.ask("DELETE", f"{T}/messages?ids={ids[0]}")).status, 204)
        self.assertEqual((await http.ask("DELETE", f"{T}/messages?ids={ids[1]}&claim_ids=a")).status, 204)
        self.assertEqual((await http.ask("GET", f"{T}/stats")).json, {"messages": {"total": 0}})

    async def test_queue_of_the_same_name(self) -> None:
        """A topic and a queue of one name are different resources, whatever is done to either (2.13)."""
        http = await self.connection()
        empty = {"messages": {"claimed": 0, "free": 0, "total": 0}}
        for mine, other, key, missing in ((T, Q, "queues", "topics"), (Q, T, "topics", "queues")):
            await http.ask("PUT", mine, {"a": 1})
            posted = await http.ask("POST", f"{mine}/messages", {"messages": [{"body": mine}]})
            (href,) = posted.json["resources"]
            message_id = href.rpartition("/")[2]
            self.assertEqual((await http.ask("GET", f"/v2/{key}")).json[key], [])
            self.assertEqual((await http.ask("GET", f"{other}/stats")).json, empty)
            self.assertEqual((await http.ask("GET", f"{other}/messages?echo=true")).json["messages"], [])
            self.assertEqual("a" in (await http.ask("GET", other)).json, False)
            self.assertEqual((await http.ask("GET", f"{other}/messages/{message_id}")).status, 404)
            self.assertEqual((await http.ask("GET", f"{other}/messages?ids={message_id}")).status, 404)
            await http.ask("PUT", other, {"b": 1})
            self.assertEqual((await http.ask("DELETE", f"{other}/messages/{message_id}")).status, 204)
            self.assertEqual((await http.ask("DELETE", f"{other}/messages?ids={message_id}")).status, 204)
            self.assertEqual((await http.ask("DELETE", f"{other}/messages?pop=5")).json, {"messages": []})
            self.assertEqual((await http.ask("POST", f"{other}/purge")).status, 204)
            self.assertEqual((await http.ask("DELETE", other)).status, 204)
            found = (await http.ask("GET", href)).json
            self.assertEqual((found["href"], found["body"]), (href, mine))
            self.assertEqual((await http.ask("GET", mine)).json["a"], 1)
            self.assertEqual((await http.ask("DELETE", mine)).status, 204)
            self.assertEqual((await http.ask("GET", f"/v2/{missing}")).json[missing], [])

    async def test_claims_of_a_queue(self) -> None:
        """A claim in a queue takes nothing of the topic of the same name."""
        http = await self.connection()
        await http.ask("POST", f"{T}/messages", {"messages": [{"body": 1}]})
        self.assertEqual((await http.ask("POST", f"{Q}/claims", {"ttl": 60, "grace": 60})).status, 204)

    async def test_volume(self) -> None:
        """The message volume of health has the messages of queues and of topics (3.13)."""
        http = await self.connection()
        for path, count in ((T, 3), (Q, 2)):
            await http.ask("POST", f"{path}/messages", {"messages": [{"body": n} for n in range(count)]})
        await http.ask("POST", f"{Q}/claims?limit=1", {"ttl": 60, "grace": 60})
        volume = (await http.ask("GET", "/v2/health", None, {"X-Roles": "admin"})).json["message_volume"]
        self.assertEqual(volume, {"free": 4, "claimed": 1, "total": 5})

    async def test_no_actions(self) -> None:
        """WebSocket has no topics: their actions do not exist (4.4)."""
        await self.connection()
        socket = await self.gateway.socket()
        for action in ("topic_create", "topic_list", "topic_message_post"):
            call = Call(action, {"queue_name": "t", "topic_name": "t"})
            self.assertEqual(from_frame(call, await socket.ask(frame_request(call))).status, 400)


class MemoryTests(_Topics, OnMemory):
    """Over memory."""


class RedisTests(_Topics, OnRedis):
    """Over Redis."""
