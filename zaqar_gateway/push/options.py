"""Options of subscriptions, as whoever made them sent them."""

from __future__ import annotations

from typing import Any

from zaqar_gateway.errors import RuleBroken


def option(options: dict[str, object], key: str, kind: type, form: str) -> Any:
    """One option, ``None`` where it is not given.

    :param form: what it has to be, in words.
    :raises RuleBroken: it is of another kind.
    """
    value = options.get(key)
    if value is not None and not isinstance(value, kind):
        raise RuleBroken(f"options.{key} is not {form}; it has to be {form}.")
    return value
