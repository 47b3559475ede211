"""The bytes of whole, unfragmented frames (RFC 6455, section 5).  Pure."""

from __future__ import annotations

import struct

from autobahn.websocket import USES_NVX
from autobahn.websocket.xormasker import create_xor_masker  # type: ignore[attr-defined]  # another one without NVX

from zaqar_gateway.transport.received import keep

_SIZE_16, _SIZE_64 = struct.Struct(">BBH").pack, struct.Struct(">BBQ").pack


LONG = 65536
"""Bytes of a payload from which on :func:`pieces` does not copy it, and from which on its size takes eight bytes."""

TEXT, BINARY, PING, PONG = 0x81, 0x82, 0x89, 0x8A
"""First bytes of whole frames."""

_NO_MASK = b"\0\0\0\0"


def pieces(kind: int, payload: bytes) -> tuple[bytes, ...]:
    """The same as :func:`frame`, to be written one behind the other."""
    size = len(payload)
    return (_SIZE_64(kind, 127, size), payload) if size >= LONG else (frame(kind, payload),)


def frame(kind: int, payload: bytes) -> bytes:
    """One unfragmented frame of a server (RFC 6455, section 5.2).

    :param kind: its first byte.
    """
    size = len(payload)
    if size < 126:
        return bytes((kind, size)) + payload
    if size < 65536:
        return _SIZE_16(kind, 126, size) + payload
    return _SIZE_64(kind, 127, size) + payload


def payload_of(data: bytes) -> bytes | None:
    """The payload of the one whole, unfragmented, uncompressed text frame of a client, of less than 64 KiB, that some data are; ``None``:
    they are something else, of which nothing is said."""
    have = len(data)
    if have < 6 or data[0] != TEXT:
        return None
    size, start = data[1] - 0x80, 6  # the high bit: masked
    if size >= 126:
        size, start = data[2] << 8 | data[3], 8
        if size < 126 or data[1] != 0xFE:
            return None
    if start + size != have:
        return None
    return unmasked(data[start:], data[start - 4 : start])


class Begun:
    """A long frame of a client that has not come whole: it comes in many pieces, and is put together once.

    :ivar kind: its first byte.
    :ivar missing: bytes of its payload that are still to come.
    """

    __slots__ = ("_mask", "_pieces", "kind", "missing")

    def __init__(self, kind: int, size: int, mask: bytes) -> None:
        self.kind = kind
        self.missing = size
        self._mask = mask
        self._pieces: list[bytes] = []

    def take(self, data: bytes, *, drop: bool) -> bytes:
        """Take what has come of it.

        :param drop: whether nobody will look at it.
        :return: what comes behind it.
        """
        piece = data[: self.missing]
        self.missing -= len(piece)
        if drop:
            self._pieces = []
        else:
            keep(self._pieces, piece)
        return data[len(piece) :]

    def payload(self) -> bytes:
        """All of it."""
        return unmasked(b"".join(self._pieces), self._mask)


def unmasked(payload: bytes, mask: bytes) -> bytes:
    """What a client has sent, without the mask (RFC 6455, section 5.3)."""
    if mask == _NO_MASK:
        return payload
    size = len(payload)
    if size >= _LONG_MASKED and USES_NVX:
        return create_xor_masker(mask, size).process(payload)  # type: ignore[no-any-return]
    words = (size + 3) // 4
    repeated = int.from_bytes(mask, "little") * (_EACH_WORD[words] if words < len(_EACH_WORD) else _each_word(words))
    return (int.from_bytes(payload, "little") ^ repeated).to_bytes(4 * words, "little")[:size]


def _each_word(words: int) -> int:
    """What makes of a number of 32 bits one that has it in each of so many places."""
    return int.from_bytes(b"\1\0\0\0" * words, "little")


_LONG_MASKED = 2048  # bytes from which on the mask is taken off by what Autobahn has in C; to call it takes some microseconds
_EACH_WORD = [_each_word(words) for words in range(_LONG_MASKED // 4 + 1)]
