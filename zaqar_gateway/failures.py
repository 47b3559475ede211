"""Why a call to another service failed, in words for operators."""

from __future__ import annotations

from OpenSSL import SSL
from twisted.internet.error import ConnectError, ConnectionClosed, DNSLookupError
from twisted.web.client import RequestTransmissionFailed, ResponseFailed, ResponseNeverReceived


class Explained(Exception):
    """A failure whose cause is known here; the text is for operators."""


def describe(error: BaseException | None) -> str:
    """What went wrong on the way, without anything that the other side wrote: that may repeat what it was sent."""
    if isinstance(error, ResponseFailed | ResponseNeverReceived | RequestTransmissionFailed) and error.reasons:
        return describe(error.reasons[-1].value)
    if isinstance(error, SSL.Error) and error.args and error.args[0]:
        return f"TLS failed: {error.args[0][-1][-1]}"
    if isinstance(error, Explained | DNSLookupError | ConnectError | ConnectionClosed):
        return str(error)
    return type(error).__name__
