"""AsyncAPI 3.0 of the WebSocket protocol, from the rows of the registry."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Union, get_args, get_type_hints
from urllib.parse import urlsplit

import msgspec
from msgspec import UnsetType

from zaqar_gateway import errors
from zaqar_gateway.descriptions import shapes
from zaqar_gateway.descriptions.members import members
from zaqar_gateway.descriptions.operations import Answer, Described, described
from zaqar_gateway.descriptions.schemas import Schema, Schemas, name_of, structure
from zaqar_gateway.descriptions.tags import SERVICE, TAGS, tag_of
from zaqar_gateway.descriptions.terms import Terms
from zaqar_gateway.live.frames import End, Gap, MessageSent
from zaqar_gateway.operations.registry import Frame, Operation
from zaqar_gateway.push.payload import Notification
from zaqar_gateway.transport.status import told_kind
from zaqar_gateway.transport.websocket import codec

JSON, MSGPACK = "application/json", "application/vnd.msgpack"

CHANNEL = "socket"

_PUSHES: tuple[tuple[str, type[msgspec.Struct], str], ...] = (
    ("notification", Notification, "Tell a WebSocket that has subscribed itself of a message."),
    ("live_message", MessageSent, "Send a live subscription a message, or a worker one that is claimed for it."),
    ("live_gap", Gap, "Tell a live subscription that messages are gone that were not sent."),
    ("live_end", End, "Tell a WebSocket that a live subscription of it is over."),
    ("authentication_expires", shapes.AuthenticationExpires, "Tell a WebSocket that its token ends soon."),
)
"""What comes without having been asked for: name, form, and a sentence."""

_TEXT = """\
The OpenStack Messaging API v2 (Zaqar) over WebSocket, as this gateway serves it with its settings.

A request is a frame with action, headers and body. It is answered by one frame, which repeats it under request; answers come in the \
order of the requests. What has no request was not asked for: it belongs to a subscription, or tells that a token ends. A frame of \
text is JSON and one of bytes is MessagePack, and an answer is in the form of its request, a push in that of the last request to \
subscribe. A frame that cannot be read is answered with 400, and with the parts of the request that could be.

The gateway closes a connection with 1001 when it stops, 1008 where a bound for clients is passed, 1009 behind a message that is \
too large, 1013 where pushes were lost, and 4003 when the token has ended."""

_ANYWHERE = (
    errors.BadRequest,
    errors.Unauthorized,
    errors.Forbidden,
    errors.TooManyRequests,
    errors.GatewayError,
    errors.StoreUnavailable,
)


def asyncapi(rows: Iterable[Operation], terms: Terms) -> dict[str, Any]:
    """The document.

    :param rows: those that are served.
    :raises KeyError: nothing is said of one of them; the text says where to say it.
    """
    return _Writer(terms).document([row for row in rows if row.frame is not None])


class _Writer:
    def __init__(self, terms: Terms) -> None:
        self._terms = terms
        self._schemas = Schemas(members(terms), "#/components/schemas/", "frame")
        self._messages: dict[str, Any] = {}
        self._operations: dict[str, Any] = {}

    def document(self, rows: list[Operation]) -> dict[str, Any]:
        terms = self._terms
        for row in rows:
            assert row.frame is not None
            said = described(row.name)
            asked = self._request(row.name, codec.Headers, self._body(row, row.frame, said))
            self._action(row.name, said, asked, self._reply(row.name, said), row.rule)
        said = described(codec.AUTHENTICATE)
        asked = self._request(codec.AUTHENTICATE, codec.AuthenticateHeaders, {"type": "object"})
        self._action(codec.AUTHENTICATE, said, asked, self._reply(codec.AUTHENTICATE, said))
        for name, kind, text in _PUSHES:
            self._operations[name] = {
                "action": "send",
                "channel": {"$ref": f"#/channels/{CHANNEL}"},
                "summary": text,
                "tags": [{"name": "push"}],
                "messages": self._message(name, text, self._schemas.of(kind)),
            }
        refused = self._frame_schema("Refused", self._echo(None), [self._failed((400,))])
        self._operations["refuse"] = {
            "action": "send",
            "channel": {"$ref": f"#/channels/{CHANNEL}"},
            "summary": "Answer a frame that cannot be read, or that names no action.",
            "tags": [{"name": SERVICE}],
            "messages": self._message("refused", "What was wrong with a frame.", refused),
        }
        used = {tag["name"] for one in self._operations.values() for tag in one["tags"]}
        tags = {**TAGS, "push": "What comes without having been asked for."}
        return {
            "asyncapi": "3.0.0",
            "info": {
                "title": "zaqar-gateway",
                "version": terms.version,
                "description": _TEXT,
                "license": {"name": "Apache License 2.0", "url": "https://www.apache.org/licenses/LICENSE-2.0"},
                "tags": [{"name": name, "description": text} for name, text in tags.items() if name in used],
            },
            "defaultContentType": JSON,
            "servers": {f"websocket{number}": self._server(url) for number, url in enumerate(terms.websocket_urls, 1)},
            "channels": {
                CHANNEL: {
                    "address": "/",
                    "title": "A WebSocket",
                    "description": f"Any path will do. A message has at most {terms.frame_max} bytes.",
                    "messages": {name: {"$ref": f"#/components/messages/{name}"} for name in self._messages},
                    "bindings": {"ws": {"method": "GET", "bindingVersion": "0.1.0"}},
                }
            },
            "operations": self._operations,
            "components": {"messages": self._messages, "schemas": self._schemas.components},
        }

    def _server(self, url: str) -> dict[str, Any]:
        parts = urlsplit(url)
        return {"host": parts.netloc, "protocol": parts.scheme, "pathname": parts.path or "/"}

    # -- messages ------------------------------------------------------------------------------------------------------

    def _action(self, name: str, said: Described, asked: Schema, answered: Schema, rule: str = "") -> None:
        made: dict[str, Any] = {
            "action": "receive",
            "channel": {"$ref": f"#/channels/{CHANNEL}"},
            "summary": said.summary,
        }
        if text := said.more(self._terms.signs, rule):
            made["description"] = text
        self._operations[name] = {
            **made,
            "tags": [{"name": tag_of(name)}],
            "messages": self._message(name, said.summary, asked),
            "reply": {
                "channel": {"$ref": f"#/channels/{CHANNEL}"},
                "messages": self._message(f"{name}.reply", f"The answer to {name}.", answered),
            },
        }

    def _message(self, name: str, text: str, payload: Schema) -> list[dict[str, str]]:
        """Keep a message, which is JSON or MessagePack; the references to both."""
        for named, media_type in ((name, JSON), (f"{name}.msgpack", MSGPACK)):
            self._messages[named] = {"name": name, "summary": text, "contentType": media_type, "payload": payload}
        return [{"$ref": f"#/channels/{CHANNEL}/messages/{named}"} for named in (name, f"{name}.msgpack")]

    def _request(self, name: str, headers: type[msgspec.Struct], body: Schema) -> Schema:
        properties = {
            "action": {"const": name, "description": "What is asked for."},
            "headers": {"description": "Who asks.", **self._headers(headers)},
            "body": {"description": "The fields.", **body},
        }
        needed = ["action", "headers"]
        if body.get("required"):
            needed.append("body")
        return self._schemas.component(_camel(name) + "Request", lambda: structure(properties, needed))

    def _headers(self, kind: type[msgspec.Struct]) -> Schema:
        schema = self._schemas.of(kind, sent=False)
        properties = self._schemas.components[name_of(kind)]["properties"]
        if not self._terms.signs:
            for name in [name for name in properties if name.startswith("URL-")]:
                del properties[name]
        if self._terms.authenticates:
            for name in ("X-ROLES", "X-USER-ID"):
                properties.pop(name, None)
        return schema

    def _body(self, row: Operation, frame: Frame, said: Described) -> Schema:
        body = codec.body_type(row, frame)
        hints, kinds, needed = get_type_hints(body), {}, []
        if frame.at_once is not None:  # which has the type of what is in it
            member, as_field = frame.at_once
            hints[member] = get_type_hints(row.fields)[as_field]
        names = frame.only or body.__struct_fields__
        for field in msgspec.structs.fields(body):
            if field.name in names:
                kinds[field.name] = Union[tuple(_kinds(hints[field.name]))]  # noqa: UP007
                if field.required:
                    needed.append(field.name)
        schema = self._schemas.fields(row.fields, kinds, needed)
        for name, value in said.together.items():
            schema[name] = sorted({*schema.get(name, ()), *value}) if name == "required" else value
        if row.fields.__struct_config__.forbid_unknown_fields:
            schema["additionalProperties"] = False
        return schema

    # -- answers -------------------------------------------------------------------------------------------------------

    def _reply(self, name: str, said: Described) -> Schema:
        ways = [self._answered(answer) for answer in said.frame]
        statuses = {told_kind(kind).websocket for kind in (*_ANYWHERE, *said.errors)} | ({401} if name == codec.AUTHENTICATE else set())
        ways.append(self._failed(tuple(sorted(statuses - {answer.status for answer in said.frame}))))
        return self._frame_schema(_camel(name) + "Reply", self._echo(name), ways)

    def _answered(self, answer: Answer) -> Schema:
        schema = self._schemas.of(answer.shape)
        return {
            "description": answer.text,
            "properties": {"headers": {"properties": {"status": {"const": answer.status}}}, "body": schema},
        }

    def _failed(self, statuses: tuple[int, ...]) -> Schema:
        return {
            "description": "It could not be done.",
            "properties": {
                "headers": {"properties": {"status": {"enum": list(statuses)}}},
                "body": self._schemas.of(shapes.FrameError),
            },
        }

    def _echo(self, name: str | None) -> Schema:
        action: Schema = {"description": "The action."} if name is None else {"const": name, "description": "The action."}
        properties = {
            "action": action,
            "headers": {"description": "The headers of the request."},
            "body": {"description": "The body of the request."},
            "api": {"const": "v2", "description": "The version of the API."},
        }
        return structure(properties, properties)

    def _frame_schema(self, name: str, echo: Schema, ways: list[Schema]) -> Schema:
        status = {"status": {"type": "integer", "description": "The status, of HTTP's."}}
        properties = {
            "request": {"description": "What was asked.", **echo},
            "headers": {"description": "What came of it.", **structure(status, status)},
            "body": {"description": "The answer."},
        }
        return self._schemas.component(name, lambda: structure(properties, properties) | {"oneOf": ways})


def _kinds(hint: Any) -> list[Any]:
    """The types that a field may have where it is there."""
    return [kind for kind in get_args(hint) if kind is not UnsetType] if UnsetType in get_args(hint) else [hint]


def _camel(name: str) -> str:
    return "".join(part.capitalize() for part in name.split("_"))
