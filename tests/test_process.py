"""What the parts of a process share."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from zaqar_gateway.process import share_files


class FilesTests(SynchronousTestCase):
    """Descriptors."""

    def test_shares(self) -> None:
        """Clients, attempts, and as many connections that are kept, leave 256 to all else, or a quarter where there are few."""
        self.assertEqual(share_files(0, 1000), (0, 1000))
        for files_max, expected in (
            (1_048_576, (1_046_320, 1000)),
            (8192, (5936, 1000)),
            (1024, (512, 128)),
            (64, (32, 8)),
            (1, (1, 1)),
        ):
            self.assertEqual(share_files(files_max, 1000), expected, files_max)
        self.assertEqual(share_files(1024, 10), (748, 10))
