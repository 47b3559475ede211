"""What is told once a gateway serves: what is to be known of its settings, the banner, and what ``--show`` shows."""

from __future__ import annotations

import os
import sys
from collections.abc import Collection, Iterable, Sequence
from typing import Any

from attrs import frozen
from twisted.internet.interfaces import IListeningPort

from zaqar_gateway import __version__
from zaqar_gateway.address import written
from zaqar_gateway.cautions import caution
from zaqar_gateway.config import Listen, Settings, without_tls
from zaqar_gateway.show import ShowFailed, show
from zaqar_gateway.transport.http import console

Places = Sequence[tuple[Any, bool]]
"""The addresses of listeners, and whether TLS is spoken there."""


def places(listen: Listen, ports: Iterable[IListeningPort]) -> tuple[Places, Places]:
    """Where clients find a gateway: by HTTP, and by WebSocket alone.

    :param ports: of the listeners, those for HTTP first, each in the order of the settings.
    """
    endpoints = (*listen.http, *listen.websocket)
    found = [(port.getHost(), without_tls(endpoint)[1]) for port, endpoint in zip(ports, endpoints, strict=True)]
    return found[: len(listen.http)], found[len(listen.http) :]


def told(**listeners: Places) -> dict[str, list[str]]:
    """Where it is listened, for people.

    :param listeners: by the setting that has them, ``http``, ``websocket`` or ``admin``.
    """
    return {
        name: [shown("ws" if name == "websocket" else "http", *place) for place in found] for name, found in listeners.items()
    }


@frozen
class Serving:
    """What a gateway that serves tells of itself.

    :ivar kept: where messages are.
    :ivar schemes: of subscribers that something delivers to.
    :ivar http: the listeners for HTTP; :ivar websocket: those for WebSocket alone; :ivar admin: those for operators.
    :ivar workers: how many processes serve there.
    """

    kept: str
    schemes: Collection[str]
    http: Places
    websocket: Places
    admin: Places = ()
    workers: int = 1


async def announce(settings: Settings, serving: Serving, reactor: Any, *, shows: bool) -> None:
    """Tell that a gateway serves.

    :param shows: whether some requests are made, and printed.
    """
    caution(settings, [host for host, _ in (*serving.http, *serving.websocket)], serving.schemes)
    authenticates = bool(settings.auth_strategy)
    _print(_banner(serving, authenticates, settings.web.console))
    if shows and authenticates:
        _print("There is no token to show anything with.")
    elif shows:
        plain_http, plain_websocket = (
            [host for host, secure in each if not secure] for each in (serving.http, serving.websocket)
        )
        try:
            await show(reactor, plain_http, plain_websocket, _print)
        except ShowFailed as error:
            _print(f"That is as far as it goes: {error}. The gateway serves all the same.")


def _print(text: str) -> None:
    """Print to the terminal; twistd makes log lines of ``sys.stdout``."""
    print(text, file=sys.__stdout__, flush=True)


def _is_tcp(host: Any) -> bool:
    return hasattr(host, "port")


def _socket_path(host: Any) -> str:
    return os.fsdecode(getattr(host, "name", None) or str(host))


def _authority(host: Any) -> str:
    """Where a client on this machine finds a listener."""
    return written({"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host.host, host.host), host.port)


def _url(scheme: str, host: Any, over_tls: bool) -> str:
    return f"{scheme}{'s' if over_tls else ''}://{_authority(host)}"


def shown(scheme: str, host: Any, over_tls: bool) -> str:
    """A listener, for people.

    :param host: the address of it.
    """
    return f"{_url(scheme, host, over_tls)}/" if _is_tcp(host) else _socket_path(host)


def _banner(serving: Serving, authenticates: bool, has_console: bool) -> str:
    http = serving.http
    lines = [f"zaqar-gateway {__version__} is ready.", f"  messages are kept in {serving.kept}"]
    if serving.workers > 1:
        lines.append(f"  {serving.workers} workers serve")
    for what, scheme, hosts in (
        ("HTTP and WebSocket", "http", http),
        ("WebSocket", "ws", serving.websocket),
        ("metrics and health", "http", serving.admin),
    ):
        lines += [f"  {what} on {shown(scheme, host, over_tls)}" for host, over_tls in hosts]
    lines += [
        f"  web console on {_url('http', host, over_tls)}{console.PREFIX}"
        for host, over_tls in http
        if has_console and _is_tcp(host)
    ]
    if http:
        host, over_tls = http[0]
        scheme = "https" if over_tls else "http"
        place = _url("http", host, over_tls) if _is_tcp(host) else ""
        who = '"X-Auth-Token: $TOKEN"' if authenticates else "'X-Project-ID: demo'"
        lines += [
            "A first request:",
            f"  curl -i {place or f'--unix-socket {_socket_path(host)} {scheme}://localhost'}"
            f"/v2/queues/hello/messages -H {who}"
            " -H 'Client-ID: 3381af92-2b9e-11e3-b191-71861300734c'"
            """ -H 'Content-Type: application/json' -d '{"messages": [{"body": "Hello"}]}'""",
        ]
    return "\n".join(lines)
