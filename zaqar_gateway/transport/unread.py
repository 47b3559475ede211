"""What clients leave unread, all of them together.

Each connection is bounded by itself, and thousands of them at their bounds are more than a machine has.  So there is a bound
on the whole, and where it is broken those go that leave most unread; who reads is not among them.
"""

from __future__ import annotations

from typing import Protocol

from twisted.logger import Logger

UNREAD_MAX = 256 * 1024 * 1024


class Reader(Protocol):
    """A connection whose peer may not read."""

    def shed(self) -> None:
        """Drop it, soon."""


class Unread:
    """Counts.

    :param most: bytes that all connections together may leave unread.
    :ivar total: bytes that they do.
    """

    _log = Logger()

    def __init__(self, most: int = UNREAD_MAX) -> None:
        self.total = 0
        self._most = most
        self._by_reader: dict[Reader, int] = {}
        self._shed: set[Reader] = set()  # until they are gone, which may take a while, they do not count

    def note(self, reader: Reader, size: int) -> None:
        """A connection leaves so many bytes unread now, 0 where its peer has read all or is gone."""
        if reader in self._shed:
            if not size:
                self._shed.discard(reader)
            return
        self.total += size - self._by_reader.pop(reader, 0)
        if size:
            self._by_reader[reader] = size
        while self.total > self._most:
            worst = max(self._by_reader, key=self._by_reader.__getitem__)
            left = self._by_reader.pop(worst)
            self.total -= left
            self._log.warn("a client is dropped that leaves {size} bytes unread: all leave too much", size=left)
            self._shed.add(worst)
            worst.shed()
