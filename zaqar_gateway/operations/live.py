"""Live subscriptions and workers: what a connection may ask for, and how it says what it is done with.

How they are delivered to is the business of :mod:`zaqar_gateway.live`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Coroutine, Sequence
from functools import partial
from typing import Any

import msgspec
from attrs import define
from msgspec import UNSET

from zaqar_gateway.errors import REPEATED_MAX, NotFound, NotSupported, RuleBroken, repeated
from zaqar_gateway.interfaces import IDurableStore, IListener, ILive, ILiveSubscription, IMessageStore
from zaqar_gateway.limits import NAME_LENGTH_MAX, TTL_MIN_S, Limits, check_queue, in_range, valid_name
from zaqar_gateway.model import EARLIEST, LATEST, Begun, Context, Durable, LiveTerms, Place, WorkTerms
from zaqar_gateway.operations import documents, fields
from zaqar_gateway.operations.claims import Claims
from zaqar_gateway.operations.fields import given
from zaqar_gateway.operations.messages import Messages
from zaqar_gateway.operations.policy import Policy

WINDOW, WINDOW_MAX = 100, 1000
DEADLINE_S, DEADLINE_MAX_S = 30, 43_200
DELAY_MAX_S = 43_200
DURABLE_TTL_MAX_S = 14 * 86_400
IDS_MAX = 1000

FIELDS = ("start", "durable", "window", "acknowledge", "deadline", "echo", "claim")
"""What makes a subscription of a connection a live one, or a worker."""

ID_FORM = "[0-9a-f]{24}"
"""The regular expression of the id of a message, whole."""

_ID = re.compile(ID_FORM)

_NOT_OF_WORKERS = ("start", "durable", "acknowledge", "deadline", "echo")

Beginning = Callable[[Place, str, IListener], Coroutine[Any, Any, Begun]]
"""Begins to deliver: to a subscription of a place, by its id, of a listener."""


def is_live(asked: fields.SubscriptionCreate) -> bool:
    """Whether a live subscription or a worker is asked for."""
    return any(getattr(asked, name) is not UNSET for name in FIELDS)


def refuse_live(asked: fields.SubscriptionCreate) -> None:
    """:raises RuleBroken: a subscriber is not delivered to live."""
    for name in FIELDS:
        if getattr(asked, name) is not UNSET:
            raise RuleBroken(f"{name} goes with a subscription of a WebSocket to itself only, without subscriber.")


@define
class LiveSubscriptions:
    """The operations on the live subscriptions of queues.

    :param live: ``None``: there are none.
    :param policy: decides on the rules that depend on what a subscription is.
    """

    _live: ILive | None
    _messages: Messages
    _claims: Claims
    _limits: Limits
    _policy: Policy

    async def prepare(self, ctx: Context, asked: fields.SubscriptionCreate, ttl_s: int) -> Beginning:
        """Look at what is asked for; what may be wrong with it is found before anything is made.

        :raises RuleBroken: a field breaks the rules.
        :raises Forbidden: the policy says no.
        """
        service, messages = self._service(), self._messages.seen_by(ctx)
        if asked.claim is not UNSET:
            self._policy.require(ctx, "claims:create")
            work, claims = self._work_terms(asked), self._claims.seen_by(ctx)

            def begin_work(place: Place, subscription_id: str, listener: IListener) -> Coroutine[Any, Any, Begun]:
                return service.work(place, subscription_id, work, listener, messages, claims)

            return begin_work
        self._policy.require(ctx, "messages:get_all")
        terms = await self._live_terms(ctx, asked, ttl_s, messages)

        def begin(place: Place, subscription_id: str, listener: IListener) -> Coroutine[Any, Any, Begun]:
            return service.subscribe(place, subscription_id, terms, listener, messages)

        return begin

    def _service(self) -> ILive:
        if self._live is None:
            raise NotSupported("There are no live subscriptions here.")
        return self._live

    def _work_terms(self, asked: fields.SubscriptionCreate) -> WorkTerms:
        for name in _NOT_OF_WORKERS:
            if getattr(asked, name) is not UNSET:
                raise RuleBroken(f"{name} and claim exclude each other; leave one of them out.")
        claim = asked.claim
        if not isinstance(claim, dict):
            raise RuleBroken(f"claim has to be an object with ttl and grace, not {documents.name_of(claim)}.")
        for name in claim:
            if name not in ("ttl", "grace"):
                raise RuleBroken(f"claim has {repeated(name)!r}; it has to have ttl and grace only.")
        ttl_s = grace_s = None
        if "ttl" in claim:
            ttl_s = _whole("claim.ttl", claim["ttl"], TTL_MIN_S, self._limits.claim_ttl_max_s, "seconds")
        if "grace" in claim:
            grace_s = _whole("claim.grace", claim["grace"], TTL_MIN_S, self._limits.claim_grace_max_s, "seconds")
        return WorkTerms(self._limits.claim_ttl(ttl_s), self._limits.claim_grace(grace_s), _window(asked.window))

    async def _live_terms(
        self, ctx: Context, asked: fields.SubscriptionCreate, ttl_s: int, messages: IMessageStore
    ) -> LiveTerms:
        durable = asked.durable if asked.durable is not UNSET else ""
        if asked.durable is not UNSET:
            check_durable(durable)
            in_range("ttl", ttl_s, TTL_MIN_S, DURABLE_TTL_MAX_S, "seconds")
        acknowledge = ("explicit" if durable else "none") if asked.acknowledge is UNSET else asked.acknowledge
        if acknowledge not in ("none", "explicit"):
            raise RuleBroken(f"acknowledge has to be none or explicit, not {_shown(acknowledge)}.")
        window = _window(asked.window)
        deadline_s = DEADLINE_S
        if asked.deadline is not UNSET:
            deadline_s = _whole("deadline", asked.deadline, 1, DEADLINE_MAX_S, "seconds")
        if asked.echo is not UNSET and not isinstance(asked.echo, bool):
            raise RuleBroken(f"echo has to be true or false, not {_shown(asked.echo)}.")
        start = LATEST if asked.start is UNSET else asked.start
        return LiveTerms(
            await _marker(ctx, asked.queue_name, start, messages),
            ttl_s,
            durable,
            window if acknowledge == "explicit" else None,
            deadline_s,
            ctx.client if asked.echo is False else b"",
            start == EARLIEST,
        )

    # -- what a connection says of its own -----------------------------------------------------------------------------

    async def acknowledge(self, ctx: Context, asked: fields.LiveAcknowledge) -> int:
        """Say that messages are done.

        :return: how many of them were outstanding.
        :raises RuleBroken: neither or both ways to say which, or too many.
        :raises NotFound: the connection has no live subscription to the queue.
        :raises Conflict: somebody else has attached its durable name.
        """
        ids, up_to = given(asked.message_ids), given(asked.up_to)
        if (ids is None) == (up_to is None):
            raise RuleBroken("message_ids and up_to exclude each other, and one of them is needed.")
        if up_to is not None and _ID.fullmatch(up_to) is None:
            raise RuleBroken(f"up_to is {_shown(up_to)}; it has to be the id of a message that was sent to this connection.")
        live = self._find(ctx, asked.queue_name, asked.listener, "messages:delete")
        if up_to is not None:
            return await live.acknowledge(live.up_to(up_to))
        assert ids is not None
        _check_ids(ids)
        return await live.acknowledge(ids)

    async def refuse(self, ctx: Context, asked: fields.LiveRefuse) -> int:
        """Have messages come again; see :meth:`acknowledge`."""
        _check_ids(asked.message_ids)
        in_range("delay", asked.delay, 0, DELAY_MAX_S, "seconds")
        live = self._find(ctx, asked.queue_name, asked.listener, "claims:create")
        return await live.refuse(asked.message_ids, asked.delay)

    async def extend(self, ctx: Context, asked: fields.LiveExtend) -> int:
        """Give messages another deadline; see :meth:`acknowledge`."""
        _check_ids(asked.message_ids)
        in_range("deadline", asked.deadline, 1, DEADLINE_MAX_S, "seconds")
        live = self._find(ctx, asked.queue_name, asked.listener, "claims:create")
        return await live.extend(asked.message_ids, asked.deadline)

    async def resize(self, ctx: Context, asked: fields.LiveWindow) -> None:
        """Change the window; see :meth:`acknowledge`."""
        in_range("window", asked.window, 1, WINDOW_MAX)
        self._find(ctx, asked.queue_name, asked.listener, "claims:create").resize(asked.window)

    def _find(self, ctx: Context, queue: str, listener: Any, rule_of_workers: str) -> ILiveSubscription:
        live = self._service().find(Place(ctx.project, queue), listener)
        if live is None:
            check_queue(ctx.project, queue)
            raise NotFound("This connection has no live subscription to the queue; it may have ended.")
        self._policy.require(ctx, rule_of_workers if live.is_worker else "messages:get_all")
        return live

    # -- what else frees the window of a worker ------------------------------------------------------------------------

    async def delete(self, ctx: Context, asked: fields.MessageDelete) -> None:
        """See :meth:`~zaqar_gateway.operations.messages.Messages.delete`."""
        await self._messages.delete(ctx, asked)
        if asked.listener is not None and self._live is not None:
            self._live.deleted(Place(ctx.project, asked.queue_name), asked.listener, asked.message_id)

    async def delete_many(self, ctx: Context, asked: fields.MessageDeleteMany) -> Sequence[Any] | None:
        """See :meth:`~zaqar_gateway.operations.messages.Messages.delete_many`."""
        popped = await self._messages.delete_many(ctx, asked)
        if asked.listener is not None and self._live is not None:
            for message_id in given(asked.message_ids) or ():
                self._live.deleted(Place(ctx.project, asked.queue_name), asked.listener, message_id)
        return popped

    async def release(self, ctx: Context, asked: fields.ClaimDelete) -> None:
        """See :meth:`~zaqar_gateway.operations.claims.Claims.release`."""
        await self._claims.release(ctx, asked)
        if asked.listener is not None and self._live is not None:
            self._live.released(Place(ctx.project, asked.queue_name), asked.listener, asked.claim_id)

    # -- what else ends a subscription ---------------------------------------------------------------------------------

    async def unsubscribed(self, ctx: Context, asked: fields.SubscriptionDelete) -> None:
        """A subscription was deleted: one of the connection itself ends at once, since a new one may follow."""
        if asked.listener is not None and self._live is not None:
            await self._live.unsubscribed(Place(ctx.project, asked.queue_name), asked.listener, asked.subscription_id)


@define
class Durables:
    """The operations on durable names."""

    _store: IDurableStore

    async def list(self, ctx: Context, asked: fields.Queue) -> Sequence[Durable]:
        """All durable names of a queue, in order.

        :raises BadQueueName: no queue can have that name.
        """
        check_queue(ctx.project, asked.queue_name)
        return await self._store.list(ctx.project, asked.queue_name)

    async def delete(self, ctx: Context, asked: fields.Durable) -> None:
        """Forget a durable name; a missing one is no error.

        :raises BadQueueName: no queue can have that name.
        """
        check_queue(ctx.project, asked.queue_name)
        check_durable(asked.durable)
        await self._store.delete(ctx.project, asked.queue_name, asked.durable)


def check_durable(name: Any) -> None:
    """:raises RuleBroken: it is no name."""
    if not isinstance(name, str) or not valid_name(name):
        raise RuleBroken(
            f"durable is {_shown(name)}; it has to be a name of 1 to {NAME_LENGTH_MAX} characters, each a letter a-z or A-Z,"
            " a digit, '_', '-' or '.'."
        )


async def _marker(ctx: Context, queue: str, start: Any, messages: IMessageStore) -> str:
    """The id behind which a queue is read; where that is from its oldest message, one that sorts before all of its ids."""
    wrong = partial(
        RuleBroken, f"start is {_shown(start)}; it has to be {LATEST}, {EARLIEST} or the id of a message."
    )
    if not isinstance(start, str):
        raise wrong()
    try:
        page = await messages.read(ctx.project, queue, start, 1)
    except RuleBroken:
        raise wrong() from None
    if start == EARLIEST:
        return "0" * 14 + page.marker[14:]
    return page.marker if start == LATEST else start


def _window(value: Any) -> int:
    return WINDOW if value is UNSET else _whole("window", value, 1, WINDOW_MAX)


def _whole(name: str, value: Any, low: int, high: int, unit: str = "") -> int:
    if type(value) is not int:
        raise RuleBroken(f"{name} has to be an integer from {low} to {high}, not {_shown(value)}.")
    return in_range(name, value, low, high, unit)


def _check_ids(ids: Sequence[str]) -> None:
    if not 1 <= len(ids) <= IDS_MAX:
        raise RuleBroken(f"message_ids has {len(ids)} ids; it has to have 1 to {IDS_MAX}.")


def _shown(value: Any) -> str:
    """A value in a text for the client: a short one itself, else what it is."""
    text = msgspec.json.encode(value).decode()
    return text if len(text) <= REPEATED_MAX else documents.name_of(value)
