"""What is found out about a subscriber before it is sent anything."""

from __future__ import annotations

from twisted.trial.unittest import SynchronousTestCase

from zaqar_gateway.model import Place, Subscription
from zaqar_gateway.push.attempts import bounded_by, host_of, options_of, party_of, scheme_of


class SubscriberTests(SynchronousTestCase):
    """Parts of a subscriber."""

    def test_host(self) -> None:
        """The host and port count, without what may hold secrets; of an address it is the domain."""
        for subscriber, host in (
            ("http://Example.org/a?token=x", "example.org:80"),
            ("https://user:secret@example.org/", "example.org:443"),
            ("trust+https://example.org", "example.org:443"),
            ("trust+http://example.org:8080/x", "example.org:8080"),
            ("http://\uff11\uff12\uff17.0.0.1/", "127.0.0.1:80"),
            ("http://ex\uff41mple\u3002org/", "example.org:80"),
            ("http://[2001:db8::1]:81/", "2001:db8::1:81"),
            ("mailto:me@example.org?subject=secret", "example.org"),
            ("plugin:secret", "plugin"),
            ("http://[x/secret", "http"),
            ("http://a:secret/", "http"),
            ("", ""),
        ):
            self.assertEqual(host_of(subscriber), host, subscriber)

    def test_mail(self) -> None:
        """All mail goes to one server, whatever the domain, and shares rooms apart from the rest of its project."""
        self.assertEqual(bounded_by("http://h/", "h:80"), "h:80")
        self.assertEqual({bounded_by(f"MailTo:a@{host}", host) for host in ("one.example", "two.example")}, {"mailto"})
        place = Place("p", "q")
        self.assertEqual(party_of(place, "https://h/"), "p")
        self.assertEqual(len({party_of(place, each) for each in ("mailto:a@one.example", "mailto:a@two.example", "http:")}), 2)

    def test_scheme(self) -> None:
        """A scheme is compared in lower case."""
        self.assertEqual(scheme_of("HTTP://x/"), "http")

    def test_options(self) -> None:
        """Options are an object; what is none counts as none."""
        for text, options in ((b'{"a": [1]}', {"a": [1]}), (b"[]", {}), (b"{", {}), (b"\xff", {}), (b"", {})):
            self.assertEqual(options_of(Subscription("s", "http:", 60, 0, text, True)), options)
