"""How a port takes connections on: a few in each turn of the reactor, while the others wait in a queue of the system.

To set a connection up costs as much as a request.  Twisted takes on as many as it finds, a hundred and more at one time, and
all that are connected already would wait for that.
"""

from __future__ import annotations

from typing import Any

from twisted.internet import tcp

IN_ONE_TURN = 2

QUEUE_MIN = 1024
"""Connections that may wait to be taken on, whatever the endpoint says, which is 50 where it says nothing.  Beyond it the
system drops what it is sent, and clients try again after a second.  It has a bound of its own (``net.core.somaxconn``)."""


def accept_few(port: Any) -> None:
    """Have a port take on few connections in a turn.

    :param port: any; one that is no port of Twisted's own is left as it is.
    """
    if not isinstance(port, tcp.Port):
        return
    do_read = port.doRead

    def few() -> Any:
        port.numberAccepts = IN_ONE_TURN  # Twisted raises it as long as more are waiting
        return do_read()

    setattr(port, "doRead", few)  # noqa: B010 - a type checker takes methods for constants
    port.socket.listen(max(QUEUE_MIN, port.backlog))
