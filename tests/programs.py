"""Programs of the system that tests need; ``.ci/run`` installs them."""

from __future__ import annotations

import os
import shutil
from unittest import SkipTest

from zaqar_gateway.storage.redis.embedded.program import Server, find_server

REDIS_SERVER = os.environ.get("TEST_REDIS_SERVER", "")
"""The redis-server or valkey-server that tests run; empty: the first one that is found, as the embedded Redis does."""


def redis_server() -> Server:
    """The program of tests with a Redis."""
    return find_server(REDIS_SERVER)


def program(name: str, package: str = "") -> str:
    """Where a program is.

    :param package: of Debian, that brings it; default: one of the same name.
    :raises SkipTest: there is none in PATH.
    """
    found = shutil.which(name)
    if found is None:
        raise SkipTest(f"there is no {name} in PATH (Debian: {package or name}); this needs it")
    return found
