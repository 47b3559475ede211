"""What subscribers are sent."""

from __future__ import annotations

import json
from typing import Any

import msgspec
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase

from zaqar_gateway import instants
from zaqar_gateway.errors import RuleBroken
from zaqar_gateway.identity.signed_url import UrlSigner
from zaqar_gateway.model import CONFIRM, UNSUBSCRIBE, Place, Post, SignedUrl
from zaqar_gateway.push.payload import Notices, notification, packed

QUEUE, TOPIC = Place("p1", "q1"), Place("p1", "t1", is_topic=True)
UNTIL_S = 1_800_000_000


class NotificationTests(SynchronousTestCase):
    """What tells of a message."""

    def test_keys(self) -> None:
        """It has the four keys of the API and nothing else."""
        self.assertEqual(
            json.loads(notification(QUEUE, Post("1", b'{"n": 1}', 60))),
            {"body": {"n": 1}, "ttl": 60, "queue_name": "q1", "Message_Type": "Notification"},
        )

    def test_delay(self) -> None:
        """The delay is there in places that know one, 0 too."""
        for delay_s in (0, 7):
            self.assertEqual(
                json.loads(notification(TOPIC, Post("1", b"null", 60, delay_s))),
                {"body": None, "ttl": 60, "queue_name": "t1", "Message_Type": "Notification", "delay": delay_s},
            )

    def test_body_bytes(self) -> None:
        """The body stands there byte for byte as it was posted."""
        body = b'{"b" :1.50, "a":"\\u00e9 \xc3\xa9", "a": 1e400}'
        self.assertIn(b'"body":' + body + b",", notification(QUEUE, Post("1", body, 60)))

    def test_packed(self) -> None:
        """MessagePack says the same."""
        text = notification(QUEUE, Post("1", '{"n": [1, null, 2.5, "é"]}'.encode(), 60, 3))
        self.assertEqual(msgspec.msgpack.decode(packed(text)), json.loads(text))


class NoticeTests(SynchronousTestCase):
    """What asks for a confirmation."""

    def setUp(self) -> None:
        self.signer = UrlSigner(("secret",), Clock())

    def notice(self, place: Place, kind: str, **urls: str) -> Any:
        """A notice, decoded."""
        post = Post("1", b"", notice=kind, until_s=UNTIL_S)
        return json.loads(Notices(self.signer, **urls).text(place, "s1", post))

    def test_keys(self) -> None:
        """It has the keys of the API; URLs are there only where they are configured."""
        path = "/v2/queues/q1/subscriptions/s1/confirm"
        document = self.notice(QUEUE, CONFIRM)
        self.assertIn("q1", document.pop("Message"))
        self.assertEqual(
            document,
            {
                "Message_Type": "SubscriptionConfirmation",
                "URL-Signature": self.signer.sign("p1", [path], ["PUT"], UNTIL_S).signature,
                "URL-Expires": "2027-01-15T08:00:00",
                "URL-Methods": "PUT",
                "URL-Paths": path,
                "X-Project-ID": "p1",
                "SubscribeBody": {"confirmed": True},
                "UnsubscribeBody": {"confirmed": False},
                "queue_name": "q1",
            },
        )

    def test_access(self) -> None:
        """What it gives allows to confirm that subscription, and nothing else."""
        given = self.notice(TOPIC, UNSUBSCRIBE)
        self.assertEqual(given["Message_Type"], "UnsubscribeConfirmation")
        access = SignedUrl(
            (given["URL-Paths"],),
            (given["URL-Methods"],),
            given["X-Project-ID"],
            given["URL-Expires"],
            given["URL-Signature"],
        )
        self.assertTrue(self.signer.allows(access, "PUT", "/v2/topics/t1/subscriptions/s1/confirm"))
        self.assertFalse(self.signer.allows(access, "PUT", "/v2/queues/t1/subscriptions/s1/confirm"))
        self.assertFalse(self.signer.allows(access, "PUT", "/v2/topics/t1/subscriptions/s2/confirm"))
        self.assertFalse(self.signer.allows(access, "GET", "/v2/topics/t1/subscriptions/s1/confirm"))

    def test_latest_end(self) -> None:
        """One that was to hold longer than years have four digits holds for as long, so that it can be read and used."""
        notices = Notices(self.signer)
        text = notices.text(QUEUE, "s1", Post("1", b"", notice=CONFIRM, until_s=instants.END_S + 1))
        given = msgspec.json.decode(text)
        self.assertEqual(given["URL-Expires"], "9999-12-31T23:59:59")
        access = SignedUrl((given["URL-Paths"],), ("PUT",), "p1", given["URL-Expires"], given["URL-Signature"])
        self.assertTrue(self.signer.allows(access, "PUT", given["URL-Paths"]))

    def test_urls(self) -> None:
        """Configured URLs are joined with the path, whether or not they end in a slash."""
        path = "/v2/queues/q1/subscriptions/s1/confirm"
        document = self.notice(QUEUE, CONFIRM, public_url="https://m.example/", public_websocket_url="wss://m.example")
        self.assertEqual(document["WSGISubscribeURL"], f"https://m.example{path}")
        self.assertEqual(document["WebSocketSubscribeURL"], f"wss://m.example{path}")

    def test_no_secret(self) -> None:
        """Without a secret there is nothing to send."""
        notices = Notices(UrlSigner((), Clock()))
        self.assertRaises(RuleBroken, notices.text, QUEUE, "s1", Post("1", b"", notice=CONFIRM, until_s=UNTIL_S))
