"""The chunked transfer coding (RFC 9112, section 7.1).  Pure."""

from __future__ import annotations

import re
from collections.abc import Callable

_CHUNK_LINE = re.compile(rb"([0-9A-Fa-f]{1,16})(?:[ \t]*;[\t\x20-\x7e\x80-\xff]*)?")
_TRAILER = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+:[\t\x20-\x7e\x80-\xff]*")
_CHUNK_LINE_MAX = 1024
_TRAILERS_MAX = 8192
_OVERHEAD_MAX = 16384


class Malformed(Exception):
    """A chunked body breaks the rules of its framing; the text says how."""


class ChunkedBody:
    """Takes the framing off a chunked body, however its bytes are split (RFC 9112, section 7.1).

    Extensions and trailers are dropped and bounded: a line of a chunk to 1 KiB, all trailers to 8 KiB, and whatever
    chunk lines have beyond 16 bytes and twice their data to 16 KiB in all, so that a small body is not a large read.

    :ivar size: bytes of data so far.
    :ivar done: whether the last byte of the body has come.
    """

    __slots__ = ("_left", "_line", "_overhead", "_state", "_trailers", "done", "size")

    def __init__(self) -> None:
        self.size = 0
        self.done = False
        self._left = 0  # bytes missing of this chunk
        self._line = b""  # the beginning of a line
        self._state = "size"
        self._overhead = 0
        self._trailers = 0

    def feed(self, data: bytes, at: int, sink: Callable[[bytes], None] | None) -> int:
        """Read from ``data`` beginning with index ``at``.

        :param sink: gets the data of the body; ``None`` drops it.
        :return: the index after the last byte read: the length of ``data``, unless the body has ended before.
        :raises Malformed: the framing is wrong.
        """
        end = len(data)
        while at < end and not self.done:
            if self._state == "data":
                taken = min(self._left, end - at)
                if sink is not None:
                    sink(data[at : at + taken])
                at += taken
                self.size += taken
                self._left -= taken
                if not self._left:
                    self._state = "end"
                continue
            stop = data.find(b"\n", at)
            stop = end if stop < 0 else stop + 1
            self._line += data[at:stop]
            at = stop
            if len(self._line) > _CHUNK_LINE_MAX:
                raise Malformed("A line of a chunk or of the trailers is too long.")
            if self._line.endswith(b"\n"):
                if not self._line.endswith(b"\r\n"):
                    raise Malformed("A line of a chunk ends without CR LF.")
                line, self._line = self._line[:-2], b""
                self._take_line(line)
            elif self._state == "end" and not b"\r\n".startswith(self._line):
                raise Malformed("A chunk is longer than its size.")
        return at

    def _take_line(self, line: bytes) -> None:
        if self._state == "size":
            match = _CHUNK_LINE.fullmatch(line)
            if match is None:
                raise Malformed("The size of a chunk is not a hexadecimal number.")
            self._left = int(match[1], 16)
            self._state = "data" if self._left else "trailers"
            self._overhead = max(0, self._overhead + len(line) - 16 - 2 * self._left)
            if self._overhead > _OVERHEAD_MAX:
                raise Malformed("Chunk extensions are too long.")
        elif self._state == "end":
            if line:
                raise Malformed("A chunk is longer than its size.")
            self._state = "size"
        elif not line:
            self.done = True
        else:
            self._trailers += len(line) + 2
            if self._trailers > _TRAILERS_MAX:
                raise Malformed("Trailers are too long.")
            if _TRAILER.fullmatch(line) is None:
                raise Malformed("A trailer is not a header line.")
