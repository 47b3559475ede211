"""Asking several at once, of which some may not answer."""

from __future__ import annotations

from collections.abc import Coroutine, Mapping
from typing import Any, Generic, TypeVar

from attrs import field, frozen
from twisted.internet.defer import Deferred, TimeoutError
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.python.failure import Failure

ASK_S = 2.0
"""How long one may take to answer."""

OTHERS_S = 0.3
"""How long the others may take when one has answered."""

T = TypeVar("T")


@frozen
class Gathered(Generic[T]):
    """:ivar told: what was answered, by who was asked.

    :ivar failed: why others did not answer, for people.
    """

    told: dict[str, T] = field(factory=dict)
    failed: dict[str, str] = field(factory=dict)

    def add(self, other: Gathered[T]) -> None:
        """Take over what others were asked."""
        self.told.update(other.told)
        self.failed.update(other.failed)

    def why(self) -> str:
        """All that failed."""
        return "; ".join(f"{who}: {why}" for who, why in sorted(self.failed.items()))


async def gather(clock: IReactorTime, questions: Mapping[str, Coroutine[Any, Any, T]]) -> Gathered[T]:
    """The answers of all that answer soon: once there is one, the others have :data:`OTHERS_S` left.

    :param questions: by who is asked.
    """
    gathered: Gathered[T] = Gathered()
    enough: Deferred[None] = Deferred()
    late: list[IDelayedCall] = []

    def is_enough() -> None:
        if not enough.called:
            enough.callback(None)

    def has_told(answer: T, who: str) -> None:
        gathered.told[who] = answer
        if len(gathered.told) == 1:
            late.append(clock.callLater(OTHERS_S, is_enough))

    def has_failed(failure: Failure, who: str) -> None:
        why = "it does not answer" if failure.check(TimeoutError) else failure.getErrorMessage().rstrip(".")
        gathered.failed[who] = why

    def has_ended(_: object) -> None:
        if len(gathered.told) + len(gathered.failed) == len(questions):
            is_enough()

    asking = []
    for who, question in questions.items():
        asked = Deferred.fromCoroutine(question).addTimeout(ASK_S, clock)
        asking.append(asked.addCallbacks(has_told, has_failed, callbackArgs=(who,), errbackArgs=(who,)).addCallback(has_ended))
    try:
        if questions:
            await enough
    finally:
        for call in late:
            if call.active():
                call.cancel()
        for one in asking:
            one.cancel()
    return gathered
