"""What asks Keystone where that is measured: in the place of the plain parts, which so have nothing of it."""

from __future__ import annotations

from typing import Any

from attrs import define

from zaqar_gateway.clocks import time_of_day
from zaqar_gateway.errors import IdentityUnavailable
from zaqar_gateway.identity.keystone import Denied, Keystone
from zaqar_gateway.identity.tokens import Tokens
from zaqar_gateway.meters import IdentityMeter, now
from zaqar_gateway.model import Caller


@define(eq=False)
class MeasuredKeystone(Keystone):
    """Notes what came of its calls."""

    _meter: IdentityMeter

    async def call(self, *what: Any, **more: Any) -> Any:
        began, outcome, meter = now(), "answered", self._meter
        try:
            return await super().call(*what, **more)
        except Denied:
            outcome = "denied"
            raise
        except IdentityUnavailable:
            outcome = "unavailable"
            raise
        finally:
            meter.calls[outcome] += 1
            meter.is_away = outcome == "unavailable"
            if not meter.is_away:
                meter.answered_s = time_of_day(self._clock)
                meter.durations.note(now() - began)


class MeasuredTokens(Tokens):
    """Notes how many tokens are remembered."""

    def __init__(self, meter: IdentityMeter, *given: Any, **more: Any) -> None:
        super().__init__(*given, **more)
        self._meter = meter

    def _known(self, key: bytes) -> Caller | None:
        found = None
        try:
            found = super()._known(key)
        except Exception:
            self._meter.known += 1
            raise
        if found is not None:
            self._meter.known += 1
        return found

    async def _look_up(self, token: str, key: bytes, place: str) -> Caller:
        self._meter.looked_up += 1
        return await super()._look_up(token, key, place)
