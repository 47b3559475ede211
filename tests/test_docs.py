"""What the documentation says of the tests."""

from __future__ import annotations

import re
from pathlib import Path

from twisted.python.reflect import namedAny
from twisted.trial.unittest import SynchronousTestCase

SECURITY = Path(__file__).parent.parent / "docs" / "security.rst"


class SecurityTests(SynchronousTestCase):
    """The page about security."""

    def test_tests_exist(self) -> None:
        """Each test that shows a promise is there."""
        names = re.findall(r"``(tests\.[A-Za-z0-9_.]+)``", SECURITY.read_text(encoding="utf-8"))
        self.assertGreater(len(names), 20)
        for name in names:
            self.assertIsNotNone(namedAny(name), name)
