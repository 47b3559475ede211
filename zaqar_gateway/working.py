"""What a worker process runs (:mod:`zaqar_gateway.workers`)."""

from __future__ import annotations

import os
import sys
from functools import partial

from twisted.python.reflect import namedModule

from zaqar_gateway import signals
from zaqar_gateway.workers.handover import COMMANDS_FD, TIDINGS_FD, OtherVersion, unpack
from zaqar_gateway.workers.tidings import CannotStart, Outlet


def main() -> None:
    """Serve until the keeper, or a signal, ends it."""
    signals.as_worker()
    outlet = Outlet(TIDINGS_FD)
    try:
        given = unpack(partial(os.read, COMMANDS_FD))
    except OtherVersion as error:
        outlet.tell(CannotStart(str(error)))
        sys.exit(1)
    except EOFError:  # the keeper has ended by now
        sys.exit(1)
    namedModule(given.reactor).install()
    from zaqar_gateway.tap import work

    sys.exit(work(given, outlet))
