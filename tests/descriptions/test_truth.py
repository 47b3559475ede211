"""A gateway answers as its description says, whatever it is asked, and asks for no more than that says."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

from tests.descriptions.judge import FrameJudge, FrameWitness, HttpJudge, HttpWitness
from tests.helpers import CLIENT, PROJECT, build_operations
from tests.pooling import memory_process
from tests.tokens import StubTokens, caller
from tests.transport.websocket.client import envelope
from tests.wire.gateway import LiveCase
from tests.wire.table import CASES
from tests.wire.test_deliveries import give_up
from tests.wire.test_live import Client
from tests.wire.test_table import OnHttp, OnWebSocket, run_case
from tests.wire.test_topics import OnTopics, fits
from zaqar_gateway.descriptions.operations import described
from zaqar_gateway.descriptions.terms import Terms
from zaqar_gateway.interfaces import IStorage
from zaqar_gateway.limits import Limits
from zaqar_gateway.model import NewMessage, NewPost, Place, QueueRules
from zaqar_gateway.operations.registry import PATCH_TYPE, Operation
from zaqar_gateway.transport.status import told_kind

ADMIN = {"X-Roles": "admin"}
KEY = "a secret"
LIMITS = {case.limits for case in CASES}


class TruthCase(LiveCase):
    """A test that judges what gateways are asked and what they answer.

    :ivar problems: what was wrong.
    :ivar seen: operations with the statuses that were answered.
    """

    timeout = 300

    async def setUp(self) -> None:  # type: ignore[override]
        await super().setUp()
        self.process = memory_process(self.clock)
        self.problems: list[str] = []
        self.seen: set[tuple[str, int]] = set()
        self.rows: list[Operation] = build_operations(self.process.storage, pooling=self.process.pooling).operations

    def http_judge(self, **terms: Any) -> HttpJudge:
        """OpenAPI of all operations."""
        return HttpJudge(self.rows, Terms("0", **terms), self.seen)

    def frame_judge(self, **terms: Any) -> FrameJudge:
        """AsyncAPI of all operations."""
        return FrameJudge(self.rows, Terms("0", **terms), self.seen)

    def look(self) -> None:
        """Nothing was wrong."""
        self.assertEqual(len(self.problems), 0, "\n".join(self.problems[:20]))


class TableTests(TruthCase):
    """The table of operations of ``tests/wire``."""

    async def test_http(self) -> None:
        """Over HTTP."""
        judges = {limits: self.http_judge(limits=limits) for limits in LIMITS}
        for case in CASES:
            if case.only != "frame":
                gateway = self.start(self.memory(), case.limits)
                witness = HttpWitness(await gateway.http(), judges[case.limits], self.problems)
                await run_case(self, case, OnHttp(cast(Any, witness)))
        self.assertGreater(len(self.seen), 50)
        self.look()

    async def test_topics(self) -> None:
        """Over HTTP, on topics."""
        judge = self.http_judge()
        for case in filter(fits, CASES):
            if case.limits == Limits():
                gateway = self.start(self.memory(), case.limits)
                await run_case(self, case, OnTopics(cast(Any, HttpWitness(await gateway.http(), judge, self.problems))))
        self.assertGreater(len(self.seen), 30)
        self.look()

    async def test_websocket(self) -> None:
        """Over WebSocket."""
        judges = {limits: self.frame_judge(limits=limits) for limits in LIMITS}
        for case in CASES:
            if case.only != "http":
                gateway = self.start(self.memory(), case.limits)
                witness = FrameWitness(await gateway.socket(), judges[case.limits], self.problems)
                await run_case(self, case, OnWebSocket(cast(Any, witness)))
        self.assertGreater(len(self.seen), 40)
        self.look()


async def _bury(storage: IStorage) -> list[str]:
    """Have a queue ``dead`` with dead letters; their ids."""
    await storage.queues.create(PROJECT, "tried", b"{}", QueueRules(claim_count_max=1, dead_letter_queue="dead"))
    new = [NewMessage(b"%d" % number, 600) for number in range(3)]
    ids = await storage.messages.post(PROJECT, "tried", NewPost(b"c", new, size=9, ttl_default_s=60, size_max=1000))
    claim = await storage.claims.create(PROJECT, "tried", 60, 60, 20)
    assert claim is not None
    await storage.claims.release(PROJECT, "tried", claim.id)
    await storage.claims.create(PROJECT, "tried", 60, 60, 20)
    return list(ids)


class EverythingTests(TruthCase):
    """Every operation, right and wrong; what is described is also there to be had."""

    async def test_http(self) -> None:
        """Each operation is answered with each status that it has by itself, as it is described."""
        judge = self.http_judge(signs=True)
        gateway = self.start(self.process.storage, pooling=self.process.pooling, keys=(KEY,), clock=self.clock)
        witness = HttpWitness(await gateway.http(), judge, self.problems)

        async def ask(method: str, target: str, body: Any = None, headers: Mapping[str, str] | None = None) -> Any:
            return await witness.ask(method, target, body, {**ADMIN, **(headers or {})})

        for method, target in (("GET", "/"), ("GET", "/v2/"), ("HEAD", "/v2/ping"), ("GET", "/v2/ping"), ("GET", "/v2/health")):
            await ask(method, target)
        await self._queues(ask, "queues")
        await self._queues(ask, "topics")
        await ask("POST", "/v2/queues/q/share", {"paths": ["messages", "claims"], "methods": ["GET"], "expires": "2099-01-01T00:00:00"})
        await ask("POST", "/v2/queues/q/share", {"path": []})
        posted = await ask("POST", "/v2/queues/q/messages", {"messages": [{"body": 1}, {"body": 2}]})
        claim = await ask("POST", "/v2/queues/q/claims?limit=1", {"ttl": 60, "grace": 60})
        place = claim.header("Location")
        await ask("GET", place)
        await ask("GET", "/v2/queues/q/messages?include_claimed=true&echo=true&limit=1")
        await ask("PATCH", place, {"ttl": 100})
        await ask("PATCH", place, {"ttl": 1})
        await ask("DELETE", posted.json["resources"][0])
        await ask("DELETE", place)
        for method in ("GET", "PATCH"):
            await ask(method, place, {"ttl": 100} if method == "PATCH" else None)
        await ask("POST", "/v2/queues/empty/claims?wait=0")
        await ask("GET", "/v2/queues/q/durables")
        await ask("DELETE", "/v2/queues/q/durables/d")
        await self._pools(ask)
        await self._stored(judge)
        await self._streams(judge)
        for path, place in judge.document["paths"].items():
            for method in ("get", "put", "post", "patch", "delete"):
                if method in place:
                    await self._wrong(witness, path, method)
        self.look()
        self._complete(judge)

    async def _queues(self, ask: Any, kind: str) -> None:
        base, named = f"/v2/{kind}", f"/v2/{kind}/q"
        patch = {"Content-Type": PATCH_TYPE}
        for _ in range(2):
            await ask("PUT", named, {"k": 1, "_default_message_ttl": 100})
        await ask("PUT", f"/v2/{kind}/bare")
        await ask("PUT", named, {"_default_message_ttl": "x"})
        await ask("GET", named)
        await ask("PATCH", named, [{"op": "add", "path": "/metadata/x", "value": 1}], patch)
        await ask("PATCH", named, [{"op": "remove", "path": "/metadata/none"}], patch)
        await ask("PATCH", f"/v2/{kind}/none", [], patch)
        await ask("PATCH", named, [])
        await ask("GET", f"{base}?limit=1&detailed=true&k=1")
        await ask("GET", f"{base}?with_count=true" if kind == "queues" else base)
        posted = await ask("POST", f"{named}/messages", {"messages": [{"body": {"n": 1}, "ttl": 60}, {"body": 2}, {"body": 3}]})
        for _ in range(2):
            await ask("POST", f"{named}/messages", {"messages": [{"body": 1}]}, {"Idempotency-Key": "k"})
        one, two, three = posted.json["resources"]
        ids = ",".join(each.rpartition("/")[2] for each in (one, two))
        await ask("GET", f"{named}/stats")
        await ask("GET", f"{base}/none/stats")
        await ask("GET", f"{named}/messages?echo=true&limit=2")
        await ask("GET", f"{named}/messages?ids={ids}")
        await ask("GET", f"{named}/messages?ids=none")
        await ask("GET", one)
        await ask("GET", f"{named}/messages/none")
        await ask("DELETE", three)
        await ask("DELETE", f"{named}/messages?ids={ids}")
        await ask("DELETE", f"{named}/messages?pop=1")
        await ask("DELETE", f"{named}/messages?pop=1&ids=a")
        made = await ask("POST", f"{named}/subscriptions", {"subscriber": "http://example.org/a", "ttl": 100, "options": {"a": 1}})
        place = f"{named}/subscriptions/{made.json['subscription_id']}"
        await ask("POST", f"{named}/subscriptions", {"subscriber": "http://example.org/b"})
        await ask("GET", f"{named}/subscriptions?limit=1")
        await ask("GET", place)
        await ask("PATCH", place, {"ttl": 200})
        await ask("PATCH", place, {"subscriber": "http://example.org/b"})
        await ask("PUT", f"{place}/confirm", {"confirmed": True})
        await ask("POST", f"{named}/subscriptions", {"subscriber": "http://example.org/a"})
        await ask("DELETE", place)
        for method, where, body in (("GET", place, None), ("PATCH", place, {"ttl": 200}), ("PUT", f"{place}/confirm", {"confirmed": True})):
            await ask(method, where, body)
        await ask("POST", f"{named}/purge", {"resource_types": ["messages"]})
        await ask("POST", f"{named}/purge", {"resource_types": ["everything"]})
        await ask("DELETE", f"/v2/{kind}/bare")

    async def _pools(self, ask: Any) -> None:
        await ask("PUT", "/v2/pools/p", {"uri": "memory:", "weight": 10, "flavor": "f", "options": {"a": 1}})
        await ask("PUT", "/v2/pools/other", {"uri": "memory:", "weight": 10})
        await ask("PUT", "/v2/pools/o", {"uri": "memory:2", "weight": 10})
        await ask("PUT", "/v2/pools/x", {"uri": "memory:3"})
        for query in ("", "?detailed=true&limit=1"):
            await ask("GET", f"/v2/pools{query}")
            await ask("GET", f"/v2/pools/p{query[:14]}")
        await ask("PATCH", "/v2/pools/o", {"uri": "memory:"})
        await ask("PATCH", "/v2/pools/o", {"weight": 20})
        await ask("PUT", "/v2/flavors/f", {"pool_list": ["p"]})
        for query in ("", "?detailed=true&limit=1"):
            await ask("GET", f"/v2/flavors{query}")
        await ask("GET", "/v2/flavors/f")
        await ask("PATCH", "/v2/flavors/f", {"pool_list": ["p", "o"]})
        for method, target, body in (
            ("GET", "/v2/pools/none", None),
            ("PATCH", "/v2/pools/none", {"weight": 1}),
            ("GET", "/v2/flavors/none", None),
            ("PATCH", "/v2/flavors/none", {"pool_list": ["p"]}),
            ("DELETE", "/v2/flavors/f", None),
            ("DELETE", "/v2/pools/o", None),
        ):
            await ask(method, target, body)

    async def _stored(self, judge: HttpJudge) -> None:
        """What stores have to be brought to."""
        storage = self.memory()
        ids = await _bury(storage)
        for is_topic in (False, True):
            await give_up(storage, Place(PROJECT, "given", is_topic), 2)
        witness = HttpWitness(await self.start(storage, checksums=True).http(), self.http_judge(checksums=True), self.problems)
        await witness.ask("GET", "/v2/queues/dead/dead_letters?limit=2")
        await witness.ask("GET", "/v2/queues/dead/messages?echo=true")
        await witness.ask("POST", "/v2/queues/dead/dead_letters/return", {"ids": ids[:1], "rate": 5, "destination": "to"})
        await witness.ask("POST", "/v2/queues/dead/dead_letters/return", {"limit": 1})
        await witness.ask("POST", "/v2/queues/dead/dead_letters/return", {"limit": 1, "ids": []})
        await witness.ask("DELETE", "/v2/queues/dead/messages?pop=1")
        await witness.ask("GET", "/v2/health", None, ADMIN)
        await witness.ask("GET", "/v2/deliveries", None, ADMIN)
        for kind in ("queues", "topics"):
            await witness.ask("GET", f"/v2/{kind}/given/deliveries?limit=1", None, ADMIN)
            await witness.ask("POST", f"/v2/{kind}/given/deliveries", None, ADMIN)
            await witness.ask("POST", f"/v2/{kind}/given/deliveries", {"ids": []}, ADMIN)

    async def _streams(self, judge: HttpJudge) -> None:
        gateway = self.start(self.memory(), timers=None)
        http = await gateway.http()
        for kind in ("queues", "topics"):
            target = f"/v2/{kind}/q/events?echo=true&project_id={PROJECT}&client_id={CLIENT}"
            stream = await gateway.events()
            response = await stream.open(target, bare=True)
            HttpWitness(stream, judge, self.problems).told("GET", target, None, {}, response, bare=True)
            await http.ask("POST", f"/v2/{kind}/q/messages", {"messages": [{"body": [1]}]})
            self.clock.advance(1)
            name, data = await stream.event()
            forms = judge.document["paths"][f"/v2/{kind}/{{{kind[:-1]}_name}}/events"]["get"]["responses"]["200"]
            form = forms["content"]["text/event-stream"]["x-events"][name]
            self.assertEqual(set(data), {"id", "href", "ttl", "age", "body"})
            self.assertEqual(form, {"$ref": "#/components/schemas/Message"})

    async def _wrong(self, witness: HttpWitness, path: str, method: str) -> None:
        """Ways in which any request can be wrong."""
        target = path.replace("{queue_name}", "q").replace("{topic_name}", "q").replace("{", "").replace("}", "")
        refused: tuple[dict[str, str | None], ...] = (
            {"Client-ID": "x"},
            {"Client-ID": None},
            {"X-Project-ID": None},
            {"X-Project-ID": "p" * 257},
            {"Accept": "text/html"},
            {"URL-Signature": "x"},
            {"Content-Type": "application/x-www-form-urlencoded"},
        )
        for headers in refused[:-1] if path.endswith("/events") else refused:
            await witness.ask(method.upper(), target, {} if method in ("post", "put", "patch") else None, {**ADMIN, **headers})
        if path == "/":
            return
        bodies: tuple[Any, ...] = ([], {}, {"unknown": 1}, b"{", {"ttl": "x"}, {"messages": {}}, {"limit": 0}, {"ids": 1})
        for body in bodies:
            if method in ("post", "put", "patch"):
                await witness.ask(method.upper(), target, body, ADMIN)
        if path.endswith("/events"):
            await witness.ask("GET", f"{target}?marker=x")
            await witness.ask("GET", f"{target}?echo=perhaps")
            return
        for query in ("limit=0", "limit=x", "wait=99", "pop=0", "echo=perhaps", "ids=,", "marker=%FF", "detailed=7"):
            await witness.ask(method.upper(), f"{target}?{query}", None, ADMIN)
        await witness.ask(method.upper(), target, None, {"X-Roles": "nobody"})

    def _complete(self, judge: HttpJudge) -> None:
        """All was seen that an operation has and not every operation has."""
        for row in self.rows:
            if row.http is None or row.name == "delivery_overview":
                continue
            said = described(row.name)
            wanted = {answer.status for answer in said.http} | {told_kind(kind).http for kind in (*said.errors, *said.http_errors)}
            found = {status for name, status in self.seen if name == row.name}
            self.assertEqual(wanted - found, set(), row.name)
        for place in judge.document["paths"].values():
            for method, operation in place.items():
                if method != "parameters":
                    self.assertIn(operation["operationId"], {name for name, _ in self.seen})

    async def test_websocket(self) -> None:
        """Each action is answered with each status that it has by itself, as it is described; so is what is pushed."""
        judge = self.frame_judge(signs=True)
        storage = self.memory()
        ids = await _bury(storage)
        await give_up(storage, Place(PROJECT, "given"), 2)
        gateway = await self.begin(storage, pooling=self.process.pooling, keys=(KEY,))
        socket = await gateway.socket()
        witness = FrameWitness(socket, judge, self.problems)
        headers = {"Client-ID": CLIENT, "X-Project-ID": PROJECT, "X-ROLES": "admin"}

        async def ask(action: str, **body: Any) -> Any:
            return await witness.ask({"action": action, "headers": headers, "body": body})

        for _ in range(2):
            await ask("queue_create", queue_name="q", metadata={"a": 1})
        await ask("queue_list", limit=1, detailed=True)
        await ask("queue_get", queue_name="q")
        posted = (await ask("message_post", queue_name="q", messages=[{"body": n} for n in range(4)]))["body"]["message_ids"]
        for _ in range(2):
            await ask("message_post", queue_name="q", messages=[{"body": 1}], idempotency_key="k")
        await ask("queue_get_stats", queue_name="q")
        await ask("queue_get_stats", queue_name="none")
        await ask("message_list", queue_name="q", echo=True, limit=2)
        await ask("message_get", queue_name="q", message_id=posted[0])
        await ask("message_get", queue_name="q", message_id="none")
        await ask("message_get_many", queue_name="q", message_ids=posted[:2])
        await ask("message_delete", queue_name="q", message_id=posted[0])
        await ask("message_delete_many", queue_name="q", message_ids=posted[1:2])
        await ask("message_delete_many", queue_name="q", pop=1)
        claim = (await ask("claim_create", queue_name="q", limit=1, ttl=60))["body"]["claim_id"]
        await ask("claim_create", queue_name="none")
        for action in ("claim_get", "claim_update", "claim_delete", "claim_get", "claim_update"):
            await ask(action, queue_name="q", claim_id=claim)
        await ask("dead_letter_list", queue_name="dead")
        await ask("dead_letter_return", queue_name="dead", ids=ids[:1])
        await ask("dead_letter_return", queue_name="dead", other=1)
        await ask("durable_list", queue_name="q")
        await ask("durable_delete", queue_name="q", durable="d")
        await ask("delivery_overview")
        await ask("delivery_list", queue_name="given")
        await ask("delivery_resend", queue_name="given")
        made: Any = {}
        for _ in range(2):
            made = made or await ask("subscription_create", queue_name="q", subscriber="http://example.org/a", ttl=60)
            await ask("subscription_create", queue_name="q", subscriber="http://example.org/a")
        name = made["body"]["subscription_id"]
        await ask("subscription_list", queue_name="q")
        for action in ("subscription_get", "subscription_delete", "subscription_get"):
            await ask(action, queue_name="q", subscription_id=name)
        await ask("pool_create", pool_name="p", uri="memory:", weight=1, options={"a": 1})
        await ask("pool_create", pool_name="x", uri="memory:", weight=1)
        await ask("pool_create", pool_name="o", uri="memory:2", weight=1)
        await ask("pool_list", detailed=True)
        await ask("pool_get", pool_name="p", detailed=True)
        await ask("pool_get", pool_name="none")
        await ask("pool_update", pool_name="p", weight=2)
        await ask("pool_update", pool_name="none", weight=2)
        await ask("pool_update", pool_name="o", uri="memory:")
        await ask("flavor_create", flavor_name="f", pool_list=["p"])
        await ask("flavor_list", detailed=True)
        await ask("flavor_get", flavor_name="f")
        await ask("flavor_get", flavor_name="none")
        await ask("flavor_update", flavor_name="f", pool_list=["p", "o"])
        await ask("flavor_update", flavor_name="none", pool_list=["p"])
        await ask("flavor_delete", flavor_name="f")
        await ask("pool_delete", pool_name="p")
        await ask("queue_purge", queue_name="q", resource_types=["messages"])
        await ask("queue_delete", queue_name="q")
        await witness.ask({"action": "authenticate", "headers": {"X-Project-ID": PROJECT, "X-Auth-Token": "t"}})
        await self._wrong_frames(witness)
        packed = {"action": "queue_list", "headers": headers, "body": {"limit": 1}}
        await witness.ask_packed(packed)
        await witness.ask_packed(b"\xc1")
        await self._live(gateway, judge, headers)
        self.look()
        for row in self.rows:
            if row.frame is None:
                continue
            said = described(row.name)
            wanted = {answer.status for answer in said.frame} | {told_kind(kind).websocket for kind in said.errors}
            self.assertEqual(wanted - {status for name, status in self.seen if name == row.name}, set(), row.name)

    async def _wrong_frames(self, witness: FrameWitness) -> None:
        headers = {"Client-ID": CLIENT, "X-Project-ID": PROJECT}
        bodies: tuple[Any, ...] = ({}, [], {"queue_name": 1}, {"queue_name": "q", "limit": 0, "ttl": "x"}, {"queue_name": "/"})
        for row in self.rows:
            if row.frame is not None:
                for body in bodies:
                    await witness.ask({"action": row.name, "headers": headers, "body": body})
                await witness.ask({"action": row.name, "headers": {}, "body": {"queue_name": "q"}})
        for frame in (b"{", b"[]", b"{}", b'{"action": 1}', b'{"action": "none"}', b'{"action": "queue_list", "headers": []}'):
            await witness.ask(frame)

    async def _live(self, gateway: Any, judge: FrameJudge, headers: dict[str, str]) -> None:
        """Live subscriptions, workers, plain ones."""
        first, second, plain, worker = [
            _Witnessed(await gateway.socket(), headers, judge, self.problems) for _ in range(4)
        ]
        await first.ask("subscription_create", queue_name="l", durable="d", window=5, start="earliest", echo=True)
        await first.ask("subscription_create", queue_name="l")
        await plain.ask("subscription_create", queue_name="l")
        await plain.ask("message_post", queue_name="l", messages=[{"body": n} for n in range(3)])
        await plain.push("notification")
        sent = [await first.push("live_message") for _ in range(3)]
        await first.ask("message_extend", queue_name="l", message_ids=[sent[0]["id"]], deadline=60)
        await first.ask("message_acknowledge", queue_name="l", message_ids=[sent[0]["id"]])
        await first.ask("message_refuse", queue_name="l", message_ids=[sent[1]["id"]], delay=0)
        await first.push("live_message")
        await first.ask("message_acknowledge", queue_name="l", message_ids=[], up_to=sent[0]["id"])
        await first.ask("subscription_window", queue_name="l", window=7)
        await plain.ask("durable_list", queue_name="l")
        await second.ask("subscription_create", queue_name="l", durable="d")
        await first.push("live_end")
        await first.ask("message_acknowledge", queue_name="l", message_ids=[sent[2]["id"]])
        for action, more in (
            ("message_acknowledge", {"up_to": sent[1]["id"]}),
            ("message_refuse", {"message_ids": [sent[1]["id"]]}),
            ("message_extend", {"message_ids": [sent[1]["id"]], "deadline": 1}),
            ("subscription_window", {"window": 1}),
        ):
            await plain.ask(action, queue_name="none", **more)
        await worker.ask("subscription_create", queue_name="w", claim={"ttl": 60}, window=1)
        await worker.ask("message_post", queue_name="w", messages=[{"body": 1}])
        await worker.push("live_message")
        await worker.ask("message_post", queue_name="g", messages=[{"body": n} for n in range(2)])
        page = await worker.ask("message_list", queue_name="g", echo=True)
        await worker.ask("queue_purge", queue_name="g")
        await worker.ask("subscription_create", queue_name="g", start=page["messages"][0]["id"])
        await worker.push("live_gap")


class _Witnessed(Client):
    """A socket with pushes, all of which is judged."""

    def __init__(self, socket: Any, headers: dict[str, str], judge: FrameJudge, problems: list[str]) -> None:
        super().__init__(socket, headers)
        self._judge = judge
        self._witness = FrameWitness(socket, judge, problems)
        self._problems = problems

    async def _document(self) -> dict[str, Any]:
        document = await super()._document()
        if "request" in document:
            self._witness.told(document)
        return document

    async def ask(self, action: str, **body: Any) -> Any:
        """The body of the reply."""
        return (await super().ask(action, **body))[1]

    async def push(self, operation: str) -> dict[str, Any]:
        """The next push, judged as what it has to be."""
        found = await self.next()
        self._problems += self._judge.wrong_push(found, operation)
        return found


class AuthenticationTests(TruthCase):
    """With tokens."""

    async def test_http(self) -> None:
        """A token that is missing or unknown is a 401 as it is described, and who has one needs no project."""
        judge = self.http_judge(authenticates=True)
        tokens = StubTokens(good=caller(), bad=None)
        witness = HttpWitness(await self.start(self.memory(), tokens=tokens).http(), judge, self.problems)
        for token in ("good", "bad", None):
            headers = {"X-Auth-Token": token, "X-Project-ID": None}
            await witness.ask("GET", "/v2/queues", None, headers)
            await witness.ask("PUT", "/v2/queues/q", {}, headers)
        self.assertEqual({status for _, status in self.seen}, {200, 201, 401})
        self.look()

    async def test_websocket(self) -> None:
        """Whoever has not authenticated is refused as it is described; so is a token that is not good."""
        judge = self.frame_judge(authenticates=True)
        tokens = StubTokens(good=caller(), bad=None)
        witness = FrameWitness(await self.start(self.memory(), tokens=tokens).socket(), judge, self.problems)
        project = caller().project
        await witness.ask(envelope("queue_list", {}))
        for token in ("bad", "good"):
            await witness.ask({"action": "authenticate", "headers": {"X-Project-ID": project, "X-Auth-Token": token}})
        self.assertLessEqual({("queue_list", 403), ("authenticate", 401), ("authenticate", 200)}, self.seen)
        self.look()


