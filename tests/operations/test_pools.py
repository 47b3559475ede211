"""What is told of a pool."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from zaqar_gateway.operations.pools import masked


class MaskedTests(SynchronousTestCase):
    """URIs without passwords."""

    def test_masked(self) -> None:
        """Neither the password of the login nor one among the parameters is shown; the rest is."""
        for uri, shown in (
            ("redis://h/name?dbid=1", "redis://h/name?dbid=1"),
            ("redis://u:s3cr3t@h:7", "redis://u:***@h:7"),
            ("redis://:s3cr3t@a,b?master=m&sentinel_password=s3cr3t&dbid=1", "redis://:***@a,b?master=m&sentinel_password=***&dbid=1"),
            ("redis://a,b?sentinel_password=s3cr3t&master=m", "redis://a,b?sentinel_password=***&master=m"),
            ("other://h?Password=s3cr3t;a=b", "other://h?Password=***;a=b"),
        ):
            self.assertEqual(masked(uri), shown)
