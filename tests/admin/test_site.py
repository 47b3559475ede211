"""The HTTP of the admin listeners, from a source that has no gateway."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from prometheus_client import Metric
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.openmetrics.parser import text_string_to_metric_families as openmetrics_families
from prometheus_client.parser import text_string_to_metric_families as prometheus_families
from twisted.internet.address import IPv4Address, IPv6Address, UNIXAddress
from twisted.internet.interfaces import IAddress
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.trial.unittest import SynchronousTestCase

from zaqar_gateway.admin.site import BOUNDS, Health, serve

HERE, THERE = IPv4Address("TCP", "127.0.0.1", 50000), IPv4Address("TCP", "192.0.2.7", 50000)


class Source:
    """What a test has told."""

    def __init__(self) -> None:
        self.reason = ""
        self.fails = False

    async def families(self) -> Iterable[Metric]:
        if self.fails:
            raise RuntimeError("a secret")
        count = CounterMetricFamily("a", "A text.", value=3)
        return [count, GaugeMetricFamily("b", 'With "quotes"\nand lines.', value=0.5)]

    async def health(self) -> Health:
        return Health(self.reason, {"troubles": [self.reason] if self.reason else []})

    async def why_not_ready(self) -> str:
        return self.reason


class SiteTests(SynchronousTestCase):
    """Requests and answers."""

    def setUp(self) -> None:
        self.clock, self.source = Clock(), Source()
        self.factory = serve(self.source, self.clock)

    def connect(self, peer: IAddress = HERE) -> Any:
        """A connection, whose bytes are kept."""
        channel = self.factory.buildProtocol(peer)
        assert channel is not None
        transport: Any = StringTransport(peerAddress=peer)
        transport.protocol = channel
        channel.makeConnection(transport)
        return transport

    def ask(
        self, path: str, method: str = "GET", *, host: str = "localhost:9464", peer: IAddress = HERE, **headers: str
    ) -> tuple[int, dict[str, str], bytes]:
        """Status, headers and body of an answer."""
        transport = self.connect(peer)
        lines = [f"{method} {path} HTTP/1.1", f"Host: {host}", *(f"{name}: {value}" for name, value in headers.items())]
        transport.protocol.dataReceived(("\r\n".join(lines) + "\r\n\r\n").encode())
        head, _, body = transport.value().partition(b"\r\n\r\n")
        status, *fields = head.decode().split("\r\n")
        return int(status.split()[1]), dict(field.split(": ", 1) for field in fields), body

    def test_metrics(self) -> None:
        """Metrics come in the format that is asked for, and in that of Prometheus where none is."""
        for accept, kind, families in (
            ("", "text/plain; version=0.0.4; charset=utf-8", prometheus_families),
            ("*/*", "text/plain; version=0.0.4; charset=utf-8", prometheus_families),
            ("application/openmetrics-text;version=1.0.0", "application/openmetrics-text; version=1.0.0", openmetrics_families),
        ):
            status, headers, body = self.ask("/metrics?name=x", Accept=accept)
            self.assertEqual((status, headers["Cache-Control"], headers["Vary"]), (200, "no-store", "Accept"))
            self.assertTrue(headers["Content-Type"].startswith(kind), headers)
            found = {sample.name: sample.value for family in families(body.decode()) for sample in family.samples}
            self.assertEqual(found, {"a_total": 3.0, "b": 0.5})

    def test_health(self) -> None:
        """Health and readiness are 503 where requests cannot be served, with the reason; liveness does not ask."""
        self.assertEqual([self.ask(path)[0] for path in ("/health", "/ready", "/live")], [200, 204, 204])
        self.source.reason = "the store does not answer"
        for path, status in (("/health", 503), ("/ready", 503), ("/live", 204)):
            found, headers, body = self.ask(path)
            self.assertEqual((found, b"the store does not answer" in body), (status, status == 503), path)
            self.assertEqual(headers.get("Content-Type"), "application/json" if status == 503 else None)

    def test_head(self) -> None:
        """HEAD has the headers of GET, and no body (RFC 9110, section 9.3.2)."""
        for path in ("/metrics", "/health", "/live"):
            got, asked = self.ask(path), self.ask(path, "HEAD")
            self.assertEqual((asked[:2], asked[2]), (got[:2], b""))

    def test_refused(self) -> None:
        """What there is not, and what is not to read, is refused with what there is."""
        status, _, body = self.ask("/")
        self.assertEqual(status, 404)
        for path in (b"/metrics", b"/health", b"/ready", b"/live"):
            self.assertIn(path, body)
        for method in ("POST", "PUT", "DELETE", "OPTIONS", "PATCH"):
            status, headers, _ = self.ask("/metrics", method)
            self.assertEqual((status, headers["Allow"]), (405, "GET, HEAD"))

    def test_pages(self) -> None:
        """Here no page of a browser reads anything, also one whose name leads here; names do no harm elsewhere."""
        for host, peer, status in (
            ("localhost", HERE, 200),
            ("127.0.0.1:9464", HERE, 200),
            ("[::1]:9464", HERE, 200),
            ("192.0.2.1:9464", HERE, 200),
            ("rebound.example:9464", HERE, 403),
            ("localhost.example", HERE, 403),
            ("", HERE, 403),
            ("[", HERE, 403),
            ("rebound.example:9464", IPv6Address("TCP", "::1", 50000), 403),
            ("rebound.example:9464", IPv6Address("TCP", "::ffff:127.0.0.1", 50000), 403),
            ("[::1]:9464", IPv6Address("TCP", "::1", 50000), 200),
            ("gateway-1.example:9464", THERE, 200),
            ("gateway-1.example:9464", IPv6Address("TCP", "2001:db8::7", 50000), 200),
            ("anything", UNIXAddress(None), 200),
        ):
            found, headers, _ = self.ask("/metrics", host=host, peer=peer, Origin="http://rebound.example")
            if host != "[":  # which the parser may refuse before
                self.assertEqual(found, status, host)
            self.assertNotEqual((host, found), ("[", 200))
            self.assertFalse([name for name in headers if name.lower().startswith("access-control-")], headers)

    def test_nobody_named(self) -> None:
        """What names no host at all is no page of a browser: HAProxy looks so, unless it is told otherwise, whether somebody is there."""
        transport = self.connect()
        transport.protocol.dataReceived(b"GET /ready HTTP/1.0\r\n\r\n")
        self.assertTrue(transport.value().startswith(b"HTTP/1.1 204 "), transport.value())

    def test_failure(self) -> None:
        """A failure is told without its cause, which is in the log."""
        self.source.fails = True
        status, _, body = self.ask("/metrics")
        self.assertEqual((status, b"secret" in body), (500, False))
        self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), 1)

    def test_bodies(self) -> None:
        """A body is not kept, however long it is said to be."""
        transport = self.connect()
        transport.protocol.dataReceived(b"POST /metrics HTTP/1.1\r\nHost: localhost\r\nContent-Length: 999999999\r\n\r\n" + b"x" * 4096)
        self.assertTrue(transport.value().startswith(b"HTTP/1.1 405 "), transport.value())

    def test_slow(self) -> None:
        """Who sends nothing, or half a request, is let go soon; there is room for few, and others are told."""
        connections: list[Any] = [self.connect() for _ in range(BOUNDS.connections_max)]
        for one in connections[::2]:
            one.protocol.dataReceived(b"GET /metrics HTTP/1.1\r\n")
        refused = self.connect()
        self.assertTrue(refused.value().startswith(b"HTTP/1.1 503 "), refused.value())
        for _ in range(int(BOUNDS.fresh_timeout_s + BOUNDS.linger_s) + 2):
            self.clock.advance(1)
        self.assertEqual([one.disconnecting for one in connections], [True] * len(connections))
        self.assertTrue(connections[0].value().startswith(b"HTTP/1.1 408 "), connections[0].value())
