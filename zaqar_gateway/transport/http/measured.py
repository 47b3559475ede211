"""The HTTP transport where it is measured: in the place of the plain parts, which so have nothing of it.

Each request for an operation is noted once, where its reply is known, however its head was read; what is answered before that,
where it is refused.
"""

from __future__ import annotations

from collections.abc import Callable

from zaqar_gateway.meters import TransportMeter, now
from zaqar_gateway.model import Context
from zaqar_gateway.transport.http.answers import Reply
from zaqar_gateway.transport.http.channel import HttpChannel
from zaqar_gateway.transport.http.cors import Cors
from zaqar_gateway.transport.http.factory import HttpFactory
from zaqar_gateway.transport.http.request import Request
from zaqar_gateway.transport.http.resources import Outlet, Place, Planned


class MeasuredOutlet(Outlet):
    """Notes what is refused."""

    def __init__(self, cors: Cors | None, meter: TransportMeter) -> None:
        super().__init__(cors)
        self.meter = meter

    def preflight(self, request: Request) -> bool:
        was_one = super().preflight(request)
        if was_one:
            self.meter.refused.note(200)
        return was_one

    def refuse(self, request: Request, reply: Reply, name: bytes = b"") -> None:
        self.meter.refused.note(reply.status)
        self.send(request, reply, name)


class MeasuredPlace(Place):
    """Notes what became of operations.  Its outlet is a :class:`MeasuredOutlet`."""

    async def _answer(self, request: Request, plan: Planned, ctx: Context) -> int:
        began, status = now(), 500
        try:
            status = await Place._answer(self, request, plan, ctx)
        finally:
            meter: TransportMeter = self._outlet.meter  # type: ignore[attr-defined]  # it has one
            name = plan.endpoint.operation.name
            (meter.of.get(name) or meter.outcomes(name)).note(status, None if plan.waits else now() - began)
        return status


class MeasuredChannel(HttpChannel):
    """Notes bytes, and what is refused before the application sees it."""

    __slots__ = ("_meter",)

    def __init__(self, factory: HttpFactory, meter: TransportMeter) -> None:
        super().__init__(factory)
        self._meter = meter

    def dataReceived(self, data: bytes) -> None:
        self._meter.received += len(data)
        HttpChannel.dataReceived(self, data)

    def _write(self, data: bytes, *more: bytes) -> None:
        self._meter.sent += len(data) + sum(map(len, more)) if more else len(data)
        HttpChannel._write(self, data, *more)

    def _refuse(self, status: int, description: str, title: str = "", retry_after_s: int = 0, is_read: bool = True) -> bool:
        self._meter.refused.note(status)
        return super()._refuse(status, description, title, retry_after_s, is_read)


def channels(meter: TransportMeter) -> Callable[[HttpFactory], HttpChannel]:
    """What makes the channels of a factory (:class:`~.factory.HttpFactory`)."""
    return lambda factory: MeasuredChannel(factory, meter)
