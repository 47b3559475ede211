"""Whose pages may open a WebSocket (RFC 6455, section 10.2): pure.

A browser lets any page connect anywhere and says in ``Origin`` which page it is; project and client travel in the frames.
So a gateway on loopback without authentication would be open to every site that its user visits, if it did not look.
Programs that are no browsers send no ``Origin``, or that of the host they connect to.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from fnmatch import fnmatchcase
from ipaddress import ip_address
from urllib.parse import urlsplit

_FILE = "file://"


def is_loopback(host: str) -> bool:
    """Whether a host name or address is this machine's own."""
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


class Origins:
    """The rule: pages of this machine, of the gateway's own host, and of the patterns.

    :param patterns: origins such as ``https://app.example.org``; ``*`` stands for any characters, alone for any origin.
    """

    def __init__(self, patterns: Sequence[str] = ()) -> None:
        self._patterns = tuple(pattern.lower() for pattern in patterns)

    def admits(self, origin: str | None, host: str, peer: str) -> bool:
        """Whether a page may connect.

        :param origin: the ``Origin`` header, ``None`` where there is none.
        :param host: the ``Host`` header.
        :param peer: the address of the client, empty for a Unix socket.
        """
        if origin is None:
            return True
        origin = origin.lower()
        if any(fnmatchcase(origin, re.sub(r"\[", "[[]", pattern)) for pattern in self._patterns):
            return True
        local = not peer or is_loopback(peer)
        if origin == _FILE:
            return local  # a file that the user has opened
        name = _host_of(origin)
        if is_loopback(name):
            return True
        # Not where the client is on this machine: a name in somebody's DNS may lead here, too.
        return not local and bool(name) and name == _host_of(f"//{host.lower()}")


def _host_of(url: str) -> str:
    try:
        return urlsplit(url).hostname or ""
    except ValueError:
        return ""
