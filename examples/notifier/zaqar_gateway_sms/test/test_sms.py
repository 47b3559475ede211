"""What the provider is sent, and what its answers mean."""

from __future__ import annotations

import json
from typing import Any

from twisted.internet import reactor
from twisted.trial.unittest import TestCase
from twisted.web.resource import Resource
from twisted.web.server import Site
from zope.interface.verify import verifyObject

from zaqar_gateway.errors import RuleBroken
from zaqar_gateway.interfaces import INotifier
from zaqar_gateway.model import Delivery, Place, Verdict
from zaqar_gateway_sms import Sms

_reactor: Any = reactor


class Provider(Resource):
    """A provider that answers as it is told.

    :ivar asked: what it was sent: key and message.
    """

    isLeaf = True
    status = 201

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[tuple[str | None, dict[str, str]]] = []

    def render_POST(self, request: Any) -> bytes:
        """Take a text message."""
        self.asked.append((request.getHeader("Idempotency-Key"), json.loads(request.content.read())))
        request.setResponseCode(self.status)
        return b"{}"


class SmsTests(TestCase):
    """The notifier, over real sockets."""

    def setUp(self) -> None:
        self.provider = Provider()
        self.port = _reactor.listenTCP(0, Site(self.provider), interface="127.0.0.1")
        self.addCleanup(self.port.stopListening)
        self.sms = Sms({"url": f"http://127.0.0.1:{self.port.getHost().port}/", "account": "a"}, reactor)

    def delivery(self, **payload: object) -> Delivery:
        """An attempt at something, which is a notice if it has a ``Message``."""
        notice = "confirm" if "Message" in payload else ""
        return Delivery("d1", Place("p", "q"), "sms:+491701234567", {}, json.dumps(payload).encode(), notice=notice)

    def test_interface(self) -> None:
        """It is a notifier."""
        verifyObject(INotifier, self.sms)

    async def test_texts(self) -> None:
        """The body goes out as text, with a key that is the same in each attempt; of a notice what it says."""
        for payload, text in (
            ({"body": "The tide is high."}, "The tide is high."),
            ({"body": {"level": 3}}, '{"level": 3}'),
            ({"Message": "You were subscribed.", "URL-Signature": "5"}, "You were subscribed."),
        ):
            self.assertEqual(await self.sms.send(self.delivery(**payload)), Verdict(True))
            self.assertEqual(self.provider.asked.pop(), ("d1", {"account": "a", "to": "+491701234567", "text": text}))

    async def test_answers(self) -> None:
        """What may pass is tried again, and what was refused is not."""
        for status, again in ((400, False), (402, False), (429, True), (503, True)):
            self.provider.status = status
            self.assertEqual(await self.sms.send(self.delivery(body=1)), Verdict(False, again, f"the provider answers {status}"))

    async def test_away(self) -> None:
        """A provider that is away may be back soon."""
        await self.port.stopListening()
        verdict = await self.sms.send(self.delivery(body=1))
        self.assertEqual((verdict.ok, verdict.again), (False, True))

    def test_subscribers(self) -> None:
        """A number has to be one that can be called from anywhere."""
        self.sms.check("sms:+491701234567", {})
        for subscriber in ("sms:", "sms:01701234567", "sms:+49 170", "sms:+491701234567x"):
            self.assertRaises(RuleBroken, self.sms.check, subscriber, {})

    def test_settings(self) -> None:
        """Settings that cannot be used are refused, and the text names what is wrong."""
        for settings, named in (({"url": "http://p"}, "account"), ({"url": "p", "account": "a"}, "url"), ({"uri": "http://p"}, "uri")):
            self.assertIn(named, str(self.assertRaises(ValueError, Sms, settings, reactor)))
