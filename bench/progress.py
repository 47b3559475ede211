"""A progress bar on standard error, or plain lines where that is not a terminal."""

import sys
import time
from typing import TextIO

_WIDTH = 24


class Progress:
    """Counts measurements."""

    def __init__(self, total: int, out: TextIO | None = None) -> None:
        self._out = out if out is not None else sys.stderr
        self._live = self._out.isatty()
        self._total = max(1, total)
        self._done = 0
        self._started = time.monotonic()
        self._last = ""

    def begin(self, what: str) -> None:
        """This is being measured now."""
        if self._live:
            share = self._done / self._total
            bar = "#" * round(share * _WIDTH)
            left = ""
            if self._done:
                seconds = (time.monotonic() - self._started) * (1 / share - 1)
                left = f", {seconds // 60:.0f}:{seconds % 60:02.0f} left"
            self._out.write(f"\r\x1b[K[{bar:{_WIDTH}}] {self._done}/{self._total}{left}  {what}")
            self._out.flush()
        elif what != self._last:
            self.say(f"{self._done}/{self._total} {what}")
        self._last = what

    def step(self) -> None:
        """It has been measured."""
        self._done += 1

    def say(self, line: str) -> None:
        """A line that stays."""
        self._out.write(f"\r\x1b[K{line}\n" if self._live else f"{line}\n")
        self._out.flush()

    def end(self) -> None:
        """Nothing more comes."""
        if self._live:
            self._out.write("\r\x1b[K")
            self._out.flush()
