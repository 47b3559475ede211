"""What the admin listeners of one gateway tell."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import chain

from attrs import frozen
from prometheus_client import Metric
from twisted.internet.interfaces import IReactorTime

from zaqar_gateway.admin.exposition import of_process
from zaqar_gateway.admin.families import of_gateway
from zaqar_gateway.admin.health import document
from zaqar_gateway.admin.observed import Observed, Phase
from zaqar_gateway.admin.site import Health
from zaqar_gateway.clocks import time_of_day
from zaqar_gateway.errors import StoreError


@frozen
class GatewaySource:
    """See :class:`~zaqar_gateway.admin.site.ISource`."""

    _observed: Observed
    _clock: IReactorTime

    async def families(self) -> Iterable[Metric]:
        return chain(of_gateway(self._observed), of_process())

    async def health(self) -> Health:
        why_not = await self.why_not_ready()
        return Health(why_not, document(self._observed, time_of_day(self._clock), why_not))

    async def why_not_ready(self) -> str:
        """As ``/v2/ping`` judges it."""
        if self._observed.phase is not Phase.SERVING:
            return str(self._observed.phase.value)
        try:
            await self._observed.storage.ping()
        except StoreError as error:
            return f"the store does not answer: {error}"
        return ""
