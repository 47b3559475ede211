"""Some thousands of inputs of all fuzzers; :mod:`tests.hostile.fuzz` sends them by the million."""

from __future__ import annotations

from random import Random

from twisted.trial.unittest import SynchronousTestCase

from tests.hostile.fuzz import KINDS, one, run
from tests.hostile.inputs import Inputs
from tests.hostile.target import Broken, Target
from tests.transport.websocket.client import TEXT, frame, handshake, text
from zaqar_gateway.operations.registry import Operation

INPUTS = 10_000
GROWTH_MAX = 64 * 1024 * 1024
"""Bytes of memory that a process may take more after the first tenth of the inputs: arenas and caches fill up."""


class FuzzTests(SynchronousTestCase):
    """Whatever is sent, the gateway answers it or closes, logs no failure, and keeps nothing of it."""

    def test_inputs(self) -> None:
        """No input of any kind makes it answer 5xx without a cause, log a failure, keep a connection or a timer."""
        said: list[str] = []
        outcome = run(INPUTS, 4, said.append)
        before, after = outcome.memory
        self.assertLess(after[0] - before[0], GROWTH_MAX, said)
        self.assertLessEqual(after[1], before[1], said)  # what tests before this one had open may be closed by now
        # They get past the first check often enough to be worth it.
        for status in (
            "HTTP 200",
            "HTTP 201",
            "HTTP 204",
            "HTTP 404",
            "frame 200",
            "frame 201",
            "frame 204",
            "close 1002",
        ):
            self.assertTrue(outcome.statuses.get(status), (status, said))

    def test_every_operation(self) -> None:
        """The fields of every operation are among the inputs."""
        target = Target(Random(0))
        target.close()
        inputs = Inputs(Random(1), target.operations)
        actions = {row.name for row in target.operations if row.frame is not None}
        asked = [inputs.document()["action"] for _ in range(1000)]
        self.assertEqual({name for name in asked if isinstance(name, str)} & actions, actions)

    def test_trouble_is_noticed(self) -> None:
        """An operation that fails unexpectedly is found out, by its status and by the log."""

        async def fail(*args: object) -> None:
            raise ZeroDivisionError

        target = Target(Random(0))
        self.addCleanup(target.close)
        target.renew(lambda row: Operation(row.name, "", row.fields, fail, row.http, row.frame))
        request = (
            b"GET /v2/ping HTTP/1.1\r\nHost: a\r\nX-Project-ID: p\r\n"
            b"Client-ID: 3381af92-2b9e-11e3-b191-71861300734c\r\n\r\n"
        )
        for send in (
            lambda: target.by_http(request),
            lambda: target.by_websocket(
                handshake(),
                frame(
                    text("queue_list"),
                    TEXT,
                ),
            ),
        ):
            self.assertRaises(Broken, send)
        self.flushLoggedErrors(ZeroDivisionError)

    def test_again(self) -> None:
        """An input is the same each time it is made, so that a failure can be looked at."""
        target = Target(Random(0))
        self.addCleanup(target.close)
        for kind in KINDS:
            one(target, kind, 1, 5)
            seen = dict(target.statuses)
            target.statuses.clear()
            target.renew()
            one(target, kind, 1, 5)
            self.assertEqual(target.statuses, seen, kind)
            target.statuses.clear()
