"""Whether the store works, for operators and load balancers."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from typing import Any
from uuid import uuid4

import msgspec
from attrs import define
from twisted.logger import Logger

from zaqar_gateway.errors import StoreError, StoreUnavailable
from zaqar_gateway.interfaces import IStorage
from zaqar_gateway.model import NO_RULES, Context, NewMessage, Volume
from zaqar_gateway.operations import fields

_log = Logger()

_PROJECT = "zaqar-gateway health"  # no client can name it: it is never in a token, and holds nothing
_TTL_S = 60


class Outcome(msgspec.Struct, frozen=True):
    """One kind of operation; ``ref`` is found in the log beside the cause where it failed."""

    succeeded: bool
    seconds: float
    ref: str | None = None


class Report(msgspec.Struct, frozen=True):
    """The answer of health (API reference, "Health body")."""

    storage_reachable: bool
    operation_status: dict[str, Outcome]
    message_volume: Volume | None


@define
class Health:
    """The operations of monitoring."""

    _storage: IStorage

    async def ping(self, ctx: Context, asked: fields.Nothing) -> bool:
        """Whether the store answers."""
        try:
            await self._storage.ping()
        except StoreError:
            return False
        return True

    async def report(self, ctx: Context, asked: fields.Nothing) -> Report:
        """Run each kind of operation once, on a queue of its own that is gone afterwards.

        :raises StoreUnavailable: every one of them failed.
        """
        status: dict[str, Outcome] = {}
        queue = f"health-{uuid4().hex}"
        store = self._storage

        async def post() -> Any:
            new = [NewMessage(b"{}", _TTL_S)] * 2
            return await store.messages.post(
                _PROJECT, queue, b"health", new, size=2, ttl_default_s=_TTL_S, size_max=1024
            )

        async def probe(name: str, work: Callable[[], Awaitable[Any]]) -> Any:
            began = time.perf_counter()
            ref, value = None, None
            try:
                value = await work()
            except StoreError:
                ref = str(uuid4())
                _log.failure("health: {name} failed; ref {ref}", name=name, ref=ref)
            status[name] = Outcome(ref is None, time.perf_counter() - began, ref)
            return value

        await probe("create_queue", lambda: store.queues.create(_PROJECT, queue, b"{}", NO_RULES))
        ids = await probe("post_messages", post) or ["none", "none"]
        claim = await probe("claim_messages", lambda: store.claims.create(_PROJECT, queue, _TTL_S, _TTL_S, 1))
        await probe("list_messages", lambda: self._list(queue))
        await probe("delete_messages", lambda: store.messages.delete(_PROJECT, queue, ids[1], None))
        await probe("delete_claim", lambda: store.claims.release(_PROJECT, queue, claim.id if claim else "none"))
        await probe("bulk_delete_messages", lambda: store.messages.delete_many(_PROJECT, queue, ids, None))
        await probe("delete_queue", lambda: store.queues.delete(_PROJECT, queue))
        if not any(outcome.succeeded for outcome in status.values()):
            raise StoreUnavailable("The store does not answer.")
        try:
            volume = await store.volume()
        except StoreError:
            volume = None
        return Report(await self.ping(ctx, asked), status, volume)

    async def _list(self, queue: str) -> Any:
        return await self._storage.messages.list(
            _PROJECT, queue, marker=None, limit=1, skip_client=None, include_claimed=True, include_delayed=True
        )
