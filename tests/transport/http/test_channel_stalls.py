"""Sound requests on connections whose parts of a turn end at any time, whose replies are late, and whose peers read late:
whatever is complete is answered without anything more being sent."""

from __future__ import annotations

from random import Random

from attrs import frozen
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from tests.helpers import JumpyClock
from tests.transport.http.test_channel import Application, Wired
from zaqar_gateway.transport.http.bounds import HttpBounds
from zaqar_gateway.transport.http.request import Request

LIMIT = 20_000
BOUNDS = HttpBounds(
    fresh_timeout_s=1e9,
    head_timeout_s=1e9,
    body_timeout_s=1e9,
    idle_timeout_s=1e9,
    linger_s=1e9,
    write_timeout_s=1e9,
    pipeline_max=5_000,
)
"""No deadline ends what is stuck; reading and dropping end now and then."""


@frozen
class Sound:
    """A request, as it is sent.

    :ivar line: method and target.
    :ivar size: of its body.
    """

    data: bytes
    line: bytes
    size: int = 0

    @property
    def answer(self) -> tuple[int, bytes]:
        """The status and the body that it has to get."""
        if self.size > LIMIT:
            return 413, self.line
        return 200, b"" if self.line.startswith(b"HEAD") else self.line + b"x" * self.size


def sound(line: bytes, fields: bytes = b"", framed: bytes = b"", size: int = 0) -> Sound:
    """A request."""
    return Sound(line + b" HTTP/1.1\r\nHost: a\r\n" + fields + b"\r\n" + framed, line, size)


def with_length(size: int, expects: bool) -> Sound:
    """A post of so many bytes.  Who sends too many does not ask before, since a connection ends with a no."""
    fields = b"Expect: 100-continue\r\n" if expects and size <= LIMIT else b""
    return sound(b"POST /l", fields + b"Content-Length: %d\r\n" % size, b"x" * size, size)


def chunked(sizes: list[int], extension: bytes, trailers: bytes) -> Sound:
    """A post of chunks of these sizes."""
    chunks = b"".join(b"%x%b\r\n%b\r\n" % (size, extension, b"x" * size) for size in sizes)
    return sound(b"POST /c", b"Transfer-Encoding: chunked\r\n", chunks + b"0\r\n" + trailers + b"\r\n", sum(sizes))


SIZES = st.sampled_from((0, 1, 100, 3000, LIMIT, LIMIT + 1, 40_000))
REQUESTS = st.one_of(
    st.sampled_from((1, 2, 40)).map(lambda count: [sound(b"GET /%d" % number) for number in range(count)]),
    st.just([sound(b"HEAD /h")]),
    st.just([Sound(b"\r\n" + sound(b"GET /e").data, b"GET /e")]),
    st.builds(lambda size, expects: [with_length(size, expects)], SIZES, st.booleans()),
    st.builds(
        lambda sizes, extension, trailers: [chunked(sizes, extension, trailers)],
        st.lists(st.sampled_from((1, 15, 3000, LIMIT)), max_size=4),
        st.sampled_from((b"", b";a=b")),
        st.sampled_from((b"", b"A: b\r\nC: d\r\n")),
    ),
)


class Moody(Application):
    """Answers at once, or later."""

    def __init__(self, random: Random) -> None:
        super().__init__()
        self.limit = LIMIT
        self.late: list[Request] = []
        self.random = random
        self.do = self.answer

    def answer(self, request: Request) -> None:
        if self.random.random() < 0.3:
            self.late.append(request)
        else:
            self.echo(request)

    def echo(self, request: Request) -> None:
        body = request.method + b" " + request.target + request.body
        request.reply(413 if request.too_large else 200, [], body)

    def catch_up(self) -> None:
        """Answer what is late."""
        while self.late:
            self.echo(self.late.pop(0))


class StallTests(SynchronousTestCase):
    """Nothing that is complete waits for bytes that do not come."""

    @settings(max_examples=250, database=None, derandomize=True)
    @given(
        st.lists(REQUESTS, min_size=1, max_size=8),
        st.integers(0, 2**32),
        st.sampled_from((3, 100, 9000, 70_000)),
        st.booleans(),
    )
    def test_all_is_answered(self, parts: list[list[Sound]], seed: int, piece_max: int, half_closes: bool) -> None:
        """Each request is answered, in order.  Then the connection reads again, or ends where its peer sends no more."""
        requests = [request for part in parts for request in part]
        left = b"".join(request.data for request in requests)
        random = Random(seed)
        piece_max = max(piece_max, len(left) // 500)
        wired = Wired(BOUNDS, Moody(random), clock=JumpyClock(random), drain_rate=300_000)
        application = wired.application
        assert isinstance(application, Moody)

        def step() -> None:
            nonlocal left
            if left and wired.pipe.producerState == "producing":
                size = random.randint(1, piece_max)
                piece, left = left[:size], left[size:]
                wired.send(piece)

        steps = 0
        while left:
            steps += 1
            self.assertLess(steps, 10_000, "it does not read any more")
            wired.pipe.full = random.random() < 0.2
            random.choice(
                (
                    step,
                    step,
                    step,
                    application.catch_up,
                    wired.channel.pauseProducing,
                    wired.channel.resumeProducing,
                    lambda: wired.clock.advance(random.choice((0, 0, 0.5, 1))),
                )
            )()
        wired.pipe.full = False
        wired.channel.resumeProducing()
        has_closed = False
        for _ in requests:
            if half_closes and not has_closed and wired.pipe.producerState == "producing":
                has_closed = True
                wired.channel.readConnectionLost()
            wired.clock.advance(1)
            application.catch_up()
        wired.clock.advance(2)
        self.assertEqual(self.got(wired.pipe.value(), requests), [request.answer for request in requests])
        self.assertEqual(len(wired.clock.getDelayedCalls()), 1)  # that of the deadlines
        self.assertEqual(wired.pipe.disconnecting, has_closed)
        if not has_closed:
            self.assertEqual(wired.pipe.producerState, "producing")
            wired.channel.readConnectionLost()
        self.assertTrue(wired.pipe.disconnecting)

    def got(self, raw: bytes, requests: list[Sound]) -> list[tuple[int, bytes]]:
        """The answers, without those that only ask to go on."""
        found: list[tuple[int, bytes]] = []
        while raw:
            head, _, raw = raw.partition(b"\r\n\r\n")
            if (status := int(head[9:12])) == 100:
                continue
            length = int(head.partition(b"Content-Length: ")[2].partition(b"\r\n")[0])
            length = 0 if requests[len(found)].line.startswith(b"HEAD") else length
            found.append((status, raw[:length]))
            raw = raw[length:]
        return found
