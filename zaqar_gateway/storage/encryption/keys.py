"""Keys for bodies, where they come from, and what opens with them."""

from __future__ import annotations

import secrets
from collections.abc import Awaitable, Callable, Collection, Sequence
from hashlib import sha256

from attrs import define, field, frozen
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from msgspec.structs import replace
from twisted.logger import Logger

from zaqar_gateway.errors import KeyUnknown, StoreFault
from zaqar_gateway.model import ENCRYPTED, KEY_ID_SIZE, Message, Post

SECRET = "encryption-key"
"""The name under which the store keeps the random key that is used where none is configured."""

_MARK = ENCRYPTED[0]  # to take a number out of bytes takes a third of what it takes to take bytes out of them
_INFO = b"zaqar-gateway bodies of messages, AES-256-GCM"
_NONCE_SIZE = 12
_HEAD_SIZE = len(ENCRYPTED) + KEY_ID_SIZE

_log = Logger()


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

    async def open_posts(self, project: str, queue: str, posts: Sequence[Post]) -> list[Post]:
        """The same posts with plain bodies; errors are those of :meth:`open`."""
        return [
            replace(one, body=await self.open(project, queue, one.body)) if one.body.startswith(ENCRYPTED) else one
            for one in posts
        ]


def any_encrypted(messages: Sequence[Message] | Sequence[Post]) -> bool:
    return _MARK in [one.body[0] for one in messages if one.body]  # a notice has none
