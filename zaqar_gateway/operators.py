"""The listeners at which operators are answered."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from twisted.internet.defer import gatherResults
from twisted.internet.interfaces import IListeningPort

from zaqar_gateway.address import written
from zaqar_gateway.cautions import is_reachable
from zaqar_gateway.config import on_loopback, without_tls
from zaqar_gateway.role import Role
from zaqar_gateway.transport.http.factory import HttpFactory
from zaqar_gateway.transport.tls import TlsListeners


class Operators:
    """Those of one process.

    :param endpoints: as the settings have them.
    :param factory: of their connections.
    """

    def __init__(self, endpoints: Sequence[str], factory: HttpFactory) -> None:
        self._endpoints = endpoints
        self._factory = factory
        self._ports: list[IListeningPort] = []

    async def listen(self, role: Role, tls: TlsListeners | None) -> list[tuple[Any, bool]]:
        """Answer from now on.

        :param tls: that is spoken where an endpoint asks for it; it is there, then.
        :return: where, and whether TLS is spoken there.
        :raises OSError: it cannot be listened there; the text is for people.
        """
        found = []
        for endpoint in self._endpoints:
            described, over_tls = without_tls(endpoint)
            served = tls.wrap(self._factory) if over_tls and tls is not None else self._factory
            port = await role.listen("admin", endpoint, on_loopback(described), served)
            self._ports.append(port)
            host: Any = port.getHost()
            if is_reachable(host):
                role.caution(
                    f"metrics and health are reachable from elsewhere at {written(host.host, host.port)}: whoever reaches it can read them"
                )
            found.append((host, over_tls))
        return found

    async def stop(self) -> None:
        """Answer nobody any more."""
        self._factory.stop_accepting()
        stopped = [port.stopListening() for port in self._ports]
        await gatherResults([each for each in stopped if each is not None])
