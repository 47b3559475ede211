"""Dead letters of a queue: what they are, and sending them back."""

from __future__ import annotations

from collections.abc import Sequence

from attrs import define

from zaqar_gateway.errors import RuleBroken
from zaqar_gateway.interfaces import IDeadLetterStore
from zaqar_gateway.limits import Limits, check_queue, in_range
from zaqar_gateway.model import Context, Message, SendBack, SentBack
from zaqar_gateway.operations import fields
from zaqar_gateway.operations.fields import given

RETURNED_MAX = 1000
"""How many dead letters one request sends back at most."""

RATE_MIN, RATE_MAX = 0.01, 1000
"""Bounds of the rate at which they become deliverable: messages a second."""


@define
class DeadLetters:
    """The operations on dead letters of queues."""

    _store: IDeadLetterStore
    _limits: Limits

    async def list(self, ctx: Context, asked: fields.DeadLetterList) -> Sequence[Message]:
        """A page of dead letters after a marker, in the order in which they were moved."""
        limit = self._limits.page(given(asked.limit), self._limits.messages_page_max)
        return await self._store.list(ctx.project, asked.queue_name, marker=given(asked.marker), limit=limit)

    async def send_back(self, ctx: Context, asked: fields.DeadLetterReturn) -> SentBack:
        """Send dead letters back to where they came from, or to another queue, which is created where it is missing.

        :raises RuleBroken: neither or both of ids and limit are given, too many, the rate is out of range, or they would go
            to where they are.
        :raises BadQueueName: no queue can have the name of the one that they would go to.
        """
        ids, limit, to = given(asked.ids), given(asked.limit), given(asked.destination)
        if (ids is None) == (limit is None):
            raise RuleBroken("Give either ids, or limit for the oldest: one of them has to say what to send back.")
        if ids is not None and not 1 <= len(ids) <= RETURNED_MAX:
            raise RuleBroken(f"ids has {len(ids)} ids; it has to have 1 to {RETURNED_MAX}.")
        if limit is not None:
            in_range("limit", limit, 1, RETURNED_MAX)
        if to is not None:
            check_queue(ctx.project, to)
            if to == asked.queue_name:
                raise RuleBroken("destination is the queue that the dead letters are in; it has to be another one.")
        selected = SendBack(
            None if ids is None else tuple(ids), len(ids or ()) or limit or 0, to, _gap_ms(given(asked.rate))
        )
        return await self._store.send_back(ctx.project, asked.queue_name, selected)


def _gap_ms(rate: float | None) -> float:
    if rate is None:
        return 0
    if not RATE_MIN <= rate <= RATE_MAX:
        raise RuleBroken(f"rate is {rate:g} messages a second; it has to be from {RATE_MIN} to {RATE_MAX}.")
    return 1000 / rate
