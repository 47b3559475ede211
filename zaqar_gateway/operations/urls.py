"""Pre-signed URLs: giving somebody without a token access to a part of a queue."""

from __future__ import annotations

import re
from typing import Any

from attrs import define
from twisted.internet.interfaces import IReactorTime

from zaqar_gateway import instants
from zaqar_gateway.clocks import time_of_day
from zaqar_gateway.errors import RuleBroken, repeated
from zaqar_gateway.interfaces import IUrlSigner
from zaqar_gateway.model import Context, SignedUrl
from zaqar_gateway.operations import documents, fields

SHARED = ("messages", "subscriptions", "claims")
"""What of a queue can be shared."""

MEMBERS = ("paths", "methods", "expires")
"""What the document of a request to share may have."""

_DAY_S = 86400
_INTEGER = re.compile(r"\s*[+-]?\d+\s*")


@define
class Urls:
    """The operations on pre-signed URLs.

    :param clock: what is in the future is in its future.
    """

    _signer: IUrlSigner
    _clock: IReactorTime

    async def share(self, ctx: Context, asked: fields.QueueShare) -> SignedUrl:
        """Sign access to parts of a queue; the queue is not looked up.

        :raises BadBody: the document is no JSON object.
        :raises RuleBroken: a member breaks the rules (API reference, "share"), or there is no secret to sign with.
        """
        document = documents.load_object(bytes(asked.document))
        for name in document:
            if name not in MEMBERS:
                raise RuleBroken(f"{repeated(name)!r} is not known here; the body can have {', '.join(MEMBERS)}.")
        paths = _texts(document, "paths") or ["messages"]
        for path in paths:
            if path not in SHARED:
                raise RuleBroken(f"paths has {repeated(path)!r}; each of them has to be one of {', '.join(SHARED)}.")
        return self._signer.sign(
            ctx.project,
            [f"/v2/queues/{asked.queue_name}/{path}" for path in paths],
            _texts(document, "methods") or ["GET"],
            self._expires_s(document.get("expires")),
        )

    def _expires_s(self, given: object) -> int:
        now_s = time_of_day(self._clock)
        if given is None:
            return int(now_s) + _DAY_S
        # Digits alone are a date of ISO 8601 at most by accident.
        expires_s = instants.parse(given) if isinstance(given, str) and not _INTEGER.fullmatch(given) else None
        if expires_s is None:
            raise RuleBroken("expires has to be a date and time of ISO 8601, such as 2030-01-01T00:00:00.")
        if expires_s <= now_s:
            raise RuleBroken(f"expires is {instants.text_of(expires_s)}; it has to be in the future.")
        return expires_s


def _texts(document: dict[str, Any], name: str) -> list[str]:
    value = document.get(name, [])
    if not isinstance(value, list) or not all(isinstance(one, str) for one in value):
        raise RuleBroken(f"{name} has to be an array of strings.")
    return value
