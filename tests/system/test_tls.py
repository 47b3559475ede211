"""TLS of a gateway in a process of its own."""

from __future__ import annotations

import signal
import ssl
from contextlib import closing
from pathlib import Path
from typing import Any

from tests.certificates import Authority, write
from tests.system.gateway import ANSWER_S, START_S, TWISTD, Gateway, Http, Process, Socket, environment, new_directory
from tests.system.test_launch import LaunchTestCase
from zaqar_gateway.config import ENVIRONMENT_PREFIX

TLS = "tls:0:interface=127.0.0.1"
AUTHORITY = Authority()


class TlsTests(LaunchTestCase):
    """A gateway whose listeners speak TLS, and its clients."""

    def setUp(self) -> None:
        self.directory = new_directory()
        self.paths = self.files("first")
        self.trust = ssl.create_default_context(cadata=AUTHORITY.certificate.decode())

    def files(self, name: str) -> dict[str, str]:
        """Put a certificate and its key in the place of those that there are."""
        certificate, key = AUTHORITY.issue(name, "127.0.0.1")
        return write(self.directory, cert=certificate, key=key, ca=AUTHORITY.certificate)

    def started(self, *arguments: str, **settings: str) -> Gateway:
        """A gateway with TLS on both listeners."""
        files = {"TLS_CERTIFICATE_FILE": self.paths["cert"], "TLS_PRIVATE_KEY_FILE": self.paths["key"]}
        return self.gateway(*arguments, storage="memory:", settings=files | settings, listen=(TLS, TLS))

    def shown(self, gateway: Gateway) -> Any:
        """The subject of the certificate that a new connection is shown."""
        with closing(Http(gateway.http, "p", tls=self.trust)) as http:
            http.connection.connect()
            sock: Any = http.connection.sock
            return dict(name for names in sock.getpeercert()["subject"] for name in names)["commonName"]

    def test_serves(self) -> None:
        """HTTP, its upgrade and the port for WebSocket work over TLS; only there browsers are told to keep to it."""
        bodies = ["x" * 90_000, "y" * 90_000, "z"]
        gateway = self.started("--http", "tcp:0:interface=127.0.0.1", TLS_HSTS_MAX_AGE_S="600")
        self.assertRegex(gateway.http + gateway.websocket, "^https://.*wss://")
        with closing(Http(gateway.http, "tls", tls=self.trust)) as http:
            posted = http.post("work", *bodies)
            self.assertEqual((posted.status, posted.headers["Strict-Transport-Security"]), (201, "max-age=600"))
        for url, body in zip((gateway.http, gateway.websocket), bodies, strict=False):
            with closing(Socket(url, "tls", tls=self.trust)) as worker:
                claim = worker("claim_create", queue_name="work", limit=1)
                self.assertEqual([message["body"] for message in claim.body["messages"]], [body])
        with closing(Http(gateway.http, "tls", tls=self.trust)) as http:
            self.assertEqual(http.all_messages("work"), bodies)
        other = gateway.wait_for(r"HTTP and WebSocket on (http://\S+)/$", START_S)[1]
        with closing(Http(other, "tls")) as http:
            self.assertNotIn("Strict-Transport-Security", http("GET", "/v2/ping").headers)
        gateway.stop()

    def test_renewed(self) -> None:
        """After SIGHUP new connections are shown the new certificate, and those that last go on; a bad one changes
        nothing."""
        gateway = self.started()
        with (
            closing(Http(gateway.http, "tls", tls=self.trust)) as http,
            closing(Socket(gateway.websocket, "tls", tls=self.trust)) as worker,
        ):
            self.assertEqual((http.post("work", 1).status, self.shown(gateway)), (201, "first"))
            self.files("second")
            gateway.signal(signal.SIGHUP)
            gateway.wait_for("certificate is that of CN=second", ANSWER_S)
            self.assertEqual(self.shown(gateway), "second")
            Path(self.paths["cert"]).write_text("nothing")
            gateway.signal(signal.SIGHUP)
            gateway.wait_for("certificate stays as it was: .*cert.pem holds no certificate", ANSWER_S)
            self.assertEqual(self.shown(gateway), "second")
            self.assertEqual(http.post("work", 2).status, 201)
            self.assertEqual(len(worker("claim_create", queue_name="work").body["messages"]), 2)
        gateway.stop()

    def test_clients(self) -> None:
        """Where clients need a certificate, who has none gets no answer on either port, and who has one is logged."""
        gateway = self.started(TLS_CLIENT_CA_FILE=self.paths["ca"])
        for connect in (
            lambda: Http(gateway.http, "tls", tls=self.trust)("GET", "/v2/ping"),
            lambda: Socket(gateway.websocket, "tls", tls=self.trust),
        ):
            self.assertRaises((ssl.SSLError, ConnectionError), connect)
        certificate, key = AUTHORITY.issue("agent 7")
        own = write(self.directory, own_cert=certificate, own_key=key)
        self.trust.load_cert_chain(own["own_cert"], own["own_key"])
        with closing(Http(gateway.http, "tls", tls=self.trust)) as http:
            self.assertEqual(http("GET", "/v2/ping").status, 204)
        gateway.wait_for("127.0.0.1 has the certificate of CN=agent 7", ANSWER_S)
        gateway.stop()

    def test_not_started(self) -> None:
        """Without a certificate that can be used it does not start, and says why."""
        Path(self.paths["key"]).write_text("a secret")
        command = [*TWISTD, "--http", TLS, "--storage", "memory:"]
        for settings, why in (
            ({}, r"\[listen\] http has tls:0:\S+; \[tls\] certificate_file has to be a file with a certificate"),
            (
                {"CERTIFICATE_FILE": self.paths["cert"], "PRIVATE_KEY_FILE": self.paths["key"]},
                "cannot start: .*key.pem does not hold the key of that certificate",
            ),
        ):
            environ = environment({f"{ENVIRONMENT_PREFIX}TLS_{name}": value for name, value in settings.items()})
            process = Process(command, environ, self.directory)
            self.addCleanup(process.kill)
            self.assertEqual(process.end(START_S), 1)
            self.assertRegex(process.output, why)
            self.assertNotIn("a secret", process.output)
