"""A real mail server for tests: aiosmtpd on a loop of its own, in a thread."""

from __future__ import annotations

import asyncio
import logging
import ssl
import tempfile
import threading
import warnings
from pathlib import Path
from typing import Any

from aiosmtpd.smtp import SMTP, AuthResult, Envelope, LoginPassword

from tests.push.base import certificate

NAME = "127.0.0.1"
logging.getLogger("mail.log").setLevel(logging.CRITICAL + 1)

USER, PASSWORD = "zäqar", "s3cr3t ü"


class MailServer:
    """A mail server on loopback.

    :param tls: ``none``, ``starttls`` (required) or ``tls`` (from the beginning).
    :param login: whether it wants one.
    :param name: that its certificate is for.
    :ivar answers: what it answers instead of its own answer, by MAIL, DATA or the address of a recipient.
    :ivar mails: the envelopes that it took.
    :ivar certificate: its certificate, PEM.
    """

    def __init__(self, tls: str = "none", login: bool = False, name: str = NAME) -> None:
        self.answers: dict[str, str] = {}
        self.mails: list[Envelope] = []
        self.certificate, key = certificate(name)
        self.port = 0
        self._tls = tls
        self._login = login
        self._context = self._make_context(key)
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._ready = threading.Event()
        self._thread.start()
        self._ready.wait(90)

    def _make_context(self, key: bytes) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        with tempfile.TemporaryDirectory() as directory:
            path = Path(directory, "both.pem")
            path.write_bytes(self.certificate + key)
            context.load_cert_chain(path)
        return context

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        implicit = self._context if self._tls == "tls" else None
        server = self._loop.run_until_complete(self._loop.create_server(self._protocol, "127.0.0.1", 0, ssl=implicit))
        self.port = server.sockets[0].getsockname()[1]
        self._ready.set()
        self._loop.run_forever()
        server.close()
        self._loop.run_until_complete(self._loop.shutdown_asyncgens())
        self._loop.close()

    def _protocol(self) -> SMTP:
        starttls = self._tls == "starttls"
        with warnings.catch_warnings():  # it warns of logins without TLS, which is what is tested
            warnings.simplefilter("ignore")
            return SMTP(
                self,
                hostname="mail.test",
                tls_context=self._context if starttls else None,
                require_starttls=starttls,
                authenticator=self._authenticate,
                auth_required=self._login,
                auth_require_tls=False,
                loop=self._loop,
            )

    def _authenticate(
        self, server: Any, session: Any, envelope: Any, mechanism: str, data: LoginPassword
    ) -> AuthResult:
        right = (data.login, data.password) == (USER.encode(), PASSWORD.encode())
        return AuthResult(success=right, handled=False)

    async def handle_MAIL(self, server: Any, session: Any, envelope: Envelope, address: str, options: list[str]) -> str:
        """The sender comes in."""
        envelope.mail_from = address
        return self.answers.get("MAIL", "250 OK")

    async def handle_RCPT(self, server: Any, session: Any, envelope: Envelope, address: str, options: list[str]) -> str:
        """A recipient comes in."""
        answer = self.answers.get(address, "250 OK")
        if answer.startswith("2"):
            envelope.rcpt_tos.append(address)
        return answer

    async def handle_DATA(self, server: Any, session: Any, envelope: Envelope) -> str:
        """The mail comes in."""
        answer = self.answers.get("DATA", "250 OK")
        if answer.startswith("2"):
            self.mails.append(envelope)
        return answer

    def stop(self) -> None:
        """End."""
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(90)
