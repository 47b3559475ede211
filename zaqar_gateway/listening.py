"""How it is listened where the settings say."""

from __future__ import annotations

import errno
from typing import Any

from twisted.internet.endpoints import serverFromString
from twisted.internet.error import CannotListenError
from twisted.internet.interfaces import IListeningPort, IProtocolFactory
from twisted.internet.task import deferLater
from twisted.logger import Logger

from zaqar_gateway.transport.paths import DirectoryBusy, ListeningReactor

_log = Logger()

_BUSY_PAUSE_S, _BUSY_TRIES = 0.02, 250
"""How another process is waited for that looks at the sockets of a directory: 5 s in all."""


async def listen(reactor: Any, endpoint: str, factory: IProtocolFactory) -> IListeningPort:
    """Listen, whatever a process that was killed has left there.

    :param endpoint: as Twisted has them.
    :raises CannotListenError: it cannot be listened there.
    :raises OSError: the same; its text is for people.
    """
    try:
        place, alone = (serverFromString(ListeningReactor(reactor, locks=locks), endpoint) for locks in (True, False))
    except (IndexError, KeyError):  # of what Twisted looks in for the sockets of systemd
        raise OSError(
            errno.ENOENT, "systemd has not handed over such a socket (it does where a socket unit starts the service)"
        ) from None
    for _ in range(_BUSY_TRIES):
        try:
            port: IListeningPort = await place.listen(factory)
            return port
        except DirectoryBusy:
            await deferLater(reactor, _BUSY_PAUSE_S)
    _log.warn("another process keeps a lock on the directory of {endpoint}; it is listened there all the same", endpoint=endpoint)
    port = await alone.listen(factory)
    return port


def refused(error: CannotListenError | OSError, endpoint: str, which: str) -> OSError:
    """What is told where it cannot be listened.

    :param endpoint: as the settings have it; :param which: the setting, ``http``, ``websocket`` or ``admin``.
    """
    by = f"listen.{which}" if which == "admin" else f"listen.{which} or --{which}"
    why = str(error) if isinstance(error, CannotListenError) else f"Couldn't listen there: {error.strerror}."
    return OSError(f"{why} Another endpoint for {endpoint!r} has to be given, by {by}.")
