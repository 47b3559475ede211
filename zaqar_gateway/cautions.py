"""What the log tells at start of settings that are right, and that somebody may not have meant so."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Any

from twisted.logger import Logger

from zaqar_gateway.address import written
from zaqar_gateway.config import Settings
from zaqar_gateway.transport.websocket.origins import is_loopback

_log = Logger()

_WELL_KNOWN_KEY = "AES256"


def caution(settings: Settings, hosts: Iterable[Any], schemes: Collection[str]) -> None:
    """Tell all there is.

    :param hosts: the addresses of the listeners.
    :param schemes: of subscribers that something delivers to.
    """
    _warn_of_openness(settings, hosts)
    _warn_of_key(settings)
    _warn_of_subscribers(settings, schemes)


def is_reachable(host: Any) -> bool:
    """Whether the address of a listener can be reached from other machines."""
    return hasattr(host, "port") and not is_loopback(host.host)


def _warn_of_key(settings: Settings) -> None:
    """Bodies that are encrypted with a key that everybody can find are not protected from everybody."""
    if settings.encryption_key == _WELL_KNOWN_KEY:
        _log.warn("message_encryption_key is the well-known default of the reference, which protects nothing")
    elif not settings.encryption_key:
        _log.warn(
            "there is no message_encryption_key: queues that ask for encryption get a random key that is kept beside the"
            " data, which does not protect them from whoever has both"
        )


def _warn_of_subscribers(settings: Settings, schemes: Collection[str]) -> None:
    """Subscriptions may be made that nothing can be delivered to."""
    if settings.notification.require_confirmation and not settings.signing_keys:
        _log.warn(
            "subscribers have to confirm and nobody asks them to: [notification] require_confirmation needs [signed_url]"
            " secret_key"
        )
    for scheme in settings.transport.subscriber_types:
        if scheme.lower() not in schemes:
            _log.warn(
                "nothing delivers to {scheme}: subscribers, which [transport] subscriber_types accepts: no notifier for them"
                " is installed",
                scheme=scheme,
            )


def _warn_of_openness(settings: Settings, hosts: Iterable[Any]) -> None:
    """Without authentication everybody who reaches the gateway may do everything."""
    if settings.auth_strategy:
        return
    for host in hosts:
        if is_reachable(host):
            _log.warn(
                "there is no authentication, and {host} is reachable from elsewhere: whoever reaches it can do"
                " everything in every project",
                host=written(host.host, host.port),
            )
