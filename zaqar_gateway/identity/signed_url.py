"""Pre-signed URLs: what is signed, and what a signature gives (API reference, "Pre-signed URLs").  Pure."""

from __future__ import annotations

import hmac
import re
from collections.abc import Sequence

from attrs import field, frozen
from twisted.internet.interfaces import IReactorTime
from zope.interface import implementer

from zaqar_gateway import instants
from zaqar_gateway.clocks import time_of_day
from zaqar_gateway.errors import RuleBroken
from zaqar_gateway.interfaces import IUrlSigner
from zaqar_gateway.model import SignedUrl

SEPARATOR = r"\n"
"""Between the parts of the text that is signed: a backslash and a letter n, not a line feed."""

_DIGEST = re.compile("[0-9a-f]{64}")


def signed_text(paths: Sequence[str], methods: Sequence[str], project: str, expires: str) -> str:
    """The text that is signed.

    :param expires: ``YYYY-MM-DDTHH:MM:SS`` in UTC.
    :raises RuleBroken: a part holds the separator, so that the text could be read as that of another access.
    """
    parts = (",".join(sorted(paths)), ",".join(sorted(methods)), project, expires)
    if any(SEPARATOR in part for part in parts):
        raise RuleBroken(rf"paths, methods and project cannot be signed with {SEPARATOR} in them; leave that out.")
    return SEPARATOR.join(parts)


def digest(key: str, text: str) -> str:
    """HMAC-SHA256 as 64 lower-case hex digits."""
    return hmac.digest(key.encode(), text.encode(), "sha256").hex()


def covers(paths: Sequence[str], path: str) -> bool:
    """Whether a path is one of some paths, or below one of them; an empty one covers nothing."""
    return any(one and (path == one or path.startswith(one + "/")) for one in paths)


@implementer(IUrlSigner)
@frozen
class UrlSigner:
    """Signs with the first of its keys and accepts signatures by all of them, so that a key can be replaced.

    :param keys: secrets; none of them is empty.
    :param clock: what is in the future is in its future.
    """

    _keys: tuple[str, ...] = field(repr=False)
    _clock: IReactorTime = field(repr=False)

    @property
    def enabled(self) -> bool:
        """See :class:`~zaqar_gateway.interfaces.IUrlSigner`."""
        return bool(self._keys)

    def sign(self, project: str, paths: Sequence[str], methods: Sequence[str], expires_s: int) -> SignedUrl:
        """See :class:`~zaqar_gateway.interfaces.IUrlSigner`."""
        if not self._keys:
            raise RuleBroken("Pre-signed URLs are not available: no secret for them is configured.")
        expires = instants.text_of(expires_s)
        signature = digest(self._keys[0], signed_text(paths, methods, project, expires))
        return SignedUrl(tuple(sorted(paths)), tuple(sorted(methods)), project, expires, signature)

    def allows(self, given: SignedUrl, method: str, path: str) -> bool:
        """See :class:`~zaqar_gateway.interfaces.IUrlSigner`."""
        expires_s = instants.parse(given.expires)
        if (
            method not in given.methods
            or not covers(given.paths, path)
            or not given.project
            or expires_s is None
            or expires_s <= time_of_day(self._clock)
            or not _DIGEST.fullmatch(given.signature)
        ):
            return False
        try:
            text = signed_text(given.paths, given.methods, given.project, instants.text_of(expires_s))
        except RuleBroken:
            return False
        presented = given.signature.encode()
        # All keys are tried, so that the time that it takes does not tell which one it was.
        matches = [hmac.compare_digest(digest(key, text).encode(), presented) for key in self._keys]
        return any(matches)
