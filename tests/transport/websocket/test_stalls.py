"""Sound frames on sockets whose parts of a turn end at any time, whose replies are late, and whose peers read late: whatever is
complete is answered without anything more being sent."""

from __future__ import annotations

import json
import zlib
from collections.abc import Callable
from random import Random

import msgpack
from hypothesis import given, settings
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from tests.helpers import JumpyClock
from tests.transport.websocket.client import (
    BINARY,
    CLOSE,
    PING,
    PONG,
    TEXT,
    Peer,
    frame,
    handshake,
    make_factory,
    packed,
    text,
)
from tests.transport.websocket.test_protocol import DEFLATE, HeldQueues
from zaqar_gateway.storage.memory import MemoryStorage
from zaqar_gateway.transport.websocket.bounds import WebSocketBounds

BOUNDS = WebSocketBounds(
    in_flight_max=4, write_buffer_max=500, drain_timeout_s=1e9, ping_interval_s=0, idle_timeout_s=0, close_timeout_s=1e9
)
"""No deadline ends what is stuck; reading ends now and then."""

_COMPRESSED = 4


def deflated(payload: bytes) -> bytes:
    """A payload of a compressed message (RFC 7692, section 7.2.1), which needs nothing of those before it."""
    deflater = zlib.compressobj(9, zlib.DEFLATED, -15)
    return (deflater.compress(payload) + deflater.flush(zlib.Z_SYNC_FLUSH))[:-4]


class Message:
    """A request, or a ping, as it is sent.

    :param action: empty: a ping.
    :param padding: white space behind it.
    :param cuts: how many frames it has besides the first, which are empty from the second on, and a ping between them.
    """

    def __init__(
        self, action: str, is_binary: bool, padding: int, is_compressed: bool, cuts: int, is_masked: bool
    ) -> None:
        self.action, self.is_binary, self.padding, self.is_compressed = action, is_binary, padding, is_compressed
        self.cuts = cuts
        self.mask = b"\x01\x02\x03\x04" if is_masked else b"\0\0\0\0"

    def __repr__(self) -> str:
        return f"Message({', '.join(map(repr, vars(self).values()))})"

    def frames(self, name: str) -> tuple[bytes, list[bytes]]:
        """Its bytes, and the payloads of the pings in them."""
        if not self.action:
            return frame(name.encode(), PING, mask=self.mask), [name.encode()]
        payload = (packed if self.is_binary else text)(self.action, queue_name=name)
        if not self.is_binary:
            payload += b" " * self.padding
        if self.is_compressed:
            payload = deflated(payload)
        parts, pings = [payload], []
        for number in range(self.cuts):
            last = parts.pop()
            at = len(last) if number % 2 else len(last) // 2
            parts += [last[:at], last[at:]]
        data = b""
        for number, part in enumerate(parts):
            kind = (BINARY if self.is_binary else TEXT) if not number else 0
            reserved = _COMPRESSED if self.is_compressed and not number else 0
            is_last = number == len(parts) - 1
            data += frame(part, kind, fin=is_last, reserved=reserved, mask=self.mask)
            if not is_last:
                pings.append(b"%b %d" % (name.encode(), number))
                data += frame(pings[-1], PING, mask=self.mask)
        return data, pings


MESSAGES = st.one_of(
    st.builds(
        Message,
        st.sampled_from(("queue_get", "queue_get", "queue_get", "queue_purge", "message_list", "")),
        st.booleans(),
        st.sampled_from((0, 0, 0, 200, 3000, 20_000)),
        st.booleans(),
        st.sampled_from((0, 0, 1, 2, 5)),
        st.booleans(),
    ).map(lambda message: [message]),
    st.just([Message("message_list", False, 0, False, 0, True)] * 80),
    st.just([Message("", False, 0, False, 0, True)] * 80),
)


class StallTests(SynchronousTestCase):
    """Nothing that is complete waits for bytes that do not come."""

    @settings(max_examples=150, database=None, derandomize=True)
    @given(st.lists(MESSAGES, min_size=1, max_size=8), st.integers(0, 2**32), st.sampled_from((3, 100, 9000, 200_000)))
    def test_all_is_answered(self, parts: list[list[Message]], seed: int, piece_max: int) -> None:
        """Each request and ping is answered, in order, and then the socket is read again."""
        messages = [message for part in parts for message in part]
        left, asked, pings = b"", [], []
        for number, message in enumerate(messages):
            data, its = message.frames(f"q{number}")
            left += data
            pings += its
            if message.action:
                asked.append((0x82 if message.is_binary else 0x81, f"q{number}"))
        random = Random(seed)
        piece_max = max(piece_max, len(left) // 500)
        clock = JumpyClock(random)
        storage, queues = MemoryStorage(clock), HeldQueues()
        storage.queues = queues
        peer = Peer(
            make_factory(storage, clock, BOUNDS, alone=("queue_purge",)), handshake(Sec_WebSocket_Extensions=DEFLATE)
        )
        peer.protocol.factory.turns.now = clock.seconds

        def send() -> None:
            nonlocal left
            if left and peer.read:
                size = random.randint(1, piece_max)
                piece, left = left[:size], left[size:]
                peer.raw(piece)

        def reply() -> None:
            if queues.waiting:
                queues.release(random.choice(list(queues.waiting)))

        steps: list[Callable[[], object]] = [
            send,
            send,
            send,
            reply,
            peer.protocol.pauseProducing,
            peer.protocol.resumeProducing,
            lambda: clock.advance(random.choice((0, 0, 0.5))),
        ]
        count = 0
        while left:
            count += 1
            self.assertLess(count, 20_000, "it does not read any more")
            random.choice(steps)()
        peer.protocol.resumeProducing()
        for _ in range(len(messages) + 1):
            clock.advance(1)
            reply()
        clock.advance(1)
        received = peer.received()
        self.assertEqual([payload for first, payload in received if first == 0x80 | PONG], pings)
        replies = [(first, payload) for first, payload in received if first != 0x80 | PONG]
        self.assertEqual([self.named(*reply) for reply in replies], asked)
        self.assertTrue(peer.read)
        self.assertEqual(clock.getDelayedCalls(), [])
        peer.raw(frame(b"\x03\xe8", CLOSE))
        clock.advance(0)
        self.assertEqual(peer.close_code(), 1000)

    def named(self, first: int, payload: bytes) -> tuple[int, str]:
        """What kind of frame a reply is, and which queue it is about."""
        document = msgpack.unpackb(payload) if first == 0x82 else json.loads(payload)
        return first, document["request"]["body"]["queue_name"]
