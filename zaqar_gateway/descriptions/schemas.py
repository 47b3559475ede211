"""From types to JSON Schema (draft 2020-12)."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from types import NoneType, UnionType
from typing import Any, Union, get_args, get_origin, get_type_hints

import msgspec
from msgspec import Raw, UnsetType

Schema = dict[str, Any]

Members = Mapping[str, Schema]
"""What is said of members, by ``name`` or, where it is of one of several, ``Owner.name``; the latter may have a transport behind it, as
in ``Owner.name@http``."""

METADATA = "Metadata."
"""What the names of reserved keys of metadata begin with among the members."""

_BOUNDS = ("minimum", "maximum")
_SCALARS: dict[Any, str] = {str: "string", int: "integer", float: "number", bool: "boolean", NoneType: "null"}
_REFERENCES = re.compile(r" \([^()]*\)")


class Schemas:
    """Makes schemas, and keeps those of structures as components.

    :param members: what is said of members besides their type.
    :param base: the reference to components, up to their name.
    :param transport: ``http`` or ``frame``.
    :ivar components: by name.
    """

    def __init__(self, members: Members, base: str, transport: str) -> None:
        self._members = members
        self._base = base
        self._transport = transport
        self._kinds: dict[str, type] = {}
        self.components: dict[str, Schema] = {}

    def of(self, kind: Any, *, sent: bool = True) -> Schema:
        """The schema of a type, or of what makes one.

        :param kind: a type, or a function of this object that gives a schema.
        :param sent: whether the gateway sends it, always with all that it has, rather than reads it.
        """
        if kind is Any or kind is Raw:
            return {}
        if kind in _SCALARS:
            return {"type": _SCALARS[kind]}
        origin, given = get_origin(kind), get_args(kind)
        if origin in (Union, UnionType):
            return _one_of([self.of(each, sent=sent) for each in given if each is not UnsetType])
        if origin in (list, tuple):
            return {"type": "array", "items": self.of(given[0], sent=sent)}
        if origin is dict:
            return {"type": "object", "additionalProperties": self.of(given[1], sent=sent) or True}
        if isinstance(kind, type):
            name = name_of(kind)
            assert self._kinds.setdefault(name, kind) is kind, f"two types have the name {name}"
            return self.component(name, lambda: self._structure(kind, sent))
        return kind(self)  # type: ignore[no-any-return]

    def component(self, name: str, make: Callable[[], Schema]) -> Schema:
        """A reference to a component; it is made where it is not there."""
        if name not in self.components:
            self.components[name] = {}  # one may have itself in it
            self.components[name] = make()
        return {"$ref": self._base + name}

    def _structure(self, kind: type[msgspec.Struct], sent: bool) -> Schema:
        hints = get_type_hints(kind)
        fields = msgspec.structs.fields(kind)
        owner = name_of(kind)
        properties, needed = {}, []
        for field in fields:
            schema = self.member(owner, field.name, hints[field.name], sent=sent)
            if sent and isinstance(field.default, str):  # a mark of the structure
                schema["const"] = field.default
            if field.required or (sent and not may_be_left_out(hints[field.name])):
                needed.append(field.encode_name)
            properties[field.encode_name] = schema
        return described(structure(properties, needed), text_of(kind))

    def member(self, owner: str, name: str, kind: Any, *, sent: bool = False) -> Schema:
        """The schema of a member: its type, and what is said of it."""
        schema = self.of(kind, sent=sent)
        said = self.said(owner, name)
        if "$ref" in schema and said.keys() - {"description"}:
            schema = {}
        return schema | said

    def said(self, owner: str, name: str) -> Schema:
        """What is said of a member besides its type.

        :raises KeyError: nothing is.
        """
        for key in (f"{owner}.{name}@{self._transport}", f"{owner}.{name}", name):
            if key in self._members:
                return dict(self._members[key])
        raise KeyError(f"nothing in zaqar_gateway/descriptions/members.py says what {owner}.{name} is")

    def fields(self, owner: type[msgspec.Struct], kinds: Mapping[str, Any], needed: Iterable[str]) -> Schema:
        """An object of some fields of an operation.

        :param owner: the fields.
        :param kinds: the types of those that are meant.
        :param needed: those that have to be there.
        """
        known = {field.name: field for field in msgspec.structs.fields(owner)}
        properties = {}
        for name, kind in kinds.items():
            properties[name] = self.member(owner.__name__, name, kind)
            default = known[name].default
            if isinstance(default, bool | int | str) and default != "":
                properties[name].setdefault("default", default)
        return structure(properties, needed)

    def metadata(self, name: str, shown: Iterable[str] = ()) -> Schema:
        """Metadata of a queue or a topic, with the reserved keys among them; a client may have any other.

        :param shown: the keys that are always there, in what the gateway sends; none: what it reads.
        """
        always = tuple(shown)
        known = [key.removeprefix(METADATA) for key in self._members if key.startswith(METADATA)]
        properties = {key: self.said("Metadata", key) for key in always or known}
        for schema in properties.values() if always else ():
            for bound in _BOUNDS:  # what is stored may be older than the settings
                schema.pop(bound, None)
        return self.component(name, lambda: structure(properties, always) | {"additionalProperties": True})


def structure(properties: Mapping[str, Schema], needed: Iterable[str] = ()) -> Schema:
    """The schema of an object; others may be in it."""
    schema: Schema = {"type": "object", "properties": dict(properties)}
    if found := sorted(needed):
        schema["required"] = found
    return schema


def described(schema: Schema, text: str) -> Schema:
    """With a description, where there is one."""
    return {"description": text, **schema} if text else schema


def may_be_left_out(kind: Any) -> bool:
    """Whether a field of this type may be absent."""
    return UnsetType in get_args(kind)


def name_of(kind: type) -> str:
    """The name of a type in a description."""
    return kind.__name__.removesuffix("Shown")


def text_of(kind: type) -> str:
    """What a type says of itself to people that do not read its code."""
    whole = (kind.__doc__ or "").partition("\n\n")[0]
    return _REFERENCES.sub("", " ".join(whole.split())).replace("``", "")


def _one_of(schemas: Sequence[Schema]) -> Schema:
    if len(schemas) == 1:
        return schemas[0]
    if all(schema.keys() == {"type"} for schema in schemas):
        return {"type": [schema["type"] for schema in schemas]}
    return {"anyOf": list(schemas)}
