"""From settings to what describes the API that they give: for the commands and the documentation, and no part of a gateway."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from typing import Any

from twisted.internet.task import Clock

from zaqar_gateway import __version__
from zaqar_gateway.backends.memory import MemoryBackend
from zaqar_gateway.backends.pooled import PooledBackend
from zaqar_gateway.config import Settings
from zaqar_gateway.config.endpoints import url_of
from zaqar_gateway.descriptions.asyncapi import asyncapi
from zaqar_gateway.descriptions.openapi import openapi
from zaqar_gateway.descriptions.terms import Terms
from zaqar_gateway.identity.signed_url import UrlSigner
from zaqar_gateway.model import LogBounds, Quotas
from zaqar_gateway.operations.pools import Pooling
from zaqar_gateway.operations.registry import Operation, operations
from zaqar_gateway.storage.memory import MemoryStorage

KINDS: dict[str, Callable[[Iterable[Operation], Terms], dict[str, Any]]] = {"openapi": openapi, "asyncapi": asyncapi}
"""What there is to describe with: of HTTP, and of WebSocket."""


def rows_of(settings: Settings) -> list[Operation]:
    """The rows that a gateway with these settings serves; they are to be read and not to be run."""
    clock = Clock()
    pooling = None
    if settings.pooling:
        backend = PooledBackend(MemoryBackend(LogBounds(), Quotas(), clock), settings, clock)
        management = backend.management
        pooling = Pooling(management.pools, management.flavors, backend.directory, backend.placements)
    rows = operations(MemoryStorage(clock), settings.limits, UrlSigner((), clock), clock, pooling=pooling)
    return [row for row in rows if settings.admin_mode or not row.admin]


def terms_of(settings: Settings) -> Terms:
    """What the settings decide besides."""
    ids, listen, public = settings.transport, settings.listen, settings.notification
    return Terms(
        version=__version__,
        limits=settings.limits,
        strict_client_ids=ids.client_id_uuid_safe == "strict",
        client_id_min=ids.min_length_client_id,
        client_id_max=ids.max_length_client_id,
        authenticates=bool(settings.auth_strategy),
        signs=bool(settings.signing_keys),
        checksums=settings.enable_checksum,
        http_urls=_urls("http", public.public_url, listen.http),
        websocket_urls=_urls("ws", public.public_websocket_url, (*listen.websocket, *listen.http)),
        frame_max=settings.websocket.max_frame_size,
    )


def _urls(scheme: str, public: str, endpoints: Iterable[str]) -> tuple[str, ...]:
    """Where clients connect to: where the settings say that it is, else where the gateway listens."""
    if public:
        return (public.rstrip("/"),)
    return tuple(url for url in (url_of(scheme, endpoint) for endpoint in endpoints) if url)


def description(kind: str, settings: Settings) -> str:
    """A description, as JSON; the same for the same settings.

    :param kind: one of :data:`KINDS`.
    """
    return json.dumps(KINDS[kind](rows_of(settings), terms_of(settings)), indent=2, ensure_ascii=False) + "\n"
