"""Subscriptions: who is told of what is posted to a queue or a topic.

How and when they are told is the business of :mod:`zaqar_gateway.push`; here it is decided what may be stored.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec
from attrs import define, field, frozen
from msgspec import UNSET, Raw, UnsetType
from twisted.internet.interfaces import IReactorTime
from twisted.logger import Logger

from zaqar_gateway import instants
from zaqar_gateway.clocks import time_of_day
from zaqar_gateway.errors import (
    Forbidden,
    GatewayError,
    IdentityUnavailable,
    NotFound,
    NothingToUpdate,
    NotSupported,
    RuleBroken,
    StoreUnavailable,
)
from zaqar_gateway.interfaces import IListener, INotifier, ISockets, ISubscriptionStore, ITrusts
from zaqar_gateway.limits import TTL_MIN_S, Limits, in_range
from zaqar_gateway.model import Begun, Context, NewSubscription, Place, Placed, Subscription
from zaqar_gateway.operations import documents, fields, metadata
from zaqar_gateway.operations.fields import given
from zaqar_gateway.operations.live import DURABLE_TTL_MAX_S, LiveSubscriptions, is_live, refuse_live
from zaqar_gateway.operations.queues import QUEUE, TOPIC, Kind

_log = Logger()

SUBSCRIBER_LENGTH_MAX = 2048
"""Characters of a subscriber; a longer URI is of no use to most servers."""

TRUST_ID = "trust_id"
TRUST_IS_OURS = "_trust_is_ours"
"""An option that says that the service made the trust, so that it has to end it.  Clients neither see nor set it."""

_TRUSTING = ("trust+http", "trust+https")
_CHANGEABLE = ("subscriber", "ttl", "options")
_EXAMPLE = "such as http://example.org/hook"
_NOT_NAMED = (
    "The subscription has a trust that another user has given, or that has ended; with other options subscriber has to be given, too, so"
    " that you let this service send it tokens of yours."
)


class Subscribed(msgspec.Struct, frozen=True):
    """What became of a request to subscribe.

    :ivar listens: whether it made the connection that asked a subscriber.
    :ivar begun: how a live subscription has begun, where it is one.
    """

    placed: Placed
    listens: bool = False
    begun: Begun | None = None


@frozen
class Notices:
    """What is expected of subscribers.

    :ivar required: whether only confirmed subscriptions are delivered to.
    :ivar signed: whether there is a secret, so that subscribers can be asked to confirm.
    """

    required: bool = False
    signed: bool = False

    def for_s(self, seconds: int) -> int | None:
        """For how many seconds a notice may be answered; ``None``: none is sent."""
        return seconds if self.required and self.signed else None


@define
class Subscriptions:
    """The operations on subscriptions of queues, or of topics.

    :param clock: no subscription lasts longer than the year 9999 of its calendar.
    :param notifiers: what delivers to subscribers, by their scheme in lower case.
    :param sockets: has the subscriptions of connections; ``None``: no connection can subscribe itself.
    :param trusts: ``None``: there is no identity service.
    :param live: makes live subscriptions; ``None``: there are none.
    """

    _store: ISubscriptionStore
    _limits: Limits
    _clock: IReactorTime
    _kind: Kind = QUEUE
    _notices: Notices = field(factory=Notices)
    _notifiers: Mapping[str, INotifier] = field(factory=dict)
    _sockets: ISockets | None = None
    _trusts: ITrusts | None = None
    _live: LiveSubscriptions | None = None

    async def create(self, ctx: Context, asked: fields.SubscriptionCreate) -> Subscribed:
        """Make a subscription, and the queue where it is missing.

        One that has the subscriber already stays as it is; it is asked again to confirm where it has not.

        :raises RuleBroken: a field breaks the rules (API reference, "Subscriptions").
        :raises Forbidden: a trust is needed that the caller cannot give, or one is named that is not the caller's.
        :raises IdentityUnavailable: a trust is needed and cannot be made, or looked at.
        """
        self._kind.check_name(ctx.project, asked.queue_name)
        if asked.listener is not None and asked.subscriber in (UNSET, ""):
            return await self._listen(ctx, asked, asked.listener)
        refuse_live(asked)
        if asked.subscriber is UNSET:
            raise RuleBroken(f"Missing parameter subscriber; it has to be a URI, {_EXAMPLE}.")
        scheme = self._check_subscriber(asked.subscriber)
        text, options = self._options(asked.options)
        ttl_s = self._ttl(asked.ttl)
        self._check_delivery(scheme, asked.subscriber, options)
        made = ""
        if scheme in _TRUSTING and options.get(TRUST_ID):
            await self._check_trust(ctx, options[TRUST_ID])
        elif scheme in _TRUSTING:
            made = await self._make_trust(ctx, ttl_s)
            text = _with_our_trust(options, made)
        notice_s = self._notices.for_s(ttl_s) if asked.confirmable else None
        try:
            placed = await self._store.create(
                ctx.project, asked.queue_name, NewSubscription(asked.subscriber, ttl_s, text, notice_s=notice_s)
            )
        except GatewayError as error:
            await self._revoke_unused(made, error)
            raise
        if not placed.is_new:
            await self._revoke(made)
        return Subscribed(placed)

    async def _listen(self, ctx: Context, asked: fields.SubscriptionCreate, listener: IListener) -> Subscribed:
        """Subscribe the connection that asks (API reference, "Subscriptions to this connection, pushes")."""
        if self._sockets is None:
            raise NotSupported("Connections cannot subscribe themselves here; subscriber has to be a URI.")
        text, _ = self._options(asked.options)
        ttl_s = self._ttl(asked.ttl, None if asked.durable is UNSET else DURABLE_TTL_MAX_S)
        live = await self._live.prepare(ctx, asked, ttl_s) if self._live is not None and is_live(asked) else None
        new = NewSubscription(
            listener.uri,
            ttl_s,
            text,
            owner=self._sockets.name,
            confirmed=self._notices.required,  # there is nobody who could confirm it
        )
        try:
            placed = await self._store.create(ctx.project, asked.queue_name, new)
        except StoreUnavailable as error:
            if error.outcome_unknown:
                # If it asked again it might be told that it is subscribed, and would get nothing.
                listener.fail("It is not known whether this connection is subscribed; connect and subscribe again.")
            raise
        if not placed.is_new:
            return Subscribed(placed)
        place = Place(ctx.project, asked.queue_name, is_topic=self._kind is TOPIC)
        if live is None:
            self._sockets.add(place, placed.id, placed.cursor, listener)
            return Subscribed(placed, listens=True)
        try:
            begun = await live(place, placed.id, listener)
        except GatewayError:
            self._sockets.hold(place, placed.id, listener, _nothing)()
            raise
        return Subscribed(placed, listens=True, begun=begun)

    async def list(self, ctx: Context, asked: fields.SubscriptionList) -> Sequence[Subscription]:
        """A page of subscriptions after a marker, in the order of their ids."""
        limit = self._limits.page(given(asked.limit), self._limits.subscriptions_page_max)
        page = await self._store.list(ctx.project, asked.queue_name, asked.marker, limit)
        return [_shown(one) for one in page]

    async def get(self, ctx: Context, asked: fields.Subscription) -> Subscription:
        """:raises NotFound: there is no such live subscription."""
        return _shown(await self._find(ctx, asked.queue_name, asked.subscription_id))

    async def _find(self, ctx: Context, queue: str, subscription_id: str) -> Subscription:
        found = await self._store.get(ctx.project, queue, subscription_id)
        if found is None:
            raise _missing()
        return found

    async def update(self, ctx: Context, asked: fields.SubscriptionUpdate) -> None:
        """Change subscriber, ttl or options: those that are given, and not as ``null``.

        :raises RuleBroken: a member breaks the rules; that comes before whether there is the subscription.
        :raises NothingToUpdate: none of the members is given.
        :raises NotFound: there is no such live subscription.
        :raises Forbidden: a trust is needed that the caller cannot give, or one is named that is not the caller's.
        :raises SubscriberTaken: another subscription has the subscriber.
        """
        changes = _changes(bytes(asked.document))
        if changes.subscriber is not None:
            self._check_subscriber(changes.subscriber)
        text, options = (None, None) if bytes(changes.options) == b"null" else self._options(changes.options)
        ttl_s = None if changes.ttl is None else self._ttl(changes.ttl)
        seen = await self._find(ctx, asked.queue_name, asked.subscription_id)
        subscriber = changes.subscriber or seen.subscriber
        is_moved = subscriber != seen.subscriber
        if seen.owner and is_moved:
            raise RuleBroken("subscriber cannot be changed: the subscription belongs to a connection.")
        known = msgspec.json.decode(seen.options)
        ours = known.get(TRUST_ID, "") if known.pop(TRUST_IS_OURS, False) else ""
        scheme, wanted = _scheme(subscriber), known if options is None else options
        if not seen.owner and (changes.subscriber is not None or options is not None):
            self._check_delivery(scheme, subscriber, wanted)
        is_ours = wanted.get(TRUST_ID) in (None, "", ours)
        if not is_ours and (options is not None or (is_moved and scheme in _TRUSTING)):
            # Whatever the scheme is, and the trust that there was: another request may be changing the subscriber.
            await self._check_trust(ctx, wanted[TRUST_ID])
            is_another = wanted[TRUST_ID] != known.get(TRUST_ID) and changes.subscriber is None
            if scheme in _TRUSTING and is_another and not await self._gave(ctx, known.get(TRUST_ID, "")):
                raise Forbidden(_NOT_NAMED)
        made = unused = ""
        if scheme in _TRUSTING and is_ours:
            # A trust is for the address and the options that its maker has chosen, and lasts as long as what it is for.
            held = known.get(TRUST_ID)
            is_new = not held or is_moved
            is_other = options is not None and {**options, TRUST_ID: ours} != known
            if not is_new and (is_other or (ttl_s is not None and ctx.token)):
                if await self._gave(ctx, held):
                    is_new = ttl_s is not None or not ours
                elif is_other and changes.subscriber is None:
                    raise Forbidden(_NOT_NAMED)
                else:  # nobody gives a trust for an address that they have not named
                    is_new = changes.subscriber is not None
            if is_new:
                made, unused = await self._make_trust(ctx, ttl_s or seen.ttl_s), ours
            text = _with_our_trust(wanted, made or ours)
        elif ours:
            unused = ours
            text = text or msgspec.json.encode({name: known[name] for name in known if name != TRUST_ID})
        try:
            found = await self._store.update(
                ctx.project,
                asked.queue_name,
                asked.subscription_id,
                # Options with a trust go with the address that they were judged for, should another request be changing that.
                subscriber=subscriber if text is not None and (made or wanted.get(TRUST_ID) or ours) else changes.subscriber,
                ttl_s=ttl_s,
                options=text,
                notice_s=self._notices.for_s(ttl_s or self._limits.subscription_ttl_default_s),
            )
        except GatewayError as error:
            await self._revoke_unused(made, error)
            raise
        await self._revoke(unused if found else made)
        if not found:
            raise _missing()

    async def confirm(self, ctx: Context, asked: fields.SubscriptionConfirm) -> None:
        """Set whether a subscription is confirmed.

        :raises RuleBroken: no boolean says whether it is; that comes before whether there is the subscription.
        :raises NotFound: there is no such live subscription.
        """
        if not isinstance(asked.confirmed, bool):
            raise RuleBroken("The 'confirmed' should be boolean.")
        if not await self._store.confirm(
            ctx.project,
            asked.queue_name,
            asked.subscription_id,
            asked.confirmed,
            required=self._notices.required,
            notice_s=self._notices.for_s(self._limits.subscription_ttl_default_s),
        ):
            raise _missing()

    async def delete(self, ctx: Context, asked: fields.SubscriptionDelete) -> None:
        """End a subscription, and the trust that was made for it; a missing one is no error."""
        ended = await self._store.delete(ctx.project, asked.queue_name, asked.subscription_id)
        if ended is not None:
            options = msgspec.json.decode(ended.options)
            if options.get(TRUST_IS_OURS):
                await self._revoke(options[TRUST_ID])
        if self._live is not None:
            await self._live.unsubscribed(ctx, asked)

    # -- what may be stored --------------------------------------------------------------------------------------------

    def _check_subscriber(self, subscriber: Any) -> str:
        """The scheme of a subscriber, which is one of those that are accepted."""
        if not isinstance(subscriber, str):
            raise RuleBroken(f"subscriber has to be a string, a URI {_EXAMPLE}, not {documents.name_of(subscriber)}.")
        if not subscriber:
            raise RuleBroken(f"subscriber is empty; it has to be a URI, {_EXAMPLE}.")
        if len(subscriber) > SUBSCRIBER_LENGTH_MAX:
            raise RuleBroken(
                f"subscriber has {len(subscriber)} characters; at most {SUBSCRIBER_LENGTH_MAX} are allowed."
            )
        scheme, types = _scheme(subscriber), self._limits.subscriber_types
        if scheme not in types:
            raise RuleBroken(f"The scheme of subscriber must be supported in the list {', '.join(types)}.")
        return scheme

    def _options(self, text: Raw | UnsetType) -> tuple[bytes, dict[str, Any]]:
        """Options as they are stored, and decoded."""
        if text is UNSET:
            return b"{}", {}
        options = documents.value_of(text)
        if not isinstance(options, dict):
            raise RuleBroken(f"options must be a dict, which is an object, not {documents.name_of(options)}.")
        if TRUST_IS_OURS in options:
            raise RuleBroken(f"options cannot have {TRUST_IS_OURS}; the service alone sets it.")
        if options.get("_retry_policy") is not None:
            metadata.check_retry_policy(options["_retry_policy"])
        size = len(memoryview(text))
        if size > self._limits.post_size_max:
            raise RuleBroken(f"options have {size} bytes; at most {self._limits.post_size_max} are allowed.")
        return bytes(text), options

    def _ttl(self, ttl: Any, most_s: int | None = None) -> int:
        if ttl is UNSET:
            return self._limits.subscription_ttl_default_s
        if type(ttl) is not int:
            raise RuleBroken(f"ttl must be an integer, of seconds, not {documents.name_of(ttl)}.")
        return in_range("ttl", ttl, TTL_MIN_S, most_s or instants.END_S - int(time_of_day(self._clock)), "seconds")

    def _check_delivery(self, scheme: str, subscriber: str, options: dict[str, Any]) -> None:
        notifier = self._notifiers.get(scheme)
        if notifier is not None:
            notifier.check(subscriber, options)

    # -- trusts (API reference, "Trust subscriptions") -----------------------------------------------------------------

    async def _make_trust(self, ctx: Context, ttl_s: int) -> str:
        if self._trusts is None:
            raise IdentityUnavailable(
                f"Without an identity service no trust can be made; options need the {TRUST_ID} of one."
            )
        return await self._trusts.create(ctx, ctx.token, ttl_s)

    async def _check_trust(self, ctx: Context, trust_id: Any) -> None:
        """A trust gives whoever has the subscriber's address tokens of its maker, so that nobody else may name it.

        :raises Forbidden: it is another's.
        """
        if self._trusts is not None and isinstance(trust_id, str):  # nothing else gives a token
            await self._trusts.check(ctx, ctx.token, trust_id)

    async def _gave(self, ctx: Context, trust_id: Any) -> bool:
        """Whether a trust is the caller's."""
        try:
            await self._check_trust(ctx, trust_id)
        except Forbidden:
            return False
        return True

    async def _revoke_unused(self, trust_id: str, error: GatewayError) -> None:
        """Revoke a trust after a failure, unless the subscription that it is for may have been stored."""
        if not (isinstance(error, StoreUnavailable) and error.outcome_unknown):
            await self._revoke(trust_id)

    async def _revoke(self, trust_id: str) -> None:
        """Revoke a trust, where there is one.  One that cannot be revoked ends when its subscription would have."""
        if trust_id and self._trusts is not None:
            try:
                await self._trusts.revoke(trust_id)
            except GatewayError as error:
                _log.warn("a trust was not revoked, and ends by itself: {why}", why=str(error))


def _nothing() -> None:
    """Nobody has to be told of the end of a subscription that was not served yet."""


class _Changes(msgspec.Struct):
    subscriber: Any = None
    ttl: Any = None
    options: Raw = Raw(b"null")


_decode_changes = msgspec.json.Decoder(_Changes).decode


def _changes(text: bytes) -> _Changes:
    document = documents.load(text)
    if not isinstance(document, dict):
        raise RuleBroken("Subscriptions must be a dict.")
    if not document:
        raise RuleBroken(f"The body is empty; it has to have one of {', '.join(_CHANGEABLE)}.")
    if all(document.get(name) is None for name in _CHANGEABLE):
        raise NothingToUpdate(f"The body has to have one of {', '.join(_CHANGEABLE)}, and not as null.")
    return _decode_changes(text)


def _scheme(subscriber: str) -> str:
    scheme, colon, _ = subscriber.partition(":")
    return scheme.lower() if colon else ""


def _with_our_trust(options: dict[str, Any], trust_id: str) -> bytes:
    return msgspec.json.encode({**options, TRUST_ID: trust_id, TRUST_IS_OURS: True})


def _shown(subscription: Subscription) -> Subscription:
    """A subscription as clients see it."""
    if TRUST_IS_OURS.encode() not in subscription.options:
        return subscription
    options = msgspec.json.decode(subscription.options)
    options.pop(TRUST_IS_OURS, None)
    return msgspec.structs.replace(subscription, options=msgspec.json.encode(options))


def _missing() -> NotFound:
    return NotFound("The subscription does not exist; it may have ended.")
