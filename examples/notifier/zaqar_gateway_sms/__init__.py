"""A notifier for zaqar-gateway: subscribers get text messages, by the HTTP API of a provider."""

from __future__ import annotations

import json
import re
from typing import Any

import msgspec
import treq
from treq.client import HTTPClient
from twisted.web.client import Agent, HTTPConnectionPool
from twisted.web.http_headers import Headers
from zope.interface import implementer

from zaqar_gateway.errors import RuleBroken
from zaqar_gateway.interfaces import INotifier
from zaqar_gateway.model import Delivery, Verdict

TIMEOUT_S = 10
TEXT_MAX = 160

_NUMBER = re.compile(r"sms:\+[1-9][0-9]{6,14}")


class Settings(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """The table ``[notifier.sms]``.

    :ivar url: of the provider.
    :ivar account: who pays.
    """

    url: str
    account: str


@implementer(INotifier)
class Sms:
    """The notifier.

    :raises ValueError: the settings cannot be used.
    """

    schemes = ("sms",)

    def __init__(self, settings: dict[str, object], reactor: Any) -> None:
        try:
            self._settings = msgspec.convert(settings, Settings)
        except msgspec.ValidationError as error:
            raise ValueError(f"{error}") from None
        if not self._settings.url.startswith(("http://", "https://")):
            raise ValueError("url has to begin with http:// or https://")
        self._client = HTTPClient(Agent(reactor, pool=HTTPConnectionPool(reactor, persistent=False)))

    def check(self, subscriber: str, options: dict[str, object]) -> None:
        """See :class:`~zaqar_gateway.interfaces.INotifier`."""
        if not _NUMBER.fullmatch(subscriber):
            raise RuleBroken("subscriber has to be sms: and a number in the international form, such as sms:+491701234567.")

    async def send(self, delivery: Delivery) -> Verdict:
        """Try once; the provider sends no text twice that has the same key."""
        number = delivery.subscriber.removeprefix("sms:")
        message = {"account": self._settings.account, "to": number, "text": text_of(delivery)}
        try:
            response = await self._client.post(
                self._settings.url, json=message, headers=Headers({"Idempotency-Key": [delivery.id]}), timeout=TIMEOUT_S
            )
            await treq.content(response)
        except Exception as error:  # no connection, no answer in time, or one that is none: the provider may be back soon
            return Verdict(False, again=True, reason=f"no answer of the provider: {type(error).__name__}")
        if response.code < 300:
            return Verdict(True)
        return Verdict(False, again=response.code >= 500 or response.code == 429, reason=f"the provider answers {response.code}")


def text_of(delivery: Delivery) -> str:
    """What somebody reads: the beginning of the body of a message, or what a notice says."""
    payload = json.loads(delivery.payload)
    said = payload["Message"] if delivery.notice else payload["body"]
    return (said if isinstance(said, str) else json.dumps(said))[:TEXT_MAX]
