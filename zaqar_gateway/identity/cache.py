"""What is remembered of calls, bounded in number and in age, and calls that are shared."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Coroutine
from typing import Any, Generic, TypeVar

from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IReactorTime
from twisted.python.failure import Failure

Key = TypeVar("Key")
Value = TypeVar("Value")


class Remembered(Generic[Key, Value]):
    """Values until they end; where there is no room, what was not asked for longest goes.

    :param size_max: how many there may be.
    """

    def __init__(self, clock: IReactorTime, size_max: int) -> None:
        self._seconds = clock.seconds
        self._size_max = size_max
        self._values: OrderedDict[Key, tuple[Value, float]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._values)

    def get(self, key: Key) -> Value | None:
        """The value, ``None`` where there is none any more."""
        found = self._values.get(key)
        if found is None:
            return None
        if found[1] <= self._seconds():
            del self._values[key]
            return None
        self._values.move_to_end(key)
        return found[0]

    def put(self, key: Key, value: Value, lasts_s: float) -> None:
        """Keep a value for so many seconds from now on."""
        self._values[key] = value, self._seconds() + lasts_s
        self._values.move_to_end(key)
        if len(self._values) > self._size_max:
            self._values.popitem(last=False)

    def drop(self, key: Key) -> None:
        """Forget a value, where there is one."""
        self._values.pop(key, None)


class Shared(Generic[Key, Value]):
    """Calls for one key that are wanted at the same time are one call."""

    def __init__(self) -> None:
        self._waiting: dict[Key, list[Deferred[Value]]] = {}

    def __len__(self) -> int:
        """How many calls are under way."""
        return len(self._waiting)

    def get(self, key: Key, call: Callable[[], Coroutine[Deferred[Any], Any, Value]]) -> Deferred[Value]:
        """The outcome of the call that is under way, or of a new one.

        Who cancels it waits no more; the call goes on.
        """
        mine: Deferred[Value] = Deferred()
        if key in self._waiting:
            self._waiting[key].append(mine)
        else:
            self._waiting[key] = [mine]
            Deferred.fromCoroutine(call()).addBoth(self._done, key)
        return mine

    def _done(self, outcome: Value | Failure, key: Key) -> None:
        for waiting in self._waiting.pop(key):
            waiting.callback(outcome)
