"""No secret leaves a gateway by its log, its terminal, or its answers to others, whatever goes wrong."""

from __future__ import annotations

import base64
import json
import signal
import socketserver
import subprocess
import threading
from contextlib import closing
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from tests.system.canaries import Canaries
from tests.system.gateway import ANSWER_S, CLIENT, START_S, Gateway, Http, RedisProcess, Socket, new_directory, until
from tests.system.test_launch import LaunchTestCase
from zaqar_gateway.config import ENVIRONMENT_PREFIX

PROJECT, STRANGER = "canary", "stranger"
GIVEN_UP_S = 120.0


class CanaryTests(SynchronousTestCase):
    """The canaries."""

    def test_found(self) -> None:
        """A secret is found as it is, in hexadecimal digits, and anywhere in a text in base64; others are not."""
        canaries = Canaries()
        secret = canaries.new("one")
        canaries.new("other")
        for before in ("", "a", "ab", "abc"):
            for after in ("", "z", "yz", "xyz"):
                text = f"{before}{secret}{after}"
                for form in (text, text.encode().hex(), base64.b64encode(text.encode()).decode()):
                    self.assertEqual(canaries.found_in(f"some {form} line"), ["one"])
        self.assertEqual(canaries.found_in("nothing"), [])


class _Answering(BaseHTTPRequestHandler):
    """A receiver, or a Keystone, that refuses, and repeats all that it was sent."""

    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        sent = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        body = f"{self.path} {dict(self.headers)} {sent.decode()}".encode()
        self.send_response(404, self.path + str(self.headers["X-Secret"]))
        self.send_header("X-Said", self.path)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_GET = do_POST

    def log_message(self, format: str, *args: object) -> None:
        """Nothing."""


class _Mail(socketserver.StreamRequestHandler):
    """A mail server that refuses every login, and repeats all that it was sent."""

    def handle(self) -> None:
        self.wfile.write(b"220 mail.test\r\n")
        for line in self.rfile:
            words = line.strip()
            if words.upper().startswith(b"EHLO"):
                self.wfile.write(b"250-mail.test\r\n250 AUTH PLAIN\r\n")
            elif words.upper() == b"QUIT":
                self.wfile.write(b"221 bye\r\n")
                return
            else:
                self.wfile.write(b"535 5.7.8 no: %b\r\n" % words)


class _Server(socketserver.ThreadingTCPServer):
    """A server on loopback."""

    daemon_threads = True

    def __init__(self, handler: type[socketserver.BaseRequestHandler]) -> None:
        super().__init__(("127.0.0.1", 0), handler)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """What speaks TLS to it is given up."""


class SecretsTests(LaunchTestCase):
    """A gateway that logs all it can, with a secret in every place where there can be one."""

    def setUp(self) -> None:
        self.canaries = Canaries()
        self.redis = RedisProcess(self.canaries.new("password of Redis"))
        self.addCleanup(self.redis.stop)
        self.receiver, self.mail = _Server(_Answering), _Server(_Mail)
        for server in (self.receiver, self.mail):
            threading.Thread(target=server.serve_forever, daemon=True).start()
            self.addCleanup(server.server_close)
            self.addCleanup(server.shutdown)
        self.directory = new_directory()

    def file(self, name: str) -> str:
        """The path of a file with a new secret."""
        path = self.directory / name.replace(" ", "-")
        path.write_text(self.canaries.new(name) + "\n")
        return str(path)

    def settings(self) -> dict[str, str]:
        """Every secret that a gateway can be given."""
        new = self.canaries.new
        identity = f"http://127.0.0.1:{self.receiver.server_address[1]}"
        return {
            "LOG_LEVEL": "debug",
            "LISTEN_ADMIN": "tcp:0",
            "KEYSTONE_AUTHTOKEN_AUTH_URL": identity,
            "KEYSTONE_AUTHTOKEN_USERNAME": "zaqar",
            "KEYSTONE_AUTHTOKEN_PASSWORD_FILE": self.file("password of the service"),
            "KEYSTONE_AUTHTOKEN_PROJECT_NAME": "service",
            "TRUSTEE_AUTH_URL": identity,
            "TRUSTEE_USERNAME": "zaqar",
            "TRUSTEE_PASSWORD": new("password of the trustee"),
            "ADMIN_MODE": "true",
            "SIGNED_URL_SECRET_KEY": new("key of signed URLs"),
            "SIGNED_URL_PREVIOUS_KEYS": new("earlier key of signed URLs"),
            "NOTIFICATION_WEBHOOK_SECRET_FILE": self.file("secret of webhooks"),
            "NOTIFICATION_WEBHOOK_PREVIOUS_SECRETS": new("earlier secret of webhooks"),
            "NOTIFICATION_SMTP_HOST": "127.0.0.1",
            "NOTIFICATION_SMTP_PORT": str(self.mail.server_address[1]),
            "NOTIFICATION_SMTP_TLS": "none",
            "NOTIFICATION_SMTP_SENDER": "zaqar@example.org",
            "NOTIFICATION_SMTP_USER_NAME": "zaqar",
            "NOTIFICATION_SMTP_USER_PASSWORD": new("password of the mail server"),
            "TRANSPORT_MESSAGE_ENCRYPTION_KEY_FILE": self.file("key of bodies"),
            "TRANSPORT_MESSAGE_ENCRYPTION_PREVIOUS_KEYS": new("earlier key of bodies"),
        }

    def check(self, settings: dict[str, str]) -> subprocess.CompletedProcess[str]:
        """Check settings."""
        environ = {ENVIRONMENT_PREFIX + name: text for name, text in settings.items()}
        return self.console("check-config", settings=environ)

    def assertClean(self, text: str) -> None:
        """There is no secret in what was printed or answered."""
        self.assertEqual(self.canaries.found_in(text), [], text)

    def look(self, gateway: Gateway) -> None:
        """What whoever reaches the admin listener can read has no secret, and nothing of a tenant."""
        url = gateway.wait_for(r"metrics and health on (\S+)/$", START_S)[1]
        with closing(Http(url, "")) as operator:
            for path in ("/metrics", "/health", "/ready"):
                told = str(operator("GET", path).body)
                self.assertClean(told)
                for name in (PROJECT, STRANGER, "work", "told", CLIENT):
                    self.assertNotIn(f'"{name}"', told)

    def use(self, http: Http, socket: Socket) -> None:
        """What an owner does, and does wrongly."""
        new = self.canaries.new
        token = {"X-Auth-Token": new("token"), "X-Service-Token": new("token of a service")}
        messages = "/v2/queues/work/messages"
        http("PUT", "/v2/queues/work", {"_enable_encrypt_messages": True, "note": new("metadata")}, token)
        post = {"messages": [{"body": {"secret": new("body")}, "ttl": 300}]}
        self.assertEqual(http("POST", messages, post, token).status, 201)
        http("POST", "/v2/queues/plain/messages", post, token)
        self.assertEqual(http("GET", messages + "?echo=true", None, token).status, 200)
        shared = http("POST", "/v2/queues/work/share", {"methods": ["GET"]}, token).json
        signed = {
            "URL-Signature": self.canaries.add("signature", shared["signature"]),
            "URL-Expires": shared["expires"],
            "URL-Methods": ",".join(shared["methods"]),
            "URL-Paths": ",".join(shared["paths"]),
        }
        self.assertEqual(http("GET", messages + "?echo=true", None, signed).status, 200)
        self.assertEqual(http("GET", messages, None, signed | {"URL-Signature": new("wrong signature")}).status, 404)
        self.assertEqual(http("POST", messages, f'{{"messages": [{new("broken body")}'.encode(), token).status, 400)
        large = [{"body": new("large body") * 10000}]
        self.assertEqual(http("POST", messages, {"messages": large}, token).status, 400)
        http("GET", messages + f"?limit={new('query')}", None, token)
        http("GET", f"/v2/{new('unknown path')}", None, token)
        socket.raw(f"no JSON {new('broken frame')}")
        socket.receive()
        headers = {"Client-ID": CLIENT, "X-Project-ID": PROJECT, "X-Auth-Token": new("token in a frame")}
        for action, body in (
            ("authenticate", {}),
            ("message_post", {"queue_name": "work", "messages": [{"body": new("body in a frame"), "ttl": 300}]}),
            ("message_post", {"queue_name": "work", "messages": new("no list of messages")}),
            ("claim_create", {"queue_name": "work", "ttl": new("no number")}),
            (new("no action"), {"queue_name": "work"}),
        ):
            socket.raw(json.dumps({"action": action, "headers": headers, "body": body}))
            socket.receive()

    def subscribe(self, http: Http) -> None:
        """Subscribers of all kinds, none of which takes what it is sent."""
        new = self.canaries.new
        place = f"127.0.0.1:{self.receiver.server_address[1]}"
        for subscriber in (
            f"http://{place}/{new('path of a subscriber')}?key={new('query of a subscriber')}",
            f"http://user:{new('password of a subscriber')}@{place}/",
            f"http://127.0.0.1:1/{new('path of a subscriber that is away')}",
            f"https://{place}/{new('path of a subscriber without TLS')}",
            f"http://nobody.invalid/{new('path of a subscriber without a name')}",
            f"mailto:{new('mail address')}@example.org?subject={new('subject')}",
            f"http://[{new('address that is none')}",
            f"ftp://user:{new('password in another scheme')}@{place}/",
        ):
            options = {"post_headers": {"X-Secret": new(f"post_headers {subscriber[:12]}")}}
            http("POST", "/v2/queues/told/subscriptions", {"subscriber": subscriber, "options": options})
        self.assertEqual(http.post("told", new("notification")).status, 201)

    def test_serving(self) -> None:
        """Starts, ordinary use, requests that are wrong, deliveries that fail, a store that fails or is away: none of the
        secrets is in the log at its most talkative, nor in what other tenants and operators are answered."""
        gateway = self.gateway(storage=self.redis.tcp, settings=self.settings())
        with (
            closing(Http(gateway.http, PROJECT)) as http,
            closing(Socket(gateway.websocket, PROJECT)) as socket,
            closing(Http(gateway.http, STRANGER)) as stranger,
        ):
            self.use(http, socket)
            self.subscribe(http)
            failed: list[Any] = []

            def given_up() -> bool:
                failed[:] = stranger("GET", "/v2/deliveries", headers={"X-Roles": "admin"}).json["deliveries"]
                return bool(failed)

            until(given_up, GIVEN_UP_S, "a delivery is given up")
            gateway.wait_for("is given up after 1 attempts: it answered 404", ANSWER_S)
            gateway.wait_for("is given up after 1 attempts: the mail server answered 535", ANSWER_S)
            self.assertClean(json.dumps(failed))
            for path in ("/v2/queues", "/v2/queues/work", "/v2/queues/work/messages?echo=true", "/v2/health"):
                self.assertClean(str(stranger("GET", path, headers={"X-Roles": "admin"})))
            # A queue that is no queue is a fault of the store, and has a traceback in the log.
            self.look(gateway)
            self.redis.command(f"SET zg:{{{PROJECT}/broken}} {self.canaries.new('value in Redis')}")
            self.assertEqual(http.post("broken", self.canaries.new("body for a broken store")).status, 500)
            gateway.wait_for("Traceback", ANSWER_S)
            self.redis.stop()
            until(lambda: http.post("work", self.canaries.new("body for no store")).status == 503, ANSWER_S, "503")
            self.look(gateway)
            self.redis.start()
            gateway.wait_for("Redis is there again", ANSWER_S)
        gateway.signal(signal.SIGTERM)
        gateway.end()
        self.assertClean(gateway.output)

    def test_identity(self) -> None:
        """Tokens, and the password that they are asked for with, are not told where Keystone fails."""
        new = self.canaries.new
        gateway = self.gateway(storage="memory:", settings=self.settings() | {"AUTH_STRATEGY": "keystone"})
        with closing(Http(gateway.http, PROJECT)) as http, closing(Socket(gateway.websocket, PROJECT)) as socket:
            for _ in range(2):
                answer = http("GET", "/v2/queues", headers={"X-Auth-Token": new("token")})
                self.assertIn(answer.status, (401, 503))
                self.assertClean(str(answer))
            headers = {"Client-ID": CLIENT, "X-Project-ID": PROJECT, "X-Auth-Token": new("token in a frame")}
            socket.raw(json.dumps({"action": "authenticate", "headers": headers, "body": {}}))
            self.assertIn(socket.receive().status, (401, 403, 503))
        self.look(gateway)
        gateway.stop()
        self.assertClean(gateway.output)

    def test_refused_password(self) -> None:
        """A password that Redis refuses is not told, though the refusal is; it may come from a file."""
        where = f"redis://127.0.0.1:{self.redis.port}"
        settings = {"LOG_LEVEL": "debug", "STORAGE_PASSWORD_FILE": self.file("wrong password")}
        gateway = self.gateway(storage=where, settings=settings)
        gateway.wait_for("Redis cannot be used, and is tried again", START_S)
        gateway.stop()
        self.assertClean(gateway.output)

    def test_settings(self) -> None:
        """The settings are checked and printed without their secrets, those that are right as those that are wrong."""
        new = self.canaries.new
        given = self.check(self.settings() | {"STORAGE_URI": self.redis.tcp})
        self.assertEqual((given.returncode, "***" in given.stdout), (0, True), given.stderr)
        self.assertClean(given.stdout + given.stderr)
        file = Path(self.directory, "broken.toml")
        file.write_text(f'[signed_url]\nsecret_key = "{new("key in a broken file")}" "')
        unknown = Path(self.directory, "unknown.toml")
        unknown.write_text(f'[signed_url]\nsecret = "{new("key in a wrong place")}"')
        for settings in (
            {"CONFIG": str(file)},
            {"CONFIG": str(unknown)},
            {"STORAGE_URI": f"redis://user:{new('password in a wrong URI')}@host:port"},
            {"STORAGE_URI": f"redis://:{new('password in a URI of a list')}@h1,h2"},
            {"NOTIFICATION_WEBHOOK_SECRET": f"whsec_{new('secret that is no base64')}!"},
            {"SIGNED_URL_PREVIOUS_KEYS": f'["{new("key in a broken list")}"'},
            {"TRANSPORT_MESSAGE_ENCRYPTION_PREVIOUS_KEYS": f'["{new("key in a list with others")}", 1]'},
            {"CORS_ALLOWED_ORIGIN": f"https://user:{new('password in an origin')}@host"},
            {"NOTIFICATION_PUBLIC_URL": f"https://user:{new('password in a public URL')}@host"},
        ):
            refused = self.check(settings)
            self.assertEqual(refused.returncode, 1, settings)
            self.assertClean(refused.stdout + refused.stderr)
