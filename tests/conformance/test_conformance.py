"""A part of Autobahn|Testsuite, in what time there is; ``tox -e conformance`` runs the whole."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from twisted.internet import reactor
from twisted.internet.threads import deferToThread
from twisted.trial.unittest import SkipTest, TestCase

from tests.conformance.convert import Unavailable, convert
from tests.conformance.expected import CASES, expected, is_timed
from tests.conformance.fuzzer import load, run

TIMED = [
    *("9.1.2", "9.2.2", "9.3.5", "9.4.5", "9.5.6", "9.6.6", "9.7.2", "9.8.4"),
    *("12.1.1", "12.2.8", "12.3.10", "12.4.11", "12.5.18"),
    *(f"13.{offer}.{size}" for offer in range(1, 8) for size in (3, 10, 11)),
]
"""Some of each group that takes long: each compression offer, with small messages, large ones, and fragments."""


class ConformanceTests(TestCase):
    """The cases judge our framing, UTF-8, closing and compression."""

    timeout = 120

    async def test_cases(self) -> None:
        """Every case finds what is expected of it: all is right, or is what the RFC leaves open."""
        directory = Path(self.mktemp())
        directory.mkdir()
        try:
            # In a thread: it is many seconds of work, and a reactor that stands still is no timeout's friend.
            cases = load(await deferToThread(convert, directory.resolve()))
        except Unavailable as reason:
            raise SkipTest(str(reason)) from None
        self.assertEqual(Counter(name.partition(".")[0] for name in cases), CASES)
        verdicts = await run(reactor, cases, [name for name in cases if not is_timed(name)], messages=10, at_once=8)
        verdicts += await run(reactor, cases, TIMED, messages=10, at_once=1)
        self.assertEqual([one for one in verdicts if (one.behavior, one.closing) != expected(one.id)], [])
