"""Encryption at rest, around any store: bodies of the queues that ask for it (API reference, "Encryption at rest").

An encrypted body is one byte that no JSON text begins with, the id of the key (4 bytes), a random nonce (12 bytes), and
the body by AES-256-GCM with its tag (16 bytes).  So every body tells by itself whether it is encrypted and with which
key; no client can make one, since what clients post is JSON; queues may hold both kinds; and a queue that does not ask
costs a look at the first byte.

What is authenticated besides the body is the project, so that no body can be passed off as one of another project.  The
queue is not: a dead letter moves to another queue as it is stored, and on from there.

The store knows whether a queue asks, and takes a post only as the queue asks for it.  The answer is remembered, so that
a post takes one step in the store nearly always.  While the first post to a queue finds it out, what comes after it in
that queue waits: requests of one socket take effect in their order.
"""

from __future__ import annotations

import secrets
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Collection, Coroutine, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from hashlib import sha256
from typing import Any

from attrs import define, field, frozen
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from msgspec.structs import replace
from twisted.internet.defer import Deferred
from twisted.logger import Logger
from zope.interface import implementer

from zaqar_gateway.errors import (
    EncryptionDiffers,
    GatewayError,
    KeyUnknown,
    StoreError,
    StoreFault,
    StoreUnavailable,
)
from zaqar_gateway.interfaces import IClaimStore, IMessageStore, IQueueStore, IStorage
from zaqar_gateway.model import (
    ENCRYPTED,
    KEY_ID_SIZE,
    Claim,
    Message,
    MessagePage,
    NewMessage,
    QueueEntry,
    QueueRules,
    QueueStats,
    Volume,
)

SECRET = "encryption-key"
"""The name under which the store keeps the random key that is used where none is configured."""

REMEMBERED = 10_000
"""Of how many queues it is remembered whether they ask for encryption."""

_INFO = b"zaqar-gateway bodies of messages, AES-256-GCM"
_NONCE_SIZE = 12
_HEAD_SIZE = len(ENCRYPTED) + KEY_ID_SIZE
_POST_TRIES = 10

_log = Logger()


# -- keys --------------------------------------------------------------------------------------------------------------


@frozen
class Key:
    """A key for bodies.

    :ivar id: tells keys apart, and tells nothing else.
    """

    id: bytes
    _cipher: AESGCM = field(repr=False)

    @classmethod
    def of(cls, secret: bytes) -> Key:
        """The key that follows from a secret (HKDF with SHA-256, RFC 5869)."""
        key = HKDF(SHA256(), 32, salt=None, info=_INFO).derive(secret)
        return cls(sha256(key).digest()[:KEY_ID_SIZE], AESGCM(key))

    def seal(self, project: str, body: bytes) -> bytes:
        """Encrypt."""
        head, nonce = ENCRYPTED + self.id, secrets.token_bytes(_NONCE_SIZE)
        return head + nonce + self._cipher.encrypt(nonce, body, head + _project(project))

    def open(self, project: str, stored: bytes) -> bytes | None:
        """Decrypt; ``None`` where this is not what the key encrypted in this project."""
        nonce, rest = stored[_HEAD_SIZE : _HEAD_SIZE + _NONCE_SIZE], stored[_HEAD_SIZE + _NONCE_SIZE :]
        try:
            return self._cipher.decrypt(nonce, rest, stored[:_HEAD_SIZE] + _project(project))
        except (InvalidTag, ValueError):  # the nonce of what was cut short is too short
            return None


def _project(name: str) -> bytes:
    return name.encode("utf-8", "surrogatepass")


class Keyring:
    """The keys of a gateway.

    :param secret: :meth:`~zaqar_gateway.interfaces.IStorage.secret` of the store.
    :param passphrase: what encrypts; empty: a random key, which the store keeps for all gateways from its first use on.
    :param previous: what decrypts besides.
    """

    def __init__(
        self, secret: Callable[[str, bytes], Awaitable[bytes]], passphrase: str = "", previous: Sequence[str] = ()
    ) -> None:
        self._secret = secret
        self._keys: dict[bytes, Key] = {}
        self._kept: dict[bytes, bytes] = {}  # secrets of random keys, by the ids of the keys
        self._configured = bool(passphrase)
        self._current: Key | None = self._add(passphrase.encode()) if passphrase else None
        for each in previous:
            self._add(each.encode())

    def _add(self, secret: bytes) -> Key:
        key = Key.of(secret)
        return self._keys.setdefault(key.id, key)

    def _add_kept(self, secret: bytes) -> Key:
        key = self._add(secret)
        self._kept[key.id] = secret
        return key

    @property
    def ids(self) -> Collection[bytes]:
        """The ids of the keys at hand."""
        return self._keys.keys()

    async def current(self) -> Key:
        """The key that encrypts."""
        if self._current is None:
            fresh = secrets.token_bytes(32)
            kept = await self._secret(SECRET, fresh)
            if kept == fresh:
                _log.warn("made a random key for encrypted bodies that is kept beside the data, in the store")
            self._current = self._add_kept(kept)
        return self._current

    async def keep(self, key: Key) -> None:
        """See to it that the store still has the random key of a body, which else nobody could read later on."""
        secret = self._kept.get(key.id)
        if secret is None:
            return
        kept = await self._secret(SECRET, secret)
        if kept != secret:  # the store had lost everything, and another gateway has made another key
            await self._secret(_place(key.id), secret)
            self._current = self._add_kept(kept)

    async def find(self, key_id: bytes) -> Key | None:
        """The key with an id: one at hand, or one that the store keeps."""
        if key_id not in self._keys and (kept := await self._secret(SECRET, b"")):
            found = self._add_kept(kept)
            if not self._configured:
                self._current = found
        if key_id not in self._keys and (kept := await self._secret(_place(key_id), b"")):
            self._add_kept(kept)
        return self._keys.get(key_id)


def _place(key_id: bytes) -> str:
    return f"{SECRET}-{key_id.hex()}"


# -- what is known of queues -------------------------------------------------------------------------------------------


class _Queues:
    """What the store's answers have told of queues, and whose turn it is in a queue of which nothing is known.

    :ivar waiting: for each queue of which a post is finding it out, who waits for that.
    """

    def __init__(self, bound: int) -> None:
        self._bound = bound
        self._asks: OrderedDict[tuple[str, str], bool] = OrderedDict()
        self.waiting: dict[tuple[str, str], list[Deferred[None]]] = {}

    def asks(self, queue: tuple[str, str]) -> bool | None:
        """Whether a queue asks for encryption, by the last answer; ``None``: there was none."""
        asks = self._asks.get(queue)
        if asks is not None:
            self._asks.move_to_end(queue)
        return asks

    def learn(self, queue: tuple[str, str], asks: bool) -> None:
        self._asks[queue] = asks
        if len(self._asks) > self._bound:
            self._asks.popitem(last=False)

    def forget(self, queue: tuple[str, str]) -> None:
        self._asks.pop(queue, None)

    async def doubt(self, queue: tuple[str, str]) -> None:
        """Forget what a refusal has shown to be wrong, and wait for one's turn to find it out."""
        self.forget(queue)
        await self.turn(queue)

    async def turn(self, queue: tuple[str, str]) -> None:
        """Wait until nobody is finding it out; who came first goes on first."""
        while queue in self.waiting:
            mine: Deferred[None] = Deferred()
            self.waiting[queue].append(mine)
            await mine

    @contextmanager
    def finding_out(self, queue: tuple[str, str]) -> Iterator[None]:
        """Have others wait meanwhile."""
        self.waiting[queue] = []
        try:
            yield
        finally:
            for one in self.waiting.pop(queue):
                one.callback(None)


# -- the store ---------------------------------------------------------------------------------------------------------


@define(eq=False)
class Opener:
    """Makes of bodies as they are stored what clients posted."""

    _keyring: Keyring

    async def open(self, project: str, queue: str, body: bytes) -> bytes:
        """:param body: one that begins with :data:`~zaqar_gateway.model.ENCRYPTED`.

        :raises KeyUnknown: it wants a key that is not at hand.
        :raises StoreFault: it is not what that key encrypted.
        """
        key_id = body[len(ENCRYPTED) : _HEAD_SIZE]
        key = await self._keyring.find(key_id)
        if key is None:
            raise KeyUnknown(project, queue, key_id)
        text = key.open(project, body)
        if text is None:
            raise StoreFault(
                "A message cannot be decrypted.",
                cause=f"queue {queue} of project {project} has a body that key {key_id.hex()} did not encrypt there",
            )
        return text

    async def open_all(self, project: str, queue: str, messages: Sequence[Message]) -> list[Message]:
        """The same messages with plain bodies; errors are those of :meth:`open`."""
        return [
            replace(one, body=await self.open(project, queue, one.body), stored=one.body)
            if one.body.startswith(ENCRYPTED)
            else one
            for one in messages
        ]


def _any_encrypted(messages: Sequence[Message]) -> bool:
    for one in messages:
        if one.body.startswith(ENCRYPTED):
            return True
    return False


@implementer(IMessageStore)
@define(eq=False)
class EncryptingMessages:
    """Messages of :class:`EncryptingStorage`."""

    _store: IMessageStore
    _keyring: Keyring
    _opener: Opener
    _queues: _Queues

    async def post(
        self,
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
        place = (project, queue)
        if self._queues.waiting:
            await self._queues.turn(place)
        known = self._queues.asks(place)
        if encrypted or known is False:  # nearly every post: the shortest way
            try:
                return await self._store.post(
                    project,
                    queue,
                    client,
                    messages,
                    size=size,
                    ttl_default_s=ttl_default_s,
                    size_max=size_max,
                    encrypted=encrypted,
                )
            except EncryptionDiffers:
                if encrypted:
                    raise
                await self._queues.doubt(place)
        post = partial(
            self._store.post, project, queue, client, size=size, ttl_default_s=ttl_default_s, size_max=size_max
        )
        if known:
            try:
                return await self._post_sealed(post, project, messages)
            except EncryptionDiffers:
                await self._queues.doubt(place)
        with self._queues.finding_out(place):
            asks = self._queues.asks(place) or False
            for _ in range(_POST_TRIES):
                try:
                    ids = await (self._post_sealed(post, project, messages) if asks else post(messages))
                except EncryptionDiffers:
                    asks = not asks
                else:
                    self._queues.learn(place, asks)
                    return ids
        raise StoreUnavailable("Whether the queue asks for encryption is changed by many at once.")

    async def _post_sealed(
        self, post: Callable[..., Awaitable[list[str]]], project: str, messages: Sequence[NewMessage]
    ) -> list[str]:
        key = await self._keyring.current()
        sealed = [replace(one, body=key.seal(project, one.body)) for one in messages]
        # Sent before the post, so that it takes no time of its own, and the key is there before the body is.
        keeping = Deferred.fromCoroutine(self._keyring.keep(key))
        try:
            ids = await post(sealed, encrypted=True)
        except GatewayError:
            keeping.addErrback(lambda failure: None)  # what it would tell is told
            raise
        await keeping
        return ids

    async def get(self, project: str, queue: str, ids: Sequence[str]) -> list[Message]:
        found = await self._store.get(project, queue, ids)
        return await self._opener.open_all(project, queue, found) if _any_encrypted(found) else found

    async def list(
        self,
        project: str,
        queue: str,
        *,
        marker: str | None,
        limit: int,
        skip_client: bytes | None,
        include_claimed: bool,
        include_delayed: bool,
    ) -> MessagePage:
        if self._queues.waiting:
            await self._queues.turn((project, queue))
        page = await self._store.list(
            project,
            queue,
            marker=marker,
            limit=limit,
            skip_client=skip_client,
            include_claimed=include_claimed,
            include_delayed=include_delayed,
        )
        if _any_encrypted(page.messages):
            return replace(page, messages=await self._opener.open_all(project, queue, page.messages))
        return page

    def delete(
        self, project: str, queue: str, message_id: str, claim_id: str | None
    ) -> Coroutine[Any, Any, None]:
        return self._store.delete(project, queue, message_id, claim_id)

    def delete_many(
        self, project: str, queue: str, ids: Sequence[str], claim_ids: Sequence[str] | None
    ) -> Coroutine[Any, Any, None]:
        return self._store.delete_many(project, queue, ids, claim_ids)

    async def pop(
        self, project: str, queue: str, limit: int, *, key_ids: Collection[bytes] | None = None
    ) -> Sequence[Message]:
        if self._queues.waiting:
            await self._queues.turn((project, queue))
        while True:
            try:
                popped = await self._store.pop(project, queue, limit, key_ids=self._keyring.ids)
            except KeyUnknown as error:
                if await self._keyring.find(error.key_id) is None:
                    raise
            else:
                return await self._opener.open_all(project, queue, popped) if _any_encrypted(popped) else popped


@implementer(IClaimStore)
@define(eq=False)
class EncryptingClaims:
    """Claims of :class:`EncryptingStorage`."""

    _store: IClaimStore
    _opener: Opener
    _queues: _Queues

    async def create(self, project: str, queue: str, ttl_s: int, grace_s: int, limit: int) -> Claim | None:
        if self._queues.waiting:
            await self._queues.turn((project, queue))
        claim = await self._store.create(project, queue, ttl_s, grace_s, limit)
        if claim is None or not _any_encrypted(claim.messages):
            return claim
        try:
            return replace(claim, messages=await self._opener.open_all(project, queue, claim.messages))
        except StoreError:
            with suppress(StoreError):  # the claim lapses, then
                await self._store.release(project, queue, claim.id)
            raise

    async def get(self, project: str, queue: str, claim_id: str) -> Claim | None:
        claim = await self._store.get(project, queue, claim_id)
        if claim is None or not _any_encrypted(claim.messages):
            return claim
        return replace(claim, messages=await self._opener.open_all(project, queue, claim.messages))

    def update(
        self, project: str, queue: str, claim_id: str, ttl_s: int, grace_s: int
    ) -> Coroutine[Any, Any, bool]:
        return self._store.update(project, queue, claim_id, ttl_s, grace_s)

    def release(self, project: str, queue: str, claim_id: str) -> Coroutine[Any, Any, None]:
        return self._store.release(project, queue, claim_id)


@implementer(IQueueStore)
@define(eq=False)
class EncryptingQueues:
    """Queues of :class:`EncryptingStorage`: what is changed here need not be found out by a refusal."""

    _store: IQueueStore
    _queues: _Queues

    async def create(self, project: str, queue: str, metadata: bytes, rules: QueueRules) -> bool:
        await self._change(project, queue)
        return await self._store.create(project, queue, metadata, rules)

    def get(self, project: str, queue: str) -> Coroutine[Any, Any, bytes | None]:
        return self._store.get(project, queue)

    async def update(self, project: str, queue: str, seen: bytes, metadata: bytes, rules: QueueRules) -> bool:
        await self._change(project, queue)
        return await self._store.update(project, queue, seen, metadata, rules)

    async def delete(self, project: str, queue: str) -> None:
        await self._change(project, queue)
        await self._store.delete(project, queue)

    async def _change(self, project: str, queue: str) -> None:
        await self._queues.turn((project, queue))
        self._queues.forget((project, queue))

    def count(self, project: str) -> Coroutine[Any, Any, int]:
        return self._store.count(project)

    async def stats(self, project: str, queue: str) -> QueueStats | None:
        await self._queues.turn((project, queue))
        return await self._store.stats(project, queue)

    async def purge(self, project: str, queue: str) -> None:
        await self._queues.turn((project, queue))
        await self._store.purge(project, queue)

    def list(self, project: str, marker: str, limit: int) -> Coroutine[Any, Any, list[QueueEntry]]:
        return self._store.list(project, marker, limit)


@implementer(IStorage)
class EncryptingStorage:
    """A store that encrypts what has to be encrypted, around one that keeps it.

    :param passphrase: what encrypts; empty: a random key that the store keeps.
    :param previous: what decrypts besides.
    :param remembered: of how many queues, and topics, it is remembered whether they ask for encryption.
    :ivar opener: for whoever reads bodies in another way.
    """

    def __init__(
        self, store: IStorage, passphrase: str = "", previous: Sequence[str] = (), *, remembered: int = REMEMBERED
    ) -> None:
        self._store = store
        keyring = Keyring(store.secret, passphrase, previous)
        self.opener = Opener(keyring)
        queues, topics = _Queues(remembered), _Queues(remembered)
        self.queues = EncryptingQueues(store.queues, queues)
        self.messages = EncryptingMessages(store.messages, keyring, self.opener, queues)
        self.claims = EncryptingClaims(store.claims, self.opener, queues)
        self.topics = EncryptingQueues(store.topics, topics)
        self.topic_messages = EncryptingMessages(store.topic_messages, keyring, self.opener, topics)

    async def ping(self) -> None:
        await self._store.ping()

    async def secret(self, name: str, fresh: bytes) -> bytes:
        return await self._store.secret(name, fresh)

    async def volume(self) -> Volume:
        return await self._store.volume()
