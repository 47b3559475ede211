"""Looking up hosts beside many that take long."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from twisted.internet.address import IPv4Address, IPv6Address
from twisted.internet.interfaces import IHostnameResolver, IResolutionReceiver
from twisted.trial.unittest import SynchronousTestCase
from zope.interface import implementer
from zope.interface.verify import verifyObject

from zaqar_gateway.push.lookups import LOOKUPS_MAX, OF_DOMAIN_MAX, Lookups

ADDRESS = IPv4Address("TCP", "192.0.2.1", 80)


@implementer(IResolutionReceiver)
class Heard:
    """What is told of one host."""

    def __init__(self) -> None:
        self.said: list[object] = []

    def resolutionBegan(self, resolutionInProgress: object) -> None:
        self.said.append("began")

    def addressResolved(self, address: object) -> None:
        self.said.append(address)

    def resolutionComplete(self) -> None:
        self.said.append("complete")


@implementer(IHostnameResolver)
class Slow:
    """Answers when the test says so."""

    def __init__(self) -> None:
        self.asked: dict[str, Any] = {}

    def resolveHostName(self, receiver: Any, name: str, *rest: object) -> Any:
        self.asked[name] = receiver

    def answer(self, name: str) -> None:
        """A host has one address."""
        receiver = self.asked.pop(name)
        receiver.resolutionBegan(None)
        receiver.addressResolved(ADDRESS)
        receiver.resolutionComplete()


class LookupsTests(SynchronousTestCase):
    """Hosts of many, few at one time."""

    def setUp(self) -> None:
        self.slow = Slow()
        self.lookups = Lookups(self.slow)

    def ask(self, name: str, types: Sequence[Any] | None = None) -> tuple[Heard, Any]:
        """Look a host up."""
        heard = Heard()
        return heard, self.lookups.resolveHostName(heard, name, 80, types)

    def test_provides_interface(self) -> None:
        """It is a resolver."""
        self.assertTrue(verifyObject(IHostnameResolver, self.lookups))

    def test_answered(self) -> None:
        """What the resolver says is passed on, once."""
        heard, _ = self.ask("a.example")
        self.assertEqual(heard.said, ["began"])
        self.slow.answer("a.example")
        self.assertEqual(heard.said, ["began", ADDRESS, "complete"])

    def test_domain(self) -> None:
        """Few hosts of one domain are looked up at one time, whatever its case; others, and addresses, do not wait for them."""
        names = [f"h{number}.{label}.Slow.test." for number in range(10) for label in "ab"]
        for name in names:
            self.ask(name)
        self.assertEqual(list(self.slow.asked), names[:OF_DOMAIN_MAX])
        heard, _ = self.ask("quick.example")
        self.slow.answer("quick.example")
        self.assertEqual(heard.said[-1], "complete")
        self.slow.answer(names[0])
        self.assertEqual(list(self.slow.asked), names[1 : OF_DOMAIN_MAX + 1])

    def test_all(self) -> None:
        """All together are bounded; they go on in the order in which they came."""
        names = [f"h.d{number}" for number in range(LOOKUPS_MAX + 2)]
        for name in names:
            self.ask(name)
        asked = list(self.slow.asked)
        self.assertEqual(len(asked), LOOKUPS_MAX)
        self.slow.answer(asked[5])
        self.assertEqual(len(self.slow.asked), LOOKUPS_MAX)
        self.assertEqual(list(self.slow.asked)[-1], names[LOOKUPS_MAX])

    def test_cancelled(self) -> None:
        """What nobody waits for any more is not looked up; where it is under way it keeps its place until it ends, and is not told."""
        all_of_them = [self.ask(f"h{number}.slow.test") for number in range(OF_DOMAIN_MAX + 2)]
        first, waiting = all_of_them[0], all_of_them[OF_DOMAIN_MAX]
        for _, lookup in (first, waiting, waiting):
            lookup.cancel()
        self.assertEqual(len(self.slow.asked), OF_DOMAIN_MAX)
        self.slow.answer("h0.slow.test")
        self.assertEqual(list(self.slow.asked)[-1], f"h{OF_DOMAIN_MAX + 1}.slow.test")
        self.assertEqual((first[0].said, waiting[0].said), (["began"], ["began"]))
        first[1].cancel()
        for name in list(self.slow.asked):
            self.slow.answer(name)
        self.assertEqual(all_of_them[-1][0].said[-1], "complete")

    def test_addresses(self) -> None:
        """Addresses are read at once, in any spelling, and of the kinds that are asked for."""
        for name, found in (
            ("127.0.0.1", IPv4Address("TCP", "127.0.0.1", 80)),
            ("2130706433", IPv4Address("TCP", "127.0.0.1", 80)),
            ("0x7f.1", IPv4Address("TCP", "127.0.0.1", 80)),
            ("::1", IPv6Address("TCP", "::1", 80)),
        ):
            heard, lookup = self.ask(name)
            self.assertEqual(heard.said, ["began", found, "complete"])
            lookup.cancel()
            self.assertEqual(self.ask(name, [type(found)])[0].said, ["began", found, "complete"])
            self.assertEqual(self.ask(name, [])[0].said, ["began", "complete"])
        self.assertEqual(self.slow.asked, {})
