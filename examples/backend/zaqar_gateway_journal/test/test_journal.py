"""What is the journal's own: files that end too early or are damaged, disks that are full, directories that are
taken."""

from __future__ import annotations

import shutil
import tempfile
from pathlib import Path

import msgspec
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from zaqar_gateway.errors import StoreUnavailable
from zaqar_gateway.model import NO_RULES, BackendSettings, NewMessage, NewPost, Quotas
from zaqar_gateway_journal.backend import JournalBackend
from zaqar_gateway_journal.journal import Journal


class DirectoryCase(SynchronousTestCase):
    """A test with a directory of its own."""

    def setUp(self) -> None:
        self.directory = Path(tempfile.mkdtemp())
        self.addCleanup(shutil.rmtree, self.directory)
        self.path = self.directory / "journal"


class JournalTests(DirectoryCase):
    """The file of records."""

    def journal(self) -> Journal:
        made = Journal(self.path, sync=False)
        self.addCleanup(made.close)
        return made

    def test_records(self) -> None:
        """Records are read in the order in which they were appended, also by another process."""
        first = self.journal()
        for record in (b"one", b"", b"three" * 1000):
            first.append(record)
        self.assertEqual(list(self.journal().records()), [b"one", b"", b"three" * 1000])

    def test_end_is_missing(self) -> None:
        """Wherever the last record breaks off, it is cut off, and what is appended then can be read."""
        self.journal().append(b"one")
        whole = self.path.read_bytes()
        self.journal().append(b"two")
        longer = self.path.read_bytes()
        for end in range(len(whole) + 1, len(longer)):
            self.path.write_bytes(longer[:end])
            journal = self.journal()
            self.assertEqual(list(journal.records()), [b"one"])
            journal.append(b"three")
            self.assertEqual(list(journal.records()), [b"one", b"three"])

    def test_last_record_is_damaged(self) -> None:
        """A last record whose bytes did not all come to the disk is cut off as well."""
        journal = self.journal()
        journal.append(b"one")
        journal.append(b"two")
        self.path.write_bytes(self.path.read_bytes()[:-1] + b"x")
        self.assertEqual(list(journal.records()), [b"one"])

    def test_damage(self) -> None:
        """A damaged record before others is no end that is missing: the file is refused, and left as it is."""
        journal = self.journal()
        for record in (b"one", b"two"):
            journal.append(record)
        damaged = self.path.read_bytes().replace(b"one", b"0ne")
        self.path.write_bytes(damaged)
        with self.assertRaisesRegex(OSError, "is damaged at byte 0"):
            list(journal.records())
        self.assertEqual(self.path.read_bytes(), damaged)

    def test_disk_is_full(self) -> None:
        """A record that could not be written may be there; after that nothing is written."""
        journal = Journal(Path("/dev/full"), sync=False)
        self.addCleanup(journal.close)
        error = self.assertRaises(StoreUnavailable, journal.append, b"one")
        self.assertTrue(error.outcome_unknown)
        error = self.assertRaises(StoreUnavailable, journal.append, b"two")
        self.assertFalse(error.outcome_unknown)

    def test_replace(self) -> None:
        """One record stands for all, and others follow it."""
        journal = self.journal()
        for record in (b"one", b"two"):
            journal.append(record)
        journal.replace(b"both")
        journal.append(b"three")
        self.assertEqual(list(self.journal().records()), [b"both", b"three"])

    def test_mode(self) -> None:
        """Nobody else may read it."""
        self.journal().replace(b"one")
        self.assertEqual(self.path.stat().st_mode & 0o777, 0o600)


class BackendTests(DirectoryCase):
    """The store as the gateway starts it."""

    def backend(self, uri: str = "", compact_from: int = 2**20) -> JournalBackend:
        backend = JournalBackend(BackendSettings(uri or f"journal://{self.directory}"), Clock(), compact_from)
        self.addCleanup(lambda: Deferred.fromCoroutine(backend.stop()))
        return backend

    def start(self, backend: JournalBackend) -> JournalBackend:
        self.successResultOf(Deferred.fromCoroutine(backend.start()))
        return backend

    def test_uri(self) -> None:
        """What is no path of a directory is refused, with the form that it has to have."""
        for uri in ("journal:", "journal:var/lib", "journal://host/var", "journal:///var?a=1", "journal:///var#a"):
            with self.assertRaisesRegex(ValueError, "has to be journal:///path/of/a/directory"):
                self.backend(uri)

    def test_quotas(self) -> None:
        """Quotas are refused, since the store does not keep them."""
        settings = BackendSettings(f"journal://{self.directory}", quotas=Quotas(queues=1))
        with self.assertRaisesRegex(ValueError, "keeps no quotas"):
            JournalBackend(settings, Clock())

    def test_not_started(self) -> None:
        """Before the start nothing can be changed, and a ping says that it is not there."""
        storage = self.backend().storage
        self.failureResultOf(Deferred.fromCoroutine(storage.ping()), StoreUnavailable)
        created = storage.queues.create("p", "q", b"{}", NO_RULES)
        self.failureResultOf(Deferred.fromCoroutine(created), StoreUnavailable)

    def test_second_gateway(self) -> None:
        """A directory has one gateway at a time."""
        first = self.start(self.backend())
        failure = self.failureResultOf(Deferred.fromCoroutine(self.backend().start()), OSError)
        self.assertIn("is in use by another gateway", failure.getErrorMessage())
        self.successResultOf(Deferred.fromCoroutine(first.stop()))
        self.start(self.backend())

    def test_directory_of_others(self) -> None:
        """A directory that others may write to is refused."""
        self.directory.chmod(0o770)
        failure = self.failureResultOf(Deferred.fromCoroutine(self.backend().start()), OSError)
        self.assertIn("it has to be a directory of mode 700", failure.getErrorMessage())

    def test_compaction(self) -> None:
        """What was posted and deleted is in the journal until it is compacted; what is kept, after it too."""
        backend = self.start(self.backend())
        for body in (b'"gone"', b'"kept"'):
            posting = backend.storage.messages.post(
                "p", "q", NewPost(b"c", [NewMessage(body)], size=6, ttl_default_s=60, size_max=60)
            )
            (message_id,) = self.successResultOf(Deferred.fromCoroutine(posting))
            if body == b'"gone"':
                self.successResultOf(
                    Deferred.fromCoroutine(backend.storage.messages.delete("p", "q", message_id, None))
                )
        self.successResultOf(Deferred.fromCoroutine(backend.stop()))
        self.assertIn(b'"gone"', self.path.read_bytes())
        backend = self.start(self.backend(compact_from=0))
        self.assertNotIn(b'"gone"', self.path.read_bytes())
        popped = self.successResultOf(Deferred.fromCoroutine(backend.storage.messages.pop("p", "q", 9)))
        self.assertEqual([(message.id, message.body) for message in popped], [(message_id, b'"kept"')])

    def test_other_version(self) -> None:
        """A compacted journal of another version is refused."""
        journal = Journal(self.path, sync=False)
        journal.append(msgspec.msgpack.encode(["0.0.0", b"a pickle"]))
        journal.close()
        failure = self.failureResultOf(Deferred.fromCoroutine(self.backend().start()), OSError)
        self.assertIn("was compacted by zaqar-gateway 0.0.0", failure.getErrorMessage())
