"""Trusts: by them the gateway acts for the owner of a subscription at delivery (API reference, "Trust subscriptions").

Keystone has only the trustor, or an administrator, end a trust, and refuses the trustee.  A token by a trust with
impersonation is one of the trustor's, however, and with that Keystone 30 lets the trust itself be ended; so no more
rights are needed than those that the trust gives.
"""

from __future__ import annotations

import re
from urllib.parse import quote

import msgspec
from attrs import define, field
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from zope.interface import implementer

from zaqar_gateway import instants
from zaqar_gateway.clocks import time_of_day
from zaqar_gateway.errors import Forbidden, IdentityUnavailable, NotFound
from zaqar_gateway.identity.cache import Remembered, Shared
from zaqar_gateway.identity.keystone import Credentials, Denied, Keystone
from zaqar_gateway.interfaces import ITrusts
from zaqar_gateway.model import Context

TOKENS_MAX = 10_000
"""How many tokens by trusts are kept."""

TOKEN_AGE_S = 300
"""How long one is used.  A trust that its trustor has ended is noticed so much later at most."""

TOKEN_MARGIN_S = 30
"""How long before its end a token is used no more, so that it does not end on its way."""

_ID = re.compile("[0-9A-Za-z_-]{1,64}")
"""What Keystone may have for an id; it is not asked for another, with which a server in front of it may fail."""

_log = Logger()


class _Trust(msgspec.Struct, frozen=True):
    id: str
    trustor_user_id: str


class _TrustBody(msgspec.Struct, frozen=True):
    trust: _Trust


def _microseconds(instant_s: float) -> str:
    """An instant as Keystone keeps it.  It has no two trusts that are equal in all but their ids, so that those made in one
    second have to differ in a fraction."""
    return f"{instants.text_of(int(instant_s))}.{int(instant_s % 1 * 1_000_000):06}Z"


@implementer(ITrusts)
@define(eq=False)
class Trusts:
    """Trusts at Keystone.

    :param trustee: the user that trusts are made for.
    """

    _keystone: Keystone
    _trustee: Credentials
    _clock: IReactorTime
    _trustee_id: str = field(default="", init=False)
    _refused: bool = field(default=False, init=False)
    _tokens: Remembered[str, str] = field(init=False, repr=False)
    _calls: Shared[str, str] = field(init=False, factory=Shared, repr=False)
    _useless: Remembered[str, bool] = field(init=False, repr=False)  # trusts of which no token is accepted

    def __attrs_post_init__(self) -> None:
        self._tokens = Remembered(self._clock, TOKENS_MAX)
        self._useless = Remembered(self._clock, TOKENS_MAX)

    async def create(self, ctx: Context, token: str, ttl_s: int) -> str:
        """See :class:`~zaqar_gateway.interfaces.ITrusts`.

        A project is named by its id and so are roles to Keystone, which may tell roles apart by the case of their
        names; hence the look at the caller's token.
        """
        if not token or not ctx.user:
            raise Forbidden("There is nobody to trust this service: X-Auth-Token has to be given, of the user who asks.")
        try:
            described = await self._keystone.look_up(token, token)
            trust = {
                "trustor_user_id": ctx.user,
                "trustee_user_id": await self._find_trustee(),
                "project_id": ctx.project,
                "roles": [{"id": role.id} for role in described.roles if role.name.lower() in ctx.roles],
                "impersonation": True,
                "expires_at": _microseconds(time_of_day(self._clock) + ttl_s),
            }
            answer = await self._keystone.call("POST", "/OS-TRUST/trusts", token=token, body={"trust": trust})
        except Denied as denied:
            _log.debug("no trust: {why}", why=str(denied))
            raise Forbidden(
                "The identity service refuses the trust; X-Auth-Token has to be a token of the user who asks, with a"
                " role in this project, and neither one of a trust nor of an application credential."
            ) from None
        return self._keystone.read(answer, _TrustBody).trust.id

    async def check(self, ctx: Context, token: str, trust_id: str) -> None:
        """See :class:`~zaqar_gateway.interfaces.ITrusts`."""
        if token and ctx.user and _ID.fullmatch(trust_id):
            try:
                answer = await self._keystone.call("GET", f"/OS-TRUST/trusts/{trust_id}", token=token)
            except Denied as denied:
                _log.debug("no look at a trust: {why}", why=str(denied))
            else:
                if self._keystone.read(answer, _TrustBody).trust.trustor_user_id == ctx.user:
                    return
        raise Forbidden(
            "trust_id in options has to be of a trust that was given by the user who asks, with X-Auth-Token; where it is left"
            " out a trust is made."
        )

    async def token(self, trust_id: str) -> str:
        """See :class:`~zaqar_gateway.interfaces.ITrusts`."""
        found = self._tokens.get(trust_id)
        return found if found is not None else await self._calls.get(trust_id, lambda: self._obtain(trust_id))

    def refused(self, trust_id: str, token: str, again: bool = False) -> None:
        """See :class:`~zaqar_gateway.interfaces.ITrusts`; so no receiver has Keystone asked for a token for each delivery that it refuses."""
        if again:
            self._useless.put(trust_id, True, TOKEN_AGE_S)
        elif self._tokens.get(trust_id) == token and self._useless.get(trust_id) is None:
            self._tokens.drop(trust_id)

    async def revoke(self, trust_id: str) -> None:
        """See :class:`~zaqar_gateway.interfaces.ITrusts`; one that only others may end is left to its expiry."""
        try:
            # A token that is kept may have ended with its trust, and would tell no more than that.
            token = await self._calls.get(trust_id, lambda: self._obtain(trust_id))
            await self._keystone.call("DELETE", f"/OS-TRUST/trusts/{quote(trust_id, safe='')}", token=token)
        except NotFound:
            pass
        except Denied as denied:
            if denied.status != 404:
                _log.info("a trust is left to its expiry: {why}", why=str(denied))
        finally:
            self._tokens.drop(trust_id)

    async def _obtain(self, trust_id: str) -> str:
        try:
            issued = await self._keystone.authenticate(self._trustee, {"OS-TRUST:trust": {"id": trust_id}})
        except Denied:
            # The same status stands for a trust that does not exist and for a wrong password.
            await self._log_in()
            raise NotFound("There is no such trust for this service.") from None
        left_s = issued.described.expires_s - time_of_day(self._clock)
        self._tokens.put(trust_id, issued.id, min(TOKEN_AGE_S, left_s - TOKEN_MARGIN_S))
        return issued.id

    async def _find_trustee(self) -> str:
        return self._trustee.id or self._trustee_id or await self._log_in()

    async def _log_in(self) -> str:
        """The id of the trustee, whose password is right.

        :raises IdentityUnavailable: it is not.
        """
        try:
            issued = await self._keystone.authenticate(self._trustee)
        except Denied as denied:
            if not self._refused:
                self._refused = True
                _log.error("Keystone refuses the trustee: {why}; [trustee] has to be put right", why=str(denied))
            raise IdentityUnavailable("The identity service cannot be used.") from None
        self._refused = False
        self._trustee_id = issued.described.user.id
        return self._trustee_id
