"""What the operators of a gateway of several processes are told by its keeper."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from attrs import frozen
from prometheus_client import Metric
from twisted.internet.interfaces import IReactorTime

from zaqar_gateway.admin import together
from zaqar_gateway.admin.exposition import of_process
from zaqar_gateway.admin.health import running
from zaqar_gateway.admin.site import Health
from zaqar_gateway.clocks import time_of_day
from zaqar_gateway.storage.redis.embedded.service import EmbeddedRedis
from zaqar_gateway.workers.crew import Crew


@frozen
class CrewSource:
    """See :class:`~zaqar_gateway.admin.site.ISource`.

    :ivar redis: the embedded Redis, where there is one.
    :ivar listeners: where it is listened: URLs and paths, by what is served there.
    """

    _crew: Crew
    _clock: IReactorTime
    _redis: EmbeddedRedis | None
    _listeners: Mapping[str, list[str]]
    _started_s: float

    async def families(self) -> Iterable[Metric]:
        return together.families(await self._crew.metrics(), self._crew.starts, of_process())

    async def health(self) -> Health:
        reports = await self._crew.reports()
        return Health(together.why_not_ready(reports), together.document(reports, self._own()))

    async def why_not_ready(self) -> str:
        # One that hangs has nobody wait for it where another one serves.
        return together.why_not_ready(await self._crew.reports(lambda report: not report.why_not))

    def _own(self) -> dict[str, Any]:
        found = {"troubles": [], **running(self._started_s, time_of_day(self._clock), self._listeners)}
        if self._redis is not None:
            found["troubles"] = [f"the embedded Redis: {text}" for text in self._redis.troubles]
            found["embedded_redis"] = {"process": self._redis.pid}
        return found
