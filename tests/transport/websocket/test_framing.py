"""The bytes of frames."""

from __future__ import annotations

import tracemalloc
from random import Random

from twisted.trial.unittest import SynchronousTestCase

from tests.transport.websocket import client
from zaqar_gateway.transport.websocket.framing import Begun, frame, payload_of, pieces, unmasked

NO_MASK = b"\0\0\0\0"


class FramingTests(SynchronousTestCase):
    """Frames of a server, and payloads of a client."""

    def test_unmasked(self) -> None:
        """The mask is taken off payloads of any size (RFC 6455, section 5.3)."""
        random = Random(1)
        for size in (*range(20), 125, 126, 391, *range(2040, 2056), 65535, 65536, 70001):
            payload, mask = random.randbytes(size), random.randbytes(4)
            sent = client.frame(payload, mask=mask)[-size:] if size else b""
            self.assertEqual(unmasked(sent, mask), payload, size)

    def test_payload_of(self) -> None:
        """Of one whole text frame there is the payload; of anything else, and of less and more than one, there is none."""
        random = Random(3)
        for size in (0, 1, 125, 126, 127, 255, 256, 391, 65535):
            payload, mask = random.randbytes(size), random.randbytes(4)
            sent = client.frame(payload, mask=mask)
            self.assertEqual(payload_of(sent), payload, size)
            self.assertIsNone(payload_of(sent + b"\x81"), size)
            for cut in {0, 1, 2, 3, 5, 6, 7, 8, 9, len(sent) - 1} & {*range(len(sent))}:
                self.assertIsNone(payload_of(sent[:cut]), (size, cut))
            for kind in (0, client.BINARY, client.CLOSE, client.PING, client.PONG):
                self.assertIsNone(payload_of(client.frame(payload, kind, mask=mask)), (size, kind))
            self.assertIsNone(payload_of(client.frame(payload, fin=False)), size)
            self.assertIsNone(payload_of(client.frame(payload, reserved=4)), size)
        self.assertIsNone(payload_of(client.frame(b"x" * 65536)))
        for unmasked_one in (b"\x81\x00\0\0\0\0", b"\x81\x05hello", b"\x81\x7e\x00\x7e" + b"x" * 126):
            self.assertIsNone(payload_of(unmasked_one))
        for size in (0, 5, 125):  # a size of two bytes that fits into one (RFC 6455, section 5.2)
            self.assertIsNone(payload_of(b"\x81\xfe" + size.to_bytes(2, "big") + b"\0\0\0\0" + b"x" * size), size)
        self.assertIsNone(payload_of(b"\x81\xff" + (300).to_bytes(8, "big") + b"\0\0\0\0" + b"x" * 300))
        self.assertIsNone(payload_of(b"\x81\xff" + b"x" * 131))  # what is left behind the head has the size that 127 would be

    def test_begun(self) -> None:
        """A long frame is put together from pieces of any size, and what comes behind it is left; dropped, nothing is kept."""
        random = Random(2)
        for mask in (random.randbytes(4), NO_MASK):
            for most in (1, 100, 5000, 70_001, 100_000):
                payload, behind = random.randbytes(70_001), random.randbytes(random.randrange(20))
                data = client.frame(payload, mask=mask)[-len(payload) :] + behind
                begun = Begun(0x81, len(payload), mask)
                while begun.missing:
                    piece = random.randrange(1, most + 1)
                    data = begun.take(data[:piece], drop=False) + data[piece:]
                self.assertEqual((begun.payload(), data), (payload, behind), most)
        self.assertEqual((begun.take(b"more", drop=False), begun.payload()), (b"more", payload))
        begun = Begun(0x81, 70_001, mask)
        begun.take(payload[:50_000], drop=False)
        self.assertEqual(begun.take(payload[50_000:] + b"x", drop=True), b"x")
        self.assertEqual((begun.missing, begun.payload()), (0, b""))

    def test_begun_in_memory(self) -> None:
        """One that comes byte by byte takes no more memory than its bytes and a little."""
        begun = Begun(0x81, 50_000, NO_MASK)
        tracemalloc.start()
        self.addCleanup(tracemalloc.stop)
        for _ in range(50_000):
            begun.take(b"x", drop=False)
        self.assertLess(tracemalloc.get_traced_memory()[0], 60_000)

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
