"""When a delivery that failed is tried again (API reference, "Webhook success and retry").  Pure."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec
from attrs import frozen

NUMBER_MAX = 2**31 - 1
"""Counts and delays that a policy may ask for beyond this are taken as this; as seconds they are 68 years."""

_STEP_S = 5


def _linear(a: int, least: int, most: int, n: int) -> int:
    return least + _STEP_S * (a - 1)


def _arithmetic(a: int, least: int, most: int, n: int) -> int:
    return least + a * (a - 1) * (most - least) // (n * (n - 1))


def _geometric(a: int, least: int, most: int, n: int) -> int:
    # What is whole but for the rounding of the power is not to lose a second.
    return int(least * (most / least) ** ((a - 1) / (n - 1)) + 1e-6)


_BACKOFF: dict[str, Callable[[int, int, int, int], int]] = {
    "linear": _linear,
    "arithmetic": _arithmetic,
    "geometric": _geometric,
    "exponential": _geometric,
}
"""The delay (s) before attempt ``a`` of ``n`` in the third phase, from the least delay, the most and their ``n``."""


@frozen
class RetryPolicy:
    """How often and after which delays; delays are seconds.  Defaults are those of the API.

    :ivar minimum_delay: 1 or more.
    :ivar maximum_delay: at least 10 more than ``minimum_delay``.
    :ivar retry_backoff_function: a name of the API.
    """

    retries_with_no_delay: int = 3
    minimum_delay_retries: int = 3
    minimum_delay: int = 5
    maximum_delay: int = 30
    maximum_delay_retries: int = 3
    retry_backoff_function: str = "linear"

    def delay_s(self, attempts: int) -> int | None:
        """How long to wait before the next attempt.

        :param attempts: how many have failed, 1 or more.
        :return: seconds; ``None``: there is no next one.
        """
        at = attempts
        if at <= self.retries_with_no_delay:
            return 0
        at -= self.retries_with_no_delay
        if at <= self.minimum_delay_retries:
            return self.minimum_delay
        at -= self.minimum_delay_retries
        if at <= self._backoff_retries:
            spread = (self.maximum_delay - self.minimum_delay) // _STEP_S
            return _BACKOFF[self.retry_backoff_function](at, self.minimum_delay, self.maximum_delay, spread)
        at -= self._backoff_retries
        return self.maximum_delay if at <= self.maximum_delay_retries else None

    @property
    def _backoff_retries(self) -> int:
        spread = self.maximum_delay - self.minimum_delay
        # The linear series ends below the maximum, so that a last step which is not whole counts.
        return -(-spread // _STEP_S) if self.retry_backoff_function == "linear" else spread // _STEP_S


DEFAULT = RetryPolicy()


def policy_for(of_subscription: object, of_queue: bytes) -> RetryPolicy:
    """The policy that counts for a subscription of a queue.

    A policy that could not have been accepted counts as if it were not there.

    :param of_subscription: the member ``_retry_policy`` of its options, ``None`` where there is none.
    :param of_queue: JSON text, empty where there is none.
    """
    own, queue = _checked(of_subscription), _checked(_decoded(of_queue))
    if own.get("ignore_subscription_override") or queue.get("ignore_subscription_override"):
        own = {}
    chosen = own or queue
    function = chosen.get("retry_backoff_function") or DEFAULT.retry_backoff_function
    return RetryPolicy(**{name: _number(chosen, name) for name in _NUMBERS}, retry_backoff_function=function)


_DELAYS = ("minimum_delay", "maximum_delay")
_NUMBERS = ("retries_with_no_delay", "minimum_delay_retries", *_DELAYS, "maximum_delay_retries")
_SPREAD_MIN_S = 10


def _decoded(text: bytes) -> object:
    try:
        return msgspec.json.decode(text) if text else None
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None


def _checked(policy: object) -> dict[str, Any]:
    """The policy if it is one that is accepted, else an empty one."""
    if not isinstance(policy, dict):
        return {}
    numbers = [policy[name] for name in _NUMBERS if policy.get(name)]
    function = policy.get("retry_backoff_function")
    if (
        any(type(number) is not int or number < 0 for number in numbers)
        or (function and (not isinstance(function, str) or function not in _BACKOFF))
        or _number(policy, "maximum_delay") - _number(policy, "minimum_delay") < _SPREAD_MIN_S
    ):
        return {}
    return policy


def _number(policy: dict[str, Any], name: str) -> int:
    """A member; its default where it is absent or empty, or a delay of 0, as when a policy is checked."""
    given, default = policy.get(name), getattr(DEFAULT, name)
    if type(given) is not int or (name in _DELAYS and not given):
        return int(default)
    return min(given, NUMBER_MAX)
