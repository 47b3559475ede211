"""What TLS listeners offer and refuse, and how their certificates change: handshakes in memory."""

from __future__ import annotations

import os
import re
import shutil
import ssl
import tempfile
import warnings
from pathlib import Path
from typing import Any, cast

from cryptography.hazmat.primitives.asymmetric import ec
from OpenSSL import SSL
from twisted.internet.defer import Deferred
from twisted.internet.interfaces import IOpenSSLServerConnectionCreator
from twisted.internet.protocol import Factory, Protocol
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport
from twisted.logger import ILogObserver, LogEvent, formatEvent, globalLogPublisher
from twisted.protocols.tls import TLSMemoryBIOProtocol
from twisted.trial.unittest import SynchronousTestCase
from zope.interface.verify import verifyObject

from tests.certificates import Authority, pem, write
from zaqar_gateway.transport.tls import CHECK_S, TlsError, TlsFiles, TlsListeners

AUTHORITY, OTHER = Authority(), Authority("Other authority")
CERTIFICATE, KEY = AUTHORITY.issue("first", "localhost")


class Peer:
    """Stands for the protocol of a connection."""

    transport = StringTransport()


class TlsCase(SynchronousTestCase):
    """Listeners with files in a directory of their own."""

    def setUp(self) -> None:
        self.directory = Path(tempfile.mkdtemp())
        self.addCleanup(shutil.rmtree, self.directory)
        self.paths = write(self.directory, cert=CERTIFICATE, key=KEY, ca=AUTHORITY.certificate)
        self.clock = Clock()
        self.events: list[LogEvent] = []
        observer = cast(ILogObserver, self.events.append)
        globalLogPublisher.addObserver(observer)
        self.addCleanup(globalLogPublisher.removeObserver, observer)

    def listeners(self, *, client_ca: bool = False, **options: Any) -> TlsListeners:
        """Listeners with the certificate and key of the directory."""
        if client_ca:
            options["client_ca"] = self.paths["ca"]
        return TlsListeners(TlsFiles(self.paths["cert"], self.paths["key"], **options), self.clock)

    def client(self, **versions: ssl.TLSVersion) -> ssl.SSLContext:
        """A client that trusts the authority."""
        context = ssl.create_default_context(cadata=AUTHORITY.certificate.decode())
        with warnings.catch_warnings(action="ignore", category=DeprecationWarning):  # old versions are the point
            for name, version in versions.items():
                setattr(context, f"{name}_version", version)
        return context

    def client_with(self, authority: Authority, name: str) -> ssl.SSLContext:
        """A client with a certificate."""
        certificate, key = authority.issue(name)
        paths = write(self.directory, client_cert=certificate, client_key=key)
        context = self.client()
        context.load_cert_chain(paths["client_cert"], paths["client_key"])
        return context

    def handshake(self, tls: TlsListeners, context: ssl.SSLContext) -> ssl.SSLObject:
        """Connect a client.

        :raises ssl.SSLError: the client refuses, or is refused.
        """
        peer: Any = Peer()
        server = tls.serverConnectionForTLS(peer)
        server.set_accept_state()
        incoming, outgoing = ssl.MemoryBIO(), ssl.MemoryBIO()
        client = context.wrap_bio(incoming, outgoing, server_hostname="localhost")
        for _ in range(4):
            for step in (client.do_handshake, server.do_handshake, lambda: server.recv(1), lambda: client.read(1)):
                try:
                    step()
                except (ssl.SSLWantReadError, SSL.WantReadError, SSL.ZeroReturnError):
                    pass
                except SSL.Error:
                    """The alert tells the client."""
                if outgoing.pending:
                    server.bio_write(outgoing.read())
                try:
                    incoming.write(server.bio_read(65536))
                except SSL.WantReadError:
                    pass
        return client

    def refused(self, tls: TlsListeners, context: ssl.SSLContext) -> str:
        """Why a client is refused: the name of the alert that it gets."""
        error = self.assertRaises(ssl.SSLError, self.handshake, tls, context)
        found = re.search(r"alert ([a-z ]+[a-z])", str(error).replace("_", " ").lower())
        return found[1] if found else str(error)

    def told(self, tls: TlsListeners) -> str:
        """Whose certificate a client is shown."""
        shown = self.handshake(tls, self.client()).getpeercert()
        assert shown is not None
        return str(shown["subject"][0][0][1])

    def replace(self, **files: bytes) -> None:
        """Put other files in the place of those that there are, as renewing programs do."""
        for name, content in files.items():
            path = self.directory / f"{name}.new"
            path.write_bytes(content)
            os.replace(path, self.paths[name])

    def logged(self, level: str) -> list[str]:
        """What was logged of one level."""
        return [formatEvent(event) for event in self.events if event["log_level"].name == level]


class OfferTests(TlsCase):
    """Versions, ciphers and protocols."""

    def test_interface(self) -> None:
        """Twisted can make connections of it."""
        verifyObject(IOpenSSLServerConnectionCreator, self.listeners())

    def test_versions(self) -> None:
        """TLS 1.2 and 1.3 are spoken, older ones are not, and 1.2 only where it may be."""
        v = ssl.TLSVersion
        for minimum, version, spoken in (
            ("1.2", v.TLSv1_2, "TLSv1.2"),
            ("1.2", v.TLSv1_3, "TLSv1.3"),
            ("1.3", v.TLSv1_3, "TLSv1.3"),
        ):
            tls = self.listeners(minimum_version=minimum)
            self.assertEqual(self.handshake(tls, self.client(minimum=version, maximum=version)).version(), spoken)
        old = self.client(minimum=v.TLSv1_1, maximum=v.TLSv1_1)
        old.set_ciphers("ALL@SECLEVEL=0")
        self.assertEqual(self.refused(self.listeners(), old), "protocol version")
        new = self.listeners(minimum_version="1.3")
        self.assertEqual(self.refused(new, self.client(maximum=v.TLSv1_2)), "protocol version")

    def test_ciphers(self) -> None:
        """With TLS 1.2 there are ciphers with forward secrecy and authenticated data alone."""
        tls = self.listeners()
        for kind in ("AES128-GCM-SHA256", "AES256-GCM-SHA384", "CHACHA20-POLY1305"):
            cipher = f"ECDHE-ECDSA-{kind}"
            context = self.client(maximum=ssl.TLSVersion.TLSv1_2)
            context.set_ciphers(cipher)
            found = self.handshake(tls, context).cipher()
            assert found is not None
            self.assertEqual(found[0], cipher)
        for cipher in ("ECDHE-ECDSA-AES128-SHA", "ECDHE-ECDSA-AES256-SHA384", "AES128-GCM-SHA256"):
            context = self.client(maximum=ssl.TLSVersion.TLSv1_2)
            context.set_ciphers(cipher)
            self.assertIn("handshake failure", self.refused(tls, context), cipher)

    def test_protocols(self) -> None:
        """HTTP/1.1 is chosen where it is offered; who offers nothing is served, and who offers others alone is not."""
        tls = self.listeners()
        for offered, chosen in ((["h2", "http/1.1"], "http/1.1"), (["http/1.1"], "http/1.1"), ([], None)):
            context = self.client()
            if offered:
                context.set_alpn_protocols(offered)
            self.assertEqual(self.handshake(tls, context).selected_alpn_protocol(), chosen)
        context = self.client()
        context.set_alpn_protocols(["h2", "imap"])
        self.assertEqual(self.refused(tls, context), "no application protocol")

    def test_wrap(self) -> None:
        """The factory of a listener makes protocols over TLS."""
        made = self.listeners().wrap(Factory.forProtocol(Protocol)).buildProtocol(None)
        self.assertIsInstance(made, TLSMemoryBIOProtocol)


class ClientTests(TlsCase):
    """Certificates of clients."""

    def test_required(self) -> None:
        """Where one is required, who has none, or one of another authority, is refused; a good one is logged."""
        tls = self.listeners(client_ca=True)
        self.assertEqual(self.refused(tls, self.client()), "certificate required")
        self.assertEqual(self.refused(tls, self.client_with(OTHER, "stranger")), "unknown ca")
        self.handshake(tls, self.client_with(AUTHORITY, "agent 7"))
        (told,) = self.logged("info")
        self.assertEqual(told.partition(" has ")[2], "the certificate of CN=agent 7")

    def test_optional(self) -> None:
        """Where it is optional, who has none is served, and who has a bad one is not."""
        tls = self.listeners(client_ca=True, client_required=False)
        self.handshake(tls, self.client())
        self.handshake(tls, self.client_with(AUTHORITY, "agent"))
        self.assertEqual(self.refused(tls, self.client_with(OTHER, "stranger")), "unknown ca")
        self.assertEqual(len(self.logged("info")), 1)

    def test_not_asked(self) -> None:
        """Without authorities nobody is asked, and a certificate is not looked at."""
        self.handshake(self.listeners(), self.client_with(OTHER, "stranger"))
        self.assertEqual(self.logged("info"), [])


class ReloadTests(TlsCase):
    """Certificates that change."""

    def test_changed(self) -> None:
        """A new pair is used within the time of a check, once it is complete; until then the old one is."""
        tls = self.listeners()
        tls.start()
        certificate, key = AUTHORITY.issue("second", "localhost")
        self.replace(cert=certificate)
        self.clock.advance(CHECK_S)
        self.assertEqual(self.told(tls), "first")
        (why,) = self.logged("error")
        self.assertIn(f"stays as it was: {self.paths['key']} does not hold the key of that certificate", why)
        self.clock.advance(CHECK_S)
        self.assertEqual(len(self.logged("error")), 1)  # said once
        self.replace(key=key)
        self.clock.advance(CHECK_S)
        self.assertEqual(self.told(tls), "second")
        self.assertIn("that of CN=second, valid until", self.logged("info")[-1])

    def test_unchanged(self) -> None:
        """Files that stay as they are, are not read again."""
        tls = self.listeners()
        tls.start()
        self.clock.advance(CHECK_S)
        self.assertEqual(len(self.logged("info")), 1)
        self.successResultOf(Deferred.fromCoroutine(tls.stop()))
        self.replace(cert=b"")
        self.clock.advance(CHECK_S)
        self.assertEqual(self.logged("error"), [])

    def test_gone(self) -> None:
        """Where a file is gone the old one stays, also when a reload is asked for."""
        tls = self.listeners()
        os.remove(self.paths["cert"])
        tls.reload()
        self.assertEqual(self.told(tls), "first")
        self.assertIn(f"{self.paths['cert']} cannot be read: No such file", self.logged("error")[0])

    def test_link(self) -> None:
        """A link that is turned round to other files is a change, too."""
        for name, pair in (("old", (CERTIFICATE, KEY)), ("new", AUTHORITY.issue("linked", "localhost"))):
            (self.directory / name).mkdir()
            write(self.directory / name, cert=pair[0], key=pair[1])
        link = self.directory / "live"
        link.symlink_to("old")
        tls = TlsListeners(TlsFiles(str(link / "cert.pem"), str(link / "key.pem")), self.clock)
        link.unlink()
        link.symlink_to("new")
        tls.check()
        self.assertEqual(self.told(tls), "linked")

    def test_authorities(self) -> None:
        """Authorities change as well, and no session of the old ones is taken up again."""
        tls = self.listeners(client_ca=True)
        context = self.client_with(AUTHORITY, "agent")
        self.handshake(tls, context)
        self.replace(ca=OTHER.certificate)
        tls.check()
        self.assertEqual(self.refused(tls, context), "unknown ca")

    def test_expired(self) -> None:
        """A certificate that has expired is used, since a gateway is better than none, and warned of."""
        certificate, key = AUTHORITY.issue("late", "localhost", hours=-1)
        self.replace(cert=certificate, key=key)
        self.clock.advance(4_000_000_000)
        tls = self.listeners()
        tls.start()
        self.successResultOf(Deferred.fromCoroutine(tls.stop()))
        self.assertIn("CN=late has expired", self.logged("warn")[0])


class FilesTests(TlsCase):
    """Files that cannot be used."""

    def test_refused(self) -> None:
        """What is wrong is said of its file, and nothing that the file holds."""
        secret = ec.generate_private_key(ec.SECP256R1())
        bad = write(
            self.directory,
            empty=b"",
            text=b"a secret that is no PEM",
            other=pem(secret),
            locked=pem(secret, b"passphrase"),
        )
        for files, about in (
            ((bad["text"], self.paths["key"]), f"{bad['text']} holds no certificate in PEM"),
            ((bad["empty"], self.paths["key"]), f"{bad['empty']} holds no certificate in PEM"),
            ((self.paths["cert"], bad["text"]), f"{bad['text']} does not hold the key"),
            ((self.paths["cert"], bad["other"]), f"{bad['other']} does not hold the key of that certificate"),
            (
                (self.paths["cert"], bad["locked"]),
                f"{bad['locked']} does not hold the key of that certificate, in PEM and without a passphrase: it has a passphrase",
            ),
            ((self.paths["cert"], self.paths["key"], bad["empty"]), f"{bad['empty']} holds no certificates in PEM"),
            ((self.paths["cert"], str(self.directory / "none")), "none cannot be read: No such file or directory"),
            ((str(self.directory), self.paths["key"]), "cannot be read: Is a directory"),
        ):
            error = self.assertRaises(TlsError, TlsListeners, TlsFiles(*files), self.clock)
            self.assertIn(about, str(error))
            self.assertNotIn("a secret", str(error))
