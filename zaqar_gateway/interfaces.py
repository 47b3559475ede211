"""The seams: what a storage backend, an identity and whatever else plugs in has to provide.

Every argument has been checked by the caller: names, ranges, JSON.  Durations are whole seconds.  A method that
raises :class:`~zaqar_gateway.errors.StoreUnavailable` with ``outcome_unknown`` may or may not have taken effect; with
any other error nothing has.  Each method is one indivisible step for everybody who looks at the store.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence

from zope.interface import Attribute, Interface

from zaqar_gateway.model import (
    Claim,
    Context,
    Message,
    MessagePage,
    NewMessage,
    QueueEntry,
    QueueRules,
    QueueStats,
    SignedUrl,
    Volume,
)


class IQueueStore(Interface):
    """Queues of projects: a name, metadata (a JSON object, opaque here), and the rules taken from them.

    Topics are queues to a store; they have names of their own (:class:`IStorage`).
    """

    async def create(project: str, queue: str, metadata: bytes, rules: QueueRules) -> bool:
        """Create a queue; leave one that exists as it is.

        :return: whether it was created by this call.
        """

    async def get(project: str, queue: str) -> bytes | None:
        """The metadata as stored, or ``None`` where the queue does not exist."""

    async def update(project: str, queue: str, seen: bytes, metadata: bytes, rules: QueueRules) -> bool:
        """Replace the metadata if they are still, byte for byte, what the caller has seen.

        :return: whether they were replaced; ``False`` also where the queue does not exist.
        """

    async def delete(project: str, queue: str) -> None:
        """Remove a queue with its messages and claims.  A missing queue is no error.

        The time this takes does not depend on how much there is to remove.
        """

    async def list(project: str, marker: str, limit: int) -> list[QueueEntry]:
        """Up to ``limit`` queues whose names are greater than ``marker``, in the order of their code points."""

    async def count(project: str) -> int:
        """How many queues the project has."""

    async def stats(project: str, queue: str) -> QueueStats | None:
        """Counts and edges; ``None`` where the queue does not exist."""

    async def purge(project: str, queue: str) -> None:
        """Remove all messages, whatever their state, and all claims; keep the queue and its metadata."""


class IMessageStore(Interface):
    """Messages of a queue, in the order in which they were accepted.

    An id contains the position of its message, sorts like it, and is a marker: a marker keeps its position when its
    message is gone.  A text that is no id is the id of nothing.
    """

    async def post(
        project: str,
        queue: str,
        client: bytes,
        messages: Sequence[NewMessage],
        *,
        size: int,
        ttl_default_s: int,
        size_max: int,
        encrypted: bool = False,
    ) -> list[str]:
        """Append messages, all or none; create the queue where it is missing.

        :param client: who posts, in the canonical bytes of :class:`~zaqar_gateway.model.Context`.
        :param size: the size of the whole post in bytes, held against the smaller of the queue's own limit and
            ``size_max``.
        :param ttl_default_s: for messages without a ttl in a queue without a default.
        :param encrypted: whether the bodies are encrypted, which has to be as the queue's rules say.
        :return: the ids in the order of ``messages``.
        :raises RuleBroken: the post is too large; nothing was stored and no queue created.
        :raises EncryptionDiffers: ``encrypted`` is not as the queue's rules say; nothing was stored.
        """

    async def get(project: str, queue: str, ids: Sequence[str]) -> list[Message]:
        """The live messages among ``ids``, claimed and delayed ones too, in the order of ``ids``."""

    async def list(
        project: str,
        queue: str,
        *,
        marker: str | None,
        limit: int,
        skip_client: bytes | None,
        include_claimed: bool,
        include_delayed: bool,
    ) -> MessagePage:
        """A page of live messages after ``marker`` in queue order.

        The page is empty only where no visible message follows.  A marker that has not the form of an id gives an
        empty page; ``None`` is the beginning.

        :param skip_client: leave out the messages that this client posted.
        :param include_delayed: taken as true in a queue without a default delay.
        """

    async def delete(project: str, queue: str, message_id: str, claim_id: str | None) -> None:
        """Delete one message; a missing one, or a missing queue, is no error.

        :raises MessageClaimed: a live claim holds it, and ``claim_id`` is not given or is another live claim of the
            queue.
        :raises ClaimMismatch: ``claim_id`` is given, and the message is not claimed or the claim is not live.
        """

    async def delete_many(
        project: str, queue: str, ids: Sequence[str], claim_ids: Sequence[str] | None
    ) -> None:
        """Delete the messages that exist among ``ids``, claimed or not.

        :param claim_ids: where given, each message has to be under one of these live claims, or none is deleted.
        :raises ClaimMismatch: ``claim_ids`` is given and one of the messages is not under any of them.
        """

    async def pop(
        project: str, queue: str, limit: int, *, key_ids: Collection[bytes] | None = None
    ) -> Sequence[Message]:
        """Remove and return up to ``limit`` deliverable messages, oldest first.

        :param key_ids: where given, the keys that encrypted bodies may want, so that none is lost that nobody can read.
        :raises KeyUnknown: one of the bodies wants another key; nothing was removed.
        """


class IClaimStore(Interface):
    """Claims on the messages of a queue.

    A message is held by at most one live claim.  When a claim lapses or is released its messages are free again at
    their old place.  A claim whose last message is deleted has ended.  Claim ids are opaque; a text that was never given out is the id of nothing.
    """

    async def create(project: str, queue: str, ttl_s: int, grace_s: int, limit: int) -> Claim | None:
        """Reserve the oldest deliverable messages of a queue.

        A message that would expire before the claim gets ``ttl_s + grace_s`` and an expiry ``grace_s`` after the
        claim's.  In a queue whose rules name a dead letter queue, a message that was handed out
        ``claim_count_max`` times moves there in the same step (created where it is missing), not claimed, at the
        end, with its id, body, age and count.

        :return: the claim, or ``None`` where nothing is deliverable; a missing queue has nothing.  Its messages carry
            its id, and their ttl as it is now.
        """

    async def get(project: str, queue: str, claim_id: str) -> Claim | None:
        """A live claim and the messages still in it; ``None`` for any other id."""

    async def update(project: str, queue: str, claim_id: str, ttl_s: int, grace_s: int) -> bool:
        """Renew a live claim from now, extending its messages as :meth:`create` does (an equal expiry extends too).

        :return: whether the claim was live.
        """

    async def release(project: str, queue: str, claim_id: str) -> None:
        """End a claim; its messages are free at once.  An unknown claim is no error."""


class IStorage(Interface):
    """A store: the parts share one place and see each other's effects at once.

    A topic and a queue of one name are different things: no effect on the one is seen in the other.
    """

    queues: IQueueStore = Attribute("Queues.")
    messages: IMessageStore = Attribute("Messages.")
    claims: IClaimStore = Attribute("Claims.")
    topics: IQueueStore = Attribute("Topics.")
    topic_messages: IMessageStore = Attribute("Messages of topics; nothing claims them.")

    async def ping() -> None:
        """Return when the store answers.

        :raises StoreError: it does not.
        """

    async def secret(name: str, fresh: bytes) -> bytes:
        """The secret that is kept under a name beside the data, for all who use the store.

        :param fresh: kept where there is none yet; if it is empty, none is kept then, and the answer is empty.
        """

    async def volume() -> Volume:
        """Count the messages of all projects, in queues and in topics; may be a few seconds old."""


class IUrlSigner(Interface):
    """Pre-signed URLs (API reference, "Pre-signed URLs")."""

    enabled: bool = Attribute("Whether there is a secret to sign with.")

    def sign(project: str, paths: Sequence[str], methods: Sequence[str], expires_s: int) -> SignedUrl:
        """Sign access to paths, and to what is below them.

        :param paths: absolute, not percent-encoded.
        :param expires_s: when it ends; seconds since the epoch.
        :return: the access with its paths and methods sorted.
        :raises RuleBroken: there is no secret, or something cannot be signed.
        """

    def allows(given: SignedUrl, method: str, path: str) -> bool:
        """Whether what somebody brings was signed here, has not ended, and covers a request.

        :param given: as it was brought, in any order; nothing of it is trusted.
        :param path: of the request, percent-decoded.
        """


class IIdentity(Interface):
    """Finds out who asks, from what a request carries."""

    def identify(headers: dict[bytes, bytes]) -> Context:
        """Who asks, by request headers with lower-case names.

        :raises Unauthorized: nobody is identified.
        :raises BadRequest: what identifies the caller is missing or malformed.
        """
