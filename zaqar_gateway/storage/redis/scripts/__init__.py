"""Lua scripts, one for each indivisible step of the store, and how a script is put together from its files."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from importlib.resources import files

from zaqar_gateway.storage.redis.packing import bulk

_COMMENT = re.compile(r"^ *--.*\n", re.MULTILINE)
_PIECE = re.compile(r"^(?=local )", re.MULTILINE)
_NAMES = re.compile(r"local (?:function )?(\w+(?:, \w+)*)")
_WORD = re.compile(r"'[^'\n]*'|--[^\n]*|(\w+)")


class Script:
    """One script as Redis knows it.

    :param parts: the files that it is made of: its own comes last, behind those of which it uses something.
    :param usual: a file with what it nearly always does, which comes before all that is made for the rest alone: that is a third of the time
        of a script that then returns.
    :param around: a script that its own calls as a function of that name.
    :param promises: whether its answer tells somebody that something is kept, and not only what there is.
    :ivar name: for the log.
    :ivar text: the Lua text.
    :ivar sha: its SHA-1 in hexadecimal, by which EVALSHA names it.
    :ivar by_sum: the beginning of a command that runs it, packed; :ivar by_text: the same with all of it.
    """

    def __init__(self, *parts: str, usual: str = "", around: str = "", promises: bool = True) -> None:
        self.name = parts[-1]
        self.promises = promises
        *shared, own = map(_read, parts)
        if around:
            own = f"local function {around}()\n{_read(around)}end\n{own}"
        pieces = _PIECE.split("".join(shared))
        first = _read(usual) if usual else ""
        before = _used(first, pieces)
        after = [piece for piece in _used(own, pieces) if piece not in before]
        self.text = "".join((*before, first, *after, own)).encode()
        self.sha = hashlib.sha1(self.text, usedforsecurity=False).hexdigest().encode()
        self.by_sum = bulk(b"EVALSHA") + bulk(self.sha)
        self.by_text = bulk(b"EVAL") + bulk(self.text)


def _read(part: str) -> str:
    return _COMMENT.sub("", (files(__name__) / f"{part}.lua").read_text("utf-8"))


def _used(script: str, pieces: Sequence[str]) -> list[str]:
    """Those of some pieces of shared files that a script uses, or that these use.

    A call of a script makes all its locals anew: each function that nobody calls, each key that nobody touches costs as much
    as a tenth of a command.

    :param pieces: texts of statements that begin with ``local`` in the first column.
    """
    found, used = [], set(_WORD.findall(script))
    for piece in reversed(pieces):
        names = _NAMES.match(piece)
        if names is not None and not used.isdisjoint(names[1].split(", ")):
            found.append(piece)
            used.update(_WORD.findall(piece))
    return found[::-1]


_SUBSCRIPTIONS = ("common", "log", "subscriptions")
_DEAD_LETTERS = ("common", "moved", "dead_letters")

POST = Script("common", "log", "posted_to", "no_quotas", "post", usual="post_usual")
POST_WITHIN_QUOTAS = Script("common", "log", "posted_to", "quotas", "post")
POST_ONCE = Script("common", "log", "posted_to", "no_quotas", "once", around="post")
POST_ONCE_WITHIN_QUOTAS = Script("common", "log", "posted_to", "quotas", "once", around="post")
GET = Script("common", "get", promises=False)
LIST = Script("common", "list", promises=False)
READ = Script("common", "read", promises=False)
DELETE = Script("common", "delete", usual="delete_usual")
POP = Script("common", "deliverable", "pop")
DUE = Script("common", "due", promises=False)
CLAIM = Script("common", "deliverable", "moved", "claim", usual="claim_usual")
CLAIM_GET = Script("common", "claim_of", "claim_get", promises=False)
CLAIM_UPDATE = Script("common", "claim_of", "claim_update")
CLAIM_RELEASE = Script("common", "claim_of", "claim_release")
CLAIM_LIVE = Script("common", "claim_live", promises=False)
DEAD_LETTER_LIST = Script("common", "dead_letter_list", promises=False)
DEAD_LETTER_SEND = Script(*_DEAD_LETTERS, "dead_letter_send")
DEAD_LETTER_SHOW = Script(*_DEAD_LETTERS, "dead_letter_show", promises=False)
DEAD_LETTER_ADOPT = Script(*_DEAD_LETTERS, "dead_letter_adopt")
STATS = Script("common", "stats", promises=False)
SWEEP = Script("common", "moved", "sweep", promises=False)
VOLUME = Script("common", "volume", promises=False)
USAGE = Script("common", "usage", promises=False)
QUEUE_CREATE = Script("common", "queue_create")
QUEUE_UPDATE = Script("common", "queue_update")
QUEUE_DELETE = Script("common", "queue_delete")
QUEUE_PURGE = Script("common", "queue_purge")
QUEUE_LIST = Script("queue_list", promises=False)
SUBSCRIPTION_CREATE = Script(*_SUBSCRIPTIONS, "notice", "subscription_create")
SUBSCRIPTION_COUNT = Script("common", "subscription_count", promises=False)
SUBSCRIPTION_GET = Script(*_SUBSCRIPTIONS, "subscription_get", promises=False)
SUBSCRIPTION_HAS = Script(*_SUBSCRIPTIONS, "subscription_has", promises=False)
SUBSCRIPTION_LIST = Script(*_SUBSCRIPTIONS, "subscription_list", promises=False)
SUBSCRIPTION_UPDATE = Script(*_SUBSCRIPTIONS, "notice", "subscription_update")
SUBSCRIPTION_CONFIRM = Script(*_SUBSCRIPTIONS, "notice", "subscription_confirm")
SUBSCRIPTION_DELETE = Script(*_SUBSCRIPTIONS, "subscription_delete")
SUBSCRIPTION_PURGE = Script(*_SUBSCRIPTIONS, "subscription_purge")
SUBSCRIPTION_LEAVE = Script(*_SUBSCRIPTIONS, "subscription_leave")
SUBSCRIPTION_LIVE = Script(*_SUBSCRIPTIONS, "subscription_live", promises=False)
LOG_READ = Script(*_SUBSCRIPTIONS, "owed", "log_read", promises=False)
TAKE = Script(*_SUBSCRIPTIONS, "owed", "take", promises=False)
REPORT = Script(*_SUBSCRIPTIONS, "owed", "failures", "report")
EXTEND = Script(*_SUBSCRIPTIONS, "extend", promises=False)
FAILED_LIST = Script(*_SUBSCRIPTIONS, "failures", "failed_list", promises=False)
FAILED_COUNT = Script(*_SUBSCRIPTIONS, "failures", "failed_count", promises=False)
RESEND = Script(*_SUBSCRIPTIONS, "owed", "notice", "failures", "resend")
DURABLE_ATTACH = Script("common", "durables", "durable_attach")
DURABLE_ADVANCE = Script("common", "durables", "durable_advance")
DURABLE_ACKNOWLEDGE = Script("common", "durables", "durable_acknowledge")
DURABLE_RENEW = Script("common", "durables", "durable_renew", promises=False)
DURABLE_DETACH = Script("common", "durables", "durable_detach")
DURABLE_LIST = Script("common", "durables", "durable_list", promises=False)
DURABLE_DELETE = Script("common", "durables", "durable_delete")
SCHEDULE_DUE = Script("schedule_due", promises=False)
SCHEDULE_NUDGE = Script("schedule_nudge", promises=False)
SCHEDULE_PASS = Script("schedule_pass", promises=False)
BEAT = Script("beat", promises=False)
DRAW = Script("draw", promises=False)
POOL_ALL = Script("pooling", "pool_all", promises=False)
POOL_PUT = Script("pooling", "pool_put")
POOL_DELETE = Script("pooling", "pool_delete")
FLAVOR_GET = Script("pooling", "flavor_get", promises=False)
FLAVOR_LIST = Script("pooling", "flavor_list", promises=False)
FLAVOR_PUT = Script("pooling", "flavor_put")
FLAVOR_DELETE = Script("pooling", "flavor_delete")
PLACEMENT_FIND = Script("pooling", "placement_find", promises=False)
PLACEMENT_PREPARE = Script("pooling", "placement_prepare")
PLACEMENT_PLACE = Script("pooling", "placement_place")
PLACEMENT_LEAVE = Script("pooling", "placement_leave")
PLACEMENT_LAPSED = Script("pooling", "placement_lapsed", promises=False)
PLACEMENT_FORGET = Script("pooling", "placement_forget")
PLACEMENT_LIST = Script("pooling", "placement_list", promises=False)

ALL = tuple(value for value in list(globals().values()) if isinstance(value, Script))
