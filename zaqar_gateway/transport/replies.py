"""The one place where the failure of an operation becomes a reply."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeVar

from twisted.logger import Logger

from zaqar_gateway.errors import GatewayError, StoreFault, StoreUnavailable

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


async def settle(work: Awaitable[Reply], describe: Callable[[GatewayError | None], Reply]) -> Reply:
    """The reply of an operation, or the description of why there is none.

    :param describe: gives the reply for an error; ``None`` is one of ours that nobody foresaw, which is in the log.
    """
    try:
        return await work
    except StoreFault as fault:
        _log.failure("the store failed: {cause}", cause=fault.cause or str(fault))
        return describe(fault)
    except GatewayError as error:
        return describe(error)
    except Exception:
        _log.failure("an operation failed")
        return describe(None)
