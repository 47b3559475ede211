"""Where a Redis is: the forms of a storage URI, read into a value.

The forms are those of the API reference, "Configuration", ``[drivers:message_store:redis] uri``, and ``unix:`` and
``rediss:`` besides.
"""

from __future__ import annotations

import re
from urllib.parse import parse_qsl, quote, unquote

from attrs import evolve, field, frozen

PORT_DEFAULT = 6379
SENTINEL_PORT_DEFAULT = 26379
SCHEMES = ("redis", "rediss", "unix")
_DATABASE_MAX = 65535
_FORMS = (
    "redis://[[user]:password@]host[:port][/key-space][?dbid=0], for what Sentinel watches"
    " redis://[[user]:password@]sentinel[:port],sentinel[:port][/key-space]?master=name[&sentinel_username=user]"
    "[&sentinel_password=password][&dbid=0], for a Redis Cluster"
    " redis://[[user]:password@]node[:port],node[:port][/key-space]?cluster=true, the same with rediss:// for"
    " TLS, or unix://[[user]:password@]/path/of/socket[?dbid=0]"
)
_OF_CLUSTER = "cluster"
_OF_SENTINEL = ("master", "sentinel_username", "sentinel_password")


def written(host: str, port: int) -> str:
    """A host and a port as they stand in a URI."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


@frozen
class RedisAddress:
    """A Redis server, and what to say on arrival.

    :ivar host: empty for a Unix socket.
    :ivar path: the Unix socket, empty for TCP.
    :ivar username: empty for the default user.
    :ivar password: empty where none is asked for; not part of ``repr`` or ``str``.
    :ivar database: number of the database, 0 or more.
    :ivar key_prefix: name of a key space of its own in that database (API reference, pools); empty for none.
    :ivar nodes: hosts and ports of some of the nodes of a Redis Cluster; ``host`` is empty then.
    :ivar sentinels: hosts and ports of the Sentinels that tell where the server is; ``host`` is empty then.
    :ivar master: the name that these have for it.
    :ivar sentinel_username: what is said to the Sentinels on arrival; :ivar sentinel_password: the same, and not shown.
    """

    host: str = ""
    port: int = PORT_DEFAULT
    path: str = ""
    username: str = ""
    password: str = field(default="", repr=lambda secret: "'***'" if secret else "''")
    database: int = 0
    tls: bool = False
    key_prefix: str = ""
    nodes: tuple[tuple[str, int], ...] = ()
    sentinels: tuple[tuple[str, int], ...] = ()
    master: str = ""
    sentinel_username: str = ""
    sentinel_password: str = field(default="", repr=lambda secret: "'***'" if secret else "''")

    def masked(self) -> str:
        """The address as a URI, with ``***`` for the password."""
        login = f"{self.username}:***@" if self.password else f"{self.username}@" if self.username else ""
        given = [f"{name}={quote(value, safe='*')}" for name, value in self._of_sentinel()]
        if self.database:
            given.append(f"dbid={self.database}")
        if self.nodes:
            given.append(f"{_OF_CLUSTER}=true")
        query = f"?{'&'.join(given)}" if given else ""
        if self.path:
            return f"unix://{login}{self.path}{query}"
        hosts = ",".join(written(*each) for each in self.nodes or self.sentinels or ((self.host, self.port),))
        space = f"/{self.key_prefix}" if self.key_prefix else ""
        return f"redis{'s' if self.tls else ''}://{login}{hosts}{space}{query}"

    def _of_sentinel(self) -> list[tuple[str, str]]:
        given = ("master", self.master), ("sentinel_username", self.sentinel_username)
        found = [(name, value) for name, value in given if value]
        return [*found, ("sentinel_password", "***")] if self.sentinel_password else found

    __str__ = masked

    def with_password(self, password: str) -> RedisAddress:
        """The same address with another password."""
        return evolve(self, password=password)

    def with_sentinel_password(self, password: str) -> RedisAddress:
        """The same address with another password for the Sentinels."""
        return evolve(self, sentinel_password=password)


def _number(what: str, text: str, high: int) -> int:
    if not re.fullmatch("[0-9]{1,6}", text) or int(text) > high:
        raise ValueError(f"{what} has to be a number from 0 to {high}")
    return int(text)


def _parameters(query: str) -> dict[str, str]:
    given: dict[str, str] = {}
    for key, value in parse_qsl(query, keep_blank_values=True):
        if key == "socket_timeout":
            raise ValueError("socket_timeout is set by storage.command_timeout_s and not in the URI")
        if key != "dbid" and key != _OF_CLUSTER and key not in _OF_SENTINEL:
            raise ValueError(
                "the parameters behind a '?' are dbid, the number of the database, with Sentinel master, sentinel_username and"
                " sentinel_password, and with a Redis Cluster cluster"
            )
        if key in given:
            raise ValueError(f"{key} is given twice")
        if key != "dbid" and not (value and value.isprintable() and not set(" ;") & set(value)):
            raise ValueError(f"{key} has to have a value without ';', spaces and control characters (write + as %2B)")
        given[key] = value
    return given


def _split_login(authority: str) -> tuple[str, str, str]:
    login, at, host = authority.rpartition("@")
    username, _, password = login.partition(":")
    if at and not username and not password:
        raise ValueError("there is nothing before the '@'; write :password@ or user:password@")
    return unquote(username), unquote(password), host


def _split_host(text: str, port_default: int = PORT_DEFAULT) -> tuple[str, int]:
    match = re.fullmatch(r"(?:\[([0-9A-Fa-f:.%]+)\]|([^\[\]:]+))(?::([0-9]+))?", text)
    if not match:
        raise ValueError("the host has to be a name or an address, with [] around IPv6, then :port or nothing")
    port = _number("the port", match[3], 65535) if match[3] else port_default
    if not port:
        raise ValueError("the port has to be a number from 1 to 65535")
    return match[1] or match[2], port


def _split_hosts(text: str, port_default: int = PORT_DEFAULT) -> tuple[tuple[str, int], ...]:
    """Each of them once."""
    return tuple(dict.fromkeys(_split_host(each, port_default) for each in text.split(",")))


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
    given = _parameters(query)
    database = _number("dbid", given["dbid"], _DATABASE_MAX) if "dbid" in given else 0
    username, password, host = _split_login(authority)
    if scheme == "unix" and host:
        raise ValueError("the path of the socket has to begin with '/': unix:///path/of/socket")
    if host and "@" in match[3]:  # a password that is not written as it has to be: half of it would be shown as a name
        raise ValueError("it holds '@' behind the host (write '/' as %2F and '@' as %40 in a user, a password and a key space)")
    if host:
        server = RedisAddress(
            username=username, password=password, database=database, tls=scheme == "rediss", key_prefix=path.removeprefix("/")
        )
        if _in_cluster(given):
            return evolve(server, nodes=_split_hosts(host))
        if given.keys() & _OF_SENTINEL:
            return _behind_sentinels(server, host, given)
        return _at(server, host)
    if given.keys() & {_OF_CLUSTER, *_OF_SENTINEL}:
        raise ValueError("master and what else is of Sentinel, and cluster, stand behind the hosts of Sentinels or nodes")
    if not path.startswith("/") or path == "/":
        raise ValueError("there is neither a host nor the path of a socket")
    if scheme == "rediss":
        raise ValueError("there is no TLS on a Unix socket")
    return RedisAddress(path=path, username=username, password=password, database=database)


def _in_cluster(given: dict[str, str]) -> bool:
    wanted = given.get(_OF_CLUSTER, "false")
    if wanted not in ("true", "false"):
        raise ValueError("cluster has to be true or false")
    if wanted == "false":
        return False
    if given.keys() & _OF_SENTINEL:
        raise ValueError("master and what else is of Sentinel has no meaning with cluster=true")
    if int(given.get("dbid", "0")):
        raise ValueError("dbid has to be 0, or left out: a Redis Cluster has one database")
    return True


def _at(server: RedisAddress, host: str) -> RedisAddress:
    if "," in host:
        raise ValueError(
            "behind several hosts '?master=' has to give the name that Sentinels have for the server, or '?cluster=true' has to say that"
            " they are nodes of a Redis Cluster"
        )
    name, port = _split_host(host)
    return evolve(server, host=name, port=port)


def _behind_sentinels(server: RedisAddress, hosts: str, given: dict[str, str]) -> RedisAddress:
    if "master" not in given:
        raise ValueError("behind the hosts of Sentinels '?master=' has to give the name that they have for the server")
    return evolve(
        server,
        sentinels=_split_hosts(hosts, SENTINEL_PORT_DEFAULT),
        master=given["master"],
        sentinel_username=given.get("sentinel_username", ""),
        sentinel_password=given.get("sentinel_password", ""),
    )
