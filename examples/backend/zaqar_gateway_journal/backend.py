"""What the gateway finds by the entry point: the store, and its start and stop."""

from __future__ import annotations

import fcntl
from pathlib import Path
from typing import IO, Any
from urllib.parse import unquote, urlsplit

from twisted.internet.task import LoopingCall
from twisted.logger import Logger
from zope.interface import implementer

from zaqar_gateway.interfaces import IStorageBackend
from zaqar_gateway.model import BackendSettings, Quotas
from zaqar_gateway_journal.journal import Journal
from zaqar_gateway_journal.storage import JournalStorage

_log = Logger()

COMPACT_FROM = 2**20
"""From how many bytes a journal is compacted at start."""

_SWEEP_S = 10.0


@implementer(IStorageBackend)
class JournalBackend:
    """A store in the directory of ``journal:///path/of/a/directory``, which is made where it is missing.

    :raises ValueError: the URI is of another form, or there are quotas.
    """

    def __init__(self, settings: BackendSettings, reactor: Any, compact_from: int = COMPACT_FROM) -> None:
        parts = urlsplit(settings.uri)
        self._directory = Path(unquote(parts.path))
        if parts.netloc or parts.query or parts.fragment or not self._directory.is_absolute():
            raise ValueError("storage.uri has to be journal:///path/of/a/directory")
        if settings.quotas != Quotas():
            # A call that was refused is in the journal, too: made again under another quota it might not be.
            raise ValueError("this store keeps no quotas, and [quotas] sets some")
        self.where = f"the journal in {self._directory}"
        self.storage = JournalStorage(reactor, settings.log)
        self._sync = settings.durability == "fsync"
        self._compact_from = compact_from
        self._lock: IO[bytes] | None = None
        self._journal: Journal | None = None
        self._sweeper = LoopingCall(self.storage.sweep)
        self._sweeper.clock = reactor

    async def start(self) -> None:
        self._directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        if self._directory.stat().st_mode & 0o022:  # a compacted journal is as trusted as code
            raise OSError(f"others may write to {self._directory}; it has to be a directory of mode 700")
        self._lock = open(self._directory / "lock", "wb")
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)  # the system lets go of it when the process ends
        except BlockingIOError:
            raise OSError(f"{self._directory} is in use by another gateway; each needs a journal of its own") from None
        self._journal = Journal(self._directory / "journal", sync=self._sync)
        await self.storage.open(self._journal, self._compact_from)
        self._sweeper.start(_SWEEP_S, now=False)
        what = "a crash of the machine" if self._sync else "the end of this process, but not a crash of the machine"
        _log.info("an acknowledged message survives {kept}", kept=what)

    async def stop(self) -> None:
        if self._sweeper.running:
            self._sweeper.stop()
        if self._journal is not None:
            self._journal.close()
        if self._lock is not None:
            self._lock.close()
