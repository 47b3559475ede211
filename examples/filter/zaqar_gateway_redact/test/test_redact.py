"""What the filter makes of bodies, and which it refuses."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred
from twisted.internet.task import Clock
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from zaqar_gateway.errors import RuleBroken
from zaqar_gateway.interfaces import IMessageFilter
from zaqar_gateway.model import Context, NewMessage, Place
from zaqar_gateway_redact import Redact, redacted


class RedactedTests(SynchronousTestCase):
    """The text of a body."""

    def test_texts(self) -> None:
        """Values of the members are replaced, at any depth, and nothing else is touched."""
        for text, expected in (
            ('{"pin": 1234}', '{"pin": "*"}'),
            ('{ "pin" :\t1.50 ,"a":"pin"}', '{ "pin" :\t"*" ,"a":"pin"}'),
            ('[{"a": [{"pin": {"pin": [1, "}"]}, "b": 1.0}]}]', '[{"a": [{"pin": "*", "b": 1.0}]}]'),
            (r'{"p\u0069n": "a\"}", "pin": null}', r'{"p\u0069n": "*", "pin": "*"}'),
            (r'{"a\\": "pin", "\"pin\"": 1, "PIN": 2}', r'{"a\\": "pin", "\"pin\"": 1, "PIN": 2}'),
            ('"pin"', '"pin"'),
            ('{"é": "ü", "pin": "ß"}', '{"é": "ü", "pin": "*"}'),
            ("1.50", "1.50"),
        ):
            self.assertEqual(redacted(text, {"pin"}, '"*"'), expected)


class RedactTests(SynchronousTestCase):
    """The filter."""

    def posting(self, *bodies: bytes, project: str = "p", settings: dict[str, Any]) -> Deferred[list[bytes]]:
        """What is stored in place of these bodies."""

        async def stored() -> list[bytes]:
            new = [NewMessage(body, 60) for body in bodies]
            return [
                one.body for one in await Redact(settings, Clock()).post(Context(project), Place(project, "q"), new)
            ]

        return Deferred.fromCoroutine(stored())

    def post(self, *bodies: bytes, project: str = "p", settings: dict[str, Any]) -> list[bytes]:
        """The same, where it is accepted."""
        return self.successResultOf(self.posting(*bodies, project=project, settings=settings))

    def refused(self, *bodies: bytes, project: str = "p", settings: dict[str, Any]) -> str:
        """What is said, where it is refused."""
        failure = self.failureResultOf(self.posting(*bodies, project=project, settings=settings), RuleBroken)
        return str(failure.value)

    def test_provides_interface(self) -> None:
        """It is what the gateway looks for."""
        verifyObject(IMessageFilter, Redact({}, Clock()))

    def test_redacts(self) -> None:
        """Each body is redacted; one without such members is stored as it came."""
        settings = {"members": ["pin"], "replacement": "gone"}
        stored = self.post(b'{"pin": 1}', b'{ "a":1 }', settings=settings)
        self.assertEqual(stored, [b'{"pin": "gone"}', b'{ "a":1 }'])

    def test_refuses(self) -> None:
        """A body in which a pattern is found is refused with the name of the pattern, once it is redacted."""
        settings = {"members": ["pin"], "refuse": {"card number": r"\b[0-9]{16}\b"}}
        self.assertEqual(self.post(b'{"pin": 1234567812345678}', settings=settings), [b'{"pin": "***"}'])
        text = self.refused(b"1", b'"1234567812345678"', settings=settings)
        self.assertEqual(text, "messages[1].body has a card number in it, which may not be posted here.")

    def test_sizes(self) -> None:
        """A project that has a limit is held to it."""
        settings = {"size_max": {"small": 4}}
        self.assertEqual(self.post(b'"ab"', project="small", settings=settings), [b'"ab"'])
        self.assertEqual(self.post(b'"abc"', settings=settings), [b'"abc"'])
        text = self.refused(b'"abc"', project="small", settings=settings)
        self.assertEqual(text, "messages[0].body has 5 bytes; it has to have at most 4 in this project.")

    def test_settings(self) -> None:
        """Settings that are unknown, of another type, or no pattern are refused."""
        wrong: list[tuple[dict[str, object], str]] = [
            ({"member": ["a"]}, "unknown field `member`"),
            ({"members": "a"}, "Expected `array`, got `str`"),
            ({"refuse": {"a": "("}}, "unterminated subpattern"),
        ]
        for settings, expected in wrong:
            with self.assertRaisesRegex(ValueError, expected):
                Redact(settings, Clock())
