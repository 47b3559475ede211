"""The bytes of frames."""

from __future__ import annotations

from random import Random

from twisted.trial.unittest import SynchronousTestCase

from tests.transport.websocket import client
from zaqar_gateway.transport.websocket.framing import frame, pieces, unmasked


class FramingTests(SynchronousTestCase):
    """Frames of a server, and payloads of a client."""

    def test_unmasked(self) -> None:
        """The mask is taken off payloads of any size (RFC 6455, section 5.3)."""
        random = Random(1)
        for size in (*range(20), 125, 126, 391, *range(2040, 2056), 65535, 65536, 70001):
            payload, mask = random.randbytes(size), random.randbytes(4)
            sent = client.frame(payload, mask=mask)[-size:] if size else b""
            self.assertEqual(unmasked(sent, mask), payload, size)

    def test_sizes(self) -> None:
        """The length takes the fewest bytes that it fits in (RFC 6455, section 5.2)."""
        for size, head in (
            (0, b"\x81\x00"),
            (125, b"\x81\x7d"),
            (126, b"\x81\x7e\x00\x7e"),
            (65535, b"\x81\x7e\xff\xff"),
            (65536, b"\x81\x7f" + (65536).to_bytes(8, "big")),
        ):
            made = frame(0x81, b"x" * size)
            self.assertEqual((made[: len(head)], len(made)), (head, len(head) + size))
            self.assertEqual(b"".join(pieces(0x81, b"x" * size)), made)
