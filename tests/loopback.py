"""Sockets of this machine that are read right after something was sent to them."""

from __future__ import annotations

import array
import fcntl
import select
import socket
import termios
import time
from typing import Any

_GIVE_UP_S = 90


def arrived(end: Any, size: int = 0) -> None:
    """Wait until the system has what was just sent to a transport, or has a connection for a port.

    It mostly has by the time that a send returns; on a busy machine a thread of its own does that later.

    :param end: what is read, or is told of a connection or of an end.
    :param size: bytes that are to be there; 0: anything, such as the end of the connection.
    :raises AssertionError: it does not come.
    """
    sock: socket.socket = end.socket
    give_up, unread = time.monotonic() + _GIVE_UP_S, array.array("i", [0])
    while True:
        ready, _, _ = select.select([sock], [], [], _GIVE_UP_S)
        if size:
            fcntl.ioctl(sock, termios.FIONREAD, unread)
        if ready and unread[0] >= size:
            return
        if time.monotonic() > give_up:
            raise AssertionError(f"{unread[0]} of {size} bytes arrived")
        time.sleep(0.001)
