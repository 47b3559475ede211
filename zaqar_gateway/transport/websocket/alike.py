"""Frames of a connection that differ in nothing but their bodies, or the messages or the ids that these bring.

A client says the same of itself with every frame, and asks for the same few actions.  So where in a frame the body is, is found out
once; of the next ones the text around it is compared, and only what is between is read.  To read a frame anew takes a fifth of all
that a post takes.
"""

from __future__ import annotations

import msgspec

from zaqar_gateway.interfaces import IListener
from zaqar_gateway.operations import documents
from zaqar_gateway.transport.websocket import codec
from zaqar_gateway.transport.websocket.codec import Action, Echo, Envelope

_AROUND_MAX = 2048  # bytes
_BLANK, _QUOTE = b' "'

_PROBE = "another"


class Alike(msgspec.Struct, eq=False):
    """What some frames have in common.

    :ivar before: JSON text up to where they differ: the body, a member of it that can be decoded by itself, or one that is a string.
    :ivar after: what follows it.
    :ivar echo_before: what their replies begin with, up to that.
    :ivar echo_after: what follows it.
    :ivar like: the fields of one of them, where they differ in less than their bodies: in a member that can be decoded by itself, or in
        ids; ``None``: they may differ in all.
    :ivar ids: those, and ``between`` is what is between two; none: it is the member.
    """

    action: Action
    before: bytes
    after: bytes
    echo_before: bytes
    echo_after: bytes
    like: msgspec.Struct | None = None
    ids: tuple[str, ...] = ()
    between: bytes = b""

    def read(self, payload: bytes, listener: IListener | None) -> tuple[msgspec.Struct, Echo] | None:
        """The fields of a frame that begins like these, and the echo of it; ``None``: it is not like them.

        What is found between is JSON text, and so a value in the same place of the same document.

        :param payload: text, of which the protocol has found that it is UTF-8.
        :param listener: the connection.
        :raises BadBody: something is wrong with it.
        :raises EnvelopeError: likewise.
        """
        after, like = self.after, self.like
        if not payload.endswith(after):
            return None
        text = payload[len(self.before) : -len(after)]
        if not text or text[0] <= _BLANK or text[-1] <= _BLANK:  # which is no part of it
            return None
        if like is None:
            documents.check(text, 1, is_utf8=True)
            asked = self.action.fields(text, listener)
        elif self.ids:
            if not text[0] == text[-1] == _QUOTE:
                return None
            first, between, second = text[1:-1].partition(self.between) if self.between else (text[1:-1], b"", b"")
            # Whatever JSON has a rule for is read in the ordinary way.
            if not first.isalnum() or between != self.between or (between and not second.isalnum()):
                return None
            if between:
                asked = codec.with_others(like, self.ids[0], first.decode(), self.ids[1], second.decode())
            else:
                asked = codec.with_others(like, self.ids[0], first.decode())
        else:
            documents.check(text, 2, is_utf8=True)
            asked = self.action.fields_at_once(text, like)
        return asked, (self.echo_before, text, self.echo_after)


def alike(payload: bytes, envelope: Envelope, action: Action) -> Alike | None:
    """What all frames have in common that are like this one in all but their bodies; ``None``: it is not certain where that is in it."""
    return _around(payload, envelope, action, bytes(envelope.body))


def closely_alike(
    payload: bytes, envelope: Envelope, action: Action, asked: msgspec.Struct, listener: IListener | None
) -> Alike | None:
    """What all have in common that differ in less than their bodies; ``None``: there are none, or it is not certain where they do."""
    if action.operation is not None and action.at_once is not None:
        member = action.at_once[0]
        found = _around(payload, envelope, action, bytes(getattr(asked, member)))
        if found is not None:
            others = {name: getattr(asked, name) for name in asked.__struct_fields__ if name != member}
            found.like = action.operation.fields(**others)
        return found
    return _with_ids(payload, envelope, action, asked, listener)


def _with_ids(
    payload: bytes, envelope: Envelope, action: Action, asked: msgspec.Struct, listener: IListener | None
) -> Alike | None:
    texts = {name: b'"%b"' % value.encode() for name in action.varies if isinstance(value := getattr(asked, name), str)}
    if not texts or any(payload.count(text) != 1 for text in texts.values()):
        return None
    ids = tuple(sorted(texts, key=lambda name: payload.find(texts[name])))
    begin, end = payload.find(texts[ids[0]]), payload.find(texts[ids[-1]]) + len(texts[ids[-1]])
    found = _around(payload, envelope, action, payload[begin:end])
    if found is None:
        return None
    # Whether they are what the body has for these members, and nothing else that looks like it, shows where it has others.
    probe, expected = payload, {}
    for number, name in enumerate(ids):
        expected[name] = f"{_PROBE}{number}"
        probe = probe.replace(texts[name], b'"%b"' % expected[name].encode())
    other = codec.open_frame(probe, False)
    if (other.action, other.headers) != (envelope.action, envelope.headers):
        return None
    if action.fields(other.body, listener) != msgspec.structs.replace(asked, **expected):
        return None
    found.like, found.ids = asked, ids
    if len(ids) > 1:
        found.between = payload[begin + len(texts[ids[0]]) - 1 : payload.find(texts[ids[1]]) + 1]
    return found


def _around(payload: bytes, envelope: Envelope, action: Action, text: bytes) -> Alike | None:
    """What is around a part of the body, or all of it."""
    if payload.count(text) != 1:
        return None
    before, after = payload.split(text)
    if not before or not after or len(before) + len(after) > _AROUND_MAX:
        return None
    body_before, _, body_after = bytes(envelope.body).partition(text)
    begin, end = envelope.around
    return Alike(action, before, after, begin + body_before, body_after + end)
