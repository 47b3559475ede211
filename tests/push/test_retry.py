"""When a delivery is tried again; vectors by hand, from the API reference, "Webhook success and retry"."""

from __future__ import annotations

import json

from twisted.trial.unittest import SynchronousTestCase

from zaqar_gateway.push.retry import NUMBER_MAX, RetryPolicy, policy_for


def delays(policy: RetryPolicy) -> list[int]:
    """The delays before all further attempts, until it is given up."""
    found: list[int] = []
    while (delay := policy.delay_s(len(found) + 1)) is not None:
        found.append(delay)
    return found


def only(function: str, least: int, most: int) -> list[int]:
    """The delays of the third phase alone."""
    return delays(
        RetryPolicy(
            retries_with_no_delay=0,
            minimum_delay_retries=0,
            minimum_delay=least,
            maximum_delay=most,
            maximum_delay_retries=0,
            retry_backoff_function=function,
        )
    )


class DelayTests(SynchronousTestCase):
    """The delays of a policy."""

    def test_defaults(self) -> None:
        """Three at once, three after the least delay, linear steps below the greatest, three after that."""
        self.assertEqual(delays(RetryPolicy()), [0, 0, 0, 5, 5, 5, 5, 10, 15, 20, 25, 30, 30, 30])

    def test_phases(self) -> None:
        """Each phase has the attempts that the policy gives it."""
        policy = RetryPolicy(
            retries_with_no_delay=1,
            minimum_delay_retries=2,
            minimum_delay=3,
            maximum_delay=14,
            maximum_delay_retries=1,
        )
        self.assertEqual(delays(policy), [0, 3, 3, 3, 8, 13, 14])

    def test_linear(self) -> None:
        """Steps of five seconds that stay below the greatest delay, which need not be a whole number of steps away."""
        self.assertEqual(only("linear", 5, 20), [5, 10, 15])
        self.assertEqual(only("linear", 5, 21), [5, 10, 15, 20])
        self.assertEqual(only("linear", 10, 20), [10, 15])

    def test_arithmetic(self) -> None:
        """Steps that grow by the same amount, from the least delay to the greatest."""
        # n = 5: 5 + a(a-1) * 25/20
        self.assertEqual(only("arithmetic", 5, 30), [5, 7, 12, 20, 30])
        # n = floor(17/5) = 3: 4 + a(a-1) * 17/6, which is 4, 9.67, 21
        self.assertEqual(only("arithmetic", 4, 21), [4, 9, 21])

    def test_geometric(self) -> None:
        """Delays that grow by the same factor, from the least delay to the greatest."""
        # n = 5: 5 * 6^((a-1)/4), which is 5, 7.83, 12.25, 19.17, 30
        self.assertEqual(only("geometric", 5, 30), [5, 7, 12, 19, 30])
        # n = 3: 2 * 9^((a-1)/2), whose root is whole
        self.assertEqual(only("geometric", 2, 18), [2, 6, 18])

    def test_exponential(self) -> None:
        """Exponential is another name for geometric."""
        for least, most in ((5, 30), (2, 18), (1, 1000)):
            self.assertEqual(only("exponential", least, most), only("geometric", least, most))

    def test_whole_values(self) -> None:
        """The last delay of the growing series is the greatest one, however the power is rounded."""
        for most in range(20, 400):
            for function in ("arithmetic", "geometric"):
                self.assertEqual(only(function, 7, most)[-1], most)

    def test_enormous(self) -> None:
        """A policy with enormous numbers is answered at once, in numbers that a store can hold."""
        text = json.dumps({"minimum_delay": 1, "maximum_delay": 10**400, "minimum_delay_retries": 10**30}).encode()
        for function in ("linear", "arithmetic", "geometric"):
            policy = policy_for(json.loads(text) | {"retry_backoff_function": function}, b"")
            self.assertEqual(policy.delay_s(10**6), 1)
            self.assertLessEqual(policy.delay_s(NUMBER_MAX + 10**8) or 0, NUMBER_MAX)


class ChoiceTests(SynchronousTestCase):
    """Which policy counts."""

    OWN = {"minimum_delay": 6}
    QUEUE = b'{"minimum_delay": 7}'

    def chosen(self, own: object, queue: bytes) -> int:
        """The least delay of the policy that counts; 5 is the default."""
        return policy_for(own, queue).minimum_delay

    def test_order(self) -> None:
        """The subscription's comes before the queue's, and that before the defaults; an empty one is none."""
        self.assertEqual(self.chosen(self.OWN, self.QUEUE), 6)
        self.assertEqual(self.chosen({}, self.QUEUE), 7)
        self.assertEqual(self.chosen(None, self.QUEUE), 7)
        self.assertEqual(self.chosen(None, b"{}"), 5)
        self.assertEqual(self.chosen(None, b""), 5)

    def test_override(self) -> None:
        """Where either has the switch, the queue's counts, or the defaults."""
        switch = {"ignore_subscription_override": True}
        self.assertEqual(self.chosen(self.OWN | switch, self.QUEUE), 7)
        self.assertEqual(self.chosen(self.OWN | switch, b""), 5)
        self.assertEqual(self.chosen(self.OWN, b'{"minimum_delay": 7, "ignore_subscription_override": true}'), 7)
        self.assertEqual(self.chosen(self.OWN, b'{"ignore_subscription_override": true}'), 5)
        self.assertEqual(self.chosen(self.OWN | {"ignore_subscription_override": False}, self.QUEUE), 6)

    def test_missing_keys(self) -> None:
        """What a policy does not have is the default, and not what another policy has."""
        policy = policy_for({"retries_with_no_delay": 0, "maximum_delay": None}, b'{"maximum_delay_retries": 9}')
        self.assertEqual(policy, RetryPolicy(retries_with_no_delay=0))

    def test_zero(self) -> None:
        """No attempts is a number of attempts; a delay of 0 is the default, as when the policy was checked."""
        policy = policy_for(
            {
                "retries_with_no_delay": 0,
                "minimum_delay_retries": 0,
                "maximum_delay_retries": 0,
                "minimum_delay": 0,
                "maximum_delay": 0,
            },
            b"",
        )
        self.assertEqual(delays(policy), [5, 10, 15, 20, 25])

    def test_malformed(self) -> None:
        """What would not have been accepted counts as if it were not there."""
        for own in (
            "x",
            [1],
            {"minimum_delay": "6"},
            {"minimum_delay": 6.5},
            {"minimum_delay": True},
            {"minimum_delay": -6},
            {"minimum_delay": 21},
            {"minimum_delay": 6, "maximum_delay": 15},
            {"minimum_delay": 6, "retry_backoff_function": "cubic"},
            {"minimum_delay": 6, "retry_backoff_function": ["linear"]},
        ):
            self.assertEqual(self.chosen(own, self.QUEUE), 7, own)
        for queue in (b"{", b"[1]", b"\xff", b"1", b'{"maximum_delay": "x"}', b"[" * 100_000):
            self.assertEqual(policy_for(None, queue), RetryPolicy(), queue[:20])
