"""Run all the cases and print what they found: ``python -m tests.conformance [messages] [group ...]``.

``messages`` is how many messages each of the cases sends that measure times (9.7, 9.8) or compression (12, 13), 1000 in
the suite as it comes.  The exit status is 1 where a verdict is another one than ``expected.py`` has.
"""

from __future__ import annotations

import sys
import time
from collections import Counter
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import react

from tests.conformance.convert import convert
from tests.conformance.expected import expected, is_timed
from tests.conformance.fuzzer import Verdict, load, run


async def main(reactor: Any, messages: int, groups: set[str]) -> None:
    """Run, print, and exit."""
    with TemporaryDirectory() as directory:
        cases = load(convert(Path(directory)))
        verdicts: list[Verdict] = []
        began = time.monotonic()
        for timed, at_once in ((False, 8), (True, 1)):
            chosen = [name for name in cases if _group(name) in (groups or {_group(name)}) and is_timed(name) is timed]
            verdicts += await run(reactor, cases, chosen, messages=messages, at_once=at_once)
    table: dict[str, Counter[str]] = {}
    for one in verdicts:
        table.setdefault(_group(one.id), Counter())[f"{one.behavior}/{one.closing}"] += 1
    for group in sorted(table, key=int):
        print(
            f"{group:>3} {sum(table[group].values()):>4}  "
            + ", ".join(f"{n} {what}" for what, n in table[group].items())
        )
    wrong = [one for one in verdicts if (one.behavior, one.closing) != expected(one.id)]
    print(f"{len(verdicts)} cases in {time.monotonic() - began:.0f} s, {len(wrong)} not as expected")
    for one in wrong:
        print(one)
    sys.exit(bool(wrong))


def _group(name: str) -> str:
    return name.partition(".")[0]


if __name__ == "__main__":
    given = sys.argv[1:]
    react(lambda reactor: Deferred.fromCoroutine(main(reactor, int(given[0]) if given else 1000, set(given[1:]))))
