"""The file with the operator's rules, in YAML or JSON, read again when it changes."""

from __future__ import annotations

import os
from pathlib import Path

import yaml
from attrs import define, field
from twisted.logger import Logger

from zaqar_gateway.operations.policy import Policy, PolicyError, strangers

LOOK_S = 1.0
"""How often to look whether the file has changed, in seconds."""

_NULL = "tag:yaml.org,2002:null"

_log = Logger()


class PolicyFileError(Exception):
    """The file cannot be used; the text has a line for each thing that is wrong: where it stands, and why."""


@define
class PolicyFile:
    """Keeps a policy as a file has it.

    Looking is one ``stat``.  A file that is changed into something wrong is told of once, and the rules that were read before
    stay; so they do where it goes away.

    :param path: of the file, which need not exist; empty: there is none.
    :param policy: whose rules it has.
    :ivar trouble: why other rules are in force than those that are in the file now; empty: they are not.
    """

    _path: str
    _policy: Policy
    _seen: tuple[int, int, int] | None = field(default=None, init=False)
    trouble: str = field(default="", init=False)

    def load(self) -> list[str]:
        """Take the rules that are in the file now.

        :return: texts for the operator about rules that nothing asks for.
        :raises PolicyFileError: it cannot be used; the policy has not changed then.
        """
        self._seen = self._state()
        return self._read() if self._seen is not None else []

    def look(self) -> None:
        """Take the rules that are in the file, where it has changed."""
        seen = self._state()
        if seen == self._seen:
            return
        self._seen, self.trouble = seen, ""
        if seen is None:
            self.trouble = f"{self._path} is gone"
            _log.warn("{path} is gone; its rules stay in force until this process ends", path=self._path)
            return
        try:
            warnings = self._read()
        except PolicyFileError as error:
            self.trouble = str(error)
            _log.error("the policy cannot be used, and the rules from before stay in force: {why}", why=str(error))
            return
        _log.info("the policy was read again from {path}", path=self._path)
        for text in warnings:
            _log.warn("{text}", text=text)

    def _state(self) -> tuple[int, int, int] | None:
        if not self._path:
            return None
        try:
            found = os.stat(self._path)
        except FileNotFoundError:
            return None
        except OSError:
            return (0, 0, 0)  # reading it will say why
        return found.st_mtime_ns, found.st_size, found.st_ino

    def _read(self) -> list[str]:
        try:
            rules, lines = parse(Path(self._path).read_text(encoding="utf-8"))
            self._policy.replace(rules)
        except OSError as error:
            raise PolicyFileError(f"{self._path}: cannot be read: {error.strerror}; it has to be YAML or JSON.") from None
        except ValueError as error:  # what is wrong with UTF-8 is one too
            raise PolicyFileError(f"{self._path}: {error}.") from None
        except PolicyError as error:
            told = [f"{self._path}{_line(lines.get(name))}: {name}: {why}." for name, why in error.problems]
            raise PolicyFileError("\n".join(told)) from None
        return [f"{self._path}: {text}." for text in strangers(rules)]


def _line(number: int | None) -> str:
    return "" if number is None else f", line {number}"


def _no_yaml(error: yaml.YAMLError) -> ValueError:
    return ValueError(f"it is not YAML: {' '.join(str(error).split())}")


def parse(text: str) -> tuple[dict[str, object], dict[str, int]]:
    """The rules in a text of YAML, as JSON is too, by name, and the lines that they stand in.

    :raises ValueError: it is no YAML, no map, or has a name that is no text or stands there twice.
    """
    try:
        loader = yaml.SafeLoader(text)
    except yaml.YAMLError as error:  # of a character that no YAML has
        raise _no_yaml(error) from None
    rules: dict[str, object] = {}
    lines: dict[str, int] = {}
    try:
        root = loader.get_single_node()
        if root is None or root.tag == _NULL:
            return rules, lines
        if not isinstance(root, yaml.MappingNode):
            raise ValueError("it has to be a map of names to rules")
        for key, value in root.value:
            name, line = loader.construct_object(key, deep=True), key.start_mark.line + 1
            if not isinstance(name, str):
                raise ValueError(f"line {line}: the name of a rule has to be text")
            if name in rules:
                raise ValueError(f"line {line}: {name} is there twice, first in line {lines[name]}")
            rules[name], lines[name] = loader.construct_object(value, deep=True), line
    except yaml.YAMLError as error:
        raise _no_yaml(error) from None
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    except (LookupError, AttributeError, TypeError, OverflowError) as error:  # of a tag that its text does not fit, such as !!bool maybe
        raise ValueError(f"it is not YAML: a value is not what its tag says ({error})") from None
    finally:
        loader.dispose()
    return rules, lines
