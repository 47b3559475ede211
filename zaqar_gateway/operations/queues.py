"""Queues and topics: creating, reading, changing, listing, counting, emptying them."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

import msgspec
from attrs import define, field, frozen

from zaqar_gateway.errors import BadBody, NotFound, RuleBroken, StoreUnavailable
from zaqar_gateway.interfaces import IFlavorStore, IQueueStore, ISubscriptionStore
from zaqar_gateway.limits import Limits, check_queue, check_topic
from zaqar_gateway.locks import Locks
from zaqar_gateway.model import NO_RULES, Context, QueueEntry, QueueRules, QueueStats
from zaqar_gateway.operations import documents, fields, metadata, patch
from zaqar_gateway.operations.fields import given

PURGEABLE = ("messages", "subscriptions")

_SCAN_PAGE = 200
_INTEGER = re.compile("[+-]?[0-9]{1,19}")
_UPDATE_TRIES = 20
_WAY_MAX = 20
"""Queues that a dead letter may pass on its way, one after the other."""


class QueuePage(msgspec.Struct, frozen=True):
    """A page of queues.

    :ivar count: the number of queues of the project where it was asked for.
    """

    queues: list[QueueEntry]
    count: int | None = None


@frozen
class Kind:
    """What queues and topics differ in (API reference, "Topics").

    :ivar noun: what a client is told that it is.
    :ivar check_name: raises where a project cannot have one of that name.
    :ivar reserved: the reserved keys that each of them shows.
    :ivar claimable: whether messages can be claimed.
    """

    noun: str
    check_name: Callable[[str, str], None]
    reserved: Callable[[Limits], dict[str, Any]]
    claimable: bool


QUEUE = Kind("queue", check_queue, metadata.reserved, claimable=True)
TOPIC = Kind("topic", check_topic, metadata.reserved_of_topics, claimable=False)


def shown(kind: Kind, limits: Limits) -> Callable[[bytes | None], dict[str, Any]]:
    """Makes of stored metadata what HTTP shows: with every reserved key.  ``None`` is a queue that does not exist."""
    reserved = kind.reserved(limits)
    return lambda stored: metadata.shown(msgspec.json.decode(stored) if stored else {}, reserved)


@define
class Queues:
    """The operations on queues, or those on topics.

    :param flavors: ``None``: there are no pools, and what is said of flavors is not looked at.
    """

    _store: IQueueStore
    _subscriptions: ISubscriptionStore
    _limits: Limits
    _kind: Kind = QUEUE
    _flavors: IFlavorStore | None = None
    _reserved: dict[str, Any] = field(init=False)
    _changing: Locks = field(init=False, factory=Locks)

    def __attrs_post_init__(self) -> None:
        self._reserved = self._kind.reserved(self._limits)

    async def create(self, ctx: Context, asked: fields.QueueCreate) -> bool:
        """:return: whether the queue is new; one that exists keeps its metadata."""
        self._kind.check_name(ctx.project, asked.queue_name)
        if asked.metadata is msgspec.UNSET:
            return await self._store.create(ctx.project, asked.queue_name, b"{}", NO_RULES)
        text = bytes(asked.metadata)
        self._check_size(text)
        document = documents.load_object(text)
        rules = self._rules(asked.queue_name, document)
        await self._check_ring(ctx, asked.queue_name, rules)
        if self._flavors is not None:
            await self._check_flavor(ctx, document)
            rules = msgspec.structs.replace(rules, flavor=document.get("_flavor"))
        return await self._store.create(ctx.project, asked.queue_name, text, rules)

    async def get(self, ctx: Context, asked: fields.Queue) -> bytes | None:
        """:return: the metadata as stored, ``None`` where there is no such queue."""
        return await self._store.get(ctx.project, asked.queue_name)

    async def update(self, ctx: Context, asked: fields.QueueUpdate) -> bytes:
        """Apply changes to the metadata.

        :return: the metadata as they are stored now.
        :raises NotFound: there is no such queue.
        :raises Conflict: a key to be replaced or removed is absent.
        :raises StoreUnavailable: others kept changing the same metadata.
        """
        text = bytes(asked.changes)
        self._check_size(text)
        changes = patch.parse(documents.load(text))
        # One after the other, for of those who change the same at one time one succeeds; other processes are few.
        async with self._changing.held((ctx.project, asked.queue_name)):
            return await self._apply(ctx, asked, changes)

    async def _apply(self, ctx: Context, asked: fields.QueueUpdate, changes: list[patch.Change]) -> bytes:
        for _ in range(_UPDATE_TRIES):
            seen = await self._store.get(ctx.project, asked.queue_name)
            if seen is None:
                raise NotFound(f"The {self._kind.noun} {asked.queue_name} does not exist.")
            before = msgspec.json.decode(seen)
            result = patch.apply(changes, before, self._reserved)
            try:
                rules = self._rules(asked.queue_name, result)
                await self._check_ring(ctx, asked.queue_name, rules)
                if result.get("_flavor") != before.get("_flavor"):
                    await self._check_flavor(ctx, result)
                new = msgspec.json.encode(result)
                self._check_size(new)
            except RuleBroken as error:
                raise BadBody(str(error)) from None
            if await self._store.update(ctx.project, asked.queue_name, seen, new, rules):
                return new
        raise StoreUnavailable(f"The metadata of the {self._kind.noun} are changed by many at once.")

    def _rules(self, name: str, document: dict[str, Any]) -> QueueRules:
        return metadata.check(name, document, self._limits, dead_letters=self._kind.claimable)

    async def _check_flavor(self, ctx: Context, document: dict[str, Any]) -> None:
        """:raises RuleBroken: there are pools, and the flavor that a queue asks for does not exist."""
        flavor = document.get("_flavor")
        if self._flavors is None or flavor is None:
            return
        if not isinstance(flavor, str) or await self._flavors.get(ctx.project, flavor) is None:
            raise RuleBroken("_flavor names no flavor; it has to be the name of one that exists.")

    async def _check_ring(self, ctx: Context, name: str, rules: QueueRules) -> None:
        """:raises RuleBroken: the dead letters of a queue would come back to it."""
        way, target = [name], rules.dead_letter_queue
        while target is not None and target not in way[1:]:
            way.append(target)
            if target == name:
                raise RuleBroken(f"_dead_letter_queue makes a ring: {' to '.join(way)}; dead letters have to end somewhere.")
            if len(way) > _WAY_MAX:
                raise RuleBroken(f"_dead_letter_queue begins a way of more than {_WAY_MAX} queues; it has to be shorter.")
            stored = await self._store.get(ctx.project, target)
            target = metadata.dead_letter_queue(msgspec.json.decode(stored)) if stored else None

    def _check_size(self, text: bytes) -> None:
        if len(text) > self._limits.queue_metadata_max:
            raise RuleBroken(
                f"The metadata have {len(text)} bytes; at most {self._limits.queue_metadata_max} are allowed."
            )

    async def delete(self, ctx: Context, asked: fields.Queue) -> None:
        """Remove a queue and all in it; a missing one is no error."""
        await self._store.delete(ctx.project, asked.queue_name)

    async def list(self, ctx: Context, asked: fields.QueueList) -> QueuePage:
        """Queues by name, filtered by a part of the name and by metadata keys."""
        limit = self._limits.page(given(asked.limit), self._limits.queues_page_max)
        count = await self._store.count(ctx.project) if asked.with_count else None
        if not asked.name and not asked.filters:
            return QueuePage(await self._store.list(ctx.project, asked.marker, limit), count)
        found: list[QueueEntry] = []
        marker = asked.marker
        while len(found) < limit:
            page = await self._store.list(ctx.project, marker, _SCAN_PAGE)
            found += [entry for entry in page if asked.name in entry.name and _matches(entry, asked.filters)]
            if len(page) < _SCAN_PAGE:
                break
            marker = page[-1].name
        return QueuePage(found[:limit], count)

    async def stats(self, ctx: Context, asked: fields.Queue) -> QueueStats | None:
        """Counts and edges; ``None`` where there is no such queue."""
        return await self._store.stats(ctx.project, asked.queue_name)

    async def purge(self, ctx: Context, asked: fields.QueuePurge) -> None:
        """Remove all that the types name; the queue and its metadata stay.

        :raises RuleBroken: a type does not exist, and the transport is strict about it.
        """
        if asked.strict and asked.resource_types is not msgspec.UNSET:
            for kind in asked.resource_types:
                if kind not in PURGEABLE:
                    raise RuleBroken(f"resource_types: {kind!r} is not one of {', '.join(PURGEABLE)}.")
        kinds = PURGEABLE if asked.resource_types is msgspec.UNSET else asked.resource_types
        if "messages" in kinds:
            await self._store.purge(ctx.project, asked.queue_name)
        if "subscriptions" in kinds:
            await self._subscriptions.purge(ctx.project, asked.queue_name)


def _matches(entry: QueueEntry, filters: dict[str, str]) -> bool:
    if not filters:
        return True
    stored = msgspec.json.decode(entry.metadata)
    return all(_equal(_value(stored, key), wanted) for key, wanted in filters.items())


def _value(stored: dict[str, Any], key: str) -> Any:
    if key in stored:
        return stored[key]
    value: Any = stored
    for part in key.split("."):  # a dotted key addresses a nested value
        if not isinstance(value, dict) or part not in value:
            return None
        value = value[part]
    return value


def _equal(value: Any, wanted: str) -> bool:
    # A filter that reads as an integer means that number and not its text (API reference, "GET /v2/queues").
    if _INTEGER.fullmatch(wanted):
        return type(value) in (int, float) and value == int(wanted)  # 34.0 is that number, too; true is none
    return isinstance(value, str) and value == wanted
