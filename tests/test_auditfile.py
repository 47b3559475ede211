"""The audit log as a file."""

from __future__ import annotations

import json
import os
import shutil
import stat
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from twisted.logger import Logger, LogLevel, capturedLogs, formatEvent
from twisted.trial.unittest import SynchronousTestCase

from tests.helpers import NOBODY
from zaqar_gateway.auditfile import AuditFile
from zaqar_gateway.transport.audit import FIELDS, NAMESPACE

RECORD: dict[str, Any] = {name: f"the {name}" for name in FIELDS} | {"resources": {"queue_name": "q"}, "status": 204}

FULL = f"""
import resource, sys
from twisted.logger import Logger, capturedLogs, formatEvent
from zaqar_gateway.auditfile import AuditFile
path, most = sys.argv[1], int(sys.argv[2])
resource.setrlimit(resource.RLIMIT_FSIZE, (most, most))
with capturedLogs() as logged:
    Logger({NAMESPACE!r}, observer=AuditFile(path)).info("", **{RECORD!r})
print(*map(formatEvent, logged), sep="\\n")
"""
"""Writes a line where a file may have so many bytes."""


class AuditFileTests(SynchronousTestCase):
    """One JSON object a line."""

    def setUp(self) -> None:
        directory = tempfile.mkdtemp()
        self.addCleanup(shutil.rmtree, directory)
        self.path = Path(directory, "audit.log")
        self.file = AuditFile(str(self.path))
        self.addCleanup(self.file.close)

    def record(self, **other: Any) -> None:
        """Tell of a request."""
        Logger(NAMESPACE, observer=self.file).info("{operation}", **(RECORD | {"secret": "canary"} | other))

    def lines(self, path: Path | None = None) -> list[Any]:
        """What is in the file."""
        text = (path or self.path).read_text(encoding="utf-8")
        self.assertTrue(not text or text.endswith("\n"))
        return [json.loads(line) for line in text.splitlines()]

    def test_line(self) -> None:
        """A line has the time, in UTC, and the fields of the record, and nothing else of the event."""
        self.record(user="é\n\u2028")
        (line,) = self.lines()
        self.assertRegex(line.pop("time"), r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}\+00:00$")
        self.assertEqual(line, RECORD | {"user": "é\n\u2028"})

    def test_others(self) -> None:
        """Events of other namespaces do not belong here."""
        Logger("zaqar_gateway.tap", observer=self.file).info("x", **RECORD)
        self.assertEqual(self.lines(), [])

    def test_private(self) -> None:
        """The file is for its owner."""
        self.assertEqual(stat.S_IMODE(self.path.stat().st_mode), 0o600)

    def test_may_only_be_written(self) -> None:
        """A file that the gateway may write and not read takes lines as well."""
        self.path.parent.chmod(0o711)
        self.path.chmod(0o222)
        if os.geteuid() == 0:  # which nothing is refused to
            os.seteuid(NOBODY)
            self.addCleanup(os.seteuid, 0)
        file = AuditFile(str(self.path))
        self.addCleanup(file.close)
        with capturedLogs() as logged:
            Logger(NAMESPACE, observer=file).info("", **RECORD)
        self.assertEqual(logged, [])
        if os.geteuid() == NOBODY:
            os.seteuid(0)
        self.path.chmod(0o600)
        self.assertEqual(len(self.lines()), 1)

    def test_appends(self) -> None:
        """Two gateways, and one after the other, write behind what is there."""
        other = AuditFile(str(self.path))
        self.addCleanup(other.close)
        for file in (self.file, other, self.file):
            Logger(NAMESPACE, observer=file).info("", **RECORD)
        self.assertEqual(len(self.lines()), 3)

    def test_moved(self) -> None:
        """Where the file was moved or removed the next line is in a new one."""
        self.record(status=1)
        moved = self.path.with_name("audit.log.1")
        self.path.rename(moved)
        self.record(status=2)
        self.assertEqual([line["status"] for path in (moved, self.path) for line in self.lines(path)], [1, 2])
        self.path.unlink()
        self.record(status=3)
        self.assertEqual([line["status"] for line in self.lines()], [3])

    def test_reopen(self) -> None:
        """Opened again, the file is there before there is a line for it."""
        self.path.rename(self.path.with_name("audit.log.1"))
        self.file.reopen()
        self.assertEqual(self.lines(), [])

    def test_cannot_write(self) -> None:
        """A line that cannot be written is a critical event, and later ones are written again."""
        self.path.unlink()
        self.path.mkdir()
        with capturedLogs() as logged:
            self.record()
        (event,) = logged
        self.assertEqual(event["log_level"], LogLevel.critical)
        self.assertIn(f"the audit log cannot be written: {self.path}: Is a directory", str(formatEvent(event)))
        self.path.rmdir()
        self.record()
        self.assertEqual(len(self.lines()), 1)

    def test_disk_full(self) -> None:
        """A line that is cut off is a critical event, and the next one, whoever writes it, stands for itself."""
        self.record(status=1)
        size = self.path.stat().st_size
        told = subprocess.run(
            [sys.executable, "-c", FULL, str(self.path), str(size + 100)], capture_output=True, text=True, check=True
        ).stdout
        self.assertEqual(told.splitlines(), [f"the audit log cannot be written: {self.path}: File too large"])
        self.assertEqual(self.path.stat().st_size, size + 100)
        self.record(status=2)
        self.record(status=3)
        first, cut, *others = self.path.read_text(encoding="utf-8").splitlines()
        self.assertRaises(ValueError, json.loads, cut)
        self.assertEqual([json.loads(line)["status"] for line in (first, *others)], [1, 2, 3])

    def test_cannot_open(self) -> None:
        """A file that cannot be opened is refused at once."""
        self.assertRaises(OSError, AuditFile, str(self.path / "below"))
