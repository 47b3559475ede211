"""The one place where the failure of an operation becomes a reply."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeVar

from twisted.logger import Logger

from zaqar_gateway.errors import GatewayError, StoreFault

_log = Logger()

Reply = TypeVar("Reply")


async def settle(work: Awaitable[Reply], describe: Callable[[GatewayError | None], Reply]) -> Reply:
    """The reply of an operation, or the description of why there is none.

    :param describe: gives the reply for an error; ``None`` is one of ours that nobody foresaw, which is in the log.
    """
    try:
        return await work
    except StoreFault as fault:
        _log.failure("the store failed: {detail}", detail=str(fault))
        return describe(fault)
    except GatewayError as error:
        return describe(error)
    except Exception:
        _log.failure("an operation failed")
        return describe(None)
