"""What a keeper says, at the worker's end."""

from __future__ import annotations

import os
from typing import Any

from twisted.internet import reactor
from twisted.internet.defer import Deferred
from twisted.internet.threads import blockingCallFromThread
from twisted.python.threadable import isInIOThread
from twisted.trial.unittest import TestCase

from zaqar_gateway.workers.link import Link

running: Any = reactor


class LinkTests(TestCase):
    """The pipe from a keeper."""

    def follow(self, said: bytes) -> tuple[list[str], Deferred[None]]:
        """What a worker does that is told this, and when it is told that its keeper is gone."""
        done: list[str] = []
        ended: Deferred[None] = Deferred()

        def note(what: str) -> None:
            done.append(f"{what} in the reactor's thread" if isInIOThread() else what)

        def end() -> None:
            note("end")
            blockingCallFromThread(running, lambda: ended.callback(None))

        reading, writing = os.pipe()
        Link(running, reading, end).start(lambda: note("alive"), *(lambda what=what: note(what) for what in ("hung up", "measure", "report")))
        os.write(writing, said)
        os.close(writing)
        return done, ended

    async def test_follows(self) -> None:
        """It does as it is told, in order, in the reactor's thread, and ends in its own, should that one hang."""
        done, ended = self.follow(b"ask\nhang up\nmeasure\nreport\nask\n")
        await ended
        told = [each for each in done if each != "end"]
        self.assertEqual(told, [f"{each} in the reactor's thread" for each in ("alive", "hung up", "measure", "report", "alive")])
        self.assertEqual(done.count("end"), 1)

    async def test_unknown(self) -> None:
        """What it does not know, and what was cut short, it leaves."""
        done, ended = self.follow(b"\nstand on your head\nas")
        await ended
        self.assertEqual(done, ["end"])
