"""Where to listen: endpoint strings, looked at without listening, and without what only a start brings."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
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
    "systemd": "systemd:domain=INET or INET6, then :index=NUMBER or :name=NAME",
}
_PARTS = {
    "tcp": ("port", "interface", "backlog"),
    "tcp6": ("port", "interface", "backlog"),
    "unix": ("address", "mode", "backlog", "lockfile"),
    "systemd": ("domain", "index", "name"),
}
"""The names of parts, in the order in which they stand where they have none."""
_LOOPBACK = {"tcp": "127.0.0.1", "tcp6": quoteStringArgument("::1")}
_PART = re.compile(r"(?:^|:)((?:\\.|[^:\\])*)", re.DOTALL)
_PAIR = re.compile(r"((?:\\.|[^=\\])*)=(.*)", re.DOTALL)
_INTERFACE = re.compile(r"(.*:interface=)\[?([0-9A-Fa-f.:]+(?:%\w+)?)\]?(:\w+=.*)?")
_EVERY = ("", "0.0.0.0", "::")
"""Interfaces that stand for all addresses."""
_NUMBER = re.compile("[0-9]{1,9}")
_ADDRESS_FIRST = re.compile(r"((?:haproxy:)?tcp6?:)(\[[^\]]*\]|[0-9.]+):([0-9]+)")


def without_tls(endpoint: str) -> tuple[str, bool]:
    """What an endpoint of the settings is to Twisted, and whether TLS is spoken there.

    ``tls:`` stands before any endpoint, as Twisted's ``haproxy:`` does; before a port alone it is that of TCP.
    """
    if not endpoint.startswith("tls:"):
        return endpoint, False
    inner = endpoint.removeprefix("tls:")
    return f"tcp:{inner}" if inner[:1].isdigit() else inner, True


def on_loopback(endpoint: str) -> str:
    """The same endpoint; one of a port without an interface is that of loopback alone.

    :param endpoint: that can be read; without ``tls:``.
    """
    parts = _Parts.of(endpoint)
    host = _LOOPBACK.get(parts.kind)
    if host is None or "interface" in parts.by_name():
        return endpoint
    return f"{endpoint}:interface={host}"


def url_of(scheme: str, endpoint: str) -> str:
    """Where a client on this machine connects to an endpoint of the settings; nothing where its name does not say that.

    :param scheme: without TLS; with it an ``s`` follows.
    """
    described, over_tls = without_tls(endpoint)
    parts = _Parts.of(described)
    if parts.kind not in ("tcp", "tcp6"):
        return ""
    given = parts.by_name()
    interface = given.get("interface", "").replace("\\", "").strip("[]")
    host = "localhost" if interface in _EVERY else f"[{interface}]" if ":" in interface else interface
    return f"{scheme}{'s' if over_tls else ''}://{host}:{given['port']}"


def held_by(endpoint: str) -> tuple[str, ...]:
    """What one endpoint has for itself, so that no other one can have it; nothing where the system chooses.

    :param endpoint: that can be read; without ``tls:``.
    """
    parts = _Parts.of(endpoint)
    if parts.kind not in _PARTS:
        return ()
    given = parts.by_name()
    if given.get("port") == "0":
        return ()
    return parts.kind, *(given.get(name, "") for name in _PARTS[parts.kind] if name not in ("backlog", "mode", "lockfile"))


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
            form = f"the form is {form}, and a colon within a part is written \\:"
            meant = _meant(described)
            why = f"{form}; so it would be '{'tls:' if over_tls else ''}{meant}'" if meant else f"{why}; {form}"
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

    def by_name(self) -> dict[str, str]:
        """All parts by their names.

        :raises _Wrong: there are others than a kind that is known has.
        """
        names = _PARTS[self.kind]
        if len(self.unnamed) > len(names):
            raise _Wrong("it has too many parts")
        if other := self.named.keys() - set(names):
            raise _Wrong(f"it has no part {sorted(other)[0]}")
        given = dict(zip(names, self.unnamed, strict=False))
        if twice := given.keys() & self.named.keys():
            raise _Wrong(f"the {sorted(twice)[0]} is given twice")
        return given | self.named


def _check(endpoint: str, parts: _Parts) -> None:
    if parts.kind == "ssl":
        raise _Wrong("TLS is spoken at tls:PORT, with the files that are named in [tls]")
    if parts.kind in _PARTS:
        given = parts.by_name()
        _CHECKS[parts.kind](given)
        # Twisted takes whatever int() does, and any number; it would fail, or listen elsewhere than it seems, when it listens.
        if not _NUMBER.fullmatch(backlog := given.get("backlog", "0")):
            raise _Wrong(f"the backlog is {backlog}; it has to be a number, in digits alone")
    if parts.kind != "systemd":  # which would be looked for, and is there only where systemd has started this very process
        # Parsing needs no more of a reactor than that there is one; listening happens elsewhere.
        serverFromString(Clock(), endpoint)


def _check_tcp(given: dict[str, str]) -> None:
    port = given.get("port", "")
    if not (_NUMBER.fullmatch(port) and int(port) <= PORT_MAX):
        raise _Wrong(f"the port is {port}; it has to be from 0 to {PORT_MAX}, in digits alone")


def _check_unix(given: dict[str, str]) -> None:
    if not given.get("address"):
        raise _Wrong("there is no path")
    if not re.fullmatch("[0-7]{1,4}", mode := given.get("mode", "666")):
        raise _Wrong(f"the mode is {mode}; it has to be an octal number")
    if (lock := given.get("lockfile", "0")) not in ("0", "1"):
        raise _Wrong(f"the lockfile is {lock}; it has to be 0 or 1")


def _check_systemd(given: dict[str, str]) -> None:
    domain, index, name = (given.get(part, "") for part in ("domain", "index", "name"))
    if domain == "UNIX":  # Twisted would change its mode, and remove it in the end
        raise _Wrong("a Unix socket cannot be taken over; unix:/PATH makes one")
    if domain not in ("INET", "INET6"):
        raise _Wrong(f"the domain is {domain}" if domain else "the domain is missing")
    if bool(index) == bool(name):
        raise _Wrong("one of index and name has to be given")
    if index and not _NUMBER.fullmatch(index):
        raise _Wrong(f"the index is {index}")


_CHECKS: dict[str, Callable[[dict[str, str]], None]] = {
    "tcp": _check_tcp,
    "tcp6": _check_tcp,
    "unix": _check_unix,
    "systemd": _check_systemd,
}


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
