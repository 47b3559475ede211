"""How many sockets of this process work for each project."""

from __future__ import annotations

from collections import Counter

from attrs import define, field

from zaqar_gateway.operations.refusals import Refusals


@define(eq=False)
class Projects:
    """Each socket is counted for the project that its latest request was for.

    :param sockets_max: the most sockets of a project; 0: any number.
    """

    sockets_max: int
    _refusals: Refusals
    _counts: Counter[str] = field(init=False, factory=Counter)

    def move(self, before: str | None, project: str) -> bool:
        """Count a socket for a project, and no longer for the one before.

        :return: whether there was room; if not nothing has changed.
        """
        if 0 < self.sockets_max <= self._counts[project]:
            self._refusals.note("websocket.max_sockets_per_project", project)
            return False
        if before is not None:
            self.leave(before)
        self._counts[project] += 1
        return True

    def leave(self, project: str) -> None:
        """A socket is lost."""
        self._counts[project] -= 1
        if not self._counts[project]:
            del self._counts[project]
