"""The language of policy rules, that of oslo.policy: texts to functions of who asks.  Pure.

A rule is text: checks joined by ``and``, ``or``, ``not`` and parentheses, the empty text allowing everybody.  Or it is a
list, of which one member has to hold, each a check or a list of checks that all have to hold.  A check is ``@`` (always),
``!`` (never), or a kind and what it is compared with:

* ``role:admin``: the caller has the role, whatever the case of its letters;
* ``rule:name``: what another rule says;
* ``user_id:``, ``project_id:``, ``roles:`` (a role spelled like this) or ``is_admin:`` (``True``: what the rule
  ``context_is_admin`` says) and the value that the caller has to have;
* a literal of Python, such as ``'demo':%(project_id)s``.

``%(project_id)s`` stands for the project that the request is for, and ``%%`` for a percent sign.  There are no checks by
HTTP: asking elsewhere takes time and can fail.

oslo.policy itself takes a few hundred times as long for a decision and brings two dozen packages; the tests compare the two.
What it reads as a rule that never holds, because it cannot make sense of it, is refused here.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Mapping, Sequence

from attrs import frozen

from zaqar_gateway.model import Context

Check = Callable[[Context], bool]

IS_ADMIN = "context_is_admin"
"""The rule that says whether ``is_admin`` is true."""

_Text = Callable[[Context], str]


class RuleError(ValueError):
    """A rule cannot be read; the text says what is wrong with it and what would be right."""


@frozen
class _Reference:
    """What another rule says."""

    name: str


@frozen
class _Not:
    part: _Part


@frozen
class _All:
    parts: tuple[_Part, ...]


@frozen
class _Any:
    parts: tuple[_Part, ...]


_Part = bool | Check | _Reference | _Not | _All | _Any


class Rules:
    """Rules that may refer to each other.

    :param rules: texts and lists by name.
    """

    def __init__(self, rules: Mapping[str, object]) -> None:
        self._rules = rules
        self._made: dict[str, bool | Check] = {}
        self._making: list[str] = []

    def check(self, name: str) -> bool | Check:
        """A function that says whether somebody is allowed; where that depends on nothing, the answer itself.

        :raises RuleError: the rule, or one that it refers to, cannot be read.
        """
        if name in self._made:
            return self._made[name]
        if name in self._making:
            raise RuleError(f"it refers to itself: {' -> '.join([*self._making[self._making.index(name) :], name])}")
        self._making.append(name)
        try:
            made = self._made[name] = self._of(parse(self._rules[name]))
        except RecursionError:
            raise RuleError("it refers to rules that refer to others too many times over") from None
        finally:
            self._making.pop()
        return made

    def _of(self, part: _Part) -> bool | Check:
        if isinstance(part, _Reference):
            if part.name not in self._rules:
                raise RuleError(f"rule:{part.name} refers to a rule that does not exist")
            return self.check(part.name)
        if isinstance(part, _Not):
            inner = self._of(part.part)
            return not inner if isinstance(inner, bool) else lambda ctx: not inner(ctx)
        if isinstance(part, _All | _Any):
            return _joined([self._of(one) for one in part.parts], decides=isinstance(part, _Any))
        return part


def _joined(parts: list[bool | Check], *, decides: bool) -> bool | Check:
    """``or`` where one part that is ``decides`` decides, which is true; else ``and``."""
    if decides in parts:
        return decides
    checks = [part for part in parts if not isinstance(part, bool)]
    if not checks:
        return not decides
    if len(checks) == 1:
        return checks[0]
    if len(checks) == 2:
        first, second = checks
        return (lambda ctx: first(ctx) or second(ctx)) if decides else (lambda ctx: first(ctx) and second(ctx))
    if decides:
        return lambda ctx: any(check(ctx) for check in checks)
    return lambda ctx: all(check(ctx) for check in checks)


def references(rule: object) -> set[str]:
    """The names of the rules that a rule refers to; none where it cannot be read."""
    try:
        return set(_names(parse(rule)))
    except RuleError:
        return set()


def _names(part: _Part) -> list[str]:
    if isinstance(part, _Reference):
        return [part.name]
    if isinstance(part, _Not):
        return _names(part.part)
    return [name for one in part.parts for name in _names(one)] if isinstance(part, _All | _Any) else []


# -- reading -----------------------------------------------------------------------------------------------------------


def parse(rule: object) -> _Part:
    """:raises RuleError: it is no rule."""
    if isinstance(rule, str):
        return _Parser(rule).whole() if rule else True
    if isinstance(rule, list):
        return _parse_list(rule)
    hint = " (YAML wants a '!' in quotes)" if rule is None else ""
    raise RuleError(f"it is {_kind_of(rule)}{hint}; it has to be text or a list, and '' or '@' to allow everybody")


def _parse_list(rule: Sequence[object]) -> _Part:
    if not rule:
        return True
    parts: list[_Part] = []
    for member in rule:
        checks = [member] if isinstance(member, str) else member
        if not isinstance(checks, list) or not all(isinstance(one, str) for one in checks):
            raise RuleError(f"a member of its list is {_kind_of(member)}; it has to be a check or a list of checks")
        if checks:
            parts.append(_All(tuple(_parse_check(one) for one in checks)))
    return _Any(tuple(parts))


def _kind_of(value: object) -> str:
    names: dict[type, str] = {type(None): "null", bool: "true or false", dict: "a map", list: "a list", str: "text"}
    return names.get(type(value), "a number" if isinstance(value, int | float) else type(value).__name__)


_WORDS = ("and", "or", "not")
_DEPTH_MAX = 64


def _tokens(rule: str) -> list[str]:
    """Checks, words in lower case, and parentheses, which belong to a check where they are inside of it."""
    found: list[str] = []
    for token in rule.split():
        inner = token.lstrip("(")
        found += "(" * (len(token) - len(inner))
        clean = inner.rstrip(")")
        if clean:
            found.append(clean.lower() if clean.lower() in _WORDS else clean)
        found += ")" * (len(inner) - len(clean))
    return found


class _Parser:
    """Reads one text; ``not`` binds closest, then ``and``, then ``or``."""

    def __init__(self, rule: str) -> None:
        self._left = _tokens(rule)
        self._left.reverse()
        self._depth = 0

    def whole(self) -> _Part:
        part = self._either()
        if self._left:
            raise RuleError(f"{self._left[-1]!r} is not expected there; checks are joined by 'and' and 'or'")
        return part

    def _next_is(self, token: str) -> bool:
        if self._left and self._left[-1] == token:
            self._left.pop()
            return True
        return False

    def _either(self) -> _Part:
        parts = [self._both()]
        while self._next_is("or"):
            parts.append(self._both())
        return parts[0] if len(parts) == 1 else _Any(tuple(parts))

    def _both(self) -> _Part:
        parts = [self._one()]
        while self._next_is("and"):
            parts.append(self._one())
        return parts[0] if len(parts) == 1 else _All(tuple(parts))

    def _one(self) -> _Part:
        self._depth += 1
        if self._depth > _DEPTH_MAX:
            raise RuleError(f"it is nested deeper than {_DEPTH_MAX} levels")
        part = self._nested()
        self._depth -= 1
        return part

    def _nested(self) -> _Part:
        if self._next_is("not"):
            return _Not(self._one())
        if self._next_is("("):
            part = self._either()
            if not self._next_is(")"):
                raise RuleError("a parenthesis is not closed")
            return part
        if not self._left or self._left[-1] in ("and", "or", ")"):
            where = f"before {self._left[-1]!r}" if self._left else "at its end"
            raise RuleError(f"a check is missing {where}")
        return _parse_check(self._left.pop())


# -- checks ------------------------------------------------------------------------------------------------------------


def _parse_check(text: str) -> _Part:
    if text in ("@", "!"):
        return text == "@"
    kind, colon, wanted = text.partition(":")
    if not colon:
        raise RuleError(f"{text!r} is no check; it has to be @, ! or a kind and a value, such as role:admin")
    if not wanted:
        raise RuleError(f"{text!r} has nothing behind its colon")
    if kind in ("http", "https"):
        raise RuleError(f"{text!r} asks another server, which is not available here")
    if kind == "rule":
        return _Reference(wanted)
    if kind == "role":
        return _has_role(wanted, str.lower)
    if kind in _COMPARED:
        return _COMPARED[kind](wanted)
    try:
        literal = str(ast.literal_eval(kind))
    except (ValueError, SyntaxError, TypeError, MemoryError):
        known = ", ".join(("role", "rule", *_COMPARED))
        raise RuleError(f"{text!r} is of a kind that is not known here; known are {known} and literals") from None
    return _is(lambda ctx: literal, wanted)


_PLACE = re.compile(r"%(?:%|\(([^)]*)\)s)?")


def _formatted(wanted: str) -> str | _Text:
    """What a caller's value is compared with."""
    parts: list[str | None] = []  # None: the project
    at = 0
    for found in _PLACE.finditer(wanted):
        parts.append(wanted[at : found.start()])
        at = found.end()
        if found[0] == "%%":
            parts.append("%")
        elif found[1] == "project_id":
            parts.append(None)
        else:
            raise RuleError(f"{found[0]!r} in {wanted!r} means nothing here; known are %(project_id)s and %%")
    parts.append(wanted[at:])
    if wanted == "%(project_id)s":
        return lambda ctx: ctx.project  # nearly always, and three times as fast
    if None not in parts:
        return "".join(part for part in parts if part)
    return lambda ctx: "".join(ctx.project if part is None else part for part in parts)


def _has_role(wanted: str, fold: Callable[[str], str]) -> Check:
    role = _formatted(wanted)
    if isinstance(role, str):
        name = fold(role)
        return lambda ctx: name in ctx.roles
    return lambda ctx: fold(role(ctx)) in ctx.roles


def _is(value: _Text, wanted: str) -> Check:
    needed = _formatted(wanted)
    if isinstance(needed, str):
        return lambda ctx: value(ctx) == needed
    return lambda ctx: value(ctx) == needed(ctx)


def _is_admin(wanted: str) -> _Part:
    if wanted not in ("True", "False"):
        raise RuleError(f"'is_admin:{wanted}' never holds; it has to be is_admin:True or is_admin:False")
    asked = _Reference(IS_ADMIN)
    return asked if wanted == "True" else _Not(asked)


_COMPARED: Mapping[str, Callable[[str], _Part]] = {
    "user_id": lambda wanted: _is(lambda ctx: ctx.user, wanted),
    "project_id": lambda wanted: _is(lambda ctx: ctx.project, wanted),
    "roles": lambda wanted: _has_role(wanted, str),
    "is_admin": _is_admin,
}
"""What of a caller is compared, and how."""
