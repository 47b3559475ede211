"""Tests of how a script is put together."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from zaqar_gateway.storage.redis import scripts


class ScriptTests(SynchronousTestCase):
    def test_uses(self) -> None:
        """A script has what it uses of the shared files, and what that uses, each once and in their order."""
        text = scripts.SWEEP.text.decode()
        for needed in ("local call = ", "local function settle(", "local function give_back(", "local held = "):
            self.assertEqual(text.count(needed), 1, needed)
        self.assertLess(text.index("local held = "), text.index("local function settle("))

    def test_does_not_use(self) -> None:
        """It has none of the rest, which would cost time at each call."""
        text = scripts.DUE.text.decode()
        self.assertIn("local held = ", text)
        for other in ("local function", "local claims = ", "local state = ", "--"):
            self.assertNotIn(other, text)

    def test_whole_pieces(self) -> None:
        """A statement of several lines, and one that names several things, come whole."""
        self.assertIn("local now, micros = tonumber(ARGV[1]), nil\nif now then\n", scripts.GET.text.decode())

    def test_usual(self) -> None:
        """What a script nearly always does comes before what the rest of it alone uses, and each piece is there once."""
        text = scripts.CLAIM.text.decode()
        usual = text.index("local function claim_behind_head()")
        for needed in ("local call = ", "local now, micros = ", "local held = "):
            self.assertEqual(text.count(needed), 1, needed)
            self.assertLess(text.index(needed), usual, needed)
        for later in ("local function settle(", "local function each_deliverable(", "local later = "):
            self.assertEqual(text.count(later), 1, later)
            self.assertGreater(text.index(later), usual, later)

    def test_distinct(self) -> None:
        """No two scripts are the same, and Redis would know each by its sum."""
        self.assertEqual(len({script.sha for script in scripts.ALL}), len(scripts.ALL))
        self.assertEqual(len(scripts.POST.sha), 40)
