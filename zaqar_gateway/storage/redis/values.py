"""From the answers of the scripts to values: pure."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from zaqar_gateway.model import Message, QueueRules
from zaqar_gateway.storage.ids import format_id, parse_id

_FIELDS = 7  # of a message: scripts/common.lua, emit


def messages(answer: Sequence[Any], first: int, now_ms: int, incarnation: str) -> list[Message]:
    """The messages in an answer, from its element ``first`` on."""
    found = []
    for at in range(first, len(answer), _FIELDS):
        rank, ttl, body, claim, count, origin, created = answer[at : at + _FIELDS]
        number = int(rank)
        found.append(
            Message(
                origin.decode() if origin else format_id(number, incarnation),
                body,
                int(ttl),
                max(0, now_ms - (int(created) if created else number // 1000)) // 1000,
                claim.decode() if claim else None,
                int(count),
            )
        )
    return found


def id_arguments(ids: Sequence[str]) -> list[str | int]:
    """Rank and incarnation of each id, for a script; a text that is no id is one that no message has."""
    arguments: list[str | int] = []
    for one in ids:
        arguments += parse_id(one) or (0, "")
    return arguments


def rule_arguments(rules: QueueRules) -> list[str | int]:
    """Names and values of the rules that are set, as scripts keep them with a queue."""
    values = (
        ("ttl", rules.message_ttl_s),
        ("size", rules.post_size_max),
        ("delay", rules.message_delay_s or None),
        ("claims", rules.claim_count_max),
        ("dead", rules.dead_letter_queue),
        ("dead_ttl", rules.dead_letter_ttl_s),
        ("enc", 1 if rules.encrypted else None),
    )
    return [part for name, value in values if value is not None for part in (name, value)]
