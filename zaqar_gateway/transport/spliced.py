"""Messages as JSON text, spliced from what is known of them.  Pure.

A page of a listing is mostly this.  To have an encoder write it, a value has to be made for each message and for its body, which
takes half as long again.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

from zaqar_gateway.model import Message


def spliced(messages: Sequence[Message], link: bytes = b"", tail: bytes = b"") -> list[bytes]:
    """JSON objects with commas between them, in pieces to be joined: id, ``href`` where there is one, ttl, age and body.

    :param link: what ``href`` begins with; the id comes behind it, and the claim that the message is under.  Empty: there is none.
    :param tail: JSON text of further members, each behind a comma.
    """
    if not messages:
        return []
    more = tail + b'},{"id":"'
    link = link and b'","href":"' + link
    ttl_s = age_s = -1
    claim_id, about = None, b""
    parts = [b'{"id":"']
    for message in messages:
        # Most of a page have the same.
        if message.age_s != age_s or message.ttl_s != ttl_s or message.claim_id != claim_id:
            ttl_s, age_s, claim_id = message.ttl_s, message.age_s, message.claim_id
            about = _about(ttl_s, age_s)
            if link and claim_id is not None:
                about = b"?claim_id=" + claim_id.encode() + about
        name = message.id.encode()
        parts += (name, link, name, about, message.body, more) if link else (name, about, message.body, more)
    parts[-1] = tail + b"}"
    return parts


@lru_cache(1024)  # most are read within seconds
def _about(ttl_s: int, age_s: int) -> bytes:
    return b'","ttl":%d,"age":%d,"body":' % (ttl_s, age_s)
