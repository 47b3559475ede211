"""The audit log: who administered or destroyed what, from where, and what came of it.

Each request for an audited operation is one event in the namespace :data:`NAMESPACE`, at the level info, once its outcome is
known; with the fields in :data:`FIELDS`, and nothing of its body, query, headers or answer.  What is refused before it is
known who asks for which operation is no such request.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from twisted.logger import Logger

from zaqar_gateway.model import Context
from zaqar_gateway.operations.registry import Operation, field_of

NAMESPACE = "zaqar_gateway.audit"

FIELDS = (
    "request_id",
    "global_request_id",
    "transport",
    "peer",
    "project",
    "user",
    "operation",
    "resources",
    "status",
)
"""What an event tells: texts, save for ``resources``, a map of names of path variables to their values, and ``status``, a
number.  The ids are empty where there are none: frames have no ids, and the global one is the client's to give."""

_log = Logger(namespace=NAMESPACE)


class Audit:
    """What is told of requests for one operation on one transport."""

    def __init__(self, operation: Operation, transport: str) -> None:
        self._operation = operation.name
        self._transport = transport
        path = operation.http.path if operation.http is not None else ""
        variables = (part[1:-1] for part in path.split("/") if part[:1] == "{")
        self._variables = [(variable, field_of(variable)) for variable in variables]

    def record(
        self,
        ctx: Context,
        status: int,
        value: Callable[[str], object],
        peer: str,
        request_id: str = "",
        global_request_id: str = "",
    ) -> None:
        """Tell of a request whose outcome is known.

        :param value: gives the value of a field.
        :param peer: from where it came, as :func:`peer_of` has it.
        """
        resources = {variable: value(name) for variable, name in self._variables}
        # Formatted here: to have twisted.logger do it takes a sixth of all that it takes to create a queue.
        told = (
            f"{self._operation} {resources} in project {ctx.project!r} by user {ctx.user!r} from {peer} over {self._transport}:"
            f" {status} (request {request_id!r}, global request {global_request_id!r})"
        )
        _log.info(
            "{told}",
            told=told,
            request_id=request_id,
            global_request_id=global_request_id,
            transport=self._transport,
            peer=peer,
            project=ctx.project,
            user=ctx.user,
            operation=self._operation,
            resources=resources,
            status=status,
        )


def audit_of(operation: Operation | None, transport: str) -> Audit | None:
    """What is told of an operation; ``None``: nothing."""
    return Audit(operation, transport) if operation is not None and operation.audited else None


def peer_of(transport: Any) -> str:
    """Address and port of whoever is connected; ``unix`` on a socket of this machine."""
    peer = transport.getPeer()
    host = getattr(peer, "host", None)
    if host is None:
        return "unix"
    return f"[{host}]:{peer.port}" if ":" in host else f"{host}:{peer.port}"
