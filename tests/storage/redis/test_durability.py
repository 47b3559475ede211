"""What the settings of a Redis keep."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from zaqar_gateway.storage.redis.durability import judge


class JudgeTests(SynchronousTestCase):
    """What is said at the start."""

    def kept(self, settings: dict[str, str], wanted: str = "memory", *, is_synchronised: bool = False) -> tuple[str, int]:
        """What is kept, up to the first comma, and how many warnings there are."""
        judged = judge(settings, wanted, is_synchronised=is_synchronised)
        return judged.kept.split(",")[0], len(judged.warnings)

    def test_kept(self) -> None:
        """What a message survives follows from how the append-only file is written."""
        for settings, kept in (
            ({"appendonly": "no", "appendfsync": "always"}, "the end of any gateway; a restart of Redis loses everything"),
            ({"appendonly": "yes", "appendfsync": "always"}, "a crash of the machine: every answer comes after the append-only file is on disk"),
            ({"appendonly": "yes", "appendfsync": "everysec"}, "a crash of the gateway; one of Redis while its disk is slow"),
            ({"appendonly": "yes", "appendfsync": "no"}, "a crash of Redis; what a crash of the machine loses is up to the operating system"),
            ({}, "the end of any gateway; more is not known"),
        ):
            self.assertEqual(self.kept(settings), (kept, settings.get("appendonly") == "no"), settings)

    def test_synchronised(self) -> None:
        """Where the gateway brings the file to the disk, a crash of Redis loses nothing."""
        self.assertEqual(
            self.kept({"appendonly": "yes", "appendfsync": "no"}, is_synchronised=True),
            ("a crash of Redis; a crash of the machine loses at most the last second or two", 0),
        )

    def test_replicated(self) -> None:
        """Where replicas have what is acknowledged a failover loses nothing; without that there is a warning of one."""
        settings = {"appendonly": "yes", "appendfsync": "always"}
        judged = judge(settings, "replicated", replicas=2, fails_over=True)
        self.assertTrue(judged.kept.startswith("the loss of this Redis, since 2 of its replicas had it before the answer; and"))
        self.assertEqual(judged.warnings, ())
        few = judge({"connected_slaves": "1", "min-replicas-to-write": "0"}, "replicated", replicas=2).warnings
        self.assertEqual(len(few), 2)
        self.assertIn("storage.replicas is 2, and 1 replicas follow this Redis now", few[0])
        self.assertIn("min-replicas-to-write is 0", few[1])
        self.assertEqual(judge({"connected_slaves": "2", "min-replicas-to-write": "3"}, "replicated", replicas=2).warnings, ())
        (warning,) = judge(settings, "memory", replicas=2, fails_over=True).warnings
        self.assertIn('set storage.durability to "replicated"', warning)

    def test_warnings(self) -> None:
        """There is a warning for each setting that cannot keep what was asked for."""
        for log, sync, warnings in (("yes", "everysec", 1), ("no", "everysec", 2), ("yes", "always", 0)):
            self.assertEqual(self.kept({"appendonly": log, "appendfsync": sync}, "fsync")[1], warnings, (log, sync))
        for policy, maxmemory, warnings in (("noeviction", "9", 0), ("allkeys-lru", "0", 0), ("allkeys-lru", "9", 1)):
            settings = {"appendonly": "yes", "appendfsync": "no", "maxmemory-policy": policy, "maxmemory": maxmemory}
            self.assertEqual(self.kept(settings)[1], warnings, policy)
