"""Keystone on a port of loopback, run by the interpreter of its own environment (see ``tests/keystone_server.py``).

A request with the header ``X-Test-Lifetime`` gets a token that lives so many seconds; Keystone itself has one lifetime for
all.  The last line that is printed before it serves is the port.
"""

import sys
from collections.abc import Iterable
from typing import Any

from keystone.conf import CONF
from keystone.server.wsgi import initialize_public_application
from waitress.server import create_server

LIFETIME_S = 3600

PORT = int(sys.argv.pop())  # Keystone reads the command line, too
keystone = initialize_public_application()


def application(environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
    """Set the lifetime, which is good for one request, as there is one thread."""
    CONF.set_override("expiration", int(environ.get("HTTP_X_TEST_LIFETIME", LIFETIME_S)), "token")
    return keystone(environ, start_response)  # type: ignore[no-any-return]


if __name__ == "__main__":
    server = create_server(application, host="127.0.0.1", port=PORT, threads=1)
    print(server.effective_port, flush=True)
    server.run()
