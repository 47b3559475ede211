"""Cross-origin requests."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from zaqar_gateway.transport.http.cors import ALLOWED_HEADERS, Cors

ORIGIN = b"https://console.example"


class CorsTests(SynchronousTestCase):
    """What pages of other origins may do."""

    def setUp(self) -> None:
        self.cors = Cors([ORIGIN.decode(), "http://other.example:8080"])
        self.asked = {b"origin": ORIGIN, b"access-control-request-method": b"PATCH"}

    def test_preflight(self) -> None:
        """An allowed preflight is told what it asked for."""
        wanted = b"Client-id,x-project-id, URL-Signature,CONTENT-TYPE"
        headers = self.cors.preflight({**self.asked, b"access-control-request-headers": wanted})
        assert headers is not None
        self.assertEqual(
            dict(headers),
            {
                b"Access-Control-Allow-Origin": ORIGIN,
                b"Access-Control-Allow-Credentials": b"true",
                b"Access-Control-Max-Age": b"3600",
                b"Access-Control-Allow-Methods": b"PATCH",
                b"Access-Control-Allow-Headers": wanted,
                b"Vary": b"Origin",
            },
        )
        plain = self.cors.preflight(self.asked)
        assert plain is not None
        self.assertNotIn(b"Access-Control-Allow-Headers", dict(plain))

    def test_not_allowed(self) -> None:
        """Another origin, method or header, or no preflight at all, gets the plain answer."""
        for change in (
            {b"origin": b"https://evil.example"},
            {b"origin": ORIGIN + b".evil.example"},
            {b"origin": b"null"},
            {b"access-control-request-method": b"TRACE"},
            {b"access-control-request-method": b"get"},
            {b"access-control-request-headers": b"Client-ID, X-Evil"},
        ):
            self.assertIsNone(self.cors.preflight({**self.asked, **change}))
        for name in self.asked:
            self.assertIsNone(self.cors.preflight({key: self.asked[key] for key in self.asked if key != name}))

    def test_needed_headers(self) -> None:
        """What every request needs may be sent."""
        self.assertLessEqual(
            {"client-id", "x-project-id", "x-auth-token", "url-signature", "url-expires"},
            {name.lower() for name in ALLOWED_HEADERS},
        )

    def test_settings(self) -> None:
        """Methods, headers, time and credentials are as they are set; what any page may send stays allowed."""
        cors = Cors(
            [ORIGIN.decode()],
            methods=["LOCK"],
            allow_headers=["X-One"],
            expose_headers=["X-Two"],
            allow_credentials=False,
            max_age_s=5,
        )
        asked = {**self.asked, b"access-control-request-method": b"LOCK"}
        wanted = {b"access-control-request-headers": b"x-one, content-type"}
        headers = cors.preflight(asked | wanted)
        assert headers is not None
        self.assertEqual(
            dict(headers),
            {
                b"Access-Control-Allow-Origin": ORIGIN,
                b"Access-Control-Max-Age": b"5",
                b"Access-Control-Allow-Methods": b"LOCK",
                b"Access-Control-Allow-Headers": b"x-one, content-type",
                b"Vary": b"Origin",
            },
        )
        self.assertIsNone(cors.preflight(self.asked))
        self.assertIsNone(cors.preflight(asked | {b"access-control-request-headers": b"client-id"}))
        told = {b"Access-Control-Allow-Origin": ORIGIN, b"Access-Control-Expose-Headers": b"X-Two", b"Vary": b"Origin"}
        self.assertEqual(dict(cors.simple(ORIGIN, ())), told)
        silent = dict(Cors([ORIGIN.decode()], expose_headers=()).simple(ORIGIN, ()))
        self.assertNotIn(b"Access-Control-Expose-Headers", silent)

    def test_simple(self) -> None:
        """A response to an allowed origin says so, and that it depends on the origin."""
        headers = self.cors.simple(ORIGIN, [(b"Content-Type", b"application/json"), (b"Vary", b"Accept")])
        self.assertEqual(
            dict(headers),
            {
                b"Content-Type": b"application/json",
                b"Access-Control-Allow-Origin": ORIGIN,
                b"Access-Control-Allow-Credentials": b"true",
                b"Access-Control-Expose-Headers": (
                    b"X-Auth-Token, X-Subject-Token, X-Service-Token, X-OpenStack-Request-ID, Idempotency-Replayed"
                ),
                b"Vary": b"Accept, Origin",
            },
        )
        self.assertEqual(len(headers), 5)

    def test_simple_elsewhere(self) -> None:
        """A response to another origin stays as it is."""
        self.assertEqual(self.cors.simple(b"https://evil.example", [(b"A", b"b")]), [(b"A", b"b")])
