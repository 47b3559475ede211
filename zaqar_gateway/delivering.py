"""What delivers to subscribers, made from the settings: the parts of :mod:`zaqar_gateway.push` and the installed notifiers."""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from twisted.internet._resolver import GAIResolver  # it has no other name
from twisted.internet.defer import TimeoutError
from twisted.internet.threads import deferToThread
from twisted.logger import Logger
from twisted.python.threadpool import ThreadPool

from zaqar_gateway import plugins
from zaqar_gateway.clocks import time_of_day
from zaqar_gateway.config import Settings
from zaqar_gateway.interfaces import INotifier, IStorage, ITrusts, IUrlSigner
from zaqar_gateway.meters import DeliveryMeter
from zaqar_gateway.model import CONFIRM, UNSUBSCRIBE
from zaqar_gateway.push.addresses import AddressRules
from zaqar_gateway.push.attempts import Attempts
from zaqar_gateway.push.circuits import Circuits
from zaqar_gateway.push.dispatcher import Dispatcher
from zaqar_gateway.push.lookups import LOOKUPS_MAX, Lookups
from zaqar_gateway.push.mail import MailNotifier
from zaqar_gateway.push.measured import MeasuredAttempts
from zaqar_gateway.push.membership import Membership
from zaqar_gateway.push.payload import Notices
from zaqar_gateway.push.sockets import Sockets
from zaqar_gateway.push.turns import Pace, Turns
from zaqar_gateway.push.webhook import WebhookNotifier

_log = Logger()

_RESOLVER_STOP_S = 2.0


class Delivering:
    """Delivers to subscribers from start to stop.

    :param storage: what is owed is taken from it; it has been started before, and is stopped after.
    :param pace: of deliveries, beside everything else that the process does.
    :param attempts_max: how many attempts may be under way at one time, and connections idle.
    :param trusts: ``None``: there is no identity service.
    :param meter: notes what became of attempts; ``None``: nobody does.
    :raises PluginError: an installed notifier cannot be used.
    :ivar notifiers: what delivers, by the scheme of the subscriber.
    :ivar dispatcher: takes what is owed, and has it delivered.
    :ivar sockets: the subscriptions of the sockets of this process.
    :ivar circuits: of hosts that keep failing.
    """

    def __init__(
        self,
        settings: Settings,
        storage: IStorage,
        signer: IUrlSigner,
        reactor: Any,
        pace: Pace,
        attempts_max: int,
        trusts: ITrusts | None = None,
        meter: DeliveryMeter | None = None,
    ) -> None:
        given = settings.notification
        self._reactor = reactor
        self._rules = AddressRules(given.allowed_networks, given.denied_networks)
        # Names that take long to look up hold up no other part of the process.
        self._resolving = ThreadPool(0, LOOKUPS_MAX, name="resolver of webhooks")
        self._webhooks = WebhookNotifier(
            reactor,
            self._rules,
            timeout_s=given.webhook_timeout_s,
            per_host=given.max_deliveries_per_host,
            idle_max=attempts_max,
            secrets=settings.webhook_secrets,
            trusts=trusts,
            resolver=Lookups(GAIResolver(reactor, lambda: self._resolving)),
            pace=pace,
        )
        self.notifiers: Mapping[str, INotifier] = {
            **_by_scheme(self._webhooks),
            **_by_scheme(_mail(settings, reactor)),
            **plugins.notifiers(settings.notifier_tables, reactor),
        }
        self._membership = Membership(storage.deliveries, secrets.token_hex(8), reactor)
        notices = Notices(signer, given.public_url, given.public_websocket_url)
        self.circuits = Circuits(given.circuit_failures, given.circuit_open_s, time.monotonic)
        turns = Turns(attempts_max, given.max_deliveries_per_host)
        make: Callable[..., Attempts] = Attempts
        if meter is not None:
            make = partial(MeasuredAttempts, meter=meter, time_of_day=partial(time_of_day, reactor))
        self.dispatcher = Dispatcher(
            storage.deliveries,
            storage.doorbells,
            self._membership,
            make(self.notifiers, notices, turns, self.circuits, pace=pace),
            reactor,
            couriers_max=2 * attempts_max,
            required=given.require_confirmation,
            pace=pace,
        )
        self.sockets = Sockets(storage, self._membership, reactor)

    def start(self, *, loopback: bool) -> None:
        """Begin to deliver.

        :param loopback: whether loopback may be delivered to.
        """
        self._rules.loopback = loopback
        self._resolving.start()
        self._membership.startService()
        self.dispatcher.startService()

    async def drain(self) -> None:
        """Send nothing new, wait a bounded time for what is under way, and leave the rest to other gateways."""
        if self.dispatcher.running:
            await self.dispatcher.stopService()

    async def stop(self) -> None:
        """Stop, once all is drained and there are no sockets any more."""
        if not self._membership.running:
            return
        self.sockets.stop()
        await self._membership.stopService()
        await self._webhooks.stop()
        try:
            await deferToThread(self._resolving.stop).addTimeout(_RESOLVER_STOP_S, self._reactor)
        except TimeoutError:
            _log.warn("names of subscribers are still being looked up")


def _by_scheme(notifier: INotifier) -> dict[str, INotifier]:
    return dict.fromkeys(notifier.schemes, notifier)


def _mail(settings: Settings, reactor: Any) -> INotifier:
    given = settings.notification
    hand_over = None
    if given.smtp_host:
        from zaqar_gateway.push.smtp import MailServer  # late: see there

        hand_over = MailServer(
            reactor, given.smtp_host, given.smtp_port, given.smtp_tls, given.smtp_user_name, settings.smtp_password
        ).send
    return MailNotifier(
        reactor,
        hand_over,
        sender=given.smtp_sender,
        timeout_s=given.smtp_timeout_s,
        confirmation_url=given.external_confirmation_url,
        templates={
            CONFIRM: given.subscription_confirmation_email_template,
            UNSUBSCRIBE: given.unsubscribe_confirmation_email_template,
        },
    )
