"""A message filter for zaqar-gateway: redacts members of bodies, and refuses bodies by rule."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import msgspec
from msgspec.structs import replace
from zope.interface import implementer

from zaqar_gateway.errors import RuleBroken
from zaqar_gateway.interfaces import IMessageFilter
from zaqar_gateway.model import Call, Context, Message, NewMessage, Place

_STRING = re.compile(r'"[^"\\]*(?:\\.[^"\\]*)*"')
_COLON = re.compile(r"\s*:\s*")
_VALUE = json.JSONDecoder()


class Settings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The table ``[filter.redact]``.

    :ivar members: names of members whose values are replaced.
    :ivar replacement: by this text.
    :ivar refuse: what may not be in a body: a name for people to a regular expression.
    :ivar size_max: project to the size in bytes of its largest body.
    """

    members: tuple[str, ...] = ()
    replacement: str = "***"
    refuse: dict[str, str] = {}
    size_max: dict[str, int] = {}


@implementer(IMessageFilter)
class Redact:
    """The filter.

    :raises ValueError: the settings cannot be used.
    """

    def __init__(self, settings: dict[str, object], reactor: Any) -> None:
        try:
            given = msgspec.convert(settings, Settings)
            self._refused = {name: re.compile(pattern) for name, pattern in given.refuse.items()}
        except (msgspec.ValidationError, re.error) as error:
            raise ValueError(f"{error}") from None
        self._members = frozenset(given.members)
        self._replacement = json.dumps(given.replacement)
        self._size_max = given.size_max

    async def request(self, ctx: Context, call: Call) -> None:
        """Everything may be asked for."""

    async def post(self, ctx: Context, place: Place, messages: Sequence[NewMessage]) -> Sequence[NewMessage]:
        """Redact, and look at what is left.

        :raises RuleBroken: it may not be posted.
        """
        return [self._message(ctx, f"messages[{number}].body", one) for number, one in enumerate(messages)]

    async def answer(self, ctx: Context, call: Call, messages: Sequence[Message]) -> Sequence[Message]:
        """What is stored is shown."""
        return messages

    def _message(self, ctx: Context, field: str, message: NewMessage) -> NewMessage:
        before = message.body.decode()
        text = redacted(before, self._members, self._replacement)
        for name, pattern in self._refused.items():
            if pattern.search(text):
                raise RuleBroken(f"{field} has a {name} in it, which may not be posted here.")
        body = message.body if text == before else text.encode()
        limit = self._size_max.get(ctx.project, len(body))
        if len(body) > limit:
            raise RuleBroken(f"{field} has {len(body)} bytes; it has to have at most {limit} in this project.")
        return message if body is message.body else replace(message, body=body)


def redacted(text: str, members: Iterable[str], replacement: str) -> str:
    """JSON text with the values of some members replaced, and every other character as it was.

    :param replacement: JSON text.
    """
    pieces = []
    at = 0
    for start, end in _values(text, members):
        pieces += [text[at:start], replacement]
        at = end
    return "".join(pieces) + text[at:]


def _values(text: str, members: Iterable[str]) -> Iterator[tuple[int, int]]:
    """Where the values of some members begin and end, the outermost ones."""
    at = 0
    while string := _STRING.search(text, at):
        at = string.end()
        colon = _COLON.match(text, at)  # behind the name of a member, and behind no other string
        if colon and json.loads(string[0]) in members:
            _, at = _VALUE.raw_decode(text, colon.end())
            yield colon.end(), at
