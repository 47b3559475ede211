"""Deliveries by mail (API reference, "Mail"): what may be mailed, and how a mail looks.  How it leaves is in ``smtp.py``."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Coroutine, Mapping, Sequence
from datetime import UTC, datetime
from email.headerregistry import Address
from email.message import EmailMessage
from email.parser import BytesHeaderParser
from email.policy import default as default_policy
from email.utils import format_datetime
from typing import Any
from urllib.parse import quote, unquote, urlencode

import idna
from attrs import frozen
from twisted.internet.defer import Deferred
from twisted.internet.error import ConnectError, DNSLookupError
from twisted.internet.interfaces import IReactorTime
from twisted.python.failure import Failure
from zope.interface import implementer

from zaqar_gateway.clocks import time_of_day
from zaqar_gateway.errors import RuleBroken
from zaqar_gateway.failures import describe
from zaqar_gateway.interfaces import INotifier
from zaqar_gateway.model import CONFIRM, UNSUBSCRIBE, Delivery, Verdict
from zaqar_gateway.push.options import option

URI_LENGTH_MAX = 2048
RECIPIENTS_MAX = 20
SUBJECT_LENGTH_MAX = 998

_ADDRESS_LENGTH_MAX = 254
_LOCAL_PART_LENGTH_MAX = 64
_ATOM = r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+"
_LOCAL_PART = re.compile(rf"{_ATOM}(?:\.{_ATOM})*")
_LABEL = "[A-Za-z0-9](?:[A-Za-z0-9-]{0,61}[A-Za-z0-9])?"
_DOMAIN = re.compile(rf"{_LABEL}(?:\.{_LABEL})*")
_NOT_IN_HEADERS = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")

# Not each server takes eight bits.
_POLICY = default_policy.clone(cte_type="7bit")

HandOver = Callable[[str, Sequence[str], bytes], Coroutine[Any, Any, Verdict]]
"""Hands a mail to a server: the address in the envelope, the recipients, the mail (:meth:`zaqar_gateway.push.smtp.MailServer.send`)."""

TEMPLATES: Mapping[str, Mapping[str, str]] = {
    CONFIRM: {
        "topic": "Please confirm your subscription",
        "body": (
            "Somebody, perhaps you, wants the messages of the queue {0} (project {1}) to be sent to this address.\n"
            "\n"
            "To receive them, confirm the subscription on this page:\n"
            "\n"
            "{2}\n"
            "\n"
            "If you do not want them, there is nothing to do: without a confirmation none is sent.\n"
        ),
    },
    UNSUBSCRIBE: {
        "topic": "Your subscription has ended",
        "body": (
            "The messages of the queue {0} (project {1}) are no longer sent to this address.\n"
            "\n"
            "If that is not what you want, confirm the subscription again on this page:\n"
            "\n"
            "{2}\n"
        ),
    },
}
"""Mail of notices by their kind, where nothing else is configured: topic, body, and sender where there is one.

``{0}`` in the body is the queue, ``{1}`` the project, ``{2}`` the link.
"""


@frozen
class _Heading:
    """What a subscription says about its mail.

    :ivar sender: ``None``: the usual one.
    """

    recipients: tuple[str, ...]
    subject: str
    sender: Address | None


def _address(text: str) -> str:
    """A mail address as it is sent, empty where a text is none.

    Quoted local parts, comments and non-ASCII local parts (which want SMTPUTF8 on the whole way) are not supported.
    """
    local, at, domain = text.rpartition("@")
    try:
        domain = domain if domain.isascii() else idna.encode(domain, uts46=True).decode()
    except idna.IDNAError:
        return ""
    address = f"{local}@{domain}"
    fits = at and len(local) <= _LOCAL_PART_LENGTH_MAX and len(address) <= _ADDRESS_LENGTH_MAX
    return address if fits and _LOCAL_PART.fullmatch(local) and _DOMAIN.fullmatch(domain) else ""


def _recipients(path: str) -> tuple[str, ...]:
    """The addresses of the path of a URI (RFC 6068, section 2)."""
    given = path.split(",")
    if len(given) > RECIPIENTS_MAX:
        raise RuleBroken(f"subscriber has {len(given)} addresses; it has to have at most {RECIPIENTS_MAX}.")
    found = tuple(dict.fromkeys(_address(_decoded(each)) for each in given))
    if not all(found):
        raise RuleBroken("subscriber has a part that is no mail address; it has to be such as mailto:user@example.org.")
    return found


def _decoded(text: str) -> str:
    try:
        return unquote(text, errors="strict")
    except UnicodeDecodeError:
        raise RuleBroken("subscriber has percent-encoded bytes that are not UTF-8; it has to be UTF-8.") from None


def _is_one_header(name: str, value: str | Address) -> bool:
    """Whether a header, written, is read as that one header.

    The library unpacks encoded words (RFC 2047) in what it is given, writes what was in them, and so would write a line
    end that was.
    """
    mail = EmailMessage(_POLICY)
    try:
        mail[name] = value
        read = BytesHeaderParser(policy=_POLICY).parsebytes(mail.as_bytes())
        # From Python 3.13 on a line end is encoded again; whoever reads the mail finds it all the same.
        return read.keys() == [name] and not _NOT_IN_HEADERS.search(str(read[name]))
    except Exception:  # its parser fails in many ways on what it cannot read
        return False


def _subject(query: str, options: dict[str, object]) -> str:
    found, where = option(options, "subject", str, "a text") or "", "options.subject"
    for part in reversed(query.split("&")):  # the first one counts
        name, _, value = part.partition("=")
        if _decoded(name).lower() == "subject":
            found, where = _decoded(value), "subscriber has a subject that"
    if len(found) > SUBJECT_LENGTH_MAX:
        raise RuleBroken(f"{where} has {len(found)} characters; it has to have at most {SUBJECT_LENGTH_MAX}.")
    if _NOT_IN_HEADERS.search(found) or not _is_one_header("Subject", found):
        raise RuleBroken(f"{where} holds line ends or control characters; it has to be one line of text.")
    return found


def _sender(options: dict[str, object]) -> Address | None:
    """``options.from``: an address, or a name with one in <>."""
    given: str = option(options, "from", str, "a text") or ""
    if not given:
        return None
    try:
        found = _POLICY.header_factory("From", given).addresses
        (sender,) = (Address(each.display_name, addr_spec=_address(each.addr_spec)) for each in found)
        right = len(given) <= SUBJECT_LENGTH_MAX and not _NOT_IN_HEADERS.search(given + sender.display_name)
    except Exception:  # its parser fails in many ways on what it cannot read
        right = False
    if not right or not sender.addr_spec or not _is_one_header("From", sender):
        raise RuleBroken(
            "options.from is no mail address; it has to be such as user@example.org or Name <user@example.org>."
        )
    return sender


def _heading(subscriber: str, options: dict[str, object]) -> _Heading:
    """:raises RuleBroken: no mail can be made of these."""
    if len(subscriber) > URI_LENGTH_MAX:
        raise RuleBroken(f"subscriber has {len(subscriber)} characters; it has to have at most {URI_LENGTH_MAX}.")
    if _NOT_IN_HEADERS.search(subscriber):
        raise RuleBroken("subscriber holds line ends or control characters; it has to be a URI without.")
    path, _, query = subscriber.partition(":")[2].partition("#")[0].partition("?")
    return _Heading(_recipients(path), _subject(query, options), _sender(options))


@implementer(INotifier)
class MailNotifier:
    """Delivers by mail, each notification in a mail of its own.

    :param clock: keeps time.
    :param hand_over: hands a mail to a server; ``None``: there is none, and what would have to be mailed is given up.
    :param sender: the address in the envelope, and in From where nothing else is said.
    :param timeout_s: for one mail, from looking the server up to its last answer.
    :param confirmation_url: the page that notices link to, without a query; empty: no notice is sent.
    :param templates: mail of notices as :data:`TEMPLATES` has it; what is missing is taken from there.
    """

    schemes = ("mailto",)

    def __init__(
        self,
        clock: IReactorTime,
        hand_over: HandOver | None,
        *,
        sender: str,
        timeout_s: float,
        confirmation_url: str = "",
        templates: Mapping[str, Mapping[str, str]] | None = None,
    ) -> None:
        self._clock = clock
        self._hand_over = hand_over
        self._sender = sender
        self._timeout_s = timeout_s
        self._confirmation_url = confirmation_url
        self._templates = {
            kind: {**built_in, **(templates or {}).get(kind, {})} for kind, built_in in TEMPLATES.items()
        }

    def check(self, subscriber: str, options: dict[str, object]) -> None:
        """See :class:`~zaqar_gateway.interfaces.INotifier`."""
        _heading(subscriber, options)

    async def send(self, delivery: Delivery) -> Verdict:
        """See :class:`~zaqar_gateway.interfaces.INotifier`."""
        if self._hand_over is None:
            return Verdict(False, reason="there is no mail server: [notification] smtp_host is not set")
        if delivery.notice and not self._confirmation_url:
            return Verdict(
                False, reason="there is no page to confirm on: [notification] external_confirmation_url is not set"
            )
        try:
            heading = _heading(delivery.subscriber, delivery.options)
        except RuleBroken as error:
            return Verdict(False, reason=str(error))
        mail = self._notice(delivery, heading) if delivery.notice else self._notification(delivery, heading)

        def late(result: Any, timeout_s: float) -> Any:
            return Verdict(False, True, f"no answer within {timeout_s:g} s") if isinstance(result, Failure) else result

        sending: Deferred[Verdict] = Deferred.fromCoroutine(self._hand_over(self._sender, heading.recipients, mail))
        sending.addTimeout(self._timeout_s, self._clock, late)
        try:
            return await sending
        except (ConnectError, DNSLookupError) as error:
            return Verdict(False, True, describe(error))

    def _notification(self, delivery: Delivery, heading: _Heading) -> bytes:
        return self._mail(delivery, heading, heading.sender, heading.subject, delivery.payload.decode())

    def _notice(self, delivery: Delivery, heading: _Heading) -> bytes:
        template, said = self._templates[delivery.notice], json.loads(delivery.payload)
        query = {
            "Signature": said["URL-Signature"],
            "Methods": said["URL-Methods"],
            "Paths": said["URL-Paths"],
            "Project": said["X-Project-ID"],
            "Expires": said["URL-Expires"],
            "Url": said.get("WSGISubscribeURL", ""),
            "Queue": said["queue_name"],
        }
        link = f"{self._confirmation_url}?{urlencode(query, quote_via=quote)}"
        text = template["body"].format(said["queue_name"], said["X-Project-ID"], link)
        sender = template.get("sender")
        return self._mail(delivery, heading, Address(addr_spec=sender) if sender else None, template["topic"], text)

    def _mail(self, delivery: Delivery, heading: _Heading, sender: Address | None, subject: str, text: str) -> bytes:
        mail = EmailMessage(_POLICY)
        mail["From"] = sender or Address(addr_spec=self._sender)
        mail["To"] = [Address(addr_spec=each) for each in heading.recipients]
        mail["Subject"] = subject
        mail["Date"] = format_datetime(datetime.fromtimestamp(time_of_day(self._clock), UTC))
        # The same for each attempt, so that a mail that comes twice is known to be one (RFC 5322, section 3.6.4).
        unique = hashlib.sha256(delivery.id.encode()).hexdigest()[:32]
        mail["Message-ID"] = f"<{unique}@{self._sender.rpartition('@')[2]}>"
        mail["Auto-Submitted"] = "auto-generated"  # so that nobody's absence is answered (RFC 3834, section 5)
        mail.set_content(text)
        return mail.as_bytes()
