"""Values by the schemas of a description: any that fit, the least that fits, and some that just do not.

As much of JSON Schema is known here as the descriptions use.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

from hypothesis import strategies as st

_INT_MAX = 2**63 - 1
_TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)

ANYTHING: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers(-_INT_MAX, _INT_MAX) | st.floats(allow_nan=False, allow_infinity=False) | _TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_TEXT, inner, max_size=3),
    max_leaves=5,
)
"""JSON."""


class Maker:
    """Makes values.

    :param document: that has the components.
    :param left_out: names of members that are never made, since more is asked of them than a schema can say.
    """

    def __init__(self, document: Any, left_out: frozenset[str] = frozenset()) -> None:
        self._document = document
        self._left_out = left_out

    def resolved(self, schema: Any) -> Any:
        """The schema that one refers to."""
        while "$ref" in schema:
            found = self._document
            for part in schema["$ref"].removeprefix("#/").split("/"):
                found = found[part]
            schema = found
        return schema

    def values(self, schema: Any) -> st.SearchStrategy[Any]:
        """Any value that fits."""
        schema = self.resolved(schema)
        if "const" in schema:
            return st.just(schema["const"])
        if "enum" in schema:
            return st.sampled_from(schema["enum"])
        if "examples" in schema:
            return st.sampled_from(schema["examples"])
        kinds = schema.get("type", "anything")
        if isinstance(kinds, list):
            return st.one_of([self.values({**schema, "type": kind}) for kind in kinds])
        low, high = schema.get("minimum"), schema.get("maximum")
        if kinds == "integer":
            return st.integers(-_INT_MAX if low is None else low, 10**6 if high is None else high)
        if kinds == "number":
            return st.floats(low, high, allow_nan=False, allow_infinity=False)
        if kinds == "string":
            if "pattern" in schema:
                return st.from_regex(schema["pattern"].replace("$", r"\Z"), alphabet=st.characters(codec="ascii")).filter(str.isprintable)
            return st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=schema.get("minLength", 0), max_size=min(schema.get("maxLength", 20), 300))
        if kinds == "array":
            most = min(schema.get("maxItems", 4), 4)
            return st.lists(self.values(schema.get("items", {})), min_size=schema.get("minItems", 0), max_size=most)
        if kinds == "object":
            return self._objects(schema)
        return {"boolean": st.booleans(), "null": st.none()}.get(kinds, ANYTHING)

    def _objects(self, schema: Any) -> st.SearchStrategy[Any]:
        made = {name: self.values(one) for name, one in schema.get("properties", {}).items() if name not in self._left_out}
        needed = set(schema.get("required", ()))
        others = schema.get("additionalProperties", True)
        inner = {} if others is True else others
        more = st.just({}) if others is False else st.dictionaries(st.from_regex(r"x_[a-z]{1,5}\Z"), self.values(inner), max_size=2)

        def one(names: set[str], without: set[str]) -> st.SearchStrategy[Any]:
            optional = {name: made[name] for name in made if name not in names and name not in without}
            fixed = st.fixed_dictionaries({name: made[name] for name in sorted(names)}, optional=optional)
            return st.builds(lambda extra, known: {**extra, **known}, more, fixed)

        exclusive, some = _exclusive(schema), _some(schema)
        if exclusive:
            return st.one_of([one(needed | {name}, exclusive - {name}) for name in sorted(exclusive)])
        if some:
            return st.one_of([one(needed | {name}, set()) for name in some])
        return one(needed | ({"value"} if "value" in made and "op" in made else set()), set())  # which some changes need

    def least(self, schema: Any) -> Any:
        """One value that fits, with nothing that need not be."""
        schema = self.resolved(schema)
        if "const" in schema:
            return schema["const"]
        for name in ("enum", "examples"):
            if name in schema:
                return schema[name][0]
        kind = schema.get("type", "null")
        kind = kind[0] if isinstance(kind, list) else kind
        if kind in ("integer", "number"):
            return schema.get("minimum", schema.get("maximum", 1))
        if kind == "string":
            pattern = schema.get("pattern", "")
            for text in ("a" * schema.get("minLength", 1), "0" * 24, "/metadata/x"):
                if re.search(pattern, text):
                    return text
            raise AssertionError(schema)
        if kind == "array":
            return [self.least(schema.get("items", {})) for _ in range(schema.get("minItems", 0))]
        if kind == "object":
            choices = sorted(_exclusive(schema)) or _some(schema)
            needed = [*schema.get("required", ()), *choices[-1:]]
            return {name: self.least(schema["properties"][name]) for name in needed}
        return {"boolean": True}.get(kind)

    def edges(self, schema: Any) -> Iterator[Any]:
        """Values that fit and are at a bound."""
        schema = self.resolved(schema)
        kinds = schema.get("type", ())
        if "integer" in kinds or "number" in kinds:
            yield from (schema[name] for name in ("minimum", "maximum") if name in schema)
        if kinds == "array" and schema.get("maxItems", 10**9) <= 1000:
            yield [self.least(schema.get("items", {}))] * schema["maxItems"]
        if kinds == "string" and "maxLength" in schema and "examples" not in schema:
            yield "a" * schema["maxLength"]
        yield from schema.get("enum", ())

    def beyond(self, schema: Any) -> Iterator[Any]:
        """Values that do not fit, each for one reason."""
        schema = self.resolved(schema)
        kinds = schema.get("type", ())
        kinds = kinds if isinstance(kinds, list) else [kinds] if kinds else []
        if "minimum" in schema:
            yield schema["minimum"] - 1
        if "maximum" in schema:
            yield schema["maximum"] + 1
        if "array" in kinds:
            item = self.least(schema.get("items", {}))
            if schema.get("minItems"):
                yield []
            if schema.get("maxItems", 10**9) <= 1000:
                yield [item] * (schema["maxItems"] + 1)
            for bad in self.beyond(schema.get("items", {})):
                yield [bad]
        if "maxLength" in schema:
            start = schema.get("examples", [""])[0]
            yield start + "a" * (schema["maxLength"] + 1 - len(start))
        if schema.get("minLength"):
            yield ""
        if "pattern" in schema:
            yield from (text for text in ("", "a b", "a/b", "\u00e9", "a" * 300) if not re.search(schema["pattern"], text))
        if "enum" in schema:
            yield "none of these"
        wrong = {"integer": "x", "number": "x", "string": 1, "boolean": "x", "array": "x", "object": "x"}
        if len(kinds) == 1:
            yield wrong[kinds[0]]
            yield None
        elif kinds:
            yield wrong[kinds[0]]
        if kinds == ["integer"]:
            yield 1.5
            yield True
        if "object" in kinds:
            yield from self._wrong_objects(schema)

    def _wrong_objects(self, schema: Any) -> Iterator[Any]:
        least = self.least(schema)
        for name in schema.get("required", ()):
            yield {key: value for key, value in least.items() if key != name}
        if schema.get("additionalProperties") is False:
            yield {**least, "unknown": 1}
        choices, some = _exclusive(schema), _some(schema)
        if choices:
            yield {key: value for key, value in least.items() if key not in choices}
            yield {**least, **{name: self.least(schema["properties"][name]) for name in choices}}
        if some:
            yield {key: value for key, value in least.items() if key not in some}
        for name, member in schema.get("properties", {}).items():
            if name in self._left_out:
                continue
            chosen = {key: value for key, value in least.items() if key not in choices} if name in choices else least
            yield from ({**chosen, name: bad} for bad in self.beyond(member))


def _exclusive(schema: Any) -> set[str]:
    """Members of which exactly one has to be there."""
    if "then" not in schema:
        return set()
    return {*schema["if"]["required"], *schema["else"]["required"]}


def _some(schema: Any) -> list[str]:
    """Members of which one has to be there at least."""
    return [each["required"][0] for each in schema["if"]["anyOf"]] if schema.get("else") is False else []


def shown(value: Any) -> str:
    """A value in a text."""
    return json.dumps(value)[:300]
