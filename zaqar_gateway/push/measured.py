"""Attempts to deliver where they are measured: in the place of the plain ones, which so have nothing of it."""

from __future__ import annotations

from collections.abc import Callable

from attrs import define, field

from zaqar_gateway.meters import DeliveryMeter
from zaqar_gateway.model import Place, Post, Subscription, Verdict
from zaqar_gateway.push.attempts import Attempts, MadeRoom, scheme_of
from zaqar_gateway.push.circuits import HeldBack

OTHER = "other"
"""The scheme of subscribers that nothing delivers to; clients may have named any."""


def _outcome(verdict: Verdict | None) -> str:
    if verdict is None:
        return "not_wanted"
    if verdict.ok:
        return "delivered"
    return "failed" if verdict.again else "refused"


@define
class MeasuredAttempts(Attempts):
    """Notes what became of them.

    :param time_of_day: seconds since the epoch, as posts are dated.
    """

    _meter: DeliveryMeter = field(kw_only=True)
    _time_of_day: Callable[[], float] = field(kw_only=True)

    async def make(
        self, place: Place, subscription: Subscription, post: Post, number: int, may_go: Callable[[], bool]
    ) -> Verdict | None:
        outcome = ""
        try:
            verdict = await super().make(place, subscription, post, number, may_go)
            outcome = _outcome(verdict)
        except HeldBack:
            outcome = "held_back"
            raise
        except MadeRoom:
            outcome = "made_room"
            raise
        finally:
            if outcome:  # else it was cancelled, with the process or its lease
                self._note(scheme_of(subscription.subscriber), outcome, post)
        return verdict

    def _note(self, scheme: str, outcome: str, post: Post) -> None:
        self._meter.attempts[scheme if scheme in self._notifiers else OTHER, outcome] += 1
        if outcome == "delivered":
            # A cursor is the instant of the post, in microseconds.
            self._meter.lateness.note(max(0.0, self._time_of_day() - int(post.cursor, 16) / 1e6))
