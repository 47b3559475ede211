"""Keystone's API, version 3: the calls that the gateway makes, each bounded in time and in what is read of its answer."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TypeVar

import msgspec
import treq
from attrs import define, field, frozen
from treq.client import HTTPClient
from twisted.internet.defer import CancelledError, Deferred, TimeoutError
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from zaqar_gateway import instants
from zaqar_gateway.errors import IdentityUnavailable
from zaqar_gateway.failures import describe
from zaqar_gateway.kept import WholeBody

ANSWER_MAX = 1024 * 1024
"""The most bytes that are read of an answer."""

PAUSE_S = 1.0
"""How long a Keystone that was away is left alone; calls are refused at once meanwhile."""

TELLING_MAX = 1024
"""The most characters of a token by whose call it is found that Keystone is away.  Keystone gives out shorter ones; what is much
longer may be more than a server in front of it takes, which then answers 502 or ends the connection."""

_AWAY = (429, 502, 503, 504)
"""Statuses of a Keystone that is overloaded, or behind a proxy that cannot reach it."""

_log = Logger()

Body = TypeVar("Body")


class Denied(Exception):
    """Keystone says no.

    :ivar status: from 400 on and below 500.
    """

    def __init__(self, status: int) -> None:
        super().__init__(f"Keystone answered {status}")
        self.status = status


@frozen
class Credentials:
    """A user of Keystone who has a password.

    :ivar id: of the user; empty where there is a ``name``.
    :ivar domain: the user's, as ``{"id": ...}`` or ``{"name": ...}``; looked at with a ``name`` only.
    """

    id: str = ""
    name: str = ""
    domain: Mapping[str, str] = field(factory=lambda: {"id": "default"})
    password: str = field(default="", repr=False)

    def identity(self) -> dict[str, object]:
        """As Keystone wants them (Identity API v3, "Password authentication")."""
        who: dict[str, object] = {"id": self.id} if self.id else {"name": self.name, "domain": dict(self.domain)}
        return {"methods": ["password"], "password": {"user": {**who, "password": self.password}}}


class Named(msgspec.Struct, frozen=True):
    """A user, a project or a role."""

    id: str
    name: str


class Described(msgspec.Struct, frozen=True):
    """What Keystone says of a token.

    :ivar expires_at: ISO 8601.
    :ivar project: ``None``: the token is good for no project.
    """

    user: Named
    expires_at: str
    project: Named | None = None
    roles: tuple[Named, ...] = ()

    @property
    def expires_s(self) -> int:
        """When it ends, in seconds since the epoch; what cannot be read has ended."""
        return instants.parse(self.expires_at) or 0


class _DescribedBody(msgspec.Struct, frozen=True):
    token: Described


@frozen
class Issued:
    """A token that Keystone gave out."""

    id: str = field(repr=False)
    described: Described


class _TooLong(Exception):
    """An answer has more bytes than are read."""


def _unavailable() -> IdentityUnavailable:
    return IdentityUnavailable("The identity service does not answer.")


@frozen
class _Answer:
    token: str
    content: bytes


def _versioned(url: str) -> str:
    return f"{url.rstrip('/').removesuffix('/v3')}/v3"


@define(eq=False)
class Keystone:
    """A Keystone, by its URL.

    While it is away one call in each pause finds out whether it still is, and the others are refused at once, so that
    nobody waits for what is not there.  What befalls a long token says nothing of others, and begins no pause: those of anybody's
    making would keep everybody out.

    :param url: where its API begins, with or without ``/v3``.
    :param timeout_s: for one call, from looking the host up to the end of the answer.
    """

    _client: HTTPClient
    _clock: IReactorTime
    url: str = field(converter=_versioned)
    _timeout_s: float
    _retry_s: float | None = field(default=None, init=False)
    """Where it is away: when it is asked again."""
    _in_trouble: bool = field(default=False, init=False)

    async def authenticate(self, who: Credentials, scope: Mapping[str, object] | None = None) -> Issued:
        """A new token.

        :param scope: what it is good for; ``None``: for nothing but to know the user.
        :raises Denied: the password is wrong, or the user has nothing to do with the scope.
        :raises IdentityUnavailable: there is no answer.
        """
        auth: dict[str, object] = {"identity": who.identity(), "scope": "unscoped" if scope is None else scope}
        answer = await self.call("POST", "/auth/tokens?nocatalog", body={"auth": auth})
        if not answer.token:
            raise self._unusable("no token")
        return Issued(answer.token, self.read(answer, _DescribedBody).token)

    async def look_up(self, subject: str, token: str) -> Described:
        """What a token is good for.

        :param subject: the token.
        :param token: of whoever asks; the same one will do.
        :raises Denied: 401: ``token`` is not valid; 404: ``subject`` is not valid.
        :raises IdentityUnavailable: there is no answer.
        """
        answer = await self.call("GET", "/auth/tokens?nocatalog", token=token, subject=subject)
        return self.read(answer, _DescribedBody).token

    async def call(
        self, method: str, path: str, *, token: str = "", subject: str = "", body: object = None
    ) -> _Answer:
        """Make a call.

        :param path: below the URL.
        :raises Denied: the answer is no.
        :raises IdentityUnavailable: there is no answer in time, or one that says nothing.
        """
        tells = max(len(token), len(subject)) <= TELLING_MAX
        if self._retry_s is not None:
            if self._clock.seconds() < self._retry_s:
                raise _unavailable()
            if tells:
                self._pause()
        named = {"X-Auth-Token": token, "X-Subject-Token": subject, "Content-Type": "application/json"}
        try:
            status, answer = await Deferred.fromCoroutine(
                self._exchange(
                    method,
                    self.url + path,
                    {name: value for name, value in named.items() if value},
                    None if body is None else json.dumps(body).encode(),
                )
            ).addTimeout(self._timeout_s, self._clock)
        except CancelledError:
            raise
        except _TooLong:
            self._retry_s = None
            raise self._unusable(f"an answer of more than {ANSWER_MAX} bytes") from None
        except Exception as error:  # what a network can do has no kind of its own
            if tells:
                self._pause()
            late = f"no answer within {self._timeout_s:g} s"
            raise self._unusable(late if isinstance(error, TimeoutError) else describe(error), tells) from None
        if status not in _AWAY:
            self._retry_s = None
        elif tells:
            self._pause()
        if status in _AWAY or not (200 <= status < 300 or 400 <= status < 500):
            # No other status may stand for all calls, lest one token that Keystone fails at keeps everybody out.
            raise self._unusable(f"status {status}", tells)
        if self._in_trouble:
            self._in_trouble = False
            _log.info("Keystone answers again")
        if status >= 400:
            raise Denied(status)
        return answer

    def _pause(self) -> None:
        self._retry_s = self._clock.seconds() + PAUSE_S

    async def _exchange(
        self, method: str, url: str, headers: dict[bytes | str, bytes | str], body: bytes | None
    ) -> tuple[int, _Answer]:
        data = None if body is None else WholeBody(body)
        response = await self._client.request(method, url, headers=headers, data=data, allow_redirects=False, unbuffered=True)
        parts: list[bytes] = []
        read = 0

        def collect(part: bytes) -> None:
            nonlocal read
            read += len(part)
            if read > ANSWER_MAX:
                raise _TooLong
            parts.append(part)

        await treq.collect(response, collect)
        token = response.headers.getRawHeaders("X-Subject-Token", [""])[0]
        return response.code, _Answer(token, b"".join(parts))

    def read(self, answer: _Answer, kind: type[Body]) -> Body:
        """The body of an answer.

        :raises IdentityUnavailable: it is not of that kind.
        """
        try:
            return msgspec.json.decode(answer.content, type=kind)
        except (msgspec.MsgspecError, UnicodeDecodeError):
            raise self._unusable("an answer that is not Keystone's") from None

    def _unusable(self, why: str, tells: bool = True) -> IdentityUnavailable:
        if not tells:
            _log.debug("Keystone at {url} cannot be used for a long token: {why}", url=self.url, why=why)
        elif not self._in_trouble:
            self._in_trouble = True
            _log.warn("Keystone at {url} cannot be used: {why}", url=self.url, why=why)
        return _unavailable()
