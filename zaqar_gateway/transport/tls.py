"""TLS of the listeners: what is offered, and certificates that change while connections last.

Each connection begins with the context that is in force then and keeps it; so a new certificate needs no restart and
breaks nothing.  Clients' certificates are verified here and told to the log; they say nothing about tenants.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Literal

from attrs import frozen
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import load_pem_private_key
from OpenSSL import SSL
from OpenSSL.crypto import X509
from twisted.application.internet import TimerService
from twisted.internet.interfaces import IOpenSSLServerConnectionCreator, IProtocolFactory, IReactorTime
from twisted.logger import Logger
from twisted.protocols.tls import TLSMemoryBIOFactory, TLSMemoryBIOProtocol
from zope.interface import implementer

from zaqar_gateway.clocks import time_of_day

_log = Logger()

CHECK_S = 10
"""How often the files are looked at."""

# RFC 9325, section 4.2, and the same with ChaCha20 for clients without AES in hardware: forward secrecy and AEAD only.
# Those of TLS 1.3 all are so.
_CIPHERS = b"ECDHE+AESGCM:ECDHE+CHACHA20:!aNULL"
_VERSIONS = {"1.2": SSL.TLS1_2_VERSION, "1.3": SSL.TLS1_3_VERSION}
_PROTOCOL = b"http/1.1"  # RFC 7301, section 6; a WebSocket begins as that, too


class TlsError(Exception):
    """Certificate, key or authorities cannot be used; the text names the file and the reason."""


@frozen
class TlsFiles:
    """What a server shows and asks for.  All files are PEM.

    :ivar certificate: the certificate, then those that lead to its authority.
    :ivar private_key: its key, without a passphrase.
    :ivar client_ca: the authorities of clients' certificates; empty: clients are not asked for one.
    :ivar client_required: whether a client without one is refused.
    :ivar minimum_version: of TLS.
    """

    certificate: str
    private_key: str
    client_ca: str = ""
    client_required: bool = True
    minimum_version: Literal["1.2", "1.3"] = "1.2"

    @property
    def paths(self) -> tuple[str, ...]:
        """The files, as often as they are named."""
        return tuple(filter(None, (self.certificate, self.private_key, self.client_ca)))


@implementer(IOpenSSLServerConnectionCreator)
class TlsListeners:
    """The TLS of all listeners of a process.

    :ivar trouble: why the files that there are now cannot be used; empty: they are in use.
    :raises TlsError: the files cannot be used.
    """

    def __init__(self, files: TlsFiles, clock: IReactorTime) -> None:
        self._files = files
        self._clock = clock
        self._seen = _look(files.paths)
        self._context = _context(files)
        self.trouble = ""
        self._watcher = TimerService(CHECK_S, self.check)
        self._watcher.clock = clock

    def wrap(self, factory: IProtocolFactory) -> TLSMemoryBIOFactory:
        """The factory of the same protocols, over TLS."""
        return TLSMemoryBIOFactory(self, False, factory, self._clock)

    def serverConnectionForTLS(self, protocol: TLSMemoryBIOProtocol) -> SSL.Connection:
        """The TLS of a connection that begins now."""
        connection = SSL.Connection(self._context, None)
        if self._files.client_ca:
            connection.set_app_data(protocol)  # for _tell_client
        return connection

    def start(self) -> None:
        """Begin to look at the files."""
        self._tell()
        self._watcher.startService()

    async def stop(self) -> None:
        """Look no more."""
        if self._watcher.running:
            await self._watcher.stopService()

    def check(self) -> None:
        """Take the files if they have changed since they were looked at last."""
        if _look(self._files.paths) != self._seen:
            self.reload()

    def reload(self) -> None:
        """Take the files; where they cannot be used all stays as it is, and the log says why."""
        # Looked at first: what changes while it is read is read again.
        self._seen = _look(self._files.paths)
        try:
            self._context = _context(self._files)
        except TlsError as error:
            self.trouble = str(error)
            _log.error("the TLS certificate stays as it was: {why}", why=str(error))
        else:
            self.trouble = ""
            self._tell()

    @property
    def ends_s(self) -> float:
        """When the certificate ends that is shown now, in seconds since the epoch."""
        return self._certificate().to_cryptography().not_valid_after_utc.timestamp()

    def _certificate(self) -> X509:
        # A context does not tell its certificate; a connection does.
        certificate = SSL.Connection(self._context, None).get_certificate()
        assert certificate is not None
        return certificate

    def _tell(self) -> None:
        certificate = self._certificate()
        subject, ends = _subject(certificate), certificate.to_cryptography().not_valid_after_utc
        if ends <= datetime.fromtimestamp(time_of_day(self._clock), UTC):
            _log.warn("the TLS certificate of {subject} has expired, {ends}", subject=subject, ends=ends)
        else:
            _log.info("the TLS certificate is that of {subject}, valid until {ends}", subject=subject, ends=ends)


def _look(paths: Sequence[str]) -> list[tuple[int, int, int] | None]:
    """What changes when somebody writes to files, puts others in their place, or turns a link round."""
    seen: list[tuple[int, int, int] | None] = []
    for path in paths:
        try:
            found = os.stat(path)
        except OSError:
            seen.append(None)
        else:
            seen.append((found.st_ino, found.st_size, found.st_mtime_ns))
    return seen


def _context(files: TlsFiles) -> SSL.Context:
    """:raises TlsError: a file cannot be used, or the key is another one's."""
    for path in files.paths:
        try:
            open(path, "rb").close()  # of a file that it cannot read OpenSSL does not say why
        except OSError as error:
            raise TlsError(f"{path} cannot be read: {error.strerror}") from None
    context = SSL.Context(SSL.TLS_SERVER_METHOD)
    context.set_min_proto_version(_VERSIONS[files.minimum_version])
    context.set_options(SSL.OP_NO_COMPRESSION | SSL.OP_NO_RENEGOTIATION | SSL.OP_CIPHER_SERVER_PREFERENCE)
    context.set_cipher_list(_CIPHERS)
    context.set_alpn_select_callback(_choose_protocol)
    # Sessions are in tickets, which end with the context, so that none outlives the authorities that it was made under.
    context.set_session_cache_mode(SSL.SESS_CACHE_OFF)
    context.set_session_id(b"zaqar-gateway")
    try:
        context.use_certificate_chain_file(files.certificate)
    except SSL.Error as error:
        raise TlsError(f"{files.certificate} holds no certificate in PEM: {_reason(error)}") from None
    try:
        with open(files.private_key, "rb") as file:
            # Not by OpenSSL, which would ask for a passphrase on the terminal.
            context.use_privatekey(load_pem_private_key(file.read(), None))  # type: ignore[arg-type]  # others raise TypeError
        context.check_privatekey()
    except (SSL.Error, TypeError, ValueError, UnsupportedAlgorithm) as error:
        raise TlsError(
            f"{files.private_key} does not hold the key of that certificate, in PEM and without a passphrase:"
            f" {_reason(error)}"
        ) from None
    if files.client_ca:
        _ask_clients(context, files)
    return context


def _ask_clients(context: SSL.Context, files: TlsFiles) -> None:
    try:
        context.load_verify_locations(files.client_ca)
        context.load_client_ca(files.client_ca.encode())
    except SSL.Error as error:
        raise TlsError(f"{files.client_ca} holds no certificates in PEM: {_reason(error)}") from None
    required = SSL.VERIFY_FAIL_IF_NO_PEER_CERT if files.client_required else 0
    context.set_verify(SSL.VERIFY_PEER | SSL.VERIFY_CLIENT_ONCE | required)
    context.set_info_callback(_tell_client)


def _tell_client(connection: SSL.Connection, where: int, result: int) -> None:
    # Only at the end of a handshake is it shown that the client has the key as well.
    if where & SSL.SSL_CB_HANDSHAKE_DONE:
        certificate = connection.get_peer_certificate()
        if certificate is not None:
            peer = connection.get_app_data().transport.getPeer()
            _log.info(
                "{peer} has the certificate of {subject}",
                peer=getattr(peer, "host", "a client"),
                subject=_subject(certificate),
            )


def _choose_protocol(connection: SSL.Connection, offered: list[bytes]) -> bytes:
    if _PROTOCOL in offered:
        return _PROTOCOL
    # An exception has OpenSSL send the alert no_application_protocol (RFC 7301, section 3.2), and comes out of the
    # handshake, where Twisted expects errors of this class.
    raise SSL.Error([("", "", "no common protocol")])


def _subject(certificate: X509) -> str:
    return certificate.to_cryptography().subject.rfc4514_string()


def _reason(error: Exception) -> str:
    """What OpenSSL says, without its numbers; nothing of it comes from inside the files."""
    if not isinstance(error, SSL.Error):
        return "it has a passphrase, or a kind of key that is none for TLS" if isinstance(error, TypeError) else "it holds no private key in PEM"
    found = error.args[0] if error.args else ()
    return ", ".join(reason for _, _, reason in found if reason) or "OpenSSL gives no reason"
