"""Kind of error to status, for each transport: the one table where the two differ (API reference, "Error bodies")."""

from __future__ import annotations

from typing import NamedTuple

from zaqar_gateway import errors


class Told(NamedTuple):
    """How a kind of error is told.

    :ivar http: the status on HTTP.
    :ivar title: the ``title`` of the body on HTTP.
    :ivar websocket: the status in a frame.
    """

    http: int
    title: str
    websocket: int


INTERNAL = Told(500, "Internal server error", 500)

_TOLD: dict[type[errors.GatewayError], Told] = {
    errors.RuleBroken: Told(400, "Invalid API request", 400),
    errors.BadBody: Told(400, "Invalid request body", 400),
    errors.BadParameter: Told(400, "Invalid parameter", 400),
    errors.BadHeader: Told(400, "Invalid header value", 400),
    errors.MissingHeader: Told(400, "Missing header value", 400),
    errors.BadClientId: Told(400, "Wrong UUID value", 400),
    errors.ProjectMissing: Told(400, "Project-Id Missing", 400),
    errors.ProjectEmpty: Told(400, "Empty project header not allowed", 400),
    errors.BadContentType: Told(400, "Invalid Content-Type", 400),
    errors.BadQueueName: Told(400, "Invalid queue identification", 400),
    errors.BadTopicName: Told(400, "Invalid topic identification", 400),
    errors.ClaimMismatch: Told(400, "Unable to delete", 400),
    errors.PoolUnfit: Told(400, "Unable to create pool", 400),
    errors.FlavorNotCreated: Told(400, "Unable to create", 400),
    errors.FlavorNotUpdated: Told(400, "updatefail", 400),
    errors.NothingToUpdate: Told(400, "Unable to update subscription", 400),
    errors.BadRequest: Told(400, "Invalid API request", 400),
    errors.Unauthorized: Told(401, "Unauthorized", 403),
    errors.Forbidden: Told(403, "Not authorized", 403),
    errors.MessageClaimed: Told(403, "Unable to delete", 403),
    errors.PoolNeeded: Told(403, "Unable to delete", 403),
    errors.NotFound: Told(404, "Not found", 404),
    errors.Conflict: Told(409, "Resource conflict", 409),
    errors.QuotaExceeded: Told(403, "Quota exceeded", 403),
    errors.TooManyRequests: Told(429, "Too many requests", 429),
    errors.Overloaded: Told(503, "Service temporarily unavailable", 503),
    errors.NotSupported: Told(501, "Not implemented", 501),
    errors.StoreUnavailable: Told(503, "Service temporarily unavailable", 503),
    errors.StoreFault: Told(503, "Service temporarily unavailable", 503),
    errors.IdentityUnavailable: Told(503, "Service temporarily unavailable", 503),
    errors.GatewayError: INTERNAL,
}

_POSTS = ("message_post", "topic_message_post")
_FAULT_OF_A_POST = INTERNAL
"""A fault of the store that nobody can explain is a 500 on HTTP where messages were posted, and a 503 elsewhere."""


def told(error: errors.GatewayError, operation: str = "") -> Told:
    """How an error is told; a subclass is told as its nearest kind.

    :param operation: the operation that it ended, where that makes a difference.
    """
    if operation in _POSTS and isinstance(error, errors.StoreFault):
        return _FAULT_OF_A_POST._replace(websocket=503)
    return told_kind(type(error))


def told_kind(kind: type[errors.GatewayError]) -> Told:
    """How errors of a kind are told, whatever operation they end."""
    for each in kind.__mro__:
        if each in _TOLD:
            return _TOLD[each]
    return INTERNAL


def titles(status: int) -> list[str]:
    """The titles that errors of a status have on HTTP."""
    return list(dict.fromkeys(each.title for each in _TOLD.values() if each.http == status))
