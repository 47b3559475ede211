"""Dead letters in Redis."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from attrs import define
from zope.interface import implementer

from zaqar_gateway.errors import QueueMissing
from zaqar_gateway.interfaces import IDeadLetterStore
from zaqar_gateway.model import Letter, Message, Quotas, SendBack, SentBack
from zaqar_gateway.storage.ids import parse_id
from zaqar_gateway.storage.redis import scripts, values
from zaqar_gateway.storage.redis.commands import Argument
from zaqar_gateway.storage.redis.interfaces import IRedis
from zaqar_gateway.storage.redis.keys import Keys

_AGAIN = 1
"""What :data:`scripts.DEAD_LETTER_SEND` may be answered besides; anything else but 0 is a quota."""


@implementer(IDeadLetterStore)
@define
class RedisDeadLetters:
    """One script for each operation, which sends up to a thousand."""

    _redis: IRedis
    _keys: Keys
    _now: Callable[[], Argument]  # b"" in production: the script then asks Redis
    _new_incarnation: Callable[[], str]
    _quotas: Quotas

    async def list(self, project: str, queue: str, *, marker: str | None, limit: int) -> list[Message]:
        place = ("", "") if marker is None else parse_id(marker)
        if place is None:
            return []
        key = self._keys.queue(project, queue)
        again = 1
        while again:
            again, now_ms, incarnation, *found = await self._redis.script(
                scripts.DEAD_LETTER_LIST, [key], [self._now(), *place, limit]
            )
        return values.messages(found, 0, now_ms, incarnation.decode())

    async def send_back(self, project: str, queue: str, asked: SendBack, *, create: bool = True) -> SentBack:
        keys = [self._keys.queue(project, queue), self._keys.catalog(project)]
        to = b"" if asked.to is None else self._keys.queue(project, asked.to)
        after, number = b"0", 0
        while True:
            rest = asked.after(number)
            incarnation = self._new_incarnation() if create else ""
            arguments: list[Argument] = [self._now(), to, incarnation, after, rest.limit, rest.sent, repr(rest.gap_ms)]
            arguments += values.quota_arguments(self._quotas)
            if asked.ids:
                arguments += values.id_arguments(asked.ids)
            verdict, *answer = await self._redis.script(scripts.DEAD_LETTER_SEND, keys, arguments)
            if verdict == _AGAIN:
                continue
            if verdict:
                raise values.exceeded(self._quotas, answer[0])
            sent, remaining, after, missing = answer
            number += sent
            if missing or not after or number >= asked.limit:
                return SentBack(number, remaining, self._keys.place(missing).name if missing else None)

    async def letters(self, project: str, queue: str, asked: SendBack, to: str) -> Sequence[Letter]:
        key, target = self._keys.queue(project, queue), self._keys.queue(project, to)
        after = b"0"
        found: list[Letter] = []
        while after and not found:
            arguments: list[Argument] = [self._now(), target if asked.to else b"", target, after, asked.limit]
            if asked.ids:
                arguments += values.id_arguments(asked.ids)
            answer = await self._redis.script(scripts.DEAD_LETTER_SHOW, [key], arguments)
            after, found = answer[1], values.letters(answer, answer[0].decode())
        return found

    async def adopt(self, project: str, queue: str, letters: Sequence[Letter], asked: SendBack) -> None:
        _, messages_max, bytes_max = values.quota_arguments(self._quotas)
        arguments: list[Argument] = [self._now(), asked.sent, repr(asked.gap_ms), messages_max, bytes_max]
        for one in letters:
            arguments += (one.place, one.id, one.body, one.client, one.ttl_s, one.created_ms)
        verdict, *which = await self._redis.script(
            scripts.DEAD_LETTER_ADOPT, [self._keys.queue(project, queue)], arguments
        )
        if verdict == 3:
            raise QueueMissing
        if verdict:
            raise values.exceeded(self._quotas, which[0])
