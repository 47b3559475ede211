"""Keys under which messages of one queue were posted."""

from __future__ import annotations

from collections.abc import Sequence

from attrs import define, field

from zaqar_gateway.model import Once
from zaqar_gateway.storage import ids, keys_exceeded, other_number


@define(eq=False)
class Keys:
    """What came with each key first, the oldest first."""

    _ids: dict[str, Sequence[str]] = field(factory=dict)

    def known(self, once: Once, number: int, now: int) -> list[str]:
        """The ids of messages that were posted before; empty texts for the others.

        :param number: of messages.
        :raises RuleBroken: the key of the post came with another number.
        """
        if not once.key:
            return [self._counting(once, "m" + key, now)[0] if key else "" for key in once.keys]
        found = self._counting(once, "p" + once.key, now)
        if found == [""]:
            return [""] * number
        if len(found) != number:
            raise other_number(len(found))
        return list(found)

    def _counting(self, once: Once, key: str, now: int) -> Sequence[str]:
        found = self._ids.get(key)
        return [""] if found is None or _ended_ms(once, found) <= now else found

    def check_room(self, once: Once, fresh: int, now: int) -> None:
        """:raises TooManyRequests: there is none for the keys of so many new messages."""
        for key, found in list(self._ids.items()):
            if _ended_ms(once, found) > now:
                break
            del self._ids[key]
        if len(self._ids) + (1 if once.key else fresh) > once.most:
            first = next(iter(self._ids.values()), None)
            ends_ms = now + once.window_s * 1000 if first is None else _ended_ms(once, first)
            raise keys_exceeded(once.most, -((now - ends_ms) // 1000))

    def keep(self, once: Once, posted: Sequence[tuple[int, str]]) -> None:
        """Note what was posted: positions and ids of the messages that are new."""
        if once.key:
            self._keep("p" + once.key, [message_id for _, message_id in posted])
        for position, message_id in posted if once.keys else ():
            if key := once.keys[position]:
                self._keep("m" + key, [message_id])

    def _keep(self, key: str, found: Sequence[str]) -> None:
        self._ids.pop(key, None)
        self._ids[key] = found


def _ended_ms(once: Once, found: Sequence[str]) -> int:
    parsed = ids.parse_id(found[0])
    assert parsed is not None
    return parsed[0] // 1000 + once.window_s * 1000
