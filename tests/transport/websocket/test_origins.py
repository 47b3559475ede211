"""Whose pages may open a WebSocket."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from zaqar_gateway.transport.websocket.origins import Origins

HERE, ELSEWHERE = "127.0.0.1", "203.0.113.7"


class OriginTests(SynchronousTestCase):
    """The rule."""

    def test_no_origin(self) -> None:
        """A client that is no browser may connect from anywhere."""
        for peer in (HERE, ELSEWHERE, ""):
            self.assertTrue(Origins().admits(None, "gateway.example:9000", peer))

    def test_this_machine(self) -> None:
        """Pages of this machine may connect, whatever their port."""
        for origin in ("http://localhost:3000", "http://127.0.0.1:8080", "https://[::1]", "http://app.localhost"):
            self.assertTrue(Origins().admits(origin, "127.0.0.1:9000", HERE), origin)

    def test_files(self) -> None:
        """A page opened as a file may connect to a gateway on the same machine only."""
        self.assertTrue(Origins().admits("file://", "127.0.0.1:9000", HERE))
        self.assertFalse(Origins().admits("file://", "gateway.example:9000", ELSEWHERE))

    def test_other_pages(self) -> None:
        """No other page may, not even one whose name leads to this machine."""
        for origin in ("https://evil.example", "null", "", "http://[", "http://localhost.evil.example", "http://10.0.0.1"):
            self.assertFalse(Origins().admits(origin, "127.0.0.1:9000", HERE), origin)
        self.assertFalse(Origins().admits("http://evil.example:9000", "evil.example:9000", HERE))

    def test_own_host(self) -> None:
        """From elsewhere, pages of the host that is connected to may; clients say that of themselves, too."""
        self.assertTrue(Origins().admits("http://gateway.example:9000", "Gateway.example:9000", ELSEWHERE))
        self.assertFalse(Origins().admits("http://other.example:9000", "gateway.example:9000", ELSEWHERE))

    def test_patterns(self) -> None:
        """Pages of the patterns may, and nobody who only looks like them."""
        origins = Origins(["https://*.example.org", "http://[fe80::1]:3000"])
        for origin in ("https://a.example.org", "HTTPS://A.example.org", "http://[fe80::1]:3000"):
            self.assertTrue(origins.admits(origin, "127.0.0.1", HERE), origin)
        for origin in ("https://example.org", "https://a.example.org.evil.example", "http://a.example.org"):
            self.assertFalse(origins.admits(origin, "127.0.0.1", HERE), origin)
        self.assertTrue(Origins(["*"]).admits("null", "127.0.0.1", HERE))
