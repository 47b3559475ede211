"""What goes through the pipes between a keeper and its workers."""

from __future__ import annotations

import contextlib
import fcntl
import os
from functools import partial

from twisted.logger import Logger, LogLevel
from twisted.python.failure import Failure
from twisted.trial.unittest import SkipTest, SynchronousTestCase

from tests.logs import logged
from zaqar_gateway import config
from zaqar_gateway.workers.handover import Handover, OtherVersion, unpack
from zaqar_gateway.workers.tidings import Alive, CannotStart, Lines, Measured, Outlet, Said, Serves, Tiding, read, relay


class OutletTests(SynchronousTestCase):
    """The end at which a worker tells."""

    def setUp(self) -> None:
        self.other, self.end = os.pipe()
        self.addCleanup(os.close, self.end)
        self.outlet = Outlet(self.end)

    def told(self) -> list[object]:
        """What came out at the other end."""
        return [read(line) for line in os.read(self.other, 65536).splitlines()]

    def test_tidings(self) -> None:
        """Each is a line."""
        told: list[Tiding] = [Serves("a store", ["http", "page"]), CannotStart("no\nroom"), Alive()]
        for each in told:
            self.outlet.tell(each)
        self.assertEqual(self.told(), told)
        os.close(self.other)

    def test_log(self) -> None:
        """Events of the log come with their level, place and time; a failure with its traceback, and whatever is no text as it can."""
        log = Logger(namespace="a.part", observer=self.outlet)
        log.warn("{who} is late", who="b\udcff")
        try:
            raise KeyError("color")
        except KeyError:
            log.failure("it broke", Failure())
        log.info("")
        warned, failed = self.told()
        os.close(self.other)
        assert isinstance(warned, Said) and isinstance(failed, Said)
        self.assertEqual((warned.level, warned.namespace, warned.text), ("warn", "a.part", "b\\udcff is late"))
        self.assertEqual(failed.level, "critical")
        self.assertRegex(failed.text, r"(?s)^it broke\nTraceback .*KeyError: 'color'")

    def test_nobody_reads(self) -> None:
        """Where the keeper is gone nobody is told, and nothing breaks."""
        os.close(self.other)
        self.outlet.tell(Alive())

    def test_busy_keeper(self) -> None:
        """Long metrics do not hold a worker up where its keeper does not read just then."""
        if not hasattr(fcntl, "F_SETPIPE_SZ"):
            raise SkipTest("this system's pipes have one size")
        os.set_blocking(self.end, False)  # so that there is an error where it would wait
        metrics = "x" * 500_000
        self.outlet.tell(Measured(metrics))
        os.set_blocking(self.other, False)
        told = b""
        with contextlib.suppress(BlockingIOError):
            while part := os.read(self.other, 65536):
                told += part
        os.close(self.other)
        self.assertEqual(read(told.rstrip(b"\n")), Measured(metrics))

    def test_relayed(self) -> None:
        """In the keeper's log an event has its level, place and time, and who said it."""
        log = logged(self)
        relay(3, Said("error", "a.part", "", "it {broke}", 17.5))
        (event,) = log
        self.assertEqual(event["log_format"].format(**event), "worker 3: it {broke}")
        self.assertEqual((event["log_level"], event["log_namespace"], event["log_time"]), (LogLevel.error, "a.part", 17.5))


class LinesTests(SynchronousTestCase):
    """Lines of what comes in pieces."""

    def test_pieces(self) -> None:
        """However it comes, lines are whole; the last one may have no end."""
        lines = Lines()
        self.assertEqual(lines.take(b"a"), [])
        self.assertEqual(lines.take(b"b\nc\n\nd"), [b"ab", b"c", b""])
        self.assertEqual((lines.last(), lines.last()), ([b"d"], []))

    def test_endless(self) -> None:
        """One that does not end is broken."""
        lines = Lines(4)
        self.assertEqual((lines.take(b"abcd"), lines.take(b"ef"), lines.last()), ([], [b"abcdef"], []))


class HandoverTests(SynchronousTestCase):
    """What a worker gets."""

    def setUp(self) -> None:
        settings = config.load(
            None,
            {},
            {
                "storage.uri": "redis://:s3cr3t@h/space?dbid=2",
                "signed_url.secret_key": "another s3cr3t",
                "bounds.uncounted_networks": ["10.0.0.0/8"],
            },
        )
        self.given = Handover(settings, 2, "/run/redis.sock", (4, 5), (6,), "twisted.internet.epollreactor")

    def unpacked(self, content: bytes) -> Handover:
        """What is read, in pieces of a few bytes, as a pipe may give them."""
        reading, writing = os.pipe()
        self.addCleanup(os.close, reading)
        with os.fdopen(writing, "wb") as file:
            file.write(content)
        read = partial(os.read, reading)
        given = unpack(lambda size: read(min(size, 7)))
        self.assertEqual(read(10), b"ask\n")
        return given

    def test_same(self) -> None:
        """The settings are the same, secrets too, and what comes behind is left."""
        got = self.unpacked(self.given.packed() + b"ask\n")
        self.assertEqual(got, self.given)
        self.assertEqual(got.settings.policy_path, self.given.settings.policy_path)
        assert got.settings.redis is not None
        self.assertEqual((got.settings.redis.password, got.settings.signing_keys), ("s3cr3t", ("another s3cr3t",)))

    def test_other_version(self) -> None:
        """A worker of another version than its keeper says so, and does not look at the rest."""
        error = self.assertRaises(OtherVersion, self.unpacked, b"9.9.9 5\nxxxxxask\n")
        self.assertIn("version 9.9.9 runs; the gateway has to be started again", str(error))

    def test_cut_short(self) -> None:
        """A keeper that ends meanwhile is noticed."""
        for size in (0, 3, 100):
            self.assertRaises(EOFError, self.unpacked, self.given.packed()[:size])
