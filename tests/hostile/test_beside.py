"""Slow and greedy clients beside a well-behaved one; :mod:`tests.hostile.beside` measures what this only looks at."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from twisted.trial.unittest import SynchronousTestCase

from tests.hostile.attack import HTTP, WEBSOCKET
from tests.hostile.beside import Attackers, behave, subscribe, taken
from tests.system.gateway import Gateway, Http

CONNECTIONS = 500
SECONDS = 1.0
SUBSCRIPTIONS = 10_000
MEMORY_MAX = 1024 * 1024 * 1024
"""Bytes more than at the start: what all clients together may leave unread (256 MiB, some of it twice while it is written),
and a reply of up to 5 MiB that is being made for each of those that read slowly."""

SLOW = ("slow-head", "slow-body", "slow-read", "idle-upgrade", "slow-handshake", "slow-socket")


class BesideTests(SynchronousTestCase):
    """The well-behaved client is served, and the gateway keeps to its bounds."""

    def setUp(self) -> None:
        self.gateway = Gateway()
        self.addCleanup(self.gateway.stop)  # which fails where there is a traceback in the log

    def attack(self, kinds: Iterable[str], connections: int) -> Mapping[str, int]:
        """Attack in these ways at once, and behave beside it; what the attackers counted."""
        before = taken(self.gateway)
        attackers = Attackers(kinds, self.gateway, connections, SECONDS, 0)
        attackers.wait()
        seen = behave(self.gateway, SECONDS)
        after = taken(self.gateway)
        counted = attackers.end()
        self.assertEqual(seen.wrong, [])
        self.assertGreater(len(seen.latencies_s), 5)
        self.assertLess(after.resident - before.resident, MEMORY_MAX)
        return counted

    def test_slow(self) -> None:
        """Nor do 500 connections that are slow in each way keep it from being served."""
        counted = self.attack(SLOW, CONNECTIONS // len(SLOW) + 1)
        self.assertGreater(counted["open"], CONNECTIONS // 2)

    def test_greedy(self) -> None:
        """Nor do bombs, heads and bodies without end, floods of pings and of small requests."""
        self.attack(sorted({**HTTP, **WEBSOCKET}.keys() - set(SLOW)), 4)

    def test_subscriptions(self) -> None:
        """Nor do thousands of subscriptions to one queue, and a post to all of them."""
        before = taken(self.gateway)
        subscribe(self.gateway, SUBSCRIPTIONS)
        self.assertEqual(behave(self.gateway, SECONDS).wrong, [])
        self.assertLess(taken(self.gateway).resident - before.resident, MEMORY_MAX)
        listed = Http(self.gateway.http, "greedy")
        self.addCleanup(listed.close)
        self.assertEqual(len(listed("GET", "/v2/queues/followed/subscriptions?limit=20").json["subscriptions"]), 20)
