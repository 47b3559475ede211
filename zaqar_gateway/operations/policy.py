"""Who may run what (API reference, "Policy").  The registry asks, so that no transport can forget to."""

from __future__ import annotations

from zaqar_gateway.errors import Forbidden
from zaqar_gateway.model import Context

ADMIN = "admin"

ROLE_NEEDED: dict[str, str] = {rule: ADMIN for rule in ("health:get", "deliveries:get_all", "deliveries:create")}
"""Rules that ask for a role; every other rule is open to anybody who is identified."""


def require(context: Context, rule: str) -> None:
    """:raises Forbidden: the caller lacks the role that the rule asks for."""
    role = ROLE_NEEDED.get(rule)
    if role is not None and role not in context.roles:
        raise Forbidden(f"You need the role {role} for {rule}.")
