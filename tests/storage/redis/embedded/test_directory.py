"""The directory of the embedded Redis."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from zaqar_gateway.storage.redis.embedded.directory import configuration


class Configuring(SynchronousTestCase):
    """The configuration file of the child."""

    def test_durability(self) -> None:
        """The append-only file is brought to the disk by the gateway, or by Redis before each answer."""
        self.assertIn("\nappendfsync no\n", configuration("/d", "/d/s", "memory"))
        self.assertIn("\nappendfsync always\n", configuration("/d", "/d/s", "fsync"))

    def test_paths_are_quoted(self) -> None:
        """Quotes, spaces and what is not ASCII cannot end a path in the file."""
        text = configuration('/a "b"\n\u00e4', "/s", "memory")
        self.assertIn('\ndir "/a\\x20\\x22b\\x22\\x0a\\xc3\\xa4"\n', text)
