"""What identity and policy cost a request: ``python -m bench.identity``.

Prints microseconds of CPU, the least of several runs: over HTTP with a token that is remembered, and a rule of each kind.  What
the loop itself takes is not counted.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any, cast

from twisted.internet.task import Clock

from zaqar_gateway.identity.keystone import Credentials, Keystone
from zaqar_gateway.identity.tokens import ServiceToken, Tokens, _key
from zaqar_gateway.model import Caller, Context
from zaqar_gateway.operations.policy import Policy
from zaqar_gateway.transport.http.authentication import Authentication
from zaqar_gateway.transport.http.request import Fields, Head, Request

ROUNDS, CALLS = 7, 20_000
TOKEN = "gAAAAABm" + "x" * 180
"""As long as Keystone's Fernet tokens are."""


def cost_us(call: Callable[[], object]) -> float:
    """Microseconds of CPU that a call takes."""

    def nothing() -> None:
        pass

    def run(what: Callable[[], object]) -> float:
        began = time.process_time()
        for _ in range(CALLS):
            what()
        return (time.process_time() - began) / CALLS * 1e6

    return min(run(call) - run(nothing) for _ in range(ROUNDS))


def main() -> None:
    """Measure and print."""
    clock = Clock()
    keystone = Keystone(cast(Any, None), clock, "http://unused", 10.0)  # nothing is asked of it
    tokens = Tokens(keystone, ServiceToken(keystone, Credentials(), {}, clock), clock, 300.0)
    caller = Caller("project", "user", frozenset(("member", "reader")), 10**9)
    tokens._callers.put(_key(TOKEN), caller, 300.0)
    authentication = Authentication(tokens, "http://unused")
    fields = Fields({b"x-auth-token": TOKEN.encode()})
    request = Request(cast(Any, None), Head(b"GET", b"/v2/queues", fields), fields)

    def refused(*_: object) -> None:
        raise AssertionError("the token is not remembered")

    identity = cost_us(lambda: authentication.admit(request, lambda _: None, refused))
    policy = Policy({"queues:get_all": "role:member or project_id:%(project_id)s"})
    ctx = Context(caller.project, b"", caller.roles, caller.user)
    print(f"identity, with a token that is remembered: {identity:.2f}")
    for what, rule in (("a rule that everybody passes", "messages:create"), ("a rule with a role", "queues:get_all")):
        print(f"policy, {what}: {cost_us(lambda rule=rule: policy.require(ctx, rule)):.2f}")  # type: ignore[misc]


if __name__ == "__main__":
    main()
