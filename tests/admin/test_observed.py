"""What backends tell of themselves."""

from __future__ import annotations

from typing import Any

import msgspec
from attrs import frozen
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer

from zaqar_gateway.admin.observed import condition_of
from zaqar_gateway.interfaces import IObservedBackend
from zaqar_gateway.model import StoreCondition

FINE = StoreCondition("other", "in a box", is_up=True, troubles=("it is full",), nodes={"a": True})


@implementer(IObservedBackend)
@frozen
class Backend:
    """One that tells, or raises, what a test wants; nothing else of it is asked."""

    _told: Any
    where = "in a box"
    storage: Any = None

    async def start(self) -> None:
        raise NotImplementedError

    async def stop(self) -> None:
        raise NotImplementedError

    def condition(self) -> Any:
        if isinstance(self._told, Exception):
            raise self._told
        return self._told


class ConditionTests(SynchronousTestCase):
    """How it stands with a store."""

    def test_told(self) -> None:
        """It is as the backend tells it."""
        self.assertEqual(condition_of(Backend(FINE), "other"), FINE)

    def test_cannot_tell(self) -> None:
        """One that breaks, or tells what is none, is something to mend, and nothing else is left untold for it."""
        wrong: list[Any] = [KeyError("color"), None, 7, msgspec.structs.replace(FINE, losses="many")]
        for told in wrong:
            found = condition_of(Backend(told), "other")
            self.assertEqual((found.kind, found.where, found.is_up), ("other", "in a box", None))
            self.assertEqual(found.troubles, ("it cannot tell how it stands; the log says why",))
        self.assertEqual(len(self.flushLoggedErrors(Exception)), len(wrong))
