"""OpenAPI 3.1 of the HTTP API, from the rows of the registry."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any, get_type_hints

import msgspec

from zaqar_gateway import errors
from zaqar_gateway.descriptions import shapes
from zaqar_gateway.descriptions.members import members
from zaqar_gateway.descriptions.operations import Answer, Described, described, whole
from zaqar_gateway.descriptions.schemas import Schema, Schemas, structure
from zaqar_gateway.descriptions.tags import SERVICE, TAGS, tag_of
from zaqar_gateway.descriptions.terms import Terms
from zaqar_gateway.limits import PROJECT_LENGTH_MAX
from zaqar_gateway.live.frames import End, Gap
from zaqar_gateway.operations.registry import Body, Http, Operation, field_of
from zaqar_gateway.operations.urls import SHARED
from zaqar_gateway.transport.http.answers import ROUTER_TITLES
from zaqar_gateway.transport.http.arguments import Arguments
from zaqar_gateway.transport.http.events import IDENTIFYING, RETRY_MS
from zaqar_gateway.transport.status import INTERNAL, titles, told_kind

_JSON = "application/json"
_UUID = "^[0-9A-Fa-f]{8}-?([0-9A-Fa-f]{4}-?){3}[0-9A-Fa-f]{12}$"

_TEXT = """\
The OpenStack Messaging API v2 (Zaqar) over HTTP, as this gateway serves it with its settings.

Besides what stands here: every path answers OPTIONS with the header Allow, and a path is 405 for a method that it has not. JSON has \
to be UTF-8, with integers of 64 bits that are written without a fraction (60, and not 60.0), and at most 200 levels of nesting. A member or parameter that is not known is ignored, \
where nothing else is said. What is wrong with a request before it is understood at all (a line or headers that are too long, a \
request that takes too long) is answered with the same document as other errors, and the connection is closed."""

_HEADERS: Mapping[str, tuple[str, Schema]] = {
    "X-OpenStack-Request-ID": ("The id of the request, for the log.", {"type": "string"}),
    "Location": ("The path of what was made or changed.", {"type": "string"}),
    "Content-Location": ("What was asked for.", {"type": "string"}),
    "Idempotency-Replayed": ("All messages were posted before, under their keys.", {"const": "true"}),
    "Retry-After": ("After how many seconds another try makes sense.", {"type": "integer", "minimum": 0}),
    "WWW-Authenticate": ("Where tokens come from.", {"type": "string"}),
    "Cache-Control": ("For how long it may be kept.", {"type": "string"}),
    "X-Accel-Buffering": ("Has a proxy pass on what there is.", {"type": "string"}),
    "Vary": ("What else would give another answer.", {"type": "string"}),
}

_SIGNATURE = {
    "URL-Signature": "The signature of a pre-signed URL.",
    "URL-Expires": "Until when it is good.",
    "URL-Methods": "The methods that it gives, with commas between them.",
    "URL-Paths": "The paths that it gives, with commas between them.",
}
_TOKEN = "X-Auth-Token"

_QUERY = {
    "signature": _SIGNATURE["URL-Signature"],
    "expires": _SIGNATURE["URL-Expires"],
    "methods": _SIGNATURE["URL-Methods"],
    "paths": _SIGNATURE["URL-Paths"],
}

_STATUS_TEXT = {
    400: "Something in the request is wrong; repeating it unchanged cannot succeed.",
    401: "The token is missing or not good.",
    403: "It is not allowed, is held by somebody else, or would be more than there may be.",
    404: "It does not exist.",
    406: "The client takes no JSON.",
    409: "It contradicts what is stored.",
    415: "The body is of another media type than the one that is accepted.",
    429: "More than there may be in a time, or at one time.",
    500: "The service failed; the cause is in its log.",
    503: "The store is away or busy, or the gateway has all the requests that it may have.",
}
_ANYWHERE = (
    errors.BadRequest,
    errors.TooManyRequests,
    errors.GatewayError,
    errors.StoreUnavailable,
)
"""Kinds of errors that every operation may have."""


def openapi(rows: Iterable[Operation], terms: Terms) -> dict[str, Any]:
    """The document.

    :param rows: those that are served.
    :raises KeyError: nothing is said of one of them; the text says where to say it.
    """
    return _Writer(terms).document([row for row in rows if row.http is not None])


class _Writer:
    def __init__(self, terms: Terms) -> None:
        self._terms = terms
        self._schemas = Schemas(members(terms), "#/components/schemas/", "http")
        self._responses: dict[str, Any] = {}
        self._has_links = terms.signs

    def document(self, rows: list[Operation]) -> dict[str, Any]:
        terms = self._terms
        paths: dict[str, dict[str, Any]] = {
            "/": {"get": self._fixed("versions", public=True)},
            "/v2/": {"get": self._fixed("home")},
        }
        for row in rows:
            assert row.http is not None
            place = paths.setdefault(row.http.path, {})
            if variables := [name for name in row.http.path.split("/") if name[:1] == "{"]:
                place.setdefault("parameters", [self._variable(row, name[1:-1]) for name in variables])
            method = row.http.method.lower()
            if row.http.when:
                self._choice(place[method], row, row.http)
            else:
                place[method] = self._operation(row, row.http)
        paths["/v2/ping"]["head"] = self._fixed("ping_head")
        if not terms.checksums:
            for schema in self._schemas.components.values():
                schema.get("properties", {}).pop("checksum", None)
        used = {tag for place in paths.values() for one in place.values() if isinstance(one, dict) for tag in one["tags"]}
        components: dict[str, Any] = {
            "schemas": self._schemas.components,
            "responses": dict(sorted(self._responses.items())),
            "parameters": self._parameters(),
            "headers": {
                name: {"description": text, "required": True, "schema": schema} for name, (text, schema) in _HEADERS.items()
            },
        }
        if schemes := self._schemes():
            components["securitySchemes"] = schemes
        return {
            "openapi": "3.1.0",
            "info": {
                "title": "zaqar-gateway",
                "version": terms.version,
                "summary": "OpenStack Messaging (Zaqar v2) over HTTP.",
                "description": _TEXT,
                "license": {"name": "Apache License 2.0", "identifier": "Apache-2.0"},
            },
            "jsonSchemaDialect": "https://json-schema.org/draft/2020-12/schema",
            "servers": [{"url": url} for url in terms.http_urls] or [{"url": "/"}],
            "security": self._security(False),
            "tags": [{"name": name, "description": text} for name, text in TAGS.items() if name in used],
            "paths": paths,
            "components": components,
        }

    # -- who asks ------------------------------------------------------------------------------------------------------

    def _schemes(self) -> dict[str, Any]:
        schemes = {}
        if self._terms.authenticates:
            text = "A token of Keystone, for a project."
            schemes[_TOKEN] = {"type": "apiKey", "in": "header", "name": _TOKEN, "description": text}
        if self._terms.signs:
            for name, text in _SIGNATURE.items():
                schemes[name] = {"type": "apiKey", "in": "header", "name": name, "description": text}
        return schemes

    def _security(self, is_shared: bool) -> list[dict[str, Any]]:
        ways: list[dict[str, Any]] = [{_TOKEN: []} if self._terms.authenticates else {}]
        if is_shared:
            ways.append({name: [] for name in _SIGNATURE})
        return ways

    def _parameters(self) -> dict[str, Any]:
        terms = self._terms
        # A pattern in place of the format: clients that are generated need not make UUIDs into texts, and validators look at it.
        client: Schema = {"type": "string", "pattern": _UUID, "examples": ["3381af92-2b9e-11e3-b191-71861300734c"]}
        who = "A UUID that names the client, so that it can be told from others."
        if not terms.strict_client_ids:
            who = "Names the client, so that it can be told from others."
            client = {"type": "string", "minLength": terms.client_id_min, "maxLength": terms.client_id_max}
        project: Schema = {"type": "string", "minLength": 1, "maxLength": PROJECT_LENGTH_MAX}
        found = {
            "Client-ID": _header("Client-ID", who, client, True),
            "Client-ID-of-page": _header("Client-ID", "Needed here or as client_id.", client, False),
        }
        if not terms.authenticates:
            found["X-Project-ID"] = _header("X-Project-ID", "The project.", project, True)
            found["X-Project-ID-of-page"] = _header("X-Project-ID", "Needed here or as project_id.", project, False)
            found["X-ROLES"] = _header("X-ROLES", "The client's roles, with commas between them.", {"type": "string"}, False)
            found["X-USER-ID"] = _header("X-USER-ID", "The client's user.", {"type": "string"}, False)
        elif terms.signs:
            text = "The project of a pre-signed URL; the token says which it is otherwise."
            found["X-Project-ID"] = _header("X-Project-ID", text, project, False)
            found["X-Project-ID-of-page"] = _header("X-Project-ID", text, project, False)
        return found

    def _identity(self, of_page: bool) -> list[dict[str, Any]]:
        known, found = self._parameters(), []
        for name in ("Client-ID", "X-Project-ID", "X-ROLES", "X-USER-ID"):
            named = f"{name}-of-page" if of_page and f"{name}-of-page" in known else name
            if named in known:
                found.append({"$ref": f"#/components/parameters/{named}"})
        return found

    # -- operations ----------------------------------------------------------------------------------------------------

    def _fixed(self, name: str, public: bool = False) -> dict[str, Any]:
        """What stands at its place without an operation."""
        said = described(name)
        kinds = (errors.BadRequest, errors.TooManyRequests, errors.GatewayError, errors.Overloaded)
        return {
            "operationId": name,
            "summary": said.summary,
            "tags": [SERVICE],
            **({"security": []} if public else {"parameters": self._identity(False)}),
            "responses": self._answers(said.http) | self._errors(kinds, is_public=public),
        }

    def _operation(self, row: Operation, http: Http) -> dict[str, Any]:
        said = described(row.name)
        arguments = Arguments(row, http, self._terms.limits)
        is_page = bool(http.produces)
        parameters = self._identity(is_page) + self._query(row, http, arguments) + self._headers(row, http)
        if is_page:
            parameters += self._of_page()
        made: dict[str, Any] = {"operationId": row.name, "summary": said.summary}
        if text := said.more(self._terms.signs, row.rule):
            made["description"] = text
        made |= {"tags": [tag_of(row.name)], "parameters": parameters}
        if http.body is not Body.NONE:
            made["requestBody"] = self._body(row, http, arguments, said)
        kinds = (*_ANYWHERE, errors.Forbidden, *said.errors, *said.http_errors)
        is_shared = self._has_links and _is_shared(http)
        if is_shared:
            made["security"] = self._security(True)
        responses = self._answers(said.http)
        if is_page:
            responses["200"]["content"] = {http.produces: self._stream()}
        made["responses"] = responses | self._errors(kinds, is_shared=is_shared, takes=http.media_type)
        return made

    def _choice(self, place: dict[str, Any], row: Operation, http: Http) -> None:
        """Add to an operation what another one brings that has its path and method, and is chosen by a parameter."""
        said = described(row.name)
        parameters = self._query(row, http, Arguments(row, http, self._terms.limits))
        for parameter in parameters:
            parameter["required"] = False
            parameter["description"] += " Nothing else in the query is looked at, then."
        place["parameters"] += parameters
        place["description"] += f" With {http.when} it is {row.name}: {said.summary[0].lower()}{said.summary[1:]}"
        place["x-operations"] = [place["operationId"], row.name]
        responses = self._answers(said.http) | self._errors(said.errors + said.http_errors, alone=True)
        for status, response in responses.items():
            known = place["responses"].setdefault(status, response)
            assert status[0] != "2" or known["content"] == response["content"], row.name
        place["responses"] = dict(sorted(place["responses"].items()))

    def _variable(self, row: Operation, name: str) -> dict[str, Any]:
        field = field_of(name)
        schema = self._schemas.member(row.fields.__name__, name if field != name else field, str)
        return {"name": name, "in": "path", "required": True, **_apart(schema)}

    def _query(self, row: Operation, http: Http, arguments: Arguments) -> list[dict[str, Any]]:
        hints, found = get_type_hints(row.fields), []
        known = {field.name: field for field in msgspec.structs.fields(row.fields)}
        for name, field in http.query.items():
            schema = self._schemas.member(row.fields.__name__, field, hints[field])
            if isinstance(default := known[field].default, bool):
                schema["default"] = default
            parameter = {"name": name, "in": "query", "required": known[field].required, **_apart(schema)}
            if schema.get("type") == "array":
                parameter |= {"style": "form", "explode": False}
            found.append(parameter)
        if http.rest:
            schema = self._schemas.member(row.fields.__name__, http.rest, hints[http.rest])
            found.append({"name": http.rest, "in": "query", "style": "form", "explode": True, "required": False, **_apart(schema)})
        return found

    def _headers(self, row: Operation, http: Http) -> list[dict[str, Any]]:
        return [
            {"name": name, "in": "header", "required": False, **_apart(self._schemas.member(row.fields.__name__, field, str))}
            for name, field in http.headers.items()
        ]

    def _of_page(self) -> list[dict[str, Any]]:
        """What a page puts into the query of a stream, since its EventSource has no headers."""
        headers = {header: name for name, header in IDENTIFYING.items()}
        found = []
        if self._terms.signs:
            found = [
                {"name": name, "in": "query", "required": False, "description": text, "schema": {"type": "string"}}
                for name, text in _QUERY.items()
            ]
        known = self._parameters()
        for name in ("X-Project-ID", "Client-ID"):
            if name in known:
                found.append(
                    {
                        **known[name],
                        "name": headers[name.lower().encode()],
                        "in": "query",
                        "required": False,
                        "description": f"In place of {name}.",
                    }
                )
        return found

    def _stream(self) -> dict[str, Any]:
        events = {
            "message": self._schemas.of(shapes.Message),
            "gap": structure({name: self._schemas.member("Gap", name, get_type_hints(Gap)[name]) for name in ("after", "continues_at")}),
            "end": structure({"reason": self._schemas.member("End", "reason", get_type_hints(End)["reason"])}),
        }
        for name in ("gap", "end"):
            events[name]["required"] = sorted(events[name]["properties"])
        text = (
            f"Events as the HTML standard has them, with JSON as data. It begins with retry: {RETRY_MS} and the id of the place at which"
            " it begins. An event message has a message and its id, gap says that messages are gone, end that the stream"
            " ends."
        )
        return {"schema": {"type": "string", "description": text}, "x-events": events}

    def _body(self, row: Operation, http: Http, arguments: Arguments, said: Described) -> dict[str, Any]:
        schemas, owner = self._schemas, row.fields
        text = f"At most {arguments.body_limit} bytes."
        if http.body is Body.WHOLE:
            is_needed = http.whole in http.needed
            return _content(whole(row.name, schemas), text, is_needed, http.media_type or _JSON)
        hints = get_type_hints(owner)
        kinds = {name: hints[http.at_once.get(name, name)] for name in arguments.members}
        known = {field.name: field for field in msgspec.structs.fields(owner)}
        needed = [name for name in kinds if name in http.needed or known[name].required]
        schema = schemas.fields(owner, kinds, needed)
        for rule in (said.together, said.http_together):
            schema |= {key: sorted({*schema.get(key, ()), *value}) if key == "required" else value for key, value in rule.items()}
        if http.closed:
            schema["additionalProperties"] = False
        must = http.body is Body.REQUIRED or bool(said.together or said.http_together)
        return _content(schema, text, must, _JSON)

    # -- answers -------------------------------------------------------------------------------------------------------

    def _answers(self, answers: Iterable[Answer]) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for answer in answers:
            response = {"description": answer.text, "headers": _with_id(answer.headers)}
            if answer.shape is not None:
                response["content"] = {answer.media_type: {"schema": self._schemas.of(answer.shape)}}
            found[str(answer.status)] = response
        return found

    def _errors(
        self,
        kinds: Iterable[type[errors.GatewayError]],
        *,
        is_public: bool = False,
        is_shared: bool = False,
        takes: str = "",
        alone: bool = False,
    ) -> dict[str, Any]:
        statuses = {told_kind(kind).http for kind in kinds}
        if not alone:
            statuses.add(406)
        if takes:
            statuses.add(415)
        if self._terms.authenticates and not is_public and not alone:
            statuses.add(401)
        if is_shared or (self._has_links and not alone):
            statuses.add(404)  # a signature that does not give what is asked for
        return {str(status): self._error(status) for status in sorted(statuses)}

    def _error(self, status: int) -> dict[str, Any]:
        name = f"Error{status}"
        if name not in self._responses:
            headers = ["Vary?"]  # a ping that says that the store is away has neither that nor a body
            if status == 401:
                headers = ["WWW-Authenticate"]
            elif status == 429:
                headers.append("Retry-After")
            elif status == 503:
                headers.append("Retry-After?")
            elif status == 409:
                headers.append("Location?")
            schema = self._schemas.of(shapes.Unauthorized if status == 401 else shapes.Error)
            content: dict[str, Any] = {"schema": schema}
            if status != 401:
                known = titles(status)
                if status in ROUTER_TITLES:
                    known.append(ROUTER_TITLES[status])
                if status == INTERNAL.http:
                    known = [INTERNAL.title]
                content["examples"] = {
                    re.sub("[^A-Za-z0-9]+", "_", title): {"value": {"title": title, "description": "..."}} for title in known
                }
            self._responses[name] = {
                "description": _STATUS_TEXT[status],
                "headers": _with_id(tuple(headers)),
                "content": {_JSON: content},
            }
        return {"$ref": f"#/components/responses/{name}"}


def _is_shared(http: Http) -> bool:
    """Whether a pre-signed URL may give it."""
    parts = http.path.split("/")
    return len(parts) > 4 and (parts[4] in SHARED or http.shared_as in SHARED)


def _header(name: str, text: str, schema: Schema, must: bool) -> dict[str, Any]:
    return {"name": name, "in": "header", "required": must, "description": text, "schema": schema}


def _apart(schema: Schema) -> dict[str, Any]:
    """A parameter's description, and its schema."""
    schema = dict(schema)
    return {"description": schema.pop("description"), "schema": schema}


def _content(schema: Schema, text: str, must: bool, media_type: str) -> dict[str, Any]:
    return {"description": text, "required": must, "content": {media_type: {"schema": schema}}}


def _with_id(names: tuple[str, ...]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name in ("X-OpenStack-Request-ID", *names):
        if name.endswith("?"):
            text, schema = _HEADERS[name[:-1]]
            found[name[:-1]] = {"description": text, "schema": schema}
        else:
            found[name] = {"$ref": f"#/components/headers/{name}"}
    return found

