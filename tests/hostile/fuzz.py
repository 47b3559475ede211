"""Fuzzers by the million: ``python -m tests.hostile.fuzz [inputs] [seed]`` prints what came of them.

An input is a connection's worth of bytes.  A failure names the kind, the seed and the number of its input, and
``python -m tests.hostile.fuzz 1 SEED KIND NUMBER`` sends that input alone.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from functools import partial
from random import Random

from attrs import frozen

from tests.hostile.inputs import Inputs
from tests.hostile.target import Broken, Target, memory
from tests.transport.websocket.client import BINARY, TEXT, frame, handshake

BLOCK = 2000
"""Inputs to one store."""

PROGRESS = 20_000
"""Inputs from one line to the next that says how far it is."""


def _http_fields(target: Target, inputs: Inputs) -> None:
    target.by_http(inputs.http_request())


def _http_bytes(target: Target, inputs: Inputs) -> None:
    target.by_http(inputs.http_bytes())


def _json(target: Target, inputs: Inputs) -> None:
    target.by_websocket(handshake(), frame(inputs.json_document(), TEXT))


def _messagepack(target: Target, inputs: Inputs) -> None:
    target.by_websocket(handshake(), frame(inputs.packed_document(), BINARY))


def _frames(target: Target, inputs: Inputs) -> None:
    compressed = inputs.random.random() < 0.5
    target.by_websocket(inputs.opening(compressed=compressed), inputs.frames(compressed=compressed))


KINDS: dict[str, Callable[[Target, Inputs], None]] = {
    "http-fields": _http_fields,
    "http-bytes": _http_bytes,
    "websocket-json": _json,
    "websocket-messagepack": _messagepack,
    "websocket-frames": _frames,
}


def one(target: Target, kind: str, seed: int, number: int) -> None:
    """Make and send one input.

    :raises Broken: the gateway did what it must not; the text says how to do it again.
    """
    random = Random(f"{kind} {seed} {number}")
    target.random = random
    try:
        KINDS[kind](target, Inputs(random, target.operations))
    except Exception as error:
        raise Broken(f"python -m tests.hostile.fuzz 1 {seed} {kind} {number}: {error!r} {error}") from error


@frozen
class Outcome:
    """What came of many inputs.

    :ivar statuses: how often each was answered.
    :ivar memory: bytes in memory and open descriptors, after a tenth of the inputs and after all.
    """

    statuses: dict[str, int]
    memory: tuple[tuple[int, int], tuple[int, int]]


def run(count: int, seed: int, say: Callable[[str], None]) -> Outcome:
    """Send so many inputs of all kinds in turn.

    :param say: gets lines for people.
    :raises Broken: the gateway did what it must not.
    """
    target, began = Target(Random(seed)), time.monotonic()
    names = list(KINDS)
    before = (0, 0)
    try:
        for number in range(count):
            if number % BLOCK == 0:
                target.renew()
            if number == count // 10:
                before = memory()
            if number % PROGRESS == 0 and number:
                say(
                    f"{number} inputs in {time.monotonic() - began:.0f} s,"
                    f" {memory()[0] / 1e6:.1f} MB, {memory()[1]} descriptors"
                )
            one(target, names[number % len(names)], seed, number)
    finally:
        target.close()
    target.renew()
    after = memory()
    say(f"{count} inputs in {time.monotonic() - began:.0f} s, seed {seed}")
    say(f"resident {before[0] / 1e6:.1f} MB after a tenth of them, {after[0] / 1e6:.1f} MB after all")
    say(f"descriptors {before[1]} and {after[1]}")
    say(", ".join(f"{key}: {number}" for key, number in sorted(target.statuses.items())))
    return Outcome(target.statuses, (before, after))


if __name__ == "__main__":
    given = sys.argv[1:]
    if len(given) > 2:
        one(Target(Random(0)), given[2], int(given[1]), int(given[3]))
    else:
        run(int(given[0]) if given else 1_000_000, int(given[1]) if len(given) > 1 else 1, partial(print, flush=True))
