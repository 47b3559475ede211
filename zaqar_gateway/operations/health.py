"""Whether the store works, for operators and load balancers."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from typing import Any
from uuid import uuid4

import msgspec
from attrs import define
from twisted.internet.defer import Deferred, gatherResults
from twisted.logger import Logger

from zaqar_gateway.errors import QuotaExceeded, StoreError, StoreFault, StoreUnavailable
from zaqar_gateway.interfaces import IPoolDirectory, IStorage
from zaqar_gateway.model import NO_RULES, Context, NewMessage, NewPost, Volume
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


class PooledReport(msgspec.Struct, frozen=True):
    """The answer of health where there are pools: a report on each, by name.

    :ivar catalog_reachable: whether it can be found out in which pool something is.
    """

    catalog_reachable: bool
    pools: dict[str, Report]


@define
class Health:
    """The operations of monitoring.

    :param directory: ``None``: there are no pools.
    """

    _storage: IStorage
    _directory: IPoolDirectory | None = None

    async def ping(self, ctx: Context, asked: fields.Nothing) -> bool:
        """Whether the store answers."""
        return await _answers(self._storage)

    async def report(self, ctx: Context, asked: fields.Nothing) -> Report | PooledReport:
        """Run each kind of operation once, on a queue of its own that is gone afterwards; with pools, in each of them.

        :raises StoreUnavailable: every one of them failed.
        """
        if self._directory is not None:
            stores = await self._directory.stores()
            work = [Deferred.fromCoroutine(_report(store)) for store in stores.values()]
            reports = dict(zip(stores, await gatherResults(work, consumeErrors=True), strict=True))
            catalog = await self.ping(ctx, asked)
            if not catalog and not any(_works(report) for report in reports.values()):
                raise StoreUnavailable("Neither the store of the catalog nor any pool answers.")
            return PooledReport(catalog, reports)
        report = await _report(self._storage)
        if not _works(report):
            raise StoreUnavailable("The store does not answer.")
        return report


def _works(report: Report) -> bool:
    return any(outcome.succeeded for outcome in report.operation_status.values())


async def _report(store: IStorage) -> Report:
    """What of a store works."""
    status: dict[str, Outcome] = {}
    queue = f"health-{uuid4().hex}"

    async def post() -> Any:
        new = [NewMessage(b"{}", _TTL_S)] * 2
        return await store.messages.post(
            _PROJECT, queue, NewPost(b"health", new, size=2, ttl_default_s=_TTL_S, size_max=1024)
        )

    async def listed() -> Any:
        return await store.messages.list(
            _PROJECT, queue, marker=None, limit=1, skip_client=None, include_claimed=True, include_delayed=True
        )

    async def probe(name: str, work: Callable[[], Awaitable[Any]]) -> Any:
        began = time.perf_counter()
        ref, value = None, None
        try:
            value = await work()
        except QuotaExceeded:
            pass  # the store has answered; what projects may have is for this one as well
        except StoreError as error:
            ref = str(uuid4())
            why = error.cause if isinstance(error, StoreFault) else str(error)
            _log.error("health: {name} failed; ref {ref}: {why}", name=name, ref=ref, why=why)
        status[name] = Outcome(ref is None, time.perf_counter() - began, ref)
        return value

    await probe("create_queue", lambda: store.queues.create(_PROJECT, queue, b"{}", NO_RULES))
    ids = await probe("post_messages", post) or ["none", "none"]
    claim = await probe("claim_messages", lambda: store.claims.create(_PROJECT, queue, _TTL_S, _TTL_S, 1))
    await probe("list_messages", listed)
    await probe("delete_messages", lambda: store.messages.delete(_PROJECT, queue, ids[1], None))
    await probe("delete_claim", lambda: store.claims.release(_PROJECT, queue, claim.id if claim else "none"))
    await probe("bulk_delete_messages", lambda: store.messages.delete_many(_PROJECT, queue, ids, None))
    await probe("delete_queue", lambda: store.queues.delete(_PROJECT, queue))
    return Report(await _answers(store), status, await _volume(store))


async def _answers(store: IStorage) -> bool:
    try:
        await store.ping()
    except StoreError:
        return False
    return True


async def _volume(store: IStorage) -> Volume | None:
    try:
        return await store.volume()
    except StoreError:
        return None
