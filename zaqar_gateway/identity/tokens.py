"""Whose a token is, by Keystone, remembered for a while (API reference, "Keystone authentication")."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from hashlib import sha256

from attrs import define, field
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger
from zope.interface import implementer

from zaqar_gateway.clocks import time_of_day
from zaqar_gateway.errors import IdentityUnavailable, Unauthorized
from zaqar_gateway.identity.cache import Remembered, Shared
from zaqar_gateway.identity.keystone import Credentials, Denied, Described, Keystone
from zaqar_gateway.interfaces import ITokens
from zaqar_gateway.model import Caller

CALLERS_MAX = 50_000
"""How many tokens that are valid are remembered, at some 500 bytes each."""

STRANGERS_MAX = 10_000
"""How many that are not; those have a place of their own, so that nobody can displace the others by made-up tokens."""

STRANGER_AGE_S = 10.0
"""How long a token that is not valid is remembered.  It might be so for a Keystone that lags behind another one."""

LOOK_UPS_MAX = 256
"""How many tokens are looked up at one time; for more there is no answer now."""

LOOK_UPS_KEPT = 64
LOOK_UPS_OF_FEW = 4
"""How many more are for places from which come only so many, so that nobody keeps everybody out with made-up tokens."""

_RENEW_BEFORE_S = 60
_TOKEN = re.compile(r"[\x21-\x7e]{1,8192}")
"""What is sent to Keystone in a header: no other text can be a token."""

_log = Logger()


@define(eq=False)
class ServiceToken:
    """The token of the service's own user, got anew shortly before it ends.

    :param scope: the project in which the user has its role, as Keystone wants it.
    """

    _keystone: Keystone
    _who: Credentials
    _scope: Mapping[str, object]
    _clock: IReactorTime
    _token: str = field(default="", init=False, repr=False)
    _until_s: float = field(default=0.0, init=False)
    _refused: bool = field(default=False, init=False)
    _calls: Shared[None, str] = field(factory=Shared, init=False, repr=False)

    async def get(self) -> str:
        """The token.

        :raises IdentityUnavailable: there is none.
        """
        if self._token and self._clock.seconds() < self._until_s:
            return self._token
        return await self._calls.get(None, self._renew)

    def drop(self, token: str) -> None:
        """Use a token no more, which Keystone has refused."""
        if token == self._token:
            self._token = ""

    async def _renew(self) -> str:
        try:
            issued = await self._keystone.authenticate(self._who, self._scope)
        except Denied as denied:
            if not self._refused:
                self._refused = True
                _log.error(
                    "Keystone at {url} refuses the service user: {why}; [keystone_authtoken] has to have its URL as auth_url, and its user",
                    url=self._keystone.url,
                    why=str(denied),
                )
            raise _unavailable() from None
        self._refused = False
        left_s = issued.described.expires_s - time_of_day(self._clock)
        self._token, self._until_s = issued.id, self._clock.seconds() + left_s - min(_RENEW_BEFORE_S, left_s / 10)
        return self._token


@implementer(ITokens)
class Tokens:
    """Looks tokens up at Keystone, those that are wanted by several at one time once.

    What is remembered goes by a hash of the token, so that the memory of the process is no list of tokens.

    :param age_max_s: for how long a token is believed; one that was revoked is noticed so much later at most.
    """

    def __init__(
        self,
        keystone: Keystone,
        service: ServiceToken,
        clock: IReactorTime,
        age_max_s: float,
        *,
        strangers_max: int = STRANGERS_MAX,
    ) -> None:
        self.age_max_s = age_max_s
        self._keystone = keystone
        self._service = service
        self._clock = clock
        self._callers: Remembered[bytes, Caller] = Remembered(clock, CALLERS_MAX)
        self._strangers: Remembered[bytes, bool] = Remembered(clock, strangers_max)
        self._calls: Shared[bytes, Caller] = Shared()
        self._places: Counter[str] = Counter()  # how many of them are for whom
        self._forbidden = False

    def known(self, token: str) -> Caller | None:
        """See :class:`~zaqar_gateway.interfaces.ITokens`."""
        return self._known(_key(token))

    async def identify(self, token: str, place: str = "") -> Caller:
        """See :class:`~zaqar_gateway.interfaces.ITokens`."""
        if not _TOKEN.fullmatch(token):
            raise _unauthorized()
        key = _key(token)
        found = self._known(key)
        return found if found is not None else await self._calls.get(key, lambda: self._look_up(token, key, place))

    def _known(self, key: bytes) -> Caller | None:
        found = self._callers.get(key)
        if found is None and self._strangers.get(key):
            raise _unauthorized()
        return found

    async def _look_up(self, token: str, key: bytes, place: str) -> Caller:
        is_one_of_few = place and self._places[place] < LOOK_UPS_OF_FEW
        if len(self._calls) > LOOK_UPS_MAX + (LOOK_UPS_KEPT if is_one_of_few else 0):
            raise _unavailable()
        self._places[place] += 1
        try:
            caller = await self._ask(token)
        finally:
            self._places[place] -= 1
            if not self._places[place]:
                del self._places[place]
        left_s = 0.0 if caller is None else caller.expires_s - time_of_day(self._clock)
        if caller is None or left_s <= 0:
            self._strangers.put(key, True, min(STRANGER_AGE_S, self.age_max_s))
            raise _unauthorized()
        self._callers.put(key, caller, min(self.age_max_s, left_s))
        return caller

    async def _ask(self, token: str) -> Caller | None:
        own = await self._service.get()
        try:
            try:
                described = await self._keystone.look_up(token, own)
            except Denied as denied:
                if denied.status != 401:
                    raise
                self._service.drop(own)  # it was revoked, or has ended by Keystone's clock
                described = await self._keystone.look_up(token, await self._service.get())
        except Denied as denied:
            if denied.status in (400, 404):
                return None
            if not self._forbidden:
                self._forbidden = True
                _log.error(
                    "Keystone does not let the service user look at tokens: {why}; it needs the role service in its project",
                    why=str(denied),
                )
            raise _unavailable() from None
        self._forbidden = False
        return caller_of(described)


def caller_of(described: Described) -> Caller:
    """Whose a token is, by what Keystone says of it."""
    return Caller(
        described.project.id if described.project is not None else "",
        described.user.id,
        frozenset(role.name.lower() for role in described.roles),
        described.expires_s,
    )


def _key(token: str) -> bytes:
    return sha256(token.encode(errors="surrogatepass")).digest()


def _unauthorized() -> Unauthorized:
    return Unauthorized("X-Auth-Token is not valid, or has ended; it has to be a token of the identity service.")


def _unavailable() -> IdentityUnavailable:
    return IdentityUnavailable("The identity service cannot be asked.")
