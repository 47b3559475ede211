"""Tokens without a Keystone, whose look-ups wait until the test ends them."""

from __future__ import annotations

from twisted.internet.defer import Deferred
from zope.interface import implementer

from zaqar_gateway.errors import Unauthorized
from zaqar_gateway.interfaces import ITokens
from zaqar_gateway.model import Caller


def caller(project: str = "p1", user: str = "u1", *roles: str, expires_s: int = 10**9) -> Caller:
    """Whose a token is."""
    return Caller(project, user, frozenset(roles), expires_s)


@implementer(ITokens)
class StubTokens:
    """Tokens by what is known of them.

    :ivar callers: whose tokens are known; ``None``: nobody's.
    :ivar asked: the tokens that were looked up.
    :ivar places: from where these came.
    """

    age_max_s = 300.0

    def __init__(self, **callers: Caller | None) -> None:
        self.callers = callers
        self.asked: list[str] = []
        self.places: list[str] = []
        self._waiting: list[Deferred[Caller]] = []

    def known(self, token: str) -> Caller | None:
        """See :class:`~zaqar_gateway.interfaces.ITokens`."""
        if token not in self.callers:
            return None
        found = self.callers[token]
        if found is None:
            raise Unauthorized("not valid")
        return found

    async def identify(self, token: str, place: str = "") -> Caller:
        """See :class:`~zaqar_gateway.interfaces.ITokens`."""
        found = self.known(token)
        if found is not None:
            return found
        self.asked.append(token)
        self.places.append(place)
        self._waiting.append(Deferred())
        return await self._waiting[-1]

    def answer(self, outcome: Caller | Exception) -> None:
        """End the oldest look-up."""
        waiting = self._waiting.pop(0)
        if isinstance(outcome, Exception):
            waiting.errback(outcome)
        else:
            waiting.callback(outcome)
