"""Directories and programs for a while."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

from twisted.trial.unittest import SynchronousTestCase


def program(directory: Path, name: str, text: str) -> str:
    """Write a program."""
    path = directory / name
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return str(path)


def temporary(case: SynchronousTestCase) -> Path:
    """A directory with a short path, removed after the test."""
    path = Path(tempfile.mkdtemp(prefix="zg-"))
    case.addCleanup(shutil.rmtree, path, ignore_errors=True)
    return path
