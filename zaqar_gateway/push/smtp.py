"""Handing a mail to a server (RFC 5321), by the client of :mod:`twisted.mail`.

That library looks up the name of this host when it is imported, which may take long: only who sends mail imports this.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from io import BytesIO
from typing import Any, Literal

from attrs import field, frozen
from twisted.internet.defer import Deferred
from twisted.internet.endpoints import HostnameEndpoint, wrapClientTLS
from twisted.internet.interfaces import IOpenSSLClientConnectionCreator, IStreamClientEndpoint
from twisted.internet.protocol import Factory, connectionDone
from twisted.internet.ssl import optionsForClientTLS
from twisted.mail.smtp import (
    DNSNAME,
    CramMD5ClientAuthenticator,
    ESMTPClient,
    LOGINAuthenticator,
    PLAINAuthenticator,
    SMTPClientError,
)
from twisted.python.failure import Failure

from zaqar_gateway.failures import describe
from zaqar_gateway.model import Verdict
from zaqar_gateway.push.trust import system_trust

# RFC 3463, section 2, where RFC 2034, section 4, has it in an answer.
_ENHANCED = re.compile(r"[245]\.[0-9]{1,3}\.[0-9]{1,3}(?![0-9.])", re.ASCII)


def _is_ok(code: int) -> bool:
    return 200 <= code < 300


def _shown(code: int, answer: bytes | str) -> str:
    """The codes of an answer.  Its words are left out: servers repeat in them addresses and whatever else they got."""
    text = answer.decode("ascii", "replace") if isinstance(answer, bytes) else answer
    enhanced = _ENHANCED.match(text)
    return f"{code} {enhanced[0]}" if enhanced else str(code)


def judge(code: int, answer: bytes | str, results: Sequence[tuple[str, int, bytes]]) -> Verdict:
    """What the answers of a server mean (RFC 5321, section 4.2.1): 4yz is for now, 5yz is final.

    Where it refuses some addresses for now, the next attempt goes to all of them, and the others recognize the mail by
    its Message-ID.

    :param code: of the last answer.
    :param results: the answer for each address that was named.
    """
    refused = [(number, text) for _, number, text in results if not _is_ok(number)]
    if refused:
        number, text = min(refused)  # for now before final
        again = number < 500 or 400 <= code < 500
        return Verdict(
            False, again, f"the mail server refused {len(refused)} of {len(results)} addresses: {_shown(number, text)}"
        )
    if not _is_ok(code):
        return Verdict(False, code < 500, f"the mail server answered {_shown(code, answer)}")
    return Verdict(True)


class _Whole(BytesIO):
    """A file that is read at once.

    The library doubles the period that begins a line in each part that it reads, and would miss one between two parts.
    """

    def read(self, size: int | None = -1, /) -> bytes:
        """All there is."""
        return super().read()


class _Client(ESMTPClient):
    """Sends one mail.

    :ivar done: what became of it; cancelling ends the connection.
    """

    debug = False  # its transcript would have the login in it
    transport: Any

    def __init__(
        self, user: str, password: str, sender: str, recipients: Sequence[str], mail: bytes, starttls: Any
    ) -> None:
        super().__init__(password.encode() or None, starttls, DNSNAME)
        self.requireAuthentication = bool(user)
        self.requireTransportSecurity = starttls is not None
        if user:
            for authenticator in (CramMD5ClientAuthenticator, LOGINAuthenticator, PLAINAuthenticator):
                self.registerAuthenticator(authenticator(user.encode()))
        self.done: Deferred[Verdict] = Deferred(self._cut)
        self._senders = iter([sender])
        self._recipients = recipients
        self._mail = mail
        self._verdict: Verdict | None = None
        self._has_sent = self._is_securing = False

    def dataReceived(self, data: bytes) -> None:
        """See :class:`~twisted.internet.interfaces.IProtocol`."""
        self._is_securing = False
        super().dataReceived(data)

    def esmtpState_starttls(self, code: int, resp: Any) -> None:
        """The server is ready for TLS."""
        super().esmtpState_starttls(code, resp)
        self._is_securing = True

    def lineReceived(self, line: bytes) -> None:
        """An answer.  What came with the answer to STARTTLS came without TLS, from anybody (RFC 3207, section 4.2)."""
        if self._is_securing:
            self._verdict = Verdict(False, True, "the mail server answered without TLS what it was asked with it")
            self.transport.abortConnection()
        else:
            super().lineReceived(line)

    def smtpState_data(self, code: int, resp: Any) -> None:
        """The server waits for the mail."""
        self._has_sent = True
        super().smtpState_data(code, resp)

    def _cut(self, done: Deferred[Verdict]) -> None:
        self.transport.abortConnection()
        if self._verdict is not None:  # only the end of the conversation was still to come
            done.callback(self._verdict)

    def getMailFrom(self) -> str | None:
        """The sender in the envelope, once."""
        return next(self._senders, None)

    def getMailTo(self) -> Sequence[str]:
        """The addresses in the envelope."""
        return self._recipients

    def getMailData(self) -> BytesIO:
        """The mail."""
        return _Whole(self._mail)

    def sentMail(self, code: int, resp: Any, numOk: int, addresses: Any, log: object) -> None:
        """The server has taken it, or not."""
        self._verdict = judge(code, resp, addresses)
        if self._verdict.ok and not self._has_sent:
            self._verdict = Verdict(False, True, f"the mail server answered {code} before it got the mail")

    def sendError(self, exc: Exception) -> None:
        """It did not come to that."""
        if self._verdict is None and isinstance(exc, SMTPClientError) and exc.code > 0:
            self._verdict = judge(exc.code, exc.resp, ())
        super().sendError(exc)

    def connectionLost(self, reason: Failure = connectionDone) -> None:
        """See :class:`~twisted.internet.interfaces.IProtocol`."""
        super().connectionLost(reason)
        if not self.done.called:
            self.done.callback(self._verdict or Verdict(False, True, describe(reason.value)))


@frozen
class MailServer:
    """The server that takes mail.

    :ivar reactor: connects to it.
    :ivar tls: ``starttls`` and ``tls`` are required and verified where they are asked for.
    :ivar user: empty: no login.
    :ivar trust_root: which certificates are trusted; ``None``: those of the system.
    """

    reactor: Any
    host: str
    port: int = 25
    tls: Literal["none", "starttls", "tls"] = "starttls"
    user: str = ""
    password: str = field(default="", repr=False)
    trust_root: Any = None

    async def send(self, sender: str, recipients: Sequence[str], mail: bytes) -> Verdict:
        """Hand a mail to it.

        :param sender: the address in the envelope.
        :raises ConnectError: it cannot be reached.
        :raises DNSLookupError: it has no address.
        """
        endpoint: IStreamClientEndpoint = HostnameEndpoint(self.reactor, self.host, self.port)
        starttls = None
        if self.tls == "tls":
            endpoint = wrapClientTLS(self._verifying(), endpoint)
        elif self.tls == "starttls":
            starttls = self._verifying()
        client = _Client(self.user, self.password, sender, recipients, mail, starttls)
        await endpoint.connect(Factory.forProtocol(lambda: client))
        return await client.done

    def _verifying(self) -> IOpenSSLClientConnectionCreator:
        creator: IOpenSSLClientConnectionCreator = optionsForClientTLS(self.host, self.trust_root or system_trust())
        return creator
