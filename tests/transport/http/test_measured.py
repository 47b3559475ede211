"""What is noted of HTTP: each request once, with the status that it was answered with."""

from __future__ import annotations

from typing import Any

from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.trial.unittest import SynchronousTestCase

from tests.helpers import FailingStorage, HttpApi
from tests.tokens import StubTokens, caller
from zaqar_gateway.errors import StoreUnavailable
from zaqar_gateway.meters import NO_OPERATION, TransportMeter
from zaqar_gateway.storage.memory import MemoryStorage
from zaqar_gateway.transport.http.bounds import HttpBounds
from zaqar_gateway.transport.http.factory import HttpFactory
from zaqar_gateway.transport.http.measured import channels

QUEUE = "/v2/queues/q"
PAGE = {"Origin": "https://a.example", "Access-Control-Request-Method": "PUT"}


class SiteTests(SynchronousTestCase):
    """Without connections."""

    def setUp(self) -> None:
        self.meter = TransportMeter("http")

    def noted(self) -> dict[str, dict[int, int]]:
        """The statuses by operation."""
        return {name: outcomes.statuses for name, outcomes in self.meter.of.items() if outcomes.statuses}

    def test_operations(self) -> None:
        """What comes to an operation is its, whatever becomes of it; all else is of none."""
        api = HttpApi(MemoryStorage(Clock()), meter=self.meter, cors_origins=["https://a.example"])
        asked: list[tuple[Any, ...]] = [
            ("PUT", QUEUE),
            ("PUT", QUEUE),
            ("PATCH", QUEUE, b"no JSON", {"Content-Type": "application/openstack-messaging-v2.0-json-patch"}),
            ("GET", "/v2/nothing"),
            ("POST", QUEUE),
            ("OPTIONS", QUEUE),
            ("OPTIONS", QUEUE, None, PAGE),
            ("HEAD", "/v2/ping"),
            ("GET", QUEUE, None, {"Client-ID": "none"}),
            ("GET", "/"),
        ]
        answered = [api(*each).status for each in asked]
        self.assertEqual(answered, [201, 204, 400, 404, 405, 200, 200, 204, 400, 300])
        self.assertEqual(
            self.noted(),
            {
                "queue_create": {201: 1, 204: 1},
                "queue_update": {400: 1},
                NO_OPERATION: {404: 1, 405: 1, 200: 2, 204: 1, 400: 1, 300: 1},
            },
        )
        self.assertEqual([sum(self.meter.of[name].durations.counts) for name in ("queue_create", "queue_update")], [2, 1])

    def test_failures(self) -> None:
        """A store that is away and a failure that nobody foresaw are told by their statuses."""
        self.assertEqual(HttpApi(FailingStorage(StoreUnavailable("away")), meter=self.meter)("PUT", QUEUE).status, 503)
        self.assertEqual(HttpApi(FailingStorage(ZeroDivisionError()), meter=self.meter)("PUT", QUEUE).status, 500)
        self.assertEqual(self.noted(), {"queue_create": {503: 1, 500: 1}})
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)

    def test_nobody(self) -> None:
        """Who is not let in has asked for nothing."""
        tokens = StubTokens(t1=caller("p1", "u1"), bad=None)
        api = HttpApi(MemoryStorage(Clock()), meter=self.meter, tokens=tokens)
        self.assertEqual([api("PUT", QUEUE).status, api("PUT", QUEUE, None, {"X-Auth-Token": "bad"}).status], [401, 401])
        self.assertEqual(api("PUT", QUEUE, None, {"X-Auth-Token": "t1"}).status, 201)
        self.assertEqual(self.noted(), {NO_OPERATION: {401: 2}, "queue_create": {201: 1}})


class ChannelTests(SynchronousTestCase):
    """With connections."""

    def test_bytes(self) -> None:
        """What comes in and goes out is counted to the byte, and what no site sees by its status."""
        meter = TransportMeter("http")
        site = HttpApi(MemoryStorage(Clock()), meter=meter).site
        factory = HttpFactory(site, HttpBounds(), Clock(), channel=channels(meter))
        received = sent = 0
        for data in (b"GET /v2/nothing HTTP/1.1\r\nHost: a\r\n\r\n" * 3, b"GET / HTTP/1.1\r\nNo host: x\r\n\r\n", b"rubbish\r\n\r\n"):
            channel = factory.buildProtocol(None)
            assert channel is not None
            transport = StringTransport()
            channel.makeConnection(transport)
            channel.dataReceived(data)
            received, sent = received + len(data), sent + len(transport.value())
        self.assertEqual((meter.received, meter.sent), (received, sent))
        self.assertEqual(meter.refused.statuses, {404: 3, 400: 2})
