"""What the operators of one gateway are told, from its start to its end."""

from __future__ import annotations

from twisted.internet.interfaces import IReactorTime

from zaqar_gateway.admin.exposition import EXACT, expose
from zaqar_gateway.admin.lag import Lag
from zaqar_gateway.admin.observed import Observed, Phase
from zaqar_gateway.admin.source import GatewaySource
from zaqar_gateway.model import Report


class Administration:
    """Knows what there is to tell.

    :ivar source: of it, for a site.
    """

    def __init__(self, observed: Observed, clock: IReactorTime) -> None:
        self._observed = observed
        self._lag = Lag(clock, observed.meters.lag)
        self.source = GatewaySource(observed, clock)

    def start(self) -> None:
        """Begin to look."""
        self._lag.start()

    def serving(self) -> None:
        """The gateway serves from now on."""
        self._observed.phase = Phase.SERVING

    def stopping(self) -> None:
        """It is to be sent nothing more."""
        self._observed.phase = Phase.STOPPING

    def stop(self) -> None:
        """Look no more."""
        self._lag.stop()

    async def metrics(self) -> str:
        """All metrics, in the text format of OpenMetrics, for whoever tells them for this process."""
        _, metrics = expose(await self.source.families(), EXACT)
        return metrics.decode()

    async def report(self) -> Report:
        """How it stands, for the same; the store is asked, which may take as long as it has for an answer."""
        return Report(*await self.source.health())
