"""Signatures of deliveries by HTTP, as Standard Webhooks has them.  Pure."""

from __future__ import annotations

import base64
import hmac
from collections.abc import Iterable, Sequence


def signatures(keys: Sequence[bytes], delivery_id: str, timestamp_s: int, body: bytes | Iterable[bytes]) -> str:
    """The value of ``webhook-signature``: one signature by each key (Standard Webhooks, "Webhook Headers").

    :param keys: more than one while receivers change over to another; they accept what any key that they know signed.
    :param delivery_id: the value of ``webhook-id``.
    :param timestamp_s: the value of ``webhook-timestamp``; seconds since the epoch.
    :param body: whole, or in pieces.
    """
    head = b"%s.%d." % (delivery_id.encode(), timestamp_s)
    made = [hmac.new(key, head, "sha256") for key in keys]
    for piece in (body,) if isinstance(body, bytes) else body:
        for each in made:
            each.update(piece)
    return " ".join(f"v1,{base64.b64encode(each.digest()).decode()}" for each in made)
