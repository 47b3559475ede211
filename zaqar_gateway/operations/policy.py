"""Who may run what (API reference, "Policy").  The registry asks, so that no transport can forget to."""

from __future__ import annotations

import difflib
import textwrap
from collections.abc import Mapping, Sequence

from zaqar_gateway.errors import Forbidden
from zaqar_gateway.model import Context
from zaqar_gateway.operations.checks import IS_ADMIN, Check, RuleError, Rules, references

_EVERYBODY = ""
_ADMIN = "role:admin"

DEFAULTS: Mapping[str, str] = {
    IS_ADMIN: _ADMIN,
    "admin_or_owner": "is_admin:True or project_id:%(project_id)s",
    "queues:get_all": _EVERYBODY,
    "queues:create": _EVERYBODY,
    "queues:get": _EVERYBODY,
    "queues:delete": _EVERYBODY,
    "queues:update": _EVERYBODY,
    "queues:stats": _EVERYBODY,
    "queues:share": _EVERYBODY,
    "queues:purge": _EVERYBODY,
    "messages:get_all": _EVERYBODY,
    "messages:create": _EVERYBODY,
    "messages:get": _EVERYBODY,
    "messages:delete": _EVERYBODY,
    "messages:delete_all": _EVERYBODY,
    "claims:create": _EVERYBODY,
    "claims:get": _EVERYBODY,
    "claims:update": _EVERYBODY,
    "claims:delete": _EVERYBODY,
    "dead_letters:get_all": _EVERYBODY,
    "dead_letters:return": _EVERYBODY,
    "subscription:get_all": _EVERYBODY,
    "subscription:create": _EVERYBODY,
    "subscription:get": _EVERYBODY,
    "subscription:update": _EVERYBODY,
    "subscription:delete": _EVERYBODY,
    "subscription:confirm": _EVERYBODY,
    "topics:get_all": _EVERYBODY,
    "topics:create": _EVERYBODY,
    "topics:get": _EVERYBODY,
    "topics:delete": _EVERYBODY,
    "topics:update": _EVERYBODY,
    "topics:stats": _EVERYBODY,
    "topics:purge": _EVERYBODY,
    "ping:get": _EVERYBODY,
    "health:get": _ADMIN,
    "deliveries:get_all": _ADMIN,
    "deliveries:create": _ADMIN,
    "pools:get_all": _ADMIN,
    "pools:create": _ADMIN,
    "pools:get": _ADMIN,
    "pools:update": _ADMIN,
    "pools:delete": _ADMIN,
    "flavors:get_all": _EVERYBODY,
    "flavors:create": _ADMIN,
    "flavors:get": _EVERYBODY,
    "flavors:update": _ADMIN,
    "flavors:delete": _ADMIN,
}
"""Every rule that there is, the helpers first; names and defaults are part of the API, save for ``deliveries`` and
``dead_letters``."""


class PolicyError(Exception):
    """Rules cannot be used.

    :ivar problems: for each rule that is wrong its name and what is wrong with it.
    """

    def __init__(self, problems: Sequence[tuple[str, str]]) -> None:
        super().__init__("\n".join(f"{name}: {why}." for name, why in problems))
        self.problems = tuple(problems)


class Policy:
    """The rules in force.

    :param rules: those that replace defaults, and further ones that they refer to, in the language of
        :mod:`zaqar_gateway.operations.checks`.
    :raises PolicyError: one of them cannot be used.
    """

    def __init__(self, rules: Mapping[str, object] | None = None) -> None:
        self._asked: dict[str, Check] = {}
        self._texts: dict[str, object] = {}
        self.replace(rules or {})

    def replace(self, rules: Mapping[str, object]) -> None:
        """Take other rules in place of those that were given before.

        :raises PolicyError: one of them cannot be used; nothing has changed then.
        """
        texts = {**DEFAULTS, **rules}
        read = Rules(texts)
        asked: dict[str, Check] = {}
        problems = []
        for name in texts:
            try:
                check = read.check(name)
            except RuleError as error:
                problems.append((name, str(error)))
                continue
            if not isinstance(check, bool):
                asked[name] = check
            elif not check:
                asked[name] = _nobody
        if problems:
            raise PolicyError(problems)
        # A rule that everybody passes has no entry: asking it is one look-up.
        self._asked, self._texts = asked, texts

    def require(self, ctx: Context, rule: str) -> None:
        """:raises Forbidden: the rule does not allow it."""
        check = self._asked.get(rule)
        if check is not None and not check(ctx):
            raise Forbidden(self._refusal(rule))

    def _refusal(self, rule: str) -> str:
        # More than the name of a role is nobody's business: a rule may name users and projects.
        if self._texts[rule] == _ADMIN:
            return f"You need the role admin for {rule}."
        return f"The policy of this service does not allow you {rule}."


def _nobody(ctx: Context) -> bool:
    return False


def strangers(rules: Mapping[str, object]) -> list[str]:
    """What to tell an operator of rules that nothing asks for: a text for each, with the rule that may be meant."""
    used = {name for rule in rules.values() for name in references(rule)}
    found = []
    for name in rules:
        if name not in DEFAULTS and name not in used:
            near = difflib.get_close_matches(name, DEFAULTS, 1)
            hint = f"; is {near[0]} meant?" if near else ""
            found.append(f"{name} is no rule of this service, and no rule refers to it{hint}")
    return found


def sample() -> str:
    """A policy file with every rule and its default, all commented out."""
    text = (
        "Policy of zaqar-gateway: who may run what. Each rule stands here with its default; take away a '#' to change one."
        " The language is that of oslo.policy: role:admin, rule:name, user_id:..., project_id:%(project_id)s, is_admin:True,"
        " @ (always), ! (never), and, or, not and parentheses. An empty rule allows everybody who is identified. The setting"
        " [oslo_policy] policy_file names the file; it is read again when it changes. 'zaqar-gateway check-config' says"
        " whether it is right."
    )
    lines = [f"# {line}" for line in textwrap.wrap(text, 117)]
    group = ""
    for name, rule in DEFAULTS.items():
        kind = name.partition(":")[0] if ":" in name else "helpers"
        if kind != group:
            group = kind
            lines += ["", f"# {kind}"]
        lines.append(f'#"{name}": "{rule}"')
    return "\n".join(lines) + "\n"
