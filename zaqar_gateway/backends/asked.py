"""What settings ask of any backend, and how the timers of backends end."""

from __future__ import annotations

from twisted.application.internet import TimerService

from zaqar_gateway.config import Settings
from zaqar_gateway.model import LogBounds, Quotas


def bounds_of(settings: Settings) -> LogBounds:
    """The bounds of logs of posts."""
    return LogBounds(settings.notification.log_max_bytes, settings.notification.log_max_age_s)


def quotas_of(settings: Settings) -> Quotas:
    """The quotas that a store holds."""
    wanted = settings.quotas
    return Quotas(
        wanted.queues,
        wanted.messages_per_queue,
        wanted.bytes_per_queue,
        wanted.subscriptions_per_queue,
        counts_bytes=wanted.bytes > 0,
        counts_subscriptions=wanted.subscriptions > 0,
    )


async def stop(timer: TimerService) -> None:
    """Stop a timer that may not run."""
    if timer.running:
        await timer.stopService()
