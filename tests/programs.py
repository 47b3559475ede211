"""Programs of the system that some tests need; ``.ci/run`` installs them."""

from __future__ import annotations

import shutil
from unittest import SkipTest


def program(name: str, package: str = "") -> str:
    """Where a program is.

    :param package: of Debian, that brings it; default: one of the same name.
    :raises SkipTest: there is none in PATH.
    """
    found = shutil.which(name)
    if found is None:
        raise SkipTest(f"there is no {name} in PATH (Debian: {package or name}); this needs it")
    return found
