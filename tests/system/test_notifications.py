"""What subscribers are sent by a gateway in a process of its own: webhooks, mail, frames; on an embedded Redis."""

from __future__ import annotations

import base64
import email
import hmac
import json
import socket
from contextlib import closing
from email.policy import default as default_policy
from typing import Any
from urllib.parse import parse_qs, urlsplit

import msgpack
import websocket
from twisted.trial.unittest import SynchronousTestCase

from tests.push.smtp_server import MailServer
from tests.system.gateway import CLIENT, Gateway, GatewayTestCase, Http, until
from tests.system.receiver import Hook, Receiver

SUBSCRIPTIONS = "/v2/queues/q/subscriptions"
ARRIVED_S = 120.0
"""How long something may take to arrive, on a machine that is busy with tests."""

DEAD = 1000
KEY = b"0123456789abcdef0123456789abcdef"

REFUSED: dict[str, tuple[dict[str, Any], str]] = {
    "unknown scheme": ({"subscriber": "ftp://example.org"}, "must be supported in the list"),
    "no host": ({"subscriber": "http:///path"}, "subscriber has no host"),
    "bad host": ({"subscriber": "http://a_b c/"}, "spaces or control characters"),
    "bad port": ({"subscriber": "http://example.org:99999/"}, "subscriber"),
    "port that is no number": ({"subscriber": "http://example.org:8_0/"}, "its port is no number"),
    "trust without a host": ({"subscriber": "trust+http://", "options": {"trust_id": "t"}}, "subscriber has no host"),
    "no mail address": ({"subscriber": "mailto:nobody"}, "no mail address"),
    "line end in an address": ({"subscriber": "mailto:a@b.c%0d%0aBcc:x@y.z"}, "mail address|line ends"),
    "line end in a subject": ({"subscriber": "mailto:a@b.c?subject=x%0ay"}, "line ends"),
    "line end in From": ({"subscriber": "mailto:a@b.c", "options": {"from": "a@b.c\nBcc: x@y.z"}}, "options.from"),
    "template of a wrong type": ({"options": {"post_data": {"a": 1}}}, "options.post_data"),
    "headers of a wrong type": ({"options": {"post_headers": "x"}}, "options.post_headers"),
    "header of a wrong type": ({"options": {"post_headers": {"a": 1}}}, "options.post_headers"),
    "header that is none": ({"options": {"post_headers": {"a b": "c"}}}, "options.post_headers"),
    "header of two lines": ({"options": {"post_headers": {"a": "b\r\nc: d"}}}, "options.post_headers"),
    "header of the connection": ({"options": {"post_headers": {"Content-Length": "1"}}}, "Content-Length"),
    "policy of a wrong type": ({"options": {"_retry_policy": "x"}}, "_retry_policy"),
    "policy with an unknown function": ({"options": {"_retry_policy": {"retry_backoff_function": "x"}}}, "backoff"),
    "policy out of range": ({"options": {"_retry_policy": {"maximum_delay": 6}}}, "maximum_delay"),
    "short ttl": ({"ttl": 59}, "ttl is 59"),
    "far future": ({"ttl": 99999999999999999}, "ttl is 99999999999999999"),
}
"""Members of a subscription that cannot be, and what is said of them."""


class WebhookTests(GatewayTestCase):
    """Requests to subscribers."""

    def setUp(self) -> None:
        super().setUp()
        self.receiver = Receiver()
        self.addCleanup(self.receiver.close)

    def test_template_and_headers(self) -> None:
        """A template and headers that were given, over either transport, make the request."""
        http, socket = self.http(), self.socket()
        template = '{"quoted": "$zaqar_message$", "bare": "x $zaqar_message$", "again": ["$zaqar_message$"]}'
        options = {"post_data": template, "post_headers": {"X-Mine": "a b", "content-type": "text/mine"}}
        made = http("POST", SUBSCRIPTIONS, {"subscriber": f"{self.receiver.url}/http", "options": options})
        self.assertEqual(made.status, 201, made)
        subscriber = f"{self.receiver.url}/websocket"
        reply = socket("subscription_create", queue_name="q", subscriber=subscriber, ttl=300, options=options)
        self.assertEqual(reply.status, 201, reply)
        http.post("q", {"n": ["ü"]})
        hooks = self.receiver.reach(lambda hooks: len(hooks) == 2, ARRIVED_S)
        self.assertEqual({hook.path for hook in hooks}, {"/http", "/websocket"})
        note = {"body": {"n": ["ü"]}, "ttl": 3600, "queue_name": "q", "Message_Type": "Notification"}
        for hook in hooks:
            self.assertEqual(hook.json, {"quoted": note, "bare": "x $zaqar_message$", "again": [note]})
            self.assertEqual((hook.headers["x-mine"], hook.headers["content-type"]), ("a b", "text/mine"))

    def test_delay(self) -> None:
        """In a queue with a delay the notification says so, and goes out at once; a claim and a pop make no difference."""
        http = self.http()
        http("PUT", "/v2/queues/q", {"_default_message_delay": 900})
        http("POST", SUBSCRIPTIONS, {"subscriber": self.receiver.url})
        http("POST", "/v2/queues/q/messages", {"messages": [{"body": 1}, {"body": 2, "delay": 0, "ttl": 60}]})
        http("DELETE", "/v2/queues/q/messages?pop=1")
        hooks = self.receiver.reach(lambda hooks: len(hooks) == 2, ARRIVED_S)
        more = {"queue_name": "q", "Message_Type": "Notification"}
        self.assertEqual(
            [hook.json for hook in hooks],
            [{"body": 1, "ttl": 3600, "delay": 900, **more}, {"body": 2, "ttl": 60, "delay": 0, **more}],
        )

    def test_broken_connections(self) -> None:
        """A connection that breaks before an answer is tried again at once."""
        broken = [2, 1]

        def answer(hook: Hook) -> int:
            if broken:
                raise ConnectionAbortedError(f"{broken.pop()} more")
            return 200

        receiver = Receiver(answer)
        self.addCleanup(receiver.close)
        http = self.http()
        http("POST", SUBSCRIPTIONS, {"subscriber": receiver.url})
        http.post("q", {"n": 1})
        (hook,) = receiver.reach(bool, ARRIVED_S)
        self.assertEqual((hook.headers["webhook-attempt"], broken), ("3", []))

    def test_redirect(self) -> None:
        """An answer that sends elsewhere is taken for one that is fine, and nobody goes there."""
        receiver = Receiver(lambda hook: 307, f"{self.receiver.url}/elsewhere")
        self.addCleanup(receiver.close)
        http = self.http()
        http("POST", SUBSCRIPTIONS, {"subscriber": f"{receiver.url}/here"})
        http.post("q", {"n": 1}, {"n": 2})
        hooks = receiver.reach(lambda hooks: len(hooks) == 2, ARRIVED_S)
        self.assertEqual([(hook.path, hook.headers["webhook-attempt"]) for hook in hooks], [("/here", "1")] * 2)
        self.assertEqual(self.receiver.hooks, [])

    def test_ended(self) -> None:
        """Nothing is sent for a post after a subscription was deleted, or purged, and nothing for one before it."""
        http = self.http()
        http.post("q", {"n": "before"})
        other = Receiver()
        self.addCleanup(other.close)
        made = http("POST", SUBSCRIPTIONS, {"subscriber": self.receiver.url})
        self.assertEqual(http("DELETE", f"{SUBSCRIPTIONS}/{made.json['subscription_id']}").status, 204)
        http("POST", SUBSCRIPTIONS, {"subscriber": f"{self.receiver.url}/purged"})
        self.assertEqual(http("POST", "/v2/queues/q/purge", {"resource_types": ["subscriptions"]}).status, 204)
        http("POST", SUBSCRIPTIONS, {"subscriber": other.url})
        http.post("q", {"n": "after"})
        (hook,) = other.reach(bool, ARRIVED_S)
        self.assertEqual(hook.json["body"], {"n": "after"})
        self.assertEqual(self.receiver.hooks, [])

    def test_dead_subscribers(self) -> None:
        """A thousand subscribers that take a connection and never answer hold up none that lives."""
        http = self.http()
        with socket.create_server(("127.0.0.1", 0), backlog=DEAD) as dead:
            port = dead.getsockname()[1]
            for number in range(DEAD):
                http("POST", SUBSCRIPTIONS, {"subscriber": f"http://127.0.0.1:{port}/{number}", "ttl": 300})
            http("POST", SUBSCRIPTIONS, {"subscriber": self.receiver.url})
            for number in range(20):
                http.post("q", {"n": number})
            hooks = self.receiver.reach(lambda hooks: len(hooks) == 20, ARRIVED_S)
            self.assertEqual([hook.json["body"]["n"] for hook in hooks], list(range(20)))
            self.assertEqual(http("POST", "/v2/queues/q/purge").status, 204)

    def test_refused(self) -> None:
        """What cannot be sent to, or read, is refused over both transports with the same words, and makes nothing."""
        http, socket = self.http(), self.socket()
        for what, (members, told) in REFUSED.items():
            asked = {"subscriber": "http://example.org/", **members}
            answer = http("POST", SUBSCRIPTIONS, asked)
            self.assertEqual(answer.status, 400, f"{what}: {answer}")
            reply = socket("subscription_create", queue_name="q", **asked)
            self.assertEqual(reply.status, 400, f"{what}: {reply}")
            self.assertRegex(answer.json["description"], told, what)
            self.assertEqual(reply.body["exception"], answer.json["description"], what)
        self.assertEqual(http("GET", "/v2/queues").json["queues"], [])


class PushTests(GatewayTestCase):
    """Frames to subscribers."""

    def test_binary_push(self) -> None:
        """A socket that subscribed in a binary frame gets binary pushes, whatever it asks in text (appendix B)."""
        made = websocket.create_connection(f"{self.gateway.websocket}/", timeout=ARRIVED_S)
        with closing(made) as connection:
            headers = {"Client-ID": CLIENT, "X-Project-ID": self.project}
            asked = {"action": "subscription_create", "headers": headers, "body": {"queue_name": "q"}}
            connection.send_binary(msgpack.packb(asked))
            self.assertEqual(msgpack.unpackb(connection.recv())["headers"], {"status": 201})
            connection.send(json.dumps({"action": "queue_list", "headers": headers}))
            self.assertEqual(json.loads(connection.recv())["headers"], {"status": 200})
            self.http().post("q", {"n": ["ü"]})
            opcode, pushed = connection.recv_data()
        self.assertEqual(opcode, websocket.ABNF.OPCODE_BINARY)
        note = {"body": {"n": ["ü"]}, "ttl": 3600, "queue_name": "q", "Message_Type": "Notification"}
        self.assertEqual(msgpack.unpackb(pushed), note)


class ConfiguredTests(SynchronousTestCase):
    """Gateways that have a secret, or a mail server."""

    def start(self, **settings: str) -> Http:
        """A connection to a gateway that has these settings of its section ``notification``."""
        gateway = Gateway(
            settings={f"NOTIFICATION_{name}": value for name, value in settings.items()}
            | {"SIGNED_URL_SECRET_KEY": "s3cr3t"}
        )
        self.addCleanup(gateway.stop)
        http = Http(gateway.http, "p")
        self.addCleanup(http.close)
        return http

    def mail_server(self) -> tuple[MailServer, dict[str, str]]:
        """A mail server, and the settings that name it."""
        server = MailServer()
        self.addCleanup(server.stop)
        settings = {"SMTP_HOST": "127.0.0.1", "SMTP_PORT": str(server.port), "SMTP_TLS": "none"}
        return server, {**settings, "SMTP_SENDER": "zaqar@example.org"}

    def mail(self, server: MailServer, number: int) -> Any:
        """A mail that the server took."""
        until(lambda: len(server.mails) > number, ARRIVED_S, "a mail")
        content = server.mails[number].content
        assert isinstance(content, bytes)
        return email.message_from_bytes(content.replace(b"\r\n", b"\n"), policy=default_policy)

    def test_signature(self) -> None:
        """With a secret every request is signed as Standard Webhooks says; the body has the keys of the API and no other."""
        receiver = Receiver()
        self.addCleanup(receiver.close)
        http = self.start(WEBHOOK_SECRET=f"whsec_{base64.b64encode(KEY).decode()}")
        http("POST", SUBSCRIPTIONS, {"subscriber": receiver.url})
        http.post("q", {"n": 1})
        (hook,) = receiver.reach(bool, ARRIVED_S)
        text = f"{hook.headers['webhook-id']}.{hook.headers['webhook-timestamp']}.".encode() + hook.body
        signature = base64.b64encode(hmac.digest(KEY, text, "sha256")).decode()
        self.assertEqual(hook.headers["webhook-signature"], f"v1,{signature}")
        self.assertEqual(set(hook.json), {"body", "ttl", "queue_name", "Message_Type"})

    def test_mail(self) -> None:
        """A subscriber with a mail address gets a mail for each message, with the payload as its text."""
        server, settings = self.mail_server()
        http = self.start(**settings)
        asked = {"subscriber": "mailto:you@example.org?subject=News", "options": {"from": "me@example.org"}}
        self.assertEqual(http("POST", SUBSCRIPTIONS, asked).status, 201)
        http.post("q", {"n": 0}, {"n": 1})
        for number in range(2):
            mail = self.mail(server, number)
            self.assertEqual((mail["To"], mail["From"], mail["Subject"]), ("you@example.org", "me@example.org", "News"))
            note = {"body": {"n": number}, "ttl": 3600, "queue_name": "q", "Message_Type": "Notification"}
            self.assertEqual(json.loads(mail.get_content()), note)

    def test_confirmation_by_mail(self) -> None:
        """The link in the mail that asks has all that confirming takes; only then are messages mailed."""
        server, settings = self.mail_server()
        page = "https://example.org/confirm"
        http = self.start(**settings, REQUIRE_CONFIRMATION="true", EXTERNAL_CONFIRMATION_URL=page)
        self.assertEqual(http("POST", SUBSCRIPTIONS, {"subscriber": "mailto:you@example.org"}).status, 201)
        http.post("q", {"n": "too early"})
        text = self.mail(server, 0).get_content()
        (link,) = [word for word in text.split() if word.startswith(page)]
        said = {name: value for name, (value,) in parse_qs(urlsplit(link).query).items()}
        self.assertEqual((said["Queue"], said["Project"], said["Methods"]), ("q", "p", "PUT"))
        headers = {f"URL-{name}": said[name] for name in ("Signature", "Expires", "Methods", "Paths")}
        self.assertEqual(http("PUT", said["Paths"], {"confirmed": True}, headers).status, 204)
        http.post("q", {"n": "in time"})
        self.assertEqual(json.loads(self.mail(server, 1).get_content())["body"], {"n": "in time"})
