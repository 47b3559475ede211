"""The stores of the pools, open in this process."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from contextlib import suppress
from typing import Any, TypeVar

from attrs import define, field
from twisted.internet.defer import Deferred, DeferredList, TimeoutError
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger
from zope.interface import implementer

from zaqar_gateway.errors import StoreError, StoreUnavailable
from zaqar_gateway.interfaces import IPoolDirectory, IPoolStore, IStorage, IStorageBackend
from zaqar_gateway.model import Pool

_log = Logger()

_T = TypeVar("_T")

CONFIGURED = ""
"""What stands for the configured store among the names of pools."""

FOLLOW_S = 1.0
"""How often it is looked at whether the pools have changed."""

CLOSE_AFTER_S = 10.0
"""How long what is under way in a store that is no longer of a pool may take to end."""


async def all_of(work: Sequence[Coroutine[Any, Any, _T]]) -> list[_T | StoreError]:
    """The results of several pieces of work at the same time; a failure of a store is one too.

    :raises Exception: any other failure, once all have ended.
    """
    found: list[_T | StoreError] = []
    results: Sequence[Any] = await DeferredList([Deferred.fromCoroutine(each) for each in work], consumeErrors=True)
    for ok, result in results:
        if not ok and not result.check(StoreError):
            result.raiseException()
        found.append(result if ok else result.value)
    return found


async def answers(work: Sequence[Coroutine[Any, Any, _T]]) -> list[_T]:
    """The same.

    :raises StoreError: the first of the failures of stores, once all have ended.
    """
    found = await all_of(work)
    for each in found:
        if isinstance(each, StoreError):
            raise each
    return found  # type: ignore[return-value]  # none of them is a failure


@define(eq=False)
class _Open:
    """The store of a pool.

    :ivar waiting: who waits for its start; ``None`` once that is over.
    """

    pool: Pool
    backend: IStorageBackend
    waiting: list[Deferred[None]] | None = field(factory=list)

    async def start(self) -> None:
        try:
            await self.backend.start()
        except OSError as error:
            _log.error("pool {name} cannot be used: {why}", name=self.pool.name, why=str(error))
        finally:
            waiting, self.waiting = self.waiting or [], None
            for one in waiting:
                one.callback(None)

    async def started(self) -> None:
        """Return when the start is over, well or not."""
        if self.waiting is not None:
            mine: Deferred[None] = Deferred()
            self.waiting.append(mine)
            await mine

    async def stop(self) -> None:
        await self.started()
        await self.backend.stop()


@implementer(IPoolDirectory)
class Directory:
    """Follows what is known of the pools, from start to stop.

    :param configured: the configured store, which has no pool.
    :param open_pool: makes a store from the URI of a pool; raises :exc:`ValueError` for one that it cannot use.
    :param check: see :class:`~zaqar_gateway.interfaces.IPoolDirectory`.
    """

    def __init__(
        self,
        pools: IPoolStore,
        configured: IStorage,
        open_pool: Callable[[str], IStorageBackend],
        check: Callable[[str], Awaitable[None]],
        clock: IReactorTime,
    ) -> None:
        self._pools = pools
        self._configured = configured
        self._open_pool = open_pool
        self._check = check
        self._clock = clock
        self._version = -1
        self._begun = self._done = 0  # refreshes, by their numbers
        self._names: frozenset[str] = frozenset()
        self._open: dict[str, _Open] = {}
        self._closing: dict[_Open, IDelayedCall] = {}
        self._opened: list[Callable[[str, IStorage], None]] = []

    def on_open(self, call: Callable[[str, IStorage], None]) -> None:
        """Have something called with each store that is opened from now on, and its pool; and with the configured one now."""
        self._opened.append(call)
        call(CONFIGURED, self._configured)

    async def check(self, uri: str) -> None:
        """See :class:`~zaqar_gateway.interfaces.IPoolDirectory`."""
        await self._check(uri)

    async def started(self) -> None:
        """Return when what is being opened has been, well or not."""
        for each in list(self._open.values()):
            await each.started()

    async def stop(self) -> None:
        """Close all."""
        closing, self._closing = self._closing, {}
        for call in closing.values():
            call.cancel()
        opened, self._open, self._version = list(self._open.values()), {}, -1
        await answers([each.stop() for each in (*opened, *closing)])

    async def follow(self) -> None:
        """Take in what has become of the pools, if anything has."""
        if await self._pools.version() != self._version:
            await self.refresh()

    async def refresh(self) -> None:
        """See :class:`~zaqar_gateway.interfaces.IPoolDirectory`."""
        self._begun += 1
        begun = self._begun
        # What is read before the pools is never of later than they are, so that no change is missed.
        version = await self._pools.version()
        pools = {pool.name: pool for pool in await self._pools.all()}
        if begun < self._done:
            return  # another one, begun later, was faster
        self._done, self._version, self._names = begun, version, frozenset(pools)
        for name, known in list(self._open.items()):
            if name not in pools or pools[name].uri != known.pool.uri:
                self._close(self._open.pop(name))
            else:
                known.pool = pools[name]
        for name, pool in pools.items():
            if name not in self._open:
                self._begin(pool)

    def _begin(self, pool: Pool) -> None:
        try:
            backend = self._open_pool(pool.uri)
        except ValueError as error:  # another version of the gateway may have known more
            _log.error("pool {name} cannot be used: {why}", name=pool.name, why=str(error))
            return
        opened = self._open[pool.name] = _Open(pool, backend)
        _log.info("pool {name} is {where}", name=pool.name, where=backend.where)
        Deferred.fromCoroutine(opened.start()).addErrback(lambda failure: _log.failure("a pool cannot be used", failure))
        for call in self._opened:
            call(pool.name, backend.storage)

    def _close(self, opened: _Open) -> None:
        def close() -> None:
            del self._closing[opened]
            Deferred.fromCoroutine(opened.stop()).addErrback(lambda failure: _log.failure("a pool was not closed", failure))

        self._closing[opened] = self._clock.callLater(CLOSE_AFTER_S, close)

    # -- what is open ------------------------------------------------------------------------------------------------

    def has(self, name: str) -> bool:
        """Whether there is a pool of that name, or none is meant, as far as this process has heard."""
        return name == CONFIGURED or name in self._names

    async def knows(self, name: str) -> bool:
        """The same; what it has not heard of it asks for."""
        if not self.has(name):
            await self.refresh()
        return self.has(name)

    def of_flavor(self, flavor: str | None) -> list[Pool]:
        """The pools of a flavor; ``None``: those without one."""
        return [each.pool for each in self._open.values() if each.pool.flavor == flavor]

    async def store(self, name: str) -> IStorage:
        """The store of a pool.

        :raises StoreUnavailable: there is no such pool, which may be since this process has not heard of it yet.
        """
        if name == CONFIGURED:
            return self._configured
        if name not in self._open:
            await self.refresh()
        found = self._open.get(name)
        if found is None:
            raise StoreUnavailable("The pool that the queue is in is not known here.")
        if found.waiting is not None:
            await found.started()
        return found.backend.storage

    async def stores(self) -> Mapping[str, IStorage]:
        """See :class:`~zaqar_gateway.interfaces.IPoolDirectory`."""
        with suppress(StoreError):
            await self.refresh()
        await self.started()
        return self._stores()

    def _stores(self) -> Mapping[str, IStorage]:
        return {name: self._open[name].backend.storage for name in sorted(self._open)}

    def backends(self) -> Mapping[str, IStorageBackend]:
        """The backends of all pools that are known here, by name."""
        return {name: self._open[name].backend for name in sorted(self._open)}

    def all(self) -> Mapping[str, IStorage]:
        """The stores of all pools that are known here, and the configured one first."""
        return {CONFIGURED: self._configured, **self._stores()}

    async def each(
        self, ask: Callable[[str, IStorage], Coroutine[Any, Any, _T]], *, within_s: float | None = None
    ) -> dict[str, _T]:
        """What all stores answer to something, in the order of :meth:`all`; those that do not are left out.

        :param ask: (name, store) to the answer.
        :param within_s: for how long a pool may keep the others waiting; it goes on by itself then.
        :raises StoreError: the configured one does not.
        """

        async def patiently(name: str, store: IStorage) -> _T:
            if within_s is None or name == CONFIGURED:
                return await ask(name, store)
            answer: Deferred[_T] = Deferred()
            Deferred.fromCoroutine(ask(name, store)).addCallbacks(answer.callback, answer.errback)
            try:
                return await answer.addTimeout(within_s, self._clock)
            except TimeoutError:
                raise StoreUnavailable("It takes too long.", outcome_unknown=True) from None

        stores = self.all()
        found: dict[str, _T] = {}
        results = await all_of([patiently(name, store) for name, store in stores.items()])
        for name, result in zip(stores, results, strict=True):
            if not isinstance(result, StoreError):
                found[name] = result
            elif name == CONFIGURED:
                raise result
            else:
                _log.debug("pool {name} is left out: {why}", name=name, why=str(result))
        return found
