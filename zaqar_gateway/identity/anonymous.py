"""Identity where no authentication is configured: what the client says of itself is believed.

For development and for gateways behind another one that authenticates (API reference, "Keystone authentication").
"""

from __future__ import annotations

from zope.interface import implementer

from zaqar_gateway.errors import ProjectEmpty, ProjectMissing
from zaqar_gateway.interfaces import IIdentity
from zaqar_gateway.model import Context, roles_of


@implementer(IIdentity)
class Anonymous:
    """Takes project, roles and user from the headers."""

    def identify(self, headers: dict[bytes, bytes]) -> Context:
        """:raises BadRequest: the project is missing or empty."""
        project = headers.get(b"x-project-id")
        if project is None:  # the legacy names (API reference, "Request headers")
            project = headers.get(b"x-tenant-id", headers.get(b"x-tenant"))
        if project is None:
            raise ProjectMissing("X-Project-ID is missing; it has to name the project.")
        if not project:
            raise ProjectEmpty("X-Project-ID is empty; it has to name the project.")
        return Context(
            project=_text(project),
            roles=roles_of(_text(headers.get(b"x-roles", headers.get(b"x-role", b"")))),
            user=_text(headers.get(b"x-user-id", b"")),
        )


def _text(value: bytes) -> str:
    try:
        return value.decode()
    except UnicodeDecodeError:
        return value.decode("latin-1")
