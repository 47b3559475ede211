"""Short ways past what Twisted does in general: to write to a socket, to have a coroutine wait for an answer, and to look at
sockets.

Twisted's transports keep what is written and ask the poller to say when the socket takes it, which it nearly always does
at once: two system calls and another turn for each small write.  Trying first saves about a quarter of the CPU of a request
(``python -m bench``, post over HTTP).

``Deferred.fromCoroutine`` and a Deferred for each step serve any number of callbacks, cancelling, and context variables.  A
request has none of that: one coroutine waits for one answer at a time, and nobody waits for the coroutine.  :func:`run` and
:class:`Answer` do only this, which saves an eighth of the CPU of a request.

The reactor makes a context for the texts of Twisted's old logging whenever a socket can be read, which nothing here writes.
:func:`poll_directly` leaves that out, which saves a tenth of the CPU of a request.  And the reactor looks at all sockets that are
ready before anything else, which takes some ten milliseconds where hundreds are; a request that has to wait for a store waits for
that three times.
"""

from __future__ import annotations

import select
import sys
from collections.abc import Callable, Coroutine, Generator, Sequence
from functools import partial
from time import monotonic
from typing import Any

from msgspec import Struct
from twisted.internet.abstract import FileDescriptor
from twisted.internet.defer import Deferred
from twisted.internet.epollreactor import EPollReactor
from twisted.internet.tcp import Connection
from twisted.logger import Logger
from twisted.python.failure import Failure

_log = Logger()


class Answer(Deferred[Any]):
    """A result that is still to come, and that one coroutine may wait for without Twisted's help.

    To everybody else it is a Deferred like any other.

    :cvar is_direct: what tells it apart; ``isinstance`` asks ``abc`` where it is of a subclass, which takes ten times as long.
    """

    is_direct = True
    waiter: _Running | None = None

    def __await__(self) -> Generator[Deferred[Any], Any, Any]:
        if self.called:
            return (yield from super().__await__())
        return (yield self)

    def give(self, value: Any) -> None:
        """It has come."""
        if self.waiter is None:
            self.callback(value)
        else:
            self.waiter.go_on(value)

    def fail(self, error: Exception) -> None:
        """It will not come."""
        if self.waiter is None:
            self.errback(Failure(error))
        else:
            self.waiter.fail(error)


class _Running(Struct, eq=False):
    """A coroutine that nobody waits for."""

    _coroutine: Coroutine[Any, Any, object]
    _crashed: Callable[[Failure], object]

    def go_on(self, value: Any) -> None:
        try:
            awaited = self._coroutine.send(value)
        except StopIteration:
            return
        except Exception:
            self._crashed(Failure())
            return
        if getattr(awaited, "is_direct", False):
            awaited.waiter = self
        else:
            awaited.addCallbacks(self.go_on, self._fail)

    def fail(self, error: BaseException) -> None:
        try:
            awaited = self._coroutine.throw(error)
        except StopIteration:
            return
        except Exception:
            self._crashed(Failure())
            return
        if getattr(awaited, "is_direct", False):
            awaited.waiter = self
        else:
            awaited.addCallbacks(self.go_on, self._fail)

    def _fail(self, failure: Failure) -> None:
        assert failure.value is not None
        self.fail(failure.value)


def run(coroutine: Coroutine[Any, Any, object], crashed: Callable[[Failure], object]) -> None:
    """Run a coroutine, now as far as it comes and later to its end.

    :param crashed: is told of an exception that it raises.
    """
    _Running(coroutine, crashed).go_on(None)


def write_now(transport: Any, data: bytes, *more: bytes) -> None:
    """Like ``transport.write`` of each piece of data, but try the socket first where nothing else waits to be written.

    :param transport: any; one that is not a plain socket, such as TLS, is written to in the ordinary way.
    """
    pieces = data, *more
    if (
        isinstance(transport, Connection)
        and transport.connected
        and not transport.disconnecting
        and not transport._tempDataBuffer
        and transport.offset == len(transport.dataBuffer)
    ):
        try:
            sent = transport.socket.sendmsg(pieces) if more else transport.socket.send(data)
        except OSError:
            # It takes nothing now; or the connection is lost, which the transport finds out, and tells its protocol, by itself.
            sent = 0
        if sent == (sum(map(len, pieces)) if more else len(data)):  # nearly always
            return
        pieces = _left_of(pieces, sent)
    for piece in pieces:
        transport.write(piece)


def write_later(transport: Any, data: bytes) -> None:
    """Like ``transport.write``, which asks the poller each time where it has asked already."""
    if (
        isinstance(transport, Connection)
        and transport._tempDataBuffer
        and transport.connected
        and (size := transport._tempDataLen + len(data)) + len(transport.dataBuffer) <= transport.bufferSize
    ):
        transport._tempDataBuffer.append(data)
        transport._tempDataLen = size
    else:
        transport.write(data)


COPIED_MAX = 65536
"""Bytes that are joined to be written; more are written as they are."""

_PIECES_MAX = 500  # in one system call, which takes 1,024 on Linux


def write_all_now(transport: Any, pieces: Sequence[bytes]) -> None:
    """Like :func:`write_now`, of one piece or more."""
    if len(pieces) > 1 and sum(map(len, pieces)) >= COPIED_MAX:
        write_now(transport, *pieces[:_PIECES_MAX], b"".join(pieces[_PIECES_MAX:]))
    else:
        write_now(transport, b"".join(pieces))  # of one it makes no copy


def _left_of(pieces: tuple[bytes, ...], sent: int) -> tuple[bytes, ...]:
    """What is left of them, when so many bytes were sent."""
    for number, piece in enumerate(pieces):
        if sent < len(piece):
            return (piece[sent:], *pieces[number + 1 :])
        sent -= len(piece)
    return ()


EVENTS_MAX = 8
"""Sockets that are looked at before those that go first are looked at again.  The poller has them in a row, so that none waits for
ever."""

LOOK_S = 0.002
"""For how long sockets are looked at before timed calls have their turn; some always are.  What they ask for goes to the store
together when it is over: a quarter of this has four requests in a command, where a dozen could be.  For the same reason they are
looked at until none is ready that has not had its turn: while the replies to some are sent others ask for more."""

now = monotonic

_soon: dict[object, list[Callable[[], None]]] = {}


def soon(clock: Any, call: Callable[[], None]) -> None:
    """Have a call made when the sockets that were ready have been looked at, before anything that is due.

    :param clock: any; where it is not a reactor whose sockets are looked at directly, the call is made in its next turn.
    """
    calls = _soon.get(clock)
    if calls is None:
        clock.callLater(0, call)
    else:
        calls.append(call)


_next: dict[object, dict[object, Callable[[], None]]] = {}


def next_turn(clock: Any, call: Callable[[], None]) -> Callable[[], object]:
    """Have a call made in the next turn of a reactor, when what is due has been done.  It is no timer, which takes some twenty calls of
    functions.

    :param clock: any; where it is not a reactor whose sockets are looked at directly, it is a timer all the same.
    :return: what to call to have it not made, before it is.
    """
    calls = _next.get(clock)
    if calls is None:
        cancel: Callable[[], object] = clock.callLater(0, call).cancel
        return cancel
    place = object()
    calls[place] = call
    return partial(calls.pop, place, None)


_first = select.poll()


def goes_first(transport: Any) -> Callable[[], None]:
    """Where many sockets can be read have this one read before them: requests wait for what it brings.

    :param transport: any; one that is not a plain socket is left as it is.
    :return: to be called when it is lost.
    """
    if not isinstance(transport, FileDescriptor):
        return lambda: None
    fd = transport.fileno()
    _first.register(fd, select.POLLIN)
    return lambda: _first.unregister(fd)


def looks(reactor: Any) -> Callable[[], bool]:
    """What tells whether any socket of a reactor is ready.

    :param reactor: any; of one that is not Twisted's epoll reactor nothing is known, and none is ready.
    """
    if type(reactor) is not EPollReactor:
        return lambda: False
    poller = select.poll()
    poller.register(reactor._poller.fileno(), select.POLLIN)
    look = poller.poll
    return lambda: bool(look(0))


def poll_directly(reactor: Any) -> None:
    """Have a reactor call what reads and writes without anything between, for few sockets at a time.

    :param reactor: any; one that is not Twisted's epoll reactor, which is the usual one on Linux, is left as it is.
    """
    if type(reactor) is not EPollReactor:
        return
    selectables: dict[int, Any] = reactor._selectables
    look, act, disconnect = reactor._poller.poll, reactor._doReadOrWrite, reactor._disconnectSelectable
    calls, of_next_turn = _soon.setdefault(reactor, []), _next.setdefault(reactor, {})
    late: list[tuple[int, int]] = []  # what was ready, and not read for want of time
    seen: set[int] = set()  # those that have had their turn in this iteration

    def make(call: Callable[[], None]) -> None:
        try:
            call()
        except Exception:
            _log.failure("what was to be done soon has failed")

    def make_calls() -> None:
        for call in calls:  # those that are added meanwhile, too
            make(call)
        calls.clear()

    def do_iteration(timeout: float | None) -> None:
        ends, wait = 0.0, -1 if timeout is None else timeout
        if of_next_turn or calls:
            wait = 0  # there may be new timers then, or something for the turn after this one
            for place in list(of_next_turn):
                if (call := of_next_turn.pop(place, None)) is not None:
                    make(call)
            make_calls()
        seen.clear()
        while True:
            if late:
                events = late.copy()
                late.clear()
                is_crowded = True
            else:
                events = look(wait, EVENTS_MAX)
                is_crowded = len(events) == EVENTS_MAX
            if not events:
                break
            ends = ends or now() + LOOK_S
            if is_crowded:
                for fd, _ in _first.poll(0):
                    if fd in selectables:
                        act(selectables[fd], fd, select.EPOLLIN)
            is_again = False
            for number, (fd, event) in enumerate(events, 1):
                selectable = selectables.get(fd)
                if selectable is None:  # it was lost in this iteration
                    continue
                if fd in seen:  # the poller tells again
                    is_again = True
                    continue
                seen.add(fd)
                if event == select.EPOLLIN:
                    try:
                        why = selectable.doRead()
                    except BaseException:
                        why = sys.exc_info()[1]
                        _log.failure("what reads a socket has failed")
                    if why:
                        disconnect(selectable, why, True)
                else:
                    act(selectable, fd, event)
                if is_crowded and now() >= ends:
                    # Of anything but reading the poller tells again.  To read for nothing, where it is another socket by then, does
                    # no harm.
                    late.extend([each for each in events[number:] if each[1] == select.EPOLLIN])
                    break
            if is_again or now() >= ends:
                break
            wait = 0
        if calls:
            make_calls()

    setattr(reactor, "doIteration", do_iteration)  # noqa: B010 - a type checker takes methods for constants
