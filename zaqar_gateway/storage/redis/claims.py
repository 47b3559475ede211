"""Claims in Redis."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence

from attrs import define
from twisted.internet.defer import Deferred
from twisted.logger import Logger
from zope.interface import implementer

from zaqar_gateway.errors import StoreError, StoreUnavailable
from zaqar_gateway.interfaces import IClaimStore
from zaqar_gateway.model import Claim, Message
from zaqar_gateway.storage.redis import scripts, together, values
from zaqar_gateway.storage.redis.apart import whole
from zaqar_gateway.storage.redis.commands import Argument
from zaqar_gateway.storage.redis.commands import together as all_of
from zaqar_gateway.storage.redis.interfaces import IRedis
from zaqar_gateway.storage.redis.keys import Keys
from zaqar_gateway.storage.redis.packing import NOTHING, bulk, number, packed_now

_log = Logger()

_RELEASE_AGAIN_S, _RELEASE_AGAIN_MAX_S = 1.0, 5.0


def _claim_of(claim_id: str, nth: int) -> str:
    """The claim of the n-th message, where each has its own (``scripts/claim.lua``)."""
    return f"{claim_id[:-4]}{nth:04x}"


@implementer(IClaimStore)
@define
class RedisClaims:
    """One script for each operation on claims."""

    _redis: IRedis
    _keys: Keys
    _now: Callable[[], Argument]  # b"" in production: the script then asks Redis
    _new_incarnation: Callable[[], str]
    _new_claim_id: Callable[[], str]

    async def create(self, project: str, queue: str, ttl_s: int, grace_s: int, limit: int) -> Claim | None:
        claim_id = self._new_claim_id()
        found = await self._take(project, queue, claim_id, ttl_s, grace_s, limit, each=False)
        return Claim(claim_id, ttl_s, 0, found) if found else None

    async def create_each(self, project: str, queue: str, ttl_s: int, grace_s: int, limit: int) -> list[Message]:
        return await self._take(project, queue, self._new_claim_id(), ttl_s, grace_s, limit, each=True)

    async def _release_all(self, project: str, queue: str, claims: Sequence[str], ttl_s: int) -> None:
        """Release claims; Redis may be away, or refuse all that is written, for longer than they last."""
        pause_s, tried_s = _RELEASE_AGAIN_S, 0.0
        while tried_s < ttl_s:
            await self._redis.when_ready(self._keys.queue(project, queue))
            try:
                await all_of(*(self.release(project, queue, claim) for claim in claims))
            except StoreError as error:
                _log.debug("claims of which no answer came are not released yet: {why}", why=str(error))
                await self._redis.pause(pause_s)
                tried_s, pause_s = tried_s + pause_s, min(pause_s + _RELEASE_AGAIN_S, _RELEASE_AGAIN_MAX_S)
            else:
                return

    async def _take(
        self, project: str, queue: str, claim_id: str, ttl_s: int, grace_s: int, limit: int, *, each: bool
    ) -> list[Message]:
        try:
            return await self._ask(project, queue, claim_id, ttl_s, grace_s, limit, each=each)
        except StoreUnavailable as error:
            if error.outcome_unknown:
                # They may have been made, and nobody is told their ids: their messages would be out of reach until they lapse.
                made = [_claim_of(claim_id, nth) for nth in range(1, limit + 1)] if each else [claim_id]
                releasing = Deferred.fromCoroutine(self._release_all(project, queue, made, ttl_s))
                releasing.addErrback(lambda failure: _log.failure("claims of which no answer came are not released", failure))
            raise

    async def _ask(
        self, project: str, queue: str, claim_id: str, ttl_s: int, grace_s: int, limit: int, *, each: bool
    ) -> list[Message]:
        apart, theirs = (bulk(b"1"), None) if each else (NOTHING, claim_id)
        kind = self._keys.packed_with_catalog(project, queue), apart + number(ttl_s) + number(grace_s)
        given = [bulk(claim_id.encode()), number(limit)]
        size = limit * together.MESSAGE_SIZE
        while True:
            found = await together.ask(self._redis, scripts.CLAIM, kind, self._begin, given, 2, size)
            if found[0] != values.AGAIN:
                break
        taken, has_apart = values.claimed(found, theirs)
        return await self._whole(project, queue, taken) if has_apart and taken else taken

    async def _whole(self, project: str, queue: str, taken: list[Message]) -> list[Message]:
        try:
            return await whole(self._redis, self._keys.queue(project, queue), taken)
        except StoreUnavailable as error:
            raise StoreUnavailable(f"The messages are claimed; their bodies were not read: {error}", outcome_unknown=True) from None

    def _begin(self, kind: tuple[bytes, bytes]) -> tuple[bytes, int]:
        """See :func:`.together.ask`; the kind is keys and terms."""
        place, terms = kind
        return place + packed_now(self._now()) + bulk(self._new_incarnation().encode()) + terms, 7

    async def get(self, project: str, queue: str, claim_id: str) -> Claim | None:
        key = self._keys.queue(project, queue)
        now_ms, incarnation, created_ms, ttl_s, *found = await self._redis.script(
            scripts.CLAIM_GET, [key], [self._now(), claim_id]
        )
        if not incarnation:
            return None
        age_s = max(0, now_ms - created_ms) // 1000
        return Claim(claim_id, ttl_s, age_s, values.messages(found, 0, now_ms, incarnation.decode()))

    async def update(self, project: str, queue: str, claim_id: str, ttl_s: int, grace_s: int) -> bool:
        key = self._keys.queue(project, queue)
        return bool(
            await self._redis.script(scripts.CLAIM_UPDATE, [key], [self._now(), claim_id, ttl_s, grace_s])
        )

    async def release(self, project: str, queue: str, claim_id: str) -> None:
        key = self._keys.queue(project, queue)
        await self._redis.script(scripts.CLAIM_RELEASE, [key], [self._now(), claim_id])

    async def live(self, project: str, queue: str, claim_ids: Sequence[str]) -> Collection[str]:
        key = self._keys.queue(project, queue)
        return [claim_ids[at] for at in await self._redis.script(scripts.CLAIM_LIVE, [key], [self._now(), *claim_ids])]
