"""Offers of extensions in a handshake: those of ``permessage-deflate`` that cannot be taken up are declined, which fails nothing."""

from __future__ import annotations

import re

_HEADER = re.compile(rb"\r\nsec-websocket-extensions:([^\r]*)", re.IGNORECASE)
_DEFLATE = b"permessage-deflate"
_BITS = re.compile(rb"9|1[0-5]")  # zlib has no window of 8 bits
_PARAMETERS = {
    b"server_no_context_takeover": (None, False),
    b"client_no_context_takeover": (None, False),
    b"server_max_window_bits": (_BITS, False),
    b"client_max_window_bits": (_BITS, True),
}
"""Of each parameter its values, where it has some, and whether it may stand without one (RFC 7692, section 7.1)."""


def without_unfit(head: bytes) -> bytes:
    """The head of a request without the offers that are to be declined; the next one is considered (RFC 7692, section 5)."""
    return _HEADER.sub(_fit, head)


def _fit(header: re.Match[bytes]) -> bytes:
    offers = header[1].split(b",")
    fit = [offer for offer in offers if _is_fit(offer)]
    if len(fit) == len(offers):
        return header[0]
    return header[0][: -len(header[1])] + b",".join(fit) if fit else b""


def _is_fit(offer: bytes) -> bool:
    name, *parameters = (part.strip() for part in offer.lower().split(b";"))
    if name != _DEFLATE:
        return True  # it is passed over
    seen = set()
    for parameter in parameters:
        key, is_given, value = (part.strip() for part in parameter.partition(b"="))
        if len(value) > 1 and value[:1] == value[-1:] == b'"':
            value = value[1:-1]
        values, may_be_bare = _PARAMETERS.get(key, (None, None))
        if may_be_bare is None or key in seen:
            return False
        if not (values is not None and values.fullmatch(value) if is_given else values is None or may_be_bare):
            return False
        seen.add(key)
    return True
