"""Run twistd and write down where its time goes, from SIGUSR1 to SIGUSR2.  It is started by path, since the checkout may be
any.

Arguments: the file to write, then those of twistd.  The file has a line for each stack: frames from the outermost in,
joined by semicolons, then a blank and how often the stack was seen.  A frame is ``module:function``.

A signal comes each half millisecond of real time; timers of CPU time are no finer than the kernel's tick, which is 4 or 10
ms.  What waits for events is left out.  Python handles a signal between two steps of its own, so time within a call into C
counts for whoever made the call.
"""

from __future__ import annotations

import signal
import sys
from collections import Counter
from pathlib import Path
from types import FrameType

_EVERY_S = 0.0005
_WAITS = frozenset(
    ("twisted.internet.epollreactor:EPollReactor.doPoll", "zaqar_gateway.direct:poll_directly.<locals>.do_iteration")
)


def _name(frame: FrameType) -> str:
    return f"{frame.f_globals.get('__name__', '?')}:{frame.f_code.co_qualname}"


def main(output: str, arguments: list[str]) -> None:
    """Run twistd with the arguments."""
    stacks: Counter[tuple[str, ...]] = Counter()

    def look(_number: int, frame: FrameType | None) -> None:
        names = []
        while frame is not None:
            names.append(_name(frame))
            frame = frame.f_back
        if names[0] not in _WAITS:
            stacks[tuple(reversed(names))] += 1

    def begin(_number: int, _frame: FrameType | None) -> None:
        stacks.clear()
        signal.setitimer(signal.ITIMER_REAL, _EVERY_S, _EVERY_S)

    def end(_number: int, _frame: FrameType | None) -> None:
        signal.setitimer(signal.ITIMER_REAL, 0)
        lines = (f"{';'.join(names)} {count}\n" for names, count in stacks.items())
        Path(output).write_text("".join(lines))

    signal.signal(signal.SIGALRM, look)
    signal.signal(signal.SIGUSR1, begin)
    signal.signal(signal.SIGUSR2, end)
    sys.argv = ["twistd", *arguments]
    from twisted.scripts.twistd import run

    run()


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2:])
