"""A connection to Redis, or to Sentinel, that hears what is published."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

from zaqar_gateway.storage.redis.commands import Commands, Refused

_HEARD = frozenset((b"message", b"smessage"))

PING_S = 5.0
"""How often the connection is tried; one that does not answer in time is made anew."""


class Listening(Commands):
    """A connection that hears messages beside the answers to its commands.

    What it is asked for is bounded by those who want to hear something: it tells Redis all of their channels at once when it is made anew,
    and one that is refused would not be heard.

    :param heard: is told the channel and the text of each.
    """

    def __init__(self, heard: Callable[[bytes, bytes], None], clock: Any, timeout_s: float, _bound: int) -> None:
        super().__init__(clock, timeout_s, bound=sys.maxsize)
        self._heard = heard

    def _take(self, data: bytes) -> None:
        self._reader.feed(data)
        while (value := self._reader.gets()) is not False:
            if type(value) is list and value[0] in _HEARD:
                self._heard(value[1], value[2])
            elif self._unanswered:
                sent = self._unanswered.popleft()
                if type(value) is Refused:
                    self._refused(sent, value)
                else:
                    self._answered(sent, value)
            else:
                self._unasked(value)

    def _unasked(self, value: Any) -> None:
        """Something came that is no answer."""
