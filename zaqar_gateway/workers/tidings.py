"""What a worker tells its keeper: one JSON object a line."""

from __future__ import annotations

import fcntl
import os
import threading
from contextlib import suppress
from typing import Any

import msgspec
from msgspec import Struct
from twisted.logger import ILogObserver, LogEvent, LogLevel, eventAsText, globalLogPublisher
from zope.interface import implementer

from zaqar_gateway.model import Report


class Said(Struct, tag=True):
    """An event of its log.

    :ivar system: where it comes from, of events of Twisted's old logging; else empty.
    :ivar time: seconds since the epoch.
    """

    level: str
    namespace: str
    system: str
    text: str
    time: float


class Serves(Struct, tag=True):
    """It serves.

    :ivar kept: where messages are; :ivar schemes: of subscribers that something delivers to.
    """

    kept: str
    schemes: list[str]


class CannotStart(Struct, tag=True):
    """It is about to end, since it cannot start."""

    why: str


class Alive(Struct, tag=True):
    """It was asked whether it is there."""


class Measured(Struct, tag=True):
    """It was asked for its metrics.

    :ivar metrics: in the text format of OpenMetrics; ``None``: it has none yet, or it failed, and its log says so.
    """

    metrics: str | None


class Reported(Struct, tag=True):
    """It was asked how it stands.

    :ivar report: ``None``: it cannot yet, or it failed, and its log says so.
    """

    report: Report | None


Tiding = Said | Serves | CannotStart | Alive | Measured | Reported

_ROOM = 2**20
"""Bytes of a pipe that Linux is asked for, and lets everybody have; by itself it has 64 KiB, which the metrics of one worker may fill."""

_decode = msgspec.json.Decoder(Tiding).decode


def read(line: bytes) -> Tiding:
    """:raises msgspec.DecodeError: that is none."""
    found: Tiding = _decode(line)
    return found


@implementer(ILogObserver)
class Outlet:
    """The end of the pipe at which a worker tells, and an observer of its log.

    It waits where the keeper does not read, as any process does with its log; so the last that one says before it ends is
    told, too.  There is room for what a keeper asks for, which may be busy, or held up, when that comes.

    :param file: a descriptor.
    """

    def __init__(self, file: int) -> None:
        self._file = file
        self._one_by_one = threading.Lock()
        if hasattr(fcntl, "F_SETPIPE_SZ"):
            with suppress(OSError):  # of who has many pipes already
                fcntl.fcntl(file, fcntl.F_SETPIPE_SZ, _ROOM)

    def tell(self, tiding: Tiding) -> None:
        """Tell the keeper something; where it has ended nobody is told."""
        line = msgspec.json.encode(tiding) + b"\n"
        try:
            with self._one_by_one:
                while line:
                    line = line[os.write(self._file, line) :]
        except OSError:
            pass

    def __call__(self, event: LogEvent) -> None:
        """Tell of an event."""
        text = eventAsText(event, includeTimestamp=False, includeSystem=False)
        if text:
            level: Any = event.get("log_level") or LogLevel.info
            # Names of files may have what is no UTF-8.
            written = text.encode("utf-8", "backslashreplace").decode()
            namespace, system = event.get("log_namespace") or "", event.get("log_system") or ""
            self.tell(Said(level.name, namespace, system, written, event["log_time"]))


def relay(number: int, said: Said) -> None:
    """Have the keeper's log tell what a worker has said."""
    system = {"log_system": said.system} if said.system else {}
    globalLogPublisher(
        {
            **system,
            "log_level": LogLevel.levelWithName(said.level),
            "log_namespace": said.namespace,
            "log_format": "worker {worker}: {text}",
            "log_time": said.time,
            "worker": number,
            "text": said.text,
        }
    )


class Lines:
    """Makes lines of what comes in pieces.

    :param most: bytes after which a line is broken that does not end.
    """

    def __init__(self, most: int = 2**24) -> None:
        self._most = most
        self._rest = b""

    def take(self, data: bytes) -> list[bytes]:
        """The lines that are whole now, without their ends."""
        *lines, self._rest = (self._rest + data).split(b"\n")
        if len(self._rest) > self._most:
            lines.append(self._rest)
            self._rest = b""
        return lines

    def last(self) -> list[bytes]:
        """What is left when nothing more comes."""
        rest, self._rest = self._rest, b""
        return [rest] if rest else []
