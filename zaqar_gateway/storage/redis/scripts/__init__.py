"""Lua scripts, one for each indivisible step of the store, and how a script is put together from its files."""

from __future__ import annotations

import hashlib
from importlib.resources import files


class Script:
    """One script as Redis knows it.

    :ivar name: for the log.
    :ivar text: the Lua text.
    :ivar sha: its SHA-1 in hexadecimal, by which EVALSHA names it.
    """

    def __init__(self, *parts: str) -> None:
        self.name = parts[-1]
        here = files(__name__)
        self.text = b"\n".join((here / f"{part}.lua").read_bytes() for part in parts)
        self.sha = hashlib.sha1(self.text, usedforsecurity=False).hexdigest().encode()


POST = Script("common", "post")
GET = Script("common", "get")
LIST = Script("common", "list")
DELETE = Script("common", "delete")
POP = Script("common", "deliverable", "pop")
CLAIM = Script("common", "deliverable", "claim")
CLAIM_GET = Script("common", "claim_of", "claim_get")
CLAIM_UPDATE = Script("common", "claim_of", "claim_update")
CLAIM_RELEASE = Script("common", "claim_of", "claim_release")
STATS = Script("common", "stats")
SWEEP = Script("common", "sweep")
VOLUME = Script("common", "volume")
QUEUE_CREATE = Script("common", "queue_create")
QUEUE_UPDATE = Script("common", "queue_update")
QUEUE_DELETE = Script("common", "queue_delete")
QUEUE_PURGE = Script("common", "queue_purge")
QUEUE_LIST = Script("queue_list")

ALL = tuple(value for value in list(globals().values()) if isinstance(value, Script))
