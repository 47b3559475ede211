"""What signals do to the process, from its first moment on."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any


def until_it_runs() -> None:
    """Have signals do what they should before the reactor takes them: there is nothing to put in order yet.

    SIGINT ends the process, without a traceback out of whatever is imported just then, and not as an error of a plug-in,
    which Twisted would log and go on.  SIGHUP is nothing, since all files are still to be read, but where the terminal is gone
    that the process was started from.  What ignores them, as ``nohup`` does, is left so.
    """
    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    if signal.getsignal(signal.SIGHUP) is signal.SIG_DFL:
        had_terminal = has_terminal()

        def hung_up(number: int, frame: Any) -> None:
            if had_terminal and not has_terminal() and signal.getsignal(number) is hung_up:
                signal.signal(number, signal.SIG_DFL)
                signal.raise_signal(number)

        signal.signal(signal.SIGHUP, hung_up)


def on_hangup(call: Callable[[], object], stop: Callable[[], object], reactor: Any) -> None:
    """Have SIGHUP call something, besides what it called before; it would end the process otherwise.

    Where it comes because the terminal is gone that the process was started from, the process ends in good order.
    """
    previous, had_terminal = signal.getsignal(signal.SIGHUP), has_terminal()

    def hung_up(number: int, frame: Any) -> None:
        reactor.callFromThread(stop if had_terminal and not has_terminal() else call)
        if callable(previous):
            previous(number, frame)

    signal.signal(signal.SIGHUP, hung_up)


def stop_once(reactor: Any) -> None:
    """Have SIGTERM and SIGINT end the process the first time: to stop a reactor that stops is an error, with a traceback in the log.

    :param reactor: it runs, and has its handlers, save for SIGINT after :func:`until_it_runs`: it takes that only from Python.
    """
    if signal.getsignal(signal.SIGINT) is signal.SIG_DFL:
        signal.signal(signal.SIGINT, reactor.sigInt)
    known = {}
    for number in (signal.SIGTERM, signal.SIGINT):
        if callable(handler := signal.getsignal(number)):
            known[number] = handler

    def stop(number: int, frame: Any) -> None:
        for each in known:
            signal.signal(each, lambda *_: None)
        known[signal.Signals(number)](number, frame)

    for number in known:
        signal.signal(number, stop)


_OF_TERMINAL = {signal.SIGINT, signal.SIGHUP}
"""What a terminal sends to all processes that were started from it, and is for the first of them to answer."""


@contextmanager
def kept_from_children() -> Iterator[None]:
    """Have what is started meanwhile not get what a terminal sends, until :func:`as_worker`.

    They wait for a moment here, too.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _OF_TERMINAL)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def as_worker() -> None:
    """Leave it to the keeper to say what a terminal's signals mean."""
    for number in _OF_TERMINAL:
        signal.signal(number, signal.SIG_IGN)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, _OF_TERMINAL)


def has_terminal() -> bool:
    """Whether there is a terminal that the process was started from."""
    try:
        os.close(os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC))
    except OSError:
        return False
    return True
