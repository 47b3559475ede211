"""What asks Keystone, made from the settings: whose tokens are, and trusts."""

from __future__ import annotations

from functools import partial
from typing import Any

from treq.client import HTTPClient
from twisted.web.client import Agent

from zaqar_gateway.config import Settings
from zaqar_gateway.config.settings import KeystoneAuthtoken, Trustee
from zaqar_gateway.identity.keystone import Credentials, Keystone
from zaqar_gateway.identity.measured import MeasuredKeystone, MeasuredTokens
from zaqar_gateway.identity.sign_in import SignIn
from zaqar_gateway.identity.tokens import ServiceToken, Tokens
from zaqar_gateway.identity.trusts import Trusts
from zaqar_gateway.interfaces import ISignIn, ITokens, ITrusts
from zaqar_gateway.kept import KeptConnections
from zaqar_gateway.meters import IdentityMeter

_TIMEOUT_S = 10.0


class Identifying:
    """The parts of :mod:`zaqar_gateway.identity` that have a Keystone.

    :param meter: notes what Keystone is asked; ``None``: nobody does.
    :ivar tokens: finds out whose tokens are; ``None``: nobody has to have one.
    :ivar sign_in: gets tokens for people; ``None``: nobody has to have one.
    :ivar trusts: ``None``: there is no trustee.
    """

    def __init__(self, settings: Settings, reactor: Any, meter: IdentityMeter | None = None) -> None:
        self._meter = meter
        self._settings = settings
        self._reactor = reactor
        self._kept = KeptConnections(reactor)
        self.tokens = self._make_tokens() if settings.auth_strategy else None
        self.sign_in = self._make_sign_in(self.tokens) if self.tokens is not None else None
        self.trusts = self._make_trusts() if settings.trustee.auth_url else None

    async def stop(self) -> None:
        """Close the connections, once nobody asks any more."""
        await self._kept.closeCachedConnections()

    def _keystone(self, url: str) -> Keystone:
        given = HTTPClient(Agent(self._reactor, pool=self._kept)), self._reactor, url, _TIMEOUT_S
        return Keystone(*given) if self._meter is None else MeasuredKeystone(*given, self._meter)

    def _make_tokens(self) -> ITokens:
        given = self._settings.keystone_authtoken
        keystone, clock = self._keystone(given.auth_url), self._reactor
        project: dict[str, object] = {"id": given.project_id}
        if given.project_name:
            domain = _domain(given.project_domain_id, given.project_domain_name)
            project = {"name": given.project_name, "domain": domain}
        user = _credentials(given, self._settings.keystone_password)
        service = ServiceToken(keystone, user, {"project": project}, clock)
        make = Tokens if self._meter is None else partial(MeasuredTokens, self._meter)
        return make(keystone, service, clock, given.token_cache_time)

    def _make_sign_in(self, tokens: ITokens) -> ISignIn:
        return SignIn(self._keystone(self._settings.keystone_authtoken.auth_url), tokens)

    def _make_trusts(self) -> ITrusts:
        given = self._settings.trustee
        trustee = _credentials(given, self._settings.trustee_password)
        return Trusts(self._keystone(given.auth_url), trustee, self._reactor)


def _domain(domain_id: str, name: str) -> dict[str, str]:
    return {"name": name} if name else {"id": domain_id or "default"}


def _credentials(given: KeystoneAuthtoken | Trustee, password: str) -> Credentials:
    domain = _domain(given.user_domain_id, given.user_domain_name)
    return Credentials(given.user_id, given.username, domain, password)
