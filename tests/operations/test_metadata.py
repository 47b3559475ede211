"""Reserved metadata: what the store is told of them."""

from __future__ import annotations

from typing import Any

from twisted.trial.unittest import SynchronousTestCase

from zaqar_gateway.errors import RuleBroken
from zaqar_gateway.limits import Limits
from zaqar_gateway.model import NO_RULES, QueueRules
from zaqar_gateway.operations.metadata import check


class RetryPolicyTests(SynchronousTestCase):
    """The retry policy of a queue."""

    def rules(self, **metadata: Any) -> QueueRules:
        """The rules that follow from metadata."""
        return check("q", metadata, Limits())

    def test_policy(self) -> None:
        """The store is told the policy as compact JSON, with keys that nobody knows."""
        policy = {"minimum_delay": 5, "maximum_delay": 15, "x": ["é", None]}
        self.assertEqual(
            self.rules(_retry_policy=policy).retry_policy,
            '{"minimum_delay":5,"maximum_delay":15,"x":["é",null]}'.encode(),
        )

    def test_no_policy(self) -> None:
        """A policy that is absent, null or empty is none."""
        nothing: tuple[dict[str, Any], ...] = ({}, {"_retry_policy": None}, {"_retry_policy": {}}, {"x": 1})
        for metadata in nothing:
            self.assertEqual(self.rules(**metadata), NO_RULES)

    def test_refused_policy(self) -> None:
        """A policy that is no object is refused, though it be empty."""
        for policy in ([], "", 0, False, "x", [1]):
            with self.assertRaisesRegex(RuleBroken, "^_retry_policy has to be an object.$"):
                self.rules(_retry_policy=policy)

    def test_topics(self) -> None:
        """A topic has a policy, too."""
        rules = check("t", {"_retry_policy": {"minimum_delay": 1}}, Limits(), dead_letters=False)
        self.assertEqual(rules.retry_policy, b'{"minimum_delay":1}')
