"""Heads of a connection that differ in nothing but the ids in their targets.

Most requests name a message, a claim or a marker, so that hardly two heads are the same; yet what they ask for differs in nothing
else.  So where the ids of one belong is found out once, and the next ones put theirs there: to read each anew takes a third of all
that the reply to one message takes.

Only that is left open which is as long as an id and of the same digits, and was found again as it was, as the value of a field.
Such digits mean nothing else in a path or a query.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from zaqar_gateway.transport.http.request import Head

SIZE_MAX = 2048
"""Bytes of a head that is kept for those that are the same, or like it."""

_LENGTH = 24  # of the ids of zaqar_gateway.storage.ids, which are of hexadecimal digits in lower case
_DIGITS = b"0123456789abcdef"
_LEVEL = b"0" * _LENGTH
_LEVELLED = bytes.maketrans(b"123456789abcdef", b"0" * 15)
_QUEUE = "queue_name"
_IDS_MAX = 2  # a claim and a message of it; of many each is looked at alone

_Holes = list[tuple[str, int]]  # name of a value, and where the id that it is begins among all of them


class Alike(msgspec.Struct, eq=False):
    """What some heads have in common.

    :ivar before: what is before the first id.
    :ivar between: what is before each of the others.
    :ivar after: what is behind the last.
    :ivar head: one of them.
    :ivar size: of each.
    """

    before: bytes
    between: list[bytes]
    after: bytes
    head: Head
    size: int
    values: dict[str, Any]
    given: dict[str, Any]
    in_values: _Holes
    in_given: _Holes

    def read(self, data: bytes, start: int) -> Head | None:
        """The head that begins in some data; ``None`` where there is none like these."""
        if not data.startswith(self.before, start):
            return None
        begin = start + len(self.before)
        end = begin + _LENGTH
        found = data[begin:end]
        for piece in self.between:
            if not data.startswith(piece, end):
                return None
            begin = end + len(piece)
            end = begin + _LENGTH
            found += data[begin:end]
        if not data.startswith(self.after, end) or found.translate(None, _DIGITS):
            return None
        ids, values, given = found.decode(), self.values.copy(), self.given
        for name, at in self.in_values:
            values[name] = ids[at : at + _LENGTH]
        if self.in_given:
            given = given.copy()
            for name, at in self.in_given:
                given[name] = ids[at : at + _LENGTH]
        head = self.head
        begin = start + len(head.method) + 1
        target = data[begin : begin + len(head.target)]
        plan = head.plan.with_named(values, given)
        return Head(head.method, target, head.headers, head.closes, head.is_http10, head.place, plan)


def alike(text: bytes, head: Head) -> Alike | None:
    """What all heads have in common that are like this one; ``None`` where it has no ids, or it is not known what they are for.

    :param text: the head.
    """
    plan, begin, pieces, ids = head.plan, len(head.method) + 1, [], []
    if plan is None or plan.named is None or len(text) > SIZE_MAX:
        return None
    end, done = begin + len(head.target), 0
    levelled = text[:end].translate(_LEVELLED)
    while (at := levelled.find(_LEVEL, max(begin, done))) >= 0:
        pieces.append(text[done:at])
        done = at + _LENGTH
        ids.append(text[at:done].decode())
    values, given = plan.named
    in_values = _holes(values, ids)
    if not 0 < len(ids) <= _IDS_MAX or len({at for _, at in in_values}) != len(ids):  # the same one twice is taken for the first
        return None
    if _QUEUE in dict(in_values):  # what is kept with a plan is of one queue
        return None
    before, *between = pieces
    return Alike(before, between, text[done:], head, len(text), values, given, in_values, _holes(given, ids))


def _holes(values: Mapping[str, Any], ids: list[str]) -> _Holes:
    return [(name, ids.index(value) * _LENGTH) for name, value in values.items() if isinstance(value, str) and value in ids]
