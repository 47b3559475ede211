"""Header lines that tell browsers and caches to be careful; every answer of HTTP has them."""

from __future__ import annotations

ALWAYS = b"X-Content-Type-Options: nosniff\r\nX-Frame-Options: DENY\r\nReferrer-Policy: no-referrer\r\n"
"""No guessing of types, no frames, no referrers (WHATWG Fetch and HTML, Referrer Policy)."""

NO_STORE = b"Cache-Control: no-store\r\n"
"""Shared caches keep what was asked for with an X-Auth-Token, since to them only Authorization tells of somebody (RFC
9111, section 3.5).  Answers that say otherwise, such as documents that are the same for all, go without."""


def transport_security(max_age_s: int) -> bytes:
    """The line of Strict-Transport-Security (RFC 6797, section 6.1), for answers over TLS alone (section 7.2).

    :param max_age_s: how long clients keep to TLS; 0: nothing is said of it.
    """
    return b"Strict-Transport-Security: max-age=%d\r\n" % max_age_s if max_age_s else b""
