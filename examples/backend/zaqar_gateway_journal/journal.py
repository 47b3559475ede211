"""The journal: a file of records, each of which is on its way to the disk before anybody acts on it.

A record is its length and its CRC-32, four bytes each with the highest first, and its bytes.
"""

from __future__ import annotations

import os
import struct
import zlib
from collections.abc import Iterator
from pathlib import Path

from zaqar_gateway.errors import StoreUnavailable

_FRAME = struct.Struct(">II")


class Journal:
    """A file of records.

    :ivar is_broken: whether it can no longer be written.
    :param sync: whether a record is on the disk once it is appended; else it outlives this process, not the machine.
    :raises OSError: the file cannot be opened.
    """

    def __init__(self, path: Path, *, sync: bool) -> None:
        self._path = path
        self._sync = sync
        self._file = open(path, "ab", buffering=0, opener=_private)
        self.is_broken = False

    @property
    def size(self) -> int:
        """Bytes in the file."""
        return os.fstat(self._file.fileno()).st_size

    def records(self) -> Iterator[bytes]:
        """All records.  What a killed process left of its last one was never answered for, and is cut off.

        :raises OSError: a record in the middle is damaged.
        """
        data = self._path.read_bytes()
        at = 0
        while at < len(data):
            start = at + _FRAME.size
            length, crc = _FRAME.unpack(data[at:start]) if start <= len(data) else (0, 0)
            end = start + length
            record = data[start:end]
            if end > len(data) or zlib.crc32(record) != crc:
                if end < len(data):
                    raise OSError(
                        f"{self._path} is damaged at byte {at}; it has to be replaced by a copy that is whole"
                    )
                self._file.truncate(at)
                return
            yield record
            at = end

    def append(self, record: bytes) -> None:
        """Add a record.

        :raises StoreUnavailable: it may be in the file or not.  Nothing more is appended then, since what came after a
            broken record could not be read.
        """
        if self.is_broken:
            raise StoreUnavailable("The journal of the store cannot be written.")
        try:
            self._write(record)
        except OSError:
            self.is_broken = True
            raise StoreUnavailable("The journal of the store cannot be written.", outcome_unknown=True) from None

    def _write(self, record: bytes) -> None:
        frame = _FRAME.pack(len(record), zlib.crc32(record)) + record
        if self._file.write(frame) != len(frame):
            raise OSError("the disk is full")
        if self._sync:
            os.fsync(self._file.fileno())

    def replace(self, record: bytes) -> None:
        """Have one record stand for all that there are: the old file is there until the new one is whole.

        :raises OSError: it could not be done; the old file is as it was.
        """
        new = self._path.with_suffix(".new")
        new.unlink(missing_ok=True)
        other = Journal(new, sync=True)
        other._write(record)
        os.replace(new, self._path)
        directory = os.open(self._path.parent, os.O_RDONLY)
        try:
            os.fsync(directory)
        finally:
            os.close(directory)
        self._file.close()
        self._file = other._file

    def close(self) -> None:
        """Let go of the file."""
        self._file.close()


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)
