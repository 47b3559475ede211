"""Which servers can read a data directory."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from tests.storage.redis.embedded.programs import temporary
from zaqar_gateway.storage.redis.embedded.errors import StartFailed
from zaqar_gateway.storage.redis.embedded.readers import ANY, Readers, readers_of


class Reading(SynchronousTestCase):
    """By what is at the beginning of the file that was written anew last."""

    def setUp(self) -> None:
        """An empty directory."""
        self.directory = temporary(self)

    def parts(self, header: bytes) -> None:
        """Write what version 7 or later leaves, where a file before the last one has another header."""
        parts = self.directory / "appendonlydir"
        parts.mkdir(exist_ok=True)
        (parts / "appendonly.aof.1.base.rdb").write_bytes(b"REDIS9999")
        (parts / "appendonly.aof.2.base.rdb").write_bytes(header)
        (parts / "appendonly.aof.manifest").write_text(
            "file appendonly.aof.2.base.rdb seq 2 type b\nfile appendonly.aof.1.base.rdb seq 1 type h\n"
            "file appendonly.aof.2.incr.aof seq 2 type i\n"
        )

    def test_nothing(self) -> None:
        """What is empty is open to all."""
        self.assertEqual(readers_of(self.directory), ANY)
        self.assertTrue(ANY.include("Redis", (6, 2)))
        self.assertFalse(ANY.include("Redis", (6, 0)))

    def test_one_file(self) -> None:
        """One file is what 6.2 writes, with and without what was written anew at its beginning; a newer one may have moved it."""
        for content in (b"", b"*2\r\n$6\r\nSELECT\r\n", b"REDIS0009\xfa"):
            (self.directory / "appendonly.aof").write_bytes(content)
            self.assertEqual(readers_of(self.directory), ANY)

    def test_parts(self) -> None:
        """Parts are not seen before version 7, whatever is in them."""
        (self.directory / "appendonlydir").mkdir()
        self.assertEqual(readers_of(self.directory), Readers((7, 0)))
        (self.directory / "appendonlydir" / "appendonly.aof.1.incr.aof").touch()
        self.assertIn("appendonly.aof.manifest", str(self.assertRaises(StartFailed, readers_of, self.directory)))
        for header in (b"", b"*2\r\n$6\r\nSELECT", b"REDIS0009", b"REDIS0010"):
            self.parts(header)
            self.assertEqual(readers_of(self.directory), Readers((7, 0)), header)

    def test_formats(self) -> None:
        """Redis and Valkey read each other's files up to format 11, and none after."""
        self.parts(b"REDIS0011\xfa\x09redis-ver")
        readers = readers_of(self.directory)
        self.assertTrue(readers.include("Redis", (7, 2)) and readers.include("Valkey", (9, 1)))
        self.assertFalse(readers.include("Redis", (7, 0)))
        self.parts(b"REDIS0012\xfa")
        readers = readers_of(self.directory)
        self.assertTrue(readers.include("Redis", (7, 4)))
        self.assertFalse(readers.include("Redis", (7, 2)) or readers.include("Valkey", (9, 1)))
        self.parts(b"VALKEY080\xfa\x0avalkey-ver")
        readers = readers_of(self.directory)
        self.assertTrue(readers.include("Valkey", (9, 0)))
        self.assertFalse(readers.include("Valkey", (8, 1)) or readers.include("Redis", (9, 0)))
