"""Bodies of requests that are put together as the other side reads them."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st
from twisted.trial.unittest import SynchronousTestCase

from zaqar_gateway.push.spliced import PIECE, Pump, Spliced


class SplicedTests(SynchronousTestCase):
    """A text in the gaps between parts."""

    @given(
        st.lists(st.one_of(st.binary(max_size=3), st.just(b"p" * PIECE)), min_size=1, max_size=9),
        st.one_of(st.binary(max_size=3), st.sampled_from([b"t" * (PIECE // 2), b"t" * PIECE])),
    )
    def test_all_of_it(self, parts: list[bytes], text: bytes) -> None:
        """The pieces are the whole, each time that they are asked for; its length is known before."""
        spliced, whole = Spliced(parts, text), text.join(parts)
        for _ in range(2):
            self.assertEqual(b"".join(spliced), whole)
        self.assertEqual(len(spliced), len(whole))

    def test_pieces(self) -> None:
        """Short texts are put together, and a long one is not copied."""
        short = list(Spliced([b"part"] * 10_000, b"text"))
        self.assertEqual(len(short), 2)
        self.assertLess(len(short[0]), PIECE + 8)
        text = b"t" * PIECE
        self.assertEqual([piece is text for piece in Spliced([b"a", b"b", b"c"], text)], [False, True, False, True, False])


class Transport:
    """Keeps what is written, and has room for so many writes.

    :ivar producer: that is registered.
    """

    def __init__(self, room: int) -> None:
        self.written: list[bytes] = []
        self.producer: Any = None
        self.room = room

    def registerProducer(self, producer: Any, streaming: bool) -> None:
        """See :class:`~twisted.internet.interfaces.IConsumer`."""
        assert streaming and self.producer is None
        self.producer = producer

    def unregisterProducer(self) -> None:
        """See :class:`~twisted.internet.interfaces.IConsumer`."""
        self.producer = None

    def write(self, data: bytes) -> None:
        """See :class:`~twisted.internet.interfaces.IConsumer`."""
        self.written.append(data)
        self.room -= 1
        if not self.room:
            self.producer.pauseProducing()


class PumpTests(SynchronousTestCase):
    """Writing piece by piece."""

    def test_room(self) -> None:
        """A piece is asked for when there is room for it; at the end the transport is free for others."""
        transport, pieces = Transport(2), iter([b"a", b"b", b"c"])
        pump = Pump(pieces, transport)
        pump.start()
        self.assertEqual((transport.written, pump.is_done), ([b"a", b"b"], False))
        transport.producer.resumeProducing()
        self.assertEqual((transport.written, pump.is_done, transport.producer), ([b"a", b"b", b"c"], True, None))

    def test_end(self) -> None:
        """Where the connection ends nothing more is asked for."""
        transport, pieces = Transport(1), iter([b"a", b"b", b"c"])
        pump = Pump(pieces, transport)
        pump.start()
        transport.producer.stopProducing()
        transport.producer.resumeProducing()
        self.assertEqual((transport.written, pump.is_done, next(pieces)), ([b"a"], True, b"b"))
