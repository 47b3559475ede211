"""What a description says of requests and answers that were really made.

Answers are held against it strictly: a member, a header or a status that it does not name is wrong.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from copy import deepcopy
from typing import Any
from urllib.parse import unquote, unquote_plus, urlsplit

from attrs import define, field
from jsonschema import Draft202012Validator, FormatChecker
from referencing import Registry
from referencing.jsonschema import DRAFT202012

from tests.helpers import Response
from tests.wire.gateway import HttpConnection, SocketConnection
from zaqar_gateway.descriptions.asyncapi import CHANNEL, asyncapi
from zaqar_gateway.descriptions.openapi import openapi
from zaqar_gateway.descriptions.terms import Terms
from zaqar_gateway.operations.registry import Operation
from zaqar_gateway.transport import protection

ANY_RESPONSE = {
    *("content-type", "content-length", "connection", "date", "server", "transfer-encoding", "keep-alive"),
    *(line.partition(":")[0].lower() for line in (protection.ALWAYS + protection.NO_STORE).decode().splitlines()),
}
"""Headers that belong to HTTP, or to all that is sent by it, and not to the API."""

TAKEN = re.compile(
    r"echo: \$: '\w+' is not of type 'boolean'"  # other spellings of true and false
    r"|Client-ID: \$: '.*' does not match .*"  # and of UUIDs
    r"|\.path: '.*' does not match .*"  # other spellings of it, and what is no key where one is removed
    r"|\.delay: .*"  # dropped where no message of the queue is delayed, whatever it is
    r"|\$\.(ttl|options): None is not of type '\w+'"  # as if it were left out, where a subscription is changed
    r"|\$\.body\.queue_name: '.*' does not match .*"  # there is nothing in it, and an action may be told so
    r"|\$\.headers\['X-Project-ID'\]: '.*' is (too long|not of type .*|expected to .*)",
    re.DOTALL,
)
"""What a description says that is wrong with a request, and the gateway takes all the same: it says what to send, and they take more."""

def closed(node: Any) -> Any:
    """The same schemas, where an object has no members but those that are named."""
    if isinstance(node, list):
        return [closed(one) for one in node]
    if not isinstance(node, dict):
        return node
    found = {key: closed(value) for key, value in node.items()}
    if found.get("type") == "object" and "properties" in found and "additionalProperties" not in found:
        found["additionalProperties"] = False
    return found


class Schemas:
    """The schemas in a document, by where they stand."""

    def __init__(self, document: Any) -> None:
        self._registry = Registry().with_resource("urn:d", DRAFT202012.create_resource(document))
        self._validators: dict[tuple[str, ...], Draft202012Validator] = {}

    def wrong(self, value: Any, *where: str) -> list[str]:
        """What is wrong with a value by the schema at a place."""
        if where not in self._validators:
            pointer = "/".join(part.replace("~", "~0").replace("/", "~1").replace("%", "%25") for part in where)
            schema = {"$ref": f"urn:d#/{pointer}"}
            self._validators[where] = Draft202012Validator(schema, registry=self._registry, format_checker=FormatChecker())
        return [f"{error.json_path}: {error.message[:300]}" for error in self._validators[where].iter_errors(value)]


@define
class HttpJudge:
    """OpenAPI.

    :ivar seen: operations with the statuses that were answered.
    :ivar chosen: operations that stand with another one at their path, and were chosen.
    """

    rows: Iterable[Operation]
    terms: Terms
    seen: set[tuple[str, int]] = field(factory=set)
    document: dict[str, Any] = field(init=False)
    _loose: Schemas = field(init=False)
    _strict: Schemas = field(init=False)
    _paths: list[tuple[re.Pattern[str], str]] = field(init=False)

    def __attrs_post_init__(self) -> None:
        self.document = openapi(self.rows, self.terms)
        self._loose = Schemas(self.document)
        self._strict = Schemas(closed(deepcopy(self.document)))
        by_variables = sorted(self.document["paths"], key=lambda path: path.count("{"))
        self._paths = [(re.compile(re.sub(r"\{(\w+)\}", r"(?P<\1>[^/]*)", path)), path) for path in by_variables]

    def find(self, method: str, target: str) -> tuple[str, Mapping[str, str]] | None:
        """The path of a request in the document, and the values of its variables."""
        path = urlsplit(target).path if target != "/" else target
        for pattern, template in self._paths:
            if (found := pattern.fullmatch(path)) and method.lower() in self.document["paths"][template]:
                return template, found.groupdict()
        return None

    def parameters(self, path: str, method: str) -> list[tuple[tuple[str, ...], dict[str, Any]]]:
        """All parameters of an operation, with where each stands."""
        place = self.document["paths"][path]
        found = []
        for where, held in ((("paths", path), place), (("paths", path, method), place[method])):
            for number, parameter in enumerate(held.get("parameters", ())):
                at: tuple[str, ...] = (*where, "parameters", str(number))
                if "$ref" in parameter:
                    at = tuple(parameter["$ref"].removeprefix("#/").split("/"))
                    parameter = self.document["components"]["parameters"][at[-1]]
                found.append((at, parameter))
        return found

    def wrong_request(self, method: str, target: str, body: Any, headers: Mapping[str, str | None]) -> list[str]:
        """What is wrong with a request that there is an operation for."""
        found = self.find(method, target)
        assert found is not None
        path, variables = found
        method = method.lower()
        query: dict[str, str] = {}
        for part in urlsplit(target).query.split("&"):
            name, _, value = part.partition("=")
            if value:
                query[unquote_plus(name)] = f"{query[name]},{value}" if name in query else value
        given = {name.lower(): value for name, value in headers.items() if value is not None}
        problems = []
        for at, parameter in self.parameters(path, method):
            name, where = parameter["name"], parameter["in"]
            sent = {"path": variables, "query": query, "header": given}[where]
            text = sent.get(name.lower() if where == "header" else name)
            if where == "query" and parameter.get("explode"):
                continue
            if text is None:
                if parameter.get("required"):
                    problems.append(f"{name} is missing")
                continue
            value = _value(text, parameter["schema"], where)
            problems += [f"{name}: {why}" for why in self._loose.wrong(value, *at, "schema")]
        known = self.document["paths"][path][method].get("requestBody")
        if known is not None and body is None and known["required"]:
            problems.append("the body is missing")
        elif known is not None and body is not None:
            media_type, _ = next(iter(known["content"].items()))
            at = ("paths", path, method, "requestBody", "content", media_type, "schema")
            problems += self._loose.wrong(_document(body), *at)
        return problems

    def wrong_response(self, method: str, target: str, response: Response) -> list[str]:
        """What is wrong with a response to such a request."""
        found = self.find(method, target)
        assert found is not None
        path, method, status = found[0], method.lower(), str(response.status)
        operation = self.document["paths"][path][method]
        for name in operation.get("x-operations", [operation["operationId"]]):
            self.seen.add((name, response.status))
        at: tuple[str, ...] = ("paths", path, method, "responses", status)
        told = operation["responses"].get(status)
        if told is None:
            return [f"{status} is not described for {operation['operationId']}: {response.body[:200]!r}"]
        if "$ref" in told:
            at = ("components", "responses", told["$ref"].rpartition("/")[2])
            told = self.document["components"]["responses"][at[-1]]
        problems = []
        sent = {name.decode().lower(): value.decode() for name, value in response.headers}
        described = {name.lower(): header for name, header in told.get("headers", {}).items()}
        problems += [f"header {name} is not described" for name in sent.keys() - described.keys() - ANY_RESPONSE]
        for name, header in described.items():
            if "$ref" in header:
                header = self.document["components"]["headers"][header["$ref"].rpartition("/")[2]]
            if name not in sent:
                if header.get("required"):
                    problems.append(f"header {name} is missing")
                continue
            value = _value(sent[name], header["schema"], "header")
            problems += [why.message for why in Draft202012Validator(header["schema"]).iter_errors(value)]
        if not response.body:
            streams = "text/event-stream" in told.get("content", {})
            if "content" in told and not streams and operation["operationId"] != "ping":
                problems.append("the body is missing")
            return problems
        media_type = sent["content-type"]
        if media_type not in told.get("content", {}):
            return [*problems, f"{media_type} is not described"]
        return problems + self._strict.wrong(response.json, *at, "content", media_type, "schema")


def _value(text: str, schema: Mapping[str, Any], where: str) -> Any:
    if where != "header":
        text = text if schema.get("type") == "array" else unquote(text)
    if schema.get("type") == "integer" and re.fullmatch("[+-]?[0-9]{1,18}", text):
        return int(text)
    if schema.get("type") == "boolean" and text in ("true", "false"):
        return text == "true"
    if schema.get("type") == "array":
        return [unquote(part) for part in text.replace("%2C", ",").split(",") if part]
    return text


def _document(body: Any) -> Any:
    return json.loads(body) if isinstance(body, bytes) else body


@define
class FrameJudge:
    """AsyncAPI.

    :ivar seen: actions with the statuses that were answered; a push has none.
    """

    rows: Iterable[Operation]
    terms: Terms
    seen: set[tuple[str, int]] = field(factory=set)
    document: dict[str, Any] = field(init=False)
    _loose: Schemas = field(init=False)
    _strict: Schemas = field(init=False)

    def __attrs_post_init__(self) -> None:
        self.document = asyncapi(self.rows, self.terms)
        self._loose = Schemas(self.document)
        self._strict = Schemas(closed(deepcopy(self.document)))

    def payload(self, operation: str, *, reply: bool = False) -> tuple[str, ...]:
        """Where the schema of a message of an operation stands."""
        held = self.document["operations"][operation]
        (first, *_) = held["reply"]["messages"] if reply else held["messages"]
        name = first["$ref"].removeprefix(f"#/channels/{CHANNEL}/messages/")
        return ("components", "messages", name, "payload")

    def wrong_request(self, document: Any) -> list[str]:
        """What is wrong with a request for an action that there is."""
        return self._loose.wrong(document, *self.payload(document["action"]))

    def wrong_reply(self, document: Any) -> list[str]:
        """What is wrong with a reply."""
        action = document["request"]["action"]
        if action not in self.document["operations"]:
            action = "refuse"
            problems = self._strict.wrong(document, *self.payload(action))
        else:
            problems = self._strict.wrong(document, *self.payload(action, reply=True))
        self.seen.add((action, document["headers"]["status"]))
        return problems

    def wrong_push(self, document: Any, operation: str) -> list[str]:
        """What is wrong with a push."""
        self.seen.add((operation, 0))
        return self._strict.wrong(document, *self.payload(operation))


@define
class HttpWitness:
    """A connection whose requests and responses are judged.

    :ivar problems: what was wrong.
    """

    _connection: HttpConnection
    _judge: HttpJudge
    problems: list[str]

    async def ask(
        self, method: str, target: str, body: Any = None, headers: Mapping[str, str | None] | None = None, *, bare: bool = False
    ) -> Response:
        """See :meth:`tests.wire.gateway.HttpConnection.ask`."""
        response = await self._connection.ask(method, target, body, headers, bare=bare)
        self.told(method, target, body, headers or {}, response, bare=bare)
        return response

    def told(
        self, method: str, target: str, body: Any, headers: Mapping[str, str | None], response: Response, *, bare: bool = False
    ) -> None:
        """Judge a request and its response."""
        if self._judge.find(method, target) is None:
            if response.status not in (200, 404, 405) or (response.status == 200 and method != "OPTIONS"):
                self.problems.append(f"{method} {target} is not described, and answered with {response.status}")
            return
        sent: dict[str, str | None] = {} if bare else {"Client-ID": "3381af92-2b9e-11e3-b191-71861300734c", "X-Project-ID": "p"}
        wrong = self._judge.wrong_response(method, target, response)
        if response.status < 400:
            asked = self._judge.wrong_request(method, target, body, {**sent, **headers})
            wrong += [f"accepted: {why}" for why in asked if not TAKEN.search(why)]
        self.problems += [f"{method} {target} {body}: {response.status}: {why}" for why in wrong]


@define
class FrameWitness:
    """A WebSocket whose requests and replies are judged.

    :ivar problems: what was wrong.
    """

    _connection: SocketConnection
    _judge: FrameJudge
    problems: list[str]

    async def ask(self, document: Any) -> Any:
        """See :meth:`tests.wire.gateway.SocketConnection.ask`."""
        reply = await self._connection.ask(document)
        self.told(reply)
        return reply

    async def ask_packed(self, document: Any) -> Any:
        """The same with MessagePack."""
        reply = await self._connection.ask_packed(document)
        self.told(reply)
        return reply

    def told(self, reply: Any) -> None:
        """Judge a reply, and the request that it repeats."""
        wrong = self._judge.wrong_reply(reply)
        asked = {name: value for name, value in reply["request"].items() if name != "api"}
        if reply["headers"]["status"] < 400 and asked["action"] != "authenticate":
            wrong += [f"accepted: {why}" for why in self._judge.wrong_request(asked) if not TAKEN.search(why)]
        self.problems += [f"{json.dumps(reply)[:400]}: {why}" for why in wrong]
