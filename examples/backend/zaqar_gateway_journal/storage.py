"""A store in memory that is made again from a journal of the calls that changed it.

What a call does to zaqar-gateway's memory store follows from its arguments, from the clock and from the ids that are
drawn. So those are what is journaled, before the call is made; and a call that is read from the journal is made in the
same way.
"""

from __future__ import annotations

import io
import pickle
import secrets
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import cache, partial
from hashlib import blake2b
from inspect import Parameter, signature
from typing import Any, cast, get_type_hints

import msgspec
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from zope.interface import directlyProvides, implementer, providedBy

import zaqar_gateway
from zaqar_gateway.errors import GatewayError, StoreUnavailable
from zaqar_gateway.interfaces import IRates, IStorage
from zaqar_gateway.model import LogBounds, Volume
from zaqar_gateway.storage.memory import MemoryStorage
from zaqar_gateway_journal.journal import Journal

_encode = msgspec.msgpack.Encoder(enc_hook=list).encode  # a view of a dictionary is a list, too

_QUEUES = ("create", "update", "delete", "purge")
_MESSAGES = ("post", "delete", "delete_many", "pop")
_SUBSCRIPTIONS = ("create", "update", "confirm", "delete", "purge")

CHANGES = {
    "queues": _QUEUES,
    "topics": _QUEUES,
    "messages": _MESSAGES,
    "topic_messages": _MESSAGES,
    "claims": ("create", "create_each", "update", "release"),
    "dead_letters": ("send_back", "adopt"),
    "subscriptions": _SUBSCRIPTIONS,
    "topic_subscriptions": _SUBSCRIPTIONS,
    "durables": ("attach", "advance", "acknowledge", "renew", "detach", "delete"),
    "deliveries": ("take", "report", "extend", "resend", "beat", "leave"),
    "doorbells": (),
}
"""The parts of a store, and the methods of each that change something.  All others are the memory's own."""


class _Head(msgspec.Struct, array_like=True):
    """The first record.

    :ivar version: of the zaqar-gateway that wrote it.
    :ivar state: a pickle of the store that the calls behind it are made to; empty: an empty one.
    """

    version: str
    state: bytes = b""


class _Call(msgspec.Struct, array_like=True):
    """Any other record: a call that changed something.

    :ivar at_s: the clock then; seconds since the epoch.
    :ivar seed: what the ids are made from that it drew.
    :ivar part: of the store, empty for the store itself.
    """

    at_s: float
    seed: bytes
    part: str
    method: str
    arguments: msgspec.Raw


@implementer(IReactorTime)
class Moment:
    """The clock and the ids of a store: those of the call that is being made, else the time of the reactor."""

    def __init__(self, reactor: IReactorTime) -> None:
        self._reactor = reactor
        self._at_s: float | None = None
        self._seed = b""
        self._drawn = 0

    @contextmanager
    def of(self, call: _Call) -> Iterator[None]:
        """Have the instant and the ids of a call."""
        self._at_s, self._seed, self._drawn = call.at_s, call.seed, 0
        try:
            yield
        finally:
            self._at_s = None

    def seconds(self) -> float:
        """Seconds since the epoch."""
        return self._reactor.seconds() if self._at_s is None else self._at_s

    def callLater(self, delay: float, callable: Callable[..., Any], *args: object, **kwargs: object) -> IDelayedCall:
        """That of the reactor."""
        return self._reactor.callLater(delay, callable, *args, **kwargs)

    def getDelayedCalls(self) -> Sequence[IDelayedCall]:
        """Those of the reactor."""
        return self._reactor.getDelayedCalls()

    def incarnation(self) -> str:
        """Ten hexadecimal digits."""
        return self._draw(5)

    def id(self) -> str:
        """24 hexadecimal digits that nobody can guess."""
        return self._draw(12)

    def _draw(self, size: int) -> str:
        self._drawn += 1
        return blake2b(self._drawn.to_bytes(4, "big"), key=self._seed, digest_size=size).hexdigest()


class _Part:
    """A part of the store: what changes something is journaled, everything else is asked of the memory."""

    def __init__(self, storage: JournalStorage, name: str) -> None:
        self._of_memory = lambda: storage.part(name)
        directlyProvides(self, providedBy(storage.part(name)))
        for method in CHANGES[name]:
            setattr(self, method, partial(storage.change, name, method))

    def __getattr__(self, method: str) -> Any:
        return getattr(self._of_memory(), method)


@implementer(IStorage)
class JournalStorage:
    """A store that survives its process.  It is empty, and cannot be changed, until it is opened.

    :param reactor: gives the time.
    :param bounds: how much is kept of what subscribers are owed.
    """

    def __init__(self, reactor: Any, bounds: LogBounds) -> None:
        self._moment = Moment(reactor)
        self._journal: Journal | None = None
        moment = self._moment
        self._memory = MemoryStorage(moment, moment.incarnation, moment.id, moment.id, bounds)
        self.queues: Any = _Part(self, "queues")
        self.messages: Any = _Part(self, "messages")
        self.claims: Any = _Part(self, "claims")
        self.dead_letters: Any = _Part(self, "dead_letters")
        self.topics: Any = _Part(self, "topics")
        self.topic_messages: Any = _Part(self, "topic_messages")
        self.subscriptions: Any = _Part(self, "subscriptions")
        self.topic_subscriptions: Any = _Part(self, "topic_subscriptions")
        self.deliveries: Any = _Part(self, "deliveries")
        self.durables: Any = _Part(self, "durables")
        self.doorbells: Any = _Part(self, "doorbells")

    @property
    def rates(self) -> IRates:
        """See :class:`~zaqar_gateway.interfaces.IStorage`; of the memory alone, for buckets fill up by themselves."""
        return self._memory.rates

    async def ping(self) -> None:
        if self._journal is None or self._journal.is_broken:
            raise StoreUnavailable("The journal of the store cannot be written.")

    async def secret(self, name: str, fresh: bytes) -> bytes:
        if fresh:
            return cast(bytes, await self.change("", "secret", name, fresh))
        return await self._memory.secret(name, fresh)

    async def volume(self) -> Volume:
        return await self._memory.volume()

    def sweep(self) -> None:
        """Free memory; call it now and then.  It changes nothing that can be seen, so it is not journaled."""
        self._memory.sweep()

    def part(self, name: str) -> Any:
        """A part of the memory; for an empty name all of it."""
        return getattr(self._memory, name) if name else self._memory

    async def change(self, part: str, method: str, *args: Any, **kwargs: Any) -> Any:
        """Make a call that changes something, once it is in the journal."""
        if self._journal is None:
            raise StoreUnavailable("The journal of the store is not open.")
        run = getattr(self.part(part), method)
        arguments = _arguments(run)(**signature(run).bind(*args, **kwargs).arguments)
        call = _Call(self._moment.seconds(), secrets.token_bytes(16), part, method, msgspec.Raw(_encode(arguments)))
        self._journal.append(_encode(call))
        with self._moment.of(call):
            return await run(*args, **kwargs)

    async def open(self, journal: Journal, compact_from: int) -> None:
        """Do again what the journal says, and journal from now on.

        :param compact_from: the size in bytes from which the journal is replaced by what it comes to.
        :raises OSError: the journal cannot be used.
        """
        records = journal.records()
        head = next(records, None)
        if head is None:
            journal.append(_encode(_Head(zaqar_gateway.__version__)))
        else:
            self._load(msgspec.msgpack.decode(head, type=_Head))
        for record in records:
            await self._repeat(msgspec.msgpack.decode(record, type=_Call))
        if journal.size >= compact_from:
            journal.replace(_encode(_Head(zaqar_gateway.__version__, self._dump())))
        self._journal = journal

    async def _repeat(self, call: _Call) -> None:
        run = getattr(self.part(call.part), call.method)
        arguments = msgspec.msgpack.decode(call.arguments, type=_arguments(run))
        with self._moment.of(call), suppress(GatewayError):  # what was refused then is refused now
            await run(**msgspec.structs.asdict(arguments))

    def _dump(self) -> bytes:
        """The memory as bytes.  In the place of the moment, which is of this process, there is a mark."""
        file = io.BytesIO()
        _Pickler(file, self._moment).dump(self._memory)
        return file.getvalue()

    def _load(self, head: _Head) -> None:
        if not head.state:
            return
        if head.version != zaqar_gateway.__version__:
            raise OSError(
                f"the journal was compacted by zaqar-gateway {head.version}; this is {zaqar_gateway.__version__}, which"
                " cannot read it"
            )
        self._memory = _Unpickler(io.BytesIO(head.state), self._moment).load()


class _Pickler(pickle.Pickler):
    """Puts a mark in the place of the moment."""

    def __init__(self, file: io.BytesIO, moment: Moment) -> None:
        super().__init__(file)
        self._moment = moment

    def persistent_id(self, item: Any) -> str | None:
        return "moment" if item is self._moment else None


class _Unpickler(pickle.Unpickler):
    """Puts the moment in the place of the mark."""

    def __init__(self, file: io.BytesIO, moment: Moment) -> None:
        super().__init__(file)
        self._moment = moment

    def persistent_load(self, mark: Any) -> Moment:
        return self._moment


@cache
def _arguments(run: Callable[..., Any]) -> type[msgspec.Struct]:
    """The arguments of a method as a type that is written, and read back, as its annotations say."""
    types = get_type_hints(run)
    fields = [
        (each.name, types[each.name])
        if each.default is Parameter.empty
        else (each.name, types[each.name], each.default)
        for each in signature(run).parameters.values()
    ]
    return msgspec.defstruct("Arguments", fields, kw_only=True)
