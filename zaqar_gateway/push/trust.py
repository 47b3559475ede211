"""Which certificates are trusted where nothing else is said."""

from __future__ import annotations

import ssl
from functools import cache
from typing import Any

from OpenSSL.crypto import FILETYPE_ASN1
from twisted.internet.ssl import Certificate, platformTrust, trustRootFromCertificates


@cache
def system_trust() -> Any:
    """The certificates that the system trusts, or those in ``SSL_CERT_FILE``, for ``trustRoot`` of Twisted.

    They are read once.  Twisted's own trust root reads them again for each connection, which with the usual 150 takes
    35 ms and a megabyte; here it is one millisecond.
    """
    found = ssl.create_default_context().get_ca_certs(binary_form=True)
    if not found:  # a directory of certificates is not listed, only searched
        return platformTrust()
    return trustRootFromCertificates([Certificate.load(each, FILETYPE_ASN1) for each in found])
