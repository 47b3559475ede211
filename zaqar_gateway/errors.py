"""What a client may be told when something is refused or fails.

Each kind is one meaning.  No kind knows a status code: ``transport/status.py`` turns a kind into a status for each
transport.  ``str(error)`` is text for the client: it names the field, what was wrong, and what would be right, and holds
nothing of a secret or of another project.
"""

from __future__ import annotations


class GatewayError(Exception):
    """Base of everything that is told to a client."""


REPEATED_MAX = 64
"""Characters of a text of a client's that are repeated to it."""


def repeated(text: str) -> str:
    """A text of a client's, as an error repeats it: a long one by its beginning."""
    return text if len(text) <= REPEATED_MAX else f"{text[:REPEATED_MAX]}..."


# -- what the client sent cannot be accepted -------------------------------------------------------------------------


class BadRequest(GatewayError):
    """Something in the request is wrong; repeating it unchanged cannot succeed."""


class RuleBroken(BadRequest):
    """A limit or a rule of the API was broken: a range, a count, a size, a combination."""


class BadBody(BadRequest):
    """The body is absent, is not JSON or has a member of the wrong type."""


class BadParameter(BadRequest):
    """A query parameter cannot be read as what it has to be."""


class BadHeader(BadRequest):
    """A request header has a value that cannot be read."""


class MissingHeader(BadRequest):
    """A required request header is absent."""


class BadClientId(BadRequest):
    """The Client-ID is not of the form that this gateway accepts."""


class ProjectMissing(BadRequest):
    """No project is given."""


class ProjectEmpty(BadRequest):
    """The project is given as an empty text."""


class BadContentType(BadRequest):
    """The body is declared as a form."""


class BadQueueName(BadRequest):
    """A queue name, or the project that it belongs to, breaks the rules for names."""


class BadTopicName(BadRequest):
    """A topic name, or the project that it belongs to, breaks the rules for names."""


class NothingToUpdate(BadRequest):
    """A request to change a subscription names nothing that can be changed."""


class PoolUnfit(BadRequest):
    """The store that a pool names cannot be reached, or lacks what its flavor promises."""


class FlavorNotCreated(BadRequest):
    """A flavor cannot be made of the pools that it names."""


class FlavorNotUpdated(BadRequest):
    """A flavor cannot be changed to the pools that it names."""


class PoolMissing(BadRequest):
    """A pool that is named does not exist.

    :ivar pool: its name.
    """

    def __init__(self, pool: str) -> None:
        super().__init__(f"Pool {pool} does not exist")
        self.pool = pool


class ClaimMismatch(BadRequest):
    """A message is not under the claim that was given with the request to delete it."""


# -- the request is sound, the answer is no ---------------------------------------------------------------------------


class Unauthorized(GatewayError):
    """Nobody is identified by what the request carries."""


class Forbidden(GatewayError):
    """The caller lacks the role that the policy asks for."""


class MessageClaimed(GatewayError):
    """A message is under a live claim and the request does not carry that claim."""


class NotFound(GatewayError):
    """The resource does not exist, or not for this project."""


class Conflict(GatewayError):
    """The request contradicts what is stored."""


class SubscriberTaken(Conflict):
    """Another live subscription of the same queue or topic has this subscriber."""


class QuotaExceeded(GatewayError):
    """The project, or one of its queues, would have more than it may have; nothing was stored."""


class TooManyRequests(GatewayError):
    """The project has sent more, in a time, than it may send.

    :ivar retry_after_s: after how many seconds another try makes sense.
    """

    def __init__(self, detail: str, retry_after_s: int) -> None:
        super().__init__(detail)
        self.retry_after_s = retry_after_s


class Overloaded(GatewayError):
    """This process has as many requests in flight as it may have.

    :ivar retry_after_s: after how many seconds another try makes sense.
    """

    retry_after_s = 1


class PoolUriTaken(Conflict):
    """Another pool has this URI."""


class PoolNeeded(GatewayError):
    """A pool cannot go: it is the last one of a flavor, or queues are kept in it."""


class NotSupported(GatewayError):
    """The action is part of the API and this gateway does not offer it."""


# -- the store could not do it ----------------------------------------------------------------------------------------


class StoreError(GatewayError):
    """Base of the failures of the store."""


class StoreUnavailable(StoreError):
    """The store is away, busy, or refused for a cause that passes.

    :ivar outcome_unknown: whether the command was sent and no answer came, so that it may have taken effect.
    :ivar retry_after_s: after how many seconds another try makes sense.
    """

    def __init__(self, detail: str, *, outcome_unknown: bool = False, retry_after_s: int = 2) -> None:
        super().__init__(detail)
        self.outcome_unknown = outcome_unknown
        self.retry_after_s = retry_after_s


class IdentityUnavailable(GatewayError):
    """The identity service is not configured, or does not answer.

    :ivar retry_after_s: after how many seconds another try makes sense.
    """

    retry_after_s = 2


class StoreFault(StoreError):
    """The store answered with a fault that has no meaning to a client.

    :ivar cause: what the store said, for the log only.
    """

    def __init__(self, detail: str = "The store reported a fault.", *, cause: str = "") -> None:
        super().__init__(detail)
        self.cause = cause


class FilterFault(GatewayError):
    """A message filter failed; the cause is in the log, with its name."""

    def __init__(self) -> None:
        super().__init__("A message filter of the service failed; the cause is in its log.")


class QueueMissing(StoreFault):
    """A post was not to create the queue, and it does not exist; nothing was stored."""

    def __init__(self) -> None:
        super().__init__(cause="a post was not to create its queue, and that does not exist")


class EncryptionDiffers(StoreFault):
    """Bodies are encrypted and the queue does not ask for it, or the other way round; nothing was stored."""

    def __init__(self) -> None:
        super().__init__(cause="bodies were encrypted for a queue that does not ask for it, or plain for one that does")


class KeyUnknown(StoreFault):
    """A body is encrypted with a key that is not at hand.

    :ivar key_id: of that key.
    """

    def __init__(self, project: str, queue: str, key_id: bytes) -> None:
        super().__init__(
            "A message is encrypted with a key that this service does not have.",
            cause=f"queue {queue} of project {project} has a body that wants key {key_id.hex()}, which is not here",
        )
        self.key_id = key_id
