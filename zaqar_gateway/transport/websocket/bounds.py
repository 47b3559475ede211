"""The bounds of a WebSocket, and of all together."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from attrs import field, frozen


def _at_least(least: float) -> Callable[[Any, Any, Any], None]:
    def check(instance: Any, attribute: Any, value: float) -> None:
        if value < least:
            raise ValueError(f"{attribute.name} is {value}; it has to be {least} or more")

    return check


@frozen(kw_only=True)
class WebSocketBounds:
    """What one socket, and all of them together, may take.

    :ivar message_max: bytes of a message, after inflation; a longer one closes the connection with 1009.
    :ivar in_flight_max: requests of one socket that may be under way; beyond it the socket is not read.
    :ivar write_buffer_max: bytes that a peer may leave unread before it is read no more.
    :ivar drain_timeout_s: seconds in which it then has to read all of them, or it is closed with 1008.
    :ivar ping_interval_s: seconds between the pong of a ping and the next one; 0: none.
    :ivar ping_timeout_s: seconds after which a peer that did not answer a ping is dropped.
    :ivar open_timeout_s: seconds that the opening handshake may take.
    :ivar close_timeout_s: seconds that the closing handshake may take.
    :ivar authentication_timeout_s: seconds until somebody has to have authenticated, where there is authentication; a good
        signature in a frame begins them anew.
    :ivar unauthenticated_frames_max: how many frames a socket may send meanwhile; either bound closes it with 1008.
    :ivar expiry_warning_s: seconds before the end of its token at which a socket is told of it; 0: it is not.
    :ivar idle_timeout_s: seconds without a request or a push after which a socket is closed with 1008, or up to twice as
        many; 0: never.
    :ivar handshake_max: bytes of the request head.
    :ivar headers_max: header lines in it.
    :ivar connections_max: how many connections there may be; the next is refused with 503.  0: any number.
    :ivar per_project_max: how many sockets a project may have; the next is closed with 1013.  0: any number.
    :ivar slow_max_s: for how many seconds a peer may leave unread what was pushed while there is more, before it is closed with
        1008; 0: for any time, falling behind.
    :ivar allowed_origins: patterns of the origins that browsers may come from, besides those of :class:`.Origins`.
    :ivar deflate: whether compression (RFC 7692) is agreed to where a client offers it.
    """

    message_max: int = field(default=1024 * 1024, validator=_at_least(1))
    in_flight_max: int = field(default=64, validator=_at_least(1))
    write_buffer_max: int = field(default=4 * 1024 * 1024, validator=_at_least(0))
    drain_timeout_s: float = field(default=30, validator=_at_least(0))
    ping_interval_s: float = field(default=30, validator=_at_least(0))
    ping_timeout_s: float = field(default=30, validator=_at_least(0))
    open_timeout_s: float = field(default=10, validator=_at_least(0))
    close_timeout_s: float = field(default=5, validator=_at_least(0))
    authentication_timeout_s: float = field(default=30, validator=_at_least(0))
    unauthenticated_frames_max: int = field(default=64, validator=_at_least(1))
    expiry_warning_s: float = field(default=0, validator=_at_least(0))
    idle_timeout_s: float = field(default=0, validator=_at_least(0))
    handshake_max: int = field(default=32 * 1024, validator=_at_least(1024))
    headers_max: int = field(default=100, validator=_at_least(1))
    connections_max: int = field(default=0, validator=_at_least(0))
    per_project_max: int = field(default=0, validator=_at_least(0))
    slow_max_s: float = field(default=0, validator=_at_least(0))
    allowed_origins: Sequence[str] = ()
    deflate: bool = True
