"""An answer of HTTP to what no operation sees: it cannot be read, may not come in, or not now; and the ids of answers."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from itertools import count
from random import getrandbits

TITLES = {
    400: "Bad Request",
    403: "Not authorized",
    405: "405 Method Not Allowed",
    408: "Request Timeout",
    414: "URI Too Long",
    417: "Expectation Failed",
    426: "Upgrade Required",
    429: "Too many requests",
    431: "Request Header Fields Too Large",
    500: "Internal server error",
    501: "Not Implemented",
    503: "Service temporarily unavailable",
}
"""Status to short class of the error (API reference, "Error bodies")."""

_ids: Iterator[int]
_id_start: bytes


def _begin_ids() -> None:
    global _ids, _id_start
    digits = f"{getrandbits(76):019x}"
    _id_start = f"req-{digits[:8]}-{digits[8:12]}-4{digits[12:15]}-8{digits[15:18]}-".encode()
    _ids = count(getrandbits(44))


_begin_ids()
os.register_at_fork(after_in_child=_begin_ids)


def request_id() -> bytes:
    """A new id for a response: ``req-`` and the form of a random UUID (RFC 9562, version 4).

    It is for logs and no secret.  So its first 76 bits are drawn for the process and the others are counted, which takes a
    seventh of the time of drawing all of them.
    """
    return _id_start + next(_ids).to_bytes(6).hex().encode()  # half of what it takes to format it


def refusal(status: int, title: str, description: str) -> tuple[int, list[tuple[bytes, bytes]], bytes]:
    """Status, header fields and body for an error (API reference, "Error bodies").

    :param title: short class of the error.
    :param description: explanation for the client; an empty one is left out.
    """
    document = {"title": title, "description": description} if description else {"title": title}
    body = json.dumps(document, ensure_ascii=False).encode()
    fields = [(b"Content-Type", b"application/json"), (b"Vary", b"Accept"), (b"x-openstack-request-id", request_id())]
    return status, fields, body
