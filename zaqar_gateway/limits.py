"""Sizes, counts, lifetimes and names: pure checks that raise a kind of ``BadRequest``.

Bounds are those of the API reference, "Configuration"; the texts name the field and what would be right.
"""

from __future__ import annotations

import re
from functools import lru_cache

from attrs import frozen

from zaqar_gateway.errors import BadClientId, BadQueueName, BadTopicName, RuleBroken, repeated

PROJECT_LENGTH_MAX = 256
NAME_LENGTH_MAX = 64
TTL_MIN_S = 60
WAIT_MAX_S = 20

_KNOWN_MAX = 4096  # names that were found to be valid: most requests name one that others have named
KEY_FORM = "[!-~]{1,255}"
NAME_FORM = rf"[A-Za-z0-9_.-]{{1,{NAME_LENGTH_MAX}}}"
"""Regular expressions of idempotency keys and of names, whole."""

_KEY = re.compile(KEY_FORM)
_NAME = re.compile(NAME_FORM)
_UUID_DIGITS = re.compile("[0-9a-f]{32}")
_UUID = "3381af92-2b9e-11e3-b191-71861300734c"
_UUID_TEXT_MAX = 256  # dashes may be anywhere in one, any number of them; what is remembered has a bound in bytes, too
_NAME_RULE = f"1 to {NAME_LENGTH_MAX} characters, each a letter a-z or A-Z, a digit, '_', '-' or '.'"


def valid_name(name: str) -> bool:
    """Whether a text can name a queue or topic (API reference, "Names")."""
    return _NAME.fullmatch(name) is not None


def check_project(project: str, error: type[BadQueueName] | type[BadTopicName] = BadQueueName) -> None:
    """:raises BadQueueName: the project is too long, or ``error`` in its place."""
    if len(project) > PROJECT_LENGTH_MAX:
        raise error(f"X-Project-ID has more than {PROJECT_LENGTH_MAX} characters; at most so many are allowed.")


def _check_name(kind: str, error: type[BadQueueName] | type[BadTopicName], project: str, name: str) -> None:
    check_project(project, error)
    if not valid_name(name):
        raise error(f"{kind} name is not valid; it has to be {_NAME_RULE}.")


@lru_cache(_KNOWN_MAX)
def check_queue(project: str, queue: str) -> None:
    """:raises BadQueueName: the name or the length of the project breaks the rules."""
    _check_name("Queue", BadQueueName, project, queue)


@lru_cache(_KNOWN_MAX)
def check_topic(project: str, topic: str) -> None:
    """:raises BadTopicName: the name or the length of the project breaks the rules."""
    _check_name("Topic", BadTopicName, project, topic)


def in_range(field: str, value: int, low: int, high: int, unit: str = "", number: int = 0) -> int:
    """The value itself where ``low <= value <= high``.

    :param field: its name, with ``{}`` where ``number`` belongs.
    :raises RuleBroken: it is outside; the text gives the bounds.
    """
    if low <= value <= high:
        return value
    field = field.format(number)
    raise RuleBroken(f"{field} is {value}{unit and ' ' + unit}; it has to be from {low} to {high}.")


def wait(wait_s: int | None) -> int:
    """For how many seconds a request may wait for messages; 0 where nothing is said of it.

    :raises RuleBroken: it is out of range.
    """
    return 0 if wait_s is None else in_range("wait", wait_s, 0, WAIT_MAX_S, "seconds")


def idempotency_key(field: str, key: str) -> str:
    """The key itself, if it is one.

    :raises RuleBroken: it is not.
    """
    if _KEY.fullmatch(key) is None:
        raise RuleBroken(f"{field} is {repeated(key)!r}; it has to be 1 to 255 visible characters of ASCII.")
    return key


class ClientIds:
    """How a Client-ID has to look (API reference, "Client-ID and project id").

    :param strict: accept any text form of a UUID and nothing else.
    :param length_min: in the other mode, the least number of characters.
    :param length_max: in the other mode, the greatest number of characters.
    """

    def __init__(self, strict: bool = True, length_min: int = 10, length_max: int = 36) -> None:
        self._strict = strict
        self._length_min = length_min
        self._length_max = length_max
        # A client sends the same id with every request; parsing a UUID costs more than the rest of admission.
        self.canonical = lru_cache(maxsize=4096)(self._canonical)

    def _canonical(self, text: str) -> bytes:
        """The same bytes for all spellings of one client: 16 for a UUID, ``s`` and the text for any other.

        :raises BadClientId: the text is not of the form that this gateway accepts.
        """
        if self._strict and len(text) > _UUID_TEXT_MAX:
            raise BadClientId(f"Client-ID has {len(text)} characters; send a UUID such as {_UUID}.")
        digits = text.lower().removeprefix("urn:").removeprefix("uuid:").strip("{}").replace("-", "")
        known = bytes.fromhex(digits) if _UUID_DIGITS.fullmatch(digits) else b""
        if self._strict:
            if not known:
                raise BadClientId(f"Client-ID is not a UUID; send one such as {_UUID}.")
        elif not self._length_min <= len(text) <= self._length_max:
            raise BadClientId(
                f"Client-ID has {len(text)} characters; it has to have {self._length_min} to {self._length_max}."
            )
        return known or b"s" + text.encode()


@frozen
class Limits:
    """The configured bounds of the operations.  Defaults are those of the API reference, "Configuration"."""

    message_ttl_default_s: int = 3600
    message_ttl_max_s: int = 1209600
    message_delay_default_s: int = 0
    message_delay_max_s: int = 900
    claim_ttl_default_s: int = 300
    claim_ttl_max_s: int = 43200
    claim_grace_default_s: int = 60
    claim_grace_max_s: int = 43200
    queues_page_max: int = 20
    messages_page_max: int = 20
    claim_or_pop_max: int = 20
    queue_metadata_max: int = 65536
    post_size_max: int = 262144
    delete_needs_claim_id: bool = False
    subscription_ttl_default_s: int = 3600
    subscriptions_page_max: int = 20
    pools_page_max: int = 20
    flavors_page_max: int = 20
    idempotency_window_s: int = 3600
    idempotency_keys_max: int = 1_000_000
    subscriber_types: tuple[str, ...] = ("http", "https", "mailto", "trust+http", "trust+https")

    def page(self, limit: int | None, maximum: int) -> int:
        """The page size: the one asked for, else 10 or the maximum where that is less.

        :raises RuleBroken: it is less than 1 or above the maximum.
        """
        return min(10, maximum) if limit is None else in_range("limit", limit, 1, maximum)

    def message_ttl(self, field: str, ttl_s: int, number: int) -> int:
        """:raises RuleBroken: the ttl is out of range; see :func:`in_range`."""
        return in_range(field, ttl_s, TTL_MIN_S, self.message_ttl_max_s, "seconds", number)

    def message_delay(self, field: str, delay_s: int, number: int) -> int:
        """:raises RuleBroken: the delay is out of range; see :func:`in_range`."""
        return in_range(field, delay_s, 0, self.message_delay_max_s, "seconds", number)

    def claim_ttl(self, ttl_s: int | None) -> int:
        """:raises RuleBroken: the ttl is out of range."""
        if ttl_s is None:
            return self.claim_ttl_default_s
        return in_range("ttl", ttl_s, TTL_MIN_S, self.claim_ttl_max_s, "seconds")

    def claim_grace(self, grace_s: int | None) -> int:
        """:raises RuleBroken: the grace is out of range."""
        if grace_s is None:
            return self.claim_grace_default_s
        return in_range("grace", grace_s, TTL_MIN_S, self.claim_grace_max_s, "seconds")
