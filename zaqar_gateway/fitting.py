"""What the settings are to the parts of a gateway: bounds, rules and files, and parts that need little besides."""

from __future__ import annotations

from importlib.resources import files
from typing import Any

from zaqar_gateway import plugins
from zaqar_gateway.auditfile import AuditFile
from zaqar_gateway.config import Settings, without_tls
from zaqar_gateway.interfaces import IMessageFilter, ISignIn, IStorage
from zaqar_gateway.operations.filters import Filter
from zaqar_gateway.operations.rates import Rate, Rates
from zaqar_gateway.operations.refusals import Refusals
from zaqar_gateway.transport.http import console
from zaqar_gateway.transport.http.bounds import DRAINED, HttpBounds, line_of_ids
from zaqar_gateway.transport.http.cors import Cors
from zaqar_gateway.transport.http.files import ANY_ORIGIN, Files, read
from zaqar_gateway.transport.http.site import IRoom
from zaqar_gateway.transport.tls import TlsError, TlsFiles, TlsListeners
from zaqar_gateway.transport.websocket.bounds import WebSocketBounds


def over_tls(settings: Settings) -> list[bool]:
    """Of the listeners of clients, those for HTTP first, whether TLS is spoken there."""
    return [*map(is_tls, (*settings.listen.http, *settings.listen.websocket))]


def speaks_tls(settings: Settings) -> bool:
    """Whether TLS is spoken anywhere."""
    return any(over_tls(settings)) or any(map(is_tls, settings.listen.admin))


def tls(settings: Settings, reactor: Any) -> TlsListeners:
    """The TLS of all listeners.

    :raises TlsError: the files cannot be used.
    """
    given = settings.tls
    files = TlsFiles(
        given.certificate_file,
        given.private_key_file or given.certificate_file,
        given.client_ca_file,
        given.client_certificate == "required",
        given.minimum_version,
    )
    try:
        return TlsListeners(files, reactor)
    except TlsError as error:
        raise TlsError(
            f"{error}; tls.certificate_file, tls.private_key_file and tls.client_ca_file have to name files in PEM that this user"
            " may read."
        ) from None


def filters(settings: Settings, reactor: Any) -> list[Filter]:
    """Message filters, the first one first.

    :raises PluginError: one cannot be used.
    """
    return [
        Filter(name, plugins.make(plugins.FILTERS, name, IMessageFilter, settings.filter_tables.get(name, {}), reactor))
        for name in settings.storage.message_filters
    ]


def http_bounds(settings: Settings) -> HttpBounds:
    """The bounds of HTTP connections, wide enough for what operations accept."""
    http, limits = settings.http, settings.limits
    line = max(http.max_request_line, line_of_ids(limits.messages_page_max, limits.delete_needs_claim_id))
    return HttpBounds(
        request_line_max=line,
        head_max=http.max_head_size + line - http.max_request_line,
        headers_max=http.max_headers,
        tls_timeout_s=http.tls_timeout_s,
        fresh_timeout_s=http.first_byte_timeout_s,
        head_timeout_s=http.head_timeout_s,
        body_timeout_s=http.body_timeout_s,
        rate_min=http.min_bytes_per_s,
        idle_timeout_s=http.idle_timeout_s,
        drain_max=max(HttpBounds().drain_max, DRAINED * max(limits.post_size_max, limits.queue_metadata_max)),
        write_timeout_s=http.write_timeout_s,
        connections_max=http.max_connections,
    )


def websocket_bounds(settings: Settings) -> WebSocketBounds:
    """The bounds of WebSockets."""
    given = settings.websocket
    return WebSocketBounds(
        message_max=given.max_frame_size,
        in_flight_max=given.max_in_flight,
        write_buffer_max=given.write_buffer_max,
        drain_timeout_s=given.drain_timeout_s,
        ping_interval_s=given.ping_interval_s,
        ping_timeout_s=given.ping_timeout_s,
        open_timeout_s=given.handshake_timeout_s,
        close_timeout_s=given.handshake_timeout_s,
        idle_timeout_s=given.idle_timeout_s,
        slow_max_s=given.slow_reader_max_s if given.slow_reader == "close" else 0,
        handshake_max=settings.http.max_head_size,
        headers_max=settings.http.max_headers,
        connections_max=given.max_connections,
        per_project_max=given.max_sockets_per_project,
        deflate=given.compression,
        allowed_origins=given.allowed_origins,
        authentication_timeout_s=given.authentication_timeout_s,
        expiry_warning_s=given.expiry_warning_s,
        unauthenticated_frames_max=given.max_unauthenticated_frames,
    )


def cors(settings: Settings) -> Cors | None:
    """What pages of other origins may do; ``None``: nothing."""
    given = settings.cors
    if not given.allowed_origin:
        return None
    return Cors(
        given.allowed_origin,
        methods=given.allow_methods,
        allow_headers=given.allow_headers,
        expose_headers=given.expose_headers,
        allow_credentials=given.allow_credentials,
        max_age_s=given.max_age,
    )


def rooms(
    settings: Settings, sign_in: ISignIn | None, refusals: Refusals, reactor: Any
) -> dict[bytes, IRoom]:
    """What is served and is no API, by the first segment of its paths."""
    found: dict[bytes, IRoom] = {}
    if settings.web.client:
        found[b"js"] = Files(read(files("zaqar_gateway") / "javascript", "/js/"), ANY_ORIGIN)
    if settings.web.console:
        attempts = console.Attempts(settings.web.sign_ins_per_minute, reactor)
        found[console.NAME] = console.Console(files("zaqar_gateway") / "console", sign_in, attempts, refusals)
    return found


def www_authenticate_uri(settings: Settings) -> str:
    """Where clients are told to get tokens."""
    return settings.keystone_authtoken.www_authenticate_uri or settings.keystone_authtoken.auth_url


def rates(settings: Settings, storage: IStorage, reactor: Any, refusals: Refusals) -> Rates | None:
    """How many requests and bytes a project may have in a time; ``None``: any number."""
    given = settings.rates
    requests, size = (
        Rate(per_s, burst or 10 * per_s) if per_s else None
        for per_s, burst in (
            (given.requests_per_s, given.requests_burst),
            (given.bytes_per_s, given.bytes_burst),
        )
    )
    return None if requests is size is None else Rates(storage.rates, requests, size, reactor, refusals)


def audit_file(path: str) -> AuditFile:
    """The audit log.

    :raises OSError: it cannot be opened.
    """
    try:
        return AuditFile(path)
    except OSError as error:
        raise OSError(
            f"the audit log {path} cannot be opened: {error.strerror}; log.audit_file has to name a file that this user may write to."
        ) from None


def is_tls(endpoint: str) -> bool:
    """Whether TLS is spoken at an endpoint of the settings."""
    return without_tls(endpoint)[1]
