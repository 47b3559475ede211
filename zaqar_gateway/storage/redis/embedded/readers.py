"""Which servers can read what the one before wrote to the data directory."""

from __future__ import annotations

import re
from pathlib import Path

from attrs import frozen

from zaqar_gateway.storage.redis.embedded.errors import StartFailed

Version = tuple[int, int]

_MULTI_PART: Version = (7, 0)
"""From here on the append-only file has parts, which older servers do not see: they would begin with nothing."""

_BASE = re.compile(r"^file (\S+) seq \d+ type b$", re.MULTILINE)
_HEADER = re.compile(rb"(REDIS0|VALKEY)(\d{3})")

# The format of what was written anew, by its number, and who can read it.  Redis and Valkey went apart after 11.
_REDIS_FORMATS: tuple[tuple[int, Version], ...] = ((12, (7, 4)), (11, (7, 2)), (10, (7, 0)))
_APART = 12
_VALKEY_MIN: Version = (9, 0)


@frozen
class Readers:
    """Servers of a version, of one kind where only that can."""

    at_least: Version = (6, 2)
    only: str = ""

    def include(self, name: str, version: Version) -> bool:
        """Whether a server is one of them.

        :param name: ``Redis`` or ``Valkey``.
        """
        return version >= self.at_least and self.only in ("", name)

    def __str__(self) -> str:
        return "{} of version {}.{} or later".format(self.only or "redis-server or valkey-server", *self.at_least)


ANY = Readers()


def readers_of(directory: Path) -> Readers:
    """Who can read what is in a data directory.

    :raises OSError: it cannot be read.
    :raises StartFailed: the list of its parts is missing, without which they are taken for none.
    """
    parts = directory / "appendonlydir"
    base, at_least = directory / "appendonly.aof", ANY.at_least
    if parts.exists():
        at_least = _MULTI_PART
        manifests = list(parts.glob("*.manifest"))
        if not manifests and any(parts.iterdir()):
            raise StartFailed(
                f"{parts} has parts of an append-only file, and not appendonly.aof.manifest, which lists them: bring that back, as from"
                " a backup; or move the directory away to begin with nothing."
            )
        for manifest in manifests:
            for name in _BASE.findall(manifest.read_text("utf-8", "replace")):
                base = parts / name
    header = None
    if base.is_file():
        with base.open("rb") as file:
            header = _HEADER.match(file.read(16))
    if not header:  # nothing yet, or commands, which all of them read
        return Readers(at_least)
    number = int(header[2])
    if header[1] == b"VALKEY":
        return Readers(_VALKEY_MIN, "Valkey")
    for first, version in _REDIS_FORMATS:
        if number >= first:
            return Readers(max(version, at_least), "Redis" if first >= _APART else "")
    return Readers(at_least)
