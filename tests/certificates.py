"""Certificates for tests: an authority, and what it signs."""

from __future__ import annotations

import datetime
import ipaddress
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID


class Authority:
    """An authority that signs for an hour.

    :ivar certificate: its own, PEM.
    """

    def __init__(self, name: str = "Test authority") -> None:
        self._name, self._key = _name(name), ec.generate_private_key(ec.SECP256R1())
        self.certificate = self._sign(self._name, self._key, (), True, 1)

    def issue(self, name: str, *hosts: str, hours: int = 1) -> tuple[bytes, bytes]:
        """A certificate and its key, both PEM.

        :param hosts: names or addresses that it is for.
        :param hours: how long it is valid; below 0, for how long it has not been.
        """
        key = ec.generate_private_key(ec.SECP256R1())
        return self._sign(_name(name), key, hosts, False, hours), pem(key)

    def _sign(
        self, subject: x509.Name, key: ec.EllipticCurvePrivateKey, hosts: tuple[str, ...], ca: bool, hours: int
    ) -> bytes:
        now, hour = datetime.datetime.now(datetime.UTC), datetime.timedelta(hours=1)
        builder = x509.CertificateBuilder(
            self._name, subject, key.public_key(), x509.random_serial_number(), now - 24 * hour, now + hours * hour
        ).add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
        # What is to be strictly right has these (RFC 5280, sections 4.2.1.1 to 4.2.1.3).
        signer = x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key())
        builder = builder.add_extension(signer, critical=False)
        builder = builder.add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        if ca:
            signs = {"key_cert_sign", "crl_sign"}
            uses = ("digital_signature", "content_commitment", "key_encipherment", "data_encipherment", "key_agreement")
            given = {use: use in signs for use in (*uses, *signs, "encipher_only", "decipher_only")}
            builder = builder.add_extension(x509.KeyUsage(**given), critical=True)
        if hosts:
            builder = builder.add_extension(x509.SubjectAlternativeName(list(map(_host, hosts))), critical=False)
        return builder.sign(self._key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)


def pem(key: ec.EllipticCurvePrivateKey, passphrase: bytes = b"") -> bytes:
    """A private key as text."""
    how = serialization.BestAvailableEncryption(passphrase) if passphrase else serialization.NoEncryption()
    return key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, how)


def write(directory: Path, **files: bytes) -> dict[str, str]:
    """Write ``name.pem`` for each; their paths by name."""
    paths = {name: directory / f"{name}.pem" for name in files}
    for name, path in paths.items():
        path.write_bytes(files[name])
    return {name: str(path) for name, path in paths.items()}


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def _host(text: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(text))
    except ValueError:
        return x509.DNSName(text)
