"""Claims: reserving messages for a worker."""

from __future__ import annotations

from contextlib import suppress
from functools import partial

from attrs import define

from zaqar_gateway.errors import GatewayError, NotFound
from zaqar_gateway.interfaces import IClaimStore, IWaits
from zaqar_gateway.limits import Limits, wait
from zaqar_gateway.model import Claim, Context, Place
from zaqar_gateway.operations import fields
from zaqar_gateway.operations.fields import given


@define
class Claims:
    """The operations on claims."""

    _store: IClaimStore
    _limits: Limits
    _waits: IWaits | None = None

    def seen_by(self, ctx: Context) -> IClaimStore:
        """The claims as somebody sees them."""
        return self._store

    async def create(self, ctx: Context, asked: fields.ClaimCreate) -> Claim | None:
        """Reserve the oldest messages; ``None`` where there is nothing to reserve, for as long as is asked to wait."""
        ttl_s = self._limits.claim_ttl(given(asked.ttl))
        grace_s = self._limits.claim_grace(given(asked.grace))
        limit = self._limits.page(given(asked.limit), self._limits.claim_or_pop_max)
        look = partial(self._store.create, ctx.project, asked.queue_name, ttl_s, grace_s, limit)
        wait_s = wait(given(asked.wait))
        if not wait_s or self._waits is None:
            return await look()
        place = Place(ctx.project, asked.queue_name)
        claim = await self._waits.until_found(place, wait_s, ctx.asker, look, bool, takes=True)
        if claim is None or ctx.asker is None or not ctx.asker.left:
            return claim
        with suppress(GatewayError):  # the claim lapses, then
            await self._store.release(ctx.project, asked.queue_name, claim.id)
        return None

    async def get(self, ctx: Context, asked: fields.Claim) -> Claim:
        """:raises NotFound: there is no such live claim."""
        claim = await self._store.get(ctx.project, asked.queue_name, asked.claim_id)
        if claim is None:
            raise _missing()
        return claim

    async def update(self, ctx: Context, asked: fields.ClaimUpdate) -> None:
        """Renew a claim from now.

        :raises NotFound: there is no such live claim.
        """
        ttl_s = self._limits.claim_ttl(given(asked.ttl))
        grace_s = self._limits.claim_grace(given(asked.grace))
        if not await self._store.update(ctx.project, asked.queue_name, asked.claim_id, ttl_s, grace_s):
            raise _missing()

    async def release(self, ctx: Context, asked: fields.ClaimDelete) -> None:
        """Give the messages back; an unknown claim is no error."""
        await self._store.release(ctx.project, asked.queue_name, asked.claim_id)


def _missing() -> NotFound:
    return NotFound("The claim does not exist; it may have lapsed or been released.")
