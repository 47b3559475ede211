"""Under whose name a socket waits: by a token or a signature, which end, and by one until another takes its place."""

from __future__ import annotations

from collections.abc import Callable

from attrs import define, field
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import deferLater
from zope.interface import implementer

from zaqar_gateway.interfaces import IAsker


@implementer(IAsker)
@define(eq=False)
class Access:
    """Somebody who asks on a connection.

    :param asker: the connection.
    :ivar until_s: when the token or the signature ends, in seconds since the epoch.
    """

    _asker: IAsker
    until_s: int | None
    _is_over: bool = field(default=False, init=False)
    _waiting: dict[object, Callable[[], None]] = field(factory=dict, init=False)  # what ends the waits
    _ending: Deferred[None] | None = field(default=None, init=False)

    @property
    def left(self) -> bool:
        """See :class:`~zaqar_gateway.interfaces.IAsker`."""
        return self._is_over or self._asker.left

    def when_left(self, call: Callable[[], None]) -> Callable[[], None]:
        """See :class:`~zaqar_gateway.interfaces.IAsker`."""
        key, stay = object(), self._asker.when_left(call)
        self._waiting[key] = call

        def back() -> None:
            del self._waiting[key]
            stay()
            if not self._waiting and self._ending is not None:
                self._ending.callback(None)

        return back

    async def end(self, clock: IReactorTime) -> None:
        """End the waits; return when all are answered, for one may be just about to find something."""
        self._is_over = True
        for end in list(self._waiting.values()):
            end()
        if self._waiting:
            self._ending = Deferred()
            await self._ending
            await deferLater(clock, 0)  # the last one is answered in this turn
