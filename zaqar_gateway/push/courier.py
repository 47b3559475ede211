"""Delivers what one subscriber is owed, under a lease: in order, one thing at a time."""

from __future__ import annotations

from collections.abc import Callable

from attrs import define, frozen
from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater
from twisted.logger import Logger

from zaqar_gateway.errors import StoreError, StoreUnavailable
from zaqar_gateway.interfaces import IDeliveryStore
from zaqar_gateway.model import GivenUp, Owed, Place, Post, Progress, Verdict
from zaqar_gateway.push.attempts import Attempts, MadeRoom, host_of, options_of, party_of
from zaqar_gateway.push.circuits import HeldBack
from zaqar_gateway.push.retry import RetryPolicy, policy_for
from zaqar_gateway.push.turns import Lane

_log = Logger()

LEASE_S = 10.0
LEASE_TRUSTED_S = 8.0
"""How long after asking for a lease its holder relies on it: less than it is, so that nobody else has begun by then."""

EXTEND_AFTER_S = 3.0
REPORT_AGAIN_S = 0.5

BATCH = 8
"""The most posts that are taken at one time for one subscriber."""

LEASE_MS = int(LEASE_S * 1000)

PUT_OFF_MS = 5000
"""For how long a subscriber waits that there is no room for because others like it fail."""


@define
class Counters:
    """What became of deliveries since this process began.

    :ivar retried: attempts that failed and are followed by another one.
    :ivar given_up: deliveries that are not tried again.
    :ivar held_back: how often one had to wait because its host keeps failing.
    :ivar gaps: how often a subscriber missed posts that the log kept no longer.
    """

    delivered: int = 0
    retried: int = 0
    given_up: int = 0
    held_back: int = 0
    gaps: int = 0


class LeaseLost(Exception):
    """Somebody else may deliver to the subscriber now, or there is nothing to deliver to any more."""


@frozen
class Desk:
    """What all couriers share.

    :ivar clock: for waits.
    :ivar monotonic: seconds of a clock that nobody sets.
    :ivar required: whether only confirmed subscriptions are delivered to.
    """

    store: IDeliveryStore
    attempts: Attempts
    counters: Counters
    clock: IReactorTime
    monotonic: Callable[[], float]
    required: bool


class Courier:
    """The holder of one lease.

    :param owed: what was taken.
    :param asked_at: when the lease was asked for, by the monotonic clock.
    :param lane: what is known of the subscriber.
    :param move: called when that has changed: has to set :attr:`lane`, and to tell whether there is room for one such.
    :ivar party: among whom the room is shared.
    """

    def __init__(
        self, desk: Desk, owed: Owed, asked_at: float, lane: Lane, move: Callable[[Courier, Lane], bool]
    ) -> None:
        self._desk = desk
        self._owed = owed
        self._subscription = owed.subscription
        self._move = move
        self.party = party_of(owed.place, owed.subscription.subscriber)
        self.lane = lane
        self.asked_at = asked_at
        self._done = ""  # up to where all is done and not reported yet
        self._given_up: list[GivenUp] = []
        self._tries = owed.attempts  # of what comes next
        self._reporting: Deferred[None] | None = None
        self._attempt: Deferred[Verdict | None] | None = None
        self._is_sending = self._is_finishing = self._is_stopping = self._is_cancelled = self._is_lost = False

    @property
    def place(self) -> Place:
        """Where it is owed."""
        return self._owed.place

    @property
    def lease(self) -> tuple[str, int]:
        """Subscription id and token."""
        return self._subscription.id, self._owed.token

    def extended(self, asked_at: float) -> None:
        """The lease was extended by a call made at this instant of the monotonic clock."""
        self.asked_at = max(self.asked_at, asked_at)

    def lose(self) -> None:
        """Send nothing more, and cancel what is under way: the lease is lost."""
        self._is_lost = True
        if self._attempt is not None:
            self._attempt.cancel()

    def stop(self, *, at_once: bool = False) -> None:
        """Send nothing more, report and end the lease.

        :param at_once: cancel what is under way.
        """
        self._is_stopping = True
        if self._attempt is not None and (at_once or not self._is_sending):
            self._is_cancelled = True
            self._attempt.cancel()

    async def run(self) -> None:
        """Deliver until nothing is owed, it waits, or it has to stop.

        :raises LeaseLost: it ended without a last report.
        :raises StoreError: the last report failed; the lease lapses by itself.
        """
        try:
            while await self._deliver():
                pass
        finally:
            if self._reporting is not None:
                await self._reporting

    async def _deliver(self) -> bool:
        """Deliver what is in hand; tell whether there is more."""
        owed = self._owed
        if owed.gap:
            self._desk.counters.gaps += 1
            _log.warn("subscription {subscription} of {place} missed posts that are kept no longer", **self._names())
        for post in owed.posts:
            wait_ms = await self._hand_over(post)
            if wait_ms is not None:
                return await self._finish(wait_ms)
            if post is not owed.posts[-1] and (self._reporting is None or self._reporting.called):
                self._reporting = Deferred.fromCoroutine(self._report())
        return await self._finish(None)

    async def _hand_over(self, post: Post) -> int | None:
        """Try until the post is delivered or given up.

        :return: ``None``: that is so; else after how many milliseconds it is to be tried again.
        """
        while True:
            try:
                verdict = await self._try(post)
            except MadeRoom:
                return PUT_OFF_MS
            except HeldBack as error:
                self._desk.counters.held_back += 1
                return int(error.wait_s * 1000)
            if verdict is None:
                return 0
            has_room = self._has_room()
            if verdict.ok:
                self._desk.counters.delivered += 1
                break
            self._tries += 1
            delay_s = self._policy().delay_s(self._tries) if verdict.again else None
            if delay_s is None:
                self._give_up(post, verdict.reason)
                break
            self._desk.counters.retried += 1
            if delay_s or not has_room:
                return delay_s * 1000 or PUT_OFF_MS
        self._done, self._tries = post.cursor, 0
        return None

    async def _try(self, post: Post) -> Verdict | None:
        """Try once; ``None`` where it has to stop.

        :raises LeaseLost: before, or meanwhile.
        """
        self._check()
        if self._is_stopping:
            return None
        self._attempt = Deferred.fromCoroutine(
            self._desk.attempts.make(self.place, self._subscription, post, self._tries + 1, self._may_go)
        )
        try:
            verdict = await self._attempt
        except CancelledError:
            verdict = Verdict(False, True, "the attempt was cancelled")
        finally:
            self._attempt, self._is_sending = None, False
        if verdict is None or self._is_lost:
            self._check()
        return None if verdict is None or (self._is_cancelled and not verdict.ok) else verdict

    def _may_go(self) -> bool:
        self._is_sending = not (self._is_lost or self._is_stopping) and self.is_trusted()
        return self._is_sending

    def is_trusted(self) -> bool:
        """Whether nobody else can have a lease on the same yet."""
        return self._desk.monotonic() < self.asked_at + LEASE_TRUSTED_S

    def _check(self) -> None:
        if self._is_lost or not self.is_trusted():
            raise LeaseLost

    def _has_room(self) -> bool:
        """Whether there is room for a courier of what is known of the subscriber now."""
        lane = self._desk.attempts.known(self._subscription.id)
        return lane is self.lane or self._move(self, lane)

    def _policy(self) -> RetryPolicy:
        return policy_for(options_of(self._subscription).get("_retry_policy"), self._owed.retry_policy)

    def _give_up(self, post: Post, reason: str) -> None:
        self._given_up.append(GivenUp(post.cursor, self._tries, reason))
        self._desk.counters.given_up += 1
        _log.warn(
            "a delivery to {host}, {subscription} of {place}, is given up after {attempts} attempts: {reason}",
            **self._names(),
            host=host_of(self._subscription.subscriber),  # path and query may hold secrets
            attempts=self._tries,
            reason=reason,
        )

    def _names(self) -> dict[str, object]:
        kind = "topic" if self.place.is_topic else "queue"
        return {
            "subscription": self._subscription.id,
            "place": f"{kind} {self.place.name} of project {self.place.project}",
        }

    async def _report(self) -> None:
        """Report beside the deliveries, as long as there is something new; what is left :meth:`_finish` reports."""
        try:
            while self._done and not self._is_finishing and not self._is_lost:
                # What comes after it is in hand, so the answer matters only for the lease and for the subscription.
                owed = await self._send_report(None, batch=1)
                if owed is None:
                    self.lose()
                else:
                    self._subscription = owed.subscription
        except StoreError as error:
            _log.debug("progress is reported later: {why}", why=str(error))

    async def _finish(self, wait_ms: int | None) -> bool:
        """Report all that is done; tell whether there is more, which is then in hand."""
        self._is_finishing = True
        if self._reporting is not None:
            await self._reporting
        self._is_finishing = False
        owed = await self._send_last_report(wait_ms)
        if owed is None:
            return False
        self._owed, self._subscription, self._tries = owed, owed.subscription, owed.attempts
        return True

    async def _send_last_report(self, wait_ms: int | None) -> Owed | None:
        """Report until the store has heard it, or the lease cannot be relied on: what is not noted comes again."""
        while True:
            self._check()
            try:
                return await self._send_report(wait_ms, batch=BATCH)
            except StoreUnavailable:
                if self._is_stopping:
                    raise
            await deferLater(self._desk.clock, REPORT_AGAIN_S)

    async def _send_report(self, wait_ms: int | None, batch: int) -> Owed | None:
        asked_at = self._desk.monotonic()
        subscription_id, token = self.lease
        done, given_up = self._done, self._given_up
        progress = Progress(subscription_id, token, done, tuple(given_up), self._tries, wait_ms)
        self._done, self._given_up = "", []
        try:
            owed = await self._desk.store.report(
                self.place, progress, batch=batch, lease_ms=LEASE_MS, required=self._desk.required
            )
        except StoreError:
            # It may have been noted: to say it again does no harm then.
            self._done, self._given_up = self._done or done, given_up + self._given_up
            raise
        if owed is not None:
            self.extended(asked_at)
        return owed
