"""Whom of a cluster is asked what it knows."""

from __future__ import annotations

from random import Random
from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from tests.logs import logged
from zaqar_gateway.errors import StoreUnavailable
from zaqar_gateway.storage.redis.cluster.topology import Place, Topology
from zaqar_gateway.storage.redis.cluster.views import Views

A, B, SEED = ("a", 1), ("b", 1), ("seed", 1)
CLUSTER = "a a:1 {}master - 0 0 1 c 0-16383\nb b:1 {}slave a 0 0 1 c"
FROM_A, FROM_B = CLUSTER.format("myself,", ""), CLUSTER.format("", "myself,")
OTHER = "x seed:1 myself,master - 0 0 9 c 0-16383"


class Asked:
    """A node to which a connection is made to ask it once.

    :param answer: what it tells; ``None``: it cannot be reached.
    """

    def __init__(self, answer: str | None) -> None:
        self._answer = answer

    async def once(self, *command: str) -> bytes:
        """What it answers."""
        if self._answer is None:
            raise ConnectionRefusedError("nobody is there")
        return self._answer.encode()


class ViewsTests(SynchronousTestCase):
    """Nodes that are there or not."""

    def ask(self, last: Topology, **answers: str | None) -> Deferred[Topology]:
        """What is told.

        :param answers: of nodes, by their hosts; a node that is not among them must not be asked.
        """

        def connecting(place: Place, clock: Any, **_: Any) -> Asked:
            return Asked(answers[place[0]])

        views = Views([SEED], lambda host, port: (host, port), lambda host, port: host, connecting, Clock(), Random(1), by_name=False)  # type: ignore
        return Deferred.fromCoroutine(views.ask({}, last, more=True, is_whole=True))

    def told(self, last: Topology, **answers: str | None) -> Topology:
        """The same, where there is something."""
        return self.successResultOf(self.ask(last, **answers))

    def why(self, last: Topology, **answers: str | None) -> str:
        """Why there is nothing."""
        return str(self.failureResultOf(self.ask(last, **answers), StoreUnavailable).value)

    def test_seeds(self) -> None:
        """Where nothing is known the given addresses are asked."""
        told = self.told(Topology(), seed=FROM_A)
        self.assertEqual((told.names, told.places), ({"a", "b"}, {A, B}))

    def test_known(self) -> None:
        """Where nodes are known these are asked, and the given addresses are not, which may lead to something else by now."""
        known = self.told(Topology(), seed=FROM_A)
        self.assertEqual(self.told(known, a=FROM_A, b=FROM_B).names, {"a", "b"})
        self.assertEqual(self.told(known, a=None, b=FROM_B).names, {"a", "b"})

    def test_known_are_gone(self) -> None:
        """Where no known node tells anything the given addresses are asked again; another cluster there is told of in the log."""
        known = self.told(Topology(), seed=FROM_A)
        self.assertEqual(self.told(known, a=None, b=None, seed=FROM_B).names, {"a", "b"})
        seen = logged(self)
        self.assertEqual(self.told(known, a=OTHER, b=None, seed=OTHER).names, {"x"})
        self.assertEqual(seen.levels("views"), ["error"])

    def test_nobody(self) -> None:
        """Where nobody tells anything the error says of each why."""
        known = self.told(Topology(), seed=FROM_A)
        self.assertIn("; a: nobody is there; b: nobody is there; seed: nobody is there.", self.why(known, a=None, b=None, seed=None))
        self.assertIn("; seed: it does not answer as a node of a cluster does", self.why(Topology(), seed="hello"))

