"""Where to listen: endpoint strings, looked at without listening, and without what only a start brings."""

from __future__ import annotations

import json
import re
from ipaddress import IPv6Address, ip_address

from attrs import frozen
from twisted.internet.endpoints import quoteStringArgument, serverFromString
from twisted.internet.task import Clock

PORT_MAX = 65535
_PROXIED = "haproxy:"
_FORMS = {
    "tcp": "tcp:PORT[:interface=ADDRESS][:backlog=NUMBER]",
    "tcp6": "tcp6:PORT[:interface=ADDRESS][:backlog=NUMBER]",
    "unix": "unix:/PATH[:mode=OCTAL][:backlog=NUMBER][:lockfile=0 or 1]",
    "systemd": "systemd:domain=INET, INET6 or UNIX, then :index=NUMBER or :name=NAME",
}
_PART = re.compile(r"(?:^|:)((?:\\.|[^:\\])*)", re.DOTALL)
_PAIR = re.compile(r"((?:\\.|[^=\\])*)=(.*)", re.DOTALL)
_INTERFACE = re.compile(r"(.*:interface=)\[?([0-9A-Fa-f.:]+(?:%\w+)?)\]?(:\w+=.*)?")
_ADDRESS_FIRST = re.compile(r"((?:haproxy:)?tcp6?:)(\[[^\]]*\]|[0-9.]+):([0-9]+)")


def without_tls(endpoint: str) -> tuple[str, bool]:
    """What an endpoint of the settings is to Twisted, and whether TLS is spoken there.

    ``tls:`` stands before any endpoint, as Twisted's ``haproxy:`` does; before a port alone it is that of TCP.
    """
    if not endpoint.startswith("tls:"):
        return endpoint, False
    inner = endpoint.removeprefix("tls:")
    return f"tcp:{inner}" if inner[:1].isdigit() else inner, True


def check(endpoint: str) -> None:
    """Look whether an endpoint can be read.

    :raises ValueError: it cannot; the text says what is wrong.
    """
    described, over_tls = without_tls(endpoint)
    parts = _Parts.of(described)
    try:
        _check(described, parts)
    except Exception as error:  # each kind of endpoint is a plug-in and raises what it likes
        why = str(error) if isinstance(error, _Wrong) else f"{type(error).__name__}: {error}"
        if form := _FORMS.get(parts.kind):
            why = f"{f'{why}; ' if isinstance(error, _Wrong) else ''}the form is {form}, and a colon within a part is written \\:"
        if meant := _meant(described):
            why = f"{why}; so it would be '{'tls:' if over_tls else ''}{meant}'"
        raise ValueError(f"{json.dumps(endpoint)} cannot be read ({why})") from None


class _Wrong(ValueError):
    """What is wrong with an endpoint, in words of ours."""


@frozen
class _Parts:
    """An endpoint, taken apart as Twisted does it.

    :ivar kind: ``tcp`` and so on, of what stands behind ``haproxy:``.
    """

    kind: str
    unnamed: tuple[str, ...]
    named: dict[str, str]

    @classmethod
    def of(cls, endpoint: str) -> _Parts:
        kind, *parts = _PART.findall(endpoint.removeprefix(_PROXIED))
        pairs = [_PAIR.fullmatch(part) for part in parts]
        unnamed = tuple(part for part, pair in zip(parts, pairs, strict=True) if not pair)
        return cls(kind, unnamed, {pair[1]: pair[2] for pair in pairs if pair})

    def get(self, name: str, place: int) -> str | None:
        """A part by its name or by its place among those without one."""
        return self.named.get(name, self.unnamed[place] if place < len(self.unnamed) else None)


def _check(endpoint: str, parts: _Parts) -> None:
    if parts.kind == "systemd":
        _check_systemd(parts)
        return
    if parts.kind == "ssl":
        raise _Wrong("TLS is spoken at tls:PORT, with the files that are named in [tls]")
    # Parsing needs no more of a reactor than that there is one; listening happens elsewhere.
    serverFromString(Clock(), endpoint)
    # Twisted takes whatever int() does, and any number; it would fail, or listen elsewhere than it seems, when it listens.
    port = parts.get("port", 0) if parts.kind in ("tcp", "tcp6") else None
    if port is not None and not (re.fullmatch("[0-9]{1,9}", port) and int(port) <= PORT_MAX):
        raise _Wrong(f"the port is {port}; it has to be from 0 to {PORT_MAX}, in digits alone")
    if parts.kind == "unix" and not parts.get("address", 0):
        raise _Wrong("there is no path")


def _check_systemd(parts: _Parts) -> None:
    """Twisted would look for the socket, which is there only where systemd has started this very process."""
    domain, index, name = (parts.get(*each) for each in (("domain", 0), ("index", 1), ("name", 2)))
    if len(parts.unnamed) > 3 or parts.named.keys() - {"domain", "index", "name"}:
        raise _Wrong("it has other parts than domain, index and name")
    if domain not in ("INET", "INET6", "UNIX"):
        raise _Wrong("the domain is missing" if domain is None else f"the domain is {domain}")
    if (index is None) == (name is None):
        raise _Wrong("one of index and name has to be given")
    if index is not None and not re.fullmatch("[0-9]{1,9}", index):
        raise _Wrong(f"the index is {index}")


def _meant(endpoint: str) -> str:
    """The endpoint that somebody meant who wrote an address as addresses are written elsewhere, or nothing."""
    if found := _ADDRESS_FIRST.fullmatch(endpoint):
        before, address, after = f"{found[1]}{found[3]}:interface=", found[2].strip("[]"), ""
    elif found := _INTERFACE.fullmatch(endpoint):
        before, address, after = found[1], found[2], found[3] or ""
    else:
        return ""
    try:
        is_v6 = isinstance(ip_address(address), IPv6Address)
        meant = before + (quoteStringArgument(address) if is_v6 else address) + after
        _check(meant, _Parts.of(meant))
    except Exception:  # as it is with all endpoints
        return ""
    return meant
