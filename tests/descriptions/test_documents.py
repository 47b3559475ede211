"""The descriptions are well formed, whatever the settings, and leave nothing out."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

from attrs import evolve
from jsonschema import Draft202012Validator
from openapi_spec_validator import OpenAPIV31SpecValidator
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from tests.helpers import build_operations
from tests.pooling import memory_process
from zaqar_gateway import config
from zaqar_gateway.describing import KINDS, description, rows_of, terms_of
from zaqar_gateway.descriptions.asyncapi import CHANNEL, JSON, MSGPACK, asyncapi
from zaqar_gateway.descriptions.openapi import openapi
from zaqar_gateway.descriptions.operations import DESCRIBED, WHOLE
from zaqar_gateway.operations.registry import NOT_IMPLEMENTED, Body
from zaqar_gateway.transport.http.resources import Place
from zaqar_gateway.transport.websocket.codec import AUTHENTICATE, Actions

MEMORY = {"storage.uri": "memory:"}
KEYSTONE = {
    "auth_strategy": "keystone",
    "keystone_authtoken.www_authenticate_uri": "http://k:5000",
    "keystone_authtoken.auth_url": "http://k:5000",
    "keystone_authtoken.username": "z",
    "keystone_authtoken.password": "z",
    "keystone_authtoken.project_name": "service",
}
SETTINGS: dict[str, dict[str, Any]] = {
    "none": {},
    "all": {"admin_mode": True, "pooling": True, "signed_url.secret_key": "s", "enable_checksum": True},
    "keystone": KEYSTONE,
    "keystone and signatures": {**KEYSTONE, "signed_url.secret_key": "s", "transport.client_id_uuid_safe": "off"},
    "limits": {"transport.max_messages_per_page": 7, "transport.max_claim_ttl": 100, "transport.default_claim_ttl": 90},
    "pools": {"pooling": True},
}


def settings(name: str) -> config.Settings:
    """Settings under a name of :data:`SETTINGS`."""
    return config.load(None, {}, {**MEMORY, **SETTINGS[name]})


def document(kind: str, name: str = "all") -> Any:
    """A description, as it is printed."""
    return json.loads(description(kind, settings(name)))


def walk(node: Any, where: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    """All objects of a document, with where each stands."""
    if isinstance(node, dict):
        yield where, node
        for key, value in node.items():
            yield from walk(value, (*where, key))
    elif isinstance(node, list):
        for number, value in enumerate(node):
            yield from walk(value, (*where, str(number)))


def places(place: Place, path: str = "") -> Iterator[tuple[str, Place]]:
    """All places of a site below one, with their paths."""
    yield path, place
    for name, below in place.children.items():
        yield from places(below, f"{path}/{name.decode()}")
    if place.variable is not None:
        yield from places(place.variable, f"{path}/{{}}")


class Documents(SynchronousTestCase):
    """Both kinds, with several settings."""

    def test_openapi(self) -> None:
        """OpenAPI is that of its specification, 3.1."""
        for name in SETTINGS:
            found = document("openapi", name)
            self.assertEqual(found["openapi"], "3.1.0")
            problems = [error.message for error in OpenAPIV31SpecValidator(found).iter_errors()]
            self.assertEqual(problems, [], name)

    def test_schemas(self) -> None:
        """Each schema is one of JSON Schema, draft 2020-12."""
        for kind in KINDS:
            found = document(kind)
            for name, schema in found["components"]["schemas"].items():
                Draft202012Validator.check_schema(schema)
                self.assertTrue(schema, name)

    def test_references(self) -> None:
        """Every reference leads somewhere, and every component is referred to."""
        for kind in KINDS:
            for name in SETTINGS:
                found = document(kind, name)
                used = {node["$ref"] for _, node in walk(found) if "$ref" in node}
                for reference in used:
                    at = found
                    for part in reference.removeprefix("#/").split("/"):
                        at = at[part]
                for group in ("schemas", "responses", "messages"):
                    for component in found["components"].get(group, ()):
                        known = (f"#/components/{group}/{component}", f"#/channels/{CHANNEL}/messages/{component}")
                        self.assertTrue(used.intersection(known), component)

    def test_same_again(self) -> None:
        """The same settings give the same bytes."""
        for kind in KINDS:
            self.assertEqual(description(kind, settings("all")), description(kind, settings("all")))

    def test_texts(self) -> None:
        """Each parameter, header and member has a description, which is a sentence; each operation has a summary."""
        for kind in KINDS:
            found = document(kind)
            for where, node in walk(found):
                if where[-1:] == ("properties",) and "examples" not in where:
                    for name, member in node.items():
                        if len(where) > 1 and where[1] in ("schemas", "messages") and "oneOf" in where:
                            continue  # says more of a member that is described elsewhere
                        if {"not", "if"}.intersection(where):
                            continue  # a condition
                        self.assertTrue(member.get("description", "") or set(member) == {"$ref"}, (where, name))
                if where[-2:-1] == ("parameters",) and "$ref" not in node:
                    self.assertRegex(node["description"], r"^[A-Za-z].+\.$", node)
                if "operationId" in node:
                    self.assertRegex(node["summary"], r"^[A-Z].+[.]$")

    def test_names_of_types(self) -> None:
        """Nothing of how the gateway is made is told: no reference to its modules or to documents of its own."""
        for kind in KINDS:
            text = description(kind, settings("all"))
            self.assertIsNone(re.search(r":class:|:ivar|zaqar_gateway\.|API reference|``", text))


class Asyncapi(SynchronousTestCase):
    """The rules of AsyncAPI 3.0, as far as the documents use it."""

    def setUp(self) -> None:
        self.document = document("asyncapi")

    def test_members(self) -> None:
        """Each object has the members that it has to have, and no other that the specification does not know."""
        known: dict[str, tuple[set[str], set[str]]] = {
            "": ({"asyncapi", "info"}, {"defaultContentType", "servers", "channels", "operations", "components"}),
            "info": ({"title", "version"}, {"description", "license", "tags"}),
            "servers": ({"host", "protocol"}, {"pathname", "description"}),
            "channels": (set(), {"address", "title", "description", "messages", "bindings"}),
            "operations": ({"action", "channel"}, {"summary", "description", "tags", "messages", "reply"}),
            "messages": (set(), {"name", "summary", "contentType", "payload"}),
        }
        found = self.document
        self.assertEqual(found["asyncapi"], "3.0.0")
        self.assertEqual(set(found["components"]), {"messages", "schemas"})
        objects = [("", found), ("info", found["info"])]
        objects += [(kind, one) for kind in ("servers", "channels", "operations") for one in found[kind].values()]
        objects += [("messages", one) for one in found["components"]["messages"].values()]
        for kind, one in objects:
            needed, others = known[kind]
            self.assertLessEqual(needed, set(one), one)
            self.assertLessEqual(set(one), needed | others, one)
        for group in (found["channels"], found["operations"], found["components"]["messages"], found["components"]["schemas"]):
            for name in group:
                self.assertRegex(name, r"^[\w.-]+$")

    def test_servers(self) -> None:
        """A server has a host without a scheme, and one of the protocols of WebSocket."""
        self.assertEqual(
            self.document["servers"],
            {
                f"websocket{number}": {"host": f"127.0.0.1:{port}", "protocol": "ws", "pathname": "/"}
                for number, port in ((1, 9000), (2, 8888))
            },
        )

    def test_messages(self) -> None:
        """The messages of an operation are some of its channel's, in JSON and in MessagePack, with the same payload."""
        channel = {"$ref": f"#/channels/{CHANNEL}"}
        messages = self.document["components"]["messages"]
        for name, operation in self.document["operations"].items():
            self.assertEqual(operation["channel"], channel)
            self.assertIn(operation["action"], ("send", "receive"))
            self.assertEqual("reply" in operation, operation["action"] == "receive", name)
            for held in (operation, *([operation["reply"]] if "reply" in operation else [])):
                names = [one["$ref"].removeprefix(f"#/channels/{CHANNEL}/messages/") for one in held["messages"]]
                plain, packed = (messages[each] for each in names)
                self.assertEqual((plain["contentType"], packed["contentType"]), (JSON, MSGPACK))
                self.assertEqual(plain["payload"], packed["payload"])
        self.assertEqual(
            self.document["channels"][CHANNEL]["messages"], {name: {"$ref": f"#/components/messages/{name}"} for name in messages}
        )


class Complete(SynchronousTestCase):
    """What is served is described, and what is described is served."""

    def setUp(self) -> None:
        process = memory_process(Clock())
        self.built = build_operations(process.storage, pooling=process.pooling)

    def test_every_operation(self) -> None:
        """Every operation has an entry, or the one on queues that it is as; and no entry is of nothing."""
        names = {row.name for row in self.built.operations}
        self.assertEqual(set(DESCRIBED) - names, {"versions", "home", "ping_head", AUTHENTICATE})
        whole = {row.name for row in self.built.operations if row.http and row.http.body is Body.WHOLE}
        self.assertLessEqual(set(WHOLE), whole)

    def test_one_is_missing(self) -> None:
        """An operation without an entry has no description, and the error says where to make it."""
        rows = list(self.built.operations)
        other = evolve(next(row for row in rows if row.name == "queue_delete"), name="queue_rename")
        for make in (openapi, asyncapi):
            with self.assertRaisesRegex(KeyError, "descriptions/operations.py says what queue_rename is"):
                make([*rows, other], terms_of(settings("all")))

    def test_routes(self) -> None:
        """The paths and methods are those of the site, in admin mode and without; every other answers no method."""
        for admin_mode in (True, False):
            rows = [row for row in self.built.operations if admin_mode or not row.admin]
            described = openapi(rows, terms_of(settings("none")))["paths"]
            site = self.built.site(admin_mode=admin_mode)
            served = {path: place.methods for path, place in places(site.resource) if place.methods}
            found = {
                re.sub(r"\{\w+\}", "{}", path): {method.upper() for method in place if method != "parameters"}
                for path, place in described.items()
            }
            self.assertEqual(found, served)

    def test_operation_ids(self) -> None:
        """Operations have the names of the registry; one that is chosen by a parameter stands with the other."""
        found = document("openapi")
        names = {name for _, node in walk(found) if "operationId" in node for name in node.get("x-operations", [node["operationId"]])}
        rows = {row.name for row in rows_of(settings("all")) if row.http}
        self.assertEqual(names, rows | {"versions", "home", "ping_head"})

    def test_actions(self) -> None:
        """The actions are those that a gateway knows, without those that it answers with 501."""
        actions = Actions(self.built.operations)
        found = {name for name, operation in document("asyncapi")["operations"].items() if operation["action"] == "receive"}
        self.assertEqual(found, set(actions.names) - NOT_IMPLEMENTED | {row.name for row in self.built.operations if row.frame})


class OfSettings(SynchronousTestCase):
    """What settings change."""

    def test_operations(self) -> None:
        """Without admin mode there is nothing for administrators, and without pooling there are no pools."""
        plain, full, pools = (document("openapi", name)["paths"] for name in ("none", "all", "pools"))
        self.assertNotIn("/v2/health", plain)
        self.assertNotIn("/v2/pools", pools)
        self.assertLess(set(plain), set(full))
        self.assertNotIn("pool_list", document("asyncapi", "none")["operations"])

    def test_limits(self) -> None:
        """Bounds and defaults are those of the settings."""
        found = document("openapi", "limits")
        parameters = {one.get("name"): one for one in found["paths"]["/v2/queues/{queue_name}/messages"]["get"]["parameters"]}
        self.assertEqual(parameters["limit"]["schema"], {"type": "integer", "minimum": 1, "maximum": 7, "default": 7})
        body = found["paths"]["/v2/queues/{queue_name}/claims"]["post"]["requestBody"]["content"]["application/json"]["schema"]
        ttl = body["properties"]["ttl"]
        self.assertEqual((ttl["minimum"], ttl["maximum"], ttl["default"]), (60, 100, 90))

    def test_identity(self) -> None:
        """Who asks is told by headers, by a token, or by a signature for what can be shared."""
        plain, keystone, both = (document("openapi", name) for name in ("none", "keystone", "keystone and signatures"))
        self.assertNotIn("securitySchemes", plain["components"])
        self.assertTrue(plain["components"]["parameters"]["X-Project-ID"]["required"])
        self.assertEqual(keystone["security"], [{"X-Auth-Token": []}])
        self.assertNotIn("X-Project-ID", keystone["components"]["parameters"])
        self.assertIn("401", keystone["paths"]["/v2/queues"]["get"]["responses"])
        self.assertNotIn("401", plain["paths"]["/v2/queues"]["get"]["responses"])
        ways = both["paths"]["/v2/queues/{queue_name}/messages"]["get"]["security"]
        self.assertEqual(ways[1].keys(), {"URL-Signature", "URL-Expires", "URL-Methods", "URL-Paths"})
        self.assertNotIn("security", both["paths"]["/v2/queues"]["get"])
        client = both["components"]["parameters"]["Client-ID"]["schema"]
        self.assertEqual(client, {"type": "string", "minLength": 10, "maxLength": 36})
        self.assertIn("pattern", plain["components"]["parameters"]["Client-ID"]["schema"])
        shares = [found["paths"]["/v2/queues/{queue_name}/share"]["post"]["description"] for found in (plain, both)]
        self.assertEqual(["no secret" in text for text in shares], [True, False])

    def test_places(self) -> None:
        """The servers are where the gateway listens, or where the settings say that it is reached."""
        for given, http, websocket in (
            ({}, ["http://127.0.0.1:8888"], ["ws://127.0.0.1:9000", "ws://127.0.0.1:8888"]),
            (
                {"notification.public_url": "https://m.example/", "notification.public_websocket_url": "wss://m.example"},
                ["https://m.example"],
                ["wss://m.example"],
            ),
            (
                {"listen.http": ["tls:8443", "unix:/run/z"], "listen.websocket": ["tcp6:9000:interface=\\:\\:1"]},
                ["https://localhost:8443"],
                ["ws://[::1]:9000", "wss://localhost:8443"],
            ),
        ):
            terms = terms_of(config.load(None, {}, {**MEMORY, "tls.certificate_file": "/c", **given}))
            self.assertEqual((list(terms.http_urls), list(terms.websocket_urls)), (http, websocket))
