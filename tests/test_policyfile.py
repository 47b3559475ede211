"""The file with the operator's rules."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

from twisted.logger import LogLevel, capturedLogs, formatEvent
from twisted.trial.unittest import SynchronousTestCase

from zaqar_gateway.errors import Forbidden
from zaqar_gateway.model import Context
from zaqar_gateway.operations.policy import Policy, sample
from zaqar_gateway.policyfile import PolicyFile, PolicyFileError, parse

SOMEBODY = Context("p", roles=frozenset(("member",)))


class PolicyFileCase(SynchronousTestCase):
    """A policy and its file."""

    def setUp(self) -> None:
        directory = tempfile.mkdtemp()
        self.addCleanup(shutil.rmtree, directory)
        self.path = Path(directory, "policy.yaml")
        self.policy = Policy()
        self.file = PolicyFile(str(self.path), self.policy)
        self._writes = 0

    def write(self, text: str | bytes) -> None:
        """Write the file, at an instant of its own: a clock of files may be coarse."""
        self.path.write_bytes(text.encode() if isinstance(text, str) else text)
        self._writes += 1
        os.utime(self.path, (self._writes, self._writes))

    def allows(self, rule: str) -> bool:
        """Whether somebody without the role admin may."""
        try:
            self.policy.require(SOMEBODY, rule)
        except Forbidden:
            return False
        return True


class LoadTests(PolicyFileCase):
    """At start."""

    def test_yaml(self) -> None:
        """Rules are texts and lists by name."""
        self.write('# a comment\n"queues:create": "!"\nqueues:get: [["role:admin"], "role:boss"]\nqueues:stats: ""\n')
        self.assertEqual(self.file.load(), [])
        self.assertEqual(
            [self.allows(f"queues:{verb}") for verb in ("create", "get", "stats", "delete")], [False, False, True, True]
        )

    def test_json(self) -> None:
        """JSON is read, too."""
        self.write('{\n  "queues:create": "role:admin and\\u0020role:x",\n  "queues:get": [["!"]]\n}\n')
        self.assertEqual(self.file.load(), [])
        self.assertFalse(self.allows("queues:create") or self.allows("queues:get"))

    def test_nothing(self) -> None:
        """A file that is not there, is empty or has comments alone changes nothing."""
        self.assertEqual(self.file.load(), [])
        self.assertEqual(PolicyFile("", self.policy).load(), [])
        for text in ("", "# nothing\n", "---\n", sample()):
            self.write(text)
            self.assertEqual(self.file.load(), [])
            self.assertTrue(self.allows("queues:create"))

    def test_strangers(self) -> None:
        """Rules that nothing asks for are told, and the others count."""
        self.write('"queue:create": "!"\n"queues:get": "!"')
        (told,) = self.file.load()
        self.assertEqual(
            told,
            f"{self.path}: queue:create is no rule of this service, and no rule refers to it; is queues:create meant?.",
        )
        self.assertFalse(self.allows("queues:get"))

    def test_refused(self) -> None:
        """What is wrong is told with its line; nothing changes."""
        for text, said in (
            ("'queues:create': 'role:'", ", line 1: queues:create: 'role:' has nothing behind its colon."),
            ('\n"a": "@"\n"b": "rule:c"', ", line 3: b: rule:c refers to a rule that does not exist."),
            ("queues:create:", ", line 1: queues:create: it is null (YAML wants a '!' in quotes); it has to be text"),
            ("a: '@'\na: '!'", ": line 2: a is there twice, first in line 1."),
            ("1: '@'", ": line 1: the name of a rule has to be text."),
            ("- a", ": it has to be a map of names to rules."),
            ("a: !", ", line 1: a: it is null"),
            ("a: !x", ": it is not YAML: could not determine a constructor for the tag '!x'"),
            ("a: !!python/object/apply:os.getpid []", ": it is not YAML: could not determine a constructor"),
            ("a: @", ": it is not YAML: while scanning for the next token"),
            ("{", ": it is not YAML: "),
            ("[" * 5000, ": "),
            (b"\xff", ": 'utf-8' codec can't decode byte 0xff"),
        ):
            self.write(text)
            error = self.assertRaises(PolicyFileError, self.file.load)
            self.assertTrue(str(error).startswith(f"{self.path}{said}"), str(error))
            self.assertTrue(self.allows("queues:create"))

    def test_every_problem(self) -> None:
        """All that is wrong is told at once."""
        self.write("a: x\nb: y\nc: '@'")
        error = self.assertRaises(PolicyFileError, self.file.load)
        self.assertEqual([line.split(":")[0] for line in str(error).splitlines()], [f"{self.path}, line {n}" for n in (1, 2)])

    def test_unreadable(self) -> None:
        """A file that cannot be read is refused."""
        self.path.mkdir()
        error = self.assertRaises(PolicyFileError, self.file.load)
        self.assertEqual(str(error), f"{self.path}: cannot be read: Is a directory; it has to be YAML or JSON.")

    def test_lines(self) -> None:
        """Rules have the lines of their names."""
        self.assertEqual(parse("\na: '@'\n\n'b':\n  - '!'\n"), ({"a": "@", "b": ["!"]}, {"a": 2, "b": 4}))


class LookTests(PolicyFileCase):
    """While the gateway runs."""

    def look(self) -> list[tuple[LogLevel, str]]:
        """Look, and what is logged of it."""
        with capturedLogs() as logged:
            self.file.look()
        return [(event["log_level"], formatEvent(event)) for event in logged]

    def test_changes(self) -> None:
        """A file that has changed is read again, once, and one that comes to be there is read."""
        self.file.load()
        self.assertEqual(self.look(), [])
        self.write('"queues:create": "!"')
        self.assertEqual(self.look(), [(LogLevel.info, f"the policy was read again from {self.path}")])
        self.assertFalse(self.allows("queues:create"))
        self.assertEqual(self.look(), [])
        self.write('"queues:get": "!"')
        self.look()
        self.assertEqual((self.allows("queues:create"), self.allows("queues:get")), (True, False))

    def test_replaced(self) -> None:
        """A file that another one was renamed to is a change, even of the same size and instant."""
        self.write('"queues:get": "!"')
        self.file.load()
        other = self.path.with_name("new")
        other.write_text('"queues:put": "!"', encoding="utf-8")
        os.utime(other, (1, 1))
        other.rename(self.path)
        self.assertEqual([level for level, _ in self.look()], [LogLevel.info, LogLevel.warn])
        self.assertTrue(self.allows("queues:get"))

    def test_broken(self) -> None:
        """A file that became wrong is told of once; the rules from before stay until it is right again."""
        self.write('"queues:create": "!"')
        self.file.load()
        self.write('"queues:create": "@ and"')
        ((level, told),) = self.look()
        self.assertEqual(level, LogLevel.error)
        self.assertIn(f"{self.path}, line 1: queues:create: a check is missing at its end.", told)
        self.assertFalse(self.allows("queues:create"))
        self.assertEqual(self.look(), [])
        self.write('"queues:create": "@"')
        self.look()
        self.assertTrue(self.allows("queues:create"))

    def test_wrong_tags(self) -> None:
        """A value that is not what its tag says is an error as any other, after which the file is looked at as before."""
        self.write("{}")
        self.file.load()
        for value in ("!!bool maybe", '!!int ""', "!!timestamp x", "!!float _", "!!binary é"):
            self.write(f"queues:create: {value}")
            ((level, told),) = self.look()
            self.assertEqual(level, LogLevel.error)
            self.assertIn(str(self.path), told)
        self.write('"queues:create": "!"')
        self.look()
        self.assertFalse(self.allows("queues:create"))

    def test_no_text(self) -> None:
        """So is a character that no YAML has, such as those that fill a file after a crash of the machine."""
        self.write("{}")
        self.file.load()
        for filled in ("\0", "\x07", "\x7f", "\ufffe"):
            self.write(f'"queues:create": "!"\n{filled * 40}')
            ((level, told),) = self.look()
            self.assertEqual(level, LogLevel.error)
            self.assertIn(f"{self.path}: it is not YAML: unacceptable character", told)
        self.write('"queues:create": "!"')
        self.look()
        self.assertFalse(self.allows("queues:create"))

    def test_gone(self) -> None:
        """The rules of a file that goes away stay, which is told once; it may come back."""
        self.write('"queues:create": "!"')
        self.file.load()
        self.path.unlink()
        self.assertEqual([level for level, _ in self.look()], [LogLevel.warn])
        self.assertEqual(self.look(), [])
        self.assertFalse(self.allows("queues:create"))
        self.write("")
        self.look()
        self.assertTrue(self.allows("queues:create"))
