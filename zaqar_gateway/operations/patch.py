"""The PATCH dialect of queue metadata (API reference, "PATCH dialect"): a list of changes, all or nothing."""

from __future__ import annotations

import re
from collections.abc import Collection
from typing import Any

from attrs import frozen

from zaqar_gateway.errors import BadBody, Conflict

_NO_ESCAPE = re.compile("~(?![01])")  # RFC 6901, section 3
OPS = ("add", "remove", "replace")


@frozen
class Change:
    """One change of one key.  ``value`` has no meaning where ``op`` is ``remove``."""

    op: str
    key: str
    value: Any = None


def parse(document: object) -> list[Change]:
    """Read the changes; nothing of what they are applied to is looked at.

    :raises BadBody: the document is not a list of changes; the text names the element.
    """
    if not isinstance(document, list):
        raise BadBody("The document has to be an array of operations.")
    return [_change(f"Operation {index}", element) for index, element in enumerate(document)]


def _change(where: str, element: object) -> Change:
    if not isinstance(element, dict):
        raise BadBody(f"{where} has to be an object.")
    op = element.get("op")
    if not isinstance(op, str) or op not in OPS:
        raise BadBody(f'{where}: "op" has to be one of {", ".join(OPS)}.')
    path = element.get("path")
    if not isinstance(path, str):
        raise BadBody(f'{where}: "path" has to be a string such as "/metadata/key".')
    tokens = path.split("/")
    if len(tokens) != 3 or tokens[0]:
        raise BadBody(f'{where}: "path" has to have two parts, as in "/metadata/key".')
    if _NO_ESCAPE.search(path):
        raise BadBody(f'{where}: "path" has a ~ that is none of ~0, which is a tilde, and ~1, which is a slash.')
    # RFC 6901, section 4: ~1 first, so that ~01 stays ~1.
    parent, key = (token.strip().replace("~1", "/").replace("~0", "~") for token in tokens[1:])
    if op != "remove" and parent.lower() != "metadata":
        raise BadBody(f'{where}: "path" has to begin with "/metadata/".')
    if not key:
        raise BadBody(f'{where}: "path" has to name a key after "/metadata/".')
    if op != "remove" and "value" not in element:
        raise BadBody(f'{where}: "value" is missing.')
    return Change(op, key, element.get("value"))


def apply(changes: list[Change], metadata: dict[str, Any], reserved: Collection[str]) -> dict[str, Any]:
    """The metadata after all changes, in order.

    :param reserved: keys that count as present although they are not stored.
    :raises Conflict: a key to be replaced or removed is absent.
    """
    result = dict(metadata)
    for change in changes:
        if change.op != "add" and change.key not in result and change.key not in reserved:
            raise Conflict(f"The metadata have no key {change.key!r} to {change.op}.")
        if change.op == "remove":
            result.pop(change.key, None)
        else:
            result[change.key] = change.value
    return result
