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
"""Bytes of a head that is kept for those that are like it."""

_LENGTH = 24  # of the ids of zaqar_gateway.storage.ids, which are of hexadecimal digits in lower case
_LEVEL = b"0" * _LENGTH
_LEVELLED = bytes.maketrans(b"123456789abcdef", b"0" * 15)
_IDS_MAX = 2  # a claim and a message of it; of many each is looked at alone

_Holes = list[tuple[str, int]]  # name of a value, number of the id that it is


class Alike(msgspec.Struct, eq=False):
    """What some heads have in common.

    :ivar pieces: what is around the ids.
    :ivar head: one of them.
    :ivar target: from where to where it goes.
    """

    pieces: tuple[bytes, ...]
    head: Head
    target: slice
    in_values: _Holes
    in_given: _Holes

    def read(self, data: bytes, start: int) -> tuple[Head, int] | None:
        """The head that begins in some data, and where it ends; ``None`` where there is none like these."""
        at, ids = start, []
        for piece in self.pieces:
            if at != start:
                found = data[at : at + _LENGTH]
                if found.translate(_LEVELLED) != _LEVEL:
                    return None
                ids.append(found.decode())
                at += _LENGTH
            if not data.startswith(piece, at):
                return None
            at += len(piece)
        head = self.head
        target = data[start:at][self.target]
        path, _, query = target.partition(b"?")
        plan = head.plan
        values, given = plan.named
        values = values.copy()
        for name, number in self.in_values:
            values[name] = ids[number]
        if self.in_given:
            given = given.copy()
            for name, number in self.in_given:
                given[name] = ids[number]
        plan = plan.with_named(values, given)
        return Head(head.method, target, path, query, head.headers, head.is_http10, head.place, plan), at


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
    pieces.append(text[done:])
    values, given = plan.named
    in_values = _holes(values, ids)
    if (
        not 0 < len(ids) <= _IDS_MAX
        or len({*ids}) != len(ids)
        or {number for _, number in in_values} != {*range(len(ids))}
    ):
        return None
    return Alike(tuple(pieces), head, slice(begin, end), in_values, _holes(given, ids))


def _holes(values: Mapping[str, Any], ids: list[str]) -> _Holes:
    return [(name, ids.index(value)) for name, value in values.items() if isinstance(value, str) and value in ids]
