"""What a description says of requests is what a gateway takes: all that fits, and nothing that does not."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, cast
from urllib.parse import quote

import hypothesis
from hypothesis import given
from hypothesis import strategies as st
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from tests.descriptions.judge import HttpJudge
from tests.descriptions.making import Maker, shown
from tests.helpers import CLIENT, PROJECT, HttpApi, Response, build_operations
from tests.pooling import memory_process
from zaqar_gateway.descriptions.asyncapi import asyncapi
from zaqar_gateway.descriptions.terms import Terms
from zaqar_gateway.limits import NAME_FORM, ClientIds
from zaqar_gateway.transport.websocket.codec import Actions
from zaqar_gateway.transport.websocket.session import Session

NOW_S = 1_767_323_045
KEY = "a secret"
examples = hypothesis.settings(derandomize=True, deadline=None, max_examples=40)

LEFT_OUT = frozenset(
    (
        "minimum_delay",  # goes with the maximum
        "maximum_delay",
        "_flavor",  # has to be there
        "_dead_letter_queue",  # must not be a ring
    )
)
"""Members of which more is asked than a schema can say."""

SHAPES = ("Invalid API request", "Invalid request body", "Invalid parameter", "Invalid queue identification")
"""Titles of errors that say that a request is not of the form that it has to have."""

NAMES_CHECKED = ("queue_create", "message_post", "subscription_create", "durable_list", "durable_delete")
"""Actions that refuse a name that no queue can have."""

NOT_LOOKED_AT = ("claim_ids", "project_id", "client_id")
"""Parameters that play no role here: two of them stand in the place of headers, and one needs message_delete_with_claim_id."""


class Http:
    """Requests as OpenAPI has them."""

    def __init__(self) -> None:
        clock = Clock()
        clock.advance(NOW_S)
        process = memory_process(clock)
        self.api = HttpApi(process.storage, pooling=process.pooling, keys=(KEY,), clock=clock)
        rows = build_operations(process.storage, pooling=process.pooling).operations
        self.judge = HttpJudge(rows, Terms("0"))
        self.document = self.judge.document
        self.maker = Maker(self.document, LEFT_OUT)

    def operations(self) -> Iterator[tuple[str, str, dict[str, Any]]]:
        """Path, method and operation, of those whose answer ends."""
        for path, place in self.document["paths"].items():
            for method, operation in place.items():
                if method != "parameters" and not path.endswith("/events"):
                    yield path, method, operation

    def parameters(self, path: str, method: str, where: str) -> dict[str, Any]:
        """The parameters in one place: name to the whole of each."""
        return {one["name"]: one for _, one in self.judge.parameters(path, method) if one["in"] == where}

    def body(self, operation: dict[str, Any]) -> tuple[str, Any] | None:
        """Media type and schema of the body, if there is one."""
        if "requestBody" not in operation:
            return None
        ((media_type, content),) = operation["requestBody"]["content"].items()
        return media_type, content["schema"]

    def ask(self, path: str, method: str, variables: dict[str, Any], query: dict[str, Any], body: Any, media_type: str = "") -> Response:
        """Make a request."""
        target = path.format(**{name: quote(value, safe="") for name, value in variables.items()})
        parts = []
        for name, value in query.items():
            if isinstance(value, dict):
                parts += [f"{quote(key)}={quote(str(one), safe='')}" for key, one in value.items()]
            else:
                text = ",".join(quote(one, safe="") for one in value) if isinstance(value, list) else quote(_text(value), safe="")
                parts.append(f"{name}={text}")
        content = None if body is None else json.dumps(body).encode()
        headers: dict[str, str | None] = {"X-ROLES": "admin", "Content-Type": media_type or None}
        return self.api(method.upper(), target + (f"?{'&'.join(parts)}" if parts else ""), content, headers)

    def least(self, path: str, method: str) -> tuple[dict[str, Any], dict[str, Any]]:
        """The least that path and query have to have."""
        variables = {name: self.maker.least(one["schema"]) for name, one in self.parameters(path, method, "path").items()}
        query = {
            name: self.maker.least(one["schema"])
            for name, one in self.parameters(path, method, "query").items()
            if one["required"]
        }
        if path.endswith("/messages") and method == "delete":
            query["pop"] = 1
        return variables, query


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    return str(value)


def _fit(operation: str, query: dict[str, Any], body: Any) -> None:
    """Do what no schema says."""
    if operation.endswith("message_delete_many"):
        if "pop" not in query and not query.get("ids"):
            query["pop"] = 1
        if "pop" in query:
            query.pop("ids", None)
        else:
            query.pop("wait", None)
        query.pop("claim_ids", None)
    if isinstance(body, dict):
        body.pop("destination", None)  # which must not be the queue itself
    if isinstance(body, dict) and "idempotency_key" in body:
        for message in body.get("messages", ()):
            message.pop("idempotency_key", None)


class NotingCase(SynchronousTestCase):
    """A test that goes on where something is wrong, and fails in the end."""

    def setUp(self) -> None:
        self.problems: list[str] = []

    @contextmanager
    def noted(self) -> Iterator[None]:
        """What is wrong inside is noted."""
        try:
            yield
        except AssertionError as error:
            self.problems.append(str(error))

    def look(self) -> None:
        """Nothing was noted."""
        self.assertEqual(len(self.problems), 0, "\n".join(self.problems[:30]).replace("a" * 100, ""))


class HttpRequests(NotingCase):
    """Over HTTP."""

    def test_whatever_fits_is_taken(self) -> None:
        """No request that is as it is described is refused for its form."""
        http = Http()
        for path, method, operation in http.operations():
            with self.noted():
                self._fits(http, path, method, operation)
        self.look()

    def _fits(self, http: Http, path: str, method: str, operation: dict[str, Any]) -> None:
        maker, body = http.maker, http.body(operation)
        variables = {name: maker.values(one["schema"]) for name, one in http.parameters(path, method, "path").items()}
        queries = http.parameters(path, method, "query")
        needed = {name: maker.values(one["schema"]) for name, one in queries.items() if one["required"]}
        optional = {name: maker.values(one["schema"]) for name, one in queries.items() if not one["required"]}
        bodies: st.SearchStrategy[Any] = st.none()
        if body is not None:
            bodies = maker.values(body[1])
            if not operation["requestBody"]["required"]:
                bodies |= st.none()

        @examples
        @given(st.fixed_dictionaries(variables), st.fixed_dictionaries(needed, optional=optional), bodies)
        def check(named: dict[str, Any], query: dict[str, Any], sent: Any) -> None:
            _fit(operation["operationId"], query, sent)
            response = http.ask(path, method, named, query, sent, body[0] if body else "")
            refused = response.status == 400 and response.title in SHAPES and "another number" not in str(response.body)
            self.assertFalse(refused or response.status >= 500, (path, method, named, query, shown(sent), response))

        cast(Any, check)()

    def test_bounds(self) -> None:
        """What is at a bound is taken, and what is beyond it, or not of its type, is refused with a 400."""
        http, count = Http(), 0
        for path, method, operation in http.operations():
            body = http.body(operation)
            media_type, schema = body or ("", {})
            sent = http.maker.least(schema) if body else None
            variables, query = http.least(path, method)
            is_pop = "pop" in query
            for name, one in http.parameters(path, method, "query").items():
                if name in NOT_LOOKED_AT or one.get("explode"):
                    continue
                others = {} if is_pop and name == "ids" else query
                kind = one["schema"]["type"]
                for value in http.maker.edges(one["schema"]):
                    response = http.ask(path, method, variables, {**others, name: value}, sent, media_type)
                    with self.noted():
                        self.assertNotEqual(response.status, 400, (path, method, name, value, response.body))
                for value in http.maker.beyond(one["schema"]):
                    if value in ("", [], [""], None, True) or (kind in ("string", "array") and not isinstance(value, list)):
                        continue  # a parameter without a value is none, and all are texts
                    if isinstance(value, list) and not all(isinstance(each, str) for each in value):
                        continue
                    response = http.ask(path, method, variables, {**others, name: value}, sent, media_type)
                    with self.noted():
                        self.assertEqual(response.status, 400, (path, method, name, value, response.body))
                    count += 1
            if body is None:
                continue
            least = http.ask(path, method, variables, query, sent, media_type)
            with self.noted():
                self.assertFalse(least.status == 400 and least.title in SHAPES, (path, method, shown(sent), least.body))
            for value in http.maker.beyond(schema):
                if value is None or _is_taken(value, operation["operationId"]):
                    continue
                response = http.ask(path, method, variables, query, value, media_type)
                with self.noted():
                    self.assertEqual(response.status, 400, (path, method, shown(value), response.body))
                count += 1
        self.look()
        self.assertGreater(count, 300)


def _is_taken(value: Any, operation: str) -> bool:
    """Whether a gateway takes a body, though a description says that it does not fit."""
    text = json.dumps(value)
    as_if_left_out = any(f'"{name}": null' in text for name in ("ttl", "options", "subscriber", "expires"))
    return as_if_left_out or '"delay":' in text or ('"capabilities":' in text and operation == "flavor_update")


class Frames(NotingCase):
    """Over WebSocket; what is a connection's own is in :mod:`tests.descriptions.test_truth`."""

    def setUp(self) -> None:
        super().setUp()
        clock = Clock()
        clock.advance(NOW_S)
        process = memory_process(clock)
        rows = [row for row in build_operations(process.storage, pooling=process.pooling).operations if row.frame]
        self.document = asyncapi(rows, Terms("0"))
        self.maker = Maker(self.document, LEFT_OUT)
        self.session = Session(Actions(rows), ClientIds())
        self.names = [row.name for row in rows]

    def ask(self, action: str, body: Any) -> tuple[int, Any]:
        """The status and the body of the reply."""
        headers = {"Client-ID": CLIENT, "X-Project-ID": PROJECT, "X-ROLES": "admin"}
        payload = json.dumps({"action": action, "headers": headers, "body": body}).encode()
        reply = json.loads(self.successResultOf(Deferred.fromCoroutine(self.session.receive(payload, False).reply())))
        return reply["headers"]["status"], reply["body"]

    def body(self, action: str) -> Any:
        """The schema of the body of a request."""
        camel = "".join(part.capitalize() for part in action.split("_"))
        return self.document["components"]["schemas"][f"{camel}Request"]["properties"]["body"]

    def test_whatever_fits_is_taken(self) -> None:
        """No request that is as it is described is refused for its form."""
        for action in self.names:
            with self.noted():
                self._fits(action)
        self.look()

    def _fits(self, action: str) -> None:
        @examples
        @given(self.maker.values(self.body(action)))
        def check(body: Any) -> None:
            if action == "subscription_create":
                body = {name: body[name] for name in ("queue_name", "ttl", "options") if name in body}
                body["subscriber"] = "http://example.org/"
            if action == "message_delete_many" and "pop" not in body:
                body.pop("wait", None)
            _fit(action, {}, body)
            status, answer = self.ask(action, body)
            missing = any(why in str(answer) for why in ("does not exist", "not under", "another number"))
            self.assertTrue(missing or status not in (400, 500), (action, shown(body), answer))

        cast(Any, check)()

    def test_bounds(self) -> None:
        """What is beyond a bound, or not of its type, is refused with a 400."""
        count = 0
        for action in self.names:
            schema = self.body(action)
            for body in self.maker.beyond(schema):
                if body is None or _is_taken(body, action) or "claim_ids" in json.dumps(body):
                    continue
                given = body if isinstance(body, dict) else {}
                if "" in (given.get(name) for name in ("message_id", "pool_name", "flavor_name")):
                    continue  # there is none, and an action may be told so
                if re.fullmatch(NAME_FORM, str(given.get("queue_name", "q"))) is None and action not in NAMES_CHECKED:
                    continue  # neither is there a queue, and nothing in it
                status, answer = self.ask(action, body)
                with self.noted():
                    self.assertIn(status, (400, 501), (action, shown(body), answer))
                count += 1
        self.look()
        self.assertGreater(count, 200)
