"""Bodies of requests that are put together as the other side reads them.

A template of some kilobytes may name its payload so often that the body has megabytes.  Whole, that would be as many megabytes
for each receiver that takes its time, and there may be a thousand of them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from twisted.internet.interfaces import IPushProducer
from zope.interface import implementer

PIECE = 65536
"""Bytes that are put together at one time, and that transports have in their buffers before they ask to wait."""


class Spliced:
    """A text in place of each gap between parts of another.

    :param parts: one or more.
    """

    def __init__(self, parts: Sequence[bytes], text: bytes) -> None:
        self._parts = parts
        self._text = text
        self._length = sum(map(len, parts)) + (len(parts) - 1) * len(text)

    def __len__(self) -> int:
        return self._length

    def __iter__(self) -> Iterator[bytes]:
        """All of it, in pieces that are together not much longer than :data:`PIECE` or are the text itself."""
        piece, length = [self._parts[0]], len(self._parts[0])
        for part in self._parts[1:]:
            if len(self._text) >= PIECE:
                yield b"".join(piece)
                yield self._text  # no copy of it
                piece, length = [part], len(part)
                continue
            piece += self._text, part
            length += len(self._text) + len(part)
            if length >= PIECE:
                yield b"".join(piece)
                piece, length = [], 0
        yield b"".join(piece)


@implementer(IPushProducer)
class Pump:
    """Writes pieces to a transport while that has room for more.

    :ivar is_done: whether all are written, or nobody is there any more.
    """

    def __init__(self, pieces: Iterator[bytes], transport: Any) -> None:
        self.is_done = False
        self._pieces = pieces
        self._transport = transport
        self._is_paused = False

    def start(self) -> None:
        """Begin to write; no other producer may be registered."""
        self._transport.registerProducer(self, True)
        self.resumeProducing()

    def stop(self) -> None:
        """Write no more."""
        self.is_done = True
        self._transport.unregisterProducer()

    def resumeProducing(self) -> None:
        """See :class:`~twisted.internet.interfaces.IPushProducer`."""
        self._is_paused = False
        while not (self._is_paused or self.is_done):
            piece = next(self._pieces, None)
            if piece is None:
                self.stop()
            else:
                self._transport.write(piece)

    def pauseProducing(self) -> None:
        """See :class:`~twisted.internet.interfaces.IPushProducer`."""
        self._is_paused = True

    def stopProducing(self) -> None:
        """See :class:`~twisted.internet.interfaces.IPushProducer`."""
        self.is_done = True
