"""What was refused because a bound was reached: counted, and logged for whoever looks for it."""

from __future__ import annotations

from collections import Counter

from twisted.logger import Logger

_log = Logger()


class Refusals:
    """The refusals of one process.

    The log has each at debug alone, so that those who are refused do not fill it, and their numbers once in a while.

    :ivar counts: how many there were of each bound, by its setting.
    """

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self._told: Counter[str] = Counter()

    def note(self, bound: str, whom: str) -> None:
        """Count one.

        :param bound: the setting that was reached.
        :param whom: a project or an address, for the log.
        """
        self.counts[bound] += 1
        _log.debug("{whom} is refused by {bound}", whom=whom, bound=bound)

    def tell(self) -> None:
        """Log how many there were since the last call, if there were any."""
        news = self.counts - self._told
        self._told = self.counts.copy()
        if news:
            shown = ", ".join(f"{count} by {bound}" for bound, count in news.most_common())
            _log.info("refused since this was said last: {shown}", shown=shown, refused=dict(news))
