"""Who may run what: the rules that there are, those of operators, and their place before everything else."""

from __future__ import annotations

from pathlib import Path

from twisted.internet.defer import Deferred
from twisted.logger import LogLevel
from twisted.trial.unittest import SynchronousTestCase

import zaqar_gateway
from tests.helpers import PROJECT, HttpApi, build_operations
from tests.logs import logged
from zaqar_gateway.errors import Forbidden
from zaqar_gateway.model import Context
from zaqar_gateway.operations.policy import DEFAULTS, Policy, PolicyError, sample, strangers
from zaqar_gateway.operations.registry import Asked, Operation, dispatch
from zaqar_gateway.storage.memory import MemoryStorage
from zaqar_gateway.testing.base import clock_at_epoch

ADMIN = Context(PROJECT, roles=frozenset(("admin",)))
SOMEBODY = Context(PROJECT, roles=frozenset(("member",)), user="u")

_CRUD = ("get_all", "create", "get", "update", "delete")
OF_THE_API = {
    "queues": {*_CRUD, "stats", "share", "purge"},
    "messages": {"get_all", "create", "get", "delete", "delete_all"},
    "claims": {"create", "get", "update", "delete"},
    "subscription": {*_CRUD, "confirm"},
    "topics": {*_CRUD, "stats", "purge"},
    "ping": {"get"},
    "health": {"get"},
    "pools": {*_CRUD},
    "flavors": {*_CRUD},
}
"""The rules of the API reference, "Policy"."""

FOR_ADMINS = {"health:get", "deliveries:get_all", "deliveries:create", *(f"pools:{verb}" for verb in _CRUD)}
FOR_ADMINS |= {f"flavors:{verb}" for verb in ("create", "update", "delete")}


def allowed(policy: Policy, ctx: Context, rule: str) -> bool:
    """Whether a policy allows something."""
    try:
        policy.require(ctx, rule)
    except Forbidden:
        return False
    return True


class DefaultTests(SynchronousTestCase):
    """The rules where no operator has said anything."""

    def test_names(self) -> None:
        """They are those of the API, the two helpers, and those of failed deliveries and of dead letters."""
        named = {f"{kind}:{verb}" for kind, verbs in OF_THE_API.items() for verb in verbs}
        own = {"deliveries:get_all", "deliveries:create", "dead_letters:get_all", "dead_letters:return"}
        self.assertEqual(set(DEFAULTS), named | own | {"context_is_admin", "admin_or_owner"})

    def test_who(self) -> None:
        """What is for administrators is refused to others, and everything else to nobody."""
        for rule in DEFAULTS:
            self.assertTrue(allowed(Policy(), ADMIN, rule), rule)
            refused = rule in FOR_ADMINS or rule == "context_is_admin"
            self.assertEqual(allowed(Policy(), Context(PROJECT), rule), not refused, rule)

    def test_registry(self) -> None:
        """Every operation asks for a rule that there is."""
        for row in build_operations(MemoryStorage(clock_at_epoch())).operations:
            self.assertIn(row.rule, DEFAULTS, row.name)

    def test_refusal(self) -> None:
        """A refusal names the rule, and the role where that is all that is asked."""
        error = self.assertRaises(Forbidden, Policy().require, SOMEBODY, "health:get")
        self.assertEqual(str(error), "You need the role admin for health:get.")
        policy = Policy({"queues:get": "user_id:secret-user"})
        error = self.assertRaises(Forbidden, policy.require, SOMEBODY, "queues:get")
        self.assertEqual(str(error), "The policy of this service does not allow you queues:get.")


class OverrideTests(SynchronousTestCase):
    """The rules of an operator."""

    def test_override(self) -> None:
        """A rule that is given counts in place of its default; the others stay."""
        policy = Policy({"queues:create": "role:member", "health:get": "", "queues:get": "!"})
        self.assertTrue(allowed(policy, SOMEBODY, "queues:create"))
        self.assertFalse(allowed(policy, ADMIN, "queues:create"))
        self.assertTrue(allowed(policy, Context(PROJECT), "health:get"))
        self.assertFalse(allowed(policy, ADMIN, "queues:get"))
        self.assertFalse(allowed(policy, SOMEBODY, "deliveries:get_all"))

    def test_helpers(self) -> None:
        """The helpers can be referred to, and changed."""
        policy = Policy({"queues:create": "rule:context_is_admin", "context_is_admin": "role:member"})
        self.assertTrue(allowed(policy, SOMEBODY, "queues:create"))
        self.assertFalse(allowed(policy, ADMIN, "queues:create"))

    def test_replace(self) -> None:
        """Other rules take the place of all that were given before."""
        policy = Policy({"queues:create": "!"})
        policy.replace({"queues:get": "!"})
        self.assertTrue(allowed(policy, SOMEBODY, "queues:create"))
        self.assertFalse(allowed(policy, SOMEBODY, "queues:get"))

    def test_problems(self) -> None:
        """Every rule that is wrong is told, and nothing changes."""
        policy = Policy({"queues:create": "!"})
        error = self.assertRaises(PolicyError, policy.replace, {"queues:get": "x", "a": "rule:b", "b": None, "queues:create": ""})
        self.assertEqual([name for name, _ in error.problems], ["queues:get", "a", "b"])
        self.assertIn("queues:get: 'x' is no check", str(error))
        self.assertFalse(allowed(policy, SOMEBODY, "queues:create"))

    def test_strangers(self) -> None:
        """A name that nothing asks for is told, with the one that may be meant; a helper of the operator's is none."""
        told = strangers({"queue:create": "rule:mine", "mine": "@", "zzz": "", "queues:get": ""})
        self.assertEqual(
            told,
            [
                "queue:create is no rule of this service, and no rule refers to it; is queues:create meant?",
                "zzz is no rule of this service, and no rule refers to it",
            ],
        )


class SampleTests(SynchronousTestCase):
    """The sample file."""

    def test_is_current(self) -> None:
        """The file in etc/ is the one that the code writes."""
        root = Path(zaqar_gateway.__file__).parent.parent
        self.assertEqual((root / "etc" / "policy.yaml").read_text(encoding="utf-8"), sample())

    def test_has_every_rule(self) -> None:
        """With the comment signs taken from its rules it has them all, each with its default."""
        rules = [line[1:] for line in sample().splitlines() if line.startswith('#"')]
        self.assertEqual(rules, [f'"{name}": "{rule}"' for name, rule in DEFAULTS.items()])


class _Unasked(Asked):
    """Fields that nobody may look at."""

    size = 0

    def fields(self, operation: Operation) -> None:  # type: ignore[override]
        raise AssertionError("the fields were looked at")


class OrderTests(SynchronousTestCase):
    """The policy comes before everything of the operation (API reference, "Order of checks", step 12)."""

    def setUp(self) -> None:
        self.storage = MemoryStorage(clock_at_epoch())

    def test_every_operation(self) -> None:
        """Each operation asks for its rule before its fields are looked at, and a row cannot forget to."""
        policy = Policy(dict.fromkeys(DEFAULTS, "!"))
        for row in build_operations(self.storage, policy=policy).operations:
            self.failureResultOf(Deferred.fromCoroutine(dispatch(row, ADMIN, _Unasked())), Forbidden)

    def test_refusals_are_told(self) -> None:
        """Each operation that is refused is told at level debug, with the kind of error, and with nothing that the client has sent."""
        seen = logged(self)
        api = HttpApi(self.storage, policy=Policy({**DEFAULTS, "queues:create": "!"}))
        self.assertEqual(api("PUT", "/v2/queues/q", b"{}").status, 403)
        self.assertEqual(api("GET", "/v2/queues?limit=x").status, 400)
        told = [(event["log_level"], event["operation"], event["kind"]) for event in seen if event["log_namespace"].endswith("registry")]
        self.assertEqual([level for level, _, _ in told], [LogLevel.debug] * 2)
        self.assertEqual([operation for _, operation, _ in told], ["queue_create", "queue_list"])
        self.assertEqual([kind for _, _, kind in told], ["Forbidden", "BadParameter"])

    def test_http(self) -> None:
        """A bad body, a bad query and a missing resource are 403 to whoever may not."""
        api = HttpApi(self.storage, policy=Policy(dict.fromkeys(DEFAULTS, "role:admin")))
        for method, target, body in (
            ("PUT", "/v2/queues/q", b"{"),
            ("PATCH", "/v2/queues/q", b"{"),
            ("GET", "/v2/queues?limit=x", None),
            ("GET", "/v2/queues/q/claims/nope", None),
            ("POST", "/v2/queues/q/messages", b""),
        ):
            response = api(method, target, body)
            self.assertEqual((response.status, response.title), (403, "Not authorized"), target)
            self.assertNotEqual(api(method, target, body, {"X-ROLES": "member, ADMIN"}).status, 403, target)

    def test_changes(self) -> None:
        """Rules that are replaced count for requests from then on."""
        policy = Policy()
        api = HttpApi(self.storage, policy=policy)
        self.assertEqual(api("PUT", "/v2/queues/q").status, 201)
        policy.replace({"queues:create": "role:member"})
        self.assertEqual(api("PUT", "/v2/queues/q").status, 403)
        self.assertEqual(api("PUT", "/v2/queues/q", headers={"X-ROLES": "member"}).status, 204)
