"""The bounds of an HTTP connection."""

from __future__ import annotations

from attrs import frozen

DRAINED = 100
"""How many times the limit of a body a client may send before it reads that this was too much (API reference, "JSON bodies")."""

_ID_LENGTH = 24  # of the ids of zaqar_gateway.storage.ids
_LINE_WITHOUT_IDS = 1024  # the name of a queue has 64 characters, each of which may come as three


def line_of_ids(number: int, with_claims: bool) -> int:
    """The longest request line in bytes that names so many messages, each by a parameter of its own.

    :param with_claims: whether it may name as many claims.
    """
    each = len("&ids=") + _ID_LENGTH + (len("&claim_ids=") + _ID_LENGTH if with_claims else 0)
    return _LINE_WITHOUT_IDS + number * each


@frozen
class HttpBounds:
    """What one connection may take.  Sizes are bytes, times seconds.

    :ivar request_line_max: beyond it 414.
    :ivar head_max: request line, headers and the empty line; beyond it 431.
    :ivar headers_max: header lines; beyond it 431.
    :ivar tls_timeout_s: from the connection to the end of its TLS handshake.
    :ivar fresh_timeout_s: from there to the first byte.
    :ivar head_timeout_s: from the first byte of a head to its last; beyond it 408.
    :ivar body_timeout_s: from the head to the end of the body, beside what ``rate_min`` allows; beyond it 408.
    :ivar rate_min: bytes a second; a body that comes in, and replies that go out, get another second for each of these
        many bytes.
    :ivar idle_timeout_s: between two requests.
    :ivar drain_max: the most to read and drop of a body that is too large.  One that is larger is answered, and then
        the connection is closed.
    :ivar linger_s: how long what a peer still sends is dropped before a close, so that no reset destroys the answer;
        also how long the answer is worked on for a peer that has closed its side.
    :ivar pipeline_max: how much of further requests is read while one is being answered.
    :ivar write_timeout_s: how long a peer may leave its replies unread, beside what ``rate_min`` allows.  It counts
        from the moment that the buffer of the transport (64 KiB) is full; no further request is read until it is empty.
    :ivar connections_max: beyond it new connections are answered 503 and closed; 0 is unbounded.
    """

    request_line_max: int = 8192
    head_max: int = 32768
    headers_max: int = 100
    tls_timeout_s: float = 10
    fresh_timeout_s: float = 30
    head_timeout_s: float = 10
    body_timeout_s: float = 60
    rate_min: int = 16384
    idle_timeout_s: float = 75
    drain_max: int = 32 * 1024 * 1024
    linger_s: float = 5
    pipeline_max: int = 65536
    write_timeout_s: float = 60
    connections_max: int = 0
