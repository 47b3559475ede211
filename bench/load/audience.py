"""Sockets that are pushed what is posted to a queue, and whoever posts; one loop over all of them.

All sockets of an audience are pushed the same frames, so what one has received is compared, as bytes, to what it has to
receive: that takes a microsecond, whatever number of frames came in one read.  What differs, such as a ping or another
order, is taken apart frame by frame.
"""

import re
import resource
import select
import socket
import time
from array import array
from collections.abc import Callable

from bench.api import CLIENT_ID, MESSAGE_TTL_S, PROJECT, dumps
from bench.load.engine import Connection, Load, LoadFailed, ProtocolFailure, Reply
from bench.load.websocket import cut, frame

_DIGITS = 8
_MARK = re.compile(rb"no(\d{8})on")
_PAD = "x" * 168  # so that bodies have the 200 bytes of the other scenarios
_CHUNK = 1 << 18
_TEXT, _BINARY, _CLOSE, _PING, _PONG = 0x81, 0x82, 0x88, 0x89, 10
_ANSWERED_EACH_S = 1.0  # after which the pings of those that are open are answered while others are opened
_MOST_UNANSWERED = 60  # posts in flight; the gateway takes 64 of a socket
_MOST_LATENCIES = 4_000_000
_SPARE_FILES = 200


def allow_sockets(count: int) -> None:
    """See to it that this process, and those that it starts from now on, may have so many sockets.

    :raises LoadFailed: the system does not allow it.
    """
    wanted = count + _SPARE_FILES
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        if hard != resource.RLIM_INFINITY and hard < wanted:
            raise LoadFailed(f"{count:,} sockets take {wanted:,} open files; the system allows {hard:,} (ulimit -Hn)")
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


class _Member:
    """One socket.

    :ivar at: how many bytes of what it has to receive it has; counted while all comes in order.
    :ivar count: how many messages it has got, in order.
    :ivar early: the numbers of those that came before their turn.
    :ivar rest: bytes that are not compared but cut.
    """

    __slots__ = ("at", "count", "early", "rest", "sock")

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.at = self.count = 0
        self.early: set[int] = set()
        self.rest = b""


class Audience:
    """Subscribed sockets, and a connection that posts.

    :param connect: opens a WebSocket.
    :param on_open: told of the seconds that each took to open and to subscribe.
    """

    def __init__(
        self,
        connect: Callable[[], Connection],
        queue: str,
        count: int,
        patience_s: float = 20.0,
        on_open: Callable[[float], None] = lambda seconds: None,
    ) -> None:
        self._patience_s = patience_s
        self._poll = select.epoll()
        self._members: dict[int, _Member] = {}
        self._headers = {"Client-ID": CLIENT_ID, "X-Project-ID": PROJECT}
        self._expected = bytearray()
        self._before = self._after = b""
        self._size = 0  # of a frame, once one has come
        self._sent = array("d")  # when each message was posted
        self._delivered = 0
        self._latencies = array("d")
        self._wrong: list[str] = []
        self._poster = connect()
        self._unanswered = 0
        document = {"queue_name": queue, "messages": [{"ttl": MESSAGE_TTL_S, "body": {"n": "no00000000on", "x": _PAD}}]}
        post = frame(dumps({"action": "message_post", "headers": self._headers, "body": document}))
        at = post.index(b"no00000000on") + 2
        self._post_before, self._post_after = post[:at], post[at + _DIGITS :]
        try:
            subscribe = frame(
                dumps({"action": "subscription_create", "headers": self._headers, "body": {"queue_name": queue, "ttl": 3600}})
            )
            self._poll.register(self._poster.sock.fileno(), select.EPOLLIN)
            answered = time.perf_counter()
            for _ in range(count):
                began = time.perf_counter()
                self._join(connect(), subscribe)
                on_open(time.perf_counter() - began)
                if began - answered > _ANSWERED_EACH_S:
                    answered = began
                    self.answer()
        except BaseException:
            self.close()
            raise

    def __len__(self) -> int:
        return len(self._members)

    def close(self) -> None:
        """Close everything."""
        self._poll.close()
        self._poster.close()
        for member in self._members.values():
            member.sock.close()

    def _join(self, connection: Connection, subscribe: bytes) -> None:
        reply = ask(connection, subscribe, self._patience_s)
        if reply.status != 201:
            connection.close()
            raise LoadFailed(f"a socket could not subscribe: {reply.body[:300]!r}")
        fd = connection.sock.fileno()
        self._members[fd] = _Member(connection.sock)
        self._poll.register(fd, select.EPOLLIN)

    # -- posting -----------------------------------------------------------------------------------------------------

    def _post(self, count: int) -> None:
        now = time.perf_counter()
        out: list[bytes] = []
        for _ in range(count):
            number = len(self._sent)
            digits = b"%08d" % number
            out += (self._post_before, digits, self._post_after)
            self._sent.append(now)
            if self._size:
                self._expected += self._before + digits + self._after
        self._unanswered += count
        try:
            self._poster.sock.setblocking(True)
            self._poster.sock.sendall(b"".join(out))
            self._poster.sock.setblocking(False)
        except OSError as error:
            raise LoadFailed(f"the connection that posts was lost: {error}") from None

    def run(
        self, seconds: float, *, ahead: int = 16, rate: float = 0.0, meanwhile: Callable[[], None] = lambda: None
    ) -> tuple[Load, int]:
        """Post for some time, and wait until all have got all.

        :param ahead: posts that not all have got yet, at most.
        :param rate: posts a second; 0: as many as go.
        :param meanwhile: called each second.
        :return: what came of it, each delivery an operation; and how many messages were posted.
        :raises LoadFailed: nothing comes.
        """
        if not self._size:
            self._learn()
        clock, everybody = time.perf_counter, len(self._members)
        self._latencies = array("d")
        self._wrong = []
        first, delivered_before = len(self._sent), self._delivered
        started = now = clock()
        heard, last, told = started, self._delivered, started
        while True:
            posted = len(self._sent) - first
            owed = posted * everybody - (self._delivered - delivered_before)
            if now - started < seconds:
                done = posted - owed // everybody
                due = int((now - started) * rate) + 1 - posted if rate else ahead - owed // everybody
                # No more at one time than all have got before: a server that needs a minute for one is given one.
                due = min(due, max(done, 1) - (posted - done), _MOST_UNANSWERED - self._unanswered)
                if due > 0:
                    self._post(due)
                    posted += due
            elif owed <= 0 and not self._unanswered:
                break
            wait = min(1.0, max(0.0, started + posted / rate - now)) if rate and now - started < seconds else 1.0
            self._receive(wait)
            now = clock()
            if now - told > _ANSWERED_EACH_S:
                told = now
                meanwhile()
            if self._delivered != last:
                heard, last = now, self._delivered
            elif now - heard > self._patience_s:
                break
        load = Load(seconds=now - started, latencies=list(self._latencies))
        lost = posted * everybody - (self._delivered - delivered_before)
        if posted and lost == posted * everybody:
            raise LoadFailed(f"no socket was pushed anything in {self._patience_s:.0f} s")
        for what in self._wrong:
            load.complain(what)
        if lost > 0:
            load.complain(f"{lost} of {posted * everybody} deliveries did not come in {self._patience_s:.0f} s")
            load.errors += lost - 1
            for member in self._members.values():  # what was lost is not waited for again
                member.count, member.early, member.at = len(self._sent), set(), len(self._sent) * self._size
            self._delivered = delivered_before + posted * everybody
        return load, posted

    def _learn(self) -> None:
        """See what a push looks like, by a first one to everybody."""
        self._post(1)
        began = time.perf_counter()
        while self._delivered < len(self._members) or self._unanswered:
            self._receive(1.0)
            if time.perf_counter() - began > self._patience_s:
                raise LoadFailed(f"only {self._delivered} of {len(self._members)} sockets were pushed the first message")
        for number in range(len(self._sent)):
            self._expected += self._before + b"%08d" % number + self._after
        for member in self._members.values():
            member.at = member.count * self._size

    # -- receiving ---------------------------------------------------------------------------------------------------

    def answer(self) -> None:
        """Answer the pings that have come."""
        self._receive(0)

    def idle(self, seconds: float) -> None:
        """Answer pings for some time."""
        until = time.perf_counter() + seconds
        while (left := until - time.perf_counter()) > 0:
            self._receive(left)

    def _receive(self, wait_s: float) -> None:
        clock, members, expected, size = time.perf_counter, self._members, self._expected, self._size
        latencies, sent = self._latencies, self._sent
        for fd, _ in self._poll.poll(wait_s):
            member = members.get(fd)
            if member is None:
                self._answered()
                continue
            try:
                data = member.sock.recv(_CHUNK)
            except BlockingIOError:
                continue
            except OSError as error:
                raise LoadFailed(f"a socket was lost: {error}") from None
            if not data:
                raise LoadFailed("the server closed a subscribed socket")
            at = member.at
            if size and not member.rest and not member.early and expected.startswith(data, at):
                member.at = at = at + len(data)
                before, member.count = member.count, at // size
                self._delivered += member.count - before
                if len(latencies) < _MOST_LATENCIES:
                    now = clock()
                    for number in range(before, member.count):
                        latencies.append(now - sent[number])
            else:
                self._cut(member, data)

    def _cut(self, member: _Member, data: bytes) -> None:
        if not member.rest:
            data = bytes(self._expected[member.count * self._size : member.at]) + data
        frames, member.rest = cut(member.rest + data)
        now = time.perf_counter()
        for kind, payload, size in frames:
            if kind == _PING:
                try:
                    member.sock.send(frame(payload, _PONG))
                except OSError as error:
                    raise LoadFailed(f"a socket was lost: {error}") from None
                continue
            found = _MARK.search(payload)
            if kind == _CLOSE or found is None:
                raise LoadFailed(f"a subscribed socket was sent something else than a message: {payload[:200]!r}")
            if not self._size:
                head = size - len(payload)
                whole = bytes((kind,)) + _length(len(payload), head) + payload
                self._before, self._after = whole[: head + found.start(1)], whole[head + found.end(1) :]
                self._size = size
            number = int(found[1])
            if number < member.count or number in member.early:
                self._wrong.append(f"message {number} came twice")
                continue
            self._delivered += 1
            self._latencies.append(now - self._sent[number])
            member.early.add(number)
            while member.count in member.early:
                member.early.remove(member.count)
                member.count += 1
        member.at = member.count * self._size

    def _answered(self) -> None:
        try:
            data = self._poster.sock.recv(_CHUNK)
            if not data:
                raise ProtocolFailure("the server closed the connection that posts")
            replies = self._poster.reader.feed(data)
            if self._poster.reader.answer:
                self._poster.sock.send(self._poster.reader.answer)
        except BlockingIOError:
            return
        except (OSError, ProtocolFailure) as error:
            raise LoadFailed(f"the connection that posts was lost: {error}") from None
        for reply in replies:
            self._unanswered -= 1
            if reply.status != 201:
                raise LoadFailed(f"a post was answered {reply.status}: {reply.body[:300]!r}")


def _length(size: int, head: int) -> bytes:
    """What stands behind the first byte of a frame."""
    if head == 2:
        return bytes((size,))
    return b"\x7e" + size.to_bytes(2, "big") if head == 4 else b"\x7f" + size.to_bytes(8, "big")


def ask(connection: Connection, request: bytes, patience_s: float) -> Reply:
    """One request and its reply; nothing else may be on its way.

    :raises LoadFailed: there is none.
    """
    try:
        connection.sock.send(request)
        return reply_of(connection, patience_s)
    except (OSError, ProtocolFailure) as error:
        raise LoadFailed(f"no reply: {error}") from None


def readable(connection: Connection, wait_s: float) -> bool:
    """Whether something comes in some time."""
    poll = select.poll()  # not select(), which takes no more than 1,024 files
    poll.register(connection.sock.fileno(), select.POLLIN)
    return bool(poll.poll(wait_s * 1e3))


def reply_of(connection: Connection, patience_s: float) -> Reply:
    """The next reply.

    :raises LoadFailed: it does not come.
    :raises ProtocolFailure: the connection is closed, or makes no sense.
    """
    deadline = time.perf_counter() + patience_s
    while (left := deadline - time.perf_counter()) > 0 and readable(connection, left):
        data = connection.sock.recv(_CHUNK)
        if not data:
            raise ProtocolFailure("the server closed the connection")
        replies = connection.reader.feed(data)
        if connection.reader.answer:
            connection.sock.send(connection.reader.answer)
        if replies:
            return replies[0]
    raise LoadFailed(f"no reply in {patience_s:.0f} s")
