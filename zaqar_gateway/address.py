"""Where a Redis is: the forms of a storage URI, read into a value.

The forms are those of the API reference, "Configuration", ``[drivers:message_store:redis] uri``, and ``unix:`` and
``rediss:`` besides.
"""

from __future__ import annotations

import re
from urllib.parse import parse_qsl, unquote

from attrs import evolve, field, frozen

PORT_DEFAULT = 6379
SCHEMES = ("redis", "rediss", "unix")
_DATABASE_MAX = 65535
_FORMS = (
    "redis://[[user]:password@]host[:port][/key-space][?dbid=0], the same with rediss:// for TLS, or"
    " unix://[[user]:password@]/path/of/socket[?dbid=0]"
)
_LATER = ("master", "sentinel_username", "sentinel_password")


@frozen
class RedisAddress:
    """A Redis server, and what to say on arrival.

    :ivar host: empty for a Unix socket.
    :ivar path: the Unix socket, empty for TCP.
    :ivar username: empty for the default user.
    :ivar password: empty where none is asked for; not part of ``repr`` or ``str``.
    :ivar database: number of the database, 0 or more.
    :ivar key_prefix: name of a key space of its own in that database (API reference, pools); empty for none.
    """

    host: str = ""
    port: int = PORT_DEFAULT
    path: str = ""
    username: str = ""
    password: str = field(default="", repr=lambda secret: "'***'" if secret else "''")
    database: int = 0
    tls: bool = False
    key_prefix: str = ""

    def masked(self) -> str:
        """The address as a URI, with ``***`` for the password."""
        login = f"{self.username}:***@" if self.password else f"{self.username}@" if self.username else ""
        query = f"?dbid={self.database}" if self.database else ""
        if self.path:
            return f"unix://{login}{self.path}{query}"
        host = f"[{self.host}]" if ":" in self.host else self.host
        space = f"/{self.key_prefix}" if self.key_prefix else ""
        return f"redis{'s' if self.tls else ''}://{login}{host}:{self.port}{space}{query}"

    __str__ = masked

    def with_password(self, password: str) -> RedisAddress:
        """The same address with another password."""
        return evolve(self, password=password)


def _number(what: str, text: str, high: int) -> int:
    if not re.fullmatch("[0-9]{1,6}", text) or int(text) > high:
        raise ValueError(f"{what} has to be a number from 0 to {high}")
    return int(text)


def _database(query: str) -> int:
    database = 0
    for key, value in parse_qsl(query, keep_blank_values=True):
        if key in _LATER:
            raise ValueError("Sentinel (a list of hosts, 'master', 'sentinel_...') is not available in this version")
        if key == "socket_timeout":
            raise ValueError("socket_timeout is set by storage.command_timeout_s and not in the URI")
        if key != "dbid":
            raise ValueError("the only parameter behind a '?' is dbid, the number of the database")
        database = _number("dbid", value, _DATABASE_MAX)
    return database


def _split_login(authority: str) -> tuple[str, str, str]:
    login, at, host = authority.rpartition("@")
    username, _, password = login.partition(":")
    if at and not username and not password:
        raise ValueError("there is nothing before the '@'; write :password@ or user:password@")
    return unquote(username), unquote(password), host


def _split_host(text: str) -> tuple[str, int]:
    if "," in text:
        raise ValueError("Sentinel (a list of hosts) is not available in this version")
    match = re.fullmatch(r"(?:\[([0-9A-Fa-f:.%]+)\]|([^\[\]:]+))(?::([0-9]+))?", text)
    if not match:
        raise ValueError("the host has to be a name or an address, with [] around IPv6, then :port or nothing")
    port = _number("the port", match[3], 65535) if match[3] else PORT_DEFAULT
    if not port:
        raise ValueError("the port has to be a number from 1 to 65535")
    return match[1] or match[2], port


def parse(uri: str) -> RedisAddress:
    """The address that a URI means.

    A path behind a host is the name of a key space and not the number of a database; ``dbid`` is that.  Behind no
    host it is a Unix socket.

    :raises ValueError: the text is in none of the forms; it says what is wrong and quotes nothing of the URI, since
        a password may stand anywhere in it.
    """
    try:
        return _parse(uri)
    except ValueError as error:
        raise ValueError(f"{error}; the forms are {_FORMS}") from None


def _parse(uri: str) -> RedisAddress:
    if not uri.isprintable() or " " in uri:
        raise ValueError("it holds spaces or control characters (write them as %20 and so on)")
    # Not urlsplit: its errors quote what it cannot read.
    match = re.fullmatch(r"(redis|rediss|unix):(?://([^/?#]*))?([^?#]*)(?:\?([^#]*))?", uri)
    if not match:
        raise ValueError("it does not begin with redis://, rediss:// or unix://, or holds a '#' (write it as %23)")
    scheme, authority, path, query = match[1], match[2] or "", unquote(match[3]), match[4] or ""
    database = _database(query)
    username, password, host = _split_login(authority)
    if scheme == "unix" and host:
        raise ValueError("the path of the socket has to begin with '/': unix:///path/of/socket")
    if host:
        host, port = _split_host(host)
        return RedisAddress(host, port, "", username, password, database, scheme == "rediss", path.removeprefix("/"))
    if not path.startswith("/") or path == "/":
        raise ValueError("there is neither a host nor the path of a socket")
    if scheme == "rediss":
        raise ValueError("there is no TLS on a Unix socket")
    return RedisAddress(path=path, username=username, password=password, database=database)
