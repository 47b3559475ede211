"""Frames of a connection that differ in nothing but their bodies, or the messages that these bring.

A client says the same of itself with every frame, and asks for the same few actions.  So where in a frame the body is, is found out
once; of the next ones the text around it is compared, and only what is between is read.  To read a frame anew takes a fifth of all
that a post takes.
"""

from __future__ import annotations

from typing import Any

import msgspec

from zaqar_gateway.interfaces import IListener
from zaqar_gateway.operations import documents
from zaqar_gateway.transport.websocket.codec import Action, Echo, Envelope

_AROUND_MAX = 2048  # bytes
_BLANK = ord(" ")


class Alike(msgspec.Struct, eq=False):
    """What some frames have in common.

    :ivar before: JSON text up to where they differ: the body, or a member of it that can be decoded by itself.
    :ivar after: what follows it.
    :ivar echo_before: what their replies begin with, up to that.
    :ivar echo_after: what follows it.
    :ivar others: the other fields, where it is a member of the body.
    """

    action: Action
    before: bytes
    after: bytes
    echo_before: bytes
    echo_after: bytes
    others: dict[str, Any] | None = None

    def read(self, payload: bytes, listener: IListener | None) -> tuple[msgspec.Struct, Echo] | None:
        """The fields of a frame that begins like these, and the echo of it; ``None``: it is not like them.

        What is found between is JSON text, and so a value in the same place of the same document.

        :param payload: text, of which the protocol has found that it is UTF-8.
        :param listener: the connection.
        :raises BadBody: something is wrong with it.
        :raises EnvelopeError: likewise.
        """
        after, others = self.after, self.others
        if not payload.endswith(after):
            return None
        text = payload[len(self.before) : -len(after)]
        if not text or text[0] <= _BLANK or text[-1] <= _BLANK:  # which is no part of it
            return None
        if others is None:
            documents.check(text, 1, is_utf8=True)
            asked = self.action.fields(text, listener)
        else:
            documents.check(text, 2, is_utf8=True)
            asked = self.action.fields_at_once(text, others)
        return asked, (self.echo_before, text, self.echo_after)


def alike(payload: bytes, envelope: Envelope, action: Action, asked: msgspec.Struct, is_whole: bool) -> Alike | None:
    """What all frames have in common that are like this one; ``None``: it is not certain where in it that is in which they differ.

    :param is_whole: whether they may differ in all of their bodies.
    """
    body = text = bytes(envelope.body)
    others = None
    if not is_whole:
        if action.at_once is None:
            return None
        member = action.at_once[0]
        others = {name: getattr(asked, name) for name in asked.__struct_fields__ if name != member}
        text = bytes(getattr(asked, member))
    if payload.count(text) != 1:
        return None
    before, after = payload.split(text)
    if not before or not after or len(before) + len(after) > _AROUND_MAX:
        return None
    body_before, _, body_after = body.partition(text)
    begin, end = envelope.around
    return Alike(action, before, after, begin + body_before, body_after + end, others)
