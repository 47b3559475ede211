"""Deliveries by mail, to a real mail server."""

from __future__ import annotations

import email
import json
from email.message import EmailMessage
from email.policy import default as default_policy
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from twisted.internet import reactor as reactor_module
from twisted.internet.defer import Deferred
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.ssl import Certificate, trustRootFromCertificates
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase, TestCase
from zope.interface.verify import verifyObject

from tests.clocks import SetClock
from tests.push.base import PAYLOAD, TimedReactor, delivery
from tests.push.smtp_server import NAME, PASSWORD, USER, MailServer
from zaqar_gateway.errors import RuleBroken
from zaqar_gateway.interfaces import INotifier
from zaqar_gateway.model import CONFIRM, UNSUBSCRIBE, Verdict
from zaqar_gateway.push import smtp
from zaqar_gateway.push.mail import RECIPIENTS_MAX, MailNotifier

reactor: Any = reactor_module

SENDER = "zaqar@gateway.example"
NOW_S = 1_800_000_000
PAGE = "https://example.org/confirm"
NOTICE = {
    "Message_Type": CONFIRM,
    "URL-Signature": "6a63d63242ebd18c3518871dda6fdcb6273db2672c599bf985469241e9a1c799",
    "URL-Methods": "PUT",
    "URL-Paths": "/v2/queues/q/subscriptions/s1/confirm",
    "X-Project-ID": "p & q",
    "URL-Expires": "2026-11-24T09:52:36",
    "WSGISubscribeURL": "https://example.org/v2/queues/q/subscriptions/s1/confirm?x=1&y",
    "queue_name": "q",
}


class SendingCase(TestCase):
    """A mail server on loopback; time stands still unless a test moves it."""

    timeout = 120  # the machines that test are busy

    def start(self, tls: str = "none", login: bool = False, *, name: str = NAME, **given: Any) -> MailServer:
        """Start a mail server, and make a notifier for it."""
        server = MailServer(tls, login, name)
        self.addCleanup(server.stop)
        self.make(
            server.port, tls, trust_root=trustRootFromCertificates([Certificate.loadPEM(server.certificate)]), **given
        )
        return server

    def make(
        self,
        port: int,
        tls: Any = "none",
        *,
        user: str = "",
        password: str = "",
        host: str = NAME,
        trust_root: Any = None,
        **given: Any,
    ) -> None:
        """Make a notifier."""
        self.clock = SetClock(NOW_S)
        server = smtp.MailServer(TimedReactor(reactor, self.clock), host, port, tls, user, password, trust_root)
        self.notifier = MailNotifier(self.clock, server.send, **{"sender": SENDER, "timeout_s": 30, **given})

    async def send(self, subscriber: str, options: dict[str, object] | None = None, **given: Any) -> Verdict:
        """Deliver."""
        return await self.notifier.send(delivery(subscriber, options, **given))

    def parsed(self, server: MailServer, number: int = -1) -> EmailMessage:
        """A mail that the server took, read by the mail library."""
        content = server.mails[number].content
        assert isinstance(content, bytes)
        message = email.message_from_bytes(content.replace(b"\r\n", b"\n"), policy=default_policy)
        assert isinstance(message, EmailMessage)
        self.assertEqual(message.defects, [])
        return message


class Mails(SendingCase):
    """What arrives."""

    async def test_notification(self) -> None:
        """The payload is the text; the path of the URI is To, and options give From and Subject."""
        server = self.start()
        options: dict[str, object] = {"from": "me@example.org", "subject": "Hello"}
        self.assertEqual(await self.send("mailto:you@example.org", options), Verdict(True))
        (envelope,) = server.mails
        self.assertEqual((envelope.mail_from, envelope.rcpt_tos), (SENDER, ["you@example.org"]))
        message = self.parsed(server)
        self.assertEqual(message.get_content_type(), "text/plain")
        self.assertEqual(message.get_content().encode().rstrip(b"\n"), PAYLOAD)
        headers = {name: str(message[name]) for name in ("To", "From", "Subject", "Date", "Auto-Submitted")}
        self.assertEqual(
            headers,
            {
                "To": "you@example.org",
                "From": "me@example.org",
                "Subject": "Hello",
                "Date": "Fri, 15 Jan 2027 08:00:00 +0000",
                "Auto-Submitted": "auto-generated",
            },
        )

    async def test_heading(self) -> None:
        """The subject of the URI wins; several addresses get one mail; text of any script arrives as it is."""
        server = self.start()
        for subscriber, options, to, sender, subject in (
            ("mailto:a@b.c?subject=x", {"subject": "y"}, "a@b.c", SENDER, "x"),
            ("MailTo:a@b.c?body=z&SUBJECT=x%20+%26y&subject=z", {}, "a@b.c", SENDER, "x +&y"),
            ("mailto:a@b.c?subject=", {"subject": "y"}, "a@b.c", SENDER, ""),
            ("mailto:a@b.c", {"subject": "Grüße, 世界 " * 20}, "a@b.c", SENDER, "Grüße, 世界 " * 20),
            ("mailto:a@b.c?subject=%E4%B8%96", {}, "a@b.c", SENDER, "世"),
            ("mailto:a%2Bb@c.d,e@f.g,a%2Bb@c.d#x", {}, "a+b@c.d, e@f.g", SENDER, ""),
            ("mailto:a@münchen.example", {}, "a@xn--mnchen-3ya.example", SENDER, ""),
            ("mailto:a@b.c", {"from": '"Zäqar, Me" <m@n.o>'}, "a@b.c", '"Zäqar, Me" <m@n.o>', ""),
            ("mailto:a@b.c", {"subject": "=?utf-8?q?=E4=B8=96?="}, "a@b.c", SENDER, "世"),
        ):
            self.assertEqual(await self.send(subscriber, options), Verdict(True), subscriber)  # type: ignore[arg-type]
            message = self.parsed(server)
            self.assertEqual(message["To"], to)
            self.assertEqual(message["From"], sender)
            self.assertEqual(str(message["Subject"]).rstrip(), subject.rstrip())
            self.assertEqual(server.mails[-1].rcpt_tos, to.split(", "))

    async def test_message_id(self) -> None:
        """Attempts at one delivery have one Message-ID, and other deliveries have others."""
        server = self.start()
        for delivery_id, attempt in (("d:1 ä", 1), ("d:1 ä", 2), ("d2", 1)):
            await self.send("mailto:a@b.c", id=delivery_id, attempt=attempt)
        first, second, third = (str(self.parsed(server, number)["Message-ID"]) for number in range(3))
        self.assertEqual(first, second)
        self.assertNotEqual(first, third)
        self.assertRegex(first, r"^<[0-9a-f]{32}@gateway\.example>$")

    async def test_any_payload(self) -> None:
        """Long lines, lines that are a period, line ends of any kind and 200 KiB arrive whole, in one mail."""
        server = self.start()
        bodies = [
            '"ä"',
            json.dumps("x" * 3000),
            "[1,\n.\n,\n..2\n]",
            '[1,\r\n"a",\n2]',
            "[\n" + "." * 70 + "]",
            json.dumps("ä\u2028😀" * 1000, ensure_ascii=False),
            "\n".join(["[", *[f".{number:06}," for number in range(20000)], "0]"]),
        ]
        for number, body in enumerate(bodies):
            self.assertEqual(await self.send("mailto:a@b.c", payload=body.encode()), Verdict(True))
            self.assertEqual(len(server.mails), number + 1)
            got = self.parsed(server).get_content().rstrip("\n")
            self.assertEqual(got, body.replace("\r\n", "\n"))
            content = server.mails[-1].content
            assert isinstance(content, bytes)
            self.assertTrue(content.isascii())
            self.assertLess(max(map(len, content.split(b"\r\n"))), 999)

    async def test_notices(self) -> None:
        """A notice is made from its template, with a link that has everything that confirming takes."""
        own = {"topic": "Tschüß", "body": "{2}|{1}|{0}|{{}}", "sender": "other@example.org"}
        server = self.start(confirmation_url=PAGE, templates={UNSUBSCRIBE: own, CONFIRM: {}})
        self.assertTrue((await self.send("mailto:a@b.c", payload=json.dumps(NOTICE).encode(), notice=CONFIRM)).ok)
        message = self.parsed(server)
        self.assertEqual((message["From"], message["To"]), (SENDER, "a@b.c"))
        self.assertEqual(message["Subject"], "Please confirm your subscription")
        text = message.get_content()
        self.assertIn("queue q (project p & q)", text)
        (link,) = [line for line in text.splitlines() if line.startswith("http")]
        expected = [
            ("Signature", NOTICE["URL-Signature"]),
            ("Methods", "PUT"),
            ("Paths", NOTICE["URL-Paths"]),
            ("Project", "p & q"),
            ("Expires", NOTICE["URL-Expires"]),
            ("Url", NOTICE["WSGISubscribeURL"]),
            ("Queue", "q"),
        ]
        self.assertEqual(parse_qsl(urlsplit(link).query), expected)
        self.assertTrue(link.startswith(f"{PAGE}?Signature=6a63"))
        self.assertRegex(link, r"^[A-Za-z0-9:/.?&=%_~-]+$")

        without = {name: value for name, value in NOTICE.items() if name != "WSGISubscribeURL"}
        sent = await self.send("mailto:a@b.c", payload=json.dumps(without).encode(), notice=UNSUBSCRIBE)
        self.assertTrue(sent.ok)
        message = self.parsed(server)
        self.assertEqual((message["From"], message["Subject"]), ("other@example.org", "Tschüß"))
        link, project, queue, braces = message.get_content().strip().split("|")
        self.assertEqual((project, queue, braces), ("p & q", "q", "{}"))
        self.assertIn(("Url", ""), parse_qsl(urlsplit(link).query, keep_blank_values=True))

    async def test_no_page(self) -> None:
        """Without a page to confirm on no notice is sent, and the reason names the setting."""
        server = self.start()
        verdict = await self.send("mailto:a@b.c", payload=json.dumps(NOTICE).encode(), notice=CONFIRM)
        self.assertEqual((verdict.ok, verdict.again, server.mails), (False, False, []))
        self.assertIn("external_confirmation_url", verdict.reason)

    async def test_injection(self) -> None:
        """What would begin another header is refused where it is sent, and nothing is."""
        server = self.start()
        for subscriber, options in INJECTIONS:
            verdict = await self.send(subscriber, options)
            self.assertEqual((verdict.ok, verdict.again), (False, False), (subscriber, options))
        self.assertEqual(server.mails, [])


INJECTIONS: tuple[tuple[str, dict[str, object]], ...] = (
    ("mailto:a@b.c\r\nBcc: x@y.z", {}),
    ("mailto:a@b.c%0d%0aBcc:x@y.z", {}),
    ("mailto:a@b.c%0ABcc:x@y.z", {}),
    ("mailto:a@b.c>%0d%0aRCPT%20TO:<x@y.z", {}),
    ("mailto:%22a%0d%0ab%22@b.c", {}),
    ("mailto:a@b.c%00", {}),
    ("mailto:a@b.c?subject=x%0d%0aBcc:x@y.z", {}),
    ("mailto:a@b.c?subject=x%0dBcc:x@y.z", {}),
    ("mailto:a@b.c?subject=x\nBcc:x@y.z", {}),
    ("mailto:a@b.c?subject=x%C2%85y", {}),
    ("mailto:a@b.c?subject=x%E2%80%A8y", {}),
    ("mailto:a@b.c", {"subject": "x\r\nBcc: x@y.z"}),
    ("mailto:a@b.c", {"subject": "x\ny"}),
    ("mailto:a@b.c", {"subject": "x\ry"}),
    ("mailto:a@b.c", {"subject": "\ud800"}),
    ("mailto:a@b.c", {"from": "m@n.o\r\nBcc: x@y.z"}),
    ("mailto:a@b.c", {"from": "M\n <m@n.o>"}),
    ("mailto:a@b.c", {"from": "<m@n.o\r>"}),
    # Encoded words, which hold a line end once they are unpacked: once, or twice.
    ("mailto:a@b.c", {"subject": "=?utf-8?q?x=0d=0aBcc:_x@y.z?="}),
    ("mailto:a@b.c?subject=%3D?utf-8?b?eA0KQmNjOiB4QHkueg==?%3D", {}),
    ("mailto:a@b.c", {"from": "=?utf-8?q?x=0aBcc:_x@y.z?= <m@n.o>"}),
    ("mailto:a@b.c", {"from": "=?utf-8?q?=3D=3Futf-8=3Fq=3Fx=3D0aBcc:x=3F=3D?= <m@n.o>"}),
)


class Connections(SendingCase):
    """How the server is reached."""

    async def test_tls_and_login(self) -> None:
        """With STARTTLS and with TLS from the beginning, each with and without a login, mail arrives."""
        for tls in ("none", "starttls", "tls"):
            for login in (False, True):
                server = self.start(tls, login, **({"user": USER, "password": PASSWORD} if login else {}))
                self.assertEqual(await self.send("mailto:a@b.c"), Verdict(True), (tls, login))
                self.assertEqual(len(server.mails), 1)

    async def test_wrong_login(self) -> None:
        """A login that is refused is final; neither it nor the conversation is in the reason."""
        server = self.start("starttls", True, user=USER, password="wr0ng")
        verdict = await self.send("mailto:a@b.c")
        self.assertEqual((verdict.ok, verdict.again, server.mails), (False, False, []))
        self.assertRegex(verdict.reason, "^the mail server answered 535( 5\\.7\\.8)?$")
        self.assertNotIn("wr0ng", verdict.reason + repr(smtp.MailServer(reactor, "h", password="wr0ng")))
        self.assertNotIn("EHLO", verdict.reason)

    async def test_no_login_offered(self) -> None:
        """A login is never left out because the server offers none."""
        self.make(self.listen(Scripted), user=USER, password=PASSWORD)
        verdict = await self.send("mailto:a@b.c")
        self.assertFalse(verdict.ok)
        self.assertNotIn(b"MAIL", Scripted.got)

    async def test_no_starttls_offered(self) -> None:
        """Where STARTTLS is asked for and not offered, nothing goes out in plain text."""
        for login in ({"user": USER, "password": PASSWORD}, {}):
            self.make(self.listen(Scripted), "starttls", **login)
            verdict = await self.send("mailto:a@b.c")
            self.assertFalse(verdict.ok)
            for word in (b"MAIL", b"AUTH", b"HELO "):
                self.assertNotIn(word, Scripted.got)

    async def test_answers_without_tls(self) -> None:
        """What comes with the answer to STARTTLS is no answer to what is asked with TLS: the mail is not sent, and tried again."""
        for script, login in ((Speaking, {"user": USER, "password": PASSWORD}), (SpeakingWithoutLogin, {})):
            self.make(self.listen(script), "starttls", **login)
            verdict = await self.send("mailto:a@b.c")
            self.assertEqual((verdict.ok, verdict.again), (False, True))
            self.assertIn("without TLS", verdict.reason)

    async def test_taken_before(self) -> None:
        """A server that says that it has taken the mail before it got it has none."""
        self.make(self.listen(Hasty), "none")
        verdict = await self.send("mailto:a@b.c")
        self.assertEqual((verdict.ok, verdict.again), (False, True))
        self.assertEqual(verdict.reason, "the mail server answered 250 before it got the mail")

    async def test_certificates(self) -> None:
        """A certificate that is not trusted, or of another host, is refused before anything is said."""
        for tls in ("starttls", "tls"):
            for is_trusted, name in ((False, NAME), (True, "other.test")):
                server = self.start(tls, True, name=name, user=USER, password=PASSWORD)
                if not is_trusted:
                    self.make(server.port, tls, user=USER, password=PASSWORD)
                verdict = await self.send("mailto:a@b.c")
                self.assertEqual((verdict.ok, verdict.again, server.mails), (False, True, []), (tls, name))
                self.assertNotEqual(verdict.reason, "")

    async def test_nobody_there(self) -> None:
        """A server that does not listen is tried again."""
        port: Any = reactor.listenTCP(0, Factory(), interface="127.0.0.1")
        number = port.getHost().port
        await port.stopListening()
        notifier = MailNotifier(reactor, smtp.MailServer(reactor, NAME, number, "none").send, sender=SENDER, timeout_s=30)
        verdict = await notifier.send(delivery("mailto:a@b.c"))
        self.assertEqual((verdict.ok, verdict.again), (False, True))
        self.assertIn("refused", verdict.reason)

    async def test_silent(self) -> None:
        """A server that says nothing, and one that stops in the middle, cost the time-out."""
        for script in (Silent, Stopping):
            script.reached = Deferred()
            self.make(self.listen(script))
            sent = Deferred.fromCoroutine(self.send("mailto:a@b.c"))
            await script.reached
            self.clock.advance(29)
            self.assertNoResult(sent)
            self.clock.advance(1)
            self.assertEqual(await sent, Verdict(False, True, "no answer within 30 s"))

    async def test_hangs_after_the_mail(self) -> None:
        """A server that took the mail and does not say goodbye has taken it."""
        Taking.reached = Deferred()
        self.make(self.listen(Taking))
        sent = Deferred.fromCoroutine(self.send("mailto:a@b.c"))
        await Taking.reached
        self.clock.advance(30)
        self.assertEqual(await sent, Verdict(True))

    async def test_hangs_up(self) -> None:
        """A server that hangs up, or speaks no SMTP, is tried again."""
        for script in (HangingUp, NoSmtp):
            self.make(self.listen(script))
            verdict = await self.send("mailto:a@b.c")
            self.assertEqual((verdict.ok, verdict.again), (False, True))

    async def test_no_server(self) -> None:
        """Without a mail server what is owed is given up, and the reason names the setting."""
        notifier = MailNotifier(Clock(), None, sender="", timeout_s=1)
        notifier.check("mailto:a@b.c", {})
        verdict = await notifier.send(delivery("mailto:a@b.c"))
        self.assertEqual((verdict.ok, verdict.again), (False, False))
        self.assertIn("smtp_host", verdict.reason)

    def listen(self, protocol: type[Protocol]) -> int:
        """Serve a scripted server; gives its port."""
        port = reactor.listenTCP(0, Factory.forProtocol(protocol), interface="127.0.0.1")
        self.addCleanup(port.stopListening)
        number: int = port.getHost().port
        return number


class Scripted(Protocol):
    """A mail server without extensions, made of lines."""

    transport: Any
    reached: Deferred[None]
    got = b""
    answers = {b"EHLO": b"250 hello\r\n", b"MAIL": b"250 OK\r\n", b"RCPT": b"250 OK\r\n", b"QUIT": b"221 Bye\r\n"}

    def connectionMade(self) -> None:
        """Greet."""
        type(self).got = b""
        self.transport.write(b"220 hello\r\n")

    def dataReceived(self, data: bytes) -> None:
        """Answer."""
        type(self).got += data
        answer = self.answers.get(data[:4])
        if answer:
            self.transport.write(answer)
        elif hasattr(self, "reached") and not self.reached.called:
            self.reached.callback(None)


class Silent(Scripted):
    """Says nothing."""

    def connectionMade(self) -> None:
        """Nothing.  The test goes on in a turn of its own: it frees a socket that this turn may have news of."""
        reactor.callLater(0, self.reached.callback, None)


class Stopping(Scripted):
    """Stops at DATA."""


class Taking(Scripted):
    """Takes the mail, and stops."""

    answers = {**Scripted.answers, b"DATA": b"354 go\r\n"}

    def dataReceived(self, data: bytes) -> None:
        """Answer."""
        if data.startswith(b"RSET"):
            self.reached.callback(None)
        elif not self.got.partition(b"DATA")[2]:
            super().dataReceived(data)
        else:
            type(self).got += data
            if self.got.endswith(b"\r\n.\r\n"):
                self.transport.write(b"250 taken\r\n")


class HangingUp(Scripted):
    """Hangs up instead of taking a sender."""

    def dataReceived(self, data: bytes) -> None:
        """Answer, once."""
        if data.startswith(b"EHLO"):
            super().dataReceived(data)
        else:
            self.transport.loseConnection()


class Speaking(Scripted):
    """Has said without TLS, when it is asked for it, all that would be said with it."""

    answers = {
        **Scripted.answers,
        b"EHLO": b"250-hello\r\n250 STARTTLS\r\n",
        b"STAR": b"220 go\r\n250-mx\r\n250 AUTH LOGIN\r\n334 \r\n334 \r\n235 ok\r\n250 ok\r\n250 ok\r\n354 go\r\n250 queued\r\n",
    }


class SpeakingWithoutLogin(Speaking):
    """The same where there is no login."""

    answers = {
        **Speaking.answers,
        b"STAR": b"220 go\r\n250 mx\r\n250 ok\r\n250 ok\r\n354 go\r\n250 queued\r\n",
    }


class Hasty(Scripted):
    """Has taken a mail before it got one."""

    answers = {**Scripted.answers, b"DATA": b"250 taken\r\n", b"RSET": b"250 OK\r\n"}


class NoSmtp(Scripted):
    """Speaks something else."""

    def connectionMade(self) -> None:
        """Greet."""
        self.transport.write(b"SSH-2.0-x\r\n")


class Answers(SendingCase):
    """What the answers of a server mean."""

    async def test_answers(self) -> None:
        """What is refused for now is tried again; what is refused for good is not."""
        server = self.start()
        for server.answers, again, reason in (
            ({"MAIL": "451 busy"}, True, "answered 451"),
            ({"MAIL": "550 no"}, False, "answered 550"),
            ({"DATA": "452 full"}, True, "answered 452"),
            ({"DATA": "554 5.7.1 spam"}, False, "answered 554 5.7.1"),
            ({"a@b.c": "450 later"}, True, "refused 1 of 2 addresses: 450"),
            ({"a@b.c": "550 5.1.1 nobody"}, False, "refused 1 of 2 addresses: 550 5.1.1"),
            ({"a@b.c": "550 nobody", "d@e.f": "450 later"}, True, "refused 2 of 2 addresses: 450"),
            ({"a@b.c": "550 nobody", "d@e.f": "551 moved"}, False, "refused 2 of 2 addresses: 550"),
        ):
            verdict = await self.send("mailto:a@b.c,d@e.f")
            self.assertEqual((verdict.ok, verdict.again), (False, again), server.answers)
            self.assertEqual(verdict.reason, f"the mail server {reason}")

    def test_judge(self) -> None:
        """Of an answer the codes are shown, since its words may repeat what was sent; what else is for now makes another
        attempt."""
        self.assertEqual(smtp.judge(250, b"ok", [("a", 251, b"will forward")]), Verdict(True))
        for answer, shown in (
            (b"5.1.1 <a@b.c>: nobody", "550 5.1.1"),
            (b"<a@b.c> 5.1.1", "550"),
            (b"5.1.1.1", "550"),
            (b"\xff", "550"),
        ):
            self.assertEqual(smtp.judge(550, answer, ()).reason, f"the mail server answered {shown}")
        self.assertTrue(smtp.judge(451, b"busy", [("a", 550, b"nobody"), ("b", 250, b"")]).again)


class Checks(SynchronousTestCase):
    """What a subscription may say."""

    def setUp(self) -> None:
        self.notifier = MailNotifier(Clock(), None, sender=SENDER, timeout_s=1)

    def refused(self, subscriber: str, options: dict[str, object] | None = None) -> str:
        """The text of a refusal."""
        return str(self.assertRaises(RuleBroken, self.notifier.check, subscriber, options or {}))

    def test_provides_interface(self) -> None:
        """It is a notifier."""
        verifyObject(INotifier, self.notifier)

    def test_accepted(self) -> None:
        """Addresses and options of many forms will do, and options for others too."""
        for subscriber in (
            "mailto:aaa@example.com",
            "MAILTO:a@localhost",
            "mailto:a.b+c@d-e.example,f@g.example?subject=x&cc=other@example.org",
            "mailto:" + "a" * 64 + "@example.org",
            "mailto:" + ",".join(f"a{number}@b.c" for number in range(RECIPIENTS_MAX)),
        ):
            self.notifier.check(subscriber, {"from": "M <m@n.o>", "subject": "x" * 998, "post_data": 1, "a": None})
        self.notifier.check("mailto:a@b.c", {"from": None, "subject": None})
        self.notifier.check("mailto:a@b.c", {"from": "", "subject": ""})

    def test_injection(self) -> None:
        """What would begin another header is refused where a subscription is made."""
        for subscriber, options in INJECTIONS:
            self.assertIn("it has to be", self.refused(subscriber, options))

    def test_refused(self) -> None:
        """What is no address, or too much, is refused, with what would be right."""
        for subscriber, what in (
            ("mailto:", "no mail address"),
            ("mailto:?subject=x", "no mail address"),
            ("mailto:a", "no mail address"),
            ("mailto:@b.c", "no mail address"),
            ("mailto:a@", "no mail address"),
            ("mailto:a@b@c", "no mail address"),
            ("mailto:a%40b@c", "no mail address"),
            ("mailto:a b@c", "no mail address"),
            ("mailto:a..b@c", "no mail address"),
            ("mailto:a@b..c", "no mail address"),
            ("mailto:a@[127.0.0.1]", "no mail address"),
            ("mailto:ä@b.c", "no mail address"),
            ("mailto:a@b.c,", "no mail address"),
            ("mailto:A<a@b.c>", "no mail address"),
            ("mailto:" + "a" * 65 + "@b.c", "no mail address"),
            ("mailto:a@" + "b." * 130 + "c", "no mail address"),
            ("mailto:%ff@b.c", "not UTF-8"),
            ("mailto:a@b.c?subject=%ff", "not UTF-8"),
            ("mailto:" + ",".join(f"a{number}@b.c" for number in range(RECIPIENTS_MAX + 1)), "21 addresses"),
            ("mailto:a@b.c?subject=" + "x" * 999, "has 999 characters"),
            ("mailto:a@b.c?x=" + "x" * 2048, "subscriber has 2063 characters"),
        ):
            self.assertIn(what, self.refused(subscriber))
        for options, what in (
            ({"subject": 1}, "options.subject is not a text"),
            ({"subject": "x" * 999}, "options.subject has 999 characters"),
            ({"from": []}, "options.from is not a text"),
            ({"from": "me"}, "options.from is no mail address"),
            ({"from": "a@b.c, d@e.f"}, "options.from is no mail address"),
            ({"from": "ä@b.c"}, "options.from is no mail address"),
            ({"from": "x" * 1000 + " <a@b.c>"}, "options.from is no mail address"),
        ):
            self.assertIn(what, self.refused("mailto:a@b.c", options))  # type: ignore[arg-type]
