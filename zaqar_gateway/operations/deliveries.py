"""Deliveries that were given up, for operators: where they are, what they were, and sending them again."""

from __future__ import annotations

import re
from collections.abc import Sequence

import msgspec
from attrs import define

from zaqar_gateway.errors import RuleBroken
from zaqar_gateway.interfaces import IDeliveryStore
from zaqar_gateway.limits import Limits
from zaqar_gateway.model import Context, FailedDelivery, Failing, Place
from zaqar_gateway.operations import fields
from zaqar_gateway.operations.fields import given
from zaqar_gateway.operations.queues import QUEUE, TOPIC, Kind

PLACES_MAX = 1000
"""How many places an overview has at most."""

RESENT_MAX = 10_000
"""How many deliveries are sent again by one request at most."""

_PASSWORD = re.compile(r"(?<=//)([^/@:]*):[^/]*@")


@define
class Deliveries:
    """The operations on deliveries to the subscribers of queues, or of topics."""

    _store: IDeliveryStore
    _limits: Limits
    _kind: Kind = QUEUE

    async def overview(self, ctx: Context, asked: fields.Nothing) -> Sequence[Failing]:
        """The queues and topics of all projects in which deliveries were given up."""
        return await self._store.failing(PLACES_MAX)

    async def list(self, ctx: Context, asked: fields.DeliveryList) -> Sequence[FailedDelivery]:
        """A page of deliveries after a marker, in the order in which they were given up, without secrets."""
        limit = self._limits.page(given(asked.limit), self._limits.subscriptions_page_max)
        page = await self._store.failures(self._place(ctx, asked.queue_name), asked.marker, limit)
        return [msgspec.structs.replace(one, subscriber=masked(one.subscriber)) for one in page]

    async def resend(self, ctx: Context, asked: fields.DeliveryResend) -> int:
        """Send again what was given up, the oldest first.

        :return: how many are sent again.
        :raises RuleBroken: too many ids are given, or none.
        """
        ids = given(asked.ids)
        if ids is not None and not 1 <= len(ids) <= RESENT_MAX:
            raise RuleBroken(f"ids has {len(ids)} ids; it has to have 1 to {RESENT_MAX}, or to be left out for all.")
        return await self._store.resend(self._place(ctx, asked.queue_name), ids, RESENT_MAX)

    def _place(self, ctx: Context, name: str) -> Place:
        return Place(ctx.project, name, is_topic=self._kind is TOPIC)


def masked(subscriber: str) -> str:
    """A subscriber without what may be secret in it: a password, and all behind the path."""
    path, mark, _ = _parts(subscriber)
    return _PASSWORD.sub(r"\1:***@", path) + (f"{mark}***" if mark else "")


def _parts(subscriber: str) -> tuple[str, str, str]:
    found = re.search("[?#]", subscriber)
    return subscriber.partition(found[0]) if found else (subscriber, "", "")
