"""What errors repeat of what a client sent."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from zaqar_gateway.errors import REPEATED_MAX, repeated


class RepeatedTests(SynchronousTestCase):
    """:func:`repeated`."""

    def test_short(self) -> None:
        """A text that is not long comes back whole."""
        for text in ("", "a", "x" * REPEATED_MAX):
            self.assertEqual(repeated(text), text)

    def test_long(self) -> None:
        """Of a long one comes its beginning, and a sign that there is more."""
        self.assertEqual(repeated("ab" * REPEATED_MAX), "ab" * (REPEATED_MAX // 2) + "...")
