"""Tokens for people, who have passwords (Identity API v3, "Password authentication with scoped authorization")."""

from __future__ import annotations

from attrs import define
from zope.interface import implementer

from zaqar_gateway.errors import ProjectMissing, Unauthorized
from zaqar_gateway.identity.keystone import Credentials, Denied, Keystone
from zaqar_gateway.identity.tokens import caller_of
from zaqar_gateway.interfaces import ISignIn, ITokens
from zaqar_gateway.model import Login, SignedIn


@implementer(ISignIn)
@define(eq=False)
class SignIn:
    """Asks Keystone in the name of whoever signs in, with what they gave and nothing of the gateway's own."""

    _keystone: Keystone
    _tokens: ITokens

    async def with_password(self, login: Login) -> SignedIn:
        """See :class:`~zaqar_gateway.interfaces.ISignIn`."""
        who = Credentials(name=login.user, domain=_domain(login.domain), password=login.password)
        domain = _domain(login.project_domain or login.domain)
        try:
            issued = await self._keystone.authenticate(who, {"project": {"name": login.project, "domain": domain}})
        except Denied:
            raise Unauthorized(
                "The identity service refuses: user, password, domain and project have to belong together, and the user"
                " needs a role in the project."
            ) from None
        described = issued.described
        project = described.project.name if described.project is not None else ""
        return SignedIn(issued.id, caller_of(described), described.user.name, project)

    async def with_token(self, token: str) -> SignedIn:
        """See :class:`~zaqar_gateway.interfaces.ISignIn`."""
        caller = await self._tokens.identify(token)
        if not caller.project:
            raise ProjectMissing("The token is good for no project; it has to be one of a project.")
        return SignedIn(token, caller)


def _domain(name: str) -> dict[str, str]:
    return {"name": name} if name else {"id": "default"}
