"""What a Redis that was killed may have left at the end of its append-only file: a step of which the end is missing.

Redis writes what a script did as one transaction (MULTI, the commands, EXEC), and cuts off a command of which a part is missing.  What is
before it in the same transaction it leaves in the file; that has no effect then, but would take effect with the next EXEC, when the
file is read another time.  So all of that step is taken away before Redis reads the file.
"""

from __future__ import annotations

import mmap
import re
from pathlib import Path

_MULTI, _EXEC = b"*1\r\n$5\r\nMULTI\r\n", b"*1\r\n$4\r\nEXEC\r\n"  # no body has these: in JSON text an asterisk is within a string
_PART = re.compile(r"\.([0-9]+)\.incr\.aof$")


def cut_torn_step(directory: Path) -> int:
    """Take a step of which the end is missing off the file that is written last.

    :param directory: of the data of a Redis that does not run.
    :return: how many bytes were taken off; mostly 0.
    :raises OSError: the file cannot be read or written.
    """
    parts = [(int(found[1]), path) for path in directory.glob("appendonlydir/*.aof") if (found := _PART.search(path.name))]
    path = max(parts)[1] if parts else directory / "appendonly.aof"
    size = path.stat().st_size if path.is_file() else 0
    if not size:
        return 0
    with path.open("r+b") as file:
        with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            begins = data.rfind(_MULTI)
            is_whole = begins < 0 or data.rfind(_EXEC) > begins
        if is_whole:
            return 0
        file.truncate(begins)
    return size - begins
