"""The one place where the failure of an operation becomes a reply."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeVar

from twisted.logger import Logger

from zaqar_gateway.errors import GatewayError, KeyUnknown, StoreFault, StoreUnavailable

_log = Logger()

Reply = TypeVar("Reply")


def text_of(error: GatewayError, status: int) -> str:
    """What a client is told of an error, on either transport."""
    parts = [str(error)]
    if isinstance(error, StoreUnavailable) and error.outcome_unknown:
        parts.append("The outcome is unknown: the request may have taken effect.")
    if status == 503:
        parts.append("Please try again in a few seconds.")
    return " ".join(parts)


def explained(error: Exception, describe: Callable[[GatewayError | None], Reply]) -> Reply:
    """The description of why an operation has no result.  To be called where the error is caught.

    :param describe: gives the reply for an error; ``None`` is one of ours that nobody foresaw, which is in the log.
    """
    if isinstance(error, KeyUnknown):
        _log.error("a request needs a body that cannot be read: {cause}", cause=error.cause)
    elif isinstance(error, StoreFault):
        _log.failure("the store failed: {cause}", cause=error.cause or str(error))
    elif not isinstance(error, GatewayError):
        _log.failure("an operation failed")
        return describe(None)
    return describe(error)


async def settle(work: Awaitable[Reply], describe: Callable[[GatewayError | None], Reply]) -> Reply:
    """The reply of an operation, or the description of why there is none; see :func:`explained`."""
    try:
        return await work
    except Exception as error:
        return explained(error, describe)
