"""Frames of a connection that differ in nothing but their bodies.

A client says the same of itself with every frame, and asks for the same few actions.  So where in a frame the body is, is found out
once; of the next ones the text around it is compared, and only what is between is read.  To read a frame anew takes a sixth of all
that a post takes.
"""

from __future__ import annotations

import msgspec

from zaqar_gateway.transport.websocket.codec import Action, Echo, Envelope

_AROUND_MAX = 2048  # bytes
_BLANK = ord(" ")


class Alike(msgspec.Struct, eq=False):
    """What some frames have in common.

    :ivar before: JSON text up to the body.
    :ivar after: what follows it.
    :ivar echo_before: what their replies begin with, up to the body.
    :ivar echo_after: what follows it.
    """

    action: Action
    before: bytes
    after: bytes
    echo_before: bytes
    echo_after: bytes

    def read(self, payload: bytes) -> tuple[bytes, Echo] | None:
        """The body of a frame that begins like these, and the echo of it; ``None``: it does not end so.

        Where the body is JSON text, it is a member in the same place of the same document.
        """
        after = self.after
        if not payload.endswith(after):
            return None
        body = payload[len(self.before) : -len(after)]
        if not body or body[0] <= _BLANK or body[-1] <= _BLANK:  # which is no part of it
            return None
        return body, (self.echo_before, body, self.echo_after)


def alike(payload: bytes, envelope: Envelope, action: Action) -> Alike | None:
    """What all frames have in common that are like this one; ``None``: it is not certain where in it the body is."""
    body = bytes(envelope.body)
    if payload.count(body) != 1:
        return None
    before, after = payload.split(body)
    if not before or not after or len(before) + len(after) > _AROUND_MAX:
        return None
    echo_before, _, echo_after = b"".join(envelope.echo).partition(body)
    return Alike(action, before, after, echo_before, echo_after)
