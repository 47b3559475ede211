"""One attempt to deliver: the notifier of the scheme, what it sends, and a place among the attempts under way."""

from __future__ import annotations

import time
from collections.abc import Callable, Coroutine, Mapping
from functools import partial
from typing import Any
from urllib.parse import urlsplit

import idna
import msgspec
from attrs import define, field
from twisted.internet.defer import CancelledError, Deferred
from twisted.logger import Logger

from zaqar_gateway.errors import GatewayError
from zaqar_gateway.interfaces import INotifier
from zaqar_gateway.model import Delivery, Owed, Place, Post, Subscription, Verdict
from zaqar_gateway.push.circuits import Circuits
from zaqar_gateway.push.payload import Notices, notification
from zaqar_gateway.push.turns import Lane, Pace, Turns, at_once, its_turn

_log = Logger()

REMEMBERED = 100_000
"""Of how many subscribers it is remembered what became of the last attempt."""

MAIL = "mailto"
"""The scheme of what is not broken off: a server may have all of a mail and deliver it, and a second one with the next attempt."""

PATIENCE_S = 2.0
"""How long an attempt at a subscriber of a better lane takes until it makes room for others that wait."""


class MadeRoom(Exception):
    """An attempt was broken off because it took long and others waited for its place.

    It does not count as one; the next has a place among the poor, and all the time that the notifier gives it.
    """


def scheme_of(subscriber: str) -> str:
    """The scheme in lower case."""
    return subscriber.partition(":")[0].lower()


def host_of(subscriber: str) -> str:
    """The host and port of a subscriber, or the domain of an address; of what has neither, the scheme."""
    try:
        parts = urlsplit(subscriber)
        if parts.hostname:
            host = parts.hostname if parts.hostname.isascii() else idna.uts46_remap(parts.hostname)
            return f"{host}:{parts.port or (443 if parts.scheme.endswith('https') else 80)}"
        return parts.path.rpartition("@")[2] if "@" in parts.path else scheme_of(subscriber)
    except ValueError:  # brackets or a port that are none
        return scheme_of(subscriber)


def bounded_by(subscriber: str, host: str) -> str:
    """Of what so many attempts may be under way at one time: the host; or all mail, since one server takes it."""
    return MAIL if scheme_of(subscriber) == MAIL else host


def party_of(place: Place, subscriber: str) -> str:
    """Whose subscribers leave room to others: those of a project, and apart from them those that it mails to, who all wait for one server."""
    return f"{place.project}\0{MAIL}" if scheme_of(subscriber) == MAIL else place.project


def options_of(subscription: Subscription) -> dict[str, Any]:
    """The options of a subscription, decoded; none where they are no object."""
    try:
        return msgspec.json.decode(subscription.options, type=dict[str, Any])
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return {}


def _verdict(said: object) -> Verdict:
    """What a notifier says, which may be one of another package.

    :raises TypeError: it is no verdict.
    """
    if isinstance(said, Verdict) and isinstance(said.reason, str):
        return said
    raise TypeError(f"send has to give a Verdict, with a text for its reason, and gave {type(said).__name__}")


@define(eq=False)
class _Running:
    host: str
    bounded_by: str
    lane: Lane
    began: float
    is_over: bool = False


@define
class Attempts:
    """Makes attempts, as many at one time as there are places.

    :param notifiers: by scheme, in lower case.
    :param monotonic: seconds of a clock that nobody sets.
    :param pace: of their beginnings.
    """

    _notifiers: Mapping[str, INotifier]
    _notices: Notices
    _turns: Turns
    _circuits: Circuits
    _monotonic: Callable[[], float] = time.monotonic
    _pace: Pace = at_once
    _lanes: dict[str, Lane] = field(factory=dict, init=False)
    _slow: set[str] = field(factory=set, init=False)  # of the poor, those that took what they were sent last
    _running: dict[_Running, Deferred[Verdict]] = field(factory=dict, init=False)  # in the better lanes, oldest first

    def lane(self, owed: Owed) -> Lane:
        """What is known of the subscriber of what is owed."""
        return Lane.POOR if owed.attempts else self.known(owed.subscription.id)

    def known(self, subscription_id: str) -> Lane:
        """What became of the last attempt at a subscriber."""
        return self._lanes.get(subscription_id, Lane.NEW)

    async def make(
        self,
        place: Place,
        subscription: Subscription,
        post: Post,
        number: int,
        may_go: Callable[[], bool],
    ) -> Verdict | None:
        """Wait for a place and try once.

        :param number: of the attempt, from 1.
        :param may_go: asked at the last moment.
        :return: ``None`` where it was not to go any more.
        :raises MadeRoom: it was broken off for the sake of others.
        :raises HeldBack: it was not made, for the host keeps failing.
        """
        notifier = self._notifiers.get(scheme_of(subscription.subscriber))
        if notifier is None:
            return Verdict(False, reason=f"nothing delivers to {scheme_of(subscription.subscriber)}: subscribers")
        lane = Lane.POOR if number > 1 else self.known(subscription.id)
        host = host_of(subscription.subscriber)
        bound = bounded_by(subscription.subscriber, host)
        await self._turns.take(bound, lane, place.project)
        try:
            await its_turn(self._pace)
            if not may_go():
                return None
            attempt = _Running(host, bound, lane, self._monotonic())
            work = partial(self._send, notifier, place, subscription, post, number)
            is_failing = lane is Lane.POOR and (number > 1 or subscription.id not in self._slow)
            verdict = await self._try(place.project, attempt, work, is_failing)
        except MadeRoom:
            self._remember(subscription.id, Lane.POOR, works=lane is Lane.GOOD)
            raise
        finally:
            self._turns.give_back(bound, lane)
        is_poor = verdict.again or self._monotonic() >= attempt.began + PATIENCE_S
        self._remember(subscription.id, Lane.POOR if is_poor else Lane.GOOD, works=not verdict.again)
        return verdict

    def make_room(self) -> None:
        """Break off what takes long in lanes for those who are quick, while others wait for its place.

        It has to be called every second or so.
        """
        for attempt in list(self._running):
            if self._monotonic() < attempt.began + PATIENCE_S:
                break
            running = self._running.get(attempt)  # the end of one before may have ended it
            if running is not None and self._turns.is_awaited(attempt.bounded_by, attempt.lane):
                attempt.is_over = True
                running.cancel()

    async def _try(
        self,
        project: str,
        attempt: _Running,
        work: Callable[[], Coroutine[Deferred[Any], Any, Verdict]],
        is_failing: bool,
    ) -> Verdict:
        """Try; one that fails as far as the circuit of the host lets it through.  Tell the circuit what came of it."""
        finds_out = is_failing and self._circuits.enter(project, attempt.host)
        works, reason = None, ""
        try:
            verdict = await self._run(attempt, work())
            works, reason = not verdict.again, verdict.reason
        finally:
            self._circuits.leave(project, attempt.host, finds_out, works, reason)
        return verdict

    async def _run(self, attempt: _Running, work: Coroutine[Deferred[Any], Any, Verdict]) -> Verdict:
        if attempt.lane is Lane.POOR or attempt.bounded_by == MAIL:
            return await work
        self._running[attempt] = Deferred.fromCoroutine(work)
        try:
            verdict = await self._running[attempt]
        except CancelledError:
            if attempt.is_over:
                raise MadeRoom from None
            raise
        finally:
            del self._running[attempt]
        if attempt.is_over and not verdict.ok:  # a notifier may call a cancelled attempt a failed one
            raise MadeRoom
        return verdict

    async def _send(
        self, notifier: INotifier, place: Place, subscription: Subscription, post: Post, number: int
    ) -> Verdict:
        try:
            if post.notice:
                payload = self._notices.text(place, subscription.id, post)
            else:
                payload = notification(place, post)
        except GatewayError as error:
            return Verdict(False, reason=str(error))
        delivery = Delivery(
            f"{post.cursor}-{subscription.id}",
            place,
            subscription.subscriber,
            options_of(subscription),
            payload,
            number,
            post.notice,
        )
        try:
            return _verdict(await notifier.send(delivery))
        except CancelledError:
            raise
        except Exception as error:
            _log.failure("the notifier of {scheme}: subscribers failed", scheme=scheme_of(subscription.subscriber))
            return Verdict(False, True, f"the notifier failed: {type(error).__name__}")

    def _remember(self, subscription_id: str, lane: Lane, *, works: bool) -> None:
        self._forget(subscription_id)
        self._lanes[subscription_id] = lane
        if lane is Lane.POOR and works:
            self._slow.add(subscription_id)
        if len(self._lanes) > REMEMBERED:
            self._forget(next(iter(self._lanes)))

    def _forget(self, subscription_id: str) -> None:
        self._lanes.pop(subscription_id, None)
        self._slow.discard(subscription_id)
