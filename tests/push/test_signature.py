"""Signatures of deliveries by HTTP."""

from __future__ import annotations

import base64

from twisted.trial.unittest import SynchronousTestCase

from zaqar_gateway.push.signature import signatures

KEY = base64.b64decode("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
DELIVERY_ID, TIMESTAMP_S, BODY = "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, b'{"test": 2432232314}'
SIGNATURE = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


class Signatures(SynchronousTestCase):
    """The value of webhook-signature."""

    def test_published_vector(self) -> None:
        """The vector by which the libraries of Standard Webhooks are tested gives the same here."""
        self.assertEqual(signatures([KEY], DELIVERY_ID, TIMESTAMP_S, BODY), SIGNATURE)

    def test_several_keys(self) -> None:
        """Each key gives a signature of its own, in the order of the keys."""
        first, second = signatures([b"other", KEY], DELIVERY_ID, TIMESTAMP_S, BODY).split(" ")
        self.assertEqual(second, SIGNATURE)
        self.assertEqual(first, signatures([b"other"], DELIVERY_ID, TIMESTAMP_S, BODY))

    def test_everything_is_covered(self) -> None:
        """Another id, another time or another body has another signature."""
        for changed in (
            ("msg_x", TIMESTAMP_S, BODY),
            (DELIVERY_ID, TIMESTAMP_S + 1, BODY),
            (DELIVERY_ID, TIMESTAMP_S, b"{}"),
        ):
            self.assertNotEqual(signatures([KEY], *changed), SIGNATURE)
