"""The language of policy rules, by itself and beside oslo.policy."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from oslo_policy import policy as oslo
from twisted.trial.unittest import SynchronousTestCase

from zaqar_gateway.model import Context
from zaqar_gateway.operations.checks import IS_ADMIN, RuleError, Rules, references

WHO = Context("p", roles=frozenset(("member", "reader")), user="u")


def allows(rule: object, ctx: Context = WHO, **others: object) -> bool:
    """What a rule says of somebody."""
    check = Rules({IS_ADMIN: "role:admin", **others, "asked": rule}).check("asked")
    return check if isinstance(check, bool) else check(ctx)


class CheckTests(SynchronousTestCase):
    """What single checks and their combinations mean."""

    def test_hold(self) -> None:
        """Rules that hold for the caller."""
        rules: tuple[object, ...] = (
            *("", "@", [], [["@"]], ["@"], "role:member", "role:MEMBER", "roles:member", "user_id:u", "project_id:p"),
            *("project_id:%(project_id)s", "is_admin:False", "'p':%(project_id)s", "None:None", "True:True", "5:5"),
            *("not !", "not not @", "not role:admin and @", "NOT role:admin AND @", "! or @", "@ or ! and !"),
            *("(@)", "((@))", "( @ )", "not (! or !)", "(! or @) and @", "role:x or (role:y or role:member)"),
            *(["!", "@"], [["role:member", "user_id:u"]], [[], "@"], [["!"], ["@", "@"]]),
            *("@\n and\t@", "'50%':50%%", "'pp':%(project_id)s%(project_id)s"),
        )
        for rule in rules:
            self.assertTrue(allows(rule), rule)

    def test_do_not_hold(self) -> None:
        """Rules that do not."""
        rules: tuple[object, ...] = (
            *("!", ["!"], [[]], "role:admin", "roles:Member", "user_id:U", "project_id:q", "is_admin:True"),
            *("user_id:%(project_id)s", "'q':%(project_id)s", "not @", "@ and !", "! or ! or !", "! or @ and !"),
            *("not (! or @)", "not @ and @", "(@ or @) and !", [["@", "!"]], "'50':50%%", "role:%(project_id)s"),
        )
        for rule in rules:
            self.assertFalse(allows(rule), rule)

    def test_roles_by_project(self) -> None:
        """A role may be named after the project."""
        self.assertTrue(allows("role:Of-%(project_id)s", Context("P", roles=frozenset(("of-p",)))))
        self.assertTrue(allows("roles:of-%(project_id)s", Context("p", roles=frozenset(("of-p",)))))

    def test_nobody(self) -> None:
        """Whoever has no user and no roles passes what asks for neither."""
        self.assertFalse(allows("user_id:u or role:member or is_admin:True", Context("p")))
        self.assertTrue(allows("project_id:%(project_id)s", Context("p")))

    def test_other_rules(self) -> None:
        """A rule may be made of others; is_admin is one of them."""
        self.assertTrue(allows("rule:a and not rule:b", a="rule:c", b="!", c="@"))
        self.assertTrue(allows("is_admin:True", WHO, **{IS_ADMIN: "user_id:u"}))

    def test_constants(self) -> None:
        """What does not depend on the caller is known beforehand."""
        always: tuple[object, ...] = ("", "not !", "@ or role:a", "(role:a or @) and (@ and @)", "rule:b", [])
        for rule in always:
            self.assertIs(Rules({"a": rule, "b": "@"}).check("a"), True, rule)
        never: tuple[object, ...] = ("!", "role:a and !", "not @", "rule:b and rule:b", [[]])
        for rule in never:
            self.assertIs(Rules({"a": rule, "b": "!"}).check("a"), False, rule)

    def test_references(self) -> None:
        """The rules that a rule refers to are found wherever they stand."""
        self.assertEqual(references("not (rule:a or @) and rule:b"), {"a", "b"})
        self.assertEqual(references([["rule:a", "!"], "rule:b"]), {"a", "b"})
        self.assertEqual(references("is_admin:True"), {IS_ADMIN})
        self.assertEqual(references("rule:a or"), set())


class RefusalTests(SynchronousTestCase):
    """What is no rule, and what is said of it."""

    def refused(self, rule: object, said: str, **others: object) -> None:
        error = self.assertRaises(RuleError, allows, rule, **others)
        self.assertIn(said, str(error))

    def test_syntax(self) -> None:
        """Words in the wrong place and open parentheses are refused."""
        for rule, said in (
            (" ", "a check is missing at its end"),
            ("@ and", "a check is missing at its end"),
            ("or @", "a check is missing before 'or'"),
            ("not", "a check is missing at its end"),
            ("()", "a check is missing before ')'"),
            ("@ @", "'@' is not expected there; checks are joined by 'and' and 'or'"),
            ("@ not @", "'not' is not expected there"),
            ("(@", "a parenthesis is not closed"),
            ("@)", "')' is not expected there"),
            ("(" * 65 + "@" + ")" * 65, "it is nested deeper than 64 levels"),
            ("not " * 100_000 + "@", "it is nested deeper than 64 levels"),
        ):
            self.refused(rule, said)

    def test_checks(self) -> None:
        """Checks that could never hold are refused, and so is what asks another server."""
        for rule, said in (
            ("admin", "'admin' is no check; it has to be @, ! or a kind and a value, such as role:admin"),
            ("'admin'", "is no check"),
            ("role:", "'role:' has nothing behind its colon"),
            (":x", "is of a kind that is not known here"),
            ("tenant:x", "known are role, rule, user_id, project_id, roles, is_admin and literals"),
            ("user.id:x", "is of a kind that is not known here"),
            ("Role:x", "is of a kind that is not known here"),
            ("is_admin:true", "it has to be is_admin:True or is_admin:False"),
            ("http://example.org/%(project_id)s", "asks another server, which is not available here"),
            ("https://example.org", "asks another server"),
            ("user_id:%(user_id)s", "'%(user_id)s' in '%(user_id)s' means nothing here; known are %(project_id)s and %%"),
            ("role:100%", "'%' in '100%' means nothing here"),
            ("role:%s", "'%' in '%s' means nothing here"),
            ("role:%(project_id)d", "means nothing here"),
        ):
            self.refused(rule, said)
            self.refused([[rule]], said)

    def test_types(self) -> None:
        """What is neither text nor a list of checks and lists of checks is refused."""
        for rule, said in (
            (None, "it is null (YAML wants a '!' in quotes); it has to be text or a list, and '' or '@' to allow everybody"),
            (True, "it is true or false"),
            (5, "it is a number"),
            ({"a": "@"}, "it is a map"),
            ([5], "a member of its list is a number; it has to be a check or a list of checks"),
            ([["@", None]], "a member of its list is a list"),
            ([[["@"]]], "a member of its list is a list"),
        ):
            self.refused(rule, said)

    def test_depth(self) -> None:
        """As deep as may be is evaluated, and a chain of rules without end is refused."""
        self.assertTrue(allows("not " * 62 + "role:member"))
        chain = {f"r{number}": f"not rule:r{number + 1}" for number in range(5000)}
        self.refused("rule:r0", "it refers to rules that refer to others too many times over", **chain)

    def test_references(self) -> None:
        """A rule that is not there, or in the end the rule itself, is refused."""
        self.refused("rule:nope", "rule:nope refers to a rule that does not exist")
        self.refused("rule:asked", "it refers to itself: asked -> asked")
        self.refused("@ and rule:a", "it refers to itself: asked -> a -> b -> asked", a="rule:b", b="not rule:asked")
        self.refused("is_admin:True", f"it refers to itself: {IS_ADMIN} -> {IS_ADMIN}", **{IS_ADMIN: "is_admin:False"})


# -- beside oslo.policy ------------------------------------------------------------------------------------------------

_NAMES = ("admin", "Member", "p", "u", "%(project_id)s", "a%(project_id)s", "%%", "x:y", "a(b)c")
_CHECKS = st.one_of(
    st.sampled_from(("@", "!", "rule:first", "rule:second", "is_admin:True", "is_admin:False", "True:True", "None:x")),
    st.builds("{}:{}".format, st.sampled_from(("role", "roles", "user_id", "project_id", "'p'", '"u"')), st.sampled_from(_NAMES)),
)
_SPACES = st.sampled_from((" ", "  ", "\n", "\t "))


def _joined(parts: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    words = st.sampled_from(("and", "or", "And", "OR"))
    return st.one_of(
        st.builds("{}{}{}{}{}".format, parts, _SPACES, words, _SPACES, parts),
        st.builds("{}{}{}".format, st.sampled_from(("not", "NOT")), _SPACES, _CHECKS),
        st.builds("not ({})".format, parts),
        st.builds("({})".format, parts),
        st.builds("( {} )".format, parts),
    )


_TEXTS = st.one_of(st.just(""), st.recursive(_CHECKS, _joined, max_leaves=12))
_LISTS = st.lists(st.one_of(_CHECKS, st.lists(_CHECKS, max_size=3)), max_size=3)
_RULES = st.one_of(_TEXTS, _LISTS)
_CALLERS = st.builds(
    Context,
    st.sampled_from(("p", "q", "Member", "%")),
    roles=st.frozensets(st.sampled_from(("admin", "member", "p", "ap", "x:y", "a(b)c", "%")), max_size=3),
    user=st.sampled_from(("", "u", "p")),
)


def _by_oslo(rules: dict[str, Any], ctx: Context) -> bool:
    read = oslo.Rules.from_dict(rules)
    enforcer: Any = SimpleNamespace(rules=read)  # as much of oslo.policy's enforcer as its checks ask for
    target = {"project_id": ctx.project}
    credentials: dict[str, Any] = {"project_id": ctx.project, "user_id": ctx.user, "roles": [*ctx.roles]}
    credentials["is_admin"] = bool(read[IS_ADMIN](target, credentials, enforcer))
    return bool(read["asked"](target, credentials, enforcer))


class DifferentialTests(SynchronousTestCase):
    """The same rules, read by oslo.policy."""

    @settings(deadline=None, max_examples=300)
    @given(asked=_RULES, first=_TEXTS.filter(lambda rule: "rule:" not in rule), second=_LISTS, ctx=_CALLERS)
    def test_alike(self, asked: object, first: str, second: list[str | list[str]], ctx: Context) -> None:
        """Whoever is allowed by one is allowed by the other."""
        second = [one for one in second if "rule:second" not in one]
        rules = {IS_ADMIN: "role:admin or user_id:p", "first": first, "second": second, "asked": asked}
        check = Rules(rules).check("asked")
        self.assertEqual(check if isinstance(check, bool) else check(ctx), _by_oslo(rules, ctx), rules)
