"""What is noted of Keystone and of tokens."""

from __future__ import annotations

from typing import cast

from treq.client import HTTPClient
from twisted.internet.error import ConnectionRefusedError

from tests.identity.test_tokens import AGE_S, NOW_S, SCOPE, TokenCase
from zaqar_gateway.errors import IdentityUnavailable, Unauthorized
from zaqar_gateway.identity.keystone import Credentials
from zaqar_gateway.identity.measured import MeasuredKeystone, MeasuredTokens
from zaqar_gateway.identity.tokens import ServiceToken
from zaqar_gateway.meters import IdentityMeter


class MeasuredTests(TokenCase):
    """Tokens over a Keystone whose answers the test gives."""

    def setUp(self) -> None:
        super().setUp()
        self.meter = IdentityMeter()
        keystone = MeasuredKeystone(cast(HTTPClient, self.client), self.clock, "http://k", 10.0, self.meter)
        service = ServiceToken(keystone, Credentials(name="gateway", password="sesame"), SCOPE, self.clock)
        self.tokens = MeasuredTokens(self.meter, keystone, service, self.clock, AGE_S)

    def test_tokens(self) -> None:
        """What is remembered, valid or not, is told from what is looked up."""
        self.ready()
        self.found("t1")
        looked_up, known = self.meter.looked_up, self.meter.known
        for _ in range(3):
            self.assertIsNotNone(self.tokens.known("t1"))
        looking = self.identify("bad")
        self.client.answer(404, {})
        self.failureResultOf(looking, Unauthorized)
        self.assertRaises(Unauthorized, self.tokens.known, "bad")
        self.assertEqual((self.meter.looked_up - looked_up, self.meter.known - known), (1, 4))

    def test_calls(self) -> None:
        """Calls count by what came of them; while Keystone is away those that are refused for it count too."""
        self.ready()
        self.assertEqual((self.meter.calls, self.meter.is_away), ({"answered": 1, "denied": 1}, False))
        self.found("t1")
        self.assertEqual((self.meter.calls["answered"], self.meter.answered_s), (2, NOW_S))
        self.clock.advance(60)
        looking = self.identify("t2")
        self.client.fail(ConnectionRefusedError())
        self.failureResultOf(looking, IdentityUnavailable)
        self.failureResultOf(self.identify("t3"), IdentityUnavailable)
        self.assertEqual((self.meter.calls["unavailable"], self.meter.is_away, self.meter.answered_s), (2, True, NOW_S))
        self.assertEqual(sum(self.meter.durations.counts), 3)
