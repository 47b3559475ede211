"""Who speaks on a socket, and for how long (API reference, "Authentication").  No I/O.

Browsers cannot set headers on the opening handshake and need not: the token comes in a frame, and in no URL.
"""

from __future__ import annotations

from collections.abc import Callable

from attrs import define, field
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger

from zaqar_gateway.clocks import time_of_day
from zaqar_gateway.errors import IdentityUnavailable, Unauthorized
from zaqar_gateway.interfaces import IAsker, ITokens
from zaqar_gateway.model import Caller
from zaqar_gateway.transport.replies import text_of
from zaqar_gateway.transport.websocket.access import Access
from zaqar_gateway.transport.websocket.codec import (
    AUTHENTICATED,
    AUTHENTICATION_FAILED,
    NOT_AUTHENTICATED,
    NOT_AUTHENTIFIED,
    Answer,
)

POLICY_VIOLATION = 1008
"""A close code (RFC 6455, section 7.4.1): nobody has authenticated in time."""

EXPIRED = 4003
"""A close code of the API reference: the token has ended."""

_log = Logger()


@define(eq=False)
class Authentication:
    """The state of one socket: nobody, somebody, and in both cases perhaps a token that is being looked up.

    :param timeout_s: how long a socket may go without anybody who has authenticated, or a signature that is good.
    :param frames_max: how many frames it may send meanwhile.
    :param end: closes the connection, with a code and a reason.
    :param changed: called before somebody else takes over, or the same user in another project.
    :param warn: called once before a token ends, with the seconds that are left.
    :param warning_s: how long before; 0: it is not called.
    :param place: gives where the connection is counted (:meth:`zaqar_gateway.transport.peers.Peers.place_of`).
    """

    _tokens: ITokens
    _clock: IReactorTime
    _timeout_s: float
    _frames_max: int
    _end: Callable[[int, str], object]
    _changed: Callable[[], object]
    _warn: Callable[[int], object]
    _warning_s: float = 0
    _place: Callable[[], str] = str
    token: str = field(default="", init=False, repr=False)
    running: bool = field(default=False, init=False)
    _caller: Caller | None = field(default=None, init=False)
    _access: Access | None = field(default=None, init=False)
    _frames: int = field(default=0, init=False)
    _timer: IDelayedCall | None = field(default=None, init=False)
    _warning: IDelayedCall | None = field(default=None, init=False)
    _warned_of: float | None = field(default=None, init=False)  # the end (s) of the token that was warned of
    _stopped: bool = field(default=False, init=False)

    def start(self) -> None:
        """The connection is there."""
        self._timer = self._clock.callLater(self._timeout_s, self._too_late)

    def stop(self) -> None:
        """The connection is gone."""
        self._stopped = True
        self._cancel()

    def count(self) -> None:
        """A frame has come."""
        if self._caller is None:
            self._frames += 1
            if self._frames > self._frames_max:
                self._end(POLICY_VIOLATION, f"nobody has authenticated within {self._frames_max} frames")

    def vouched(self) -> None:
        """A signature was good: it authenticates nobody, and the bounds begin anew."""
        if self._caller is None and self._timer is not None:
            self._frames = 0
            self._timer.reset(self._timeout_s)

    def caller(self, project: str) -> Caller:
        """Who asks for something in a project.

        :raises Unauthorized: nobody has authenticated, a token is being looked up, or it is another's project.
        """
        if self._caller is None or self.running:
            raise Unauthorized(NOT_AUTHENTIFIED)
        if project != self._caller.project:
            raise Unauthorized(NOT_AUTHENTICATED)
        return self._caller

    def access(self, asker: IAsker) -> IAsker:
        """As whom a connection asks now, for what has to wait: that ends with the token, and where somebody else takes over."""
        until_s = None if self._caller is None else self._caller.expires_s
        if self._access is None:
            self._access = Access(asker, until_s)
        self._access.until_s = until_s  # of the token that there is now; a wait looks when it begins
        return self._access

    async def authenticate(self, token: str) -> Answer:
        """Have the owner of a token speak from now on; where it cannot be, whoever did before."""
        self.running = True
        try:
            caller = await self._tokens.identify(token, self._place())
            return await self._change(caller, token)
        except Unauthorized:
            return AUTHENTICATION_FAILED
        except IdentityUnavailable as error:
            return Answer(503, {"error": text_of(error, 503)})
        finally:
            self.running = False

    async def _change(self, caller: Caller, token: str) -> Answer:
        if not caller.project:  # there is nothing to ask for
            return AUTHENTICATION_FAILED
        if self._caller is not None and (caller.user, caller.project) != (self._caller.user, self._caller.project):
            self._changed()
            if self._access is not None:
                access, self._access = self._access, None
                await access.end(self._clock)
        if self._stopped:
            return AUTHENTICATION_FAILED
        self._caller, self.token = caller, token
        self._watch(caller)
        return AUTHENTICATED

    # -- how long it holds ---------------------------------------------------------------------------------------------

    def _watch(self, caller: Caller) -> None:
        """Look again when the token ends, and when it could have been revoked."""
        self._cancel()
        left_s = max(0.0, caller.expires_s - time_of_day(self._clock))
        self._timer = self._clock.callLater(min(left_s, self._tokens.age_max_s), self._look, caller)
        if self._warning_s and self._warned_of != caller.expires_s:
            self._warning = self._clock.callLater(max(0.0, left_s - self._warning_s), self._send_warning, caller)

    def _send_warning(self, caller: Caller) -> None:
        self._warning, self._warned_of = None, caller.expires_s
        self._warn(max(0, int(caller.expires_s - time_of_day(self._clock))))

    def _look(self, caller: Caller) -> None:
        self._timer = None
        if caller.expires_s <= time_of_day(self._clock):
            self._expire()
        else:
            Deferred.fromCoroutine(self._look_up(self.token)).addErrback(
                lambda failure: _log.failure("a token could not be looked up again", failure)
            )

    async def _look_up(self, token: str) -> None:
        caller = self._caller
        try:
            found: Caller | None = await self._tokens.identify(token)
        except Unauthorized:
            found = None
        except IdentityUnavailable:
            found = caller  # what was valid stays so until it ends
        if self._stopped or self.token != token:
            return
        if found is None:
            self._expire()
        else:
            self._caller = found
            self._watch(found)

    def _expire(self) -> None:
        self._caller = None
        Deferred.fromCoroutine(self._end_waits()).addErrback(
            lambda failure: _log.failure("a connection with a token that has ended could not be closed", failure)
        )

    async def _end_waits(self) -> None:
        """Close, once what waits for messages is answered: it ends with the token, and gets what there is."""
        access, self._access = self._access, None
        if access is not None:
            await access.end(self._clock)
        if self._caller is None:
            self._end(EXPIRED, "Authentication expired.")
        else:  # somebody has authenticated meanwhile, whose the subscriptions are not
            self._changed()

    def _too_late(self) -> None:
        self._timer = None
        self._end(POLICY_VIOLATION, f"nobody has authenticated within {self._timeout_s:g} seconds")

    def _cancel(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if self._warning is not None:
            self._warning.cancel()
            self._warning = None
