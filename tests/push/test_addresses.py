"""Where webhooks may go."""

from __future__ import annotations

from twisted.internet.defer import Deferred
from twisted.internet.testing import MemoryReactorClock
from twisted.trial.unittest import SynchronousTestCase

from tests.push.base import Resolver, delivery
from zaqar_gateway.model import Verdict
from zaqar_gateway.push.addresses import AddressRules
from zaqar_gateway.push.webhook import WebhookNotifier

PUBLIC = "8.8.8.8"
PUBLIC_6 = "2606:4700:4700::1111"

NAMES = {
    "localhost": ["127.0.0.1", "::1"],
    "localhost.": ["127.0.0.1"],
    "localhost6": ["::1"],
    "ip6-localhost": ["::1"],
    "loopback.example.org": ["127.0.0.1"],
    "sub.domain.127.0.0.1.nip.example": ["127.0.0.1"],
    "private.example.org": ["10.1.2.3"],
    "private-b.example.org": ["172.31.255.255"],
    "private-c.example.org": ["192.168.1.1"],
    "both.example.org": ["10.0.0.1", "fd00::1"],
    "metadata.google.internal": ["169.254.169.254"],
    "instance-data": ["169.254.169.254"],
    "metadata6.example.org": ["fd00:ec2::254"],
    "cgnat.example.org": ["100.64.0.1"],
    "multicast.example.org": ["224.0.0.1"],
    "any.example.org": ["0.0.0.0", "::"],
    "mapped.example.org": ["::ffff:10.0.0.1"],
    "nat64.example.org": ["64:ff9b::a9fe:a9fe"],
    "link.example.org": ["fe80::1"],
    "scoped.example.org": ["fe80::1%1"],
    "my_service": ["172.17.0.2"],
    "xn--mnchen-3ya.example": ["127.0.0.1"],
}

HOSTILE = (
    # Addresses as they are usually written.
    "127.0.0.1",
    "127.0.0.2",
    "127.255.255.254",
    "0.0.0.0",
    "10.0.0.1",
    "172.16.0.1",
    "192.168.0.1",
    "169.254.169.254",
    "169.254.170.2",
    "100.100.100.200",
    "168.63.129.16",
    "192.0.0.192",
    "224.0.0.251",
    "255.255.255.255",
    "240.0.0.1",
    # The same as one number, in other bases, with parts left out.
    "2130706433",
    "0x7f000001",
    "017700000001",
    "0x7f.0.0.1",
    "0x7f.1",
    "0177.0.0.1",
    "0177.1",
    "127.1",
    "127.0.1",
    "0",
    "0x0",
    "2852039166",
    "0xa9fea9fe",
    "0251.0376.0251.0376",
    "0xa9.0xfe.43518",
    "167772161",
    "10.1",
    "3232235521",
    # Digits of other scripts, and other dots.
    "１２７.0.0.1",
    "127。0。0。1",
    "①②⑦.⓪.⓪.①",
    # IPv6, and IPv4 inside it.
    "[::1]",
    "[0:0:0:0:0:0:0:1]",
    "[::]",
    "[::127.0.0.1]",
    "[::ffff:127.0.0.1]",
    "[::ffff:7f00:1]",
    "[::ffff:169.254.169.254]",
    "[0:0:0:0:0:ffff:a00:1]",
    "[::ffff:0:127.0.0.1]",
    "[64:ff9b::127.0.0.1]",
    "[64:ff9b::10.0.0.1]",
    "[64:ff9b:1::1]",
    "[2002:7f00:1::]",
    "[2002:a9fe:a9fe::1]",
    "[2001:0:7f00:1::]",
    "[fd00:ec2::254]",
    "[fc00::1]",
    "[fe80::1]",
    "[fec0::1]",
    "[ff02::1]",
    "[2001:db8::1]",
    "[100::1]",
    "[5f00::1]",
    "[4000::1]",
    # Names, in capitals, and in scripts of their own.
    "LocalHost",
    "münchen.example",
    *NAMES,
)


class Rules(SynchronousTestCase):
    """Addresses alone."""

    def test_public(self) -> None:
        """What is public is permitted, whichever way it is reached."""
        rules = AddressRules()
        for host in (
            PUBLIC,
            "1.1.1.1",
            "100.128.0.1",
            "172.32.0.1",
            "169.253.0.1",
            PUBLIC_6,
            "64:ff9b::808:808",
            "::ffff:8.8.8.8",
        ):
            self.assertTrue(rules.permits(host), host)

    def test_no_address(self) -> None:
        """What is no address is not permitted."""
        for host in ("", "localhost", "127.1", "8.8.8.8:80", "[::1]"):
            self.assertFalse(AddressRules(loopback=True).permits(host), host)

    def test_loopback(self) -> None:
        """Loopback is opened by itself, mapped as well, and opens nothing else."""
        rules = AddressRules(loopback=True)
        for host in ("127.0.0.1", "127.3.2.1", "::1", "::ffff:127.0.0.1"):
            self.assertTrue(rules.permits(host), host)
        for host in ("0.0.0.0", "::", "10.0.0.1", "169.254.169.254", "::7f00:1"):
            self.assertFalse(rules.permits(host), host)

    def test_allowed(self) -> None:
        """A network that is allowed is open, also to IPv6 forms of its addresses; its neighbours stay closed."""
        rules = AddressRules(allowed=("10.1.0.0/16", "fd00:1::/32"))
        for host in ("10.1.2.3", "::ffff:10.1.2.3", "64:ff9b::10.1.2.3", "fd00:1::1"):
            self.assertTrue(rules.permits(host), host)
        for host in ("10.2.0.1", "fd00:2::1", "127.0.0.1"):
            self.assertFalse(rules.permits(host), host)

    def test_denied(self) -> None:
        """A network that is denied is closed, whatever else opens it."""
        denied = ("8.8.0.0/16", "10.1.1.0/24", "127.0.0.9/32")
        rules = AddressRules(allowed=("10.0.0.0/8",), denied=denied, loopback=True)
        for host in (PUBLIC, "::ffff:8.8.8.8", "64:ff9b::808:808", "10.1.1.1", "127.0.0.9"):
            self.assertFalse(rules.permits(host), host)
        for host in ("8.9.0.1", "10.1.2.1", "127.0.0.1"):
            self.assertTrue(rules.permits(host), host)


class Connecting(SynchronousTestCase):
    """Hosts, looked up by a resolver of the test."""

    def setUp(self) -> None:
        self.reactor = MemoryReactorClock()

    def send(self, resolver: Resolver, host: str, rules: AddressRules | None = None) -> Deferred[Verdict]:
        """Send to a host."""
        notifier = WebhookNotifier(self.reactor, rules or AddressRules(), timeout_s=10, resolver=resolver)
        return Deferred.fromCoroutine(notifier.send(delivery(f"http://{host}:8080/x")))

    def dialled(self) -> list[tuple[str, int]]:
        """The addresses that were dialled."""
        return [(host, port) for host, port, *_ in self.reactor.tcpClients]

    def test_hostile(self) -> None:
        """None of many spellings of places that are not public is dialled, and none is tried again."""
        self.assertGreaterEqual(len(HOSTILE), 60)
        resolver = Resolver({name: lambda found=found: found for name, found in NAMES.items()})  # type: ignore[misc]
        for host in HOSTILE:
            verdict = self.successResultOf(self.send(resolver, host))
            self.assertEqual((verdict.ok, verdict.again, self.dialled()), (False, False, []), (host, verdict))
            self.assertIn("closed to deliveries", verdict.reason, host)

    def test_judged_is_dialled(self) -> None:
        """A host is looked up once for each connection, and what was found then is dialled, not its name."""
        answers = iter([[PUBLIC], ["127.0.0.1"], [PUBLIC], ["10.0.0.1"]])
        resolver = Resolver({"changing.example": lambda: next(answers)})
        for expected in ([(PUBLIC, 8080)], [], [(PUBLIC, 8080)], []):
            self.reactor.tcpClients.clear()
            sent = self.send(resolver, "changing.example")
            self.assertEqual(self.dialled(), expected)
            if expected:
                self.assertNoResult(sent)
                self.reactor.advance(10)
                self.assertTrue(self.successResultOf(sent).again)
            else:
                self.assertFalse(self.successResultOf(sent).again)
        self.assertEqual(resolver.asked, ["changing.example"] * 4)

    def test_alternating(self) -> None:
        """A name that leads to another of those places each time is judged anew each time, and never dialled."""
        numbers = (Resolver().numbers(host.strip("[]")) for host in HOSTILE if host not in NAMES)
        places = [*NAMES.values(), *(list(found) for found in numbers if found)]
        self.assertGreaterEqual(len(places), 60)
        answers = iter(places)
        resolver = Resolver({"alternating.example": lambda: next(answers)})
        for number, found in enumerate(places, 1):
            verdict = self.successResultOf(self.send(resolver, "alternating.example"))
            self.assertEqual((verdict.ok, self.dialled()), (False, []), found)
            self.assertIn("closed to deliveries", verdict.reason, found)
            self.assertEqual(len(resolver.asked), number)

    def test_mixed(self) -> None:
        """Of several addresses only those are dialled that are permitted."""
        found = ["127.0.0.1", PUBLIC, "fd00::1", PUBLIC_6, "169.254.169.254"]
        self.send(Resolver({"mixed.example": lambda: found}), "mixed.example")
        self.reactor.advance(1)
        self.assertEqual(self.dialled(), [(PUBLIC, 8080), (PUBLIC_6, 8080)])

    def test_unknown(self) -> None:
        """A host without addresses may have some later."""
        verdict = self.successResultOf(self.send(Resolver(), "unknown.example"))
        self.assertEqual((verdict.ok, verdict.again), (False, True))
        self.assertIn("the host has no address", verdict.reason)

    def test_silent_resolver(self) -> None:
        """A resolver that never answers is waited for no longer than for an answer."""

        class Silent(Resolver):
            def resolveHostName(self, *args: object, **kwargs: object) -> object:  # type: ignore[override]
                return None

        sent = self.send(Silent(), "h.example")
        self.reactor.advance(9)
        self.assertNoResult(sent)
        self.reactor.advance(1)
        self.assertEqual(self.successResultOf(sent), Verdict(False, True, "no answer within 10 s"))
