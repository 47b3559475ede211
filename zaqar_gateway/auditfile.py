"""The audit log as a file: one JSON object a line."""

from __future__ import annotations

import json
import os
from datetime import UTC, datetime

from twisted.logger import ILogObserver, LogEvent, Logger
from zope.interface import implementer

from zaqar_gateway.transport.audit import FIELDS, NAMESPACE

_log = Logger()

_MODE = 0o600


@implementer(ILogObserver)
class AuditFile:
    """Appends the events of the audit log to a file, which is made where it is missing, for its owner to read.

    A line is written at once and whole, so that several gateways can share a file; of one that a full disk has cut off the next
    does not become a part.  Where the file has been moved or removed, the next line goes into a new one.

    :param path: of the file.
    :raises OSError: it cannot be opened.
    """

    def __init__(self, path: str) -> None:
        self._path = path
        self._file = self._open()

    def __call__(self, event: LogEvent) -> None:
        """Write a line, where the event belongs here."""
        if event.get("log_namespace") != NAMESPACE:
            return
        time = datetime.fromtimestamp(event["log_time"], UTC).isoformat(timespec="milliseconds")
        line = json.dumps({"time": time} | {name: event[name] for name in FIELDS}).encode() + b"\n"
        try:
            if self._is_moved():
                self.reopen()
            if self._is_torn():
                line = b"\n" + line
            while line:  # of what a disk has no room for it takes a part; why not the rest is said then
                line = line[os.write(self._file, line) :]
        except OSError as error:
            _log.critical("the audit log cannot be written: {path}: {why}", path=self._path, why=error.strerror)

    def reopen(self) -> None:
        """Go on in the file that has the name now.

        :raises OSError: it cannot be opened; what was open stays so.
        """
        opened = self._open()
        os.close(self._file)
        self._file = opened

    def close(self) -> None:
        """Let the file go; nothing may be written afterwards."""
        os.close(self._file)

    def _open(self) -> int:
        try:
            return self._open_to(os.O_RDWR)
        except PermissionError:
            return self._open_to(os.O_WRONLY)  # so whether the last line is whole is not seen

    def _open_to(self, access: int) -> int:
        return os.open(self._path, access | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, _MODE)

    def _is_moved(self) -> bool:
        try:
            named = os.stat(self._path)
        except FileNotFoundError:
            return True
        return not os.path.samestat(named, os.fstat(self._file))

    def _is_torn(self) -> bool:
        """Whether the last line has no end."""
        size = os.fstat(self._file).st_size
        try:
            return size > 0 and os.pread(self._file, 1, size - 1) != b"\n"
        except OSError:  # it may only be written
            return False
