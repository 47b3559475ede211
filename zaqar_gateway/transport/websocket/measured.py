"""The WebSocket transport where it is measured: in the place of the plain parts, which so have nothing of it."""

from __future__ import annotations

from typing import Any

from zaqar_gateway.meters import TransportMeter, now
from zaqar_gateway.transport.websocket.factory import GatewayFactory
from zaqar_gateway.transport.websocket.protocol import GatewayProtocol, Slot
from zaqar_gateway.transport.websocket.session import Request


class MeasuredProtocol(GatewayProtocol):
    """Notes what became of each frame that asks for something, and bytes.

    What is measured is called by its class: ``super()`` would take as long as what is noted.
    """

    __slots__ = ()

    factory: MeasuredFactory

    def dataReceived(self, data: bytes) -> None:
        self.factory.meter.received += len(data)
        GatewayProtocol.dataReceived(self, data)

    def _write(self, data: bytes, *more: bytes) -> None:
        self.factory.meter.sent += len(data) + sum(map(len, more)) if more else len(data)
        GatewayProtocol._write(self, data, *more)

    async def _serve(self, request: Request, slot: Slot) -> None:
        began = now()
        try:
            await GatewayProtocol._serve(self, request, slot)
        finally:
            meter = self.factory.meter
            operation, status, waits = request.outcome()
            (meter.of.get(operation) or meter.outcomes(operation)).note(status, None if waits else now() - began)


class MeasuredFactory(GatewayFactory):
    """Makes such protocols.

    :ivar meter: notes what they do.
    """

    protocol = MeasuredProtocol

    def __init__(self, meter: TransportMeter, *args: Any, **more: Any) -> None:
        super().__init__(*args, **more)
        self.meter = meter
