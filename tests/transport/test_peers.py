"""Counting connections by where they come from."""

from __future__ import annotations

from twisted.internet.address import IPv4Address, IPv6Address, UNIXAddress
from twisted.trial.unittest import SynchronousTestCase

from zaqar_gateway.operations.refusals import Refusals
from zaqar_gateway.transport.peers import Peers


class PlaceTests(SynchronousTestCase):
    """What an address is counted under."""

    def place(self, host: str, *uncounted: str) -> str:
        """That of a host."""
        peer = (IPv6Address if ":" in host else IPv4Address)("TCP", host, 1)
        return Peers(Refusals(), per_address_max=1, uncounted=uncounted).place_of(peer)

    def test_places(self) -> None:
        """An IPv4 address counts alone, also where it is mapped; of IPv6 64 bits count."""
        for host, place in (
            ("192.0.2.7", "192.0.2.7"),
            ("::ffff:192.0.2.7", "192.0.2.7"),
            ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
            ("2001:db8:1:2::", "2001:db8:1:2::/64"),
            ("fe80::1%eth0", "fe80::/64"),
        ):
            self.assertEqual(self.place(host), place)

    def test_uncounted(self) -> None:
        """Networks can be left out, mapped or not."""
        for host in ("10.1.2.3", "::ffff:10.1.2.3", "2001:db8::1"):
            self.assertEqual(self.place(host, "10.0.0.0/8", "2001:db8::/32"), "")
        self.assertEqual(self.place("11.1.2.3", "10.0.0.0/8", "2001:db8::/32"), "11.1.2.3")

    def test_no_address(self) -> None:
        """A Unix socket is not counted, nor is anybody where there is no bound."""
        self.assertEqual(Peers(Refusals(), per_address_max=1).place_of(UNIXAddress("/run/x")), "")
        self.assertEqual(Peers(Refusals()).place_of(IPv4Address("TCP", "192.0.2.7", 1)), "")


class CountTests(SynchronousTestCase):
    """Who is taken on."""

    def setUp(self) -> None:
        self.refusals = Refusals()

    def test_per_address(self) -> None:
        """Of each place as many are taken on as the bound says; one that leaves makes room."""
        peers = Peers(self.refusals, per_address_max=2)
        self.assertEqual([peers.enter("a"), peers.enter("a"), peers.enter("b"), peers.enter("")], [None] * 4)
        crowded = peers.enter("a")
        assert crowded is not None
        self.assertEqual(crowded.status, 429)
        self.assertIn("2 connections from a", crowded.reason)
        peers.leave("a")
        self.assertIsNone(peers.enter("a"))
        self.assertEqual((peers.total, self.refusals.counts), (4, {"bounds.max_connections_per_address": 1}))

    def test_total(self) -> None:
        """All places together have a bound, and those without one of their own count, too."""
        peers = Peers(self.refusals, total_max=2, per_address_max=9)
        self.assertEqual([peers.enter("a"), peers.enter("")], [None, None])
        crowded = peers.enter("b")
        assert crowded is not None
        self.assertEqual(crowded.status, 503)
        peers.leave("")
        self.assertIsNone(peers.enter("b"))
        self.assertEqual(self.refusals.counts, {"connections": 1})
